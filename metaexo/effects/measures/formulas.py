"""Recipes of the measures of two independent groups with means."""

from __future__ import annotations

from collections.abc import Mapping

from metaexo.effects.measures.recipes import Recipe, recipe, write

SP = "sp = sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))"
D = f"{SP}\nd = (m1 - m2) / sp"
TO_D = {
    "from d": "",
    "d from t": "d = t * sqrt(1 / n1 + 1 / n2)",
    "d from F": "t = direction * sqrt(F)\nd = t * sqrt(1 / n1 + 1 / n2)",
    "d from exact p": "t = direction * t_of_p(p, n1 + n2 - 2)\nd = t * sqrt(1 / n1 + 1 / n2)",
    "d from point-biserial r": (
        "h = (n1 + n2 - 2) / n1 + (n1 + n2 - 2) / n2\nd = r_pb * sqrt(h) / sqrt(1 - r_pb**2)"
    ),
}
V_OF_D = "vd = 1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2))"
Z_V = "v_r / (1 - r**2)**2"


def write_by_d(code: str, core: str, v: str | Mapping[str, str]) -> None:
    """Enter a measure that follows from d and the sizes, by every way to d."""
    routes: dict[str, Recipe] = {name: recipe(f"{to_d}\n{core}", v) for name, to_d in TO_D.items()}
    write(code, f"{D}\n{core}", v, routes)


GLASS = "d = (m1 - m2) / s2\nm = n2 - 1\nJ = hedges(m) | 1\ng = J * d\ny = g"
HEDGES = "m = n1 + n2 - 2\nJ = hedges(m) | 1\ng = J * d\ny = g"

write(
    "MD",
    "y = m1 - m2",
    {
        "LS": "v = s1**2 / n1 + s2**2 / n2",
        "UB": "v = s1**2 / n1 + s2**2 / n2",
        "HO": f"{SP}\nv = sp**2 * (1 / n1 + 1 / n2)",
    },
    {
        "SE from t": recipe("y = m1 - m2", dict.fromkeys(("LS", "UB", "HO"), "v = (y / t)**2")),
        "SE from exact p": recipe(
            "y = m1 - m2",
            dict.fromkeys(("LS", "UB", "HO"), "t = t_of_p(p, n1 + n2 - 2)\nv = (y / t)**2"),
        ),
    },
)
write_by_d(
    "SMD",
    HEDGES,
    {
        "LS": "v = 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))",
        "LS2": "v = J**2 * (1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2)))",
        "UB": "v = 1 / n1 + 1 / n2 + (1 - (m - 2) / (m * J**2)) * g**2",
        "AV": "g_all = average(g, n1 + n2)\nv = 1 / n1 + 1 / n2 + g_all**2 / (2 * (n1 + n2))",
        "H0": "v = J**2 * m / (m - 2) * (1 / n1 + 1 / n2)",
    },
)
SCALES = {"D2OR": "pi / sqrt(3)", "D2ORN": "1.65", "D2ORL": "pi / sqrt(3)"}
for _code, _scale in SCALES.items():
    write_by_d(_code, f"c = {_scale}\ny = c * d", f"{V_OF_D}\nv = c**2 * vd")

POINT = "h = (n1 + n2 - 2) / n1 + (n1 + n2 - 2) / n2\nr = d / sqrt(d**2 + h)"
POINT_V = dict.fromkeys(("ST", "LS"), f"{V_OF_D}\nv_r = h**2 / (d**2 + h)**3 * vd") | {
    "CS": "q = n1 / (n1 + n2)\nv_r = (1 - r**2)**2 * (1 - 1.5 * r**2 + r**2 / (4 * q * (1 - q))) / (n1 + n2)"
}
write_by_d("RPB", f"{POINT}\ny = r", {kind: f"{text}\nv = v_r" for kind, text in POINT_V.items()})
write_by_d("ZPB", f"{POINT}\ny = atanh(r)", {kind: f"{text}\nv = {Z_V}" for kind, text in POINT_V.items()})
BISERIAL = f"""{POINT.replace("r = ", "rp = ")}
q1 = n1 / (n1 + n2)
q2 = n2 / (n1 + n2)
zq = z(q1)
f = exp(-zq**2 / 2) / sqrt(2 * pi)
r = sqrt(q1 * q2) / f * rp"""
BISERIAL_V = """rc = smaller(abs(r), 1)
v_r = (q1 * q2 / f**2 - (1.5 + (1 + q1 * zq / f) * (1 - q2 * zq / f)) * rc**2 + rc**4) / (n1 + n2 - 1)"""
write_by_d("RBIS", f"{BISERIAL}\ny = r", f"{BISERIAL_V}\nv = v_r")
write_by_d("ZBIS", f"{BISERIAL}\ny = atanh(r)", f"{BISERIAL_V}\nv = {Z_V}")

AVERAGE = (
    "s_a = sqrt((s1**2 + s2**2) / 2)\nd = (m1 - m2) / s_a\nJ = hedges(n1 + n2 - 2) | 1\ng = J * d\ny = g"
)


def unequal(effect: str, f: str, h: str) -> str:
    """Return the variance of a difference over the average SD, the SDs not assumed equal."""
    return (
        f"{effect}**2 * (s1**4 / (n1{f}) + s2**4 / (n2{f})) / (8 * s_a**4) "
        f"+ (s1**2 / (n1{h}) + s2**2 / (n2{h})) / s_a**2"
    )


DIVISORS = {"LS": (" - 1", " - 1"), "LS2": ("", ""), "LS3": (" - 1", "")}
write("SMDH", AVERAGE, {kind: f"v = {unequal('g', *divisors)}" for kind, divisors in DIVISORS.items()})
write(
    "SMD1",
    GLASS,
    {
        "LS": "v = 1 / n1 + 1 / n2 + g**2 / (2 * n2)",
        "LS2": "v = J**2 * (1 / n1 + 1 / n2 + d**2 / (2 * n2))",
        "UB": "v = 1 / n1 + 1 / n2 + (1 - (m - 2) / (m * J**2)) * g**2",
        "AV": "g_all = average(g, n1 + n2)\nv = 1 / n1 + 1 / n2 + g_all**2 / (2 * n2)",
        "H0": "v = J**2 * m / (m - 2) * (1 / n1 + 1 / n2)",
    },
)
write("SMD1H", GLASS, "v = s1**2 / (s2**2 * (n1 - 1)) + 1 / (n2 - 1) + g**2 / (2 * (n2 - 1))")

CVS = "cv1 = s1 / m1\ncv2 = s2 / m2"
write(
    "ROM",
    f"{CVS}\nbias = (cv1**2 / n1 - cv2**2 / n2) / 2 | 0\ny = log(m1 / m2) + bias",
    {
        "LS": "v = cv1**2 / n1 + cv2**2 / n2",
        "LS2": "v = cv1**2 / n1 + cv2**2 / n2 + cv1**4 / (2 * n1**2) + cv2**4 / (2 * n2**2)",
        "HO": f"{SP}\nv = sp**2 * (1 / (n1 * m1**2) + 1 / (n2 * m2**2))",
        "AV": "c1 = average(abs(cv1), n1)\nc2 = average(abs(cv2), n2)\nv = c1**2 / n1 + c2**2 / n2",
        "AVHO": "c = average_of_both(abs(cv1), n1, abs(cv2), n2)\nv = c**2 * (1 / n1 + 1 / n2)",
    },
)
CV_BIAS = "(1 / (n1 - 1) - 1 / (n2 - 1)) / 2 - (cv1**2 / n1 - cv2**2 / n2) / 2"
CV_LS2 = " + ".join(
    f"cv{i}**2 / n{i} + cv{i}**4 / (2 * n{i}**2) + n{i} / (2 * (n{i} - 1)**2)" for i in (1, 2)
)
write(
    "CVR",
    f"{CVS}\nbias = {CV_BIAS} | 0\ny = log(cv1 / cv2) + bias",
    {
        "LS": "v = cv1**2 / n1 + 1 / (2 * (n1 - 1)) + cv2**2 / n2 + 1 / (2 * (n2 - 1))",
        "LS2": f"v = {CV_LS2}",
    },
)
write(
    "VR",
    "bias = (1 / (n1 - 1) - 1 / (n2 - 1)) / 2 | 0\ny = log(s1 / s2) + bias",
    {
        "LS": "v = 1 / (2 * (n1 - 1)) + 1 / (2 * (n2 - 1))",
        "LS2": "v = n1 / (2 * (n1 - 1)**2) + n2 / (2 * (n2 - 1)**2)",
    },
)

SLOPE = "exp(-d**2 / 2) / (4 * pi)"
NORMAL = "delta = (m1 - m2) / sqrt(s1**2 + s2**2)\ny = Phi(delta)"
S_A = "s_a = sqrt((s1**2 + s2**2) / 2)"
OF_DELTA = {
    kind: f"{S_A}\nd = delta * sqrt(2)\nv = {SLOPE} * ({unequal('d', *divisors)})"
    for kind, divisors in DIVISORS.items()
}
OF_D = f"{V_OF_D}\nv = {SLOPE} * vd"
KINDS = ("LS", "LS2", "LS3", "HO", "H0")
BY_D = {
    name: recipe(f"{to_d}\ny = Phi(d / sqrt(2))", dict.fromkeys(KINDS, OF_D)) for name, to_d in TO_D.items()
}
OF_NOTHING = f"{S_A}\nv = (s1**2 / (n1 - 1) + s2**2 / (n2 - 1)) / s_a**2 / (4 * pi)"
OF_AUC = {kind: f"delta = z(A)\n{text}" for kind, text in OF_DELTA.items()} | {
    "HO": f"{SP}\nd = z(A) * sqrt(s1**2 + s2**2) / sp\n{OF_D}",
    "H0": OF_NOTHING,
}
for _code in ("CLESN", "AUCN"):
    write(
        _code,
        NORMAL,
        {**OF_DELTA, "H0": OF_NOTHING},
        {
            **BY_D,
            ":HO": recipe(f"{D}\ny = Phi(d / sqrt(2))", {"HO": OF_D}),
            "variance from AUC and SDs": recipe("y = A", OF_AUC),
            "variance from AUC": recipe("y = A", dict.fromkeys(KINDS, f"d = sqrt(2) * z(A)\n{OF_D}")),
        },
    )
AREA = "q1 = A / (2 - A) - A**2\nq2 = 2 * A**2 / (1 + A) - A**2"
PAIRS = "((n1 - 1) * (n2 - 1))"
for _code in ("CLES", "AUC"):
    write(
        _code,
        "y = A",
        {
            "LS": f"{AREA}\nv = (A * (1 - A) + ((n1 + n2) / 2 - 1) * (q1 + q2)) / {PAIRS}",
            "LS2": f"{AREA}\nv = (A * (1 - A) - ties / 4 + (n1 - 1) * q1 + (n2 - 1) * q2) / {PAIRS}",
            "H0": "v = (n1 + n2 + 1) / (12 * n1 * n2)",
            "MAX": "v = A * (1 - A) / (smaller(n1, n2) - 1)",
        },
    )
