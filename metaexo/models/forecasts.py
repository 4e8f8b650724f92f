"""What a fit says about means and new studies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import InputError
from metaexo.inputs import check_choice, check_number
from metaexo.models.prediction import back_transform, new_rows, predict_new, prediction_frame
from metaexo.models.records import Pooled
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.results import RandomEffectsResults

ADJUSTMENTS = ("bonferroni",)


class Forecasts:
    """The part of RandomEffectsResults that predicts."""

    @property
    def estimate(self) -> float:
        """The pooled effect, of a fit without moderators."""
        return float(self._without_moderators().beta[0])

    def pooled(self, level: float | None = None, kind: str = "default") -> Pooled:
        """Return the pooled effect with confidence and prediction interval.

        Parameters
        ----------
        level : float, optional
            Level of both intervals; default that of the fit.
        kind : str
            Kind of prediction interval; see `predict`.

        Raises
        ------
        InputError
            If the fit has moderators: there is no single pooled effect.
        """
        fit = self._without_moderators()
        chosen = fit._level(level)
        found = predict_new(fit, np.ones((1, 1)), kind, 0.0)
        low, high, prediction_low, prediction_high = (float(x[0]) for x in found.intervals(chosen))
        known = fit.method != "EE"
        return Pooled(
            estimate=float(found.mean[0]),
            se=float(found.se[0]),
            low=low,
            high=high,
            prediction_low=prediction_low if known else None,
            prediction_high=prediction_high if known else None,
            level=chosen,
        )

    def predict(
        self,
        new: ArrayLike | pd.DataFrame | None = None,
        level: float | None = None,
        *,
        kind: str = "default",
        sampling_variance: float = 0.0,
        transform: str | Callable[[Array], Array] | None = None,
        adjust: str | None = None,
    ) -> pd.DataFrame:
        """Return mean effects at moderator values, with confidence and prediction intervals.

        The prediction interval is for the true effect of a new study: its variance adds tau2 to that of the
        mean.

        Parameters
        ----------
        new : array_like or DataFrame, shape (r, q), optional
            Rows of moderators in the order of the fit, without the intercept. Default: the rows of the fit
            (one row if there are no moderators).
        level : float, optional
            Level of both intervals.
        kind : {"default", "riley", "hts", "t", "simple"}
            Quantile of the prediction interval. "default": that of the fit's test (t with k - p degrees of
            freedom, or normal). "riley", also called "hts": t with k - p - 1 degrees of freedom, at least 1.
            "t": t with k - p. "simple": normal, with tau alone, as if the mean were known.
        sampling_variance : float
            Sampling variance of the new study, for the interval of its observed effect; 0: of its true
            effect.
        transform : {"measure", "exp"} or callable, optional
            Takes estimates and bounds to another scale: that on which the measure is shown, the exponential,
            or a monotone function. Standard errors stay on the scale of the analysis.
        adjust : {"bonferroni"}, optional
            Makes all r intervals hold together: each has the level 1 - (1 - level) / r.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, prediction_se, prediction_low, prediction_high.

        Raises
        ------
        ShapeError
            If the new rows do not have a column for each moderator.
        UnknownChoiceError
            If a word is not known.
        InputError
            If the sampling variance is negative.

        References
        ----------
        Higgins, J. P. T., Thompson, S. G., Spiegelhalter, D. J. (2009).
        https://doi.org/10.1111/j.1467-985X.2008.00552.x
        Riley, R. D., Higgins, J. P. T., Deeks, J. J. (2011). https://doi.org/10.1136/bmj.d549

        Examples
        --------
        >>> import metaexo as mx
        >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04], measure="RR")
        >>> table = mx.RandomEffects(es).fit().predict(transform="exp", kind="riley")
        >>> table[["estimate", "prediction_low", "prediction_high"]].round(2).to_numpy().tolist()
        [[1.54, 0.31, 7.54]]
        """
        fit = cast("RandomEffectsResults", self)
        x = new_rows(fit.design, new)
        chosen = fit._level(level)
        if adjust is not None:
            check_choice("adjust", adjust, ADJUSTMENTS)
            chosen = 1 - (1 - chosen) / len(x)
        function = back_transform(fit, transform)
        return prediction_frame(predict_new(fit, x, kind, sampling_variance), chosen, function)

    def probability_above(
        self, value: float = 0.0, new: ArrayLike | pd.DataFrame | None = None, kind: str = "default"
    ) -> Array:
        """Return the probability that the true effect of a new study exceeds a value.

        Use it to say how often an effect that matters may be expected, not only what the mean is.

        Parameters
        ----------
        value : float
            The value, on the scale of the analysis.
        new : array_like or DataFrame, shape (r, q), optional
            Rows of moderators, as in `predict`.
        kind : str
            The distribution, as in `predict`.

        Returns
        -------
        ndarray, shape (r,)
            Probabilities, from the same distribution as the prediction interval.

        Examples
        --------
        >>> import metaexo as mx
        >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
        >>> print(mx.RandomEffects(es).fit().probability_above(0.0).round(2))
        [0.84]
        """
        fit = cast("RandomEffectsResults", self)
        return predict_new(fit, new_rows(fit.design, new), kind, 0.0).above(check_number("value", value))

    def _without_moderators(self) -> RandomEffectsResults:
        """Return the fit, or say that it has no single pooled effect."""
        fit = cast("RandomEffectsResults", self)
        if fit.design.x is not None:
            raise InputError(
                "this fit has moderators, so there is no single pooled effect",
                "a fit without moderators",
                "use predict() at the moderator values of interest",
            )
        return fit
