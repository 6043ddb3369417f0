"""Who sees what: every page and every call, for every role of the own and of the other organisation.

The routes are read from the resolver and the admin's registry, and must all stand in the tables
below: a new one without an expectation fails. Every text of organisation A carries a mark with the
name of its field; what an answer gives away is then the set of marks in it.
"""

import io
import itertools
import logging
import re
import uuid
import zipfile
from datetime import timedelta
from functools import cache
from types import SimpleNamespace

import limits
import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, models, transaction
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from waffle.models import Switch

from attendance.models import (
    AttendanceAudit,
    AttendanceStatus,
    Attendee,
    Block,
    CheckIn,
    CheckInAttempt,
    CheckInPoint,
    DoorDevice,
    PointScale,
)
from attendance.operations import check_in, devices, marking
from config.admin import ScopedFilter
from config.api import limiter
from events.models import (
    AccountLetter,
    Event,
    IdempotencyKey,
    IntegrityResult,
    Membership,
    Organization,
    PhoneCode,
    Room,
    Session,
    Speaker,
    UserProfile,
)
from events.operations import privacy
from events.sign_in import PersonRefreshToken, access_token
from messaging.models import (
    ChannelState,
    EventGuest,
    Message,
    MessageDelivery,
    OptOut,
    PushDevice,
    UserLinkAudit,
)
from messaging.operations import announcements, links, planning
from requests.models import Ban, InvitationLink, JoinRequest
from requests.operations import join_requests, removals
from rsvp.api.pace import Pace
from rsvp.models import (
    CalendarFeed,
    RsvpSettings,
    SessionChange,
    SessionFeedback,
    SessionLine,
    SessionRsvp,
    WaitlistEntry,
    WaitlistLog,
)
from rsvp.operations import line
from tests.factories import EventFactory, OrganizationFactory, UserProfileFactory

pytestmark = pytest.mark.django_db

OURS = ("events", "attendance", "messaging", "rsvp", "requests")

# -- The tables --------------------------------------------------------------------------------
# People by letter. Organisation A: o owner, r organizer, d door, v viewer, a an attendee of its
# event. Organisation B: O, R, D, V. s a superuser, x a stranger, n nobody (not signed in). Two work
# for both: M is owner of B and does the door of A, W is organizer of B and viewer of A.

OWN = "sordv"
OTHERS = "ORDV"
BOTH = "MW"
GUESTS = "axn"
EVERYBODY = OWN + OTHERS + BOTH + GUESTS
IN_A = {"M": "d", "W": "v"}
"""What the people with two jobs are in A."""

MODELS = {
    "events.organization": {"view": "sordv", "add": "s", "change": "so", "delete": "s"},
    "events.membership": {"view": "so", "add": "so", "change": "so", "delete": "so"},
    "events.event": {"view": "sordv", "add": "sor", "change": "sor", "delete": "sor"},
    "events.room": {"view": "sorv", "add": "sor", "change": "sor", "delete": "sor"},
    "events.speaker": {"view": "sorv", "add": "sor", "change": "sor", "delete": "sor"},
    "events.session": {"view": "sorv", "add": "sor", "change": "sor", "delete": "sor"},
    "events.userprofile": {"view": "sorv", "add": "s", "change": "s", "delete": "s"},
    "events.integrityresult": {"view": "s", "add": "", "change": "", "delete": ""},
    "attendance.attendee": {"view": "sordv", "add": "", "change": "", "delete": "", "history": "sorv"},
    "attendance.attendanceaudit": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "attendance.checkin": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "attendance.checkinattempt": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "attendance.checkinpoint": {"view": "sorv", "add": "sor", "change": "sor", "delete": "sor"},
    "attendance.doordevice": {"view": "sor", "add": "sor", "change": "sor", "delete": "s"},
    "attendance.pointscale": {"view": "sorv", "add": "sor", "change": "sor", "delete": "sor"},
    "messaging.eventguest": {"view": "sorv", "add": "sor", "change": "sor", "delete": "s"},
    "messaging.message": {"view": "sorv", "add": "sor", "change": "sor", "delete": "sor"},
    "messaging.messagedelivery": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "messaging.userlinkaudit": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "messaging.channelstate": {"view": "s", "add": "", "change": "", "delete": ""},
    "messaging.optout": {"view": "s", "add": "", "change": "", "delete": ""},
    "waffle.switch": {"view": "s", "add": "", "change": "s", "delete": ""},
    "rsvp.sessionrsvp": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "rsvp.waitlistentry": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "rsvp.waitlistlog": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "rsvp.rsvpsettings": {"view": "sorv", "add": "sor", "change": "sor", "delete": "s"},
    "rsvp.sessionfeedback": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "requests.joinrequest": {"view": "sorv", "add": "", "change": "", "delete": ""},
    "requests.invitationlink": {"view": "sor", "add": "sor", "change": "sor", "delete": "s"},
    "requests.ban": {"view": "sorv", "add": "", "change": "", "delete": "sor"},
}
CLOSED = {
    "auth.group",
    "axes.accessattempt",
    "axes.accessfailurelog",
    "axes.accesslog",
    "otp_static.staticdevice",
    "otp_totp.totpdevice",
    "token_blacklist.blacklistedtoken",
    "token_blacklist.outstandingtoken",
}
"""Models of others that bring an admin of their own: nobody has a permission for them."""

ACTS = {
    "events.event": {"publish": "sor", "withdraw": "sor", "duplicate": "sor", "cancel": "sor"},
    "attendance.attendee": {
        **{f"mark_{status}": "sor" for status in AttendanceStatus.values},
        "hide": "sor",
        "show": "sor",
        "plus_ones": "sor",
        "remove": "sor",
        "ban": "sor",
    },
    "attendance.doordevice": {"new_code": "sor", "revoke": "sor"},
    "events.session": dict.fromkeys(
        ["add_person", "close_line", "open_line", "stop_offers", "start_offers", "cancel", "restore"], "sor"
    ),
    "rsvp.sessionrsvp": {"take_away": "sor"},
    "rsvp.waitlistentry": {"offer": "sor", "skip": "sor", "remove": "sor", "prioritize": "sor"},
    "messaging.eventguest": {
        "link": "sor",
        "relink": "sor",
        "unlink": "sor",
        "remove": "sor",
        "restore": "sor",
        "invite": "sor",
    },
    "messaging.message": {
        "stop": "sor",
        "resume": "sor",
        "withdraw_rest": "sor",
        "retry_failed": "sor",
        "cancel": "sor",
        "copy": "sor",
    },
    "messaging.messagedelivery": {"retry": "sor", "arrived": "sor", "leave_failed": "sor"},
    "requests.joinrequest": {"approve": "sor", "decline": "sor", "reopen": "sor", "ban": "sor"},
    "requests.invitationlink": {"revoke": "sor"},
}
OF_ROW = {("messaging.eventguest", "link"), ("messaging.eventguest", "relink"), ("events.session", "add_person")}
"""Acts that are asked on a row's page only, and not offered on the list."""

GATHERINGS = {"attendance.attendee": {"message_these": "sor"}, "messaging.eventguest": {"message_these": "sor"}}
"""What is done with the selected rows of a list together."""

LISTS = {
    "attendance.attendee": {"export": "sorv", "import": "sor"},
    "messaging.eventguest": {"export": "sorv", "import": "sor"},
    "messaging.messagedelivery": {"export": "sorv"},
    "rsvp.sessionrsvp": {"export": "sorv"},
    "rsvp.sessionfeedback": {"export": "sorv"},
    "requests.joinrequest": {"export": "sorv"},
    "events.event": {"import": "sor"},
}
"""Pages of a model beside its list, and who opens them."""

NAMES = {f"{who}{what}" for who in ("", "own", "shy") for what in ("first", "last")}
APPLICANTS = {"applicantfirst", "applicantlast"}
EMAILS = {"email", "ownemail", "shyemail"}
EXPORTED = {
    "attendance.attendee": NAMES
    | EMAILS
    | {f"{who}{what}" for who in ("", "own", "shy") for what in ("goals", "lookingfor", "website")}
    | {"eventtitle", "ownerid", "attendancenote", "memberorganizerfirst", "memberorganizerlast"},
    "messaging.eventguest": {
        *("eventtitle", "external"),
        *("guest", "guestemail", "guestphone", "ownguest", "ownguestemail"),
    },
    "messaging.messagedelivery": NAMES
    | APPLICANTS
    | {"eventtitle", "subject", "othersubject", "withdrawnsubject", "error"}
    | {"guest", "guestemail", "guestphone", "ownguest", "email"},
    "rsvp.sessionrsvp": {"first", "last", "email", "eventtitle", "session"},
    "rsvp.sessionfeedback": {"first", "last", "email", "session", "feedback"},
    "requests.joinrequest": NAMES
    | APPLICANTS
    | EMAILS
    | {"applicantemail", "phone", "ownphone", "ownerid"}
    | {"eventtitle", "comment", "note", "reason", "memberorganizeremail"},
}
"""What a file of A's rows has."""

OF_EVENTS = dict.fromkeys(("attendance.attendee", "rsvp.sessionrsvp"), {"figures": "sorv", "figures_data": "sorv"})
"""Pages of a model about one event, and who opens them."""

OF_ROWS = {"messaging.message": {"preview": "sorv", "progress": "sorv"}}
"""Pages of one row beside its form, and who opens them."""

ASKED_BY_SCRIPTS = {"messaging.message": {"candidates", "choices"}}
"""Answers that need a question: test_candidates and test_choices ask it."""

POST_ONLY = {"events.integrityresult": {"check": []}, "messaging.channelstate": {"try_again": ["sms"]}}
"""Pages of a model that only do something, with what their address asks for: for superusers."""

SITE = {
    "index": {200: OWN + OTHERS + BOTH},
    "password_change": {200: OWN + OTHERS + BOTH},
    "password_change_done": {200: OWN + OTHERS + BOTH},
    "second_factor": {200: OWN + OTHERS + BOTH},
    "notices": {200: "sorOR" + BOTH, 404: "dvDV"},
    "jsi18n": {200: OWN + OTHERS + BOTH},
    "search": {200: OWN + OTHERS + BOTH},
    "autocomplete": {403: OWN + OTHERS + BOTH},
    "view_on_site": {404: OWN + OTHERS + BOTH},
    "login": {200: GUESTS, 302: OWN + OTHERS + BOTH},
    "logout": {405: OWN + OTHERS + BOTH},
    "app_list": {200: OWN + OTHERS + BOTH, 404: ""},
}
"""The admin's pages that are no model's, by status of a GET; whoever isn't named is sent to sign in."""

PLAIN = {
    "": 302,
    "healthz": 200,
    "readyz": 200,
    "metrics": 200,
    "password/reset/": 200,
    "password/set/": 200,
    "door/sw.js": 200,
    "door/<int:event_id>/": 200,
    "door/<int:event_id>/manifest.webmanifest": 200,
    "unsubscribe/<str:token>/": 404,
    "hooks/sms/status/<uuid:delivery_id>/": 405,
    "hooks/sms/incoming/": 405,
    "mailbox/": 404,  # the demo's only
    "mailbox/<int:number>/": 404,
    "mailbox/<int:number>/html/": 404,
    r"^media/(?P<path>.+)$": 404,
}
"""Addresses outside admin and API: the same for everybody."""

MAY_SEE = "sordvMWa"
WEB = {
    "sign-in/": {200: "n", 303: MAY_SEE + "ORDVx"},
    "sign-in/<str:token>/": {410: "n", 303: MAY_SEE + "ORDVx"},
    "sign-out/": {405: EVERYBODY},
    "e/": {200: EVERYBODY},
    "e/<slug:slug>/": {200: MAY_SEE},
    "e/<slug:slug>/join/": {200: "sordvMW", 303: "an"},
    "e/<slug:slug>/join/withdraw/": {200: "a", 303: "sordvMWn"},
    "e/<slug:slug>/agenda/": {200: MAY_SEE},
    "e/<slug:slug>/agenda/<uuid:session_id>/": {200: MAY_SEE},
    "e/<slug:slug>/agenda/<uuid:session_id>.ics": {200: MAY_SEE},
    "e/<slug:slug>/agenda/<uuid:session_id>/rsvp/": {405: EVERYBODY},
    "e/<slug:slug>/agenda/<uuid:session_id>/line/": {405: EVERYBODY},
    "e/<slug:slug>/agenda/<uuid:session_id>/offer/": {405: EVERYBODY},
    "e/<slug:slug>/agenda/<uuid:session_id>/cancel/": {303: MAY_SEE + "n"},
    "e/<slug:slug>/agenda/<uuid:session_id>/feedback/": {405: EVERYBODY},
    "e/<slug:slug>/my-schedule/": {200: MAY_SEE, 303: "n"},
    "e/<slug:slug>/calendar/": {200: MAY_SEE, 303: "n"},
    "e/<slug:slug>/ticket/": {200: "a", 303: "n"},
}
"""Attendees' pages: address → status of a GET → for whom, at A's private event. Others get 404."""

LOOK_API, ANY_API, DOOR_API = "sorvW", "sordvMW", "sordM"
API = {
    "events/": {"get": {200: EVERYBODY}},
    "events/<int:event_id>/": {"get": {200: ANY_API + "a"}},
    "events/<int:event_id>/attendees/": {"get": {200: LOOK_API + "a"}},
    "events/<int:event_id>/attendees/me/": {"get": {200: "a"}, "patch": {200: "a"}},
    "events/<int:event_id>/attendees/me/ticket.svg": {"get": {200: "a"}},
    "events/<int:event_id>/attendees/me/ticket.png": {"get": {200: "a"}},
    "events/<int:event_id>/attendees/<uuid:attendee_id>/block/": {"put": {204: "a"}, "delete": {204: "a"}},
    "events/<int:event_id>/attendees/<uuid:attendee_id>/attendance/": {"patch": {200: "sor"}},
    "events/<int:event_id>/door/": {"get": {200: DOOR_API}},
    "events/<int:event_id>/door/tickets/": {"get": {200: DOOR_API}},
    "events/<int:event_id>/check-ins/": {"post": {200: DOOR_API}},
    "events/<int:event_id>/check-ins/batch/": {"post": {200: DOOR_API}},
    "events/<int:event_id>/check-ins/<int:check_in_id>/undo/": {"post": {200: "sor", 409: "dM"}},
    "events/<int:event_id>/walk-ins/": {"post": {201: DOOR_API}},
    "events/<int:event_id>/join-requests/": {"post": {201: ANY_API, 200: "a"}},
    "join-requests/": {"get": {200: EVERYBODY}},
    "join-requests/<uuid:request_id>/": {"get": {200: LOOK_API}, "patch": {200: "sor", 403: "vW"}},
    "events/<int:event_id>/invitation-links/": {"get": {200: "sor"}, "post": {201: "sor"}},
    "invitation-links/<uuid:link_id>/revoke/": {"post": {200: "sor"}},
    "invitations/accept/": {"post": {}},
    "me/": {"get": {200: EVERYBODY}, "patch": {200: EVERYBODY}, "delete": {409: "o", 204: EVERYBODY}},
    "me/photo/": {"put": {415: EVERYBODY}, "delete": {204: EVERYBODY}},
    "me/export/": {"get": {200: EVERYBODY}},
    "me/points/": {"get": {200: EVERYBODY}},
    "me/phone/": {"post": {409: EVERYBODY}},
    "me/phone/verify/": {"post": {400: EVERYBODY}},
    "me/messages/": {"get": {200: EVERYBODY}},
    "me/messages/read/": {"post": {200: EVERYBODY}},
    "me/messages/<uuid:message_id>/read/": {"post": {200: "a"}},
    "me/devices/": {"get": {200: EVERYBODY}, "post": {201: EVERYBODY}},
    "me/devices/<uuid:device_id>/": {"delete": {204: "a"}},
    "events/<int:event_id>/messages/": {"get": {200: ANY_API + "a"}},
    "events/<int:event_id>/sessions/": {"get": {200: ANY_API + "a"}},
    "events/<int:event_id>/my-schedule/": {"get": {200: ANY_API + "a"}},
    "me/schedule/": {"get": {200: EVERYBODY}},
    "sessions/<uuid:session_id>/": {"get": {200: ANY_API + "a"}},
    "sessions/<uuid:session_id>/rsvp/": {"post": {201: "a", 403: ANY_API}, "delete": {403: ANY_API}},
    "sessions/<uuid:session_id>/waitlist/": {"post": {202: "a", 403: ANY_API}, "delete": {403: ANY_API}},
    "sessions/<uuid:session_id>/feedback/": {"get": {}, "post": {409: "a", 403: ANY_API}},
    "sessions/<uuid:session_id>.ics": {"get": {200: ANY_API + "a"}},
    "me/calendar/": {"get": {200: EVERYBODY}, "post": {200: EVERYBODY}},
    "waitlist/<uuid:entry_id>/accept/": {"post": {201: "a"}},
    "waitlist/<uuid:entry_id>/decline/": {"post": {200: "a"}},
}
"""Route → verb → status → who gets it, for rows of A's private event. Others get 404, nobody 401."""

PUBLIC_API = {
    "auth/token/": {"post": 401},
    "auth/refresh/": {"post": 401},
    "auth/logout/": {"post": 401},
    "auth/sign-up/": {"post": 201},
    "auth/verify-email/": {"post": 400},
    "auth/verify-email/resend/": {"post": 204},
    "auth/password-reset/": {"post": 204},
    "auth/password-reset/confirm/": {"post": 400},
    "door/devices/": {"post": 404},
    "me/calendar/<slug:token>.ics": {"get": 404},
    "schema/": {"get": 200},
    "docs/": {"get": 200},
}
"""Calls that anybody may make, and what they answer to all alike."""

BODIES = {
    ("join-requests/<uuid:request_id>/", "patch"): {"status": "approved"},
    ("events/<int:event_id>/attendees/me/", "patch"): {"goals": "mine"},
    ("events/<int:event_id>/invitation-links/", "post"): {"label": "New"},
    ("invitations/accept/", "post"): {"token": f"{uuid.uuid4().hex}:made-up"},
    ("events/<int:event_id>/attendees/<uuid:attendee_id>/attendance/", "patch"): {"status": "late"},
    ("events/<int:event_id>/walk-ins/", "post"): {"first_name": "Wanda", "email": "wanda@example.net"},
    ("me/", "patch"): {"first_name": "Me"},
    ("sessions/<uuid:session_id>/feedback/", "post"): {"rating": 5, "comment": "Good"},
    ("me/phone/", "post"): {"phone": "+14155550123"},
    ("me/phone/verify/", "post"): {"code": "000000"},
    ("me/devices/", "post"): {"token": "made-up", "platform": "ios"},
    ("door/devices/", "post"): {"code": "made-up"},
    ("auth/token/", "post"): {"email": "nobody@example.net", "password": "wrong"},
    ("auth/refresh/", "post"): {"refresh": "made-up"},
    ("auth/logout/", "post"): {"refresh": "made-up"},
    ("auth/verify-email/", "post"): {"token": "made-up"},
    ("auth/password-reset/confirm/", "post"): {"token": "made-up", "password": "wrong"},
}

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
"""The smallest PNG."""

# -- Marks -------------------------------------------------------------------------------------

A, B = "kaperfuchs", "biberdachs"

EVENT = {"eventtitle", "eventslug", "eventdescription", "eventvenue", "orgname", "orgslug"}
ROOM = {"first", "last", "photo", "goals", "lookingfor", "website"}
"""What attendees see of each other."""
DOOR = EVENT | {f"{who}{what}" for who in ("", "own", "shy") for what in ("first", "last", "photo")}
DOOR_PAGE = DOOR | {"point", "scanner", "memberorganizerfirst", "memberorganizerlast"}
"""What a scanner reads: who checked somebody in, too."""


PHONES = {
    "+14155550199": "phone",
    "+14155550101": "ownphone",
    "+14155550102": "memberdoorphone",
    "+14155550103": "guestphone",
    "+14155550104": "codephone",
}
"""Numbers of A: what marks are to texts."""

MESSAGES = {f"{which}{what}" for which in ("", "draft", "other", "withdrawn") for what in ("subject", "body")}
MESSAGES |= {"ownguest", "ownguestemail", "guest", "guestemail", "guestphone", "provider", "error", "audience"}
"""What only organisers and the one to whom it was sent may read."""


def given_away(response) -> set[str]:
    """The marks of A in an answer, whatever it is packed in."""
    body = b"".join(response.streaming_content) if response.streaming else response.content
    if body.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = b"\n".join(archive.read(name) for name in archive.namelist())
    body = body.replace(b"\r\n ", b"")  # a calendar's long lines are folded
    text = body.decode(errors="replace") + repr(dict(response.headers)) + response.cookies.output()
    numbers = {mark for number, mark in PHONES.items() if number[1:] in text}
    return set(re.findall(rf"{A}([a-z]+)", text.lower())) | numbers


def phone(mark, which):
    """The number of A with this mark; for B another."""
    number = next(number for number, name in PHONES.items() if name == which)
    return number if mark == A else number.replace("+1415", "+1312")


# -- The world ---------------------------------------------------------------------------------


def person(mark, who="", **fields):
    return UserProfileFactory(
        **{
            "owner_id": f"provider|{mark}ownerid-{uuid.uuid4().hex}",
            "email": f"{mark}{who}email.{uuid.uuid4().hex}@example.org",
            "first_name": f"{mark}{who}first",
            "last_name": f"{mark}{who}last",
            "photo_url": f"/media/photos/{mark}{who}photo.jpg",
            "phone": phone(mark, f"{who}phone" if who in ("own", "memberdoor") else "phone"),
            **fields,
        }
    )


def organization(mark, visitor):
    """An organisation with a row in every table, and ``mark`` in every text. ``visitor`` attends both."""
    org = OrganizationFactory(name=f"{mark}orgname", slug=f"{mark}orgslug")
    staff = {}
    for role in ("owner", "organizer", "door", "viewer"):
        staff[role] = person(mark, f"member{role}")
        Membership.objects.create(organization=org, user_profile=staff[role], role=role)
    about = {"description": f"{mark}eventdescription", "venue": f"{mark}eventvenue"}
    event = EventFactory(
        organization=org,
        title=f"{mark}eventtitle",
        slug=f"{mark}eventslug",
        visibility="private",
        external_id=f"{mark}external",
        **about,
    )
    # Its own name is public, the people in it aren't.
    opened = EventFactory(organization=org, title="Open day", visibility="public")
    draft = EventFactory(
        organization=org, title=f"{mark}eventtitle draft", status="draft", visibility="public", **about
    )
    room = Room.objects.create(
        event=event, name=f"{mark}room", description=f"{mark}room", external_id=f"{mark}external"
    )
    speaker = Speaker.objects.create(
        event=event,
        name=f"{mark}speaker",
        biography=f"{mark}speaker",
        photo_url=f"https://example.org/{mark}speaker.jpg",
        external_id=f"{mark}external",
    )
    session = Session.objects.create(
        event=event,
        room=room,
        title=f"{mark}session",
        abstract=f"{mark}session",
        session_type=f"{mark}session",
        track=f"{mark}session",
        language=f"{mark}session",
        url=f"https://example.org/{mark}session",
        external_id=f"{mark}external",
        starts_at=event.starts_at,
        ends_at=event.ends_at,
    )
    session.speakers.add(speaker)
    session.save()  # a second history row, so that there is a difference to show

    def request_of(one, event=event):
        return JoinRequest.objects.create(
            event=event, user_profile=one, owner_id=one.owner_id, comments=f"{mark}comment", decided_by=None
        )

    people = {
        "own": person(mark, "own"),
        "met": person(mark),
        "shy": person(mark, "shy"),
        "nameless": person(mark, first_name="", last_name=""),
        "declined": person(mark, "applicant"),
        "pending": person(mark, "applicant"),
        "banned": person(mark, "applicant"),
        "visitor": visitor,
    }
    requests = {name: request_of(one) for name, one in people.items()}
    elsewhere = request_of(people["met"], opened)
    for name in ("own", "met", "shy", "nameless", "visitor"):
        join_requests.approve(request_id=requests[name].pk, actor=staff["organizer"], note=f"{mark}note")
    join_requests.approve(request_id=elsewhere.pk, actor=staff["organizer"], note=f"{mark}note")
    join_requests.decline(request_id=requests["declined"].pk, actor=staff["organizer"], note=f"{mark}note")
    removals.ban_applicant(request_id=requests["banned"].pk, actor=staff["organizer"], reason=f"{mark}reason")
    attendees = {one.user_profile_id: one for one in Attendee.objects.filter(event=event)}
    attendees = {name: attendees[one.pk] for name, one in people.items() if one.pk in attendees}
    for name, one in attendees.items():
        who = {"own": "own", "shy": "shy"}.get(name, "")
        one.ticket_code = f"{mark}{who}ticket-{uuid.uuid4().hex}"
        one.goals, one.looking_for = f"{mark}{who}goals", f"{mark}{who}lookingfor"
        one.rsvp_contact = f"{mark}{who}contact"
        one.company_website = f"https://{mark}{who}website.example.org"
        one.match_profile = {"text": f"{mark}{who}match"}
        one.visibility_enabled = name != "shy"
        one._change_reason = f"{mark}reason"
        one.save()
    Block.objects.create(attendee=attendees["shy"], blocked=attendees["met"])
    workshop = Session.objects.create(
        event=event, title=f"{mark}session offered", starts_at=event.starts_at, ends_at=event.ends_at
    )
    place = line.join(session_id=workshop.pk, person=people["own"])
    line.prioritize(entry_id=place.entry_id, actor=staff["organizer"], priority=1)
    taken = SessionRsvp.objects.create(session=session, attendee=attendees["met"])
    Session.objects.filter(pk=session.pk).update(ends_at=event.ends_at - timedelta(minutes=1))  # they are to be told
    SessionChange.objects.filter(event=event).update(reason=f"{mark}changereason")
    CalendarFeed.objects.create(user=people["own"], token=f"{mark}ownfeed")
    settings = RsvpSettings.objects.create(event=event)
    link = InvitationLink.objects.create(event=event, label=f"{mark}label", created_by=staff["organizer"])
    for model in (JoinRequest, Attendee):
        model.history.filter(event=event).update(history_change_reason=f"{mark}reason")
    for model in (Organization, Event, Session, Membership, UserProfile, InvitationLink):
        history = model.history.filter(pk__in=model.history.values("pk"))
        history.filter(history_change_reason=None).update(history_user=staff["organizer"])
    for name, one in (("organization", org), ("event", event), ("session", session), ("link", link), ("room", room)):
        LogEntry.objects.create(
            user=staff["organizer"],
            content_type=ContentType.objects.get_for_model(one),
            object_id=str(one.pk),
            object_repr=f"{mark}log{name}",
            action_flag=CHANGE,
            change_message=f"{mark}log{name}",
        )
    IdempotencyKey.objects.create(
        user_profile=staff["organizer"],
        key=f"{mark}key",
        fingerprint=f"{mark}key",
        claimed_until=timezone.now(),
        created_at=timezone.now(),
        body=f"{mark}key".encode(),
    )
    AccountLetter.objects.create(
        kind="email_changed",
        user=staff["organizer"],
        address=f"{mark}letter@example.org",
        context={"email": f"{mark}letter", "language": "en"},
        error=f"{mark}letter",
    )
    PhoneCode.objects.create(
        user=staff["organizer"],
        phone=phone(mark, "codephone"),
        replaces=phone(mark, "codephone"),
        expires_at=timezone.now(),
    )
    point = CheckInPoint.objects.create(event=event, name=f"{mark}point", kind="session", session=session)
    gate = DoorDevice.objects.create(event=event, name=f"{mark}scanner", may_add_walk_ins=True)
    gate.points.add(point)
    gate, gate_token = devices.enrol(code=devices.new_code(device_id=gate.pk, actor=None).row.enrolment_code)
    waiting = DoorDevice.objects.create(
        event=event,
        name=f"{mark}scanner waiting",
        enrolment_code=f"{mark}enrolment",
        token_hash=f"{mark}tokenhash",
        created_by=staff["organizer"],
    )
    marking.mark(
        attendee_id=attendees["own"].pk,
        status=AttendanceStatus.EXCUSED,
        actor=staff["organizer"],
        notes=f"{mark}attendancenote",
    )
    for scanner in (
        check_in.Scanner(event=event, name="", person=staff["organizer"]),
        check_in.Scanner(event=event, name="", device=gate, point=point),
    ):
        scans = [
            check_in.Scan(attendee_id=attendees["shy"].pk, scan_id=f"{mark}scan {scanner.point}"),
            check_in.Scan(ticket_code="nobody's", scan_id=f"{mark}scan refused {scanner.point}"),
        ]
        check_in.check_in(scanner=scanner, scans=scans)
    CheckInAttempt.objects.filter(event=event).update(code_hash=f"{mark}codehash")
    scale = PointScale.objects.create(organization=org)
    past = {"starts_at": timezone.now() - timedelta(hours=2), "ends_at": timezone.now() - timedelta(hours=1)}
    Event.objects.filter(pk=opened.pk).update(starts_at=past["starts_at"])
    opening = Session.objects.create(event=opened, title=f"{mark}session", **past)
    Attendee.objects.filter(event=opened).update(attendance_status="present")
    thought = SessionFeedback.objects.create(
        session=opening, attendee=Attendee.objects.get(event=opened), rating=4, comment=f"{mark}feedback"
    )
    sent = messages_of(mark, event, people["own"], staff["organizer"])
    installation = PushDevice.objects.create(
        user=people["own"], token=f"{mark}pushtoken", platform="ios", seen_at=timezone.now()
    )
    opted_out = OptOut.objects.create(channel="email", address=f"{mark}optout@example.org", event=event, source="stop")
    device = TOTPDevice.objects.create(
        user=people["met"], name=f"{mark}device", key="6b61706572667563687364657669636531323334"
    )
    codes = StaticDevice.objects.create(user=people["met"], name=f"{mark}device")
    StaticToken.objects.create(device=codes, token=f"{mark}code"[:16])
    PersonRefreshToken.for_user(people["met"])
    outstanding = OutstandingToken.objects.get(user=people["met"])
    OutstandingToken.objects.filter(pk=outstanding.pk).update(token=f"{mark}token")
    attempt = {"username": f"{mark}signin", "ip_address": "192.0.2.7", "user_agent": f"{mark}signin", "path_info": "/"}
    rows = {
        "events.organization": [org],
        "events.membership": list(Membership.objects.filter(organization=org)),
        "events.event": [event, opened, draft],
        "events.room": [room],
        "events.speaker": [speaker],
        "events.session": [session, workshop, opening],
        "events.userprofile": [*(one for name, one in people.items() if name != "visitor"), *staff.values()],
        "attendance.attendee": [*attendees.values(), Attendee.objects.get(event=opened)],
        "attendance.attendanceaudit": list(AttendanceAudit.objects.filter(event__organization=org)),
        "attendance.checkin": list(CheckIn.objects.filter(event=event)),
        "attendance.checkinattempt": list(CheckInAttempt.objects.filter(event=event)),
        "attendance.checkinpoint": [point],
        "attendance.doordevice": [waiting, gate],
        "attendance.pointscale": [scale],
        "messaging.eventguest": sent.guests,
        "messaging.message": [
            *sent.messages,
            *Message.objects.filter(event__organization=org).exclude(kind="announcement"),
        ],
        "messaging.messagedelivery": [
            sent.unknown,
            *MessageDelivery.objects.filter(event__organization=org).exclude(pk=sent.unknown.pk),
        ],
        "messaging.userlinkaudit": list(UserLinkAudit.objects.filter(event__organization=org)),
        "messaging.optout": [opted_out],
        "rsvp.sessionrsvp": [taken],
        "rsvp.waitlistentry": list(WaitlistEntry.objects.filter(event=event)),
        "rsvp.waitlistlog": list(WaitlistLog.objects.filter(event=event)),
        "rsvp.rsvpsettings": [settings],
        "rsvp.sessionfeedback": [thought],
        "requests.joinrequest": [*requests.values(), elsewhere],
        "requests.invitationlink": [link],
        "requests.ban": list(Ban.objects.filter(event=event)),
        "auth.group": [Group.objects.create(name=f"{mark}group")],
        "axes.accessattempt": [
            AccessAttempt.objects.create(**attempt, get_data=f"{mark}signin", post_data="", failures_since_start=1)
        ],
        "axes.accessfailurelog": [AccessFailureLog.objects.create(**attempt)],
        "axes.accesslog": [AccessLog.objects.create(**attempt)],
        "otp_totp.totpdevice": [device],
        "otp_static.staticdevice": [codes],
        "token_blacklist.outstandingtoken": [outstanding],
        "token_blacklist.blacklistedtoken": [BlacklistedToken.objects.create(token=outstanding)],
    }
    return SimpleNamespace(
        organization=org,
        event=event,
        opened=opened,
        room=room,
        session=session,
        entry=WaitlistEntry.objects.get(session=workshop),
        link=link,
        point=point,
        gate_token=gate_token,
        check_in=CheckIn.objects.get(event=event, point=None),
        guest=sent.guests[0],
        draft=sent.messages[0],
        delivery=sent.read,
        installation=installation,
        people=people,
        requests=requests,
        attendees=attendees,
        rows=rows,
        **staff,
    )


def messages_of(mark, event, own, organizer):
    """Guests, and messages and deliveries in all states. One of them was sent to ``own``; the others are
    nobody's to read but the organisers'."""
    now = timezone.now()

    def guest(name, **fields):
        return EventGuest.objects.create(event=event, guest_name=f"{mark}{name}", **fields)

    def message(which, status, **fields):
        texts = {"subject": f"{mark}{which}subject", "body": f"{mark}{which}body {{name}}"}
        fields = {"channels": ["in_app", "email"], "audience": "invited"} | fields
        return Message.objects.create(event=event, status=status, created_by=organizer, **texts, **fields)

    def delivery(message, to, channel, status, **fields):
        return MessageDelivery.objects.create(
            message=message, guest=to, channel=channel, status=status, next_attempt_at=now, **fields
        )

    contact = {"email": f"{mark}guestemail@example.org", "phone": phone(mark, "guestphone")}
    listed = guest("guest", external_id=f"{mark}external", **contact)
    mine = guest("ownguest", email=f"{mark}ownguestemail@example.org", user=own)
    parked = guest("guest parked", link_outcome="ambiguous", link_method="email", linked_at=now)
    removed = guest("guest removed", removed_at=now)
    draft = message("draft", "draft", scheduled_at=event.starts_at)
    scheduled = message("draft", "scheduled", scheduled_at=event.starts_at)
    under_way = {"started_at": now, "fanned_out_at": now}
    sending = message("other", "sending", **under_way)
    stopped = message("withdrawn", "sending", stopped_at=now, **under_way)
    failed = message("other", "failed", error=f"{mark}error", key=f"{mark}key", **under_way)
    read = message("", "sent", audience="picked", audience_details={"guests": [f"{mark}audience"]}, **under_way)
    sms = {"phone_number": contact["phone"], "error": f"{mark}error", "provider_id": f"{mark}provider"}
    unknown = delivery(sending, listed, "sms", "unknown", **sms)
    delivery(sending, parked, "email", "queued", email=contact["email"])
    delivery(stopped, listed, "email", "queued", email=contact["email"])
    delivery(stopped, mine, "in_app", "failed", withdrawn_at=now)
    delivery(failed, listed, "email", "bounced", email=contact["email"], error=f"{mark}error")
    delivered = delivery(read, mine, "in_app", "sent")
    for model in (EventGuest, Message):
        model.history.filter(event=event).update(history_change_reason=f"{mark}reason", history_user=organizer)
    return SimpleNamespace(
        guests=[listed, mine, parked, removed],
        messages=[draft, scheduled, sending, stopped, failed, read],
        unknown=unknown,
        read=delivered,
    )


@pytest.fixture(autouse=True)
def _quiet():
    """Thousands of requests: what each says at level INFO takes longer than the page."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def _world(in_one_transaction, django_db_blocker):
    with django_db_blocker.unblock():
        return both_organizations()


@pytest.fixture
def world(_world, db):
    return _world


def both_organizations():
    visitor = UserProfileFactory(first_name="Both", last_name="Sides", email="both@example.org")
    a, b = organization(A, visitor), organization(B, visitor)
    health = IntegrityResult.objects.create(name="seats", level="healthy", violations=0, checked_at=timezone.now())
    a.rows["events.integrityresult"] = [health]
    later = timezone.now() + timedelta(hours=1)
    a.rows["messaging.channelstate"] = [
        ChannelState.objects.create(channel="sms", last_error=f"{A}channel", paused_until=later)
    ]
    a.rows["waffle.switch"] = list(Switch.objects.order_by("name"))
    b.rows["messaging.eventguest"] += guests_who_are_of(a, b)
    both = {letter: UserProfileFactory(first_name="Two", last_name="Jobs") for letter in "MW"}
    for letter, role_in_a, role_in_b in (("M", "door", "owner"), ("W", "viewer", "organizer")):
        for one, role in ((a, role_in_a), (b, role_in_b)):
            row = Membership.objects.create(organization=one.organization, user_profile=both[letter], role=role)
            one.rows["events.membership"].append(row)
    check_deferred()
    people = {
        "s": UserProfileFactory(first_name="Super", is_superuser=True),
        "o": a.owner,
        "r": a.organizer,
        "d": a.door,
        "v": a.viewer,
        "O": b.owner,
        "R": b.organizer,
        "D": b.door,
        "V": b.viewer,
        "a": a.people["own"],
        "x": UserProfileFactory(first_name="Stran", last_name="Ger"),
        "n": None,
        **both,
    }
    return SimpleNamespace(a=a, b=b, people=people)


def guests_who_are_of(a, b):
    """On B's list: somebody who is a person of A by their number, and somebody who may be. B knows the number."""
    number, several = "+13125550177", "+13125550178"
    met, shy = a.people["met"], a.people["shy"]
    UserProfile.objects.filter(pk=met.pk).update(phone=number, phone_verified=True)
    UserProfile.objects.filter(pk__in=[shy.pk, b.people["met"].pk]).update(phone=several, phone_verified=True)
    guests = [
        EventGuest.objects.create(event=b.event, guest_name=f"{B}theirs", phone=number),
        EventGuest.objects.create(event=b.event, guest_name=f"{B}several", phone=several),
    ]
    links.match(guest_ids=[one.pk for one in guests])
    for one in guests:
        one.refresh_from_db()
    assert [(one.user, one.link_outcome) for one in guests] == [(met, "linked"), (None, "ambiguous")]
    message = Message.objects.get(event=b.event, status="sent", kind="announcement")
    b.theirs = MessageDelivery.objects.create(
        message=message, guest=guests[0], channel="in_app", status="sent", next_attempt_at=timezone.now()
    )
    assert b.theirs.user_id is not None or MessageDelivery.objects.get(pk=b.theirs.pk).user_id == met.pk
    b.rows["messaging.messagedelivery"].append(b.theirs)
    b.rows["messaging.userlinkaudit"] = list(UserLinkAudit.objects.filter(event__organization=b.organization))
    b.strangers = guests
    return guests


def check_deferred():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def allowed(letter) -> set[str] | None:
    """The marks of A that an answer to this person may have; None: all but tickets."""
    if letter in "sorvW":
        return None
    own = {f"member{'door' if letter == 'd' else ''}{what}" for what in ("first", "last", "photo", "email")}
    return {"d": DOOR | own, "M": DOOR}.get(letter, set())


def assert_shows_only(response, marks, where):
    found = given_away(response)
    assert "ticket" not in found, where
    if marks is not None:
        assert found <= marks, (where, found - marks)


def signed_in(who) -> Client:
    client = Client()
    if who is not None:
        client.force_login(who, backend="events.sign_in.EmailBackend")
    return client


@cache
def tables() -> list[str]:
    return [name for name in connection.introspection.table_names() if name != "django_session"]


def snapshot() -> dict[str, str]:
    """Every row of every table but the sessions'; in one statement, for it is asked hundreds of times."""
    rows = "SELECT '{0}', (SELECT string_agg(row::text, E'\\n' ORDER BY row::text) FROM \"{0}\" AS row)"
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(rows.format(table) for table in tables()))
        return dict(cursor.fetchall())


class Undone:
    """A block whose writes are undone, so that the next call finds the same world."""

    def __enter__(self):
        self.atomic = transaction.atomic()
        self.atomic.__enter__()

    def __exit__(self, *error):
        transaction.set_rollback(True)
        self.atomic.__exit__(*error)


# -- Discovering ---------------------------------------------------------------------------------


def routes(patterns=None, prefix="", names=()):
    """(pattern, namespaced name, callback) of every address of the site."""
    for one in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(one, URLPattern):
            yield f"{prefix}{one.pattern}", ":".join([*names, one.name or ""]), one.callback
        else:
            inner = (*names, one.namespace) if one.namespace else names
            yield from routes(one.url_patterns, f"{prefix}{one.pattern}", inner)


def api_routes() -> dict[str, set[str]]:
    """Route → verbs."""
    found = {}
    for pattern, name, callback in routes():
        if name.startswith("api:"):
            view = getattr(callback, "cls", None) or callback.__wrapped__.cls
            verbs = {verb for verb in view.http_method_names if hasattr(view, verb)} - {"options", "head"}
            found[pattern.removeprefix("api/v1/")] = verbs
    return found


def label_of(model) -> str:
    return model._meta.label_lower


def admin_names() -> dict[str, str]:
    """Name of an admin route → its pattern. Nameless ones only redirect to named ones."""
    return {name.removeprefix("admin:"): pattern for pattern, name, _view in routes() if name.startswith("admin:")}


KINDS = ("changelist", "add", "change", "delete", "history", "simple_history", "act")


def test_every_admin_route_has_an_expectation():
    expected = set(SITE) | {""}
    for model, model_admin in admin.site._registry.items():
        label = label_of(model)
        prefix = label.replace(".", "_")
        assert label in MODELS or label in CLOSED, f"{label} has no line in MODELS"
        if label in CLOSED:
            expected |= {name for name in admin_names() if name.startswith(f"{prefix}_")}
            continue
        kinds = {*KINDS[:5], "act"}
        for more in (LISTS, OF_EVENTS, OF_ROWS, ASKED_BY_SCRIPTS, POST_ONLY):
            kinds |= {*more.get(label, ())}
        if hasattr(model, "history"):
            kinds.add("simple_history")
        expected |= {f"{prefix}_{kind}" for kind in kinds}
        acts = {act.name for act in model_admin.all_acts}
        assert acts == set(ACTS.get(label, ())), f"acts of {label}"
        assert {act.name for act in model_admin.all_acts if act.of_row} == {
            act for one, act in OF_ROW if one == label
        }, f"acts of a row of {label}"
    assert set(admin_names()) == expected
    assert {label_of(model) for model in admin.site._registry} == set(MODELS) | CLOSED


def test_every_action_of_a_list_has_an_expectation(world, rf):
    request = rf.get("/")
    request.user = world.people["s"]
    for model, model_admin in admin.site._registry.items():
        label = label_of(model)
        if label in MODELS:
            offered = {name for name in model_admin.get_actions(request) if name != "export_admin_action"}
            acts = {act for act in ACTS.get(label, ()) if (label, act) not in OF_ROW}
            assert offered == acts | set(GATHERINGS.get(label, ())), label


def test_every_api_route_and_verb_has_an_expectation():
    expected = {route: set(verbs) for route, verbs in (API | PUBLIC_API).items()}
    assert api_routes() == expected


def test_every_other_address_has_an_expectation():
    others = {pattern for pattern, _name, _view in routes() if not pattern.startswith(("admin/", "api/v1/"))}
    assert others == set(PLAIN) | set(WEB)


def test_every_text_of_the_organisation_is_marked(world):
    """The walk below proves nothing of a column that has no mark."""
    unmarked = {
        "events.userprofile.password",  # a hash; test_lookups_answer_no_questions guards it
        "events.event.timezone",
        "events.organization.phone_region",  # two letters
        "events.phonecode.secret",  # random
        "attendance.attendanceaudit.db_user",  # of the machine
        "events.integrityresult.name",  # of no organisation
        "events.integrityresult.level",
        "events.integrityresult.figures",
        "messaging.message.audience",  # a word of ours
        "messaging.messagedelivery.link_case",  # the database's word
        "messaging.userlinkaudit.table_name",  # written by the database alone, with ids and its own words
        "messaging.userlinkaudit.details",
        "messaging.userlinkaudit.db_user",
        "rsvp.sessionchange.status",  # a word of ours, as it was
        "rsvp.waitlistlog.db_user",
    }
    plain = (models.CharField, models.TextField, models.JSONField)
    missing = set()
    for app in OURS:
        for model in apps.get_app_config(app).get_models():
            if model._meta.proxy:
                continue
            rows = list(model._default_manager.values())
            for field in model._meta.concrete_fields:
                name = f"{label_of(model)}.{field.name}"
                if not isinstance(field, plain) or field.choices or name.replace(".historical", ".") in unmarked:
                    continue
                if field.name in ("history_change_reason", "history_type") and model._meta.model_name not in (
                    "historicaljoinrequest",
                    "historicalattendee",
                    "historicaleventguest",
                    "historicalmessage",
                ):
                    continue
                if not any(one in str(row[field.attname]) for row in rows for one in (A, *PHONES)):
                    missing.add(name)
    assert missing == set()


# -- The admin, looked at --------------------------------------------------------------------------


def pages_of(label, row):
    """(kind, act or None, address) of a row's pages."""
    prefix = f"admin:{label.replace('.', '_')}"
    for kind in ("change", "delete", "history"):
        yield kind, None, reverse(f"{prefix}_{kind}", args=[row.pk])
    if hasattr(type(row), "history") and (version := row.history.first()):  # a notice of the system has none
        yield "simple_history", None, reverse(f"{prefix}_simple_history", args=[row.pk, version.pk])
    for kind in OF_ROWS.get(label, ()):
        yield kind, None, reverse(f"{prefix}_{kind}", args=[row.pk])
    for act in ACTS.get(label, ()):
        yield "act", act, reverse(f"{prefix}_act", args=[row.pk, act])


def roles_of(label, kind, act=None) -> str:
    if kind == "act":
        return ACTS[label][act]
    if kind in OF_ROWS.get(label, ()):
        return OF_ROWS[label][kind]
    roles = MODELS[label]
    if kind in ("history", "simple_history"):
        return roles.get("history", roles["view"])
    return roles["view" if kind == "change" else kind]


def post_only(label):
    for kind, arguments in POST_ONLY.get(label, {}).items():
        yield reverse(f"admin:{label.replace('.', '_')}_{kind}", args=arguments)


def unknown_key(row):
    return uuid.uuid4() if isinstance(row.pk, uuid.UUID) else 99999999


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_pages_of_rows(world, letter):
    client = signed_in(world.people[letter])
    marks = allowed(letter)
    for label in MODELS:
        for row in world.a.rows[label][:1]:
            for kind, act, page in pages_of(label, row):
                where = (letter, page)
                response = client.get(page)
                assert_shows_only(response, marks, where)
                me = IN_A.get(letter, letter)
                sees = me in MODELS[label]["view"]
                if letter == "M" and label == "attendance.attendee":
                    sees = False  # an owner elsewhere sees the attendees whom they look after
                if sees and me in roles_of(label, kind, act):
                    assert response.status_code in (200, 302), where
                elif sees:
                    assert response.status_code == 403, where
                else:
                    # What one may not see looks like what isn't there.
                    assert response.status_code in (403, 404), where
                    if kind == "change":
                        unknown = page.replace(f"/{row.pk}/", f"/{unknown_key(row)}/")
                        assert client.get(unknown).status_code == response.status_code, where
                    if letter.upper() in roles_of(label, kind, act).upper() or kind == "change" and letter in OTHERS:
                        found_first = label == "messaging.message"  # what page it is depends on the row
                        expected = 404 if letter.lower() in roles_of(label, kind, act) or found_first else 403
                        assert response.status_code == expected, where


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_lists_and_forms_for_new_rows(world, letter):
    client = signed_in(world.people[letter])
    marks = allowed(letter)
    me = {"M": "od", "W": "rv"}.get(letter, letter.lower())  # what they are anywhere
    for label, verbs in MODELS.items():
        prefix = f"admin:{label.replace('.', '_')}"
        pages = {"changelist": verbs["view"], "add": verbs["add"], **LISTS.get(label, {})}
        if label == "attendance.attendee":
            pages["export"] = "sorv"
        for kind, roles in pages.items():
            page = reverse(f"{prefix}_{kind}")
            response = client.get(page)
            assert_shows_only(response, marks, (letter, page))
            expected = 200 if any(one in roles for one in me) else 403
            assert response.status_code == expected, (letter, page)
            if kind == "add":
                popup = client.get(page, {"_popup": 1, "_to_field": "id", "event": world.a.event.pk})
                assert_shows_only(popup, marks, (letter, page, "popup"))
        for page in post_only(label):
            assert client.get(page).status_code == 405


@pytest.mark.parametrize("letter", OTHERS)
def test_the_other_organisation_sees_its_own(world, letter):
    """The walk would find marks: those of the own organisation are there."""
    client = signed_in(world.people[letter])
    for label, verbs in MODELS.items():
        if letter.lower() in verbs["view"]:
            question = {"kind": "all"} if label == "messaging.message" else {}
            response = client.get(reverse(f"admin:{label.replace('.', '_')}_changelist"), question)
            assert B in response.content.decode(), label
            if label != "events.userprofile":
                assert len(response.context["cl"].result_list) == len(world.b.rows[label]), label


@pytest.mark.parametrize("letter", EVERYBODY)
def test_pages_of_the_site(world, letter):
    client = signed_in(world.people[letter])
    marks = allowed(letter) if letter not in GUESTS else set()
    own = {"ownfirst", "ownlast", "ownemail", "ownphoto"} if letter == "a" else set()
    for name, expectations in SITE.items():
        event_type = ContentType.objects.get_for_model(Event)
        arguments = {"view_on_site": [event_type.pk, world.a.event.pk], "app_list": ["requests"]}.get(name, [])
        page = reverse(f"admin:{name}", args=arguments)
        response = client.get(page, {"s": "event"} if name == "search" else {})
        status = next((status for status, letters in expectations.items() if letter in letters), 302)
        if name == "app_list" and letter in "dD":
            status = 404  # no model of that app is theirs
            assert client.get(reverse("admin:app_list", args=["messaging"])).status_code == 404
        assert response.status_code == status, (letter, page)
        if status == 302 and letter in GUESTS and name != "logout":
            assert response.url.startswith(reverse("admin:login")), page
        assert_shows_only(response, marks if marks is None else marks | own, (letter, page))
    for pattern, status in PLAIN.items():
        page = "/media/photos/none.jpg" if "media" in pattern else f"/{pattern}"
        page = page.replace("<int:event_id>", str(world.a.event.pk)).replace("<int:number>", "1")
        page = page.replace("<uuid:delivery_id>", str(uuid.uuid4()))
        response = client.get(page)
        assert response.status_code == status, page
        assert_shows_only(response, set(), page)


@pytest.mark.parametrize("letter", EVERYBODY)
def test_attendees_pages(world, letter):
    client = signed_in(world.people[letter])
    event = world.a.event
    session = Session.objects.filter(event=event).first()
    for pattern, expectations in WEB.items():
        page = f"/{pattern}".replace("<slug:slug>", event.slug).replace("<str:token>", "made-up")
        response = client.get(page.replace("<uuid:session_id>", str(session.pk)))
        status = next((status for status, letters in expectations.items() if letter in letters), 404)
        assert response.status_code == status, (letter, page)
        if letter == "n" and status == 303:
            assert response.url.startswith("/sign-in/?next="), page
        # The address that was asked for is said again.
        assert_shows_only(response, None if letter in MAY_SEE else {"eventslug"}, (letter, page))


@pytest.mark.parametrize("letter", OTHERS + "xn")
def test_nobody_does_anything_on_pages_of_an_event_that_they_may_not_see(world, letter):
    client = signed_in(world.people[letter])
    before = snapshot()
    for pattern in WEB:
        if "<slug:slug>" not in pattern:
            continue
        for session in world.a.rows["events.session"][:2]:
            unhurried(world.people[letter])
            page = f"/{pattern}".replace("<slug:slug>", world.a.event.slug)
            response = client.post(page.replace("<uuid:session_id>", str(session.pk)), {"rating": "5", "token": "no"})
            assert response.status_code in ((303, 404, 405) if letter == "n" else (404, 405)), (letter, page)
            if response.status_code == 303:
                assert response.url.startswith("/sign-in/?next="), page
            assert_shows_only(response, {"eventslug"}, (letter, page))
    assert snapshot() == before


@pytest.mark.parametrize("letter", GUESTS)
def test_guests_are_sent_to_sign_in(world, letter):
    client = signed_in(world.people[letter])
    for label, rows in world.a.rows.items():
        prefix = f"admin:{label.replace('.', '_')}"
        pages = [reverse(name) for name in (f"{prefix}_changelist", f"{prefix}_add")]
        pages += [reverse(f"{prefix}_{kind}") for kind in (*LISTS.get(label, ()), *ASKED_BY_SCRIPTS.get(label, ()))]
        pages += post_only(label)
        if label in MODELS:
            pages += [page for _kind, _act, page in pages_of(label, rows[0])]
        else:
            pages += [reverse(f"{prefix}_{kind}", args=[rows[0].pk]) for kind in ("change", "delete", "history")]
        for page, method in itertools.product(pages, (client.get, client.post)):
            response = method(page)
            assert response.status_code == 302 and response.url.startswith(reverse("admin:login")), page
            assert given_away(response) == set(), page


@pytest.mark.parametrize("letter", "sO")
def test_admins_of_other_packages_are_closed(world, letter):
    client = signed_in(world.people[letter])
    for name, pattern in admin_names().items():
        label = next((one for one in CLOSED if name.startswith(f"{one.replace('.', '_')}_")), None)
        if label is None:
            continue
        row = world.a.rows[label][0]
        page = reverse(f"admin:{name}", args=[row.pk] if "<" in pattern else [])
        response = client.get(page)
        assert response.status_code in (403, 404), (letter, page)
        assert given_away(response) == set()
        assert client.post(page, {"post": "yes"}).status_code in (403, 404), (letter, page)


def questions(world, model_admin, label, request):
    """Addresses of a list that ask for what is A's: searches, filters, orders, facets."""
    part = A[:-2]  # an answer repeats what was asked, so never a whole mark
    yield {"q": part}
    yield {"q": part, "_facets": "True"}
    yield {"_facets": "True"}
    yield {"all": ""}
    yield {"o": "-1.2"}
    for one in model_admin.list_filter:
        if isinstance(one, type):  # a word of its own
            choices = one(request, {}, model_admin.model, model_admin).lookup_choices
            yield from ({one.parameter_name: key, "q": part} for key, _label in choices)
            if ("event", ScopedFilter) in model_admin.list_filter:
                yield {one.parameter_name: choices[-1][0], "event__id__exact": world.a.event.pk}
            continue
        name = one if isinstance(one, str) else one[0]
        field = model_admin.model._meta.get_field(name)
        if field.is_relation:
            target = world.a.rows[label_of(field.remote_field.model)][0]
            yield {f"{name}__id__exact": target.pk}
            yield {f"{name}__id__exact": target.pk, "_facets": "True"}
            yield {f"{name}__in": str(target.pk)}
        else:
            value = field.choices[0][0] if field.choices else "1"
            yield {f"{name}__exact": value}
    yield {"id__in": ",".join(str(row.pk) for row in world.a.rows[label])}


@pytest.mark.parametrize("letter", "ODdM")
def test_lists_answer_no_questions_about_others(world, letter, rf):
    client = signed_in(world.people[letter])
    request = rf.get("/", {"event__id__exact": world.a.event.pk})  # what a superuser is offered for A's event
    request.user = world.people["s"]
    me = {"M": "od"}.get(letter, letter.lower())
    for model, model_admin in admin.site._registry.items():
        label = label_of(model)
        if label not in MODELS or not any(one in MODELS[label]["view"] for one in me):
            continue
        own = len(world.b.rows[label]) if letter in OTHERS else None
        for question in questions(world, model_admin, label, request):
            response = client.get(reverse(f"admin:{label.replace('.', '_')}_changelist"), question)
            where = (letter, label, question)
            # The door has fewer filters, and no others are answered.
            refused = label == "attendance.attendee" and me == "d" and any("source" in name for name in question)
            assert response.status_code in ((400,) if refused else (200, 302)), where
            assert_shows_only(response, allowed(letter), where)
            if response.status_code == 200 and own is not None and set(question) & {"q", "id__in", "event__id__exact"}:
                assert len(response.context["cl"].result_list) == 0, where


@pytest.mark.parametrize("letter", "dM")
def test_the_door_searches_names_only(world, letter):
    """What one may not read must not be found by, either. (M looks after other attendees than A's.)"""
    client = signed_in(world.people[letter])
    page = reverse("admin:attendance_attendee_changelist")
    for hidden in ("nameless", "email", "ownerid", "goals", "ticket", "comment"):
        assert len(client.get(page, {"q": f"{A}{hidden}"}).context["cl"].result_list) == 0, hidden
    found = {"d": 2, "M": 0}[letter]  # "met", who is in two rooms of A
    assert len(client.get(page, {"q": f"{A}first"}).context["cl"].result_list) == found


def paths(model, depth=3):
    """Every way along relations, both directions, to a text."""
    for field in model._meta.get_fields():
        if isinstance(field, (models.CharField, models.TextField)):
            yield field.name
        elif field.is_relation and field.related_model not in (None, "self") and depth:
            name = field.name  # of a reverse relation: what queries call it
            yield from (f"{name}__{rest}" for rest in paths(field.related_model, depth - 1))


def test_lookups_answer_no_questions(world, rf):
    """``?event__organization__memberships__user_profile__password__startswith=…`` is refused, for all."""
    request = rf.get("/")
    request.user = world.people["s"]
    tried = 0
    for model, model_admin in admin.site._registry.items():
        if label_of(model) in CLOSED:
            continue
        words = {one.parameter_name for one in model_admin.list_filter if isinstance(one, type)}
        fields = [one for one in model_admin.list_filter if not isinstance(one, type)]
        offered = {one if isinstance(one, str) else one[0] for one in fields}
        for path in paths(model):
            for comparison in ("", "__startswith", "__regex", "__gte"):
                if path in offered | {"id"} and comparison in ("", "__gte") or path in words and not comparison:
                    continue
                tried += 1
                assert not model_admin.lookup_allowed(f"{path}{comparison}", "x", request), (model, path)
    assert tried > 5000
    client = signed_in(world.people["O"])
    for page, lookup in (
        ("requests_joinrequest", "user_profile__email__startswith"),
        ("requests_joinrequest", "user_profile__password__startswith"),
        ("requests_joinrequest", "event__organization__memberships__user_profile__password__startswith"),
        ("attendance_attendee", "event__attendees__goals__startswith"),
        ("events_session", "event__organization__slug"),
        ("events_userprofile", "password__startswith"),
        ("events_userprofile", "memberships__organization"),
        ("messaging_eventguest", "user__email__startswith"),
        ("messaging_eventguest", "phone__startswith"),
        ("messaging_messagedelivery", "user__email__startswith"),
        ("messaging_messagedelivery", "message__subject__startswith"),
        ("messaging_message", "deliveries__user__email__startswith"),
        ("messaging_userlinkaudit", "user__email__startswith"),
    ):
        for kind in ("changelist", "export"):
            if kind == "changelist" or "export" in LISTS.get(page.replace("_", ".", 1), ()):
                assert client.get(reverse(f"admin:{page}_{kind}"), {lookup: "a"}).status_code == 400, lookup


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_autocomplete_of_every_relation(world, letter):
    client = signed_in(world.people[letter])
    me = {"M": "od", "W": "rv"}.get(letter, letter.lower())
    asked = set()
    for model in apps.get_models():
        for field in (*model._meta.concrete_fields, *model._meta.many_to_many):
            target = getattr(getattr(field, "remote_field", None), "model", None)
            if target is None or target not in admin.site._registry:
                continue
            source = {
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name,
                "field_name": field.name,
            }
            label = label_of(target)
            key = (label, letter in OWN, label_of(model).startswith(OURS), field.name)
            if key in asked:
                continue  # the answer depends on the target only
            asked.add(key)
            response = client.get(reverse("admin:autocomplete"), source | {"term": A[:-2]})
            where = (letter, source)
            if label in CLOSED or not any(one in MODELS[label]["view"] for one in me):
                assert response.status_code in (403, 404), where
            else:
                # A membership, a result, a ban have no search or nobody to search for; a wrong name is 403.
                assert response.status_code in (200, 403, 404), where
                if response.status_code == 200 and letter in OTHERS:
                    assert response.json()["results"] == [], where
            assert_shows_only(response, allowed(letter), where)


@pytest.mark.parametrize("letter", "sovdODMW")
def test_exports(world, letter):
    client = signed_in(world.people[letter])
    me = {"M": "od", "W": "rv"}.get(letter, letter.lower())
    for label, pages in LISTS.items():
        if "export" not in pages:
            continue
        page = reverse(f"admin:{label.replace('.', '_')}_export")
        theirs = [str(row.pk) for row in world.a.rows[label]]
        event = (world.a.opened if label == "rsvp.sessionfeedback" else world.a.event).pk
        for format, asked, chosen in itertools.product(
            "01", ({}, {"q": A[:-2]}, {"event__id__exact": event}), ([], theirs)
        ):
            if format == "1" and (asked or chosen):
                continue  # the same rows in another wrapping
            data = {"format": format} | ({"export_items": chosen} if chosen else {})
            response = client.post(page + "?" + "&".join(f"{k}={v}" for k, v in asked.items()), data)
            where = (letter, label, format, asked, bool(chosen))
            assert_shows_only(response, allowed(letter), where)
            if not any(one in pages["export"] for one in me):
                assert response.status_code == 403, where
            elif letter in "sorv":
                found = given_away(response) - {"eventslug"}  # in the name of a file about one event
                # Whom a file of deliveries names by their address, no name finds.
                unfound = {"email"} if "q" in asked and label == "messaging.messagedelivery" else set()
                assert (response.status_code, found) == (200, EXPORTED[label] - unfound), where
            else:
                assert response.status_code == 200, where
                if not asked and not chosen and letter != "W":
                    body = response.content
                    assert body.startswith(b"PK") or B.encode() in body, where


# -- The admin, written to -----------------------------------------------------------------------------

FILLED = {"act_form": "1", "note": "changed", "reason": "changed", "plus_ones": "1", "seats": "1", "priority": "5"}
MADE_READY = {
    ("attendance.attendee", "show"): lambda: Attendee.objects.update(hidden_at=timezone.now()),
    ("events.event", "withdraw"): lambda: Event.objects.update(status="published"),
    ("events.session", "open_line"): lambda: lines(is_open=False),
    ("events.session", "start_offers"): lambda: lines(offers_on=False),
    ("events.session", "restore"): lambda: Session.objects.update(status="cancelled"),
    ("rsvp.waitlistentry", "offer"): lambda: WaitlistEntry.objects.update(status="waiting", offer_expires_at=None),
}
"""Acts that take back what another did: how rows must be before."""


def lines(**switches):
    SessionLine.objects.bulk_create(SessionLine(session=one, **switches) for one in Session.objects.all())


def attacks(world):
    """Everything that can be posted at A's rows: (address, data)."""
    for model, model_admin in admin.site._registry.items():
        label = label_of(model)
        if label not in MODELS:
            continue
        prefix = f"admin:{label.replace('.', '_')}"
        keys = [str(row.pk) for row in world.a.rows[label]]
        more = (*GATHERINGS.get(label, ()), "delete_selected", "export_admin_action")
        for name in (*(act.name for act in model_admin.all_acts), *more):
            data = {"action": name, "_selected_action": keys, "post": "yes", **filled(world)}
            yield reverse(f"{prefix}_changelist"), data
        if label in ACTS:
            page = reverse(f"{prefix}_changelist") + "?id__in=" + ",".join(keys)
            yield page, data | {"action": next(iter(ACTS[label])), "select_across": "1"}
        for row in world.a.rows[label][:1]:
            for _kind, _act, page in pages_of(label, row):
                yield page, {**form_of(world, row), "post": "yes", **filled(world), "_save": "1"}
        for page in post_only(label):
            yield page, {}
    for button in buttons(world):
        yield reverse("admin:messaging_message_preview", args=[world.a.draft.pk]), button


def filled(world) -> dict:
    return FILLED | {"person": str(world.a.people["met"].pk), "attendee": str(world.a.attendees["own"].pk)}


def buttons(world):
    """Of a message's preview."""
    number = planning.summary(world.a.draft).recipients
    seen = {"seen": announcements.fingerprint(world.a.draft)}
    return {"test": "1"}, {"schedule": "1"} | seen, {"send": "1", "expected": str(number)} | seen


def form_of(world, row) -> dict:
    """What a change form of the row would post, with every text changed."""
    data = {}
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if isinstance(field, models.DateTimeField) and value:
            data |= {f"{field.name}_0": str(value.date()), f"{field.name}_1": value.strftime("%H:%M:%S")}
        elif isinstance(field, models.DurationField) and value is not None:
            data[field.name] = str(int(value.total_seconds() // 60))
        elif isinstance(field, ArrayField):
            data[field.name] = value
        elif isinstance(field, (models.CharField, models.TextField)) and not field.choices and value:
            kept = ("timezone", "photo_url", "url", "phone", "email", "audience")
            data[field.name] = f"{value}x" if field.name not in kept else value
        elif value is not None:
            data[field.name] = str(value)
    data |= {"when": "now", "outside": "on"}  # of a message, and of a session at a time that its event hasn't
    if isinstance(row, Message):
        data["version"] = Message.objects.get(pk=row.pk).updated_at.isoformat()
    data |= {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1"}
    member = world.a.rows["events.membership"][0]
    return data | {"memberships-0-id": str(member.pk), "memberships-0-role": "viewer", "memberships-0-DELETE": "on"}


@pytest.mark.parametrize("letter", "dvODMWx")
def test_nobody_writes_to_rows_that_they_may_not_change(world, letter):
    client = signed_in(world.people[letter])
    before = snapshot()
    for page, data in attacks(world):
        response = client.post(page, data)
        where = (letter, page, data.get("action"))
        looked_at = page.endswith("/progress/")  # never posted to
        assert response.status_code in (200, 302, 403, 404, *((405,) if looked_at else ())), where
        if re.search(r"/act/|/(delete|change|preview|try-again)/$|/history/\d+/$", page):
            assert response.status_code in ((302,) if letter in GUESTS else (403, 404)), where
        assert_shows_only(response, allowed(letter) if letter not in GUESTS else set(), where)
    assert snapshot() == before


@pytest.mark.parametrize("letter", "sor")
def test_those_who_may_do(world, letter):
    """The attacks above would change things: from the right hands they do."""
    client = signed_in(world.people[letter])
    for label, acts in ACTS.items():
        for act in acts:
            with Undone():
                keys = [str(row.pk) for row in world.a.rows[label]]
                data = {"action": act, "_selected_action": keys, **filled(world)}
                if ready := MADE_READY.get((label, act)):
                    ready()
                before = snapshot()
                address = reverse(f"admin:{label.replace('.', '_')}_changelist")
                if (label, act) in OF_ROW:
                    address = reverse(f"admin:{label.replace('.', '_')}_act", args=[keys[0], act])
                elif label == "messaging.message":
                    address += "?kind=all"
                response = client.post(address, data)
                if response.status_code == 200:  # some are marked already: the person is asked first
                    assert snapshot() == before, (label, act)
                    response = client.post(address, data | {"confirmed": response.context["warning"]})
                assert response.status_code == 302, (label, act)
                assert snapshot() != before, (label, act)
    for label, gatherings in GATHERINGS.items():
        for name in gatherings:
            with Undone():
                keys = [str(row.pk) for row in world.a.rows[label] if row.event_id == world.a.event.pk]
                address = reverse(f"admin:{label.replace('.', '_')}_changelist")
                response = client.post(address, {"action": name, "_selected_action": keys})
                made = Message.objects.order_by("pk").last()
                assert response.url == reverse("admin:messaging_message_change", args=[made.pk]), label
                assert (made.event, made.created_by) == (world.a.event, world.people[letter])
    for button in buttons(world):
        before = snapshot()
        with Undone():
            page = reverse("admin:messaging_message_preview", args=[world.a.draft.pk])
            assert client.post(page, button).status_code == 302, button
            assert snapshot() != before, button
    for label in (
        "events.event",
        "events.room",
        "events.session",
        "events.speaker",
        "attendance.checkinpoint",
        "attendance.doordevice",
        "messaging.eventguest",
        "messaging.message",
        "rsvp.rsvpsettings",
    ):
        row = world.a.rows[label][0]
        before = snapshot()
        with Undone():
            response = client.post(
                reverse(f"admin:{label.replace('.', '_')}_change", args=[row.pk]), form_of(world, row)
            )
            assert response.status_code == 302, (label, response.context["adminform"].errors)
            assert snapshot() != before, label
    if letter == "s":
        for label in POST_ONLY:
            for page in post_only(label):
                before = snapshot()
                with Undone():
                    assert client.post(page).status_code == 302, page
                    assert snapshot() != before, page


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_messages_that_are_out(world, letter):
    """Their page is another than a draft's, and nobody changes or deletes them."""
    client = signed_in(world.people[letter])
    me = IN_A.get(letter, letter)
    before = snapshot()
    for row in world.a.rows["messaging.message"][1:7]:  # the last is a notice of the system
        for kind, act, page in pages_of("messaging.message", row):
            where = (letter, row.status, row.kind, page)
            response = client.get(page)
            assert_shows_only(response, allowed(letter), where)
            if me not in "sorv":
                assert response.status_code == (404 if kind != "delete" else response.status_code), where
                assert response.status_code in (403, 404), where
            elif kind == "delete" or act and me not in ACTS["messaging.message"][act]:
                assert response.status_code == 403, where
            else:
                assert response.status_code in (200, 302), where
            if kind in ("change", "delete"):
                response = client.post(page, {**form_of(world, row), "post": "yes", "_save": "1"})
                # Whoever may write finds what they wrote in the form of a new one; nothing is saved.
                writes = kind == "change" and row.kind == "announcement" and me in "sor"
                assert response.status_code in ((200, 302) if writes else (403, 404)), where
    for kind in ("change", "history", *OF_ROWS["messaging.message"]):
        page = reverse(f"admin:messaging_message_{kind}", args=[uuid.uuid4()])
        assert client.get(page).status_code == 404, (letter, page)
    assert snapshot() == before


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_candidates(world, letter):
    """Whom one could write to is for those to ask who write messages of that very event."""
    client = signed_in(world.people[letter])
    page = reverse("admin:messaging_message_candidates")
    for question in ({}, {"term": A[:-2]}):
        response = client.get(page, question | {"event": world.a.event.pk})
        assert response.status_code == (200 if letter in "sor" else 404), (letter, question)
        assert ({"guest", "ownguest", "first"} <= given_away(response)) == (letter in "sor"), (letter, question)
        assert letter in "sor" or not given_away(response)
        assert client.get(page, question | {"event": 99999999}).status_code == 404
        assert client.get(page, question).status_code == 404
    if letter in "ORMW":
        assert B in client.get(page, {"event": world.b.event.pk}).content.decode()
        assert client.get(page, {"event": world.b.event.pk, "term": A[:-2]}).json()["results"] == []
    assert client.post(page, {"event": world.a.event.pk}).status_code == 405


@pytest.mark.parametrize("letter", OWN + OTHERS + BOTH)
def test_choices(world, letter):
    """The sessions of an event are for those to ask who write its messages."""
    client = signed_in(world.people[letter])
    page = reverse("admin:messaging_message_choices")
    response = client.get(page, {"of": "sessions", "event": world.a.event.pk})
    assert response.status_code == (200 if letter in "sor" else 404)
    assert given_away(response) == ({"session"} if letter in "sor" else set())
    assert client.get(page, {"of": "picked", "event": world.a.event.pk}).status_code == 404
    assert client.get(page).status_code == 404


@pytest.mark.parametrize("letter", "ORV")
def test_a_guest_who_is_a_person_of_the_other_organisation(world, letter):
    """That there is an account B's own number tells; whose it is, nothing does, on any page or in any file."""
    client = signed_in(world.people[letter])
    rows = [("messaging.eventguest", one) for one in world.b.strangers]
    rows += [("messaging.messagedelivery", world.b.theirs)]
    rows += [("messaging.userlinkaudit", one) for one in UserLinkAudit.objects.filter(guest__in=world.b.strangers)]
    assert len(rows) >= 6
    for label, row in rows:
        for _kind, _act, page in pages_of(label, row):
            response = client.get(page)
            assert response.status_code in (200, 302, 403), page
            assert given_away(response) == set(), (letter, page)
    for label in ("messaging.eventguest", "messaging.messagedelivery", "messaging.userlinkaudit"):
        prefix = f"admin:{label.replace('.', '_')}"
        for asked in ({}, {"q": "theirs"}, {"q": A[:-2]}):
            assert given_away(client.get(reverse(f"{prefix}_changelist"), asked)) == set()
        if "export" in LISTS.get(label, ()):
            written = client.post(reverse(f"{prefix}_export"), {"format": "0"})
            assert "theirs" in written.content.decode() and given_away(written) == set()
    assert given_away(client.get(reverse("admin:index"))) == set()
    for label, own, theirs in (
        ("messaging_eventguest", world.b.guest, world.a.guest),
        ("messaging_message", world.b.draft, world.a.draft),
    ):
        page = reverse(f"admin:{label}_simple_history", args=[own.pk, theirs.history.first().pk])
        assert client.get(page).status_code == 404, page


@pytest.mark.parametrize("letter", "ORW")
def test_no_guest_is_linked_to_a_person_of_others(world, letter):
    """Whoever isn't known to one's own organisation is refused like whoever isn't there."""
    client = signed_in(world.people[letter])
    before = snapshot()
    for guest in (world.b.guest, world.b.strangers[1]):
        page = reverse("admin:messaging_eventguest_act", args=[guest.pk, "link"])
        answers = []
        for key in (world.a.people["met"].pk, world.a.people["nameless"].pk, uuid.uuid4()):
            for field in ("person", "fits"):
                response = client.post(page, {"act_form": "1", field: str(key)})
                assert response.status_code == 200 and (letter == "W" or given_away(response) == set())
                answers.append((field, re.sub(str(key), "", response.context["form"].errors.as_json())))
        assert len(set(answers)) == 2, answers
    assert snapshot() == before


@pytest.mark.parametrize("letter", "ORW")
def test_no_seat_is_given_to_an_attendee_of_others(world, letter):
    client = signed_in(world.people[letter])
    before = snapshot()
    page = reverse("admin:events_session_act", args=[world.b.session.pk, "add_person"])
    answers = set()
    for key in (world.a.attendees["own"].pk, uuid.uuid4()):
        response = client.post(page, FILLED | {"attendee": str(key)})
        assert response.status_code == 200 and (letter == "W" or given_away(response) == set())
        answers.add(response.context["form"].errors.as_json())
    assert len(answers) == 1 and '"attendee"' in answers.pop()
    assert snapshot() == before


@pytest.mark.parametrize("letter", "ORW")
def test_forms_take_no_rows_of_others(world, letter):
    """Foreign keys of A in forms of B: refused like a key that doesn't exist, and nothing is told."""
    client = signed_in(world.people[letter])
    a, b = world.a, world.b
    when = {"starts_at_0": "2030-01-01", "starts_at_1": "10:00", "ends_at_0": "2030-01-01", "ends_at_1": "11:00"}
    named = {"name": "New", "title": "New", "slug": "new", "label": "New", "session_type": "", "role": "viewer"}
    named |= {"guest_name": "New", "body": "New", "when": "now", "audience": "picked", "_preview": "1"}
    settings = {"timezone": "UTC", "max_plus_ones": "0", "approval_mode": "manual", "visibility": "public"}
    foreign = {
        "event": a.event.pk,
        "organization": a.organization.pk,
        "room": a.room.pk,
        "speakers": a.rows["events.speaker"][0].pk,
        "session": a.session.pk,
        "points": a.point.pk,
        "user_profile": a.people["met"].pk,
        "email": a.people["met"].email,
        "picked": f"guest:{a.guest.pk}",
    }
    before = snapshot()
    told = []
    for label in (
        "events.event",
        "events.room",
        "events.speaker",
        "events.session",
        "events.membership",
        "requests.invitationlink",
        "attendance.checkinpoint",
        "attendance.doordevice",
        "attendance.pointscale",
        "messaging.eventguest",
        "messaging.message",
        "rsvp.rsvpsettings",
    ):
        if (
            letter.lower() not in MODELS[label]["add"]
            and letter != "W"
            or label == "events.membership"
            and letter != "O"
        ):
            continue
        page = reverse(f"admin:{label.replace('.', '_')}_add")
        unknown = {name: uuid.uuid4() if isinstance(key, uuid.UUID) else 99999999 for name, key in foreign.items()}
        unknown |= {"email": foreign["email"], "picked": f"guest:{uuid.uuid4()}"}
        answers = []
        for keys in (foreign, unknown):
            response = client.post(page, {**named, **settings, **when, **keys})
            assert response.status_code == 200, (letter, page)
            said = response.context["adminform"].form.errors.as_json()
            answers.append(re.sub(r"choice\. \S+ is", "choice. It is", said))
            if "email" not in answers[-1] and label != "events.membership":
                assert given_away(response) <= {"email"}, page
        assert answers[0] and answers[0] == answers[1], page
        told.append(label)
    assert told
    answers = set()
    for chosen in (a.guest.pk, uuid.uuid4()), (a.people["met"].pk, uuid.uuid4()):
        for kind, key in itertools.product(("guest", "person"), chosen):
            data = {**named, "event": b.event.pk, "channels": ["in_app"], "picked": f"{kind}:{key}"}
            response = client.post(reverse("admin:messaging_message_add"), data)
            assert response.status_code == 200 and (letter == "W" or given_away(response) == set())
            answers.add(response.context["adminform"].form.errors.as_json())
    assert len(answers) == 1 and "other_event" in answers.pop()
    for label in ("events.session",):
        row = b.session
        page = reverse(f"admin:{label.replace('.', '_')}_change", args=[row.pk])
        response = client.post(page, {**form_of(world, row), "room": a.room.pk, "speakers": [foreign["speakers"]]})
        assert response.status_code == 200 and given_away(response) == set()
        assert set(response.context["adminform"].form.errors) == {"room", "speakers"}
    if letter == "O":
        # The inline of one's own organisation with a member of another.
        page = reverse("admin:events_organization_change", args=[b.organization.pk])
        own = {"name": b.organization.name, "slug": b.organization.slug}
        own |= {f"initial-{name}": value for name, value in own.items()}
        response = client.post(page, form_of(world, b.organization) | own)
        assert given_away(response) == set()
        # Django finds no such member in B, and saves the rest of the form: a line in the log, no more.
        LogEntry.objects.filter(user=world.people["O"]).delete()
    assert snapshot() == before


@pytest.mark.parametrize(
    ("model", "file", "asked"),
    [
        ("events_event", ("schedule.json", b"{}"), {"organization", "event"}),
        ("messaging_eventguest", ("guests.csv", b"Name,Email\nNew,new@example.org\n"), {"event"}),
    ],
)
@pytest.mark.parametrize("letter", "vdROVW")
def test_a_file_goes_into_no_other_organisation(world, letter, model, file, asked):
    client = signed_in(world.people[letter])
    page = reverse(f"admin:{model}_import")
    before = snapshot()
    answers = []
    for organization, event in ((world.a.organization.pk, world.a.event.pk), (99999999, 99999999)):
        sent = {"file": SimpleUploadedFile(*file), "organization": organization, "event": event, "bad_items": "skip"}
        response = client.post(page, sent)
        if letter in "vdV":
            assert response.status_code == 403
        else:
            assert response.status_code == 200
            answers.append(response.context["form"].errors.as_json())
            assert asked <= set(response.context["form"].errors)
        assert_shows_only(response, allowed(letter), letter)
    assert len(set(answers)) <= 1
    assert snapshot() == before


def test_a_short_name_that_is_taken_elsewhere_tells_no_more_than_that(world):
    """Addresses are one namespace: that a name is taken can't be hidden, by whom and for what is."""
    client = signed_in(world.people["O"])
    taken = {"title": "New", "slug": world.a.event.slug, "organization": world.b.organization.pk}
    response = client.post(reverse("admin:events_event_add"), taken)
    assert response.context["adminform"].form.errors["slug"] == ["Event with this Short name already exists."]
    assert given_away(response) == {"eventslug"}  # as it was typed


def test_a_person_in_both_organisations_is_seen_without_the_others_texts(world):
    """Both know them; what they wrote to A, and how A decided, B doesn't learn."""
    visitor = world.a.people["visitor"]
    for letter in "ORV":
        client = signed_in(world.people[letter])
        for kind in ("change", "history"):
            response = client.get(reverse(f"admin:events_userprofile_{kind}", args=[visitor.pk]))
            assert response.status_code == 200
            assert given_away(response) == set(), (letter, kind)


# -- The API ---------------------------------------------------------------------------------------------


def api_for(who) -> Client:
    return Client(headers={"Authorization": f"Bearer {access_token(who)}"} if who else {})


def call(client, world, route, verb, body=None):
    path = "/api/v1/" + route
    for name, value in {
        "<int:event_id>": world.a.event.pk,
        "<uuid:attendee_id>": world.a.attendees["met"].pk,
        "<uuid:request_id>": world.a.requests["pending"].pk,
        "<uuid:link_id>": world.a.link.pk,
        "<int:check_in_id>": world.a.check_in.pk,
        "<uuid:message_id>": world.a.delivery.pk,
        "<uuid:device_id>": world.a.installation.pk,
        "<uuid:session_id>": world.a.session.pk,
        "<uuid:entry_id>": world.a.entry.pk,
    }.items():
        path = path.replace(name, str(value))
    if "check-ins" in route and body is None:
        scan = {"ticket_code": world.a.attendees["met"].ticket_code}
        body = {"scans": [scan]} if "batch" in route else scan
    body = BODIES.get((route, verb), {}) if body is None else body
    return getattr(client, verb)(path, **({} if verb == "get" else {"data": body, "content_type": "application/json"}))


def unhurried(who):
    """As if they had not called for a minute."""
    if who:
        limiter().clear(limits.parse(Pace.rate), Pace.scope, str(who.pk))


AT_DOOR = re.compile(r"check-ins/|door/|walk-ins/")
OF_SESSIONS = re.compile(r"sessions/|schedule/|waitlist/")
AGENDA = {"session", "room", "speaker"}


def api_marks(letter, route) -> set[str] | None:
    """What an answer of the API may tell this person. Organisations with a public event have a public name."""
    if letter in "sorvW":
        return None
    public = {"orgname", "orgslug"} | (AGENDA if letter in "adM" and OF_SESSIONS.search(route) else set())
    if letter in "dM" and AT_DOOR.search(route):
        return public | DOOR_PAGE | ({"memberdoorfirst", "memberdoorlast"} if letter == "d" else set())
    if letter in "dM":
        return (
            public
            | EVENT
            | {f"memberdoor{what}" for what in ("first", "last", "email", "photo", "phone")}
            | {"ownerid"}
        )
    if letter == "a":
        own = {"ownfirst", "ownlast", "ownemail", "ownphoto", "owngoals", "ownlookingfor", "owncontact", "ownwebsite"}
        own |= {"ownphone"}
        kept = (
            {"ownmatch", "ownticket", "ownerid", "comment", "note", "attendancenote", "ownguestemail", "session"}
            if route == "me/export/"
            else {"ownerid"}
        )
        mine = {"comment", "note"} if route.startswith("join-requests/") or route.endswith("join-requests/") else set()
        mine |= {"subject", "body", "ownguest", "note"} if "messages/" in route or route == "me/export/" else set()
        mine |= {"ownfeed"} if route == "me/calendar/" else set()
        return public | EVENT | ROOM | own | kept | {"ownmatch"} | mine
    return public


@pytest.mark.parametrize("letter", EVERYBODY)
def test_api(world, letter):
    client = api_for(world.people[letter])
    for route, verbs in API.items():
        for verb, expectations in verbs.items():
            with Undone():
                unhurried(world.people[letter])
                response = call(client, world, route, verb)
                expected = next((status for status, who in expectations.items() if letter in who), 404)
                where = (letter, verb, route)
                assert response.status_code == (401 if letter == "n" else expected), (where, response.content)
                found, marks = given_away(response), api_marks(letter, route)
                assert "ticket" not in found, where
                assert marks is None or found <= marks, (where, found - marks)
                if letter in "avW" and expected == 404 or letter in OTHERS + "x":
                    assert found <= {"orgname", "orgslug"}, (where, found)
    if letter == "a":
        rows = call(client, world, "join-requests/", "get").json()["results"]
        assert [row["id"] for row in rows] == [str(world.a.requests["own"].pk)]
        members = call(client, world, "events/<int:event_id>/attendees/", "get").json()["results"]
        seen = {str(world.a.attendees[name].pk) for name in ("own", "met", "nameless", "visitor")}
        assert {row["id"] for row in members} == seen
        for route in ("me/messages/", "events/<int:event_id>/messages/"):
            messages = call(client, world, route, "get").json()["results"]
            assert (messages[0]["id"], messages[0]["body"]) == (str(world.a.delivery.pk), f"{A}body {A}ownguest")
            decisions = {row["kind"] for row in messages[1:]}
            assert decisions <= {"join_decision"}
    else:  # whatever they may see elsewhere
        for route in ("me/messages/", "events/<int:event_id>/messages/", "me/export/"):
            assert not given_away(call(client, world, route, "get")) & MESSAGES, route


@pytest.mark.parametrize("whose", "AB")
def test_api_for_devices(world, whose):
    """At the door of their event they are what door staff are; everywhere else they are nobody."""
    client = Client(headers={"Authorization": f"Device {(world.a if whose == 'A' else world.b).gate_token}"})
    for route, verbs in API.items():
        for verb in verbs:
            with Undone():
                response = call(client, world, route, verb)
                where = (verb, route, response.content)
                at_door = AT_DOOR.search(route)
                own = {"events/<int:event_id>/check-ins/<int:check_in_id>/undo/": 409}.get(route, 200)
                if "walk-ins" in route:
                    own = 201
                assert response.status_code == ((own if whose == "A" else 404) if at_door else 401), where
                found = given_away(response)
                assert found <= (DOOR_PAGE - {"orgname", "orgslug"} if at_door and whose == "A" else set()), where
    for point in (world.a.point, world.b.point):
        own = (world.a if whose == "A" else world.b).event
        response = client.get(f"/api/v1/events/{own.pk}/door/", {"point": point.pk})
        assert response.status_code == (200 if point.event == own else 404)


@pytest.mark.parametrize("letter", EVERYBODY)
def test_figures(world, letter):
    client = signed_in(world.people[letter])
    for label, pages in OF_EVENTS.items():
        for kind, roles in pages.items():
            page = reverse(f"admin:{label.replace('.', '_')}_{kind}", args=[world.a.event.pk])
            response = client.get(page)
            expected = 200 if IN_A.get(letter, letter) in roles else 302 if letter in GUESTS else 404
            assert response.status_code == expected, (letter, page)
            assert_shows_only(response, allowed(letter) if letter not in GUESTS else set(), (letter, page))
            assert client.post(page).status_code in (302, 403, 404, 405), (letter, page)


@pytest.mark.parametrize("letter", "ORDVxdM")
def test_api_lists_answer_no_questions_about_others(world, letter):
    client = api_for(world.people[letter])
    for route, question in (
        ("events/", {"search": A[:-2]}),
        ("events/", {"status": "draft"}),
        ("events/", {"page_size": 200}),
        ("events/", {"updated_since": "2000-01-01T00:00:00Z"}),
        ("join-requests/", {"event": world.a.event.pk}),
        ("join-requests/", {"status": "pending", "page_size": 200}),
        ("join-requests/", {"search": A[:-2], "user_profile__email__startswith": A[:-2]}),
        ("join-requests/", {"updated_since": "2000-01-01T00:00:00Z"}),
    ):
        response = client.get(f"/api/v1/{route}", question)
        assert response.status_code == 200
        allowed_here = {"orgname", "orgslug"} | (EVENT if letter in "dM" and route == "events/" else set())
        assert given_away(response) <= allowed_here, (letter, route, question)
    if letter in OTHERS:
        # What B sees is there, so the lists are not simply empty.
        assert B in client.get("/api/v1/events/").content.decode()


def test_public_calls_are_the_same_for_everybody(world):
    mail = {"auth/sign-up/", "auth/verify-email/resend/", "auth/password-reset/"}
    for route, verbs in PUBLIC_API.items():
        for verb, status in verbs.items():
            for who in (None, world.people["s"], world.people["x"]):
                body = None
                if route in mail:
                    body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "long enough 7"}
                with Undone():
                    response = call(api_for(who), world, route, verb, body)
                    assert response.status_code == status, (route, response.content)
                    assert given_away(response) == set()


def test_public_calls_tell_nothing_about_an_address(world):
    known = world.a.people["met"].email
    for route, more in (
        ("auth/sign-up/", {"password": "long enough 7"}),
        ("auth/verify-email/resend/", {}),
        ("auth/password-reset/", {}),
        ("auth/token/", {"password": "wrong"}),
    ):
        told = []
        for email in (known, f"{uuid.uuid4().hex}@example.org"):
            with Undone():
                response = call(api_for(None), world, route, "post", {"email": email, **more})
                told.append((response.status_code, response.content.replace(email.encode(), b"")))
        assert told[0] == told[1], route


def test_an_invitation_works_for_whoever_has_it(world):
    """It is a way in for strangers; a made-up one is 404 (test_api)."""
    for letter in "xOa":
        with Undone():
            response = call(
                api_for(world.people[letter]), world, "invitations/accept/", "post", {"token": world.a.link.token}
            )
            assert response.status_code == (200 if letter == "a" else 201)
            assert set(response.json()) == {"event_id", "attendee_id"}


# -- People who may no longer act ----------------------------------------------------------------------------


def deactivate(who):
    UserProfile.objects.filter(pk=who.pk).update(is_active=False)


def erase(who):
    privacy.erase(person_id=who.pk, actor=who)
    check_deferred()


def out_of_the_admin(client, world):
    for page in (reverse("admin:index"), reverse("admin:requests_joinrequest_changelist")):
        response = client.get(page)
        assert response.status_code == 302 and response.url.startswith(reverse("admin:login"))
    act = reverse("admin:requests_joinrequest_act", args=[world.a.requests["pending"].pk, "approve"])
    assert client.post(act).status_code == 302
    world.a.requests["pending"].refresh_from_db()
    assert world.a.requests["pending"].status == "pending"


@pytest.mark.parametrize("letter", "sorv")
@pytest.mark.parametrize("end", [deactivate, erase])
def test_whoever_is_gone_is_out_of_the_admin_at_once(world, letter, end):
    if end is erase and letter == "o":
        Membership.objects.filter(user_profile=world.people["r"]).update(role="owner")
    client = signed_in(world.people[letter])
    assert client.get(reverse("admin:index")).status_code == 200
    end(world.people[letter])
    out_of_the_admin(client, world)


@pytest.mark.parametrize("letter", "sordvaxM")
@pytest.mark.parametrize("end", [deactivate, erase])
def test_whoever_is_gone_gets_and_does_nothing_by_a_token_that_is_still_valid(world, letter, end):
    who = world.people[letter]
    if end is erase and letter in "oM":
        other = {"o": "r", "M": "O"}[letter]
        Membership.objects.filter(user_profile=world.people[other]).update(role="owner")
    client = api_for(who)
    photo = {"photo": io.BytesIO(PIXEL)}
    end(who)
    before = snapshot()
    doors = [(route, verb, None) for route, verbs in API.items() for verb in verbs]
    doors += [
        ("invitations/accept/", "post", {"token": world.a.link.token}),
        ("join-requests/<uuid:request_id>/", "patch", {"status": "declined"}),
        ("join-requests/<uuid:request_id>/", "patch", {"status": "cancelled"}),
        ("join-requests/<uuid:request_id>/", "patch", {"comments": "changed"}),
    ]
    for route, verb, body in doors:
        unhurried(who)
        response = call(client, world, route, verb, body)
        where = (verb, route, body, response.content)
        if route in ("events/", "join-requests/") and verb == "get":
            assert response.status_code == 200 and response.json()["results"] == [], where
        else:
            assert response.status_code in (401, 404) or (route, verb) == ("me/photo/", "put"), where
        assert given_away(response) == set(), where
    own = world.a.requests["own"].pk if letter == "a" else world.a.requests["pending"].pk
    for verb, body in (("get", None), ("patch", {"status": "cancelled"}), ("patch", {"comments": "changed"})):
        arguments = {} if verb == "get" else {"data": body, "content_type": "application/json"}
        assert getattr(client, verb)(f"/api/v1/join-requests/{own}/", **arguments).status_code == 404
    opened = f"/api/v1/events/{world.a.opened.pk}/join-requests/"
    assert client.post(opened, {}, content_type="application/json").status_code == 404
    form = encode_multipart(BOUNDARY, photo)
    assert client.put("/api/v1/me/photo/", form, content_type=MULTIPART_CONTENT).status_code == 401
    assert snapshot() == before


def test_an_answer_that_was_kept_is_not_given_to_whoever_is_gone(world):
    client = api_for(world.people["r"])
    page = f"/api/v1/events/{world.a.event.pk}/invitation-links/"
    headers = {"Idempotency-Key": "once"}
    first = client.post(page, {"label": "New"}, content_type="application/json", headers=headers)
    assert first.status_code == 201
    deactivate(world.people["r"])
    again = client.post(page, {"label": "New"}, content_type="application/json", headers=headers)
    assert again.status_code in (401, 404) and b"token" not in again.content
