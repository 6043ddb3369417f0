"""The second factor of the admin: a code from an authenticator app, or one of ten backup codes.

Whoever has set it up is asked for a code after the password, before any page opens;
settings.REQUIRE_SECOND_FACTOR sends everybody else to the set-up first. An operator lets in a
person who lost both with ``manage.py addstatictoken EMAIL``.
"""

import functools
import time
from binascii import unhexlify

import django_otp
import segno
import structlog
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from config.errors import DomainError, lock, operation

log = structlog.get_logger(__name__)

BACKUP_CODES = 10
DIGITS = 6


class WrongCode(DomainError):
    code = "wrong_code"
    status = 400
    message = gettext_lazy("This code is wrong, or was used already. Wait for the next one.")


class CodesThrottled(DomainError):
    """Every wrong code doubles the wait (django-otp)."""

    code = "throttled"
    status = 429
    message = gettext_lazy("Too many wrong codes. Try again in {seconds} seconds.")

    def __init__(self, seconds):
        super().__init__(seconds=seconds)
        self.retry_after = seconds


class AlreadyOn(DomainError):
    code = "second_factor_on"
    message = gettext_lazy("A second factor is set up already.")


# -- What can be done -------------------------------------------------------------------------


def has_device(person) -> bool:
    """Known from the query that loaded the session's person (events.sign_in), asked otherwise."""
    if not hasattr(person, "has_second_factor"):
        person.has_second_factor = TOTPDevice.objects.devices_for_user(person, confirmed=True).exists()
    return person.has_second_factor


def check(*, person, code):
    """The device that the code is of; a backup code is used up. Raises WrongCode, CodesThrottled.

    No operation: the failure that is counted must outlive the refusal.
    """
    model = TOTPDevice if len(code) == DIGITS and code.isdecimal() else StaticDevice
    wait = 0
    for device in model.objects.devices_for_user(person, confirmed=True):
        allowed, why = device.verify_is_allowed()
        if not allowed:
            wait = max(wait, int((why["locked_until"] - timezone.now()).total_seconds()) + 1)
        elif django_otp.verify_token(person, device.persistent_id, code):
            return device
    if wait:
        raise CodesThrottled(wait)
    raise WrongCode


@operation
def turn_on(*, person, key, code):
    """``(device, backup codes)``, once a code shows that the app has the key. Locks the person.

    Raises WrongCode, AlreadyOn.
    """
    totp = TOTP(unhexlify(key), digits=DIGITS)
    totp.time = time.time()
    if not code.isdecimal() or not totp.verify(int(code), tolerance=1):
        raise WrongCode
    lock(get_user_model().objects, pk=person.pk)
    if TOTPDevice.objects.devices_for_user(person, confirmed=True).exists():
        raise AlreadyOn
    device = TOTPDevice.objects.create(
        user_id=person.pk, name="authenticator", key=key, digits=DIGITS, last_t=totp.t(), drift=totp.drift
    )
    log.info("second_factor.on", person=str(person.pk))
    return device, renew_backup_codes(person=person)


@operation
def renew_backup_codes(*, person) -> list[str]:
    """Ten fresh ones; those from before are worthless."""
    StaticDevice.objects.filter(user=person.pk).delete()
    device = StaticDevice.objects.create(user_id=person.pk, name="backup")
    codes = [StaticToken.random_token() for _number in range(BACKUP_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


@operation
def turn_off(*, person):
    """The caller has checked a code."""
    for model in (TOTPDevice, StaticDevice):
        model.objects.filter(user=person.pk).delete()
    log.warning("second_factor.off", person=str(person.pk))


# -- Standing before the admin ------------------------------------------------------------------


def by_link(request) -> bool:
    """Whether the session began with a link from a mailbox: it is for attendees' pages, whoever it is."""
    return request.session.get(BACKEND_SESSION_KEY) == settings.LINK_BACKEND


def pending(request) -> bool:
    """Whether the person has yet to show a password, to give a code, or to set up the factor."""
    if by_link(request):
        return True
    if getattr(request.user, "otp_device", None) is not None:
        return False
    return has_device(request.user) or settings.REQUIRE_SECOND_FACTOR


def asked_first(view):
    """Wraps a view of the admin: the second factor's page comes before it, where it is pending."""

    @functools.wraps(view)
    def gate(request, *args, **kwargs):
        if by_link(request) or not (request.user.is_active and request.user.is_staff and pending(request)):
            return view(request, *args, **kwargs)  # which sends to the log-in whoever it isn't open to
        if request.path == reverse("admin:logout"):
            return admin.site.logout(request)
        back = urlencode({"next": request.get_full_path()})
        return HttpResponseRedirect(f"{reverse('admin:second_factor')}?{back}")

    return gate


class SignInForm(AuthenticationForm):
    """Failures are counted for an address, however it is written."""

    def clean_username(self):
        return self.cleaned_data["username"].strip().lower()[:254]


# -- The page -------------------------------------------------------------------------------------


class CodeForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=40,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": "", "inputmode": "text", "spellcheck": "false"}
        ),
    )

    def clean_code(self):
        """As people type it: "123 456", "ABCD-EFGH"."""
        return "".join(filter(str.isalnum, self.cleaned_data["code"])).lower()


KEY = "second_factor_key"
"""Where the session keeps the key that is being set up: in the database it stands when a code proved it."""


@never_cache
@csrf_protect
@require_http_methods(["GET", "POST"])
def page(request):
    """Asks for the code, sets the factor up, or renews its backup codes and turns it off."""
    person = request.user
    if by_link(request) or not (person.is_active and person.is_staff):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if not has_device(person):
        return _set_up(request)
    if getattr(person, "otp_device", None) is None:
        return _ask(request)
    return _manage(request)


def _ask(request):
    form = CodeForm(request.POST or None)
    if device := _accepted(request, form):
        request.session.cycle_key()
        django_otp.login(request, device)
        return HttpResponseRedirect(_next(request))
    return _page(request, "admin/second_factor_code.html", form, title=_("Second factor"), next=_next(request))


def _set_up(request):
    key = request.session.setdefault(KEY, default_key())
    form = CodeForm(request.POST or None)
    if form.is_valid():
        try:
            device, codes = turn_on(person=request.user, key=key, code=form.cleaned_data["code"])
        except DomainError as error:
            form.add_error("code", str(error))
        else:
            del request.session[KEY]
            request.user.has_second_factor = True
            django_otp.login(request, device)
            return _show_codes(request, codes)
    device = TOTPDevice(user=request.user, key=key, digits=DIGITS)
    picture = segno.make(device.config_url, error="m").svg_inline(scale=5, border=3, dark="#000", light="#fff")
    return _page(
        request,
        "admin/second_factor.html",
        form,
        title=_("Set up a second factor"),
        picture=mark_safe(picture),
        secret=device.config_url.split("secret=")[1].split("&")[0],
        required=settings.REQUIRE_SECOND_FACTOR,
    )


def _manage(request):
    form = CodeForm(request.POST or None)
    if _accepted(request, form):
        if "turn_off" in request.POST:
            turn_off(person=request.user)
            messages.success(request, _("The second factor is turned off."))
            return HttpResponseRedirect(reverse("admin:index"))
        codes = renew_backup_codes(person=request.user)
        django_otp.login(request, TOTPDevice.objects.devices_for_user(request.user, confirmed=True).first())
        return _show_codes(request, codes)
    left = StaticToken.objects.filter(device__user=request.user.pk).count()
    return _page(request, "admin/second_factor.html", form, title=_("Second factor"), on=True, left=left)


def _accepted(request, form):
    """The device whose code was sent; otherwise None, and the form says why."""
    if not form.is_valid():
        return None
    try:
        return check(person=request.user, code=form.cleaned_data["code"])
    except DomainError as error:
        form.add_error("code", str(error))
        form.refusal = error
        return None


def _show_codes(request, codes):
    return _page(request, "admin/second_factor.html", None, title=_("Your backup codes"), codes=codes)


def _page(request, template, form, **context):
    refusal = getattr(form, "refusal", None)
    wait = refusal.retry_after if refusal else None
    return TemplateResponse(
        request,
        template,
        admin.site.each_context(request) | {"form": form} | context,
        status=429 if wait else 200,
        headers={"Retry-After": wait} if wait else {},
    )


def _next(request) -> str:
    """Where the person was going, if that lies on this site."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return target
    return reverse("admin:index")
