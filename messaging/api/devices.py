"""The devices on which one's messages ring."""

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.errors import NotFound
from config.openapi import refuses
from events.operations.accounts import AccountClosed, refuse_closed

from ..models import PushDevice
from ..operations import inbox


class DeviceSerializer(serializers.ModelSerializer):
    class Meta:
        model = PushDevice
        fields = ["id", "platform", "created_at", "seen_at"]
        read_only_fields = fields


class NewDevice(serializers.Serializer):
    token = serializers.CharField(max_length=1000, help_text=_("The registration token that FCM gave the app."))
    platform = serializers.ChoiceField(PushDevice.Platform.choices)


@extend_schema(tags=["messages"])
class Devices(generics.ListAPIView):
    serializer_class = DeviceSerializer
    queryset = PushDevice.objects.none()
    filter_backends = []
    ordering = "-pk"

    def get_queryset(self):
        return PushDevice.objects.filter(user=self.request.user.pk)

    @extend_schema(operation_id="me_devices_list", summary="Your devices that take pushes")
    @refuses(AccountClosed)
    def get(self, request):
        refuse_closed(request.user)
        return super().get(request)

    @extend_schema(
        operation_id="me_devices_create",
        summary="Register a device for pushes",
        description="After each sign-in, and whenever FCM gives a new token. The same token again is the same "
        "device (200), and yours from now on, whoever signed in there before. Of more than 20, the one that "
        "wasn't seen for longest leaves.",
        request=NewDevice,
        responses={201: DeviceSerializer, 200: OpenApiResponse(DeviceSerializer, "The one there was.")},
    )
    @refuses(AccountClosed)
    def post(self, request):
        new = NewDevice(data=request.data)
        new.is_valid(raise_exception=True)
        outcome = inbox.register_device(actor=request.user, **new.validated_data)
        return Response(DeviceSerializer(outcome.row).data, status=201 if outcome.changed else 200)


class Device(APIView):
    @extend_schema(
        operation_id="me_devices_destroy",
        summary="No more pushes to a device",
        description="Before the app signs out.",
        responses={204: None},
        tags=["messages"],
    )
    @refuses(NotFound)
    def delete(self, request, device_id):
        inbox.forget_device(device_id=device_id, actor=request.user)
        return Response(status=204)
