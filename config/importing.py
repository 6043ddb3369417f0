"""The steps of a page that imports a file: upload, see what would happen, choose otherwise, confirm.

Nothing is written before the confirmation, and what was shown is done, whatever else is sent with it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from django import forms
from django.contrib import messages
from django.http import HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminFileFieldWidget

from config import uploads


class UploadForm(forms.Form):
    """What such a page asks for: a file, and whatever its own form adds. ``kept``: one that was uploaded
    before, which needn't be chosen again."""

    file = forms.FileField(label=gettext_lazy("File"), widget=UnfoldAdminFileFieldWidget, max_length=200)
    limit: int
    """Bytes that a file may have."""
    explains: str
    """What stands below the field while no file is here."""

    def __init__(self, *args, kept=None, **kwargs):
        super().__init__(*args, **kwargs)
        field = self.fields["file"]
        field.help_text = self.explains
        if kept:
            field.required = False  # the browser must not ask for it again
            field.help_text = _("“{name}” is here already; another file takes its place.").format(name=kept.name)

    def clean_file(self):
        file = self.cleaned_data["file"]
        if file.size > self.limit:
            words = _("This file has more than {} MB.").format(self.limit // 1024**2)
            raise forms.ValidationError(words, code="too_large")
        return file


class ImportPage(ABC):
    """One request to such a page. A page says what it asks for, how it runs, and how it looks."""

    name: str
    """The page's own, which its tokens serve and no other's."""
    choices: Sequence[str]
    """What the form asks for besides the file."""
    chooses_again = True
    """Whether the form stands below the preview too, to be sent again without the file."""

    def __init__(self, request, model_admin):
        self.request, self.model_admin = request, model_admin

    @abstractmethod
    def form(self, data=None, files=None, kept=None) -> forms.Form:
        """``kept``: the file that was uploaded before."""

    @abstractmethod
    def run(self, form, data: bytes, *, dry_run: bool):
        """(report, None), or (None, why not)."""

    @abstractmethod
    def shown(self, form, token=None, report=None):
        """The page; with a report, the preview."""

    @abstractmethod
    def done(self, report) -> str:
        """Tells the person what was done; returns the address to go on to."""

    def field_of(self, error) -> str:
        """Where the person mends what the preview found wrong."""
        return "file"

    def keeps(self, error) -> bool:
        """Whether the file may stay where the preview found something wrong: something must be chosen first."""
        return False

    def refused(self, form, kept, error):
        """The page after a confirmation that was refused."""
        form.add_error(None, str(error))
        return self.shown(form, self.request.POST["token"])

    def answer(self):
        posted = self.request.POST
        if self.request.method != "POST":
            return self.shown(self.form())
        kept = None
        if "token" in posted:
            try:
                kept = uploads.take(posted["token"], person=self.request.user, page=self.name)
            except uploads.Gone:
                return self._start_over(_("The uploaded file is no longer here. Choose it again."))
            if "discard" in posted:
                kept.discard()
                return HttpResponseRedirect(self.request.path)
            if "confirm" in posted or not self.chooses_again:
                return self._confirm(kept)
        return self._preview(kept)

    def _preview(self, kept):
        form = self.form(self.request.POST, self.request.FILES or (kept and {"file": kept}), kept)
        if not form.is_valid():
            return self.shown(form, kept and self.request.POST["token"])
        file = form.cleaned_data["file"]
        data = file.read()
        report, error = self.run(form, data, dry_run=True)
        token = None
        if error is None or self.keeps(error):
            if kept:
                kept.discard()
            choices = {name: form.data.get(name, "") for name in self.choices}
            token = uploads.keep(data, name=file.name, choices=choices, person=self.request.user, page=self.name)
            form = self.form(self.request.POST, {"file": file}, file)
            form.full_clean()
        if error:
            form.add_error(self.field_of(error), str(error))
        return self.shown(form, token, report)

    def _confirm(self, kept):
        form = self.form(kept.choices, {"file": kept}, kept)
        if not form.is_valid():  # a role that the person has lost meanwhile, an event that was deleted
            return self._start_over(_("What you chose is no longer possible. Choose again."))
        report, error = self.run(form, kept.read(), dry_run=False)
        if error:
            return self.refused(form, kept, error)
        kept.discard()
        return HttpResponseRedirect(self.done(report))

    def _start_over(self, sentence):
        messages.error(self.request, sentence)
        return HttpResponseRedirect(self.request.path)
