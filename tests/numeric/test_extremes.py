"""Numbers far apart, very large or very small: right to many digits, or refused in words."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.numeric.estimators import ESTIMATORS
from metaexo.numeric.moments import moments, weighted_fit
from metaexo.numeric.problem import make_batch

Rows = list[list[Fraction]]
pytestmark = pytest.mark.filterwarnings("ignore::metaexo.errors.VarianceRatioWarning")


def product(a: Rows, b: Rows) -> Rows:
    columns = list(zip(*b, strict=True))
    return [[sum((x * y for x, y in zip(row, c, strict=True)), Fraction(0)) for c in columns] for row in a]


def turned(a: Rows) -> Rows:
    return [list(row) for row in zip(*a, strict=True)]


def inverse(a: Rows) -> Rows:
    n = len(a)
    m = [[*row, *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(a)]
    for i in range(n):
        pivot = next(j for j in range(i, n) if m[j][i])
        m[i], m[pivot] = m[pivot], m[i]
        m[i] = [x / m[i][i] for x in m[i]]
        for j in range(n):
            if j != i:
                m[j] = [x - m[j][i] * y for x, y in zip(m[j], m[i], strict=True)]
    return [row[n:] for row in m]


def exact(y: np.ndarray, v: np.ndarray, x: np.ndarray, tau2: float) -> dict[str, Any]:
    """Return traces, quadratic forms and the fit by rational arithmetic, without any rounding."""
    w = [1 / (Fraction(float(one)) + Fraction(tau2)) for one in v]
    rows = [[Fraction(float(cell)) for cell in row] for row in x]
    effects = [[Fraction(float(one))] for one in y]
    weighted = [[a * b for b in row] for a, row in zip(w, rows, strict=True)]
    cov = inverse(product(turned(rows), weighted))
    hat = product(product(weighted, cov), turned(weighted))
    p = [[(w[i] if i == j else Fraction(0)) - hat[i][j] for j in range(len(w))] for i in range(len(w))]
    py = product(p, effects)
    ppy = product(p, py)

    def dot(a: Rows, b: Rows) -> Fraction:
        return sum((m[0] * n[0] for m, n in zip(a, b, strict=True)), Fraction(0))

    return {
        "trace_p": sum((p[i][i] for i in range(len(w))), Fraction(0)),
        "trace_pp": sum((cell * cell for row in p for cell in row), Fraction(0)),
        "y_p_y": dot(effects, py),
        "y_pp_y": dot(py, py),
        "y_ppp_y": dot(py, ppy),
        "beta": [b[0] for b in product(cov, product(turned(weighted), effects))],
        "variance": [cov[j][j] for j in range(len(cov))],
    }


def problems(seed: int, low: float, high: float, count: int) -> Any:
    rng = np.random.default_rng(seed)
    while count:
        k, p = int(rng.integers(5, 9)), int(rng.integers(2, 4))
        second = rng.integers(0, 2, k) if count % 2 else rng.normal(size=k)
        x = np.column_stack([np.ones(k), second, rng.normal(size=k)])[:, :p]
        if np.linalg.matrix_rank(x) < p:
            continue
        span = rng.uniform(low, high)
        v = 10 ** rng.uniform(-span / 2, span / 2, k)
        v[:2] = 10 ** (-span / 2), 10 ** (span / 2)
        yield rng.normal(size=k) * np.sqrt(v) + 1, v, x
        count -= 1


@pytest.mark.parametrize(("low", "high", "digits"), [(6, 16, 1e-9), (16, 24, 1e-6)])
def test_designs_with_variances_far_apart_agree_with_rational_arithmetic(
    low: float, high: float, digits: float
) -> None:
    for y, v, x in problems(3, low, high, 16):
        batch = make_batch(y, v, x)
        twice = make_batch(np.stack([y, y]), np.stack([v, v]), x)
        for tau2 in (0.0, float(v.min()), 1.0):
            right, found = exact(y, v, x, tau2), moments(batch, tau2)
            fit = weighted_fit(batch, 1 / (v + tau2)[None])
            for name in ("trace_p", "trace_pp", "y_p_y", "y_pp_y", "y_ppp_y"):
                assert float(getattr(found, name)) == pytest.approx(float(right[name]), rel=digits), name
                both = getattr(moments(twice, np.full(2, tau2)), name)
                assert both.tolist() == [float(getattr(found, name))] * 2
            for j, variance in enumerate(right["variance"]):
                assert fit.cov[0, j, j] == pytest.approx(float(variance), rel=digits)
                away = Fraction(float(fit.beta[0, j])) - right["beta"][j]
                assert abs(float(away)) < digits * math.sqrt(variance)


@pytest.mark.parametrize("spans", [8.0, 10.0, 12.0])
def test_the_standard_error_of_tau2_is_that_of_the_information(spans: float) -> None:
    for y, v, x in problems(5, spans, spans + 0.01, 4):
        es = mx.EffectSizes(y, v)
        for method in ("REML", "ML"):
            fit = mx.RandomEffects(es, x[:, 1:]).fit(method)
            right = exact(y, v, x, fit.tau2)
            # REML: 2 / trace(PP); ML: 2 / sum of squared weights (Viechtbauer 2005).
            of_ml = float(sum(1 / (Fraction(float(one)) + Fraction(fit.tau2)) ** 2 for one in v))
            information = float(right["trace_pp"]) if method == "REML" else of_ml
            assert fit.tau2_se == pytest.approx(math.sqrt(2 / information), rel=1e-8)
            trace = float(right["trace_p"]) if method == "REML" else sum(1 / (v + fit.tau2))
            if not fit.certificate.at_boundary:  # the score is 0
                assert float(right["y_pp_y"]) == pytest.approx(trace, rel=1e-5)
            assert str(fit.summary())


@pytest.mark.parametrize("method", list(ESTIMATORS))
@pytest.mark.parametrize("slope", [False, True])
def test_estimates_scale_with_the_effects(method: str, slope: bool) -> None:
    rng = np.random.default_rng(0)
    y, v, x, w = rng.normal(size=7), rng.uniform(0.05, 0.3, 7), rng.normal(size=7), rng.uniform(1, 3, 7)
    weights = w if method.startswith("GENQ") else None

    def numbers(scale: float) -> np.ndarray:
        es = mx.EffectSizes(y * scale, v * scale**2)
        fit = mx.RandomEffects(es, x if slope else None, weights=weights).fit(method)
        assert str(fit.summary())
        se = 0.0 if fit.tau2_se is None else fit.tau2_se
        of_size = [*(fit.beta / scale), *(fit.se / scale), fit.tau2 / scale / scale, se / scale / scale]
        return np.array([*of_size, fit.i2, fit.h2, fit.q.statistic, *fit.pvalues])

    plain = numbers(1.0)
    for power in (-149, -80, -30, 30, 80, 149):  # 1.4e-45 to 7e44, without rounding
        np.testing.assert_allclose(numbers(2.0**power), plain, rtol=1e-9, atol=1e-12)


def test_a_likelihood_without_a_maximum_is_refused_with_its_rows_and_remedies_that_work() -> None:
    cases = (
        ("ML", [0.1, 0.2, 0.4, 0.9], [0.0, 0.02, 0.05, 0.04], 1),
        ("ML", [0, 0, 0, -0.5, 0.7, 0.3], [0, 0, 0, 0.55, 0.12, 0.22], 3),
        ("REML", [0, 0, 0, -0.5, 0.7, 0.3], [0, 0, 0, 0.55, 0.12, 0.22], 3),
    )
    for method, y, v, rows in cases:
        model = mx.RandomEffects(mx.EffectSizes(y, v))
        with pytest.raises(errors.NotIdentifiableError, match="no maximum") as caught:
            model.fit(method)
        assert len(caught.value.rows) == rows
        advised = [code for code in ("REML", "ML", "SJ", "HE", "DL") if f'"{code}"' in caught.value.remedy]
        assert advised
        assert method not in advised
        for code in advised:
            assert model.fit(code).tau2 > 0


def test_two_different_effects_without_sampling_variance_have_a_maximum() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.0, 0.3, 0.2, 0.9], [0.0, 0.0, 0.05, 0.04])).fit("ML")
    assert fit.tau2 > 0
    grid = fit.profile(np.geomspace(1e-8, 10, 400)).to_frame()
    assert grid.iloc[:, 1].max() <= fit.llf + 1e-9


def test_designs_that_once_ended_in_bare_errors() -> None:
    for v, x in (([1e-4, 1e-4, 1e4, 2e4], [0, 1, 1, 1]), ([1e-5, 1e4, 1e4, 2e4], [0, 1, 1, 1])):
        for method in ("REML", "ML", "PM", "DL", "HE", "SJ", "EB", "HS"):
            fit = mx.RandomEffects(mx.EffectSizes([1, 2, 30, -40], v), x).fit(method)
            assert np.isfinite([fit.tau2, fit.i2, fit.h2, *fit.beta, *fit.se]).all()
            assert str(fit.summary())
            assert len(fit.to_frame()) == 2


@pytest.mark.parametrize("method", ["REML", "ML", "DL", "PM", "SJ", "HE", "EE"])
@pytest.mark.parametrize("y", [[1.0, 1.0], [1e6, 1e6, 1e6], [0.0, 0.0, 0.0]])
def test_equal_effects_without_any_sampling_variance_tell_nothing(y: list[float], method: str) -> None:
    model = mx.RandomEffects(mx.EffectSizes(y, np.zeros(len(y))))
    with pytest.raises(errors.NotIdentifiableError, match="do not differ"):
        model.fit(method)


def test_kenward_roger_keeps_its_digits_where_variances_are_far_apart() -> None:
    # group means: the adjusted variance of the precise group is that of its own effects, whatever the others
    y, x = np.array([0.1, 0.3, 2.0, -4.0, 1.0, 0.5]), np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    far = np.array([1e-10, 1e-10, 1.0, 2.0, 1.0, 2.0])
    fit = mx.RandomEffects(mx.EffectSizes(y, far), x).fit(tau2=0.0, test="z")
    assert fit.cov[0, 0] == pytest.approx(5e-11, rel=1e-9)
    kr = mx.RandomEffects(mx.EffectSizes(np.where(x == 0, 1e-6 * y, y), far), x).fit(test="kenward-roger")
    w = [1 / (Fraction(float(v)) + Fraction(kr.tau2)) for v in far]
    parts = [[w[i] for i in range(6) if x[i] == g] for g in (0, 1)]
    own = [sum(z**3 for z in p) - sum(z**2 for z in p) ** 2 / sum(p) for p in parts]
    trace = sum(sum(z**2 for z in p) - 2 * sum(z**3 for z in p) / sum(p) for p in parts)
    trace += sum((sum(z**2 for z in p) / sum(p)) ** 2 for p in parts)
    wanted = 1 / sum(parts[0]) + 4 / trace * own[0] / sum(parts[0]) ** 2
    assert kr.cov[0, 0] == pytest.approx(float(wanted), rel=1e-9)


def test_precise_rows_that_are_almost_parallel_agree_with_rational_arithmetic() -> None:
    """The rows from which the problem is seen hardly differ in their moderator, 1/n: n from 4e8 down to 4."""
    n = np.array([4e8, 4e7, 4e6, 4e5, 4e4, 4e3, 400, 40, 4, 4, 4, 4, 4])
    v = 10.0 ** np.arange(-8, 5)
    y = np.array([0.08, -0.09, -0.23, 0.26, 0.03, 0.04, 0.28, 0.43, -0.03, 3.23, -7.87, -11.4, -42.1])
    x = np.column_stack([np.ones(13), 1 / n])
    batch = make_batch(y, v, x)
    for tau2 in (0.0, 1e-4, 0.03, 1.0):
        right, found = exact(y, v, x, tau2), moments(batch, tau2)
        fit = weighted_fit(batch, 1 / (v + tau2)[None])
        for name in ("trace_p", "trace_pp", "y_p_y", "y_pp_y", "y_ppp_y"):
            assert float(getattr(found, name)) == pytest.approx(float(right[name]), rel=1e-6), (name, tau2)
        assert fit.beta[0] == pytest.approx([float(b) for b in right["beta"]], rel=1e-6), tau2
        for j, variance in enumerate(right["variance"]):
            assert fit.cov[0, j, j] == pytest.approx(float(variance), rel=1e-6), tau2
