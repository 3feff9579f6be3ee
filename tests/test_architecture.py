"""The direction of the rooms, where the import linter cannot look or must be run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.db import models

PROJECT = Path(__file__).resolve().parent.parent
MAY_POINT_AT = {
    "accounts": {"accounts"},
    "annotation": {"accounts", "annotation"},
    "runs": {"accounts", "runs"},
    "reward": {"accounts", "annotation", "runs", "reward"},
    "policy": {"accounts", "annotation", "runs", "reward", "policy"},
    "config": {"accounts", "annotation", "runs", "reward", "policy", "config"},
}
FRAMEWORK = {"auth", "contenttypes"}


def relations() -> list[tuple[str, type[models.Model]]]:
    """Every foreign key and many-to-many of our own models: its name as app.Model.field, and the model it points at."""
    return [
        (f"{model._meta.label}.{field.name}", field.related_model)
        for model in apps.get_models()
        if model._meta.app_label in MAY_POINT_AT
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many)
        if isinstance(field.related_model, type)
    ]


def test_no_foreign_key_points_up() -> None:
    found = relations()
    assert len(found) > 20

    up = [
        f"{name} -> {target._meta.label}"
        for name, target in found
        if target._meta.app_label not in MAY_POINT_AT[name.split(".")[0]] | FRAMEWORK
    ]

    assert up == []


@pytest.mark.parametrize(
    "loads",
    [
        "import config.wsgi; from django.urls import get_resolver; get_resolver().url_patterns",
        "import django; django.setup(); from config.celery import app; app.loader.import_default_modules()",
        "import reward.training.config, policy.training.config",
        "import reward.training, policy.training",
    ],
    ids=["web", "worker", "configurations", "packages"],
)
def test_torch_stays_out_until_a_run_needs_it(loads: str) -> None:
    script = f"{loads}\nimport sys\nprint(sorted({{'torch', 'transformers'}} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([linter, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "5 kept, 0 broken" in done.stdout
