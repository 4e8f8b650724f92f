"""Sources: numbers by another way, sentences that follow from them, and a certainty that does too."""

from __future__ import annotations

import importlib.util
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import t
from statsmodels.formula.api import ols
from statsmodels.stats.multitest import multipletests

import metaexo as mx
from metaexo.report.run import Analysis, Folders

NAME = "04_sources"


@pytest.fixture(scope="module")
def script(root):
    spec = importlib.util.spec_from_file_location("sources", root / "analyses" / f"{NAME}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cargo(root):
    """The sheet as it is on disk, one row per group and outcome."""
    return pd.read_csv(root / "data" / "cargo_groups.csv")


def sampling_variances(frame, whole):
    """Return SD^2 / n, with the pooled SD of the sheet where there is none."""
    told = whole[whole["treatment_n"] > 1].dropna(subset="treatment_sd")
    df = told["treatment_n"] - 1
    pooled = (df * told["treatment_sd"] ** 2).sum() / df.sum()
    own = frame["treatment_sd"].where(frame["treatment_n"] > 1)
    return (own**2).where(own > 0, pooled) / frame["treatment_n"]


def of_outcome(cargo, outcome, uses=("main",)):
    """Return the groups whose use is main, with the pooled SD of groups of these uses where it is needed."""
    whole = cargo[(cargo["outcome"] == outcome) & cargo["use"].isin(uses)]
    frame = whole[(whole["source_group"] != "not_reported") & (whole["use"] == "main")]
    return frame.assign(y=frame["treatment_mean"], v=sampling_variances(frame, whole))


def restricted(y, cov, x):
    """Return the restricted log-likelihood."""
    inverse = np.linalg.inv(cov)
    information = x.T @ inverse @ x
    rest = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    value = np.linalg.slogdet(cov)[1] + np.linalg.slogdet(information)[1] + rest @ inverse @ rest
    return -0.5 * value


def random_effects(y, v):
    """Return estimate and t interval (Knapp-Hartung) of a random-effects model by REML."""
    y, v = np.asarray(y), np.asarray(v)
    ones = np.ones((y.size, 1))
    found = minimize_scalar(
        lambda s: -restricted(y, np.diag(v + s**2), ones), bounds=(0, 20), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    w = 1 / (v + found.x**2)
    mean = w @ y / w.sum()
    se = math.sqrt(w @ (y - mean) ** 2 / (y.size - 1) / w.sum())
    half = t.ppf(0.975, y.size - 1) * se
    return mean, mean - half, mean + half


def test_a_source_has_the_pooled_mean_of_its_laboratories(cargo, table):
    frame = of_outcome(cargo, "log10_redcell_share")
    chosen = frame[
        (frame["isolation_main_step"] == "ultracentrifugation") & (frame["source_group"] == "serum")
    ]
    labs = chosen.groupby("laboratory").agg(y=("y", "mean"), v=("v", "sum"), k=("v", "size"))
    v = labs["v"] / labs["k"] ** 2
    estimate = random_effects(labs["y"], v)[0]
    rows = table("sources").query("rows == 'without doubtful rows' and outcome == 'log10_redcell_share'")
    row = rows.set_index("source_kind").loc["Serum"]
    assert row["m"] == len(labs)
    assert row["estimate"] == pytest.approx(estimate, rel=1e-5)
    # CR2 of clusters of one effect each
    w = 1 / (v + row["tau"] ** 2)
    se = math.sqrt((w**2 * (labs["y"] - estimate) ** 2 / (1 - w / w.sum())).sum()) / w.sum()
    half = t.ppf(0.975, row["df"]) * se
    assert row[["low", "high"]].tolist() == pytest.approx([estimate - half, estimate + half], rel=1e-4)


def test_the_first_computation_is_found_again(table):
    between = table("between")
    own = between[between["basis"] == "groups of samples with an SD"]
    found = {o: rows["p"].tolist() for o, rows in own.groupby("outcome")}
    assert round(found["ln_effective_mirnas"][0], 2) == 0.55
    assert round(found["log10_redcell_share"][0], 3) == 0.022
    # it rests on sources of two laboratories
    assert found["log10_redcell_share"][1] < 1e-4
    assert own.loc[own["outcome"] == "ln_effective_mirnas", "m"].iloc[0] == 70


def test_p_values_are_adjusted_over_the_outcomes(table):
    outcomes = table("outcomes")
    for name in ("projects", "sources", "permutation", "all_methods", "isolation"):
        for _, rows in outcomes.groupby("rows"):
            assert len(rows) == 7
            assert rows[f"holm_{name}"].to_numpy() == pytest.approx(
                multipletests(rows[f"p_{name}"], method="holm")[1], rel=1e-6
            )


def test_blood_against_cells_within_a_laboratory(cargo, table):
    frame = of_outcome(cargo, "log10_redcell_share", ("main", "doubtful", "apart"))
    blood = frame[frame["source_group"].isin(["plasma", "serum"])]
    cells = frame[
        frame["source_group"].isin(
            ["tumour_cell_line", "other_cell_line", "primary_cell", "msc", "pluripotent_derived"]
        )
    ]
    sides = [
        side.groupby("laboratory").agg(y=("y", "mean"), v=("v", "sum"), k=("v", "size"))
        for side in (blood, cells)
    ]
    both = sides[0].index.intersection(sides[1].index)
    a, b = (side.loc[both] for side in sides)
    ends = random_effects(a["y"] - b["y"], a["v"] / a["k"] ** 2 + b["v"] / b["k"] ** 2)
    rows = table("within").query("outcome == 'log10_redcell_share'").set_index("contrast")
    row = rows.loc["blood against cells in one laboratory"]
    assert (row["m"], row["m_above_1"]) == (len(both), (a["y"] > b["y"]).sum())
    assert row[["ratio", "low", "high"]].tolist() == pytest.approx([10**x for x in ends], rel=1e-3)


def test_sources_within_projects_by_another_likelihood(cargo, table):
    frame = of_outcome(cargo, "ln_effective_mirnas")
    place = frame["study_id"] + frame["isolation_main_step"]
    frame = frame.assign(place=place, source=place + frame["source_group"])
    frame = frame[frame.groupby("place")["source_group"].transform("nunique") > 1]
    y, ones = frame["y"].to_numpy(), np.ones((len(frame), 1))
    same = [np.equal.outer(frame[name].to_numpy(), frame[name].to_numpy()) for name in ("place", "source")]
    parts = [*(one.astype(float) for one in same), np.eye(y.size)]

    def best(used):
        def loss(sd):
            extra = sum(s**2 * part for s, part in zip(sd, used, strict=True))
            return -restricted(y, np.diag(frame["v"]) + extra, ones)

        starts = ([0.3] * len(used), [0.1] * len(used))
        return min((minimize(loss, s, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}) for s in
                    starts), key=lambda found: found.fun)  # fmt: skip

    whole = best(parts)
    rows = table("outcomes").query("rows == 'without doubtful rows'").set_index("outcome")
    row = rows.loc["ln_effective_mirnas"]
    assert (row["k_projects"], row["projects"]) == (len(frame), frame["place"].nunique())
    tau2 = whole.x**2
    assert row["share_of_source"] == pytest.approx(tau2[1] / tau2.sum(), abs=1e-4)


@pytest.mark.parametrize("outcome", ["log10_redcell_share", "ln_effective_mirnas"])
def test_sources_within_projects_by_nested_regressions(cargo, table, outcome):
    frame = of_outcome(cargo, outcome)
    place = frame["study_id"] + " / " + frame["isolation_main_step"]
    frame = frame.assign(place=place, source=place + frame["source_group"])
    frame = frame[frame.groupby("place")["source_group"].transform("nunique") > 1]

    def p(part):
        fits = [ols(f"y ~ C({name})", part).fit() for name in ("place", "source")]
        return fits[1].compare_f_test(fits[0])[1]

    rows = table("outcomes").query("rows == 'without doubtful rows'").set_index("outcome")
    row = rows.loc[outcome]
    assert row["p_projects"] == pytest.approx(p(frame), rel=1e-6)
    without = {name: p(frame[frame["place"] != name]) for name in frame["place"].unique()}
    assert row["p_without_one"] == pytest.approx(max(without.values()), rel=1e-6)
    assert row["without"].split(" / ")[0] == max(without, key=without.get).split(" / ")[0]


def test_cell_lines_of_one_laboratory_by_another_likelihood(root, table):
    frame = pd.read_csv(root / "data" / "marker_arms.csv")
    told = frame[frame["treatment_n"] > 1]
    squares = (told["treatment_n"] - 1) * told["treatment_sd"] ** 2
    pooled = squares.groupby(told["outcome"]).sum() / (told["treatment_n"] - 1).groupby(told["outcome"]).sum()
    lines = frame[frame["study_id"] == "kugeratski2021"]
    y = lines["treatment_mean"].to_numpy()
    v = lines["outcome"].map(pooled).to_numpy() / lines["treatment_n"].to_numpy()
    x = pd.get_dummies(lines["outcome"]).to_numpy(dtype=float)
    found = minimize_scalar(lambda s: -restricted(y, np.diag(v + s**2), x), bounds=(0.1, 5), method="bounded")
    row = table("proteins").iloc[0]
    assert row["compared"] == f"{lines['source_reported'].nunique()} cell lines, one method"
    assert row["sd"] == pytest.approx(found.x, abs=1e-4)


def test_the_answer_stands_in_its_table_and_says_how_sure_it_is(folders, table):
    said = pd.read_csv(folders.results / "answers.csv", keep_default_na=False)
    assert said["part"].tolist() == ["answer", "known", "known", "settle"]
    row = table("outcomes").iloc[0]
    answer = said.iloc[0]
    assert f"in {row['m_projects']} laboratories" in answer["words"]
    assert f"{row['blood_to_cells']:.0f} times" in answer["words"]
    assert (answer["certainty"], answer["reasons"]) == ("low", "observational comparison")


def test_sentences_follow_the_numbers(script, table):
    outcomes = table("outcomes").query("rows == 'without doubtful rows'")
    assert script.answer_words(outcomes).startswith("Mostly: ")
    assert "every outcome of the miRNA cargo but the effective number of miRNAs;" in script.answer_words(
        outcomes
    )
    assert "only the share of red-cell miRNAs differs by every test" in script.answer_words(outcomes)
    none = outcomes.assign(differ_in_projects=False, finding="no difference shown")
    assert script.answer_words(none).startswith("Not shown: ")
    assert "sources differ in no outcome;" in script.answer_words(none)
    assert script.answer_words(none).endswith("no outcome is shown to differ by every test.")
    every = outcomes.assign(differ_in_projects=True, finding="differs")
    assert script.answer_words(every).startswith("Yes: ")
    assert "only" not in script.answer_words(every)
    few = outcomes.assign(
        differ_in_projects=[False] * 5 + [True] * 2, finding=["tests disagree"] * 5 + ["differs"] * 2
    )
    words = script.answer_words(few)
    assert words.startswith("In part: ")
    assert words.count("miR-21-5p and miR-223-3p") == 2
    assert "differ by every test" in words
    assert "blood against cells" not in words

    proteins = table("proteins")
    assert "it is not shown that one matters more" in script.protein_words(proteins)
    for at, name in ((1, "the cell line"), (2, "the method")):
        moved = proteins.copy()
        moved.loc[at, ["sd", "low", "high"]] = [5.0, 4.0, 6.0]
        assert f"{name} matters more" in script.protein_words(moved)

    row = {"m": 5, "m_above_1": 2, "ratio": 0.8, "low": 0.2, "high": 3.0}
    assert script.blood_words(row).startswith("In 2 of 5 laboratories that measured both")
    assert "(0.80 times, 95% CI 0.20 to 3.00)" in script.blood_words(row)


def test_the_certainty_falls_if_doubtful_rows_change_the_answer(script, root, tmp_path, table):
    analysis = Analysis(root / "analyses" / f"{NAME}.py", "?", Folders(root / "analyses", root, tmp_path))
    for name in ("outcomes", "between", "crossed", "within", "proteins"):
        analysis.tables[name] = table(name)
    every = analysis.tables["outcomes"]["rows"] == "all"
    analysis.tables["outcomes"].loc[every, "finding"] = "no difference shown"
    script.say(analysis)
    answer = analysis.sentences[0]
    assert answer.certainty == "very low"
    assert answer.reasons.endswith("the result changes without doubtful rows")
    assert "doubtful rows change the finding on the share of red-cell miRNAs" in analysis.paragraphs[0]
    assert "the effective number of miRNAs rests on one project" in analysis.paragraphs[0]


def test_without_the_difference_of_blood_nothing_is_found(script, root):
    sheets = mx.read_sheets(root / "data")
    key = ("without doubtful rows", "log10_redcell_share")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = script.cargo(sheets, key[1], ["main"])
        blood = es.column("source_kind").isin(script.BLOOD).to_numpy()
        level = mx.EffectSizes(
            es.y - 2.0 * blood, es.v, "MN", study=es.study, data=es.data, derived=es.derived
        )
        found = {}
        for name, one in (("ours", es), ("level", level)):
            strata = script.by_source(script.means_of(one, script.PLACE))
            crossed = pd.DataFrame(script.crossed_rows(*key, one))
            row = script.outcome_row(key, one, strata, strata.between_tests(1, 99), crossed)
            found[name] = script.with_findings(pd.DataFrame([row])).iloc[0]
    assert found["ours"]["finding"] == "differs"
    assert found["level"]["finding"] == "no difference shown"
    assert found["level"]["blood_to_cells"] == pytest.approx(found["ours"]["blood_to_cells"] / 100, rel=0.1)
