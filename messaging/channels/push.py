"""Push through Firebase Cloud Messaging's HTTP v1 API."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import jwt
from django.conf import settings

from .base import Refused, Result, Sent, Throttled, TryLater, Unknown, Unreachable, known_as, one_line
from .http import NOTHING_LEFT, HttpChannel, answered, client, pause, words

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EARLY = 300
"""Seconds before its end at which an access token is renewed."""
TITLE, BODY = 80, 240
"""Characters that phones show; FCM takes 4 KB in all."""
FIELDS = ("project_id", "client_email", "private_key", "token_uri")


class NoAccess(Exception):
    """No access token could be had; the message says why."""


class Push(HttpChannel):
    """The delivery's id is the key that notifications collapse by: sent again by a person, it replaces itself.

    No more than that: who has swiped the first away is disturbed once more. So nothing that is in doubt is
    sent again without a person's word.
    """

    name = "push"

    def __init__(self):
        self._lock = threading.Lock()
        self._access: tuple[str, str, float] | None = None  # for which credentials, the token, until when

    @property
    def url(self):
        return settings.PUSH_API_URL

    def off(self):
        try:
            credentials()
        except ValueError as error:
            return f"Push is off: {error}"
        return None

    def hand_over(self, http, parcel):
        account = credentials()
        try:
            results = [self._one(http, account, parcel, token) for token in parcel.to]
        except NoAccess as error:
            return Unreachable(str(error))
        dead = tuple(token for token, result in zip(parcel.to, results, strict=True) if result is DEAD)
        living = [result for result in results if result is not DEAD]
        if not living:
            return Refused("No device takes pushes any more.", dead=dead)
        best = min(living, key=lambda result: ORDER.index(type(result)))
        return replace(best, dead=dead)

    def _one(self, http, account, parcel, token):
        body = {"message": notification(parcel, token)}
        page = f"{self.url}/v1/projects/{account['project_id']}/messages:send"
        access = None
        for _attempt in range(2):
            access = self._token(account, refused=access)
            try:
                response = http.post(page, json=body, headers={"Authorization": f"Bearer {access}"})
            except NOTHING_LEFT as error:
                return Unreachable(f"No connection to the provider: {words(error)}")
            except httpx.HTTPError as error:
                return Unknown(f"No answer came: {words(error)}")
            if response.status_code != 401:
                break
        return _judged(response)

    # -- Access ----------------------------------------------------------------------------------

    def _token(self, account, refused) -> str:
        """The access token; asked for anew shortly before its end, or where the one we have was refused."""
        which = json.dumps(account, sort_keys=True)
        with self._lock:
            kept = self._access
            if kept and kept[0] == which and kept[1] != refused and time.monotonic() < kept[2]:
                return kept[1]
            token, seconds = _ask_for_token(account)
            self._access = (which, token, time.monotonic() + seconds - EARLY)
            return token


def credentials() -> dict:
    """The service account. Raises ValueError with a sentence."""
    given = settings.PUSH_CREDENTIALS.strip()
    if not given:
        raise ValueError("PUSH_CREDENTIALS, the service account's JSON or its file, is not set.")
    if not given.startswith("{"):
        try:
            given = Path(given).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file that PUSH_CREDENTIALS names can't be read ({error}).") from error
    try:
        account = json.loads(given)
    except ValueError as error:
        raise ValueError(f"PUSH_CREDENTIALS isn't JSON ({error}).") from error
    if missing := [name for name in FIELDS if not isinstance(account, dict) or not account.get(name)]:
        raise ValueError(f"PUSH_CREDENTIALS lacks {', '.join(missing)}.")
    return account


def _ask_for_token(account) -> tuple[str, float]:
    now = int(time.time())
    address = account["token_uri"]
    claims = {"iss": account["client_email"], "scope": SCOPE, "aud": address, "iat": now, "exp": now + 3600}
    try:
        key = {"kid": account["private_key_id"]} if account.get("private_key_id") else None
        assertion = jwt.encode(claims, account["private_key"], algorithm="RS256", headers=key)
        with client(address) as http:
            response = http.post(address, data={"grant_type": GRANT, "assertion": assertion})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoAccess(f"No connection to the provider's sign-in: {words(error)}") from error
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise NoAccess("The private key of PUSH_CREDENTIALS can't be used.") from error
    body = answered(response)
    token, seconds = body.get("access_token"), body.get("expires_in")
    if not response.is_success or not isinstance(token, str) or not isinstance(seconds, (int, float)):
        why = body.get("error_description") or body.get("error") or response.status_code
        raise NoAccess(f"The provider doesn't let us in: {why}")
    return token, float(seconds)


# -- The notification ------------------------------------------------------------------------------


def notification(parcel, token) -> dict:
    key = str(parcel.delivery_id)
    return {
        "token": token,
        "notification": {
            "title": one_line(parcel.subject or parcel.event_title or parcel.organization, TITLE),
            "body": one_line(parcel.body, BODY),
        },
        "data": {
            "message": str(parcel.message_id),
            "delivery": key,
            "event": "" if parcel.event_id is None else str(parcel.event_id),
            "kind": parcel.kind,
        },
        "android": {"collapse_key": key, "notification": {"tag": key}},
        "apns": {"headers": {"apns-collapse-id": key}},
        "webpush": {"headers": {"Topic": parcel.delivery_id.hex}, "notification": {"tag": key}},
    }


DEAD = Result()
"""One device's: nobody takes pushes there any more."""
ORDER = [Sent, Unknown, Throttled, Unreachable, TryLater, Refused]
"""Of what several devices gave, the first of these counts."""


def _judged(response):
    body, status = answered(response), response.status_code
    if response.is_success:
        if name := known_as(body.get("name")):
            return Sent(name)
        return Unknown(f"The provider took it with an answer that makes no sense ({status}).")
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    details = _dicts(error.get("details"))
    code = next((one["errorCode"] for one in details if "errorCode" in one), None)
    if code == "UNREGISTERED" or (code == "INVALID_ARGUMENT" and _is_about_the_token(details)):
        return DEAD
    reason = f"{error.get('message') or response.reason_phrase} ({code or error.get('status') or status})"
    after = pause(response)
    if status == 429 or (status == 503 and after is not None):
        return Throttled(reason, after)
    if code == "SENDER_ID_MISMATCH":  # the device is another project's; or our credentials are, so it stays
        return Refused(reason)
    if status in (401, 403, 404) or status < 400:
        return Unreachable(f"The provider doesn't know us, or isn't there: {reason}")
    if status >= 500 or status == 408:
        return TryLater(reason)
    return Refused(reason)


def _is_about_the_token(details) -> bool:
    """Whether the argument that the provider calls invalid is the device's token, not the message."""
    fields = [field for one in details for field in _dicts(one.get("fieldViolations"))]
    return any(field.get("field") == "message.token" for field in fields)


def _dicts(given) -> list[dict]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
