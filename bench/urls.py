"""The site, and beside it a view that replays recorded SQL: what Django and PostgreSQL cost without Turnout.

Runs in the bench's own server only; the product doesn't know of it.
"""

import json
from functools import cache

from django.conf import settings
from django.db import connection
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from config.urls import handler500  # noqa: F401
from config.urls import urlpatterns as site_urls


@cache
def statements(name):
    return json.loads((settings.DATA_DIR / "recordings.json").read_text())[name]


class Replay(APIView):
    """A signed-in call that runs a recording's statements, BEGIN and COMMIT among them, and answers the last rows."""

    def post(self, request, name):
        rows = None
        with connection.cursor() as cursor:
            for sql in statements(name):
                cursor.execute(sql, request.data)
                if cursor.description:
                    rows = cursor.fetchall()
        return Response(rows)


urlpatterns = [*site_urls, path("bench/<name>/", Replay.as_view())]
