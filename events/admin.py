"""Organisations, people, events and their agenda, for organisers."""

from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.contrib import admin, messages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Count, F, Q
from django.db.models.functions import NullIf, TruncDate
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from config import integrity
from config.admin import Act, DomainAdmin, HistoryAdmin, ReadOnly, Scoped, ScopedFilter, banner, card

from .models import Event, IntegrityResult, Membership, Organization, Room, Session, Speaker, UserProfile
from .models.event import LONGEST
from .models.people import Role
from .operations import events, members
from .views import imports

STATUS_COLOURS = {
    Event.Status.DRAFT: "info",
    Event.Status.PUBLISHED: "success",
    Event.Status.COMPLETED: "primary",
    Event.Status.CANCELLED: "danger",
}


def local(moment, zone) -> str:
    """A time as people at the event read it."""
    return moment.astimezone(zone).strftime("%a %-d %b %Y, %H:%M %Z") if moment else "–"


@display(description=_("person"), header=True)
def person_header(person, *, contact=True):
    """Photo, name and e-mail, as the theme's list header; without ``contact`` nothing that reaches them."""
    name = str(person) if contact else person.get_full_name() or str(_("(no name)"))
    initials = "".join(word[0] for word in name.split()[:2]).upper()
    picture = {"path": person.photo_url, "borderless": True, "width": 32, "height": 32} if person.photo_url else None
    return [name, (person.email or "") if contact else "", initials, *([picture] if picture else [])]


def told_apart(person) -> str:
    """A person by name and by where they are reached, for whoever must choose among namesakes."""
    reached = person.phone if person.phone_verified else ""
    if person.email:
        reached = person.email if person.email_verified else _("{} (not verified)").format(person.email)
    return " · ".join(filter(None, [person.get_full_name(), reached])) or str(person)


class MinutesField(forms.Field):
    """A duration of the database, entered as whole minutes, as people count at a door."""

    widget = UnfoldAdminIntegerFieldWidget

    def __init__(self, column, *, of=Event, least=timedelta(0), most=LONGEST, **kwargs):
        column = of._meta.get_field(column)
        words = {"label": capfirst(column.verbose_name), "help_text": column.help_text} | kwargs
        self.least = least // timedelta(minutes=1)
        days = ngettext("{} day", "{} days", most.days).format(most.days)
        numbers = {"least": self.least, "most": most // timedelta(minutes=1), "days": days}
        sentence = _("Give minutes, from %(least)d to %(most)d (%(days)s).") % numbers
        super().__init__(
            **words,
            required=not column.null,
            show_hidden_initial=True,
            error_messages={"invalid": sentence},
            validators=[MinValueValidator(least, sentence), MaxValueValidator(most, sentence)],
        )

    def widget_attrs(self, widget):
        return {"min": self.least, "inputmode": "numeric"}

    def prepare_value(self, value):
        return value // timedelta(minutes=1) if isinstance(value, timedelta) else value

    def to_python(self, value):
        if isinstance(value, timedelta):
            return value
        if value in self.empty_values:
            return None
        try:
            return timedelta(minutes=int(value))
        except (ValueError, OverflowError):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None


def minutes(duration) -> str:
    return "–" if duration is None else _("{} minutes").format(duration // timedelta(minutes=1))


class EventForm(forms.ModelForm):
    timezone = forms.ChoiceField(
        label=_("Time zone"),
        choices=lambda: [(name, name.replace("_", " ")) for name in sorted(available_timezones())],
        widget=UnfoldAdminSelect2Widget,
        help_text=_("All times of the event are shown and entered in it."),
        initial="UTC",
        show_hidden_initial=True,
    )
    late_after = MinutesField("late_after")
    auto_absence_grace = MinutesField("auto_absence_grace", initial=timedelta(minutes=30))

    @cached_property
    def changed_data(self):
        """In another zone the same clock on the wall is another moment."""
        changed = super().changed_data
        return [*{*changed, "starts_at", "ends_at"}] if "timezone" in changed else changed

    def clean_capacity(self):
        capacity = self.cleaned_data["capacity"]
        taken = self.instance.seats_taken
        if capacity is not None and self.instance.pk and capacity < taken:
            raise forms.ValidationError(
                _("%(taken)d places are taken: the capacity can't be smaller."),
                params={"taken": taken},
                code="too_small",
            )
        return capacity


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    form = EventForm
    list_display = ["title", "state", "starts", "organization", "fill"]
    list_filter = ["status", "visibility", ("organization", ScopedFilter)]
    search_fields = ["title", "slug", "venue"]
    list_select_related = ["organization"]
    prepopulated_fields = {"slug": ["title"]}
    readonly_fields = ["status", "lateness", "grace"]
    fieldsets = [
        (None, {"fields": ["title", "slug", "organization", "status", "description", "venue"]}),
        (_("When"), {"fields": ["timezone", "starts_at", "ends_at"]}),
        (_("Who comes in"), {"fields": ["visibility", "approval_mode", ("capacity", "max_plus_ones")]}),
        (
            _("At the door"),
            {"fields": [("late_after", "door_adds_walk_ins"), ("auto_absence", "auto_absence_grace")]},
        ),
    ]
    acts = (
        Act(
            name="publish",
            label=_("Publish"),
            operation=events.publish,
            key="event_id",
            permission="events.change_event",
            done=_("published"),
            available=lambda event: event.status == Event.Status.DRAFT,
            icon="campaign",
            tone="primary",
        ),
        Act(
            name="withdraw",
            label=_("Back to draft"),
            operation=events.withdraw,
            key="event_id",
            permission="events.change_event",
            done=_("back to draft"),
            form=forms.Form,
            help=_("Only its organisation sees a draft: for everybody else it is gone, people who are in included."),
            available=lambda event: event.status in (Event.Status.PUBLISHED, Event.Status.CANCELLED),
            icon="undo",
        ),
        Act(
            name="duplicate",
            label=_("Duplicate"),
            operation=events.duplicate,
            key="event_id",
            permission="events.change_event",
            done=_("duplicated, as a draft without people"),
            icon="content_copy",
        ),
        Act(
            name="cancel",
            label=_("Cancel the event"),
            operation=events.cancel,
            key="event_id",
            permission="events.change_event",
            done=_("cancelled"),
            form=forms.Form,
            help=_("Nobody can be let in any more. Everybody keeps seeing the event, marked as cancelled."),
            available=lambda event: event.is_open,
            icon="event_busy",
            tone="danger",
        ),
    )

    list_before_template = "admin/import_link.html"

    def get_urls(self):
        page = partial(imports.import_schedule, model_admin=self)
        return [path("import/", self.admin_site.admin_view(page), name="events_event_import"), *super().get_urls()]

    def get_changeform_initial_data(self, request):
        """Somebody who works for one organisation needn't choose it."""
        own = list(Organization.objects.of_staff(request.user, Role.MANAGE)[:2])
        return super().get_changeform_initial_data(request) | ({"organization": own[0].pk} if len(own) == 1 else {})

    def get_fieldsets(self, request, obj=None):
        """Who only looks reads durations as minutes too; forms have a field of their own for that."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj) and not self.shows_history:
            return fieldsets
        *others, (title, door) = fieldsets
        return [*others, (title, door | {"fields": [("lateness", "door_adds_walk_ins"), ("auto_absence", "grace")]})]

    @display(description=Event._meta.get_field("late_after").verbose_name)
    def lateness(self, event):
        return minutes(event.late_after)

    @display(description=Event._meta.get_field("auto_absence_grace").verbose_name)
    def grace(self, event):
        return minutes(event.auto_absence_grace)

    def zone_of(self, request, row):
        chosen = request.POST.get("timezone")
        if chosen in available_timezones():
            return ZoneInfo(chosen)
        return row.zone if row else None

    @display(
        description=_("status"), label={str(key): value for key, value in STATUS_COLOURS.items()}, ordering="status"
    )
    def state(self, event):
        return event.status, event.get_status_display()

    @display(description=_("starts"), ordering="starts_at")
    def starts(self, event):
        return local(event.starts_at, event.zone)

    @display(description=_("places taken"), ordering="seats_taken")
    def fill(self, event):
        return f"{event.seats_taken} / {event.capacity if event.capacity is not None else '∞'}"

    def glance(self, request, event):
        taken = event.seats_taken if event.capacity is None else f"{event.seats_taken} / {event.capacity}"
        own = [
            (_("Places taken"), taken, None),
            (_("Capacity"), event.capacity if event.capacity is not None else _("no limit"), None),
        ]
        return [*super().glance(request, event), *own]


class OfEvent(DomainAdmin):
    """What belongs to an event: filtered, and its times shown, by it."""

    list_filter = [("event", ScopedFilter)]
    list_select_related = ["event"]
    autocomplete_fields = ["event"]

    def zone_of(self, request, row):
        if row:
            return row.event.zone
        event = Event.objects.of_staff(request.user).filter(pk=_number(request.POST.get("event"))).first()
        return event.zone if event else None

    def get_readonly_fields(self, request, obj=None):
        """What belongs to one event stays there."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "event"] if obj else fields


def _number(text):
    return int(text) if text and text.isdigit() and len(text) < 19 else None


@admin.register(Room)
class RoomAdmin(OfEvent):
    list_display = ["name", "event", "capacity"]
    search_fields = ["name"]
    fields = ["event", "name", "capacity", "description"]


@admin.register(Speaker)
class SpeakerAdmin(OfEvent):
    list_display = ["name", "event"]
    search_fields = ["name"]
    fields = ["event", "name", "biography", "photo_url"]


class SeatsFilter(admin.SimpleListFilter):
    title, parameter_name = _("seats"), "seats"

    def lookups(self, request, model_admin):
        return [("full", _("Full")), ("free", _("With free seats")), ("unlimited", _("Without a limit"))]

    def queryset(self, request, queryset):
        which = {
            "full": Q(seats_taken__gte=F("capacity")),
            "free": Q(seats_taken__lt=F("capacity")),
            "unlimited": Q(capacity=None),
        }
        return queryset.filter(which[self.value()]) if self.value() in which else queryset


class LineFilter(admin.SimpleListFilter):
    title, parameter_name = _("line"), "line_is"

    def lookups(self, request, model_admin):
        return [("waiting", _("Somebody waits")), ("none", _("Nobody waits"))]

    def queryset(self, request, queryset):
        which = {"waiting": Q(waitlist_length__gt=0), "none": Q(waitlist_length=0)}
        return queryset.filter(which[self.value()]) if self.value() in which else queryset


class RoomSizeFilter(admin.SimpleListFilter):
    title, parameter_name = _("size of the room"), "room_is"

    def lookups(self, request, model_admin):
        return [("too_small", _("Too small for the capacity"))]

    def queryset(self, request, queryset):
        return queryset.filter(room__capacity__lt=F("capacity")) if self.value() == "too_small" else queryset


class DayFilter(admin.SimpleListFilter):
    """The days of the event that the list is of, by its own clock; of several, what is on and what is to come."""

    title, parameter_name = _("when"), "day"
    words = (("now", _("On now")), ("ahead", _("To come")), ("over", _("Over")))

    def lookups(self, request, model_admin):
        event = self._event(request, model_admin) if request else None
        if event is None:
            return self.words
        days = event.sessions.annotate(day=TruncDate("starts_at", tzinfo=event.zone)).order_by("day")
        return [
            *self.words,
            *((day.isoformat(), day.strftime("%a %-d %b")) for day in days.values_list("day", flat=True).distinct()),
        ]

    def queryset(self, request, queryset):
        now = timezone.now()
        which = {
            "now": Q(starts_at__lte=now, ends_at__gt=now),
            "ahead": Q(starts_at__gt=now),
            "over": Q(ends_at__lte=now),
        }
        if self.value() in which:
            return queryset.filter(which[self.value()])
        if self.value() not in dict(self.lookup_choices):
            return queryset
        zone = ZoneInfo(queryset.values_list("event__timezone", flat=True).first() or "UTC")
        return queryset.annotate(day=TruncDate("starts_at", tzinfo=zone)).filter(day=self.value())

    @staticmethod
    def _event(request, model_admin):
        asked = _number(request.GET.get("event__id__exact"))
        if asked is None:
            return None
        return Event.objects.of_staff(request.user, model_admin.view_roles(request)).filter(pk=asked).first()


@display(description=_("seats taken"), ordering=F("seats_taken") * 1.0 / NullIf("capacity", 0))
def seats(session):
    """A bar, and in words for whoever sees none."""
    if session.capacity is None:
        return format_html('<span class="turnout-seats">{}</span>', _("{} (no limit)").format(session.seats_taken))
    return format_html(
        '<span class="turnout-seats{}"><meter min="0" max="{}" value="{}" aria-hidden="true"></meter> {}{}</span>',
        " turnout-full" if session.is_full else "",
        session.capacity or 1,
        session.seats_taken if session.capacity else 1,
        f"{session.seats_taken} / {session.capacity}",
        format_html(' <span class="turnout-unseen">({})</span>', _("full")) if session.is_full else "",
    )


class SessionForm(forms.ModelForm):
    """A time outside the event's own is asked about before everybody is told of it."""

    outside = forms.BooleanField(
        label=_("It lies outside the event's time on purpose"), required=False, widget=forms.HiddenInput
    )

    def clean(self):
        cleaned = super().clean()
        event = cleaned.get("event") or getattr(self.instance, "event", None)
        starts, ends = cleaned.get("starts_at"), cleaned.get("ends_at")
        if not (event and starts and ends and {"starts_at", "ends_at"}.intersection(self.changed_data)):
            return cleaned
        # The form knows minutes only.
        if event.starts_at.replace(second=0, microsecond=0) <= starts and ends <= event.ends_at:
            return cleaned
        self.fields["outside"].widget = UnfoldBooleanWidget()
        if not cleaned.get("outside"):
            sentence = _("The event is from {} to {}. If this is right all the same, say so here, and save again.")
            times = local(event.starts_at, event.zone), local(event.ends_at, event.zone)
            self.add_error("outside", sentence.format(*times))
        return cleaned


@admin.register(Session)
class SessionAdmin(OfEvent, HistoryAdmin):
    form = SessionForm
    list_display = ["short_title", "starts", "where", "track", seats, "waiting", "event", "state"]
    list_filter = [("event", ScopedFilter), "status", DayFilter, SeatsFilter, LineFilter, RoomSizeFilter]
    list_select_related = ["event", "room"]
    search_fields = ["title", "track", "speakers__name"]
    autocomplete_fields = ["event", "room", "speakers"]
    readonly_fields = ["status"]
    fieldsets = [
        (None, {"fields": ["event", "title", "abstract", ("session_type", "track"), ("language", "url"), "speakers"]}),
        (_("When and where"), {"fields": ["starts_at", "ends_at", "outside", "room", "status"]}),
        (_("Places"), {"fields": ["capacity", "rsvp_opens_at", "rsvp_closes_at"]}),
    ]

    def get_fieldsets(self, request, obj=None):
        """Who only looks is asked nothing."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.shows_history or not (
            self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        ):
            asked = {"fields": ["starts_at", "ends_at", "room", "status"]}
            return [(title, asked if "outside" in shown["fields"] else shown) for title, shown in fieldsets]
        return fieldsets

    @display(description=_("room"), ordering="room__name")
    def where(self, session):
        if not session.room_is_too_small:
            return session.room
        seats = session.room.capacity
        return format_html(
            '<span class="turnout-where">{} <span class="turnout-small-room">'
            '<span class="material-symbols-outlined" aria-hidden="true">warning</span> {}</span></span>',
            session.room,
            ngettext("{} seat only", "{} seats only", seats).format(seats),
        )

    @display(description=_("waiting"), ordering="waitlist_length")
    def waiting(self, session):
        return session.waitlist_length or "–"

    @display(description=_("status"), label={"scheduled": "success", "cancelled": "danger"}, ordering="status")
    def state(self, session):
        return session.status, session.get_status_display()

    @display(description=_("session"), ordering="title")
    def short_title(self, session):
        return session.title if len(session.title) <= 80 else f"{session.title[:79]}…"

    @display(description=_("starts"), ordering="starts_at")
    def starts(self, session):
        return local(session.starts_at, session.event.zone)


@display(description=_("person"))
def member(membership):
    """By name and address, without a link: a colleague's profile is their own."""
    person = membership.user_profile
    return f"{person.get_full_name()} <{person.email or '–'}>".strip()


class MembershipInline(ReadOnly, Scoped, TabularInline):
    """Looked at here; roles change on the membership's own page, by its operations."""

    model = Membership
    extra = 0
    fields = readonly_fields = [member, "role", "created_at"]
    show_change_link = True
    verbose_name_plural = _("members")

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("user_profile")


@admin.register(Organization)
class OrganizationAdmin(HistoryAdmin):
    list_display = ["name", "slug", "event_count"]
    ordering = ["name", "pk"]  # said here, as counting drops the model's own order
    search_fields = ["name", "slug"]
    fields = ["name", "slug"]

    def get_inlines(self, request, obj):
        return [MembershipInline] if obj and request.user.has_perm("events.view_membership", obj) else []

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(events_total=Count("events"))

    @display(description=_("events"), ordering="events_total")
    def event_count(self, organization):
        return organization.events_total


class NewMemberForm(forms.ModelForm):
    """Members are named by e-mail: an owner sees no list of everybody to choose from."""

    email = forms.EmailField(label=_("E-mail"), widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = Membership
        fields = ["organization", "email", "role"]


@admin.register(Membership)
class MembershipAdmin(HistoryAdmin):
    list_display = ["user_profile", "organization", "role", "created_at"]
    list_filter = [("organization", ScopedFilter), "role"]
    list_select_related = ["user_profile", "organization"]
    search_fields = ["user_profile__first_name", "user_profile__last_name", "user_profile__email"]

    def get_form(self, request, obj=None, change=False, **kwargs):
        if obj is None:
            kwargs["form"] = NewMemberForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request, obj=None):
        return [member, "organization", "role"] if obj else ["organization", "email", "role"]

    def get_readonly_fields(self, request, obj=None):
        return [member, "organization"] if obj else []

    def delete_model(self, request, obj):
        members.remove(membership_id=obj.pk, actor=request.user)

    def save_model(self, request, obj, form, change):
        if change:
            members.change_role(membership_id=obj.pk, role=obj.role, actor=request.user)
            return
        data = form.cleaned_data
        made = members.add_member(
            organization_id=data["organization"].pk, email=data["email"], role=data["role"], actor=request.user
        )
        obj.pk, obj.user_profile = made.pk, made.user_profile


@admin.register(UserProfile)
class UserProfileAdmin(HistoryAdmin):
    """People whom the organisation meets. They change their own data; a superuser mends it."""

    list_display = ["who", "phone", "email_verified", "is_active"]
    search_fields = ["first_name", "last_name", "email", "owner_id"]
    list_filter = ["email_verified", "is_active"]
    fields = [
        ("first_name", "last_name"),
        ("email", "email_verified"),
        ("phone", "phone_verified"),
        "photo_url",
        ("is_active", "is_superuser"),
        "owner_id",
        ("created_at", "updated_at"),
    ]
    readonly_fields = ["owner_id", "created_at", "updated_at"]

    def choice_label(self, row, request):
        return told_apart(row)

    @display(description=_("person"), header=True, ordering="first_name")
    def who(self, person):
        return person_header(person)


@admin.register(IntegrityResult)
class IntegrityResultAdmin(ReadOnly, DomainAdmin):
    """The health page: what the last checks of every promise found."""

    list_display = ["name", "result", "violations", "told", "checked_at"]
    list_before_template = "admin/check_now.html"
    sortable_by = ()

    def get_urls(self):
        check = path(
            "check/", self.admin_site.admin_view(require_POST(self.check_now)), name="events_integrityresult_check"
        )
        return [check, *super().get_urls()]

    def get_queryset(self, request):
        rows = IntegrityResult.objects.all()
        return rows if request.user.is_superuser else rows.none()

    def check_now(self, request):
        if not request.user.is_superuser:
            return HttpResponseRedirect(reverse("admin:index"))
        findings = integrity.run()
        broken = [one for one in findings if one.level != integrity.HEALTHY]
        if broken:
            messages.error(request, _("Broken: {}").format(", ".join(one.invariant.name for one in broken)))
        else:
            messages.success(request, _("{} checks, all healthy.").format(len(findings)))
        return HttpResponseRedirect(reverse("admin:events_integrityresult_changelist"))

    @display(description=_("result"), label={"healthy": "success", "warning": "warning", "critical": "danger"})
    def result(self, row):
        return row.level

    @display(description=_("figures"))
    def told(self, row):
        return ", ".join(f"{name}: {value}" for name, value in row.figures.items())


@banner
def broken_promises(request):
    """Red, for superusers, while the last check found something critical."""
    if not request.user.is_superuser:
        return None
    broken = list(IntegrityResult.objects.filter(level=integrity.CRITICAL))
    return {"template": "admin/banner_integrity.html", "broken": broken} if broken else None


@card
def open_events(request):
    """The events that the person works for, the next first; None for whoever works for none, but helps."""
    if not request.user.has_any_role(Role.ANY):
        return None
    rows = Event.objects.of_staff(request.user, frozenset({"owner", "organizer", "viewer", "door"}))
    coming = rows.filter(status__in=Event.Status.OPEN, ends_at__gt=timezone.now()).select_related("organization")
    for annotate in card_annotations:
        coming = annotate(coming)
    chosen = list(coming.order_by("starts_at", "pk")[:10])
    for event in chosen:
        event.shows_requests = request.user.has_perm("requests.view_joinrequest", event)
    return {
        "template": "admin/card_events.html",
        "events": chosen,
        "may_add": request.user.has_perm("events.add_event"),
    }


card_annotations = []
"""Upper apps add their figures to the overview's events: functions of a queryset of events."""
