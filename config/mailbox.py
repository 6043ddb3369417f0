"""The demo's mailbox: what the site sent by mail, SMS and push, as config.post_office keeps it in files."""

import json
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from functools import wraps

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

PAGE = 50
KINDS = {"mail": "Mail", "sms": "SMS", "push": "Push"}
# A mail's HTML is a stranger's: it may look as it likes, and do or load nothing.
CSP_OF_MAIL = {
    "default-src": [NONE],
    "script-src": [NONE],
    "style-src": [UNSAFE_INLINE],
    "img-src": ["data:"],
    "form-action": [NONE],
    "base-uri": [NONE],
    "frame-ancestors": [SELF],
    "sandbox": ["allow-popups", "allow-popups-to-escape-sandbox"],
}


def _of_demo(view):
    """Shows everything to everybody who reaches it: in the demo, that is this machine."""

    @never_cache
    @require_safe
    @wraps(view)
    def shown(request, **kwargs):
        if not settings.DEMO:
            raise Http404
        return view(request, **kwargs)

    return shown


@_of_demo
def mailbox(request):
    """Newest first; ``?before=`` a number for older ones, ``?kind=`` for one kind."""
    kind, before = request.GET.get("kind"), request.GET.get("before", "")
    if kind not in KINDS:
        kind = None
    found = [name for name in _names() if kind is None or name[1] == kind]
    if before.isdecimal() and len(before) < 20:
        found = [name for name in found if name[0] < int(before)]
    items = [item for number, _kind in found[:PAGE] if (item := _item(number))]
    context = {
        "items": items,
        "kind": kind,
        "kinds": KINDS,
        "older": items[-1]["number"] if items and len(found) > PAGE else None,
    }
    return render(request, "mailbox/list.html", context)


@_of_demo
def mailbox_item(request, number):
    item = _item(number)
    if item is None:
        raise Http404
    return render(request, "mailbox/item.html", {"item": item})


@_of_demo
@xframe_options_sameorigin
@csp_replace(CSP_OF_MAIL)
def mailbox_html(request, number):
    """The HTML of a mail, for the frame on its page. Links open beside it."""
    item = _item(number)
    if item is None or not item.get("html"):
        raise Http404
    return HttpResponse(item["html"].replace("<head>", '<head><base target="_blank">', 1))


def _folder():
    return settings.DATA_DIR / "post"


def _names() -> list[tuple[int, str]]:
    """Number and kind of each, newest first."""
    found = []
    for path in _folder().glob("*-*.json"):
        number, _dash, kind = path.stem.partition("-")
        if number.isdecimal() and kind in KINDS:
            found.append((int(number), kind))
    return sorted(found, reverse=True)


def _item(number) -> dict | None:
    """What the pages show of one; None where it isn't there, or no more."""
    for kind in KINDS:
        path = _folder() / f"{number:08}-{kind}.json"
        try:
            kept = json.loads(path.read_bytes())
            raw = path.with_suffix(".eml").read_bytes() if kind == "mail" else b""
        except OSError:
            continue
        shown = {"number": number, "kind": kind, "label": KINDS[kind], "at": datetime.fromtimestamp(kept["at"], UTC)}
        return shown | {"mail": _mail, "sms": _sms, "push": _push}[kind](kept, raw)
    return None


def _mail(kept, raw):
    # As text, and not by the newer policy, which puts blanks into names that take several lines.
    headers = [(name, _decoded(value)) for name, value in message_from_bytes(raw).items()]
    by_name = dict(headers)
    message = message_from_bytes(raw, policy=policy.default)
    parts = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    return {
        "to": by_name.get("To", ", ".join(kept["recipients"])).replace('"', ""),
        "title": by_name.get("Subject", ""),
        "headers": headers,
        "text": parts["plain"].get_content() if parts["plain"] else "",
        "html": parts["html"].get_content() if parts["html"] else "",
    }


def _sms(kept, _raw):
    headers = [("To", kept["to"]), ("From", kept["sender"]), ("SID", kept["sid"]), ("Callback", kept["callback"] or "")]
    return {"to": kept["to"], "title": kept["body"].partition("\n")[0], "headers": headers, "text": kept["body"]}


def _push(kept, _raw):
    message = kept["message"]
    notification = message.get("notification", {})
    headers = [("Token", kept["token"]), *message.get("data", {}).items()]
    title, body = notification.get("title", ""), notification.get("body", "")
    return {"to": kept["token"], "title": title, "headers": headers, "text": f"{title}\n\n{body}"}


def _decoded(value) -> str:
    return str(make_header(decode_header(value.replace("\r\n", "").replace("\n", ""))))
