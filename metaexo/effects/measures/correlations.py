"""Correlations of two variables; correlations and shares of variance that come out of a regression."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure
from metaexo.effects.measures.two_means import FISHER_Z_V
from metaexo.types import Array

# ---------------------------------------------------------------- two variables

R_OF_T = "r = t / sqrt(t**2 + (n - 2)) if n > 2 else nan"
RAW_V = "v = (1 - {0}**2)**2 / (n - 1) if n > 3 else nan"


def by_r(core: str, variance: Mapping[str, str] | str) -> tuple[Route, ...]:
    """Return the routes of a measure of a correlation: from r, from t, from an exact p-value."""
    return (
        Route(("correlation", "n"), core, variance),
        Route(("t", "n"), f"{R_OF_T}\n{core}", variance, "correlation from t"),
        Route(
            ("p_value", "direction", "n"),
            f"t = direction * t_of_p(p, n - 2)\n{R_OF_T}\n{core}",
            variance,
            "correlation from exact p",
        ),
    )


HUNTER = "Hunter & Schmidt (2004), Methods of Meta-Analysis, 2nd ed., doi:10.4135/9781412985031."
_correlation = partial(Measure, family="one group, correlation", null=0.0, display="Correlation")

CORRELATIONS = (
    _correlation(
        code="COR",
        name="correlation",
        use="A product-moment correlation as it is. AV takes the average correlation over all studies in the "
        "variance; H0 (H0a) and H0b hold if there is no correlation. Needs more than 3 people.",
        routes=by_r(
            "y = r",
            {
                "LS": RAW_V.format("r"),
                "AV": f"r_all = average(r, n)\n{RAW_V.format('r_all')}",
                "H0": "v = (1 - r**2) / (n - 2) if n > 3 else nan",
                "H0a": "v = (1 - r**2) / (n - 2) if n > 3 else nan",
                "H0b": "v = 1 / n if n > 3 else nan",
            },
        ),
        papers=(HUNTER,),
    ),
    _correlation(
        code="UCOR",
        name="correlation, bias corrected",
        use="Small samples: the unbiased estimate of a correlation of two normal variables, from more than 4 "
        "people. UB is an unbiased variance.",
        routes=by_r(
            "u = unbiased(r, n)\ny = u",
            {
                "LS": RAW_V.format("u"),
                "UB": "v = u**2 - 1 + (n - 3) / (n - 2) * (1 - r**2) * hypergeometric(n / 2, 1 - r**2)"
                " if n > 3 else nan",
                "AV": f"u_all = average(u, n)\n{RAW_V.format('u_all')}",
            },
        ),
        papers=(
            "Olkin & Pratt (1958), Annals of Mathematical Statistics 29, 201-211, "
            "doi:10.1214/aoms/1177706717.",
        ),
    ),
    _correlation(
        code="ZCOR",
        name="correlation, Fisher's z",
        use="The usual scale for correlations: the variance does not depend on the correlation. Needs more "
        "than 3 people.",
        routes=by_r("y = atanh(r)", "v = 1 / (n - 3) if n > 3 else nan"),
        back=np.tanh,
        papers=(HUNTER, "Fisher (1921), Metron 1, 3-32."),
    ),
)

# ---------------------------------------------------------------- one predictor of a regression


def by_predictor(
    kind: str, inputs: tuple[str, ...], of_t: str, core: str, variance: Mapping[str, str] | str
) -> tuple[Route, ...]:
    """Return the routes of a measure of one predictor: from r, from its t, from an exact p-value."""
    rest = inputs[1:]
    return (
        Route(inputs, core, variance),
        Route(("t", *rest), f"{of_t}\n{core}", variance, f"{kind} correlation from t"),
        Route(
            ("p_value", "direction", *rest),
            f"t = direction * t_of_p(p, n - k - 1)\n{of_t}\n{core}",
            variance,
            f"{kind} correlation from exact p",
        ),
    )


_partial_routes = partial(
    by_predictor,
    "partial",
    ("partial", "n", "predictors"),
    "r = t / sqrt(t**2 + (n - k - 1)) if n - k - 1 > 0 else nan",
)
_semipartial_routes = partial(
    by_predictor,
    "semi-partial",
    ("semipartial", "n", "predictors", "r_squared"),
    "r = t * sqrt((1 - R2) / (n - k - 1))",
)
SEMI_V = """rest = R2 - {0}**2
{1} = (R2**2 - 2 * R2 + rest + 1 - rest**2) / n"""
ALOE_THOMPSON = (
    "Aloe & Thompson (2013), Journal of the Society for Social Work and Research 4, 390-405, "
    "doi:10.5243/jsswr.2013.24."
)
ALOE_BECKER = (
    "Aloe & Becker (2012), Journal of Educational and Behavioral Statistics 37, 278-297, "
    "doi:10.3102/1076998610396901."
)
_predictor = partial(Measure, family="regression, one predictor", null=0.0)
_partial = partial(_predictor, display="Partial correlation")
_semipartial = partial(_predictor, display="Semi-partial correlation", papers=(ALOE_BECKER,))

PREDICTORS = (
    _partial(
        code="PCOR",
        name="partial correlation",
        use="Studies report regressions rather than correlations. AV takes the average over all "
        "studies in the variance.",
        routes=_partial_routes(
            "y = r",
            {
                "LS": "v = (1 - r**2)**2 / (n - k)",
                "AV": "r_all = average(r, n)\nv = (1 - r_all**2)**2 / (n - k)",
            },
        ),
        papers=(ALOE_THOMPSON,),
    ),
    _partial(
        code="ZPCOR",
        name="partial correlation, Fisher's z",
        use="As PCOR, on the scale on which correlations are usually pooled.",
        routes=_partial_routes("y = atanh(r)", "v = 1 / (n - k - 2)"),
        back=np.tanh,
        papers=(ALOE_THOMPSON, "Fisher (1924), Metron 3, 329-332."),
    ),
    _semipartial(
        code="SPCOR",
        name="semi-partial correlation",
        use="The share of the outcome's variability that the predictor adds. AV takes the average over all "
        "studies in the variance.",
        routes=_semipartial_routes(
            "y = r",
            {
                "LS": SEMI_V.format("r", "v"),
                "AV": f"r_all = average(r, n)\n{SEMI_V.format('r_all', 'v')}",
            },
        ),
    ),
    _semipartial(
        code="ZSPCOR",
        name="semi-partial correlation, Fisher's z",
        use="As SPCOR, on the scale on which correlations are usually pooled.",
        routes=_semipartial_routes("y = atanh(r)", f"{SEMI_V.format('r', 'v_r')}\n{FISHER_Z_V}"),
        back=np.tanh,
    ),
)

# ---------------------------------------------------------------- all predictors of a regression


def by_r_squared(core: str, variance: Mapping[str, str] | str) -> tuple[Route, ...]:
    """Return the routes of a measure of R2: from R2, from F, from the exact p-value of F."""
    return (
        Route(("r_squared", "n", "predictors"), core, variance),
        Route(("f", "n", "predictors"), f"R2 = k * F / (k * F + n - k - 1)\n{core}", variance, "R2 from F"),
        Route(("p_value", "n", "predictors"), f"R2 = R2_of_p(p, n, k)\n{core}", variance, "R2 from exact p"),
    )


def _squared_tanh(z: Array) -> Array:
    return np.asarray(np.tanh(np.maximum(z, 0.0)) ** 2)


LARGE_V = "v = 4 * {0} * (1 - {0})**2 / n"
EXACT_V = "v = 4 * {0} * (1 - {0})**2 * (n - k - 1)**2 / ((n**2 - 1) * (n + 3))"
OVER_ALL = "R2_all = average(R2, n)"
FISHER_Z_OF_R = "y = atanh(sqrt(R2))"
OLKIN = "Olkin & Finn (1995), Psychological Bulletin 118, 155-164, doi:10.1037/0033-2909.118.1.155."
_share = partial(
    Measure,
    family="regression, all predictors",
    null=0.0,
    display="R2",
    orientation="none",
    papers=(OLKIN,),
)

SHARES = (
    _share(
        code="R2",
        name="R2",
        use="R2 as it is, for random predictors. AV and AV2 are LS and LS2 with the average R2 over "
        "all studies.",
        routes=by_r_squared(
            "y = R2",
            {
                "LS": LARGE_V.format("R2"),
                "LS2": EXACT_V.format("R2"),
                "AV": f"{OVER_ALL}\n{LARGE_V.format('R2_all')}",
                "AV2": f"{OVER_ALL}\n{EXACT_V.format('R2_all')}",
            },
        ),
    ),
    _share(
        code="ZR2",
        name="R2, Fisher's z of R",
        use="The multiple correlation R on the scale on which correlations are usually pooled.",
        routes=by_r_squared(FISHER_Z_OF_R, "v = 1 / n"),
        back=_squared_tanh,
    ),
    _share(
        code="R2F",
        name="R2, fixed predictors",
        use="Designed experiments, whose predictors were set and not drawn: the variance of the true share, "
        "given F, when every share is as likely beforehand.",
        routes=by_r_squared("y = R2", "v = variance_given_predictors(R2, n, k)"),
    ),
    _share(
        code="ZR2F",
        name="R2, Fisher's z of R, fixed predictors",
        use="As R2F, on the scale of Fisher's z.",
        routes=by_r_squared(FISHER_Z_OF_R, "v = variance_of_z_given_predictors(R2, n, k)"),
        back=_squared_tanh,
    ),
)

MEASURES = (*CORRELATIONS, *PREDICTORS, *SHARES)
