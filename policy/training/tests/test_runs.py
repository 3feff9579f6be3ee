"""Whole runs through a run directory, on a tiny model: sampling, PPO, resume, refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from policy.training.config import LoRAConfig
from policy.training.evaluate import Evaluation, SampledAnswer, evaluate
from policy.training.sample_job import sample_answers
from policy.training.sharding import shard
from policy.training.tests.conftest import build_llama
from policy.training.tests.runs import TEXTS, TINY_PPO, carry_out, told, write_prompts
from policy.training.tests.test_trl_runs import GROUPS, group
from policy.training.trunk import Policy
from reward.training.files import sha256_of
from reward.training.language_model import decode, load_tokenizer
from reward.training.ranks import Ranks
from reward.training.reward_model import RewardModel
from reward.training.rundir import TrainingRefused
from tests.tiny import build_tiny_model

ROOT = Path(__file__).parents[3]


def test_artifact_holds_the_weights_with_the_best_validation_reward(ppo_run: Callable[..., Path], base: Path) -> None:
    path = ppo_run()
    outcome = carry_out(path)

    rewards = {e["step"]: e["metrics"]["eval_reward"] for e in told(path) if "eval_reward" in e.get("metrics", {})}
    assert set(rewards) == {0, 2, 4, 6}
    best = max(rewards, key=lambda step: rewards[step])
    assert outcome.metrics["best_step"] == best
    assert outcome.metrics["eval_reward_best"] == rewards[best] > rewards[0] == outcome.metrics["eval_reward_first"]
    meta = json.loads((path / "artifacts/model/plumbline.json").read_text())
    assert (meta["kind"], meta["base"], meta["ppo_step"]) == ("policy", "tiny random Llama", best)
    assert sha256_of(path / "artifacts/model/tokenizer.json") == sha256_of(base / "tokenizer.json")


def test_run_beyond_the_kl_leash_ends_with_the_last_weights_within(ppo_run: Callable[..., Path], base: Path) -> None:
    kl = {"coefficient": 0.0, "leash_kl_nats_per_sequence": 1e-6, "stop_update_nats_per_token": None}
    path = ppo_run(kl=kl)
    outcome = carry_out(path)

    assert outcome.metrics["best_step"] == 0
    assert (outcome.metrics["num_steps"] or 0) in range(1, 6)
    assert "kl_leash" in {e.get("code") for e in told(path)}
    saved, start = (load_file(folder / "model.safetensors") for folder in (path / "artifacts/model", base))
    assert all(torch.equal(saved[name], start[name]) for name in start)


def test_answers_to_the_same_validation_prompts_are_told_at_every_evaluation(
    ppo_run: Callable[..., Path], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[SampledAnswer] = []

    def listening(*args: Any, **named: Any) -> tuple[Evaluation, list[SampledAnswer]]:
        evaluation, samples = evaluate(*args, **named)
        drawn.extend(samples)
        return evaluation, samples

    monkeypatch.setattr("policy.training.ppo_job.evaluate", listening)
    path = ppo_run(keep={"samples": 1})
    carry_out(path)

    samples = [event for event in told(path) if event["type"] == "sample"]

    # Of the prompts, the first four are for training; only the first of the two others is shown.
    assert [(s["step"], s["index"], s["prompt"]) for s in samples] == [(n, 0, TEXTS[4]) for n in (0, 2, 4, 6)]
    tokenizer = load_tokenizer(base)
    assert [s["text"] for s in samples] == [decode(tokenizer, answer.token_ids) for answer in drawn]
    assert [s["values"] for s in samples] == [answer.values for answer in drawn]
    assert samples[0]["values"]["kl_nats_per_sequence"] == 0
    assert len({s["text"] for s in samples}) > 1


def test_samples_can_be_switched_off(ppo_run: Callable[..., Path]) -> None:
    path = ppo_run(keep={"samples": 0}, steps=1)
    carry_out(path)

    assert "sample" not in {event["type"] for event in told(path)}


def test_test_prompt_in_training_is_refused(ppo_run: Callable[..., Path], tmp_path: Path) -> None:
    leaky = write_prompts(tmp_path / "leaky.jsonl", ("train", "train", "validation", "test"))

    with pytest.raises(TrainingRefused, match=r"1 test prompts .* win rates only") as refusal:
        carry_out(ppo_run(prompts=leaky))
    assert refusal.value.code == "test_prompt"


def test_reward_model_with_another_tokenizer_is_refused(
    make_run: Callable[..., Path], base: Path, tmp_path: Path
) -> None:
    other = build_tiny_model(tmp_path / "other", vocab_size=270)
    RewardModel.from_base(other, seed=1).save(tmp_path / "reward", meta={})
    inputs = {"policy": base, "reward": tmp_path / "reward", "prompts": write_prompts(tmp_path / "p.jsonl")}

    with pytest.raises(TrainingRefused, match="different tokenizers"):
        carry_out(make_run("run", "policy.ppo", inputs, TINY_PPO))


def test_disagreement_of_one_head_cannot_be_penalised_and_of_two_is_told(
    make_run: Callable[..., Path], base: Path, reward: Path, tmp_path: Path
) -> None:
    RewardModel.from_base(base, seed=1, heads=2).save(tmp_path / "ensemble", meta={})
    prompts = write_prompts(tmp_path / "p.jsonl")
    settings = TINY_PPO | {"credit": {"disagreement_penalty": 1.0}}

    with pytest.raises(TrainingRefused, match="one head") as refusal:
        carry_out(make_run("one", "policy.ppo", {"policy": base, "reward": reward, "prompts": prompts}, settings))
    assert refusal.value.code == "one_head"

    path = make_run(
        "two", "policy.ppo", {"policy": base, "reward": tmp_path / "ensemble", "prompts": prompts}, settings
    )
    assert carry_out(path).status == "succeeded"
    by_step = [event["metrics"] for event in told(path) if event["type"] == "metrics"]
    assert all(m.get("reward_disagreement", m.get("eval_reward_disagreement")) > 0 for m in by_step)


def imitating(path: Path, groups: list[dict[str, Any]]) -> Path:
    """The run with people's best answers mixed into its updates."""
    (path / "groups.jsonl").write_text("".join(json.dumps(line) + "\n" for line in groups))
    spec = json.loads((path / "run.json").read_text())
    spec["inputs"]["groups"] = {"path": str(path / "groups.jsonl"), "sha256": ""}
    spec["config"]["update"] = TINY_PPO["update"] | {"imitation_coefficient": 5.0}
    (path / "run.json").write_text(json.dumps(spec))
    return path


def test_best_answers_of_the_snapshot_are_imitated_and_told(ppo_run: Callable[..., Path]) -> None:
    path = imitating(ppo_run(), GROUPS)

    assert carry_out(path).status == "succeeded"

    losses = [e["metrics"].get("imitation_loss_nats_per_token") for e in told(path) if e["type"] == "metrics"]
    losses = [loss for loss in losses if loss is not None]
    assert len(losses) == TINY_PPO["steps"]
    assert losses[-1] < losses[0] / 2


def test_where_nobody_preferred_anything_there_is_nothing_to_imitate(ppo_run: Callable[..., Path]) -> None:
    torn = [group(0, outcomes=(1, -1)), group(1, "validation")]

    with pytest.raises(TrainingRefused, match="nothing to imitate") as refusal:
        carry_out(imitating(ppo_run(), torn))
    assert refusal.value.code == "no_demonstrations"


ACCELERATE = "accelerate.commands.launch --num_processes 2 --num_cpu_threads_per_process 1"
LAUNCHERS = {
    "torchrun": "torch.distributed.run --standalone --nproc-per-node=2",
    # On CPUs too: with --cpu accelerate 1.15 starts one process, whatever the number.
    "replicated": f"{ACCELERATE} --config_file deploy/accelerate/replicated.yaml",
    "fsdp": f"{ACCELERATE} --config_file deploy/accelerate/fsdp.yaml",
}


def launched(path: Path, launcher: str) -> None:
    """The run as a worker starts it where RUN_LAUNCH names the launcher."""
    command = [sys.executable, "-m", *LAUNCHERS[launcher].split(), "-m", "policy.training", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_of_a_run_leave_what_one_leaves(ppo_run: Callable[..., Path]) -> None:
    alone, together = ppo_run("alone", steps=3), ppo_run("together", steps=3)
    expected = carry_out(alone)

    launched(together, "replicated")

    assert "2 processes train together." in {event.get("message") for event in told(together)}
    outcome = json.loads((together / "outcome.json").read_text())
    assert outcome["status"] == "succeeded"
    assert outcome["metrics"] == {name: pytest.approx(value, abs=2e-3) for name, value in expected.metrics.items()}
    assert [(e["step"], e["index"]) for e in told(together) if e["type"] == "sample"] == [
        (step, index) for step in (0, 2, 3) for index in (0, 1)
    ], "the first process alone tells"
    one, two = (load_file(path / "artifacts/model/model.safetensors") for path in (alone, together))
    assert all(torch.allclose(one[name], two[name], atol=1e-3) for name in one)
    assert [event["step"] for event in told(together) if event["type"] == "metrics"] == [
        event["step"] for event in told(alone) if event["type"] == "metrics"
    ]


@pytest.mark.slow
def test_sharded_processes_go_on_from_a_checkpoint_of_one_and_leave_the_files_that_it_leaves(
    ppo_run: Callable[..., Path],
) -> None:
    settings = {"steps": 4, "update": TINY_PPO["update"] | {"average_decay": 0.5}}
    alone, together = ppo_run("alone", **settings), ppo_run("together", **settings)
    expected = carry_out(alone)
    shutil.copytree(alone / "checkpoints/step-000002", together / "checkpoints/step-000002")

    launched(together, "fsdp")

    assert "2 processes train together, each with its share of the transformer layers." in {
        event.get("message") for event in told(together)
    }
    outcome = json.loads((together / "outcome.json").read_text())
    assert outcome["metrics"] == {name: pytest.approx(value, abs=2e-3) for name, value in expected.metrics.items()}
    names = {path.relative_to(alone) for path in alone.rglob("*.safetensors")}
    assert {path.relative_to(together) for path in together.rglob("*.safetensors")} == names
    assert {path.name for path in names} >= {"trained.safetensors", "optimizer.safetensors", "average.safetensors"}
    for name in names:
        one, two = (load_file(path / name) for path in (alone, together))
        assert one.keys() == two.keys()
        assert all(torch.allclose(one[tensor], two[tensor], atol=1e-3) for tensor in one), name


def test_sharded_layers_with_adapters_are_refused() -> None:
    policy = Policy(build_llama(), lora=LoRAConfig(rank=2))

    with pytest.raises(TrainingRefused, match="LoRA cannot be combined") as refusal:
        shard(policy, ranks=Ranks(0, 2, sharded=True), device="cpu")
    assert refusal.value.code == "sharded_adapters"


@pytest.mark.slow
def test_a_kind_that_knows_no_ranks_is_the_first_processs_alone(
    make_run: Callable[..., Path], base: Path, tmp_path: Path
) -> None:
    inputs = {"prompts": write_prompts(tmp_path / "p.jsonl"), "model_0": base}
    path = make_run("sampling", "policy.sample", inputs, {"sources": ["checkpoint:a"], "max_new_tokens": 4})

    launched(path, "torchrun")

    assert json.loads((path / "outcome.json").read_text())["status"] == "succeeded"


def test_cancelled_run_ends_at_a_step_without_an_artifact(ppo_run: Callable[..., Path]) -> None:
    path = ppo_run()
    (path / "control").write_text('{"command": "cancel"}')

    outcome = carry_out(path)

    assert outcome.status == "cancelled"
    assert not outcome.artifacts
    assert {e["step"] for e in told(path) if e["type"] == "metrics"} == {0, 1}


def test_sampling_writes_every_answer_of_every_model_once(
    make_run: Callable[..., Path], base: Path, tmp_path: Path
) -> None:
    other = build_tiny_model(tmp_path / "other", seed=5, initializer_range=0.08)
    inputs = {"prompts": write_prompts(tmp_path / "p.jsonl"), "model_0": base, "model_1": other}
    sources = ["checkpoint:a", "checkpoint:b"]
    config = {"per_prompt": 3, "sources": sources, "max_new_tokens": 5}
    path = make_run("run", "policy.sample", inputs, config)

    outcome = carry_out(path, sample_answers)

    rows = [json.loads(line) for line in outcome.artifacts["completions"].read_text().splitlines()]
    tokenizer = load_tokenizer(base)
    keys = [(row["source"], row["prompt_id"], row["sample_index"]) for row in rows]
    expected = {(s, str(uuid.UUID(int=p)), i) for s in sources for p in range(6) for i in range(3)}
    assert len(keys) == len(set(keys)) == 36
    assert set(keys) == expected
    for row in rows:
        assert row["text"] == decode(tokenizer, row["token_ids"])
        assert row["finish_reason"] == ("stop" if row["token_ids"][-1] == tokenizer.eos_id else "length")
        assert row["tokenizer_sha256"] == tokenizer.sha256
    assert len({tuple(row["token_ids"]) for row in rows}) > 30


def test_sources_that_do_not_match_the_models_are_refused(
    make_run: Callable[..., Path], base: Path, tmp_path: Path
) -> None:
    inputs = {"prompts": write_prompts(tmp_path / "p.jsonl"), "model_0": base}
    path = make_run("run", "policy.sample", inputs, {"sources": ["checkpoint:a", "checkpoint:b"]})

    with pytest.raises(TrainingRefused, match="1 models but names 2 sources"):
        carry_out(path, sample_answers)


@pytest.mark.parametrize(
    ("line", "code"),
    [("{", "bad_prompts"), ('{"id": 1}', "bad_prompts"), ("", "no_prompts"),
     ('{"id": 1, "split": "train", "messages": [{"role": "user", "content": "%s"}]}' % ("a" * 600), "prompt_too_long")],
)  # fmt: skip
def test_prompts_that_cannot_be_used_are_refused(
    ppo_run: Callable[..., Path], tmp_path: Path, line: str, code: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(f"{line}\n" if line else "")

    with pytest.raises(TrainingRefused) as refusal:
        carry_out(ppo_run(prompts=bad))
    assert refusal.value.code == code
