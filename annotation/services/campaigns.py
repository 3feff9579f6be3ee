"""Campaigns: their making, their states, their guidelines and the seats in them."""

from __future__ import annotations

from typing import Unpack

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Conflict, IllegalTransition, Refused
from accounts.models import AuditEvent, User, Workspace
from accounts.text import check_text
from annotation.models import Campaign, GuidelineVersion, MemberRole, Membership
from annotation.services.campaign_settings import CampaignSettings, put_settings
from annotation.services.leases import release_all
from annotation.states import NEXT_CAMPAIGN_STATES, CampaignState

GUIDELINES_MAX_CHARACTERS = 100_000


@transaction.atomic
def create_campaign(
    *, workspace: Workspace, by: User | None, name: str, guidelines: str = "", **settings: Unpack[CampaignSettings]
) -> Campaign:
    """Create a campaign as a draft; nobody can work in it until it is opened.

    Also: stores the first guideline version; records `campaign.create`.

    Raises:
        Refused: the codes of `put_settings` and `check_text`.
    """
    campaign = Campaign(workspace=workspace, created_by=by)
    put_settings(campaign, {"name": name, **settings})
    campaign.save()
    AuditEvent.record(workspace=workspace, actor=by, verb="campaign.create", target=campaign)
    _add_guidelines(campaign, by, guidelines)
    return campaign


@transaction.atomic
def update_campaign(
    *, campaign: Campaign, by: User | None, name: str | None = None, **settings: Unpack[CampaignSettings]
) -> Campaign:
    """Change a campaign's settings. Numbers count for tasks and leases made from now on.

    Also: records `campaign.update`.

    Raises:
        Refused: campaign_archived or the codes of `put_settings`.
    """
    check_not_archived(campaign)
    given = dict(settings) if name is None else {"name": name, **settings}
    changes = put_settings(campaign, given)
    if changes:
        campaign.save(update_fields=list(changes))
        AuditEvent.record(
            workspace=campaign.workspace, actor=by, verb="campaign.update", target=campaign, changes=changes
        )
    return campaign


def check_not_archived(campaign: Campaign) -> None:
    if campaign.state == CampaignState.ARCHIVED:
        raise Conflict(_("This campaign is archived; nothing in it changes any more."), code="campaign_archived")


def open_campaign(*, campaign: Campaign, by: User | None) -> Campaign:
    """Let labelers claim tasks.

    Also: records `campaign.open`.

    Raises:
        IllegalTransition: archived, or open already.
    """
    return _move(campaign, by, CampaignState.OPEN)


def close_campaign(*, campaign: Campaign, by: User | None) -> Campaign:
    """Hand out no more tasks. Leases that are out may still be submitted until they expire: nobody's work is lost.

    Also: records `campaign.close`.

    Raises:
        IllegalTransition: it is not open.
    """
    return _move(campaign, by, CampaignState.CLOSED)


def archive_campaign(*, campaign: Campaign, by: User | None) -> Campaign:
    """Put a draft or closed campaign away for good; its data stay.

    Also: records `campaign.archive`.

    Raises:
        IllegalTransition: it is open, or archived already.
    """
    return _move(campaign, by, CampaignState.ARCHIVED)


VERBS = {CampaignState.OPEN: "open", CampaignState.CLOSED: "close", CampaignState.ARCHIVED: "archive"}


@transaction.atomic
def _move(campaign: Campaign, by: User | None, state: CampaignState) -> Campaign:
    before = [known for known, following in NEXT_CAMPAIGN_STATES.items() if state in following]
    closed_at = None if state == CampaignState.OPEN else timezone.now()
    moved = Campaign.objects.filter(pk=campaign.pk, state__in=before).update(state=state, closed_at=closed_at)
    campaign.refresh_from_db()
    if not moved:
        raise IllegalTransition(
            _("This campaign is %(now)s; it cannot become %(then)s.")
            % {"now": campaign.get_state_display().lower(), "then": str(state.label).lower()}
        )
    AuditEvent.record(workspace=campaign.workspace, actor=by, verb=f"campaign.{VERBS[state]}", target=campaign)
    return campaign


@transaction.atomic
def add_guideline_version(
    *, campaign: Campaign, by: User | None, text: str, asks_again: bool = False
) -> GuidelineVersion:
    """Publish new guidelines; leases claimed before keep the version they were shown.

    Args:
        asks_again: who qualified under an earlier version qualifies again, where the campaign asks for that at all.

    Also: records `campaign.guidelines`.

    Raises:
        Refused: campaign_archived or the codes of `check_text`.
    """
    check_not_archived(campaign)
    return _add_guidelines(campaign, by, text, asks_again=asks_again)


def _add_guidelines(campaign: Campaign, by: User | None, text: str, *, asks_again: bool = False) -> GuidelineVersion:
    check_text(text, what=_("The guidelines"), max_characters=GUIDELINES_MAX_CHARACTERS, is_required=False)
    # Numbers are given out one at a time per campaign.
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    number = campaign.guidelines.count() + 1
    version = GuidelineVersion.objects.create(
        campaign=campaign, number=number, text=text, asks_again=asks_again, created_by=by
    )
    AuditEvent.record(
        workspace=campaign.workspace, actor=by, verb="campaign.guidelines", target=campaign, number=number
    )
    return version


@transaction.atomic
def add_member(*, campaign: Campaign, by: User | None, user: User, role: str = MemberRole.LABELER) -> Membership:
    """Give a person a seat in the campaign, or change their role in it.

    Also: records `campaign.member_add`.

    Raises:
        Refused: role_unknown or campaign_archived.
    """
    check_not_archived(campaign)
    if role not in MemberRole.values:
        raise Refused(_("%(role)s is not a role in a campaign.") % {"role": role}, code="role_unknown")
    seat, _created = Membership.objects.update_or_create(campaign=campaign, user=user, defaults={"role": role})
    AuditEvent.record(
        workspace=campaign.workspace,
        actor=by,
        verb="campaign.member_add",
        target=campaign,
        user=str(user.public_id),
        role=role,
    )
    return seat


@transaction.atomic
def remove_member(*, campaign: Campaign, by: User | None, user: User) -> None:
    """Take a person's seat away; what they ranked stays.

    Also: gives their live leases in this campaign back to the queue; records `campaign.member_remove`.

    Raises:
        Refused: not_a_member (404).
    """
    removed, _rows = Membership.objects.filter(campaign=campaign, user=user).delete()
    if not removed:
        raise Refused(_("This person has no seat in the campaign."), code="not_a_member", status=404)
    release_all(campaign=campaign, labelers=user.labelers.filter(workspace=campaign.workspace_id))
    AuditEvent.record(
        workspace=campaign.workspace,
        actor=by,
        verb="campaign.member_remove",
        target=campaign,
        user=str(user.public_id),
    )
