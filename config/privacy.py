"""The registry of personal data: what each app knows of a person, and how it forgets. And what a log may hold.

Each app registers from its ``operations`` module, or ``operations/privacy.py`` where that is a
folder: :func:`all_personal_data` imports these, so that no door erases with an app missing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.module_loading import autodiscover_modules


@dataclass(frozen=True)
class PersonalData:
    """One app's data about a person, under a name that is a key of the export.

    ``export(person)`` gives what JSON can hold; dates, UUIDs and decimals may stay as they are.

    ``erase(person)`` runs inside the erasure's transaction, before the profile's own row is
    written; ``person.owner_id`` is the fresh one already, for copies of it in history rows (live
    rows follow by their foreign keys). Rows, counts and audits stay; names, contacts and free texts
    go, from history rows too. It may raise a DomainError to refuse the whole erasure.

    ``erased(person)`` runs in the same transaction once the profile says that it is erased, for what
    the database releases only then.
    """

    name: str
    export: Callable[[Any], Any]
    erase: Callable[[Any], None] = lambda person: None
    erased: Callable[[Any], None] = lambda person: None


_registry: dict[str, PersonalData] = {}


def register(*data: PersonalData) -> None:
    for one in data:
        assert one.name not in _registry, f"{one.name} is registered twice"
        _registry[one.name] = one


def all_personal_data() -> list[PersonalData]:
    """The upper apps' first, as they are to be locked and erased: rows before what they refer to."""
    autodiscover_modules("operations", "operations.privacy")
    return list(reversed(_registry.values()))


# -- In logs -------------------------------------------------------------------------------------------

LETTER = r"""[^\s@<>"'`(),:;=&/…\[\]]"""
MAIL = re.compile(rf'"[^"\n]{{1,64}}"@(?=\S)|(?<!{LETTER})({LETTER}){LETTER}*@(?=\S)')
NUMBER = re.compile(
    r"\+?\d{6,}"
    r"|\+\d{1,3}(?:[ ().\-]{1,2}\d{1,8}){2,5}"  # +1 (415) 555-0123
    r"|\(?\b\d{3}\)?[ .\-]{1,2}\d{3}[ .\-]\d{4}\b"  # (415) 555-0123
)


def masked(text: str) -> str:
    """Somebody else's words, a provider's say, for a log that many may read: numbers keep their last two digits,
    e-mail addresses their first letter and the host."""
    text = MAIL.sub(lambda found: f"{found[1] or ''}…@", text)
    return NUMBER.sub(lambda found: f"…{found[0][-2:]}", text)


CODES = re.compile(r"(/sign-in/|/unsubscribe/|/me/calendar/|[?&](?:code|ticket)=)[^/&\s'\"]+")


def without_codes(logger, method, entry: dict) -> dict:
    """A structlog processor: of an address that lets somebody in, the log keeps only what it is for."""
    for name in ("request", "event"):
        if isinstance(entry.get(name), str):
            entry[name] = CODES.sub(r"\1…", entry[name])
    return entry
