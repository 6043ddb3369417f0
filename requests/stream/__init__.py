"""The live stream, a process of its own: `granian --interface asgi requests.stream:application`.

Server-Sent Events of what screens show, the moment that it changes. What has changed PostgreSQL says
(service_signals, in the order of commits); Redis only says that it is worth looking. Whoever loses the stream loses
nothing but time: pages poll without it, and what was missed is sent when they are back.
"""

import os

import django
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)
application = import_string("requests.stream.door.application")
