"""How messages and their times are put in words, on all pages about them."""

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from unfold.decorators import display

from events.admin import local

from .. import audiences
from ..forms.messages import chosen_of
from ..models import Channel, Message
from ..models.messages import filled

Status = Message.Status
COLOURS = {
    Status.DRAFT.value: "default",
    "put_back": "warning",
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
    return filled(message.opening, name="{name}", event=event.title if event else "")


def figure(number: int) -> str:
    """A number as all pages about messages write it; ``floatformat:"0g"`` in their templates."""
    return number_format(number, decimal_pos=0, use_l10n=True, force_grouping=True)


def counted(by_channel: dict[str, int]) -> str:
    """How many of each channel: "SMS 3, E-mail 1,200"."""
    return ", ".join(f"{one.label} {figure(by_channel[one])}" for one in Channel if by_channel.get(one))


def called_off(event) -> str:
    """What to know of a message that may still go out about an event that is cancelled."""
    if event is None or event.status != event.Status.CANCELLED:
        return ""
    return _("The event is cancelled. The message can go out all the same: make sure that its text fits.")


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
    """To whom, in words; of what was chosen, how many."""
    audience = audiences.all_audiences().get(message.audience)
    if audience is None:
        return ""
    if audience.key != "picked" and not audience.chooses:
        return str(audience.label)
    return _("{}: {}").format(audience.label, figure(sum(len(ids) for ids in message.audience_details.values())))


def audience_in_full(message) -> str:
    """The same for a page of one message: what was chosen by name, where it isn't people."""
    audience = audiences.all_audiences().get(message.audience)
    if audience is None or not audience.chooses or message.event is None:
        return audience_of(message)
    names = chosen_of(audience.form_field(message.event), message.audience_details.get(audience.chooses, []))
    return _("{}: {}").format(audience.label, names or "–")


def state_of(message, done: int | None = None, total: int | None = None) -> tuple[str, str]:
    """A key for the colour, and the state as a short sentence. ``done`` of ``total`` deliveries are decided."""
    if message.status == Status.SCHEDULED:
        return message.status, _("Scheduled for {}").format(local(message.due_moment, zone_of(message)))
    if message.status == Status.DRAFT and message.error:
        return "put_back", _("Draft again: it was not sent")
    if message.withdrawn_at and message.status in Status.OUT:
        return "withdrawn", _("Withdrawn")
    if message.status != Status.SENDING:
        return message.status, message.get_status_display()
    if message.stopped_at:
        words = _("Stopped at {done} of {total}") if total else _("Stopped before it began")
        return "stopped", words.format(done=figure(done), total=figure(total)) if total else words
    if not total:
        return message.status, _("Sending begins")
    return message.status, _("Sending {done} of {total}").format(done=figure(done), total=figure(total))
