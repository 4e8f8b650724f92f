"""The Copas selection model: the mean if small studies were published only with a given chance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metaexo.bias.estimates import Estimates, estimates_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.bias.significant import mean_excess
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import NotIdentifiableError
from metaexo.formatting import number, p_value, percent, plural
from metaexo.inputs import check_level
from metaexo.numeric.likelihood_maximum import maximum_likelihood
from metaexo.numeric.problem import make_batch
from metaexo.numeric.roots import bracketed_newton, of_arrays
from metaexo.numeric.tails import chi2_tail, normal_quantile, normal_two_sided
from metaexo.readable import with_ratios
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

LARGEST_RHO = 0.9999
ITERATIONS, HALVINGS = 60, 40
PROMISE = 1e-13  # rise of the log-likelihood below which a climb has ended
SAME = 1e-6  # standard errors that differ by less, as a share of the largest, count as equal
FLAT = 0.1
DOUBLINGS = 40
HARDLY = 1.05  # largest over smallest standard error below which selection by them is not determined
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
        if self.effects.v.max() < HARDLY**2 * self.effects.v.min():
            return "Copas selection model: standard errors that hardly differ determine no adjusted estimate."
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

    @cached_property
    def _intervals(self) -> _Profile:
        """Intervals and p-values along the path: by the profile likelihood where rho is at its bound."""
        return _intervals_of(self.effects, self.path, self.level, np.arange(self.path.estimate.size))

    def sensitivity(self) -> pd.DataFrame:
        """Return a row per chance of publication: mean with interval, tau2, rho, test, unpublished.

        Intervals and p-values are by the standard error, and by the profile likelihood where rho is at the
        end of its range: there the standard error, which holds rho, is too small.

        The columns: publication_probability, estimate, se, low, high, pvalue, tau2, rho, gamma0, gamma1,
        residual_pvalue, unpublished; ratios beside logarithms.
        """
        import pandas as pd

        path, mean = self.path, self._intervals
        table = pd.DataFrame(
            {
                "publication_probability": path.publication_probability,
                "estimate": path.estimate,
                "se": path.se,
                "low": mean.low,
                "high": mean.high,
                "pvalue": mean.pvalue,
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
    se: Array  # holding rho where it is at the end of its range
    pvalue: Array  # of no effect, two-sided, by that standard error
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
        it is at the end of its range, and are too small there: intervals and p-values are those of the
        profile likelihood then.

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

    Carpenter, J. R., Schwarzer, G., Rücker, G., Künstler, R. (2009).
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
    usable = bool(explained.size)
    chosen = dict.fromkeys((*_OF_PATH, "estimate", "se", "low", "high", "pvalue", "tau2"), np.nan)
    at = int(explained[0]) if usable else -1
    if usable:
        chosen |= {name: float(getattr(path, name)[at]) for name in (*_OF_PATH, "estimate", "se", "tau2")}
        mean = _intervals_of(est.effects, path, est.level, np.array([at]))
        chosen |= {name: float(getattr(mean, name)[0]) for name in ("low", "high", "pvalue")}
    else:
        said += ("residual selection bias stays significant along the whole table",)
    if est.se.max() < HARDLY * est.se.min():
        usable = False
        said += (
            "what selection by standard errors would do is not determined by standard errors that hardly "
            "differ, but by the form of the model alone: do not use the table",
        )
    far = est.far_outside(chosen["estimate"])
    return CopasSelection(
        effects=est.effects,
        said=(*said, *_rho_words(path, at), *far, *_start_words(path, agreeing)),
        usable=usable and not far,
        is_adjusted=chosen["publication_probability"] != 1,
        level=est.level,
        residual_level=float(residual_level),
        unadjusted=float(path.estimate[0]),
        path=path,
        **chosen,
    )


def _rho_words(path: CopasPath, chosen: int) -> tuple[str, ...]:
    """Return a caution where the correlation ends at its bound; `chosen`: the adjusted row, or -1."""
    at_end = np.abs(path.rho) >= LARGEST_RHO
    if not at_end.any():
        return ()
    among = ", that of the adjusted estimate among them" if chosen >= 0 and at_end[chosen] else ""
    return (
        f"the correlation of effects and selection is at the end of its range for {at_end.sum()} of "
        f"{plural(at_end.size, 'chance')} of publication{among}; intervals there are those of the profile "
        "likelihood, as standard errors, which hold the correlation, are too small",
    )


def _start_words(path: CopasPath, agreeing: int) -> tuple[str, ...]:
    """Return a caution where the highest likelihood was found from one start alone."""
    if (path.starts_agreeing >= agreeing).all():
        return ()
    return ("for some chances of publication a single start reached the highest likelihood",)


def _intervals_of(effects: EffectSizes, path: CopasPath, level: float, which: Index) -> _Profile:
    """Return intervals of the mean for rows of the path, and two-sided p-values of no effect."""
    half = normal_quantile(level) * path.se[which]
    found = _Profile(path.estimate[which] - half, path.estimate[which] + half, path.pvalue[which].copy())
    at_end = np.flatnonzero(np.abs(path.rho[which]) >= LARGEST_RHO)
    if at_end.size:
        null = effects.measure.null
        null = 0.0 if np.isnan(null) else float(null)
        profile = _profile(effects.y, effects.v, path, which[at_end], level, null)
        for mine, better in zip(found, profile, strict=True):
            mine[at_end] = better
    return found


def _path(est: Estimates) -> tuple[CopasPath, int]:
    """Return the fits along the path, and how many starts of each should agree."""
    y, v, se = est.y, est.v, est.se
    gamma0, gamma1 = _line(y, v)
    fits = fit_copas(y, v, gamma0, gamma1)
    plain = float(maximum_likelihood(make_batch(y, v)).tau2[0])
    w = 1 / (v + plain)
    mean = float((w * y).sum() / w.sum())
    sizes = se - se.mean()
    columns = np.column_stack([np.ones(est.k), sizes / np.abs(sizes).max()])
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
    model, centre, unit, starts = _standard(y, v, gamma0, gamma1)
    rows = np.arange(gamma0.size)
    x, value = _climb(model, np.tile(starts, (gamma0.size, 1)), np.repeat(rows, len(starts)))
    x, value = x.reshape(gamma0.size, -1, 3), value.reshape(gamma0.size, -1)
    ended = x[rows, value.argmax(axis=1)]
    near = np.stack([np.roll(ended, 1, axis=0), np.roll(ended, -1, axis=0)], axis=1).reshape(-1, 3)
    again, reached = _climb(model, near, np.repeat(rows, 2))
    x = np.concatenate([x, again.reshape(gamma0.size, 2, 3)], axis=1)
    value = np.concatenate([value, reached.reshape(gamma0.size, 2)], axis=1)
    best = value.argmax(axis=1)
    top, found = value[rows, best], x[rows, best]
    information = -model.slopes(found, rows)[1]
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


def _standard(y: Array, v: Array, gamma0: Array, gamma1: Array) -> tuple[_Copas, float, float, Array]:
    """Return the likelihood in standard units, their centre and unit, and starts of mean, rho and tau."""
    unit = float(np.sqrt(np.median(v)))
    plain = maximum_likelihood(make_batch(y, v))
    tau = float(np.sqrt(plain.tau2[0])) / unit
    centre, fixed_effect = (float(np.average(y, weights=1 / (v + t))) for t in (plain.tau2[0], 0.0))
    means = (0.0, (fixed_effect - centre) / unit)
    starts = np.array([[m, r, t] for m in means for r in (-0.8, 0.0, 0.8) for t in (0.05, tau + 0.2)])
    u = gamma0[:, None] + gamma1[:, None] / np.sqrt(v)
    return _Copas((y - centre) / unit, v / unit**2, u), centre, unit, starts


class _Profile(NamedTuple):
    """Intervals and two-sided p-values of no effect by the profile likelihood of the mean."""

    low: Array
    high: Array
    pvalue: Array


def _profile(y: Array, v: Array, path: CopasPath, which: Index, level: float, null: float) -> _Profile:
    """Return profile intervals of the mean for rows of the path, all ends found together."""
    model, centre, unit, starts = _standard(y, v, path.gamma0[which], path.gamma1[which])
    middle = (path.estimate[which] - centre) / unit
    best = np.column_stack([middle, path.rho[which], np.sqrt(path.tau2[which]) / unit])
    rows, target = np.arange(which.size), normal_quantile(level)
    top = model.value(best, rows)

    def root(mean: Array, at: Index) -> tuple[Array, Array]:
        """Return the root of twice the fall of the profile likelihood, and its slope."""
        tries = np.concatenate([np.tile(starts[:6], (at.size, 1, 1)), best[at][:, None]], axis=1)
        tries[:, :, 0] = mean[:, None]
        x, value = _climb(model, tries.reshape(-1, 3), np.repeat(at, tries.shape[1]), mean_held=True)
        highest = value.reshape(at.size, -1).argmax(axis=1)
        x = x.reshape(tries.shape)[np.arange(at.size), highest]
        fall = np.sqrt(np.maximum(2 * (top[at] - model.value(x, at)), 0.0))
        return fall, -model.slopes(x, at)[0][:, 0] / np.maximum(fall, 1e-12)

    at, way = np.repeat(rows, 2), np.tile([-1.0, 1.0], rows.size)
    reach = np.ones(at.size)
    open_ = np.arange(at.size)
    for _ in range(DOUBLINGS):
        short = root(middle[at[open_]] + way[open_] * reach[open_], at[open_])[0] < target
        open_ = open_[short]
        if not open_.size:
            break
        reach[open_] *= 2
    closed = np.setdiff1d(np.arange(at.size), open_)

    def left(t: Array, part: Index) -> tuple[Array, Array]:
        part = closed[part]
        fall, slope = root(middle[at[part]] + way[part] * t, at[part])
        slope = slope * way[part]
        return target - fall, (target - fall) / np.where(slope > 0, slope, np.nan)

    reach[open_] = np.inf
    most = reach[closed]
    ends = bracketed_newton(
        of_arrays(left), np.where(most > 1, most / 2, 0.0), most, 0.75 * most, np.full(most.size, 1e-6)
    )
    reach[closed] = ends.root
    low, high = (centre + unit * (middle[at] + way * reach)).reshape(-1, 2).T
    fall = root(np.full(rows.size, (null - centre) / unit), rows)[0]
    return _Profile(low, high, chi2_tail(fall**2, 1))


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
    u: Array  # (N, k): probits of publication, a row per pair of gamma0 and gamma1

    @cached_property
    def shrink(self) -> Array:
        """Share of the variance that selection takes where rho is 1, shape (N, k)."""
        ratio = mean_excess(-self.u) - self.u  # phi(u) / Phi(u)
        return np.clip(ratio * (self.u + ratio), 0.0, 1.0)

    @cached_property
    def log_chance(self) -> Array:
        """Logarithm of the chance of publication, shape (N, k)."""
        return np.asarray(special.log_ndtr(self.u))

    def _terms(self, x: Array, at: Index) -> tuple[Array, ...]:
        """Return shrink, kept, sigma2, w, d, g, the square q of the root, and v."""
        mu, rho, tau = x[:, :1], x[:, 1:2], x[:, 2:]
        shrink = self.shrink[at]
        kept = 1 - shrink * rho**2
        sigma2 = self.s2 / kept
        w, d, g = tau**2 + sigma2, self.y - mu, rho * np.sqrt(sigma2)
        q = w * (w - g**2)
        return shrink, kept, sigma2, w, d, g, q, (self.u[at] * w + g * d) / np.sqrt(q)

    def value(self, x: Array, at: Index) -> Array:
        """Return log-likelihoods, shape (B,), of rows of mean, rho and tau; `at`: their rows of `u`."""
        *_, w, d, _, _, v = self._terms(x, at)
        each = -0.5 * np.log(w) - 0.5 * d**2 / w - self.log_chance[at] + special.log_ndtr(v)
        return np.asarray(each.sum(axis=1))

    def slopes(self, x: Array, at: Index) -> tuple[Array, Array]:
        """Return gradients, shape (B, 3), and second derivatives, shape (B, 3, 3).

        First by d = y - mu, w, the whole variance, and g, the covariance with selection; then by the
        parameters, of which both are functions.
        """
        rho, tau = x[:, 1:2], x[:, 2:]
        shrink, kept, sigma2, w, d, g, q, v = self._terms(x, at)
        root = np.sqrt(q)
        hazard = mean_excess(-v) - v
        bend = -hazard * (v + hazard)
        q_w, q_g = (2 * w - g**2) / q, -2 * w * g / q  # relative, as those below
        v_d, v_w, v_g = g / root, self.u[at] / root - 0.5 * v * q_w, d / root - 0.5 * v * q_g
        d_w = -0.5 * v_d * q_w
        d_g = 1 / root - 0.5 * v_d * q_g
        w_w = -0.5 * (v_w + self.u[at] / root) * q_w + 0.5 * v * q_w**2 - v / q
        w_g = -0.5 * (self.u[at] / root * q_g + v_g * q_w) - 0.5 * v * (-2 * g / q) + 0.5 * v * q_w * q_g
        g_g = -0.5 * (d / root + v_g) * q_g - 0.5 * v * (-2 * w / q) + 0.5 * v * q_g**2
        by_d = -d / w + hazard * v_d
        by_w = 0.5 * (d**2 / w - 1) / w + hazard * v_w
        by_g = hazard * v_g
        dd = -1 / w + bend * v_d**2
        dw = d / w**2 + bend * v_d * v_w + hazard * d_w
        dg = bend * v_d * v_g + hazard * d_g
        ww = (0.5 - d**2 / w) / w**2 + bend * v_w**2 + hazard * w_w
        wg = bend * v_w * v_g + hazard * w_g
        gg = bend * v_g**2 + hazard * g_g
        sigma, share = np.sqrt(sigma2), shrink / kept
        w_r, s_r = 2 * share * rho * sigma2, share * rho * sigma
        w_rr = 2 * share * sigma2 * (1 + 4 * share * rho**2)
        s_rr = share * sigma * (1 + 3 * share * rho**2)
        g_r, g_rr, w_t = sigma + rho * s_r, 2 * s_r + rho * s_rr, 2 * tau
        gradient = np.stack([-by_d, by_w * w_r + by_g * g_r, by_w * w_t], axis=1).sum(axis=2)
        of_rho = ww * w_r**2 + 2 * wg * w_r * g_r + gg * g_r**2 + by_w * w_rr + by_g * g_rr
        mixed = (-(dw * w_r + dg * g_r), -dw * w_t, (ww * w_r + wg * g_r) * w_t)
        mu_rho, mu_tau, rho_tau = (part.sum(axis=1) for part in mixed)
        of_mu, of_rho, of_tau = (part.sum(axis=1) for part in (dd, of_rho, ww * w_t**2 + 2 * by_w))
        rows = [[of_mu, mu_rho, mu_tau], [mu_rho, of_rho, rho_tau], [mu_tau, rho_tau, of_tau]]
        return gradient, np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def _climb(model: _Copas, x: Array, at: Index, mean_held: bool = False) -> tuple[Array, Array]:
    """Climb from B starts at once; rho stays within its bounds, where it may end.

    `mean_held`: whether the means stay as they are.
    """
    x = x.copy()
    value = model.value(x, at)
    still = np.arange(len(x))
    for _ in range(ITERATIONS):
        here = x[still]
        slope, curvature = model.slopes(here, at[still])
        held = (np.abs(here[:, 1]) >= LARGEST_RHO) & (slope[:, 1] * here[:, 1] > 0)
        for j, rows in ((1, held), (0, np.full(still.size, mean_held))):
            slope[rows, j] = 0.0
            curvature[rows, j, :] = curvature[rows, :, j] = 0.0
            curvature[rows, j, j] = -1.0
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
            found = model.value(trial, at[still[open_]])
            better = found > value[still[open_]]
            rows = still[open_[better]]
            x[rows], value[rows] = trial[better], found[better]
            risen[open_[better]] = True
            step[open_[~better]] *= 0.5
        still = still[risen]
        if not still.size:
            break
    return x, value
