"""When a run should end before its last step, told by what it does on the validation prompts.

The reward model is only right near what it was trained on (Gao et al. 2022, arXiv:2210.10760): a policy that pleases it
by other means stops improving where it is not trained, or drifts in length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from policy.training.config import GuardConfig
from policy.training.evaluate import Evaluation

LENGTH = "eval_response_tokens_mean"


class Alarm(NamedTuple):
    """Why a run ends. code: for machines; message: one sentence for people."""

    code: str
    message: str


@dataclass(slots=True)
class Guard:
    """Looks at every evaluation; `since_best` counts those after the chosen one."""

    config: GuardConfig
    since_best: int = 0

    def look(self, evaluation: Evaluation, *, first: Evaluation, is_best: bool) -> Alarm | None:
        """Count an evaluation and say what is wrong with it, if anything.

        Args:
            first: the evaluation before the first step.
            is_best: whether its weights were chosen.
        """
        self.since_best = 0 if is_best else self.since_best + 1
        return self._length(evaluation, first) or self._reward(evaluation)

    def _reward(self, evaluation: Evaluation) -> Alarm | None:
        patience = self.config.patience_evaluations
        if patience is None or self.since_best < patience:
            return None
        message = (
            f"No better weights in the last {self.since_best} evaluations; training ends after step {evaluation.step}."
        )
        return Alarm("no_progress", message)

    def _length(self, evaluation: Evaluation, first: Evaluation) -> Alarm | None:
        limit = self.config.length_factor
        start, now = first.values[LENGTH], evaluation.values[LENGTH]
        if limit is None or start / limit <= now <= start * limit:
            return None
        message = (
            f"Answers to validation prompts went from {start:.1f} to {now:.1f} tokens, by more than a factor of "
            f"{limit:g}; training ends after step {evaluation.step}."
        )
        return Alarm("length_drift", message)
