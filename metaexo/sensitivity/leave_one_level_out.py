"""Leave-one-level-out: variance components and their shares without each level of each random term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import number, percent, plural
from metaexo.heterogeneity.attribution.rests import shares_without
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.attribution.steps import Work
from metaexo.heterogeneity.levels import readable
from metaexo.immutable import frozen
from metaexo.inputs import check_choice, describe, read_words, whole_number
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.fit import component_load
from metaexo.models.multilevel.multivariate_moments import METHODS as MOMENTS
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import NamedTerm
from metaexo.readable import Readable, ReaderTable, plain, shows_itself
from metaexo.sensitivity.refit import checked_fit
from metaexo.sensitivity.refits import leaving_out, refits
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

# A component rests on one level if it makes at least this share, and less than this part of it is left.
LEAST_SHARE, PART_LEFT = 0.10, 0.5
# Rows of the table that readers see.
MOST_SHOWN = 12


@shows_itself
@dataclass(frozen=True, slots=True)
class LevelLeftOut:
    """What leaving out one level does to one component.

    Attributes
    ----------
    term, level : str
        What was left out.
    component : str
        The component of the variance.
    tau2, tau2_without : float
        Its variance with all levels, and without this one.
    share, share_without : float
        Its share of the variance of true effects, with all levels and without this one.
    k, m : int
        Effects and studies that are left.
    sentence : str
        The same in words.
    """

    term: str
    level: str
    component: str
    tau2: float
    tau2_without: float
    share: float
    share_without: float
    k: int
    m: int
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, eq=False, repr=False)
class LeaveOneLevelOut(Readable):
    """Variance components without each level in turn: arrays with an entry per level, NaN without a fit.

    Attributes
    ----------
    terms, levels : tuple of str, length B
        What was left out.
    components : tuple of str, length c
        The components of the variance.
    k, m : ndarray, shape (B,)
        Effects and studies that are left.
    tau2 : ndarray, shape (B, c)
        Variances without each level.
    shares : ndarray, shape (B, c)
        Their shares of the variance of true effects; 0 where no variance is left.
    whole_tau2, whole_shares : ndarray, shape (c,)
        The same with all levels.
    reasons : mapping of int to str
        Entry to the reason why it has no fit.
    levels_of : mapping of str to int
        Term to the number of its levels; `most` of :func:`leave_one_level_out` says which were left out.
    fit : FitResults
        The fit of all levels.
    """

    terms: tuple[str, ...]
    levels: tuple[str, ...]
    components: tuple[str, ...]
    k: Array
    m: Array
    tau2: Array
    shares: Array
    whole_tau2: Array
    whole_shares: Array
    reasons: Mapping[int, str]
    levels_of: Mapping[str, int]
    fit: FitResults

    @property
    def size(self) -> int:
        """Number of levels that were left out in turn."""
        return len(self.levels)

    @property
    def change(self) -> Array:
        """Change of each share when a level is left out, shape (B, c)."""
        return np.asarray(self.shares - self.whole_shares)

    def _measured(self) -> Array:
        """Return what levels are compared by, shape (B, c): changes of shares; of tau2 if it is one alone."""
        if len(self.components) > 1:
            return np.abs(self.change)
        return np.abs(self.tau2 - self.whole_tau2)

    def most_influential(self, component: str | None = None) -> LevelLeftOut:
        """Return the level whose leaving out changes a share most (its variance, where there is one alone).

        Parameters
        ----------
        component : str, optional
            The component whose share it is about. Default: any.

        Raises
        ------
        UnknownChoiceError
            If there is no such component.
        InputError
            If no level has a fit without it.
        """
        size = self._measured()
        if component is not None:
            check_choice("component", component, self.components)
            at = self.components.index(component)
            size = np.where(np.arange(len(self.components)) == at, size, np.nan)
        if np.isnan(size).all():
            raise InputError(
                "no level has a fit without it, or no variance is above 0",
                "a term with three levels or more",
                "reasons says why",
            )
        i, j = np.unravel_index(int(np.nanargmax(size)), size.shape)
        return self._left_out(int(i), int(j))

    def rests_on(self) -> list[LevelLeftOut]:
        """Return the levels that make a component: without them less than half of it is left.

        It is said of components that make at least 10% of the variance of true effects, and both of the
        variance and of its share; for each component of the level that changes it most.
        """
        out = []
        measured = self._measured()
        for j in range(len(self.components)):
            if np.isnan(measured[:, j]).all() or not self.whole_shares[j] >= LEAST_SHARE:
                continue
            i = int(np.nanargmin(np.where(np.isnan(measured[:, j]), np.nan, self.tau2[:, j])))
            less = self.tau2[i, j] < PART_LEFT * self.whole_tau2[j]
            alone = len(self.components) == 1
            if less and (alone or self.shares[i, j] < PART_LEFT * self.whole_shares[j]):
                out.append(self._left_out(i, j))
        return out

    def _left_out(self, i: int, j: int) -> LevelLeftOut:
        name, before, after = self.components[j], self.whole_shares[j], self.shares[i, j]
        what, words = f"share of {readable(name)}", (percent(before), percent(after))
        if len(self.components) == 1:
            before, after = self.whole_tau2[j], self.tau2[i, j]
            what, words = f"variance of {readable(name)}", (number(before, 3), number(after, 3))
        verb = "stays at" if words[0] == words[1] else "falls from" if after < before else "rises from"
        moved = words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"
        said = f"the {what} {verb} {moved}"
        if len(self.components) == len(self.fit.tau2_by_component) and not self.tau2[i].any():
            said = f"no variance is left; with all levels the {what} is {words[0]}"
        sentence = f"Without {readable(self.terms[i])} {readable(self.levels[i])} {said}."
        return LevelLeftOut(
            self.terms[i],
            self.levels[i],
            name,
            float(self.whole_tau2[j]),
            float(self.tau2[i, j]),
            float(self.whole_shares[j]),
            float(self.shares[i, j]),
            int(self.k[i]),
            int(self.m[i]),
            sentence,
        )

    @property
    def sentence(self) -> str:
        """What was found: the levels that make a component, or else the largest change of a share."""
        found = self.rests_on()
        if found:
            return " ".join(one.sentence for one in found)
        if np.isnan(self._measured()).all():
            return "No level can be left out: the rest has no fit, or no variance is above 0."
        return f"No single level makes a component. The largest change: {self.most_influential().sentence}"

    def to_frame(self) -> pd.DataFrame:
        """Return a row per level: term, level, k, m; of each component tau2, share and its change; a note."""
        import pandas as pd

        columns: dict[str, Any] = {"term": self.terms, "level": self.levels}
        columns |= {"k": self.k.astype(int), "m": self.m.astype(int)}
        tables = {"tau2": self.tau2, "share": self.shares, "change": self.change}
        columns |= {
            f"{what} {name}": table[:, j]
            for j, name in enumerate(self.components)
            for what, table in tables.items()
        }
        return pd.DataFrame(columns | {"note": [self.reasons.get(i, "") for i in range(self.size)]})

    def reader_tables(self) -> list[ReaderTable]:
        """Return the levels that change shares most, numbers rounded; `to_frame` has all."""
        measured = np.nan_to_num(self._measured(), nan=-1.0).max(axis=1, initial=-1.0)
        first = np.argsort(-measured, kind="stable")[:MOST_SHOWN]
        rows = [["(none)", "", str(self.fit.k), *map(percent, self.whole_shares), *self._of_one(None)]]
        rows += [
            [
                readable(self.terms[i]),
                readable(self.levels[i]),
                f"{self.k[i]:.0f}",
                *map(percent, self.shares[i]),
                *self._of_one(i),
            ]
            for i in first.tolist()
        ]
        names = [readable(name) for name in self.components]
        more = [f"tau2 {names[0]}"] if len(names) == 1 else []
        header = ["left out", "level", "k", *(f"share {name}" for name in names), *more]
        return [ReaderTable(rows, header)]

    def _order(self) -> str:
        """Return which of many levels were left out."""
        if isinstance(self.fit, AttributionResults):
            return "those farthest from the mean"
        return "those with most levels of other terms, then those with the largest predicted effects"

    def _of_one(self, i: int | None) -> list[str]:
        """Return the variance as text where there is one component, whose share is always 100%."""
        if len(self.components) > 1:
            return []
        return [number(float(self.whole_tau2[0] if i is None else self.tau2[i, 0]), 3)]

    def table_notes(self) -> list[str]:
        """Return the sentence, how many levels there are, and why some have no fit."""
        shown = [
            f"{readable(term)}: {self.terms.count(term)} of {plural(count, 'level')}, {self._order()}"
            for term, count in self.levels_of.items()
            if self.terms.count(term) < count
        ]
        lines = [self.sentence, *shown]
        if self.size > MOST_SHOWN:
            lines.append(
                f"the {MOST_SHOWN} of {self.size} levels that change shares most; to_frame() has all"
            )
        if self.reasons:
            first = min(self.reasons)
            lines.append(
                f"no fit without {plural(len(self.reasons), 'level')}; without {readable(self.terms[first])} "
                f"{readable(self.levels[first])}: {self.reasons[first]}"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values, for files such as JSON, with the numbers of all levels."""
        whole = {
            name: {"tau2": self.whole_tau2[j], "share": self.whole_shares[j]}
            for j, name in enumerate(self.components)
        }
        facts = {"sentence": self.sentence, "all_levels": whole, "levels_of": dict(self.levels_of)}
        return plain(facts | {"left_out": self.to_frame()})  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"LeaveOneLevelOut({plural(self.size, 'level')} of {plural(len(self.levels_of), 'term')})"

    def __str__(self) -> str:
        return self.to_text()


def leave_one_level_out(
    results: FitResults, terms: str | Sequence[str] | None = None, *, most: int = 200
) -> LeaveOneLevelOut:
    r"""Return the variance components without the effects of each level of each random term in turn.

    Use it before a share of heterogeneity is believed: a variance between a dozen sources may come from one
    source, or from one laboratory within it. Every component is estimated anew without each level; its share
    is :math:`\tau^2_j / \sum_i \tau^2_i`. A component that makes at least 10% of the variance of true effects
    *rests on one level* if less than half of it is left without that level.

    Crossed terms with independent sampling errors are refitted together, two hundred levels in about a
    second; other models one by one.

    Parameters
    ----------
    results : MultilevelResults or AttributionResults
        A fit of Multilevel; or an attribution of heterogeneity, whose shares of the factors are looked at
        without each level of them and without each study.
    terms : str or sequence of str, optional
        Random terms whose levels are left out, or factors and "study". Default: all but random terms with one
        level per effect.
    most : int
        Most levels of a random term that are left out: those with most levels of the other terms, which tell
        the terms apart, and among these those with the largest predicted effects; most studies of an
        attribution: those farthest from the mean. A level that is not among them may still be influential.

    Returns
    -------
    LeaveOneLevelOut
        Variances and shares without each level; `most_influential()`, `rests_on()`, and `sentence`, what was
        found in words.

    Raises
    ------
    InputError
        If `results` has no variance components to compare, or no term has levels that can be left out.
    UnknownChoiceError
        If there is no such term.

    References
    ----------
    Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis. Research
    Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
    Nieuwenhuis, R., te Grotenhuis, M., Pelzer, B. (2012). influence.ME: tools for detecting influential data
    in mixed effects models. The R Journal 4(2), 38-47. https://doi.org/10.32614/RJ-2012-011

    Examples
    --------
    >>> import metaexo as mx, pandas as pd
    >>> data = pd.DataFrame({"source": list("aabbccddee"), "laboratory": list("pqrspqrspq")})
    >>> y = [0.1, 0.9, 0.4, 0.2, 0.2, 0.8, 0.1, 0.3, 1.9, 2.5]
    >>> fit = mx.Multilevel(mx.EffectSizes(y, [0.01] * 10, data=data), ["source", "laboratory"]).fit()
    >>> print(mx.sensitivity.leave_one_level_out(fit, "source").sentence)
    Without source e the share of source falls from 86% to 0%.
    """
    fit = checked_fit(results)
    most = whole_number(most, "most", 1)
    if isinstance(fit, AttributionResults):
        return _of_attribution(fit, terms, most)
    if not isinstance(fit, MultilevelResults) or fit.method in MOMENTS:
        raise InputError(
            f"{describe(results)} has no random terms whose variances are estimated by likelihood",
            "a fit of mx.Multilevel by REML or ML",
            "mx.sensitivity.leave_one_out(fit) leaves out studies, or the levels of a column",
        )
    chosen = _chosen(fit, terms)
    parts = [(named.name, *one) for named in chosen for one in _levels(fit, named, most)]
    members = [rows for _, _, rows in parts]
    bare = replace(fit, robust_covariance=None, test="z")  # only the components are looked at
    found = refits(bare, leaving_out(members, fit.k), len(members))
    return LeaveOneLevelOut(
        terms=tuple(name for name, _, _ in parts),
        levels=tuple(level for _, level, _ in parts),
        components=tuple(fit.tau2_by_component),
        k=found.k,
        m=found.m,
        tau2=found.tau2_by_component,
        shares=frozen(_shares(fit, found.tau2_by_component, found.tau2, members)),
        whole_tau2=frozen(np.array(list(fit.tau2_by_component.values()))),
        whole_shares=fit.tau2_shares,
        reasons=found.reasons,
        levels_of={named.name: named.term.levels for named in chosen},
        fit=fit,
    )


def _of_attribution(fit: AttributionResults, terms: object, most: int) -> LeaveOneLevelOut:
    """Return the shares of factors without each level of them, and without each study."""
    whole = [part for part in fit.parts if part.kind == "factor" and part.share is not None]
    if not whole:
        raise InputError(
            f"the attribution has no shares: {fit.verdict.sentence}",
            "an attribution whose factors are separately estimable",
        )
    work = Work(fit.effects, fit.used, fit.estimability, fit.choices)
    found = shares_without(work, most)
    known = [*fit.by, "study"]
    names = known if terms is None else [terms] if isinstance(terms, str) else read_words(terms, "terms")
    for name in names:
        check_choice("term", name, known)
    rows = [i for i, term in enumerate(found.terms) if term in names]
    kept = [np.delete(np.arange(fit.used.k), found.members[i]) for i in rows]
    study = np.asarray(fit.used.study or fit.used.row_ids)
    counts = {name: len(fit.estimability.used.levels[f]) for f, name in enumerate(fit.by)}
    counts["study"] = found.studies
    lost = {
        i: "a factor has a single level, or no effects are left to estimate tau2"
        for i, row in enumerate(rows)
        if np.isnan(found.shares[row]).all()
    }
    return LeaveOneLevelOut(
        terms=tuple(found.terms[i] for i in rows),
        levels=tuple(found.levels[i] for i in rows),
        components=fit.by,
        k=frozen(np.array([float(one.size) for one in kept])),
        m=frozen(np.array([float(np.unique(study[one]).size) for one in kept])),
        tau2=frozen(found.tau2[rows]),
        shares=frozen(found.shares[rows]),
        whole_tau2=frozen(np.array([float(part.tau2 or 0.0) for part in whole])),
        whole_shares=frozen(np.array([float(part.share or 0.0) for part in whole])),
        reasons=lost,
        levels_of={
            name: count for name, count in (counts | {"study": found.studies}).items() if name in names
        },
        fit=fit,
    )


def _chosen(fit: MultilevelResults, terms: object) -> list[NamedTerm]:
    """Return the terms whose levels are left out."""
    named = {one.name: one for one in fit.terms}
    if terms is None:
        found = [one for one in fit.terms if 1 < one.term.levels < fit.k]
        if not found:
            raise InputError(
                "every random term has one level, or one level per effect",
                "a term with several effects per level",
                'leave out single effects: mx.sensitivity.leave_one_out(fit, "effect")',
            )
        return found
    names = [terms] if isinstance(terms, str) else list(read_words(terms, "terms"))
    for name in names:
        check_choice("random term", name, list(named))
        if named[name].term.levels < 2:
            raise InputError(f"the random term {name} has one level", "terms with several levels")
    if not names:
        raise InputError("no random term is named", f"some of {', '.join(named)}")
    return [named[name] for name in dict.fromkeys(names)]


def _levels(fit: MultilevelResults, named: NamedTerm, most: int) -> list[tuple[str, Index]]:
    """Return the levels of a term with their rows; of many, those that link most levels of other terms."""
    level = named.term.level
    chosen = np.arange(named.term.levels)
    if chosen.size > most:
        table = fit.random_effects()
        own = table[table["component"].isin(named.components)]
        size = own["estimate"].abs().groupby(own["level"].astype(str)).max()
        predicted = np.array([size.get(str(name), 0.0) for name in named.levels])
        chosen = np.sort(np.lexsort((-predicted, -_linked(fit, named)))[:most])
    return [(str(named.levels[i]), np.flatnonzero(level == i)) for i in chosen.tolist()]


def _linked(fit: MultilevelResults, named: NamedTerm) -> Index:
    """Return how many levels of the other terms each level of a term has; not of single effects."""
    counts = np.zeros(named.term.levels, dtype=np.intp)
    for other in fit.terms:
        if other is not named and other.term.levels < fit.k:
            pairs = np.unique(np.column_stack([named.term.level, other.term.level]), axis=0)
            counts += np.bincount(pairs[:, 0], minlength=counts.size)
    return counts


def _shares(fit: MultilevelResults, tau2: Array, total: Array, members: Sequence[Index]) -> Array:
    """Return the shares of components among the rows that are left, shape (B, c)."""
    parts = [(named, i) for named in fit.terms for i, kind in enumerate(named.kinds) if kind == "variance"]
    loads = np.ones((len(members), len(parts)))
    for b, rows in enumerate(members):
        kept = np.delete(np.arange(fit.k), rows)
        for j, (named, i) in enumerate(parts):
            if named.structure != "intercept":
                loads[b, j] = component_load(named, i, kept)
    return np.asarray(tau2 * loads / np.where(total == 0, 1.0, total)[:, None])
