"""What answers a button on a page that was opened before somebody signed in again, or out."""

from urllib.parse import urlsplit

from django.shortcuts import render
from django.views.decorators.cache import never_cache

from .. import pages


@never_cache
def too_old(request, reason=""):
    """Nothing was done; the way back is to the page that has the button."""
    context = {"back": _page_of(request), "all_events": request.path_info.startswith(("/e/", "/sign-"))}
    return render(request, "403_csrf.html", context, status=403)


def _page_of(request) -> str:
    """Where the button was pressed, by what the browser says, if that lies on this site; or nothing."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return ""
    target = page._replace(scheme="", netloc="", fragment="").geturl()
    return target if page.netloc == request.get_host() and pages.is_ours(request, target) else ""
