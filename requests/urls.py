from django.urls import path

from .api import joining

urlpatterns = [
    path("events/<int:event_id>/join-requests/", joining.SendJoinRequest.as_view(), name="send-join-request"),
    path("join-requests/", joining.JoinRequestList.as_view(), name="join-requests"),
    path("join-requests/<uuid:request_id>/", joining.JoinRequestDetail.as_view(), name="join-request"),
    path("events/<int:event_id>/invitation-links/", joining.InvitationLinks.as_view(), name="invitation-links"),
    path("invitation-links/<uuid:link_id>/revoke/", joining.RevokeInvitation.as_view(), name="revoke-invitation"),
    path("invitations/accept/", joining.AcceptInvitation.as_view(), name="accept-invitation"),
]
