"""The channels against real servers: what arrives, and what every kind of failure is called."""

import ast
import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import format_datetime, parseaddr

import httpx
import pytest
from structlog.testing import capture_logs

from config.post_office import Fault, PostOffice, firebase
from messaging import channels
from messaging.channels import Bounced, Refused, Sent, Throttled, TryLater, Unknown, Unreachable
from messaging.channels.sms import sms_parts
from tests.config.postgres import PROJECT, run

LONG_NAME = "Žofie Nováková-Østergård 王小明"
SIXTY = ("Žofie Alžběta Nováková-Østergårdová 王小明 " * 2)[:60].strip()


def parcel(channel, *to, **fields):
    defaults = {
        "delivery_id": uuid.uuid4(),
        "message_id": uuid.uuid4(),
        "channel": channel,
        "to": to,
        "name": "Ada Lovelace",
        "subject": "Doors open at 9",
        "body": "Hello Ada.\n\nCome early: https://example.org/map?a=1&b=2",
        "kind": "announcement",
        "event_id": 7,
        "event_title": "Summer Camp",
        "organization": "Demo Events",
        "unsubscribe_url": "https://turnout.example/unsubscribe/abc/" if channel == "email" else None,
    }
    return channels.Parcel(**defaults | fields)


def mail(address="ada@example.org", **fields):
    return parcel("email", address, **fields)


def sms(number="+14155550123", **fields):
    return parcel("sms", number, **fields)


def push(*tokens, **fields):
    return parcel("push", *(tokens or ("token-1",)), **fields)


def send(*parcels):
    return channels.get(parcels[0].channel).send(parcels)


def send_one(one):
    [result] = send(one)
    return result


def always(step=None, kind=None, **fault):
    """Faults for every message, at a step of a mail's."""
    return lambda asked: Fault(**fault) if step in (None, asked["step"]) and kind in (None, asked["kind"]) else None


def refuses_connections():
    """The settings of a post office that has closed for good."""
    office = PostOffice().start()
    office.stop()
    return office.settings


def dumped(answer) -> bytes:
    return json.dumps(answer).encode()


def decoded(header) -> str:
    return str(make_header(decode_header(str(header))))


# -- On and off --------------------------------------------------------------------------------------------------


def test_what_is_not_configured_is_off_and_says_which_variable(settings):
    settings.EMAIL_URL = settings.SMS_ACCOUNT_SID = settings.SMS_AUTH_TOKEN = settings.SMS_FROM = ""
    settings.PUSH_CREDENTIALS = ""
    assert channels.on() == ["in_app"]
    assert channels.off_reasons() == {
        "push": "Push is off: PUSH_CREDENTIALS, the service account's JSON or its file, is not set.",
        "sms": "SMS is off: SMS_ACCOUNT_SID and SMS_AUTH_TOKEN and SMS_FROM are not set.",
        "email": "E-mail is off: EMAIL_URL, the address of the mail server, is not set.",
    }
    assert send_one(mail()) == Unreachable("E-mail is off: EMAIL_URL, the address of the mail server, is not set.")
    assert isinstance(send_one(sms()), Unreachable) and isinstance(send_one(push()), Unreachable)


def test_with_a_provider_each_channel_is_on(post_office):
    assert channels.on() == ["in_app", "push", "sms", "email"]
    assert channels.off_reasons() == {}


def test_a_missing_sms_variable_is_named_alone(post_office, settings):
    settings.SMS_FROM = ""
    assert channels.off_reasons() == {"sms": "SMS is off: SMS_FROM is not set."}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("{not json", "Push is off: PUSH_CREDENTIALS isn't JSON ("),
        ("{}", "Push is off: PUSH_CREDENTIALS lacks project_id, client_email, private_key, token_uri."),
        ("/nowhere/push.json", "Push is off: the file that PUSH_CREDENTIALS names can't be read ("),
    ],
)
def test_credentials_of_push_that_make_no_sense_are_said_so(settings, given, why):
    settings.PUSH_CREDENTIALS = given
    assert channels.off_reasons()["push"].startswith(why)


def test_credentials_of_push_may_be_a_file(post_office, settings, tmp_path):
    path = tmp_path / "push.json"
    path.write_text(settings.PUSH_CREDENTIALS)
    settings.PUSH_CREDENTIALS = str(path)
    assert isinstance(send_one(push()), Sent)


@pytest.mark.parametrize("url", ["consolemail://", "memorymail://"])
def test_a_backend_that_sends_nothing_is_no_channel(settings, url):
    settings.EMAIL_URL = url
    assert "isn't the address of an SMTP server" in channels.off_reasons()["email"]


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp://mail.example", 25, False, False),
        ("smtp+tls://ada:p%40ss@mail.example", 587, True, False),
        ("smtp+ssl://ada:p%40ss@mail.example:4650", 4650, False, True),
        ("smtp+ssl://ada:p%40ss@mail.example", 465, False, True),
    ],
)
def test_letters_about_accounts_go_where_the_channel_goes(url, port, tls, ssl):
    code = (
        "from django.core.mail import get_connection; from messaging.channels.email import _backend; "
        "print([(one.host, one.port, one.username or '', one.password or '', one.use_tls, one.use_ssl, one.timeout)"
        " for one in (get_connection(), _backend())])"
    )
    printed = run("python", "manage.py", "shell", "--verbosity", "0", "-c", code, EMAIL_URL=url)
    account = ("ada", "p@ss") if "@" in url else ("", "")
    assert ast.literal_eval(printed) == [("mail.example", port, *account, tls, ssl, 10.0)] * 2


# -- Mail: what arrives ------------------------------------------------------------------------------------------


def test_a_letter_has_what_mail_programs_want(post_office, settings):
    settings.SITE_URL = "https://turnout.example"
    one = mail()
    assert send_one(one) == Sent(f"<{one.delivery_id}@turnout.example>")
    [kept] = post_office.mails
    assert (kept.sender, kept.recipients) == ("turnout@turnout.example", ("ada@example.org",))
    assert kept.key == str(one.delivery_id)
    letter = kept.message
    headers = {name: str(letter[name]) for name in letter if name not in ("Content-Type", "Date", "MIME-Version")}
    assert headers == {
        "Subject": "Doors open at 9",
        "From": "Demo Events via Turnout <turnout@turnout.example>",
        "To": "Ada Lovelace <ada@example.org>",
        "Message-ID": f"<{one.delivery_id}@turnout.example>",
        "X-Turnout-Delivery": str(one.delivery_id),
        "List-Id": "<event-7.turnout.example>",
        "List-Unsubscribe": "<https://turnout.example/unsubscribe/abc/>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert letter.get_content_type() == "multipart/alternative"
    plain, rich = letter.iter_parts()
    assert plain.get_content_type() == "text/plain"
    assert plain.get_content().replace("\r\n", "\n") == (
        "Hello Ada.\n\nCome early: https://example.org/map?a=1&b=2\n\n-- \n"
        "Demo Events sent you this about Summer Camp.\n"
        "No more of these: https://turnout.example/unsubscribe/abc/\n"
    )
    assert rich.get_content_type() == "text/html"
    html = rich.get_content()
    assert "<p>Hello Ada.</p>" in html
    link = "https://example.org/map?a=1&amp;b=2"
    assert f'<p>Come early: <a href="{link}" rel="nofollow">{link}</a></p>' in html
    assert '<a href="https://turnout.example/unsubscribe/abc/"' in html


def test_a_notice_of_no_event_says_that_a_machine_wrote_it(post_office):
    send(mail(kind="join_decision", event_id=None, event_title="", unsubscribe_url=None))
    letter = post_office.mails[0].message
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["List-Id"] is letter["List-Unsubscribe"] is letter["List-Unsubscribe-Post"] is None
    assert (
        letter.get_body(("plain",)).get_content().replace("\r\n", "\n").endswith("\n-- \nDemo Events sent you this.\n")
    )


@pytest.mark.parametrize("name", [LONG_NAME, SIXTY, 'O\'Brien, "Bob" <bob>', "Ž" * 100, "ada@example.com"])
def test_names_come_through_as_they_are(post_office, name):
    send(mail(name=name, organization=name, subject=name, event_title=name))
    [kept] = post_office.mails
    assert kept.recipients == ("ada@example.org",)
    raw = message_from_bytes(kept.raw)  # as old programs read it: header by header
    display, address = parseaddr(raw["To"].replace("\r\n", ""))
    assert (decoded(display), address) == (name, "ada@example.org")
    display, address = parseaddr(raw["From"].replace("\r\n", ""))
    assert (decoded(display), address) == (f"{name} via Turnout", "turnout@turnout.example")
    assert decoded(raw["Subject"]) == name
    assert name in kept.message.get_body(("plain",)).get_content()
    assert max(len(line) for line in kept.raw.split(b"\r\n\r\n")[0].split(b"\r\n")) <= 100
    kept.raw.split(b"\r\n\r\n")[0].decode("ascii")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\u2028", "\x00", "\x85"])
def test_no_header_can_be_smuggled_in(post_office, end):
    evil = f"Ada{end}Bcc: eve@example.org{end}{end}<script>alert(1)</script>"
    [result] = send(mail(name=evil, subject=evil, organization=evil, event_title=evil))
    assert isinstance(result, Sent)
    [kept] = post_office.mails
    assert kept.recipients == ("ada@example.org",)
    assert kept.message["Bcc"] is None
    assert set(kept.message.keys()) == {
        "Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "X-Turnout-Delivery",
        "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
    }  # fmt: skip
    assert kept.message["Subject"] == "Ada Bcc: eve@example.org <script>alert(1)</script>"
    html = kept.message.get_body(("html",)).get_content()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_what_people_wrote_stays_text_in_the_html(post_office):
    body = '<img src="https://evil.example/pixel.gif"> <b>bold</b>\n\njavascript:alert(1) https://x.example/"onmouseover=a()'
    send(mail(body=body))
    html = post_office.mails[0].message.get_body(("html",)).get_content()
    assert "<img" not in html and "<b>" not in html and "src=" not in html.replace("&lt;img src=", "")
    assert 'href="javascript' not in html and " onmouseover" not in html and '"onmouseover' not in html


@pytest.mark.parametrize(
    "body", [".", ".\n.\n..", "From me\n.hidden", "x" * 5000, "řádek\tdruhý " * 1000, "a\r\nb\rc\nd"]
)
def test_texts_that_smtp_might_trip_over_arrive_whole(post_office, body):
    assert isinstance(send_one(mail(body=body)), Sent)
    got = post_office.mails[0].message.get_body(("plain",)).get_content()
    lines = body.replace("\r\n", "\n").replace("\r", "\n")
    assert got.replace("\r\n", "\n").replace("\r", "\n").startswith(lines.rstrip() + "\n\n-- \n")


@pytest.mark.parametrize(
    "address",
    ["no at", "a b@example.org", "a@\n", "ž@example.org", "@example.org", "a@", "a@b.example\r\nRCPT TO:<c@d>"],
)
def test_an_address_that_smtp_cannot_say_is_refused_and_harms_no_other(post_office, address):
    refused, sent = send(mail(address), mail())
    assert isinstance(refused, Refused) and isinstance(sent, Sent)
    assert [kept.recipients for kept in post_office.mails] == [("ada@example.org",)]


def test_a_domain_beyond_ascii_is_written_as_the_net_has_it(post_office):
    assert isinstance(send_one(mail("ada@bücher.example")), Sent)
    assert post_office.mails[0].recipients == ("ada@xn--bcher-kva.example",)


def test_many_letters_take_one_connection(post_office):
    greeted = []
    post_office.faults = lambda asked: greeted.append(1) if asked["step"] == "connect" else None
    results = send(*(mail(f"person{number}@example.org") for number in range(50)))
    assert {type(result) for result in results} == {Sent}
    assert [kept.recipients[0] for kept in post_office.mails] == [f"person{number}@example.org" for number in range(50)]
    assert len(greeted) == 1


def test_the_mail_server_may_want_a_password(settings):
    with PostOffice(mail_account=("ada", "pa55")) as office:
        settings.EMAIL_URL = office.settings["EMAIL_URL"]
        assert isinstance(send_one(mail()), Sent)
        settings.EMAIL_URL = settings.EMAIL_URL.replace("pa55", "wrong")
        result = send_one(mail())
    assert isinstance(result, Unreachable) and "535" in result.reason
    assert len(office.mails) == 1


# -- Mail: what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "fault", "expected"),
    [
        ("rcpt", {"status": 550, "message": "5.1.1 no such user"}, Bounced("550 5.1.1 no such user")),
        ("rcpt", {"status": 450, "message": "4.2.1 greylisted"}, TryLater("450 4.2.1 greylisted")),
        ("rcpt", {"status": 421, "message": "slow down"}, Throttled("421 slow down")),
        ("rcpt", {"drop": "before"}, TryLater),
        ("letter", {"status": 554, "message": "5.7.1 spam"}, Refused("554 5.7.1 spam")),
        ("letter", {"status": 452, "message": "4.3.1 full"}, TryLater("452 4.3.1 full")),
        ("letter", {"status": 421, "message": "too many"}, Throttled("421 too many")),
        ("letter", {"drop": "before"}, Unknown),
        ("letter", {"drop": "after"}, Unknown),
        ("connect", {"status": 554, "message": "go away"}, Unreachable),
        ("connect", {"status": 421, "message": "closing"}, Unreachable),
        ("connect", {"drop": "before"}, Unreachable),
    ],
)
def test_what_a_mail_server_says_and_what_it_means(post_office, step, fault, expected):
    post_office.faults = always(step, **fault)
    result = send_one(mail())
    if isinstance(expected, type):
        assert type(result) is expected
    else:
        assert result == expected
    assert len(post_office.mails) == (fault == {"drop": "after"})
    post_office.faults = None
    assert isinstance(send_one(mail()), Sent)


@pytest.mark.parametrize(("step", "expected"), [("connect", Unreachable), ("rcpt", TryLater), ("letter", Unknown)])
def test_a_mail_server_that_falls_silent(post_office, settings, step, expected):
    settings.EMAIL_TIMEOUT = 0.3
    post_office.faults = always(step, wait=30)
    began = time.monotonic()
    assert type(send_one(mail())) is expected
    assert time.monotonic() - began < 3


def test_a_mail_server_that_is_not_there(settings):
    settings.EMAIL_URL = refuses_connections()["EMAIL_URL"]
    first, second = send(mail(), mail())
    assert type(first) is Unreachable and "refused" in first.reason
    assert second == first


def test_a_mail_server_without_an_address(settings):
    settings.EMAIL_URL = "smtp://no-such-host.invalid:2525"
    assert type(send_one(mail())) is Unreachable


def test_one_bad_recipient_among_many(post_office):
    post_office.faults = lambda asked: Fault(550) if (asked["address"] or "").startswith("bad") else None
    results = send(mail("a@example.org"), mail("bad@example.org"), mail("c@example.org"))
    assert [type(result) for result in results] == [Sent, Bounced, Sent]


def test_one_broken_connection_among_many_is_made_anew(post_office):
    post_office.faults = lambda asked: (
        Fault(drop="after") if asked["address"] == "b@example.org" and asked["key"] else None
    )
    results = send(mail("a@example.org"), mail("b@example.org"), mail("c@example.org"))
    assert [type(result) for result in results] == [Sent, Unknown, Sent]
    assert len(post_office.mails) == 3


def test_a_server_that_breaks_every_connection_is_left_alone(post_office):
    post_office.faults = always("rcpt", drop="before")
    results = send(*(mail() for _ in range(6)))
    assert [type(result) for result in results] == [TryLater] * 3 + [Unreachable] * 3


def test_a_server_that_is_too_busy_is_left_alone(post_office):
    asked_for = []

    def faults(asked):
        if asked["step"] == "rcpt":
            asked_for.append(asked["address"])
            return Fault(421) if len(asked_for) == 2 else None
        return None

    post_office.faults = faults
    results = send(*(mail() for _ in range(4)))
    assert [type(result) for result in results] == [Sent, Throttled, Throttled, Throttled]
    assert len(asked_for) == 2


# -- SMS ---------------------------------------------------------------------------------------------------------


def test_a_text_goes_out_with_its_key_and_its_callback(post_office, settings):
    settings.SITE_URL = "https://turnout.example"
    one = sms()
    result = send_one(one)
    [text] = post_office.texts
    assert result == Sent(text.sid)
    assert (text.to, text.sender, text.key) == ("+14155550123", settings.SMS_FROM, str(one.delivery_id))
    assert text.body == "Doors open at 9\nHello Ada.\n\nCome early: https://example.org/map?a=1&b=2"
    assert text.callback == f"https://turnout.example/hooks/sms/status/{one.delivery_id}/"


def test_the_same_delivery_twice_is_one_text(post_office):
    one = sms()
    assert send_one(one) == send_one(one)
    assert len(post_office.texts) == 1


@pytest.mark.parametrize("honours", [True, False])
def test_whether_keys_are_honoured_the_operator_says(settings, honours):
    settings.SMS_HONOURS_KEY = honours
    assert channels.get("sms").honours_key is honours
    assert channels.get("push").honours_key is False
    assert channels.get("email").honours_key is False


def test_a_messaging_service_may_send(post_office, settings):
    settings.SMS_FROM = "MG0123"
    send(sms())
    assert post_office.texts[0].sender == "MG0123"


def test_a_text_beyond_ascii_and_beyond_what_fits(post_office):
    send(sms(subject="", body="Žluťoučký 王小明 👋 & +1%20"), sms(subject="", body="ž" * 5000))
    assert {text.body for text in post_office.texts} == {"Žluťoučký 王小明 👋 & +1%20", "ž" * 1599 + "…"}


def test_many_texts_come_back_in_their_order(post_office):
    parcels = [sms(f"+1415555{number:04}") for number in range(200)]
    post_office.faults = lambda asked: Fault(400, 21211) if asked["address"].endswith("7") else None
    results = send(*parcels)
    by_sid = {text.sid: text.to for text in post_office.texts}
    for one, result in zip(parcels, results, strict=True):
        if one.to[0].endswith("7"):
            assert type(result) is Bounced
        else:
            assert by_sid[result.provider_id] == one.to[0]
    assert len(post_office.texts) == 180


def test_texts_go_out_ten_at_once(post_office):
    now, most, lock = 0, 0, threading.Lock()

    def faults(_asked):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1

    post_office.faults = faults
    send(*(sms(f"+1415555{number:04}") for number in range(40)))
    assert most == 10


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 400, "code": 21211, "message": "Invalid 'To' number"}, Bounced("Invalid 'To' number (21211)")),
        ({"status": 400, "code": 21614, "message": "Not a mobile"}, Bounced("Not a mobile (21614)")),
        ({"status": 400, "code": 21610, "message": "Unsubscribed"}, Bounced("Unsubscribed (21610)")),
        ({"status": 400, "code": 21408, "message": "No permission"}, Refused("No permission (21408)")),
        ({"status": 400, "body": b"oh no"}, Refused("Bad Request (400)")),
        ({"status": 401, "code": 20003, "message": "Authenticate"}, Unreachable),
        ({"status": 404, "code": 20404, "message": "No account"}, Unreachable),
        ({"status": 307}, Unreachable),
        ({"status": 429, "code": 20429, "message": "Slow", "retry_after": "7"}, Throttled("Slow (20429)", 7.0)),
        ({"status": 429, "code": 20429, "message": "Slow"}, Throttled("Slow (20429)", None)),
        ({"status": 429, "code": 20429, "message": "Slow", "retry_after": "soon"}, Throttled("Slow (20429)", None)),
        ({"status": 429, "code": 1, "message": "Slow", "retry_after": "9" * 30}, Throttled("Slow (1)", 86400.0)),
        ({"status": 500, "message": "oops"}, TryLater("oops (500)")),
        ({"status": 503, "body": b"<html>"}, TryLater("Service Unavailable (503)")),
        ({"drop": "before"}, Unknown),
        ({"drop": "after"}, Unknown),
        ({"body": b"not json"}, Unknown),
        ({"body": b'{"status": "queued"}'}, Unknown),
        ({"body": b'["sid"]'}, Unknown),
        ({"body": b'{"sid": 17}'}, Unknown),
        ({"body": b'{"sid": "\\u0000\\ud800 "}'}, Unknown),
        ({"status": 400, "body": b'{"code": [1], "message": {"a": 1}}'}, Refused("{'a': 1} ([1])")),
        ({"wait": 30}, Unknown),
    ],
)
def test_what_an_sms_provider_says_and_what_it_means(post_office, settings, fault, expected):
    settings.CHANNEL_TIMEOUTS = settings.CHANNEL_TIMEOUTS | {"read": 0.3}
    post_office.faults = always(**fault)
    result = send_one(sms())
    if isinstance(expected, type):
        assert type(result) is expected
    else:
        assert result == expected
    assert len(post_office.texts) == Fault(**fault).keeps


COUNTED = [
    ("", 1),
    ("a" * 160, 1),
    ("a" * 161, 2),
    ("a" * 306, 2),
    ("a" * 307, 3),
    ("€" * 80, 1),
    ("€" * 81, 2),
    ("ж" * 70, 1),
    ("ж" * 71, 2),
    ("ж" * 134, 2),
    ("ж" * 135, 3),
    ("😀" * 35, 1),
    ("😀" * 36, 2),
]


@pytest.mark.parametrize(("text", "parts"), COUNTED)
def test_texts_are_counted_as_they_are_paid_for(text, parts):
    assert sms_parts(text) == parts


@pytest.mark.browser
def test_the_script_of_the_form_counts_alike(chromium):
    script = (PROJECT / "static" / "turnout" / "message.js").read_text()
    counting = script[script.index("const GSM =") : script.index("const subject =")]
    # Of one letter: 77 take two parts if it is beyond the alphabet, 81 also if it takes two places in it.
    letters = [chr(number) for number in range(0x2800)] + list("王😀\ue000")
    texts = [text for text, _parts in COUNTED] + [letter * count for letter in letters for count in (77, 81)]
    page = chromium.new_page()
    assert page.evaluate(f"(texts) => {{ {counting}; return texts.map(parts); }}", texts) == [
        sms_parts(text) for text in texts
    ]
    page.close()


def test_a_pause_may_be_given_as_a_moment(post_office):
    moment = datetime.now(UTC) + timedelta(seconds=90)
    post_office.faults = always(status=429, retry_after=format_datetime(moment, usegmt=True))
    assert 85 < send_one(sms()).after <= 90
    post_office.faults = always(status=429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")
    assert send_one(sms()).after == 0


def test_an_sms_provider_that_is_not_there(settings):
    for name, value in refuses_connections().items():
        setattr(settings, name, value)
    assert [type(result) for result in send(sms(), sms())] == [Unreachable, Unreachable]
    settings.SMS_API_URL = "http://no-such-host.invalid"
    assert type(send_one(sms())) is Unreachable
    settings.SMS_API_URL = "no-address"
    assert type(send_one(sms())) is Unreachable


def test_a_wrong_secret_is_nothing_that_a_person_did(post_office, settings):
    settings.SMS_AUTH_TOKEN = "wrong"
    result = send_one(sms())
    assert type(result) is Unreachable and "Authenticate (20003)" in result.reason
    assert post_office.texts == []


# -- Push --------------------------------------------------------------------------------------------------------


def test_a_push_carries_what_the_app_needs(post_office):
    one = push("token-1")
    result = send_one(one)
    [kept] = post_office.pushes
    assert result == Sent(kept.name)
    key = str(one.delivery_id)
    assert kept.message == {
        "token": "token-1",
        "notification": {
            "title": "Doors open at 9",
            "body": "Hello Ada. Come early: https://example.org/map?a=1&b=2",
        },
        "data": {"message": str(one.message_id), "delivery": key, "event": "7", "kind": "announcement"},
        "android": {"collapse_key": key, "notification": {"tag": key}},
        "apns": {"headers": {"apns-collapse-id": key}},
        "webpush": {"headers": {"Topic": one.delivery_id.hex}, "notification": {"tag": key}},
    }


def test_a_long_push_is_cut_and_fits(post_office):
    send(push(subject="王" * 200, body="👋" * 20_000, event_id=None))
    message = post_office.pushes[0].message
    assert (len(message["notification"]["title"]), len(message["notification"]["body"])) == (80, 240)
    assert message["data"]["event"] == ""
    assert len(json.dumps(message, ensure_ascii=False).encode()) < 4096


def test_the_same_delivery_twice_is_shown_once(post_office):
    one = push()
    send(one)
    send(one)
    assert len(post_office.pushes) == 2 and len(post_office.shown) == 1


def test_every_device_of_a_person_gets_it(post_office):
    result = send_one(push("phone", "tablet"))
    assert type(result) is Sent and result.dead == ()
    assert {kept.token for kept in post_office.pushes} == {"phone", "tablet"}


def test_dead_devices_are_told_and_the_living_get_it(post_office):
    post_office.dead_tokens, post_office.wrong_tokens = {"gone"}, {"nonsense"}
    result = send_one(push("gone", "alive", "nonsense"))
    assert type(result) is Sent and result.dead == ("gone", "nonsense")
    assert [kept.token for kept in post_office.pushes] == ["alive"]


def test_nobody_is_reached_where_all_devices_are_dead(post_office):
    post_office.dead_tokens = {"gone", "too"}
    assert send_one(push("gone", "too")) == Refused("No device takes pushes any more.", dead=("gone", "too"))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 404, "body": b"<html>Not Found</html>"}, Unreachable),
        ({"status": 404, "code": "NOT_FOUND", "message": "No such project"}, Unreachable),
        ({"status": 404, "body": b'{"error": {"status": "UNREGISTERED"}}'}, Unreachable),
        ({"status": 404, "body": b'{"error": {"details": {"errorCode": "UNREGISTERED"}}}'}, Unreachable),
        (
            {"status": 403, "code": "SENDER_ID_MISMATCH", "message": "Another sender's"},
            Refused("Another sender's (SENDER_ID_MISMATCH)"),
        ),
        (
            {
                "status": 400,
                "body": json.dumps(firebase(400, "INVALID_ARGUMENT", "bad", field="message.data")).encode(),
            },
            Refused("bad (INVALID_ARGUMENT)"),
        ),
        (
            {"status": 400, "body": dumped(firebase(400, "OTHER", "bad", field="message.token"))},
            Refused("bad (OTHER)"),
        ),
        ({"status": 410, "body": b"gone"}, Refused("Gone (410)")),
    ],
)
def test_only_firebases_own_word_makes_a_device_dead(post_office, fault, expected):
    post_office.faults = always(kind="push", **fault)
    result = send_one(push("phone", "tablet"))
    assert (type(result) if isinstance(expected, type) else result) == expected
    assert result.dead == ()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 400, "code": "INVALID_ARGUMENT", "message": "bad"}, Refused("bad (INVALID_ARGUMENT)")),
        ({"status": 403, "code": "PERMISSION_DENIED"}, Unreachable),
        ({"status": 302}, Unreachable),
        (
            {"status": 429, "code": "QUOTA_EXCEEDED", "retry_after": "60"},
            Throttled("made to fail (QUOTA_EXCEEDED)", 60.0),
        ),
        ({"status": 503, "code": "UNAVAILABLE", "retry_after": "5"}, Throttled("made to fail (UNAVAILABLE)", 5.0)),
        ({"status": 503, "code": "UNAVAILABLE"}, TryLater("made to fail (UNAVAILABLE)")),
        ({"status": 500, "code": "INTERNAL"}, TryLater("made to fail (INTERNAL)")),
        ({"status": 500, "body": b'{"error": "x"}'}, TryLater("Internal Server Error (500)")),
        ({"status": 400, "body": b'{"error": {"details": "x"}}'}, Refused("Bad Request (400)")),
        ({"drop": "before"}, Unknown),
        ({"drop": "after"}, Unknown),
        ({"status": 400, "body": b'{"error": {"details": 5}}'}, Refused("Bad Request (400)")),
        (
            {
                "status": 400,
                "body": b'{"error": {"details": [{"errorCode": {}, "fieldViolations": 5}]}}',
            },
            Refused("Bad Request (400)"),
        ),
        ({"body": b"{}"}, Unknown),
        ({"body": b'{"name": 7}'}, Unknown),
        ({"wait": 30}, Unknown),
    ],
)
def test_what_a_push_provider_says_and_what_it_means(post_office, settings, fault, expected):
    assert type(send_one(push())) is Sent
    settings.CHANNEL_TIMEOUTS = settings.CHANNEL_TIMEOUTS | {"read": 0.3}
    post_office.faults = always(kind="push", **fault)
    result = send_one(push())
    if isinstance(expected, type):
        assert type(result) is expected
    else:
        assert result == expected


def test_of_several_devices_the_one_that_may_have_rung_decides(post_office, settings):
    settings.CHANNEL_TIMEOUTS = settings.CHANNEL_TIMEOUTS | {"read": 0.3}
    faults = {
        "refused": Fault(400, "INVALID_ARGUMENT"),
        "later": Fault(500),
        "throttled": Fault(429, retry_after="3"),
        "silent": Fault(drop="after"),
    }
    post_office.faults = lambda asked: faults.get(asked["address"])
    assert type(send_one(push("refused", "later"))) is TryLater
    assert type(send_one(push("refused", "later", "throttled"))) is Throttled
    assert type(send_one(push("refused", "later", "throttled", "silent"))) is Unknown
    assert type(send_one(push("refused", "later", "throttled", "silent", "alive"))) is Sent


def test_one_access_token_serves_many_pushes(post_office):
    results = send(*(push(f"token-{number}") for number in range(60)))
    assert {type(result) for result in results} == {Sent}
    assert post_office.tokens_given == 1
    send(push())
    assert post_office.tokens_given == 1


def test_an_access_token_is_renewed_before_its_end(post_office):
    post_office.token_lifetime = 301
    send(push())
    assert post_office.tokens_given == 1
    time.sleep(1.1)
    send(push())
    assert post_office.tokens_given == 2


def test_an_access_token_that_is_refused_is_renewed_once_for_all(post_office):
    send(push())
    post_office.forget_access()
    results = send(*(push(f"token-{number}") for number in range(30)))
    assert {type(result) for result in results} == {Sent}
    assert post_office.tokens_given == 2


def test_access_that_is_refused_for_good_is_not_asked_for_forever(post_office):
    post_office.faults = always(kind="push", status=401, code="UNAUTHENTICATED")
    assert type(send_one(push())) is Unreachable
    assert post_office.tokens_given == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "code": "invalid_grant"},
        {"status": 500},
        {"drop": "before"},
        {"body": b"{}"},
        {"body": b'{"access_token": "x", "expires_in": "soon"}'},
        {"wait": 30},
    ],
)
def test_without_access_nothing_has_left(post_office, settings, fault):
    settings.CHANNEL_TIMEOUTS = settings.CHANNEL_TIMEOUTS | {"read": 0.3}
    post_office.faults = always(kind="token", **fault)
    assert type(send_one(push())) is Unreachable
    assert post_office.pushes == []


def test_a_key_that_signs_for_somebody_else_gets_no_access(post_office, settings):
    account = json.loads(settings.PUSH_CREDENTIALS)
    settings.PUSH_CREDENTIALS = json.dumps(account | {"client_email": "eve@example.org"})
    result = send_one(push())
    assert result == Unreachable("The provider doesn't let us in: Invalid JWT Signature.")
    settings.PUSH_CREDENTIALS = json.dumps(account | {"private_key": "nonsense"})
    assert send_one(push()) == Unreachable("The private key of PUSH_CREDENTIALS can't be used.")


def test_a_push_provider_that_is_not_there(settings):
    for name, value in refuses_connections().items():
        setattr(settings, name, value)
    assert [type(result) for result in send(push(), push())] == [Unreachable, Unreachable]


# -- Whatever happens --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mail, sms, push])
def test_a_defect_of_ours_is_a_result_too(post_office, make):
    broken = make(body=None)
    results = send(broken, make())
    assert len(results) == 2 and isinstance(results[0], (Unknown, TryLater))
    assert isinstance(results[1], Sent)


@pytest.mark.parametrize("make", [sms, push])
def test_credentials_go_to_no_other_place(post_office, make):
    """A redirect isn't followed: it would carry them along."""
    post_office.faults = always(status=307)
    assert type(send_one(make())) is Unreachable
    assert post_office.texts == post_office.pushes == []


def test_the_post_office_opens_again_where_it_was(post_office):
    post_office.stop()
    assert [type(send_one(make())) for make in (mail, sms)] == [Unreachable, Unreachable]
    post_office.start()
    assert [type(send_one(make())) for make in (mail, sms, push)] == [Sent, Sent, Sent]


def test_no_proxy_stands_between_us_and_this_machine(post_office, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert type(send_one(sms())) is Sent
    with pytest.raises(httpx.ConnectError):
        httpx.get(post_office.http_url)


# -- What providers may not do ------------------------------------------------------------------------------------

GARBAGE = "SM\x00\ud800\r\n12 \u202e" + "x" * 10_000


def for_the_database(text):
    """The text, which PostgreSQL takes and a page can show."""
    text.encode()
    assert text.isprintable()
    return text


@pytest.mark.parametrize(("make", "name"), [(sms, "sid"), (push, "name")])
def test_an_id_that_is_garbage_is_cleaned_and_cut(post_office, make, name):
    post_office.faults = always(kind=make().channel, body=dumped({name: GARBAGE}))
    assert for_the_database(send_one(make()).provider_id) == "SM12 " + "x" * 250


def test_an_id_of_ours_is_no_longer_than_the_database_takes(post_office, settings):
    settings.SITE_URL = "https://" + ".".join(["a" * 60] * 5)
    assert len(for_the_database(send_one(mail()).provider_id)) == 255


@pytest.mark.parametrize("status", [400, 404, 429, 500])
@pytest.mark.parametrize("make", [sms, push])
def test_reasons_that_are_garbage_are_cleaned_and_cut(post_office, make, status):
    post_office.faults = always(kind=make().channel, status=status, code="C", message=GARBAGE)
    reason = for_the_database(send_one(make()).reason)
    assert len(reason) == 500 and "SM 12 xxx" in reason


@pytest.mark.parametrize("step", ["rcpt", "letter"])
def test_words_of_a_mail_server_that_are_garbage_are_cleaned_and_cut(post_office, step):
    post_office.faults = always(step, status=550, message="no\x00\x1b[31m" + "x" * 400)
    reason = for_the_database(send_one(mail()).reason)
    assert reason.startswith("550 no [31mxxx") and len(reason) <= 500


def test_what_breaks_on_our_side_is_logged_without_the_address(post_office, settings):
    settings.PUSH_API_URL = "http://[+14155550123 ada@example.org"  # no address: urlsplit raises
    with capture_logs() as logs:
        assert type(send_one(push())) is Unknown
    assert [one["event"] for one in logs] == ["channel.broke"]
    assert "Traceback" in logs[0]["exception"]
    assert "4155550123" not in str(logs) and "ada@" not in str(logs)
