from __future__ import annotations

from django.contrib.auth import views
from django.http import HttpRequest, HttpResponseBase
from django.views.generic import View
from django.views.i18n import set_language

from accounts.models import User
from accounts.services import choose_language


class SignIn(views.LoginView):
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True


class SignOut(views.LogoutView):
    """POST only: a link on another site cannot sign anybody out."""


class ChooseLanguage(View):
    """For everybody: a cookie keeps the language of this browser, and the account that of whoever is signed in."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        if isinstance(request.user, User):
            choose_language(user=request.user, language=request.POST.get("language", ""))
        return set_language(request)
