"""Asking for help, and the session that it leads to."""

from django.http import Http404
from django.shortcuts import render

from events import pages

from ..models import ServiceSession


@pages.signed_in
def service_session(request, session_id):
    session = ServiceSession.objects.of_participant(request.user).filter(pk=session_id).first()
    if session is None:
        raise Http404
    return render(request, "web/service/session.html", {"session": session})
