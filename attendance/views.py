"""Pages: the door, and importing who came.

The door page is a shell that is the same for everybody; whatever it shows comes from the API.
"""

import hashlib
import json
from pathlib import Path

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import messages
from django.contrib.staticfiles import finders
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect, JsonResponse
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

from config import tables, uploads
from config.errors import DomainError, NotFound
from config.tables import TableError
from events.admin import local

from .forms import ImportAttendanceForm
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


# -- Importing who came --------------------------------------------------------------------------

IMPORT = "attendance.import_attendance"
CHOICES = ("event", "listed", "no", "dates", "overwrite")
"""What the import's form asks for besides the file."""
ASKS = {imports.AskListed: "listed", imports.AskOrder: "dates", NotFound: "event"}
"""What the person has to say, and the field where they say it; all else is about the file."""


@require_http_methods(["GET", "POST"])
def import_attendance(request, model_admin):
    """Upload, see what would happen, choose otherwise if need be, confirm. Nothing is written before that."""
    if not request.user.has_perm("attendance.mark_attendee"):
        raise PermissionDenied
    if request.method == "GET":
        return _import_page(request, model_admin, ImportAttendanceForm(person=request.user))
    kept = None
    if "token" in request.POST:
        try:
            kept = uploads.take(request.POST["token"], person=request.user, page=IMPORT)
        except uploads.Gone:
            messages.error(request, _("The uploaded file is no longer here. Choose it again."))
            return HttpResponseRedirect(request.path)
        if "discard" in request.POST:
            kept.discard()
            return HttpResponseRedirect(request.path)
        if "confirm" in request.POST:
            return _confirm(request, model_admin, kept)
    files = request.FILES or (kept and {"file": kept})
    form = ImportAttendanceForm(request.POST, files, person=request.user, kept=kept)
    return _preview(request, model_admin, form, kept)


def _preview(request, model_admin, form, kept):
    if not form.is_valid():
        return _import_page(request, model_admin, form, token=kept and request.POST["token"])
    file = form.cleaned_data["file"]
    data = file.read()
    report, error = _import(request, form, data, dry_run=True)
    token = None
    if not isinstance(error, TableError):  # the file may stay, even where something must be chosen first
        if kept:
            kept.discard()
        choices = {name: form.data.get(name, "") for name in CHOICES}
        token = uploads.keep(data, name=file.name, choices=choices, person=request.user, page=IMPORT)
        form = ImportAttendanceForm(request.POST, {"file": file}, person=request.user, kept=file)
    if error:
        form.add_error(ASKS.get(type(error), "file"), str(error))
    return _import_page(request, model_admin, form, token, report)


def _confirm(request, model_admin, kept):
    """What was shown is done, whatever else the page sends."""
    form = ImportAttendanceForm(kept.choices, {"file": kept}, person=request.user, kept=kept)
    if not form.is_valid():  # a role that the person has lost meanwhile
        messages.error(request, _("What you chose is no longer possible. Choose again."))
        return HttpResponseRedirect(request.path)
    report, error = _import(request, form, kept.read(), dry_run=False)
    if error:
        form.add_error(None, str(error))
        return _import_page(request, model_admin, form, request.POST["token"])
    kept.discard()
    messages.success(request, _tell(report))
    if report.outrun:
        names = ", ".join(entry.name for entry in report.outrun[:20])
        sentence = ngettext(
            "{count} was marked by somebody else meanwhile, and left alone: {names}.",
            "{count} were marked by somebody else meanwhile, and left alone: {names}.",
            len(report.outrun),
        )
        messages.warning(request, sentence.format(count=len(report.outrun), names=names))
    address = reverse("admin:attendance_attendee_changelist")
    return HttpResponseRedirect(f"{address}?event__id__exact={report.event.pk}")


def _import(request, form, data, *, dry_run):
    """(report, None), or (None, why not)."""
    try:
        table = tables.read(data, imports.score)
        report = imports.import_attendance(
            event_id=form.cleaned_data["event"].pk,
            table=table,
            choices=form.choices,
            actor=request.user,
            dry_run=dry_run,
        )
    except (TableError, DomainError) as error:
        return None, error
    return report, None


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


def _import_page(request, model_admin, form, token=None, report=None):
    to_mark = []
    for status, entries in report.to_mark.items() if report else ():
        timed = [entry._replace(at=entry.at and local(entry.at, report.event.zone)) for entry in entries]
        to_mark.append((status.label, timed))
    context = model_admin.admin_site.each_context(request) | {
        "title": _("Import attendance"),
        "opts": model_admin.opts,
        "form": form,
        "token": token,
        "report": report,
        "to_mark": to_mark,
        "left": report and _left(report),
    }
    return TemplateResponse(request, "admin/import_attendance.html", context)
