"""The live stream beside a site that a browser visits."""

import pytest

from .screens import Process


@pytest.fixture
def live_stream(live_server, settings, tmp_path):
    """The stream's process, where the pages of ``live_server`` look for it.

    It has a port of its own here, so the pages' policy forbids it: browsers come with ``bypass_csp=True``. Behind a
    proxy both have one address.
    """
    process = Process(tmp_path, SITE_URL=live_server.url)
    settings.STREAM_URL = process.address
    process.start()
    yield process
    process.stop()
