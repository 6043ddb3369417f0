from .addresses import NoticePreference, OptOut, PushDevice
from .audit import FALLBACK_TO_USERS, LINK_BY_PHONE, LinkMethod, LinkOutcome, UserLinkAudit
from .deliveries import ChannelState, DeliveryStatus, MessageDelivery
from .guests import EventGuest
from .messages import Channel, Kind, Message
from .people import LinkedAttendee, LinkedPerson

__all__ = [
    "FALLBACK_TO_USERS",
    "LINK_BY_PHONE",
    "Channel",
    "ChannelState",
    "DeliveryStatus",
    "EventGuest",
    "Kind",
    "LinkMethod",
    "LinkOutcome",
    "LinkedAttendee",
    "LinkedPerson",
    "Message",
    "MessageDelivery",
    "NoticePreference",
    "OptOut",
    "PushDevice",
    "UserLinkAudit",
]
