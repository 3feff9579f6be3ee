"""A manager's pages: campaigns, their guidelines, people and imports."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import MANAGES, roles_of, workspace_for
from accounts.errors import Refused
from accounts.http import Request, form_status
from accounts.models import User
from annotation import services
from annotation.access import campaigns_seen_by, get_campaign
from annotation.agreement import agreement_of
from annotation.forms import CampaignEditForm, CampaignForm, GuidelineForm, ImportForm, MemberForm, preset_initial
from annotation.models import Campaign
from annotation.overview import with_progress
from annotation.protocols import PRESETS
from annotation.quality import QualityPlan
from annotation.quality_figures import num_open_reports, people
from annotation.queries import agreement, campaign_progress, labeler_stats, said_in
from annotation.states import NEXT_CAMPAIGN_STATES


@login_required
@require_GET
def campaign_list(request: Request) -> HttpResponse:
    campaigns = with_progress(campaigns_seen_by(request.user))
    return render(request, "annotation/campaign_list.html", {"campaigns": campaigns})


@login_required
@require_GET
def campaign_agreement(request: Request, public_id: UUID) -> HttpResponse:
    """One figure for a list of campaigns, fetched after the page: it reads every ranking."""
    campaign = get_campaign(request.user, public_id)
    return render(request, "annotation/parts/agreement.html", {"agreement": agreement(campaign)})


@login_required
@require_http_methods(["GET", "POST"])
def campaign_create(request: Request) -> HttpResponse:
    workspace = workspace_for(request.user, MANAGES)
    preset = request.GET.get("preset", "simple")
    form = CampaignForm(request.POST or None, initial=preset_initial(preset))
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            campaign = services.create_campaign(workspace=workspace, by=request.user, **form.settings())
            messages.success(request, _("The campaign is a draft: give it prompts and people, then open it."))
            return redirect("annotation:campaign-detail", public_id=campaign.public_id)
        except Refused as error:
            refused = error
    context = {"form": form, "refused": refused, "presets": PRESETS, "preset": preset}
    return render(request, "annotation/campaign_form.html", context, status=form_status(form, refused))


@login_required
@require_GET
def campaign_detail(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id)
    return render(request, "annotation/campaign_detail.html", _detail(request, campaign))


def _detail(request: Request, campaign: Campaign) -> dict[str, Any]:
    said = said_in(campaign)  # for both of what is made of it
    return {
        "campaign": campaign,
        "may_manage": bool(roles_of(request.user, campaign.workspace) & set(MANAGES)),
        "next_states": NEXT_CAMPAIGN_STATES[campaign.state],
        "progress": campaign_progress(campaign),
        "agreement": agreement_of(said.units),
        "labelers": labeler_stats(campaign, said),
        "guideline": campaign.guidelines.order_by("-number").first(),
        "num_members": campaign.memberships.count(),
        "num_reports": num_open_reports(campaign),
        "prompts": campaign.prompts.order_by("pk")[:5],
    }


@login_required
@require_http_methods(["GET", "POST"])
def campaign_edit(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    form = CampaignEditForm.of(campaign, request.POST or None)
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            services.update_campaign(campaign=campaign, by=request.user, **form.settings())
            messages.success(request, _("Saved. New tasks and leases follow these settings."))
            return redirect("annotation:campaign-detail", public_id=public_id)
        except Refused as error:
            refused = error
    context = {"form": form, "campaign": campaign, "refused": refused}
    return render(request, "annotation/campaign_form.html", context, status=form_status(form, refused))


@login_required
@require_http_methods(["GET", "POST"])
def campaign_guidelines(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=request.method == "POST")
    versions = list(campaign.guidelines.select_related("created_by").order_by("-number"))
    form = GuidelineForm(request.POST or None, initial={"text": versions[0].text if versions else ""})
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            services.add_guideline_version(campaign=campaign, by=request.user, **form.cleaned_data)
            messages.success(request, _("The new version is on every labeler's page from their next task on."))
            return redirect("annotation:campaign-guidelines", public_id=public_id)
        except Refused as error:
            refused = error
    context = {"campaign": campaign, "versions": versions, "form": form, "refused": refused, **_may(request, campaign)}
    return render(request, "annotation/guidelines.html", context, status=form_status(form, refused))


@login_required
@require_http_methods(["GET", "POST"])
def campaign_import(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    form = ImportForm(request.POST or None, request.FILES or None)
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            report = services.import_jsonl(campaign=campaign, by=request.user, lines=form.data_bytes())
            messages.success(request, _imported(report))
            return redirect("annotation:campaign-detail", public_id=public_id)
        except Refused as error:
            refused = error
    context = {"campaign": campaign, "form": form, "refused": refused}
    return render(request, "annotation/campaign_import.html", context, status=form_status(form, refused))


def _imported(report: services.ImportReport) -> str:
    prompts = ngettext("%(n)d new prompt", "%(n)d new prompts", report.num_prompts) % {"n": report.num_prompts}
    rest = _(
        "%(prompts)s, %(completions)d answers and %(rankings)d rankings imported; %(duplicates)d were here already."
    )
    return rest % {
        "prompts": prompts,
        "completions": report.num_completions,
        "rankings": report.num_rankings,
        "duplicates": report.num_duplicates,
    }


@login_required
@require_http_methods(["GET", "POST"])
def campaign_members(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    form = MemberForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = User.objects.filter(username=form.cleaned_data["username"], is_active=True).first()
        if user is not None:
            services.add_member(campaign=campaign, by=request.user, user=user, role=form.cleaned_data["role"])
            messages.success(request, _("%(name)s has a seat in this campaign.") % {"name": user})
            return redirect("annotation:campaign-members", public_id=public_id)
        form.add_error("username", _("Nobody here has this username; ask the owner to make a login first."))
    context = {
        "campaign": campaign,
        "form": form,
        "people": people(campaign),
        "plan": QualityPlan.read(campaign.quality),
    }
    return render(request, "annotation/members.html", context, status=form_status(form, None))


@login_required
@require_POST
def member_remove(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    seat = get_object_or_404(
        campaign.memberships.select_related("user"), user__username=request.POST.get("username", "")
    )
    services.remove_member(campaign=campaign, by=request.user, user=seat.user)
    messages.success(request, _("%(name)s no longer has a seat; what they ranked stays.") % {"name": seat.user})
    return redirect("annotation:campaign-members", public_id=public_id)


@login_required
@require_POST
def campaign_open(request: Request, public_id: UUID) -> HttpResponse:
    services.open_campaign(campaign=get_campaign(request.user, public_id, manage=True), by=request.user)
    return redirect("annotation:campaign-detail", public_id=public_id)


@login_required
@require_POST
def campaign_close(request: Request, public_id: UUID) -> HttpResponse:
    services.close_campaign(campaign=get_campaign(request.user, public_id, manage=True), by=request.user)
    return redirect("annotation:campaign-detail", public_id=public_id)


@login_required
@require_POST
def campaign_archive(request: Request, public_id: UUID) -> HttpResponse:
    services.archive_campaign(campaign=get_campaign(request.user, public_id, manage=True), by=request.user)
    return redirect("annotation:campaign-detail", public_id=public_id)


def _may(request: Request, campaign: Campaign) -> dict[str, Any]:
    return {"may_manage": bool(roles_of(request.user, campaign.workspace) & set(MANAGES))}
