"""Where mail goes, by EMAIL_URL: the same for Django's own letters and for the channel."""

from urllib.parse import urlsplit

import environ

PORTS = {"smtp": 25, "smtps": 587, "smtp+tls": 587, "smtp+ssl": 465}
"""Where the address names none. The two in the middle begin in clear, and turn to TLS (STARTTLS)."""


def settings_of(url: str) -> dict:
    """Django's settings for this address; environ leaves out the port where the address does."""
    found = environ.Env.email_url_config(url)
    found["EMAIL_PORT"] = found["EMAIL_PORT"] or PORTS.get(urlsplit(url).scheme)
    return found
