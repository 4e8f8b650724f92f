"""Random terms that are not separately estimable, refused in words before anything is fitted.

A variance or a correlation can be estimated if it changes the distribution of effects of this layout. Whether
some combination of components changes nothing is seen from the expected information: its null space does not
depend on the effects that were found, only on which levels occur together.

References
----------
Rothenberg, T. J. (1971). Identification in parametric models. Econometrica 39, 577-591.
https://doi.org/10.2307/1913267
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from metaexo.errors import ConvergenceError, NoMaximumError, NotIdentifiableError
from metaexo.models.multilevel.terms import NamedTerm
from metaexo.numeric.mixed.likelihood import information_of_draws
from metaexo.numeric.mixed.maximum import parameter_scale, start_points
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.search import is_regular, rises_without_bound, without_error
from metaexo.numeric.mixed.structures import Unstructured
from metaexo.types import Array, Index

# Structures whose components are seen between outer levels only.
BETWEEN = ("CS", "HCS", "UN", "HAR", "DIAG", "GEN", "GDIAG")
# An eigenvalue of the information, scaled to a unit diagonal, below which a combination says nothing.
NOTHING = 1e-10
DRAWS = 4
# A variance of this share of its scale is on its way to 0.
VANISHED = 1e-8


def refuse_terms(terms: Sequence[NamedTerm]) -> None:
    """Raise if a term has one level, occurs twice, or groups the effects as another one does."""
    seen: dict[bytes, str] = {}
    names = [term.name for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise NotIdentifiableError(
                f"the random term {name} occurs twice", "each term once", "leave one of them out"
            )
    for named in terms:
        term = named.term
        if term.levels < 2 and named.structure in ("intercept", *BETWEEN):
            raise NotIdentifiableError(
                f"the random term {named.name} has one level ({', '.join(named.levels)})",
                "at least two levels, between which a variance can be seen",
                "leave the term out: with one level it is confounded with the mean",
            )
        if named.structure != "intercept" or term.relation is not None:
            continue
        firsts = np.unique(term.level, return_index=True)[1]
        key = np.ascontiguousarray(firsts[term.level]).tobytes()
        if key in seen:
            raise NotIdentifiableError(
                f"the random terms {seen[key]} and {named.name} group the effects alike",
                "terms that group the effects differently, so that their variances are separately estimable",
                f"leave one of them out, for example {named.name}",
            )
        seen[key] = named.name


def refuse_confounded(terms: Sequence[NamedTerm], problem: MixedProblem, fixed: Collection[int]) -> None:
    """Raise if the moderators leave nothing of a term, or some components are not separately estimable."""
    _refuse_moderators(terms, problem)
    for named in terms:
        if named.structure == "UN" and len(named.inner) > 1:
            _refuse_never_together(named)
    if all(named.structure not in BETWEEN for named in terms):
        return
    free = np.array([i for i in range(problem.count) if i not in fixed], dtype=np.intp)
    blind, together = _blind_parameters(problem, free)
    if not blind.size:
        return
    lost = [
        name for j, named in enumerate(terms) for name in _components_of(named, blind - problem.offsets[j])
    ]
    words = ", ".join(lost[:-1]) + " and " + lost[-1] if len(lost) > 1 else lost[0]
    raise NotIdentifiableError(
        f"{words} cannot be estimated{' separately' if together and len(lost) > 1 else ''} from this layout",
        "levels that occur in several studies, and together in the same ones",
        "choose a simpler structure (CS, DIAG or ID), pool rare levels, or hold a component with fix=",
    )


def _refuse_moderators(terms: Sequence[NamedTerm], problem: MixedProblem) -> None:
    """Raise if the moderators leave nothing of a random term."""
    q = problem.basis[0]
    for named in terms:
        if named.structure != "intercept":
            continue
        level, n = named.term.level, named.term.levels
        sums = np.stack([np.bincount(level, column, minlength=n) for column in q.T])
        left = q.shape[0] - float((sums**2).sum())
        if left < 1e-9 * q.shape[0]:
            raise NotIdentifiableError(
                f"{named.name} is aliased with the moderators",
                "random terms that vary within the combinations of moderators",
                f"leave {named.name} out of the random terms, or its column out of the moderators",
            )


def refuse_inseparable(terms: Sequence[NamedTerm], problem: MixedProblem, fixed: Collection[int]) -> None:
    """Raise if the restricted likelihood depends on a combination of some variances alone.

    It depends on the contrasts N'y of the effects alone, with N'X = 0. Variances are separately estimable if
    the matrices N'Z_jZ_j'N are linearly independent.
    """
    free = [
        j
        for j, named in enumerate(terms)
        if named.structure == "intercept" and named.term.relation is None and problem.offsets[j] not in fixed
    ]
    if len(free) < 2:
        return
    q = problem.basis[0]
    designs = [terms[j].term.z for j in free]
    across = [z.T @ q for z in designs]
    products = np.empty((len(free), len(free)))
    for i, z in enumerate(designs):
        for j, other in enumerate(designs[: i + 1]):
            both = z.T @ other
            shared = float((across[i] * (both @ across[j])).sum())
            inside = across[i].T @ across[i] * (across[j].T @ across[j])
            products[i, j] = products[j, i] = (both**2).sum() - 2 * shared + inside.sum()
    size = np.sqrt(np.maximum(np.diagonal(products), 1e-300))
    values, vectors = np.linalg.eigh(products / np.outer(size, size))
    if values[0] > NOTHING:
        return
    weights = vectors[:, 0] / size
    lost = [i for i in range(len(free)) if abs(weights[i]) > 1e-4 * np.abs(weights).max()]
    names = [terms[free[i]].name for i in lost]
    coarsest = min((free[i] for i in lost), key=lambda j: terms[j].term.levels)
    words = ", ".join(names[:-1]) + " and " + names[-1]
    alike = len(lost) == 2 and abs(weights[lost].sum()) < 1e-6 * np.abs(weights).max()
    raise NotIdentifiableError(
        f"the likelihood depends on {'the sum' if alike else 'a combination'} of the variances of {words} "
        "alone: with these coefficients they are not separately estimable",
        "levels of several effects that the coefficients do not explain",
        f"leave {terms[coarsest].name} out of the random terms, or hold its variance with fix=",
    )


def _refuse_never_together(named: NamedTerm) -> None:
    """Raise if two inner levels of an unstructured term never share an outer level."""
    term = named.term
    seen = np.zeros((term.levels, term.size))
    seen[term.level, term.column[:, 0]] = 1.0
    related = seen if term.relation is None else (term.relation != 0) @ seen
    together = seen.T @ related
    apart = np.argwhere(np.triu(together == 0, 1))
    if apart.size:
        pairs = [f"{named.inner[i]} and {named.inner[j]}" for i, j in apart]
        raise NotIdentifiableError(
            f"{len(pairs)} pairs of inner levels of {named.name} never occur in the same level"
            if len(pairs) > 1
            else f"{pairs[0]} never occur in the same level of {named.name}",
            "pairs of inner levels that occur together, between which a correlation can be seen",
            "choose a structure with one correlation for all (HCS, CS) or none (DIAG), or pool inner levels",
            rows=pairs,
        )


def _blind_parameters(problem: MixedProblem, free: Index) -> tuple[Index, bool]:
    """Return free parameters that change nothing, and whether they do so only together."""
    scale = parameter_scale(problem)
    start = start_points(problem, True)[0][1]
    theta = start * (1 + 0.1 * np.sin(1.0 + np.arange(start.size)))  # no two variances alike
    k, p = problem.x.shape
    count = max(DRAWS, int(np.ceil(4 * free.size / max(k - p, 1))))
    draws = np.random.default_rng(0).normal(size=(k, count)) * np.sqrt(theta.max())
    try:
        information = information_of_draws(problem, theta, draws) * np.outer(scale, scale)
    except NotPositiveDefinite:
        return free[:0], False
    part = information[np.ix_(free, free)]
    size = np.sqrt(np.maximum(np.diagonal(part), 1e-300))
    dark = size < np.sqrt(NOTHING) * max(size.max(initial=0.0), 1e-300)
    if dark.any():
        return free[dark], False
    values, vectors = np.linalg.eigh(part / np.outer(size, size))
    empty = vectors[:, values < NOTHING]
    return free[(np.abs(empty) > 1e-3).any(axis=1)], True


def _components_of(named: NamedTerm, parameters: Index) -> list[str]:
    """Return the names of the components that parameters of a term belong to."""
    own = [int(i) for i in parameters if 0 <= i < named.term.structure.count]
    if not own:
        return []
    if named.term.structure.count == len(named.components) and not isinstance(
        named.term.structure, Unstructured
    ):
        return [named.components[i] for i in own]
    return [f"the components of {named.name}"]


def refuse_unbounded(
    terms: Sequence[NamedTerm],
    problem: MixedProblem,
    fixed: Collection[int],
    method: str,
    rows: Sequence[str],
) -> None:
    """Raise if the likelihood increases without bound, or cannot be computed for any components."""
    held = {int(np.searchsorted(problem.offsets, i, side="right")) - 1 for i in fixed}
    found = rises_without_bound(problem, method == "REML", held)
    if found is None:
        return
    gone, at = found
    named = [rows[int(i)] for i in at]
    if not gone:
        raise ConvergenceError(
            f"{len(named)} effects whose sampling covariances are singular (variances of 0, or correlations "
            "of 1 or -1), and no random term between them",
            "a covariance matrix of the effects that is positive definite for some variances",
            'give these effects their sampling variances, or add a random term per effect ("study/effect")',
            named,
        )
    words = " and ".join(terms[j].name for j in gone)
    raise NoMaximumError(
        f"a likelihood that increases without bound as the variance of {words} goes to 0: the sampling "
        f"variance of {len(named)} effects is 0 (or their covariances are singular), and the model explains "
        "them exactly",
        "sampling variances above 0, or effects that differ more",
        "give these effects their sampling variances, or leave them out",
        named,
    )


def refuse_singular_limit(problem: MixedProblem, theta: Array, rows: Sequence[str]) -> None:
    """Raise if the likelihood increases towards variances of 0 where the covariance matrix is singular."""
    errorless = without_error(problem)
    if errorless is None or not all(term.structure.linear for term in problem.terms):
        return
    if is_regular(problem, np.where(theta <= VANISHED * parameter_scale(problem), 0.0, theta)):
        return
    at, basis = errorless
    named = [rows[int(i)] for i in at[np.abs(basis).max(axis=1) > 1e-6]]
    raise NoMaximumError(
        "a likelihood that increases as variances go to 0, where the covariance matrix of the effects is "
        f"singular: the sampling variance of {len(named)} effects is 0 (or their covariances are singular), "
        "and they alone would decide the coefficients",
        "sampling variances above 0",
        "give these effects their sampling variances, or leave them out",
        named,
    )
