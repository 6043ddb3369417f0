"""Messages in the admin: guests, messages and deliveries, what one hears of."""

from . import deliveries, messages, preferences, record

__all__ = ["deliveries", "messages", "preferences", "record"]
