"""Sizes and their repeatability: rows and ratios by hand, the mixed model by dense matrices, words."""

from __future__ import annotations

import csv
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import metaexo as mx

NAME = "05_vesicle_sizes"
RESIDUAL = "single preparation"


@pytest.fixture(scope="module")
def sheet(root):
    """Return a function that gives the rows of a sheet by line, read without metaexo."""

    def read(name):
        with (root / "data" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return dict(enumerate(csv.DictReader(file), 2))

    return read


@pytest.fixture(scope="module")
def dense(table, script):
    """Return log sizes and the matrix of equal levels of every term, for the rows of the model of all."""
    rows = table("preparations")
    rows = rows[rows["step"] == "used"]
    for factor in script.FACTORS:
        rows = rows[~rows[factor].str.replace("_", " ").str.casefold().eq("not reported")]
    columns = {"laboratory": "laboratory", **{words: name for name, words in script.FACTORS.items()}}
    same = {
        term: (rows[column].to_numpy()[:, None] == rows[column].to_numpy()).astype(float)
        for term, column in columns.items()
    }
    return np.log(rows["size_nm"].to_numpy()), same | {RESIDUAL: np.eye(len(rows))}


@pytest.fixture(scope="module")
def parts(table):
    return table("components")


@pytest.fixture(scope="module")
def variances(parts):
    return parts[parts["rows"] == "all"].set_index("component")["variance"].to_dict()


def restricted(values, y, same):
    """Return the restricted log-likelihood of variances, but for a constant."""
    inverse = np.linalg.inv(sum(values[term] * same[term] for term in values))
    left = y - (inverse @ y).sum() / inverse.sum()
    return 0.5 * (np.linalg.slogdet(inverse)[1] - np.log(inverse.sum()) - left @ inverse @ left)


def test_every_preparation_is_used_or_has_a_reason(table, sheet):
    rows, told = table("preparations"), sheet("preparations")
    assert rows["line"].tolist() == list(told)
    used = rows[rows["step"] == "used"]
    assert used["line"].tolist() == [
        line for line, row in told.items() if row["size_statistic"] == "mean" and row["use"] != "apart"
    ]
    assert used["size_nm"].tolist() == [float(told[line]["size_nm"]) for line in used["line"]]
    assert (rows["reason"].isna() == (rows["step"] == "used")).all()


def test_the_geometric_mean_counts_every_laboratory_once(table):
    rows = table("preparations")
    used = rows[rows["step"] == "used"]
    for found, part in zip(table("overall").itertuples(), (used, used[used["use"] == "main"]), strict=True):
        means = np.log(part["size_nm"]).groupby(part["laboratory"]).mean()
        half = stats.t.ppf(0.975, len(means) - 1) * means.std() / math.sqrt(len(means))
        assert (found.k, found.laboratories) == (len(part), len(means))
        wanted = np.exp([means.mean(), means.mean() - half, means.mean() + half])
        assert [found.mean_nm, found.low_nm, found.high_nm] == pytest.approx(wanted, rel=1e-6)


def test_the_variances_are_where_the_restricted_likelihood_is_highest(dense, variances):
    y, same = dense
    best = restricted(variances, y, same)
    for term, value in variances.items():
        for moved in (value + 0.005, value - 0.005):
            if moved >= 0:
                assert restricted(variances | {term: moved}, y, same) < best


def test_components_are_tested_by_likelihood_ratios_with_the_variance_on_its_boundary(
    dense, variances, parts
):
    y, same = dense
    found = parts[parts["rows"] == "all"].set_index("component")["p_value"]
    for term in ("laboratory", "source"):
        others = [name for name in variances if name != term]

        def loss(logs, others=others):
            return -restricted(dict(zip(others, np.exp(logs), strict=True)), y, same)

        start = np.log([max(variances[name], 1e-3) for name in others])
        left = optimize.minimize(
            loss, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 4000}
        )
        statistic = 2 * (restricted(variances, y, same) + left.fun)
        assert found[term] == pytest.approx(0.5 * stats.chi2.sf(statistic, 1), rel=1e-3)
    assert math.isnan(found[RESIDUAL])
    zero = [term for term in found.index if variances[term] == 0]
    assert (found[zero] == 1).all()


def test_shares_add_up_and_lie_in_their_intervals(parts):
    assert parts.groupby("rows")["share"].sum().to_numpy() == pytest.approx(1.0, abs=1e-6)
    assert (parts["share_low"] <= parts["share"] + 1e-9).all()
    assert (parts["share"] <= parts["share_high"] + 1e-9).all()


def test_ratios_of_methods_are_those_by_hand(table, sheet):
    told, ratios = sheet("preparations"), table("method_ratios")
    assert not ratios.duplicated(["line_a", "line_b"]).any()
    known = 0
    for row in ratios.itertuples():
        a, b = told[row.line_a], told[row.line_b]
        assert (a["study_id"], a["source_reported"]) == (b["study_id"], b["source_reported"])
        assert row.ratio == pytest.approx(float(a["size_nm"]) / float(b["size_nm"]), rel=1e-6)
        if math.isnan(row.cv_ratio):
            assert not (a["size_sd"] and b["size_sd"] and a["repetition"] == b["repetition"] == "donor")
            continue
        known += 1
        cvs, ns = zip(
            *((float(r["size_sd"]) / float(r["size_nm"]), int(r["n_replicates"])) for r in (a, b)),
            strict=True,
        )
        v = sum(cv**2 / n for cv, n in zip(cvs, ns, strict=True))
        assert row.low == pytest.approx(row.ratio * math.exp(-1.959963985 * math.sqrt(v)), rel=1e-6)
        logs = [math.log(cv) + 1 / (2 * (n - 1)) - cv**2 / (2 * n) for cv, n in zip(cvs, ns, strict=True)]
        assert row.cv_ratio == pytest.approx(math.exp(logs[0] - logs[1]), rel=1e-6)
    assert known


def test_ratios_of_cvs_on_one_material_are_those_by_hand(table, sheet):
    free = {"outcomes": 0, "method_contrasts": 0}
    for row in table("cv_ratios").itertuples():
        one = sheet(row.sheet)[row.line]
        assert one["use"] != "apart"
        assert one["repetition"] == row.repetition == ("donor" if row.sheet == "outcomes" else "preparation")
        if one["paired"] == "yes":
            continue
        free[row.sheet] += 1
        logs = []
        for arm in ("treatment", "control"):
            mean, sd, n = (float(one[f"{arm}_{x}"]) for x in ("mean", "sd", "n"))
            logs.append(math.log(sd / mean) + 1 / (2 * (n - 1)) - sd**2 / (2 * n * mean**2))
        assert row.ratio == pytest.approx(math.exp(logs[0] - logs[1]), rel=1e-6)
    assert free == {"outcomes": 18, "method_contrasts": 9}


def test_no_level_of_repetition_is_in_a_model_with_another(table, sheet):
    told = pd.DataFrame(sheet("preparations").values())
    usable = told[(told["size_statistic"] == "mean") & (told["size_sd"] != "") & (told["use"] != "apart")]
    usable = usable[pd.to_numeric(usable["n_replicates"]) > 1]
    found = table("repeatability").groupby("repetition")["k"].sum()
    counts = usable["repetition"].value_counts().drop("not_reported")
    assert found.to_dict() == counts.to_dict()


def test_words_turn_with_the_tests_of_the_components(script, parts):
    def said(p=None, left=1.0):
        changed = parts.assign(
            p_adjusted=parts["p_adjusted"].where(~parts["component"].isin(script.FACTORS.values()), 0.6)
        )
        changed["share_left"] = left * parts["share"]
        for factor, values in (p or {}).items():
            changed.loc[parts["component"] == factor, "p_adjusted"] = values
        return script.associated(changed)[0]

    nothing = "Vesicle size is not shown to be associated with source, isolation method or technique"
    observed = f"{nothing} (observational)"
    assert said() == f"{observed}; smallest adjusted p = 0.60"
    doubtful = said({"source": [0.01, 0.2]}, left=1.0)
    assert doubtful.startswith(f"{observed}: source stands out (")
    assert doubtful.endswith("adjusted p = 0.010), but not without doubtful rows")
    one = said({"isolation method": [0.01, 0.02]}, left=0.1)
    assert one.startswith(f"{observed}: isolation method stands out (")
    assert "but not without Klymiuk 2019" in one
    whole = said({"isolation method": [0.01, 0.02]}, left=1.0)
    assert whole.startswith("Vesicle size is associated with isolation method (")
    assert whole.endswith("%, adjusted p = 0.010) (observational)")
    both = said({"source": [0.01, 0.2], "measuring technique": [0.01, 0.03]}, left=1.0)
    assert "associated with measuring technique (" in both
    assert ": source stands out (" in both


def test_tests_of_the_factors_are_adjusted_by_holm(parts):
    for _, rows in parts.groupby("rows"):
        p = rows.set_index("component")["p_value"][["source", "isolation method", "measuring technique"]]
        ordered = p.sort_values()
        adjusted = (ordered * [3, 2, 1]).clip(upper=1).cummax()
        found = rows.set_index("component")["p_adjusted"]
        assert found[ordered.index].tolist() == pytest.approx(adjusted.tolist(), rel=1e-6)
        assert found[["laboratory", RESIDUAL]].isna().all()


def test_components_that_one_laboratory_makes_are_named(script, parts, table, dense):
    whole = parts[parts["rows"] == "all"]
    words = script.resting(parts)
    for row in whole.itertuples():
        rests = row.share >= 0.1 and row.share_left < row.share / 2
        assert (f"{row.component} {100 * row.share:.0f}%, but " in words) == rests
        assert (f" without {row.without} ({row.k_left:.0f} of {row.k} sizes left)" in words) or not rests
    stays = parts.assign(share_left=parts["share"])
    assert script.resting(stays) == "No component of the variance of vesicle size rests on one laboratory."


def test_the_laboratory_left_out_is_one_that_a_reader_can_find(script, table, sheet, root):
    used = table("preparations").query("step == 'used'")
    called = script.named(script.chosen(mx.read_sheets(root / "data").preparations)[0])
    assert len(set(called.values())) == len(called) == used["laboratory"].nunique()
    rows = sheet("preparations")
    for name in table("overall")["without"]:
        laboratory = next(key for key, value in called.items() if value == name)
        (line,) = used.loc[used["laboratory"] == laboratory, "line"]
        assert f"line {line} of preparations.csv ({rows[line]['source_reported']})" in name


def test_what_is_left_without_a_laboratory_is_the_fit_without_it(script, parts, root):
    source = parts[(parts["rows"] == "all") & (parts["component"] == "source")].iloc[0]
    sizes, _ = script.chosen(mx.read_sheets(root / "data").preparations)
    sizes = sizes[sizes["complete"] & (sizes["laboratory"].map(script.named(sizes)) != source["without"])]
    shares = script.fit(sizes, [*script.FACTORS]).heterogeneity()["share"]
    assert shares["source_kind"] == pytest.approx(source["share_left"], abs=1e-6)


def test_sizes_that_follow_the_method_are_found_by_the_model(script, root):
    preparations = mx.read_sheets(root / "data").preparations
    sizes, _ = script.chosen(preparations)
    sizes = sizes[sizes["complete"]]
    grown = {name: 1.5 * i for i, name in enumerate(sorted(sizes[script.METHOD].unique()))}
    sizes = sizes.assign(log_size=sizes["log_size"] + sizes[script.METHOD].map(grown))
    fit = script.fit(sizes, [*script.FACTORS])
    found = script.components(fit, "all")
    found = found.assign(share_left=found["share"], without="A")
    share = found.set_index("component").loc["isolation method", "share"]
    assert share > 0.85
    words, lasting, _ = script.associated(pd.concat([found, found.assign(rows="without doubtful rows")]))
    assert words.startswith("Vesicle size is associated with ")
    assert f"isolation method ({100 * share:.0f}%, adjusted p < 0.0001)" in lasting


def test_words_of_two_methods_turn_with_the_ratios(script, table):
    ratios = table("method_ratios")
    pair = "Size exclusion / precipitation"
    words = script.within_laboratories(ratios)
    assert f"{pair.lower()}: one study by itself lies on both sides of 1" in words
    assert f"to {ratios['factor'].max():.2f} (Klymiuk 2019, no SD)" in words
    above = ratios.assign(ratio=ratios["ratio"].where(ratios["methods"] != pair, 1.2))
    assert f"{pair.lower()}: studies agree on the direction" in script.within_laboratories(above)
    apart = above.assign(ratio=above["ratio"].where(ratios["study_name"] != "Nguyen 2019", 0.8))
    assert f"{pair.lower()}: studies disagree" in script.within_laboratories(apart)
    assert ratios["factor"].tolist() == pytest.approx(
        np.maximum(ratios["ratio"], 1 / ratios["ratio"]).tolist()
    )


def test_ratios_of_the_same_two_methods_say_what_they_are(script, table):
    names = script.told_apart(table("method_ratios"))
    assert "Size exclusion / precipitation: fraction 7" in set(names)
    assert (
        not pd.DataFrame({"names": names, "study": table("method_ratios")["study_name"]}).duplicated().any()
    )


def test_a_run_without_ratios_has_its_sentence(script, table):
    ratios = table("method_ratios")
    assert script.within_laboratories(ratios[:0]).startswith("No laboratory measured")


def test_a_second_laboratory_makes_methods_comparable(script, root, tmp_path, folders):
    today = (folders.results / "answers.csv").read_text(encoding="utf-8")
    assert today.count("which method is the most repeatable cannot be said") == 1
    data = shutil.copytree(root / "data", tmp_path / "data")
    rows = pd.read_csv(data / "preparations.csv", dtype=str, keep_default_na=False)
    theirs = rows[rows["study_id"] == "greenberg2024"]
    theirs = theirs[theirs["isolation_category"].isin(["affinity", "ultracentrifugation"])]
    added = theirs.assign(study_id="klymiuk2019", source_url="", size_sd=["25", "40"], caution="made up")
    pd.concat([rows, added]).to_csv(data / "preparations.csv", index=False, lineterminator="\n")
    repeated = script.repeatability(mx.read_sheets(data))
    assert repeated.sentence == "no method is shown to be the most repeatable"
    assert not repeated.undecided
