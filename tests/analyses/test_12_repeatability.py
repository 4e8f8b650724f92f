"""Repeatability: spreads by hand, levels of repetition apart, and no verdict from one laboratory a method."""

from __future__ import annotations

import csv
import math
import shutil

import numpy as np
import pandas as pd
import pytest

NAME = "12_repeatability"


@pytest.fixture(scope="module")
def sheet(root):
    """Return a function that gives the rows of a sheet by line, read without metaexo."""

    def read(name):
        with (root / "data" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return dict(enumerate(csv.DictReader(file), 2))

    return read


def test_coefficients_of_variation_are_those_by_hand(table, sheet):
    rows = sheet("preparations")
    sizes = table("sizes")
    wanted = [
        line
        for line, row in rows.items()
        if row["size_statistic"] == "mean" and row["size_sd"] and int(row["n_replicates"] or 0) > 1
    ]
    assert sizes["line"].tolist() == wanted
    for row in sizes.itertuples():
        told = rows[row.line]
        n, cv = int(told["n_replicates"]), float(told["size_sd"]) / float(told["size_nm"])
        y = math.log(cv) + 1 / (2 * (n - 1))
        se = math.sqrt(1 / (2 * (n - 1)) + cv**2 / n)
        assert row.cv == pytest.approx(math.exp(y), rel=1e-6)
        assert row.high == pytest.approx(math.exp(y + 1.959963985 * se), rel=1e-6)


def test_levels_are_those_of_the_sheet_and_add_up(table, sheet):
    counts = table("counts").set_index("repetition")
    told = pd.Series([row["repetition"] for row in sheet("preparations").values()]).value_counts()
    assert counts["preparations"][counts["preparations"] > 0].to_dict() == told.to_dict()
    sizes = table("sizes")
    used = sizes[sizes["use"] != "apart"]
    assert counts["with_a_spread"].sum() == len(used)


def test_levels_are_filled_from_words_of_the_row_alone(sheet):
    signs = {
        "donor": ("SD between", "over 11 blocks (patients)", "over 11 patients", "three pool values"),
        "batch": ("over production batches", "SD is BETWEEN-BATCH"),
    }
    for name in ("preparations", "outcomes"):
        rows = sheet(name)
        levels = {row["repetition"] for row in rows.values()}
        assert levels <= {"donor", "batch", "not_reported", ""}
        for row in rows.values():
            if row["repetition"] in signs:
                assert any(sign in row["note"] for sign in signs[row["repetition"]]), row["note"]


def test_no_level_is_in_a_model_with_another(table):
    methods, sizes = table("methods"), table("sizes")
    used = sizes[sizes["use"] != "apart"]
    for level, part in methods.groupby("repetition"):
        assert part["k"].sum() == (used["repetition"] == level).sum()
    assert "not_reported" not in set(methods["repetition"])
    assert "batch" not in set(methods["repetition"]), "the batches are set apart by the sheet"


def test_today_no_method_has_two_laboratories_and_no_verdict_is_given(table, folders):
    methods = table("methods")
    assert methods["tau"].isna().all()
    assert methods["note"].str.contains("shown with its own effect").all()
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "which method is the most repeatable cannot be said" in words
    assert "is the most repeatable (" not in words


def test_ratios_are_those_by_hand(table, sheet):
    rows = sheet("outcomes")
    ratios = table("ratios")
    free = ratios[ratios["paired"] != "yes"]
    assert len(free) == 18
    for row in free.itertuples():
        told = rows[row.line]
        part = {}
        for arm in ("treatment", "control"):
            mean, sd, n = (float(told[f"{arm}_{x}"]) for x in ("mean", "sd", "n"))
            # Senior, Viechtbauer and Nakagawa (2020): the mean in the denominator is corrected for too
            part[arm] = math.log(sd / mean) + 1 / (2 * (n - 1)) - sd**2 / (2 * n * mean**2)
        assert row.cv == pytest.approx(math.exp(part["treatment"] - part["control"]), rel=1e-6)
    assert set(ratios["repetition"]) == {"donor"}
    assert not set(ratios["use"]) & {"apart"}


def test_a_second_laboratory_gives_a_number(run, root, tmp_path):
    # another laboratory that used ultracentrifugation and the peptide capture over donors
    data = shutil.copytree(root / "data", tmp_path / "data")
    rows = pd.read_csv(data / "preparations.csv", dtype=str, keep_default_na=False)
    theirs = rows[rows["study_id"] == "greenberg2024"]
    theirs = theirs[theirs["isolation_category"].isin(["affinity", "ultracentrifugation"])]
    added = theirs.assign(study_id="klymiuk2019", source_url="", size_sd=["25", "40"], caution="made up")
    pd.concat([rows, added]).to_csv(data / "preparations.csv", index=False, lineterminator="\n")
    folders, _ = run(data)
    methods = pd.read_csv(folders.results / "12_methods.csv").set_index("isolation")
    assert methods.loc["Ultracentrifugation", "m"] == 2
    assert methods.loc["Ultracentrifugation", ["value", "low", "high"]].notna().all()
    assert methods.loc["Precipitation", "value":"high"].notna().all()
    assert np.isnan(methods.loc["Precipitation", "tau"])
    assert methods.loc["Precipitation", "note"].startswith("one laboratory: shown with its own effect")
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "no method is shown to be the most repeatable" in words


def test_the_same_run_gives_the_same_bytes(folders, run, root):
    again, analysis = run(root / "data")
    for path in analysis.written:
        assert path.read_bytes() == (folders.output / path.relative_to(again.output)).read_bytes()
