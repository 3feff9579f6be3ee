"""Two processes that train together (gloo) come to the numbers of one, with whole layers and with sharded ones."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

from policy.training.config import CreditConfig, KLConfig, LoRAConfig, PPOConfig, UpdateConfig
from policy.training.critic import critic_like_policy
from policy.training.evaluate import evaluate
from policy.training.imitation import Imitation
from policy.training.ppo import PPOState, train
from policy.training.sharding import shard, whole
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy
from reward.training.ranks import ALONE, Ranks, join_ranks

PROMPTS = [[3 + i, 20 + i, 40 + i][: 1 + i % 3] for i in range(8)]
UPDATE: dict[str, Any] = {"epochs": 2, "mini_batches": 2, "micro_batch_size": 2, "learning_rate": 1e-3}
CASES: dict[str, dict[str, Any]] = {
    # Three micro-batches a mini-batch, so one rank has more to do; in the first step the critic learns alone.
    "separate": {
        "value_network": "separate",
        "update": UpdateConfig(**UPDATE, critic_warmup_steps=1, imitation_coefficient=1.0),
    },
    # One micro-batch a mini-batch: the second rank has nothing to learn from.
    "adapters": {
        "answers_per_prompt": 2,
        "lora": LoRAConfig(rank=2),
        "update": UpdateConfig(**{**UPDATE, "micro_batch_size": 8}),
    },
    # As the first, so that one rank makes passes that count for nothing; a layer is frozen, and weights are averaged.
    "sharded": {
        "value_network": "separate",
        "train_layers": 1,
        "update": UpdateConfig(**UPDATE, critic_warmup_steps=1, imitation_coefficient=1.0, average_decay=0.5),
    },
    # One answer a step: the second rank draws nothing and only keeps step; the judge's pass serves the first update.
    "sharded, keeping states": {
        "answers_per_step": 1,
        "update": UpdateConfig(**{**UPDATE, "mini_batches": 1}),
    },
}


def run(case: str, ranks: Ranks, folder: Path) -> None:
    """Three steps and an evaluation; the first rank writes weights and metrics."""
    torch.set_num_threads(1)
    settings: dict[str, Any] = {"answers_per_step": 10, **CASES[case]}
    config = PPOConfig(
        steps=3, max_new_tokens=8, credit=CreditConfig(missing_eos_penalty=0.5),
        kl=KLConfig(coefficient=0.05, controller="adaptive"), **settings,
    )  # fmt: skip
    model = build_llama()
    critic = critic_like_policy(model) if config.value_network == "separate" else None
    policy = Policy(model, critic=critic, lora=config.lora, train_layers=config.train_layers)
    if ranks.sharded:
        shard(policy, ranks=ranks, device="cpu")
    state = PPOState.start(policy, config)
    imitation = Imitation(PROMPTS, [[9, 11, EOS]] * 8, config.update.imitation_coefficient, 5, 2)
    told = [
        step.values
        for step in train(
            policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=config, seed=3, ranks=ranks,
            state=state,
            imitation=imitation if config.update.imitation_coefficient else None,
        )
    ]  # fmt: skip
    found, samples = evaluate(policy, even_share, PROMPTS, eos_id=EOS, config=config, seed=3, step=3, ranks=ranks)
    told += [found.values, *(sample.values for sample in samples)]
    weights = whole(dict(policy.trained()), ranks=ranks)
    if state.average is not None:
        weights |= {f"average {name}": p for name, p in whole(state.average.weights, ranks=ranks).items()}
    if ranks.is_first:
        folder.mkdir(exist_ok=True)
        save_file(weights, folder / "weights.safetensors")
        (folder / "told.json").write_text(json.dumps(told))


def a_rank(index: int, port: int, folder: str) -> None:
    """One of two, for all cases: to start takes longer than all that it does."""
    os.environ |= {
        "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2",
        "RANK": str(index),
    }  # fmt: skip
    for case in CASES:
        os.environ["ACCELERATE_USE_FSDP"] = str(case.startswith("sharded"))
        run(case, join_ranks("cpu"), Path(folder) / case)
    dist.barrier()
    # Nothing is destroyed: Gloo's destructor (torch 2.13) waits for its own thread with the GIL in hand.
    os._exit(0)


@pytest.mark.slow
def test_two_ranks_come_to_the_numbers_of_one(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    for case in CASES:
        run(case, ALONE, alone / case)
    mp.spawn(a_rank, args=(port, str(together)), nprocs=2)  # type: ignore[attr-defined, no-untyped-call]

    for case in CASES:
        assert_same(alone / case, together / case)


def assert_same(alone: Path, together: Path) -> None:
    """Weights and metrics, up to rounding."""
    expected, found = (load_file(folder / "weights.safetensors") for folder in (alone, together))
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, atol=2e-5, rtol=0, msg=f"{together.name}: {name}")
    one, two = (json.loads((folder / "told.json").read_text()) for folder in (alone, together))
    for before, after in zip(one, two, strict=True):
        assert after.keys() == before.keys()
        for name, value in before.items():
            if not name.endswith("_seconds"):
                same = pytest.approx(value, rel=1e-3, abs=2e-4, nan_ok=True)
                assert after[name] == same, f"{together.name}: {name}"


def test_a_process_that_nobody_joined_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    assert join_ranks("cpu") == ALONE
    assert ALONE.share([5, 6, 7]) == [5, 6, 7]
    assert [Ranks(i, 2).share([5, 6, 7]) for i in range(2)] == [[5, 7], [6]]
    assert (ALONE.totals([2.5, 1.0]), ALONE.greatest(2.5)) == ([2.5, 1.0], 2.5)


@pytest.mark.parametrize(("sharded", "sizes"), [(False, [[2, 1], [2]]), (True, [[2, 1], [2, 0]])])
def test_sharded_ranks_make_as_many_passes_some_of_no_rows(sharded: bool, sizes: list[list[int]]) -> None:
    passes = torch.arange(5).split(2)

    assert [[len(rows) for rows in Ranks(i, 2, sharded).share_passes(passes)] for i in range(2)] == sizes
