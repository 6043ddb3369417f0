"""How messages and their times are put in words, on all pages about them."""

from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from unfold.decorators import display

from events.admin import local

from .. import audiences
from ..models import Channel, Message
from ..models.messages import filled

Status = Message.Status
COLOURS = {
    Status.DRAFT.value: "default",
    Status.SCHEDULED.value: "info",
    Status.SENDING.value: "primary",
    "stopped": "warning",
    "withdrawn": "warning",
    Status.SENT.value: "success",
    Status.FAILED.value: "danger",
}


def zone_of(row):
    """The zone of a row's event; the site's where it belongs to none."""
    return row.event.zone if row and row.event else timezone.get_default_timezone()


def title_of(message, event) -> str:
    """How a list names a message: with the event's title filled in; the name stays a placeholder."""
    return filled(str(message), name="{name}", event=event.title if event else "")


def moment(column, label):
    """How a moment of the row's event is shown: by its clock, in a list's narrow column on two lines."""

    @display(description=label, ordering=column)
    def shown(_admin, row):
        return two_lines(getattr(row, column), zone_of(row))

    return shown


def two_lines(at, zone):
    day, comma, time = local(at, zone).partition(", ")
    return format_html('<span class="turnout-moment"><span>{}</span> <span>{}</span></span>', day + comma, time)


def named(names) -> str:
    """Channels in words, in their usual order."""
    return ", ".join(str(one.label) for one in Channel if one.value in names)


def masked(address: str) -> str:
    """Enough of an address to know it again, for whoever looks over a shoulder."""
    if "@" in address:
        name, _at, host = address.partition("@")
        return f"{name[:1]}…@{host}"
    return f"{address[:3]}…{address[-2:]}"


def audience_of(message) -> str:
    """To whom, in words."""
    audience = audiences.all_audiences().get(message.audience)
    if audience is None:
        return ""
    if audience.key != "picked":
        return str(audience.label)
    return _("{}: {}").format(audience.label, sum(len(ids) for ids in message.audience_details.values()))


def state_of(message, done: int | None = None, total: int | None = None) -> tuple[str, str]:
    """A key for the colour, and the state as a short sentence. ``done`` of ``total`` deliveries are decided."""
    if message.status == Status.SCHEDULED:
        return message.status, _("Scheduled for {}").format(local(message.due_moment, zone_of(message)))
    if message.withdrawn_at and message.status in Status.OUT:
        return "withdrawn", _("Withdrawn")
    if message.status != Status.SENDING:
        return message.status, message.get_status_display()
    if message.stopped_at:
        words = _("Stopped at {done} of {total}") if total else _("Stopped before it began")
        return "stopped", words.format(done=f"{done:,}", total=f"{total:,}") if total else words
    if not total:
        return message.status, _("Sending begins")
    return message.status, _("Sending {done} of {total}").format(done=f"{done:,}", total=f"{total:,}")
