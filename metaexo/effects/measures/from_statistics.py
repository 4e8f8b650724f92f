"""The public door: from reported statistics to EffectSizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.check import (
    check_inputs,
    index_of,
    look_up,
    read_labels,
    read_studies,
    read_table_of,
    study_column_of,
)
from metaexo.effects.columns import check_names, missing_columns
from metaexo.effects.derivation import Origin
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.measures.calculate import Calculated, as_rows, calculate
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import (
    InputError,
    RowsLeftOutWarning,
    ShapeError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import check_aligned, check_choice, check_flag, describe
from metaexo.ledger import Ledger, without_rows

if TYPE_CHECKING:
    import pandas as pd


def effect_sizes(
    measure: str | Measure,
    data: pd.DataFrame | Mapping[str, Any] | None = None,
    *,
    labels: Sequence[str] | pd.Series | str | None = None,
    study: Sequence[str] | pd.Series | str | None = None,
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
    needs is listed by :func:`metaexo.measures`. A measure that can also be computed from other statistics
    (SMD from t, for example) takes, row by row, the first complete set; the row's derivation says which.

    Parameters
    ----------
    measure : str or Measure
        Code of the measure: "SMD", "MD", "ROM", "OR", "RR", "RD", "PLO", ...
    data : pandas.DataFrame, optional
        One row per effect; travels with the effects. If no inputs are given, they are the columns of `data`
        with the names that the measure needs.
    labels, study : sequence of str or str, optional
        Label and study of each row, or the name of a column of `data`. A blank label is the number of its
        row. Without `study`, a column "study" of `data` is taken.
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
        If a value is impossible; its subclasses say which kind, and it names the rows. If the study of a row
        is blank, or pandas objects have different indexes.

    Examples
    --------
    A table with column names of one's own:

    >>> import pandas as pd
    >>> table = pd.DataFrame({"exo": [24.0, 30.0], "veh": [18.0, 29.0], "sd": 5.0, "n": [10, 12]})
    >>> effect_sizes("MD", table, treatment_mean="exo", treatment_sd="sd", treatment_n="n",
    ...              control_mean="veh", control_sd="sd", control_n="n").y
    array([6., 1.])

    The numbers themselves:

    >>> es = effect_sizes(
    ...     "SMD",
    ...     treatment_mean=[24.0, 30.0], treatment_sd=5.0, treatment_n=[10, 12],
    ...     control_mean=[18.0, 29.0], control_sd=5.0, control_n=[10, 12],
    ... )
    >>> es.y.round(3)
    array([1.149, 0.193])
    """
    if hasattr(measure, "columns"):
        raise InputError(
            "a table stands where the measure is expected",
            'the measure first, for example "SMD", and then the table',
            'write mx.effect_sizes("SMD", data)',
        )
    if not isinstance(measure, str | Measure):
        raise InputError(
            f"the measure is {describe(measure)}",
            'the code of a measure first, for example "SMD"',
            "effects that are calculated already are handed in by mx.EffectSizes(y, v)",
        )
    record = get_measure(measure)
    data = read_table_of(data)
    check_choice("missing", missing, ("drop", "raise"))
    check_flag("bias_correction", bias_correction)
    column = study if isinstance(study, str) else None
    if study is None and data is not None:
        study = column = study_column_of(data)
    found = _look_up(record, data, inputs)
    named = {"labels": look_up(data, "labels", labels), "study": look_up(data, "study", study)}
    check_aligned(**found, **named, data=data)
    arrays = as_rows(found)
    k = next((values.size for values in arrays.values()), 0)
    if data is not None and len(data) != k:
        raise ShapeError(f"data has {len(data)} rows and the inputs have {k}", "one row for each effect")
    shown, studies = read_labels(named["labels"], k), read_studies(named["study"], k)
    rule = _rule(record, continuity, continuity_to, continuity_cells, continuity_in, drop_double_zero)
    check_inputs(arrays, _row_names(k, shown))
    done = calculate(record, arrays, variance=variance, bias_correction=bias_correction, zero_cells=rule)
    ledger = _ledger(done, shown, studies, missing)
    at = np.flatnonzero([reason == "" for reason in done.reasons])
    index = index_of(*found.values(), *named.values(), data)
    options = {"variance": variance, "bias_correction": bias_correction, "zero_cells": rule}
    made = EffectSizes(
        done.y[at],
        done.v[at],
        record,
        labels=[shown[i] for i in at] if shown else None,
        study=column or ([studies[i] for i in at] if studies else None),
        data=data.iloc[at] if data is not None else None,
        derived=[done.derived[i] for i in at],
        ledger=ledger,
        origin=Origin(arrays, at, options),
    )
    return made if index is None else made.with_index(index[at])


def _look_up(
    record: Measure, data: pd.DataFrame | None, inputs: Mapping[str, ArrayLike | str]
) -> dict[str, Any]:
    """Replace names of columns by the columns; without inputs, take the columns named like them."""
    ways = [route.inputs for route in record.routes]
    if data is None or inputs:
        check_names(record, inputs)
        return {name: look_up(data, name, values) for name, values in inputs.items()}
    found = {name: data[name] for name in dict.fromkeys(sum(ways, ())) if name in data.columns}
    if ways and not any(set(way) <= set(found) for way in ways):
        raise missing_columns(record, [str(column) for column in data.columns], found)
    return found


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
    rule = ZeroCells(0.0 if continuity is None else continuity, to, which, share, drop_double_zero)
    if record.zero_cells is None:
        asked = (continuity is not None, to != "studies_with_zero", which != "all", share != "both")
        if any(asked) or drop_double_zero:
            raise InputError(
                f"a rule for zero cells was given for {record.code}", "a measure of counts, or no such rule"
            )
        return None
    return replace(rule, add=record.zero_cells) if continuity is None else rule


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
            f"{plural(len(gone), 'row')} without an effect or a sampling variance",
            "an effect and a variance in every row",
            'fill what is missing, or leave them out with missing="drop"',
            told,
        )
    warn_caller(
        f"left out, without an effect or a variance, {len(gone)} of {plural(done.y.size, 'row')}: "
        + "; ".join(told[:8]),
        RowsLeftOutWarning,
    )
    without = np.array([bool(reason) for reason in done.reasons])
    return without_rows(Ledger.of_rows(done.y.size), without, done.reasons, "effect", study, labels)
