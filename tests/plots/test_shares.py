"""Shares of studies that report a thing."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import THEMES, overlapping_texts, reported_shares, reported_shares_plan
from metaexo.plots.canvas.tables import is_reported
from tests.plots.drawn import texts


def bars(plan):
    return [row for row in plan.rows if row.kind == "study"]


def table_of(plan):
    frame = plan.to_frame()
    return frame[frame["kind"] == "study"]


def boxes(ax):
    """Return left, right, place in points from the top and hatch of the bars as drawn, empty ones too."""
    found = []
    for collection in ax.collections:
        for path in collection.get_paths():
            (x0, y0), (x1, y1) = path.vertices.min(axis=0), path.vertices.max(axis=0)
            found.append((x0, x1, (y0 + y1) / 2, collection.get_hatch()))
    return found


def test_shares_count_what_is_filled_in(studies):
    plan = reported_shares_plan(studies, {"source": "Source", "size_nm": "Size"}, by="access")
    frame = table_of(plan).set_index(["item", "group"])
    for access, part in studies.groupby("access"):
        row = frame.loc["Size", access.replace("_", " ")]
        reported = part["size_nm"].notna().sum()
        assert (row["reported"], row["total"]) == (reported, len(part))
        assert row["estimate"] == pytest.approx(100 * reported / len(part), rel=1e-9)
        assert row["cell_reported"].startswith(f"{reported} of {len(part)} (")
    assert any("lower bounds" in note for note in plan.notes)
    assert (plan.axis.low, plan.axis.high) == (0.0, 100.0)
    drawn = boxes(reported_shares(plan))
    for row in bars(plan):
        here = sorted(box for box in drawn if abs(box[2] - row.y) < 0.02)
        assert [(left, right) for left, right, *_ in here] == [
            (0.0, pytest.approx(row.mark.estimate)),
            (0.0, 100.0),
        ]


def test_not_reported_is_not_reported(studies):
    plan = reported_shares_plan(studies, ["isolation"], lower_bound=False)
    expected = int((studies["isolation"] != "not_reported").sum())
    (row,) = plan.rows
    assert (row.extra["reported"], row.extra["total"]) == (expected, 40)
    assert row.cells["label"] == ("Isolation method",)
    assert plan.notes == ()
    none = reported_shares_plan(studies.assign(x=None), ["x"])
    assert none.rows[0].cells["reported"] == ("0 of 40 (0%)",)
    assert [(left, right) for left, right, *_ in boxes(reported_shares(none))] == [(0.0, 100.0)]


@pytest.mark.parametrize("theme", THEMES)
def test_texts_of_shares_never_overlap(studies, theme):
    items = {"source": "Source of the vesicles, in the words of the paper or in others", "size_nm": "Size"}
    plan = reported_shares_plan(
        studies,
        items,
        by=["kind", "access"],
        title="Shares " * 30,
        theme=theme,
        wording={"clinical": "王 " * 9},
    )
    ax = reported_shares(plan)
    assert overlapping_texts(ax) == []
    plt.close(ax.figure)
    narrow = reported_shares(studies, items, by="access", width=3.6, theme=theme)
    assert overlapping_texts(narrow) == []
    plt.close(narrow.figure)


def test_shares_in_axes_and_in_a_part_of_a_figure(studies):
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
    assert reported_shares(studies, ["source", "size_nm"], by="access", ax=left) is left
    assert overlapping_texts(left) == []
    assert right.get_position().x0 > 0.5
    part = plt.figure(figsize=(12, 4)).subfigures(1, 2)[0]
    assert overlapping_texts(reported_shares(studies, ["source"], by="access", ax=part)) == []


def test_shares_of_nothing_are_refused(studies):
    with pytest.raises(InputError, match="0 items"):
        reported_shares_plan(studies, [])
    with pytest.raises(UnknownChoiceError, match="sauce"):
        reported_shares_plan(studies, ["sauce"])
    with pytest.raises(UnknownChoiceError, match="acces"):
        reported_shares_plan(studies, ["source"], by="access", titles={"acces": "Read as"})


def test_two_columns_make_heads_and_only_the_second_has_colors(studies):
    plan = reported_shares_plan(
        studies,
        {"source": "Source", "size_nm": "Size"},
        by=["kind", "access"],
        by_order=["full_text", "abstract"],
        head_order=["preclinical", "clinical"],
        titles={"access": "Read as"},
    )
    assert [column.title for column in plan.columns] == [("Kind",), ("Read as",), ("Reported",)]
    assert [row.text[0] for row in plan.rows if row.kind == "head"] == ["Source", "Size"]
    frame = table_of(plan)
    size = frame[frame["item"] == "Size"]
    assert list(zip(size["head"], size["group"], strict=True)) == [
        (kind, access) for kind in ("preclinical", "clinical") for access in ("full text", "abstract")
    ]
    for row in size.itertuples():
        part = studies[(studies["kind"] == row.head) & (studies["access"].str.replace("_", " ") == row.group)]
        assert (row.reported, row.total) == (part["size_nm"].notna().sum(), len(part))
    signs = {row.mark.name: (row.mark.color, row.mark.hatch) for row in bars(plan)}
    assert len({color for color, _ in signs.values()}) == len({hatch for _, hatch in signs.values()}) == 2
    assert all((row.mark.color, row.mark.hatch) == signs[row.mark.name] for row in bars(plan))
    heads = [row.cells.get("label", ("",))[0] for row in bars(plan)]
    assert heads == ["preclinical", "", "clinical", ""] * 2
    ax = reported_shares(plan)
    assert overlapping_texts(ax) == []
    assert len({hatch for *_, hatch in boxes(ax)}) == 2
    with pytest.raises(InputError, match="3 columns"):
        reported_shares_plan(studies, ["source"], by=["kind", "access", "isolation"])


def test_names_and_numbers_stand_beside_their_bars(studies):
    plan = reported_shares_plan(studies, ["isolation", "source"], by="access")
    ax = reported_shares(plan)
    drawn = boxes(ax)
    for row in bars(plan):
        at = [text.text for text in texts(ax) if text.y == pytest.approx(row.y)]
        assert at == [row.mark.name, row.cells["reported"][0]]
        share = row.extra["reported"] / row.extra["total"]
        assert max(right for _, right, y, _ in drawn if abs(y - row.y) < 0.02 and right < 100) == (
            pytest.approx(100 * share)
        )


def test_missing_values_of_all_kinds_are_not_reported():
    for value in (None, float("nan"), pd.NA, np.False_, "Unclear ", "none", ""):
        assert not is_reported(value)
    for value in (np.True_, 0, "UC"):
        assert is_reported(value)
