"""Letters about accounts on their way: sent once, late rather than never, and not where they are pointless."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.post_office import Fault
from events.models import AccountLetter, UserProfile
from events.operations import accounts
from messaging import tasks
from messaging.operations import letters
from tests.factories import UserProfileFactory

pytestmark = pytest.mark.django_db
EMAIL = "ada@example.org"


@pytest.fixture
def person():
    return UserProfileFactory(email=EMAIL)


@pytest.fixture
def mail_server(post_office, settings):
    """Letters leave by real SMTP."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", post_office.smtp_port
    return post_office


def waited(**age):
    """The clock goes on by so much."""
    for letter in AccountLetter.objects.all():
        for name in ("created_at", "next_attempt_at", "claimed_until"):
            if moment := getattr(letter, name):
                setattr(letter, name, moment - timedelta(**age))
        letter.save()


def subjects(mailoutbox):
    return [mail.subject for mail in mailoutbox]


def test_a_letter_is_sent_once(person, mailoutbox):
    accounts.ask_for_reset(email=EMAIL)
    letter = AccountLetter.objects.get()
    assert (letter.kind, letter.address, letter.user, letter.sent_at) == ("reset_password", EMAIL, None, None)
    tasks.send_letters()
    tasks.send_letters()
    assert subjects(mailoutbox) == ["A new password"]
    letter.refresh_from_db()
    assert (letter.sent_at is not None, letter.attempts, letter.error) == (True, 1, "")


def test_the_table_holds_no_code(person, mailoutbox):
    accounts.ask_for_reset(email=EMAIL)
    before = AccountLetter.objects.values().get()
    tasks.send_letters()
    code = max((word for word in mailoutbox[0].body.split() if "://" not in word), key=len)
    for row in (before, AccountLetter.objects.values().get()):
        assert code not in str(row)
    accounts.reset_password(code=code, password="another horse 8")


@pytest.mark.parametrize("ask", [accounts.ask_for_reset, accounts.resend_confirmation])
def test_asking_costs_the_same_whether_there_is_an_account_or_not(person, ask):
    UserProfile.objects.update(email_verified=False)
    said = []
    for email in (EMAIL, "nobody@example.org"):
        with CaptureQueriesContext(connection) as queries:
            ask(email=email)
        said.append([one["sql"].split(" VALUES ")[0] for one in queries if "SAVEPOINT" not in one["sql"]])
    assert said[0] == said[1] and len(said[0]) == 1 and said[0][0].startswith('INSERT INTO "account_letters"')


def test_nothing_is_kept_of_an_address_that_has_no_account(mailoutbox):
    accounts.ask_for_reset(email=EMAIL)
    accounts.resend_confirmation(email=EMAIL)
    tasks.send_letters()
    assert (mailoutbox, AccountLetter.objects.count()) == ([], 0)


# -- Pointless by now ----------------------------------------------------------------------------------


def test_whoever_asks_three_times_gets_one_letter(person, mailoutbox):
    for _number in range(3):
        accounts.ask_for_reset(email=EMAIL)
    tasks.send_letters()
    assert subjects(mailoutbox) == ["A new password"]
    accounts.ask_for_reset(email=EMAIL)
    tasks.send_letters()
    assert subjects(mailoutbox) == ["A new password"] * 2


def test_several_that_are_taken_up_out_of_order_are_one_letter_too(person, mailoutbox):
    """The one that was asked for first may be due last: it was put off, or its transaction began later."""
    for _time in range(2):
        accounts.ask_for_reset(email=EMAIL)
    first, second = AccountLetter.objects.order_by("pk")
    AccountLetter.objects.filter(pk=second.pk).update(next_attempt_at=first.next_attempt_at - timedelta(minutes=1))
    tasks.send_letters()
    assert subjects(mailoutbox) == ["A new password"]
    left = AccountLetter.objects.get()
    assert (left.pk, left.sent_at is not None) == (second.pk, True)


def test_an_address_that_was_confirmed_since_is_not_asked_again(person, mailoutbox):
    UserProfile.objects.update(email_verified=False)
    accounts.resend_confirmation(email=EMAIL)
    UserProfile.objects.update(email_verified=True)
    tasks.send_letters()
    assert mailoutbox == []


def test_an_address_that_was_changed_since_gets_nothing(person, mailoutbox):
    accounts.ask_for_reset(email=EMAIL)
    UserProfile.objects.update(email="new@example.org")
    tasks.send_letters()
    assert mailoutbox == []


def test_of_two_new_addresses_the_last_one_is_asked(person, mailoutbox):
    for email in ("first@example.org", "second@example.org"):
        accounts.edit_profile(actor=person, email=email)
    tasks.send_letters()
    assert [mail.to for mail in mailoutbox] == [["second@example.org"]]


def test_nobody_silences_anothers_letter_by_asking_for_the_same_address(person, mailoutbox):
    accounts.sign_up(email="new@example.org", password="correct horse 7", first_name="", last_name="")
    accounts.edit_profile(actor=person, email="new@example.org")
    tasks.send_letters()
    assert sorted(subjects(mailoutbox)) == ["Confirm your e-mail address", "You have an account already"]
    assert {mail.to[0] for mail in mailoutbox} == {"new@example.org"}


def test_every_former_address_is_told(person, mailoutbox):
    for email in ("second@example.org", "third@example.org"):
        person.refresh_from_db()
        accounts.confirm_email(code=accounts._code("confirm", person, email))
    tasks.send_letters()
    assert [mail.to for mail in mailoutbox] == [[EMAIL], ["second@example.org"]]
    assert set(subjects(mailoutbox)) == {"Your e-mail address was changed"}


# -- What goes wrong -----------------------------------------------------------------------------------


def test_a_mail_server_that_is_away_is_asked_again_ever_later(person, mail_server):
    mail_server.stop()
    accounts.ask_for_reset(email=EMAIL)
    for attempt, minutes in ((1, 1), (2, 4), (3, 16)):
        before = timezone.now()
        tasks.send_letters()
        tasks.send_letters()
        letter = AccountLetter.objects.get()
        assert (letter.attempts, letter.sent_at, letter.error, letter.claimed_until) == (attempt, None, "", None)
        pause = letter.next_attempt_at - before
        assert timedelta(minutes=minutes) <= pause < timedelta(minutes=minutes, seconds=20)
        waited(minutes=minutes + 1)
    mail_server.start()
    tasks.send_letters()
    assert [mail.recipients for mail in mail_server.mails] == [(EMAIL,)]
    assert AccountLetter.objects.get().sent_at is not None
    mail_server.stop()
    mail_server.start()


def test_a_letter_is_given_up_after_eight_attempts_or_a_day(person, mail_server):
    mail_server.stop()
    accounts.ask_for_reset(email=EMAIL)
    AccountLetter.objects.update(attempts=letters.ATTEMPTS - 1)
    UserProfileFactory(email="old@example.org")
    accounts.ask_for_reset(email="old@example.org")
    old = AccountLetter.objects.get(address="old@example.org")
    AccountLetter.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=25))
    tasks.send_letters()
    assert [bool(letter.error) for letter in AccountLetter.objects.all()] == [True, True]
    mail_server.start()
    waited(days=1)
    tasks.send_letters()
    assert mail_server.mails == []


def test_an_address_that_the_server_refuses_is_not_tried_again(person, mail_server):
    mail_server.faults = lambda ask: Fault(status=550, message="no such mailbox") if ask["step"] == "rcpt" else None
    accounts.ask_for_reset(email=EMAIL)
    tasks.send_letters()
    letter = AccountLetter.objects.get()
    assert letter.attempts == 1 and "550" in letter.error and "no such mailbox" in letter.error


def test_after_three_failures_in_a_row_the_rest_waits(mail_server):
    mail_server.stop()
    for number in range(5):
        UserProfileFactory(email=f"p{number}@example.org")
        accounts.ask_for_reset(email=f"p{number}@example.org")
    tasks.send_letters()
    assert list(AccountLetter.objects.order_by("pk").values_list("attempts", flat=True)) == [1, 1, 1, 0, 0]
    mail_server.start()
    tasks.send_letters()
    assert [mail.recipients for mail in mail_server.mails] == [("p3@example.org",), ("p4@example.org",)]


def test_a_letter_that_cannot_be_written_keeps_nobody_waiting(person, mailoutbox):
    AccountLetter.objects.create(kind="email_changed", address="broken@example.org", context={"language": "en"})
    accounts.ask_for_reset(email=EMAIL)
    tasks.send_letters()
    assert subjects(mailoutbox) == ["A new password"]
    broken = AccountLetter.objects.get(address="broken@example.org")
    assert (broken.attempts, broken.sent_at) == (1, None)


def test_a_worker_that_died_is_waited_for_and_then_replaced(person, mailoutbox):
    accounts.ask_for_reset(email=EMAIL)
    assert letters._claim() is not None
    tasks.send_letters()
    assert mailoutbox == []
    waited(minutes=6)
    tasks.send_letters()
    assert subjects(mailoutbox) == ["A new password"]
    assert AccountLetter.objects.get().attempts == 2


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_time_send_each_letter_once(mail_server):
    addresses = [f"p{number}@example.org" for number in range(12)]
    for address in addresses:
        UserProfileFactory(email=address)
        accounts.ask_for_reset(email=address)
    together = Barrier(3)

    def work(_number):
        try:
            together.wait()
            return letters.send()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(3))) == len(addresses)
    assert sorted(mail.recipients[0] for mail in mail_server.mails) == sorted(addresses)
