"""For hosts that only speak ASGI; WSGI serves our synchronous views about twice as fast."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_asgi_application()
