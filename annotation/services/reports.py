"""Reports: a labeler brings a task to the manager's attention."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent
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
