from __future__ import annotations

import pytest

from annotation.models import Campaign
from tests.cast import Cast, make_campaign, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    return make_campaign(cast)
