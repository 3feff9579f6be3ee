"""Reports: a labeler brings a task to the manager's attention, and somebody deals with it."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent, User
from accounts.text import check_text
from annotation.models import Lease, Report, ReportKind
from annotation.services.leases import lock_standing

TEXT_MAX_CHARACTERS = 1000


@transaction.atomic
def report_task(*, lease: Lease, kind: str, text: str = "") -> Report:
    """Tell the manager that something is wrong with a lease's task; the work itself goes on.

    The same report, sent again while it is unresolved, is one report.

    Also: records `task.report` for people.

    Raises:
        Refused: report_kind_unknown or the codes of `check_text`.
    """
    if kind not in ReportKind.values:
        raise Refused(
            _("A report is one of %(kinds)s.") % {"kinds": ", ".join(ReportKind.values)}, code="report_kind_unknown"
        )
    check_text(text, what=_("The report"), max_characters=TEXT_MAX_CHARACTERS, is_required=False)
    lock_standing(lease)
    report, is_new = Report.objects.get_or_create(
        task=lease.task, labeler=lease.labeler, kind=kind, text=text.strip(), resolved_at=None
    )
    if is_new and lease.labeler.user is not None:
        workspace, actor = lease.task.campaign.workspace, lease.labeler.user
        AuditEvent.record(workspace=workspace, actor=actor, verb="task.report", target=report, kind=kind)
    return report


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
