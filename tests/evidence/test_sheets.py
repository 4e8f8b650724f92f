"""Folders of sheets and the effects that come out of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.conditions import rows_where
from metaexo.effects.dependence.arms import subjects_of
from metaexo.errors import (
    AssumptionWarning,
    InputError,
    MixedContrastsWarning,
    MixedDomainsWarning,
    RowsWithoutEffectWarning,
    TooFewStudiesError,
    UnknownChoiceError,
)
from metaexo.evidence import Sheets
from tests.evidence.folders import OUTCOMES, STUDIES, Write

CONTROLLED = "contrast == 'exosome_vs_control' and use != 'apart'"


def test_a_folder_with_studies_and_outcomes_is_enough(write: Write) -> None:
    sheets = mx.read_sheets(str(write()))
    es = sheets.effects("SMD")
    assert (es.k, es.m) == (2, 2)
    assert es.labels == ("Li 2020", "Cho 2021")
    assert es.study == ("Li 2020", "Cho 2021")
    assert list(es.column("study_id")) == ["li2020", "cho2021"]
    assert len(sheets.preparations) == len(sheets.safety_events) == 0
    assert sheets.ledgers["preparations"].total == 0
    assert list(sheets.outcomes["use"]) == ["main", "main"]


def test_effects_are_turned_so_that_positive_means_benefit(write: Write) -> None:
    sheets = mx.read_sheets(write())
    turned, plain = sheets.effects("MD"), sheets.effects("MD", orient=False)
    assert turned.oriented
    assert not plain.oriented
    assert plain.y == pytest.approx([9, -6], abs=1e-12)
    assert turned.y == pytest.approx([9, 6], abs=1e-12)
    assert turned.v == pytest.approx(plain.v)


def test_a_row_without_a_direction_of_benefit_is_left_out_when_turned(write: Write) -> None:
    sheets = mx.read_sheets(write(better="none"))
    assert sheets.effects("MD", orient=False).k == 2
    es = sheets.effects("MD")
    assert es.k == 1
    assert es.ledger is not None
    assert [entry.line for entry in es.ledger.left_out] == [2]
    assert "direction" in es.ledger.left_out[0].reason


def test_a_column_of_the_users_own_is_kept(write: Write) -> None:
    studies = [dict(STUDIES[0], laboratory="north"), dict(STUDIES[1], laboratory="south")]
    sheets = mx.read_sheets(write(studies=studies, assessor="blind"))
    assert list(sheets.studies["laboratory"]) == ["north", "south"]
    es = sheets.effects("SMD", where="laboratory == 'north' and assessor == 'blind'")
    assert es.study == ("Li 2020",)
    assert list(es.column("laboratory")) == ["north"]


def test_categories_are_derived_from_the_words_of_the_paper(write: Write) -> None:
    studies = [
        {"study_id": "li2020", "source_reported": "hUCMSC exosomes", "isolation_reported": "UC, then SEC"},
        {"study_id": "cho2021", "source_reported": "", "isolation_reported": ""},
    ]
    frame = mx.read_sheets(write(studies=studies)).studies
    assert list(frame["source_category"]) == ["umbilical_cord_msc", "not_reported"]
    assert list(frame["source"]) == ["Umbilical cord MSC", "Not reported"]
    assert list(frame["isolation"]) == ["Combination of steps", "Not reported"]


def test_tables_are_copies(write: Write) -> None:
    sheets = mx.read_sheets(write())
    table = sheets.outcomes
    table["treatment_mean"] = 0.0
    assert list(sheets.outcomes["treatment_mean"]) == [80, 20]


def test_lines_are_those_that_a_spreadsheet_counts(write: Write) -> None:
    outcomes = [dict(OUTCOMES[0], note="two\nlines"), OUTCOMES[1]]
    folder = write(outcomes=outcomes)
    path = folder / "outcomes.csv"
    path.write_text(path.read_text().replace("\nli2020", "\n\nli2020", 1))
    assert list(mx.read_sheets(folder).outcomes["line"]) == [3, 4]


def test_the_data_hold_the_columns_of_the_sheet_and_of_its_study(ours: Sheets) -> None:
    es = ours.effects("SMD", where=CONTROLLED)
    assert es.data is not None
    wanted = {"outcome", "outcome_family", "contrast", "use", "domain", "design", "access"}
    assert wanted | {"source", "source_category", "isolation", "isolation_category"} <= set(es.data.columns)
    assert len(es.data) == es.k


def test_every_effect_can_be_traced_to_its_line(ours: Sheets) -> None:
    es = ours.effects("SMD", where=CONTROLLED)
    assert es.data is not None
    assert es.row_ids == tuple(f"outcomes.csv:{line}" for line in es.data["line"])
    row = ours.outcomes.set_index("line").loc[es.data["line"].iloc[0]]
    assert row["study_name"] == es.study[0]
    assert row["study_id"] == es.data["study_id"].iloc[0]


def test_labels_tell_the_rows_of_a_study_apart(ours: Sheets) -> None:
    es = ours.effects("SMD", where=CONTROLLED)
    assert len(set(es.labels)) == es.k
    assert "Chen 2024, day 4, hUCMSC-sEV injection" in es.labels
    assert "Hu 2019b" in es.labels


def test_a_paired_row_needs_a_correlation(ours: Sheets) -> None:
    where = "study_id == 'park2023'"
    with pytest.raises(TooFewStudiesError, match="correlation"):
        ours.effects("SMD", where=where)
    with pytest.warns(AssumptionWarning, match=r"correlation of 0\.5"):
        es = ours.effects("SMD", where=where, assumed_correlation=0.5)
    assert es.derived[0].how == "assumed"
    assert es.y[0] > 0


def test_results_with_and_without_a_control_do_not_meet_in_silence(ours: Sheets) -> None:
    where = "study_id in ['wan2025', 'heliumplasma_fibroblast']"
    with pytest.warns(MixedContrastsWarning, match="exosome_vs_control, post_vs_pre"):
        ours.effects("MD", where=where)


def test_nothing_selected_is_an_error_that_counts_the_reasons(ours: Sheets) -> None:
    with pytest.raises(TooFewStudiesError, match="227 rows: not selected"):
        ours.effects("SMD", where="study_id == 'nobody'")


@pytest.mark.parametrize(
    ("where", "kind", "words"),
    [
        ("domian == 'clinical'", UnknownChoiceError, "'domain'"),
        ("use == @use", InputError, "outside the table"),
        ("outcome.__class__", InputError, "outside the table"),
        ("use = 'main'", InputError, "yes or no"),
        ("use == 'main", InputError, "cannot be read"),
        ("treatment_n > 'ten'", InputError, "cannot be read"),
        ("treatment_n + 1", InputError, "yes or no"),
        ("study_id", InputError, "yes or no"),
        ("True", InputError, "yes or no"),
    ],
)
def test_a_condition_that_is_none_is_refused(
    ours: Sheets, where: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        ours.effects("SMD", where=where)


def test_an_unknown_measure_or_sheet_is_answered_with_the_nearest(ours: Sheets) -> None:
    with pytest.raises(UnknownChoiceError, match="'SMD'"):
        ours.effects("SMDD")
    with pytest.raises(UnknownChoiceError, match="'outcomes'"):
        ours.effects("SMD", sheet="outcome")


def test_adverse_events_come_from_the_safety_sheet(ours: Sheets) -> None:
    es = ours.effects("PLO", where="ae_scope == 'all' and use != 'apart'", sheet="safety_events")
    safety = ours.safety_events.set_index("study_name")
    rows = safety.loc[list(es.study)]
    assert (rows["ae_scope"] == "all").all()
    zero = (rows["ae_patients_treated"] == 0).to_numpy()
    x, n = rows["ae_patients_treated"].to_numpy(), rows["n_treated"].to_numpy()
    added = np.where(zero, 0.5, 0.0)
    assert es.y == pytest.approx(np.log((x + added) / (n - x + added)), abs=1e-12)
    assert es.ledger is not None
    assert es.ledger.total == len(safety)


def test_split_body_arms_count_as_one_group_of_people(ours: Sheets) -> None:
    where = "study_id == 'placenta_koa2024'"
    assert ours.effects("PLO", where=where, sheet="safety_events").k == 1
    with pytest.raises(TooFewStudiesError, match="paired"):
        ours.effects("RD", where=where, sheet="safety_events")


def test_serious_events_are_a_count_of_their_own(ours: Sheets) -> None:
    es = ours.effects("PFT", where="use != 'apart'", sheet="serious_events")
    safety = ours.safety_events.set_index("study_name")
    assert safety.loc[list(es.study), "sae_patients_treated"].notna().all()


def test_pooled_estimates_of_reviews_keep_their_value(ours: Sheets) -> None:
    where = "outcome == 'wound_closure' and subgroup_variable == 'overall'"
    es = ours.effects("SMD", where=where, sheet="published_meta_analyses")
    reviews = ours.published_meta_analyses.set_index("line")
    assert es.data is not None
    rows = reviews.loc[es.data["line"]]
    assert es.y == pytest.approx(rows["estimate"].to_numpy(), abs=1e-12)
    half = (rows["ci_high"] - rows["ci_low"]).to_numpy() / 2
    assert np.sqrt(es.v) * 1.959963984540054 == pytest.approx(half, rel=1e-12)
    assert es.m == len(set(rows["review_id"]))


def test_ratios_of_reviews_are_taken_as_logarithms_and_turned(ours: Sheets) -> None:
    es = ours.effects("RR", sheet="published_meta_analyses")
    assert es.study == ("Sepsis, authors not seen (a)",)
    assert list(es.column("review_id")) == ["sepsis2023"]
    assert es.y == pytest.approx([-np.log(0.53)], abs=1e-12)


def test_cautions_name_every_row_that_has_one(ours: Sheets) -> None:
    table = ours.cautions
    told = table[(table["sheet"] == "outcomes") & (table["kind"] == "caution")]
    assert list(told["line"]) == list(ours.outcomes.loc[ours.outcomes["caution"].notna(), "line"])
    assert "LargeDifferenceWarning" in set(table["kind"])
    assert set(table["use"]) <= {"main", "doubtful", "apart"}


def test_vesicle_sizes_come_from_the_preparations(ours: Sheets) -> None:
    es = ours.effects("MN", where="use != 'apart'", sheet="preparations")
    assert es.data is not None
    assert set(es.data["size_statistic"]) == {"mean"}
    assert es.y == pytest.approx(es.data["size_nm"].to_numpy(), abs=1e-12)
    expected = es.data["size_sd"] ** 2 / es.data["n_replicates"]
    assert es.v == pytest.approx(expected.to_numpy(), rel=1e-12)
    assert not es.oriented


def test_ten_thousand_rows_take_seconds(ours: Sheets) -> None:
    """Time grows with the rows: 10,000 rows in under 5 s (1 s on a quiet machine), bounds in under 10 s."""
    copies = 10_000 // len(ours.outcomes) + 1
    frames = dict(ours._frames)
    for name in ("studies", "outcomes"):
        parts = [frames[name].assign(study_id=frames[name]["study_id"] + f"_{i}") for i in range(copies)]
        whole = pd.concat(parts, ignore_index=True)
        frames[name] = whole.assign(line=range(2, len(whole) + 2))
    sheets = Sheets("copies", ours.codebook, frames)
    for bounds, seconds in ((False, 5.0), (True, 10.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AssumptionWarning)
            warnings.simplefilter("ignore", MixedContrastsWarning)
            start = time.process_time()
            es = sheets.effects("SMD", assumed_correlation=0.5, bounds=bounds)
        assert es.ledger.total >= 10_000
        assert time.process_time() - start < seconds
        assert len(set(es.labels)) > 1_000


def test_rows_without_an_effect_are_said(ours: Sheets) -> None:
    where = "study_id in ['pbsc_dfu2024', 'hu2019b']"
    with pytest.warns(RowsWithoutEffectWarning, match=r"rows of outcomes\.csv.*only p < 0\.05.*bounds=True"):
        es = ours.effects("SMD", where=where)
    assert es.ledger.total == len(ours.outcomes)


@pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")
def test_people_animals_and_cells_in_one_stratum_are_said(ours: Sheets) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        es = ours.effects("SMD", where=f"{CONTROLLED} and domain in ['clinical', 'preclinical']")
    assert set(subjects_of(es)) >= {"people", "animals"}
    with pytest.warns(MixedDomainsWarning, match="animals"):
        mx.stratify(es, by="contrast")
    animals = np.array(subjects_of(es)) == "animals"
    mx.stratify(es.select(animals, "people"), by="contrast")  # any other warning is an error of the suite


@pytest.mark.parametrize(
    ("where", "right"),
    [
        ("treatment_n >= 10 and control_n < 12", lambda d: (d.treatment_n >= 10) & (d.control_n < 12)),
        ("8 <= treatment_n < 12", lambda d: (d.treatment_n >= 8) & (d.treatment_n < 12)),
        ("not (use == 'apart') & unit == '%'", lambda d: (d.use != "apart") & (d.unit == "%")),
        ("~(use == 'apart') | unit == '%'", lambda d: (d.use != "apart") | (d.unit == "%")),
        ("outcome in ['wound_area', 'roughness']", lambda d: d.outcome.isin(["wound_area", "roughness"])),
        ("outcome not in ['wound_area']", lambda d: ~d.outcome.isin(["wound_area"])),
        ("treatment_n / control_n > 1", lambda d: d.treatment_n / d.control_n > 1),
        ("-treatment_n**2 + 100 < 0", lambda d: -(d.treatment_n**2) + 100 < 0),
        ("`treatment_n` % 2 == 0", lambda d: d.treatment_n % 2 == 0),
        ("is_blank(note)", lambda d: d.note.isna()),
        ("note.notna()", lambda d: d.note.notna()),
        ("contains(outcome, 'WOUND', case=False)", lambda d: d.outcome.str.contains("wound")),
        ("outcome.str.startswith('wound')", lambda d: d.outcome.str.startswith("wound")),
        ("ends_with(outcome, 'area')", lambda d: d.outcome.str.endswith("area")),
        ("between(treatment_n, 5, 10)", lambda d: d.treatment_n.between(5, 10)),
        ("outcome == ['wound_area']", lambda d: d.outcome == "wound_area"),
        ("lower(treatment_label) == 'ev'", lambda d: d.treatment_label.str.lower() == "ev"),
    ],
)
def test_conditions_mean_what_pandas_says_of_the_same_rows(
    ours: Sheets, where: str, right: Callable[[pd.DataFrame], pd.Series]
) -> None:
    frame = ours.outcomes
    assert rows_where(frame, where).tolist() == right(frame).fillna(False).astype(bool).tolist()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("use == 'apert'", "'apart'"),
        ("use == ''", "is_blank"),
        ("treatment_n > '10'", "without quotes"),
        ("outcome.str.contains('wound|scar')", "joined by or"),
        ("outcome > '10'", "order of texts"),
        ("note ==", "a column or a value"),
    ],
)
def test_a_condition_that_would_mean_something_else_is_refused(ours: Sheets, where: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ours.effects("SMD", where=where)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_ratio_of_two_negative_means_is_turned_as_the_difference_is(write: Write, better: str) -> None:
    """-12 against -10 is lower, though the ratio is above 1: it is a benefit only where lower is better."""
    means = {"treatment_mean": -12, "control_mean": -10, "better": better}
    sheets = mx.read_sheets(write(outcomes=[{**OUTCOMES[0], **means}]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
        ratio, difference = (sheets.effects(measure) for measure in ("ROM", "MD"))
    assert np.sign(ratio.y) == np.sign(difference.y) == (1 if better == "lower" else -1)
    assert abs(ratio.y[0]) == pytest.approx(np.log(12 / 10), abs=0.01)
