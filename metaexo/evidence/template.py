"""The template: an empty table for the studies of one's own, as a workbook with drop-down lists and as CSV.

A row is one comparison. The columns are those of the sheets `studies` and `outcomes`, in the order in which
one fills them from a paper; which words and numbers may stand in them comes from the codebook.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from metaexo.errors import InputError
from metaexo.evidence.codebook import Codebook, Column, load_codebook
from metaexo.evidence.names import EXAMPLE
from metaexo.evidence.values import LARGEST
from metaexo.evidence.vocabulary import (
    VOCABULARIES,
    Kind,
    isolation_category,
    isolation_steps,
    load_vocabulary,
    source_category,
)
from metaexo.formatting import cell_text

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment
    from openpyxl.worksheet.datavalidation import DataValidation
    from openpyxl.worksheet.worksheet import Worksheet

NAME = "my_studies"
"""Name of the files; `studies.csv` is the name of a sheet of a folder with two linked sheets."""
DATA, HELP, CODEBOOK, WORDS, LISTS = "data", "help", "codebook", "words", "lists"
"""The worksheets; the studies stand in the first."""
LAST_ROW = 2000
"""The last row that has lists and checks."""
LINE = 15
"""Height of a line of text, in points."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the template.

    Attributes
    ----------
    name, group, note : str
        Name as in the codebook; the block of columns that it stands in; what to write, in plain words.
    sheet : {"outcomes", "studies"}
        The sheet of the codebook that has the column.
    free : bool
        Whether other words than those of the list are allowed.
    width : int
        In letters.
    """

    name: str
    group: str
    note: str
    sheet: str = "outcomes"
    free: bool = False
    width: int = 12


STUDY, VESICLES, DESIGN, OUTCOME = "Study", "Vesicles", "Model and design", "Outcome"
MEANS, MEDIANS, EVENTS, EFFECT, PLACE = "Means", "Medians", "Events", "Result as printed", "Where and what"
COLOURS: Mapping[str, str] = {
    STUDY: "1F4E79",
    VESICLES: "5B3A86",
    DESIGN: "7A4B12",
    OUTCOME: "1E6B52",
    MEANS: "1F4E79",
    MEDIANS: "5B3A86",
    EVENTS: "7A4B12",
    EFFECT: "1E6B52",
    PLACE: "4A4A4A",
}
"""Fill of the headings by block; white letters on each have a contrast of more than 7."""


def _arm(arm: str, who: str) -> dict[str, tuple[Field, ...]]:
    """Return the columns of one arm, by block."""

    def field(what: str, group: str, note: str) -> Field:
        return Field(f"{arm}_{what}", group, note, width=15 if arm == "treatment" else 13)

    return {
        MEANS: (
            field("n", MEANS, f"How many {who}: people, animals or samples, not wells or fields of view."),
            field("mean", MEANS, f"Mean of the {who}, in the unit of the outcome."),
            field(
                "sd",
                MEANS,
                f"Standard deviation (SD) of the {who}. If the paper gives the standard error (SE or SEM), "
                "leave this empty and fill the next column.",
            ),
            field("se", MEANS, f"Standard error of the mean (SE, SEM) of the {who}. Never an SD."),
        ),
        MEDIANS: (
            field("median", MEDIANS, f"Median of the {who}, where the paper gives no mean."),
            field("q1", MEDIANS, f"First quartile of the {who}: the lower number of the IQR."),
            field("q3", MEDIANS, f"Third quartile of the {who}: the upper number of the IQR."),
            field("min", MEDIANS, f"Smallest value of the {who}, where a range is given."),
            field("max", MEDIANS, f"Largest value of the {who}, where a range is given."),
        ),
        EVENTS: (
            field(
                "events", EVENTS, f"How many of the {who} had the event. A whole number, not a percentage."
            ),
        ),
    }


_TREATED, _CONTROL = _arm("treatment", "treated"), _arm("control", "controls")

FIELDS: tuple[Field, ...] = (
    Field("study_id", STUDY, "First author and year. The same in all rows of one study.", width=22),
    Field("year", STUDY, "Year of publication.", "studies", width=8),
    Field("doi", STUDY, "DOI alone, as in 10.1000/example.1.", "studies", width=22),
    Field(
        "source_reported",
        VESICLES,
        "Where the vesicles come from, in the words of the paper. The list only suggests.",
        "studies",
        True,
        26,
    ),
    Field(
        "isolation_reported",
        VESICLES,
        "How the vesicles were isolated, in the words of the paper, the steps in their order. The list only "
        "suggests.",
        "studies",
        True,
        26,
    ),
    Field(
        "source_category",
        VESICLES,
        'Leave this empty. Fill it if "metaexo check" does not know the words of source_reported.',
        "studies",
        width=20,
    ),
    Field(
        "isolation_category",
        VESICLES,
        'Leave this empty. Fill it if "metaexo check" does not know the words of isolation_reported.',
        "studies",
        width=20,
    ),
    Field(
        "dose", VESICLES, "Dose with its unit, in words: 100 µg, once a day for 7 days.", "studies", width=18
    ),
    Field("route", VESICLES, "How it was given, in words: local injection, topical.", "studies", width=18),
    Field(
        "domain",
        DESIGN,
        "clinical: in people. preclinical: in animals or cells. isolation: methods compared with each other.",
        "studies",
    ),
    Field("species", DESIGN, "Who or what was treated.", "studies", width=10),
    Field(
        "model", DESIGN, "Disease or model in words: full-thickness wound in db/db mice.", "studies", width=26
    ),
    Field(
        "indication",
        DESIGN,
        'What is treated; "other" for all that the list does not name (say it in model).',
        "studies",
        width=14,
    ),
    Field(
        "design",
        DESIGN,
        "rct_split_body: both arms on the same person. pre_post: one group before and after.",
        "studies",
        width=22,
    ),
    Field(
        "outcome",
        OUTCOME,
        "What was measured. Take a word of the list, or one of your own, always the same for one outcome.",
        free=True,
        width=22,
    ),
    Field("unit", OUTCOME, "Unit or scale: mm2, % of day 0, points.", width=14),
    Field("better", OUTCOME, "Which direction is good for the patient. none: neither is."),
    Field("timepoint", OUTCOME, "When it was measured, in words: day 14.", width=14),
    Field("contrast", OUTCOME, "What is compared. Mostly exosome_vs_control.", width=20),
    Field("treatment_label", OUTCOME, "What the treated got, in words: exosomes, high dose.", width=22),
    Field("control_label", OUTCOME, "What the controls got, in words: PBS.", width=22),
    *_TREATED[MEANS],
    *_CONTROL[MEANS],
    *_TREATED[EVENTS],
    *_CONTROL[EVENTS],
    *_TREATED[MEDIANS],
    *_CONTROL[MEDIANS],
    Field(
        "difference",
        EFFECT,
        "Difference of the arms as printed, treated minus controls, if there are no means.",
    ),
    Field("difference_ci_low", EFFECT, "Lower end of its 95% confidence interval.", width=17),
    Field("difference_ci_high", EFFECT, "Upper end of its 95% confidence interval.", width=17),
    Field("effect_measure", EFFECT, "What the printed effect in the next column is.", width=22),
    Field("effect", EFFECT, "Effect as printed (odds ratio, SMD, ...); a ratio as it stands, no logarithm."),
    Field("effect_se", EFFECT, "Its standard error, if printed."),
    Field("effect_ci_low", EFFECT, "Lower end of its 95% confidence interval.", width=13),
    Field("effect_ci_high", EFFECT, "Upper end of its 95% confidence interval.", width=13),
    Field("p_relation", EFFECT, 'For p = 0.03 write =, for p < 0.05 write <. "ns" is > with 0.05.'),
    Field("p_value", EFFECT, "The number of p, or the bound that it was compared with."),
    Field("paired", PLACE, "Whether both arms are the same people, animals or samples."),
    Field("locator", PLACE, "Where the numbers stand: Table 2; Figure 3B, read from the bars.", width=26),
    Field("note", PLACE, "Remarks of your own.", width=26),
    Field(
        "caution",
        PLACE,
        "Why the row looks odd and is right all the same. Words here settle what the check says of the row.",
        width=26,
    ),
)
"""The columns of the template, in the order in which one fills them."""

EXAMPLES: tuple[Mapping[str, str | float], ...] = (
    {
        "study_id": "Example 1 (delete)",
        "year": 2021,
        "doi": "10.1000/example.1",
        "source_reported": "Adipose MSC",
        "isolation_reported": "Ultracentrifugation",
        "dose": "100 µg, once",
        "route": "local injection",
        "domain": "preclinical",
        "species": "mouse",
        "model": "full-thickness wound, db/db",
        "indication": "wound",
        "design": "animal_controlled",
        "outcome": "wound_closure_pct",
        "unit": "% of day 0",
        "better": "higher",
        "timepoint": "day 7",
        "contrast": "exosome_vs_control",
        "treatment_label": "exosomes",
        "control_label": "PBS",
        "treatment_n": 8,
        "treatment_mean": 78,
        "treatment_sd": 9,
        "control_n": 8,
        "control_mean": 61,
        "control_sd": 11,
        "paired": "no",
        "locator": "Figure 3B, read from the bars",
        "note": "means with SD",
    },
    {
        "study_id": "Example 2 (delete)",
        "year": 2022,
        "doi": "10.1000/example.2",
        "source_reported": "umbilical cord MSC",
        "isolation_reported": "size exclusion (qEV)",
        "dose": "1e9 particles, once",
        "route": "intravenous",
        "domain": "preclinical",
        "species": "rat",
        "model": "full-thickness wound",
        "indication": "wound",
        "design": "animal_controlled",
        "outcome": "wound_area",
        "unit": "mm2",
        "better": "lower",
        "timepoint": "day 7",
        "contrast": "exosome_vs_control",
        "treatment_label": "exosomes",
        "control_label": "saline",
        "treatment_n": 10,
        "treatment_mean": 41.5,
        "treatment_se": 3.2,
        "control_n": 10,
        "control_mean": 58,
        "control_se": 4.1,
        "paired": "no",
        "locator": "Table 2",
        "note": "means with SE: the SD column stays empty",
    },
    {
        "study_id": "Example 3 (delete)",
        "year": 2024,
        "doi": "10.1000/example.3",
        "source_reported": "platelet-derived exosomes",
        "isolation_reported": "tangential flow filtration",
        "dose": "2 ml, twice",
        "route": "topical",
        "domain": "clinical",
        "species": "human",
        "model": "acne scars",
        "indication": "scar",
        "design": "rct_parallel",
        "outcome": "ecca_scar_score",
        "unit": "points",
        "better": "lower",
        "timepoint": "week 12",
        "contrast": "exosome_vs_control",
        "treatment_label": "exosome gel",
        "control_label": "gel without exosomes",
        "treatment_n": 24,
        "control_n": 23,
        "treatment_median": 62,
        "treatment_q1": 51,
        "treatment_q3": 74,
        "control_median": 78,
        "control_q1": 66,
        "control_q3": 89,
        "p_relation": "<",
        "p_value": 0.01,
        "paired": "no",
        "locator": "abstract",
        "note": "medians with quartiles",
    },
)
"""Rows of three invented studies; :func:`metaexo.evidence.names.is_example` knows them."""

_HELP = (
    'A row of the sheet "data" is one comparison: one outcome, at one time, of one treated group and its '
    "control group.",
    "A study with two outcomes has two rows with the same study_id.",
    "Delete the three examples. Rows whose study begins with the word Example are never analysed.",
    "Underlined headings are needed in every row. Leave everything empty that the paper does not give: an "
    "empty cell is not zero.",
    "For each group give n with mean and SD, or with mean and SE, or with median and quartiles, or with "
    "events. A printed effect with its interval, or p, is better than nothing.",
    "Numbers stand alone in their cells: no units, no ±, no ranges.",
    "Write source and isolation as the paper does: the words are sorted into categories (see the sheet "
    '"words"). "metaexo check" names the words that it does not know.',
    "Columns of your own are kept, and so is every column of the codebook of metaexo that you add.",
    'Then run "metaexo check" and "metaexo report" with the path of this file.',
)


def new_table(folder: str | PathLike[str]) -> tuple[Path, ...]:
    """Write an empty table for studies of one's own into a folder: a workbook, and the same as CSV.

    Use it to begin: fill in one of the two files, a row per comparison, and hand it to :func:`read_table`.
    The workbook has drop-down lists and a note per column, three invented examples to delete, a codebook, and
    the words for source and isolation. The CSV has the columns and the examples, in UTF-8 with a byte order
    mark: without it Excel takes the file for one in the code page of the computer and garbles letters such
    as µ. Nothing is ever written over a file.

    Parameters
    ----------
    folder : str or path
        The folder; it is made if it is not there.

    Returns
    -------
    tuple of Path
        The workbook and the CSV file.

    Raises
    ------
    InputError
        If one of the files is there already, or the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import metaexo as mx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in mx.new_table(folder)]
    ['my_studies.xlsx', 'my_studies.csv']
    """
    place = _folder(folder)
    paths = (place / f"{NAME}.xlsx", place / f"{NAME}.csv")
    contents = (_workbook_bytes(), _csv_bytes())
    try:
        for path in paths:
            if path.exists():
                raise FileExistsError
        place.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents, strict=True):
            with path.open("xb") as file:
                file.write(content)
    except FileExistsError:
        there = next((path for path in (*paths, place, *place.parents) if path.is_file()), place)
        raise _there(there) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InputError(
            f"{place} cannot be written ({why})", "a folder that you may write to", "name another folder"
        ) from None
    return paths


def _folder(folder: object) -> Path:
    """Return the path of a folder; refuse what is none."""
    text = str(folder) if isinstance(folder, str | PathLike) else ""
    if not text.strip() or "\0" in text:
        raise InputError(f"the folder is {folder!r}"[:200], "the path of a folder", 'new_table("wounds")')
    return Path(text)


def _there(path: Path) -> InputError:
    return InputError(
        f"{path} is there already",
        "a folder without it: nothing is written over a file",
        "name another folder, or move or rename the file",
    )


# ---------------------------------------------------------------- what stands in the columns


def column_of(field: Field, codebook: Codebook) -> Column:
    """Return what the codebook says of a column of the template."""
    return codebook.sheets[field.sheet].columns[field.name]


def list_of(field: Field, codebook: Codebook) -> tuple[str, ...]:
    """Return the words of the drop-down list of a column; empty if it has none."""
    if field.name == "outcome":
        return tuple(codebook.outcomes)
    for kind in VOCABULARIES:
        if field.name == f"{kind}_reported":
            return _labels(kind)
    return column_of(field, codebook).words


def _labels(kind: Kind) -> tuple[str, ...]:
    """Return the labels of the categories that are read as that category: words that a paper may have."""

    def category(text: str) -> str:
        return source_category(text) if kind == "source" else isolation_category(isolation_steps(text))

    terms = load_vocabulary(kind).terms.values()
    return tuple(term.label for term in terms if category(term.label) == term.category)


def _allowed(field: Field, codebook: Codebook) -> str:
    words = list_of(field, codebook)
    if not words:
        return column_of(field, codebook).allowed
    if not field.free:
        return ", ".join(words)
    return f"any words; the list suggests {len(words)}"


def _example(field: Field) -> str | float | None:
    return next((row[field.name] for row in EXAMPLES if field.name in row), None)


# ---------------------------------------------------------------- the files


def _csv_bytes() -> bytes:
    """Return the columns and the examples as CSV."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([field.name for field in FIELDS])
    for row in EXAMPLES:
        cells = [row.get(field.name, "") for field in FIELDS]
        writer.writerow([cell_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return file.getvalue().encode("utf-8-sig")


def _workbook_bytes() -> bytes:
    file = io.BytesIO()
    _workbook(load_codebook()).save(file)
    return file.getvalue()


def _workbook(codebook: Codebook) -> Workbook:
    from openpyxl import Workbook

    book = Workbook()
    book.properties.creator = "metaexo"
    book.properties.title = "Table for studies of exosomes, a row per comparison"
    sheet = book.active
    if sheet is None:
        raise AssertionError("a new workbook has a worksheet")
    sheet.title = DATA
    _table(book.create_sheet(HELP), ["How to fill in this workbook"], [[text] for text in _HELP], [100])
    _codebook_sheet(book.create_sheet(CODEBOOK), codebook)
    _words_sheet(book.create_sheet(WORDS))
    places = _lists_sheet(book.create_sheet(LISTS), codebook)
    _data_sheet(sheet, codebook, places)
    return book


def _data_sheet(sheet: Worksheet, codebook: Codebook, places: Mapping[str, str]) -> None:
    """Fill the sheet that the user fills: headings with notes, lists, formats, examples."""
    from openpyxl.comments import Comment
    from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
    from openpyxl.utils import get_column_letter

    edge = Side("medium", color="FFFFFF")
    for i, field in enumerate(FIELDS, 1):
        column, letter = column_of(field, codebook), get_column_letter(i)
        head = sheet.cell(1, i, field.name)
        new_block = i > 1 and FIELDS[i - 2].group != field.group
        head.font = Font("Calibri", 11, True, color="FFFFFF", underline="single" if column.required else None)
        head.fill = PatternFill("solid", start_color=COLOURS[field.group])
        head.alignment = Alignment("left", "center", wrap_text=True, indent=1)
        head.border = Border(left=edge if new_block else None)
        head.comment = Comment(_comment(field, column), "metaexo", height=110, width=280)
        dimension = sheet.column_dimensions[letter]
        dimension.width = field.width + 2
        dimension.number_format = _format(column)
        dimension.alignment = _aligned(column)
        check = _validation(field, column, places.get(field.name))
        check.add(f"{letter}2:{letter}{LAST_ROW}")
        sheet.add_data_validation(check)
    for i, row in enumerate(EXAMPLES, 2):
        for j, field in enumerate(FIELDS, 1):
            cell = sheet.cell(i, j, row.get(field.name))
            cell.number_format = _format(column_of(field, codebook))
            cell.alignment = _aligned(column_of(field, codebook))
    sheet.row_dimensions[1].height = 34
    sheet.freeze_panes = "B2"
    _print_on(sheet, pages_wide=4)
    sheet.print_title_rows, sheet.print_title_cols = "1:1", "A:A"
    _rules(sheet, codebook)


def _rules(sheet: Worksheet, codebook: Codebook) -> None:
    """Show examples in grey, and needed cells that are still empty in yellow."""
    from openpyxl.formatting.rule import Rule
    from openpyxl.styles import Font, PatternFill
    from openpyxl.styles.differential import DifferentialStyle
    from openpyxl.utils import get_column_letter

    grey = DifferentialStyle(font=Font(italic=True, color="6B6B6B"))
    yellow = DifferentialStyle(fill=PatternFill("solid", start_color="FFF2B3", end_color="FFF2B3"))
    example = f'LEFT(TRIM(LOWER($A2)),{len(EXAMPLE)})="{EXAMPLE}"'
    places = {f"A2:{get_column_letter(len(FIELDS))}{LAST_ROW}": (example, grey)}
    for i, field in enumerate(FIELDS[1:], 2):
        if column_of(field, codebook).required:
            letter = get_column_letter(i)
            places[f"{letter}2:{letter}{LAST_ROW}"] = (f'AND($A2<>"",{letter}2="")', yellow)
    for cells, (formula, style) in places.items():
        sheet.conditional_formatting.add(cells, Rule("expression", dxf=style, formula=[formula]))


def _format(column: Column) -> str:
    """Return the number format of a column: text stays as it is typed ("3-4" is no date)."""
    return {"integer": "0", "number": "General"}.get(column.type, "@")


def _aligned(column: Column) -> Alignment:
    from openpyxl.styles import Alignment

    return Alignment("right") if column.is_number else Alignment("left", indent=1)


def _comment(field: Field, column: Column) -> str:
    needed = "Needed in every row." if column.required else "May stay empty."
    unit = f" Unit: {column.unit}." if column.unit else ""
    return f"{field.group}. {needed}\n{field.note}{unit}"


def _validation(field: Field, column: Column, place: str | None) -> DataValidation:
    """Return the list or the limits of a column, and what is said when one of its cells is chosen."""
    from openpyxl.worksheet.datavalidation import DataValidation

    if place:
        check = DataValidation(type="list", formula1=place, allow_blank=True)
        check.errorStyle = "information" if field.free else "stop"
        check.showErrorMessage = not field.free  # a list that only suggests does not ask back
        check.error = f"Choose a word of the list of {field.name}" + (
            "." if column.required else ", or leave the cell empty."
        )
    elif column.is_number:
        check = _of_numbers(column)
        check.error = (
            f"{column.allowed.capitalize()}, and nothing else in the cell. "
            "Leave it empty if the paper does not give it."
        )
    else:
        check = DataValidation(allow_blank=True)
    check.errorTitle = check.promptTitle = field.name
    check.prompt = field.note + (" Needed." if column.required else "")
    check.showInputMessage = True
    return check


def _of_numbers(column: Column) -> DataValidation:
    """Return the limits of a column of numbers."""
    from openpyxl.worksheet.datavalidation import DataValidation

    check = DataValidation(allow_blank=True, showErrorMessage=True)
    check.type = "whole" if column.type == "integer" else "decimal"
    low, high = column.minimum, column.maximum
    if low is not None and high is None:
        check.operator, check.formula1 = "greaterThanOrEqual", f"{low:g}"
    else:
        check.operator = "between"
        check.formula1 = f"{-LARGEST if low is None else low:G}"
        check.formula2 = f"{LARGEST if high is None else high:G}"
    return check


def _print_on(sheet: Worksheet, pages_wide: int) -> None:
    """Print a sheet on A4, as many pages wide."""
    from openpyxl.worksheet.properties import PageSetupProperties

    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.paperSize = 9  # A4
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = pages_wide, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)


def _codebook_sheet(sheet: Worksheet, codebook: Codebook) -> None:
    rows = [
        (
            field.name,
            field.group,
            field.note,
            "yes" if column.required else "",
            column.unit,
            _allowed(field, codebook),
            _example(field),
        )
        for field in FIELDS
        for column in (column_of(field, codebook),)
    ]
    header = ("column", "block", "what to write", "needed", "unit", "allowed", "example")
    _table(sheet, header, rows, (20, 18, 60, 8, 8, 60, 26))


def _words_sheet(sheet: Worksheet) -> None:
    rows = [
        (kind, term.category, term.label, ", ".join((*term.synonyms, *term.synonyms_if_alone)))
        for kind in VOCABULARIES
        for term in load_vocabulary(kind).terms.values()
    ]
    _table(sheet, ("of", "category", "shown as", "words of papers"), rows, (10, 24, 30, 110))


def _lists_sheet(sheet: Worksheet, codebook: Codebook) -> dict[str, str]:
    """Write the words of every list into a column of a hidden sheet; return where each stands."""
    from openpyxl.utils import get_column_letter

    lists = [(field.name, words) for field in FIELDS if (words := list_of(field, codebook))]
    depth = max(len(words) for _, words in lists)
    rows = [tuple(words[i] if i < len(words) else None for _, words in lists) for i in range(depth)]
    _table(sheet, [name for name, _ in lists], rows, [24] * len(lists))
    sheet.sheet_state = "hidden"
    letters = (get_column_letter(i) for i in range(1, len(lists) + 1))
    return {
        name: f"{LISTS}!${letter}$2:${letter}${len(words) + 1}"
        for letter, (name, words) in zip(letters, lists, strict=True)
    }


def _table(
    sheet: Worksheet,
    header: Sequence[str],
    rows: Sequence[Sequence[str | float | None]],
    widths: Sequence[int],
) -> None:
    """Write a table of texts with a bold, frozen header."""
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    for j, (name, width) in enumerate(zip(header, widths, strict=True), 1):
        sheet.cell(1, j, name).font = Font("Calibri", 11, True)
        sheet.column_dimensions[get_column_letter(j)].width = width
    for i, row in enumerate(rows, 2):
        for j, value in enumerate(row, 1):
            cell = sheet.cell(i, j, value)
            cell.alignment = Alignment("left", "top", wrap_text=True)
            if isinstance(value, str):
                cell.data_type = "s"  # never a formula
        lines = (len(str(value)) // (1.05 * width) + 1 for value, width in zip(row, widths, strict=True))
        sheet.row_dimensions[i].height = LINE * max(lines)
    sheet.freeze_panes = "A2"
    _print_on(sheet, pages_wide=1)
