"""The database's side of the third promise: never one too many, and the line in its order, whoever writes.

``session_rsvps`` and ``session_waitlist`` have the same three kinds of triggers. Before each row:
what it must say for itself, and that its attendee is in the room and stays (FOR SHARE). After each
statement: the session's counters, which lock the sessions in the order of their ids and whose CHECK
refuses one seat too many; then, with the sessions locked, what depends on other rows of them.
"""
