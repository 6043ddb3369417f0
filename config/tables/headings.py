"""What the heading of a column means."""

import fnmatch
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LONGEST = 300
"""Characters of a heading that may mean something."""


def fold(text: str) -> str:
    """For comparing: small letters and digits without accents, words by single spaces, "e-mail" as "email"."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("#", " number ")  # checkedInAt; Order #
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(char if char.isalnum() else " " for char in text if not unicodedata.combining(char))
    return re.sub(r"\be mail\b", "email", " ".join(text.split()))


@dataclass(frozen=True)
class Recognised:
    columns: dict[str, int]
    """Meaning → place of its column."""
    ambiguous: dict[str, tuple[int, ...]]
    """Meaning → the columns that have it equally: which one is right, only a person knows."""


class Vocabulary:
    """Meanings, each with the headings that have it, the best first; ``*`` stands for any words.

    A heading must be one of them as a whole: "Contact owner" is no contact, "Buyer e-mail" not the
    guest's. What stands in brackets is tried with and without.
    """

    def __init__(self, meanings: Mapping[str, Sequence[str]]):
        self._exact: dict[str, tuple[str, int]] = {}
        self._wild: list[tuple[re.Pattern, str, int]] = []
        for meaning, headings in meanings.items():
            for rank, heading in enumerate(headings):
                if "*" in heading:
                    pattern = re.compile(fnmatch.translate("*".join(map(fold, heading.split("*")))))
                    self._wild.append((pattern, meaning, rank))
                else:
                    other, _rank = self._exact.setdefault(fold(heading), (meaning, rank))
                    assert other == meaning, f"“{heading}” means {other} already"

    def recognise(self, headers: Sequence[str]) -> Recognised:
        columns, ambiguous = {}, {}
        for meaning, ranks in self._ranked(headers).items():
            best = [place for rank, place in sorted(ranks) if rank == min(ranks)[0]]
            if len(best) == 1:
                columns[meaning] = best[0]
            else:
                ambiguous[meaning] = tuple(best)
        return Recognised(columns, ambiguous)

    def every(self, headers: Sequence[str]) -> dict[str, list[int]]:
        """Meaning → the places of all columns that have it, the best first: of several phones, any may do."""
        return {meaning: [place for _rank, place in sorted(ranks)] for meaning, ranks in self._ranked(headers).items()}

    def _ranked(self, headers) -> dict[str, list[tuple[int, int]]]:
        """Meaning → rank and place of its columns."""
        ranked: dict[str, list[tuple[int, int]]] = {}
        for place, header in enumerate(headers):
            if known := self._meaning(header):
                ranked.setdefault(known[0], []).append((known[1], place))
        return ranked

    def _meaning(self, header) -> tuple[str, int] | None:
        if len(header) > LONGEST:
            return None
        for further, text in ((0, header), (1_000, re.sub(r"[(\[（].*?[)\]）]", " ", header))):
            folded = fold(text)
            if folded in self._exact:
                meaning, rank = self._exact[folded]
                return meaning, rank + further
            for pattern, meaning, rank in self._wild:
                if folded and pattern.fullmatch(folded):
                    return meaning, rank + further
        return None
