"""What API views share: one shape of error, keyset pages, ETags, rate limits, Idempotency-Key."""

import functools
import hashlib
from datetime import UTC, timedelta

import django_filters
import limits
import orjson
import structlog
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import conditional_page
from django_filters.fields import IsoDateTimeField
from drf_standardized_errors.handler import ExceptionHandler
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redis import RedisError
from rest_framework import pagination, permissions, throttling
from rest_framework.exceptions import APIException, AuthenticationFailed, NotFound
from rest_framework.response import Response

from config.errors import WENT_WRONG, DomainError, Unavailable, reference, translate
from config.json import JSONRenderer

log = structlog.get_logger(__name__)


# -- Errors --------------------------------------------------------------------------------


class ApiExceptionHandler(ExceptionHandler):
    """The API's one shape of error, for DomainErrors, lost connections and defects alike."""

    def convert_known_exceptions(self, exc):
        if isinstance(exc, DatabaseError):
            exc = translate(exc) or exc
        if isinstance(exc, get_user_model().DoesNotExist):
            exc = AuthenticationFailed()  # a token that outlives its person
        if isinstance(exc, DomainError):
            answer = APIException(detail=str(exc), code=exc.code)
            answer.status_code = exc.status
            answer.wait = exc.retry_after  # DRF turns it into Retry-After
            answer.details = exc.details
            return answer
        return super().convert_known_exceptions(exc)

    def convert_unhandled_exceptions(self, exc):
        if isinstance(exc, APIException):
            return exc
        log.error("api.unexpected_error", exc_info=exc)
        return APIException(detail=str(WENT_WRONG).format(reference()), code="error")

    def format_exception(self, exc):
        content = super().format_exception(exc)
        if details := getattr(exc, "details", None):
            content["errors"][0]["details"] = details
        return content

    def should_not_handle(self, exc):
        return False

    def report_exception(self, exc, response):
        """A database that is away is no defect: the 503 is logged as one, nobody is woken by a 500."""
        if exc.status_code != Unavailable.status:
            super().report_exception(exc, response)


# -- Lists ---------------------------------------------------------------------------------


class KeysetPagination(pagination.CursorPagination):
    """Pages by primary key (ordered by time), so that page 1,000 costs what page 1 does.

    ``Turnout-As-Of`` is the moment to pass as ``updated_since`` next time. It lies a little in the
    past: a transaction that is still running may yet commit rows with an earlier time.
    """

    ordering = "pk"
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    overlap = timedelta(seconds=10)

    def get_ordering(self, request, queryset, view):
        return (getattr(view, "ordering", self.ordering),)

    def paginate_queryset(self, queryset, request, view=None):
        self.as_of = timezone.now() - self.overlap
        self.key = queryset.model._meta.pk
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request):
        """A position that somebody made up is an invalid cursor, like any other."""
        cursor = super().decode_cursor(request)
        if cursor and cursor.position is not None:
            try:
                self.check(cursor.position)
            except ValidationError as error:
                raise NotFound(self.invalid_cursor_message) from error
        return cursor

    def check(self, position):
        """Raises ValidationError."""
        self.key.to_python(position)

    def get_paginated_response(self, data):
        return Response(
            {"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data},
            headers={"Turnout-As-Of": self.as_of.isoformat().replace("+00:00", "Z")},
        )

    def get_schema_operation_parameters(self, view):
        cursor, page_size = super().get_schema_operation_parameters(view)
        cursor["description"] = str(_("Where the page starts: follow next and previous, and make none up."))
        page_size["description"] = str(_("How many there are on a page, at most."))
        page_size["schema"] |= {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [cursor, page_size]

    def get_paginated_response_schema(self, schema):
        page = super().get_paginated_response_schema(schema)
        page["required"] = ["next", "previous", "results"]
        for name in ("next", "previous"):
            del page["properties"][name]["example"]
        return page


class MomentField(IsoDateTimeField):
    """In UTC at once: Python knows offsets that PostgreSQL doesn't, up to 23:59."""

    def to_python(self, value):
        try:
            moment = super().to_python(value)
            return moment and moment.astimezone(UTC)
        except OverflowError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error


class UpdatedSince(django_filters.IsoDateTimeFilter):
    """What changed at or after a moment, for whoever keeps a copy."""

    field_class = MomentField

    def __init__(self):
        words = _("Only what changed since: the Turnout-As-Of of the last time.")
        super().__init__(field_name="updated_at", lookup_expr="gte", help_text=words)


def with_etag(view):
    """ETag and 304 for a big read: a phone that has it downloads nothing."""
    view.has_etag = True
    return method_decorator(conditional_page, name="dispatch")(view)


# -- Who -----------------------------------------------------------------------------------


class IsPublic(permissions.BasePermission):
    """Said aloud by the few calls that anybody may make; every route needs a rule."""

    def has_permission(self, request, view):
        return True


# -- Rate limits ---------------------------------------------------------------------------


@functools.cache
def limiter() -> MovingWindowRateLimiter:
    """Exact across processes, in Redis."""
    url = settings.REDIS_URL.replace("unix://", "redis+unix://", 1)
    return MovingWindowRateLimiter(storage_from_string(url, socket_timeout=1, socket_connect_timeout=1))


def within(rate: str, *key: str) -> bool:
    """Counts one more for the key, and says whether ``rate`` ("10/hour") allows it. True without Redis."""
    return _ask(lambda: limiter().hit(limits.parse(rate), *key))


def has_left(rate: str, *key: str) -> bool:
    """Whether :func:`within` would still allow the key; counts nothing. True without Redis."""
    return _ask(lambda: limiter().test(limits.parse(rate), *key))


def opens_in(rate: str, *key: str) -> float:
    """Seconds until :func:`within` allows the key again; 1 without Redis, which lifts the limit."""
    try:
        reset_at, _remaining = limiter().get_window_stats(limits.parse(rate), *key)
    except RedisError:
        return 1
    return max(1, reset_at - timezone.now().timestamp())


PAUSE = timedelta(seconds=5)
_asks_again_at = None


def _ask(question) -> bool:
    """What Redis says; True without it. One call in PAUSE waits for a Redis that hangs, not every one."""
    global _asks_again_at
    if _asks_again_at is not None and timezone.now() < _asks_again_at:
        return True
    try:
        answer = question()
        _asks_again_at = None
    except RedisError as error:
        _asks_again_at = timezone.now() + PAUSE
        _say_open(error)
        return True
    return answer


class RateLimit(throttling.BaseThrottle):
    """At most ``rate`` ("10/minute") calls of a view for each ``identity``. Open while Redis is away.

    Subclass with ``scope`` and ``rate``; the identity is the person, or the address of a stranger.
    """

    scope = ""
    rate = ""

    def identity(self, request, view):
        return str(request.user.pk) if request.user.is_authenticated else request.META.get("REMOTE_ADDR", "")

    def allow_request(self, request, view):
        self.key = (self.scope, self.identity(request, view))
        return within(self.rate, *self.key)

    def wait(self):
        return opens_in(self.rate, *self.key)


_said_open_at = None


def _say_open(error):
    """Once a minute and process, not once a request."""
    global _said_open_at
    now = timezone.now()
    if _said_open_at is None or now - _said_open_at > timedelta(minutes=1):
        _said_open_at = now
        log.warning("rate_limit.open", reason=str(error))


# -- Idempotency-Key -----------------------------------------------------------------------


class KeyReused(DomainError):
    code = "idempotency_key_reused"
    status = 422
    message = _("This Idempotency-Key was used for another request.")


class KeyRunning(DomainError):
    code = "idempotency_key_running"
    message = _("The first request with this Idempotency-Key is still running.")
    retry_after = 1


class KeyInvalid(DomainError):
    code = "idempotency_key_invalid"
    status = 400
    message = _("An Idempotency-Key has 1 to 255 visible ASCII characters.")


LEASE = timedelta(seconds=60)
"""A worker that was killed blocks its key no longer than this."""
KEPT = timedelta(hours=24)
NOT_KEPT = frozenset({409, 429})


def idempotent(method):
    """For a POST that creates: with an Idempotency-Key header, a retry gets the first one's answer.

    The key is claimed, the call made, and the answer kept for 24 hours a person; answers 409, 429
    and 5xx are not kept, as a retry may fare better. Without the header it costs nothing.
    """

    @functools.wraps(method)
    def handle(view, request, *args, **kwargs):
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return method(view, request, *args, **kwargs)
        if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            raise KeyInvalid
        claim = _claim(request, key)
        if claim.answered_at:
            if not request.user.is_active:  # a token that is valid for minutes yet gets nothing again
                raise NotFound
            body = bytes(claim.body)
            return Response(
                orjson.loads(body) if body else None, status=claim.status, headers={"Idempotent-Replayed": "true"}
            )
        try:
            try:
                response = method(view, request, *args, **kwargs)
            except Exception as error:
                response = view.handle_exception(error)  # a refusal is an answer, and kept like one
        except BaseException:
            _release(claim)
            raise
        if response.status_code in NOT_KEPT or response.status_code >= 500:
            _release(claim)
        else:
            body = JSONRenderer().render(response.data)
            _keys().filter(pk=claim.pk, claimed_until=claim.claimed_until).update(
                answered_at=timezone.now(), status=response.status_code, body=body
            )
        return response

    handle.takes_idempotency_key = True
    return handle


def _keys():
    return apps.get_model("events", "IdempotencyKey").objects


def _release(claim):
    _keys().filter(pk=claim.pk, claimed_until=claim.claimed_until, answered_at=None).delete()


def _claim(request, key):
    """The caller's claim on the key, or the answered one. Raises KeyReused, KeyRunning."""
    now = timezone.now()
    fingerprint = hashlib.sha256(
        b"\n".join(
            [request.method.encode(), request.path.encode(), orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)]
        )
    ).hexdigest()
    mine = {"fingerprint": fingerprint, "claimed_until": now + LEASE, "created_at": now}
    try:
        with transaction.atomic():
            return _keys().create(user_profile_id=request.user.pk, key=key, **mine)
    except IntegrityError:
        pass
    with transaction.atomic():
        claim = _keys().select_for_update().filter(user_profile_id=request.user.pk, key=key).first()
        if claim is None:
            raise KeyRunning  # released this moment: the retry will find it free
        if claim.created_at < now - KEPT or (claim.answered_at is None and claim.claimed_until < now):
            for name, value in mine.items():
                setattr(claim, name, value)
            claim.answered_at = claim.status = claim.body = None
            claim.save()
            return claim
    if claim.fingerprint != fingerprint:
        raise KeyReused
    if claim.answered_at is None:
        raise KeyRunning
    return claim
