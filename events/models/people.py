"""Organisations, people, and which role a person has where."""

from datetime import UTC, datetime
from functools import cached_property

import pgtrigger
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from phonenumbers import (
    SUPPORTED_REGIONS,
    NumberParseException,
    PhoneNumberFormat,
    format_number,
    is_possible_number,
    parse,
)
from simple_history.models import HistoricalRecords

from config.database import Trigger, known, touched, uuid7, violation


def validate_phone(value: str) -> None:
    """Accepts E.164 only ("+14155550123"): what is stored must be comparable as text."""
    try:
        number = parse(value, None)
    except NumberParseException:
        number = None
    if number is None or not is_possible_number(number) or format_number(number, PhoneNumberFormat.E164) != value:
        raise ValidationError(_("Give the number with its country code, like +14155550123."), code="invalid_phone")


def to_e164(text: str, region: str | None = None) -> str:
    """The number as it is stored, however it is written; ``region`` ("US", by default settings.PHONE_REGION)
    is that of numbers without a country code. Raises ValidationError."""
    try:
        number = parse(text, region or settings.PHONE_REGION)
    except NumberParseException:
        number = None
    stored = format_number(number, PhoneNumberFormat.E164) if number and is_possible_number(number) else ""
    if not 0 < len(stored) <= LONGEST_PHONE:
        raise ValidationError(_("This is no phone number that can be called."), code="invalid_phone")
    return stored


LONGEST_PHONE = 16
"""E.164: a plus and fifteen digits. What libphonenumber finds possible may have more."""


def validate_region(value: str) -> None:
    if value not in SUPPORTED_REGIONS:
        raise ValidationError(_("“%(value)s” is no country that we know by two letters."), params={"value": value})


models.EmailField.register_lookup(Lower)  # ``email__lower=…`` finds its way by the unique index


class Role(models.TextChoices):
    """What a person may do in one organisation. The groups below are what the rules ask for."""

    OWNER = "owner", _("Owner")
    ORGANIZER = "organizer", _("Organiser")
    DOOR = "door", _("Door staff")
    VIEWER = "viewer", _("Viewer")


Role.OWN = frozenset({Role.OWNER})
Role.MANAGE = frozenset({Role.OWNER, Role.ORGANIZER})
Role.LOOK = Role.MANAGE | {Role.VIEWER}
Role.ANY = Role.LOOK | {Role.DOOR}


EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
SANE_MOMENT = [MinValueValidator(EARLIEST), MaxValueValidator(LATEST)]
"""For times that people type: a year 9999 is beyond what some time zone can show."""


def sane(field: str) -> models.Q:
    """The same, for a CHECK; null passes."""
    return models.Q(**{field: None}) | models.Q(**{f"{field}__range": (EARLIEST, LATEST)})


class ScopedQuerySet(models.QuerySet):
    """Rows that belong to an organisation, by ``organization_path``."""

    organization_path = "organization"

    def of_staff(self, person, roles=Role.LOOK):
        """Rows of the organisations where the person, active, has one of the roles; a superuser's: all."""
        if not person.is_authenticated:
            return self.none()
        if person.is_superuser:
            return self if person.is_active else self.none()
        return self.filter(**{f"{self.organization_path}__in": Membership.objects.held_by(person, roles)})


def scoped(path: str) -> type[ScopedQuerySet]:
    """A ScopedQuerySet class for a model whose organisation lies at ``path`` ("event__organization")."""
    return type("ScopedQuerySet", (ScopedQuerySet,), {"organization_path": path})


class OrganizationQuerySet(ScopedQuerySet):
    organization_path = "pk"


class Organization(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(_("short name"), unique=True, help_text=_("Used in addresses and commands."))
    phone_region = models.CharField(
        _("country of phone numbers"),
        max_length=2,
        blank=True,
        default="",
        db_default="",
        validators=[validate_region],
        help_text=_("Two letters, like US or DE: how numbers without a country code are read. Empty: the site's."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = OrganizationQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta:
        db_table = "organizations"
        ordering = ["name", "pk"]
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")

    def __str__(self):
        return self.name


class UserProfileQuerySet(models.QuerySet):
    def active(self):
        """People who may act: neither deactivated nor erased."""
        return self.filter(is_active=True, erased_at=None)

    def of_staff(self, person, roles=Role.LOOK):
        """People whom the person meets in their organisations' events: applicants, attendees; and themselves.

        Not members: whoever knows an address can add it as a member, and must not read a profile by that.
        """
        if person.is_superuser:
            return self
        held = Membership.objects.held_by(person, roles)
        return self.filter(
            models.Q(pk=person.pk)
            | models.Exists(self._related("attendance", "Attendee").filter(event__organization__in=held))
            | models.Exists(self._related("requests", "JoinRequest").filter(event__organization__in=held))
        )

    @staticmethod
    def _related(app, name):
        from django.apps import apps  # upper apps' tables, by name only

        return apps.get_model(app, name).objects.filter(user_profile=models.OuterRef("pk"))


class UserProfileManager(BaseUserManager.from_queryset(UserProfileQuerySet)):
    def get_by_natural_key(self, email):
        return self.get(email__lower=email.lower())

    def create_user(self, email=None, password=None, **fields):
        """A person with a hashed password (unusable where none is given)."""
        person = self.model(email=email.strip().lower() if email else None, **fields)
        person.set_password(password)
        person.save(using=self._db)
        return person

    def create_superuser(self, email, password=None, **fields):
        return self.create_user(email, password, is_superuser=True, email_verified=True, **fields)


def new_owner_id() -> str:
    """The identity of a person who signed up with us rather than at an identity provider."""
    return f"turnout|{uuid7().hex}"


class UserProfile(AbstractBaseUser):
    """One person, in every organisation. ``owner_id`` is their UID at the identity provider.

    Permissions come from memberships through ``rules``; there are no groups.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner_id = models.CharField(
        _("owner ID"), max_length=255, unique=True, default=new_owner_id, help_text=_("UID at the identity provider.")
    )
    email = models.EmailField(_("e-mail"), null=True, blank=True)
    first_name = models.CharField(_("first name"), max_length=150, blank=True)
    last_name = models.CharField(_("last name"), max_length=150, blank=True)
    photo_url = models.CharField(_("photo"), max_length=500, blank=True)
    phone = models.CharField(_("phone"), max_length=16, blank=True, validators=[validate_phone])
    email_verified = models.BooleanField(_("e-mail verified"), default=False)
    phone_verified = models.BooleanField(_("phone verified"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    is_superuser = models.BooleanField(_("superuser"), default=False)
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    last_login = None
    """Not kept here: it would write the row, and its history, at every sign-in. axes logs those."""

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    objects = UserProfileManager()
    history = HistoricalRecords(excluded_fields=["password"])

    class Meta:
        db_table = "user_profiles"
        ordering = ["first_name", "last_name", "pk"]
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="events_userprofile_email_unique",
                violation_error_message=_("Somebody has this e-mail address already."),
            ),
            # What composite foreign keys refer to: a copied owner_id can't differ from the person's.
            models.UniqueConstraint(fields=["id", "owner_id"], name="events_userprofile_id_owner_unique"),
            models.CheckConstraint(
                condition=models.Q(erased_at=None) | models.Q(is_active=False),
                name="events_userprofile_erased_is_inactive",
            ),
        ]
        indexes = [models.Index("phone", condition=~models.Q(phone=""), name="user_profiles_phone")]
        triggers = [
            touched(),
            Trigger(
                name="erased_for_good",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.erased_at IS NOT NULL AND NEW.erased_at IS NULL"),
                func=violation("events_userprofile_erased_for_good", "an erased person stays erased"),
            ),
        ]

    def __str__(self):
        return self.get_full_name() or self.email or (str(_("(erased)")) if self.erased_at else self.owner_id)

    def clean(self):
        super().clean()
        self.email = self.email.strip().lower() if self.email else None

    def refresh_from_db(self, using=None, fields=None, **kwargs):
        """A person known by token only loads the rest in one query, not one a field."""
        if fields is not None:
            fields = {*fields, *self.get_deferred_fields()}
        super().refresh_from_db(using, fields, **kwargs)

    def get_full_name(self):
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self):
        return self.first_name or str(self)

    @cached_property
    def roles(self) -> dict[int, str]:
        """Organisation id → role. One query, once per instance, that is, per request."""
        return dict(self.memberships.order_by().values_list("organization_id", "role"))

    def has_role(self, organization_id, roles) -> bool:
        return self.is_active and (self.is_superuser or self.roles.get(organization_id) in roles)

    def has_any_role(self, roles) -> bool:
        return self.is_active and (self.is_superuser or bool(roles.intersection(self.roles.values())))

    @cached_property
    def is_mechanic(self) -> bool:
        """Whether they help customers of any organisation. One query, once per instance."""
        from django.apps import apps  # an upper app's table, by name only

        theirs = apps.get_model("requests", "Mechanic").objects.filter(user_profile=self.pk, active=True)
        return self.is_active and theirs.exists()

    @property
    def is_staff(self) -> bool:
        """Whether the admin opens at all: superusers, members of any organisation, and its mechanics."""
        return self.has_any_role(Role.ANY) or self.is_mechanic

    def has_perm(self, perm, obj=None):
        import rules

        return self.is_active and rules.has_perm(perm, self, obj)

    def has_perms(self, perms, obj=None):
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label):
        return self.is_staff


class MembershipQuerySet(ScopedQuerySet):
    def held_by(self, person, roles):
        """Ids of the organisations where the person, still active, has one of the roles; a subquery."""
        return self.filter(
            user_profile_id=person.pk,
            role__in=roles,
            user_profile__is_active=True,
        ).values("organization_id")


class Membership(models.Model):
    """A person's role in an organisation."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("organisation")
    )
    user_profile = models.ForeignKey(
        UserProfile, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("person")
    )
    role = models.CharField(_("role"), max_length=20, choices=Role.choices)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    objects = MembershipQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta:
        db_table = "organization_memberships"
        ordering = ["organization", "user_profile"]
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user_profile"],
                name="events_membership_once",
                violation_error_message=_("This person is a member already; change their role instead."),
            ),
            known("role", Role, "events_membership_role_known"),
        ]

    def __str__(self):
        return f"{self.user_profile}, {self.get_role_display()}"
