"""Recipes of the measures of counts: events, matched pairs, person-time, genotypes."""

from __future__ import annotations

from metaexo.effects.measures.recipes import recipe, write

RISKS = "p1 = x1 / n1\np2 = x2 / n2"


def by_risk(template: str) -> dict[str, str]:
    """Return the variance with each study's risks, with those over all studies, and with one for both."""
    averages = "q1 = average(p1, n1)\nq2 = average(p2, n2)"
    both = "q1 = (x1 + x2) / (n1 + n2)\nq2 = q1"
    text = f"v = {template}"
    plain = text.replace("q1", "p1").replace("q2", "p2")
    return {"LS": plain, "AV": f"{averages}\n{text}", "H0": f"{both}\n{text}"}


write("RR", f"{RISKS}\ny = log(p1 / p2)", by_risk("(1 - q1) / (n1 * q1) + (1 - q2) / (n2 * q2)"))
LOG_OR = f"{RISKS}\ny = log(p1 / (1 - p1)) - log(p2 / (1 - p2))"
OR_V = by_risk("1 / (n1 * q1 * (1 - q1)) + 1 / (n2 * q2 * (1 - q2))")
write("OR", LOG_OR, OR_V)
write(
    "RD",
    f"{RISKS}\ny = p1 - p2",
    by_risk("q1 * (1 - q1) / n1 + q2 * (1 - q2) / n2")
    | {"UB": "v = p1 * (1 - p1) / (n1 - 1) + p2 * (1 - p2) / (n2 - 1)"},
)
write("AS", f"{RISKS}\ny = arcsin(sqrt(p1)) - arcsin(sqrt(p2))", "v = 1 / (4 * n1) + 1 / (4 * n2)")
write(
    "PETO",
    """N = n1 + n2
x = x1 + x2
E = n1 * x / N
V = n1 * n2 * x * (N - x) / (N**2 * (N - 1))
y = (x1 - E) / V""",
    "v = 1 / V",
)
W = LOG_OR.replace("y = ", "lnOR = ")
W_V = OR_V["LS"].replace("v = ", "v_w = ")
for _code, _scale in (("OR2D", "pi / sqrt(3)"), ("OR2DN", "1.65"), ("OR2DL", "pi / sqrt(3)")):
    write(_code, f"{W}\nc = {_scale}\ny = lnOR / c", f"{W_V}\nv = v_w / c**2")
write(
    "PBIT",
    f"{RISKS}\nz1 = z(p1)\nz2 = z(p2)\ny = z1 - z2",
    "v = 2 * pi * (p1 * (1 - p1) * exp(z1**2) / n1 + p2 * (1 - p2) * exp(z2**2) / n2)",
)
write("YUQ", f"{W}\ny = tanh(lnOR / 2)", f"{W_V}\nv = (1 - y**2)**2 / 4 * v_w")
write("YUY", f"{W}\ny = tanh(lnOR / 4)", f"{W_V}\nv = (1 - y**2)**2 / 16 * v_w")

PHI = f"""{RISKS}
N = n1 + n2
g = n1 / N
h = (x1 + x2) / N
phi = (p1 - p2) * sqrt(g * (1 - g) / (h * (1 - h)))"""
DRAWN = """skew1 = (2 * g - 1) / sqrt(g * (1 - g))
skew2 = (2 * h - 1) / sqrt(h * (1 - h))
v_phi = (1 - phi**2 + phi * (1 + phi**2 / 2) * skew1 * skew2 - 3 / 4 * phi**2 * (skew1**2 + skew2**2)) / N"""
FIXED = """tilt = (p1 - p2) * (1 - 2 * h) / (2 * (h * (1 - h))**1.5)
slope1 = sqrt(g * (1 - g)) * (1 / sqrt(h * (1 - h)) - tilt * g)
slope2 = sqrt(g * (1 - g)) * (1 / sqrt(h * (1 - h)) + tilt * (1 - g))
v_phi = slope1**2 * p1 * (1 - p1) / n1 + slope2**2 * p2 * (1 - p2) / n2"""
PHI_V = {"CS": DRAWN, "LS": DRAWN, "ST": FIXED}
write("PHI", f"{PHI}\ny = phi", {kind: f"{text}\nv = v_phi" for kind, text in PHI_V.items()})
write(
    "ZPHI",
    f"{PHI}\ny = atanh(phi)",
    {kind: f"{text}\nv = v_phi / (1 - phi**2)**2" for kind, text in PHI_V.items()},
)
TETRACHORIC = "r = tetrachoric(x1, n1, x2, n2)"
TETRACHORIC_V = """N = n1 + n2
h = z(n1 / N)
k = z((x1 + x2) / N)
w = sqrt(1 - r**2)
f = exp(-(h**2 - 2 * r * h * k + k**2) / (2 * w**2)) / (2 * pi * w)
g1 = Phi((k - r * h) / w)
g2 = Phi((h - r * k) / w)
P = x1 / N
Q1 = n1 / N - P
Q2 = (x1 + x2) / N - P
e = P * (1 - g1 - g2) - Q1 * g1 - Q2 * g2
v_r = (P * (1 - g1 - g2)**2 + Q1 * g1**2 + Q2 * g2**2 - e**2) / (N * f**2)"""
write("RTET", f"{TETRACHORIC}\ny = r", f"{TETRACHORIC_V}\nv = v_r")
write("ZTET", f"{TETRACHORIC}\ny = atanh(r)", f"{TETRACHORIC_V}\nv = v_r / (1 - r**2)**2")

# ---------------------------------------------------------------- matched pairs

PAIRS = "n = a + b + c + d"
MARGINS = "p1 = x1 / n\np2 = x2 / n"
MARGINAL = f"{MARGINS}\ny = log(p1 / (1 - p1)) - log(p2 / (1 - p2))"
MARGINAL_V = """w1 = p1 * (1 - p1)
w2 = p2 * (1 - p2)
v = (1 / w1 + 1 / w2 - 2 * (%s - p1 * p2) / (w1 * w2)) / n"""
write("MPRR", "y = log((a + b) / (a + c))", "v = (b + c) / ((a + b) * (a + c))")
write("MPRD", f"{PAIRS}\ny = (b - c) / n", "v = ((b + c) / n - y**2) / n")
write("MPOR", f"{PAIRS}\nx1 = a + b\nx2 = a + c\n{MARGINAL}", MARGINAL_V % "a / n")
write("MPORC", "y = log(b / c)", "v = 1 / b + 1 / c")
write("MPPETO", "y = 2 * (b - c) / (b + c)", "v = 4 / (b + c)")
write(
    "MPORM",
    MARGINAL,
    f"share = p1 * p2 + phi * sqrt(p1 * (1 - p1) * p2 * (1 - p2))\n{MARGINAL_V % 'share'}",
    {"share of pairs with both events": recipe(MARGINAL, MARGINAL_V % "both_share")},
)
write("REH", "y = log(h12 / (2 * sqrt(h1 * h2)))", "v = 1 / (4 * h1) + 1 / h12 + 1 / (4 * h2)")

# ---------------------------------------------------------------- person-time

write("IRR", "y = log(x1 / T1) - log(x2 / T2)", "v = 1 / x1 + 1 / x2")
write("IRD", "y = x1 / T1 - x2 / T2", "v = x1 / T1**2 + x2 / T2**2")
write("IRSD", "y = sqrt(x1 / T1) - sqrt(x2 / T2)", "v = 1 / (4 * T1) + 1 / (4 * T2)")
write("IR", "y = x / T", "v = x / T**2")
write("IRLN", "y = log(x / T)", "v = 1 / x")
write("IRS", "y = sqrt(x / T)", "v = 1 / (4 * T)")
write("IRFT", "y = (sqrt(x / T) + sqrt((x + 1) / T)) / 2", "v = 1 / (4 * T)")

# ---------------------------------------------------------------- one proportion

SHARE = "P = x / n"
ALL = "P_all = average(P, n)"
write(
    "PR",
    f"{SHARE}\ny = P",
    {
        "LS": "v = P * (1 - P) / n",
        "UB": "v = P * (1 - P) / (n - 1)",
        "AV": f"{ALL}\nv = P_all * (1 - P_all) / n",
    },
)
write(
    "PLN",
    f"{SHARE}\ny = log(P)",
    {"LS": "v = (1 - P) / (n * P)", "AV": f"{ALL}\nv = (1 - P_all) / (n * P_all)"},
)
write(
    "PLO",
    f"{SHARE}\ny = log(P / (1 - P))",
    {"LS": "v = 1 / (n * P * (1 - P))", "AV": f"{ALL}\nv = 1 / (n * P_all * (1 - P_all))"},
)
write("PRZ", f"{SHARE}\ny = z(P)", "v = 2 * pi * exp(y**2) * P * (1 - P) / n")
write("PAS", f"{SHARE}\ny = arcsin(sqrt(P))", "v = 1 / (4 * n)")
write("PFT", "y = (arcsin(sqrt(x / (n + 1))) + arcsin(sqrt((x + 1) / (n + 1)))) / 2", "v = 1 / (4 * n + 2)")
