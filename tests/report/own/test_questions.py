"""Which questions a report answers: outcomes apart, the measure that fits, counts, rare events, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.report import Report
from metaexo.report.write import write_report
from tests.report.own.conftest import Folder
from tests.report.own.sheets import outcomes_of, said, studies_of

OUTCOMES = ["wound_closure_pct", "wound_area", "scar_width", "healing_time_days", "other_thing"]


def report(path: Path, measure: str | None = "SMD", **choices: Any) -> Report:
    return mx.write_report(path, measure, **({"by": "source", "out": None} | choices))


def events(count: int, treated: int, control: int, **columns: Any) -> list[dict[str, object]]:
    means = dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"))
    return outcomes_of(
        count, **means, treatment_events=treated, control_events=control, outcome="adverse_events",
        better="lower", **columns,
    )  # fmt: skip


def test_outcomes_stand_apart_and_many_have_to_be_chosen(folder: Folder) -> None:
    path = folder(studies_of(6), outcomes_of(6, outcome=[*OUTCOMES[:2]] * 3))
    found = report(path)
    assert len(found.answer) == 2
    assert [line.partition(":")[0].partition(",")[0] for line in found.answer] == [
        "Wound closure (%)",
        "Wound area",
    ]
    assert {"wound_closure_pct_pooled", "wound_area_pooled"} <= {one.name for one in found.tables}
    assert len(report(path, outcomes="wound_area").answer) == 4
    path = folder(studies_of(5), outcomes_of(5, outcome=OUTCOMES))
    with pytest.raises(InputError, match=r"5 questions \(5 outcomes\).*other_thing.*1 effect.*--outcome"):
        report(path)
    with pytest.raises(UnknownChoiceError, match="wound_area"):
        report(path, outcomes="wound_aria")


def test_a_family_of_outcomes_is_pooled_where_it_is_asked_for(folder: Folder) -> None:
    path = folder(studies_of(6), outcomes_of(6, outcome=["wound_closure_pct", "wound_area"] * 3))
    family = mx.read_sheets(path).outcomes["outcome_family"]
    assert family.nunique() == 1
    found = report(path, outcomes=family.iloc[0])
    assert "Across 6 studies" in found.answer[0]
    assumed = next(one for one in found.sections if one.name == "assumed").blocks[0]
    assert "one family were pooled, as was asked for" in " ".join(getattr(assumed, "items", ()))


def test_people_and_animals_stand_apart(folder: Folder) -> None:
    path = folder(studies_of(6, domain=["preclinical", "clinical"] * 3), outcomes_of(6))
    assert [one.partition(":")[0].rpartition(", ")[2] for one in report(path).answer] == [
        "in animals or cells",
        "in people",
    ]


def test_a_measure_that_fits_no_row_names_those_that_do(folder: Folder) -> None:
    path = folder(studies_of(4), events(4, 2, 5))
    with pytest.raises(TooFewStudiesError, match=r"RR \(4 effects of 4 studies\).*--measure RR"):
        report(path)
    found = report(path, None)
    assert found.facts["measure"].startswith("RR")
    assert "risk ratio" in found.answer[0]


def test_only_p_values_are_refused_with_what_is_lacking(folder: Folder) -> None:
    means = dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"))
    path = folder(studies_of(2), outcomes_of(2, **means, p_relation="<", p_value=0.05))
    for measure in ("SMD", None):
        with pytest.raises(TooFewStudiesError, match=r"mean, SD and n of each group.*only p < 0.05"):
            report(path, measure)


def test_rare_events_are_not_pooled_study_by_study(folder: Folder) -> None:
    path = folder(studies_of(6), events(6, 0, 1))
    first = report(path, "RR")
    text = said(first)
    assert not {"pooled", "by_source", "sensitivity"} & {one.name for one in first.tables}
    assert [one.name for one in first.figures] == ["forest"]
    assert "Events are rare: 6 of 6 studies have none in one group at least" in text
    assert "With so few events sources cannot be compared" in text
    found = report(path, "PFT")
    assert "No event in" in " ".join(getattr(b, "text", "") for s in found.sections for b in s.blocks)
    upper = next(one.frame for one in found.tables if one.name == "safety")["upper"].item()
    people = mx.read_sheets(path).outcomes["treatment_n"].sum()
    assert upper == pytest.approx(1 - 0.05 ** (1 / people), rel=1e-9)
    assert "no event in" in found.answer[0]


def test_counts_of_two_groups_are_pooled_without_filling_zeros(folder: Folder) -> None:
    rows = events(6, 2, 5)
    path = folder(studies_of(6), rows)
    made = report(path, "RR")
    found = next(one.frame for one in made.tables if one.name == "counts")
    arms = {
        name: [row[name] for row in rows]
        for name in ("treatment_events", "treatment_n", "control_events", "control_n")
    }
    fit = mx.MantelHaenszel(mx.event_counts(**arms), "RR").fit()
    assert found["estimate"][0] == pytest.approx(fit.estimate, rel=1e-12)
    assert "in favour of exosomes" in made.answer[0]


def test_means_of_one_group_have_no_direction(folder: Folder) -> None:
    gone = dict.fromkeys(("control_mean", "control_sd", "control_n"))
    path = folder(studies_of(4), outcomes_of(4, **gone, contrast="single_arm"))
    found = report(path, None)
    assert found.facts["measure"].startswith("MN")
    assert "favour" not in said(found)
    assert "no effect" not in said(found)


def test_choices_are_checked(folder: Folder) -> None:
    path = folder(studies_of(2), outcomes_of(2))
    wrong: list[dict[str, Any]] = [{"by": "nothing"}, {"better": "up"}, {"method": "XX"}, {"level": 2}]
    for choice in [*wrong, {"where": "x =="}, {"out": 3}, {"outcomes": 3}]:
        with pytest.raises(InputError):
            mx.write_report(path, "SMD", **({"out": None} | choice))


def test_a_selection_and_rows_set_apart_are_said(folder: Folder) -> None:
    path = folder(studies_of(6, species=["mouse", "rat"] * 3), outcomes_of(6, use=["main"] * 5 + ["apart"]))
    found = report(path, where="species == 'rat'")
    left = next(one.frame for one in found.tables if one.name == "left_out")
    assert len(left) == 4
    assert found.facts["where"] == "species == 'rat'"
    assert "use != 'apart'" in found.script


def test_a_number_with_many_values_is_not_compared_as_categories(folder: Folder) -> None:
    doses = [i % 3 for i in range(6)]
    path = folder(studies_of(6, year=[2011 + i for i in range(6)], my_dose=doses), outcomes_of(6))
    with pytest.raises(InputError, match="by='year' is a number with 6 values") as caught:
        report(path, by="year")
    assert 'mx.RandomEffects(effects, "year").fit()' in str(caught.value)
    assert "my_dose" in said(report(path, by="my_dose")) or "my dose" in said(report(path, by="my_dose"))


@pytest.mark.parametrize("domain", ["", ["preclinical", *[""] * 5]])
def test_people_and_animals_are_told_apart_by_species_where_the_domain_is_empty(
    folder: Folder, domain: object
) -> None:
    species = ["mouse", "rat", "human", "", "human", "human"]
    design = ["", "", "rct_parallel", "animal_controlled", "", "in_vitro"]
    path = folder(studies_of(6, domain=domain, species=species, design=design), outcomes_of(6))
    found = report(path)
    assert [section.title for section in found.sections if section.name.endswith("answer")] == [
        "Wound closure (%), exosomes against control, in animals or cells",
        "Wound closure (%), exosomes against control, in people",
    ]
    rows = [one.frame["study"].tolist() for one in found.tables if one.name.endswith("characteristics")]
    assert rows == [["Abe 2010", "Bo 2010", "Du 2010", "Fu 2010"], ["Cho 2010", "Eng 2010"]]
    checked = mx.check_sheets(path).prospect
    assert checked is not None
    assert (checked.questions, checked.differ, checked.mixed) == (2, ("domain",), ("animals", "cells"))
    assumed = next(one for one in found.sections if one.name == "assumed")
    assert "the species decided" in str(assumed.blocks)


def test_a_table_of_one_kind_is_one_question_though_a_species_is_missing(folder: Folder) -> None:
    path = folder(studies_of(4, domain="", design="", species=["mouse", "", "rat", "mouse"]), outcomes_of(4))
    assert report(path).title == "Wound closure (%), exosomes against control"


def test_a_misspelt_condition_and_a_folder_that_cannot_be_are_said(folder: Folder, tmp_path: Path) -> None:
    path = folder(studies_of(2), outcomes_of(2))
    with pytest.raises(UnknownChoiceError, match="specis"):
        report(path, None, where="specis == 'mouse'")
    with pytest.raises(InputError, match="cannot be the name of a folder"):
        report(path, out=tmp_path / ("x" * 490))


def test_no_event_in_any_group_is_no_difference_of_zero_width(folder: Folder) -> None:
    """0 of 160 against 0 of 160 excludes no risk of 1%: the exact limit stands in the place of 0 to 0."""
    counts = {"treatment_events": 0, "control_events": 0, "treatment_n": 20, "control_n": 20}
    gone = dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"), "")
    rows = [{**row, **gone, **counts} for row in outcomes_of()[:8]]
    report = write_report(folder(studies_of()[:8], rows), "RD", out=None)
    assert "0.00 to 0.00" not in " ".join(report.answer)
    assert "have no interval" in report.answer[0]
    assert "160" in report.answer[0]
