"""manage.py hand_on_seats: what beat does each minute, by hand."""

from django.core.management.base import BaseCommand, CommandError

from config.errors import DomainError
from events.models import Event, Session
from rsvp.models import WaitlistEntry
from rsvp.operations import line


class Command(BaseCommand):
    help = (
        "Offers that have passed go to the next in line, free seats to whoever has waited longest, and lines whose "
        "session has begun are closed. The same operation as the task that runs each minute; safe to run at any time."
    )

    def add_arguments(self, parser):
        parser.add_argument("--event", metavar="ID", type=int, help="only this event, session by session")

    def handle(self, *args, event, **options):
        given = line.catch_up() if event is None else self.settled(event)
        self.stdout.write(f"{given} got a seat or an offer; {WaitlistEntry.objects.waiting().count()} are waiting.")

    def settled(self, event):
        if not Event.objects.filter(pk=event).exists():
            raise CommandError(f"There is no event {event}.")
        waited_for = WaitlistEntry.objects.live().filter(event=event).values("session")
        given, failed = 0, 0
        for session in Session.objects.filter(pk__in=waited_for).order_by("starts_at", "pk"):
            try:
                got = line.settle(session_id=session.pk)
            except DomainError as error:
                failed += 1
                self.stderr.write(f"{session.title}: {error}")
                continue
            given += got
            if got:
                self.stdout.write(f"{session.title}: {got}")
        if failed:
            raise CommandError(f"{failed} sessions could not be looked after; start again.")
        return given
