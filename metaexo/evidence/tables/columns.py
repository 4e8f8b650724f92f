"""What the columns of a table are: what its headings leave open is asked, what was read as what is said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from metaexo.errors import (
    EmptySheetError,
    MetaexoError,
    MisnamedColumnWarning,
    MissingColumnError,
    SheetWarning,
    UnclearColumnError,
)
from metaexo.evidence.codebook import Codebook, SheetPlan
from metaexo.evidence.domains import domain_meant
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.reading import Placed, RawSheet, letters
from metaexo.evidence.tables.asides import MOST_NAMED
from metaexo.evidence.tables.cells import Grid
from metaexo.evidence.tables.headings import (
    ARMS,
    LONGEST_HEADING,
    OF_ARMS,
    TOGETHER,
    Layout,
    Mapped,
    Meaning,
    Vocabulary,
    arm_named,
    find_header,
    fold,
    map_columns,
    meaning,
    missing_study,
    option,
    tokens,
    without_statistics,
)
from metaexo.evidence.tables.scales import RATIOS
from metaexo.evidence.tables.values import Dialect, is_count, is_empty, is_pair, number, share, shown
from metaexo.evidence.vocabulary import (
    NOT_REPORTED,
    VOCABULARIES,
    isolation_category,
    isolation_steps,
    source_category,
)
from metaexo.formatting import plural

LONGEST_VALUE = 200
"""Letters of a cell that a problem keeps."""
SAMPLE = 200
FEWEST_KNOWN = {True: 2, False: 1}
"""Known headings in a header: of a flat table, and of a sheet whose name says what it holds."""
USUAL = (
    *("study_id", "source_reported", "isolation_reported", "outcome"),
    *(f"{arm}_{part}" for arm in ARMS for part in ("mean", "sd", "n")),
)
"""Columns of the codebook that most tables have."""
MOST_TO_FILL_IN = 20
MEANS = tuple(f"{arm}_mean" for arm in ARMS)
SPREADS = ("sd", "se", "ci_low", "q1", "min")
RESULTS = frozenset(("effect", "difference", "p_value", "statistic"))
CENTRES = frozenset(("mean", "median", "events"))
"""Statistics of which one stands in every arm."""
BEFORE = frozenset(("pre", "before", "baseline"))
"""Words that may name the arm that stands before treatment."""
WHOM = frozenset(("species", "domain", "design"))
"""Columns that say whether a row is of people or of animals."""
OF_GROUPS = frozenset(
    ("group", "groups", "arm", "arms", "condition", "treatment", "intervention", "cohort", "gruppe")
)
"""Words of the heading of a column that says of which group a row is."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
WAYS = {
    "decimal comma": "decimal commas were read in {cells} of {columns}",
    "thousands": "signs between thousands were taken out of {cells} of {columns}",
    "percent": "percent signs were taken off {cells} of {columns}: 50 % is read as 50, in per cent",
    "percent, decimal comma": "percent signs were taken off {cells} of {columns} with decimal commas: "
    "50,5 % is read as 50.5, in per cent",
    "half of a total": "{cells} of {columns} {was} taken as the total of two groups of one size: each "
    "has half",
    "n =": '"n = 10" was read as 10 in {cells} of {columns}',
    "n with a word": '"10 mice" was read as 10 in {cells} of {columns}',
    "n per group": '"8 per group" was read as 8 in {cells} of {columns}',
    "a mark after the number": "marks and letters after numbers were left out in {cells} of {columns}: "
    '"81.0**" and "5.1 a" were read as 81.0 and 5.1',
    "a spread in signs": '"±1.2" or "(1.2)" was read as 1.2 in {cells} of {columns}',
    "raised decimal point": '"81·0" was read as 81.0 in {cells} of {columns}',
    "half a width": '"5.0 ± 1.2" was read as 5.0 (3.8 to 6.2) in {cells} of {columns}, as the heading says '
    "that the interval stands there",
    "p of one side": "{cells} of {columns} {was} doubled: the heading says that they are one-sided",
    "variance of an effect": "the square root of {cells} of {columns} was taken: the heading says variance",
    "risk difference in per cent": "{cells} of {columns} {was} divided by 100, with what stands beside: they "
    "are in per cent",
    "logarithm of a ratio": "{cells} of {columns} {was} taken as on the scale of logarithms: the ratio is "
    "exp of it, and its 95 % interval exp(logarithm ± 1.96 SE) where the SE stands beside it",
    "interval of another level": "the intervals of {cells} of {columns} were turned into those of 95 %, "
    "with the same standard error",
    "Cohen's d": "{cells} of {columns}, Cohen's d, {was} multiplied by the correction of Hedges, with what "
    "stands beside, which makes Hedges' g",
    "Cohen's d without n": "{cells} of {columns}, Cohen's d, {was} taken as Hedges' g: the n of both groups "
    "is not there, and the effects of small studies are some per cent too large",
    "powers of ten": "powers of ten were read in {cells} of {columns}",
    "an interval": '"5 (range 2-9)" was read as it says, in {cells} of {columns}',
    "events / n": '"12/20" was read as events of n in {cells} of {columns}',
    "count with its percentage": '"12 (60 %)" was read as the count alone in {cells} of {columns}',
    "p with =": "{cells} of p-values without a relation {was} read as exact (p_relation is =)",
}
"""How cells may be written, and what is said of them."""


@dataclass(slots=True)
class Tables:
    """What was read of a file: raw sheets, where their cells stand, notes, and problems of the file."""

    codebook: Codebook
    raws: dict[str, RawSheet] = field(default_factory=dict)
    placed: dict[str, Placed] = field(default_factory=dict)
    worksheet: str = ""
    notes: list[str] = field(default_factory=list)
    flat: bool = True
    headers: set[int] = field(default_factory=set)  # rows of the headings
    assumed: frozenset[str] = frozenset()  # columns that the file does not have and that were filled
    unused: SheetProblem | None = None  # columns of numbers that were kept as they are


@dataclass(slots=True)
class Remarks:
    """What is noticed while the rows of a table are read."""

    written: dict[str, Counter[str]] = field(default_factory=dict)  # way of writing -> cells by heading
    emptied: Counter[str] = field(default_factory=Counter)  # words that were read as empty cells
    # column, words of the cell, and the word that they were read as
    renamed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)  # rows that were not read, in sentences

    def wrote(self, how: str, heading: str) -> None:
        """Count a cell that was written in some way."""
        self.written.setdefault(how, Counter())[heading] += 1

    def said(self, layout: Layout, flat: bool) -> list[str]:
        """Return what was read as what, in sentences; linked sheets have our names as a rule."""
        notes = [*dict.fromkeys(layout.notes), *_of_columns(layout, flat), *self.unread]
        notes += [_way(how, where) for how, where in self.written.items()]
        if self.emptied:
            words = ", ".join(f"{word!r} ({n})" for word, n in self.emptied.most_common(MOST_NAMED))
            notes.append(f"read as empty cells: {words}")
        for (column, cell, word), n in list(self.renamed.items())[:MOST_NAMED]:
            notes.append(f"{shown(cell)} was read as {word!r} in {column} ({plural(n, 'cell')})")
        if len(self.renamed) > MOST_NAMED:
            notes.append(
                f"{len(self.renamed) - MOST_NAMED} more words were read as words of the vocabularies"
            )
        return notes


def _of_columns(layout: Layout, flat: bool) -> list[str]:
    """Return what every column was read as, and which were not used."""
    notes = []
    for column in layout.mapped:
        if not column.columns or column.columns == (column.heading,):
            continue
        joint = " and " if column.shared else ", "
        words = f"column {letters(column.at)} {column.heading!r} was read as {joint.join(column.columns)}"
        notes.append(words + (", the only group there is" if column.note else ""))
    same = [column.heading for column in layout.mapped if column.columns == (column.heading,)]
    if same and flat:
        have = "has its" if len(same) == 1 else "have their"
        notes.append(f"{plural(len(same), 'column')} {have} name of the codebook: {', '.join(same)}")
    own = [f"{letters(one.at)} {one.heading!r}" for one in layout.mapped if not one.columns and one.heading]
    if own:
        more = f" and {len(own) - MOST_NAMED} more" if len(own) > MOST_NAMED else ""
        notes.append(
            f"{plural(len(own), 'column')} kept as your own and not used: {', '.join(own[:MOST_NAMED])}{more}"
        )
    return notes


def _way(how: str, where: Counter[str]) -> str:
    """Return how some cells were written."""
    number = sum(where.values())
    was, bound = ("was", "a bound") if number == 1 else ("were", "bounds")
    relation = how.removeprefix("p with ")
    words = f"{{cells}} of p-values {{was}} read as {bound} (p_relation is {relation})"
    words = WAYS.get(how, words if relation != how else f"{how}: {{cells}} of {{columns}}")
    columns = ", ".join(repr(name) for name in where)
    return (
        words.replace("{cells}", plural(number, "cell")).replace("{was}", was).replace("{columns}", columns)
    )


def _options(columns: Mapping[tuple[str, ...], Mapped], arm: str) -> str:
    """Return the options that make the columns of a group those of an arm."""
    return " ".join(
        option(column.heading, " ± ".join(f"{arm}_{part}" for part in TOGETHER.get(parts, parts)))
        for parts, column in columns.items()
    )


def that_are_there(layout: Layout, columns: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return what the user says of the headings that a table has."""
    there = {fold(name) for name in layout.headings}
    there |= {fold(f"{g} {n}") for g, n in zip(layout.groups, layout.headings, strict=True)}
    return {name: said for name, said in columns.items() if fold(name) in there}


class Columns:
    """The columns of one grid: the header is found, and what it leaves open becomes a problem."""

    def __init__(
        self,
        tables: Tables,
        grid: Grid,
        plan: SheetPlan,
        words: Vocabulary,
        columns: Mapping[str, str | None],
    ) -> None:
        self.tables, self.grid, self.plan, self.words, self.columns = tables, grid, plan, words, columns
        self._by_line = dict(zip(grid.lines, grid.rows, strict=True))
        self.raw = RawSheet(plan)
        tables.raws[plan.name] = self.raw
        self.used: set[str] = set()
        self.notes = tables.notes
        self.by_author = False

    def header(self) -> bool:
        """Find the header and say what each column is; False if there is no table."""
        grid = self.grid
        layout = find_header(
            grid, self.plan.columns, self.words, self.columns, FEWEST_KNOWN[self.tables.flat]
        )
        if layout is None:
            first = ", ".join(repr(cell[:40]) for cell in (grid.rows[0] if grid.rows else [])[:8] if cell)
            self.layout = Layout(grid.lines[0] if grid.lines else 1, 0, [], [])
            self.problem(
                MissingColumnError,
                f"no row has headings that are known; the first row holds {first or 'nothing'}",
                "a row of headings such as Study, Source, Isolation, Exosome mean, Exosome SD, Exosome n, "
                "Control mean, Control SD, Control n",
                f"name the columns so, or say what each is: {self._to_fill_in()}; metaexo new FOLDER writes "
                "a workbook to fill in",
            )
            return False
        self.layout = layout
        self.tables.headers.add(layout.line)
        columns = self.columns if self.tables.flat else that_are_there(layout, self.columns)
        self.used = {fold(name) for name in columns}
        map_columns(grid, layout, self.plan.columns, self.words, columns, self.plan.file)
        if layout.start > 1 and layout.line > grid.lines[0] + (1 if any(layout.groups) else 0):
            self.notes.append(f"the headings stand in row {layout.line}; what stands above was not read")
        if layout.start >= len(grid.rows):
            self.problem(
                EmptySheetError,
                "the table has a header and no row",
                "one row at least",
                "fill it, or look at the path",
            )
        return True

    def _to_fill_in(self) -> str:
        """Return options with the headings of the table, the names of columns left to the user."""
        rows = [row for row in self.grid.rows if sum(map(bool, row)) > 1]
        there = {at for row in rows[1:] for at, cell in enumerate(row) if not is_empty(cell)}
        names = [cell for at, cell in enumerate(rows[0] if rows else []) if cell and at in there]
        if not names:
            return option("my heading", "treatment_mean")
        said = " ".join(option(name[:LONGEST_HEADING], "NAME") for name in names[:MOST_TO_FILL_IN])
        return f"{said}, in the place of each NAME one of {', '.join(USUAL)}; leave out what is none of them"

    def problem(
        self,
        kind: type[MetaexoError] | type[SheetWarning],
        what: str,
        allowed: str,
        remedy: str,
        at: int | None = None,
        line: int | None = None,
        lines: tuple[int, ...] = (),
        **more: str | None,
    ) -> None:
        """Add a problem of a heading, of a cell, or of the cells of several lines of a column."""
        line = self.layout.line if line is None else line
        row = f"{self.grid.sheet}, row {line}" if self.grid.sheet else f"row {line}"
        cells = tuple(self.grid.address(one, at) if at is not None else row for one in lines or (line,))
        heading = self.layout.headings[at] if at is not None and at < len(self.layout.headings) else ""
        column = more.get("column") or heading
        value = self.at(line, at)[:LONGEST_VALUE] if at is not None else ""
        self.raw.problems.append(
            SheetProblem(
                kind,
                what,
                allowed,
                remedy,
                self.plan.file,
                line,
                (more.get("study") or "")[:LONGEST_VALUE],
                column,
                value,
                more.get("nearest"),
                lines=lines,
                cells=cells,
                heading=heading,
            )
        )

    def at(self, line: int, at: int) -> str:
        """Return what stands in a cell."""
        row = self._by_line.get(line, [])
        return row[at] if at < len(row) else ""

    def _sample(self, at: int) -> list[str]:
        rows = self.grid.rows[self.layout.start :]
        cells = (row[at] for row in rows if at < len(row) and not is_empty(row[at]))
        return [cell for cell, _ in zip(cells, range(SAMPLE), strict=False)]

    def _replace(self, column: Mapped, **changes: object) -> None:
        place = self.layout.mapped.index(column)
        self.layout.mapped[place] = replace(column, **changes)  # type: ignore[arg-type]

    def ask(self) -> None:
        """Ask for what the headings of a flat table leave open."""
        self._arms_alone()
        self._arms_not_known()
        self._row_per_group()
        self._study_column()
        self._effect_measure()
        self._se_of_ratio()
        self._no_numbers()
        self._what_divides()
        self._whom()

    def _unread(self) -> Iterator[tuple[Mapped, list[str]]]:
        """Return the columns that nothing is known of, with cells, unless something is asked of them."""
        asked = {problem.heading for problem in [*self.layout.problems, *self.raw.problems]}
        for column in list(self.layout.mapped):
            if column.columns or column.by_user or not column.heading or column.heading in asked:
                continue
            if cells := self._sample(column.at):
                yield column, cells

    def _texts_of_pairs(self) -> Iterator[tuple[Mapped, list[str]]]:
        """Return the columns of texts that hold means and their spread, such as those of a group "Model"."""
        for column in list(self.layout.mapped):
            texts = column.columns and not any(self.plan.columns[name].is_number for name in column.columns)
            if (
                texts
                and not column.by_user
                and (cells := self._sample(column.at))
                and all(map(is_pair, cells))
            ):
                yield column, cells

    def _arms_alone(self) -> None:
        """Ask what stands in a column whose heading names an arm alone, unless "12/20" says it."""
        taken = self.layout.taken()
        arm = ""  # of the mean that stands before
        for column in self.layout.mapped:
            arm = next((name.partition("_")[0] for name in column.columns if name in MEANS), arm)
            if tokens(column.heading) == ["±"] and arm and not column.by_user and not column.columns:
                self._spread(column, arm, ("±",), taken)
        for column, cells in self._unread():
            said = meaning(column.heading, self.plan.columns, self.words)
            if said.arm and not said.statistics:
                self._arm_alone(column, said, cells, taken)

    def _arm_alone(self, column: Mapped, said: Meaning, cells: Sequence[str], taken: set[str]) -> None:
        arm, heading = said.arm, column.heading
        counted = next((cell for cell in cells if share(cell) or is_count(cell)), "")
        most = sum(share(cell) is not None or is_count(cell) for cell in cells) > len(cells) / 2
        pair = next((cell for cell in cells if is_pair(cell)), None)
        numbers = all(number(cell, Dialect()) is not None for cell in cells)
        if most and not {f"{arm}_events", f"{arm}_n"} & taken and not said.left and share(counted):
            self._replace(column, columns=(f"{arm}_events", f"{arm}_n"))
        elif most and f"{arm}_events" not in taken:
            both = share(counted) is not None and f"{arm}_n" not in taken
            target = f"{arm}_events / {arm}_n" if both else f"{arm}_events"
            size = "" if share(counted) or f"{arm}_n" in taken else f"; add the size of the group ({arm}_n)"
            self.problem(
                UnclearColumnError,
                f"{heading!r} holds {shown(counted)}, which looks like a number with an event",
                f"{target}, or another column",
                f"{option(heading, target)} if it is{size}; {option(heading, '')} if it is not",
                column.at,
            )
        elif sum(_DATE.fullmatch(cell) is not None for cell in cells) > len(cells) / 2:
            self.problem(
                UnclearColumnError,
                f"{heading!r} holds dates ({shown(cells[0])}): a spreadsheet makes a date of 6/8",
                f"{arm}_events and {arm}_n, or another column",
                "write the number with the event and the size of the group in columns of their own; "
                f"{option(heading, '')} if they are dates",
                column.at,
            )
        elif pair is not None and f"{arm}_mean" not in taken:
            sd, se = f"{arm}_mean ± {arm}_sd", f"{arm}_mean ± {arm}_se"
            self.problem(
                UnclearColumnError,
                f"{heading!r} holds {shown(pair)}: a mean and an SD or an SE, and nothing says which",
                f"{sd}, {se}, or a heading that says it (mean ± SD)",
                f"{option(heading, sd)} if it is the SD, {option(heading, se)} if it is the SE",
                column.at,
            )
        elif numbers and not {f"{arm}_mean", f"{arm}_events"} & taken:
            self.problem(
                UnclearColumnError,
                f"{heading!r} holds numbers and does not say which",
                f"{arm}_mean, {arm}_n, {arm}_events, or another column",
                f"{option(heading, f'{arm}_mean')} if they are means, {option(heading, f'{arm}_events')} if "
                f"they are numbers with the event; {option(heading, '')} if they are neither",
                column.at,
            )
        elif numbers and said.left and not set(said.left) & self.words.distractors:
            self._spread(column, arm, said.left, taken)

    def _spread(self, column: Mapped, arm: str, said: Sequence[str], taken: set[str]) -> None:
        """Ask whether a column is the spread of an arm that has a mean and none."""
        if f"{arm}_mean" not in taken or {f"{arm}_{part}" for part in SPREADS} & taken:
            return
        heading = column.heading
        root = "; of a variance write the square root" if {"variance", "var"} & set(said) else ""
        if {"cv", "rsd"} & set(said):
            root = "; of a coefficient of variation in per cent write mean × CV / 100"
        remedy = (
            f"{option(heading, f'{arm}_sd')} if it is the SD, {option(heading, f'{arm}_se')} if it is the SE"
            f"{root}; {option(heading, '')} if it is neither"
        )
        if sum(fold(other.heading) == fold(heading) for other in self.layout.mapped) > 1:
            remedy = (
                f'write "{arm} SD" or "{arm} SE" as its heading{root}: it stands twice, so that --map cannot '
                "name it"
            )
        self.problem(
            UnclearColumnError,
            f"{heading!r} may be the spread of {arm}_mean, and does not say which",
            f"{arm}_sd, {arm}_se, or another column",
            remedy,
            column.at,
        )

    def _arms_not_known(self) -> None:
        """Ask of groups whose name is not known: one may be an arm that is missing, or the true control."""
        taken = self.layout.taken()
        missing = [arm for arm in ARMS if not {f"{arm}_{part}" for part in OF_ARMS} & taken]
        controls = [
            column
            for column in self.layout.mapped
            if {f"control_{part}" for part in (*OF_ARMS, *SPREADS)} & {*column.columns}
        ]
        if "effect" in taken or (not missing and any(column.by_user for column in controls)):
            return
        groups: dict[str, dict[tuple[str, ...], Mapped]] = {}
        for column, cells in [*self._unread(), *self._texts_of_pairs()]:
            said = meaning(column.heading, self.plan.columns, self.words)
            group = without_statistics(column.heading, self.words)
            distractors = self.words.distractors - BEFORE if missing else self.words.distractors
            if set(group.split()) & distractors or (said.arm and not missing):
                continue
            if not missing and not said.statistics and is_pair(cells[0]):
                groups.setdefault(group, {})["mean", "sd"] = column
            elif said.statistics:
                filled = [cell for cell in cells if number(cell, Dialect()) or is_pair(cell) or share(cell)]
                if len(filled) > len(cells) / 2:
                    groups.setdefault(group, {})[said.statistics] = column
        found = [
            columns
            for columns in groups.values()
            if {part for parts in columns for part in parts} & CENTRES
            and len({part for parts in columns for part in parts}) > 1
        ]
        for columns in found[:MOST_NAMED]:
            if missing:
                self._arm_not_known(columns, missing)
            else:
                self._third_group(columns, controls)

    def _third_group(self, columns: Mapping[tuple[str, ...], Mapped], controls: Sequence[Mapped]) -> None:
        """Ask which of two groups is the control: healthy animals are none where others had the disease."""
        names = ", ".join(repr(column.heading) for column in columns.values())
        centre = next(column for parts, column in columns.items() if CENTRES & set(parts))
        instead = " ".join(option(column.heading, "") for column in controls)
        self.problem(
            UnclearColumnError,
            f"{names} {'is' if len(columns) == 1 else 'are'} of a third group: where it had the disease and "
            f"no exosomes, it is the control, and not {controls[0].heading!r}",
            "one control beside the exosomes",
            f"{option(centre.heading, '')} if {controls[0].heading!r} is of the control; {instead} "
            f"{_options(columns, 'control')} if {centre.heading!r} is",
            centre.at,
        )

    def _arm_not_known(self, columns: Mapping[tuple[str, ...], Mapped], missing: Sequence[str]) -> None:
        names = ", ".join(repr(column.heading) for column in columns.values())
        words = {"treatment": "the exosomes", "control": "the control"}
        centre = next(column for parts, column in columns.items() if CENTRES & set(parts))
        known = [words[arm] for arm in ARMS if arm not in missing]
        seen = set(tokens(centre.heading)) & BEFORE
        before = (
            ' (and write "post_vs_pre" in a column contrast, if they are of before treatment)' if seen else ""
        )
        only = f"only {known[0]} would have numbers" if known else "no group would have numbers"
        self.problem(
            UnclearColumnError,
            f"{names} are of a group that is not known, and without them {only}",
            "headings that name the arm (Exosome mean, Control mean)",
            "; ".join(f"{_options(columns, arm)} if they are of {words[arm]}" for arm in missing)
            + before
            + f"; {option(centre.heading, '')} if they are of neither",
            centre.at,
        )

    def _row_per_group(self) -> None:
        """Refuse a table with a row per group, and ask where it may be one: its rows are no comparisons."""
        if not any(column.note for column in self.layout.mapped):
            return
        for column in self.layout.mapped:
            of_source = column.columns == ("source_reported",)
            if column.columns and (column.by_user or not of_source):
                continue
            cells = dict.fromkeys(self._sample(column.at))
            known = [cell for cell in cells if len(cell) <= LONGEST_HEADING]
            if of_source:  # "none (PBS)" in the place of a source
                known = [cell for cell in known if source_category(cell) == NOT_REPORTED]
            arms = {self._arm_of(cell) for cell in known}
            sure = set(ARMS) <= arms and not of_source
            heading = {*tokens(column.heading)} & OF_GROUPS and not of_source
            may = not column.by_user and (heading or {*ARMS} & arms) and self._differs_within(column.at)
            if not sure and not may:
                continue
            shown_ = ", ".join(repr(cell) for cell in list(cells)[:4])
            has = "has" if sure else "may have"
            own = option(column.heading, "source_reported" if of_source else "")
            settled = "" if sure else f"; {own} if no row is of a control"
            self.problem(
                UnclearColumnError,
                f"the table {has} a row per group: {column.heading!r} holds {shown_}",
                "a row per comparison, with the numbers of both groups in it",
                "put each control beside its comparison: columns Control mean, Control SD, Control n"
                + settled,
                column.at,
            )

    def _differs_within(self, at: int) -> bool:
        """Return whether most studies have several rows, with several words in a column."""
        key = next((c.at for c in self.layout.mapped if {self.plan.key, "first_author"} & {*c.columns}), None)
        words: dict[str, list[str]] = {}
        for row in self.grid.rows[self.layout.start :]:
            if key is not None and max(key, at) < len(row) and row[key] and row[at]:
                words.setdefault(fold(row[key]), []).append(row[at])
        texts = [cell for cells in words.values() for cell in cells if number(cell, Dialect()) is None]
        several = [cells for cells in words.values() if len({*map(fold, cells)}) > 1]
        return bool(texts) and len(several) > len(words) / 2

    def _arm_of(self, cell: str) -> str:
        said = meaning(cell, {}, self.words)
        return "" if said.statistics else said.arm or arm_named(cell, self.words)

    def _study_column(self) -> None:
        """Take Author and Year as the study where no column names it."""
        taken = self.layout.taken()
        if self.plan.key in taken:
            return
        if "first_author" in taken:
            self.by_author = True
            with_year = " and year" if "year" in taken else ""
            self.notes.append(f"no column names the study: the author{with_year} of a row is its study")
            return
        cell = self.grid.address(self.layout.line, 0)
        self.raw.problems.append(missing_study(self.layout, self.plan.file, cell))

    def _effect_measure(self) -> None:
        """Ask what the effects are, where neither a heading nor a column says it."""
        taken, constants = self.layout.taken(), self.layout.constants
        if "effect" not in taken or "effect_measure" in taken or constants:
            if "effect_measure" in taken:
                constants.pop("effect_measure", None)
            return
        column = next(c for c in self.layout.mapped if "effect" in c.columns)
        self.problem(
            UnclearColumnError,
            f"{column.heading!r} does not say which measure the effects are",
            self.plan.columns["effect_measure"].allowed,
            'name the heading by the measure ("SMD", "OR", "MD"), or add a column "Effect measure"',
            column.at,
        )

    def _se_of_ratio(self) -> None:
        """Ask of the SE beside a ratio whether it is that of the logarithm, which alone gives an effect."""
        taken = self.layout.taken()
        measure = self.layout.constants.get("effect_measure", "")
        if measure not in RATIOS or "effect_ci_low" in taken or "effect_se" not in taken:
            return
        of = {name: column for column in self.layout.mapped for name in column.columns}
        if of["effect_se"].scale.log or of["effect"].scale.log:
            return
        self.problem(
            UnclearColumnError,
            f"{of['effect_se'].heading!r} beside {of['effect'].heading!r} does not say whether it is the "
            "standard error of the logarithm",
            "the SE of the logarithm, or the interval of the ratio",
            'name the heading "SE (log)" if it is that of the logarithm, as programs print it; else give the '
            "interval in columns CI low and CI high",
            of["effect_se"].at,
        )

    def _no_numbers(self) -> None:
        """Ask which columns hold the results, where no heading says it and several hold numbers."""
        taken = self.layout.taken()
        if any(name.startswith(("treatment_", "control_")) for name in taken) or taken & RESULTS:
            return
        unread = [
            column
            for column, cells in self._unread()
            if sum(number(cell, Dialect()) is not None for cell in cells) > len(cells) / 2
        ]
        if not unread or self.layout.problems or self.raw.problems:
            return
        names = ", ".join(repr(column.heading) for column in unread[:MOST_NAMED])
        self.problem(
            MissingColumnError,
            f"no heading names results; numbers stand in {names}",
            "mean, SD and n, or events and n, of both groups; or effects with their SE or interval",
            f"say what each is: {option(unread[0].heading, 'treatment_events')}, and so for treatment_n, "
            "control_events and control_n, or treatment_mean, treatment_sd and so on (n is the size of the "
            "group: where a column holds those without the event, add the two)",
            unread[0].at,
        )

    def _whom(self) -> None:
        """Ask of a column with people and animals, where none says which: they are never pooled."""
        if self.layout.taken() & WHOM:
            return
        self.notes.append(
            "no column names the species, the design or the domain: nothing says whether these are people or "
            "animals"
        )
        models = [one for one in self.layout.mapped if one.columns == ("model",) and not one.by_user]
        for column, cells in [*self._unread(), *((one, self._sample(one.at)) for one in models)]:
            texts = [cell for cell in cells if len(cell) <= LONGEST_HEADING]
            said = {name: [domain_meant(name, cell) for cell in texts] for name in ("species", "domain")}
            name = max(said, key=lambda name: len(said[name]) - said[name].count(None))
            known = [domain for domain in said[name] if domain]
            if len({*known}) < 2 or len(known) <= len(cells) / 2:
                continue
            words = ", ".join(map(shown, list(dict.fromkeys(cells))[:3]))
            own = "model" if column.columns else ""
            self.problem(
                UnclearColumnError,
                f"{column.heading!r} holds people and animals ({words}), and no column names the species: "
                "they would be pooled",
                "a column Species, or Domain (clinical, preclinical)",
                f"{option(column.heading, name)} if it says whom the rows are of; "
                f"{option(column.heading, own)} if not",
                column.at,
            )

    def _what_divides(self) -> None:
        """Say where no column names the source or the isolation, and which may."""
        taken = self.layout.taken()
        for kind in VOCABULARIES:
            if taken & {f"{kind}_reported", f"{kind}_category"}:
                continue
            self.notes.append(f"no column names the {kind}: nothing can be compared by {kind}")
            for column, cells in self._unread():
                read = source_category if kind == "source" else _isolation
                named = [
                    cell for cell in cells if len(cell) <= LONGEST_HEADING and read(cell) != NOT_REPORTED
                ]
                if len(named) > len(cells) / 2:
                    self.problem(
                        MisnamedColumnWarning,
                        f"{column.heading!r} holds {shown(named[0])}, and no column names the {kind}: "
                        f"nothing can be compared by {kind}",
                        f"a column with the {kind}",
                        f"{option(column.heading, f'{kind}_reported')} if it names the {kind}; "
                        f"{option(column.heading, '')} if it does not",
                        column.at,
                    )
                    break


def _isolation(text: str) -> str:
    return isolation_category(isolation_steps(text))
