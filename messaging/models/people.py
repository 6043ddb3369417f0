"""Proxies that carry this app's triggers on lower apps' tables, so that the rules live where they belong."""

from attendance.models import Attendee
from events.models import UserProfile

from ..triggers import people


class LinkedPerson(UserProfile):
    class Meta:
        proxy = True
        triggers = people.verified()


class LinkedAttendee(Attendee):
    class Meta:
        proxy = True
        triggers = people.came_in()
