"""Who waits for a session, in the order of the line, and what organisers do about it."""

from django.contrib import admin
from django.db.models import Case, F, IntegerField, Value, When
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display

from attendance.admin.record import at_event, on_two_lines
from config.admin import Act, DomainAdmin, ReadOnly, Scoped, ScopedFilter
from events.admin import local, person_header

from ..forms import PriorityForm
from ..models import WaitlistEntry, WaitlistLog, WaitlistStatus
from ..operations import line, standing
from .record import COLOURS, PERSON, organiser, words_of

OFFERED_FIRST = Case(
    When(status=WaitlistStatus.OFFERED, then=Value(0)),
    When(status=WaitlistStatus.WAITING, then=Value(1)),
    default=Value(2),
    output_field=IntegerField(),
)
IN_ORDER = [OFFERED_FIRST, F("priority").desc(), "queued_at", "pk"]
"""Of a session: who has an offer, then the line's order."""


def offers_lost(rows) -> str | None:
    """Of those who have an offer: to skip or remove them takes it away."""
    count = sum(row.status == WaitlistStatus.OFFERED for row in rows)
    if not count:
        return None
    if len(rows) == 1:
        until = local(rows[0].offer_expires_at, rows[0].event.zone)
        return gettext("{} was offered a seat, until {}: it goes to the next in line.").format(rows[0].attendee, until)
    return ngettext(
        "{} of them was offered a seat: it goes to the next in line.",
        "{} of them were offered seats: these go to the next in line.",
        count,
    ).format(count)


def places_lost(rows) -> str | None:
    """Whoever is removed from a line loses a place that they have waited for."""
    live = [row for row in rows if row.is_live]
    if not live:
        return None
    if len(live) == 1:
        sentence = gettext("{} loses their place in line; to join again is to start at its end.")
        sentence = sentence.format(live[0].attendee)
    else:
        sentence = gettext("{} people lose their place in line; to join again is to start at its end.")
        sentence = sentence.format(len(live))
    return " ".join(filter(None, [sentence, offers_lost(live)]))


def wait_lost(rows) -> str | None:
    """Whoever goes to the end of a line has waited for nothing."""
    live = [row for row in rows if row.is_live]
    if not live:
        return None
    if len(live) == 1:
        sentence = gettext("{} has waited since {}, and goes behind everybody else in the line.")
        sentence = sentence.format(live[0].attendee, local(live[0].queued_at, live[0].event.zone))
    else:
        sentence = gettext("{} people go behind everybody else in the line, however long they have waited.")
        sentence = sentence.format(len(live))
    return " ".join(filter(None, [sentence, offers_lost(live)]))


def act(name, label, operation, done, **more) -> Act:
    return Act(
        name=name,
        label=label,
        operation=operation,
        key="entry_id",
        permission="rsvp.change_waitlistentry",
        done=done,
        named=True,
        **({"available": lambda entry: entry.is_live} | more),
    )


OFFER = act(
    "offer",
    _("Offer a seat"),
    line.offer,
    _("offered a seat"),
    already=_("had an offer already"),
    available=lambda entry: entry.status == WaitlistStatus.WAITING,
    icon="event_seat",
    tone="primary",
)
SKIP = act(
    "skip",
    _("To the end of the line"),
    line.skip,
    _("at the end of the line now"),
    confirm=wait_lost,
    ask=lambda entry, person: wait_lost([entry]),
    icon="low_priority",
)
PRIORITY = act(
    "prioritize",
    _("Set priority"),
    line.prioritize,
    _("priority set"),
    already=_("of that priority already"),
    form=PriorityForm,
    initial=lambda entry: {"priority": entry.priority},
    icon="swap_vert",
)
REMOVE = act(
    "remove",
    _("Remove from the line"),
    line.remove,
    _("removed from the line"),
    already=_("out of the line already"),
    confirm=places_lost,
    ask=lambda entry, person: places_lost([entry]),
    icon="person_remove",
    tone="danger",
)


class StateFilter(admin.SimpleListFilter):
    """Whoever is in line, unless one asks for those who were."""

    title, parameter_name = _("status"), "state"

    def lookups(self, request, model_admin):
        return [("live", _("In line")), *WaitlistStatus.choices, ("all", _("All"))]

    def choices(self, changelist):
        """Without Django's "All" in front: the line is shown first."""
        chosen = self.value() or "live"
        for key, label in self.lookup_choices:
            address = changelist.get_query_string({self.parameter_name: key})
            yield {"selected": chosen == key, "query_string": address, "display": label}

    def queryset(self, request, queryset):
        chosen = self.value() or "live"
        if chosen == "live":
            return queryset.live()
        return queryset.filter(status=chosen) if chosen in WaitlistStatus.values else queryset


class StepInline(ReadOnly, Scoped, TabularInline):
    """Every step of this place in line, as the database has written it."""

    model = WaitlistLog
    extra = 0
    fields = readonly_fields = ["when", "what", "by"]
    ordering = ["-pk"]
    hide_title = True
    verbose_name_plural = _("steps, from the record")
    when = at_event("at", _("at"))

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("event", "actor")

    @display(description=_("what happened"))
    def what(self, row):
        return words_of(row)

    @display(description=_("by an organiser"))
    def by(self, row):
        return organiser(row)


@admin.register(WaitlistEntry)
class WaitlistEntryAdmin(ReadOnly, DomainAdmin):
    """The lines: whoever has an offer, then in the order in which free seats are handed on."""

    list_title = _("waitlist")
    list_display = ["who", "of_session", "place", "state", "party_size", "priority", "since", "offers_made", "until"]
    list_filter = [("event", ScopedFilter), ("session", ScopedFilter), StateFilter]
    list_select_related = ["event", "session", "attendee__user_profile"]
    search_fields = [f"attendee__{one}" for one in PERSON]
    search_help_text = _("Name or e-mail address")
    ordering = ["session__starts_at", "session_id", *IN_ORDER]
    sortable_by = ()
    inlines = [StepInline]
    fieldsets = [
        (None, {"fields": [("attendee", "session"), ("status", "end_reason"), ("party_size", "priority")]}),
        (_("When"), {"fields": [("joined", "since"), ("over", "told")]}),
        (_("Offers"), {"fields": [("offers_made", "offered"), "until"]}),
    ]
    readonly_fields = ["joined", "since", "over", "told", "offered", "until"]
    since = at_event("queued_at", _("waiting since"))
    joined = at_event("joined_at", _("joined"))
    over = at_event("closed_at", _("over since"))
    told = at_event("told_at", _("told"))
    offered = at_event("offered_at", _("last offer"))
    acts = (OFFER, SKIP, PRIORITY, REMOVE)

    def zone_of(self, request, row):
        return row.event.zone if row else None

    def add_figures(self, rows):
        super().add_figures(rows)
        place_all(rows)

    @display(description=_("attendee"), header=True)
    def who(self, entry):
        return person_header(entry.attendee.user_profile)

    @display(description=_("session"), header=True)
    def of_session(self, entry):
        return [entry.session.title, str(entry.event)]

    @display(description=_("place"))
    def place(self, entry):
        return entry.place or "–"

    @display(description=_("status"), label=COLOURS)
    def state(self, entry):
        return entry.status, entry.get_status_display()

    @display(description=_("offer holds until"))
    def until(self, entry):
        return on_two_lines(entry.offer_expires_at, entry.event.zone) if entry.status == WaitlistStatus.OFFERED else "–"


def place_all(rows) -> None:
    """Each of them who waits learns their ``place`` in line: 1 is next."""
    places = standing.positions([row.pk for row in rows]) if rows else {}
    for row in rows:
        row.place = places.get(row.pk)
