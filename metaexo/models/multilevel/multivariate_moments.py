r"""The covariance matrix of several outcomes between studies without a likelihood.

Study i has outcomes y_i with sampling covariances S_i, design X_i, and true effects that vary between studies
with the covariance matrix G. What a study does not report has no row, and no part in any sum.

"MM", the method of moments: with W_i the inverse of S_i, e_i the residuals of generalised least squares with
these weights, H the hat matrix and P = W(I - H),

    E( sum_i W_i e_i e_i' ) = sum_i (I - H)_ii' + sum_i sum_j P_ij G (I - H)_ij'

is solved for G, which is made symmetric. With one outcome it is the estimator of DerSimonian and Laird.

"VC", variance components: G is the covariance matrix of the residuals of generalised least squares at the G
before, enlarged by (I - H_ii)^-1/2 for what the coefficients take from them, minus the mean of S_i; each pair
of outcomes from the studies with both. It is iterated until nothing changes. The R packages mvmeta and
mixmeta divide the sums of a pair by the number of studies with the rarer outcome, which draws the covariance
towards 0 where the two are not always reported together.

Negative eigenvalues of G become 0.

References
----------
Jackson, D., White, I. R., Riley, R. D. (2013). A matrix-based method of moments for fitting the multivariate
random effects model for meta-analysis and meta-regression. Biometrical Journal 55, 231-245.
https://doi.org/10.1002/bimj.201200152
Chen, H., Manning, A. K., Dupuis, J. (2012). A method of moments estimator for random effect multivariate
meta-analysis. Biometrics 68, 1278-1284. https://doi.org/10.1111/j.1541-0420.2012.01761.x
Ritz, J., Demidenko, E., Spiegelman, D. (2008). Multivariate meta-analysis for data consortia, individual
patient meta-analysis, and pooling projects. Journal of Statistical Planning and Inference 138, 1919-1933.
https://doi.org/10.1016/j.jspi.2007.07.004
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import ConvergenceError, InputError, NotIdentifiableError
from metaexo.numeric.mixed.maximum import MixedMaximum
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structured import is_any_matrix, parameters_of_root
from metaexo.types import Array

METHODS = ("MM", "VC")
WORDS = {"MM": "method of moments", "VC": "variance components from residuals"}
# The largest change of G, relative to its size, at which the iteration ends, and how long it may take.
UNCHANGED = 1e-12
ITERATIONS = 10_000
# Below this share of the largest an eigenvalue is zero: what it belongs to cannot be estimated.
NOTHING = 1e-10


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """The outcomes of each study at their places, 0 where a study does not report one."""

    y: Array  # (m, s)
    x: Array  # (m, s, p)
    v: Array  # (m, s, s): sampling covariances
    seen: NDArray[np.bool_]  # (m, s)


def by_moments(problem: MixedProblem, method: str) -> MixedMaximum:
    """Return the parameters of the one unstructured term of a problem by moments."""
    data = _outcomes(problem)
    with np.errstate(all="ignore"):  # what cannot be estimated is looked for below
        g, how = _moments(data) if method == "MM" else _residual_variances(data)
    values, vectors = np.linalg.eigh(g)
    if values[0] < 0:
        how += "; a negative eigenvalue of the covariance matrix was set to 0"
    theta = parameters_of_root(problem.terms[0].structure, vectors * np.sqrt(np.maximum(values, 0.0)))
    n = theta.size
    return MixedMaximum(
        theta=theta,
        llf=float("nan"),
        gradient=float("nan"),
        curvature=float("nan"),
        at_bound=np.zeros(n, dtype=bool),
        information=np.zeros((n, n)),
        starts=0,
        agreeing=0,
        steps=0,
        log=(how,),
        certified=True,
    )


def _outcomes(problem: MixedProblem) -> _Outcomes:
    """Return the arrays of the estimators; refuse models that they are not made for."""
    remedy = 'use method="REML", or one term mx.RandomTerm("study", "outcome", "UN")'
    if len(problem.terms) != 1 or not is_any_matrix(problem.terms[0].structure):
        raise InputError(
            "the model is not one unstructured covariance matrix of outcomes",
            "one random term with the structure UN, which moments are for",
            remedy,
        )
    term = problem.terms[0]
    if term.relation is not None:
        raise InputError("the levels of the random term are related", "independent studies", remedy)
    m, s, p = term.levels, term.size, problem.x.shape[1]
    place = term.level * s + term.column[:, 0]
    if np.unique(place).size < place.size:
        raise InputError(
            "some studies have several effects of one outcome",
            "at most one effect per study and outcome",
            'aggregate them first (metaexo.effects.aggregate), or use method="REML"',
        )
    entries = problem.v.tocoo()
    if (term.level[entries.row] != term.level[entries.col]).any():
        raise InputError(
            "sampling errors of different studies correlate", "a V that is 0 between studies", remedy
        )
    y, x, v = np.zeros(m * s), np.zeros((m * s, p)), np.zeros((m * s, s))
    y[place], x[place] = problem.centred, problem.basis[0]
    v[place[entries.row], term.column[entries.col, 0]] = entries.data
    seen = np.zeros(m * s, dtype=bool)
    seen[place] = True
    return _Outcomes(y.reshape(m, s), x.reshape(m, s, p), v.reshape(m, s, s), seen.reshape(m, s))


def _inverses(data: _Outcomes, g: Array) -> Array:
    """Return the inverses of S_i + G over what each study reports, 0 elsewhere, shape (m, s, s)."""
    both = data.seen[:, :, None] & data.seen[:, None, :]
    total = np.where(both, data.v + g, 0.0)
    at = np.arange(total.shape[1])
    total[:, at, at] = np.where(data.seen, total[:, at, at], 1.0)
    try:
        np.linalg.cholesky(total)
    except np.linalg.LinAlgError:
        raise InputError(
            "the sampling covariance matrix of a study is singular",
            "sampling variances above 0, and correlations between -1 and 1",
            'use method="REML"',
        ) from None
    return np.asarray(np.where(both, np.linalg.inv(total), 0.0))


def _coefficient_covariance(data: _Outcomes, w: Array) -> Array:
    """Return (X'WX)^-1."""
    return np.asarray(np.linalg.inv(np.einsum("msp,mst,mtq->pq", data.x, w, data.x, optimize=True)))


def _residuals(data: _Outcomes, w: Array, cov: Array) -> Array:
    """Return what generalised least squares leaves of the outcomes, shape (m, s)."""
    beta = cov @ np.einsum("msp,mst,mt->p", data.x, w, data.y, optimize=True)
    return np.asarray(data.y - data.x @ beta)


def _moments(data: _Outcomes) -> tuple[Array, str]:
    """Return the estimate of the method of moments before negative eigenvalues are set to 0.

    The double sum over studies is a product of two sums, because (I - H)_ij is I - X_i C X_j'W_j on the
    diagonal and - X_i C X_j'W_j off it, with C = (X'WX)^-1.
    """
    s = data.y.shape[1]
    w = _inverses(data, np.zeros((s, s)))
    cov = _coefficient_covariance(data, w)
    e = _residuals(data, w, cov)
    left = data.x @ cov  # X_i C
    right = data.x.transpose(0, 2, 1) @ w  # X_j'W_j
    own = left @ right  # H_ii
    one = np.einsum("ms,st->mst", data.seen.astype(float), np.eye(s))
    found = np.einsum("mst,mt,mu->su", w, e, e, optimize=True)
    expected = (one - own).transpose(0, 2, 1).sum(axis=0)

    def kron(a: Array, b: Array) -> Array:
        """Return the sum of the Kronecker products of two stacks of matrices."""
        both = np.einsum("mab,mcd->acbd", a, b, optimize=True)
        return np.asarray(both.reshape(a.shape[1] * b.shape[1], a.shape[2] * b.shape[2]))

    slope = kron(one, w) - kron(own, w) - kron(one, w @ own) + kron(left, w @ left) @ kron(right, right)
    size = np.sqrt(np.abs(np.diagonal(slope)))
    scaled = slope / np.outer(size, size)
    if not np.isfinite(scaled).all() or np.linalg.svd(scaled, compute_uv=False)[-1] < NOTHING:
        raise NotIdentifiableError(
            "the moments of the residuals do not determine the covariances between studies",
            "more studies that report the outcomes together",
            'use method="REML", or fewer moderators',
        )
    g = (np.linalg.solve(scaled, (found - expected).T.ravel() / size) / size).reshape(s, s)
    return 0.5 * (g + g.T), "closed form"


def _residual_variances(data: _Outcomes) -> tuple[Array, str]:
    """Return the estimate from the covariances of residuals, iterated."""
    s = data.y.shape[1]
    seen = data.seen.astype(float)
    pairs = seen.T @ seen
    mean_v = data.v.sum(axis=0) / pairs
    unit = float(np.diagonal(mean_v).max())
    g = np.zeros((s, s))
    for step in range(ITERATIONS):
        w = _inverses(data, g)
        cov = _coefficient_covariance(data, w)
        e = _enlarged(data, w, cov, _residuals(data, w, cov))
        new = np.einsum("ms,mt->st", e, e) / pairs - mean_v
        values, vectors = np.linalg.eigh(new)
        before, g = g, (vectors * np.maximum(values, 0.0)) @ vectors.T
        if np.abs(g - before).max() <= UNCHANGED * max(unit, float(np.abs(g).max())):
            return new, f"converged after {step + 1} iterations"
    raise ConvergenceError(
        f"the covariance matrix between studies still changes after {ITERATIONS} iterations",
        "an iteration that ends",
        'use method="MM" or method="REML"',
    )


def _enlarged(data: _Outcomes, w: Array, cov: Array, e: Array) -> Array:
    """Return (I - H_ii)^-1/2 e_i, shape (m, s).

    With R R' = W_i, both symmetric, H_ii is similar to the symmetric matrix R X_i C X_i'R.
    """
    values, vectors = np.linalg.eigh(w)
    root = np.sqrt(np.maximum(values, 0.0))[:, None, :]
    r = (vectors * root) @ vectors.transpose(0, 2, 1)
    back = (vectors / np.where(root > 0, root, np.inf)) @ vectors.transpose(0, 2, 1)
    moved = r @ data.x
    share, turn = np.linalg.eigh(moved @ cov @ moved.transpose(0, 2, 1))
    if share.max() > 1 - NOTHING:
        raise NotIdentifiableError(
            "one study alone determines a coefficient: its residuals say nothing of the heterogeneity",
            "coefficients that several studies determine",
            'use method="MM" or method="REML"',
        )
    inner = (turn / np.sqrt(1 - share)[:, None, :]) @ turn.transpose(0, 2, 1)
    return np.asarray((back @ inner @ r @ e[..., None])[..., 0])
