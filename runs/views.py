"""Runs: what was asked for, how it stands, what came of it. Pages keep up by polling until a run is finished."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import push_url, trigger_client_event

from accounts.access import RESEARCHES, STAFF, roles_of, workspaces_of
from accounts.http import Request
from runs import comparison, export, queries, services, verdicts
from runs.access import find_runs, get_compared, get_run
from runs.metric_help import MAIN, in_reading_order, metric_help, reading_rank
from runs.models import Run
from runs.samples import sample_page
from runs.states import FINISHED

PER_PAGE = 30


@login_required
@require_GET
def run_list(request: Request) -> HttpResponse:
    require_staff(request)
    page = Paginator(queries.run_list(request.user), PER_PAGE).get_page(request.GET.get("page"))
    chosen = find_runs(request.user, request.GET.getlist("run"))
    context = {
        "page": page,
        "is_live": any(run.state not in FINISHED for run in page),
        "chosen": chosen,
        "chosen_elsewhere": [run for run in chosen if run not in page.object_list],
    }
    return render(request, "runs/run_list.html" + ("#runs" if request.htmx else ""), context)


@login_required
@require_GET
def run_detail(request: Request, public_id: UUID) -> HttpResponse:
    run = get_run(request.user, public_id)
    if request.htmx:
        response = render(request, "runs/run_detail.html#run-live", _detail(request, run))
        if request.GET.get("seen", "") not in ("", str(run.samples.count())):
            trigger_client_event(response, "new-samples", {"target": "#samples"})
        return response
    context = {**_detail(request, run), "samples": sample_page(run, request.GET.dict())}
    return render(request, "runs/run_detail.html", context)


@login_required
@require_GET
def run_samples(request: Request, public_id: UUID) -> HttpResponse:
    """The samples on a run's page. What a person chose becomes the page's address, unless the page asks `again`."""
    run = get_run(request.user, public_id)
    samples = sample_page(run, request.GET.dict())
    response = render(request, "runs/parts/samples.html", {"run": run, "samples": samples})
    if samples is not None and "again" not in request.GET:
        push_url(response, f"{reverse('runs:run-detail', args=[public_id])}?{samples.query}#samples")
    return response


def _detail(request: Request, run: Run) -> dict[str, Any]:
    metrics: dict[str, Any] = (run.outcome or {}).get("metrics") or {}
    return {
        "run": run,
        "may_cancel": not run.is_finished and bool(roles_of(request.user, run.workspace) & set(RESEARCHES)),
        "notes": run.notes.all(),
        "concerns": verdicts.concerns(run),
        "artifacts": run.artifacts.order_by("name"),
        "log": queries.log_tail(run, max_bytes=16_384),
        "outcome": [(metric_help(name), name, metrics[name]) for name in in_reading_order(list(metrics))],
        "has_metrics": run.metrics.exists(),
    }


@login_required
@require_GET
def run_compare(request: Request) -> HttpResponse:
    """`?run=<public id>&run=…`: curves, settings and figures of several runs."""
    require_staff(request)
    runs = get_compared(request.user, request.GET.getlist("run"))
    context = {
        "compared": comparison.side_by_side(runs),
        "query": urlencode([("run", run.public_id) for run in runs]),
        "is_live": not all(run.is_finished for run in runs),
        "outcomes": comparison.outcomes(runs),
        "last_steps": comparison.last_steps(runs),
        "settings": comparison.settings(runs),
    }
    return render(request, "runs/run_compare.html" + ("#compare-live" if request.htmx else ""), context)


@login_required
@require_GET
def run_compare_csv(request: Request) -> HttpResponse:
    require_staff(request)
    written = export.as_long_csv(get_compared(request.user, request.GET.getlist("run")))
    return _attachment(written, CSV, "runs.csv")


@login_required
@require_GET
def run_metrics(request: Request, public_id: UUID) -> JsonResponse:
    """`{"step": […], "series": [{"name", "title", "unit", "help", "rank", "values"}], "is_finished"}` for charts."""
    run = get_run(request.user, public_id)
    found = queries.metric_series(run)
    series = [
        {
            "name": name,
            **{key: str(text) for key, text in metric_help(name)._asdict().items()},
            "is_main": name in MAIN,
            "verdict": verdict and verdict._asdict(),
            "rank": reading_rank(name),
            "values": found[name],
        }
        for name in in_reading_order([name for name in found if name != "step"])
        for verdict in [verdicts.judge(run, name, found[name])]
    ]
    return JsonResponse({"step": found["step"], "series": series, "is_finished": run.is_finished})


CSV = "text/csv; charset=utf-8"
EXPORTS = {
    "csv": (export.as_csv, CSV, "{run}.csv"),
    "parquet": (export.as_parquet, "application/vnd.apache.parquet", "{run}.parquet"),
    # TensorBoard knows its files by this beginning.
    "tensorboard": (export.as_tensorboard, "application/octet-stream", "events.out.tfevents.{began}.{run}"),
}


@login_required
@require_GET
def run_export(request: Request, public_id: UUID, form: str) -> HttpResponse:
    """All metrics as a file; `form` is a key of EXPORTS."""
    run = get_run(request.user, public_id)
    write, content_type, name = EXPORTS[form]
    began = int((run.started_at or run.created_at).timestamp())
    return _attachment(write(run), content_type, name.format(run=f"{run.kind}-{str(run.public_id)[:8]}", began=began))


def _attachment(written: bytes, content_type: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(written, content_type=content_type, headers=headers)


@login_required
@require_GET
def run_log(request: Request, public_id: UUID) -> HttpResponse:
    run = get_run(request.user, public_id)
    return HttpResponse(queries.log_tail(run, max_bytes=4 * 1024 * 1024), content_type="text/plain; charset=utf-8")


@login_required
@require_POST
def run_cancel(request: Request, public_id: UUID) -> HttpResponse:
    run = get_run(request.user, public_id, do=True)
    services.cancel_run(run=run, by=request.user)
    messages.info(request, _("Cancelling: the run stops at the end of its current step."))
    return redirect("runs:run-detail", public_id=public_id)


def require_staff(request: Request) -> None:
    """Lists of models and runs are not a labeler's: they would tell whose answers stand on the screen."""
    if not workspaces_of(request.user, STAFF).exists():
        raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))
