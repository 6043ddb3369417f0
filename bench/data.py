"""Rows in bulk. The triggers are at work as always; histories are left out."""

from datetime import UTC, datetime, timedelta
from itertools import count

from django.utils import timezone

from attendance.models import Attendee
from events.models import Event, Membership, Organization, Room, Session, Speaker, UserProfile
from messaging.models import EventGuest, Message, MessageDelivery
from requests.models import JoinRequest, Status

_number = count(1)
_people = []
BATCH = 2000


def people(number) -> list[UserProfile]:
    """The same people every time."""
    made = [
        UserProfile(first_name=f"First{n}", last_name=f"Last{n}", email=f"person{n}@example.org", email_verified=True)
        for n in range(len(_people), number)
    ]
    _people.extend(UserProfile.objects.bulk_create(made, batch_size=BATCH))
    return _people[:number]


def organization() -> tuple[Organization, UserProfile]:
    """An organisation and its organiser."""
    number = next(_number)
    made = Organization.objects.create(name=f"Organisation {number}", slug=f"organisation-{number}")
    person = UserProfile.objects.create(email=f"organizer{number}@example.org", email_verified=True)
    Membership.objects.create(organization=made, user_profile=person, role="organizer")
    return made, person


def event(owner, **fields) -> Event:
    number = next(_number)
    starts_at = timezone.now() + timedelta(days=7)
    fields = {"status": Event.Status.PUBLISHED, "max_plus_ones": 3} | fields
    return Event.objects.create(
        organization=owner,
        slug=f"event-{number}",
        title=f"Event {number}",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=8),
        **fields,
    )


def join_requests(pairs, status=lambda number: Status.PENDING) -> list[JoinRequest]:
    """A request for each (event, person)."""
    rows = [
        JoinRequest(event=event, user_profile=person, owner_id=person.owner_id, status=status(number))
        for number, (event, person) in enumerate(pairs)
    ]
    for row in rows:
        row.decided_at = timezone.now() if row.status in Status.DECIDED else None
    return JoinRequest.objects.bulk_create(rows, batch_size=BATCH)


def attendees(event, persons) -> list[Attendee]:
    """People in the room who came without a request."""
    return Attendee.objects.bulk_create(
        [
            Attendee(
                event=event,
                user_profile=person,
                owner_id=person.owner_id,
                source=Attendee.Source.INVITATION,
                goals="Meet people who run events",
                looking_for="A co-founder with a background in logistics",
            )
            for person in persons
        ],
        batch_size=BATCH,
    )


def sessions(event, number, *, speakers=0, **fields) -> list[Session]:
    """An agenda of ten rooms, in which nothing has begun; each session with two of the speakers."""
    rooms = Room.objects.bulk_create([Room(event=event, name=f"Room {n}") for n in range(10)])
    rows = [
        Session(
            event=event,
            title=f"Session {n}",
            abstract="What we learned, and what we would do otherwise. " * 5,
            room=rooms[n % 10],
            track=f"Track {n % 7}",
            starts_at=event.starts_at + timedelta(minutes=30 * (n // 10)),
            ends_at=event.starts_at + timedelta(minutes=30 * (n // 10) + 25),
            **fields,
        )
        for n in range(number)
    ]
    Session.objects.bulk_create(rows, batch_size=BATCH)
    known = Speaker.objects.bulk_create([Speaker(event=event, name=f"Speaker {n}") for n in range(speakers)])
    through = Session.speakers.through
    links = [
        through(session=row, speaker=known[(n + m) % speakers]) for n, row in enumerate(rows) for m in range(2) if known
    ]
    through.objects.bulk_create(links, batch_size=BATCH)
    return rows


def guests(event, number) -> list[EventGuest]:
    """Guests without an account."""
    rows = [
        EventGuest(event=event, guest_name=f"Guest {n}", email=f"guest{n}@example.org", phone=f"+1415{n:07}")
        for n in range(number)
    ]
    return EventGuest.objects.bulk_create(rows, batch_size=BATCH)


def message(event, author, **fields) -> Message:
    """One that is on its way to everybody on the list."""
    fields = {"subject": "Welcome", "body": "Doors open at ten, {name}.", "audience": "invited"} | fields
    return Message.objects.create(event=event, created_by=author, status=Message.Status.SENDING, **fields)


def deliveries(message, guests, channels) -> None:
    rows = [MessageDelivery(message=message, guest=guest, channel=channel) for channel in channels for guest in guests]
    MessageDelivery.objects.bulk_create(rows, batch_size=BATCH)


def inbox(event, author, person, number) -> None:
    """So many messages to one person, read but for the last few."""
    rows = [
        Message(
            event=event,
            created_by=author,
            subject=f"Message {n}",
            body="Doors open at ten.",
            channels=["in_app"],
            status=Message.Status.SENT,
        )
        for n in range(number)
    ]
    Message.objects.bulk_create(rows, batch_size=BATCH)
    read_at = timezone.now()
    MessageDelivery.objects.bulk_create(
        [
            MessageDelivery(
                message=row,
                user=person,
                channel="in_app",
                status="delivered",
                sent_at=read_at,
                read_at=read_at if n < number - 20 else None,
            )
            for n, row in enumerate(rows)
        ],
        batch_size=BATCH,
    )


def schedule(sessions) -> dict:
    """A conference schedule in the c3 format: four days, ten rooms."""
    first = datetime(2027, 5, 6, 9, tzinfo=UTC)
    talks = []
    for number in range(sessions):
        slot, room = divmod(number, 10)
        day, slot = divmod(slot, 26)
        talks.append(
            {
                "guid": f"talk-{number}",
                "title": f"Talk {number}",
                "abstract": "What we learned, and what we would do otherwise. " * 5,
                "date": (first + timedelta(days=day, minutes=30 * slot)).isoformat(),
                "duration": "00:25",
                "room": {"guid": f"room-{room}", "name": f"Room {room}"},
                "track": f"Track {number % 7}",
                "participants": [{"guid": f"speaker-{number % 600}", "name": f"Speaker {number % 600}"}],
            }
        )
    conference = {"acronym": f"bench-{next(_number)}", "title": "Bench", "time_zone_name": "Europe/Berlin"}
    return {"schedule": {"conference": conference, "events": talks}}
