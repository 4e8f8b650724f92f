"""The random-effects model of one effect a study, with or without moderators."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import DependentEffectsWarning, InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.models.design import Design, make_design
from metaexo.models.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.likelihood_maximum import likelihood_at
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.tau2 import Tau2

if TYPE_CHECKING:
    import pandas as pd

TESTS = ("knapp-hartung", "knapp-hartung-adhoc", "t", "z")


class RandomEffects:
    r"""Random-effects (mixed-effects) model of independent effects.

    Use it to pool effects that differ truly from study to study, and to ask whether moderators explain how.
    The model is :math:`y_i = x_i'\beta + u_i + e_i` with :math:`u_i \sim N(0, \tau^2)` between studies and
    :math:`e_i \sim N(0, v_i)` within.

    Parameters
    ----------
    effects : EffectSizes
        Effects and sampling variances.
    moderators : array_like or DataFrame, shape (k, q), optional
        Numeric moderators, one column each. Default: none.
    intercept : bool
        Whether the model has an intercept.
    names : sequence of str, optional
        Names of the moderators.
    dependence : {"warn", "accept"}
        What to do if several effects belong to one study.

    Warns
    -----
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
        moderators: ArrayLike | pd.DataFrame | None = None,
        *,
        intercept: bool = True,
        names: Sequence[str] | None = None,
        dependence: Literal["warn", "accept"] = "warn",
    ) -> None:
        self.effects = effects
        self.design: Design = make_design(moderators, effects.k, names, intercept)
        if dependence == "warn" and effects.m < effects.k:
            warnings.warn(
                f"{effects.k} effects come from {effects.m} studies; this model takes them as independent, "
                "so its intervals are too narrow",
                DependentEffectsWarning,
                stacklevel=2,
            )

    def fit(
        self,
        method: str = "REML",
        test: str | None = None,
        level: float = 0.95,
        tau2: float | None = None,
    ) -> RandomEffectsResults:
        """Fit the model.

        Parameters
        ----------
        method : {"REML", "ML", "PM", "DL", "EE"}
            Estimator of the between-study variance; "EE" assumes that there is none.
        test : {"knapp-hartung", "knapp-hartung-adhoc", "t", "z"}, optional
            "z": normal; "t": t with k - p degrees of freedom; "knapp-hartung": t, with the covariance
            scaled by the weighted residual variance; "knapp-hartung-adhoc": the same with a scale of at
            least 1. Default: "knapp-hartung", and "z" for the equal-effects model.
        level : float
            Confidence level of the intervals.
        tau2 : float, optional
            A known between-study variance, which is then not estimated.

        Returns
        -------
        RandomEffectsResults
            The sealed fit.

        Raises
        ------
        UnknownChoiceError
            If `method` or `test` is not known.
        TooFewStudiesError
            If there are too few effects for what is to be estimated.
        InputError
            If sampling variances of zero meet a method that divides by them.
        """
        estimator = get_estimator(method)
        test = test or ("z" if estimator.code == "EE" else "knapp-hartung")
        if test not in TESTS:
            raise UnknownChoiceError("test", test, TESTS)
        if not 0 < level < 1:
            raise InputError(f"level is {level}", "a fraction between 0 and 1, for example 0.95")
        self._check_count(estimator.code, test, tau2)
        self._check_zero_variances(estimator.code, tau2)
        es = self.effects
        batch = make_batch(es.y, es.v, self.design.x)
        solution = self._solve(batch, estimator.code, tau2)
        wls = weighted_fit(batch, 1.0 / (batch.v + solution.tau2[:, None]))
        return RandomEffectsResults(
            effects=es,
            design=self.design,
            batch=batch,
            solution=solution,
            wls=wls,
            method=estimator.code,
            test=test,
            level=level,
            tau2_given=tau2 is not None,
        )

    def _solve(self, batch: Batch, method: str, tau2: float | None) -> Tau2:
        if tau2 is None:
            return get_estimator(method).kernel(batch)
        if not (np.isfinite(tau2) and tau2 >= 0):
            raise InputError(f"tau2 is {tau2}", "a finite variance of at least 0")
        return likelihood_at(batch, float(tau2), restricted=method != "ML")

    def _check_count(self, method: str, test: str, tau2: float | None) -> None:
        k, p = self.effects.k, self.design.p
        estimated = method != "EE" and tau2 is None
        if k == 0:
            raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
        if estimated and k < p + 1:
            raise TooFewStudiesError(
                f"{k} effects for {p} coefficients leave nothing to tell a between-study variance from",
                f"at least {p + 1} effects",
                'with one effect, report it as it is; or fit method="EE", which assumes no heterogeneity',
            )
        if test != "z" and k < p + 1:
            raise TooFewStudiesError(
                f"{k} effects for {p} coefficients leave no degrees of freedom for a t distribution",
                f"at least {p + 1} effects",
                'use test="z"',
            )

    def _check_zero_variances(self, method: str, tau2: float | None) -> None:
        zero = np.flatnonzero(self.effects.v == 0)
        divides = method in {"EE", "DL", "PM"} if tau2 is None else tau2 == 0
        if zero.size and divides:
            raise InputError(
                f"{zero.size} sampling variances are zero and {method} divides by them",
                "sampling variances above 0",
                'look the rows up in the source, or use method="REML"',
                [self.effects.row_ids[i] for i in zero],
            )
