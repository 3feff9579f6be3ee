"""What may stand in the HTML of a text: an allow-list, so that what nobody thought of falls away."""

from __future__ import annotations

import re

from annotation.richtext.highlighting import CLASSES as CODE_CLASSES

MATHEMATICS = {
    *("math", "mrow", "mi", "mo", "mn", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"),
    *("munder", "mover", "munderover", "mmultiscripts", "mprescripts", "none", "mtable", "mtr", "mtd", "mstyle"),
    *("mpadded", "mphantom", "menclose"),
}
"""No `maction`, `semantics` or `annotation-xml`, in which other markup could hide."""
TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "blockquote", "span"),
    *("ul", "ol", "li", "div", "table", "thead", "tbody", "tr", "th", "td"),
    *MATHEMATICS,
}
BLOCKS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "table", "pre", "code", "div")
ALIGNMENTS = {"left", "center", "right"}
CLASSES = {
    "span": {"inert-link", "formula", *CODE_CLASSES},
    "div": {"scroll", "plain"},
    **dict.fromkeys(("th", "td"), ALIGNMENTS),
}

LENGTH = re.compile(r"[+-]?(?:[0-2]?\.\d+|[0-2])(?:em)?|0")
"""Up to 3 em: more would push a formula over what stands beside it."""
VALUES = {
    "display": re.compile("block|inline"),
    "mathvariant": re.compile("normal|bold|italic|bold-italic|double-struck|script|fraktur|sans-serif|monospace"),
    "columnalign": re.compile("(?:left|center|right)(?: (?:left|center|right))*"),
    "scriptlevel": re.compile(r"[+-]?[0-2]"),
    "notation": re.compile("[a-z ]{1,60}"),
    **dict.fromkeys(("width", "height", "depth", "lspace", "rspace", "voffset", "minsize", "maxsize"), LENGTH),
    "linethickness": LENGTH,
    **dict.fromkeys(
        ("stretchy", "fence", "separator", "movablelimits", "accent", "accentunder", "displaystyle"),
        re.compile("true|false"),
    ),
    "form": re.compile("prefix|infix|postfix"),
    "dir": re.compile("auto|ltr"),
    "tabindex": re.compile("0"),
    "start": re.compile(r"\d{1,9}"),
}
"""What the value of an attribute must be, whole. Colours are not among them: they could hide what is written."""
ATTRIBUTES = {
    **{tag: set(VALUES) - {"dir", "tabindex", "start"} for tag in MATHEMATICS},
    **{tag: {"dir"} for tag in BLOCKS},
    "ol": {"dir", "start"},
    "math": {"dir", "display"},
    "pre": {"dir", "tabindex"},
    "div": {"dir", "tabindex"},
    "span": {"tabindex"},
}


def only_harmless(tag: str, attribute: str, value: str) -> str | None:
    """The attribute's value, or None where it is not one of those above; nh3 has looked at classes itself."""
    known = VALUES.get(attribute)
    if known is None:
        return value
    return value if known.fullmatch(value) else None
