"""What the SMS provider calls: how far a text got, and what people text back. Signed with the account's secret."""

import base64
import hashlib
import hmac
import re

import structlog
from django.conf import settings
from django.http import Http404, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from config.errors import DomainError

from .. import channels
from ..channels.base import known_as, one_line
from ..models import Channel, DeliveryStatus, OptOut
from ..operations import opt_outs, receipts

log = structlog.get_logger(__name__)

BODY_LIMIT = 64 * 1024
STATUSES = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.DELIVERED,
    "undelivered": DeliveryStatus.BOUNCED,
    "failed": DeliveryStatus.FAILED,
    "canceled": DeliveryStatus.FAILED,
}
ON_ITS_WAY = {"accepted", "scheduled", "queued", "sending"}
ERRORS = {
    "30003": "The phone is off or out of reach.",
    "30004": "The number or its carrier blocks these messages.",
    "30005": "There is no such number any more.",
    "30006": "It is a landline, or a carrier that can't be reached.",
    "30007": "The carrier took it for spam.",
    "30008": "The carrier didn't say why.",
    "21610": "The person wrote STOP.",
}
"""The provider's codes in words; the rest is in its documentation."""
STOP = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
STOP |= {"STOPP", "ARRET", "ARRÊT", "ALTO", "PARAR", "PARE", "BASTA", "ANNULLA"}
START = {"START", "YES", "UNSTOP"}
NUMBER = re.compile(r"\+[1-9][0-9]{4,14}")
EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


def signed(view):
    """Lets in only what the provider has signed: the address and the form (X-Twilio-Signature)."""

    @csrf_exempt  # the signature is the proof
    @require_POST
    def checked(request, **kwargs):
        if channels.get(Channel.SMS).off() is not None:
            raise Http404
        if int(request.META.get("CONTENT_LENGTH") or 0) > BODY_LIMIT:
            return HttpResponse("That is too long.", status=413, content_type="text/plain")
        if not hmac.compare_digest(_signature(request), request.headers.get("X-Twilio-Signature", "").encode()):
            log.warning("hook.not_signed", path=request.path)
            return HttpResponse("The signature is missing or wrong.", status=403, content_type="text/plain")
        try:
            return view(request, **kwargs)
        except DomainError as error:
            if not error.retry_after:
                raise
            answer = HttpResponse(str(error), status=503, content_type="text/plain")
            answer["Retry-After"] = str(error.retry_after)
            return answer

    return checked


def _signature(request) -> bytes:
    text = settings.SITE_URL + request.get_full_path()
    for name in sorted(request.POST):
        text += "".join(name + value for value in sorted(set(request.POST.getlist(name))))
    made = hmac.new(settings.SMS_AUTH_TOKEN.encode(), text.encode(errors="surrogatepass"), hashlib.sha1)
    return base64.b64encode(made.digest())


@signed
def sms_status(request, delivery_id):
    """The same report twice, a late one, or one about nobody: answered, and nothing changes."""
    told = request.POST.get("MessageStatus", "")
    status = STATUSES.get(told)
    if status is None:
        if told not in ON_ITS_WAY:
            log.warning("hook.status_unknown", status=one_line(told, 50), delivery=str(delivery_id))
        return HttpResponse(status=204)
    code = one_line(request.POST.get("ErrorCode", ""), 20)
    words = ERRORS.get(code, "") if code else ""
    receipts.receipt(
        channel=Channel.SMS,
        status=status,
        delivery_id=delivery_id,
        provider_id=known_as(request.POST.get("MessageSid")) or None,
        error=f"{words} ({code})".strip() if code else f"The provider says: {told}",
    )
    return HttpResponse(status=200)


@signed
def sms_incoming(request):
    """STOP and START, in several languages; what else people write is not for us."""
    sender = request.POST.get("From", "")
    word = (request.POST.get("OptOutType") or request.POST.get("Body", "")).strip(" \t\r\n.!\"'").upper()
    if not NUMBER.fullmatch(sender):
        log.warning("hook.sender_unknown")
    elif word in STOP:
        opt_outs.opt_out(channel=Channel.SMS, address=sender, source=OptOut.Source.STOP)
    elif word in START:
        opt_outs.opt_in(channel=Channel.SMS, address=sender)
    return HttpResponse(EMPTY, content_type="text/xml")
