"""A delivery finds its person as it is inserted, and its status never goes back."""

import pgtrigger

from config.database import Trigger, violation

from .audit import WRITE

STAYS_ITSELF = "messaging_delivery_stays_itself"
KEEPS_EVENT = "messaging_message_keeps_event"
MESSAGE_FIRST = "messaging_delivery_message_first"
GUEST_OF_EVENT = "messaging_delivery_guest_of_event"
NEVER_BACKWARDS = "messaging_delivery_never_backwards"


def linked() -> list[Trigger]:
    """Before each row: whose it is. Before the row and not after, so that it is right in the same instant.

    The guest is locked (FOR SHARE): a link made meanwhile either waits for this row, and then finds
    it, or is waited for, and then seen.
    """
    return [
        Trigger(
            name="linked_on_insert",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            declare=[("of_guest", "bigint"), ("of_message", "bigint"), ("link", "record")],
            func=f"""
                -- Foreign keys are checked at commit; whose it is, is decided now.
                SELECT event_id INTO of_message FROM event_messages WHERE id = NEW.message_id;
                IF NOT FOUND THEN
                    {violation(MESSAGE_FIRST, "the message of a delivery is there before it")}
                END IF;
                IF NEW.guest_id IS NOT NULL THEN
                    SELECT event_id INTO of_guest FROM event_guests WHERE id = NEW.guest_id FOR SHARE;
                    IF NOT FOUND OR of_guest <> of_message THEN
                        {violation(GUEST_OF_EVENT, "a delivery''s guest is there before it, at its message''s event")}
                    END IF;
                END IF;
                NEW.event_id := coalesce(of_guest, of_message);
                NEW.phone_number := nullif(regexp_replace(NEW.phone_number, '[^0-9+]', '', 'g'), '');
                NEW.email := lower(nullif(NEW.email, ''));
                NEW.linked_at := clock_timestamp();
                IF NEW.user_id IS NOT NULL THEN
                    NEW.link_outcome := 'linked'; NEW.link_method := 'manual'; NEW.link_case := 'given';
                    RETURN NEW;
                END IF;
                BEGIN
                    SELECT * INTO link FROM messaging_link(NEW.guest_id, NEW.event_id, NEW.phone_number);
                    NEW.user_id := link.person;
                    NEW.link_outcome := link.outcome;
                    NEW.link_method := link.method;
                    NEW.link_case := link.applied;
                EXCEPTION WHEN OTHERS THEN  -- the message is worth more than its link: the backfill mends it
                    NEW.link_outcome := 'error'; NEW.link_method := NULL; NEW.link_case := SQLSTATE;
                END;
                RETURN NEW;
            """,
        ),
        Trigger(
            name="linked_on_update",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            condition=pgtrigger.Condition(
                "NEW.user_id IS DISTINCT FROM OLD.user_id OR NEW.id <> OLD.id OR NEW.message_id <> OLD.message_id"
                " OR NEW.guest_id IS DISTINCT FROM OLD.guest_id OR NEW.event_id IS DISTINCT FROM OLD.event_id"
                " OR NEW.link_outcome IS DISTINCT FROM OLD.link_outcome OR NEW.link_case IS DISTINCT FROM OLD.link_case"
                " OR NEW.link_method IS DISTINCT FROM OLD.link_method OR NEW.linked_at IS DISTINCT FROM OLD.linked_at"
            ),
            declare=[("own", "uuid")],
            # What the trigger on guests writes (depth 2) says for itself how the link came about. A row
            # that was loaded past these triggers has no event yet.
            func=f"""
                IF OLD.event_id IS NULL THEN
                    NEW.event_id := coalesce(
                        (SELECT event_id FROM event_guests WHERE id = OLD.guest_id),
                        (SELECT event_id FROM event_messages WHERE id = OLD.message_id)
                    );
                END IF;
                IF NEW.id <> OLD.id OR NEW.message_id <> OLD.message_id OR NEW.guest_id IS DISTINCT FROM OLD.guest_id
                    OR OLD.event_id IS NOT NULL AND NEW.event_id IS DISTINCT FROM OLD.event_id
                THEN
                    {violation(STAYS_ITSELF, "a delivery keeps its id, message, guest and event")}
                END IF;
                IF NEW.user_id IS NOT DISTINCT FROM OLD.user_id THEN  -- no link was made, whatever is said
                    NEW.link_outcome := OLD.link_outcome; NEW.link_method := OLD.link_method;
                    NEW.link_case := OLD.link_case; NEW.linked_at := OLD.linked_at;
                    RETURN NEW;
                END IF;
                IF pg_trigger_depth() = 1 AND NEW.user_id IS NULL THEN
                    SELECT user_id INTO own FROM event_guests
                    WHERE id = NEW.guest_id AND removed_at IS NULL FOR SHARE;
                    NEW.user_id := own;
                END IF;
                IF NEW.user_id IS DISTINCT FROM OLD.user_id AND NEW.linked_at IS NOT DISTINCT FROM OLD.linked_at THEN
                    NEW.link_outcome := CASE WHEN NEW.user_id IS NULL THEN 'no_match' ELSE 'linked' END;
                    NEW.link_method := CASE WHEN own IS NULL THEN 'manual' ELSE 'guest' END;
                    NEW.link_case := CASE WHEN own IS NULL THEN 'given' ELSE 'own_link' END;
                    NEW.linked_at := clock_timestamp();
                END IF;
                RETURN NEW;
            """,
        ),
    ]


def message_keeps_event() -> Trigger:
    """On messages: deliveries have their event, which decided whose they are."""
    return Trigger(
        name="keeps_event_of_deliveries",
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        condition=pgtrigger.Condition("NEW.event_id IS DISTINCT FROM OLD.event_id"),
        func=f"""
            IF EXISTS (SELECT FROM message_deliveries WHERE message_id = NEW.id) THEN
                {violation(KEEPS_EVENT, "a message with deliveries stays at its event")}
            END IF;
            RETURN NEW;
        """,
    )


def audited() -> list[Trigger]:
    """After each statement, one INSERT … SELECT for all of its rows: those that were really written."""

    def trigger(operation, rows, **referencing):
        return Trigger(
            name=f"link_audited_on_{str(operation).lower()}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=pgtrigger.Referencing(**referencing),
            # Planned anew each time: a plan kept from one row would compare each of thousands with each.
            func=f"EXECUTE $sql$ {WRITE} {rows} $sql$; RETURN NULL;",
        )

    row = """
        SELECT 'message_deliveries', n.id, n.event_id, n.guest_id, n.user_id, n.link_outcome, n.link_method,
            jsonb_strip_nulls(jsonb_build_object(
                'case', n.link_case, 'channel', n.channel, 'message', n.message_id {more}
            )), NULL, session_user, clock_timestamp()
    """
    return [
        trigger(pgtrigger.Insert, row.format(more="") + "FROM new_rows n ORDER BY n.id", new="new_rows"),
        trigger(
            pgtrigger.Update,
            row.format(more=", 'from', o.user_id")
            + """
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            WHERE n.user_id IS DISTINCT FROM o.user_id OR n.linked_at IS DISTINCT FROM o.linked_at
            ORDER BY n.id
            """,
            old="old_rows",
            new="new_rows",
        ),
    ]


def never_backwards() -> Trigger:
    """What arrived has arrived (it may still bounce); what failed may be queued again, by a person."""
    return Trigger(
        name="never_backwards",
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        condition=pgtrigger.Condition(
            "OLD.status = 'sent' AND NEW.status IN ('queued', 'sending', 'unknown')"
            " OR OLD.status = 'delivered' AND NEW.status NOT IN ('delivered', 'bounced')"
            " OR OLD.status = 'bounced' AND NEW.status NOT IN ('bounced', 'queued')"
            " OR OLD.status = 'failed' AND NEW.status NOT IN ('failed', 'queued')"
            " OR OLD.status = 'unknown' AND NEW.status = 'sending'"
        ),
        func=violation(NEVER_BACKWARDS, "a delivery that is % does not become %", "OLD.status", "NEW.status"),
    )
