"""The sheets of the project itself: clean, complete, and free of what a reader cannot follow."""

from __future__ import annotations

import re
import warnings

import pytest

import metaexo as mx
from metaexo.evidence import Sheets
from tests.evidence.folders import DATA

SHEETS = (
    "studies",
    "outcomes",
    "direction_only",
    "preparations",
    "safety_events",
    "published_meta_analyses",
)
WITH_USE = tuple(name for name in SHEETS if name != "direction_only")
WITH_ARMS = ("cargo_groups", "method_contrasts", "marker_arms", "brain_outcomes")
OTHERS = ("brain_studies", "identified_counts", "methods_survey")


def test_they_read_without_an_error_or_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check = mx.check_sheets(DATA)
        mx.read_sheets(DATA)
    assert check.ok
    assert not check.warnings
    assert check.cautions, "what looks wrong is spoken of in `caution`"


def test_the_readme_counts_the_rows(ours: Sheets) -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for name in (*SHEETS, *WITH_ARMS, *OTHERS):
        assert f"| `{name}.csv` | {len(getattr(ours, name))} |" in readme


@pytest.mark.parametrize("name", WITH_USE)
def test_a_row_that_is_doubtful_or_apart_says_why(ours: Sheets, name: str) -> None:
    frame = getattr(ours, name)
    assert set(frame["use"]) == {"main", "doubtful", "apart"}
    assert frame.loc[frame["use"] != "main", "caution"].notna().all()


@pytest.mark.parametrize("name", WITH_ARMS)
def test_so_does_a_row_with_arms(ours: Sheets, name: str) -> None:
    frame = getattr(ours, name)
    assert frame["use"].isin(["main", "doubtful", "apart"]).all()
    assert frame.loc[frame["use"] != "main", "caution"].notna().all()


def test_every_outcome_has_a_label_and_a_family(ours: Sheets) -> None:
    known = set(ours.codebook.outcomes)
    with_outcomes = ("outcomes", "published_meta_analyses", "identified_counts", *WITH_ARMS)
    assert {word for name in with_outcomes for word in getattr(ours, name)["outcome"]} == known
    assert ours.outcomes["outcome_family"].notna().all()


def test_before_and_after_is_never_called_controlled(ours: Sheets) -> None:
    outcomes = ours.outcomes
    controlled = outcomes[outcomes["contrast"] == "exosome_vs_control"]
    assert not controlled["control_label"].str.contains("baseline|pre-treatment").any()
    assert (outcomes.loc[outcomes["contrast"] == "post_vs_pre", "paired"] == "yes").all()


def test_comparisons_of_methods_name_the_methods_of_both_arms(ours: Sheets) -> None:
    outcomes = ours.outcomes
    compared = outcomes[outcomes["contrast"] == "method_a_vs_method_b"]
    assert compared[["treatment_isolation", "control_isolation", "method_pair"]].notna().all().all()
    assert (compared["treatment_isolation"] != compared["control_isolation"]).all()
    others = outcomes[outcomes["contrast"].isin(["exosome_vs_control", "post_vs_pre"])]
    assert others["method_pair"].isna().all()


def test_ratios_are_on_a_ratio_scale(ours: Sheets) -> None:
    reviews = ours.published_meta_analyses
    ratios = reviews[reviews["measure"].isin(["OR", "RR"])]
    assert len(ratios) > 0
    middle = (ratios["ci_low"] * ratios["ci_high"]) ** 0.5
    assert middle.to_numpy() == pytest.approx(ratios["estimate"].to_numpy(), rel=0.02)


def test_safety_rows_say_what_was_counted(ours: Sheets) -> None:
    safety = ours.safety_events
    harmed = safety["design"].isin(["ae_case_series", "ae_case_report"])
    assert (safety.loc[harmed, "use"] == "apart").all()
    counted = safety["ae_patients_treated"].notna()
    assert not safety.loc[counted, "ae_scope"].isin(["not_counted", "serious"]).any()
    assert safety.loc[safety["n_control"].notna(), "paired"].notna().all()
    split = safety["design"] == "rct_split_body"
    assert (safety.loc[split, "paired"] == "yes").all()


def test_one_paper_has_one_name(ours: Sheets) -> None:
    names: dict[str, set[str]] = {}
    for frame in (ours.studies, ours.preparations, ours.safety_events):
        for doi, study in zip(frame["doi"], frame["study_id"], strict=True):
            if isinstance(doi, str):
                names.setdefault(doi.lower(), set()).add(study)
    assert {doi: found for doi, found in names.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.csv")), ids=lambda path: path.name)
def test_no_remark_points_to_where_a_reader_cannot_follow(path: object) -> None:
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    found = re.findall(r"file id|index id|github file|\d+\.\d+\.\d+\.\d+:\d+|TODO|FIXME", text)
    assert found == []
