"""Events of matched pairs: the same people twice, or both halves of a face.

The pairs fall into four cells: the event on both sides, on the first only, on the second only, on neither.
Effects are those of the first side against the second.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure

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
_log_ratio = partial(_matched, back=np.exp, display_log=True)
_log_odds_ratio = partial(_log_ratio, display="Odds ratio")

MEASURES = (
    _log_ratio(
        code="MPRR",
        name="log risk ratio of matched pairs",
        use="Split-face and before-after counts: ratio of the two marginal risks.",
        routes=(Route(CELLS, "y = log((a + b) / (a + c))", "v = (b + c) / ((a + b) * (a + c))"),),
        display="Risk ratio",
        papers=("Zou (2007), Statistics in Medicine 26, 2958-2978, doi:10.1002/sim.2769.",),
    ),
    _log_odds_ratio(
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
    _log_odds_ratio(
        code="MPORC",
        name="conditional log odds ratio of matched pairs",
        use="The effect on one person (pair) is wanted rather than that on the population.",
        routes=(Route(CELLS, "y = log(b / c)", "v = 1 / b + 1 / c"),),
        papers=(
            CURTIN,
            "Breslow & Day (1980), Statistical Methods in Cancer Research I, chapter 5, IARC.",
        ),
    ),
    _log_odds_ratio(
        code="MPPETO",
        name="conditional log odds ratio, Peto's method",
        use="As MPORC, when a cell of discordant pairs is empty and no correction is wanted.",
        routes=(Route(CELLS, "y = 2 * (b - c) / (b + c)", "v = 4 / (b + c)"),),
        zero_cells=0.0,
        papers=(CURTIN,),
    ),
    _log_odds_ratio(
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
