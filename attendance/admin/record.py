"""The ledgers: who was marked what by whom, who was scanned where, and which scans were refused."""

from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from config.admin import DomainAdmin, ReadOnly, ScopedFilter
from events.admin import local, person_header

from ..models import AttendanceAudit, AttendanceSource, AttendanceStatus, CheckIn, CheckInAttempt

COLOURS = {
    AttendanceStatus.UNKNOWN.value: "default",
    AttendanceStatus.PRESENT.value: "success",
    AttendanceStatus.LATE.value: "warning",
    AttendanceStatus.EXCUSED.value: "info",
    AttendanceStatus.ABSENT.value: "danger",
}
PERSON = ["attendee__user_profile__first_name", "attendee__user_profile__last_name", "attendee__user_profile__email"]


def answers_for(person, device) -> str:
    """Who did something: a device by its name, a person, or neither."""
    if device is not None:
        return _("{} (device)").format(device)
    return str(person) if person is not None else _("the system")


def on_two_lines(moment, zone) -> str:
    """A time as people at the event read it, for a narrow column."""
    day, comma, time = local(moment, zone).partition(", ")
    return format_html('<span class="turnout-moment"><span>{}</span> <span>{}</span></span>', day + comma, time)


def at_event(column, label):
    """How pages and lists show a moment of an event: by its clock; in a list's narrow column on two lines."""

    @display(description=label, ordering=column)
    def shown(_admin, row):
        return on_two_lines(getattr(row, column), row.event.zone)

    return shown


class Ledger(ReadOnly, DomainAdmin):
    """Rows that only grow: the newest first, and never counted, as they may be millions."""

    paginator = InfinitePaginator
    ordering = ["-pk"]
    sortable_by = ()

    def zone_of(self, request, row):
        return row.event.zone if row else None

    @display(description=_("attendee"), header=True)
    def who(self, row):
        return person_header(row.attendee.user_profile) if row.attendee else ["–"]


@admin.register(AttendanceAudit)
class AttendanceAuditAdmin(Ledger):
    list_display = ["who", "event", "before", "after", "happened", "by", "source", "notes"]
    list_filter = [("event", ScopedFilter), "to_status", "source"]
    list_select_related = ["event", "attendee__user_profile", "actor", "device"]
    search_fields = PERSON
    fieldsets = [
        (None, {"fields": [("attendee", "event"), ("from_status", "to_status"), "notes"]}),
        (_("When"), {"fields": [("happened", "recorded")]}),
        (_("Who"), {"fields": [("by", "source"), "db_user"]}),
    ]
    readonly_fields = ["happened", "recorded", "by"]
    happened = at_event("marked_at", _("happened"))
    recorded = at_event("created_at", _("recorded"))

    @display(description=_("from"), label=COLOURS)
    def before(self, row):
        return row.from_status, row.get_from_status_display() or "–"

    @display(description=_("to"), label=COLOURS)
    def after(self, row):
        return row.to_status, row.get_to_status_display()

    @display(description=_("by"))
    def by(self, row):
        if row.source == AttendanceSource.SQL:
            return _("nobody")
        return answers_for(row.actor, row.device)


class ScanAdmin(Ledger):
    list_select_related = ["event", "point", "attendee__user_profile", "by", "device"]
    search_fields = PERSON
    scanned = at_event("scanned_at", _("scanned"))
    received = at_event("received_at", _("received"))

    @display(description=_("where"))
    def where(self, row):
        return row.point or _("The event's door")

    @display(description=_("by"))
    def scanner(self, row):
        return answers_for(row.by, row.device)


@admin.register(CheckIn)
class CheckInAdmin(ScanAdmin):
    """Filtered by a session's point: who was in the session."""

    list_display = ["who", "event", "where", "state", "arrived", "scanner", "upload"]
    list_filter = [("event", ScopedFilter), ("point", ScopedFilter), "result", "uploaded_late"]
    fieldsets = [
        (None, {"fields": [("attendee", "event"), ("where", "result")]}),
        (_("When"), {"fields": ["arrived", ("scanned", "received"), "uploaded_late"]}),
        (_("Who"), {"fields": ["scanner", ("undone", "undone_by")]}),
    ]
    readonly_fields = ["where", "arrived", "scanned", "received", "scanner", "undone"]
    arrived = at_event("checked_in_at", _("checked in"))
    undone = at_event("undone_at", _("undone"))

    @display(
        description=_("result"),
        label={CheckIn.Result.CHECKED_IN.value: "success", CheckIn.Result.ALREADY.value: "info", "undone": "warning"},
    )
    def state(self, row):
        return ("undone", _("Undone")) if row.undone_at else (row.result, row.get_result_display())

    @display(description=_("sent late"), label={"late": "warning"})
    def upload(self, row):
        return ("late", _("Late")) if row.uploaded_late else None


@admin.register(CheckInAttempt)
class CheckInAttemptAdmin(ScanAdmin):
    list_display = ["refusal", "walked_on", "event", "where", "who", "scanner", "scanned", "received", "ticket"]
    list_filter = [("event", ScopedFilter), "reason", "inside"]
    fieldsets = [
        (None, {"fields": [("reason", "inside"), ("event", "where"), "attendee", "code_hash"]}),
        (_("When"), {"fields": [("scanned", "received")]}),
        (_("Who"), {"fields": ["scanner"]}),
    ]
    readonly_fields = ["where", "scanned", "received", "scanner"]

    @display(description=_("refused"), ordering="reason")
    def refusal(self, row):
        return row.get_reason_display()

    @display(description=_("inside?"), label={"inside": "danger"})
    def walked_on(self, row):
        return ("inside", _("Inside already")) if row.inside else None

    @display(description=_("ticket (hash)"))
    def ticket(self, row):
        return f"{row.code_hash[:10]}…" if row.code_hash else "–"
