"""Recipes of correlations, regressions and reliabilities."""

from __future__ import annotations

from collections.abc import Mapping

from metaexo.effects.measures.recipes import recipe, write


def write_by_r(code: str, core: str, v: str | Mapping[str, str]) -> None:
    """Enter a measure that follows from a correlation and n, by every way to the correlation."""
    of_t = "r = t / sqrt(t**2 + n - 2)"
    routes = {
        "correlation from t": recipe(f"{of_t}\n{core}", v),
        "correlation from exact p": recipe(f"t = direction * t_of_p(p, n - 2)\n{of_t}\n{core}", v),
    }
    write(code, core, v, routes)


write_by_r(
    "COR",
    "y = r",
    {
        "LS": "v = (1 - r**2)**2 / (n - 1)",
        "AV": "r_all = average(r, n)\nv = (1 - r_all**2)**2 / (n - 1)",
        "H0": "v = (1 - r**2) / (n - 2)",
        "H0a": "v = (1 - r**2) / (n - 2)",
        "H0b": "v = 1 / n",
    },
)
write_by_r(
    "UCOR",
    "u = unbiased(r, n)\ny = u",
    {
        "LS": "v = (1 - u**2)**2 / (n - 1)",
        "UB": "v = u**2 - 1 + (n - 3) / (n - 2) * (1 - r**2) * hypergeometric(n / 2, 1 - r**2)",
        "AV": "u_all = average(u, n)\nv = (1 - u_all**2)**2 / (n - 1)",
    },
)
write_by_r("ZCOR", "y = atanh(r)", "v = 1 / (n - 3)")

PARTIAL_T = "r = t / sqrt(t**2 + n - k - 1)"
SEMIPARTIAL_T = "r = t * sqrt((1 - R2) / (n - k - 1))"
T_OF_P = "t = direction * t_of_p(p, n - k - 1)"


def write_of_predictor(kind: str, code: str, of_t: str, core: str, v: str | Mapping[str, str]) -> None:
    """Enter a measure of one predictor of a regression with k predictors."""
    routes = {
        f"{kind} correlation from t": recipe(f"{of_t}\n{core}", v),
        f"{kind} correlation from exact p": recipe(f"{T_OF_P}\n{of_t}\n{core}", v),
    }
    write(code, core, v, routes)


write_of_predictor(
    "partial",
    "PCOR",
    PARTIAL_T,
    "y = r",
    {"LS": "v = (1 - r**2)**2 / (n - k)", "AV": "r_all = average(r, n)\nv = (1 - r_all**2)**2 / (n - k)"},
)
write_of_predictor("partial", "ZPCOR", PARTIAL_T, "y = atanh(r)", "v = 1 / (n - k - 2)")
SEMI = "rest = R2 - %s**2\n%s = (R2**2 - 2 * R2 + rest + 1 - rest**2) / n"
write_of_predictor(
    "semi-partial",
    "SPCOR",
    SEMIPARTIAL_T,
    "y = r",
    {"LS": SEMI % ("r", "v"), "AV": f"r_all = average(r, n)\n{SEMI % ('r_all', 'v')}"},
)
write_of_predictor(
    "semi-partial",
    "ZSPCOR",
    SEMIPARTIAL_T,
    "y = atanh(r)",
    f"{SEMI % ('r', 'v_r')}\nv = v_r / (1 - r**2)**2",
)


def write_by_r2(code: str, core: str, v: str | Mapping[str, str]) -> None:
    """Enter a measure that follows from R2, n and the number of predictors."""
    routes = {
        "R2 from F": recipe(f"R2 = k * F / (k * F + n - k - 1)\n{core}", v),
        "R2 from exact p": recipe(f"R2 = R2_of_p(p, n, k)\n{core}", v),
    }
    write(code, core, v, routes)


EXACT = "v = 4 * %s * (1 - %s)**2 * (n - k - 1)**2 / ((n**2 - 1) * (n + 3))"
ALL = "R2_all = average(R2, n)"
write_by_r2(
    "R2",
    "y = R2",
    {
        "LS": "v = 4 * R2 * (1 - R2)**2 / n",
        "LS2": EXACT % ("R2", "R2"),
        "AV": f"{ALL}\nv = 4 * R2_all * (1 - R2_all)**2 / n",
        "AV2": f"{ALL}\n{EXACT % ('R2_all', 'R2_all')}",
    },
)
write_by_r2("ZR2", "y = atanh(sqrt(R2))", "v = 1 / n")
write_by_r2("R2F", "y = R2", "v = variance_given_predictors(R2, n, k)")
write_by_r2("ZR2F", "y = atanh(sqrt(R2))", "v = variance_of_z_given_predictors(R2, n, k)")

OF_LOG = "2 * items / ((items - 1) * (n - 2))"
write("ARAW", "y = alpha", f"v = (1 - alpha)**2 * {OF_LOG}")
write(
    "AHW",
    "c = cbrt(1 - alpha)\ny = 1 - c",
    "v = 18 * items * (n - 1) * c**2 / ((items - 1) * (9 * n - 11)**2)",
)
write("ABT", "y = -log(1 - alpha)", f"v = {OF_LOG}")
