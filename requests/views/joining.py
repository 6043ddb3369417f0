"""Asking to join on the web, and coming in by an invitation; one's standing on the event page."""

from django.contrib import messages
from django.db.models import Exists, OuterRef
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from attendance.models import Attendee
from attendance.operations import room
from config.api import within
from config.errors import DomainError, NotFound
from events import pages
from events.models import Event

from ..api.joining import GuessingInvitations
from ..forms.joining import JoinForm
from ..models import InvitationLink, JoinRequest, Status
from ..operations import invitations, join_requests


@pages.part(first=True)
def standing(request, event):
    """Whether the person comes, has asked, or may ask."""
    row = _request_of(request, event)
    asks = event.status == Event.Status.PUBLISHED
    if not (row or event.my_attendee_id or asks):
        return None
    return {
        "template": "web/standing.html",
        "row": row,
        "coming": event.my_attendee_id is not None,
        "asks": asks,
        "at_once": event.approval_mode == Event.ApprovalMode.AUTO,
        "full": event.seats_left == 0,
        "joins": _joins(event, row),
    }


def _request_of(request, event) -> JoinRequest | None:
    if event.my_request_status is None:
        return None
    was_in = Exists(Attendee.objects.filter(join_request=OuterRef("pk")))
    return JoinRequest.objects.of_person(request.user).filter(event=event).annotate(was_in=was_in).first()


def _joins(event, row) -> str:
    """What the way in is called: on its button, and where it leads."""
    if event.approval_mode == Event.ApprovalMode.AUTO and event.seats_left != 0:
        return _("Join")
    return _("Ask again") if row else _("Ask to join")


# -- Asking ------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
@pages.refusals_told(lambda request, slug: reverse("event_page", args=[slug]))
def join_page(request, slug):
    """The request, new or to be corrected; with ``?code=`` the way in by an invitation."""
    code = request.GET.get("code")
    return _accept(request, slug, code) if code else _ask(request, slug)


def _ask(request, slug):
    event = pages.event_of(request, slug)
    row = _request_of(request, event)
    pending = row is not None and row.status == Status.PENDING
    if not pending and (event.my_attendee_id or (row is not None and row.status != Status.CANCELLED)):
        return pages.see("event_page", slug)
    if event.status != Event.Status.PUBLISHED:
        raise room.ClosedToGuests(event)
    before = {"plus_ones": row.plus_ones, "comments": row.comments} if pending else None
    form = JoinForm(request.POST or None, initial=before, most=event.max_plus_ones)
    if form.is_valid():
        try:
            if pending:
                row = join_requests.edit(request_id=row.pk, actor=request.user, changes=form.cleaned_data)
            else:
                row = join_requests.send(event_id=event.pk, person=request.user, **form.cleaned_data).row
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            _tell(request, row, pending)
            return pages.see("event_page", slug)
    context = {"event": event, "tab": "event", "form": form, "pending": pending, "joins": _joins(event, row)}
    return render(request, "web/join.html", context)


def _tell(request, row, pending):
    match row.status:
        case Status.APPROVED:
            messages.success(request, _("You're in."))
        case Status.PENDING if pending:
            messages.success(request, _("Your request is changed."))
        case Status.PENDING:
            messages.success(request, _("You have asked to join."))
        case _decided:  # meanwhile
            messages.info(request, _("You have asked already."))


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
@pages.refusals_told(lambda request, slug: reverse("event_page", args=[slug]))
def withdraw(request, slug):
    """Asks first; a second click finds it done."""
    event = pages.event_of(request, slug)
    row = _request_of(request, event)
    if row is None or row.status not in Status.OPEN:
        return pages.see("event_page", slug)
    if request.method == "POST":
        join_requests.cancel(request_id=row.pk, actor=request.user)
        messages.success(request, _("Your place is given back.") if event.my_attendee_id else _("It is withdrawn."))
        return pages.see("event_page", slug)
    return render(request, "web/withdraw.html", {"event": event, "tab": "event", "row": row})


# -- By invitation -------------------------------------------------------------------------------


def _accept(request, slug, code):
    """The code opens the page of its event, even of one that is private. POST lets in."""
    links = InvitationLink.objects.filter(event__slug=slug).select_related("event")
    link = links.filter(pk=InvitationLink.id_of(code)).first()
    if link is None:
        messages.error(request, str(invitations.InvitationInvalid()))
        return pages.see("join_page", pages.event_of(request, slug).slug)
    error = None
    if request.method == "POST":
        if not within(GuessingInvitations.rate, GuessingInvitations.scope, str(request.user.pk)):
            error = _("Too many attempts. Try again in a minute.")
        else:
            try:
                outcome = invitations.accept(token=code, person=request.user)
            except NotFound:
                raise
            except DomainError as refused:
                error = str(refused)
            else:
                messages.success(request, _("You're in.") if outcome.changed else _("You are in already."))
                draft = link.event.status == Event.Status.DRAFT
                return pages.see("event_list") if draft else pages.see("event_page", slug)
    return render(request, "web/invitation.html", {"about": link.event, "error": error})
