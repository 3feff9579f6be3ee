"""A manager's pages on quality: the plan, tasks with a known order, and what labelers report."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.errors import Refused
from accounts.http import Request, form_status
from annotation import services
from annotation.access import get_campaign, get_task
from annotation.models import Report, Task, TaskRole
from annotation.quality import QualityPlan
from annotation.quality_figures import known_orders, num_training_tasks, open_reports, tasks_to_choose
from annotation.quality_forms import KnownOrderForm, QualityPlanForm

PER_PAGE = 20


@login_required
@require_http_methods(["GET", "POST"])
def quality_plan(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    plan = QualityPlan.read(campaign.quality)
    form = QualityPlanForm(request.POST or None, initial=plan.as_json())
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            services.update_campaign(campaign=campaign, by=request.user, quality=form.plan())
            messages.success(request, _("Saved. It counts from everybody's next task on."))
            return redirect("annotation:quality-plan", public_id=public_id)
        except Refused as error:
            refused = error
    context = {
        "campaign": campaign,
        "form": form,
        "refused": refused,
        "lacks_training": plan.qualifies and not num_training_tasks(campaign),
    }
    return render(request, "annotation/quality_plan.html", context, status=form_status(form, refused))


@login_required
@require_GET
def known_order_list(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    asked = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    context = {
        "campaign": campaign,
        "known_orders": known_orders(campaign),
        "asked": asked,
        "page": Paginator(tasks_to_choose(campaign, asked), PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "annotation/known_order_list.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def known_order_create(request: Request, public_id: UUID, task_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    task = get_task(campaign, task_id)
    form = KnownOrderForm(request.POST or None, completions=list(task.completions.order_by("task_items__position")))
    refused = None
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            services.make_known_order(
                task=task, by=request.user, role=said["role"], ranks=form.ranks(), explanation=said["explanation"]
            )
            messages.success(request, _("It is among the tasks with a known order."))
            return redirect("annotation:known-order-list", public_id=public_id)
        except Refused as error:
            refused = error
    return _order_page(request, task, form, refused)


@login_required
@require_http_methods(["GET", "POST"])
def known_order_change(request: Request, public_id: UUID, task_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    known = campaign.tasks.not_archived().exclude(role=TaskRole.WORK).select_related("gold", "prompt", "campaign")
    task = get_object_or_404(known, public_id=task_id)
    completions = list(task.completions.order_by("task_items__position"))
    form = KnownOrderForm(request.POST or None, completions=completions, known=task.gold)
    refused = None
    if request.method == "POST" and form.is_valid():
        try:
            num_rescored = services.change_known_order(
                task=task, by=request.user, ranks=form.ranks(), explanation=form.cleaned_data["explanation"]
            )
            messages.success(request, _saved(num_rescored))
            return redirect("annotation:known-order-list", public_id=public_id)
        except Refused as error:
            refused = error
    return _order_page(request, task, form, refused)


def _order_page(request: Request, task: Task, form: KnownOrderForm, refused: Refused | None) -> HttpResponse:
    context = {"campaign": task.campaign, "task": task, "prompt": task.prompt, "form": form, "refused": refused}
    return render(request, "annotation/known_order_form.html", context, status=form_status(form, refused))


def _saved(num_rescored: int) -> str:
    if not num_rescored:
        return _("Saved. All scores stay as they were.")
    told = ngettext(
        "Saved. %(num)d ranking has another score now.", "Saved. %(num)d rankings have another score now.", num_rescored
    )
    return told % {"num": num_rescored}


@login_required
@require_POST
def known_order_archive(request: Request, public_id: UUID, task_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    task = get_object_or_404(campaign.tasks.exclude(role=TaskRole.WORK), public_id=task_id)
    services.archive_known_order(task=task, by=request.user)
    messages.success(request, _("Nobody gets it any more; what was said of it stays."))
    return redirect("annotation:known-order-list", public_id=public_id)


@login_required
@require_GET
def report_list(request: Request, public_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    page = Paginator(open_reports(campaign), PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "annotation/report_list.html", {"campaign": campaign, "page": page})


@login_required
@require_POST
def report_resolve(request: Request, public_id: UUID, report_id: UUID) -> HttpResponse:
    campaign = get_campaign(request.user, public_id, manage=True)
    report = get_object_or_404(Report.objects.filter(task__campaign=campaign), public_id=report_id)
    services.resolve_report(report=report, by=request.user)
    messages.success(request, _("Dealt with."))
    return redirect("annotation:report-list", public_id=public_id)
