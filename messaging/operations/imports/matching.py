"""Who of a file is on the list already, so that the same list imported again makes nobody twice.

By the ID that the other system gave, unless it is plainly somebody else's now; else by the same e-mail or
phone under a name that can be the same person's. The same contact under another name is another guest:
families and couples share theirs.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

from django.utils.translation import gettext as _

from attendance.operations.imports import names

from ...models import EventGuest

FIELDS = ("guest_name", "phone", "email", "external_id")


@dataclass(eq=False)
class Line:
    """What one line of a file says of a guest."""

    line: int
    guest_name: str
    """Of a list without names, the contact."""
    phone: str | None
    email: str | None
    external_id: str
    has_name: bool
    remarks: list[str] = field(default_factory=list)

    @property
    def contacts(self) -> list[str]:
        return [one for one in (self.email, self.phone) if one]


@dataclass(eq=False)
class Known:
    """A guest of the list as it will be: one that is there, or one that a line of the file adds."""

    id: UUID | None
    guest_name: str
    phone: str | None
    email: str | None
    external_id: str
    removed: bool = False
    line: Line | None = None
    """The line that is about them."""
    was: dict = field(default_factory=dict)
    """What stood there before."""

    @property
    def is_nameless(self) -> bool:
        return self.guest_name in (self.email, self.phone)


@lru_cache(maxsize=100_000)
def _read(name: str) -> names.Name | None:
    return names.read(name)


def may_be(one, other) -> bool:
    """Whether both names can be one person's. Where one of them has none, nothing contradicts."""
    if one == other:
        return True
    mine, yours = _read(one), _read(other)
    if mine is None or yours is None:
        return mine is yours is None and one.casefold() == other.casefold()
    return names.same(mine, yours)


def has_to_do_with(one, other) -> bool:
    """Whether a word of one begins a word of the other: "Di" and "Diana Prince", "Ann Lee" and "Ann Ek"."""
    mine, yours = _read(one), _read(other)
    if mine is None or yours is None:
        return False
    return any(a.startswith(b) or b.startswith(a) for a in mine.all for b in yours.all)


def is_spelt_alike(one: str, other: str) -> bool:
    mine, yours = _read(one), _read(other)
    if mine is None or yours is None:
        return one.casefold() == other.casefold()
    return mine.is_spelt_as(yours)


class Guests:
    """The event's guests, removed ones too, in one query; and those that the file adds."""

    def __init__(self, event_id):
        rows = EventGuest.objects.filter(event_id=event_id).order_by("pk").values_list(
            "pk", "guest_name", "phone", "email", "external_id", "removed_at"
        )  # fmt: skip
        self._by_id: dict[str, Known] = {}
        self._by_contact: dict[str, list[Known]] = defaultdict(list)
        self._everybody: list[Known] = []
        self._named = 0
        """How many of them stand in ``_by_name``: reading names takes long, and few files ask for it."""
        self._by_name: dict[frozenset | str, list[Known]] = defaultdict(list)
        self._bare: dict[frozenset | str, list[Known]] = defaultdict(list)
        """By name, who has neither contact nor ID."""
        for pk, name, phone, email, external_id, removed_at in rows:
            self.add(Known(pk, name, phone, email, external_id, removed_at is not None))

    def add(self, guest: Known) -> None:
        if guest.external_id:
            self._by_id[guest.external_id] = guest
        for contact in (guest.email, guest.phone):
            if contact:
                self._by_contact[contact].append(guest)
        if not (guest.email or guest.phone or guest.external_id):
            self._bare[_key(guest.guest_name)].append(guest)
        self._everybody.append(guest)

    def find(self, line: Line) -> Known | None:
        """Whom the line is about; the line loses an ID that is somebody else's."""
        if line.external_id and (guest := self._by_id.get(line.external_id)):
            if self._is_theirs(guest, line):
                return guest
            line.external_id = ""
            line.remarks.append(_taken(guest))
        found = [guest for guest in self._sharing(line) if self._fits(guest, line)]
        if not found:
            found = self._by_name_alone(line)
        return min(found, key=lambda guest: _last(guest, line), default=None)

    def sharing(self, line: Line, but: Known) -> list[Known]:
        """Other guests on the list with the same contact."""
        return [guest for guest in self._sharing(line) if guest is not but and not guest.removed]

    def _sharing(self, line) -> list[Known]:
        found = {id(guest): guest for contact in line.contacts for guest in self._by_contact[contact]}
        return list(found.values())

    @staticmethod
    def _is_theirs(guest, line) -> bool:
        """The ID decides, unless the contacts differ and the names too, or the names have nothing in common."""
        known = {guest.email, guest.phone} - {None}
        if known & set(line.contacts) or guest.is_nameless or not line.has_name:
            return True
        if may_be(guest.guest_name, line.guest_name):
            return True
        return not (known and line.contacts) and has_to_do_with(guest.guest_name, line.guest_name)

    @staticmethod
    def _fits(guest, line) -> bool:
        return guest.is_nameless or not line.has_name or may_be(guest.guest_name, line.guest_name)

    def _by_name_alone(self, line) -> list[Known]:
        """A line without contact is whoever has its name; one with a contact, the one guest of that
        name, of two words or more, who has neither contact nor ID."""
        if not line.has_name:
            return []
        if line.contacts:
            known = _read(line.guest_name) if self._bare else None
            bare = self._alike(self._bare, line) if known is not None and len(known.words) > 1 else []
            bare = [one for one in bare if not (one.email or one.phone or one.external_id)]
            return bare if len(bare) == 1 else []
        for guest in self._everybody[self._named :]:
            self._by_name[_key(guest.guest_name)].append(guest)
        self._named = len(self._everybody)
        return [one for one in self._alike(self._by_name, line) if not (line.external_id and one.external_id)]

    @staticmethod
    def _alike(by_name, line) -> list[Known]:
        return [one for one in by_name[_key(line.guest_name)] if is_spelt_alike(one.guest_name, line.guest_name)]


def _last(guest, line) -> tuple:
    """Of several, first who is on the list, of no line yet, and called just so."""
    return guest.removed, guest.line is not None, guest.guest_name != line.guest_name


def _key(name: str) -> frozenset | str:
    known = _read(name)
    return known.words if known else name.casefold()


def _taken(guest) -> str:
    return _("their ID is {name}'s on the list").format(name=guest.guest_name)
