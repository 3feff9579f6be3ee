from __future__ import annotations

import pytest

from policy.models import Checkpoint
from tests.cast import Cast, make_cast
from tests.loop import make_base


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def base(cast: Cast) -> Checkpoint:
    return make_base(cast.workspace, cast.researcher)
