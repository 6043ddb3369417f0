"""Signing up, in and out, and a person's own profile."""

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.utils.translation import gettext_lazy as _
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import parsers, serializers, status
from rest_framework.exceptions import ParseError
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import IsPublic, RateLimit
from config.json import TooLarge
from config.openapi import refuses

from ..models import UserProfile
from ..operations import accounts, privacy

# -- Fields --------------------------------------------------------------------------------------


class Address(serializers.EmailField):
    """ASCII, as mail servers take it: look-alike letters would make two accounts of one mailbox."""

    def __init__(self, **kwargs):
        super().__init__(max_length=254, **kwargs)

    def to_internal_value(self, data):
        value = super().to_internal_value(data)
        if not value.isascii():
            self.fail("invalid")
        return value.lower()


class Password(serializers.CharField):
    """As typed, blanks included. The limit keeps hashing cheap."""

    def __init__(self, **kwargs):
        super().__init__(max_length=200, trim_whitespace=False, write_only=True, **kwargs)


class Code(serializers.CharField):
    def __init__(self, **kwargs):
        super().__init__(max_length=2000, help_text=_("As the mail has it."), **kwargs)


class SignInSerializer(serializers.Serializer):
    email = Address()
    password = Password()


class TokensSerializer(serializers.Serializer):
    access = serializers.CharField(help_text=_("For the Authorization header: Bearer …. Good for five minutes."))
    refresh = serializers.CharField(help_text=_("Gets the next pair, once. Good for 30 days."))


class RefreshSerializer(serializers.Serializer):
    refresh = serializers.CharField(max_length=4000)


class SignUpSerializer(serializers.ModelSerializer):
    email = Address()
    password = Password()

    class Meta:
        model = UserProfile
        fields = ["email", "password", "first_name", "last_name"]
        validators = []


class AddressSerializer(serializers.Serializer):
    email = Address()


class ConfirmSerializer(serializers.Serializer):
    token = Code()


class NewPasswordSerializer(serializers.Serializer):
    token = Code()
    password = Password()


class MeSerializer(serializers.ModelSerializer):
    email = Address(
        required=False,
        allow_null=True,
        help_text=_("A new address takes effect when the code that is mailed to it comes back."),
    )
    photo_url = serializers.CharField(read_only=True, help_text=_("Absolute, or relative to this site; or empty."))

    class Meta:
        model = UserProfile
        fields = [
            "id",
            "owner_id",
            "email",
            "email_verified",
            "first_name",
            "last_name",
            "phone",
            "phone_verified",
            "photo_url",
            "created_at",
        ]
        read_only_fields = ["id", "owner_id", "email_verified", "phone_verified", "created_at"]
        validators = []  # what is unique is the operation's to say, and never to strangers


class PhotoSerializer(serializers.Serializer):
    photo = serializers.FileField(help_text=_("JPEG, PNG or WebP. It becomes a square of at most 512 pixels."))


class PhotoParser(parsers.MultiPartParser):
    """Refuses by the announced length, before a byte is written to disk."""

    OVERHEAD = 64 * 1024

    def parse(self, stream, media_type=None, parser_context=None):
        if int(parser_context["request"].META.get("CONTENT_LENGTH") or 0) > settings.PHOTO_LIMIT + self.OVERHEAD:
            raise TooLarge
        try:
            return super().parse(stream, media_type, parser_context)
        except SuspiciousOperation as error:  # too many fields or files
            raise ParseError(str(error)) from error


# -- Rate limits -----------------------------------------------------------------------------------
# Per network address they are generous: a whole conference may share one.


class ByStranger(RateLimit):
    scope = "accounts"
    rate = "300/minute"


class ByAddress(RateLimit):
    """For each e-mail address that a call names, so that nobody's mailbox is flooded."""

    rate, scope = accounts.MAILS

    def identity(self, request, view):
        email = request.data.get("email") if isinstance(request.data, dict) else None
        return email.strip().lower()[:254] if isinstance(email, str) else super().identity(request, view)


class ByPerson(RateLimit):
    scope = "me"
    rate = "120/minute"


# -- Signing in and out ------------------------------------------------------------------------------


class TokenScheme(SimpleJWTScheme):
    """How the OpenAPI schema describes it."""

    target_class = "events.sign_in.TokenAuthentication"
    name = "token"


class Public(APIView):
    """A call that anybody may make; a token that comes along is not looked at."""

    authentication_classes = []
    permission_classes = [IsPublic]
    throttle_classes = [ByStranger]
    serializer_class: type[serializers.Serializer]

    def read(self, request) -> dict:
        serializer = self.serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


def tokens(refresh) -> Response:
    return Response({"access": str(refresh.access_token), "refresh": str(refresh)})


class SignIn(Public):
    serializer_class = SignInSerializer

    @extend_schema(
        operation_id="auth_token",
        summary="Sign in by e-mail and password",
        description="401 says nothing about which of them is wrong. The tenth failure for an address locks it, "
        "for the caller's network address, for 15 minutes: 429 with Retry-After.",
        responses={200: TokensSerializer},
        tags=["accounts"],
    )
    @refuses(accounts.WrongCredentials, accounts.SignInLocked)
    def post(self, request):
        return tokens(accounts.start_session(**self.read(request), request=request))


class Refresh(Public):
    serializer_class = RefreshSerializer

    @extend_schema(
        operation_id="auth_refresh",
        summary="The next pair of tokens",
        description="The refresh token is used up. Refused when it was used before, when the person was "
        "deactivated, and when their password was changed since.",
        responses={200: TokensSerializer},
        tags=["accounts"],
    )
    @refuses(accounts.RefreshTokenInvalid)
    def post(self, request):
        return tokens(accounts.rotate(**self.read(request)))


class SignOut(Public):
    serializer_class = RefreshSerializer

    @extend_schema(
        operation_id="auth_logout",
        summary="Sign this device out",
        description="The refresh token is used up; access tokens expire by themselves within five minutes.",
        responses={204: None},
        tags=["accounts"],
    )
    @refuses(accounts.RefreshTokenInvalid)
    def post(self, request):
        accounts.end_session(**self.read(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


# -- Signing up, the address, the password -------------------------------------------------------------


class SignUp(Public):
    serializer_class = SignUpSerializer
    throttle_classes = [ByStranger, ByAddress]

    @extend_schema(
        operation_id="auth_sign_up",
        summary="Sign up",
        description="A mail with a code confirms the address; then the person can sign in. The answer is the same "
        "when the address has an account already: its owner is told by mail.",
        responses={201: AddressSerializer},
        tags=["accounts"],
    )
    @refuses(accounts.PasswordTooWeak)
    def post(self, request):
        data = {"first_name": "", "last_name": ""} | self.read(request)
        accounts.sign_up(**data)
        return Response({"email": data["email"]}, status=status.HTTP_201_CREATED)


class ConfirmEmail(Public):
    serializer_class = ConfirmSerializer

    @extend_schema(
        operation_id="auth_verify_email",
        summary="Confirm an e-mail address",
        description="With the code from the mail, after signing up or changing the address. It works once.",
        responses={204: None},
        tags=["accounts"],
    )
    @refuses(accounts.CodeInvalid, accounts.EmailTaken)
    def post(self, request):
        accounts.confirm_email(code=self.read(request)["token"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class ResendConfirmation(Public):
    serializer_class = AddressSerializer
    throttle_classes = [ByStranger, ByAddress]

    @extend_schema(
        operation_id="auth_verify_email_resend",
        summary="Send the confirming mail again",
        description="204 whatever the address is; a mail goes out only where one waits to be confirmed.",
        responses={204: None},
        tags=["accounts"],
    )
    def post(self, request):
        accounts.resend_confirmation(**self.read(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class AskForReset(Public):
    serializer_class = AddressSerializer
    throttle_classes = [ByStranger, ByAddress]

    @extend_schema(
        operation_id="auth_password_reset",
        summary="Ask for a new password",
        description="204 whatever the address is; a mail goes out only where there is an account.",
        responses={204: None},
        tags=["accounts"],
    )
    def post(self, request):
        accounts.ask_for_reset(**self.read(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ResetPassword(Public):
    serializer_class = NewPasswordSerializer

    @extend_schema(
        operation_id="auth_password_reset_confirm",
        summary="Set a new password",
        description="With the code from the mail, which works once. Every device is signed out.",
        responses={204: None},
        tags=["accounts"],
    )
    @refuses(accounts.CodeInvalid, accounts.PasswordTooWeak)
    def post(self, request):
        data = self.read(request)
        accounts.reset_password(code=data["token"], password=data["password"])
        return Response(status=status.HTTP_204_NO_CONTENT)


# -- The person's own profile ----------------------------------------------------------------------------


class Me(APIView):
    permission_classes = [IsAuthenticated]
    throttle_classes = [ByPerson]
    serializer_class = MeSerializer

    @extend_schema(operation_id="me_retrieve", summary="Your profile", tags=["me"])
    def get(self, request):
        person = UserProfile.objects.active().filter(pk=request.user.pk).first()
        if person is None:
            raise accounts.AccountClosed
        return Response(MeSerializer(person).data)

    @extend_schema(
        operation_id="me_partial_update",
        summary="Change your profile",
        description="A new phone number is unverified. A new e-mail address takes effect when the code that is "
        "mailed to it is confirmed at auth/verify-email/; until then the answer has the old one.",
        tags=["me"],
    )
    def patch(self, request):
        serializer = MeSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        person = accounts.edit_profile(actor=request.user, **serializer.validated_data)
        return Response(MeSerializer(person).data)

    @extend_schema(
        operation_id="me_destroy",
        summary="Erase your account",
        description="For good: the profile and what you wrote are anonymised everywhere. Refused (409) while you "
        "are the only owner of an organisation.",
        responses={204: None},
        tags=["me"],
    )
    @refuses(privacy.OnlyOwner)
    def delete(self, request):
        privacy.erase(person_id=request.user.pk, actor=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MyPhoto(APIView):
    permission_classes = [IsAuthenticated]
    throttle_classes = [ByPerson]
    parser_classes = [PhotoParser]
    serializer_class = PhotoSerializer

    @extend_schema(
        operation_id="me_photo_update",
        summary="Your photo",
        description="At most 5 MB. The picture is cropped to a square, and whatever else the file says "
        "(where it was taken, by which camera) is left out.",
        request={"multipart/form-data": PhotoSerializer},
        responses={200: MeSerializer},
        tags=["me"],
    )
    @refuses(accounts.PhotoInvalid, accounts.PhotoTooLarge)
    def put(self, request):
        serializer = PhotoSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        person = accounts.set_photo(actor=request.user, upload=serializer.validated_data["photo"])
        return Response(MeSerializer(person).data)

    @extend_schema(operation_id="me_photo_destroy", summary="Remove your photo", responses={204: None}, tags=["me"])
    def delete(self, request):
        accounts.remove_photo(actor=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MyData(APIView):
    permission_classes = [IsAuthenticated]
    throttle_classes = [ByPerson]

    @extend_schema(
        operation_id="me_export",
        summary="All that is known about you",
        responses={200: OpenApiTypes.OBJECT},
        tags=["me"],
    )
    def get(self, request):
        return Response(
            privacy.export(actor=request.user),
            headers={"Content-Disposition": 'attachment; filename="turnout.json"'},
        )
