"""Whether a name in a list can be the name of the person that was found. Names find nobody: they only contradict."""

import re
import unicodedata
from dataclasses import dataclass
from itertools import permutations

from config.tables import fold

LONGEST = 500
"""Characters of a name that are looked at."""


def _listed(words) -> frozenset[str]:
    return frozenset(words.split())


EMPTY = _listed(
    """
    mr mrs ms miss mx sir madam dr prof professor phd md dipl ing jr sr ii iii iv herr frau monsieur madame mme mlle
    senor senora sra srta dona sig signor signora dott dottssa dhr mevr mw
    von vom zu zum zur van vanden der den de del della di da do dos das du des la le el al bin bint ibn af av ter ten
    and und et y e og och
    """
)
"""Titles and particles: two people may have them in common."""
PRONOUNS = _listed("she her hers he him his they them theirs ze hir xe xem it its sie ihr er ihm elle il iel")

ASIDE = re.compile(r"[(\[（].*?[)\]）]|[\"“„«”].*?[\"”“»]")
ADDRESS = re.compile(r"\S*@\S*")
SPELT = str.maketrans({"ø": "o", "đ": "d", "ð": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i"}) | {
    ord(mark): None for mark in "'’‘`´"
}
UMLAUTS = re.compile(r"([aou])e")


@dataclass(frozen=True)
class Name:
    words: frozenset[str]
    aside: frozenset[str] = frozenset()
    """Further words that may make it agree: a nickname in quotation marks, an original name in brackets."""

    @property
    def all(self) -> frozenset[str]:
        return self.words | self.aside

    def is_spelt_as(self, other) -> bool:
        """As "Anne-Marie Ek" and "Ek, Annemarie", or "王大明" and "大明 王"."""
        return self.words == other.words or not self._joined().isdisjoint(other._joined())

    def _joined(self) -> set[str]:
        return {"".join(words) for words in permutations(self.words)} if len(self.words) < 5 else set()


def read(text: str, aside: str = "") -> Name | None:
    """None where there is no name: nothing can be told from that. An e-mail address is none."""
    text = ADDRESS.sub(" ", text[:LONGEST])
    words = _words(ASIDE.sub(" ", text), EMPTY)
    further = _words(" ".join(ASIDE.findall(text)) + " " + ADDRESS.sub(" ", aside[:LONGEST]), EMPTY | PRONOUNS)
    return Name(words, further) if words else None


def _words(text, without) -> frozenset[str]:
    folded = UMLAUTS.sub(r"\1", fold(text.lower().translate(SPELT)))
    words = {word for word in folded.split() if any(char.isalpha() for char in word)}
    return frozenset(words - without or words - PRONOUNS)


def differ(one: Name, other: Name) -> bool:
    """Whether no given or family name is in both. An initial, or another script, contradicts nothing."""
    if one.is_spelt_as(other):
        return False
    mine, yours = ({word for word in name.all if not _initial(word)} for name in (one, other))
    if not mine or not yours:
        return not any(a[0] == b[0] for a in one.all for b in other.all)
    if {word.isascii() for word in mine}.isdisjoint(word.isascii() for word in yours):
        return False
    return not any(_alike(a, b) for a in mine for b in yours)


def same(one: Name, other: Name) -> bool:
    """Whether one is the other, if in fuller words: not so "Anna Ek" and "Bo Ek", who may be a couple."""
    if one.is_spelt_as(other):
        return True
    mine = [word for word in one.words if not any(_near(word, known) for known in other.all)]
    yours = [word for word in other.words if not any(_near(word, known) for known in one.all)]
    return not (mine and yours)


def intruders(person: Name | None, rows: list[tuple[object, Name | None]]) -> list:
    """Of one person's rows, those that can't be theirs: all where their names differ and none is the person's.

    A row without a name is no intruder.
    """
    named = [(row, name) for row, name in rows if name]
    fullest = max((name for _row, name in named), key=lambda name: len(name.words), default=None)
    if all(same(name, fullest) for _row, name in named):
        return []
    return [row for row, name in named if not (person and same(name, person))]


def _initial(word) -> bool:
    return len(word) == 1 and not _unspaced(word)


def _unspaced(word) -> bool:
    """Written without small and capital letters, and so often without spaces: 王大明闔府."""
    return unicodedata.category(word[0]) == "Lo"


def _alike(a, b) -> bool:
    return a == b or min(len(a), len(b)) > 1 and _unspaced(a) and _unspaced(b) and (a in b or b in a)


def _near(a, b) -> bool:
    """Max and Maximilian, A. and Anna."""
    short, long = sorted((a, b), key=len)
    return _alike(a, b) or (_initial(short) or len(short) > 2) and long.startswith(short)
