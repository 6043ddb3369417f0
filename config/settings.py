"""One file for every machine; they differ by environment variables only (docs/settings.md).

SITE_URL is the one that matters most: its scheme switches everything that needs HTTPS, its host
is the allowed one.
"""

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
import structlog
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.urls import reverse_lazy
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from config import mail
from config.privacy import without_codes

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env("DATA_DIR", default=str(BASE_DIR / ".data")))

DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("TURNOUT_DEMO", default=False)
SECRET_KEY = env("SECRET_KEY")
SITE_URL = env("SITE_URL", default="http://127.0.0.1:8000").rstrip("/")
HTTPS = SITE_URL.startswith("https://")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[urlsplit(SITE_URL).hostname, "127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[SITE_URL] if HTTPS else [])

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # without its own admin site: ours is config.admin.AdminSite
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    "config.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "pgtrigger",
    "simple_history",
    "import_export",
    "rules.apps.AutodiscoverRulesConfig",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "corsheaders",
    "csp",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "django_filters",
    "django_structlog",
    "django_prometheus",
    "config.apps.ProjectConfig",
    "waffle",
    "events",
    "attendance",
    "messaging",
    "rsvp",
    "requests",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "config.errors.DatabaseUnavailableMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
SILENCED_SYSTEM_CHECKS = [
    # E-mail addresses are unique without regard to case, by a constraint over Lower("email").
    "auth.W004",
]

# -- PostgreSQL and Redis --------------------------------------------------------------------
DATABASES = {"default": env.db_url("DATABASE_URL") | {"CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=600)}}
# PgBouncer in transaction mode keeps no server-side cursors (docs/scaling.md).
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = env.bool("PGBOUNCER", default=False)
# What is hot is prepared (config.database.prepared), but not through PgBouncer.
PREPARED = None if DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] else 1
DATABASES["default"].setdefault("OPTIONS", {})["prepare_threshold"] = PREPARED
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env("REDIS_URL")

# -- People ----------------------------------------------------------------------------------
AUTH_USER_MODEL = "events.UserProfile"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "events.sign_in.EmailBackend",
    "events.sign_in.LinkBackend",
]
LINK_BACKEND = "events.sign_in.LinkBackend"
"""Whose sessions open attendees' pages only."""
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
PASSWORD_RESET_TIMEOUT = int(timedelta(hours=24).total_seconds())
REQUIRE_SECOND_FACTOR = env.bool("REQUIRE_SECOND_FACTOR", default=False)
OTP_TOTP_ISSUER = "Turnout"
AXES_FAILURE_LIMIT = env.int("SIGN_IN_FAILURE_LIMIT", default=10)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("SIGN_IN_COOLOFF_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_FORM_FIELD = "username"
AXES_LOCKOUT_TEMPLATE = "locked_out.html"
AXES_VERBOSE = False
# Tokens of the customer's own identity provider, next to ours; off without a JWKS address.
IDENTITY_PROVIDER = {
    "jwks_url": env("OIDC_JWKS_URL", default=""),
    "issuer": env("OIDC_ISSUER", default=""),
    "audience": env("OIDC_AUDIENCE", default=""),
}

# -- API -------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["events.sign_in.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["config.json.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.json.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.json.AlwaysJSON",
    "DEFAULT_PAGINATION_CLASS": "config.api.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "config.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "config.api.ApiExceptionHandler",
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=30),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "CHECK_REVOKE_TOKEN": False,
    "USER_ID_FIELD": "id",
    "UPDATE_LAST_LOGIN": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Turnout",
    "DESCRIPTION": "What the phone app, staff devices and organisers' own programs call.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "EventStatus": "events.models.event.Status",
        "AttendeeStatus": "attendance.models.Attendee.Status",
        "AttendeeSource": "attendance.models.Attendee.Source",
        "AttendanceStatus": "attendance.models.AttendanceStatus",
        "AttendanceSource": "attendance.models.AttendanceSource",
        "JoinRequestStatus": "requests.models.Status",
        "MessageKind": "messaging.models.Kind",
        "DevicePlatform": "messaging.models.PushDevice.Platform",
        "SessionStatus": "events.models.agenda.SessionStatus",
        "ServiceRequestStatus": "requests.models.RequestStatus",
        "ServiceSessionStatus": "requests.models.ServiceStatus",
        "ServiceSessionType": "requests.models.SessionType",
        "ParticipantRole": "requests.models.ParticipantRole",
        "RsvpStanding": "rsvp.api.agenda.STANDINGS",
        "RefusalType": "config.openapi.TYPES",
    },
    "ENUM_SUFFIX": "",
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "config.openapi.list_error_codes"],
    "TAGS": [
        {"name": "accounts", "description": "Signing up, in and out"},
        {"name": "me", "description": "Your own profile"},
        {"name": "events", "description": "What there is to go to"},
        {"name": "join requests", "description": "Asking to be let in, and letting in"},
        {"name": "invitations", "description": "Links that let in whoever has them"},
        {"name": "door", "description": "For scanners: people with a role, and registered devices"},
        {"name": "attendance", "description": "Who came, by hand"},
        {"name": "room", "description": "Who is in, your own place among them, and your ticket"},
        {"name": "sessions", "description": "The agenda, seats in sessions and the lines for them, your schedule"},
        {"name": "service", "description": "Asking for help; and for those who give it, what waits and who takes it"},
        {"name": "messages", "description": "What you were sent, and the devices that ring for it"},
    ],
}
STREAM_URL = env("STREAM_URL", default=f"{SITE_URL}/api/v1/stream").rstrip("/")
"""Where the live stream answers (requests.stream): a process of its own, behind this address."""
STREAM_HEARTBEAT = env.float("STREAM_HEARTBEAT", default=15.0)
"""Seconds without news after which it says that it lives, and after which it looks who was deactivated, or has another
role."""
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/"
BODY_LIMIT = 1024 * 1024
"""Bytes that an API request's JSON may have."""
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000
PHOTO_LIMIT = 5 * 1024 * 1024
"""Bytes that an uploaded photo may have before it is re-encoded."""

# -- Tasks -----------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_ROUTES = {
    # Whoever signs up doesn't wait for ten thousand messages.
    "messaging.tasks.send_letters": {"queue": "celery"},
    "messaging.tasks.*": {"queue": "messages"},
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2, "visibility_timeout": 3600}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BEAT_SCHEDULE = {
    "heartbeat": {"task": "events.tasks.heartbeat", "schedule": 30.0, "options": {"expires": 25}},
    "heartbeat-messages": {"task": "messaging.tasks.heartbeat", "schedule": 30.0, "options": {"expires": 25}},
    "admit-pending": {"task": "requests.tasks.admit_pending", "schedule": 60.0, "options": {"expires": 55}},
    "complete-events": {"task": "attendance.tasks.complete_events", "schedule": 60.0, "options": {"expires": 55}},
    "send-messages": {"task": "messaging.tasks.sweep", "schedule": 60.0, "options": {"expires": 55}},
    "send-letters": {"task": "messaging.tasks.send_letters", "schedule": 60.0, "options": {"expires": 55}},
    "find-guests": {"task": "messaging.tasks.find_guests", "schedule": 600.0, "options": {"expires": 590}},
    "tell-of-new-requests": {
        "task": "requests.tasks.tell_of_new_requests",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    "tell-of-requests-daily": {"task": "requests.tasks.tell_of_requests_daily", "schedule": crontab(minute="*/15")},
    "catch-up-lines": {"task": "rsvp.tasks.catch_up", "schedule": 60.0, "options": {"expires": 55}},
    "tell-offers": {"task": "rsvp.tasks.tell_offers", "schedule": 60.0, "options": {"expires": 55}},
    "tell-changes": {"task": "rsvp.tasks.tell_changes", "schedule": 60.0, "options": {"expires": 55}},
    "remind-of-sessions": {"task": "rsvp.tasks.remind", "schedule": crontab(minute="*/15")},
    "tell-of-the-door": {"task": "messaging.tasks.tell_of_the_door", "schedule": 60.0, "options": {"expires": 55}},
    "watch-service-requests": {
        "task": "requests.tasks.watch_service_requests",
        "schedule": 15.0,
        "options": {"expires": 14},
    },
    "forget-signals": {"task": "requests.tasks.forget_signals", "schedule": 3600.0, "options": {"expires": 3000}},
    "check-integrity": {"task": "events.tasks.check_integrity", "schedule": crontab(hour=4, minute=10)},
    "forget-expired": {"task": "events.tasks.forget_expired", "schedule": crontab(hour=4, minute=40)},
}

# -- Mail, SMS, push -------------------------------------------------------------------------
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="Turnout <turnout@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_TIMEOUT = env.float("EMAIL_TIMEOUT", default=10.0)
EMAIL_URL = env("EMAIL_URL", default="")
if EMAIL_URL:
    vars().update(mail.settings_of(EMAIL_URL))
else:
    # Without a mail server, letters are written to files that an operator can read.
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = DATA_DIR / "mail"
SMS_API_URL = env("SMS_API_URL", default="https://api.twilio.com").rstrip("/")
SMS_ACCOUNT_SID = env("SMS_ACCOUNT_SID", default="")
SMS_AUTH_TOKEN = env("SMS_AUTH_TOKEN", default="")
SMS_FROM = env("SMS_FROM", default="")
SMS_HONOURS_KEY = env.bool("SMS_HONOURS_KEY", default=False)
PUSH_API_URL = env("PUSH_API_URL", default="https://fcm.googleapis.com").rstrip("/")
PUSH_CREDENTIALS = env("PUSH_CREDENTIALS", default="")
CHANNEL_TIMEOUTS = {"connect": 5.0, "read": 10.0, "write": 10.0, "pool": 60.0}
"""Seconds that an HTTP provider gets."""
MESSAGE_LEASE_SECONDS = env.int("MESSAGE_LEASE_SECONDS", default=300)
MESSAGE_RETRY_SECONDS = env.int("MESSAGE_RETRY_SECONDS", default=10)

# -- Files -----------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = Path(env("STATIC_ROOT", default=str(DATA_DIR / "static")))
MEDIA_URL = "media/"
MEDIA_ROOT = Path(env("MEDIA_ROOT", default=str(DATA_DIR / "media")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG or env.bool("WHITENOISE_USE_FINDERS", default=False)

# -- Language and time -----------------------------------------------------------------------
LANGUAGE_CODE = "en"
# What the whole site is written in. Django and the admin's theme come in a hundred languages, of which pages would be
# half and half, and right to left in some; a translation of ours adds its line.
LANGUAGES = [("en", _("English"))]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
PHONE_REGION = env("PHONE_REGION", default="US")

# -- Security --------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=HTTPS)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
# Addresses and networks of our own proxies: from these, config.wsgi believes X-Forwarded-For and -Proto.
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "events.views.too_old.too_old"
CSP_BASE = {
    "default-src": [SELF],
    "connect-src": [SELF, "{0.scheme}://{0.netloc}".format(urlsplit(STREAM_URL))],
    "img-src": [SELF, "data:", "https:"],
    "object-src": [NONE],
    "base-uri": [SELF],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}
# The admin theme evaluates expressions (Alpine) and sets inline styles; config.admin and the API
# docs loosen this for themselves, every other page has neither.
CONTENT_SECURITY_POLICY = {"DIRECTIVES": CSP_BASE | {"script-src": [SELF, NONCE], "style-src": [SELF, NONCE]}}
CSP_LOOSE = CSP_BASE | {"script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}

# -- Logs ------------------------------------------------------------------------------------
LOG_PROCESSORS = [
    structlog.contextvars.merge_contextvars,
    without_codes,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": LOG_PROCESSORS,
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        # django-structlog logs each request already, with its id, person and duration.
        "django.server": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},  # tells every call otherwise
    },
}
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *LOG_PROCESSORS,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
if env("SENTRY_DSN", default=""):
    import sentry_sdk

    sentry_sdk.init(
        dsn=env("SENTRY_DSN"), send_default_pii=False, environment=env("SENTRY_ENVIRONMENT", default="production")
    )

# -- Admin -----------------------------------------------------------------------------------
IMPORT_EXPORT_SKIP_ADMIN_LOG = True
IMPORT_EXPORT_IMPORT_PERMISSION_CODE = "import"
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "view"
UNFOLD = {
    "SITE_TITLE": "Turnout",
    "SITE_HEADER": "Turnout",
    "SITE_SUBHEADER": _("Events, from the request to the room"),
    "SITE_SYMBOL": "how_to_reg",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "8px",
    "DASHBOARD_CALLBACK": "config.admin.dashboard",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: "/static/turnout/icon.svg"},
    ],
    "STYLES": [lambda request: "/static/turnout/admin.css"],
    "SCRIPTS": [lambda request: "/static/turnout/names.js"],
    "COMMAND": {"search_models": False, "show_history": False},
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": "config.admin.navigation"},
    "ACCOUNT": {"navigation": lambda request: import_string("config.admin.account_links")(request)},
    "COLORS": {
        "primary": {
            "50": "oklch(97.7% .014 180)",
            "100": "oklch(95.3% .051 180)",
            "200": "oklch(91% .096 180)",
            "300": "oklch(85.5% .13 181)",
            "400": "oklch(77.7% .14 182)",
            "500": "oklch(64% .12 183)",
            "600": "oklch(53% .10 185)",
            "700": "oklch(46% .09 186)",
            "800": "oklch(40% .075 188)",
            "900": "oklch(35% .06 188)",
            "950": "oklch(26% .05 193)",
        }
    },
}
