"""How requests for help, and what happens to them, are put into words for organisers and mechanics."""

from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..models import RequestStatus

COLOURS = {
    RequestStatus.PENDING.value: "warning",
    RequestStatus.UNATTENDED.value: "danger",
    RequestStatus.ACCEPTED.value: "info",
    RequestStatus.COMPLETED.value: "success",
    RequestStatus.CANCELLED.value: "default",
}

STEPS = {
    "asked": _("Asked for help"),
    "accepted": _("Accepted"),
    "takeover": _("Given to somebody by an organiser"),
    "released": _("Handed back"),
    "idle": _("Back in the line: nothing was done about it"),
    "off_duty": _("Back in the line: its mechanic went off duty"),
    "unattended": _("Waited for too long: unattended"),
    "completed": _("Done"),
    "cancelled": _("Cancelled by the customer"),
    "cancelled_by_organizer": _("Cancelled by an organiser"),
    "replaced": _("Cancelled: the customer asked anew"),
    "backfill": _("Made afterwards, for a session that had none"),
}


def zone_of(request) -> ZoneInfo:
    """Of its event; the site's, where it belongs to none."""
    return request.event.zone if request.event_id else ZoneInfo(settings.TIME_ZONE)


def step_words(step) -> dict:
    """What it was; whose it was before and is since."""
    status = f"{step.get_from_status_display() or '–'} → {step.get_to_status_display()}"
    moved = step.from_mechanic_id != step.to_mechanic_id
    return {
        "what": STEPS.get(step.reason) or step.reason or status,
        "moved": moved,
        "before": str(step.from_mechanic or "–"),
        "after": str(step.to_mechanic or "–"),
    }


def going_back(held: int) -> str | None:
    """What becomes of what mechanics have in hand who are about to stop."""
    if not held:
        return None
    return ngettext(
        "{} request in hand goes back to the line, and its customer hears of it.",
        "{} requests in hand go back to the line, and their customers hear of it.",
        held,
    ).format(held)


def duration(time) -> str:
    """To the second where that matters, below an hour."""
    if time is None:
        return "–"
    seconds = round(time.total_seconds())
    if seconds < 60:
        return gettext("{} s").format(seconds)
    if seconds < 3600:
        return gettext("{} min {:02} s").format(*divmod(seconds, 60))
    return gettext("{} h {:02} min").format(*divmod(seconds // 60, 60))
