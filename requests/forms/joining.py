"""What an act asks for before it is done."""

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from ..models import refuse_past


class InvitationLinkForm(forms.ModelForm):
    def clean_expires_at(self):
        moment = self.cleaned_data["expires_at"]
        if "expires_at" in self.changed_data:
            refuse_past(moment)
        return moment


class NoteForm(forms.Form):
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("Optional. The person reads it."),
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("Kept in the record. Where there is a join request, the person reads it."),
    )


class PlusOnesForm(forms.Form):
    plus_ones = forms.IntegerField(
        label=_("Plus-ones"), min_value=0, max_value=50, widget=UnfoldAdminIntegerFieldWidget
    )


class JoinForm(forms.Form):
    """What a person says when they ask to join. Plus-ones are asked for where the event allows any."""

    plus_ones = forms.IntegerField(
        label=_("How many come along with you?"),
        min_value=0,
        initial=0,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    comments = forms.CharField(
        label=_("A word to the organisers"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}),
        help_text=_("Optional."),
    )

    def __init__(self, *args, most, **kwargs):
        super().__init__(*args, label_suffix="", **kwargs)
        if most:
            self.fields["plus_ones"].help_text = _("At most {most}.").format(most=most)
        else:
            del self.fields["plus_ones"]
