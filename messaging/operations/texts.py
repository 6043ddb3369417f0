"""The words of the system's own notices: templates/notices, whose first line is the subject."""

from datetime import datetime

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from events.models import Event


def written(template: str, *, event: Event | None = None, **context) -> tuple[str, str]:
    """Subject and body, in the site's language (that of whoever started it isn't the reader's) and the
    event's time. ``{name}`` and ``{event}`` stay as they are, to be filled for each recipient."""
    with translation.override(settings.LANGUAGE_CODE), timezone.override(event.zone if event else None):
        context |= {"site": settings.SITE_URL, "when": when(event) if event else "", "venue": event and event.venue}
        text = render_to_string(f"notices/{template}.txt", context)
    subject, _newline, body = text.partition("\n")
    return subject.strip(), body.strip() + "\n"


def when(event: Event) -> str:
    """From when until when, by the event's clock."""
    starts, ends = (moment.astimezone(event.zone) for moment in (event.starts_at, event.ends_at))
    day, clock = "l, j F Y", "H:i"
    until = date_format(ends, clock if starts.date() == ends.date() else f"{day}, {clock}")
    return _("{start} to {end} ({zone})").format(
        start=date_format(starts, f"{day}, {clock}"), end=until, zone=event.timezone
    )


def since(moment: datetime, until: datetime) -> str:
    """How long ago, in its largest unit: "3 days"."""
    return timesince(moment, until, depth=1).replace("\xa0", " ")
