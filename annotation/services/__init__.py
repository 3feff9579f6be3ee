"""The doors of the labelling room: every change goes through one of these."""

from __future__ import annotations

from annotation.services.campaigns import (
    add_guideline_version,
    add_member,
    archive_campaign,
    close_campaign,
    create_campaign,
    open_campaign,
    remove_member,
    update_campaign,
)
from annotation.services.claiming import claim_next, claim_task
from annotation.services.content import (
    AddedPrompts,
    NewCompletion,
    NewPrompt,
    add_completions,
    add_prompts,
    split_by_hash,
)
from annotation.services.duplicates import distinct
from annotation.services.importing import ImportRefused, ImportReport, import_jsonl
from annotation.services.known_orders import (
    Feedback,
    add_known_order,
    archive_known_order,
    change_known_order,
    make_known_order,
)
from annotation.services.labelers import exclude_labeler, labeler_for, readmit_labeler
from annotation.services.leases import (
    Guidelines,
    expire_leases,
    lease_guidelines,
    release_lease,
    renew_lease,
    save_draft,
    skip_task,
)
from annotation.services.priorities import demote_stale, order_by_disagreement
from annotation.services.qualification import let_try_again, wave_through
from annotation.services.queueing import NewTask, create_tasks
from annotation.services.rankings import SubmitResult, submit_ranking
from annotation.services.reports import report_task, resolve_report
from annotation.services.revisions import recent_rankings, revise_ranking, withdraw_ranking
from annotation.services.standing import set_reading
from annotation.submission import Submission, SubmittedItem

__all__ = [
    "AddedPrompts",
    "Feedback",
    "Guidelines",
    "ImportRefused",
    "ImportReport",
    "NewCompletion",
    "NewPrompt",
    "NewTask",
    "Submission",
    "SubmitResult",
    "SubmittedItem",
    "add_completions",
    "add_guideline_version",
    "add_known_order",
    "add_member",
    "add_prompts",
    "archive_campaign",
    "archive_known_order",
    "change_known_order",
    "claim_next",
    "claim_task",
    "close_campaign",
    "create_campaign",
    "create_tasks",
    "demote_stale",
    "distinct",
    "exclude_labeler",
    "expire_leases",
    "import_jsonl",
    "labeler_for",
    "lease_guidelines",
    "let_try_again",
    "make_known_order",
    "open_campaign",
    "order_by_disagreement",
    "readmit_labeler",
    "recent_rankings",
    "release_lease",
    "remove_member",
    "renew_lease",
    "report_task",
    "resolve_report",
    "revise_ranking",
    "save_draft",
    "set_reading",
    "skip_task",
    "split_by_hash",
    "submit_ranking",
    "update_campaign",
    "wave_through",
    "withdraw_ranking",
]
