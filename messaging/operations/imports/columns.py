"""Which column of a guest list means what, by its heading, as exports and people write it.

The words are those of attendance, and more: several phones and e-mails may stand beside each other,
the first that serves is taken. Left out on purpose: what is another's (the buyer, the host, the
owner of a contact), secrets of tickets, and row numbers, which change from one export to the next.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from attendance.operations.imports.columns import HEADINGS, OTHERS
from config.tables import Vocabulary, fold

MORE = {
    "email": [
        *("personal email", "contact email", "invitee email", "registrant email", "customer email", "member email"),
        *("E-Mail des Teilnehmers", "E-Mail privat", "E-Mail geschäftlich", "adresse de messagerie", "messagerie"),
        *("courrier électronique", "e-mail du participant", "email du participant", "correo del asistente"),
        *("dirección de correo electrónico", "indirizzo di posta elettronica", "indirizzo posta elettronica"),
        *("email partecipante", "e-mail do participante", "電子メール アドレス", "参加者メールアドレス", "电邮地址"),
        *("email 2 value", "email 2 address", "email 2", "secondary email", "other email", "alternate email"),
        *("email 3 value", "email 3 address", "email 3"),
    ],
    "phone": [
        *("mobile phone number", "attendee phone", "attendee phone number", "guest phone", "contact number"),
        *("contact phone", "contact phone number", "participant phone", "ticket phone", "cell number", "sms"),
        *("sms phone number", "sms number", "phone e164", "default address phone", "Telefon mobil", "Handy-Nr."),
        *("Mobilfunk", "Mobilfunknummer", "Telefon (mobil)", "Telefon privat", "Telefon geschäftlich", "Tel."),
        *("tél", "tél. mobile", "tél mobile", "n° de téléphone", "mobile personnel", "téléphone du participant"),
        *("tel. móvil", "teléfono celular", "teléfono de contacto", "teléfono particular", "número de celular"),
        *("número de móvil", "número de telemóvel", "telefone celular", "celular whatsapp", "telefono cellulare"),
        *("numero di cellulare", "tel. cellulare", "mobiel nummer", "mobiele nummer", "telefoon mobiel"),
        *("gsm", "gsm-nummer", "移动电话", "行動電話號碼", "聯絡電話號碼", "電話番号(携帯)", "携帯"),
        *("phone 2 value", "phone 2", "phone 3 value", "phone 3", "other phone", "home phone 2", "business phone 2"),
    ],
    "name": [
        *("invitee", "invitee name", "registrant name", "contact name", "customer name", "member name"),
        *("name of guest", "name of attendee", "ticket holder", "ticket holder name", "Gastname", "Name des Gastes"),
        *("Name des Teilnehmers", "Teilnehmer/in", "Anzeigename", "nom de l'invité", "nom et prénom"),
        *("prénom et nom", "nom prénom", "participant(e)", "invité", "invité(e)", "nombre del asistente"),
        *("nombre del invitado", "nombre y apellido", "asistente", "invitado", "nome do convidado"),
        *("nome do participante", "convidado", "nome dell'ospite", "nome partecipante", "cognome e nome"),
        *("partecipante", "ospite", "nominativo", "naam gast", "naam deelnemer", "deelnemer", "賓客姓名"),
        *("來賓姓名", "嘉宾姓名", "参会人", "參加者姓名", "顯示名稱", "ご芳名", "ゲスト名", "氏名(漢字)", "file as"),
    ],
    "first_name": [
        *("attendee first name", "guest first name", "participant first name", "forename", "first names"),
        *("Teilnehmername: Vorname", "Name des Teilnehmers: Vorname", "nom du participant : prénom", "prénoms"),
        *("prénom du participant", "nombre de pila", "nombres", "primeiro nome", "nome proprio", "名 (名前)"),
    ],
    "middle_name": ["middle name", "Attendee name: Middle name", "additional name", "zweiter Vorname", "tussenvoegsel"],
    "last_name": [
        *("attendee last name", "guest last name", "participant last name", "attendee surname", "last names"),
        *("Teilnehmername: Nachname", "Name des Teilnehmers: Nachname", "Zuname", "nom du participant : nom"),
        *("nom du participant : nom de famille", "primer apellido", "último nome", "苗字", "名字 (姓)"),
    ],
    "id": [
        *("attendee id", "attendee #", "attendee no", "attendee number", "attendee uuid", "guest id", "guest uuid"),
        *("api id", "api_id", "participant id", "registrant id", "registration id", "invitee id", "ticket id"),
        *("ticket #", "ticket no", "ticket number", "ticket reference", "ticket ref", "ticketnummer", "Ticket-ID"),
        *("Teilnehmer-ID", "Teilnehmernummer", "Gast-ID", "n° de billet", "numéro de billet", "id participant"),
        *("numéro de participant", "número de entrada", "n.º de entrada", "id de asistente", "id do participante"),
        *("id ospite", "id partecipante", "numero biglietto", "gast-id", "deelnemer-id", "賓客ID", "嘉宾ID"),
        *("票號", "参加者ID", "受付番号", "申込番号", "public id", "record id", "Record ID - Contact", "Datensatz-ID"),
        *("contact id", "person id", "member id", "customer id", "user id", "profile id", "id", "uuid", "external id"),
        *("confirmation number", "confirmation code", "registration code", "registration number"),
        *("order id", "order #", "order no", "order number", "order code", "order reference", "booking reference"),
        *("Bestellnummer", "Bestellung", "Bestellcode", "Auftragsnummer", "code de commande", "n° de commande"),
        *("numéro de commande", "número de pedido", "código de pedido", "numero ordine", "ordernummer", "注文番号"),
        *("訂單編號", "订单编号", "订单号"),
    ],
    "status": [
        *("attendee status", "approval status", "approval_status", "ticket status", "registration status", "rsvp"),
        *("rsvp status", "rsvp response", "guest status", "invitation status", "void status", "order status"),
        *("participant status", "response", "reply", "status", "booking status", "payment status", "Anmeldestatus"),
        *("Teilnehmerstatus", "Bestellstatus", "Rückmeldung", "Zusage", "Antwort", "statut", "réponse"),
        *("statut du participant", "statut de la commande", "estado", "estado del pedido", "respuesta", "confirmación"),
        *("situação", "estado do pedido", "resposta", "stato", "stato ordine", "risposta", "antwoord"),
        *("bestelstatus", "狀態", "状态", "報名狀態", "报名状态", "回覆", "订单状态", "訂單狀態", "状態", "ステータス"),
        *(
            "出欠",
            "申込状況",
            "キャンセル",
            "canceled",
            "cancelled",
            "subscription status",
            "canceled at",
            "cancelled at",
        ),
    ],
}
TAKEN = ("email", "phone", "name", "first_name", "last_name")
VOCABULARY = Vocabulary(
    {
        meaning: list(dict.fromkeys([*(HEADINGS[meaning] if meaning in TAKEN else ()), *headings]))
        for meaning, headings in MORE.items()
    }
)

CONTACTS = ("email", "phone")
NAMES = ("name", "first_name", "last_name")
STATUS_FLAGS = frozenset(map(fold, ("キャンセル", "canceled", "cancelled", "canceled at", "cancelled at")))
"""Columns that by a yes, or a time, say that somebody cancelled."""


def score(headings, title) -> float:
    """How well a row of headings fits a guest list. With nothing but an ID, just enough to be told why not."""
    meanings = VOCABULARY.every(headings).keys()
    contacts, naming = meanings & set(CONTACTS), meanings & set(NAMES)
    if not contacts and not naming:
        return 0.1 if "id" in meanings else 0
    fit = 10 * bool(contacts) + 5 * bool(naming) + len(contacts) + bool("id" in meanings)
    return fit / 100 if OTHERS.search(title) else fit


@dataclass(frozen=True)
class Columns:
    """What was understood of a list's headings: meaning → places, the best first."""

    headers: tuple[str, ...]
    places: dict[str, list[int]]
    id: int | None
    """The column that tells lines apart."""
    shared_id: int | None = None
    """One that would, if it weren't the same on several lines: an order's."""

    def has(self, *meanings) -> bool:
        return any(self.places.get(one) for one in meanings)

    def cells(self, row, meaning) -> list[str]:
        return [cell for place in self.places.get(meaning, ()) if (cell := row.cells[place])]

    def heading(self, place) -> str:
        return self.headers[place] or f"({place + 1})"

    @cached_property
    def is_last_first(self) -> bool:
        """Whether the family name's column stands before the given name's."""
        first, last = self.places.get("first_name"), self.places.get("last_name")
        return bool(first and last) and last[0] < first[0]

    @property
    def used(self) -> dict[int, str]:
        """Place → meaning, of what is read."""
        found = {place: one for one, places in self.places.items() if one != "id" for place in places}
        return found | ({self.id: "id"} if self.id is not None else {})


def understand(table) -> Columns:
    """A family name's or a given name's column without its counterpart is the whole name: "Nom", "Nome"."""
    places = VOCABULARY.every(table.headers)
    found = {
        meaning: [one for one in some if any(row.cells[one] for row in table.rows)] or some[:1]
        for meaning, some in places.items()
    }
    found |= {meaning: found[meaning][:1] for meaning in (*NAMES, "middle_name") if meaning in found}
    for alone, other in (("last_name", "first_name"), ("first_name", "last_name")):
        lonely = found.get(alone) and not found.get(other) and not found.get("name")
        if lonely and fold(table.headers[found[alone][0]]) in WHOLE:
            found["name"] = found.pop(alone)
    own = shared = None
    for place in found.pop("id", []):
        values = Counter(row.cells[place] for row in table.rows if row.cells[place])
        lines = {row.cells for row in table.rows if row.cells[place]}
        if values and len(lines) == len(values) and all(len(value) <= 200 for value in values):
            own = place
            break
        if values and shared is None:
            shared = place
    return Columns(table.headers, found, own, shared if own is None else None)


WHOLE = frozenset(map(fold, ("nom", "nome", "nombre", "nombres", "名", "姓")))
"""Headings that, alone, name the whole person."""
