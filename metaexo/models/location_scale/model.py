"""Location-scale models: moderators of the mean, and moderators of the between-study variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    DependentEffectsWarning,
    InputError,
    ScaleBoundaryWarning,
    TooFewStudiesError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import check_choice, check_level
from metaexo.models.linear.choices import get_likelihood, get_test
from metaexo.models.linear.design import DEPENDENCE, MISSING, Design, Redundant, make_design, without_missing
from metaexo.models.linear.model import Model
from metaexo.models.location_scale.results import LocationScaleResults
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.problem import make_batch
from metaexo.numeric.scale.likelihood import make_likelihood
from metaexo.numeric.scale.maximum import ScaleMaximum, maximise
from metaexo.numeric.weighted import weighted_least_squares

if TYPE_CHECKING:
    import pandas as pd

LINKS = ("log", "identity")
TESTS = ("t", "z")


class LocationScale(Model):
    r"""Random-effects model whose between-study variance has moderators of its own.

    Use it to ask what heterogeneity itself depends on: whether effects of one source vary more than those of
    another, or less in later years. The model is :math:`y_i = x_i'\beta + u_i + e_i` with
    :math:`u_i \sim N(0, \tau_i^2)` and :math:`\log \tau_i^2 = z_i'\alpha`, or
    :math:`\tau_i^2 = z_i'\alpha \ge 0` with the identity link.

    Parameters
    ----------
    effects : EffectSizes
        Effects and sampling variances, all above 0.
    location : str, array_like or DataFrame, shape (k, q), optional
        Moderators of the mean: a formula on the columns of the effects' data, or numeric columns. Default:
        none.
    scale : str, array_like or DataFrame, shape (k, q), optional
        Moderators of the between-study variance, given in the same ways. Default: none, which is the model
        with one variance.
    link : {"log", "identity"}
        What is linear in the scale moderators: the logarithm of tau2, or tau2 itself, kept at 0 or above in
        every study.
    redundant : {"raise", "drop"}
        What to do with columns that add nothing to those before them.
    dependence : {"warn", "accept"}
        What to do if several effects belong to one study.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing: refuse them by name, or leave them out with a
        warning and an entry in the ledger. Moderators of the mean and of the scale count alike.

    Raises
    ------
    InputError
        If a sampling variance is zero.
    UnknownChoiceError
        If the link is not known.

    Warns
    -----
    RowsLeftOutWarning
        If rows were left out because `missing` is "drop".
    DependentEffectsWarning
        If several effects belong to one study: this model takes them as independent.

    References
    ----------
    Viechtbauer, W., López-López, J. A. (2022). Location-scale models for meta-analysis. Research Synthesis
    Methods 13, 697-715. https://doi.org/10.1002/jrsm.1562

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> data = pd.DataFrame({"source": ["milk"] * 5 + ["plant"] * 5})
    >>> y = [0.3, 0.4, 0.2, 0.5, 0.3, -0.9, 1.3, 0.1, 1.9, -0.4]
    >>> es = mx.EffectSizes(y, [0.01] * 10, data=data)
    >>> fit = mx.LocationScale(es, scale="source").fit()
    >>> fit.scale_coefficients.params.round(2).to_dict()
    {'intercept': -5.82, 'sourceplant': 5.91}
    """

    def __init__(
        self,
        effects: EffectSizes,
        location: str | ArrayLike | pd.DataFrame | None = None,
        scale: str | ArrayLike | pd.DataFrame | None = None,
        *,
        link: Literal["log", "identity"] = "log",
        redundant: Redundant = "raise",
        dependence: Literal["warn", "accept"] = "warn",
        missing: Literal["raise", "drop"] = "raise",
    ) -> None:
        check_effects(effects, "mx.LocationScale")
        check_choice("link", link, LINKS)
        check_choice("dependence", dependence, DEPENDENCE)
        check_choice("missing", missing, MISSING)
        for name, columns in (("location", location), ("scale", scale)):
            effects.check_index(name, columns)
        if missing == "drop":
            effects, (location, scale), _ = without_missing(effects, location, scale)
        zero = np.flatnonzero(effects.v == 0)
        if zero.size:
            raise InputError(
                f"{plural(zero.size, 'sampling variance is', 'sampling variances are')} zero",
                "sampling variances above 0",
                "look these rows up in the source, or leave them out with EffectSizes.select",
                [effects.row_ids[int(i)] for i in zero],
            )
        rows = None if effects.ledger is None else effects.row_ids
        self.effects = effects
        self.link: str = link
        self.design, self.scale_design = (
            make_design(
                columns,
                effects.k,
                data=effects.data,
                rows=rows,
                redundant=redundant,
                can_drop=True,
            )
            for columns in (location, scale)
        )
        if dependence == "warn" and effects.m < effects.k:
            warn_caller(
                f"{effects.k} effects come from {effects.m} studies; this model takes them as independent, "
                "so its intervals are too narrow",
                DependentEffectsWarning,
            )

    def fit(self, method: str = "REML", test: str = "t", level: float = 0.95) -> LocationScaleResults:
        """Fit the model.

        The likelihood is maximised by Newton's method with exact derivatives from several starts. Where it
        increases as the variance of some studies goes to zero, that limit is the fit: tau2 is 0 there, some
        coefficients are infinite, and a warning says so.

        Parameters
        ----------
        method : {"REML", "ML"}
            Which likelihood.
        test : {"t", "z"}
            "t": k - p degrees of freedom for the location, k - q for the scale, with p and q coefficients;
            "z": normal.
        level : float
            Confidence level of the intervals.

        Returns
        -------
        LocationScaleResults
            The fit, immutable.

        Raises
        ------
        UnknownChoiceError
            If `method` or `test` is not known.
        TooFewStudiesError
            If there are fewer effects than coefficients.
        ScaleConvergenceError
            If no start ends at a maximum with a certificate; the error carries the log of all starts.
        NotIdentifiableError
            If the identity link cannot give every study a variance of at least zero.

        Warns
        -----
        ScaleBoundaryWarning
            If tau2 is zero in some studies.
        """
        code = get_likelihood(method)
        test = get_test(test, TESTS)
        level = check_level(level)
        es, p, q = self.effects, self.design.p, self.scale_design.p
        if es.k < p + q:
            raise TooFewStudiesError(
                f"{plural(es.k, 'effect')} for {p} location and {plural(q, 'scale coefficient')}",
                f"at least {p + q} effects",
                "use fewer moderators, or metaexo.RandomEffects with one between-study variance",
            )
        x, z = self.design.matrix(es.k), self.scale_design.matrix(es.k)
        model = make_likelihood(x, es.y, es.v, z, self.link, code == "REML")
        one_variance = get_estimator(code).kernel(make_batch(es.y, es.v, self.design.x)).tau2
        maximum = maximise(model, float(np.ravel(one_variance)[0]))
        if maximum.zero.any():
            warn_caller(_boundary_in_words(maximum, es.k), ScaleBoundaryWarning)
        return LocationScaleResults(
            effects=es,
            design=self.design,
            scale_design=self.scale_design,
            wls=weighted_least_squares(x, es.y, es.v + maximum.tau2),
            maximum=maximum,
            link=self.link,
            method=code,
            test=test,
            level=level,
        )


def with_designs(effects: EffectSizes, location: Design, scale: Design, link: str) -> LocationScale:
    """Return the model of effects with columns of both parts that are made already."""
    made = object.__new__(LocationScale)
    made.effects, made.design, made.scale_design, made.link = effects, location, scale, link
    return made


def _boundary_in_words(maximum: ScaleMaximum, k: int) -> str:
    words = (
        f"the likelihood is highest with tau2 = 0 in {plural(int(maximum.zero.sum()), 'row')} of {k}: scale "
        "coefficients that are infinite or at the boundary have no standard error"
    )
    if maximum.finite_value is not None:
        below = maximum.value - maximum.finite_value
        words += f"; the highest maximum with finite coefficients lies {below:.3g} lower"
    return words
