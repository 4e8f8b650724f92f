"""Subgroup analysis by one or two factors, with separate or common between-study variance."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import DependentEffectsWarning, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import plural
from metaexo.heterogeneity.strata import StratifiedResults, Stratum, Tau2Mode
from metaexo.models.hypothesis import TestResult, make_test, wald_test
from metaexo.models.random_effects import RandomEffects
from metaexo.models.records import Pooled
from metaexo.models.results import RandomEffectsResults

ONE_STUDY = "one study: shown, takes no part in a between-study variance"
TWO_STUDIES = "two studies: its spread rests on one degree of freedom"
UNKNOWN = ("not reported", "not_reported")


def stratify(
    effects: EffectSizes,
    by: str | Sequence[str],
    tau2: Tau2Mode = "separate",
    method: str = "REML",
    test: str | None = None,
    level: float = 0.95,
) -> StratifiedResults:
    r"""Pool effects stratum by stratum and test whether the strata differ.

    Use it to ask whether effects differ between exosome sources, isolation methods, or both crossed.

    With separate variances every stratum is a random-effects model of its own, with mean :math:`m_s` and
    squared standard error :math:`V_s`. The test between S strata is Welch's: with :math:`w_s = 1/V_s`,
    :math:`W = \sum w_s` and the weighted mean :math:`\bar m`,

    .. math:: F = \frac{\sum w_s (m_s - \bar m)^2 / (S - 1)}
                       {1 + \frac{2 (S - 2)}{S^2 - 1} \sum (1 - w_s / W)^2 / (k_s - 1)}

    on S - 1 and :math:`(S^2 - 1) / (3 \sum (1 - w_s/W)^2 / (k_s - 1))` degrees of freedom; with `test="z"` it
    is the chi-square of the numerator's sum. With a common variance all strata are fitted in one model with
    a mean each, and the test is the model's own.

    A stratum of one study is shown, and takes no part in a between-study variance or in the test.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the factors among the columns of `data`.
    by : str or sequence of str
        One column or more; several are crossed.
    tau2 : {"separate", "common"}
        Whether each stratum has its own between-study variance.
    method, test, level : str, str and float
        As in :meth:`metaexo.RandomEffects.fit`.

    Returns
    -------
    StratifiedResults
        Strata, overall fit and the test between strata.

    Raises
    ------
    UnknownChoiceError
        If a factor is not a column, or `tau2` is not a known word.
    TooFewStudiesError
        If there are no effects.

    Warns
    -----
    DependentEffectsWarning
        If several effects belong to one study.

    References
    ----------
    Welch, B. L. (1951). On the comparison of several mean values: an alternative approach. Biometrika 38,
    330-336. https://doi.org/10.1093/biomet/38.3-4.330
    Borenstein, M., Higgins, J. P. T. (2013). Meta-analysis and subgroups. Prevention Science 14, 134-143.
    https://doi.org/10.1007/s11121-013-0377-7

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> source = pd.DataFrame({"source": ["adipose", "adipose", "adipose", "plant", "plant", "plant"]})
    >>> es = mx.EffectSizes([0.9, 0.7, 1.2, 0.1, 0.3, 0.2], [0.04] * 6, data=source)
    >>> result = mx.stratify(es, by="source")
    >>> [(s.name, s.k, round(s.pooled.estimate, 2)) for s in result.strata]
    [('adipose', 3, 0.93), ('plant', 3, 0.2)]
    """
    if tau2 not in ("separate", "common"):
        raise UnknownChoiceError("tau2", tau2, ("separate", "common"))
    if effects.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    factors = (by,) if isinstance(by, str) else tuple(by)
    if effects.m < effects.k:
        warnings.warn(
            f"{effects.k} effects come from {effects.m} studies; the strata take them as independent, so "
            "their intervals are too narrow",
            DependentEffectsWarning,
            stacklevel=2,
        )
    strata = _split(effects, factors)
    if tau2 == "separate":
        strata = [_fit_alone(s, method, test, level) for s in strata]
        between, note = _welch(strata, test or ("z" if method.upper() == "EE" else "knapp-hartung"))
    else:
        strata, between, note = _fit_jointly(effects, strata, method, test, level)
    overall = _fit(effects, method, test, level) if effects.k > 1 and effects.m > 1 else None
    return StratifiedResults(factors, effects, tuple(strata), overall, tau2, between, note)


def _split(effects: EffectSizes, factors: tuple[str, ...]) -> list[Stratum]:
    """Return the strata without fits, those with most studies first and unreported levels last."""
    columns = [effects.column(f).fillna("not reported").astype(str).to_numpy() for f in factors]
    cells: dict[tuple[str, ...], list[int]] = {}
    for i, cell in enumerate(zip(*columns, strict=True)):
        cells.setdefault(cell, []).append(i)
    strata = []
    for cell, members in cells.items():
        name = " / ".join(cell)
        rows: NDArray[np.intp] = np.array(members, dtype=np.intp)
        part = effects.select(rows, f"not in stratum {name}")
        strata.append(Stratum(name, dict(zip(factors, cell, strict=True)), rows, part, None, None, ""))
    return sorted(strata, key=lambda s: (any(v.lower() in UNKNOWN for v in s.levels.values()), -s.m, s.name))


def _fit(
    effects: EffectSizes, method: str, test: str | None, level: float, tau2: float | None = None
) -> RandomEffectsResults:
    return RandomEffects(effects, dependence="accept").fit(method, test, level, tau2)


def _fit_alone(stratum: Stratum, method: str, test: str | None, level: float) -> Stratum:
    """Return the stratum with its own fit, or with the note why there is none."""
    if stratum.m < 2:
        return _with(stratum, None, None, ONE_STUDY)
    fit = _fit(stratum.effects, method, test, level)
    return _with(stratum, fit, fit.pooled(), TWO_STUDIES if stratum.m == 2 else "")


def _with(stratum: Stratum, fit: RandomEffectsResults | None, pooled: Pooled | None, note: str) -> Stratum:
    return Stratum(stratum.name, stratum.levels, stratum.rows, stratum.effects, fit, pooled, note)


def _welch(strata: list[Stratum], test: str) -> tuple[TestResult | None, str]:
    """Test the equality of means that have variances of their own."""
    fits = [s.fit for s in strata if s.fit is not None]
    null = "all strata share one mean effect"
    if len(fits) < 2:
        return None, f"no test: {plural(len(fits), 'stratum', 'strata')} with two or more studies"
    mean = np.array([f.estimate for f in fits])
    weight = np.array([1.0 / f.se[0] ** 2 for f in fits])
    share = weight / weight.sum()
    spread = float(weight @ (mean - share @ mean) ** 2)
    s = len(fits)
    used = f"{plural(s, 'stratum', 'strata')} with two or more studies, tau2 of their own"
    if test == "z":
        return make_test(spread, "chi2", (s - 1,), null), f"chi-square test over {used}"
    lack = float(((1 - share) ** 2 / np.array([f.df_residual for f in fits])).sum())
    statistic = spread / (s - 1) / (1 + 2 * (s - 2) / (s**2 - 1) * lack)
    return make_test(statistic, "F", (s - 1, (s**2 - 1) / (3 * lack)), null), f"Welch's test over {used}"


def _fit_jointly(
    effects: EffectSizes, strata: list[Stratum], method: str, test: str | None, level: float
) -> tuple[list[Stratum], TestResult | None, str]:
    """Fit one mean a stratum with one tau2 for all; strata of one study stay outside."""
    pooled_strata = [s for s in strata if s.m > 1]
    if not pooled_strata:
        return [_with(s, None, None, ONE_STUDY) for s in strata], None, "no test: no stratum has two studies"
    rows = np.sort(np.concatenate([s.rows for s in pooled_strata]))
    part = effects.select(rows, ONE_STUDY)
    dummies = np.column_stack([np.isin(rows, s.rows) for s in pooled_strata]).astype(float)
    names = [s.name for s in pooled_strata]
    joint = RandomEffects(part, dummies, intercept=False, names=names, dependence="accept").fit(
        method, test, level
    )
    table = joint.predict(np.eye(len(names)))
    out = []
    for s in strata:
        if s.m < 2:
            out.append(_with(s, None, None, ONE_STUDY))
            continue
        row = table.iloc[names.index(s.name)]
        known = joint.method != "EE"
        pooled = Pooled(
            estimate=float(row["estimate"]),
            se=float(row["se"]),
            low=float(row["low"]),
            high=float(row["high"]),
            prediction_low=float(row["prediction_low"]) if known else None,
            prediction_high=float(row["prediction_high"]) if known else None,
            level=level,
        )
        fit = _fit(s.effects, method, test, level, joint.tau2 if known else None)
        out.append(_with(s, fit, pooled, ""))
    if len(names) < 2:
        return out, None, "no test: 1 stratum with two or more studies"
    contrast = np.column_stack([np.ones(len(names) - 1), -np.eye(len(names) - 1)])
    between = wald_test(
        contrast @ joint.beta,
        contrast @ joint.cov @ contrast.T,
        joint.df_test,
        "all strata share one mean effect",
    )
    used = f"{plural(len(names), 'stratum', 'strata')} with two or more studies, one tau2 for all"
    return out, between, f"test of the joint model over {used}"
