"""What a model of censored evidence adds to the summary of a fit."""

from __future__ import annotations

import numpy as np

from metaexo.formatting import interval, number, percent, text_table
from metaexo.models.censored.effects import count_in_words
from metaexo.models.censored.evidence import contributions
from metaexo.models.censored.fit import CENSORED_TESTS, CensoredFit
from metaexo.models.censored.heterogeneity import heterogeneity_test
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.censored.limits import coefficient_limits
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array

CRITERIA = {
    "REML": "restricted maximum likelihood, coefficients integrated out by Laplace's method",
    "ML": "maximum likelihood",
}


def profile_bounds(fit: CensoredFit, level: float) -> tuple[Array, Array]:
    """Return the ends of the profile-likelihood intervals of the coefficients, each of shape (p,)."""
    drop = 0.5 * normal_quantile(level) ** 2
    x, known = fit.design.matrix(fit.k), fit.tau2 if fit.tau2_given else None
    ends = [coefficient_limits(fit.batch, x, j, drop, known) for j in range(fit.design.p)]
    return np.array([low[0] for low, _ in ends]), np.array([high[0] for _, high in ends])


def family_lines(fit: CensoredFit) -> FamilyLines:
    """Return evidence, estimator and test in words, the profile interval, and what the kinds contribute."""
    pooled = []
    if fit.design.x is None:
        low, high = profile_bounds(fit, fit.level)
        pooled = [f"profile-likelihood interval {interval(low[0], high[0], 4)}"]
    table = contributions(fit)
    header = ["kind", "k", "effective", "of the mean", "of tau2"]
    rows = [
        [
            str(kind),
            f"{row['k']:.0f}",
            number(row["effective"], 1),
            percent(row["share"]),
            percent(row["tau2_share"]),
        ]
        for kind, row in table.iterrows()
    ]
    data = [
        f"equivalent to {number(fit.effective, 1)} exact effects of {fit.k}; shares of the information:",
        text_table(rows, header),
    ]
    return FamilyLines(
        model="Random-effects model",
        tests=CENSORED_TESTS[fit.test],
        fitted=(
            f"evidence: {count_in_words(fit.kinds)}",
            f"tau2: {'given' if fit.tau2_given else CRITERIA[fit.method]}",
        ),
        pooled=tuple(pooled),
        heterogeneity=(f"likelihood ratio: {heterogeneity_test(fit)}",),
        data=tuple(data),
        certificate=tuple(_certificate(fit)),
    )


def _certificate(fit: CensoredFit) -> list[str]:
    found = fit.certificate
    lines = []
    if not fit.tau2_given:
        boundary = "at the boundary tau2 = 0, where no positive value fits better"
        lines.append(boundary if found.at_boundary else "converged")
        of = "" if found.maxima == 1 else f": the highest of {found.maxima} local maxima"
        lines.append(f"highest maximum of a fine scan{of}")
    if fit.effective < 5:
        lines.append(
            f"equivalent to only {number(fit.effective, 1)} effects: tau and prediction interval rest on "
            "very little"
        )
    return lines
