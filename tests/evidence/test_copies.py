"""Studies that were entered twice: found by their numbers, named with their rows, and told from chance."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import CopiedStudyWarning, InputError, MixedDirectionsWarning, RepeatedNumbersWarning
from metaexo.evidence import Sheets, copied_studies
from tests.evidence.folders import OUTCOMES, Row, Write, write_sheet

ARMS = {
    "treatment_mean": "80.31",
    "treatment_sd": "9.22",
    "treatment_n": 10,
    "control_mean": "71.45",
    "control_sd": "8.13",
    "control_n": 11,
}


def folder_of(write: Write, rows: list[Row]) -> Path:
    return write(
        studies=[{"study_id": name} for name in dict.fromkeys(r["study_id"] for r in rows)], outcomes=rows
    )


def row(study: str, **changes: object) -> Row:
    return {**OUTCOMES[0], **ARMS, "study_id": study, **changes}


def findings(folder: Path) -> list[tuple[type, str, tuple[int, ...], str]]:
    return [(f.kind, f.study, f.lines or (f.line,), f.what) for f in mx.check_sheets(folder).warnings]


def test_a_copied_study_is_one_finding_with_all_its_rows(write: Write) -> None:
    later = {"timepoint": "day 14", "treatment_mean": "91.77", "control_mean": "85.06"}
    rows = [
        row("li2020"),
        row("li2020", **later),
        row("ito2022", outcome="wound_area"),
        row("ito2022", **later),
    ]
    (found,) = findings(folder_of(write, rows))
    assert found[:3] == (CopiedStudyWarning, "ito2022", (4, 5))
    assert "share their means, SDs and n with li2020 (line 2, 3)" in found[3]


def test_a_row_changed_in_one_number_is_told_with_the_copy(write: Write) -> None:
    """A study typed twice of which one number was changed: one finding, and none of a wrong line."""
    later = {"timepoint": "day 14", "treatment_mean": "91.77", "control_mean": "85.06"}
    rows = [row("li2020"), row("li2020", **later), row("ito2022"), row("ito2022", **later)]
    rows[2]["treatment_mean"] = "81.31"
    (found,) = findings(folder_of(write, rows))
    assert found[:3] == (CopiedStudyWarning, "ito2022", (5,))
    said = "line 4 (ito2022) differs from line 2 (li2020) in treatment_mean only (81.31, 80.31)"
    assert said in found[3]


def test_a_copy_with_another_n_is_called_so(write: Write) -> None:
    (found,) = findings(folder_of(write, [row("li2020"), row("ito2022", treatment_n=12)]))
    assert found[0] is CopiedStudyWarning
    assert "means and SDs with li2020 (line 2) with another n" in found[3]


def test_arms_that_are_exchanged_are_a_copy(write: Write) -> None:
    swapped = {a: ARMS[b] for a, b in zip(ARMS, [*list(ARMS)[3:], *list(ARMS)[:3]], strict=True)}
    found = findings(folder_of(write, [row("li2020"), row("ito2022", **swapped, better="lower")]))
    (copied,) = (one for one in found if one[0] is CopiedStudyWarning)
    assert "another n" not in copied[3]
    assert {one[0] for one in found} == {CopiedStudyWarning, MixedDirectionsWarning}


def test_one_shared_arm_is_a_repeated_arm_and_no_copied_study(write: Write) -> None:
    other = row("ito2022", control_mean="64.02", control_sd="7.77")
    assert [found[0] for found in findings(folder_of(write, [row("li2020"), other]))] == [
        RepeatedNumbersWarning
    ]


def test_rows_of_one_study_and_coarse_numbers_are_silent(write: Write) -> None:
    coarse = {"treatment_mean": "80", "treatment_sd": "9", "control_mean": "70", "control_sd": ""}
    rows = [row("li2020", **coarse), row("ito2022", **coarse)]
    assert findings(folder_of(write, rows)) == []
    rows = [row("li2020"), row("li2020", timepoint="day 8")]
    assert CopiedStudyWarning not in {found[0] for found in findings(folder_of(write, rows))}


def test_words_in_caution_settle_it(write: Write) -> None:
    check = mx.check_sheets(
        folder_of(write, [row("li2020"), row("ito2022", caution="the same rats", use="apart")])
    )
    assert not check.warnings
    assert [finding.kind for finding in check.cautions] == [CopiedStudyWarning]
    earlier = [row("ito2022", caution="the same rats", use="apart"), row("li2020")]
    check = mx.check_sheets(folder_of(write, earlier))
    assert not check.warnings, "the words may stand in the row that comes first"
    assert [finding.kind for finding in check.cautions] == [CopiedStudyWarning]


def test_single_arms_are_read_in_their_sheets(write: Write, tmp_path: Path) -> None:
    write()
    names = ("treatment_isolation", "isolation_main_step", "source_category", "source_group")
    rows = [
        {"study_id": study, "outcome": f"log2cpm_{what}", "better": "none", "contrast": "single_arm"}
        | {"treatment_n": 6, "treatment_mean": mean, "treatment_sd": sd}
        | dict.fromkeys(names, "not_reported")
        | {"laboratory": study, "laboratory_wide": study, "use": "main"}
        for study in ("PRJA1", "PRJB2", "PRJC3")
        for what, mean, sd in (("mir21", "12.30412", "1.10233"), ("let7a", "9.77120", "0.50411"))
        if study != "PRJC3" or what == "let7a"
    ]
    rows[-1] |= {"treatment_mean": "9.12345"}
    write_sheet(tmp_path / "cargo_groups.csv", rows)
    check = mx.check_sheets(tmp_path)
    assert check.ok, str(check)
    (found,) = check.warnings
    assert (found.kind, found.file, found.study, found.lines) == (
        CopiedStudyWarning,
        "cargo_groups.csv",
        "PRJB2",
        (4, 5),
    )


def test_no_copy_is_left_in_cargo_and_the_check_is_fast(ours: Sheets) -> None:
    cargo = ours.cargo_groups
    began = time.process_time()
    assert copied_studies(cargo).empty
    assert time.process_time() - began < 1
    project = cargo["study_id"] == "PRJNA928492"
    twice = pd.concat([cargo, cargo[project].assign(study_id="PRJNA1")], ignore_index=True)
    (found,) = copied_studies(twice).to_dict("records")
    assert (found["study"], found["other"], found["shared"]) == ("PRJNA928492", "PRJNA1", project.sum())
    assert found["rows"] == tuple(np.flatnonzero(project))
    assert found["other_rows"] == tuple(range(len(cargo), len(twice)))


def test_chance_finds_nothing_in_a_large_table() -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"study_id": np.arange(5000).astype(str)})
    table["treatment_mean"], table["treatment_sd"] = (
        rng.normal(50, 9, 5000).round(1),
        rng.gamma(9, 1, 5000).round(1),
    )
    table["treatment_n"] = 10
    assert table.duplicated(["treatment_mean", "treatment_sd"]).sum() > 100
    assert copied_studies(table).empty
    few = copied_studies(table.iloc[:2].assign(treatment_mean=50.31, treatment_sd=9.2))
    assert few["shared"].tolist() == [1]


@pytest.mark.parametrize(
    "table", [pd.DataFrame({"study_id": ["a"]}), pd.DataFrame({"study_id": ["a"], "treatment_n": [3]})]
)
def test_a_table_without_numbers_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no numbers of arms"):
        copied_studies(table)


def test_scores_of_few_values_meet_by_chance_and_make_no_copies() -> None:
    """20 independent studies of 20 rows with means from 0.1 to 0.8 and SDs from 0.1 to 0.3."""
    draw = np.random.default_rng(5).integers
    arms = {f"{arm}_mean": draw(1, 9, 400) / 10 for arm in ("treatment", "control")}
    sds = {f"{arm}_sd": draw(1, 4, 400) / 10 for arm in ("treatment", "control")}
    table = pd.DataFrame({"study_id": [f"S{i // 20}" for i in range(400)], **arms, **sds})
    assert copied_studies(table).empty
    table.loc[25, ["treatment_mean", "treatment_sd"]] = table.loc[365, ["treatment_mean", "treatment_sd"]] = [
        0.4131,
        0.2217,
    ]
    shared = ["control_mean", "control_sd"]
    table.loc[365, shared] = table.loc[25, shared] = [0.5712, 0.1934]
    assert copied_studies(table)[["study", "other"]].to_numpy().tolist() == [["S1", "S18"]]
