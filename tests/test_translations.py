"""Every text of pages and code has its German, and the compiled catalogue is the one that can be read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.utils import formats, translation
from django.utils.translation.template import templatize

from tools.messages import catalogues, texts_of_code

PROJECT = Path(__file__).resolve().parent.parent
IN_TEMPLATE = re.compile(r"""\b_?(?:n?gettext|_)\((u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")""")
PLACEHOLDER = re.compile(r"%%?\(\w+\)[-.\d]*[a-z]|%[ds]")
TAG = re.compile(r"</?[a-z][^>]*>")
CATALOGUES = catalogues()


def texts_of_templates() -> set[str]:
    """Django's own step before xgettext: a template as calls of gettext."""
    found: set[str] = set()
    for path in (PROJECT / "templates").rglob("*.html"):
        code = templatize(path.read_text("utf-8"), origin=str(path))
        found |= {ast.literal_eval(text) for text in IN_TEMPLATE.findall(code)}
    return found


@pytest.mark.parametrize("path", CATALOGUES, ids=str)
def test_every_text_is_translated(path: Path) -> None:
    known = {entry.msgid for entry in polib.pofile(str(path)).translated_entries()}
    code, templates = texts_of_code(), texts_of_templates()
    assert len(code) > 300
    assert len(templates) > 300

    assert sorted((code | templates) - known) == [], "run `make messages` and translate these"


@pytest.mark.parametrize("path", CATALOGUES, ids=str)
def test_no_translation_is_a_guess(path: Path) -> None:
    catalogue = polib.pofile(str(path))

    assert [entry.msgid for entry in catalogue.fuzzy_entries() + catalogue.untranslated_entries()] == []


@pytest.mark.parametrize("path", CATALOGUES, ids=str)
def test_a_translation_keeps_placeholders_and_tags(path: Path) -> None:
    pairs = [
        (original, translated)
        for entry in polib.pofile(str(path)).translated_entries()
        for original, translated in (
            [(entry.msgid, entry.msgstr_plural[0]), (entry.msgid_plural, entry.msgstr_plural[1])]
            if entry.msgid_plural
            else [(entry.msgid, entry.msgstr)]
        )
    ]

    assert [
        (original, translated)
        for original, translated in pairs
        for pattern in (PLACEHOLDER, TAG)
        if sorted(pattern.findall(original)) != sorted(pattern.findall(translated))
    ] == []


@pytest.mark.parametrize("path", CATALOGUES, ids=str)
def test_the_compiled_catalogue_is_the_readable_one(path: Path) -> None:
    assert path.with_suffix(".mo").read_bytes() == polib.pofile(str(path)).to_binary(), "run `make messages`"


def test_every_language_but_english_has_a_catalogue() -> None:
    assert {path.parent.parent.name for path in CATALOGUES} == {code for code, _name in settings.LANGUAGES} - {"en"}


@pytest.mark.parametrize("language", [code for code, _name in settings.LANGUAGES])
def test_figures_are_written_alike_in_every_language(language: str) -> None:
    """Charts, CSV and the places in drawings have a point; a comma on the page beside them would be another number."""
    with translation.override(language):
        assert formats.localize(0.5) == "0.5"
