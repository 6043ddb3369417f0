"""Deliveries: what reached whom, whose it is, and what becomes of those that didn't arrive."""

from functools import partial

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from import_export.fields import Field
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from config.admin import Act, DomainAdmin, Exportable, ReadOnly, SafeResource, ScopedFilter
from events.models import UserProfile

from ..models import DeliveryStatus, LinkOutcome, MessageDelivery
from ..operations import announcements
from .words import moment, title_of, zone_of

COLOURS = {
    DeliveryStatus.QUEUED.value: "default",
    DeliveryStatus.SENDING.value: "primary",
    DeliveryStatus.SENT.value: "info",
    DeliveryStatus.DELIVERED.value: "success",
    DeliveryStatus.FAILED.value: "danger",
    DeliveryStatus.BOUNCED.value: "danger",
    DeliveryStatus.UNKNOWN.value: "warning",
}
CASES = {
    "given": _("sent to this account"),
    "own_link": _("the guest is linked to an account"),
    "followed": _("went along when the guest's link was changed"),
    "removed": _("the guest was removed from the list"),
    "nobody": _("no phone number to go by"),
    "phone_off": _("linking by phone is switched off"),
    "guests": _("several guests share this number"),
    "guest_phone": _("another guest with this number is linked"),
    "fallback_off": _("no linked guest has this number"),
    "accounts": _("several accounts have this number"),
    "account": _("one account has verified this number"),
    "no_account": _("nobody has verified this number"),
}
"""What decided whose a delivery is (messaging/triggers), in words."""
OF_PHONES = frozenset({"phone_off", "fallback_off", "no_account"})
"""Those that tell why a number led to nobody."""
NO_NUMBER = _("not linked, and no number to go by")


def because(case, number=True) -> str:
    """``number``: whether there was a phone number that could have decided."""
    if not case:
        return ""
    if not number and case in OF_PHONES:
        return str(NO_NUMBER)
    return str(CASES.get(case) or _("linking failed ({})").format(case))


def why(delivery) -> str:
    number = delivery.phone_number or (delivery.guest and delivery.guest.phone)
    return because(delivery.link_case, number=bool(number))


def seen_by(person, column="user"):
    """Whether the viewer may see the account of a row: an annotation, so that a list asks once."""
    return Exists(UserProfile.objects.of_staff(person).filter(pk=OuterRef(column)))


def account(row) -> str:
    """The row's person by name, for whom it may be; else that there is one."""
    if row.user_id is None:
        return ""
    if getattr(row, "sees_user", False) and row.user is not None:
        return row.user.get_full_name() or str(row.user)
    return str(_("an account"))


class DeliveryResource(SafeResource):
    headings = SafeResource.headings | {"message__subject": _("Message"), "error": _("Reason")}
    who = Field(column_name="who")
    address = Field(column_name="address")
    channel = Field(column_name="channel")
    status = Field(column_name="status")
    whose = Field(column_name="whose")
    sent = Field(column_name="sent")
    time_zone = Field(column_name="time_zone")

    class Meta:
        model = MessageDelivery
        fields = [
            "message__subject",
            "event__title",
            "who",
            "channel",
            "address",
            "status",
            "error",
            "attempts",
            "whose",
            "sent",
            "time_zone",
        ]
        export_order = fields

    def dehydrate_who(self, row):
        return name_of(row)

    def dehydrate_address(self, row):
        return address_of(row)

    def dehydrate_channel(self, row):
        return row.get_channel_display()

    def dehydrate_status(self, row):
        return str(state_of(row)[1])

    def dehydrate_whose(self, row):
        return ": ".join(filter(None, [account(row) or str(_("nobody yet")), why(row)]))

    def dehydrate_sent(self, row):
        return row.sent_at.astimezone(zone_of(row)).strftime("%Y-%m-%d %H:%M") if row.sent_at else ""

    def dehydrate_time_zone(self, row):
        return str(zone_of(row))


def name_of(row) -> str:
    """Whom it is for: the guest as the list names them, or the person whom the system writes to."""
    if row.guest is not None:
        return row.guest.guest_name
    return account(row)


def address_of(row) -> str:
    return row.email or row.phone_number or ""


def state_of(row) -> tuple[str, str]:
    """A key for the colour, and how the delivery is in words."""
    if row.withdrawn_at and row.status == DeliveryStatus.QUEUED:
        return DeliveryStatus.UNKNOWN, _("Held: the message is stopped")
    if row.withdrawn_at:
        return DeliveryStatus.FAILED, _("Taken back")
    return row.status, row.get_status_display()


def how(outcome, case, method) -> str:
    """What decided whose a delivery is; empty where nothing did."""
    return str(HOW.get(case) or method or "") if outcome in DECIDED else ""


DECIDED = (LinkOutcome.LINKED, LinkOutcome.BACKFILLED, LinkOutcome.AMBIGUOUS)
HOW = {"given": _("Sent to an account"), "followed": _("With the guest's link")}
"""Cases that say more than the method that they are on record with."""


def unknown_among(rows) -> str | None:
    """Who might get it twice."""
    unknown = sum(row.status == DeliveryStatus.UNKNOWN for row in rows)
    if not unknown:
        return None
    return str(
        ngettext_lazy(
            "Of %d of them nobody knows whether it arrived: that person may get it twice.",
            "Of %d of them nobody knows whether it arrived: those people may get it twice.",
        )
        % unknown
    )


def _can_go_again(row) -> bool:
    return row.status in DeliveryStatus.WRONG and not row.withdrawn_at and not row.message.stopped_at


def several_unknown(rows, *, arrived) -> str | None:
    """Of how many one says it at once; of a single one, its page has said what there is to know."""
    if len(rows) < 2:
        return None
    if arrived:
        words = ngettext_lazy("%d delivery is noted as sent.", "%d deliveries are noted as sent.")
    else:
        words = ngettext_lazy("%d delivery is noted as failed.", "%d deliveries are noted as failed.")
    return str(words % sum(row.status == DeliveryStatus.UNKNOWN for row in rows))


def settle(name, label, arrived, done, icon) -> Act:
    return Act(
        name=name,
        label=label,
        operation=announcements.settle,
        key="delivery_id",
        permission="messaging.send_messagedelivery",
        fixed={"arrived": arrived},
        done=done,
        available=lambda row: row.status == DeliveryStatus.UNKNOWN,
        confirm=partial(several_unknown, arrived=arrived),
        icon=icon,
    )


@admin.register(MessageDelivery)
class MessageDeliveryAdmin(ReadOnly, Exportable, DomainAdmin):
    """Only looked at; what went wrong can be sent again, and what is unknown decided."""

    resource_classes = [DeliveryResource]
    paginator = InfinitePaginator
    list_disable_select_all = True  # nobody has counted them
    list_display = ["who", "of_message", "channel", "state", "reason", "whose", "changed"]
    list_filter = [("event", ScopedFilter), ("message", ScopedFilter), "status", "channel", "link_outcome"]
    list_select_related = ["event", "message", "guest", "user"]
    search_fields = ["guest__guest_name", "email", "phone_number"]
    search_help_text = _("Name, e-mail address or number")
    ordering = ["-pk"]
    sortable_by = ()
    fieldsets = [
        (None, {"fields": [("name", "address"), ("of_message", "event"), ("channel", "state_words"), "reason"]}),
        (_("Whose it is"), {"fields": ["whose", ("link_outcome", "decided_by"), "link_changed"]}),
        (
            _("On its way"),
            {"fields": [("made", "sent"), ("delivered", "read"), ("attempts", "next_try"), "provider_id", "withdrawn"]},
        ),
    ]
    readonly_fields = [
        "name",
        "address",
        "of_message",
        "state_words",
        "reason",
        "whose",
        "decided_by",
        "link_changed",
        "made",
        "sent",
        "delivered",
        "read",
        "next_try",
        "withdrawn",
    ]
    changed = moment("updated_at", _("changed"))
    made = moment("created_at", _("made"))
    sent = moment("sent_at", _("sent"))
    delivered = moment("delivered_at", _("delivered"))
    read = moment("read_at", _("read"))
    link_changed = moment("linked_at", _("link changed"))
    acts = (
        Act(
            name="retry",
            label=_("Send again"),
            operation=announcements.retry,
            key="delivery_id",
            permission="messaging.send_messagedelivery",
            done=ngettext_lazy("delivery waits to be sent again", "deliveries wait to be sent again", "count"),
            already=_("were waiting already"),
            available=lambda row: (
                row.status in DeliveryStatus.WRONG and not row.withdrawn_at and not row.message.stopped_at
            ),
            confirm=unknown_among,
            form=forms.Form,
            help=_(
                "To the address that they have by now. Where nobody knows whether it arrived, they may get it twice."
            ),
            icon="replay",
            tone="primary",
        ),
        settle("arrived", _("It arrived"), True, _("noted as sent"), "done_all"),
        settle("leave_failed", _("Leave it failed"), False, _("noted as failed"), "close"),
    )

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(sees_user=seen_by(request.user))

    def get_search_results(self, request, queryset, search_term):
        """A person's name too, where the delivery isn't a guest's and names them."""
        found, distinct = super().get_search_results(request, queryset, search_term)
        named = Q()
        for word in search_term.split():
            named &= Q(user__first_name__icontains=word) | Q(user__last_name__icontains=word)
        if named:
            found = found | queryset.filter(named, guest=None, sees_user=True)
        return found, distinct

    def zone_of(self, request, row):
        return zone_of(row) if row else None

    @display(description=_("to"), header=True)
    def who(self, row):
        return [name_of(row), address_of(row)]

    @display(description=_("to"))
    def name(self, row):
        return name_of(row) or "–"

    @display(description=_("address"))
    def address(self, row):
        return address_of(row) or "–"

    @display(description=_("message"))
    def of_message(self, row):
        return title_of(row.message, row.event)

    @display(description=_("status"), label=COLOURS)
    def state(self, row):
        return state_of(row)

    @display(description=_("status"))
    def state_words(self, row):
        return state_of(row)[1]

    @display(description=_("reason"))
    def reason(self, row):
        return row.error or "–"

    @display(description=_("whose it is"))
    def whose(self, row):
        return f"{account(row) or _('nobody yet')}: {why(row)}" if row.link_case else "–"

    @display(description=_("decided by"))
    def decided_by(self, row):
        return how(row.link_outcome, row.link_case, row.get_link_method_display()) or "–"

    @display(description=_("taken back"))
    def withdrawn(self, row):
        return "–" if row.status == DeliveryStatus.QUEUED else moment("withdrawn_at", "")(self, row)

    @display(description=_("next try"))
    def next_try(self, row):
        if row.status != DeliveryStatus.QUEUED or row.withdrawn_at:
            return "–"
        return moment("next_attempt_at", "")(self, row)
