"""Signing in to the attendees' pages by a link that comes by mail; whoever has no account makes one by it.

The link is the letter's (events.operations.letters): it is signed when the letter is sent, stands nowhere,
is good for VALID from then on, and works once.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.core import signing
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.errors import DomainError, operation
from events.models import AccountLetter, UserProfile

from . import accounts, letters

VALID = timedelta(minutes=20)
SALT = "events.sign_in_links"


class LinkInvalid(DomainError):
    code = "link_invalid"
    status = 400
    message = _("This link doesn't work any more: it is good for 20 minutes, and once. Ask for another one.")


@dataclass(frozen=True)
class Link:
    """What a link is good for. ``person`` is None where the address has no account yet."""

    email: str
    person: UserProfile | None
    next: str


@operation
def ask(*, email, next=""):
    """A letter with a link, whoever has the address; ``next`` is the page of ours that it leads to.

    Nothing that a caller sees tells whether there is an account.
    """
    letters.post(AccountLetter.Kind.SIGN_IN, email.strip().lower(), next=next)


@letters.writes(AccountLetter.Kind.SIGN_IN)
def _write(letter):
    person = _of(letter.address)
    if person is not None and not person.is_active:
        return None
    token = signing.dumps(letter.pk, salt=SALT)
    return letters.text("sign_in", letter.address, token=token, new=person is None)


def look(*, token) -> Link:
    """What would happen; nothing does: mail programs open links by themselves. Raises LinkInvalid."""
    letter = AccountLetter.objects.filter(pk=_letter_id(token)).first()
    return _read(letter)


@operation
def use(*, token, first_name="", last_name="") -> Link:
    """Uses the link up, and gives who signs in. An address without an account gets one, with these names.

    The mailbox proves the address. An account that waited for this proof loses its password: a stranger
    may have chosen it. Locks the letter, then the person. Raises LinkInvalid, EmailTaken (somebody made
    the account meanwhile: the link is as good as before), Busy.
    """
    letter = AccountLetter.objects.select_for_update(no_key=True).filter(pk=_letter_id(token)).first()
    link = _read(letter)
    letter.used_at = timezone.now()
    letter.save(update_fields=["used_at"])
    if link.person is None:
        person = UserProfile(
            email=link.email,
            email_verified=True,
            first_name=first_name,
            last_name=last_name,
            password=make_password(None),
        )
        person.save(force_insert=True)
    else:
        person = accounts.lock_account(link.person.pk)
        if not person.email_verified:
            accounts.write(person, person, email_verified=True, password=make_password(None))
    return Link(link.email, person, link.next)


def _letter_id(token) -> int:
    try:
        return signing.loads(token, salt=SALT, max_age=VALID)
    except signing.BadSignature as error:
        raise LinkInvalid from error


def _read(letter) -> Link:
    if letter is None or letter.used_at:
        raise LinkInvalid
    person = _of(letter.address)
    if person is not None and not person.is_active:
        raise LinkInvalid
    return Link(letter.address, person, letter.context.get("next", ""))


def _of(email) -> UserProfile | None:
    return UserProfile.objects.filter(email__lower=email).first()
