"""manage.py import_schedule: an event's agenda from a public conference schedule."""

import sys

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from config.errors import SYSTEM, DomainError, NotFound
from events.importers import ScheduleError, read_schedule
from events.models import Organization
from events.operations import schedules


class Command(BaseCommand):
    help = (
        "Makes a draft event, with its rooms, speakers and sessions, of a public conference schedule, or brings the "
        "event that was made of it up to date. Reads frab/Pentabarf XML, c3 and pretalx JSON, Sessionize JSON, Open "
        "Event and iCalendar. Nothing is written if anything fails."
    )

    def add_arguments(self, parser):
        parser.add_argument("file", metavar="FILE", help="the schedule; several files as their folder or zip")
        parser.add_argument("--organization", metavar="SLUG", required=True, help="whose event it is")
        parser.add_argument("--timezone", metavar="ZONE", help="such as Europe/Berlin, where the file names none")
        parser.add_argument("--event", metavar="ID", type=int, help="the event to update, where its title doesn't tell")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, and change nothing")
        parser.add_argument("--strict", action="store_true", help="refuse the whole file if any item of it is bad")

    def handle(self, *args, file, organization, timezone, event, dry_run, strict, verbosity, **options):
        owner = Organization.objects.filter(slug=organization).first()
        if owner is None:
            known = ", ".join(Organization.objects.values_list("slug", flat=True)[:20]) or "none"
            raise CommandError(f"There is no organization “{organization}” (there are: {known}).")
        try:
            schedule = read_schedule(file, timezone)
            total = len(schedule.rooms) + len(schedule.speakers) + len(schedule.sessions)
            shown = sys.stderr.isatty() and not dry_run and verbosity > 0
            with tqdm(total=total, unit="row", disable=not shown) as bar:
                report = schedules.import_schedule(
                    organization=owner,
                    schedule=schedule,
                    actor=SYSTEM,
                    event_id=event,
                    dry_run=dry_run,
                    strict=strict,
                    progress=bar.update,
                )
        except NotFound as error:
            raise CommandError(f"{owner} has no event {event}.") from error
        except (ScheduleError, DomainError) as error:
            raise CommandError(str(error)) from error
        for line in self.lines(report, schedule.format, verbosity):
            self.stdout.write(line)

    def lines(self, report, format, verbosity):
        event = f"event {report.event_id}" if report.event_id else "a new event"
        yield f"{report.title} ({event}{', draft' if report.created else ''}), from {format}"
        yield f"{'':10}{'added':>9}{'changed':>9}{'unchanged':>11}{'gone':>7}"
        for name, added, changed, unchanged, gone in report.table():
            yield f"{name:10}{added:>9}{changed:>9}{unchanged:>11}{gone:>7}"
        if verbosity > 1:
            yield from self.section("Added", [f"{one.kind} {one.external_id} {one.name}" for one in report.added])
        changes = (
            f"{change.kind} {change.external_id} {change.name}: "
            + "; ".join(f"{label} {old} → {new}" for label, old, new in fields)
            for change, fields in report.described()
        )
        yield from self.section("Changed", changes)
        gone = (
            f"{one.kind} {one.external_id} {one.name}: {'kept, marked cancelled' if one.cancelled else 'deleted'}"
            for one in report.gone
        )
        yield from self.section("Gone", gone)
        left_out = [f"{one.item}: {one.reason}" for one in report.left_out]
        yield from self.section(f"Left out: {len(left_out)}", left_out)
        yield from self.section("Notes", report.notes)
        if report.dry_run:
            yield "Dry run: nothing was changed."

    def section(self, title, lines):
        lines = list(lines)
        if lines:
            yield title
            yield from (f"  {line}" for line in lines)
