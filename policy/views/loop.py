"""Where models and people meet: answers into a campaign, a campaign that follows, a win rate."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import RESEARCHES, roles_of
from accounts.errors import Refused
from accounts.http import Request, form_status
from annotation.access import get_campaign
from annotation.models import Campaign
from policy import services
from policy.access import checkpoints_seen_by, get_lineage, get_study, lineages_seen_by
from policy.forms import FollowForm, SampleForm, StudyForm


def campaign_for_research(request: Request, public_id: UUID) -> Campaign:
    """404 for outsiders and labelers, 403 for staff who may not start runs."""
    campaign = get_campaign(request.user, public_id)
    if not roles_of(request.user, campaign.workspace) & set(RESEARCHES):
        raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))
    return campaign


@login_required
@require_http_methods(["GET", "POST"])
def sample(request: Request, public_id: UUID) -> HttpResponse:
    campaign = campaign_for_research(request, public_id)
    form = SampleForm(
        request.POST or None, checkpoints=checkpoints_seen_by(request.user).filter(workspace=campaign.workspace)
    )
    refused = None
    if request.method == "POST" and form.is_valid():
        own = {name: form.cleaned_data[name] for name in ("checkpoints", "per_prompt", "splits", "seed")}
        try:
            run = services.start_sampling(campaign=campaign, by=request.user, config=form.config(), **own)
            return redirect("runs:run-detail", public_id=run.public_id)
        except Refused as error:
            refused = error
    context = {"campaign": campaign, "form": form, "refused": refused}
    status = form_status(form, refused)
    return render(request, "policy/sample.html", context, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def follow(request: Request, public_id: UUID) -> HttpResponse:
    campaign = campaign_for_research(request, public_id)
    form = FollowForm(
        request.POST or None, lineages=lineages_seen_by(request.user).filter(workspace=campaign.workspace)
    )
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            services.follow(campaign=campaign, by=request.user, **form.cleaned_data)
            messages.success(
                request, _("Answers of each new checkpoint of that lineage now come to this campaign by themselves.")
            )
            return redirect("annotation:campaign-detail", public_id=public_id)
        except Refused as error:
            refused = error
    context = {"campaign": campaign, "form": form, "refused": refused}
    status = form_status(form, refused)
    return render(request, "policy/follow.html", context, status=status)


@login_required
@require_POST
def unfollow(request: Request, public_id: UUID) -> HttpResponse:
    campaign = campaign_for_research(request, public_id)
    lineage = get_lineage(request.user, request.POST.get("lineage"), do=True)
    services.unfollow(campaign=campaign, lineage=lineage, by=request.user)
    messages.success(
        request, _("New checkpoints of %(lineage)s no longer come to this campaign.") % {"lineage": lineage}
    )
    return redirect("annotation:campaign-detail", public_id=public_id)


@login_required
@require_http_methods(["GET", "POST"])
def study_create(request: Request, public_id: UUID) -> HttpResponse:
    campaign = campaign_for_research(request, public_id)
    form = StudyForm(
        request.POST or None,
        checkpoints=checkpoints_seen_by(request.user).filter(workspace=campaign.workspace),
        initial={"candidate": request.GET.get("candidate"), "baseline": request.GET.get("baseline")},
    )
    refused = None
    if request.method == "POST" and form.is_valid():
        own = {name: form.cleaned_data[name] for name in ("candidate", "baseline", "per_prompt", "seed")}
        try:
            study = services.start_win_rate(campaign=campaign, by=request.user, config=form.config(), **own)
            return redirect("policy:study-detail", public_id=study.public_id)
        except Refused as error:
            refused = error
    context = {"campaign": campaign, "form": form, "refused": refused}
    status = form_status(form, refused)
    return render(request, "policy/study_form.html", context, status=status)


@login_required
@require_GET
def study_detail(request: Request, public_id: UUID) -> HttpResponse:
    study = get_study(request.user, public_id)
    context = {"study": study, "result": services.win_rate(study)}
    return render(request, "policy/study_detail.html" + ("#study" if request.htmx else ""), context)
