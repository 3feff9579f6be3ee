"""Code in the colours of its language, by Pygments' classes; `static/css/code.css` says which colour a class is."""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Iterator

from markdown_it.common.utils import escapeHtml
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import STANDARD_TYPES, Text

MAX_CHARACTERS = 8_000
"""Of one block; a longer one stays plain."""
MAX_SECONDS = 0.1
"""Of one block; what is left by then stays plain. Some lexers' patterns take quadratic time over hostile code."""
LANGUAGES = {
    *("bash", "c", "c++", "c#", "clojure", "css", "dart", "diff", "docker", "elixir", "erlang", "fortran", "go"),
    *("graphql", "haskell", "html", "http", "java", "javascript", "json", "julia", "kotlin", "lua", "make"),
    *("nginx", "objective-c", "perl", "php", "powershell", "python", "r", "ruby", "rust", "scala"),
    *("scheme", "sql", "swift", "tex", "toml", "typescript", "xml", "yaml"),
}
"""One name of each. All were tried with hostile code; `ini`, `matlab` and `ocaml` hang in one match and stay out."""
CLASSES = {name for name in STANDARD_TYPES.values() if name}

_formatter = HtmlFormatter(nowrap=True)


def highlighted(code: str, language: str) -> str:
    """The code as HTML: spans with Pygments' classes where the fence names a language that is known, else plain."""
    lexer = _lexer(language.lower()) if len(code) <= MAX_CHARACTERS else None
    if lexer is None:
        return escapeHtml(code)
    html = io.StringIO()
    _formatter.format(_tokens(lexer, code), html)
    # The formatter ends the last line even where the code does not.
    return html.getvalue() if code.endswith("\n") else html.getvalue().removesuffix("\n")


def _tokens(lexer: Lexer, code: str) -> Iterator[tuple[object, str]]:
    deadline = time.monotonic() + MAX_SECONDS
    end = 0
    for start, kind, value in lexer.get_tokens_unprocessed(code):
        end = start + len(value)
        yield kind, value
        if time.monotonic() > deadline:
            break
    if end < len(code):
        yield Text, code[end:]


@functools.cache
def _known() -> dict[str, str]:
    """Every alias of the known languages, with the first one; no lexer is loaded before it is needed."""
    lexers = [aliases for _name, aliases, _patterns, _types in get_all_lexers(plugins=False)]
    return {alias: aliases[0] for aliases in lexers if LANGUAGES.intersection(aliases) for alias in aliases}


@functools.lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    name = _known().get(language)
    return get_lexer_by_name(name, stripnl=False, ensurenl=False) if name else None
