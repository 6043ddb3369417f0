"""How often a person may change their mind: one count for the API and the web pages."""

from math import ceil

from config.api import RateLimit, opens_in, within


class Pace(RateLimit):
    """RSVPs, places in line and answers to offers together. Counted by person, whatever session it is about."""

    scope, rate = "rsvp", "5/minute"


def within_pace(person) -> bool:
    """Counts one more for the person, and says whether they may."""
    return within(Pace.rate, Pace.scope, str(person.pk))


def retry_after(person) -> int:
    """Seconds until they may again."""
    return ceil(opens_in(Pace.rate, Pace.scope, str(person.pk)))
