"""How often a person may ask, and write in sessions: one count each for the API and the web pages."""

from config.api import RateLimit


class Asking(RateLimit):
    scope, rate = "intake", "6/minute"


class Talking(RateLimit):
    scope, rate = "service_message", "60/minute"
