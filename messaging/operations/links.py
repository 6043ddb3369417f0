"""Links that are looked for again: people whom their guests' lists didn't know when they verified."""

from django.db import connection

from config.errors import operation

BATCH = 1000

FIND = """
    SELECT linked, ambiguous FROM messaging_match_guests(ARRAY(
        SELECT g.id FROM event_guests g
        WHERE g.user_id IS NULL AND g.removed_at IS NULL AND g.link_outcome IS NULL AND (
            EXISTS (SELECT FROM user_profiles p WHERE lower(p.email) = g.email AND p.email_verified AND p.is_active)
            OR messaging_switch('LINK_USER_BY_PHONE', true) AND EXISTS (
                SELECT FROM user_profiles p
                WHERE p.phone = g.phone AND p.phone <> '' AND p.phone_verified AND p.is_active
            )
        )
        ORDER BY g.id LIMIT %s
    ))
"""
"""Guests of whom nothing was decided yet, by hand least of all: an unlinked one stays so."""

BACKFILL = """
    UPDATE message_deliveries AS d SET
        user_id = link.person, link_outcome = 'backfilled', link_method = 'backfill', link_case = link.applied,
        linked_at = clock_timestamp()
    FROM message_deliveries AS same
    CROSS JOIN LATERAL messaging_link(same.guest_id, same.event_id, same.phone_number) AS link
    WHERE same.id = d.id AND d.id = ANY (%s) AND d.user_id IS NULL AND link.person IS NOT NULL
"""


@operation
def find() -> tuple[int, int]:
    """(linked, parked) of a batch of guests who fit somebody that verified an address or number."""
    with connection.cursor() as cursor:
        cursor.execute(FIND, [BATCH])
        return cursor.fetchone()


@operation
def match(*, guest_ids) -> tuple[int, int]:
    """(linked, parked): the guests among these whom verified e-mails and numbers tell."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT linked, ambiguous FROM messaging_match_guests(%s::uuid[])", [list(guest_ids)])
        return cursor.fetchone()


def backfill(*, rows) -> int:
    """Deliveries that went astray get their person, decided as on insert; how many. For config.integrity."""
    with connection.cursor() as cursor:
        cursor.execute(BACKFILL, [list(rows)])
        return cursor.rowcount
