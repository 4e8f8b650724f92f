"""The numbers of a report: those of direct calls, those of its script, and every number of its answer."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.report.answers import unsupported_numbers
from metaexo.report.content import Report, ReportTable
from metaexo.report.write import write_report
from tests.report.own.conftest import Folder
from tests.report.own.sheets import outcomes_of, studies_of


def table(report: Report, name: str) -> pd.DataFrame:
    return next(one.frame for one in report.tables if one.name == name)


def cells(report: Report) -> list[tuple[str, object]]:
    return [(c, v) for one in report.tables for c in map(str, one.frame) for v in one.frame[c].tolist()]


def test_the_numbers_are_those_of_the_models(usual: tuple[Path, Report]) -> None:
    path, report = usual
    es = mx.read_sheets(path).effects("SMD")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
        blocks = mx.effects.shared_control_covariances(es, correlation=0.6)
        rows = mx.aggregate(es, blocks=blocks, weighted=False)
    fit = mx.RandomEffects(rows).fit(test="knapp-hartung-adhoc")
    pooled = table(report, "pooled").iloc[0]
    assert (pooled["k"], pooled["m"]) == (12, 12)
    np.testing.assert_allclose(pooled[["estimate", "low", "high"]].astype(float), [
        fit.estimate, fit.pooled().low, fit.pooled().high,
    ], rtol=1e-12)  # fmt: skip
    found = table(report, "heterogeneity").iloc[0]
    assert found["tau2"] == pytest.approx(fit.tau2, rel=1e-12)
    assert found["q"] == pytest.approx(fit.q.statistic, rel=1e-12)
    strata = mx.stratify(rows, by="source", test="knapp-hartung-adhoc").to_frame()
    shown = table(report, "by_source")
    np.testing.assert_allclose(shown["estimate_shown"], strata["estimate"], rtol=1e-12)
    assert shown["stratum"].tolist()[:3] == strata["stratum"].tolist()[:3]
    characteristics = table(report, "characteristics")
    np.testing.assert_allclose(characteristics["y"], es.y, rtol=1e-12)
    assert len(report.traces) == es.k == 13


def test_every_number_of_the_answer_stands_in_a_table(usual: tuple[Path, Report]) -> None:
    _, report = usual
    assert len(report.answer) == 5
    for sentence in report.answer:
        assert unsupported_numbers(sentence, cells(report)) == []


def test_the_script_makes_the_same_numbers(usual: tuple[Path, Report], tmp_path: Path) -> None:
    _, report = usual
    (tmp_path / "analysis.py").write_text(report.script, encoding="utf-8")
    assert report.script.count("\n") < 100
    root = Path(mx.__file__).parents[1]
    env = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "analysis.py"], cwd=tmp_path, env=env, check=True, capture_output=True)
    assert_numbers(report, tmp_path)


def test_the_script_of_several_questions_makes_the_same_numbers(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = outcomes_of(11)
    for name in ("treatment_mean", "treatment_sd", "control_mean", "control_sd"):
        del first[10][name]
    first[10] |= {"p_relation": "<", "p_value": 0.05, "direction": "higher"}
    second = outcomes_of(3, outcome="wound_area")
    report = mx.write_report(folder(studies_of(11), [*first, *second]), "SMD", by="source", out=None)
    monkeypatch.chdir(tmp_path)
    run_here(report, tmp_path)
    assert {"wound_closure_pct_bounds", "wound_area_pooled"} <= {one.name for one in report.tables}


def test_the_script_of_counts_makes_the_same_numbers(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    means = dict.fromkeys(("treatment_mean", "treatment_sd", "control_mean", "control_sd"))
    events = {"treatment_events": [2, 0, 1, 3], "control_events": [4, 3, 5, 6]}
    rows = outcomes_of(4, **means, **events, outcome='adverse "events"', better="lower")
    report = mx.write_report(folder(studies_of(4), rows), "RR", out=None)
    monkeypatch.chdir(tmp_path)
    run_here(report, tmp_path)
    assert {"counts", "safety"} <= {one.name for one in report.tables}


def run_here(report: Report, path: Path) -> None:
    (path / "analysis.py").write_text(report.script, encoding="utf-8")
    with warnings.catch_warnings():
        runpy.run_path("analysis.py")
    assert_numbers(report, path)


def assert_numbers(report: Report, path: Path) -> None:
    made = {one.stem: pd.read_csv(one) for one in (path / "numbers").iterdir()}
    ours = {one.name: one for one in report.tables if one.name != "left_out"}
    assert set(ours) == set(made)
    for name, frame in made.items():
        assert_same(ours[name], frame)


def assert_same(ours: ReportTable, theirs: pd.DataFrame) -> None:
    numbers = ours.frame.select_dtypes("number")
    columns = [column for column in numbers if column in theirs]
    assert columns
    assert len(theirs) == len(ours.frame)
    for column in columns:
        np.testing.assert_allclose(
            ours.frame[column].astype(float),
            theirs[column],
            rtol=1e-10,
            atol=1e-12,
            err_msg=f"{ours.name} {column}",
        )


def test_each_effect_leads_to_its_cells(usual: tuple[Path, Report]) -> None:
    _, report = usual
    first = report.traces[0]
    texts = {cell.heading: cell.text for cell in first.cells}
    assert texts["treatment_sd"] == "10"
    assert texts["control_sd"] == "9.5"
    assert all("2" in cell.address for cell in first.cells)
    row = table(report, "characteristics").iloc[0]
    assert f"Effect {row['y']:.4f}, sampling variance {row['v']:.4f}" in first.steps[-1]
    assert f"{row['effect_shown']:.2f}" in first.steps[-1]


def test_a_control_group_that_two_doses_share_has_its_own_covariance(folder: Folder) -> None:
    """Two doses against one control: what they share is computed, and the multilevel model takes it too."""
    outcomes = outcomes_of()
    doses = [
        {**row, "treatment_label": "high dose", "treatment_mean": row["treatment_mean"] + 1.13 + 0.37 * i}
        for i, row in enumerate(outcomes)
    ]
    path = folder(studies_of(), [row for pair in zip(outcomes, doses, strict=True) for row in pair])
    report = write_report(path, "SMD", out=None)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", mx.errors.MetaexoWarning
        )  # the made-up studies have numbers in common
        es = mx.read_sheets(path).effects("SMD")
    shared = mx.effects.shared_control_covariances(es)
    rows = mx.aggregate(es, blocks=shared, weighted=False)
    pooled = mx.RandomEffects(rows).fit(test="knapp-hartung-adhoc").pooled()
    assert table(report, "pooled").iloc[0]["estimate"] == pytest.approx(pooled.estimate, rel=1e-12)
    levels = mx.Multilevel(es, "study/effect", V=shared).fit().robust("study").pooled()
    found = table(report, "sensitivity").set_index("model").loc["all effects, multilevel"]
    assert found["low"] == pytest.approx(levels.low, rel=1e-9)
    said = " ".join(str(part) for part in report.sections)
    assert f"In {len(outcomes)} studies they share a group" in said


def test_doses_of_the_same_studies_are_not_compared_as_if_they_were_of_others(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six studies have both doses, against one control: the test between is robust to that, as in R.

    F, df and p are of clubSandwich 0.5.8: Wald_test(rma.mv(y, v + tau2, mods = ~ 0 + dose), "CR2", cluster =
    study, test = "HTZ"), with tau2 of each dose; means and intervals of metafor: rma(test = "adhoc").
    """
    doses = [("low", "high") if i % 4 < 2 else ("low",) if i % 2 else ("high",) for i in range(10)]
    rows = []
    for i, (row, levels) in enumerate(zip(outcomes_of(10, noise=0.0), doses, strict=True)):
        control = round(60 + 2.5 * np.sin(5 * i), 2)
        for level in levels:
            more = 11.5 + 6 * np.sin(1 + 3 * i) if level == "high" else 6.5 + 6 * np.sin(2 + 3.1 * i)
            rows.append({
                **row, "treatment_label": f"{level} dose", "dose_group": level, "control_mean": control,
                "treatment_mean": round(60 + more, 2),
            })  # fmt: skip
    report = write_report(folder(studies_of(10), rows), "SMD", by="dose_group", out=None)
    test = table(report, "tests_by_dose_group").iloc[0]
    found = test[["statistic", "df1", "df2", "pvalue"]].astype(float)
    np.testing.assert_allclose(found, [11.489091871451, 1, 7.4376063754412, 0.0105947502427], rtol=1e-6)
    strata = table(report, "by_dose_group")
    assert strata["stratum"].tolist() == ["high", "low"]  # each study once: "all" are in the pooled effect
    np.testing.assert_allclose(strata[["estimate", "low", "high"]], [
        [1.184058483023, 0.841343358098, 1.526773607948],
        [0.4211630542715, -0.0433043897889, 0.8856304983318],
    ], rtol=1e-6)  # fmt: skip
    assert table(report, "pooled")[["k", "m"]].to_numpy().tolist() == [[10, 10]]
    assert (
        "Effects differ by dose group (p = 0.011; too few studies for a permutation test)" in report.answer[2]
    )
    monkeypatch.chdir(tmp_path)
    run_here(report, tmp_path)
