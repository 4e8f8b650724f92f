"""Leave-one-out: the fit without each study, laboratory or effect in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import TooFewStudiesError
from metaexo.formatting import number, plural
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.results import FitResults
from metaexo.sensitivity.refit import checked_fit
from metaexo.sensitivity.refits import Refits, leaving_out, numbers_of, refits
from metaexo.types import Array, Index


@dataclass(frozen=True, eq=False, repr=False)
class LeaveOneOut(Refits):
    """The fits without each cluster in turn: arrays as in :class:`Refits`, an entry per cluster.

    Attributes
    ----------
    labels : tuple of str
        What was left out.
    cluster : str
        What the clusters are: "study", "effect", or the column that names them.
    members : tuple of ndarray
        The rows of each cluster.
    whole : Refits
        The same numbers of the fit of all rows, one entry.
    fit : FitResults
        The fit of all rows.
    """

    labels: tuple[str, ...]
    cluster: str
    members: tuple[Index, ...]
    whole: Refits
    fit: FitResults

    @property
    def row_names(self) -> tuple[str, Sequence[str]]:
        """What the rows of the table are, and the name of each."""
        return "left_out", self.labels

    @property
    def change(self) -> Array:
        """Change of each coefficient when a cluster is left out, shape (G, p)."""
        return np.asarray(self.beta - self.whole.beta)

    @property
    def sentence(self) -> str:
        """What was found, in plain sentences: the range of the estimates and of their p-values."""
        levels = (f"level of {self.cluster}", f"levels of {self.cluster}")
        each = plural(self.size, *PLURALS.get(self.cluster, levels))
        said = f"Without each of {each} in turn: "
        if not self.fitted:
            return f"{said}no fit can be made."
        parts = [self._range_of(j) for j in range(len(self.names))]
        lost = self.size - self.fitted
        without = f" {plural(lost, 'fit')} of {self.size} cannot be made." if lost else ""
        return f"{said}{'; '.join(parts)}.{self._of_single_effects('fit', 'fits')}{without}"

    def _range_of(self, j: int) -> str:
        """Return the range of one coefficient in words."""
        beta = self.beta[:, j]
        known = ~np.isnan(beta)  # one of minus infinity is an estimate: an odds ratio of 0
        if not known.any():
            return f"{self.names[j]} has no estimate"
        least, most = int(np.nanargmin(beta)), int(np.nanargmax(beta))
        name, values, all_rows = self.names[j], beta, float(self.whole.beta[0, j])
        if len(self.names) == 1:
            name, values, *_ = self.shown_estimates
            all_rows = float(self.whole.shown_estimates[1][0])
        alpha = 1 - self.level
        small = int((self.pvalue[known, j] < alpha).sum())
        tests = f"; p < {alpha:.3g} in {small} of {plural(int(known.sum()), 'fit')}" if self.tested[j] else ""
        return (
            f"{name} {number(values[least], 3)} (without {self.labels[least]}) to {number(values[most], 3)} "
            f"(without {self.labels[most]}), {number(all_rows, 3)} with all{tests}"
        )

    def table_notes(self) -> list[str]:
        """Return the sentence, and why some fits cannot be made."""
        return [self.sentence, *super().table_notes()]


PLURALS = {"study": ("study", "studies"), "effect": ("effect", "effects"), "": ("cluster", "clusters")}


def leave_one_out(
    results: FitResults,
    cluster: str | Sequence[object] | ArrayLike = "study",
    *,
    level: float | None = None,
) -> LeaveOneOut:
    """Return the fits without each study in turn, all other choices the same.

    Use it to see whether a result rests on one study, one laboratory or one group of authors. Everything that
    was estimated is estimated anew, the heterogeneity too. Fits of one effect per study are made in one
    batched call: a thousand of them take a fraction of a second.

    Parameters
    ----------
    results : FitResults
        A fit of any family, with moderators or not.
    cluster : str or sequence of length k
        What is left out at a time: "study", "effect" for single effects, a column of the data, combinations
        as "study/sample", or a label for each effect.
    level : float, optional
        Level of the intervals. Default: that of the fit.

    Returns
    -------
    LeaveOneOut
        Coefficients with intervals and tests, tau2, I2, H2 and Q without each cluster; NaN where the rest has
        no fit, with the reason. `to_frame()` has a row per cluster.

    Raises
    ------
    InputError
        If `results` is no fit, or some effects have no cluster.
    UnknownChoiceError
        If there is no such column.
    TooFewStudiesError
        If there is only one cluster.

    References
    ----------
    Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis. Research
    Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], study=list("abcde"))
    >>> found = mx.sensitivity.leave_one_out(mx.RandomEffects(es).fit())
    >>> found.estimate.round(2)
    array([0.52, 0.49, 0.54, 0.5 , 0.2 ])
    >>> print(found.sentence)  # doctest: +NORMALIZE_WHITESPACE
    Without each of 5 studies in turn: estimate 0.197 (without e) to 0.543 (without c), 0.454 with all;
    p < 0.05 in 1 of 5 fits.
    """
    fit = checked_fit(results)
    labels, members = clusters_of(fit, cluster)
    if len(members) < 2:
        raise TooFewStudiesError(
            f"all {plural(fit.k, 'effect')} are in one cluster" if fit.k else "there are no effects",
            "at least two clusters",
            'leave out single effects: cluster="effect"'
            if fit.k > 1
            else "with one effect, report it as it is",
        )
    found = refits(fit, leaving_out(members, fit.k), len(members), level=level, alone=True)
    return LeaveOneOut(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        labels=labels,
        cluster=cluster if isinstance(cluster, str) else "",
        members=tuple(members),
        whole=numbers_of(fit, level),
        fit=fit,
    )


def clusters_of(fit: FitResults, cluster: object) -> tuple[tuple[str, ...], list[Index]]:
    """Return what the clusters of a fit are called, as readers know them, and the rows of each."""
    names, members = split_clusters(fit.effects, cluster)  # type: ignore[arg-type]
    word = cluster if isinstance(cluster, str) else ""
    if word == "effect" or (word == "study" and not fit.effects.study):
        return fit.effects.row_labels, members
    return names, members
