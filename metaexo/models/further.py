"""What a random-effects fit can be asked beyond its numbers; each answer is made in a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from metaexo.models.henmi_copas_interval import HenmiCopas
    from metaexo.models.hypothesis import TestResult
    from metaexo.models.likelihood_ratio import VarianceModel
    from metaexo.models.profile import Tau2Profile
    from metaexo.models.results import RandomEffectsResults
    from metaexo.models.robust import Freedom, RobustResults


class FurtherAnalyses:
    """Methods of RandomEffectsResults that start a further analysis of the fit."""

    def table_notes(self) -> list[str]:
        """Return the lines that stand below the table of coefficients: what was fitted, and the spread."""
        parts = cast("RandomEffectsResults", self).summary().parts
        return [*parts["What was fitted"], *parts["Spread"]]

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        from metaexo.models.facts import facts_of

        return facts_of(cast("RandomEffectsResults", self))

    def robust(
        self,
        cluster: str | Sequence[object] | ArrayLike | None = None,
        kind: str = "CR2",
        freedom: Freedom | None = None,
    ) -> RobustResults:
        """Return the fit with cluster-robust standard errors, tests and intervals.

        Use it where effects depend on each other in ways that the model does not describe, such as several
        effects of one study or of one laboratory. The coefficients stay as they are.

        Parameters
        ----------
        cluster : str or sequence of length k, optional
            Column of the data, or a label for each effect. Default: the study of each effect.
        kind : {"CR2", "CR0", "CR1", "CR1p", "CR1S", "CR3"}
            "CR2": unbiased if the model holds, the choice for few clusters; "CR0": no adjustment; "CR1",
            "CR1p", "CR1S": times G/(G-1), G/(G-p), G(N-1)/((G-1)(N-p)) for G clusters, N effects and p
            coefficients; "CR3": close to leaving out a cluster at a time.
        freedom : {"satterthwaite", "clusters"}, optional
            Degrees of freedom of the t and F distributions: by moments for each combination, or G - p.
            Default: "satterthwaite" for CR2 and CR3, else "clusters".

        Returns
        -------
        RobustResults
            Coefficients, tests and intervals.

        Raises
        ------
        UnknownChoiceError
            If `kind`, `freedom` or the column is not known.
        NotIdentifiableError
            If there are too few clusters.

        Warns
        -----
        FewStudiesWarning
            If a test has fewer than four degrees of freedom.

        References
        ----------
        Pustejovsky, J. E., Tipton, E. (2018). https://doi.org/10.1080/07350015.2016.1247004
        Tipton, E. (2015). Small sample adjustments for robust variance estimation with meta-regression.
        Psychological Methods 20, 375-393. https://doi.org/10.1037/met0000011

        Examples
        --------
        >>> import metaexo as mx
        >>> study = ["a", "a", "b", "b", "c", "d", "e", "f"]
        >>> y = [0.2, 0.3, 0.8, 0.6, 0.1, 0.9, 0.4, 0.5]
        >>> es = mx.EffectSizes(y, [0.04] * 8, study=study)
        >>> robust = mx.RandomEffects(es, dependence="accept").fit().robust()
        >>> print(f"{robust.se[0]:.4f}, df {robust.df[0]:.2f}")
        0.1195, df 4.37
        """
        from metaexo.models.robust import robust

        return robust(cast("RandomEffectsResults", self), cluster, kind, freedom)

    def profile(self, grid: ArrayLike | None = None, level: float | None = None) -> Tau2Profile:
        """Return the profile likelihood of tau2 on a grid.

        Use it to see how well the data tell the between-study variance, and how much the coefficients
        depend on it. ML fits are profiled by the full likelihood, all others by the restricted one.

        Parameters
        ----------
        grid : array_like, shape (g,), optional
            Values of tau2, at least 0. Default: from 0 to four times the estimate.
        level : float, optional
            Level of the intervals of the coefficients.

        Returns
        -------
        Tau2Profile
            Log-likelihoods and coefficients, with `to_frame()`.

        Raises
        ------
        InputError
            If a value is negative.
        """
        from metaexo.models.profile import profile_tau2

        return profile_tau2(cast("RandomEffectsResults", self), grid, level)

    def heteroscedasticity_test(self, kind: str = "score") -> TestResult:
        """Test whether one between-study variance fits all studies.

        Use it to ask whether tau2 itself varies, before :class:`metaexo.LocationScale` asks with what. With
        as many variances as studies the chi-square distribution is a rough guide only.

        Parameters
        ----------
        kind : {"score", "likelihood-ratio"}
            The likelihood-ratio test needs an ML fit without moderators.

        Returns
        -------
        TestResult
            Statistic on k - 1 degrees of freedom.

        Raises
        ------
        InputError
            If the fit is not by ML or REML.

        References
        ----------
        Harville, D. A. (1977). https://doi.org/10.1080/01621459.1977.10480998
        """
        from metaexo.models.heteroscedasticity import heteroscedasticity_test

        return heteroscedasticity_test(cast("RandomEffectsResults", self), kind)

    def henmi_copas(self, level: float | None = None) -> HenmiCopas:
        """Return the interval of Henmi and Copas, for a fit without moderators.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        HenmiCopas
            Fixed-effect estimate with an interval that allows for heterogeneity.

        Raises
        ------
        InputError
            If the fit has moderators.

        References
        ----------
        Henmi, M., Copas, J. B. (2010). https://doi.org/10.1002/sim.4029
        """
        from metaexo.errors import InputError
        from metaexo.models.henmi_copas_interval import henmi_copas

        fit = cast("RandomEffectsResults", self)
        if fit.design.x is not None:
            raise InputError("this fit has moderators", "a fit without moderators")
        return henmi_copas(fit.effects, fit.level if level is None else level)

    def variance_model(self) -> VarianceModel:
        """Return how the between-study variance depends on parameters, for likelihood-ratio tests."""
        from metaexo.models.likelihood_ratio import VarianceModel

        fit = cast("RandomEffectsResults", self)
        if fit.method == "EE" or fit.tau2_given:
            return VarianceModel("none", np.empty((fit.k, 0)), fit.tau2)
        return VarianceModel("identity", np.ones((fit.k, 1)))
