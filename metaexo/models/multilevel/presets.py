"""Working models for correlated effects of unknown correlation, and how much the correlation matters.

Studies seldom report how much their effects correlate. A working model assumes one correlation, and
cluster-robust standard errors make the inference valid where the assumption is not right.

References
----------
Pustejovsky, J. E., Tipton, E. (2022). Meta-analysis with robust variance estimation: expanding the range of
working models. Prevention Science 23, 425-438. https://doi.org/10.1007/s11121-021-01246-3
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects import covariance_blocks
from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import CorrelationError, FewStudiesWarning, InputError
from metaexo.formatting import printed
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_level, check_number, read_numbers
from metaexo.models.linear.grouping import grouping
from metaexo.models.multilevel.model import Multilevel
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.robust import MultilevelRobustResults
from metaexo.models.multilevel.terms import RandomTerm
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

WORKING = ("CHE", "SCE")
Working = Literal["CHE", "SCE"]
DEFAULT_RHO = tuple(np.round(np.linspace(0.0, 0.95, 20), 2).tolist())


def correlated_effects(
    es: EffectSizes,
    rho: float = 0.6,
    working: Working = "CHE",
    *,
    by: str | None = None,
    cluster: str = "study",
    moderators: str | ArrayLike | pd.DataFrame | None = None,
) -> Multilevel:
    """Return a working model of effects that correlate within studies by an assumed amount.

    Use it when studies report several effects of the same animals or cells and the correlations are not
    reported; take the standard errors from `robust()` of its fit, and look at `rho_sweep`.

    Parameters
    ----------
    es : EffectSizes
        Effects with their studies.
    rho : float
        Assumed correlation of the sampling errors of two effects of one study.
    working : {"CHE", "SCE"}
        "CHE": correlated and hierarchical effects, a random effect of the study and of each effect within
        it. "SCE": subgroup correlated effects, in each subgroup `by` a random effect of the study with a
        variance of the subgroup's own; effects of different subgroups are taken as independent.
    by : str, optional
        Column of the subgroups, for "SCE".
    cluster : str
        Column of the studies.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.Multilevel`. For "SCE" usually ``"0 + ..."`` with the subgroups, so that each
        has its own mean.

    Returns
    -------
    Multilevel
        The model, ready to be fitted.

    Raises
    ------
    CorrelationError
        If `rho` is not a correlation.
    InputError
        If the subgroups are missing, or given to a model that has none.

    References
    ----------
    Pustejovsky, J. E., Tipton, E. (2022). https://doi.org/10.1007/s11121-021-01246-3

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> fit = mx.correlated_effects(es, rho=0.6).fit()
    >>> print(f"{fit.beta[0]:.3f}, robust SE {fit.robust().se[0]:.3f}")
    0.432, robust SE 0.106
    """
    check_effects(es, "correlated_effects")
    check_choice("working model", working, WORKING)
    if not -1 < check_number("rho", rho) < 1:
        raise CorrelationError(f"rho = {rho!r}", "a correlation between -1 and 1")
    level, names = grouping(es, cluster)
    if working == "CHE":
        if by is not None:
            raise InputError("subgroups were given to CHE", 'working="SCE", or no subgroups')
        blocks = covariance_blocks(es.v, [names[i] for i in level], correlation=rho)
        return Multilevel(es, f"{cluster}/effect", V=blocks, moderators=moderators)
    if by is None:
        raise InputError("SCE came without subgroups", "by= the column of the subgroups")
    both, labels = grouping(es, f"{cluster}/{by}")
    blocks = covariance_blocks(es.v, [labels[i] for i in both], correlation=rho)
    return Multilevel(es, RandomTerm(cluster, by, "DIAG"), V=blocks, moderators=moderators)


@dataclass(frozen=True, eq=False, repr=False)
class RhoSweep(Immutable):
    """A working model fitted at several assumed correlations.

    Attributes
    ----------
    rho : ndarray, shape (n,)
        The correlations.
    names : tuple of str
        Coefficients.
    estimate, se, low, high : ndarray, shape (n, p)
        Coefficients with cluster-robust standard errors and intervals.
    components : ndarray, shape (n, c)
        Variances.
    component_names : tuple of str
        Their names.
    llf : ndarray, shape (n,)
        Log-likelihoods.
    fits : tuple of MultilevelResults
        The fits.
    """

    rho: Array
    names: tuple[str, ...]
    estimate: Array
    se: Array
    low: Array
    high: Array
    components: Array
    component_names: tuple[str, ...]
    llf: Array
    fits: tuple[MultilevelResults, ...]

    @property
    def largest_change(self) -> float:
        """Largest difference between two estimates of one coefficient, in units of its median robust SE."""
        return float((np.ptp(self.estimate, axis=0) / np.median(self.se, axis=0)).max())

    def to_frame(self) -> pd.DataFrame:
        """Return one row a correlation and term: rho, term, estimate, se, low, high, llf, variances."""
        import pandas as pd

        rows = []
        for i, rho in enumerate(self.rho):
            variances = dict(zip(self.component_names, self.components[i], strict=True))
            rows += [
                {
                    "rho": rho,
                    "term": name,
                    "estimate": self.estimate[i, j],
                    "se": self.se[i, j],
                    "low": self.low[i, j],
                    "high": self.high[i, j],
                    "llf": self.llf[i],
                }
                | variances
                for j, name in enumerate(self.names)
            ]
        return pd.DataFrame(rows)

    @printed
    def __str__(self) -> str:
        return (
            f"rho from {self.rho.min():.2f} to {self.rho.max():.2f}: "
            f"estimates move by at most {self.largest_change:.2f} robust standard errors"
        )

    def __repr__(self) -> str:
        return f"RhoSweep({self})"


def rho_sweep(
    es: EffectSizes,
    rho: Sequence[float] = DEFAULT_RHO,
    working: Working = "CHE",
    *,
    by: str | None = None,
    cluster: str = "study",
    moderators: str | ArrayLike | pd.DataFrame | None = None,
    kind: str = "CR2",
    level: float = 0.95,
) -> RhoSweep:
    """Return a working model fitted at several assumed correlations.

    Use it to see whether the assumed correlation matters for the conclusion.

    Parameters
    ----------
    es : EffectSizes
        Effects with their studies.
    rho : sequence of float
        Assumed correlations; default 0 to 0.95 in steps of 0.05.
    working : {"CHE", "SCE"}
        Working model, as in :func:`metaexo.correlated_effects`.
    by : str, optional
        Column of the subgroups, for "SCE".
    cluster : str
        Column of the studies.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.Multilevel`.
    kind : str
        Adjustment of the cluster-robust covariance matrix; as in `MultilevelResults.robust`.
    level : float
        Level of the intervals.

    Returns
    -------
    RhoSweep
        Estimates, robust intervals and variances at each correlation.

    References
    ----------
    Pustejovsky, J. E., Tipton, E. (2022). https://doi.org/10.1007/s11121-021-01246-3

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> print(mx.rho_sweep(es, [0.0, 0.5, 0.9]))
    rho from 0.00 to 0.90: estimates move by at most 0.02 robust standard errors
    """
    check_effects(es, "rho_sweep")
    values = read_numbers(rho, "rho", ndim=1)
    level = check_level(level)
    if not values.size:
        raise InputError("rho is empty", "at least one assumed correlation")
    fits: list[MultilevelResults] = []
    robust: list[MultilevelRobustResults] = []
    level_of, names = grouping(es, cluster)
    for one in values:
        model = correlated_effects(es, float(one), working, by=by, cluster=cluster, moderators=moderators)
        fit = model.fit(level=level)
        fits.append(fit)
        with warnings.catch_warnings():
            # few clusters are few at every correlation: said once, at the first
            if robust:
                warnings.simplefilter("ignore", FewStudiesWarning)
            robust.append(fit.robust([names[i] for i in level_of], kind))
    bounds = [one.conf_int() for one in robust]
    return RhoSweep(
        rho=values,
        names=fits[0].design.names,
        estimate=np.array([fit.beta for fit in fits]),
        se=np.array([one.se for one in robust]),
        low=np.array([one["low"].to_numpy() for one in bounds]),
        high=np.array([one["high"].to_numpy() for one in bounds]),
        components=np.array([list(fit.component_values.values()) for fit in fits]),
        component_names=tuple(fits[0].component_values),
        llf=np.array([fit.llf for fit in fits]),
        fits=tuple(fits),
    )
