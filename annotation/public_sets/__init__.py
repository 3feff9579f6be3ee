"""Public preference sets, read as lines of the product's own import format; pure, no database.

pandalm               999 pairs of model answers, three annotators with ties
ukp_convarg1          16,927 pairs of arguments, 3,815 crowd workers with ties and seconds
finegrained_qa_pref   250 questions, four answers of one policy, all six pairs with ties
oasst                 211 groups of replies in conversations, a consensus order of each
hh_rlhf               2,312 pairs of harmless-or-not replies, one word on each
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from annotation.public_sets import finegrained_qa_pref, hh_rlhf, oasst, pandalm, ukp_convarg1
from annotation.public_sets.reading import PublicLine, Reading
from annotation.public_sets.splits import with_splits

READERS: Mapping[str, Callable[[Path], Reading]] = MappingProxyType(
    {
        "pandalm": pandalm.read,
        "ukp_convarg1": ukp_convarg1.read,
        "finegrained_qa_pref": finegrained_qa_pref.read,
        "oasst": oasst.read,
        "hh_rlhf": hh_rlhf.read,
    }
)
"""Each takes the folder that holds the set's files."""

__all__ = ["READERS", "PublicLine", "Reading", "with_splits"]
