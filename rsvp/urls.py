"""The API's calls of sessions: seats, lines, schedules."""

urlpatterns = []
