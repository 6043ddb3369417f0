"""A module for each kind of page: the admin's import, its passwords, attendees' sign-in, the event."""
