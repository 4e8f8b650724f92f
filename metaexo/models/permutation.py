"""Exact permutation tests: the p-value is a count over all rearrangements, no distribution is assumed.

Without moderators the signs of the effects are flipped in all 2^k ways: if the true effects are symmetric
about zero, each is as likely. With moderators the rows of the design are put against the effects in all
distinct ways. Every rearrangement is refitted, tau2 included.

References
----------
Follmann, D. A., Proschan, M. A. (1999). Valid inference in random effects meta-analysis. Biometrics 55,
732-737. https://doi.org/10.1111/j.0006-341X.1999.00732.x
Higgins, J. P. T., Thompson, S. G. (2004). Controlling the risk of spurious findings from meta-regression.
Statistics in Medicine 23, 1663-1682. https://doi.org/10.1002/sim.1752
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import factorial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import p_value, printed
from metaexo.models.readable import Readable
from metaexo.models.weighted import refuse_special_tests
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import Array, make_batch

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.results import RandomEffectsResults

ALTERNATIVES = ("two-sided", "greater", "less")
MOST = 100_000
CHUNK = 4096
# Statistics that differ by less than this share count as equal: rearrangements that give the same data.
TIE = 1e-8


@dataclass(frozen=True, eq=False)
class PermutationTest(Readable):
    """An exact permutation test.

    Attributes
    ----------
    names : tuple of str
        Coefficients.
    pvalue : ndarray, shape (p,)
        Share of the rearrangements whose statistic is at least as extreme as the one observed.
    omnibus : float
        The same for the omnibus test of the model.
    arrangements : int
        Number of rearrangements, that of the data included.
    alternative : {"two-sided", "greater", "less"}
        What counts as extreme for single coefficients.
    """

    names: tuple[str, ...]
    pvalue: Array
    omnibus: float
    arrangements: int
    alternative: str

    def to_frame(self) -> pd.DataFrame:
        """Return the p-values by coefficient."""
        import pandas as pd

        return pd.DataFrame({"pvalue": self.pvalue}, index=pd.Index(self.names, name="coefficient"))

    @printed
    def __str__(self) -> str:
        lines = [f"{name}: {p_value(float(p))}" for name, p in zip(self.names, self.pvalue, strict=True)]
        return "\n".join([f"exact permutation test, {self.arrangements} rearrangements", *lines])


def exact_permutation_test(
    fit: RandomEffectsResults, alternative: str = "two-sided", limit: int = MOST
) -> PermutationTest:
    """Test a fit against all rearrangements of its data.

    Use it with few studies, where the distribution of a test statistic is least certain. With very few the
    smallest possible p-value is large: 2 / 2^k for a mean.

    Parameters
    ----------
    fit : RandomEffectsResults
        The fit; every rearrangement is fitted by its method and test.
    alternative : {"two-sided", "greater", "less"}
        Whether large coefficients of any sign, positive or negative ones count as extreme.
    limit : int
        The largest number of rearrangements to fit.

    Returns
    -------
    PermutationTest
        p-values of the coefficients and of the omnibus test.

    Raises
    ------
    InputError
        If there are more rearrangements than `limit`.
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
    if alternative not in ALTERNATIVES:
        raise UnknownChoiceError("alternative", alternative, ALTERNATIVES)
    refuse_special_tests(fit, "the permutation test")
    number = _count(fit)
    if number > limit:
        raise InputError(
            f"there are {number} rearrangements of {fit.k} effects",
            f"at most {limit}",
            "raise the limit, or draw rearrangements at random instead",
        )
    y, v = fit.effects.y, fit.effects.v
    parts = []
    for block in _signs(fit.k) if fit.design.x is None else _orders(fit.design.matrix(fit.k)):
        flips = fit.design.x is None
        effects = y * block if flips else y[block]
        variances = np.broadcast_to(v, effects.shape) if flips else v[block]
        parts.append(_statistics(fit, effects, variances))
    single, omnibus = (np.concatenate(column) for column in zip(*parts, strict=True))
    observed, together = (part[0] for part in _statistics(fit, y[None], v[None]))
    return PermutationTest(
        names=fit.design.names,
        pvalue=_share(single, observed, alternative),
        omnibus=float((omnibus >= together - TIE * abs(together)).mean()),
        arrangements=len(single),
        alternative=alternative,
    )


def _share(values: Array, observed: Array, alternative: str) -> Array:
    """Return the share of the arrangements at least as extreme as the observed one, shape (p,)."""
    slack = TIE * np.abs(observed)
    if alternative == "two-sided":
        extreme = np.abs(values) >= np.abs(observed) - slack
    elif alternative == "greater":
        extreme = values >= observed - slack
    else:
        extreme = values <= observed + slack
    return np.asarray(extreme.mean(axis=0))


def _statistics(fit: RandomEffectsResults, y: Array, v: Array) -> tuple[Array, Array]:
    """Return the statistics of single coefficients, shape (B, p), and the omnibus ones, shape (B,)."""
    batch = make_batch(y, v, fit.design.x)
    tau2 = np.full(batch.size, fit.tau2) if fit.tau2_given else get_estimator(fit.method).kernel(batch).tau2
    wls = weighted_fit(batch, 1.0 / (batch.v + tau2[:, None]))
    scale = np.ones(batch.size)
    if fit.test.startswith("knapp-hartung"):
        scale = wls.weighted_ss / batch.df
        scale = np.maximum(scale, 1.0) if fit.test == "knapp-hartung-adhoc" else scale
    cov = wls.cov * scale[:, None, None]
    tested = fit.design.tested
    beta = wls.beta[:, tested]
    with np.errstate(divide="ignore", invalid="ignore"):
        single = wls.beta / np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    part = cov[:, tested[:, None], tested]
    if tested.size == 1:
        return single, single[:, tested[0]] ** 2
    return single, np.einsum("bp,bp->b", beta, np.linalg.solve(part, beta[..., None])[..., 0])


def _count(fit: RandomEffectsResults) -> int:
    """Return the number of distinct arrangements."""
    if fit.design.x is None:
        return int(2**fit.k)
    _, repeats = np.unique(fit.design.matrix(fit.k), axis=0, return_counts=True)
    total = factorial(fit.k)
    for count in repeats:
        total //= factorial(int(count))
    return total


def _signs(k: int) -> Iterator[Array]:
    """Yield all sign patterns, in blocks of rows, shape (b, k)."""
    for begin in range(0, 2**k, CHUNK):
        numbers = np.arange(begin, min(begin + CHUNK, 2**k))
        yield np.asarray(1.0 - 2.0 * ((numbers[:, None] >> np.arange(k)) & 1), dtype=float)


def _orders(x: Array) -> Iterator[NDArray[np.intp]]:
    """Yield, in blocks of shape (b, k), the effects that stand against each row of the design.

    Rows of the design that are equal cannot be told apart: each set of them takes its effects in one order.
    """
    kind = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    block = []
    for pattern in distinct_orders(sorted(kind.tolist())):
        given: dict[int, list[int]] = {}
        for effect, label in enumerate(pattern):
            given.setdefault(label, []).append(effect)
        block.append([given[label].pop(0) for label in kind.tolist()])
        if len(block) == CHUNK:
            yield np.array(block, dtype=np.intp)
            block = []
    if block:
        yield np.array(block, dtype=np.intp)


def distinct_orders(labels: list[int]) -> Iterator[list[int]]:
    """Yield all distinct orders of a sorted list, each from the one before (the next in the dictionary)."""
    now = list(labels)
    while True:
        yield now
        rise = next((i for i in range(len(now) - 2, -1, -1) if now[i] < now[i + 1]), None)
        if rise is None:
            return
        swap = next(j for j in range(len(now) - 1, rise, -1) if now[j] > now[rise])
        now = now.copy()
        now[rise], now[swap] = now[swap], now[rise]
        now[rise + 1 :] = reversed(now[rise + 1 :])
