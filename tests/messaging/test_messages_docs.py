"""docs/messages.md says what there is: states, audiences, channels, defaults, and a command that runs."""

import re

from django.urls import resolve

from messaging import audiences
from messaging.models import DeliveryStatus, Message, NoticePreference
from messaging.operations.notices import CHANNELS
from tests.config.postgres import PROJECT, run

DOCUMENT = (PROJECT / "docs" / "messages.md").read_text()


def first_cells(heading, columns=1):
    """Of the table with this heading row, without its indentation."""
    rows = DOCUMENT.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [row.strip().strip("|").split(" | ") for row in rows]
    return [row[0].strip() if columns == 1 else [cell.strip() for cell in row[:columns]] for row in cells]


def test_the_states_are_those_of_the_code():
    assert first_cells("a message is") == [str(label) for label in Message.Status.labels]
    assert first_cells("a delivery is") == [str(label) for label in DeliveryStatus.labels]


def test_the_audiences_are_those_of_the_code():
    assert first_cells("audience") == [str(one.label) for one in audiences.all_audiences().values()]


def test_what_organisers_hear_unless_they_choose():
    assert [as_it_comes for _topic, as_it_comes in first_cells("about", 2)] == [
        NoticePreference.Mode(NoticePreference.DEFAULTS[topic]).label.lower() for topic in NoticePreference.Topic
    ]


def test_notices_go_over_what_they_say():
    kinds = {str(kind.label): kind for kind in Message.Kind}
    told = [(kinds[label], over) for label, _whom, _when, over in first_cells("notice", 4)]
    assert {kind for kind, _over in told} == set(CHANNELS) - {"service_request", "test"}
    for kind, over in told:
        assert over.lower() == ", ".join(str(Message.Channel(one).label) for one in CHANNELS[kind]).lower()


def test_variables_are_in_the_list_of_settings():
    settings = (PROJECT / "docs" / "settings.md").read_text()
    named = set(re.findall(r"`((?:EMAIL|SMS|PUSH|DEFAULT)_[A-Z_]+)", DOCUMENT))
    assert len(named) >= 6
    assert all(f"| `{name}` |" in settings for name in named)


def test_addresses_lead_somewhere():
    paths = re.findall(r"`(?:SITE_URL)?(/(?:hooks|mailbox)/[^`]*)`", DOCUMENT)
    names = [resolve(path.replace("ID", "01a1ffc4-5e22-7274-aad4-78b3dd73d4d0")).url_name for path in paths]
    assert names == ["sms_status", "sms_incoming", "mailbox"]


def test_the_command_says_which_channels_are_on():
    [command] = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    printed = run("sh", "-c", command, EMAIL_URL="smtp://localhost:2525", SMS_ACCOUNT_SID="", PUSH_CREDENTIALS="")
    assert printed.startswith("['in_app', 'email'] ")
    assert "SMS is off" in printed and "Push is off" in printed
