"""The profile likelihood of the between-study variance on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import InputError
from metaexo.inputs import read_numbers
from metaexo.models.linear.hypothesis import quantiles
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.models.univariate.inference import scale_of_test
from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.likelihood_maximum import maximum_likelihood, restricted_maximum_likelihood
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.weighted import refuse_special_tests
from metaexo.readable import Readable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

GRID_POINTS = 41


@dataclass(frozen=True, eq=False, repr=False)
class Tau2Profile(Readable):
    """The log-likelihood, and the coefficients, at given values of tau2.

    Attributes
    ----------
    tau2 : ndarray, shape (g,)
        The values.
    llf : ndarray, shape (g,)
        (Restricted) log-likelihood with the coefficients at their best for each tau2.
    names : tuple of str
        Coefficients.
    params, low, high : ndarray, shape (g, p)
        Coefficients at each tau2, with their intervals there.
    maximum : float
        The highest log-likelihood over all tau2.
    maximum_at : float
        The tau2 of the highest log-likelihood.
    restricted : bool
        Whether it is the restricted likelihood.
    level : float
        Level of the intervals.
    """

    tau2: Array
    llf: Array
    names: tuple[str, ...]
    params: Array
    low: Array
    high: Array
    maximum: float
    maximum_at: float
    restricted: bool
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row per tau2: tau2, llf, below (distance to the maximum), then each coefficient."""
        import pandas as pd

        frame = pd.DataFrame({"tau2": self.tau2, "llf": self.llf, "below": self.maximum - self.llf})
        for j, name in enumerate(self.names):
            frame[name] = self.params[:, j]
            frame[f"{name} low"], frame[f"{name} high"] = self.low[:, j], self.high[:, j]
        return frame


def profile_tau2(
    fit: UnivariateFit, grid: ArrayLike | None = None, level: float | None = None
) -> Tau2Profile:
    """Return the profile of a fit; see `RandomEffectsResults.profile`."""
    refuse_special_tests(fit, "the profile")
    if fit.df_residual < 1:
        raise InputError("there are no residual degrees of freedom", "more effects than coefficients")
    restricted = fit.method != "ML"
    best = (restricted_maximum_likelihood if restricted else maximum_likelihood)(fit.batch)
    top = float(best.tau2[0])
    values = _default_grid(fit, top) if grid is None else read_numbers(grid, "grid", ndim=1)
    if values.ndim != 1 or not (np.isfinite(values) & (values >= 0)).all():
        raise InputError(
            "the grid of tau2 has negative, missing or infinite values", "variances of at least 0"
        )
    if fit.has_zero_variance and (values == 0).any():
        raise InputError(
            "the grid holds tau2 = 0 and some sampling variances are zero",
            "a total variance above 0",
            "leave 0 out of the grid",
        )
    batch = fit.batch.take(np.zeros(values.size + 1, dtype=np.intp))
    at = np.append(values, top)
    llf = log_likelihood(batch, at, restricted)
    wls = weighted_fit(batch, 1.0 / (batch.v + at[:, None]))
    scale = scale_of_test(fit.test, wls.weighted_ss[:-1], fit.df_residual)
    cov = np.diagonal(wls.cov, axis1=-2, axis2=-1)[:-1] * scale[:, None]
    chosen = fit.at_level(level)
    half = quantiles(chosen, fit.df_test) * np.sqrt(cov)
    return Tau2Profile(
        tau2=values,
        llf=llf[:-1],
        names=fit.design.names,
        params=wls.beta[:-1],
        low=wls.beta[:-1] - half,
        high=wls.beta[:-1] + half,
        maximum=float(llf[-1]),
        maximum_at=top,
        restricted=restricted,
        level=chosen,
    )


def _default_grid(fit: UnivariateFit, top: float) -> Array:
    """Return values of tau2 from 0 to well beyond the estimate."""
    end = max(4 * top, fit.typical_variance)
    start = 0.0 if not fit.has_zero_variance else end / GRID_POINTS
    return np.unique(np.append(np.linspace(start, end, GRID_POINTS), top))
