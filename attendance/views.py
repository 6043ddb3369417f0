"""Pages: the door, a person's ticket, and importing who came.

The door page is a shell that is the same for everybody; whatever it shows comes from the API.
"""

import hashlib
import json
from pathlib import Path

import segno
from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import messages
from django.contrib.staticfiles import finders
from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods, require_safe

from config import tables
from config.errors import DomainError, NotFound
from config.importing import ImportPage
from config.tables import TableError
from events import pages
from events.admin import local

from .forms import ImportAttendanceForm
from .models import Attendee
from .operations import imports

SHELL = ("turnout/door", "turnout/icon.svg", "vendor/zxing-wasm-3.1.4")
"""Static files that the page needs without network."""
SUFFIXES = {".js", ".css", ".wasm", ".png", ".svg"}
# The decoder is WebAssembly, which the browser compiles only where the page says so.
CSP = settings.CSP_BASE | {
    "script-src": [SELF, "'wasm-unsafe-eval'"],
    "style-src": [SELF],
    "worker-src": [SELF],
    "form-action": [NONE],
}


@require_safe
@ensure_csrf_cookie
@cache_control(no_cache=True)
@csp_replace(CSP)
def door(request, event_id):
    """Anybody may have it, for any number: who is no scanner of the event gets nothing from the API."""
    return render(request, "door/page.html")


@require_safe
@cache_control(no_cache=True)
def service_worker(request):
    """The browser takes a worker for new when one byte differs: the version is a hash of all it caches."""
    files = _shell()
    version = hashlib.sha256(render_to_string("door/page.html").encode())
    for name, path in files.items():
        version.update(name.encode() + path.read_bytes())
    context = {
        "version": version.hexdigest()[:16],
        "assets": json.dumps([static(name) for name in files], indent=2),
        "page": reverse("door", args=(0,)),
        "media": settings.MEDIA_URL,
    }
    return render(request, "door/sw.js", context, content_type="text/javascript")


@require_safe
@cache_control(no_cache=True)
def manifest(request, event_id):
    address = reverse("door", args=(event_id,))
    icons = [
        {"src": static(f"turnout/door/{name}.png"), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for name, size, purpose in (
            ("icon-192", 192, "any"),
            ("icon-512", 512, "any"),
            ("icon-maskable", 512, "maskable"),
        )
    ]
    icons.append({"src": static("turnout/icon.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any"})
    return JsonResponse(
        {
            "id": address,
            "name": "Turnout door",
            "short_name": "Door",
            "description": "Check people in, with or without network.",
            "start_url": address,
            "scope": reverse("service_worker").removesuffix("sw.js"),
            "display": "standalone",
            "background_color": "#0b1215",
            "theme_color": "#0b1215",
            "icons": icons,
        },
        content_type="application/manifest+json",
    )


def _shell() -> dict[str, Path]:
    """The static files of the shell by name; where they lie before they are collected."""
    found = {}
    for name in SHELL:
        place = Path(finders.find(name))
        paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)
        for path in paths:
            found[name if path == place else f"{name}/{path.relative_to(place).as_posix()}"] = path
    return found


# -- The ticket ------------------------------------------------------------------------------------


@require_safe
@pages.signed_in
def ticket(request, slug):
    """The QR code for the door, for attendees: large, and dark on white on a dark screen too."""
    event = pages.event_of(request, slug)
    attendee = Attendee.objects.active().of_person(request.user).filter(event=event).first()
    if attendee is None:
        raise Http404
    picture = segno.make(attendee.ticket_code, error="m", micro=False).svg_inline(
        border=4, title=_("Your ticket's QR code"), omitsize=True
    )
    context = {"event": event, "attendee": attendee, "picture": picture}
    return render(request, "attendance/ticket.html", context)


# -- Importing who came --------------------------------------------------------------------------

ASKS = {imports.AskListed: "listed", imports.AskOrder: "dates", NotFound: "event"}
"""What the person has to say, and the field where they say it; all else is about the file."""


@require_http_methods(["GET", "POST"])
def import_attendance(request, model_admin):
    """Upload, see what would happen, choose otherwise if need be, confirm. Nothing is written before that."""
    if not request.user.has_perm("attendance.mark_attendee"):
        raise PermissionDenied
    return AttendanceImport(request, model_admin).answer()


class AttendanceImport(ImportPage):
    name = "attendance.import_attendance"
    choices = ("event", "listed", "no", "dates", "overwrite")

    def form(self, data=None, files=None, kept=None):
        return ImportAttendanceForm(data, files, person=self.request.user, kept=kept)

    def field_of(self, error):
        return ASKS.get(type(error), "file")

    def keeps(self, error):
        return not isinstance(error, TableError)

    def run(self, form, data, *, dry_run):
        try:
            report = imports.import_attendance(
                event_id=form.cleaned_data["event"].pk,
                table=tables.read(data, imports.score),
                choices=form.choices,
                actor=self.request.user,
                dry_run=dry_run,
            )
        except (TableError, DomainError) as error:
            return None, error
        return report, None

    def done(self, report):
        messages.success(self.request, _tell(report))
        if report.outrun:
            names = ", ".join(entry.name for entry in report.outrun[:20])
            sentence = ngettext(
                "{count} was marked by somebody else meanwhile, and left alone: {names}.",
                "{count} were marked by somebody else meanwhile, and left alone: {names}.",
                len(report.outrun),
            )
            messages.warning(self.request, sentence.format(count=len(report.outrun), names=names))
        address = reverse("admin:attendance_attendee_changelist")
        return f"{address}?event__id__exact={report.event.pk}"

    def shown(self, form, token=None, report=None):
        to_mark = []
        for status, entries in report.to_mark.items() if report else ():
            timed = [entry._replace(at=entry.at and local(entry.at, report.event.zone)) for entry in entries]
            to_mark.append((status.label, timed))
        context = self.model_admin.admin_site.each_context(self.request) | {
            "title": _("Import attendance"),
            "opts": self.model_admin.opts,
            "form": form,
            "token": token,
            "report": report,
            "to_mark": to_mark,
            "left": report and _left(report),
        }
        return TemplateResponse(self.request, "admin/import_attendance.html", context)


def _tell(report) -> str:
    lines = [f"{status.label}: {len(entries)}" for status, entries in report.to_mark.items() if entries]
    lines += [f"{heading}: {len(entries)}" for heading, _help, entries in _left(report) if entries]
    counts = " " + "; ".join(lines) + "." if lines else ""
    return _("Imported attendance at “{title}”.").format(title=report.event.title) + counts


def _left(report):
    """Headings and lists of what isn't marked, the most urgent first."""
    return [
        (_("Ambiguous"), _("Left out: whom or what these lines mean, isn't clear."), report.ambiguous),
        (_("Unknown"), _("Left out: nobody in the event's room fits these lines."), report.unknown),
        (_("Unreadable"), _("Left out."), report.unreadable),
        (_("Kept"), _("The list says otherwise, but a person or a scan marked them."), report.kept),
        (_("Nothing said"), _("The list doesn't say that they came; they stay as they are."), report.silent),
        (_("Unchanged"), _("Marked so already."), report.unchanged),
    ]
