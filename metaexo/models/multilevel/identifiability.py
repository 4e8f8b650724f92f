"""Which random terms the effects at hand can carry, and in words why not the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import NOT_REPORTED, plural, printed
from metaexo.inputs import check_number, is_blank, read_words
from metaexo.models.linear.design import make_design
from metaexo.models.linear.grouping import grouping
from metaexo.models.multilevel.terms import RandomTerm
from metaexo.readable import ReadableLines, shows_itself
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

LEAST = 2
NOT_NAMED = (NOT_REPORTED,)


@shows_itself
@dataclass(frozen=True, slots=True)
class TermCheck:
    """Whether one random term can be estimated.

    Attributes
    ----------
    name : str
        The term.
    kept : bool
        Whether it can.
    named : int
        Effects that name its level.
    levels : int
        Levels among these.
    repeated : int
        Levels that more than one study has.
    comparisons : int or None
        Independent comparisons between levels that its variance rests on; None if the check ended before.
    reason : str
        Why it is refused; empty if it is kept.
    """

    name: str
    kept: bool
    named: int
    levels: int
    repeated: int
    comparisons: int | None
    reason: str

    @printed
    def __str__(self) -> str:
        if not self.kept:
            return f"{self.name}: refused, {self.reason}"
        return f"{self.name}: {plural(self.levels, 'level')}, {plural(self.comparisons or 0, 'comparison')}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class IdentifiableTerms(ReadableLines):
    """Which of the random terms that were asked for can be estimated.

    Attributes
    ----------
    terms : tuple of TermCheck
        One record per term, in the order asked for.
    """

    terms: tuple[TermCheck, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the terms that can be estimated."""
        return tuple(check.name for check in self.terms if check.kept)

    @property
    def random(self) -> list[str | RandomTerm]:
        """The terms that can be estimated, as :class:`metaexo.Multilevel` takes them."""
        return [RandomTerm(name) if "/" in name else name for name in self.kept]

    @property
    def refused(self) -> dict[str, str]:
        """The other terms, each with the reason."""
        return {check.name: check.reason for check in self.terms if not check.kept}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per term: name, kept, named, levels, repeated, comparisons, reason."""
        import pandas as pd

        columns = TermCheck.__slots__
        rows = [[getattr(check, name) for name in columns] for check in self.terms]
        return pd.DataFrame(rows, columns=columns).astype({"comparisons": "Int64"})

    def lines(self) -> list[str]:
        """Return a line per term: how many levels it has, or why it is refused."""
        return [*map(str, self.terms)]


def identifiable_terms(
    effects: EffectSizes,
    random: str | Sequence[str],
    *,
    moderators: str | ArrayLike | pd.DataFrame | None = None,
    cluster: str = "study",
    not_named: Sequence[str] = NOT_NAMED,
    least: int = LEAST,
) -> IdentifiableTerms:
    r"""Return which random terms can be estimated from the effects, and why the others cannot.

    Use it before :class:`metaexo.Multilevel`, where columns have gaps or few levels. The terms are taken in
    the order asked for: put the most important one first. A term is kept if every effect names its level, it
    has two levels or more, it groups the effects as no term before it does, and each variance of the
    model rests on at least `least` independent comparisons between levels:

    .. math:: c_j = \mathrm{rank}[X, Z_1, \dots, Z_j] - \mathrm{rank}[X, Z_1, \dots, Z_{j-1}],

    where the terms are numbered from the one with the fewest levels to the one with the most. If all
    :math:`c_j > 0`, the sums of squares of these steps have expectations that determine every variance, one
    after the other (Henderson's third method). A variance that rests on one comparison has a 95% interval
    from 0.2 to 1,000 times its estimate even if nothing else is unknown, so two are asked for by default.

    Parameters
    ----------
    effects : EffectSizes
        The effects.
    random : str or sequence of str
        Terms in words, as :class:`metaexo.Multilevel` takes them: ``["study/effect", "source"]``.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.Multilevel`.
    cluster : str
        Column of what is independent; levels that more than one of them has are counted.
    not_named : sequence of str
        Words for a level that is not known, apart from empty cells; capitals and underscores do not matter. A
        level that is not known is no level, and neither is a word for unlike things ("other").
    least : int
        Least number of comparisons.

    Returns
    -------
    IdentifiableTerms
        A record for each term; ``.random`` is what can be fitted.

    Raises
    ------
    UnknownChoiceError
        If a column is not known.
    InputError
        If a term is no plain word, or `least` is no positive number.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Henderson, C. R. (1953). Estimation of variance and covariance components. Biometrics 9, 226-252.
    https://doi.org/10.2307/3001853

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant", "plant", "milk", "milk", "blood", "blood"],
    ...                      "isolation": ["SEC", "Not reported", "SEC", "SEC", "SEC", "SEC"]})
    >>> y, v, study = [0.1, 0.4, 0.3, 0.2, 0.6, 0.5], [0.02] * 6, ["a", "b", "c", "d", "e", "f"]
    >>> es = mx.EffectSizes(y, v, study=study, data=data)
    >>> print(mx.identifiable_terms(es, ["study", "source", "isolation"]))
    study: 6 levels, 3 comparisons
    source: 3 levels, 2 comparisons
    isolation: refused, 1 of 6 effects does not name it; the other 5 are of one level, SEC
    """
    if not check_number("least", least) >= 1:
        raise InputError(f"least is {least}", "at least 1")
    check_effects(effects, "mx.identifiable_terms")
    if effects.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    effects.check_index("moderators", moderators)
    x = make_design(moderators, effects.k, data=effects.data).matrix(effects.k)
    basis = np.linalg.qr(x)[0]
    units = grouping(effects, cluster)[0]
    unknown = {_plain(word) for word in read_words(not_named, "not_named")}
    kept: dict[str, Index] = {}
    checks: dict[str, TermCheck] = {}
    for name in _names(random):
        check, level = _look(effects, name, units, unknown)
        if level is not None:
            check = _against(check, level, kept, basis, least)
            if check.kept:
                kept[name] = level
        checks[name] = check
    counted = dict(zip(kept, _comparisons(basis, list(kept.values())), strict=True))
    found = [replace(c, comparisons=counted.get(name, c.comparisons)) for name, c in checks.items()]
    return IdentifiableTerms(tuple(found))


def _names(random: Any) -> list[str]:
    """Return the terms one by one: "study/effect" is a term of the study and one of the effect within it."""
    entries = list(random) if isinstance(random, list | tuple) else [random]
    names: list[str] = []
    for entry in entries:
        if not isinstance(entry, str) or "|" in entry or not entry.strip():
            shown = entry.name if isinstance(entry, RandomTerm) else entry
            raise InputError(
                f"the term {shown!r} is no plain word",
                'columns, alone or nested: "source", "study/effect"',
                "terms of outcomes, times or slopes within a level have to be judged by their profiles",
            )
        parts = entry.replace(" ", "").split("/")
        names += ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return list(dict.fromkeys(names))


def _plain(value: object) -> str:
    return str(value).strip().casefold().replace("_", " ")


def _look(es: EffectSizes, name: str, units: Index, unknown: set[str]) -> tuple[TermCheck, Index | None]:
    """Return what a term looks like by itself, and the levels of the effects if it may be kept."""
    known = np.ones(es.k, dtype=bool)
    for part in name.split("/"):
        known &= np.array([not _missing(value, unknown) for value in _values(es, part)])
    rest = es if known.all() else es.select(known, f"{name} is not named") if known.any() else None
    level: Index = np.empty(0, dtype=np.intp)
    labels: Sequence[str] = ()
    if rest is not None:
        level, labels = grouping(rest, name)
    pairs = np.unique(np.column_stack([level, units[known]]), axis=0)[:, 0]
    repeated = int((np.bincount(pairs, minlength=len(labels)) > 1).sum())
    check = TermCheck(name, True, int(known.sum()), len(labels), repeated, None, "")
    if not known.all():
        return replace(check, kept=False, reason=_unnamed(check, es.k, labels)), None
    if len(labels) < 2:
        reason = f"all effects are of one level, {labels[0]}, which is confounded with the mean"
        return replace(check, kept=False, comparisons=0, reason=reason), None
    return check, level


def _values(es: EffectSizes, name: str) -> list[Any]:
    """Return the cells of a column; what is a level by itself has no gaps."""
    columns = [] if es.data is None else list(map(str, es.data.columns))
    if name == "effect" or (name == "study" and (es.study or name not in columns)):
        return list(es.row_ids)
    if name not in columns:
        raise UnknownChoiceError("column", name, [*columns, "study", "effect"])
    return list(es.column(name))


def _missing(value: Any, unknown: set[str]) -> bool:
    return is_blank(value) or _plain(value) in unknown


def _unnamed(check: TermCheck, k: int, labels: Sequence[str]) -> str:
    """Return in words how many effects do not name the level, and what the others are."""
    gone = k - check.named
    if check.named == 0:
        return f"none of {plural(k, 'effect')} names it"
    does = "does" if gone == 1 else "do"
    are = "the other is" if check.named == 1 else f"the other {check.named} are"
    return f"{gone} of {plural(k, 'effect')} {does} not name it; {are} of {_levels(check, labels)}"


def _levels(check: TermCheck, labels: Sequence[str]) -> str:
    if check.levels == 1:
        return f"one level, {labels[0]}"
    if check.repeated == 0:
        return f"{check.levels} levels, each of one study"
    return f"{check.levels} levels, {check.repeated} of them of more than one study"


def _against(check: TermCheck, level: Index, kept: dict[str, Index], basis: Array, least: int) -> TermCheck:
    """Return the check of a term beside the terms that are kept already."""
    for other, theirs in kept.items():
        if _pairs(level, theirs) == int(level.max()) + 1 == int(theirs.max()) + 1:
            reason = f"it groups the effects as {other} does, so the two are confounded"
            return replace(check, kept=False, comparisons=0, reason=reason)
    *others, own = _comparisons(basis, [*kept.values(), level])
    if own < least:
        return replace(check, kept=False, comparisons=own, reason=_too_few(check, own, least, kept))
    for other, count in zip(kept, others, strict=True):
        if count < least:
            reason = (
                f"with it the variance of {other} would rest on {_count(count)} between levels, "
                f"and at least {least} are asked for"
            )
            return replace(check, kept=False, comparisons=own, reason=reason)
    return replace(check, comparisons=own)


def _too_few(check: TermCheck, own: int, least: int, kept: dict[str, Index]) -> str:
    if own == 0:
        return f"it is aliased with {' and '.join(['the coefficients', *kept])}"
    shared = f", {check.repeated} of them of more than one study" if check.repeated else ""
    return (
        f"its variance would rest on {_count(own)} between its {check.levels} levels{shared}, "
        f"and at least {least} are asked for"
    )


def _count(comparisons: int) -> str:
    return "no comparison" if comparisons == 0 else plural(comparisons, "comparison")


def _comparisons(basis: Array, levels: Sequence[Index]) -> list[int]:
    """Return what each term adds to the rank, from the term with the fewest levels to that with the most."""
    found = [0] * len(levels)
    before, done = basis.shape[1], []
    for j in sorted(range(len(levels)), key=lambda i: int(levels[i].max())):
        done.append(levels[j])
        rank = _rank(basis, done)
        found[j], before = rank - before, rank
    return found


def _rank(basis: Array, levels: Sequence[Index]) -> int:
    """Return the rank of the coefficients' columns beside the indicators of some terms."""
    last = levels[-1]
    count = int(last.max()) + 1
    firsts = np.unique(last, return_index=True)[1]
    if all(_pairs(last, other) == count for other in levels[:-1]) and np.allclose(basis, basis[firsts][last]):
        return count  # the last term refines everything before it
    k = len(last)
    ones, rows = np.ones(k), np.arange(k)
    indicators = [
        sparse.csr_array((ones, (rows, level)), shape=(k, int(level.max()) + 1)) for level in levels
    ]
    table = sparse.hstack([sparse.csr_array(basis), *indicators], format="csr")
    return int(np.linalg.matrix_rank((table.T @ table).toarray(), hermitian=True))


def _pairs(one: Index, two: Index) -> int:
    """Return the number of different pairs of levels."""
    return len(np.unique(one * (int(two.max()) + 1) + two))
