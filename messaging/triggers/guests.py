"""A guest's link is on record, and their deliveries go along with it."""

import pgtrigger

from config.database import Trigger, violation

from .audit import WRITE

STAYS_ITSELF = "messaging_eventguest_stays_itself"
READ_COMMITTED = "messaging_eventguest_link_read_committed"


def kept_right() -> list[Trigger]:
    """Before each row: empty is null, the attendee is the linked person's, and a link that nobody
    answers for was made by hand."""
    claimed = """
        NEW.link_outcome := CASE WHEN NEW.user_id IS NULL THEN 'no_match' ELSE 'linked' END;
        NEW.link_method := 'manual';
        NEW.linked_by_id := NULL;
        NEW.linked_at := clock_timestamp();
    """
    kept = """
        NEW.phone := nullif(btrim(NEW.phone), '');
        NEW.email := lower(nullif(btrim(NEW.email), ''));
        NEW.attendee_id := (
            SELECT id FROM event_attendees WHERE event_id = NEW.event_id AND user_profile_id = NEW.user_id
        );
        RETURN NEW;
    """
    return [
        Trigger(
            name="kept_right_on_insert",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            func=f"""
                IF NEW.user_id IS NULL THEN
                    NEW.link_outcome := NULL; NEW.link_method := NULL; NEW.linked_at := NULL; NEW.linked_by_id := NULL;
                ELSIF NEW.linked_at IS NULL OR NEW.link_outcome IS DISTINCT FROM 'linked' THEN
                    {claimed}
                END IF;
                {kept}
            """,
        ),
        Trigger(
            name="kept_right_on_update",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            func=f"""
                IF NEW.id <> OLD.id OR NEW.event_id <> OLD.event_id THEN
                    {violation(STAYS_ITSELF, "a guest keeps their id and event")}
                END IF;
                IF NEW.user_id IS DISTINCT FROM OLD.user_id AND (
                    NEW.linked_at IS NOT DISTINCT FROM OLD.linked_at OR NEW.link_outcome IS NULL
                    OR (NEW.link_outcome = 'linked') IS DISTINCT FROM (NEW.user_id IS NOT NULL)
                ) THEN
                    {claimed}
                END IF;
                {kept}
            """,
        ),
    ]


def links() -> list[Trigger]:
    """After each statement: what became of whose link, and of all their deliveries in one UPDATE.

    A person for a guest who had none gets all of the guest's deliveries that have none. Another
    person, or none again, takes over those that were the former's, unread. Whoever is only removed
    from the list keeps what they were sent.

    The statements are planned anew each time (EXECUTE): a plan kept from an update of one row would
    compare each of ten thousand with each.

    A snapshot older than somebody's insert would miss that delivery (it locks the guest, but writes
    nothing there to collide with), so links are made at READ COMMITTED only.
    """
    row = """
        SELECT 'event_guests', n.id, n.event_id, n.id, n.user_id, n.link_outcome, n.link_method,
            jsonb_strip_nulls(jsonb_build_object({details})), n.linked_by_id, session_user, clock_timestamp()
    """
    changed = """
        FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE n.user_id IS DISTINCT FROM o.user_id
            OR n.user_id IS NOT NULL AND n.removed_at IS NULL AND o.removed_at IS NOT NULL
    """
    return [
        Trigger(
            name="link_audited_on_insert",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            referencing=pgtrigger.Referencing(new="new_rows"),
            func=f"""
                {WRITE} {row.format(details="")}
                FROM new_rows n WHERE n.link_outcome IS NOT NULL ORDER BY n.id;
                RETURN NULL;
            """,
        ),
        Trigger(
            name="link_followed_on_update",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=pgtrigger.Update,
            referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"),
            declare=[("found", "boolean")],
            func=f"""
                -- Counted, as EXISTS is planned in the hope of an early hit, and most have none.
                EXECUTE $sql$
                    SELECT count(*) > 0 FROM new_rows n JOIN old_rows o ON o.id = n.id
                    WHERE n.linked_at IS DISTINCT FROM o.linked_at OR n.removed_at IS DISTINCT FROM o.removed_at
                $sql$ INTO found;
                IF NOT found THEN
                    RETURN NULL;
                END IF;
                EXECUTE $sql$
                    {WRITE} {row.format(details="'from', o.user_id")}
                    FROM new_rows n JOIN old_rows o ON o.id = n.id
                    WHERE n.linked_at IS DISTINCT FROM o.linked_at
                    ORDER BY n.id
                $sql$;
                EXECUTE $sql$ SELECT count(*) > 0 {changed} $sql$ INTO found;
                IF NOT found THEN
                    RETURN NULL;
                END IF;
                IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
                    {violation(READ_COMMITTED, "guests are linked at READ COMMITTED only")}
                END IF;
                EXECUTE $sql$
                    WITH changed AS (
                        SELECT n.id, n.user_id AS person, o.user_id AS former, n.removed_at IS NULL AS listed {changed}
                    ), due AS (
                        SELECT d.id, d.guest_id, d.event_id, d.phone_number, d.user_id AS had, changed.person
                        FROM changed JOIN message_deliveries d ON d.guest_id = changed.id
                        WHERE d.user_id IS NULL AND changed.person IS NOT NULL AND changed.listed
                            OR d.user_id = changed.former AND changed.person IS DISTINCT FROM changed.former
                        ORDER BY d.id FOR NO KEY UPDATE OF d
                    ), decided AS (
                        SELECT due.id, due.had, link.*
                        FROM due CROSS JOIN LATERAL messaging_link(due.guest_id, due.event_id, due.phone_number) AS link
                        WHERE due.had IS NULL
                        UNION ALL
                        SELECT due.id, due.had, due.person,
                            CASE WHEN due.person IS NULL THEN 'no_match' ELSE 'linked' END, 'manual', 'followed'
                        FROM due WHERE due.had IS NOT NULL
                    )
                    UPDATE message_deliveries d SET
                        user_id = decided.person,
                        link_outcome = CASE WHEN decided.had IS NULL THEN 'backfilled' ELSE decided.outcome END,
                        link_method = decided.method,
                        link_case = decided.applied,
                        linked_at = clock_timestamp(),
                        read_at = CASE WHEN decided.had IS NULL THEN d.read_at END,
                        -- What waits may have had the former person's own address: it is looked up anew.
                        phone_number = CASE WHEN decided.had IS NULL OR d.status <> 'queued' THEN d.phone_number END,
                        email = CASE WHEN decided.had IS NULL OR d.status <> 'queued' THEN d.email END
                    FROM decided WHERE d.id = decided.id
                $sql$;
                RETURN NULL;
            """,
        ),
    ]
