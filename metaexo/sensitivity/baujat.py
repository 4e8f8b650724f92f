"""Baujat's plot as numbers: what each study contributes to heterogeneity, and how far it moves the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.models.censored.imputation import ImputedResults
from metaexo.models.linear.results import FitResults
from metaexo.readable import Readable
from metaexo.sensitivity.leave_one_out import leave_one_out
from metaexo.sensitivity.refit import checked_fit, covariance_of, quadratic_form
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

# Directions of the fitted values that vary by less than this share of the largest do not vary.
STILL = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class Baujat(Readable):
    """Contribution to heterogeneity and influence on the fitted values, an entry per study or cluster.

    Attributes
    ----------
    labels : tuple of str
        The studies or clusters.
    cluster : str
        What they are: "study", "effect", or the column that names them; empty where labels were given.
    sizes : ndarray, shape (G,)
        Number of effects of each.
    contribution : ndarray, shape (G,)
        Contribution to heterogeneity: the horizontal axis of the plot.
    influence : ndarray, shape (G,)
        Squared change of the fitted values without it, standardized: the vertical axis.
    reasons : mapping of int to str
        Position to the reason why there is no fit without it, and no influence.
    """

    labels: tuple[str, ...]
    cluster: str
    sizes: Array
    contribution: Array
    influence: Array
    reasons: Mapping[int, str]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per study or cluster: effects, contribution, influence."""
        import pandas as pd

        columns = {"effects": self.sizes.astype(int)}
        columns |= {"contribution": self.contribution, "influence": self.influence}
        return pd.DataFrame(columns, index=pd.Index(self.labels, name="left_out"))

    @property
    def sentence(self) -> str:
        """Which contributes most to heterogeneity and which moves the result most, in one sentence."""
        said: dict[str, list[str]] = {}
        for values, what in (
            (self.contribution, "contributes most to the heterogeneity"),
            (self.influence, "moves the fitted values most"),
        ):
            if np.isfinite(values).any():
                said.setdefault(self.labels[int(np.nanargmax(values))], []).append(what)
        parts = [f"{label} {' and '.join(what)}" for label, what in said.items()]
        return f"{', and '.join(parts) or 'Nothing is known of any of them'}."

    def table_notes(self) -> list[str]:
        """Return the sentence, and why some have no influence."""
        return [self.sentence, *(f"{self.labels[i]}: {words}" for i, words in self.reasons.items())]

    def __repr__(self) -> str:
        return f"Baujat({plural(len(self.labels), 'point')}: {self.sentence})"


def baujat(results: FitResults, cluster: str | Sequence[object] | ArrayLike | None = None) -> Baujat:
    r"""Return what each study contributes to heterogeneity, and how much the result changes without it.

    Use it to find the studies behind heterogeneity and to see whether they also make the result: a study that
    contributes much and moves little can be looked at calmly.

    With e the residuals of the rows g, :math:`M_g` their covariance matrix under the model (v + tau2 on the
    diagonal for independent effects), b and b_g the coefficients with and without these rows and C_g the
    covariance matrix of the latter, the two numbers are

    .. math::

        x_g = e_g' M_g^{-1} e_g, \qquad
        y_g = d_g' (X_g C_g X_g')^{-} d_g, \quad d_g = X_g (b - b_g).

    For a single effect x is the squared Pearson residual and y the squared change of its fitted value in
    units of its variance without it. Effects that are bounds have no residual and no x.

    Parameters
    ----------
    results : FitResults
        A fit of any family but multiple imputation.
    cluster : str or sequence of length k, optional
        What is left out at a time: "study", "effect", a column of the data, or a label for each effect.
        Default: single effects where each study has one, else studies.

    Returns
    -------
    Baujat
        Both numbers, an entry per study or cluster. :func:`metaexo.plots.baujat` draws them.

    Raises
    ------
    InputError
        If `results` is no fit, or has no residuals with variances.
    UnknownChoiceError
        If there is no such column.
    TooFewStudiesError
        If there is only one cluster.

    References
    ----------
    Baujat, B., Mahé, C., Pignon, J.-P., Hill, C. (2002). A graphical method for exploring heterogeneity in
    meta-analyses: application to a meta-analysis of 65 trials. Statistics in Medicine 21, 2641-2652.
    https://doi.org/10.1002/sim.1221

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], study=list("abcde"))
    >>> found = mx.sensitivity.baujat(mx.RandomEffects(es).fit(method="EE"))
    >>> found.contribution.round(1), found.influence.round(1)
    (array([ 4.1,  1.2,  7.4,  1.4, 41.8]), array([ 1.3,  0.2,  2.4,  0.2, 13.2]))
    >>> print(found.sentence)
    e contributes most to the heterogeneity and moves the fitted values most.
    """
    fit = checked_fit(results)
    if isinstance(fit, ImputedResults):
        raise InputError(
            "effects of several imputed data sets have no single residual",
            "the fit by likelihood",
            "take the fit that was imputed from: baujat(results.likelihood)",
        )
    chosen = "study" if cluster is None else cluster
    without = leave_one_out(fit, chosen)
    members = without.members
    return Baujat(
        labels=without.labels,
        cluster=without.cluster,
        sizes=np.array([rows.size for rows in members], dtype=float),
        contribution=_contributions(fit, members),
        influence=np.array(
            [_move(fit, without.beta[g], without.cov[g], members[g]) for g in range(len(members))]
        ),
        reasons=without.reasons,
    )


def _contributions(fit: FitResults, members: Sequence[Index]) -> Array:
    """Return e' M^-1 e of the rows of each cluster."""
    table = fit.residuals("pearson")
    residual, z = (table[name].to_numpy(dtype=float) for name in ("residual", "z"))
    if all(rows.size == 1 for rows in members):
        return np.asarray(z[np.concatenate(list(members))] ** 2)
    out = np.full(len(members), np.nan)
    for g, rows in enumerate(members):
        covariance = covariance_of(fit, fit, rows) if rows.size > 1 else None
        out[g] = (z[rows] ** 2).sum() if covariance is None else quadratic_form(residual[rows], covariance)
    return out


def _move(fit: FitResults, beta: Array, cov: Array, rows: Index) -> float:
    """Return the squared change of the fitted values of a cluster, in the directions in which they vary."""
    x = np.unique(fit.design.matrix(fit.k)[rows], axis=0)
    if not (np.isfinite(fit.beta).all() and np.isfinite(beta).all()):
        return float("nan")
    change = x @ (fit.beta - beta)
    covariance = x @ cov @ x.T
    if not (np.isfinite(change).all() and np.isfinite(covariance).all()):
        return float("nan")
    values, vectors = np.linalg.eigh(covariance)
    varying = values > STILL * max(float(values[-1]), 0.0)
    if not varying.any():
        return float("nan")
    return float(((change @ vectors)[varying] ** 2 / values[varying]).sum())
