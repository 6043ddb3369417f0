"""manage.py demo_data: two organisations with everything in them, around today."""

import logging

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import demo
from config.errors import DomainError
from events.importers import ScheduleError, read_schedule


class Command(BaseCommand):
    help = "Makes the demo data, or moves it to today; what people did since stays."

    def add_arguments(self, parser):
        parser.add_argument("--schedule", metavar="FILE", help="a public schedule for the conference that goes on now")

    def handle(self, *, schedule=None, **options):
        if settings.HTTPS and not settings.DEMO:
            raise CommandError("Its log-ins have a password that everybody knows: set TURNOUT_DEMO=1 if that is meant.")
        try:
            # A file that names no zone is read as UTC.
            schedule = schedule and read_schedule(schedule, timezone="UTC")
            made = self._quietly(demo.build, schedule=schedule)
        except (ScheduleError, DomainError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("\n".join(demo.summary(made)))

    def _quietly(self, act, **arguments):
        """Hundreds of decisions would be logged one by one."""
        logging.disable(logging.INFO)
        try:
            return act(**arguments)
        finally:
            logging.disable(logging.NOTSET)
