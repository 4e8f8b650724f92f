"""The judgements of the studies of a review: read from a table, checked, counted and joined to effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from metaexo.effects.effect_rows import EffectRows
from metaexo.errors import (
    DuplicateStudyError,
    InputError,
    MissingCellError,
    MissingColumnError,
    OverallJudgementWarning,
    UnknownChoiceError,
    nearest_word,
    warn_caller,
)
from metaexo.evidence.risk_of_bias.tool import NOT_ASSESSED, OVERALL, BiasTool, Domain, bias_tool, plain
from metaexo.formatting import plural
from metaexo.inputs import as_word, check_choice, is_blank, read_entries, read_numbers, read_words
from metaexo.readable import shows_itself
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

Rows = TypeVar("Rows", bound=EffectRows)


@shows_itself
@dataclass(frozen=True, slots=True)
class RiskOfBias:
    """Judgements of the risk of bias: one row per study, one column per domain; it cannot be changed.

    :func:`read_risk_of_bias` makes one of a table.

    Attributes
    ----------
    tool : BiasTool
        The tool by which the studies were judged.
    studies : tuple of str
        Names of the studies, in the order of the table.
    keys : tuple of str
        Keys of the domains, and "overall" last where there is a judgement of the whole.
    judged : tuple of tuple of str
        Words of the judgements, one tuple per study in the order of `keys`.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"study": ["Li 2020", "Cho 2021"], "D1": ["low", "high"], "D2": ["low", "low"]})
    >>> tool = {"name": "Two", "domains": ["D1", "D2"], "judgements": ["low", "high"]}
    >>> mx.evidence.read_risk_of_bias(table, tool).counts()
            low  high
    domain
    d1        1     1
    d2        2     0
    """

    tool: BiasTool
    studies: tuple[str, ...]
    keys: tuple[str, ...]
    judged: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        whole = " and overall" if OVERALL in self.keys else ""
        domains = plural(len(self.tool.domains), "domain")
        return f"{self.tool.name}: {plural(len(self.studies), 'study', 'studies')}, {domains}{whole}"

    @property
    def words(self) -> tuple[str, ...]:
        """Judgements of the tool, and "not assessed" if a cell says so."""
        assessed = all(word != NOT_ASSESSED for row in self.judged for word in row)
        return self.tool.words if assessed else (*self.tool.words, NOT_ASSESSED)

    def domain(self, key: str) -> Domain:
        """Return the domain of a key; "overall" has the name Overall.

        Parameters
        ----------
        key : str
            One of `keys`.

        Raises
        ------
        UnknownChoiceError
            If there is no such key.
        """
        found = {domain.key: domain for domain in self.tool.domains}
        if OVERALL in self.keys:
            found[OVERALL] = Domain(OVERALL, "Overall", "Overall risk of bias")
        check_choice(f"domain of {self.tool.name}", key, tuple(found))
        return found[key]

    def select(self, studies: Sequence[str]) -> RiskOfBias:
        """Return the judgements of some studies, in the order given.

        Parameters
        ----------
        studies : sequence of str
            Names of studies; one that is given twice stands once.

        Raises
        ------
        UnknownChoiceError
            If a study was not judged.
        """
        rows = dict(zip(self.studies, self.judged, strict=True))
        wanted = dict.fromkeys(read_words(studies, "studies"))
        for study in wanted:
            if study not in rows:
                raise UnknownChoiceError("study with judgements", study, self.studies)
        return RiskOfBias(self.tool, tuple(wanted), self.keys, tuple(rows[study] for study in wanted))

    def counts(self, weights: Mapping[str, float] | Sequence[float] | None = None) -> pd.DataFrame:
        """Return how many studies have each judgement, domain by domain.

        Parameters
        ----------
        weights : mapping, pandas.Series by study, or sequence of float, optional
            Weight of each study, for example in the pooled effect; sums of weights then stand for counts.

        Returns
        -------
        DataFrame
            One row per key, one column per judgement; each row adds up to the number of studies, or to the
            sum of the weights.

        Raises
        ------
        InputError
            If a study has no weight, or a weight is negative, or all are 0.
        """
        import pandas as pd

        each = self._weights(weights)
        words = self.words
        table = np.zeros((len(self.keys), len(words)), dtype=int if weights is None else float)
        for weight, row in zip(each, self.judged, strict=True):
            for i, word in enumerate(row):
                table[i, words.index(word)] += weight
        return pd.DataFrame(table, index=pd.Index(self.keys, name="domain"), columns=list(words))

    def to_frame(self) -> pd.DataFrame:
        """Return the table of judgements: study, then a column per key; it can be read again."""
        import pandas as pd

        frame = pd.DataFrame(list(self.judged), columns=list(self.keys))
        frame.insert(0, "study", list(self.studies))
        return frame

    def join(self, effects: Rows, prefix: str = "rob_") -> Rows:
        """Return effects with the judgements of their studies as further columns of data.

        Parameters
        ----------
        effects : EffectSizes or BoundedEffectSizes
            Effects whose studies have the names of this record.
        prefix : str
            What the names of the columns begin with; the keys follow.

        Raises
        ------
        InputError
            If a study of the effects has no judgements. Those that were not judged need rows that say
            "not assessed".
        """
        if not isinstance(effects, EffectRows):
            raise InputError(f"effects are of type {type(effects).__name__}", "effect sizes")
        if not isinstance(prefix, str):
            raise InputError(f"prefix is of type {type(prefix).__name__}", "a text")
        studies = effects.study or effects.row_labels
        rows = dict(zip(self.studies, self.judged, strict=True))
        lacking = [study for study in dict.fromkeys(studies) if study not in rows]
        if lacking:
            raise InputError(
                f"{plural(len(lacking), 'study', 'studies')} of the effects without judgements",
                "a row of judgements for each study, under the same name",
                f'add rows that say "{NOT_ASSESSED}", or select the effects of the studies that were judged',
                [_near(study, self.studies) for study in lacking],
            )
        columns = {f"{prefix}{key}": [rows[study][i] for study in studies] for i, key in enumerate(self.keys)}
        return effects.with_columns(**columns)

    def _weights(self, weights: object) -> Array:
        """Return one weight per study; refuse what is none."""
        import pandas as pd

        if weights is None:
            return np.ones(len(self.studies), dtype=int)
        if isinstance(weights, pd.Series):
            weights = {as_word(study): weight for study, weight in weights.items()}
        if isinstance(weights, Mapping):
            lacking = [study for study in self.studies if study not in weights]
            if lacking:
                raise InputError(
                    f"{plural(len(lacking), 'study', 'studies')} without a weight",
                    "a weight for each study, under the same name",
                    "record.select(studies) keeps the judgements of the studies that have one",
                    lacking,
                )
            weights = [weights[study] for study in self.studies]
        entries = read_entries(weights, "weights", len(self.studies))
        each = read_numbers(entries, "weights", rows=self.studies, ndim=1)
        bad = [study for study, one in zip(self.studies, each, strict=True) if not 0 <= one < np.inf]
        if bad or not 0 < each.sum() < np.inf:
            given = f"weights of {plural(len(bad), 'study', 'studies')} are missing, negative or infinite"
            raise InputError(
                given if bad else "all weights are 0", "weights of at least 0, one above it", rows=bad
            )
        return each


def read_risk_of_bias(
    table: pd.DataFrame | str | Path,
    tool: str | Path | Mapping[str, Any] | BiasTool = "RoB 2",
    *,
    study: str = "study",
    domain: str = "domain",
    judgement: str = "judgement",
    columns: Mapping[str, str] | None = None,
) -> RiskOfBias:
    """Return the judgements of the risk of bias of a table, checked.

    Use it before :func:`metaexo.plots.risk_of_bias`, and to join judgements to effects. The table has one
    row per study, and a column per domain and "overall" where there is a judgement of the whole; or it is
    long, with one row per judgement. Nothing is derived: the overall judgement is as given, or not there.

    Parameters
    ----------
    table : DataFrame, str or Path
        The table, or the path of a CSV file in UTF-8.
    tool : str, Path, mapping or BiasTool
        What :func:`bias_tool` takes: "RoB 2", "ROBINS-I", "SYRCLE", or a tool of your own.
    study : str
        Column of the names of the studies; "Study" will do for "study".
    domain, judgement : str
        Columns of a long table; a table with both of them is read as long.
    columns : mapping of str to str, optional
        Key of a domain to the column of the table that holds it, for columns with other names. Without it a
        domain is found by its key, its short name, its name, or its number: "D1", "1". Other columns of the
        table are not read.

    Returns
    -------
    RiskOfBias
        Studies and judgements.

    Raises
    ------
    MissingColumnError
        If a domain is not there; the nearest column is named.
    UnknownChoiceError
        If cells hold words that are no judgement of the tool; rows and nearest words are named.
    MissingCellError
        If a cell is blank.
    DuplicateStudyError
        If a study stands twice.
    InputError
        If a file cannot be read, or the table has no rows.

    Warns
    -----
    OverallJudgementWarning
        If an overall judgement is better than that of the worst domain, where the tool says that it cannot.

    References
    ----------
    Sterne, J. A. C., et al. (2019). RoB 2. https://doi.org/10.1136/bmj.l4898
    Sterne, J. A. C., et al. (2016). ROBINS-I. https://doi.org/10.1136/bmj.i4919
    Hooijmans, C. R., et al. (2014). SYRCLE's tool. https://doi.org/10.1186/1471-2288-14-43

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame(
    ...     [["Li 2020", "low", "low", "low", "some concerns", "low", "some concerns"],
    ...      ["Cho 2021", "high", "low", "low", "low", "low", "high"]],
    ...     columns=["study", "D1", "D2", "D3", "D4", "D5", "overall"],
    ... )
    >>> record = mx.evidence.read_risk_of_bias(table, "RoB 2")
    >>> print(record)
    RoB 2: 2 studies, 5 domains and overall
    >>> record.counts().loc["overall"].to_dict()
    {'low': 0, 'some concerns': 1, 'high': 1}
    """
    made = bias_tool(tool)
    for name, value in (("study", study), ("domain", domain), ("judgement", judgement)):
        if not isinstance(value, str):
            raise InputError(f"{name} is of type {type(value).__name__}", "the name of a column")
    frame, name, first = _table(table)
    if len(frame) == 0:
        raise InputError(f"{name} has no rows", "at least one study")
    study, domain, judgement = (_column(frame, one) for one in (study, domain, judgement))
    if study not in frame:
        raise UnknownChoiceError(f"column of {name}", study, map(str, frame.columns))
    cells = [as_word(cell).strip() if not is_blank(cell) else "" for cell in frame[study]]
    lines = [f"{'row' if first == 1 else 'line'} {i + first}" for i in range(len(cells))]
    blank = [line for line, cell in zip(lines, cells, strict=True) if not cell]
    if blank:
        raise MissingCellError(
            f"{len(blank)} cells of {study!r} are blank", "the name of a study", rows=blank
        )
    rows = [f"{line} ({cell})" for line, cell in zip(lines, cells, strict=True)]
    if domain in frame and judgement in frame:
        found = _from_long(made, cells, rows, frame[domain], frame[judgement])
    else:
        found = _from_wide(made, cells, rows, frame, columns)
    record = _read(made, found, rows)
    _compare_overall(record)
    return record


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of a table: studies, keys, and a cell and a row name for each of their pairs."""

    studies: tuple[str, ...]
    keys: tuple[str, ...]
    cells: Mapping[tuple[str, str], Any]
    rows: Mapping[tuple[str, str], str]


def _table(table: object) -> tuple[pd.DataFrame, str, int]:
    """Return a table, what it is called, and the number of its first row in messages."""
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        names = [str(column) for column in table.columns]
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise InputError(f"the table has two columns called {twice[0]!r}", "one column of a name")
        return table.set_axis(names, axis=1), "the table", 1
    if not isinstance(table, str | Path):
        raise InputError(f"the table is of type {type(table).__name__}", "a DataFrame, or the path of a CSV")
    path = Path(table)
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise InputError(f"the file {path} cannot be read ({problem})", "a CSV file in UTF-8") from None
    return frame, path.name, 2


def _column(frame: pd.DataFrame, name: str) -> str:
    """Return the name of a column as the table writes it, whatever its capitals and blanks."""
    alike = [str(column) for column in frame.columns if plain(str(column)) == plain(name)]
    return alike[0] if name not in frame and len(alike) == 1 else name


def _from_wide(
    tool: BiasTool, studies: list[str], rows: list[str], frame: pd.DataFrame, columns: object
) -> _Cells:
    """Return the cells of a table with one row per study."""
    several = {study: n for study, n in Counter(studies).items() if n > 1}
    if several:
        raise DuplicateStudyError(
            f"{plural(len(several), 'study', 'studies')} with more than one row",
            "one row per study",
            "RoB 2 and ROBINS-I judge results: where a study has several, read those of one outcome at a "
            'time, or name them apart ("Li 2020, pain")',
            [row for study, row in zip(studies, rows, strict=True) if study in several],
        )
    places = _places(tool, list(frame.columns), columns)
    pairs = {(study, key): i for i, study in enumerate(studies) for key in places}
    series = {key: list(frame[column]) for key, column in places.items()}
    return _Cells(
        tuple(studies),
        tuple(places),
        {(study, key): series[key][i] for (study, key), i in pairs.items()},
        {(study, key): f"{rows[i]}, {places[key]}" for (study, key), i in pairs.items()},
    )


def _places(tool: BiasTool, names: list[str], columns: object) -> dict[str, str]:
    """Return the column of each domain, and of the overall judgement if there is one."""
    given = {} if columns is None else columns
    if not isinstance(given, Mapping):
        raise InputError(f"columns is of type {type(columns).__name__}", "a mapping of domains to columns")
    for key, name in given.items():
        if key not in (*tool.keys, OVERALL):
            raise UnknownChoiceError(f"domain of {tool.name}", key, (*tool.keys, OVERALL))
        if name not in names:
            raise UnknownChoiceError("column of the table", name, names)
    by_name: dict[str, list[str]] = {}
    for name in names:
        by_name.setdefault(plain(name), []).append(name)
    places, lacking = {}, []
    for key, wanted in _names_of(tool).items():
        found = [name for one in dict.fromkeys(map(plain, wanted)) for name in by_name.get(one, ())]
        if key in given:
            places[key] = str(given[key])
        elif len(found) > 1:
            raise InputError(
                f"the columns {', '.join(map(repr, found))} are all {key!r}",
                "one column per domain",
                f'say which one with columns={{"{key}": ...}}',
            )
        elif found:
            places[key] = found[0]
        elif key != OVERALL:
            lacking.append(key)
    if lacking:
        shorts = {domain.key: domain.short for domain in tool.domains}
        raise MissingColumnError(
            f"no column for {', '.join(repr(shorts[key]) for key in lacking)} of {tool.name}",
            f"a column for each of {', '.join(tool.keys)}",
            'name the columns with columns={"key": "column"}; write "not assessed" in one that nobody judged',
            [_near(shorts[key], [n for n in names if n not in places.values()]) for key in lacking],
        )
    return places


def _names_of(tool: BiasTool) -> dict[str, tuple[str, ...]]:
    """Return under which names each domain, and the overall judgement, is known."""
    found = {
        domain.key: (domain.key, domain.short, domain.name, f"D{i}", str(i))
        for i, domain in enumerate(tool.domains, 1)
    }
    return found | {OVERALL: (OVERALL, "overall risk of bias", "overall bias", "overall judgement")}


def _from_long(
    tool: BiasTool, studies: list[str], rows: list[str], domains: pd.Series, judgements: pd.Series
) -> _Cells:
    """Return the cells of a table with one row per judgement."""
    by_name = {plain(name): key for key, names in _names_of(tool).items() for name in names}
    cells: dict[tuple[str, str], Any] = {}
    told: dict[tuple[str, str], str] = {}
    for study, row, given, word in zip(studies, rows, domains, judgements, strict=True):
        text = "" if is_blank(given) else as_word(given)
        key = by_name.get(plain(text))
        if key is None:
            shorts = [domain.short for domain in tool.domains]
            raise UnknownChoiceError(f"domain of {tool.name}", text, [*shorts, OVERALL], row)
        if (study, key) in cells:
            raise DuplicateStudyError(
                f"{key!r} of {study} is judged twice",
                "one judgement per study and domain",
                "leave one of them out",
                [told[study, key], row],
            )
        cells[study, key], told[study, key] = word, f"{row}, {key}"
    names = tuple(dict.fromkeys(studies))
    whole = (OVERALL,) if any(key == OVERALL for _, key in cells) else ()
    keys = (*tool.keys, *whole)
    lacking = [f"{study}, {key}" for study in names for key in keys if (study, key) not in cells]
    if lacking:
        raise MissingCellError(
            f"{plural(len(lacking), 'judgement')} of {tool.name} missing",
            "a judgement for every study and domain",
            f'add rows that say "{NOT_ASSESSED}" where nobody judged',
            lacking,
        )
    return _Cells(names, keys, cells, told)


def _read(tool: BiasTool, found: _Cells, rows: list[str]) -> RiskOfBias:
    """Return the record of cells; refuse blank ones and words that are no judgement, all of them at once."""
    known = tool.spellings()
    blank: list[str] = []
    unknown: dict[str, list[str]] = {}
    judged = []
    for study in found.studies:
        row = []
        for key in found.keys:
            cell = found.cells[study, key]
            text = "" if is_blank(cell) else as_word(cell)
            if not text.strip():
                blank.append(found.rows[study, key])
            elif plain(text) not in known:
                unknown.setdefault(text, []).append(found.rows[study, key])
            else:
                row.append(known[plain(text)].word)
        judged.append(tuple(row))
    if unknown:
        first, *others = unknown
        told = [where for word in (first, *others) for where in unknown[word]]
        raise UnknownChoiceError(f"judgement of {tool.name}", first, (*tool.words, NOT_ASSESSED), told)
    if blank:
        raise MissingCellError(
            f"{plural(len(blank), 'cell')} without a judgement",
            f"one of {', '.join(map(repr, tool.words))} in every cell",
            f'write "{NOT_ASSESSED}" where nobody judged',
            blank,
        )
    return RiskOfBias(tool, found.studies, found.keys, tuple(judged))


def _compare_overall(record: RiskOfBias) -> None:
    """Warn of overall judgements that are better than that of the worst domain."""
    tool = record.tool
    if OVERALL not in record.keys or not tool.overall_is_worst:
        return
    ranks = {judgement.word: i for i, judgement in enumerate(tool.judgements) if judgement.ranked}
    better = []
    for study, row in zip(record.studies, record.judged, strict=True):
        known = [word for word in row[:-1] if word in ranks]
        worst = max(known, key=lambda word: ranks[word], default=None)
        if worst is not None and row[-1] in ranks and ranks[row[-1]] < ranks[worst]:
            better.append(f"{study}: {row[-1]}, worst domain {worst}")
    if better:
        more = f"; and {len(better) - 8} more" if len(better) > 8 else ""
        warn_caller(
            f"overall judgements better than that of the worst domain, which {tool.name} does not allow: "
            f"{'; '.join(better[:8])}{more}; they are kept as given",
            OverallJudgementWarning,
        )


def _near(name: str, known: Sequence[str]) -> str:
    """Return a name, with the one of those known that is most like it."""
    near = nearest_word(name, known)
    return f"{name} (nearest: {near!r})" if near else name
