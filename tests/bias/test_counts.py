"""Tests of asymmetry for tables of events: values of the package meta, and the formulas of the papers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import kendalltau, nchypergeom_fisher

import metaexo as mx
from metaexo.bias import counts_test
from metaexo.bias.counts_test import METHODS, hypergeometric_moments, mantel_haenszel

A = np.array([0, 1, 2, 0, 5, 1, 1, 4, 3, 12])
N1 = np.array([116, 44, 208, 130, 151, 98, 174, 74, 97, 313])
C = np.array([3, 3, 9, 7, 6, 4, 0, 2, 19, 32])
N2 = np.array([117, 35, 195, 136, 157, 139, 177, 39, 103, 322])
B, D, N = N1 - A, N2 - C, N1 + N2
NAMES = ("treatment_events", "treatment_n", "control_events", "control_n")


def table(*rows: tuple[int, int, int, int]) -> pd.DataFrame:
    found = pd.DataFrame(dict(zip(NAMES, (A, N1, C, N2), strict=True)))
    return pd.concat([found, pd.DataFrame(rows, columns=list(NAMES))], ignore_index=True)


def log_odds_ratios():
    half = 0.5 * ((A == 0) | (C == 0))
    a, b, c, d = A + half, B + half, C + half, D + half
    return np.log(a * d / b / c), 1 / a + 1 / b + 1 / c + 1 / d


def wls(y, x, weights):
    return sm.WLS(y, sm.add_constant(x), weights=weights).fit()


def regressions():
    y, v = log_odds_ratios()
    pooled, effective = (A + C) * (B + D) / N, 4 * N1 * N2 / N
    z, information = A - (A + C) * N1 / N, N1 * N2 * (A + C) * (B + D) / (N**2 * (N - 1))
    events = A + C
    return {
        # as in the paper: Z / sqrt(V) on sqrt(V) without weights; the intercept is the slope here
        "harbord": (z / np.sqrt(information), np.sqrt(information), np.ones(10), 0),
        "peters": (y, 1 / N, pooled, 1),
        "macaskill": (y, N, 1 / v, 1),
        "macaskill-pooled": (y, N, pooled, 1),
        "deeks": (y, 1 / np.sqrt(effective), effective, 1),
        "debray": (y, 1 / events, 1 / v, 1),
        "debray-approximate": (
            y,
            1 / events,
            1 / (1 / np.where(A * C == 0, A + 0.5, A) + 1 / np.where(A * C == 0, C + 0.5, C)),
            1,
        ),
    }


@pytest.mark.parametrize("method", regressions())
def test_the_regressions_are_those_of_the_papers(method):
    y, x, weights, place = regressions()[method]
    found, fit = counts_test(mx.effect_sizes("OR", data=table()), method), wls(y, x, weights)
    assert (found.coef, found.se) == pytest.approx((fit.params[place], fit.bse[place]), rel=1e-8)
    assert (found.pvalue, found.test.df) == (pytest.approx(fit.pvalues[place], rel=1e-8), (8.0,))
    assert found.dispersion == pytest.approx(fit.scale, rel=1e-8)
    said = [text for text in found.cautions() if "0.5" in text]
    assert bool(said) == (method not in ("harbord", "debray"))


def test_ruecker_is_the_meta_regression_of_arcsine_differences():
    y = np.arcsin(np.sqrt(A / N1)) - np.arcsin(np.sqrt(C / N2))
    v = 0.25 / N1 + 0.25 / N2
    again = mx.RandomEffects(mx.EffectSizes(y, v), np.sqrt(v)).fit("DL", "t")
    fit = mx.RandomEffects(mx.effect_sizes("OR", data=table())).fit("DL", "t")
    found = counts_test(fit, "Rücker")
    assert (found.coef, found.se, found.tau2) == pytest.approx(
        (again.beta[1], again.se[1], again.tau2), rel=1e-9
    )
    assert found.pvalue == pytest.approx(again.wald_pvalues[1], rel=1e-9)


def test_schwarzer_ranks_cell_counts():
    found = counts_test(mx.effect_sizes("OR", data=table()), "schwarzer")
    common = (A * D / N).sum() / (B * C / N).sum()
    assert mantel_haenszel(A, B, C, D) == pytest.approx(common)
    moments = [
        nchypergeom_fisher.stats(int(n), int(m), int(k), common) for n, m, k in zip(N, N1, A + C, strict=True)
    ]
    mean, variance = np.array(moments, dtype=float).T
    assert np.array(hypergeometric_moments(N1, N2, A + C, common)) == pytest.approx(
        np.array([mean, variance]), rel=1e-7
    )
    right = kendalltau((A - mean) / np.sqrt(variance), 1 / variance, method="asymptotic")
    assert found.pvalue == pytest.approx(right.pvalue, rel=1e-9)
    assert np.sign(found.coef) == np.sign(right.statistic)
    other = counts_test(mx.effect_sizes("OR", data=table()), "schwarzer", odds_ratio=0.9)
    assert other.coef != found.coef


def test_values_of_the_package_meta():
    """metabias(metabin(..., sm="OR", method="Inverse")) of meta 8.4-0 on the sixteen trials of magnesium."""
    a = [1, 9, 2, 1, 10, 1, 1, 0, 6, 1, 2, 5, 4, 90, 4, 2216]
    n1 = [40, 135, 200, 48, 150, 59, 25, 22, 76, 27, 89, 23, 130, 1159, 107, 29011]
    c = [2, 23, 7, 1, 8, 9, 3, 1, 11, 7, 12, 13, 8, 118, 17, 2103]
    n2 = [36, 135, 200, 46, 148, 56, 23, 21, 75, 27, 80, 33, 122, 1157, 108, 29039]
    es = mx.effect_sizes("OR", data=pd.DataFrame(dict(zip(NAMES, (a, n1, c, n2), strict=True))))
    right = {
        "harbord": 5.535507583222496e-05,
        "peters": 0.001393916240309089,
        "macaskill": 0.0007592757705066866,
        "schwarzer": 0.32193205033523425,
    }
    found = {name: counts_test(es, name).pvalue for name in right}
    assert found == pytest.approx(right, rel=1e-8)


def test_the_score_of_risk_ratios():
    found = counts_test(mx.effect_sizes("RR", data=table()), "harbord")
    z, information = (A * N - (A + C) * N1) / (B + D), N1 * N2 * (A + C) / (N * (B + D))
    fit = wls(z / np.sqrt(information), np.sqrt(information), np.ones(10))
    assert (found.coef, found.pvalue) == pytest.approx((fit.params[0], fit.pvalues[0]), rel=1e-8)
    assert found.scale == "log risk ratio"


def test_studies_without_events_are_left_out_and_named():
    es = mx.effect_sizes("OR", data=table((0, 50, 0, 50), (20, 20, 30, 30)))
    for method in ("harbord", "peters", "schwarzer"):
        found, plain = counts_test(es, method), counts_test(mx.effect_sizes("OR", data=table()), method)
        assert (found.k, found.statistic) == (10, pytest.approx(plain.statistic))
        assert found.cautions()[0].startswith("2 studies without events")
    assert counts_test(es, "ruecker").k == 12


@pytest.mark.parametrize("method", METHODS)
def test_exchanging_the_groups_turns_the_sign(method):
    turned = pd.DataFrame(dict(zip(NAMES, (C, N2, A, N1), strict=True)))
    found, other = (counts_test(mx.effect_sizes("OR", data=d), method) for d in (table(), turned))
    assert other.statistic == pytest.approx(-found.statistic, rel=1e-6)
    assert other.sentence != found.sentence
    assert found.to_frame()["coef"].item() == found.coef


def test_survival_counts_are_columns_of_the_data():
    y, v, events = np.linspace(-0.5, 0.4, 9), np.linspace(0.3, 0.02, 9), np.arange(9)
    es = mx.EffectSizes(y, v, "HR", data=pd.DataFrame({"events": events}))
    found, fit = counts_test(es, "debray"), wls(y, 1 / np.maximum(events, 1), 1 / v)
    assert (found.coef, found.pvalue) == pytest.approx((fit.params[1], fit.pvalues[1]), rel=1e-8)
    assert any("taken as having one" in text for text in found.cautions())
    with pytest.raises(mx.errors.InputError, match="treatment_events"):
        counts_test(es, "debray-fav")


@pytest.mark.parametrize(
    "make",
    [
        lambda: counts_test(mx.effect_sizes("OR", data=table()), "egger"),
        lambda: counts_test(mx.effect_sizes("OR", data=table()), None),
        lambda: counts_test(mx.effect_sizes("OR", data=table()), "peters", odds_ratio=1.0),
        lambda: counts_test(mx.effect_sizes("OR", data=table()), "schwarzer", odds_ratio=-1.0),
        lambda: counts_test(mx.EffectSizes(*log_odds_ratios(), "OR")),
        lambda: counts_test(
            mx.EffectSizes(*log_odds_ratios(), "OR", data=table().assign(control_events=999))
        ),
        lambda: counts_test(mx.EffectSizes(*log_odds_ratios(), "OR", data=table() + 0.5), "schwarzer"),
        lambda: counts_test(
            mx.EffectSizes(*log_odds_ratios(), "OR", data=table().assign(treatment_events=np.nan))
        ),
        lambda: counts_test(mx.RandomEffects(mx.effect_sizes("OR", data=table()), N).fit()),
        lambda: counts_test([1, 2, 3]),
    ],
)
def test_wrong_inputs_are_refused_in_words(make):
    with pytest.raises(mx.errors.InputError, match="needed:"):
        make()


def test_two_studies_are_too_few():
    with pytest.raises(mx.errors.TooFewStudiesError):
        counts_test(mx.effect_sizes("OR", data=table().iloc[:2]))
    one = mx.effect_sizes("OR", data=table((0, 9, 0, 8), (0, 4, 0, 5)).iloc[8:])
    with pytest.raises(mx.errors.TooFewStudiesError, match="ruecker"):
        counts_test(one, "peters")
