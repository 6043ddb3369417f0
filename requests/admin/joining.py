"""Join requests, invitation links and bans; and what this app adds to the pages of events and attendees."""

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, F, Q
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from unfold.decorators import display

from config.admin import (
    Act,
    DomainAdmin,
    Exportable,
    HistoryAdmin,
    ReadOnly,
    SafeResource,
    ScopedFilter,
    add_glance,
    after_save,
    extend,
)
from events.admin import OfEvent, card_annotations, local, person_header

from ..forms.joining import InvitationLinkForm, NoteForm, PlusOnesForm, ReasonForm
from ..models import PENDING_FIRST, Ban, InvitationLink, JoinRequest, Status
from ..operations import invitations, join_requests, removals

STATUS_COLOURS = {"pending": "warning", "approved": "success", "declined": "danger", "cancelled": "info"}


class JoinRequestResource(SafeResource):
    class Meta:
        model = JoinRequest
        fields = [
            "id",
            "event__title",
            "user_profile__first_name",
            "user_profile__last_name",
            "user_profile__email",
            "user_profile__phone",
            "owner_id",
            "status",
            "plus_ones",
            "comments",
            "created_at",
            "decided_at",
            "decided_by__email",
            "decision_note",
        ]
        export_order = fields


@admin.register(JoinRequest)
class JoinRequestAdmin(ReadOnly, Exportable, HistoryAdmin):
    """The organisers' desk. Status changes by the acts only, in the list or on the request's page."""

    resource_classes = [JoinRequestResource]
    list_display = ["who", "event", "state", "plus_ones", "comment", "age"]
    list_filter = ["status", ("event", ScopedFilter)]
    list_select_related = ["event", "user_profile"]
    search_fields = [
        "user_profile__first_name",
        "user_profile__last_name",
        "user_profile__email",
        "owner_id",
    ]
    ordering = [PENDING_FIRST.asc(), F("created_at").desc(), F("id").desc()]
    fieldsets = [
        (None, {"fields": [("user_profile", "event"), ("status", "plus_ones"), "comments"]}),
        (_("Decision"), {"fields": [("decided_at", "decided_by"), "decision_note", "held"]}),
        (_("Record"), {"fields": ["owner_id", ("created_at", "updated_at")]}),
    ]
    acts = (
        Act(
            name="approve",
            label=_("Approve"),
            operation=join_requests.approve,
            key="request_id",
            permission="requests.decide_joinrequest",
            done=_("approved"),
            already=_("were approved already"),
            available=lambda request: request.status in (Status.PENDING, Status.DECLINED),
            icon="check",
            tone="primary",
        ),
        Act(
            name="decline",
            label=_("Decline"),
            operation=join_requests.decline,
            key="request_id",
            permission="requests.decide_joinrequest",
            done=_("declined"),
            already=_("were declined already"),
            form=NoteForm,
            available=lambda request: request.status in Status.OPEN,
            icon="close",
            tone="danger",
        ),
        Act(
            name="reopen",
            label=_("Back to pending"),
            operation=join_requests.reopen,
            key="request_id",
            permission="requests.decide_joinrequest",
            done=_("back to pending"),
            already=_("were pending already"),
            available=lambda request: request.status in Status.DECIDED,
            icon="undo",
        ),
        Act(
            name="ban",
            label=_("Ban from the event"),
            operation=removals.ban_applicant,
            key="request_id",
            permission="requests.decide_joinrequest",
            done=_("banned from the event"),
            already=_("were banned already"),
            form=ReasonForm,
            help=_("They are removed, and can't come back by any way until the ban is lifted."),
            icon="block",
            tone="danger",
        ),
    )

    def zone_of(self, request, row):
        return row.event.zone if row else None

    @display(description=_("person"), header=True, ordering="user_profile__first_name")
    def who(self, request):
        return person_header(request.user_profile)

    @display(description=_("status"), label=STATUS_COLOURS, ordering="status")
    def state(self, request):
        return request.status, request.get_status_display()

    @display(description=_("comment"))
    def comment(self, request):
        return request.comments if len(request.comments) <= 80 else f"{request.comments[:79]}…"

    @display(description=_("age"), ordering="-created_at")
    def age(self, request):
        return timesince(request.created_at, depth=1)


@admin.register(InvitationLink)
class InvitationLinkAdmin(OfEvent, HistoryAdmin):
    list_display = ["label", "event", "used", "valid_until", "usable"]
    list_select_related = ["event", "guest"]
    search_fields = ["label"]
    fields = ["event", "guest", "label", "max_uses", "expires_at", "uses", "revoked_at", "address", "code"]
    readonly_fields = ["guest", "uses", "revoked_at", "address", "code"]
    acts = (
        Act(
            name="revoke",
            label=_("Revoke"),
            operation=invitations.revoke,
            key="link_id",
            permission="requests.revoke_invitationlink",
            done=_("revoked"),
            already=_("were revoked already"),
            available=lambda link: link.revoked_at is None,
            icon="link_off",
            tone="danger",
        ),
    )

    def get_form(self, request, obj=None, change=False, **kwargs):
        return super().get_form(request, obj, change=change, **kwargs | {"form": InvitationLinkForm})

    def get_fields(self, request, obj=None):
        fields = super().get_fields(request, obj)
        if obj and obj.guest_id:
            return ["for_one" if name == "max_uses" else name for name in fields]
        return [name for name in fields if name != "guest"]

    def get_readonly_fields(self, request, obj=None):
        """A personal one is for one person."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "for_one"] if obj and obj.guest_id else fields

    def save_model(self, request, obj, form, change):
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    @display(description=_("people let in"), ordering="uses")
    def used(self, link):
        return f"{link.uses} / {link.max_uses if link.max_uses is not None else '∞'}"

    @display(description=_("valid until"), ordering="expires_at")
    def valid_until(self, link):
        return local(link.expires_at, link.event.zone)

    @display(description=_("people at most"))
    def for_one(self, link):
        return link.max_uses

    @display(description=_("usable"), boolean=True)
    def usable(self, link):
        return link.is_valid

    @display(description=_("address to send them"))
    def address(self, link):
        """Of the page that lets in; a click on it chooses the whole."""
        if not link.pk or not link.event_id:
            return _("It is here as soon as the link is saved.")
        page = settings.SITE_URL + reverse("join_page", args=[link.event.slug])
        return format_html(
            '<input class="turnout-address" type="text" readonly value="{}" aria-label="{}" onfocus="this.select()">',
            f"{page}?{urlencode({'code': link.token})}",
            _("Address to send them"),
        )

    @display(description=_("the same as a code, for the app"))
    def code(self, link):
        return link.token if link.pk and link.event_id else "–"


@admin.register(Ban)
class BanAdmin(ReadOnly, DomainAdmin):
    """Made by banning a person from their request or attendee page; deleting one lifts the ban."""

    list_display = ["user_profile", "event", "reason", "banned_by", "created_at"]
    list_filter = [("event", ScopedFilter)]
    list_select_related = ["user_profile", "event", "banned_by"]
    search_fields = ["user_profile__first_name", "user_profile__last_name", "user_profile__email"]

    def has_delete_permission(self, request, obj=None):
        return self._may(request, "delete", obj)


extend(
    "attendance.Attendee",
    Act(
        name="plus_ones",
        label=_("Change plus-ones"),
        operation=removals.change_plus_ones,
        key="attendee_id",
        permission="attendance.manage_attendee",
        done=_("changed"),
        form=PlusOnesForm,
        available=lambda attendee: attendee.is_active,
        icon="group_add",
    ),
    Act(
        name="remove",
        label=_("Remove"),
        operation=removals.remove,
        key="attendee_id",
        permission="attendance.manage_attendee",
        done=_("removed"),
        already=_("were removed already"),
        form=ReasonForm,
        available=lambda attendee: attendee.is_active,
        icon="person_remove",
        tone="danger",
    ),
    Act(
        name="ban",
        label=_("Ban from the event"),
        operation=removals.ban,
        key="attendee_id",
        permission="attendance.manage_attendee",
        done=_("banned from the event"),
        already=_("were banned already"),
        form=ReasonForm,
        help=_("They are removed, and can't come back by any way until the ban is lifted."),
        icon="block",
        tone="danger",
    ),
)
extend(
    "messaging.EventGuest",
    Act(
        name="invite",
        label=_("Invite personally"),
        operation=invitations.invite,
        key="guest_id",
        permission="messaging.change_eventguest",
        done=ngettext_lazy(
            "link made, and sent to nobody: copy its address from the invitation's page",
            "links made, and sent to nobody: copy each address from the invitation's page, which the guest's leads to",
            "count",
        ),
        leads=True,
        already=_("have an invitation already"),
        available=lambda guest: not guest.is_removed and guest.attendee_id is None,
        icon="mail",
    ),
)
after_save("events.Event", join_requests.event_changed)


def requests_of_event(request, event):
    """Pending and approved, at a glance, on the event's page."""
    if not request.user.has_perm("requests.view_joinrequest", event):
        return []
    counts = dict(JoinRequest.objects.filter(event=event).order_by().values_list("status").annotate(number=Count("pk")))
    page = reverse("admin:requests_joinrequest_changelist") + f"?event__id__exact={event.pk}&status__exact="
    return [
        (status.label, counts.get(status, 0), f"{page}{status}")
        for status in (Status.PENDING, Status.APPROVED, Status.DECLINED)
    ]


add_glance("events.Event", requests_of_event)
card_annotations.append(
    lambda events: events.annotate(pending_count=Count("join_requests", filter=Q(join_requests__status=Status.PENDING)))
)


def invitations_of_guest(request, guest):
    """The personal links of a guest, the newest first, where one gets their address."""
    if not request.user.has_perm("requests.change_invitationlink", guest):
        return []
    return [
        (
            _("Personal invitation"),
            _("Good") if link.is_valid else _("Used") if link.uses else _("No longer valid"),
            reverse("admin:requests_invitationlink_change", args=[link.pk]),
        )
        for link in guest.invitation_links.all()[:3]
    ]


add_glance("messaging.EventGuest", invitations_of_guest)
