"""Covariances of effects that rest on one arm, in whatever role: known from that arm, not assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.check import check_kind
from metaexo.effects.conversions.odds import LOGISTIC, NORMAL
from metaexo.effects.dependence.arms import ARMS, arm_numbers, arms_by_name, arms_by_numbers, paired_rows
from metaexo.effects.dependence.covariances import Block
from metaexo.effects.effect_rows import rows_by
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.effects.measures.calculate import calculate
from metaexo.effects.measures.zero_cells import ZeroCells, add_to_cells, cells
from metaexo.effects.tables.facts import read_facts
from metaexo.errors import InputError, MissingInputError
from metaexo.inputs import check_number, read_entries
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

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
STEP = 1e-4
"""Step of the differences, in standard deviations (for counts, in events)."""
CONTINUITY = "continuity correction"


def shared_control_covariances(
    effects: EffectSizes,
    arm: Sequence[object] | pd.Series | None = None,
    *,
    treated: Sequence[object] | pd.Series | None = None,
    correlation: float | None = None,
) -> tuple[Block, ...]:
    """Return the covariances of effects of one study that rest on the same arm, in whatever role.

    Use it for studies with several treated arms (doses, preparations, sources) and one control, for an arm
    that is compared with several controls, or for an arm that is treated in one row and control in another;
    as `V` of :class:`metaexo.Multilevel`, or to average the effects (:func:`aggregate`). No correlation is
    assumed: what two effects share is the sampling error of the arm. It is positive where the arm has one
    role in both, negative where it is treated in one and control in the other.

    ==================================  ========================================================
    Measure                             Covariance, for one role in both
    ==================================  ========================================================
    MD, ROM, VR, CVR, RR, OR, RD, AS,   the shared arm's part of the variance: s^2/n for MD,
    IRR, IRD, IRSD, PBIT, OR2D...       s^2/(n m^2) for ROM, 1/x + 1/(n - x) for OR, ...
    SMD, D2OR...                        1/n + d_i d_j / (2 N), N all people of these arms
    SMD1                                1/n + d_i d_j / (2 n), the second part for controls only
    other functions of means and SDs    by the delta method, from the variances s^2/n of the
    or of counts: SMDH, SMD1H, RPB,     mean, s^2/(2 (n - 1)) of the SD and n p (1 - p) of a
    PHI, YUQ, PETO, CLESN, ...          count
    others, and where the numbers of    r sqrt(v_i v_j),
    the arms are not known              r = (1/n) / sqrt((1/n_i + 1/n) (1/n_j + 1/n))
    ==================================  ========================================================

    with n, m, s, x of the shared arm. For SMD a negative sign goes to 1/n alone, and the SD is taken as
    pooled over all these arms, as Gleser and Olkin do. Other types of sampling variance than the default keep
    the correlation. Effects that share no arm have no covariance here, unless `correlation` assumes one;
    where all of it is assumed, use :func:`covariance_blocks`.

    Parameters
    ----------
    effects : EffectSizes
        Effects computed by :func:`metaexo.effect_sizes` or from sheets, which keep the numbers of the arms
        whatever their columns are called, or with these numbers among the columns of `data` (control_n,
        control_mean, ...).
    arm : sequence, length k, optional
        Name of the control arm of each effect; effects of one study with one name share it. Blank names are
        no arm. Default: as :func:`shared_arms` finds them, by their numbers.
    treated : sequence, length k, optional
        Name of the treated arm of each effect, beside `arm`: an arm may have both roles.
    correlation : float, optional
        Correlation assumed between the sampling errors of effects of one study that share no arm, such as
        times or outcomes of the same people. Default: they are independent.

    Returns
    -------
    tuple of Block
        One block per study, in order of first appearance, for all effects.

    Raises
    ------
    InputError
        If rows repeat each other: leave one of them out. If an arm is compared with itself. If rows that
        share an arm compare the same people twice: the errors of their two arms are not independent. If
        `correlation` is no correlation, or contradicts what the shared arms make.
    MissingInputError
        If the sizes of a shared arm and of the arms compared with it are not known.

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
    ...     "treatment_mean": [5.0, 6.0, 6.0], "treatment_sd": [1.0, 2.0, 2.0], "treatment_n": [10, 10, 10],
    ...     "control_mean": [4.0, 4.0, 5.0], "control_sd": [2.0, 2.0, 1.0], "control_n": [8, 8, 10],
    ... })
    >>> effects = mx.effect_sizes("MD", data=arms, study=["Lee", "Lee", "Lee"])
    >>> shared_control_covariances(effects)[0].cov
    array([[ 0.6,  0.5, -0.1],
           [ 0.5,  0.9,  0.4],
           [-0.1,  0.4,  0.5]])
    """
    check_kind("effects", effects, EffectSizes)
    ids = _ids(effects, arm, treated)
    whole = {(i, i): float(v) for i, v in enumerate(effects.v)}
    groups = [] if ids is None else _components(ids)
    if ids is not None and groups:
        _refuse_paired(effects, groups)
        whole |= _covariances(effects, ids, groups)
    r = 0.0 if correlation is None else check_number("correlation", correlation)
    if not -1 < r < 1:
        raise InputError(f"correlation is {r:g}", "a number between -1 and 1")
    blocks = []
    for study, rows in rows_by(effects.study or effects.row_ids).items():
        cov = r * np.sqrt(np.outer(effects.v[rows], effects.v[rows]))
        for i, j in np.ndindex(cov.shape):
            cov[i, j] = whole.get((int(rows[i]), int(rows[j])), cov[i, j])
        if r and np.linalg.eigvalsh(cov)[0] < -1e-10 * cov.max():
            raise InputError(
                f"a correlation of {r:g} contradicts the covariances that shared arms make in {study}",
                "a correlation that goes with them",
                "use a smaller correlation, or covariance_blocks, which assumes all of it",
            )
        blocks.append(Block(study, rows, cov))
    return tuple(blocks)


def _ids(
    es: EffectSizes, arm: Sequence[object] | pd.Series | None, treated: Sequence[object] | pd.Series | None
) -> NDArray[np.intp] | None:
    """Return what identifies the arms of each effect; refuse rows that repeat each other."""
    if arm is None and treated is None:
        ids = arms_by_numbers(es)
    else:
        given = {"treated": treated, "arm": arm}
        names = [None if x is None else read_entries(x, name, es.k) for name, x in given.items()]
        ids = arms_by_name(es, names[0], names[1])
    if ids is None:
        return None
    seen: dict[frozenset[int], int] = {}
    twice = []
    for i, pair in enumerate(ids.T.tolist()):
        if min(pair) >= 0:
            first = seen.setdefault(frozenset(pair), i)
            if pair[0] == pair[1]:
                raise InputError(
                    "an arm is compared with itself",
                    "two arms in each row",
                    "correct their names",
                    [es.row_labels[i]],
                )
            if first != i:
                twice.append(f"{es.row_labels[first]}; {es.row_labels[i]}")
    if twice:
        raise InputError(
            "rows repeat each other",
            "every result once",
            "leave all but one of them out by select(); if two arms have equal numbers, name the arms by "
            "arm= and treated=",
            twice,
        )
    return ids


def _refuse_paired(es: EffectSizes, groups: Sequence[Sequence[int]]) -> None:
    """Refuse rows that share an arm and whose two arms are the same people."""
    paired = paired_rows(es)
    rows = [es.row_labels[i] for group in groups for i in group if paired[i]]
    if rows:
        raise InputError(
            "rows that share an arm compare the same people twice",
            "arms of different people in the rows that share one: only then is what they share the error of "
            "that arm alone",
            "assume a correlation of these effects with covariance_blocks",
            rows,
        )


def _components(ids: NDArray[np.intp]) -> list[list[int]]:
    """Return the groups of rows that hang together by shared arms, those of one row left out."""
    first: dict[int, int] = {}
    parent = list(range(ids.shape[1]))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, pair in enumerate(ids.T.tolist()):
        for arm in pair:
            if arm >= 0:
                parent[root(i)] = root(first.setdefault(arm, i))
    groups = rows_by(root(i) for i in range(ids.shape[1]))
    return [rows.tolist() for rows in groups.values() if len(rows) > 1]


def _covariances(
    es: EffectSizes, ids: NDArray[np.intp], groups: Sequence[Sequence[int]]
) -> dict[tuple[int, int], float]:
    """Return the covariance of each pair of effects that share an arm.

    Each effect is, near its value, a sum of errors of its two arms; `loadings` are the SDs of these errors in
    the effect, with their signs. Two effects have the products of their loadings on a shared arm in common.
    """
    rows = np.array([i for group in groups for i in group], dtype=np.intp)
    loadings = _loadings(es, rows)
    missing = [es.row_labels[i] for i, x in zip(rows.tolist(), loadings, strict=True) if np.isnan(x).any()]
    if missing:
        raise MissingInputError(
            "the sizes of arms that share an arm are not known",
            "treatment_n and control_n of these rows",
            "give them, or assume a correlation with covariance_blocks",
            missing,
        )
    of_row = dict(zip(rows.tolist(), loadings, strict=True))
    common_sd = BY_POOLED_SD.get(es.measure.code) if _usual(es) else None
    found: dict[tuple[int, int], float] = {}
    for group in groups:
        people = _people(es, ids, group)
        for i in group:
            for j in group:
                shared = [(a, b) for a in (0, 1) for b in (0, 1) if i != j and ids[a, i] == ids[b, j] >= 0]
                if shared:
                    cov = sum(float(of_row[i][a] @ of_row[j][b]) for a, b in shared)
                    # the SD that both are divided by is taken as pooled over all these arms
                    by_sd = 0.0 if common_sd is None else float(es.y[i] * es.y[j]) / (2 * people)
                    found[i, j] = cov + by_sd
    return found


def _people(es: EffectSizes, ids: NDArray[np.intp], group: Sequence[int]) -> float:
    """Return the number of people in the arms of some effects, each arm once."""
    sizes: dict[object, float] = {}
    for role, arm in enumerate(ARMS):
        n = arm_numbers(es, f"{arm}_n")
        sizes |= {int(ids[role, i]) if ids[role, i] >= 0 else (role, i): float(n[i]) for i in group}
    return sum(sizes.values())


def _usual(es: EffectSizes) -> bool:
    """Say whether the sampling variances are of the measure's default type."""
    return es.origin is None or es.origin.options.get("variance") in (None, *es.measure.variances[:1])


def _loadings(es: EffectSizes, rows: NDArray[np.intp]) -> Array:
    """Return the SD of each error of the treated and of the control arm in each effect, with its sign.

    By row, arm (treated, control) and number (mean or count, SD). Their squares add up to the sampling
    variance of the effect, but for the part of a common SD.
    """
    code = es.measure.code
    sizes = [arm_numbers(es, f"{arm}_n")[rows] for arm in ARMS]
    by_size = np.zeros((rows.size, 2, 2))
    by_size[:, 0, 0], by_size[:, 1, 0] = (sign / np.sqrt(n) for sign, n in zip((1, -1), sizes, strict=True))
    if code in BY_POOLED_SD and _usual(es):
        return by_size * BY_POOLED_SD[code]
    if code in BY_CONTROL_SD and _usual(es):
        by_size[:, 1, 1] = -es.y[rows] / np.sqrt(2 * sizes[1])
        return by_size
    found = _of_sums(es, rows) if code in SUMS else _of_functions(es, rows)
    unknown = ~np.isfinite(found).all(axis=(1, 2)) | ~(np.abs(found).sum(axis=(1, 2)) > 0)
    found[unknown] = by_size[unknown]
    variance = (found**2).sum(axis=(1, 2))
    return np.asarray(found * np.sqrt(es.v[rows] / variance)[:, None, None])


def _of_sums(es: EffectSizes, rows: NDArray[np.intp]) -> Array:
    """Return the loadings of a measure whose variance is a sum over the arms.

    An arm's part is half of the variance of the arm against an arm like itself.
    """
    inputs = _inputs(es, rows)
    found = np.full((rows.size, 2, 2), np.nan)
    if inputs is None:
        return found
    found[:, :, 1] = 0.0
    for role, arm in enumerate(ARMS):
        of_arm = {name: inputs[f"{arm}_{name.split('_', 1)[1]}"] for name in inputs}
        rule = None if es.measure.zero_cells is None else ZeroCells(0.0)
        found[:, role, 0] = (1, -1)[role] * np.sqrt(calculate(es.measure, of_arm, zero_cells=rule).v / 2)
    return found


def _of_functions(es: EffectSizes, rows: NDArray[np.intp]) -> Array:
    """Return the loadings by the delta method: slopes by central differences, times SDs of the numbers."""
    inputs = _inputs(es, rows)
    found = np.full((rows.size, 2, 2), np.nan)
    if inputs is None:
        return found
    found[...] = 0.0
    for role, arm in enumerate(ARMS):
        for place, kind in enumerate(("mean", "sd")):
            name = f"{arm}_{kind}" if kind == "sd" or f"{arm}_mean" in inputs else f"{arm}_events"
            if name in inputs:
                error, step = _error(inputs, arm, name.rsplit("_", 1)[1])
                ends = [_value(es.measure, inputs | {name: inputs[name] + side * step}) for side in (1, -1)]
                with np.errstate(all="ignore"):
                    found[:, role, place] = (ends[0] - ends[1]) / (2 * step) * error
    return found


def _value(measure: Measure, inputs: Mapping[str, Array]) -> Array:
    """Return the effects of numbers of the arms, without corrections."""
    options = {"bias_correction": False} if measure.bias_corrected else {}
    assert measure.compute is not None
    with np.errstate(all="ignore"):
        return measure.compute(**inputs, **options)[0]


def _error(inputs: Mapping[str, Array], arm: str, kind: str) -> tuple[Array, Array]:
    """Return the standard error of a number of an arm, and a step that is small beside its scale."""
    with np.errstate(all="ignore"):
        if kind == "events":
            x, n = inputs[f"{arm}_events"], inputs.get(f"{arm}_n")
            if n is not None:  # a count of 0 or n has an error as well
                x = np.where((x > 0) & (x < n), x, (x + 0.5) * n / (n + 1))
            return np.sqrt(x if n is None else x * (1 - x / n)), np.full(x.shape, STEP)
        sd, n = inputs.get(f"{arm}_sd"), inputs[f"{arm}_n"]
        if sd is None:
            sd = inputs["control_sd"]
        return sd / np.sqrt(n if kind == "mean" else 2 * (n - 1)), STEP * sd


def _inputs(es: EffectSizes, rows: NDArray[np.intp]) -> dict[str, Array] | None:
    """Return the inputs of the measure at some rows, zeros as in the effects; None if not of two arms."""
    record = es.measure
    if record.compute is None or not all(
        name.startswith(("treatment_", "control_")) for name in record.inputs
    ):
        return None
    moments = _moments(es)
    numbers = {name: moments.get(name, arm_numbers(es, name)) for name in record.inputs}
    if record.zero_cells is not None:
        rule = (None if es.origin is None else es.origin.options.get("zero_cells")) or ZeroCells(
            record.zero_cells
        )
        if es.derived:
            touched = np.array([CONTINUITY in mark.formula for mark in es.derived], dtype=bool)
        else:
            touched = rule.touched(np.any([cell == 0 for part in cells(numbers) for cell in part], axis=0))
        numbers = add_to_cells(numbers, rule, touched)
    return {name: values[rows] for name, values in numbers.items()}


def _moments(es: EffectSizes) -> dict[str, Array]:
    """Return means and SDs of the arms of effects from a table, SDs completed from what the table gives."""
    if es.origin is None or not es.origin.from_table:
        return {}
    found: dict[str, Array] = {}
    for arm, done in read_facts(es.origin.inputs).arms.items():
        found |= {f"{arm}_mean": done.mean[es.origin.rows], f"{arm}_sd": done.sd[es.origin.rows]}
    return found
