"""What erasing leaves, how apps take part in it, and what a failure undoes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from config import privacy as registry
from config.errors import NotAllowed
from events import sign_in
from events.models import AccountLetter, IdempotencyKey, Membership, UserProfile
from events.operations import accounts, privacy
from messaging import tasks
from tests.events.test_accounts_api import picture
from tests.factories import AttendeeFactory, OrganizationFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def person():
    person = UserProfileFactory(
        email="ada@example.org", first_name="Ada", last_name="Lovelace", phone="+14155550123", phone_verified=True
    )
    person.set_password("correct horse 7")
    person.save(update_fields=["password"])
    return person


@pytest.fixture
def registered(monkeypatch):
    """A registry with the test's own entries only."""
    monkeypatch.setattr(registry, "_registry", {})
    return lambda name, **how: registry.register(
        registry.PersonalData(name, **{"export": lambda person: None, "erase": lambda person: None} | how)
    )


def everything_about(person):
    """All tables, searched for words of the person; returns where they stand."""
    found = []
    words = ["ada@example.org", "Ada", "Lovelace", "4155550123", person.owner_id]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        for (table,) in cursor.fetchall():
            for word in words:
                cursor.execute(f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s', [f"%{word}%"])
                if cursor.fetchone()[0]:
                    found.append((table, word))
    return found


def test_erased_person_is_nowhere_in_the_database(person, rf):
    organization = OrganizationFactory()
    member(organization, "owner")
    membership = Membership.objects.create(organization=organization, user_profile=person, role="owner")
    for row in (person, membership):
        LogEntry.objects.create(
            user=person,
            content_type=ContentType.objects.get_for_model(row),
            object_id=row.pk,
            object_repr=str(row),
            action_flag=CHANGE,
        )
    accounts.edit_profile(actor=person, first_name="Ada Augusta")
    sign_in.PersonRefreshToken.for_user(person)
    TOTPDevice.objects.create(user=person, name="authenticator")
    StaticDevice.objects.create(user=person, name="backup").token_set.create(token="abcd")
    IdempotencyKey.objects.create(
        user_profile=person, key="k", fingerprint="f", claimed_until=timezone.now(), created_at=timezone.now(),
        body=b"Ada",
    )  # fmt: skip
    AccessLog.objects.create(username="ada@example.org", ip_address="192.0.2.1")
    AccessAttempt.objects.create(username="ada@example.org", ip_address="192.0.2.1", failures_since_start=1)
    history = person.history.count()
    assert {table for table, _word in everything_about(person)} >= {"user_profiles", "events_historicaluserprofile"}

    privacy.erase(person_id=person.pk, actor=person)

    assert everything_about(person) == []
    erased = UserProfile.objects.get(pk=person.pk)
    assert (erased.email, erased.first_name, erased.last_name, erased.phone, erased.photo_url) == (None, "", "", "", "")
    assert (erased.is_active, erased.email_verified, erased.phone_verified) == (False, False, False)
    assert erased.erased_at is not None and not erased.has_usable_password()
    assert erased.owner_id != person.owner_id and erased.owner_id.startswith("turnout|")
    assert erased.history.count() == history + 1
    assert set(erased.history.values_list("owner_id", flat=True)) == {erased.owner_id}
    assert str(erased) == "(erased)"
    assert not Membership.objects.filter(user_profile=person).exists()
    for model in (TOTPDevice, StaticDevice, IdempotencyKey, AccessLog, AccessAttempt):
        assert not model.objects.exists()
    assert set(LogEntry.objects.values_list("object_repr", flat=True)) == {"(erased)"}


def test_copies_of_the_owner_id_follow(person):
    attendee = AttendeeFactory(user_profile=person)
    erased = privacy.erase(person_id=person.pk, actor=person)
    attendee.refresh_from_db()
    assert attendee.owner_id == erased.owner_id


def test_apps_take_part_with_the_fresh_owner_id(person, registered):
    seen = []
    registered("lower", erase=lambda one: seen.append(("lower", one.pk, one.owner_id)))
    registered("upper", erase=lambda one: seen.append(("upper", one.pk, one.owner_id)))
    erased = privacy.erase(person_id=person.pk, actor=person)
    assert seen == [("upper", person.pk, erased.owner_id), ("lower", person.pk, erased.owner_id)]


def test_app_that_refuses_undoes_everything(person, registered):
    def refuse(one):
        raise NotAllowed

    registered("willing", erase=lambda one: Membership.objects.all().delete())
    registered("unwilling", erase=refuse)
    organization = OrganizationFactory()
    Membership.objects.create(organization=organization, user_profile=person, role="door")
    before = UserProfile.objects.values().get(pk=person.pk)
    with pytest.raises(NotAllowed):
        privacy.erase(person_id=person.pk, actor=person)
    assert UserProfile.objects.values().get(pk=person.pk) == before
    assert person.memberships.count() == 1


def test_export_has_a_part_for_each_app(person, registered):
    registered("tickets", export=lambda one: [{"owner": one.owner_id}])
    assert privacy.export(actor=person)["tickets"] == [{"owner": person.owner_id}]


def test_name_is_registered_once(registered):
    registered("tickets")
    with pytest.raises(AssertionError):
        registered("tickets")


@pytest.mark.parametrize("others", [[], ["organizer", "viewer"]])
def test_only_owner_is_not_erased(person, others):
    organization = OrganizationFactory(name="Society")
    Membership.objects.create(organization=organization, user_profile=person, role="owner")
    for role in others:
        member(organization, role)
    member(organization, "owner", is_active=False)
    before = UserProfile.objects.values().get(pk=person.pk)
    with pytest.raises(privacy.OnlyOwner) as refusal:
        privacy.erase(person_id=person.pk, actor=person)
    assert str(refusal.value) == "You are the only owner of Society. Make somebody else an owner first."
    assert UserProfile.objects.values().get(pk=person.pk) == before


def test_erasing_twice_is_refused(person):
    privacy.erase(person_id=person.pk, actor=person)
    with pytest.raises(accounts.AccountClosed):
        privacy.erase(person_id=person.pk, actor=person)


@pytest.mark.django_db(transaction=True)
def test_last_two_owners_do_not_leave_together():
    organization = OrganizationFactory()
    owners = [member(organization, "owner") for _number in range(2)]
    together = Barrier(2)

    def leave(owner):
        try:
            together.wait()
            privacy.erase(person_id=owner.pk, actor=owner)
        except privacy.OnlyOwner:
            return "refused"
        else:
            return "erased"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(leave, owners)) == ["erased", "refused"]
    assert organization.memberships.get().user_profile.is_active


@pytest.mark.django_db(transaction=True)
def test_address_is_taken_once_by_two_at_a_time(mailoutbox):
    together = Barrier(4)

    def join(number):
        try:
            together.wait()
            accounts.sign_up(email="ada@example.org", password="correct horse 7", first_name=str(number), last_name="")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(join, range(4)))
    assert UserProfile.objects.count() == 1
    tasks.send_letters()
    assert sorted(mail.subject for mail in mailoutbox) == ["Confirm your e-mail address", "You have an account already"]


@pytest.mark.django_db(transaction=True)
def test_photo_files_come_and_go_with_the_commit(person):
    photo = SimpleUploadedFile("x.jpg", picture())
    first = accounts.set_photo(actor=person, upload=photo).photo_url
    folder = Path(default_storage.path("photos"))
    UserProfile.objects.filter(pk=person.pk).update(is_active=False)
    with pytest.raises(accounts.AccountClosed):
        accounts.set_photo(actor=person, upload=SimpleUploadedFile("x.jpg", picture()))
    assert [f"/media/photos/{file.name}" for file in folder.iterdir()] == [first]
    UserProfile.objects.filter(pk=person.pk).update(is_active=True)
    privacy.erase(person_id=person.pk, actor=person)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["https://pictures.example.org/photos/1.jpg", "/media/photos/../secret", "/static/x.jpg"]
)
@pytest.mark.django_db(transaction=True)
def test_photo_that_is_not_ours_is_left(person, url):
    secret = Path(default_storage.save("secret", SimpleUploadedFile("secret", b"x")))
    UserProfile.objects.filter(pk=person.pk).update(photo_url=url)
    assert accounts.remove_photo(actor=person).photo_url == ""
    assert default_storage.exists(secret)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_mailed_when_the_transaction_fails(person, mailoutbox):
    with pytest.raises(accounts.PasswordTooWeak):
        accounts.sign_up(email="new@example.org", password="short", first_name="", last_name="")
    assert not AccountLetter.objects.exists()
    tasks.send_letters()
    assert mailoutbox == []
