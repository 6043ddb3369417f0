"""A customer's request: what they told at the intake, the session it leads to, and the place in line."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Case, DurationField, ExpressionWrapper, F, OuterRef, Q, Value, When
from django.db.models.functions import Coalesce, Length, Now
from django.db.models.lookups import LessThanOrEqual
from django.utils.translation import gettext_lazy as _

from config.database import CompositeForeignKey, known, never_truncated, touched, uuid7
from events.models import Event, Membership, Organization, UserProfile
from events.models.people import Role, ScopedQuerySet
from messaging.triggers import Uuid7

from ..triggers import service as triggers
from .mechanics import IDLE_AFTER, UNATTENDED_AFTER, Mechanic, outer

STATUS_LENGTH = 50
"""Room for any word, so that an unknown status is refused for what it is and not for its length."""
LONGEST = 4000
"""Characters of what somebody writes."""


class RequestStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    ACCEPTED = "accepted", _("In progress")
    CANCELLED = "cancelled", _("Cancelled")
    UNATTENDED = "unattended", _("Unattended")
    COMPLETED = "completed", _("Done")


RequestStatus.OPEN = frozenset({RequestStatus.PENDING, RequestStatus.UNATTENDED})
"""Waits for somebody to accept it."""
RequestStatus.LIVE = RequestStatus.OPEN | {RequestStatus.ACCEPTED}
RequestStatus.OVER = frozenset({RequestStatus.CANCELLED, RequestStatus.COMPLETED})


class ServiceStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    LIVE = "live", _("Live")
    COMPLETED = "completed", _("Done")
    CANCELLED = "cancelled", _("Cancelled")


ServiceStatus.OPEN = frozenset({ServiceStatus.PENDING, ServiceStatus.LIVE})


class SessionType(models.TextChoices):
    CHAT = "chat", _("Chat")
    VIDEO = "video", _("Video call")
    IN_PERSON = "in_person", _("In person")


class ParticipantRole(models.TextChoices):
    CUSTOMER = "customer", _("Customer")
    MECHANIC = "mechanic", _("Mechanic")


def organization_key() -> models.ForeignKey:
    """Filled in by the database from the event, the intake or the session, where it is left out."""
    return models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+", editable=False, verbose_name=_("organisation")
    )


def event_key() -> models.ForeignKey:
    return models.ForeignKey(
        Event,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        editable=False,
        verbose_name=_("event"),
    )


def customer_key(related_name) -> models.ForeignKey:
    return models.ForeignKey(
        UserProfile, on_delete=models.PROTECT, related_name=related_name, editable=False, verbose_name=_("customer")
    )


def no_longer_than(column, length, name) -> models.CheckConstraint:
    return models.CheckConstraint(condition=LessThanOrEqual(Length(column), length), name=name)


def of_event(name) -> CompositeForeignKey:
    return CompositeForeignKey(
        name=name, fields=["event", "organization"], to="events.Event", to_fields=["id", "organization"]
    )


def of_mechanic(name) -> CompositeForeignKey:
    return CompositeForeignKey(
        name=name, fields=["mechanic", "organization"], to="requests.Mechanic", to_fields=["id", "organization"]
    )


class Intake(models.Model):
    """What a customer told when they asked. ``idempotency_key``: a retried call finds what the first one made."""

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    organization = organization_key()
    event = event_key()
    customer = customer_key("intakes")
    plan = models.CharField(_("plan"), max_length=50, blank=True, default="", db_default="")
    concern = models.TextField(_("concern"), max_length=LONGEST, db_default="")
    urgent = models.BooleanField(_("urgent"), default=False, db_default=False)
    skill = models.CharField(_("skill"), max_length=50, blank=True, default="", db_default="")
    details = models.JSONField(_("details"), default=dict, db_default={}, blank=True, encoder=DjangoJSONEncoder)
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    created_at = models.DateTimeField(_("asked"), auto_now_add=True, db_default=Now())

    class Meta:
        db_table = "intakes"
        ordering = ["-pk"]
        verbose_name = _("intake")
        verbose_name_plural = _("intakes")
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="requests_intake_once_per_key",
            ),
            no_longer_than("concern", LONGEST, "requests_intake_concern_length"),
            of_event("requests_intake_event_of_organization"),
        ]
        triggers = [triggers.intake_kept_right()]

    def __str__(self):
        return f"{self.customer}"


class ServiceSessionQuerySet(ScopedQuerySet):
    def open(self):
        return self.filter(status__in=ServiceStatus.OPEN)

    def of_participant(self, person):
        """Sessions that the person is in now: nobody else reads them, whatever their role.

        ``my_role`` is what they are there.
        """
        here = SessionParticipant.objects.filter(
            session=OuterRef("pk"), user_profile=person.pk, left_at=None, user_profile__is_active=True
        )
        return self.annotate(my_role=models.Subquery(here.values("role"))).exclude(my_role=None)

    def without_request(self):
        """Forbidden by the database while they are open; loading past it makes some."""
        return self.filter(request=None)


class ServiceSession(models.Model):
    """Where customer and mechanic meet. Made by one operation, together with its request.

    ``place``: a link for ``video``, where to go for ``in_person``. ``last_activity_at``: when the mechanic last did
    something about it. Who is in it the database keeps itself, from customer and mechanic.
    """

    Status, Type = ServiceStatus, SessionType

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    organization = organization_key()
    event = event_key()
    intake = models.OneToOneField(
        Intake,
        on_delete=models.PROTECT,
        related_name="session",
        null=True,
        blank=True,
        editable=False,
        verbose_name=_("intake"),
        help_text=_("None where it was loaded from elsewhere."),
    )
    customer = customer_key("service_sessions")
    mechanic = models.ForeignKey(
        Mechanic,
        on_delete=models.PROTECT,
        related_name="service_sessions",
        null=True,
        blank=True,
        editable=False,
        verbose_name=_("mechanic"),
    )
    type = models.CharField(
        _("type"),
        max_length=STATUS_LENGTH,
        choices=SessionType.choices,
        default=SessionType.CHAT,
        db_default=SessionType.CHAT,
    )
    plan = models.CharField(_("plan"), max_length=50, blank=True, default="", db_default="")
    place = models.CharField(_("link or place"), max_length=500, blank=True, default="", db_default="")
    status = models.CharField(
        _("status"),
        max_length=STATUS_LENGTH,
        choices=ServiceStatus.choices,
        default=ServiceStatus.PENDING,
        db_default=ServiceStatus.PENDING,
        editable=False,
    )
    started_at = models.DateTimeField(_("started"), null=True, blank=True, editable=False)
    last_activity_at = models.DateTimeField(_("mechanic last active"), null=True, blank=True, editable=False)
    warned_at = models.DateTimeField(_("mechanic reminded"), null=True, blank=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = ServiceSessionQuerySet.as_manager()

    class Meta:
        db_table = "service_sessions"
        ordering = ["-pk"]
        verbose_name = _("service session")
        verbose_name_plural = _("service sessions")
        constraints = [
            known("status", ServiceStatus, "requests_servicesession_status_known"),
            known("type", SessionType, "requests_servicesession_type_known"),
            models.CheckConstraint(
                condition=~Q(status=ServiceStatus.LIVE)
                | Q(mechanic__isnull=False, started_at__isnull=False, last_activity_at__isnull=False),
                name="requests_servicesession_live_has_mechanic",
            ),
            models.CheckConstraint(
                condition=~Q(status=ServiceStatus.PENDING) | Q(mechanic=None),
                name="requests_servicesession_pending_has_none",
            ),
            models.CheckConstraint(
                condition=(~Q(status__in=["pending", "live"]) | Q(ended_at=None))
                & (~Q(status__in=["completed", "cancelled"]) | Q(ended_at__isnull=False)),
                name="requests_servicesession_ended_when_over",
            ),
            # What a request's composite foreign key refers to.
            models.UniqueConstraint(fields=["id", "organization", "customer"], name="requests_servicesession_identity"),
            of_event("requests_servicesession_event_of_organization"),
            of_mechanic("requests_servicesession_mechanic_of_organization"),
        ]
        indexes = [
            models.Index("last_activity_at", condition=Q(status=ServiceStatus.LIVE), name="service_sessions_idle"),
        ]
        triggers = [
            touched(),
            triggers.session_kept_right(),
            triggers.session_has_request(),
            triggers.participants_kept(),
            triggers.session_signals(),
            never_truncated(triggers.HAS_REQUEST),
        ]

    def __str__(self):
        return f"{self.customer} ({self.get_status_display()})"

    @property
    def is_open(self) -> bool:
        return self.status in ServiceStatus.OPEN


class SessionParticipant(models.Model):
    """Who is, or was, in a session. Kept by the database."""

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(
        ServiceSession, on_delete=models.CASCADE, related_name="participants", verbose_name=_("session")
    )
    user_profile = models.ForeignKey(UserProfile, on_delete=models.PROTECT, related_name="+", verbose_name=_("person"))
    role = models.CharField(_("role"), max_length=STATUS_LENGTH, choices=ParticipantRole.choices)
    joined_at = models.DateTimeField(_("joined"), db_default=Now())
    left_at = models.DateTimeField(_("left"), null=True)

    class Meta:
        db_table = "service_session_participants"
        ordering = ["pk"]
        verbose_name = _("participant")
        verbose_name_plural = _("participants")
        constraints = [
            models.UniqueConstraint(fields=["session", "user_profile"], name="requests_sessionparticipant_once"),
            known("role", ParticipantRole, "requests_sessionparticipant_role_known"),
        ]
        triggers = triggers.participants_by_session_only()


class SessionMessage(models.Model):
    """A line of a session's chat. In the order of ``id``, which is that in which they were written."""

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(
        ServiceSession, on_delete=models.PROTECT, related_name="messages", verbose_name=_("session")
    )
    author = models.ForeignKey(UserProfile, on_delete=models.PROTECT, related_name="+", verbose_name=_("author"))
    body = models.TextField(_("text"), max_length=LONGEST)
    created_at = models.DateTimeField(_("written"), auto_now_add=True, db_default=Now())

    class Meta:
        db_table = "service_session_messages"
        ordering = ["pk"]
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [
            models.CheckConstraint(
                condition=~Q(body="") & LessThanOrEqual(Length("body"), LONGEST),
                name="requests_sessionmessage_length",
            )
        ]
        indexes = [models.Index("session", "id", name="service_messages_session")]
        triggers = [triggers.message_signals(), triggers.message_of_participant(), *triggers.message_stays()]


UNATTENDED_FIRST = Case(When(status=RequestStatus.UNATTENDED, then=Value(0)), default=Value(1))


REMINDED = 2 / 3
"""Of the time that a mechanic may do nothing; then they are reminded."""


def _after(moment: str, column: str, default, part: float = 1) -> ExpressionWrapper:
    """When a part of the time that the row's organisation allows is up, since the column ``moment``."""
    allowed = Coalesce(F(f"organization__service_settings__{column}"), Value(default), output_field=DurationField())
    return ExpressionWrapper(F(moment) + allowed * Value(part), output_field=models.DateTimeField())


class SessionRequestQuerySet(ScopedQuerySet):
    def open(self):
        return self.filter(status__in=RequestStatus.OPEN)

    def in_line(self):
        """Whom nobody took comes first, then whatever is urgent, then the oldest."""
        return self.order_by(UNATTENDED_FIRST, F("urgent").desc(), "created_at", "pk")

    def with_deadlines(self):
        """Adds when it is half-way to ``unattended_at`` (``half_at``), and when what was accepted is to go back
        (``idle_at``) and its mechanic is reminded of that (``remind_at``): null where nobody has it."""
        waits = ("waiting_since", "unattended_after", UNATTENDED_AFTER)
        acts = ("session__last_activity_at", "idle_after", IDLE_AFTER)
        return self.annotate(
            half_at=_after(*waits, 0.5),
            unattended_at=_after(*waits),
            remind_at=_after(*acts, REMINDED),
            idle_at=_after(*acts),
        )

    def overdue(self, at=None):
        """Has waited for too long by the moment ``at``, now by default."""
        return self.filter(status=RequestStatus.PENDING).with_deadlines().filter(unattended_at__lte=at or Now())

    def idle(self, at=None):
        """Accepted by somebody who has done nothing for too long, or who is off duty."""
        gone = Q(mechanic__on_duty=False) | Q(mechanic__active=False) | Q(mechanic__user_profile__is_active=False)
        accepted = self.filter(status=RequestStatus.ACCEPTED).with_deadlines()
        return accepted.filter(Q(idle_at__lte=at or Now()) | gone)

    def nearly_idle(self, at=None):
        """Accepted by somebody who is to be reminded, and hasn't been."""
        accepted = self.filter(status=RequestStatus.ACCEPTED, session__warned_at=None).with_deadlines()
        return accepted.filter(remind_at__lte=at or Now())

    def with_unanswered(self, person_id):
        """Adds ``unanswered``: to one of the two, how many messages of the other have come since their own last."""
        own = SessionMessage.objects.filter(session=OuterRef(OuterRef("session")), author=person_id)
        last = own.order_by("-pk").values("pk")[:1]
        later = SessionMessage.objects.filter(session=OuterRef("session"), pk__gt=Coalesce(models.Subquery(last), 0))

        def number(rows):
            counted = rows.order_by().values("session").annotate(number=models.Count("pk")).values("number")
            return Coalesce(models.Subquery(counted), 0)

        return self.annotate(
            unanswered=Case(
                When(customer=person_id, then=number(later.exclude(author=person_id))),
                When(mechanic__user_profile=person_id, then=number(later.filter(author=OuterRef("customer")))),
                default=0,
            )
        )

    def seen_by(self, person):
        """A customer's own; what a mechanic may take, and what they have taken; all of the organisations that the
        person looks after, but for its customers' own words with the mechanic, which nobody sees.

        ``person``: a UserProfile's id, or an OuterRef to one, so that one query can ask it of many.
        """
        taken = Mechanic.objects.filter(pk=OuterRef("mechanic"), user_profile=outer(person))
        mine = Mechanic.objects.on_duty().serving(OuterRef("organization"), OuterRef("event"))
        manages = Membership.objects.filter(
            organization=OuterRef("organization"), user_profile=outer(person), role__in=Role.LOOK
        )
        everything = UserProfile.objects.filter(pk=outer(person), is_superuser=True)
        return self.filter(
            Q(customer=person)
            | models.Exists(taken)
            | Q(status__in=RequestStatus.OPEN) & models.Exists(mine.filter(user_profile=outer(person)))
            | models.Exists(manages)
            | models.Exists(everything),
            models.Exists(UserProfile.objects.active().filter(pk=outer(person))),
        )


class SessionRequest(models.Model):
    """A session's place in line: who asks, since when, and who has taken it. Written by operations only.

    ``created_at`` is its place, which it keeps when it comes back; ``waiting_since`` is when it last began to wait,
    from which unattended is reckoned. ``told``: how far the news has gone (operations.telling).
    """

    Status = RequestStatus

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=Uuid7(), editable=False)
    organization = organization_key()
    event = event_key()
    session = models.OneToOneField(
        ServiceSession,
        on_delete=models.PROTECT,
        related_name="request",
        editable=False,
        db_constraint=False,  # the composite one below
        verbose_name=_("session"),
    )
    customer = customer_key("session_requests")
    mechanic = models.ForeignKey(
        Mechanic,
        on_delete=models.PROTECT,
        related_name="session_requests",
        null=True,
        blank=True,
        editable=False,
        verbose_name=_("mechanic"),
    )
    session_type = models.CharField(
        _("type"),
        max_length=STATUS_LENGTH,
        choices=SessionType.choices,
        default=SessionType.CHAT,
        db_default=SessionType.CHAT,
    )
    plan_code = models.CharField(_("plan"), max_length=50, blank=True, default="", db_default="")
    status = models.CharField(
        _("status"),
        max_length=STATUS_LENGTH,
        choices=RequestStatus.choices,
        default=RequestStatus.PENDING,
        db_default=RequestStatus.PENDING,
        editable=False,
    )
    urgent = models.BooleanField(_("urgent"), default=False, db_default=False)
    skill = models.CharField(_("skill"), max_length=50, blank=True, default="", db_default="")
    customer_name = models.CharField(_("customer's name"), max_length=301, blank=True, default="", db_default="")
    customer_email = models.CharField(_("customer's e-mail"), max_length=254, blank=True, default="", db_default="")
    notes = models.TextField(_("concern"), max_length=LONGEST, blank=True, default="", db_default="")
    metadata = models.JSONField(default=dict, db_default={}, blank=True, encoder=DjangoJSONEncoder)
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True, editable=False)
    first_accepted_at = models.DateTimeField(_("first accepted"), null=True, blank=True, editable=False)
    waiting_since = models.DateTimeField(_("waiting since"), db_default=Now(), editable=False)
    notification_sent_at = models.DateTimeField(_("mechanics told"), null=True, blank=True, editable=False)
    told = models.PositiveSmallIntegerField(_("told"), default=0, db_default=0, editable=False)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("asked"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True, db_default=Now())

    objects = SessionRequestQuerySet.as_manager()

    class Meta:
        db_table = "session_requests"
        ordering = ["-pk"]
        verbose_name = _("service request")
        verbose_name_plural = _("service requests")
        constraints = [
            known("status", RequestStatus, "requests_sessionrequest_status_known"),
            known("session_type", SessionType, "requests_sessionrequest_type_known"),
            # Done after it was accepted, it still says by whom; what was loaded as done may say nobody.
            models.CheckConstraint(
                condition=~(
                    Q(status=RequestStatus.ACCEPTED)
                    | Q(status=RequestStatus.COMPLETED, first_accepted_at__isnull=False)
                )
                | Q(mechanic__isnull=False, accepted_at__isnull=False),
                name="requests_sessionrequest_accepted_has_mechanic",
            ),
            models.CheckConstraint(
                condition=Q(mechanic=None, accepted_at=None)
                | Q(mechanic__isnull=False, accepted_at__isnull=False) & ~Q(status__in=["pending", "unattended"]),
                name="requests_sessionrequest_mechanic_since_accepted",
            ),
            models.CheckConstraint(
                condition=(~Q(status__in=["pending", "unattended", "accepted"]) | Q(closed_at=None))
                & (~Q(status__in=["completed", "cancelled"]) | Q(closed_at__isnull=False)),
                name="requests_sessionrequest_closed_when_over",
            ),
            no_longer_than("notes", LONGEST, "requests_sessionrequest_notes_length"),
            models.UniqueConstraint(
                fields=["customer"],
                condition=Q(status__in=["pending", "unattended"]),
                name="requests_sessionrequest_one_open",
            ),
            CompositeForeignKey(
                name="requests_sessionrequest_of_its_session",
                fields=["session", "organization", "customer"],
                to="requests.ServiceSession",
                to_fields=["id", "organization", "customer"],
            ),
            of_event("requests_sessionrequest_event_of_organization"),
            of_mechanic("requests_sessionrequest_mechanic_of_organization"),
        ]
        indexes = [
            models.Index("organization", "created_at", condition=Q(closed_at=None), name="session_requests_board"),
            models.Index("organization", F("id").desc(), name="session_requests_desk"),
            models.Index("customer", "id", name="session_requests_customer"),
            models.Index("mechanic", "id", condition=Q(mechanic__isnull=False), name="session_requests_mechanic"),
            models.Index("mechanic", condition=Q(status="accepted", closed_at=None), name="session_requests_in_hand"),
            models.Index("closed_at", condition=Q(status="completed"), name="session_requests_done"),
            # For whoever keeps a copy.
            models.Index("organization", "updated_at", name="session_requests_changed"),
        ]
        triggers = [
            touched(),
            triggers.request_kept_right(),
            *triggers.request_of_session(),
            *triggers.request_logged(),
            triggers.request_signals(),
        ]

    def __str__(self):
        return self.customer_name or str(self.customer)

    @property
    def is_open(self) -> bool:
        return self.status in RequestStatus.OPEN
