from __future__ import annotations

from django.urls import path

from policy.views import checkpoints, loop, tuning

app_name = "policy"
urlpatterns = [
    path("", checkpoints.checkpoint_list, name="checkpoint-list"),
    path("import/", checkpoints.checkpoint_import, name="checkpoint-import"),
    path("<uuid:public_id>/", checkpoints.checkpoint_detail, name="checkpoint-detail"),
    path("<uuid:public_id>/verify/", checkpoints.checkpoint_verify, name="checkpoint-verify"),
    path("<uuid:public_id>/ppo/", checkpoints.ppo, name="ppo"),
    path("<uuid:public_id>/dpo/", tuning.dpo, name="dpo"),
    path("<uuid:public_id>/sft/", tuning.sft, name="sft"),
    path("campaigns/<uuid:public_id>/sample/", loop.sample, name="sample"),
    path("campaigns/<uuid:public_id>/follow/", loop.follow, name="follow"),
    path("campaigns/<uuid:public_id>/unfollow/", loop.unfollow, name="unfollow"),
    path("campaigns/<uuid:public_id>/studies/new/", loop.study_create, name="study-create"),
    path("studies/<uuid:public_id>/", loop.study_detail, name="study-detail"),
]
