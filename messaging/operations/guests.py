"""An event's guest list: who stands on it, and who they are.

Each operation locks the event first, as imports do, so that a list is changed by one at a time.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from phonenumbers import ValidationResult, is_possible_number_with_reason, is_valid_number, parse

from attendance.models import Attendee
from config.database import write
from config.errors import DomainError, Outcome, lock, lock_with_event, operation
from events.models import Event, UserProfile
from events.models.people import Role, to_e164

from ..models import EventGuest, LinkMethod, LinkOutcome, MessageDelivery
from . import links

STAFF = Role.MANAGE
"""Who says who a guest is (rules.py)."""


class GuestRemoved(DomainError):
    code = "guest_removed"
    message = gettext_lazy("This guest was removed from the list. Bring them back first.")


class NobodyToLink(DomainError):
    code = "nobody_to_link"
    status = 400
    message = gettext_lazy(
        "Choose somebody whom this organisation knows from its events, or who has verified this guest's contact."
    )


class NamelessGuest(DomainError):
    code = "nameless_guest"
    status = 400
    message = gettext_lazy("A guest needs a name.")


class BadGuestPhone(DomainError):
    code = "bad_guest_phone"
    status = 400
    message = gettext_lazy("Give the number with its country code, like +14155550123.")
    constraints = ("messaging_eventguest_phone_e164",)


class SharedContact(DomainError):
    code = "shared_contact"
    message = gettext_lazy("On the list already, with the same e-mail or phone: {others}.")


class GuestChanged(DomainError):
    code = "guest_changed"
    message = gettext_lazy("Somebody changed this guest at the same moment. Look at them, and save again.")


class LocalNumber(Exception):
    """A number without its area code: nobody can call it from elsewhere."""


def region_of(event) -> str | None:
    """The country by which numbers without a country code are read; None for the site's."""
    return event.organization.phone_region or None


def stored_phone(text: str, region: str | None) -> str:
    """A number in any writing as it is stored. Raises ValidationError, LocalNumber."""
    number = to_e164(text, region)
    if is_possible_number_with_reason(parse(number)) == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        raise LocalNumber
    return number


def is_of_known_area(number: str) -> bool:
    """Whether a number (E.164) can be somebody's, as far as is known: areas are opened now and then."""
    return is_valid_number(parse(number))


@operation
def add(
    *, event_id, guest_name: str, phone: str | None, email: str | None, actor, knowing: Collection[UUID] = ()
) -> EventGuest:
    """Puts somebody on the list; ``phone`` in E.164. Whoever has verified the contact is linked, or parked.

    ``knowing``: those of the list who have the same contact, as the person knows. Raises NotFound, NamelessGuest,
    BadGuestPhone, SharedContact.
    """
    event = lock(Event.objects, pk=event_id)
    _must_know(sharing(event.pk, phone=phone, email=email), knowing)
    guest = EventGuest(event=event, **_tidy({"guest_name": guest_name, "phone": phone, "email": email}))
    guest._history_user = actor
    guest.save(force_insert=True)
    return _matched(guest)


@operation
def change(
    *,
    guest_id,
    changes: Mapping[str, str | None],
    actor,
    seen: Mapping[str, str | None] | None = None,
    knowing: Collection[UUID] = (),
) -> Outcome:
    """Writes another name, phone (E.164) or e-mail. A link stays, whatever it was made by.

    ``seen``: what stood there, as the person knows; ``knowing``: who has the new contacts too. Raises NotFound,
    GuestRemoved, NamelessGuest, BadGuestPhone, GuestChanged, SharedContact.
    """
    _event, guest = lock_with_event(EventGuest, guest_id)
    _must_be_listed(guest)
    if any((value or None) != getattr(guest, name) for name, value in (seen or {}).items()):
        raise GuestChanged
    new = {name: value for name, value in _tidy(changes).items() if value != getattr(guest, name)}
    if not new:
        return Outcome(guest, False)
    _must_know(sharing(guest.event_id, phone=new.get("phone"), email=new.get("email"), but=guest), knowing)
    for name, value in new.items():
        setattr(guest, name, value)
    write([guest], [*new], actor=actor)
    return Outcome(_matched(guest) if new.keys() - {"guest_name"} else guest, True)


@operation
def remove(*, guest_id, actor) -> Outcome:
    """Takes somebody off the list. What they were sent stays theirs. Raises NotFound."""
    _event, guest = lock_with_event(EventGuest, guest_id)
    if guest.is_removed:
        return Outcome(guest, False)
    guest.removed_at = timezone.now()
    write([guest], ["removed_at"], actor=actor)
    return Outcome(guest, True)


@operation
def restore(*, guest_id, actor) -> Outcome:
    """Back on the list, with the link that they had. Raises NotFound."""
    _event, guest = lock_with_event(EventGuest, guest_id)
    if not guest.is_removed:
        return Outcome(guest, False)
    guest.removed_at = None
    write([guest], ["removed_at"], actor=actor)
    decided_by_hand = guest.link_method == LinkMethod.MANUAL
    return Outcome(guest if decided_by_hand else _matched(guest), True)


@operation
def link(*, guest_id, person: UserProfile, actor) -> Outcome:
    """Says who the guest is, or that they are somebody else. Deliveries follow, in the database.

    Raises NotFound, GuestRemoved, NobodyToLink.
    """
    _event, guest = lock_with_event(EventGuest, guest_id)
    _must_be_listed(guest)
    if guest.user_id == person.pk:
        return Outcome(guest, False)
    if not linkable(guest, actor).filter(pk=person.pk).exists():
        raise NobodyToLink
    return _linked_by_hand(guest, person.pk, LinkOutcome.LINKED, actor)


@operation
def unlink(*, guest_id, actor) -> Outcome:
    """Nobody's again, and left so until somebody says whose. Deliveries follow. Raises NotFound."""
    _event, guest = lock_with_event(EventGuest, guest_id)
    if guest.user_id is None:
        return Outcome(guest, False)
    return _linked_by_hand(guest, None, LinkOutcome.NO_MATCH, actor)


def _linked_by_hand(guest, person_id, outcome, actor):
    guest.user_id, guest.link_outcome, guest.link_method = person_id, outcome, LinkMethod.MANUAL
    guest.linked_by_id, guest.linked_at = actor and actor.pk, timezone.now()
    write([guest], ["user", "link_outcome", "link_method", "linked_by", "linked_at"], actor=actor)
    guest.refresh_from_db()  # the database says who attends
    return Outcome(guest, True)


def sharing(event_id, *, phone: str | None, email: str | None, but: EventGuest | None = None) -> list[EventGuest]:
    """Who has the phone or the e-mail on the event's list, those who were removed from it too."""
    contact = Q(pk__in=[])
    if phone:
        contact |= Q(phone=phone)
    if email:
        contact |= Q(email=email.strip().lower())
    others = EventGuest.objects.filter(contact, event=event_id).exclude(pk=but and but.pk)
    return list(others.order_by("removed_at", "guest_name", "pk"))


NAMED = 5


def named(guests) -> str:
    """Lines of the list as one tells them apart, the first few."""
    words = []
    for guest in guests[:NAMED]:
        contacts = ", ".join(filter(None, (guest.email, guest.phone, _("removed") if guest.is_removed else "")))
        words.append(f"{guest.guest_name} ({contacts})")
    return "; ".join([*words, *["…"][: len(guests) > NAMED]])


def _must_know(others, knowing):
    if {other.pk for other in others} - set(knowing):
        raise SharedContact(others=named(others))


def _must_be_listed(guest):
    if guest.is_removed:
        raise GuestRemoved


def _matched(guest) -> EventGuest:
    """Looks for whoever has verified the guest's e-mail or phone, unless they are linked."""
    if guest.user_id is None:
        links.match(guest_ids=[guest.pk])
    guest.refresh_from_db()
    return guest


def _tidy(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """As it is stored: an empty contact is null."""
    tidy = dict(values)
    if "guest_name" in tidy:
        tidy["guest_name"] = " ".join((tidy["guest_name"] or "").split())
        if not tidy["guest_name"]:
            raise NamelessGuest
    if "phone" in tidy:
        tidy["phone"] = (tidy["phone"] or "").strip() or None
    if "email" in tidy:
        tidy["email"] = (tidy["email"] or "").strip().lower() or None
    return tidy


# -- Whom a guest may be linked to, and what follows ---------------------------------------------------


def known(event, actor) -> QuerySet[UserProfile]:
    """People of the event's organisation, from any of its events, whom the person may see."""
    people = UserProfile.objects.active()
    if actor.is_superuser:
        return people
    in_organization = {"event__organization_id": event.organization_id, "user_profile": OuterRef("pk")}
    return people.of_staff(actor, STAFF).filter(
        Exists(Attendee.objects.filter(**in_organization))
        | Exists(UserProfile._meta.apps.get_model("requests", "JoinRequest").objects.filter(**in_organization))
    )


def fitting(guest) -> QuerySet[UserProfile]:
    """People who have verified the guest's e-mail or phone, whether anybody may see them or not."""
    fits = Q(pk__in=[])
    if guest.email:
        fits |= Q(email__lower=guest.email, email_verified=True)
    if guest.phone:
        fits |= Q(phone=guest.phone, phone_verified=True)
    return UserProfile.objects.active().filter(fits).order_by("pk")


def alike(guest, person) -> QuerySet[EventGuest]:
    """The event's other guests who fit the person as well, or are linked to them."""
    fits = Q(user=person)
    if person.email and person.email_verified:
        fits |= Q(user=None, email=person.email.lower())
    if person.phone and person.phone_verified:
        fits |= Q(user=None, phone=person.phone)
    others = EventGuest.objects.active().filter(fits, event_id=guest.event_id).exclude(pk=guest.pk)
    return others.order_by("guest_name", "pk")


def linkable(guest, actor) -> QuerySet[UserProfile]:
    """Of those who fit, only a parked guest's may be chosen unseen: the database has told of them already."""
    allowed = Q(pk__in=known(guest.event, actor).values("pk"))
    if guest.is_parked:
        allowed |= Q(pk__in=fitting(guest).values("pk"))
    return UserProfile.objects.filter(allowed)


def masked(guest, person) -> str:
    """A person whom one may not see, in words that say only what stands on the guest list."""
    by_mail = guest.email and person.email_verified and (person.email or "").lower() == guest.email
    by_phone = guest.phone and person.phone_verified and person.phone == guest.phone
    if by_mail and by_phone:
        return _("an account with this verified e-mail and phone number")
    if by_mail:
        return _("an account with this verified e-mail")
    if by_phone:
        return _("an account with this verified phone number")
    return _("an account that you may not see")


def shown(guest, person, viewer) -> str:
    """Who a person is, for somebody who looks at the guest."""
    if person is None:
        return "–"
    seen = UserProfile.objects.of_staff(viewer).filter(pk=person.pk).exists()
    return str(person) if seen else masked(guest, person)


def messages_of(guest) -> int:
    """How many messages a change of the guest's link moves: those of whoever they are now."""
    return guest.deliveries.filter(user=guest.user_id).order_by().values("message").distinct().count()


def ask_link(guest, viewer) -> str | None:
    """What a link, or another one, does to what the guest was sent."""
    count = messages_of(guest)
    if not count:
        return None
    if guest.user_id is None:
        sentence = ngettext(
            "{count} message that {guest} was sent goes to whom you choose.",
            "{count} messages that {guest} was sent go to whom you choose.",
            count,
        )
        return sentence.format(count=count, guest=guest)
    sentence = ngettext(
        "{count} message that {person} has goes to whom you choose, unread, and {person} no longer has it.",
        "{count} messages that {person} has go to whom you choose, unread, and {person} no longer has them.",
        count,
    )
    return sentence.format(count=count, person=shown(guest, guest.user, viewer))


def ask_unlink(guest, viewer) -> str | None:
    count = messages_of(guest) if guest.user_id else 0
    if not count:
        return None
    sentence = ngettext(
        "{count} message that {person} has will be nobody's, until {guest} is linked again.",
        "{count} messages that {person} has will be nobody's, until {guest} is linked again.",
        count,
    )
    return sentence.format(count=count, person=shown(guest, guest.user, viewer), guest=guest)


def ask_unlink_all(guests) -> str | None:
    """The same of several, by their number."""
    theirs = MessageDelivery.objects.filter(guest__in=[guest.pk for guest in guests], user=F("guest__user"))
    count = theirs.order_by().aggregate(deliveries=Count("pk"), people=Count("user", distinct=True))
    if not count["deliveries"]:
        return None
    deliveries = ngettext("{} delivery", "{} deliveries", count["deliveries"]).format(count["deliveries"])
    sentence = ngettext(
        "{people} person loses what they were sent: {deliveries}, nobody's until these guests are linked again.",
        "{people} people lose what they were sent: {deliveries}, nobody's until these guests are linked again.",
        count["people"],
    )
    return sentence.format(people=count["people"], deliveries=deliveries)
