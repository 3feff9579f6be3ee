from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config import views

api = [
    path("", include("annotation.api.urls")),
    path("", include("accounts.api.urls")),
    path("", include("runs.api.urls")),
    path("", include("reward.api.urls")),
    path("", include("policy.api.urls")),
]

# Asked in this order: what labelers' programs and browsers ask for all day stands first, here and in each room.
urlpatterns = [
    path("api/v1/", include(api)),
    path("", views.home, name="home"),
    path("", include("accounts.urls")),
    path("", include("annotation.urls")),
    path("runs/", include("runs.urls")),
    path("reward/", include("reward.urls")),
    path("checkpoints/", include("policy.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
    path("healthz/", views.health, name="health"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("admin/", admin.site.urls),
]
