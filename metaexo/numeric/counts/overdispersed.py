"""Beta-binomial and negative binomial likelihoods of many data sets at once, and where they are highest.

Risks of arms differ around their mean by a beta distribution with the intra-class correlation w, rates by a
gamma distribution with the squared coefficient of variation w / (1 - w). Either likelihood is made of sums of
log(c + j theta) over j < m, with theta = w / (1 - w), and is smooth down to w = 0, where it is binomial or
Poisson. The sums are differences of log-gamma functions, log Gamma(m + c/theta) - log Gamma(c/theta)
+ m log(theta), which lose all digits as theta goes to 0. Here the first terms are added one by one, and the
others by the Euler-Maclaurin formula, so that value and derivatives are exact to rounding for every theta, 0
included, at a cost that does not depend on m.

For a grid of w the likelihood is climbed in the coefficients; from every w that is as high as its neighbours
it is climbed in all parameters together, by Newton's method with exact derivatives, and the highest is kept.
Two edges are maxima of their own: w = 0 where the likelihood falls from there, and w = 1, which a likelihood
of risks can reach where every arm has no event, or events alone: each arm counts as one person then.

References
----------
Abramowitz, M., Stegun, I. A. (1964). Handbook of Mathematical Functions, 23.1.30. National Bureau of
Standards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from metaexo.numeric.counts.mean_links import LINKS
from metaexo.numeric.quadrature import gauss_legendre
from metaexo.types import Array, Index, Mask

GRID = (0.0, 1e-5, 3e-4, 3e-3, 0.015, 0.05, 0.12, 0.25, 0.45, 0.7, 0.92)
LARGEST = 1 - 1e-9  # the largest correlation that is climbed to
MOST_STEPS = 200
MOST_HALVINGS = 40
LONGEST_STEP = 4.0  # in units of the linear predictor
SMALL_RISE = 1e-13
ROUNDING = 1e-15
ROUGH = 1e-3  # rise that a climb may leave for heights that are only compared
SINGULAR = 1e-12  # least eigenvalue of the information of a maximum, scaled to ones on its diagonal
LARGEST_RISE = 1e-8  # that one more step from a maximum may promise
FLAT = 1e-12
SAME_PLACE = 1e-5
SAME_HEIGHT = 1e-11  # of points of the grid, in units of 1 + |log-likelihood|
# Terms that are added one by one; those after them change so slowly that six corrections are exact.
FIRST = 10
# B_2k / (2k (2k - 1)): corrections at the ends of the integral, by odd powers of theta / (c + t theta).
VALUES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
SLOPES = tuple((2 * k + 1) * factor for k, factor in enumerate(VALUES))
BENDS = tuple((2 * k + 3) * (2 * k + 2) * factor for k, factor in enumerate(VALUES[1:]))
POINTS = 12


@dataclass(frozen=True, slots=True)
class Arms:
    """Counts of B data sets of R arms each."""

    events: Array  # (B, R)
    totals: Array  # (B, R): people, or person-time
    x: Array  # (B, R, p): columns of the linear predictor; B may be 1
    weight: Array  # (B, R): how often an arm counts; 0 leaves it out
    link: str
    person_time: bool

    @property
    def size(self) -> int:
        """Number of data sets."""
        return len(self.events)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.x.shape[-1])

    @property
    def rounding(self) -> Array:
        """Size of rounding errors of the log-likelihoods, shape (B,), beside those of their own size."""
        sizes = self.events if self.person_time else self.totals
        return np.asarray(ROUNDING * (sizes * self.weight).sum(axis=1))

    @property
    def whole(self) -> Mask:
        """Which data sets have no arm with both events and people without, shape (B,)."""
        one_sided = (self.events == 0) | (self.events == self.totals)
        return np.asarray((one_sided | (self.weight == 0)).all(axis=1) & (not self.person_time))

    def at(self, which: Index) -> Arms:
        """Return some of the data sets, which may repeat."""
        x = self.x if len(self.x) == 1 else self.x[which]
        return replace(
            self, events=self.events[which], totals=self.totals[which], x=x, weight=self.weight[which]
        )

    def as_people(self) -> Arms:
        """Return the data sets with one person per arm: had an event, or had none."""
        return replace(self, events=(self.events > 0).astype(float), totals=np.ones_like(self.totals))


def single(events: Array, totals: Array, x: Array, link: str, person_time: bool) -> Arms:
    """Return one data set of R arms with columns of shape (R, p)."""
    return Arms(events[None], totals[None], x[None], np.ones((1, events.size)), link, person_time)


class Height(NamedTuple):
    """Log-likelihoods with derivatives by the coefficients and then w."""

    value: Array  # (B,); -inf where a mean is not possible
    gradient: Array  # (B, p + 1)
    hessian: Array  # (B, p + 1, p + 1)


@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def height(arms: Arms, beta: Array, w: Array) -> Height:
    """Return the log-likelihoods at coefficients, shape (B, p), and correlations, shape (B,)."""
    eta = (arms.x @ beta[:, :, None])[..., 0]
    means = LINKS[arms.link].means(eta)
    theta = (w / (1 - w))[:, None]
    possible = (means.mean > 0) & np.isfinite(means.mean)
    if not arms.person_time:
        possible &= means.rest > 0
    rows = _rates(arms, means.mean, theta, possible) if arms.person_time else None
    if rows is None:
        rows = _risks(arms, means.mean, means.rest, theta, possible)
    value, by_mean, by_theta, by_means, by_both, by_thetas = (part * arms.weight for part in rows)
    by_eta, bend = by_mean * means.slope, by_means * means.slope**2 + by_mean * means.bend
    grown = 1 / (1 - w)  # theta's derivatives by w are its square, and twice its cube
    n = arms.p
    gradient, hessian = np.empty((len(w), n + 1)), np.empty((len(w), n + 1, n + 1))
    gradient[:, :n] = (by_eta[:, None, :] @ arms.x)[:, 0]
    gradient[:, n] = by_theta.sum(axis=1) * grown**2
    hessian[:, :n, :n] = np.swapaxes(arms.x, 1, 2) @ (bend[..., None] * arms.x)
    cross = ((by_both * means.slope)[:, None, :] @ arms.x)[:, 0] * grown[:, None] ** 2
    hessian[:, :n, n], hessian[:, n, :n] = cross, cross
    hessian[:, n, n] = by_thetas.sum(axis=1) * grown**4 + by_theta.sum(axis=1) * 2 * grown**3
    total = value.sum(axis=1)
    known = (
        (possible | (arms.weight == 0)).all(axis=1) & np.isfinite(total) & np.isfinite(hessian).all((1, 2))
    )
    return Height(np.where(known, total, -np.inf), gradient, hessian)


def _risks(arms: Arms, mean: Array, rest: Array, theta: Array, possible: Mask) -> tuple[Array, ...]:
    """Return the beta-binomial log-likelihood of each arm, and derivatives by the mean and theta."""
    y, n = arms.events, arms.totals
    mean, rest = np.where(possible, mean, 0.5), np.where(possible, rest, 0.5)
    whole = np.broadcast_to(n, mean.shape)
    m = np.stack([np.broadcast_to(y, mean.shape), whole - y, whole])
    c = np.stack([mean, rest, np.ones_like(mean)])
    found = rising(m, c, theta)
    of = [part[0] + part[1] - part[2] for part in (found.value, found.by_theta, found.by_theta_theta)]
    return (
        of[0] + gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1),
        found.by_c[0] - found.by_c[1],
        of[1],
        found.by_cc[0] + found.by_cc[1],
        found.by_c_theta[0] - found.by_c_theta[1],
        of[2],
    )


def _rates(arms: Arms, rate: Array, theta: Array, possible: Mask) -> tuple[Array, ...]:
    """Return the negative binomial log-likelihood of each arm, and derivatives by the rate and theta."""
    y, time = arms.events, arms.totals
    mu = np.where(possible, rate, 1.0) * time
    found = rising(y, np.ones_like(mu), theta)
    v = theta * mu
    _, p0, _, _, q1, _, r2 = integrals(v)
    spread = 1 + v
    return (
        found.value + y * np.log(mu / spread) - mu * p0 - gammaln(y + 1),
        (y / mu - 1) / spread * time,
        found.by_theta - y * mu / spread + mu**2 * q1,
        -(y / mu**2 + 2 * theta * y / mu - theta) / spread**2 * time**2,
        -(y - mu) / spread**2 * time,
        found.by_theta_theta + y * (mu / spread) ** 2 - 2 * mu**3 * r2,
    )


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest likelihood of each data set, with its certificate."""

    beta: Array  # (B, p)
    w: Array  # (B,): intra-class correlation, or squared coefficient of variation over itself plus 1
    value: Array  # (B,): log-likelihood
    information: Array  # (B, p + 1, p + 1): minus the second derivatives
    gradient: Array  # (B, p + 1)
    binomial: Array  # (B,): highest log-likelihood with w = 0
    iterations: Index  # (B,)
    maxima: Index  # (B,): local maxima that were found, edges included

    @property
    def at_zero(self) -> Mask:
        """Which data sets have w = 0, shape (B,)."""
        return np.asarray(self.w == 0)

    @property
    def at_one(self) -> Mask:
        """Which data sets have w = 1, shape (B,)."""
        return np.asarray(self.w == 1)

    def at(self, which: Index) -> Highest:
        """Return some of the maxima."""
        return Highest(*(getattr(self, name)[which] for name in Highest.__slots__))

    def cov(self) -> Array:
        """Return the inverse of the observed information, shape (B, p + 1, p + 1); NaN for w at an edge."""
        n = self.beta.shape[1]
        out = np.full_like(self.information, np.nan)
        inner = ~(self.at_zero | self.at_one)
        out[inner] = np.linalg.inv(self.information[inner])
        out[~inner, :n, :n] = np.linalg.inv(self.information[~inner, :n, :n])
        return out

    def rise(self) -> Array:
        """Return how far one more Newton step would raise each likelihood, shape (B,)."""
        free = np.ones_like(self.gradient, dtype=bool)
        free[:, -1] = ~(self.at_zero | self.at_one)
        return _newton(self.gradient, -self.information, free)[1]

    def certified(self) -> Mask:
        """Say which are known to be maxima, shape (B,): no slope, and curvature in every free direction."""
        edge = self.at_zero | self.at_one
        information = self.information.copy()
        information[edge, -1], information[edge, :, -1] = 0.0, 0.0
        information[edge, -1, -1] = 1.0
        size = np.sqrt(np.abs(np.diagonal(information, axis1=1, axis2=2)))
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = information / (size[:, :, None] * size[:, None, :])
        usable = np.isfinite(scaled).all(axis=(1, 2)) & np.isfinite(self.value)
        least = np.linalg.eigvalsh(np.where(usable[:, None, None], scaled, np.eye(size.shape[1])))[:, 0]
        known = usable & (least > SINGULAR)
        known[known] = self.rise()[known] <= LARGEST_RISE
        return np.asarray(known)


def maximise(arms: Arms, correlated: bool = True) -> Highest:
    """Return the highest likelihood of each data set; with w = 0 alone if not `correlated`."""
    size, start = arms.size, _start(arms)
    plain = _climb(arms, start, np.zeros(size), held=True)
    if not correlated:
        return _best(plain, plain.value, size)
    free = np.ones_like(plain.gradient, dtype=bool)
    free[:, -1] = False
    there = _newton(plain.gradient, plain.hessian, free)[1] <= LARGEST_RISE
    near = np.where((there & np.isfinite(plain.value))[:, None], plain.beta, start)
    grid = np.array(GRID[1:])
    which = np.tile(np.arange(size), grid.size)
    rough = _climb(arms.at(which), near[which], np.repeat(grid, size), held=True, enough=ROUGH)
    heights = np.concatenate([plain.value, rough.value]).reshape(len(GRID), size)
    padded = np.pad(heights, ((1, 1), (0, 0)), constant_values=-np.inf)
    top = heights + SAME_HEIGHT * (1 + np.abs(plain.value))
    chosen = np.flatnonzero(((top >= padded[:-2]) & (top >= padded[2:])).ravel())
    owner = np.tile(np.arange(size), len(GRID))[chosen]
    beta, w, before = (
        np.concatenate([getattr(part, name) for part in (plain, rough)])[chosen]
        for name in ("beta", "w", "iterations")
    )
    found = _climb(arms.at(owner), beta, w, held=False)
    found = replace(found, owner=owner, iterations=found.iterations + before)
    return _best(_and_edge(arms, found, start), plain.value, size)


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where climbs ended."""

    beta: Array
    w: Array
    value: Array
    gradient: Array
    hessian: Array
    iterations: Index
    owner: Index


def _best(found: _Ends, binomial: Array, size: int) -> Highest:
    """Return the highest end of each data set; of equal ones the first, which is that with the smallest w."""
    order = np.lexsort((found.w, -np.round(found.value, 10), found.owner))
    first = order[np.searchsorted(found.owner[order], np.arange(size))]
    near = np.lexsort((found.w, found.owner))
    w, owner = found.w[near], found.owner[near]
    new = np.diff(owner, prepend=-1) > 0
    new[1:] |= np.diff(w) > SAME_PLACE * (1e-3 + w[1:])
    maxima = np.bincount(owner[new], minlength=size)
    return Highest(
        beta=found.beta[first],
        w=found.w[first],
        value=found.value[first],
        information=-found.hessian[first],
        gradient=found.gradient[first],
        binomial=binomial,
        iterations=found.iterations[first],
        maxima=maxima,
    )


def _and_edge(arms: Arms, found: _Ends, start: Array) -> _Ends:
    """Return the ends with those at w = 1, for data sets whose likelihood does not vanish there."""
    rows = np.flatnonzero(arms.whole & ((arms.totals > 1) & (arms.weight > 0)).any(axis=1))
    if not rows.size:
        return found
    edge = _climb(arms.at(rows).as_people(), start[rows], np.zeros(rows.size), held=True)
    below = found.w < LARGEST  # those that ran up to the edge give way to it
    parts = {
        name: np.concatenate([getattr(found, name)[below], getattr(edge, name)])
        for name in ("beta", "value", "gradient", "hessian", "iterations")
    }
    return _Ends(
        **parts,
        w=np.concatenate([found.w[below], np.ones(rows.size)]),
        owner=np.concatenate([found.owner[below], rows]),
    )


# -- climbing -----------------------------------------------------------------------------------------------


def _start(arms: Arms) -> Array:
    """Return coefficients, shape (B, p), that give every arm about the mean of all."""
    events = (arms.events * arms.weight).sum(axis=1)
    totals = (arms.totals * arms.weight).sum(axis=1)
    most = totals.max(axis=0, initial=0.0) if arms.person_time else totals
    mean = (events + 0.5) / np.where(arms.person_time, np.maximum(totals, most * 1e-12), totals + 1)
    level = LINKS[arms.link].forward(mean)
    ones = np.ones((arms.x.shape[1], 1))
    even = np.stack([np.linalg.lstsq(x, ones, rcond=None)[0][:, 0] for x in arms.x])
    return np.asarray(even * level[:, None])


def _newton(gradient: Array, hessian: Array, free: Mask) -> tuple[Array, Array]:
    """Return Newton's steps uphill in the free parameters, shape (b, n), and the rises that they promise.

    Where the curvature is not that of a maximum, eigenvalues change sign, so that every step leads uphill.
    """
    pairs = free[:, :, None] & free[:, None, :]
    curvature = np.where(pairs, -hessian, 0.0)
    size = np.sqrt(np.abs(np.diagonal(curvature, axis1=1, axis2=2)))
    size = np.where(free & (size > 0), size, 1.0)
    curvature = curvature / (size[:, :, None] * size[:, None, :])
    slope = np.where(free, gradient, 0.0) / size
    values, vectors = np.linalg.eigh(curvature)
    along = (slope[:, None, :] @ vectors)[:, 0]
    values = np.maximum(np.abs(values), FLAT)
    step = (vectors @ (along / values)[:, :, None])[..., 0] / size
    return step, 0.5 * (along**2 / values).sum(axis=1)


def _climb(arms: Arms, beta: Array, w: Array, held: bool, enough: float = 0.0) -> _Ends:
    """Climb the likelihood of each data set from a start of its own; `held`: with w as it is.

    `enough`: the rise of one more step below which a climb may end.
    """
    size, n = beta.shape
    beta, w = beta.copy(), w.copy()
    at = height(arms, beta, w)
    value, gradient, hessian = at.value.copy(), at.gradient.copy(), at.hessian.copy()
    iterations = np.zeros(size, dtype=np.intp)
    moving = np.flatnonzero(np.isfinite(value))
    for _ in range(MOST_STEPS):
        if not moving.size:
            break
        iterations[moving] += 1
        free = np.ones((moving.size, n + 1), dtype=bool)
        slope = gradient[moving, n]
        free[:, n] = not held
        free[:, n] &= ~((w[moving] == 0) & (slope <= 0)) & ~((w[moving] == LARGEST) & (slope >= 0))
        step, rise = _newton(gradient[moving], hessian[moving], free)
        part = arms.at(moving)
        step = _short(part, step, w[moving])
        taken = _search(part, beta, w, value, gradient, hessian, moving, step)
        least = SMALL_RISE * (1 + np.abs(value[moving])) + part.rounding
        done = ~taken | (rise <= np.maximum(least, enough))
        moving = moving[~done]
    return _Ends(beta, w, value, gradient, hessian, iterations, np.arange(size))


def _short(arms: Arms, step: Array, w: Array) -> Array:
    """Return the steps, cut where a linear predictor would move too far, or w leave its range."""
    n = arms.p
    far = np.abs((arms.x @ step[:, :n, None])[..., 0]).max(axis=1)
    share = np.minimum(1.0, LONGEST_STEP / np.maximum(far, 1e-300))
    move = step[:, n]
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.where(move < 0, -w / move, np.inf)
        up = np.where(move > 0, (LARGEST - w) / move, np.inf)
    return np.asarray(step * np.minimum(share, np.minimum(down, up))[:, None])


def _search(
    arms: Arms,
    beta: Array,
    w: Array,
    value: Array,
    gradient: Array,
    hessian: Array,
    rows: Index,
    step: Array,
) -> Mask:
    """Halve each step until the likelihood does not fall, move there, and say which could move at all."""
    n = arms.p
    taken = np.zeros(rows.size, dtype=bool)
    left, share = np.arange(rows.size), 1.0
    for _ in range(MOST_HALVINGS):
        which, part = rows[left], arms if left.size == rows.size else arms.at(left)
        there = beta[which] + share * step[left, :n]
        corr = w[which] + share * step[left, n]
        corr = np.clip(np.where(corr < 1e-15, 0.0, corr), 0.0, LARGEST)
        at = height(part, there, corr)
        good = at.value >= value[which] - SMALL_RISE * (1 + np.abs(value[which])) - part.rounding
        moved = which[good]
        beta[moved], w[moved], value[moved] = there[good], corr[good], at.value[good]
        gradient[moved], hessian[moved] = at.gradient[good], at.hessian[good]
        taken[left[good]] = True
        left, share = left[~good], share / 2
        if not left.size:
            break
    return taken


# -- sums of logarithms -------------------------------------------------------------------------------------


class Rising(NamedTuple):
    """A sum of logarithms with its derivatives by c and theta."""

    value: Array
    by_c: Array
    by_theta: Array
    by_cc: Array
    by_c_theta: Array
    by_theta_theta: Array


def rising(m: Array, c: Array, theta: Array) -> Rising:
    """Return the sum of log(c + j theta) over j = 0 ... m - 1, and its derivatives.

    `m`, whole numbers of at least 0; `c` above 0; `theta` at least 0: arrays that broadcast.
    """
    m, c, theta = np.broadcast_arrays(m, c, theta)
    most = int(min(FIRST, m.max(initial=0.0)))
    j = np.arange(most, dtype=float)
    in_sum = j < m[..., None]
    term = np.where(in_sum, c[..., None] + j * theta[..., None], 1.0)
    inverse = np.where(in_sum, 1 / term, 0.0)
    powers = np.stack([np.ones(most), j, j**2], axis=-1)
    once, twice = inverse @ powers[:, :2], -(inverse**2) @ powers
    of_once, of_twice = np.moveaxis(once, -1, 0), np.moveaxis(twice, -1, 0)
    parts = [np.log(term).sum(axis=-1), *of_once, *of_twice]
    long = m > FIRST
    if long.any():
        for part, more in zip(parts, _rest(m[long], c[long], theta[long]), strict=True):
            part[long] += more
    return Rising(*parts)


def _rest(m: Array, c: Array, theta: Array) -> list[Array]:
    """Return the sum over j = FIRST ... m - 1 and its derivatives, in the order of Rising."""
    first, count = float(FIRST), m - FIRST  # above 0
    w0, w1 = c + first * theta, c + m * theta
    u = count * theta / w0
    h, p0, p1, q0, q1, q2, *_ = integrals(u)
    along, square = count / w0, count / w0**2
    parts = [
        count * (np.log(w0) + h),
        along * p0,
        along * (first * p0 + count * p1),
        -square * q0,
        -square * (first * q0 + count * q1),
        -square * (first**2 * q0 + 2 * first * count * q1 + count**2 * q2),
    ]
    for sign, t, w in ((1.0, m, w1), (-1.0, first, w0)):
        for i, end in enumerate(_end(t, w, c, theta)):
            parts[i] = parts[i] + sign * end
    return parts


def _end(t: Array | float, w: Array, c: Array, theta: Array) -> list[Array]:
    """Return the corrections at one end of the integral, t, where c + t theta is w."""
    inverse = 1 / w
    x = theta * inverse
    square = x * x
    value, slope, bend = (_polynomial(part, square) for part in (VALUES, SLOPES, BENDS))
    value, bend = value * x, bend * x
    by_c, by_theta = -x * inverse, c * inverse * inverse
    cube = by_theta * inverse
    by_cc, by_c_theta, by_theta_theta = -2 * by_c * inverse, (x * t - c * inverse) * inverse**2, -2 * t * cube
    return [
        value - 0.5 * np.log(w),
        slope * by_c - 0.5 * inverse,
        slope * by_theta - 0.5 * t * inverse,
        bend * by_c * by_c + slope * by_cc + 0.5 * inverse * inverse,
        bend * by_c * by_theta + slope * by_c_theta + 0.5 * t * inverse * inverse,
        bend * by_theta * by_theta + slope * by_theta_theta + 0.5 * (t * inverse) ** 2,
    ]


def _polynomial(factors: tuple[float, ...], x: Array) -> Array:
    """Return a polynomial, the constant first."""
    value = np.full_like(x, factors[-1])
    for factor in factors[-2::-1]:
        value = value * x + factor
    return value


def integrals(u: Array) -> tuple[Array, ...]:
    """Return integrals over s from 0 to 1, for u of at least 0.

    They are those of log(1 + us); 1/(1 + us) and s/(1 + us); s^k/(1 + us)^2 for k = 0, 1, 2; and
    s^k/(1 + us)^3 for k = 2: eight arrays of the shape of u, the last but one left out.
    """
    small = np.minimum(u, 1.0)
    nodes, weights = gauss_legendre(POINTS)
    s, weight = (nodes + 1) / 2, weights / 2
    grown = 1 + small[..., None] * s
    by_one = 1 / grown
    near = (
        np.log(grown) @ weight,
        by_one @ weight,
        by_one @ (weight * s),
        by_one**2 @ weight,
        by_one**2 @ (weight * s),
        by_one**2 @ (weight * s**2),
        by_one**3 @ (weight * s**2),
    )
    if not (u > 1).any():
        return near
    v = np.maximum(u, 1.0)
    p0 = np.log1p(v) / v
    p1, q0 = (1 - p0) / v, 1 / (1 + v)
    q1 = (p0 - q0) / v
    r0 = (1 - q0**2) / (2 * v)
    far = ((1 + v) * p0 - 1, p0, p1, q0, q1, (p1 - q1) / v, (q1 - (q0 - r0) / v) / v)
    return tuple(np.where(u > 1, one, other) for one, other in zip(far, near, strict=True))
