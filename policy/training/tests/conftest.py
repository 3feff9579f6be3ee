"""A tiny random Llama and a scripted reward; run directories on a tiny model: whole PPO runs in seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from policy.training.tests.runs import TINY_PPO, write_prompts, write_run
from reward.training.packing import Prefixed
from reward.training.reward_model import RewardModel
from tests.tiny import build_tiny_model

VOCABULARY = 64
EOS = 1


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # two threads that share a busy core wait for each other most of the time


def build_llama(*, seed: int = 0, layers: int = 2, tied: bool = True) -> LlamaForCausalLM:
    """Grouped-query heads, so that keys are shared; weights large enough that answers differ."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=EOS,
        pad_token_id=2,
        tie_word_embeddings=tied,
        initializer_range=0.1,
    )
    return LlamaForCausalLM(config).float().eval()


@pytest.fixture
def llama() -> LlamaForCausalLM:
    return build_llama()


@pytest.fixture
def prompts() -> list[list[int]]:
    source = torch.Generator().manual_seed(5)
    return [torch.randint(3, VOCABULARY, (n,), generator=source).tolist() for n in (2, 7, 4, 7, 3, 9)]


def even_share(groups: Sequence[Prefixed]) -> Tensor:
    """Score by one head: the share of even ids in an answer. [A, 1]"""
    answers = [answer for group in groups for answer in group.answers]
    return torch.tensor([[sum(token % 2 == 0 for token in answer) / len(answer)] for answer in answers])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"), initializer_range=0.08)


@pytest.fixture(scope="module")
def reward(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reward")
    RewardModel.from_base(base, seed=1).save(folder, meta={})
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, kind: str, inputs: dict[str, Path], config: dict[str, Any]) -> Path:
        return write_run(tmp_path / name, kind, inputs, config)

    return make


@pytest.fixture
def ppo_run(make_run: Callable[..., Path], base: Path, reward: Path, tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "run", *, prompts: Path | None = None, **changes: Any) -> Path:
        prompts = prompts or write_prompts(tmp_path / "prompts.jsonl")
        inputs = {"policy": base, "reward": reward, "prompts": prompts}
        return make_run(name, "policy.ppo", inputs, TINY_PPO | changes)

    return make
