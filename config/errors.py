"""One vocabulary of failure: what an operation refuses, and how each door says it.

An operation raises a :class:`DomainError`; the admin shows its sentence, the API answers its
code and status, a command prints it, a task retries :class:`Busy` and logs the rest. A race that
is lost in the database reads the same, because constraint names map to the same classes.
"""

import functools
from typing import Any, NamedTuple

import structlog
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, OperationalError, transaction
from django.http import Http404, JsonResponse
from django.utils.translation import gettext_lazy as _
from django.views import defaults

log = structlog.get_logger(__name__)

SYSTEM = None
"""The actor of what nobody did by hand: beat tasks, backfills, automatic approval."""


class Outcome(NamedTuple):
    """What an operation did to a row; ``changed`` is False where it was that way already."""

    row: Any
    changed: bool


class DomainError(Exception):
    """A refusal that a person can act on.

    ``code`` and ``status`` are the API's; ``message`` is a sentence with ``{placeholders}`` filled
    from the keyword arguments, of which those named in ``facts`` are for programs too; ``constraints``
    are the database's names for the same refusal, which come without figures and so have the sentence ``plain``.
    """

    code = "refused"
    status = 409
    message = _("This isn't possible.")
    plain = None
    facts: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    retry_after: int | None = None
    by_constraint: dict[str, type["DomainError"]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in cls.__dict__.get("constraints", ()):
            other = DomainError.by_constraint.setdefault(name, cls)
            assert other is cls, f"{name} belongs to {other.__name__} already"

    def __init__(self, **params):
        super().__init__()
        self.params = params

    def __str__(self):
        if not self.params and self.plain is not None:
            return str(self.plain)
        return str(self.message).format(**self.params)

    @property
    def details(self) -> dict[str, Any]:
        """The facts that are known: none where the database refused."""
        return {name: self.params[name] for name in self.facts if name in self.params}


class NotFound(DomainError):
    code = "not_found"
    status = 404
    message = _("There is no such thing, or you may not see it.")


class NotAllowed(DomainError):
    code = "permission_denied"
    status = 403
    message = _("You do not have permission to do this.")


class Busy(DomainError):
    """Somebody else holds a lock for too long (``lock_timeout``), or won a deadlock. Try again."""

    code = "busy"
    status = 409
    message = _("Somebody else is changing this right now. Try again in a moment.")
    retry_after = 1


class Unavailable(DomainError):
    """The database can't be reached; nothing was done."""

    code = "unavailable"
    status = 503
    message = _("The service is not available right now. Nothing was changed; try again in a moment.")
    retry_after = 5


class ConstraintViolated(DomainError):
    """A rule of the database that no class above names: refused, though the words are poor."""

    code = "conflict"
    message = _("The database refused this: {constraint}.")


LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION, CANCELED = "55P03", "40P01", "40001", "57014"


def translate(error: DatabaseError) -> DomainError | None:
    """The DomainError that a database error stands for; None where it is a defect of ours."""
    diagnosis = getattr(error.__cause__, "diag", None)
    state = getattr(error.__cause__, "sqlstate", None)
    if state in (LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION, CANCELED):
        return Busy()
    if diagnosis is not None and diagnosis.constraint_name:
        known = DomainError.by_constraint.get(diagnosis.constraint_name)
        return known() if known else ConstraintViolated(constraint=diagnosis.constraint_name)
    # Class 08 is a lost connection, 57 an operator's doing (shutdown), 53 no resources left.
    if isinstance(error, OperationalError) and (state is None or state[:2] in ("08", "57", "53")):
        return Unavailable()
    return None


class translated:
    """``with translated():`` raises DomainErrors in place of the database's errors."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, DatabaseError) and (known := translate(error)):
            raise known from error
        return False


def operation(function):
    """One act of the business: its transaction, and the database's errors as DomainErrors.

    Plain ``atomic``: inside another transaction it is a savepoint, and whoever owns the outer one
    translates what the commit refuses (DomainAdmin does).
    """

    @functools.wraps(function)
    def act(**kwargs):
        with translated(), transaction.atomic():
            return function(**kwargs)

    return act


def lock(queryset, **lookup):
    """The row, locked until the transaction ends. Raises NotFound, Busy.

    The global order of locks, to be kept everywhere: event → request → attendee → guest → room → speaker →
    session → RSVP, waitlist entry → mechanic → a customer's turn → service request → service session → message →
    delivery; several rows of one table by primary key. FOR NO KEY UPDATE lets foreign keys to the row be checked
    meanwhile. A customer's turn is no row (requests.operations.taking.turn_of).

    After a wait the row is as it is now, but what the queryset joins to it is what it was: join what never changes.
    """
    row = queryset.select_for_update(no_key=True, of=("self",)).filter(**lookup).first()
    if row is None:
        raise NotFound
    return row


def lock_event_of(model, pk):
    """The event of a row, locked; the row itself is not read yet. Raises NotFound, Busy."""
    event_id = model.objects.filter(pk=pk).values_list("event_id", flat=True).first()
    if event_id is None:
        raise NotFound
    return lock(model._meta.get_field("event").related_model.objects, pk=event_id)


def lock_with_event(model, pk):
    """``(event, row)``, locked in that order, for a model that has an ``event``. Raises NotFound, Busy."""
    event = lock_event_of(model, pk)
    return event, lock(model.objects, pk=pk)


WENT_WRONG = _("Something went wrong on our side. Reference: {}")


def reference() -> str:
    """The request's id, which the log carries too: what a person quotes when something broke."""
    return structlog.contextvars.get_contextvars().get("request_id", "-")


class DatabaseUnavailableMiddleware:
    """A page that finds no database answers 503 with Retry-After, not 500."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        from django.shortcuts import render

        if isinstance(exception, (Http404, PermissionDenied)) or not isinstance(exception, DatabaseError):
            return None
        known = translate(exception)
        if not isinstance(known, (Unavailable, Busy)):
            return None
        log.warning("page.unavailable", exc_info=exception)
        answer = render(request, "503.html", {"message": known}, status=503)
        answer["Retry-After"] = str(known.retry_after)
        return answer


def refusal(request, code, status, detail, *, kind="client_error"):
    """The API's shape of refusal, where no view of it was reached; None for pages."""
    if not request.path_info.startswith("/api/"):
        return None
    return JsonResponse({"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}, status=status)


def page_missing(request, exception):
    """handler404: no such address."""
    return refusal(request, NotFound.code, 404, str(NotFound.message)) or defaults.page_not_found(request, exception)


def page_refused(request, exception):
    """handler400: a request that makes no sense, whatever it was for."""
    return refusal(request, "parse_error", 400, str(_("Malformed request."))) or defaults.bad_request(
        request, exception
    )


def page_failed(request):
    """handler500: says that it is our fault, and the reference that the log has too."""
    from django.shortcuts import render

    words = str(WENT_WRONG).format(reference())
    answer = refusal(request, "error", 500, words, kind="server_error")
    return answer or render(request, "500.html", {"reference": reference()}, status=500)
