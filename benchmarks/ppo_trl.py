"""TRL 1.12.0's PPOTrainer on the work of ppo_work.py, in an environment of its own (pip install trl==1.12.0).

TRL wants a tokenizer with a padding token, a reward model in the form of a classifier and a value model, so it gets a
vocabulary of numbers, a module whose hidden states are the running share of even ids, and a copy of the policy with a
scalar head.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from transformers.modeling_outputs import BaseModelOutput

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ppo_work import Told, Work, device_name, prompts, typical, write
from benchmarks.usage import cpu_seconds, peak_rss_mib


class EvenShare(nn.Module):
    """The running share of even ids of the last `length` tokens, as hidden states [B, T, 1]."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> BaseModelOutput:
        even = ((input_ids % 2 == 0) & attention_mask.bool()).float()
        even[:, : -self.length] = 0
        return BaseModelOutput(hidden_states=(even.cumsum(1)[..., None] / self.length,))


class ScriptedReward(nn.Module):
    """What TRL takes for a reward model: a backbone by the name of `base_model_prefix`, and `score`."""

    base_model_prefix = "model"

    def __init__(self, length: int) -> None:
        super().__init__()
        self.model = EvenShare(length)
        self.score = nn.Identity()


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Scores, KL and the time since the log before, at every log."""

    def __init__(self) -> None:
        self.score: list[float] = []
        self.kl: list[float] = []
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.last = (time.monotonic(), cpu_seconds())

    def on_log(self, *_: Any, logs: dict[str, Any] | None = None, **__: Any) -> None:
        if not logs or "objective/scores" not in logs:
            return
        now = (time.monotonic(), cpu_seconds())
        self.wall.append(now[0] - self.last[0])
        self.cpu.append(now[1] - self.last[1])
        self.score.append(float(logs["objective/scores"]))
        self.kl.append(float(logs["objective/kl"]))
        self.last = now


class GenerationClock:
    """Wall-clock seconds of each call of TRL's `batch_generation`."""

    def __init__(self, module: Any) -> None:
        self.seconds: list[float] = []
        original = module.batch_generation

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.monotonic()
            found = original(*arguments, **named)
            self.seconds.append(time.monotonic() - started)
            return found

        module.batch_generation = timed


def number_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Padding lies outside the model's vocabulary: it can never be drawn, and TRL masks it before the embedding."""
    specials = {"unk_token": "t0", "eos_token": "t1", "bos_token": "t3", "pad_token": f"t{vocabulary}"}
    words = {f"t{i}": i for i in range(vocabulary + 1)}
    model = Tokenizer(models.WordLevel(words, unk_token=specials["unk_token"]))
    return PreTrainedTokenizerFast(tokenizer_object=model, padding_side="left", **specials)


def train(work: Work, folder: Path, output: str) -> Told:
    """Run TRL with accumulation and mini-batches of 1, as its other settings do not do what they say."""
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for _ in range(2))
    value = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    vocabulary = int(policy.config.vocab_size)
    tokenizer = number_tokenizer(vocabulary)
    for model in (policy, reference, value):
        model.config.pad_token_id = tokenizer.pad_token_id
    data = Dataset.from_dict({"input_ids": prompts(work, vocabulary)})
    on_cpu = work.device == "cpu"
    config = PPOConfig(
        output_dir=output, per_device_train_batch_size=work.batch, gradient_accumulation_steps=1, num_mini_batches=1,
        num_ppo_epochs=work.epochs, total_episodes=work.batch * work.steps,
        local_rollout_forward_batch_size=work.batch, response_length=work.new_tokens, temperature=1.0,
        learning_rate=work.learning_rate, lr_scheduler_type="constant", kl_coef=work.kl_coefficient,
        missing_eos_penalty=None, stop_token=None, num_sample_generations=0, logging_steps=1, report_to=[],
        gradient_checkpointing=False, bf16=work.bfloat16, use_cpu=on_cpu, seed=work.seed, save_strategy="no",
        eval_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    recorder, generation = Recorder(), GenerationClock(ppo_trainer)
    trainer = PPOTrainer(
        args=config, processing_class=tokenizer, model=policy, ref_model=reference,
        reward_model=ScriptedReward(work.new_tokens), value_model=value, train_dataset=data,
        eval_dataset=data.select(range(8)), callbacks=[recorder],
    )  # fmt: skip
    recorder.last = (time.monotonic(), cpu_seconds())
    trainer.train()
    act = typical(generation.seconds)
    return Told(
        score=recorder.score, kl_nats_per_sequence=recorder.kl, cpu_seconds=recorder.cpu, seconds=recorder.wall,
        peak_rss_mib=peak_rss_mib(), peak_device_mib=None if on_cpu else torch.cuda.max_memory_allocated() / 2**20,
        phases={"act": act, "rest": typical(recorder.wall) - act},
        device=device_name(work),
        versions={name: version(name) for name in ("trl", "transformers", "torch", "accelerate")},
    )  # fmt: skip


def main() -> None:
    given = json.loads(sys.argv[1])
    write(train(Work(**given["work"]), Path(given["folder"]), str(Path(given["out"]).parent / "trl")), given["out"])


if __name__ == "__main__":
    main()
