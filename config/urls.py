"""Every address of the site. Apps bring their API routes; here they get their places."""

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from django.views.static import serve
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.negotiation import DefaultContentNegotiation

from attendance import views as attendance_views
from config import health, mailbox
from config.api import IsPublic
from events.views import event_page, passwords, sign_in
from messaging.views import hooks, unsubscribe
from requests.views import joining, live, service
from rsvp.views import agenda, schedule

api = [
    path("", include("events.urls")),
    path("", include("attendance.urls")),
    path("", include("messaging.urls")),
    path("", include("rsvp.urls")),
    path("", include("requests.urls")),
    path(
        "schema/",
        SpectacularAPIView.as_view(
            permission_classes=[IsPublic],
            authentication_classes=[],
            content_negotiation_class=DefaultContentNegotiation,  # YAML, or JSON for who asks for it
        ),
        name="schema",
    ),
    path(
        "docs/",
        csp_replace(settings.CSP_LOOSE)(
            SpectacularSwaggerView.as_view(
                url_name="api:schema",
                permission_classes=[IsPublic],
                authentication_classes=[],
                http_method_names=["get", "head"],
            )
        ),
        name="docs",
    ),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("api/v1/", include((api, "api"))),
    path("password/reset/", passwords.ask_for_reset, name="admin_password_reset"),
    path("password/set/", passwords.set_password, name="set_password"),
    path("door/sw.js", attendance_views.service_worker, name="service_worker"),
    path("door/<int:event_id>/", attendance_views.door, name="door"),
    path("door/<int:event_id>/manifest.webmanifest", attendance_views.manifest, name="door_manifest"),
    path("e/<slug:slug>/agenda/", agenda.agenda, name="agenda"),
    path("e/<slug:slug>/agenda/<uuid:session_id>/", agenda.session_page, name="session_page"),
    path("e/<slug:slug>/agenda/<uuid:session_id>/rsvp/", agenda.rsvp, name="session_rsvp"),
    path("e/<slug:slug>/agenda/<uuid:session_id>/line/", agenda.join, name="session_line"),
    path("e/<slug:slug>/agenda/<uuid:session_id>/offer/", agenda.offer, name="session_offer"),
    path("e/<slug:slug>/agenda/<uuid:session_id>/cancel/", agenda.cancel, name="session_cancel"),
    path("e/<slug:slug>/agenda/<uuid:session_id>/feedback/", agenda.give_feedback, name="session_feedback"),
    path("e/<slug:slug>/agenda/<uuid:session_id>.ics", agenda.calendar_file, name="session_calendar"),
    path("e/<slug:slug>/my-schedule/", schedule.my_schedule, name="my_schedule"),
    path("e/<slug:slug>/ticket/", attendance_views.ticket, name="my_ticket"),
    path("e/<slug:slug>/calendar/", schedule.my_calendar, name="my_calendar"),
    path("unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("hooks/sms/status/<uuid:delivery_id>/", hooks.sms_status, name="sms_status"),
    path("hooks/sms/incoming/", hooks.sms_incoming, name="sms_incoming"),
    path("sign-in/", sign_in.ask_for_link, name="web_sign_in"),
    path("sign-in/<str:token>/", sign_in.follow_link, name="web_sign_in_link"),
    path("sign-out/", sign_in.sign_out, name="web_sign_out"),
    path("e/", event_page.event_list, name="event_list"),
    path("e/<slug:slug>/", event_page.event_page, name="event_page"),
    path("e/<slug:slug>/join/", joining.join_page, name="join_page"),
    path("e/<slug:slug>/join/withdraw/", joining.withdraw, name="withdraw_request"),
    path("help/", service.my_requests, name="help"),
    path("help/new/", service.ask, name="help_new"),
    path("help/<uuid:session_id>/", service.service_session, name="service_session"),
    path("help/<uuid:session_id>/say/", service.say, name="service_say"),
    path("help/<uuid:session_id>/cancel/", service.cancel, name="service_cancel"),
    path("live/ticket/", live.live_ticket, name="live_ticket"),
    path("mailbox/", mailbox.mailbox, name="mailbox"),
    path("mailbox/<int:number>/", mailbox.mailbox_item, name="mailbox_item"),
    path("mailbox/<int:number>/html/", mailbox.mailbox_html, name="mailbox_html"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", ExportToDjangoView, name="metrics"),
    # Photos and the like. In production the web server in front may answer these (docs/deploying.md).
    re_path(r"^media/(?P<path>.+)$", serve, {"document_root": settings.MEDIA_ROOT}, name="media"),
]
handler400 = "config.errors.page_refused"
handler404 = "config.errors.page_missing"
handler500 = "config.errors.page_failed"
