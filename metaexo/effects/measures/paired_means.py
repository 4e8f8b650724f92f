"""Two means of the same people: before and after, left and right, treated and untreated half.

`post` is the treated condition and `pre` the other; effects are post minus pre.
"""

from __future__ import annotations

from functools import partial

from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure
from metaexo.effects.measures.two_means import AVERAGE_SD, DIFFERENCE, SE_OF_T
from metaexo.effects.papers import BONETT

FAMILY = "one group twice, means"
PAIRED = ("post_mean", "post_sd", "pre_mean", "pre_sd", "n", "correlation")
CHANGE_V = "v_c = s1**2 + s2**2 - 2 * r * s1 * s2"  # variance of the changes of single people
T_OF_P = "t = direction * t_of_p(p, n - 1)"

# with d over an SD of n - 1 degrees of freedom
CORRECTED = """m = n - 1
J = hedges(m) | 1
g = J * d
y = g"""
OVER_CHANGE_SD = {
    "LS": "v = 1 / n + g**2 / (2 * n)",
    "LS2": "v = J**2 * (1 / n + d**2 / (2 * n))",
    "UB": "v = 1 / n + (1 - (m - 2) / (m * J**2)) * g**2",
    "H0": "v = J**2 * m / (m - 2) / n if m > 2 else nan",
}
OVER_PRE_SD = f"d = (m1 - m2) / s2\n{CORRECTED}"

AVERAGE_D = f"{AVERAGE_SD}\nd = (m1 - m2) / s_a"
AVERAGE_CORRECTED = """J = hedges(2 * (n - 1) / (1 + r**2)) | 1
g = J * d
y = g"""
AVERAGE_V = "v = 2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n)"
AVERAGE_D_OF_T = "d = t * sqrt(2 * (1 - r) / n)"


def unequal_paired(effect: str, divisor: str) -> str:
    """Return the variance of a change over the average SD, the two SDs not assumed equal."""
    of_sds = f"{effect}**2 * (s1**4 + s2**4 + 2 * (r * s1 * s2)**2) / (8 * s_a**4)"
    return f"{CHANGE_V}\nv = (v_c / s_a**2 + {of_sds}) / {divisor}"


_change = partial(Measure, family=FAMILY, null=0.0, display="Standardised mean change")

MEASURES = (
    Measure(
        code="MC",
        name="mean change",
        family=FAMILY,
        use="Split-face and before-after studies on one scale.",
        routes=(
            Route(PAIRED, DIFFERENCE, f"{CHANGE_V}\nv = v_c / n"),
            Route(("post_mean", "pre_mean", "t"), DIFFERENCE, SE_OF_T, "SE from paired t"),
            Route(
                ("post_mean", "pre_mean", "p_value", "n"),
                DIFFERENCE,
                f"t = t_of_p(p, n - 1)\n{SE_OF_T}",
                "SE from exact paired p",
            ),
        ),
        null=0.0,
        display="Mean change",
        papers=("Morris & DeShon (2002), Psychological Methods 7, 105-125, doi:10.1037/1082-989X.7.1.105.",),
    ),
    _change(
        code="SMCC",
        name="standardised mean change (SD of the changes)",
        use="Only change scores are of interest; it is not comparable with a standardised difference of two "
        "independent groups. UB is unbiased; H0 is exact if there is no effect.",
        routes=(
            Route(PAIRED, f"{CHANGE_V}\nd = (m1 - m2) / sqrt(v_c)\n{CORRECTED}", OVER_CHANGE_SD),
            Route(("d", "n"), CORRECTED, OVER_CHANGE_SD, "from d"),
            Route(("t", "n"), f"d = t / sqrt(n)\n{CORRECTED}", OVER_CHANGE_SD, "d from paired t"),
            Route(
                ("p_value", "direction", "n"),
                f"{T_OF_P}\nd = t / sqrt(n)\n{CORRECTED}",
                OVER_CHANGE_SD,
                "d from exact paired p",
            ),
        ),
        papers=(
            "Gibbons, Hedeker & Davis (1993), Journal of Educational Statistics 18, 271-279, "
            "doi:10.3102/10769986018003271.",
        ),
    ),
    _change(
        code="SMCR",
        name="standardised mean change (SD before treatment)",
        use="Treatment may change the standard deviation, so that only the first measurement shows the "
        "natural one. UB and H0 take the unbiased estimate of the correlation, which needs more than 4 "
        "people.",
        routes=(
            Route(
                ("post_mean", "pre_mean", "pre_sd", "n", "correlation"),
                OVER_PRE_SD,
                {
                    "LS": "v = 2 * (1 - r) / n + g**2 / (2 * n)",
                    "LS2": "v = J**2 * (2 * (1 - r) / n + d**2 / (2 * n))",
                    "UB": "u = unbiased(r, n)\nv = 2 * (1 - u) / n + (1 - (m - 2) / (m * J**2)) * g**2",
                    "H0": "u = unbiased(r, n)\nv = J**2 * m / (m - 2) * 2 * (1 - u) / n",
                },
            ),
        ),
        papers=(
            "Becker (1988), British Journal of Mathematical and Statistical Psychology 41, 257-278, "
            "doi:10.1111/j.2044-8317.1988.tb00901.x.",
        ),
    ),
    _change(
        code="SMCRH",
        name="standardised mean change (SD before treatment), unequal SDs",
        use="As SMCR, the two standard deviations not assumed equal.",
        routes=(
            Route(
                PAIRED,
                OVER_PRE_SD,
                {
                    "LS": f"{CHANGE_V}\nv = (v_c / s2**2 + g**2 / 2) / (n - 1)",
                    "LS2": f"{CHANGE_V}\nv = (v_c / s2**2 + g**2 / 2) / n",
                },
            ),
        ),
        papers=(BONETT,),
    ),
    _change(
        code="SMCRP",
        name="standardised mean change (average SD)",
        use="Sets paired studies beside studies of two independent groups on one standardised scale. From a "
        "paired t it is exact when the two conditions have one standard deviation.",
        routes=(
            Route(PAIRED, f"{AVERAGE_D}\n{AVERAGE_CORRECTED}", AVERAGE_V),
            Route(
                ("t", "n", "correlation"),
                f"{AVERAGE_D_OF_T}\n{AVERAGE_CORRECTED}",
                AVERAGE_V,
                "d from paired t",
            ),
            Route(
                ("p_value", "direction", "n", "correlation"),
                f"{T_OF_P}\n{AVERAGE_D_OF_T}\n{AVERAGE_CORRECTED}",
                AVERAGE_V,
                "d from exact paired p",
            ),
        ),
        papers=(
            "Cousineau (2020), The Quantitative Methods for Psychology 16, 418-421, "
            "doi:10.20982/tqmp.16.4.p418.",
            "Dunlap, Cortina, Vaslow & Burke (1996), Psychological Methods 1, 170-177, "
            "doi:10.1037/1082-989X.1.2.170 (from t).",
        ),
    ),
    _change(
        code="SMCRPH",
        name="standardised mean change (average SD), unequal SDs",
        use="As SMCRP, the two standard deviations not assumed equal.",
        routes=(
            Route(
                PAIRED,
                f"{AVERAGE_D}\n{AVERAGE_CORRECTED}",
                {"LS": unequal_paired("g", "(n - 1)"), "LS2": unequal_paired("g", "n")},
            ),
        ),
        papers=(BONETT,),
    ),
)
