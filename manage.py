#!/usr/bin/env python
"""Turnout's command line. Starts or joins the embedded services where none are named."""

import gc
import os
import sys


def main():
    # A command keeps most of what it makes. To look for garbage as often as Python does takes a fifth of a migration.
    gc.set_threshold(50_000, 20, 20)
    from config.services import ensure_environment

    ensure_environment()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
