"""A campaign's quality plan, and reports that are dealt with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Conflict
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Report
from annotation.quality import QualityPlan
from annotation.services.campaigns import check_not_archived


@transaction.atomic
def set_quality_plan(*, campaign: Campaign, by: User | None, plan: Mapping[str, Any]) -> QualityPlan:
    """Plan gold, repeats, qualification and limits; what is left out has its default. It counts from the next task on.

    Also: records `campaign.quality`.

    Raises:
        Refused: quality_invalid, campaign_archived.
    """
    check_not_archived(campaign)
    read = QualityPlan.read(plan)
    campaign.quality = read.as_json()
    campaign.save(update_fields=["quality"])
    AuditEvent.record(
        workspace=campaign.workspace, actor=by, verb="campaign.quality", target=campaign, plan=campaign.quality
    )
    return read


@transaction.atomic
def resolve_report(*, report: Report, by: User | None) -> Report:
    """Take a report off the list of open ones; it stays with its task.

    Also: records `campaign.report_resolve`.

    Raises:
        Conflict: report_resolved.
    """
    if not Report.objects.filter(pk=report.pk, resolved_at=None).update(resolved_at=timezone.now(), resolved_by=by):
        raise Conflict(_("This report is dealt with already."), code="report_resolved")
    campaign = report.task.campaign
    AuditEvent.record(
        workspace=campaign.workspace,
        actor=by,
        verb="campaign.report_resolve",
        target=campaign,
        report=str(report.public_id),
    )
    report.refresh_from_db(fields=["resolved_at", "resolved_by"])
    return report
