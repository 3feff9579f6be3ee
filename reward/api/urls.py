from __future__ import annotations

from django.urls import path

from reward.api import explanations, exports, labelers, scores, views

urlpatterns = [
    path("reward-models/<uuid:public_id>/evaluation/", views.RewardModelEvaluation.as_view(), name="rm-evaluation"),
    path("reward-models/<uuid:public_id>/ask-again/", views.RewardModelAskAgain.as_view(), name="rm-ask-again"),
    path("reward-models/<uuid:public_id>/score/", scores.RewardModelScore.as_view(), name="rm-score"),
    path("reward-models/<uuid:public_id>/order-queue/", scores.RewardModelOrderQueue.as_view(), name="rm-order-queue"),
    path("reward-models/<uuid:public_id>/scores/", scores.RewardModelScores.as_view(), name="rm-score-list"),
    path("snapshots/", views.SnapshotList.as_view(), name="api-snapshot-list"),
    path("snapshots/<uuid:public_id>/", views.SnapshotDetail.as_view(), name="api-snapshot-detail"),
    path("snapshots/<uuid:public_id>/train/", views.SnapshotTrain.as_view(), name="api-snapshot-train"),
    path(
        "snapshots/<uuid:public_id>/train/estimate/", views.SnapshotTrainEstimate.as_view(), name="api-train-estimate"
    ),
    path(
        "snapshots/<uuid:public_id>/preferences/",
        exports.SnapshotPreferences.as_view(),
        name="api-snapshot-preferences",
    ),
    path("reward-models/", views.RewardModelList.as_view(), name="api-reward-model-list"),
    path("reward-models/<uuid:public_id>/", views.RewardModelDetail.as_view(), name="api-reward-model-detail"),
    path(
        "completions/<uuid:public_id>/explanations/",
        explanations.Explanations.as_view(),
        name="api-explanation-list",
    ),
    path(
        "campaigns/<uuid:public_id>/labelers/<uuid:labeler_id>/",
        labelers.LabelerDetail.as_view(),
        name="api-labeler-detail",
    ),
    path(
        "campaigns/<uuid:public_id>/labelers/<uuid:labeler_id>/exclusion/",
        labelers.LabelerExclusion.as_view(),
        name="api-labeler-exclusion",
    ),
]
