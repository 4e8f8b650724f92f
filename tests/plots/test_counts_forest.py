"""Forest plots of counts: shares of one arm with exact intervals, effects of two arms beside their counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import forest, forest_plan, overlapping_texts

LONG = "Exosomes of umbilical cord stem cells for the healing of diabetic wounds, 王小明 B"


def one_arm(x=(0, 3, 12, 1, 0), n=(12, 40, 12, 1, 300), **more):
    return mx.event_counts(events=list(x), n=list(n), **more)


def studies(plan):
    return [row for row in plan.rows if row.kind == "study"]


def row_of(plan, id):
    return plan.to_frame().set_index("id").loc[id]


# -- one arm -------------------------------------------------------------------------------------------------


def test_shares_stand_where_they_were_observed_with_the_limits_of_clopper_and_pearson():
    counts = one_arm()
    plan = forest_plan(counts)
    table = plan.to_frame().query("kind == 'study'")
    x, n = counts.events[:, 0], counts.totals[:, 0]
    low = np.where(x == 0, 0.0, stats.beta.ppf(0.025, np.maximum(x, 1e-9), n - x + 1))
    high = np.where(x == n, 1.0, stats.beta.ppf(0.975, x + 1, np.maximum(n - x, 1e-9)))
    assert table["estimate"].to_numpy() == pytest.approx(x / n, abs=1e-12)
    assert table["low"].to_numpy() == pytest.approx(low, abs=1e-10)
    assert table["high"].to_numpy() == pytest.approx(high, abs=1e-10)
    assert not table["hollow"].any(), "nothing was added, so nothing is derived"
    assert [row.cells["events / n"] for row in studies(plan)][:2] == [("0 / 12",), ("3 / 40",)]
    assert studies(plan)[0].cells["estimate"] == ("0.000", "[0.000 to", "0.265]")
    assert (plan.axis.scale, plan.axis.low, plan.axis.high, plan.axis.reference) == ("linear", 0.0, 1.0, None)
    assert len(forest(plan).get_xticks()) >= 3
    areas = np.square([row.mark.size for row in studies(plan)])
    assert areas[1] / areas[4] == pytest.approx(40 / 300)
    assert "weight" not in {column.key for column in plan.columns}
    assert "Intervals of studies: exact (Clopper and Pearson); nothing is added to zeros." in plan.notes


def test_rare_events_have_the_part_of_the_axis_that_is_used():
    plan = forest_plan(one_arm((0, 1, 0), (120, 300, 80)), per=1000)
    assert plan.axis.low == 0.0
    assert 45 < plan.axis.high < 60
    assert len(forest(plan).get_xticks()) >= 3
    first = studies(plan)[1].mark
    assert (first.estimate, first.high) == pytest.approx((1000 / 300, 1000 * stats.beta.ppf(0.975, 2, 299)))
    assert plan.axis.label == "People with an event per 1,000"


@pytest.mark.parametrize("interval", ["exact", "mid-p", "wilson", "jeffreys"])
def test_other_intervals_are_those_of_safety(interval):
    counts = one_arm()
    found = mx.safety.study_intervals(counts, interval, level=0.9)
    table = forest_plan(counts, interval=interval, level=0.9, per=100).to_frame()
    assert table["low"].to_numpy(dtype=float) == pytest.approx(100 * found.low)
    assert table["high"].to_numpy(dtype=float) == pytest.approx(100 * found.high)


def test_rates_have_the_limits_of_garwood_on_a_linear_axis_from_zero():
    counts = mx.event_counts(events=[0, 4], time=[12.5, 40.25])
    plan = forest_plan(counts, per=100)
    table = plan.to_frame()
    assert table["low"].tolist() == pytest.approx([0.0, 100 * stats.chi2.ppf(0.025, 8) / 2 / 40.25])
    assert table["high"].tolist() == pytest.approx(
        [100 * stats.chi2.ppf(0.975, 2) / 2 / 12.5, 100 * stats.chi2.ppf(0.975, 10) / 2 / 40.25]
    )
    assert (plan.axis.scale, plan.axis.low) == ("linear", 0.0)
    assert studies(plan)[1].cells["events / time"] == ("4 / 40.25",)
    assert "Area of a square: person-time." in plan.notes


def test_upper_limits_alone_are_one_sided_and_open_to_the_left():
    counts = one_arm()
    plan = forest_plan(counts, upper=True)
    rows = studies(plan)
    assert rows[0].mark.high == pytest.approx(1 - 0.05 ** (1 / 12))
    assert all(row.mark.low is None for row in rows)
    assert rows[0].cells["estimate"] == ("0.000", "[up to", "0.221]")
    assert any(note.startswith("Each study has its one-sided 95% upper limit alone") for note in plan.notes)
    assert ("Proportion", "95% limit") in {column.title for column in plan.columns}


def test_limits_of_all_studies_stand_below_them():
    counts = one_arm((0, 0, 0), (12, 8, 30))
    one, two = (mx.safety.upper_limit(counts, sides=sides) for sides in (1, 2))
    mean = mx.safety.upper_limit(counts, heterogeneity=0.1)
    plan = forest_plan(counts, models=[one, two, mean])
    first, second, third = (row_of(plan, f"limit:{i}") for i in range(3))
    assert first["high"] == pytest.approx(1 - 0.05 ** (1 / 50))
    assert (second["estimate"], second["low"]) == (0.0, 0.0)
    assert second["high"] == pytest.approx(1 - 0.025 ** (1 / 50))
    assert third["high"] == pytest.approx(mean.value)
    assert np.isnan(third["estimate"])
    assert [row["cell_events / n"] for row in (first, third)] == ["0 / 50"] * 2
    assert first["cell_estimate"] == "0.000 [up to 0.058]"
    assert any(note.startswith("Mean risk over studies: study risks with a beta") for note in plan.notes)
    assert [row.kind for row in forest_plan(one).rows] == ["study"] * 3 + ["spacer", "total"]
    with pytest.raises(InputError, match="other counts"):
        forest_plan(one_arm(), models=[one])


def test_heads_columns_and_orders():
    data = pd.DataFrame({"route": ["topical", "inhaled", "topical"], "age": [3.0, 2.0, 1.0]})
    counts = mx.event_counts(data, events=[0, 1, 2], n=[10, 20, 5], labels=["a", "b", "c"])
    plan = forest_plan(counts, by="route", columns=["age", "events"], order="age")
    assert [" ".join(row.text or row.cells["label"]) for row in plan.rows if row.kind != "spacer"] == [
        "topical", "c", "a", "inhaled", "b",
    ]  # fmt: skip
    assert [column.key for column in plan.columns] == ["label", "age", "events / n", "estimate"]
    assert [column.key for column in forest_plan(counts, columns=()).columns] == ["label", "estimate"]


@pytest.mark.parametrize(("k", "look"), [
    (1, {}), (2, {"theme": "revman"}), (3, {"theme": "dark", "width": 5.0}), (150, {"upper": True}),
])  # fmt: skip
def test_texts_of_shares_never_overlap(k, look):
    n = np.random.default_rng(k).integers(1, 80, k)
    counts = one_arm(np.random.default_rng(k).binomial(n, 0.03), n, labels=[LONG] * k)
    plan = forest_plan(counts, models=[mx.safety.upper_limit(counts)], title=LONG, **look)
    assert len([row for row in studies(plan) if row.mark is not None]) == k
    assert overlapping_texts(forest(plan)) == []


def test_wrong_choices_of_counts_are_refused():
    two = mx.event_counts(treatment_events=[1], treatment_n=[9], control_events=[0], control_n=[8])
    with pytest.raises(InputError, match="two arms, which have no effect"):
        forest_plan(two)
    with pytest.raises(InputError, match="per is 7"):
        forest_plan(one_arm(), per=7)
    with pytest.raises(InputError, match="a level above"):
        forest_plan(one_arm(), upper=True, level=0.4)
    with pytest.raises(InputError, match="log scale, and an estimate of 0"):
        forest_plan(one_arm(), scale="log")
    effects = mx.EffectSizes([0.1, 0.2], [0.1, 0.1])
    for choice in ({"per": 100}, {"upper": True}, {"interval": "wilson"}):
        with pytest.raises(InputError, match="for an EffectSizes"):
            forest_plan(effects, **choice)
    with pytest.raises(InputError, match="models holds 'common'"):
        forest_plan(one_arm(), models=["common"])
