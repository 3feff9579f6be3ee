"""What stands around the task on a labeler's screen: two answers compared, progress, the last rankings, a report."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.http import Request
from annotation import services
from annotation.access import LEASE_WITH_ANSWERS, get_lease, get_own_ranking, get_work
from annotation.desk import said, work_progress
from annotation.ranking_page import compare


@login_required
@require_GET
def lease_compare(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id, LEASE_WITH_ANSWERS)
    comparison = compare(found, request.GET.get("left", ""), request.GET.get("right", ""))
    template = "annotation/compare.html" + ("#compared" if request.htmx else "")
    context = {"lease": found, "campaign": found.task.campaign, "comparison": comparison}
    return render(request, template, context)


@login_required
@require_POST
def lease_report(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id)
    services.report_task(lease=found, kind=request.POST.get("kind", ""), text=request.POST.get("text", ""))
    thanks = _("The manager has it. The task is still yours.")
    if request.htmx:
        return render(request, "annotation/parts/reported.html", {"thanks": thanks})
    messages.success(request, thanks)
    return redirect("annotation:lease", public_id=found.public_id)


@login_required
@require_GET
def work_progress_part(request: Request, public_id: UUID) -> HttpResponse:
    campaign, labeler = get_work(request.user, public_id)
    return render(request, "annotation/parts/progress.html", {"progress": work_progress(campaign, labeler)})


@login_required
@require_GET
def work_recent(request: Request, public_id: UUID) -> HttpResponse:
    campaign, labeler = get_work(request.user, public_id)
    recent = services.recent_rankings(labeler=labeler, campaign=campaign)
    template = "annotation/recent.html" + ("#recent-list" if request.htmx else "")
    return render(request, template, {"campaign": campaign, "recent": [said(ranking) for ranking in recent]})


@login_required
@require_POST
def ranking_revise(request: Request, public_id: UUID) -> HttpResponse:
    ranking = get_own_ranking(request.user, public_id)
    taken_up = services.revise_ranking(ranking=ranking, labeler=ranking.labeler)
    return redirect("annotation:lease", public_id=taken_up.public_id)


@login_required
@require_POST
def ranking_withdraw(request: Request, public_id: UUID) -> HttpResponse:
    ranking = get_own_ranking(request.user, public_id)
    services.withdraw_ranking(ranking=ranking, labeler=ranking.labeler)
    return redirect("annotation:work-recent", public_id=ranking.task.campaign.public_id)
