"""`python -m policy.training RUN_DIR`: the process that the launcher starts."""

from __future__ import annotations

import sys

from reward.training.entry import Handler, main

# Each loads torch: only once the run directory is locked.


def _sample() -> Handler:
    from policy.training.sample_job import sample_answers

    return sample_answers


def _ppo() -> Handler:
    from policy.training.ppo_job import train_policy

    return train_policy


def _dpo() -> Handler:
    from policy.training.dpo_job import tune_by_preferences

    return tune_by_preferences


def _sft() -> Handler:
    from policy.training.sft_job import tune_by_demonstrations

    return tune_by_demonstrations


def _import() -> Handler:
    from policy.training.import_job import import_model

    return import_model


if __name__ == "__main__":
    loaders = {"policy.sample": _sample, "policy.ppo": _ppo, "policy.import": _import}
    loaders |= {"policy.dpo": _dpo, "policy.sft": _sft}
    sys.exit(main(sys.argv, loaders, together={"policy.ppo"}))
