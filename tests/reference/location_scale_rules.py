"""Location-scale cases where the reference's scale coefficients, or their errors, are the worse ones.

The proofs use a likelihood with dense matrices that shares no code with the package. At the reference's
coefficients it must give the reference's numbers, so that both speak of one model; at ours it must be at
least as high, and no ascent from the reference's place may find a higher one. Standard errors are judged by
second differences of the same likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from tests.reference.adapters.model_tests import location_scale_model
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]

FROM_HESSIAN = (
    "scale_se",
    "scale_statistic",
    "scale_p",
    "scale_ci_lower",
    "scale_ci_upper",
    "scale_vcov",
    "scale_QM",
    "scale_QM_p",
)
DATA_ONLY = (
    "coefficient_names",
    "scale_names",
    "test_distribution",
    "test_df",
    "QM_df1",
    "scale_QM_df",
    "QE",
    "QE_p",
)
# Fields of the scale that are not called as those of the location are.
SHORT = {"test_statistic": "statistic", "p_value": "p"}
# Relative errors: of the reference's second differences, and of ours, which are extrapolated.
ROUGH = 0.02
FINE = 1e-4
# What rounding, and a search that is good to single precision, may leave between two log-likelihoods.
ROUNDING = 1e-9
OWN = 1e-8
SEARCHED = 1e-6


@dataclass(frozen=True)
class DenseModel:
    """A location-scale model with its likelihood written out."""

    y: np.ndarray
    v: np.ndarray
    x: np.ndarray
    z: np.ndarray
    log_link: bool
    restricted: bool

    def tau2(self, scale: np.ndarray) -> np.ndarray:
        """Return the between-study variances at finite scale coefficients."""
        linear = self.z @ scale
        return np.exp(linear) if self.log_link else linear

    def location(self, tau2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return location coefficients and their covariance matrix."""
        q, upper = np.linalg.qr(self.x)  # columns of any size and place
        inverse = np.diag(1.0 / (self.v + tau2))
        inner = np.linalg.inv(q.T @ inverse @ q)
        back = np.linalg.inv(upper)
        return back @ inner @ q.T @ inverse @ self.y, back @ inner @ back.T

    def likelihood(self, tau2: np.ndarray, restricted: bool | None = None) -> float:
        """Return the log-likelihood, with the location at its best; minus infinity outside the model."""
        total = self.v + tau2
        if not (np.isfinite(total).all() and (total > 0).all() and (tau2 >= 0).all()):
            return -math.inf
        beta, cov = self.location(tau2)
        residuals = self.y - self.x @ beta
        twice = np.log(total).sum() + residuals @ (residuals / total)
        freedom = self.y.size
        if self.restricted if restricted is None else restricted:
            freedom -= self.x.shape[1]
            twice -= np.linalg.slogdet(self.x.T @ self.x)[1] + np.linalg.slogdet(cov)[1]
        return float(-0.5 * (twice + freedom * math.log(2 * math.pi)))

    def back(self) -> np.ndarray:
        """Return what takes coefficients of orthogonal scale columns of size 1 to those of the model."""
        return np.asarray(np.linalg.inv(np.linalg.qr(self.z)[1]) * math.sqrt(self.y.size))

    def highest_from(self, scale: np.ndarray) -> float:
        """Return the highest log-likelihood that an ascent without derivatives finds from a place."""
        from scipy.optimize import minimize

        back = self.back()

        def loss(standard: np.ndarray) -> float:
            return min(-self.likelihood(self.tau2(back @ standard)), 1e10)

        choices = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-10, "fatol": 1e-12}
        start = np.linalg.solve(back, scale)
        return float(-minimize(loss, start, method="Nelder-Mead", options=choices).fun)


def dense_model(case: Case) -> DenseModel:
    """Return the model of a case."""
    model = location_scale_model(case, case["data"])
    es = model.effects
    x, z = model.design.matrix(es.k), model.scale_design.matrix(es.k)
    return DenseModel(es.y, es.v, x, z, model.link == "log", case["call"]["tau2_method"] == "REML")


def kept(record: Fields, names: Iterable[str]) -> Fields:
    """Return the named fields of a record."""
    return {name: record[name] for name in names if name in record}


def likelihood_of(case: Case, record: Fields) -> float:
    """Return the log-likelihood that was maximised, as a record states it."""
    return float(record["fit_statistics"][case["call"]["tau2_method"]]["log_likelihood"])


# -- the same maximum, other standard errors ----------------------------------------------------------------


def rough_hessian(case: Case, actual: Fields) -> Comparison:
    """The same maximum; the reference's standard errors come from coarse differences, or it has none."""
    expected = case["results"]
    others = [name for name in expected if name not in FROM_HESSIAN]
    found = compare(actual, kept(expected, others), case["rtol"], case["atol"])
    if found.different:
        return found
    exact = _our_standard_errors(found, case, actual, dense_model(case))
    if exact is None:
        found.different.append("we have no standard errors")
        return found
    given = expected["scale_se"]
    if all(value is None for value in given):
        return found
    near = compare(actual, kept(expected, FROM_HESSIAN), ROUGH, ROUGH)
    found.different += near.different
    found.agreed += near.agreed
    off, theirs = (relative_error(np.array(r["scale_vcov"], dtype=float), exact) for r in (actual, expected))
    demand(found, f"the reference's covariance is nearer, off by {theirs:.1e}", off <= theirs)
    return found


def relative_error(cov: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error of a covariance matrix in units of the standard errors."""
    se = np.sqrt(np.diagonal(exact))
    return float(np.abs((cov - exact) / np.outer(se, se)).max())


def differenced_covariance(model: DenseModel, scale: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Return the inverse of minus the second differences of the dense likelihood, twice extrapolated.

    Differences are taken along orthogonal columns; `cov` only says how long a step may be.
    """
    back = model.back()
    standard = replace(model, z=model.z @ back)
    place = np.linalg.solve(back, scale)
    size = np.sqrt(np.diagonal(np.linalg.solve(back, np.linalg.solve(back, cov).T)))
    best, doubt = np.full_like(back, np.nan), math.inf
    for step in (
        0.04,
        0.01,
        0.0025,
        0.0006,
    ):  # as long as the likelihood is smooth there, and inside the model
        tables = [second_differences(standard, place, size * step / 2**level) for level in range(3)]
        once = [(4 * b - a) / 3 for a, b in pairwise(tables)]
        twice = -(16 * once[1] - once[0]) / 15
        change = float(np.abs((once[1] - once[0]) * np.outer(size, size)).max())
        if change < doubt:
            best, doubt = twice, change
    return np.asarray(back @ np.linalg.inv(best) @ back.T)


def second_differences(model: DenseModel, scale: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the matrix of second differences of the likelihood; not finite outside the model."""

    def at(move: np.ndarray) -> float:
        value = model.likelihood(model.tau2(scale + move))
        return value if math.isfinite(value) else math.nan

    moves = np.diag(steps)
    size = steps.size
    out = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            corners = [a * b * at(a * moves[i] + b * moves[j]) for a in (1, -1) for b in (1, -1)]
            out[i, j] = sum(corners) / (4 * steps[i] * steps[j])
    return out


# -- another place, where the likelihood is lower -----------------------------------------------------------


def lower_likelihood(case: Case, actual: Fields) -> Comparison:
    """The reference stops below the highest likelihood: early, at a lower maximum, on the way to a limit."""
    expected = case["results"]
    found = compare(actual, kept(expected, DATA_ONLY), case["rtol"], case["atol"])
    others = kept(expected, [name for name in expected if name not in FROM_HESSIAN])
    places = compare(actual, others, case["rtol"], case["atol"])
    demand(found, "the place is the same", bool(places.different))
    if found.different:
        return found
    model = dense_model(case)
    _same_numbers(found, case, model, expected, case["rtol"], case["atol"])
    _same_numbers(found, case, model, actual, OWN, OWN)
    ours, theirs = (model.likelihood(_tau2(record)) for record in (actual, expected))
    slack = ROUNDING * (1 + abs(theirs))
    demand(found, f"likelihood {ours!r} below the reference's {theirs!r}", ours >= theirs - slack)
    if found.different:  # the ascent takes time
        return found
    place = np.array(expected["scale_estimate"], dtype=float)
    top = model.highest_from(place)
    demand(found, f"an ascent from theirs reaches {top!r}", top <= ours + SEARCHED * (1 + abs(ours)))
    _our_standard_errors(found, case, actual, model)
    if ours - theirs < SEARCHED * (1 + abs(theirs)):
        _on_the_way(found, actual, expected)
    return found


def _tau2(record: Fields) -> np.ndarray:
    return np.array(record["tau2_per_study"], dtype=float)


def _same_numbers(
    found: Comparison, case: Case, model: DenseModel, record: Fields, rtol: float, atol: float
) -> None:
    """Demand that a record's numbers are those of the model at its own between-study variances."""
    tau2 = _tau2(record)
    scale = np.array(record["scale_estimate"], dtype=float)
    restored = inference(case, *model.location(tau2))
    restored["tau2_per_study"] = model.tau2(scale) if np.isfinite(scale).all() else tau2
    restored["fit_statistics"] = {
        kind: {"log_likelihood": model.likelihood(tau2, kind == "REML")} for kind in ("ML", "REML")
    }
    wanted = kept(record, [name for name in restored if name != "fit_statistics"])
    wanted["fit_statistics"] = {
        kind: {"log_likelihood": record["fit_statistics"][kind]["log_likelihood"]} for kind in ("ML", "REML")
    }
    inner = compare(restored, plain(wanted), rtol, atol)
    found.different += [f"restored {words}" for words in inner.different]
    found.agreed += inner.agreed


def plain(value: Any) -> Any:
    """Return a record as the files have it: lists for arrays, nothing for NaN, words for infinity."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else f"{'-' if value < 0 else ''}Inf"
    return value


def _our_standard_errors(
    found: Comparison, case: Case, actual: Fields, model: DenseModel
) -> np.ndarray | None:
    """Demand that our covariance of the scale is the likelihood's, and all that rests on it; return that.

    Where a coefficient is not finite there is none: then what rests on it must be missing throughout.
    """
    cov = np.array(actual["scale_vcov"], dtype=float)
    scale = np.array(actual["scale_estimate"], dtype=float)
    exact = None
    if np.isfinite(cov).all() and np.isfinite(scale).all():
        exact = differenced_covariance(model, scale, cov)
        off = relative_error(cov, exact)
        demand(found, f"our covariance is off by {off:.1e} from second differences", off < FINE)
    wanted = kept(actual, FROM_HESSIAN if exact is not None else FROM_HESSIAN[:6])
    own = {f"scale_{SHORT.get(name, name)}": value for name, value in inference(case, scale, cov).items()}
    inner = compare(own, plain(wanted), 1e-6, ROUNDING)
    found.different += [f"inference {words}" for words in inner.different]
    found.agreed += inner.agreed
    return exact


def inference(case: Case, estimate: np.ndarray, cov: np.ndarray) -> Fields:
    """Return Wald tests and intervals of coefficients from their covariance matrix, by name."""
    from scipy import stats

    call, size = case["call"], estimate.size
    freedom = len(dense_model(case).y) - size if call["test"] == "t" else None
    reference = stats.norm() if freedom is None else stats.t(freedom)
    se = np.sqrt(np.diagonal(cov))
    with np.errstate(invalid="ignore"):
        statistic = estimate / se
        half = reference.isf((1 - call["level_percent"] / 100) / 2) * se
    tested = slice(0 if size == 1 else 1, None)
    rank = estimate[tested].size
    wald = float(estimate[tested] @ np.linalg.solve(cov[tested, tested], estimate[tested]))
    tail = stats.chi2.sf(wald, rank) if freedom is None else stats.f.sf(wald / rank, rank, freedom)
    return {
        "estimate": estimate,
        "se": se,
        "test_statistic": statistic,
        "p_value": 2 * reference.sf(np.abs(statistic)),
        "ci_lower": estimate - half,
        "ci_upper": estimate + half,
        "vcov": cov,
        "QM": wald if freedom is None else wald / rank,
        "QM_p": float(tail),
    }


def _on_the_way(found: Comparison, actual: Fields, expected: Fields) -> None:
    """Demand that a reference of nearly the same height is near ours, or on the way to our limit."""
    for i, ours in enumerate(actual["scale_estimate"]):
        theirs = expected["scale_estimate"][i]
        if math.isinf(ours):
            words = f"scale_estimate[{i}] {theirs!r} is not on the way to {ours!r}"
            demand(found, words, math.copysign(1, theirs) == math.copysign(1, ours))
    tau2, reference = _tau2(actual), _tau2(expected)
    near = np.allclose(tau2, reference, rtol=1e-2, atol=1e-2 * float(np.median(tau2 + reference)) + 1e-5)
    demand(found, "tau2 of nearly the same likelihood is far away", near)


RULES = (rough_hessian, lower_likelihood)
