"""Service requests: what waits, who takes it, and how it goes on.

Hot: rows go from the database to JSON without serializers; ServiceRequest is their schema, and ``shown`` their one
home, for the stream as well.
"""

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from ..models import ParticipantRole, RequestStatus, SessionRequest, SessionType
from ..operations import telling

COLUMNS = [
    *("id", "status", "urgent", "skill", "session_type", "plan_code", "session_id", "event_id", "organization_id"),
    *("customer_id", "customer_name", "notes", "created_at", "waiting_since", "accepted_at", "updated_at"),
    *("mechanic_id", "mechanic__display_name", "mechanic__user_profile_id"),
]


class NamedPerson(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


class NamedMechanic(serializers.Serializer):
    id = serializers.UUIDField()
    display_name = serializers.CharField()


class ServiceRequest(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(
        RequestStatus.choices, help_text=_("Pending and unattended ones wait for somebody to accept them.")
    )
    urgent = serializers.BooleanField()
    skill = serializers.CharField()
    session_type = serializers.ChoiceField(SessionType.choices)
    plan_code = serializers.CharField()
    session_id = serializers.UUIDField()
    session_url = serializers.URLField(help_text=_("The page of its session, for customer and mechanic alike."))
    event_id = serializers.IntegerField(allow_null=True)
    organization_id = serializers.IntegerField()
    customer = NamedPerson()
    notes = serializers.CharField(help_text=_("The concern, as the customer told it."))
    created_at = serializers.DateTimeField(help_text=_("Its place in line, which it keeps when it comes back."))
    waiting_since = serializers.DateTimeField()
    accepted_at = serializers.DateTimeField(allow_null=True)
    mechanic = NamedMechanic(allow_null=True, help_text=_("Who has it."))
    my_role = serializers.ChoiceField(
        ParticipantRole.choices, allow_null=True, help_text=_("Yours in its session; null if it isn't yours.")
    )
    updated_at = serializers.DateTimeField()


def rows(requests):
    """The columns of some SessionRequests that :func:`shown` reads, one query."""
    return requests.values(*COLUMNS)


def shown(request: dict, person_id=None) -> dict:
    """A ServiceRequest of one of :func:`rows`, as this person sees it."""
    mechanic = request["mechanic_id"] and {
        "id": request["mechanic_id"],
        "display_name": request["mechanic__display_name"],
    }
    return {
        "id": request["id"],
        "status": request["status"],
        "urgent": request["urgent"],
        "skill": request["skill"],
        "session_type": request["session_type"],
        "plan_code": request["plan_code"],
        "session_id": request["session_id"],
        "session_url": telling.address(request["session_id"]),
        "event_id": request["event_id"],
        "organization_id": request["organization_id"],
        "customer": {"id": request["customer_id"], "name": request["customer_name"]},
        "notes": request["notes"],
        "created_at": request["created_at"],
        "waiting_since": request["waiting_since"],
        "accepted_at": request["accepted_at"],
        "mechanic": mechanic,
        "my_role": _role(request, person_id),
        "updated_at": request["updated_at"],
    }


def _role(request, person_id) -> str | None:
    if person_id is None:
        return None
    if request["customer_id"] == person_id:
        return ParticipantRole.CUSTOMER
    if request["mechanic__user_profile_id"] == person_id:
        return ParticipantRole.MECHANIC
    return None


def shown_to(person, request_id) -> dict:
    """A request as it stands now, for somebody who has just acted on it."""
    return shown(rows(SessionRequest.objects).get(pk=request_id), person.pk)
