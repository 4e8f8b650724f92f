"""Covariances of effects that come from the same people, and one effect per study made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.check import look_up, read_table_of, read_variances
from metaexo.effects.derivation import AVERAGED, Derivation
from metaexo.effects.effect_rows import rows_by
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    AssumptionWarning,
    CorrelationError,
    InputError,
    MissingInputError,
    ShapeError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.immutable import Immutable
from metaexo.inputs import check_aligned, check_flag, check_number, read_numbers, read_words
from metaexo.readable import shows_itself
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class WithinCluster:
    """What is assumed of the correlation of two effects of one cluster.

    The correlation of rows i and j is the product of what their kinds say and what their times say:
    `correlation` for effects of one kind, `between_kinds` for two kinds; times
    lasting + (1 - lasting) autocorrelation^|t_i - t_j|.
    """

    correlation: float  # correlation of two effects of one kind (of any two, if no kinds are given)
    between_kinds: float  # correlation of two effects of different kinds (outcomes, scales)
    autocorrelation: float = 1.0  # correlation of two effects one unit of time apart
    lasting: float = 0.0  # part of the correlation that does not fade with time

    def __post_init__(self) -> None:
        for name in ("correlation", "between_kinds", "autocorrelation", "lasting"):
            value = getattr(self, name)
            if not -1 <= check_number(name, value) <= 1:
                raise CorrelationError(f"{name} = {value!r}", "a value from -1 to 1")


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class Block(Immutable):
    """Rows of one cluster and the covariance matrix of their sampling errors.

    Attributes
    ----------
    cluster : str
        Name of the cluster.
    rows : ndarray of int
        Positions of its rows.
    cov : ndarray
        Covariance matrix of these rows.
    """

    cluster: str
    rows: NDArray[np.intp]
    cov: Array


def covariance_blocks(
    v: ArrayLike | str | None = None,
    cluster: Sequence[object] | pd.Series | str = "study",
    *,
    se: ArrayLike | str | None = None,
    data: pd.DataFrame | Mapping[str, Any] | None = None,
    correlation: float | None = None,
    kind: Sequence[object] | pd.Series | str | None = None,
    between_kinds: float | None = None,
    time: ArrayLike | str | None = None,
    autocorrelation: float | None = None,
    lasting: float = 0.0,
) -> tuple[Block, ...]:
    """Return the covariance matrix of sampling errors, cluster by cluster.

    Use it for multilevel and multivariate models when one study gives several effects of the same people
    and the covariances are not reported. Clusters are independent of each other.

    Parameters
    ----------
    v : array_like, shape (k,), or str, optional
        Sampling variances, or the name of a column of `data`.
    cluster : sequence, length k, or str
        Cluster (study, sample) of each row, or the name of a column of `data`.
    se : array_like, shape (k,), or str, optional
        Standard errors, in the place of `v`.
    data : DataFrame or mapping of columns, optional
        Table whose columns the other arguments may name.
    correlation : float, optional
        Correlation of two effects of one cluster, of one kind if kinds are given. Needed where a cluster has
        two effects of one kind, unless times are given, when it is 1: the same quantity, measured again.
    kind : sequence, length k, or str, optional
        Kind of each effect (outcome, scale).
    between_kinds : float, optional
        Correlation of effects of different kinds; needed where a cluster has effects of several kinds.
    time : array_like, length k, or str, optional
        Time of each effect.
    autocorrelation : float, optional
        Correlation of effects one unit of time apart; needed with `time`.
    lasting : float
        Part of the correlation that does not fade with time.

    Returns
    -------
    tuple of Block
        One block per cluster, in order of first appearance.

    Raises
    ------
    MissingInputError
        If a correlation that is needed is not given.
    InputError
        If a block is not positive semidefinite: the correlations contradict each other.

    References
    ----------
    Gleser & Olkin (2009), in Cooper, Hedges & Valentine, The Handbook of Research Synthesis and
    Meta-Analysis, 2nd ed., 357-376, doi:10.7758/9781610441384.

    Examples
    --------
    >>> first, second = covariance_blocks([0.04, 0.09, 0.01], ["a", "a", "b"], correlation=0.5)
    >>> first.cov
    array([[0.04, 0.03],
           [0.03, 0.09]])
    """
    data = read_table_of(data)
    given = {"v": v, "cluster": cluster, "se": se, "kind": kind, "time": time}
    v, cluster, se, kind, time = (look_up(data, name, values) for name, values in given.items())
    check_aligned(v=v, cluster=cluster, se=se, kind=kind, time=time, data=data)
    variances = read_variances(v, se)
    bad = np.flatnonzero(~(variances >= 0) | np.isinf(variances))
    if bad.size:
        raise InputError(
            "some variances are missing, infinite or negative",
            "finite sampling variances of at least 0",
            "leave these rows out",
            [f"row {i + 1}: {variances[i]}" for i in bad],
        )
    names = read_words(cluster, "cluster", variances.size)
    kinds = None if kind is None else np.array(read_words(kind, "kind", variances.size))
    times = None if time is None else read_numbers(time, "time", ndim=1)
    if times is not None:
        if times.size != variances.size:
            raise ShapeError(
                f"time has {plural(times.size, 'entry', 'entries')} for {variances.size} effects",
                "one for each",
            )
        if not np.isfinite(times).all():
            gaps = [f"row {i + 1}" for i in np.flatnonzero(~np.isfinite(times))]
            raise InputError(
                "some times are missing", "a time for every effect", "leave these rows out", gaps
            )
    members = rows_by(names)
    rule = _rule(
        _uses(members, kinds), correlation, between_kinds, times is not None, autocorrelation, lasting
    )
    blocks = []
    for name, rows in members.items():
        r = _correlations(
            rule, None if kinds is None else kinds[rows], None if times is None else times[rows]
        )
        if r.shape == ():
            r = np.full((rows.size, rows.size), float(r))
        np.fill_diagonal(r, 1.0)
        _check_block(name, r)
        root = np.sqrt(variances[rows])
        blocks.append(Block(name, rows, r * np.outer(root, root)))
    return tuple(blocks)


def covariance_matrix(blocks: Sequence[Block]) -> Array:
    """Return the whole covariance matrix of all rows; 0 between clusters.

    Parameters
    ----------
    blocks : sequence of Block
        The blocks of :func:`covariance_blocks`.

    Returns
    -------
    ndarray, shape (k, k)
        Covariance matrix.

    Examples
    --------
    >>> covariance_matrix(covariance_blocks([0.04, 0.09, 0.01], ["a", "a", "b"], correlation=0.5))
    array([[0.04, 0.03, 0.  ],
           [0.03, 0.09, 0.  ],
           [0.  , 0.  , 0.01]])
    """
    held = _refuse_no_blocks(blocks)
    k = held.size
    if not np.array_equal(np.sort(held), np.arange(k)):
        raise InputError(
            "the blocks do not hold every row once",
            "the blocks of one call of covariance_blocks",
            "",
            _held_wrongly(held, k),
        )
    whole = np.zeros((k, k))
    for block in blocks:
        whole[np.ix_(block.rows, block.rows)] = block.cov
    return whole


def _refuse_no_blocks(blocks: object) -> NDArray[np.intp]:
    """Return the rows of all blocks one after another; refuse what are no blocks."""
    if not isinstance(blocks, list | tuple) or not all(isinstance(block, Block) for block in blocks):
        raise InputError(
            f"blocks is a {type(blocks).__name__}",
            "a list of blocks, as covariance_blocks returns it",
            "make them with covariance_blocks(v, cluster, correlation=...)",
        )
    return np.concatenate([np.empty(0, dtype=np.intp), *(block.rows for block in blocks)])


def _held_wrongly(held: NDArray[np.intp], k: int) -> list[str]:
    """Return in words which rows of 0 to k - 1 stand in no block or in several, and which are others."""
    times = np.bincount(held[(held >= 0) & (held < k)], minlength=k)
    lost = [
        f"row {i + 1} in {'no block' if n == 0 else f'{n} blocks'}" for i, n in enumerate(times) if n != 1
    ]
    return lost + [f"row {i + 1}, which there is not" for i in held[(held < 0) | (held >= k)]]


def aggregate(
    effects: EffectSizes,
    *,
    correlation: float | None = None,
    kind: str | None = None,
    between_kinds: float | None = None,
    time: str | None = None,
    autocorrelation: float | None = None,
    lasting: float = 0.0,
    blocks: Sequence[Block] | None = None,
    weighted: bool = True,
) -> EffectSizes:
    """Return one effect per study: the average of its effects, with the variance that follows.

    Use it when a model takes one effect per study. With V the covariance matrix of a study's effects,

        weighted    y = 1' V^-1 y / (1' V^-1 1),  v = 1 / (1' V^-1 1)
        unweighted  y = mean(y),  v = 1' V 1 / m^2

    Parameters
    ----------
    effects : EffectSizes
        Effects with their studies.
    correlation : float, optional
        As in :func:`covariance_blocks`.
    kind : str, optional
        Column of the data that holds the kind of each effect.
    between_kinds : float, optional
        As in :func:`covariance_blocks`.
    time : str, optional
        Column of the data that holds the time of each effect.
    autocorrelation : float, optional
        As in :func:`covariance_blocks`.
    lasting : float
        As in :func:`covariance_blocks`.
    blocks : sequence of Block, optional
        Covariances that are known, one block per study (:func:`shared_control_covariances`), in the place of
        all that is assumed.
    weighted : bool
        Whether effects with smaller variance count more.

    Returns
    -------
    EffectSizes
        One effect per study, in order of first appearance; columns of the data that do not vary within
        studies are kept.

    Raises
    ------
    MissingInputError
        If a correlation that is needed is not given.

    Warns
    -----
    AssumptionWarning
        If effects of a study were averaged under an assumed correlation.

    References
    ----------
    Borenstein, Hedges, Higgins & Rothstein (2009), Introduction to Meta-Analysis, chapter 24,
    doi:10.1002/9780470743386.

    Examples
    --------
    >>> effects = EffectSizes([0.2, 0.4, 0.1], [0.04, 0.04, 0.01], study=["a", "a", "b"])
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     one = aggregate(effects, correlation=0.5)
    >>> one.y.round(2), one.v.round(2)
    (array([0.3, 0.1]), array([0.03, 0.01]))
    """
    check_effects(effects, "mx.aggregate")
    weighted = check_flag("weighted", weighted)
    known = blocks is not None
    if blocks is None:
        blocks = covariance_blocks(
            effects.v,
            effects.study or effects.row_labels,
            correlation=correlation,
            kind=None if kind is None else effects.column(kind),
            between_kinds=between_kinds,
            time=None if time is None else effects.column(time),
            autocorrelation=autocorrelation,
            lasting=lasting,
        )
    else:
        held = _refuse_no_blocks(blocks)
        if not np.array_equal(np.sort(held), np.arange(effects.k)):
            raise ShapeError(
                "the blocks do not hold every effect once",
                "one block per study, for all effects",
                "make the blocks of these effects, after rows were left out",
                _held_wrongly(held, effects.k),
            )
    pairs = [_one_effect(effects.y[block.rows], block.cov, weighted) for block in blocks]
    several = [block for block in blocks if block.rows.size > 1]
    if several and not known:
        warn_caller(
            f"the effects of {len(several)} studies were averaged under an assumed correlation",
            AssumptionWarning,
        )
    return EffectSizes(
        [y for y, _ in pairs],
        [v for _, v in pairs],
        effects.measure,
        labels=[block.cluster for block in blocks],
        study=[block.cluster for block in blocks],
        data=_constant_columns(effects, blocks),
        derived=[_mark(effects, block, known) for block in blocks],
        oriented=effects.oriented,
    )


def _uses(members: Mapping[str, NDArray[np.intp]], kinds: NDArray[np.str_] | None) -> tuple[bool, bool]:
    """Return whether some cluster has two effects of one kind, and whether one has two kinds."""
    same = between = False
    for rows in members.values():
        different = 1 if kinds is None else len(set(kinds[rows].tolist()))
        same = same or len(rows) > different
        between = between or different > 1
    return same, between


def _rule(
    uses: tuple[bool, bool],
    correlation: float | None,
    between_kinds: float | None,
    has_times: bool,
    autocorrelation: float | None,
    lasting: float,
) -> WithinCluster:
    """Return what is assumed; refuse a gap in what the clusters need."""
    needed = []
    if correlation is None and not has_times and uses[0]:
        needed.append("correlation")
    if between_kinds is None and uses[1]:
        needed.append("between_kinds")
    if has_times and autocorrelation is None and any(uses):
        needed.append("autocorrelation")
    if needed:
        raise MissingInputError(
            f"{' and '.join(needed)} not given",
            "the correlation of effects of one cluster, given or assumed",
            "try several values, for example 0.3, 0.6 and 0.9, and show what changes",
        )
    same = 1.0 if correlation is None else correlation
    other = same if between_kinds is None else between_kinds
    return WithinCluster(same, other, 1.0 if autocorrelation is None else autocorrelation, lasting)


def _correlations(rule: WithinCluster, kinds: NDArray[np.str_] | None, times: Array | None) -> Array:
    """Return the correlation matrix of one cluster, its diagonal apart."""
    r = np.asarray(rule.correlation)
    if kinds is not None:
        r = np.where(kinds[:, None] == kinds[None, :], rule.correlation, rule.between_kinds)
    if times is not None:
        fade = rule.autocorrelation ** np.abs(times[:, None] - times[None, :])
        r = r * (rule.lasting + (1 - rule.lasting) * fade)
    return np.array(r, dtype=float)


def _check_block(name: str, r: Array) -> None:
    """Refuse a correlation matrix that no variables can have."""
    if np.linalg.eigvalsh(r)[0] < -1e-10:
        raise InputError(
            f"the correlations assumed for cluster {name!r} contradict each other",
            "a positive semidefinite correlation matrix",
            "take a larger correlation between kinds, or a smaller negative one",
        )


def _one_effect(y: Array, cov: Array, weighted: bool) -> tuple[float, float]:
    """Return the average of a cluster's effects and its variance."""
    if y.size == 1:
        return float(y[0]), float(cov[0, 0])
    if not weighted:
        return float(y.mean()), float(cov.sum() / y.size**2)
    weights = np.linalg.solve(cov, np.ones(y.size))
    return float(weights @ y / weights.sum()), float(1 / weights.sum())


def _mark(es: EffectSizes, block: Block, known: bool) -> Derivation:
    """Return how the average of a block came about."""
    if block.rows.size == 1:
        return es.derived[int(block.rows[0])] if es.derived else Derivation("reported")
    note = f"average of {block.rows.size} effects, their correlation {'known' if known else 'assumed'}"
    return Derivation("converted" if known else "assumed", AVERAGED, note)


def _constant_columns(es: EffectSizes, blocks: Sequence[Block]) -> pd.DataFrame | None:
    """Return the columns that do not vary within a cluster, one row per cluster."""
    import pandas as pd

    data = es.data
    if data is None:
        return None
    first = [int(block.rows[0]) for block in blocks]
    home = np.empty(es.k, dtype=np.intp)  # the first row of the cluster of each row
    for row, block in zip(first, blocks, strict=True):
        home[block.rows] = row
    codes = {name: pd.factorize(data[name], use_na_sentinel=False)[0] for name in data.columns}
    keep = [name for name, code in codes.items() if (code == code[home]).all()]
    return data[keep].iloc[first].reset_index(drop=True)
