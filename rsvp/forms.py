"""What attendees fill in on the agenda, and organisers at their acts."""

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from attendance.models import Attendee
from config.admin import ChoiceOfEvent

from .models import SessionRsvp
from .operations import line, sessions


class FilterForm(forms.Form):
    """What of the agenda is looked at. What makes no sense is as if it weren't there."""

    q = forms.CharField(max_length=200, required=False)
    day = forms.DateField(required=False, input_formats=["%Y-%m-%d"])
    track = forms.CharField(max_length=300, required=False, strip=False)
    room = forms.IntegerField(required=False)

    def wanted(self, name):
        self.is_valid()
        return self.cleaned_data.get(name) or None


class SeatsForm(forms.Form):
    """How many seats, for whoever brings somebody; ``line-3``: three together, as soon as there are."""

    seats = forms.RegexField(r"^(line-)?[1-9][0-9]?$", required=False)

    def chosen(self) -> tuple[int | None, bool]:
        """How many, None where nothing was said, and whether by the line. Raises ValidationError."""
        if not self.is_valid():
            raise forms.ValidationError(_("That is no number of seats."))
        value = self.cleaned_data["seats"]
        return (int(value.removeprefix("line-")) if value else None), value.startswith("line-")


class FeedbackForm(forms.Form):
    STARS = [(str(n), ngettext("{n} star", "{n} stars", n).format(n=n)) for n in range(1, 6)]

    rating = forms.ChoiceField(
        label=_("How was it?"),
        choices=STARS,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose one to five stars.")},
    )
    comment = forms.CharField(
        label=_("Anything to add?"),
        help_text=_("The organisers read it."),
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class CancelSessionForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("Optional. They read all of it; its beginning (100 characters) stands in the session's history."),
    )


class PriorityForm(forms.Form):
    limit = line.MOST_PRIORITY
    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=-limit,
        max_value=limit,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Who has more is served first; 0 is everybody's."),
    )


class AddPersonForm(forms.Form):
    """Somebody whom an organiser gives seats in the session ``row``."""

    attendee = forms.ModelChoiceField(
        Attendee.objects.none(), label=_("Attendee"), help_text=_("Type a name or an e-mail address.")
    )
    seats = forms.IntegerField(
        label=_("Seats"),
        min_value=1,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Their own, and one for each plus-one who comes along."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Kept in the session's history where its capacity is raised."),
    )

    def __init__(self, *args, row, person, **kwargs):
        super().__init__(*args, **kwargs)
        self.session = row
        field = self.fields["attendee"]
        field.widget = ChoiceOfEvent(SessionRsvp._meta.get_field("attendee"), row.event_id)
        field.widget.choices = field.choices
        field.queryset = Attendee.objects.active().filter(event=row.event_id).select_related("user_profile")

    def clean(self):
        cleaned = super().clean()
        attendee, wanted = cleaned.get("attendee"), cleaned.get("seats")
        if attendee and SessionRsvp.objects.confirmed().filter(session=self.session, attendee=attendee).exists():
            self.add_error("attendee", _("{person} has a seat in this session already.").format(person=attendee))
        elif attendee and wanted:
            self._weigh(attendee, wanted, cleaned["reason"])
        cleaned["attendee_id"] = attendee and attendee.pk
        cleaned.pop("attendee", None)
        return cleaned

    def _weigh(self, attendee, wanted, reason):
        if wanted > 1 + attendee.plus_ones:
            sentence = ngettext(
                "{person} may have {most} seat at most: their own, and one for each plus-one.",
                "{person} may have {most} seats at most: their own, and one for each plus-one.",
                1 + attendee.plus_ones,
            )
            self.add_error("seats", sentence.format(person=attendee, most=1 + attendee.plus_ones))
        entry = sessions.place_of(self.session, attendee)
        if not reason and sessions.capacity_for(self.session, entry, wanted) != self.session.capacity:
            self.add_error("reason", _("Say why: there is no free seat, so that the capacity is raised."))
