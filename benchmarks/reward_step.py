"""What a reward model's training step costs: ours against TRL's RewardTrainer, on the same groups.

A group is a prompt and K answers that people ranked. Each step trains on one group: all of its pairs, one group of
ours and K(K-1)/2 examples of TRL's, the same optimizer and rate, every parameter, float32. Each side runs in a process
of its own.

    python benchmarks/reward_step.py                          # the shape of SmolLM2-135M, random weights
    python benchmarks/reward_step.py --model stories260K      # the shape of stories260K
    python benchmarks/reward_step.py --model FOLDER --json    # any model of the transformers library
    python benchmarks/reward_step.py --checkpointing          # TRL with gradient checkpointing as well
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.shapes import SHAPES
from benchmarks.usage import cpu_seconds, peak_rss_mib
from reward.training.process import loading

ROOT = Path(__file__).resolve().parent.parent
IDS_IN_USE = 512
SIDES = ("ours", "trl", "trl_checkpointing")


class Example(NamedTuple):
    """A prompt and its answers, best first, as token ids."""

    prompt: list[int]
    answers: list[list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What both sides train on and are measured by."""

    model: str
    groups: int
    heldout: int
    answers: int
    prompt_tokens: int
    answer_tokens: int
    learning_rate: float
    threads: int
    seed: int = 0


class Cost(NamedTuple):
    """One side. CPU-seconds are user and system time of all threads, a step's median over its pairs."""

    cpu_seconds_per_pair: float
    peak_rss_mib: float
    accuracy: float
    steps: int
    seconds: float


def examples(work: Work, vocabulary: int, count: int, *, offset: int) -> list[Example]:
    """Random prompts; an answer with more even token ids is better, so there is something to learn.

    Ids are drawn from a small part of a large vocabulary: of ids that training has not shown nobody can know anything.
    """
    import torch

    vocabulary = min(vocabulary, IDS_IN_USE)
    made = []
    for number in range(count):
        source = torch.Generator().manual_seed(work.seed * 1_000_003 + offset + number)
        prompt = torch.randint(3, vocabulary, (work.prompt_tokens,), generator=source).tolist()
        shares = torch.linspace(0.9, 0.1, work.answers)
        answers = []
        for share in shares:
            even = torch.rand(work.answer_tokens, generator=source) < share
            ids = 2 * torch.randint(2, vocabulary // 2, (work.answer_tokens,), generator=source)
            answers.append((ids + (~even).long()).tolist())
        made.append(Example(prompt, answers))
    return made


def accuracy(scores: Sequence[Sequence[float]]) -> float:
    """Share of pairs whose better answer (the earlier one) has the higher score; a tie counts half."""
    hits = [
        (better > worse) + (better == worse) / 2
        for group in scores
        for better, worse in itertools.combinations(group, 2)
    ]
    return sum(hits) / len(hits)


def build_model(work: Work, folder: Path) -> Path:
    """The folder of the model; a shape's name makes random weights of that shape, whose cost is the same."""
    if work.model not in SHAPES:
        return Path(work.model)
    with loading():
        import torch
        from tokenizers import Tokenizer, models
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(work.seed)
    config = LlamaConfig(**SHAPES[work.model])
    config.pad_token_id, config.eos_token_id = 0, 2
    LlamaForCausalLM(config).save_pretrained(folder)
    specials = {"pad_token": "w0", "unk_token": "w1", "eos_token": "w2"}
    vocabulary = {f"w{i}": i for i in range(config.vocab_size)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=specials["unk_token"]))
    PreTrainedTokenizerFast(tokenizer_object=words, **specials).save_pretrained(folder)
    return folder


def train_ours(work: Work, folder: Path) -> Cost:
    with loading():
        import torch

        from reward.training.config import ObjectiveConfig, RewardConfig
        from reward.training.groups import Answer, Group, Pair
        from reward.training.objective import Objective
        from reward.training.packing import Prefixed
        from reward.training.reward_model import RewardModel
        from reward.training.trainer import Progress, make_optimizer, train

    config = RewardConfig(
        objective=ObjectiveConfig(likelihood="bradley-terry"), groups_per_step=1, groups_per_forward=1,
        warmup_fraction=0.0,
        learning_rate=work.learning_rate, head_learning_rate=work.learning_rate,
    )  # fmt: skip
    model = RewardModel.from_base(folder, seed=work.seed)
    vocabulary = int(model.backbone.config.vocab_size)  # type: ignore[union-attr, arg-type]
    groups = [
        Group(str(number), "train", example.prompt, [Answer(ids, len(ids)) for ids in example.answers],
              [Pair(a, b, 1, 1.0, "people", None) for a, b in itertools.combinations(range(work.answers), 2)])
        for number, example in enumerate(examples(work, vocabulary, work.groups, offset=0))
    ]  # fmt: skip
    steps = train(
        model=model, optimizer=make_optimizer(model, config), groups=groups, config=config, seed=work.seed,
        objective=Objective(config.objective, groups), progress=Progress(),
    )  # fmt: skip
    spent, seconds = timed(steps)
    peak = peak_rss_mib()
    heldout = examples(work, vocabulary, work.heldout, offset=10_000)
    with torch.no_grad():
        scores = [model.score([Prefixed(example.prompt, example.answers)]).tolist() for example in heldout]
    return cost(work, spent, peak, accuracy(scores), seconds)


def train_trl(work: Work, folder: Path, *, checkpointing: bool) -> Cost:
    with loading():
        import torch
        from datasets import Dataset
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
        from trl import RewardConfig, RewardTrainer

    torch.manual_seed(work.seed)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.config.pad_token_id = tokenizer.pad_token_id
    vocabulary = int(model.config.vocab_size)
    rows = [
        {"chosen_ids": example.prompt + example.answers[a], "rejected_ids": example.prompt + example.answers[b]}
        for example in examples(work, vocabulary, work.groups, offset=0)
        for a, b in itertools.combinations(range(work.answers), 2)
    ]
    marks: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.append(cpu_seconds())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            marks.append(cpu_seconds())

    with tempfile.TemporaryDirectory() as output:
        config = RewardConfig(
            output_dir=output, per_device_train_batch_size=num_pairs(work), num_train_epochs=1, max_length=None,
            learning_rate=work.learning_rate, lr_scheduler_type="linear", adam_epsilon=1e-5, max_grad_norm=1.0,
            gradient_checkpointing=checkpointing, bf16=False, use_cpu=True, report_to="none", save_strategy="no",
            logging_strategy="no", disable_tqdm=True, train_sampling_strategy="sequential", disable_dropout=True,
        )  # fmt: skip
        trainer = RewardTrainer(
            model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
            callbacks=[Clock()],
        )  # fmt: skip
        started = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - started
    peak = peak_rss_mib()
    model.eval()
    heldout = examples(work, vocabulary, work.heldout, offset=10_000)
    with torch.no_grad():
        scores = [
            [float(model(input_ids=torch.tensor([example.prompt + ids])).logits) for ids in example.answers]
            for example in heldout
        ]
    return cost(work, [b - a for a, b in itertools.pairwise(marks)], peak, accuracy(scores), seconds)


def timed(steps: Any) -> tuple[list[float], float]:
    started, marks = time.monotonic(), [cpu_seconds()]
    for _ in steps:
        marks.append(cpu_seconds())
    return [b - a for a, b in itertools.pairwise(marks)], time.monotonic() - started


def cost(work: Work, spent: Sequence[float], peak: float, found: float, seconds: float) -> Cost:
    """The first step, which touches memory for the first time, is left out where there are others."""
    median = statistics.median(spent[1:] or spent)
    return Cost(median / num_pairs(work), peak, found, len(spent), seconds)


def num_pairs(work: Work) -> int:
    return work.answers * (work.answers - 1) // 2


def measure(side: str, work: Work, folder: Path) -> dict[str, Any] | None:
    """One side in a process of its own; None where TRL is not installed."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--work", json.dumps(asdict(work))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
        if side == "ours" or "No module named" not in reason:
            sys.exit(f"reward_step.py: {side}: {reason}")
        print(f"left out: {side} ({reason})", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_side(side: str, work: Work, folder: Path) -> None:
    with loading():
        import torch

    torch.set_num_threads(work.threads)
    torch.set_float32_matmul_precision("highest")
    sides: dict[str, Callable[[], Cost]] = {
        "ours": lambda: train_ours(work, folder),
        "trl": lambda: train_trl(work, folder, checkpointing=False),
        "trl_checkpointing": lambda: train_trl(work, folder, checkpointing=True),
    }
    print(json.dumps(sides[side]()._asdict()))


def as_text(work: Work, found: dict[str, dict[str, Any] | None]) -> str:
    lines = [
        f"{work.model}: {work.answers} answers of {work.answer_tokens} tokens to a prompt of {work.prompt_tokens}, "
        f"{num_pairs(work)} pairs a step, float32, {work.threads} threads",
        f"{'':<20}{'CPU s a pair':>14}{'peak MiB':>12}{'accuracy':>12}{'steps':>8}",
    ]
    for side, row in found.items():
        if row is not None:
            lines.append(
                f"{side:<20}{row['cpu_seconds_per_pair']:>14.4f}{row['peak_rss_mib']:>12.0f}"
                f"{row['accuracy']:>12.3f}{row['steps']:>8}"
            )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2", help=f"{', '.join(SHAPES)} (random weights), or a folder")
    parser.add_argument("--groups", type=int, help="training groups, one a step (default: 24, 300 for stories260K)")
    parser.add_argument("--heldout", type=int, default=24, help="groups behind the accuracy (default %(default)s)")
    parser.add_argument("--answers", type=int, default=4, help="answers of a group (default %(default)s)")
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, help="default: 3e-4, 1e-3 for stories260K")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpointing", action="store_true", help="a third row: TRL with gradient checkpointing")
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of the table")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.answers < 2:
        parser.error(f"--answers ({parsed.answers}) must be 2 or more")
    return parsed


def main() -> None:
    options = arguments()
    if options.side:
        run_side(options.side, Work(**json.loads(options.work)), options.folder)
        return
    is_small = options.model == "stories260K"
    work = Work(
        model=options.model, groups=options.groups or (300 if is_small else 24), heldout=options.heldout,
        answers=options.answers, prompt_tokens=options.prompt_tokens, answer_tokens=options.answer_tokens,
        learning_rate=options.learning_rate or (1e-3 if is_small else 3e-4), threads=options.threads,
    )  # fmt: skip
    sides = SIDES if options.checkpointing else SIDES[:2]
    with tempfile.TemporaryDirectory() as made:
        folder = build_model(work, Path(made))
        found = {side: measure(side, work, folder) for side in sides}
    print(json.dumps(found, indent=1) if options.json else as_text(work, found))


if __name__ == "__main__":
    main()
