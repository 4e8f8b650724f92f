"""Strata as tables, as plain values, and as a summary in five parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import MISSING, interval, level_words, number, percent, plural, text_table
from metaexo.heterogeneity.levels import STUDY, columns_beside, rows_by_factor, word_for_all
from metaexo.heterogeneity.strata.comparisons import pairwise, trend
from metaexo.heterogeneity.strata.fit import StrataFit, Stratum
from metaexo.inputs import check_choice, read_words
from metaexo.models.linear.cautions import cautions_of_estimates, cautions_of_range
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.prediction import Prediction, prediction_frame
from metaexo.models.linear.summary import FamilyLines, data_lines, fitted_lines
from metaexo.models.univariate.inference import TESTS, narrower_than_equal_effects
from metaexo.models.univariate.intervals import INTERVALS, HeterogeneityInterval
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator
from metaexo.readable import Summary, with_ratios
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("stratum", "note")
COUNTS = ("k", "m", "clusters")
RATIOS = ("ratio", "ratio_low", "ratio_high")
# Marks the effect of a single study in the tables for readers.
ALONE = "(one study)"


def strata_frame(results: StrataFit) -> pd.DataFrame:
    """Return one row per stratum, and one for all; see `StratifiedResults.to_frame`."""
    import pandas as pd

    taken = (*WORDS, *COUNTS, *RATIOS, *_numbers(None, None, None, None))
    columns = columns_beside(results.by, taken)
    several = results.df_by_coefficient
    df = {} if several is None else dict(zip(results.design.names, several.tolist(), strict=True))
    rows: list[dict[str, Any]] = [
        {
            **{columns[factor]: level for factor, level in s.levels.items()},
            "stratum": s.name,
            "k": s.k,
            "m": s.m,
            "clusters": results.clusters_in(s),
            **_numbers(s.fit, s.pooled or s.single, s.heterogeneity, df.get(s.name)),
            "note": s.note,
        }
        for s in results.strata
    ]
    fit = results.overall
    if fit is not None:
        whole = _numbers(fit, results.overall_pooled, overall_heterogeneity(results), results.overall_df)
        name = key_of_all(results)
        key = {**dict.fromkeys(columns.values(), name), "stratum": name}
        counts = {"k": fit.k, "m": fit.m, "clusters": clusters_of_all(results)}
        rows.append({**key, **counts, **whole, "note": "; ".join(_cautions_of_all(results, name))})
    table = pd.DataFrame(rows)
    words = {*columns.values(), *WORDS, *COUNTS}
    table = table.astype({name: float for name in table.columns if name not in words})
    if results.measure.display_log:
        table = with_ratios(table, before="prediction_low")
    return table


def clusters_of_all(results: StrataFit) -> int:
    """Return the number of clusters of all effects; of studies where effects are independent."""
    return results.effects.m if results.clusters is None else len(set(results.clusters))


def key_of_all(results: StrataFit) -> str:
    """Return the name of the row of all effects, in every column of words: no level has it."""
    return word_for_all(
        [s.name for s in results.strata] + [w for s in results.strata for w in s.levels.values()]
    )


def _cautions_of_all(results: StrataFit, name: str) -> tuple[str, ...]:
    """Return what to know about the interval of all effects together."""
    pooled, df = results.overall_pooled, results.overall_df
    if pooled is None:
        return ()
    return cautions_of_estimates([name], np.array([pooled.se]), None if df is None else np.array([df]))


def overall_heterogeneity(results: StrataFit) -> HeterogeneityInterval | None:
    """Return tau2 and I2 of all effects with their intervals; None where there are none."""
    fit = results.overall
    if fit is None or fit.method == "EE" or (fit.effects.v == 0).any():
        return None
    return fit.conf_int_heterogeneity()


def _numbers(
    fit: RandomEffectsResults | None,
    pooled: Pooled | None,
    ends: HeterogeneityInterval | None,
    df: float | None,
) -> dict[str, float | None]:
    """Return the numeric columns of one row of the table, beside its counts."""
    return {
        "estimate": pooled.estimate if pooled else None,
        "se": pooled.se if pooled else None,
        "df": df,
        "low": pooled.low if pooled else None,
        "high": pooled.high if pooled else None,
        "prediction_low": pooled.prediction_low if pooled else None,
        "prediction_high": pooled.prediction_high if pooled else None,
        "tau2": fit.tau2 if fit else None,
        "tau2_low": ends.tau2.low if ends else None,
        "tau2_high": ends.tau2.high if ends else None,
        "tau": fit.tau if fit else None,
        "i2": fit.i2 if fit else None,
        "i2_low": ends.i2.low if ends else None,
        "i2_high": ends.i2.high if ends else None,
        "q": fit.q.statistic if fit else None,
        "q_pvalue": fit.q.pvalue if fit else None,
    }


def heterogeneity_of_strata(results: StrataFit, level: float | None, method: str | None) -> pd.DataFrame:
    """Return tau2 of each fitted stratum; see `StratifiedResults.heterogeneity`."""
    import pandas as pd

    chosen = results.at_level(level)
    if method is not None:
        method = get_interval(method, INTERVALS)
    found = [s.heterogeneity for s in results.fitted]
    if method is not None or chosen != results.level:
        if results.tau2_mode != "separate":
            raise InputError(
                f"another {'level' if method is None else 'method'} of intervals, and tau2 is "
                f"{results.tau2_mode}",
                f"level {results.level:g}, which the strata were fitted with",
                'stratify again with level=..., or with tau2="separate"',
            )
        how = "q-profile" if method is None else method
        found = [
            fit.conf_int_heterogeneity(how, chosen) if results.is_random else None for fit in results.fits
        ]
    ends = [(np.nan, np.nan) if one is None else one.tau2[1:] for one in found]
    table = pd.DataFrame(
        {
            "tau2": [fit.tau2 for fit in results.fits],
            "tau": [fit.tau for fit in results.fits],
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
            "i2": [fit.i2 for fit in results.fits],
            "share": np.nan,
        },
        index=pd.Index([s.name for s in results.fitted], name="component", dtype=object),
        dtype=float,
    )
    known = [one for one in found if one is not None]
    table.attrs = {
        "level": chosen,
        "method": ", ".join(sorted({one.method for one in known})),
        "note": "; ".join(sorted({one.note for one in known} - {""})),
    }
    return table


def predicted(results: StrataFit, new: object) -> tuple[pd.Index, Prediction]:
    """Return the pooled effects of strata by name, all fitted ones by default, with their predictions."""
    import pandas as pd

    names = results.design.names
    asked = names if new is None else _names_asked(results, new)
    for name in asked:
        check_choice("stratum", name, names)
    at = [names.index(name) for name in asked]
    taus = np.array([fit.tau for fit in results.fits])[at] if results.is_random else np.full(len(at), np.nan)
    df = None if results.df_by_coefficient is None else results.df_by_coefficient[at]
    se = results.se[at]
    found = Prediction(results.beta[at], se, df, np.hypot(se, taus), df)
    return pd.Index(asked, name="stratum", dtype=object), found


def _names_asked(results: StrataFit, new: Any) -> tuple[str, ...]:
    """Return names of strata from names, from rows with a level per factor, or from tuples of levels."""
    if isinstance(new, str):
        return (new,)
    if hasattr(new, "keys"):
        known = {name: list(dict.fromkeys(s.levels[name] for s in results.strata)) for name in results.by}
        return tuple(" / ".join(cell) for cell in rows_by_factor(new, known))
    words = isinstance(new, tuple) and all(isinstance(word, str) for word in new)
    if words and len(new) == len(results.by) > 1 and " / ".join(new) in results.design.names:
        return (" / ".join(new),)
    if isinstance(new, list | tuple):
        new = [" / ".join(map(str, cell)) if isinstance(cell, tuple) else cell for cell in new]
    return read_words(new, "new")


def predictions(
    results: StrataFit, new: object, level: float | None, scale: str | Callable[[Array], Array]
) -> pd.DataFrame:
    """Return the pooled effects of strata; see `StratifiedResults.predict`."""
    index, found = predicted(results, new)
    return prediction_frame(results, found, results.at_level(level), scale).set_axis(index)


def of_all_strata(
    results: StrataFit, ask: Callable[[RandomEffectsResults], pd.DataFrame], column: str
) -> pd.DataFrame:
    """Return what the model of each fitted stratum answers, one below the other, with the stratum's name."""
    import pandas as pd

    parts = [ask(fit).assign(**{column: s.name}) for s, fit in zip(results.fitted, results.fits, strict=True)]
    return pd.concat(parts) if parts else pd.DataFrame()


def reader_rows(results: StrataFit) -> tuple[list[list[str]], list[str]]:
    """Return rows and header of the table that readers see."""
    rows = [_cells(s.name, s.effects, s.fit, s.pooled or s.single, s.heterogeneity) for s in results.strata]
    clusters = [results.clusters_in(s) for s in results.strata]
    fit = results.overall
    if fit is not None:
        of_all = overall_heterogeneity(results)
        rows.append(_cells(key_of_all(results), results.effects, fit, results.overall_pooled, of_all))
        clusters.append(clusters_of_all(results))
    level = level_words(results.level)
    header = ["stratum", "k", "m", "estimate", f"{level} interval", f"{level} prediction interval"]
    if results.measure.rescaled:
        header.append(results.measure.display.lower())
    else:
        rows = [[*row[:6], *row[7:]] for row in rows]
    if results.clusters is not None and results.cluster != STUDY:
        rows = [[*row[:3], str(count), *row[3:]] for row, count in zip(rows, clusters, strict=True)]
        header = [*header[:3], "clusters", *header[3:]]
    if not results.is_random:  # equal effects have no tau
        return [[*row[:-2], row[-1]] for row in rows], [*header, "I2"]
    return rows, [*header, "tau", "I2"]


def _cells(
    name: str,
    effects: EffectSizes,
    fit: RandomEffectsResults | None,
    pooled: Pooled | None,
    ends: HeterogeneityInterval | None,
) -> list[str]:
    """Return a row: counts, effect and intervals, the effect on the scale shown, heterogeneity."""
    cells = [name, str(effects.k), str(effects.m)]
    if pooled is None:
        return [*cells, *[MISSING] * 6]
    shown = [float(x) for x in back_pooled(effects, [pooled.estimate, pooled.low, pooled.high])]
    alone = f" {ALONE}" if fit is None else ""
    ahead = MISSING
    if pooled.prediction_low is not None:
        ahead = interval(pooled.prediction_low, pooled.prediction_high)
    return [
        *cells,
        number(pooled.estimate) + alone,
        interval(pooled.low, pooled.high),
        ahead,
        f"{number(shown[0])} ({interval(shown[1], shown[2])})",
        *([MISSING] * 2 if fit is None else [tau_words(fit, ends), i2_words(fit, ends)]),
    ]


def tau_words(fit: RandomEffectsResults, ends: HeterogeneityInterval | None) -> str:
    """Return tau with its interval."""
    return number(fit.tau) + (f" ({interval(ends.tau.low, ends.tau.high)})" if ends else "")


def i2_words(fit: RandomEffectsResults, ends: HeterogeneityInterval | None) -> str:
    """Return I2 with its interval, in per cent."""
    if ends is None:
        return percent(fit.i2)
    return f"{percent(fit.i2)} ({percent(ends.i2.low)} to {percent(ends.i2.high)})"


def notes(results: StrataFit) -> list[str]:
    """Return the sentences below the table: what was fitted, tests, and what is special about strata."""
    lines = [*_fitted(results), *scale_note(results)]
    lines += [f"between strata: {results.between}"] if results.between else []
    return [*lines, results.between_note, *stratum_notes(results.strata), *data_lines(results)]


def scale_note(results: StrataFit) -> list[str]:
    """Return which columns are on another scale than the one that readers know."""
    measure = results.measure
    if not measure.rescaled:
        return []
    return [
        f"{'estimates, intervals and tau' if results.is_random else 'estimates and intervals'} are on the "
        f"scale of the {measure.name}; the column "
        f"{measure.display.lower()} shows the pooled effects on its own scale"
    ]


def stratum_notes(strata: tuple[Stratum, ...]) -> list[str]:
    """Return the remark on each stratum, those that share one together."""
    found: dict[str, list[str]] = {}
    for s in strata:
        if s.note:
            found.setdefault(s.note, []).append(s.name)
    return [f"{', '.join(names)}: {note}" for note, names in found.items()]


def dependence_note(results: StrataFit) -> list[str]:
    """Return how dependence between effects is allowed for, where there is any."""
    if results.clusters is None:
        return []
    count = len(set(results.clusters))
    return [
        f"standard errors are robust to dependence within each {results.cluster} (CR2, {count} clusters); "
        "tau2, I2 and Q take the effects as independent"
    ]


def cautions_of_strata(results: StrataFit) -> tuple[str, ...]:
    """Return what to know before relying on the intervals of strata; see `StratifiedResults.cautions`."""
    found = list(cautions_of_estimates(results.design.names, results.se, results.df_by_coefficient))
    separate = results.clusters is None and results.tau2_mode != "common"
    fits = [(s.name, s.fit) for s in results.fitted if s.fit is not None] if separate else []
    narrow = [name for name, fit in fits if narrower_than_equal_effects(fit)]
    if narrow:
        found.append(
            f"the Knapp-Hartung interval of {', '.join(narrow)} is narrower than that of the equal-effects "
            'model with normal quantiles; test="knapp-hartung-adhoc" or "z" is wider'
        )
    for s in results.strata:
        if s.fit is not None and s.pooled is not None:
            found.extend(
                cautions_of_range(s.fit.effects, {f"interval of {s.name}": (s.pooled.low, s.pooled.high)})
            )
    return tuple(found)


WHOSE = {
    "separate": "tau2 estimated separately in each stratum",
    "common": "one tau2 for all strata",
    "smoothed": "tau2 of each stratum shrunk towards the others",
}


def summarise(results: StrataFit) -> Summary:
    """Return the five parts for strata."""
    return Summary(
        {
            "What was fitted": _fitted(results),
            "Pooled": _pooled(results),
            "Heterogeneity": _heterogeneity(results),
            "Data": _data(results),
            "Fit": _fit(results),
        }
    )


def family_lines(results: StrataFit) -> FamilyLines:
    """Return what strata add to the summary of a fit: whose tau2, and how dependence is allowed for."""
    count = plural(len(results.strata), "stratum", "strata")
    whose = "equal effects within each stratum"
    if results.is_random:
        whose = f"{WHOSE[results.tau2_mode]}: {get_estimator(results.method).name}"
    how = TESTS[results.test]
    if results.clusters is not None and results.test != "z":
        how = "t distribution, Satterthwaite's degrees of freedom"
    return FamilyLines(
        model=f"Strata by {' x '.join(results.by)}: {count}",
        tests=how,
        fitted=(whose, *dependence_note(results)),
    )


def _fitted(results: StrataFit) -> list[str]:
    lines = fitted_lines(results, family_lines(results))
    return [line for line in lines if not line.startswith("moderators: ")]


def _pooled(results: StrataFit) -> list[str]:
    rows, header = reader_rows(results)
    last = header.index("tau" if results.is_random else "I2")
    lines = [text_table([row[:last] for row in rows], header[:last])]
    test = f"between strata: {results.between}" if results.between else "between strata: no test"
    lines += [*scale_note(results), test, results.between_note]
    if results.between is not None and len(results.compared) > 2:
        lines += ["pairs, p adjusted by Holm's method:", *pairwise(results).text_tables()]
    if results.order:
        lines += _trend(results)
    lines += [f"caution: {text}" for text in cautions_of_strata(results)]
    return lines + _latent(results)


def _trend(results: StrataFit) -> list[str]:
    """Return the trend over the order of the strata, or why there is none."""
    if sum(s.name in results.order for s in results.fitted) < 2:
        return ["no trend: fewer than two strata of the order have two or more studies"]
    return [*trend(results).text_tables()]


def _latent(results: StrataFit) -> list[str]:
    if results.latent is not None:
        return [f"unreported {results.by[0]}:", *results.latent.lines()]
    return [results.latent_note] if results.latent_note else []


def _heterogeneity(results: StrataFit) -> list[str]:
    found = [(s.name, fit, s.heterogeneity) for s, fit in zip(results.fitted, results.fits, strict=True)]
    if results.overall is not None:
        found.append((key_of_all(results), results.overall, overall_heterogeneity(results)))
    rows = [
        [
            name,
            tau_words(fit, ends),
            number(fit.tau2, 4),
            i2_words(fit, ends),
            str(fit.q).partition(" (null")[0],
        ]
        for name, fit, ends in found
    ]
    if not rows:
        return ["no stratum has two or more studies, so there is no between-study variance"]
    header = ["stratum", "tau", "tau2", "I2", "Q"]
    if not results.is_random:  # equal effects have no tau
        rows, header = [[row[0], *row[3:]] for row in rows], [header[0], *header[3:]]
    lines = [text_table(rows, header)]
    if results.smoothing is not None:
        lines.append(str(results.smoothing))
    remarks = {
        s.heterogeneity.note for s in results.fitted if s.heterogeneity is not None and s.heterogeneity.note
    }
    return lines + sorted(remarks)


def _data(results: StrataFit) -> list[str]:
    unreported = [s for s in results.strata if not s.reported]
    apart = [f"{plural(s.m, 'study', 'studies')} in {s.name}: a separate stratum" for s in unreported]
    return [*data_lines(results), *apart, *stratum_notes(results.strata)]


def _fit(results: StrataFit) -> list[str]:
    at_zero = [s.name for s in results.fitted if s.fit is not None and s.fit.tau2 == 0]
    lines = []
    if at_zero and results.method != "EE":
        lines.append(f"tau2 is 0, as no positive value fits better: {', '.join(at_zero)}")
    few = [f"{s.name} ({s.k})" for s in results.fitted if s.k < 5]
    if few and results.is_random:
        lines.append(f"fewer than five effects, so tau and prediction rest on very little: {', '.join(few)}")
    alone = sum(s.fit is None for s in results.strata)
    if alone:
        lines.append(f"{plural(alone, 'stratum', 'strata')} without a fit")
    return [*lines, f"data digest {results.digest}"]
