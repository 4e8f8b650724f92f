"""Which rows of a table are results, each once, and of which paper: sums, remarks, choices, copies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from metaexo.evidence.codebook import Column
from metaexo.evidence.tables.asides import MOST_NAMED, Question
from metaexo.evidence.tables.headings import Layout, fold, option
from metaexo.evidence.tables.values import Dialect, is_empty, number, shown
from metaexo.formatting import plural

_SUMMARY = re.compile(
    r"(?:sub)?totals?(?:\s*[(\[].*)?|overall(?: effect)?|pooled(?: effect| estimate)?|heterogeneity\s*:.*"
    r"|test for .*|summe|gesamt|insgesamt|∑|σ|averages?|avg|(?:grand |overall )?means?|medians?"
    r"|mean\s*(?:±|\+/-|\()\s*sd\)?|mittelwerte?|durchschnitt|moyenne|promedio"
    r"|(?:all|alle) (?:studies|studien)"
    r"|(?:mean|average|median|sum|total|sd|n) (?:of|over|across) (?:all|the|\d+)\b.*",
    re.IGNORECASE,
)
"""First cells of rows that sum up others, as RevMan and people write them."""
_MAY_BE_A_NAME = frozenset(
    [
        *("all", "alle", "sum", "min", "max", "minimum", "maximum", "mittel", "media", "mw", "range"),
        *("count", "sd", "se", "sem", "n", "stdev", "std dev", "ø", "standardabweichung"),
    ]
)
"""Such words that are names of people too, or codes: they sum up where no other text stands in the row."""
_YEAR = re.compile(r"(?:19|20)\d\d")
FEWEST_SUMMED = 3
"""Rows, and columns of numbers, by which a row is seen to hold the means or the sums of those above it."""


def is_summary(cell: str, others: Sequence[str]) -> bool:
    """Return whether a row that begins with a cell sums up other rows, by that word.

    Examples
    --------
    >>> is_summary("Average", ["77.1"]), is_summary("Min", ["2019", "hUC-MSC"]), is_summary("Max:", ["9"])
    (True, False, True)
    """
    text = cell.strip(" :.=*")
    if _SUMMARY.fullmatch(text):
        return True
    texts = [one for one in others if one and number(one, Dialect()) is None and not is_empty(one)]
    return fold(text) in _MAY_BE_A_NAME and not texts


def is_remark(row: Sequence[str], key: int, numeric: set[int], most_words: int) -> bool:
    """Return whether a row below the numbers of a table is a remark in several cells."""
    filled = [at for at, cell in enumerate(row) if cell]
    numbers = [at for at in filled if at in numeric and any(sign.isdigit() for sign in row[at])]
    study = row[key] if key < len(row) else ""
    if len(study.split()) > most_words:
        return len(numbers) <= 1
    return bool(filled) and not numbers and len(filled) <= 2 and not _YEAR.search(study)


def summed(row: Sequence[str], above: Sequence[Sequence[str]], numeric: set[int]) -> str:
    """Return "means" or "sums" where all numbers of a row are those of the rows above it.

    Examples
    --------
    >>> rows = [["1", "2", "4"], ["2", "3", "5"], ["3", "4", "6"]]
    >>> summed(["2", "3", "5"], rows, {0, 1, 2}), summed(["6", "9", "15"], rows, {0, 1, 2})
    ('means', 'sums')
    """
    found = {"means": 0, "sums": 0}
    columns = 0
    for at in numeric:
        cells = [number(one[at], Dialect()) if at < len(one) else None for one in (*above, row)]
        *values, last = [float(value.text) if value else None for value in cells]
        known = [value for value in values if value is not None]
        if last is None or len({*known}) == 1:  # a constant is its own mean
            continue
        columns += 1
        half = 0.5 * 10.0 ** -len(row[at].partition(".")[2]) + 1e-9
        found["means"] += len(known) >= FEWEST_SUMMED and abs(sum(known) / len(known) - last) <= half
        found["sums"] += len(known) >= FEWEST_SUMMED and abs(sum(known) - last) <= half
    return next((word for word, n in found.items() if n == columns >= FEWEST_SUMMED), "")


def alone_said(rows: Sequence[tuple[int, str]]) -> list[str]:
    """Return which rows hold one cell alone and were not read, those of one text at once."""
    runs: list[tuple[list[int], str]] = []
    for line, text in rows:
        if runs and runs[-1][1] == text and runs[-1][0][-1] == line - 1:
            runs[-1][0].append(line)
        else:
            runs.append(([line], text))
    return [
        f"row {lines[0]} was not read: it holds only {shown(text)}"
        if len(lines) == 1
        else f"rows {lines[0]} to {lines[-1]} were not read: they hold only {shown(text)}"
        for lines, text in runs
    ]


_INCLUDED = re.compile(r"\b(?:includ\w*|inclusion|eligib\w*|eingeschlossen|einschluss)\b", re.IGNORECASE)
_EXCLUDED = re.compile(r"\b(?:exclu\w*|ausgeschlossen|ausschluss)\b", re.IGNORECASE)
_YES = frozenset(("yes", "y", "true", "1", "x", "✓", "✔", "ja", "j", "wahr", "include", "included", "in"))
_NO = frozenset(("no", "n", "false", "0", "nein", "falsch", "exclude", "excluded", "out"))


def only(heading: str, values: Sequence[str], *, but: bool = False) -> str:
    """Return the option that keeps the rows with some values of a column, or all but these.

    Examples
    --------
    >>> print(only("Included?", ["no"], but=True))
    --where '`Included?` != "no"'
    >>> print(only("reviewer", ["A", "B"]))
    --where "reviewer in ['A', 'B']"
    """
    one = len(values) == 1
    sign = ("!=" if one else "not in") if but else ("==" if one else "in")
    plain = heading.isidentifier()
    inner, outer = ("'", '"') if plain else ('"', "'")
    words = [f"{inner}{value}{inner}" for value in values]
    name = heading if plain else f"`{heading}`"
    return f"--where {outer}{name} {sign} {words[0] if one else '[' + ', '.join(words) + ']'}{outer}"


def ask_of_choice(rows: Sequence[tuple[int, list[str]]], layout: Layout) -> Iterator[Question]:
    """Ask of a column such as "Included?" that says "no" in some rows: its rows would be pooled as well."""
    for column in layout.mapped:
        heading, at = column.heading, column.at
        excluded = _EXCLUDED.search(heading) is not None
        if column.columns or column.by_user or not (excluded or _INCLUDED.search(heading)):
            continue
        cells = [(line, row[at] if at < len(row) else "") for line, row in rows]
        said = {fold(cell) for _, cell in cells}
        if not said - {""} or said - _YES - _NO - {""}:
            continue
        outside = _YES if excluded else _NO if said & _NO else frozenset([""])
        left_out = [(line, cell) for line, cell in cells if fold(cell) in outside]
        if not left_out:
            continue
        away = [*dict.fromkeys(cell for _, cell in left_out)]
        kept = [*dict.fromkeys(cell for _, cell in cells if cell and cell not in away)]
        chosen = only(heading, away, but=True) if excluded or not kept else only(heading, kept)
        named = ", ".join(str(line) for line, _ in left_out[:MOST_NAMED])
        named += " ..." if len(left_out) > MOST_NAMED else ""
        which = f"says {shown(away[0])}" if away[0] else "is empty"
        rows_ = f"row {named}" if len(left_out) == 1 else f"rows {named}"
        yield Question(
            f"{heading!r} {which} in {rows_}, and metaexo would take all rows",
            "rows that count, or a choice of rows",
            f"delete the rows that do not count; or {option(heading, '')}, which keeps all rows, and in "
            f"metaexo report {chosen} beside it, which leaves them out",
            at,
            left_out[0][0],
        )


_DITTO = re.compile(
    r"[-–—\s]*(?:[\"″〃„“”]|''|ditto|idem|id\.|ibid\.?|same|do\.|s\.\s?o\.|dto\.?)[-–—\s]*", re.IGNORECASE
)


def is_ditto(cell: str) -> bool:
    """Return whether a cell stands for the one above it.

    Examples
    --------
    >>> [is_ditto(cell) for cell in ('"', '-"-', "ditto", "Do 2018")]
    [True, True, True, False]
    """
    return _DITTO.fullmatch(cell) is not None


def paper(name: str) -> str:
    """Return the name of a study without what is written in one way or another.

    Examples
    --------
    >>> {paper(name) for name in ("Zhang 2018", "Zhang et al., 2018", "ZHANG (2018)", "Zhang2018")}
    {'zhang2018'}
    >>> paper("Zhang 2018a"), paper("Arm 1.1"), paper("Arm 11")
    ('zhang2018a', 'arm1 1', 'arm11')
    """
    text = re.sub(r"\bet\.?\s*al\b", " ", fold(name))
    text = re.sub(r"[\s,;.()\[\]_:]+", " ", text).strip()
    return re.sub(r"(?<!\d) | (?!\d)", "", text)


Told = Mapping[str, str]
"""One row: its cells by the name of the column."""


def ask_of_outcome(
    rows: Sequence[Told], own: Mapping[int, str], layout: Layout, key: str, known: Mapping[str, Column]
) -> Question | None:
    """Ask, where no column names the outcome, of columns whose words differ between rows of one study."""
    found = []
    for column in layout.mapped:
        name = own.get(column.at)
        if name is None or column.by_user:
            continue
        texts = [row.get(name, "") for row in rows]
        if any(number(text, Dialect()) is not None or len(text.split()) > 2 * 4 for text in texts if text):
            continue
        studies: dict[str, dict[tuple[str, ...], set[str]]] = {}
        owners: dict[str, set[str]] = {}
        for row, text in zip(rows, texts, strict=True):
            if text and row.get(key):
                numbers = _numbers(row, known)
                studies.setdefault(row[key], {}).setdefault(numbers, set()).add(text)
                owners.setdefault(text, set()).add(row[key])
        differs = [
            (study, [*dict.fromkeys(text for texts in by_numbers.values() for text in sorted(texts))])
            for study, by_numbers in studies.items()
            if len({frozenset(texts) for texts in by_numbers.values()}) > 1
        ]
        if differs and any(len(owners[text]) > 1 for text in differs[0][1]):
            found.append((column, *differs[0]))
    if not found:
        return None
    column, study, texts = found[0]
    listed = ", ".join(map(shown, texts[:MOST_NAMED]))
    more = [one.heading for one, *_ in found[1:]]
    also = f"; {', '.join(map(repr, more))} likewise" if more else ""
    ways = " or ".join(option(one.heading, "outcome") for one, *_ in found)
    none = " ".join(option(one.heading, "") for one, *_ in found)
    return Question(
        f"no column names the outcome, and {column.heading!r} differs between the rows of {study} "
        f"({listed}){also}: results of several outcomes would be averaged",
        "outcome, or another column",
        f"{ways} if it says what was measured; {none} if it does not, and all rows are of one outcome",
        column.at,
        layout.line,
    )


def _numbers(row: Told, known: Mapping[str, Column]) -> tuple[str, ...]:
    return tuple(row[name] for name in known if known[name].is_number and name != "year" and row.get(name))


DISTINGUISHED = ("outcome", "unit", "timepoint", "contrast", "treatment_label", "control_label")
"""Columns in which rows of one study that have the same numbers are distinguished."""
FINAL = ("consensus", "final", "agreed", "konsens")
"""Words of the row that counts, among those of several readers."""


def copied_rows(
    lines: Sequence[int], rows: Sequence[Told], own: Mapping[int, str], key: str, known: Mapping[str, Column]
) -> Iterator[tuple[tuple[int, ...], str, str, str]]:
    """Return rows of one study that are the same in every number: lines, study, what is said, what to do."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, row in enumerate(rows):
        numbers = _numbers(row, known)
        if row.get(key) and len(numbers) >= FEWEST_SUMMED:
            place = (row[key], numbers, *(fold(row.get(name, "")) for name in DISTINGUISHED))
            groups.setdefault(place, []).append(i)
    copies = [group for group in groups.values() if len(group) > 1]
    differ = [
        name
        for name in own.values()
        if copies and all(len({rows[i].get(name, "") for i in group}) == len(group) for group in copies)
    ]
    shared = [
        (name, set.intersection(*({rows[i].get(name, "") for i in group} for group in copies)))
        for name in differ
    ]
    name, values = next(((name, values - {""}) for name, values in shared if values - {""}), ("", set()))
    last = sorted(values, key=lambda text: any(word in fold(text) for word in FINAL))
    remedy = "delete all of them but one"
    if last:
        remedy += f"; or keep those of {shown(last[-1])}: in metaexo report, {only(name, [last[-1]])}"
    for group in copies:
        told = [rows[i].get(name, "") for i in group]
        by = f", and differ in {name!r} ({', '.join(map(shown, told[:MOST_NAMED]))})" if name else ""
        yield (
            tuple(lines[i] for i in group),
            rows[group[0]][key],
            f"{plural(len(group), 'row')} of this study are the same in every number{by}: one result would "
            "be averaged with itself, as if it were several",
            remedy,
        )


PAPERS = ("doi", "pmid")
"""Columns that tell papers apart."""


def two_papers(
    lines: Sequence[int], rows: Sequence[Told], key: str
) -> Iterator[tuple[int, str, str, str, str]]:
    """Return studies whose rows name two papers: line, study, column, what is said, what to do."""
    for name in PAPERS:
        found: dict[str, dict[str, int]] = {}
        for line, row in zip(lines, rows, strict=True):
            if row.get(key) and row.get(name):
                found.setdefault(row[key], {}).setdefault(fold(row[name]), line)
        for study, papers in found.items():
            if len(papers) > 1:
                (first, *_), (second, *_) = list(papers.items())[:2]
                names = " and ".join(f'"{study}{letter}"' for letter in "ab")
                yield (
                    papers[second],
                    study,
                    name,
                    f"rows of {study} have {len(papers)} {'DOIs' if name == 'doi' else 'PMIDs'} ({first} in "
                    f"row {papers[first]}, {second} in row {papers[second]}), and count as one study",
                    f"write {names} in the column of the study if they are two papers on two experiments; "
                    "say in `caution` that it is one study if they are not",
                )
