"""The registry's pages: lineages, one checkpoint with where it came from, imports and PPO."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import RESEARCHES, STAFF, roles_of, workspace_for, workspaces_of
from accounts.errors import Refused
from accounts.http import Request, form_status
from annotation.access import campaigns_seen_by
from policy import services
from policy.access import checkpoints_seen_by, get_checkpoint, lineages_seen_by, studies_seen_by
from policy.forms import ImportModelForm, PPOForm
from policy.lineage import tree
from reward.access import reward_models_seen_by
from reward.preflight_page import form_page, preflight_part, wants_estimate


@login_required
@require_GET
def checkpoint_list(request: Request) -> HttpResponse:
    if not workspaces_of(request.user, STAFF).exists():
        raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))
    own = Prefetch("checkpoints", queryset=checkpoints_seen_by(request.user).order_by("number"))
    lineages = [
        (lineage, tree(lineage.checkpoints.all())) for lineage in lineages_seen_by(request.user).prefetch_related(own)
    ]
    return render(request, "policy/checkpoint_list.html", {"lineages": lineages})


@login_required
@require_GET
def checkpoint_detail(request: Request, public_id: UUID) -> HttpResponse:
    checkpoint = get_checkpoint(request.user, public_id)
    context = {
        "checkpoint": checkpoint,
        "nodes": tree(checkpoint.lineage.checkpoints.select_related("reward_model", "run").order_by("number")),
        "studies": [
            (study, services.win_rate(study))
            for study in studies_seen_by(request.user).filter(candidate=checkpoint)[:10]
        ],
        "may_train": bool(roles_of(request.user, checkpoint.workspace) & set(RESEARCHES)),
    }
    return render(request, "policy/checkpoint_detail.html", context)


@login_required
@require_POST
def checkpoint_verify(request: Request, public_id: UUID) -> HttpResponse:
    services.verify_checkpoint(get_checkpoint(request.user, public_id, do=True))
    messages.success(request, _("Every byte of this checkpoint is as it was registered."))
    return redirect("policy:checkpoint-detail", public_id=public_id)


@login_required
@require_http_methods(["GET", "POST"])
def checkpoint_import(request: Request) -> HttpResponse:
    workspace = workspace_for(request.user, RESEARCHES)
    form = ImportModelForm(request.POST or None)
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            run = services.import_model(workspace=workspace, by=request.user, **form.cleaned_data)
            return redirect("runs:run-detail", public_id=run.public_id)
        except Refused as error:
            refused = error
    status = form_status(form, refused)
    return render(request, "policy/checkpoint_import.html", {"form": form, "refused": refused}, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def ppo(request: Request, public_id: UUID) -> HttpResponse:
    checkpoint = get_checkpoint(request.user, public_id, do=True)
    form = PPOForm(
        request.POST or None,
        reward_models=reward_models_seen_by(request.user).filter(workspace=checkpoint.workspace),
        campaigns=campaigns_seen_by(request.user).filter(workspace=checkpoint.workspace),
    )
    refused = None
    if request.method == "POST" and not wants_estimate(request) and form.is_valid():
        own = {name: form.cleaned_data[name] for name in ("reward_model", "campaign", "seed")}
        try:
            run = services.start_ppo(checkpoint=checkpoint, by=request.user, config=form.config(), **own)
            return redirect("runs:run-detail", public_id=run.public_id)
        except Refused as error:
            refused = error
    panel = preflight_part(
        form.asked(),
        lambda asked: services.ppo_preflight(
            checkpoint=checkpoint,
            reward_model=asked["reward_model"],
            campaign=asked["campaign"],
            config=asked["config"],
        ),
    )
    return form_page(request, "policy/train.html", form, refused, checkpoint=checkpoint, **panel)
