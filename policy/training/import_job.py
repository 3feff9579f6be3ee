"""The run that turns a model URI into a model directory; the caller has checked that the URI may be read."""

from __future__ import annotations

from policy.training.fetch import fetch
from policy.training.sample_config import ImportConfig
from reward.training.configuration import from_dict
from reward.training.outcome import Outcome
from reward.training.rundir import RunDirectory


def import_model(run: RunDirectory) -> Outcome:
    """Fetch, convert and check the model; its directory is the artifact `model`."""
    config = from_dict(ImportConfig, run.spec.config)
    run.progress("fetch", 0, 1, "models")
    target = run.artifact_path("model")
    fetch(config.uri, target)
    run.progress("fetch", 1, 1, "models")
    return Outcome(artifacts={"model": target})
