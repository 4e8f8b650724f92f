"""The answers of the analyses: sentences that are held to the tables behind them, and the page made of them.

An analysis says its answer in one sentence, and may say further sentences for the page. Each names the table
that the analysis wrote and the row or rows that it rests on. Every number in the words must stand in these
rows, as it is printed: a sentence that no longer agrees with its table stops the run. The sentences of all
analyses are one table, `answers.csv`; the page `answer.md` is made from it.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metaexo.errors import InputError
from metaexo.formatting import cell_text, markdown_table

if TYPE_CHECKING:
    import pandas as pd

Part = Literal["answer", "known", "settle"]
PARTS: tuple[Part, ...] = ("answer", "known", "settle")
ANSWERS = "answers.csv"
ANSWER_PAGE = "answer.md"
TITLE = "# Exosome source, isolation method or laboratory: what the evidence says"

# Whole numbers with separators of thousands, or plain digits, with decimals.
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_NUMBER = re.compile(rf"(?P<compared>[<>≤≥]\s*)?(?P<sign>(?<![\w.,)%])[-−])?(?P<digits>{_DIGITS})")
_PERCENT = re.compile(rf"(?:(?:, | to |–|-| and | or )[-−]?{_DIGITS})*\s?(?:%|per cent\b|percent\b)")
_OUT_OF = re.compile(rf"\s?(?:-in-|in|per)\s?(?P<of>{_DIGITS})")
# Letters and digits that are one name: miR-21-5p, let-7a, CD63, PRJNA798069.
_CODE_NAME = re.compile(r"(?<!\w)(?!(?:in|per|to)-)[A-Za-z_]+-?\d+[A-Za-z\d_]*(?:-\d\w*)*(?!\.?\d)")
_OF_LEVELS = re.compile(r"\b\d+(?:\.\d+)?\s?% (?:CI|CIs|confidence|prediction|credible|interval)")
_MARKS = ("<!-- answer -->", "<!-- end of answer -->")
_BLOCK = re.compile(f"{_MARKS[0]}.*?{_MARKS[1]}", re.DOTALL)
_CODE = re.compile(r"`[^`]*`")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of an analysis and what it rests on.

    Attributes
    ----------
    script : str
        Name of the analysis, without ``.py``.
    question : str
        What the analysis asks.
    part : {"answer", "known", "settle"}
        The answer to the question; something else that is known; what would settle what is not.
    words : str
        The sentence.
    k, m : int
        Effects or groups, and independent units; -1 in a sentence that is no answer.
    units : str
        What the independent units are, in the plural: "laboratories".
    certainty, reasons : str
        A word of GRADE, and why it is no higher; empty in a sentence that is no answer.
    table, row : str
        The table behind it, and the cells that select its rows.
    figure : str
        The figure that shows it, if there is one.
    """

    script: str
    question: str
    part: str
    words: str
    k: int
    m: int
    units: str
    certainty: str
    reasons: str
    table: str
    row: str
    figure: str = ""


def rows_behind(table: pd.DataFrame, row: object) -> tuple[pd.DataFrame, str]:
    """Return the rows of a table that a sentence rests on, and in words how they were selected.

    `row`: a mapping of columns to values, which selects one row, or a list of such; None for a table of one
    row. Raises InputError if a column is not there or a selection does not find exactly one row.
    """
    wanted = [{}] if row is None else [row] if isinstance(row, Mapping) else row
    if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
        raise InputError(f"row is {row!r}"[:200], 'column and value of one row, as in {"outcome": "size"}')
    found: list[int] = []
    for cells in wanted:
        if not isinstance(cells, Mapping) or not set(cells) <= set(table.columns):
            raise InputError(
                f"row selects by {cells!r}"[:200], "columns of the table: " + ", ".join(map(str, table))
            )
        chosen = [
            i
            for i, values in enumerate(zip(*(table[name] for name in cells), strict=True))
            if values == tuple(cells.values())
        ]
        chosen = chosen if cells else list(range(len(table)))
        if len(chosen) != 1:
            raise InputError(f"{cells!r} selects {len(chosen)} rows"[:200], "cells that select one row")
        found += chosen
    told = " | ".join("; ".join(f"{name}={value}" for name, value in cells.items()) for cells in wanted)
    return table.iloc[found], told


def unsupported_numbers(
    words: str, cells: Iterable[tuple[str, object]], given: Collection[float] = ()
) -> list[str]:
    """Return the numbers of a sentence that stand neither in these cells nor among the given ones.

    `words`: the sentence. `cells`: names of columns and what stands in them. `given`: further numbers.

    A number agrees with a cell that rounds to it at its decimals, with its sign where the sentence writes
    one. A percentage agrees with a hundred times the cell; "1 in N" and "a per N" with the ratio; "< 0.001"
    with a smaller cell in a column of p-values. Levels of intervals ("95% CI"), what stands in backticks, and
    texts of the cells that the sentence repeats as a whole (names of studies, of outcomes) are no results.

    Examples
    --------
    >>> row = {"share": 0.6812, "low": 0.509, "high": 0.803}
    >>> unsupported_numbers("68% of the variance (95% CI 51% to 80%)", row.items())
    []
    >>> unsupported_numbers("p = 0.17 in 12 laboratories", [("p", 0.16)], given=[12])
    ['0.17']
    """
    numbers = [("", float(value)) for value in given]
    texts: list[str] = []
    for column, cell in cells:
        if isinstance(cell, str):
            texts += [cell, *re.split(r"[;()]|, | and ", cell)]
        elif cell is not None and math.isfinite(float(cell)):  # type: ignore[arg-type]
            numbers.append((column, float(cell)))  # type: ignore[arg-type]
    spoken = _OF_LEVELS.sub(" ", _CODE.sub(" ", words))
    for text in sorted({text.strip() for text in texts}, key=len, reverse=True):
        if any(letter.isalpha() for letter in text) and any(letter.isdigit() for letter in text):
            spoken = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", " ", spoken, flags=re.IGNORECASE)
    spoken = _CODE_NAME.sub(" ", spoken)
    missing, at = [], 0
    while match := _NUMBER.search(spoken, at):
        at = match.end()
        out_of = _OUT_OF.match(spoken, at)
        if out_of and _is_ratio(match["digits"], out_of["of"], numbers):
            at = out_of.end()
        elif not _stands(match, bool(_PERCENT.match(spoken, at)), numbers):
            missing.append(match["digits"])
    return missing


def _stands(match: re.Match[str], percent: bool, numbers: Sequence[tuple[str, float]]) -> bool:
    """Return whether a printed number is that of a cell."""
    value, half = _printed(match["digits"])
    compared = (match["compared"] or "").strip()
    if compared:
        of_p = [cell for column, cell in numbers if re.search(r"(?:^|_)p(?:_|value|$)", column)]
        cells = of_p or [cell for _, cell in numbers]
        return any(cell <= value if compared in "<≤" else cell >= value for cell in cells)
    for _, cell in numbers:
        if match["sign"] and cell > 0:
            continue
        seen = [100 * abs(cell), *([abs(cell)] if abs(cell) > 1 else [])] if percent else [abs(cell)]
        if any(abs(one - value) <= half for one in seen):
            return True
    return False


def _is_ratio(first: str, second: str, numbers: Sequence[tuple[str, float]]) -> bool:
    """Return whether "1 in 20" or "5 per 1,000" is the number of a cell, or its second number is."""
    (part, half), (whole, rounding) = _printed(first), _printed(second)
    cells = [cell for _, cell in numbers if cell > 0]
    if part == 1:
        return any(abs(cell - whole) <= rounding or abs(1 / cell - whole) <= rounding for cell in cells)
    return whole in (100, 1000, 10_000, 100_000) and any(abs(cell * whole - part) <= half for cell in cells)


def _printed(digits: str) -> tuple[float, float]:
    """Return a printed number and half of its last decimal."""
    return float(digits.replace(",", "")), 0.5 * 10.0 ** -len(digits.partition(".")[2]) * (1 + 1e-6)


def read_answers(path: Path) -> list[Sentence]:
    """Return the sentences of `answers.csv`; none if there is no such file, or if it has other columns."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    if rows and list(rows[0]) != [field.name for field in fields(Sentence)]:
        return []
    return [Sentence(**{**row, "k": int(row["k"] or -1), "m": int(row["m"] or -1)}) for row in rows]


def update_answers(folder: Path, script: str, said: Sequence[Sentence], scripts: Collection[str]) -> None:
    """Put the sentences of one script in the place of its old ones, and write the page anew.

    `folder`: the results folder.
    `said`: what the script says now.
    `scripts`: all scripts that there are; sentences of others go.
    """
    old = read_answers(folder / ANSWERS)
    kept = [one for one in old if one.script in scripts and one.script != script]
    whole = sorted([*kept, *said], key=lambda one: one.script)
    if not whole and not old:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ANSWERS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Sentence)])
        writer.writerows([["" if cell == -1 else cell for cell in astuple(one)] for one in whole])
    (folder / ANSWER_PAGE).write_text(answer_page(whole), encoding="utf-8", newline="\n")


def update_readme(path: Path, said: Sequence[Sentence]) -> None:
    """Put the main answer between the marks of a README that has them.

    `path`: the README; without the file or the marks nothing is done.
    `said`: the sentences of all analyses.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    main = main_answer(said)
    if main is None or not _BLOCK.search(text):
        return
    lines = [_MARKS[0], f"**{main.question}** {main.words} Certainty: {main.certainty} ({main.reasons}).", ""]
    if main.figure:
        lines += [f"![{main.question}](figures/{main.figure})", ""]
    lines += [f"All answers, and what would settle the rest: [one page](analyses/results/{ANSWER_PAGE})."]
    block = "\n".join([*lines, _MARKS[1]])
    path.write_text(_BLOCK.sub(lambda _: block, text), encoding="utf-8", newline="\n")


def main_answer(said: Sequence[Sentence]) -> Sentence | None:
    """Return the answer that opens the page: the first that has a figure, else the first."""
    answers = [one for one in said if one.part == "answer"]
    return next((one for one in answers if one.figure), answers[0] if answers else None)


def answer_page(said: Sequence[Sentence]) -> str:
    """Return the page of answers as Markdown: the main answer, what is known, what would settle the rest.

    `said`: the sentences of all analyses.
    """
    answers = [one for one in said if one.part == "answer"]
    main = main_answer(said)
    lines = [TITLE, "", "Written by `metaexo reproduce`; do not edit.", ""]
    if main is not None:
        lines += [f"**{main.words}** Certainty: {main.certainty} ({main.reasons}).", ""]
        if main.figure:
            lines += [f"![{main.question}](../../figures/{main.figure})", ""]
    for part, title in (("known", "## What is known"), ("settle", "## What would settle it")):
        found = [one for one in said if one.part == part]
        if found:
            lines += [title, "", *(f"- {one.words}" for one in found), ""]
    if answers:
        cells = [
            (one.question, one.words, str(one.k), f"{one.m} {one.units}", one.certainty) for one in answers
        ]
        rows = [tuple(cell_text(cell) for cell in row) for row in cells]
        head = ["question", "answer", "k", "independent", "certainty"]
        lines += ["## Question by question", "", markdown_table(rows, head, left=5), ""]
    lines.append(
        f"k counts effects or groups of samples. The row behind each sentence is named in `{ANSWERS}`."
    )
    return "\n".join(lines) + "\n"


def check_sentence(words: Any, behind: pd.DataFrame, given: Collection[float]) -> str:
    """Return a sentence that agrees with its rows; raise InputError with the numbers that do not."""
    if not isinstance(words, str) or not words.strip():
        raise InputError(f"the words are {words!r}"[:200], "one sentence")
    cells = [(str(name), value) for name in behind for value in behind[name].tolist()]
    missing = unsupported_numbers(words, cells, [*given, len(behind)])
    if missing:
        raise InputError(
            f"{', '.join(missing)} in {words!r} stands in no cell of its rows",
            "numbers of the rows that the sentence names",
            "put the number into the table, or select the row that holds it",
        )
    return " ".join(words.split())
