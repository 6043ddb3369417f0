"""The words of the system's own notices: templates/notices, whose first line is the subject."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

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
        context |= {"site": settings.SITE_URL, "event": event}
        context |= {"when": when(event) if event else "", "venue": event and event.venue}
        text = render_to_string(f"notices/{template}.txt", context)
    subject, _newline, body = text.partition("\n")
    return subject.strip(), body.strip() + "\n"


NAMED = "– {}"


def naming(body: str, names: Mapping[UUID, str]) -> tuple[str, dict[UUID, list[int]]]:
    """The body with a name in place of each line that is somebody's id, and nothing else; and whom it
    names on which lines, as ``Notice.about`` wants it."""
    ids = {str(person): person for person in names}
    lines, about = body.split("\n"), {}
    for number, line in enumerate(lines):
        if person := ids.get(line):
            lines[number] = NAMED.format(" ".join(names[person].split()))
            about.setdefault(person, []).append(number)
    return "\n".join(lines), about


def nameless(body: str, numbers: list[int]) -> str:
    """The body without the names on these lines."""
    with translation.override(settings.LANGUAGE_CODE):
        erased = NAMED.format(_("(erased)"))
    return "\n".join(erased if number in numbers else line for number, line in enumerate(body.split("\n")))


def when(event: Event) -> str:
    """From when until when, by the event's clock."""
    return between(event.starts_at, event.ends_at, event)


def between(starts_at: datetime, ends_at: datetime, event: Event) -> str:
    """The same for something that belongs to the event; what starts when it ends has no end that anybody knows."""
    starts, ends = (moment.astimezone(event.zone) for moment in (starts_at, ends_at))
    day, clock = "l, j F Y", "H:i"
    if starts == ends:
        return f"{date_format(starts, f'{day}, {clock}')} ({event.timezone})"
    until = date_format(ends, clock if starts.date() == ends.date() else f"{day}, {clock}")
    return _("{start} to {end} ({zone})").format(
        start=date_format(starts, f"{day}, {clock}"), end=until, zone=event.timezone
    )


def since(moment: datetime, until: datetime) -> str:
    """How long ago, in its largest unit: "3 days"."""
    return timesince(moment, until, depth=1).replace("\xa0", " ")
