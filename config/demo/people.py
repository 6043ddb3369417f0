"""Organisations, the log-ins for every role, and some hundred guests."""

import random
import unicodedata

from django.contrib.auth.hashers import make_password
from django.utils.text import slugify
from simple_history.utils import bulk_create_with_history

from events.models import Membership, Organization, UserProfile

from . import clock, photos
from .names import CULTURES, MAIL_DOMAINS, UNUSUAL

PASSWORD = "turnout-demo"
ORGANIZATIONS = {"demo": "Harbour Collective", "other": "Meridian Forum"}
LOGINS = {
    # name before the @: role, and the person's name in either organisation
    "admin": (None, "Amina Thorsgaard", "Ambrose Vellacourt"),
    "owner": ("owner", "Olivia Mbeki-Strand", "Oskar Rautanheimo"),
    "organizer": ("organizer", "Orhan Castellanero", "Oriana Delacruzé"),
    "door": ("door", "Dorothea Nyqvist-Adeyemi", "Dinesh Vaidyapur"),
    "viewer": ("viewer", "Viggo Tanakamori", "Violeta Ruanova"),
    "mechanic": (None, "Mehmet Kaldırımcı", "Mirela Dobrogeanca"),
    "attendee": (None, "Amara Lindqvisthal", "Anton Bellweather-Sow"),
}
GUESTS = 240
SHARED = 24
"""Guests who are known in both organisations."""
FIRST_OF_OTHER = 150
SOURCE = "demo|"
"""Where their owner_id begins: an identity provider of the demo's own."""


def build(demo):
    demo.organizations = {slug: _organization(demo, slug, name) for slug, name in ORGANIZATIONS.items()}
    pictures = photos.ensure()
    _logins(demo, pictures)
    guests = UserProfile.objects.filter(owner_id__startswith=f"{SOURCE}guest-")
    if not guests.exists():
        bulk_create_with_history(_guests(pictures), UserProfile, default_change_reason=clock.MADE)
    everybody = list(guests.filter(is_active=True).order_by("owner_id"))
    demo.guests = {
        "demo": [one for one in everybody if _number(one) < FIRST_OF_OTHER],
        "other": [one for one in everybody if _number(one) >= FIRST_OF_OTHER - SHARED],
    }


def move(demo):
    """Neither memberships nor people grow stale."""


def _organization(demo, slug, name):
    found = Organization.objects.filter(slug=slug).first()
    if found is None:
        found = Organization(slug=slug, name=name)
        found._change_reason, found._history_date = clock.MADE, demo.now
        found.save()
    return found


def _logins(demo, pictures):
    password = make_password(PASSWORD)  # once: hashing is slow on purpose
    for place, slug in enumerate(ORGANIZATIONS):
        for number, (name, (role, *names)) in enumerate(LOGINS.items()):
            email = f"{name}@{slug}.example"
            person = UserProfile.objects.filter(owner_id=f"{SOURCE}{email}").first()
            if person is None:
                first, last = names[place].split(" ", 1)
                person = UserProfile(
                    owner_id=f"{SOURCE}{email}",
                    email=email,
                    email_verified=True,
                    first_name=first,
                    last_name=last,
                    password=password,
                    photo_url=pictures[(number + 7 * place) % len(pictures)],
                    phone=f"+447700900{100 + number + 50 * place}",
                    phone_verified=True,
                    is_superuser=email == "admin@demo.example",
                )
                person._change_reason = clock.MADE
                person.save()
                # There is one superuser, who sees every organisation; the second organisation's
                # admin@ is an owner of that one, and of nothing else.
                role = "owner" if email == "admin@other.example" else role
                if role:
                    member = Membership(organization=demo.organizations[slug], user_profile=person, role=role)
                    member._change_reason = clock.MADE
                    member.save()
            demo.logins[email] = person


def _guests(pictures):
    dice = random.Random("guests")
    pairs = [(first, last) for culture in CULTURES for first in culture[0].split() for last in culture[1].split()]
    names = [*UNUSUAL, *dice.sample(pairs, GUESTS - len(UNUSUAL))]
    return [_guest(number, first, last, pictures, dice) for number, (first, last) in enumerate(names)]


def _guest(number, first, last, pictures, dice):
    plain = unicodedata.normalize("NFKD", f"{first} {last}").encode("ascii", "ignore").decode()
    local = slugify(plain).replace("-", ".")[:40] or "guest"
    verified = dice.random() < 0.9
    return UserProfile(
        owner_id=f"{SOURCE}guest-{number:03}",
        email=f"{local}.{number}@{dice.choice(MAIL_DOMAINS)}",
        email_verified=verified,
        first_name=first,
        last_name=last,
        password=make_password(None),
        photo_url=pictures[number % len(pictures)] if dice.random() < 0.8 else "",
        phone=_phone(dice),
        phone_verified=verified and dice.random() < 0.7,
    )


def _phone(dice):
    """From the ranges that are kept for fiction, in the United States and the United Kingdom."""
    return dice.choice(
        (
            "",
            f"+1{dice.choice((206, 212, 303, 415, 617))}5550{dice.randrange(100, 200)}",
            f"+447700900{dice.randrange(1000):03}",
        )
    )


def _number(guest):
    return int(guest.owner_id.rpartition("-")[2])
