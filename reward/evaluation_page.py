"""evaluation.json as the page of a version shows it: sentences, names instead of ids, places in a drawing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.models import Completion, Labeler, Prompt
from reward.models import RewardModel

NUM_SHOWN = 12
WIDTH, HEIGHT = 320, 200
"""Of a drawing's view box."""

VERDICTS: dict[tuple[str, str], Promise] = {
    ("chance", "red"): gettext_lazy("It orders answers no better than a coin."),
    ("chance", "amber"): gettext_lazy("The interval reaches one half: it is not shown to be better than a coin."),
    ("floor_length", "red"): gettext_lazy("It does not beat a rule that only looks at an answer's length."),
    ("floor_length", "amber"): gettext_lazy("It is not shown to beat a rule that only looks at an answer's length."),
    ("floor_bag_of_words", "red"): gettext_lazy("It does not beat a rule that only counts words."),
    ("floor_bag_of_words", "amber"): gettext_lazy("It is not shown to beat a rule that only counts words."),
    ("floor_probe", "red"): gettext_lazy("It does not beat a linear rule on the untrained model's features."),
    ("floor_probe", "amber"): gettext_lazy("It is not shown to beat a linear rule on the untrained model's features."),
    ("length", "red"): gettext_lazy("It follows length more than people do."),
    ("length", "amber"): gettext_lazy("It seems to follow length more than people do."),
}
FLOORS = {
    "length": gettext_lazy("length alone"),
    "bag_of_words": gettext_lazy("words alone"),
    "probe": gettext_lazy("base model's features, linear"),
}
SLICES = {
    "strength": gettext_lazy("By strength"),
    "length_gap": gettext_lazy("By difference in length"),
    "category": gettext_lazy("By category"),
    "labeler": gettext_lazy("By labeler"),
}
LENGTH_GAPS = {
    "0000": gettext_lazy("below 50 characters"),
    "0050": gettext_lazy("50 to 199"),
    "0200": gettext_lazy("200 to 799"),
    "0800": gettext_lazy("800 or more"),
}


class Couple(NamedTuple):
    """A disagreement with its words. value: what the form sends back."""

    prompt: Prompt
    preferred: Completion
    rejected: Completion
    lead: float
    votes_for: int
    votes_against: int
    ties: int

    @property
    def value(self) -> str:
        return f"{self.preferred.public_id} {self.rejected.public_id}"


def evaluation_page(version: RewardModel) -> dict[str, Any]:
    """The context of the page's parts; empty where the version has no evaluation. Three queries."""
    found = version.evaluation
    if not found:
        return {}
    names = _labeler_names(found)
    return {
        "evaluation": found,
        "verdicts": [
            {"level": verdict["level"], "sentence": VERDICTS[verdict["code"], verdict["level"]]}
            for verdict in found["verdicts"]
            if (verdict["code"], verdict["level"]) in VERDICTS
        ],
        "floors": [{"label": FLOORS[name], **floor} for name, floor in found["floors"].items() if name in FLOORS],
        "diagram": _diagram(found["calibration"]["bins"]),
        "slices": [
            {"title": SLICES[name], "rows": _slice_rows(name, rows, names)}
            for name, rows in found["slices"].items()
            if name in SLICES and (len(rows) > 1 or (rows and rows[0]["name"]))
        ],
        "histogram": _histogram(found["scores"]),
        "labelers": [{**row, "name": names.get(row["labeler"], row["labeler"][:8])} for row in found["labelers"]],
        "num_doubtful": sum(row.get("is_doubtful", False) for row in found["labelers"]),
        "couples": _couples(found["disagreements"]),
    }


def _labeler_names(found: dict[str, Any]) -> dict[str, str]:
    ids = [row["labeler"] for row in found["labelers"]]
    return {str(labeler.public_id): labeler.name for labeler in Labeler.objects.filter(public_id__in=ids)}


def _slice_rows(kind: str, rows: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, Any]]:
    known: dict[str, Mapping[str, Any]] = {"length_gap": LENGTH_GAPS, "labeler": names}
    labels = known.get(kind, {})
    unnamed = {"strength": _("not stated"), "category": _("without a category")}.get(kind, "")
    return [{**row, "label": labels.get(row["name"], row["name"]) or unnamed} for row in rows]


def _diagram(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points of a reliability diagram: confidence from 1/2 to 1 against accuracy from 0 to 1."""
    total = sum(each["num_pairs"] for each in bins) or 1
    return [
        {
            **each,
            "x": f"{(each['confidence'] - 0.5) * 2 * WIDTH:.1f}",
            "y": f"{(1 - each['accuracy']) * HEIGHT:.1f}",
            "r": f"{3 + 14 * (each['num_pairs'] / total) ** 0.5:.1f}",
        }
        for each in bins
        if each["num_pairs"]
    ]


def _histogram(scores: dict[str, list[float]]) -> list[dict[str, str]]:
    """Bars of the held-out answers, with the training answers as a line on each."""
    tallest = max([*scores["train"], *scores["heldout"]]) or 1
    step = WIDTH / len(scores["train"])
    return [
        {
            "x": f"{number * step:.1f}",
            "x2": f"{(number + 1) * step:.1f}",
            "width": f"{step - 1:.1f}",
            "y": f"{HEIGHT * (1 - heldout / tallest):.1f}",
            "height": f"{HEIGHT * heldout / tallest:.1f}",
            "line": f"{HEIGHT * (1 - train / tallest):.1f}",
        }
        for number, (train, heldout) in enumerate(zip(scores["train"], scores["heldout"], strict=True))
    ]


def _couples(rows: list[dict[str, Any]]) -> list[Couple]:
    """The worst disagreements whose answers are still there."""
    shown = rows[:NUM_SHOWN]
    ids = {row[side] for row in shown for side in ("preferred", "rejected")}
    answers = Completion.objects.select_related("prompt").filter(public_id__in=ids)
    by_id = {str(answer.public_id): answer for answer in answers}
    told = ("lead", "votes_for", "votes_against", "ties")
    return [
        Couple(preferred.prompt, preferred, rejected, *(row[name] for name in told))
        for row in shown
        if (preferred := by_id.get(row["preferred"])) and (rejected := by_id.get(row["rejected"]))
    ]
