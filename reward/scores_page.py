"""The page that lists what a version makes of the answers it has scored."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.paginator import Paginator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from annotation.models import Campaign
from reward.models import RewardModel
from reward.scoring import scores_of

PER_PAGE = 50


class Order(NamedTuple):
    """columns: of `Score`, as `order_by` takes them; each has an index."""

    name: str
    title: Promise
    columns: tuple[str, str]


ORDERS = (
    Order("highest", gettext_lazy("Highest"), ("-score", "-pk")),
    Order("lowest", gettext_lazy("Lowest"), ("score", "pk")),
    Order("unsure", gettext_lazy("Least sure"), ("-spread", "-pk")),
)


def scores_page(
    version: RewardModel, *, order: str | None, campaign: Campaign | None, page: str | None
) -> dict[str, Any]:
    """The context of the page; an order that the version does not have is the first. Two queries."""
    orders = [each for each in ORDERS if version.num_heads > 1 or each.name != "unsure"]
    chosen = next((each for each in orders if each.name == order), orders[0])
    scores = scores_of(version, campaign=campaign, has_spread=chosen.name == "unsure").order_by(*chosen.columns)
    return {
        "version": version,
        "campaign": campaign,
        "orders": orders,
        "chosen": chosen,
        "page": Paginator(scores, PER_PAGE).get_page(page),
    }
