"""Crossed effects on vesicle size: rows by hand, likelihood and predictions by dense matrices."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from metaexo.report.run import Folders, run_analysis

NAME = "08_vesicle_sizes"
MAIN = "rows that name all three"
COLUMNS = {
    "laboratory": "laboratory",
    "source": "source",
    "isolation method": "isolation",
    "technique": "technique",
}
RESIDUAL = "single preparation"


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "preparations.csv").open(encoding="utf-8", newline="") as file:
        return dict(enumerate(csv.DictReader(file), 2))


@pytest.fixture(scope="module")
def dense(table):
    """Return log sizes and the matrix of equal levels of every term, for the rows of the main model."""
    sizes = table("sizes")
    rows = sizes[sizes["complete"]]
    same = {
        term: (rows[column].to_numpy()[:, None] == rows[column].to_numpy()).astype(float)
        for term, column in COLUMNS.items()
    }
    return np.log(rows["size_nm"].to_numpy()), same | {RESIDUAL: np.eye(len(rows))}, rows


@pytest.fixture(scope="module")
def variances(table):
    found = table("variances")
    return found[found["rows"] == MAIN].set_index("term")["variance"].to_dict()


def test_rows_are_means_that_are_not_set_apart(table, sheet):
    wanted = [
        line for line, row in sheet.items() if row["size_statistic"] == "mean" and row["use"] != "apart"
    ]
    assert table("sizes")["line"].tolist() == wanted


def test_the_model_of_all_factors_takes_the_rows_that_name_them(table, sheet):
    sizes = table("sizes").set_index("line")["complete"]
    for line, complete in sizes.items():
        cells = [sheet[line][name] for name in ("source_category", "isolation_category", "technique")]
        assert complete == all(cell not in ("", "not_reported") for cell in cells)
    assert 0 < sizes.sum() < len(sizes)


def test_no_sampling_variance_is_made_up(table, sheet):
    for row in table("sizes").itertuples():
        told = sheet[row.line]
        has = bool(told["size_sd"]) and told["n_replicates"] not in ("", "1") and told["use"] == "main"
        assert has == (not np.isnan(row.sampling_variance))
        if has:
            cv = float(told["size_sd"]) / float(told["size_nm"])
            assert row.sampling_variance == pytest.approx(cv**2 / int(told["n_replicates"]), rel=1e-6)


def test_the_variances_are_where_the_restricted_likelihood_is_highest(dense, variances):
    y, same, _ = dense

    def likelihood(values):
        m = sum(values[term] * same[term] for term in same)
        inverse = np.linalg.inv(m)
        left = y - (inverse @ y).sum() / inverse.sum()
        return -0.5 * (np.linalg.slogdet(m)[1] + np.log(inverse.sum()) + left @ inverse @ left)

    best = likelihood(variances)
    for term, value in variances.items():
        for moved in (value + 0.005, value - 0.005):
            if moved >= 0:
                assert likelihood(variances | {term: moved}) < best


def test_levels_are_best_linear_predictions(table, dense, variances):
    y, same, rows = dense
    inverse = np.linalg.inv(sum(variances[term] * same[term] for term in same))
    mean = (inverse @ y).sum() / inverse.sum()
    levels = table("levels").set_index(["factor", "level"])
    for term, column in COLUMNS.items():
        predicted = np.exp(variances[term] * same[term] @ inverse @ (y - mean))
        for level, value in zip(rows[column], predicted, strict=True):
            assert levels.loc[(term, level), "estimate"] == pytest.approx(value, rel=1e-4)
        plain = pd.Series(y, index=rows[column]).groupby(level=0).mean()
        for level, value in plain.items():
            assert levels.loc[(term, level), "plain"] == pytest.approx(np.exp(value - mean), rel=1e-4)
            assert levels.loc[(term, level), "preparations"] == (rows[column] == level).sum()


def test_shares_add_up_in_every_choice_of_rows(table):
    found = table("variances")
    assert found.groupby("rows")["share"].sum().to_numpy() == pytest.approx(1.0, abs=1e-6)
    assert (found["share_low"] <= found["share"] + 1e-9).all()
    assert (found["share"] <= found["share_high"] + 1e-9).all()
    residual = found[found["term"] == RESIDUAL]
    assert (residual["variance_low"] > 0).all()


def test_what_is_not_named_by_all_is_refused_in_the_model_of_all(table):
    terms = table("terms")
    refused = terms[(terms["rows"] == "all means") & ~terms["kept"]]
    assert refused["name"].tolist() == ["source", "isolation method", "technique"]
    assert refused["reason"].str.contains("not name it").all()
    kept = table("variances")
    assert set(kept.loc[kept["rows"] == "all means", "term"]) == {"laboratory", RESIDUAL}


def test_a_variance_of_zero_is_said_and_shows_no_false_certainty(folders, table):
    found = table("variances").set_index(["rows", "term"])["variance"]
    zero = [term for term in COLUMNS if found[MAIN, term] == 0]
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert f"their levels are all alike: {', '.join(zero) or 'none'}" in words
    figure = (folders.figures / "08_levels.svg").read_text(encoding="utf-8")
    assert "Variance estimated as zero" in figure or not zero


def test_a_second_run_writes_the_same_bytes(folders, root, tmp_path):
    again = Folders(root / "analyses", root / "data", tmp_path)
    run_analysis(root / "analyses" / f"{NAME}.py", again)
    for before, after in ((folders.results, again.results), (folders.figures, again.figures)):
        names = sorted(path.name for path in before.iterdir())
        assert names == sorted(path.name for path in after.iterdir())
        assert [n for n in names if (before / n).read_bytes() != (after / n).read_bytes()] == []
