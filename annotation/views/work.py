"""A labeler's pages: what there is to do, and the one screen on which it is done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect, push_url

from accounts.errors import Refused
from accounts.http import Request
from annotation import services
from annotation.access import get_lease, get_work_campaign
from annotation.models import Campaign, Completion, Labeler, Lease
from annotation.protocols import Questions
from annotation.queries import work_for
from annotation.ranking_form import SKIP_REASONS, RankingForm, initial_from
from annotation.services.rankings import lease_guidelines
from annotation.states import LeaseState


@login_required
@require_GET
def work(request: Request) -> HttpResponse:
    return render(request, "annotation/work.html", {"work": work_for(request.user)})


@login_required
@require_POST
def work_next(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_work_campaign(request.user, public_id)
    labeler = services.labeler_for(workspace=campaign.workspace, user=request.user)
    return _next_task(request, campaign, labeler)


@login_required
@require_GET
def lease(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id)
    if found.state not in (LeaseState.ACTIVE, LeaseState.EXPIRED):
        messages.info(request, _("That task is done with; here is what is left."))
        return _go_to_work(request)
    form = _form(found)
    response = _ranking_page(request, found, form)
    return push_url(response, request.path) if request.htmx else response


@login_required
@require_POST
def lease_submit(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id)
    form = _form(found, request.POST)
    if not form.is_valid():
        return _ranking_page(request, found, form, status=422)
    try:
        services.submit_ranking(lease=found, submission=form.submission())
    except Refused as refused:
        return _ranking_page(request, found, form, refused=refused, status=refused.status)
    return _next_task(request, found.task.campaign, found.labeler)


@login_required
@require_POST
def lease_skip(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id)
    services.skip_task(lease=found, reason=request.POST.get("reason", "")[:200])
    return _next_task(request, found.task.campaign, found.labeler)


@login_required
@require_POST
def lease_release(request: Request, public_id: UUID) -> HttpResponse:
    services.release_lease(lease=get_lease(request.user, public_id))
    return _go_to_work(request)


@login_required
@require_POST
def lease_renew(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id)
    try:
        services.renew_lease(lease=found)
    except Refused as refused:
        return JsonResponse({"error": {"code": refused.code, "message": refused.message}}, status=refused.status)
    found.refresh_from_db(fields=["expires_at"])
    return JsonResponse({"expires_at": found.expires_at.isoformat()})


@login_required
@require_POST
def lease_draft(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id)
    services.save_draft(lease=found, draft=_form(found, request.POST).draft())
    return HttpResponse(status=204)


def _form(found: Lease, data: QueryDict | None = None) -> RankingForm:
    campaign = found.task.campaign
    return RankingForm(
        data,
        completions=_shown(found),
        protocol=campaign.protocol,
        questions=Questions.read(campaign.questions),
        initial=initial_from(found.draft, protocol=campaign.protocol, shown=found.shown),
    )


def _shown(found: Lease) -> list[Completion]:
    """The lease's answers in the order in which this labeler sees them."""
    by_id = {str(completion.public_id): completion for completion in found.task.completions.all()}
    return [by_id[key] for key in found.shown if key in by_id]


def _ranking_page(
    request: Request, found: Lease, form: RankingForm, *, refused: Refused | None = None, status: int = 200
) -> HttpResponse:
    campaign = found.task.campaign
    context: dict[str, Any] = {
        "lease": found,
        "campaign": campaign,
        "prompt": found.task.prompt,
        "guideline": lease_guidelines(found),
        "form": form,
        "answers": form.answers(),
        "ranks": range(1, len(form.completions) + 1),
        "skip_reasons": SKIP_REASONS,
        "refused": refused,
        "is_expired": found.state == LeaseState.EXPIRED,
    }
    return render(request, "annotation/lease.html" + ("#work" if request.htmx else ""), context, status=status)


def _next_task(request: Request, campaign: Campaign, labeler: Labeler) -> HttpResponse:
    claimed = services.claim_task(campaign=campaign, labeler=labeler)
    if claimed is None:
        messages.success(request, _("Nothing is left for you in “%(name)s” right now. Thank you!") % {"name": campaign})
        return _go_to_work(request)
    return redirect("annotation:lease", public_id=claimed.public_id)


def _go_to_work(request: Request) -> HttpResponse:
    """The list of work as a whole page, also where htmx asked for a part."""
    url = reverse("annotation:work")
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)
