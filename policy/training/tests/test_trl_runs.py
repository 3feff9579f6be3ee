"""Whole DPO and SFT runs through a run directory, on a tiny model: what is learned, told, saved and refused."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from policy.training.dpo_job import NAMES as DPO_NAMES
from policy.training.dpo_job import tune_by_preferences
from policy.training.sft_job import NAMES as SFT_NAMES
from policy.training.sft_job import tune_by_demonstrations
from policy.training.tests.test_metrics_document import documented
from reward.training.files import sha256_of
from reward.training.language_model import encode_prompt, load_policy, load_tokenizer
from reward.training.rundir import Outcome, RunDirectory, Stopped, TrainingRefused
from tests.tiny import DEVICE, build_tiny_model

TUNERS = {"policy.dpo": tune_by_preferences, "policy.sft": tune_by_demonstrations}
BATCH = {"policy.dpo": "pairs_per_step", "policy.sft": "answers_per_step"}
KINDS = pytest.mark.parametrize("kind", sorted(TUNERS))
TUNED: dict[str, Any] = {"epochs": 2, "micro_batch_size": 2, "learning_rate": 1e-2, "eval_every": 4}
LABELER = str(uuid.UUID(int=9))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def group(
    number: int, split: str = "train", outcomes: tuple[int, ...] = (1,), acceptable: bool = True
) -> dict[str, Any]:
    """Two answers, the first one "yes" and, as most say, the better one."""
    said = {"weight": 1.0, "labeler": LABELER}
    return {
        "prompt_id": str(uuid.UUID(int=number)),
        "split": split,
        "messages": [{"role": "user", "content": f"Is {number} a number?"}],
        "completions": [{"text": text, "finish_reason": "stop"} for text in ("yes", "no, never")],
        "pairs": [{"first": 0, "second": 1, "outcome": outcome, "strength": None, **said} for outcome in outcomes],
        "verdicts": [{"answer": 0, "acceptable": acceptable, **said}],
    }


GROUPS = [*(group(n) for n in range(5)), group(5, outcomes=(1, 0)), group(6, "validation"), group(7, "validation")]
"""Six preferences and a tie to learn from, two preferences held out."""


@pytest.fixture
def make_run(tmp_path: Path, base: Path) -> Callable[..., Path]:
    def make(
        kind: str, name: str = "run", *, groups: list[dict[str, Any]] = GROUPS, attempt: int = 1, **changes: Any
    ) -> Path:
        path = tmp_path / name
        path.mkdir()
        lines = path / "groups.jsonl"
        lines.write_text("".join(json.dumps(line) + "\n" for line in groups))
        inputs = {"policy": base, "groups": lines}
        spec = {
            "format": 1, "run": str(uuid.UUID(int=7)), "kind": kind, "attempt": attempt, "seed": 3,
            "config": TUNED | {BATCH[kind]: 2} | changes,
            "inputs": {key: {"path": str(value), "sha256": ""} for key, value in inputs.items()},
            "threads": 1, "device": DEVICE,
        }  # fmt: skip
        (path / "run.json").write_text(json.dumps(spec))
        return path

    return make


def carry_out(path: Path) -> Outcome:
    run = RunDirectory.open(path)
    try:
        return TUNERS[run.spec.kind](run)
    finally:
        run.close()


def told(path: Path, kind: str = "metrics") -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    return [event for event in events if event["type"] == kind]


def test_dpo_learns_to_tell_the_better_answer_on_prompts_it_has_not_seen(make_run: Callable[..., Path]) -> None:
    path = make_run("policy.dpo")

    outcome = carry_out(path)

    first, *_between, last = [e["metrics"] for e in told(path) if "dpo_loss" in e["metrics"]]
    assert first["dpo_loss"] == pytest.approx(0.6931, abs=1e-4)  # policy and reference are the same: ln 2
    assert first["dpo_margin"] == 0
    assert last["dpo_loss"] < 0.5
    assert outcome.metrics["dpo_accuracy_heldout"] == 1
    counts = {name: value for name, value in outcome.metrics.items() if name.startswith("num_")}
    assert counts == {
        "num_train_pairs": 6, "num_heldout_pairs": 2, "num_left_out_ties": 1, "num_left_out_answers": 0, "num_steps": 6
    }  # fmt: skip
    assert {e["code"] for e in told(path, "note")} == {"ties_left_out"}


def test_sft_makes_the_best_answer_likelier_and_learns_no_other(make_run: Callable[..., Path]) -> None:
    unacceptable = group(8, acceptable=False)
    path = make_run("policy.sft", groups=[*GROUPS, unacceptable])

    outcome = carry_out(path)

    name = "sft_loss_heldout_nats_per_token"
    losses = [(e["step"], e["metrics"][name]) for e in told(path) if name in e["metrics"]]
    assert [step for step, _loss in losses] == [4, 6]
    assert losses[1][1] == outcome.metrics[name] < losses[0][1]
    counts = {name: value for name, value in outcome.metrics.items() if name.startswith("num_")}
    assert counts == {
        "num_demonstrations": 6, "num_heldout_demonstrations": 2, "num_left_out_prompts": 1,
        "num_left_out_answers": 0, "num_steps": 6,
    }  # fmt: skip
    assert {e["code"] for e in told(path, "note")} == {"prompts_left_out"}


@KINDS
def test_the_saved_policy_is_safetensors_with_the_parents_tokenizer_and_name(
    make_run: Callable[..., Path], base: Path, kind: str
) -> None:
    path = make_run(kind)

    folder = carry_out(path).artifacts["model"]

    meta = json.loads((folder / "plumbline.json").read_text())
    assert (meta["kind"], meta["base"], meta["trained_by"]) == ("policy", "tiny random Llama", kind)
    assert sha256_of(folder / "tokenizer.json") == sha256_of(base / "tokenizer.json")
    before, after = (load_file(where / "model.safetensors") for where in (base, folder))
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    load_policy(folder)
    pickles = {".bin", ".pt", ".pth", ".pkl", ".pickle"}
    assert not [file for file in path.rglob("*") if file.suffix in pickles]


@KINDS
def test_the_same_seed_gives_the_same_weights(make_run: Callable[..., Path], kind: str) -> None:
    folders = [carry_out(make_run(kind, name)).artifacts["model"] for name in ("one", "two")]

    assert len({sha256_of(folder / "model.safetensors") for folder in folders}) == 1


def test_the_process_that_a_worker_starts_knows_the_kind(make_run: Callable[..., Path]) -> None:
    path = make_run("policy.dpo", epochs=1)

    done = subprocess.run([sys.executable, "-m", "policy.training", str(path)], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    outcome = json.loads((path / "outcome.json").read_text())
    assert (outcome["status"], set(outcome["artifacts"])) == ("succeeded", {"model"})


@KINDS
def test_a_new_attempt_begins_again_and_says_so(make_run: Callable[..., Path], kind: str) -> None:
    whole, cut = make_run(kind, "whole"), make_run(kind, "cut", attempt=2)
    (cut / "events.jsonl").write_text('{"type": "metrics", "time": 1, "step": 1, "metrics": {"stale": 1}}\n')

    expected, found = carry_out(whole), carry_out(cut)

    assert found.metrics == expected.metrics
    assert [e["metrics"] for e in told(cut)] == [e["metrics"] for e in told(whole)]
    assert "restarted" in {e["code"] for e in told(cut, "note")} - {e["code"] for e in told(whole, "note")}


@KINDS
def test_a_cancelled_run_ends_after_its_step_without_an_artifact(make_run: Callable[..., Path], kind: str) -> None:
    path = make_run(kind)
    (path / "control").write_text('{"command": "cancel"}')

    outcome = carry_out(path)

    assert (outcome.status, outcome.artifacts) == ("cancelled", {})
    assert {e["step"] for e in told(path)} == {1}


@KINDS
def test_a_run_stopped_by_its_worker_leaves_no_outcome(make_run: Callable[..., Path], kind: str) -> None:
    run = RunDirectory.open(make_run(kind))
    run.stopping = True

    with pytest.raises(Stopped):
        TUNERS[kind](run)
    run.close()
    assert told(run.path) == []
    assert not (run.path / "outcome.json").exists()


@KINDS
def test_weights_that_are_not_finite_are_refused(make_run: Callable[..., Path], kind: str) -> None:
    with pytest.raises(TrainingRefused, match="lower learning rate") as refusal:
        carry_out(make_run(kind, learning_rate=1e30))
    assert refusal.value.code == "diverged"


def test_a_steps_tokens_are_counted_prompts_included(make_run: Callable[..., Path], base: Path) -> None:
    path = make_run("policy.sft")
    tokenizer = load_tokenizer(base)
    one = len(encode_prompt(tokenizer, GROUPS[0]["messages"]) + tokenizer.encode("yes")) + 1

    carry_out(path)

    assert [e["metrics"]["tokens"] for e in told(path) if "tokens" in e["metrics"]] == [2 * one] * 6


def test_nothing_is_reported_to_the_hub() -> None:
    """TRL tells the Hub which trainer is in use unless this is set."""
    assert constants.HF_HUB_DISABLE_TELEMETRY


def test_sft_without_an_acceptable_best_answer_is_refused(make_run: Callable[..., Path]) -> None:
    groups = [group(1, acceptable=False), group(2, "validation")]

    with pytest.raises(TrainingRefused) as refusal:
        carry_out(make_run("policy.sft", groups=groups))
    assert refusal.value.code == "no_demonstrations"


@pytest.mark.parametrize(
    ("kind", "names", "title"), [("policy.dpo", DPO_NAMES, "DPO"), ("policy.sft", SFT_NAMES, "SFT")]
)
def test_every_metric_of_a_run_is_explained_and_back(
    make_run: Callable[..., Path], kind: str, names: dict[str, str], title: str
) -> None:
    path = make_run(kind)

    outcome = carry_out(path)

    logged = {name for event in told(path) for name in event["metrics"]}
    assert logged == {*names.values(), "tokens"} == documented(f"{title}, per step")
    assert set(outcome.metrics) == documented(f"{title}, of the whole run")
