"""The five-part summary of a fit: what was fitted, pooled, heterogeneity, data, fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import MISSING, interval, level_words, number, percent, text_table
from metaexo.models.linear.contrasts import estimate_rows, term_test
from metaexo.models.linear.fit import Coefficients, LinearFit
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.hypothesis import TestResult
from metaexo.readable import Summary

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 4


@dataclass(frozen=True, slots=True)
class FamilyLines:
    """What a family of models adds to the summary of a fit."""

    model: str  # its name with a capital: "Random-effects model"
    tests: str  # kind of tests and intervals: "Knapp-Hartung"
    fitted: tuple[str, ...] = ()  # choices of the model; also below the tables of the fit
    pooled: tuple[str, ...] = ()  # after the pooled effect
    heterogeneity: tuple[str, ...] = ()  # after the components; also below the tables of the fit
    data: tuple[str, ...] = ()  # how the rows count
    certificate: tuple[str, ...] = ()  # how the maximum was found


def summarise(
    fit: LinearFit, family: FamilyLines, q: TestResult, found: Pooled | None, above: float
) -> Summary:
    """Return the five parts for a fit.

    `found`: the pooled effect, None with moderators; `above`: the probability that the effect of a new study
    exceeds the null, NaN where it is not known. Both are what the results themselves say.
    """
    return Summary(
        {
            "What was fitted": fitted_lines(fit, family),
            "Pooled": [
                *_pooled_lines(fit, found, above),
                *family.pooled,
                *(f"caution: {text}" for text in fit.cautions()),
            ],
            "Heterogeneity": [*heterogeneity_lines(fit, q), *family.heterogeneity],
            "Data": [*data_lines(fit), *family.data],
            "Fit": [*family.certificate, f"data digest {fit.digest}"],
        }
    )


def fitted_lines(fit: LinearFit, family: FamilyLines) -> list[str]:
    """Return what was fitted: model, effects, measure, choices, tests, moderators."""
    lines = [
        f"{family.model} of {fit.rows_in_words}, {fit.scale} ({fit.measure.code})",
        *family.fitted,
        f"intervals: {fit.robust_covariance or family.tests}, level {level_words(fit.level)}",
    ]
    if fit.design.x is not None:
        names = [name for j, name in enumerate(fit.design.names) if j != fit.design.intercept]
        lines.append("moderators: " + ", ".join(names))
    return [*lines, *fit.design.notes]


# -- coefficients -------------------------------------------------------------------------------------------


def coefficient_rows(
    fit: Coefficients, effects: EffectSizes | BoundedEffectSizes | None = None
) -> tuple[list[list[str]], list[str]]:
    """Return the rows and the header of the table of coefficients.

    With the effects, the coefficients are shown on the scale of their measure as well. Ratios are shown for
    every coefficient: that of a moderator is a ratio of ratios. Other scales, such as the proportion of a
    logit, only for a pooled effect.
    """
    low, high = fit.bounds()
    rows, header = estimate_rows(
        "term",
        fit.design.names,
        (fit.beta, fit.se, low, high, fit.wald_pvalues),
        fit.df_by_coefficient,
        fit.level,
        "SE" if fit.robust_covariance is None else "robust SE",
    )
    if effects is not None and (
        effects.measure.display_log or (effects.measure.rescaled and fit.design.x is None)
    ):
        ends = [back_pooled(effects, values) for values in (fit.beta, low, high)]
        for j, (row, b, lo, hi) in enumerate(zip(rows, *ends, strict=True)):
            far = fit.design.x is not None and j == fit.design.intercept and not _is_ratio(b, lo, hi)
            row.append(MISSING if far else f"{number(float(b), 3)} ({interval(float(lo), float(hi), 3)})")
        header.append(effects.measure.display.lower() if fit.design.x is None else "ratio (exp)")
    return rows, header


def _is_ratio(*ends: float) -> bool:
    """Say whether a ratio with its interval can be read; that at an uncentred year of 0 cannot."""
    return all(1 / LARGEST_RATIO <= end <= LARGEST_RATIO for end in ends)


LARGEST_RATIO = 1e6


def coefficient_table(fit: Coefficients, effects: EffectSizes | BoundedEffectSizes | None = None) -> str:
    """Return the coefficients as a plain table."""
    return text_table(*coefficient_rows(fit, effects))


def term_lines(fit: Coefficients) -> list[str]:
    """Return a line for each term of several coefficients: its test."""
    several = [term for term in fit.design.terms if len(term.columns) > 1]
    if not several or len(fit.design.terms) < 2:
        return []
    return [f"{term.name}: {term_test(fit, term)}" for term in several]


def _pooled_lines(fit: LinearFit, found: Pooled | None, above: float) -> list[str]:
    if found is None:
        return [coefficient_table(fit, fit.effects), f"moderators: {fit.omnibus}", *term_lines(fit)]
    level = percent(found.level)
    lines = [
        f"estimate {number(found.estimate, 4)} (SE {number(found.se, 4)}), "
        f"{level} interval {interval(found.low, found.high, 4)}"
    ]
    if found.prediction_low is not None:
        null = fit.measure.null
        chance = f", above {null:g} with probability {percent(above)}" if np.isfinite(null) else ""
        ends = interval(found.prediction_low, found.prediction_high, 4)
        what = "true effect of" if np.isfinite(null) else "true value in"
        lines.append(f"{what} a new study: {level} prediction interval {ends}{chance}")
    lines.append(str(fit.omnibus))
    if fit.measure.rescaled:
        lines.append(_on_shown_scale(fit, found))
    return lines


def _on_shown_scale(fit: LinearFit, found: Pooled) -> str:
    shown = pooled_as_shown(fit, found)
    line = (
        f"{fit.measure.display.lower()} {number(shown['estimate'], 3)} "
        f"({interval(shown['low'], shown['high'], 3)})"
    )
    if found.prediction_low is None:
        return line
    return f"{line}, prediction interval {interval(shown['prediction_low'], shown['prediction_high'], 3)}"


def pooled_as_shown(fit: LinearFit, found: Pooled) -> dict[str, Any]:
    """Return the pooled effect and its intervals on the scale on which the measure is shown."""
    out: dict[str, Any] = {"scale": fit.measure.display}
    for name in ("estimate", "low", "high", "prediction_low", "prediction_high"):
        value = getattr(found, name)
        out[name] = None if value is None else float(back_pooled(fit.effects, value))
    return out


# -- heterogeneity and data ---------------------------------------------------------------------------------


def heterogeneity_table(
    fit: LinearFit, level: float | None = None, method: str | None = None
) -> pd.DataFrame:
    """Return tau2, tau, low, high, i2 and share of each component; see `FitResults.heterogeneity`."""
    import pandas as pd

    chosen = fit.at_level(level)
    limits = fit.tau2_limits(chosen, method)
    tau2 = fit.tau2_by_component
    values = np.array(list(tau2.values()), dtype=float)
    share = fit.tau2_shares
    none = (np.nan, np.nan)
    ends = [none if limits is None else limits.bounds.get(name, none) for name in tau2]
    table = pd.DataFrame(
        {
            "tau2": values,
            "tau": np.sqrt(np.where(values < 0, np.nan, values)),
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
            "i2": [fit.i2]
            if values.size == 1
            else fit.i2 * (share if fit.tau2 > 0 else np.zeros(values.size)),
            "share": share,
        },
        index=pd.Index(list(tau2), name="component", dtype=object),
    )
    table.attrs = {
        "level": chosen,
        "method": "" if limits is None else limits.method,
        "note": "" if limits is None else limits.note,
    }
    return table


def heterogeneity_lines(fit: LinearFit, q: TestResult) -> list[str]:
    """Return tau, tau2 and I2 of each component with their intervals, and the Q test."""
    if fit.k <= fit.design.p:
        return ["tau2 and I2 cannot be estimated: as many coefficients as effects"]
    table = heterogeneity_table(fit)
    if not fit.is_random:
        lines = [f"I2 {percent(fit.i2)}"] if q.is_testable else []
    elif len(table) == 1:
        lines = _one_component(fit, table.iloc[0], table.attrs["method"])
    else:
        lines = [text_table(*component_rows(table))] if len(table) else []
        adds_up = np.isclose(table["tau2"].sum(), fit.tau2, rtol=1e-9, atol=0.0)
        total = "in total" if adds_up else "in total, averaged over the effects"
        lines.append(f"{total}: tau2 {number(fit.tau2, 4)}, I2 {percent(fit.i2)}")
    lines += [table.attrs["note"]] if table.attrs["note"] else []
    return [*lines, f"Q: {q}"]


def _one_component(fit: LinearFit, row: pd.Series, method: str) -> list[str]:
    """Return tau, tau2 and I2 with their intervals; those of tau and I2 follow from that of tau2."""
    low, high = row["low"], row["high"]
    if np.isnan(low):
        given = "" if fit.tau2_is_estimated else ", given"
        lines = [f"tau {number(fit.tau, 4)}, tau2 {number(fit.tau2, 4)}{given}"]
        return lines if np.isnan(fit.i2) else [*lines, f"I2 {percent(fit.i2)}"]
    ends = np.array([low, high])
    tau, h2 = np.sqrt(ends), ends / fit.typical_variance + 1
    i2 = 1 - 1 / h2
    return [
        f"tau {number(fit.tau, 4)} ({interval(tau[0], tau[1], 4)}), "
        f"tau2 {number(fit.tau2, 4)} ({interval(low, high, 4)}, {method})",
        f"I2 {percent(fit.i2)} ({percent(i2[0])} to {percent(i2[1])})",
    ]


def component_rows(table: pd.DataFrame) -> tuple[list[list[str]], list[str]]:
    """Return the rows and the header of a table of heterogeneity."""
    bounded = bool(table["low"].notna().any())
    rows = [
        [
            str(name),
            number(row["tau2"], DIGITS),
            *([interval(row["low"], row["high"], DIGITS)] if bounded else []),
            number(row["tau"], DIGITS),
            percent(row["i2"]),
        ]
        for name, row in table.iterrows()
    ]
    header = ["heterogeneity", "tau2", "tau", "I2"]
    if bounded:
        header.insert(2, f"{percent(table.attrs['level'])} interval")
    return rows, header


def data_lines(fit: LinearFit) -> list[str]:
    """Return how many rows were used and left out, with the reasons, and what their effects rest on."""
    ledger, derived = fit.ledger, fit.derivations
    lines = [str(ledger)]
    lines += [f"{row.rows} x {row.reason} ({row.step})" for row in ledger.counts().iloc[1:].itertuples()]
    kinds = Counter(mark.how for mark in derived)
    if kinds:
        lines.append(
            ", ".join(f"{kinds[how]} {how}" for how in ("reported", "converted", "assumed") if kinds[how])
        )
        lines += sorted({f"assumed: {mark.note}" for mark in derived if mark.how == "assumed"})
    return lines
