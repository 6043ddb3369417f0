"""Door devices: registered with a one-time code, known by a token, and out at once when revoked."""

import hashlib
import secrets
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, Outcome, lock, operation

from ..models import DoorDevice
from ..models.door import new_enrolment_code

CODE_LASTS = timedelta(minutes=30)


class UnknownCode(DomainError):
    """One answer for codes that never were, were used, or have expired."""

    code = "unknown_code"
    status = 404
    message = _("This registration code doesn't work any more. Ask an organiser for a new one.")


class DeviceRevoked(DomainError):
    code = "device_is_revoked"
    message = _("This device is revoked: make a new one.")
    constraints = ("attendance_doordevice_revoked_has_no_token",)


class PointRuleBroken(DomainError):
    """The database's rules about check-in points; forms say them first."""

    code = "invalid_point"
    status = 400
    message = _("A check-in point of this event has this name, or its times or its session contradict it.")
    constraints = (
        "attendance_checkinpoint_name_unique",
        "attendance_checkinpoint_opens_before_closes",
        "attendance_checkinpoint_session_has_kind",
    )


def hash_of(token: str) -> str:
    """Tokens are random, so that one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


@operation
def enrol(*, code: str) -> tuple[DoorDevice, str]:
    """Turns the one-time code into the device's token, which is told once and kept as a hash.

    Raises UnknownCode.
    """
    device = DoorDevice.objects.select_for_update(no_key=True).filter(enrolment_code=code).first()
    if device is None or device.enrolment_expires_at is None or device.enrolment_expires_at < timezone.now():
        raise UnknownCode
    token = secrets.token_urlsafe(32)
    device.enrolment_code, device.token_hash, device.enrolled_at = None, hash_of(token), timezone.now()
    _save(device, ["enrolment_code", "token_hash", "enrolled_at"], None, "registered")
    return device, token


@operation
def new_code(*, device_id, actor) -> Outcome:
    """A fresh one-time code, for another phone: the one registered before is out. Raises DeviceRevoked."""
    device = lock(DoorDevice.objects, pk=device_id)
    if device.revoked_at is not None:
        raise DeviceRevoked
    device.enrolment_code, device.enrolment_expires_at = new_enrolment_code(), timezone.now() + CODE_LASTS
    device.token_hash = device.enrolled_at = None
    _save(device, ["enrolment_code", "enrolment_expires_at", "token_hash", "enrolled_at"], actor, "new code")
    return Outcome(device, changed=True)


@operation
def revoke(*, device_id, actor) -> Outcome:
    """From this moment its token is worth nothing; what it checked in stays."""
    device = lock(DoorDevice.objects, pk=device_id)
    if device.revoked_at is not None:
        return Outcome(device, changed=False)
    device.revoked_at = timezone.now()
    device.token_hash = device.enrolment_code = None
    _save(device, ["revoked_at", "token_hash", "enrolment_code"], actor, "revoked")
    return Outcome(device, changed=True)


def _save(device, fields, actor, reason):
    device._history_user, device._change_reason = actor, reason
    device.save(update_fields=fields)
