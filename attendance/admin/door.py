"""The door's set-up: check-in points, registered devices, what attendance is worth; and the way to the door."""

from datetime import timedelta

import segno
from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Q
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from unfold.decorators import display

from config.admin import Act, HistoryAdmin, card
from events.admin import OfEvent, local
from events.models import Event, Organization
from events.models.people import Role

from ..forms import CheckInPointForm, DoorDeviceForm
from ..models import CheckInPoint, DoorDevice, PointScale
from ..operations import devices, figures
from .record import at_event

NEAR = timedelta(hours=12)
"""Before an event starts, and after it ended, its door stands on the overview."""


@admin.register(CheckInPoint)
class CheckInPointAdmin(OfEvent, HistoryAdmin):
    form = CheckInPointForm
    list_display = ["name", "event", "kind", "session", "opens", "closes"]
    list_filter = [*OfEvent.list_filter, "kind"]
    list_select_related = ["event", "session"]
    search_fields = ["name", "session__title"]
    autocomplete_fields = ["event", "session"]
    fields = ["event", "name", "kind", "session", "opens_at", "closes_at"]

    opens = at_event("opens_at", _("opens"))
    closes = at_event("closes_at", _("closes"))


def state_of(device) -> str:
    if device.revoked_at:
        return "revoked"
    if device.token_hash:
        return "registered"
    return "waiting" if can_enrol(device) else "expired"


def can_enrol(device) -> bool:
    expires = device.enrolment_expires_at
    return bool(device.enrolment_code and expires and expires > timezone.now())


STATES = {
    "waiting": _("Waiting for its phone"),
    "registered": _("Registered"),
    "revoked": _("Revoked"),
    "expired": _("Code expired"),
}


@admin.register(DoorDevice)
class DoorDeviceAdmin(OfEvent, HistoryAdmin):
    form = DoorDeviceForm
    list_display = ["name", "event", "state", "doors", "may_add_walk_ins", "created_by", "created"]
    list_filter = [*OfEvent.list_filter]
    list_select_related = ["event", "created_by"]
    search_fields = ["name"]
    fieldsets = [
        (None, {"fields": ["event", "name", ("at_door", "may_add_walk_ins"), "points"]}),
        (_("Record"), {"fields": [("registered", "revoked"), ("created_by", "created")]}),
    ]
    readonly_fields = ["registered", "revoked", "created_by", "created"]
    registered = at_event("enrolled_at", _("registered"))
    revoked = at_event("revoked_at", _("revoked"))
    created = at_event("created_at", _("created"))
    change_form_before_template = "admin/enrol_device.html"
    acts = (
        Act(
            name="new_code",
            label=_("New code"),
            operation=devices.new_code,
            key="device_id",
            permission="attendance.change_doordevice",
            done=ngettext_lazy(
                "device given a new code, which is on its page",
                "devices given new codes, which are on their pages",
                "count",
            ),
            form=forms.Form,
            help=_("For this or another phone. The one that is registered now stops working at once."),
            available=lambda device: not device.revoked_at,
            icon="qr_code",
        ),
        Act(
            name="revoke",
            label=_("Revoke"),
            operation=devices.revoke,
            key="device_id",
            permission="attendance.change_doordevice",
            done=ngettext_lazy("device revoked", "devices revoked", "count"),
            already=_("were revoked already"),
            form=forms.Form,
            help=_("It can't check anybody in any more, from this moment. What it did stays."),
            available=lambda device: not device.revoked_at,
            icon="mobile_off",
            tone="danger",
        ),
    )

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("points")

    def has_change_permission(self, request, obj=None):
        """A revoked one is a record: nothing that is changed in it would do anything."""
        return super().has_change_permission(request, obj) and not (obj and obj.revoked_at)

    def get_fieldsets(self, request, obj=None):
        return super().get_fieldsets(request, obj) if obj else self.fieldsets[:1]

    def save_model(self, request, obj, form, change):
        if not change:
            obj.created_by = request.user
            obj.enrolment_expires_at = timezone.now() + devices.CODE_LASTS
        super().save_model(request, obj, form, change)

    def response_post_save_add(self, request, obj):
        """To the code, which is what the device was made for."""
        return HttpResponseRedirect(reverse("admin:attendance_doordevice_change", args=(obj.pk,)))

    def render_change_form(self, request, context, add=False, change=False, form_url="", obj=None):
        if obj is not None and can_enrol(obj) and self.has_change_permission(request, obj):
            address = f"{settings.SITE_URL}{reverse('door', args=(obj.event_id,))}#enrol={obj.enrolment_code}"
            left = obj.enrolment_expires_at - timezone.now()
            context["enrol"] = {
                "address": address,
                "picture": segno.make(address, error="m", micro=False).svg_data_uri(scale=6, border=4, light="#fff"),
                "until": local(obj.enrolment_expires_at, obj.event.zone),
                "minutes": -(-left // timedelta(minutes=1)),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    @display(
        description=_("state"),
        label={"waiting": "warning", "registered": "success", "revoked": "danger", "expired": "default"},
    )
    def state(self, device):
        state = state_of(device)
        return state, STATES[state]

    @display(description=_("checks in at"))
    def doors(self, device):
        own = [str(_("The event's door"))] if device.at_door else []
        return ", ".join([*own, *(point.name for point in device.points.all())]) or "–"


@admin.register(PointScale)
class PointScaleAdmin(HistoryAdmin):
    """One row an organisation; where there is none, the defaults hold."""

    list_display = ["organization", "present", "late", "excused", "absent"]
    list_select_related = ["organization"]
    search_fields = ["organization__name"]
    fields = ["organization", ("present", "late"), ("excused", "absent")]

    def get_readonly_fields(self, request, obj=None):
        return ["organization"] if obj else []

    def get_changeform_initial_data(self, request):
        own = list(Organization.objects.of_staff(request.user, Role.MANAGE).filter(point_scale=None)[:2])
        return super().get_changeform_initial_data(request) | ({"organization": own[0].pk} if len(own) == 1 else {})


@card(first=True)
def doors(request):
    """The events whose door is open or will be soon: one tap to work for who checks in there."""
    now = timezone.now()
    near = Q(status=Event.Status.PUBLISHED, starts_at__lte=now + NEAR, ends_at__gt=now - NEAR)
    events = Event.objects.of_staff(request.user, Role.ANY).filter(near).select_related("organization")
    chosen = list(events.annotate(people_here=figures.people_here("attendees__")).order_by("starts_at", "pk")[:10])
    for event in chosen:
        event.may_check_in = request.user.has_perm("attendance.check_in_attendee", event)
        event.may_look = request.user.has_perm("attendance.view_checkin", event)
    return {"template": "admin/card_doors.html", "events": chosen} if chosen else None
