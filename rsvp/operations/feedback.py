"""What people thought of the sessions that they were in."""

from django.db import connection
from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, Outcome, operation

from ..models import SessionFeedback
from ..triggers.feedback import AFTER_END, ATTENDED, HERE, WAS_THERE
from . import standing


class SessionNotOver(DomainError):
    code = "session_not_over"
    message = _("Feedback is for sessions that took place and are over.")
    constraints = (AFTER_END,)


class NotThere(DomainError):
    code = "was_not_there"
    status = 403
    message = _("Feedback is for those who were there.")
    constraints = (WAS_THERE,)


MAY_GIVE = f"""
    SELECT a.id FROM event_sessions s
    JOIN event_attendees a ON a.event_id = s.event_id
    JOIN user_profiles p ON p.id = a.user_profile_id AND p.is_active
    WHERE s.id = %(session)s AND s.status = 'scheduled' AND s.ends_at <= clock_timestamp()
        AND a.user_profile_id = %(person)s AND {HERE}
        AND {ATTENDED.format(session="s.id", attendee="a.id", capacity="s.capacity")}
"""


def may_give(*, session_id, person):
    """As whom the person may say what they thought of the session: the id of an attendee; None where they may not."""
    with connection.cursor() as cursor:
        cursor.execute(MAY_GIVE, {"session": session_id, "person": person.pk})
        row = cursor.fetchone()
    return row and row[0]


@operation
def give(*, session_id, person, rating: int, comment: str = "") -> Outcome:
    """The person's feedback, in place of any that they gave before; ``changed`` is False then.

    Whether they were there is the database's to say (rsvp.triggers.feedback). Raises NotFound, NotAttending,
    SessionNotOver, NotThere.
    """
    found = standing.of(session_id=session_id, person=person)
    said = {"rating": rating, "comment": comment}
    row, made = SessionFeedback.objects.update_or_create(
        session_id=session_id,
        attendee_id=found.attendee_id,
        defaults=said,
        create_defaults=said | {"event_id": found.event_id},
    )
    row.refresh_from_db()  # updated_at is the database's
    return Outcome(row, changed=made)
