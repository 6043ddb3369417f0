"""Signing up, in and out, and a person's own profile, as the phone app calls them."""

import io
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import jwt
import pytest
from axes.models import AccessAttempt
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone
from PIL import Image
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from events.models import Membership, UserProfile
from messaging import tasks
from tests.factories import OrganizationFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse 7"


@pytest.fixture
def api():
    """A phone on a network of its own, so that the limits of other tests don't matter."""
    address = f"fd00::{secrets.token_hex(2)}:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    return APIClient(raise_request_exception=False, REMOTE_ADDR=address)


@pytest.fixture
def email():
    return f"ada-{secrets.token_hex(6)}@example.org"


@pytest.fixture
def person(email):
    person = UserProfileFactory(email=email, first_name="Ada", last_name="Lovelace")
    person.set_password(PASSWORD)
    person.save(update_fields=["password"])
    return person


@pytest.fixture
def me(person, as_person):
    return as_person(person)


def post(api, path, **data):
    return api.post(f"/api/v1/auth/{path}/", data)


def mailed(api, mailoutbox, path, **data):
    """The answer, and the mails that a worker then sends."""
    before = len(mailoutbox)
    answer = post(api, path, **data)
    assert len(mailoutbox) == before
    tasks.send_letters()
    return answer, mailoutbox[before:]


def code_in(mail):
    return max((word for word in mail.body.split() if "://" not in word), key=len)


def error_of(answer):
    return answer.status_code, answer.json()["errors"][0]["code"]


def row_of(person):
    return UserProfile.objects.filter(pk=person.pk).values().get()


# -- Signing in and out -----------------------------------------------------------------------------


def test_sign_in_gives_tokens_that_work(api, person, email):
    answer = post(api, "token", email=f" {email.upper()}", password=PASSWORD)
    assert answer.status_code == 200 and set(answer.json()) == {"access", "refresh"}
    me = api.get("/api/v1/me/", HTTP_AUTHORIZATION=f"Bearer {answer.json()['access']}")
    assert me.json()["id"] == str(person.pk)
    claims = jwt.decode(answer.json()["access"], options={"verify_signature": False})
    assert (claims["owner_id"], claims["user_id"]) == (person.owner_id, str(person.pk))
    assert "password" not in claims


@pytest.mark.parametrize(
    "change", [{}, {"is_active": False}, {"email_verified": False}, {"email": "somebody@example.org"}]
)
def test_sign_in_is_refused_in_the_same_words(api, person, email, change):
    UserProfile.objects.filter(pk=person.pk).update(**change)
    answer = post(api, "token", email=email, password=PASSWORD if change else "wrong")
    assert error_of(answer) == (401, "wrong_credentials")
    assert not OutstandingToken.objects.exists()


@pytest.mark.parametrize("known", [True, False])
def test_tenth_failure_locks_the_address_known_or_not(api, person, email, known):
    tried = email if known else f"nobody-{email}"
    answers = [post(api, "token", email=tried.upper() if n % 2 else tried, password="wrong") for n in range(10)]
    assert [error_of(one) for one in answers[:9]] == [(401, "wrong_credentials")] * 9
    assert error_of(answers[9]) == (429, "sign_in_locked")
    assert answers[9]["Retry-After"] == "900"
    assert error_of(post(api, "token", email=tried, password=PASSWORD)) == (429, "sign_in_locked")
    elsewhere = APIClient(REMOTE_ADDR="192.0.2.77")
    assert post(elsewhere, "token", email=email, password=PASSWORD).status_code == 200


def test_lock_ends_by_itself(api, person, email):
    for _number in range(10):
        post(api, "token", email=email, password="wrong")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert post(api, "token", email=email, password=PASSWORD).status_code == 200


def test_success_forgets_the_failures(api, person, email):
    for _number in range(9):
        post(api, "token", email=email, password="wrong")
    assert post(api, "token", email=email, password=PASSWORD).status_code == 200
    assert not AccessAttempt.objects.exists()
    assert post(api, "token", email=email, password="wrong").status_code == 401


def test_refresh_rotates(api, person, email):
    first = post(api, "token", email=email, password=PASSWORD).json()
    second = post(api, "refresh", refresh=first["refresh"])
    assert second.status_code == 200 and second.json()["refresh"] != first["refresh"]
    claims = jwt.decode(second.json()["access"], options={"verify_signature": False})
    assert claims["owner_id"] == person.owner_id
    assert error_of(post(api, "refresh", refresh=first["refresh"])) == (401, "token_not_valid")
    assert post(api, "refresh", refresh=second.json()["refresh"]).status_code == 200


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_active": False, "erased_at": timezone.now()}])
def test_refresh_is_refused_to_the_inactive(api, person, email, change):
    refresh = post(api, "token", email=email, password=PASSWORD).json()["refresh"]
    UserProfile.objects.filter(pk=person.pk).update(**change)
    assert error_of(post(api, "refresh", refresh=refresh)) == (401, "token_not_valid")
    assert not BlacklistedToken.objects.exists() and OutstandingToken.objects.count() == 1


def test_refresh_is_refused_after_a_change_of_password_by_any_door(api, person, email):
    refresh = post(api, "token", email=email, password=PASSWORD).json()["refresh"]
    person.set_password("another horse 8")
    person.save(update_fields=["password"])
    assert error_of(post(api, "refresh", refresh=refresh)) == (401, "token_not_valid")


@pytest.mark.parametrize("path", ["refresh", "logout"])
@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "eyJhbGciOiJub25lIn0.e30."])
def test_garbage_is_no_refresh_token(api, path, token):
    assert error_of(post(api, path, refresh=token)) == (401, "token_not_valid")


@pytest.mark.parametrize("path", ["refresh", "logout"])
def test_access_token_is_no_refresh_token(api, person, email, path):
    access = post(api, "token", email=email, password=PASSWORD).json()["access"]
    assert error_of(post(api, path, refresh=access)) == (401, "token_not_valid")


def test_logout_ends_the_session_of_one_device(api, person, email):
    phone, tablet = (post(api, "token", email=email, password=PASSWORD).json()["refresh"] for _device in range(2))
    assert post(api, "logout", refresh=phone).status_code == 204
    assert error_of(post(api, "refresh", refresh=phone)) == (401, "token_not_valid")
    assert error_of(post(api, "logout", refresh=phone)) == (401, "token_not_valid")
    assert post(api, "refresh", refresh=tablet).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_one_refresh_token_is_used_once_by_two_at_a_time(person, email):
    refresh = post(APIClient(), "token", email=email, password=PASSWORD).json()["refresh"]
    together = Barrier(6)

    def use(_number):
        try:
            together.wait()
            return post(APIClient(), "refresh", refresh=refresh).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(use, range(6))) == [200, 401, 401, 401, 401, 401]


def test_expired_access_token_does_not_get_in_the_way(api, person, email):
    answer = api.post(
        "/api/v1/auth/token/", {"email": email, "password": PASSWORD}, HTTP_AUTHORIZATION="Bearer expired"
    )
    assert answer.status_code == 200


def test_sign_in_counts_its_queries(api, person, email, django_assert_num_queries):
    with django_assert_num_queries(4):  # the lock, the person, the failures to forget, the token
        post(api, "token", email=email, password=PASSWORD)


# -- Signing up ----------------------------------------------------------------------------------------


def test_sign_up_confirm_sign_in(api, email, mailoutbox):
    answer, mails = mailed(
        api, mailoutbox, "sign-up",
        email=email.upper(), password=PASSWORD, first_name="Ada", last_name="Lovelace",
    )  # fmt: skip
    assert (answer.status_code, answer.json()) == (201, {"email": email})
    person = UserProfile.objects.get()
    assert (person.email, person.email_verified, person.first_name) == (email, False, "Ada")
    assert [(mail.to, mail.subject) for mail in mails] == [([email], "Confirm your e-mail address")]
    assert "Ada" not in mails[0].body

    assert post(api, "token", email=email, password=PASSWORD).status_code == 401
    code = code_in(mails[0])
    assert post(api, "verify-email", token=code).status_code == 204
    assert post(api, "token", email=email, password=PASSWORD).status_code == 200
    assert error_of(post(api, "verify-email", token=code)) == (400, "code_invalid")


@pytest.mark.parametrize("verified", [True, False])
def test_sign_up_with_an_address_in_use_looks_the_same(api, person, email, verified, mailoutbox):
    UserProfile.objects.filter(pk=person.pk).update(email_verified=verified)
    before = row_of(person)
    answer, mails = mailed(
        api, mailoutbox, "sign-up",
        email=email.title(), password="stranger horse 9", first_name="Mallory",
    )  # fmt: skip
    assert (answer.status_code, answer.json()) == (201, {"email": email})
    assert row_of(person) == before and UserProfile.objects.count() == 1
    assert [(mail.to, mail.subject) for mail in mails] == [([email], "You have an account already")]
    assert post(api, "password-reset/confirm", token=code_in(mails[0]), password="mine alone 10").status_code == 204
    assert post(api, "token", email=email, password="mine alone 10").status_code == 200


@pytest.mark.parametrize("password", ["short", "12345678901", "password123", "lovelace"])
def test_weak_password_is_refused(api, email, password, mailoutbox):
    answer = post(api, "sign-up", email=email, password=password, last_name="Lovelace")
    assert error_of(answer) == (400, "password_too_weak")
    assert not UserProfile.objects.exists() and not mailoutbox


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", ""),
        ("email", "no address"),
        ("email", "a" * 255 + "@example.org"),
        ("email", "ada@example\u212a.org"),
        ("email", "İ@example.org"),
        ("email", ["ada@example.org"]),
        ("email", None),
        ("password", "x" * 201),
        ("password", None),
        ("password", {"a": 1}),
        ("first_name", "x" * 151),
        ("last_name", []),
    ],
)
def test_bad_fields_are_named(api, email, field, value):
    answer = post(api, "sign-up", **{"email": email, "password": PASSWORD, field: value})
    assert answer.status_code == 400
    assert not UserProfile.objects.exists()


PATHS = [
    "token", "refresh", "logout", "sign-up", "verify-email", "verify-email/resend", "password-reset",
    "password-reset/confirm",
]  # fmt: skip
BODIES = [
    b"", b"{", b"null", b"[]", b"7", b'"x"', b"\xff\xfe", b'{"email": "a\\u0000b@example.org", "password": "x"}',
    b'{"email": "\\ud800@example.org", "password": "\\ud800", "token": "\\ud800", "refresh": "\\ud800"}',
    b'{"email": {}, "password": [], "token": 7, "refresh": true}',
    b'{"email": "a@example.org", "token": "' + b"x" * 100_000 + b'", "refresh": "' + b"x" * 100_000 + b'"}',
    b'{"token": "a:b:c", "password": "x"}', b'{"token": "::", "password": "\xc3\xa9"}', b"[" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_nonsense_is_the_callers_fault(api, path):
    for body in BODIES:
        answer = api.post(f"/api/v1/auth/{path}/", body, content_type="application/json")
        assert answer.status_code in (204, 400, 401), (body[:60], answer.content)
    for content_type in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "x", ""):
        assert api.post(f"/api/v1/auth/{path}/", b"a=b", content_type=content_type).status_code in (400, 415)
    assert api.get(f"/api/v1/auth/{path}/").status_code == 405


def test_mailbox_is_not_flooded(api, email):
    answers = [post(api, "password-reset", email=email if n % 2 else email.upper()) for n in range(11)]
    assert [one.status_code for one in answers] == [204] * 10 + [429]
    assert int(answers[10]["Retry-After"]) > 3000
    assert post(api, "sign-up", email=email, password=PASSWORD).status_code == 429
    assert not UserProfile.objects.exists()


# -- Codes that come by mail ------------------------------------------------------------------------------


def test_resend_only_to_an_address_that_waits(api, person, email, mailoutbox):
    answer, mails = mailed(api, mailoutbox, "verify-email/resend", email=email)
    assert (answer.status_code, mails) == (204, [])
    answer, mails = mailed(api, mailoutbox, "verify-email/resend", email=f"nobody-{email}")
    assert (answer.status_code, mails) == (204, [])
    UserProfile.objects.filter(pk=person.pk).update(email_verified=False)
    answer, mails = mailed(api, mailoutbox, "verify-email/resend", email=email)
    assert answer.status_code == 204
    assert post(api, "verify-email", token=code_in(mails[0])).status_code == 204
    assert row_of(person)["email_verified"] is True


def test_password_reset(api, person, email, mailoutbox):
    refresh = post(api, "token", email=email, password=PASSWORD).json()["refresh"]
    answer, mails = mailed(api, mailoutbox, "password-reset", email=email.upper())
    assert (answer.status_code, answer.content) == (204, b"")
    assert [(mail.to, mail.subject) for mail in mails] == [([email], "A new password")]
    code = code_in(mails[0])
    weak = post(api, "password-reset/confirm", token=code, password="short")
    assert error_of(weak) == (400, "password_too_weak")
    assert post(api, "token", email=email, password=PASSWORD).status_code == 200
    assert post(api, "password-reset/confirm", token=code, password="another horse 8").status_code == 204
    assert post(api, "token", email=email, password=PASSWORD).status_code == 401
    assert post(api, "token", email=email, password="another horse 8").status_code == 200
    assert error_of(post(api, "refresh", refresh=refresh)) == (401, "token_not_valid")
    again = post(api, "password-reset/confirm", token=code, password="third horse 9")
    assert error_of(again) == (400, "code_invalid")


@pytest.mark.parametrize("change", [{"is_active": False}, {"email": None}])
def test_password_reset_for_nobody_is_silent(api, person, email, change, mailoutbox):
    UserProfile.objects.filter(pk=person.pk).update(**change)
    answer, mails = mailed(api, mailoutbox, "password-reset", email=email)
    assert (answer.status_code, mails) == (204, [])


def test_code_expires(api, person, email, mailoutbox, settings):
    _answer, mails = mailed(api, mailoutbox, "password-reset", email=email)
    settings.PASSWORD_RESET_TIMEOUT = -1
    before = row_of(person)
    answer = post(api, "password-reset/confirm", token=code_in(mails[0]), password="another horse 8")
    assert error_of(answer) == (400, "code_invalid")
    assert row_of(person) == before


def test_code_of_one_purpose_serves_no_other(api, person, email, mailoutbox):
    UserProfile.objects.filter(pk=person.pk).update(email_verified=False)
    _answer, confirm = mailed(api, mailoutbox, "verify-email/resend", email=email)
    _answer, reset = mailed(api, mailoutbox, "password-reset", email=email)
    before = row_of(person)
    swapped = post(api, "password-reset/confirm", token=code_in(confirm[0]), password="another horse 8")
    assert error_of(swapped) == (400, "code_invalid")
    assert error_of(post(api, "verify-email", token=code_in(reset[0]))) == (400, "code_invalid")
    tampered = post(api, "verify-email", token="A" + code_in(confirm[0]))
    assert error_of(tampered) == (400, "code_invalid")
    assert row_of(person) == before


# -- The profile ----------------------------------------------------------------------------------------------


def test_me(me, person, email, django_assert_num_queries):
    with django_assert_num_queries(1):
        answer = me.get("/api/v1/me/")
    assert answer.json() == {
        "id": str(person.pk),
        "owner_id": person.owner_id,
        "email": email,
        "email_verified": True,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone": "",
        "phone_verified": False,
        "photo_url": "",
        "created_at": person.created_at.isoformat().replace("+00:00", "Z"),
    }


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "", None),
        ("patch", "", {"first_name": "x"}),
        ("delete", "", None),
        ("delete", "photo/", None),
        ("get", "export/", None),
    ],
)
def test_closed_account_is_told_so(me, person, method, path, body):
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    before = row_of(person)
    assert error_of(getattr(me, method)(f"/api/v1/me/{path}", body)) == (401, "account_closed")
    assert row_of(person) == before


@pytest.mark.parametrize(
    ("method", "path"), [("get", ""), ("patch", ""), ("delete", ""), ("put", "photo/"), ("get", "export/")]
)
def test_me_wants_a_token(api, method, path):
    assert error_of(getattr(api, method)(f"/api/v1/me/{path}")) == (401, "not_authenticated")


def test_patch_changes_what_is_sent(me, person):
    answer = me.patch("/api/v1/me/", {"first_name": " Augusta ", "phone": "+14155550123"})
    assert answer.status_code == 200
    assert (answer.json()["first_name"], answer.json()["phone"]) == ("Augusta", "+14155550123")
    person.refresh_from_db()
    assert (person.first_name, person.last_name, person.phone) == ("Augusta", "Lovelace", "+14155550123")
    assert person.history.first().history_user == person


def test_patch_of_the_phone_number_unverifies_it(me, person):
    UserProfile.objects.filter(pk=person.pk).update(phone="+14155550123", phone_verified=True)
    assert me.patch("/api/v1/me/", {"phone": "+14155550123"}).json()["phone_verified"] is True
    assert me.patch("/api/v1/me/", {"phone": "+14155550124"}).json()["phone_verified"] is False


def test_patch_of_nothing_writes_nothing(me, person):
    before = row_of(person), person.history.count()
    assert me.patch("/api/v1/me/", {"first_name": "Ada"}).status_code == 200
    assert me.patch("/api/v1/me/", {}).status_code == 200
    assert (row_of(person), person.history.count()) == before


@pytest.mark.parametrize(
    "body",
    [
        {"phone": "0415 5550123"},
        {"phone": "+1 415 555 0123"},
        {"phone": "+1" + "5" * 40},
        {"phone": None},
        {"first_name": None},
        {"first_name": "x" * 151},
        {"first_name": ["x"]},
        {"email": "nobody"},
        [],
        "x",
    ],
)
def test_patch_with_bad_fields_changes_nothing(me, person, body):
    before = row_of(person)
    assert me.patch("/api/v1/me/", body).status_code == 400
    assert row_of(person) == before


def test_patch_ignores_what_is_not_ones_own_to_say(me, person):
    before = row_of(person)
    body = {"id": "x", "owner_id": "x", "email_verified": False, "phone_verified": True, "photo_url": "x",
            "is_superuser": True, "is_active": False, "password": "x", "email": None}  # fmt: skip
    assert me.patch("/api/v1/me/", body).status_code == 200
    assert row_of(person) == before


def test_new_address_takes_effect_when_confirmed(me, api, person, email, mailoutbox):
    answer = me.patch("/api/v1/me/", {"email": f"new-{email}"})
    tasks.send_letters()
    assert (answer.json()["email"], answer.json()["email_verified"]) == (email, True)
    assert [mail.to for mail in mailoutbox] == [[f"new-{email}"]]
    code = code_in(mailoutbox[0])
    assert post(api, "verify-email", token=code).status_code == 204
    tasks.send_letters()
    assert (row_of(person)["email"], row_of(person)["email_verified"]) == (f"new-{email}", True)
    assert [(mail.to, mail.subject) for mail in mailoutbox[1:]] == [([email], "Your e-mail address was changed")]
    assert post(api, "token", email=f"new-{email}", password=PASSWORD).status_code == 200
    assert error_of(post(api, "verify-email", token=code)) == (400, "code_invalid")


def test_address_of_somebody_else_is_answered_alike(me, person, email, mailoutbox):
    other = UserProfileFactory(email=f"other-{email}")
    before = row_of(person), row_of(other)
    answer = me.patch("/api/v1/me/", {"email": other.email.upper()})
    tasks.send_letters()
    assert (answer.status_code, answer.json()["email"]) == (200, email)
    assert [(mail.to, mail.subject) for mail in mailoutbox] == [([other.email], "You have an account already")]
    assert (row_of(person), row_of(other)) == before


def test_address_that_somebody_took_meanwhile(me, api, person, email, mailoutbox):
    me.patch("/api/v1/me/", {"email": f"new-{email}"})
    tasks.send_letters()
    UserProfileFactory(email=f"new-{email}")
    before = row_of(person)
    assert error_of(post(api, "verify-email", token=code_in(mailoutbox[0]))) == (409, "email_taken")
    assert row_of(person) == before


# -- The photo ---------------------------------------------------------------------------------------------------


def picture(kind="JPEG", size=(900, 600), mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, size, options.pop("color", None)).save(file, kind, **options)
    return file.getvalue()


def send(me, content, name="photo.jpg"):
    return me.put("/api/v1/me/photo/", {"photo": SimpleUploadedFile(name, content)}, format="multipart")


def stored(url):
    return default_storage.path(url.removeprefix("/media/"))


def test_photo_becomes_a_square_without_its_data(me, person):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    answer = send(me, picture(color="red", exif=exif, comment=b"taken at home"))
    url = answer.json()["photo_url"]
    assert (answer.status_code, row_of(person)["photo_url"]) == (200, url)
    assert re.fullmatch(r"/media/photos/[\w-]{32}\.jpg", url)
    with Image.open(stored(url)) as made:
        assert (made.format, made.size, made.mode) == ("JPEG", (512, 512), "RGB")
        assert not made.getexif() and "comment" not in made.info
        red, green, blue = made.getpixel((256, 256))
        assert red > 240 and green < 15 and blue < 15
    assert b"taken at home" not in Path(stored(url)).read_bytes()


def test_photo_is_turned_upright(me):
    sideways = Image.new("RGB", (400, 800), "blue")
    sideways.paste("red", (0, 0, 400, 400))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    file = io.BytesIO()
    sideways.save(file, "JPEG", exif=exif)
    with Image.open(stored(send(me, file.getvalue()).json()["photo_url"])) as made:
        assert made.size == (400, 400)
        assert made.getpixel((200, 20))[2] > 200 and made.getpixel((200, 380))[0] > 200


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("PNG", "1"), ("PNG", "LA"), ("WEBP", "RGB"), ("JPEG", "CMYK")],
)
def test_photo_of_every_kind(me, kind, mode):
    assert send(me, picture(kind, (64, 48), mode), f"x.{kind}").status_code == 200


def test_new_photo_replaces_the_file(me, person, django_capture_on_commit_callbacks):
    first = send(me, picture()).json()["photo_url"]
    with django_capture_on_commit_callbacks(execute=True):
        second = send(me, picture()).json()["photo_url"]
    assert first != second
    assert not Path(stored(first)).exists() and Path(stored(second)).exists()
    with django_capture_on_commit_callbacks(execute=True):
        assert me.delete("/api/v1/me/photo/").status_code == 204
    assert not Path(stored(second)).exists() and row_of(person)["photo_url"] == ""
    assert me.delete("/api/v1/me/photo/").status_code == 204


def bomb():
    """A small PNG that says it is 30,000 pixels wide and high."""
    content = bytearray(picture("PNG", (1, 1)))
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        picture()[:400],
        picture("PNG")[:60],
        picture("GIF", mode="P"),
        picture("BMP"),
        bomb(),
        picture("PNG", (8000, 8000), "1"),
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 100,
        b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\xff" * 50,
    ],
)
def test_what_is_no_picture_is_refused(me, person, content):
    before = row_of(person)
    assert error_of(send(me, content)) == (400, "photo_invalid")
    assert row_of(person) == before
    assert not default_storage.exists("photos")


def test_photo_too_large_is_refused(me, person, settings):
    settings.PHOTO_LIMIT = 1000
    assert error_of(send(me, b"x" * 1001)) == (413, "too_large")
    assert error_of(send(me, b"x" * 100_000)) == (413, "too_large")
    assert row_of(person)["photo_url"] == ""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=b"),
        (b"--b\r\n", "multipart/form-data; boundary=b"),
        (b"--b\r\nContent-Disposition: form-data; name=photo\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (
            (
                b'--b\r\nContent-Disposition: form-data; name="photo"; filename="\x00.jpg"\r\n'
                b"Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n--b--\r\n"
            ),
            "multipart/form-data; boundary=b",
        ),
        (b"--b\r\n" * 50_000, "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 20_001 + b"--b--",
            "multipart/form-data; boundary=b",
        ),
        (b"x", f"multipart/form-data; boundary={'b' * 300}"),
        (b"{}", "application/json"),
        (b"x", "image/jpeg"),
        (b"x", "multipart/form-data; boundary=\xff"),
    ],
)
def test_bad_upload_is_the_callers_fault(me, body, content_type):
    answer = me.generic("PUT", "/api/v1/me/photo/", body, content_type=content_type)
    assert answer.status_code in (400, 413, 415), answer.content


# -- All of it, and none of it -------------------------------------------------------------------------------------


def test_export_has_what_is_known(me, person, email):
    membership = Membership.objects.create(
        organization=OrganizationFactory(name="Society"), user_profile=person, role="door"
    )
    me.patch("/api/v1/me/", {"phone": "+14155550123"})
    answer = me.get("/api/v1/me/export/")
    assert answer["Content-Disposition"] == 'attachment; filename="turnout.json"'
    data = answer.json()
    assert (data["profile"]["email"], data["profile"]["phone"]) == (email, "+14155550123")
    assert [row["phone"] for row in data["profile_history"]] == ["", "", "+14155550123"]
    assert data["memberships"] == [
        {
            "organization__name": "Society",
            "role": "door",
            "created_at": membership.created_at.isoformat().replace("+00:00", "Z"),
        }
    ]
    assert "password" not in answer.content.decode()


def test_delete_erases_and_signs_out(me, api, person, email):
    refresh = post(api, "token", email=email, password=PASSWORD).json()["refresh"]
    assert me.delete("/api/v1/me/").status_code == 204
    assert error_of(me.get("/api/v1/me/")) == (401, "account_closed")
    assert error_of(post(api, "refresh", refresh=refresh)) == (401, "token_not_valid")
    assert error_of(post(api, "token", email=email, password=PASSWORD)) == (401, "wrong_credentials")


def test_delete_is_refused_to_the_only_owner(as_person, event):
    owner = member(event.organization, "owner")
    before = row_of(owner)
    answer = as_person(owner).delete("/api/v1/me/")
    assert error_of(answer) == (409, "only_owner")
    assert event.organization.name in answer.json()["errors"][0]["detail"]
    assert row_of(owner) == before and owner.memberships.count() == 1
