"""The kernels of censored evidence: definitions, brute force, R's survival package, the usual fits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import log_ndtr

from metaexo.models.censored.imputation import draw_effects, truncated_normal
from metaexo.numeric.censored.inference import censored_inference, rising_direction
from metaexo.numeric.censored.limits import coefficient_limits, tau2_limits
from metaexo.numeric.censored.maximum import censored_at, censored_maximum
from metaexo.numeric.censored.rows import make_censored_batch, variance_of_scale
from metaexo.numeric.censored.terms import interval_terms, likeliest_mean, log_interval, row_terms
from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.likelihood_maximum import (
    maximum_likelihood,
    profile_likelihood_interval,
    restricted_maximum_likelihood,
)
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import make_batch

INF = float("inf")
HALF_CHI2 = 0.5 * 3.841458820694124


def simulate(seed, k, tau2, problems=1, share=0.5, mean=0.5):
    """Return ends and variances of effects of which a part is told as thresholds, shape (problems, k)."""
    rng = np.random.default_rng(seed)
    v = 2 / rng.integers(6, 20, (problems, k))
    y = rng.normal(mean, np.sqrt(tau2 + v))
    q = 1.96 * np.sqrt(v)
    told = rng.random((problems, k)) < share
    above, below = told & (y > q), told & (y < -q)
    lower = np.where(above, q, np.where(below, -INF, np.where(told, -q, y)))
    upper = np.where(above, INF, np.where(below, -q, np.where(told, q, y)))
    return lower, upper, v, v


def beta_of(batch, maximum):
    return maximum.gamma @ batch.to_x.T + batch.offset


def by_hand(row):
    """Return the log-likelihood of one problem as a function of mean and tau2, from its definition."""
    lower, upper, v, _ = row
    exact = lower == upper

    def log_likelihood(mean, tau2):
        sd = np.sqrt(v + tau2)
        with np.errstate(divide="ignore"):
            masses = np.log(stats.norm.cdf(upper, mean, sd) - stats.norm.cdf(lower, mean, sd))
        return stats.norm.logpdf(np.where(exact, lower, 0.0), mean, sd)[exact].sum() + masses[~exact].sum()

    return log_likelihood


# -- terms --------------------------------------------------------------------------------------------------


ROWS = [(-0.7, 0.7, 0.2), (0.7, INF, 0.3), (-INF, -0.2, 0.1), (0.0, 0.7, 0.25), (0.3, 0.301, 0.2)]


def terms_at(row, eta, variance=None):
    lower, upper, v = row
    v = v if variance is None else variance
    ends = (np.array([[end - eta]]) for end in (lower, upper))
    return [float(t[0]) for t in interval_terms(*ends, np.array([[v]]), np.zeros((1, 1)))]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("eta", [-3.0, 0.0, 0.4, 2.0])
def test_derivatives_are_those_of_the_log_probability(row, eta):
    h = 1e-4
    found = terms_at(row, eta)
    above, below = terms_at(row, eta + h), terms_at(row, eta - h)
    for order in range(4):
        slope = (above[order] - below[order]) / (2 * h)
        assert found[order + 1] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("row", ROWS)
def test_the_variance_moves_it_as_half_the_second_derivative_does(row):
    h, eta = 1e-5, 0.3
    _, first, second, _, _ = terms_at(row, eta)
    slope = (terms_at(row, eta, row[2] + h)[0] - terms_at(row, eta, row[2] - h)[0]) / (2 * h)
    assert slope == pytest.approx(0.5 * (second + first**2), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("a", "b"), [(9.0, 10.0), (-31.0, -30.0), (-1.0, 2.0), (35.0, 35.5), (-8.0, 9.0)])
def test_log_interval_is_the_integral_of_the_density_in_both_tails(a, b):
    nodes, weights = np.polynomial.legendre.leggauss(120)
    x = 0.5 * (b - a) * nodes + 0.5 * (a + b)
    least = min(abs(a), abs(b)) if a * b > 0 else 0.0
    integral = 0.5 * (b - a) * weights @ np.exp(-0.5 * (x**2 - least**2))
    wanted = np.log(integral) - 0.5 * least**2 - 0.5 * np.log(2 * np.pi)
    assert float(log_interval(np.array(a), np.array(b))) == pytest.approx(wanted, rel=1e-12, abs=1e-14)


def test_half_lines_are_log_ndtr_and_keep_their_digits():
    z = np.array([-40.0, -5.0, 0.0, 5.0, 40.0])
    assert log_interval(np.full(5, -INF), z) == pytest.approx(log_ndtr(z), rel=1e-14)
    assert log_interval(-z, np.full(5, INF)) == pytest.approx(log_ndtr(z), rel=1e-14)


@pytest.mark.parametrize("width", [2.0**-15, 2.0**-20, 2.0**-32])
def test_an_interval_that_shrinks_to_a_point_is_its_density(width):
    variance, eta = 0.3, -0.5
    value, *derivatives = terms_at((0.5 - width / 2, 0.5 + width / 2, variance), eta)
    away = 0.5 - eta
    assert value - np.log(width) == pytest.approx(stats.norm.logpdf(away, 0, np.sqrt(variance)), abs=1e-8)
    assert derivatives == pytest.approx([away / variance, -1 / variance, 0.0, 0.0], rel=1e-4, abs=1e-3)


# -- ends with variances of their own -----------------------------------------------------------------------


def test_two_ends_give_back_the_variance_as_a_function_of_the_effect():
    at_zero, factor = variance_of_scale(
        [0.2, 0.0], [0.9, 0.7], [0.1 + 0.02 * 0.04, 0.2], [0.1 + 0.02 * 0.81, 0.25]
    )
    assert at_zero == pytest.approx([0.1, 0.2])
    assert factor == pytest.approx([0.02, 0.05 / 0.49])
    wrong, _ = variance_of_scale([0.2, -0.7], [0.9, 0.7], [0.3, 0.1], [0.2, 0.2])
    assert np.isnan(wrong).all()


def test_a_threshold_has_the_probability_of_the_noncentral_t_distribution():
    """A row "p > 0.05, higher" of n animals an arm, against the exact distribution of its t statistic."""
    n = 10
    df, size = 2 * n - 2, 2 / n
    q = stats.t.ppf(0.975, df)
    end = q * np.sqrt(size)
    v_end = size + end**2 / (2 * df)
    batch = make_censored_batch([0.0, end, -end], [end, INF, end], [size, v_end, v_end], [v_end, INF, v_end])
    for delta in (-1.0, 0.0, 0.5, 1.0, 2.0):
        ncp = delta / np.sqrt(size)
        wanted = [
            stats.nct.cdf(q, df, ncp) - stats.nct.cdf(0, df, ncp),
            stats.nct.sf(q, df, ncp),
            stats.nct.cdf(q, df, ncp) - stats.nct.cdf(-q, df, ncp),
        ]
        eta = np.full((1, 3), delta) - (batch.offset @ np.ones((1, 1)))
        found = np.exp(row_terms(batch, eta, np.zeros(1)).value[0])
        assert found == pytest.approx(wanted, abs=0.012)


def test_unequal_ends_stay_positive_and_concave_far_from_the_mean():
    batch = make_censored_batch([0.0], [0.75], [0.15], [0.18])
    eta = np.linspace(-12, 12, 97)[:, None] - batch.offset[0, 0]
    many = batch.take(np.zeros(97, dtype=np.intp))
    terms = row_terms(many, eta, np.full(97, 0.02))
    assert np.isfinite(terms.value).all()
    assert (terms.second < 0).all()
    naive = stats.norm.cdf(0.75, -12, np.sqrt(0.2)) - stats.norm.cdf(0.0, -12, np.sqrt(0.17))
    assert naive <= 0  # a difference of tails of different variances is no probability


@pytest.mark.parametrize(
    ("lower", "upper", "at_zero", "factor"),
    [(0.1, 0.6, 0.1, 0.01), (-2.33, -2.24, 0.0016, 0.02), (3.0, 9.0, 0.005, 0.02), (0.0, 2.0, 0.01, 0.02)],
)
def test_unequal_ends_are_the_difference_of_their_tails_where_the_scale_cannot_be_negative(
    lower, upper, at_zero, factor
):
    ends = np.array([lower, upper])
    v = at_zero + factor * ends**2
    batch = make_censored_batch([lower], [upper], [v[0]], [v[1]])
    for delta in (lower - 0.5, 0.5 * (lower + upper), upper + 1.0):
        for tau2 in (0.0, 0.05):
            eta = np.full((1, 1), delta - batch.offset[0, 0])
            found = float(np.exp(row_terms(batch, eta, np.array([tau2])).value[0, 0]))
            tails = stats.norm.cdf(ends, delta, np.sqrt(tau2 + v))
            assert found == pytest.approx(tails[1] - tails[0], rel=1e-6, abs=1e-9)


def test_a_variance_that_is_all_growth_is_no_variance_of_a_standardised_effect():
    at_zero, _ = variance_of_scale([0.0, 0.0], [2.0, 2.0], [0.001, 0.001], [0.1, 0.5])
    assert np.isnan(at_zero).tolist() == [False, True]


# -- all effects exact --------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(3, 25), st.booleans(), st.booleans())
def test_exact_effects_give_the_usual_fit(seed, k, moderators, restricted):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.3, (2, k + 1))
    y = rng.normal(3.0, np.sqrt(v + rng.uniform(0, 0.5)))
    x = np.column_stack([np.ones(k + 1), rng.normal(size=k + 1)]) if moderators else None
    usual = make_batch(y, v, x)
    kernel = restricted_maximum_likelihood if restricted else maximum_likelihood
    wanted = kernel(usual)
    wls = weighted_fit(usual, 1 / (v + wanted.tau2[:, None]))
    batch = make_censored_batch(y, y, v, v, x)
    found = censored_maximum(batch, restricted)
    about = censored_inference(batch, found, restricted)
    assert found.tau2 == pytest.approx(wanted.tau2, abs=1e-8)
    assert about.beta == pytest.approx(wls.beta, abs=1e-8)
    assert about.cov == pytest.approx(wls.cov, abs=1e-8)
    assert found.value == pytest.approx(log_likelihood(usual, wanted.tau2, restricted), abs=1e-8)
    assert about.tau2_se == pytest.approx(wanted.se, rel=1e-8)
    assert about.effective == pytest.approx(np.full(2, k + 1.0))
    assert about.scale == pytest.approx(wls.weighted_ss / usual.df, rel=1e-8)
    low, high = tau2_limits(batch, found, restricted, HALF_CHI2)
    usual_low, usual_high = profile_likelihood_interval(usual, restricted, HALF_CHI2)
    assert low == pytest.approx(usual_low, abs=1e-6)
    assert high == pytest.approx(usual_high, rel=1e-6)


# -- maxima -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [6, 15, 40])
def test_the_maximum_is_the_one_that_a_search_finds(k):
    data = simulate(k, k, 0.15, problems=4)
    batch = make_censored_batch(*data)
    found = censored_maximum(batch, False)
    beta = beta_of(batch, found)
    for i in range(4):
        f = by_hand([part[i] for part in data])
        searched = min(
            (
                minimize(lambda p, f=f: -f(p[0], p[1] ** 2), [mean, tau], method="Nelder-Mead",
                         options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 5000})
                for mean in (0.0, 0.6)
                for tau in (0.05, 0.6)
            ),
            key=lambda one: one.fun,
        )  # fmt: skip
        assert found.value[i] >= -searched.fun - 1e-10
        assert beta[i, 0] == pytest.approx(searched.x[0], abs=1e-6)
        assert found.tau2[i] == pytest.approx(searched.x[1] ** 2, abs=1e-6)


@pytest.mark.parametrize("restricted", [False, True])
def test_no_point_of_a_fine_grid_is_higher(restricted):
    batch = make_censored_batch(*simulate(7, 12, 0.1, problems=60))
    found = censored_maximum(batch, restricted)
    assert not found.unbounded.any()
    assert (np.abs(found.score[~found.at_boundary]) < 1e-9).all()
    assert (found.curvature[~found.at_boundary] < 0).all()
    assert (found.score[found.at_boundary] <= 0).all()
    assert 5 < found.at_boundary.sum() < 55
    for tau2 in np.append(np.geomspace(1e-5, 20, 80), 0.0):
        lower = censored_at(batch, float(tau2), restricted).value
        assert (found.value >= lower - 1e-10).all()


def test_the_score_is_the_slope_of_the_criterion():
    x = np.column_stack([np.ones(14), np.linspace(-1, 1, 14)])
    batch = make_censored_batch(*(part[0] for part in simulate(3, 14, 0.2)), x=x)
    for restricted in (False, True):
        for tau2 in (0.02, 0.3, 3.0):
            h = 1e-6 * tau2
            up, down = (censored_at(batch, tau2 + s * h, restricted).value[0] for s in (1, -1))
            score = likeliest_mean(batch, np.array([tau2])).score(batch, restricted)[0]
            assert score == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-6)


def test_interval_regression_of_r_survival(root):
    cases = json.loads((root / "tests" / "models" / "censored_survreg.json").read_text())["cases"]
    assert len(cases) == 5
    for case in cases:
        lower, upper = (np.array([float(end) for end in case[name]]) for name in ("lower", "upper"))
        x = np.column_stack([np.ones(lower.size), case["x"]]) if case["x"] else None
        v = np.full(lower.size, case["v"])
        batch = make_censored_batch(lower, upper, v, v, x)
        found = censored_maximum(batch, False)
        assert found.tau2[0] == pytest.approx(case["tau2"], abs=1e-8)
        assert beta_of(batch, found)[0] == pytest.approx(np.atleast_1d(case["beta"]), abs=1e-8)
        assert found.value[0] == pytest.approx(case["llf"], abs=1e-8)


def test_laplace_integration_is_near_the_integral():
    """REML-like: the coefficients integrated out by quadrature instead, half of the effects censored."""
    data = [part[0] for part in simulate(11, 12, 0.2)]
    batch = make_censored_batch(*data)
    f = by_hand([*data[:3], None])
    means = np.linspace(-4, 5, 801)
    for tau2 in (0.05, 0.2, 0.8):
        heights = np.array([f(mean, tau2) for mean in means])
        integral = np.log(np.trapezoid(np.exp(heights - heights.max()), means)) + heights.max()
        criterion = censored_at(batch, tau2, True).value[0] - 0.5 * np.log(12)  # |X'X| = 12
        assert criterion == pytest.approx(integral, abs=0.01)


# -- properties ---------------------------------------------------------------------------------------------


@given(st.integers(0, 5000), st.floats(-20, 20), st.floats(0.1, 10))
def test_shift_scale_and_sign(seed, shift, scale):
    lower, upper, v, _ = (part[0] for part in simulate(seed, 10, 0.2, share=0.6))
    plain = make_censored_batch(lower, upper, v, v)
    moved = make_censored_batch(
        -(scale * upper + shift), -(scale * lower + shift), scale**2 * v, scale**2 * v
    )
    if plain.two_ended[0] < 2:
        return
    a, b = (censored_maximum(batch, True) for batch in (plain, moved))
    assert b.tau2[0] == pytest.approx(scale**2 * a.tau2[0], rel=1e-6, abs=1e-8 * scale**2)
    wanted = -(scale * beta_of(plain, a)[0, 0] + shift)
    assert beta_of(moved, b)[0, 0] == pytest.approx(wanted, abs=1e-6 * max(1, scale))


def test_counts_repeat_rows_and_leave_them_out():
    lower, upper, v, _ = (part[0] for part in simulate(2, 9, 0.2, share=0.5))
    counts = np.array([1, 2, 0, 1, 1, 3, 1, 1, 1.0])
    repeated = np.repeat(np.arange(9), counts.astype(int))
    whole = make_censored_batch(lower, upper, v, v, n=counts)
    long = make_censored_batch(lower[repeated], upper[repeated], v[repeated], v[repeated])
    for restricted in (False, True):
        a, b = censored_maximum(whole, restricted), censored_maximum(long, restricted)
        first, second = (censored_inference(c, m, restricted) for c, m in ((whole, a), (long, b)))
        assert a.tau2 == pytest.approx(b.tau2, abs=1e-9)
        assert a.value == pytest.approx(b.value, abs=1e-9)
        assert first.beta == pytest.approx(second.beta, abs=1e-9)
        assert first.cov == pytest.approx(second.cov, abs=1e-9)
        assert first.effective == pytest.approx(second.effective, abs=1e-9)
        assert first.scale == pytest.approx(second.scale, abs=1e-9)


def test_a_large_batch_is_solved_in_parts_as_one_by_one():
    data = simulate(4, 8, 0.2, problems=1200)
    batch = make_censored_batch(*data)
    many = censored_maximum(batch, True)
    for i in (0, 599, 1199):
        alone = make_censored_batch(*(part[i] for part in data))
        one = censored_maximum(alone, True)
        assert many.tau2[i] == pytest.approx(one.tau2[0], abs=1e-9)
        assert beta_of(batch, many)[i] == pytest.approx(beta_of(alone, one)[0], abs=1e-9)


# -- intervals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("i", [0, 1, 2])
def test_profile_intervals_end_where_the_likelihood_has_fallen(i):
    data = simulate(5, 10, 0.25, problems=3)
    batch = make_censored_batch(*data)
    found = censored_maximum(batch, False)
    f, mean, top = by_hand([part[i] for part in data]), beta_of(batch, found)[i, 0], found.value[i]

    def over_tau2(m):
        inner = minimize_scalar(
            lambda t: -f(m, t), bounds=(0, 40), method="bounded", options={"xatol": 1e-11}
        )
        return max(-inner.fun, f(m, 0.0))

    def over_mean(t):
        options = {"xatol": 1e-11}
        return -minimize_scalar(lambda m: -f(m, t), bounds=(-6, 6), method="bounded", options=options).fun

    low, high = coefficient_limits(batch, np.ones((10, 1)), 0, HALF_CHI2)
    assert low[i] == pytest.approx(brentq(lambda m: over_tau2(m) - top + HALF_CHI2, mean - 5, mean), abs=1e-6)
    assert high[i] == pytest.approx(
        brentq(lambda m: over_tau2(m) - top + HALF_CHI2, mean, mean + 5), abs=1e-6
    )
    low, high = tau2_limits(batch, found, False, HALF_CHI2)
    wanted = brentq(lambda t: over_mean(t) - top + HALF_CHI2, found.tau2[i], 60)
    assert high[i] == pytest.approx(wanted, rel=1e-6)
    if over_mean(0.0) >= top - HALF_CHI2:
        assert low[i] == 0
    else:
        wanted = brentq(lambda t: over_mean(t) - top + HALF_CHI2, 0, found.tau2[i])
        assert low[i] == pytest.approx(wanted, rel=1e-6)


def test_the_interval_of_a_slope_holds_the_others_at_their_best():
    x = np.column_stack([np.ones(16), np.linspace(-1, 1, 16)])
    lower, upper, v, _ = (part[0] for part in simulate(9, 16, 0.1, share=0.4))
    batch = make_censored_batch(lower, upper, v, v, x)
    low, high = coefficient_limits(batch, x, 1, HALF_CHI2)
    top = censored_maximum(batch, False).value[0]
    for end in (low[0], high[0]):
        moved = make_censored_batch(lower - end * x[:, 1], upper - end * x[:, 1], v, v)
        assert censored_maximum(moved, False).value[0] == pytest.approx(top - HALF_CHI2, abs=1e-8)
    known_low, known_high = coefficient_limits(batch, x, 1, HALF_CHI2, tau2=0.0)
    assert low[0] < known_low[0] < known_high[0] < high[0]


# -- identifiability ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "upper", "rises"),
    [
        ([0.2, 0.5, 0.0], [INF, INF, INF], 1.0),
        ([-INF, -INF], [0.3, -0.2], -1.0),
        ([0.2, -INF], [INF, 0.1], None),
        ([0.2, 0.4], [INF, 0.4], None),
        ([0.2, -0.5], [INF, 0.5], None),
    ],
)
def test_bounds_of_one_side_hold_no_mean(lower, upper, rises):
    found = rising_direction(np.ones((len(lower), 1)), np.array(lower), np.array(upper))
    assert (found is None) == (rises is None)
    if rises is not None:
        assert np.sign(found[0]) == rises


def test_a_level_of_bounds_of_one_side_is_found_among_others():
    x = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1.0]])
    lower = np.array([0.1, 0.4, 0.3, 0.7, 0.5, 0.2])
    upper = np.array([0.1, 0.4, 0.3, INF, INF, INF])
    found = rising_direction(x, lower, upper)
    assert found[0] == 0
    assert found[1] == 0
    assert found[2] > 0


# -- draws --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "upper"), [(0.5, INF), (-0.4, 0.9), (-INF, -1.0), (30.0, 31.0), (-INF, -25.0)]
)
def test_draws_have_the_truncated_normal_distribution(lower, upper):
    uniform = (np.arange(4000) + 0.5) / 4000
    sd = np.full(4000, 0.7)
    drawn = truncated_normal(np.full(4000, lower), np.full(4000, upper), sd, uniform)
    assert ((drawn >= lower) & (drawn <= upper)).all()
    logs = [log_interval(np.array(lower / 0.7), np.array(end / 0.7)) for end in (drawn[1000], upper)]
    assert np.exp(logs[0] - logs[1]) == pytest.approx(uniform[1000], rel=1e-7)
    assert (np.diff(drawn) > 0).all()


def test_imputation_at_the_estimates_gives_back_score_and_information():
    """Louis (1982): the mean complete score is 0 at the maximum; information is complete less that."""
    data = [part[0] for part in simulate(21, 25, 0.15, share=0.6)]
    batch = make_censored_batch(*data)
    found = censored_maximum(batch, False)
    tau2, mean = found.tau2[0], beta_of(batch, found)[0, 0]
    assert tau2 > 0
    draws = 20_000
    many = batch.take(np.zeros(draws, dtype=np.intp))
    rng = np.random.default_rng(3)
    y, v = draw_effects(many, np.repeat(found.gamma, draws, axis=0), np.full(draws, tau2), rng)
    w = 1 / (v + tau2)
    scores = np.column_stack([(w * (y - mean)).sum(axis=1), 0.5 * ((w * (y - mean)) ** 2 - w).sum(axis=1)])
    errors = scores.std(axis=0, ddof=1) / np.sqrt(draws)
    assert (np.abs(scores.mean(axis=0)) < 4 * errors).all()
    information = (
        float(likeliest_mean(batch, found.tau2, found.gamma).information[0, 0, 0]) * 25
    )  # of the mean
    louis = w.sum(axis=1).mean() - scores[:, 0].var(ddof=1)
    error = scores[:, 0].var(ddof=1) * np.sqrt(2 / draws)
    assert louis == pytest.approx(information, abs=4 * error)


def test_draws_of_unequal_ends_reproduce_score_of_the_mixture():
    batch = make_censored_batch([0.0, 0.4, 0.9], [0.75, 0.4, 0.9], [0.15, 0.1, 0.1], [0.2, 0.1, 0.1])
    draws = 40_000
    many = batch.take(np.zeros(draws, dtype=np.intp))
    gamma, tau2 = np.full((draws, 1), 0.3), np.full(draws, 0.05)
    y, v = draw_effects(many, gamma, tau2, np.random.default_rng(5))
    eta = gamma @ batch.basis.T
    score = row_terms(batch, eta[:1], tau2[:1]).first[0, 0]
    mean = eta[0, 0] + float(batch.offset[0, 0])
    found = (y[:, 0] - mean) / (v[:, 0] + 0.05)
    assert found.mean() == pytest.approx(score, abs=4 * found.std() / np.sqrt(draws))
