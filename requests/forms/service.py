"""What a customer is asked who needs help, and what is typed in a session."""

from django import forms
from django.utils.translation import gettext_lazy as _

from ..models import Intake, ServiceSession, SessionType
from ..operations import talking


class Lines(forms.CharField):
    """Browsers send each new line as two characters, and count it as one."""

    widget = forms.Textarea(attrs={"dir": "auto"})

    def to_python(self, value):
        return super().to_python(value.replace("\r\n", "\n") if isinstance(value, str) else value)


class AskForm(forms.Form):
    """Skills and plans are asked for where the organisation names any. ``key``: sent twice, it asks once."""

    concern = Lines(
        label=_("What do you need help with?"),
        max_length=Intake._meta.get_field("concern").max_length,
        widget=forms.Textarea(attrs={"rows": 5, "dir": "auto"}),
        help_text=_("Whoever is on duty reads this before they come."),
    )
    session_type = forms.ChoiceField(
        label=_("How shall we meet?"),
        choices=SessionType.choices,
        initial=SessionType.CHAT,
        widget=forms.RadioSelect,
    )
    skill = forms.ChoiceField(label=_("What is it about?"), required=False)
    plan = forms.ChoiceField(label=_("Plan"), required=False)
    urgent = forms.BooleanField(
        label=_("It is urgent"),
        required=False,
        help_text=_("Urgent requests come first. Please, only if it can't wait."),
    )
    key = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def __init__(self, *args, settings, **kwargs):
        super().__init__(*args, label_suffix="", **kwargs)
        for name, among, none in (
            ("skill", settings.skills, _("I don't know")),
            ("plan", settings.plans, _("None of them")),
        ):
            if among:
                self.fields[name].choices = [("", none), *((one, one) for one in among)]
            else:
                del self.fields[name]


class SayForm(forms.Form):
    body = Lines(max_length=talking.LONGEST)
    key = forms.CharField(max_length=64, required=False)


class PlaceForm(forms.Form):
    """Empty takes it back."""

    place = forms.CharField(max_length=ServiceSession._meta.get_field("place").max_length, required=False)
