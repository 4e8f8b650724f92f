"""Tests of whether one between-study variance fits all studies.

Every study is given a variance of its own, tau2_i, and the hypothesis is that they are equal. The score test
needs only the fit with one tau2: with P = W - W X (X'WX)^-1 X'W the restricted score of tau2_i is
((Py)_i^2 - P_ii) / 2 and the expected information of tau2_i and tau2_j is P_ij^2 / 2. For ML the score is
(w_i^2 e_i^2 - w_i) / 2 and the information w_i^2 / 2, which has no part outside its diagonal.

The likelihood-ratio test needs the highest likelihood with all tau2_i >= 0 free. Given the mean m it is
reached at tau2_i = max(0, (y_i - m)^2 - v_i), which leaves one unknown.

References
----------
Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
problems. Journal of the American Statistical Association 72, 320-338.
https://doi.org/10.1080/01621459.1977.10480998
Rao, C. R. (1948). Large sample tests of statistical hypotheses concerning several parameters with
applications to problems of estimation. Mathematical Proceedings of the Cambridge Philosophical Society 44,
50-57. https://doi.org/10.1017/S0305004100023987
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import check_choice
from metaexo.models.hypothesis import TestResult, make_test
from metaexo.models.weighted import projected
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.types import Array

if TYPE_CHECKING:
    from metaexo.models.results import RandomEffectsResults

KINDS = ("score", "likelihood-ratio")
POINTS = 64
HALVINGS = 60


def heteroscedasticity_test(fit: RandomEffectsResults, kind: str = "score") -> TestResult:
    """Return the test of equal tau2; see `RandomEffectsResults.heteroscedasticity_test`."""
    check_choice("test", kind, KINDS)
    if fit.method not in ("ML", "REML") or fit.tau2_given:
        raise InputError(f"the fit is by {fit.method}", 'a fit by "ML" or "REML"')
    if fit.df_residual < 1 or (fit.effects.v == 0).any():
        raise InputError(
            "there are no residual degrees of freedom, or sampling variances of zero",
            "more effects than coefficients and sampling variances above 0",
        )
    null = "all studies share one between-study variance"
    if kind == "score" and fit.method == "REML" and fit.df_residual == 1:
        words = f"{null}; not testable with one residual degree of freedom"
        return TestResult(np.nan, "chi2", (float(fit.k - 1),), np.nan, words)
    if kind == "score":
        statistic = _restricted_score(fit) if fit.method == "REML" else _plain_score(fit)
        return make_test(statistic, "chi2", (fit.k - 1,), null)
    if fit.method != "ML" or fit.design.x is not None:
        raise InputError(
            "the likelihood-ratio test needs the full likelihood of a model without moderators",
            'a fit with method="ML" and no moderators',
            'or use kind="score"',
        )
    gain = 2 * (highest_likelihood(fit.effects.y, fit.effects.v) - fit.fit_statistics(False).llf)
    return make_test(max(0.0, gain), "chi2", (fit.k - 1,), null)


def _restricted_score(fit: RandomEffectsResults) -> float:
    """Return g' I^-1 g of the restricted likelihood; I is inverted on the space where it has spread.

    In units of v_i + tau2 the score is (w_i e_i^2 - M_ii) / 2 and the information M_ij^2 / 2, with M the
    projector off the weighted design.
    """
    residuals, basis = projected(fit.design.matrix(fit.k), fit.effects.y, fit.effects.v + fit.tau2)
    projector = np.eye(fit.k) - basis @ basis.T
    score = residuals**2 - np.diagonal(projector)
    values, vectors = np.linalg.eigh(projector**2)
    kept = values > values.max() * fit.k * np.finfo(float).eps
    return float(0.5 * ((vectors[:, kept].T @ score) ** 2 / values[kept]).sum())


def _plain_score(fit: RandomEffectsResults) -> float:
    residuals, _ = projected(fit.design.matrix(fit.k), fit.effects.y, fit.effects.v + fit.tau2)
    return float(0.5 * ((residuals**2 - 1) ** 2).sum())


def highest_likelihood(y: Array, v: Array) -> float:
    """Return the highest log-likelihood with a mean and a between-study variance of each study.

    Minus twice the likelihood at a mean m is the sum of log s_i + (y_i - m)^2 / s_i with s_i the larger of
    v_i and (y_i - m)^2. Its derivative in m is continuous; it is looked at between the points where an s_i
    changes its form, and every change from falling to rising is refined by halving.
    """
    breaks = np.unique(np.concatenate([y - np.sqrt(v), y, y + np.sqrt(v)]))
    breaks = breaks[(breaks >= y.min()) & (breaks <= y.max())]
    if breaks.size < 2:
        return _likelihood(y, v, np.array([float(y[0])]))
    steps = np.linspace(0.0, 1.0, POINTS, endpoint=False)
    grid = np.append((breaks[:-1, None] + np.diff(breaks)[:, None] * steps).ravel(), breaks[-1])
    slope = _slope(y, v, grid)
    low = np.flatnonzero((slope[:-1] < 0) & (slope[1:] >= 0))
    a, b = grid[low], grid[low + 1]
    for _ in range(HALVINGS):
        middle = 0.5 * (a + b)
        falling = _slope(y, v, middle) < 0
        a, b = np.where(falling, middle, a), np.where(falling, b, middle)
    return _likelihood(y, v, np.append(0.5 * (a + b), grid))


def _slope(y: Array, v: Array, mean: Array) -> Array:
    """Return the derivative of minus twice the likelihood, at each mean."""
    e = mean[:, None] - y
    near = e**2 <= v
    return np.asarray(np.where(near, e / v, 1.0 / np.where(near, 1.0, e)).sum(axis=1))


def _likelihood(y: Array, v: Array, mean: Array) -> float:
    """Return the highest likelihood over the given means."""
    square = (mean[:, None] - y) ** 2
    total = np.maximum(v, square)
    return float((-0.5 * (LOG_2PI + np.log(total) + square / total).sum(axis=1)).max())
