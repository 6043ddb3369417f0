"""What people thought of sessions."""

from django.contrib import admin
from django.db.models import Avg, Count, OuterRef, Subquery
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from import_export.fields import Field
from unfold.decorators import display

from attendance.admin.attendees import cell
from attendance.admin.record import Ledger, at_event
from config.admin import Exportable, SafeResource, ScopedFilter

from ..models import SessionFeedback
from ..operations import figures
from .record import PERSON


class SessionFeedbackResource(SafeResource):
    headings = SafeResource.headings | {
        "session__title": _("Session"),
        "attendee__user_profile__first_name": SafeResource.headings["user_profile__first_name"],
        "attendee__user_profile__last_name": SafeResource.headings["user_profile__last_name"],
        "attendee__user_profile__email": SafeResource.headings["user_profile__email"],
    }
    given = Field(column_name="given")
    time_zone = Field(column_name="time_zone", attribute="event__timezone")

    class Meta:
        model = SessionFeedback
        fields = [
            "event__title",
            "session__title",
            "rating",
            "comment",
            "attendee__user_profile__first_name",
            "attendee__user_profile__last_name",
            "attendee__user_profile__email",
            "given",
            "time_zone",
        ]
        export_order = fields

    def filter_export(self, queryset, **kwargs):
        rows = super().filter_export(queryset, **kwargs)
        return rows.select_related("event", "session", "attendee__user_profile")

    def dehydrate_given(self, row):
        return cell(row.created_at, row.event.zone)


def stars(rating: int) -> str:
    return "★" * rating + "☆" * (5 - rating)


def averaged(average, count) -> str:
    """An average with how many it is of."""
    return ngettext("{average} ({count} rating)", "{average} ({count} ratings)", count).format(
        average=f"{average:.1f}", count=count
    )


@admin.register(SessionFeedback)
class SessionFeedbackAdmin(Exportable, Ledger):
    """Only looked at: it is what people said. Above the list stands what all that it shows comes to."""

    resource_classes = [SessionFeedbackResource]
    list_display = ["what", "rated", "comment", "who", "given", "of_session"]
    list_filter = [("event", ScopedFilter), ("session", ScopedFilter), "rating"]
    list_select_related = ["event", "session", "attendee__user_profile"]
    list_before_template = "admin/feedback_summary.html"
    list_disable_select_all = True  # nobody has counted them
    search_fields = ["comment", "session__title", *(f"attendee__{one}" for one in PERSON)]
    search_help_text = _("Comment, session, name or e-mail address")
    fieldsets = [
        (None, {"fields": [("session", "attendee"), "rated", "comment"]}),
        (_("When"), {"fields": [("given", "updated")]}),
    ]
    readonly_fields = ["rated", "given", "updated"]
    given = at_event("created_at", _("given"))
    updated = at_event("updated_at", _("updated"))

    def get_queryset(self, request):
        """With the average of each one's session: only a page's rows are asked."""
        same = SessionFeedback.objects.filter(session=OuterRef("session")).order_by().values("session")
        return (
            super()
            .get_queryset(request)
            .annotate(
                session_average=Subquery(same.annotate(value=Avg("rating")).values("value")),
                session_count=Subquery(same.annotate(value=Count("pk")).values("value")),
            )
        )

    def changelist_view(self, request, extra_context=None):
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", {}).get("cl")
        if shown is not None:
            rows = SessionFeedback.objects.filter(pk__in=shown.queryset.order_by().values("pk"))
            ratings = figures.ratings_of(rows)
            count = sum(ratings.values())
            response.context_data["summary"] = count and {
                "average": f"{figures.average(ratings):.1f}",
                "count": count,
                "ratings": [(stars(one), one, ratings[one]) for one in reversed(figures.RATINGS)],
            }
        return response

    @display(description=_("session"), header=True)
    def what(self, row):
        return [row.session.title, str(row.event)]

    @display(description=_("rating"))
    def rated(self, row):
        return f"{row.rating} {stars(row.rating)}"

    @display(description=_("its average"))
    def of_session(self, row):
        return averaged(row.session_average, row.session_count)
