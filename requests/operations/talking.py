"""What happens in a session: what is said, where to meet, and that the mechanic is still on it.

Only its participants read and write; for anybody else there is no such session, whatever their role.
"""

import hashlib
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, NotAllowed, NotFound, Outcome, lock, operation
from config.live import nudge
from events.models import IdempotencyKey

from ..models import ParticipantRole, ServiceSession, ServiceStatus, SessionMessage, SessionType
from . import taking

LONGEST = SessionMessage._meta.get_field("body").max_length


class SessionOver(DomainError):
    code = "session_over"
    message = _("This session is {status}: nothing more can be written in it.")
    plain = _("This session is over.")
    facts = ("status",)
    constraints = ("requests_sessionmessage_while_open",)


class NotParticipant(DomainError):
    code = "not_a_participant"
    status = 404
    message = _("There is no such session, or you may not see it.")
    constraints = ("requests_sessionmessage_by_participant",)


class NotSaid(DomainError):
    """Doors check the same before."""

    code = "message_length"
    status = 400
    message = _("A message has 1 to 4,000 characters.")
    constraints = ("requests_sessionmessage_length",)


class NoPlace(DomainError):
    code = "no_place"
    status = 400
    message = _("A chat has no link or place.")


class LinkNeeded(DomainError):
    code = "link_needed"
    status = 400
    message = _("A video call needs an address that begins with https://.")


@operation
def say(*, session_id, person, body: str, key: str | None = None) -> SessionMessage:
    """Writes a line; the other one hears of it if they don't answer (telling.tell_unanswered). ``key``: of a form; the
    same words sent again with it are the line that they made.

    Raises NotFound, SessionOver, NotSaid.
    """
    if not 1 <= len(body) <= LONGEST:
        raise NotSaid
    session = _locked(session_id, person)
    once = key and hashlib.sha256(f"{session_id}:{key}:{body}".encode()).hexdigest()
    if once and (kept := IdempotencyKey.objects.filter(user_profile=person.pk, key=once).first()):
        return session.messages.get(pk=int(kept.body))
    message = SessionMessage(session=session, author_id=person.pk, body=body)
    message.save(force_insert=True)
    if once:
        kept = dict.fromkeys(("claimed_until", "answered_at", "created_at"), message.created_at)
        kept |= {"status": 201, "body": str(message.pk).encode()}
        IdempotencyKey.objects.create(user_profile_id=person.pk, key=once, fingerprint=once, **kept)
    _acted(session)
    return message


@operation
def set_place(*, session_id, person, place: str) -> Outcome:
    """The mechanic says by which link, or where, they meet. Empty takes it back.

    Raises NotFound, NotAllowed, NoPlace, LinkNeeded, SessionOver.
    """
    session = _locked(session_id, person)
    if session.my_role != ParticipantRole.MECHANIC:
        raise NotAllowed
    if session.type == SessionType.CHAT:
        raise NoPlace
    if session.type == SessionType.VIDEO and place:
        refuse_no_link(place)
    if place == session.place:
        return Outcome(session, changed=False)
    session.place = place
    _acted(session, "place")
    return Outcome(session, changed=True)


@operation
def keep(*, session_id, person) -> Outcome:
    """The mechanic is still on it, though nothing of that is seen here. Raises NotFound, NotAllowed, SessionOver."""
    session = _locked(session_id, person)
    if session.my_role != ParticipantRole.MECHANIC:
        raise NotAllowed
    _acted(session)
    return Outcome(session, changed=True)


def refuse_no_link(place: str) -> None:
    """Raises LinkNeeded."""
    try:
        URLValidator(["https"])(place)
    except ValidationError:
        raise LinkNeeded from None
    if urlsplit(place).username is not None:
        raise LinkNeeded


def _locked(session_id, person) -> ServiceSession:
    """Open, with ``my_role``. Raises NotFound, SessionOver."""
    lock(ServiceSession.objects, pk=session_id)
    session = ServiceSession.objects.of_participant(person).filter(pk=session_id).first()
    if session is None:
        raise NotFound
    if session.status not in ServiceStatus.OPEN:
        raise SessionOver(status=session.get_status_display().lower())
    return session


def _acted(session, *fields):
    """What the mechanic does starts the time anew after which it would go back to the line."""
    if session.my_role == ParticipantRole.MECHANIC:
        session.last_activity_at, session.warned_at = timezone.now(), None
        fields = (*fields, "last_activity_at", "warned_at")
    if fields:
        session.save(update_fields=[*fields, "updated_at"])
    nudge(taking.CHANNEL)
