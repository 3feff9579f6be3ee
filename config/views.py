from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static

from accounts.access import workspaces_of
from accounts.http import Request
from annotation.access import campaigns_seen_by
from annotation.overview import with_progress
from annotation.queries import work_for
from annotation.states import CampaignState
from policy.access import checkpoints_seen_by, studies_seen_by
from policy.services import win_rate
from reward.access import reward_models_seen_by
from runs.queries import run_list
from runs.states import FINISHED


@login_required
def home(request: Request) -> HttpResponse:
    """What waits for this person, by role."""
    context: dict[str, Any] = {"work": work_for(request.user)}
    if workspaces_of(request.user).exists():
        campaigns = campaigns_seen_by(request.user).exclude(state=CampaignState.ARCHIVED)
        runs = list(run_list(request.user)[:6])
        study = studies_seen_by(request.user).first()
        context |= {
            "campaigns": with_progress(campaigns)[:8],
            "runs": runs,
            "is_live": any(run.state not in FINISHED for run in runs),
            "checkpoints": checkpoints_seen_by(request.user).order_by("-pk")[:5],
            "version": reward_models_seen_by(request.user).first(),
            "study": study,
            "result": win_rate(study) if study else None,
        }
    return render(request, "home.html" + ("#recent-runs" if request.htmx else ""), context)


def favicon(request: HttpRequest) -> HttpResponse:
    """For whoever asks without reading the page: the mark that the page names."""
    return redirect(static("img/mark.svg"))


def health(request: HttpRequest) -> HttpResponse:
    """200 while the database answers; for load balancers and `manage.py up`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})
