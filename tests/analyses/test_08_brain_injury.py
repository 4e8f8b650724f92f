"""Brain injury: pooled values, wrong variances and covariances by hand; sentences that follow the data."""

from __future__ import annotations

import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import metaexo as mx

NAME = "08_brain_injury"
ANIMALS, WITHOUT = "animals", "without doubtful rows"


@pytest.fixture(scope="module")
def rows(root):
    """Return the sheet with Hedges' g and two sampling variances of each row, without metaexo."""
    table = pd.read_csv(root / "data" / "brain_outcomes.csv")
    n1, n2 = table["treatment_n"], table["control_n"]
    df = n1 + n2 - 2
    squares = (n1 - 1) * table["treatment_sd"] ** 2 + (n2 - 1) * table["control_sd"] ** 2
    d = (table["treatment_mean"] - table["control_mean"]) / np.sqrt(squares / df)
    factor = np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    g = d * factor
    return table.assign(
        g=g,
        v=1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)),
        v_unbiased=1 / n1 + 1 / n2 + (1 - (df - 2) / (df * factor**2)) * g**2,
        table=table["locator"].str.extract(r"(table\d+)$")[0],
    )


def dersimonian_laird(y, v):
    w = 1 / v
    q = w @ (y - (w @ y) / w.sum()) ** 2
    tau2 = max(0.0, (q - (len(y) - 1)) / (w.sum() - (w @ w) / w.sum()))
    w = 1 / (v + tau2)
    half = stats.norm.ppf(0.975) / math.sqrt(w.sum())
    return (w @ y) / w.sum() + np.array([0.0, -half, half])


def test_the_pooled_effect_is_that_of_metafor(table, rows):
    """metafor 3.8-1, rma.mv with the covariances below, and clubSandwich's CR2 with Satterthwaite's df."""
    row = table("pooled").set_index(["evidence", "rows"]).loc[(ANIMALS, WITHOUT)]
    assert row["estimate"] == pytest.approx(1.869255, abs=1e-6)
    assert [row["low"], row["high"]] == pytest.approx([1.244527, 2.493983], abs=1e-6)
    assert row["tau2"] == pytest.approx(0.47704593 + 0.65326924, abs=1e-6)
    part = rows[rows["better"].isin(["lower", "higher"])]
    part = part[(part["use"] == "main") & (part["domain"] == "preclinical")].reset_index()
    y = np.where(part["better"] == "lower", -1, 1) * part["g"]
    laboratory = part["study_id"].replace("bernardi_16_xin", "bernardi_18_xin")
    assert row["k"] == len(part)
    assert row["laboratories"] == laboratory.nunique()
    cov = np.diag(part["v"].to_numpy())
    for i in range(len(part)):
        for j in set(range(len(part))) - {i}:
            if part["group_of_subjects"][i] == part["group_of_subjects"][j]:
                cov[i, j] = 0.6 * math.sqrt(part["v"][i] * part["v"][j])
            elif (part["control_group"][i], part["outcome"][i]) == (
                part["control_group"][j],
                part["outcome"][j],
            ):
                cov[i, j] = 1 / part["control_n"][i] + y[i] * y[j] / (2 * 45)  # two arms and a control of 15
    same = laboratory.to_numpy()[:, None] == laboratory.to_numpy()
    weights = np.linalg.inv(cov + 0.47704593 * same + 0.65326924 * np.eye(len(part)))
    assert row["estimate"] == pytest.approx(weights.sum(axis=0) @ y / weights.sum(), abs=1e-6)


def test_the_printed_values_are_found_with_the_wrong_variances_and_change_with_the_right_ones(
    table, rows, root
):
    printed = pd.read_csv(root / "data" / "published_meta_analyses.csv")
    printed = printed[printed["review_id"] == "bernardi2024"]
    values = table("review")
    assert values["marker"].nunique() == len(printed) == 16
    for row in printed.itertuples():
        part = rows[rows["table"] == re.search(r"table\d+$", row.locator)[0]]
        wrong, right = [], []
        for _, group in part.groupby("group_of_subjects", sort=False):
            w = 1 / group["v_unbiased"].to_numpy()
            n1, n2, y = *group[["treatment_n", "control_n"]].iloc[0], (w @ group["g"]) / w.sum()
            alone, inner = len(group) == 1, 1 / n1 + 1 / n2
            wrong.append((y, 1 / w[0] if alone else (inner + y**2) / (2 * (n1 + n2))))
            right.append((y, 1 / w[0] if alone else inner + y**2 / (2 * (n1 + n2))))
        by_hand = {
            "as printed": [row.estimate, row.ci_low, row.ci_high],
            "computed as the review did": dersimonian_laird(*np.array(wrong).T),
            "variances corrected": dersimonian_laird(*np.array(right).T),
        }
        assert by_hand["computed as the review did"] == pytest.approx(by_hand["as printed"], abs=0.0051)
        shown = values[np.isclose(values["estimate"], row.estimate) & (values["analysis"] == "as printed")]
        assert len(shown) == 1
        of_marker = values[values["marker"] == shown["marker"].iloc[0]].set_index("analysis")
        for analysis, numbers in by_hand.items():
            assert of_marker.loc[analysis, ["estimate", "low", "high"]].tolist() == pytest.approx(
                list(numbers), abs=1e-6
            )


def test_the_variances_of_studies_with_several_regions(table):
    """Ophelders: y = -0.0035, n = 5 and 6, so that 1/5 + 1/6 = 0.367 became 0.367 / 22."""
    found = table("variances").set_index(["study", "marker"])
    sheep = found.loc[("Ophelders 2016", "Iba1-positive area")]
    assert sheep["v"] == pytest.approx(11 / 30 + sheep["y"] ** 2 / 22)
    assert sheep["times_too_small"] == pytest.approx(22, abs=0.001)
    assert found.loc["Labusek 2023", "times_too_small"].tolist() == pytest.approx([6.3, 6.45], abs=0.005)
    # metafor 3.8-1: rma(yi, vi), REML with normal and with Knapp-Hartung intervals
    area = table("review").set_index(["marker", "analysis"]).loc["Iba1-positive area"]
    ends = ["estimate", "low", "high"]
    assert area.loc["corrected, REML", ends].tolist() == pytest.approx([-1.595, -3.574, 0.385], abs=0.001)
    assert area.loc["corrected, REML, Knapp-Hartung", ends].tolist() == pytest.approx(
        [-1.595, -5.190, 2.001], abs=0.001
    )


def test_what_adjusted_estimates_leave_is_that_of_the_table(table):
    fact = table("facts").iloc[0]
    methods = table("small_studies")
    adjusted = methods[(methods["kind"] == "estimate") & methods["estimate"].notna()]
    adjusted = adjusted[adjusted["remark"].isna()]
    assert fact["methods"] == len(adjusted)
    assert [fact["lowest"], fact["median"], fact["highest"]] == pytest.approx(
        adjusted["estimate"].quantile([0, 0.5, 1]).tolist(), rel=1e-6
    )
    assert fact["include_no_effect"] == ((adjusted["low"] <= 0) & (adjusted["high"] >= 0)).sum()
    pvalue = methods.set_index("method")["pvalue"]
    sizes, errors = (
        pvalue[f"regression test ({words})"] for words in ("root of 1/n1 + 1/n2", "standard error")
    )
    assert errors < sizes  # which grows with the effect by construction
    n = int(fact["needed_per_group"])
    power = [
        stats.nct.sf(stats.t.ppf(0.975, 2 * size - 2), 2 * size - 2, fact["median"] * math.sqrt(size / 2))
        for size in (n - 1, n)
    ]
    assert power[0] < 0.8 <= power[1]


@pytest.mark.parametrize(
    ("low", "high", "reach", "highest", "rests_on", "words"),
    [
        (1.2, 2.5, (-0.5, 4.3), 1.4, "", ["towards less", "but a further", "may find none, and less"]),
        (1.2, 2.5, (0.5, 4.3), 1.4, "", ["towards less", "and a further laboratory should find the same"]),
        (1.2, 2.5, (0.5, 4.3), 1.9, "", ["towards less", "the same."]),
        (1.2, 2.5, (0.5, 4.3), 1.9, "Li 2020", ["and without Li 2020 it is not shown."]),
        (-2.5, -1.2, (-4.3, 0.5), -1.4, "", ["towards more", "may find none."]),
        (-0.2, 2.5, (-2.3, 4.3), 1.4, "", ["do not clearly shift", "14 laboratories)."]),
    ],
)  # fmt: skip
def test_the_answer_follows_intervals_and_adjusted_estimates(
    script, low, high, reach, highest, rests_on, words
):
    shows = "less inflammation" if low > 0 else "more inflammation" if high < 0 else "neither"
    fact = {"shows": shows, "laboratories": 14, "estimate": (low + high) / 2, "low": low, "high": high}
    fact |= {"prediction_low": reach[0], "prediction_high": reach[1]}
    fact |= {"methods": 8, "highest": highest, "rests_on": rests_on}
    said = script.answer(fact)
    assert all(part in said for part in words), said


def test_what_lowers_the_certainty_is_what_is_said(script, ours, table):
    fact = table("facts").iloc[0].to_dict()
    answer = ours[1].sentences[0]
    assert ("signs of small-study effects" in answer.reasons) == bool(script.signs(fact))
    assert script.of_small_studies(fact) in ours[1].paragraphs
    assert "rank correlation (p < 0.0001)" in script.of_small_studies(fact)
    found = script.of_small_studies(fact | {"p_sizes": 0.03, "include_no_effect": 0})
    assert "finds them (p = 0.03" in found
    assert "although" not in found
    none = fact | {"p_sizes": 0.3, "include_no_effect": 0}
    assert script.signs(none) == []
    assert script.of_small_studies(none).startswith("No sign of small-study effects: the regression test")


def test_no_single_laboratory_makes_the_effect(script, table, root):
    fact = table("facts").iloc[0]
    es = script.part_of(script.effects(mx.read_sheets(root / "data")), ANIMALS, WITHOUT)
    without = [
        script.pooled(es.select(np.array([one != name for one in es.study]), "left out"))
        for name in dict.fromkeys(es.study)
    ]
    ends = [fit.estimate for fit in without]
    assert [fact["lowest_without_one"], fact["highest_without_one"]] == pytest.approx(
        [min(ends), max(ends)], rel=1e-6
    )
    assert all(fit.pooled().low > 0 for fit in without)
    assert pd.isna(fact["rests_on"])


@pytest.mark.filterwarnings("ignore::metaexo.errors.RepeatedNumbersWarning")  # of a control that is shared
@pytest.mark.long
def test_sentences_follow_altered_data(ours, run, root, tmp_path):
    """With the arms exchanged, harm is found; without second regions no variance is wrong."""
    before = {one.part: one for one in ours[1].sentences}
    assert "towards less inflammation" in before["answer"].words
    assert before["answer"].certainty == "very low"
    most = {"answer": 45, "known": 35, "settle": 35}
    assert [one.part for one in ours[1].sentences] == list(most)
    assert all(len(one.words.split()) <= most[one.part] for one in ours[1].sentences)
    assert "it prints" in "\n".join(ours[1].paragraphs)
    data = shutil.copytree(root / "data", tmp_path / "data")
    sheet = pd.read_csv(data / "brain_outcomes.csv", dtype=str)
    sheet = sheet[~sheet.duplicated(["outcome", "group_of_subjects"]) & (sheet["outcome"] != "Iba1_cells")]
    arms = [f"{arm}_{part}" for arm in ("treatment", "control") for part in ("mean", "sd")]
    sheet[arms] = sheet[[*arms[2:], *arms[:2]]].to_numpy()
    sheet.to_csv(data / "brain_outcomes.csv", index=False)
    _, analysis = run(data)
    assert "towards more inflammation: g = −" in analysis.sentences[0].words
    assert "it prints" not in "\n".join(analysis.paragraphs)
    assert not any(path.name == "08_variances.svg" for path in analysis.written)
    assert "(times: none)" in "\n".join(analysis.paragraphs)
