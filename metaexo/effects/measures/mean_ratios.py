"""Ratios of means, of coefficients of variation and of standard deviations, on the log scale."""

from __future__ import annotations

from functools import partial

import numpy as np

from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure
from metaexo.effects.measures.paired_means import PAIRED
from metaexo.effects.measures.two_means import MEANS, POOLED_SD

MEAN, CV, SD = "Ratio of means", "Ratio of coefficients of variation", "Ratio of standard deviations"

CVS = """cv1 = s1 / m1
cv2 = s2 / m2"""
LOG_RATIO = {
    MEAN: "log(m1 / m2){} if m1 / m2 > 0 else nan",
    CV: "log(cv1 / cv2){} if cv1 / cv2 > 0 else nan",
    SD: "log(s1 / s2){} if s1 / s2 > 0 else nan",
}
NAKAGAWA = "Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152, doi:10.1111/2041-210X.12309."
SENIOR = (
    "Senior, Viechtbauer & Nakagawa (2020), Research Synthesis Methods 11, 553-567, doi:10.1002/jrsm.1423."
)

_ratio = partial(Measure, null=0.0, back=np.exp, display_log=True)
_of_groups = partial(_ratio, family="two groups, means")
_of_pairs = partial(_ratio, family="one group twice, means")

OF_GROUPS = (
    _of_groups(
        code="ROM",
        name="log ratio of means",
        use="Outcomes with a true zero whose change is naturally in per cent: concentrations, areas, counts. "
        "Both means must have one sign. AV averages each group's coefficient of variation over the studies, "
        "AVHO takes one average for both groups, HO the pooled standard deviation.",
        routes=(
            Route(
                MEANS,
                f"{CVS}\nbias = (cv1**2 / n1 - cv2**2 / n2) / 2 | 0\ny = {LOG_RATIO[MEAN].format(' + bias')}",
                {
                    "LS": "v = cv1**2 / n1 + cv2**2 / n2",
                    "LS2": "v = cv1**2 / n1 + cv2**2 / n2 + cv1**4 / (2 * n1**2) + cv2**4 / (2 * n2**2)",
                    "HO": f"{POOLED_SD}\nv = sp**2 * (1 / (n1 * m1**2) + 1 / (n2 * m2**2))",
                    "AV": "c1 = average(abs(cv1), n1)\nc2 = average(abs(cv2), n2)\n"
                    "v = c1**2 / n1 + c2**2 / n2",
                    "AVHO": "c = average_of_both(abs(cv1), n1, abs(cv2), n2)\nv = c**2 * (1 / n1 + 1 / n2)",
                },
            ),
        ),
        display=MEAN,
        papers=(
            "Hedges, Gurevitch & Curtis (1999), Ecology 80, 1150-1156, doi:10.2307/177062.",
            "Lajeunesse (2015), Ecology 96, 2056-2063, doi:10.1890/14-2402.1.",
            "Nakagawa et al. (2023), Ecology Letters 26, 232-244, doi:10.1111/ele.14144.",
        ),
    ),
    _of_groups(
        code="CVR",
        name="log ratio of coefficients of variation",
        use="Asks whether a treatment changes the variability relative to the mean: whether one isolation "
        "method is more repeatable than another, for example. The means must have one sign.",
        routes=(
            Route(
                MEANS,
                f"""{CVS}
bias = (1 / (n1 - 1) - 1 / (n2 - 1)) / 2 - (cv1**2 / n1 - cv2**2 / n2) / 2 | 0
y = {LOG_RATIO[CV].format(" + bias")}""",
                {
                    "LS": "v = cv1**2 / n1 + 1 / (2 * (n1 - 1)) + cv2**2 / n2 + 1 / (2 * (n2 - 1))",
                    "LS2": "v = cv1**2 / n1 + cv1**4 / (2 * n1**2) + n1 / (2 * (n1 - 1)**2)"
                    " + cv2**2 / n2 + cv2**4 / (2 * n2**2) + n2 / (2 * (n2 - 1)**2)",
                },
            ),
        ),
        display=CV,
        papers=(NAKAGAWA, SENIOR),
    ),
    _of_groups(
        code="VR",
        name="log ratio of standard deviations",
        use="Compares the variability of two groups whose means do not differ, or whose variability does not "
        "follow the mean.",
        routes=(
            Route(
                ("treatment_sd", "treatment_n", "control_sd", "control_n"),
                f"bias = (1 / (n1 - 1) - 1 / (n2 - 1)) / 2 | 0\ny = {LOG_RATIO[SD].format(' + bias')}",
                {
                    "LS": "v = 1 / (2 * (n1 - 1)) + 1 / (2 * (n2 - 1))",
                    "LS2": "v = n1 / (2 * (n1 - 1)**2) + n2 / (2 * (n2 - 1)**2)",
                },
            ),
        ),
        display=SD,
        papers=(NAKAGAWA, SENIOR),
    ),
)

# ---------------------------------------------------------------- the same people under two conditions

V_MEANS = "(cv1**2 + cv2**2 - 2 * r * cv1 * cv2) / n"
V_MEANS_2 = f"{V_MEANS} + (cv1**4 + cv2**4 + (r * s1 * s2)**2 * (1 / m1**4 + 1 / m2**4)) / (2 * n**2)"
V_SDS = "(1 - r**2) / (n - 1)"
V_SDS_2 = "n / (n - 1)**2 - r**2 / (n - 1) + r**4 * ((s1 / s2)**4 + (s2 / s1)**4) / (2 * (n - 1)**2)"
PAIRED_BIAS = f"{CVS}\nbias = (cv1**2 - cv2**2) / (2 * n) | 0"

OF_PAIRS = (
    _of_pairs(
        code="ROMC",
        name="log ratio of means, same people",
        use="As ROM, for paired conditions.",
        routes=(
            Route(
                PAIRED,
                f"{PAIRED_BIAS}\ny = {LOG_RATIO[MEAN].format(' + bias')}",
                {"LS": f"v = {V_MEANS}", "LS2": f"v = {V_MEANS_2}"},
            ),
        ),
        display=MEAN,
        papers=(SENIOR, "Lajeunesse (2011), Ecology 92, 2049-2055, doi:10.1890/11-0423.1."),
    ),
    _of_pairs(
        code="CVRC",
        name="log ratio of coefficients of variation, same people",
        use="As CVR, for paired conditions.",
        routes=(
            Route(
                PAIRED,
                f"{PAIRED_BIAS}\ny = {LOG_RATIO[CV].format(' - bias')}",
                {"LS": f"v = {V_MEANS} + {V_SDS}", "LS2": f"v = {V_MEANS_2} + {V_SDS_2}"},
            ),
        ),
        display=CV,
        papers=(SENIOR,),
    ),
    _of_pairs(
        code="VRC",
        name="log ratio of standard deviations, same people",
        use="As VR, for paired conditions.",
        routes=(
            Route(
                ("post_sd", "pre_sd", "n", "correlation"),
                f"y = {LOG_RATIO[SD].format('')}",
                {"LS": f"v = {V_SDS}", "LS2": f"v = {V_SDS_2}"},
            ),
        ),
        display=SD,
        papers=(SENIOR,),
    ),
)

MEASURES = (*OF_GROUPS, *OF_PAIRS)
