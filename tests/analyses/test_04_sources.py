"""Sources: numbers by another way, sentences that follow from them, and a certainty that does too."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t
from statsmodels.formula.api import ols
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower

import metaexo as mx
from metaexo.report.run import Analysis, Folders

NAME = "04_sources"


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


def of_outcome(cargo, outcome):
    """Return the groups whose use is main, with their pooled SD where it is needed."""
    whole = cargo[(cargo["outcome"] == outcome) & (cargo["use"] == "main")]
    frame = whole[whole["source_group"] != "not_reported"]
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
    for name in ("sources", "permutation", "all_methods", "isolation"):
        for _, rows in outcomes.groupby("rows"):
            assert len(rows) == 7
            assert rows[f"holm_{name}"].to_numpy() == pytest.approx(
                multipletests(rows[f"p_{name}"], method="holm")[1], rel=1e-6
            )


def test_blood_against_cells_within_a_laboratory(cargo, table):
    frame = of_outcome(cargo, "log10_redcell_share")
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


def test_sources_within_projects_by_nested_regressions(cargo, table):
    """With all laboratories and without each, p by Holm over the outcomes."""

    def p(outcome, out):
        frame = of_outcome(cargo, outcome)
        place = frame["study_id"] + " / " + frame["isolation_main_step"]
        frame = frame.assign(place=place, source=place + frame["source_group"])
        frame = frame[frame.groupby("place")["source_group"].transform("nunique") > 1]
        frame = frame[frame["laboratory"] != out]
        fits = [ols(f"y ~ C({name})", frame).fit() for name in ("place", "source")]
        return fits[1].compare_f_test(fits[0])[1]

    projects = table("projects").query("rows == 'without doubtful rows'")
    for out in ("none", "L_PRJNA328779"):
        found = projects[projects["without"].fillna("none") == out].set_index("outcome")
        assert found["df2"].unique() == (7 if out == "none" else 2)
        ours = [p(outcome, out) for outcome in found.index]
        assert found["p"].tolist() == pytest.approx(ours, rel=1e-6)
        assert found["holm"].tolist() == pytest.approx(multipletests(ours, method="holm")[1], rel=1e-6)
    outcomes = table("outcomes").query("rows == 'without doubtful rows'").set_index("outcome")
    rest = projects[projects["without"].fillna("none") != "none"].groupby("outcome")["holm"].max()
    assert outcomes["holm_without_one"].to_dict() == pytest.approx(rest.to_dict())


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
    assert said["part"].tolist() == ["answer", "known", "settle"]
    answer = said.iloc[0]
    share = table("outcomes").set_index("outcome").iloc[:7].loc["log10_redcell_share"]
    assert f"blood {share['blood_to_cells']:.0f} times cells" in answer["words"]
    assert int(answer["m"]) == share["m"]
    assert len(answer["words"].split()) <= 45
    assert answer["certainty"] == "low"
    assert answer["reasons"].startswith("observational comparison; within projects very low: 7 degrees")


def test_sentences_follow_the_numbers(script, table):
    outcomes = table("outcomes").query("rows == 'without doubtful rows'")
    share = outcomes.set_index("outcome").loc["log10_redcell_share", "name"]
    ours = script.answer_words(outcomes)
    assert ours.startswith("In part: ")
    assert f"only {share} differs between sources by every test" in ours
    assert ours.endswith("sources differ in 7 of 7 outcomes, but each rests on one laboratory.")
    held = script.answer_words(outcomes.assign(whichever_laboratory=True))
    assert held.endswith("in 7 of 7 outcomes, whichever laboratory is left out.")
    some = script.answer_words(outcomes.assign(whichever_laboratory=[True] * 2 + [False] * 5))
    assert some.endswith("but 5 of them rest on one laboratory.")
    none = script.answer_words(
        outcomes.assign(differ_in_projects=False, whichever_laboratory=False, finding="no difference shown")
    )
    assert none.startswith("Not shown: ")
    assert "(observational) no outcome differs" in none
    assert none.endswith("in 0 of 7 outcomes.")
    every = script.answer_words(outcomes.assign(finding="differs"))
    assert every.startswith("Yes: ")
    assert "7 of 7 outcomes differ between sources" in every

    proteins = table("proteins")
    assert "it is not shown that one matters more" in script.protein_words(proteins)
    for at, name in ((1, "the cell line"), (2, "the method")):
        moved = proteins.copy()
        moved.loc[at, ["sd", "low", "high"]] = [5.0, 4.0, 6.0]
        assert f"{name} matters more" in script.protein_words(moved)

    row = {"m": 5, "m_above_1": 2, "ratio": 0.8, "low": 0.2, "high": 3.0}
    assert script.blood_words(row).startswith("In 2 of 5 laboratories")
    assert script.blood_words(row).endswith("(0.80 times, 95% CI 0.20 to 3.00).")
    assert "haemolysis" in script.blood_words(row | {"ratio": 4.0, "low": 2.0, "high": 8.0})
    within, by_name = table("within"), outcomes.set_index("outcome")["name"]
    (words,) = script.within_words(within, by_name)
    assert "patients and healthy donors are not shown to differ in any outcome (41 laboratories" in words
    moved = within.assign(p=within["p"].where(within["contrast"] != "patients and healthy donors", 0.001))
    assert "patients and healthy donors differ in" in script.within_words(moved, by_name)[0]


def test_the_certainty_falls_if_doubtful_rows_change_the_answer(script, root, tmp_path, table):
    analysis = Analysis(root / "analyses" / f"{NAME}.py", "?", Folders(root / "analyses", root, tmp_path))
    for name in ("outcomes", "between", "crossed", "within", "proteins"):
        analysis.tables[name] = table(name)
    outcomes = analysis.tables["outcomes"]
    outcomes.loc[outcomes["rows"] == "all", "finding"] = "no difference shown"
    script.say(analysis)
    answer = analysis.sentences[0]
    assert answer.certainty == "very low"
    assert "the result changes without doubtful rows" in answer.reasons
    assert outcomes.set_index("outcome").loc["log10_redcell_share", "name"].iloc[0] in analysis.paragraphs[0]
    assert "without PRJNA328779 (2 left)" in analysis.paragraphs[0]


def test_without_the_difference_of_blood_nothing_is_found(script, root):
    key = ("without doubtful rows", "log10_redcell_share")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = script.cargo(mx.read_sheets(root / "data").cargo_groups)
        groups = groups[(groups["use"] == "main") & (groups["outcome"] == key[1])]
        level = groups.assign(y=groups["y"] - 2.0 * groups["source_kind"].isin(script.BLOOD))
        found = {}
        for name, one in (("ours", groups), ("level", level)):
            strata, crossed = (
                script.by_source(script.means_of(one)),
                pd.DataFrame(script.crossed_rows(*key, one)),
            )
            projects = script.within_projects(one).assign(rows=key[0])
            row = script.outcome_row(key, strata, strata.between_tests(1, 99), crossed, projects)
            found[name] = script.with_findings(pd.DataFrame([row])).iloc[0]
    assert found["ours"]["finding"] == "differs"
    assert found["level"]["finding"] == "no difference shown"
    assert found["level"]["blood_to_cells"] == pytest.approx(found["ours"]["blood_to_cells"] / 100, rel=0.1)
    assert found["ours"]["blood_without_one"] <= found["ours"]["blood_to_cells"] * 1.1


@pytest.mark.parametrize("difference", [0.2, 0.66, 1.5, 30.0])
def test_laboratories_needed_are_those_of_a_t_test(script, difference):
    def power(n):
        return TTestIndPower().power(difference, n, 0.05)

    n = script.laboratories_needed(difference)
    assert power(n) >= 0.8
    assert n == 2 or power(n - 1) < 0.8
