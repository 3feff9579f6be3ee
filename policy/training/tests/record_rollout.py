"""Writes data/rollout.safetensors: a rollout as PPO drew and judged it, with the weights that an update starts from.

    python -m policy.training.tests.record_rollout

The file is kept so that what an update computes from a rollout can be held against a loop that shares no code with it,
and does not change when sampling does. N answers, R longest.

    prompts, responses    [sum of lengths] int64, end to end      prompt_lengths, response_lengths    [N] int64
    finished              [N] bool                                sampler_logp, logp, ref_logp        [N, R] nats
    entropy, values       [N, R]                                  last_values, scores                 [N]
    weights|<name>        the policy's tensors now, some steps after the rollout was drawn
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from policy.training.config import CreditConfig, PPOConfig, UpdateConfig
from policy.training.ppo import PPOState, act, train
from policy.training.rollout import judge, make_micro_batch
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy
from reward.training.packing import by_prompt

FILE = Path(__file__).parent / "data" / "rollout.safetensors"
PROMPTS = [[3 + i, 20 + i, 40 + i][: 1 + i % 3] for i in range(8)]
CONFIG = PPOConfig(
    steps=3, answers_per_step=12, max_new_tokens=10, temperature=0.9, credit=CreditConfig(missing_eos_penalty=0.5),
    update=UpdateConfig(learning_rate=1e-2, value_learning_rate=3e-2),
)  # fmt: skip


def learn_a_little(policy: Policy, state: PPOState, steps: int) -> None:
    loop = train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=CONFIG, state=state, seed=11)
    for _ in range(steps):
        next(loop)


def record() -> dict[str, Tensor]:
    """Two steps of training, a rollout, one step more."""
    torch.set_num_threads(1)
    policy = Policy(build_llama(seed=4))
    state = PPOState.start(policy, CONFIG)
    learn_a_little(policy, state, 2)
    rollout = act(policy, PROMPTS, eos_id=EOS, config=CONFIG, seed=11, step=99)
    batch = make_micro_batch(policy, rollout, torch.arange(len(rollout.responses)), keep_last=True)
    scores = even_share(by_prompt(rollout.prompts, rollout.responses))
    judged = judge(policy, rollout, [batch], scores, temperature=CONFIG.temperature, keep_last=True)
    learn_a_little(policy, state, 1)
    lengths = {"prompt_lengths": rollout.prompts, "response_lengths": rollout.responses}
    return {
        "prompts": torch.tensor(list(chain(*rollout.prompts))),
        "responses": torch.tensor(list(chain(*rollout.responses))),
        **{name: torch.tensor(list(map(len, rows))) for name, rows in lengths.items()},
        "finished": rollout.finished,
        "sampler_logp": rollout.sampler_logp,
        **{name: getattr(judged, name) for name in ("logp", "ref_logp", "entropy", "values", "last_values", "scores")},
        **{f"weights|{name}": p.detach().clone() for name, p in policy.trained()},
    }


if __name__ == "__main__":
    save_file(record(), FILE)
