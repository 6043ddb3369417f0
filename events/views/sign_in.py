"""Attendees sign in by a link that comes by mail, and out again."""

from django.contrib import auth
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from .. import pages


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def ask_for_link(request):
    return render(request, "web/sign_in.html", {"next": pages.safe_next(request)})


@never_cache
@require_POST
def sign_out(request):
    auth.logout(request)
    return pages.see(pages.safe_next(request) or "web_sign_in")
