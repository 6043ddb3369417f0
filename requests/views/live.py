"""A page's way into the live stream."""

from django.http import JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from rest_framework.exceptions import NotAuthenticated, Throttled

from config import second_factor
from config.api import opens_in, within
from config.errors import DomainError, NotAllowed
from events.models.people import Role

from ..api.stream import Tickets, ticket_for


@never_cache
@require_POST
def live_ticket(request):
    """For whoever is signed in, however they signed in: by a link from their mailbox too.

    Not for organisers who have yet to show a password or a code: the stream shows them what the admin does. Their
    pages look for news by themselves.
    """
    person = request.user
    if not person.is_authenticated:
        return _refused(NotAuthenticated.default_code, 401, NotAuthenticated.default_detail)
    if second_factor.pending(request) and person.has_any_role(Role.LOOK):
        return _refused(NotAllowed.code, 403, _("Sign in to the admin first."))
    if not within(Tickets.rate, Tickets.scope, str(person.pk)):
        answer = _refused(Throttled.default_code, 429, Throttled.default_detail)
        answer["Retry-After"] = str(round(opens_in(Tickets.rate, Tickets.scope, str(person.pk))))
        return answer
    try:
        return JsonResponse(ticket_for(person), status=201)
    except DomainError as error:
        return _refused(error.code, error.status, error)


def _refused(code, status, detail):
    """In the API's shape."""
    errors = [{"code": code, "detail": str(detail), "attr": None}]
    return JsonResponse({"type": "client_error" if status < 500 else "server_error", "errors": errors}, status=status)
