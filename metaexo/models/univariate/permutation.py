"""Exact permutation tests: the p-value is a count over all rearrangements, no distribution is assumed.

Without moderators the signs of the effects are flipped in all 2^k patterns: if the true effects are symmetric
about zero, each is as likely. With moderators the rows of the design are permuted against the effects in all
distinct orders. Every rearrangement is refitted, tau2 included. Beyond some number of them a random sample is
taken, with the data themselves as one more (Phipson and Smyth), so that no p-value is below 1 / (draws + 1).

References
----------
Follmann, D. A., Proschan, M. A. (1999). Valid inference in random effects meta-analysis. Biometrics 55,
732-737. https://doi.org/10.1111/j.0006-341X.1999.00732.x
Higgins, J. P. T., Thompson, S. G. (2004). Controlling the risk of spurious findings from meta-regression.
Statistics in Medicine 23, 1663-1682. https://doi.org/10.1002/sim.1752
Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in
Genetics and Molecular Biology 9, 39. https://doi.org/10.2202/1544-6115.1585
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError
from metaexo.formatting import p_value, plural, printed
from metaexo.inputs import check_choice, whole_number
from metaexo.models.univariate.inference import scale_of_test
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.arrangements import NOTHING, Orders, count_orders, permutation_p
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import make_batch
from metaexo.numeric.weighted import refuse_special_tests
from metaexo.readable import Readable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

ALTERNATIVES = ("two-sided", "greater", "less")
MOST = 100_000
# With fewer draws no p-value reaches 0.05.
FEWEST = 19
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class PermutationTest(Readable):
    """A permutation test of a fit.

    Attributes
    ----------
    names : tuple of str
        Coefficients.
    pvalue : ndarray, shape (p,)
        Share of the rearrangements whose statistic is at least as extreme as the one observed; for drawn
        ones (1 + count) / (1 + draws).
    omnibus : float
        The same for the omnibus test of the model.
    arrangements : int
        Number of rearrangements, that of the data included.
    alternative : {"two-sided", "greater", "less"}
        What counts as extreme for single coefficients.
    fitted : int
        How many rearrangements were fitted, that of the data included.
    """

    names: tuple[str, ...]
    pvalue: Array
    omnibus: float
    arrangements: int
    alternative: str
    fitted: int = 0

    @property
    def exact(self) -> bool:
        """Whether all rearrangements were fitted."""
        return self.fitted in (0, self.arrangements)

    def to_frame(self) -> pd.DataFrame:
        """Return the p-values by coefficient."""
        import pandas as pd

        return pd.DataFrame({"pvalue": self.pvalue}, index=pd.Index(self.names, name="coefficient"))

    @printed
    def __str__(self) -> str:
        lines = [f"{name}: {p_value(float(p))}" for name, p in zip(self.names, self.pvalue, strict=True)]
        how = "exact permutation test" if self.exact else f"permutation test, {self.fitted - 1} drawn of"
        count = (
            plural(self.arrangements, "rearrangement")
            if self.arrangements < 1e9
            else f"more than 10^{len(str(self.arrangements)) - 1} rearrangements"
        )
        return "\n".join([f"{how}{',' if self.exact else ''} {count}", *lines])


def exact_permutation_test(
    fit: RandomEffectsResults,
    alternative: str = "two-sided",
    limit: int = MOST,
    draws: int | None = None,
    seed: int = 0,
) -> PermutationTest:
    """Test a fit against all rearrangements of its data, or against many drawn at random.

    Use it with few studies, where the distribution of a test statistic is least certain. With very few the
    smallest possible p-value is large: 2 / 2^k for a mean.

    Parameters
    ----------
    fit : RandomEffectsResults
        The fit; every rearrangement is fitted by its method and test.
    alternative : {"two-sided", "greater", "less"}
        Whether large coefficients of any sign, positive or negative ones count as extreme.
    limit : int
        Up to this many rearrangements all are fitted, and the test is exact.
    draws : int, optional
        How many are drawn where there are more than `limit`; at least 19. None: then there is no test.
    seed : int
        Seed of the draws.

    Returns
    -------
    PermutationTest
        p-values of the coefficients and of the omnibus test; none is below 1 over the number of
        rearrangements that were fitted.

    Raises
    ------
    InputError
        If there are more rearrangements than `limit` and no `draws`, or `fit` is no such fit.
    NotIdentifiableError
        If a statistic is undefined in the data or in a rearrangement.
    UnknownChoiceError
        If `alternative` is not known.

    References
    ----------
    Follmann, D. A., Proschan, M. A. (1999). https://doi.org/10.1111/j.0006-341X.1999.00732.x
    Higgins, J. P. T., Thompson, S. G. (2004). https://doi.org/10.1002/sim.1752

    Examples
    --------
    >>> import metaexo as mx
    >>> from metaexo.models import exact_permutation_test
    >>> fit = mx.RandomEffects(mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])).fit()
    >>> exact_permutation_test(fit).pvalue
    array([0.125])
    """
    check_choice("alternative", alternative, ALTERNATIVES)
    _check_fit(fit)
    limit, seed = whole_number(limit, "limit", 1), whole_number(seed, "seed", 0)
    draws = None if draws is None else whole_number(draws, "draws", FEWEST)
    refuse_special_tests(fit, "the permutation test")
    number = _count(fit)
    if number > limit and draws is None:
        many = str(number) if number < 1e9 else f"more than 10^{len(str(number)) - 1}"
        raise InputError(
            f"there are {many} rearrangements of {plural(fit.k, 'effect')}",
            f"at most {limit}",
            "pass draws=9999 to fit as many drawn at random"
            + (f", or limit={number} to fit all of them" if number < 1e9 else ""),
        )
    flips = fit.design.x is None
    if number <= limit:
        blocks = _signs(fit.k) if flips else _orders(fit.design.matrix(fit.k))
    else:
        blocks = _drawn(fit.k, flips, int(draws or 0), np.random.default_rng(seed))
    y, v = fit.effects.y, fit.effects.v
    parts = []
    for block in blocks:
        effects = y * block if flips else y[block]
        variances = np.broadcast_to(v, effects.shape) if flips else v[block]
        parts.append(_statistics(fit, effects, variances))
    single, omnibus = (np.concatenate(column) for column in zip(*parts, strict=True))
    observed, together = (part[0] for part in _statistics(fit, y[None], v[None]))
    drawn = number > limit
    direct = {"two-sided": np.abs, "greater": np.positive, "less": np.negative}[alternative]
    sizes, seen = direct(single), direct(observed)
    return PermutationTest(
        names=fit.design.names,
        pvalue=np.array([permutation_p(sizes[:, j], float(seen[j]), drawn) for j in range(seen.size)]),
        omnibus=permutation_p(omnibus, float(together), drawn),
        arrangements=number,
        alternative=alternative,
        fitted=len(single) + drawn,
    )


def _check_fit(fit: object) -> None:
    if not isinstance(fit, RandomEffectsResults):
        raise InputError(
            f"the fit is of type {type(fit).__name__}",
            "the result of RandomEffects(...).fit()",
            "fit the model first: mx.RandomEffects(effects).fit()",
        )


def _statistics(fit: RandomEffectsResults, y: Array, v: Array) -> tuple[Array, Array]:
    """Return the statistics of single coefficients, shape (B, p), and the omnibus ones, shape (B,)."""
    batch = make_batch(y, v, fit.design.x)
    tau2 = np.full(batch.size, fit.tau2) if fit.tau2_given else get_estimator(fit.method).kernel(batch).tau2
    with np.errstate(divide="ignore", invalid="ignore"):
        wls = weighted_fit(batch, 1.0 / (batch.v + tau2[:, None]))
    scale = scale_of_test(fit.test, wls.weighted_ss, batch.df)
    beta = wls.beta
    reach = np.ones(1) if fit.design.x is None else np.abs(fit.design.matrix(fit.k)).max(axis=0)
    beta = np.where(np.abs(beta) * reach <= NOTHING * np.abs(y).max(axis=-1, keepdims=True), 0.0, beta)
    se = np.sqrt(np.diagonal(wls.cov, axis1=-2, axis2=-1) * scale[:, None])
    single = _over(beta, se)
    tested = fit.design.tested
    if tested.size == 1:
        return single, single[:, tested[0]] ** 2
    some = beta[:, tested]
    known = np.asarray(np.isfinite(wls.cov).all(axis=(1, 2)))
    part = np.where(known[:, None, None], wls.cov[:, tested[:, None], tested], np.eye(tested.size))
    size = np.einsum("bp,bp->b", some, np.linalg.solve(part, some[..., None])[..., 0])
    return single, np.where(known, _over(size, scale), np.nan)


def _over(size: Array, spread: Array) -> Array:
    """Return a size over its spread: infinite without spread; 0, the least extreme, where the size is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where((size == 0) & ~np.isnan(spread), 0.0, size / spread))


def _count(fit: RandomEffectsResults) -> int:
    """Return the number of distinct arrangements."""
    if fit.design.x is None:
        return int(2**fit.k)
    return count_orders(np.unique(fit.design.matrix(fit.k), axis=0, return_counts=True)[1])


def _signs(k: int) -> Iterator[Array]:
    """Yield all sign patterns, in blocks of rows, shape (b, k)."""
    for begin in range(0, 2**k, CHUNK):
        numbers = np.arange(begin, min(begin + CHUNK, 2**k))
        yield np.asarray(1.0 - 2.0 * ((numbers[:, None] >> np.arange(k)) & 1), dtype=float)


def _drawn(k: int, flips: bool, draws: int, rng: np.random.Generator) -> Iterator[NDArray[Any]]:
    """Yield random sign patterns, or random orders of the effects, in blocks of rows, shape (b, k)."""
    for begin in range(0, draws, CHUNK):
        size = min(CHUNK, draws - begin)
        if flips:
            yield np.asarray(2.0 * rng.integers(0, 2, (size, k)) - 1.0)
        else:
            yield np.argsort(rng.random((size, k)), axis=1)


def _orders(x: Array) -> Iterator[NDArray[np.intp]]:
    """Yield, in blocks of shape (b, k), the effects that stand against each row of the design."""
    orders = Orders(np.unique(x, axis=0, return_inverse=True)[1].ravel())
    for begin in range(0, orders.count, CHUNK):
        yield orders.numbered(begin, min(begin + CHUNK, orders.count))
