"""What is known of a run before it begins, in words: the panel on the forms and the API say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.errors import Refused
from accounts.http import Request, form_status
from reward.forms import ConfigForm
from reward.preflight import Preflight

PANEL = "parts/estimate.html"

PARTS: dict[str, str | Promise] = {
    "program": gettext_lazy("Program and libraries"),
    "model": gettext_lazy("Weights of the model"),
    "reward_model": gettext_lazy("Weights of the reward model"),
    "reference": gettext_lazy("Reference: what learns, as it was"),
    "value_network": gettext_lazy("Weights of the value network"),
    "rounded_copy": gettext_lazy("Rounded copy that draws answers"),
    "average": gettext_lazy("Running average of the weights"),
    "gradients": gettext_lazy("Gradients"),
    "moments": gettext_lazy("AdamW’s two moments"),
    "chosen": gettext_lazy("Best weights so far"),
    "activations": gettext_lazy("Activations of one pass"),
    "head": gettext_lazy("Logits, a piece at a time"),
    "cache": gettext_lazy("Keys and values of answers being drawn"),
    "dropped": gettext_lazy("Layers that are read and dropped"),
}
PHASES: dict[str, str | Promise] = {
    "act": gettext_lazy("Drawing answers"),
    "score": gettext_lazy("Scoring them"),
    "judge": gettext_lazy("Probabilities before learning"),
    "probe": gettext_lazy("Linear probe"),
    "learn": gettext_lazy("Learning"),
    "evaluate": gettext_lazy("Measuring on held-out prompts"),
}
NOTICES = {"close": "warning", "exceeds": "error", "cannot_fit": "error"}


class Row(NamedTuple):
    """A part of a whole. share: of 0 to 1."""

    title: str
    said: str
    share: float


def preflight_part(asked: Mapping[str, Any] | None, look: Callable[[Mapping[str, Any]], Preflight]) -> dict[str, Any]:
    """The panel's context.

    Args:
        asked: what the form asks for (`ConfigForm.asked`).
        look: from that to what is known of such a run.
    """
    if asked is None:
        return {"preflight": None}
    try:
        found = look(asked)
    except Refused as error:
        return {"preflight": None, "preflight_refused": error}
    estimate = found.estimate
    parts = [] if estimate is None else estimate.parts
    phases = [] if estimate is None or estimate.phases is None else estimate.phases
    return {
        "preflight": found,
        "preflight_notice": NOTICES.get(found.level, ""),
        "preflight_sentences": sentences(found),
        "memory_rows": _rows([(PARTS[part.name], part.num_bytes) for part in parts], say=lambda n: f"{n / 2**30:.2f}"),
        "time_rows": _rows([(PHASES[phase.name], found.ratio.value * phase.seconds) for phase in phases], say=roughly),
    }


def form_page(request: Request, page: str, form: ConfigForm, refused: Refused | None, **context: Any) -> HttpResponse:
    """The page of a form that starts a run, or only its panel where htmx asked for the estimate."""
    status = form_status(form, refused)
    template = PANEL if request.htmx and wants_estimate(request) else page
    return render(request, template, {**context, "form": form, "refused": refused}, status=status)


def wants_estimate(request: Request) -> bool:
    """Whether the form was sent to be told of, and not to start anything."""
    return "estimate" in request.POST


def sentences(found: Preflight) -> list[str]:
    """What a person should know first."""
    if found.estimate is None:
        return [_("What this run needs is not known: the sizes of its model cannot be told from its config.json.")]
    needed = {"needed": f"{found.estimate.memory_bytes / 2**30:.1f}"}
    if found.machine is None:
        return [
            _("Needs about %(needed)s GiB of memory.") % needed,
            _("No worker has told of its machine yet, so whether that fits and how long it takes is not known."),
        ]
    return [_memory(found) % {**needed, "host": found.machine.host, **_there(found)}, _time(found)]


def _there(found: Preflight) -> dict[str, Any]:
    assert found.estimate is not None
    assert found.machine is not None
    return {
        "there": f"{found.machine.memory_bytes / 2**30:.1f}",
        "reach": f"{found.reach_bytes / 2**30:.1f}",
        "certain": f"{found.estimate.certain_bytes / 2**30:.1f}",
        "remedy": found.remedy,
    }


def _memory(found: Preflight) -> str:
    return {
        "fits": _("Needs about %(needed)s of the %(there)s GiB of memory on %(host)s."),
        "close": _("Needs about %(needed)s of the %(there)s GiB of memory on %(host)s, which is close."),
        "exceeds": _(
            "Needs about %(needed)s GiB of memory, and %(host)s has %(there)s: it may be killed in the middle. Smaller "
            "batches for each pass help, or %(remedy)s."
        ),
        "cannot_fit": _(
            "Cannot fit: %(certain)s GiB are needed in any case, and no machine has more than %(reach)s of memory and "
            "swap together. To make it smaller, %(remedy)s."
        ),
    }[found.level]


def _time(found: Preflight) -> str:
    if found.seconds is None:
        return _("How long it takes is not known: it was not measured for such settings, or there is nothing to read.")
    said = {"time": roughly(found.seconds), "n": found.ratio.num_runs}
    if found.ratio.num_runs:
        return _("Takes about %(time)s, going by how long %(n)d earlier runs took.") % said
    return _("Takes about %(time)s where nothing else runs; earlier runs will correct this.") % said


def _rows(values: Sequence[tuple[str | Promise, float]], *, say: Callable[[float], str]) -> list[Row]:
    whole = sum(value for _title, value in values)
    return [Row(str(title), say(value), value / whole if whole else 0.0) for title, value in values]


def roughly(seconds: float) -> str:
    """A time that is only estimated, with no more digits than it deserves."""
    if seconds < 90:
        return _("%(s)d s") % {"s": round(seconds)}
    if seconds < 90 * 60:
        return _("%(m)d min") % {"m": round(seconds / 60)}
    return _("%(h).1f h") % {"h": seconds / 3600} if seconds < 100 * 3600 else _("%(d)d days") % {"d": seconds // 86400}
