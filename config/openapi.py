"""The OpenAPI document: what REST framework's views don't say of themselves.

Every refusal has one shape, so it is one component, and each call lists the codes that it can
really answer with (``x-codes``): those that follow from how a view is built are worked out here,
those of the operation behind it are named with :func:`refuses`. The tests hold the list to what
the server answers.
"""

from collections import defaultdict

from django.conf import settings
from django.urls import get_resolver
from django.utils.encoding import force_str
from django.utils.translation import gettext_lazy as _
from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from rest_framework import exceptions, serializers

from .errors import Busy, ConstraintViolated, DomainError, NotFound, Unavailable
from .json import TooLarge

TYPES = [(name, name) for name in ("validation_error", "client_error", "server_error")]


class Error(serializers.Serializer):
    code = serializers.CharField(help_text=_("For programs; all codes are listed at the top."))
    detail = serializers.CharField(help_text=_("For people."))
    attr = serializers.CharField(allow_null=True, help_text=_("The field that is wrong, if it is one."))
    details = serializers.DictField(
        required=False, help_text=_("What programs may want to know of it; the list of codes says which have any.")
    )


class Refusal(serializers.Serializer):
    """What every answer that is no success looks like."""

    type = serializers.ChoiceField(TYPES)
    errors = Error(many=True)


def refuses(*classes):
    """``@refuses(EventFull, EventClosed)``: what the call's operation raises, for the document."""

    def mark(method):
        method.refuses = classes
        return method

    return mark


WORDS = {
    "304": _("What you have is still true."),
    "400": _("The input is wrong; attr says which field."),
    "401": _("Sign in first, or again."),
    "403": _("Not allowed."),
    "404": _("Not there, or not for you to see."),
    "409": _("Not possible as things are."),
    "413": _("Too large."),
    "415": _("Not the media type that this call takes."),
    "422": _("The Idempotency-Key was used for another request."),
    "429": _("Too many calls."),
    "503": _("Out of service for a moment; nothing was changed."),
}
OF_TOKENS = (
    "not_authenticated",
    "authentication_failed",
    "token_not_valid",
    "bad_authorization_header",
    "account_closed",
)


def header(description, **schema):
    return {"description": force_str(description), "schema": {"type": "string", **schema}}


RETRY_AFTER = header(_("Seconds to wait before the next attempt."), type="integer", minimum=1)
ETAG = header(_("Send it back as If-None-Match next time."))
AS_OF = header(_("The moment to pass as updated_since next time."), format="date-time")
REPLAYED = header(_("Present when this is the kept answer to the first request with the key."), enum=["true"])
CHALLENGE = header(_("How to sign in."))


class AutoSchema(SpectacularSchema):
    def get_operation(self, *args, **kwargs):
        operation = super().get_operation(*args, **kwargs)
        if operation:
            self._add_headers(operation)
            self._add_refusals(operation)
            operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation

    @property
    def _handler(self):
        return getattr(self.view, self.method.lower(), None)

    @property
    def _has_etag(self):
        return self.method == "GET" and getattr(self.view, "has_etag", False)

    @property
    def _is_idempotent(self):
        return getattr(self._handler, "takes_idempotency_key", False)

    def _postprocess_serializer_schema(self, schema, serializer, direction):
        """What is optional on the way in is there on the way out, as a model's serializer has all its fields."""
        schema = super()._postprocess_serializer_schema(schema, serializer, direction)
        if direction == "response" and isinstance(serializer, serializers.ModelSerializer):
            schema["required"] = sorted(schema["properties"])
        return schema

    def _add_headers(self, operation):
        parameters = operation.setdefault("parameters", [])
        answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        found = {}
        if self._has_etag:
            found["ETag"] = ETAG
            parameters.append({"in": "header", "name": "If-None-Match", **header(_("The ETag of what you have."))})
            operation["responses"]["304"] = {"description": force_str(WORDS["304"]), "headers": {"ETag": ETAG}}
        if {parameter["name"] for parameter in parameters} & {"cursor", "updated_since"}:
            found["Turnout-As-Of"] = AS_OF | {"required": True}
        if self._is_idempotent:
            found["Idempotent-Replayed"] = REPLAYED
            words = _("Makes a retry safe: for 24 hours, the same key gets the first answer. Best a random UUID.")
            schema = {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}
            parameters.append({"in": "header", "name": "Idempotency-Key", **header(words, **schema)})
        if found:
            for answer in answers:
                answer.setdefault("headers", {}).update(found)
        if not parameters:
            del operation["parameters"]

    def _add_refusals(self, operation):
        for status, codes in self._codes(operation).items():
            words = [force_str(WORDS.get(status, ""))]
            if status == "400":
                words.append(force_str(_("Codes of fields, like required or max_length, come besides.")))
            answer = self._get_response_for_code(Refusal, status, media_types=["application/json"])
            answer["description"] = " ".join(words) + f" ({', '.join(sorted(codes))})" * bool(codes)
            answer["x-codes"] = sorted(codes)
            if status in ("429", "503") or status == "409" and "busy" in codes:
                answer["headers"] = {"Retry-After": RETRY_AFTER | {"required": status != "409"}}
            if status == "401":
                answer["headers"] = {"WWW-Authenticate": CHALLENGE}
            operation["responses"][status] = answer

    def _codes(self, operation) -> dict[str, set[str]]:
        """The codes that the call can answer with, by status."""
        codes = defaultdict(set)

        def add(*classes):
            for one in classes:
                status = one.status if isinstance(one, type) and issubclass(one, DomainError) else one.status_code
                codes[str(status)].add(one.code if issubclass(one, DomainError) else one.default_code)

        places = {parameter["in"] for parameter in operation.get("parameters", ())}
        if "query" in places:
            codes["400"] |= set()
        if "requestBody" in operation:
            add(exceptions.ParseError, exceptions.UnsupportedMediaType, TooLarge)
        if "path" in places or any(parameter["name"] == "cursor" for parameter in operation.get("parameters", ())):
            add(NotFound)
        if self.view.get_authenticators():
            codes["401"] |= set(OF_TOKENS)
            codes["503"].add("identity_provider_unreachable")
        if self.view.get_throttles():
            add(exceptions.Throttled)
        if self.method != "GET":
            add(Busy, ConstraintViolated)
        if self._is_idempotent:
            codes["400"].add("idempotency_key_invalid")
            codes["409"].add("idempotency_key_running")
            codes["422"].add("idempotency_key_reused")
        add(Unavailable, *getattr(self._handler, "refuses", ()))
        return codes


# -- The page of all codes -----------------------------------------------------------------------

OF_REST_FRAMEWORK = (
    exceptions.ParseError,
    exceptions.NotAuthenticated,
    exceptions.AuthenticationFailed,
    exceptions.MethodNotAllowed,
    exceptions.UnsupportedMediaType,
    exceptions.Throttled,
    TooLarge,
)
ELSEWHERE = {
    ("bad_authorization_header", 401): _("Authorization is the word Bearer and a token."),
    ("identity_provider_unreachable", 503): _(
        "Your sign-in can't be checked right now: the identity provider doesn't answer."
    ),
    ("error", 500): _("Something went wrong on our side. Reference: {reference}"),
}


def error_codes() -> list[tuple[str, int, str]]:
    """``(code, status, sentence)`` of everything that the site refuses with, apart from fields."""
    get_resolver().url_patterns  # noqa: B018 - all operations are loaded then
    found = defaultdict(set)

    def walk(cls):
        for one in cls.__subclasses__():
            told = f" (`details`: {', '.join(f'`{name}`' for name in one.facts)})" if one.facts else ""
            found[one.code, one.status].add(force_str(one.message) + told)
            walk(one)

    walk(DomainError)
    for one in OF_REST_FRAMEWORK:
        found[one.default_code, one.status_code].add(force_str(one.default_detail))
    for key, sentence in ELSEWHERE.items():
        found[key].add(force_str(sentence))
    return sorted((code, status, " / ".join(sorted(sentences))) for (code, status), sentences in found.items())


def error_table() -> str:
    """All codes as a table in Markdown."""
    rows = [f"| `{code}` | {status} | {sentence} |" for code, status, sentence in error_codes()]
    return "\n".join(["| code | status | what people read |", "| --- | --- | --- |", *rows]) + "\n"


def list_error_codes(result, generator, **_):
    """Puts the table of all codes at the top of the document."""
    info = result["info"]
    info["description"] = f"{info['description']}\n\n## Error codes\n\n{error_table()}"
    return result


ERROR_PAGE = settings.BASE_DIR / "docs" / "errors.md"


def error_page() -> str:
    """docs/errors.md."""
    return f"""# Error codes

Every answer of the API that is no success has one shape:

```json
{{"type": "client_error", "errors": [{{"code": "event_full", "detail": "…", "attr": null}}]}}
```

Programs go by `code`; `detail` is a sentence for people. `type` is
`validation_error` where a field is wrong: then `attr` names it, and the code is one of a field's
(`required`, `null`, `blank`, `invalid`, `max_length`, `min_value`, `invalid_choice` …). All others
are below; where it says so, an error has `details` as well: the facts of its sentence, for programs.
Which of them a call answers with stands at the call, in the API's document (`/api/v1/schema/`, to
read at `/api/v1/docs/`).

Answers with `Retry-After` (`busy`, 429 and 503) are worth another attempt after so many seconds.

{error_table()}"""


def write_error_page():
    ERROR_PAGE.write_text(error_page())
