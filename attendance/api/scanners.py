"""Who may stand at an event's door, and how they prove it: a person's token, a device's, or the admin's session."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import Subquery, Value
from django.db.models.functions import Concat, Trim
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.views import APIView

from config import second_factor
from config.api import IsPublic, has_left, within
from config.errors import DomainError, NotAllowed, NotFound
from events.models import Event, UserProfile
from events.models.people import Role
from events.sign_in import TokenAuthentication

from ..models import CheckInPoint, DoorDevice
from ..operations import devices
from ..operations.check_in import Scanner

AT_DOORS = {*Role.MANAGE, Role.DOOR, "superuser"}


class DeviceUnknown(DomainError):
    """A device that is revoked, registered anew elsewhere, or never was one."""

    code = "device_revoked"
    status = 401
    message = _("This device is not registered any more.")


class DeviceAuthentication(BaseAuthentication):
    """``Authorization: Device <token>``. Asked of the database each time: a revoked device is out at once."""

    keyword = "Device"

    def authenticate(self, request):
        word, _space, token = get_authorization_header(request).partition(b" ")
        if word.lower() != self.keyword.lower().encode():
            return None
        token = token.strip().decode("ascii", "replace")
        device = (
            DoorDevice.objects.select_related("event")
            .filter(token_hash=devices.hash_of(token), revoked_at=None)
            .first()
        )
        if device is None:
            raise AuthenticationFailed(str(DeviceUnknown.message), DeviceUnknown.code)
        return AnonymousUser(), device

    def authenticate_header(self, request):
        return self.keyword


class DoorSession(SessionAuthentication):
    """The door page of somebody who is signed in to the admin, second factor included."""

    def authenticate(self, request):
        found = super().authenticate(request)
        return None if found is None or second_factor.pending(request._request) else found


class DeviceScheme(OpenApiAuthenticationExtension):
    target_class = "attendance.api.scanners.DeviceAuthentication"
    name = "device"

    def get_security_definition(self, auto_schema):
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The word Device, a space, and the token of a registered door device.",
        }


class DoorSessionScheme(OpenApiAuthenticationExtension):
    target_class = "attendance.api.scanners.DoorSession"
    name = "session"

    def get_security_definition(self, auto_schema):
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "With X-CSRFToken."}


class Slowed(DomainError):
    code = "throttled"
    status = 429
    message = _("Too many unknown tickets. Wait a minute.")
    retry_after = 60


GUESSES = "30/minute"
"""Unknown codes of one scanner; a person who reads posters by mistake stays far below."""


def may_guess(scanner: Scanner) -> bool:
    return has_left(GUESSES, "door-guesses", scanner.key)


def counted_guess(scanner: Scanner) -> bool:
    """Counts one more unknown code; whether it may still be answered."""
    return within(GUESSES, "door-guesses", scanner.key)


class AtDoor(APIView):
    """Base of the calls that a scanner makes. Whoever has no business at this door gets 404."""

    authentication_classes = [DeviceAuthentication, TokenAuthentication, DoorSession]
    permission_classes = [IsPublic]  # a device is no person: scanner() says who may

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        if not request.user.is_authenticated and not isinstance(request.auth, DoorDevice):
            raise NotAuthenticated  # before anything is said about the body

    def scanner(self, event_id, point_id=None, *, checks_in=True) -> Scanner:
        """Raises NotFound; NotAllowed for a device that ``checks_in`` where it has no business."""
        device = self.request.auth if isinstance(self.request.auth, DoorDevice) else None
        if device is not None:
            if device.event_id != event_id:
                raise NotFound
            event, facts = device.event, {"device": device, "name": device.name}
        else:
            event = self._event(event_id)
            facts = {"person": self.request.user, "role": event.my_role, "name": event.my_name}
        if checks_in and device is not None and point_id is None and not device.at_door:
            raise NotAllowed
        point = self._point(event, device, point_id)
        return Scanner(event=event, point=point, **facts)

    def _event(self, event_id) -> Event:
        """With what the person is there, and their name: a token carries neither."""
        name = UserProfile.objects.filter(pk=self.request.user.pk).values(
            name=Trim(Concat("first_name", Value(" "), "last_name"))
        )
        events = Event.objects.with_role(self.request.user).annotate(my_name=Subquery(name))
        event = events.filter(pk=event_id).first()
        if event is None or event.my_role not in AT_DOORS:
            raise NotFound
        return event

    @staticmethod
    def _point(event, device, point_id):
        if point_id is None:
            return None
        points = CheckInPoint.objects.filter(event=event, pk=point_id)
        if device is not None:
            points = points.filter(devices=device)
        point = points.first()
        if point is None:
            raise NotFound
        return point


def points_of(scanner: Scanner):
    """The check-in points besides the event's door that this scanner may use."""
    points = CheckInPoint.objects.filter(event=scanner.event)
    return points.filter(devices=scanner.device) if scanner.device else points
