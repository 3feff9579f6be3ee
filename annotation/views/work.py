"""A labeler's pages: what there is to do, and the one screen on which it is done."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect, replace_url

from accounts.errors import Refused
from accounts.http import Request
from annotation import services
from annotation.access import LEASE_TO_SUBMIT, LEASE_WITH_ANSWERS, get_lease, get_work, lock_work
from annotation.models import Campaign, Labeler, Lease
from annotation.queries import work_for
from annotation.ranking_form import RankingForm
from annotation.ranking_page import feedback_context, ranking_context, ranking_form
from annotation.services import SubmitResult
from annotation.states import LeaseState


@login_required
@require_GET
def work(request: Request) -> HttpResponse:
    return render(request, "annotation/work.html", {"work": work_for(request.user)})


@login_required
@require_POST
def work_next(request: Request, public_id: UUID) -> HttpResponse:
    campaign, labeler = get_work(request.user, public_id)
    return _next_task(request, campaign, labeler)


@login_required
@require_POST
def work_ahead(request: Request, public_id: UUID) -> HttpResponse:
    """The task after the one on the screen, as the part of the page that it will be; 204: there is none yet."""
    try:
        claimed = services.claim_next(partial(lock_work, request.user, public_id), ahead=True)
    except Refused:
        # Told when they get there; until then it may have changed.
        claimed = None
    if claimed is None:
        return HttpResponse(status=204)
    return render(request, "annotation/lease.html#work", ranking_context(claimed, ranking_form(claimed)))


@login_required
@require_GET
def lease(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id, LEASE_WITH_ANSWERS)
    if found.state not in (LeaseState.ACTIVE, LeaseState.EXPIRED):
        messages.info(request, _("That task is done with; here is what is left."))
        return _go_to_work(request)
    response = _ranking_page(request, found, ranking_form(found))
    return replace_url(response, request.path) if request.htmx else response


@login_required
@require_POST
def lease_submit(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id, LEASE_WITH_ANSWERS)
    form = ranking_form(found, request.POST)
    if not form.is_valid():
        return _ranking_page(request, found, form, status=422)
    try:
        result = services.submit_ranking(lease=found, submission=form.submission())
    except Refused as refused:
        return _ranking_page(request, found, form, refused=refused, status=refused.status)
    if result.feedback is not None:
        return _feedback_page(request, found, form, result)
    return _next_task(request, found.task.campaign, found.labeler)


@login_required
@require_POST
def lease_send(request: Request, public_id: UUID) -> HttpResponse:
    """Hand in a ranking from the page's outbox, which shows the next task meanwhile."""
    found = get_lease(request.user, public_id, LEASE_TO_SUBMIT)
    form = ranking_form(found, request.POST)
    if not form.is_valid():
        first = next(iter(form.errors.values()))[0]
        return _refused_json(Refused(str(first), code="ranking_invalid", status=422))
    try:
        result = services.submit_ranking(lease=found, submission=form.submission())
    except Refused as refused:
        return _refused_json(refused)
    return JsonResponse({"ranking": str(result.ranking.public_id), "is_repeat": result.is_repeat})


@login_required
@require_POST
def lease_skip(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id)
    services.skip_task(
        lease=found, reason=request.POST.get("reason", "")[:200], note=request.POST.get("note", "")[:1000]
    )
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
        return _refused_json(refused)
    found.refresh_from_db(fields=["expires_at"])
    return JsonResponse({"expires_at": found.expires_at.isoformat()})


@login_required
@require_POST
def lease_draft(request: Request, public_id: UUID) -> HttpResponse:
    found = get_lease(request.user, public_id, LEASE_WITH_ANSWERS)
    try:
        services.save_draft(lease=found, draft=ranking_form(found, request.POST).draft())
    except Refused as refused:
        return _refused_json(refused)
    return HttpResponse(status=204)


def _refused_json(refused: Refused) -> JsonResponse:
    return JsonResponse({"error": {"code": refused.code, "message": refused.message}}, status=refused.status)


def _go_to_work(request: Request) -> HttpResponse:
    """The list of work as a whole page, also where htmx asked for a part."""
    url = reverse("annotation:work")
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


def _ranking_page(
    request: Request, found: Lease, form: RankingForm, *, refused: Refused | None = None, status: int = 200
) -> HttpResponse:
    template = "annotation/lease.html" + ("#work" if request.htmx else "")
    return render(request, template, ranking_context(found, form, refused), status=status)


def _feedback_page(request: Request, found: Lease, form: RankingForm, result: SubmitResult) -> HttpResponse:
    template = "annotation/feedback.html" + ("#work" if request.htmx else "")
    return render(request, template, feedback_context(found, form, result))


def _next_task(request: Request, campaign: Campaign, labeler: Labeler) -> HttpResponse:
    claimed = services.claim_task(campaign=campaign, labeler=labeler)
    if claimed is None:
        messages.success(request, _("Nothing is left for you in “%(name)s” right now. Thank you!") % {"name": campaign})
        return _go_to_work(request)
    return redirect("annotation:lease", public_id=claimed.public_id)
