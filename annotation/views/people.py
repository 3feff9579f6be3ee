"""A manager's page of one person in a campaign: what they read, and whether they are qualified."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.errors import Refused
from accounts.http import Request, form_status
from annotation import services
from annotation.access import get_campaign, get_seat
from annotation.quality import QualityPlan
from annotation.quality_figures import Qualification, person_of
from annotation.quality_forms import ReadingForm


@login_required
@require_http_methods(["GET", "POST"])
def member_detail(request: Request, public_id: UUID, user_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    seat = get_seat(campaign, user_id)
    person = person_of(seat)
    standing = person.participation
    initial = {"languages": standing.languages, "skills": standing.skills} if standing else None
    form = ReadingForm(request.POST or None, initial=initial)
    refused = None
    if request.method == "POST" and form.is_valid():
        labeler = services.labeler_for(workspace=campaign.workspace, user=seat.user)
        try:
            services.set_reading(campaign=campaign, labeler=labeler, by=request.user, **form.cleaned_data)
            messages.success(request, _("Saved. It counts from their next task on."))
            return redirect("annotation:campaign-members", public_id=public_id)
        except Refused as error:
            refused = error
    context = {
        "campaign": campaign,
        "person": person,
        "plan": QualityPlan.read(campaign.quality),
        "may_waive": person.qualification not in (None, Qualification.QUALIFIED),
        "form": form,
        "refused": refused,
    }
    return render(request, "annotation/member_detail.html", context, status=form_status(form, refused))


@login_required
@require_POST
def member_try_again(request: Request, public_id: UUID, user_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    seat = get_seat(campaign, user_id)
    labeler = services.labeler_for(workspace=campaign.workspace, user=seat.user)
    services.let_try_again(campaign=campaign, labeler=labeler, by=request.user)
    messages.success(request, _("%(name)s may try again.") % {"name": seat.user})
    return redirect("annotation:member-detail", public_id=public_id, user_id=user_id)


@login_required
@require_POST
def member_wave_through(request: Request, public_id: UUID, user_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    seat = get_seat(campaign, user_id)
    labeler = services.labeler_for(workspace=campaign.workspace, user=seat.user)
    services.wave_through(campaign=campaign, labeler=labeler, by=request.user)
    messages.success(request, _("%(name)s goes on without the training tasks.") % {"name": seat.user})
    return redirect("annotation:member-detail", public_id=public_id, user_id=user_id)
