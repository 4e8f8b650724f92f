"""A pooled effect as one plain sentence part, with everything that a reader needs to weigh it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaexo.effects import EffectSizes, back_by_rows, back_pooled
from metaexo.errors import TooFewStudiesError
from metaexo.formatting import interval, number, percent, plural
from metaexo.models import RandomEffects
from metaexo.numeric.tails import normal_quantile


def pooled_in_words(
    effects: EffectSizes,
    name: str = "",
    *,
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
    digits: int = 2,
) -> str:
    """Return the pooled effect in words: counts, estimate, interval, tau, I2, prediction interval.

    Use it for the statement that an analysis ends with. A single study is described as it is and nothing is
    pooled: it has no between-study variance.

    Parameters
    ----------
    effects : EffectSizes
        Effects, one per study.
    name : str
        Name of the effect, for example "g". Default: the display scale of the measure.
    method, test, level : str, str, float
        As in :meth:`metaexo.RandomEffects.fit`.
    digits : int
        Decimals.

    Returns
    -------
    str
        On the scale that the measure shows; tau is on the scale of the analysis.

    Raises
    ------
    TooFewStudiesError
        If there are no effects.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6], [0.02, 0.05], "SMD", labels=["Li 2020", "Cho 2021"])
    >>> pooled_in_words(es.select([0], "an example"), "g")
    'one study, Li 2020: g = 0.20 (−0.08 to 0.48); nothing to pool'
    >>> pooled_in_words(es, "g")
    'k = 2 effects of m = 2 studies, g = 0.36 (−2.13 to 2.86), τ = 0.21, I² = 56%, prediction interval ...'
    """
    if effects.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    symbol = name or effects.measure.display
    if effects.m == 1:
        return f"{_one_study(effects, symbol, level, digits)}; nothing to pool"
    fit = RandomEffects(effects).fit(method, test, level)
    pooled = fit.pooled()
    counts = f"k = {plural(effects.k, 'effect')} of m = {plural(effects.m, 'study', 'studies')}"
    estimate = _shown(back_pooled(effects, [pooled.estimate, pooled.low, pooled.high]), digits)
    text = f"{counts}, {symbol} = {estimate}, τ = {number(fit.tau, digits)}, I² = {percent(fit.i2)}"
    if pooled.prediction_low is None or pooled.prediction_high is None:
        return text
    ends = back_pooled(effects, [pooled.prediction_low, pooled.prediction_high])
    return f"{text}, prediction interval {interval(float(ends[0]), float(ends[1]), digits)}"


def _one_study(effects: EffectSizes, symbol: str, level: float, digits: int) -> str:
    """Return the effects of the one study there is."""
    half = float(normal_quantile(level)) * np.sqrt(effects.v)
    ends = back_by_rows(effects, [effects.y, effects.y - half, effects.y + half])
    found = [_shown(values, digits) for values in ends.T]
    if effects.k == 1:
        return f"one study, {effects.row_labels[0]}: {symbol} = {found[0]}"
    return f"one study with {effects.k} effects: {symbol} = " + "; ".join(found)


def _shown(values: NDArray[np.float64], digits: int) -> str:
    y, first, second = (float(value) for value in values)
    return f"{number(y, digits)} ({interval(first, second, digits)})"
