"""Whether the letters of a text make words: read by a wrong encoding they do not."""

import re
from collections import Counter

ALPHABETS = tuple(
    map(
        frozenset,
        (
            "éèêëàâîïôùûüçœæÿ",  # French
            "äöüß",
            "áéíóúñüªº",  # Spanish
            "áâãàçéêíóôõúü",  # Portuguese
            "àèéìíîòóùú",  # Italian
            "åäöæøéüšž",  # Danish, Finnish, Norwegian, Swedish
            "áðéíóúýþæö",  # Icelandic
            "äëïéèêüöáóíú",  # Dutch
            "ąćęłńóśźż",  # Polish
            "áčďéěíňóřšťúůýžľĺŕôä",  # Czech, Slovak
            "áéíóöőúüű",  # Hungarian
            "ăâîşţ",  # Romanian
            "čćđšž",  # Croatian, Slovene
        ),
    )
)
"""The letters beyond ASCII that stand together in words of one language."""
CYRILLIC = re.compile(r"[\u0400-\u04ff]+")
ENDINGS = re.compile(r"nazwisk|[sc]k[ia]$|wicz$|^imi\w$|^p\w\wjmen\w$|^jm\wno$|ov\w$|vi\w$|ő(?!e)")
"""Of Polish, Czech, Croatian and Hungarian words, however most of their accented letters were read."""
CENTRAL = frozenset("ąćęłńśźżčďěňřšťůžőűăşţđ")
WORD = re.compile(r"[£¥¯]?[^\W\d_]+(?:[^\w\s\x00-\x7f‘’´“”„«»–—…·•©®™€°§]+[^\W\d_]*)*|[£¥¯][^\W\d_]+")
"""With what is no letter inside, as in "Ma³gorzata" and "£ukasz"."""
LOOKED_AT = 200_000
"""Characters of lines that aren't ASCII."""


def implausible(text: str) -> float:
    """The share of words with letters beyond ASCII that are no words of any language that is known here.

    Where several readings are equally good, what is made like a name of Central Europe says a little more.
    """
    lines = "\n".join(line for line in text.splitlines() if not line.isascii())[:LOOKED_AT]
    words = Counter(word for word in WORD.findall(lines) if not word.isascii())
    total = sum(words.values())
    if not total:
        return 1
    fitting = sum(count for word, count in words.items() if _is_word(word))
    telling = any(_is_word(word) and CENTRAL & set(word.lower()) and ENDINGS.search(word.lower()) for word in words)
    return 1 - fitting / total - telling / 1_000_000


def _is_word(word) -> bool:
    if not (word.islower() or word.isupper() or word[1:].islower()):
        return False
    if CYRILLIC.search(word):
        return bool(CYRILLIC.fullmatch(word))
    beyond = frozenset(char for char in word.lower() if not char.isascii())
    accented = sum(not char.isascii() for char in word)
    return not (accented == len(word) > 2) and any(beyond <= one for one in ALPHABETS)
