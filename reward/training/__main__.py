"""`python -m reward.training RUN_DIR`: the process that the launcher starts."""

from __future__ import annotations

import sys

from reward.training.entry import Handler, main

# Each loads torch: only once the run directory is locked.


def _train() -> Handler:
    from reward.training.job import train_reward_model

    return train_reward_model


def _explain() -> Handler:
    from reward.training.explain_job import explain_answer

    return explain_answer


def _score() -> Handler:
    from reward.training.score_job import score_answers

    return score_answers


LOADERS = {"reward.train": _train, "reward.explain": _explain, "reward.score": _score}

if __name__ == "__main__":
    sys.exit(main(sys.argv, LOADERS))
