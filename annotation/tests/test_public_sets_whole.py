"""The public sets as they lie beside the checkout, read whole: counts and agreement as published or recomputed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score

from annotation.agreement import agreement_of
from annotation.import_lines import Faults, Line, read_lines
from annotation.models import Campaign
from annotation.public_sets import READERS, Reading
from annotation.public_sets.ukp_convarg1 import strict_preferences
from annotation.queries import agreement
from annotation.services import import_jsonl
from annotation.tests.voting import counts_of
from tests.cast import Cast

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not at ../shared/data")

PRINTED = 1e-6
"""The precision of expected.json."""


def read(name: str, folder: str) -> tuple[Reading, list[Line]]:
    reading, faults = READERS[name](DATA / folder), Faults()
    lines = read_lines([json.dumps(line.row).encode() for line in reading.lines], faults)
    assert faults.kept == []
    assert len(lines) == len(reading.lines)
    return reading, lines


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "expected.json").read_text())[name]
    return found


def votes(lines: list[Line]) -> Iterator[dict[str, int]]:
    """labeler -> 1, 0 or -1 for every line of two answers."""
    for line in lines:
        yield {said.labeler: outcome(*said.ranks) for said in line.rankings}


def outcome(first: int | None, second: int | None) -> int:
    assert first is not None
    assert second is not None
    return (first < second) - (first > second)


def longer_wins(lines: list[Line]) -> list[float]:
    """For every stated preference between two of a line's answers whether the longer is preferred; equal: a half."""
    hits = []
    for line in lines:
        for said in line.rankings:
            for i, one in enumerate(line.answers):
                for j, other in enumerate(line.answers[:i]):
                    lead = outcome(said.ranks[i], said.ranks[j]) * (len(one.text) - len(other.text))
                    if said.ranks[i] != said.ranks[j]:
                        hits.append((lead > 0) + (lead == 0) / 2)
    return hits


def share(values: list[float]) -> float:
    return sum(values) / len(values)


def test_pandalm_has_the_published_agreement() -> None:
    want, (reading, lines) = expected("pandalm"), read("pandalm", "pandalm_testset")

    said = list(votes(lines))
    found = agreement_of(counts_of(unit.values() for unit in said))

    assert (reading.num_rows, len(lines), reading.left_out) == (want["n"], want["n"], {})
    assert reading.repaired == {"true or false read as that word": 6, "empty answer kept as one": 54}
    assert found.alpha == pytest.approx(want["alpha_ordinal_1_0_2_as_m1_0_p1"], abs=PRINTED)
    assert found.same == pytest.approx(want["pair_agree"], abs=PRINTED)
    assert (found.leave_one_out, found.num_leave_one_out) == pytest.approx(want["loo_notie"], abs=PRINTED)
    by_annotator = [[unit[f"pandalm-annotator{n}"] for unit in said] for n in (1, 2, 3)]
    for one, other in ((1, 2), (1, 3), (2, 3)):
        kappa = cohen_kappa_score(by_annotator[one - 1], by_annotator[other - 1])
        assert kappa == pytest.approx(want[f"kappa{one}{other}"], abs=PRINTED)
    assert sum(len(set(unit.values())) == 1 for unit in said) == want["unanimous"]


def test_pandalm_imported_has_the_published_agreement(cast: Cast, campaign: Campaign) -> None:
    want, reading = expected("pandalm"), READERS["pandalm"](DATA / "pandalm_testset")

    report = import_jsonl(campaign=campaign, by=None, lines=[json.dumps(line.row).encode() for line in reading.lines])

    assert (report.num_tasks, report.num_rankings) == (999, 2997)
    found = agreement(campaign)
    assert found.same == pytest.approx(want["pair_agree"], abs=PRINTED)
    assert (found.leave_one_out, found.num_leave_one_out) == pytest.approx(want["loo_notie"], abs=PRINTED)


def test_ukp_has_the_low_agreement_that_crowds_have() -> None:
    want, (reading, lines) = expected("ukp"), read("ukp_convarg1", "ukp_convarg1")

    said = list(votes(lines))
    words = [value for unit in said for value in unit.values()]
    labelers = {labeler for unit in said for labeler in unit}
    found = agreement_of(counts_of(unit.values() for unit in said))

    assert (len(lines), reading.left_out, reading.repaired) == (want["n_pairs"], {}, {})
    assert (len(words), len(labelers)) == (want["n_labels"], want["workers"])
    assert words.count(0) / len(words) == pytest.approx(want["tie_share"], abs=PRINTED)
    assert found.alpha == pytest.approx(want["alpha_ordinal"], abs=PRINTED)
    assert found.same == pytest.approx(want["pair_agree"], abs=PRINTED)
    assert (found.leave_one_out, found.num_leave_one_out) == pytest.approx(want["loo_notie_all"], abs=PRINTED)
    assert median(r.seconds for line in lines for r in line.rankings if r.seconds is not None) == want["median_seconds"]


def test_ukps_strict_preferences_are_what_workers_are_measured_by() -> None:
    want, (_reading, lines) = expected("ukp"), read("ukp_convarg1", "ukp_convarg1")
    strict = strict_preferences(DATA / "ukp_convarg1")

    agreed: list[float] = []
    longer = []
    for line, said in zip(lines, votes(lines), strict=True):
        preferred = strict.get((line.answers[0].source, line.answers[1].source))
        if preferred:
            agreed += [float(value == preferred) for value in said.values() if value]
            first, second = (len(answer.text) for answer in line.answers)
            longer.append(float(preferred == (1 if first >= second else -1)))

    assert (share(agreed), len(agreed)) == pytest.approx(want["worker_vs_strict_notie"], abs=PRINTED)
    assert (len(strict), len(longer)) == (11650, 11650)
    assert share(longer) == pytest.approx(want["length_heuristic_strict"], abs=PRINTED)


def test_finegrained_has_ten_questions_without_a_weak_order() -> None:
    want, (reading, lines) = expected("finegrained"), read("finegrained_qa_pref", "finegrained_qa_pref")

    words = [value for unit in votes(lines) for value in unit.values()]

    assert (reading.num_rows, len(words), reading.left_out) == (want["n"], want["pairs"], {})
    assert words.count(0) / len(words) == pytest.approx(want["tie_share"], abs=PRINTED)
    assert share(longer_wins(lines)) == pytest.approx(want["length_heuristic"], abs=5e-6)  # printed to five places
    questions = [words[start : start + 6] for start in range(0, len(words), 6)]
    orders = {tuple(outcome(*pair) for pair in combinations(ranks, 2)) for ranks in product(range(4), repeat=4)}
    assert sum(tuple(said) in orders for said in questions) == want["weak_order_consistent"]


def test_oasst_has_its_groups_and_pairs() -> None:
    want, (reading, lines) = expected("oasst"), read("oasst", "oasst_trees100")

    assert (len(lines), reading.left_out, reading.repaired) == (want["groups"], {}, {})
    assert {len(line.answers) for line in lines} == {2, 3, 4, 5, 6, 8, 9}
    hits = longer_wins(lines)
    assert len(hits) == want["pairs"]
    assert share(hits) == pytest.approx(want["length_heuristic"], abs=PRINTED)


def test_hh_prefers_the_shorter_answer() -> None:
    want, (reading, lines) = expected("hh"), read("hh_rlhf", "hh_rlhf_harmless_test")

    assert (len(lines), reading.left_out) == (want["n"], {})
    assert reading.repaired == {"empty answer kept as one": 4, "answer of several turns kept whole": 5}
    assert share([float(hit == 1) for hit in longer_wins(lines)]) == pytest.approx(want["length"], abs=PRINTED)
    assert all(line.answers[0].text != line.answers[1].text for line in lines)
