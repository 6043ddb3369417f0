"""Whom a message may go to by their join request (messaging.audiences)."""

from django.utils.translation import gettext_lazy as _

from messaging.audiences import Audience, register

from .models import JoinRequest, Status


def _requests(status):
    def people(event, details):
        return JoinRequest.objects.filter(event=event, status=status).values("user_profile_id")

    return people


register(
    Audience(
        "asked",
        _("Asked to join"),
        _("Whose join request is waiting for a decision."),
        people=_requests(Status.PENDING),
    ),
    Audience("declined", _("Declined"), _("Whose join request was declined."), people=_requests(Status.DECLINED)),
)
