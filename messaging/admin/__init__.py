"""Messages in the admin: guests, messages and deliveries, what one hears of."""

from . import deliveries, guests, messages, preferences, record

__all__ = ["deliveries", "guests", "messages", "preferences", "record"]
