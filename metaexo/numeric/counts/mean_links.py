"""Risks and rates as functions of a linear predictor, and their means over normal ones, with derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from metaexo.numeric.quadrature import gauss_legendre
from metaexo.types import Array

ROOT_2_PI = float(np.sqrt(2 * np.pi))
# A mean over normal predictors is integrated between these values of the predictor, and to so many standard
# deviations on either side.
TURNS = (-30.0, -3.0, 0.0, 3.0, 30.0)
REACH = 9.0
POINTS = 40


class Means(NamedTuple):
    """Means at linear predictors, each an array of the shape of these."""

    mean: Array  # the risk or rate
    rest: Array  # 1 - mean, without cancellation; for rates it means nothing
    slope: Array  # first derivative of the mean
    bend: Array  # second derivative


@dataclass(frozen=True, slots=True)
class MeanLink:
    """A link: the scale on which risks or rates are linear."""

    name: str
    words: str  # the scale in words: "log odds"
    forward: Callable[[Array], Array]  # from a mean to the linear predictor
    means: Callable[[Array], Means]  # from the linear predictor to the mean


def _logit(eta: Array) -> Means:
    mean, rest = expit(eta), expit(-eta)
    return Means(mean, rest, mean * rest, mean * rest * (rest - mean))


def _probit(eta: Array) -> Means:
    density = np.exp(-(eta**2) / 2) / ROOT_2_PI
    return Means(ndtr(eta), ndtr(-eta), density, -eta * density)


def _cloglog(eta: Array) -> Means:
    with np.errstate(over="ignore", under="ignore"):
        hazard = np.exp(np.minimum(eta, 700.0))
        rest = np.exp(-hazard)
        slope = np.where(rest > 0, hazard * rest, 0.0)
    return Means(-np.expm1(-hazard), rest, slope, np.where(rest > 0, slope * (1 - hazard), 0.0))


def _log(eta: Array) -> Means:
    with np.errstate(over="ignore"):
        mean = np.exp(eta)
    return Means(mean, -np.expm1(np.minimum(eta, 700.0)), mean, mean)


def _identity(eta: Array) -> Means:
    return Means(eta, 1 - eta, np.ones_like(eta), np.zeros_like(eta))


LINKS = {
    link.name: link
    for link in (
        MeanLink("logit", "log odds", logit, _logit),
        MeanLink("probit", "normal quantile", ndtri, _probit),
        MeanLink("cloglog", "log cumulative hazard", lambda p: np.log(-np.log1p(-p)), _cloglog),
        MeanLink("log", "log", np.log, _log),
        MeanLink("identity", "as it is", np.asarray, _identity),
    )
}


def averaged(link: MeanLink, mean: Array, variance: Array) -> Means:
    """Return the mean risks or rates of normal linear predictors, arrays of the shape of `mean`.

    The slope is the derivative by the mean of the predictors; the bend is the second one, which is twice the
    derivative by their variance.
    """
    if link.name == "log":
        return link.means(mean + variance / 2)
    if link.name == "probit":
        scale = np.sqrt(1 + variance)
        found = link.means(mean / scale)
        return Means(found.mean, found.rest, found.slope / scale, found.bend / scale**2)
    sd = np.sqrt(variance)
    width = np.where(sd > 0, sd, 1.0)
    turns = np.clip((np.array(TURNS) - mean[..., None]) / width[..., None], -REACH, REACH)
    edge = np.full((*mean.shape, 1), REACH)
    ends = np.concatenate([-edge, turns, edge], axis=-1)
    nodes, weights = gauss_legendre(POINTS)
    half = np.diff(ends, axis=-1)[..., None] / 2
    z = ends[..., :-1, None] + half * (1 + nodes)
    share = half * weights * np.exp(-(z**2) / 2) / ROOT_2_PI
    at = link.means(mean[..., None, None] + sd[..., None, None] * z)
    return Means(*((part * share).sum(axis=(-1, -2)) for part in at))
