"""The door page: a shell that is the same for everybody. Whatever it shows comes from the API."""

import hashlib
import json
from pathlib import Path

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

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
