"""Mixed models of counts: against brute-force integrals, statsmodels, R, and what must not change them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from scipy.special import expit, logsumexp

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.models import CountGLMMResults

# Nielweise et al. (2007), anti-infective-treated catheters: infections among patients, treated and control.
NIELWEISE = (
    [0, 1, 2, 0, 5, 1, 1, 1, 1, 1, 0, 0, 3, 6, 0, 1, 4],
    [116, 44, 208, 130, 151, 98, 174, 74, 97, 113, 66, 70, 188, 187, 252, 345, 64],
    [3, 3, 9, 7, 6, 4, 3, 2, 19, 2, 7, 1, 5, 11, 1, 3, 1],
    [117, 35, 195, 136, 157, 139, 177, 39, 103, 122, 64, 58, 175, 180, 262, 362, 69],
)
ZEROS = [[0, 1, 2, 0, 3, 1], [20, 30, 41, 25, 60, 33], [2, 3, 5, 0, 4, 1], [21, 31, 40, 24, 61, 30]]
ONE = [[0, 4, 1, 3, 0, 9], [12, 30, 25, 18, 7, 40]]


def two_arms(columns: Any = ZEROS, **data: Any) -> mx.effects.EventCounts:
    names = ("treatment_events", "treatment_n", "control_events", "control_n")
    frame = pd.DataFrame(data) if data else None
    return mx.event_counts(frame, **dict(zip(names, map(np.array, columns), strict=True)))


def person_time() -> mx.effects.EventCounts:
    """Return counts of person-time; the last study has no event."""
    return mx.event_counts(
        treatment_events=[3, 1, 0, 4, 0], treatment_time=[120.5, 80, 44, 210, 30],
        control_events=[7, 2, 3, 6, 0], control_time=[118, 85.5, 50, 190, 32],
    )  # fmt: skip


def one_arm() -> mx.effects.EventCounts:
    return mx.event_counts(events=ONE[0], n=ONE[1])


# The trapezoidal rule for a normal variable: exact to rounding for what is smooth.
NODES = np.linspace(-9, 9, 361)
LOGS = stats.norm.logpdf(NODES) + np.log(NODES[1] - NODES[0])


def highest(log_likelihood: Callable[[np.ndarray], float], start: list[float]) -> tuple[np.ndarray, float]:
    found = optimize.minimize(lambda p: -log_likelihood(p), start, method="Nelder-Mead",
                              options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000})  # fmt: skip
    return found.x, -found.fun


# -- brute force ---------------------------------------------------------------------------------------------

INVERSES = {
    "logit": expit,
    "cloglog": lambda eta: -np.expm1(-np.exp(eta)),
    "probit": stats.norm.cdf,
}


@pytest.mark.parametrize("link", INVERSES)
def test_one_arm_against_integrals_by_brute_force(link: str) -> None:
    x, n = (np.array(part, dtype=float)[:, None] for part in ONE)

    def log_likelihood(p: np.ndarray) -> float:
        risks = INVERSES[link](p[0] + p[1] * NODES)
        return float(logsumexp(stats.binom.logpmf(x, n, risks) + LOGS, axis=1).sum())

    fit = mx.CountGLMM(one_arm(), link=link).fit(points=41)
    at, value = highest(log_likelihood, [float(fit.beta[0]) + 0.2, 0.5])
    assert fit.llf == pytest.approx(value, abs=1e-7)
    assert [fit.estimate, fit.tau] == pytest.approx([at[0], abs(at[1])], abs=2e-4)
    assert fit.tau2 > 0.05
    # the interval of tau2 ends where the likelihood, the mean at its best, has fallen by half the quantile
    table = fit.heterogeneity()
    ends = table[["low", "high"]].iloc[0]
    for tau in np.sqrt(ends[ends > 0]):
        best = -optimize.minimize_scalar(
            lambda mean, tau=tau: -log_likelihood(np.array([mean, tau])), (-4, 0), method="brent"
        ).fun
        assert 2 * (value - best) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-4)


def test_conditional_exact_model_against_integrals_by_brute_force() -> None:
    x1, n1, x2, n2 = (np.array(part)[:, None] for part in NIELWEISE)

    def log_likelihood(p: np.ndarray) -> float:
        ratios = np.exp(p[0] + p[1] * NODES[::3])
        parts = stats.nchypergeom_fisher.logpmf(x1, n1 + n2, n1, x1 + x2, ratios[None])
        return float(logsumexp(parts + LOGS[::3] + np.log(3), axis=1).sum())

    fit = mx.CountGLMM(two_arms(NIELWEISE)).fit(points=31)
    dense = log_likelihood(np.array([fit.estimate, fit.tau]))
    assert fit.llf == pytest.approx(dense, abs=1e-6)
    # metafor 5.1-12, rma.glmm(measure="OR", model="CM.EL"): -1.3532, SE 0.3511, tau2 0.6935, logLik -24.9445
    own = mx.CountGLMM(two_arms(NIELWEISE), model="CM.EL").fit(points=7)
    assert [own.estimate, own.se[0], own.tau2] == pytest.approx([-1.3532, 0.3511, 0.6935], abs=2e-4)


@pytest.mark.parametrize("correlated", [False, True])
def test_random_intercepts_against_integrals_by_brute_force(correlated: bool) -> None:
    x1, n1, x2, n2 = (np.array(part, dtype=float)[:, None] for part in NIELWEISE)
    z, u = (part.ravel() for part in np.meshgrid(NODES[::4], NODES[::4]))
    logs = np.add.outer(LOGS[::4], LOGS[::4]).ravel() + 2 * np.log(4)

    def log_likelihood(p: np.ndarray) -> float:
        effect, level, sigma, tau = p[:4]
        rho = np.tanh(p[4]) if correlated else 0.0
        deviation = tau * (rho * z + np.sqrt(1 - rho**2) * u)
        first = level + effect + sigma * z + 0.5 * deviation
        second = level + sigma * z - 0.5 * deviation
        parts = x1 * first - n1 * np.logaddexp(0, first) + x2 * second - n2 * np.logaddexp(0, second)
        return float(logsumexp(parts + logs, axis=1).sum())

    constant = sum(stats.binom.logpmf(x, n, 0.5).sum() + n.sum() * np.log(2) for x, n in ((x1, n1), (x2, n2)))
    fit = mx.CountGLMM(two_arms(NIELWEISE), model="UM.RS", correlated=correlated).fit(points=21)
    at = [fit.estimate, fit.study_mean, np.sqrt(fit.sigma2), fit.tau]
    at += [np.arctanh(fit.rho)] if correlated else []
    here = log_likelihood(np.array(at))
    assert fit.llf == pytest.approx(here + constant, abs=1e-6)
    for j in range(len(at)):  # nothing near is higher
        for step in (-0.02, 0.02):
            assert log_likelihood(np.array(at) + step * np.eye(len(at))[j]) < here


def test_intercepts_that_are_estimated_against_integrals_by_brute_force() -> None:
    x1, n1, x2, n2 = (np.array(part, dtype=float) for part in NIELWEISE)

    def profiled(effect: float, tau: float) -> float:
        total = 0.0
        for a, b, c, d in zip(x1, n1, x2, n2, strict=True):

            def one(level: float, a: float = a, b: float = b, c: float = c, d: float = d) -> float:
                half = 0.5 * tau * NODES
                first, second = expit(level + effect + half), expit(level - half)
                return -float(
                    logsumexp(stats.binom.logpmf(a, b, first) + stats.binom.logpmf(c, d, second) + LOGS)
                )

            total -= optimize.minimize_scalar(one, (-5, -3), method="brent", tol=1e-10).fun
        return total

    fit = mx.CountGLMM(two_arms(NIELWEISE), model="UM.FS").fit()
    assert fit.llf == pytest.approx(profiled(fit.estimate, fit.tau), abs=1e-6)
    for effect, tau in ((0.02, 0), (-0.02, 0), (0, 0.03), (0, -0.03)):
        assert profiled(fit.estimate + effect, fit.tau + tau) < fit.llf
    assert fit.study_intercepts()["estimate"].between(-12, 0).all()


# -- statsmodels and R ---------------------------------------------------------------------------------------


def glm(y: Any, x: Any, family: Any, **more: Any) -> Any:
    return sm.GLM(y, x, family=family, **more).fit(tol=1e-14, maxiter=200)


def test_equal_effects_are_generalised_linear_models() -> None:
    dose = np.array([1.0, 2, 2.5, 3, 4, 4.5])
    x, n = np.array(ONE[0]), np.array(ONE[1])
    counts = mx.event_counts(pd.DataFrame({"dose": dose}), events=x, n=n)
    design = sm.add_constant(dose)
    for link, made in (("logit", sm.families.links.Logit()), ("cloglog", sm.families.links.CLogLog())):
        fit = mx.CountGLMM(counts, moderators="dose", link=link).fit("EE")
        want = glm(np.column_stack([x, n - x]), design, sm.families.Binomial(link=made))
        np.testing.assert_allclose(fit.beta, want.params, rtol=1e-7)
        assert fit.llf == pytest.approx(want.llf, rel=1e-10)
        if link == "logit":  # with others statsmodels has the expected information
            np.testing.assert_allclose(fit.se, want.bse, rtol=1e-6)
        assert fit.likelihood_ratio_q.statistic == pytest.approx(want.deviance, rel=1e-8)
    # two arms: the study as a factor; given the totals: an offset
    x1, n1, x2, n2 = (np.array(part) for part in ZEROS)
    keep = x1 + x2 > 0
    study = np.kron([[1], [1]], np.eye(6)[:, keep][keep])
    group = np.repeat([1.0, 0.0], keep.sum())
    y = np.concatenate([np.column_stack([a, b - a])[keep] for a, b in ((x1, n1), (x2, n2))])
    want = glm(y, np.column_stack([group, study]), sm.families.Binomial())
    fit = mx.CountGLMM(two_arms(), model="UM.FS").fit("EE")
    assert [fit.estimate, fit.se[0], fit.llf] == pytest.approx(
        [want.params[0], want.bse[0], want.llf], rel=1e-6
    )
    assert fit.informative.tolist() == keep.tolist()
    want = glm(np.column_stack([x1, x2])[keep], np.ones(keep.sum()), sm.families.Binomial(),
               offset=np.log(n1 / n2)[keep])  # fmt: skip
    fit = mx.CountGLMM(two_arms(), model="CM.AL").fit("EE")
    assert [fit.estimate, fit.se[0]] == pytest.approx([want.params[0], want.bse[0]], rel=1e-6)
    rates = person_time()
    want = glm(rates.events[:4].sum(axis=1), np.ones(4), sm.families.Poisson(),
               offset=np.log(rates.totals[:4].sum(axis=1)))  # fmt: skip
    one = mx.event_counts(events=rates.events[:4].sum(axis=1), time=rates.totals[:4].sum(axis=1))
    fit = mx.CountGLMM(one).fit("EE")
    assert [fit.estimate, fit.se[0], fit.aic] == pytest.approx(
        [want.params[0], want.bse[0], want.aic], rel=1e-7
    )


@pytest.mark.parametrize(
    ("model", "points", "values"),
    [  # metafor 5.1-12 and lme4 (rma.glmm): estimate, SE, tau2, likelihood-ratio test of heterogeneity
        ("UM.FS", 7, (-1.2365, 0.2804, 0.3195, 28.7359)),
        ("UM.RS", 1, (-1.2812, 0.3296, 0.7258, 28.4328)),
        ("CM.AL", 7, (-1.3027, 0.3386, 0.6007, 27.3917)),
    ],
)
def test_values_of_rma_glmm(model: str, points: int, values: tuple[float, ...]) -> None:
    fit = mx.CountGLMM(two_arms(NIELWEISE), "OR", model=model).fit(points=points)
    found = (fit.estimate, fit.se[0], fit.tau2, fit.likelihood_ratio_q.statistic)
    assert found == pytest.approx(values, abs=2e-3)


# -- what must not change a fit ------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["CM.EL", "UM.FS", "UM.RS"])
def test_exchanging_arms_or_events_turns_the_sign(model: str) -> None:
    x1, n1, x2, n2 = (np.array(part) for part in NIELWEISE)
    fit = mx.CountGLMM(two_arms(NIELWEISE), model=model).fit()
    turned = mx.CountGLMM(two_arms((x2, n2, x1, n1)), model=model).fit()
    others = mx.CountGLMM(two_arms((n1 - x1, n1, n2 - x2, n2)), model=model).fit()
    order = np.random.default_rng(1).permutation(17)
    mixed = mx.CountGLMM(two_arms((x1[order], n1[order], x2[order], n2[order])), model=model).fit()
    for other, sign in ((turned, -1), (others, -1), (mixed, 1)):
        assert other.estimate == pytest.approx(sign * fit.estimate, rel=1e-6)
        assert (other.se[0], other.tau2, other.llf) == pytest.approx((fit.se[0], fit.tau2, fit.llf), rel=1e-6)


def test_the_unit_of_time_and_of_a_moderator_does_not_matter() -> None:
    counts = person_time()
    year = np.array([1990.0, 1995, 2001, 2004, 2010])
    for model in ("UM.FS", "CM.EL"):
        fit = mx.CountGLMM(counts, moderators=year, model=model).fit("EE")
        other = mx.effects.EventCounts(counts.events, 365.25 * counts.totals, person_time=True)
        again = mx.CountGLMM(other, moderators=(year - 2000) / 10, model=model).fit("EE")
        assert again.beta[1] == pytest.approx(10 * fit.beta[1], rel=1e-7)
        assert again.beta[0] == pytest.approx(fit.beta[0] + 2000 * fit.beta[1], rel=1e-6)


def test_studies_without_information() -> None:
    counts = two_arms()
    without = counts.select(~counts.is_double_zero, "no event")
    for model in ("CM.EL", "CM.AL", "UM.FS"):
        fit, short = (mx.CountGLMM(c, model=model).fit() for c in (counts, without))
        assert (fit.estimate, fit.llf, fit.aicc) == pytest.approx((short.estimate, short.llf, short.aicc))
        assert fit.df_residual == short.df_residual == 4
        assert "1 row without information" in str(fit.summary())
    fit, short = (mx.CountGLMM(c, model="UM.RS").fit() for c in (counts, without))
    assert fit.llf < short.llf - 0.3  # with random intercepts the study counts
    assert fit.informative.all()
    assert "without information" not in str(fit.summary())


def test_predicted_effects_lie_between_the_study_and_the_mean() -> None:
    fit = mx.CountGLMM(two_arms(NIELWEISE)).fit()
    table = fit.random_effects()
    assert list(table["component"].unique()) == ["between studies"]
    # of study 9 (1 of 97 against 19 of 103): the mode of its own integrand
    grid = np.linspace(-3, 3, 6001)
    ratios = np.exp(fit.estimate + grid)
    height = stats.nchypergeom_fisher.logpmf(1, 200, 97, 20, ratios) - 0.5 * grid**2 / fit.tau2
    assert table["estimate"][8] == pytest.approx(grid[height.argmax()], abs=1e-3)
    assert fit.blup()["estimate"].iloc[8] == pytest.approx(fit.estimate + table["estimate"][8])


# -- infinite estimates, few studies, wrong inputs -----------------------------------------------------------


@pytest.mark.parametrize("model", ["CM.EL", "CM.AL", "UM.FS", "UM.RS"])
def test_no_event_in_one_arm_is_refused_with_what_answers(model: str) -> None:
    counts = two_arms(([0, 0, 0], [20, 30, 9], [1, 3, 0], [21, 30, 8]))
    for method in ("ML", "EE"):
        with pytest.raises(NotIdentifiableError, match=r"minus infinity.*ExactConditional"):
            mx.CountGLMM(counts, model=model).fit(method)
    assert np.isfinite(mx.ExactConditional(counts).fit().bounds()[1]).all()


@pytest.mark.parametrize("model", ["CM.EL", "UM.FS", "UM.RS"])
def test_what_answers_where_no_study_has_information(model: str) -> None:
    none = two_arms(([0, 0], [20, 30], [0, 0], [21, 30]))
    everyone = two_arms(([20, 30], [20, 30], [21, 30], [21, 30]))
    for method in ("ML", "EE"):
        with pytest.raises(NotIdentifiableError, match=r'upper_limit\(counts.arm\("treatment"\)\)'):
            mx.CountGLMM(none, model=model).fit(method)
        with pytest.raises(NotIdentifiableError, match="people without the event as events"):
            mx.CountGLMM(everyone, model=model).fit(method)
    # the remedies work
    assert 0 < mx.safety.upper_limit(none.arm("treatment")).value < 0.1
    turned = mx.event_counts(events=[0, 0], n=[20, 30])
    assert 0 < mx.safety.upper_limit(turned).value < 0.1
    with pytest.raises(NotIdentifiableError):
        mx.ExactConditional(none).fit()
    opposite = two_arms(([9, 0], [9, 8], [0, 9], [9, 9]))
    with pytest.raises(NotIdentifiableError, match='method="EE"'):
        mx.CountGLMM(opposite, model=model).fit()
    assert np.isfinite(mx.CountGLMM(opposite, model="conditional-exact").fit("EE").estimate)


def test_the_words_say_what_is_tested() -> None:
    fit = mx.CountGLMM(mx.event_counts(events=ONE[0], n=ONE[1])).fit()
    assert fit.omnibus.null == "the pooled proportion is 0.5"
    assert fit.q.null == "the 4 of 6 studies with a finite estimate share one true risk"
    assert fit.q.df == (3.0,)
    assert fit.likelihood_ratio_q.null == "all studies share one true risk"
    rates = mx.CountGLMM(mx.event_counts(events=[3, 1, 4], time=[20.5, 31.0, 60.0])).fit()
    assert (rates.omnibus.null, rates.q.null) == ("the pooled rate is 1", "all studies share one true rate")


def test_infinite_coefficients_are_named() -> None:
    columns = ([0, 0, 2, 1, 3], [20, 30, 40, 30, 20], [1, 3, 2, 4, 1], [20, 30, 40, 30, 20])
    counts = two_arms(columns, source=["milk", "milk", "plant", "plant", "plant"])
    with pytest.raises(
        NotIdentifiableError, match=r"intercept \(minus infinity\), sourceplant \(plus infinity\)"
    ):
        mx.CountGLMM(counts, moderators="source").fit("EE")
    with pytest.raises(NotIdentifiableError, match="upper_limit"):
        mx.CountGLMM(mx.event_counts(events=[0, 0, 0], n=[9, 8, 12])).fit()
    with pytest.raises(NotIdentifiableError, match="does not fall as tau2 grows"):
        mx.CountGLMM(mx.event_counts(events=[0, 8, 0], n=[9, 8, 12])).fit()
    assert mx.CountGLMM(mx.event_counts(events=[0, 8, 0], n=[9, 8, 12])).fit("EE").k == 3


def test_too_few_studies_and_wrong_choices() -> None:
    one = two_arms(([1], [20], [3], [21]))
    with pytest.raises(TooFewStudiesError, match="EE"):
        mx.CountGLMM(one).fit()
    assert mx.CountGLMM(one).fit("EE").estimate == pytest.approx(-1.1255, abs=0.05)
    with pytest.raises(InputError, match="MantelHaenszel"):
        mx.CountGLMM(two_arms(), "RR")
    with pytest.raises(InputError, match="unconditional-random"):
        mx.CountGLMM(two_arms(), correlated=True)
    with pytest.raises(mx.errors.UnknownChoiceError, match="unconditional-fixed"):
        mx.CountGLMM(two_arms(), model="UM.FX")
    with pytest.raises(InputError, match="points"):
        mx.CountGLMM(two_arms()).fit(points=0)


def test_profile_intervals_of_coefficients() -> None:
    dose = np.array([1.0, 2, 2.5, 3, 4, 4.5])
    fit = mx.CountGLMM(mx.event_counts(events=ONE[0], n=ONE[1]), moderators=dose).fit("EE")
    table = fit.conf_int(kind="profile")
    x, n = (np.array(part) for part in ONE)
    y = np.column_stack([x, n - x])
    for end in table.loc["x1"]:  # the slope held there, by an offset
        held = glm(y, np.ones(6), sm.families.Binomial(), offset=end * dose)
        assert 2 * (fit.llf - held.llf) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-6)
    mean = mx.CountGLMM(two_arms(NIELWEISE)).fit()
    low, high = mean.conf_int(kind="profile").loc["intercept"]
    assert low < mean.conf_int().loc["intercept", "low"]  # sparse counts: skewed towards large effects
    assert low < mean.estimate < high
    with pytest.raises(mx.errors.UnknownChoiceError):
        mean.conf_int(kind="score")


def test_many_fits_are_those_one_by_one() -> None:
    rng = np.random.default_rng(2)
    n = rng.integers(8, 60, (12, 4, 2))
    x = rng.binomial(n, 0.02)
    found = mx.models.fit_many_counts(x, n, model="CM.EL")
    assert found.infinite.any()
    for b in range(12):
        counts = mx.effects.EventCounts(x[b], n[b])
        if found.infinite[b]:
            with pytest.raises(NotIdentifiableError):
                mx.CountGLMM(counts).fit()
        elif found.certified[b]:
            fit: CountGLMMResults = mx.CountGLMM(counts).fit()
            one = (fit.estimate, fit.se[0], fit.tau2, fit.llf)
            assert one == pytest.approx(
                (found.estimate[b], found.se[b], found.tau2[b], found.llf[b]), rel=1e-7
            )


def test_refits_are_those_of_the_rows() -> None:
    fit = mx.CountGLMM(two_arms(NIELWEISE)).fit()
    table = mx.sensitivity.leave_one_out(fit)
    keep = np.arange(17) != 3
    alone = mx.CountGLMM(fit.counts.select(keep, "left out")).fit()
    row = table.to_frame().iloc[3]
    assert (row["estimate"], row["tau2"]) == pytest.approx((alone.estimate, alone.tau2), rel=1e-6)


def test_a_fit_without_warnings_of_numpy() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        huge = two_arms(([1, 0, 3], [10**6, 5, 10**5], [900, 2, 0], [10**6, 6, 10**5]))
        for model in ("CM.EL", "UM.FS", "UM.RS"):
            assert mx.CountGLMM(huge, model=model).fit().certificate.certified


def test_predicted_effects_of_studies_know_that_the_mean_is_estimated():
    """With large counts they are those of the normal model; without heterogeneity they are the mean."""
    counts = mx.event_counts(
        treatment_events=[300, 520, 410, 800], treatment_n=[2000, 2500, 2200, 3000],
        control_events=[420, 560, 500, 780], control_n=[2000, 2500, 2200, 3000],
    )  # fmt: skip
    found = mx.CountGLMM(counts, "OR", model="unconditional-fixed").fit().blup()
    normal = mx.RandomEffects(counts.effect_sizes("OR")).fit("ML", "z").blup()
    for name in ("estimate", "se", "low", "high"):
        np.testing.assert_allclose(found[name], normal[name], rtol=0.02, atol=0.002)
    alike = mx.event_counts(
        treatment_events=[4, 5, 6],
        treatment_n=[40, 50, 60],
        control_events=[8, 10, 12],
        control_n=[40, 50, 60],
    )
    fit = mx.CountGLMM(alike, "OR", model="conditional-approximate").fit()
    assert fit.tau2 == 0
    np.testing.assert_allclose(fit.blup()["se"], fit.se[0], rtol=1e-12)


def test_equal_effects_with_random_intercepts_where_arms_have_one_person():
    treated, control = np.array([1, 0, 1, 0, 1]), np.array([0, 1, 1, 0, 0])
    counts = mx.event_counts(
        treatment_events=treated, treatment_n=[1] * 5, control_events=control, control_n=[1] * 5
    )
    fit = mx.CountGLMM(counts, model="unconditional-random").fit("EE")
    odds = [1.5, 2 / 3]  # 3 of 5 and 2 of 5 events: no variance of the intercepts
    assert fit.estimate == pytest.approx(np.log(odds[0] / odds[1]), abs=1e-6)
    assert fit.sigma2 == pytest.approx(0.0, abs=1e-12)
    assert fit.llf == pytest.approx(2 * (3 * np.log(0.6) + 2 * np.log(0.4)), abs=1e-8)


def test_the_edge_of_a_correlation_is_called_so():
    events = np.array([[22, 12], [3, 3], [0, 5], [4, 1], [4, 0]])
    sizes = np.array([[110, 54], [43, 94], [20, 18], [25, 20], [37, 13]])
    names = ("treatment_events", "control_events", "treatment_n", "control_n")
    counts = mx.event_counts(**dict(zip(names, np.hstack([events, sizes]).T, strict=True)))
    fit = mx.CountGLMM(counts, model="unconditional-random", correlated=True, coding="1/0").fit()
    assert abs(fit.rho) == pytest.approx(1)
    text = str(fit.summary())
    assert f"the correlation is {fit.rho:.0f}," in text
    assert "a variance is 0" not in text
