"""The page behind "No more of these" in a mail; mail programs post to it by themselves (RFC 8058)."""

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from config.errors import NotFound
from events.models import Event

from ..models import OptOut
from ..operations import opt_outs


@csrf_exempt  # whoever has the link may, and nobody else can make one: there is no session to abuse
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request, token):
    """Looking changes nothing: mail filters open links. One click is for the event, or all where there is none."""
    try:
        about = opt_outs.subscription(token)
    except opt_outs.Forgotten:
        return render(request, "messaging/unsubscribe_unknown.html", {"forgotten": True}, status=410)
    except NotFound:
        return render(request, "messaging/unsubscribe_unknown.html", status=404)
    if request.method == "POST":
        return _change(request, about)
    event = Event.objects.filter(pk=about.event_id).select_related("organization").first()
    outs = opt_outs.outs(about)
    context = {
        "address": about.address,
        "event": event,
        "out_of_event": event is not None and event.pk in outs,
        "out_of_all": None in outs,
    }
    return render(request, "messaging/unsubscribe.html", context)


def _change(request, about):
    address = {"channel": about.channel, "address": about.address}
    out = address | {"source": OptOut.Source.UNSUBSCRIBE}
    one_click = request.POST.get("List-Unsubscribe") == "One-Click"
    match "event" if one_click else request.POST.get("choice"):
        case "event":
            opt_outs.opt_out(**out, event_id=about.event_id)
        case "all":
            opt_outs.opt_out(**out)
        case "again":
            opt_outs.opt_in(**address, event_id=about.event_id)
        case _:
            return HttpResponse("choice: event, all or again", status=400, content_type="text/plain")
    if one_click:
        return HttpResponse("Unsubscribed.", content_type="text/plain")
    return HttpResponseRedirect(request.get_full_path())
