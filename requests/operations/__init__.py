"""The acts of this app, by noun: join_requests, invitations, removals; intakes, mechanics, taking, talking."""
