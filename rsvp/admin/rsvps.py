"""Who has a seat in which session, and what became of it."""

from datetime import timedelta
from functools import partial

from django import forms
from django.contrib import admin
from django.template.loader import render_to_string
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, ngettext_lazy
from import_export.fields import Field
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from attendance.admin.attendees import cell
from attendance.admin.record import Ledger, at_event
from config.admin import Act, Exportable, SafeResource, ScopedFilter
from events.admin import local

from ..models import RsvpStatus, SessionRsvp, WaitlistLog
from ..operations import reserving
from .figures import figures_data, figures_page
from .record import PERSON, organiser, words_of
from .record import seats as seats_in_words

COLOURS = {RsvpStatus.CONFIRMED.value: "success", RsvpStatus.CANCELLED.value: "danger"}


class TakeAwayForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("The person reads it."),
    )


class SessionRsvpResource(SafeResource):
    """Times are the event's, and a column says in which zone that is."""

    headings = SafeResource.headings | {
        "attendee__user_profile__first_name": SafeResource.headings["user_profile__first_name"],
        "attendee__user_profile__last_name": SafeResource.headings["user_profile__last_name"],
        "attendee__user_profile__email": SafeResource.headings["user_profile__email"],
        "session__title": _("Session"),
        "source": _("Came by"),
        "first_rsvp": _("First RSVP"),
        "end_reason": _("Why cancelled"),
    }
    starts = Field(column_name="starts")
    status = Field(column_name="status")
    source = Field(column_name="source")
    first_rsvp = Field(column_name="first_rsvp")
    confirmed = Field(column_name="confirmed")
    cancelled = Field(column_name="cancelled")
    end_reason = Field(column_name="end_reason")
    time_zone = Field(column_name="time_zone", attribute="event__timezone")

    class Meta:
        model = SessionRsvp
        fields = [
            "attendee__user_profile__first_name",
            "attendee__user_profile__last_name",
            "attendee__user_profile__email",
            "event__title",
            "session__title",
            "starts",
            "seats",
            "status",
            "source",
            "first_rsvp",
            "confirmed",
            "cancelled",
            "end_reason",
            "time_zone",
        ]
        export_order = fields

    def filter_export(self, queryset, **kwargs):
        rows = super().filter_export(queryset, **kwargs)
        return rows.select_related("event", "session", "attendee__user_profile")

    def dehydrate_starts(self, rsvp):
        return cell(rsvp.session.starts_at, rsvp.event.zone)

    def dehydrate_status(self, rsvp):
        return rsvp.get_status_display()

    def dehydrate_source(self, rsvp):
        return rsvp.get_source_display()

    def dehydrate_first_rsvp(self, rsvp):
        return cell(rsvp.rsvp_at, rsvp.event.zone)

    def dehydrate_confirmed(self, rsvp):
        return cell(rsvp.confirmed_at, rsvp.event.zone)

    def dehydrate_cancelled(self, rsvp):
        return cell(rsvp.cancelled_at, rsvp.event.zone)

    def dehydrate_end_reason(self, rsvp):
        return rsvp.get_end_reason_display()


def given_up(rsvps) -> str | None:
    """What would become free, in numbers."""
    confirmed = [one for one in rsvps if one.is_confirmed]
    if not confirmed:
        return None
    number = sum(one.seats for one in confirmed)
    sessions = len({one.session_id for one in confirmed})
    return ngettext("{seats} in {sessions} becomes free.", "{seats} in {sessions} become free.", number).format(
        seats=seats_in_words(number), sessions=ngettext("{} session", "{} sessions", sessions).format(sessions)
    )


AT_ONCE = timedelta(minutes=1)
"""The first time and the last are noted by two clocks; what is closer together is the same."""


def steps_of(rsvp) -> list[dict]:
    """What happened to the seats, and to the person in the session's line before: oldest first."""
    log = WaitlistLog.objects.filter(session=rsvp.session_id, entry__attendee=rsvp.attendee_id)
    steps = [(one.at, words_of(one), organiser(one)) for one in log.select_related("actor").order_by("pk")]
    came, seats = rsvp.get_source_display(), seats_in_words(rsvp.seats)
    if rsvp.confirmed_at is None or rsvp.confirmed_at - rsvp.rsvp_at < AT_ONCE:
        steps.append((rsvp.rsvp_at, _("{} confirmed: {}").format(seats, came), "–"))
    else:
        steps.append((rsvp.rsvp_at, _("First RSVP"), "–"))
        steps.append((rsvp.confirmed_at, _("{} confirmed: {}").format(seats, came), "–"))
    if rsvp.cancelled_at:
        why = rsvp.get_end_reason_display()
        steps.append((rsvp.cancelled_at, _("Cancelled: {}").format(why) if why else _("Cancelled"), "–"))
    steps.sort(key=lambda step: step[0])
    return [{"at": local(at, rsvp.event.zone), "what": what, "by": by} for at, what, by in steps]


@admin.register(SessionRsvp)
class SessionRsvpAdmin(Exportable, Ledger):
    """Only looked at: people take their seats themselves, and organisers give and take them by acts."""

    resource_classes = [SessionRsvpResource]
    list_display = ["who", "of_session", "seats", "state", "source", "first", "confirmed", "ended"]
    list_filter = [("event", ScopedFilter), ("session", ScopedFilter), "status", "source"]
    list_select_related = ["event", "session", "attendee__user_profile"]
    search_fields = [f"attendee__{one}" for one in PERSON] + ["session__title"]
    search_help_text = _("Name, e-mail address or session")
    list_disable_select_all = True  # nobody has counted them
    fieldsets = [
        (None, {"fields": [("attendee", "session"), ("status", "seats"), "source"]}),
        (_("When"), {"fields": [("first", "confirmed"), ("cancelled", "why")]}),
        (_("What happened"), {"fields": ["story"]}),
    ]
    readonly_fields = ["first", "confirmed", "cancelled", "why", "story"]
    first = at_event("rsvp_at", _("first RSVP"))
    confirmed = at_event("confirmed_at", _("confirmed"))
    cancelled = at_event("cancelled_at", _("cancelled"))
    acts = (
        Act(
            name="take_away",
            label=_("Take the seats away"),
            operation=reserving.take_from,
            key="rsvp_id",
            permission="rsvp.change_sessionrsvp",
            done=ngettext_lazy("no seat any more", "people have no seat any more", "count"),
            already=_("no seat any more, as before"),
            named=True,
            form=TakeAwayForm,
            available=lambda rsvp: rsvp.is_confirmed,
            confirm=given_up,
            ask=lambda rsvp, person: given_up([rsvp]),
            help=_("They are told, and may take a seat again as everybody may. Whoever waits longest gets it first."),
            icon="event_busy",
            tone="danger",
        ),
    )

    def get_urls(self):
        def page(function):
            return self.admin_site.admin_view(partial(function, model_admin=self))

        return [
            path("figures/<int:event_id>/", page(figures_page), name="rsvp_sessionrsvp_figures"),
            path("figures/<int:event_id>/data.json", page(figures_data), name="rsvp_sessionrsvp_figures_data"),
            *super().get_urls(),
        ]

    @display(description=_("session"), header=True)
    def of_session(self, rsvp):
        return [rsvp.session.title, str(rsvp.event)]

    @display(description=_("status"), label=COLOURS)
    def state(self, rsvp):
        return rsvp.status, rsvp.get_status_display()

    @display(description=_("cancelled"))
    def ended(self, rsvp):
        """When, and below it why."""
        if rsvp.cancelled_at is None:
            return "–"
        why = format_html('<br><span class="turnout-soft">{}</span>', rsvp.get_end_reason_display())
        return format_html("{}{}", type(self).cancelled(self, rsvp), why if rsvp.end_reason else "")

    @display(description=_("why cancelled"))
    def why(self, rsvp):
        return rsvp.get_end_reason_display() or "–"

    @display(description=_("seats and line"))
    def story(self, rsvp):
        return render_to_string("admin/rsvp_steps.html", {"steps": steps_of(rsvp)})
