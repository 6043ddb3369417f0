"""Which column of a list means what, by its heading, as exports and people write it.

English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Chinese and Japanese. Left out
on purpose: what is another's (the buyer, the owner of a contact, the host), what says that somebody
registered ("Approval Status", "RSVP", "Registered"), and the bare "Ticket", which is a kind of ticket.
"""

import re
from dataclasses import dataclass

from config.tables import Recognised, Vocabulary

HEADINGS = {
    "ticket": [
        *("ticket code", "ticketcode", "ticket secret", "secret", "barcode", "barcode #", "barcode number"),
        *("qr code", "qr", "ticket token", "Billettcode", "Code-barres", "code du billet", "code billet"),
        *("código de la entrada", "código de entrada", "código del boleto", "código QR", "código de barras"),
        *("código do ingresso", "código do bilhete", "codice biglietto", "codice del biglietto", "codice QR"),
        *("streepjescode", "biljettkod", "streckkod", "QR-kod", "票券代碼", "票券碼", "门票代码", "票码", "票号"),
        *("チケットコード", "QRコード"),
    ],
    "owner_id": ["owner id", "ownerid", "owner_id", "user uid", "uid"],
    "email": [
        *("email", "email address", "user email", "attendee email", "participant email", "guest email"),
        *(
            "email 1 value",
            "ticket email",
            "primary email",
            "work email",
            "mail",
            "mail address",
            "Teilnehmer-E-Mail",
        ),
        *("E-Mail-Adresse", "Mailadresse", "adresse e-mail", "adresse email", "adresse mail", "courriel"),
        *("adresse électronique", "correo electrónico", "correo", "dirección de correo electrónico"),
        *("dirección de correo", "dirección de email", "endereço de e-mail", "endereço de email"),
        *("correio eletrônico", "correio eletrónico", "indirizzo e-mail", "indirizzo email", "posta elettronica"),
        *("e-mailadres", "mailadres", "e-post", "e-postadress", "epost", "epostadress", "mejl", "mejladress"),
        *(
            "電子郵件",
            "电子邮件",
            "電郵",
            "电邮",
            "邮箱",
            "郵箱",
            "電子信箱",
            "电子邮箱",
            "電子郵件地址",
            "电子邮件地址",
        ),
        *("信箱", "メール", "メールアドレス", "Eメール", "電子メール", "電子メールアドレス"),
        *("*your email", "*your email address", "participant ID (UPN)", "UPN", "user principal name"),
    ],
    "phone": [
        *(
            "mobile phone",
            "mobile",
            "mobile number",
            "mobile phone number",
            "cell phone",
            "cell",
            "cell phone number",
        ),
        *("phone", "phone number", "phone 1 value", "phone 1", "telephone", "telephone number", "tel", "tel no"),
        *("primary phone", "whatsapp", "whatsapp number", "home phone", "work phone", "business phone"),
        *("Telefon", "Telefonnummer", "Handy", "Handynummer", "Mobil", "Mobilnummer", "Mobiltelefon"),
        *("téléphone", "numéro de téléphone", "téléphone portable", "téléphone mobile", "portable"),
        *("teléfono", "número de teléfono", "teléfono móvil", "móvil", "celular", "telefone", "número de telefone"),
        *("telemóvel", "telefone celular", "telefono", "numero di telefono", "cellulare", "telefoon"),
        *("telefoonnummer", "mobiele telefoon", "mobiel", "mobieltje", "mobilnr", "電話", "電話號碼", "电话"),
        *("电话号码", "手機", "手机", "手機號碼", "手机号", "手机号码", "行動電話", "聯絡電話", "联系电话"),
        *(
            "電話番号",
            "携帯電話",
            "携帯番号",
            "携帯電話番号",
            "*your phone",
            "*your phone number",
            "*your mobile number",
        ),
    ],
    "name": [
        *("name", "full name", "attendee name", "participant name", "guest name", "guest name s", "attendee"),
        *("Name (Original Name)", "User Name (Original Name)", "user name", "display name", "ticket full name"),
        *("*your full name", "*your name", "wedding guest name s", "participant", "guest"),
        *("Teilnehmer", "Teilnehmername", "vollständiger Name", "Gast", "nom complet", "nom du participant"),
        *("nombre completo", "nombre y apellidos", "nome completo", "nome e cognome", "volledige naam", "naam"),
        *(
            "namn",
            "fullständigt namn",
            "姓名",
            "顯示姓名",
            "显示姓名",
            "名字",
            "名前",
            "氏名",
            "お名前",
            "参加者名",
        ),
    ],
    "first_name": [
        *("first name", "firstname", "given name", "ticket first name", "Attendee name: First name", "Vorname"),
        *("prénom", "nombre", "nome", "voornaam", "förnamn", "名"),
    ],
    "last_name": [
        *("last name", "lastname", "surname", "family name", "ticket last name", "Attendee name: Family name"),
        *("Nachname", "Familienname", "nom", "nom de famille", "apellido", "apellidos", "sobrenome", "apelido"),
        *("cognome", "achternaam", "efternamn", "姓"),
    ],
    "status": [
        *(
            "attendance status",
            "attendance",
            "attended",
            "attended?",
            "checked in",
            "checked-in",
            "check in status",
        ),
        *("checkin status", "check in", "checkin", "check ins", "is checked in", "has checked in", "present"),
        *("presence", "was present", "did attend", "has attended", "attended event", "attended meeting"),
        *("showed up", "arrived", "Anwesenheit", "Anwesenheitsstatus", "anwesend", "eingecheckt", "teilgenommen"),
        *("erschienen", "présence", "statut de présence", "présent", "présent(e)", "participé", "a participé"),
        *("asistencia", "estado de asistencia", "asistió", "asistio", "presente", "presença"),
        *("status de presença", "compareceu", "participou", "check in realizado", "presenza", "stato presenza"),
        *("ha partecipato", "partecipato", "aanwezigheid", "aanwezig", "ingecheckt", "närvaro", "närvarande"),
        *(
            "närvarostatus",
            "incheckad",
            "deltog",
            "deltagit",
            "報到狀態",
            "报到状态",
            "報到",
            "报到",
            "簽到",
            "签到",
        ),
        *(
            "簽到狀態",
            "签到状态",
            "出席狀態",
            "出席状态",
            "出席",
            "出席情況",
            "出席情况",
            "出欠",
            "出席状況",
            "受付状況",
        ),
        *("チェックイン", "チェックイン状況", "参加状況", "attendee status", "participant status"),
    ],
    "general_status": [
        "status",
        "state",
        "Statut",
        "estado",
        "stato",
        "statut",
        "狀態",
        "状态",
        "状態",
        "ステータス",
    ],
    "moment": [
        *("checked in at", "check in time", "checkin time", "checked in time", "check in at", "check in date"),
        *("checkin date", "check in date time", "check in timestamp", "checkin at", "check in datetime"),
        *("first join", "first join time", "first joined", "join time", "joined at", "time joined"),
        *("login time", "attended at", "arrival time", "arrived at", "scanned at", "check in date and time"),
        *("scan time", "scan date", "entry time", "time in", "Eingecheckt um", "Check-in-Zeit"),
        *("Check-in-Zeitpunkt", "Ankunft", "Ankunftszeit", "Beitrittszeit", "Beitrittszeitpunkt"),
        *("Erster Beitritt", "Zeitpunkt des Beitritts", "Uhrzeit des Beitritts", "heure d'arrivée"),
        *("heure de connexion", "heure d'entrée", "première participation", "heure de check-in", "arrivée"),
        *("hora de entrada", "hora de llegada", "hora de unión", "hora de check-in", "hora de registro de entrada"),
        *("horário de entrada", "hora de chegada", "horário do check-in", "data do check-in", "ora di accesso"),
        *("ora di ingresso", "ora di arrivo", "orario di ingresso", "ora del check-in", "inchecktijd"),
        *("aankomsttijd", "tijdstip van inchecken", "incheckningstid", "ankomsttid", "anslutningstid"),
        *(
            "報到時間",
            "报到时间",
            "簽到時間",
            "签到时间",
            "入場時間",
            "入场时间",
            "到場時間",
            "加入時間",
            "加入时间",
        ),
        *(
            "受付時間",
            "受付日時",
            "入場日時",
            "チェックイン日時",
            "チェックイン時間",
            "チェックイン時刻",
            "参加時刻",
        ),
    ],
    "event": [
        *("event", "event name", "event title", "name of event", "Veranstaltung", "Veranstaltungsname"),
        *("événement", "nom de l'événement", "evento", "nombre del evento", "nome do evento", "nome evento"),
        *("evenement", "evenemang", "活動", "活動名稱", "活动", "活动名称", "イベント", "イベント名"),
    ],
}
"""Meaning → headings, the best first."""
VOCABULARY = Vocabulary(HEADINGS)

IDENTIFIERS = ("ticket", "owner_id", "email", "phone")
NAMES = ("name", "first_name", "last_name")
ATTENDANCE = ("status", "moment", "general_status")
OTHERS = re.compile(r"\b(hosts?|panelists?|alternative hosts?|organi[sz]ers?|presenters?|staff)\b", re.I)
"""In a table's title: people who are there to work. A report has the same columns for them."""


def score(headings, title) -> float:
    """How well a row of headings fits a list of who came."""
    known = VOCABULARY.recognise(headings)
    meanings = known.columns.keys() | known.ambiguous.keys()
    identifying, naming = meanings & set(IDENTIFIERS), meanings & set(NAMES)
    if not identifying and not naming:
        return 0
    telling = meanings & {"status", "moment"}
    fit = 10 * bool(identifying) + 5 * bool(telling) + len(identifying) + bool(naming)
    return fit / 100 if OTHERS.search(title) else fit


@dataclass(frozen=True)
class Columns:
    """What was understood of a list's headings."""

    headers: tuple[str, ...]
    recognised: Recognised

    def cell(self, row, meaning) -> str:
        place = self.recognised.columns.get(meaning)
        return "" if place is None else row.cells[place]

    def heading(self, meaning) -> str:
        place = self.recognised.columns.get(meaning)
        return "" if place is None else self.headers[place] or f"({place + 1})"

    def has(self, *meanings) -> bool:
        return any(one in self.recognised.columns for one in meanings)


def understand(table) -> Columns:
    """Of columns that mean the same, those that are empty or repeat the first don't count."""
    recognised = VOCABULARY.recognise(table.headers)
    columns, ambiguous = dict(recognised.columns), {}
    for meaning, places in recognised.ambiguous.items():
        contents = {place: [row.cells[place] for row in table.rows] for place in places}
        filled = [place for place in places if any(contents[place])] or [places[0]]
        if all(contents[place] == contents[filled[0]] for place in filled):
            columns[meaning] = filled[0]
        else:
            ambiguous[meaning] = tuple(filled)
    return Columns(table.headers, Recognised(columns, ambiguous))
