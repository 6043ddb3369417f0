"""Forms of pages that aren't a model's own."""

from datetime import timedelta

from django import forms
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanWidget,
)

from config.admin import roles_for
from config.importing import UploadForm
from config.tables import SIZE_LIMIT
from events.models import Event

from .models.record import AttendanceStatus
from .operations import imports


class ImportAttendanceForm(UploadForm):
    """A list of who came. ``person`` is offered the events where they may mark."""

    limit = SIZE_LIMIT
    explains = _(
        "CSV or XLSX, at most 5 MB. People are found by ticket code, owner ID, e-mail or phone, not by name alone."
    )
    event = forms.ModelChoiceField(Event.objects.none(), label=_("Event"), widget=UnfoldAdminSelectWidget)
    listed = forms.ChoiceField(
        choices=[
            ("", _("A column of the list says who came")),
            (AttendanceStatus.PRESENT, _("Everybody on it was present")),
            (AttendanceStatus.EXCUSED, _("Everybody on it is excused")),
            (AttendanceStatus.ABSENT, _("Everybody on it was absent")),
        ],
        label=_("What it means to be on the list"),
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
        help_text=_("Where a column says who came, the column counts."),
    )
    no = forms.ChoiceField(
        choices=[
            ("", _("They weren't seen: leave them as they are")),
            (AttendanceStatus.ABSENT, _("They were absent")),
        ],
        label=_("What a “no” means"),
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
    )
    dates = forms.ChoiceField(
        choices=[
            ("", _("The file tells")),
            (imports.DAY_FIRST, _("Day first: 31/12/2026")),
            (imports.MONTH_FIRST, _("Month first: 12/31/2026")),
        ],
        label=_("Dates"),
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    overwrite = forms.BooleanField(
        label=_("The list is right where somebody was marked differently by hand or by a scan"),
        required=False,
        widget=UnfoldBooleanWidget,
    )

    def __init__(self, *args, person, **kwargs):
        super().__init__(*args, **kwargs)
        events = Event.objects.of_staff(person, roles_for("attendance.mark_attendee"))
        self.fields["event"].queryset = events.order_by(away(timezone.now()), "-starts_at", "-pk")

    @property
    def choices(self) -> imports.Choices:
        chosen = self.cleaned_data
        return imports.Choices(
            listed=AttendanceStatus(chosen["listed"]) if chosen["listed"] else None,
            dates=chosen["dates"] or None,
            no_is_absent=bool(chosen["no"]),
            overwrite=chosen["overwrite"],
        )


def away(now):
    """How far an event lies ahead or behind; nothing for one that goes on."""
    moment = Value(now, output_field=models.DateTimeField())
    return Greatest(F("starts_at") - moment, moment - F("ends_at"), Value(timedelta(0)))


class AttendanceNoteForm(forms.Form):
    notes = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("Optional. Kept in the record, for organisers."),
    )

    def clean_notes(self):
        """Left empty, it takes away no note that was written before."""
        return self.cleaned_data["notes"] or None


class OfOneEventForm(forms.ModelForm):
    """What it points at belongs to its own event: once that is known, nothing else is offered."""

    chosen: str
    widget: type[forms.Widget]
    elsewhere = _("This belongs to another event.")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        field = self.fields.get(self.chosen)
        if field and not self.is_new:
            field.widget = self.widget()
            field.queryset = field.queryset.filter(event=self.instance.event_id)

    @property
    def is_new(self) -> bool:
        return self.instance._state.adding

    def clean(self):
        cleaned = super().clean()
        event_id = getattr(cleaned.get("event"), "pk", None) if self.is_new else self.instance.event_id
        chosen = cleaned.get(self.chosen)
        rows = [chosen] if isinstance(chosen, models.Model) else chosen or []
        if event_id and any(row.event_id != event_id for row in rows):
            self.add_error(self.chosen, forms.ValidationError(self.elsewhere, code="other_event"))
        return cleaned


class CheckInPointForm(OfOneEventForm):
    chosen, widget = "session", UnfoldAdminSelect2Widget
    elsewhere = _("This session belongs to another event.")


class DoorDeviceForm(OfOneEventForm):
    chosen, widget = "points", UnfoldAdminSelect2MultipleWidget
    elsewhere = _("These check-in points don't all belong to the device's event.")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if "points" in self.fields:
            self.fields["points"].help_text = _("Of the same event: other doors, and sessions.")
            if self.is_new:
                ahead = self.fields["points"].queryset.filter(event__ends_at__gt=timezone.now())
                by_event = ahead.order_by("event__starts_at", "event", "opens_at", "name")
                self.fields["points"].queryset = by_event.select_related("event")
                self.fields["points"].label_from_instance = lambda point: f"{point.event}: {point}"

    def clean(self):
        cleaned = super().clean()
        if not (cleaned.get("at_door") or cleaned.get("points") or "points" in self.errors):
            raise forms.ValidationError(_("Choose the event's door or a point."), code="nowhere")
        return cleaned
