from __future__ import annotations

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("sign-in/", views.SignIn.as_view(), name="sign-in"),
    path("language/", views.ChooseLanguage.as_view(), name="language"),
    path("sign-out/", views.SignOut.as_view(), name="sign-out"),
]
