"""Who stands at the door, for the tests of this folder."""

import pytest

from .at_the_door import doorkeeper


@pytest.fixture
def door(event):
    """The API of somebody who stands at the event's door."""
    return doorkeeper(event)


@pytest.fixture
def organizing(event):
    return doorkeeper(event, "Orla", "Organiser", role="organizer")
