"""One's phone number, verified by a code that comes by SMS."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.openapi import refuses
from events.api.accounts import ByPerson, MeSerializer
from events.models import UserProfile
from events.models.people import to_e164
from events.operations import phones
from events.operations.accounts import AccountClosed, refuse_closed

from .. import channels
from ..operations.letters import SmsOff

validate_length = MaxLengthValidator(UserProfile._meta.get_field("phone").max_length)


class Phone(serializers.CharField):
    def __init__(self, **kwargs):
        super().__init__(max_length=50, **kwargs)

    def to_internal_value(self, data):
        try:
            number = to_e164(super().to_internal_value(data))
            validate_length(number)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages, code="invalid_phone") from error
        return number


class NewPhone(serializers.Serializer):
    phone = Phone(
        help_text=_("However it is written; without a country code it is one of the site's country (PHONE_REGION).")
    )


class PhoneCode(serializers.Serializer):
    code = serializers.RegexField(r"^[0-9]{6}\Z", help_text=_("The six digits of the SMS."))


class MyPhone(APIView):
    throttle_classes = [ByPerson]

    @extend_schema(
        operation_id="me_phone_create",
        summary="Ask for a code to verify a phone number",
        description="It comes by SMS and is good for ten minutes and five tries; your profile changes only once "
        "it comes back. The answer is the same whoever else has the number. At most three an hour for a person, "
        "and for a number. A number whose owner answered STOP to us gets none.",
        request=NewPhone,
        responses={204: None},
        tags=["me"],
    )
    @refuses(AccountClosed, SmsOff, phones.TooManyCodes)
    def post(self, request):
        new = NewPhone(data=request.data)
        new.is_valid(raise_exception=True)
        phone = new.validated_data["phone"]
        refuse_closed(request.user)
        if channels.get("sms").off():
            raise SmsOff
        phones.send_code(actor=request.user, phone=phone)
        return Response(status=204)


class VerifyPhone(APIView):
    throttle_classes = [ByPerson]

    @extend_schema(
        operation_id="me_phone_verify",
        summary="Verify the phone number, with the code",
        description="The number becomes yours, and so do the messages that guests with it were sent.",
        request=PhoneCode,
        responses=MeSerializer,
        tags=["me"],
    )
    @refuses(AccountClosed, phones.PhoneCodeInvalid)
    def post(self, request):
        given = PhoneCode(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(MeSerializer(phones.verify(actor=request.user, **given.validated_data)).data)
