"""All outcomes in one model: numbers by dense matrices, refusals by counting, no number without ground."""

from __future__ import annotations

import csv

import numpy as np
import pytest

NAME = "07_all_outcomes"
KEYS = [("clinical", "SMD"), ("preclinical", "MD"), ("preclinical", "SMD")]
WHOLE = "with doubtful rows"
RHO = 0.6


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the outcomes with what is known of their study, read without metaexo."""
    with (root / "data" / "studies.csv").open(encoding="utf-8", newline="") as file:
        studies = {row["study_id"]: row for row in csv.DictReader(file)}
    with (root / "data" / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        return {i: studies[row["study_id"]] | row for i, row in enumerate(csv.DictReader(file), 2)}


def of(rows, domain, measure, which=None):
    found = rows[(rows["domain"] == domain) & (rows["measure"] == measure)]
    return found if which is None else found[found["rows"] == which]


def dense(table, key):
    """Return effects, covariance matrix and the part of it that is of the study, from the tables alone."""
    effects = of(table("effects"), *key)
    variances = of(table("spread"), *key, WHOLE).set_index("term")["variance_estimate"]
    se = effects["se"].to_numpy()
    study = effects["study"].to_numpy()
    subjects = effects["measured_on"].to_numpy()
    v = np.where(subjects[:, None] == subjects, RHO, 0.0) * np.outer(se, se)
    np.fill_diagonal(v, se**2)
    between = variances["study"] * (study[:, None] == study)
    return effects["y"].to_numpy(), v + between + variances["study/effect"] * np.eye(len(se)), between, study


def test_every_exact_effect_against_a_control_takes_part_and_nothing_else(table, sheet):
    effects, left_out = table("effects"), table("left_out")
    for domain, measure in KEYS:
        lines = of(effects, domain, measure)["line"].tolist()
        asked = [
            line
            for line, row in sheet.items()
            if row["domain"] == domain
            and row["contrast"] == "exosome_vs_control"
            and row["use"] != "apart"
            and (measure != "MD" or row["unit"] == "%")
        ]
        assert set(lines) <= set(asked)
        assert len(lines) + of(left_out, domain, measure)["rows"].sum() == len(asked)
    assert left_out["reason"].notna().all()


def test_differences_are_those_of_the_means_turned_to_benefit(table, sheet):
    effects = of(table("effects"), "preclinical", "MD")
    assert len(effects) >= 7
    for row in effects.itertuples():
        told = sheet[row.line]
        sign = 1 if told["better"] == "higher" else -1
        difference = sign * (float(told["treatment_mean"]) - float(told["control_mean"]))
        assert row.y == pytest.approx(difference, rel=1e-6)
        v = sum(float(told[f"{arm}_sd"]) ** 2 / int(told[f"{arm}_n"]) for arm in ("treatment", "control"))
        assert row.se == pytest.approx(v**0.5, rel=1e-6)


@pytest.mark.parametrize("key", KEYS)
def test_the_pooled_effect_is_generalised_least_squares(table, key):
    y, m, _, study = dense(table, key)
    pooled = of(table("pooled"), *key, WHOLE).set_index("model").loc["multilevel"]
    inverse = np.linalg.inv(m)
    assert pooled["estimate"] == pytest.approx((inverse @ y).sum() / inverse.sum(), rel=1e-5)
    assert pooled["se"] == pytest.approx(inverse.sum() ** -0.5, rel=1e-5)
    assert (pooled["k"], pooled["m"]) == (len(y), len(set(study)))
    assert pooled["df"] == len(set(study)) - 1


@pytest.mark.parametrize("key", KEYS)
def test_the_mean_of_a_study_is_its_best_linear_prediction(table, key):
    y, m, between, study = dense(table, key)
    inverse = np.linalg.inv(m)
    mean = (inverse @ y).sum() / inverse.sum()
    predicted = mean + between @ inverse @ (y - mean)
    means = of(table("studies"), *key, WHOLE).set_index("study")
    for name, value in zip(study, predicted, strict=True):
        assert means.loc[name, "estimate"] == pytest.approx(value, rel=1e-4)
    assert means["effects"].sum() == len(y)


@pytest.mark.parametrize("key", KEYS)
def test_the_variances_are_where_the_restricted_likelihood_is_highest(table, key):
    effects = of(table("effects"), *key)
    variances = of(table("spread"), *key, WHOLE).set_index("term")["variance_estimate"]
    y, m, between, _ = dense(table, key)
    rest = m - between - variances["study/effect"] * np.eye(len(y))
    same = (effects["study"].to_numpy()[:, None] == effects["study"].to_numpy()).astype(float)

    def likelihood(study, effect):
        whole = rest + study * same + effect * np.eye(len(y))
        inverse = np.linalg.inv(whole)
        left = y - (inverse @ y).sum() / inverse.sum()
        return -0.5 * (np.linalg.slogdet(whole)[1] + np.log(inverse.sum()) + left @ inverse @ left)

    best = likelihood(variances["study"], variances["study/effect"])
    step = 0.05 * variances.sum()
    for study, effect in ((step, 0), (-step, 0), (0, step), (0, -step)):
        moved = (variances["study"] + study, variances["study/effect"] + effect)
        if min(moved) >= 0:
            assert likelihood(*moved) < best


def test_what_is_not_named_refuses_isolation_and_source(table, sheet):
    terms, effects = table("terms"), table("effects")
    for domain, measure in KEYS:
        rows = of(terms, domain, measure, WHOLE).set_index("name")
        lines = of(effects, domain, measure)["line"]
        named = sum(sheet[line]["isolation_category"] not in ("", "not_reported", "other") for line in lines)
        assert rows.loc["isolation", "named"] == named < len(lines)
        assert not rows.loc[["source", "isolation", "outcome_family"], "kept"].any()
        assert rows.loc[["study", "study/effect"], "kept"].all()
        assert rows.loc[~rows["kept"], "reason"].notna().all()
    assert of(terms, "clinical", "SMD", WHOLE).set_index("name").loc["isolation", "reason"].startswith("none")


def test_two_studies_are_refused_and_have_no_number(table):
    terms = of(table("terms"), "preclinical", "MD", "without").set_index("name")
    assert terms.loc["study", "levels"] == 2
    assert not terms["kept"].any()
    for name in ("pooled", "spread", "studies", "rho"):
        found = table(name)
        assert "without" not in set(found.loc[found["domain"] == "preclinical", "rows"])
        assert set(found.loc[found["domain"] == "clinical", "rows"]) == {WHOLE, "without"}


def test_many_effects_of_one_study_count_for_less_than_many_studies(table):
    rows = of(table("pooled"), "preclinical", "MD", WHOLE).set_index("model")
    alone = rows.loc["all effects as independent"]
    assert alone["df"] == alone["k"] - 1 > rows.loc["multilevel", "df"]
    assert alone["high"] - alone["low"] < rows.loc["multilevel", "high"] - rows.loc["multilevel", "low"]
    latest = rows.loc["the latest effect of each study"]
    assert latest["k"] == latest["m"] == rows.loc["multilevel", "m"]


def test_errors_are_correlated_where_the_same_animals_were_measured(table, sheet):
    effects = of(table("effects"), "preclinical", "MD")
    chen = effects[effects["study"] == "Chen 2024"]
    for _, group in chen.groupby("measured_on"):
        assert len({sheet[line]["treatment_label"] for line in group["line"]}) == 1
    assert chen["measured_on"].nunique() == 2


def test_the_sweep_holds_the_model_at_its_correlation(table):
    rho = table("rho")
    assert (rho["rho"].min(), rho["rho"].max()) == (0.0, 0.95)
    for key in KEYS:
        at = of(rho, *key, WHOLE).set_index("rho").loc[RHO]
        pooled = of(table("pooled"), *key, WHOLE).set_index("model").loc["multilevel"]
        assert at["estimate"] == pytest.approx(pooled["estimate"], rel=1e-6)
        assert at["low"] == pytest.approx(pooled["low"], rel=1e-6)


def test_intervals_of_variances_hold_their_estimates(table):
    spread = table("spread")
    assert (spread["variance_low"] <= spread["variance_estimate"]).all()
    assert (spread["variance_estimate"] <= spread["variance_high"]).all()
    assert ((spread["i2_low"] >= 0) & (spread["i2_high"] <= 1)).all()


def test_figures_and_words_are_written(folders):
    names = {path.name for path in folders.figures.glob("*.svg")}
    assert names == {"07_clinical.svg", "07_preclinical.svg"}
    clinical, preclinical = (
        (folders.figures / f"07_{domain}.svg").read_text(encoding="utf-8")
        for domain in ("clinical", "preclinical")
    )
    for drawn in (clinical, preclinical):
        assert "Source" in drawn
        assert "Isolation" not in drawn, "one study of all names its method"
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "Refused, isolation: none of" in words
    assert "no multilevel model can be had" in words
    assert "What this does not show" in words


def test_the_same_run_gives_the_same_bytes(folders, run):
    again, analysis = run()
    for path in analysis.written:
        assert path.read_bytes() == (folders.output / path.relative_to(again.output)).read_bytes()
