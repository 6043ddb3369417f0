"""Pages of attendees: the agenda, a session, My Schedule."""
