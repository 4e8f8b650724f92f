"""What a multilevel fit predicts: means, new effects, random effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import check_choice, read_words
from metaexo.models.linear.hypothesis import quantiles
from metaexo.models.linear.prediction import Prediction, predict_new
from metaexo.models.multilevel.fit import MultilevelFit, inner_weights, level_variance
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

# A term with known relations of more random effects than this gets no standard errors of its effects.
RELATED_LIMIT = 3_000


def predict(
    fit: MultilevelFit,
    x: Array,
    kind: str,
    sampling_variance: float,
    given: Mapping[str, str],
    inner: Mapping[str, str],
    without: Sequence[str],
) -> Prediction:
    """Return means and the distribution of new effects for rows of the design, shape (r, p)."""
    found = predict_new(fit, x, kind, sampling_variance)
    added = variance_of_new(fit, given, inner, without) + sampling_variance
    if not (given or inner or len(without)):
        return found
    mean, variance = found.mean, found.se**2
    if given:
        what = "the prediction for an observed level"
        refuse_own_weights(fit, what)
        if fit.robust_covariance is not None:
            raise InputError(
                f"the fit has a cluster-robust covariance matrix, and {what} rests on that of the model",
                "a fit before robust()",
                "predict from the fit that robust() was asked of",
            )
        mean, variance = _with_levels(fit, x, given, inner)
        variance = np.maximum(variance, 0.0)
    of_mean = 0.0 if kind == "simple" else variance
    return replace(found, mean=mean, se=np.sqrt(variance), prediction_se=np.sqrt(of_mean + added))


def variance_of_new(
    fit: MultilevelFit, given: Mapping[str, str], inner: Mapping[str, str], without: Sequence[str]
) -> float:
    """Return the variance of a new true effect by the random terms; NaN where an inner level is needed."""
    for words, name in ((given, "given"), (inner, "inner")):
        if not isinstance(words, Mapping):
            raise InputError(f"{name} is {words!r}", 'a dict of random terms to levels: {"study": "a"}')
    left_out = [without] if isinstance(without, str) else read_words(without, "without")
    for term in [*given, *inner, *left_out]:
        fit.position(term)
    return float(
        sum(
            level_variance(named, fit.g[j], inner.get(named.name))
            for j, named in enumerate(fit.terms)
            if named.name not in given and named.name not in left_out
        )
    )


def _with_levels(
    fit: MultilevelFit, x: Array, given: Mapping[str, str], inner: Mapping[str, str]
) -> tuple[Array, Array]:
    """Return estimates and error variances of x'b plus the random effects of observed levels."""
    k = fit.k
    c, own = np.zeros(k), 0.0
    for name, label in given.items():
        j = fit.position(name)
        named, g = fit.terms[j], fit.g[j]
        check_choice(f"level of {name}", label, named.levels)
        weights = inner_weights(named, inner.get(name))
        if weights is None:
            raise InputError(
                f"the term {name} has inner levels",
                f"inner={{{name!r}: ...}}, one of {', '.join(named.inner)}",
            )
        at = named.levels.index(label)
        related = np.eye(named.term.levels)[at] if named.term.relation is None else named.term.relation[at]
        c += named.term.z @ np.kron(related, g @ weights)
        own += float(related[at] * (weights @ g @ weights))
    solved = fit.gls.factor.solve(c[:, None])[:, 0]
    left = x - solved @ fit.problem.x
    mean = x @ fit.beta + c @ fit.gls.r
    return mean, own - c @ solved + np.einsum("rp,pq,rq->r", left, fit.gls.cov, left)


def random_effects(fit: MultilevelFit, level: float | None) -> pd.DataFrame:
    """Return predicted random effects of all terms; see `MultilevelResults.random_effects`."""
    import pandas as pd

    refuse_own_weights(fit, "the prediction of random effects")
    quantile = float(np.asarray(quantiles(fit.at_level(level), fit.model_inference.df)))
    columns = ["component", "level", "estimate", "se", "low", "high", "inner"]
    tables = [_effects_of_term(fit, j, quantile) for j in range(len(fit.terms))]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _effects_of_term(fit: MultilevelFit, j: int, quantile: float) -> pd.DataFrame:
    import pandas as pd

    named, g = fit.terms[j], fit.g[j]
    term = named.term
    t = (term.z.T @ fit.gls.r).reshape(term.levels, term.size)
    estimate = term.spread(t) @ g
    se = np.sqrt(np.maximum(_error_variances(fit, j), 0.0))
    if named.inner_code is not None:
        rows = np.unique(np.column_stack([term.level, named.inner_code]), axis=0, return_index=True)[1]
        outer, place, labels = term.level[rows], term.column[rows, 0], named.inner_code[rows]
        inner = [named.inner[i] for i in labels]
    else:
        outer = np.repeat(np.arange(term.levels), term.size)
        place = np.tile(np.arange(term.size), term.levels)
        inner = [named.inner[i] if named.inner else "" for i in place]
    value, error = estimate[outer, place], se[outer, place]
    variances = [
        (name, part.inner)
        for name, part in zip(named.components, term.structure.components(), strict=True)
        if part.kind == "variance"
    ]
    component = [next(name for name, own in variances if not own or i in own) for i in range(term.size)]
    return pd.DataFrame(
        {
            "component": [component[i] for i in place],
            "level": [named.levels[i] for i in outer],
            "estimate": value,
            "se": error,
            "low": value - quantile * error,
            "high": value + quantile * error,
            "inner": inner,
        }
    )


def _error_variances(fit: MultilevelFit, j: int) -> Array:
    """Return the variance of u_hat - u for each level and inner level, shape (L, s)."""
    term, g = fit.terms[j].term, fit.g[j]
    if term.relation is not None:
        if term.width > RELATED_LIMIT:
            return np.full((term.levels, term.size), np.nan)
        omega = np.kron(term.relation, g)
        moved = term.z @ omega
        full = omega - moved.T @ fit.gls.project(moved)
        return np.asarray(np.diagonal(full).reshape(term.levels, term.size))
    inside = _level_blocks(fit, j)
    return np.asarray(np.diagonal(g) - np.einsum("ij,ljk,ki->li", g, inside, g))


def _level_blocks(fit: MultilevelFit, j: int) -> Array:
    """Return Z'PZ of each level of a term, shape (L, s, s)."""
    term = fit.terms[j].term
    out = fit.gls.factor.level_blocks(j)
    tx = (term.z.T @ fit.gls.mx).reshape(term.levels, term.size, -1)
    return np.asarray(out - np.einsum("lip,ljp->lij", tx, tx))
