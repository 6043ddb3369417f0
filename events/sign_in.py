"""How people prove who they are: by e-mail and password, or by a signed token."""

import uuid

from django.contrib.auth.backends import BaseBackend
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import RefreshToken

from .models import UserProfile


class EmailBackend(BaseBackend):
    """E-mail, in any case, and password. Permissions come from ``rules``, not from here."""

    def authenticate(self, request, username=None, password=None, email=None):
        email = email or username
        if not email or password is None:
            return None
        person = UserProfile.objects.active().filter(email__lower=email.strip().lower()).first()
        if person is None:
            UserProfile().set_password(password)  # as slow as a wrong password: no address is given away
            return None
        return person if person.check_password(password) else None

    def get_user(self, user_id):
        return UserProfile.objects.active().filter(pk=user_id).first()


class TokenAuthentication(JWTStatelessUserAuthentication):
    """The person that a token names, without asking the database.

    Only the id and owner_id come from the token; any other field is read when somebody asks for it.
    Whether the person may still act is part of the query that loads what they ask for.
    """

    def get_user(self, validated_token):
        try:
            identity = [uuid.UUID(validated_token["user_id"]), validated_token["owner_id"]]
        except (KeyError, ValueError) as error:
            raise InvalidToken from error
        return UserProfile.from_db(None, ["id", "owner_id"], identity)


class PersonRefreshToken(RefreshToken):
    """Carries the owner_id beside the id, so that no later call has to look it up."""

    @classmethod
    def for_user(cls, user):
        token = super().for_user(user)
        token["owner_id"] = user.owner_id
        return token


def access_token(person) -> str:
    """A signed access token for the person, good for ACCESS_TOKEN_LIFETIME."""
    return str(PersonRefreshToken.for_user(person).access_token)
