"""Plumbline's PPO on the work of ppo_work.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reward.training.process import keep_freed_memory, loading

with loading():
    import torch
    from torch import Tensor
    from transformers import AutoModelForCausalLM

    from benchmarks.ppo_work import Told, Work, device_name, prompts, typical, write
    from benchmarks.usage import peak_rss_mib
    from policy.training.config import CreditConfig, KLConfig, LoRAConfig, PPOConfig, UpdateConfig, ValueNetwork
    from policy.training.critic import critic_like_policy
    from policy.training.ppo import PPOState, train
    from policy.training.trunk import Policy
    from reward.training.packing import Prefixed

NO_EOS = -1
STOP = KLConfig().stop_update_nats_per_token
PHASES = ("act", "score", "judge", "credit", "learn")


def recipe(work: Work, *, every_epoch: bool = False) -> PPOConfig:
    """The work's settings; the others are our defaults, save that no answer ends and that scores are not shaped.

    every_epoch: no step's updates end early on KL, so that as much is computed as by a trainer that cannot do so.

    This task's scores have a standard deviation of about .12, so the squared errors of values are some seventy times
    smaller than where scores have 1, which the default of value_coefficient is for. lam .98 suits answers of 16 tokens.
    A rate that falls to a tenth spends fewer nats on noise at the end; the betas are TRL's.
    """
    return PPOConfig(
        steps=work.steps, answers_per_step=work.batch, max_new_tokens=work.new_tokens,
        max_prompt_tokens=work.prompt_tokens, precision="bfloat16-autocast" if work.bfloat16 else "float32",
        kl=KLConfig(coefficient=work.kl_coefficient, stop_update_nats_per_token=None if every_epoch else STOP),
        credit=CreditConfig(missing_eos_penalty=0.0, reward_clip=None, lam=0.98),
        update=UpdateConfig(
            epochs=work.epochs, micro_batch_size=work.batch, learning_rate=work.learning_rate,
            value_learning_rate=work.learning_rate, value_coefficient=20.0,
            schedule="cosine", adam_betas=(0.9, 0.999),
        ),
    )  # fmt: skip


def even_share(groups: Sequence[Prefixed]) -> Tensor:
    """[A, 1]: the share of even ids of each answer."""
    shares = [sum(token % 2 == 0 for token in answer) / len(answer) for group in groups for answer in group.answers]
    return torch.tensor(shares)[:, None]


def run(
    work: Work,
    folder: Path,
    *,
    value_network: ValueNetwork = "shared",
    lora_rank: int | None = None,
    every_epoch: bool = False,
) -> Told:
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    plain: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model: Any = plain.to(work.device)
    config = recipe(work, every_epoch=every_epoch)
    critic = critic_like_policy(model) if value_network == "separate" else None
    policy = Policy(
        model, autocast=work.bfloat16, sampler_dtype=torch.bfloat16 if work.bfloat16 else None, critic=critic,
        lora=LoRAConfig(rank=lora_rank), seed=work.seed,
    )  # fmt: skip
    if work.device == "cpu":
        policy.map_reference(folder)
    told = list(
        train(
            policy=policy, score=even_share, prompts=prompts(work, int(model.config.vocab_size)), eos_id=NO_EOS,
            config=config, state=PPOState.start(policy, config), seed=work.seed,
        )
    )  # fmt: skip
    column = {name: [step.values[name] for step in told] for name in told[0].values}
    return Told(
        score=column["reward_mean"], kl_nats_per_sequence=column["kl_nats_per_sequence"],
        cpu_seconds=column["cpu_seconds"], seconds=column["step_seconds"], peak_rss_mib=peak_rss_mib(),
        peak_device_mib=None if work.device == "cpu" else torch.cuda.max_memory_allocated() / 2**20,
        phases={name: typical(column[f"{name}_seconds"]) for name in PHASES},
        device=device_name(work),
        versions={"torch": torch.__version__, "transformers": version("transformers")},
    )  # fmt: skip


def main() -> None:
    keep_freed_memory()
    given = json.loads(sys.argv[1])
    work, folder, out = Work(**given.pop("work")), Path(given.pop("folder")), given.pop("out")
    write(run(work, folder, **given), out)


if __name__ == "__main__":
    main()
