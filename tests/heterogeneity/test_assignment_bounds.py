"""Bounds over the levels of unreported studies: against all assignments, one after the other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity import assignment_bounds
from metaexo.heterogeneity.unreported.bounds import (
    ELSEWHERE,
    FIRST,
    SECOND,
    Side,
    largest_difference,
    largest_mean,
)


def data(levels: list[str | None], seed: int = 0, study: list[str] | None = None) -> mx.EffectSizes:
    rng = np.random.default_rng(seed)
    k = len(levels)
    return mx.EffectSizes(
        rng.normal(0.5, 0.6, k),
        rng.uniform(0.02, 0.2, k),
        study=study,
        data=pd.DataFrame({"isolation": pd.Series(levels, dtype=object)}),
    )


def every_assignment(es: mx.EffectSizes, levels: list[str]):
    """Yield the strata of every way to fill the levels that are missing."""
    words = es.data["isolation"].tolist()
    hidden = [i for i, word in enumerate(words) if word is None]
    for choice in product(levels, repeat=len(hidden)):
        filled = list(words)
        for i, level in zip(hidden, choice, strict=True):
            filled[i] = level
        yield mx.stratify(es.with_columns(isolation=filled), by="isolation")


@pytest.mark.parametrize("levels", [["UC", "SEC"], ["UC", "SEC", "kit"]])
def test_bounds_are_the_extremes_over_all_assignments(levels: list[str]) -> None:
    reported = [name for name in levels for _ in range(3)]
    es = data([*reported, *[None] * 4], seed=2)
    found = assignment_bounds(es, "isolation")
    means = {name: [] for name in levels}
    gaps, intervals = [], []
    for strata in every_assignment(es, levels):
        for name in levels:
            means[name].append(strata[name].pooled.estimate)
        gaps.append(strata["UC"].pooled.estimate - strata["SEC"].pooled.estimate)
        pairs = strata.pairwise(adjust=None).to_frame()
        row = pairs.loc["UC minus SEC"] if "UC minus SEC" in pairs.index else -pairs.loc["SEC minus UC"]
        intervals.append(tuple(sorted((row["low"], row["high"]))))
    assert found.assignments == len(levels) ** 4 == len(gaps)
    for name in levels:
        assert found[name].lowest == pytest.approx(min(means[name]), rel=1e-8)
        assert found[name].highest == pytest.approx(max(means[name]), rel=1e-8)
    bound = found["UC minus SEC"]
    assert bound.lowest == pytest.approx(min(gaps), rel=1e-8)
    assert bound.highest == pytest.approx(max(gaps), rel=1e-8)
    assert bound.lowest_interval == pytest.approx(intervals[int(np.argmin(gaps))], rel=1e-6)
    assert bound.highest_interval == pytest.approx(intervals[int(np.argmax(gaps))], rel=1e-6)
    assert bound.proved
    assert bound.limits == (bound.lowest, bound.highest)


@pytest.mark.parametrize("levels", [["UC", "SEC"], ["UC", "SEC", "kit"]])
def test_the_assignments_attain_the_bounds(levels: list[str]) -> None:
    reported = [name for name in levels for _ in range(3)]
    es = data([*reported, *[None] * 4], seed=5)
    found = assignment_bounds(es, "isolation")
    for end in ("lowest", "highest"):
        bound = found["UC minus SEC"]
        told = dict(zip(found.studies, getattr(bound, f"{end}_assignment").values(), strict=True))
        filled = [told.get(row, word) for row, word in zip(es.row_ids, es.data["isolation"], strict=True)]
        strata = mx.stratify(es.with_columns(isolation=filled), by="isolation")
        gap = strata["UC"].pooled.estimate - strata["SEC"].pooled.estimate
        assert gap == pytest.approx(getattr(bound, end), rel=1e-8)


def test_what_is_reported_is_the_estimate_without_the_others() -> None:
    es = data(["UC"] * 3 + ["SEC"] * 3 + [None] * 2)
    found = assignment_bounds(es, "isolation")
    strata = mx.stratify(es, by="isolation")
    assert found["UC"].reported == pytest.approx(strata["UC"].pooled.estimate, rel=1e-10)


def brute(first: Side, second: Side, w, y, elsewhere: bool) -> float:
    best = -np.inf
    places = (FIRST, SECOND, ELSEWHERE) if elsewhere else (FIRST, SECOND)
    for choice in product(places, repeat=len(y)):
        at = np.array(choice)
        joined, left = at == FIRST, at == SECOND
        a = (first.total + (w * y)[joined].sum()) / (first.weight + w[joined].sum())
        b = (second.total + (w * y)[left].sum()) / (second.weight + w[left].sum())
        best = max(best, a - b)
    return best


units = st.lists(st.tuples(st.floats(0.1, 10.0), st.floats(-3.0, 3.0)), min_size=1, max_size=6)
sides = st.tuples(st.floats(0.1, 20.0), st.floats(-3.0, 3.0)).map(lambda x: Side(x[0], x[0] * x[1]))


@given(sides, sides, units, st.booleans())
def test_for_given_weights_no_assignment_exceeds_the_bound(first, second, some, elsewhere) -> None:
    w, y = np.array(some).T
    found = largest_difference(first, second, w, y, elsewhere)
    best = brute(first, second, w, y, elsewhere)
    tolerance = 1e-9 * (1 + abs(best))
    assert found.value <= best + tolerance
    assert best <= found.bound + tolerance
    if found.proved:
        assert found.value == pytest.approx(best, abs=tolerance)


@given(sides, units)
def test_the_best_mean_takes_the_largest_effects(side, some) -> None:
    w, y = np.array(some).T
    found = largest_mean(side, w, y)
    best = max(
        (side.total + (w * y)[list(pick)].sum()) / (side.weight + w[list(pick)].sum())
        for pick in (np.array(bits, dtype=bool) for bits in product((0, 1), repeat=len(y)))
    )
    assert found.proved
    assert found.value == pytest.approx(best, abs=1e-9 * (1 + abs(best)))


def test_most_thresholds_are_proved() -> None:
    rng = np.random.default_rng(0)
    proved = 0
    for _ in range(200):
        w, y = rng.uniform(0.5, 5, 8), rng.normal(0, 1, 8)
        first, second = Side(4.0, 4 * rng.normal()), Side(4.0, 4 * rng.normal())
        proved += largest_difference(first, second, w, y, False).proved
    assert proved > 150


@pytest.mark.parametrize("levels", [["UC", "SEC"], ["UC", "SEC", "kit"]])
def test_a_given_tau2_has_the_extremes_over_all_assignments(levels: list[str]) -> None:
    reported = [name for name in levels for _ in range(3)]
    es = data([*reported, *[None] * 4], seed=4)
    found = assignment_bounds(es, "isolation", tau2=0.1)
    w = 1 / (es.v + 0.1)
    words = es.data["isolation"].tolist()
    gaps = []
    for choice in product(levels, repeat=4):
        filled = np.array([*words[:-4], *choice], dtype=object)
        mean = {name: np.average(es.y[filled == name], weights=w[filled == name]) for name in ("UC", "SEC")}
        gaps.append(mean["UC"] - mean["SEC"])
    bound = found["UC minus SEC"]
    assert bound.limits[0] <= min(gaps) + 1e-12
    assert max(gaps) - 1e-12 <= bound.limits[1]
    assert bound.proved
    assert (bound.lowest, bound.highest) == pytest.approx((min(gaps), max(gaps)), rel=1e-10)
    assert "tau2 held at 0.1000" in str(found)


def test_many_unreported_studies_are_bounded_at_the_tau2_of_the_others() -> None:
    es = data(["UC"] * 5 + ["SEC"] * 5 + [None] * 40, seed=6)
    found = assignment_bounds(es, "isolation")
    told = es.select(np.arange(10), "not reported")
    held = mx.RandomEffects(told, "isolation").fit().tau2
    same = assignment_bounds(es, "isolation", tau2=held)
    assert found["UC minus SEC"].limits == pytest.approx(same["UC minus SEC"].limits, rel=1e-9)
    assert found.assignments == 2**40
    assert found["UC minus SEC"].lowest < found["UC minus SEC"].reported < found["UC minus SEC"].highest


def test_all_effects_of_a_study_go_together() -> None:
    study = ["a", "b", "c", "d", "e", "e", "f"]
    es = data(["UC", "UC", "SEC", "SEC", None, None, None], study=study)
    found = assignment_bounds(es, "isolation")
    assert found.studies == ("e", "f")
    assert found.assignments == 4


def test_a_level_of_one_study_has_no_bounds_but_may_take_others() -> None:
    es = data(["UC"] * 3 + ["SEC"] * 3 + ["kit", None, None])
    found = assignment_bounds(es, "isolation")
    assert "reported by one study, so without bounds: kit" in str(found)
    assert {bound.quantity for bound in found.bounds} == {"SEC", "UC", "UC minus SEC"}
    assert found.assignments == 3**2
    with pytest.raises(errors.UnknownChoiceError, match="SEC"):
        found["kit"]


def test_the_sign_holds_only_if_it_holds_at_both_limits() -> None:
    clear = mx.EffectSizes(
        [0.0, 0.1, 0.05, 3.0, 3.1, 2.9, 1.5],
        [0.01] * 7,
        data=pd.DataFrame({"isolation": ["UC"] * 3 + ["SEC"] * 3 + [None]}),
    )
    assert assignment_bounds(clear, "isolation")["UC minus SEC"].sign_holds
    vague = data(["UC"] * 3 + ["SEC"] * 3 + [None] * 5)
    bound = assignment_bounds(vague, "isolation")["UC minus SEC"]
    assert bound.sign_holds == (bound.lowest > 0 or bound.highest < 0)
    assert not bound.sign_holds


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (["UC"] * 4 + [None] * 2, "1 level of isolation known"),
        (["UC", "SEC", "kit", None, None, None], "3 levels of isolation known, 0 of them by two studies"),
        ([None] * 4, "0 levels of isolation known"),
    ],
)
def test_too_few_reports_are_refused_in_words(levels: list[str | None], words: str) -> None:
    with pytest.raises(errors.TooFewStudiesError, match=words):
        assignment_bounds(data(levels), "isolation")


def test_other_refusals_are_in_words() -> None:
    with pytest.raises(errors.InputError, match="every study reports isolation"):
        assignment_bounds(data(["UC"] * 3 + ["SEC"] * 3), "isolation")
    with pytest.raises(errors.InputError, match="tau2 is -1"):
        assignment_bounds(data(["UC"] * 3 + ["SEC"] * 3 + [None]), "isolation", tau2=-1.0)
    es = data(["UC"] * 3 + ["SEC"] * 3 + [None])
    crossed = mx.stratify(es.with_columns(source=["plant"] * 7), by=["source", "isolation"])
    with pytest.raises(errors.InputError, match="cross 2 factors"):
        crossed.assignment_bounds()
    assert mx.stratify(es, by="isolation").assignment_bounds().studies == ("input:7",)


def test_the_table_has_a_row_a_quantity() -> None:
    table = assignment_bounds(data(["UC"] * 3 + ["SEC"] * 3 + [None] * 2), "isolation").to_frame()
    assert table["quantity"].tolist() == ["SEC", "UC", "UC minus SEC"]
    assert (table["lowest"] <= table["highest"]).all()
    assert table["proved"].all()
