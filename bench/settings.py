"""The site's own settings, plus the addresses of the bare views it is held against."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "bench.urls"
