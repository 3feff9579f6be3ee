from __future__ import annotations

from django.urls import path

from reward import completion_views, labeler_views, views

app_name = "reward"
urlpatterns = [
    path("", views.version_list, name="version-list"),
    path("<uuid:public_id>/", views.version_detail, name="version-detail"),
    path("<uuid:public_id>/ask-again/", views.ask_again, name="ask-again"),
    path("<uuid:public_id>/score/", views.version_score, name="version-score"),
    path("<uuid:public_id>/order-queue/", views.version_order_queue, name="version-order-queue"),
    path("<uuid:public_id>/scores/", views.version_scores, name="version-scores"),
    path("snapshots/<uuid:public_id>/", views.snapshot_detail, name="snapshot-detail"),
    path("snapshots/<uuid:public_id>/preferences/", views.snapshot_preferences, name="snapshot-preferences"),
    path("train/<uuid:public_id>/", views.train, name="train"),
    path("completions/<uuid:public_id>/", completion_views.completion_detail, name="completion-detail"),
    path("completions/<uuid:public_id>/explain/", completion_views.completion_explain, name="completion-explain"),
    path(
        "campaigns/<uuid:public_id>/labelers/<uuid:labeler_id>/",
        labeler_views.labeler_detail,
        name="labeler-detail",
    ),
    path(
        "campaigns/<uuid:public_id>/labelers/<uuid:labeler_id>/set-aside/",
        labeler_views.labeler_set_aside,
        name="labeler-set-aside",
    ),
    path(
        "campaigns/<uuid:public_id>/labelers/<uuid:labeler_id>/take-back/",
        labeler_views.labeler_take_back,
        name="labeler-take-back",
    ),
]
