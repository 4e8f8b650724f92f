"""Shares of studies that report a thing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import overlapping_texts, reported_shares, reported_shares_plan
from metaexo.plots.canvas.page import Area
from metaexo.plots.canvas.tables import is_reported
from metaexo.plots.shares import reported_shares_page
from tests.plots.boxes import clashes


def test_shares_count_what_is_filled_in(studies):
    plan = reported_shares_plan(studies, {"source": "Source", "size_nm": "Size"}, by="access")
    frame = plan.to_frame().set_index(["item", "group"])
    for access, part in studies.groupby("access"):
        row = frame.loc["Size", access.replace("_", " ")]
        assert (row["reported"], row["total"]) == (part["size_nm"].notna().sum(), len(part))
    assert any("lower bounds" in note for note in plan.notes)
    lengths = {share.group: share.fraction for share in plan.shares if share.item == "Source"}
    page = reported_shares_page(plan)
    bars = [i for i in page.items if isinstance(i, Area) and i.fill == plan.shares[0].color]
    share = lengths[plan.shares[0].group]
    assert bars[0].points[1][0] == pytest.approx(plan.panel.left + share * 190.0, abs=0.01)


def test_not_reported_is_not_reported(studies):
    plan = reported_shares_plan(studies, ["isolation"], lower_bound=False)
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


def test_two_columns_make_heads_and_only_the_second_has_colors(studies):
    plan = reported_shares_plan(
        studies,
        {"source": "Source", "size_nm": "Size"},
        by=["kind", "access"],
        by_order=["full_text", "abstract"],
        head_order=["preclinical", "clinical"],
    )
    size = [s for s in plan.shares if s.item == "Size"]
    assert [(s.head, s.group) for s in size] == [
        (kind, access) for kind in ("preclinical", "clinical") for access in ("full text", "abstract")
    ]
    assert len({s.color for s in plan.shares}) == 2
    for share in size:
        part = studies[
            (studies["kind"] == share.head) & (studies["access"].str.replace("_", " ") == share.group)
        ]
        assert (share.reported, share.total) == (part["size_nm"].notna().sum(), len(part))
    assert [lines[0] for lines, _ in plan.heads] == ["preclinical", "clinical"] * 2
    assert plan.to_frame()["head"].tolist() == [s.head for s in plan.shares]
    assert clashes(reported_shares_page(plan)) == []
    with pytest.raises(InputError, match="3 columns"):
        reported_shares_plan(studies, ["source"], by=["kind", "access", "isolation"])


def test_missing_values_of_all_kinds_are_not_reported():
    for value in (None, float("nan"), pd.NA, np.False_, "Unclear ", "none", ""):
        assert not is_reported(value)
    for value in (np.True_, 0, "UC"):
        assert is_reported(value)
