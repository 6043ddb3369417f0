"""Letters about accounts: put into the outbox here, in the caller's transaction, and sent by messaging.

What a letter says is worked out when it is sent (:func:`written`), so that its code is fresh and
stored nowhere, and what is pointless by then isn't sent at all. A call that is open to anybody
writes its row whoever has the address: how long it takes tells nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language, override

from config import celery

from ..models import AccountLetter

LONGEST = timedelta(hours=24)
"""A letter that couldn't be sent for so long is given up: whoever waited for it has asked again."""
KEPT = timedelta(days=30)
LINKS_KEPT = timedelta(days=1)
"""Links to sign in go to anybody whose address is typed in: the row goes with the first sweep that may."""


@dataclass(frozen=True)
class Text:
    """A letter as it goes out. ``to`` is the row's address, or what has become of it."""

    to: str
    subject: str
    body: str


_writers: dict[str, Callable[[AccountLetter], Text | None]] = {}


def post(kind, address, *, user=None, channel=AccountLetter.Channel.EMAIL, **context) -> None:
    """Goes out once the transaction stands. ``context`` must hold no secret."""
    context["language"] = get_language()
    AccountLetter.objects.create(kind=kind, address=address, user=user, channel=channel, context=context)
    celery.start("messaging.tasks.send_letters")


def writes(*kinds):
    """``@writes(Kind.…)``: says what letters of these kinds read, or None where there is no point any more."""

    def mark(writer):
        _writers.update(dict.fromkeys(kinds, writer))
        return writer

    return mark


def written(letter) -> Text | None:
    """What the letter says now. None: it is pointless, as a later one does, or things have changed since."""
    with override(letter.context["language"]):
        return None if _superseded(letter) else _writers[letter.kind](letter)


def _superseded(letter) -> bool:
    """Whoever asked several times while nothing could be sent gets one letter, in whichever order they are
    taken up. Letters of different people are kept apart: nobody silences another's by asking for the same address."""
    if letter.kind == AccountLetter.Kind.EMAIL_CHANGED:  # each to another former address
        return False
    same = Q(user=letter.user_id) if letter.user_id else Q(user=None, address=letter.address)
    return AccountLetter.objects.filter(same, kind=letter.kind, pk__gt=letter.pk, error="").exists()


def text(template, to, **context) -> Text:
    """A Text of templates/mail. No mail carries a name: anybody can sign up as anything, and would have
    us send it to strangers."""
    content = render_to_string(f"mail/{template}.txt", context | {"site": settings.SITE_URL})
    subject, _newline, body = content.partition("\n")
    return Text(to=to, subject=subject.strip(), body=body.strip() + "\n")


def forget() -> None:
    now = timezone.now()
    AccountLetter.objects.filter(created_at__lt=now - KEPT).delete()
    AccountLetter.objects.filter(kind=AccountLetter.Kind.SIGN_IN, created_at__lt=now - LINKS_KEPT).delete()
