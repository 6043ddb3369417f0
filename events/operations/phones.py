"""Whose a phone number is: it is verified by a code that comes by SMS."""

from datetime import timedelta

from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as text_of
from django.utils.translation import gettext_lazy as _

from config.database import in_turn
from config.errors import DomainError, operation
from events.models import AccountLetter, PhoneCode, UserProfile

from . import letters
from .accounts import lock_account, write

CODES = 3
"""An hour, for a person, and for a number, whoever asks: no phone is flooded, and of a million codes nobody tries
more than CODES × TRIES an hour."""
TRIES = 5
LASTS, KEPT = timedelta(minutes=10), timedelta(hours=1)


class PhoneCodeInvalid(DomainError):
    """One sentence for all reasons: whoever guesses learns nothing from it."""

    code = "phone_code_invalid"
    status = 400
    message = _("The code is wrong, older than ten minutes, or was tried too often. Ask for a new one.")


class TooManyCodes(DomainError):
    code = "too_many_codes"
    status = 429
    message = _("Too many codes were sent within an hour. Try again later.")
    retry_after = 3600


@operation
def send_code(*, actor, phone) -> None:
    """A code to the number, in E.164; the one before is worth nothing any more. Whether somebody else
    has the number makes no difference. Locks the person, then the number. Raises AccountClosed, TooManyCodes,
    Busy."""
    person = lock_account(actor.pk)
    in_turn(f"phone code {phone}")
    recent = PhoneCode.objects.filter(created_at__gt=Now() - KEPT)
    if recent.filter(user=person).count() >= CODES or recent.filter(phone=phone).count() >= CODES:
        raise TooManyCodes
    PhoneCode.objects.create(user=person, phone=phone, replaces=person.phone, expires_at=Now() + LASTS)
    letters.post(AccountLetter.Kind.VERIFY_PHONE, phone, user=person, channel=AccountLetter.Channel.SMS)


def verify(*, actor, code) -> UserProfile:
    """The number that the code went to becomes the person's, verified; guests with it are theirs at once.

    Not one transaction: a wrong try must be counted though it is refused. Locks the person.
    Raises PhoneCodeInvalid, AccountClosed, Busy.
    """
    person = _try(actor=actor, code=code)
    if person is None:
        raise PhoneCodeInvalid
    return person


@operation
def _try(*, actor, code):
    person = lock_account(actor.pk)
    row = _last(person)
    if row is None or row.tries >= TRIES or person.phone not in (row.replaces, row.phone):
        return None
    if not constant_time_compare(code, code_of(row)):
        row.tries += 1
        row.save(update_fields=["tries"])
        return None
    PhoneCode.objects.filter(pk=row.pk).update(expires_at=Now())
    write(person, person, phone=row.phone, phone_verified=True)
    return person


def _last(person) -> PhoneCode | None:
    """The one code of the person that is good, if it still is."""
    row = PhoneCode.objects.filter(user=person).order_by("pk").last()
    return row if row and row.expires_at > timezone.now() else None


def forget() -> None:
    PhoneCode.objects.filter(created_at__lt=timezone.now() - KEPT).delete()


def code_of(row) -> str:
    """Six digits. Whoever reads the table but not SECRET_KEY can't work them out."""
    value = f"{row.user_id}|{row.phone}|{row.secret}"
    return f"{int(salted_hmac('events.phones.code', value, algorithm='sha256').hexdigest(), 16) % 10**6:06}"


@letters.writes(AccountLetter.Kind.VERIFY_PHONE)
def _write_code(letter):
    person = UserProfile.objects.active().filter(pk=letter.user_id).first()
    row = person and _last(person)
    if row is None or row.phone != letter.address:
        return None
    words = text_of("{code} is your code for Turnout. It is good for ten minutes. Give it to nobody.")
    return letters.Text(to=letter.address, subject="", body=words.format(code=code_of(row)))
