"""The public door: from reported statistics to EffectSizes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.calculate import Calculated, as_rows, calculate
from metaexo.effects.check import check_inputs
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.origin import Origin
from metaexo.effects.zero_cells import ZeroCells
from metaexo.errors import InputError, RowsLeftOutWarning, ShapeError, UnknownChoiceError
from metaexo.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd


def effect_sizes(
    measure: str | Measure,
    *,
    labels: Sequence[str] | str | None = None,
    study: Sequence[str] | str | None = None,
    data: pd.DataFrame | None = None,
    variance: str | None = None,
    bias_correction: bool = True,
    continuity: float | None = None,
    continuity_to: Literal["studies_with_zero", "all", "all_if_any_zero", "none"] = "studies_with_zero",
    continuity_cells: Literal["all", "events"] = "all",
    continuity_in: Literal["both", "estimate", "variance"] = "both",
    drop_double_zero: bool = False,
    missing: Literal["drop", "raise"] = "drop",
    **inputs: ArrayLike | str,
) -> EffectSizes:
    """Compute effect sizes and sampling variances from what studies report.

    Use it for summary statistics of your own; evidence sheets have their own door. Which inputs a measure
    needs is told by :func:`metaexo.measures`. A measure that can also be computed from other statistics
    (SMD from t, for example) takes, row by row, the first complete set; the row's derivation says which.

    Parameters
    ----------
    measure : str or Measure
        Code of the measure: "SMD", "MD", "ROM", "OR", "RR", "RD", "PLO", ...
    labels, study : sequence of str or str, optional
        Label and study of each row, or the name of a column of `data`.
    data : pandas.DataFrame, optional
        One row an effect; travels with the effects. If no inputs are given, they are the columns of `data`
        with the names that the measure needs.
    variance : str, optional
        Type of sampling variance; the measure's default if not given.
    bias_correction : bool
        Whether to apply the measure's small-sample correction, if it has one.
    continuity : float, optional
        For counts: what is added to cells; the measure's default (1/2 or 0) if not given.
    continuity_to : {"studies_with_zero", "all", "all_if_any_zero", "none"}
        For counts: which studies it is added to.
    continuity_cells : {"all", "events"}
        For counts: to all cells, or to the events only.
    continuity_in : {"both", "estimate", "variance"}
        For counts: whether effect, variance or both are computed from the changed counts.
    drop_double_zero : bool
        For counts: leave out studies without events (or with events in everyone) in both groups.
    missing : {"drop", "raise"}
        Rows without an effect are left out, with a warning and a reason in the ledger, or raise an error.
    **inputs : array_like or str
        Statistics by name (treatment_mean=..., control_n=...): numbers, or the name of a column of `data`.

    Returns
    -------
    EffectSizes
        Effects with variances, labels, derivations and ledger.

    Raises
    ------
    UnknownChoiceError
        If the measure, an input, or a choice is not known.
    MissingInputError
        If the inputs do not suffice.
    InputError
        If a value is impossible; its subclasses say which kind, and it names the rows.

    Examples
    --------
    >>> es = effect_sizes(
    ...     "SMD",
    ...     treatment_mean=[24.0, 30.0], treatment_sd=5.0, treatment_n=[10, 12],
    ...     control_mean=[18.0, 29.0], control_sd=5.0, control_n=[10, 12],
    ... )
    >>> es.y.round(3)
    array([1.149, 0.193])
    """
    record = get_measure(measure)
    arrays = as_rows(_look_up(record, data, inputs))
    k = next((values.size for values in arrays.values()), 0)
    if data is not None and len(data) != k:
        raise ShapeError(f"data has {len(data)} rows and the inputs have {k}", "one row for each effect")
    shown = _words(labels, data, "labels", k)
    studies = _words(study, data, "study", k)
    rule = _rule(record, continuity, continuity_to, continuity_cells, continuity_in, drop_double_zero)
    check_inputs(arrays, _row_names(k, shown))
    done = calculate(record, arrays, variance=variance, bias_correction=bias_correction, zero_cells=rule)
    ledger = _ledger(done, shown, studies, missing)
    keep = np.array([reason == "" for reason in done.reasons], dtype=bool)
    at = np.flatnonzero(keep)
    return EffectSizes(
        done.y[at],
        done.v[at],
        record,
        labels=[shown[i] for i in at] if shown else None,
        study=[studies[i] for i in at] if studies else None,
        data=data.iloc[at].reset_index(drop=True) if data is not None else None,
        derived=[done.derived[i] for i in at],
        ledger=ledger,
        origin=Origin(
            arrays, at, {"variance": variance, "bias_correction": bias_correction, "zero_cells": rule}
        ),
    )


def _look_up(
    record: Measure, data: pd.DataFrame | None, inputs: Mapping[str, ArrayLike | str]
) -> dict[str, Any]:
    """Replace names of columns by the columns; without inputs, take the columns named like them."""
    if data is not None and not inputs:
        wanted = [*record.inputs, *(name for way in record.alternatives for name in way.inputs)]
        return {name: data[name] for name in dict.fromkeys(wanted) if name in data.columns}
    return {name: _column(data, name, x) if isinstance(x, str) else x for name, x in inputs.items()}


def _column(data: pd.DataFrame | None, name: str, column: str) -> Any:
    if data is None:
        raise InputError(
            f"{name} is the word {column!r}", "numbers, or the name of a column together with data="
        )
    if column not in data.columns:
        raise UnknownChoiceError("column", column, map(str, data.columns))
    return data[column]


def _words(
    given: Sequence[str] | str | None, data: pd.DataFrame | None, name: str, k: int
) -> tuple[str, ...]:
    """Return labels or studies as words; empty if none were given."""
    if given is None:
        return ()
    column = _column(data, name, given) if isinstance(given, str) else given
    words = tuple(str(word) for word in column)
    if len(words) != k:
        raise ShapeError(f"{name} has {len(words)} entries for {k} rows", "one entry for each row")
    return words


def _row_names(k: int, labels: tuple[str, ...]) -> list[str]:
    return [f"row {i + 1} ({labels[i]})" if labels else f"row {i + 1}" for i in range(k)]


def _rule(
    record: Measure,
    continuity: float | None,
    to: Literal["studies_with_zero", "all", "all_if_any_zero", "none"],
    which: Literal["all", "events"],
    share: Literal["both", "estimate", "variance"],
    drop_double_zero: bool,
) -> ZeroCells | None:
    """Return the rule for zero cells; None for a measure that does not count, if nothing was asked for."""
    if record.zero_cells is None:
        asked = (continuity is not None, to != "studies_with_zero", which != "all", share != "both")
        if any(asked) or drop_double_zero:
            raise InputError(
                f"a rule for zero cells was given for {record.code}", "a measure of counts, or no such rule"
            )
        return None
    return ZeroCells(
        record.zero_cells if continuity is None else continuity, to, which, share, drop_double_zero
    )


def _ledger(
    done: Calculated, labels: tuple[str, ...], study: tuple[str, ...], missing: Literal["drop", "raise"]
) -> Ledger | None:
    """Enter the rows without an effect, and tell of them; None if every row has one."""
    gone = {i + 1: reason for i, reason in enumerate(done.reasons) if reason}
    if not gone:
        return None
    told = [f"row {line}{f' ({labels[line - 1]})' if labels else ''}: {why}" for line, why in gone.items()]
    if missing == "raise":
        raise InputError(
            f"{len(gone)} rows have no effect or no sampling variance",
            "an effect and a variance in every row",
            'fill what is missing, or leave them out with missing="drop"',
            told,
        )
    warnings.warn(
        f"{len(gone)} of {done.y.size} rows have no effect or no sampling variance and are left out: "
        + "; ".join(told[:8]),
        RowsLeftOutWarning,
        stacklevel=3,
    )
    ledger = Ledger("input", tuple(range(1, done.y.size + 1)))
    studies = dict(enumerate(study, start=1)) if study else None
    items = dict(enumerate(labels, start=1)) if labels else None
    return ledger.leave_out(gone, "effect", studies, items)
