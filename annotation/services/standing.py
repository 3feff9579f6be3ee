"""What a manager knows of a labeler in a campaign: languages and skills, by which tasks find their people."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from accounts.text import check_text
from annotation.models import Campaign, Labeler, Participation
from annotation.prompts import checked_language
from annotation.services.participations import lock_participation

SKILL_MAX_CHARACTERS = 60
MAX_WORDS = 30


@transaction.atomic
def set_reading(
    *,
    campaign: Campaign,
    labeler: Labeler,
    by: User | None,
    languages: Sequence[str] | None = None,
    skills: Sequence[str] | None = None,
) -> Participation:
    """Say what a labeler reads and is good at; None leaves one as it is, an empty list of languages means anything.

    Also: the queue is looked through anew for them; records `campaign.labeler_reading`.

    Raises:
        Refused: labeler_unknown (404), language_unknown, skill_invalid, too_many_words or the codes of `check_text`.
    """
    if labeler.workspace_id != campaign.workspace_id:
        raise Refused(_("There is no such labeler in this workspace."), code="labeler_unknown", status=404)
    participation = lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)
    if languages is not None:
        participation.languages = _words([tag for tag in map(checked_language, languages) if tag])
    if skills is not None:
        participation.skills = [_skill(word) for word in _words(skills)]
    # What was passed over before may be for them now.
    participation.passed_priority = participation.passed_task = None
    participation.save(update_fields=["languages", "skills", "passed_priority", "passed_task"])
    AuditEvent.record(
        workspace=campaign.workspace,
        actor=by,
        verb="campaign.labeler_reading",
        target=campaign,
        labeler=str(labeler.public_id),
        languages=participation.languages,
        skills=participation.skills,
    )
    return participation


def _words(words: Sequence[str]) -> list[str]:
    if len(words) > MAX_WORDS:
        raise Refused(_("At most %(max)d of them, please.") % {"max": MAX_WORDS}, code="too_many_words")
    return list(dict.fromkeys(words))


def _skill(word: str) -> str:
    check_text(word, what=_("A skill"), max_characters=SKILL_MAX_CHARACTERS)
    if "," in word:
        raise Refused(_("A skill is written without commas."), code="skill_invalid")
    return word
