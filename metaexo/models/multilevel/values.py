"""Values without sampling variances: the residual variance is a random term of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, ShapeError
from metaexo.inputs import check_aligned, read_numbers
from metaexo.models.multilevel.model import Multilevel
from metaexo.models.multilevel.terms import RandomTerm

if TYPE_CHECKING:
    import pandas as pd

RESIDUAL = "effect"


def model_of_values(
    values: ArrayLike,
    random: str | RandomTerm | Sequence[str | RandomTerm],
    *,
    data: pd.DataFrame | None = None,
    study: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    v: ArrayLike | None = None,
    moderators: str | ArrayLike | pd.DataFrame | None = None,
) -> Multilevel:
    r"""Return a random-effects model of values whose sampling variances are not known.

    Use it for sizes, yields and other quantities that papers give as a bare number. A sampling variance of
    zero would say that the number is exact, and an assumed one would be invented; here the variance of single
    values around what the random terms say is estimated from the values themselves, and holds sampling error
    and true differences together:

    .. math:: y = X\beta + \sum_j Z_j u_j + e, \qquad e \sim N(0, \sigma^2 I + V),

    where V holds the sampling variances of the rows that have one. The residual is the term "effect" of the
    fit; with no sampling variance at all, ``heterogeneity()`` gives shares of the variance of a value.

    Parameters
    ----------
    values : array_like, shape (k,)
        Values, on a scale on which their spread does not go with their size (sizes as logarithms).
    random : str, RandomTerm, or sequence of them
        Random terms, as in :class:`metaexo.Multilevel`; the residual is added.
    data : DataFrame, optional
        Columns that the terms name, one row a value.
    study : sequence of str, optional
        Study of each value.
    labels : sequence of str, optional
        What a reader sees of each value.
    v : array_like, shape (k,), optional
        Sampling variances; NaN where there is none, and all that varies is in the residual.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.Multilevel`.

    Returns
    -------
    Multilevel
        The model, ready to be fitted.

    Raises
    ------
    InputError
        If a value is missing.
    ShapeError
        If the lengths differ.
    NotIdentifiableError
        If a term has one level a value, so that it cannot be told from the residual.

    References
    ----------
    Searle, S. R., Casella, G., McCulloch, C. E. (1992). Variance Components. Wiley.
    https://doi.org/10.1002/9780470316856

    Examples
    --------
    >>> import numpy as np, pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"nm": [101, 226, 91, 116, 453, 179], "source": list("aabbcc")})
    >>> fit = mx.model_of_values(np.log(table["nm"]), "source", data=table).fit()
    >>> fit.heterogeneity()["i2"].round(2).to_dict()
    {'source': 0.34, 'effect': 0.66}
    """
    check_aligned(values=values, v=v, data=data, study=study, labels=labels)
    y = read_numbers(values, "values", ndim=1)
    known = np.zeros(y.shape) if v is None else read_numbers(v, "v", ndim=1)
    if known.shape != y.shape:
        raise ShapeError(f"v has shape {known.shape} for {y.size} values", "one entry for each, or none")
    if np.isnan(y).any():
        rows = [f"row {i + 1}" for i in np.flatnonzero(np.isnan(y))]
        raise InputError("some values are missing", "a number in every row", "leave these rows out", rows)
    terms: list[Any] = list(random) if isinstance(random, list | tuple) else [random]
    if not any(isinstance(term, str) and term == RESIDUAL for term in terms):
        terms.append(RESIDUAL)
    es = EffectSizes(y, np.where(np.isnan(known), 0.0, known), labels=labels, study=study, data=data)
    return Multilevel(es, terms, moderators=moderators)
