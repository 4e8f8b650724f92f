"""Isolation methods on the same material: ratios of two methods, and tests between all preparations."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import check_columns, check_level, describe
from metaexo.numeric.tails import t_quantile, t_two_sided

if TYPE_CHECKING:
    import pandas as pd

STEPS = ("treatment_isolation_step", "control_isolation_step")
ARM = ("label", "mean", "sd", "n")
NEEDED = (
    *STEPS,
    *(f"{side}_{name}" for side in ("treatment", "control") for name in ARM),
    *("study_name", "source_reported", "outcome", "outcome_family", "outcome_label", "unit", "use"),
)
# Units that are logarithms open with the name of it: "ln(number)", "log2 ratio".
BASES = {"ln": np.e, "log10": 10.0, "log2": 2.0}
_LOG = re.compile(r"(ln|log10|log2)\b")


def ratios_on_one_material(contrasts: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return the ratio of each two methods of a laboratory on the same material, one per outcome.

    Use it for outcomes on a log scale of which a laboratory has several preparations by one method, or
    several materials. All contrasts of two methods count alike, as in :func:`ratio_of_methods`.

    Parameters
    ----------
    contrasts : DataFrame
        Rows of the sheet of contrasts, as in `Sheets.method_contrasts`. Outcomes that are no logarithms,
        rows that are set apart, and contrasts with an arm whose SD is 0, are left out.
    level : float
        Level of the intervals.

    Returns
    -------
    DataFrame
        One row per study, outcome and pair: study_name, outcome_family, outcome, outcome_label, use,
        method_a, method_b, contrasts, ratio, low, high, log_ratio, se, df, pvalue.

    Examples
    --------
    >>> import metaexo as mx
    >>> found = ratios_on_one_material(mx.evidence_sheets().method_contrasts)
    >>> row = found[found["outcome"] == "log2cpm_let7a"].set_index(["method_a", "method_b"])
    >>> row.loc[("Size exclusion", "Precipitation"), ["contrasts", "ratio"]].round(2).tolist()
    [2.0, 3.5]
    """
    import pandas as pd

    check_level(level)
    rows = _logarithms(contrasts)
    names = ["study_name", "outcome_family", "outcome", "outcome_label", "use"]
    found = []
    for a, b in combinations(pd.unique(rows[list(STEPS)].to_numpy().ravel()), 2):
        sides = rows[list(STEPS)]
        pair = rows[sides.isin([a, b]).all(axis=1) & (sides[STEPS[0]] != sides[STEPS[1]])]
        for key, part in pair.groupby(names, sort=False):
            told = dict(zip(names, key, strict=True)) | {"method_a": a, "method_b": b, "contrasts": len(part)}
            found.append(told | ratio_of_methods(part, a, level))
    return pd.DataFrame(found)


def ratio_of_methods(contrasts: pd.DataFrame, method: str, level: float = 0.95) -> dict[str, float]:
    r"""Return the ratio of one method to those it is compared with, from contrasts of one outcome.

    Use it where contrasts share arms: two preparations against one control, or three methods pair by pair.
    The mean of the contrasts is a combination of arms, :math:`\sum_a c_a m_a`, so its variance is
    :math:`\sum_a c_a^2 s_a^2 / n_a`, an arm in several contrasts counted once; degrees of freedom are
    Satterthwaite's. Arms are taken as independent.

    Parameters
    ----------
    contrasts : DataFrame
        Rows of `Sheets.method_contrasts` of one outcome on a log scale; arms are the same where material and
        label are.
    method : str
        The method, as in the columns treatment_isolation_step and control_isolation_step.
    level : float
        Level of the interval.

    Returns
    -------
    dict of str to float
        ratio, low, high; log_ratio and se on the scale of natural logarithms; df, pvalue.

    Raises
    ------
    InputError
        If the rows are of several outcomes, the outcome is no logarithm, the method is on one side of no
        contrast or of both, or an SD is 0.

    References
    ----------
    Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components. Biometrics
    Bulletin 2, 110-114. https://doi.org/10.2307/3002019

    Examples
    --------
    >>> import metaexo as mx
    >>> rows = mx.evidence_sheets().method_contrasts
    >>> rows = rows[(rows["study_id"] == "PRJEB24913") & (rows["outcome"] == "ln_effective_mirnas")]
    >>> sides = rows[["treatment_isolation_step", "control_isolation_step"]] == "Size exclusion"
    >>> found = ratio_of_methods(rows[sides.sum(axis=1) == 1], "Size exclusion")
    >>> round(found["ratio"], 2), round(found["low"], 2), round(found["high"], 2)
    (1.11, 1.01, 1.22)
    """
    check_level(level)
    check_columns(contrasts, "the contrasts", list(NEEDED))
    _check_one_outcome(contrasts, method)
    arms: dict[tuple[str, str], tuple[float, float, float]] = {}
    weights: dict[tuple[str, str], float] = {}
    for row in contrasts.to_dict("records"):
        sign = 1.0 if row[STEPS[0]] == method else -1.0
        for side, way in (("treatment", sign), ("control", -sign)):
            key = str(row["source_reported"]), str(row[f"{side}_label"])
            mean, sd, n = (float(row[f"{side}_{name}"]) for name in ARM[1:])
            arms[key] = mean, sd**2 / n, n
            weights[key] = weights.get(key, 0.0) + way / len(contrasts)
    c, (mean, v, n) = np.array([weights[key] for key in arms]), np.array(list(arms.values())).T
    of_base = np.log(_base(contrasts["unit"].iloc[0]))
    shares = c**2 * v * of_base**2
    estimate, variance = float(c @ mean * of_base), float(shares.sum())
    df = float(variance**2 / (shares**2 / (n - 1)).sum())
    se = variance**0.5
    half = float(t_quantile(level, df)) * se
    ends = np.exp([estimate, estimate - half, estimate + half]).tolist()
    found = dict(zip(("ratio", "low", "high"), ends, strict=True))
    return found | {
        "log_ratio": estimate,
        "se": se,
        "df": df,
        "pvalue": float(t_two_sided(estimate / se, df)),
    }


def compare_preparations(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Test whether all preparations of one material share one mean: Welch's test per study and outcome.

    Parameters
    ----------
    contrasts : DataFrame
        As in :func:`ratios_on_one_material`. Preparations are taken as independent; if they are of the same
        donors the test is conservative.

    Returns
    -------
    DataFrame
        One row per study, material and outcome: study_name, source_reported, outcome, outcome_family, use,
        preparations, statistic, df1, df2, pvalue.

    References
    ----------
    Welch, B. L. (1951). On the comparison of several mean values: an alternative approach. Biometrika 38,
    330-336. https://doi.org/10.1093/biomet/38.3-4.330

    Examples
    --------
    >>> import metaexo as mx
    >>> found = compare_preparations(mx.evidence_sheets().method_contrasts)
    >>> print(found.loc[0, ["study_name", "outcome", "preparations", "pvalue"]].to_string())
    study_name               PRJEB24913
    outcome         ln_effective_mirnas
    preparations                      5
    pvalue                     0.002924
    """
    import pandas as pd
    from statsmodels.stats.oneway import anova_generic

    keys = ["study_name", "source_reported", "outcome", "outcome_family", "use"]
    found = []
    for key, part in _logarithms(contrasts).groupby(keys, sort=False):
        sides = [
            part[[f"{side}_{name}" for name in ARM]].set_axis(ARM, axis=1)
            for side in ("treatment", "control")
        ]
        arms = pd.concat(sides).drop_duplicates("label")
        test = anova_generic(arms["mean"], arms["sd"] ** 2, arms["n"], use_var="unequal")
        numbers = {"preparations": len(arms), "statistic": float(test.statistic)}
        numbers |= {"df1": float(test.df_num), "df2": float(test.df_denom), "pvalue": float(test.pvalue)}
        found.append(dict(zip(keys, key, strict=True)) | numbers)
    return pd.DataFrame(found)


def _logarithms(contrasts: Any) -> pd.DataFrame:
    """Return the contrasts of outcomes on a log scale whose arms have a variance, and that are not apart."""
    check_columns(contrasts, "the contrasts", list(NEEDED))
    known = (contrasts["treatment_sd"] > 0) & (contrasts["control_sd"] > 0) & (contrasts["use"] != "apart")
    return contrasts[known & contrasts["unit"].astype(str).str.match(_LOG)]  # type: ignore[no-any-return]


def _check_one_outcome(contrasts: pd.DataFrame, method: object) -> None:
    if not isinstance(method, str):
        raise InputError(f"the method is {describe(method)}", 'the name of a step, such as "Size exclusion"')
    sides = (contrasts[list(STEPS)] == method).sum(axis=1)
    outcomes = sorted(set(map(str, contrasts["outcome"])))
    if len(outcomes) != 1 or not (sides == 1).all():
        raise InputError(
            f"contrasts of {len(outcomes)} outcomes, {int((sides == 1).sum())} of {len(contrasts)} with "
            f"{method!r} on one side",
            "contrasts of one outcome, each of the method with another one",
            "select rows by outcome and by the columns treatment_isolation_step and control_isolation_step",
        )
    spreads = contrasts[["treatment_sd", "control_sd"]]
    if not (spreads > 0).all(axis=None):
        raise InputError("an SD is 0 or missing", "an SD above 0 in both arms", "leave the contrast out")


def _base(unit: object) -> float:
    found = _LOG.match(str(unit))
    if found is None:
        raise InputError(
            f"the unit {str(unit)[:60]!r}",
            f"a unit that opens with one of {', '.join(BASES)}",
            'for other outcomes ask sheets.effects("ROM", sheet="method_contrasts")',
        )
    return BASES[found[0]]
