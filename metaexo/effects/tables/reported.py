"""Reading a table of reported statistics: its columns, its gaps, and what can be completed.

Mean and standard deviation of one arm of a reported table, from whatever the row gives of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.check import check_inputs, check_interval, check_se_below_sd
from metaexo.effects.conversions.d import t_from_f
from metaexo.effects.conversions.medians import QuantileEstimates, mean_sd_from_quantiles
from metaexo.effects.conversions.sd_and_se import FORMULAS, sd_from_ci, sd_from_se, se_from_ci
from metaexo.errors import InputError, ShapeError
from metaexo.inputs import read_entries, read_numbers
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

Words = NDArray[np.str_]

ARMS = ("treatment", "control")
NUMERATOR = 1
"""Degrees of freedom of the numerator of an F of two groups."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A table of reported statistics with gaps; a column that is not there is a column of gaps.

    Attributes
    ----------
    columns : mapping of str to sequence
        The columns by the names of the outcomes sheet.
    k : int
        Number of rows.
    rows : tuple of str
        Names of the rows, for messages.
    """

    columns: Mapping[str, Any]
    k: int
    rows: tuple[str, ...]
    _known: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, what: tuple[str, ...], compute: Callable[[], Any]) -> Any:
        """Return a column that follows from the table, computed when it is first asked for; read-only."""
        if what not in self._known:
            values = np.asarray(compute())
            values.flags.writeable = False
            self._known[what] = values
        return self._known[what]

    def numbers(self, name: str) -> Array:
        """Return a column as numbers, NaN for gaps."""
        return cast("Array", self.once(("numbers", name), lambda: self._numbers(name)))

    def _numbers(self, name: str) -> Array:
        if name not in self.columns:
            return np.full(self.k, np.nan)
        return read_numbers(self.columns[name], name, rows=self.rows, ndim=1)

    def words(self, name: str) -> Words:
        """Return a column as words in small letters, "" for gaps."""
        return cast("Words", self.once(("words", name), lambda: self._words(name)))

    def _words(self, name: str) -> Words:
        if name not in self.columns:
            return np.full(self.k, "", dtype=str)
        column = self.columns[name]
        return np.array(
            ["" if x is None or x != x else str(x).strip().lower() for x in column], dtype=str
        ).reshape(self.k)

    def has(self, *names: str) -> Mask:
        """Return which rows have all of the named numbers."""
        found = self.once(
            ("has", *names), lambda: np.all([np.isfinite(self.numbers(name)) for name in names], axis=0)
        )
        return cast("Mask", found)


def read_table(table: pd.DataFrame | Mapping[str, Any], rows: Sequence[str] | None = None) -> Reported:
    """Return the table for reading; see :class:`Reported`.

    Raises
    ------
    ShapeError
        If columns differ in length.
    InputError
        If a value is impossible: a negative SD, n of 2.5, more events than people, an interval that does
        not hold its estimate, an SE above its SD, a p-value above 1. It names the rows.

    Examples
    --------
    >>> table = read_table({"treatment_mean": [1.0, None], "paired": ["no", "yes"]})
    >>> table.numbers("treatment_mean")
    array([ 1., nan])
    """
    if not isinstance(table, Mapping) and not hasattr(table, "columns"):
        raise InputError(
            f"the table is a {type(table).__name__}", "a pandas.DataFrame, or a mapping of columns"
        )
    columns = {
        str(name): column.tolist() if hasattr(column, "iloc") else read_entries(column, str(name))
        for name, column in table.items()
    }
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise ShapeError("the columns of the table differ in length", "one entry a row in each")
    k = lengths.pop() if lengths else 0
    names = (
        tuple(map(str, read_entries(rows, "rows")))
        if rows is not None
        else tuple(f"row {i + 1}" for i in range(k))
    )
    if len(names) != k:
        raise ShapeError(f"{len(names)} row names for {k} rows", "one name for each row")
    reported = Reported(columns, k, names)
    _check(reported)
    return reported


def _check(table: Reported) -> None:
    """Refuse what cannot be."""
    kinds = ("n", "sd", "se", "events")
    checked = [f"{arm}_{kind}" for arm in ARMS for kind in kinds] + ["effect_se", "p_value", "correlation"]
    check_inputs({name: table.numbers(name) for name in checked}, table.rows)
    for arm in ARMS:
        check_se_below_sd(f"{arm}_se", table.numbers(f"{arm}_se"), table.numbers(f"{arm}_sd"), table.rows)
        low, q1, median, q3, high = (
            table.numbers(f"{arm}_{name}") for name in ("min", "q1", "median", "q3", "max")
        )
        check_interval(f"{arm}_median", median, q1, q3, table.rows)
        for name, inner in (("q1", q1), ("median", median), ("q3", q3)):
            check_interval(f"{arm}_{name}", inner, low, high, table.rows)
    for name, end in (
        ("treatment_mean", "treatment_ci"),
        ("control_mean", "control_ci"),
        ("difference", "difference_ci"),
        ("effect", "effect_ci"),
    ):
        low, high = table.numbers(f"{end}_low"), table.numbers(f"{end}_high")
        check_interval(name, table.numbers(name), low, high, table.rows)


def complete_sd(table: Reported, arm: str, level: float) -> tuple[Array, Words]:
    """Return the SD of an arm as reported, else from its SE, else from its CI, and the formulas used.

    Parameters
    ----------
    table : Reported
        The table.
    arm : {"treatment", "control"}
        The arm.
    level : float
        Level of the intervals of the means.

    Returns
    -------
    sd : ndarray
        Standard deviations, NaN where none can be had.
    formulas : ndarray of str
        Name of the conversion, "" where the SD is reported.

    Examples
    --------
    >>> table = read_table({"control_se": [2.0], "control_n": [25]})
    >>> sd, formulas = complete_sd(table, "control", 0.95)
    >>> float(sd[0]), str(formulas[0])
    (10.0, 'SD from SE')
    """
    n, sd = table.numbers(f"{arm}_n"), table.numbers(f"{arm}_sd")
    formulas = np.full(table.k, "", dtype=object)
    low, high = table.numbers(f"{arm}_ci_low"), table.numbers(f"{arm}_ci_high")
    others = {
        "sd_from_se": sd_from_se(table.numbers(f"{arm}_se"), n),
        "sd_from_ci": sd_from_ci(low, high, n, level),
    }
    for name, values in others.items():
        # a standard error or an interval of width 0 tells no standard deviation
        gap = np.isnan(sd) & np.isfinite(values) & (values > 0)
        sd = np.where(gap, values, sd)
        formulas[gap] = FORMULAS[name]
    return sd, formulas.astype(str)


def direction_of(table: Reported) -> Array:
    """Return the sign of treatment minus control; NaN if unknown.

    It is that of the means, else of the difference, else that of the word in the column `direction`
    ("higher" or "lower": where the treatment arm stands against the control arm).

    Examples
    --------
    >>> direction_of(read_table({"treatment_mean": [3.0, None], "control_mean": [5.0, 1.0]}))
    array([-1., nan])
    >>> direction_of(read_table({"direction": ["higher", "lower", None]}))
    array([ 1., -1., nan])
    """
    return cast("Array", table.once(("direction_of",), lambda: _direction_of(table)))


def _direction_of(table: Reported) -> Array:
    by_means = np.sign(table.numbers("treatment_mean") - table.numbers("control_mean"))
    sign = np.where(np.isfinite(by_means), by_means, np.sign(table.numbers("difference")))
    words = table.words("direction")
    by_words = np.where(words == "higher", 1.0, np.where(words == "lower", -1.0, np.nan))
    sign = np.where(np.isfinite(sign), sign, by_words)
    return np.where(sign == 0, np.nan, sign)


def exact_p(table: Reported) -> Array:
    """Return the p-values that are reported with "=", NaN elsewhere and beside an F of other groups.

    Examples
    --------
    >>> exact_p(read_table({"p_relation": ["=", "<"], "p_value": [0.03, 0.05]}))
    array([0.03,  nan])
    """
    return cast("Array", table.once(("exact_p",), lambda: _exact_p(table)))


def _exact_p(table: Reported) -> Array:
    of_arms = (table.words("reported_as") != "f") | f_of_the_arms(table)
    return np.where((table.words("p_relation") == "=") & of_arms, table.numbers("p_value"), np.nan)


def t_statistic(table: Reported, direction: Array) -> Array:
    """Return the reported t statistics, with the sign of the effect where that is known.

    Only rows with reported_as "t" have one, and rows with reported_as "f" whose F is that of the two arms
    (:func:`f_of_the_arms`): `statistic` may hold anything else (U, chi-square).

    Examples
    --------
    >>> table = read_table({"reported_as": ["t", "p_value"], "statistic": [2.5, 86.5]})
    >>> t_statistic(table, np.array([-1.0, 1.0]))
    array([-2.5,  nan])
    """
    t = np.where(table.words("reported_as") == "t", table.numbers("statistic"), np.nan)
    t = np.where(np.isfinite(direction), direction * np.abs(t), t)
    of_f = f_of_the_arms(table) & np.isfinite(direction)
    return np.where(of_f, t_from_f(np.where(of_f, table.numbers("statistic"), np.nan), direction), t)


def f_of_the_arms(table: Reported) -> Mask:
    """Return which rows report an F that can be the test of the two arms alone.

    An F of three groups or more, or of a model with covariates, leaves other degrees of freedom than those of
    two arms: n1 + n2 - 2, or n - 1 for the same people twice. A row that does not tell them passes;
    :func:`df_is_told` finds it.

    Examples
    --------
    >>> table = read_table(
    ...     {"reported_as": ["f"] * 3, "statistic": [6.2] * 3, "df": [18, 27, None],
    ...      "treatment_n": [10] * 3, "control_n": [10] * 3}
    ... )
    >>> f_of_the_arms(table)
    array([ True, False,  True])
    """
    return cast("Mask", table.once(("f_of_the_arms",), lambda: _f_of_the_arms(table)))


def _f_of_the_arms(table: Reported) -> Mask:
    df, n1, n2 = (table.numbers(name) for name in ("df", "treatment_n", "control_n"))
    of_arms = np.where(table.words("paired") == "yes", (df == n1 - 1) | (df == n2 - 1), df == n1 + n2 - 2)
    fits = of_arms | (df == NUMERATOR) | ~df_is_told(table)
    return np.asarray((table.words("reported_as") == "f") & (table.numbers("statistic") >= 0) & fits)


def df_is_told(table: Reported) -> Mask:
    """Return which rows give the degrees of freedom of their statistic, and sizes to compare them with."""
    return cast("Mask", table.once(("df_is_told",), lambda: _df_is_told(table)))


def _df_is_told(table: Reported) -> Mask:
    twice = table.words("paired") == "yes"
    either = table.has("treatment_n") | table.has("control_n")
    sized = np.where(twice, either, table.has("treatment_n", "control_n"))
    df = table.numbers("df")
    return np.asarray(np.isfinite(df) & (sized | (df == NUMERATOR)), dtype=bool)


def difference_se(table: Reported, df: Array, level: float) -> Array:
    """Return the standard error of the reported difference from its interval, t-based where df is known."""
    low, high = table.numbers("difference_ci_low"), table.numbers("difference_ci_high")
    by_t = se_from_ci(low, high, level=level, df=df)
    return np.where(np.isfinite(by_t), by_t, se_from_ci(low, high, level=level))


QUANTILES = ("min", "q1", "median", "q3", "max")
OF_MEDIANS = tuple(FORMULAS[f"mean_sd_from_{kind}"] for kind in ("quartiles", "range", "five"))
"""Names of the conversions of medians."""


@dataclass(frozen=True, slots=True)
class ArmMoments:
    """Mean and SD of an arm, row by row.

    Attributes
    ----------
    mean, sd : ndarray
        Means and standard deviations, NaN where none can be had.
    formulas : ndarray of str
        Names of the conversions, "" where both are reported.
    has_quantiles : ndarray of bool
        Rows that report a median with quartiles or range.
    asymmetric : ndarray of bool
        Rows whose quantiles are too asymmetric for a normal sample.
    flat : ndarray of bool
        Rows whose quartiles, ends or interval are one value, or whose standard error is 0.
    """

    mean: Array
    sd: Array
    formulas: Words
    has_quantiles: Mask
    asymmetric: Mask
    flat: Mask


def arm_moments(table: Reported, arm: str, level: float) -> ArmMoments:
    """Return mean and SD of an arm: as reported, else from SE or CI, else from its median and quantiles.

    Medians are converted only where no mean and no t or F is reported, n is known, and the quantiles are not
    too asymmetric for a normal sample; see :func:`mean_sd_from_quantiles`.

    Parameters
    ----------
    table : Reported
        The table.
    arm : {"treatment", "control"}
        The arm.
    level : float
        Level of the intervals of the means.

    Returns
    -------
    ArmMoments
        mean, sd, formulas, has_quantiles, asymmetric.

    Examples
    --------
    >>> from metaexo.effects.tables.reported import read_table
    >>> table = read_table({"treatment_median": [10.0], "treatment_min": [6.0], "treatment_max": [16.0],
    ...                     "treatment_n": [27]})
    >>> found = arm_moments(table, "treatment", 0.95)
    >>> found.mean.round(2), found.sd.round(2), str(found.formulas[0])
    (array([10.25]), array([2.5]), 'mean and SD from median and range')
    """
    mean = table.numbers(f"{arm}_mean")
    sd, words = complete_sd(table, arm, level)
    names = _formulas(table, arm)
    has_quantiles = np.asarray(names != "", dtype=bool)
    no_width = _no_width(table, arm)
    nothing = np.zeros(table.k, dtype=bool)
    if not has_quantiles.any():
        return ArmMoments(mean, sd, words, has_quantiles, nothing, no_width)
    found = _from_quantiles(table, arm)
    no_test = ~np.isin(table.words("reported_as"), ("t", "f"))
    filled = no_test & np.isnan(mean) & np.isfinite(found.mean) & np.isfinite(found.sd)
    return ArmMoments(
        np.where(filled, found.mean, mean),
        np.where(filled, found.sd, sd),
        np.where(filled, names, words).astype(str),
        has_quantiles,
        np.asarray(found.skewed & np.isfinite(found.critical), dtype=bool),
        (has_quantiles & _flat(table, arm)) | no_width,
    )


def _from_quantiles(table: Reported, arm: str) -> QuantileEstimates:
    """Return what the quantiles of an arm say of its mean and SD; NaN where there are too few or no n."""
    low, q1, median, q3, high = (table.numbers(f"{arm}_{name}") for name in QUANTILES)
    n = table.numbers(f"{arm}_n")
    other = table.numbers(f"{'control' if arm == 'treatment' else 'treatment'}_n")
    n = np.where(np.isnan(n) & (table.words("paired") == "yes"), other, n)
    return mean_sd_from_quantiles(n, minimum=low, q1=q1, median=median, q3=q3, maximum=high)


def _flat(table: Reported, arm: str) -> Mask:
    """Return the rows whose quartiles, or whose ends, are one value."""
    low, q1, q3, high = (table.numbers(f"{arm}_{name}") for name in ("min", "q1", "q3", "max"))
    return np.asarray((q1 == q3) | (low == high), dtype=bool)


def _no_width(table: Reported, arm: str) -> Mask:
    """Return the rows whose standard error is 0, or whose interval of the mean is one value."""
    se, low, high = (table.numbers(f"{arm}_{name}") for name in ("se", "ci_low", "ci_high"))
    return np.asarray((se == 0) | (low == high), dtype=bool)


def _formulas(table: Reported, arm: str) -> NDArray[np.object_]:
    """Return the name of the conversion that the quantiles of each row allow; "" where there is none."""
    middle = table.has(f"{arm}_median")
    quartiles, ends = table.has(f"{arm}_q1", f"{arm}_q3"), table.has(f"{arm}_min", f"{arm}_max")
    names = np.full(table.k, "", dtype=object)
    for rows, name in zip((quartiles & ~ends, ends & ~quartiles, quartiles & ends), OF_MEDIANS, strict=True):
        names[middle & rows] = name
    return names
