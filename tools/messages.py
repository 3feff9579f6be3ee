"""Gather the texts of templates and code into locale/, and compile what is translated: run with .venv/bin/python.

Gathering needs GNU gettext (`apt-get install gettext`); without it only the compiling is done. New texts come in
without a translation, and changed ones marked fuzzy: a test names both.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import polib

from config.settings.base import BASE_DIR, LANGUAGE_CODE, LANGUAGES

ROOMS = ("accounts", "annotation", "runs", "reward", "policy", "config")
GETTEXT = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
NOT_OURS = (".venv", "var", "build", "static")


def catalogues() -> list[Path]:
    return sorted(BASE_DIR.glob("locale/*/LC_MESSAGES/django.po"))


def texts_of_code() -> set[str]:
    """What Python files hand to gettext, inside f-strings too, where xgettext does not look."""
    found: set[str] = set()
    for path in (path for room in ROOMS for path in (BASE_DIR / room).rglob("*.py")):
        if {"tests", "migrations"}.intersection(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GETTEXT:
                constants = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
                found |= {value for value in constants if isinstance(value, str)}
    return found


def gather() -> None:
    """xgettext over every template and Python file, merged into each language's catalogue."""
    ignored = [part for name in NOT_OURS for part in ("--ignore", name)]
    languages = [part for name, _title in LANGUAGES if name != LANGUAGE_CODE for part in ("--locale", name)]
    options = ["--no-location", "--no-wrap", "--no-obsolete", *languages, *ignored]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.base"}
    command = [sys.executable, "manage.py", "makemessages", *options]
    subprocess.run(command, cwd=BASE_DIR, env=environment, check=True)


def add_unseen(known: dict[Path, dict[str, polib.POEntry]]) -> None:
    """Put back what xgettext overlooked, with the translation that it had."""
    for path, entries in known.items():
        catalogue = polib.pofile(str(path), wrapwidth=0)
        for text in sorted(texts_of_code() - {entry.msgid for entry in catalogue}):
            catalogue.append(entries.get(text) or polib.POEntry(msgid=text))
        catalogue.save()


def compile_all() -> None:
    for path in catalogues():
        catalogue = polib.pofile(str(path), wrapwidth=0)
        catalogue.save_as_mofile(str(path.with_suffix(".mo")))
        missing = catalogue.untranslated_entries() + catalogue.fuzzy_entries()
        print(f"{path.relative_to(BASE_DIR)}: {len(catalogue)} texts, {len(missing)} to translate")
        for entry in missing:
            print(f"  {entry.msgid!r}")


if __name__ == "__main__":
    if shutil.which("xgettext"):
        before = {path: {entry.msgid: entry for entry in polib.pofile(str(path))} for path in catalogues()}
        gather()
        add_unseen(before)
    else:
        print("GNU gettext is not installed: the texts are not gathered anew, only compiled.")
    compile_all()
