from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from accounts.api import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("me/", views.Me.as_view(), name="api-me"),
    path("tokens/", views.TokenList.as_view(), name="api-token-list"),
    path("tokens/logout/", views.Logout.as_view(), name="api-token-logout"),
    path("tokens/<str:key>/", views.TokenDetail.as_view(), name="api-token-detail"),
]
