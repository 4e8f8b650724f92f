"""A small run of the simulation of verdicts, and its own checks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from benchmarks import attribution


@pytest.mark.parametrize("name", attribution.TRUTHS)
def test_data_are_made_as_told(name: str) -> None:
    truth = attribution.TRUTHS[name]
    es = attribution.simulate(truth, 4000, np.random.default_rng(1))
    assert es.m == 4000
    assert (es.k > es.m) == (truth.effects > 1)
    fits = {
        factor: mx.RandomEffects(es, factor, dependence="accept").fit() for factor in ("source", "isolation")
    }
    tau2 = mx.RandomEffects(es, dependence="accept").fit().tau2
    wanted = attribution.TAU2 * (1 + attribution.RATIO * (truth.source + truth.isolation))
    assert tau2 == pytest.approx(wanted, rel=0.1)
    if not truth.together:
        for factor, fit in fits.items():
            made = attribution.RATIO * attribution.TAU2 * getattr(truth, factor)
            assert tau2 - fit.tau2 == pytest.approx(made, abs=0.02)


def test_a_confounded_truth_has_one_method_a_source() -> None:
    es = attribution.simulate(attribution.TRUTHS["confounded"], 50, np.random.default_rng(1))
    assert (es.data.groupby("source")["isolation"].nunique() == 1).all()


def test_rows_count_right_refused_and_false_verdicts() -> None:
    row = attribution.verdict_row("source", 20, Counter(source=5, both=2, isolation=1, neither=1, too_few=1))
    assert (row["right"], row["refused"], row["repeats"]) == (0.5, 0.1, 10)
    assert row["false"] == pytest.approx(0.3)
    both = attribution.verdict_row("both", 20, Counter(source=5, both=5))
    assert both["false"] == 0


def test_a_small_run() -> None:
    found = attribution.verdict_table((20,), 2).set_index("truth")
    assert found.loc["confounded", "right"] == 1
    assert found[list(attribution.VERDICTS)].sum(axis=1).to_numpy() == pytest.approx(np.ones(len(found)))
    covered = attribution.interval_table((20,), 3, 40)
    assert covered["with_shares"].between(1, 3).all()


def test_the_stored_tables_keep_what_the_documentation_says(root) -> None:
    found = pd.read_csv(root / "benchmarks" / "results" / "attribution.csv")
    assert set(found["truth"]) == set(attribution.TRUTHS)
    assert set(found["studies"]) == set(attribution.SIZES)
    # a share of 250 data sets that is at most 0.05 in truth is at most 0.05 + 3 Monte Carlo errors
    assert found["false"].max() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / attribution.REPEATS)
    confounded = found[(found["truth"] == "confounded") & (found["studies"] >= 10)]
    assert confounded["right"].min() > 0.97
    assert confounded["false"].max() == 0


def test_unequal_truths_are_made_as_told() -> None:
    """Sources as frequent as said, and with the between-study variance of each."""
    truth = attribution.UNEQUAL["rare varies most"]
    es = attribution.simulate(truth, 20_000, np.random.default_rng(2))
    for place, source in enumerate(attribution.SOURCES):
        rows = (es.column("source") == source).to_numpy()
        assert rows.mean() == pytest.approx(truth.often[place], abs=0.02)
        wanted = attribution.TAU2 * truth.spread[place]
        spread = es.y[rows].var() - es.v[rows].mean()
        # four Monte Carlo errors of a variance, that of sampling included
        assert abs(spread - wanted) < 4 * (wanted + 0.2) * np.sqrt(2 / rows.sum())


def test_the_stored_table_of_unequal_variances_keeps_what_the_documentation_says(root) -> None:
    found = pd.read_csv(root / "benchmarks" / "results" / "attribution_unequal.csv")
    assert set(found["studies"]) == set(attribution.UNEQUAL_SIZES)
    assert (found["repeats"] == attribution.UNEQUAL_REPEATS).all()
    worst = found.groupby("studies")[["studentised", "plain"]].max()
    assert worst.loc[100, "studentised"] <= 0.08
    assert worst["studentised"].max() <= 0.12
    assert worst.loc[50, "plain"] > 0.1
    row = attribution.unequal_row("rare varies most", 20, 4)
    assert row["repeats"] == 4
