"""A labeler in a campaign: what they did, what holds their rankings, and whether these count."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MANAGES, roles_of
from accounts.errors import Refused
from accounts.http import Request
from annotation.access import get_campaign, get_labeler
from annotation.models import Campaign, Labeler
from annotation.quality_figures import LabelerQuality, labeler_quality
from annotation.queries import agreement_with_and_without, labeler_stats
from reward.forms import SetAsideForm
from reward.labelers import Rebuilt, holdings, set_labeler_aside, take_labeler_back


@login_required
@require_GET
def labeler_detail(request: Request, public_id: UUID, labeler_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id)
    labeler = get_labeler(campaign, labeler_id)
    return render(request, "reward/labeler_detail.html", _detail(request, campaign, labeler, SetAsideForm()))


def _detail(request: Request, campaign: Campaign, labeler: Labeler, form: SetAsideForm) -> dict[str, Any]:
    exclusions = list(
        campaign.exclusions.filter(labeler=labeler).select_related("created_by", "lifted_by").order_by("-pk")
    )
    return {
        "campaign": campaign,
        "labeler": labeler,
        "stats": next((stats for stats in labeler_stats(campaign) if stats.labeler == labeler), None),
        "quality": labeler_quality(campaign, [labeler]).get(labeler.pk, LabelerQuality()),
        "agreement": agreement_with_and_without(campaign, labeler),
        "exclusion": next((row for row in exclusions if row.lifted_at is None), None),
        "past": [row for row in exclusions if row.lifted_at is not None],
        "holdings": holdings(campaign, labeler),
        "form": form,
        "may_manage": bool(roles_of(request.user, campaign.workspace) & set(MANAGES)),
    }


@login_required
@require_POST
def labeler_set_aside(request: Request, public_id: UUID, labeler_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    labeler = get_labeler(campaign, labeler_id)
    form, refused = SetAsideForm(request.POST), None
    if form.is_valid():
        try:
            rebuilt = set_labeler_aside(
                campaign=campaign, labeler=labeler, by=request.user, reason=form.cleaned_data["reason"]
            )
        except Refused as error:
            refused = error
        else:
            _tell(request, _("What %(name)s ranked here counts no more.") % {"name": labeler}, rebuilt)
            return redirect("reward:labeler-detail", public_id=public_id, labeler_id=labeler_id)
    context = {**_detail(request, campaign, labeler, form), "refused": refused}
    return render(request, "reward/labeler_detail.html", context, status=refused.status if refused else 422)


@login_required
@require_POST
def labeler_take_back(request: Request, public_id: UUID, labeler_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    labeler = get_labeler(campaign, labeler_id)
    try:
        rebuilt = take_labeler_back(campaign=campaign, labeler=labeler, by=request.user)
    except Refused as error:
        messages.error(request, str(error))
    else:
        _tell(request, _("What %(name)s ranked here counts again.") % {"name": labeler}, rebuilt)
    return redirect("reward:labeler-detail", public_id=public_id, labeler_id=labeler_id)


def _tell(request: Request, done: str, rebuilt: Rebuilt) -> None:
    if rebuilt.snapshot is not None:
        done += " " + _("The rankings as they count now are frozen as %(snapshot)s.") % {"snapshot": rebuilt.snapshot}
    messages.success(request, done)
    if rebuilt.refused is not None:
        messages.warning(request, _("No new snapshot was frozen. %(why)s") % {"why": rebuilt.refused.message})
