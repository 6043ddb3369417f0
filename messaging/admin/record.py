"""How links came about, the switches that rule them, how the channels do, and who wants nothing more."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from waffle.models import Flag, Sample, Switch

from config.admin import DomainAdmin, ReadOnly, ScopedFilter
from config.celery import start

from .. import channels
from ..models import (
    FALLBACK_TO_USERS,
    LINK_BY_PHONE,
    Channel,
    ChannelState,
    LinkOutcome,
    MessageDelivery,
    OptOut,
    UserLinkAudit,
)
from ..models.audit import SWITCHES
from .deliveries import account, because, how, seen_by
from .words import moment, zone_of

COLOURS = {
    LinkOutcome.LINKED.value: "success",
    LinkOutcome.BACKFILLED.value: "success",
    LinkOutcome.NO_MATCH.value: "default",
    LinkOutcome.SKIPPED.value: "info",
    LinkOutcome.AMBIGUOUS.value: "warning",
    LinkOutcome.ERROR.value: "danger",
}
TABLES = {"event_guests": gettext_lazy("Guest"), "message_deliveries": gettext_lazy("Delivery")}


@admin.register(UserLinkAudit)
class UserLinkAuditAdmin(ReadOnly, DomainAdmin):
    """Every attempt to say whose a guest or a delivery is, the newest first; never counted, as they may be millions."""

    paginator = InfinitePaginator
    list_display = ["what", "event", "state", "how", "why", "whose", "by", "at"]
    list_filter = [("event", ScopedFilter), "outcome", "method", "table_name"]
    list_select_related = ["event", "guest", "user", "actor"]
    search_fields = ["guest__guest_name"]
    search_help_text = gettext_lazy("The guest's name")
    ordering = ["-pk"]
    sortable_by = ()
    fieldsets = [
        (None, {"fields": [("name", "event"), ("outcome", "how"), "why", "whose"]}),
        (gettext_lazy("Record"), {"fields": [("at", "by"), ("db_user", "record_id")]}),
    ]
    readonly_fields = ["name", "how", "why", "whose", "by", "at"]
    at = moment("created_at", gettext_lazy("recorded"))

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        known = Q(phone_number__isnull=False) | Q(guest__phone__isnull=False)
        called = MessageDelivery.objects.filter(known, pk=OuterRef("record_id"))
        return rows.annotate(
            sees_user=seen_by(request.user), sees_actor=seen_by(request.user, "actor"), has_number=Exists(called)
        )

    def zone_of(self, request, row):
        return zone_of(row) if row else None

    @display(description=gettext_lazy("guest"), header=True)
    def what(self, row):
        return [row.guest.guest_name if row.guest else "–", str(TABLES.get(row.table_name, row.table_name))]

    @display(description=gettext_lazy("guest"))
    def name(self, row):
        return row.guest.guest_name if row.guest else "–"

    @display(description=gettext_lazy("outcome"), label=COLOURS)
    def state(self, row):
        return row.outcome, row.get_outcome_display()

    @display(description=gettext_lazy("decided by"))
    def how(self, row):
        method = row.get_method_display()
        if row.table_name == "event_guests":  # an unlinked one too: somebody did that
            return method or "–"
        return how(row.outcome, row.details.get("case"), method) or "–"

    @display(description=gettext_lazy("because"))
    def why(self, row):
        number = row.has_number or row.table_name == "event_guests"
        return because(row.details.get("case"), number=number) or "–"

    @display(description=gettext_lazy("person"))
    def whose(self, row):
        return account(row) or "–"

    @display(description=gettext_lazy("by"))
    def by(self, row):
        if row.actor_id is None:
            return _("the database")
        return (row.actor.get_full_name() or str(row.actor)) if row.sees_actor and row.actor else _("an account")


class ForOperators(DomainAdmin):
    """What belongs to no organisation: for superusers."""

    def get_queryset(self, request):
        rows = self.model._default_manager.get_queryset()
        return rows if request.user.is_superuser else rows.none()


# -- Switches ------------------------------------------------------------------------------------

for model in (Flag, Sample, Switch):  # waffle's own pages, which anybody's notes and new names would fill
    if admin.site.is_registered(model):
        admin.site.unregister(model)

MEANING = {
    LINK_BY_PHONE: gettext_lazy(
        "On: guests and deliveries find their person by phone number. Off: only a guest's own link counts; "
        "what comes in meanwhile is recorded as skipped, and follows its guest once they are linked."
    ),
    FALLBACK_TO_USERS: gettext_lazy(
        "On: a delivery whose number no linked guest has goes to the one account that has verified it. "
        "Off: such deliveries belong to nobody until their guest is linked."
    ),
}


@admin.register(Switch)
class SwitchAdmin(ForOperators):
    """The switches that the triggers read: turned here, they act at once."""

    list_display = ["name", "is_on", "usually", "meaning"]
    fields = ["name", "active", "meaning", "usually", "modified"]
    readonly_fields = ["name", "meaning", "usually", "modified"]
    sortable_by = ()

    def get_queryset(self, request):
        return super().get_queryset(request).filter(name__in=SWITCHES).order_by("name")

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @display(description=gettext_lazy("state"), label={"usual": "success", "unusual": "warning"})
    def is_on(self, switch):
        usual = switch.active == SWITCHES[switch.name][0]
        return "usual" if usual else "unusual", _("On") if switch.active else _("Off")

    @display(description=gettext_lazy("usually"))
    def usually(self, switch):
        return _("on") if SWITCHES[switch.name][0] else _("off")

    @display(description=gettext_lazy("what it does"))
    def meaning(self, switch):
        return MEANING[switch.name]


# -- Channels ------------------------------------------------------------------------------------


@admin.register(ChannelState)
class ChannelStateAdmin(ReadOnly, ForOperators):
    """One page: which channels are on, which wait for their provider, and since when."""

    def get_urls(self):
        again = self.admin_site.admin_view(require_POST(self.try_again))
        return [path("<slug:channel>/try-again/", again, name=self._route("try_again")), *super().get_urls()]

    def changelist_view(self, request, extra_context=None):
        if not self.has_view_permission(request):
            raise PermissionDenied
        states, off, now = ChannelState.objects.in_bulk(), channels.off_reasons(), timezone.now()
        rows = []
        for channel in Channel:
            state = states.get(channel) or ChannelState(channel=channel)
            paused = state.paused_until is not None and state.paused_until > now
            rows.append({"channel": channel, "off": off.get(channel), "paused": paused, "state": state})
        context = self.admin_site.each_context(request) | {
            "title": _("Channels"),
            "opts": self.opts,
            "rows": rows,
        }
        return TemplateResponse(request, "admin/channels.html", context)

    def try_again(self, request, channel):
        if not request.user.is_superuser:
            raise PermissionDenied
        if channel not in Channel.values:
            raise Http404
        ChannelState.objects.filter(channel=channel).update(paused_until=None)
        start("messaging.tasks.run", channel)
        messages.success(request, _("{}: tried again now.").format(Channel(channel).label))
        return HttpResponseRedirect(reverse("admin:messaging_channelstate_changelist"))


@admin.register(OptOut)
class OptOutAdmin(ReadOnly, ForOperators):
    """Addresses that want nothing more; their owners come and go by the link in the e-mail, or by STOP and START."""

    paginator = InfinitePaginator
    list_display = ["address", "channel", "scope", "source", "created_at"]
    list_filter = ["channel", "source"]
    list_select_related = ["event"]
    search_fields = ["address"]
    fields = ["address", "channel", "scope", "source", "created_at"]
    readonly_fields = ["scope"]
    sortable_by = ()

    @display(description=gettext_lazy("of"))
    def scope(self, row):
        return str(row.event) if row.event else _("everything")
