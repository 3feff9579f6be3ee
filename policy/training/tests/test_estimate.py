"""Estimates of policy runs: counts against real policies, and whole runs against what was measured once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.shapes import SHAPES
from policy.training.config import LoRAConfig, PPOConfig, UpdateConfig
from policy.training.critic import critic_like_policy
from policy.training.estimate import Models, PromptData, estimate_ppo, ppo_memory
from policy.training.learn import make_optimizer
from policy.training.tests.conftest import build_llama
from policy.training.trl_config import DPOConfig, SFTConfig
from policy.training.trl_estimate import AnswerData, Pair, PairData, estimate_dpo, estimate_sft
from policy.training.trunk import Policy
from reward.training import footprint
from reward.training.estimate import Estimate
from reward.training.footprint import certain, total
from reward.training.shape import Shape, read_shape
from reward.training.speed import Speed

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
MEASURED = json.loads((RESULTS / "2026-11-26-cpu-ppo-step-smollm2.json").read_text())
SPEED = Speed.read(json.loads((RESULTS / "2026-11-26-cpu-machine.json").read_text())["speeds"]["float32"])
SETTINGS: list[dict[str, Any]] = [
    {},
    {"train_layers": 1},
    {"lora": LoRAConfig(rank=4)},
    {"lora": LoRAConfig(rank=4), "train_layers": 2},
    {"value_network": "separate"},
    {"value_network": "separate", "train_layers": 2},
]


def shape_of(config: dict[str, Any]) -> Shape:
    shape = read_shape(config)
    assert shape is not None
    return shape


SMOLLM2 = shape_of({"model_type": "llama", **SHAPES["smollm2"]})


def by_name(estimate: Estimate) -> dict[str, int]:
    return {part.name: part.num_bytes for part in estimate.parts}


def float_bytes(parameters: Iterable[torch.Tensor]) -> int:
    return sum(4 * parameter.numel() for parameter in parameters)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_is_held_is_what_a_real_policy_holds(settings: dict[str, Any], tied: bool) -> None:
    model = build_llama(layers=3, tied=tied)
    shape, config = shape_of(json.loads(model.config.to_json_string())), PPOConfig(**settings)
    critic = critic_like_policy(model, train_layers=config.train_layers) if config.value_network != "shared" else None
    policy = Policy(model, train_layers=config.train_layers, lora=config.lora, critic=critic)

    parts = ppo_memory(Models(shape, shape), config, PromptData([5] * 20, [5]), maps_weights=False)
    found = by_name(Estimate(parts=parts, phases=None))

    head = float_bytes(policy.value_head.parameters())
    trunk = [] if critic is None else list(critic.trunk.parameters())
    assert found["model"] == float_bytes(policy.model.parameters())
    assert found.get("reference", 0) == float_bytes(policy.reference.parameters())
    assert found.get("value_network", 0) == float_bytes(trunk)
    assert found["gradients"] == float_bytes(p for _, p in policy.trained()) - head
    assert found["chosen"] == float_bytes(policy.copy_weights().values())
    optimizer = make_optimizer(policy, config.update)
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    states = [value for state in optimizer.state.values() for key, value in state.items() if key != "step"]
    assert found["moments"] == float_bytes(states) - 2 * head


def kept_bytes(layers: int) -> tuple[int, LlamaConfig]:
    """What a forward pass of 3 sequences of 7 tokens keeps for its gradient, parameters not counted."""
    config = LlamaConfig(
        vocab_size=50, hidden_size=48, intermediate_size=80, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    policy = Policy(LlamaForCausalLM(config))
    own = {p.untyped_storage().data_ptr() for p in policy.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _alive = policy.top(torch.randint(0, 50, (3, 7)), None)
    return sum(found.values()), config


def test_activations_are_what_autograd_keeps_of_a_layer() -> None:
    (few, config), (many, _config) = kept_bytes(2), kept_bytes(5)
    shape = shape_of(json.loads(config.to_json_string()))

    assert footprint.activations(shape, layers=3, tokens=3 * 7) == many - few


def memory(**settings: Any) -> int:
    return total(ppo_memory(Models(SMOLLM2, SMOLLM2), PPOConfig(**settings), PromptData([30] * 20, [30] * 4)))


def test_memory_follows_what_learns() -> None:
    order = [
        memory(lora=LoRAConfig(rank=8), train_layers=4),
        memory(train_layers=4),
        memory(train_layers=4, value_network="separate"),
        memory(),
        memory(update=UpdateConfig(average_decay=0.9)),
        memory(value_network="separate"),
    ]

    assert order == sorted(set(order))
    assert memory(update=UpdateConfig(micro_batch_size=2)) < memory(update=UpdateConfig(micro_batch_size=8))
    assert memory(rollout_weights="bfloat16") - memory() == 2 * SMOLLM2.total


def test_what_is_certain_depends_on_no_batch_and_is_less_than_the_whole() -> None:
    models, data = Models(SMOLLM2, SMOLLM2), PromptData([30] * 20, [30] * 4)
    large = PPOConfig(update=UpdateConfig(micro_batch_size=16))
    small = replace(large, update=UpdateConfig(micro_batch_size=1), max_new_tokens=4)

    bounds = {certain(ppo_memory(models, config, known)) for config in (large, small) for known in (data, None)}

    # Policy, gradients and two moments, in float32.
    assert bounds == {4 * 4 * SMOLLM2.total}
    assert total(ppo_memory(models, small, data)) > bounds.pop()


def test_what_is_only_read_counts_all_the_time_unless_it_is_mapped() -> None:
    models, data = Models(SMOLLM2, SMOLLM2), PromptData([30] * 20, [30] * 4)
    adapters = PPOConfig(lora=LoRAConfig(rank=4), train_layers=2, update=UpdateConfig(micro_batch_size=1))

    for known in (data, None):
        held, mapped = (total(ppo_memory(models, PPOConfig(), known, maps_weights=maps)) for maps in (False, True))
        assert held - mapped == 4 * 2 * SMOLLM2.total
    assert "reward_model" in {part.name for part in ppo_memory(models, adapters)}


def test_a_run_that_measures_much_peaks_while_it_measures() -> None:
    config = PPOConfig(train_layers=1, eval_answers_per_prompt=64, answers_per_step=2, max_new_tokens=400)

    parts = {part.name for part in ppo_memory(Models(SMOLLM2, SMOLLM2), config, PromptData([100] * 4, [100] * 64))}

    assert "cache" in parts
    assert not parts & {"gradients", "activations"}


def benchmark(**settings: Any) -> Estimate:
    """The work of benchmarks/ppo_step.py, which has no reward model and chooses no weights."""
    nothing = Shape(vocabulary=1, width=1, layers=0, heads=1, kv_heads=1, head_size=1, inner=1, is_tied=True)
    config = PPOConfig(
        steps=1, answers_per_step=8, max_new_tokens=32, update=UpdateConfig(epochs=4, micro_batch_size=8), **settings
    )
    found = estimate_ppo(Models(SMOLLM2, nothing), config, PromptData([16] * 8, [16]), SPEED)
    return Estimate(parts=[part for part in found.parts if part.name != "chosen"], phases=found.phases)


@pytest.mark.parametrize(
    ("side", "settings"), [("ours", {}), ("ours_separate", {"value_network": "separate"})], ids=["shared", "separate"]
)
def test_the_benchmark_was_as_large_and_as_slow_as_estimated(side: str, settings: dict[str, Any]) -> None:
    measured, found = MEASURED["rows"][side], benchmark(**settings)

    assert found.memory_bytes / 2**20 == pytest.approx(measured["peak_rss_mib"], rel=0.25)
    assert found.phases is not None
    seconds = {phase.name: phase.seconds for phase in found.phases}
    for phase in ("act", "judge", "learn"):
        assert 1 / 1.5 < seconds[phase] / measured["phases"][phase] < 1.5, phase


def test_dpo_and_sft_were_as_large_as_estimated() -> None:
    """Runs on the demo's model and answers: 95 tokens where nothing was left out, 74 where max_tokens said so."""
    pairs = PairData([Pair(95, 82)] * 100, [Pair(95, 82)] * 10)
    short = PairData([Pair(74, 63)] * 100, [Pair(74, 63)] * 10)
    answers = AnswerData([95] * 58, [80] * 20)

    found = [
        estimate_dpo(SMOLLM2, DPOConfig(), pairs, None),
        estimate_dpo(SMOLLM2, DPOConfig(), short, None),
        estimate_sft(SMOLLM2, SFTConfig(), answers, None),
    ]

    assert [each.memory_bytes / 2**20 for each in found] == [
        pytest.approx(measured, rel=0.25) for measured in (5485, 5035, 3818)
    ]


def test_measuring_dpo_on_held_out_pairs_counts_as_often_as_it_is_done() -> None:
    data = PairData([Pair(90, 90)] * 160, [Pair(90, 90)] * 50)

    def evaluating(every: int) -> float:
        phases = estimate_dpo(SMOLLM2, DPOConfig(eval_every=every), data, SPEED).phases
        assert phases is not None
        return next(phase.seconds for phase in phases if phase.name == "evaluate")

    # Ten steps: after every fourth and at the end, after every fifth, or at the end alone.
    assert evaluating(4) == pytest.approx(3 * evaluating(11))
    assert evaluating(5) == pytest.approx(2 * evaluating(11))
