"""Attendees sign in by a link that comes by mail, and out again."""

from django.conf import settings
from django.contrib import auth, messages
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from config.api import within

from .. import pages
from ..forms import LinkForm, NamesForm
from ..operations import accounts, sign_in_links

STRANGERS = ("60/minute", "sign-in")
"""Of one network address; a whole conference may share one."""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def ask_for_link(request):
    """Says the same whoever has the address. Letters to one address are as few as the API's."""
    going_to = pages.safe_next(request)
    if request.user.is_authenticated and request.method != "POST":
        return pages.see(going_to or "event_list")
    form = LinkForm(request.POST or None, initial={"next": going_to}, label_suffix="")
    context = {"form": form, "sent": None}
    if form.is_valid():
        if not within(*STRANGERS, request.META.get("REMOTE_ADDR", "")):
            form.add_error(None, _("Too many asked from here at once. Try again in a minute."))
            answer = render(request, "web/sign_in.html", context, status=429)
            answer["Retry-After"] = "60"
            return answer
        email = form.cleaned_data["email"]
        rate, scope = accounts.MAILS
        if within(rate, scope, email):
            sign_in_links.ask(email=email, next=going_to)
        context["sent"] = email
    return render(request, "web/sign_in.html", context)


@never_cache
@sensitive_variables("token")
@require_http_methods(["GET", "HEAD", "POST"])
def follow_link(request, token):
    """Where the letter leads. Looking changes nothing: mail programs open links; the button signs in."""
    try:
        link = sign_in_links.look(token=token)
    except sign_in_links.LinkInvalid as error:
        if request.user.is_authenticated:  # the second click
            return pages.see("event_list")
        return render(request, "web/sign_in_again.html", {"error": error}, status=410)
    form = None if link.person else NamesForm(request.POST or None, label_suffix="")
    if request.method == "POST" and (form is None or form.is_valid()):
        return _sign_in(request, token, form)
    return render(request, "web/sign_in_link.html", {"link": link, "form": form})


def _sign_in(request, token, form):
    try:
        link = sign_in_links.use(token=token, **(form.cleaned_data if form else {}))
    except accounts.EmailTaken:  # somebody made the account a moment ago: there is only the button now
        return pages.see("web_sign_in_link", token)
    except (sign_in_links.LinkInvalid, accounts.AccountClosed) as error:
        return render(request, "web/sign_in_again.html", {"error": error}, status=410)
    if request.user.pk != link.person.pk:  # who signed in by password stays so
        auth.login(request, link.person, backend=settings.LINK_BACKEND)
    messages.success(request, _("You are signed in as {name}.").format(name=link.person))
    return pages.see(link.next if pages.is_ours(request, link.next) else "event_list")


@never_cache
@require_POST
def sign_out(request):
    auth.logout(request)
    messages.success(request, _("You are signed out."))
    return pages.see(pages.safe_next(request) or "event_list")
