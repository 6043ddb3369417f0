"""The API's calls of sessions: seats, lines, schedules."""

from django.urls import path

from .api import agenda, calendars, feedback, schedule, seats

urlpatterns = [
    path("events/<int:event_id>/sessions/", agenda.Sessions.as_view(), name="sessions"),
    path("events/<int:event_id>/my-schedule/", schedule.EventSchedule.as_view(), name="event-schedule"),
    path("me/schedule/", schedule.MySchedule.as_view(), name="my-schedule"),
    path("sessions/<uuid:session_id>/", agenda.Session.as_view(), name="session"),
    path("sessions/<uuid:session_id>/rsvp/", seats.Rsvp.as_view(), name="rsvp"),
    path("sessions/<uuid:session_id>/waitlist/", seats.Waitlist.as_view(), name="waitlist"),
    path("sessions/<uuid:session_id>/feedback/", feedback.Feedback.as_view(), name="feedback"),
    path("waitlist/<uuid:entry_id>/accept/", seats.Accept.as_view(), name="accept-offer"),
    path("waitlist/<uuid:entry_id>/decline/", seats.Decline.as_view(), name="decline-offer"),
    path("sessions/<uuid:session_id>.ics", calendars.SessionCalendar.as_view(), name="session-calendar"),
    path("me/calendar/", calendars.MyCalendar.as_view(), name="my-calendar"),
    path("me/calendar/<slug:token>.ics", calendars.Feed.as_view(), name="calendar-feed"),
]
