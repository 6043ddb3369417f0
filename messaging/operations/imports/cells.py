"""What a cell says: a name, an e-mail address, a phone number, whether somebody cancelled.

Cells come from people and from spreadsheets, which round numbers, keep apostrophes, and write "n/a".
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from phonenumbers import NumberParseException, country_code_for_region, is_valid_number, parse

from attendance.operations.imports import names
from attendance.operations.imports.matching import ADDRESS
from config.tables import UNCALCULATED, fold

from ..guests import LocalNumber, stored_phone

NAME_LIMIT, EMAIL_LIMIT, ID_LIMIT = 200, 254, 200
"""Characters that the columns of the database hold."""
CELL_LIMIT = 1_000
"""Characters of a contact's cell that are looked at."""

NOTHING = frozenset(
    map(
        fold,
        """
        n/a; na; n.a.; none; null; nil; nan; undefined; unknown; not available; not provided; not given; tbd; tba; -
        keine; keine Angabe; k.A.; unbekannt; inconnu; aucun; aucune; non renseigné; ninguno; ninguna; desconocido
        nessuno; nessuna; sconosciuto; nenhum; nenhuma; desconhecido; geen; onbekend; 無; 无; 未提供; なし; 不明
        """.replace("\n", ";").split(";"),
    )
)
"""Cells that say that there is nothing; signs alone fold to nothing as well."""

LONGEST_NOTHING = 20
"""Characters: a longer cell needn't be compared."""

INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def plain(text: str) -> str:
    """Without what can't be seen, and with single spaces; an apostrophe in front kept the cell text."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    text = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    return " ".join(text.split())


def filled(text: str) -> str:
    """The cell's text, or nothing where it says that there is nothing."""
    text = plain(text)
    return "" if len(text) <= LONGEST_NOTHING and fold(text) in NOTHING else text


# -- Names -------------------------------------------------------------------------------------------

SUFFIXES = frozenset(
    ("jr", "sr", "ii", "iii", "iv", "phd", "ph d", "md", "m d", "esq", "mba", "msc", "inc", "llc", "ltd", "gmbh", "ag")
)
ASIDE = re.compile(r"\s*[(\[（]([^()\[\]（）]*)[)\]）]\s*")


def name_of(full: str, first: str, middle: str, last: str, *, last_first: bool, flipped: bool) -> str:
    """One name out of its parts, none of which is lost; ``flipped``: the list writes "Potter, Harry"."""
    full, first, middle, last = (_without_pronouns(filled(part)) for part in (full, first, middle, last))
    if full and not (first and last):
        if contains(full, first) and contains(full, last):
            return unflipped(full) if flipped else full
        first, last = first or full, last or full  # "Name" beside "Vorname" is the family name
    if first and last and _unspaced(first) and _unspaced(last):
        return last + first if last_first or _is_han(last) else f"{first}{last}"
    return " ".join(filter(None, (first, middle, last)))


def contains(full: str, part: str) -> bool:
    """Whether a whole name has the part in it: "Ek, Anna" has "Anna", and "王大明" has "大明"."""
    words, known = fold(part).split(), fold(full)
    return set(words) <= set(known.split()) or _unspaced(part) and "".join(words) in known


def _without_pronouns(text: str) -> str:
    """ "Cho Chang (she/her)"; another name in brackets stays."""
    for aside in ASIDE.finditer(text):
        words = fold(aside[1]).split()
        if words and all(word in names.PRONOUNS for word in words):
            return plain(text[: aside.start()] + " " + text[aside.end() :])
    return text


def _unspaced(text) -> bool:
    return bool(text) and all(unicodedata.category(char) == "Lo" for char in text if not char.isspace())


def _is_han(text) -> bool:
    return all(unicodedata.name(char, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL")) for char in text)


def is_flipped(cells: Iterable[str]) -> bool:
    """Whether a column of names writes the family name first: most cells have one comma, and no suffix behind it."""
    cells = [cell for cell in cells if cell]
    return len(cells) > 1 and sum(unflipped(cell) != cell for cell in cells) > len(cells) / 2


def unflipped(name: str) -> str:
    last, comma, first = (part.strip() for part in name.partition(","))
    if not comma or not last or not first or "," in first or fold(first) in SUFFIXES:
        return name
    return f"{first} {last}" if max(len(last.split()), len(first.split())) <= 4 else name


PEOPLE = r"(guests?|gaste|people|personen|attendees?|invites?|invites|ospiti|invitados|participants?)"
TOTALS = re.compile(
    r"(grand |sub ?)?(total|totals|sum|summe|gesamt|gesamtsumme|insgesamt|somme|suma|somma|totale|totaal|anzahl|count"
    rf"|合計|总计|總計|小計|小计)( {PEOPLE})?( \d+)?( {PEOPLE})?"
)
NOTES = re.compile(
    r"(notes?|hinweis|nb|remarque|nota|legend|generated|exported|created|erstellt|page \d|seite \d|\*)", re.I
)


def is_no_guest(name: str) -> bool:
    """Whether a line without contact is a sum or a note below the list."""
    folded = fold(name)
    if not any(char.isalpha() for char in folded) or TOTALS.fullmatch(folded):
        return True
    note = NOTES.match(name)
    return bool(note) and (name[note.end() : note.end() + 1] == ":" or len(name.split()) > 4)


# -- E-mail and phone ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """The first that can be reached, and what to tell about the cells: why one can't, or what was made of it."""

    value: str | None = None
    remarks: tuple[str, ...] = ()


def email_in(cells: Iterable[str]) -> Read:
    remarks = []
    for cell in cells:
        text = unicodedata.normalize("NFKC", filled(cell))[:CELL_LIMIT]
        if not text:
            continue
        if text.startswith("="):
            remarks.append(_("“{cell}” is a formula without a value").format(cell=text[:60]))
            continue
        for found in ADDRESS.findall(text):
            address = found.lower().removeprefix("mailto:").strip(".")
            if is_email(address):
                return Read(address)
        if any(char.isalnum() for char in text):
            remarks.append(_("“{cell}” is no e-mail address").format(cell=text[:60]))
    return Read(None, tuple(remarks))


def told_apart(contacts: Iterable[str]) -> tuple[list[str], list[str]]:
    """E-mail addresses, and phone numbers, of cells that may hold either, or both."""
    contacts = [filled(cell)[:CELL_LIMIT] for cell in contacts]
    rests = [ADDRESS.sub(" ", cell).strip(" /,;|") for cell in contacts]
    return [cell for cell in contacts if "@" in cell], [rest for rest in rests if rest]


def is_email(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return len(address) <= EMAIL_LIMIT


def name_beside(cells: Iterable[str]) -> str:
    """The name in "Anna Ek <anna@example.org>"."""
    for cell in cells:
        text = filled(cell)[:CELL_LIMIT]
        if match := re.fullmatch(r"[\"']?([^<>@\"]+?)[\"']?\s*<[^<>]+@[^<>]+>.*", text):
            return match[1].strip()
    return ""


SEVERAL = re.compile(r":::|[;|\n,]|(?<=\d)\s+/\s+|\s+(?:or|and|oder|und|ou|et|o|y|e|of|en)\s+|&", re.I)
SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?E[+-]?\d+", re.I)
WITH_NOUGHT = re.compile(r"[^\d+]*0[^\d+]*[1-9]")
EXTENSION = re.compile(
    r"\s*(?:;?\s*(?:ext|extn|extension|durchwahl|dw|poste|anexo|int)\b\.?:?\s*|\s*[#x×]\s*)\w*\d\w*\s*$", re.I
)


def phone_in(cells: Iterable[str], region: str | None) -> Read:
    """In E.164. A number without extension is better than one that loses it."""
    remarks, extended = [], None
    for cell in cells:
        text = unicodedata.normalize("NFKC", filled(cell)).strip("'’ ")[:CELL_LIMIT]
        if not text or text == UNCALCULATED:
            if text:
                remarks.append(_("a phone number is a formula without a value"))
            continue
        pieces = [text] if ";" in text and "phone-context" in text else [one.strip() for one in SEVERAL.split(text)]
        for piece in dict.fromkeys([*filter(None, pieces), text, *(text.split("/") if "/" in text else ())]):
            bare = EXTENSION.sub("", piece)
            number, remark = _number(piece, region)
            if not number and bare != piece:
                number, remark = _number(bare, region)
            if number and bare != piece:
                extended = extended or (
                    number,
                    _("“{cell}” has an extension, which is left out").format(cell=piece[:40]),
                )
            elif number:
                return Read(number, tuple([remark] if remark else ()))
        if not extended:
            remarks.append(_why_not(text, region))
    if extended:
        return Read(extended[0], (extended[1],))
    return Read(None, tuple(filter(None, remarks)))


def _number(text: str, region) -> tuple[str | None, str]:
    """(number, what was made of it)"""
    if SCIENTIFIC.search(text):
        exact = _exact(text)
        return _number(exact, region) if exact else (None, "")
    text = re.sub(r"(?<=\d)\.0$", "", text)  # a spreadsheet's float
    if "@" in text or not any(char.isdigit() for char in text):
        return None, ""
    try:
        number = stored_phone(text, region)
    except LocalNumber:
        return None, ""
    except ValidationError:
        return _with_lost_plus(text)
    if is_valid_number(parse(number)):
        return number, ""
    if _is_of_another_country(text, number, region):
        return None, ""
    return number, _("“{cell}” is of no known area").format(cell=text[:40])


def _is_of_another_country(text, number, region) -> bool:
    """Whether a number that isn't in use begins with the nought that other countries dial within themselves:
    as "0412 345 678" where a number of the US is asked for."""
    own_code = parse(number).country_code == country_code_for_region(region or settings.PHONE_REGION)
    return own_code and bool(WITH_NOUGHT.match(text))


def _exact(text) -> str | None:
    """The digits of "4.915112345678E12", if none was rounded away."""
    try:
        number = Decimal(text.replace(",", ".").strip())
    except InvalidOperation:
        return None
    sign, digits, exponent = number.as_tuple()
    return f"{number:f}" if not sign and exponent == 0 and len(digits) > 7 else None


def _with_lost_plus(text) -> tuple[str | None, str]:
    """ "0046 70 111 22 33", and "46701112233" or "46 70 111 22 33", where the region's own numbers are of
    another length. Grouped otherwise it is more likely a slip in a number of the region."""
    groups = re.sub(r"[().\-/]", " ", text).split()
    digits = "".join(groups)
    if not digits.isdecimal() or len(digits) < 10:
        return None, ""
    international = digits.startswith("00")
    if digits.startswith("0") and not international:
        return None, ""
    try:
        number = parse("+" + digits.lstrip("0"), None)
        if not international and not (
            is_valid_number(number)
            and (digits == text or " ".join(groups) == text and groups[0] == str(number.country_code))
        ):
            return None, ""
        e164 = stored_phone("+" + digits.lstrip("0"), None)
    except (NumberParseException, ValidationError, LocalNumber):
        return None, ""
    return e164, "" if international else _("“{cell}” is read as {number}").format(cell=text[:40], number=e164)


def _why_not(text, region) -> str:
    cell = text[:60]
    if SCIENTIFIC.search(text):
        return _("“{cell}” lost its digits in a spreadsheet").format(cell=cell)
    try:
        number = stored_phone(text, region)
    except LocalNumber:
        return _("“{cell}” has no area code").format(cell=cell)
    except ValidationError:
        number = None
    elsewhere = WITH_NOUGHT.match(text) and sum(map(str.isdigit, text)) > 8
    if _is_of_another_country(text, number, region) if number else elsewhere:
        return _("“{cell}” is no number of {region}: choose the country, or write it with +").format(
            cell=cell, region=region or settings.PHONE_REGION
        )
    return _("“{cell}” is no phone number that can be called").format(cell=cell) if any(map(str.isalnum, text)) else ""


# -- Status ----------------------------------------------------------------------------------------

OUT = frozenset(
    map(
        fold,
        """
        cancelled; canceled; refunded; refunded/canceled; refunded/cancelled; declined; deleted; void; voided
        not attending; not going; will not attend; won't attend; can't go; can't come; cannot attend; regrets
        rejected; denied; abandoned; expired; removed; rsvp no; no rsvp; unsubscribed; cleaned; chargeback
        partially refunded and canceled; transferred; cancelled by host; no thanks; uninvited
        storniert; abgesagt; erstattet; zurückerstattet; abgelehnt; gelöscht; nimmt nicht teil; kommt nicht
        annulé; annulée; remboursé; remboursée; refusé; refusée; décliné; ne participe pas; absent excusé
        cancelado; cancelada; reembolsado; reembolsada; rechazado; rechazada; no asiste; no asistirá; anulado; anulada
        annullato; annullata; rimborsato; rimborsata; rifiutato; rifiutata; non partecipa; cancellato
        recusado; recusada; estornado; não vai; não comparecerá
        geannuleerd; terugbetaald; afgewezen; afgemeld; komt niet
        kommt leider nicht; zurückgezogen; abgemeldet; absage; ich komme nicht; nicht dabei; désabonné
        désinscrit; ne viendra pas; ne vient pas; anulado por el organizador; no va; no viene; no puede
        no acepta; baja; non viene
        non verrà; disdetto; disiscritto; não comparece; não vem; não participa; cancelou; uitgeschreven; kan niet
        anulowane; anulowany; anulowana; anulowano; odwołane; odrzucone; odrzucony; odrzucona; zwrócone
        zwrot; wypisany
        zrezygnował; zrezygnowała; nie przyjdzie; nie weźmie udziału; nie będzie
        avbokad; avbokat; inställd; avböjt; avböjer; återbetald; kommer inte; kommer ej; deltar inte; deltar ej
        avanmäld; annulleret; aflyst; afvist; afbud; refunderet; kommer ikke; deltager ikke; deltar ikke
        afmeldt; afmeldte
        kansellert; avlyst; avbestilt; avslått; avmeldt; refundert; peruttu; peruutettu; perunut; hylätty; hyvitetty
        ei tule; ei osallistu; ei pääse; en tule; en osallistu; en pääse; zrušeno; zrušena; zrušen; stornováno
        odmítnuto; odmítl; odmítla; vráceno; odhlášen; odhlášena; nepřijde; nezúčastní se; nepřijdu
        iptal; iptal edildi; reddedildi; reddetti; iade edildi; katılmıyor; katılmayacak; gelmiyor
        gelmeyecek; katılamıyorum; gelemiyorum
        已取消; 取消; 已退款; 退款; 已拒絕; 已拒绝; 不出席; 不參加; 不参加; 婉拒
        キャンセル; キャンセル済; キャンセル済み; 返金済み; 欠席; 辞退
        """.replace("\n", ";").split(";"),
    )
) - {""}
NO = frozenset(
    map(
        fold,
        """
        no; n; nein; non; nee; não; nao; いいえ; 否; nope; nie; nej; nei; ei; en; ne; hayır; нет; ні; nem
        όχι; לא; لا; 아니요; absent; absente; sorry no; no sorry; no thank you; false; leider nein
        leider nicht; nein leider; non merci; hélas non
        """.replace("\n", ";").split(";"),
    )
) - {""}
"""Said to an invitation: that they aren't coming."""
UNABLE = re.compile(
    r"(no |sorry |unfortunately |i |we |am )*"
    r"(cannot|can t|cant|won t|wont|will not|unable|not able|not attending|not coming|not going)(?! (even )?wait).*"
    r"|(regretfully |respectfully |sadly )?declines?\b.*"
    r"|(nein |leider )*(ich |wir )?(kann|konnen|komme|kommen|nehme|nehmen) (leider )?nicht\b.*"
    r"|(non )?(je|nous) ne (pourrai|pourrons|peux|pouvons|viendrai|viendrons|viens|participerai|serai)( \w+)? pas\b.*"
    r"|no (puedo|podre|podremos|podemos|asistire|asistiremos|voy|vamos|ire)\b.*"
    r"|non (posso|potro|potremo|possiamo|verro|vengo|partecipo|partecipero|ci saro|saro)\b.*"
    r"|nao (posso|poderei|podemos|vou|vamos|irei|participarei)\b.*|(nee )?ik (kan|kom) (helaas )?niet\b.*"
    r"|nie (moge|bede|przyjde|wezme|dam rady)\b.*|(nej )?jag (kan|kommer|deltar) (tyvarr )?(inte|ej)\b.*"
    r"|(nej |nei )?jeg (kan|kommer|deltager|deltar) (desværre |dessverre )?ikke\b.*"
)
RSVP = re.compile(
    r"rsvp|reply|response|ruckmeldung|zusage|antwort|reponse|respuesta|resposta|risposta|confirmacion|回覆|出欠"
)
NO_AMOUNT = re.compile(r"([a-z]{1,3} )?[0 ]+( [a-z]{1,3})?")
EMPTY_FLAG = NO | frozenset(("", "0", "none", "null", "never", "nie", "jamais", "nunca", "mai"))


def is_out(cell: str, *, flag: bool, asked: bool) -> bool:
    """Whether the cell says that they cancelled, got their money back, or declined. ``flag``: the column is
    there for that; ``asked``: it is what they answered to the invitation."""
    cell = plain(cell)[:CELL_LIMIT]
    folded = fold(cell)
    if flag:
        return folded not in EMPTY_FLAG and not NO_AMOUNT.fullmatch(folded)
    if folded in OUT:
        return True
    if not asked:
        return False
    said = fold(re.split(r"[,;.!:(–—-]", cell, maxsplit=1)[0])  # "No, I can't make it"
    return folded in NO or said in NO or bool(UNABLE.fullmatch(folded)) or folded == "0"
