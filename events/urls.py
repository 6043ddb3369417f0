from django.urls import path

from .api import events

urlpatterns = [
    path("events/", events.EventList.as_view(), name="events"),
    path("events/<int:event_id>/", events.EventDetail.as_view(), name="event"),
]
