"""Which moves each state machine of the labelling room allows."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class CampaignState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    OPEN = "open", _("Open")
    CLOSED = "closed", _("Closed")
    ARCHIVED = "archived", _("Archived")


NEXT_CAMPAIGN_STATES: dict[str, frozenset[str]] = {
    CampaignState.DRAFT: frozenset({CampaignState.OPEN, CampaignState.ARCHIVED}),
    CampaignState.OPEN: frozenset({CampaignState.CLOSED}),
    CampaignState.CLOSED: frozenset({CampaignState.OPEN, CampaignState.ARCHIVED}),
    CampaignState.ARCHIVED: frozenset(),
}


class LeaseState(models.TextChoices):
    ACTIVE = "active", _("Active")
    SUBMITTED = "submitted", _("Submitted")
    SKIPPED = "skipped", _("Skipped")
    RELEASED = "released", _("Released")
    EXPIRED = "expired", _("Expired")


NEXT_LEASE_STATES: dict[str, frozenset[str]] = {
    LeaseState.ACTIVE: frozenset({LeaseState.SUBMITTED, LeaseState.SKIPPED, LeaseState.RELEASED, LeaseState.EXPIRED}),
    # A late submit is accepted where a slot is still free.
    LeaseState.EXPIRED: frozenset({LeaseState.SUBMITTED}),
    LeaseState.SUBMITTED: frozenset(),
    LeaseState.SKIPPED: frozenset(),
    LeaseState.RELEASED: frozenset(),
}
