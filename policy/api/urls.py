from __future__ import annotations

from django.urls import path

from policy.api import tuning, views

urlpatterns = [
    path("lineages/", views.LineageList.as_view(), name="api-lineage-list"),
    path("checkpoints/", views.CheckpointList.as_view(), name="api-checkpoint-list"),
    path("checkpoints/import/", views.ImportModel.as_view(), name="api-checkpoint-import"),
    path("checkpoints/<uuid:public_id>/", views.CheckpointDetail.as_view(), name="api-checkpoint-detail"),
    path("checkpoints/<uuid:public_id>/verify/", views.CheckpointVerify.as_view(), name="api-checkpoint-verify"),
    path("checkpoints/<uuid:public_id>/ppo/", views.PPO.as_view(), name="api-checkpoint-ppo"),
    path("checkpoints/<uuid:public_id>/ppo/estimate/", views.PPOEstimate.as_view(), name="api-ppo-estimate"),
    path("checkpoints/<uuid:public_id>/dpo/", tuning.DPO.as_view(), name="api-checkpoint-dpo"),
    path("checkpoints/<uuid:public_id>/dpo/estimate/", tuning.DPOEstimate.as_view(), name="api-dpo-estimate"),
    path("checkpoints/<uuid:public_id>/sft/", tuning.SFT.as_view(), name="api-checkpoint-sft"),
    path("checkpoints/<uuid:public_id>/sft/estimate/", tuning.SFTEstimate.as_view(), name="api-sft-estimate"),
    path("samplings/", views.Sample.as_view(), name="api-sample"),
    path("follows/", views.FollowList.as_view(), name="api-follow-list"),
    path("follows/end/", views.FollowEnd.as_view(), name="api-follow-end"),
    path("win-rate-studies/", views.StudyList.as_view(), name="api-study-list"),
    path("win-rate-studies/<uuid:public_id>/", views.StudyDetail.as_view(), name="api-study-detail"),
]
