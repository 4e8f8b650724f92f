"""Profile likelihoods of the scale coefficients of a location-scale model, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import read_words
from metaexo.models.location_scale.fit import LocationScaleFit
from metaexo.models.multilevel.profile import lower_limit, upper_limit
from metaexo.numeric.scale.likelihood import make_likelihood
from metaexo.numeric.scale.profile import hold
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

# A log-likelihood that is lower than this is as good as minus infinity.
FAR = 1e3
# Where the search for an end begins: standard errors from the estimate.
FIRST_STEP = 2.0


@dataclass(frozen=True, slots=True)
class ScaleCurve:
    """How the highest log-likelihood depends on one scale coefficient."""

    estimate: float
    maximum: float
    llf: Callable[[Array], Array]  # from values, shape (g,), to the highest log-likelihood at each
    edges: tuple[float, float]  # values that it can have
    step: float  # how far from the estimate the search for an end begins

    def ends(self, drop: float) -> tuple[float, float, bool, bool]:
        """Return the interval of log-likelihoods at most `drop` below the highest, and which ends are open.

        An end is open where it is the edge of what the coefficient can be, or infinite.
        """

        def excess(value: float) -> float:
            return min(self.maximum - float(self.llf(np.array([value]))[0]) - drop, FAR)

        low_edge, high_edge = self.edges
        if np.isfinite(low_edge):
            low, low_open = lower_limit(excess, self.estimate, low_edge)
        else:
            away, low_open = upper_limit(lambda d: excess(self.estimate - d), 0.0, np.inf, self.step / 0.1)
            low = self.estimate - away
        if np.isfinite(high_edge):
            away, high_open = lower_limit(lambda d: excess(-d), -self.estimate, -high_edge)
            high = -away
        else:
            away, high_open = upper_limit(lambda d: excess(self.estimate + d), 0.0, np.inf, self.step / 0.1)
            high = self.estimate + away
        return low, high, low_open, high_open


def scale_curve(fit: LocationScaleFit, name: str) -> ScaleCurve:
    """Return the curve of a scale coefficient."""
    names = fit.scale_design.names
    if name not in names:
        raise UnknownChoiceError("scale coefficient", name, names)
    j = names.index(name)
    estimate = float(fit.maximum.coefficients[j])
    if not np.isfinite(estimate):
        raise InputError(
            f"the scale coefficient {name} is not finite: tau2 is 0 in some rows at the highest likelihood",
            "a coefficient with a finite estimate",
            'leave the rows out, pool levels of the scale moderator, or use link="identity"',
        )
    k = fit.effects.k
    x, z = fit.design.matrix(k), fit.scale_design.matrix(k)
    model = make_likelihood(x, fit.effects.y, fit.effects.v, z, fit.link, fit.method == "REML")
    held = hold(model, j, fit.maximum.coefficients)
    last: list[Array] = []

    def llf(values: Array) -> Array:
        out = np.empty(values.size)
        for i, value in enumerate(values):
            out[i], where = held.highest(float(value), last[-1] if last else None)
            if np.isfinite(out[i]):
                last[:] = [where]
        return out

    edges = (-np.inf if held.allows(-1.0) else 0.0, np.inf if held.allows(1.0) else 0.0)
    se = float(np.sqrt(fit.maximum.cov[j, j]))
    step = (
        FIRST_STEP * se
        if np.isfinite(se) and se > 0
        else max(abs(estimate), 1e-3 / float(np.abs(z[:, j]).max()))
    )
    return ScaleCurve(estimate, float(fit.maximum.value), llf, edges, step)


def intervals(fit: LocationScaleFit, names: Sequence[str] | str | None, level: float) -> pd.DataFrame:
    """Return profile-likelihood intervals; see `LocationScaleResults.conf_int_scale`."""
    import pandas as pd

    if names is None:
        chosen = list(fit.scale_design.names)
    else:
        chosen = [names] if isinstance(names, str) else list(read_words(names, "names"))
    drop = 0.5 * float(normal_quantile(level)) ** 2
    rows = []
    for name in chosen:
        curve = scale_curve(fit, name)
        rows.append((curve.estimate, *curve.ends(drop)))
    columns = ["estimate", "low", "high", "low_open", "high_open"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(chosen, name="coefficient"))
