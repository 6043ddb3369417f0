from django.urls import path

from . import api

urlpatterns = [
    path("events/<int:event_id>/attendees/", api.Room.as_view(), name="room"),
    path("events/<int:event_id>/attendees/me/", api.Me.as_view(), name="me"),
    path("events/<int:event_id>/attendees/me/ticket.svg", api.TicketSvg.as_view(), name="ticket-svg"),
    path("events/<int:event_id>/attendees/me/ticket.png", api.TicketPng.as_view(), name="ticket-png"),
    path("events/<int:event_id>/attendees/<uuid:attendee_id>/block/", api.BlockView.as_view(), name="block"),
]
