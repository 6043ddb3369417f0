"""Who may: permissions by the role that a person has in a row's organisation.

Without a row, a permission says whether the person has such a role anywhere: enough to show a
menu, never to touch a row.
"""

import rules

from .models.people import Role


def organization_id(row) -> int | None:
    """The organisation that a row belongs to, along its queryset's ``organization_path``; None where it
    leads nowhere: what belongs to none is for superusers only."""
    *steps, last = type(row)._default_manager.none().organization_path.split("__")
    for step in steps:
        row = getattr(row, step)
        if row is None:
            return None
    return row.pk if last == "pk" else getattr(row, f"{last}_id")


def role_in(roles: frozenset[str]) -> rules.Predicate:
    """True for active people with one of the roles in the row's organisation, and for superusers."""

    def has_role(person, row=None):
        if not person.is_authenticated or not person.is_active:
            return False
        if row is None or not roles:  # what only superusers may do needs no organisation
            return person.has_any_role(roles)
        return person.has_role(organization_id(row), roles)

    predicate = rules.predicate(has_role, name=f"role in {sorted(roles)}")
    predicate.roles = roles
    return predicate


NOBODY = frozenset()
"""Superusers only."""


def grant(model_label: str, *, view=NOBODY, add=NOBODY, change=NOBODY, delete=NOBODY, **others) -> None:
    """Declares who may do what with a model's rows: ``grant("events.room", view=Role.ANY, …)``.

    Further keywords name permissions of their own (``approve=Role.MANAGE``).
    """
    app, model = model_label.split(".")
    for verb, roles in {"view": view, "add": add, "change": change, "delete": delete, **others}.items():
        rules.add_perm(f"{app}.{verb}_{model}", role_in(roles))


grant("events.organization", view=Role.ANY, change=Role.OWN)
grant("events.membership", view=Role.OWN, add=Role.OWN, change=Role.OWN, delete=Role.OWN)
grant("events.event", view=Role.ANY, add=Role.MANAGE, change=Role.MANAGE, delete=Role.MANAGE)
grant("events.room", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=Role.MANAGE)
grant("events.speaker", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=Role.MANAGE)
grant("events.session", view=Role.LOOK, add=Role.MANAGE, change=Role.MANAGE, delete=Role.MANAGE)
grant("events.integrityresult")


def _sees_person(roles):
    """A person belongs to no organisation: their row shows where they are met (UserProfile.of_staff)."""

    def sees(viewer, person=None):
        if not viewer.is_authenticated or not viewer.is_active:
            return False
        if person is None:
            return viewer.has_any_role(roles)
        return viewer.is_superuser or type(person).objects.filter(pk=person.pk).of_staff(viewer, roles).exists()

    predicate = rules.predicate(sees, name=f"meets people as {sorted(roles)}")
    predicate.roles = roles
    return predicate


rules.add_perm("events.view_userprofile", _sees_person(Role.LOOK))
for verb in ("add", "change", "delete"):
    rules.add_perm(f"events.{verb}_userprofile", role_in(NOBODY))
