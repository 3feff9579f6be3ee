from __future__ import annotations

from django.urls import path

from reward import views

app_name = "reward"
urlpatterns = [
    path("", views.version_list, name="version-list"),
    path("<uuid:public_id>/", views.version_detail, name="version-detail"),
    path("snapshots/<uuid:public_id>/", views.snapshot_detail, name="snapshot-detail"),
    path("train/<uuid:public_id>/", views.train, name="train"),
]
