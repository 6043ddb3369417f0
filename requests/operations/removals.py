"""An organiser takes somebody out, keeps them out, or changes how many they bring."""

from attendance.models import Attendee
from attendance.operations import room
from config.database import write
from config.errors import Outcome, lock, lock_event_of, lock_with_event, operation
from events.models import Event

from ..models import Ban, JoinRequest
from . import join_requests, notices


@operation
def remove(*, attendee_id, actor, reason: str) -> Outcome:
    """Takes the attendee out, through their join request where there is one (it is declined)."""
    event, attendee = _find(attendee_id)
    if not attendee.is_active:
        return Outcome(attendee, changed=False)
    _remove(event, attendee, actor, reason)
    return Outcome(attendee, changed=True)


@operation
def ban(*, attendee_id, actor, reason: str) -> Outcome:
    """Removes the attendee, and keeps them from coming back to this event by any way.

    When the event is over, who was there stays on record; the ban is kept all the same.
    """
    event, attendee = _find(attendee_id)
    return Outcome(attendee, changed=_ban(event, attendee.user_profile_id, actor, reason))


@operation
def ban_applicant(*, request_id, actor, reason: str) -> Outcome:
    """:func:`ban` for somebody who has asked to join: the request is declined."""
    event, request = lock_with_event(JoinRequest, request_id)
    return Outcome(request, changed=_ban(event, request.user_profile_id, actor, reason))


@operation
def change_plus_ones(*, attendee_id, actor, plus_ones: int) -> Outcome:
    """An organiser's exception to 'fixed once approved', under the same check of capacity.

    Raises TooManyPlusOnes, EventFull, EventClosed.
    """
    event, attendee = _find(attendee_id)
    if attendee.plus_ones == plus_ones:
        return Outcome(attendee, changed=False)
    if plus_ones > event.max_plus_ones:
        raise room.TooManyPlusOnes(allowed=event.max_plus_ones)
    fewer = plus_ones < attendee.plus_ones
    if attendee.join_request_id:
        request = lock(JoinRequest.objects, pk=attendee.join_request_id)
        request.plus_ones = plus_ones
        write([request], ["plus_ones"], actor=actor, reason="plus-ones changed by an organiser")
    room.change_plus_ones(event=event, attendee=attendee, plus_ones=plus_ones, actor=actor)
    if fewer:
        join_requests.fill_up(event)
    return Outcome(attendee, changed=True)


def _find(attendee_id):
    """The event, locked, and the attendee as it is now. Its row is locked after the join request's."""
    return lock_event_of(Attendee, attendee_id), Attendee.objects.get(pk=attendee_id)


def _remove(event: Event, attendee: Attendee, actor, reason, *, tell=True):
    if attendee.join_request_id:
        join_requests.turn_away(request_id=attendee.join_request_id, actor=actor, note=reason, tell=tell)
    else:
        if not event.is_open:
            raise room.EventClosed(status=event.get_status_display().lower())
        attendee = lock(Attendee.objects, pk=attendee.pk)
        room.put_out(event=event, attendees=[attendee], actor=actor, reason=reason)
        if tell:
            notices.removed(event, attendee, actor=actor)
        join_requests.fill_up(event)


def _ban(event, user_profile_id, actor, reason) -> bool:
    """Declines what they have asked, too: automatic approval would let them in with the next free place."""
    row, made = Ban.objects.get_or_create(
        event=event, user_profile_id=user_profile_id, defaults={"reason": reason, "banned_by": actor}
    )
    if not event.is_open:
        return made
    waiting = JoinRequest.objects.pending().filter(event=event, user_profile_id=user_profile_id).first()
    if waiting:
        join_requests.turn_away(request_id=waiting.pk, actor=actor, note=reason, tell=False)
    attendee = Attendee.objects.active().filter(event=event, user_profile_id=user_profile_id).first()
    if attendee:
        _remove(event, attendee, actor, reason, tell=False)
    if made:
        asked = waiting or (attendee and attendee.join_request_id)
        notices.banned(event, row, note=reason if asked else None)
    return made
