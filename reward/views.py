"""Reward models: what they learned from, how well they judge, and the form that trains the next one."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import RESEARCHES, STAFF, roles_of, workspaces_of
from accounts.errors import Refused
from accounts.http import Request
from annotation.access import get_campaign
from annotation.models import Campaign
from reward import services
from reward.access import get_reward_model, get_snapshot, reward_models_seen_by, snapshots_seen_by
from reward.downloads import preference_file
from reward.evaluation_page import evaluation_page
from reward.forms import TrainForm
from reward.labelers import set_aside_in, voices
from reward.ordering import order_queue
from reward.preflight_page import form_page, preflight_part, wants_estimate
from reward.scores_page import scores_page
from reward.scoring import scoring_part, start_scoring
from runs.models import Run


@login_required
@require_GET
def version_list(request: Request) -> HttpResponse:
    if not workspaces_of(request.user, STAFF).exists():
        raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))
    context = {
        "versions": reward_models_seen_by(request.user),
        "snapshots": snapshots_seen_by(request.user)[:20],
    }
    return render(request, "reward/version_list.html", context)


@login_required
@require_GET
def version_detail(request: Request, public_id: UUID) -> HttpResponse:
    version = get_reward_model(request.user, public_id)
    may_ask = bool(roles_of(request.user, version.workspace) & set(RESEARCHES))
    aside = set_aside_in(version.snapshot)
    context = {"version": version, "may_ask": may_ask, "aside": aside, "has_scores": version.scores.exists()}
    context |= evaluation_page(version)
    if may_ask:
        context |= scoring_part(version)
    return render(request, "reward/version_detail.html", context)


@login_required
@require_POST
def ask_again(request: Request, public_id: UUID) -> HttpResponse:
    version = get_reward_model(request.user, public_id, do=True)
    couples = [(first, second) for first, _, second in (each.partition(" ") for each in request.POST.getlist("couple"))]
    try:
        made = services.ask_again(version=version, by=request.user, couples=couples)
    except Refused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, ngettext("%d couple is in the queue.", "%d couples are in the queue.", made) % made)
    return redirect("reward:version-detail", public_id=public_id)


@login_required
@require_POST
def version_score(request: Request, public_id: UUID) -> HttpResponse:
    version = get_reward_model(request.user, public_id, do=True)
    campaign = get_campaign(request.user, request.POST.get("campaign", ""))
    try:
        run = start_scoring(version=version, campaign=campaign, by=request.user).run
    except Refused as error:
        messages.error(request, str(error))
        return redirect("reward:version-detail", public_id=public_id)
    return redirect("runs:run-detail", public_id=run.public_id)


@login_required
@require_POST
def version_order_queue(request: Request, public_id: UUID) -> HttpResponse:
    version = get_reward_model(request.user, public_id, do=True)
    campaign = get_campaign(request.user, request.POST.get("campaign", ""))
    try:
        num = order_queue(version=version, campaign=campaign, by=request.user)
    except Refused as error:
        messages.error(request, str(error))
    else:
        told = ngettext("%d waiting task is in this order now.", "%d waiting tasks are in this order now.", num)
        messages.success(request, told % num)
    return redirect(f"{reverse('reward:version-scores', args=[public_id])}?campaign={campaign.public_id}&order=unsure")


@login_required
@require_GET
def version_scores(request: Request, public_id: UUID) -> HttpResponse:
    version = get_reward_model(request.user, public_id)
    asked = request.GET
    campaign = get_campaign(request.user, asked["campaign"]) if asked.get("campaign") else None
    context = scores_page(version, order=asked.get("order"), campaign=campaign, page=asked.get("page"))
    context["may_ask"] = bool(roles_of(request.user, version.workspace) & set(RESEARCHES))
    return render(request, "reward/version_scores.html", context)


@login_required
@require_GET
def snapshot_detail(request: Request, public_id: UUID) -> HttpResponse:
    snapshot = get_snapshot(request.user, public_id)
    context = {"snapshot": snapshot, "voices": voices(snapshot), "aside": set_aside_in(snapshot)}
    return render(request, "reward/snapshot_detail.html", context)


@login_required
@require_GET
def snapshot_preferences(request: Request, public_id: UUID) -> StreamingHttpResponse:
    """A file to take away: the stated preferences of one split in TRL's format."""
    return preference_file(get_snapshot(request.user, public_id), request.GET.get("split", "train"))


@login_required
@require_http_methods(["GET", "POST"])
def train(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id)
    if not roles_of(request.user, campaign.workspace) & set(RESEARCHES):
        raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))
    form = TrainForm(request.POST or None)
    refused = None
    if request.method == "POST" and not wants_estimate(request) and form.is_valid():
        try:
            return redirect("runs:run-detail", public_id=_freeze_and_train(request, campaign, form).public_id)
        except Refused as error:
            refused = error
    panel = preflight_part(
        form.asked(),
        lambda asked: services.expect_training(source=campaign, base_uri=asked["base_uri"], config=asked["config"]),
    )
    return form_page(request, "reward/train.html", form, refused, campaign=campaign, **panel)


@transaction.atomic
def _freeze_and_train(request: Request, campaign: Campaign, form: TrainForm) -> Run:
    """Both or neither: a snapshot that nobody trains on would be left over from a refused request."""
    snapshot = services.freeze_snapshot(campaign=campaign, by=request.user)
    return services.start_training(
        snapshot=snapshot,
        by=request.user,
        base_uri=form.cleaned_data["base_uri"],
        config=form.config(),
        seed=form.cleaned_data["seed"],
    )
