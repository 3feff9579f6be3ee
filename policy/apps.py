from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PolicyConfig(AppConfig):
    name = "policy"

    def ready(self) -> None:
        from policy.services import receive_answers, receive_policy, register_import
        from policy.services.checkpoints import IMPORT_KIND
        from policy.services.sampling import SAMPLE_KIND
        from policy.services.training import PPO_KIND
        from policy.uris import resolve_checkpoint
        from reward.training.configuration import from_dict
        from runs.kinds import RunKind, register
        from runs.model_uris import register_scheme

        register_scheme("checkpoint", resolve_checkpoint)
        for name, title, config, on_outcome in (
            (IMPORT_KIND, _("Model import"), "ImportConfig", register_import),
            (SAMPLE_KIND, _("Sampling"), "SampleConfig", receive_answers),
            (PPO_KIND, _("PPO"), "PPOConfig", receive_policy),
        ):
            register(
                RunKind(
                    name=name,
                    title=title,
                    module="policy.training",
                    config=f"policy.training.config.{config}",
                    on_outcome=on_outcome,
                    read_config=from_dict,
                )
            )
