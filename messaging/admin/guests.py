"""The guest list, for organisers: who stands on it, who they are, and those whom staff must tell apart."""

import re
from functools import partial

from django.contrib import admin, messages
from django.db.models import Count, IntegerField, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _
from import_export.fields import Field
from unfold.decorators import display

from config.admin import Act, Exportable, HistoryAdmin, SafeResource, ScopedFilter, card
from events.admin import OfEvent, local, told_apart
from events.models import UserProfile

from ..forms.guests import EventGuestForm, LinkGuestForm
from ..models import EventGuest, LinkMethod, MessageDelivery, UserLinkAudit
from ..models.messages import filled
from ..operations import guests
from ..views import imports
from .deliveries import COLOURS as STATUS_COLOURS
from .deliveries import seen_by, why
from .deliveries import state_of as delivery_state
from .record import COLOURS as OUTCOME_COLOURS

SHOWN = 20
"""Attempts to link, and deliveries, on a guest's own page: the newest."""

LINK_STATES = {
    "linked": (_("Linked"), Q(user__isnull=False)),
    "ambiguous": (_("To be told apart"), Q(user=None, link_outcome="ambiguous", removed_at=None)),
    "unlinked": (
        _("Not linked"),
        Q(user=None) & (Q(link_outcome=None) | ~Q(link_outcome="ambiguous") | Q(removed_at__isnull=False)),
    ),
}
LINK_COLOURS = {"linked": "success", "ambiguous": "warning", "unlinked": "default"}


def link_state(guest) -> str:
    if guest.user_id is not None:
        return "linked"
    return "ambiguous" if guest.is_parked else "unlinked"


class LinkFilter(admin.SimpleListFilter):
    title, parameter_name = _("link"), "link"

    def lookups(self, request, model_admin):
        return [(key, label) for key, (label, _condition) in LINK_STATES.items()]

    def queryset(self, request, queryset):
        state = LINK_STATES.get(self.value())
        return queryset.filter(state[1]) if state else queryset


class RemovedFilter(admin.SimpleListFilter):
    title, parameter_name = _("removed"), "removed"

    def lookups(self, request, model_admin):
        return [("no", _("On the list")), ("yes", _("Removed"))]

    def queryset(self, request, queryset):
        return queryset.filter(removed_at__isnull=self.value() == "no") if self.value() in ("yes", "no") else queryset


class EventGuestResource(SafeResource):
    headings = SafeResource.headings | {
        "guest_name": _("Name"),
        "phone": _("Phone"),
        "email": _("E-mail"),
        "external_id": _("ID in the imported list"),
    }
    link = Field(column_name="link")
    removed = Field(column_name="removed")

    class Meta:
        model = EventGuest
        fields = ["guest_name", "email", "phone", "event__title", "link", "removed", "external_id"]
        export_order = fields

    def filter_export(self, queryset, **kwargs):
        return super().filter_export(queryset, **kwargs).select_related("event")

    def dehydrate_link(self, guest):
        return str(LINK_STATES[link_state(guest)][0])

    def dehydrate_removed(self, guest):
        return gettext("yes") if guest.is_removed else gettext("no")


def link(name, label, available) -> Act:
    """The same under the name that fits whoever is linked already."""
    return Act(
        name=name,
        label=label,
        operation=guests.link,
        key="guest_id",
        permission="messaging.link_eventguest",
        done=_("linked"),
        already=_("were linked so already"),
        form=LinkGuestForm,
        of_row=True,
        ask=guests.ask_link,
        available=available,
        icon="link",
        tone="primary",
    )


@admin.register(EventGuest)
class EventGuestAdmin(Exportable, OfEvent, HistoryAdmin):
    """Who a guest is, acts say; the database finds whoever has verified their e-mail or phone."""

    form = EventGuestForm
    resource_classes = [EventGuestResource]
    list_display = ["who", "event", "phone", "link", "messages_count", "gone"]
    list_filter = [("event", ScopedFilter), LinkFilter, RemovedFilter]
    search_fields = ["guest_name", "email"]
    search_help_text = _("Name, e-mail or phone")
    list_before_template = "admin/guest_links.html"
    change_form_template = "admin/guest_form.html"
    change_form_after_template = "admin/guest_record.html"
    ordering = ["guest_name", "pk"]
    fieldsets = [
        (None, {"fields": ["event", "guest_name", "phone", "email"]}),
        (_("Link"), {"fields": [("link_words", "whose"), ("decided_by", "linked_through"), "since"]}),
        (_("Record"), {"fields": [("external_id", "removed"), ("added", "updated")]}),
    ]
    readonly_fields = ["link_words", "whose", "decided_by", "linked_through", "since"]
    readonly_fields += ["external_id", "removed", "added", "updated"]
    acts = (
        link("link", _("Link to a person"), lambda guest: not guest.is_removed and guest.user_id is None),
        link("relink", _("Link to somebody else"), lambda guest: not guest.is_removed and guest.user_id is not None),
        Act(
            name="unlink",
            label=_("Unlink"),
            operation=guests.unlink,
            key="guest_id",
            permission="messaging.link_eventguest",
            done=_("unlinked"),
            already=_("weren't linked"),
            confirm=guests.ask_unlink_all,
            ask=guests.ask_unlink,
            available=lambda guest: guest.user_id is not None,
            icon="link_off",
        ),
        Act(
            name="remove",
            label=_("Remove from the list"),
            operation=guests.remove,
            key="guest_id",
            permission="messaging.change_eventguest",
            done=_("removed from the list"),
            already=_("were removed already"),
            available=lambda guest: not guest.is_removed,
            icon="person_remove",
            tone="danger",
        ),
        Act(
            name="restore",
            label=_("Bring back"),
            operation=guests.restore,
            key="guest_id",
            permission="messaging.change_eventguest",
            done=ngettext_lazy("is on the list again", "are on the list again", "count"),
            already=_("were on the list already"),
            available=lambda guest: guest.is_removed,
            icon="undo",
        ),
    )

    def get_urls(self):
        page = self.admin_site.admin_view(partial(imports.import_guests, model_admin=self))
        return [path("import/", page, name="messaging_eventguest_import"), *super().get_urls()]

    def act_view(self, request, object_id, name):
        """A link says also how many messages went along with it."""
        before = self._row_or_404(request, object_id)
        response = super().act_view(request, object_id, name)
        if name in ("link", "relink") and request.method == "POST":
            guest = EventGuest.objects.get(pk=before.pk)
            if guest.user_id and guest.user_id != before.user_id and (count := guests.messages_of(guest)):
                words = ngettext("{} message is theirs now.", "{} messages are theirs now.", count)
                messages.info(request, words.format(count))
        return response

    def changelist_view(self, request, extra_context=None):
        links = {"may_import": request.user.has_perm("messaging.add_eventguest")}
        return super().changelist_view(request, links | (extra_context or {}))

    def get_queryset(self, request):
        sent = MessageDelivery.objects.filter(guest=OuterRef("pk"), withdrawn_at=None).order_by()
        counted = sent.values("guest").annotate(count=Count("message", distinct=True)).values("count")
        return (
            super()
            .get_queryset(request)
            .annotate(
                sees_user=seen_by(request.user),
                sees_linker=seen_by(request.user, "linked_by"),
                sent_count=Coalesce(Subquery(counted, output_field=IntegerField()), 0),
            )
        )

    def get_search_results(self, request, queryset, search_term):
        """A phone is found by its digits, however they are grouped; a national 0 in front doesn't count."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        digits = re.sub(r"[\s().\-/+]", "", search_term)
        if digits.isdecimal() and len(digits) >= 3:
            found |= queryset.filter(phone__contains=digits.lstrip("0") or digits)
        return found, duplicates

    def get_fieldsets(self, request, obj=None):
        return self.fieldsets if obj else self.fieldsets[:1]

    def get_readonly_fields(self, request, obj=None):
        """Who was removed is brought back first."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "guest_name", "phone", "email"] if obj and obj.is_removed else fields

    def save_model(self, request, obj, form, change):
        names = {"guest_name", "phone", "email"}.intersection(form.changed_data)
        new = {name: getattr(obj, name) for name in ("guest_name", "phone", "email") if name in names or not change}
        if not change:
            made = guests.add(event_id=obj.event_id, **new, actor=request.user, knowing=form.knowing)
            obj.pk, obj.link_outcome, obj.user_id = made.pk, made.link_outcome, made.user_id
        else:
            guests.change(guest_id=obj.pk, changes=new, actor=request.user, seen=form.seen, knowing=form.knowing)
            if obj.user_id and names - {"guest_name"}:
                sentence = gettext("{} stays linked as before. Unlink them if that was somebody else.")
                messages.warning(request, sentence.format(obj.guest_name))
        if new.keys() - {"guest_name"} and not (obj.phone or obj.email):
            sentence = gettext("{} has neither e-mail nor phone: messages reach them in the app only, once linked.")
            messages.warning(request, sentence.format(obj.guest_name))
        if new.get("phone") and not guests.is_of_known_area(obj.phone):
            messages.warning(request, gettext("{} is of no known area: is it right?").format(obj.phone))

    def set_history_delta_changes(self, request, historical_records, foreign_keys_are_objs=True):
        """The history names no account: who may see it, the link's own record says."""
        super().set_history_delta_changes(request, historical_records, foreign_keys_are_objs=False)
        hidden = {EventGuest._meta.get_field(name).verbose_name for name in ("user", "attendee", "linked_by")}
        for record in historical_records:
            changes = getattr(record, "history_delta_changes", [])
            record.history_delta_changes = [one for one in changes if one["field"] not in hidden]

    # -- columns -------------------------------------------------------------------------------------

    @display(description=_("guest"), header=True, ordering="guest_name")
    def who(self, guest):
        initials = "".join(word[0] for word in guest.guest_name.split()[:2]).upper()
        return [guest.guest_name, guest.email or "", initials]

    @display(description=_("link"), label=LINK_COLOURS)
    def link(self, guest):
        state = link_state(guest)
        return state, LINK_STATES[state][0]

    @display(description=_("messages"))
    def messages_count(self, guest):
        return guest.sent_count

    @display(description=_("link"))
    def link_words(self, guest):
        if guest.user_id is None and guest.link_method == LinkMethod.MANUAL:
            return _("Not linked: somebody decided so, and it stays until somebody links them")
        return LINK_STATES[link_state(guest)][0]

    @display(description=_("removed"), label={"removed": "danger"})
    def gone(self, guest):
        return ("removed", _("Removed")) if guest.is_removed else None

    @display(description=_("removed"))
    def removed(self, guest):
        return local(guest.removed_at, guest.event.zone)

    @display(description=_("person"))
    def whose(self, guest):
        if guest.user_id is None:
            return "–"
        return str(guest.user) if guest.sees_user else guests.masked(guest, guest.user)

    @display(description=_("decided by"))
    def decided_by(self, guest):
        if guest.user_id is None and not guest.is_parked and guest.link_method != LinkMethod.MANUAL:
            return "–"
        return guest.get_link_method_display() or "–"

    @display(description=_("by"))
    def linked_through(self, guest):
        if guest.linked_by_id is None:
            return "–"
        return str(guest.linked_by) if guest.sees_linker else _("a colleague")

    @display(description=_("link changed"))
    def since(self, guest):
        return local(guest.linked_at, guest.event.zone)

    @display(description=_("added"))
    def added(self, guest):
        return local(guest.created_at, guest.event.zone)

    @display(description=_("updated"))
    def updated(self, guest):
        return local(guest.updated_at, guest.event.zone)

    # -- the guest's page --------------------------------------------------------------------------------

    def render_change_form(self, request, context, add=False, change=False, form_url="", obj=None):
        if obj is not None and not self.shows_history:
            context |= {"attempts": self._attempts(request, obj), "deliveries": self._deliveries(obj)}
            if obj.is_parked and request.user.has_perm("messaging.link_eventguest", obj):
                context["fits"] = self._fits(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @staticmethod
    def _attempts(request, guest):
        """Of the guest alone: those of deliveries stand with them."""
        rows = UserLinkAudit.objects.filter(guest=guest, table_name="event_guests").order_by("-pk")
        rows = rows.annotate(sees_user=seen_by(request.user), sees_actor=seen_by(request.user, "actor"))
        return [
            {
                "at": local(row.created_at, guest.event.zone),
                "state": (OUTCOME_COLOURS[row.outcome], row.get_outcome_display()),
                "method": row.get_method_display() or "–",
                "whose": _account(guest, row.user, row.sees_user),
                "by": "–" if row.actor is None else str(row.actor) if row.sees_actor else gettext("a colleague"),
            }
            for row in rows.select_related("user", "actor")[:SHOWN]
        ]

    @staticmethod
    def _fits(request, guest):
        """Why nobody but a person can say who they are: the accounts, and the other guests that fit each."""
        seen = UserProfile.objects.of_staff(request.user)
        accounts = []
        for person in guests.fitting(guest)[:SHOWN]:
            words = guests.masked(guest, person)
            named = seen.filter(pk=person.pk).exists()
            accounts.append(
                {
                    "words": f"{told_apart(person)} · {words}" if named else capfirst(words),
                    "others": guests.alike(guest, person)[: SHOWN + 1],
                }
            )
        return {"accounts": accounts, "shared": any(one["others"] for one in accounts)}

    @staticmethod
    def _deliveries(guest):
        rows = MessageDelivery.objects.filter(guest=guest).select_related("message", "guest").order_by("-pk")[:SHOWN]
        return [
            {
                "row": row,
                "title": filled(str(row.message), name=guest.guest_name, event=guest.event.title),
                "at": local(row.created_at, guest.event.zone),
                "state": (STATUS_COLOURS[delivery_state(row)[0]], delivery_state(row)[1]),
                "link": why(row) if row.user_id is None else gettext("has a person"),
            }
            for row in rows
        ]


def _account(guest, person, seen) -> str:
    if person is None:
        return "–"
    return str(person) if seen else guests.masked(guest, person)


@card
def guests_to_tell_apart(request):
    """Guests who fit several people, or share one: nobody else will say who they are."""
    if not request.user.has_perm("messaging.link_eventguest"):
        return None
    parked = EventGuest.objects.parked().of_staff(request.user, guests.STAFF)
    by_event = parked.order_by().values("event", "event__title").annotate(count=Count("pk")).order_by("-count", "event")
    rows = list(by_event[:10])
    if not rows:
        return None
    page = reverse("admin:messaging_eventguest_changelist") + "?link=ambiguous&removed=no"
    return {
        "template": "admin/card_guests.html",
        "rows": [row | {"url": f"{page}&event__id__exact={row['event']}"} for row in rows],
        "url": page,
    }
