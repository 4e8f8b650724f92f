"""How much each study moves a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError
from metaexo.immutable import Immutable
from metaexo.inputs import check_flag
from metaexo.models.multilevel.prediction import ClusterInfluence
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.tails import chi2_median
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Influence(Immutable):
    """Influence of each effect on a fit; NaN where the fit without it is not possible.

    Attributes
    ----------
    labels : tuple of str
        Rows.
    names : tuple of str
        Coefficients.
    rstudent : ndarray, shape (k,)
        Studentised deleted residuals.
    dffits : ndarray, shape (k,)
        Change of the fitted value in units of its standard error.
    cooks_distance : ndarray, shape (k,)
        Change of all coefficients in units of their covariance; not divided by p.
    covariance_ratio : ndarray, shape (k,)
        Determinant of the covariance without the effect over that with it; below 1: precision is lost by it.
    tau2, q : ndarray, shape (k,)
        Between-study variance and Cochran's Q without the effect.
    hat, weights : ndarray, shape (k,)
        Leverage, and share of the weights.
    dfbetas : ndarray, shape (k, p)
        Change of each coefficient in units of its standard error.
    influential : ndarray of bool, shape (k,)
        Whether a measure passes its usual bound, or the fit without the effect is not possible. Bounds:
        abs(dffits) > 3 sqrt(p / (k - p)), Cook's distance above the median of chi-square with p degrees of
        freedom, hat > 3 p / k, or some abs(dfbetas) > 1.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    rstudent: Array
    dffits: Array
    cooks_distance: Array
    covariance_ratio: Array
    tau2: Array
    q: Array
    hat: Array
    weights: Array
    dfbetas: Array
    influential: NDArray[np.bool_]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per effect and one column per measure."""
        import pandas as pd

        columns = ("rstudent", "dffits", "cooks_distance", "covariance_ratio", "tau2", "q", "hat", "weights")
        frame = pd.DataFrame({name: getattr(self, name) for name in columns}, index=list(self.labels))
        for name, values in zip(self.names, self.dfbetas.T, strict=True):
            frame[f"dfbetas {name}"] = values
        frame["influential"] = self.influential
        return frame


def influence(
    fit: RandomEffectsResults | MultilevelResults,
    cluster: str | Sequence[object] | ArrayLike | None = None,
    refit: bool = True,
) -> Influence | ClusterInfluence:
    r"""Return measures of the influence of each effect, or of each cluster on a multilevel fit.

    Use it to see whether single studies make the result. The fits without one effect at a time are made in
    one batched call, each with its own between-study variance.

    With b and b_i the coefficients with and without effect i, C and C_i their covariances, s_i the
    Knapp-Hartung scale without it (1 for other tests) and :math:`W_i` the weights
    :math:`1 / (v + \tau^2_i)`,

    .. math::

        \mathrm{DFFITS}_i = \frac{x_i'(b - b_i)}{\sqrt{s_i h_i (v_i + \tau^2_i)}}, \quad
        D_i = (b - b_i)' C^{-1} (b - b_i), \quad
        \mathrm{DFBETAS}_{ij} = \frac{b_j - b_{ij}}{\sqrt{s_i [(X'W_iX)^{-1}]_{jj}}}.

    From a multilevel fit a cluster is left out at a time, by default a study; see
    :meth:`metaexo.models.MultilevelResults.influence`.

    Parameters
    ----------
    fit : RandomEffectsResults or MultilevelResults
        The fit.
    cluster : str or sequence, length k, optional
        Of a multilevel fit: what is left out at a time; "effect" for single effects. Default: studies.
    refit : bool
        Of a multilevel fit: whether the components are estimated anew without each cluster.

    Returns
    -------
    Influence or ClusterInfluence
        The measures, with `to_frame()`.

    Raises
    ------
    InputError
        If the fit is of another model, its test has no deleted version, or clusters are named for a fit of
        one level.

    References
    ----------
    Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis. Research
    Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11

    Examples
    --------
    >>> import metaexo as mx
    >>> from metaexo.sensitivity import influence
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02])
    >>> influence(mx.RandomEffects(es).fit()).influential.tolist()
    [False, False, False, False, True]
    """
    if isinstance(fit, MultilevelResults):
        return fit.influence(cluster, refit)
    if not isinstance(fit, RandomEffectsResults):
        raise InputError(
            f"the fit is of type {type(fit).__name__}",
            "a fit of RandomEffects or Multilevel",
            "mx.RandomEffects(es).fit()",
        )
    if cluster is not None or not check_flag("refit", refit):
        raise InputError(
            "cluster or refit=False was given for a fit of one level, which leaves out an effect at a time",
            "a multilevel fit",
            "fit the effects with mx.Multilevel, or leave cluster and refit out",
        )
    return _of_effects(fit)


def _of_effects(fit: RandomEffectsResults) -> Influence:
    """Return the influence of each effect."""
    without, x = fit.deletion, fit.design.matrix(fit.k)
    k, p = fit.k, fit.design.p
    change = fit.beta - without.beta
    hat = fit.hat_values
    of_effect = without.scale * (fit.effects.v + without.tau2)
    spread = np.sqrt(without.scale[:, None] * _coefficient_variances(fit, without.tau2))
    with np.errstate(divide="ignore", invalid="ignore"):
        dffits = np.vecdot(change, x) / np.sqrt(hat * of_effect)
        dfbetas = change / spread
        cooks = fit.cooks_distance
        ratio = np.linalg.det(without.cov) / np.linalg.det(fit.cov)
        bound = 3 * np.sqrt(p / max(k - p, 1))
        flags = (np.abs(dffits) > bound) | (cooks > chi2_median(p)) | (hat > 3 * p / k)
        flags |= (np.abs(dfbetas) > 1).any(axis=1) | np.isnan(without.tau2)
    return Influence(
        labels=fit.effects.row_labels,
        names=fit.design.names,
        rstudent=fit.residuals("studentized")["z"].to_numpy(),
        dffits=dffits,
        cooks_distance=cooks,
        covariance_ratio=ratio,
        tau2=without.tau2,
        q=without.q,
        hat=hat,
        weights=fit.weights,
        dfbetas=dfbetas,
        influential=flags,
    )


def _coefficient_variances(fit: RandomEffectsResults, tau2: Array) -> Array:
    """Return the diagonal of (X'WX)^-1 of all effects at each tau2, shape (k, p)."""
    out = np.full((fit.k, fit.design.p), np.nan)
    known = np.flatnonzero(np.isfinite(tau2))
    x = fit.design.matrix(fit.k)
    for i in known:
        out[i] = np.diagonal(np.linalg.inv((x.T / (fit.effects.v + tau2[i])) @ x))
    return out
