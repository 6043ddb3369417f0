"""Setting a password by a letter, for people of the admin."""

from django.contrib import messages
from django.http import HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from config.api import within
from config.errors import DomainError

from ..forms import NewPasswordForm, ResetForm
from ..operations import accounts


@never_cache
@require_http_methods(["GET", "POST"])
def ask_for_reset(request):
    """For people of the admin who forgot their password, or never had one. Tells nobody who has an account."""
    form = ResetForm(request.POST or None)
    sent = form.is_valid()
    if sent:
        email = form.cleaned_data["email"].strip().lower()
        rate, scope = accounts.MAILS
        if within(rate, scope, email):
            accounts.ask_for_reset(email=email)
    return render(request, "ask_for_reset.html", {"form": form, "sent": sent})


@never_cache
@require_http_methods(["GET", "POST"])
def set_password(request):
    """Where the letter's address leads."""
    form = NewPasswordForm(request.POST or None, initial={"code": request.GET.get("code", "")})
    if form.is_valid():
        try:
            accounts.reset_password(**form.cleaned_data)
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The new password is set. Sign in with it."))
            return HttpResponseRedirect(reverse("admin:login"))
    return render(request, "set_password.html", {"form": form})
