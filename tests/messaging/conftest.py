"""The providers: a real SMTP server and a real HTTP server that speaks the providers' APIs."""

import pytest

from config.post_office import PostOffice


@pytest.fixture
def post_office(settings):
    """A post office that the channels send to. It calls back only where a test turns that on."""
    with PostOffice(calls_back=False) as office:
        for name, value in office.settings.items():
            setattr(settings, name, value)
        settings.DEFAULT_FROM_EMAIL = "Turnout <turnout@turnout.example>"
        settings.EMAIL_TIMEOUT = 2.0
        settings.CHANNEL_TIMEOUTS = {"connect": 1.0, "read": 1.0, "write": 1.0, "pool": 10.0}
        yield office
