"""Multilevel and multivariate random-effects models of dependent effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    ConvergenceError,
    InputError,
    TooFewStudiesError,
    UnknownChoiceError,
)
from metaexo.inputs import check_choice, check_level, check_number
from metaexo.models.linear.choices import get_likelihood, get_test
from metaexo.models.linear.design import MISSING, Design, make_design, without_missing
from metaexo.models.multilevel.covariance import at_rows, read_covariance
from metaexo.models.multilevel.refusals import (
    refuse_confounded,
    refuse_inseparable,
    refuse_singular_limit,
    refuse_terms,
    refuse_unbounded,
)
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import NamedTerm, RandomTerm, read_terms
from metaexo.models.multilevel.weights import read_weights
from metaexo.numeric.mixed.maximum import MixedMaximum
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.structures import Unstructured

if TYPE_CHECKING:
    import pandas as pd

TESTS = ("t", "t-containment", "z")


class Multilevel:
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
    Van den Noortgate, W., Lopez-Lopez, J. A., Marin-Martinez, F., Sanchez-Meca, J. (2013). Three-level
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
        check_effects(effects, "Multilevel")
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
            model="Multilevel",
        )
        if effects.k < self.design.p + 1:
            raise TooFewStudiesError(
                f"{effects.k} effects for {self.design.p} coefficients",
                f"at least {self.design.p + 1} effects",
            )
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
        method : {"REML", "ML"}
            Restricted or full maximum likelihood.
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
        """
        method, test = get_likelihood(method), get_test(test, TESTS)
        level = check_level(level)
        if method == "REML" and (self.design.p > 1 or len(self.terms) > 2):
            refuse_inseparable(self.terms, self.problem, self._fixed)
        refuse_unbounded(self.terms, self.problem, self._fixed, method, self.effects.row_ids)
        try:
            highest = maximise(self.problem, method == "REML", self._fixed)
            if isinstance(highest, MixedMaximum) and not highest.certified:
                refuse_singular_limit(self.problem, highest.theta, self.effects.row_ids)
            found = certified(highest)
            fit = MultilevelResults(
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
            _ = fit.gls
        except (NotPositiveDefinite, np.linalg.LinAlgError) as error:
            raise ConvergenceError(
                "the covariance matrix of the effects is singular in the numbers that a computer has",
                "effects that differ by less than about 1e12 times their sampling standard errors",
                "look at the scale of the effects, their variances and V",
            ) from error
        return fit


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
