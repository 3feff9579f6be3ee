from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PolicyConfig(AppConfig):
    name = "policy"

    def ready(self) -> None:
        from policy.services import receive_answers, receive_policy, receive_tuned, register_import
        from policy.services.checkpoints import IMPORT_KIND
        from policy.services.sampling import SAMPLE_KIND
        from policy.services.training import PPO_KIND
        from policy.services.tuning import DPO_KIND, SFT_KIND
        from policy.uris import resolve_checkpoint
        from reward.training.configuration import from_dict
        from runs.kinds import RunKind, register
        from runs.model_uris import register_scheme

        register_scheme("checkpoint", resolve_checkpoint)
        for name, title, config, on_outcome in (
            (IMPORT_KIND, _("Model import"), "sample_config.ImportConfig", register_import),
            (SAMPLE_KIND, _("Sampling"), "sample_config.SampleConfig", receive_answers),
            (PPO_KIND, _("PPO"), "config.PPOConfig", receive_policy),
            (DPO_KIND, _("DPO"), "trl_config.DPOConfig", receive_tuned),
            (SFT_KIND, _("SFT"), "trl_config.SFTConfig", receive_tuned),
        ):
            register(
                RunKind(
                    name=name,
                    title=title,
                    module="policy.training",
                    config=f"policy.training.{config}",
                    on_outcome=on_outcome,
                    read_config=from_dict,
                )
            )
