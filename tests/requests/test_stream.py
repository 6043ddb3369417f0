"""The live stream: who sees what, at once, and nothing missed whatever goes away meanwhile."""

import pytest

from events.sign_in import access_token
from requests.operations import taking
from tests import factories

from .screens import Process, Screen, Wall, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stream(transactional_db, tmp_path):
    """The stream's process."""
    process = Process(tmp_path)
    process.start()
    yield process
    process.stop()
    import sys; print(process.log.read_text(), file=sys.stderr)


@pytest.fixture
def wall():
    wall = Wall()
    yield wall
    wall.take_down()


@pytest.fixture
def screen(stream, wall):
    """``screen(person)``: one of theirs, that has all that there was."""

    def hang(person, *args, **options):
        shown = wall.hang(Screen(stream, f"Bearer {access_token(person)}", *args, **options))
        until(lambda: shown.ready or shown.heard("session") or shown.status not in (None, 200))
        return shown

    return hang


def test_a_request_is_at_every_screen_at_once_and_off_the_others_when_it_is_taken(event, screen):
    first, second = factories.MechanicFactory.create_batch(2, organization=event.organization)
    organizer = factories.member(event.organization, "organizer")
    screens = [screen(one) for one in (first.user_profile, second.user_profile, organizer)]
    request = factories.service_request(event)
    until(lambda: all(one.requests for one in screens))
    taking.accept(request_id=request.pk, person=first.user_profile)
    until(lambda: not screens[1].requests)
