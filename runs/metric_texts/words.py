"""The form of an entry, and the units."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class MetricHelp(NamedTuple):
    title: str | Promise
    unit: str | Promise
    help: str | Promise
    healthy: str | Promise = ""

    @property
    def is_share(self) -> bool:
        """Whether the value is a share of 0 to 1, which pages show as per cent."""
        return self.unit == SHARE


REWARD = _("reward")
NATS = _("nats")
NATS_PER_SEQUENCE = _("nats per sequence")
NATS_PER_TOKEN = _("nats per token")
SHARE = _("share")
SECONDS = _("seconds")
TOKENS = _("tokens")
ANSWERS = _("answers")
STEP = _("step")
STEPS = _("steps")
