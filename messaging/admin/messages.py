"""An organiser's message: written, looked at, sent or scheduled, and watched until the last has it."""

from functools import partial
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib import messages as told
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Count, IntegerField, OuterRef, Q, Subquery, Value, When
from django.http import Http404, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy
from django.views.decorators.http import require_http_methods, require_safe
from unfold.decorators import display

from config.admin import Act, Gathering, HistoryAdmin, ScopedFilter, add_glance, gather, roles_for
from config.errors import DomainError, lock
from events.admin import local
from events.models import Event

from .. import audiences, channels
from ..channels import Parcel
from ..channels.sms import text as sms_text
from ..forms import PREVIEW, MessageForm, pickable, picked_label
from ..models import Channel, DeliveryStatus, EventGuest, Kind, Message, MessageDelivery
from ..models.messages import filled
from ..operations import announcements, planning

Status = Message.Status
COLOURS = {
    Status.DRAFT.value: "default",
    Status.SCHEDULED.value: "info",
    Status.SENDING.value: "primary",
    "stopped": "warning",
    Status.SENT.value: "success",
    Status.FAILED.value: "danger",
}
LINK_OF_LIST = "admin:messaging_messagedelivery_changelist"


def zone_of(row):
    """The zone of a row's event; the site's where it belongs to none."""
    return row.event.zone if row and row.event else timezone.get_default_timezone()


def moment(column, label):
    """How a moment of the row's event is shown: by its clock, in a list's narrow column on two lines."""

    @display(description=label, ordering=column)
    def shown(_admin, row):
        return two_lines(getattr(row, column), zone_of(row))

    return shown


def two_lines(at, zone):
    day, comma, time = local(at, zone).partition(", ")
    return format_html('<span class="turnout-moment"><span>{}</span> <span>{}</span></span>', day + comma, time)


def named(names) -> str:
    """Channels in words, in their usual order."""
    return ", ".join(str(one.label) for one in Channel if one.value in names)


def masked(address: str) -> str:
    """Enough of an address to know it again, for whoever looks over a shoulder."""
    if "@" in address:
        name, _at, host = address.partition("@")
        return f"{name[:1]}…@{host}"
    return f"{address[:3]}…{address[-2:]}"


def audience_of(message) -> str:
    """To whom, in words."""
    audience = audiences.all_audiences().get(message.audience)
    if audience is None:
        return ""
    if audience.key != "picked":
        return str(audience.label)
    return _("{}: {}").format(audience.label, sum(len(ids) for ids in message.audience_details.values()))


def state_of(message, done: int | None = None, total: int | None = None) -> tuple[str, str]:
    """A key for the colour, and the state as a short sentence. ``done`` of ``total`` deliveries are decided."""
    if message.status == Status.SCHEDULED:
        return message.status, _("Scheduled for {}").format(local(message.due_moment, zone_of(message)))
    if message.status != Status.SENDING:
        return message.status, message.get_status_display()
    if message.stopped_at:
        words = _("Stopped at {done} of {total}") if total else _("Stopped before it began")
        return "stopped", words.format(done=f"{done:,}", total=f"{total:,}") if total else words
    if not total:
        return message.status, _("Sending begins")
    return message.status, _("Sending {done} of {total}").format(done=f"{done:,}", total=f"{total:,}")


GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_TWICE = frozenset("^{}\\[~]|€\f")
"""The alphabet that most phones and networks have in common, and what takes two places in it."""


def sms_parts(text: str) -> int:
    """So many text messages it takes, and is paid for."""
    if all(letter in GSM or letter in GSM_TWICE for letter in text):
        size, one, each = len(text) + sum(letter in GSM_TWICE for letter in text), 160, 153
    else:
        size, one, each = len(text.encode("utf-16-be")) // 2, 70, 67
    return 1 if size <= one else -(-size // each)


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
    return message.status == Status.SENDING and not message.stopped_at


def _is_stopped(message):
    return message.status == Status.SENDING and bool(message.stopped_at)


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    """Organisers' announcements; and the system's own notices, which are looked at only.

    A draft's page is its form; every other's is the page where one watches it.
    """

    list_display = ["what", "event", "state", "over", "to_whom", "when", "by"]
    list_filter = [("event", ScopedFilter), "status", "kind"]
    list_select_related = ["event", "created_by"]
    search_fields = ["subject", "body"]
    sortable_by = ()
    ordering = ["-pk"]
    change_form_template = "admin/message_form.html"
    fieldsets = [
        (None, {"fields": ["event", "subject", "body"]}),
        (gettext_lazy("How"), {"fields": ["channels"]}),
        (gettext_lazy("Who"), {"fields": ["audience", "picked"]}),
        (gettext_lazy("When"), {"fields": ["when", "scheduled_at", ("number", "unit", "side", "anchor")]}),
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
            gettext_lazy("sent again where it had failed"),
            lambda message: message.status in Status.OUT,
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

        return super().get_queryset(request).annotate(deliveries_made=number(Q()), deliveries_done=number(~undecided))

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
        text = " ".join(message.body.split())
        return [str(message), kind or (text if len(text) <= 70 else f"{text[:69]}…")]

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
            parts.append(ngettext("{} person", "{} people", reached).format(f"{reached:,}"))
        return ", ".join(filter(None, parts)) or "–"

    @display(description=gettext_lazy("when"))
    def when(self, message):
        at = message.finished_at or message.started_at or message.due_moment
        return two_lines(at, zone_of(message)) if at else "–"

    @display(description=gettext_lazy("by"))
    def by(self, message):
        if message.created_by is None:
            return _("the system")
        return message.created_by.get_full_name() or str(message.created_by)

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
        return super().get_fieldsets(request, obj)

    # -- writing -------------------------------------------------------------------------------------

    def get_form(self, request, obj=None, change=False, **kwargs):
        if self.shows_history:
            return super().get_form(request, obj, change=change, **kwargs)
        form_class = super().get_form(request, obj, change=change, **kwargs | {"form": MessageForm})

        class OwnForm(form_class):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, person=request.user, **kwargs)

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
        message = self._row_or_404(request, object_id)
        if self.has_change_permission(request, message):
            return super().changeform_view(request, object_id, form_url, extra_context)
        if request.method in ("GET", "HEAD"):
            return self.watch(request, message)
        if not super().has_change_permission(request, message):
            raise PermissionDenied
        told.error(request, _("This is no draft any more: what you wrote was not saved."))
        return HttpResponseRedirect(request.path)

    def save_model(self, request, obj, form, change):
        if change:
            _locked_draft(obj)
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
        event = None
        if (key := request.GET.get("event", "")).isdigit() and len(key) < 19:
            event = Event.objects.of_staff(request.user, roles_for("messaging.add_message")).filter(pk=key).first()
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
            return TemplateResponse(request, "admin/message_preview.html", self._preview(request, message, may_send))

    def _preview(self, request, message, may_send) -> dict:
        missing = announcements.missing(message)
        ready = bool(message.channels) and message.audience in audiences.all_audiences()
        found = planning.summary(message) if ready and message.event_id else None
        first = found.sample[0].name if found and found.sample else request.user.get_full_name()
        due = message.due_moment
        return self.admin_site.each_context(request) | {
            "title": _("Preview: {}").format(message),
            "opts": self.opts,
            "message": message,
            "state": state_of(message),
            "may_send": may_send,
            "may_change": self.has_change_permission(request, message),
            "change": self._page(message),
            "missing": missing,
            "summary": found,
            "audience": audience_of(message),
            "channels": found and [_channel(found, one) for one in message.channels],
            "sample": found and [_sampled(one) for one in found.sample],
            "more": found and max(0, found.recipients - len(found.sample)),
            "looks": looks(message, first or _("Jane Doe")),
            "due": due and local(due, zone_of(message)),
            "past": due is not None and due <= timezone.now(),
            "scheduled": message.status == Status.SCHEDULED,
            "acts": self._acts_of(request, message),
        }

    def _go(self, request, message):
        """A button of the preview was pressed."""
        try:
            if "test" in request.POST:
                test = announcements.send_test(message_id=message.pk, actor=request.user).row
                over = test.deliveries.values_list("channel", flat=True)
                told.success(request, _("A test is on its way to you: {}.").format(named(set(over))))
            elif "schedule" in request.POST:
                announcements.schedule(message_id=message.pk, actor=request.user)
                told.success(request, _("Scheduled. Until then it can be taken off the schedule."))
                return HttpResponseRedirect(self._page(message))
            elif "send" in request.POST and (read := request.POST.get("expected", "")).isdigit() and len(read) < 10:
                sent = announcements.send_now(message_id=message.pk, actor=request.user, expected=int(read))
                if not sent.changed:
                    told.info(request, _("It is on its way already."))
                return HttpResponseRedirect(self._page(message))
        except DomainError as error:
            told.error(request, str(error))
        return HttpResponseRedirect(self._page(message, "preview"))

    # -- watching ------------------------------------------------------------------------------------

    def _acts_of(self, request, message, progress=None):
        """The buttons of a message's page."""
        return [
            {"act": one, "url": reverse(f"admin:{self._route('act')}", args=(message.pk, one.name))}
            for one in self.all_acts
            if one.available(message)
            and request.user.has_perm(one.permission, message)
            and (one.name != "retry_failed" or (progress and _again(progress)))
        ]

    def _watched(self, request, message) -> dict:
        progress = announcements.progress(message)
        return {
            "message": message,
            "state": state_of(message, progress.done, progress.total),
            "colour": COLOURS[state_of(message)[0]],
            "progress": progress,
            "percent": round(100 * progress.done / progress.total) if progress.total else 0,
            "rows": [_progress_row(message, channel, by) for channel, by in progress.counts.items()],
            "reasons": [_reason(message, *one) for one in progress.reasons],
            "unknown": sum(by.get(DeliveryStatus.UNKNOWN, 0) for by in progress.counts.values()),
            "unknown_list": deliveries_of(message, status=DeliveryStatus.UNKNOWN),
            "paused": [(Channel(name).label, error) for name, error in progress.paused.items()],
            "acts": self._acts_of(request, message, progress),
            "live": message.status in (Status.SENDING, Status.SCHEDULED),
            "may_send": request.user.has_perm("messaging.send_messagedelivery", message),
        }

    def watch(self, request, message):
        """The page of a message that is no draft, or of a draft for whoever may only look."""
        with timezone.override(zone_of(message)):
            context = self.admin_site.each_context(request) | self._watched(request, message)
            context |= {
                "title": str(message),
                "opts": self.opts,
                "original": message,
                "audience": audience_of(message),
                "over": named(message.channels),
                "due": message.due_moment and local(message.due_moment, zone_of(message)),
                "started": message.started_at and local(message.started_at, zone_of(message)),
                "finished": message.finished_at and local(message.finished_at, zone_of(message)),
                "by": self.by(message),
                "kind": "" if message.kind == Kind.ANNOUNCEMENT else message.get_kind_display(),
                "open": message.is_open and message.kind == Kind.ANNOUNCEMENT,
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


PAGE = 20
"""Guests, and people, that one page of the search box shows."""


def _is_draft(message) -> bool:
    return message.status == Status.DRAFT and message.kind == Kind.ANNOUNCEMENT


def _locked_draft(message):
    """Raises NotADraft where somebody has sent or scheduled it meanwhile. Locks the message."""
    now = lock(Message.objects, pk=message.pk)
    if not _is_draft(now):
        raise announcements.NotADraft(status=now.get_status_display().lower())


def _channel(summary, name) -> dict:
    return {
        "label": Channel(name).label,
        "count": summary.by_channel.get(name, 0),
        "off": summary.off.get(name),
        "left_out": [one for one in summary.left_out if one.channel == name and one.reason != "channel_off"],
    }


def _sampled(recipient) -> dict:
    return {
        "name": recipient.name or _("(no name)"),
        "channels": named(recipient.channels),
        "addresses": ", ".join(masked(one) for one in recipient.addresses),
    }


def looks(message, name) -> dict:
    """How the message will look to somebody of this name."""
    words = {"name": name, "event": message.event.title if message.event else ""}
    subject, body = filled(message.subject, **words), filled(message.body, **words)
    parcel = Parcel(
        delivery_id=message.pk,
        message_id=message.pk,
        channel=Channel.SMS,
        to=(),
        name=name,
        subject=subject,
        body=body,
        kind=message.kind,
        event_id=message.event_id,
        event_title=words["event"],
        organization="",
    )
    text = sms_text(parcel)
    return {
        "name": name,
        "subject": subject,
        "body": body,
        "plain": any(one != Channel.SMS for one in message.channels),
        "email": Channel.EMAIL in message.channels,
        "sms": text if Channel.SMS in message.channels else None,
        "characters": len(text),
        "parts": sms_parts(text),
    }


def deliveries_of(message, **filters) -> str:
    """The address of a message's deliveries."""
    query = {"message__id__exact": message.pk} | {f"{name}__exact": value for name, value in filters.items()}
    return f"{reverse(LINK_OF_LIST)}?{urlencode(query)}"


SHOWN = [
    (DeliveryStatus.QUEUED, DeliveryStatus.SENDING),
    (DeliveryStatus.SENT,),
    (DeliveryStatus.DELIVERED,),
    (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED),
    (DeliveryStatus.UNKNOWN,),
]
"""The columns of the table: waiting, sent, delivered, failed, unknown."""


def _progress_row(message, channel, by) -> dict:
    total = sum(by.values())
    numbers = [sum(by.get(status, 0) for status in column) for column in SHOWN]
    return {
        "channel": channel,
        "label": Channel(channel).label,
        "total": total,
        "cells": [
            {
                "key": column[0].value,
                "label": column[0].label,
                "number": number,
                "width": f"{100 * number / total:.2f}" if total else "0",
                "url": deliveries_of(message, channel=channel, status=column[0])
                if len(column) == 1
                else deliveries_of(message, channel=channel),
            }
            for column, number in zip(SHOWN, numbers, strict=True)
        ],
    }


def _reason(message, channel, status, error, number) -> dict:
    return {
        "channel": Channel(channel).label,
        "status": DeliveryStatus(status).label,
        "error": error or _("No reason was given."),
        "number": number,
        "url": deliveries_of(message, channel=channel, status=status),
    }


def _again(progress) -> int:
    """So many deliveries can be sent again all together."""
    wrong = (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED)
    return sum(by.get(one, 0) for by in progress.counts.values() for one in wrong)


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
    if admin.site.is_registered(EventGuest) and request.user.has_perm("messaging.view_eventguest", event):
        page = reverse("admin:messaging_eventguest_changelist")
        guests = EventGuest.objects.active().filter(event=event).count()
        shown.append((_("On the guest list"), guests, f"{page}?event__id__exact={event.pk}"))
    if request.user.has_perm("messaging.view_message", event):
        out = Message.objects.filter(event=event, kind=Kind.ANNOUNCEMENT, status__in=Status.OUT)
        last = out.order_by("-started_at", "-pk").first()
        if last is not None:
            shown.append((_("Last message"), str(last), reverse("admin:messaging_message_change", args=(last.pk,))))
        elif request.user.has_perm("messaging.add_message", event):
            write = f"{reverse('admin:messaging_message_add')}?event={event.pk}"
            shown.append((_("Messages"), _("Write the first"), write))
    return shown


add_glance("events.Event", messages_of_event)
