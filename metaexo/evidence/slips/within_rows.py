"""Slips within one row of the outcomes: impossible means and SDs, tests that do not follow from them."""

from __future__ import annotations

import numpy as np

from metaexo.errors import (
    CorrelationError,
    ImpossibleMeanWarning,
    ImpossibleMedianWarning,
    ImpossibleSDWarning,
    MeanNearZeroWarning,
    PValueMismatchWarning,
    StatisticMismatchWarning,
)
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.slips.grim import decimals, grim, grim_median, grimmer, nearest_means
from metaexo.evidence.slips.patterns import mean_near_zero
from metaexo.evidence.slips.rows import ARMS, Rows, SlipCheck
from metaexo.evidence.slips.statistics import implied_p, implied_t, p_agrees, statistic_agrees
from metaexo.types import Array, Mask

OUTCOMES = ("outcomes",)
STATISTICS = ("t", "f", "mean_sd", "mean_se", "mean_ci", "difference_ci")
"""Forms of reporting under which a statistic is a t or an F; elsewhere it may be anything."""
BOUNDED = ("correlation", "cliffs_delta")
SIGNIFICANCE = 0.05


def find_impossible_means(rows: Rows) -> list[SheetProblem]:
    """Find means that whole numbers of this sample size cannot have."""
    found = []
    for arm in ARMS:
        cells, n = rows.cells(f"{arm}_mean"), rows.numbers(f"{arm}_n")
        items, mean = rows.numbers("items"), rows.numbers(f"{arm}_mean")
        for i in np.flatnonzero(~grim(cells, n, items)):
            below, above = nearest_means(mean[i], n[i], items[i])
            finding = rows.finding(
                ImpossibleMeanWarning,
                i,
                f"{arm}_mean",
                f"{_whole(n[i], items[i])} cannot have a mean of {cells[i]} (GRIM)",
                f"a multiple of 1 / {n[i] * items[i]:g}, rounded",
                "look at the source; n may be that of another analysis, or some values are no whole numbers",
                reading=f"{below:.6g} or {above:.6g}",
            )
            found.append(finding)
    return found


def find_impossible_sds(rows: Rows) -> list[SheetProblem]:
    """Find SDs that whole numbers with this mean and sample size cannot have."""
    found = []
    for arm in ARMS:
        means, sds, n = rows.cells(f"{arm}_mean"), rows.cells(f"{arm}_sd"), rows.numbers(f"{arm}_n")
        items = rows.numbers("items")
        wrong = grim(means, n, items) & ~grimmer(means, sds, n, items)
        found += [
            rows.finding(
                ImpossibleSDWarning,
                i,
                f"{arm}_sd",
                f"{_whole(n[i], items[i])} with a mean of {means[i]} cannot have an SD of {sds[i]} (GRIMMER)",
                "an SD that whole numbers can have",
                "look at the source; n may be that of another analysis, or the SD may be a standard error",
            )
            for i in np.flatnonzero(wrong)
        ]
    return found


def find_impossible_medians(rows: Rows) -> list[SheetProblem]:
    """Find medians that whole numbers of this sample size cannot have."""
    found = []
    for arm in ARMS:
        cells, n, items = rows.cells(f"{arm}_median"), rows.numbers(f"{arm}_n"), rows.numbers("items")
        found += [
            rows.finding(
                ImpossibleMedianWarning,
                i,
                f"{arm}_median",
                f"{_whole(n[i], items[i])} cannot have a median of {cells[i]}",
                "one of the values where n is odd, half-way between two where it is even",
                "look at the source; n may be that of another analysis, or some values are no whole numbers",
                reading="an even n, or values that are no whole numbers",
            )
            for i in np.flatnonzero(~grim_median(cells, n, items))
        ]
    return found


def _whole(n: float, items: float) -> str:
    """Name the whole numbers of a group."""
    return f"{n:g} whole numbers" if items == 1 else f"{n:g} scores of {items:g} whole-number items"


def find_statistic_mismatch(rows: Rows) -> list[SheetProblem]:
    """Find test statistics that do not follow from the means, SDs and sizes of the row."""
    statistic = rows.cells("statistic")
    forms = np.array(rows.words("reported_as"), dtype=object)
    read = np.isin(forms, STATISTICS)
    agrees = np.zeros(len(statistic), dtype=bool)
    for low, high, _ in _ways(rows):
        agrees |= statistic_agrees(statistic, low, high, squared=forms != "t") & np.isfinite(low)
    low, high = _range_of_t(rows)
    wrong = read & np.isfinite(low) & np.isfinite(rows.numbers("statistic")) & ~agrees
    return [
        rows.finding(
            StatisticMismatchWarning,
            i,
            "statistic",
            f"the statistic is {statistic[i]}, but means, SDs and n give a t of {_span(low[i], high[i])}",
            "the t (or F = t^2) of the numbers in the row",
            "look at the source; n may be that of another analysis, or the SDs may be standard errors",
        )
        for i in np.flatnonzero(wrong)
    ]


def find_p_mismatch(rows: Rows) -> list[SheetProblem]:
    """Find p-values that follow neither from the printed t nor from means, SDs and sizes."""
    printed, relation = rows.cells("p_value"), rows.words("p_relation")
    p = rows.numbers("p_value")
    found: dict[int, SheetProblem] = {}
    for low, high, source, exact in (*_p_of_statistic(rows), *_p_of_means(rows)):
        agrees = p_agrees(printed, relation, low, high)
        if not exact:
            agrees |= (np.array(relation) == "=") & (
                ((p <= SIGNIFICANCE) & (low <= SIGNIFICANCE)) | ((p > SIGNIFICANCE) & (high > SIGNIFICANCE))
            )
        found |= {
            int(i): rows.finding(
                PValueMismatchWarning,
                i,
                "p_value",
                f"p {relation[i]} {printed[i]} is printed, but {source} p of {_span(low[i], high[i])}",
                "the p-value of the numbers in the row",
                "look at the source; the test may be another one, one-sided, or of other groups",
            )
            for i in np.flatnonzero(~agrees)
            if int(i) not in found
        }
    return list(found.values())


def _ways(rows: Rows) -> list[tuple[Array, Array, Mask]]:
    """Return the ranges of t for two groups, and for one group twice; a pairing not known counts as both."""
    pairing = np.array(rows.words("paired"), dtype=object)
    mean, sd, n = ([rows.cells(f"{arm}_{name}") for arm in ARMS] for name in ("mean", "sd", "n"))
    change = np.array(rows.words("contrast"), dtype=object) == "post_vs_pre"
    change &= np.array([bool(a) and not b for a, b in zip(*sd, strict=True)], dtype=bool)
    sizes = [rows.numbers(f"{arm}_n") for arm in ARMS]
    sizes[1] = np.where(change, sizes[0], sizes[1])
    centre = [mean[0], ["0" if alone else cell for cell, alone in zip(mean[1], change, strict=True)]]
    spread = [sd[0], ["0" if alone else cell for cell, alone in zip(sd[1], change, strict=True)]]
    ways = []
    for paired in (False, True):
        low, high = implied_t(
            centre[0], spread[0], sizes[0], centre[1], spread[1], sizes[1], paired=np.full(len(n[0]), paired)
        )
        here = (pairing == "yes" if paired else pairing == "no") | (pairing == "unknown") | (pairing == "")
        positive = np.nan_to_num(rows.numbers("treatment_sd")) > 0
        usable = here & positive & np.isfinite(low)
        ways.append(
            (np.where(usable, low, np.nan), np.where(usable, high, np.nan), np.full(low.shape, paired))
        )
    return ways


def _range_of_t(rows: Rows) -> tuple[Array, Array]:
    """Return the smallest and the largest t by all ways that a row may be read."""
    ways = _ways(rows)
    return np.fmin(ways[0][0], ways[1][0]), np.fmax(ways[0][1], ways[1][1])


def _p_of_means(rows: Rows) -> list[tuple[Array, Array, str, bool]]:
    """Return the range of p that means, SDs and sizes give; it is not exact: the test is not known."""
    ends = []
    n1, n2 = (rows.numbers(f"{arm}_n") for arm in ARMS)
    n2 = np.where(np.isnan(n2), n1, n2)
    for low, high, paired in _ways(rows):
        ends.append(implied_p(low, high, n1, n2, paired=paired))
    low, high = np.fmin(ends[0][0], ends[1][0]), np.fmax(ends[0][1], ends[1][1])
    return [(low, high, "means, SDs and n give a", False)]


def _p_of_statistic(rows: Rows) -> list[tuple[Array, Array, str, bool]]:
    """Return the range of p that a printed t and its degrees of freedom (or the sizes) give."""
    t = np.abs(rows.numbers("statistic"))
    t = np.where(np.array(rows.words("reported_as")) == "t", t, np.nan)
    half = np.array([_half_unit(cell) for cell in rows.cells("statistic")])
    n1, n2 = (rows.numbers(f"{arm}_n") for arm in ARMS)
    paired = np.array(rows.words("paired"), dtype=object) == "yes"
    df = rows.numbers("df")
    by_df = implied_p(np.maximum(t - half, 0), t + half, df + 1, df + 1, paired=np.ones(len(t), dtype=bool))
    by_n = implied_p(np.maximum(t - half, 0), t + half, n1, np.where(np.isnan(n2), n1, n2), paired=paired)
    low, high = (np.where(np.isfinite(df), a, b) for a, b in zip(by_df, by_n, strict=True))
    return [(low, high, "the printed t gives a", True)]


def _half_unit(cell: str) -> float:
    return float(0.5 * 10.0 ** -decimals(cell)) if cell else 0.0


def _span(low: float, high: float) -> str:
    ends = f"{low:.3g}", f"{high:.3g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def find_means_near_zero(rows: Rows) -> list[SheetProblem]:
    """Find means so near zero that a log ratio of means fails, in rows that could give one."""
    found = []
    ratio_possible = np.sign(rows.numbers("treatment_mean")) == np.sign(rows.numbers("control_mean"))
    for arm in ARMS:
        mean, sd, n = (rows.numbers(f"{arm}_{name}") for name in ("mean", "sd", "n"))
        found += [
            rows.finding(
                MeanNearZeroWarning,
                i,
                f"{arm}_mean",
                f"the mean is {abs(mean[i]) * np.sqrt(n[i]) / sd[i]:.1f} standard errors from zero: "
                "its logarithm is not near normal",
                "means well above zero, for the measures ROM and CVR",
                "use a difference (MD, SMD), or logarithms of the single values",
            )
            for i in np.flatnonzero(mean_near_zero(mean, sd, n) & ratio_possible)
        ]
    return found


def find_impossible_correlations(rows: Rows) -> list[SheetProblem]:
    """Find correlations beyond -1 and 1."""
    effect, words = rows.numbers("effect"), rows.words("effect_measure")
    wrong = (np.abs(effect) > 1) & np.isin(words, BOUNDED)
    cells = [("effect", i) for i in np.flatnonzero(wrong)]
    cells += [("correlation", i) for i in np.flatnonzero(np.abs(rows.numbers("correlation")) > 1)]
    return [
        rows.finding(
            CorrelationError,
            i,
            column,
            "a correlation lies between -1 and 1",
            "numbers from -1 to 1",
            "look at the source; a percentage or a regression coefficient may stand in its place",
        )
        for column, i in cells
    ]


CHECKS = (
    SlipCheck(
        "GRIM",
        "means that whole numbers of this sample size cannot have (rows with `items`)",
        ImpossibleMeanWarning,
        OUTCOMES,
        find_impossible_means,
        "10.1177/1948550616673876",
    ),
    SlipCheck(
        "median",
        "medians that whole numbers of this sample size cannot have (rows with `items`)",
        ImpossibleMedianWarning,
        OUTCOMES,
        find_impossible_medians,
    ),
    SlipCheck(
        "GRIMMER",
        "SDs that whole numbers of this mean and sample size cannot have (rows with `items`)",
        ImpossibleSDWarning,
        OUTCOMES,
        find_impossible_sds,
        "10.7287/peerj.preprints.2400v1",
    ),
    SlipCheck(
        "test statistic",
        "t and F that do not follow from means, SDs and n",
        StatisticMismatchWarning,
        OUTCOMES,
        find_statistic_mismatch,
        "10.3758/s13428-015-0664-2",
    ),
    SlipCheck(
        "p-value",
        "p-values that do not follow from the printed t, or from means, SDs and n",
        PValueMismatchWarning,
        OUTCOMES,
        find_p_mismatch,
        "10.3758/s13428-015-0664-2",
    ),
    SlipCheck(
        "mean near zero",
        "means too near zero for a log ratio of means",
        MeanNearZeroWarning,
        OUTCOMES,
        find_means_near_zero,
        "10.1890/14-2402.1",
    ),
    SlipCheck(
        "correlation",
        "correlations beyond -1 and 1",
        CorrelationError,
        OUTCOMES,
        find_impossible_correlations,
    ),
)
