"""Acts on several connections at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

from django.db import IntegrityError, connection, connections

from config.errors import DomainError


def at_once(*acts):
    """Runs each act on a connection of its own, all started together; results or errors, in order."""
    start = threading.Barrier(len(acts))

    def run(act):
        try:
            connection.ensure_connection()
            start.wait(timeout=60)
            return act()
        except (DomainError, IntegrityError) as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))
