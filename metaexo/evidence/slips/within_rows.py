"""What is impossible or looks wrong within one row: means, SDs, tests, p-values and words."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metaexo.errors import (
    CorrelationError,
    EffectMismatchWarning,
    ImpossibleMeanWarning,
    ImpossibleMedianWarning,
    ImpossibleSDWarning,
    LargeDifferenceWarning,
    MeanNearZeroWarning,
    MisnamedColumnWarning,
    OneArmWarning,
    PValueMismatchWarning,
    SpreadMismatchWarning,
    StatisticMismatchWarning,
    UnknownCategoryWarning,
    UnknownOutcomeWarning,
    UnspecificCategoryWarning,
    ZeroPValueWarning,
    ZeroSDWarning,
)
from metaexo.evidence.checking.places import passed_over
from metaexo.evidence.slips.grim import decimals, grim, grim_median, grimmer, nearest_means
from metaexo.evidence.slips.odd_rows import rows_exchanged
from metaexo.evidence.slips.patterns import mean_near_zero
from metaexo.evidence.slips.rows import ARMS, Checks, Rows, Slip, Slips
from metaexo.evidence.slips.statistics import (
    implied_p,
    implied_t,
    p_agrees,
    statistic_agrees,
)
from metaexo.evidence.vocabulary import (
    VOCABULARIES,
    Kind,
    isolation_category,
    isolation_steps,
    load_vocabulary,
    source_category,
    unclear,
)
from metaexo.types import Array, Mask

CHECKS = Checks()

LARGE_DIFFERENCE = 5.0
"""Standardised difference from which an SE is suspected in the place of an SD."""
SPREAD_TOLERANCE = 0.1
"""Share by which SD / sqrt(n) may differ from SE, which both are rounded."""
NEAR_OUTCOME = 0.75
MOST_NEAREST = 100
"""Strange words of a column for which the nearest word is looked for."""
NAMES_OF = {
    "source": ("source", "sources", "origin", "donor", "tissue", "celltype", "derived"),
    "isolation": ("isolation", "isolated", "isolate", "purification", "purified", "extraction", "enrichment"),
}
"""Words of columns that may hold the source or the isolation."""
LIKE_COLUMN = 0.8
EXAMPLES = {"source": "such as adipose_msc", "isolation": "such as ultracentrifugation"}
ONE_GROUP = ("single_arm", "post_vs_pre")
UNKNOWN, BROADLY = "no category", "unspecific"
"""What the vocabulary says of words that lead to no category, or to a broad one."""
ARM_NUMBERS = ("mean", "median", "events", "min", "max")


@CHECKS.add("one arm", "comparisons of which only one arm has numbers", OneArmWarning)
def _one_arm(rows: Rows) -> Slips:
    frame = rows.frame
    has = {arm: frame[[f"{arm}_{name}" for name in ARM_NUMBERS]].notna().any(axis=1) for arm in ARMS}
    whole = frame[["difference", "effect"]].notna().any(axis=1)
    one = (has["treatment"] ^ has["control"]) & ~whole & ~frame["contrast"].isin(ONE_GROUP)
    for i in np.flatnonzero(one):
        yield Slip(
            i,
            "treatment_mean" if not has["treatment"].iloc[i] else "control_mean",
            "only one arm of the comparison has numbers",
            "numbers in both arms, or contrast single_arm",
            "enter the other arm, or say in `caution` why it is missing",
        )


@CHECKS.add("zero p", "p-values of exactly zero", ZeroPValueWarning)
def _zero_p(rows: Rows) -> Slips:
    zero = (rows.frame["p_value"] == 0) & (rows.frame["p_relation"] != "<=")
    for i in np.flatnonzero(zero):
        yield Slip(
            i,
            "p_value",
            "a p-value is never exactly zero; a program prints p = 0.000 for p < 0.0005",
            "a number above 0",
            "write < in p_relation and half a unit of the last printed digit in p_value",
        )


@CHECKS.add(
    "direction against means",
    "directions that contradict the means or the difference beside them",
    EffectMismatchWarning,
)
def _direction_against_means(rows: Rows) -> Slips:
    first, second, difference = (
        rows.numbers(name) for name in ("treatment_mean", "control_mean", "difference")
    )
    of_means = first - second
    told = np.array(rows.words("direction"))
    seen = np.where(np.isnan(of_means), difference, of_means)
    for i in np.flatnonzero(((told == "higher") & (seen < 0)) | ((told == "lower") & (seen > 0))):
        beside = (
            f"the difference is {difference[i]:g}"
            if np.isnan(of_means[i])
            else f"the means are {first[i]:g} and {second[i]:g}"
        )
        yield Slip(
            i,
            "direction",
            f"the direction is {told[i]}, and {beside}",
            "a direction that the numbers have too",
            "look at the source; the arms may be exchanged, or a sign lost",
        )


@CHECKS.add(
    "large difference",
    "means so many SDs apart that standard errors may stand as SDs",
    LargeDifferenceWarning,
    "10.1002/9781119536604.ch6",
)
def _large_differences(rows: Rows) -> Slips:
    m1, s1, n1, m2, s2, n2 = (rows.numbers(f"{arm}_{name}") for arm in ARMS for name in ("mean", "sd", "n"))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.sqrt((s1**2 + s2**2) / 2)
        d = np.where(pooled > 0, np.abs(m1 - m2) / pooled, np.nan)
        as_se = np.abs(m1 - m2) / np.sqrt((n1 * s1**2 + n2 * s2**2) / 2)
    passed = rows_exchanged(rows)
    for i in np.flatnonzero(d > LARGE_DIFFERENCE):
        if int(i) in passed:
            continue
        known = math.isfinite(as_se[i])
        sds = " and ".join(f"{s[i] * math.sqrt(n[i]):.3g}" for s, n in ((s1, n1), (s2, n2)) if known)
        reading = f"standard errors: the SDs are {sds} then, and the means {as_se[i]:.1f} SDs apart"
        yield Slip(
            i,
            "treatment_sd",
            f"the means are {d[i]:.0f} standard deviations apart; standard errors may stand as SDs",
            f"differences of fewer than {LARGE_DIFFERENCE:g} standard deviations",
            "look at the source; if these are standard errors, move them to treatment_se and control_se",
            reading=reading if known else "standard errors",
        )


@CHECKS.add(
    "spread mismatch",
    "standard errors that are not SD / sqrt(n)",
    SpreadMismatchWarning,
    "10.1002/9781119536604.ch6",
)
def _spread_mismatch(rows: Rows) -> Slips:
    for arm in ARMS:
        sd, se, n = (rows.numbers(f"{arm}_{name}") for name in ("sd", "se", "n"))
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = sd / np.sqrt(np.where(n >= 1, n, np.nan))
            off = (np.abs(se - expected) > SPREAD_TOLERANCE * expected) & (se <= sd)
            size = (sd / se) ** 2
        for i in np.flatnonzero(off):
            yield Slip(
                i,
                f"{arm}_se",
                f"SE is {se[i]:g}, but SD divided by the root of n is {expected[i]:.3g}",
                "SE = SD / sqrt(n)",
                "look at the source; n may be that of another analysis",
                reading=f"n = {size[i]:.1f}",
            )


@CHECKS.add("zero spread", "SDs and standard errors of zero", ZeroSDWarning)
def _zero_spread(rows: Rows) -> Slips:
    for column in (f"{arm}_{name}" for arm in ARMS for name in ("sd", "se")):
        for i in np.flatnonzero(rows.numbers(column) == 0):
            yield Slip(
                i,
                column,
                f"{column} is zero",
                "a value above 0",
                "look at the source; a spread that is not reported is an empty cell",
            )


@CHECKS.add(
    "unknown outcome",
    "outcomes that are no word of the vocabulary",
    UnknownOutcomeWarning,
    sheets=("outcomes", "published_meta_analyses"),
)
def _unknown_outcomes(rows: Rows) -> Slips:
    words = rows.words("outcome")
    strange = [word for word in dict.fromkeys(words) if word and word not in rows.outcomes]
    near = {
        word: difflib.get_close_matches(word[:80], rows.outcomes, n=1, cutoff=NEAR_OUTCOME)
        if i < MOST_NEAREST
        else []
        for i, word in enumerate(strange)
    }
    for i, outcome in enumerate(words):
        if outcome not in near:
            continue
        nearest = near[outcome][0] if near[outcome] else None
        meant = (
            f"write {nearest!r} if that is what was meant; otherwise nothing: it is an outcome of its own"
            if nearest
            else "nothing, if it is an outcome of its own"
        )
        yield Slip(
            i,
            "outcome",
            f"{outcome!r} is not in the outcome vocabulary, so it is a family of its own",
            "a word of the vocabulary, or a word of your own",
            f"{meant} (vocabulary/outcome_family.csv beside the sheets can give it a label and a family)",
            nearest=nearest,
        )


@CHECKS.add(
    "unclear category",
    "words for source and isolation that lead to no category, or to a broad one",
    UnknownCategoryWarning,
    sheets=("studies", "outcomes", "preparations", "safety_events"),
)
def _unclear_categories(rows: Rows) -> Slips:
    for kind in VOCABULARIES:
        if f"{kind}_reported" in rows.frame and f"{kind}_category" in rows.frame:
            yield from _unclear(rows, kind)


def _unclear(rows: Rows, kind: Kind) -> Slips:
    category, reported = f"{kind}_category", f"{kind}_reported"
    vocabulary = load_vocabulary(kind, rows.folder)
    told, settled = rows.words(reported), rows.words(category)
    open_ = dict.fromkeys(text for text, given in zip(told, settled, strict=True) if text and not given)
    said = {text: unclear(kind, text, rows.folder) or passed_over(kind, text, rows.folder) for text in open_}
    strange = [text for text, what in said.items() if what]
    unlike = [text for text in strange if said[text] in (BROADLY, UNKNOWN)][:MOST_NEAREST]
    near = {text: vocabulary.nearest(text) for text in unlike}
    taken = {text: _category(kind, text, rows.folder) for text in strange}
    for i, (text, given) in enumerate(zip(told, settled, strict=True)):
        if given or not said.get(text):
            continue
        unknown = said[text] == UNKNOWN
        nearest = near.get(text)
        nearest = None if nearest == taken[text] else nearest
        read = (
            f"names the {kind} only broadly" if said[text] == BROADLY else f"is read in part ({said[text]})"
        )
        yield Slip(
            i,
            reported,
            f"{text!r} names no {kind} of the vocabulary, so the row counts as not reported"
            if unknown
            else f"{text!r} {read}: it counts as {vocabulary.label(taken[text])!r}",
            f"words of vocabulary/{kind}.csv, or a category in {category}",
            f"write the category in a column {category} ({nearest or EXAMPLES[kind]}), or say it in other "
            f"words; words of your own can stand in vocabulary/{kind}.csv beside the sheets",
            nearest=nearest,
            kind=None if unknown else UnspecificCategoryWarning,
        )


def _category(kind: Kind, text: str, folder: Path | None) -> str:
    """Return the category that the words of a paper lead to."""
    if kind == "source":
        return source_category(text, folder)
    return isolation_category(isolation_steps(text, folder))


@CHECKS.add(
    "misnamed column",
    "columns of your own that may be the source or the isolation, where the sheet has neither",
    MisnamedColumnWarning,
    sheets=("studies", "preparations", "safety_events"),
)
def _misnamed_columns(rows: Rows) -> Slips:
    header, known = rows.sheet.header, rows.sheet.plan.columns
    for kind in VOCABULARIES:
        reported = f"{kind}_reported"
        if reported not in known or {reported, f"{kind}_category"} & set(header):
            continue
        own = [name for name in header if name not in known and name and _is_like(name, NAMES_OF[kind])]
        for name in own:
            yield Slip(
                None,
                name,
                f"{name!r} is a column of your own, and no column of the codebook says the {kind}: every row "
                "counts as not reported",
                f"{reported} (words of the paper) or {kind}_category",
                f"rename it to {reported!r} if it holds the {kind}",
                nearest=reported,
            )


def _is_like(name: str, words: Sequence[str]) -> bool:
    """Return whether a word of a column's name is one of these, or nearly."""
    parts = [part for part in re.split(r"[\W_\d]+", name.casefold()) if part]
    return any(difflib.get_close_matches(part[:40], words, n=1, cutoff=LIKE_COLUMN) for part in parts)


STATISTICS = ("t", "f", "mean_sd", "mean_se", "mean_ci", "difference_ci")
"""Forms of reporting under which a statistic is a t or an F; elsewhere it may be anything."""
BOUNDED = ("correlation", "cliffs_delta")
SIGNIFICANCE = 0.05


@CHECKS.add(
    "GRIM",
    "means that whole numbers of this sample size cannot have (rows with `items`)",
    ImpossibleMeanWarning,
    "10.1177/1948550616673876",
)
def _impossible_means(rows: Rows) -> Slips:
    for arm in ARMS:
        cells, n = rows.cells(f"{arm}_mean"), rows.numbers(f"{arm}_n")
        items, mean = rows.numbers("items"), rows.numbers(f"{arm}_mean")
        for i in np.flatnonzero(~grim(cells, n, items)):
            below, above = nearest_means(mean[i], n[i], items[i])
            yield Slip(
                i,
                f"{arm}_mean",
                f"{_whole(n[i], items[i])} cannot have a mean of {cells[i]} (GRIM)",
                f"a multiple of 1 / {n[i] * items[i]:g}, rounded",
                "look at the source; n may be that of another analysis, or some values are no whole numbers",
                reading=f"{below:.6g} or {above:.6g}",
            )


@CHECKS.add(
    "GRIMMER",
    "SDs that whole numbers of this mean and sample size cannot have (rows with `items`)",
    ImpossibleSDWarning,
    "10.7287/peerj.preprints.2400v1",
)
def _impossible_sds(rows: Rows) -> Slips:
    for arm in ARMS:
        means, sds, n = rows.cells(f"{arm}_mean"), rows.cells(f"{arm}_sd"), rows.numbers(f"{arm}_n")
        items = rows.numbers("items")
        wrong = grim(means, n, items) & ~grimmer(means, sds, n, items)
        for i in np.flatnonzero(wrong):
            yield Slip(
                i,
                f"{arm}_sd",
                f"{_whole(n[i], items[i])} with a mean of {means[i]} cannot have an SD of {sds[i]} (GRIMMER)",
                "an SD that whole numbers can have",
                "look at the source; n may be that of another analysis, or the SD may be a standard error",
            )


@CHECKS.add(
    "median",
    "medians that whole numbers of this sample size cannot have (rows with `items`)",
    ImpossibleMedianWarning,
)
def _impossible_medians(rows: Rows) -> Slips:
    for arm in ARMS:
        cells, n, items = rows.cells(f"{arm}_median"), rows.numbers(f"{arm}_n"), rows.numbers("items")
        for i in np.flatnonzero(~grim_median(cells, n, items)):
            yield Slip(
                i,
                f"{arm}_median",
                f"{_whole(n[i], items[i])} cannot have a median of {cells[i]}",
                "one of the values where n is odd, half-way between two where it is even",
                "look at the source; n may be that of another analysis, or some values are no whole numbers",
                reading="an even n, or values that are no whole numbers",
            )


def _whole(n: float, items: float) -> str:
    """Name the whole numbers of a group."""
    return f"{n:g} whole numbers" if items == 1 else f"{n:g} scores of {items:g} whole-number items"


@CHECKS.add(
    "test statistic",
    "t and F that do not follow from means, SDs and n",
    StatisticMismatchWarning,
    "10.3758/s13428-015-0664-2",
)
def _statistic_mismatch(rows: Rows) -> Slips:
    statistic = rows.cells("statistic")
    forms = np.array(rows.words("reported_as"), dtype=object)
    read = np.isin(forms, STATISTICS)
    agrees = np.zeros(len(statistic), dtype=bool)
    for low, high, _ in _ways(rows):
        agrees |= statistic_agrees(statistic, low, high, squared=forms != "t") & np.isfinite(low)
    low, high = _range_of_t(rows)
    wrong = read & np.isfinite(low) & np.isfinite(rows.numbers("statistic")) & ~agrees
    for i in np.flatnonzero(wrong):
        yield Slip(
            i,
            "statistic",
            f"the statistic is {statistic[i]}, but means, SDs and n give a t of {span(low[i], high[i])}",
            "the t (or F = t^2) of the numbers in the row",
            "look at the source; n may be that of another analysis, or the SDs may be standard errors",
        )


@CHECKS.add(
    "p-value",
    "p-values that do not follow from the printed t, or from means, SDs and n",
    PValueMismatchWarning,
    "10.3758/s13428-015-0664-2",
)
def _p_mismatch(rows: Rows) -> Slips:
    printed, relation = rows.cells("p_value"), rows.words("p_relation")
    p = rows.numbers("p_value")
    done = np.zeros(p.size, dtype=bool)
    for low, high, source, exact in (*_p_of_statistic(rows), *_p_of_means(rows)):
        agrees = p_agrees(printed, relation, low, high)
        if not exact:
            agrees |= (np.array(relation) == "=") & (
                ((p <= SIGNIFICANCE) & (low <= SIGNIFICANCE)) | ((p > SIGNIFICANCE) & (high > SIGNIFICANCE))
            )
        for i in np.flatnonzero(~agrees & ~done):
            yield Slip(
                i,
                "p_value",
                f"p {relation[i]} {printed[i]} is printed, but {source} p of {span(low[i], high[i])}",
                "the p-value of the numbers in the row",
                "look at the source; the test may be another one, one-sided, or of other groups",
            )
        done |= ~agrees


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
    """Return the smallest and the largest t by all readings of a row."""
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


def span(low: float, high: float) -> str:
    """Return a range in words, or one number where both ends round to it."""
    ends = f"{low:.3g}", f"{high:.3g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


@CHECKS.add(
    "mean near zero", "means too near zero for a log ratio of means", MeanNearZeroWarning, "10.1890/14-2402.1"
)
def _means_near_zero(rows: Rows) -> Slips:
    passed = rows_exchanged(rows)
    ratio_possible = np.sign(rows.numbers("treatment_mean")) == np.sign(rows.numbers("control_mean"))
    for arm in ARMS:
        mean, sd, n = (rows.numbers(f"{arm}_{name}") for name in ("mean", "sd", "n"))
        near = mean_near_zero(mean, sd, n) & ratio_possible
        for i in (i for i in np.flatnonzero(near) if int(i) not in passed):
            yield Slip(
                i,
                f"{arm}_mean",
                f"the mean is {abs(mean[i]) * np.sqrt(n[i]) / sd[i]:.1f} standard errors from zero: "
                "its logarithm is not near normal",
                "means well above zero, for the measures ROM and CVR",
                "use a difference (MD, SMD), or logarithms of the single values",
            )


@CHECKS.add("correlation", "correlations beyond -1 and 1", CorrelationError)
def _impossible_correlations(rows: Rows) -> Slips:
    effect, words = rows.numbers("effect"), rows.words("effect_measure")
    wrong = (np.abs(effect) > 1) & np.isin(words, BOUNDED)
    cells = [("effect", i) for i in np.flatnonzero(wrong)]
    cells += [("correlation", i) for i in np.flatnonzero(np.abs(rows.numbers("correlation")) > 1)]
    for column, i in cells:
        yield Slip(
            i,
            column,
            "a correlation lies between -1 and 1",
            "numbers from -1 to 1",
            "look at the source; a percentage or a regression coefficient may stand in its place",
        )
