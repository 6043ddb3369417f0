"""What attendance is worth."""

import pytest

from attendance.models import Attendee, PointScale
from attendance.operations import marking, points
from tests.factories import AttendeeFactory, EventFactory, UserProfileFactory

pytestmark = pytest.mark.django_db

STATUSES = ["unknown", "present", "late", "excused", "absent"]


def marked(status, **fields):
    attendee = AttendeeFactory(**fields)
    marking.mark(attendee_id=attendee.pk, status=status, actor=None)
    return attendee


def scored(attendees):
    rows = points.scored(attendees).order_by("pk")
    return [(row.attendance_status, row.points) for row in rows]


def test_defaults_where_an_organisation_says_nothing(event):
    for status in STATUSES:
        marked(status, event=event)
    assert scored(Attendee.objects.all()) == [("present", 10), ("late", 5), ("excused", 0), ("absent", -5)]


def test_an_organisation_s_own_scale(event):
    PointScale.objects.create(organization=event.organization, present=3, late=0, excused=1, absent=-100)
    for status in STATUSES:
        marked(status, event=event)
    assert scored(Attendee.objects.all()) == [("present", 3), ("late", 0), ("excused", 1), ("absent", -100)]


def test_a_person_s_points_by_each_organisation_s_scale(event):
    person, elsewhere = UserProfileFactory(), EventFactory()
    PointScale.objects.create(organization=elsewhere.organization, present=100)
    marked("present", event=event, user_profile=person)
    marked("present", event=elsewhere, user_profile=person)
    marked("present", event=event)
    rows = points.scored(Attendee.objects.filter(user_profile=person))
    assert sorted(row.points for row in rows) == [10, 100]


def test_the_removed_score_nothing(event):
    attendee = marked("present", event=event)
    Attendee.objects.filter(pk=attendee.pk).update(status="removed")
    assert scored(Attendee.objects.all()) == []


def test_points_follow_the_status_at_once(event):
    attendee = marked("absent", event=event)
    assert scored(Attendee.objects.all()) == [("absent", -5)]
    marking.mark(attendee_id=attendee.pk, status="late", actor=None)
    assert scored(Attendee.objects.all()) == [("late", 5)]


def test_points_take_one_query(event, django_assert_num_queries):
    for status in STATUSES:
        marked(status, event=event)
    with django_assert_num_queries(1):
        assert sum(row.points for row in points.scored(Attendee.objects.all())) == 10
