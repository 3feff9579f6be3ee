"""DPO and SFT."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from runs.metric_texts.words import ANSWERS, NATS, NATS_PER_TOKEN, SHARE, MetricHelp

TUNING: dict[str, MetricHelp] = {
    # DPO
    "dpo_loss": MetricHelp(_("DPO loss"), NATS, _("A coin's is ln 2 ≈ 0.69."), _("0.69 at step 1, then falls")),
    "dpo_accuracy_train": MetricHelp(
        _("Preferences learned"),
        SHARE,
        _("Preferences of the step whose chosen answer gained more probability than the rejected one."),
        _("0 at step 1, where all are equal; then above 0.5"),
    ),
    "dpo_margin": MetricHelp(
        _("DPO margin"),
        NATS,
        _("How much more the chosen answer gained than the rejected one, times beta."),
        _("0 at step 1, then rises"),
    ),
    "dpo_reward_chosen": MetricHelp(
        _("Gain of the chosen answer"),
        NATS,
        _("Its log-probability less the reference's, times beta."),
        _("near 0 or above; far below 0 the policy forgets good answers too"),
    ),
    "dpo_reward_rejected": MetricHelp(
        _("Gain of the rejected answer"), NATS, _("Its log-probability less the reference's, times beta."), _("falls")
    ),
    "dpo_loss_heldout": MetricHelp(
        _("DPO loss, held out"),
        NATS,
        _("On preferences of held-out prompts."),
        _("below 0.69; rising while dpo_loss falls is over-fitting"),
    ),
    "dpo_accuracy_heldout": MetricHelp(
        _("Preferences met, held out"), SHARE, _("On preferences of held-out prompts."), _("above 0.5")
    ),
    "dpo_margin_heldout": MetricHelp(
        _("DPO margin, held out"), NATS, _("On preferences of held-out prompts."), _("above 0")
    ),
    "num_left_out_ties": MetricHelp(_("Ties left out"), "", _("DPO needs a better and a worse answer."), _("few")),
    # SFT
    "sft_loss_nats_per_token": MetricHelp(
        _("SFT loss"), NATS_PER_TOKEN, _("Mean over the tokens of the answers that are imitated."), _("falls")
    ),
    "sft_token_accuracy_share": MetricHelp(
        _("Tokens predicted"), SHARE, _("Tokens of the answers that are the policy's likeliest."), _("rises")
    ),
    "sft_loss_heldout_nats_per_token": MetricHelp(
        _("SFT loss, held out"),
        NATS_PER_TOKEN,
        _("On the best answers to held-out prompts."),
        _("falls; rising while the training loss falls is over-fitting"),
    ),
    "sft_token_accuracy_heldout_share": MetricHelp(
        _("Tokens predicted, held out"), SHARE, _("On the best answers to held-out prompts."), _("rises")
    ),
    "num_demonstrations": MetricHelp(
        _("Answers imitated"), ANSWERS, _("Ranked best, and acceptable."), _("about one for each prompt")
    ),
    "num_heldout_demonstrations": MetricHelp(
        _("Answers held out"), ANSWERS, _("Best answers to held-out prompts."), _("about one for each prompt")
    ),
    "num_left_out_prompts": MetricHelp(
        _("Prompts left out"), "", _("Without a best answer that is acceptable."), _("few")
    ),
}
