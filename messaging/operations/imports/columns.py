"""Which column of a guest list means what, by its heading, as exports and people write it.

The words are those of attendance, and more: several phones and e-mails may stand beside each other,
the first that serves is taken. Left out on purpose: what is another's (the buyer, the host, the
owner of a contact), secrets of tickets, and row numbers, which change from one export to the next.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from attendance.operations.imports.columns import HEADINGS, OTHERS
from config.tables import Vocabulary, fold

from .cells import contains

ANSWERS = (
    *("will you attend*", "will you be attending*", "will you be there*", "will you be able to*", "will you come*"),
    *("will you be joining*", "will you join*", "are you attending*", "are you coming*", "are you able to*"),
    *(
        "are you going*",
        "can you attend*",
        "can you come*",
        "can you make it*",
        "can you join*",
        "do you plan to attend*",
    ),
    *("attending", "coming", "going", "will attend", "is attending", "is coming", "joining", "rsvp"),
    *("kommst du*", "kommen sie*", "kommt ihr*", "nimmst du*teil", "nehmen sie*teil", "bist du dabei*"),
    *("sind sie dabei*", "wirst du*teilnehmen", "werden sie*teilnehmen", "kannst du*kommen", "können sie*kommen"),
    *(
        "kommt",
        "Teilnahme",
        "nimmt teil",
        "Zusage/Absage",
        "viendrez-vous*",
        "viendras-tu*",
        "venez-vous*",
        "viens-tu*",
    ),
    *("serez-vous présent*", "seras-tu présent*", "serez-vous des nôtres*", "participerez-vous*", "participez-vous*"),
    *("assisterez-vous*", "pourrez-vous*venir", "pourrez-vous*participer", "participation", "participera", "viendra"),
    *("asistirás*", "asistirá*", "asistiréis*", "asistirán*", "vas a asistir*", "va a asistir*", "vas a venir*"),
    *("vendrás*", "vienes*", "podrás asistir*", "podrá asistir*", "participarás*", "parteciperai*", "parteciperà*"),
    *("parteciperete*", "partecipi*", "verrai*", "verrà*", "vieni*", "ci sarai*", "sarai presente*", "sarà presente*"),
    *(
        "partecipazione",
        "você vai*",
        "você virá*",
        "vai comparecer*",
        "irá comparecer*",
        "vais comparecer*",
        "vai participar*",
    ),
    *("vais participar*", "irá participar*", "poderá comparecer*", "vem", "vens", "confirma presença*", "kom je*"),
    *("komt u*", "ben je erbij*", "bent u erbij*", "ben je aanwezig*", "bent u aanwezig*", "doe je mee*", "komt"),
    *("czy będziesz*", "czy przyjdziesz*", "czy przyjdzie*", "czy weźmiesz udział*", "czy weźmie*", "czy wezmą*"),
    *("udział", "kommer du*", "kan du komma*", "deltar du*", "kommer ni*", "ska du*", "deltar", "deltagande", "kommer"),
    *("deltager du*", "kan du komme*", "kan du deltage*", "deltagelse", "kan du delta*", "deltakelse"),
    *("tuletko*", "osallistutko*", "pääsetkö*", "oletko tulossa*", "osallistuuko*", "osallistuminen", "osallistuu"),
    *("zúčastníte se*", "zúčastníš se*", "přijdete*", "přijdeš*", "dorazíte*", "dorazíš*", "účast"),
    *("katılacak mısın*", "katılıyor mu*", "katılabilecek misin*", "gelecek misin*", "geliyor mu*", "katılım"),
    *("katılım durumu", "odpowiedź", "svar", "vastaus", "odpověď", "yanıt", "cevap"),
)
"""Headings under which a no says that somebody isn't coming."""
FLAGS = (
    *("unsub time", "unsubscribed", "unsubscribed at", "unsubscribed on", "unsubscribe date", "unsubscribed date"),
    *(
        "unsubscribe time",
        "date unsubscribed",
        "clean time",
        "email disabled",
        "opted out",
        "opt out date",
        "opted out at",
    ),
    *("email opt out", "unsubscribed from all email", "has opted out", "declined", "declined at", "cancelled on"),
    *("cancellation date", "cancelled date", "canceled date", "date cancelled", "is cancelled", "is canceled"),
    *("refunded at", "voided", "voided at", "storniert", "storniert am", "abgesagt", "abgemeldet"),
    *("abgemeldet am", "annulé", "annulé le", "désinscrit", "désabonné", "cancelado", "cancelada", "baja", "annullato"),
    *("cancellato", "disiscritto", "geannuleerd", "afgemeld", "uitgeschreven", "anulowane", "anulowano", "wypisany"),
    *("avbokad", "avanmäld", "avregistrerad", "afmeldt", "aflyst", "avmeldt", "avbestilt", "peruttu", "perunut"),
    *("zrušeno", "odhlášen", "iptal", "iptal edildi"),
)
"""Headings that ask whether, or when, somebody cancelled or unsubscribed."""

MORE = {
    "email": [
        *("personal email", "contact email", "invitee email", "registrant email", "customer email", "member email"),
        *("E-Mail des Teilnehmers", "E-Mail privat", "E-Mail geschäftlich", "adresse de messagerie", "messagerie"),
        *("courrier électronique", "e-mail du participant", "email du participant", "correo del asistente"),
        *("dirección de correo electrónico", "indirizzo di posta elettronica", "indirizzo posta elettronica"),
        *("email partecipante", "e-mail do participante", "電子メール アドレス", "参加者メールアドレス", "电邮地址"),
        *("email 2 value", "email 2 address", "email 2", "secondary email", "other email", "alternate email"),
        *("email 3 value", "email 3 address", "email 3"),
        *("E-posta", "E-posta adresi", "Eposta", "mail adresi", "adres e-mail", "adres email", "adres mailowy"),
        *("e-mail adresa", "e-mailová adresa", "emailová adresa", "почта", "эл. почта", "электронная почта"),
        *("адрес электронной почты", "електронна пошта", "ел. пошта", "пошта", "електронна адреса", "имейл"),
        *("e-mail cím", "email cím", "sähköposti", "sähköpostiosoite", "e-mailadresse", "e-postadresse", "mejladress"),
        *(
            "דוא״ל",
            'דוא"ל',
            "דואל",
            "אימייל",
            "מייל",
            "כתובת מייל",
            "כתובת אימייל",
            "البريد الإلكتروني",
            "البريد",
            "الإيميل",
        ),
        *(
            "بريد إلكتروني",
            "이메일",
            "이메일 주소",
            "메일",
            "전자우편",
            "ηλεκτρονικό ταχυδρομείο",
            "ηλεκτρονική διεύθυνση",
        ),
        *("διεύθυνση email", "email διεύθυνση", "имэйл", "е-mail", "емейл"),
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
        *("ticket phone number", "telefon numarası", "cep", "cep telefonu", "cep no", "telefon no", "GSM no"),
        *(
            "numer telefonu",
            "nr telefonu",
            "telefon komórkowy",
            "komórka",
            "nr tel.",
            "telefonní číslo",
            "číslo telefonu",
        ),
        *("mobilní telefon", "телефон", "номер телефона", "мобильный", "мобильный телефон", "моб. телефон", "сотовый"),
        *("номер телефону", "мобільний", "мобільний телефон", "telefonszám", "mobilszám", "telefonnummer mobil"),
        *(
            "puhelin",
            "puhelinnumero",
            "matkapuhelin",
            "kännykkä",
            "puh",
            "puh.",
            "mobilnummer",
            "mobiltlf",
            "tlf",
            "tlf.",
        ),
        *("telefonnr", "telefonnr.", "mobilnr.", "טלפון", "מספר טלפון", "נייד", "טלפון נייד", "الهاتف", "هاتف"),
        *(
            "رقم الهاتف",
            "الجوال",
            "رقم الجوال",
            "الموبايل",
            "전화",
            "전화번호",
            "휴대폰",
            "휴대폰 번호",
            "휴대전화",
            "연락처",
            "핸드폰",
        ),
        *("τηλέφωνο", "κινητό", "κινητό τηλέφωνο", "αριθμός τηλεφώνου"),
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
        *("first and last name", "first & last name", "name and surname", "name & surname", "first name and last name"),
        *(
            "first name last name",
            "names",
            "Vor- und Nachname",
            "Vorname und Nachname",
            "Vorname Nachname",
            "Name, Vorname",
        ),
        *("Nachname, Vorname", "Ad Soyad", "Adı Soyadı", "Ad ve Soyad", "İsim Soyisim", "Ad-Soyad", "Katılımcı"),
        *("Imię i nazwisko", "Nazwisko i imię", "Uczestnik", "Gość", "ФИО", "Ф.И.О.", "имя и фамилия", "фамилия и имя"),
        *("фамилия имя отчество", "полное имя", "участник", "гость", "ПІБ", "П.І.Б.", "ім'я та прізвище"),
        *(
            "прізвище та ім'я",
            "прізвище, ім'я",
            "повне ім'я",
            "учасник",
            "гість",
            "jméno a příjmení",
            "příjmení a jméno",
        ),
        *(
            "celé jméno",
            "účastník",
            "host jméno",
            "meno a priezvisko",
            "név",
            "teljes név",
            "résztvevő",
            "vendég",
            "för- och efternamn",
        ),
        *("förnamn och efternamn", "deltagare", "gäst", "navn", "fulde navn", "fullt navn", "for- og efternavn"),
        *("for- og etternavn", "fornavn og efternavn", "fornavn og etternavn", "deltager", "deltaker", "gjest"),
        *("nimi", "koko nimi", "etu- ja sukunimi", "etunimi ja sukunimi", "osallistuja", "vieras", "שם", "שם מלא"),
        *(
            "שם פרטי ומשפחה",
            "שם ושם משפחה",
            "الاسم",
            "الاسم الكامل",
            "الاسم بالكامل",
            "اسم الضيف",
            "이름",
            "성명",
            "성함",
            "참가자",
        ),
        *(
            "참석자",
            "참가자명",
            "όνομα και επώνυμο",
            "ονοματεπώνυμο",
            "πλήρες όνομα",
            "nome e sobrenome",
            "nome e apelido",
        ),
        *("nombre y apellidos del asistente", "apellidos y nombre", "voor- en achternaam", "voornaam en achternaam"),
        *(
            "badge name",
            "name on badge",
            "name for badge",
            "*name*on your badge",
            "*name*on the badge",
            "*name*for your badge",
        ),
    ],
    "first_name": [
        *("attendee first name", "guest first name", "participant first name", "forename", "first names"),
        *("Teilnehmername: Vorname", "Name des Teilnehmers: Vorname", "nom du participant : prénom", "prénoms"),
        *("prénom du participant", "nombre de pila", "nombres", "primeiro nome", "nome proprio", "名 (名前)"),
        *("prénom de l'invité", "prénom de l'invité(e)", "Vorname des Gastes", "Vorname des Teilnehmers", "Rufname"),
        *(
            "Ad",
            "Adı",
            "İsim",
            "Adınız",
            "imię",
            "имя",
            "ім'я",
            "jméno",
            "křestní jméno",
            "meno",
            "keresztnév",
            "utónév",
        ),
        *("fornavn", "etunimi", "שם פרטי", "الاسم الأول", "الاسم الاول", "όνομα"),
    ],
    "middle_name": ["middle name", "Attendee name: Middle name", "additional name", "zweiter Vorname", "tussenvoegsel"],
    "last_name": [
        *("attendee last name", "guest last name", "participant last name", "attendee surname", "last names"),
        *("Teilnehmername: Nachname", "Name des Teilnehmers: Nachname", "Zuname", "nom du participant : nom"),
        *("nom du participant : nom de famille", "primer apellido", "último nome", "苗字", "名字 (姓)"),
        *(
            "nom de famille de l'invité",
            "Nachname des Gastes",
            "Nachname des Teilnehmers",
            "Soyad",
            "Soyadı",
            "Soyisim",
        ),
        *(
            "Soyadınız",
            "nazwisko",
            "фамилия",
            "прізвище",
            "příjmení",
            "priezvisko",
            "vezetéknév",
            "családnév",
            "efternavn",
        ),
        *("etternavn", "sukunimi", "שם משפחה", "اسم العائلة", "الاسم الأخير", "اللقب", "επώνυμο", "επίθετο", "성"),
    ],
    "contact": [
        *("email/phone", "phone/email", "email or phone", "phone or email", "email / mobile", "email or mobile"),
        *("email address or phone number", "phone number or email address", "contact info", "contact information"),
        *("contact details", "E-Mail/Telefon", "Telefon/E-Mail", "E-Mail oder Telefon", "Kontaktdaten"),
        *("e-mail/téléphone", "e-mail ou téléphone", "coordonnées", "correo o teléfono", "correo/teléfono"),
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
        *(one for one in (*ANSWERS, *FLAGS) if one != "rsvp"),
        *("stav", "tila", "durum", "status uczestnika", "status zamówienia", "status rezerwacji", "tilausstatus"),
    ],
}
TAKEN = ("email", "phone", "name", "first_name", "last_name")
VOCABULARY = Vocabulary(
    {
        meaning: list(dict.fromkeys([*(HEADINGS[meaning] if meaning in TAKEN else ()), *headings]))
        for meaning, headings in MORE.items()
    }
)

CONTACTS = ("email", "phone", "contact")
NAMES = ("name", "first_name", "last_name")
STATUS_FLAGS = frozenset(map(fold, (*FLAGS, "キャンセル", "canceled", "cancelled", "canceled at", "cancelled at")))
"""Columns that by a yes, or a time, say that somebody cancelled."""
ASKED = Vocabulary({"answer": ANSWERS})


def is_asked(heading) -> bool:
    """Whether the column is an answer to the invitation itself."""
    return bool(ASKED.every([heading]))


def score(headings, title) -> float:
    """How well a row of headings fits a guest list. With nothing but an ID, just enough to be told why not."""
    meanings = VOCABULARY.every(headings).keys()
    contacts, naming = meanings & set(CONTACTS), meanings & set(NAMES)
    if not contacts and not naming:
        return 0.1 if "id" in meanings else 0
    fit = 10 * bool(contacts) + 5 * bool(naming) + len(contacts) + bool("id" in meanings)
    return fit / 100 if OTHERS.search(title) else fit


def scored_with(assigned: Mapping[str, str]):
    """The same, for a file of which somebody said what some headings mean."""
    wanted = set(assigned.values())
    return lambda headings, title: 1_000 if wanted and wanted <= set(headings) else score(headings, title)


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


def understand(table, assigned: Mapping[str, str]) -> Columns:
    """A family name's or a given name's column without its counterpart is the whole name: "Nom", "Nome".
    A column of names beside given names is that of family names, where it doesn't repeat those."""
    places = _assign(VOCABULARY.every(table.headers), table.headers, assigned)
    found = {
        meaning: [one for one in some if any(row.cells[one] for row in table.rows)] or some[:1]
        for meaning, some in places.items()
    }
    found |= {meaning: found[meaning][:1] for meaning in (*NAMES, "middle_name") if meaning in found}
    for alone, other in (("last_name", "first_name"), ("first_name", "last_name")):
        lonely = found.get(alone) and not found.get(other) and not found.get("name")
        if lonely and fold(table.headers[found[alone][0]]) in WHOLE:
            found["name"] = found.pop(alone)
    _tell_family_names(found, table)
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


def _assign(places, headers, assigned) -> dict[str, list[int]]:
    """What a person said comes before what the headings say."""
    said = {meaning: headers.index(heading) for meaning, heading in assigned.items() if heading in headers}
    if not said:
        return places
    if "email" in said and said["email"] == said.get("phone"):
        said["contact"] = said.pop("email")
        del said["phone"]
    if "name" in said:
        places = {meaning: some for meaning, some in places.items() if meaning not in (*NAMES, "middle_name")}
    places = {meaning: [one for one in some if one not in said.values()] for meaning, some in places.items()}
    places |= {meaning: [place, *places.get(meaning, ())] for meaning, place in said.items()}
    return {meaning: some for meaning, some in places.items() if some}


def _tell_family_names(found, table):
    if not ("name" in found and "first_name" in found) or "last_name" in found:
        return
    [name], [first] = found["name"], found["first_name"]
    both = [(row.cells[name], row.cells[first]) for row in table.rows if row.cells[name] and row.cells[first]]
    if both and not any(contains(whole, given) for whole, given in both):
        found["last_name"] = found.pop("name")


WHOLE = frozenset(
    map(
        fold,
        ("nom", "nome", "nombre", "nombres", "名", "姓", "ad", "adı", "isim", "имя", "ім'я", "jméno", "meno", "όνομα"),
    )
)
"""Headings that, alone, name the whole person."""
