"""Evidence-gap map, strip of values, shares and spread: the figures that are made of tables."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import (
    evidence_map,
    evidence_map_plan,
    interval_strip,
    interval_strip_plan,
    overlapping_texts,
    reported_shares,
    reported_shares_plan,
    spread,
    spread_plan,
)
from metaexo.plots.evidence_map_page import evidence_map_page
from metaexo.plots.forest_page import forest_page
from metaexo.plots.page import Area, clashes
from metaexo.plots.shares import reported_shares_page
from metaexo.plots.strip_page import strip_page


@pytest.fixture
def studies():
    """Return forty studies with source, isolation method, kind and access."""
    draws = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "study": [f"s{i // 2}" for i in range(40)],
            "source": draws.choice(["adipose_msc", "plant", "urine", None], 40),
            "isolation": draws.choice(["ultracentrifugation", "size_exclusion", "not_reported"], 40),
            "kind": draws.choice(["clinical", "preclinical"], 40),
            "access": draws.choice(["abstract", "full_text"], 40, p=[0.8, 0.2]),
            "size_nm": np.where(draws.random(40) < 0.2, np.nan, draws.lognormal(4.8, 0.4, 40)),
            "size_sd": 20.0,
        }
    )


# -- evidence-gap map ------------------------------------------------------------------------------------


def test_the_map_counts_what_the_table_holds(studies):
    plan = evidence_map_plan(studies, "source", "isolation", study="study")
    filled = studies.fillna({"source": "not reported"})
    for bubble in plan.bubbles:
        part = filled[
            (filled["source"].str.replace("_", " ") == bubble.row)
            & (filled["isolation"].str.replace("_", " ") == bubble.column)
        ]
        assert bubble.count == part["study"].nunique()
    assert plan.total == 20
    assert plan.rows[-1].name == "not reported"
    assert len(plan.bubbles) + len(plan.gaps) == len(plan.rows) * len(plan.columns)
    assert plan.to_frame()["count"].sum() == sum(bubble.count for bubble in plan.bubbles)


def test_areas_of_bubbles_go_with_their_counts():
    table = pd.DataFrame({"r": ["a", "a", "b"], "c": ["x", "y", "x"], "n": [4, 16, 64]})
    plan = evidence_map_plan(table, "r", "c", count="n")
    areas = [b.radius**2 / b.count for b in plan.bubbles]
    assert areas == pytest.approx([13.0**2 / 64] * 3, rel=0.01)
    assert plan.gaps == (("b", "y"),)
    assert plan.total == 84
    shaded = [i for i in evidence_map_page(plan).items if isinstance(i, Area)]
    assert len(shaded) == 1


def test_bubbles_stay_in_their_cells_and_apart(studies):
    plan = evidence_map_plan(studies, "source", "isolation", by="kind")
    columns = {c.name: c for c in plan.columns}
    rows = {r.name: r for r in plan.rows}
    for b in plan.bubbles:
        assert columns[b.column].low <= b.x - b.radius
        assert b.x + b.radius <= columns[b.column].high
        assert rows[b.row].low <= b.y - b.radius
        assert b.y + b.radius <= rows[b.row].high
        for other in plan.bubbles:
            if other != b and (b.row, b.column) == (other.row, other.column):
                assert math.dist((b.x, b.y), (other.x, other.y)) >= b.radius + other.radius


def test_categories_that_nobody_studied_are_shown(studies):
    order = ["milk_colostrum", "plant", "urine", "adipose_msc", None]
    plan = evidence_map_plan(studies, "source", "isolation", row_order=order)
    assert plan.rows[0].name == "milk colostrum"
    assert plan.rows[0].total == 0
    assert sum(row == "milk colostrum" for row, _ in plan.gaps) == 3
    with pytest.raises(InputError, match="urine"):
        evidence_map_plan(studies, "source", "isolation", row_order=["plant", "adipose_msc", None])


@pytest.mark.parametrize("by", [None, "kind"])
def test_texts_of_a_map_never_overlap(studies, by):
    plan = evidence_map_plan(studies, "source", "isolation", by=by, title="Map " * 60)
    assert clashes(evidence_map_page(plan)) == []
    assert overlapping_texts(evidence_map(plan)) == []


def test_numbers_that_do_not_fit_a_bubble_stand_beside_it():
    table = pd.DataFrame({"r": ["a", "b"], "c": ["x", "x"], "n": [12, 9000]})
    plan = evidence_map_plan(table, "r", "c", count="n")
    assert [b.number_inside for b in plan.bubbles] == [False, True]
    assert clashes(evidence_map_page(plan)) == []


def test_maps_that_cannot_be_drawn_are_refused(studies):
    with pytest.raises(UnknownChoiceError, match="sauce"):
        evidence_map_plan(studies, "sauce", "isolation")
    with pytest.raises(InputError, match="no rows"):
        evidence_map_plan(studies.iloc[:0], "source", "isolation")
    with pytest.raises(InputError, match="20 values"):
        evidence_map_plan(studies, "source", "isolation", by="study")


# -- strip of values -------------------------------------------------------------------------------------


def strip_of(studies, **choices):
    table = studies.assign(
        low=studies["size_nm"] - studies["size_sd"], high=studies["size_nm"] + studies["size_sd"]
    )
    return interval_strip_plan(table, "size_nm", low="low", high="high", by="kind", study="study", **choices)


def test_a_strip_shows_every_value(studies):
    plan = strip_of(studies, rows="source")
    frame = plan.to_frame()
    there = studies.dropna(subset=["size_nm"])
    assert sorted(frame["value"]) == pytest.approx(sorted(there["size_nm"]))
    assert sorted(frame["low"]) == pytest.approx(sorted(there["size_nm"] - 20))
    missing = int(studies["size_nm"].isna().sum())
    assert missing > 0
    assert plan.notes == (f"Not shown: {missing} rows of the table without a value.",)
    row = next(row for row in plan.rows if row.label == ("plant",))
    part = there[there["source"] == "plant"]
    assert row.cells == (str(len(part)), str(part["study"].nunique()), f"{part['size_nm'].median():.1f}")


def test_points_of_a_strip_do_not_overlap(studies):
    plan = strip_of(studies, rows="isolation")
    for row in plan.rows:
        places = [(plan.panel.x(p.value), p.y) for p in row.points]
        assert all(abs(y - row.y) <= row.height / 2 for _, y in places)
        for i, one in enumerate(places):
            assert all(math.dist(one, two) >= 5.0 for two in places[:i])


def test_two_columns_make_heads(studies):
    plan = strip_of(studies, rows=["source", "isolation"], title="Sizes", reference=120.0)
    heads = [row.label[0] for row in plan.rows if row.kind == "head"]
    assert set(heads) == {"adipose msc", "plant", "urine", "not reported"}
    assert heads[-1] == "not reported"
    assert clashes(strip_page(plan)) == []
    assert overlapping_texts(interval_strip(plan)) == []
    assert plan.axis.reference == pytest.approx(math.log(120.0))


def test_an_interval_below_zero_runs_out_of_a_logarithmic_axis():
    table = pd.DataFrame(
        {"size": [100.0, 120.0, 90.0], "low": [-20.0, 100.0, 80.0], "high": [200.0, 140.0, 99.0]}
    )
    table["source"] = "plant"
    plan = interval_strip_plan(table, "size", "source", low="low", high="high")
    assert plan.rows[0].points[0].low == -math.inf
    assert math.exp(plan.axis.low) > 50
    arrows = [i for i in strip_page(plan).items if isinstance(i, Area)]
    assert plan.panel.left in [arrow.points[0][0] for arrow in arrows]


def test_values_that_a_logarithmic_axis_cannot_show_are_refused():
    table = pd.DataFrame({"size": [100.0, 0.0], "source": ["plant", "urine"]})
    with pytest.raises(InputError, match="row 2: 0"):
        interval_strip_plan(table, "size", "source")
    assert len(interval_strip_plan(table, "size", "source", log=False).rows) == 2
    with pytest.raises(InputError, match="no number"):
        interval_strip_plan(table.assign(size=np.nan), "size", "source")


# -- shares ----------------------------------------------------------------------------------------------


def test_shares_count_what_is_filled_in(studies):
    plan = reported_shares_plan(studies, {"source": "Source", "size_nm": "Size"}, by="access")
    frame = plan.to_frame().set_index(["item", "group"])
    for access, part in studies.groupby("access"):
        row = frame.loc["Size", access.replace("_", " ")]
        assert (row["reported"], row["total"]) == (part["size_nm"].notna().sum(), len(part))
    assert any("floor" in note for note in plan.notes)
    lengths = {share.group: share.fraction for share in plan.shares if share.item == "Source"}
    page = reported_shares_page(plan)
    bars = [i for i in page.items if isinstance(i, Area) and i.fill == plan.shares[0].colour]
    share = lengths[plan.shares[0].group]
    assert bars[0].points[1][0] == pytest.approx(plan.panel.left + share * 190.0, abs=0.01)


def test_not_reported_is_not_reported(studies):
    plan = reported_shares_plan(studies, ["isolation"], floor=False)
    expected = int((studies["isolation"] != "not_reported").sum())
    assert [(s.reported, s.total) for s in plan.shares] == [(expected, 40)]
    assert plan.notes == ()


def test_texts_of_shares_never_overlap(studies):
    items = {"source": "Source of the vesicles, in the words of the paper or in others", "size_nm": "Size"}
    plan = reported_shares_plan(studies, items, by="access", title="Shares " * 30)
    assert clashes(reported_shares_page(plan)) == []
    assert overlapping_texts(reported_shares(plan)) == []


def test_shares_of_nothing_are_refused(studies):
    with pytest.raises(InputError, match="0 items"):
        reported_shares_plan(studies, [])
    with pytest.raises(UnknownChoiceError, match="sauce"):
        reported_shares_plan(studies, ["sauce"])


# -- spread ----------------------------------------------------------------------------------------------


def test_a_spread_prints_intervals_as_they_were_reported(published):
    plan = spread_plan(
        published, low="ci_low", high="ci_high", label="review", by="question", measure="SMD", digits=3
    )
    rows = {row.cells["label"][0]: row.cells["estimate"] for row in plan.rows if row.kind == "study"}
    assert rows["bailey2021"] == ("5.480", "[3.550 to", "8.130]")  # not symmetric, and kept so
    assert rows["tian2023"] == ("1.423", "[1.137 to", "1.709]")
    assert [row.text[0] for row in plan.rows if row.kind == "head"] == [
        "wound closure",
        "infarct volume",
        "lung injury score",
    ]
    assert clashes(forest_page(plan)) == []
    assert overlapping_texts(spread(plan)) == []


def test_ratios_in_a_spread_are_given_as_ratios():
    table = pd.DataFrame(
        {"label": ["a", "b"], "estimate": [0.53, 6.45], "low": [0.46, 2.78], "high": [0.6, np.nan]}
    )
    plan = spread_plan(table, measure="RR")
    assert plan.rows[0].cells["estimate"] == ("0.53", "[0.46 to", "0.60]")
    assert plan.rows[0].mark.estimate == pytest.approx(math.log(0.53), abs=1e-12)


def test_an_estimate_may_lack_its_interval(published):
    table = published.assign(ci_low=np.nan, ci_high=np.nan)
    plan = spread_plan(table, low="ci_low", high="ci_high", label="review", measure="SMD")
    assert {row.cells["estimate"][1:] for row in plan.rows} == {("", "")}
    assert plan.axis.low < -4.02
    assert plan.axis.high > 5.48


def test_an_estimate_outside_its_interval_is_refused(published):
    table = published.assign(ci_high=0.0)
    with pytest.raises(InputError, match=r"row 1: 5\.42"):
        spread_plan(table, low="ci_low", high="ci_high", label="review")
    with pytest.raises(InputError, match="0 of 0 rows"):
        spread_plan(table.iloc[:0], low="ci_low", high="ci_high", label="review")
