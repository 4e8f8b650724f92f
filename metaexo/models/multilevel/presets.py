"""Ready-made multilevel models: correlated effects of unknown correlation, and values without variances.

Studies seldom report how much their effects correlate. A working model assumes one correlation, and
cluster-robust standard errors make the inference valid where the assumption is not right.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects import covariance_blocks
from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.check import look_up, read_table_of
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import CorrelationError, FewStudiesWarning, InputError, NotIdentifiableError, ShapeError
from metaexo.immutable import frozen
from metaexo.inputs import check_aligned, check_choice, check_level, check_number, read_numbers
from metaexo.models.linear.design import MISSING, without_missing
from metaexo.models.linear.grouping import grouping
from metaexo.models.multilevel.model import Multilevel
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import RandomTerm
from metaexo.readable import ReadableLines
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

WORKING = ("CHE", "SCE")
Working = Literal["CHE", "SCE"]
DEFAULT_CORRELATIONS = tuple(np.round(np.linspace(0.0, 0.95, 20), 2).tolist())


def correlated_effects(
    effects: EffectSizes,
    correlation: float = 0.6,
    working: Working = "CHE",
    *,
    by: str | None = None,
    cluster: str = "study",
    moderators: str | ArrayLike | pd.DataFrame | None = None,
    missing: Literal["raise", "drop"] = "raise",
) -> Multilevel:
    """Return a working model of effects that correlate within studies by an assumed amount.

    Use it when studies report several effects of the same animals or cells and the correlations are not
    reported; take the standard errors from `robust()` of its fit, and look at `rho_sweep`.

    Parameters
    ----------
    effects : EffectSizes
        Effects with their studies.
    correlation : float
        Assumed correlation of the sampling errors of two effects of one study.
    working : {"CHE", "SCE"}
        "CHE": correlated and hierarchical effects, a random effect of the study and of each effect within
        it. "SCE": subgroup correlated effects, in each subgroup `by` a random effect of the study with a
        separate variance; effects of different subgroups are taken as independent.
    by : str, optional
        Column of the subgroups, for "SCE".
    cluster : str
        Column of the studies.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.Multilevel`. For "SCE" usually ``"0 + ..."`` with the subgroups, so that each
        has its own mean.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing; as in :class:`metaexo.Multilevel`.

    Returns
    -------
    Multilevel
        The model, ready to be fitted.

    Raises
    ------
    CorrelationError
        If `correlation` is none.
    InputError
        If the subgroups are missing, or given to a model that has none.
    NotIdentifiableError
        If every study has one effect, for "CHE".

    References
    ----------
    Pustejovsky, J. E., Tipton, E. (2022). Meta-analysis with robust variance estimation: expanding the range
    of working models. Prevention Science 23, 425-438. https://doi.org/10.1007/s11121-021-01246-3

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> fit = mx.correlated_effects(es, correlation=0.6).fit()
    >>> print(f"{fit.beta[0]:.3f}, robust SE {fit.robust().se[0]:.3f}")
    0.432, robust SE 0.106
    """
    check_effects(effects, "mx.correlated_effects")
    check_choice("working model", working, WORKING)
    check_choice("missing", missing, MISSING)
    if not -1 < check_number("correlation", correlation) < 1:
        raise CorrelationError(f"correlation = {correlation!r}", "a correlation between -1 and 1")
    if working == "CHE" and by is not None:
        raise InputError("subgroups were given to CHE", 'working="SCE", or no subgroups')
    if working == "SCE" and by is None:
        raise InputError("SCE came without subgroups", "by= the column of the subgroups")
    effects.check_index("moderators", moderators)
    if missing == "drop":
        effects, (moderators,), _ = without_missing(effects, moderators)
    random: str | RandomTerm = f"{cluster}/effect" if by is None else RandomTerm(cluster, by, "DIAG")
    group, names = grouping(effects, cluster if by is None else f"{cluster}/{by}")
    if by is None and effects.k > 1 and np.unique(group).size == effects.k:
        raise NotIdentifiableError(
            f"each {cluster} has one effect, so that no effects correlate within any",
            f"two effects of one {cluster}, so that variances between and within are separately estimable",
            "use metaexo.RandomEffects(effects, moderators), which has one variance between studies, and "
            "robust() of its fit",
        )
    blocks = covariance_blocks(effects.v, [names[i] for i in group], correlation=correlation)
    return Multilevel(effects, random, V=blocks, moderators=moderators)


@dataclass(frozen=True, eq=False, repr=False)
class RhoSweep(ReadableLines):
    """A working model fitted at several assumed correlations.

    Attributes
    ----------
    correlation : ndarray, shape (n,)
        The correlations.
    fits : tuple of MultilevelResults
        The fit at each of them, with cluster-robust standard errors.
    """

    correlation: Array
    fits: tuple[MultilevelResults, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.fits[0].design.names

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the variances."""
        return tuple(self.fits[0].component_values)

    @cached_property
    def estimate(self) -> Array:
        """Coefficients, shape (n, p)."""
        return frozen(np.array([fit.beta for fit in self.fits]))

    @cached_property
    def se(self) -> Array:
        """Cluster-robust standard errors of the coefficients, shape (n, p)."""
        return frozen(np.array([fit.se for fit in self.fits]))

    @cached_property
    def components(self) -> Array:
        """Variances, shape (n, c)."""
        return frozen(np.array([list(fit.component_values.values()) for fit in self.fits]))

    @property
    def largest_change(self) -> float:
        """Largest difference between two estimates of one coefficient, in units of its median robust SE."""
        return float((np.ptp(self.estimate, axis=0) / np.median(self.se, axis=0)).max())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per correlation and term: estimate, se, low, high, llf and the variances."""
        import pandas as pd

        return pd.concat(
            [
                fit.to_frame()[["term", "estimate", "se", "low", "high"]].assign(
                    llf=fit.llf, correlation=correlation, **fit.component_values
                )
                for correlation, fit in zip(self.correlation, self.fits, strict=True)
            ],
            ignore_index=True,
        )[["correlation", "term", "estimate", "se", "low", "high", "llf", *self.component_names]]

    def lines(self) -> list[str]:
        """Return how far the estimates move, in one line."""
        low, high = self.correlation.min(), self.correlation.max()
        return [
            f"correlation from {low:.2f} to {high:.2f}: "
            f"estimates move by at most {self.largest_change:.2f} robust standard errors"
        ]

    def __repr__(self) -> str:
        return f"RhoSweep({self.lines()[0]})"


def rho_sweep(
    effects: EffectSizes,
    correlation: Sequence[float] = DEFAULT_CORRELATIONS,
    working: Working = "CHE",
    *,
    by: str | None = None,
    cluster: str = "study",
    moderators: str | ArrayLike | pd.DataFrame | None = None,
    missing: Literal["raise", "drop"] = "raise",
    kind: str = "CR2",
    level: float = 0.95,
) -> RhoSweep:
    """Return a working model fitted at several assumed correlations.

    Use it to see whether the assumed correlation matters for the conclusion.

    Parameters
    ----------
    effects : EffectSizes
        Effects with their studies.
    correlation : sequence of float
        Assumed correlations; default 0 to 0.95 in steps of 0.05.
    working : {"CHE", "SCE"}
        Working model, as in :func:`metaexo.correlated_effects`.
    by, cluster, moderators, missing : str, str, str, array_like or DataFrame, and str, optional
        As in :func:`metaexo.correlated_effects`.
    kind : str
        Adjustment of the cluster-robust covariance matrix; as in `MultilevelResults.robust`.
    level : float
        Level of the intervals.

    Returns
    -------
    RhoSweep
        The fits, with a table of estimates, robust intervals and variances at each correlation.

    References
    ----------
    Pustejovsky, J. E., Tipton, E. (2022). https://doi.org/10.1007/s11121-021-01246-3

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> print(mx.rho_sweep(es, [0.0, 0.5, 0.9]))
    correlation from 0.00 to 0.90: estimates move by at most 0.02 robust standard errors
    """
    check_effects(effects, "mx.rho_sweep")
    check_choice("missing", missing, MISSING)
    values = read_numbers(correlation, "correlation", ndim=1)
    level = check_level(level)
    if not values.size:
        raise InputError("correlation is empty", "at least one assumed correlation")
    effects.check_index("moderators", moderators)
    if missing == "drop":  # once, so that it is said once
        effects, (moderators,), _ = without_missing(effects, moderators)
    group, names = grouping(effects, cluster)
    fits: list[MultilevelResults] = []
    for one in values:
        model = correlated_effects(
            effects, float(one), working, by=by, cluster=cluster, moderators=moderators
        )
        with warnings.catch_warnings():
            if fits:  # few clusters are few at every correlation: said once, at the first
                warnings.simplefilter("ignore", FewStudiesWarning)
            fits.append(model.fit(level=level).robust([names[i] for i in group], kind))
    return RhoSweep(values, tuple(fits))


# The residual of values without sampling variances, as a random term.
RESIDUAL = "effect"


def model_of_values(
    values: ArrayLike | str,
    random: str | RandomTerm | Sequence[str | RandomTerm],
    *,
    data: pd.DataFrame | Mapping[str, Any] | None = None,
    study: Sequence[str] | str | None = None,
    labels: Sequence[str] | str | None = None,
    v: ArrayLike | str | None = None,
    moderators: str | ArrayLike | pd.DataFrame | None = None,
    missing: Literal["raise", "drop"] = "raise",
) -> Multilevel:
    r"""Return a random-effects model of values whose sampling variances are not known.

    Use it for sizes, yields and other quantities that papers give as a bare number. A sampling variance of
    zero would say that the number is exact, and an assumed one would be invented; here the variance of single
    values around what the random terms explain is estimated from the values themselves. It holds sampling
    error and true differences together:

    .. math:: y = X\beta + \sum_j Z_j u_j + e, \qquad e \sim N(0, \sigma^2 I + V),

    where V holds the sampling variances of the rows that have one. The residual is the term "effect" of the
    fit; with no sampling variance at all, ``heterogeneity()`` gives shares of the variance of a value.

    Parameters
    ----------
    values : array_like, shape (k,), or str
        Values, on a scale on which their variance does not depend on their size (sizes as logarithms). A
        text here, and as `study`, `labels` or `v`, is the name of a column of `data`.
    random : str, RandomTerm, or sequence of them
        Random terms, as in :class:`metaexo.Multilevel`; the residual is added.
    data : DataFrame or mapping of columns, optional
        Columns that the terms name, one row per value.
    study : sequence of str, or str, optional
        Study of each value.
    labels : sequence of str, or str, optional
        What a reader sees of each value.
    v : array_like, shape (k,), or str, optional
        Sampling variances; NaN where there is none, and all that varies is in the residual.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.Multilevel`.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing; as in :class:`metaexo.Multilevel`.

    Returns
    -------
    Multilevel
        The model, ready to be fitted.

    Raises
    ------
    InputError
        If a value is missing.
    ShapeError
        If the lengths differ.
    NotIdentifiableError
        If a term has one level per value, so that it is confounded with the residual.

    References
    ----------
    Searle, S. R., Casella, G., McCulloch, C. E. (1992). Variance Components. Wiley.
    https://doi.org/10.1002/9780470316856

    Examples
    --------
    >>> import numpy as np, pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"nm": [101, 226, 91, 116, 453, 179], "source": list("aabbcc")})
    >>> fit = mx.model_of_values(np.log(table["nm"]), "source", data=table).fit()
    >>> fit.heterogeneity()["i2"].round(2).to_dict()
    {'source': 0.34, 'effect': 0.66}
    """
    data = read_table_of(data)
    values, v = look_up(data, "values", values), look_up(data, "v", v)
    check_aligned(values=values, v=v, data=data, study=study, labels=labels)
    y = read_numbers(values, "values", ndim=1)
    known = np.zeros(y.shape) if v is None else read_numbers(v, "v", ndim=1)
    if known.shape != y.shape:
        raise ShapeError(f"v has shape {known.shape} for {y.size} values", "one entry for each, or none")
    if np.isnan(y).any():
        rows = [f"row {i + 1}" for i in np.flatnonzero(np.isnan(y))]
        raise InputError("some values are missing", "a number in every row", "leave these rows out", rows)
    terms: list[Any] = list(random) if isinstance(random, list | tuple) else [random]
    if not any(isinstance(term, str) and term == RESIDUAL for term in terms):
        terms.append(RESIDUAL)
    effects = EffectSizes(y, np.where(np.isnan(known), 0.0, known), labels=labels, study=study, data=data)
    return Multilevel(effects, terms, moderators=moderators, missing=missing)
