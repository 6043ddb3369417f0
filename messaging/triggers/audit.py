"""The link audit takes rows from the triggers on guests and deliveries only, and gives none back."""

import pgtrigger

from config.database import Trigger, never_truncated, violation

APPEND_ONLY = "messaging_audit_append_only"

WRITE = """
    INSERT INTO user_link_audit
        (table_name, record_id, event_id, guest_id, user_id, outcome, method, details, actor_id, db_user, created_at)
"""


def append_only() -> list[Trigger]:
    refuse = violation(APPEND_ONLY, "the link audit is append-only")

    def never(verb, operation, level=pgtrigger.Statement):
        return Trigger(name=f"never_{verb}", level=level, when=pgtrigger.Before, operation=operation, func=refuse)

    return [
        Trigger(
            name="written_by_trigger_only",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            # 1 is a statement from outside, 2 one that a trigger on guests or deliveries makes.
            func=f"""
                IF pg_trigger_depth() < 2 THEN
                    {violation(APPEND_ONLY, "the link audit writes itself")}
                END IF;
                RETURN NULL;
            """,
        ),
        never("updated", pgtrigger.Update),
        never("deleted", pgtrigger.Delete),
        never_truncated(APPEND_ONLY),
    ]
