"""The Copas selection model: the mean if small studies were published only with a given chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metaexo.bias.estimates import Estimates, estimates_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.bias.significant import mean_excess
from metaexo.errors import NotIdentifiableError
from metaexo.formatting import number, p_value, percent
from metaexo.inputs import check_level
from metaexo.numeric.likelihood_maximum import maximum_likelihood
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tails import chi2_tail, normal_quantile, normal_two_sided
from metaexo.readable import with_ratios
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

LARGEST_RHO = 0.9999
ITERATIONS, HALVINGS = 200, 40
PROMISE = 1e-13  # rise of the log-likelihood below which a climb has ended
SAME = 1e-6  # standard errors that differ by less, as a share of the largest, count as equal
FLAT = 0.1
_OF_PATH = ("publication_probability", "gamma0", "gamma1", "rho", "residual_pvalue", "unpublished")
CELLS = 5  # of the grid along each of gamma0 and gamma1
STEEP = float(special.ndtri(0.9))  # the most that the chance of publication may rise, in probits
LIKELY, UNLIKELY = float(special.ndtri(0.98)), float(special.ndtri(0.2))
CHANCES = (1.0, *np.round(np.arange(0.95, 0.15, -0.05), 2))  # of the study with the largest standard error


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CopasSelection(AdjustedEstimate):
    """A sensitivity analysis by the Copas selection model, and its adjusted estimate.

    Attributes
    ----------
    residual_level : float
        Level of the test of residual selection bias.
    publication_probability, gamma0, gamma1, rho, residual_pvalue, unpublished : float
        Of the adjusted estimate: the chance that the study with the largest standard error is published, the
        parameters of selection, the correlation of effects and selection, the p-value of the test of residual
        selection bias, and how many studies the model takes to be unpublished. NaN where there is none.
    unadjusted : float
        The mean without selection, by maximum likelihood.
    path : CopasPath
        The fits along the path of the table, one per chance of publication.
    """

    residual_level: float
    publication_probability: float
    gamma0: float
    gamma1: float
    rho: float
    residual_pvalue: float
    unpublished: float
    unadjusted: float
    path: CopasPath

    name: ClassVar[str] = "Copas selection model"
    rests_on: ClassVar[str] = "selection by standard error"

    @property
    def sentence(self) -> str:
        """The adjusted estimate with the chance of publication that belongs to it."""
        if np.isnan(self.estimate):
            least = percent(float(self.path.publication_probability[-1]))
            return (
                "Copas selection model: small-study effects remain significant down to a chance of "
                f"publication of {least} for the study with the largest standard error, so there is no "
                "adjusted estimate."
            )
        if self.publication_probability == 1:
            return (
                f"Copas selection model: {self.shown} without any selection, as no residual selection bias "
                f"is found ({p_value(self.residual_pvalue)})."
            )
        chance = percent(self.publication_probability)
        return (
            f"Copas selection model: {self.shown} where the study with the largest standard error has a "
            f"chance of publication of {chance} and {number(self.unpublished, 1)} studies are unpublished "
            f"(residual selection bias: {p_value(self.residual_pvalue)})."
        )

    def sensitivity(self) -> pd.DataFrame:
        """Return a row per chance of publication: mean with interval, tau2, rho, test, unpublished.

        The columns: publication_probability, estimate, se, low, high, pvalue, tau2, rho, gamma0, gamma1,
        residual_pvalue, unpublished; ratios beside logarithms.
        """
        import pandas as pd

        path, reach = self.path, normal_quantile(self.level)
        table = pd.DataFrame(
            {
                "publication_probability": path.publication_probability,
                "estimate": path.estimate,
                "se": path.se,
                "low": path.estimate - reach * path.se,
                "high": path.estimate + reach * path.se,
                "pvalue": path.pvalue,
                "tau2": path.tau2,
                "rho": path.rho,
                "gamma0": path.gamma0,
                "gamma1": path.gamma1,
                "residual_pvalue": path.residual_pvalue,
                "unpublished": path.unpublished,
            }
        )
        return with_ratios(table, "pvalue") if self.measure.display_log else table


class CopasPath(NamedTuple):
    """Fits along a path of falling chances of publication, arrays of one length."""

    publication_probability: Array  # of the study with the largest standard error
    gamma0: Array
    gamma1: Array
    estimate: Array
    se: Array
    pvalue: Array  # of no effect, two-sided
    tau2: Array
    rho: Array
    residual_pvalue: Array
    unpublished: Array
    starts_agreeing: NDArray[np.int64]


def copas_selection(
    results: object, *, residual_level: float = 0.1, level: float | None = None
) -> CopasSelection:
    r"""Return the mean if small studies were published only with a given chance: the Copas selection model.

    Use it as a sensitivity analysis: how the mean changes the fewer small studies are taken to be published,
    and from where on the asymmetry of the funnel is explained.

    A study with the standard error :math:`s_i` is published if

    .. math:: \gamma_0 + \gamma_1 / s_i + \delta_i > 0,

    with :math:`\delta_i` standard normal and, with the correlation :math:`\rho`, the larger the larger the
    sampling error of its effect. The data say little of :math:`\gamma_0` and :math:`\gamma_1`, so they are
    given: for each pair mean, :math:`\tau` and :math:`\rho` are those of the highest likelihood of published
    effects, in which the variance before selection is :math:`s_i^2 / (1 - c_i^2 \rho^2)` (Copas and Shi). The
    table follows the line on which the mean changes fastest, orthogonal to its contours over a grid of both,
    from no selection on. The test of residual selection bias compares the likelihood with that of a
    regression of effects on standard errors without selection. The adjusted estimate is the first of the
    table at which that test is no longer significant.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects.
    residual_level : float
        Level of the test of residual selection bias.
    level : float, optional
        Confidence level; default that of the fit, or 0.95.

    Returns
    -------
    CopasSelection
        The adjusted estimate, missing where the test stays significant along the whole table, and the table
        (`sensitivity`). Standard errors are those of the observed information; they hold :math:`\rho` where
        it is at the end of its range.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than three effects.
    NotIdentifiableError
        If all standard errors are equal.
    InputError
        If a sampling variance is zero, the fit has moderators, or a level is no fraction.

    References
    ----------
    Copas, J., Shi, J. Q. (2000). https://doi.org/10.1093/biostatistics/1.3.247

    Copas, J. B., Shi, J. Q. (2001). https://doi.org/10.1177/096228020101000402

    Carpenter, J. R., Schwarzer, G., Ruecker, G., Kuenstler, R. (2009).
    https://doi.org/10.1016/j.jclinepi.2008.12.002

    Examples
    --------
    >>> import metaexo as mx
    >>> se = [0.45, 0.4, 0.33, 0.3, 0.27, 0.22, 0.2, 0.17, 0.15, 0.12, 0.1, 0.08]
    >>> y = [0.9, 0.75, 0.7, 0.55, 0.6, 0.35, 0.4, 0.2, 0.3, 0.1, 0.15, 0.05]
    >>> found = mx.bias.copas_selection(mx.EffectSizes(y, se=se))
    >>> found.estimate < found.unadjusted
    True
    """
    est = estimates_of(results, "copas_selection", least=3, level=level)
    check_level(residual_level, "residual_level")
    if est.se.max() - est.se.min() <= SAME * est.se.max():
        raise NotIdentifiableError(
            "all standard errors are equal",
            "studies of different size, of which small ones may be unpublished",
            "look at selection_model or p_uniform_star, which select by p-values",
        )
    path, agreeing = _path(est)
    explained = np.flatnonzero(path.residual_pvalue > residual_level)
    said = est.cautions()
    if not explained.size:
        chosen = dict.fromkeys((*_OF_PATH, "estimate", "se", "pvalue", "tau2"), np.nan)
        said += ("residual selection bias stays significant along the whole table",)
    else:
        at = int(explained[0])
        chosen = {
            name: float(getattr(path, name)[at]) for name in (*_OF_PATH, "estimate", "se", "pvalue", "tau2")
        }
        if abs(chosen["rho"]) >= LARGEST_RHO:
            said += ("the correlation of effects and selection is at the end of its range",)
    if (path.starts_agreeing < agreeing).any():
        said += ("for some chances of publication a single start reached the highest likelihood",)
    reach = normal_quantile(est.level) * chosen["se"]
    return CopasSelection(
        effects=est.effects,
        said=said,
        low=chosen["estimate"] - reach,
        high=chosen["estimate"] + reach,
        level=est.level,
        residual_level=float(residual_level),
        unadjusted=float(path.estimate[0]),
        path=path,
        **chosen,  # type: ignore[arg-type]  # floats all of them
    )


def _path(est: Estimates) -> tuple[CopasPath, int]:
    """Return the fits along the path, and how many starts of each should agree."""
    y, v, se = est.y, est.v, est.se
    gamma0, gamma1 = _line(y, v)
    fits = fit_copas(y, v, gamma0, gamma1)
    plain = float(maximum_likelihood(make_batch(y, v)).tau2[0])
    w = 1 / (v + plain)
    mean = float((w * y).sum() / w.sum())
    columns = np.column_stack([np.ones(est.k), se / se.max()])
    batch = make_batch(y, v, columns)
    tau2 = float(maximum_likelihood(batch).tau2[0])
    slope = _normal_log_likelihood(y, v, columns, tau2)
    reached = np.array([_normal_log_likelihood(y, v, columns[:, :1], plain), *fits.log_likelihood])
    estimate, spread = np.array([mean, *fits.estimate]), np.array([w.sum() ** -0.5, *fits.se])
    unlikely = special.ndtr(-(gamma0[:, None] + gamma1[:, None] / se))
    path = CopasPath(
        np.array(CHANCES),
        np.array([np.inf, *gamma0]),
        np.array([np.nan, *gamma1]),
        estimate,
        spread,
        normal_two_sided((estimate - est.null) / spread),
        np.array([plain, *fits.tau**2]),
        np.array([np.nan, *fits.rho]),
        chi2_tail(2 * (slope - reached), 1),
        np.array([0.0, *(unlikely / (1 - unlikely)).sum(axis=1)]),
        np.array([fits.starts, *fits.starts_agreeing]),
    )
    return path, 2


def _line(y: Array, v: Array) -> tuple[Array, Array]:
    """Return gamma0 and gamma1 along the path, one per chance of publication below 1.

    The grid: from the smallest study to the largest the chance of publication rises by up to STEEP probits,
    and that of the smallest is LIKELY to UNLIKELY. Both axes are scaled to the grid; a plane through the
    means over it has the direction in which they change fastest.
    """
    small, large = 1 / np.sqrt(v.max()), 1 / np.sqrt(v.min())
    steep = STEEP / (large - small)
    corner = LIKELY - steep * small
    x, z = (axis.ravel() for axis in np.meshgrid(*2 * [np.linspace(0, 1, CELLS)]))
    means = fit_copas(y, v, corner - (LIKELY - UNLIKELY) * (1 - x), steep * z).estimate
    plane = np.linalg.lstsq(np.column_stack([np.ones(x.size), x, z]), means, rcond=None)[0][1:]
    down = np.array([LIKELY - UNLIKELY, steep * small])  # of the probit, per unit of the axes
    size = float(np.abs(plane).max())
    way = plane / size if size > 0 else np.array([1.0, 0.0])
    fall = float(down @ way)
    if abs(fall) < FLAT * down[0]:  # along the contours of the chance itself: no path
        way, fall = np.array([1.0, 0.0]), float(down[0])
    probits = special.ndtri(np.array(CHANCES[1:]))
    moved = (LIKELY - probits) / fall
    gamma1 = np.maximum(steep * (1 - moved * way[1]), 0.0)
    return probits - gamma1 * small, gamma1


def _normal_log_likelihood(y: Array, v: Array, x: Array, tau2: float) -> float:
    """Return the log-likelihood of a regression without selection, at its best coefficients."""
    sd = np.sqrt(v + tau2)
    beta = np.linalg.lstsq(x / sd[:, None], y / sd, rcond=None)[0]
    left = (y - x @ beta) / sd
    return float(-np.log(sd).sum() - 0.5 * left @ left - 0.5 * y.size * np.log(2 * np.pi))


class CopasFit(NamedTuple):
    """Maximum-likelihood fits of the Copas model, one per pair of gamma0 and gamma1."""

    estimate: Array  # (B,): the mean
    se: Array  # (B,): its standard error, by the observed information
    rho: Array  # (B,): correlation of effects and selection
    tau: Array  # (B,): between-study SD
    log_likelihood: Array  # (B,)
    starts_agreeing: NDArray[np.int64]  # (B,): starts that ended at the highest likelihood, of `starts`
    starts: int


def fit_copas(y: Array, v: Array, gamma0: Array, gamma1: Array) -> CopasFit:
    """Fit the Copas model by maximum likelihood for each pair of gamma0 and gamma1, shape (B,).

    Every pair is climbed from several starts by Newton's method, all at once, and once more from where its
    neighbours ended.
    """
    unit = float(np.sqrt(np.median(v)))
    plain = maximum_likelihood(make_batch(y, v))
    tau = float(np.sqrt(plain.tau2[0])) / unit
    centre, fixed_effect = (float(np.average(y, weights=1 / (v + t))) for t in (plain.tau2[0], 0.0))
    model = _Copas((y - centre) / unit, v / unit**2)
    means = (0.0, (fixed_effect - centre) / unit)
    starts = np.array([[m, r, t] for m in means for r in (-0.8, 0.0, 0.8) for t in (0.05, tau + 0.2)])
    u = gamma0[:, None] + gamma1[:, None] / np.sqrt(v)
    x, value = _climb(model, np.repeat(u, len(starts), axis=0), np.tile(starts, (gamma0.size, 1)))
    x, value = x.reshape(gamma0.size, -1, 3), value.reshape(gamma0.size, -1)
    rows = np.arange(gamma0.size)
    ended = x[rows, value.argmax(axis=1)]
    near = np.stack([np.roll(ended, 1, axis=0), np.roll(ended, -1, axis=0)], axis=1).reshape(-1, 3)
    again, reached = _climb(model, np.repeat(u, 2, axis=0), near)
    x = np.concatenate([x, again.reshape(gamma0.size, 2, 3)], axis=1)
    value = np.concatenate([value, reached.reshape(gamma0.size, 2)], axis=1)
    best = value.argmax(axis=1)
    top, found = value[rows, best], x[rows, best]
    information = -model.curvature(found, u)
    fixed = np.abs(found[:, 1]) >= LARGEST_RHO
    information[fixed, 1, :] = information[fixed, :, 1] = 0.0
    information[fixed, 1, 1] = 1.0
    at_zero = np.abs(found[:, 2]) < 1e-6
    information[at_zero, 2, :] = information[at_zero, :, 2] = 0.0
    information[at_zero, 2, 2] = 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.array([_first_of_inverse(part) for part in information])
    return CopasFit(
        centre + unit * found[:, 0],
        unit * np.sqrt(variance),
        found[:, 1],
        unit * np.abs(found[:, 2]),
        top - 0.5 * y.size * np.log(2 * np.pi) - y.size * np.log(unit),
        (value >= top[:, None] - 1e-6).sum(axis=1),
        value.shape[1],
    )


def _first_of_inverse(information: Array) -> float:
    """Return the first entry of the inverse of an information matrix; NaN if it is not positive."""
    rest = information[1:, 1:]
    if not np.linalg.det(rest) > 0:
        return np.nan
    left = float(information[0, 0] - information[0, 1:] @ np.linalg.solve(rest, information[1:, 0]))
    return 1 / left if left > 0 else np.nan


@dataclass(frozen=True, eq=False)
class _Copas:
    """The likelihood: y given selection, with s2 the variances that were reported of selected studies."""

    y: Array
    s2: Array

    def value(self, x: Array, u: Array) -> tuple[Array, Array]:
        """Return log-likelihoods, shape (N,), and their gradients, shape (N, 3), in mean, rho and tau.

        `u`, shape (N, k): probits of publication.
        """
        mu, rho, tau = x[:, :1], x[:, 1:2], x[:, 2:]
        ratio = mean_excess(-u) - u  # phi(u) / Phi(u)
        shrink = np.clip(ratio * (u + ratio), 0.0, 1.0)
        kept = 1 - shrink * rho**2
        sigma2 = self.s2 / kept
        sigma = np.sqrt(sigma2)
        w, d, g = tau**2 + sigma2, self.y - mu, rho * sigma
        rest = w - g**2
        root = np.sqrt(w * rest)
        v = (u * w + g * d) / root
        hazard = mean_excess(-v) - v
        value = -0.5 * np.log(w) - 0.5 * d**2 / w - special.log_ndtr(u) + special.log_ndtr(v)
        by_w = -0.5 / w + 0.5 * d**2 / w**2 + hazard * (u / root - 0.5 * v * (1 / w + 1 / rest))
        by_g = hazard * (d / root + v * g / rest)
        w_by_rho = 2 * shrink * rho * sigma2 / kept
        g_by_rho = sigma + 0.5 * rho * w_by_rho / sigma
        gradient = np.stack(
            [
                (d / w - hazard * g / root).sum(axis=1),
                (by_w * w_by_rho + by_g * g_by_rho).sum(axis=1),
                (by_w * 2 * tau).sum(axis=1),
            ],
            axis=1,
        )
        return value.sum(axis=1), gradient

    def curvature(self, x: Array, u: Array) -> Array:
        """Return second derivatives, shape (N, 3, 3), by differences of the gradient."""
        columns = []
        for j in range(3):
            step = np.zeros(3)
            step[j] = 1e-5
            up, down = x + step, x - step
            up[:, 1], down[:, 1] = np.minimum(up[:, 1], LARGEST_RHO), np.maximum(down[:, 1], -LARGEST_RHO)
            width = (up - down)[:, j, None]
            columns.append((self.value(up, u)[1] - self.value(down, u)[1]) / width)
        found = np.stack(columns, axis=2)
        return 0.5 * (found + found.transpose(0, 2, 1))


def _climb(model: _Copas, u: Array, x: Array) -> tuple[Array, Array]:
    """Climb from N starts at once; rho stays within its bounds, where it may end."""
    x = x.copy()
    value, gradient = model.value(x, u)
    still = np.arange(len(x))
    for _ in range(ITERATIONS):
        here, slope = x[still], gradient[still].copy()
        curvature = model.curvature(here, u[still])
        held = (np.abs(here[:, 1]) >= LARGEST_RHO) & (slope[:, 1] * here[:, 1] > 0)
        slope[held, 1] = 0.0
        curvature[held, 1, :] = curvature[held, :, 1] = 0.0
        curvature[held, 1, 1] = -1.0
        sizes, vectors = np.linalg.eigh(-curvature)
        sizes = np.maximum(np.abs(sizes), 1e-6)
        along = np.einsum("nji,nj->ni", vectors, slope)
        step = np.einsum("nij,nj->ni", vectors, along / sizes)
        promise = 0.5 * (along**2 / sizes).sum(axis=1)
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1), 1e-300))[:, None]
        risen = np.zeros(still.size, dtype=bool)
        for _ in range(HALVINGS):
            open_ = np.flatnonzero(~risen & (promise > PROMISE))
            if not open_.size:
                break
            trial = here[open_] + step[open_]
            trial[:, 1] = np.clip(trial[:, 1], -LARGEST_RHO, LARGEST_RHO)
            found, way = model.value(trial, u[still[open_]])
            better = found > value[still[open_]]
            at = still[open_[better]]
            x[at], value[at], gradient[at] = trial[better], found[better], way[better]
            risen[open_[better]] = True
            step[open_[~better]] *= 0.5
        still = still[risen]
        if not still.size:
            break
    return x, value
