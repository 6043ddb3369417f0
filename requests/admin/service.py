"""All service requests as a ledger, with what happened to each; what is said in their sessions is not here."""

from django.contrib import admin
from django.db.models import F
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from import_export.fields import Field
from unfold.decorators import display

from attendance.admin.record import on_two_lines
from config.admin import Act, DomainAdmin, Exportable, ReadOnly, SafeResource, ScopedFilter, add_section

from ..forms.service_admin import GiveForm
from ..models import RequestStatus, SessionRequest
from ..operations import taking
from . import board, figures, meeting
from .words import COLOURS, duration, step_words, zone_of


class SessionRequestResource(SafeResource):
    waited = Field(column_name="waited")
    headings = {
        "organization__name": _("Organisation"),
        "event__title": _("Event"),
        "mechanic__display_name": _("Mechanic"),
        "session_type": _("Type"),
        "notes": _("Concern"),
        "waited": _("Waited, in seconds"),
    }

    class Meta:
        model = SessionRequest
        fields = [
            "id",
            "organization__name",
            "event__title",
            "customer_name",
            "customer_email",
            "status",
            "urgent",
            "skill",
            "session_type",
            "plan_code",
            "notes",
            "mechanic__display_name",
            "created_at",
            "first_accepted_at",
            "closed_at",
            "waited",
        ]
        export_order = fields

    def dehydrate_waited(self, request):
        """Until somebody first accepted it."""
        first = request.first_accepted_at
        return "" if first is None else round((first - request.created_at).total_seconds())


def act(name, label, operation, done, **more) -> Act:
    return Act(
        name=name,
        label=label,
        operation=operation,
        key="request_id",
        permission="requests.assign_sessionrequest",
        done=done,
        named=True,
        **more,
    )


@admin.register(SessionRequest)
class SessionRequestAdmin(ReadOnly, Exportable, DomainAdmin):
    """What customers asked for. Looked at, and moved by acts; the board is where it is worked on."""

    resource_classes = [SessionRequestResource]
    list_display = ["who", "where", "state", "hurry", "mechanic", "asked", "waited"]
    list_filter = [
        "status",
        ("organization", ScopedFilter),
        ("event", ScopedFilter),
        "urgent",
        ("mechanic", ScopedFilter),
        "session_type",
    ]
    list_select_related = ["customer", "event", "organization", "mechanic__user_profile"]
    search_fields = ["customer_name", "customer_email"]
    search_help_text = _("The customer's name or e-mail address")
    ordering = ["-pk"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("customer_name", "customer_email"),
                    "notes",
                    ("skill", "urgent"),
                    ("session_type", "plan_code"),
                ]
            },
        ),
        (_("Where"), {"fields": [("organization", "event")]}),
        (_("How far"), {"fields": [("status", "mechanic"), ("asked", "taken", "closed"), "waited"]}),
    ]
    readonly_fields = ["asked", "taken", "closed", "waited"]
    acts = (
        act(
            "give",
            _("Give to somebody"),
            taking.takeover,
            _("given to somebody"),
            already=_("theirs already"),
            form=GiveForm,
            of_row=True,
            available=lambda request: request.status in RequestStatus.LIVE,
            help=_("It is theirs at once; whoever has it now is told."),
            icon="person_add",
            tone="primary",
        ),
        act(
            "put_back",
            _("Put back"),
            taking.release,
            _("back in the line"),
            already=_("in the line already"),
            available=lambda request: request.status == RequestStatus.ACCEPTED,
            icon="undo",
        ),
        act(
            "cancel",
            _("Cancel"),
            taking.cancel,
            _("cancelled"),
            already=_("cancelled already"),
            available=lambda request: request.status in RequestStatus.LIVE,
            ask=lambda request, person: gettext("The customer is told that nobody will come."),
            confirm=lambda rows: gettext("The customers are told that nobody will come."),
            icon="close",
            tone="danger",
        ),
    )

    def get_urls(self):
        def page(address, view, name):
            return path(address, self.admin_site.admin_view(view), name=self._route(name))

        return [
            page("board/", board.page, "board"),
            page("board/rows/", board.rows, "board_rows"),
            page("figures/", figures.page, "figures"),
            page("session/<uuid:session_id>/", meeting.page, "meeting"),
            *super().get_urls(),
        ]

    def zone_of(self, request, row):
        return zone_of(row) if row else None

    @display(description=_("customer"), header=True, ordering="customer_name")
    def who(self, row):
        return [str(row), row.customer_email, "".join(word[0] for word in str(row).split()[:2]).upper()]

    @display(description=_("event"), ordering="event")
    def where(self, row):
        return row.event or row.organization

    @display(description=_("status"), label=COLOURS, ordering="status")
    def state(self, row):
        return row.status, row.get_status_display()

    @display(description=_("urgent"), label={"urgent": "danger"}, ordering="urgent")
    def hurry(self, row):
        return ("urgent", gettext("Urgent")) if row.urgent else None

    @display(description=_("asked"), ordering="created_at")
    def asked(self, row):
        return on_two_lines(row.created_at, zone_of(row))

    @display(description=_("accepted"))
    def taken(self, row):
        return on_two_lines(row.accepted_at, zone_of(row))

    @display(description=_("closed"))
    def closed(self, row):
        return on_two_lines(row.closed_at, zone_of(row))

    @display(description=_("time to accept"), ordering=F("first_accepted_at") - F("created_at"))
    def waited(self, row):
        return duration(row.first_accepted_at and row.first_accepted_at - row.created_at)


def steps(request, row):
    """What happened to it, as the database has written it: when, what, by whom, from whom to whom."""
    log = row.log.select_related("actor", "from_mechanic__user_profile", "to_mechanic__user_profile").order_by("pk")
    return {
        "template": "admin/service_steps.html",
        "steps": [{"at": on_two_lines(one.at, zone_of(row)), "by": one.actor or "–"} | step_words(one) for one in log],
    }


add_section("requests.SessionRequest", steps)
