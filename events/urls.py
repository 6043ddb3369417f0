from django.urls import path

from .api import accounts, events

urlpatterns = [
    path("auth/token/", accounts.SignIn.as_view(), name="auth_token"),
    path("auth/refresh/", accounts.Refresh.as_view(), name="auth_refresh"),
    path("auth/logout/", accounts.SignOut.as_view(), name="auth_logout"),
    path("auth/sign-up/", accounts.SignUp.as_view(), name="auth_sign_up"),
    path("auth/verify-email/", accounts.ConfirmEmail.as_view(), name="auth_verify_email"),
    path("auth/verify-email/resend/", accounts.ResendConfirmation.as_view(), name="auth_verify_email_resend"),
    path("auth/password-reset/", accounts.AskForReset.as_view(), name="auth_password_reset"),
    path("auth/password-reset/confirm/", accounts.ResetPassword.as_view(), name="auth_password_reset_confirm"),
    path("me/", accounts.Me.as_view(), name="me"),
    path("me/photo/", accounts.MyPhoto.as_view(), name="my_photo"),
    path("me/export/", accounts.MyData.as_view(), name="my_data"),
    path("events/", events.EventList.as_view(), name="events"),
    path("events/<int:event_id>/", events.EventDetail.as_view(), name="event"),
]
