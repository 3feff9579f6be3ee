"""Every mutation of the policy room has one door here."""

from __future__ import annotations

from policy.services.checkpoints import import_model, register_import, unfinished_import, verify_checkpoint
from policy.services.following import feed_followers, follow, unfollow
from policy.services.preflight import ppo_preflight, tuning_preflight
from policy.services.sampling import receive_answers, start_sampling
from policy.services.training import receive_policy, start_ppo
from policy.services.tuning import receive_tuned, start_tuning
from policy.services.win_rate import WinRate, start_win_rate, win_rate

__all__ = [
    "WinRate",
    "feed_followers",
    "follow",
    "import_model",
    "ppo_preflight",
    "receive_answers",
    "receive_policy",
    "receive_tuned",
    "register_import",
    "start_ppo",
    "start_sampling",
    "start_tuning",
    "start_win_rate",
    "tuning_preflight",
    "unfinished_import",
    "unfollow",
    "verify_checkpoint",
    "win_rate",
]
