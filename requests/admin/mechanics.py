"""Who helps customers, and how long these may wait for it."""

from django.contrib import admin
from django.db.models import Count, Q
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from config.admin import Act, HistoryAdmin, ScopedFilter, keep
from events.admin import minutes, person_header
from events.models import Organization
from events.models.people import Role

from ..forms.service_admin import MechanicForm, NewMechanicForm, ServiceSettingsForm
from ..models import Mechanic, RequestStatus, ServiceSession, ServiceSettings, SessionRequest, SessionRequestLog
from ..operations import mechanics
from .words import going_back

STATES = {"on": _("On duty"), "off": _("Off duty"), "inactive": _("Not active")}
COLOURS = {"on": "success", "off": "default", "inactive": "danger"}


def state_of(mechanic) -> str:
    """Whether they are on duty; whose account is closed is as good as inactive."""
    if not mechanic.active or not mechanic.user_profile.is_active:
        return "inactive"
    return "on" if mechanic.on_duty else "off"


def goes_back(rows) -> str | None:
    """What mechanics have in hand, who are about to stop."""
    held = SessionRequest.objects.filter(mechanic__in=[one.pk for one in rows], status=RequestStatus.ACCEPTED)
    return going_back(held.count())


def act(name, label, operation, done, **more) -> Act:
    stops = {"confirm": goes_back, "ask": lambda row, person: goes_back([row])} if more.pop("stops", False) else {}
    return Act(
        name=name,
        label=label,
        operation=operation,
        key="mechanic_id",
        permission="requests.change_mechanic",
        done=done,
        named=True,
        **stops,
        **more,
    )


@admin.register(Mechanic)
class MechanicAdmin(HistoryAdmin):
    """Who is on duty takes what waits. Duty is changed by acts, as whatever somebody has in hand goes back."""

    list_display = ["who", "organization", "duty", "in_hand", "knows", "serves"]
    list_filter = [("organization", ScopedFilter), "on_duty", "active"]
    list_select_related = ["organization", "user_profile"]
    search_fields = [
        "display_name",
        "user_profile__first_name",
        "user_profile__last_name",
        "user_profile__email",
    ]
    ordering = ["-on_duty", "-active", "display_name", "pk"]
    acts = (
        act(
            "start_duty",
            _("Put on duty"),
            mechanics.set_duty,
            _("on duty"),
            fixed={"on": True},
            already=_("on duty already"),
            available=lambda row: row.active and not row.on_duty,
            icon="play_arrow",
            tone="primary",
        ),
        act(
            "end_duty",
            _("Take off duty"),
            mechanics.set_duty,
            _("off duty"),
            fixed={"on": False},
            already=_("off duty already"),
            available=lambda row: row.on_duty,
            icon="pause",
            stops=True,
        ),
        act(
            "stop",
            _("Make inactive"),
            mechanics.set_active,
            _("not active any more"),
            fixed={"active": False},
            already=_("not active already"),
            available=lambda row: row.active,
            icon="person_off",
            tone="danger",
            stops=True,
        ),
        act(
            "resume",
            _("Make active"),
            mechanics.set_active,
            _("active again"),
            fixed={"active": True},
            already=_("active already"),
            available=lambda row: not row.active,
            icon="person_check",
        ),
    )

    def add_figures(self, rows):
        """How many each has in hand, and how many events they serve."""
        accepted = SessionRequest.objects.filter(mechanic__in=rows, status=RequestStatus.ACCEPTED).order_by()
        held = dict(accepted.values_list("mechanic").annotate(number=Count("pk")))
        served = Mechanic.events.through.objects.filter(mechanic__in=rows).order_by()
        events = dict(served.values_list("mechanic").annotate(number=Count("pk")))
        for row in rows:
            row.held, row.event_count = held.get(row.pk, 0), events.get(row.pk, 0)
        super().add_figures(rows)

    def choice_label(self, row, request):
        return f"{row} ({row.organization})"

    def get_form(self, request, obj=None, change=False, **kwargs):
        return super().get_form(
            request, obj, change=change, **kwargs | {"form": MechanicForm if obj else NewMechanicForm}
        )

    def get_fieldsets(self, request, obj=None):
        """Who only looks, and a row as it was, have no form: lists are read as text there."""
        looks = obj and (self.shows_history or not self.has_change_permission(request, obj))
        skills = "knows" if looks else "skills"
        first = ["person", "organization", "at_work"] if obj else ["organization", "email"]
        return [
            (None, {"fields": [*first, "display_name", skills]}),
            (_("What they serve"), {"fields": ["serves_all", "events"]}),
        ]

    def get_readonly_fields(self, request, obj=None):
        return ["person", "organization", "at_work", "knows"] if obj else []

    def get_autocomplete_fields(self, request):
        return ["events"]

    def get_changeform_initial_data(self, request):
        own = list(Organization.objects.of_staff(request.user, Role.MANAGE)[:2])
        return super().get_changeform_initial_data(request) | ({"organization": own[0].pk} if len(own) == 1 else {})

    def save_model(self, request, obj, form, change):
        if change:
            super().save_model(request, obj, form, change)
            return
        data = form.cleaned_data
        made = mechanics.add(
            organization_id=data["organization"].pk,
            email=data["email"],
            actor=request.user,
            events=data["events"],
            display_name=data["display_name"],
            skills=data["skills"],
            serves_all=data["serves_all"],
        )
        obj.pk, obj.user_profile, obj.display_name = made.pk, made.user_profile, made.display_name

    @display(description=_("mechanic"), header=True, ordering="display_name")
    def who(self, row):
        name, contact, initials, *picture = person_header(row.user_profile)
        return [str(row), contact if row.display_name in ("", name) else f"{name} {contact}", initials, *picture]

    @display(description=_("person"))
    def person(self, row):
        return f"{row.user_profile.get_full_name()} <{row.user_profile.email or '–'}>".strip()

    @display(description=_("duty"), label=COLOURS, ordering="on_duty")
    def duty(self, row):
        state = state_of(row)
        return state, STATES[state]

    @display(description=_("duty"))
    def at_work(self, row):
        return STATES[state_of(row)]

    @display(description=_("in hand"))
    def in_hand(self, row):
        return row.held

    @display(description=_("skills"))
    def knows(self, row):
        return ", ".join(row.skills) or "–"

    @display(description=_("serves"))
    def serves(self, row):
        if row.serves_all:
            return _("Everything")
        return ngettext("{} event", "{} events", row.event_count).format(row.event_count)


def kept(mechanic) -> str | None:
    """What they did for customers is on record, and the record names them."""
    named = SessionRequestLog.objects.filter(organization=mechanic.organization_id)
    used = (
        SessionRequest.objects.filter(mechanic=mechanic).exists()
        or ServiceSession.objects.filter(mechanic=mechanic).exists()
        or named.filter(Q(from_mechanic=mechanic.pk) | Q(to_mechanic=mechanic.pk)).exists()
    )
    return gettext("Requests name them, so that they can't be deleted: make them inactive instead.") if used else None


keep("requests.Mechanic", kept)


@admin.register(ServiceSettings)
class ServiceSettingsAdmin(HistoryAdmin):
    """One row an organisation; where there is none, the defaults hold."""

    form = ServiceSettingsForm
    list_display = ["organization", "unattended", "idle", "skill_list", "plan_list"]
    list_select_related = ["organization"]
    search_fields = ["organization__name"]

    def get_fieldsets(self, request, obj=None):
        """Who only looks reads the durations as minutes too, and lists as text."""
        looks = obj and (self.shows_history or not self.has_change_permission(request, obj))
        times = ("unattended", "idle") if looks else ("unattended_after", "idle_after")
        lists = ["skill_list", "plan_list"] if looks else ["skills", "plans"]
        return [
            (None, {"fields": ["organization"]}),
            (_("How long"), {"fields": [times]}),
            (_("What customers choose from"), {"fields": lists}),
        ]

    def get_readonly_fields(self, request, obj=None):
        return ["organization", "unattended", "idle", "skill_list", "plan_list"] if obj else []

    def get_changeform_initial_data(self, request):
        own = list(Organization.objects.of_staff(request.user, Role.MANAGE).filter(service_settings=None)[:2])
        return super().get_changeform_initial_data(request) | ({"organization": own[0].pk} if len(own) == 1 else {})

    def message_user(self, request, message, *args, **kwargs):
        """Django's words about a row that was saved are of one thing; these are several."""
        super().message_user(request, gettext("The service settings are saved."), *args, **kwargs)

    @display(description=_("unattended after"), ordering="unattended_after")
    def unattended(self, row):
        return minutes(row.unattended_after)

    @display(description=_("idle after"), ordering="idle_after")
    def idle(self, row):
        return minutes(row.idle_after)

    @display(description=_("skills to choose from"))
    def skill_list(self, row):
        return ", ".join(row.skills) or "–"

    @display(description=_("plans"))
    def plan_list(self, row):
        return ", ".join(row.plans) or "–"
