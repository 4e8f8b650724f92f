"""One group: means and standard deviations, proportions, reliabilities, genotypes."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import expit, ndtr

from metaexo.effects.conversions.scales import DOUBLE_ARCSINE, TRANSFORMATIONS, inverse_double_arcsine
from metaexo.effects.formulas import Route
from metaexo.effects.measure import BackBySize, Measure
from metaexo.effects.measures.events import SANCHEZ
from metaexo.effects.measures.mean_ratios import NAKAGAWA
from metaexo.effects.papers import FREEMAN_TUKEY, HEDGES_1981, MILLER
from metaexo.types import Array

INPUTS = ("mean", "sd", "n")
EVENTS = ("events", "n")
ALPHA = ("alpha", "items", "n")
NONE = float("nan")

# ---------------------------------------------------------------- means and standard deviations

_mean = partial(Measure, family="one group, means", null=NONE, orientation="none")
_log_of_mean = partial(_mean, back=np.exp, display_log=True)
SD_BIAS = "bias = 1 / (2 * (n - 1)) | 0"

MEANS = (
    _mean(
        code="MN",
        name="mean",
        use="Particle sizes, yields and the like. HO pools the standard deviations of all studies.",
        routes=(
            Route(
                INPUTS,
                "y = m",
                {"LS": "v = s**2 / n", "HO": "v_all = average(s**2, n - 1)\nv = v_all / n"},
            ),
        ),
        display="Mean",
        papers=(
            "Altman & Bland (2005), BMJ 331, 903, doi:10.1136/bmj.331.7521.903.",
            "Bland & Altman (1996), BMJ 312, 1654, doi:10.1136/bmj.312.7047.1654 (the pooled SD).",
        ),
    ),
    _mean(
        code="SMN",
        name="standardised mean",
        use="Changes or scores that differ in scale between studies.",
        routes=(Route(INPUTS, "J = hedges(n - 1) | 1\ng = J * m / s\ny = g", "v = 1 / n + g**2 / (2 * n)"),),
        null=0.0,
        display="Standardised mean",
        orientation="negate",
        papers=(HEDGES_1981,),
    ),
    _log_of_mean(
        code="MNLN",
        name="log mean",
        use="Skewed positive quantities such as particle concentrations.",
        routes=(Route(INPUTS, "y = log(m) if m > 0 else nan", "v = s**2 / (n * m**2)"),),
        display="Mean",
        papers=("Hedges, Gurevitch & Curtis (1999), Ecology 80, 1150-1156, doi:10.2307/177062.",),
    ),
    _log_of_mean(
        code="CVLN",
        name="log coefficient of variation",
        use="The repeatability of a method.",
        routes=(
            Route(
                INPUTS,
                f"{SD_BIAS}\ny = log(s / m) + bias if s / m > 0 else nan",
                "v = 1 / (2 * (n - 1)) + s**2 / (n * m**2)",
            ),
        ),
        display="Coefficient of variation",
        papers=(NAKAGAWA,),
    ),
    _log_of_mean(
        code="SDLN",
        name="log standard deviation",
        use="The variability of a quantity whose standard deviation does not follow its mean.",
        routes=(
            Route(("sd", "n"), f"{SD_BIAS}\ny = log(s) + bias if s > 0 else nan", "v = 1 / (2 * (n - 1))"),
        ),
        display="Standard deviation",
        papers=(NAKAGAWA,),
    ),
)

# ---------------------------------------------------------------- proportions

SHARE = "P = x / n"
OVER_ALL = "P_all = average(P, n)"
SQUARED_SINE = TRANSFORMATIONS["arcsine"].inverse
SCHWARZER = (
    "Schwarzer & Rücker (2022), Methods in Molecular Biology 2345, 159-172, doi:10.1007/978-1-0716-1566-9_10."
)


def _size_of(v: Array) -> Array:
    """Return n of v = 1 / (4 n + 2), whatever was added to the counts; NaN where no group has such a v."""
    n = (1 / v - 2) / 4
    return np.where(n > 1 - 1e-9, np.maximum(n, 1.0), np.nan)


_proportion = partial(
    Measure,
    family="one group, events",
    null=NONE,
    display="Proportion",
    orientation="none",
    zero_cells=0.5,
)

PROPORTIONS = (
    _proportion(
        code="PR",
        name="proportion",
        use="Proportions far from 0 and 1; otherwise take PLO or PFT. UB is unbiased; AV takes the average "
        "over all studies in the variance.",
        routes=(
            Route(
                EVENTS,
                f"{SHARE}\ny = P",
                {
                    "LS": "v = P * (1 - P) / n",
                    "UB": "v = P * (1 - P) / (n - 1)",
                    "AV": f"{OVER_ALL}\nv = P_all * (1 - P_all) / n",
                },
            ),
        ),
        papers=(SCHWARZER,),
    ),
    _proportion(
        code="PLN",
        name="log proportion",
        use="Risks are to be compared as ratios; the upper end 1 is not respected.",
        routes=(
            Route(
                EVENTS,
                f"{SHARE}\ny = log(P)",
                {"LS": "v = (1 - P) / (n * P)", "AV": f"{OVER_ALL}\nv = (1 - P_all) / (n * P_all)"},
            ),
        ),
        back=np.exp,
        papers=(SCHWARZER,),
    ),
    _proportion(
        code="PLO",
        name="logit proportion",
        use="The usual scale for proportions of any size.",
        routes=(
            Route(
                EVENTS,
                f"{SHARE}\ny = log(x / (n - x))",
                {
                    "LS": "v = 1 / (n * P * (1 - P))",
                    "AV": f"{OVER_ALL}\nv = 1 / (n * P_all * (1 - P_all))",
                },
            ),
        ),
        back=expit,
        papers=(
            "Stijnen, Hamza & Özdemir (2010), Statistics in Medicine 29, 3046-3067, doi:10.1002/sim.4040.",
        ),
    ),
    _proportion(
        code="PRZ",
        name="probit proportion",
        use="The event is a threshold on something that is normally distributed.",
        routes=(Route(EVENTS, f"{SHARE}\ny = z(P)", "v = 2 * pi * exp(y**2) * P * (1 - P) / n"),),
        back=ndtr,
        papers=(SANCHEZ, "Finney (1971), Probit Analysis, 3rd ed., Cambridge University Press."),
    ),
    _proportion(
        code="PAS",
        name="arcsine proportion",
        use="Small proportions when zeros occur and no correction is wanted; the variance does not depend on "
        "the proportion.",
        routes=(Route(EVENTS, "y = arcsin(sqrt(x / n))", "v = 1 / (4 * n)"),),
        back=SQUARED_SINE,
        zero_cells=0.0,
        papers=(
            "Rücker, Schwarzer & Carpenter (2009), Statistics in Medicine 28, 721-738, doi:10.1002/sim.3511.",
        ),
    ),
    _proportion(
        code="PFT",
        name="double arcsine proportion",
        use="Proportions with zeros. The way back to a proportion needs a sample size: each study is shown "
        "with its own, a pooled value with the harmonic mean of the studies' sizes.",
        routes=(
            Route(
                EVENTS,
                DOUBLE_ARCSINE,
                "v = 1 / (4 * n + 2)",
            ),
        ),
        back=SQUARED_SINE,
        zero_cells=0.0,
        by_size=BackBySize(inverse_double_arcsine, _size_of),
        papers=(FREEMAN_TUKEY, MILLER),
    ),
)

# ---------------------------------------------------------------- reliability and genotypes


def _from_cube_root(y: Array) -> Array:
    return np.asarray(1 - (1 - np.asarray(y, dtype=float)) ** 3)


def _from_log(y: Array) -> Array:
    return np.asarray(-np.expm1(-np.asarray(y, dtype=float)))


V_OF_LOG = "2 * items / ((items - 1) * (n - 2))"
_reliability = partial(
    Measure, family="one scale, reliability", null=NONE, display="Reliability", orientation="none"
)

RELIABILITY = (
    _reliability(
        code="ARAW",
        name="reliability (alpha)",
        use="Cronbach's alpha as it is.",
        routes=(Route(ALPHA, "y = alpha", f"v = (1 - alpha)**2 * ({V_OF_LOG})"),),
        papers=("Bonett (2010), Psychological Methods 15, 368-385, doi:10.1037/a0020142.",),
    ),
    _reliability(
        code="AHW",
        name="reliability, cube-root transform",
        use="Grows with alpha and is closer to normal.",
        routes=(
            Route(
                ALPHA,
                "c = cbrt(1 - alpha)\ny = 1 - c",
                "v = 18 * items * (n - 1) * c**2 / ((items - 1) * (9 * n - 11)**2)",
            ),
        ),
        back=_from_cube_root,
        papers=("Hakstian & Whalen (1976), Psychometrika 41, 219-231, doi:10.1007/BF02291840.",),
    ),
    _reliability(
        code="ABT",
        name="reliability, log transform",
        use="The variance does not depend on alpha.",
        routes=(Route(ALPHA, "y = -log1p(-alpha)", f"v = {V_OF_LOG}"),),
        back=_from_log,
        papers=(
            "Bonett (2002), Journal of Educational and Behavioral Statistics 27, 335-340, "
            "doi:10.3102/10769986027004335.",
        ),
    ),
)

GENOTYPES = (
    Measure(
        code="REH",
        name="log relative excess heterozygosity",
        family="one group, genotypes",
        use="Tests genotype counts against Hardy-Weinberg equilibrium, at which it is 0.",
        routes=(
            Route(
                ("homozygous_first", "heterozygous", "homozygous_second"),
                "y = log(h12 / (2 * sqrt(h1 * h2)))",
                "v = 1 / (4 * h1) + 1 / h12 + 1 / (4 * h2)",
            ),
        ),
        null=0.0,
        display="Relative excess heterozygosity",
        back=np.exp,
        display_log=True,
        papers=(
            "Ziegler, Van Steen & Wellek (2011), Breast Cancer Research and Treatment 127, 89-94, "
            "doi:10.1007/s10549-010-1224-3.",
        ),
    ),
)

MEASURES = (*MEANS, *PROPORTIONS, *RELIABILITY, *GENOTYPES)
