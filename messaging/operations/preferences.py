"""Who of an organisation hears of what, and how: their own choice."""

from collections import defaultdict
from uuid import UUID

from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

from config.errors import NotFound, Outcome, operation
from events.models import Membership, Organization

from ..models import NoticePreference
from ..models.addresses import HEARS

Topic, Mode = NoticePreference.Topic, NoticePreference.Mode


def _memberships():
    """Of active people who may decide."""
    return Membership.objects.filter(
        role__in=HEARS, user_profile__is_active=True, user_profile__erased_at=None
    ).order_by()


def hearers(topic: str, mode: str) -> dict[int, list[UUID]]:
    """Organisation → its people who want to hear of the topic in this way. One query."""
    chosen = NoticePreference.objects.filter(
        organization=OuterRef("organization"), user=OuterRef("user_profile"), topic=topic
    )
    mode_of = Coalesce(Subquery(chosen.values("mode")), Value(NoticePreference.DEFAULTS[topic].value))
    rows = _memberships().annotate(mode=mode_of).filter(mode=mode).order_by("organization", "user_profile")
    found = defaultdict(list)
    for organization_id, person_id in rows.values_list("organization_id", "user_profile_id"):
        found[organization_id].append(person_id)
    return dict(found)


def choices_of(person) -> list[tuple[Organization, dict[str, str]]]:
    """The organisations that the person decides for, and how they hear of each topic. Two queries."""
    own = _memberships().filter(user_profile=person.pk)
    organizations = Organization.objects.filter(pk__in=own.values("organization"))
    chosen = {
        (row.organization_id, row.topic): row.mode
        for row in NoticePreference.objects.filter(user=person.pk, organization__in=organizations)
    }
    return [
        (one, {topic: chosen.get((one.pk, topic), NoticePreference.DEFAULTS[topic]) for topic in Topic})
        for one in organizations.order_by("name", "pk")
    ]


@operation
def choose(*, organization_id, topic: str, mode: str, actor) -> Outcome:
    """How a person hears of a topic from now on. Raises NotFound where they decide nothing, or it isn't offered."""
    if (
        mode not in NoticePreference.OFFERED[topic]
        or not _memberships().filter(organization=organization_id, user_profile=actor.pk).exists()
    ):
        raise NotFound
    key = {"organization_id": organization_id, "user_id": actor.pk, "topic": topic}
    row = NoticePreference.objects.select_for_update(no_key=True).filter(**key).first()
    if mode == (row.mode if row else NoticePreference.DEFAULTS[topic]):
        return Outcome(row, changed=False)
    row, _made = NoticePreference.objects.update_or_create(**key, defaults={"mode": mode})
    return Outcome(row, changed=True)
