r"""Adaptive Gauss-Hermite quadrature of the likelihood of a study, with exact derivatives.

The linear predictors of the g arms of a study are :math:`\eta_a = M_{0a}\theta + \sum_q z_q M_{qa}\theta`,
with parameters :math:`\theta` (d of them) of the study and Q independent standard normal variables z, one or
two. The constants M, of shape (1 + Q, g, d), say what the model is. The likelihood of the study is the
integral over z of the product of the likelihoods of its arms.

The rule is centred at the mode of the integrand and scaled by its curvature there (Pinheiro and Bates 1995);
with one point it is Laplace's approximation. The derivatives are those of the sum itself, in which the points
move with the parameters: so a maximum of the sum is found to rounding, with any number of points. They need
the derivatives of the counts' log-likelihoods up to the fourth at the mode, and up to the second elsewhere.

References
----------
Pinheiro, J. C., Bates, D. M. (1995). Approximations to the log-likelihood function in the nonlinear
mixed-effects model. Journal of Computational and Graphical Statistics 4, 12-35.
https://doi.org/10.1080/10618600.1995.10474663
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metaexo.numeric.counts.kernels import CountKernel
from metaexo.numeric.quadrature import gauss_hermite
from metaexo.types import Array

MODE_STEPS, MODE_HALVINGS = 200, 40
# The mode is found when Newton's step is shorter than this, in standard deviations of the integrand.
MODE_TOLERANCE = 1e-9


class Integrated(NamedTuple):
    """Log-likelihoods of studies and their derivatives with respect to the parameters of each study."""

    value: Array  # (B, K)
    gradient: Array  # (B, K, d)
    hessian: Array  # (B, K, d, d)
    mode: Array  # (B, K, Q): where the integrand is highest
    spread: Array  # (B, K, Q, Q): inverse of minus the second derivative of its logarithm there


@dataclass(frozen=True, slots=True)
class Jet:
    """Numbers with first and second derivatives with respect to d parameters."""

    value: Array  # (B, K)
    first: Array  # (B, K, d)
    second: Array  # (B, K, d, d)

    def __add__(self, other: Jet) -> Jet:
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __sub__(self, other: Jet) -> Jet:
        return Jet(self.value - other.value, self.first - other.first, self.second - other.second)

    def __mul__(self, other: Jet) -> Jet:
        a, b = self.value[..., None], other.value[..., None]
        cross = self.first[..., :, None] * other.first[..., None, :]
        return Jet(
            self.value * other.value,
            a * other.first + b * self.first,
            a[..., None] * other.second + b[..., None] * self.second + cross + np.swapaxes(cross, -1, -2),
        )

    def through(self, value: Array, slope: Array, curvature: Array) -> Jet:
        """Return a function of these numbers by its value and its first two derivatives."""
        outer = self.first[..., :, None] * self.first[..., None, :]
        return Jet(
            value,
            slope[..., None] * self.first,
            slope[..., None, None] * self.second + curvature[..., None, None] * outer,
        )

    def power(self, exponent: float) -> Jet:
        """Return these numbers, above 0, to a power."""
        value = self.value**exponent
        slope = exponent * value / self.value
        return self.through(value, slope, (exponent - 1.0) * slope / self.value)

    def log(self) -> Jet:
        """Return the logarithm."""
        inverse = 1.0 / self.value
        return self.through(np.log(self.value), inverse, -inverse * inverse)

    def minus(self) -> Jet:
        """Return the negative."""
        return Jet(-self.value, -self.first, -self.second)


def _predictors(base: Array, loads: Array, z: Array) -> Array:
    """Return linear predictors (..., g) at base (..., g), loadings (..., Q, g) and z (..., Q)."""
    return np.asarray(base + (loads * z[..., None]).sum(axis=-2))


def _curvature(loads: Array, second: Array) -> Array:
    """Return minus the second derivative of the log integrand, (..., Q, Q)."""
    q = loads.shape[-2]
    weighted = loads * second[..., None, :]
    return np.eye(q) - weighted @ np.swapaxes(loads, -1, -2)


def _inverse(matrix: Array) -> Array:
    """Return the inverses of positive definite matrices of order one or two."""
    if matrix.shape[-1] == 1:
        return np.asarray(1.0 / matrix)
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    out = np.empty_like(matrix)
    out[..., 0, 0], out[..., 1, 1], out[..., 0, 1] = c, a, -b
    out[..., 1, 0] = -b
    return np.asarray(out / (a * c - b * b)[..., None, None])


def find_mode(kernel: CountKernel, base: Array, loads: Array, start: Array) -> Array:
    """Return where the integrands are highest, shape (B, K, Q): Newton's method with halved steps.

    The log integrand is strictly concave, so there is one mode.
    """

    def at(z: Array) -> tuple[Array, Array, Array]:
        value, first, second = kernel.at(_predictors(base, loads, z), 2)
        height = value.sum(axis=-1) - 0.5 * (z * z).sum(axis=-1)
        slope = (loads @ first[..., None])[..., 0] - z
        return height, slope, _inverse(_curvature(loads, second))

    z = start
    height, slope, inverse = at(z)
    bad = ~np.isfinite(height)
    if bad.any():
        z = np.where(bad[..., None], 0.0, z)
        height, slope, inverse = at(z)
    share = np.ones(height.shape)
    for _ in range(MODE_STEPS):
        step = (inverse @ slope[..., None])[..., 0]
        gain = (step * slope).sum(axis=-1)
        moving = gain > MODE_TOLERANCE**2
        if not moving.any():
            break
        moved = z + np.where(moving, share, 1.0)[..., None] * step
        high, steep, inner = at(moved)
        # below rounding of the height, the full step is right
        ok = (high >= height + 0.1 * share * gain) | ((gain < 1e-6) & (share == 1.0))
        z = np.where(ok[..., None], moved, z)
        height = np.where(ok, high, height)
        slope = np.where(ok[..., None], steep, slope)
        inverse = np.where(ok[..., None, None], inner, inverse)
        share = np.where(ok, 1.0, 0.5 * share)
        if share.min() < 0.5**MODE_HALVINGS:
            break
    return z


def integrate(
    kernel: CountKernel, constants: Array, theta: Array, points: int, start: Array | None = None
) -> Integrated:
    """Return the log-likelihoods of studies at parameters theta, shape (B, K, d), and their derivatives.

    `constants`, shape (1 + Q, g, d): how predictors depend on parameters and random variables.
    `points`: of the rule, in each of the Q dimensions. `start`, shape (B, K, Q): where the mode may be.
    """
    q = len(constants) - 1
    base = theta @ constants[0].T
    if q == 0:
        return _without_effects(kernel, constants, base)
    loads = np.stack([theta @ constants[1 + r].T for r in range(q)], axis=-2)
    if not loads.any():
        return _without_effects(kernel, constants, base)
    if start is None:
        start = np.zeros((*theta.shape[:-1], q))
    z = find_mode(kernel, base, loads, start)
    _, first, second, third, fourth = kernel.at(_predictors(base, loads, z), 4)
    spread = _inverse(_curvature(loads, second))
    modes = _mode_jets(constants, loads, z, spread, first, second, third)
    cells, log_det = _scale_jets(constants, loads, modes, second, third, fourth)
    nodes, log_weights = gauss_hermite(points, q)
    value, gradient, hessian = _at_nodes(kernel, constants, base, loads, modes, cells, nodes, log_weights)
    return Integrated(
        value - 0.5 * log_det.value,
        gradient - 0.5 * log_det.first,
        hessian - 0.5 * log_det.second,
        z,
        spread,
    )


def _without_effects(kernel: CountKernel, constants: Array, base: Array) -> Integrated:
    """Return the same where all random effects have no variance: the integral is its integrand.

    The second derivatives by their scales are those of the integral, with any number of points.
    """
    value, first, second = kernel.at(base, 2)
    hessian = np.einsum("...a,ac,ad->...cd", second, constants[0], constants[0])
    for own in constants[1:]:
        along = first @ own
        hessian += (
            np.einsum("...a,ac,ad->...cd", second, own, own) + along[..., :, None] * along[..., None, :]
        )
    q = len(constants) - 1
    shape = base.shape[:-1]
    spread = np.broadcast_to(np.eye(q), (*shape, q, q))
    return Integrated(value.sum(axis=-1), first @ constants[0], hessian, np.zeros((*shape, q)), spread)


def _symmetric(outer: Array) -> Array:
    return outer + np.swapaxes(outer, -1, -2)


def _mode_jets(
    constants: Array, loads: Array, z: Array, spread: Array, first: Array, second: Array, third: Array
) -> list[Jet]:
    """Return the mode with its derivatives, by the implicit function theorem: a jet per random variable."""
    q, arms = loads.shape[-2:]
    fixed = constants[0] + np.einsum("...q,qad->...ad", z, constants[1:])  # of the predictors, z held
    pull = np.einsum("...qa,...a,...ad->...qd", loads, second, fixed)
    pull += np.einsum("...a,qad->...qd", first, constants[1:])
    slopes = spread @ pull
    along = fixed + np.swapaxes(loads, -1, -2) @ slopes  # of the predictors, z moving
    bend = np.zeros((*slopes.shape, slopes.shape[-1]))
    for a in range(arms):
        own = along[..., a, :]
        mixed = _symmetric((constants[1:, a, :, None] * slopes[..., None, :]).sum(axis=-3))
        outer = third[..., a, None, None] * own[..., :, None] * own[..., None, :]
        outer += second[..., a, None, None] * mixed
        bend += loads[..., a, None, None] * outer[..., None, :, :]
        side = _symmetric(constants[1:, a, :, None] * own[..., None, None, :])
        bend += second[..., a, None, None, None] * side
    d = slopes.shape[-1]
    bends = (spread @ bend.reshape(*bend.shape[:-2], d * d)).reshape(bend.shape)
    return [Jet(z[..., r], slopes[..., r, :], bends[..., r, :, :]) for r in range(q)]


def _scale_jets(
    constants: Array,
    loads: Array,
    modes: list[Jet],
    second: Array,
    third: Array,
    fourth: Array,
) -> tuple[list[list[Jet | None]], Jet]:
    """Return R with R R' the inverse of minus the second derivative A at the mode, and log det A, as jets."""
    q, arms = loads.shape[-2:]
    shape = modes[0].value.shape
    d = modes[0].first.shape[-1]
    level, flat = np.zeros((1, 1, d)), np.zeros((1, 1, d, d))
    matrix = [[Jet(np.full(shape, float(r == s)), level, flat) for s in range(q)] for r in range(q)]
    for a in range(arms):
        lines = [
            Jet(loads[..., r, a], np.broadcast_to(constants[1 + r, a], (1, 1, d)), flat) for r in range(q)
        ]
        along = Jet(np.zeros(shape), constants[0, a][None, None], flat)
        for r in range(q):
            along = along + lines[r] * modes[r]
        curved = along.through(second[..., a], third[..., a], fourth[..., a])
        for r in range(q):
            for s in range(r + 1):
                matrix[r][s] = matrix[r][s] - curved * (lines[r] * lines[s])
    if q == 1:
        return [[matrix[0][0].power(-0.5)]], matrix[0][0].log()
    # A = C C' with C lower triangular, and R = C'^-1
    first = matrix[0][0].power(-0.5)
    side = matrix[1][0] * first
    rest = matrix[1][1] - side * side
    last = rest.power(-0.5)
    return [[first, (side * first * last).minus()], [None, last]], matrix[0][0].log() + rest.log()


def _at_nodes(
    kernel: CountKernel,
    constants: Array,
    base: Array,
    loads: Array,
    modes: list[Jet],
    cells: list[list[Jet | None]],
    nodes: Array,
    log_weights: Array,
) -> tuple[Array, Array, Array]:
    """Return the logarithm of the weighted sum over the points, and its two derivatives."""
    q, arms = loads.shape[-2:]
    places, slopes = [], []  # of each random variable at the points: (B, K, N) and (B, K, d, N)
    for r in range(q):
        at, slope = modes[r].value[..., None], modes[r].first[..., None]
        for s in range(q):
            cell = cells[r][s]
            if cell is not None:
                at = at + cell.value[..., None] * nodes[s]
                slope = slope + cell.first[..., None] * nodes[s]
        places.append(at)
        slopes.append(slope)
    eta = base[..., None] + sum(loads[..., r, :, None] * places[r][..., None, :] for r in range(q))
    value, first, second = kernel.at(eta, 2)
    height = value.sum(axis=-2) + log_weights + 0.5 * (nodes * nodes).sum(axis=0)
    for r in range(q):
        height = height - 0.5 * places[r] * places[r]
    top = height.max(axis=-1, keepdims=True)
    share = np.exp(height - top)
    mass = share.sum(axis=-1, keepdims=True)
    share /= mass
    total = (top + np.log(mass))[..., 0]

    pull: Array = np.zeros(1)  # (B, K, d, N): derivative of the height
    curved: Array = np.zeros(1)  # (B, K, d, d): expected second derivative of the height
    for a in range(arms):
        along = constants[0, a][:, None] + 0.0 * slopes[0]
        for r in range(q):
            along = along + constants[1 + r, a][:, None] * places[r][..., None, :]
            along = along + loads[..., r, a, None, None] * slopes[r]
            lean = (slopes[r] * (share * first[..., a, :])[..., None, :]).sum(axis=-1)
            curved = curved + _symmetric(constants[1 + r, a][:, None] * lean[..., None, :])
        pull = pull + first[..., a, None, :] * along
        curved = curved + (along * (share * second[..., a, :])[..., None, :]) @ np.swapaxes(along, -1, -2)
    for r in range(q):
        pull = pull - places[r][..., None, :] * slopes[r]
        curved = curved - (slopes[r] * share[..., None, :]) @ np.swapaxes(slopes[r], -1, -2)
        force = share * ((loads[..., r, :, None] * first).sum(axis=-2) - places[r])
        curved = curved + force.sum(axis=-1)[..., None, None] * modes[r].second
        for s in range(q):
            cell = cells[r][s]
            if cell is not None:
                curved = curved + (force * nodes[s]).sum(axis=-1)[..., None, None] * cell.second
    gradient = (pull * share[..., None, :]).sum(axis=-1)
    curved = curved + (pull * share[..., None, :]) @ np.swapaxes(pull, -1, -2)
    return total, gradient, np.asarray(curved - gradient[..., :, None] * gradient[..., None, :])
