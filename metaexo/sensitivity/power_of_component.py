"""What a layout could have found: the power of the likelihood-ratio test of one variance component."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.conversions.translations import clopper_pearson
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import percent, plural
from metaexo.heterogeneity.levels import readable
from metaexo.immutable import frozen
from metaexo.inputs import check_choice, check_level, check_number, describe, read_numbers, whole_number
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.profile import refuse_moments
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.numeric.mixed.law import mixed_law
from metaexo.numeric.mixed.likelihood_ratios import likelihood_ratios
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.tails import normal_quantile
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.readable import Readable, ReaderTable, plain
from metaexo.runs import run
from metaexo.sensitivity.refit import checked_fit
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

# Draws whose likelihoods are maximised in one call.
TOGETHER = 256
FEWEST_DRAWS = 20
"""Draws per share without which a power is a coin that was thrown a few times."""


@dataclass(frozen=True, eq=False, repr=False)
class PowerOfComponent(Readable):
    """The power to find a share of the variance of true effects in a layout.

    Attributes
    ----------
    term : str
        The random term that is tested.
    shares : ndarray, shape (s,)
        True shares of the term, fractions; the first is 0, where the power is the size of the test.
    power, se : ndarray, shape (s,)
        Share of the draws in which the test rejects, and its Monte Carlo standard error.
    power_low, power_high : ndarray, shape (s,)
        Exact 95% interval of the power, for the chance of the draws; it has a width at 0 and 100% too.
    draws : int
        Sets of effects per share.
    tau2 : float
        Variance of true effects, all terms together.
    level : float
        The test is made at 1 - level.
    k, levels : int
        Effects, and levels of the term.
    """

    term: str
    shares: Array
    power: Array
    se: Array
    power_low: Array
    power_high: Array
    draws: int
    tau2: float
    level: float
    k: int
    levels: int

    @property
    def size(self) -> float:
        """Share of the draws in which the test rejects although the share is 0."""
        return float(self.power[0])

    @property
    def sentence(self) -> str:
        """What the layout could have found, in a sentence."""
        each = [
            f"{percent(share)} with probability {percent(power)}"
            for share, power in zip(self.shares[1:], self.power[1:], strict=True)
        ]
        listed = each[0] if len(each) == 1 else f"{', '.join(each[:-1])} and {each[-1]}"
        return (
            f"With {plural(self.levels, 'level')} of {readable(self.term)} in {plural(self.k, 'effect')} a "
            f"likelihood-ratio test finds a share of {listed}; at a share of 0 it rejects in "
            f"{percent(self.size)} of the draws."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per share: term, share, power, its Monte Carlo standard error and interval, draws."""
        import pandas as pd

        columns = {"share": self.shares, "power": self.power, "se": self.se}
        columns |= {"power_low": self.power_low, "power_high": self.power_high}
        return pd.DataFrame({"term": self.term} | columns | {"draws": self.draws})

    def reader_tables(self) -> list[ReaderTable]:
        """Return the power by share, in percent."""
        rows = [
            [percent(share), percent(power), f"{percent(low)} to {percent(high)}"]
            for share, power, low, high in zip(
                self.shares, self.power, self.power_low, self.power_high, strict=True
            )
        ]
        return [ReaderTable(rows, [f"share of {readable(self.term)}", "power", "95% interval of draws"])]

    def table_notes(self) -> list[str]:
        """Return the sentence, and what was drawn."""
        return [
            self.sentence,
            f"{plural(self.draws, 'draw')} per share from the layout with tau2 {self.tau2:.4g} in all; the "
            "other terms share what is left as in the fit",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values, for files such as JSON."""
        facts = {"sentence": self.sentence, "level": self.level, "tau2": self.tau2, "power": self.to_frame()}
        return plain(facts)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"PowerOfComponent({self.term}, {plural(self.draws, 'draw')} per share)"

    def __str__(self) -> str:
        return self.to_text()


def power_of_component(
    results: FitResults,
    term: str,
    shares: ArrayLike = (0.1, 0.2, 0.4),
    *,
    tau2: float | None = None,
    level: float = 0.95,
    draws: int = 200,
    seed: int = 0,
) -> PowerOfComponent:
    r"""Return how often a likelihood-ratio test would find a share of a variance component in a layout.

    Use it before "no difference between sources" is believed: which share of the variance of true effects
    could these levels, effects and sampling variances have shown? Effects are drawn from the layout of the
    fit with the variance of true effects held, of which the term has the share s and the other terms what is
    left, in the proportions of the fit. In each draw the model is fitted with and without the term, by the
    likelihood of the fit; the test rejects where :math:`2(\ell - \ell_0)` exceeds the quantile of an equal
    mixture of 0 and chi-square with one degree of freedom. Draws of different shares come from the same
    random numbers. A share of 0 is always drawn too: there the power is the size of the test. The interval of
    a power is that of Clopper and Pearson.

    Parameters
    ----------
    results : MultilevelResults
        A fit of Multilevel by REML or ML whose random terms have one variance each; two terms or more.
    term : str
        The random term that is tested.
    shares : array_like
        True shares of the term, above 0 and at most 1.
    tau2 : float, optional
        Variance of true effects, all terms together. Default: that of the fit.
    level : float
        The test is made at 1 - level.
    draws : int
        Sets of effects per share, 20 at least. The Monte Carlo standard error is at most 3.5 points with 200.
    seed : int
        Seed of the random numbers. Draw i is the same whatever the number of draws.

    Returns
    -------
    PowerOfComponent
        Power with Monte Carlo standard errors and intervals, a row per share, and `sentence`.

    Raises
    ------
    InputError
        If the fit has one term, structured terms or no variance to share out, or shares are out of range.
    UnknownChoiceError
        If there is no such term.
    NotIdentifiableError
        If no draw has a maximum with and without the term.

    References
    ----------
    Self, S. G., Liang, K.-Y. (1987). https://doi.org/10.1080/01621459.1987.10478472
    Hedges, L. V., Pigott, T. D. (2001). The power of statistical tests in meta-analysis. Psychological
    Methods 6, 203-217. https://doi.org/10.1037/1082-989X.6.3.203

    Examples
    --------
    >>> import metaexo as mx
    >>> table = mx.load_dataset("school_calendars")
    >>> schools = mx.EffectSizes(table["y"], table["v"], data=table)
    >>> fit = mx.Multilevel(schools, "district/school").fit()
    >>> found = mx.sensitivity.power_of_component(fit, "district", 0.4, draws=100)
    >>> print(found.sentence)  # doctest: +NORMALIZE_WHITESPACE
    With 11 levels of district in 56 effects a likelihood-ratio test finds a share of 40% with probability
    87%; at a share of 0 it rejects in 9% of the draws.
    """
    fit = checked_fit(results)
    if not isinstance(fit, MultilevelResults):
        raise InputError(
            f"{describe(results)} has no random terms",
            "a fit of mx.Multilevel by REML or ML",
            'write mx.Multilevel(effects, ["source", "study"]).fit()',
        )
    _refuse_other_models(fit)
    check_choice("random term", term, [named.name for named in fit.terms])
    true_shares = _read_shares(shares)
    level = check_level(level)
    total = fit.tau2 if tau2 is None else check_number("tau2", tau2)
    if not (np.isfinite(total) and total > 0):
        raise InputError(
            f"the variance of true effects is {total:.4g}", "a variance above 0", "give one: tau2=0.1"
        )
    count, start = whole_number(draws, "draws", FEWEST_DRAWS), whole_number(seed, "seed", 0)
    at = fit.position(term)
    critical = normal_quantile(2.0 * level - 1.0) ** 2
    each = np.concatenate([[0.0], true_shares])
    made, found = np.empty(each.size), np.empty(each.size)
    for i, share in enumerate(each.tolist()):
        theta = _variances(fit, at, share, total)
        task = partial(_rejections, fit.problem, fit.method == "REML", theta, at, critical, start)
        rejected = run(task, count, block=TOGETHER, what="draws")["rejected"]
        made[i], found[i] = np.isfinite(rejected).sum(), np.nansum(rejected)
    if not made.all():
        raise NotIdentifiableError("no draw has a maximum with and without the term", "one draw at least")
    power = found / made
    low, high = clopper_pearson(found, made)
    return PowerOfComponent(
        term=term,
        shares=frozen(each),
        power=frozen(power),
        se=frozen(np.sqrt(power * (1 - power) / made)),
        power_low=frozen(low),
        power_high=frozen(high),
        draws=count,
        tau2=float(total),
        level=level,
        k=fit.k,
        levels=fit.terms[at].term.levels,
    )


def _refuse_other_models(fit: MultilevelResults) -> None:
    """Raise if the fit has no two single variances that were estimated by likelihood."""
    for refuse in (refuse_own_weights, refuse_moments):
        refuse(fit, "the likelihood-ratio test")
    structured = [named.name for named in fit.terms if named.structure != "intercept"]
    if structured or len(fit.terms) < 2 or fit.fixed:
        what = f"the random terms {', '.join(named.name for named in fit.terms)}"
        raise InputError(
            f"the fit has {what}" + (", of which components are held fixed" if fit.fixed else ""),
            "two random terms or more with one estimated variance each",
            'write mx.Multilevel(effects, ["source", "study", "effect"]).fit()',
        )


def _read_shares(shares: ArrayLike) -> Array:
    """Return true shares, checked."""
    values = np.atleast_1d(read_numbers(shares, "shares"))
    if values.ndim != 1 or not values.size or not ((values > 0) & (values <= 1)).all():
        raise InputError(f"shares are {shares!r}", "fractions above 0 and at most 1, such as (0.1, 0.2, 0.4)")
    return values


def _variances(fit: MultilevelResults, at: int, share: float, total: float) -> Array:
    """Return the variances of the terms of which one has a share; the others keep their proportions."""
    others = np.delete(fit.maximum.theta, at)
    parts = others / others.sum() if others.sum() > 0 else np.full(others.size, 1.0 / others.size)
    return np.insert((1.0 - share) * total * parts, at, share * total)


def _rejections(
    problem: MixedProblem,
    restricted: bool,
    theta: Array,
    at: int,
    critical: float,
    seed: int,
    begin: int,
    end: int,
) -> dict[str, Array]:
    """Return whether the test rejects in draws begin to end; NaN where a maximum was not found."""
    y = mixed_law(problem, problem.matrices(theta), np.zeros(problem.y.size)).draw(seed, begin, end)
    statistics = likelihood_ratios(problem, restricted, y, theta, at, {}, critical)
    return {"rejected": np.where(np.isnan(statistics), np.nan, statistics > critical)}
