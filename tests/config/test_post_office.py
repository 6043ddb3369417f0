"""The post office itself, its process in the demo, and the mailbox that shows what came."""

import email
import json
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import time
import uuid
from email.message import EmailMessage
from pathlib import Path

import httpx
import psutil
import pytest

from config import post_office, supervisor
from config.post_office import Fault, PostOffice
from messaging import channels

ROOT = Path(__file__).resolve().parents[2]
EVIL = '<script>alert(1)</script><img src="https://evil.example/pixel.gif">'


@pytest.fixture
def office(settings, tmp_path):
    """A post office as the demo has it, with the site sending to it and showing it."""
    settings.DEMO = True
    settings.DATA_DIR = tmp_path
    with PostOffice(tmp_path / "post", calls_back=False) as opened:
        for name, value in opened.settings.items():
            setattr(settings, name, value)
        yield opened


def send(channel, to, **fields):
    defaults = {
        "delivery_id": uuid.uuid4(),
        "message_id": uuid.uuid4(),
        "channel": channel,
        "to": (to,),
        "name": "Žofie Nováková-Østergård 王小明",
        "subject": "Doors open at 9",
        "body": "Hello.\n\nSee https://example.org/map",
        "kind": "announcement",
        "event_id": 7,
        "event_title": "Summer Camp",
        "organization": "Demo Events",
        "unsubscribe_url": "http://testserver/unsubscribe/abc/" if channel == "email" else None,
    }
    [result] = channels.get(channel).send([channels.Parcel(**defaults | fields)])
    return result


# -- The post office ---------------------------------------------------------------------------------------------


def test_many_thousand_mails_are_taken_quickly():
    letter = EmailMessage()
    letter["Subject"], letter["To"], letter["From"] = "Hi", "a@example.org", "b@example.org"
    letter.set_content("Hello.")
    raw = letter.as_bytes()
    with PostOffice() as office:
        began = time.monotonic()
        with smtplib.SMTP("127.0.0.1", office.smtp_port) as client:
            for number in range(1000):
                client.sendmail("b@example.org", [f"person{number}@example.org"], raw)
        took = time.monotonic() - began
    assert [mail.recipients[0] for mail in office.mails] == [f"person{number}@example.org" for number in range(1000)]
    assert took < 10


def text(office, form, password=None, **headers):
    page = f"{office.http_url}/2010-04-01/Accounts/{office.account}/Messages.json"
    with httpx.Client(trust_env=False, auth=(office.account, password or office.secret)) as http:
        return http.post(page, data=form, headers=headers)


def test_texts_need_the_accounts_secret():
    form = {"To": "+14155550123", "From": "+15005550006", "Body": "Hi"}
    with PostOffice() as office:
        assert text(office, form, "wrong").status_code == 401
        assert text(office, {"To": "+14155550123"}).status_code == 400
        assert text(office, form).status_code == 201
        assert httpx.post(f"{office.http_url}/elsewhere").status_code == 404
        assert [one.body for one in office.texts] == ["Hi"]


@pytest.mark.parametrize(("honours", "texts"), [(True, 1), (False, 2)])
def test_a_text_with_the_same_key_is_taken_once_where_keys_are_honoured(honours, texts):
    form = {"To": "+14155550123", "From": "+15005550006", "Body": "Hi"}
    with PostOffice(honours_keys=honours) as office:
        sids = {text(office, form, **{"Idempotency-Key": "k1"}).json()["sid"] for _ in range(2)}
    assert len(office.texts) == len(sids) == texts


def test_nothing_leaves_this_machine():
    form = {"To": "+14155550123", "From": "+15005550006", "Body": "Hi", "StatusCallback": "http://192.0.2.1/hook"}
    with PostOffice() as office:
        assert text(office, form).status_code == 201
        office.settled()
        assert office.calls == [("sent", 0), ("delivered", 0)]
        with pytest.raises(httpx.UnsupportedProtocol):
            office.write_in("https://example.org/hook", "+14155550123", "STOP")
        listening = [one for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN]
        ports = {office.smtp_port, office.http_port}
        assert {one.laddr.ip for one in listening if one.laddr.port in ports} == {"127.0.0.1"}


def test_only_the_last_ones_are_kept_in_files(tmp_path):
    form = {"To": "+14155550123", "From": "+15005550006"}
    with PostOffice(tmp_path, keeps=3) as office:
        for number in range(5):
            text(office, form | {"Body": str(number)})
        assert [one.body for one in office.texts] == ["2", "3", "4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number:08}-sms.json" for number in (3, 4, 5)]
    with PostOffice(tmp_path) as office:  # goes on counting
        text(office, form | {"Body": "5"})
        assert [one.number for one in office.texts] == [6]


def test_the_demos_secret_stays_and_is_readable_by_its_owner_only(tmp_path):
    first = post_office.environment(tmp_path, mail_port=8002, port=8003)
    assert first.keys() == set(post_office.VARIABLES)
    assert first["EMAIL_URL"] == "smtp://127.0.0.1:8002"
    assert first["SMS_API_URL"] == first["PUSH_API_URL"] == "http://127.0.0.1:8003"
    assert post_office.environment(tmp_path, mail_port=8002, port=8003) == first
    assert stat.S_IMODE((tmp_path / "account.json").stat().st_mode) == 0o600
    assert first["SMS_AUTH_TOKEN"] != post_office.environment(tmp_path / "other", 8002, 8003)["SMS_AUTH_TOKEN"]


# -- In the demo -------------------------------------------------------------------------------------------------


def free_ports():
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def test_the_process_takes_mail_and_stops_when_it_is_told(settings, tmp_path):
    mail_port, port = free_ports()
    command = [sys.executable, "-m", "config.post_office", "--folder", str(tmp_path / "a folder")]
    process = subprocess.Popen([*command, "--mail-port", str(mail_port), "--port", str(port)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.post(f"http://127.0.0.1:{port}/token", trust_env=False)
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        for name, value in post_office.environment(tmp_path / "a folder", mail_port, port).items():
            setattr(settings, name, value)
        assert isinstance(send("email", "ada@example.org"), channels.Sent)
        assert isinstance(send("email", "bounce@example.org"), channels.Bounced)
        assert isinstance(send("sms", "+14155550123"), channels.Sent)
        assert isinstance(send("push", "token-1"), channels.Sent)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
    kinds = sorted(path.name for path in (tmp_path / "a folder").glob("*-*"))
    assert kinds == ["00000001-mail.eml", "00000001-mail.json", "00000002-sms.json", "00000003-push.json"]


def test_the_supervisor_looks_at_every_port_of_the_post_office():
    command = supervisor.processes(8000)["post"]
    assert "--mail-port 8002 --port 8003" in command
    assert supervisor.ports(8000) == [8000, 8001, 8002, 8003]


def test_the_supervisor_leaves_alone_what_the_operator_has_set_up(monkeypatch, tmp_path):
    for name in post_office.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    everything = {}
    supervisor.use_post_office(everything, 8000, tmp_path)
    assert everything.keys() == set(post_office.VARIABLES)
    monkeypatch.setenv("SMS_FROM", "+14155550100")
    monkeypatch.setenv("EMAIL_URL", "")
    some = {}
    supervisor.use_post_office(some, 8000, tmp_path)
    assert some.keys() == {"PUSH_API_URL", "PUSH_CREDENTIALS"}


# -- The mailbox -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/mailbox/", "/mailbox/1/", "/mailbox/1/html/"])
def test_there_is_no_mailbox_but_in_the_demo(client, office, settings, page):
    send("email", "ada@example.org")
    assert client.get(page).status_code == 200
    assert client.post(page).status_code == 405
    settings.DEMO = False
    assert client.get(page).status_code == 404


def test_an_empty_mailbox_says_so(client, settings, tmp_path):
    settings.DEMO, settings.DATA_DIR = True, tmp_path
    assert "Nothing yet." in client.get("/mailbox/").content.decode()
    for page in ("/mailbox/1/", "/mailbox/1/html/", f"/mailbox/{'9' * 300}/", f"/mailbox/{'9' * 5000}/"):
        assert client.get(page).status_code == 404
    for query in ("before=x", "before=" + "9" * 5000, "before=²", "kind=x", "kind=account"):
        assert client.get(f"/mailbox/?{query}").status_code == 200


def test_the_mailbox_shows_the_newest_first(client, office):
    for number in range(60):
        send("sms", "+14155550123", subject=f"Text {number:02}")
    send("push", "token-1", subject="A push")
    send("email", "ada@example.org", subject="A mail")
    html = client.get("/mailbox/").content.decode()
    assert html.index("A mail") < html.index("A push") < html.index("Text 59") < html.index("Text 12")
    assert "Text 11" not in html
    assert "?before=13" in html
    older = client.get("/mailbox/?before=13").content.decode()
    assert "Text 11" in older and "Text 00" in older and "Text 12" not in older and "?before=" not in older
    only = client.get("/mailbox/?kind=push").content.decode()
    assert "A push" in only and "Text 59" not in only and "A mail" not in only


def test_a_mail_is_shown_with_its_headers_and_both_texts(client, office):
    send("email", "ada@example.org")
    html = client.get("/mailbox/1/").content.decode()
    assert "Žofie Nováková-Østergård 王小明" in html
    for name in ("From", "To", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"):
        assert f"<dt>{name}</dt>" in html
    assert 'href="http://testserver/unsubscribe/abc/"' in html and 'href="https://example.org/map"' in html
    assert '<iframe src="/mailbox/1/html/" sandbox="allow-popups allow-popups-to-escape-sandbox"' in html
    frame = client.get("/mailbox/1/html/")
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    policy = frame["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "sandbox allow-popups" in policy and "script-src 'none'" in policy
    assert '<base target="_blank">' in frame.content.decode()
    outer = client.get("/mailbox/1/")["Content-Security-Policy"]
    assert "unsafe" not in outer and "frame-ancestors 'none'" in outer


@pytest.mark.parametrize(("channel", "to"), [("sms", "+14155550123"), ("push", "token-1"), ("email", "a@example.org")])
def test_what_was_sent_is_text_on_the_page(client, office, channel, to):
    send(channel, to, subject=EVIL, body=EVIL, name=EVIL)
    for page in ("/mailbox/", "/mailbox/1/"):
        html = client.get(page).content.decode()
        assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
    assert client.get("/mailbox/1/html/").status_code == (200 if channel == "email" else 404)


def test_a_letter_about_an_account_is_shown_too(client, office):
    letter = EmailMessage()
    letter["Subject"], letter["To"], letter["From"] = "Set your password", "a@example.org", "b@example.org"
    letter.set_content("Paste this code: 123")
    with smtplib.SMTP("127.0.0.1", office.smtp_port) as sender:
        sender.send_message(letter)
    html = client.get("/mailbox/1/").content.decode()
    assert "Paste this code: 123" in html and "<iframe" not in html


def test_a_mail_that_went_wrong_is_not_shown(client, office):
    office.faults = lambda asked: Fault(550) if asked["step"] == "rcpt" else None
    send("email", "ada@example.org")
    assert "Nothing yet." in client.get("/mailbox/").content.decode()


def test_files_hold_what_came(office, tmp_path):
    send("email", "ada@example.org")
    send("push", "token-1")
    raw = (tmp_path / "post" / "00000001-mail.eml").read_bytes()
    assert email.message_from_bytes(raw)["X-Turnout-Delivery"] == office.mails[0].key
    kept = json.loads((tmp_path / "post" / "00000002-push.json").read_text())
    assert (kept["number"], kept["kind"], kept["token"]) == (2, "push", "token-1")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_mailbox_on_a_phone(chromium, live_server, office):
    link = f"{live_server.url}/unsubscribe/abc/"
    send("email", "a" * 60 + "@example.org", body=EVIL, unsubscribe_url=link)
    context = chromium.new_context(viewport={"width": 320, "height": 700}, base_url=live_server.url)
    page = context.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto("/mailbox/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.click("text=Doors open at 9")
    page.wait_for_selector("iframe")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    with context.expect_page() as opened:
        page.frame_locator("iframe").locator("text=No more of these").click()
    opened.value.wait_for_selector("text=This link isn't complete.")
    assert problems == []
    context.close()
