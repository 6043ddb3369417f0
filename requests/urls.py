from django.urls import path

from .api import intakes, joining, mechanics, service, sessions, stream

urlpatterns = [
    path("events/<int:event_id>/join-requests/", joining.SendJoinRequest.as_view(), name="send-join-request"),
    path("join-requests/", joining.JoinRequestList.as_view(), name="join-requests"),
    path("join-requests/<uuid:request_id>/", joining.JoinRequestDetail.as_view(), name="join-request"),
    path("events/<int:event_id>/invitation-links/", joining.InvitationLinks.as_view(), name="invitation-links"),
    path("invitation-links/<uuid:link_id>/revoke/", joining.RevokeInvitation.as_view(), name="revoke-invitation"),
    path("invitations/accept/", joining.AcceptInvitation.as_view(), name="accept-invitation"),
    path("intakes/", intakes.Intakes.as_view(), name="intakes"),
    path("service-options/", intakes.ServiceOptions.as_view(), name="service-options"),
    path("session-requests/", service.ServiceRequests.as_view(), name="session-requests"),
    path("session-requests/<uuid:request_id>/", service.ServiceRequestDetail.as_view(), name="session-request"),
    path("session-requests/<uuid:request_id>/accept/", service.Accept.as_view(), name="accept-session-request"),
    path("session-requests/<uuid:request_id>/release/", service.Release.as_view(), name="release-session-request"),
    path("session-requests/<uuid:request_id>/cancel/", service.Cancel.as_view(), name="cancel-session-request"),
    path("session-requests/<uuid:request_id>/complete/", service.Complete.as_view(), name="complete-session-request"),
    path("session-requests/<uuid:request_id>/takeover/", service.TakeOver.as_view(), name="takeover-session-request"),
    path("service-sessions/", sessions.ServiceSessions.as_view(), name="service-sessions"),
    path("service-sessions/<uuid:session_id>/", sessions.Session.as_view(), name="service-session"),
    path("service-sessions/<uuid:session_id>/messages/", sessions.Messages.as_view(), name="service-session-messages"),
    path("service-sessions/<uuid:session_id>/keep/", sessions.Keep.as_view(), name="keep-service-session"),
    path("mechanics/", mechanics.Mechanics.as_view(), name="mechanics"),
    path("mechanics/me/", mechanics.MyMechanics.as_view(), name="my-mechanics"),
    path("mechanics/<uuid:mechanic_id>/duty/", mechanics.SetDuty.as_view(), name="mechanic-duty"),
    path("stream/ticket/", stream.StreamTicket.as_view(), name="stream-ticket"),
    path("stream/session-requests/", stream.StreamOfRequests.as_view(), name="stream-of-requests"),
    path("stream/service-sessions/<uuid:session_id>/", stream.StreamOfSession.as_view(), name="stream-of-session"),
]
