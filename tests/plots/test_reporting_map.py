"""Maps of reporting: what a cell says, the shares beside and below, and what is drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots.canvas.fonts import contrast
from metaexo.plots.canvas.theme import THEMES
from metaexo.plots.review.reporting_map import KEYS, NOT_APPLICABLE, NOT_REPORTED, NOT_SEEN, REPORTED
from tests.evidence.folders import DATA

TABLE = pd.DataFrame(
    {
        "study": ["Li 2020", "Cho 2021", "Kim 2022", "Wu 2023"],
        "isolation": ["UC", "not_reported", None, "SEC"],
        "markers": [True, False, True, True],
        "rotor": ["SW 32", "N/A", "not_applicable", ""],
        "size": [101.0, np.nan, 88.0, "not seen"],
        "abstract": [False, False, True, False],
    }
)
ITEMS = ["isolation", "markers", "rotor", "size"]
LONG = "Number of particles per volume of the starting material, by nanoparticle tracking"


def big(k, n=9):
    rng = np.random.default_rng(k)
    words = rng.choice(["yes", "", "n/a", "not seen"], (k, n), p=[0.5, 0.3, 0.1, 0.1])
    frame = pd.DataFrame(words, columns=[f"Item {j}" if j % 2 else f"{LONG} {j}" for j in range(n)])
    frame.insert(0, "study", [f"{LONG} {i}" if i % 5 == 0 else f"Author {i}" for i in range(k)])
    return frame


def words(plan):
    """Return what the cells say, one tuple per study."""
    frame = plan.to_frame()
    return [tuple(frame.loc[frame["study"] == study, "status"]) for study in plan.rows]


def test_what_a_cell_says():
    plan = mx.plots.reporting_map_plan(TABLE, ITEMS)
    assert words(plan) == [
        (REPORTED, REPORTED, REPORTED, REPORTED),
        (NOT_REPORTED, NOT_REPORTED, NOT_APPLICABLE, NOT_REPORTED),
        (NOT_REPORTED, REPORTED, NOT_APPLICABLE, REPORTED),
        (REPORTED, REPORTED, NOT_REPORTED, NOT_SEEN),
    ]


def test_shares_leave_out_what_does_not_apply():
    plan = mx.plots.reporting_map_plan(TABLE, ITEMS)
    shares = plan.shares().set_index("item")
    assert shares.loc["Rotor"].tolist() == [1, 2, 0, 0.5]
    assert shares.loc["Size"].tolist() == [2, 4, 1, 0.5]
    assert plan.after.texts == ("4/4", "0/3", "2/3", "2/4")
    assert plan.below.texts == ("2/4\n50%", "3/4\n75%", "1/2\n50%", "2/4\n50%")
    assert "lower bounds" in plan.notes[0]
    assert "applies" in plan.notes[0]


def test_an_item_that_applies_to_nobody_has_no_share():
    plan = mx.plots.reporting_map_plan(TABLE.assign(rotor="n/a"), ["rotor", "markers"])
    assert plan.below.texts[0] == "–\n–"
    assert np.isnan(plan.shares()["share"][0])


def test_what_was_not_found_in_an_abstract_was_not_seen():
    plan = mx.plots.reporting_map_plan(TABLE, ITEMS, unseen="abstract")
    assert words(plan)[2] == (NOT_SEEN, REPORTED, NOT_APPLICABLE, REPORTED)
    assert words(plan)[1][0] == NOT_REPORTED
    with pytest.raises(InputError, match="not True or False"):
        mx.plots.reporting_map_plan(TABLE, ITEMS, unseen="isolation")


def test_those_that_report_most_come_first():
    plan = mx.plots.reporting_map_plan(TABLE, {"isolation": "A", "markers": "B"}, order="share")
    assert plan.rows == ("Li 2020", "Wu 2023", "Kim 2022", "Cho 2021")
    assert plan.after.texts == ("2/2", "2/2", "1/2", "0/2")
    assert plan.columns == ("A", "B")
    with pytest.raises(UnknownChoiceError):
        mx.plots.reporting_map_plan(TABLE, ITEMS, order="shares")


def test_it_agrees_with_the_shares_figure():
    sheets = mx.read_sheets(DATA)
    table = sheets.preparations.groupby("study_id", as_index=False).first()
    items = ["isolation_category", "technique", "markers_positive", "size_nm"]
    counted = mx.plots.reported_shares_plan(table, items).to_frame()
    mapped = mx.plots.reporting_map_plan(table, items, study="study_id").shares()
    assert mapped["reported"].tolist() == counted["reported"].tolist()
    assert mapped["applicable"].tolist() == counted["total"].tolist()


def test_every_cell_is_drawn_with_its_sign():
    plan = mx.plots.reporting_map_plan(TABLE, ITEMS)
    ax = mx.plots.reporting_map(plan)
    signs = {
        tuple(round(float(x)) for x in text.xy): text.get_text()
        for text in ax.texts
        if len(text.get_text()) == 1
    }
    known = {word: key.text for word, key in KEYS.items()}
    said = words(plan)
    assert signs == {(j, i): known[word] for i, row in enumerate(said) for j, word in enumerate(row)}
    assert plan.to_frame()["sign"].tolist() == [known[word] for row in said for word in row]
    legend = [text.get_text() for text in ax.get_legend().findobj(plt.Text)]
    assert {*known.values(), *(key.label for key in KEYS.values())} <= set(legend)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(TABLE["study"])


def test_signs_have_contrast_and_no_two_look_alike():
    papers = {theme.paper for theme in THEMES.values()}
    assert len({key.text for key in KEYS.values()}) == len({key.color for key in KEYS.values()}) == 4
    for key in KEYS.values():
        if key.color != "paper":
            assert contrast(THEMES["metaexo"].text_on(key.color), key.color) >= 4.5
            assert all(contrast(key.color, paper) >= 3 for paper in papers)


@pytest.mark.parametrize(
    ("k", "theme"), [(1, "metaexo"), (2, "dark"), (13, "lancet"), (13, "dark"), (45, "metaexo")]
)
def test_no_texts_overlap(k, theme):
    frame = big(k)
    items = list(frame.columns[1:])
    for width in (7.0, 5.0):
        ax = mx.plots.reporting_map(frame, items, theme=theme, width=width, title=LONG)
        assert mx.plots.overlapping_texts(ax.figure) == []
        assert min(text.get_fontsize() for text in ax.figure.findobj(plt.Text)) >= 7


def test_many_items_and_few():
    for n in (1, 24):
        frame = big(4, n)
        ax = mx.plots.reporting_map(frame, list(frame.columns[1:]))
        assert mx.plots.overlapping_texts(ax.figure) == []


def test_many_studies_are_readable_or_refused():
    frame = big(120, 4)
    ax = mx.plots.reporting_map(frame, list(frame.columns[1:]))
    assert mx.plots.overlapping_texts(ax.figure) == []
    frame = big(250, 4)
    with pytest.raises(InputError, match="250 rows") as caught:
        mx.plots.reporting_map_plan(frame, list(frame.columns[1:]))
    assert "pages=True" in caught.value.remedy
    paged = mx.plots.reporting_map_plan(frame, list(frame.columns[1:]), pages=100)
    assert [len(page.rows) for page in (paged, *paged.more)] == [100, 100, 50]
    assert [page.below is None for page in (paged, *paged.more)] == [True, True, False]
    shares = paged.shares()
    assert shares["applicable"].tolist() == [int((frame[f] != "n/a").sum()) for f in frame.columns[1:]]
    assert [text.split("\n")[0] for text in paged.more[-1].below.texts] == [
        f"{row.reported}/{row.applicable}" for row in shares.itertuples()
    ]
    first = words(paged.more[0])[0]
    reported, applicable = first.count("reported"), len(first) - first.count("not applicable")
    assert paged.more[0].after.texts[0] == f"{reported}/{applicable}"


def test_studies_have_names_and_stand_once():
    with pytest.raises(InputError, match="stand twice") as caught:
        mx.plots.reporting_map_plan(pd.concat([TABLE, TABLE.iloc[:1]]), ITEMS)
    assert caught.value.rows == ("row 1 (Li 2020)", "row 5 (Li 2020)")
    with pytest.raises(InputError, match="without a study"):
        mx.plots.reporting_map_plan(TABLE.replace("Li 2020", None), ITEMS)
    with pytest.raises(InputError, match="at least one study"):
        mx.plots.reporting_map_plan(TABLE.iloc[:0], ITEMS)


def test_axes_of_ones_own():
    figure, ax = plt.subplots(figsize=(7, 4))
    assert mx.plots.reporting_map(TABLE, ITEMS, ax=ax) is ax
    assert mx.plots.overlapping_texts(figure) == []
    with pytest.raises(InputError, match="inches"):
        mx.plots.reporting_map(big(45), ["Item 1"], ax=plt.subplots()[1])
