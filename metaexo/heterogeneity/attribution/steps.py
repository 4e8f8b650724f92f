"""The numbers of an attribution: estimates, draws, permutation tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, MetaexoError
from metaexo.formatting import plural
from metaexo.heterogeneity.attribution.confounding import Confounding, confounding_of
from metaexo.heterogeneity.attribution.draws import (
    FittedModel,
    permutation_p_value,
    permuted_studies,
    shrunk_mean,
)
from metaexo.heterogeneity.attribution.estimability import Estimability, estimability
from metaexo.heterogeneity.attribution.record import Choices, Explained
from metaexo.heterogeneity.attribution.shares import PartKind, Parts, Subset, subsets, tau2_by_model
from metaexo.heterogeneity.attribution.verdicts import LEAST_DF, Evidence
from metaexo.heterogeneity.levels import FactorTable, basis_beyond, column_space
from metaexo.inputs import check_level, whole_number
from metaexo.models.multilevel.model import Multilevel
from metaexo.numeric.estimators import get_estimator
from metaexo.types import Array

LEAST_PERMUTATIONS = 19
# Levels of all factors together, beyond which thousands of fits take hours.
MOST_LEVELS = 250
SET_ASIDE = "a level of too few studies"

# What a part can be in truth: a factor cannot explain less than nothing; what factors share can be negative.
LOWEST: dict[PartKind, float] = {"common": -1.0}


@dataclass(frozen=True, eq=False)
class Work:
    """What an attribution works with; `advance` is called with the number of fits made, now and then."""

    effects: EffectSizes
    used: EffectSizes  # those whose levels are in enough studies
    found: Estimability
    chosen: Choices
    advance: Callable[[int], None] = field(default=lambda count: None)

    @property
    def table(self) -> FactorTable:
        """Levels of the effects that are used."""
        return self.found.used

    def stream(self, number: int) -> np.random.Generator:
        """Return one of several independent streams of random numbers."""
        return np.random.default_rng([self.chosen.seed, number])


@dataclass(frozen=True, eq=False)
class Numbers:
    """Estimates of the parts, in units of tau2 and as shares; interval and `p_zero` are NaN without draws."""

    tau2: Array  # under each model; the first is without factors
    parts: Array
    shares: Array
    low: Array
    high: Array
    p_zero: Array  # share of the draws that is not above zero
    chance: Array  # mean share by permutations
    explained: Explained

    def corrected(self, together: int) -> Array:
        """Return the shares corrected for chance, given the position of the part "together".

        They are missing (NaN) where chance explains everything.
        """
        room = 1.0 - self.chance[together]
        return np.asarray((self.shares - self.chance) / (room if room > 0 else np.nan))


@dataclass(frozen=True, eq=False)
class PermutationTests:
    """p-values by permutations of whole studies."""

    given_others: dict[Subset, float]  # each set of factors, given the others
    alone: tuple[float, ...]  # each factor by itself
    interaction: float | None  # given all factors; None where it is not estimable

    def of(self, kind: PartKind, owners: Subset) -> float | None:
        """Return the p-value of a part; None if it has none."""
        if kind in ("factor", "only", "together"):
            return self.given_others[owners]
        return self.interaction if kind == "interaction" else None


def begin(effects: EffectSizes, by: str | Sequence[str], chosen: Choices) -> tuple[Work, Confounding]:
    """Return what an attribution works with, and how far the factors are confounded."""
    effects = check_effects(effects, "mx.attribute_heterogeneity")
    chosen = replace(chosen, method=get_estimator(chosen.method).code)
    _check(chosen, effects)
    found = estimability(effects, by, chosen.min_studies)
    _refuse_too_large(found)
    return Work(effects, effects.select(found.rows_used, SET_ASIDE), found, chosen), confounding_of(found)


def _refuse_too_large(found: Estimability) -> None:
    """Raise if the design has so many levels that thousands of fits would take hours."""
    levels = sum(len(every) for every in found.used.levels)
    if levels > MOST_LEVELS:
        each = ", ".join(
            f"{name} {len(every)}" for name, every in zip(found.by, found.used.levels, strict=True)
        )
        raise InputError(
            f"the factors have {levels} levels ({each}), and every draw and permutation fits them all",
            f"at most {MOST_LEVELS} levels together",
            "join levels that belong together, or leave out rare ones with a larger min_studies",
        )


@contextmanager
def shown(work: Work, parts: Parts, tests: int, progress: bool | None) -> Iterator[Work]:
    """Yield the work with a progress bar over all of its fits; by default where the output is a terminal."""
    from tqdm import tqdm

    chosen = work.chosen
    fits = (chosen.permutations + chosen.draws) * len(parts.models) + tests * (chosen.permutations + 1)
    off = None if progress is None else not progress
    with tqdm(total=fits, unit="fit", desc="attribution", disable=off, delay=0.5, leave=False) as bar:
        yield replace(work, advance=bar.update)


def has_interaction(work: Work) -> bool:
    """Return whether the interaction is estimable, with studies left for what it does not explain."""
    cells = len(work.table.cells()[0])
    return work.found.interaction_df > 0 and work.table.m - cells >= LEAST_DF


def estimates(work: Work, parts: Parts) -> Array:
    """Return tau2 under each model, shape (1, models)."""
    return tau2_by_model(work.used.y[None], work.used.v[None], parts, work.chosen.method)


def evidence(
    work: Work, tested: PermutationTests, shares: Array, low: Array | None = None, high: Array | None = None
) -> Evidence:
    """Return what a verdict is given on; without ends there are no intervals."""
    p = work.table.p
    ends = np.full((2, len(shares)), np.nan) if low is None or high is None else np.array([low, high])
    return Evidence(
        names=work.table.names,
        given_others=tested.given_others,
        alone=tested.alone,
        shares=tuple(shares[:p].tolist()),
        bounds=tuple((float(a), float(b)) for a, b in ends.T[:p]),
        together=float(shares[-1]),
        interaction=tested.interaction,
        level=work.chosen.level,
    )


def numbers(work: Work, parts: Parts) -> Numbers:
    """Return the estimates of the parts, with intervals and what chance makes."""
    y, v, chosen = work.used.y, work.used.v, work.chosen
    tau2 = estimates(work, parts)[0]
    together = next(i for i, kind in enumerate(parts.kinds) if kind == "together")
    rows = permuted_studies(work.table.study, chosen.permutations, work.stream(0))
    permuted = parts.shares(tau2_by_model(y[rows], v[rows], parts, chosen.method, work.advance))
    shares = parts.shares(tau2[None])[0]
    low, high, p_zero = _intervals(work, parts, tau2)
    r2, r2_chance = max(0.0, shares[together]), np.maximum(permuted[:, together], 0.0).mean()
    return Numbers(
        tau2=tau2,
        parts=parts.of(tau2[None])[0],
        shares=shares,
        low=low,
        high=high,
        p_zero=p_zero,
        chance=permuted.mean(axis=0),
        explained=Explained(float(tau2[0]), float(r2), float(r2_chance)),
    )


def permutation_tests(work: Work, parts: Parts) -> PermutationTests:
    """Return the p-values of all sets of factors given the others, and of each factor alone."""
    table = work.table
    sets = subsets(table.p)
    base = dict(zip(sets, parts.models, strict=False))
    everything = sets[-1]

    given = {
        s: _p_value(work, base[tuple(f for f in everything if f not in s)], base[everything], i)
        for i, s in enumerate(sets)
        if s
    }
    alone = tuple(
        given[everything] if table.p == 1 else _p_value(work, base[()], base[f,], 100 + f) for f in everything
    )
    has_interaction = len(parts.models) > len(sets)
    interaction = _p_value(work, base[everything], parts.models[-1], 200) if has_interaction else None
    return PermutationTests(given, alone, interaction)


def joint_test(work: Work, parts: Parts) -> float:
    """Return the p-value of all factors together, where they are confounded."""
    less, more = parts.models
    return _p_value(work, less, more, 1)


def _p_value(work: Work, less: Array, more: Array, stream: int) -> float:
    """Return the p-value of what one model explains beyond another."""
    y, v, study, draws = work.used.y, work.used.v, work.table.study, work.chosen.permutations
    return permutation_p_value(y, v, less, more, study, draws, work.stream(stream), work.advance)


def _intervals(work: Work, parts: Parts, tau2: Array) -> tuple[Array, Array, Array]:
    """Return lower and upper ends, and the share of the draws not above zero, shape (parts,) each."""
    chosen = work.chosen
    if chosen.draws == 0 or tau2[0] == 0:
        nothing = np.full(len(parts.names), np.nan)
        return nothing, nothing, nothing
    y = fitted_model(work, parts, float(tau2[-1])).draw(chosen.draws, work.stream(3))
    v = np.broadcast_to(work.used.v, y.shape)
    drawn = parts.shares(tau2_by_model(y, v, parts, chosen.method, work.advance))
    low, high = np.quantile(drawn, [(1 - chosen.level) / 2, (1 + chosen.level) / 2], axis=0)
    lowest = np.array([LOWEST.get(kind, 0.0) for kind in parts.kinds])
    return np.clip(low, lowest, 1.0), np.clip(high, lowest, 1.0), (drawn <= 0).mean(axis=0)


def fitted_model(work: Work, parts: Parts, tau2: float) -> FittedModel:
    """Return the model that draws come from, at the tau2 of the largest model."""
    table, y, v = work.table, work.used.y, work.used.v
    blocks = model_blocks(table, parts)
    between, within = _levels_of_variance(work, blocks, tau2)
    start = FittedModel(np.zeros(y.size), v, between, within, table.study)
    return replace(start, mean=shrunk_mean(blocks, y, start))


def model_blocks(table: FactorTable, parts: Parts) -> list[Array]:
    """Return the columns of each factor, and of the interaction beyond them; all together of full rank."""
    if "factor" not in parts.kinds:
        everything = parts.models[-1]
        return [_beyond(everything, np.ones((table.k, 1)))]
    blocks = [table.indicators(f)[:, 1:] for f in range(table.p)]
    if "interaction" in parts.kinds:
        blocks.append(_beyond(parts.models[-1], np.hstack([np.ones((table.k, 1)), *blocks])))
    return blocks


def _beyond(large: Array, small: Array) -> Array:
    """Return a basis of what a space has beyond the columns of a design within it."""
    return basis_beyond(large, column_space(small))


def _levels_of_variance(work: Work, blocks: Sequence[Array], tau2: float) -> tuple[float, float]:
    """Return the variances between studies and within them that are left unexplained.

    Where a study has several effects the two are estimated; if that fails, all of tau2 is between studies,
    which makes intervals wider.
    """
    if work.used.m == work.used.k:
        return tau2, 0.0
    moderators = np.hstack(blocks)
    try:
        fit = Multilevel(work.used, "study/effect", moderators=moderators).fit()
    except MetaexoError:
        return tau2, 0.0
    found = fit.component_values
    return found["study"], found["study/effect"]


def _check(chosen: Choices, effects: EffectSizes) -> None:
    """Raise for numbers out of their range, and for estimators that the data rule out."""
    for name, least in (("draws", -1), ("permutations", 0), ("seed", 0), ("min_studies", 1)):
        whole_number(getattr(chosen, name), name, least)
    check_level(chosen.level)
    if chosen.draws < 0 or chosen.permutations < LEAST_PERMUTATIONS:
        raise InputError(
            f"{chosen.draws} draws and {chosen.permutations} permutations",
            f"at least 0 draws and {LEAST_PERMUTATIONS} permutations",
            "with fewer permutations no p-value can reach 0.05",
        )
    estimator = get_estimator(chosen.method)
    if estimator.needs_weights or estimator.code == "EE":
        raise InputError(
            f"the method {chosen.method}",
            "an estimator of tau2 that needs no weights of your own, for example REML",
        )
    zero = np.flatnonzero(effects.v == 0)
    if 0 < zero.size < effects.k or (zero.size and estimator.divides_by_v):
        raise InputError(
            f"{zero.size} of {plural(effects.k, 'sampling variance')} "
            + ("is zero" if zero.size == 1 else "are zero"),
            "sampling variances above 0; or, for REML, none at all: then the whole variance is attributed",
            "look the rows up in the source",
            [effects.row_ids[i] for i in zero],
        )
