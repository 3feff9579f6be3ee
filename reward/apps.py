from __future__ import annotations

from django.apps import AppConfig


class RewardConfig(AppConfig):
    name = "reward"
