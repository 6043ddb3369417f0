"""Each organiser chooses what they hear of, for themselves."""

import pytest
from django.urls import reverse

from config.errors import NotFound
from events.models import Membership
from messaging.models import NoticePreference
from messaging.operations import preferences
from tests.factories import OrganizationFactory, UserProfileFactory, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return OrganizationFactory(name="Club")


def rows():
    return list(NoticePreference.objects.order_by("pk").values_list("organization", "user", "topic", "mode"))


# -- Operations ----------------------------------------------------------------------------------


def test_hearers_by_default(organization):
    owner, organizer = member(organization, "owner"), member(organization, "organizer")
    for role in ("viewer", "door"):
        member(organization, role)
    member(organization, "organizer", is_active=False)
    assert preferences.hearers("requests", "digest") == {organization.pk: [owner.pk, organizer.pk]}
    assert preferences.hearers("door", "off") == {organization.pk: [owner.pk, organizer.pk]}
    for topic, mode in (("requests", "at_once"), ("requests", "off"), ("door", "at_once"), ("door", "digest")):
        assert preferences.hearers(topic, mode) == {}


def test_hearers_as_they_chose_in_each_organisation(organization, django_assert_num_queries):
    person, other = member(organization, "owner"), OrganizationFactory()
    Membership.objects.create(organization=other, user_profile=person, role="organizer")
    preferences.choose(organization_id=other.pk, topic="requests", mode="at_once", actor=person)
    with django_assert_num_queries(1):
        assert preferences.hearers("requests", "digest") == {organization.pk: [person.pk]}
    assert preferences.hearers("requests", "at_once") == {other.pk: [person.pk]}


def test_choose_again_and_back(organization):
    person = member(organization, "organizer")
    choice = {"organization_id": organization.pk, "topic": "door", "actor": person}
    assert preferences.choose(**choice, mode="off").changed is False
    assert rows() == []
    assert preferences.choose(**choice, mode="digest").changed is True
    assert preferences.choose(**choice, mode="digest").changed is False
    assert preferences.choose(**choice, mode="off").changed is True
    assert rows() == [(organization.pk, person.pk, "door", "off")]


@pytest.mark.parametrize("role", ["door", "viewer", None])
def test_choose_where_one_decides_nothing(organization, role):
    person = member(organization, role) if role else UserProfileFactory(is_superuser=True)
    with pytest.raises(NotFound):
        preferences.choose(organization_id=organization.pk, topic="door", mode="digest", actor=person)
    assert rows() == []


def test_choose_what_a_topic_does_not_offer(organization):
    """A customer who waits now is no news for tomorrow."""
    person = member(organization, "owner")
    with pytest.raises(NotFound):
        preferences.choose(organization_id=organization.pk, topic="service", mode="digest", actor=person)
    assert rows() == []
    assert preferences.hearers("service", "at_once") == {organization.pk: [person.pk]}


def test_a_lost_role_is_a_lost_voice(organization):
    person = member(organization, "organizer")
    preferences.choose(organization_id=organization.pk, topic="requests", mode="at_once", actor=person)
    Membership.objects.update(role="viewer")
    assert preferences.hearers("requests", "at_once") == {}


# -- The page ------------------------------------------------------------------------------------

PAGE = "/admin/notices/"


def as_posted(organization, **chosen):
    """The whole form, as a browser sends it."""
    return {f"{topic}_{organization.pk}": chosen.get(topic, mode) for topic, mode in NoticePreference.DEFAULTS.items()}


def signed_in(client, person):
    client.force_login(person)
    return client


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("organizer", 200), ("viewer", 404), ("door", 404), ("superuser", 200)]
)
def test_the_page_by_role(organization, role, status, client):
    person = UserProfileFactory(is_superuser=True) if role == "superuser" else member(organization, role)
    signed_in(client, person)
    page = client.get(PAGE)
    assert page.status_code == status
    assert ("there is nothing to choose" in page.content.decode()) == (role == "superuser")
    if role not in ("owner", "organizer"):
        chosen = {f"{topic}_{organization.pk}": "at_once" for topic in NoticePreference.Topic}
        assert client.post(PAGE, chosen, follow=True).status_code == status
    assert rows() == []
    assert (PAGE in client.get(reverse("admin:index")).content.decode()) == (status == 200)


def test_the_page_is_for_whoever_is_signed_in(client, organization):
    assert client.get(PAGE).status_code == 302
    member(organization, "owner")
    assert client.get(reverse("admin:login")).status_code == 200


def test_the_page_shows_and_saves_own_choices(organization, client):
    person, colleague = member(organization, "owner"), member(organization, "organizer")
    preferences.choose(organization_id=organization.pk, topic="door", mode="digest", actor=person)
    preferences.choose(organization_id=organization.pk, topic="door", mode="at_once", actor=colleague)
    signed_in(client, person)
    form = client.get(PAGE).context["form"]
    assert [(name, field.label, field.initial) for name, field in form.fields.items()] == [
        (f"requests_{organization.pk}", "Join requests to decide", "digest"),
        (f"door_{organization.pk}", "What happens at the door", "digest"),
        (f"service_{organization.pk}", "Service requests that nobody takes", "at_once"),
    ]
    offered = {name: [value for value, _label in field.choices] for name, field in form.fields.items()}
    assert offered == {
        f"requests_{organization.pk}": ["at_once", "digest", "off"],
        f"door_{organization.pk}": ["at_once", "digest", "off"],
        f"service_{organization.pk}": ["at_once", "off"],
    }
    assert all(field.help_text for field in form.fields.values())
    chosen = as_posted(organization, requests="at_once", service="off")
    answer = client.post(PAGE, chosen, follow=True)
    assert [str(one) for one in answer.context["messages"]] == [
        "Saved: from now on you hear of things as you have chosen."
    ]
    assert preferences.choices_of(person) == [
        (organization, {"requests": "at_once", "door": "off", "service": "off"}),
    ]
    assert preferences.choices_of(colleague) == [
        (organization, {"requests": "digest", "door": "at_once", "service": "at_once"}),
    ]


def test_the_page_takes_no_other_organisation(organization, client):
    person, other = member(organization, "owner"), OrganizationFactory()
    chosen = as_posted(organization, requests="off") | as_posted(other, door="at_once")
    assert signed_in(client, person).post(PAGE, chosen).status_code == 302
    assert rows() == [(organization.pk, person.pk, "requests", "off")]


def test_the_page_refuses_what_is_no_choice(organization, client):
    person = member(organization, "owner")
    answer = signed_in(client, person).post(PAGE, as_posted(organization, requests="hourly", service="digest"))
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [f"requests_{organization.pk}", f"service_{organization.pk}"]
    assert rows() == []


def test_the_page_names_organisations_where_there_are_several(organization, client):
    person, other = member(organization, "owner"), OrganizationFactory(name="Another")
    Membership.objects.create(organization=other, user_profile=person, role="organizer")
    third = OrganizationFactory()
    Membership.objects.create(organization=third, user_profile=person, role="viewer")
    form = signed_in(client, person).get(PAGE).context["form"]
    assert [field.label for field in form.fields.values()] == [
        "Another: Join requests to decide",
        "Another: What happens at the door",
        "Another: Service requests that nobody takes",
        "Club: Join requests to decide",
        "Club: What happens at the door",
        "Club: Service requests that nobody takes",
    ]
