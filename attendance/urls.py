from django.urls import path

from .api import room

urlpatterns = [
    path("events/<int:event_id>/attendees/", room.Room.as_view(), name="room"),
    path("events/<int:event_id>/attendees/me/", room.Me.as_view(), name="me"),
    path("events/<int:event_id>/attendees/me/ticket.svg", room.TicketSvg.as_view(), name="ticket-svg"),
    path("events/<int:event_id>/attendees/me/ticket.png", room.TicketPng.as_view(), name="ticket-png"),
    path("events/<int:event_id>/attendees/<uuid:attendee_id>/block/", room.BlockView.as_view(), name="block"),
]
