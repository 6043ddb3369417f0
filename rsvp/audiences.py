"""Whom a message may go to by their sessions (messaging.audiences)."""

from django import forms
from django.utils.translation import gettext_lazy as _

from events.models import Session
from events.models.agenda import SessionStatus
from messaging.audiences import Audience, register

from .models import SessionRsvp, WaitlistEntry


class SessionsField(forms.ModelMultipleChoiceField):
    def label_from_instance(self, session):
        off = _("cancelled") if session.status == SessionStatus.CANCELLED else ""
        begins = session.starts_at.astimezone(session.event.zone)
        return " · ".join(filter(None, [session.title, f"{begins:%a %-d %b, %H:%M}", str(off)]))


def _sessions_of(event):
    sessions = Session.objects.filter(event=event).select_related("event").order_by("starts_at", "pk")
    return SessionsField(sessions, label=_("Which sessions"))


def _in(event, details):
    rows = SessionRsvp.objects.confirmed().filter(event=event, session__in=details.get("sessions", []))
    return rows.values("attendee__user_profile_id")


def _waiting(event, details):
    rows = WaitlistEntry.objects.live().filter(event=event, session__in=details.get("sessions", []))
    return rows.values("attendee__user_profile_id")


register(
    Audience(
        "in_session",
        _("In a session"),
        _("Who has a seat in one of the sessions that you choose."),
        people=_in,
        form_field=_sessions_of,
        chooses="sessions",
    ),
    Audience(
        "waiting_for_session",
        _("Waiting for a session"),
        _("Who is in the line of one of the sessions that you choose, or has an offer."),
        people=_waiting,
        form_field=_sessions_of,
        chooses="sessions",
    ),
)
