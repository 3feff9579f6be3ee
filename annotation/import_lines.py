"""Reading an import line by line: every fault gets its line number, a code and a sentence; pure, no database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.text import check_json, check_text
from annotation.answers import check_answer, check_num_answers
from annotation.prompts import Message, canonical_messages, checked_language
from annotation.submission import check_rank, check_seconds, check_strength, dense

LINE_KEYS = frozenset({"prompt", "category", "language", "skill", "split", "completions", "rankings", "role", "gold"})
ANSWER_KEYS = frozenset({"text", "source", "id", "empty"})
RANKING_KEYS = frozenset({"labeler", "ranks", "order", "none_acceptable", "strength", "seconds"})
GOLD_KEYS = frozenset({"ranks", "explanation"})
MAX_ERRORS = 100
NAME_MAX_CHARACTERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAnswer:
    text: str
    source: str
    name: str
    """What `order` calls it: its id, else its number from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRanking:
    labeler: str
    ranks: tuple[int | None, ...]
    """[answers] dense; None: unrankable."""
    none_acceptable: bool = False
    strength: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineGold:
    role: str
    """gold or training"""
    ranks: tuple[int | None, ...]
    """[answers] 1 is best; None: not checked."""
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    number: int
    messages: list[Message]
    category: str = ""
    language: str = ""
    skill: str = ""
    split: str | None = None
    answers: tuple[LineAnswer, ...] = ()
    rankings: tuple[LineRanking, ...] = ()
    gold: LineGold | None = None
    """The known order of the answers; then they are no ordinary task."""


@dataclass(slots=True)
class Faults:
    """The faults found so far; the first `MAX_ERRORS` are kept, all are counted."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    num: int = 0

    def add(self, line: int, refused: Refused) -> None:
        self.num += 1
        if len(self.kept) < MAX_ERRORS:
            self.kept.append({"line": line, "code": refused.code, "message": refused.message})


def split_lines(data: Iterable[bytes] | bytes) -> Iterable[bytes]:
    """Lines by newline only: U+2028 and the like are legal inside JSON."""
    return data.split(b"\n") if isinstance(data, bytes) else data


def read_lines(data: Iterable[bytes] | bytes, faults: Faults) -> list[Line]:
    """Return the lines that are sound; the faults of the others are added to `faults`. Blank lines are passed over."""
    lines = []
    for number, raw in enumerate(split_lines(data), start=1):
        if not raw.strip():
            continue
        try:
            lines.append(read_line(number, raw))
        except Refused as refused:
            faults.add(number, refused)
    return lines


def read_line(number: int, raw: bytes) -> Line:
    """Return one line.

    Raises:
        Refused: not_utf8, broken_json, unknown_key, prompt_missing, split_unknown, rankings_without_answers,
            language_unknown, known_order_invalid and the codes of what it calls.
    """
    row = _object(_parsed(raw, is_first=number == 1), LINE_KEYS, what=_("The line"))
    if "prompt" not in row:
        raise Refused(_('The line has no "prompt".'), code="prompt_missing")
    check_json(row, what=_("The line"), max_characters=2**31)
    messages = canonical_messages(row["prompt"])
    split = row.get("split")
    if split is not None and split not in ("train", "validation", "test"):
        raise Refused(_("The split must be train, validation or test."), code="split_unknown")
    answers = _answers(_list(row, "completions"))
    rankings = _list(row, "rankings")
    if rankings and not answers:
        raise Refused(_("There are rankings and no answers."), code="rankings_without_answers")
    return Line(
        number=number,
        messages=messages,
        category=check_text(row.get("category") or "", what=_("The category"), max_characters=60, is_required=False),
        language=checked_language(row.get("language") or ""),
        skill=check_text(row.get("skill") or "", what=_("The skill"), max_characters=60, is_required=False),
        split=split,
        answers=answers,
        rankings=_rankings(rankings, answers),
        gold=_gold(row, answers),
    )


def _gold(row: dict[str, Any], answers: Sequence[LineAnswer]) -> LineGold | None:
    role, given = row.get("role", "work"), row.get("gold")
    if given is None and role == "work":
        return None
    if given is None or role not in ("gold", "training") or row.get("rankings") or not answers:
        raise Refused(
            _('A known order needs "role" gold or training, "gold" with its ranks, answers and no rankings.'),
            code="known_order_invalid",
        )
    gold = _object(given, GOLD_KEYS, what=_("A known order"))
    explanation = check_text(
        gold.get("explanation") or "", what=_("The explanation"), max_characters=4000, is_required=False
    )
    return LineGold(role=role, ranks=_ranks(gold.get("ranks"), answers), explanation=explanation)


def _parsed(raw: bytes, *, is_first: bool) -> object:
    try:
        text = raw.decode("utf-8-sig" if is_first else "utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            _("The line is not UTF-8: byte %(byte)d is wrong.") % {"byte": error.start + 1}, code="not_utf8"
        ) from None
    if "\x00" in text:
        raise Refused(_("The line holds a NUL byte; remove it."), code="nul_byte")
    try:
        parsed: object = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise Refused(
            _("The line is not JSON: %(why)s at character %(column)d.") % {"why": error.msg, "column": error.colno},
            code="broken_json",
        ) from None
    except (RecursionError, ValueError):
        # Nested without end, or a number of thousands of digits.
        raise Refused(_("The line is not JSON that can be read."), code="broken_json") from None
    return parsed


def _no_constant(name: str) -> NoReturn:
    raise Refused(_("%(name)s is not a JSON number.") % {"name": name}, code="broken_json")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused(_("The line names a key twice."), code="broken_json")
    return found


def _object(value: object, keys: frozenset[str], *, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(_("%(what)s must be a JSON object.") % {"what": what}, code="not_an_object")
    unknown = sorted(set(value) - keys)
    if unknown:
        raise Refused(
            _("%(what)s has an unknown key %(key)s; known are %(known)s.")
            % {"what": what, "key": ascii(unknown[0][:40]), "known": ", ".join(sorted(keys))},
            code="unknown_key",
        )
    return value


def _list(row: dict[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(_('"%(key)s" must be a list.') % {"key": key}, code="not_a_list")
    return value


def _answers(values: Sequence[object]) -> tuple[LineAnswer, ...]:
    if not values:
        return ()
    check_num_answers(len(values))
    answers = tuple(_answer(value, index) for index, value in enumerate(values))
    if len({answer.name for answer in answers}) < len(answers):
        raise Refused(_("Two answers have the same id."), code="duplicate_answer")
    return answers


def _answer(value: object, index: int) -> LineAnswer:
    if not isinstance(value, dict):
        value = {"text": value}
    row = _object(value, ANSWER_KEYS, what=_("An answer"))
    source, name = row.get("source") or "file", row.get("id", index)
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    return LineAnswer(
        text=_answer_text(row),
        source=check_text(source, what=_("A source"), max_characters=NAME_MAX_CHARACTERS),
        name=check_text(name, what=_("An id"), max_characters=NAME_MAX_CHARACTERS),
    )


def _answer_text(row: dict[str, Any]) -> str:
    """A model may answer with nothing, and people judge that too; a text left out by mistake is still a fault."""
    is_empty = row.get("empty", False)
    if not isinstance(is_empty, bool):
        raise Refused(_('"empty" must be true or false.'), code="empty_invalid")
    if not is_empty:
        return check_answer(row.get("text"))
    if row.get("text", "") != "":
        raise Refused(
            _("An answer is said to be empty and has a text; leave out one of the two."), code="empty_invalid"
        )
    return ""


def _rankings(values: Sequence[object], answers: Sequence[LineAnswer]) -> tuple[LineRanking, ...]:
    rankings = tuple(_ranking(value, answers) for value in values)
    if len({ranking.labeler for ranking in rankings}) < len(rankings):
        raise Refused(_("A labeler ranks the same answers twice."), code="labeler_twice")
    return rankings


def _ranking(value: object, answers: Sequence[LineAnswer]) -> LineRanking:
    row = _object(value, RANKING_KEYS, what=_("A ranking"))
    if ("ranks" in row) == ("order" in row):
        raise Refused(_('A ranking needs either "ranks" or "order".'), code="ranks_invalid")
    ranks = _ranks(row["ranks"], answers) if "ranks" in row else _from_order(row["order"], answers)
    none_acceptable = row.get("none_acceptable", False)
    if not isinstance(none_acceptable, bool):
        raise Refused(_('"none_acceptable" must be true or false.'), code="ranks_invalid")
    if all(rank is None for rank in ranks) and not none_acceptable:
        raise Refused(_("A ranking ranks no answer."), code="ranking_incomplete")
    check_strength(row.get("strength"), num_answers=len(answers))
    check_seconds(row.get("seconds"))
    return LineRanking(
        labeler=check_text(row.get("labeler"), what=_("The labeler"), max_characters=NAME_MAX_CHARACTERS),
        ranks=ranks,
        none_acceptable=none_acceptable,
        strength=row.get("strength"),
        seconds=row.get("seconds"),
    )


def _ranks(values: object, answers: Sequence[LineAnswer]) -> tuple[int | None, ...]:
    if not isinstance(values, list) or len(values) != len(answers):
        raise Refused(
            _('"ranks" must hold one rank for each of the %(num)d answers.') % {"num": len(answers)},
            code="ranking_incomplete",
        )
    for rank in values:
        check_rank(rank)
    return tuple(dense(values))


def _from_order(values: object, answers: Sequence[LineAnswer]) -> tuple[int | None, ...]:
    """Ranks from ids (or numbers from 0), best first; a list among them is a tie."""
    if not isinstance(values, list):
        raise Refused(_('"order" must be a list of answers, the best first.'), code="ranks_invalid")
    ranks: dict[str, int] = {}
    for place, entry in enumerate(values, start=1):
        for name in entry if isinstance(entry, list) else [entry]:
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise Refused(_('"order" must name answers by id or number.'), code="ranks_invalid")
            if str(name) in ranks:
                raise Refused(_("The ranking names an answer twice; name each one once."), code="ranking_duplicate")
            ranks[str(name)] = place
    names = [answer.name for answer in answers]
    if set(ranks) - set(names):
        raise Refused(_("The ranking names an answer that is not in this line."), code="ranking_foreign_completion")
    if len(ranks) < len(names):
        raise Refused(_("The ranking misses an answer."), code="ranking_incomplete")
    return tuple(dense([ranks[name] for name in names]))
