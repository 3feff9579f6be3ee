"""An answer: what people said of it, how reward models score it, and which of its words a score comes from."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.access import RESEARCHES, roles_of
from accounts.http import Request
from annotation.models import Completion
from reward import completion_page
from reward.access import get_completion, get_reward_model
from reward.explanations import start_explanation


@login_required
@require_GET
def completion_detail(request: Request, public_id: UUID) -> HttpResponse:
    completion = get_completion(request.user, public_id)
    template = "reward/completion_detail.html" + ("#explanations" if request.htmx else "")
    return render(request, template, _detail(request, completion))


def _detail(request: Request, completion: Completion) -> dict[str, Any]:
    rows = completion_page.version_rows(completion)
    asked = [row for row in rows if row.explanation is not None]
    named = [row for row in asked if str(row.version.public_id) == request.GET.get("version")]
    done = [row for row in asked if row.explanation is not None and row.explanation.payload is not None]
    chosen = next(iter([*named, *done, *asked]), None)
    heat_map = None
    if chosen is not None and chosen.explanation is not None:
        heat_map = completion_page.heat_map(chosen.explanation, completion)
    return {
        "completion": completion,
        "campaign": completion.prompt.campaign,
        "places": completion_page.places(completion),
        "rows": rows,
        "has_spread": any(row.spread is not None for row in rows),
        "chosen": chosen,
        "heat_map": heat_map,
        "is_live": any(row.explanation is not None and row.explanation.is_live for row in rows),
        "may_explain": bool(roles_of(request.user, completion.prompt.campaign.workspace) & set(RESEARCHES)),
    }


@login_required
@require_POST
def completion_explain(request: Request, public_id: UUID) -> HttpResponse:
    completion = get_completion(request.user, public_id, do=True)
    version = get_reward_model(request.user, request.POST.get("version", ""))
    start_explanation(version=version, completion=completion, by=request.user)
    return redirect(f"{reverse('reward:completion-detail', args=[public_id])}?version={version.public_id}#scores")
