"""Selection models against likelihoods by dense quadrature, maximised and profiled without our solver."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import ndtr
from scipy.stats import norm

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError

Y = [0.62, 0.11, 0.45, 0.93, 0.27, 0.38, -0.05, 0.71, 0.30, 0.55, 0.18, -0.21]
V = [0.04, 0.02, 0.05, 0.16, 0.01, 0.03, 0.02, 0.09, 0.015, 0.06, 0.008, 0.07]
X = [1.0, 2.0, 0.5, 3.0, 1.5, 2.5, 0.2, 1.1, 2.2, 0.9, 1.7, 2.8]


def step(cuts, delta):
    def weight(p, _):
        return np.array(delta)[np.searchsorted(cuts, p)]

    return weight


FUNCTIONS = {
    "half-normal": lambda p, c, d: np.exp(-d * c * p**2),
    "negative-exponential": lambda p, c, d: np.exp(-d * c * p),
    "logistic": lambda p, c, d: 2 * np.exp(-d * c * p) / (1 + np.exp(-d * c * p)),
    "power": lambda p, c, d: (1 - p) ** (d * c),
    "negative-exponential-power": lambda p, c, d, e: np.exp(-d * c * p ** (1 / e)),
    "beta": lambda p, c, a, b: p ** (a - 1) * (1 - p) ** (b - 1),
}


def log_likelihood(weight, mean, tau2, y, v, c=None, two_sided=False, kinks=()):
    """The log-likelihood of effects selected by weight(p, c), by a composite rule with 40,000 points each."""
    total = 0.0
    for i, (one, variance) in enumerate(zip(y, v, strict=True)):
        root, s = np.sqrt(variance), np.sqrt(variance + tau2)
        own = 1.0 if c is None else c[i]

        def p_of(effect, root=root):
            tail = 2 * norm.sf(np.abs(effect) / root) if two_sided else norm.sf(effect / root)
            return np.clip(tail, 1e-300, 1 - 1e-16)

        ends = {mean - 14 * s, mean + 14 * s, 0.0}
        for kink in kinks:
            z = norm.isf(kink / 2) if two_sided else norm.isf(kink)
            ends |= {root * z, -root * z} if two_sided else {root * z}
        area = 0.0
        for a, b in pairwise(sorted(ends)):
            edge = np.linspace(0, 1, 4001)
            edge = a + (b - a) * edge**2 * (3 - 2 * edge)  # denser at kinks and singularities
            nodes, ways = np.polynomial.legendre.leggauss(5)
            half = 0.5 * np.diff(edge)[:, None]
            at = edge[:-1, None] + half * (1 + nodes)
            area += float((half * ways * weight(p_of(at), own) * norm.pdf(at, mean, s)).sum())
        total += np.log(float(weight(p_of(one), own))) + norm.logpdf(one, mean, s) - np.log(area)
    return float(total)


def stepped(cuts, delta, mean, tau2, two_sided=False):
    """The same for steps, by the normal distribution function."""
    y, v = np.array(Y), np.array(V)
    root, s = np.sqrt(v), np.sqrt(v + tau2)
    p = 2 * norm.sf(np.abs(y) / root) if two_sided else norm.sf(y / root)
    area = 0.0
    for weight, (a, b) in zip(delta, pairwise((0.0, *cuts, 1.0)), strict=True):
        for sign in (1, -1) if two_sided else (1,):
            high, low = (norm.isf(np.array([a, b]) / (1 + two_sided))) * 1.0
            ends = sorted((sign * high, sign * low))
            area = area + weight * (
                norm.cdf((root * ends[1] - mean) / s) - norm.cdf((root * ends[0] - mean) / s)
            )
    return float((np.log(step(cuts, delta)(p, 1)) + norm.logpdf(y, mean, s) - np.log(area)).sum())


def effects(y=Y, v=V, **more):
    return mx.EffectSizes(y, v, **more)


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("two_sided", [False, True])
def test_the_likelihood_is_that_of_dense_quadrature(kind, two_sided):
    found = mx.bias.selection_model(effects(), kind, alternative="two-sided" if two_sided else "greater")
    dense = log_likelihood(
        lambda p, c: FUNCTIONS[kind](p, c, *found.delta),
        found.estimate,
        found.tau2,
        Y,
        V,
        two_sided=two_sided,
    )
    assert found.llf == pytest.approx(dense, abs=2e-8)
    assert found.certificate.quadrature_error < 1e-9


@pytest.mark.parametrize("kind", [k for k in FUNCTIONS if k != "beta"])
def test_precision_and_a_constant_part_enter_the_likelihood(kind):
    found = mx.bias.selection_model(effects(), kind, 0.2, alternative="greater", precision="se")
    c = np.sqrt(V) / np.sqrt(V).max()

    def weight(p, own):
        function = FUNCTIONS[kind]
        beyond = function(np.maximum(p, 0.2), own, *found.delta)
        return beyond / function(0.2, own, *found.delta)

    dense = log_likelihood(weight, found.estimate, found.tau2, Y, V, c, kinks=(0.2,))
    assert found.llf == pytest.approx(dense, abs=2e-8)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("cuts", [(0.05,), (0.025, 0.3)])
def test_steps_have_the_highest_likelihood_of_a_search_without_derivatives(cuts, two_sided):
    found = mx.bias.selection_model(effects(), cuts=cuts, alternative="two-sided" if two_sided else "greater")

    def minus(theta):
        delta = [1.0, *np.exp(theta[2:])]
        return -stepped(cuts, delta, theta[0], np.exp(theta[1]), two_sided)

    start = [found.estimate + 0.05, np.log(found.tau2 + 0.005), *(np.log(found.delta[1:]) + 0.2)]
    other = minimize(minus, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-8})
    assert found.llf >= -other.fun - 1e-7
    assert found.llf == pytest.approx(-other.fun, abs=1e-4)
    assert found.estimate == pytest.approx(other.x[0], abs=0.01)
    assert found.certificate.converged


def test_no_start_of_a_grid_leads_higher():
    found = mx.bias.selection_model(effects(), cuts=(0.025, 0.5), alternative="greater")
    best = max(
        stepped((0.025, 0.5), (1, a, b), m, t)
        for m in (-0.3, 0.0, 0.2, 0.4)
        for t in (0.001, 0.03, 0.2)
        for a in (0.1, 0.5, 2.0)
        for b in (0.05, 0.3, 2.0)
    )
    assert found.llf > best


def test_weights_fixed_at_one_are_the_fit_without_selection():
    found = mx.bias.selection_model(effects(), cuts=(0.025, 0.5), delta=(1, 1, 1))
    plain = mx.RandomEffects(effects()).fit(method="ML", test="z")
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-8)
    assert found.tau2 == pytest.approx(plain.tau2, rel=1e-7)
    assert found.se == pytest.approx(float(plain.bse.iloc[0]), rel=0.2)
    assert found.llf == pytest.approx(plain.llf, rel=1e-10)
    assert found.unadjusted == pytest.approx(plain.estimate, rel=1e-8)
    assert found.lrt.df == (0.0,)
    assert np.isnan(found.lrt.pvalue)


def test_a_tau2_of_zero_is_at_its_bound_whatever_the_rounding():
    """Compare with the fit in which tau2 is given as 0: at its bound it has no part in the interval."""
    at_bound = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        v = rng.uniform(0.1, 0.5, 12)
        es = mx.EffectSizes(rng.normal(0.8, np.sqrt(v)), v)
        found = mx.bias.selection_model(es, alternative="greater")
        if found.tau2 == 0 and min(found.counts):
            at_bound += 1
            given = mx.bias.selection_model(es, alternative="greater", tau2=0.0)
            assert found.se == pytest.approx(given.se, rel=1e-6)
            assert found.certificate.converged
    assert at_bound > 15


def test_wrong_words_and_numbers():
    es = effects()
    with pytest.raises(UnknownChoiceError, match="half-normal"):
        mx.bias.selection_model(es, "halfnormel")
    for wrong in ((0.5, 0.025), (0.0,), (1.2,), (1.0,), ()):
        with pytest.raises(InputError):
            mx.bias.selection_model(es, cuts=wrong)
    with pytest.raises(InputError, match="direction"):
        mx.bias.selection_model(es, "trunc", alternative="two.sided")
    with pytest.raises(InputError, match="per parameter"):
        mx.bias.selection_model(es, delta=(1, 0.5, 0.2))
    with pytest.raises(InputError, match="sample sizes"):
        mx.bias.selection_model(es, "halfnorm", precision="ninv")
    with pytest.raises(TooFewStudiesError):
        mx.bias.selection_model(es.select([True] + [False] * 11))


@pytest.mark.parametrize(
    ("weights", "delta"),
    [
        ("half-normal", [0.0]),
        ("negative-exponential", [0.0]),
        ("logistic", [0.0]),
        ("power", [0.0]),
        ("negative-exponential-power", [0.0, 1.0]),
        ("beta", [1.0, 1.0]),
    ],
)
def test_no_selection_has_the_weight_1_from_0_to_1(weights, delta):
    found = mx.bias.selection_model(mx.EffectSizes(Y, V), weights, delta=delta)
    assert found.weight_at([0.0, 1e-300, 0.5, 1.0]) == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(
    ("weights", "delta"), [("power", [0.7]), ("half-normal", [2.0]), ("beta", [1.5, 0.8])]
)
def test_weights_at_the_ends_follow_the_formula(weights, delta):
    found = mx.bias.selection_model(mx.EffectSizes(Y, V), weights, delta=delta)
    ends = np.array([0.0, 1.0])
    with np.errstate(divide="ignore"):
        formula = {
            "power": (1 - ends) ** delta[0],
            "half-normal": np.exp(-delta[0] * ends**2),
            "beta": ends ** (delta[0] - 1) * (1 - ends) ** (delta[-1] - 1),
        }[weights]
    assert found.weight_at(ends).tolist() == pytest.approx(formula.tolist())


@pytest.mark.parametrize("kind", ["step", "truncated", "half-normal", "beta"])
def test_units_and_direction_do_not_matter(kind):
    y, v = np.array(Y), np.array(V)
    one = mx.bias.selection_model(effects(y, v), kind, alternative="greater")
    for c in (1e-6, 1e5):
        other = mx.bias.selection_model(effects(y * c, v * c * c), kind, alternative="greater")
        assert other.estimate == pytest.approx(one.estimate * c, rel=1e-6)
        assert other.tau2 == pytest.approx(one.tau2 * c * c, rel=1e-5, abs=1e-9 * c * c)
        assert other.delta == pytest.approx(one.delta, rel=1e-5)
        assert other.lrt.statistic == pytest.approx(one.lrt.statistic, rel=1e-6, abs=1e-9)
    mirrored = mx.bias.selection_model(effects(-y, v), kind, alternative="less")
    assert mirrored.estimate == pytest.approx(-one.estimate, rel=1e-8)
    assert (mirrored.low, mirrored.high) == pytest.approx((-one.high, -one.low), rel=1e-8)
    assert mirrored.delta == pytest.approx(one.delta, rel=1e-8)


def test_moderators_are_taken_along():
    frame = pd.DataFrame({"dose": X})
    es = effects(data=frame)
    found = mx.bias.selection_model(mx.RandomEffects(es, "dose").fit(method="ML"), alternative="greater")
    assert list(found.params.index) == ["intercept", "dose"]
    assert np.isnan(found.estimate)

    def minus(theta):
        mean = theta[0] + theta[1] * np.array(X)
        return -stepped((0.025,), (1, np.exp(theta[3])), mean, np.exp(theta[2]))

    start = [*found.params, np.log(found.tau2 + 1e-3), np.log(found.delta[1])]
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000, "maxfev": 8000}
    other = minimize(minus, start, method="Nelder-Mead", options=options)
    assert found.llf >= -other.fun - 1e-8
    assert found.params.to_numpy() == pytest.approx(other.x[:2], abs=1e-3)
    other = effects(data=frame.assign(dose=frame.dose + 2000))
    moved = mx.bias.selection_model(mx.RandomEffects(other, "dose").fit(method="ML"), alternative="greater")
    assert moved.params.iloc[1] == pytest.approx(found.params.iloc[1], rel=1e-6)


def test_a_step_without_pvalues_is_said_and_the_rest_estimated():
    found = mx.bias.selection_model(effects(), cuts=(0.025, 0.9999), alternative="greater")
    assert found.counts[2] == 0
    assert "delta_3: no p-value is above 0.9999" in found.not_identified[0]
    assert "merge steps: cuts=(0.025,)" in found.not_identified[0]
    assert found.delta[2] == 0
    assert np.isnan(found.delta_se[2])
    first = mx.bias.selection_model(effects(), cuts=(1e-9, 0.3), alternative="greater")
    assert first.counts[0] == 0
    assert "no finite estimate" in first.not_identified[0]
    assert np.isinf(first.delta[1:]).all()
    assert first.weight_at([1e-12, 0.2])[0] == 0
    # the limit: the likelihood with ever larger weights rises to it
    ends = [
        stepped(
            (1e-9, 0.3), (1, w, w * first.weight_at(0.9) / first.weight_at(0.2)), first.estimate, first.tau2
        )
        for w in (1e2, 1e4, 1e8)
    ]
    assert ends[0] < ends[1] < ends[2] <= first.llf + 1e-9
    assert first.llf == pytest.approx(ends[2], abs=1e-6)


def test_all_pvalues_in_one_step():
    for side in ("greater", "less"):
        found = mx.bias.selection_model(effects(np.array(Y) + 3), alternative=side)
        assert found.not_identified
        assert "no cut of these has p-values on both sides" in found.not_identified[0]
        assert found.cautions()


def test_no_heterogeneity_is_at_its_bound():
    y = [0.30, 0.32, 0.28, 0.31, 0.05, 0.29, 0.33]
    found = mx.bias.selection_model(effects(y, [0.02] * 7), alternative="greater")
    assert found.tau2 == 0
    assert found.certificate.at_bound == ("tau2",)
    assert np.isnan(found.tau2_se)
    assert found.certificate.converged
    assert found.heterogeneity_test.statistic == 0
    assert any("tau2 = 0 is at its bound" in said for said in found.cautions())
    assert found.profile_interval("tau2")[0] == 0


def test_three_effects():
    found = mx.bias.selection_model(effects(Y[:3], V[:3]), alternative="greater")
    assert any("with fewer than 10" in said for said in found.cautions())
    assert np.isfinite(found.llf)


@pytest.mark.parametrize("parameter", ["mean", "tau2", "delta_2"])
def test_profile_intervals_are_where_the_likelihood_has_fallen(parameter):
    found = mx.bias.selection_model(effects(), cuts=(0.05,), alternative="greater")
    place = ("mean", "tau2", "delta_2").index(parameter)

    def largest(value):
        keep = [i for i in range(3) if i != place]
        start = np.array([found.estimate, np.log(found.tau2 + 1e-4), np.log(found.delta[1])])

        def minus(moves):
            theta = start.copy()
            theta[keep] = moves
            theta[1:] = np.exp(theta[1:])
            theta[place] = value
            return -stepped((0.05,), (1, theta[2]), theta[0], theta[1])

        options = {"xatol": 1e-8, "fatol": 1e-11, "maxiter": 3000}
        return -minimize(minus, start[keep], method="Nelder-Mead", options=options).fun

    for end in found.profile_interval(parameter):
        fall = found.llf - largest(end)
        if end == 0:
            assert fall < 1.9207
        else:
            assert fall == pytest.approx(1.9207294, abs=1e-4)


def test_a_truncation_point_is_found_among_the_effects():
    found = mx.bias.selection_model(effects(), "truncest", alternative="greater")
    assert found.delta[1] == pytest.approx(min(Y, key=lambda one: abs(one - found.delta[1])), abs=1e-12)
    y, v = np.array(Y), np.array(V)

    def at(mean, tau2, delta, point):
        s = np.sqrt(v + tau2)
        area = ndtr((mean - point) / s) + delta * ndtr((point - mean) / s)
        density = -0.5 * ((y - mean) / s) ** 2 - np.log(s * np.sqrt(2 * np.pi))
        return (np.log(np.where(y <= point, delta, 1)) + density - np.log(area)).sum()

    best = max(
        -minimize(
            lambda t, point=point: -at(t[0], np.exp(t[1]), np.exp(t[2]), point),
            [0.3, -4.0, 0.0],
            method="Nelder-Mead",
            options={"maxiter": 500, "fatol": 1e-7},
        ).fun
        for point in (*(np.sort(Y)[:-1] + 1e-9), *(np.sort(Y)[1:] - 1e-9))
    )
    assert found.llf >= best - 1e-7
    for cut in sorted(Y)[1:-1]:
        at_cut = mx.bias.selection_model(effects(), "trunc", cut, alternative="greater")
        assert at_cut.llf <= found.llf + 1e-8


def test_the_weight_function():
    found = mx.bias.selection_model(effects(), cuts=(0.025, 0.3), alternative="greater")
    assert found.weight_at([0.001, 0.025, 0.1, 0.9]) == pytest.approx([1, 1, found.delta[1], found.delta[2]])
    p = np.array([0.01, 0.2, 0.7])
    smooth = mx.bias.selection_model(effects(), "half-normal", delta=(2.0,), alternative="greater")
    assert smooth.weight_at(p) == pytest.approx(np.exp(-2 * p**2))
    with pytest.raises(InputError, match="depend on the effect"):
        mx.bias.selection_model(effects(), "trunc").weight_at(0.5)
    assert found.aic == pytest.approx(-2 * found.llf + 8)


def test_far_off_means_keep_their_tails():
    """The mass that is left where selection removes the rest is far from the mean of the normal density."""
    from metaexo.bias.selection.fitting import Shape, make_parts, standard_units
    from metaexo.numeric.selection.likelihood import Problem

    y, v = np.array([0.105, 6.0, 0.5]), np.array([0.0731, 0.0202, 0.0734])
    data = standard_units(y, v, np.ones((3, 1)), 1.0)
    parts = make_parts(Shape("power", (), False, None), data)
    problem = Problem(data.y[None], data.v[None], data.x[None], parts.weights, np.array([1.0]))
    theta = np.array([[-80.0 / float(data.to_beta[0, 0]), np.log(80.0 / data.unit**2 + 1), np.log(2.6)]])
    llf = float(problem.evaluate(theta).llf[0]) - 3 * np.log(data.unit)
    dense = 0.0
    for one, variance in zip(y, v, strict=True):
        z = np.linspace(-40, 4000, 2_000_001)
        root, s = np.sqrt(variance), np.sqrt(variance + 80)
        log = 1.6 * norm.logcdf(z) + norm.logpdf(z * root, -80, s) + np.log(root)
        area = np.trapezoid(np.exp(log - log.max()), z)
        dense += 1.6 * norm.logcdf(one / root) + norm.logpdf(one, -80, s) - np.log(area) - log.max()
    assert llf == pytest.approx(dense, abs=1e-5)


@pytest.mark.parametrize(("z", "where"), [(1.8, "up to 0.025"), (2.1, "above 0.025")])
def test_an_estimate_that_the_data_do_not_determine_is_none_to_be_used(z, where):
    se = np.linspace(0.28, 0.83, 14)
    es = mx.EffectSizes(z * se, se=se)
    found = mx.bias.selection_model(es)
    assert not found.usable
    assert any(f"no p-value is {where}" in said for said in found.cautions())
    least, most = es.y.min(), es.y.max()
    room = most - least + 2 * np.median(se)
    assert not least - room < found.estimate < most + room
    assert any("far outside the range of the effects (" in said for said in found.cautions())
    assert "do not determine" in found.sentence
    assert "95%" not in found.sentence
    assert mx.bias.selection_model(effects()).usable


def test_identical_effects_determine_no_selection():
    found = mx.bias.selection_model(mx.EffectSizes(np.full(12, 0.4), se=np.full(12, 0.2)))
    assert found.certificate.unbounded == ("mean",)
    assert not found.usable
    assert "cuts=" not in found.not_identified[0]  # no cut has some of equal p-values


def test_a_cut_with_pvalues_on_both_sides_is_named():
    y = np.linspace(0.33, 1.0, 14)
    v = np.linspace(0.15, 0.25, 14) ** 2
    p = norm.sf(y / np.sqrt(v))
    assert p.max() < 0.025
    found = mx.bias.selection_model(effects(y, v), alternative="greater")
    below = int((p <= 0.0005).sum())
    assert 0 < below < 14
    assert f"cuts=(0.0005,) has {below} of 14 below" in found.not_identified[0]
    named = mx.bias.selection_model(effects(y, v), cuts=(0.0005,), alternative="greater")
    assert named.counts == (below, 14 - below)
    assert named.usable
    assert named.not_identified == ()


def test_weights_that_select_nothing_adjust_nothing():
    fixed = mx.bias.selection_model(effects(), delta=(1, 1))
    assert not fixed.is_adjusted
    assert mx.bias.selection_model(effects(), delta=(1, 0.5)).is_adjusted
    flat = mx.bias.selection_model(effects(), "half-normal", alternative="greater")
    assert flat.is_adjusted == (flat.delta[0] > 0)
    assert not mx.bias.selection_model(effects(), "beta", delta=(1, 1)).is_adjusted
    assert not mx.bias.selection_model(effects(), "power", delta=(0,)).is_adjusted


def test_a_weight_that_rises_far_in_the_tail_keeps_its_mass() -> None:
    y, v = np.array([0.47, 0.2, 0.4, 0.26, 0.56]), np.array([0.0075, 0.0057, 0.0021, 0.0029, 0.0148])
    found = mx.bias.selection_model(
        mx.EffectSizes(y, v), "negative-exponential-power", alternative="greater", delta=[87.8, 102.0]
    )
    mean, s = found.estimate, np.sqrt(v + found.tau2)
    total = 0.0
    for one, root, spread in zip(y, np.sqrt(v), s, strict=True):

        def log_product(t: np.ndarray, root: float = root, spread: float = spread) -> np.ndarray:
            return -87.8 * np.exp(norm.logsf(t / root) / 102.0) + norm.logpdf(t, mean, spread)

        t = np.linspace(mean - 40 * spread, mean + 40 * spread, 400001)
        total += float(log_product(one) - np.log(np.trapezoid(np.exp(log_product(t)), t)))
    assert found.llf == pytest.approx(total, abs=1e-7)


def test_beta_weights_turned_about_are_those_of_the_mirrored_effects() -> None:
    # A direction in which a search from one side alone ends in the lower of two maxima.
    y = [-0.13, -1.622, 0.418, 0.079, -0.179, -0.241, -0.381, -1.912, 0]
    y += [-1.093, -1.302, -0.453, -3.099, -1.66, -1.169, 0.161]
    v = [0.13, 0.309, 0.422, 0.082, 0.359, 0.484, 0.07, 0.539, 2.069]
    v += [0.287, 0.276, 0.464, 1.17, 0.229, 0.139, 0.1]
    found = [
        mx.bias.selection_model(mx.EffectSizes(sign * np.array(y), v), "beta", alternative="greater")
        for sign in (1.0, -1.0)
    ]
    assert found[0].llf == pytest.approx(found[1].llf, abs=1e-8)


def test_a_far_maximum_is_found_where_the_near_one_is_at_the_bound() -> None:
    y = [-0.9, -0.18, 1.44, -1.39, 0.4, -0.02, -0.21, -1.03, -2.06, 1.2, 0.22, 0.32, 0]
    y += [-1.97, -0.27, -0.49, -0.02, 1.46, -1.08, 0.17, 0.09, 0.02, 0.61, -2.01, -0.57]
    v = [0.24, 0.22, 1.37, 0.86, 0.27, 0.26, 0.43, 0.34, 2.4, 0.5, 0.41, 0.08, 4.14]
    v += [1.56, 0.55, 0.15, 0.05, 1.58, 0.35, 0.18, 0.15, 0.38, 0.38, 0.5, 1.0]
    es = mx.EffectSizes(y, v)
    found = mx.bias.selection_model(es, "power", alternative="greater")
    held = mx.bias.selection_model(es, "power", alternative="greater", delta=[0.7])
    assert found.llf >= held.llf > found.plain.llf + 0.1
