"""Campaigns, the people in them, prompts and answers, the queue and what people said."""

from __future__ import annotations

from annotation.models.campaigns import Campaign, GuidelineVersion, MemberRole, Membership
from annotation.models.content import (
    Completion,
    FinishReason,
    Gold,
    PlacedAnswer,
    Prompt,
    Purpose,
    Split,
    Task,
    TaskCompletion,
    TaskRole,
)
from annotation.models.people import Exclusion, Labeler, LabelerKind, Participation
from annotation.models.work import Lease, Ranking, RankingItem, Report, ReportKind, SkipReason
from annotation.protocols import Protocol

__all__ = [
    "Campaign",
    "Completion",
    "Exclusion",
    "FinishReason",
    "Gold",
    "GuidelineVersion",
    "Labeler",
    "LabelerKind",
    "Lease",
    "MemberRole",
    "Membership",
    "Participation",
    "PlacedAnswer",
    "Prompt",
    "Protocol",
    "Purpose",
    "Ranking",
    "RankingItem",
    "Report",
    "ReportKind",
    "SkipReason",
    "Split",
    "Task",
    "TaskCompletion",
    "TaskRole",
]
