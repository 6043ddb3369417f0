"""The admin's page that imports a schedule."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from config.errors import DomainError
from config.importing import ImportPage

from ..forms import ImportScheduleForm
from ..importers import ScheduleError, parse
from ..operations import schedules


def import_schedule(request, model_admin):
    """Upload, see what would happen, confirm. Nothing is written before that."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    return ScheduleImport(request, model_admin).answer()


class ScheduleImport(ImportPage):
    name = "events.import_schedule"
    choices = ("organization", "event", "timezone", "bad_items")
    chooses_again = False

    def form(self, data=None, files=None, kept=None):
        return ImportScheduleForm(data, files, person=self.request.user)

    def run(self, form, data, *, dry_run):
        chosen = form.cleaned_data
        try:
            report = schedules.import_schedule(
                organization=chosen["organization"],
                schedule=parse(data, chosen["file"].name, chosen["timezone"] or None),
                actor=self.request.user,
                event_id=chosen["event"] and chosen["event"].pk,
                dry_run=dry_run,
                strict=chosen["bad_items"] == "strict",
            )
        except (ScheduleError, DomainError) as error:
            return None, error
        return report, None

    def done(self, report):
        _tell(self.request, report)
        return reverse("admin:events_event_change", args=(report.event_id,))

    def refused(self, form, kept, error):
        """The preview is shown again, as it would be now."""
        report, _error = self.run(form, kept.read(), dry_run=True)
        return self.shown(form, self.request.POST["token"], report, error=str(error))

    def shown(self, form, token=None, report=None, error=None):
        context = self.model_admin.admin_site.each_context(self.request) | {
            "title": _("Import a schedule"),
            "opts": self.model_admin.opts,
            "form": form,
            "report": report,
            "error": error,
            "token": token,
        }
        if report:
            context["changes"] = [
                {"entry": one, "fields": [{"label": label, "old": old, "new": new} for label, old, new in fields]}
                for one, fields in report.described()
            ]
            context["name"] = form.cleaned_data["file"].name
            context["organization"] = form.cleaned_data["organization"]
        return TemplateResponse(self.request, "admin/import_schedule.html", context)


def _tell(request, report):
    lines = [
        _("{kind}: {added} added, {changed} changed, {gone} gone").format(
            kind=kind.capitalize(), added=added, changed=changed, gone=gone
        )
        for kind, added, changed, _unchanged, gone in report.table()
    ]
    messages.success(request, _("Imported “{title}”.").format(title=report.title) + " " + "; ".join(lines) + ".")
    if report.left_out:
        names = ", ".join(f"{one.item} ({one.reason})" for one in report.left_out[:20])
        count = len(report.left_out)
        sentence = ngettext("{count} item was left out: {names}", "{count} items were left out: {names}", count)
        messages.warning(request, sentence.format(count=count, names=names))
    for note in report.notes:
        messages.info(request, note)
