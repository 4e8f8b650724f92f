"""What each effect and each kind of evidence contributes to a fit of censored effects, and its residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.immutable import lock
from metaexo.inputs import check_choice
from metaexo.models.censored.effects import KINDS
from metaexo.models.censored.fit import CensoredFit
from metaexo.models.linear.hypothesis import TestResult, make_test, quantiles
from metaexo.numeric.censored.inference import tau2_information_of_rows
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import make_batch
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


def q_test(fit: CensoredFit, instead: str) -> TestResult:
    """Return Cochran's Q test where all effects are exact; otherwise what takes its place, in words."""
    df = float(fit.k - fit.design.p)
    if not fit.effects.is_exact.all():
        words = f"not testable by Q where effects are censored; {instead}"
        return TestResult(np.nan, "chi2", (df,), np.nan, words)
    null = fit.homogeneity_words()
    if not df:
        return TestResult(0.0, "chi2", (0.0,), 1.0, null)
    batch = make_batch(fit.effects.y, fit.effects.v, fit.design.x)
    return make_test(float(np.ravel(moments(batch, np.zeros(1)).y_p_y)[0]), "chi2", (df,), null)


def information_shares(fit: CensoredFit) -> Array:
    """Return the share of each effect in the information on the coefficients, shape (k,)."""
    best = fit.inference.fit
    shares = -best.terms.second * best.row_leverage(fit.batch) * fit.batch.n
    return lock(np.asarray(shares[0] / fit.design.p))


def expected_effects(fit: CensoredFit) -> Array:
    """Return what each observed effect is expected to be, given its interval and the fit, shape (k,)."""
    best = fit.inference.fit
    fitted = fit.design.matrix(fit.k) @ fit.inference.beta[0]
    moved = fitted + _total_variance(fit) * best.terms.first[0]
    return lock(np.asarray(np.where(fit.batch.censored[0], moved, fit.effects.lower)))


def _total_variance(fit: CensoredFit) -> Array:
    return np.asarray(fit.batch.v[0] + float(fit.inference.fit.tau2[0]))


def rows(fit: CensoredFit) -> pd.DataFrame:
    """Return the effects one by one; see `CensoredResults.rows`."""
    import pandas as pd

    es = fit.effects
    return pd.DataFrame(
        {
            "row": es.row_ids,
            "label": es.labels,
            "study": es.study,
            "kind": fit.kinds,
            "lower": es.lower,
            "upper": es.upper,
            "retained": fit.inference.retained[0],
            "share": information_shares(fit),
            "expected": expected_effects(fit),
        }
    )


def contributions(fit: CensoredFit) -> pd.DataFrame:
    """Return what each kind of evidence contributes; see `CensoredResults.contributions`."""
    import pandas as pd

    restricted = fit.method == "REML"
    unit = fit.tau2 if fit.tau2 > 0 else float(fit.batch.v.min())
    about = tau2_information_of_rows(fit.batch, fit.inference.fit, restricted)[0]
    columns = {
        "k": fit.batch.n[0],
        "effective": fit.inference.retained[0],
        "share": information_shares(fit),
        "tau2_share": about / about.sum(),
        "tau2_pull": unit * fit.inference.fit.row_scores(fit.batch, restricted)[0],
    }
    table = pd.DataFrame(columns).groupby(np.array(fit.kinds)).sum()
    table["k"] = table["k"].astype(int)
    return table.reindex([kind for kind in KINDS if kind in table.index]).rename_axis("kind")


def residuals(fit: CensoredFit, kind: str) -> pd.DataFrame:
    """Return the residuals; see `CensoredResults.residuals`."""
    import pandas as pd

    check_choice("kind of residual", kind, ("standardized", "pearson"))
    x = fit.design.matrix(fit.k)
    fitted = x @ fit.beta
    residual = expected_effects(fit) - fitted
    variance = _total_variance(fit)
    if kind == "standardized":
        variance = np.maximum(variance - np.vecdot(x @ fit.inference.cov[0], x), 0.0)
    se = np.where(fit.batch.censored[0], np.nan, np.sqrt(variance))
    # the only effect that determines a coefficient has the residual 0, which does not vary
    z = np.divide(residual, se, out=np.zeros_like(se), where=se != 0)
    return pd.DataFrame(
        {"fitted": fitted, "residual": residual, "se": se, "z": z}, index=list(fit.effects.labels)
    )


def random_effects(fit: CensoredFit, level: float | None) -> pd.DataFrame:
    """Return the predicted deviations of true effects; see `CensoredResults.random_effects`."""
    import pandas as pd

    x = fit.design.matrix(fit.k)
    retained = fit.inference.retained[0]
    share = fit.tau2 / _total_variance(fit)
    estimate = share * (expected_effects(fit) - x @ fit.beta)
    # given the effect, then what an interval leaves open of it, then the mean
    variance = share * fit.batch.v[0] + share * fit.tau2 * (1 - retained)
    variance = variance + (share * retained) ** 2 * np.vecdot(x @ fit.cov, x)
    se = np.sqrt(variance)
    half = quantiles(fit.at_level(level), fit.df_of(x)) * se
    (component,) = fit.tau2_by_component
    return pd.DataFrame(
        {
            "component": component,
            "level": fit.effects.labels,
            "estimate": estimate,
            "se": se,
            "low": estimate - half,
            "high": estimate + half,
        }
    )
