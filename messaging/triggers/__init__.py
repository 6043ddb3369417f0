"""The database's side of the fourth promise: every delivery belongs to its person as soon as that can be known."""

from django.db.models import Func, UUIDField


class Uuid7(Func):
    """A version 7 UUID, made by the database for rows that no application made one for."""

    function = "messaging_uuid7"
    arity = 0
    output_field = UUIDField()
