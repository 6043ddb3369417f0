"""Requests in the admin: the organisers' desk; and the board of service requests, with who serves."""

from . import board, joining

__all__ = ["board", "joining"]
