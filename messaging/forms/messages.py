"""How a message is written."""

import json
from datetime import timedelta
from uuid import UUID

from django import forms
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminSelectWidget,
)

from attendance.forms import away
from config.admin import ACT_LIMIT, roles_for
from events.models import Event

from .. import audiences, channels
from ..channels.sms import LONGEST
from ..models import Channel, EventGuest
from ..models.messages import Anchor, validate_offset
from .meanwhile import Meanwhile

NOW, AT, RELATIVE = "now", "at", "relative"
UNITS = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": timedelta(days=1)}
PREVIEW = "_preview"
"""The button that asks for a message that could go out; a draft may lack anything."""
CHANNEL_HELP = {
    Channel.IN_APP: _("in the inbox; whoever has no account yet finds it there once they sign up"),
    Channel.PUSH: _("on the phones of people who use the app"),
    Channel.SMS: _("a text message, which costs you by the part"),
    Channel.EMAIL: _("to everybody with an e-mail address"),
}


class SiteTemplate:
    """Drawn by a template of the site: Django's form renderer knows those of apps only."""

    def _render(self, template_name, context, renderer=None):
        return mark_safe(render_to_string(template_name, context))


class Choices(SiteTemplate):
    """Radio buttons or boxes that say more: a line under each, and why one can't be chosen."""

    template_name = "admin/message_options.html"

    def __init__(self, *, explained=(), closed=(), **kwargs):
        super().__init__(**kwargs)
        self.explained, self.closed = dict(explained), dict(closed)

    def create_option(self, name, value, label, selected, index, subindex=None, attrs=None):
        option = super().create_option(name, value, label, selected, index, subindex, attrs)
        why_not = self.closed.get(value)
        option["help"], option["why_not"] = self.explained.get(value), why_not
        if why_not:
            option["attrs"]["disabled"] = True
            option["attrs"].pop("checked", None)
        return option


class RadioChoices(Choices, UnfoldAdminRadioSelectWidget):
    pass


class BoxChoices(Choices, UnfoldAdminCheckboxSelectMultipleWidget):
    pass


class PickField(forms.MultipleChoiceField):
    """Guests and people, as "guest:ID" and "person:ID", searched for while one types."""

    widget = UnfoldAdminSelect2MultipleWidget

    def widget_attrs(self, widget):
        return {"class": "turnout-pick"}

    def valid_value(self, value):
        kind, _colon, key = value.partition(":")
        try:
            return kind in ("guest", "person") and str(UUID(key)) == key
        except ValueError:
            return False

    @staticmethod
    def split(values) -> dict[str, list[str]]:
        """As a message keeps them."""
        return {
            "guests": [value.removeprefix("guest:") for value in values if value.startswith("guest:")],
            "people": [value.removeprefix("person:") for value in values if value.startswith("person:")],
        }

    @staticmethod
    def join(details) -> list[str]:
        return [f"guest:{one}" for one in details.get("guests", [])] + [
            f"person:{one}" for one in details.get("people", [])
        ]


class RelativeParts:
    """How long before or after which moment of the event: a number, its unit, before or after, the moment."""

    def decompress(self, value):
        return list(value) if value else [None, "hours", "before", Anchor.STARTS]


class RelativeWidget(RelativeParts, SiteTemplate, forms.MultiWidget):
    template_name = "admin/message_relative.html"

    def __init__(self):
        def choice(label, choices):
            return UnfoldAdminSelectWidget(attrs={"aria-label": label}, choices=choices)

        super().__init__(
            [
                UnfoldAdminIntegerFieldWidget(attrs={"aria-label": _("How long"), "min": 0}),
                choice(_("Unit"), [("minutes", _("minutes")), ("hours", _("hours")), ("days", _("days"))]),
                choice(_("Before or after"), [("before", _("before")), ("after", _("after"))]),
                choice(_("Which moment"), Anchor.choices),
            ]
        )


class HiddenRelativeWidget(RelativeParts, forms.MultiWidget):
    def __init__(self):
        super().__init__([forms.HiddenInput] * 4)


class RelativeField(forms.MultiValueField):
    """Gives ``(offset, anchor)``, or None where no number was given."""

    widget, hidden_widget = RelativeWidget, HiddenRelativeWidget

    def __init__(self, **kwargs):
        number = forms.IntegerField(min_value=0, max_value=600_000)
        choices = [[(name, name) for name in UNITS], [("before", ""), ("after", "")], Anchor.choices]
        fields = [number, *(forms.ChoiceField(choices=one) for one in choices)]
        super().__init__(fields, require_all_fields=False, **kwargs)
        for one in self.fields:
            one.required = False

    def compress(self, data_list):
        if len(data_list) < 4 or data_list[0] is None or not all(data_list[1:]):
            return None
        number, unit, side, anchor = data_list
        return number * UNITS[unit] * (-1 if side == "before" else 1), anchor

    @staticmethod
    def parts(offset, anchor) -> tuple:
        """What the widget shows of a message's time."""
        length = abs(offset)
        unit = next(name for name in ("days", "hours", "minutes") if not length % UNITS[name] or name == "minutes")
        return length // UNITS[unit], unit, "before" if offset < timedelta(0) else "after", anchor


def pickable(event, term="") -> tuple[models.QuerySet, models.QuerySet]:
    """Guests on the list, and people of the event who aren't on it: whom one may pick, by name or address."""
    guests = EventGuest.objects.active().filter(event=event)
    people = audiences.met(event).active().filter(~Exists(guests.filter(user=OuterRef("pk"))))
    for word in term.split():
        guests = guests.filter(Q(guest_name__icontains=word) | Q(email__icontains=word) | Q(phone__contains=word))
        people = people.filter(Q(first_name__icontains=word) | Q(last_name__icontains=word) | Q(email__icontains=word))
    return guests.order_by("guest_name", "pk"), people.order_by("first_name", "last_name", "pk")


def event_label(event) -> str:
    """An event as the list of choices shows it."""
    cancelled = _("cancelled") if event.status == Event.Status.CANCELLED else ""
    return " · ".join(filter(None, [str(event), f"{event.starts_at.astimezone(event.zone):%-d %b %Y}", str(cancelled)]))


def picked_label(one) -> str:
    """A guest or a person, with where they are reached, as the list of choices shows them."""
    name = one.guest_name if isinstance(one, EventGuest) else one.get_full_name()
    return " · ".join(filter(None, [name or str(_("(no name)")), one.email or one.phone]))


def chosen_of(field, ids) -> str:
    """The names of what was chosen in a field of :class:`audiences.Audience`."""
    return ", ".join(field.label_from_instance(one) for one in field.queryset.filter(pk__in=ids))


NOT_OF_EVENT = _("Not all of those chosen belong to this event.")


class MessageForm(Meanwhile, forms.ModelForm):
    """An organiser's message. As a draft it may lack anything; "Save and preview" asks for what is missing."""

    channels = forms.MultipleChoiceField(
        label=_("Over"), choices=Channel.choices, required=False, widget=BoxChoices, show_hidden_initial=True
    )
    audience = forms.ChoiceField(label=_("To whom"), required=False, widget=RadioChoices, show_hidden_initial=True)
    picked = PickField(
        label=_("Whom exactly"),
        required=False,
        show_hidden_initial=True,
        help_text=_("Type part of a name, an e-mail address or a number."),
    )
    when = forms.ChoiceField(
        label=_("When"),
        choices=[
            (NOW, _("As soon as I press “Send now”")),
            (AT, _("At a time")),
            (RELATIVE, _("Before or after the event")),
        ],
        initial=NOW,
        widget=UnfoldAdminRadioSelectWidget,
        show_hidden_initial=True,
    )
    relative = RelativeField(label=_("How long"), required=False, show_hidden_initial=True)
    longest_sms = LONGEST
    version = forms.CharField(required=False, widget=forms.HiddenInput)
    """Of a draft, when it was changed last as this page knows."""

    choices: dict = {}
    """Names of the fields that some audiences have, and which audiences these are: see :func:`message_form`."""

    def __init__(self, *args, person, **kwargs):
        super().__init__(*args, **kwargs)
        self._keep_what_was_shown()
        message = self.instance
        self.of_event = message.event if message.event_id else self._chosen_event(person)
        self._offer_events(person)
        self._offer_channels()
        self._offer_choices()
        offered = dict(sorted(audiences.all_audiences().items(), key=lambda one: one[0] == "picked"))
        self.fields["audience"].choices = [(one.key, one.label) for one in offered.values()]
        self.fields["audience"].widget.explained = {one.key: one.help for one in offered.values()}
        self.fields["body"].help_text = _("{name} becomes the name of whoever gets it, {event} the event's.")
        if "scheduled_at" in self.fields:
            zone = self.of_event.timezone if self.of_event else None
            self.fields["scheduled_at"].label = _("Send at")
            self.fields["scheduled_at"].help_text = (
                _("By the event's clock ({}).").format(zone) if zone else _("By the event's own clock.")
            )
        self.initial |= self._initial_time() | {"picked": PickField.join(message.audience_details or {})}
        self.initial["version"] = "" if message._state.adding else message.updated_at.isoformat()
        self._name_picked()

    def _keep_what_was_shown(self):
        """Refused forms carry it on. Django looks for a field's own name, which fields of several parts don't have."""
        if not self.is_bound:
            return
        self.data = self.data.copy()
        for name in self.fields.keys() & {"scheduled_at", "relative"}:
            self.data.setdefault(self[name].html_initial_name, "")

    def _chosen_event(self, person):
        """Of a new message: what was sent, or what the page was opened for."""
        chosen = self.data.get("event") if self.is_bound else self.initial.get("event")
        if not str(chosen or "").isdigit() or len(str(chosen)) > 18:
            return None
        return self._events(person).filter(pk=chosen).first()

    @staticmethod
    def _events(person):
        return Event.objects.of_staff(person, roles_for("messaging.add_message"))

    def _offer_events(self, person):
        field = self.fields.get("event")
        if field is None:  # one that is written stays with its event
            return
        field.required = True
        field.widget = UnfoldAdminSelect2Widget()
        field.queryset = self._events(person).order_by(away(timezone.now()), "-starts_at", "-pk")
        field.label_from_instance = event_label

    def _offer_channels(self):
        field, off = self.fields["channels"], channels.off_reasons()
        field.widget.explained = CHANNEL_HELP
        field.widget.closed = off
        if self.instance._state.adding:
            self.initial.setdefault("channels", [one for one in Channel.values if one not in {*off, Channel.SMS}])

    def _offer_choices(self):
        """Of the event's; of an event that isn't said yet there is nothing to choose."""
        for name, asking in self.choices.items():
            field = self.fields[name] = asking[0].form_field(self.of_event)
            field.required, field.show_hidden_initial = False, True
            field.widget = UnfoldAdminSelect2MultipleWidget(attrs={"class": "turnout-choose"}, choices=field.choices)
            field.error_messages |= dict.fromkeys(("invalid_choice", "invalid_pk_value"), NOT_OF_EVENT)
            if self.of_event is None:
                field.help_text = _("Choose the event first; what there is to choose shows once the draft is saved.")
            self.initial[name] = (self.instance.audience_details or {}).get(name, [])

    @property
    def asked_by(self) -> str:
        """For the form's script: which audiences show which field."""
        return json.dumps({name: [one.key for one in asking] for name, asking in self.choices.items()})

    def _initial_time(self) -> dict:
        message = self.instance
        if message.scheduled_at:
            return {"when": AT}
        if not message.anchor:
            return {"when": NOW}
        return {"when": RELATIVE, "relative": RelativeField.parts(message.anchor_offset, message.anchor)}

    def _name_picked(self):
        """Those who are chosen already stand in the field by name."""
        chosen = self.data.getlist("picked") if self.is_bound else self.initial["picked"]
        ids = PickField.split([one for one in chosen if self.fields["picked"].valid_value(one)])
        if self.of_event is None or not any(ids.values()):
            return
        guests, people = EventGuest.objects.filter(event=self.of_event), audiences.met(self.of_event)
        self.fields["picked"].choices = [
            *((f"guest:{one.pk}", picked_label(one)) for one in guests.filter(pk__in=ids["guests"])),
            *((f"person:{one.pk}", picked_label(one)) for one in people.filter(pk__in=ids["people"])),
        ]

    @cached_property
    def changed_data(self):
        """Under the names of the columns that the fields become."""
        changed = {*super().changed_data} - {"version"}
        if changed & {"audience", "picked", *self.choices}:
            changed |= {"audience", "audience_details"}
        if changed & {"when", "relative", "scheduled_at"}:
            changed |= {"scheduled_at", "anchor", "anchor_offset"}
        return [*changed]

    # -- what was sent -------------------------------------------------------------------------------

    @property
    def asks_all(self) -> bool:
        return PREVIEW in self.data

    def clean_channels(self):
        chosen = set(self.cleaned_data["channels"])
        if self.asks_all and not chosen:
            raise forms.ValidationError(_("Choose at least one channel."), code="no_channel")
        return [one for one in Channel.values if one in chosen]

    def clean_body(self):
        body = self.cleaned_data["body"].replace("\r\n", "\n")  # an SMS is counted by the letter
        if self.asks_all and not body.strip():
            raise forms.ValidationError(_("Write a text."), code="no_text")
        return body

    def clean_audience(self):
        audience = self.cleaned_data["audience"]
        if self.asks_all and not audience:
            raise forms.ValidationError(_("Say to whom it goes."), code="no_audience")
        return audience

    def clean(self):
        cleaned = super().clean()
        if cleaned.get("version", "") != self.initial["version"]:
            self._changed_meanwhile()
            return cleaned
        by_mail = self.asks_all and Channel.EMAIL in cleaned.get("channels", ())
        if by_mail and not cleaned.get("subject", "").strip() and "subject" not in self.errors:
            self.add_error("subject", forms.ValidationError(_("An e-mail needs a subject."), code="no_subject"))
        self._clean_picked(cleaned)
        self._clean_choices(cleaned)
        self._clean_time(cleaned)
        return cleaned

    def _changed_meanwhile(self):
        self.refuse_once(
            _(
                "Somebody changed this draft meanwhile. What you changed stands here as you wrote it, "
                "all else as it is now. Save again to have it so."
            )
        )
        self._name_picked()

    def stands(self, name):
        now = self[name].initial
        if name == "picked":
            return str(len(now))
        if name == "relative":
            return f"{now[0]} {now[1]} {now[2]}" if now else "–"
        if name in self.choices:
            return chosen_of(self.fields[name], now) or "–"
        return super().stands(name)

    def _clean_picked(self, cleaned):
        self.instance.audience_details = {}
        if cleaned.get("audience") != "picked" or "picked" in self.errors:
            return
        picked = cleaned.get("picked") or []
        if self.asks_all and not picked:
            self.add_error("picked", forms.ValidationError(_("Choose at least one."), code="nobody"))
        if len(picked) > ACT_LIMIT:
            sentence = _("At most {}: take one of the other groups for more.").format(ACT_LIMIT)
            self.add_error("picked", forms.ValidationError(sentence, code="too_many"))
            return
        details = PickField.split(picked)
        event = cleaned.get("event") or self.of_event
        if event is not None:
            theirs = {
                "guests": EventGuest.objects.filter(event=event, pk__in=details["guests"]),
                "people": audiences.met(event).filter(pk__in=details["people"]),
            }
            if any(theirs[kind].count() != len(set(details[kind])) for kind in details):
                self.add_error("picked", forms.ValidationError(NOT_OF_EVENT, code="other_event"))
        self.instance.audience_details = details

    def _clean_choices(self, cleaned):
        """What the chosen audience asks for; what stands in the fields of others, hidden by then, doesn't count."""
        audience = cleaned.get("audience")
        for name, asking in self.choices.items():
            if audience not in {one.key for one in asking}:
                cleaned[name] = None
                self.errors.pop(name, None)
            elif name not in self.errors:
                chosen = [str(one.pk) for one in cleaned[name]]
                if self.asks_all and not chosen:
                    self.add_error(name, forms.ValidationError(_("Choose at least one."), code="nobody"))
                self.instance.audience_details = {name: chosen}

    def _clean_time(self, cleaned):
        """One of the three; what stands in the others' fields, hidden by then, doesn't count."""
        when, message = cleaned.get("when"), self.instance
        message.anchor, message.anchor_offset = "", None
        for name, chosen in (("scheduled_at", AT), ("relative", RELATIVE)):
            if when != chosen:
                cleaned[name] = None
                self.errors.pop(name, None)
        if when == AT and "scheduled_at" not in self.errors:
            if not cleaned.get("scheduled_at"):
                self.add_error("scheduled_at", forms.ValidationError(_("Give a day and a time."), code="no_time"))
            elif self.asks_all and cleaned["scheduled_at"] <= timezone.now():
                self._past("scheduled_at")
        if when == RELATIVE and "relative" not in self.errors:
            self._clean_relative(cleaned)

    def _clean_relative(self, cleaned):
        if cleaned.get("relative") is None:
            self.add_error("relative", forms.ValidationError(_("Say how long before or after."), code="no_time"))
            return
        offset, anchor = cleaned["relative"]
        try:
            validate_offset(offset)
        except forms.ValidationError as error:
            self.add_error("relative", error)
            return
        self.instance.anchor, self.instance.anchor_offset = anchor, offset
        event = cleaned.get("event") or self.of_event
        if self.asks_all and event and getattr(event, anchor) + offset <= timezone.now():
            self._past("relative")

    def _past(self, field):
        self.add_error(field, forms.ValidationError(_("That time is past."), code="past"))


def message_form() -> type[MessageForm]:
    """With the fields that the audiences of all apps have; each form fills them with what its event has."""
    choices = audiences.choices()
    fields = {name: forms.MultipleChoiceField(required=False) for name in choices}
    return type("MessageForm", (MessageForm,), fields | {"choices": choices})
