"""manage.py backfill NAME: mends what breaks a promise, in batches."""

import sys
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from config import integrity
from config.errors import DomainError


class Command(BaseCommand):
    help = (
        "Mends the rows that break a promise, batch by batch, each in its own transaction. Safe to stop and to start "
        "again at any time. Ends with the figures of the check."
    )

    def add_arguments(self, parser):
        parser.add_argument("name", metavar="NAME", help="what to mend; a wrong name lists the possible ones")
        parser.add_argument("--event", metavar="ID", type=int, help="only rows of this event")
        parser.add_argument("--guest", metavar="ID", type=UUID, help="only rows of this guest")
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        parser.add_argument("--batch-size", type=int, default=500, metavar="N", help="rows a transaction (500)")

    def handle(self, *args, name, event, guest, dry_run, batch_size, **options):
        repairs = integrity.repairs()
        if name not in repairs:
            raise CommandError(f"There is no backfill “{name}”; there are: {', '.join(repairs) or 'none'}.")
        invariant = repairs[name]
        narrowed = {"event_id": event, "guest_id": guest}
        for keyword, value in narrowed.items():
            if value is not None and not invariant.narrows_by(keyword):
                raise CommandError(f"“{name}” can't be narrowed to one {keyword.removesuffix('_id')}.")
        narrowed = {keyword: value for keyword, value in narrowed.items() if invariant.narrows_by(keyword)}
        if batch_size < 1:
            raise CommandError("--batch-size must be at least 1.")
        count = invariant.rows(**narrowed).count()
        if dry_run:
            self.stdout.write(f"{count} to mend. Dry run: nothing was changed.")
            return
        mended = 0
        try:
            with tqdm(total=count, unit="row", disable=not sys.stderr.isatty()) as bar:
                for tried, done in invariant.mend(batch_size=batch_size, **narrowed):
                    mended += done
                    bar.update(tried)
        except DomainError as error:
            raise CommandError(f"{error} {mended} were mended before; start again for the rest.") from error
        left = invariant.rows(**narrowed).count()
        self.stdout.write(f"{mended} of {count} mended, {left} left.")
        for label, value in invariant.figures().items():
            self.stdout.write(f"{label.replace('_', ' ')}: {value}")
        if left:
            raise CommandError(f"{left} could not be mended.")
