from django.urls import path

from .api import devices, inbox, phones

urlpatterns = [
    path("me/messages/", inbox.MyMessages.as_view(), name="my-messages"),
    path("me/messages/read/", inbox.ReadMessages.as_view(), name="read-messages"),
    path("me/messages/<uuid:message_id>/read/", inbox.ReadMessage.as_view(), name="read-message"),
    path("events/<int:event_id>/messages/", inbox.EventMessages.as_view(), name="event-messages"),
    path("me/phone/", phones.MyPhone.as_view(), name="my-phone"),
    path("me/phone/verify/", phones.VerifyPhone.as_view(), name="verify-phone"),
    path("me/devices/", devices.Devices.as_view(), name="devices"),
    path("me/devices/<uuid:device_id>/", devices.Device.as_view(), name="device"),
]
