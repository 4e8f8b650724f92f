"""Covariances of effects that are compared with one control arm: known from that arm, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.calculate import calculate
from metaexo.effects.d_of_odds import LOGISTIC, NORMAL
from metaexo.effects.dependence import Block
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.shared_arms import shared_arms
from metaexo.errors import InputError, MissingInputError, ShapeError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

SUMS = (
    "MD",
    "ROM",
    "VR",
    "CVR",
    "RR",
    "OR",
    "RD",
    "AS",
    "IRR",
    "IRD",
    "IRSD",
    "PBIT",
    "OR2D",
    "OR2DN",
    "OR2DL",
)
"""Measures whose variance is a part of the treatment arm plus a part of the control arm."""
BY_POOLED_SD = {"SMD": 1.0, "D2OR": LOGISTIC, "D2ORL": LOGISTIC, "D2ORN": NORMAL}
"""Measures that are a standardised difference by the pooled SD, times a factor."""
BY_CONTROL_SD = ("SMD1",)


def shared_control_covariances(
    es: EffectSizes, arm: Sequence[object] | pd.Series | None = None
) -> tuple[Block, ...]:
    """Return the covariances of effects of one study that are compared with the same control arm.

    Use it for studies with several treated arms (doses, preparations, sources) and one control, as `V` of
    :class:`metaexo.Multilevel`, or to average them (:func:`aggregate`). No correlation is assumed: what two
    effects i and j share is the sampling error of the control arm.

    ==================================  =======================================================
    Measure                             Covariance
    ==================================  =======================================================
    MD, ROM, VR, CVR, RR, OR, RD, AS,   the control arm's part of the variance: s^2/n for MD,
    IRR, IRD, IRSD, PBIT, OR2D...       s^2/(n m^2) for ROM, 1/x + 1/(n - x) for OR, ...
    SMD, D2OR...                        1/n + d_i d_j / (2 N), N all people of these arms
    SMD1                                1/n + d_i d_j / (2 n)
    others                              r sqrt(v_i v_j), r = (1/n) / sqrt((1/n_i + 1/n)(1/n_j + 1/n))
    ==================================  =======================================================

    with n, m, s, x of the control arm. Effects that share no control arm have no covariance here; outcomes or
    times of the same people need :func:`covariance_blocks`, which takes an assumed correlation.

    Parameters
    ----------
    es : EffectSizes
        Effects with the numbers of the arms among the columns of `data` (control_n, control_mean, ...), or
        computed by :func:`metaexo.effect_sizes`, which keeps them.
    arm : sequence, length k, optional
        Name of the control arm of each effect; effects of one study with one name share it. Default: as
        :func:`shared_arms` finds them, by their numbers.

    Returns
    -------
    tuple of Block
        One block a study, in order of first appearance, for all effects.

    Raises
    ------
    InputError
        If rows repeat each other: leave one of them out.
    MissingInputError
        If the sizes of a shared control arm and of its treated arms are not known.

    References
    ----------
    Gleser & Olkin (2009), in Cooper, Hedges & Valentine, The Handbook of Research Synthesis and
    Meta-Analysis, 2nd ed., 357-376, doi:10.7758/9781610441384.
    Lajeunesse (2011), Ecology 92, 2049-2055, doi:10.1890/11-0423.1 (ratios of means).

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> arms = pd.DataFrame({
    ...     "treatment_mean": [5.0, 6.0], "treatment_sd": [1.0, 2.0], "treatment_n": [10, 10],
    ...     "control_mean": [4.0, 4.0], "control_sd": [2.0, 2.0], "control_n": [8, 8],
    ... })
    >>> es = mx.effect_sizes("MD", data=arms, study=["Lee", "Lee"])
    >>> shared_control_covariances(es)[0].cov
    array([[0.6, 0.5],
           [0.5, 0.9]])
    """
    groups = _found(es) if arm is None else _named(es, arm)
    whole = {(i, i): float(v) for i, v in enumerate(es.v)}
    for rows in groups:
        cov = _covariances(es, np.array(rows, dtype=np.intp))
        whole |= {(i, j): cov[a, b] for a, i in enumerate(rows) for b, j in enumerate(rows) if i != j}
    members: dict[str, list[int]] = {}
    for i, study in enumerate(es.study or es.row_ids):
        members.setdefault(study, []).append(i)
    return tuple(
        Block(
            study,
            np.array(rows, dtype=np.intp),
            np.array([[whole.get((i, j), 0.0) for j in rows] for i in rows]),
        )
        for study, rows in members.items()
    )


def _found(es: EffectSizes) -> list[tuple[int, ...]]:
    """Return the rows of each shared control arm, found by its numbers."""
    found = shared_arms(es)
    twice = [str(one) for one in found if one.arm == "both"]
    if twice:
        raise InputError(
            "rows repeat each other", "every result once", "leave all but one of them out by select()", twice
        )
    return [one.rows for one in found]


def _named(es: EffectSizes, arm: Sequence[object] | pd.Series) -> list[tuple[int, ...]]:
    """Return the rows of each shared control arm, told by name."""
    names = list(arm)
    if len(names) != es.k:
        raise ShapeError(f"arm has {len(names)} entries for {es.k} effects", "one for each")
    groups: dict[tuple[str, str], list[int]] = {}
    for i, (study, name) in enumerate(zip(es.study or es.row_ids, names, strict=True)):
        if name is not None and name == name:
            groups.setdefault((study, str(name)), []).append(i)
    return [tuple(rows) for rows in groups.values() if len(rows) > 1]


def _covariances(es: EffectSizes, rows: NDArray[np.intp]) -> Array:
    """Return the covariances of effects that share one control arm; the diagonal is of no meaning."""
    treated, control = _numbers(es, "treatment_n", rows), _numbers(es, "control_n", rows)
    code, y = es.measure.code, es.y[rows]
    usual = es.origin is None or es.origin.options.get("variance") in (None, *es.measure.variances[:1])
    if code in SUMS and usual:
        own = _control_part(es, rows)
        if np.isfinite(own).all():
            return np.full((rows.size, rows.size), float(own.mean()))
    if not (np.isfinite(treated).all() and np.isfinite(control).all()):
        raise MissingInputError(
            "the sizes of arms that share a control are not known",
            "treatment_n and control_n of these rows",
            "give them, or assume a correlation with covariance_blocks",
            [es.row_labels[i] for i in rows],
        )
    n = float(control.mean())
    products = np.outer(y, y)
    if code in BY_POOLED_SD and usual:
        scale = BY_POOLED_SD[code]
        return np.asarray(scale**2 / n + products / (2 * (n + treated.sum())))
    if code in BY_CONTROL_SD and usual:
        return np.asarray(1 / n + products / (2 * n))
    share = (1 / n) / np.sqrt(np.outer(1 / treated + 1 / n, 1 / treated + 1 / n))
    return np.asarray(share * np.sqrt(np.outer(es.v[rows], es.v[rows])))


def _control_part(es: EffectSizes, rows: NDArray[np.intp]) -> Array:
    """Return the control arm's part of the variance: half of that of the arm against an arm like itself."""
    numbers = {}
    for name in es.measure.inputs:
        values = _numbers(es, name.replace("treatment_", "control_"), rows)
        if name.endswith("_sd") and np.isnan(values).any():
            n = _numbers(es, "control_n", rows)
            values = np.where(np.isnan(values), _numbers(es, "control_se", rows) * np.sqrt(n), values)
        numbers[name] = values
    return calculate(es.measure, numbers).v / 2


def _numbers(es: EffectSizes, name: str, rows: NDArray[np.intp]) -> Array:
    """Return a column of the effects' data, or of the statistics behind them; NaN if in neither."""
    if es.data is not None and name in es.data.columns:
        return np.asarray(es.data[name], dtype=float)[rows]
    if es.origin is not None and name in es.origin.inputs:
        return np.asarray(es.origin.inputs[name], dtype=float)[es.origin.rows[rows]]
    return np.full(rows.size, np.nan)
