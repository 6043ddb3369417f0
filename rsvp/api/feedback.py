"""What a person thought of a session that they were in."""

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from config.errors import NotFound
from config.openapi import refuses

from ..models import SessionFeedback
from ..operations import feedback, standing


class NewFeedback(serializers.Serializer):
    rating = serializers.IntegerField(min_value=1, max_value=5, help_text=_("5 is best."))
    comment = serializers.CharField(max_length=5000, allow_blank=True, default="")


class FeedbackSerializer(serializers.ModelSerializer):
    session_id = serializers.UUIDField(read_only=True)

    class Meta:
        model = SessionFeedback
        fields = ["session_id", "rating", "comment", "created_at", "updated_at"]
        read_only_fields = fields


@extend_schema(tags=["sessions"])
class Feedback(APIView):
    @extend_schema(
        operation_id="sessions_feedback_retrieve",
        summary="What you said of a session",
        responses=FeedbackSerializer,
    )
    def get(self, request, session_id):
        mine = SessionFeedback.objects.filter(
            session=session_id, attendee__user_profile=request.user.pk, attendee__user_profile__is_active=True
        )
        row = mine.first()
        if row is None:
            raise NotFound
        return Response(FeedbackSerializer(row).data)

    @extend_schema(
        operation_id="sessions_feedback_create",
        summary="Say what you thought of a session",
        description="For those who were there, once it is over. Again: instead of what you said before.",
        request=NewFeedback,
        responses={201: FeedbackSerializer, 200: OpenApiResponse(FeedbackSerializer, "In place of the former.")},
    )
    @refuses(standing.NotAttending, feedback.SessionNotOver, feedback.NotThere)
    def post(self, request, session_id):
        new = NewFeedback(data=request.data)
        new.is_valid(raise_exception=True)
        outcome = feedback.give(session_id=session_id, person=request.user, **new.validated_data)
        return Response(FeedbackSerializer(outcome.row).data, status=201 if outcome.changed else 200)
