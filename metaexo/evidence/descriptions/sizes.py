"""Sizes of preparations: which stand beside each other, whose work they are, ratios between methods."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

from metaexo.effects import effect_sizes
from metaexo.evidence.names import NAME, named_studies
from metaexo.evidence.vocabulary import NOT_REPORTED, load_vocabulary
from metaexo.inputs import check_columns, check_level
from metaexo.ledger import Ledger
from metaexo.numeric.tails import normal_quantile

if TYPE_CHECKING:
    import pandas as pd


RATIO_OF = (
    "line",
    "study_id",
    "source_reported",
    "isolation_reported",
    "size_nm",
    "size_sd",
    "n_replicates",
    "repetition",
    "isolation_step",
    "access",
    "technique",
)


def choose_means(preparations: pd.DataFrame) -> Ledger:
    """Return which preparations have a mean size that may stand beside the others.

    Use it before sizes are compared. Means, medians and peaks of one skewed distribution differ, and a
    range without a mean has no middle, so only means are used; rows that are set apart stay out.

    Parameters
    ----------
    preparations : DataFrame
        The sheet, as in `Sheets.preparations`.

    Returns
    -------
    Ledger
        Lines used, and the others each with its reason.

    Examples
    --------
    >>> import metaexo as mx
    >>> print(choose_means(mx.evidence_sheets().preparations))
    preparations.csv: 119 rows, 63 used, 56 left out
    """
    needed = ["size_statistic", "use", "caution", "line", "study_id", "source_reported"]
    check_columns(preparations, "the preparations", needed)
    reasons = {}
    for row in preparations.to_dict("records"):
        statistic = row["size_statistic"]
        if row["use"] == "apart":
            reasons[row["line"]] = f"set apart: {row['caution']}"
        elif not isinstance(statistic, str):
            reasons[row["line"]] = "no size"
        elif statistic == "range":
            reasons[row["line"]] = "only a range of sizes, no mean"
        elif statistic != "mean":
            reasons[row["line"]] = f"a {statistic}, not a mean"
    studies = dict(zip(preparations["line"], named_studies(preparations, "study_id"), strict=True))
    items = dict(zip(preparations["line"], preparations["source_reported"].fillna(""), strict=True))
    whole = Ledger("preparations.csv", tuple(int(line) for line in preparations["line"]))
    return whole.leave_out(reasons, "selection", studies, items)


def laboratories(preparations: pd.DataFrame) -> pd.Series:
    """Return whose work each preparation is.

    Use it to keep together what shares hands and instruments. Repositories of one owner are one laboratory,
    each row that was read in the table of a review is a paper of its own, and otherwise a study is one. A
    laboratory is called by its studies.

    Parameters
    ----------
    preparations : DataFrame
        The sheet, as in `Sheets.preparations`, or some of its rows.

    Returns
    -------
    Series
        Names, with the index of the rows.

    Examples
    --------
    >>> import metaexo as mx
    >>> rows = mx.evidence_sheets().preparations
    >>> sorted(laboratories(rows[rows["study_id"].str.startswith("nguyens7")]).unique())
    ['Nguyen 2017; Nguyen 2019']
    """
    import pandas as pd

    check_columns(preparations, "the preparations", ["source_url", "study_id", "line", "access"])
    owner = preparations["source_url"].str.extract(r"github\.com/([^/]+)")[0]
    name = pd.Series(named_studies(preparations, "study_id"), index=preparations.index)
    together = name.groupby(owner).transform(lambda names: "; ".join(dict.fromkeys(names)))
    cited = name + ", line " + preparations["line"].astype(str)
    return together.fillna(cited.where(preparations["access"] == "secondary")).fillna(name)


def method_ratios(sizes: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return the ratios of two methods that one laboratory used on one source: of mean sizes, and of CVs.

    Use it to see what the isolation method does to the size and to its variability without the differences
    between laboratories: pairs of rows of one study, source and technique whose deciding steps differ. An
    interval is given where both rows have an SD of replicates: exp(log ratio +- z sqrt(v)) with the
    variance of the log ratio of means; the two are taken as independent, which is too wide where they share
    their samples. The ratio of coefficients of variation (measure "CVR", corrected for small samples) is
    given where, in addition, both SDs are over the same units, as the column `repetition` names them.

    Parameters
    ----------
    sizes : DataFrame
        Rows of the sheet with a mean size.
    level : float
        Level of the intervals.

    Returns
    -------
    DataFrame
        study_id, study_name, source, methods ("a / b"), line_a, line_b, words_a, words_b, size_a, size_b,
        ratio, low, high, repetition, cv_ratio, cv_low, cv_high.

    References
    ----------
    Senior, A. M., Viechtbauer, W., Nakagawa, S. (2020). Revisiting and expanding the meta-analysis of
    variation. Research Synthesis Methods 11, 553-567. https://doi.org/10.1002/jrsm.1423

    Examples
    --------
    >>> import metaexo as mx
    >>> rows = mx.evidence_sheets().preparations
    >>> found = method_ratios(rows[rows["study_id"] == "klymiuk2019"])
    >>> found["methods"][0], round(float(found["ratio"][0]), 2)
    ('Precipitation / ultracentrifugation', 3.9)
    """
    import pandas as pd

    level = check_level(level)
    check_columns(sizes, "the sizes", RATIO_OF)
    steps = load_vocabulary("isolation_step")
    order = {steps.label(term): i for i, term in enumerate(steps.terms)}
    sizes = sizes.assign(**{NAME: named_studies(sizes, "study_id")})
    usable = (sizes["isolation_step"] != steps.label(NOT_REPORTED)) & (sizes["access"] != "secondary")
    known = sizes[usable & sizes["size_nm"].notna()]
    found = []
    for _, group in known.groupby(["study_id", "source_reported", "technique"], sort=False):
        rows = sorted(group.to_dict("records"), key=lambda row: order.get(row["isolation_step"], len(order)))
        pairs = combinations(rows, 2)
        found += [_ratio(a, b, level) for a, b in pairs if a["isolation_step"] != b["isolation_step"]]
    columns = ["study_id", NAME, "source", "methods", "line_a", "line_b", "words_a", "words_b"]
    ends = ["size_a", "size_b", "ratio", "low", "high", "repetition", "cv_ratio", "cv_low", "cv_high"]
    return pd.DataFrame(found, columns=[*columns, *ends])


def _ratio(a: dict[Any, Any], b: dict[Any, Any], level: float) -> dict[str, Any]:
    ratio, over = a["size_nm"] / b["size_nm"], a["repetition"]
    mean, cv = [ratio, math.nan, math.nan], [math.nan] * 3
    if all(row["n_replicates"] > 1 and row["size_sd"] > 0 for row in (a, b)):
        columns = {"mean": "size_nm", "sd": "size_sd", "n": "n_replicates"}
        arms = {"treatment": a, "control": b}
        numbers = {f"{arm}_{name}": row[c] for arm, row in arms.items() for name, c in columns.items()}
        # the ratio of means is that of the two numbers that are shown, its variance that of the measure
        mean = _ends(math.log(ratio), effect_sizes("ROM", **numbers).v[0], level)
        if over == b["repetition"] != NOT_REPORTED:
            effect = effect_sizes("CVR", **numbers)
            cv = _ends(effect.y[0], effect.v[0], level)
    return {
        "study_id": a["study_id"],
        NAME: a[NAME],
        "source": a["source_reported"],
        "methods": f"{a['isolation_step']} / {b['isolation_step'][0].lower()}{b['isolation_step'][1:]}",
        "line_a": a["line"],
        "line_b": b["line"],
        "words_a": a["isolation_reported"],
        "words_b": b["isolation_reported"],
        "size_a": a["size_nm"],
        "size_b": b["size_nm"],
        **dict(zip(("ratio", "low", "high"), mean, strict=True)),
        "repetition": over if over == b["repetition"] else NOT_REPORTED,
        **dict(zip(("cv_ratio", "cv_low", "cv_high"), cv, strict=True)),
    }


def _ends(y: float, v: float, level: float) -> list[float]:
    """Return a log ratio and the ends of its interval, as ratios."""
    half = normal_quantile(level) * math.sqrt(v)
    return [math.exp(value) for value in (y, y - half, y + half)]
