from __future__ import annotations

from django.urls import path

from reward.api import views

urlpatterns = [
    path("snapshots/", views.SnapshotList.as_view(), name="api-snapshot-list"),
    path("snapshots/<uuid:public_id>/", views.SnapshotDetail.as_view(), name="api-snapshot-detail"),
    path("snapshots/<uuid:public_id>/train/", views.SnapshotTrain.as_view(), name="api-snapshot-train"),
    path("reward-models/", views.RewardModelList.as_view(), name="api-reward-model-list"),
    path("reward-models/<uuid:public_id>/", views.RewardModelDetail.as_view(), name="api-reward-model-detail"),
]
