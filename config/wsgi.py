"""The web process: `granian --interface wsgi config.wsgi:application`."""

import io
import os

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters
from granian.utils.proxies import wrap_wsgi_with_proxy_headers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


PIECE = 64 * 1024


class Request(WSGIRequest):
    """Reads UTF-8 only, whatever a client calls it: Django would fall over codecs that aren't for text."""

    def _set_content_type_params(self, meta):
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class Application(WSGIHandler):
    request_class = Request

    def __call__(self, environ, start_response):
        """A body that comes in chunks is read first: Django takes one of unannounced length for none.

        What a view left unread of a body is poured away: the connection would break, and whoever is
        still sending wouldn't see the answer.
        """
        if environ.get("HTTP_TRANSFER_ENCODING") and not environ.get("CONTENT_LENGTH"):
            body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        answer = super().__call__(environ, start_response)
        if environ.get("CONTENT_LENGTH") not in (None, "", "0"):
            for _ in range(settings.DATA_UPLOAD_MAX_MEMORY_SIZE // PIECE):
                if not environ["wsgi.input"].read(PIECE):
                    break
        return answer


django.setup(set_prefix=False)
# So that REMOTE_ADDR is the person's address, for rate limits and sign-in lock-outs, and HTTPS is known.
application = wrap_wsgi_with_proxy_headers(Application(), settings.TRUSTED_PROXIES)
