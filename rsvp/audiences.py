"""Whom a message may go to by their sessions (messaging.audiences)."""

from django import forms
from django.utils.translation import gettext_lazy as _

from events.models import Session
from messaging.audiences import Audience, register

from .models import SessionRsvp, WaitlistEntry


def _sessions_of(event):
    return forms.ModelMultipleChoiceField(
        Session.objects.filter(event=event).order_by("starts_at", "pk"), label=_("Sessions")
    )


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
    ),
    Audience(
        "waiting_for_session",
        _("Waiting for a session"),
        _("Who is in the line of one of the sessions that you choose, or has an offer."),
        people=_waiting,
        form_field=_sessions_of,
    ),
)
