"""How people prove who they are: by e-mail and password, by a link from their mailbox, or by a signed token.

Tokens are ours, or those of the customer's own identity provider (settings.IDENTITY_PROVIDER).

REST framework loads this module while it loads itself, because its settings name a class in here:
what is imported at the top must not need its views.
"""

import threading
import time
import uuid
from functools import cache

import httpx
import jwt
import structlog
from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from .models import UserProfile

log = structlog.get_logger(__name__)


# -- By password -----------------------------------------------------------------------------


class EmailBackend(BaseBackend):
    """E-mail, in any case, and password. Permissions come from ``rules``, not from here.

    An address that nobody confirmed signs nobody in: whoever signs up with somebody else's would
    otherwise own what organisers later give to it.
    """

    def authenticate(self, request, username=None, password=None, email=None):
        email = email or username
        if not email or password is None:
            return None
        person = UserProfile.objects.active().filter(email__lower=email.strip().lower(), email_verified=True).first()
        if person is None:
            UserProfile().set_password(password)  # as slow as a wrong password: no address is given away
            return None
        return person if person.check_password(password) else None

    def get_user(self, user_id):
        """Says as well whether there is a second factor to ask for (config.second_factor)."""
        second_factor = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        people = UserProfile.objects.active().annotate(has_second_factor=Exists(second_factor))
        return people.filter(pk=user_id).first()


class LinkBackend(BaseBackend):
    """Whose session began with a link from their mailbox (events.operations.sign_in_links).

    Nobody authenticates by it. That the session names it tells the admin, and the door, that no password
    was asked for: they stay closed (config.second_factor).
    """

    def get_user(self, user_id):
        return EmailBackend().get_user(user_id)


# -- By our own tokens -----------------------------------------------------------------------


class PersonRefreshToken(RefreshToken):
    """Carries the owner_id beside the id, so that no later call has to look it up.

    ``password`` is a fingerprint of the password's hash: whatever door changes the password, the
    tokens from before it are worthless. Access tokens, which live minutes, don't carry it.
    """

    no_copy_claims = (*RefreshToken.no_copy_claims, "password")

    @classmethod
    def for_user(cls, user):
        token = super().for_user(user)
        token["owner_id"] = user.owner_id
        token["password"] = password_fingerprint(user)
        return token


def password_fingerprint(person) -> str:
    return person.get_session_auth_hash()[:20]


def access_token(person) -> str:
    """A signed access token for the person, good for ACCESS_TOKEN_LIFETIME."""
    token = AccessToken.for_user(person)
    token["owner_id"] = person.owner_id
    return str(token)


BAD_HEADER = "bad_authorization_header"


class TokenAuthentication(JWTStatelessUserAuthentication):
    """The person that a token names; for our own tokens, without asking the database.

    Only the id and owner_id come from the token; any other field is read when somebody asks for it.
    Whether the person may still act is part of the query that loads what they ask for. A token of
    the identity provider names a subject: that costs one query, which asks for all of this.
    """

    def get_raw_token(self, header):
        try:
            return super().get_raw_token(header)
        except AuthenticationFailed as error:
            raise AuthenticationFailed(_("Authorization is the word Bearer and a token."), BAD_HEADER) from error

    def get_validated_token(self, raw_token):
        try:
            if is_of_provider(raw_token):
                return ProviderClaims(provider_claims(raw_token))
            return super().get_validated_token(raw_token)
        except (InvalidToken, jwt.InvalidTokenError) as error:
            raise AuthenticationFailed(_("The token is invalid or expired."), "token_not_valid") from error

    def get_user(self, validated_token):
        if isinstance(validated_token, ProviderClaims):
            from .operations import accounts

            person = accounts.person_of_provider(claims=validated_token)
            if not person.is_active:
                raise AuthenticationFailed(_("This account is closed."), "account_closed")
            return person
        try:
            identity = [uuid.UUID(validated_token["user_id"]), validated_token["owner_id"]]
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise AuthenticationFailed(_("The token is invalid or expired."), "token_not_valid") from error
        return UserProfile.from_db(None, ["id", "owner_id"], identity)


# -- By the identity provider's tokens ---------------------------------------------------------


class ProviderUnreachable(APIException):
    status_code = 503
    default_code = "identity_provider_unreachable"
    default_detail = _("Your sign-in can't be checked right now: the identity provider doesn't answer.")
    wait = 10


class ProviderClaims(dict):
    """The verified claims of a token that the identity provider signed."""


PROVIDER_ALGORITHMS = ("RS256", "ES256")
LEEWAY = 10
"""Seconds that the provider's clock may differ from ours."""


def is_of_provider(raw_token) -> bool:
    """Ours are signed with a secret, theirs with a private key: the algorithm tells them apart.

    Each side is then verified with its own algorithms and keys only.
    """
    if not settings.IDENTITY_PROVIDER["jwks_url"]:
        return False
    return jwt.get_unverified_header(raw_token).get("alg") in PROVIDER_ALGORITHMS


def provider_claims(raw_token) -> dict:
    """What the token says, verified. Raises jwt.InvalidTokenError, ProviderUnreachable."""
    header = jwt.get_unverified_header(raw_token)
    key = provider_keys(settings.IDENTITY_PROVIDER["jwks_url"]).find(header.get("kid"))
    if key is None:
        raise jwt.InvalidTokenError("signed with a key that the provider doesn't publish")
    claims = jwt.decode(
        raw_token,
        key,
        algorithms=PROVIDER_ALGORITHMS,
        issuer=settings.IDENTITY_PROVIDER["issuer"],
        audience=settings.IDENTITY_PROVIDER["audience"],
        leeway=LEEWAY,
        options={"require": ["exp", "iss", "aud", "sub"]},
    )
    subject = claims["sub"]
    if not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise jwt.InvalidTokenError("a subject is 1 to 255 visible characters")
    return claims


class ProviderKeys:
    """The provider's published keys. Read again every ten minutes, and when a key is unknown.

    A read that fails leaves the known keys in use for a day: a provider that is away for an hour
    signs nobody out. However many tokens ask, there is one read in ``PAUSE`` seconds.
    """

    KEPT, LAST, PAUSE, TIMEOUT = 600, 86_400, 10, 3

    def __init__(self, url):
        self.url = url
        self.keys = {}
        self.read_at = self.tried_at = float("-inf")
        self.lock = threading.Lock()

    def find(self, kid) -> jwt.PyJWK | None:
        """None for a key that the provider doesn't publish. Raises ProviderUnreachable."""
        # Whoever has a key that will do doesn't wait for the one who reads again.
        if not self._knows(kid, self.KEPT) and self.lock.acquire(blocking=not self._knows(kid, self.LAST)):
            try:
                now = time.monotonic()
                if not self._knows(kid, self.KEPT) and now - self.tried_at > self.PAUSE:
                    self.tried_at = now
                    self._read()
            finally:
                self.lock.release()
        if self._knows(kid, self.LAST):
            return self.keys[kid]
        if self.read_at < self.tried_at:  # the last attempt failed: who knows what it publishes now
            raise ProviderUnreachable
        return None

    def _knows(self, kid, age):
        return time.monotonic() - self.read_at < age and kid in self.keys

    def _read(self):
        try:
            answer = httpx.get(self.url, timeout=self.TIMEOUT).raise_for_status().json()
            keys = jwt.PyJWKSet.from_dict(answer).keys
        except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            log.error("identity_provider.unreachable", reason=repr(error))
            return
        self.keys = {
            key.key_id: key for key in keys if key.key_type in ("RSA", "EC") and key.public_key_use in (None, "sig")
        }
        self.read_at = time.monotonic()


provider_keys = cache(ProviderKeys)
"""One for each address and process."""
