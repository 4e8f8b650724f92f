"""The random-effects model of one effect per study, with or without moderators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.dependence.arms import shared_arms
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    DependentEffectsWarning,
    EqualEffectsTestWarning,
    InputError,
    NotIdentifiableError,
    ShapeError,
    TooFewStudiesError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import LARGEST, check_choice, check_level, check_number, read_numbers
from metaexo.models.linear.choices import get_test
from metaexo.models.linear.design import (
    DEPENDENCE,
    MISSING,
    Design,
    make_design,
    too_few_remedy,
    without_missing,
)
from metaexo.models.linear.model import Model
from metaexo.models.univariate.inference import MEANT_FOR_RANDOM_EFFECTS, TESTS
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import Estimator, get_estimator
from metaexo.numeric.likelihood_maximum import likelihood_at
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.tau2 import Tau2
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


class RandomEffects(Model):
    r"""Random-effects (mixed-effects) model of independent effects.

    Use it to pool effects whose true sizes vary between studies, and to ask whether moderators explain why.
    The model is :math:`y_i = x_i'\beta + u_i + e_i` with :math:`u_i \sim N(0, \tau^2)` between studies and
    :math:`e_i \sim N(0, v_i)` within.

    Parameters
    ----------
    effects : EffectSizes
        Effects and sampling variances.
    moderators : str, array_like or DataFrame, shape (k, q), optional
        A formula on the columns of the effects' data, such as ``"source + log(dose)"``, or numeric
        moderators, one column each. Default: none. Factors are coded by treatments against their first
        level in sorted order; ``C(source, base="adipose")`` chooses another.
    intercept : bool
        Whether the model has an intercept.
    names : sequence of str, optional
        Names of the moderators, where they are an array.
    redundant : {"raise", "drop"}
        What to do with columns that are aliased with those before them: refuse them by name, or leave them
        out with a warning.
    dependence : {"warn", "accept"}
        What to do if several effects belong to one study.
    weights : array_like, shape (k,), or "equal", optional
        Weights above 0 for the coefficients, in place of 1 / (v + tau2); their standard errors allow for it.
        The estimators GENQ and GENQM take tau2 from them as well. "equal": the unweighted mean or regression.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing (None, NaN, or a blank cell): refuse them by
        name, or leave them out with a warning and an entry in the ledger. Models of different moderators are
        then fits of different rows, and cannot be compared.

    Raises
    ------
    InputError
        If something cannot be used; it names the rows, and what to do.

    Warns
    -----
    RowsLeftOutWarning
        If rows were left out because `missing` is "drop".
    UnclearLevelWarning
        If a level of a factor reads like a missing value, such as "NA".
    DependentEffectsWarning
        If several effects belong to one study: this model takes them as independent.

    References
    ----------
    Viechtbauer, W. (2010). Journal of Statistical Software 36(3). https://doi.org/10.18637/jss.v036.i03
    Knapp, G., Hartung, J. (2003). Statistics in Medicine 22, 2693-2710. https://doi.org/10.1002/sim.1482

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
    >>> fit = mx.RandomEffects(es).fit(method="REML")
    >>> print(f"{fit.estimate:.3f}, tau2 {fit.tau2:.3f}")
    0.431, tau2 0.102
    """

    def __init__(
        self,
        effects: EffectSizes,
        moderators: str | ArrayLike | pd.DataFrame | None = None,
        *,
        intercept: bool = True,
        names: Sequence[str] | None = None,
        redundant: Literal["raise", "drop"] = "raise",
        dependence: Literal["warn", "accept"] = "warn",
        weights: ArrayLike | Literal["equal"] | None = None,
        missing: Literal["raise", "drop"] = "raise",
    ) -> None:
        check_effects(effects, "mx.RandomEffects")
        check_choice("dependence", dependence, DEPENDENCE)
        check_choice("missing", missing, MISSING)
        if moderators is None and weights is None:  # nothing that could be missing
            self.effects, self.weights = effects, None
        else:
            for name, values in (("moderators", moderators), ("weights", weights)):
                effects.check_index(name, values)
            given = _read_weights(weights, effects)
            if missing == "drop":
                effects, (moderators,), keep = without_missing(effects, moderators)
                given = given if given is None else given[keep]
            self.effects, self.weights = effects, given
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
        if dependence == "warn" and effects.m < effects.k:
            shared = "".join(f"; {group}" for group in shared_arms(effects))
            warn_caller(
                f"{effects.k} effects come from {effects.m} studies; this model takes them as independent, "
                f"so its intervals are too narrow{shared}",
                DependentEffectsWarning,
            )

    def fit(
        self,
        method: str = "REML",
        test: str | None = None,
        level: float = 0.95,
        tau2: float | None = None,
        *,
        df: float | None = None,
    ) -> RandomEffectsResults:
        """Fit the model.

        Parameters
        ----------
        method : str
            Estimator of the between-study variance. "REML", "ML": (restricted) maximum likelihood; "PM":
            Paule-Mandel, with the same root "EB" (empirical Bayes), "DLIT" and "SJIT" (iterated DL and SJ);
            "DL": DerSimonian-Laird; "HE": Hedges; "HS", "HSk": Hunter-Schmidt without and with k / (k - p);
            "SJ": Sidik-Jonkman; "GENQ": generalised Q with the model's weights; "PMM", "GENQM":
            median-unbiased PM and GENQ; "EE", also "FE" or "CE": equal effects, no between-study variance.
            The names in words, such as "DerSimonian-Laird", are understood as well.
        test : str, optional
            "z": normal. "t": t with k - p degrees of freedom. "knapp-hartung": t, with the covariance scaled
            by the weighted residual variance; "knapp-hartung-adhoc": the same with a scale of at least 1;
            "knapp-hartung-or-z": whichever of Knapp-Hartung and normal interval is wider at this level;
            "knapp-hartung-iqwig": a scale of at least 1 if Knapp-Hartung is narrower than DerSimonian-Laird
            with normal quantiles. "kenward-roger": adjusted covariance and degrees of freedom, for REML.
            "knha", "hksj" and "hk" stand for "knapp-hartung", "adhoc" for "knapp-hartung-adhoc".
            Default: "knapp-hartung", and "z" for the equal-effects model.
        level : float
            Confidence level of the intervals.
        tau2 : float, optional
            A known between-study variance, which is then not estimated.
        df : float, optional
            Degrees of freedom for test="t", in place of k - p.

        Returns
        -------
        RandomEffectsResults
            The fit, immutable.

        Raises
        ------
        UnknownChoiceError
            If `method` or `test` is not known.
        TooFewStudiesError
            If there are too few effects for what is to be estimated.
        NotIdentifiableError
            If the likelihood has no maximum, because effects with a sampling variance of 0 are fitted
            exactly.
        InputError
            If sampling variances of zero meet a method that divides by them, or a choice lacks what it needs.

        Warns
        -----
        EqualEffectsTestWarning
            If a Knapp-Hartung test is asked for with the equal-effects model.
        """
        estimator = get_estimator(method)
        test = ("z" if estimator.code == "EE" else "knapp-hartung") if test is None else get_test(test, TESTS)
        level = check_level(level)
        tau2 = None if tau2 is None else check_number("tau2", tau2)
        df = None if df is None else check_number("df", df)
        self._check_count(estimator.code, test, tau2)
        self._check_options(estimator, test, df, tau2)
        if estimator.code == "EE" and test.startswith("knapp-hartung"):
            warn_caller(
                f'method="EE" with test="{test}": {MEANT_FOR_RANDOM_EFFECTS}',
                EqualEffectsTestWarning,
            )
        es = self.effects
        batch = make_batch(es.y, es.v, self.design.x, weights=self.weights)
        self._check_zero_variances(estimator, tau2, batch)
        solution = self._solve(batch, estimator, tau2)
        return RandomEffectsResults(
            effects=es,
            design=self.design,
            batch=batch,
            solution=solution,
            wls=weighted_fit(batch, 1.0 / (batch.v + solution.tau2[:, None])),
            method=estimator.code,
            test=test,
            level=level,
            tau2_given=tau2 is not None,
            weighting=self.weights,
            df_given=df,
        )

    def _solve(self, batch: Batch, estimator: Estimator, tau2: float | None) -> Tau2:
        if tau2 is not None:
            return likelihood_at(batch, tau2, restricted=estimator.code != "ML")
        solution = estimator.kernel(batch)
        if math.isnan(solution.tau2[0]):
            raise NotIdentifiableError(
                f"the {estimator.code} likelihood of tau2 has no maximum: it increases without bound as tau2 "
                "goes to 0, because the effects whose sampling variance is 0 are fitted exactly",
                "sampling variances above 0",
                self._remedy_for_zero_variances(batch),
                self._rows_without_variance(),
            )
        if solution.tau2[0] == 0:
            self._check_zero_variances(estimator, 0.0, batch)
        return solution

    def _rows_without_variance(self) -> list[str]:
        return [self.effects.row_ids[i] for i in np.flatnonzero(self.effects.v == 0)]

    def _remedy_for_zero_variances(self, batch: Batch) -> str:
        """Return what can be done: look the rows up, or use an estimator that gives a tau2 above 0 here."""
        able = [
            code
            for code in ("REML", "SJ", "HE")
            if self.effects.k > self.design.p and get_estimator(code).kernel(batch).tau2[0] > 0
        ]
        words = " or ".join(f'method="{code}"' for code in able)
        look = "look these rows up in the source, or leave them out with EffectSizes.select"
        return f"{look}; or use {words}, which can be computed here" if able else look

    def _check_options(self, estimator: Estimator, test: str, df: float | None, tau2: float | None) -> None:
        if estimator.needs_weights and self.weights is None:
            raise InputError(
                f"{estimator.code} makes tau2 from weights, and the model has none",
                "weights above 0, one for each effect",
                "use RandomEffects(effects, weights=...)",
            )
        if tau2 is not None and not 0 <= tau2 <= LARGEST:
            raise InputError(f"tau2 is {tau2}", f"a variance from 0 to {LARGEST:g}")
        if df is not None and (test != "t" or not 0 < df < np.inf):
            raise InputError(
                f'df is {df} with test="{test}"', 'degrees of freedom above 0, with test="t" only'
            )

    def _check_count(self, method: str, test: str, tau2: float | None) -> None:
        k, p = self.effects.k, self.design.p
        estimated = method != "EE" and tau2 is None
        if k == 0:
            raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
        if estimated and k < p + 1:
            raise TooFewStudiesError(
                f"too few effects ({k}) to estimate tau2 with {plural(p, 'coefficient')}",
                f"at least {p + 1} effects",
                f'{too_few_remedy(p)}; or fit method="EE", which assumes no heterogeneity'
                if k >= p
                else too_few_remedy(p),
            )
        if test != "z" and k < p + 1:
            raise TooFewStudiesError(
                f"too few effects ({k}) for t tests with {plural(p, 'coefficient')}: no df are left",
                f"at least {p + 1} effects",
                'use test="z"' if k >= p else too_few_remedy(p),
            )

    def _check_zero_variances(self, estimator: Estimator, tau2: float | None, batch: Batch) -> None:
        if not (batch.v == 0).any():
            return
        if tau2 is None and not batch.v.any() and not batch.residual_ss()[0] > 0:
            raise NotIdentifiableError(
                "all sampling variances are zero, and the effects do not differ beyond their moderators",
                "effects that differ, or sampling variances above 0",
                "look the sampling variances up in the source",
                self._rows_without_variance(),
            )
        if estimator.divides_by_v if tau2 is None else tau2 == 0:
            zero = self._rows_without_variance()
            them = "it" if len(zero) == 1 else "them"
            estimated = tau2 is not None and not estimator.divides_by_v
            raise InputError(
                f"{plural(len(zero), 'sampling variance is', 'sampling variances are')} zero, and "
                + (f"{estimator.code} with tau2 = 0" if estimated else estimator.code)
                + f" divides by {them}",
                "sampling variances above 0",
                self._remedy_for_zero_variances(batch),
                zero,
            )


def with_design(effects: EffectSizes, design: Design, weights: Array | None = None) -> RandomEffects:
    """Return the model of effects with columns that are made already, such as those of a fit and one more."""
    made = object.__new__(RandomEffects)
    made.effects, made.design, made.weights = effects, design, weights
    return made


def _read_weights(weights: ArrayLike | Literal["equal"] | None, effects: EffectSizes) -> Array | None:
    """Return the user's weights as an array."""
    if weights is None:
        return None
    if isinstance(weights, str):
        check_choice("weights", weights, ("equal",))
        return np.ones(effects.k)
    values = read_numbers(weights, "weights", rows=effects.row_ids)
    if values.shape != (effects.k,):
        raise ShapeError(
            f"weights have shape {values.shape} for {effects.k} effects", "one weight for each effect"
        )
    bad = np.flatnonzero(~((values >= 1e-100) & (values <= 1e100)))
    if bad.size:
        raise InputError(
            "some weights are missing, infinite or not above 0",
            "weights from 1e-100 to 1e100",
            "leave the rows out with EffectSizes.select",
            [effects.row_ids[i] for i in bad],
        )
    return values
