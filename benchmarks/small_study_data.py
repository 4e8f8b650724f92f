"""What the simulation of small-study effects draws: meta-analyses of published studies.

A study is published for certain or with a probability that depends on its one-sided p-value alone; the others
are not seen. Two designs are those of animal studies, 5 to 10 animals per group: standardised mean
differences, whose standard errors depend on the effects, and mean differences with known standard errors, as
a contrast. In the third, group sizes go from 5 to 100.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from scipy import special

from metaexo.effects import calculate
from metaexo.types import Array

SEED, DRAWS = 0, 4000
SIZES, MEANS, TAUS = (5, 10, 20, 50, 100), (0.0, 0.5), (0.0, 0.3)
KEY = ["design", "selection", "mean", "tau", "k", "method"]
# What is measured in words; animals per group, from and to; and whether effects are standardised.
DESIGNS = {
    "SMD": ("SMD, 5 to 10 animals per group", 5, 10, True),
    "MD": ("mean differences, known SE, 5 to 10 animals per group", 5, 10, False),
    "SMD, sizes vary": ("SMD, 5 to 100 animals per group", 5, 100, True),
}
# Probability of publication, given the one-sided p-value.
SELECTIONS: dict[str, Callable[[Array], Array]] = {
    "none": np.ones_like,
    "step": lambda p: np.where(p < 0.025, 1.0, 0.2),
    "strong": lambda p: np.exp(-4 * np.sqrt(p)),
}


@dataclass(frozen=True)
class Draw:
    """Meta-analyses of published studies: effects, variances and animals per group, (draws, k).

    `share` is the share of studies that were published.
    """

    y: Array
    v: Array
    n: Array
    standardised: bool
    share: float = 1.0

    @cached_property
    def se(self) -> Array:
        """Standard errors."""
        return np.sqrt(self.v)

    @property
    def size(self) -> Array:
        """The part of the sampling variance that does not depend on the effect."""
        return 2 / self.n

    def first(self, count: int) -> Draw:
        """Return the first `count` meta-analyses."""
        return replace(self, y=self.y[:count], v=self.v[:count], n=self.n[:count])


@dataclass(frozen=True)
class Setting:
    """One cell of the simulation."""

    design: str
    selection: str
    mean: float
    tau: float
    k: int

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of this setting alone."""
        place = (list(DESIGNS).index(self.design), list(SELECTIONS).index(self.selection))
        return np.random.default_rng([SEED, *place, round(100 * self.mean), round(100 * self.tau), self.k])


def settings() -> Iterator[Setting]:
    """Yield all settings."""
    for design, selection, mean, tau, k in product(DESIGNS, SELECTIONS, MEANS, TAUS, SIZES):
        yield Setting(design, selection, mean, tau, k)


def studies(setting: Setting, rng: np.random.Generator, count: int) -> tuple[Array, dict[str, Array]]:
    """Return one-sided p-values of studies, published or not, and what they measured.

    Means and standard deviations of normal data are drawn, not the single animals: their distribution is
    the same. The outcome has a standard deviation of 1 in both groups.
    """
    _, least, most, standardised = DESIGNS[setting.design]
    n = np.floor(np.exp(rng.uniform(np.log(least), np.log(most + 1), count)))
    true = setting.mean + setting.tau * rng.standard_normal(count)
    control, treated = rng.standard_normal((2, count)) / np.sqrt(n)
    measured = {"n": n, "treated": true + treated, "control": control}
    difference, df = measured["treated"] - control, 2 * n - 2
    if not standardised:
        return special.ndtr(-difference / np.sqrt(2 / n)), measured
    sd = np.sqrt(rng.chisquare(n - 1, (2, count)) / (n - 1))
    measured |= {"treated_sd": sd[0], "control_sd": sd[1]}
    return special.stdtr(df, -difference / np.sqrt((sd**2).sum(axis=0) / n)), measured


def simulate(setting: Setting, draws: int = DRAWS) -> Draw:
    """Return `draws` meta-analyses of published studies."""
    rng, weight = setting.rng, SELECTIONS[setting.selection]
    wanted, parts, made = draws * setting.k, [], 0
    while wanted:
        p, measured = studies(setting, rng, wanted)
        published = rng.random(wanted) < weight(p)
        parts.append({name: values[published] for name, values in measured.items()})
        made += wanted
        wanted -= int(published.sum())
    flat = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    y, v, n = (one.reshape(draws, setting.k) for one in effects(setting, flat))
    return Draw(y=y, v=v, n=n, standardised=DESIGNS[setting.design][3], share=draws * setting.k / made)


def effects(setting: Setting, flat: dict[str, Array]) -> tuple[Array, Array, Array]:
    """Return effects, sampling variances and group sizes of studies."""
    n = flat["n"]
    if not DESIGNS[setting.design][3]:
        return flat["treated"] - flat["control"], 2 / n, n
    names = {"treated": "treatment_mean", "treated_sd": "treatment_sd"}
    names |= {"control": "control_mean", "control_sd": "control_sd"}
    found = calculate(
        "SMD", {words: flat[name] for name, words in names.items()} | {"treatment_n": n, "control_n": n}
    )
    return found.y, found.v, n
