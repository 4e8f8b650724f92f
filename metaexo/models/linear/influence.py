"""The record of influence: how a fit changes when a study, a cluster or an effect is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.formatting import plural
from metaexo.numeric.tails import chi2_median, chi2_tail
from metaexo.readable import Readable
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

# A change of a coefficient by more than this, in standard errors, is marked.
LARGE_DFBETAS = 1.0
MOST_LISTED = 12


@dataclass(frozen=True, eq=False, repr=False)
class Influence(Readable):
    """Influence of each effect or cluster on a fit; NaN where the fit without it is not possible.

    Attributes
    ----------
    labels : tuple of str
        What was left out: effects or clusters.
    names : tuple of str
        Coefficients.
    cluster : str
        What the clusters are: "effect", "study", a column; empty where labels were given.
    sizes : ndarray, shape (G,)
        Number of effects of each.
    rstudent : ndarray, shape (G,)
        Studentised deleted residuals of single effects; NaN for clusters of several.
    statistic, df, pvalue : ndarray, shape (G,)
        The deleted residuals of a cluster taken together: chi-square with as many df as it has effects. For a
        single effect the statistic is the square of `rstudent`.
    dffits : ndarray, shape (G,)
        Change of the fitted value in units of its standard error, of single effects of one level.
    cooks_distance : ndarray, shape (G,)
        Change of all coefficients in units of their covariance, (b - b_g)' C^-1 (b - b_g); not divided by p.
    covariance_ratio : ndarray, shape (G,)
        Determinant of the covariance without the cluster over that with it; below 1: precision is lost by it.
    tau2, q : ndarray, shape (G,)
        Heterogeneity and Cochran's Q without it.
    hat, weights : ndarray, shape (G,)
        Leverage, and share of the weights, summed over the cluster; NaN where the model has none.
    beta : ndarray, shape (G, p)
        Coefficients without it.
    dfbetas : ndarray, shape (G, p)
        Change of each coefficient in units of its standard error.
    component_names : tuple of str
        Components of the heterogeneity.
    components : ndarray, shape (G, n)
        Components without it.
    influential : ndarray of bool, shape (G,)
        Whether a measure passes its usual bound, or the fit without it is not possible. Bounds: abs(dffits) >
        3 sqrt(p / (k - p)), Cook's distance above the median of chi-square with p degrees of freedom, hat of
        a single effect > 3 p / k, or some abs(dfbetas) > 1.
    reasons : mapping of int to str
        Position to the reason why there is no fit without it.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    cluster: str
    sizes: Array
    rstudent: Array
    statistic: Array
    df: Array
    pvalue: Array
    dffits: Array
    cooks_distance: Array
    covariance_ratio: Array
    tau2: Array
    q: Array
    hat: Array
    weights: Array
    beta: Array
    dfbetas: Array
    component_names: tuple[str, ...]
    components: Array
    influential: Mask
    reasons: Mapping[int, str]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per effect or cluster and one column per measure that it has.

        Columns of measures that are not defined for any of them are left out.
        """
        import pandas as pd

        single = bool((self.sizes == 1).all())
        columns: dict[str, Any] = {} if single else {"effects": self.sizes.astype(int)}
        measures = ("rstudent", *(() if single else ("statistic", "df", "pvalue")), "dffits")
        measures = (*measures, "cooks_distance", "covariance_ratio", "tau2", "q", "hat", "weights")
        for name in measures:
            values = getattr(self, name)
            if name in ("tau2", "q") or not np.isnan(values).all():
                columns[name] = values
        columns |= {
            f"dfbetas {name}": column for name, column in zip(self.names, self.dfbetas.T, strict=True)
        }
        if len(self.component_names) > 1:
            columns |= dict(zip(self.component_names, self.components.T, strict=True))
        index = pd.Index(self.labels, name="left_out")
        return pd.DataFrame(columns | {"influential": self.influential}, index=index)

    @property
    def sentence(self) -> str:
        """Which are influential, and without which there is no fit, in plain sentences."""
        lost = sorted(self.reasons)
        marked = [self.labels[i] for i in np.flatnonzero(self.influential) if i not in lost]
        judged = int(self.judged.sum())
        every, those = (f"of {plural(n, *self._unit)}" for n in (len(self.labels), judged))
        if marked:
            said = f"Influential: {_listed(marked)} ({len(marked)} {every})."
        elif not judged:
            said = f"None {every} can be judged."
        else:
            that = "" if judged == len(self.labels) else " that can be judged"
            said = f"None {those}{that} is influential."
        if lost:
            said += f" No fit is possible without {_listed([self.labels[i] for i in lost])}."
        return said

    @property
    def judged(self) -> Mask:
        """Which effects or clusters have a measure of what their deletion changes, shape (G,)."""
        known = np.isfinite(self.cooks_distance) | ~np.isnan(self.dffits)
        known |= ~np.isnan(self.dfbetas).all(axis=1)
        known[list(self.reasons)] = False
        return np.asarray(known, dtype=np.bool_)

    @property
    def _unit(self) -> tuple[str, str]:
        """What was left out in words, one and several."""
        word = self.cluster or "cluster"
        if word in ("study", "effect", "cluster"):
            return word, _PLURAL.get(word, f"{word}s")
        return f"level of {word}", f"levels of {word}"

    def table_notes(self) -> list[str]:
        """Return the sentence, and why some fits are not possible."""
        return [self.sentence, *(f"{self.labels[i]}: {words}" for i, words in self.reasons.items())]

    def __repr__(self) -> str:
        return f"Influence({self.sentence})"


_PLURAL = {"study": "studies"}


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def moves(change: Array, cov: Array) -> Array:
    """Return change' cov^-1 change of each row, shape (G,); NaN where coefficients have no spread."""
    se = np.sqrt(np.diagonal(cov))
    if not (se > 0).all() or not np.isfinite(cov).all():  # no units to measure a move in
        return np.full(len(change), np.nan)
    scaled = cov / np.outer(se, se)
    if np.linalg.matrix_rank(scaled) < se.size:
        return np.full(len(change), np.nan)
    each = change / se
    return np.asarray(np.vecdot(each, np.linalg.solve(scaled, each.T).T))


def flagged(
    k: int, cooks: Array, dfbetas: Array, dffits: Array, hat: Array, sizes: Array, lost: Mask
) -> Mask:
    """Return which effects or clusters of a fit of k effects are influential; see `Influence`."""
    p = dfbetas.shape[1]
    with np.errstate(invalid="ignore"):
        flags = (np.abs(dffits) > 3 * np.sqrt(p / max(k - p, 1))) | (cooks > chi2_median(p))
        flags |= (hat > 3 * p / k) & (sizes == 1)
        flags |= (np.abs(dfbetas) > LARGE_DFBETAS).any(axis=1)
    return np.asarray(flags | lost, dtype=np.bool_)


def chi2_of(statistic: Array, sizes: Array) -> Array:
    """Return the p-values of chi-square statistics, NaN where there is none."""
    known = np.isfinite(statistic)
    return np.where(known, chi2_tail(np.where(known, statistic, 0.0), sizes), np.nan)
