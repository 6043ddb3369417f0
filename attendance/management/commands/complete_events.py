"""manage.py complete_events: what beat does each minute, by hand."""

from django.core.management.base import BaseCommand, CommandError

from attendance.models import Attendee
from attendance.operations import absence
from config.errors import DomainError
from events.models import Event


class Command(BaseCommand):
    help = (
        "Completes events that are over, grace included: whoever was neither checked in nor marked becomes absent. "
        "The same operation as the task that runs each minute; safe to stop and to start again at any time."
    )

    def add_arguments(self, parser):
        parser.add_argument("--event", metavar="ID", type=int, help="only this event")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, and change nothing")

    def handle(self, *args, event, dry_run, **options):
        due, moved = absence.due().order_by("ends_at", "pk"), absence.moved().order_by("pk")
        if event is not None:
            if not Event.objects.filter(pk=event).exists():
                raise CommandError(f"There is no event {event}.")
            due, moved = due.filter(pk=event), moved.filter(pk=event)
            if not due.exists() and not moved.exists():
                self.stdout.write(
                    f"Event {event} is not due: it isn't over yet, or not published, or completed already."
                )
                return
        failed = 0
        for row in due:
            if dry_run:
                absent = Attendee.objects.unmarked().filter(event=row).count() if row.marks else 0
                self.stdout.write(f"{row.pk} {row.title}: {absent} would become absent.")
                continue
            try:
                done = absence.complete(event_id=row.pk)
            except DomainError as error:
                failed += 1
                self.stderr.write(f"{row.pk} {row.title}: {error}")
                continue
            self.stdout.write(
                f"{row.pk} {row.title}: {done.marked} absent in {done.batches} batches, {self._state(done)}."
            )
        for row in moved:
            if dry_run:
                self.stdout.write(f"{row.pk} {row.title}: who was absent by the system would be expected again.")
                continue
            try:
                taken_back = absence.take_back(event_id=row.pk)
            except DomainError as error:
                failed += 1
                self.stderr.write(f"{row.pk} {row.title}: {error}")
                continue
            self.stdout.write(f"{row.pk} {row.title}: moved or called off, {taken_back} are expected again.")
        if dry_run:
            self.stdout.write("Dry run: nothing was changed.")
        if failed:
            raise CommandError(f"{failed} events could not be completed; start again.")

    @staticmethod
    def _state(done):
        if done.completed:
            return "completed"
        if done.taken_back:
            return f"moved or called off meanwhile: {done.taken_back} are expected again"
        return "not completed: it was moved, or others are at it"
