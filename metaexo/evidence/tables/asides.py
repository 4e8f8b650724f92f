"""What stands beside the numbers of a table: titles, remarks, comments, lines through cells, units.

None of it is a number, and all of it can change what the numbers are: it is asked about, or said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from metaexo.evidence.codebook import Column
from metaexo.evidence.tables.cells import Grid
from metaexo.evidence.tables.headings import (
    ARMS,
    HEADER_WITHIN,
    SAYS,
    Layout,
    Mapped,
    Vocabulary,
    arm_named,
    fold,
    meaning,
    option,
    tokens,
)
from metaexo.evidence.tables.values import Dialect, is_empty, number, shown
from metaexo.formatting import plural

FEWEST_TWICE = 2
"""Numbers of arms that stand twice where tables stand side by side."""
MOST_NAMED = 12
"""Things of one kind that a note names."""
LONGEST_TEXT = 2_000
"""Letters of a text in which it is looked for what the numbers are."""
SPREADS: Mapping[str, tuple[str, str]] = {"sd": ("SD", "se"), "se": ("SE", "sd")}
"""Spreads of arms: in words, and what they are mistaken for."""
_SE = re.compile(
    r"\b(?:SEM|SE|SEMs|SEs|S\.E\.M|S\.E)\b|\bs\.e\.m\b|±\s*sem?\b|\b[Ss]t(?:andard|d)\.? [Ee]rrors?\b"
)
_SD = re.compile(r"\b(?:SD|SDs|S\.D)\b|\bs\.d\b|±\s*sd\b|\b[Ss]t(?:andard|d)\.? [Dd]ev(?:iation)?s?\b")
_CONVERTED = re.compile(
    r"convert|comput|calculat|multipl|turned|from (?:the )?SE|umger|√|sqrt", re.IGNORECASE
)
_MICROSCOPE = re.compile(r"\b(?:TEM|NTA|DLS|electron|microscop\w*)\b", re.IGNORECASE)
"""Words beside which SEM is a microscope."""
_OF_VALUES = re.compile(r"±|\+/-|\b(?:means?|values?|errors?|bars?|reported as|given as)\b", re.IGNORECASE)
"""Words by which a remark in a row is of its numbers."""
UNITS = frozenset(
    fold(unit)
    for unit in [
        *("%", "mm", "cm", "m", "µm", "um", "nm", "mm²", "cm²", "µm²"),
        *("g", "mg", "µg", "ug", "kg", "ng", "pg", "ml", "µl", "l"),
        *("mg/dl", "mmol/l", "pg/ml", "ng/ml", "µg/ml"),
        *("mice", "mouse", "rats", "rat", "animals", "patients", "wells", "cells", "n"),
        *("days", "weeks", "hours", "h", "d", "min", "s"),
        *("a.u.", "au", "fold", "score", "points", "percent", "mmhg"),
    ]
)
"""Words of a row of units, without their brackets."""


LEGENDS = frozenset(
    [
        *(
            "legend",
            "key",
            "code",
            "codes",
            "coding",
            "codebook",
            "abbreviation",
            "abbreviations",
            "glossary",
        ),
        *("note", "notes", "readme", "read me", "info", "information", "explanation", "explanations"),
        *(
            "variables",
            "dictionary",
            "data dictionary",
            "legende",
            "abkürzungen",
            "hinweise",
            "erläuterungen",
        ),
    ]
)
"""Names of worksheets that explain the others."""
OF_GROUPS = frozenset(
    [*("with", "only", "alone", "received", "given", "injected"), *("mice", "rats", "animals", "patients")]
)
"""Words that may stand beside the name of an arm where a legend explains a code."""
_CODE = re.compile(r"\b([^\W\d_][^\W_]{0,5})\s*[=:]\s*([^,;.=:]+)")
_ABBREVIATED = re.compile(r"\W*(?:SEM|SE|SD|S\.E\.M|S\.D)\b\W*\s(?!of values)", re.IGNORECASE)
"""A spread that is explained, and not said of the values: "SEM: standard error of the mean"."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a table leaves open, and where it stands."""

    what: str
    allowed: str
    remedy: str
    at: int | None
    line: int


def is_legend(grid: Grid) -> bool:
    """Return whether a worksheet explains the others, by its name."""
    return fold(grid.sheet) in LEGENDS


def with_legend(grid: Grid, grids: Sequence[Grid], words: Vocabulary) -> tuple[Vocabulary, list[str]]:
    """Return the words of headings with the codes of arms that a legend explains, and say which.

    The rows of worksheets named Legend, Key, Notes and so on are kept with the grid: they may say which arm
    is 1 and which 2, or that the values are given with their SEM.
    """
    legends = [other for other in grids if other is not grid and is_legend(other)]
    grid.legend = [
        (other.sheet, cells) for other in legends for row in other.rows if (cells := [*filter(None, row)])
    ]
    known = {*words.arms, *words.statistics, *words.columns, *words.fillers, *words.distractors}
    codes: dict[str, str] = {}
    notes = []
    headings = [tokens(cell) for row in grid.rows[:HEADER_WITHIN] for cell in row]
    for sheet, cells in grid.legend:
        pairs = [(match[1], match[2]) for match in _CODE.finditer(" = ".join(cells[:2])[:LONGEST_TEXT])]
        for code, text in pairs:
            name = " ".join(tokens(code))
            said = [
                token for token in tokens(text.partition("(")[0]) if token not in OF_GROUPS | words.fillers
            ]
            arm = arm_named(text, words)
            used = any(
                name.split() == found[i : i + len(name.split())]
                for found in headings
                for i in range(len(found))
            )
            if arm and name not in known and name not in codes and used and {*said} <= {*words.arms}:
                codes[name] = arm
                notes.append(
                    f"{code!r} was taken as {SAYS[arm]} in the headings, as the worksheet {sheet!r} says"
                )
    return replace(words, arms={**words.arms, **codes}), notes


def spreads_in(text: str) -> set[str]:
    """Return which spreads a text names: "se", "sd", both or none.

    Examples
    --------
    >>> spreads_in("All values are mean ± SEM"), spreads_in("SEM and TEM pictures of exosomes")
    ({'se'}, set())
    """
    text = text[:LONGEST_TEXT].replace("+/-", "±")
    found = {"sd"} if _SD.search(text) else set()
    return found | ({"se"} if _SE.search(text) and not _MICROSCOPE.search(text) else set())


def ask_of_spread(grid: Grid, layout: Layout) -> Iterator[Question]:
    """Ask where a title, a remark or a comment says SE of columns that were read as SD, or the reverse."""
    for text, where, at, line in _texts(grid, layout):
        found = spreads_in(text)
        for part in ("sd", "se"):
            word, other = SPREADS[part]
            if other not in found or (part == "se" and len(found) > 1):
                continue
            columns = [column for column in layout.mapped if _is_read_as(column, part, layout)]
            if not columns:
                continue
            cells = ", ".join(f"{c.heading!r} ({grid.address(layout.line, c.at)})" for c in columns)
            were = "was" if len(columns) == 1 else "were"
            as_other = " ".join(option(c.heading, _with(c, part, other)) for c in columns)
            as_read = " ".join(option(c.heading, _with(c, part, part)) for c in columns)
            yield Question(
                f"{where} says {shown(text)}, and {cells} {were} read as {word}s",
                f"one of the two: SD or SE, for {cells}",
                f"{as_other} if they are {SPREADS[other][0]}s; {as_read} if they are {word}s all the same",
                at,
                line,
            )
            return


def _is_read_as(column: Mapped, part: str, layout: Layout) -> bool:
    """Return whether a column is the spread of an arm, by its heading alone, and the only one of its arm."""
    other = SPREADS[part][1]
    arm = next((arm for arm in ARMS if f"{arm}_{part}" in column.columns), "")
    return bool(arm) and not column.by_user and f"{arm}_{other}" not in layout.taken()


def _with(column: Mapped, part: str, other: str) -> str:
    names = [
        f"{name.removesuffix(part)}{other}" if name.endswith(f"_{part}") else name for name in column.columns
    ]
    return " ± ".join(names)


def _texts(grid: Grid, layout: Layout) -> Iterator[tuple[str, str, int | None, int]]:
    """Return the texts that may say what the numbers are: text, its place in words, and its cell."""
    if grid.sheet:
        yield grid.sheet, "the name of the worksheet", None, layout.line
    for sheet, cells in grid.legend:
        if len(cells) == 1 and _is_of_values(cells[0]) and not _ABBREVIATED.match(cells[0]):
            yield cells[0], f"the worksheet {sheet!r}", None, layout.line
    asked = {problem.heading for problem in layout.problems}
    own = {column.at for column in layout.mapped if not column.columns or column.columns == ("note",)}
    table = {column.at for column in layout.mapped if column.columns}
    for i, (line, row) in enumerate(zip(grid.lines, grid.rows, strict=True)):
        alone = sum(bool(cell) for cell in row) == 1
        for at, cell in enumerate(row):
            beside = i >= layout.start and at in own and _is_of_values(cell)
            title = i < layout.start - 1 or (
                i == layout.start - 1 and (at in own or at not in table) and layout.headings[at] not in asked
            )
            told = title or (i >= layout.start and alone) or beside
            if cell and told and number(cell, Dialect()) is None:
                yield (
                    cell,
                    f"{'row' if alone else 'cell'} {line if alone else grid.address(line, at)}",
                    at,
                    line,
                )
    for (line, at), text in grid.comments.items():
        yield text, f"the comment on {grid.address(line, at)}", at, line


def _is_of_values(cell: str) -> bool:
    """Return whether a remark in a row says of its numbers that they are one spread, not both."""
    return _OF_VALUES.search(cell[:LONGEST_TEXT]) is not None and len(spreads_in(cell)) == 1


def side_by_side(
    grid: Grid, layout: Layout, known: Mapping[str, Column], words: Vocabulary
) -> tuple[Question, set[str]] | None:
    """Ask where the same numbers of an arm stand twice beside each other, for two outcomes or time points.

    With the question come the headings of which nothing else need be asked.
    """
    places: dict[tuple[str, ...], list[Mapped]] = {}
    for column in layout.mapped:
        said = meaning(column.heading, known, words)
        of_arm = bool(said.columns) and said.columns[0].startswith(ARMS) and known[said.columns[0]].is_number
        if of_arm and not column.by_user and not {*said.left} & words.distractors:
            places.setdefault(said.columns, []).append(column)
    twice = [columns for columns in places.values() if len(columns) > 1]
    arms = {name.partition("_")[0] for names in places for name in names}
    if len(twice) < FEWEST_TWICE or not arms >= {*ARMS}:  # "EV" and "non-EV" are two groups
        return None
    listed = " and ".join(f"{c.heading!r} ({grid.address(layout.line, c.at)})" for c in twice[0][:MOST_NAMED])
    names = [fold(column.heading) for column in layout.mapped]
    all_of_them = {c.heading for columns in twice for c in columns}
    all_of_them |= {c.heading for c in layout.mapped if names.count(fold(c.heading)) > 1}
    remedy = (
        "put them below one another: a row for each, with a column Timepoint, Outcome or Treatment label "
        "that says which it is, and the study, source and isolation in every row"
    )
    if not any(names.count(fold(c.heading)) > 1 for columns in twice for c in columns):
        first = [option(c[0].heading, " ± ".join(parts)) for parts, c in places.items() if len(c) > 1]
        others = [option(c.heading, "") for columns in twice for c in columns[1:]]
        remedy += f"; or read one of them alone: {' '.join(first + others)}"
    question = Question(
        f"numbers of one group stand side by side: {listed}, and "
        f"{plural(len(twice) - 1, 'more such pair')}; they may be of several time points, outcomes or doses",
        "one row per comparison, with the numbers of each group once in it",
        remedy,
        twice[0][1].at,
        layout.line,
    )
    return question, all_of_them


def ask_of_means(
    grid: Grid, layout: Layout, known: Mapping[str, Column], words: Vocabulary
) -> Iterator[Question]:
    """Ask whether a column such as "Mean change" is the mean of a group that has a spread and no mean."""
    taken = layout.taken()
    for column in layout.mapped:
        said = meaning(column.heading, known, words)
        arm, part = (*said.columns, "")[0].partition("_")[::2]
        spread = {f"{arm}_sd", f"{arm}_se"} & taken
        if column.columns or column.by_user or part != "mean" or not spread or f"{arm}_{part}" in taken:
            continue
        yield Question(
            f"{column.heading!r} may be the mean whose spread is {min(spread)}, and is not certain to be",
            f"{arm}_mean, or another column",
            f"{option(column.heading, f'{arm}_mean')} if it is; {option(column.heading, '')} if it is not",
            column.at,
            layout.line,
        )


def comments_said(grid: Grid, layout: Layout) -> list[str]:
    """Return which cells have a comment, in a sentence: comments are not read.

    Those on headings with a name of the codebook are of the template, whoever saved it since.
    """
    ours = {(layout.line, c.at) for c in layout.mapped if c.columns == (c.heading,)}
    comments = [(place, text) for place, text in grid.comments.items() if place not in ours]
    if not comments:
        return []
    listed = ", ".join(
        f"{grid.address(line, at)} {shown(text)}" for (line, at), text in comments[:MOST_NAMED]
    )
    more = " ..." if len(comments) > MOST_NAMED else ""
    told = f"{plural(len(comments), 'cell')} {'has a comment' if len(comments) == 1 else 'have comments'}"
    return [f"{told}, not read: {listed}{more}"]


def says_standard_errors(grid: Grid, line: int, row: Mapping[str, str]) -> str:
    """Return the text of a row that says that its spreads are standard errors, where they stand as SDs.

    A text that tells of a conversion, or names both, says nothing of what stands in the cells.
    """
    there = any(row.get(f"{arm}_sd") for arm in ARMS)
    if not there or row.get("caution") or any(row.get(f"{arm}_se") for arm in ARMS):
        return ""
    comments = [text for (at, _), text in grid.comments.items() if at == line]
    texts = [row.get("note", ""), row.get("locator", ""), *comments]
    return next((text for text in texts if spreads_in(text) == {"se"} and not _CONVERTED.search(text)), "")


def struck_out(grid: Grid, line: int, row: list[str], taken: set[int]) -> Question | None:
    """Ask of a row with a line through its cells: people leave out studies so."""
    there = [at for at, cell in enumerate(row) if cell]
    struck = [at for at in there if (line, at) in grid.struck]
    if not struck or not taken & set(struck):
        return None
    if len(struck) == len(there):
        return Question(
            "a line goes through the cells of the row",
            "rows that count, without a line through them",
            "delete the row if the study is left out; take the line off (Ctrl+5 in Excel) if it counts",
            struck[0],
            line,
        )
    at = next(at for at in struck if at in taken)
    return Question(
        f"a line goes through {shown(row[at])}",
        "values that count, without a line through them",
        "write the value that counts, or empty the cell; take the line off (Ctrl+5 in Excel) if it counts",
        at,
        line,
    )


def is_row_of_units(row: list[str], numeric: set[int]) -> bool:
    """Return whether a row holds units of the columns of numbers, and nothing else there.

    Examples
    --------
    >>> is_row_of_units(["", "mice", "(%)", "%"], {1, 2, 3}), is_row_of_units(["Li", "8", "5"], {1, 2})
    (True, False)
    """
    cells = [row[at] for at in numeric if at < len(row) and not is_empty(row[at])]
    return bool(cells) and all(fold(cell.strip("()[] ")) in UNITS for cell in cells)


_SIZE_OF_BOTH = re.compile(r"\s*\d+\s*[/+;,&]\s*\d+\s*")
OF_SPREADS = frozenset(("±", "var", "variance", "variances", "vi", "varianz"))
"""Words of headings that say a spread, though not which."""
SHORTEST_WORD = 2
"""Letters of a word by which a heading names an arm; "n" names a size."""


def numbers_not_used(
    grid: Grid, layout: Layout, known: Mapping[str, Column], words: Vocabulary
) -> Question | None:
    """Ask of columns of numbers that name an arm or a statistic and were kept as the user's own.

    It is a question where the table gives no effect without them.
    """
    rows = grid.rows[layout.start :]
    named = {*words.arms, *words.statistics, *OF_SPREADS}
    found: list[tuple[Mapped, str]] = []
    for column in layout.mapped:
        cells = [row[column.at] for row in rows if column.at < len(row) and row[column.at]]
        numbers = [cell for cell in cells if any(sign.isdigit() for sign in cell)]
        of = [word for word in tokens(column.heading) if len(word) >= SHORTEST_WORD or word in "n±"]
        if (
            column.columns
            or column.by_user
            or not {*of} & named
            or 2 * len(numbers) <= len(cells)
            or not cells
        ):
            continue
        found.append((column, _may_be(column.heading, numbers[0], known, words)))
    if not found:
        return None
    listed = ", ".join(f"{c.heading!r} ({grid.address(layout.line, c.at)})" for c, _ in found[:MOST_NAMED])
    none = " ".join(option(column.heading, "") for column, _ in found[:MOST_NAMED])
    holds = "holds numbers and was" if len(found) == 1 else "hold numbers and were"
    return Question(
        f"no row gives an effect, and {listed} {holds} not used",
        "columns of the mean, SD and n of each group, of events and n, or of an effect with its interval",
        f"{'; '.join(said for _, said in found[:MOST_NAMED])}; {none} if none of them is such a number",
        found[0][0].at,
        layout.line,
    )


def _may_be(heading: str, cell: str, known: Mapping[str, Column], words: Vocabulary) -> str:
    """Return what a column may be, by the words of its heading and one of its cells, as options to type."""
    said, found = meaning(heading, known, words), tokens(heading)
    parts = list(said.statistics)
    if _SIZE_OF_BOTH.fullmatch(cell) and "n" in parts:
        return f"write the two numbers of {heading!r} in columns of their own, Exosome n and Control n"
    if {*found} & (OF_SPREADS - {"±"}):
        column = f"{said.arm} SD" if said.arm else "Effect SE"
        return f"write the square root of the variance {heading!r} in a column {column}"
    if not said.arm:
        return f"add to {heading!r} which group it is of: Exosome, Control or Effect"
    if not parts and "±" in cell:
        size = f" ({said.arm}_n)" if re.search(r"\(.*\d", cell) else ""
        ways = [(f"{said.arm}_mean ± {said.arm}_{part}{size}", SPREADS[part][0]) for part in ("sd", "se")]
    elif not parts and "±" in found:
        ways = [(f"{said.arm}_{part}", SPREADS[part][0]) for part in ("sd", "se")]
    else:
        names = [f"{said.arm}_{part}" for part in parts or ["mean"] if f"{said.arm}_{part}" in known]
        ways = [(name, name.partition("_")[2].upper()) for name in names]
    if len(ways) == 1:
        return f"{option(heading, ways[0][0])} if it is"
    return " or ".join(f"{option(heading, way)} (if {word})" for way, word in ways)
