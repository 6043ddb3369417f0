"""Requests in the admin: the organisers' desk; and the board of service requests, with who serves."""

from . import board, figures, joining, mechanics, meeting, service

__all__ = ["board", "figures", "joining", "mechanics", "meeting", "service"]
