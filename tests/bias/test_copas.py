"""The Copas selection model: its likelihood, its maxima, the table, and the test of what is left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, stats

import metaexo as mx
from metaexo.bias.copas import LARGEST_RHO, _Copas, fit_copas
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError

SE = np.array([0.45, 0.4, 0.33, 0.3, 0.27, 0.22, 0.2, 0.17, 0.15, 0.12, 0.1, 0.08])
Y = np.array([0.9, 0.5, 0.7, 0.75, 0.3, 0.35, 0.4, 0.1, 0.3, 0.1, 0.15, 0.05])

# log odds ratios of death and their variances (Egger, Davey Smith and Altman 2001)
MAGNESIUM = (
    [-0.8303, -1.0561, -1.2783, -0.0435, 0.2231, -2.4075, -1.2809, -1.1917,
     -0.6957, -2.2083, -2.0382, -0.8502, -0.7932, -0.2993, -1.5708, 0.0576],
    [1.55505, 0.17145, 0.65309, 2.0435, 0.23929, 1.14963, 1.425, 2.75989,
     0.28749, 1.23132, 0.60953, 0.38248, 0.39171, 0.02148, 0.32952, 0.001],
)  # fmt: skip


def log_likelihood(x, gamma0, gamma1, Y=Y, SE=SE):
    """Return log f(y) P(published | y) / P(published), with the variances before selection."""
    mu, rho, tau = x
    u = gamma0 + gamma1 / SE
    ratio = stats.norm.pdf(u) / stats.norm.cdf(u)
    sigma = SE / np.sqrt(1 - ratio * (u + ratio) * rho**2)
    sd = np.sqrt(tau**2 + sigma**2)
    share = rho * sigma / sd
    given = stats.norm.logcdf((u + share * (Y - mu) / sd) / np.sqrt(1 - share**2))
    return (stats.norm.logpdf(Y, mu, sd) + given - stats.norm.logcdf(u)).sum()


def highest(gamma0, gamma1):
    rng = np.random.default_rng(3)
    starts = np.column_stack([rng.normal(0.3, 0.5, 8), rng.uniform(-0.95, 0.95, 8), rng.exponential(0.3, 8)])
    bounds = [(None, None), (-LARGEST_RHO, LARGEST_RHO), (0, None)]
    found = [
        optimize.minimize(
            lambda x: -log_likelihood(x, gamma0, gamma1),
            x,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-14},
        )
        for x in starts
    ]
    return -min(f.fun for f in found)


@pytest.fixture(scope="module")
def found():
    return mx.bias.copas_selection(mx.EffectSizes(Y, se=SE))


def test_the_variance_before_selection():
    """Of published effects the variance is what was reported: 1 - c2 rho2 of that before selection."""
    u, rho = 0.4, 0.7
    ratio = stats.norm.pdf(u) / stats.norm.cdf(u)

    def moment(power):
        def inner(e):
            return e**power * stats.norm.pdf(e) * stats.norm.cdf((u + rho * e) / np.sqrt(1 - rho**2))

        return integrate.quad(inner, -9, 9, epsabs=1e-12)[0] / stats.norm.cdf(u)

    assert moment(2) - moment(1) ** 2 == pytest.approx(1 - ratio * (u + ratio) * rho**2, rel=1e-9)


def test_the_likelihood_and_its_gradient():
    model, rows = _Copas(Y, SE**2, np.tile(0.3 + 0.1 / SE, (3, 1))), np.arange(3)
    x = np.array([[0.2, 0.4, 0.1], [0.1, -0.7, 0.2], [0.3, 0.99, 0.0]])
    value = model.value(x, rows)
    gradient, hessian = model.slopes(x, rows)
    for i in range(3):
        expected = log_likelihood(x[i], 0.3, 0.1) + 0.5 * Y.size * np.log(2 * np.pi)
        assert value[i] == pytest.approx(expected, rel=1e-10)
    for j in range(3):
        step = 1e-6 * np.eye(3)[j]
        slope = (model.value(x + step, rows) - model.value(x - step, rows)) / 2e-6
        assert gradient[:, j] == pytest.approx(slope, rel=1e-6, abs=1e-6)
        bend = (model.slopes(x + step, rows)[0] - model.slopes(x - step, rows)[0]) / 2e-6
        assert hessian[:, j] == pytest.approx(bend, rel=1e-6, abs=1e-6)
    far, single, one = _Copas(Y, SE**2, np.full((1, 12), -30.0)), np.array([[0.2, 0.9, 0.1]]), np.array([0])
    assert np.isfinite(far.value(single, one)).all()
    assert np.isfinite(far.slopes(single, one)[0]).all()


def test_maxima_are_the_highest(found):
    """No start of another optimizer ends higher, along the whole table."""
    path = found.path
    for i in (3, 12):
        x = (path.estimate[i], path.rho[i], np.sqrt(path.tau2[i]))
        ours = log_likelihood(x, path.gamma0[i], path.gamma1[i])
        assert ours >= highest(path.gamma0[i], path.gamma1[i]) - 1e-7
    assert (path.starts_agreeing >= 2).all()


def test_standard_errors_are_those_of_the_information():
    y, v = map(np.array, MAGNESIUM)
    fit = fit_copas(y, v, np.array([1.6]), np.array([0.04]))
    x, h = np.array([fit.estimate[0], fit.rho[0], fit.tau[0]]), 1e-3
    assert -LARGEST_RHO < x[1] < 0
    assert x[2] > 0.3

    def at(point):
        return log_likelihood(point, 1.6, 0.04, y, np.sqrt(v))

    assert fit.log_likelihood[0] == pytest.approx(at(x), rel=1e-12)
    steps = h * np.eye(3)
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    hessian = np.array([[sum(a * b * at(x + a * s + b * t) for a, b in signs) for t in steps] for s in steps])
    assert fit.se[0] == pytest.approx(np.sqrt(np.linalg.inv(-hessian / (4 * h * h))[0, 0]), rel=1e-3)


def test_the_first_row_is_the_model_without_selection(found):
    es = mx.EffectSizes(Y, se=SE)
    table = found.sensitivity()
    plain = mx.RandomEffects(es).fit("ML", "z")
    assert table.loc[0, ["publication_probability", "unpublished"]].tolist() == [1, 0]
    assert table.loc[0, ["estimate", "se", "low", "high", "tau2"]].tolist() == pytest.approx(
        [plain.estimate, plain.bse.iloc[0], *plain.conf_int().iloc[0], plain.tau2]
    )
    assert found.unadjusted == pytest.approx(plain.estimate)
    slope = mx.RandomEffects(mx.EffectSizes(Y, se=SE, data=pd.DataFrame({"se": SE})), "se").fit("ML", "z")
    statistic = 2 * (slope.llf - plain.llf)
    assert table.loc[0, "residual_pvalue"] == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-6)


def test_rows_of_the_table(found):
    table, path = found.sensitivity(), found.path
    chances = stats.norm.cdf(path.gamma0[1:] + path.gamma1[1:] / SE.max())
    assert chances == pytest.approx(table["publication_probability"].to_numpy()[1:])
    every = stats.norm.cdf(path.gamma0[1:, None] + path.gamma1[1:, None] / SE)
    assert table["unpublished"].to_numpy()[1:] == pytest.approx(((1 - every) / every).sum(axis=1))
    slope = mx.RandomEffects(mx.EffectSizes(Y, se=SE, data=pd.DataFrame({"se": SE})), "se").fit("ML", "z").llf
    for i in (1, 8, 16):
        x = (path.estimate[i], path.rho[i], np.sqrt(path.tau2[i]))
        statistic = max(0.0, 2 * (slope - log_likelihood(x, path.gamma0[i], path.gamma1[i])))
        assert path.residual_pvalue[i] == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-6)
    assert path.estimate[-1] < path.estimate[0]
    assert (np.diff(table["unpublished"]) > 0).all()


def test_the_adjusted_estimate_is_the_first_without_residual_bias(found):
    at = int(np.flatnonzero(found.path.residual_pvalue > 0.1)[0])
    assert at > 0
    row = found.sensitivity().loc[at]
    assert [found.estimate, found.se, found.low, found.high, found.tau2, found.unpublished] == pytest.approx(
        row[["estimate", "se", "low", "high", "tau2", "unpublished"]].tolist()
    )
    assert found.publication_probability == row["publication_probability"]
    never = mx.bias.copas_selection(mx.EffectSizes(*MAGNESIUM), residual_level=0.6)
    assert np.isnan([never.estimate, never.low, never.pvalue]).all()
    assert "remain significant" in never.sentence
    at_once = mx.bias.copas_selection(mx.EffectSizes(Y, se=SE), residual_level=1e-9)
    assert at_once.estimate == found.unadjusted
    assert "without any selection" in at_once.sentence


def test_other_units_the_mirror_image_and_a_shift(found):
    for factor, shift in ((1e-6, 0.0), (1e6, 0.0), (-1.0, 0.0), (1.0, 7.0)):
        other = mx.bias.copas_selection(mx.EffectSizes(factor * Y + shift, se=abs(factor) * SE))
        assert other.path.estimate == pytest.approx(factor * found.path.estimate + shift, rel=1e-5)
        assert other.path.se == pytest.approx(abs(factor) * found.path.se, rel=1e-4)
        assert other.path.residual_pvalue == pytest.approx(found.path.residual_pvalue, rel=1e-5)


def test_a_likelihood_with_two_maxima():
    """Magnesium after myocardial infarction: from some chance on, the highest maximum is at tau2 = 0.

    On the way there the maximum with tau2 > 0 is still one, and lower.
    """
    path = mx.bias.copas_selection(mx.EffectSizes(*MAGNESIUM)).path
    assert path.tau2[1] > 0.2
    assert path.tau2[-1] < 1e-12
    assert (np.diff(path.residual_pvalue) > 0).all()


def test_what_is_refused():
    with pytest.raises(NotIdentifiableError, match="equal"):
        mx.bias.copas_selection(mx.EffectSizes([0.1, 0.2, 0.5], [0.04] * 3))
    with pytest.raises(TooFewStudiesError, match="3"):
        mx.bias.copas_selection(mx.EffectSizes([0.1, 0.2], [0.04, 0.05]))
    with pytest.raises(InputError, match="residual_level"):
        mx.bias.copas_selection(mx.EffectSizes(Y, se=SE), residual_level=10)


def test_three_effects():
    found = mx.bias.copas_selection(mx.EffectSizes([0.1, 0.4, 0.9], [0.01, 0.04, 0.09]))
    assert np.isfinite(found.path.estimate).all()


def profile(mu, gamma0, gamma1):
    """Return the highest log-likelihood given the mean, over a fine grid of rho and its climbs."""
    bounds = [(-LARGEST_RHO, LARGEST_RHO), (0, None)]
    found = [
        optimize.minimize(
            lambda x: -log_likelihood((mu, *x), gamma0, gamma1), x, method="L-BFGS-B", bounds=bounds,
            options={"ftol": 1e-14},
        )
        for x in [(r, t) for r in (-0.9, 0.0, 0.9, LARGEST_RHO) for t in (0.01, 0.3)]
    ]  # fmt: skip
    return -min(f.fun for f in found)


def test_intervals_where_rho_is_at_its_bound_are_by_the_profile_likelihood(found):
    path, table = found.path, found.sensitivity()
    at_end = np.flatnonzero(np.abs(path.rho) >= LARGEST_RHO)
    assert at_end.size > 1
    assert any(f"for {at_end.size} of 17 chances" in said for said in found.cautions())
    for i in at_end[[0, -1]]:
        gammas = path.gamma0[i], path.gamma1[i]
        top = log_likelihood((path.estimate[i], path.rho[i], np.sqrt(path.tau2[i])), *gammas)
        for end in table.loc[i, ["low", "high"]]:
            assert 2 * (top - profile(end, *gammas)) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-4)
        statistic = 2 * (top - profile(0.0, *gammas))
        assert table.loc[i, "pvalue"] == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-3)
    other = np.setdiff1d(np.arange(17), at_end)
    half = stats.norm.ppf(0.975) * path.se[other]
    assert table["low"].to_numpy()[other] == pytest.approx(path.estimate[other] - half)
    wald = 2 * stats.norm.ppf(0.975) * path.se[at_end]
    assert (table["high"] - table["low"]).to_numpy()[at_end].min() > wald.min()


def test_an_adjusted_estimate_at_the_bound_has_the_interval_of_the_table():
    y = [0.1, 0.15, 0.2, 0.05, 0.3, 0.5, 0.45, 0.7, 0.62, 0.9, 1.1, 1.4]
    found = mx.bias.copas_selection(mx.EffectSizes(y, se=np.linspace(0.05, 0.6, 12)))
    assert found.usable
    assert found.is_adjusted
    at = int(np.flatnonzero(found.path.publication_probability == found.publication_probability)[0])
    row = found.sensitivity().loc[at]
    assert [found.low, found.high, found.pvalue] == pytest.approx(row[["low", "high", "pvalue"]].tolist())
    by_se = found.estimate - stats.norm.ppf(0.975) * found.se
    if abs(found.rho) >= LARGEST_RHO:
        assert any("that of the adjusted estimate among them" in said for said in found.cautions())
        assert found.low != pytest.approx(by_se)
    else:
        assert found.low == pytest.approx(by_se)


def test_standard_errors_that_hardly_differ_determine_nothing():
    rng = np.random.default_rng(1)
    y = rng.normal(0.3, 0.3, 12)
    found = mx.bias.copas_selection(mx.EffectSizes(y, se=0.2 + 1e-6 * np.arange(12)))
    assert not found.usable
    assert any("do not use the table" in said for said in found.cautions())
    assert "determine no adjusted estimate" in found.sentence
    # the p-value of what is left is that of a regression on the differences of the standard errors
    x = np.arange(12.0)
    frame = pd.DataFrame({"x": x})
    slope = mx.RandomEffects(mx.EffectSizes(y, se=0.2 + 1e-6 * x, data=frame), "x").fit("ML", "z").llf
    plain = mx.RandomEffects(mx.EffectSizes(y, se=0.2 + 1e-6 * x)).fit("ML", "z").llf
    assert found.path.residual_pvalue[0] == pytest.approx(stats.chi2.sf(2 * (slope - plain), 1), rel=1e-6)


def test_a_mean_without_selection_is_not_adjusted():
    rng = np.random.default_rng(40)
    se = rng.uniform(0.1, 0.6, 40)
    found = mx.bias.copas_selection(mx.EffectSizes(rng.normal(0.3, 0.2, 40), se=se))
    assert found.publication_probability == 1
    assert not found.is_adjusted
