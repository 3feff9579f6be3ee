"""`python -m reward.training RUN_DIR`: the process that the launcher starts."""

from __future__ import annotations

import sys

from reward.training.entry import main
from reward.training.rundir import Outcome, RunDirectory


def _train(run: RunDirectory) -> Outcome:
    from reward.training.job import train_reward_model  # loads torch: only once the run directory is locked

    return train_reward_model(run)


def _explain(run: RunDirectory) -> Outcome:
    from reward.training.explain_job import explain_answer

    return explain_answer(run)


def _score(run: RunDirectory) -> Outcome:
    from reward.training.score_job import score_answers

    return score_answers(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv, {"reward.train": _train, "reward.explain": _explain, "reward.score": _score}))
