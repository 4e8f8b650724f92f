"""The numbers of "What the sheets can and cannot carry" in data/README.md are those of the sheets."""

from __future__ import annotations

import pandas as pd
import pytest

from metaexo.evidence import Sheets
from tests.evidence.folders import DATA

NUMBERS = [f"{arm}_{what}" for arm in ("treatment", "control") for what in ("mean", "sd", "n")]


@pytest.fixture(scope="module")
def section() -> str:
    whole = (DATA / "README.md").read_text(encoding="utf-8")
    part = whole.partition("## What the sheets can and cannot carry")[2].partition("\n## ")[0]
    return " ".join(part.split())


def known(frame: pd.DataFrame, column: str) -> pd.Series:
    return frame[column].notna() & (frame[column] != "not_reported")


def outcomes(ours: Sheets, domain: str) -> pd.DataFrame:
    studies = ours.studies.set_index("study_id")["domain"]
    return ours.outcomes[ours.outcomes["study_id"].map(studies) == domain]


def both_arms(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame[NUMBERS].notna().all(axis=1)]


def isolation_of(ours: Sheets, domain: str) -> str:
    studies = ours.studies[ours.studies["domain"] == domain]
    return f"{known(studies, 'isolation_category').sum()} of {len(studies)} studies"


def test_outcomes(ours: Sheets, section: str) -> None:
    clinical, preclinical = outcomes(ours, "clinical"), outcomes(ours, "preclinical")
    kinds = clinical["contrast"].value_counts()
    assert f"{kinds['exosome_vs_control']} of {len(clinical)} rows compare with a control; " in section
    assert f"{kinds['post_vs_pre']} are before and after, {kinds['single_arm']} have one group" in section
    exact = both_arms(clinical)
    assert (len(exact), exact["study_id"].nunique()) == (3, 2)
    assert "Three rows of two studies have means, SDs and n in both arms" in section
    assert f"Isolation is known for {isolation_of(ours, 'clinical')}" in section
    exact = both_arms(preclinical)
    assert f"in both arms in {len(exact)} rows of {exact['study_id'].nunique()} studies" in section
    only = preclinical[preclinical["reported_as"] == "p_value"]
    usual = ((only["p_relation"] == "<") & (only["p_value"].astype(float) == 0.05)).sum()
    assert f"{len(only)} of {len(preclinical)} rows are p-values, {usual} of them" in section
    assert f"Isolation is known for {isolation_of(ours, 'preclinical')}" in section
    exact = both_arms(outcomes(ours, "isolation"))
    assert f"in {len(exact)} rows, but of {exact['study_id'].nunique()} studies" in section


def test_preparations_and_reviews(ours: Sheets, section: str) -> None:
    rows = ours.preparations
    labelled = known(rows, "source_category") & known(rows, "isolation_category")
    one = labelled & rows["size_nm"].notna()
    sized = one | (labelled & rows[["size_low", "size_high"]].notna().any(axis=1))
    assert (
        f"{sized.sum()} of {len(rows)} rows know size, source and isolation, {one.sum()} of them" in section
    )
    public = rows["source_url"].str.contains("github.com", na=False).sum()
    assert f"{public} are computed from public data files" in section
    pooled = ours.published_meta_analyses
    shown = pooled[pooled[["ci_low", "ci_high"]].notna().all(axis=1)]
    assert f"{len(shown)} estimates with an interval from {shown['review_id'].nunique()} reviews" in section


def test_cargo(ours: Sheets, section: str) -> None:
    cargo = ours.cargo_groups
    one = cargo[(cargo["outcome"] == "ln_effective_mirnas") & (cargo["treatment_n"] > 1)]
    one = one[known(one, "source_group") & known(one, "isolation_main_step") & (one["use"] != "apart")]
    main = one[one["use"] == "main"]
    laboratories = one["laboratory"].nunique()
    assert f"{len(one)} groups of more than one sample from {laboratories} of them" in section
    assert f"({len(main)} of {main['laboratory'].nunique()} without doubtful rows)" in section
    several = [
        (one.groupby("laboratory")[c].nunique() > 1).sum() for c in ("isolation_main_step", "source_group")
    ]
    assert several[0] == 3
    assert f"Only three laboratories used two or more methods and {several[1]} two or more sources" in section


def test_methods_on_one_material_and_markers(ours: Sheets, section: str) -> None:
    rows = ours.method_contrasts
    assert rows["study_id"].nunique() == 4
    assert f"{len(rows)} rows of four laboratories; no pair" in section
    methods = zip(rows["treatment_isolation_step"], rows["control_isolation_step"], strict=True)
    pairs = rows.assign(pair=[" / ".join(sorted(pair)) for pair in methods])
    assert pairs.groupby(["pair", "outcome"])["study_id"].nunique().max() == 1
    unmatched = rows[rows["paired"] == "unknown"]
    serum = (unmatched["study_id"] == "PRJEB24913").sum()
    assert serum == (rows["study_id"] == "PRJEB24913").sum()
    assert f"In {len(unmatched)} rows, all {serum} of `PRJEB24913` among them" in section
    arms = ours.marker_arms
    assert f"{len(arms)} single arms of one laboratory" in section
    assert all(f"`{name}`" in section for name in arms["study_id"].unique())


def test_brain_counts_and_survey(ours: Sheets, section: str) -> None:
    rows, studies = ours.brain_outcomes, ours.brain_studies
    full = both_arms(rows[rows["better"].isin(["higher", "lower"])])
    assert f"{len(full)} of {len(rows)} comparisons have a direction of benefit" in section
    tissue = (studies["source_category"] != "msc_unspecified").sum()
    isolated = known(studies, "isolation_category").sum()
    assert (
        f"tissue of the cells is known of {tissue} of {len(studies)} studies, the isolation of {isolated}"
        in section
    )
    kinds = ours.identified_counts["outcome"].value_counts()
    mirnas, lipids, proteins = (
        kinds[f"{k}"] for k in ("mirnas_reported", "lipids_reported", "proteins_identified")
    )
    words = f"({kinds.sum()} rows: {mirnas} miRNA, {lipids} lipid and {proteins} protein lists)"
    assert words in section
    survey = ours.methods_survey["pmid"]
    assert survey.isna().sum() == 3
    whole = (DATA / "README.md").read_text(encoding="utf-8")
    assert whole.count(f"{survey.nunique()} papers") == 2
    assert "Three rows of the survey have no PubMed identifier" in section
