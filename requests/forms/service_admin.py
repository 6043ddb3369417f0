"""Who helps, how long customers may wait, and to whom a request is given: what organisers fill in."""

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from events.admin import MinutesField
from events.models import UserProfile

from ..models import Mechanic, ServiceSession, ServiceSettings, SessionType
from ..models.mechanics import IDLE_AFTER, LONGEST, SHORTEST, UNATTENDED_AFTER, word
from ..operations import mechanics


class WordsField(forms.CharField):
    """A list of the database, entered as text with commas, in any case."""

    def __init__(self, column, *, of):
        column = of._meta.get_field(column)
        self.most = column.size
        super().__init__(
            label=capfirst(column.verbose_name),
            help_text=_("With commas between them. {}").format(column.help_text),
            required=False,
            show_hidden_initial=True,
            widget=UnfoldAdminTextInputWidget,
        )

    def prepare_value(self, value):
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value):
        if isinstance(value, list):
            return value
        parts = (" ".join(one.split()).lower() for one in super().to_python(value).split(","))
        return list(dict.fromkeys(filter(None, parts)))

    def validate(self, value):
        if len(value) > self.most:
            raise forms.ValidationError(_("At most {} of them.").format(self.most))

    def run_validators(self, value):
        for one in value:
            word(one)

    def has_changed(self, initial, data):
        return self.to_python(initial or []) != self.to_python(data or [])


class MechanicForm(forms.ModelForm):
    """Whoever serves only some events serves those of their own organisation."""

    skills = WordsField("skills", of=Mechanic)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if "display_name" in self.fields:  # a row as it was has no fields
            self.fields["display_name"].required = False
            self.fields["display_name"].help_text = _("As customers and colleagues read it. Empty: the person's own.")

    def clean(self):
        cleaned = super().clean()
        organization = cleaned.get("organization") or getattr(self.instance, "organization", None)
        others = [one for one in cleaned.get("events") or () if organization and one.organization_id != organization.pk]
        if others:
            names = ", ".join(map(str, others))
            self.add_error("events", _("{} is no event of this organisation.").format(names))
        return cleaned


class NewMechanicForm(MechanicForm):
    """Named by e-mail, as members are: an organiser sees no list of everybody to choose from."""

    email = forms.EmailField(label=_("E-mail"), widget=UnfoldAdminTextInputWidget)

    def clean(self):
        cleaned = super().clean()
        known = UserProfile.objects.filter(email__lower=cleaned.get("email", "").lower()).first()
        if "email" in cleaned and not cleaned.get("display_name") and not (known and known.get_full_name()):
            self.add_error("display_name", _("Give a name: this person has told none yet."))
        return cleaned

    class Meta:
        model = Mechanic
        fields = ["organization", "email", "display_name", "skills", "serves_all", "events"]


class ServiceSettingsForm(forms.ModelForm):
    unattended_after = MinutesField(
        "unattended_after",
        of=ServiceSettings,
        least=SHORTEST,
        most=LONGEST,
        initial=UNATTENDED_AFTER,
        help_text=_(
            "Minutes for which a request waits before the organisers hear of it; at half of it, all on duty do."
        ),
    )
    idle_after = MinutesField(
        "idle_after",
        of=ServiceSettings,
        least=SHORTEST,
        most=LONGEST,
        initial=IDLE_AFTER,
        help_text=_("Minutes for which a mechanic may do nothing about what they accepted before it goes back."),
    )
    skills = WordsField("skills", of=ServiceSettings)
    plans = WordsField("plans", of=ServiceSettings)


class GiveForm(forms.Form):
    """To whom a request is given: whoever is on duty and serves its event, but for its customer and who has it."""

    mechanic_id = forms.ChoiceField(label=_("Mechanic"), widget=UnfoldAdminSelectWidget)

    def __init__(self, *args, row, person, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["mechanic_id"].choices = [(one.pk, str(one)) for one in mechanics.fit_for(row)]
        if not self.fields["mechanic_id"].choices:
            self.fields["mechanic_id"].help_text = gettext("Nobody else who serves it is on duty.")


class PlaceForm(forms.Form):
    """By which link, or where, they meet."""

    place = forms.CharField(required=False, max_length=ServiceSession._meta.get_field("place").max_length)

    def __init__(self, *args, session, **kwargs):
        super().__init__(*args, **kwargs)
        video = session.type == SessionType.VIDEO
        field = self.fields["place"]
        field.label = gettext("Link to the video call") if video else gettext("Where you meet")
        field.widget = UnfoldAdminTextInputWidget(
            attrs={"inputmode": "url", "placeholder": "https://"}
            if video
            else {"placeholder": gettext("Hall 2, stand 7")}
        )
