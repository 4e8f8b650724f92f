"""Refits: one by one they are the fits of the rows by hand, and in batches they are the same numbers."""

import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.sensitivity import refit, refits
from metaexo.sensitivity.refits import ONE_EFFECT, leaving_out
from tests.contract.test_results import CASES, EXAMPLES, example

Y = np.array([0.2, 0.6, 0.1, 0.9, 0.4, 0.7, -0.1, 0.5])
V = np.array([0.02, 0.05, 0.03, 0.04, 0.02, 0.03, 0.04, 0.03])
STUDY = ["a", "a", "b", "b", "c", "d", "e", "f"]
DATA = pd.DataFrame(
    {"study": STUDY, "lab": list("xxyyxxzz"), "dose": [1.0, 2, 4, 3, 6, 5, 2, 3], "source": list("mpmpmpmp")}
)
ES = mx.EffectSizes(Y, V, data=DATA)
SPECIAL = ("knapp-hartung-or-z", "knapp-hartung-iqwig", "kenward-roger")
TESTS = ("z", "t", "knapp-hartung", "knapp-hartung-adhoc")


def model(moderators=None, **choices):
    return mx.RandomEffects(ES, moderators, dependence="accept", **choices)


def by_hand(rows, moderators=None, weights=None):
    part = mx.EffectSizes(Y[rows], V[rows], data=DATA.iloc[rows].reset_index(drop=True))
    return mx.RandomEffects(part, moderators, dependence="accept", weights=weights)


def blocks_of(es, correlation):
    return mx.effects.covariance_blocks(es.v, list(es.study), correlation=correlation)


def agree(found, i, fit, level=0.95):
    """Check an entry of many refits against a fit."""
    np.testing.assert_allclose(found.beta[i], fit.beta, rtol=1e-7)
    np.testing.assert_allclose(found.cov[i], fit.cov, rtol=1e-6)
    low, high = fit.bounds(level)
    np.testing.assert_allclose([found.low[i], found.high[i]], [low, high], rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(found.pvalue[i], fit.wald_pvalues, rtol=1e-6)
    np.testing.assert_allclose(found.statistic[i], fit.wald_statistics, rtol=1e-6)
    df = fit.df_by_coefficient
    np.testing.assert_allclose(found.df[i], np.nan if df is None else df, rtol=1e-6)
    numbers = (found.tau2[i], found.i2[i], found.h2[i], found.q[i], found.q_df[i], found.q_pvalue[i])
    expected = (fit.tau2, fit.i2, fit.h2, fit.q.statistic, fit.q.df[0], fit.q.pvalue)
    assert numbers == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)
    assert (found.k[i], found.m[i]) == (fit.k, fit.m)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_refit_of_all_rows_is_the_fit(kind, name):
    fit = example(kind, name)
    again = refit(fit)
    assert type(again) is type(fit)
    np.testing.assert_allclose(again.beta, fit.beta, rtol=1e-6)
    np.testing.assert_allclose(again.cov, fit.cov, rtol=1e-5)
    np.testing.assert_allclose(again.tau2, fit.tau2, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(again.bounds(), fit.bounds(), rtol=1e-5, atol=1e-9)
    assert (again.method, again.test, again.level, again.k) == (fit.method, fit.test, fit.level, fit.k)
    assert str(again.robust_covariance) == str(fit.robust_covariance)
    assert again.ledger.total == fit.ledger.total


@pytest.mark.parametrize("method", [*mx.numeric.estimators.ESTIMATORS])
@pytest.mark.parametrize("moderators", [None, "dose"])
def test_batches_of_every_estimator_and_test_are_the_fits_by_hand(method, moderators):
    weights = 1 / (V + 0.1) if method.startswith("GENQ") else None
    sets = [np.delete(np.arange(8), i) for i in (0, 3)] + [np.array([0, 2, 3, 6])]
    counts = np.array([np.bincount(rows, minlength=8) for rows in sets])
    for test in (*TESTS, *(SPECIAL if method == "REML" and moderators is None else ())):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mx.errors.EqualEffectsTestWarning)
            fit = model(moderators, weights=weights).fit(method, test)
            found = refits(fit, counts, level=0.9)
            for i, rows in enumerate(sets):
                own = None if weights is None else weights[rows]
                agree(found, i, by_hand(rows, moderators, own).fit(method, test), 0.9)


def test_given_variances_weights_and_degrees_of_freedom_stay():
    rows = np.array([0, 2, 3, 5, 6])
    counts = np.bincount(rows, minlength=8)[None]
    weights = np.arange(1.0, 9.0)
    agree(refits(model().fit(tau2=0.3), counts), 0, by_hand(rows).fit(tau2=0.3))
    agree(refits(model().fit(test="t", df=3.5), counts), 0, by_hand(rows).fit(test="t", df=3.5))
    fit = model("dose", weights=weights).fit()
    agree(refits(fit, counts), 0, by_hand(rows, "dose", weights[rows]).fit())
    assert refit(fit, rows).weighting == pytest.approx(weights[rows])


def test_repeated_rows_are_further_studies():
    counts = np.array([[2, 0, 1, 0, 0, 3, 1, 0]])
    rows = np.repeat(np.arange(8), counts[0])
    found = refits(model().fit(), counts)
    plain = mx.RandomEffects(mx.EffectSizes(Y[rows], V[rows])).fit()
    assert found.estimate[0] == pytest.approx(plain.estimate, rel=1e-9)
    assert (found.tau2[0], found.k[0], found.m[0]) == (pytest.approx(plain.tau2, rel=1e-7), 7, 7)
    again = refit(model().fit(), rows, copies=np.arange(7))
    assert (again.m, again.ledger.total) == (7, 7)


def test_effects_and_variances_can_be_exchanged():
    rng = np.random.default_rng(1)
    ys, vs = rng.normal(size=(3, 8)), rng.uniform(0.1, 0.4, (3, 8))
    found = refits(model("dose").fit(), y=ys, v=vs)
    for i in range(3):
        part = mx.EffectSizes(ys[i], vs[i], data=DATA)
        agree(found, i, mx.RandomEffects(part, "dose", dependence="accept").fit())
    one = refit(model("dose").fit(), y=ys[0], v=vs[0])
    np.testing.assert_allclose(one.beta, found.beta[0], rtol=1e-9)


def test_zero_variances_give_what_the_fit_gives():
    v = V.copy()
    v[[1, 4]] = 0.0
    fit = mx.RandomEffects(mx.EffectSizes(Y, v)).fit()
    found = refits(fit, leaving_out([np.array([1, 4]), np.array([0])], 8), 2)
    assert found.q[0] == pytest.approx(
        mx.RandomEffects(mx.EffectSizes(np.delete(Y, [1, 4]), V[[0, 2, 3, 5, 6, 7]])).fit().cochran_q
    )
    assert np.isnan(found.q[1])
    assert np.isnan(found.i2[1])
    assert found.tau2[1] == pytest.approx(mx.RandomEffects(mx.EffectSizes(Y[1:], v[1:])).fit().tau2, rel=1e-7)


def test_zero_variances_make_the_iqwig_scale_at_least_one():
    v = np.where(np.arange(8) < 2, 0.0, V)
    fit = mx.RandomEffects(mx.EffectSizes(Y, v)).fit(test="knapp-hartung-iqwig")
    assert fit.test_scale >= 1
    found = refits(fit, leaving_out([np.array([3])], 8), 1)
    part = mx.EffectSizes(np.delete(Y, 3), np.delete(v, 3))
    again = mx.RandomEffects(part).fit(test="knapp-hartung-iqwig")
    assert found.se[0, 0] == pytest.approx(again.se[0], rel=1e-6)


def test_a_row_that_alone_determines_a_column_has_no_refit_without_it():
    data = pd.DataFrame({"g": ["a"] * 7 + ["b"]})
    fit = mx.RandomEffects(mx.EffectSizes(Y, V, data=data), "g").fit()
    found = refits(fit, leaving_out([np.array([i]) for i in range(8)], 8), 8)
    assert list(found.reasons) == [7]
    assert "gb" in found.reasons[7]
    assert np.isnan(found.beta[7]).all()
    with pytest.raises(mx.errors.NotIdentifiableError, match="7 rows cannot determine gb"):
        refit(fit, np.arange(7))


def test_one_effect_alone_is_shown_if_that_is_asked_for():
    fit = model().fit()
    counts = np.eye(8)[[3, 3]]
    counts[1, 4] = 1
    assert list(refits(fit, counts).reasons) == [0]
    found = refits(fit, counts, alone=True)
    assert found.notes == {0: ONE_EFFECT}
    expected = mx.RandomEffects(mx.EffectSizes(Y[[3]], V[[3]])).fit("EE")
    agree(found, 0, expected)


@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
def test_clusters_of_robust_standard_errors_are_kept():
    fit = model("dose").fit().robust("lab", "CR1")
    rows = np.array([0, 1, 2, 4, 5, 6, 7])
    expected = by_hand(rows, "dose").fit().robust("lab", "CR1")
    again = refit(fit, rows)
    np.testing.assert_allclose(again.cov, expected.cov, rtol=1e-9)
    found = refits(fit, np.bincount(rows, minlength=8)[None])
    np.testing.assert_allclose(found.se[0], expected.se, rtol=1e-9)
    np.testing.assert_allclose(found.df[0], expected.df_by_coefficient)


@pytest.mark.parametrize("random", ["study/effect", ["study", "lab"]])
def test_copies_of_studies_are_other_studies_and_crossed_levels_are_shared(random):
    """By hand: the rows of a table whose studies are renamed."""
    blocks = blocks_of(ES, 0.5)
    fit = mx.Multilevel(ES, random, blocks, moderators="dose").fit()
    rows = np.array([0, 1, 0, 1, 2, 3, 4, 5, 6])
    copies = [0, 0, 1, 1, 0, 0, 0, 0, 0]
    renamed = DATA.iloc[rows].assign(study=[f"{STUDY[i]}{c}" for i, c in zip(rows, copies, strict=True)])
    part = mx.EffectSizes(Y[rows], V[rows], data=renamed.reset_index(drop=True))
    expected = mx.Multilevel(part, random, blocks_of(part, 0.5), moderators="dose").fit()
    again = refit(fit, rows, copies=copies)
    np.testing.assert_allclose(again.problem.v.toarray(), expected.problem.v.toarray(), rtol=1e-12)
    assert again.llf == pytest.approx(expected.llf, rel=1e-9)
    np.testing.assert_allclose(again.beta, expected.beta, rtol=1e-5)
    assert [t.term.levels for t in again.terms] == [t.term.levels for t in expected.terms]
    found = refits(fit, np.bincount(rows, minlength=8)[None])
    np.testing.assert_allclose(found.beta[0], expected.beta, rtol=1e-5)


def test_terms_nested_in_copies_are_split_whatever_they_are_called():
    fit = mx.Multilevel(ES.with_columns(paper=STUDY), ["paper", "effect"]).fit()
    again = refit(fit, [0, 1, 0, 1, 2, 3, 4, 5], copies=[0, 0, 1, 1, 0, 0, 0, 0])
    assert [t.term.levels for t in again.terms] == [5, 8]


def test_an_inner_level_that_is_gone_leaves_its_component_out():
    data = DATA.assign(outcome=list("uwuwuwuz"), study=list("aabbccdd"))
    term = mx.RandomTerm("study", "outcome", "DIAG")
    fit = mx.Multilevel(mx.EffectSizes(Y, V, data=data), term, fix={"outcome|study:tau2[z]": 0.02}).fit()
    again = refit(fit, np.arange(7))
    assert list(again.component_values) == ["outcome|study:tau2[u]", "outcome|study:tau2[w]"]
    found = refits(fit, leaving_out([np.array([7])], 8), 1)
    np.testing.assert_allclose(found.tau2_by_component[0], [*again.component_values.values(), np.nan])


def test_sampling_covariances_follow_other_variances():
    fit = mx.Multilevel(ES, "study", blocks_of(ES, 0.4)).fit()
    again = refit(fit, v=4 * V)
    np.testing.assert_allclose(again.problem.v.toarray(), 4 * fit.problem.v.toarray())


def test_strata_that_are_gone_have_no_mean():
    data = DATA.assign(source=list("mmmpppqq"), study=list("abcdefgh"))
    fit = mx.stratify(mx.EffectSizes(Y, V, data=data), "source", order=["q", "p", "m"])
    found = refits(fit, leaving_out([np.array([7])], 8), 1)
    place = {name: j for j, name in enumerate(found.names)}
    assert np.isnan(found.beta[0, place["q"]])
    assert found.beta[0, place["m"]] == pytest.approx(fit["m"].pooled.estimate)
    assert refit(fit, np.arange(6)).order == ("p", "m")


def test_parts_go_to_the_workers_of_joblib_and_give_the_same_numbers():
    import joblib

    fit = mx.Multilevel(ES).fit()
    counts = np.ones((20, 8)) - np.eye(20, 8)
    with joblib.parallel_config("threading", n_jobs=2):
        parallel = refits(fit, counts)
    np.testing.assert_array_equal(parallel.beta, refits(fit, counts).beta)


def test_tables_have_a_row_per_refit():
    found = refits(example("RandomEffectsResults", "mean"), np.eye(8)[:2] == 0)
    frame = found.to_frame()
    assert list(frame)[:9] == ["k", "m", "estimate", "se", "low", "high", "statistic", "df", "pvalue"]
    np.testing.assert_allclose(frame["ratio_high"], np.exp(frame["high"]))
    assert "74%" in str(found)
    assert str(refits(model().fit(), np.ones((201, 8)))) == "Refits(201 of 201 refits fitted)"
    assert len(found.to_dict()["refits"]) == 2
    several = refits(example("MultilevelResults", "moderators"), np.ones((1, 8))).to_frame()
    assert {"estimate dose", "low dose", "tau2 study", "tau2 study/effect"} <= set(several)
    with pytest.raises(mx.errors.InputError, match="2 coefficients"):
        _ = refits(model("dose").fit(), np.ones((1, 8))).estimate


def test_every_family_is_refitted_without_a_row():
    for kind, fits in EXAMPLES.items():
        fit = example(kind, next(iter(fits)))
        found = refits(fit, leaving_out([np.array([6])], 8), 1)
        assert (found.fitted, found.k[0], found.m[0]) == (1, 7, 5), kind
        assert np.isfinite(found.beta).all(), kind


def test_what_cannot_be_refitted_is_said():
    fit = model().fit()
    for wrong in (
        lambda: refit("fit"),
        lambda: refit(fit, "abc"),
        lambda: refit(fit, [9]),
        lambda: refit(fit, [0.5, 1]),
        lambda: refit(fit, [0, 1, 2], y=[1, 2]),
        lambda: refit(fit, [0, 1, 2], y=[1, 2, np.inf]),
        lambda: refit(fit, [0, 1, 2], v=[1, 2, -1]),
        lambda: refit(fit, [0, 1, 2], copies=[1]),
        lambda: refit(example("CensoredResults", "mean"), y=np.zeros(8)),
        lambda: refits(fit),
        lambda: refits(fit, np.ones((2, 7))),
        lambda: refits(fit, np.full((2, 8), 0.5)),
        lambda: refits(fit, lambda a, b: np.ones((b - a, 8))),
        lambda: refits(fit, y=np.ones((2, 7))),
        lambda: refits(example("CensoredResults", "mean"), v=np.ones((1, 8))),
    ):
        with pytest.raises(mx.errors.InputError):
            wrong()
    with pytest.raises(mx.errors.TooFewStudiesError):
        refit(fit, [0])
    with pytest.raises(mx.errors.TooFewStudiesError):
        refit(fit, [])
