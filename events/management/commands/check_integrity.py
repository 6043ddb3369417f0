"""manage.py check_integrity: whether every promise about the data holds."""

import json
import sys

from django.core.management.base import BaseCommand, CommandError

from config import integrity


class Command(BaseCommand):
    help = "Checks every promise about the data. Exit code 0: all hold; 1: a warning; 2: something is broken."

    def add_arguments(self, parser):
        parser.add_argument("names", nargs="*", metavar="NAME", help="only these checks")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args, names, **options):
        try:
            findings = integrity.run(names)
        except KeyError as error:
            known = ", ".join(one.name for one in integrity.all_invariants())
            raise CommandError(f"There is no check {error}; there are: {known}.") from error
        worst = integrity.worst(findings)
        self.stdout.write(as_json(worst, findings) if options["json"] else as_table(worst, findings))
        if code := integrity.EXIT_CODES[worst]:
            sys.exit(code)


def as_json(worst, findings) -> str:
    return json.dumps({"level": worst, "checks": [one.as_dict() for one in findings]}, indent=2, default=str)


def as_table(worst, findings) -> str:
    width = max(len(one.invariant.name) for one in findings)
    lines = []
    for one in findings:
        lines.append(f"{one.level:9} {one.invariant.name:{width}} {one.violations:>7}  {one.invariant.promise}")
        lines += [f"{'':{width + 20}}{name.replace('_', ' ')}: {value}" for name, value in one.figures.items()]
    return "\n".join([*lines, f"All in all: {worst}"])
