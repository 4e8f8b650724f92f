"""Censored evidence of the sheets: numbers by hand, one effect a study, refusals in words and no number."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

NAME = "09_censored_evidence"
NUMBERS = ["k", "effective", "estimate", "low", "high", "tau2", "tau2_low", "tau2_high", "i2"]


@pytest.fixture(scope="module")
def sheets(root):
    """Return the rows of both sheets by their line, read without metaexo."""

    def rows(name):
        with (root / "data" / name).open(encoding="utf-8", newline="") as file:
            return dict(enumerate(csv.DictReader(file), 2))

    return {name: rows(name) for name in ("outcomes.csv", "direction_only.csv")}


def test_one_effect_a_study_enters_each_question(table):
    effects = table("effects")
    assert not effects.duplicated(["question", "study"]).any()
    assert effects["question"].nunique() == 6


def test_only_controlled_results_enter_a_model(table, sheets):
    for row in table("effects").itertuples():
        assert sheets[row.sheet][row.line]["contrast"] == "exosome_vs_control"
        assert sheets[row.sheet][row.line].get("use") != "apart"


def test_bounds_follow_from_the_printed_threshold(table, sheets):
    effects = table("effects")
    rows = effects[(effects["sheet"] == "outcomes.csv") & (effects["kind"] == "interval")]
    checked = 0
    for row in rows.itertuples():
        told = sheets[row.sheet][row.line]
        if told["paired"] != "no":
            continue
        n1, n2 = int(told["treatment_n"]), int(told["control_n"])
        df = n1 + n2 - 2
        q = stats.t.isf(float(told["p_value"]) / 2, df)
        factor = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
        g = factor * q * math.sqrt(1 / n1 + 1 / n2)
        assert told["p_relation"] in ("<", "<=")
        assert row.lower == pytest.approx(g, rel=1e-6)
        assert np.isinf(row.upper)
        assert row.v_lower == pytest.approx(1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)), rel=1e-6)
        checked += 1
    assert checked >= 3


def test_a_number_is_taken_where_a_study_has_one(table, sheets):
    skin = table("effects").set_index("question").loc["Patients: skin, any outcome"].set_index("study")
    assert skin.loc[["Park 2023", "Yen 2026", "Huang 2026"], "kind"].tolist() == ["exact"] * 3
    assert skin.loc["Cho 2020", "sheet"] == "direction_only.csv"
    assert skin.loc["Cho 2020", "how"] == "assumed"


def test_the_estimate_is_the_highest_likelihood_by_hand(table):
    """ML of the skin question, from the table of effects alone."""
    effects = table("effects")
    rows = effects[(effects["question"] == "Patients: skin, any outcome") & effects["retained"].notna()]
    low, high = rows["lower"].to_numpy(), rows["upper"].to_numpy()
    v = rows["v_lower"].to_numpy()
    exact = low == high

    def minus(parameters):
        mean, sd = parameters[0], np.sqrt(v + parameters[1] ** 2)
        mass = stats.norm.cdf(high, mean, sd) - stats.norm.cdf(low, mean, sd)
        return -(stats.norm.logpdf(low[exact], mean, sd[exact]).sum() + np.log(mass[~exact]).sum())

    found = minimize(minus, [1.0, 0.3], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    choices = table("choices").set_index(["question", "choice"])
    row = choices.loc[("Patients: skin, any outcome", "maximum likelihood")]
    assert row["estimate"] == pytest.approx(found.x[0], abs=1e-5)
    assert row["tau2"] == pytest.approx(found.x[1] ** 2, abs=1e-5)


def test_each_model_stands_beside_that_of_the_exact_effects(table):
    pooled = table("pooled")
    assert pooled.groupby("question")["model"].apply(list).map(len).eq(2).all()
    both = pooled[pooled["words"].isna()].set_index(["question", "model"])
    for question in ("Animals: wounds, any outcome", "Patients: skin, any outcome"):
        all_known, alone = both.loc[(question, "exact and censored")], both.loc[(question, "exact only")]
        assert all_known["k"] > alone["k"] == alone["effective"]
        assert alone["effective"] < all_known["effective"] < all_known["k"]
        assert all_known["high"] - all_known["low"] < alone["high"] - alone["low"]


def test_where_there_is_no_estimate_there_are_words_and_no_number(table):
    for name in ("pooled", "choices"):
        rows = table(name)
        refused = rows["words"].notna()
        assert refused.any()
        assert rows.loc[refused, NUMBERS].isna().all(axis=None)
        assert rows.loc[~refused, NUMBERS].notna().all(axis=None)
    pooled = table("pooled").set_index(["question", "model"])["words"]
    assert "no maximum" in pooled["Patients: wounds", "exact and censored"]
    assert "nothing is left to estimate" in pooled["Patients: hair", "exact and censored"]


def test_changes_of_hair_are_shown_and_pooled_nowhere(table, sheets):
    changes = table("hair_changes")
    assert {sheets[row.sheet][row.line]["contrast"] for row in changes.itertuples()} == {"post_vs_pre"}
    used = set(zip(table("effects")["sheet"], table("effects")["line"], strict=True))
    assert used.isdisjoint(zip(changes["sheet"], changes["line"], strict=True))


def test_contributions_add_up(table):
    shares = table("contributions").groupby("question")[["share", "tau2_share"]].sum()
    assert shares.to_numpy() == pytest.approx(1.0)
    without = table("without_a_kind")
    assert (without.loc[without["note"].notna(), "estimate"].isna()).all()
    assert without["note"].notna().any()


def test_choices_move_what_rests_on_them(table):
    skin = table("choices").set_index(["question", "choice"]).loc["Patients: skin, any outcome"]
    base = skin.loc["as in the main table"]
    assert skin.loc["correlation 0.25", "estimate"] != base["estimate"]
    assert skin.loc["without Chen 2024", "estimate"] == base["estimate"]
    assert skin.loc["without results in words", "k"] < base["k"]
    assert skin.loc["directions without sizes, as of 10 per arm", "k"] > base["k"]
    wounds = table("choices").set_index(["question", "choice"]).loc["Animals: wounds, any outcome"]
    assert wounds.loc["without Chen 2024", "tau2"] < wounds.loc["as in the main table", "tau2"]


def test_figures_and_words_are_written(folders):
    names = {path.name for path in folders.figures.glob("*.svg")}
    assert names == {"09_skin.svg", "09_hair_changes.svg"}
    words = (folders.results / "summary.md").read_text(encoding="utf-8")
    for part in ("What this does not show", "no estimate", "Exact effects alone", "is not pooled"):
        assert part in words
    assert "nan" not in words


def test_the_same_run_gives_the_same_bytes(folders, run):
    again, analysis = run()
    for path in analysis.written:
        assert path.read_bytes() == (folders.output / path.relative_to(again.output)).read_bytes()
