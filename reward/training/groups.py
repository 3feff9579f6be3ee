"""groups.jsonl as training reads it: a prompt, its answers as token ids, and what labelers said about pairs of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from reward.training.language_model import Tokenizer, encode_prompt
from reward.training.packing import Prefixed
from reward.training.rundir import RunDirectory, TrainingRefused

SPLITS = ("train", "validation")
SHOWN_PROBLEMS = 3


class Pair(NamedTuple):
    """One labeler's word on two answers. outcome: 1 first preferred, 0 tie, -1 second preferred. strength: 1..4."""

    first: int
    second: int
    outcome: int
    weight: float
    labeler: str
    strength: int | None


class Verdict(NamedTuple):
    """One labeler's word on one answer by itself: is it acceptable?"""

    answer: int
    acceptable: bool
    weight: float
    labeler: str


class Answer(NamedTuple):
    """One answer. tokens: the response's ids, with EOS unless it was cut off. characters: length of what people saw."""

    tokens: list[int]
    characters: int
    id: str = ""


class Group(NamedTuple):
    """A prompt with its answers; the pairs point into them."""

    prompt_id: str
    split: str
    prompt: list[int]
    answers: list[Answer]
    pairs: list[Pair]
    verdicts: list[Verdict] = []
    category: str = ""
    demonstrations: list[Answer] = []
    """Answers that labelers wrote themselves: to imitate, not to compare."""

    def prefixed(self) -> Prefixed:
        """The prompt once, with every answer."""
        return Prefixed(self.prompt, [answer.tokens for answer in self.answers])


class Dataset(NamedTuple):
    """num_left_out: answers longer than max_tokens together with their prompt; their pairs went with them."""

    train: list[Group]
    heldout: list[Group]
    num_left_out: int


def load_within(run: RunDirectory, model: nn.Module, tokenizer: Tokenizer, *, max_tokens: int) -> Dataset:
    """The run's groups, of prompts with answers of at most max_tokens and of the model's positions; the run is told
    what was left out. Raises what `load_groups` does."""
    limit = min(max_tokens, getattr(model.config, "max_position_embeddings", max_tokens))
    dataset = load_groups(run.input("groups"), tokenizer, max_tokens=limit)
    if dataset.num_left_out:
        message = (
            f"{dataset.num_left_out} answers are longer than {limit} tokens with their prompt and were left out; "
            "raise max_tokens to keep them."
        )
        run.note("answers_left_out", message, level="warning")
    return dataset


class BadLine(ValueError):
    """One line of the file cannot be used; the message says why."""


def load_groups(path: Path, tokenizer: Tokenizer, *, max_tokens: int) -> Dataset:
    """Read and check groups.jsonl.

    Raises:
        TrainingRefused: `bad_groups` (with line numbers), `too_few_rankings` (nothing to train on), `no_heldout_pairs`,
            `prompt_in_both_splits`.
    """
    fitted = [_leave_out_long(group, max_tokens) for group in read_groups(path, tokenizer)]
    groups, num_left_out = [group for group, _dropped in fitted], sum(dropped for _group, dropped in fitted)
    _refuse_leak(groups)
    train = [group for group in groups if group.split == "train" and (group.pairs or group.verdicts)]
    heldout = [group for group in groups if group.split == "validation" and any(p.outcome for p in group.pairs)]
    left_out = f" ({num_left_out} answers over {max_tokens} tokens were left out)" if num_left_out else ""
    if not any(pair.outcome for group in train for pair in group.pairs):
        message = (
            f"There are too few rankings to train on: no preference between two answers to a training prompt{left_out}."
        )
        raise TrainingRefused(f"{message} Collect rankings on training prompts first.", code="too_few_rankings")
    if not heldout:
        message = (
            f"No answers to validation prompts are ranked{left_out}, so nothing that is trained could be measured."
        )
        raise TrainingRefused(f"{message} Collect rankings on validation prompts first.", code="no_heldout_pairs")
    return Dataset(train, heldout, num_left_out)


def read_groups(path: Path, tokenizer: Tokenizer) -> list[Group]:
    """Every line of groups.jsonl, judged or not. Raises TrainingRefused (`bad_groups`, with line numbers)."""
    groups: list[Group] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, line in _lines(path):
        try:
            group = read_group(json.loads(line), tokenizer)
            if group.prompt_id in seen:
                raise BadLine(f"prompt {group.prompt_id} stands on line {seen[group.prompt_id]} already")
        except (ValueError, RecursionError) as error:
            problems.append(f"line {number}: {error}")
            continue
        seen[group.prompt_id] = number
        groups.append(group)
    if problems:
        more = f" and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        message = f"The file of answers cannot be used: {'; '.join(problems[:SHOWN_PROBLEMS])}{more}."
        raise TrainingRefused(message, code="bad_groups")
    return groups


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def read_group(data: Any, tokenizer: Tokenizer) -> Group:
    """A line of groups.jsonl, checked. Raises BadLine."""
    if not isinstance(data, dict):
        raise BadLine("not a JSON object")
    split = data.get("split")
    if split not in SPLITS:
        raise BadLine(f"split is {split!r}, not one of {', '.join(SPLITS)}")
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadLine("messages must be a list of at least one message")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadLine("every message needs a role and a content")
        _text("content", message.get("content"))
    completions = data.get("completions")
    if not isinstance(completions, list) or not completions:
        raise BadLine("completions must be a list of at least one answer")
    answers = [_answer(completion, tokenizer) for completion in completions]
    pairs = data.get("pairs")
    if not isinstance(pairs, list):
        raise BadLine("pairs must be a list")
    checked = [_pair(pair, len(answers)) for pair in pairs]
    prompt = encode_prompt(tokenizer, messages)
    used = [pair for pair in checked if pair.weight > 0]
    verdicts = data.get("verdicts", [])
    if not isinstance(verdicts, list):
        raise BadLine("verdicts must be a list")
    judged = [_verdict(verdict, len(answers)) for verdict in verdicts]
    category = _text("category", data.get("category", ""))
    written = data.get("demonstrations", [])
    if not isinstance(written, list):
        raise BadLine("demonstrations must be a list")
    demonstrations = [_answer(each, tokenizer) for each in written]
    name = _text("prompt_id", data.get("prompt_id"))
    return Group(name, split, prompt, answers, used, judged, category, demonstrations)


def _answer(data: Any, tokenizer: Tokenizer) -> Answer:
    if not isinstance(data, dict):
        raise BadLine("a completion is not a JSON object")
    text = _text("text", data.get("text"))
    name = _text("id", data.get("id", ""))
    ids = data.get("token_ids")
    if ids and data.get("tokenizer_sha256") == tokenizer.sha256:
        if not all(type(i) is int and 0 <= i < len(tokenizer.hf) for i in ids):
            raise BadLine(f"token_ids must be whole numbers from 0 to {len(tokenizer.hf) - 1}")
        return Answer(list(ids), len(text), name)
    ending = [] if data.get("finish_reason") == "length" else [tokenizer.eos_id]
    tokens = tokenizer.encode(text) + ending
    if not tokens:
        raise BadLine("an answer is empty")
    return Answer(tokens, len(text), name)


def _pair(data: Any, num_answers: int) -> Pair:
    if not isinstance(data, dict):
        raise BadLine("a pair is not a JSON object")
    first, second = _index("first", data, num_answers), _index("second", data, num_answers)
    outcome = data.get("outcome")
    if first == second:
        raise BadLine(f"a pair compares answer {first} with itself")
    if type(outcome) is not int or outcome not in (1, 0, -1):
        raise BadLine(f"outcome is {outcome!r}, not 1, 0 or -1")
    weight = _weight(data)
    strength = data.get("strength")
    if strength is not None and (type(strength) is not int or not 1 <= strength <= 4):
        raise BadLine(f"strength is {strength!r}, not a whole number from 1 to 4")
    return Pair(first, second, outcome, weight, _text("labeler", data.get("labeler")), strength)


def _verdict(data: Any, num_answers: int) -> Verdict:
    if not isinstance(data, dict):
        raise BadLine("a verdict is not a JSON object")
    acceptable = data.get("acceptable")
    if not isinstance(acceptable, bool):
        raise BadLine(f"acceptable is {acceptable!r}, not true or false")
    answer = _index("answer", data, num_answers)
    return Verdict(answer, acceptable, _weight(data), _text("labeler", data.get("labeler")))


def _weight(data: dict[str, Any]) -> float:
    weight = data.get("weight", 1.0)
    if type(weight) not in (int, float) or not math.isfinite(weight) or weight < 0:
        raise BadLine(f"weight is {weight!r}, not a number of at least 0")
    return float(weight)


def _index(name: str, data: dict[str, Any], num_answers: int) -> int:
    index = data.get(name)
    if type(index) is not int or not 0 <= index < num_answers:
        raise BadLine(f"{name} is {index!r}, and there are {num_answers} answers")
    return index


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadLine(f"{name} is {value!r:.40}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadLine(f"{name} holds a lone surrogate, which is not valid text") from None
    return value


def _leave_out_long(group: Group, max_tokens: int) -> tuple[Group, int]:
    """The group without answers over `max_tokens` (prompt included) and their pairs, and how many were left out."""

    def fits(answer: Answer) -> bool:
        return len(group.prompt) + len(answer.tokens) <= max_tokens

    kept = [i for i, answer in enumerate(group.answers) if fits(answer)]
    group = group._replace(demonstrations=[answer for answer in group.demonstrations if fits(answer)])
    if len(kept) == len(group.answers):
        return group, 0
    place = {old: new for new, old in enumerate(kept)}
    pairs = [
        pair._replace(first=place[pair.first], second=place[pair.second])
        for pair in group.pairs
        if pair.first in place and pair.second in place
    ]
    verdicts = [v._replace(answer=place[v.answer]) for v in group.verdicts if v.answer in place]
    fitting = group._replace(answers=[group.answers[i] for i in kept], pairs=pairs, verdicts=verdicts)
    return fitting, len(group.answers) - len(kept)


def _refuse_leak(groups: Sequence[Group]) -> None:
    """The same words must not be trained on and held out, whatever the ids say."""
    seen: dict[str, str] = {}
    for group in groups:
        content = hashlib.sha256(json.dumps(group.prompt).encode()).hexdigest()
        if seen.setdefault(content, group.split) != group.split:
            message = (
                f"The prompt {group.prompt_id} is in the training and in the validation split; "
                "give both copies the same split and freeze the rankings again."
            )
            raise TrainingRefused(message, code="prompt_in_both_splits")
