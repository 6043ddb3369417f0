"""Who helps: taken on, on duty and off, and stopped. Whatever they had accepted goes back to the line."""

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config.database import write
from config.errors import DomainError, NotFound, Outcome, lock, operation
from config.live import nudge
from events.models import UserProfile
from events.operations import accounts

from ..models import Mechanic
from . import taking, telling


class AlreadyMechanic(DomainError):
    code = "already_mechanic"
    message = _("This person is a mechanic here already.")
    constraints = ("requests_mechanic_once",)


class NotActive(DomainError):
    code = "mechanic_not_active"
    message = _("{mechanic} is not active: nobody can put them on duty.")
    plain = _("Who is not active is not on duty.")
    constraints = ("requests_mechanic_duty_active",)


@operation
def add(*, organization_id, email: str, actor, events=(), **fields) -> Mechanic:
    """Makes the person of this e-mail address a mechanic of the organisation; ``fields`` are Mechanic's.

    They are told. Somebody new gets a profile without password. Raises AlreadyMechanic.
    """
    person = UserProfile.objects.filter(email__lower=email.lower()).first()
    if person is None:
        person = UserProfile.objects.create_user(email)
    mechanic = Mechanic(organization_id=organization_id, user_profile=person, **fields)
    mechanic.display_name = mechanic.display_name or person.get_full_name()
    mechanic._history_user = actor
    mechanic.save(force_insert=True)
    mechanic.events.set(events)
    nudge(taking.CHANNEL)
    _welcome(mechanic, actor)
    return mechanic


def _welcome(mechanic, actor):
    """Unless it was they themselves: a notice; and a letter to set a password, which proves the address too, where they
    have no way into the admin, and so to the board."""
    person = mechanic.user_profile
    if actor is not None and actor.pk == person.pk:
        return
    letter = bool(person.email) and not (person.has_usable_password() and person.email_verified)
    if letter:
        why = gettext("You help at {organization}. Customers' requests come to you on the board, {board}")
        why = why.format(organization=mechanic.organization, board=telling.board())
        accounts.ask_for_reset(email=person.email, why=why)
    telling.helps(mechanic, letter=letter)


@operation
def set_duty(*, mechanic_id, on: bool, actor) -> Outcome:
    """On duty they see what waits, and hear of it; off duty, what they had accepted goes back to the line.

    By themselves, or by an organiser. Locks the mechanic, then their requests. Raises NotFound, NotActive.
    """
    mechanic = _of(mechanic_id, actor)
    if mechanic.on_duty == on:
        return Outcome(mechanic, changed=False)
    if on and not mechanic.active:
        raise NotActive(mechanic=mechanic)
    mechanic.on_duty = on
    _write(mechanic, ["on_duty"], actor)
    return Outcome(mechanic, changed=True)


@operation
def set_active(*, mechanic_id, active: bool, actor) -> Outcome:
    """Who stops is off duty from then on, and may start again, of which they are told. Raises NotFound."""
    mechanic = _of(mechanic_id, actor)
    if mechanic.active == active:
        return Outcome(mechanic, changed=False)
    mechanic.active = active
    mechanic.on_duty = mechanic.on_duty and active
    _write(mechanic, ["active", "on_duty"], actor)
    if active:
        _welcome(mechanic, actor)
    return Outcome(mechanic, changed=True)


def _of(mechanic_id, actor) -> Mechanic:
    """Locked, for themselves or whoever may manage them; others don't learn of them."""
    mechanic = lock(Mechanic.objects.select_related("user_profile"), pk=mechanic_id)
    if actor is None or actor.has_perm("requests.change_mechanic", mechanic):
        return mechanic
    if mechanic.user_profile_id != actor.pk or not actor.is_active:
        raise NotFound
    return mechanic


def _write(mechanic, fields, actor):
    write([mechanic], fields, actor=actor)
    nudge(taking.CHANNEL)
    if mechanic.on_duty:
        telling.soon()  # perhaps somebody waits whom nobody could be told of
    else:
        taking.give_back_all(mechanic, by=actor)


def fit_for(request):
    """Whoever could be given this request now: on duty, serving its event, neither its customer nor who has it."""
    fit = Mechanic.objects.on_duty().serving(request.organization_id, request.event_id)
    return fit.exclude(user_profile=request.customer_id).exclude(pk=request.mechanic_id).select_related("user_profile")


def of_person(person):
    """The person's rows that are active, one an organisation."""
    return Mechanic.objects.filter(user_profile=person.pk, active=True, user_profile__is_active=True).select_related(
        "organization", "user_profile"
    )
