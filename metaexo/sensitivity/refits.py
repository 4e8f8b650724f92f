"""Many refits of one fit as arrays: leave-one-out, cumulative series, resampling schemes.

Fits of one effect per study are refitted in one batched call, and so are multilevel fits without some of
their rows; the others one by one, part by part through joblib.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import GENERIC, Measure
from metaexo.errors import InputError, MetaexoError, ShapeError
from metaexo.formatting import MISSING, interval, level_words, number, p_value, percent, plural
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.inputs import check_flag, read_numbers, whole_number
from metaexo.models.counts.beta_binomial.results import BetaBinomialResults
from metaexo.models.counts.common_effect import CommonEffectResults
from metaexo.models.counts.mixed.many import refitted as refitted_counts
from metaexo.models.counts.mixed.results import CountGLMMResults
from metaexo.models.linear.hypothesis import two_sided_pvalues, wald_statistics
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.batched import fits_without, is_batched
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.batched import BATCHED_TESTS, fit_batch, t_by_df
from metaexo.models.univariate.residuals import ALONE
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.counts.formulations import RANDOM
from metaexo.numeric.problem import CHUNK_ELEMENTS, make_batch
from metaexo.numeric.tails import chi2_tail
from metaexo.readable import Readable, ReaderTable, plain
from metaexo.runs import run
from metaexo.sensitivity.refit import checked_fit, checked_values, refit, refuse_values
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    import pandas as pd

Fit = TypeVar("Fit", bound=FitResults)
# Refits of one part, where they are made one by one.
PART = 16
# Refits of a multilevel model that are made together.
TOGETHER = 256
ONE_EFFECT = "one effect: its own estimate with normal quantiles; there is no tau2 to estimate"


# How often each row takes part in refits begin to end, shape (end - begin, k).
Counts = Callable[[int, int], Array]


@dataclass(frozen=True, eq=False, repr=False)
class Refits(Readable):
    """Refits of one fit as arrays, an entry per refit; NaN where there is no fit.

    Attributes
    ----------
    names : tuple of str
        Coefficients.
    components : tuple of str
        Components of the heterogeneity.
    beta, se : ndarray, shape (B, p)
        Coefficients and their standard errors.
    cov : ndarray, shape (B, p, p)
        Covariance matrices of the coefficients.
    low, high : ndarray, shape (B, p)
        Ends of their confidence intervals.
    statistic, df, pvalue : ndarray, shape (B, p)
        Their tests; df is NaN where the normal distribution is used.
    tau2_by_component : ndarray, shape (B, c)
        Variance of each component.
    tau2, i2, h2 : ndarray, shape (B,)
        Heterogeneity; i2 is a fraction.
    q, q_df, q_pvalue : ndarray, shape (B,)
        Cochran's Q test; NaN where the model has none.
    k, m : ndarray, shape (B,)
        Number of effects, each as often as it takes part, and of studies.
    reasons : mapping of int to str
        Refit to the reason why it has no fit.
    notes : mapping of int to str
        Refit to what is special about it.
    level : float
        Level of the intervals.
    effects : EffectSizes or BoundedEffectSizes
        The effects of the fit.
    tested : ndarray of bool, shape (p,)
        Which coefficients have a value of no effect, 0, that the tests are of. A mean of a measure without
        one, such as a proportion, has none: tables and sentences leave its tests out.
    """

    names: tuple[str, ...]
    components: tuple[str, ...]
    beta: Array
    se: Array
    cov: Array
    low: Array
    high: Array
    statistic: Array
    df: Array
    pvalue: Array
    tau2_by_component: Array
    tau2: Array
    i2: Array
    h2: Array
    q: Array
    q_df: Array
    q_pvalue: Array
    k: Array
    m: Array
    reasons: Mapping[int, str]
    notes: Mapping[int, str]
    level: float
    effects: EffectSizes | BoundedEffectSizes
    tested: Mask

    @property
    def measure(self) -> Measure:
        """Effect-size measure of the effects."""
        return self.effects.measure

    @property
    def size(self) -> int:
        """Number of refits B."""
        return int(self.tau2.size)

    @property
    def fitted(self) -> int:
        """Number of refits that have a fit."""
        return self.size - len(self.reasons)

    @property
    def estimate(self) -> Array:
        """The pooled effect, shape (B,), of a fit with one coefficient."""
        if len(self.names) != 1:
            raise InputError(
                f"the fit has {plural(len(self.names), 'coefficient')}: {', '.join(self.names)}",
                "a fit with one",
                "use beta, which has a column for each",
            )
        return self.beta[:, 0]

    @property
    def shown_estimates(self) -> tuple[str, Array, Array, Array]:
        """What a single estimate is called, and estimates and interval ends on the scale of the measure."""
        values = (self.estimate, self.low[:, 0], self.high[:, 0])
        display = self.measure.display
        what = f"{display[:1].lower()}{display[1:]}" if display[1:2].isalpha() else display  # R2 stays
        if not self.measure.rescaled:
            pooled = self.names == ("intercept",) and display != GENERIC.display
            return what if pooled else "estimate", *values
        low, middle, high = (back_pooled(self.effects, ends) for ends in (values[1], values[0], values[2]))
        return what, middle, low, high

    def columns(self) -> dict[str, Any]:
        """Return the columns of `to_frame`."""
        out: dict[str, Any] = {"k": self.k.astype(int), "m": self.m.astype(int)}
        values = {"estimate": self.beta, "se": self.se, "low": self.low, "high": self.high}
        values |= {"statistic": self._of_tested(self.statistic), "df": self.df}
        values |= {"pvalue": self._of_tested(self.pvalue)}
        if self.measure.display_log:
            with np.errstate(over="ignore"):
                ends = {"ratio": self.beta, "ratio_low": self.low, "ratio_high": self.high}
                values |= {column: np.exp(table) for column, table in ends.items()}
        for j, name in enumerate(self.names):
            after = "" if len(self.names) == 1 else f" {name}"
            out |= {f"{column}{after}": table[:, j] for column, table in values.items()}
        out["tau2"] = self.tau2
        if len(self.components) > 1:
            out |= {f"tau2 {name}": self.tau2_by_component[:, j] for j, name in enumerate(self.components)}
        out |= {"i2": self.i2, "h2": self.h2, "q": self.q, "q_df": self.q_df, "q_pvalue": self.q_pvalue}
        return out | {"note": self.said}

    def _of_tested(self, values: Array) -> Array:
        """Return numbers of tests, NaN for coefficients without a value of no effect."""
        return np.where(self.tested, values, np.nan)

    @property
    def said(self) -> list[str]:
        """What is special about each refit, or why it has no fit; mostly empty."""
        words = {**self.notes, **self.reasons}
        return [words.get(i, "") for i in range(self.size)]

    @property
    def row_names(self) -> tuple[str, Sequence[str]]:
        """What the rows of the table are, and the name of each."""
        return "refit", [str(i + 1) for i in range(self.size)]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per refit: k, m, coefficients with intervals and tests, heterogeneity, and a note.

        With several coefficients each column ends with the name of its own; ratios stand beside logarithms.
        """
        import pandas as pd

        name, labels = self.row_names
        return pd.DataFrame(self.columns(), index=pd.Index(labels, name=name))

    def reader_tables(self) -> list[ReaderTable]:
        """Return the estimates with intervals, tau2 and I2, numbers rounded; `to_frame` has all."""
        name, labels = self.row_names
        level = level_words(self.level)
        columns = (self.beta.T, self.low.T, self.high.T, self.pvalue.T)
        estimates = list(zip(self.names, *columns, strict=True))
        if len(self.names) == 1:
            estimates = [(*self.shown_estimates, self.pvalue[:, 0])]
        header = [name.replace("_", " "), "k"]
        cells = [[label, f"{k:.0f}"] for label, k in zip(labels, self.k, strict=True)]
        for (what, middle, low, high, p), tested in zip(estimates, self.tested.tolist(), strict=True):
            header += [what, f"{level} interval", *(["p"] if tested else [])]
            for row, *values in zip(cells, middle, low, high, p, strict=True):
                tests = [p_value(values[3])] if tested else []
                row += [number(values[0], 3), _interval(values[1], values[2]), *tests]
        varies = bool(self.components)  # a common effect has no tau2
        header += ["tau2", "I2"] if varies else ["I2"]
        for row, tau2, i2 in zip(cells, self.tau2, self.i2, strict=True):
            row += [*([number(tau2, 3)] if varies else []), percent(i2)]
        return [ReaderTable(cells, header)]

    def table_notes(self) -> list[str]:
        """Return what is special about single refits, or why they have no fit."""
        labels = self.row_names[1]
        of_note: dict[str, list[str]] = {}
        for i, words in {**self.notes, **self.reasons}.items():
            of_note.setdefault(words if i in self.notes else f"no fit, {words}", []).append(labels[i])
        return [f"{', '.join(which[:MOST_NAMED])}{_more(which)}: {note}" for note, which in of_note.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values, for files such as JSON: a record per refit."""
        frame = self.to_frame().reset_index()
        facts = {"coefficients": self.names, "components": self.components, "level": self.level}
        return plain(facts | {"measure": self.measure.code, "refits": frame})  # type: ignore[no-any-return]

    def _of_single_effects(self, one: str, many: str) -> str:
        """Return the sentence that says how many refits are one effect alone; empty where none is."""
        alone = list(self.notes.values()).count(ONE_EFFECT)
        verb, own = ("is", "its own estimate") if alone == 1 else ("are", "their own estimates")
        of = plural(alone, one, many)
        return f" {of} {verb} one effect alone: {own} with normal quantiles, no tau2." if alone else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fitted} of {plural(self.size, 'refit')} fitted)"

    def __str__(self) -> str:
        return self.to_text() if self.size <= MOST_PRINTED else repr(self)


MOST_NAMED, MOST_PRINTED = 8, 200


def _interval(low: float, high: float) -> str:
    return MISSING if np.isnan(low) else interval(low, high, 3)


def _more(which: Sequence[str]) -> str:
    return f" and {len(which) - MOST_NAMED} more" if len(which) > MOST_NAMED else ""


def refits(
    fit: FitResults,
    counts: ArrayLike | Counts | None = None,
    size: int | None = None,
    *,
    y: ArrayLike | None = None,
    v: ArrayLike | None = None,
    level: float | None = None,
    alone: bool = False,
) -> Refits:
    """Return many refits of a fit as arrays.

    Use it for resampling schemes of your own. Fits of :class:`metaexo.RandomEffects` are refitted in one
    batched call, and so are those of :class:`metaexo.MantelHaenszel` and :class:`metaexo.Peto`, and most of
    :class:`metaexo.Multilevel` in which no row repeats; others one by one, in parts that go to the workers of
    joblib inside ``joblib.parallel_config``.

    Parameters
    ----------
    fit : FitResults
        A fit of any family.
    counts : array_like, shape (B, k), or callable, optional
        How often each row takes part in each refit; 0 leaves it out. Rows that repeat are different studies.
        A callable returns the counts of refits `begin` to `end`, so that they never stand in memory
        together. Default: every row once.
    size : int, optional
        Number of refits B, where `counts` is a callable.
    y, v : array_like, shape (B, k), optional
        Effects and sampling variances of each refit, in the place of those of the fit.
    level : float, optional
        Level of the intervals. Default: that of the fit.
    alone : bool
        Whether a refit that consists of one effect shows that effect with normal quantiles, as a study by
        itself; otherwise it has no fit. For fits of RandomEffects without moderators.

    Returns
    -------
    Refits
        Coefficients, heterogeneity and Q, an entry per refit, NaN where there is no fit, with the reason.

    Raises
    ------
    InputError
        If `fit` is no fit, or counts, effects or variances cannot be used.
    ShapeError
        If the arrays do not fit together.

    Examples
    --------
    >>> import numpy as np, metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
    >>> fit = mx.RandomEffects(es).fit()
    >>> found = mx.sensitivity.refits(fit, [[1, 1, 1, 0], [2, 0, 1, 1]])
    >>> found.estimate.round(2), found.k
    (array([0.26, 0.33]), array([3., 4.]))
    """
    checked_fit(fit)
    check_flag("alone", alone)
    of, total = _counts(fit, counts, size, y, v)
    ys, vs = (None if a is None else checked_values(n, a, (total, fit.k)) for n, a in (("y", y), ("v", v)))
    if ys is not None or vs is not None:
        refuse_values(fit, "y or v")
    make: Callable[..., dict[str, Any]] = _single_part
    if isinstance(fit, RandomEffectsResults) and _is_batched(fit):
        make = _batch_part
    elif isinstance(fit, CommonEffectResults) and is_pooled_together(fit):
        make = _pooled_part
    elif isinstance(fit, BetaBinomialResults) or (isinstance(fit, CountGLMMResults) and fit.model != RANDOM):
        make = _mixed_part
    elif isinstance(fit, MultilevelResults) and fit.test in ("t", "z") and is_batched(fit):
        make = _multilevel_part
    return _run(_Task(make, fit, of, ys, vs, fit.at_level(level), alone), total)[0]


# Says one more number of each refit, from its position and its fit; and is shown each of them.
Look = Callable[[int, FitResults], float]
See = Callable[[int, FitResults], None]


def refits_seen(fit: FitResults, counts: Counts, size: int, look: Look) -> tuple[Refits, Array]:
    """Return refits, made one by one, and what `look` says of each; NaN where there is no fit."""
    return _run(_Task(_single_part, fit, counts, None, None, fit.level, False, look), size)


def _run(task: _Task, size: int) -> tuple[Refits, Array]:
    """Return the refits of a task, and what its look says of each."""
    fit, p = task.fit, max(task.fit.design.p, 1)
    block = max(1, CHUNK_ELEMENTS // (fit.k * p * p))
    sizes = {_batch_part: block, _multilevel_part: min(block, TOGETHER), _single_part: 1}
    sizes[_pooled_part] = sizes[_mixed_part] = block
    chunk = PART if task.make is _single_part else None
    arrays = run(task, size, block=sizes[task.make], chunk=chunk, what="refits")
    said = {name: dict(enumerate(arrays.pop(name).tolist())) for name in ("reasons", "notes")}
    reasons, notes = ({i: words for i, words in each.items() if words} for each in said.values())
    seen = arrays.pop("seen")
    found = Refits(
        names=fit.design.names,
        components=tuple(fit.tau2_by_component),
        reasons=reasons,
        notes=notes,
        level=task.level,
        effects=fit.effects,
        tested=_tested(fit),
        **arrays,
    )
    return found, seen


def _tested(fit: FitResults) -> Mask:
    """Say which coefficients have a value of no effect: differences, and means of measures that have one."""
    design = fit.design
    tested = np.ones(design.p, dtype=bool)
    if np.isfinite(fit.effects.measure.null):
        return tested
    if design.x is None or isinstance(fit, StratifiedResults):
        return ~tested
    means = [term.columns for term in design.terms if "means" in design.null_of(term)]
    if design.intercept is not None:
        tested[design.intercept] = False
    for columns in means:
        tested[list(columns)] = False
    return tested


def leaving_out(members: Sequence[Index], k: int) -> Counts:
    """Return the counts of refits that leave out the rows of one member each."""
    return _LeavingOut(tuple(members), k)


@dataclass(frozen=True, slots=True)
class _LeavingOut:
    members: tuple[Index, ...]
    k: int

    def __call__(self, begin: int, end: int) -> Array:
        counts = np.ones((end - begin, self.k))
        for i, rows in enumerate(self.members[begin:end]):
            counts[i, rows] = 0.0
        return counts


@dataclass(frozen=True, slots=True)
class _Task:
    """Refits from begin to end as columns; it can be sent to other processes."""

    make: Callable[..., dict[str, Any]]
    fit: FitResults
    counts: Counts | Array | None
    y: Array | None
    v: Array | None
    level: float
    alone: bool
    look: Look | None = None

    def __call__(self, begin: int, end: int) -> dict[str, Any]:
        y, v = (None if a is None else a[begin:end] for a in (self.y, self.v))
        if self.counts is None:
            counts = np.ones((end - begin, self.fit.k))
        else:
            counts = self.counts(begin, end) if callable(self.counts) else self.counts[begin:end]
        seen = np.full(end - begin, np.nan)

        def see(i: int, found: FitResults) -> None:
            if self.look is not None:
                seen[i] = self.look(begin + i, found)

        made = self.make(self.fit, counts, y, v, self.level, self.alone, see) | {"seen": seen}
        for name in ("reasons", "notes"):
            words = np.full(end - begin, "", dtype=object)
            for i, text in made[name].items():
                words[i] = text
            made[name] = words
        return made


def _counts(
    fit: FitResults, counts: Any, size: int | None, y: ArrayLike | None, v: ArrayLike | None
) -> tuple[Counts | Array | None, int]:
    """Return the counts, checked, and the number of refits."""
    if callable(counts):
        if size is None or whole_number(size, "size", 1) > MOST_REFITS:
            raise InputError(f"size is {size}", f"the number of refits, at most {MOST_REFITS:,}")
        return counts, size
    if counts is None:
        given = y if y is not None else v
        if given is None:
            raise InputError("neither counts nor y nor v is given", "what each refit is made of")
        return None, len(read_numbers(given, "y" if y is not None else "v", ndim=2))
    table = read_numbers(counts, "counts", ndim=2)
    if table.shape[1] != fit.k or not len(table):
        raise ShapeError(f"counts have shape {table.shape}", f"a column for each of {fit.k} effects")
    if not ((table >= 0) & (table <= LARGEST_COUNT) & (table == np.floor(table))).all():
        raise InputError("some counts are missing, negative or not whole", "whole numbers of at least 0")
    return table, len(table)


LARGEST_COUNT, MOST_REFITS = 1e6, 10**9


def _empty(fit: FitResults, size: int) -> dict[str, Array]:
    """Return the arrays of refits that have no fit."""
    p, c = fit.design.p, len(fit.tau2_by_component)
    by_coefficient = ("beta", "se", "low", "high", "statistic", "df", "pvalue")
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(by_coefficient, (size, p))
    shapes |= {"cov": (size, p, p), "tau2_by_component": (size, c)}
    shapes |= dict.fromkeys(("tau2", "i2", "h2", "q", "q_df", "q_pvalue", "k", "m"), (size,))
    return {name: np.full(shape, np.nan) for name, shape in shapes.items()}


def _begun(fit: FitResults, counts: Array) -> dict[str, Any]:
    """Return the arrays of refits that have no fit yet, with their numbers of effects and studies."""
    return _empty(fit, len(counts)) | {"k": counts.sum(axis=1), "m": _studies(fit.effects, counts)}


def _studies(effects: Any, counts: Array) -> Array:
    """Return the number of studies in each refit, shape (B,); rows that repeat are further ones."""
    if effects.m == effects.k:
        return np.asarray(counts.sum(axis=1))
    code = np.unique(list(effects.study), return_inverse=True)[1]
    order = np.argsort(code, kind="stable")
    begins = np.flatnonzero(np.diff(code[order], prepend=-1))
    return np.asarray(np.maximum.reduceat(counts[:, order], begins, axis=1).sum(axis=1))


# -- one effect per study: a batch ---------------------------------------------------------------------------


def _is_batched(fit: RandomEffectsResults) -> bool:
    """Say whether refits of a fit are made in batches."""
    plain = fit.test in BATCHED_TESTS and (fit.test != "knapp-hartung-iqwig" or fit.design.p == 1)
    return plain and fit.robust_covariance is None


def _batch_part(
    fit: RandomEffectsResults,
    counts: Array,
    y: Array | None,
    v: Array | None,
    level: float,
    alone: bool,
    see: See,
) -> dict[str, Any]:
    """Return the arrays of some refits, made in one batched call."""
    out = _begun(fit, counts)
    p, basis = fit.design.p, fit.batch.basis[0]
    few = out["k"] <= (p if fit.tau2_is_estimated or fit.test != "z" else p - 1)
    gram = ((counts > 0) @ (basis[:, :, None] * basis[:, None, :]).reshape(fit.k, p * p)).reshape(-1, p, p)
    clear = ~few & (np.linalg.eigvalsh(gram)[:, 0] > ALONE)
    which = np.flatnonzero(clear)
    if which.size:
        ys = fit.effects.y if y is None else y[which]
        vs = fit.effects.v if v is None else v[which]
        part = make_batch(ys, vs, fit.design.x, counts[which], fit.weighting)
        found = fit_batch(fit, part)
        free = out["k"][which] - p
        i2, h2 = _shares(fit, found.tau2, found.q, found.trace, free)
        of_tau2 = {"tau2": found.tau2, "tau2_by_component": found.tau2[:, None], "i2": i2, "h2": h2}
        _fill_batch(out, which, found.beta, found.cov, found.df, level)
        _fill_all(out, which, of_tau2 | {"q": np.where(free > 0, found.q, 0.0), "q_df": free})
        lost = which[np.isnan(found.tau2)]
        for name in ("q", "q_df", "i2", "h2"):
            out[name][lost] = np.nan
        which = np.setdiff1d(which, lost)
    _add_tests(out, which)
    shown = alone and fit.design.x is None
    singles = np.flatnonzero((out["k"] == 1) & few & shown)
    for i in singles.tolist():
        _one_effect(fit, out, i, int(counts[i].argmax()), y, v, level)
    left = np.setdiff1d(np.arange(len(counts)), [*which, *singles])
    reasons = _one_by_one(fit, counts, y, v, level, left, out, see)
    return out | {"reasons": reasons, "notes": dict.fromkeys(singles.tolist(), ONE_EFFECT)}


def _fill_batch(out: dict[str, Any], which: Index, beta: Array, cov: Array, df: Array, level: float) -> None:
    """Fill in coefficients and their intervals of the refits at `which`, made in one call."""
    se = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    half = t_by_df(level, df)[:, None] * se
    found = {"beta": beta, "se": se, "cov": cov, "low": beta - half, "high": beta + half}
    _fill_all(out, which, found | {"df": np.broadcast_to(df[:, None], se.shape)})


def _fill_all(out: dict[str, Any], which: Index, found: Mapping[str, Array]) -> None:
    for name, values in found.items():
        out[name][which] = values


def _shares(
    fit: RandomEffectsResults, tau2: Array, q: Array, trace: Array, free: Array
) -> tuple[Array, Array]:
    """Return I2 and H2 as the fit defines them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if fit.is_random:
            typical = free / trace
            i2, h2 = tau2 / (tau2 + typical), tau2 / typical + 1
        else:
            i2, h2 = np.where(q > 0, np.maximum(0.0, (q - free) / q), 0.0), q / free
    return np.where(free > 0, i2, 0.0), np.where(free > 0, h2, 1.0)


def _add_tests(out: dict[str, Any], which: Index) -> None:
    """Fill in the tests of coefficients and of heterogeneity of the refits at `which`."""
    beta, se, df = (out[name][which] for name in ("beta", "se", "df"))
    z = wald_statistics(beta, se)
    out["statistic"][which] = z
    normal = np.isnan(df)
    out["pvalue"][which] = np.where(
        normal, two_sided_pvalues(z, None), two_sided_pvalues(z, np.where(normal, 1.0, df))
    )
    q, q_df = out["q"][which], out["q_df"][which]
    tail = chi2_tail(np.where(q_df > 0, q, 0.0), np.maximum(q_df, 1.0))
    out["q_pvalue"][which] = np.where(q_df > 0, tail, 1.0)


def _one_effect(
    fit: RandomEffectsResults,
    out: dict[str, Any],
    i: int,
    row: int,
    y: Array | None,
    v: Array | None,
    level: float,
) -> None:
    """Fill in a refit that consists of one effect."""
    estimate = float(fit.effects.y[row] if y is None else y[i, row])
    tau2 = fit.tau2 if fit.tau2_given else 0.0
    variance = float(fit.effects.v[row] if v is None else v[i, row]) + tau2
    half = float(t_by_df(level, np.array([np.nan]))[0]) * variance**0.5
    of_mean = {"beta": estimate, "se": variance**0.5, "cov": variance}
    of_mean |= {"low": estimate - half, "high": estimate + half}
    rest = {"tau2": tau2, "tau2_by_component": tau2, "q": 0.0, "q_df": 0.0, "i2": 0.0, "h2": 1.0}
    for name, value in (of_mean | rest).items():
        out[name][i] = value
    _add_tests(out, np.array([i]))


# -- effects pooled from counts: a batch ---------------------------------------------------------------------


def is_pooled_together(fit: FitResults) -> bool:
    """Say whether many sets of the rows of a fit are pooled in one call, as sums over counts are."""
    return isinstance(fit, CommonEffectResults) and fit.many(np.ones((1, fit.k))) is not None


def _pooled_part(
    fit: CommonEffectResults,
    counts: Array,
    y: Array | None,
    v: Array | None,
    level: float,
    alone: bool,
    see: See,
) -> dict[str, Any]:
    """Return the arrays of some refits, made in one call; those without a finite effect have their reason."""
    out = _begun(fit, counts)
    found = fit.many(counts)
    assert found is not None
    which = np.flatnonzero(np.isfinite(found.estimate) & (out["k"] > 0))
    free, q = found.q_df[which], np.where(found.q_df[which] > 0, found.q[which], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        i2 = np.where((free > 0) & (q > 0), np.maximum(0.0, (q - free) / q), 0.0)
        h2 = np.where(free > 0, q / free, 1.0)
    normal = np.full(which.size, np.nan)
    _fill_batch(out, which, found.estimate[which, None], found.variance[which, None, None], normal, level)
    nothing = np.zeros(which.size)  # studies do not differ in these models
    _fill_all(out, which, {"tau2": nothing, "i2": i2, "h2": h2, "q": q, "q_df": np.maximum(free, 0.0)})
    _add_tests(out, which)
    left = np.setdiff1d(np.arange(len(counts)), which)
    return out | {"reasons": _one_by_one(fit, counts, y, v, level, left, out, see), "notes": {}}


def _mixed_part(
    fit: CountGLMMResults | BetaBinomialResults,
    counts: Array,
    y: Array | None,
    v: Array | None,
    level: float,
    alone: bool,
    see: See,
) -> dict[str, Any]:
    """Return the arrays of some refits of a mixed or beta-binomial model of counts, made in one call."""
    out = _begun(fit, counts)
    found = fit.many(counts) if isinstance(fit, BetaBinomialResults) else refitted_counts(fit, counts)
    which = np.flatnonzero(found.certified)
    tau2, typical = found.tau2[which], found.typical_variance[which]
    df = np.full(which.size, np.nan) if fit.test == "z" else found.k[which] - fit.design.p
    _fill_batch(out, which, found.beta[which], found.cov[which], df, level)
    i2 = np.where(tau2 > 0, tau2 / (tau2 + typical), np.where(np.isnan(typical), np.nan, 0.0))
    h2 = np.where(np.isnan(typical), np.nan, tau2 / typical + 1)
    q_df = found.q_df[which]
    q = np.where(q_df > 0, found.q[which], 0.0)
    _fill_all(out, which, {"tau2": tau2, "i2": i2, "h2": h2, "q": q, "q_df": q_df})
    if fit.is_random:
        out["tau2_by_component"][which] = tau2[:, None]
    _add_tests(out, which)
    left = np.setdiff1d(np.arange(len(counts)), which)
    return out | {"reasons": _one_by_one(fit, counts, y, v, level, left, out, see), "notes": {}}


# -- multilevel models without some of their rows: a batch ---------------------------------------------------


def _multilevel_part(
    fit: MultilevelResults,
    counts: Array,
    y: Array | None,
    v: Array | None,
    level: float,
    alone: bool,
    see: See,
) -> dict[str, Any]:
    """Return the arrays of some refits; those whose rows do not repeat are made in one call."""
    out = _begun(fit, counts)
    which = np.flatnonzero((counts <= 1).all(axis=1) if y is None and v is None else np.zeros(0))
    if which.size:
        found = fits_without(fit, [np.flatnonzero(row == 0) for row in counts[which]])
        which, at = which[found.found], np.flatnonzero(found.found)
        free = out["k"][which] - fit.design.p
        df = free if fit.test == "t" else np.full(free.size, np.nan)
        tau2, typical = found.tau2[at], found.typical[at]
        of_tau2 = {"tau2": tau2, "tau2_by_component": found.tau2_by_component[at]}
        of_tau2 |= {"i2": tau2 / (tau2 + typical), "h2": tau2 / typical + 1}
        _fill_batch(out, which, found.beta[at], found.cov[at], df, level)
        _fill_all(out, which, of_tau2 | {"q": found.q[at], "q_df": free})
        _add_tests(out, which)
    left = np.setdiff1d(np.arange(len(counts)), which)
    return out | {"reasons": _one_by_one(fit, counts, y, v, level, left, out, see), "notes": {}}


# -- every family: one by one --------------------------------------------------------------------------------


def _single_part(
    fit: FitResults,
    counts: Array,
    y: Array | None,
    v: Array | None,
    level: float,
    alone: bool,
    see: See,
) -> dict[str, Any]:
    """Return the arrays of some refits, made one by one; `see` is shown each fit."""
    out = _begun(fit, counts)
    if isinstance(fit, AttributionResults):  # intervals and tests of parts are not among the arrays
        fit = replace(fit, choices=replace(fit.choices, draws=0, permutations=LEAST_PERMUTATIONS))
    reasons = _one_by_one(fit, counts, y, v, level, np.arange(len(counts)), out, see)
    return out | {"reasons": reasons, "notes": {}}


LEAST_PERMUTATIONS = 19


def _one_by_one(
    fit: FitResults,
    counts: Array,
    y: Array | None,
    v: Array | None,
    level: float,
    which: Index,
    out: dict[str, Any],
    see: See,
) -> dict[int, str]:
    """Fill in the refits at `which`; return the reasons of those that have no fit."""
    reasons = {}
    for i in which.tolist():
        rows = np.repeat(np.arange(fit.k), counts[i].astype(np.intp))
        first = np.searchsorted(rows, rows)
        copies = [str(n) for n in np.arange(rows.size) - first] if (counts[i] > 1).any() else None
        ys, vs = (None if a is None else a[i, rows] for a in (y, v))
        try:
            found = refit(fit, rows, y=ys, v=vs, copies=copies)
        except MetaexoError as error:
            reasons[i] = error.given
            continue
        _fill(fit, found, out, i, level)
        see(i, found)
    return reasons


def _fill(fit: FitResults, found: FitResults, out: dict[str, Any], i: int, level: float) -> None:
    """Fill in the numbers of one refit; coefficients and components go by their names."""
    place = {name: j for j, name in enumerate(fit.design.names)}
    at = [place[name] for name in found.design.names if name in place]
    own = [j for j, name in enumerate(found.design.names) if name in place]
    low, high = found.bounds(level)
    df = found.df_by_coefficient
    by_coefficient = {
        "beta": found.beta,
        "se": found.se,
        "low": low,
        "high": high,
        "statistic": found.wald_statistics,
        "pvalue": found.wald_pvalues,
        "df": np.full(found.design.p, np.nan) if df is None else df,
    }
    for name, values in by_coefficient.items():
        out[name][i, at] = np.asarray(values)[own]
    out["cov"][i][np.ix_(at, at)] = found.cov[np.ix_(own, own)]
    components = found.tau2_by_component
    out["tau2_by_component"][i] = [components.get(name, np.nan) for name in fit.tau2_by_component]
    q = found.q
    out["tau2"][i], out["i2"][i], out["h2"][i] = found.tau2, found.i2, found.h2
    out["q"][i], out["q_df"][i], out["q_pvalue"][i] = q.statistic, q.df[-1] if q.df else np.nan, q.pvalue


def numbers_of(fit: FitResults, level: float | None = None) -> Refits:
    """Return the numbers of a fit itself as an entry of refits."""
    out = _empty(fit, 1)
    out |= {"k": np.array([float(fit.k)]), "m": np.array([float(fit.m)])}
    _fill(fit, fit, out, 0, fit.at_level(level))
    return Refits(
        names=fit.design.names,
        components=tuple(fit.tau2_by_component),
        reasons={},
        notes={},
        level=fit.at_level(level),
        effects=fit.effects,
        tested=_tested(fit),
        **out,
    )
