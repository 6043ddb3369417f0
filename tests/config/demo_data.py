"""What several tests of the demo data ask."""

import json
from datetime import timedelta

from django.apps import apps
from django.db import connection
from django.db.models import F

from attendance.models import (
    Attendee,
    CheckIn,
    CheckInAttempt,
    CheckInPoint,
    DoorDevice,
)
from events.models import Event, Session
from messaging.models import (
    EventGuest,
    Message,
    MessageDelivery,
    OptOut,
    PushDevice,
)
from requests.models import (
    Ban,
    Intake,
    JoinRequest,
    ServiceSession,
    ServiceSignal,
    SessionMessage,
    SessionRequest,
)
from rsvp.models import SessionFeedback, SessionRsvp, WaitlistEntry


def settle():
    """Deferred triggers fire at commit, which a test that rolls back never reaches."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def counts():
    """Of all that is kept; signals are for whoever looks at a screen at that moment."""
    kept = [model for model in apps.get_models() if model._meta.managed and model is not ServiceSignal]
    return {model._meta.label: model.objects.count() for model in kept}


def in_line():
    """What waits and what goes on: organisation, concern, status, and who has it."""
    rows = SessionRequest.objects.filter(closed_at=None).order_by("organization", "created_at")
    return list(rows.values_list("organization__slug", "notes", "status", "mechanic__display_name"))


def event(key):
    return Event.objects.get(external_id=key)


def said():
    """Each of the demo's deliveries, and how far it got."""
    return sorted(
        MessageDelivery.objects.exclude(message__key=None)
        .filter(message__kind="announcement")
        .values_list("message__key", "channel", "status", "link_case", "phone_number", "email"),
        key=str,
    )


def assert_alive(now):
    """Whatever the day: over is over, now is now, and nothing decided lies in the future."""
    for slug in ("demo", "other"):
        assert event(f"{slug}:over").ends_at < now
        assert event(f"{slug}:now").starts_at <= now < event(f"{slug}:now").ends_at
        assert event(f"{slug}:next").starts_at > now
    for session in Session.objects.select_related("event"):
        assert session.event.starts_at <= session.starts_at <= session.ends_at <= session.event.ends_at
    first = Session.objects.filter(event__external_id="demo:now").earliest("starts_at")
    zone = event("demo:now").zone
    assert first.starts_at.astimezone(zone).date() == now.astimezone(zone).date()
    for model, stamps in (
        (Event, ("created_at",)),
        (JoinRequest, ("created_at", "decided_at")),
        (Attendee, ("created_at", "hidden_at", "looking_for_updated_at", "attendance_marked_at")),
        (Ban, ("created_at",)),
        (CheckIn, ("checked_in_at", "scanned_at", "received_at", "undone_at")),
        (CheckInAttempt, ("scanned_at", "received_at")),
        (CheckInPoint, ("created_at",)),
        (DoorDevice, ("created_at", "enrolled_at", "revoked_at")),
        (EventGuest, ("created_at", "removed_at")),
        (Message, ("created_at", "started_at", "fanned_out_at", "finished_at", "stopped_at")),
        (MessageDelivery, ("created_at", "handed_at", "sent_at", "delivered_at", "read_at", "withdrawn_at")),
        (OptOut, ("created_at",)),
        (PushDevice, ("created_at", "seen_at")),
        (SessionRsvp, ("rsvp_at", "cancelled_at")),
        (WaitlistEntry, ("joined_at", "offered_at")),
        (SessionFeedback, ("created_at",)),
        (Intake, ("created_at",)),
        (ServiceSession, ("created_at", "started_at", "last_activity_at", "ended_at")),
        (SessionRequest, ("created_at", "waiting_since", "notification_sent_at", "accepted_at", "closed_at")),
        (SessionMessage, ("created_at",)),
    ):
        for stamp in stamps:
            assert not model.objects.filter(**{f"{stamp}__gt": now}).exists(), (model, stamp)
    assert not JoinRequest.objects.filter(decided_at__lt=F("created_at")).exists()
    assert not JoinRequest.history.filter(event__external_id__isnull=False, history_date__gt=now).exists()
    conference = event("demo:now")
    assert conference.starts_at <= conference.late_from <= now
    arrivals = Attendee.objects.here().filter(event=conference, attendance_marked_at__gt=now - timedelta(hours=4))
    assert arrivals.filter(attendance_status="late", attendance_marked_at__gte=conference.late_from).count() >= 9
    assert arrivals.filter(attendance_status="present", attendance_source="scan").count() >= 45
    for over in (event("demo:over"), event("other:over")):
        came = Attendee.objects.here().filter(event=over)
        day = (over.starts_at - timedelta(minutes=20), over.ends_at)
        assert came.count() == came.filter(attendance_marked_at__range=day).count() > 20
    for door in CheckInPoint.objects.exclude(opens_at=None):
        assert door.event.starts_at <= door.opens_at < door.closes_at <= door.event.ends_at
    waiting = Message.objects.filter(status="scheduled").with_due_at()
    assert waiting.count() == waiting.filter(due_at__gt=now).count() == 3
    asked = SessionRequest.objects.filter(event__organization__slug="demo")
    pending = asked.filter(status="pending", created_at__gt=now - timedelta(minutes=10))
    assert pending.count() >= 2
    assert pending.filter(urgent=True).exists()
    assert asked.filter(status="unattended", created_at__gt=now - timedelta(hours=1)).exists()
    active = asked.filter(status="accepted", session__last_activity_at__gt=now - timedelta(minutes=5))
    assert active.filter(session__messages__created_at__gte=F("accepted_at")).exists()
    assert SessionRequest.objects.filter(status="completed", closed_at__gt=now - timedelta(days=1)).count() > 10
    fresh = JoinRequest.objects.filter(created_at__gte=now - timedelta(days=7), created_at__lte=now)
    assert fresh.count() > 50


def schedule_file(tmp_path, *sessions, **conference):
    """A small c3 schedule of one room; sessions are (id, title, start with offset)."""
    talks = [{"id": key, "title": title, "date": start, "duration": "00:30"} for key, title, start in sessions]
    value = {"title": "Small Conf", "acronym": "small", "days": [{"date": "2019-03-30", "rooms": {"Hall": talks}}]}
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"schedule": {"conference": value | conference}}))
    return str(path)
