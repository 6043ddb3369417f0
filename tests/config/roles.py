"""Who may see what: the tables, and two organisations to try them on.

Every text of organisation A carries a mark with the name of its field; what an answer gives away is then the set of
marks in it.
"""

import io
import re
import uuid
import zipfile
from datetime import timedelta
from functools import cache
from types import SimpleNamespace

import limits
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
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
from events.sign_in import PersonRefreshToken
from messaging.models import ChannelState, EventGuest, Message, MessageDelivery, OptOut, PushDevice, UserLinkAudit
from messaging.operations import links
from requests.api.pace import Asking, Talking
from requests.models import (
    Ban,
    InvitationLink,
    JoinRequest,
    Mechanic,
    ServiceSettings,
    SessionRequest,
    StreamTicket,
)
from requests.operations import intakes, join_requests, removals, taking, talking
from rsvp.api.pace import Pace
from rsvp.models import (
    CalendarFeed,
    RsvpSettings,
    SessionChange,
    SessionFeedback,
    SessionRsvp,
    WaitlistEntry,
    WaitlistLog,
)
from rsvp.operations import line
from tests.factories import EventFactory, OrganizationFactory, UserProfileFactory

OURS = ("events", "attendance", "messaging", "rsvp", "requests")

# -- The tables --------------------------------------------------------------------------------
# People by letter. Organisation A: o owner, r organizer, d door, v viewer, a an attendee of its
# event. Organisation B: O, R, D, V. s a superuser, x a stranger, n nobody (not signed in). Two work
# for both: M is owner of B and does the door of A, W is organizer of B and viewer of A. Mechanics without
# a role: k of A, who is in a session with a, and K of B.

OWN = "sordv"
OTHERS = "ORDV"
BOTH = "MW"
MECHANICS = "kK"
GUESTS = "axn"
STAFF = OWN + OTHERS + BOTH + MECHANICS
EVERYBODY = STAFF + GUESTS
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
    "requests.mechanic": {"view": "sorv", "add": "sor", "change": "sor", "delete": "s"},
    "requests.servicesettings": {"view": "sorv", "add": "sor", "change": "sor", "delete": "s"},
    "requests.sessionrequest": {"view": "sorv", "add": "", "change": "", "delete": ""},
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
    "requests.mechanic": {"start_duty": "sor", "end_duty": "sor", "stop": "sor", "resume": "sor"},
    "requests.sessionrequest": {"give": "sor", "put_back": "sor", "cancel": "sor"},
}
OF_ROW = {
    ("messaging.eventguest", "link"),
    ("messaging.eventguest", "relink"),
    ("events.session", "add_person"),
    ("requests.sessionrequest", "give"),
}
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
    "requests.sessionrequest": {"export": "sorv", "figures": "sorv", "board": "sorvk", "board_rows": "sorvk"},
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
    "requests.sessionrequest": {"first", "last", "email", "ownfirst", "ownlast", "ownemail"}
    | {"orgname", "eventtitle", "concern", "ownconcern", "skill", "plan", "mechanicname"},
}
"""What a file of A's rows has."""

OF_EVENTS = dict.fromkeys(("attendance.attendee", "rsvp.sessionrsvp"), {"figures": "sorv", "figures_data": "sorv"})
"""Pages of a model about one event, and who opens them."""

OF_ROWS = {"messaging.message": {"preview": "sorv", "progress": "sorv"}}
"""Pages of one row beside its form, and who opens them."""

OF_PARTICIPANTS = {"requests.sessionrequest": {"meeting"}}
"""Pages of a service session: of whoever is in it, whatever anybody's role."""

ASKED_BY_SCRIPTS = {"messaging.message": {"candidates", "choices"}}
"""Answers that need a question: test_candidates and test_choices ask it."""

POST_ONLY = {"events.integrityresult": {"check": []}, "messaging.channelstate": {"try_again": ["sms"]}}
"""Pages of a model that only do something, with what their address asks for: for superusers."""

SITE = {
    "index": {200: STAFF},
    "password_change": {200: STAFF},
    "password_change_done": {200: STAFF},
    "second_factor": {200: STAFF},
    "notices": {200: "sorOR" + BOTH, 404: "dvDV" + MECHANICS},
    "jsi18n": {200: STAFF},
    "search": {200: STAFF},
    "autocomplete": {403: STAFF},
    "view_on_site": {404: STAFF},
    "login": {200: GUESTS, 302: STAFF},
    "logout": {405: STAFF},
    "app_list": {200: STAFF, 404: ""},
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
    "sign-in/": {200: "n", 303: MAY_SEE + "ORDVxkK"},
    "sign-in/<str:token>/": {410: "n", 303: MAY_SEE + "ORDVxkK"},
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
    "help/": {200: STAFF + "ax", 303: "n"},
    "help/new/": {200: "sMWkKax", 303: "ordvORDVn"},  # straight on, where there is one to choose
    "help/<uuid:session_id>/": {200: "a", 303: "kn"},  # in the admin, for the mechanic
    "help/<uuid:session_id>/say/": {405: EVERYBODY},
    "help/<uuid:session_id>/cancel/": {200: "a", 303: "n"},
    "live/ticket/": {405: EVERYBODY},
}
"""Attendees' pages: address → status of a GET → for whom, at A's private event. Others get 404."""

LOOK_API, ANY_API, DOOR_API = "sorvW", "sordvMW", "sordM"
IN_SESSION = "ak"
"""Nobody else reads what customer and mechanic say, whatever their role."""
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
    "intakes/": {"post": {201: ANY_API + "a"}},
    "service-options/": {"get": {200: ANY_API + "a"}},
    "session-requests/": {"get": {200: EVERYBODY}},
    "session-requests/<uuid:request_id>/": {"get": {200: LOOK_API + "k"}},
    "session-requests/<uuid:request_id>/accept/": {"post": {200: "k", 403: LOOK_API}},
    "session-requests/<uuid:request_id>/takeover/": {"post": {200: "sor", 403: "vWk"}},
    "session-requests/<uuid:request_id>/release/": {"post": {200: "sork", 403: "vWa"}},
    "session-requests/<uuid:request_id>/complete/": {"post": {200: "sork", 403: "vWa"}},
    "session-requests/<uuid:request_id>/cancel/": {"post": {200: "sora", 403: "vWk"}},
    "service-sessions/": {"get": {200: EVERYBODY}},
    "service-sessions/<uuid:session_id>/": {"get": {200: IN_SESSION}, "patch": {200: "k", 403: "a"}},
    "service-sessions/<uuid:session_id>/messages/": {"get": {200: IN_SESSION}, "post": {201: IN_SESSION}},
    "service-sessions/<uuid:session_id>/keep/": {"post": {200: "k", 403: "a"}},
    "mechanics/": {"get": {200: EVERYBODY}},
    "mechanics/me/": {"get": {200: EVERYBODY}},
    "mechanics/<uuid:mechanic_id>/duty/": {"post": {200: "sork"}},
    "stream/ticket/": {"post": {201: EVERYBODY}},
    "stream/session-requests/": {"get": {307: EVERYBODY}},
    "stream/service-sessions/<uuid:session_id>/": {"get": {307: EVERYBODY}},  # the stream itself lets two in
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
    ("service-sessions/<uuid:session_id>/", "patch"): {"place": "https://example.org/elsewhere"},
    ("service-sessions/<uuid:session_id>/messages/", "post"): {"body": "Hello"},
    ("mechanics/<uuid:mechanic_id>/duty/", "post"): {"on_duty": False},
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
    "+14155550105": "mechanicphone",
}
"""Numbers of A: what marks are to texts."""

MESSAGES = {f"{which}{what}" for which in ("", "draft", "other", "withdrawn") for what in ("subject", "body")}
MESSAGES |= {"ownguest", "ownguestemail", "guest", "guestemail", "guestphone", "provider", "error", "audience"}
"""What only organisers and the one to whom it was sent may read."""

CHAT = {"ownchat", "mechanicchat", "ownplace"}
"""What only the two in a service session read; no organiser does, and no superuser."""


MECHANIC = {f"mechanic{what}" for what in ("first", "last", "photo", "email")}
BOARD = {"first", "last", "concern", "ownfirst", "ownlast", "ownconcern", "skill", "plan"}
BOARD |= {"mechanicname", "eventtitle", "orgname"}
"""What a mechanic reads of their customers."""


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
            "phone": phone(mark, f"{who}phone" if who in ("own", "memberdoor", "mechanic") else "phone"),
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
    service = service_of(mark, event, people, staff["organizer"])
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
        "requests.mechanic": [service.mechanic],
        "requests.servicesettings": [service.settings],
        "requests.sessionrequest": [service.waits, service.live],
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
        service=service,
        people=people,
        requests=requests,
        attendees=attendees,
        rows=rows,
        **staff,
    )


def service_of(mark, event, people, organizer):
    """A mechanic on duty, a request of "met" that waits, and a session of "own" with the mechanic."""
    helper = person(mark, "mechanic")
    mechanic = Mechanic(
        organization=event.organization,
        user_profile=helper,
        display_name=f"{mark}mechanicname",
        skills=[f"{mark}skill"],
        on_duty=True,
    )
    mechanic._history_user = organizer
    mechanic.save(force_insert=True)
    mechanic.events.add(event)
    settings = ServiceSettings.objects.create(
        organization=event.organization, skills=[f"{mark}skill"], plans=[f"{mark}plan"]
    )

    def file(name, who):
        asked = intakes.start_intake(
            person=people[name],
            event_id=event.pk,
            concern=f"{mark}{who}concern",
            session_type="video",
            skill=f"{mark}skill",
            plan=f"{mark}plan",
            details={"text": f"{mark}{who}details"},
            key=f"{mark}key",
        )
        return asked.row

    waits, live = file("met", ""), file("own", "own")
    SessionRequest.objects.filter(event=event).update(metadata={"text": f"{mark}metadata"})
    taking.accept(request_id=live.pk, person=helper)
    for one, who in ((people["own"], "own"), (helper, "mechanic")):
        talking.say(session_id=live.session_id, person=one, body=f"{mark}{who}chat")
    talking.set_place(session_id=live.session_id, person=helper, place=f"https://example.org/{mark}ownplace")
    StreamTicket.objects.create(digest=f"{mark}digest", user_profile=helper, expires_at=timezone.now())
    for one in (waits, live):
        one.refresh_from_db()
    return SimpleNamespace(helper=helper, mechanic=mechanic, settings=settings, waits=waits, live=live)


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
        "k": a.service.helper,
        "K": b.service.helper,
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
    return {"d": DOOR | own, "M": DOOR, "k": MECHANIC}.get(letter, set())


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


# -- What there is to ask for ----------------------------------------------------------------------


def label_of(model) -> str:
    return model._meta.label_lower


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


def post_only(label):
    for kind, arguments in POST_ONLY.get(label, {}).items():
        yield reverse(f"admin:{label.replace('.', '_')}_{kind}", args=arguments)


def unhurried(who):
    """As if they had not called for a minute."""
    if who:
        for pace in (Pace, Asking, Talking):
            limiter().clear(limits.parse(pace.rate), pace.scope, str(who.pk))
