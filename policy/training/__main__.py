"""`python -m policy.training RUN_DIR`: the process that the launcher starts."""

from __future__ import annotations

import sys

from reward.training.entry import main
from reward.training.rundir import Outcome, RunDirectory

# Each handler loads torch: only once the run directory is locked.


def _sample(run: RunDirectory) -> Outcome:
    from policy.training.sample_job import sample_answers

    return sample_answers(run)


def _ppo(run: RunDirectory) -> Outcome:
    from policy.training.ppo_job import train_policy

    return train_policy(run)


def _dpo(run: RunDirectory) -> Outcome:
    from policy.training.dpo_job import tune_by_preferences

    return tune_by_preferences(run)


def _sft(run: RunDirectory) -> Outcome:
    from policy.training.sft_job import tune_by_demonstrations

    return tune_by_demonstrations(run)


def _import(run: RunDirectory) -> Outcome:
    from policy.training.import_job import import_model

    return import_model(run)


if __name__ == "__main__":
    handlers = {"policy.sample": _sample, "policy.ppo": _ppo, "policy.import": _import}
    handlers |= {"policy.dpo": _dpo, "policy.sft": _sft}
    sys.exit(main(sys.argv, handlers, together={"policy.ppo"}))
