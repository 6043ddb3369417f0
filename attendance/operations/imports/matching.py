"""Whom a row is about. Nothing is guessed: a name alone is nobody, and what points to two people is nobody,
or to somebody of another name."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _
from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number, parse

from ...models import AttendanceStatus, Attendee
from . import names
from .columns import IDENTIFIERS, NAMES, Columns

ADDRESS = re.compile(r"[^\s<>()\[\]:;,\"']+@[^\s<>()\[\]:;,\"'@]+[^\s<>()\[\]:;,\"'@.]")
"""An e-mail address within "Name <a@b.c>", "mailto:a@b.c", or several in one cell."""

LONGEST = names.LONGEST
"""Characters of a cell that are looked at."""


@dataclass(frozen=True)
class Person:
    """An attendee, with what they are told by and what is known of them already."""

    id: UUID
    ticket: str
    owner_id: str
    email: str
    phone: str
    known_as: str
    """Empty of somebody without name, as of the erased."""
    is_active: bool
    """Not removed from the event."""
    status: str
    source: str | None
    version: datetime | None
    """When the attendance was changed last."""

    @property
    def name(self) -> str:
        return self.known_as or str(_("(no name)"))

    @cached_property
    def called(self) -> names.Name | None:
        return names.read(self.known_as)

    @property
    def is_marked(self) -> bool:
        return self.status != AttendanceStatus.UNKNOWN

    @property
    def is_here(self) -> bool:
        return self.status in AttendanceStatus.HERE


@dataclass(frozen=True)
class Nobody:
    """Why a row is about nobody in particular: ``kind`` is the report's list it goes to."""

    kind: str
    reason: str


class Room:
    """The attendees of an event, in one query, to be found by what identifies them; removed ones too,
    as what is theirs is nobody else's."""

    def __init__(self, event_id):
        rows = Attendee.objects.filter(event_id=event_id).order_by().values_list(
            *("pk", "ticket_code", "owner_id", "user_profile__email", "user_profile__phone"),
            *("user_profile__first_name", "user_profile__last_name", "status"),
            *("attendance_status", "attendance_source", "attendance_updated_at"),
        )  # fmt: skip
        self.people = [
            Person(
                *(pk, ticket, owner_id, (email or "").lower(), phone),
                *(f"{first} {last}".strip(), state == Attendee.Status.ACTIVE, status, source, version),
            )
            for pk, ticket, owner_id, email, phone, first, last, state, status, source, version in rows
        ]
        self._by: dict[str, dict[str, set[Person]]] = {}
        for meaning in IDENTIFIERS:
            self._by[meaning] = defaultdict(set)
            for person in self.people:
                if value := getattr(person, meaning):
                    self._by[meaning][value].add(person)

    def find(self, columns: Columns, row) -> Person | Nobody:
        given, broken = _identifiers(columns, row)
        hits = {
            meaning: set().union(*(self._by[meaning].get(value, ()) for value in values))
            for meaning, values in given.items()
        }
        hits = {meaning: people for meaning, people in hits.items() if people}
        if not hits:
            return _nobody(columns, row, given, broken)
        if len(both := set.intersection(*hits.values())) == 1:
            [person] = both
            if not person.is_active:
                return Nobody("unknown", _("{name} was removed from the event.").format(name=person.name))
            if hits.keys() == {"phone"} and person.email and given.get("email"):
                return Nobody(
                    "ambiguous",
                    _("The phone number is {name}'s, the e-mail address isn't.").format(name=person.name),
                )
            called = name_of(columns, row)
            if called and person.called and names.differ(called, person.called):
                return Nobody(
                    "ambiguous",
                    _("{cell} belongs to {name}; the list says {other}.").format(
                        cell=columns.cell(row, next(iter(hits)))[:100],
                        name=person.name,
                        other=name_in(columns, row)[:100],
                    ),
                )
            return person
        people = ", ".join(sorted({person.name for people in hits.values() for person in people})[:5])
        if both:
            return Nobody("ambiguous", _("This fits several people: {names}.").format(names=people))
        means = ", ".join(columns.heading(meaning) for meaning in hits)
        return Nobody(
            "ambiguous", _("{columns} point to different people: {names}.").format(columns=means, names=people)
        )

    @property
    def active(self) -> int:
        return sum(person.is_active for person in self.people)


def _identifiers(columns, row):
    """(meaning → values in the form that is compared, what can't be read)"""
    given, broken = {}, []
    for meaning in ("ticket", "owner_id"):
        if cell := columns.cell(row, meaning):
            given[meaning] = [cell]
    if cell := columns.cell(row, "email")[:LONGEST]:
        if addresses := [found.lower() for found in ADDRESS.findall(cell)]:
            given["email"] = addresses
        elif any(char.isalnum() for char in cell):
            broken.append(_("“{cell}” is no e-mail address.").format(cell=cell[:100]))
    if cell := columns.cell(row, "phone")[:LONGEST]:
        if number := e164(cell, settings.PHONE_REGION):
            given["phone"] = [number]
        elif any(char.isdigit() for char in cell):
            broken.append(_("“{cell}” is no phone number.").format(cell=cell[:100]))
    return given, broken


def e164(cell: str, region: str) -> str | None:
    if re.search(r"\dE\+?\d", cell, re.I):  # a spreadsheet has rounded it
        return None
    try:
        number = parse(cell, region)
    except NumberParseException:
        return None
    return format_number(number, PhoneNumberFormat.E164) if is_possible_number(number) else None


def name_in(columns, row) -> str:
    """What the list calls the person; for people to read."""
    full = columns.cell(row, "name")
    parts = f"{columns.cell(row, 'first_name')} {columns.cell(row, 'last_name')}".strip()
    return (full or parts or columns.cell(row, "email") or columns.cell(row, "phone"))[:LONGEST]


def name_of(columns, row) -> names.Name | None:
    """What the list calls the person; to find who can't be meant, never who is."""
    full = columns.cell(row, "name")
    parts = f"{columns.cell(row, 'first_name')} {columns.cell(row, 'last_name')}"
    return names.read(full, aside=parts) or names.read(parts)


def _nobody(columns, row, given, broken: Iterable[str]) -> Nobody:
    if broken:
        return Nobody("unreadable", " ".join(broken))
    if given:
        means = ", ".join(columns.heading(meaning) for meaning in given)
        return Nobody("unknown", _("Nobody in this event has this: {columns}.").format(columns=means))
    if any(columns.cell(row, meaning) for meaning in NAMES):
        return Nobody("unknown", _("A name alone doesn't tell who it is."))
    return Nobody("unreadable", _("The row names nobody."))
