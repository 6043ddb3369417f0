"""What the attendees' pages (templates/web) have in common, whichever app they are in.

A view is made of these: :func:`event_of` finds the event or answers 404, :func:`signed_in` sends
strangers to sign in and back again, :func:`refusals_told` says what an operation refused, and an
upper app brings its part of the event page with :func:`part`. A POST that did something redirects
(:func:`see`), so that reloading repeats nothing.
"""

import functools
from collections.abc import Callable
from typing import Any

import structlog
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache

from config.errors import Busy, DomainError, NotFound, Unavailable

from .models import Event

log = structlog.get_logger(__name__)


# -- Which event, for whom ----------------------------------------------------------------------


OPEN_TO_ALL = (Event.Visibility.PUBLIC, Event.Visibility.UNLISTED)


def event_of(request: HttpRequest, slug: str) -> Event:
    """The event, as far as whoever looks may see it. Raises Http404. One query.

    Who is signed in sees what the API shows them, and finds ``my_attendee_id``, ``my_role`` and
    ``my_request_status`` on it (None for a stranger). A stranger sees what is published, unlisted events
    too: they have the address.
    """
    person = request.user
    if person.is_authenticated:
        events = Event.objects.reachable_by(person).with_standing(person)
    else:
        events = Event.objects.published().filter(visibility__in=OPEN_TO_ALL)
    event = events.select_related("organization").filter(slug=slug).first()
    if event is None:
        raise Http404
    if not person.is_authenticated:
        event.my_attendee_id = event.my_role = event.my_request_status = None
    return event


# -- Who ----------------------------------------------------------------------------------------


def signed_in(view):
    """For pages of one's own: a stranger signs in first, and comes back to this address.

    What a stranger posted is not kept: they come back to the page that has the form.
    """

    @never_cache
    @functools.wraps(view)
    def gate(request, *args, **kwargs):
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return see(f"{reverse('web_sign_in')}?{urlencode({'next': request.get_full_path()})}")

    return gate


def safe_next(request: HttpRequest, fallback: str = "") -> str:
    """Where the person was going (``next``, posted or in the address), if that lies on this site."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    return target if is_ours(request, target) else fallback


def is_ours(request: HttpRequest, target: str) -> bool:
    return (
        len(target) <= LONGEST_NEXT
        and target.startswith("/")
        and target.isprintable()
        and url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    )


LONGEST_NEXT = 500


# -- What is answered -----------------------------------------------------------------------------


class SeeOther(HttpResponse):
    """303: whatever was posted, go on with GET."""

    status_code = 303

    def __init__(self, url):
        super().__init__(headers={"Location": iri_to_uri(url)})
        self.url = url


def see(url_or_name: str, *args: Any) -> SeeOther:
    """On to an address, or to the page of this name: ``see("event_page", event.slug)``."""
    return SeeOther(url_or_name if url_or_name.startswith("/") else reverse(url_or_name, args=args))


def refusals_told(back: Callable[..., str]):
    """``@refusals_told(lambda request, slug: reverse("agenda", args=[slug]))``: what an operation refuses is
    said as a message on the page ``back``.

    A view with a form catches DomainError itself, to say it beside the form with the input kept, and
    lets what :func:`is_passing` through: that becomes a page that says to try again (503, Retry-After).
    NotFound becomes 404.
    """

    def decorate(view):
        @functools.wraps(view)
        def told(request, *args, **kwargs):
            try:
                return view(request, *args, **kwargs)
            except NotFound as error:
                raise Http404 from error
            except DomainError as error:
                if is_passing(error):
                    return try_again(request, error)
                messages.error(request, str(error))
                return see(back(request, *args, **kwargs))

        return told

    return decorate


def is_passing(error: DomainError) -> bool:
    """Whether the same click may do in a moment: nothing is wrong with what was asked."""
    return isinstance(error, (Busy, Unavailable))


def try_again(request, error: DomainError) -> HttpResponse:
    log.warning("page.unavailable", exc_info=error)
    answer = render(request, "web/try_again.html", {"message": error}, status=503)
    answer["Retry-After"] = str(error.retry_after)
    return answer


# -- The event page's parts ---------------------------------------------------------------------------

_parts: list[Callable[[HttpRequest, Event], dict | None]] = []


def part(function=None, *, first=False):
    """An upper app's part of the event page: ``function(request, event)`` → ``{"template": …, …}`` or None.

    The event is that of :func:`event_of`; each part makes a fixed number of queries, and its template
    finds the dict as ``part``. ``first``: one's own standing comes before what the apps show of the event.
    """
    if function is None:
        return functools.partial(part, first=first)
    _parts.insert(0 if first else len(_parts), function)
    return function


def parts_of(request, event) -> list[dict]:
    return [shown for function in _parts if (shown := function(request, event))]
