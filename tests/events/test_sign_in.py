"""Who a password or a token names. The identity provider is a real server with real keys."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.contrib.auth import authenticate
from django.db import connection
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from rest_framework.test import APIClient

from events import sign_in
from events.models import UserProfile
from events.operations import accounts
from tests.factories import UserProfileFactory

pytestmark = pytest.mark.django_db

ISSUER, AUDIENCE = "https://login.example.org/", "turnout"


# -- By password ---------------------------------------------------------------------------------


@pytest.fixture
def person():
    person = UserProfileFactory(email="ada@example.org")
    person.set_password("correct horse 7")
    person.save(update_fields=["password"])
    return person


@pytest.mark.parametrize("email", ["ada@example.org", "ADA@Example.ORG", " ada@example.org "])
def test_password_names_the_person_in_any_case(rf, person, email):
    assert authenticate(rf.post("/"), username=email, password="correct horse 7") == person


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"email_verified": False}, {"email": None}, {"password": "!"}]
)
def test_password_is_refused(rf, person, change):
    UserProfile.objects.filter(pk=person.pk).update(**change)
    assert authenticate(rf.post("/"), username="ada@example.org", password="correct horse 7") is None


# -- By our own tokens ------------------------------------------------------------------------------


def ask(token):
    return APIClient(raise_request_exception=False).get("/api/v1/me/", HTTP_AUTHORIZATION=f"Bearer {token}")


def error_of(answer):
    return answer.status_code, answer.json()["errors"][0]["code"]


def test_own_token_needs_no_query(rf, person, django_assert_num_queries):
    token = sign_in.access_token(person)
    request = rf.get("/", HTTP_AUTHORIZATION=f"Bearer {token}")
    with django_assert_num_queries(0):
        named, claims = sign_in.TokenAuthentication().authenticate(request)
        assert (named.pk, named.owner_id, named.is_authenticated) == (person.pk, person.owner_id, True)
    assert set(claims.payload) == {"token_type", "exp", "iat", "jti", "user_id", "owner_id"}


def test_authenticated_call_asks_only_for_what_it_shows(person, django_assert_num_queries):
    token = sign_in.access_token(person)
    with django_assert_num_queries(1):
        assert ask(token).status_code == 200


def test_refresh_token_opens_nothing(person):
    assert error_of(ask(sign_in.PersonRefreshToken.for_user(person))) == (401, "token_not_valid")


@pytest.mark.parametrize(
    "token",
    ["x", "a.b.c", "\xff\xfe", "e30.e30.", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOltdfQ.e30.x", "." * 5000],
)
def test_garbage_is_refused(token, provider):
    assert error_of(ask(token)) == (401, "token_not_valid")


def test_unsigned_token_is_refused(person):
    claims = jwt.decode(sign_in.access_token(person), options={"verify_signature": False})
    assert error_of(ask(jwt.encode(claims, None, algorithm="none"))) == (401, "token_not_valid")


def test_header_of_two_tokens_is_refused():
    answer = ask("one two")
    assert error_of(answer) == (401, "bad_authorization_header")
    assert len(answer.json()["errors"]) == 1


def test_no_token_at_all():
    answer = APIClient().get("/api/v1/me/")
    assert error_of(answer) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


# -- By the identity provider's tokens -----------------------------------------------------------------


class Provider:
    """An identity provider: a key set over HTTP, and tokens signed by its keys."""

    def __init__(self):
        self.keys = {"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP256R1())}
        self.reads = 0
        self.status, self.broken = 200, None
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.reads += 1
                body = provider.broken if provider.broken is not None else provider.key_set()
                self.send_response(provider.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def key_set(self):
        def published(kid, key):
            algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
            return algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}

        return json.dumps({"keys": [published(kid, key) for kid, key in self.keys.items()]}).encode()

    def token(self, kid="rsa", algorithm="RS256", key=None, headers=None, **claims):
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "idp|1", "exp": int(time.time()) + 60} | claims
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key or self.keys[kid], algorithm, headers={"kid": kid} | (headers or {}))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()  # may be called twice


@pytest.fixture
def provider(settings):
    provider = Provider()
    settings.IDENTITY_PROVIDER = {"jwks_url": provider.url, "issuer": ISSUER, "audience": AUDIENCE}
    yield provider
    provider.stop()
    sign_in.provider_keys.cache_clear()


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
def test_provider_token_names_the_person_by_owner_id(provider, kid, algorithm):
    person = UserProfileFactory(owner_id="idp|1")
    answer = ask(provider.token(kid, algorithm))
    assert (answer.status_code, answer.json()["id"]) == (200, str(person.pk))
    assert UserProfile.objects.count() == 1


def test_first_sight_makes_the_person(provider):
    token = provider.token(
        email="Grace@Example.org", email_verified=True, given_name="Grace\n", family_name="Hopper" * 100
    )
    me = ask(token).json()
    assert (me["owner_id"], me["email"], me["email_verified"]) == ("idp|1", "grace@example.org", True)
    assert (me["first_name"], me["last_name"]) == ("Grace", ("Hopper" * 100)[:150])
    assert ask(token).json()["id"] == me["id"]
    person = UserProfile.objects.get()
    assert not person.has_usable_password()


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "grace@example.org"},
        {"email": "grace@example.org", "email_verified": False},
        {"email": "grace@example.org", "email_verified": "false"},
        {"email": "no address", "email_verified": True},
        {"email": "a" * 300 + "@example.org", "email_verified": True},
        {"email": ["grace@example.org"], "email_verified": True},
        {"email": "gr\x00ce@example.org", "email_verified": True, "given_name": 7, "family_name": None},
    ],
)
def test_email_that_the_provider_does_not_vouch_for_is_left(provider, claims):
    me = ask(provider.token(**claims)).json()
    assert (me["email"], me["email_verified"]) == (None, False)


def test_email_of_somebody_else_is_left(provider):
    other = UserProfileFactory(email="grace@example.org")
    me = ask(provider.token(email="Grace@example.org", email_verified=True)).json()
    assert (me["email"], me["email_verified"]) == (None, False)
    other.refresh_from_db()
    assert other.email == "grace@example.org" and str(other.pk) != me["id"]


def test_inactive_person_is_refused(provider):
    UserProfileFactory(owner_id="idp|1", is_active=False)
    assert error_of(ask(provider.token())) == (401, "account_closed")
    assert UserProfile.objects.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example/"},
        {"iss": None},
        {"aud": "another app"},
        {"aud": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 9_999_999_999},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "nul\x00"},
        {"sub": "\ud800"},
        {"sub": 7},
        {"exp": "soon"},
    ],
)
def test_wrong_claims_are_refused(provider, wrong):
    assert error_of(ask(provider.token(**wrong))) == (401, "token_not_valid")
    assert not UserProfile.objects.exists()


def test_key_of_somebody_else_is_refused(provider):
    mine = rsa.generate_private_key(65537, 2048)
    assert error_of(ask(provider.token(key=mine))) == (401, "token_not_valid")
    assert error_of(ask(provider.token("mine", key=mine))) == (401, "token_not_valid")
    jku = {"jku": "https://evil.example/keys", "jwk": json.loads(RSAAlgorithm.to_jwk(mine.public_key()))}
    assert error_of(ask(provider.token("mine", key=mine, headers=jku))) == (401, "token_not_valid")
    assert not UserProfile.objects.exists()


def test_other_algorithms_are_refused(provider):
    assert error_of(ask(provider.token(algorithm="RS512"))) == (401, "token_not_valid")
    assert error_of(ask(provider.token(algorithm="PS256"))) == (401, "token_not_valid")
    assert error_of(ask(provider.token("rsa", "ES256", key=provider.keys["ec"]))) == (401, "token_not_valid")
    secret = provider.token(key=b"s" * 32, algorithm="HS256")
    assert error_of(ask(secret)) == (401, "token_not_valid")


def test_own_tokens_work_beside_the_provider(provider, person):
    assert ask(sign_in.access_token(person)).status_code == 200
    assert provider.reads == 0


def test_provider_tokens_are_refused_without_provider(provider, settings):
    token = provider.token()
    settings.IDENTITY_PROVIDER = settings.IDENTITY_PROVIDER | {"jwks_url": ""}
    assert error_of(ask(token)) == (401, "token_not_valid")


def test_keys_are_read_once(provider):
    for _number in range(3):
        assert ask(provider.token()).status_code == 200
    assert provider.reads == 1


def test_unknown_keys_do_not_make_us_ask_again_and_again(provider):
    other = rsa.generate_private_key(65537, 2048)
    for number in range(3):
        assert error_of(ask(provider.token(f"made up {number}", key=other))) == (401, "token_not_valid")
    assert provider.reads == 1


def test_new_key_of_the_provider_is_found(provider):
    assert ask(provider.token()).status_code == 200
    provider.keys["next"] = rsa.generate_private_key(65537, 2048)
    sign_in.provider_keys(provider.url).tried_at -= sign_in.ProviderKeys.PAUSE + 1
    assert ask(provider.token("next")).status_code == 200
    assert provider.reads == 2


@pytest.mark.parametrize("broken", [b"", b"<html>", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [7]}'])
def test_unreadable_key_set_is_unavailable_not_an_error(provider, broken):
    provider.broken = broken
    answer = ask(provider.token())
    assert error_of(answer) == (503, "identity_provider_unreachable")
    assert answer["Retry-After"] == "10"
    assert not UserProfile.objects.exists()


def test_provider_that_fails_is_unavailable_and_asked_no_more_for_a_while(provider):
    provider.status = 500
    assert error_of(ask(provider.token())) == (503, "identity_provider_unreachable")
    provider.status = 200
    assert error_of(ask(provider.token())) == (503, "identity_provider_unreachable")
    assert provider.reads == 1
    sign_in.provider_keys(provider.url).tried_at -= sign_in.ProviderKeys.PAUSE + 1
    assert ask(provider.token()).status_code == 200


def test_provider_that_is_down_is_unavailable(provider):
    token = provider.token()
    provider.stop()
    assert error_of(ask(token)) == (503, "identity_provider_unreachable")


def test_known_keys_outlast_an_outage(provider):
    assert ask(provider.token()).status_code == 200
    keys = sign_in.provider_keys(provider.url)
    keys.read_at -= keys.KEPT + 1
    keys.tried_at -= keys.KEPT + 1
    provider.status = 500
    assert ask(provider.token()).status_code == 200
    assert provider.reads == 2
    keys.read_at -= keys.LAST
    assert ask(provider.token()).status_code == 503


@pytest.mark.django_db(transaction=True)
def test_many_first_sights_make_one_person():
    claims = {"sub": "idp|1", "email": "grace@example.org", "email_verified": True}
    together = threading.Barrier(8)

    def look(_number):
        try:
            together.wait()
            return accounts.person_of_provider(claims=claims).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(look, range(8)))
    assert seen == [UserProfile.objects.get().pk] * 8
    assert UserProfile.objects.get().email == "grace@example.org"
