"""For hosts that only speak ASGI; WSGI serves our synchronous views about twice as fast."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from granian.utils.proxies import wrap_asgi_with_proxy_headers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = wrap_asgi_with_proxy_headers(get_asgi_application(), settings.TRUSTED_PROXIES)
