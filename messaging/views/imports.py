"""The page that imports a guest list."""

from collections.abc import Sequence

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from config import tables
from config.errors import DomainError, NotFound
from config.importing import ImportPage
from config.tables import NoHeadings, TableError
from config.tables.headings import LONGEST

from ..forms.guests import COLUMNS, ImportGuestsForm
from ..operations import imports

SHOWN = 50
"""Lines of each group that the preview shows."""
COLUMNS_SHOWN = 20
"""Headings that a refusal names."""


@require_http_methods(["GET", "POST"])
def import_guests(request, model_admin):
    """Upload, see what would happen, choose otherwise if need be, confirm. Nothing is written before that."""
    if not request.user.has_perm("messaging.add_eventguest"):
        raise PermissionDenied
    return GuestImport(request, model_admin).answer()


class GuestImport(ImportPage):
    name = "messaging.import_guests"
    choices = ("event", "region", "fill_only", "bring_back", "cancelled_too", "remove_cancelled", *COLUMNS.values())
    headings: Sequence[str] = ()
    """Of the file, where the person says what they mean."""

    def form(self, data=None, files=None, kept=None):
        form = ImportGuestsForm(data, files, person=self.request.user, kept=kept, headings=self.headings)
        form.initial.setdefault("event", self.request.GET.get("event"))
        return form

    def field_of(self, error):
        return "event" if isinstance(error, NotFound) else "file"

    def keeps(self, error):
        return bool(self.headings)

    def run(self, form, data, *, dry_run):
        choices, table = form.choices, None
        try:
            table = tables.read(data, imports.scored_with(choices.columns))
            report = imports.import_guests(
                event_id=form.cleaned_data["event"].pk,
                table=table,
                choices=choices,
                actor=self.request.user,
                dry_run=dry_run,
            )
        except (NoHeadings, imports.NothingToGoBy) as error:
            return None, self._asked(data, table) or error
        except (TableError, DomainError) as error:
            return None, error
        if choices.columns:
            self._offer(table.headers)
        return report, None

    def _offer(self, headings):
        self.headings = [one for one in dict.fromkeys(headings) if one and len(one) <= LONGEST]

    def _asked(self, data, table) -> TableError | None:
        """The question what the file's headings mean, if it has any."""
        try:
            self._offer(table.headers if table else tables.possible_headings(data))
        except TableError:
            return None
        if not self.headings:
            return None
        sentence = _(
            "No column of this file was understood: {columns}. Say below which is the name, the e-mail or the phone."
        )
        shown = [f"“{one[:60]}”" for one in self.headings[:COLUMNS_SHOWN]]
        return TableError(sentence.format(columns=", ".join([*shown, *["…"][: len(self.headings) > COLUMNS_SHOWN]])))

    def done(self, report):
        counts = [(heading, len(entries)) for heading, _help, entries in _groups(report)]
        lines = [f"{heading}: {count}" for heading, count in counts if count]
        sentence = _("Imported guests of “{title}”.").format(title=report.event.title)
        messages.success(self.request, f"{sentence} {'; '.join(lines)}.")
        if report.linked:
            sentence = ngettext("{} was linked to their account.", "{} were linked to their accounts.", report.linked)
            messages.info(self.request, sentence.format(report.linked))
        if report.ambiguous:
            one, many = "{} is to be told apart: say who they are.", "{} are to be told apart: say who they are."
            sentence = ngettext(one, many, report.ambiguous)
            messages.warning(self.request, sentence.format(report.ambiguous))
        page = reverse("admin:messaging_eventguest_changelist")
        return f"{page}?event__id__exact={report.event.pk}"

    def shown(self, form, token=None, report=None):
        context = self.model_admin.admin_site.each_context(self.request) | {
            "title": _("Import guests"),
            "opts": self.model_admin.opts,
            "form": form,
            "token": token,
            "report": report,
            "groups": [
                {
                    "heading": heading,
                    "help": help,
                    "count": len(entries),
                    "entries": entries[:SHOWN],
                    "more": max(0, len(entries) - SHOWN),
                }
                for heading, help, entries in (_groups(report) if report else ())
            ],
        }
        return TemplateResponse(self.request, "admin/import_guests.html", context)


def _groups(report):
    """Headings and lists, what most needs a look first."""
    if report.removes:
        leaving = (_("Removed"), _("They cancelled or declined."), report.leaving)
    else:
        help = _("They cancelled or declined, and stay on the list unless you choose below to remove them.")
        leaving = (_("Cancelled or declined, but on the list"), help, report.leaving)
    return [
        leaving,
        (_("Unreadable"), _("Left out."), report.unreadable),
        (_("Changed"), "", report.changed),
        (_("New"), "", report.new),
        (_("Cancelled or declined"), _("Left out."), report.cancelled),
        (_("Removed before"), _("They were removed from the list, and stay removed."), report.removed),
        (_("More than once in the file"), _("One guest is made of them."), report.repeated),
        (_("Unchanged"), _("On the list already, just so."), report.unchanged),
    ]
