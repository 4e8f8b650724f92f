"""Exosomes against a control: every row is used or left out, numbers are those by hand, no mixtures."""

from __future__ import annotations

import csv
import math

import pandas as pd
import pytest

NAME = "02_exosome_against_control"


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the outcomes with the domain of their study, read without metaexo."""
    with (root / "data" / "studies.csv").open(encoding="utf-8", newline="") as file:
        domains = {row["study_id"]: row["domain"] for row in csv.DictReader(file)}
    with (root / "data" / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        return {
            i: row | {"domain": domains[row["study_id"]]} for i, row in enumerate(csv.DictReader(file), 2)
        }


def hedges_g(row):
    """Return g and its variance, written down from Hedges (1981) and nothing else."""
    n1, n2 = int(row["treatment_n"]), int(row["control_n"])
    s1, s2 = float(row["treatment_sd"]), float(row["control_sd"])
    df = n1 + n2 - 2
    pooled = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    d = (float(row["treatment_mean"]) - float(row["control_mean"])) / pooled
    factor = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
    g = factor * d * (1 if row["better"] == "higher" else -1)
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


def test_the_ledger_adds_up_to_the_sheet_in_every_domain_and_contrast(table, sheet):
    ledger = table("ledger")
    assert ledger["rows"].sum() == len(sheet)
    counted = ledger.groupby(["domain", "contrast"])["rows"].sum()
    told = pd.Series([(row["domain"], row["contrast"]) for row in sheet.values()]).value_counts()
    assert counted.to_dict() == told.to_dict()
    assert ledger.loc[ledger["step"] != "used", "reason"].notna().all()


def test_effects_are_hedges_g_of_the_means_in_the_sheet(table, sheet):
    effects = table("effects").set_index("line")
    by_hand = effects[effects["how"] == "reported"]
    assert len(by_hand) >= 9
    for line, row in by_hand.iterrows():
        g, v = hedges_g(sheet[line])
        assert row["y"] == pytest.approx(g, rel=1e-6)
        assert row["se"] == pytest.approx(math.sqrt(v), rel=1e-6)


def test_only_controlled_rows_have_an_effect(table, sheet):
    effects = table("effects")
    assert {sheet[line]["contrast"] for line in effects["line"]} == {"exosome_vs_control"}
    assert "apart" not in {sheet[line]["use"] for line in effects["line"]}
    ledger = table("ledger")
    assert set(ledger.loc[ledger["step"] == "used", "contrast"]) == {"exosome_vs_control"}


def test_before_and_after_are_shown_and_pooled_nowhere(table, sheet):
    changes = table("before_after")
    assert {sheet[line]["contrast"] for line in changes["line"]} == {"post_vs_pre"}
    assert set(changes["line"]).isdisjoint(table("effects")["line"])
    assert set(changes.groupby("line")["assumed_correlation"].apply(tuple)) == {(0.25, 0.5, 0.75)}


def test_one_effect_a_study_and_family_the_latest(table, sheet):
    effects = table("effects")
    used = effects[effects["step"] == "used"]
    keys = [(sheet[line]["study_id"], family) for line, family in used[["line", "outcome_family"]].to_numpy()]
    assert len(keys) == len(set(keys))
    chen = effects[[sheet[line]["study_id"] == "chen2024a" for line in effects["line"]]]
    assert chen.loc[chen["step"] == "used", "timepoint"].tolist() == ["day 12"]
    assert chen.loc[chen["step"] != "used", "reason"].str.contains("earlier time point").all()


def test_animals_and_patients_never_share_a_model(table):
    pooled, effects = table("pooled"), table("effects")
    used = effects[effects["step"] == "used"]
    for (domain, family), part in used.groupby(["domain", "outcome_family"]):
        rows = pooled[(pooled["domain"] == domain) & (pooled["outcome_family"] == family)]
        rows = rows[(rows["rows"] == "with doubtful rows") & (rows["by"] == "source")]
        assert rows.loc[rows["stratum"] != "all", "k"].sum() == len(part)
        assert (rows["m"] <= len(part)).all()
    by_family = pooled[pooled["by"] == "source"].groupby(["domain", "outcome_family"])
    assert {name for name, _ in by_family} == set(used.groupby(["domain", "outcome_family"]).groups)


def test_a_stratum_of_one_study_shows_its_effect_and_no_heterogeneity(table):
    for name in ("pooled", "percentage_points"):
        rows = table(name)
        alone = rows[rows["m"] == 1]
        assert len(alone)
        assert alone[["tau", "i2"]].isna().all(axis=None)
        assert alone[["estimate", "low", "high"]].notna().all(axis=None)
        assert alone["note"].str.contains("one study").all()
        assert rows.loc[rows["m"] > 1, ["estimate", "low", "high", "tau", "i2"]].notna().all(axis=None)


def test_two_studies_are_pooled_as_by_hand(table, sheet):
    # two estimates: REML gives tau2 = (difference squared) / 2 less the mean variance, or 0, when variances
    # are equal; in general the pooled mean lies between them with weights 1 / (v + tau2)
    points = table("percentage_points")
    found = points[(points["rows"] == "with doubtful rows") & (points["stratum"] == "all")].iloc[0]
    used = table("effects")
    used = used[(used["step"] == "used") & (used["outcome_family"] == "Wound closure")]
    y, v = [], []
    for line in used["line"]:
        row = sheet[line]
        y.append(float(row["treatment_mean"]) - float(row["control_mean"]))
        v.append(sum(float(row[f"{arm}_sd"]) ** 2 / int(row[f"{arm}_n"]) for arm in ("treatment", "control")))
    w = [1 / (one + found["tau2"]) for one in v]
    assert len(y) == found["m"] == 2
    assert found["estimate"] == pytest.approx(
        sum(a * b for a, b in zip(w, y, strict=True)) / sum(w), rel=1e-6
    )
    # at the maximum of the restricted likelihood of two estimates, (y1 - y2)^2 = v1 + v2 + 2 tau2
    assert (y[0] - y[1]) ** 2 == pytest.approx(sum(v) + 2 * found["tau2"], rel=1e-6)


def test_doubtful_rows_are_in_one_analysis_and_not_in_the_other(table, sheet):
    pooled = table("pooled")
    whole = pooled[(pooled["by"] == "source") & (pooled["stratum"] != "all")].groupby("rows")["k"].sum()
    used = table("effects").query("step == 'used'")
    doubtful = sum(sheet[line]["use"] == "doubtful" for line in used["line"])
    assert doubtful > 0
    assert whole["with doubtful rows"] - whole["without"] == doubtful


def test_the_correlation_moves_only_what_rests_on_it(table):
    choices = table("choices")
    adhoc = choices[choices["interval"] == "knapp-hartung-adhoc"].groupby(["domain", "outcome_family"])
    for _, rows in adhoc:
        moved = rows["estimate"].nunique() > 1
        assert moved == (rows["effects_resting_on_it"] > 0).any()


def test_figures_and_words_are_written(folders):
    assert {path.name for path in folders.figures.glob("*.svg")} == {"02_flow.svg", "02_patients.svg"}
    drawn = (folders.figures / "02_patients.svg").read_text(encoding="utf-8")
    assert "Subtotal" not in drawn
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "What this does not show" in words
    assert "nothing to pool" in words


def test_the_flow_of_rows_is_that_of_the_ledger(folders, table):
    ledger = table("ledger")
    left = {step: ledger.loc[ledger["step"] == step, "rows"].sum() for step in ("used", "effect")}
    drawn = (folders.figures / "02_flow.svg").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    asked = ledger["contrast"].eq("exosome_vs_control") & ~ledger["reason"].fillna("").str.startswith(
        "set apart"
    )
    selected = ledger.loc[asked, "rows"].sum()
    for words in (
        f"Rows of outcomes.csv (n = {ledger['rows'].sum()})",
        f"Rows selected (n = {selected})",
        f"Left out: no effect can be computed (n = {left['effect']})",
        f"Rows with an effect (n = {selected - left['effect']})",
        f"Rows used (n = {left['used']})",
    ):
        assert words in drawn


def test_the_same_run_gives_the_same_bytes(folders, run):
    again, analysis = run()
    for path in analysis.written:
        assert path.read_bytes() == (folders.output / path.relative_to(again.output)).read_bytes()
