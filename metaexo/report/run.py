"""Run the numbered analysis scripts and collect what they write.

An analysis is a file ``analyses/NN_name.py`` that asks one question. Its docstring opens with the question,
underlined (so that the gallery can use it as a title), and it has one function, ``main(analysis)``, which
gets an :class:`Analysis`: where the data are, and how to write a table, a figure and a few words. A script
never chooses a path of its own, so the same script can write into the repository or into a scratch folder
that is then compared with what is committed.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from metaexo.errors import InputError, RowsWithoutEffectWarning, UnknownChoiceError
from metaexo.formatting import safe_cells, without_html
from metaexo.immutable import ByContents
from metaexo.inputs import check_choice
from metaexo.plots import save
from metaexo.readable import shows_itself
from metaexo.report.answers import (
    ANSWERS,
    Part,
    Sentence,
    check_sentence,
    read_answers,
    rows_behind,
    update_answers,
    update_readme,
)
from metaexo.report.collected import (
    MANIFEST,
    SCRIPT_NAME,
    SUMMARY,
    FigureEntry,
    Folders,
    digest_of_data,
    update_manifest,
    update_summary,
)
from metaexo.report.drawings import usual_settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOAT_FORMAT = "%.8g"
OUTPUT_VARIABLE = "METAEXO_OUTPUT"
CERTAINTIES = ("high", "moderate", "low", "very low")
_NAME = re.compile(r"[a-z0-9_]+")


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class Analysis(ByContents):
    """What one analysis script works with; handed to its ``main``.

    Parameters
    ----------
    script : Path
        The script, ``NN_name.py``.
    title : str
        The question it asks.
    folders : Folders
        Where to read and write.

    Attributes
    ----------
    written : list of Path
        The files written so far.
    figures : list of FigureEntry
        The figures among them.
    paragraphs : list of str
        The words for `summary.md`.
    tables : dict of str to DataFrame
        The tables written so far, by name.
    sentences : list of Sentence
        The answer, and what else was said for the page of answers.
    """

    script: Path
    title: str
    folders: Folders
    written: list[Path] = field(default_factory=list)
    figures: list[FigureEntry] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    sentences: list[Sentence] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Folder of the extraction sheets."""
        return self.folders.data

    def write_table(self, name: str, frame: pd.DataFrame, *, index: bool = False) -> Path:
        """Write a table to the results folder as ``NN_name.csv``.

        Numbers are written with eight significant digits, so that the file does not hang on the last bits of
        a machine's arithmetic; an empty cell is a missing value. A text that a spreadsheet would take for a
        formula (= + - @ in front) is written with an apostrophe before it.

        Parameters
        ----------
        name : str
            Lower-case letters, digits and underscores.
        frame : pandas.DataFrame
            The table.
        index : bool
            Whether the row names are a column of the table.

        Returns
        -------
        Path
            The file.
        """
        path = self._new_file(self.folders.results, name, ".csv")
        text = safe_cells(frame).to_csv(index=index, float_format=FLOAT_FORMAT, lineterminator="\n")
        path.write_text(text, encoding="utf-8", newline="\n")
        self.written.append(path)
        self.tables[name] = frame.reset_index(allow_duplicates=True) if index else frame
        return path

    def write_figure(self, name: str, axes: Axes | Figure, *, title: str) -> tuple[Path, ...]:
        """Save a figure to the figures folder as ``NN_name.svg`` and ``NN_name.png``, and list it.

        Parameters
        ----------
        name : str
            Lower-case letters, digits and underscores.
        axes : matplotlib.axes.Axes or matplotlib.figure.Figure
            What a function of :mod:`metaexo.plots` returned.
        title : str
            What the figure shows, in words, for the manifest and the gallery.

        Returns
        -------
        tuple of Path
            The files.
        """
        stem = self._new_file(self.folders.figures, name, "")
        paths = tuple(save(axes, stem.with_name(f"{stem.name}{ending}")) for ending in (".svg", ".png"))
        digest = digest_of_data(self.folders.data)
        self.written.extend(paths)
        self.figures.extend(FigureEntry(path.name, self.script.stem, title, digest) for path in paths)
        return paths

    def write_summary(self, text: str) -> None:
        """Add a paragraph (Markdown, without HTML) to this analysis' part of `summary.md`."""
        self.paragraphs.append(without_html(text).strip())

    def file_name(self, table: str) -> str:
        """Return the name of the file of a table, for words that point to it: ``NN_table.csv``."""
        return f"{self.script.stem[:2]}_{table}.csv"

    def answer(
        self,
        words: str,
        *,
        k: int,
        m: int,
        units: str,
        certainty: object,
        table: str,
        row: object = None,
        reasons: str = "",
        figure: str = "",
    ) -> None:
        """Say the answer to the question of this analysis, in one sentence; exactly once.

        It opens the part of this analysis in `summary.md` and stands in `answers.csv` and `answer.md`.

        Parameters
        ----------
        words : str
            The sentence, made from the numbers of the table. Every number in it must stand in the rows that
            are named, as it is printed ("68%" agrees with 0.6812), or be `k` or `m`.
        k, m : int
            Effects or groups of samples, and independent units.
        units : str
            What the independent units are, in the plural: "laboratories", "studies".
        certainty : {"high", "moderate", "low", "very low"}
            In the words of GRADE.
        table : str
            Name of a table that was written before.
        row : dict, or list of dict, optional
            Column and value that select one row of the table, or several such. A table of one row needs none.
        reasons : str
            Why the certainty is no higher, as a clause.
        figure : str
            Name of the figure of this analysis that stands beside the main answer on the page, if it is that.

        Raises
        ------
        InputError
            If a number of the sentence stands in no cell of the rows, a row is not found, or there are two
            answers.
        """
        if any(one.part == "answer" for one in self.sentences):
            raise InputError(f"{self.script.name} has two answers", "one answer per analysis")
        if str(certainty) not in CERTAINTIES:
            raise UnknownChoiceError("certainty", str(certainty), CERTAINTIES)
        reasons = reasons or "; ".join(getattr(certainty, "reasons", ()))
        shown = f"{self.script.stem[:2]}_{figure}.svg" if figure else ""
        about = (k, m, units, str(certainty), reasons)
        self.sentences.append(self._sentence("answer", words, table, row, (), about, shown))

    def state(
        self,
        words: str,
        *,
        table: str,
        row: object = None,
        part: Literal["known", "settle"] = "known",
        defined: Sequence[float] = (),
    ) -> None:
        """Say one more sentence for the page of answers.

        Parameters
        ----------
        words, table, row
            As in :meth:`answer`.
        part : {"known", "settle"}
            Whether it says what is known, or what would settle what is not.
        defined : sequence of float
            Numbers in the words that are definitions and no results: a share of 20% that is looked for.

        Raises
        ------
        InputError
            If a number of the sentence stands in no cell of the rows, or a row is not found.
        """
        check_choice("part", part, ("known", "settle"))
        self.sentences.append(self._sentence(part, words, table, row, defined))

    def _sentence(
        self,
        part: Part,
        words: str,
        table: str,
        row: object,
        defined: Sequence[float],
        about: tuple[int, int, str, str, str] = (-1, -1, "", "", ""),
        figure: str = "",
    ) -> Sentence:
        if table not in self.tables:
            raise UnknownChoiceError("table", table, self.tables)
        behind, told = rows_behind(self.tables[table], row)
        words = check_sentence(without_html(words), behind, [*defined, *about[:2]])
        name = self.file_name(table)
        return Sentence(self.script.stem, self.title, part, words, *about, name, told, figure)

    def _new_file(self, folder: Path, name: str, suffix: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InputError(f"the name {name!r}", "lower-case letters, digits and underscores")
        path = folder / f"{self.script.stem[:2]}_{name}{suffix}"
        if (path if suffix else path.with_suffix(".svg")) in self.written:
            raise InputError(f"{self.script.name} writes {path.name} twice", "a name for each file")
        folder.mkdir(parents=True, exist_ok=True)
        return path


def run_analysis(script: Path, folders: Folders) -> Analysis:
    """Run one script and bring `summary.md` and the manifest up to date.

    Raises InputError if the script has no question for a title, no ``main``, or writes nothing.
    """
    module = _load(script)
    main = getattr(module, "main", None)
    if not callable(main):
        raise InputError(f"{script.name} has no function main", "def main(analysis: Analysis) -> None")
    return _run(main, script, folders)


def run_alone(main: Callable[[Analysis], None]) -> None:
    """Run one script by itself: ``python analyses/02_name.py``.

    It writes into the checkout that the script stands in, or below the folder that the environment variable
    ``METAEXO_OUTPUT`` names, and prints its words and the names of its files.

    Parameters
    ----------
    main : callable
        The script's ``main``.
    """
    script = Path(inspect.getfile(main)).resolve()
    output = os.environ.get(OUTPUT_VARIABLE)
    folders = Folders.of(script.parent.parent, Path(output).resolve() if output else None)
    _use_a_canvas_without_a_screen()
    analysis = _run(main, script, folders)
    print("\n\n".join(analysis.paragraphs))
    for path in analysis.written:
        print(f"wrote {path.relative_to(folders.output).as_posix()}")


def reproduce(
    folders: Folders, only: Sequence[str] = (), progress: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> list[tuple[Analysis, float]]:
    """Run the scripts in order.

    Parameters
    ----------
    folders : Folders
        Where to read and write.
    only : sequence of str
        Numbers of the scripts to run; empty for all.
    progress : callable
        Wraps the list of scripts to show how far the run is, for example ``tqdm``.

    Returns
    -------
    list of (Analysis, float)
        What each script wrote, and its seconds.
    """
    _use_a_canvas_without_a_screen()
    runs = []
    for script in progress(folders.scripts_in_order(only)):
        start = time.perf_counter()
        analysis = run_analysis(script, folders)
        runs.append((analysis, time.perf_counter() - start))
    return runs


def _run(main: Callable[[Analysis], None], script: Path, folders: Folders) -> Analysis:
    title = _title(script)
    analysis = Analysis(script, title, folders)
    with warnings.catch_warnings():
        # the analyses say which rows give no effect in their own tables and notes, from the ledger
        warnings.simplefilter("ignore", RowsWithoutEffectWarning)
        with usual_settings():
            main(analysis)
    if not analysis.written:
        raise InputError(f"{script.name} wrote nothing", "an analysis that writes a table or a figure")
    _close_figures()
    scripts = {path.stem for path in folders.scripts_in_order()}
    answered = [
        f"**{one.words}** ({one.k} effects or groups, {one.m} {one.units}; certainty: {one.certainty})"
        for one in analysis.sentences
        if one.part == "answer"
    ]
    words = "\n\n".join([f"## {title}", *answered, *analysis.paragraphs])
    update_summary(folders.results / SUMMARY, script.stem, words, scripts)
    update_manifest(folders.figures / MANIFEST, script.stem, analysis.figures, scripts)
    update_answers(folders.results, script.stem, analysis.sentences, scripts)
    update_readme(folders.output / "README.md", read_answers(folders.results / ANSWERS))
    return analysis


def _load(script: Path) -> ModuleType:
    name = f"analyses.{script.stem}"
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        raise InputError(f"{script} cannot be loaded", "a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _title(script: Path) -> str:
    doc = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    lines = (doc or "").splitlines()
    if not SCRIPT_NAME.fullmatch(script.stem):
        raise InputError(f"the script name {script.name}", "two digits, an underscore and a name")
    if len(lines) < 2 or set(lines[1].strip()) != {"="}:
        raise InputError(
            f"the docstring of {script.name} does not open with a title",
            "the question in one line, and a line of = under it",
        )
    return lines[0].strip()


def _use_a_canvas_without_a_screen() -> None:
    import matplotlib

    matplotlib.use("agg")


def _close_figures() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
