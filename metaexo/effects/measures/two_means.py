"""Two independent groups with means: differences, raw and standardised, and what they amount to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from metaexo.effects.conversions.d import D_OF_T, T_OF_F
from metaexo.effects.conversions.odds import FACTORS
from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure
from metaexo.effects.papers import BONETT, HEDGES_1981, JACOBS

FAMILY = "two groups, means"
MEANS = ("treatment_mean", "treatment_sd", "treatment_n", "control_mean", "control_sd", "control_n")
SIZES = ("treatment_n", "control_n")

POOLED_SD = "sp = sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))"
D = f"""{POOLED_SD}
d = (m1 - m2) / sp"""
OF_D: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("from d", ("d",), ""),
    ("d from t", ("t",), D_OF_T),
    ("d from F", ("f", "direction"), f"{T_OF_F}\n{D_OF_T}"),
    (
        "d from exact p",
        ("p_value", "direction"),
        f"t = direction * t_of_p(p, n1 + n2 - 2)\n{D_OF_T}",
    ),
    (
        "d from point-biserial r",
        ("point_biserial",),
        "h = (n1 + n2 - 2) * (1 / n1 + 1 / n2)\nd = sqrt(h) * r_pb / sqrt(1 - r_pb**2)",
    ),
)
"""Other ways to d, the difference over the pooled SD: name, inputs beside the sizes, lines."""


def through_d(core: str, variance: Mapping[str, str] | str, own: Route | None = None) -> tuple[Route, ...]:
    """Return the routes of a measure that is a function of d and the sizes of two groups.

    `core` leads from d to y, `variance` to the variance by its type; `own` is the route from means and
    standard deviations, if it does not go through d.
    """
    first = own or Route(MEANS, f"{D}\n{core}", variance)
    return first, *(
        Route((*inputs, *SIZES), f"{lines}\n{core}", variance, name) for name, inputs, lines in OF_D
    )


# ---------------------------------------------------------------- differences

DIFFERENCE = "y = m1 - m2"
SE_OF_T = "v = (y / t)**2"
KINDS_OF_MD = ("LS", "UB", "HO")

HEDGES = """m = n1 + n2 - 2
J = hedges(m) | 1
g = J * d
y = g"""
GLASS = """d = (m1 - m2) / s2
m = n2 - 1
J = hedges(m) | 1
g = J * d
y = g"""
AVERAGE_SD = "s_a = sqrt((s1**2 + s2**2) / 2)"
UNBIASED = "v = 1 / n1 + 1 / n2 + (1 - (m - 2) / (m * J**2)) * g**2"
NO_EFFECT = "v = J**2 * m / (m - 2) * (1 / n1 + 1 / n2) if m > 2 else nan"


def unequal_sds(effect: str) -> dict[str, str]:
    """Return the variance of a difference over the average SD, the SDs not assumed equal, by its type."""
    template = "{0}**2 * (s1**4 / {1} + s2**4 / {2}) / (8 * s_a**4) + (s1**2 / {3} + s2**2 / {4}) / s_a**2"
    less, full = ("(n1 - 1)", "(n2 - 1)"), ("n1", "n2")
    return {
        kind: template.format(effect, *of_sds, *of_means)
        for kind, of_sds, of_means in (("LS", less, less), ("LS2", full, full), ("LS3", less, full))
    }


_difference = partial(Measure, family=FAMILY, null=0.0, display="Standardised mean difference")

DIFFERENCES = (
    Measure(
        code="MD",
        name="mean difference",
        family=FAMILY,
        use="All studies measure on one scale. UB is LS; HO takes one standard deviation for both groups.",
        routes=(
            Route(
                MEANS,
                DIFFERENCE,
                {
                    "LS": "v = s1**2 / n1 + s2**2 / n2",
                    "UB": "v = s1**2 / n1 + s2**2 / n2",
                    "HO": f"{POOLED_SD}\nv = sp**2 * (1 / n1 + 1 / n2)",
                },
            ),
            Route(
                ("treatment_mean", "control_mean", "t"),
                DIFFERENCE,
                dict.fromkeys(KINDS_OF_MD, SE_OF_T),
                "SE from t",
            ),
            Route(
                ("treatment_mean", "control_mean", "p_value", *SIZES),
                DIFFERENCE,
                dict.fromkeys(KINDS_OF_MD, f"t = t_of_p(p, n1 + n2 - 2)\n{SE_OF_T}"),
                "SE from exact p",
            ),
        ),
        null=0.0,
        display="Mean difference",
        papers=("Bonett (2009), Psychological Methods 14, 225-238, doi:10.1037/a0016619.",),
    ),
    _difference(
        code="SMD",
        name="standardised mean difference (Hedges' g)",
        use="Studies measure the same thing on different scales. UB is unbiased; AV takes the average effect "
        "over all studies; H0 is exact if there is no effect. Without the correction it is Cohen's d.",
        routes=through_d(
            HEDGES,
            {
                "LS": "v = 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))",
                "LS2": "v = J**2 * (1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2)))",
                "UB": UNBIASED,
                "AV": "g_all = average(g, n1 + n2)\nv = 1 / n1 + 1 / n2 + g_all**2 / (2 * (n1 + n2))",
                "H0": NO_EFFECT,
            },
        ),
        papers=(
            HEDGES_1981,
            "Hedges (1982), Psychological Bulletin 92, 490-499, doi:10.1037/0033-2909.92.2.490.",
        ),
    ),
    _difference(
        code="SMDH",
        name="standardised mean difference, average SD",
        use="In place of Hedges' g when the standard deviations of the groups differ.",
        routes=(
            Route(
                MEANS,
                f"{AVERAGE_SD}\nd = (m1 - m2) / s_a\nJ = hedges(n1 + n2 - 2) | 1\ng = J * d\ny = g",
                {kind: f"v = {v}" for kind, v in unequal_sds("g").items()},
            ),
        ),
        papers=(BONETT,),
    ),
    _difference(
        code="SMD1",
        name="standardised mean difference, SD of the controls (Glass' delta)",
        use="Treatment changes the standard deviation, so that only untreated people show the natural one.",
        routes=(
            Route(
                ("treatment_mean", "treatment_n", "control_mean", "control_sd", "control_n"),
                GLASS,
                {
                    "LS": "v = 1 / n1 + 1 / n2 + g**2 / (2 * n2)",
                    "LS2": "v = J**2 * (1 / n1 + 1 / n2 + d**2 / (2 * n2))",
                    "UB": UNBIASED,
                    "AV": "g_all = average(g, n1 + n2)\nv = 1 / n1 + 1 / n2 + g_all**2 / (2 * n2)",
                    "H0": NO_EFFECT,
                },
            ),
        ),
        papers=("Glass (1976), Educational Researcher 5(10), 3-8, doi:10.3102/0013189X005010003.",),
    ),
    _difference(
        code="SMD1H",
        name="standardised mean difference, SD of the controls, unequal SDs",
        use="Glass' delta with a variance that does not assume equal standard deviations.",
        routes=(
            Route(MEANS, GLASS, "v = s1**2 / (s2**2 * (n1 - 1)) + 1 / (n2 - 1) + g**2 / (2 * (n2 - 1))"),
        ),
        papers=(BONETT,),
    ),
)

# ---------------------------------------------------------------- as correlations and log odds ratios

V_OF_D = "vd = 1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2))"
FISHER_Z_V = "v = v_r / (1 - r**2)**2 if abs(r) < 1 else nan"
POINT = """h = (n1 + n2 - 2) / n1 + (n1 + n2 - 2) / n2
r = d / sqrt(d**2 + h)"""
FIXED_SIZES = f"{V_OF_D}\nv_r = h**2 / (d**2 + h)**3 * vd"
POINT_V = {
    "ST": FIXED_SIZES,
    "LS": FIXED_SIZES,
    "CS": "q = n1 / (n1 + n2)\nv_r = (1 - r**2)**2 * (1 - 1.5 * r**2 + r**2 / (4 * q * (1 - q))) / (n1 + n2)",
}
BISERIAL = f"""{POINT.replace("r = ", "rp = ")}
q1 = n1 / (n1 + n2)
q2 = n2 / (n1 + n2)
zq = z(q1)
f = exp(-zq**2 / 2) / sqrt(2 * pi)
r = sqrt(q1 * q2) / f * rp"""
BISERIAL_V = """rc = smaller(abs(r), 1)
v_r = (q1 * q2 / f**2 - (1.5 + (1 + q1 * zq / f) * (1 - q2 * zq / f)) * rc**2 + rc**4) / (n1 + n2 - 1)"""

TATE = "Tate (1954), Annals of Mathematical Statistics 25, 603-607, doi:10.1214/aoms/1177728730."
SOPER = "Soper (1914), Biometrika 10, 384-390, doi:10.1093/biomet/10.2-3.384."
TO_Z = "y = atanh(r) if abs(r) <= 1 else nan"

_correlation = partial(Measure, family=FAMILY, null=0.0, display="Correlation")
AS_CORRELATIONS = (
    _correlation(
        code="RPB",
        name="point-biserial correlation",
        use="Brings two-group studies into a synthesis of correlations when group membership is a true "
        "dichotomy. ST (and LS) takes the group sizes as fixed by design, CS only their total.",
        routes=through_d(f"{POINT}\ny = r", {kind: f"{v}\nv = v_r" for kind, v in POINT_V.items()}),
        papers=(JACOBS, TATE),
    ),
    _correlation(
        code="ZPB",
        name="point-biserial correlation, Fisher's z",
        use="As RPB, on the scale on which correlations are usually pooled.",
        routes=through_d(f"{POINT}\n{TO_Z}", {kind: f"{v}\n{FISHER_Z_V}" for kind, v in POINT_V.items()}),
        back=np.tanh,
        papers=(JACOBS, TATE),
    ),
    _correlation(
        code="RBIS",
        name="biserial correlation",
        use="The groups come from cutting a continuous variable in two. An estimate beyond -1 or 1 is kept, "
        "and cut to -1 or 1 in its variance.",
        routes=through_d(f"{BISERIAL}\ny = r", f"{BISERIAL_V}\nv = v_r"),
        papers=(JACOBS, SOPER),
    ),
    _correlation(
        code="ZBIS",
        name="biserial correlation, Fisher's z",
        use="As RBIS, on the scale on which correlations are usually pooled; none where the estimate lies "
        "beyond -1 or 1.",
        routes=through_d(f"{BISERIAL}\n{TO_Z}", f"{BISERIAL_V}\n{FISHER_Z_V}"),
        back=np.tanh,
        papers=(JACOBS, SOPER),
    ),
)

HASSELBLAD = (
    "Hasselblad & Hedges (1995), Psychological Bulletin 117, 167-178, doi:10.1037/0033-2909.117.1.167."
)
CHINN = (
    "Chinn (2000), Statistics in Medicine 19, 3127-3131, "
    "doi:10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M."
)
COX = "Cox & Snell (1989), Analysis of Binary Data, 2nd ed., doi:10.1201/9781315137391 (the factor 1.65)."
SCALES = {
    end: (shape, FACTORS[shape]) for end, shape in (("", "logistic"), ("N", "normal"), ("L", "logistic"))
}
"""End of a code -> distribution behind the event, and log odds ratio per standard deviation."""

AS_ODDS_RATIOS = tuple(
    Measure(
        code=f"D2OR{end}",
        name=f"log odds ratio of a standardised mean difference ({shape} outcome)",
        family=FAMILY,
        use="Sets studies with means beside studies with events.",
        routes=through_d(f"c = {scale}\ny = c * d", f"{V_OF_D}\nv = c**2 * vd"),
        null=0.0,
        display="Odds ratio",
        back=np.exp,
        display_log=True,
        papers=(HASSELBLAD, CHINN, COX),
    )
    for end, (shape, scale) in SCALES.items()
)

MEASURES = (*DIFFERENCES, *AS_CORRELATIONS, *AS_ODDS_RATIOS)
