"""Refits of a censored fit without each kind of evidence: exact effects, intervals, directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError, MetaexoError
from metaexo.models.censored.effects import KINDS
from metaexo.models.censored.results import CensoredResults
from metaexo.sensitivity.refit import refit

if TYPE_CHECKING:
    import pandas as pd


def without_kind(fit: CensoredResults, kind: str) -> CensoredResults:
    """Return the fit without one kind of evidence, all other choices the same.

    Parameters
    ----------
    fit : CensoredResults
        A fit of :class:`metaexo.CensoredRandomEffects`.
    kind : str
        "exact", "interval, two ends", "interval, one end" or "direction".

    Returns
    -------
    CensoredResults
        The fit of the other effects.

    Raises
    ------
    InputError
        If the fit is of another model, or there is no effect of this kind.
    NotIdentifiableError
        If what remains has no estimate; it says why.

    Examples
    --------
    >>> import metaexo as mx
    >>> from metaexo.effects import bounded_effects
    >>> inf = float("inf")
    >>> es = bounded_effects([0.2, 0.9, 0.6, 0.7], [0.2, 0.9, 0.6, inf], [0.08, 0.1, 0.09, 0.13])
    >>> fit = mx.CensoredRandomEffects(es).fit()
    >>> round(fit.estimate, 2), round(mx.sensitivity.without_kind(fit, "interval, one end").estimate, 2)
    (0.65, 0.55)
    """
    _check(fit)
    keep = np.array([type(kind) is not str or one != kind for one in fit.kinds])
    if keep.all():
        raise InputError(f"no effect is of the kind {kind!r}", f"one of {', '.join(sorted(set(fit.kinds)))}")
    return refit(fit, keep)


def leave_kind_out(fit: CensoredResults) -> pd.DataFrame:
    """Return the estimates without each kind of evidence in turn, and with all of it first.

    Use it to see whether a result rests on numbers or on thresholds.

    Parameters
    ----------
    fit : CensoredResults
        A fit of :class:`metaexo.CensoredRandomEffects`.

    Returns
    -------
    DataFrame
        Indexed by what was left out ("nothing" first). `k`, `effective`, `tau2`, the coefficients with
        `low` and `high`, one column each, and `note`: why there is no number, where there is none.

    Raises
    ------
    InputError
        If the fit is of another model.

    Examples
    --------
    >>> import metaexo as mx
    >>> from metaexo.effects import bounded_effects
    >>> inf = float("inf")
    >>> es = bounded_effects([0.2, 0.9, 0.6, 0.7], [0.2, 0.9, 0.6, inf], [0.08, 0.1, 0.09, 0.13])
    >>> table = mx.sensitivity.leave_kind_out(mx.CensoredRandomEffects(es).fit())
    >>> table["k"].to_dict()
    {'nothing': 4.0, 'exact': nan, 'interval, one end': 3.0}
    """
    import pandas as pd

    _check(fit)
    rows = {"nothing": _numbers(fit)}
    for kind in (one for one in KINDS if one in fit.kinds):
        try:
            rows[kind] = _numbers(without_kind(fit, kind))
        except MetaexoError as error:
            rows[kind] = {"note": error.given}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("left_out").fillna({"note": ""})


def _check(fit: object) -> None:
    """Raise if a fit is of another model."""
    if not isinstance(fit, CensoredResults):
        raise InputError(
            f"the fit is of type {type(fit).__name__}",
            "a fit of CensoredRandomEffects",
            "mx.CensoredRandomEffects(effects).fit()",
        )


def _numbers(fit: CensoredResults) -> dict[str, float | str]:
    """Return the numbers of a fit as one row of a table."""
    found: dict[str, float | str] = {"k": fit.k, "effective": fit.effective, "tau2": fit.tau2}
    for name, value, (low, high) in zip(fit.design.names, fit.beta, fit.conf_int().to_numpy(), strict=True):
        single = fit.design.x is None
        found["estimate" if single else name] = float(value)
        found["low" if single else f"{name}_low"] = float(low)
        found["high" if single else f"{name}_high"] = float(high)
    return found | {"note": ""}
