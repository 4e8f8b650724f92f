"""Multilevel and multivariate random-effects models of dependent effects.

Random terms that are not separately estimable are refused before anything is fitted. A variance or a
correlation can be estimated if it changes the distribution of effects of this layout. Whether some
combination of components changes nothing is seen from the expected information: its null space does not
depend on the effects that were found, only on which levels occur together.

References
----------
Rothenberg, T. J. (1971). Identification in parametric models. Econometrica 39, 577-591.
https://doi.org/10.2307/1913267
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    ConvergenceError,
    InputError,
    NoMaximumError,
    NotIdentifiableError,
    TooFewStudiesError,
    UnknownChoiceError,
)
from metaexo.formatting import plural
from metaexo.inputs import check_choice, check_level, check_number
from metaexo.models.linear.choices import get_likelihood, get_test
from metaexo.models.linear.design import MISSING, Design, make_design, too_few_remedy, without_missing
from metaexo.models.linear.model import Model
from metaexo.models.multilevel.covariance import at_rows, read_covariance
from metaexo.models.multilevel.multivariate_moments import METHODS as MOMENTS
from metaexo.models.multilevel.multivariate_moments import by_moments
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import BETWEEN, NamedTerm, RandomTerm, read_terms, reread_terms
from metaexo.models.multilevel.weights import read_weights
from metaexo.numeric.mixed.likelihood import information_of_draws
from metaexo.numeric.mixed.maximum import MixedMaximum, parameter_scale, start_points
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.search import is_regular, rises_without_bound, without_error
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.structures import Unstructured
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

TESTS = ("t", "t-containment", "z")


class Multilevel(Model):
    r"""Random-effects model of effects that depend on each other.

    Use it when studies report several effects, when outcomes or times correlate, or when effects share a
    source or an isolation method across studies. The model is :math:`y = X\beta + \sum_j Z_j u_j + e` with
    :math:`e \sim N(0, V)`, V known, and independent random terms :math:`u_j \sim N(0, R_j \otimes G_j)`.

    Parameters
    ----------
    effects : EffectSizes
        Effects and sampling variances.
    random : str, RandomTerm, or sequence of them
        ``"study/effect"``: an effect of the study, and of each effect within it; ``["study", "source",
        "isolation"]``: crossed effects. Words are columns of the effects' data; "study" is the study of the
        effects and "effect" the single effect. A :class:`RandomTerm` says more.
    V : array, list of arrays, list of Block, or sparse matrix, optional
        Sampling covariances of the effects, for example from
        :func:`metaexo.effects.covariance_blocks`. Default: the sampling variances, independent.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.RandomEffects`.
    fix : dict of str to float, optional
        Components held at a value, by the name they have in the fit's `components`.
    weights : array_like, shape (k,), "equal", or matrix as for V, optional
        User-supplied weights of the coefficients: one per effect, or a symmetric weight matrix W. The
        components are those of the likelihood all the same; the coefficients are then
        :math:`(X'WX)^{-1}X'Wy`, and their covariance matrix allows for weights that are not the best ones.
    intercept : bool
        Whether the model has an intercept.
    names : sequence of str, optional
        Names of the moderators, where they are an array.
    redundant : {"raise", "drop"}
        What to do with columns that add nothing to those before them: refuse them by name, or leave them
        out with a warning.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing: refuse them by name, or leave them out with a
        warning and an entry in the ledger. V and weights are given for all rows
        and follow those that are kept.

    Raises
    ------
    NotIdentifiableError
        If a random term has one level, groups the effects as another one does, or is a moderator as well;
        if some variances and correlations are not separately estimable from this layout.

    Warns
    -----
    RowsLeftOutWarning
        If rows were left out because `missing` is "drop".

    References
    ----------
    Konstantopoulos, S. (2011). Fixed effects and variance components estimation in three-level
    meta-analysis. Research Synthesis Methods 2, 61-76. https://doi.org/10.1002/jrsm.35
    Van den Noortgate, W., López-López, J. A., Marín-Martínez, F., Sánchez-Meca, J. (2013). Three-level
    meta-analysis of dependent effect sizes. Behavior Research Methods 45, 576-594.
    https://doi.org/10.3758/s13428-012-0261-6
    Berkey, C. S., Hoaglin, D. C., Antczak-Bouckoms, A., Mosteller, F., Colditz, G. A. (1998). Meta-analysis
    of multiple outcomes by regression with random effects. Statistics in Medicine 17, 2537-2550.
    https://doi.org/10.1002/(SICI)1097-0258(19981130)17:22<2537::AID-SIM953>3.0.CO;2-C

    Examples
    --------
    >>> import metaexo as mx
    >>> y, v = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1], [0.02, 0.03, 0.02, 0.04, 0.03, 0.02]
    >>> es = mx.EffectSizes(y, v, study=["a", "a", "b", "b", "c", "c"])
    >>> fit = mx.Multilevel(es, "study").fit()
    >>> print(f"{fit.params['intercept']:.2f}, between studies {fit.components.loc['study', 'estimate']:.3f}")
    0.40, between studies 0.169
    """

    def __init__(
        self,
        effects: EffectSizes,
        random: str | RandomTerm | Sequence[str | RandomTerm] = "study/effect",
        V: Any = None,
        moderators: str | ArrayLike | pd.DataFrame | None = None,
        *,
        fix: Mapping[str, float] | None = None,
        weights: Any = None,
        intercept: bool = True,
        names: Sequence[str] | None = None,
        redundant: Literal["raise", "drop"] = "raise",
        missing: Literal["raise", "drop"] = "raise",
    ) -> None:
        check_effects(effects, "mx.Multilevel")
        check_choice("missing", missing, MISSING)
        effects.check_index("moderators", moderators)
        kept: NDArray[np.intp] | None = None
        given = effects
        if missing == "drop":
            effects, (moderators,), keep = without_missing(effects, moderators)
            kept = None if keep.all() else np.flatnonzero(keep)
        self.effects = effects
        self.design: Design = make_design(
            moderators,
            effects.k,
            names,
            intercept,
            data=None if moderators is None else effects.data,
            rows=None if effects.ledger is None else effects.row_ids,
            redundant=redundant,
            can_drop=True,
        )
        _refuse_few(self)
        self.terms: tuple[NamedTerm, ...] = read_terms(effects, random)
        refuse_terms(self.terms)
        self.problem = MixedProblem(
            effects.y,
            self.design.matrix(effects.k),
            at_rows(read_covariance(given, V), kept),
            tuple(named.term for named in self.terms),
        )
        self.weights = read_weights(given, weights)
        if self.weights is not None:
            self.weights = at_rows(self.weights, kept)
        self.fix = _read_fix(fix)
        self._fixed = fixed_parameters(self.terms, self.problem, self.fix)
        refuse_confounded(self.terms, self.problem, self._fixed)

    def fit(self, method: str = "REML", test: str = "t", level: float = 0.95) -> MultilevelResults:
        """Fit the model.

        Parameters
        ----------
        method : {"REML", "ML", "MM", "VC"}
            Restricted or full maximum likelihood. For several outcomes per study, with one random term of the
            structure UN, also without a likelihood: "MM", the method of moments, which is that of
            DerSimonian and Laird for one outcome; "VC", the covariances of the residuals minus the mean of
            the sampling covariances, iterated. Use these two to repeat published analyses.
        test : {"t", "t-containment", "z"}
            "t": t with k - p degrees of freedom; "t-containment": t with the levels of the coarsest random
            term that a coefficient varies between, minus the coefficients that do; "z": normal. With few
            clusters `robust()` of the fit is the better choice.
        level : float
            Confidence level of the intervals.

        Returns
        -------
        MultilevelResults
            The fit, immutable.

        Raises
        ------
        NotIdentifiableError
            If the restricted likelihood depends on the sum of some variances alone.
        NoMaximumError
            If the likelihood increases without bound, or up to where the covariance matrix is singular, with
            the rows that let it.
        ConvergenceError
            If no start ended at a maximum that its gradient and curvature certify; the error carries the log.
        InputError
            If a method without a likelihood is asked for and the model is another one than it is made for.

        References
        ----------
        Jackson, D., White, I. R., Riley, R. D. (2013). A matrix-based method of moments for fitting the
        multivariate random effects model for meta-analysis and meta-regression. Biometrical Journal 55,
        231-245. https://doi.org/10.1002/bimj.201200152
        Ritz, J., Demidenko, E., Spiegelman, D. (2008). Multivariate meta-analysis for data consortia,
        individual patient meta-analysis, and pooling projects. Journal of Statistical Planning and Inference
        138, 1919-1933. https://doi.org/10.1016/j.jspi.2007.07.004
        """
        method, test = _get_method(method), get_test(test, TESTS)
        level = check_level(level)
        if method in MOMENTS:
            return self._by_moments(method, test, level)
        if method == "REML" and (self.design.p > 1 or len(self.terms) > 2):
            refuse_inseparable(self.terms, self.problem, self._fixed)
        refuse_unbounded(self.terms, self.problem, self._fixed, method, self.effects.row_ids)
        try:
            highest = maximise(self.problem, method == "REML", self._fixed)
            if isinstance(highest, MixedMaximum) and not highest.certified:
                refuse_singular_limit(self.problem, highest.theta, self.effects.row_ids)
            fit = self._results(certified(highest), method, test, level)
            _ = fit.gls
        except (NotPositiveDefinite, np.linalg.LinAlgError) as error:
            raise ConvergenceError(
                "the covariance matrix of the effects is singular in the numbers that a computer has",
                "effects that differ by less than about 1e12 times their sampling standard errors",
                "look at the scale of the effects, their variances and V",
            ) from error
        return fit

    def _by_moments(self, method: str, test: str, level: float) -> MultilevelResults:
        """Return the fit of outcomes of independent studies by moments."""
        if self._fixed:
            raise InputError(
                f"components are held fixed, and the method is {method!r}",
                "components that are all estimated",
                'use method="REML", or leave fix out',
            )
        return self._results(by_moments(self.problem, method), method, test, level)

    def _results(self, found: MixedMaximum, method: str, test: str, level: float) -> MultilevelResults:
        return MultilevelResults(
            effects=self.effects,
            design=self.design,
            terms=self.terms,
            problem=self.problem,
            maximum=found,
            fixed=self._fixed,
            method=method,
            test=test,
            level=level,
            weighting=self.weights,
        )


def _get_method(word: object) -> str:
    """Return the one name of a method; capitals do not matter."""
    if isinstance(word, str) and word.strip().upper() in MOMENTS:
        return word.strip().upper()
    try:
        return get_likelihood(word)
    except UnknownChoiceError as error:
        raise UnknownChoiceError("method", word, ("REML", "ML", *MOMENTS)) from error


def with_rows(
    fit: MultilevelResults, effects: EffectSizes, rows: Index, copies: Sequence[str] | None
) -> Multilevel:
    """Return the model of a fit for effects that are some of its rows, which may repeat.

    Sampling covariances stay as correlations: where variances differ from those of the fit, they follow.
    Sampling errors of different copies, and of a row that repeats, are independent.
    """
    made = object.__new__(Multilevel)
    made.effects, made.design = effects, fit.design.at(rows)
    made.terms = reread_terms(effects, fit.terms, rows, copies)
    _refuse_few(made)
    refuse_terms(made.terms)
    apart = _apart(rows, copies)
    v = _within(fit.problem.v, rows, apart)
    had = v.diagonal()
    if not np.array_equal(had, effects.v):
        root = np.sqrt(np.divide(effects.v, had, out=np.zeros_like(had), where=had > 0))
        v = sparse.csr_array(sparse.diags_array(root) @ v @ sparse.diags_array(root))
        v.setdiag(effects.v)
    terms = tuple(named.term for named in made.terms)
    made.problem = MixedProblem(effects.y, made.design.matrix(effects.k), v, terms, fit.problem.block_limit)
    made.weights = None if fit.weighting is None else _within(fit.weighting, rows, apart)
    known = {name for named in made.terms for name in named.components}
    made.fix = {name: fit.component_values[name] for name in fit.fixed_components & known}
    made._fixed = fixed_parameters(made.terms, made.problem, made.fix)
    refuse_confounded(made.terms, made.problem, made._fixed)
    return made


def _apart(rows: Index, copies: Sequence[str] | None) -> Index:
    """Return a number per row; rows with different numbers have independent sampling errors."""
    if copies is not None:
        return np.unique(list(copies), return_inverse=True)[1]
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], rows[order])
    apart = np.empty(rows.size, dtype=np.intp)
    apart[order] = np.arange(rows.size) - first  # how often the row has come before
    return apart


def _within(matrix: sparse.csr_array, rows: Index, apart: Index) -> sparse.csr_array:
    """Return a matrix at some rows, 0 between rows that stand apart."""
    found = sparse.coo_array(at_rows(matrix, rows))
    kept = apart[found.row] == apart[found.col]
    entries = (found.data[kept], (found.row[kept], found.col[kept]))
    return sparse.csr_array(entries, shape=found.shape)


def with_design(fit: MultilevelResults, design: Design) -> Multilevel:
    """Return the model of a fit with other columns in the place of its own."""
    had = fit.problem
    made = object.__new__(Multilevel)
    made.effects, made.design, made.terms, made.weights = fit.effects, design, fit.terms, fit.weighting
    made.problem = MixedProblem(had.y, design.matrix(fit.k), had.v, had.terms, had.block_limit)
    made.fix, made._fixed = {}, dict(fit.fixed)
    _refuse_few(made)
    refuse_confounded(made.terms, made.problem, made._fixed)
    return made


def _refuse_few(model: Multilevel) -> None:
    """Raise if there are not more effects than coefficients."""
    k, p = model.effects.k, model.design.p
    if k < p + 1:
        raise TooFewStudiesError(
            f"{plural(k, 'effect')} for {plural(p, 'coefficient')}",
            f"at least {p + 1} effects",
            too_few_remedy(p),
        )


def certified(found: MixedMaximum | tuple[str, ...]) -> MixedMaximum:
    """Return a maximum that is certified."""
    if isinstance(found, tuple):
        raise ConvergenceError(
            "the likelihood cannot be computed at any start",
            "sampling covariances that form a positive definite matrix",
            "look for effects with a variance of zero and for contradicting correlations in V",
            found,
        )
    if not found.certified:
        raise ConvergenceError(
            f"no start ended at a certified maximum (gradient {found.gradient:.1e}, "
            f"curvature {found.curvature:.1e})",
            "a point where the gradient is zero and the likelihood curves down",
            "simplify the random terms, or look at the scale of V and the effects",
            found.log,
        )
    return found


def _read_fix(fix: Mapping[str, float] | None) -> dict[str, float]:
    """Return the components that are held, and their values."""
    if fix is None:
        return {}
    if not isinstance(fix, Mapping):
        raise InputError(f"fix is {fix!r}", 'a dict of components to values: {"study/effect": 0.0}')
    return {str(name): check_number(f"the value of {name} in fix", value) for name, value in fix.items()}


def fixed_parameters(
    terms: Sequence[NamedTerm], problem: MixedProblem, fix: Mapping[str, float]
) -> dict[int, float]:
    """Return parameter positions and values of components that are held fixed."""
    known = [name for term in terms for name in term.components]
    out: dict[int, float] = {}
    for name, value in fix.items():
        if name not in known:
            raise UnknownChoiceError("variance component", name, known)
        for j, term in enumerate(terms):
            if name not in term.components:
                continue
            at = term.components.index(name)
            low = 0.0 if term.kinds[at] != "correlation" else -1.0
            if not (np.isfinite(value) and value >= low and (low == 0 or value <= 1)):
                raise InputError(f"{name} is fixed at {value}", "a variance >= 0 or a correlation in [-1, 1]")
            if isinstance(term.term.structure, Unstructured):
                raise InputError(
                    f"{name} belongs to an unstructured matrix of {term.term.size} levels",
                    "a component of another structure",
                    "use DIAG, CS or HCS; or profile(), which holds any component",
                )
            position, parameter = term.term.structure.parameter(at, float(value))
            out[int(problem.offsets[j]) + position] = parameter
    return out


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
