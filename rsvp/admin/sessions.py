"""What this app adds to sessions: who has a seat and who waits, and what organisers do about both."""

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Sum
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from attendance.admin.record import on_two_lines
from config.admin import Act, Columns, add_columns, add_glance, add_section, after_save, check_form, extend, keep
from events.admin import local
from events.models.agenda import SessionStatus

from ..forms import AddPersonForm, CancelSessionForm
from ..models import RsvpSettings, SessionLine, SessionRsvp, WaitlistEntry, WaitlistMode, WaitlistStatus
from ..operations import line, reserving, sessions
from .line import COLOURS, IN_ORDER, OFFER, PRIORITY, REMOVE, SKIP, place_all

SHOWN = 50
"""Of those who have a seat and those who wait, on a session's own page: the first."""


# -- The list ----------------------------------------------------------------------------------------------


def counted(rows) -> None:
    """Each session of a page learns its standing offers and its no-shows: two statements for all."""
    keys = [row.pk for row in rows]
    offers, missing = (
        dict(of.filter(session__in=keys).order_by().values_list("session").annotate(number=Count("pk")))
        for of in (WaitlistEntry.objects.offered(), SessionRsvp.objects.no_shows())
    )
    for row in rows:
        row.offers_standing, row.no_shows = offers.get(row.pk, 0), missing.get(row.pk, 0)


@display(description=_("offers"))
def offers(session):
    return session.offers_standing or "–"


@display(description=_("no-shows"))
def no_shows(session):
    return session.no_shows or "–"


add_columns("events.Session", Columns(after="waiting", columns=(offers, no_shows), figures=counted))


# -- The page ------------------------------------------------------------------------------------------------


def at_a_glance(request, session):
    """Seats, line and no-shows, in figures that lead to the lists."""
    if not request.user.has_perm("rsvp.view_sessionrsvp", session):
        return []
    counted([session])
    taken = session.seats_taken if session.capacity is None else f"{session.seats_taken} / {session.capacity}"
    told = [
        (_("Seats taken"), taken, "#seats"),
        (_("Waiting"), session.waitlist_length, "#line"),
        (_("Offers standing"), session.offers_standing, "#line" if session.offers_standing else None),
    ]
    if session.has_begun:
        told.append((_("No-shows"), session.no_shows, "#seats" if session.no_shows else None))
    return told


def switches(session) -> tuple[bool, bool]:
    """Whether the session's own line takes people, and is offered what is free."""
    own = SessionLine.objects.filter(session=session).first() or SessionLine()
    return own.is_open, own.offers_on


def line_state(session) -> str | None:
    """Why nobody can join the line, or gets what is free."""
    is_open, offers_on = switches(session)
    event = RsvpSettings.objects.filter(event=session.event_id).first() or RsvpSettings()
    told = []
    if not event.line_open:
        told.append(gettext("Nobody can join the lines of this event: its RSVP settings say so."))
    elif not is_open:
        told.append(gettext("Nobody can join the line: it is closed."))
    if not event.offers_on:
        told.append(gettext("Free seats of this event are handed on to nobody: its RSVP settings say so."))
    elif not offers_on:
        told.append(gettext("Free seats are handed on to nobody: offers are stopped."))
    return " ".join(told) or None


def people(request, session):
    """Who has a seat and how they came by it; and who waits, in order, with what can be done about each."""
    if not request.user.has_perm("rsvp.view_sessionrsvp", session):
        return None
    seats = SessionRsvp.objects.confirmed().filter(session=session)
    seated = list(seats.select_related("attendee__user_profile", "event").order_by("confirmed_at", "pk")[:SHOWN])
    absent = set(SessionRsvp.objects.no_shows().filter(pk__in=[one.pk for one in seated]).values_list("pk", flat=True))
    came = from_the_line(session, seated)
    live = WaitlistEntry.objects.live().filter(session=session)
    waiting = list(live.select_related("attendee__user_profile", "event").order_by(*IN_ORDER)[:SHOWN])
    place_all(waiting)
    back = reverse("admin:events_session_change", args=[session.pk])
    zone = session.event.zone
    return {
        "template": "admin/session_people.html",
        "state": line_state(session),
        "small_room": small_room(session),
        "seats": [
            {
                "row": one,
                "since": on_two_lines(one.confirmed_at, zone),
                "came_by": came_by(one, came.get(one.attendee_id), zone),
                "absent": one.pk in absent,
                "acts": acts_on(request, one, taking(), back),
            }
            for one in seated
        ],
        "line": [
            {
                "row": one,
                "since": on_two_lines(one.queued_at, zone),
                "state": (COLOURS[one.status], one.get_status_display()),
                "until": local(one.offer_expires_at, zone) if one.status == WaitlistStatus.OFFERED else None,
                "acts": acts_on(request, one, (OFFER, SKIP, PRIORITY, REMOVE), back),
            }
            for one in waiting
        ],
        "number_of_seats": seats.count() if len(seated) == SHOWN else len(seated),
        "number_in_line": live.count() if len(waiting) == SHOWN else len(waiting),
        "shown": SHOWN,
        "session": session,
    }


def from_the_line(session, seated) -> dict:
    """The last place in line of each of them that became a seat."""
    accepted = WaitlistEntry.objects.filter(
        session=session, attendee__in=[one.attendee_id for one in seated], status=WaitlistStatus.ACCEPTED
    )
    return {one.attendee_id: one for one in accepted.order_by("closed_at")}


def came_by(rsvp, entry, zone) -> tuple[str, str]:
    """In words, and where it was from the line, when. A seat that was confirmed at once has no deadline after it."""
    words = rsvp.get_source_display()
    if rsvp.source != SessionRsvp.Source.WAITLIST or entry is None:
        return words, ""
    waited = gettext("waited since {}").format(local(entry.joined_at, zone))
    if entry.offer_expires_at is None or entry.offer_expires_at < entry.closed_at:
        return words, f"{waited}, {gettext('confirmed at once')}"
    offered = gettext("offered {}, accepted {}").format(local(entry.offered_at, zone), local(entry.closed_at, zone))
    return words, f"{waited}, {offered}"


SHORT = {
    OFFER.name: _("Offer"),
    SKIP.name: _("To the end"),
    PRIORITY.name: _("Priority"),
    REMOVE.name: _("Remove"),
    "take_away": _("Take away"),
}
"""How the acts on a place in line are called where there is little room."""


def acts_on(request, row, acts, back) -> list[dict]:
    """What can be done about a row of another kind, and comes back to this page."""
    meta = row._meta
    return [
        {
            "act": one,
            "label": SHORT.get(one.name, one.label),
            "url": reverse(f"admin:{meta.app_label}_{meta.model_name}_act", args=[row.pk, one.name]) + f"?back={back}",
        }
        for one in acts
        if one.available(row) and request.user.has_perm(one.permission, row)
    ]


def taking() -> list[Act]:
    """The acts on an RSVP that take its seat away."""
    return [one for one in admin.site.get_model_admin(SessionRsvp).all_acts if one.operation is reserving.take_from]


def kept(session) -> str | None:
    """What people did about their seats is kept, and so is the session."""
    used = session.seats_taken or session.waitlist_length
    if not used and not any(of.objects.filter(session=session).exists() for of in (SessionRsvp, WaitlistEntry)):
        return None
    return gettext("People took seats in it or waited for one, so that it can't be deleted: cancel it instead.")


keep("events.Session", kept)
add_glance("events.Session", at_a_glance)
add_section("events.Session", people)


# -- The form ------------------------------------------------------------------------------------------------


def fits_what_is_taken(session, cleaned) -> None:
    """A capacity below what is taken, refused with the figures. Raises ValidationError."""
    capacity = cleaned.get("capacity")
    if capacity is None or capacity >= session.seats_taken:
        return
    held = WaitlistEntry.objects.offered().filter(session=session).aggregate(seats=Sum("party_size"))["seats"] or 0
    sentence = ngettext(
        "{taken} seat is taken ({rsvps}, {held}): the capacity can't be smaller.",
        "{taken} seats are taken ({rsvps}, {held}): the capacity can't be smaller.",
        session.seats_taken,
    ).format(
        taken=session.seats_taken,
        rsvps=ngettext("{} by RSVP", "{} by RSVPs", session.seats_taken - held).format(session.seats_taken - held),
        held=ngettext("{} held for an offer", "{} held for offers", held).format(held),
    )
    raise ValidationError({"capacity": ValidationError(sentence, code="too_small")})


def small_room(session) -> str | None:
    """That the room has no seats for as many as may come."""
    if not session.room_is_too_small:
        return None
    sentence = ngettext(
        "{room} has {seats} seat only: fewer than this session's capacity of {capacity}.",
        "{room} has {seats} seats only: fewer than this session's capacity of {capacity}.",
        session.room.capacity,
    )
    return sentence.format(room=session.room, seats=session.room.capacity, capacity=session.capacity)


def tell_saved(request, session, saved) -> None:
    """What more room led to, whom the change concerns, and whether the room has it."""
    given = saved.handed_on
    if given:
        at_once = RsvpSettings.objects.filter(event=session.event_id, waitlist_mode=WaitlistMode.AUTO_CONFIRM).exists()
        words = (
            ngettext("{} person in line has a seat now.", "{} people in line have seats now.", given)
            if at_once
            else ngettext("{} person in line was offered a seat.", "{} people in line were offered seats.", given)
        )
        messages.success(request, words.format(given))
    if saved.to_tell:
        words = ngettext(
            "{} person has a seat or waits for one, and is told in about two minutes what changed.",
            "{} people have a seat or wait for one, and are told in about two minutes what changed.",
            saved.to_tell,
        )
        messages.info(request, words.format(saved.to_tell))
    if sentence := small_room(session):
        messages.warning(request, sentence)


check_form("events.Session", fits_what_is_taken)
after_save("events.Session", sessions.session_changed, tell=tell_saved)


# -- Acts ----------------------------------------------------------------------------------------------------


def loss(rows) -> str | None:
    """Who loses what by cancelling these sessions; where nobody does, nothing needs to be asked."""
    keys = [row.pk for row in rows if row.status == SessionStatus.SCHEDULED]
    seated = SessionRsvp.objects.confirmed().filter(session__in=keys).count()
    waiting = WaitlistEntry.objects.live().filter(session__in=keys).count()
    if not seated + waiting:
        return None
    return gettext("{seated}, {waiting}. All of them lose it, and are told.").format(
        seated=ngettext("{} person has a seat", "{} people have seats", seated).format(seated),
        waiting=ngettext("{} waits for one", "{} wait for one", waiting).format(waiting),
    )


def raised(session, attendee_id=None, seats=1, **others) -> str | None:
    """That the capacity is raised for somebody, from what to what: the operation's own reckoning."""
    entry = sessions.place_of(session, attendee_id) if attendee_id else None
    capacity = sessions.capacity_for(session, entry, seats)
    if capacity == session.capacity:
        return None
    why = (
        gettext("All {} seats are taken").format(session.capacity)
        if session.is_full
        else ngettext("{} person waits for a seat", "{} people wait for seats", session.waitlist_length).format(
            session.waitlist_length
        )
        if session.waitlist_length
        else gettext("{taken} of {capacity} seats are taken").format(
            taken=session.seats_taken, capacity=session.capacity
        )
    )
    return gettext("{why}: the capacity will be raised from {now} to {then}.").format(
        why=why, now=session.capacity, then=capacity
    )


def added(outcome) -> str:
    """Whom, and where more seats were made for them, how many there are and whether the room has them."""
    session = outcome.row.session
    session.refresh_from_db(fields=["capacity"])
    words = gettext("Added {}.").format(outcome.row.attendee)
    if not outcome.raised:
        return words
    if session.room_is_too_small:
        raised = gettext("The capacity is now {}; the room {} holds {}.")
        raised = raised.format(session.capacity, session.room, session.room.capacity)
    else:
        raised = gettext("The capacity is now {}.").format(session.capacity)
    return f"{words} {raised}"


def act(name, label, operation, done, permission="rsvp.change_waitlistentry", **more) -> Act:
    fixed = {"name": name, "label": label, "operation": operation, "key": "session_id", "named": True}
    return Act(permission=permission, done=done, **fixed, **more)


def _takes_place(session) -> bool:
    return session.status == SessionStatus.SCHEDULED


def _has_line(session) -> bool:
    return _takes_place(session) and not session.has_begun


extend(
    "events.Session",
    act(
        "add_person",
        _("Add a person"),
        sessions.add_person,
        _("added"),
        permission="rsvp.add_sessionrsvp",
        form=AddPersonForm,
        of_row=True,
        ask_filled=raised,
        tells=added,
        available=_takes_place,
        icon="person_add",
    ),
    act(
        "close_line",
        _("Close the line"),
        line.switch,
        _("closed to newcomers; whoever waits stays"),
        already=_("closed already"),
        fixed={"is_open": False},
        available=lambda session: _has_line(session) and switches(session)[0],
        icon="do_not_disturb_on",
    ),
    act(
        "open_line",
        _("Open the line"),
        line.switch,
        _("open to newcomers again"),
        already=_("open already"),
        fixed={"is_open": True},
        available=lambda session: _has_line(session) and not switches(session)[0],
        icon="add_circle",
    ),
    act(
        "stop_offers",
        _("Stop offers"),
        line.switch,
        _("offers stopped; those already made stay good, and free seats stay free"),
        already=_("offers stopped already"),
        fixed={"offers_on": False},
        available=lambda session: _has_line(session) and switches(session)[1],
        icon="pause",
    ),
    act(
        "start_offers",
        _("Start offers"),
        line.switch,
        _("free seats are handed on again"),
        already=_("free seats are handed on already"),
        fixed={"offers_on": True},
        available=lambda session: _has_line(session) and not switches(session)[1],
        icon="play_arrow",
    ),
    act(
        "cancel",
        _("Cancel the session"),
        sessions.cancel,
        _("cancelled"),
        already=_("cancelled already"),
        permission="events.change_session",
        form=CancelSessionForm,
        confirm=loss,
        ask=lambda session, person: loss([session]),
        available=_takes_place,
        icon="event_busy",
        tone="danger",
    ),
    act(
        "restore",
        _("Restore the session"),
        sessions.restore,
        _("on again; whoever had a seat takes one anew"),
        already=_("on already"),
        permission="events.change_session",
        available=lambda session: not _takes_place(session),
        icon="undo",
        tone="primary",
    ),
)
