from __future__ import annotations

from django.contrib.auth import views


class SignIn(views.LoginView):
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True


class SignOut(views.LogoutView):
    """POST only: a link on another site cannot sign anybody out."""
