"""The probability that a treated person does better than an untreated one (common language effect, AUC)."""

from __future__ import annotations

from functools import partial

from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure
from metaexo.effects.measures.paired_means import AVERAGE_D, PAIRED, unequal_paired
from metaexo.effects.measures.two_means import (
    AVERAGE_SD,
    FAMILY,
    MEANS,
    POOLED_SD,
    SIZES,
    V_OF_D,
    D,
    through_d,
    unequal_sds,
)
from metaexo.effects.papers import BONETT, MCGRAW_WONG

SLOPE = "exp(-d**2 / 2) / (4 * pi)"  # the square of the derivative of Phi(d / sqrt(2))
Y_OF_D = "y = Phi(d / sqrt(2))"
DELTA = """delta = (m1 - m2) / sqrt(s1**2 + s2**2)
y = Phi(delta)"""
OF_ONE_SD = f"{V_OF_D}\nv = {SLOPE} * vd"
UNEQUAL = {
    kind: f"{AVERAGE_SD}\nd = delta * sqrt(2)\nv = {SLOPE} * ({v})" for kind, v in unequal_sds("d").items()
}
NO_EFFECT = f"""{AVERAGE_SD}
v = (s1**2 / (n1 - 1) + s2**2 / (n2 - 1)) / s_a**2 / (4 * pi) if smaller(n1, n2) > 1 else nan"""
KINDS = ("LS", "LS2", "LS3", "HO", "H0")

TWO_NORMALS = (
    *through_d(
        Y_OF_D,
        dict.fromkeys(KINDS, OF_ONE_SD),
        own=Route(MEANS, {"": DELTA, "HO": f"{D}\n{Y_OF_D}"}, {**UNEQUAL, "HO": OF_ONE_SD, "H0": NO_EFFECT}),
    ),
    Route(
        ("auc", "treatment_sd", "treatment_n", "control_sd", "control_n"),
        "y = A",
        {
            **{kind: f"delta = z(A)\n{v}" for kind, v in UNEQUAL.items()},
            "HO": f"{POOLED_SD}\nd = z(A) * sqrt(s1**2 + s2**2) / sp\n{OF_ONE_SD}",
            "H0": NO_EFFECT,
        },
        "variance from AUC and SDs",
    ),
    Route(
        ("auc", *SIZES),
        "y = A",
        dict.fromkeys(KINDS, f"d = sqrt(2) * z(A)\n{OF_ONE_SD}"),
        "variance from AUC",
    ),
)

AREA = """q1 = A / (2 - A) - A**2
q2 = 2 * A**2 / (1 + A) - A**2"""
PAIRS = "((n1 - 1) * (n2 - 1))"


def of_auc(*inputs: str) -> Route:
    """Return the route from a probability, with or without the share of ties."""
    ties = " - ties / 4" if "ties" in inputs else ""
    return Route(
        inputs,
        "y = A",
        {
            "LS": f"{AREA}\nv = (A * (1 - A) + ((n1 + n2) / 2 - 1) * (q1 + q2)) / {PAIRS}",
            "LS2": f"{AREA}\nv = (A * (1 - A){ties} + ((n1 - 1) * q1 + (n2 - 1) * q2)) / {PAIRS}",
            "H0": "v = (n1 + n2 + 1) / (12 * n1 * n2)",
            "MAX": "v = A * (1 - A) / (smaller(n1, n2) - 1)",
        },
    )


FREE = (of_auc("auc", *SIZES, "ties"), of_auc("auc", *SIZES))
USE_FREE = (
    "Areas under the ROC curve and Mann-Whitney statistics U / (n1 n2); the variance asks for no "
    "distribution. H0 is the variance if there is no effect, MAX the largest possible."
)
USE_NORMAL = (
    "States a mean difference of normal outcomes as a probability. HO takes one standard deviation for both "
    "groups, H0 the variance if there is no effect; from d, or from an AUC alone, one standard deviation is "
    "assumed."
)
HANLEY = "Hanley & McNeil (1982), Radiology 143, 29-36, doi:10.1148/radiology.143.1.7063747."
NEWCOMBE = "Newcombe (2006), Statistics in Medicine 25, 559-573, doi:10.1002/sim.2324."
RUSCIO = "Ruscio (2008), Psychological Methods 13, 19-30, doi:10.1037/1082-989X.13.1.19."
GODDARD = "Goddard & Hinberg (1990), Statistics in Medicine 9, 325-337, doi:10.1002/sim.4780090402."

_probability = partial(
    Measure, family=FAMILY, null=0.5, display="Probability of superiority", orientation="none"
)
_free = partial(_probability, use=USE_FREE, routes=FREE, papers=(NEWCOMBE, HANLEY))
_normal = partial(_probability, use=USE_NORMAL, routes=TWO_NORMALS, papers=(MCGRAW_WONG, RUSCIO, GODDARD))

MEASURES = (
    _free(code="CLES", name="probability of superiority"),
    _free(code="AUC", name="area under the ROC curve"),
    _normal(code="CLESN", name="probability of superiority, normal outcome"),
    _normal(code="AUCN", name="area under the ROC curve, normal outcome"),
    _probability(
        code="CLESCN",
        name="probability of superiority, normal outcome, same people",
        family="one group twice, means",
        use="As CLESN, from the same people under two conditions: the effect is that of two unpaired people, "
        "and its variance allows for the correlation.",
        routes=(
            Route(
                PAIRED,
                f"{AVERAGE_D}\n{Y_OF_D}",
                f"{unequal_paired('d', '(n - 1)').replace('v = ', 'vd = ')}\nv = {SLOPE} * vd",
            ),
        ),
        papers=(NEWCOMBE, BONETT),
    ),
)
