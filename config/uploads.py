"""The file between "upload" and "confirm": it waits on the server while a person reads the preview.

It lies under a name that nobody can guess. The token that finds it again is signed, carries the
choices that were made with it, and serves only the person who uploaded, on the page they did it on.
"""

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core import signing

LAST = 60 * 60
"""Seconds in which a person confirms what the preview shows."""


class Gone(Exception):
    """No file for this token: confirmed, discarded or swept meanwhile, or the token is not this person's."""


@dataclass(frozen=True)
class Kept:
    """An upload that was accepted before. With ``name`` and ``size``, a form takes it for a file."""

    path: Path
    name: str
    size: int
    choices: dict[str, str]

    def read(self) -> bytes:
        return self.path.read_bytes()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


def keep(data: bytes, *, name: str, choices: dict[str, str], person, page: str) -> str:
    """Writes the file where only the server reads it; returns the token that finds it again."""
    _sweep()
    path = _folder() / secrets.token_urlsafe(32)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    kept = {"choices": choices, "name": name, "path": path.name, "person": str(person.pk)}
    return signing.dumps(kept, salt=page, compress=True)


def take(token: str, *, person, page: str) -> Kept:
    """The file stays until it is discarded: whoever confirms an import that is refused sees it again.

    Raises Gone.
    """
    try:
        kept = signing.loads(token, salt=page, max_age=LAST)
        if kept["person"] != str(person.pk):
            raise Gone
        path = _folder() / kept["path"]
        return Kept(path, kept["name"], path.stat().st_size, kept["choices"])
    except (signing.BadSignature, FileNotFoundError) as error:
        raise Gone from error


def _folder() -> Path:
    folder = Path(settings.DATA_DIR) / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _sweep():
    """Removes what nobody confirmed in time."""
    for path in _folder().iterdir():
        try:
            if path.stat().st_mtime < time.time() - LAST:
                path.unlink()
        except FileNotFoundError:  # swept by another process
            continue
