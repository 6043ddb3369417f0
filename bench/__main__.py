"""`python -m bench [NAMES…] [--json]`: all benchmarks, or the ones named.

Own services and a fresh database in .data/bench; a demo next to it is left alone, but takes its share
of the machine.
"""

import argparse
import contextlib
import json
import os
import sys
import time

from config.services import ROOT, ServicesError, join, reset

DATA = ROOT / "bench"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed, as ratios measured in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; all without a name")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    arguments = parser.parse_args()
    for name in ("DATABASE_URL", "REDIS_URL"):  # never anybody's real database
        os.environ.pop(name, None)
    try:
        reset(DATA)
        with join(DATA) as services:
            os.environ |= services.environment() | {
                "DJANGO_SETTINGS_MODULE": "bench.settings",
                "DATA_DIR": str(DATA),
                "SITE_URL": "http://127.0.0.1",
                "DEBUG": "0",
                "LOG_LEVEL": "WARNING",  # here; the server logs as always
            }
            return run(arguments, services)
    except ServicesError as error:
        return str(error)
    except KeyboardInterrupt:
        return 130


def run(arguments, services):
    import django

    django.setup()
    from django.core.management import call_command

    from .cases import CASES
    from .harness import Bench

    unknown = set(arguments.names) - CASES.keys()
    if unknown:
        return f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(CASES)}."
    static = DATA / "static"
    static.mkdir()  # WhiteNoise warns without it
    began = time.monotonic()
    call_command("migrate", verbosity=0)
    results = {}
    with contextlib.closing(Bench(services)) as bench:
        for name in arguments.names or CASES:
            print(f"{name} …", file=sys.stderr, flush=True)
            results[name] = list(CASES[name](bench))
            if not arguments.json:
                print(*results[name], "", sep="\n", flush=True)
    seconds = time.monotonic() - began
    if arguments.json:
        tables = {name: [table.as_dict() for table in tables] for name, tables in results.items()}
        print(json.dumps({"seconds": round(seconds), "load": round(bench.busiest, 2), "tables": tables}, indent=2))
        return 0
    print("The figure after each value is its ratio to the table's first line (median of the rounds' ratios).")
    if bench.busiest:
        verdict = "it held the site back" if bench.busiest > 0.8 else "it wasn't the limit"
        print(f"The process that makes the load took at most {bench.busiest:.0%} of a core: {verdict}.")
    print(f"{seconds:.0f} s on {os.cpu_count()} cores, shared by server, PostgreSQL and load.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
