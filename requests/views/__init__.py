"""The attendees' pages of this app: asking to come in, and asking for help."""
