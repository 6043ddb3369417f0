"""A plain factory for each model. What has a rule is made by its operation, as in life."""

from datetime import timedelta

import factory
from django.db import connection
from django.utils import timezone
from factory.django import DjangoModelFactory

from attendance.models import Attendee, CheckInPoint, DoorDevice
from events.models import Event, Membership, Organization, Room, Session, Speaker, UserProfile
from messaging.models import EventGuest, Message, MessageDelivery
from requests.models import InvitationLink, JoinRequest, Mechanic, SessionRequest
from requests.operations import intakes, taking
from rsvp.models import SessionRsvp, WaitlistEntry


class OrganizationFactory(DjangoModelFactory):
    class Meta:
        model = Organization

    name = factory.Sequence(lambda n: f"Organisation {n}")
    slug = factory.Sequence(lambda n: f"organisation-{n}")


class UserProfileFactory(DjangoModelFactory):
    class Meta:
        model = UserProfile

    first_name = factory.Sequence(lambda n: f"First{n}")
    last_name = factory.Sequence(lambda n: f"Last{n}")
    email = factory.Sequence(lambda n: f"person{n}@example.org")
    email_verified = True


def member(organization, role, **fields) -> UserProfile:
    """A person with a role in the organisation."""
    person = UserProfileFactory(**fields)
    Membership.objects.create(organization=organization, user_profile=person, role=role)
    return person


class EventFactory(DjangoModelFactory):
    class Meta:
        model = Event

    organization = factory.SubFactory(OrganizationFactory)
    slug = factory.Sequence(lambda n: f"event-{n}")
    title = factory.Sequence(lambda n: f"Event {n}")
    starts_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=7))
    ends_at = factory.LazyAttribute(lambda event: event.starts_at + timedelta(hours=8))
    timezone = "Europe/Berlin"
    status = Event.Status.PUBLISHED
    max_plus_ones = 3


class RoomFactory(DjangoModelFactory):
    class Meta:
        model = Room

    event = factory.SubFactory(EventFactory)
    name = factory.Sequence(lambda n: f"Room {n}")


class SpeakerFactory(DjangoModelFactory):
    class Meta:
        model = Speaker

    event = factory.SubFactory(EventFactory)
    name = factory.Sequence(lambda n: f"Speaker {n}")


class SessionFactory(DjangoModelFactory):
    class Meta:
        model = Session

    event = factory.SubFactory(EventFactory)
    title = factory.Sequence(lambda n: f"Session {n}")
    starts_at = factory.LazyAttribute(lambda session: session.event.starts_at)
    ends_at = factory.LazyAttribute(lambda session: session.starts_at + timedelta(minutes=45))


class JoinRequestFactory(DjangoModelFactory):
    """A pending request."""

    class Meta:
        model = JoinRequest

    event = factory.SubFactory(EventFactory)
    user_profile = factory.SubFactory(UserProfileFactory)
    owner_id = factory.SelfAttribute("user_profile.owner_id")


class AttendeeFactory(DjangoModelFactory):
    """An attendee who came without a request."""

    class Meta:
        model = Attendee

    event = factory.SubFactory(EventFactory)
    user_profile = factory.SubFactory(UserProfileFactory)
    owner_id = factory.SelfAttribute("user_profile.owner_id")
    source = Attendee.Source.INVITATION


class InvitationLinkFactory(DjangoModelFactory):
    class Meta:
        model = InvitationLink

    event = factory.SubFactory(EventFactory)
    label = "Friends"


class EventGuestFactory(DjangoModelFactory):
    class Meta:
        model = EventGuest

    event = factory.SubFactory(EventFactory)
    guest_name = factory.Sequence(lambda n: f"Guest {n}")


class MessageFactory(DjangoModelFactory):
    """A draft to everybody on the guest list."""

    class Meta:
        model = Message

    event = factory.SubFactory(EventFactory)
    subject = factory.Sequence(lambda n: f"Subject {n}")
    body = "Hello."
    channels = ["in_app"]
    audience = "invited"


class MessageDeliveryFactory(DjangoModelFactory):
    """To a guest of the message's event; ``guest=None, user=…`` for a person's own."""

    class Meta:
        model = MessageDelivery

    message = factory.SubFactory(MessageFactory)
    guest = factory.SubFactory(EventGuestFactory, event=factory.SelfAttribute("..message.event"))
    channel = "in_app"


class CheckInPointFactory(DjangoModelFactory):
    """A further door; ``kind="session", session=…`` makes it a session's."""

    class Meta:
        model = CheckInPoint

    event = factory.SubFactory(EventFactory)
    name = factory.Sequence(lambda n: f"Point {n}")


class DoorDeviceFactory(DjangoModelFactory):
    """A device whose one-time code works."""

    class Meta:
        model = DoorDevice

    event = factory.SubFactory(EventFactory)
    name = factory.Sequence(lambda n: f"Phone {n}")
    enrolment_expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(minutes=30))


def crowd(event, count: int, **columns) -> None:
    """So many attendees in two statements; ``columns`` are theirs, in SQL's names."""
    names, marks = "".join(f", {name}" for name in columns), ", %s" * len(columns)
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH people AS (INSERT INTO user_profiles (id, owner_id, password, first_name, last_name, photo_url, "
            "phone, email_verified, phone_verified, is_active, is_superuser, created_at, updated_at) "
            "SELECT gen_random_uuid(), gen_random_uuid()::text, '', 'One', 'of many', '', '', false, false, true, "
            "false, now(), now() FROM generate_series(1, %s) RETURNING id, owner_id) "
            f"INSERT INTO event_attendees (id, event_id, user_profile_id, owner_id, source, status{names}) "
            f"SELECT gen_random_uuid(), %s, id, owner_id, 'import', 'active'{marks} FROM people",
            [count, event.pk, *columns.values()],
        )


class SessionRsvpFactory(DjangoModelFactory):
    """A seat of an attendee of the session's event."""

    class Meta:
        model = SessionRsvp

    session = factory.SubFactory(SessionFactory)
    event = factory.SelfAttribute("session.event")
    attendee = factory.SubFactory(AttendeeFactory, event=factory.SelfAttribute("..session.event"))


class WaitlistEntryFactory(DjangoModelFactory):
    """A place in the line of a session, of an attendee of its event."""

    class Meta:
        model = WaitlistEntry

    session = factory.SubFactory(SessionFactory)
    event = factory.SelfAttribute("session.event")
    attendee = factory.SubFactory(AttendeeFactory, event=factory.SelfAttribute("..session.event"))


class MechanicFactory(DjangoModelFactory):
    """On duty, for all of the organisation."""

    class Meta:
        model = Mechanic

    organization = factory.SubFactory(OrganizationFactory)
    user_profile = factory.SubFactory(UserProfileFactory)
    display_name = factory.Sequence(lambda n: f"Mechanic {n}")
    on_duty = True


def service_request(event, *, customer=None, mechanic=None, **given) -> SessionRequest:
    """A customer's request at the event, made as in life; accepted where a mechanic is given."""
    customer = customer or UserProfileFactory()
    given = {"concern": "The chain keeps jumping off."} | given
    request = intakes.start_intake(person=customer, event_id=event.pk, **given).row
    if mechanic is not None:
        taking.accept(request_id=request.pk, person=mechanic.user_profile)
    return SessionRequest.objects.get(pk=request.pk)
