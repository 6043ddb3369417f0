"""The record of the lines: every step of everybody who waited for a seat."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import display

from attendance.admin.record import Ledger, at_event
from config.admin import ScopedFilter

from ..models import WaitlistLog, WaitlistStatus

COLOURS = {
    WaitlistStatus.WAITING.value: "warning",
    WaitlistStatus.OFFERED.value: "info",
    WaitlistStatus.ACCEPTED.value: "success",
    WaitlistStatus.DECLINED.value: "default",
    WaitlistStatus.EXPIRED.value: "default",
    WaitlistStatus.LEFT.value: "default",
}
PERSON = ["user_profile__first_name", "user_profile__last_name", "user_profile__email"]


def organiser(step) -> str:
    """Who did it, where it was an organiser."""
    return "–" if step.actor is None else step.actor.get_full_name() or str(step.actor)


def seats(number: int) -> str:
    return ngettext("{} seat", "{} seats", number).format(number)


def words_of(step) -> str:
    """A step in line as a sentence."""
    before, after = step.from_status, step.to_status
    if before is None and after == WaitlistStatus.WAITING:
        return _("Joined the line, for {}").format(seats(step.party_size))
    if before == after == WaitlistStatus.WAITING:
        return _("Moved in the line: priority {}").format(step.priority) if step.priority else _("Moved in the line")
    if before == WaitlistStatus.OFFERED and after == WaitlistStatus.WAITING:
        return _("Skipped: to the line's end") if step.actor_id else _("Let the offer pass: to the line's end")
    if before == WaitlistStatus.WAITING and after == WaitlistStatus.ACCEPTED:
        return _("Got {} from the line").format(seats(step.party_size))
    if before == WaitlistStatus.WAITING and after == WaitlistStatus.EXPIRED:
        return _("The session began")
    if after == WaitlistStatus.OFFERED and before != after:
        return _("Offered {}").format(seats(step.party_size))
    return str(step.get_to_status_display())


@admin.register(WaitlistLog)
class WaitlistLogAdmin(Ledger):
    list_display = ["who", "of_session", "before", "after", "happened", "place", "party_size", "by"]
    list_filter = [("event", ScopedFilter), ("session", ScopedFilter), "to_status"]
    list_select_related = ["event", "session", "entry__attendee__user_profile", "actor"]
    search_fields = [f"entry__attendee__{one}" for one in PERSON] + ["session__title"]
    search_help_text = _("Name, e-mail address or session")
    list_disable_select_all = True  # nobody has counted them
    fieldsets = [
        (None, {"fields": [("person", "session"), ("from_status", "to_status"), "step"]}),
        (_("The place in line"), {"fields": [("waiting_since", "priority"), "party_size"]}),
        (_("Who and when"), {"fields": ["happened", ("by", "db_user")]}),
    ]
    readonly_fields = ["person", "step", "waiting_since", "happened", "by"]
    happened = at_event("at", _("when"))
    waiting_since = at_event("queued_at", _("waiting since"))

    @display(description=_("attendee"), header=True)
    def who(self, row):
        return Ledger.who(self, row.entry)

    @display(description=_("attendee"))
    def person(self, row):
        return row.entry.attendee

    @display(description=_("session"), header=True)
    def of_session(self, row):
        return [row.session.title, str(row.event)]

    @display(description=_("from"), label=COLOURS)
    def before(self, row):
        return row.from_status, row.get_from_status_display() or "–"

    @display(description=_("to"), label=COLOURS)
    def after(self, row):
        return row.to_status, row.get_to_status_display()

    @display(description=_("what happened"))
    def step(self, row):
        return words_of(row)

    @display(description=_("place in line"))
    def place(self, row):
        since = at_event("queued_at", "")(self, row)
        return since if not row.priority else _("priority {}").format(row.priority)

    @display(description=_("by"))
    def by(self, row):
        return organiser(row)
