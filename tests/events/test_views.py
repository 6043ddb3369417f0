"""The pages of the password, for people of the admin."""

import re

import pytest
from django.urls import reverse

from events.operations import members
from messaging import tasks
from tests.factories import OrganizationFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"


def test_new_member_comes_in_by_the_letter(client, mailoutbox):
    organization = OrganizationFactory()
    owner = member(organization, "owner")
    members.add_member(organization_id=organization.pk, email="New@Example.org", role="organizer", actor=owner)
    tasks.send_letters()
    [letter] = mailoutbox
    assert letter.to == ["new@example.org"]
    path = re.search(r"https?://[^/]+(/password/set/\S+)", letter.body)[1]
    assert client.get(path).status_code == 200
    code = client.get(path).context["form"].initial["code"]

    weak = client.post(reverse("set_password"), {"code": code, "password": "1234"})
    assert weak.status_code == 200 and weak.context["form"].non_field_errors()
    done = client.post(reverse("set_password"), {"code": code, "password": PASSWORD})
    assert (done.status_code, done.url) == (302, reverse("admin:login"))
    signed_in = client.post(reverse("admin:login"), {"username": "new@example.org", "password": PASSWORD})
    assert signed_in.status_code == 302
    assert client.get(reverse("admin:index")).status_code == 200
    assert client.post(reverse("set_password"), {"code": code, "password": PASSWORD}).status_code == 200


def test_nobody_learns_who_has_an_account(client, mailoutbox):
    known = UserProfileFactory()
    pages = [
        client.post(reverse("admin_password_reset"), {"email": email}).content.decode()
        for email in (known.email, "stranger@example.org")
    ]
    assert pages[0] == pages[1]
    tasks.send_letters()
    assert [one.to for one in mailoutbox] == [[known.email]]


def test_log_in_page_leads_there(client):
    assert reverse("admin_password_reset") in client.get(reverse("admin:login")).content.decode()


def test_last_owner_stays(client):
    owner = member(OrganizationFactory(), "owner")
    client.force_login(owner, backend="events.sign_in.EmailBackend")
    membership = owner.memberships.get()
    page = reverse("admin:events_membership_change", args=[membership.pk])
    assert "An organisation needs an owner" in client.post(page, {"role": "viewer"}).content.decode()
    client.post(reverse("admin:events_membership_delete", args=[membership.pk]), {"post": "yes"})
    membership.refresh_from_db()
    assert membership.role == "owner"
