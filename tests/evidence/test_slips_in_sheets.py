"""Checks on sheets: each slip is a warning of its own class that names the row, and clean rows are silent."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import metaexo as mx
from metaexo import errors
from metaexo.cli import main
from metaexo.evidence import Sheets, check_sheets, read_sheets, slip_checks
from metaexo.evidence.slips.checks import SLIP_CHECKS
from tests.evidence.folders import DATA, OUTCOMES, Row, Write, write_sheet

FIRST = OUTCOMES[0]


def study(name: str, **changes: object) -> Row:
    return {**FIRST, "study_id": name, **changes}


def folder_of(write: Write, rows: list[Row]) -> Path:
    names = dict.fromkeys(str(row["study_id"]) for row in rows)
    return write(studies=[{"study_id": name} for name in names], outcomes=rows)


def found_in(folder: Path) -> list[tuple[str, int | None, str]]:
    check = mx.check_sheets(folder)
    assert check.ok, str(check)
    return [(finding.kind.__name__, finding.line, finding.column) for finding in check.warnings]


SLIPS = [
    (
        {"items": 1, "treatment_mean": "79.95", "treatment_sd": "9.0"},
        errors.ImpossibleMeanWarning,
        "treatment_mean",
        "79.9 or 80",
    ),
    (
        {"items": 1, "treatment_mean": "80.1", "treatment_sd": "9.03"},
        errors.ImpossibleSDWarning,
        "treatment_sd",
        "",
    ),
    (
        {"items": 1, "treatment_n": 11, "treatment_mean": "", "treatment_sd": "", "treatment_median": "80.5"},
        errors.ImpossibleMedianWarning,
        "treatment_median",
        "even n",
    ),
    ({"statistic": "7.47", "reported_as": "t"}, errors.StatisticMismatchWarning, "statistic", ""),
    ({"p_relation": ">", "p_value": "0.2"}, errors.PValueMismatchWarning, "p_value", ""),
    ({"p_relation": "<", "p_value": "0.001"}, errors.PValueMismatchWarning, "p_value", ""),
    (
        {"reported_as": "t", "statistic": "2.36", "p_relation": "=", "p_value": "0.20"},
        errors.PValueMismatchWarning,
        "p_value",
        "",
    ),
    ({"treatment_mean": 2, "control_mean": 25}, errors.MeanNearZeroWarning, "treatment_mean", ""),
    ({"direction": "lower"}, errors.EffectMismatchWarning, "direction", ""),
    (
        {
            **dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"), ""),
            "difference": -4,
            "direction": "higher",
        },
        errors.EffectMismatchWarning,
        "direction",
        "",
    ),
    (
        {"control_sd": "", "control_ci_low": 30, "control_ci_high": 76},
        errors.OffCentreIntervalWarning,
        "control_mean",
        "53",
    ),
    (
        {"difference": 9, "difference_ci_low": 1, "difference_ci_high": 12.8},
        errors.OffCentreIntervalWarning,
        "difference",
        "6.9",
    ),
    (
        {"effect_measure": "odds_ratio", "effect": "3.00", "effect_ci_low": "0.50", "effect_ci_high": "5.50"},
        errors.OffCentreIntervalWarning,
        "effect",
        "1.66",
    ),
]


@pytest.mark.parametrize(("cells", "kind", "column", "reading"), SLIPS)
def test_a_slip_is_a_warning_of_its_own_class(
    write: Write, cells: dict[str, object], kind: type[Warning], column: str, reading: str
) -> None:
    folder = write(**cells)
    check = mx.check_sheets(folder)
    assert [(finding.kind, finding.line, finding.column) for finding in check.warnings] == [(kind, 2, column)]
    assert reading in check.warnings[0].reading
    with pytest.warns(kind, match=rf"outcomes.csv line 2, study li2020, column {column}"):
        mx.read_sheets(folder)


CLEAN = [
    {"items": 1, "treatment_mean": "80.1", "treatment_sd": "9.02", "control_mean": 71, "control_sd": "8"},
    {"reported_as": "t", "statistic": "2.36", "p_relation": "=", "p_value": "0.030"},
    {"reported_as": "f", "statistic": "5.59", "p_relation": "<", "p_value": "0.05"},
    {"reported_as": "median_iqr", "statistic": "23.5", "p_relation": "=", "p_value": "0.04"},
    {"paired": "yes", "reported_as": "t", "statistic": "4.1", "p_relation": "<", "p_value": "0.01"},
    {"paired": "unknown", "reported_as": "t", "statistic": "4.1"},
    {"difference": 9, "difference_ci_low": 1, "difference_ci_high": 17, "p_relation": "=", "p_value": "0.03"},
    {"effect_measure": "odds_ratio", "effect": "1.66", "effect_ci_low": "0.50", "effect_ci_high": "5.50"},
    {"treatment_mean": -3, "control_mean": 25},
    {"direction": "higher", "control_sd": "", "control_ci_low": 65, "control_ci_high": 77},
]


@pytest.mark.parametrize("cells", CLEAN)
def test_clean_rows_are_silent(write: Write, cells: dict[str, object]) -> None:
    assert found_in(write(**cells)) == []


def test_decimals_count_as_typed(write: Write) -> None:
    """A mean of 79.95 of ten whole numbers is impossible; 80.0 is 79.95 rounded, and possible."""
    assert found_in(write(items=1, treatment_mean="80.0", treatment_sd="9.0")) == []
    kinds = [kind for kind, _, _ in found_in(write(items=1, treatment_mean="80.05", treatment_sd="9.0"))]
    assert kinds == ["ImpossibleMeanWarning"]


def test_a_minus_sign_as_papers_print_it_is_a_minus(write: Write) -> None:
    cells = {"outcome": "melanin_index", "treatment_mean": "-80.5", "control_mean": "-71.3"}
    plain = folder_of(write, [study("li2020", **cells)])
    expected = read_sheets(plain).effects("SMD").y
    printed = {name: str(cell).replace("-", "\N{MINUS SIGN}") for name, cell in cells.items()}
    folder = folder_of(write, [study("li2020", **printed)])
    assert found_in(folder) == []
    assert read_sheets(folder).effects("SMD").y == expected


def test_a_correlation_beyond_one_is_an_error(write: Write) -> None:
    check = mx.check_sheets(write(effect_measure="correlation", effect=1.3))
    assert [(problem.kind, problem.column) for problem in check.problems] == [
        (errors.CorrelationError, "effect")
    ]
    own = mx.check_sheets(write(correlation=-1.2))
    assert [(problem.kind, problem.column) for problem in own.problems] == [
        (errors.CorrelationError, "correlation")
    ]
    assert mx.check_sheets(write(correlation=0.4)).ok


def test_an_arm_typed_twice_is_found_and_a_shared_control_is_none(write: Write) -> None:
    shared = {"control_label": "PBS", "control_mean": "71.2", "control_sd": "8.13"}
    rows = [
        study("a", treatment_label=arm, treatment_mean=mean, **shared)
        for arm, mean in (("x", 80.5), ("y", 84.1))
    ]
    assert found_in(folder_of(write, rows)) == []
    rows.append(study("b", treatment_mean="80.44", control_mean="71.2", control_sd="8.13"))
    assert found_in(folder_of(write, rows)) == [("RepeatedNumbersWarning", 4, "control_mean")]


def test_a_row_that_is_a_multiple_of_another_is_found(write: Write) -> None:
    cells = {"treatment_mean": 80.31, "treatment_sd": 9.124, "control_mean": 71.87, "control_sd": 8.253}
    rows = [study("a", **cells)]
    rows.append(study("a", outcome="wound_area", **{name: round(2.5 * x, 3) for name, x in cells.items()}))
    assert found_in(folder_of(write, rows)) == [("ConstantMultipleWarning", 3, "treatment_mean")]
    other = [rows[0], {**rows[1], "treatment_sd": 20.1}]
    assert found_in(folder_of(write, other)) == []


def test_standard_errors_among_sds_are_found_by_n_and_by_cv(write: Write) -> None:
    rng = np.random.default_rng(2)
    sizes = [6, 12, 25, 60, 120, 400]
    sds = {n: rng.normal(9, 0.6, 2).round(2) for n in sizes}
    means = {n: rng.normal((80, 74), 2).round(1) for n in sizes}

    def rows(as_error: tuple[int, ...]) -> list[Row]:
        out = []
        for n in sizes:
            s = sds[n] / (np.sqrt(n) if n in as_error else 1)
            numbers = dict(zip(("treatment_sd", "control_sd"), s.round(2), strict=True))
            numbers |= dict(zip(("treatment_mean", "control_mean"), means[n], strict=True))
            out.append(study(f"s{n}", treatment_n=n, control_n=n, **numbers))
        return out

    assert found_in(folder_of(write, rows(()))) == []
    kinds = {kind for kind, _, _ in found_in(folder_of(write, rows(tuple(sizes))))}
    assert "ShrinkingSDWarning" in kinds
    one = found_in(folder_of(write, rows((60,))))
    assert ("UnusualCVWarning", 5, "treatment_sd") in one
    assert "ShrinkingSDWarning" not in {kind for kind, _, _ in one}


def test_a_variance_far_from_the_others_is_found(write: Write) -> None:
    rows = [study(name, treatment_sd=9 + i, control_sd=8 + i) for i, name in enumerate("abc")]
    assert found_in(folder_of(write, rows)) == []
    rows.append(study("d", treatment_mean=71.1, treatment_sd=0.2, control_sd=0.2))
    found = found_in(folder_of(write, rows))
    assert ("ExtremeVarianceWarning", 5, "treatment_sd") in found


def test_pooled_estimates_are_checked_too(write: Write) -> None:
    folder = write()
    base = {"outcome": "wound_closure", "better": "higher", "measure": "SMD", "estimate": "1.23"}
    good = {**base, "review_id": "r1", "ci_low": "0.73", "ci_high": "1.73", "p_value": "<0.001"}
    bad = [
        {**good, "review_id": "r2", "ci_low": "0.73", "ci_high": "3.73"},
        {**good, "review_id": "r3", "ci_low": "0.74", "ci_high": "1.72", "p_value": "= 0.21"},
        {**good, "review_id": "r4"},
    ]
    write_sheet(folder / "published_meta_analyses.csv", [good])
    assert found_in(folder) == []
    write_sheet(folder / "published_meta_analyses.csv", [good, *bad])
    assert set(found_in(folder)) == {
        ("OffCentreIntervalWarning", 3, "estimate"),
        ("PValueMismatchWarning", 4, "p_value"),
        ("RepeatedNumbersWarning", 5, "estimate"),
    }


def test_every_check_has_a_name_a_class_and_words() -> None:
    table = slip_checks()
    assert table["name"].is_unique
    assert (table["looks_for"].str.len() > 10).all()
    for check in SLIP_CHECKS:
        assert issubclass(check.kind, errors.SheetWarning | errors.MetaexoError)
        assert re.fullmatch(r"(10\.\d{4,}/\S+)?", check.reference)


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["check", *map(str, words)])
    return result.exit_code, result.output


def test_the_command_exits_1_on_errors_and_with_strict_on_warnings(write: Write) -> None:
    assert run(write())[0] == 0
    slip = write(treatment_sd=0)
    code, text = run(slip)
    assert code == 0
    assert "0 errors, 1 warning." in text
    words = " ".join(text.split())  # lines break where the path of the folder is long
    assert 'outcomes.csv line 2, study li2020, column treatment_sd = "0": treatment_sd is zero' in words
    assert run("--strict", slip)[0] == 1
    assert run(write(treatment_sd=-1))[0] == 1


def test_the_command_lists_settled_findings_only_when_asked(write: Write) -> None:
    folder = write(treatment_sd=0, caution="zero as printed")
    assert "ZeroSDWarning" not in run(folder)[1]
    assert "[ZeroSDWarning]" in run("--all", folder)[1]
    assert run("--strict", "--all", folder)[0] == 0
    table = mx.check_sheets(folder).to_frame(noted=True)
    assert list(table["kind"]) == ["ZeroSDWarning"]


def test_what_words_settle_is_counted_with_its_lines(write: Write) -> None:
    folder = write(treatment_sd=0, p_relation="=", p_value=0, caution="zero as printed")
    text = run(folder)[1]
    assert "2 findings are settled by words in `caution`" in text
    assert "zero SD (1): outcomes.csv line 2" in text
    assert "zero p value (1): outcomes.csv line 2" in text
    assert "are settled" not in run("--all", folder)[1]
    assert "settled" not in run(write())[1]


def test_words_that_name_a_kind_settle_it_alone(write: Write) -> None:
    folder = write(treatment_sd=0, p_relation="=", p_value=0, caution="as printed (ZeroSDWarning)")
    check = mx.check_sheets(folder)
    assert [finding.kind for finding in check.cautions] == [errors.ZeroSDWarning]
    assert [finding.kind for finding in check.warnings] == [errors.ZeroPValueWarning]
    with pytest.warns(errors.ZeroPValueWarning, match="unless they name kinds such as ZeroPValueWarning"):
        mx.read_sheets(folder)
    words = "ZeroSDWarning, ZeroPValueWarning: so printed"
    both = write(treatment_sd=0, p_relation="=", p_value=0, caution=words)
    assert not mx.check_sheets(both).warnings


def test_an_error_typed_into_a_row_of_ours_with_a_caution_is_told(ours: Sheets, tmp_path: Path) -> None:
    rows = ours.outcomes
    known = rows[["caution", "treatment_sd", "treatment_n"]].notna().all(axis=1) & rows["treatment_se"].isna()
    line = int(rows.loc[known, "line"].iloc[0])
    shutil.copytree(DATA, tmp_path / "data")
    path = tmp_path / "data" / "outcomes.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[line - 2, "treatment_se"] = str(0.9 * float(table.loc[line - 2, "treatment_sd"]))
    table.to_csv(path, index=False)
    before, check = mx.check_sheets(DATA), mx.check_sheets(tmp_path / "data")
    assert len(check.cautions) == len(before.cautions) + 1
    assert any(f"spread mismatch (1): outcomes.csv line {line}" in words for words in check.settled())


def test_every_finding_in_our_sheets_is_settled_and_told_in_the_readme() -> None:
    check = mx.check_sheets(DATA)
    assert not check.problems
    assert not check.warnings
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    section = readme.split("## What the checks find", 1)[1].split("\n## ", 1)[0]
    told: dict[str, str] = {}
    kind = ""
    for line in section.splitlines():
        if line.startswith("| "):
            cells = line.split("|")
            kind = cells[1].strip().strip("`") or kind
            told[kind] = told.get(kind, "") + cells[2]
    found: dict[tuple[str, str], int] = {}
    for finding in check.cautions:
        key = (finding.kind.__name__, finding.study)
        found[key] = found.get(key, 0) + 1
    counts = {key: f"`{key[1]}` ({n})" if n > 1 else f"`{key[1]}`" for key, n in found.items()}
    assert [key for key, words in counts.items() if words not in told.get(key[0], "")] == []
    listed = {(name, study) for name, cells in told.items() for study in re.findall(r"`(\w+)`", cells)}
    assert listed == set(found)


def test_rows_of_whole_numbers_are_known_in_our_sheets(ours: Sheets) -> None:
    outcomes = ours.outcomes
    whole = outcomes[outcomes["items"].notna()]
    assert set(whole["unit"]) <= {"days", "proteins", "peptides", "proteins in Vesiclepedia"}
    package = json.loads((DATA / "datapackage.json").read_text(encoding="utf-8"))
    fields = next(r for r in package["resources"] if r["name"] == "outcomes")["schema"]["fields"]
    assert next(f for f in fields if f["name"] == "items")["constraints"] == {"minimum": 1}


def test_an_effect_more_precise_than_its_arms_allow_is_said_by_check_and_by_the_effects(write: Write) -> None:
    """Of 10 and 10 people the standard error of Hedges' g is sqrt(1/10 + 1/10) = 0.447 at least."""
    empty = dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"), "")
    given = {**OUTCOMES[0], **empty, "effect_measure": "standardised_mean_difference", "effect": 0.5}
    good = {**given, "effect_ci_low": -0.39, "effect_ci_high": 1.39}
    narrow = {**given, "effect_ci_low": 0.2, "effect_ci_high": 0.8, "timepoint": "day 8"}
    paired = {**narrow, "paired": "yes", "timepoint": "day 9"}
    folder = write(outcomes=[good, narrow, paired])
    found = [f for f in check_sheets(folder).warnings if f.kind is errors.EffectTooPreciseWarning]
    assert [(f.line, f.column) for f in found] == [(3, "effect_ci_low")]
    assert "0.153" in found[0].what
    assert "0.447" in found[0].what
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.SheetWarning)
        sheets = read_sheets(folder)
    with pytest.warns(errors.ImpossibleVarianceWarning, match="1 of 3"):
        sheets.effects("SMD")


@pytest.mark.parametrize(("half", "found"), [(1.2395, 0), (1.12, 0), (1.0, 1)])
def test_a_variance_times_the_squared_correction_is_no_slip(half: float, found: int, write: Write) -> None:
    """Of 5 and 5: 1.96 sqrt(1/5 + 1/5) = 1.2396; times J = 1 - 3/(4 * 8 - 1) = 0.9032 it is 1.1196."""
    empty = dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"), "")
    row = {**OUTCOMES[0], **empty, "treatment_n": 5, "control_n": 5}
    row |= {"effect_measure": "standardised_mean_difference", "effect": 0.05}
    row |= {"effect_ci_low": 0.05 - half, "effect_ci_high": 0.05 + half}
    kinds = [f.kind for f in check_sheets(write(outcomes=[row])).warnings]
    assert kinds.count(errors.EffectTooPreciseWarning) == found


@pytest.mark.parametrize(("half", "found"), [("5.85", 0), ("3.6", 0), ("11.0", 1)])
def test_an_interval_by_t_of_a_small_group_is_right(half: str, found: int, write: Write) -> None:
    """SDs of 3, groups of 8 and 4: the standard error is 1.84; 5.85 is 1.84 times t(3), 3.6 times 1.96."""
    arms = {"treatment_n": 8, "treatment_mean": 60, "control_n": 4, "control_mean": 50}
    sds = {"treatment_sd": "3.00", "control_sd": "3.00", "paired": "no", "difference": 10}
    ends = {"difference_ci_low": 10 - float(half), "difference_ci_high": 10 + float(half)}
    row = {**OUTCOMES[0], **arms, **sds, **ends, "p_relation": "", "p_value": ""}
    kinds = [f.kind for f in check_sheets(write(outcomes=[row])).warnings]
    assert kinds.count(errors.EffectMismatchWarning) == found


# Iba1 area in the cortex of fetal sheep, as a published table of a meta-analysis has it: means, SDs and n of
# one region beside the average effect of two, whose variance is 22 times too small.
SHEEP = {
    "treatment_n": 5,
    "treatment_mean": "63.78",
    "treatment_sd": "7.68",
    "control_n": 6,
    "control_mean": "40.7",
    "control_sd": "22.03",
}
SMD = "standardised_mean_difference"


@pytest.mark.parametrize(
    ("printed", "columns"),
    [
        # g of the means is 1.23, its standard error 0.67
        ({"effect_measure": SMD, "effect": "-0.0035", "effect_se": "0.1291"}, ["effect_se", "effect"]),
        ({"effect_measure": SMD, "effect": "1.23", "effect_se": "0.1291"}, ["effect_se"]),
        ({"effect_measure": SMD, "effect": "1.23", "effect_se": "2.9"}, ["effect_se"]),
        ({"effect_measure": SMD, "effect": "1.23", "effect_se": "0.67"}, []),
        ({"effect_measure": SMD, "effect": "1.33", "effect_ci_low": "0.02", "effect_ci_high": "2.64"}, []),
        ({"effect_measure": SMD, "effect": "-1.23", "effect_se": "0.67"}, ["effect"]),
        # the difference of the means is 23.08, its standard error 9.6, and 9.6 / sqrt(22) = 2.05
        ({"effect_measure": "mean_difference", "effect": "23.08", "effect_se": "2.05"}, ["effect_se"]),
        ({"effect_measure": "mean_difference", "effect": "23.08", "effect_se": "9.6"}, []),
        ({"effect_measure": "mean_difference", "effect": "18", "effect_se": "8"}, []),
        (
            {"difference": "23.08", "difference_ci_low": "19.1", "difference_ci_high": "27.1"},
            ["difference_ci_low"],
        ),
        # the ratio is 1.567, the standard error of its logarithm 0.228
        ({"effect_measure": "ratio_of_means", "effect": "0.64"}, ["effect"]),
        (
            {
                "effect_measure": "ratio_of_means",
                "effect": "1.57",
                "effect_ci_low": "1.00",
                "effect_ci_high": "2.45",
            },
            [],
        ),
    ],
)
def test_an_effect_is_held_against_the_means_beside_it(
    write: Write, printed: Row, columns: list[str]
) -> None:
    found = [
        finding
        for finding in check_sheets(folder_of(write, [study("sheep", **SHEEP, **printed)])).warnings
        if finding.kind in (errors.EffectMismatchWarning, errors.EffectTooPreciseWarning)
    ]
    assert [finding.column for finding in found] == columns
    paired = study("sheep", **SHEEP, **printed) | {"paired": "yes"}
    assert errors.EffectMismatchWarning.__name__ not in str(found_in(folder_of(write, [paired])))


@pytest.mark.parametrize(
    ("effect", "reading"),
    [
        ("0.45", "the logarithm of the ratio"),  # the ratio is 1.567, its logarithm 0.449
        ("0.64", "the same effect with its sign turned, the ratio of control to treatment"),
        ("-0.1", ""),
        ("9.3", ""),
    ],
)
def test_a_ratio_that_the_means_do_not_give_is_named(write: Write, effect: str, reading: str) -> None:
    row = study("sheep", **SHEEP, effect_measure="ratio_of_means", effect=effect)
    found = check_sheets(folder_of(write, [row])).warnings
    assert [f.reading for f in found if f.kind is errors.EffectMismatchWarning] == [reading]


def test_a_negative_ratio_may_be_the_logarithm_of_one(write: Write) -> None:
    turned = {**SHEEP}
    for name in ("mean", "sd", "n"):
        turned[f"treatment_{name}"], turned[f"control_{name}"] = (
            SHEEP[f"control_{name}"],
            SHEEP[f"treatment_{name}"],
        )
    row = study("sheep", **turned, effect_measure="ratio_of_means", effect="-0.45")
    found = check_sheets(folder_of(write, [row])).warnings
    assert "the logarithm of the ratio" in [f.reading for f in found]


def test_what_stands_in_the_place_of_an_effect_or_its_error_is_named(write: Write) -> None:
    """The standard error of the difference is 9.6: 1.96 of it, its square, and the sign turned."""
    printed = [{"effect": 23.08, "effect_se": 18.9}, {"effect": 23.08, "effect_se": 92.7}, {"effect": -23.08}]
    rows = [
        study(f"sheep{i}", **SHEEP, effect_measure="mean_difference", **numbers)
        for i, numbers in enumerate(printed)
    ]
    found = [
        finding
        for finding in check_sheets(folder_of(write, rows)).warnings
        if finding.kind is errors.EffectMismatchWarning
    ]
    readings = ["half the width of a 95% interval", "the sampling variance", "its sign turned"]
    assert len(found) == len(readings)
    assert all(words in finding.reading for words, finding in zip(readings, found, strict=True))
    assert "means, SDs and n give 9.6" in found[0].what


def test_effects_with_such_variances_are_warned_of_where_there_is_no_sheet() -> None:
    table = pd.DataFrame({"treatment_n": [5, 10, 6], "control_n": [6, 8, 6]})
    with pytest.warns(errors.ImpossibleVarianceWarning, match="2 of 3"):
        mx.EffectSizes([-0.0035, -1.123, -5.694], [0.01667, 0.04128, 2.293], "SMD", data=table)
