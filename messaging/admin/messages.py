"""An organiser's message: written, looked at, sent or scheduled, and watched until the last has it."""

from functools import partial
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib import messages as told
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, IntegerField, OuterRef, Q, Subquery, Value, When
from django.http import Http404, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy
from django.views.decorators.http import require_http_methods, require_safe
from unfold.decorators import display

from config.admin import Act, Gathering, HistoryAdmin, ScopedFilter, add_glance, gather, roles_for
from config.errors import DomainError, lock
from events.admin import local
from events.models import Event

from .. import audiences, channels
from ..forms.messages import PREVIEW, message_form, pickable, picked_label
from ..models import Channel, DeliveryStatus, EventGuest, Kind, Message, MessageDelivery
from ..operations import announcements
from .preview import preview_of
from .watching import watched
from .words import (
    COLOURS,
    audience_in_full,
    audience_of,
    called_off,
    counted,
    figure,
    named,
    state_of,
    title_of,
    two_lines,
    zone_of,
)

Status = Message.Status


def act(name, label, operation, done, available, **more) -> Act:
    return Act(
        name=name,
        label=label,
        operation=operation,
        key="message_id",
        permission="messaging.send_message",
        done=done,
        available=available,
        **more,
    )


def _is_sending(message):
    return message.kind == Kind.ANNOUNCEMENT and message.status == Status.SENDING and not message.stopped_at


def _is_stopped(message):
    return message.status == Status.SENDING and bool(message.stopped_at)


def rest_of(messages) -> str:
    """What would be taken back, in numbers."""
    said = numbers_of(
        announcements.waiting([one.pk for one in messages if _is_stopped(one)]),
        ngettext_lazy(
            "%(shown)s delivery will never leave: %(over)s.",
            "%(shown)s deliveries will never leave: %(over)s.",
            "count",
        ),
        len(messages) > 1,
    )
    if not said and all(one.fanned_out_at for one in messages):
        return _("No delivery waits: whatever there is has left, or failed.")
    return said or _("No delivery has been made yet: nobody gets it.")


def failed_of(messages) -> str | None:
    """What would be sent again, in numbers."""
    return numbers_of(
        announcements.failed([one.pk for one in messages if _can_try_again(one)]),
        ngettext_lazy(
            "%(shown)s delivery goes out again: %(over)s.", "%(shown)s deliveries go out again: %(over)s.", "count"
        ),
        len(messages) > 1,
    )


def numbers_of(deliveries, words, several) -> str | None:
    """How many deliveries, of which channels; of several messages, of how many. None where there are none."""
    by = dict(deliveries.order_by().values_list("channel").annotate(number=Count("pk")))
    if not by:
        return None
    count, over = sum(by.values()), counted(by)
    if several:
        of = deliveries.order_by().values("message").distinct().count()
        over = ngettext("{} (of {} message)", "{} (of {} messages)", of).format(over, figure(of))
    return str(words % {"count": count, "shown": figure(count), "over": over})


def _can_try_again(message) -> bool:
    return message.status in Status.OUT and not message.stopped_at


class KindFilter(admin.SimpleListFilter):
    """Organisers' own messages, unless one asks for the system's: of these there are many more."""

    title, parameter_name = gettext_lazy("kind"), "kind"

    def lookups(self, request, model_admin):
        return [("all", gettext_lazy("All")), *Kind.choices]

    def choices(self, changelist):
        """Without Django's "All": what is shown first is announcements."""
        chosen = self.value() or Kind.ANNOUNCEMENT
        for key, label in self.lookup_choices:
            address = changelist.get_query_string({self.parameter_name: key})
            yield {"selected": chosen == key, "query_string": address, "display": label}

    def queryset(self, request, queryset):
        chosen = self.value() or Kind.ANNOUNCEMENT
        return queryset if chosen == "all" else queryset.filter(kind=chosen)


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    """Organisers' announcements; and the system's own notices, which are looked at only.

    A draft's page is its form; every other's is the page where one watches it.
    """

    list_display = ["what", "event", "state", "over", "to_whom", "when", "by"]
    list_filter = [("event", ScopedFilter), "status", KindFilter]
    search_fields = ["subject", "body"]
    sortable_by = ()
    ordering = ["-pk"]
    change_form_template = "admin/message_form.html"
    object_history_list_template = "admin/message_history.html"
    history_list_display = ("reason", "at", "person")
    fieldsets = [
        (None, {"fields": ["event", "subject", "body"]}),
        (gettext_lazy("How"), {"fields": ["channels"]}),
        (gettext_lazy("When"), {"fields": ["when", "scheduled_at", "relative"]}),
    ]
    acts = (
        act(
            "stop",
            gettext_lazy("Stop"),
            announcements.stop,
            ngettext_lazy("message stopped: nothing more leaves", "messages stopped: nothing more leaves", "count"),
            _is_sending,
            already=gettext_lazy("were stopped already"),
            icon="stop_circle",
            tone="danger",
        ),
        act(
            "resume",
            gettext_lazy("Continue"),
            announcements.resume,
            gettext_lazy("going on"),
            _is_stopped,
            already=gettext_lazy("weren't stopped"),
            icon="play_circle",
            tone="primary",
        ),
        act(
            "withdraw_rest",
            gettext_lazy("Withdraw the rest"),
            announcements.withdraw_rest,
            gettext_lazy("ended: what had not left was taken back"),
            _is_stopped,
            form=forms.Form,
            confirm=rest_of,
            ask=lambda message, person: rest_of([message]),
            help=gettext_lazy(
                "Whatever has not left yet never will. Whoever has got it keeps it: that can't be undone."
            ),
            icon="cancel_schedule_send",
            tone="danger",
        ),
        act(
            "retry_failed",
            gettext_lazy("Send again to those it failed for"),
            announcements.retry_failed,
            ngettext_lazy("delivery waits to be sent again", "deliveries wait to be sent again", "count"),
            _can_try_again,
            form=forms.Form,
            confirm=failed_of,
            ask=lambda message, person: failed_of([message]),
            counts=lambda outcome: outcome.deliveries,
            help=gettext_lazy("To the addresses that they have by now. Nobody else gets it."),
            icon="replay",
        ),
        act(
            "cancel",
            gettext_lazy("Take off the schedule"),
            announcements.cancel,
            ngettext_lazy("message is a draft again", "messages are drafts again", "count"),
            lambda message: message.status == Status.SCHEDULED,
            already=gettext_lazy("were drafts already"),
            icon="event_busy",
        ),
        act(
            "copy",
            gettext_lazy("Copy to a new draft"),
            announcements.copy,
            gettext_lazy("copied to a new draft"),
            lambda message: message.kind == Kind.ANNOUNCEMENT and message.status != Status.DRAFT,
            icon="content_copy",
        ),
    )

    def get_urls(self):
        def page(address, view, name):
            return path(address, self.admin_site.admin_view(view), name=self._route(name))

        return [
            page("candidates/", require_safe(self.candidates), "candidates"),
            page("choices/", require_safe(self.choices), "choices"),
            page("<path:object_id>/preview/", require_http_methods(["GET", "POST"])(self.preview), "preview"),
            page("<path:object_id>/progress/", require_safe(self.progress), "progress"),
            *super().get_urls(),
        ]

    def get_queryset(self, request):
        """With the deliveries made and decided of what is being sent: the list shows how far it is."""
        made = MessageDelivery.objects.filter(message=OuterRef("pk")).order_by().values("message")
        undecided = Q(status__in=DeliveryStatus.UNDECIDED)

        def number(condition):
            counted = Subquery(made.annotate(number=Count("pk", filter=condition)).values("number"))
            return Case(When(status=Status.SENDING, then=counted), default=Value(None), output_field=IntegerField())

        rows = super().get_queryset(request).select_related("event", "created_by")
        return rows.annotate(deliveries_made=number(Q()), deliveries_done=number(~undecided))

    def choice_label(self, row, request):
        return title_of(row, row.event)

    def zone_of(self, request, row):
        if row:
            return zone_of(row)
        chosen = request.POST.get("event", "")
        if not chosen.isdigit() or len(chosen) > 18:
            return None
        event = Event.objects.of_staff(request.user).filter(pk=chosen).first()
        return event.zone if event else None

    # -- the list ----------------------------------------------------------------------------------

    @display(description=gettext_lazy("message"), header=True)
    def what(self, message):
        kind = "" if message.kind == Kind.ANNOUNCEMENT else message.get_kind_display()
        why_back = message.error if message.status == Status.DRAFT else ""
        below = why_back or kind or Truncator(" ".join(message.body.split())).chars(70)
        return [title_of(message, message.event), below]

    @display(description=gettext_lazy("state"), label=COLOURS, ordering="status")
    def state(self, message):
        return state_of(message, message.deliveries_done or 0, message.deliveries_made)

    @display(description=gettext_lazy("over"))
    def over(self, message):
        return named(message.channels) or "–"

    @display(description=gettext_lazy("to whom"))
    def to_whom(self, message):
        reached = message.recipients
        parts = [audience_of(message)]
        if reached is not None:
            parts.append(ngettext("{} person", "{} people", reached).format(figure(reached)))
        return ", ".join(filter(None, parts)) or "–"

    @display(description=gettext_lazy("when"))
    def when(self, message):
        at = message.finished_at or message.started_at or message.due_moment
        return two_lines(at, zone_of(message)) if at else "–"

    @display(description=gettext_lazy("by"))
    def by(self, message):
        return _by(message.created_by)

    # -- its history -------------------------------------------------------------------------------

    def get_history_queryset(self, request, history_manager, pk_name, object_id):
        records = super().get_history_queryset(request, history_manager, pk_name, object_id)
        return records.select_related("event")

    @staticmethod
    def at(record):
        return local(record.history_date, zone_of(record))

    @staticmethod
    def person(record):
        return _by(record.history_user)

    # -- who may, and what is closed ------------------------------------------------------------------

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and (obj is None or _is_draft(obj))

    def has_delete_permission(self, request, obj=None):
        return super().has_delete_permission(request, obj) and (obj is None or _is_draft(obj))

    def delete_model(self, request, obj):
        _locked_draft(obj)
        super().delete_model(request, obj)

    def get_readonly_fields(self, request, obj=None):
        """A message stays with its event."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "event"] if obj else fields

    def get_fieldsets(self, request, obj=None):
        if self.shows_history:
            names = ["event", "kind", "status", "subject", "body", "channels", "audience", "audience_details"]
            return [(None, {"fields": [*names, "scheduled_at", "anchor", "anchor_offset", "stopped_at"]})]
        what, over, when = super().get_fieldsets(request, obj)
        return [what, over, (gettext_lazy("Who"), {"fields": ["audience", *audiences.choices(), "picked"]}), when]

    # -- writing -------------------------------------------------------------------------------------

    def get_form(self, request, obj=None, change=False, **kwargs):
        if self.shows_history:
            return super().get_form(request, obj, change=change, **kwargs)
        form_class = super().get_form(request, obj, change=change, **kwargs | {"form": message_form()})

        class OwnForm(form_class):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, person=request.user, **kwargs)
                self.called_off = called_off(self.of_event)

        return OwnForm

    def get_changeform_initial_data(self, request):
        """Somebody who has one event needn't choose it."""
        initial = super().get_changeform_initial_data(request)
        if "event" in initial:
            return {"event": initial["event"]}
        own = list(Event.objects.of_staff(request.user, roles_for("messaging.add_message"))[:2])
        return {"event": str(own[0].pk)} if len(own) == 1 else {}

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        if object_id is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        if request.method == "POST" and (event := self._closed_to(request, object_id)):
            if AS_NEW in request.POST:  # the theme's script posts a form to the address that its page has
                extra_context = {"as_new": AS_NEW} | (extra_context or {})
                return super().changeform_view(request, None, form_url, extra_context)
            return self._as_new(request, event, extra_context)
        message = self._row_or_404(request, object_id)
        if self.has_change_permission(request, message):
            return super().changeform_view(request, object_id, form_url, extra_context)
        if request.method in ("GET", "HEAD"):
            return self.watch(request, message)
        raise PermissionDenied

    def _shown_again(self, request, object_id, form_url, extra_context, sentence):
        """Where it was sent while this was being saved, it is no form that could be shown again."""
        if object_id and (event := self._closed_to(request, object_id)):
            return self._as_new(request, event, extra_context)
        return super()._shown_again(request, object_id, form_url, extra_context, sentence)

    def _closed_to(self, request, object_id):
        """The event of a message that was a draft when the person opened it, and is sent, scheduled or deleted."""
        try:
            key = UUID(unquote(object_id))
        except ValueError:
            return None
        message = Message.objects.filter(pk=key).first() or Message.history.filter(id=key, history_type="-").first()
        if message is None or message.kind != Kind.ANNOUNCEMENT:
            return None
        if isinstance(message, Message) and _is_draft(message):
            return None
        event = message.event
        return event if event and request.user.has_perm("messaging.add_message", event) else None

    def _as_new(self, request, event, extra_context):
        """What was written to a message that is closed by now stands in the form of a new one: nothing is lost."""
        request.POST = request.POST.copy()
        request.POST["event"], request.POST["version"] = str(event.pk), ""
        sentence = _(
            "This is no draft any more: it was sent, scheduled or deleted meanwhile, and what you wrote was not "
            "saved. It stands here as a new message: save it, or leave it."
        )
        extra_context = {"as_new": AS_NEW} | (extra_context or {})
        return super()._shown_again(request, None, reverse(f"admin:{self._route('add')}"), extra_context, sentence)

    def save_model(self, request, obj, form, change):
        if change:
            if _locked_draft(obj).updated_at != obj.updated_at:
                raise DraftChanged
        else:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    def response_add(self, request, obj, post_url_continue=None):
        return self._to_preview(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request, obj):
        return self._to_preview(request, obj) or super().response_change(request, obj)

    def _to_preview(self, request, message):
        if PREVIEW in request.POST:
            return HttpResponseRedirect(self._page(message, "preview"))
        return None

    def _page(self, message, name="change"):
        return reverse(f"admin:{self._route(name)}", args=(message.pk,))

    def candidates(self, request):
        """Whom a message may be sent to by hand, for the search box of its form: guests first, then people."""
        event = self._asked_event(request)
        page = request.GET.get("page", "1")
        if event is None or not page.isdigit() or len(page) > 6 or "\0" in request.GET.get("term", ""):
            raise Http404
        guests, people = pickable(event, request.GET.get("term", ""))
        end = int(page) * PAGE
        found = [[(f"guest:{one.pk}", picked_label(one)) for one in guests[end - PAGE : end + 1]]]
        found.append([(f"person:{one.pk}", picked_label(one)) for one in people[end - PAGE : end + 1]])
        groups = zip((_("On the guest list"), _("Attendees and applicants")), found, strict=True)
        return JsonResponse(
            {
                "results": [
                    {"text": heading, "children": [{"id": key, "text": label} for key, label in rows[:PAGE]]}
                    for heading, rows in groups
                    if rows
                ],
                "pagination": {"more": any(len(rows) > PAGE for rows in found)},
            }
        )

    def choices(self, request):
        """What an event has for a field of an audience, for the form of a new message whose event is changed."""
        event, asking = self._asked_event(request), audiences.choices().get(request.GET.get("of", ""))
        if event is None or asking is None:
            raise Http404
        field = asking[0].form_field(event)
        return JsonResponse(
            {"choices": [{"id": str(one.pk), "text": field.label_from_instance(one)} for one in field.queryset]}
        )

    @staticmethod
    def _asked_event(request):
        """The event of which the form's script asks, where the person may write about it."""
        if not (key := request.GET.get("event", "")).isdigit() or len(key) > 18:
            return None
        return Event.objects.of_staff(request.user, roles_for("messaging.add_message")).filter(pk=key).first()

    # -- the preview -----------------------------------------------------------------------------------

    def preview(self, request, object_id):
        message = self._row_or_404(request, object_id)
        may_send = request.user.has_perm("messaging.send_message", message)
        if request.method == "POST":
            if not may_send:
                raise PermissionDenied
            return self._go(request, message)
        if not message.is_open or message.kind != Kind.ANNOUNCEMENT:
            return HttpResponseRedirect(self._page(message))
        with timezone.override(zone_of(message)):
            context = self.admin_site.each_context(request) | preview_of(message, request.user)
            context |= {
                "title": _("Preview: {}").format(title_of(message, message.event)),
                "opts": self.opts,
                "may_send": may_send,
                "may_change": self.has_change_permission(request, message),
                "change": self._page(message),
            }
            return TemplateResponse(request, "admin/message_preview.html", context)

    def _go(self, request, message):
        """A button of the preview was pressed."""
        try:
            if "test" in request.POST:
                test = announcements.send_test(message_id=message.pk, actor=request.user).row
                over = test.deliveries.values_list("channel", flat=True)
                told.success(request, _("A test is on its way to you: {}.").format(named(set(over))))
                for channel, why in announcements.left_out_of(test, request.user).items():
                    told.warning(request, _("Not over {}: {}.").format(Channel(channel).label, why))
            elif "schedule" in request.POST:
                announcements.schedule(message_id=message.pk, actor=request.user, seen=request.POST.get("seen", ""))
                told.success(request, _("Scheduled. Until then it can be taken off the schedule."))
                return HttpResponseRedirect(self._page(message))
            elif "send" in request.POST and (read := request.POST.get("expected", "")).isdigit() and len(read) < 10:
                seen = request.POST.get("seen", "")
                sent = announcements.send_now(message_id=message.pk, actor=request.user, expected=int(read), seen=seen)
                if not sent.changed:
                    told.info(request, _("It is on its way already."))
                return HttpResponseRedirect(self._page(message))
        except DomainError as error:
            told.error(request, str(error))
        return HttpResponseRedirect(self._page(message, "preview"))

    # -- watching ------------------------------------------------------------------------------------

    def _watched(self, request, message) -> dict:
        """With the buttons of the page: what failed can be sent again where something did."""
        found = watched(message)
        acts = [
            {"act": one, "url": reverse(f"admin:{self._route('act')}", args=(message.pk, one.name))}
            for one in self.all_acts
            if one.available(message)
            and request.user.has_perm(one.permission, message)
            and (one.name != "retry_failed" or found["again"])
        ]
        return found | {
            "acts": acts,
            "may_send": request.user.has_perm("messaging.send_messagedelivery", message),
        }

    def watch(self, request, message):
        """The page of a message that is no draft, or of a draft for whoever may only look."""
        with timezone.override(zone_of(message)):
            context = self.admin_site.each_context(request) | self._watched(request, message)
            context |= {
                "title": title_of(message, message.event),
                "opts": self.opts,
                "original": message,
                "audience": audience_in_full(message),
                "over": named(message.channels),
                "due": message.due_moment and local(message.due_moment, zone_of(message)),
                "started": message.started_at and local(message.started_at, zone_of(message)),
                "finished": message.finished_at and local(message.finished_at, zone_of(message)),
                "by": self.by(message),
                "kind": "" if message.kind == Kind.ANNOUNCEMENT else message.get_kind_display(),
                "open": message.is_open and message.kind == Kind.ANNOUNCEMENT,
                "called_off": called_off(message.event) if message.status in (Status.SCHEDULED, Status.DRAFT) else "",
            }
            return TemplateResponse(request, "admin/message_watch.html", context).render()

    def progress(self, request, object_id):
        """What changes on the page while one watches: the script asks every two seconds."""
        message = self._row_or_404(request, object_id)
        with timezone.override(zone_of(message)):
            context = self._watched(request, message)
            return JsonResponse(
                {
                    "state": context["state"][1],
                    "done": context["progress"].done,
                    "total": context["progress"].total,
                    "live": context["live"],
                    "acts": [one["act"].name for one in context["acts"]],
                    "html": render_to_string("admin/message_progress.html", context, request),
                }
            )


AS_NEW = "_as_new"
"""Stands in the form that offers what was written to a closed message as a new one."""
PAGE = 20
"""Guests, and people, that one page of the search box shows."""


def _by(person) -> str:
    return _("the system") if person is None else person.get_full_name() or str(person)


def _is_draft(message) -> bool:
    return message.status == Status.DRAFT and message.kind == Kind.ANNOUNCEMENT


class DraftChanged(DomainError):
    code = "draft_changed"
    message = gettext_lazy("Somebody changed this draft at the same moment. Look at it, and save again.")


def _locked_draft(message) -> Message:
    """Raises NotADraft where somebody has sent or scheduled it meanwhile. Locks the message."""
    now = lock(Message.objects, pk=message.pk)
    if not _is_draft(now):
        raise announcements.NotADraft(status=now.get_status_display().lower())
    return now


# -- From other pages --------------------------------------------------------------------------------


class OneEvent(DomainError):
    code = "one_event"
    message = gettext_lazy("A message belongs to one event: choose rows of one event only.")


class NobodyChosen(DomainError):
    code = "nobody_chosen"
    message = gettext_lazy("None of these can be written to: they were removed, or you may not write to them.")


def message_these(request, rows, *, details):
    """A new draft to exactly these guests or attendees. Raises OneEvent, NobodyChosen."""
    rows = [row for row in rows if _reachable(row) and request.user.has_perm("messaging.add_message", row)]
    if not rows:
        raise NobodyChosen
    if len({row.event_id for row in rows}) > 1:
        raise OneEvent
    draft = Message(
        event_id=rows[0].event_id,
        channels=[one for one in Channel.values if one not in {*channels.off_reasons(), Channel.SMS}],
        audience="picked",
        audience_details=details(rows),
        created_by=request.user,
    )
    draft._history_user = request.user
    draft.save()
    return HttpResponseRedirect(reverse("admin:messaging_message_change", args=(draft.pk,)))


def _reachable(row) -> bool:
    return not row.is_removed if isinstance(row, EventGuest) else row.is_active


def _guests(rows) -> dict:
    return {"guests": [str(row.pk) for row in rows], "people": []}


def _people(rows) -> dict:
    return {"guests": [], "people": [str(row.user_profile_id) for row in rows]}


for label, details in (("messaging.EventGuest", _guests), ("attendance.Attendee", _people)):
    go = partial(message_these, details=details)
    gather(label, Gathering("message_these", gettext_lazy("Message these"), "messaging.add_message", go))


def messages_of_event(request, event):
    """How many are on the guest list, and what they were told last, on the event's page."""
    shown = []
    if request.user.has_perm("messaging.view_eventguest", event):
        page = reverse("admin:messaging_eventguest_changelist")
        guests = EventGuest.objects.active().filter(event=event).count()
        shown.append((_("On the guest list"), guests, f"{page}?event__id__exact={event.pk}"))
    if request.user.has_perm("messaging.view_message", event):
        out = Message.objects.filter(event=event, kind=Kind.ANNOUNCEMENT, status__in=Status.OUT)
        last = out.order_by("-started_at", "-pk").first()
        if last is not None:
            title = Truncator(str(last)).chars(30)
            shown.append((_("Last message"), title, reverse("admin:messaging_message_change", args=(last.pk,))))
        elif request.user.has_perm("messaging.add_message", event):
            write = f"{reverse('admin:messaging_message_add')}?event={event.pk}"
            shown.append((_("Messages"), _("Write the first"), write))
    return shown


add_glance("events.Event", messages_of_event)
