from __future__ import annotations

import pytest

from annotation.models import Campaign
from policy.models import Checkpoint
from reward.models import RewardModel
from reward.services import freeze_snapshot
from tests.cast import Cast, make_cast, make_completions
from tests.loop import make_base, ranked_campaign, train


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def base(cast: Cast) -> Checkpoint:
    return make_base(cast.workspace, cast.researcher)


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    """Eight answers, and one to a test prompt."""
    made = ranked_campaign(cast)
    make_completions(made.prompts.get(split="test"), ["Nobody."])
    return made


@pytest.fixture
def version(cast: Cast, campaign: Campaign, base: Checkpoint) -> RewardModel:
    """Of four heads."""
    return train(cast, freeze_snapshot(campaign=campaign, by=cast.researcher), base, config={"heads": 4})
