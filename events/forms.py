"""Forms of pages that aren't a model's own."""

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget

from config.admin import roles_for
from config.importing import UploadForm

from .models import Event, Organization
from .models.event import TIMEZONES

UPLOAD_LIMIT = 20 * 1024 * 1024
"""Bytes of a schedule; the largest conference's has two million."""


class ImportScheduleForm(UploadForm):
    """A schedule to be read. ``person`` is offered what they may add to and change."""

    limit = UPLOAD_LIMIT
    explains = _(
        "frab or Pentabarf XML, c3 or pretalx JSON, Sessionize JSON, Open Event as a zip, iCalendar. At most 20 MB."
    )
    organization = forms.ModelChoiceField(
        Organization.objects.none(), label=_("Organisation"), widget=UnfoldAdminSelectWidget
    )
    event = forms.ModelChoiceField(
        Event.objects.none(),
        label=_("Event to update"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        empty_label=_("Found by the schedule's title, or made new"),
    )
    timezone = forms.ChoiceField(
        choices=[("", _("The file names it")), *((name, name) for name in sorted(TIMEZONES))],
        label=_("Time zone"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("Only used where the file names none."),
    )
    bad_items = forms.ChoiceField(
        choices=[("skip", _("Leave them out, and import the rest")), ("strict", _("Import nothing"))],
        label=_("If the file has bad items"),
        initial="skip",
        widget=UnfoldAdminRadioSelectWidget,
    )

    def __init__(self, *args, person, **kwargs):
        super().__init__(*args, **kwargs)
        organizations = Organization.objects.of_staff(person, roles_for("events.add_event"))
        self.fields["organization"].queryset = organizations
        if len(organizations[:2]) == 1:
            self.fields["organization"].initial = organizations[0]
        self.fields["event"].queryset = Event.objects.of_staff(person, roles_for("events.change_event"))

    def clean(self):
        cleaned = super().clean()
        event, organization = cleaned.get("event"), cleaned.get("organization")
        if event and organization and event.organization_id != organization.pk:
            self.add_error("event", _("This event belongs to another organisation."))
        return cleaned


class ResetForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": ""})
    )


class NewPasswordForm(forms.Form):
    code = forms.CharField(max_length=1000, widget=forms.HiddenInput)
    password = forms.CharField(
        label=_("New password"),
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": ""}),
    )


class LinkForm(forms.Form):
    """Where the link to sign in goes: ASCII, as in the API, so that no look-alike makes a second account."""

    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": "", "dir": "ltr"}),
    )
    next = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_email(self):
        email = self.cleaned_data["email"].lower()
        if not email.isascii():
            raise forms.ValidationError(_("Only plain letters, without accents, please."), code="invalid")
        return email


class NamesForm(forms.Form):
    """Of whoever makes an account by a link."""

    first_name = forms.CharField(
        label=_("First name"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "given-name", "autofocus": ""}),
    )
    last_name = forms.CharField(
        label=_("Last name"),
        max_length=150,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "family-name"}),
    )
