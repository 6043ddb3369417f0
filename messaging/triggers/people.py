"""Whoever signs up, or verifies an address or a number, is found on the guest lists that have it."""

import pgtrigger

from config.database import Trigger


def verified() -> list[Trigger]:
    """After each statement on people: guests who fit someone that became reachable by e-mail or phone.

    Planned anew each time (EXECUTE), for one person or for thousands.
    """

    def trigger(operation, mail, phone, **referencing):
        return Trigger(
            name=f"guests_linked_on_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(**referencing),
            declare=[("candidates", "uuid[]")],
            func=f"""
                EXECUTE $sql$ SELECT array_agg(fitting.id) FROM (
                    SELECT g.id FROM {mail} JOIN event_guests g ON g.email = lower(n.email)
                        AND g.removed_at IS NULL AND g.user_id IS NULL
                    WHERE n.email_verified AND n.is_active AND n.erased_at IS NULL
                    UNION
                    SELECT g.id FROM {phone} JOIN event_guests g ON g.phone = n.phone
                        AND g.removed_at IS NULL AND g.user_id IS NULL
                    WHERE n.phone_verified AND n.phone <> '' AND n.is_active AND n.erased_at IS NULL
                ) AS fitting $sql$ INTO candidates;
                IF candidates IS NOT NULL THEN
                    PERFORM messaging_match_guests(candidates);
                END IF;
                RETURN NULL;
            """,
        )

    joined = """new_rows n JOIN old_rows o ON o.id = n.id AND (
        n.{field} IS DISTINCT FROM o.{field} OR n.{field}_verified AND NOT o.{field}_verified
        OR n.is_active AND NOT o.is_active
    )"""
    return [
        trigger(pgtrigger.Insert, "new_rows n", "new_rows n", new="new_rows"),
        trigger(
            pgtrigger.Update,
            joined.format(field="email"),
            joined.format(field="phone"),
            old="old_rows",
            new="new_rows",
        ),
    ]


def came_in() -> list[Trigger]:
    """A guest whose person is let in knows their attendee."""
    return [
        Trigger(
            name="guests_attend_on_insert",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            referencing=pgtrigger.Referencing(new="new_rows"),
            func="""
                EXECUTE $sql$
                    UPDATE event_guests g SET attendee_id = n.id
                    FROM new_rows n WHERE g.event_id = n.event_id AND g.user_id = n.user_profile_id
                $sql$;
                RETURN NULL;
            """,
        )
    ]
