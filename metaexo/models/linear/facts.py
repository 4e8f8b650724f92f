"""What a random-effects fit knows beyond its coefficients, by name: the rest of its `to_dict()`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaexo.ledger import Ledger
    from metaexo.models.univariate.fit import RandomEffectsResults


def facts_of(fit: RandomEffectsResults) -> dict[str, Any]:
    """Return choices, spread, tests, likelihood, data and certificate of a fit."""
    return {
        "measure": fit.effects.measure.code,
        "method": "given" if fit.tau2_given else fit.method,
        "test": fit.test,
        "own_weights": fit.weighting is not None,
        "k": fit.k,
        "m": fit.m,
        "pooled": fit.pooled() if fit.design.x is None else None,
        "tau2": fit.tau2,
        "tau2_se": fit.tau2_se,
        "tau": fit.tau,
        "i2": fit.i2,
        "h2": fit.h2,
        "r2": fit.r2,
        "heterogeneity": _spread(fit),
        "q": fit.q,
        "moderator_test": fit.moderator_test,
        "likelihood": fit.fit_statistics(),
        "certificate": fit.certificate,
        "rows": row_counts(fit.ledger),
        "derived": dict(Counter(derived.how for derived in fit.effects.derived)),
        "digest": fit.digest,
        "versions": fit.versions,
    }


def _spread(fit: RandomEffectsResults) -> Any:
    """Return the interval of heterogeneity that the summary shows; None where there is none."""
    if fit.method == "EE" or fit.df_residual < 1 or (fit.effects.v == 0).any():
        return None
    return fit.conf_int_heterogeneity("q-profile" if fit.weighting is None else "generalised-q")


def row_counts(ledger: Ledger) -> dict[str, Any]:
    """Return how many rows were used, and those left out with their reasons."""
    return {"source": ledger.source, "used": len(ledger.used), "left_out": ledger.left_out}
