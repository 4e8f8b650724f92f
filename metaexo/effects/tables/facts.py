"""What a table of reported statistics gives: each fact of its rows, found once and handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.check import check_inputs, check_interval, check_se_below_sd
from metaexo.effects.conversions.d import t_from_f
from metaexo.effects.conversions.medians import mean_sd_from_quantiles
from metaexo.effects.conversions.sd_and_se import FORMULAS, sd_from_ci, sd_from_se, se_from_ci
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import InputError, ShapeError
from metaexo.immutable import Immutable
from metaexo.inputs import check_level, read_entries, read_numbers
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

Words = NDArray[np.str_]

ARMS = ("treatment", "control")
QUANTILES = ("min", "q1", "median", "q3", "max")
OF_ARMS = ("mean", "sd", "se", "n", "events", "ci_low", "ci_high", *QUANTILES)
NUMBERS = (
    *(f"{arm}_{name}" for arm in ARMS for name in OF_ARMS),
    *("difference", "difference_ci_low", "difference_ci_high", "correlation", "p_value", "statistic", "df"),
    *("effect", "effect_se", "effect_ci_low", "effect_ci_high"),
)
"""Columns of a table that hold numbers."""
CHECKED = ("_n", "_sd", "_se", "_events", "p_value", "correlation")
"""Endings of the columns that say what kind of number is possible there."""
WORDS = ("paired", "reported_as", "p_relation", "direction", "effect_measure", "unit")
"""Columns of a table that hold words."""
OF_MEDIANS = tuple(FORMULAS[f"mean_sd_from_{kind}"] for kind in ("quartiles", "range", "five"))
"""Names of the conversions of medians."""
NUMERATOR = 1
"""Degrees of freedom of the numerator of an F of two groups."""
PAIRED_FORM = {"MD": "MC", "SMD": "SMCRP", "ROM": "ROMC", "CVR": "CVRC", "VR": "VRC"}
"""Measure of two independent groups -> measure of the same people twice, on the same scale."""
PAIRED_FAMILY = "one group twice, means"


@dataclass(frozen=True, slots=True)
class Arm(Immutable):
    """What the rows give of one arm; each field has one entry per row."""

    # means and standard deviations: as reported; else the SD from the SE, else from the interval of the mean;
    # else both from the median and its quantiles. NaN where none can be had.
    mean: Array
    sd: Array
    formulas: Words  # names of the conversions, "" where both are reported
    has_quantiles: Mask  # rows that report a median with quartiles or range
    skewed: Mask  # rows whose quantiles are too asymmetric for a normal sample
    flat: Mask  # rows whose quartiles, ends or interval are one value, or whose standard error is 0


@dataclass(frozen=True, slots=True)
class Facts(Immutable):
    """A table of reported statistics with gaps; a column that is not there is a column of gaps.

    Examples
    --------
    >>> table = {"treatment_mean": [3.0, None], "control_mean": [5.0, 1.0], "control_se": [2.0, None],
    ...          "control_n": [25, 25]}
    >>> facts = read_facts(table)
    >>> facts.direction, facts.arms["control"].sd, facts.arms["control"].formulas
    (array([-1., nan]), array([10., nan]), array(['SD from SE', ''], dtype='<U10'))
    """

    rows: tuple[str, ...]  # names of the rows, for messages
    # the columns NUMBERS, NaN for gaps, and WORDS in small letters, "" for gaps
    numbers: Mapping[str, Array]
    words: Mapping[str, Words]
    arms: Mapping[str, Arm]  # means and SDs of the arms "treatment" and "control", completed
    # sign of treatment minus control; NaN if unknown. It is that of the means, else of the difference, else
    # that of the word in the column `direction` ("higher" or "lower": where the treatment arm stands).
    direction: Array
    exact_p: Array  # the p-values that are reported with "=", NaN elsewhere and beside an F of other groups
    # t statistics with the sign of the effect, where that is known: of rows with reported_as "t", and of rows
    # whose F is that of the two arms. Elsewhere `statistic` may hold anything (U, chi-square).
    t: Array
    # rows that report an F that can be the test of the two arms alone. An F of three groups or more, or of a
    # model with covariates, leaves other degrees of freedom than those of two arms: n1 + n2 - 2, or n - 1 for
    # the same people twice. A row that does not report them passes; see `df_known`.
    f_of_arms: Mask
    df_known: Mask  # rows that give the degrees of freedom of their statistic, and sizes to compare them with
    level: float  # level of the confidence intervals

    @property
    def k(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def has(self, *names: str) -> Mask:
        """Return which rows have all of the named numbers."""
        return np.asarray(np.all([np.isfinite(self.numbers[name]) for name in names], axis=0))

    def paired(self, record: Measure) -> Mask:
        """Return which rows compare the same people twice; a measure of pairs takes unknown ones as such."""
        pairing = self.words["paired"]
        return (pairing != "no") if record.family == PAIRED_FAMILY else np.asarray(pairing == "yes")

    def n_of_pairs(self) -> Array:
        """Return the number of pairs, from either arm; NaN where the arms differ."""
        n1, n2 = self.numbers["treatment_n"], self.numbers["control_n"]
        return np.where(self.sizes_differ(), np.nan, np.where(np.isfinite(n1), n1, n2))

    def sizes_differ(self) -> Mask:
        """Return the rows whose arms have different n."""
        n1, n2 = self.numbers["treatment_n"], self.numbers["control_n"]
        return np.asarray(self.has("treatment_n", "control_n") & (n1 != n2))

    def difference_se(self, df: Array) -> Array:
        """Return the SE of the reported difference from its interval, t-based where df is known."""
        low, high = self.numbers["difference_ci_low"], self.numbers["difference_ci_high"]
        if not self.has("difference_ci_low", "difference_ci_high").any():
            return np.full(self.k, np.nan)
        by_t = se_from_ci(low, high, level=self.level, df=df)
        return np.where(np.isfinite(by_t), by_t, se_from_ci(low, high, level=self.level))


def paired_form(record: Measure) -> Measure:
    """Return the measure of pairs that belongs to a measure, which may be that itself."""
    return get_measure(PAIRED_FORM.get(record.code, record.code))


def read_facts(
    table: pd.DataFrame | Mapping[str, Any], rows: Sequence[str] | None = None, level: float = 0.95
) -> Facts:
    """Return the facts of a table.

    An impossible value is refused with its rows: more events than people, an SE above its SD, n of 2.5, ...
    """
    if not isinstance(table, Mapping) and not hasattr(table, "columns"):
        raise InputError(
            f"the table is a {type(table).__name__}", "a pandas.DataFrame, or a mapping of columns"
        )
    columns = {
        str(name): column if hasattr(column, "iloc") else read_entries(column, str(name))
        for name, column in table.items()
    }
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise ShapeError("the columns of the table differ in length", "one entry per row in each")
    k = lengths.pop() if lengths else 0
    names = (
        tuple(map(str, read_entries(rows, "rows")))
        if rows is not None
        else tuple(f"row {i + 1}" for i in range(k))
    )
    if len(names) != k:
        raise ShapeError(f"{len(names)} row names for {k} rows", "one name for each row")
    gaps, silence = np.full(k, np.nan), np.full(k, "", dtype=str)
    numbers = {
        name: read_numbers(columns[name], name, rows=names, ndim=1) if name in columns else gaps
        for name in NUMBERS
    }
    words = {name: _words(columns[name]) if name in columns else silence for name in WORDS}
    _check({name: values for name, values in numbers.items() if values is not gaps}, gaps, names)
    return _facts(names, numbers, words, check_level(level))


def _words(column: Any) -> Words:
    entries = column.tolist() if hasattr(column, "tolist") else column
    return np.array(["" if x is None or x != x else str(x).strip().lower() for x in entries], dtype=str)


def _check(given: Mapping[str, Array], gaps: Array, rows: Sequence[str]) -> None:
    """Refuse what cannot be."""
    check_inputs({name: x for name, x in given.items() if name.endswith(CHECKED)}, rows)

    def within(name: str, low: str, high: str) -> None:
        if name in given or (low in given and high in given):
            estimate, *ends = (given.get(part, gaps) for part in (name, low, high))
            check_interval(name, estimate, ends[0], ends[1], rows)

    for arm in ARMS:
        if f"{arm}_se" in given and f"{arm}_sd" in given:
            check_se_below_sd(f"{arm}_se", given[f"{arm}_se"], given[f"{arm}_sd"], rows)
        within(f"{arm}_median", f"{arm}_q1", f"{arm}_q3")
        for inner in ("q1", "median", "q3"):
            within(f"{arm}_{inner}", f"{arm}_min", f"{arm}_max")
    for name in ("treatment_mean", "control_mean", "difference", "effect"):
        end = f"{name.removesuffix('_mean')}_ci"
        within(name, f"{end}_low", f"{end}_high")


@np.errstate(invalid="ignore")
def _facts(
    rows: tuple[str, ...], numbers: Mapping[str, Array], words: Mapping[str, Words], level: float
) -> Facts:
    """Return what follows from the columns of a table."""
    kind, twice = words["reported_as"], words["paired"] == "yes"
    n1, n2, df, statistic = (numbers[name] for name in ("treatment_n", "control_n", "df", "statistic"))
    sized = np.where(twice, np.isfinite(n1) | np.isfinite(n2), np.isfinite(n1) & np.isfinite(n2))
    df_known = np.isfinite(df) & (sized | (df == NUMERATOR))
    of_arms = np.where(twice, (df == n1 - 1) | (df == n2 - 1), df == n1 + n2 - 2) | (df == NUMERATOR)
    f_of_arms = (kind == "f") & (statistic >= 0) & (of_arms | ~df_known)

    sign = np.sign(numbers["treatment_mean"] - numbers["control_mean"])
    sign = np.where(np.isfinite(sign), sign, np.sign(numbers["difference"]))
    told = np.select([words["direction"] == "higher", words["direction"] == "lower"], [1.0, -1.0], np.nan)
    sign = np.where(np.isfinite(sign), sign, told)
    direction = np.where(sign == 0, np.nan, sign)

    exact = (words["p_relation"] == "=") & ((kind != "f") | f_of_arms)
    t = np.where(kind == "t", statistic, np.nan)
    t = np.where(np.isfinite(direction), direction * np.abs(t), t)
    by_f = f_of_arms & np.isfinite(direction)
    if by_f.any():
        t = np.where(by_f, t_from_f(np.where(by_f, statistic, np.nan), direction), t)

    no_test = (kind != "t") & (kind != "f")
    arms = {}
    for arm, other in (ARMS, ARMS[::-1]):
        own = {name: numbers[f"{arm}_{name}"] for name in OF_ARMS}
        n_of_quantiles = np.where(np.isnan(own["n"]) & twice, numbers[f"{other}_n"], own["n"])
        arms[arm] = _arm(own, n_of_quantiles, no_test, level)
    p = np.where(exact, numbers["p_value"], np.nan)
    return Facts(rows, numbers, words, arms, direction, p, t, np.asarray(f_of_arms), df_known, level)


def _arm(own: Mapping[str, Array], n: Array, no_test: Mask, level: float) -> Arm:
    """Return mean and SD of an arm: as reported, else from SE or CI, else from its median and quantiles.

    Medians are converted only where no mean and no t or F is reported, n is known, and the quantiles are not
    too asymmetric for a normal sample; see :func:`mean_sd_from_quantiles`.
    """
    mean, sd, low, high = (own[name] for name in ("mean", "sd", "ci_low", "ci_high"))
    formulas = np.full(mean.size, "", dtype=object)
    if np.isfinite(own["se"]).any():
        sd = _filled(sd, sd_from_se(own["se"], own["n"]), formulas, FORMULAS["sd_from_se"])
    if (np.isfinite(low) & np.isfinite(high)).any():
        sd = _filled(sd, sd_from_ci(low, high, own["n"], level), formulas, FORMULAS["sd_from_ci"])
    flat = (own["se"] == 0) | (low == high)

    least, q1, median, q3, most = (own[name] for name in QUANTILES)
    names = np.full(mean.size, "", dtype=object)
    quartiles, ends = np.isfinite(q1) & np.isfinite(q3), np.isfinite(least) & np.isfinite(most)
    for which, name in zip((quartiles & ~ends, ends & ~quartiles, quartiles & ends), OF_MEDIANS, strict=True):
        names[np.isfinite(median) & which] = name
    has_quantiles, skewed = np.asarray(names != "", dtype=bool), np.zeros(mean.size, dtype=bool)
    if has_quantiles.any():
        found = mean_sd_from_quantiles(n, minimum=least, q1=q1, median=median, q3=q3, maximum=most)
        here = no_test & np.isnan(mean) & np.isfinite(found.mean) & np.isfinite(found.sd)
        mean, sd = np.where(here, found.mean, mean), np.where(here, found.sd, sd)
        formulas[here] = names[here]
        skewed = np.asarray(found.skewed & np.isfinite(found.critical), dtype=bool)
        flat = flat | (has_quantiles & ((q1 == q3) | (least == most)))
    return Arm(mean, sd, formulas.astype(str), has_quantiles, skewed, np.asarray(flat))


def _filled(sd: Array, others: Array, formulas: NDArray[np.object_], name: str) -> Array:
    """Return SDs with gaps filled; a standard error or an interval of width 0 gives no standard deviation."""
    gap = np.isnan(sd) & np.isfinite(others) & (others > 0)
    formulas[gap] = name
    return np.where(gap, others, sd)
