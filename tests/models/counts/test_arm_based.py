"""Arm-based models against integrals on a dense grid, the mixed model with other parameters, and lme4."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit, ndtr
from scipy.stats import binom, chi2, norm, poisson

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError, UnknownChoiceError
from metaexo.numeric.counts.mean_links import LINKS, averaged

EVENTS = np.array([[0, 0], [3, 5], [0, 1], [2, 6], [1, 3], [7, 1], [0, 0], [4, 9]])
SIZES = np.array([[12, 11], [40, 42], [25, 25], [30, 31], [22, 20], [50, 60], [15, 30], [18, 17]])
BACK = {"logit": expit, "probit": ndtr, "cloglog": lambda e: -np.expm1(-np.exp(e)), "log": np.exp}


def counts_of(events=EVENTS, sizes=SIZES, time=False) -> mx.effects.EventCounts:
    size = "time" if time else "n"
    names = ("treatment_events", "control_events", f"treatment_{size}", f"control_{size}")
    return mx.event_counts(**dict(zip(names, np.hstack([events, sizes]).T, strict=True)))


@cache
def fitted(measure="OR", link="logit", structure="unstructured", time=False, points=21):
    counts = counts_of(time=time)
    return mx.ArmBased(counts, measure, link=None if time else link, structure=structure).fit(points=points)


def on_a_grid(moments, link, events=EVENTS, sizes=SIZES, step=0.1):
    """Return the log-likelihood by sums over a dense grid of the standardised random effects."""
    treated, control, shared = moments[2:]
    z = np.arange(-9.0, 9.0 + step, step)
    weight = norm.pdf(z) * step
    slant = shared / np.sqrt(control)
    own = np.sqrt(max(treated - slant**2, 0.0))
    risk0 = BACK[link](moments[1] + np.sqrt(control) * z)[None, :]
    risk1 = BACK[link](moments[0] + slant * z[None, :] + own * z[:, None])

    def probability(y, n, mean):
        return poisson.pmf(y, mean * n) if link == "log" else binom.pmf(y, n, mean)

    total = 0.0
    for (y1, y0), (n1, n0) in zip(events, sizes, strict=True):
        inner = weight @ probability(y1, n1, risk1)
        total += np.log((weight * probability(y0, n0, risk0)[0] * inner).sum())
    return total


@pytest.mark.parametrize(
    ("link", "structure"),
    [("logit", "unstructured"), ("probit", "unstructured"), ("cloglog", "compound"), ("log", "compound")],
)
def test_the_likelihood_is_the_integral_and_highest_there(link, structure):
    time = link == "log"
    fit = fitted("IRR" if time else "OR", link, structure, time)
    moments = fit.moments.values
    assert fit.llf == pytest.approx(on_a_grid(moments, link), abs=2e-5)
    rng = np.random.default_rng(3)
    for _ in range(2):
        near = fit._moments_at(fit.maximum.psi[0] + rng.normal(0, 0.1, fit.maximum.psi.shape[1])).values
        assert on_a_grid(near, link) < fit.llf
    if structure == "compound":
        assert moments[2] == moments[3]


def test_standard_errors_are_those_of_the_integral():
    fit = fitted("RD", structure="compound")
    psi, h = fit.maximum.psi[0], 2e-3
    steps = h * np.eye(psi.size)

    def value(at):
        return on_a_grid(fit._moments_at(at).values, "logit", step=0.25)

    def crossed(a, b):
        return value(psi + a + b) - value(psi + a - b) - value(psi - a + b) + value(psi - a - b)

    second = np.array([[crossed(a, b) for b in steps] for a in steps]) / (4 * h * h)
    slope = np.array([fit._measure_of(fit._moments_at(psi + s).values)[0] for s in steps])
    slope = (slope - [fit._measure_of(fit._moments_at(psi - s).values)[0] for s in steps]) / (2 * h)
    assert fit.se[0] == pytest.approx(np.sqrt(slope @ np.linalg.inv(-second) @ slope), rel=1e-3)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_marginal_risks_are_means_over_studies(link):
    fit = fitted("RR", link)
    means = []
    for eta, variance in zip(fit.moments.values[:2], fit.moments.values[2:4], strict=True):
        inside = lambda z, e=eta, v=variance: BACK[link](e + np.sqrt(v) * z) * norm.pdf(z)  # noqa: E731
        means.append(quad(inside, -12, 12, epsabs=1e-13)[0])
    table = fit.risks(method="wald")
    np.testing.assert_allclose(table["estimate"], means, rtol=1e-9)
    np.testing.assert_allclose(table["median"], BACK[link](fit.moments.values[:2]), rtol=1e-9)
    assert fit.estimate == pytest.approx(np.log(means[0] / means[1]))
    every = fit.marginal(method="wald")
    assert every.loc["RD", "estimate"] == pytest.approx(means[0] - means[1])
    assert every.loc["OR", "ratio"] == pytest.approx(means[0] / (1 - means[0]) / means[1] * (1 - means[1]))
    assert every.loc["RR", "se"] == fit.se[0]


@pytest.mark.parametrize("link", list(BACK))
def test_averages_and_their_derivatives(link):
    mean, variance, h = (
        np.array([-2.0, 0.4, -7.0]),
        np.array([0.5, 4.0, 30.0 if link != "log" else 1.0]),
        1e-4,
    )
    found = averaged(LINKS[link], mean, variance)
    for j in range(3):
        inside = lambda z, j=j: BACK[link](mean[j] + np.sqrt(variance[j]) * z) * norm.pdf(z)  # noqa: E731
        turn = [np.clip(-mean[j] / np.sqrt(variance[j]), -11, 11)]
        assert found.mean[j] == pytest.approx(quad(inside, -12, 12, points=turn, limit=200)[0], rel=1e-8)
    up, down = averaged(LINKS[link], mean + h, variance), averaged(LINKS[link], mean - h, variance)
    np.testing.assert_allclose(found.slope, (up.mean - down.mean) / (2 * h), rtol=1e-6)
    up, down = averaged(LINKS[link], mean, variance + h), averaged(LINKS[link], mean, variance - h)
    np.testing.assert_allclose(found.bend / 2, (up.mean - down.mean) / (2 * h), rtol=1e-5)


@pytest.mark.parametrize(
    ("structure", "coding", "correlated"), [("unstructured", "1/0", True), ("compound", "1/2", False)]
)
def test_it_is_the_mixed_model_with_random_intercepts_in_other_words(structure, coding, correlated):
    fit = fitted(structure=structure, points=9)
    mixed = mx.CountGLMM(counts_of(), model="unconditional-random", coding=coding, correlated=correlated)
    other = mixed.fit(points=9)
    inside = fit.conditional(method="wald").iloc[0]
    assert fit.llf == pytest.approx(other.llf, abs=1e-9)
    assert inside["estimate"] == pytest.approx(other.estimate, abs=1e-7)
    assert inside["se"] == pytest.approx(other.se[0], rel=1e-6)
    assert fit.tau2 == pytest.approx(other.tau2, abs=1e-6)
    assert fit.moments.values[3] == pytest.approx(
        other.sigma2 + (0 if correlated else other.tau2 / 4), abs=1e-6
    )


def test_laplace_approximation_as_in_lme4():
    """The BCG trials; lme4 1.1, glmer(cbind(y, m) ~ 0 + arm + (0 + arm | trial), binomial), its default."""
    treated = [4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27]
    others = [119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886]
    control = [11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29]
    without = [128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825]
    sizes = np.column_stack([np.add(treated, others), np.add(control, without)])
    fit = mx.ArmBased(counts_of(np.column_stack([treated, control]), sizes)).fit(points=1)
    assert fit.llf == pytest.approx(-123.688651549, abs=5e-5)
    wanted = [-4.865071148, -4.123399757, 1.435683465, 2.437720814, 1.768657894]
    assert fit.moments.values == pytest.approx(wanted, abs=2e-4)
    assert fit.correlation == pytest.approx(0.9454150353, abs=2e-5)
    se = [np.sqrt(fit._variance_of(np.eye(5)[j])) for j in range(2)]
    assert se == pytest.approx([0.3402899364, 0.4372515164], rel=2e-3)


def test_profile_intervals_are_where_the_likelihood_has_fallen_enough():
    fit = fitted(structure="compound", points=15)
    drop = chi2.ppf(0.95, 1) / 2

    def highest(constraint, start):
        found = minimize(
            lambda at: -on_a_grid(fit._moments_at(at).values, "logit", step=0.4),
            start,
            method="SLSQP",
            constraints=[{"type": "eq", "fun": constraint}],
            options={"ftol": 1e-10},
        )
        return -found.fun

    risks = fit.risks()
    high = risks.loc["control", "high"]
    value = highest(
        lambda at: fit._risks_of(fit._moments_at(at).values)[0][1] - high, fit.maximum.psi[0] + 0.3
    )
    assert fit.llf - value == pytest.approx(drop, abs=2e-3)
    low = fit.marginal().loc["OR", "low"]
    value = highest(lambda at: fit._measure_of(fit._moments_at(at).values)[0] - low, fit.maximum.psi[0])
    assert fit.llf - value == pytest.approx(drop, abs=2e-3)
    assert (risks["low"] < risks["estimate"]).all()
    assert (risks["estimate"] < risks["high"]).all()


def test_profile_intervals_leave_the_edge_on_which_the_maximum_lies():
    events = np.array([[22, 12], [3, 3], [0, 5], [4, 1], [4, 0]])
    sizes = np.array([[110, 54], [43, 94], [20, 18], [25, 20], [37, 13]])
    fit = mx.ArmBased(counts_of(events, sizes)).fit(points=11)
    assert fit.correlation == pytest.approx(1.0)
    low = fit.marginal().loc["OR", "low"]
    found = minimize(
        lambda at: -on_a_grid(fit._moments_at(at).values, "logit", events, sizes, step=0.25),
        fit.maximum.psi[0] + [0, 0, 0, 0.5, 0],
        method="SLSQP",
        constraints=[{"type": "eq", "fun": lambda at: fit._measure_of(fit._moments_at(at).values)[0] - low}],
        options={"ftol": 1e-8},
    )
    assert abs(found.x[3]) > 0.1  # inside: the correlation is below 1 at this end
    assert fit.llf + found.fun == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=2e-3)
    table = fit.components()
    assert table.loc["variance, treatment", "low"] == 0  # so the correlation may be anything
    assert table.loc["correlation"].tolist() == pytest.approx([1, -1, 1])
    sure = mx.ArmBased(counts_of(*many_alike())).fit(points=5).components().loc["correlation"]
    assert -1 < sure["low"] < sure["high"] == 1


def many_alike():
    """Return counts of arms whose risks vary together and much."""
    events = np.array([[2, 2], [40, 40], [12, 13], [5, 4], [25, 24], [1, 1]]) * 3
    return events, np.full_like(events, 200)


def test_what_rounding_leaves_of_a_variance_is_zero():
    fit = mx.ArmBased(counts_of(*many_alike()), structure="compound").fit(points=5)
    assert fit.certificate.at_boundary
    assert fit.tau2 == 0
    assert fit.component_estimates["variance of the difference"] == 0


def test_components_and_their_intervals():
    fit = fitted(structure="compound", points=9)
    table = fit.components()
    moments = fit.moments.values
    assert table.loc["variance, treatment", "estimate"] == pytest.approx(moments[2])
    assert table.loc["variance of the difference", "estimate"] == pytest.approx(fit.tau2)
    assert fit.correlation == pytest.approx(moments[4] / np.sqrt(moments[2] * moments[3]))
    assert (table["low"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["high"]).all()
    assert table.loc["variance of the difference", ["low", "high"]].tolist() == pytest.approx(
        fit.heterogeneity()[["low", "high"]].iloc[0].tolist(), rel=1e-4, abs=1e-8
    )


@pytest.mark.parametrize("measure", ["RR", "RD"])
def test_tau2_is_the_variance_of_true_effects(measure):
    fit = fitted(measure)
    rng = np.random.default_rng(2)
    mean, (treated, control, shared) = fit.moments.values[:2], fit.moments.values[2:]
    eta = rng.multivariate_normal(mean, [[treated, shared], [shared, control]], 400_000)
    risk = expit(eta)
    true = np.log(risk[:, 0] / risk[:, 1]) if measure == "RR" else risk[:, 0] - risk[:, 1]
    squares = (true - true.mean()) ** 2
    assert fit.tau2 == pytest.approx(squares.mean(), abs=5 * squares.std() / np.sqrt(squares.size))


def test_arms_change_places_and_rows_their_order():
    fit = fitted("RD")
    swapped = mx.ArmBased(counts_of(EVENTS[::-1, ::-1], SIZES[::-1, ::-1]), "RD").fit(points=21)
    assert swapped.llf == pytest.approx(fit.llf, abs=1e-4)  # the axes of the quadrature differ
    assert swapped.estimate == pytest.approx(-fit.estimate, abs=1e-4)
    others = mx.ArmBased(counts_of(SIZES - EVENTS), "RD").fit(points=21)
    assert others.estimate == pytest.approx(-fit.estimate, abs=1e-6)
    assert others.llf == pytest.approx(fit.llf, abs=1e-8)


def test_without_heterogeneity_the_arms_are_binomial():
    sizes = np.column_stack([[20, 40, 60, 100], [40, 20, 100, 60]])
    fit = mx.ArmBased(counts_of(sizes // [10, 5], sizes), "RD").fit(points=9)
    assert fit.certificate.at_boundary
    assert fit.certificate.boundary_curvature < 0
    assert fit.estimate == pytest.approx(0.1 - 0.2)
    assert fit.se[0] == pytest.approx(np.sqrt(0.09 / 220 + 0.16 / 220))
    assert fit.llf == pytest.approx(binom.logpmf(sizes // [10, 5], sizes, [0.1, 0.2]).sum())
    assert fit.tau2 == pytest.approx(0, abs=1e-12)
    assert np.isnan(fit.correlation)
    table = fit.components()
    assert (table.drop(index="correlation")["low"] == 0).all()
    assert (table.drop(index="correlation")["high"] > 0).all()
    assert fit.heterogeneity()["low"].iloc[0] == 0 < fit.heterogeneity()["high"].iloc[0]


def test_a_singular_covariance_matrix_is_a_maximum():
    both = EVENTS[:, 0] * 10 + 2
    sizes = np.full((8, 2), 400)
    same = mx.ArmBased(counts_of(np.column_stack([both, both]), sizes)).fit(points=9)
    assert same.certificate.at_boundary
    assert same.correlation == pytest.approx(1.0)
    assert same.tau2 == pytest.approx(0.0, abs=1e-9)
    assert same.estimate == pytest.approx(0.0, abs=1e-8)
    assert same.certificate.boundary_curvature < 0


def test_double_zeros_count():
    fits = [mx.ArmBased(counts_of(EVENTS[i:], SIZES[i:]), "RD").fit(points=9) for i in (0, 1)]
    assert fits[0].informative.all()
    assert (
        fits[0].risks(method="wald")["estimate"]["control"]
        < fits[1].risks(method="wald")["estimate"]["control"]
    )


@pytest.mark.parametrize(
    ("counts", "kind", "said"),
    [
        (lambda: counts_of(EVENTS[:1] + 1, SIZES[:1]), TooFewStudiesError, "at least 2 rows"),
        (lambda: counts_of(EVENTS * [0, 1]), NotIdentifiableError, "ExactConditional"),
        (lambda: counts_of(EVENTS * 0), NotIdentifiableError, "mx.safety.upper_limit"),
        (lambda: counts_of(SIZES.copy()), NotIdentifiableError, "events in everyone"),
        (
            lambda: counts_of(np.array([[0, 3], [5, 0]]), np.array([[5, 3], [5, 9]])),
            NotIdentifiableError,
            "BetaBinomial",
        ),
    ],
)
def test_what_cannot_be_estimated_is_refused(counts, kind, said):
    with pytest.raises(kind, match=said):
        mx.ArmBased(counts()).fit()


def test_wrong_choices():
    with pytest.raises(InputError, match="two arms"):
        mx.ArmBased(counts_of().arm("treatment"))
    with pytest.raises(UnknownChoiceError, match="measure of these counts"):
        mx.ArmBased(counts_of(), "IRR")
    with pytest.raises(InputError, match="log scale"):
        mx.ArmBased(counts_of(time=True), link="logit")
    with pytest.raises(UnknownChoiceError, match="structure"):
        mx.ArmBased(counts_of(), structure="CS")
    with pytest.raises(UnknownChoiceError, match="link"):
        mx.ArmBased(counts_of(), link="log")
    with pytest.raises(InputError, match="points"):
        mx.ArmBased(counts_of()).fit(points=0)
    with pytest.raises(InputError, match="no restricted"):
        fitted().fit_statistics(restricted=True)


def test_sensitivity_refits_the_same_model():
    fit = mx.ArmBased(counts_of(), "RR", structure="compound").fit("t", 0.9, points=7)
    every = mx.sensitivity.leave_one_out(fit).to_frame()
    alone = mx.ArmBased(counts_of(EVENTS[:-1], SIZES[:-1]), "RR", structure="compound").fit(
        "t", 0.9, points=7
    )
    assert every["estimate"].iloc[-1] == pytest.approx(alone.estimate, rel=1e-8)
