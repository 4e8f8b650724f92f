"""Risks and rates as functions of a linear predictor, with two derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from metaexo.types import Array

ROOT_2_PI = float(np.sqrt(2 * np.pi))


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


def risk_of_cloglog(eta: Array) -> Array:
    """Return risks at logarithms of their cumulative hazards."""
    return _cloglog(np.asarray(eta, dtype=float)).mean


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
