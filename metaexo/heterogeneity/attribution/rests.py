"""Shares of an attribution without each level of each factor, and without each study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.formatting import plural
from metaexo.heterogeneity.attribution.shares import separable_parts, tau2_by_model
from metaexo.heterogeneity.attribution.steps import Work
from metaexo.heterogeneity.levels import FactorTable, readable, whole_percent
from metaexo.types import Array, Index

# A share rests on one level or study if it is at least the first, and less than this part of it is left.
LEAST_SHARE, PART_LEFT = 0.10, 0.5
# Studies that are left out in turn: those whose effects lie farthest from the mean.
MOST_STUDIES = 40


@dataclass(frozen=True, eq=False)
class SharesWithout:
    """Shares without each level and each study in turn, an entry per row of `shares`."""

    terms: tuple[str, ...]  # factor whose level is left out, or "study"
    levels: tuple[str, ...]
    members: tuple[Index, ...]  # the rows that are left out
    tau2: Array  # (B, p): what each factor explains, in units of tau2
    shares: Array  # (B, p): its share
    studies: int  # number of studies, of which those farthest from the mean were left out


def shares_without(work: Work, most: int = MOST_STUDIES) -> SharesWithout:
    """Return the shares of the factors without each of their levels, and without each study.

    `most`: most studies that are left out. An interaction changes no share of a factor.
    """
    table = work.table
    rows: list[tuple[str, str, Index]] = []
    for f, (name, levels) in enumerate(zip(table.names, table.levels, strict=True)):
        rows += [(name, level, np.flatnonzero(table.codes[:, f] == i)) for i, level in enumerate(levels)]
    labels, code = np.unique(list(work.used.study or work.used.row_ids), return_inverse=True)
    y = work.used.y
    far = np.abs(np.bincount(code, y - y.mean()) / np.bincount(code))
    chosen = np.sort(np.argsort(-far, kind="stable")[:most])
    rows += [("study", str(labels[i]), np.flatnonzero(code == i)) for i in chosen.tolist()]
    found = [_without(work, left) for _, _, left in rows]
    terms, names, members = zip(*rows, strict=True)
    tau2, shares = (np.array([one[i] for one in found]) for i in range(2))
    return SharesWithout(terms, names, members, tau2, shares, labels.size)


def _without(work: Work, left: Index) -> tuple[Array, Array]:
    """Return what the factors explain without some rows, and their shares; NaN if one has a single level."""
    kept = np.delete(np.arange(work.used.k), left)
    p = work.table.p
    levels, codes = [], []
    for f in range(p):
        there, code = np.unique(work.table.codes[kept, f], return_inverse=True)
        levels.append(tuple(work.table.levels[f][i] for i in there))
        codes.append(code)
    study = np.unique(work.table.study[kept], return_inverse=True)[1]
    table = FactorTable(work.table.names, tuple(levels), np.column_stack(codes), study)
    if min(map(len, levels)) < 2 or kept.size <= table.additive(range(p)).shape[1]:
        return np.full(p, np.nan), np.full(p, np.nan)
    parts = separable_parts(table, interaction=False)
    tau2 = tau2_by_model(work.used.y[kept][None], work.used.v[kept][None], parts, work.chosen.method)
    return parts.of(tau2)[0, :p], parts.shares(tau2)[0, :p]


def cautions(work: Work, shares: Array, named: Sequence[str]) -> tuple[str, ...]:
    """Return for each named factor whose share rests on one level or one study what is left without it."""
    asked = [f for f, name in enumerate(work.table.names) if name in named and shares[f] >= LEAST_SHARE]
    if not asked:
        return ()
    found = shares_without(work)
    out = []
    for f in asked:
        left = found.shares[:, f]
        if np.isnan(left).all():
            continue
        i = int(np.nanargmin(left))
        if left[i] < PART_LEFT * shares[f]:
            what = f"{readable(found.terms[i])} {readable(found.levels[i])}"
            rows = plural(found.members[i].size, "effect")
            out.append(
                f"caution: without {what} ({rows}) the share of {readable(work.table.names[f])} falls from "
                f"{whole_percent(min(float(shares[f]), 1.0))} to {whole_percent(max(float(left[i]), 0.0))}"
            )
    return tuple(out)
