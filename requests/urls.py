from django.urls import path

from . import api

urlpatterns = [
    path("events/<int:event_id>/join-requests/", api.SendJoinRequest.as_view(), name="send-join-request"),
    path("join-requests/", api.JoinRequestList.as_view(), name="join-requests"),
    path("join-requests/<uuid:request_id>/", api.JoinRequestDetail.as_view(), name="join-request"),
    path("events/<int:event_id>/invitation-links/", api.InvitationLinks.as_view(), name="invitation-links"),
    path("invitation-links/<uuid:link_id>/revoke/", api.RevokeInvitation.as_view(), name="revoke-invitation"),
    path("invitations/accept/", api.AcceptInvitation.as_view(), name="accept-invitation"),
]
