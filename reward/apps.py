from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RewardConfig(AppConfig):
    name = "reward"

    def ready(self) -> None:
        from reward.explanations import EXPLAIN_KIND, receive_explanation
        from reward.scoring import SCORE_KIND, register_scores
        from reward.services import TRAIN_KIND, register_reward_model
        from reward.training.configuration import from_dict
        from runs.kinds import RunKind, register

        register(
            RunKind(
                name=TRAIN_KIND,
                title=_("Reward model"),
                module="reward.training",
                config="reward.training.config.RewardConfig",
                on_outcome=register_reward_model,
                read_config=from_dict,
            )
        )
        register(
            RunKind(
                name=EXPLAIN_KIND,
                title=_("Explanation"),
                module="reward.training",
                config="reward.training.config.ExplainConfig",
                on_outcome=receive_explanation,
                read_config=from_dict,
            )
        )
        register(
            RunKind(
                name=SCORE_KIND,
                title=_("Scores"),
                module="reward.training",
                config="reward.training.config.ScoreConfig",
                on_outcome=register_scores,
                read_config=from_dict,
            )
        )
