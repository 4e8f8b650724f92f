"""Events per person-time: rates of one group and comparisons of two."""

from __future__ import annotations

from functools import partial

import numpy as np

from metaexo.effects.conversions.scales import ROOT_RATE, TRANSFORMATIONS, inverse_freeman_tukey_rate
from metaexo.effects.formulas import Route
from metaexo.effects.measure import BackBySize, Measure
from metaexo.effects.papers import FREEMAN_TUKEY

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

MEASURES = (
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
