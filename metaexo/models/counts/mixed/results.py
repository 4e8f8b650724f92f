"""CountGLMMResults: what a fitted mixed model of counts can be asked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError
from metaexo.formatting import number
from metaexo.inputs import check_choice
from metaexo.models.counts.fit import CountResults
from metaexo.models.counts.mixed.fit import BETWEEN, CountGLMMFit
from metaexo.models.counts.mixed.fitting import fitted
from metaexo.models.counts.mixed.heterogeneity import (
    coefficient_limits,
    likelihood_ratio_test,
    tau2_limits,
    wald_test,
)
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.counts.formulations import APPROXIMATE, EXACT, FIXED, ONE_ARM, RANDOM
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

TESTS = {"z": "normal", "t": "t with k - p df"}
WORDS = {
    FIXED: "study intercepts estimated",
    RANDOM: "random study intercepts",
    EXACT: "given the events of each study, exact",
    APPROXIMATE: "given the events of each study, approximate (binomial)",
    ONE_ARM: "one arm",
}
KINDS = ("wald", "profile")


@dataclass(frozen=True, eq=False, repr=False)
class CountGLMMResults(CountGLMMFit, CountResults):
    """A fitted generalised linear mixed model of event counts.

    Attributes
    ----------
    counts : EventCounts
        What was fitted.
    effects : EffectSizes
        The studies' own estimates, 1/2 added to the counts of studies with a zero; NaN where a study has no
        information. For tables and drawings; the likelihood uses the counts.
    design : Design
        Columns of the linear predictor.
    maximum : CountMaximum
        The maximum of the likelihood, in standardised columns.
    model : str
        "unconditional-fixed", "unconditional-random", "conditional-exact", "conditional-approximate" or
        "one-arm".
    link : {"logit", "cloglog", "probit", "log"}
        Link of one arm; "logit", or "log" for person-time, otherwise.
    coding : tuple of float
        By how much the random effect moves the treated and the control arm.
    correlated : bool
        Whether random study intercepts and effects are correlated.
    points : int
        Points of the quadrature, in each dimension.
    method, test : str
        "ML" or "EE", and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    """

    def on(self, counts: EventCounts, design: Design) -> Self:
        """Return the same model fitted to other counts, with the columns of the design for their rows."""
        return replace(
            self,
            **fitted(
                counts,
                design,
                self.measure,
                model=self.model,
                link=self.link,
                coding=self.coding,
                correlated=self.correlated,
                points=self.points,
                method=self.method,
                test=self.test,
            ),
        )

    # -- coefficients ------------------------------------------------------------------------------------

    def conf_int(self, level: float | None = None, kind: str = "wald") -> pd.DataFrame:
        """Return the confidence intervals of the coefficients: columns low and high.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        kind : {"wald", "profile"}
            "wald": estimate plus and minus a multiple of its standard error. "profile": the values at which
            the log-likelihood, all other parameters at their best, is at most half a chi-square quantile
            below its maximum; better where events are rare, and infinite where the counts set no limit.

        Returns
        -------
        DataFrame
            One row per coefficient.

        Raises
        ------
        UnknownChoiceError
            If the kind is not known.
        """
        import pandas as pd

        check_choice("kind of interval", kind, KINDS)
        if kind == "wald":
            return super().conf_int(level)
        low, high = coefficient_limits(self, self.at_level(level))
        return pd.DataFrame({"low": low, "high": high}, index=pd.Index(self.design.names))

    # -- heterogeneity -----------------------------------------------------------------------------------

    @cached_property
    def q(self) -> TestResult:
        """Wald test of (residual) heterogeneity: that the studies' own effects do not differ.

        Cochran's Q with the studies' own estimates by the same likelihood, nothing added. Studies whose own
        effect is infinite add nothing; `likelihood_ratio_q` counts them.
        """
        return wald_test(self)

    @cached_property
    def likelihood_ratio_q(self) -> TestResult:
        """Likelihood-ratio test of equal effects against an effect per study (the saturated model)."""
        return likelihood_ratio_test(self)

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return the profile-likelihood interval of tau2 for the table of heterogeneity."""
        chosen = self.at_level(level)
        if method is not None:
            return tau2_limits(self, chosen, method)
        if chosen not in self._limits:
            self._limits[chosen] = tau2_limits(self, chosen, None)
        return self._limits[chosen]

    @cached_property
    def _limits(self) -> dict[float, Tau2Limits | None]:
        """Intervals of tau2 by level, as they were asked for: each takes some tens of fits."""
        return {}

    # -- studies -----------------------------------------------------------------------------------------

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted random effects: the most likely ones, given the counts and the estimates.

        Parameters
        ----------
        level : float, optional
            Level of the normal intervals; default that of the fit. They take the estimates as known.

        Returns
        -------
        DataFrame
            Columns component, level (the row's label), estimate, se, low, high: for each row the deviation of
            its effect from the fitted one. Empty for equal effects.
        """
        if not self.is_random:
            return super().random_effects(level)
        scales = self.maximum.psi[0, self.design.p :]
        if self.model == RANDOM:
            scales = np.array([scales[3] if scales.size > 3 else 0.0, scales[2]])
        found = self._predicted(scales, level)
        found.insert(0, "component", BETWEEN)
        found.insert(1, "level", list(self.effects.row_labels))
        return found

    def study_intercepts(self, level: float | None = None) -> pd.DataFrame:
        """Return the intercepts of the studies in an unconditional model.

        They are the log odds (of person-time the log rate) of the control arm, without the random effect:
        estimates with "unconditional-fixed", predictions with "unconditional-random".

        Parameters
        ----------
        level : float, optional
            Level of the normal intervals, which take the other estimates as known; default that of the fit.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, one row per row of the counts; NaN where a row has no
            information, and without standard errors where intercepts are estimated.

        Raises
        ------
        InputError
            If the model has no study intercepts.
        """
        import pandas as pd

        index = pd.Index(self.effects.row_labels, name="label")
        if self.model == FIXED:
            own = np.where(self.informative, self.maximum.own[0], np.nan)
            return pd.DataFrame({"estimate": own, "se": np.nan, "low": np.nan, "high": np.nan}, index=index)
        if self.model != RANDOM:
            raise InputError(
                f'the model "{self.model}" has no study intercepts',
                "an unconditional model",
                f'fit it with model="{RANDOM}"',
            )
        scales = self.maximum.psi[0, self.design.p :]
        loads = np.zeros(self.maximum.mode.shape[-1])
        loads[0] = scales[1]
        found = self._predicted(loads, level).set_index(index)
        for name in ("estimate", "low", "high"):
            found[name] += scales[0]
        return found

    def _predicted(self, loads: Array, level: float | None) -> pd.DataFrame:
        """Return a combination of the standardised random variables of each row, shape (Q,), as predicted."""
        import pandas as pd

        half = normal_quantile(self.at_level(level))
        estimate = self.maximum.mode[0] @ loads
        se = np.sqrt(np.einsum("q,kqr,r->k", loads, self.maximum.spread[0], loads))
        return pd.DataFrame(
            {"estimate": estimate, "se": se, "low": estimate - half * se, "high": estimate + half * se}
        )

    def blup(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted effect of each study: fitted value plus predicted random effect.

        Parameters
        ----------
        level : float, optional
            Level of the normal intervals; default that of the fit.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, one row per row of the counts. The squared standard error is that
            of the random effect, s^2, and, as its pull towards the mean makes it, (s^2 / tau2)^2 times the
            variance of the fitted value; tau2 counts as known. Without heterogeneity it is that of the mean.
        """
        import pandas as pd

        quantile = normal_quantile(self.at_level(level))
        variance, pull = np.diagonal(self.cov_fitted()), np.ones(self.k)
        estimate, own = np.array(self.fitted_values), np.zeros(self.k)
        if self.is_random and self.tau2 > 0:
            found = self.random_effects(level)
            estimate += found["estimate"].to_numpy()
            own = found["se"].to_numpy() ** 2
            pull = np.minimum(own / self.tau2, 1.0)
        se = np.sqrt(own + pull**2 * variance)
        columns = {"estimate": estimate, "se": se}
        columns |= {"low": estimate - quantile * se, "high": estimate + quantile * se}
        return pd.DataFrame(columns, index=pd.Index(self.effects.row_labels, name="label"))

    # -- for readers -------------------------------------------------------------------------------------

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the intervals and tests; empty if there is nothing."""
        found = super().cautions()
        if self.model == FIXED and not self.is_random:
            events = self.counts.events[self.informative].sum(axis=1)
            if np.median(events) < FEW_EVENTS:
                found = (
                    *found,
                    "an intercept is estimated for each study from few events: the estimate is too far from "
                    "no effect; conditional models are not",
                )
        return found

    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""
        kind = "Mixed model" if self.is_random or self.model == RANDOM else "Equal-effects model"
        lines = [f"{WORDS[self.model]}; {self._distribution()}, link {self.link}"]
        if self.is_random or self.model == RANDOM:
            points = "Laplace's approximation" if self.points == 1 else f"{self.points} quadrature points"
            lines.append(f"maximum likelihood, {points}; nothing added to zeros")
        else:
            lines.append("maximum likelihood; nothing added to zeros")
        heterogeneity = [f"likelihood ratio: {self.likelihood_ratio_q}"]
        if self.sigma2 is not None:
            rho = "" if self.rho is None or math.isnan(self.rho) else f", correlation {number(self.rho, 3)}"
            heterogeneity.append(
                f"study intercepts: mean {number(float(self.study_mean or 0.0), 4)}, "
                f"variance {number(self.sigma2, 4)}{rho}"
            )
        return FamilyLines(
            model=f"{kind} of counts",
            tests=TESTS[self.test],
            fitted=tuple(lines),
            heterogeneity=tuple(heterogeneity),
            data=self.count_lines(),
            certificate=tuple(self._certificate_lines()),
        )

    def _distribution(self) -> str:
        if self.model in (EXACT, APPROXIMATE):
            exact = self.model == EXACT and not self.counts.person_time
            return "non-central hypergeometric" if exact else "binomial"
        return "Poisson" if self.counts.person_time else "binomial"

    def _certificate_lines(self) -> list[str]:
        found = self.certificate
        state = "at the boundary: a variance is 0, where no positive value fits better"
        if self.rho is not None and abs(self.rho) >= 1 - 1e-12:
            state = f"at the boundary: the correlation is {self.rho:.0f}, where none nearer to 0 fits better"
        lines = [state if found.at_boundary else "converged"]
        several = "" if found.maxima == 1 else f": the highest of {found.maxima} local maxima"
        return [*lines, f"highest maximum of a scan over the variances{several}"]

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        return super().facts() | {
            "model": self.model,
            "link": self.link,
            "coding": self.coding,
            "points": self.points,
            "tau2_se": self.tau2_se,
            "study_mean": self.study_mean,
            "sigma2": self.sigma2,
            "rho": self.rho,
            "likelihood_ratio_q": self.likelihood_ratio_q,
        }


# Below this number of events in a typical study its own intercept is hardly determined.
FEW_EVENTS = 10
