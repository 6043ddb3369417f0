"""Guest lists as they come out of other systems: real files, and exports written after the makers' documentation."""

import csv

import pytest

from config import tables
from messaging.models import EventGuest
from messaging.operations import imports
from messaging.operations.imports import cells

pytestmark = pytest.mark.django_db

NAMES = {"First Name": "first name", "Last Name": "last name"}
GIVEN = {"Name": "name", "Given Name": "first name", "Family Name": "last name"}
GOOGLE = {"E-mail 1 - Value": "e-mail", "Phone 1 - Value": "phone"}
LUMA = {
    "name": "name",
    "first_name": "first name",
    "last_name": "last name",
    "email": "e-mail",
    "phone_number": "phone",
    "approval_status": "who cancelled",
}
CONTACT = {"Name": "name", "Email": "e-mail", "Phone": "phone"}
ID = "ID, by which the same guest is found again"

REAL = {
    "checkin-short-phones.csv": (5, {"name": "name", "email": "e-mail", "phone": "phone"}, {"email": 5}),
    "customers-100.faker.csv": (
        100,
        {"Customer Id": ID} | NAMES | {"Phone 1": "phone", "Phone 2": "phone", "Email": "e-mail"},
        {"email": 100, "phone": 100, "external_id": 100},
    ),
    "door-list-de-30-semicolon.csv": (30, {"Guest ID": ID, "Name": "name"}, {"external_id": 30}),
    "door-list-de-30.csv": (30, {"Guest ID": ID, "Name": "name"}, {"external_id": 30}),
    "eventbrite-attendees.csv": (
        3,
        NAMES | {"Email": "e-mail", "Attendee #": ID, "Attendee Status": "who cancelled"},
        {"email": 3, "external_id": 3},
    ),
    "google-contacts-legacy.csv": (
        2,
        GIVEN | GOOGLE | {"Additional Name": "middle name"},
        {"email": 2, "phone": 1},
    ),
    "google-contacts-new.csv": (4, NAMES | GOOGLE | {"Middle Name": "middle name"}, {"email": 4}),
    "luma-guests-22-columns.csv": (3, {"api_id": ID} | LUMA, {"email": 3, "external_id": 3}),
    "pretix-checkin-list.csv": (
        2,
        {
            "Attendee name": "name",
            "Attendee name: First name": "first name",
            "Attendee name: Middle name": "middle name",
            "Attendee name: Family name": "last name",
            "E-mail": "e-mail",
        },
        {"email": 2},
    ),
    "tito-badges-quotes.csv": (
        8,
        {"What name would you like printed on your badge?": "name", "Order Reference": ID},
        {"external_id": 8},
    ),
    "wedding-checkin-zh-TW.csv": (3, {"顯示姓名": "name"}, {}),
    "wedding-couples-us.csv": (
        6,
        {
            "WEDDING GUEST NAME(S)": "name",
            "EMAIL ADDRESS": "e-mail",
            "PHONE NUMBER": "phone",
            "RSVP": "who cancelled",
        },
        {"email": 6},
    ),
    "wedding-india-phones-tags.csv": (15, {"name": "name", "phone": "phone"}, {"phone": 15}),
    "zoom-meeting-participants-rejoins.csv": (
        23,
        {"Name (Original Name)": "name", "User Email": "e-mail"},
        {"email": 22},
    ),
    "zoom-meeting-roster.csv": (25, {"Name": "name", "Email": "e-mail"}, {"email": 24}),
    "zoom-webinar-attendee-report.csv": (
        6,
        {"User Name (Original Name)": "name", "Email": "e-mail", "Phone": "phone", "Approval Status": "who cancelled"}
        | NAMES,
        {"email": 6, "phone": 6},
    ),
    "vendor-shapes/angle-bracket-mailto-emails.csv": (2, {"Name": "name", "Email": "e-mail"}, {"email": 2}),
    "vendor-shapes/beehiiv.csv": (2, {"Email": "e-mail", "Status": "who cancelled"}, {"email": 2}),
    "vendor-shapes/dice-billetto.csv": (
        2,
        {"First name": "first name", "Last name": "last name", "Email": "e-mail"},
        {"email": 2},
    ),
    "vendor-shapes/google-contacts.csv": (2, GIVEN | GOOGLE, {"email": 2, "phone": 2}),
    "vendor-shapes/google-forms.csv": (
        2,
        {"Email Address": "e-mail", "Your full name": "name", "Phone": "phone"},
        {"email": 2, "phone": 1},
    ),
    "vendor-shapes/hubspot.csv": (2, NAMES | {"Email": "e-mail", "Phone Number": "phone"}, {"email": 2, "phone": 1}),
    "vendor-shapes/kit-convertkit.csv": (2, {"first_name": "first name", "email_address": "e-mail"}, {"email": 2}),
    "vendor-shapes/luma.csv": (2, LUMA, {"email": 2, "phone": 1}),
    "vendor-shapes/mailchimp.csv": (
        2,
        NAMES | {"Email Address": "e-mail", "Phone Number": "phone"},
        {"email": 2, "phone": 1},
    ),
    "vendor-shapes/outlook-contacts.csv": (
        2,
        NAMES | {"Middle Name": "middle name", "E-mail Address": "e-mail", "Mobile Phone": "phone"},
        {"email": 2, "phone": 1},
    ),
    "vendor-shapes/patreon.csv": (2, {"Name": "name", "Email": "e-mail"}, {"email": 2}),
    "vendor-shapes/pipedrive.csv": (2, CONTACT, {"email": 2, "phone": 2}),
    "vendor-shapes/salesforce.csv": (2, NAMES | {"Email": "e-mail", "Phone": "phone"}, {"email": 2, "phone": 1}),
    "vendor-shapes/semicolon-csv-without-sep-hint.csv": (
        2,
        {"Namn": "name", "E-post": "e-mail", "Telefon": "phone"},
        {"email": 2, "phone": 1},
    ),
    "vendor-shapes/shopify.csv": (2, NAMES | {"Email": "e-mail", "Phone": "phone"}, {"email": 2, "phone": 1}),
    "vendor-shapes/squarespace.csv": (2, {"Email Address": "e-mail"}, {"email": 2}),
    "vendor-shapes/substack.csv": (2, {"email": "e-mail", "email_disabled": "who cancelled"}, {"email": 2}),
    "vendor-shapes/tab-separated-export.csv": (2, CONTACT, {"email": 2, "phone": 1}),
    "vendor-shapes/typeform.csv": (
        2,
        {"What's your name?": "name", "What's your email?": "e-mail", "Phone number": "phone"},
        {"email": 2, "phone": 1},
    ),
    "vendor-shapes/utf-8-bom.csv": (1, {"Name": "name", "Email": "e-mail"}, {"email": 1}),
}
"""Guests made, which column was understood as what, and how many guests have an e-mail, a phone, an ID."""
UNREADABLE = {"tito-badges-quotes.csv": ["The line names nobody."]}


def imported(data, event, *, dry_run=False, **choices):
    table = tables.read(data if isinstance(data, bytes) else data.encode(), imports.score)
    return imports.import_guests(
        event_id=event.pk, table=table, choices=imports.Choices(**choices), actor=None, dry_run=dry_run
    )


def listed(event):
    """(name, e-mail, phone, ID) of each guest, in the order of the file."""
    rows = EventGuest.objects.filter(event=event).order_by("pk")
    return [(one.guest_name, one.email, one.phone, one.external_id) for one in rows]


def test_every_real_file_is_in_the_table_above(shared_data):
    folder = shared_data / "guests"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.csv")} == set(REAL)


@pytest.mark.parametrize("name", REAL)
def test_real_file_makes_its_guests_once(shared_data, event, name):
    data = (shared_data / "guests" / name).read_bytes()
    count, columns, filled = REAL[name]
    region = "SE" if "vendor" in name else None
    preview = imported(data, event, dry_run=True, region=region)
    assert (len(preview.new), dict(preview.columns)) == (count, columns)
    assert not EventGuest.objects.exists()
    report = imported(data, event, region=region)
    assert report == preview
    assert [one.text for one in report.unreadable] == UNREADABLE.get(name, [])
    assert (report.cancelled, report.removed) == ([], [])
    rows = listed(event)
    counts = {name: sum(bool(row[at]) for row in rows) for at, name in enumerate(("email", "phone", "external_id"), 1)}
    assert (len(rows), {name: number for name, number in counts.items() if number}) == (count, filled)
    again = imported(data, event, region=region)
    assert (again.new, again.changed) == ([], [])
    assert listed(event) == rows


def test_swedish_list_read_as_swedish(shared_data, event):
    imported((shared_data / "guests/vendor-shapes/pipedrive.csv").read_bytes(), event, region="SE")
    assert listed(event) == [
        ("Greta Gran", "greta.gran@gmail.com.example", "+46701112233", ""),
        ("Hugo Hed", "hugo@hed.se.example", "+46704445566", ""),
    ]


def test_two_places_of_one_order_are_two_guests(shared_data, event):
    report = imported((shared_data / "guests/pretix-checkin-list.csv").read_bytes(), event)
    assert listed(event) == [
        ("Peter A Jones", "dummy@dummy.test", None, ""),
        ("Andrea J Zulu", "dummy@dummy.test", None, ""),
    ]
    assert report.notes == [
        "“Order code” is the same on several lines, so it doesn't tell guests apart.",
        "1 e-mail or phone is shared by guests under different names: each is a guest of their own.",
    ]


def test_meeting_with_rejoins_counts_people_once(shared_data, event):
    report = imported((shared_data / "guests/zoom-meeting-participants-rejoins.csv").read_bytes(), event)
    assert [(one.line, one.name, one.text) for one in report.repeated][:2] == [
        (12, "Harry Potter", "same guest as in line 11"),
        (21, "Harry Potter", "same guest as in line 11"),
    ]
    assert len(report.repeated) == 6
    roster = imported((shared_data / "guests/zoom-meeting-roster.csv").read_bytes(), event, dry_run=True)
    assert [one.name for one in roster.new] == ["Draco Malfoy", "Dean Thomas", "Pansy Parkinson", "Gellert Grindelwald"]


def test_short_phones_are_left_out_and_said_so(shared_data, event):
    report = imported((shared_data / "guests/checkin-short-phones.csv").read_bytes(), event)
    assert report.new[0] == (2, "John Smith", "john.smith@techsol.com; “555-0101” has no area code")


# -- Exports in their makers' own words ------------------------------------------------------------------

EXPORTS = {
    "eventbrite, UK, with a buyer": (
        (
            "Order no.,Order Date,First Name,Surname,Email,Attendee #,Barcode #,Attendee Status,Buyer First Name,"
            "Buyer Last Name,Buyer Email,Cell Phone\n"
            "1,x,Ann,Lee,ann@x.org,71,900,Attending,Bob,Payer,bob@x.org,(415) 555-0123\n"
            "1,x,Cy,Lee,,72,901,Not Attending,Bob,Payer,bob@x.org,\n"
        ),
        [("Ann Lee", "ann@x.org", "+14155550123", "71")],
    ),
    "tito": (
        (
            "Number,Ticket,Ticket Full Name,Ticket First Name,Ticket Last Name,Ticket Email,Void Status,"
            "Ticket Reference,Order Name,Order Email\n"
            "1,Early,Ann Lee,Ann,Lee,ann@x.org,,ti_1,Bob,bob@x.org\n"
            "2,Early,Cy Ek,Cy,Ek,cy@x.org,Void,ti_2,Bob,bob@x.org\n"
        ),
        [("Ann Lee", "ann@x.org", None, "ti_1")],
    ),
    "meetup, without contacts": (
        (
            "Name\tUser ID\tTitle\tEvent Host\tRSVP\tGuests\tRSVPed on\n"
            "Ann\tuser 17\t\tNo\tYes\t0\tx\nCy\tuser 18\t\tNo\tNo\t0\tx\n"
        ),
        [("Ann", None, None, "user 17")],
    ),
    "partiful": (
        "Name,Status,Checked in,RSVP date\nAnn Lee,Going,,x\nCy,Can't Go,,x\nDi,Maybe,,x\n",
        [("Ann Lee", None, None, ""), ("Di", None, None, "")],
    ),
    "evite": (
        "Name,Email,RSVP\nAnn Lee,ann@x.org,Yes\nCy,cy@x.org,No\n",
        [("Ann Lee", "ann@x.org", None, "")],
    ),
    "hubspot, German": (
        "Datensatz-ID;Vorname;Nachname;E-Mail;Telefonnummer\n51;Jörg;Müller;j@x.de;0170 1234567\n",
        [("Jörg Müller", "j@x.de", "+491701234567", "51")],
    ),
    "pretix, German": (
        (
            "Bestellnummer,Teilnehmername,Teilnehmername: Vorname,Teilnehmername: Nachname,Produkt,E-Mail\n"
            "ABC,Eva Ek,Eva,Ek,Ticket,e@x.de\n"
        ),
        [("Eva Ek", "e@x.de", None, "ABC")],
    ),
    "weezevent, French": (
        (
            "N° de billet;Nom;Prénom;E-mail;Tél. mobile;Statut\n7;Dupont;Zoé;z@x.fr;06 12 34 56 78;Validé\n"
            "8;Petit;Luc;l@x.fr;;Remboursé\n"
        ),
        [("Zoé Dupont", "z@x.fr", "+33612345678", "7")],
    ),
    "French, names only": ("Nom;Courriel\nZoé Dupont;z@x.fr\n", [("Zoé Dupont", "z@x.fr", None, "")]),
    "Spanish": (
        "Nombre;Apellidos;Correo electrónico;Móvil\nJosé;García Paz;j@x.es;612 345 678\n",
        [("José García Paz", "j@x.es", "+34612345678", "")],
    ),
    "Italian": (
        "Cognome;Nome;Indirizzo posta elettronica;Cellulare\nRossi;Ada;a@x.it;347 1234567\n",
        [("Ada Rossi", "a@x.it", "+393471234567", "")],
    ),
    "Portuguese": (
        "Nome;Sobrenome;Endereço de Email;Telefone Celular\nInês;Silva;i@x.pt;912 345 678\n",
        [("Inês Silva", "i@x.pt", "+351912345678", "")],
    ),
    "Dutch": (
        "Voornaam;Tussenvoegsel;Achternaam;E-mailadres;Mobiele telefoon\nJan;de;Wit;j@x.nl;06 12345678\n",
        [("Jan de Wit", "j@x.nl", "+31612345678", "")],
    ),
    "Chinese": ("姓名,电子邮件,手机号码\n王大明,w@x.cn,13812345678\n", [("王大明", "w@x.cn", "+8613812345678", "")]),
    "Japanese": (
        "姓,名,メールアドレス,携帯電話番号\n山田,花子,y@x.jp,090-1234-5678\n",
        [("山田花子", "y@x.jp", "+819012345678", "")],
    ),
    "google contacts, several in a cell": (
        (
            "First Name,Last Name,E-mail 1 - Value,Phone 1 - Value,Phone 2 - Value\n"
            "Ann,Lee,a@x.org ::: b@x.org,12 ::: (415) 555-0123,\nCy,Ek,,,+49 170 1234567\n"
        ),
        [("Ann Lee", "a@x.org", "+14155550123", ""), ("Cy Ek", None, "+491701234567", "")],
    ),
    "airtable": (
        "Full name,E-mail,Phone,RSVP Status\nAnn Lee,a@x.org,,Declined\nCy Ek,c@x.org,,Invited\n",
        [("Cy Ek", "c@x.org", None, "")],
    ),
    "mailchimp, unsubscribed": (
        "Email Address,First Name,Last Name,UNSUB_TIME\na@x.org,Ann,Lee,\nc@x.org,Cy,Ek,2026-01-02 10:00:00\n",
        [("Ann Lee", "a@x.org", None, "")],
    ),
    "substack, unsubscribed": (
        "email,email_disabled\na@x.org,false\nc@x.org,true\n",
        [("a@x.org", "a@x.org", None, "")],
    ),
    "evite, of either contact": (
        "Name,Email/Phone\nAnn,a@x.org\nBo,(415) 555-0123\nCy,c@x.org / 415-555-0199\n",
        [
            ("Ann", "a@x.org", None, ""),
            ("Bo", None, "+14155550123", ""),
            ("Cy", "c@x.org", "+14155550199", ""),
        ],
    ),
    "tito, with phones": (
        "Ticket Full Name,Ticket Email,Ticket Phone Number\nAnn Lee,a@x.org,415 555 0123\n",
        [("Ann Lee", "a@x.org", "+14155550123", "")],
    ),
    "google forms, of a party in parts": (
        (
            "Name,Will you attend the wedding on 5 May?,Will you be joining us for dinner?\n"
            'Ann,Yes,No\nBo,"No, sorry",No\nCy,Can\'t wait!,\nDi,,\n'
        ),
        [(name, None, None, "") for name in ("Ann", "Cy", "Di")],
    ),
    "shopify orders' customers": (
        "Customer ID,First Name,Last Name,Email,Phone\n'881,Ann,Lee,A@X.org,'4155550123\n",
        [("Ann Lee", "a@x.org", "+14155550123", "'881")],
    ),
}
REGIONS = {"German": "DE", "French": "FR", "Spanish": "ES", "Italian": "IT", "Portuguese": "PT", "Dutch": "NL"}
REGIONS |= {"Chinese": "CN", "Japanese": "JP"}


@pytest.mark.parametrize("name", EXPORTS)
def test_export(event, name):
    text, expected = EXPORTS[name]
    region = next((code for word, code in REGIONS.items() if word in name), "US")
    imported(text, event, region=region)
    assert listed(event) == expected
    assert imported(text, event, region=region).writes == 0


WORDS = {
    "en": "First and last name,Name and surname",
    "de": "Vor- und Nachname;E-Mail;Telefon,Vorname;Name;E-Mail;Telefon",
    "tr": "Ad Soyad;E-posta;Telefon,Ad;Soyad;E-posta;Telefon,Adı;Soyadı;E-posta adresi;Cep telefonu",
    "pl": "Imię i nazwisko;E-mail;Telefon,Imię;Nazwisko;Adres e-mail;Numer telefonu",
    "ru": "ФИО;Почта;Телефон,Имя;Фамилия;Эл. почта;Телефон,Имя;Фамилия;Электронная почта;Номер телефона",
    "uk": "ПІБ;Ел. пошта;Телефон,Ім'я;Прізвище;Електронна пошта;Номер телефону",
    "cs": "Jméno a příjmení;E-mail;Telefon,Jméno;Příjmení;E-mailová adresa;Telefonní číslo",
    "hu": "Teljes név;E-mail cím;Telefonszám,Vezetéknév;Keresztnév;E-mail;Telefon,Név;E-mail;Telefon",
    "he": "שם מלא;דוא״ל;טלפון,שם פרטי;שם משפחה;אימייל;נייד",
    "ar": "الاسم الكامل;البريد الإلكتروني;الهاتف,الاسم الأول;اسم العائلة;البريد الإلكتروني;رقم الجوال",
    "ko": "이름;이메일;전화번호,성;이름;이메일;휴대폰",
    "el": "Ονοματεπώνυμο;Email;Τηλέφωνο,Όνομα;Επώνυμο;Email;Κινητό",
    "sv": "Namn;E-post;Telefon,Förnamn;Efternamn;E-postadress;Mobil",
    "da": "Navn;E-mail;Tlf.,Fornavn;Efternavn;E-mailadresse;Mobilnummer",
    "no": "Navn;E-post;Mobil,Fornavn;Etternavn;E-postadresse;Telefonnr",
    "fi": "Nimi;Sähköposti;Puhelin,Etunimi;Sukunimi;Sähköpostiosoite;Puhelinnumero",
}


@pytest.mark.parametrize("headings", [one for some in WORDS.values() for one in some.split(",")])
def test_headings_in_other_languages(event, headings):
    count = headings.count(";") + 1
    names = ["Zoé", "Lefèvre"][: max(1, count - 2)]
    row = [*names, "z@x.org", "+14155550123"][:count]
    report = imported(f"{headings}\n{';'.join(row)}\n", event)
    contact = ("z@x.org", "+14155550123") if count > 1 else (None, None)
    assert (report.unused, [row[1:3] for row in listed(event)]) == ([], [contact])
    assert set(listed(event)[0][0].split()) == set(names)


# -- Phones ----------------------------------------------------------------------------------------------

LOCAL = {"2530000", "tel:253-0000;phone-context=www.google.com", "tel:253-0000;isub=12345;phone-context=www.google.com"}
LOCAL |= {"tel:2530000;isub=12345;phone-context=1234.com"}
"""Possible within an area; with an area code missing, nobody can call them."""
ELSEWHERE = {"0123456"}
"""Possible by its length, but of no area of the country, and with a nought in front."""


def test_phones_of_the_parsing_cases(shared_data):
    rows = list(csv.DictReader((shared_data / "phones/parse-cases.csv").open(encoding="utf-8")))
    tried = 0
    for row in rows:
        if not row["default_region"]:
            continue  # the site's own would stand in
        possible = row["real_possible"] == "true" and row["input"] not in LOCAL | ELSEWHERE
        expected = row["real_e164"] if possible else None
        tried += 1
        assert cells.phone_in([row["input"]], row["default_region"]).value == expected, row["input"]
    assert tried > 100


def test_phones_as_people_typed_them(shared_data):
    rows = list(csv.DictReader((shared_data / "phones/us-registration-phone-shapes.csv").open(encoding="utf-8")))
    read = {
        row["shape_digits_as_9"]: cells.phone_in([row["shape_digits_as_9"].replace("9", "2")], "US") for row in rows
    }
    ten = [row["shape_digits_as_9"] for row in rows if row["digit_count"] == "10"]
    assert {shape: read[shape].value for shape in ten} == dict.fromkeys(ten, "+12222222222")
    lost = read["9.99E+99"]
    assert (lost.value, lost.remarks) == (None, ("“2.22E+22” lost its digits in a spreadsheet",))
    readable = sum(int(row["rows"]) for row in rows if read[row["shape_digits_as_9"]].value)
    assert readable == 5028
