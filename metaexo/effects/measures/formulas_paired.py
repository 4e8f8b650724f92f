"""Recipes of the measures of one group that is measured twice, and of one group with a mean."""

from __future__ import annotations

from metaexo.effects.measures.recipes import recipe, write

CHANGE_SD = "s_c = sqrt(s1**2 + s2**2 - 2 * r * s1 * s2)"
T_OF_P = "t = direction * t_of_p(p, n - 1)"

write(
    "MC",
    "y = m1 - m2",
    f"{CHANGE_SD}\nv = s_c**2 / n",
    {
        "SE from paired t": recipe("y = m1 - m2", "v = (y / t)**2"),
        "SE from exact paired p": recipe("y = m1 - m2", "t = t_of_p(p, n - 1)\nv = (y / t)**2"),
    },
)

OF_CHANGE = "m = n - 1\nJ = hedges(m) | 1\ng = J * d\ny = g"
OF_CHANGE_V = {
    "LS": "v = 1 / n + g**2 / (2 * n)",
    "LS2": "v = J**2 * (1 / n + d**2 / (2 * n))",
    "UB": "v = 1 / n + (1 - (m - 2) / (m * J**2)) * g**2",
    "H0": "v = J**2 * m / (m - 2) / n",
}
write(
    "SMCC",
    f"{CHANGE_SD}\nd = (m1 - m2) / s_c\n{OF_CHANGE}",
    OF_CHANGE_V,
    {
        "from d": recipe(OF_CHANGE, OF_CHANGE_V),
        "d from paired t": recipe(f"d = t / sqrt(n)\n{OF_CHANGE}", OF_CHANGE_V),
        "d from exact paired p": recipe(f"{T_OF_P}\nd = t / sqrt(n)\n{OF_CHANGE}", OF_CHANGE_V),
    },
)
OF_PRE = "m = n - 1\nJ = hedges(m) | 1\nd = (m1 - m2) / s2\ng = J * d\ny = g"
write(
    "SMCR",
    OF_PRE,
    {
        "LS": "v = 2 * (1 - r) / n + g**2 / (2 * n)",
        "LS2": "v = J**2 * (2 * (1 - r) / n + d**2 / (2 * n))",
        "UB": "u = unbiased(r, n)\nv = 2 * (1 - u) / n + (1 - (m - 2) / (m * J**2)) * g**2",
        "H0": "u = unbiased(r, n)\nv = J**2 * m / (m - 2) * 2 * (1 - u) / n",
    },
)
write(
    "SMCRH",
    OF_PRE,
    {
        "LS": f"{CHANGE_SD}\nv = (s_c**2 / s2**2 + g**2 / 2) / (n - 1)",
        "LS2": f"{CHANGE_SD}\nv = (s_c**2 / s2**2 + g**2 / 2) / n",
    },
)

AVERAGE_SD = "s_a = sqrt((s1**2 + s2**2) / 2)\nd = (m1 - m2) / s_a"
OF_AVERAGE = "J = hedges(2 * (n - 1) / (1 + r**2)) | 1\ng = J * d\ny = g"
OF_AVERAGE_V = "v = 2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n)"
D_OF_T = "d = t * sqrt(2 * (1 - r) / n)"
write(
    "SMCRP",
    f"{AVERAGE_SD}\n{OF_AVERAGE}",
    OF_AVERAGE_V,
    {
        "d from paired t": recipe(f"{D_OF_T}\n{OF_AVERAGE}", OF_AVERAGE_V),
        "d from exact paired p": recipe(f"{T_OF_P}\n{D_OF_T}\n{OF_AVERAGE}", OF_AVERAGE_V),
    },
)
UNEQUAL = (
    f"{CHANGE_SD}\nv = (s_c**2 / s_a**2 + %s**2 * (s1**4 + s2**4 + 2 * (r * s1 * s2)**2) / (8 * s_a**4)) / %s"
)
write(
    "SMCRPH", f"{AVERAGE_SD}\n{OF_AVERAGE}", {"LS": UNEQUAL % ("g", "(n - 1)"), "LS2": UNEQUAL % ("g", "n")}
)
write(
    "CLESCN",
    f"{AVERAGE_SD}\ny = Phi(d / sqrt(2))",
    (UNEQUAL % ("d", "(n - 1)")).replace("v = ", "vd = ") + "\nv = exp(-d**2 / 2) / (4 * pi) * vd",
)

CVS = "cv1 = s1 / m1\ncv2 = s2 / m2"
OF_MEANS = "(cv1**2 + cv2**2 - 2 * r * cv1 * cv2) / n"
OF_MEANS_2 = f"{OF_MEANS} + (cv1**4 + cv2**4 + (r * s1 * s2)**2 * (1 / m1**4 + 1 / m2**4)) / (2 * n**2)"
OF_SDS = "(1 - r**2) / (n - 1)"
OF_SDS_2 = "n / (n - 1)**2 - r**2 / (n - 1) + r**4 * ((s1 / s2)**4 + (s2 / s1)**4) / (2 * (n - 1)**2)"
CV_BIAS = "(cv1**2 - cv2**2) / (2 * n)"
write(
    "ROMC",
    f"{CVS}\nbias = {CV_BIAS} | 0\ny = log(m1 / m2) + bias",
    {"LS": f"v = {OF_MEANS}", "LS2": f"v = {OF_MEANS_2}"},
)
write(
    "CVRC",
    f"{CVS}\nbias = {CV_BIAS} | 0\ny = log(cv1 / cv2) - bias",
    {"LS": f"v = {OF_MEANS} + {OF_SDS}", "LS2": f"v = {OF_MEANS_2} + {OF_SDS_2}"},
)
write("VRC", "y = log(s1 / s2)", {"LS": f"v = {OF_SDS}", "LS2": f"v = {OF_SDS_2}"})

# ---------------------------------------------------------------- one group, one mean

write("MN", "y = m", {"LS": "v = s**2 / n", "HO": "s_all = sqrt(average(s**2, n - 1))\nv = s_all**2 / n"})
write("SMN", "J = hedges(n - 1) | 1\ng = J * m / s\ny = g", "v = 1 / n + g**2 / (2 * n)")
write("MNLN", "y = log(m)", "v = s**2 / (n * m**2)")
write(
    "CVLN", "bias = 1 / (2 * (n - 1)) | 0\ny = log(s / m) + bias", "v = 1 / (2 * (n - 1)) + s**2 / (n * m**2)"
)
write("SDLN", "bias = 1 / (2 * (n - 1)) | 0\ny = log(s) + bias", "v = 1 / (2 * (n - 1))")
