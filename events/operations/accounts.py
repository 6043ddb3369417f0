"""A person's account: signing up and in, confirming an address, the password, the profile, the photo."""

import io
import secrets
from functools import partial
from pathlib import PurePosixPath

import structlog
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_client_ip_address
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageOps
from rest_framework_simplejwt.exceptions import TokenError

from config.errors import DomainError, operation
from events import sign_in
from events.models import AccountLetter, UserProfile

from . import letters

log = structlog.get_logger(__name__)
Kind = AccountLetter.Kind


class WrongCredentials(DomainError):
    """One sentence for all reasons: it tells nobody which addresses have an account."""

    code = "wrong_credentials"
    status = 401
    message = _("The e-mail address or the password is wrong, or the address was never confirmed.")


class SignInLocked(DomainError):
    """Too many failures for one e-mail address from one network address (settings.AXES_…)."""

    code = "sign_in_locked"
    status = 429
    message = _("Too many failed attempts to sign in. Try again later.")

    def __init__(self):
        super().__init__()
        self.retry_after = int(settings.AXES_COOLOFF_TIME.total_seconds())


class AccountClosed(DomainError):
    """The person behind a valid token was deactivated or erased."""

    code = "account_closed"
    status = 401
    message = _("This account is closed.")


class EmailTaken(DomainError):
    code = "email_taken"
    message = _("Somebody has this e-mail address already.")
    constraints = ("events_userprofile_email_unique",)


class PasswordTooWeak(DomainError):
    code = "password_too_weak"
    status = 400
    message = _("{reasons}")


class CodeInvalid(DomainError):
    """Made up, too old, or used: what it would change was changed since."""

    code = "code_invalid"
    status = 400
    message = _("This code is not valid any more. Ask for a new one.")


class RefreshTokenInvalid(DomainError):
    code = "token_not_valid"
    status = 401
    message = _("The token is invalid or expired. Sign in again.")


class PhotoInvalid(DomainError):
    code = "photo_invalid"
    status = 400
    message = _("This is no picture that we can read. Send a JPEG, PNG or WebP of a reasonable size.")


class PhotoTooLarge(DomainError):
    code = "too_large"
    status = 413
    message = _("The photo is larger than {limit} MB.")


def lock_account(person_id) -> UserProfile:
    """The active person, locked. Raises AccountClosed, Busy."""
    person = UserProfile.objects.active().select_for_update(no_key=True).filter(pk=person_id).first()
    if person is None:
        raise AccountClosed
    return person


def refuse_closed(actor) -> None:
    """For what reads no row that says so. Raises AccountClosed."""
    if not UserProfile.objects.active().filter(pk=actor.pk).exists():
        raise AccountClosed


def write(person, actor, **changes):
    """Writes what differs, with its history; says whether anything did."""
    changed = [name for name, value in changes.items() if getattr(person, name) != value]
    for name in changed:
        setattr(person, name, changes[name])
    if changed:
        person._history_user = actor
        person.save(update_fields=changed)
    return bool(changed)


# -- Tokens for the app ------------------------------------------------------------------------


def start_session(*, email, password, request):
    """A fresh refresh token, which makes access tokens. Raises WrongCredentials, SignInLocked.

    Not one transaction: the failure that is counted must outlive the refusal. ``request`` is REST
    framework's, not Django's: the lock is noted on it, and the middleware that answers with a page
    doesn't see it.
    """
    email = email.strip().lower()
    person = authenticate(request, username=email, password=password)
    if getattr(request, "axes_locked_out", False):
        raise SignInLocked
    if person is None:
        raise WrongCredentials
    AxesProxyHandler.reset_attempts(username=email, ip_address=get_client_ip_address(request))
    return sign_in.PersonRefreshToken.for_user(person)


@operation
def rotate(*, refresh):
    """A new refresh token for an old one, which is used up. Locks the token. Raises RefreshTokenInvalid.

    Refused too: people deactivated or erased, and tokens from before a change of password.
    """
    token = _use_up(refresh)
    person = UserProfile.objects.active().filter(pk=token["user_id"]).first()
    if person is None or not constant_time_compare(token.get("password"), sign_in.password_fingerprint(person)):
        raise RefreshTokenInvalid
    return sign_in.PersonRefreshToken.for_user(person)


@operation
def end_session(*, refresh):
    """The refresh token is used up. Raises RefreshTokenInvalid."""
    _use_up(refresh)


def _use_up(refresh):
    """Of two who use one token at the same time, one is refused: the list holds it only once."""
    try:
        token = sign_in.PersonRefreshToken(refresh)
    except TokenError as error:
        raise RefreshTokenInvalid from error
    _entry, used_now = token.blacklist()
    if not used_now:
        raise RefreshTokenInvalid
    return token


# -- People of the identity provider -------------------------------------------------------------


def person_of_provider(*, claims) -> UserProfile:
    """The person whom verified claims name, made on first sight. Deactivated ones come as they are."""
    owner_id = claims["sub"]
    return UserProfile.objects.filter(owner_id=owner_id).first() or _first_sight(owner_id=owner_id, claims=claims)


@operation
def _first_sight(*, owner_id, claims):
    """Several requests may be the first at once: one makes the row, the others find it."""
    fields = {"first_name": _text(claims, "given_name"), "last_name": _text(claims, "family_name")}
    email = _verified_email(claims)
    for address in (email, None) if email else (None,):
        try:
            with transaction.atomic():
                return UserProfile.objects.create_user(
                    address, owner_id=owner_id, email_verified=address is not None, **fields
                )
        except IntegrityError:
            if person := UserProfile.objects.filter(owner_id=owner_id).first():
                return person
            if address is None:
                raise
    raise AssertionError("the last attempt returns or raises")


def _text(claims, name) -> str:
    value = claims.get(name)
    return "".join(filter(str.isprintable, value))[:150] if isinstance(value, str) else ""


def _verified_email(claims) -> str | None:
    """The e-mail claim, where the provider vouches for it. Whether it is free the database says."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    if len(email) > 254 or not email.isascii():
        return None
    try:
        validate_email(email)
    except ValidationError:
        return None
    return email


# -- Codes that come by mail -----------------------------------------------------------------------


def _code(purpose, person, email) -> str:
    """Signed; good for PASSWORD_RESET_TIMEOUT seconds, and until address or password changes."""
    return signing.dumps([person.pk.hex, email, _state(person)], salt=f"events.accounts.{purpose}")


def _state(person) -> str:
    """Changes with everything that a code can change, so that each works once."""
    value = f"{person.password}|{person.email}|{person.email_verified}"
    return salted_hmac("events.accounts.state", value, algorithm="sha256").hexdigest()[:20]


def _redeem(purpose, code):
    """``(person, email)`` of a valid code, the person locked. Raises CodeInvalid, Busy."""
    try:
        pk, email, state = signing.loads(
            code, salt=f"events.accounts.{purpose}", max_age=settings.PASSWORD_RESET_TIMEOUT
        )
    except signing.BadSignature as error:
        raise CodeInvalid from error
    person = UserProfile.objects.active().select_for_update(no_key=True).filter(pk=pk).first()
    if person is None or not constant_time_compare(state, _state(person)):
        raise CodeInvalid
    return person, email


def _find(email) -> UserProfile | None:
    return UserProfile.objects.active().filter(email__lower=email.strip().lower()).first()


# -- What the letters say --------------------------------------------------------------------------


@letters.writes(Kind.CONFIRM_EMAIL)
def _write_confirmation(letter):
    """To the address that a person, or whoever has it, is to confirm. If it has become somebody else's,
    they are told, as they are when somebody wants to sign up with it."""
    asked = UserProfile.objects.active().filter(pk=letter.user_id).first
    person = asked() if letter.user_id else _find(letter.address)
    if person is None:
        return None
    if (person.email or "").lower() == letter.address:
        if person.email_verified:
            return None
    elif UserProfile.objects.filter(email__lower=letter.address).exists():
        return _write_to_owner(letter)
    code = _code("confirm", person, letter.address)
    return letters.text("confirm_email", letter.address, code=code)


@letters.writes(Kind.RESET_PASSWORD)
def _write_reset(letter, template="reset_password"):
    person = _find(letter.address)
    if person is None:
        return None
    code = _code("reset", person, person.email)
    return letters.text(template, person.email, code=code, why=letter.context.get("why"))


@letters.writes(Kind.ADDRESS_IN_USE)
def _write_to_owner(letter):
    return _write_reset(letter, "address_in_use")


@letters.writes(Kind.EMAIL_CHANGED)
def _write_farewell(letter):
    """To the former address."""
    return letters.text("email_changed", letter.address, email=letter.context["email"])


# -- Signing up, the address, the password ------------------------------------------------------------


@operation
def sign_up(*, email, password, first_name, last_name):
    """A new person, who signs in once the mail is confirmed. Raises PasswordTooWeak.

    Nothing that a caller sees tells whether the address has an account: the mailbox learns it, and
    a password that strangers chose never gets into an account that is there.
    """
    person = UserProfile(email=email.strip().lower(), first_name=first_name, last_name=last_name)
    _check_password(password, person)
    person.password = make_password(password)
    try:
        with transaction.atomic():
            person.save(force_insert=True)
    except IntegrityError:
        letters.post(Kind.ADDRESS_IN_USE, person.email)
    else:
        letters.post(Kind.CONFIRM_EMAIL, person.email, user=person)


@operation
def confirm_email(*, code):
    """The address is the person's: the one they signed up with, or the one they changed to.

    Locks the person. Raises CodeInvalid, EmailTaken.
    """
    person, email = _redeem("confirm", code)
    before = person.email if person.email_verified else None
    write(person, person, email=email, email_verified=True)
    if before and before != email:
        letters.post(Kind.EMAIL_CHANGED, before, user=person, email=email)
    return person


@operation
def resend_confirmation(*, email):
    """Another mail, for an address that waits for it; silence for any other."""
    letters.post(Kind.CONFIRM_EMAIL, email.strip().lower())


MAILS = ("10/hour", "account-mail")
"""Letters that one address is sent, whichever door asks: no mailbox is flooded."""


@operation
def ask_for_reset(*, email, why: str = ""):
    """A mail with a code to set a new password; silence where there is no account. ``why``: what whoever never had one
    needs it for, where somebody else has asked."""
    letters.post(Kind.RESET_PASSWORD, email.strip().lower(), why=why)


@operation
def reset_password(*, code, password):
    """A new password; the code from the mailbox also proves the address. Other devices are signed out.

    Locks the person. Raises CodeInvalid, PasswordTooWeak.
    """
    person, _email = _redeem("reset", code)
    _check_password(password, person)
    write(person, person, password=make_password(password), email_verified=True)
    return person


def _check_password(password, person):
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise PasswordTooWeak(reasons=" ".join(error.messages)) from error


# -- The profile -----------------------------------------------------------------------------------------


@operation
def edit_profile(*, actor, email=None, **changes):
    """The person's own names and phone number. Locks the person. Raises AccountClosed.

    A new phone number is unverified. A new e-mail address takes effect when the code that is sent
    to it comes back (confirm_email): until then the old one signs in and gets the mail.
    """
    person = lock_account(actor.pk)
    if changes.get("phone", person.phone) != person.phone:
        changes["phone_verified"] = False
    write(person, person, **changes)
    email = email and email.strip().lower()
    if email and email != (person.email or "").lower():
        letters.post(Kind.CONFIRM_EMAIL, email, user=person)
    return person


# -- The photo ---------------------------------------------------------------------------------------------

PHOTO_SIDE = 512
PIXELS_DECLARED, PIXELS_UNPACKED = 50_000_000, 16_000_000
"""How large a picture may say it is, and what may then be unpacked. A JPEG is read at a fraction."""


def set_photo(*, actor, upload) -> UserProfile:
    """A square JPEG made of the uploaded file. Raises PhotoTooLarge, PhotoInvalid, AccountClosed.

    The file is stored before the transaction, and taken away again should that fail.
    """
    if upload.size > settings.PHOTO_LIMIT:
        raise PhotoTooLarge(limit=settings.PHOTO_LIMIT // 1024 // 1024)
    name = default_storage.save(f"photos/{secrets.token_urlsafe(24)}.jpg", ContentFile(_square_jpeg(upload)))
    try:
        return _replace_photo(actor=actor, url=default_storage.url(name))
    except BaseException:
        default_storage.delete(name)
        raise


def remove_photo(*, actor) -> UserProfile:
    """Raises AccountClosed."""
    return _replace_photo(actor=actor, url="")


@operation
def _replace_photo(*, actor, url):
    person = lock_account(actor.pk)
    forget_photo(person)
    write(person, person, photo_url=url)
    return person


def forget_photo(person):
    """The person's picture file goes after the commit; one that lies elsewhere isn't ours to delete."""
    name = f"photos/{PurePosixPath(person.photo_url).name}"
    if person.photo_url and person.photo_url == default_storage.url(name):
        transaction.on_commit(partial(default_storage.delete, name), robust=True)


def _square_jpeg(upload) -> bytes:
    """Cropped, at most 512 pixels wide, and without anything else that the file carried (EXIF, GPS)."""
    try:
        with Image.open(upload, formats=("JPEG", "PNG", "WEBP")) as picture:
            _check_pixels(picture, PIXELS_DECLARED)
            picture.draft("RGB", (2 * PHOTO_SIDE, 2 * PHOTO_SIDE))
            _check_pixels(picture, PIXELS_UNPACKED)
            side = min(PHOTO_SIDE, picture.width, picture.height)
            square = ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGBA"), (side, side))
        clean = Image.new("RGB", square.size, "white")
        clean.paste(square, mask=square)
        out = io.BytesIO()
        clean.save(out, "JPEG", quality=85, optimize=True)
    except PhotoInvalid:
        raise
    except Exception as error:  # a decoder of strangers' files fails in any way it likes
        log.info("photo.unreadable", reason=repr(error))
        raise PhotoInvalid from error
    return out.getvalue()


def _check_pixels(picture, limit):
    if picture.width * picture.height > limit:
        raise PhotoInvalid
