from django.urls import path

from .api import devices, door, marking, room

urlpatterns = [
    path("events/<int:event_id>/attendees/", room.Room.as_view(), name="room"),
    path("events/<int:event_id>/attendees/me/", room.Me.as_view(), name="me"),
    path("events/<int:event_id>/attendees/me/ticket.svg", room.TicketSvg.as_view(), name="ticket-svg"),
    path("events/<int:event_id>/attendees/me/ticket.png", room.TicketPng.as_view(), name="ticket-png"),
    path("events/<int:event_id>/attendees/<uuid:attendee_id>/block/", room.BlockView.as_view(), name="block"),
    path(
        "events/<int:event_id>/attendees/<uuid:attendee_id>/attendance/",
        marking.AttendanceView.as_view(),
        name="attendance",
    ),
    path("events/<int:event_id>/check-ins/", door.CheckIns.as_view(), name="check-ins"),
    path("events/<int:event_id>/check-ins/batch/", door.CheckInBatch.as_view(), name="check-in-batch"),
    path("events/<int:event_id>/check-ins/<int:check_in_id>/undo/", door.UndoView.as_view(), name="check-in-undo"),
    path("events/<int:event_id>/walk-ins/", door.WalkIns.as_view(), name="walk-ins"),
    path("events/<int:event_id>/door/", devices.Door.as_view(), name="door"),
    path("events/<int:event_id>/door/tickets/", devices.Tickets.as_view(), name="door-tickets"),
    path("door/devices/", devices.EnrolDevice.as_view(), name="door-devices"),
    path("me/points/", marking.MyPoints.as_view(), name="my-points"),
]
