"""How guests are written down, linked and imported."""

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from phonenumbers import SUPPORTED_REGIONS, country_code_for_region
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from attendance.forms import away
from config.admin import roles_for
from config.importing import UploadForm
from config.tables import SIZE_LIMIT
from config.tables.headings import LONGEST
from events.admin import told_apart
from events.models import Event, Organization, UserProfile
from events.models.people import Role

from ..models import EventGuest
from ..operations import guests, imports
from .meanwhile import Meanwhile


class EventGuestForm(Meanwhile, forms.ModelForm):
    """A line of the guest list. The phone is read however it is written, by the organisation's country."""

    phone = forms.CharField(
        label=_("Phone"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget,
        show_hidden_initial=True,
        help_text=_("However it is written; without a country code it is one of the organisation's country."),
    )

    class Meta:
        model = EventGuest
        fields = ["event", "guest_name", "phone", "email"]
        help_texts = {"phone": ""}  # how one writes it: where it is only shown, there is nothing to say

    def clean_guest_name(self):
        name = " ".join(self.cleaned_data["guest_name"].split())
        if not name:
            raise forms.ValidationError(_("A guest needs a name."), code="required")
        return name

    def clean_email(self):
        return (self.cleaned_data["email"] or "").strip().lower() or None

    def clean(self):
        cleaned = super().clean()
        event = cleaned.get("event") or (self.instance.event if self.instance.event_id else None)
        if cleaned.get("phone") and event:
            try:
                cleaned["phone"] = guests.stored_phone(cleaned["phone"], guests.region_of(event))
            except guests.LocalNumber:
                self.add_error("phone", forms.ValidationError(_("The area code is missing."), code="local"))
            except forms.ValidationError as error:
                self.add_error("phone", error)
        else:
            cleaned["phone"] = None
        self.knowing = []
        if not self._changed_meanwhile() and not self.errors and event:
            self._warn_of_others(event, cleaned)
        return cleaned

    @property
    def seen(self) -> dict[str, str]:
        """What stood in the fields when the page was opened."""
        shown = {name: self.before(name) for name in self.fields.keys() & {"guest_name", "phone", "email"}}
        return {name: value for name, value in shown.items() if value is not None}

    def _changed_meanwhile(self) -> bool:
        if self.instance._state.adding or not any(self.is_newer(name) for name in self.seen):
            return False
        self.refuse_once(
            _(
                "Somebody changed this guest meanwhile. What you changed stands here as you wrote it, "
                "all else as it is now. Save again to have it so."
            )
        )
        return True

    def _warn_of_others(self, event, cleaned):
        """The same person twice on the list, or two who share a contact: only the organiser knows."""
        new = {name: cleaned.get(name) for name in ("phone", "email") if cleaned.get(name) != self.initial.get(name)}
        but = None if self.instance._state.adding else self.instance
        others = guests.sharing(event.pk, phone=new.get("phone"), email=new.get("email"), but=but)
        known = ",".join(str(one.pk) for one in others)
        if self.data.get("knowingly", "") != known:
            self.fields["knowingly"] = forms.BooleanField(
                label=_("This is another guest: save all the same"),
                required=False,
                widget=UnfoldBooleanWidget(attrs={"value": known}),
            )
            error = guests.SharedContact(others=guests.named(others))
            raise forms.ValidationError(str(error), code=error.code)
        self.knowing = [one.pk for one in others]


class LinkGuestForm(forms.Form):
    """Who a guest is: one of those who fit, or somebody whom the organisation knows."""

    fits = forms.ModelChoiceField(
        UserProfile.objects.none(), label=_("Who fits"), required=False, widget=UnfoldAdminRadioSelectWidget
    )
    person = forms.ModelChoiceField(
        UserProfile.objects.none(),
        label=_("Somebody else"),
        required=False,
        help_text=_("Type a name or an e-mail address: people who asked to join or attend an event of yours."),
    )

    def __init__(self, *args, row, person, **kwargs):
        super().__init__(*args, **kwargs)
        self.guest = row
        self._offer_fitting(row, person)
        field = self.fields["person"]
        column = EventGuest._meta.get_field("user")
        field.widget = AutocompleteSelect(
            column, admin.site, attrs={"class": "unfold-admin-autocomplete admin-autocomplete"}
        )
        field.widget.choices = field.choices
        field.queryset = guests.known(row.event, person)
        field.label_from_instance = told_apart

    def _offer_fitting(self, guest, viewer):
        fitting = guests.fitting(guest).exclude(pk=guest.user_id) if guest.is_parked else UserProfile.objects.none()
        fitting = fitting.annotate(seen=Exists(UserProfile.objects.of_staff(viewer).filter(pk=OuterRef("pk"))))
        labels = {}
        for one in fitting:
            words = guests.masked(guest, one)
            labels[one.pk] = f"{told_apart(one)} · {words}" if one.seen else capfirst(words)
        alike = [pk for pk, label in labels.items() if [*labels.values()].count(label) > 1]
        labels |= {pk: f"{labels[pk]} ({number})" for number, pk in enumerate(alike, start=1)}
        if not labels:
            del self.fields["fits"]
            self.fields["person"].label = _("Person")
            return
        self.fields["fits"].queryset = fitting
        self.fields["fits"].empty_label = None
        self.fields["fits"].label_from_instance = lambda one: labels[one.pk]

    def clean(self):
        cleaned = super().clean()
        fits, person = cleaned.pop("fits", None), cleaned.get("person")
        if fits and person and fits != person:
            raise forms.ValidationError(_("Choose one person, not two."), code="two")
        if not self.errors and not (fits or person):
            raise forms.ValidationError(_("Choose a person."), code="nobody")
        cleaned["person"] = fits or person
        self._warn_of_others(cleaned["person"])
        return cleaned

    def _warn_of_others(self, person):
        """Somebody who stands on the list already as another guest is chosen knowingly."""
        others = EventGuest.objects.active().filter(event=self.guest.event_id, user=person).exclude(pk=self.guest.pk)
        names = ", ".join(others.order_by("guest_name").values_list("guest_name", flat=True)[:5]) if person else ""
        if not names:
            return
        self.fields["knowingly"] = forms.BooleanField(
            label=_("Link this guest to the same person all the same"), required=False, widget=UnfoldBooleanWidget
        )
        if self.data.get("knowingly") != names:
            self.fields["knowingly"].widget = UnfoldBooleanWidget(attrs={"value": names})
            sentence = _("This person is on the list already, as {}.").format(names)
            raise forms.ValidationError(sentence, code="another_guest")


COLUMNS = {"name": "name_column", "email": "email_column", "phone": "phone_column"}
"""What a column may be said to mean, and the field where it is said."""


class ImportGuestsForm(UploadForm):
    """A list of guests. ``person`` is offered the events where they may add guests.

    ``headings``: those of a file that aren't known, so that the person says what they mean.
    """

    limit = SIZE_LIMIT
    explains = _("CSV or XLSX, at most 5 MB, with headings: names, e-mail addresses or phone numbers.")
    event = forms.ModelChoiceField(Event.objects.none(), label=_("Event"), widget=UnfoldAdminSelectWidget)
    name_column = forms.CharField(
        label=_("Which column is the name?"), required=False, max_length=LONGEST, widget=UnfoldAdminSelectWidget
    )
    email_column = forms.CharField(
        label=_("Which column is the e-mail?"), required=False, max_length=LONGEST, widget=UnfoldAdminSelectWidget
    )
    phone_column = forms.CharField(
        label=_("Which column is the phone?"), required=False, max_length=LONGEST, widget=UnfoldAdminSelectWidget
    )
    region = forms.ChoiceField(
        label=_("Country of phone numbers"),
        required=False,
        widget=UnfoldAdminSelect2Widget,
        help_text=_("Of numbers without a country code."),
    )
    fill_only = forms.BooleanField(
        label=_("Only fill in what is empty: where the file says otherwise, keep what is on the list"),
        required=False,
        widget=UnfoldBooleanWidget,
    )
    bring_back = forms.BooleanField(
        label=_("Bring back guests who were removed from the list"), required=False, widget=UnfoldBooleanWidget
    )
    cancelled_too = forms.BooleanField(
        label=_("Also take those who cancelled or declined"), required=False, widget=UnfoldBooleanWidget
    )
    remove_cancelled = forms.BooleanField(
        label=_("Remove from the list who cancelled or declined by this file"),
        required=False,
        widget=UnfoldBooleanWidget,
    )

    def __init__(self, *args, person, headings=(), **kwargs):
        super().__init__(*args, **kwargs)
        self._offer_columns(headings)
        events = Event.objects.of_staff(person, roles_for("messaging.add_eventguest")).select_related("organization")
        self.fields["event"].queryset = events.order_by(away(timezone.now()), "-starts_at", "-pk")
        of_site = settings.PHONE_REGION
        own = {one.phone_region or of_site for one in Organization.objects.of_staff(person, Role.MANAGE)[:100]}
        default = _("The organisation's ({})").format(", ".join(sorted(own)[:3]) if len(own) < 4 else "…")
        self.fields["region"].choices = [
            ("", default),
            *((code, f"{code} (+{country_code_for_region(code)})") for code in sorted(SUPPORTED_REGIONS)),
        ]

    def _offer_columns(self, headings):
        chosen = [self.data[name] for name in COLUMNS.values() if self.data.get(name)]
        offered = dict.fromkeys([*headings, *chosen])
        for name in COLUMNS.values():
            if offered:
                self.fields[name].widget.choices = [("", "–"), *((one, one) for one in offered)]
            else:
                del self.fields[name]

    @property
    def choices(self) -> imports.Choices:
        chosen = self.cleaned_data
        return imports.Choices(
            region=chosen["region"] or None,
            fill_only=chosen["fill_only"],
            bring_back=chosen["bring_back"],
            cancelled_too=chosen["cancelled_too"],
            remove_cancelled=chosen["remove_cancelled"],
            columns={meaning: chosen[name] for meaning, name in COLUMNS.items() if chosen.get(name)},
        )
