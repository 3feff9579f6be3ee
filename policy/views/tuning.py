"""The pages that start DPO and SFT from a checkpoint."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts.errors import Refused
from accounts.http import Request
from policy import services
from policy.access import get_checkpoint
from policy.forms import DPOForm, SFTForm, TuneForm
from reward.access import snapshots_seen_by
from reward.preflight_page import form_page, preflight_part, wants_estimate


@login_required
@require_http_methods(["GET", "POST"])
def dpo(request: Request, public_id: UUID) -> HttpResponse:
    return _tune(request, public_id, DPOForm)


@login_required
@require_http_methods(["GET", "POST"])
def sft(request: Request, public_id: UUID) -> HttpResponse:
    return _tune(request, public_id, SFTForm)


def _tune(request: Request, public_id: UUID, form_class: type[TuneForm]) -> HttpResponse:
    checkpoint = get_checkpoint(request.user, public_id, do=True)
    form = form_class(
        request.POST or None,
        snapshots=snapshots_seen_by(request.user).filter(workspace=checkpoint.workspace),
    )
    refused = None
    if request.method == "POST" and not wants_estimate(request) and form.is_valid():
        own = {name: form.cleaned_data[name] for name in ("snapshot", "seed")}
        try:
            run = services.start_tuning(
                kind=form.kind, checkpoint=checkpoint, by=request.user, config=form.config(), **own
            )
            return redirect("runs:run-detail", public_id=run.public_id)
        except Refused as error:
            refused = error
    panel = preflight_part(
        form.asked(),
        lambda asked: services.tuning_preflight(
            kind=form.kind, checkpoint=checkpoint, snapshot=asked["snapshot"], config=asked["config"]
        ),
    )
    return form_page(request, "policy/train.html", form, refused, checkpoint=checkpoint, **panel)
