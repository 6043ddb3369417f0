"""The link audit takes rows from the triggers on guests and deliveries only, and gives none back."""

APPEND_ONLY = "messaging_audit_append_only"

WRITE = """
    INSERT INTO user_link_audit
        (table_name, record_id, event_id, guest_id, user_id, outcome, method, details, actor_id, db_user, created_at)
"""
