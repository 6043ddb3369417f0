"""The page that imports guests: upload, preview, choose otherwise, confirm."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from messaging.models import EventGuest
from messaging.operations import guests
from tests import factories

PAGE = "/admin/messaging/eventguest/import/"
LIST = "Name,Email,Phone,Status\nBo,bo@example.org,030 1234567,\nEva,eva@example.org,,Refunded\nTotal,,,\n"


@pytest.fixture
def upload_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return tmp_path / "uploads"


@pytest.fixture
def desk(client, organizer, event, upload_folder):
    event.organization.phone_region = "DE"
    event.organization.save()
    client.force_login(organizer)
    return client


def fields(event, text=LIST, **more):
    return {"file": SimpleUploadedFile("list.csv", text.encode()), "event": event.pk, "region": ""} | more


def errors(answer):
    return {name: [str(one) for one in found] for name, found in answer.context["form"].errors.items()}


def told(answer):
    return [str(one) for one in answer.context["messages"]]


def counts(answer):
    return {str(group["heading"]): group["count"] for group in answer.context["groups"] if group["count"]}


def test_page_previews_then_imports(desk, event, organizer, upload_folder):
    bo = factories.UserProfileFactory(email="bo@example.org", first_name="Secret")
    preview = desk.post(PAGE, fields(event))
    assert counts(preview) == {"Unreadable": 1, "New": 1, "Cancelled or declined": 1}
    page = preview.content.decode()
    assert "bo@example.org; +49301234567" in page and "read as of DE" in page and "“Refunded” under “Status”" in page
    assert (preview.context["report"].linked, "Secret" in page) == (1, False)
    assert not EventGuest.objects.exists()
    done = desk.post(PAGE, {"token": preview.context["token"], "confirm": "1"}, follow=True)
    assert done.redirect_chain == [(f"/admin/messaging/eventguest/?event__id__exact={event.pk}", 302)]
    assert told(done) == [
        f"Imported guests of “{event}”. Unreadable: 1; New: 1; Cancelled or declined: 1.",
        "1 was linked to their account.",
    ]
    guest = EventGuest.objects.get()
    assert (guest.guest_name, guest.phone, guest.user) == ("Bo", "+49301234567", bo)
    assert guest.history.get().history_user == organizer
    assert list(upload_folder.iterdir()) == []


def test_page_can_be_chosen_otherwise_or_left(desk, event, upload_folder):
    preview = desk.post(PAGE, fields(event))
    again = desk.post(
        PAGE, {"token": preview.context["token"], "event": event.pk, "region": "FR", "cancelled_too": "on"}
    )
    assert counts(again) == {"Unreadable": 1, "New": 2}
    page = again.content.decode()
    assert "“list.csv” is here already" in page and "read as of FR" in page and "+33301234567" in page
    desk.post(PAGE, {"token": again.context["token"], "discard": "1"})
    assert list(upload_folder.iterdir()) == [] and not EventGuest.objects.exists()


def test_page_shows_the_first_fifty_of_each_group(desk, event):
    text = "Name,Email\n" + "".join(f"Guest {n},g{n}@example.org\n" for n in range(1, 61))
    page = desk.post(PAGE, fields(event, text)).content.decode()
    assert "Guest 50<" in page and "Guest 51<" not in page and "and 10 more" in page


def test_page_brings_back_who_was_removed_when_told_to(desk, event, organizer):
    guest = factories.EventGuestFactory(event=event, guest_name="Bo", email="bo@example.org")
    guests.remove(guest_id=guest.pk, actor=organizer)
    preview = desk.post(PAGE, fields(event, "Name,Email\nBo,bo@example.org\n"))
    assert counts(preview) == {"Removed before": 1} and 'name="confirm"' not in preview.content.decode()
    fields_ = {"token": preview.context["token"], "event": event.pk, "region": "", "bring_back": "on"}
    preview = desk.post(PAGE, fields_)
    assert counts(preview) == {"Changed": 1}
    desk.post(PAGE, {"token": preview.context["token"], "confirm": "1"})
    guest.refresh_from_db()
    assert guest.removed_at is None


def test_page_removes_who_declined_since_when_told_to(desk, event, organizer):
    guest = factories.EventGuestFactory(event=event, guest_name="Bo", email="bo@example.org")
    preview = desk.post(PAGE, fields(event, "Name,Email,RSVP\nBo,bo@example.org,No\n"))
    assert counts(preview) == {"Cancelled or declined, but on the list": 1}
    assert 'name="confirm"' not in preview.content.decode()
    chosen = {"token": preview.context["token"], "event": event.pk, "region": "", "remove_cancelled": "on"}
    preview = desk.post(PAGE, chosen)
    assert counts(preview) == {"Removed": 1}
    done = desk.post(PAGE, {"token": preview.context["token"], "confirm": "1"}, follow=True)
    assert told(done) == [f"Imported guests of “{event}”. Removed: 1."]
    guest.refresh_from_db()
    assert guest.is_removed and guest.history.first().history_user == organizer


def test_page_tells_what_is_wrong_with_the_file(desk, event):
    for text, sentence in (
        ("Hello\n", "No line of this file has the headings that are needed."),
        ("Name,Email\n", "This file has headings, but no rows below them."),
        ("%PDF-1.7\n1 0 obj", "This is a PDF, no CSV or XLSX."),
        ("<html><body>Name,Email", "This is a web page (HTML), no CSV or XLSX."),
    ):
        answer = desk.post(PAGE, fields(event, text))
        [error] = errors(answer)["file"]
        assert error.startswith(sentence) and not answer.context["token"]
    assert errors(desk.post(PAGE, fields(event, "x" * (5 * 1024 * 1024 + 1)))) == {
        "file": ["This file has more than 5 MB."]
    }


def test_page_asks_what_headings_mean_that_nobody_knows(desk, event, upload_folder):
    text = (
        "Liste 2026\n\nWer,Wo erreichbar,<b>Ruf</b>,Order Reference\nEva Ek,eva@x.org,030 1234567,7\nBo,bo@x.org,,8\n"
    )
    asked = desk.post(PAGE, fields(event, text))
    [sentence] = errors(asked)["file"]
    assert sentence == (
        "No column of this file was understood: “Wer”, “Wo erreichbar”, “<b>Ruf</b>”, “Order Reference”. "
        "Say below which is the name, the e-mail or the phone."
    )
    page = asked.content.decode()
    assert '<option value="Wo erreichbar">' in page and "<b>Ruf" not in page and len(list(upload_folder.iterdir())) == 1
    said = {"name_column": "Wer", "email_column": "Wo erreichbar", "phone_column": "<b>Ruf</b>"}
    preview = desk.post(PAGE, {"token": asked.context["token"], "event": event.pk, "region": ""} | said)
    assert counts(preview) == {"New": 2} and '<option value="Wer" selected>' in preview.content.decode()
    assert dict(preview.context["report"].columns) == {
        "Wer": "name",
        "Wo erreichbar": "e-mail",
        "<b>Ruf</b>": "phone",
        "Order Reference": "ID, by which the same guest is found again",
    }
    desk.post(PAGE, {"token": preview.context["token"], "confirm": "1"})
    rows = EventGuest.objects.order_by("pk").values_list("guest_name", "email", "phone", "external_id")
    assert list(rows) == [("Eva Ek", "eva@x.org", "+49301234567", "7"), ("Bo", "bo@x.org", None, "8")]
    assert list(upload_folder.iterdir()) == []


def test_page_asks_for_columns_only_where_it_must(desk, event):
    assert "name_column" not in desk.get(PAGE).content.decode()
    assert "name_column" not in desk.post(PAGE, fields(event)).content.decode()
    for text in ("Order Reference,Number\na,1\n", "Chi\nAnn Lee\nBo\n"):
        asked = desk.post(PAGE, fields(event, text))
        column = text.split("\n")[0].split(",")[-1]
        said = {"token": asked.context["token"], "event": event.pk, "region": "", "name_column": column}
        preview = desk.post(PAGE, said)
        assert dict(preview.context["report"].columns)[column] == "name"
        other = desk.post(PAGE, said | fields(event) | {"token": preview.context["token"]})
        assert dict(other.context["report"].columns)["Name"] == "name"


def test_page_escapes_what_the_file_says(desk, event):
    page = desk.post(PAGE, fields(event, "Name,Email,<b>x</b>\n<script>1</script>,a@x.org,\n")).content.decode()
    assert "&lt;script&gt;1" in page and "<script>1" not in page and "<b>x" not in page


def test_page_offers_events_where_the_person_manages(desk, event, organizer):
    elsewhere, looked_at = factories.EventFactory(), factories.EventFactory()
    looked_at.organization.memberships.create(user_profile=organizer, role="viewer")
    assert list(desk.get(PAGE).context["form"].fields["event"].queryset) == [event]
    for other in (elsewhere, looked_at):
        assert set(errors(desk.post(PAGE, fields(other)))) == {"event"}
    assert "The organisation&#x27;s (DE)" in desk.get(PAGE).content.decode()


@pytest.mark.parametrize("role, status", [("viewer", 403), ("door", 403), (None, 302)])
def test_page_is_closed_to_who_may_not_add(client, event, role, status):
    person = factories.member(event.organization, role) if role else factories.UserProfileFactory()
    client.force_login(person)
    assert client.get(PAGE).status_code == client.post(PAGE, fields(event)).status_code == status
    assert role != "viewer" or "Import guests" not in client.get("/admin/messaging/eventguest/").content.decode()


def test_page_refuses_anothers_token(desk, client, event):
    token = desk.post(PAGE, fields(event)).context["token"]
    client.force_login(factories.member(factories.OrganizationFactory(), "owner"))
    answer = client.post(PAGE, {"token": token, "confirm": "1"}, follow=True)
    assert told(answer) == ["The uploaded file is no longer here. Choose it again."]
    assert not EventGuest.objects.exists()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_page_on_a_phone(sign_in, upload_folder, tmp_path, event, organizer):
    """From the button over the guest list to a linked guest, at 390 px."""
    file = tmp_path / "list.csv"
    file.write_text(LIST + f"Long,{'a' * 60}@example.org,,\n")
    person = factories.UserProfileFactory(first_name="Ada", last_name="Byron")
    factories.AttendeeFactory(event=event, user_profile=person)
    page = sign_in(organizer, width=390)
    page.goto("/admin/messaging/eventguest/")
    page.click("text=Import guests")
    page.set_input_files("input[name=file]", str(file))
    page.select_option("select[name=event]", str(event.pk))
    page.click("text=Preview")
    page.wait_for_selector("#import-counts")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.click("button[name=confirm]")
    page.wait_for_url("**/admin/messaging/eventguest/?event*")
    assert "New: 2" in page.inner_text("body")
    guest = EventGuest.objects.get(guest_name="Bo")
    page.goto(f"/admin/messaging/eventguest/{guest.pk}/act/link/")
    page.click(".select2-selection")
    page.fill(".select2-search__field", "Byron")
    page.click(".select2-results__option:has-text('Ada Byron')")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.click("button:has-text('Link to a person')")
    page.wait_for_url(f"**/{guest.pk}/change/")
    assert "Ada Byron" in page.inner_text("#link-history")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    guest.refresh_from_db()
    assert guest.user == person
