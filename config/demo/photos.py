"""Portraits of nobody: drawn from simple shapes, the same ones on every machine."""

import io
import random

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image, ImageDraw

COUNT = 40
SIZE = 256
SCALE = 2
"""Drawn larger and then reduced: smooth edges."""

SKIES = (
    ("#7dd3c8", "#1f6f78"), ("#ffd6a5", "#f08a5d"), ("#cdb4db", "#6a4c93"), ("#a2d2ff", "#3a6ea5"),
    ("#f9c6d0", "#b5446e"), ("#d8e2a8", "#6b8f3a"), ("#ffe8a3", "#d69e2e"), ("#c9d6df", "#52616b"),
)  # fmt: skip
SKINS = ("#f6d7c3", "#eac0a1", "#d9a47c", "#b97a4f", "#8d5a3b", "#6f4630")
HAIRS = ("#1c1a1a", "#3b2a20", "#6b4226", "#a8672c", "#d8b26a", "#8f8f94", "#7a2e2e", "#2f3e5c")
CLOTHES = ("#22577a", "#c44536", "#2d6a4f", "#f2b134", "#5e548e", "#e8e4dc", "#343a40", "#0f8b8d")


def ensure() -> list[str]:
    """Their addresses; draws those that are not in the storage."""
    # Several people share one: in a folder of their own they are not a person's upload, which is
    # deleted when that person changes their photo or is erased.
    names = [f"photos/demo/{number:02}.webp" for number in range(1, COUNT + 1)]
    for number, name in enumerate(names):
        if not default_storage.exists(name):
            default_storage.save(name, ContentFile(draw(number)))
    return [default_storage.url(name) for name in names]


def draw(number: int) -> bytes:
    """The portrait of this number, as WebP of a few kilobytes."""
    dice = random.Random(number)
    side = SIZE * SCALE
    picture = _sky(side, *SKIES[number % len(SKIES)])
    pen = ImageDraw.Draw(picture)
    skin, hair, cloth = SKINS[number % len(SKINS)], dice.choice(HAIRS), dice.choice(CLOTHES)

    def ellipse(x, y, rx, ry, colour):
        pen.ellipse([(x - rx) * side, (y - ry) * side, (x + rx) * side, (y + ry) * side], fill=colour)

    style = ("short", "long", "bun", "curls", "scarf", "bald", "fringe", "bob")[dice.randrange(8)]
    if style in ("long", "bob"):
        ellipse(0.5, 0.5 if style == "long" else 0.44, 0.26, 0.36 if style == "long" else 0.27, hair)
    if style == "bun":
        ellipse(0.5, 0.16, 0.09, 0.09, hair)
    if style == "scarf":
        ellipse(0.5, 0.47, 0.27, 0.32, cloth)
    ellipse(0.5, 1.05, 0.40, 0.32, cloth)
    ellipse(0.5, 0.70, 0.09, 0.12, skin)
    if style in ("short", "bun", "fringe"):
        ellipse(0.5, 0.37, 0.215, 0.205, hair)
    if style == "curls":
        for step in range(9):
            ellipse(0.308 + step * 0.048, 0.25 + (step - 4) ** 2 * 0.011, 0.075, 0.075, hair)
    ellipse(0.5, 0.45, 0.185, 0.225, skin)
    if style in ("long", "bob", "fringe"):
        pen.pieslice([0.31 * side, 0.20 * side, 0.69 * side, 0.52 * side], 180, 360, fill=hair)
    if style == "scarf":
        pen.chord([0.30 * side, 0.19 * side, 0.70 * side, 0.46 * side], 195, 345, fill=cloth)
    if dice.random() < 0.2 and style not in ("scarf", "long", "bob"):
        pen.chord([0.325 * side, 0.36 * side, 0.675 * side, 0.69 * side], 20, 160, fill=hair)
    _face(pen, side, glasses=dice.random() < 0.3)
    out = io.BytesIO()
    picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(out, "WEBP", quality=80)
    return out.getvalue()


def _sky(side, above, below):
    """A vertical gradient."""
    ramp = Image.linear_gradient("L").resize((side, side))
    return Image.composite(Image.new("RGB", (side, side), below), Image.new("RGB", (side, side), above), ramp)


def _face(pen, side, *, glasses):
    ink, width = "#2b2320", max(2, side // 110)
    for x in (0.425, 0.575):
        pen.ellipse([(x - 0.016) * side, 0.424 * side, (x + 0.016) * side, 0.456 * side], fill=ink)
        if glasses:
            pen.ellipse([(x - 0.058) * side, 0.382 * side, (x + 0.058) * side, 0.498 * side], outline=ink, width=width)
    if glasses:
        pen.line([0.483 * side, 0.43 * side, 0.517 * side, 0.43 * side], fill=ink, width=width)
    pen.arc([0.43 * side, 0.47 * side, 0.57 * side, 0.57 * side], 25, 155, fill=ink, width=width)
