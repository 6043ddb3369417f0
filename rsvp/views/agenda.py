"""The agenda, a session's page, and what people do there.

Whatever is done is posted and answered by a redirect back to the session's card, which says what came of
it. Where htmx asks from the agenda, the answer is that card, and those that it overlaps.
"""

import functools
import unicodedata
from itertools import groupby
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import ordinal
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.text import Truncator, slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from config.errors import DomainError, NotFound, Unavailable
from events import pages
from events.models import Session

from .. import calendars
from ..api.calendars import file
from ..api.pace import retry_after, within_pace
from ..forms import FeedbackForm, FilterForm, SeatsForm
from ..models import RsvpStatus, SessionFeedback, WaitlistEntry, WaitlistStatus
from ..operations import agenda as reading
from ..operations import feedback, feeds, line, reserving, standing
from ..operations.standing import SessionFull
from . import cards

MOST = 100
"""Cards of a search through all days."""


# -- Looking -------------------------------------------------------------------------------------------


class Agenda:
    """What of an event's agenda is shown for the filters of an address: one day of it, or what is searched for."""

    def __init__(self, event, person, data):
        sessions = Session.objects.filter(event=event).order_by("starts_at")
        found = sessions.values_list("starts_at", "track", "room_id", "room__name")
        form = FilterForm(data)
        self.event = event
        self.days, self.tracks, self.rooms = [], set(), {}
        for starts_at, track, room, name in found:
            day = starts_at.astimezone(event.zone).date()
            if not self.days or self.days[-1] != day:
                self.days.append(day)
            self.tracks.add(track)
            self.rooms[room] = name
        self.tracks = sorted(self.tracks - {""}, key=str.casefold)
        self.rooms = sorted(((pk, name) for pk, name in self.rooms.items() if pk), key=lambda one: one[1].casefold())
        self.today = timezone.now().astimezone(event.zone).date()
        self.q = form.wanted("q") or ""
        self.track = self._known(form.wanted("track"), self.tracks)
        self.room = self._known(form.wanted("room"), dict(self.rooms))
        self.is_filtered = bool(self.q or self.track or self.room)
        self.day = self._known(form.wanted("day"), self.days)
        if self.day is None and not self.is_filtered:
            self.day = self._usual_day()
        slots = reading.of_event(event=event, person=person, day=self.day, track=self.track, room=self.room)
        slots = [slot for slot in slots if _has_words(slot, self.q)]
        self.found = len(slots)
        self.left_out = 0 if self.day else max(0, self.found - MOST)
        self.cards = cards.of(slots[: self.found - self.left_out], event=event, person=person)

    @staticmethod
    def _known(wanted, among):
        return wanted if wanted in among else None

    def _usual_day(self):
        """Today, while the event runs; else where it begins."""
        if not self.days:
            return None
        coming = [day for day in self.days if day >= self.today]
        return coming[0] if coming else self.days[0]

    @property
    def groups(self) -> list[tuple]:
        """Days, each with the times at which something begins, each with cards; what is over today apart."""

        def day(card):
            return card.slot.starts_at.astimezone(self.event.zone).date()

        return [(one, self._parts(one, list(group))) for one, group in groupby(self.cards, key=day)]

    def _parts(self, day, shown):
        is_today = day == self.today and not self.q
        over = [card for card in shown if is_today and card.is_over]
        rest = [card for card in shown if not (is_today and card.is_over)]
        return {"over": self._by_time(over), "over_count": len(over), "times": self._by_time(rest)}

    def _by_time(self, shown):
        return [(moment, list(group)) for moment, group in groupby(shown, key=lambda card: card.slot.starts_at)]

    def address(self, **changed) -> str:
        """The agenda's, with these filters and no others than are chosen."""
        chosen = {"day": self.day and self.day.isoformat(), "track": self.track, "room": self.room, "q": self.q}
        query = {name: value for name, value in (chosen | changed).items() if value}
        return reverse("agenda", args=[self.event.slug]) + (f"?{urlencode(query)}" if query else "")

    @property
    def choices(self) -> list[tuple]:
        """Addresses of the days, and whether each is the one that is shown."""
        days = [(self.address(day=day.isoformat()), day, day == self.day) for day in self.days]
        return [(self.address(day=None), None, self.day is None), *days] if self.is_filtered else days


def _has_words(slot, text) -> bool:
    """Every word, somewhere in what is known of the session; with its accents or without."""
    if not text:
        return True
    known = [slot.title, slot.abstract, slot.room, slot.track, slot.session_type, *slot.speakers]
    known = _plain(" ".join(known))
    return all(word in known for word in _plain(text).split())


def _plain(text) -> str:
    if text.isascii():
        return text.lower()
    return "".join(one for one in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(one))


@require_safe
@never_cache
@vary_on_headers("HX-Request")
def agenda(request, slug):
    event = pages.event_of(request, slug)
    shown = Agenda(event, person_of(request), request.GET)
    context = {"event": event, "tab": "agenda", "agenda": shown, "here": shown.address(), "live": "card"}
    return render(request, "rsvp/agenda.html", context | tell(request, shown.cards))


@require_safe
@never_cache
def session_page(request, slug, session_id):
    event = pages.event_of(request, slug)
    card = card_of(request, event, session_id)
    return _session(request, event, card, _feedback_form(request, card))


def _session(request, event, card, form):
    here = reverse("session_page", args=[event.slug, card.slot.id])
    context = {"event": event, "tab": "agenda", "card": card, "here": here, "live": "page", "feedback": form}
    return render(request, "rsvp/session.html", context | tell_live(request, [card]))


def _feedback_form(request, card, data=None):
    """For those who were there; None for all others."""
    person = person_of(request)
    attendee = person and card.is_over and feedback.may_give(session_id=card.slot.id, person=person)
    if not attendee:
        return None
    given = SessionFeedback.objects.filter(session=card.slot.id, attendee=attendee).first()
    form = FeedbackForm(data, initial={"rating": given.rating, "comment": given.comment} if given else None)
    form.given = given
    return form


@never_cache
@require_POST
def give_feedback(request, slug, session_id):
    if person_of(request) is None:
        return _to_sign_in(request, slug, session_id)
    event = pages.event_of(request, slug)
    card = card_of(request, event, session_id)
    form = _feedback_form(request, card, request.POST)
    if form is None:
        raise Http404
    if not form.is_valid():
        return _session(request, event, card, form)
    said = {"rating": int(form.cleaned_data["rating"]), "comment": form.cleaned_data["comment"]}
    try:
        feedback.give(session_id=session_id, person=request.user, **said)
    except DomainError as error:
        if pages.is_passing(error):
            return pages.try_again(request, error)
        form.add_error(None, str(error))
        return _session(request, event, card, form)
    messages.success(request, _("Thank you for your feedback."))
    return pages.see("session_page", slug, session_id)


@require_safe
def calendar_file(request, slug, session_id):
    """For whoever may see the session's page."""
    event = pages.event_of(request, slug)
    entries = feeds.entries(Session.objects.filter(event=event, pk=session_id))
    if not entries:
        raise Http404
    name = slugify(entries[0].title)[:60].strip("-") or "session"
    return file(calendars.calendar(entries), name, is_download=True)


def person_of(request):
    return request.user if request.user.is_authenticated else None


def card_of(request, event, session_id) -> cards.Card:
    card = cards.of_session(session_id, event=event, person=person_of(request))
    if card is None:
        raise Http404
    return card


# -- What came of it -----------------------------------------------------------------------------------------


def say(request, session_id, level, words) -> None:
    """On the session's card, on the page that is seen next."""
    messages.add_message(request, level, words, extra_tags=f"s-{session_id}")


def tell(request, shown) -> dict:
    """Context: what is to be told goes to its card, or where that isn't shown, above all."""
    by_card, rest = {f"s-{card.slot.id}": card for card in shown}, []
    for message in messages.get_messages(request):
        card = by_card.get(message.extra_tags)
        (card.told if card else rest).append(message)
    return {"messages": rest}


def tell_live(request, shown) -> dict:
    """As :func:`tell`; what has no card is told within what htmx swaps, not above it."""
    return {"messages": [], "rest": tell(request, shown)["messages"]}


def _stands(request, event, seat) -> None:
    """How the person stands now."""
    pk = seat.session_id
    if seat.status == RsvpStatus.CONFIRMED:
        words = ngettext("You're in.", "You're in, with {count} seats.", seat.seats).format(count=seat.seats)
        level = messages.WARNING if seat.conflicts else messages.SUCCESS
        parts = [words, *(_overlap(other, event) for other in seat.conflicts)]
        say(request, pk, level, format_html_join(" ", "{}", ((one,) for one in parts)))
    elif seat.status == WaitlistStatus.WAITING:
        words = _("You are {place} in line.").format(place=ordinal(seat.position))
        words = f"{words} " + _("As soon as there is a seat for you, we keep it and tell you.")
        say(request, pk, messages.SUCCESS, words)
    elif seat.status == WaitlistStatus.OFFERED:
        say(request, pk, messages.SUCCESS, _("A seat has just become free, and is kept for you."))


def _overlap(other, event) -> str:
    begins, ends = (moment.astimezone(event.zone).strftime("%H:%M") for moment in (other.starts_at, other.ends_at))
    title = Truncator(other.title).chars(80)
    times = format_html('<bdi dir="ltr">{}–{}</bdi>', begins, ends)
    return format_html(_("It overlaps with {title}, {times}."), title=format_html("<bdi>{}</bdi>", title), times=times)


# -- Doing ---------------------------------------------------------------------------------------------------


def act(function):
    """``function(request, event, session_id)`` does something and says what came of it.

    What is refused is said on the card too. Whoever isn't signed in any more signs in, and comes back there.
    """

    @require_POST
    @never_cache
    @functools.wraps(function)
    def view(request, slug, session_id):
        if person_of(request) is None:
            return _to_sign_in(request, slug, session_id)
        event = pages.event_of(request, slug)
        if not Session.objects.filter(event=event, pk=session_id).exists():
            raise Http404
        if not within_pace(request.user):
            wait = retry_after(request.user)
            words = ngettext(
                "Too many changes at once: wait {seconds} second.",
                "Too many changes at once: wait {seconds} seconds.",
                wait,
            )
            say(request, session_id, messages.ERROR, words.format(seconds=wait))
        else:
            try:
                function(request, event, session_id)
            except Unavailable as error:
                return pages.try_again(request, error)
            except NotFound:
                say(request, session_id, messages.WARNING, _("There was nothing of yours to change."))
            except DomainError as error:
                say(request, session_id, messages.ERROR, str(error))
        return _answer(request, event, session_id)

    return view


def back_of(request, slug, session_id) -> str:
    """Where the card was clicked."""
    fallback = reverse("session_page", args=[slug, session_id])
    return pages.safe_next(request, fallback).partition("#")[0]


def _to_sign_in(request, slug, session_id):
    target = f"{back_of(request, slug, session_id)}#s-{session_id}"
    address = f"{reverse('web_sign_in')}?{urlencode({'next': target})}"
    return HttpResponse(headers={"HX-Redirect": address}) if is_live(request) else pages.see(address)


def is_live(request) -> bool:
    """htmx asks."""
    return request.headers.get("HX-Request") == "true"


def _answer(request, event, session_id):
    back = back_of(request, event.slug, session_id)
    if is_live(request) and _page_at(back, event) == "agenda":
        return _swapped(request, event, session_id, back)
    return pages.see(f"{back}#s-{session_id}")


def _page_at(address, event) -> str:
    """The name of the event's page there."""
    try:
        found = resolve(urlsplit(address).path)
    except Resolver404:
        return ""
    return found.url_name if found.kwargs.get("slug") == event.slug else ""


def _swapped(request, event, session_id: UUID, back):
    """The card, and those on the same page that the person would now miss, or no longer."""
    shown = Agenda(event, request.user, QueryDict(urlsplit(back).query))
    found = [card for card in shown.cards if card.slot.id == session_id]
    card = found[0] if found else card_of(request, event, session_id)
    others = [one for one in shown.cards if one is not card and cards.overlap(one.slot, card.slot)]
    context = {"event": event, "card": card, "others": others, "here": back, "live": "card"}
    return render(request, "rsvp/swapped.html", context | tell(request, [card]))


@act
def rsvp(request, event, session_id):
    """A seat, or several; ``line-3``: three together, by the line."""
    try:
        seats, by_line = SeatsForm(request.POST).chosen()
    except ValidationError as error:
        return say(request, session_id, messages.ERROR, error.message)
    if by_line:
        return _stands(request, event, line.join(session_id=session_id, person=request.user, party_size=seats))
    try:
        seat = reserving.reserve(session_id=session_id, person=request.user, seats=seats)
    except SessionFull as error:
        return say(request, session_id, messages.ERROR, _too_late(error))
    return _stands(request, event, seat)


def _too_late(error) -> str:
    left = error.params["capacity"] - error.params["seats_taken"] if error.params else 0
    if left > 0 and not error.params["waitlist_length"]:
        return ngettext("Only {count} seat is left.", "Only {count} seats are left.", left).format(count=left)
    return _("The last seat has just gone. You can join the line.")


@act
def join(request, event, session_id):
    try:
        seats, _by_line = SeatsForm(request.POST).chosen()
    except ValidationError as error:
        return say(request, session_id, messages.ERROR, error.message)
    return _stands(request, event, line.join(session_id=session_id, person=request.user, party_size=seats))


@act
def offer(request, event, session_id):
    """The answer to an offer; to the one that the person saw, and no later one."""
    entry, person = request.POST.get("entry", ""), request.user
    try:
        entry = UUID(entry)
    except ValueError as error:
        raise NotFound from error
    if request.POST.get("answer") == "accept":
        try:
            return _stands(request, event, line.accept(entry_id=entry, person=person))
        except (line.NoOffer, line.OfferExpired):
            return say(request, session_id, messages.ERROR, _passed(entry))
    try:
        line.decline(entry_id=entry, person=person)
    except line.NoOffer:
        return say(request, session_id, messages.WARNING, _("This offer was over already."))
    return say(request, session_id, messages.SUCCESS, _("Thank you: the seat goes to the next in line."))


def _passed(entry_id) -> str:
    """What became of a place in line whose offer is no more; it doesn't wait for the sweep."""
    entry = WaitlistEntry.objects.get(pk=entry_id)
    line.settle(session_id=entry.session_id)
    entry.refresh_from_db()
    words = _("The time to answer has passed: the seat goes to the next in line.")
    match entry.status:
        case WaitlistStatus.OFFERED:
            return _("The time to answer had passed. As nobody else waits, a seat is kept for you once more.")
        case WaitlistStatus.WAITING:
            place = ordinal(standing.position(entry.pk))
            return words + " " + _("You are {place} in line now.").format(place=place)
        case WaitlistStatus.EXPIRED:
            return words
    return _("This offer was over already.")


@act
def _give_up(request, event, session_id):
    """What the person saw that they would give up, and not what became of it meanwhile."""
    if request.POST.get("what") == "place":
        seat = line.leave(session_id=session_id, person=request.user)
        words = _("You left the line.") if not seat.rsvp_id or seat.status != RsvpStatus.CONFIRMED else _("You're in.")
    else:
        seat = reserving.cancel(session_id=session_id, person=request.user)
        words = ngettext("You gave your seat back.", "You gave your {count} seats back.", seat.seats or 1)
        words = words.format(count=seat.seats)
    say(request, session_id, messages.SUCCESS, words)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
def cancel(request, slug, session_id):
    """Asks first, and says what happens; with ``keep``, for htmx: the card as it was before it asked."""
    if request.method == "POST":
        return _give_up(request, slug, session_id)
    if person_of(request) is None:
        return _to_sign_in(request, slug, session_id)
    event = pages.event_of(request, slug)
    card = card_of(request, event, session_id)
    back = back_of(request, slug, session_id)
    if "keep" in request.GET:
        return _as_it_stands(request, event, card, back)
    if card.act not in ("cancel", "leave"):
        say(request, session_id, messages.WARNING, _("This changed meanwhile."))
        return _as_it_stands(request, event, card, back)
    card.asks = True
    context = {"event": event, "tab": "agenda", "card": card, "here": back}
    if not is_live(request):
        return render(request, "rsvp/cancel.html", context)
    page = _page_at(back, event)
    context["live"] = "card" if page == "agenda" else "page"
    return render(request, "rsvp/box.html" if page == "session_page" else "rsvp/card.html", context)


def _as_it_stands(request, event, card, back):
    """Nothing is asked: where the card is alone, htmx gets it anew; My Schedule is seen anew as a whole."""
    if not is_live(request):
        return pages.see(f"{back}#s-{card.slot.id}")
    page = _page_at(back, event)
    if page == "agenda":
        return _swapped(request, event, card.slot.id, back)
    if page != "session_page":
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = {"event": event, "card": card, "here": back, "live": "page"}
    return render(request, "rsvp/box.html", context | tell_live(request, [card]))
