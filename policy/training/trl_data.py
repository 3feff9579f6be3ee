"""What TRL's trainers learn from, out of groups.jsonl and as token ids: sampled answers keep the tokens they had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from reward.training.groups import Group

IGNORED = -100
"""A label that the loss passes over."""


class Preference(NamedTuple):
    """A prompt with the better and the worse of two answers, each with EOS unless it was cut off."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


class Demonstration(NamedTuple):
    """A prompt with an answer to imitate; labels are its tokens, and IGNORED in the prompt."""

    input_ids: list[int]
    labels: list[int]


def stated_preferences(groups: Iterable[Group]) -> list[Preference]:
    """One for every labeler's word on two answers; a tie says nothing to DPO."""
    found = []
    for group in groups:
        for pair in group.pairs:
            if pair.outcome == 0:
                continue
            first, second = group.answers[pair.first].tokens, group.answers[pair.second].tokens
            sides = (first, second) if pair.outcome > 0 else (second, first)
            found.append(Preference(group.prompt, *sides))
    return found


def best_answers(group: Group) -> list[int]:
    """Places of the answers with the most wins less losses, where that is above 0, without those found unacceptable.

    Every labeler's word counts with its weight. Several answers share the first place where their numbers are equal.
    An answer counts as unacceptable when at least as many said so as said the opposite; nobody need have said either.
    """
    balance = [0.0] * len(group.answers)
    approval: dict[int, float] = {}
    for pair in group.pairs:
        balance[pair.first] += pair.outcome * pair.weight
        balance[pair.second] -= pair.outcome * pair.weight
    for verdict in group.verdicts:
        sign = verdict.weight if verdict.acceptable else -verdict.weight
        approval[verdict.answer] = approval.get(verdict.answer, 0.0) + sign
    best = max(balance)
    return [i for i, net in enumerate(balance) if net == best > 0 and approval.get(i, 1.0) > 0]


def demonstrations(groups: Sequence[Group]) -> tuple[list[Demonstration], int]:
    """The best answers of every prompt and those that labelers wrote, and how many prompts have neither."""
    found, num_without = [], 0
    for group in groups:
        imitated = [group.answers[index].tokens for index in best_answers(group)]
        imitated += [answer.tokens for answer in group.demonstrations]
        num_without += not imitated
        for answer in imitated:
            found.append(Demonstration(group.prompt + answer, [IGNORED] * len(group.prompt) + answer))
    return found, num_without
