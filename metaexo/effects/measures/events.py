"""Events: risks and odds of two groups, the correlations behind a 2 x 2 table, matched pairs, and rates.

What is added to cells of zero is decided before (:class:`metaexo.effects.ZeroCells`). Matched pairs (the same
people twice, or both halves of a face) fall into four cells: the event on both sides, on the first only, on
the second only, on neither; effects are those of the first side against the second. Rates are events per
person-time, of one group or compared between two.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from metaexo.effects.conversions.scales import ROOT_RATE, TRANSFORMATIONS, inverse_freeman_tukey_rate
from metaexo.effects.formulas import Route
from metaexo.effects.measure import BackBySize, Measure
from metaexo.effects.measures.two_means import CHINN, FISHER_Z_V, HASSELBLAD, SCALES
from metaexo.effects.papers import FREEMAN_TUKEY, KIRK, PEARSON

FAMILY = "two groups, events"
EVENTS = ("treatment_events", "treatment_n", "control_events", "control_n")

RISKS = """p1 = x1 / n1
p2 = x2 / n2"""


def by_risk(template: str) -> dict[str, str]:
    """Return a variance of two risks q1 and q2 by its type; p1 and p2 are the risks of the study.

    LS takes each study's risks, AV the average of each group over the studies, H0 the risk of both groups
    together.
    """
    text = f"v = {template}"
    return {
        "LS": text.replace("q1", "p1").replace("q2", "p2"),
        "AV": f"q1 = average(p1, n1)\nq2 = average(p2, n2)\n{text}",
        "H0": f"q1 = (x1 + x2) / (n1 + n2)\nq2 = q1\n{text}",
    }


LOG_OR = "log(x1 / (n1 - x1)) - log(x2 / (n2 - x2))"
OR_V = by_risk("1 / (n1 * q1 * (1 - q1)) + 1 / (n2 * q2 * (1 - q2))")
RD_V = by_risk("q1 * (1 - q1) / n1 + q2 * (1 - q2) / n2")
FLEISS = "Fleiss (1993), Statistical Methods in Medical Research 2, 121-145, doi:10.1177/096228029300200202."
AV_H0 = "AV takes the average risks over all studies in the variance, H0 the risk of both groups together."

_events = partial(Measure, family=FAMILY, null=0.0, zero_cells=0.5)
_log_ratio = partial(_events, back=np.exp, display_log=True)

COMPARISONS = (
    _log_ratio(
        code="OR",
        name="log odds ratio",
        use="Case-control data, and wherever the outcome may be turned round without changing the answer. "
        f"{AV_H0}",
        routes=(Route(EVENTS, f"{RISKS}\ny = {LOG_OR}", OR_V),),
        display="Odds ratio",
        papers=(FLEISS,),
    ),
    _log_ratio(
        code="RR",
        name="log risk ratio",
        use=f"Events counted among people followed alike. {AV_H0}",
        routes=(
            Route(
                EVENTS,
                f"{RISKS}\ny = log(p1) - log(p2)",
                by_risk("(1 - q1) / (n1 * q1) + (1 - q2) / (n2 * q2)"),
            ),
        ),
        display="Risk ratio",
        papers=(FLEISS,),
    ),
    _events(
        code="RD",
        name="risk difference",
        use=f"The absolute number of events prevented or caused is wanted. UB is unbiased. {AV_H0}",
        routes=(
            Route(
                EVENTS,
                f"{RISKS}\ny = p1 - p2",
                {
                    "LS": RD_V["LS"],
                    "UB": "v = p1 * (1 - p1) / (n1 - 1) + p2 * (1 - p2) / (n2 - 1)",
                    "AV": RD_V["AV"],
                    "H0": RD_V["H0"],
                },
            ),
        ),
        display="Risk difference",
        papers=(FLEISS,),
    ),
    _events(
        code="AS",
        name="arcsine difference",
        use="Rare events: zeros need no correction, and the variance does not depend on the events.",
        routes=(
            Route(
                EVENTS, f"{RISKS}\ny = arcsin(sqrt(p1)) - arcsin(sqrt(p2))", "v = 1 / (4 * n1) + 1 / (4 * n2)"
            ),
        ),
        display="Arcsine difference",
        zero_cells=0.0,
        papers=(
            "Rücker, Schwarzer, Carpenter & Olkin (2009), Statistics in Medicine 28, 721-738, "
            "doi:10.1002/sim.3511.",
        ),
    ),
    _log_ratio(
        code="PETO",
        name="log odds ratio, Peto's method",
        use="Rare events in groups of similar size, and small effects. Zeros need no correction; tables "
        "without any event, or with events in everyone, carry no weight.",
        routes=(
            Route(
                EVENTS,
                """N = n1 + n2
x = x1 + x2
E = n1 * x / N
V = n1 * n2 * x * (N - x) / (N**2 * (N - 1))
y = (x1 - E) / V""",
                "v = 1 / V",
            ),
        ),
        display="Odds ratio",
        zero_cells=0.0,
        papers=(
            "Yusuf, Peto, Lewis, Collins & Sleight (1985), Progress in Cardiovascular Diseases 27, 335-371, "
            "doi:10.1016/S0033-0620(85)80003-7.",
        ),
    ),
)

# ---------------------------------------------------------------- as standardised mean differences

LN_OR = f"{RISKS}\nlnOR = {LOG_OR}"
V_LN_OR = OR_V["LS"].replace("v = ", "v_w = ")
SANCHEZ = (
    "Sánchez-Meca, Marín-Martínez & Chacón-Moscoso (2003), Psychological Methods 8, 448-467, "
    "doi:10.1037/1082-989X.8.4.448."
)
_difference = partial(_events, display="Standardised mean difference")

AS_DIFFERENCES = (
    *(
        _difference(
            code=f"OR2D{end}",
            name=f"standardised mean difference of a log odds ratio ({shape} outcome)",
            use="Sets studies with events beside studies with means.",
            routes=(Route(EVENTS, f"{LN_OR}\nc = {scale}\ny = lnOR / c", f"{V_LN_OR}\nv = v_w / c**2"),),
            papers=(SANCHEZ, HASSELBLAD, CHINN),
        )
        for end, (shape, scale) in SCALES.items()
    ),
    _difference(
        code="PBIT",
        name="standardised mean difference of two proportions (probit)",
        use="Events are a normally distributed outcome beyond a threshold.",
        routes=(
            Route(
                EVENTS,
                f"{RISKS}\nz1 = z(p1)\nz2 = z(p2)\ny = z1 - z2",
                "v = 2 * pi * (p1 * (1 - p1) * exp(z1**2) / n1 + p2 * (1 - p2) * exp(z2**2) / n2)",
            ),
        ),
        papers=(SANCHEZ,),
    ),
)

# ---------------------------------------------------------------- as correlations

# all with the event in one group and none in the other: phi is -1 or 1 with variance 0, whatever the rounding
PHI = f"""{RISKS}
N = n1 + n2
g = n1 / N
h = (x1 + x2) / N
r = (p1 - p2) * sqrt(g * (1 - g)) / sqrt(h * (1 - h))
phi = smaller(1, larger(-1, r)) if abs(p1 - p2) != 1 else p1 - p2"""
DRAWN = """skew1 = (2 * g - 1) / sqrt(g * (1 - g))
skew2 = (2 * h - 1) / sqrt(h * (1 - h))
inner = 1 - phi**2 + phi * (1 + phi**2 / 2) * skew1 * skew2
v_phi = (inner - 3 / 4 * phi**2 * (skew1**2 + skew2**2)) / N if abs(p1 - p2) != 1 else 0"""
FIXED = """tilt = (p1 - p2) * (1 - 2 * h) / (2 * (h * (1 - h))**1.5)
slope1 = sqrt(g * (1 - g)) * (1 / sqrt(h * (1 - h)) - tilt * g)
slope2 = sqrt(g * (1 - g)) * (1 / sqrt(h * (1 - h)) + tilt * (1 - g))
v_phi = slope1**2 * p1 * (1 - p1) / n1 + slope2**2 * p2 * (1 - p2) / n2 if abs(p1 - p2) != 1 else 0"""
PHI_V = {"CS": DRAWN, "LS": DRAWN, "ST": FIXED}
PHI_USE = (
    "Brings 2 x 2 tables into a synthesis of correlations. CS (and LS) takes all people as drawn at random, "
    "ST the sizes of the groups as fixed."
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
v_r = (P * (1 - g1 - g2)**2 + Q1 * g1**2 + Q2 * g2**2 - e**2) / (N * f**2) if abs(r) < 1 else nan"""
TETRACHORIC_USE = (
    "Both group and event come from cutting normal variables in two. A zero in one cell puts the correlation "
    "at -1 or 1 and leaves no variance."
)
BISHOP = (
    "Bishop, Fienberg & Holland (1975), Discrete Multivariate Analysis, section 11.2, "
    "doi:10.1007/978-0-387-72806-3."
)
YULE = "Yule (1912), Journal of the Royal Statistical Society 75, 579-652, doi:10.2307/2340126."

_correlation = partial(_events, display="Correlation", zero_cells=0.0)

AS_CORRELATIONS = (
    _correlation(
        code="PHI",
        name="phi coefficient",
        use=PHI_USE,
        routes=(Route(EVENTS, f"{PHI}\ny = phi", {kind: f"{v}\nv = v_phi" for kind, v in PHI_V.items()}),),
        papers=(BISHOP,),
    ),
    _correlation(
        code="ZPHI",
        name="phi coefficient, Fisher's z",
        use=f"As PHI, on the scale on which correlations are usually pooled. {PHI_USE.split('. ')[1]}",
        routes=(
            Route(
                EVENTS,
                f"{PHI}\ny = atanh(phi)",
                {kind: f"{v}\n{FISHER_Z_V.replace('r', 'phi')}" for kind, v in PHI_V.items()},
            ),
        ),
        back=np.tanh,
        papers=(BISHOP,),
    ),
    _events(
        code="YUQ",
        name="Yule's Q",
        use="Shows an odds ratio between -1 and 1: (OR - 1) / (OR + 1).",
        routes=(
            Route(
                EVENTS,
                f"{LN_OR}\ny = tanh(lnOR / 2) if abs(lnOR) < inf else nan",
                f"{V_LN_OR}\nv = (1 - y**2)**2 / 4 * v_w",
            ),
        ),
        display="Yule's Q",
        papers=(YULE,),
    ),
    _events(
        code="YUY",
        name="Yule's Y",
        use="Shows an odds ratio between -1 and 1 by its root: (sqrt(OR) - 1) / (sqrt(OR) + 1).",
        routes=(
            Route(
                EVENTS,
                f"{LN_OR}\ny = tanh(lnOR / 4) if abs(lnOR) < inf else nan",
                f"{V_LN_OR}\nv = (1 - y**2)**2 / 16 * v_w",
            ),
        ),
        display="Yule's Y",
        papers=(YULE,),
    ),
    _correlation(
        code="RTET",
        name="tetrachoric correlation",
        use=TETRACHORIC_USE,
        routes=(Route(EVENTS, f"{TETRACHORIC}\ny = r", f"{TETRACHORIC_V}\nv = v_r"),),
        papers=(PEARSON, KIRK),
    ),
    _correlation(
        code="ZTET",
        name="tetrachoric correlation, Fisher's z",
        use=f"As RTET, on the scale on which correlations are usually pooled. {TETRACHORIC_USE}",
        routes=(Route(EVENTS, f"{TETRACHORIC}\ny = atanh(r)", f"{TETRACHORIC_V}\n{FISHER_Z_V}"),),
        back=np.tanh,
        papers=(PEARSON, KIRK),
    ),
)


CELLS = ("both", "first_only", "second_only", "neither")
MARGINS = ("first_events", "second_events", "n")

PAIRS = "n = a + b + c + d"
P1_P2 = """p1 = x1 / n
p2 = x2 / n"""
MARGINAL = f"{P1_P2}\ny = log(p1 / (1 - p1)) - log(p2 / (1 - p2))"


def marginal_variance(share: str) -> str:
    """Return the variance, given the share of pairs with the event on both sides; NaN if impossible."""
    possible = f"{share} <= smaller(p1, p2) + 1e-9 and {share} >= p1 + p2 - 1 - 1e-9"
    return f"""w1 = p1 * (1 - p1)
w2 = p2 * (1 - p2)
v = (1 / w1 + 1 / w2 - 2 * ({share} - p1 * p2) / (w1 * w2)) / n if {possible} else nan"""


ELBOURNE = (
    "Elbourne et al. (2002), International Journal of Epidemiology 31, 140-149, doi:10.1093/ije/31.1.140."
)
CURTIN = "Curtin, Elbourne & Altman (2002), Statistics in Medicine 21, 2145-2159, doi:10.1002/sim.1206."

_matched = partial(Measure, family="matched pairs, events", null=0.0, zero_cells=0.5)
_log_ratio_of_pairs = partial(_matched, back=np.exp, display_log=True)
_log_odds_ratio_of_pairs = partial(_log_ratio_of_pairs, display="Odds ratio")

MATCHED = (
    _log_ratio_of_pairs(
        code="MPRR",
        name="log risk ratio of matched pairs",
        use="Split-face and before-after counts: ratio of the two marginal risks.",
        routes=(Route(CELLS, "y = log((a + b) / (a + c))", "v = (b + c) / ((a + b) * (a + c))"),),
        display="Risk ratio",
        papers=("Zou (2007), Statistics in Medicine 26, 2958-2978, doi:10.1002/sim.2769.",),
    ),
    _log_odds_ratio_of_pairs(
        code="MPOR",
        name="marginal log odds ratio of matched pairs",
        use="Sets matched studies beside studies of two independent groups.",
        routes=(
            Route(
                CELLS,
                f"{PAIRS}\nx1 = a + b\nx2 = a + c\n{MARGINAL}",
                f"share = a / n\n{marginal_variance('share')}",
            ),
        ),
        papers=(ELBOURNE,),
    ),
    _matched(
        code="MPRD",
        name="risk difference of matched pairs",
        use="Difference of the two marginal risks of matched pairs.",
        routes=(Route(CELLS, f"{PAIRS}\ny = (b - c) / n", "v = ((b + c) / n - y**2) / n"),),
        display="Risk difference",
        papers=(
            "Newcombe (1998), Statistics in Medicine 17, 2635-2650, "
            "doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C.",
        ),
    ),
    _log_odds_ratio_of_pairs(
        code="MPORC",
        name="conditional log odds ratio of matched pairs",
        use="The effect on one person (pair) is wanted rather than that on the population.",
        routes=(Route(CELLS, "y = log(b / c)", "v = 1 / b + 1 / c"),),
        papers=(
            CURTIN,
            "Breslow & Day (1980), Statistical Methods in Cancer Research I, chapter 5, IARC.",
        ),
    ),
    _log_odds_ratio_of_pairs(
        code="MPPETO",
        name="conditional log odds ratio, Peto's method",
        use="As MPORC, when a cell of discordant pairs is empty and no correction is wanted.",
        routes=(Route(CELLS, "y = 2 * (b - c) / (b + c)", "v = 4 / (b + c)"),),
        zero_cells=0.0,
        papers=(CURTIN,),
    ),
    _log_odds_ratio_of_pairs(
        code="MPORM",
        name="marginal log odds ratio of matched pairs from margins",
        use="A matched study reports the events of each side, but not the pairs; their correlation, or the "
        "share of pairs with both events, is known or assumed.",
        routes=(
            Route(
                (*MARGINS, "phi"),
                MARGINAL,
                "share = p1 * p2 + phi * sqrt(p1 * (1 - p1) * p2 * (1 - p2))\n" + marginal_variance("share"),
            ),
            Route(
                (*MARGINS, "both_share"),
                MARGINAL,
                marginal_variance("both_share"),
                "share of pairs with both events",
            ),
        ),
        papers=(ELBOURNE,),
    ),
)


TWO = ("treatment_events", "treatment_time", "control_events", "control_time")
ONE = ("events", "time")
BAGOS = (
    "Bagos & Nikolopoulos (2009), International Journal of Biostatistics 5(1), 21, "
    "doi:10.2202/1557-4679.1168."
)
ROTHMAN = "Rothman, Greenland & Lash (2008), Modern Epidemiology, 3rd ed., chapter 14."
SQUARE = TRANSFORMATIONS["square_root"].inverse

_comparison = partial(Measure, family="two groups, person-time", null=0.0, zero_cells=0.5)
_rate = partial(
    Measure,
    family="one group, person-time",
    null=float("nan"),
    display="Rate",
    orientation="none",
    zero_cells=0.5,
)

RATES = (
    _comparison(
        code="IRR",
        name="log rate ratio",
        use="One person can have several events, or people were followed for different times.",
        routes=(Route(TWO, "y = log(x1 / T1) - log(x2 / T2)", "v = 1 / x1 + 1 / x2"),),
        display="Rate ratio",
        back=np.exp,
        display_log=True,
        papers=(BAGOS,),
    ),
    _comparison(
        code="IRD",
        name="rate difference",
        use="The number of events prevented per person-time is wanted.",
        routes=(Route(TWO, "y = x1 / T1 - x2 / T2", "v = x1 / T1**2 + x2 / T2**2"),),
        display="Rate difference",
        papers=(BAGOS,),
    ),
    _comparison(
        code="IRSD",
        name="square-root rate difference",
        use="Rare events: zeros need no correction, and the variance does not depend on the events.",
        routes=(Route(TWO, "y = sqrt(x1 / T1) - sqrt(x2 / T2)", "v = 1 / (4 * T1) + 1 / (4 * T2)"),),
        display="Square-root rate difference",
        zero_cells=0.0,
        papers=(BAGOS, FREEMAN_TUKEY),
    ),
    _rate(
        code="IR",
        name="rate",
        use="An incidence rate as it is.",
        routes=(Route(ONE, "y = x / T", "v = x / T**2"),),
        papers=(FREEMAN_TUKEY, ROTHMAN),
    ),
    _rate(
        code="IRLN",
        name="log rate",
        use="The usual scale for rates.",
        routes=(Route(ONE, "y = log(x / T)", "v = 1 / x"),),
        back=np.exp,
        display_log=True,
        papers=(FREEMAN_TUKEY, ROTHMAN),
    ),
    _rate(
        code="IRS",
        name="square-root rate",
        use="Rare events: zeros need no correction.",
        routes=(Route(ONE, "y = sqrt(x / T)", "v = 1 / (4 * T)"),),
        back=SQUARE,
        zero_cells=0.0,
        papers=(FREEMAN_TUKEY,),
    ),
    _rate(
        code="IRFT",
        name="Freeman-Tukey transform of a rate",
        use="Rare events. The way back to a rate needs a person-time: each study is shown with its own, a "
        "pooled value with the harmonic mean of the studies' person-times.",
        routes=(Route(ONE, ROOT_RATE, "v = 1 / (4 * T)"),),
        back=SQUARE,
        zero_cells=0.0,
        # v = 1 / (4 T), so that the sampling variance says the person-time
        by_size=BackBySize(inverse_freeman_tukey_rate, lambda v: 1 / (4 * v)),
        papers=(FREEMAN_TUKEY,),
    ),
)

MEASURES = (*COMPARISONS, *AS_DIFFERENCES, *AS_CORRELATIONS, *MATCHED, *RATES)
