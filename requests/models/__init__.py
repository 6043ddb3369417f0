"""Asking to come in, being invited, being kept out; and asking for help, and who gives it."""

from .joining import (
    PENDING_FIRST,
    AttendeeOfRequest,
    Ban,
    InvitationLink,
    JoinRequest,
    Status,
    refuse_past,
)
from .mechanics import Mechanic, ServiceSettings
from .record import ServiceSignal, SessionRequestLog, StreamTicket
from .service import (
    Intake,
    ParticipantRole,
    RequestStatus,
    ServiceSession,
    ServiceStatus,
    SessionMessage,
    SessionParticipant,
    SessionRequest,
    SessionType,
)

__all__ = [
    "PENDING_FIRST",
    "AttendeeOfRequest",
    "Ban",
    "Intake",
    "InvitationLink",
    "JoinRequest",
    "Mechanic",
    "ParticipantRole",
    "RequestStatus",
    "ServiceSession",
    "ServiceSettings",
    "ServiceSignal",
    "ServiceStatus",
    "SessionMessage",
    "SessionParticipant",
    "SessionRequest",
    "SessionRequestLog",
    "SessionType",
    "Status",
    "StreamTicket",
    "refuse_past",
]
