"""Attendees, for organisers; door staff see the few columns that the door needs."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from config.admin import Act, Exportable, HistoryAdmin, ReadOnly, SafeResource, ScopedFilter
from events.admin import person_header
from events.models.people import Role

from .models import Attendee
from .operations import room


class AttendeeResource(SafeResource):
    class Meta:
        model = Attendee
        fields = [
            "user_profile__first_name",
            "user_profile__last_name",
            "user_profile__email",
            "owner_id",
            "event__title",
            "status",
            "source",
            "plus_ones",
            "visibility_enabled",
            "goals",
            "looking_for",
            "company_website",
            "created_at",
        ]
        export_order = fields


@admin.register(Attendee)
class AttendeeAdmin(ReadOnly, Exportable, HistoryAdmin):
    """A ledger: people come in and go by acts only."""

    resource_classes = [AttendeeResource]
    list_display = ["who", "event", "state", "plus_ones", "source", "shown_in_room", "created_at"]
    list_filter = [("event", ScopedFilter), "status", "source"]
    list_select_related = ["event", "user_profile"]
    search_fields = ["user_profile__first_name", "user_profile__last_name", "user_profile__email", "owner_id"]
    fieldsets = [
        (None, {"fields": [("user_profile", "event"), ("status", "source"), "plus_ones", "join_request"]}),
        (_("Looking for"), {"fields": ["goals", "looking_for", "rsvp_contact", "company_website"]}),
        (_("In the room"), {"fields": [("visibility_enabled", "hidden_at"), "notifications_enabled"]}),
        (_("Record"), {"fields": ["owner_id", ("created_at", "updated_at")]}),
    ]
    acts = (
        Act(
            name="hide",
            label=_("Hide from the room"),
            operation=room.hide,
            key="attendee_id",
            permission="attendance.manage_attendee",
            done=_("hidden from the room"),
            already=_("were hidden already"),
            available=lambda attendee: attendee.is_active and not attendee.hidden_at,
            icon="visibility_off",
        ),
        Act(
            name="show",
            label=_("Show in the room"),
            operation=room.show,
            key="attendee_id",
            permission="attendance.manage_attendee",
            done=_("shown again, if they want to be seen"),
            already=_("weren't hidden"),
            available=lambda attendee: bool(attendee.hidden_at),
            icon="visibility",
        ),
    )

    # -- the door sees name, photo, plus-ones and status, nothing that searches or records more ----

    @staticmethod
    def _sees_all(request):
        return request.user.has_any_role(Role.LOOK)

    def get_queryset(self, request):
        """Somebody who looks after one organisation and does the door of another sees each accordingly:
        in the list, rows of the organisations they look after, unless they only do doors."""
        rows = super().get_queryset(request)
        return rows.of_staff(request.user, Role.LOOK) if self._sees_all(request) else rows

    def get_list_display(self, request):
        return self.list_display if self._sees_all(request) else ["door_who", "event", "state", "plus_ones"]

    def get_fieldsets(self, request, obj=None):
        if self._sees_all(request):
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": ["door_who", "event", "status", "plus_ones"]})]

    def get_readonly_fields(self, request, obj=None):
        return [*super().get_readonly_fields(request, obj), "door_who"]

    def get_search_fields(self, request):
        return self.search_fields if self._sees_all(request) else self.search_fields[:2]

    def has_view_history_permission(self, request, obj=None):
        return self._sees_all(request) and self.has_view_permission(request, obj)

    def has_export_permission(self, request):
        return self._sees_all(request)

    @display(description=_("attendee"), header=True, ordering="user_profile__first_name")
    def who(self, attendee):
        return person_header(attendee.user_profile)

    @display(description=_("attendee"), header=True, ordering="user_profile__first_name")
    def door_who(self, attendee):
        return person_header(attendee.user_profile, contact=False)

    @display(description=_("status"), label={"active": "success", "removed": "danger"}, ordering="status")
    def state(self, attendee):
        return attendee.status, attendee.get_status_display()

    @display(description=_("visible"), boolean=True)
    def shown_in_room(self, attendee):
        return attendee.visibility_enabled and attendee.hidden_at is None
