"""The outbox: every delivery comes to an end, whatever providers and workers do."""

import itertools
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from attendance.models import Attendee
from config.errors import SYSTEM, Outcome
from config.post_office import Fault
from events.models import Event
from messaging import channels
from messaging.models import Channel, ChannelState, EventGuest, Message, MessageDelivery, OptOut, PushDevice
from messaging.operations import announcements, planning, receipts, sending
from tests import factories


@pytest.fixture(autouse=True)
def _providers(post_office, settings):
    """All channels work, and nobody waits between attempts."""
    settings.MESSAGE_RETRY_SECONDS = 0


ALL = [Channel.IN_APP, Channel.PUSH, Channel.SMS, Channel.EMAIL]


def guests(event, count, **fields):
    return [
        factories.EventGuestFactory(
            event=event, **{"phone": f"+1415555{number:04}", "email": f"guest{number}@example.org"} | fields
        )
        for number in range(count)
    ]


def sent(message, actor=SYSTEM):
    """The message is on its way: its deliveries are made."""
    assert announcements.send_now(message_id=message.pk, actor=actor).changed
    sending.fan_out(message_id=message.pk)
    message.refresh_from_db()
    return message


def deliver(*names):
    return [sending.run(channel=name) for name in names or (Channel.PUSH, Channel.SMS, Channel.EMAIL)]


def states(message) -> Counter:
    return Counter(message.deliveries.values_list("channel", "status"))


# -- Whom a message goes to --------------------------------------------------------------------------


def test_a_message_reaches_each_person_once_over_each_channel(event, organizer, post_office):
    person = factories.UserProfileFactory(phone="+14155550999", phone_verified=True, email="ann@example.org")
    PushDevice.objects.create(user=person, token="phone-of-ann", platform="ios")
    factories.AttendeeFactory(event=event, user_profile=person)
    for email in ("ann@example.org", "ann@work.example"):  # two lines of one person
        factories.EventGuestFactory(event=event, email=email, user=person)
    alone = factories.EventGuestFactory(event=event, guest_name="Ben", phone="+14155550100")
    message = sent(
        factories.MessageFactory(
            event=event, channels=ALL, audience="everyone", subject="News", body="Hello {name}, {event}!"
        )
    )
    assert (message.recipients, states(message)) == (
        2,
        {
            ("in_app", "sent"): 2,
            ("push", "queued"): 1,
            ("sms", "queued"): 2,
            ("email", "queued"): 1,
        },
    )
    deliver()
    assert states(message) == {("in_app", "sent"): 2, ("push", "sent"): 1, ("sms", "sent"): 2, ("email", "sent"): 1}
    assert sorted((one.to, one.body) for one in post_office.texts) == [
        ("+14155550100", f"News\nHello Ben, {event.title}!"),
        ("+14155550999", f"News\nHello {person.guests.earliest('pk').guest_name}, {event.title}!"),
    ]
    assert [mail.recipients for mail in post_office.mails] == [("ann@example.org",)]
    assert [push.token for push in post_office.pushes] == ["phone-of-ann"]
    assert alone.deliveries.get(channel="in_app").user is None
    message.refresh_from_db()
    assert (message.status, message.error) == ("sent", "")


def test_the_plan_says_who_is_left_out_and_why(event, settings):
    settings.PUSH_CREDENTIALS = ""
    guests(event, 1)
    factories.EventGuestFactory(event=event, guest_name="No contact")
    OptOut.objects.create(channel="email", address="stop@example.org", event=event, source="unsubscribe")
    OptOut.objects.create(
        channel="email", address="else@example.org", event=factories.EventFactory(), source="unsubscribe"
    )
    factories.EventGuestFactory(event=event, guest_name="Stop", email="stop@example.org")
    factories.EventGuestFactory(event=event, guest_name="Else", email="else@example.org")
    closed = factories.UserProfileFactory(is_active=False)
    factories.EventGuestFactory(event=event, guest_name="Closed", email="closed@example.org", user=closed)
    muted = factories.AttendeeFactory(event=event, notifications_enabled=False)
    unverified = factories.AttendeeFactory(event=event, user_profile__email_verified=False)
    message = factories.MessageFactory(event=event, channels=["in_app", "push", "email"], audience="everyone")
    plan = planning.summary(message)
    left = {(one.channel, one.reason): (one.count, sorted(one.names)) for one in plan.left_out}
    assert left.pop(("push", "channel_off"))[0] == 6
    assert left == {
        ("email", "closed"): (1, ["Closed"]),
        ("in_app", "closed"): (1, ["Closed"]),
        ("push", "closed"): (1, ["Closed"]),
        ("email", "muted"): (1, [str(muted)]),
        ("email", "no_email"): (2, sorted(["No contact", str(unverified)])),
        ("email", "opted_out"): (1, ["Stop"]),
    }
    assert plan.by_channel == {"in_app": 6, "push": 0, "email": 2}
    assert (plan.recipients, plan.unreached, plan.waiting, planning.count(message)) == (6, 1, 2, 6)
    assert list(plan.off) == ["push"]
    assert len(plan.sample) == 6
    assert planning.make(planning.of_audience(message)) == 8  # what was planned is what is made
    assert states(message) == {("in_app", "sent"): 6, ("email", "queued"): 2}


@pytest.mark.parametrize(
    ("audience", "who"),
    [
        ("everyone", {"guest", "coming guest", "here", "late", "absent", "expected"}),
        ("invited", {"guest", "coming guest"}),
        ("not_attending", {"guest"}),
        ("attending", {"coming guest", "here", "late", "absent", "expected"}),
        ("present", {"here", "late"}),
        ("absent", {"absent"}),
        ("expected", {"coming guest", "expected"}),
        ("picked", {"guest", "here"}),
    ],
)
def test_an_audience_is_who_its_words_say(event, audience, who):
    def attendee(name, status="unknown", **fields):
        row = factories.AttendeeFactory(
            event=event, user_profile__first_name=name, user_profile__last_name="", **fields
        )
        Attendee.objects.filter(pk=row.pk).update(attendance_status=status)
        return row

    coming = attendee("coming guest")
    guest = factories.EventGuestFactory(event=event, guest_name="guest")
    factories.EventGuestFactory(event=event, guest_name="coming guest", user=coming.user_profile)
    factories.EventGuestFactory(event=event, guest_name="removed", removed_at=timezone.now())
    here = attendee("here", "present")
    attendee("late", "late"), attendee("absent", "absent"), attendee("expected"), attendee("out", status="unknown")
    Attendee.objects.filter(user_profile__first_name="out").update(status="removed")
    stranger = factories.AttendeeFactory()
    foreign = factories.EventGuestFactory()
    details = {
        "guests": [str(guest.pk), str(foreign.pk)],
        "people": [str(here.user_profile_id), str(stranger.user_profile_id)],
    }
    message = factories.MessageFactory(event=event, audience=audience, audience_details=details)
    assert {one.name for one in planning.summary(message).sample} == who


def test_fanning_out_takes_as_many_statements_for_one_as_for_thirty(event, django_assert_num_queries):
    for count in (1, 30):
        EventGuest.objects.update(removed_at=timezone.now())
        guests(event, count)
        message = factories.MessageFactory(event=event, channels=ALL)
        announcements.send_now(message_id=message.pk, actor=SYSTEM)
        with django_assert_num_queries(8):
            sending.fan_out(message_id=message.pk)
        assert message.deliveries.count() == 3 * count


def test_a_message_is_fanned_out_once(event):
    guests(event, 3)
    message = sent(factories.MessageFactory(event=event, channels=["sms"]))
    assert sending.fan_out(message_id=message.pk) == 0
    assert announcements.send_now(message_id=message.pk, actor=SYSTEM) == Outcome(message, changed=False)
    assert message.deliveries.count() == 3


def test_a_recipient_who_is_missing_is_found_before_the_message_is_over(event):
    guests(event, 3)
    message = sent(factories.MessageFactory(event=event, channels=["sms"]))
    message.deliveries.latest("pk").delete()
    deliver("sms")
    message.refresh_from_db()
    assert (message.status, states(message)) == ("sending", {("sms", "sent"): 2, ("sms", "queued"): 1})
    deliver("sms")
    message.refresh_from_db()
    assert (message.status, states(message)) == ("sent", {("sms", "sent"): 3})


# -- What providers do ----------------------------------------------------------------------------------


def announced(event, count, over=("sms",)):
    guests(event, count)
    return sent(factories.MessageFactory(event=event, channels=list(over)))


def test_a_provider_that_is_away_holds_up_nobody_else_and_loses_nothing(event, post_office, settings):
    message = announced(event, 25, ["sms", "email"])
    settings.SMS_API_URL = "http://127.0.0.1:9"
    settings.MESSAGE_RETRY_SECONDS = 60
    assert deliver("sms", "email") == [0, 25]
    assert states(message) == {("sms", "queued"): 25, ("email", "sent"): 25}
    assert set(message.deliveries.filter(channel="sms").values_list("attempts", flat=True)) == {0}
    state = ChannelState.objects.get(channel="sms")
    assert state.failures == 1 and state.paused_until > timezone.now() + timedelta(seconds=50)
    assert list(sending.paused(["sms", "email"])) == ["sms"]
    assert deliver("sms") == [0]  # paused: nobody asks the provider meanwhile
    assert ChannelState.objects.get(channel="sms").failures == 1
    settings.SMS_API_URL = post_office.http_url
    ChannelState.objects.update(paused_until=None)
    assert deliver("sms") == [25]
    assert states(message)["sms", "sent"] == 25 and len(post_office.texts) == 25
    assert (ChannelState.objects.get(channel="sms").failures, sending.paused(["sms"])) == (0, {})


def test_failures_in_a_row_make_longer_pauses_up_to_five_minutes(event, settings):
    announced(event, 1)
    settings.SMS_API_URL = "http://127.0.0.1:9"
    settings.MESSAGE_RETRY_SECONDS = 20
    pauses = []
    for _number in range(7):
        ChannelState.objects.update(paused_until=None)
        deliver("sms")
        state = ChannelState.objects.get()
        pauses.append(round((state.paused_until - state.failed_at).total_seconds()))
    assert pauses == [20, 40, 80, 160, 300, 300, 300]


def test_a_provider_that_throttles_is_asked_again_when_it_says_and_costs_no_attempt(event, post_office):
    message = announced(event, 15)
    asks = itertools.count()  # several are asked at once: what was taken so far says too little
    post_office.faults = lambda asked: Fault(status=429, retry_after="120") if next(asks) >= 12 else None
    deliver("sms")
    assert states(message) == {("sms", "sent"): 12, ("sms", "queued"): 3}
    state = ChannelState.objects.get()
    assert (state.failures, round((state.paused_until - state.failed_at).total_seconds())) == (0, 120)
    assert set(message.deliveries.filter(status="queued").values_list("attempts", flat=True)) == {0}
    post_office.faults = None
    ChannelState.objects.update(paused_until=None)
    message.deliveries.update(next_attempt_at=timezone.now())
    deliver("sms")
    assert states(message) == {("sms", "sent"): 15}


def test_what_a_provider_refuses_has_its_reason_and_what_it_can_not_take_six_attempts(event, post_office):
    message = announced(event, 3)

    def faults(asked):
        if asked["address"].endswith("0000"):
            return Fault(status=400, code=21211, message="Invalid 'To' Phone Number")
        if asked["address"].endswith("0001"):
            return Fault(status=503, message="Down")
        return None

    post_office.faults = faults
    for _number in range(sending.ATTEMPTS + 2):
        deliver("sms")
    rows = {row.phone_number[-1]: row for row in message.deliveries.all()}
    assert [(rows[n].status, rows[n].attempts) for n in "012"] == [("bounced", 1), ("failed", 6), ("sent", 1)]
    assert "Invalid 'To' Phone Number" in rows["0"].error and "Down" in rows["1"].error
    message.refresh_from_db()
    assert message.status == "sent"
    assert len(post_office.texts) == 1


def test_a_short_pause_is_waited_out(event, post_office):
    message = announced(event, 15)
    asks = itertools.count()
    post_office.faults = lambda asked: Fault(status=429, retry_after="1") if next(asks) == 12 else None
    deliver("sms")
    assert (next(asks), states(message)) == (16, {("sms", "sent"): 15})


@pytest.mark.parametrize(("honours", "status", "texts"), [(False, "unknown", 1), (True, "sent", 1)])
def test_an_answer_that_never_came_is_doubt_unless_the_key_is_honoured(
    event, post_office, settings, honours, status, texts
):
    settings.SMS_HONOURS_KEY = honours
    message = announced(event, 1)
    dropped = []
    post_office.faults = lambda asked: dropped.append(asked) or (Fault(drop="after") if len(dropped) == 1 else None)
    deliver("sms")
    assert states(message) == {("sms", status): 1}
    assert (len(post_office.texts), len(dropped)) == (texts, 2 if honours else 1)


def test_dead_tokens_are_dropped(event, post_office):
    person = factories.AttendeeFactory(event=event).user_profile
    for token in ("dead", "alive"):
        PushDevice.objects.create(user=person, token=token, platform="android")
    post_office.dead_tokens.add("dead")
    message = sent(factories.MessageFactory(event=event, channels=["push"], audience="attending"))
    deliver("push")
    assert states(message) == {("push", "sent"): 1}
    assert list(PushDevice.objects.values_list("token", flat=True)) == ["alive"]


def test_whoever_unsubscribes_while_it_waits_does_not_get_it(event, post_office):
    message = announced(event, 2)
    OptOut.objects.create(channel="sms", address="+14155550000", source="stop")
    deliver("sms")
    assert states(message) == {("sms", "sent"): 1, ("sms", "failed"): 1}
    assert message.deliveries.get(status="failed").error == "has unsubscribed"
    assert [text.to for text in post_office.texts] == ["+14155550001"]


# -- Workers that die ------------------------------------------------------------------------------------


def dead_worker(message, channel, *, handed):
    """A worker claimed everything, handed over as many as said, and was never heard of again."""
    claim = uuid4()
    parcels, _messages = sending.claim_batch(channel=channel, claim=claim)
    sending.hand_over(claim=claim, ids=[one.delivery_id for one in parcels[:handed]])
    MessageDelivery.objects.filter(claim=claim).update(claimed_until=timezone.now() - timedelta(seconds=1))
    return claim, parcels


@pytest.mark.parametrize(
    ("channel", "honours", "after"),
    [
        ("sms", True, {"queued": 5}),
        ("sms", False, {"unknown": 2, "queued": 3}),
        ("email", True, {"unknown": 2, "queued": 3}),
    ],
)
def test_a_dead_workers_deliveries_are_sent_again_only_where_that_is_safe(event, settings, channel, honours, after):
    settings.SMS_HONOURS_KEY = honours
    message = announced(event, 5, [channel])
    dead_worker(message, channel, handed=2)
    assert sending.take_back() == 5
    assert Counter(message.deliveries.values_list("status", flat=True)) == after
    assert sending.take_back() == 0
    deliver(channel)
    assert Counter(message.deliveries.values_list("status", flat=True)) == {
        "sent": after["queued"],
        **({"unknown": 2} if "unknown" in after else {}),
    }


def test_a_worker_that_was_only_slow_changes_nothing_of_anothers(event, settings, post_office):
    message = announced(event, 2)
    settings.SMS_HONOURS_KEY = True
    claim, parcels = dead_worker(message, "sms", handed=2)
    sending.take_back()
    deliver("sms")
    [row, _other] = message.deliveries.order_by("pk")
    sending.write_results(channel="sms", claim=claim, results=[(row.pk, 1, channels.Refused("late"))])
    row.refresh_from_db()
    assert (row.status, row.error) == ("sent", None)
    assert sending.hand_over(claim=claim, ids=[one.delivery_id for one in parcels]) == {}


def test_a_late_result_settles_what_was_in_doubt(event, settings):
    settings.SMS_HONOURS_KEY = False
    message = announced(event, 1)
    claim, [parcel] = dead_worker(message, "sms", handed=1)
    sending.take_back()
    assert states(message) == {("sms", "unknown"): 1}
    sending.write_results(channel="sms", claim=claim, results=[(parcel.delivery_id, 1, channels.Sent("SM1"))])
    assert states(message) == {("sms", "sent"): 1}


def test_the_sweep_starts_what_a_lost_task_did_not(event):
    guests(event, 2)
    message = factories.MessageFactory(event=event, channels=["sms"])
    announcements.send_now(message_id=message.pk, actor=SYSTEM)
    sending.sweep()
    assert states(message) == {("sms", "queued"): 2}
    MessageDelivery.objects.update(created_at=timezone.now() - timedelta(days=4))
    Message.objects.update(queued_at=timezone.now() - timedelta(days=4), started_at=timezone.now() - timedelta(days=4))
    sending.sweep()
    message.refresh_from_db()
    assert (states(message), message.status, message.error) == (
        {("sms", "failed"): 2},
        "failed",
        "Nobody could be reached.",
    )


@pytest.mark.slow
def test_with_everything_that_can_go_wrong_each_delivery_comes_to_an_end_and_none_leaves_twice(
    event, settings, post_office
):
    """A provider that fails, throttles, drops and forgets to answer, and workers that die in between."""
    dice = random.Random(4)
    settings.MESSAGE_LEASE_SECONDS = 0.05
    settings.CHANNEL_TIMEOUTS = {"connect": 0.5, "read": 0.1, "write": 0.5, "pool": 5.0}
    message = announced(event, 120, ["sms", "email"])

    def faults(asked):
        if asked["step"] == "connect":
            return Fault(status=421, message="Busy") if dice.random() < 0.02 else None
        return dice.choices(
            [
                None,
                Fault(status=503),
                Fault(status=429, retry_after="0"),
                Fault(drop="before"),
                Fault(drop="after"),
                Fault(wait=0.15),
            ]
            if asked["kind"] == "sms"
            else [
                None,
                Fault(status=451, message="Later"),
                Fault(status=550, message="No such user"),
                Fault(drop="before"),
                Fault(drop="after"),
                None,
            ],
            [70, 8, 4, 6, 6, 6],
        )[0]

    post_office.faults = faults
    for _round in range(400):
        for channel in ("sms", "email"):
            if dice.random() < 0.3:
                dead_worker(message, channel, handed=dice.randrange(12))
            ChannelState.objects.update(paused_until=None)
            sending.run(channel=channel)
        MessageDelivery.objects.filter(status="queued").update(next_attempt_at=timezone.now())
        sending.take_back()
        if not message.deliveries.filter(status__in=["queued", "sending"]).exists():
            break
    found = states(message)
    assert sum(found.values()) == 240
    assert {status for _channel, status in found} <= {"sent", "failed", "bounced", "unknown"}
    assert not any(channel == "sms" and status == "bounced" for channel, status in found)
    for taken in (post_office.texts, post_office.mails):
        keys = Counter(one.key for one in taken)
        assert set(keys.values()) == {1}  # never twice: neither under one key nor under two
    reached = {one.key for one in [*post_office.texts, *post_office.mails]}
    ours = {str(row.pk): row.status for row in message.deliveries.all()}
    assert reached <= set(ours)
    assert {key for key, status in ours.items() if status == "sent"} <= reached
    assert not {key for key in reached if ours[key] in ("queued", "sending")}
    assert len({text.to for text in post_office.texts}) == len(post_office.texts)


# -- Stop, go on, try again ------------------------------------------------------------------------------


def test_a_stopped_message_sends_nothing_more_until_it_goes_on(event, organizer, post_office):
    message = announced(event, 30)
    assert announcements.stop(message_id=message.pk, actor=organizer).changed
    assert not announcements.stop(message_id=message.pk, actor=organizer).changed
    assert deliver("sms") == [0]
    assert states(message) == {("sms", "queued"): 30}
    assert message.deliveries.filter(withdrawn_at=None).count() == 0  # nor does it show in the app
    with pytest.raises(announcements.MessageStopped):
        announcements.retry_failed(message_id=message.pk, actor=organizer)
    sending.sweep()
    message.refresh_from_db()
    assert message.status == "sending"
    assert announcements.resume(message_id=message.pk, actor=organizer).changed
    assert message.deliveries.filter(withdrawn_at=None).count() == 30
    assert deliver("sms") == [30]
    reasons = message.history.order_by("history_id").values_list("history_change_reason", flat=True)
    assert [reason for reason in reasons if reason in ("stopped", "continued")] == ["stopped", "continued"]


def test_the_rest_of_a_stopped_message_can_be_taken_back(event, organizer, post_office):
    message = announced(event, 12)
    with pytest.raises(announcements.NotADraft):
        announcements.withdraw_rest(message_id=message.pk, actor=organizer)
    claim = uuid4()
    parcels, _messages = sending.claim_batch(channel="sms", claim=claim)
    sending.hand_over(claim=claim, ids=[parcels[0].delivery_id])
    announcements.stop(message_id=message.pk, actor=organizer)
    assert sending.hand_over(claim=claim, ids=[one.delivery_id for one in parcels[1:]]) == {}
    sending.release(claim=claim)
    announcements.withdraw_rest(message_id=message.pk, actor=organizer)
    assert states(message) == {("sms", "sending"): 1, ("sms", "failed"): 11}
    assert message.deliveries.filter(withdrawn_at=None).count() == 1
    sending.write_results(channel="sms", claim=claim, results=[(parcels[0].delivery_id, 1, channels.Sent("SM1"))])
    sending.finish()
    message.refresh_from_db()
    assert message.status == "sent"
    with pytest.raises(announcements.NothingToRetry):
        announcements.retry_failed(message_id=message.pk, actor=organizer)


def test_failed_ones_go_out_again_with_the_address_that_the_guest_has_by_now(event, organizer, post_office):
    message = announced(event, 2)
    post_office.faults = lambda asked: Fault(status=400, code=21211) if asked["address"] == "+14155550000" else None
    deliver("sms")
    guest = EventGuest.objects.get(phone="+14155550000")
    EventGuest.objects.filter(pk=guest.pk).update(phone="+14155557777")
    announcements.retry_failed(message_id=message.pk, actor=organizer)
    message.refresh_from_db()
    assert message.status == "sending"
    deliver("sms")
    message.refresh_from_db()
    assert (message.status, states(message)) == ("sent", {("sms", "sent"): 2})
    assert sorted(text.to for text in post_office.texts) == ["+14155550001", "+14155557777"]
    with pytest.raises(announcements.NothingToRetry):
        announcements.retry_failed(message_id=message.pk, actor=organizer)


def test_a_person_settles_what_nobody_knows(event, organizer, settings, post_office):
    settings.SMS_HONOURS_KEY = False
    message = announced(event, 3)
    post_office.faults = lambda asked: Fault(drop="after")
    deliver("sms")
    arrived, lost, again = message.deliveries.order_by("pk")
    announcements.settle(delivery_id=arrived.pk, actor=organizer, arrived=True)
    announcements.settle(delivery_id=lost.pk, actor=organizer, arrived=False)
    with pytest.raises(announcements.NothingToRetry):
        announcements.settle(delivery_id=lost.pk, actor=organizer, arrived=True)
    assert announcements.retry(delivery_id=again.pk, actor=organizer).changed
    assert not announcements.retry(delivery_id=again.pk, actor=organizer).changed
    assert [row.status for row in message.deliveries.order_by("pk")] == ["sent", "failed", "queued"]


def soon():
    """A moment that isn't over before what it is scheduled for is done, on a machine that is busy."""
    return timezone.now() + timedelta(seconds=1)


def wait_for(moment):
    time.sleep(max(0.0, (moment - timezone.now()).total_seconds()) + 0.05)


def test_a_scheduled_message_moves_along_with_its_event(event, organizer):
    guests(event, 1)
    message = factories.MessageFactory(event=event, anchor="starts_at", anchor_offset=timedelta(days=-1))
    announcements.schedule(message_id=message.pk, actor=organizer)
    assert sending.begin_due() == []
    event.starts_at = soon() + timedelta(days=1)
    event.save(update_fields=["starts_at"])
    assert sending.begin_due() == []
    wait_for(event.starts_at - timedelta(days=1))
    assert sending.begin_due() == [message.pk]
    sending.fan_out(message_id=message.pk)
    sending.finish()
    message.refresh_from_db()
    assert (message.status, states(message)) == ("sent", {("in_app", "sent"): 1})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "cancelled"}, "the event was cancelled"),
        ({"starts_at": timezone.now() + timedelta(hours=1)}, "its time was past"),
    ],
)
def test_a_scheduled_message_that_its_event_has_overtaken_is_a_draft_again(event, organizer, change, words):
    guests(event, 1)
    message = factories.MessageFactory(
        event=event, anchor="starts_at", anchor_offset=timedelta(hours=-2), created_by=organizer, subject="Soon"
    )
    announcements.schedule(message_id=message.pk, actor=organizer)
    Event.objects.filter(pk=event.pk).update(**change)
    if "starts_at" not in change:  # its time comes
        Message.objects.filter(pk=message.pk).update(anchor_offset=timedelta(days=-30))
        Event.objects.filter(pk=event.pk).update(venue="elsewhere")
    assert sending.begin_due() == []
    message.refresh_from_db()
    assert (message.status, message.deliveries.count()) == ("draft", 0)
    assert words in message.error
    told = Message.objects.get(kind="reminder")
    assert (told.subject, [row.user for row in told.deliveries.filter(channel="in_app")]) == (
        "Not sent: Soon",
        [organizer],
    )


@pytest.mark.parametrize("by_sql", [False, True], ids=["saved", "sql"])
def test_what_was_scheduled_for_a_cancelled_event_goes_out_whatever_else_becomes_of_the_event(event, organizer, by_sql):
    guests(event, 1)
    if by_sql:  # leaves no history
        Event.objects.filter(pk=event.pk).update(status="cancelled")
    else:
        event.status = "cancelled"
        event.save()
    event.refresh_from_db()
    message = factories.MessageFactory(event=event, scheduled_at=soon())
    announcements.schedule(message_id=message.pk, actor=organizer)
    event.description = "It is off. Tickets are paid back."
    event.save()
    wait_for(message.scheduled_at)
    assert sending.begin_due() == [message.pk]
    message.refresh_from_db()
    assert (message.status, message.error) == ("sending", "")


def test_a_cancellation_taken_back_and_made_again_is_one(event, organizer):
    event.status = "cancelled"
    event.save()
    message = factories.MessageFactory(event=event, scheduled_at=soon())
    announcements.schedule(message_id=message.pk, actor=organizer)
    for status in ("published", "cancelled"):
        event.status = status
        event.save()
    wait_for(message.scheduled_at)
    assert sending.begin_due() == []
    message.refresh_from_db()
    assert (message.status, message.error) == (
        "draft",
        "It was not sent: the event was cancelled after it had been scheduled.",
    )


@pytest.mark.parametrize("history", [True, False], ids=["with", "without"])
def test_an_event_that_is_changed_after_the_messages_moment_was_not_moved(event, organizer, history):
    """Its description was, or it was moved while the moment was still to come."""
    if not history:
        event.history.all().delete()
    guests(event, 1)
    then = soon()
    message = factories.MessageFactory(event=event, anchor="starts_at", anchor_offset=then - event.starts_at)
    moved = factories.MessageFactory(
        event=event, anchor="ends_at", anchor_offset=then - event.ends_at + timedelta(hours=1)
    )
    for one in (message, moved):
        announcements.schedule(message_id=one.pk, actor=organizer)
    event.ends_at -= timedelta(hours=1)
    event.starts_at -= timedelta(milliseconds=50)
    event.save()
    wait_for(then)
    event.description = "Bring a coat."
    event.save()
    assert sorted(sending.begin_due()) == sorted([message.pk, moved.pk])
    assert set(Message.objects.values_list("status", "error")) == {("sending", "")}


def test_what_is_scheduled_anew_goes_by_what_the_event_is_by_then(event, organizer):
    """Put back once, and scheduled again for the cancelled event: then it goes out."""
    guests(event, 1)
    message = factories.MessageFactory(event=event, scheduled_at=soon())
    announcements.schedule(message_id=message.pk, actor=organizer)
    event.status = "cancelled"
    event.save()
    wait_for(message.scheduled_at)
    assert sending.begin_due() == []
    Message.objects.filter(pk=message.pk).update(scheduled_at=soon())
    announcements.schedule(message_id=message.pk, actor=organizer)
    message.refresh_from_db()
    assert message.error == ""
    event.venue = "Nowhere"
    event.save()
    wait_for(message.scheduled_at)
    assert sending.begin_due() == [message.pk]


def test_what_goes_out_is_what_was_looked_at(event, organizer):
    guests(event, 2)
    message = factories.MessageFactory(event=event, scheduled_at=timezone.now() + timedelta(days=1))
    seen = announcements.fingerprint(message)
    for change in ({"body": "Other"}, {"channels": ["sms"]}, {"audience": "everyone"}, {"subject": "Other"}):
        before = {name: getattr(message, name) for name in change}
        Message.objects.filter(pk=message.pk).update(**change)
        for act in (announcements.send_now, announcements.schedule):
            with pytest.raises(announcements.MessageChanged):
                act(message_id=message.pk, actor=organizer, seen=seen)
        Message.objects.filter(pk=message.pk).update(**before)
    assert announcements.send_now(message_id=message.pk, actor=organizer, expected=2, seen=seen).changed


def test_a_message_is_not_sent_without_what_it_needs(event, organizer):
    empty = factories.MessageFactory(event=event, body=" ", channels=[], audience="")
    with pytest.raises(announcements.MessageIncomplete, match="no text; it has no channel; nobody is chosen"):
        announcements.send_now(message_id=empty.pk, actor=organizer)
    to_nobody = factories.MessageFactory(event=event)
    with pytest.raises(announcements.NobodyToReach, match="the audience is empty"):
        announcements.send_now(message_id=to_nobody.pk, actor=organizer)
    factories.EventGuestFactory(event=event)
    with pytest.raises(announcements.RecipientsChanged, match="1 people would get it now, not 0"):
        announcements.send_now(message_id=to_nobody.pk, actor=organizer, expected=0)
    past = factories.MessageFactory(event=event, scheduled_at=timezone.now() - timedelta(minutes=1))
    with pytest.raises(announcements.TimeIsPast):
        announcements.schedule(message_id=past.pk, actor=organizer)
    assert set(Message.objects.values_list("status", flat=True)) == {"draft"}


def test_a_test_goes_to_its_writer_alone(event, organizer, post_office):
    guests(event, 3)
    message = factories.MessageFactory(event=event, subject="News", channels=["in_app", "email"], body="Hi {name}")
    test = announcements.send_test(message_id=message.pk, actor=organizer).row
    deliver("email")
    [mail] = post_office.mails
    assert (mail.recipients, mail.message["Subject"]) == ((organizer.email,), "Test: News")
    assert set(test.deliveries.values_list("user", "channel")) == {(organizer.pk, "in_app"), (organizer.pk, "email")}
    message.refresh_from_db()
    assert (message.status, message.deliveries.count()) == ("draft", 0)
    by_sms = factories.MessageFactory(event=event, channels=["sms"])
    with pytest.raises(announcements.NoOwnAddress, match="no phone number"):
        announcements.send_test(message_id=by_sms.pk, actor=organizer)


# -- Receipts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "end"),
    [
        (["sent", "delivered"], "delivered"),
        (["delivered", "sent"], "delivered"),
        (["delivered", "delivered", "failed"], "delivered"),
        (["delivered", "bounced"], "bounced"),
        (["failed", "delivered"], "failed"),
        (["bounced", "delivered"], "bounced"),
    ],
)
def test_receipts_never_take_a_delivery_backwards(event, told, end):
    message = announced(event, 1)
    deliver("sms")
    row = message.deliveries.get()
    for status in told:
        receipts.receipt(channel="sms", status=status, delivery_id=row.pk, provider_id=row.provider_id)
    row.refresh_from_db()
    assert row.status == end


def test_a_receipt_may_come_before_the_answer_and_settles_doubt(event, settings):
    message = announced(event, 2)
    claim = uuid4()
    parcels, _messages = sending.claim_batch(channel="sms", claim=claim)
    sending.hand_over(claim=claim, ids=[one.delivery_id for one in parcels])
    receipts.receipt(channel="sms", status="delivered", delivery_id=parcels[0].delivery_id, provider_id="SM1")
    sending.write_results(
        channel="sms", claim=claim, results=[(one.delivery_id, 1, channels.Sent("SM1")) for one in parcels]
    )
    assert states(message) == {("sms", "delivered"): 1, ("sms", "sent"): 1}
    message.deliveries.filter(status="sent").update(status="failed")
    unknown = receipts.receipt(channel="sms", status="delivered", provider_id="SM-nobody")
    assert (unknown.row, unknown.changed) == (None, False)


def test_a_receipt_about_an_earlier_attempt_tells_only_that_it_arrived(event, organizer, post_office):
    message = announced(event, 2)
    deliver("sms")
    first, second = message.deliveries.order_by("pk")
    late = {"channel": "sms", "delivery_id": first.pk, "provider_id": "SM-of-an-earlier-attempt"}
    assert not receipts.receipt(status="failed", **late).changed
    assert receipts.receipt(status="delivered", **late).changed
    receipts.receipt(channel="sms", status="failed", delivery_id=second.pk, provider_id=second.provider_id)
    announcements.retry(delivery_id=second.pk, actor=organizer)
    assert receipts.receipt(channel="sms", status="delivered", delivery_id=second.pk).changed  # it did arrive
    deliver("sms")
    assert (states(message), len(post_office.texts)) == ({("sms", "delivered"): 2}, 2)


def test_a_queued_delivery_that_never_left_can_not_have_arrived(event):
    message = announced(event, 1)
    assert not receipts.receipt(channel="sms", status="delivered", delivery_id=message.deliveries.get().pk).changed


# -- What changes while a batch is in a worker's hands -------------------------------------------------


def claimed(channel="sms"):
    claim = uuid4()
    parcels, _messages = sending.claim_batch(channel=channel, claim=claim)
    return claim, [one.delivery_id for one in parcels]


def test_what_a_worker_has_claimed_is_withdrawn_too(event, organizer):
    message = announced(event, 12)
    claim, ids = claimed()
    sending.hand_over(claim=claim, ids=ids[:3])
    announcements.stop(message_id=message.pk, actor=organizer)
    announcements.withdraw_rest(message_id=message.pk, actor=organizer)
    assert sending.hand_over(claim=claim, ids=ids[3:]) == {}
    results = [channels.Sent("SM1"), channels.TryLater("503"), channels.Throttled("429")]
    sending.write_results(
        channel="sms", claim=claim, results=[(pk, 1, one) for pk, one in zip(ids, results, strict=False)]
    )
    sending.release(claim=claim)
    assert states(message) == {("sms", "sent"): 1, ("sms", "failed"): 11}
    assert message.deliveries.exclude(withdrawn_at=None).count() == 11
    deliver("sms")
    sending.sweep()
    message.refresh_from_db()
    assert (message.status, states(message)) == ("sent", {("sms", "sent"): 1, ("sms", "failed"): 11})


def test_a_dead_workers_claims_of_a_withdrawn_message_stay_withdrawn(event, organizer, settings):
    settings.SMS_HONOURS_KEY = True
    message = announced(event, 4)
    dead_worker(message, "sms", handed=2)
    announcements.stop(message_id=message.pk, actor=organizer)
    announcements.withdraw_rest(message_id=message.pk, actor=organizer)
    sending.take_back()
    assert states(message) == {("sms", "failed"): 4}


def test_whoever_unsubscribes_after_the_claim_does_not_get_it(event, post_office):
    message = announced(event, 2)
    claim, ids = claimed()
    OptOut.objects.create(channel="sms", address="+14155550000", source="stop")
    assert list(sending.hand_over(claim=claim, ids=ids)) == [message.deliveries.get(phone_number="+14155550001").pk]
    sending.release(claim=claim)
    deliver("sms")
    assert message.deliveries.get(status="failed").error == "has unsubscribed"


def test_a_phone_that_changed_hands_after_the_claim_does_not_ring(event):
    first, second = (factories.AttendeeFactory(event=event).user_profile for _number in range(2))
    PushDevice.objects.create(user=first, token="sold", platform="ios")
    kept = PushDevice.objects.create(user=first, token="kept", platform="ios")
    message = sent(factories.MessageFactory(event=event, channels=["push"], audience="attending"))
    claim, ids = claimed("push")
    PushDevice.objects.filter(token="sold").update(user=second)
    [allowed] = sending.hand_over(claim=claim, ids=ids).values()
    assert (allowed.tokens, message.deliveries.get().user) == ([kept.token], first)


def test_a_guest_who_becomes_somebody_else_gets_nothing_at_the_formers_address(event, post_office):
    first = factories.UserProfileFactory(email="first@example.org")
    second = factories.UserProfileFactory(email="second@example.org")
    guest = factories.EventGuestFactory(event=event, user=first)
    nobody = factories.EventGuestFactory(event=event, user=factories.UserProfileFactory(email="third@example.org"))
    message = sent(factories.MessageFactory(event=event, channels=["email"]))
    EventGuest.objects.filter(pk=guest.pk).update(user=second)
    EventGuest.objects.filter(pk=nobody.pk).update(user=None)
    deliver("email")
    assert [mail.recipients for mail in post_office.mails] == [("second@example.org",)]
    assert message.deliveries.get(guest=nobody).error == "no e-mail address"


def test_a_guest_removed_before_it_left_does_not_get_it(event, post_office):
    message = announced(event, 2)
    EventGuest.objects.filter(phone="+14155550000").update(removed_at=timezone.now())
    deliver("sms")
    assert [text.to for text in post_office.texts] == ["+14155550001"]
    assert message.deliveries.get(status="failed").error == "removed from the guest list"


def test_a_person_with_two_lines_is_reached_over_each_channel_by_the_line_that_has_it(event, post_office):
    person = factories.UserProfileFactory(email_verified=False)
    factories.EventGuestFactory(event=event, user=person, email="ann@example.org")
    factories.EventGuestFactory(event=event, user=person, phone="+14155550100")
    message = sent(factories.MessageFactory(event=event, channels=["in_app", "sms", "email"]))
    assert message.recipients == 1
    assert states(message) == {("in_app", "sent"): 1, ("sms", "queued"): 1, ("email", "queued"): 1}


def test_two_lines_with_one_number_of_whom_one_is_linked_are_one_person(event, post_office):
    """Both deliveries would be theirs by the number: they are told once, and the preview says one."""
    person = factories.UserProfileFactory(email_verified=False)
    factories.EventGuestFactory(event=event, user=person, phone="+14155550100")
    factories.EventGuestFactory(event=event, phone="+14155550100")
    draft = factories.MessageFactory(event=event, channels=["in_app", "sms"])
    assert (planning.summary(draft).recipients, planning.count(draft)) == (1, 1)
    message = sent(draft)
    assert (message.recipients, states(message)) == (1, {("in_app", "sent"): 1, ("sms", "queued"): 1})
    deliver("sms")
    assert [text.to for text in post_office.texts] == ["+14155550100"]


def test_one_who_can_not_take_it_now_holds_up_nobody_else(event, post_office, settings):
    settings.MESSAGE_RETRY_SECONDS = 60
    post_office.faults = lambda asked: Fault(status=450, message="Greylisted") if asked["step"] == "rcpt" else None
    announced(event, 1, ["email"])
    deliver("email")
    assert sending.paused(["email"]) == {}


def test_what_goes_on_after_days_is_not_given_up_at_once(event, organizer, post_office):
    message = announced(event, 1)
    days = timezone.now() - timedelta(days=4)
    announcements.stop(message_id=message.pk, actor=organizer)
    MessageDelivery.objects.update(created_at=days)
    Message.objects.update(queued_at=days, started_at=days)
    announcements.resume(message_id=message.pk, actor=organizer)
    sending.sweep()
    deliver("sms")
    assert states(message) == {("sms", "sent"): 1}


def test_sending_again_later_reaches_nobody_who_came_since(event, organizer, post_office):
    message = announced(event, 2)
    post_office.faults = lambda asked: Fault(status=400, code=21211) if asked["address"] == "+14155550000" else None
    deliver("sms")
    post_office.faults = None
    factories.EventGuestFactory(event=event, phone="+14155559999")
    announcements.retry_failed(message_id=message.pk, actor=organizer)
    deliver("sms")
    message.refresh_from_db()
    assert (message.status, states(message)) == ("sent", {("sms", "sent"): 2})


def test_a_broken_message_keeps_no_other_waiting(event):
    broken = announced(event, 1, ["in_app"])
    Message.objects.filter(pk=broken.pk).update(audience="gone", fanned_out_at=None)
    other = factories.MessageFactory(event=event, status="sending", channels=["in_app"])
    sending.sweep()
    sending.sweep()
    other.refresh_from_db()
    assert other.status == "sent"


@pytest.mark.django_db(transaction=True)
def test_ten_workers_at_once_send_each_delivery_once(event, post_office):
    message = announced(event, 150)

    def work(_number):
        try:
            return sending.run(channel="sms")
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(work, range(10))) == 150
    assert states(message) == {("sms", "sent"): 150}
    assert Counter(text.to for text in post_office.texts) == Counter({f"+1415555{n:04}": 1 for n in range(150)})
    with transaction.atomic():
        sending.finish()
    message.refresh_from_db()
    assert message.status == "sent"
