"""Permutation tests against loops over single fits."""

from __future__ import annotations

from itertools import permutations, product

import joblib
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.sensitivity import permutation_test

Y = np.array([0.4, 0.1, 0.7, -0.2, 0.5])
V = np.array([0.05, 0.1, 0.08, 0.2, 0.04])
ES = mx.EffectSizes(Y, V)


@pytest.mark.parametrize("choices", [{"method": "EE"}, {"method": "REML", "test": "z"}, {"method": "DL"}])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_signs_are_flipped_in_every_way(choices: dict, alternative: str) -> None:
    fit = mx.RandomEffects(ES).fit(**choices)
    found = permutation_test(fit, alternative=alternative)
    z = np.array(
        [
            mx.RandomEffects(mx.EffectSizes(Y * signs, V)).fit(**choices).tvalues.iloc[0]
            for signs in product((1, -1), repeat=5)
        ]
    )
    observed = fit.tvalues.iloc[0]
    extreme = {"two-sided": abs(z) >= abs(observed), "greater": z >= observed, "less": z <= observed}
    # ties are counted: the observed arrangement, and for two sides its mirror image
    slack = {"two-sided": abs(z) >= abs(observed) * (1 - 1e-9), "greater": z >= observed * (1 - 1e-9)}
    assert found.pvalue[0] == slack.get(alternative, extreme[alternative]).mean()
    assert found.arrangements == 32
    assert found.omnibus == slack["two-sided"].mean()


@pytest.mark.parametrize("test", ["z", "knapp-hartung", "knapp-hartung-adhoc"])
def test_rows_are_exchanged_in_every_way(test: str) -> None:
    dose = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    fit = mx.RandomEffects(ES, dose).fit(test=test)
    found = permutation_test(fit)
    t = np.array([mx.RandomEffects(ES, dose[list(o)]).fit(test=test).tvalues for o in permutations(range(5))])
    share = (np.abs(t) >= np.abs(fit.tvalues.to_numpy()) * (1 - 1e-9)).mean(axis=0)
    np.testing.assert_allclose(found.pvalue, share, rtol=1e-12)
    assert found.arrangements == 120
    assert found.names == ("intercept", "x1")


def test_equal_rows_are_not_told_apart() -> None:
    group = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    fit = mx.RandomEffects(ES, group).fit(method="EE")
    found = permutation_test(fit)
    assert found.arrangements == 10
    z = np.array(
        [
            mx.RandomEffects(ES, group[list(o)]).fit(method="EE").tvalues.iloc[1]
            for o in permutations(range(5))
        ]
    )
    share = (np.abs(z) >= abs(fit.tvalues.iloc[1]) * (1 - 1e-9)).mean()
    assert found.pvalue[1] == pytest.approx(share, rel=1e-12)


def test_several_moderators_are_tested_together() -> None:
    x = np.array([[1.0, 0], [0, 1], [0, 0], [1, 1], [2, 0]])
    fit = mx.RandomEffects(ES, x).fit(method="EE")
    found = permutation_test(fit)
    q = np.array(
        [
            mx.RandomEffects(ES, x[list(o)]).fit(method="EE").moderator_test.statistic
            for o in permutations(range(5))
        ]
    )
    assert found.omnibus == pytest.approx((q >= fit.moderator_test.statistic * (1 - 1e-9)).mean(), rel=1e-12)
    assert "all 120 permutations of the moderator values over 5 effects" in str(found)


def test_a_given_tau2_stays() -> None:
    fit = mx.RandomEffects(ES).fit(tau2=0.1, test="z")
    weights = 1 / (V + 0.1)
    means = np.array([weights @ (Y * s) for s in product((1, -1), repeat=5)])
    share = (np.abs(means) >= abs(weights @ Y) * (1 - 1e-9)).mean()
    assert permutation_test(fit).pvalue[0] == share


def fits(
    y: np.ndarray, v: np.ndarray, x: np.ndarray, method: str, test: str
) -> mx.models.RandomEffectsResults:
    """Return one fit by itself."""
    return mx.RandomEffects(mx.EffectSizes(y, v), x).fit(method=method, test=test)


@pytest.mark.parametrize(("method", "test"), [("REML", "z"), ("DL", "knapp-hartung")])
def test_residuals_of_the_model_without_a_moderator_are_permuted(method: str, test: str) -> None:
    x = np.array([[1.0, 0], [2, 1], [3, 0], [5, 1], [8, 0]])
    fit = fits(Y, V, x, method, test)
    orders = [list(o) for o in permutations(range(5))]
    for scheme, arranged in (("residuals", orders), ("residual-signs", list(product((1, -1), repeat=5)))):
        found = permutation_test(fit, scheme=scheme)
        for j in (0, 1):
            base = fits(Y, V, x[:, [1 - j]], method, test)
            fitted = base.design.matrix(5) @ base.beta
            rest = Y - fitted
            if scheme == "residuals":
                made = [fits(fitted + rest[o], V[o], x, method, test) for o in arranged]
            else:
                made = [fits(fitted + rest * np.array(s), V, x, method, test) for s in arranged]
            t = np.array([abs(one.tvalues.iloc[j + 1]) for one in made])
            share = (t >= abs(fit.tvalues.iloc[j + 1]) * (1 - 1e-9)).mean()
            assert found.pvalue[j + 1] == pytest.approx(share, rel=1e-12)
        assert np.isnan(found.pvalue[0]) == (scheme == "residuals")


def test_terms_are_tested_jointly() -> None:
    y, v = np.append(Y, 1.1), np.append(V, 0.06)
    data = pd.DataFrame({"source": list("abcabc"), "dose": [1.0, 2, 3, 5, 8, 4]})
    fit = mx.RandomEffects(mx.EffectSizes(y, v, data=data), "source + dose").fit(method="EE", test="z")
    found = permutation_test(fit)
    assert [test.kind for test in found.tests[4:]] == ["omnibus", "term", "term"]
    x = fit.design.matrix(6)
    for name, columns in (("source", [1, 2]), ("dose", [3])):
        q = []
        for order in permutations(range(6)):
            now = x[list(order)]
            cov = np.linalg.inv(now.T @ np.diag(1 / v) @ now)
            b = (cov @ (now.T @ (y / v)))[columns]
            q.append(b @ np.linalg.solve(cov[np.ix_(columns, columns)], b))
        assert fit.test_terms()[name].statistic == pytest.approx(q[0])
        assert found.terms[name] == pytest.approx((np.array(q) >= q[0] * (1 - 1e-9)).mean(), rel=1e-12)


def test_signs_of_whole_clusters_are_all_fitted_where_that_is_a_batch() -> None:
    rng = np.random.default_rng(4)
    sizes = [1, 1, 3, 1, 1, 1, 3, 1, 1, 2, 1]
    code = np.repeat(np.arange(11), sizes)
    y, v = rng.normal(-0.3, 0.4, code.size), rng.uniform(0.05, 0.2, code.size)
    es = mx.EffectSizes(y, v, study=[f"study {i}" for i in code])
    fit = mx.RandomEffects(es, dependence="accept").fit("EE", test="z")
    found = permutation_test(fit)
    assert (found.exact, found.fitted, found.units) == (True, 2**11, 11)
    assert "exact permutation test: all 2,048 patterns of signs of 11 whole clusters" in found.sentence
    signs = np.array(list(product((1, -1), repeat=11)))[:, code]
    z = (signs * (y / v)).sum(axis=1) / np.sqrt((1 / v).sum())  # of equal effects, by hand
    assert found.pvalue[0] == (np.abs(z) >= abs(z[0]) * (1 - 1e-9)).mean()
    # rows of clusters of unequal size are fitted one by one, and there are more than 1,000
    slope = mx.RandomEffects(es, np.sqrt(code), dependence="accept").fit("EE", test="z")
    assert permutation_test(slope, 19).fitted == 20


def test_sentences_give_the_p_values() -> None:
    found = permutation_test(mx.RandomEffects(ES).fit())
    estimate = f"{found.tests[0].estimate:.4f}"
    assert found.sentence == (
        f"exact permutation test: all 32 patterns of signs of 5 effects: mean {estimate}, "
        f"p = {found.pvalue[0]:.2f}"
    )
    assert found.cautions() == ()
    asked = permutation_test(mx.RandomEffects(ES).fit(), draws=99)
    assert "all 32 patterns of signs of 5 effects (draws=99 was not needed): mean" in asked.sentence
    assert asked.pvalue[0] == found.pvalue[0]
    slope = permutation_test(mx.RandomEffects(ES, [1.0, 2, 3, 5, 8], names=["dose"]).fit(), 99, limit=20)
    dose = slope.tests[1]
    size = f"{dose.estimate:.4f}".replace("-", "−")
    assert slope.sentence == (
        "permutation test: 99 of 120 permutations of the moderator values over 5 effects, drawn at random "
        f"(seed 0): dose {size}, p = {dose.pvalue:.2f} (Monte Carlo error {dose.error:.4f})"
    )
    assert "does not test whether it is 0" in slope.cautions()[0]
    assert "caution: the p-value of the intercept" in str(slope)


def test_whole_clusters_are_flipped_and_permuted() -> None:
    data = pd.DataFrame({"study": list("aabbbcdd"), "dose": [1.0, 1, 4, 4, 4, 2, 7, 7]})
    rng = np.random.default_rng(2)
    y, v = rng.normal(0.4, 0.4, 8), rng.uniform(0.02, 0.1, 8)
    code = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    es = mx.EffectSizes(y, v, data=data)
    mean = mx.RandomEffects(es, dependence="accept").fit(test="z")
    found = permutation_test(mean)
    z = [
        mx.RandomEffects(mx.EffectSizes(y * np.array(s)[code], v)).fit(test="z").tvalues.iloc[0]
        for s in product((1, -1), repeat=4)
    ]
    assert found.arrangements == 16
    assert found.pvalue[0] == (np.abs(z) >= abs(mean.tvalues.iloc[0]) * (1 - 1e-9)).mean()
    slope = mx.RandomEffects(es, "dose", dependence="accept").fit(test="z")
    doses = np.array([1.0, 4, 2, 7])
    t = [
        mx.RandomEffects(mx.EffectSizes(y, v), doses[list(o)][code]).fit(test="z").tvalues.iloc[1]
        for o in permutations(range(4))
    ]
    found = permutation_test(slope)
    assert (found.arrangements, found.units) == (24, 4)
    assert found.pvalue[1] == (np.abs(t) >= abs(slope.tvalues.iloc[1]) * (1 - 1e-9)).mean()
    assert permutation_test(slope, 99, cluster="effect", limit=10).units == 8


def test_multilevel_models_are_refitted_with_whole_clusters() -> None:
    data = pd.DataFrame({"study": list("aabbccdd"), "dose": [1.0, 1, 4, 4, 2, 2, 7, 7], "arm": [0.0, 1] * 4})
    rng = np.random.default_rng(3)
    y, v = rng.normal(0.4, 0.4, 8), rng.uniform(0.02, 0.1, 8)
    es = mx.EffectSizes(y, v, data=data)
    fit = mx.Multilevel(es, "study/effect", moderators="dose").fit(test="z")
    t = []
    for order in permutations([1.0, 4, 2, 7]):
        table = data.assign(dose=np.repeat(order, 2))
        other = mx.Multilevel(mx.EffectSizes(y, v, data=table), "study/effect", moderators="dose")
        t.append(other.fit(test="z").tvalues.iloc[1])
    found = permutation_test(fit)
    assert found.pvalue[1] == (np.abs(t) >= abs(fit.tvalues.iloc[1]) * (1 - 1e-7)).mean()
    inner = mx.Multilevel(es, moderators="arm").fit()
    with pytest.raises(errors.InputError, match=r"vary within 4 clusters[\s\S]*residual-signs"):
        permutation_test(inner)
    assert permutation_test(inner, scheme="residual-signs").arrangements == 16
    with pytest.raises(errors.InputError, match="independent of each other"):
        permutation_test(fit, cluster="effect")


def test_rows_of_both_designs_of_a_location_scale_model_are_permuted() -> None:
    """Against metafor 3.8-1, permutest(rma(y, v, mods=~x, scale=~z), exact=TRUE): 720 and 20 orders.

    The scale coefficient is finite in ten of the 20 orders. In the others its statistic tends to 0, which
    metafor approaches to 0.0004. In 15 of the 720 orders metafor stays at a maximum of lower likelihood, and
    in one it finds none: p is 0.5480 and 0.9388 there.
    """
    y, v = np.append(Y, 1.1), np.append(V, 0.06)
    es = mx.EffectSizes(y, v)
    fit = mx.LocationScale(es, [1.0, 2, 3, 5, 8, 4], [0.0, 1, 0, 1, 1, 0]).fit(test="z")
    found = permutation_test(fit, statistics=True)
    assert found.scale is not None
    assert (found.exact, found.arrangements, found.scale.arrangements) == (True, 720, 20)
    np.testing.assert_allclose(found.pvalue, [0.5480, 0.9388], atol=4 / 720)
    np.testing.assert_allclose(found.scale.pvalue, [0.5, 0.5])
    assert (np.abs(found.scale.statistics[:, 1]) > 0).sum() == 10
    assert set(found.to_frame()["part"]) == {"location", "scale"}


def test_the_interval_holds_the_values_that_are_not_rejected() -> None:
    y, v = np.append(Y, 1.1), np.append(V, 0.06)
    x = np.array([1.0, 2, 3, 5, 8, 4])
    found = permutation_test(fits(y, v, x, "DL", "z"), intervals="x1", level=0.9)
    for end, sign in ((found.tests[1].low, -1), (found.tests[1].high, 1)):
        inside, outside = (
            permutation_test(fits(y - (end + sign * step) * x, v, x, "DL", "z")).pvalue[1]
            for step in (-1e-6, 1e-6)
        )
        assert inside > 0.1 >= outside
    assert np.isnan(found.tests[0].low)
    few = permutation_test(mx.RandomEffects(ES).fit(), intervals=True).tests[0]
    assert (few.low, few.high) == (-np.inf, np.inf)  # the smallest p-value of five effects is 2 / 32
    mean = mx.RandomEffects(mx.EffectSizes(y, v)).fit(method="EE")
    one_sided = permutation_test(mean, intervals=True, alternative="greater").tests[0]
    assert one_sided.high == np.inf
    assert one_sided.low < mean.beta[0]


def test_two_sided_p_values_may_be_doubled() -> None:
    fit = fits(Y, V, np.array([1.0, 2, 3, 5, 8]), "REML", "z")
    sides = [permutation_test(fit, alternative=word).pvalue for word in ("greater", "less")]
    doubled = permutation_test(fit, two_sided="doubled").pvalue
    np.testing.assert_allclose(doubled, np.minimum(1, 2 * np.minimum(*sides)))


def test_statistics_are_kept_on_request() -> None:
    fit = mx.RandomEffects(ES).fit(method="EE")
    found = permutation_test(fit, statistics=True)
    assert found.statistics is not None
    assert found.statistics.shape == (32, 2)
    np.testing.assert_allclose(np.sort(found.statistics[:, 0]), np.sort(-found.statistics[:, 0]))
    assert found.pvalue[0] == permutation_test(fit).pvalue[0]


def test_numbers_do_not_depend_on_how_the_work_is_divided() -> None:
    rng = np.random.default_rng(1)
    fit = fits(rng.normal(size=30), np.full(30, 0.1), rng.normal(size=30), "REML", "z")
    alone = permutation_test(fit, 4999, statistics=True)
    with joblib.parallel_config(n_jobs=2, backend="threading"):
        shared = permutation_test(fit, 4999, statistics=True)
    np.testing.assert_array_equal(alone.statistics, shared.statistics)
    fewer = permutation_test(fit, 999, statistics=True)
    np.testing.assert_allclose(fewer.statistics, alone.statistics[:999], rtol=1e-12)


@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
def test_refusals() -> None:
    fit = mx.RandomEffects(ES).fit()
    with pytest.raises(errors.UnknownChoiceError, match="two-sided"):
        permutation_test(fit, alternative="both")
    with pytest.raises(errors.InputError, match="all rows of the design are alike"):
        permutation_test(fit, scheme="rows")
    with pytest.raises(errors.InputError, match="without moderators"):
        permutation_test(fit, scheme="residual-signs")
    with pytest.raises(errors.InputError, match="residual-signs"):
        permutation_test(fits(Y, V, np.arange(5.0), "DL", "z"), scheme="signs")
    with pytest.raises(errors.InputError, match="no permutation intervals"):
        permutation_test(
            mx.LocationScale(mx.EffectSizes([0.1, 0.9, 0.3, -0.5], [0.02] * 4)).fit(), intervals=True
        )
    with pytest.raises(errors.InputError, match="of type MomentResults"):
        permutation_test(mx.robust_variance(ES))
    with pytest.raises(errors.UnknownChoiceError):
        permutation_test(fit, intervals="slope")
    bound = mx.LocationScale(
        mx.EffectSizes([0.3, 0.9, 0.1, 0.7, 0.2, 0.4], [0.02] * 6),
        None,
        [0.0, 1, 0, 1, 0, 1],
        link="identity",
    )
    with pytest.warns(errors.ScaleBoundaryWarning):
        at_zero = bound.fit()
    with pytest.raises(errors.NotIdentifiableError, match="no standard error in the data"):
        permutation_test(at_zero, 19, limit=5)


def test_the_former_name_is_found_and_effects_of_nothing_are_no_evidence():
    from metaexo.models import exact_permutation_test

    n = [10, 12, 20, 8, 15, 30]
    nothing = dict.fromkeys(("treatment_events", "control_events"), [0] * 6)
    es = mx.effect_sizes("RD", treatment_n=n, control_n=n, **nothing)
    found = exact_permutation_test(mx.RandomEffects(es).fit())
    assert found.pvalue.tolist() == [1.0]
