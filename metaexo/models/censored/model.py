"""The random-effects model of evidence that is partly known as intervals or directions only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes, as_bounded
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    DependentEffectsWarning,
    InputError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import LARGEST, check_aligned, check_choice, check_level, check_number
from metaexo.models.censored.effects import require_identifiable, unbounded_error, usable_effects
from metaexo.models.censored.fit import CENSORED_TESTS
from metaexo.models.censored.results import CensoredResults
from metaexo.models.linear.choices import get_likelihood, get_test
from metaexo.models.linear.design import DEPENDENCE, MISSING, Design, make_design, rows_of, without_missing
from metaexo.models.linear.model import Model
from metaexo.numeric.censored.inference import censored_inference
from metaexo.numeric.censored.maximum import CensoredMaximum, censored_at, censored_maximum
from metaexo.numeric.censored.rows import CensoredBatch, make_censored_batch

if TYPE_CHECKING:
    import pandas as pd


class CensoredRandomEffects(Model):
    r"""Random-effects model of exact effects beside those that are known as an interval or a direction only.

    Use it where studies say "p < 0.05", "not significant" or "improved" and give no numbers. Leaving them
    out, or setting them to zero, biases what remains; as censored observations they count for what they say.
    With :math:`\theta_i \sim N(x_i'\beta, \tau^2)` and :math:`y_i \mid \theta_i \sim N(\theta_i, v_i)`, an
    exact effect contributes its density, and one that is known to lie between l and u

    .. math:: \Phi\left(\frac{u - x_i'\beta}{\sqrt{\tau^2 + v_i(u)}}\right)
              - \Phi\left(\frac{l - x_i'\beta}{\sqrt{\tau^2 + v_i(l)}}\right)

    with the sampling variance that an effect at each end would have. Whether a study reports a number or a
    threshold may depend on what the threshold says (significant or not), and on nothing else of the effect.

    Parameters
    ----------
    effects : BoundedEffectSizes or EffectSizes
        Effects with bounds, from ``sheets.effects(..., bounds=True)`` or
        :func:`metaexo.effects.bounded_effects`.
    moderators : str, array_like or DataFrame, shape (k, q), optional
        A formula on the columns of the effects' data, or numeric moderators. Default: none.
    intercept : bool
        Whether the model has an intercept.
    names : sequence of str, optional
        Names of the moderators, where they are an array.
    redundant : {"raise", "drop"}
        What to do with columns that add nothing to those before them.
    dependence : {"warn", "accept"}
        What to do if several effects belong to one study.
    direction_v : float, optional
        Sampling variance to assume in rows that give a direction and no sizes. Default: these rows are left
        out with a warning and an entry in the ledger.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing: refuse them by name, or leave them out with a
        warning and an entry in the ledger.

    Raises
    ------
    NotIdentifiableError
        If directions without sizes are all there is.
    InputError
        If an end that is known has no sampling variance above 0.

    Warns
    -----
    DependentEffectsWarning
        If several effects belong to one study: this model takes them as independent.
    RowsLeftOutWarning
        If directions without sizes are left out, or rows without a moderator because `missing` is "drop".

    References
    ----------
    Tobin, J. (1958). Econometrica 26, 24-36. https://doi.org/10.2307/1907382
    Albajes-Eizagirre, A., Solanes, A., Radua, J. (2019). Meta-analysis of non-statistically significant
    unreported effects. Statistical Methods in Medical Research 28, 3741-3754.
    https://doi.org/10.1177/0962280218811349

    Examples
    --------
    Three exact effects, one result that is only "p < 0.05" in favour, two "not significant".

    >>> import metaexo as mx
    >>> from metaexo.effects import bounded_effects
    >>> inf = float("inf")
    >>> es = bounded_effects(
    ...     lower=[0.2, 0.9, 0.6, 0.7, -0.6, -0.7], upper=[0.2, 0.9, 0.6, inf, 0.6, 0.7],
    ...     v=[0.08, 0.10, 0.09, 0.13, 0.09, 0.12],
    ... )
    >>> fit = mx.CensoredRandomEffects(es).fit()
    >>> print(f"{fit.estimate:.2f}, of {fit.effective:.1f} effective effects")
    0.53, of 4.9 effective effects
    """

    def __init__(
        self,
        effects: BoundedEffectSizes | EffectSizes,
        moderators: str | ArrayLike | pd.DataFrame | None = None,
        *,
        intercept: bool = True,
        names: Sequence[str] | None = None,
        redundant: Literal["raise", "drop"] = "raise",
        dependence: Literal["warn", "accept"] = "warn",
        direction_v: float | None = None,
        missing: Literal["raise", "drop"] = "raise",
    ) -> None:
        check_choice("dependence", dependence, DEPENDENCE)
        check_choice("missing", missing, MISSING)
        ends = as_bounded(effects)
        check_aligned(effects=ends, moderators=moderators)
        if missing == "drop":
            ends, (moderators,), _ = without_missing(ends, moderators)
        self.effects, keep = usable_effects(ends, direction_v)
        self.design: Design = make_design(
            rows_of(moderators, keep, ends.row_ids),
            self.effects.k,
            names,
            intercept,
            data=self.effects.data,
            rows=self.effects.row_ids,
            redundant=redundant,
            can_drop=True,
        )
        if dependence == "warn" and self.effects.m < self.effects.k:
            warn_caller(
                f"{self.effects.k} effects come from {self.effects.m} studies; this model takes them as "
                "independent, so its intervals are too narrow",
                DependentEffectsWarning,
            )

    def fit(
        self,
        method: str = "REML",
        test: str = "knapp-hartung",
        level: float = 0.95,
        tau2: float | None = None,
    ) -> CensoredResults:
        """Fit the model.

        Parameters
        ----------
        method : {"REML", "ML"}
            "REML": the likelihood with the coefficients integrated out by Laplace's method, which is the
            restricted likelihood where all effects are exact; "ML": the likelihood.
        test : str
            "knapp-hartung": t, with the covariance scaled by the residual variance, on as many degrees of
            freedom as the effective number of effects less that of coefficients; "knapp-hartung-adhoc": the
            same with a scale of at least 1; "t": without the scale; "z": normal.
        level : float
            Confidence level of the intervals.
        tau2 : float, optional
            A known between-study variance, which is then not estimated; 0 for equal effects.

        Returns
        -------
        CensoredResults
            The immutable fit.

        Raises
        ------
        UnknownChoiceError
            If `method` or `test` is not known.
        NotIdentifiableError
            If the likelihood has no maximum: all effects are bounds of one side, or too few are points or
            have two ends to estimate tau2.
        InputError
            If the effective number of effects does not exceed that of coefficients, so that there is no t
            distribution.

        References
        ----------
        Cox, D. R., Reid, N. (1987). https://doi.org/10.1111/j.2517-6161.1987.tb01422.x
        Knapp, G., Hartung, J. (2003). https://doi.org/10.1002/sim.1482
        """
        code = get_likelihood(method)
        test = get_test(test, CENSORED_TESTS)
        level = check_level(level)
        tau2 = None if tau2 is None else check_number("tau2", tau2)
        require_identifiable(self.effects, self.design, tau2 is not None)
        batch = censored_batch(self.effects, self.design)
        maximum = self._solve(batch, code == "REML", tau2)
        inference = censored_inference(batch, maximum, code == "REML", tau2 is not None)
        if test != "z" and not np.isfinite(inference.scale[0]):
            raise InputError(
                f"the effects are equivalent to {inference.effective[0]:.2g} exact ones for "
                f"{plural(self.design.p, 'coefficient')}",
                "more, for a t distribution",
                'use test="z"',
            )
        return CensoredResults(
            effects=self.effects,
            design=self.design,
            batch=batch,
            maximum=maximum,
            inference=inference,
            method=code,
            test=test,
            level=level,
            tau2_given=tau2 is not None,
        )

    def _solve(self, batch: CensoredBatch, restricted: bool, tau2: float | None) -> CensoredMaximum:
        if tau2 is not None:
            if not 0 <= tau2 <= LARGEST:
                raise InputError(f"tau2 is {tau2}", f"a variance from 0 to {LARGEST:g}")
            return censored_at(batch, float(tau2), restricted)
        found = censored_maximum(batch, restricted)
        if found.unbounded[0]:
            raise unbounded_error(self.effects, self.design)
        return found


def censored_batch(effects: BoundedEffectSizes, design: Design) -> CensoredBatch:
    """Return the problem of effects and a design, a batch of one."""
    return make_censored_batch(
        effects.lower, effects.upper, effects.v_lower, effects.v_upper, design.matrix(effects.k)
    )


def with_effects(effects: BoundedEffectSizes, design: Design) -> CensoredRandomEffects:
    """Return the model of effects that can be used, with columns that are made already."""
    made = object.__new__(CensoredRandomEffects)
    made.effects, made.design = effects, design
    return made
