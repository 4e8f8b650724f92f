"""The report on sheets of one's own: made from the sheets, and written as page, document, figures, tables."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metaexo.errors import InputError
from metaexo.evidence import Sheets, read_sheets
from metaexo.formatting import plural
from metaexo.inputs import describe
from metaexo.ledger import versions
from metaexo.report.collected import digest_of_data
from metaexo.report.content import Report, Section
from metaexo.report.drawings import usual_settings
from metaexo.report.files import earlier_report, write_files
from metaexo.report.own.answer import answer_section, answer_to_all
from metaexo.report.own.asked import Asked, read_asked
from metaexo.report.own.counts import counts_section, rare_events, safety_section
from metaexo.report.own.fits import levels_of, quiet
from metaexo.report.own.methods import methods_section, script_of
from metaexo.report.own.part import Part
from metaexo.report.own.pooled import pooled_section
from metaexo.report.own.questions import Questions, questions_of
from metaexo.report.own.rows import assumed_section, characteristics_section, left_out_section, traces_of
from metaexo.report.own.strata import attribution_section, forest_by, strata_section
from metaexo.report.own.trust import (
    bounds_section,
    sensitivity_section,
    small_studies_section,
)
from metaexo.report.own.trust import (
    left_out_section as single_studies_section,
)


def write_report(
    source: str | Path | Sheets,
    measure: str | None = None,
    *,
    by: str | Sequence[str] = ("source", "isolation"),
    outcomes: str | Sequence[str] | None = None,
    where: str | None = None,
    better: Literal["higher", "lower"] | None = None,
    out: str | Path | None = "report",
    columns: Mapping[str, str] | None = None,
    sheet: str | None = None,
    method: str = "REML",
    test: str = "knapp-hartung-adhoc",
    level: float = 0.95,
) -> Report:
    """Write a report on a table of studies: what is found, by source and by isolation method, and how sure.

    Use it on your own table, or a folder of sheets, to have in one call what a review needs: the answer in
    five sentences, study characteristics, forest plots, heterogeneity, whether source or isolation method
    explains it, small-study effects, single studies, other defensible analyses, safety, methods, what was
    left out and why, and the cells behind every number.

    Outcomes, kinds of comparison, and results in people and in animals are never pooled together: up to four
    combinations are questions of their own, and of more the outcome has to be chosen. Effects of one study
    are averaged first, with a correlation of 0.6 between their sampling errors assumed unless they share a
    group. A study with several levels of a factor has its average in the stratum of each, and the test
    between strata is robust by study (CR2). So the study is the unit of every test. Rows that the sheet sets
    apart (`use` is apart) are left out; doubtful rows are in, and an analysis without them stands beside.

    Parameters
    ----------
    source : str, Path or Sheets
        A workbook, a CSV file, a folder of sheets, or sheets that were read.
    measure : str, optional
        Code of the measure: "SMD", "RR", "MD", ... Default: the one that gives most effects.
    by : str or sequence of str
        Columns to compare effects by, three at most.
    outcomes : str or sequence of str, optional
        Outcomes, by their words or labels, or a family of outcomes, which is pooled. Default: all.
    where : str, optional
        Condition on the rows, as in :meth:`metaexo.evidence.Sheets.effects`.
    better : {"higher", "lower"}, optional
        Direction of benefit of rows that do not say it. Without any, effects are not turned, and it is said.
    out : str or Path, optional
        Folder to write to: a new one, an empty one, or one with an earlier report. None writes nothing.
    columns : mapping of str to str, optional
        Headings of a table of one's own -> columns of the codebook.
    sheet : str, optional
        Name of the worksheet.
    method : str
        Estimator of tau2, as in :meth:`metaexo.RandomEffects.fit`.
    test : str
        How intervals and tests are made, as there. By default no interval is narrower than sampling error
        alone makes it, which plain Knapp-Hartung can be in strata of few studies that happen to agree.
    level : float
        Level of the intervals.

    Returns
    -------
    Report
        What the files say.

    Raises
    ------
    InputError
        If the sheets hold more than four questions, a column to compare by is a number with more than four
        values, the file cannot be read, or the folder cannot be written.
    UnknownChoiceError
        If a word, an outcome or a column is not known.
    TooFewStudiesError
        If no row gives an effect; it names the measures that would, or what is lacking.

    References
    ----------
    Page, M. J., et al. (2021). The PRISMA 2020 statement. BMJ 372, n71. https://doi.org/10.1136/bmj.n71
    Borenstein, M., Hedges, L. V., Higgins, J. P. T., Rothstein, H. R. (2009). Introduction to Meta-Analysis,
    chapter 24. https://doi.org/10.1002/9780470743386
    Pustejovsky, J. E., Tipton, E. (2018). https://doi.org/10.1080/07350015.2016.1247004
    Roever, C., Knapp, G., Friede, T. (2015). https://doi.org/10.1186/s12874-015-0091-1

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.evidence_sheets()
    >>> report = mx.write_report(sheets, "SMD", outcomes="Wound closure", out=None)
    >>> report.title
    'Wound closure, exosomes against control, in animals or cells'
    >>> len(report.answer)
    5
    """
    if out is not None:
        if not isinstance(out, str | Path):
            raise InputError(f"out is {describe(out)}", "the name of a folder, or None to write nothing")
        earlier_report(out)  # refused before the work, not after it
    with usual_settings():
        report = make_report(
            source, measure, by=by, outcomes=outcomes, where=where, better=better, columns=columns,
            sheet=sheet, method=method, test=test, level=level, out=out,
        )  # fmt: skip
        if out is not None:
            write_files(report, out)
    return report


def make_report(
    source: str | Path | Sheets,
    measure: str | None = None,
    *,
    by: str | Sequence[str] = ("source", "isolation"),
    outcomes: str | Sequence[str] | None = None,
    where: str | None = None,
    better: Literal["higher", "lower"] | None = None,
    columns: Mapping[str, str] | None = None,
    sheet: str | None = None,
    method: str = "REML",
    test: str = "knapp-hartung-adhoc",
    level: float = 0.95,
    out: str | Path | None = None,
) -> Report:
    """Return the report on a table of studies; see :func:`metaexo.report.write_report`.

    `out`: the folder that it is to be written to, from which the script finds the table.
    """
    asked = read_asked(measure, by, outcomes, where, better, method, test, level)
    warned: list[str] = []
    with quiet(warned):
        sheets = source if isinstance(source, Sheets) else read_sheets(source, columns=columns, sheet=sheet)
    path = Path(sheets.folder if isinstance(source, Sheets) else source)
    questions = questions_of(sheets, asked)
    sections = [section for part in questions.parts for section in _sections(part, len(questions.parts) > 1)]
    counted = safety_section(sheets, questions.asked)
    sections += [counted] if counted is not None else []
    sections += [
        methods_section(questions),
        left_out_section(sheets, questions),
        assumed_section(sheets, questions, warned),
    ]
    return Report(
        title=_title(questions.parts),
        source=f"{path.name}, worksheet {sheets.reading.sheet}" if sheets.reading.sheet else path.name,
        answer=answer_to_all(questions.parts),
        sections=tuple(sections),
        traces=tuple(trace for part in questions.parts for trace in traces_of(sheets, part)),
        script=script_of(questions, counted, path, None if out is None else Path(out), columns, sheet),
        facts=_facts(path, questions, questions.asked),
    )


def _sections(part: Part, several: bool) -> list[Section]:
    """Return the sections of one question, in the order of reading."""
    found: list[Section | None] = [answer_section(part)] if several else []
    found.append(characteristics_section(part))
    pooled = pooled_section(part)
    rare = bool(rare_events(part))
    if rare or part.dependent or not any(_varies(part, factor) for factor in part.asked.by):
        pooled = Section(pooled.name, pooled.title, (*pooled.blocks, forest_by(part, None)))
    found.append(pooled)
    if rare:  # nothing that is made of the effects of single studies is shown
        found += [counts_section(part)]
        return [section for section in found if section is not None]
    found += [strata_section(part, factor) for factor in part.asked.by if _varies(part, factor)]
    found += [attribution_section(part), small_studies_section(part), single_studies_section(part)]
    found += [sensitivity_section(part), counts_section(part), bounds_section(part)]
    return [section for section in found if section is not None]


def _varies(part: Part, factor: str) -> bool:
    """Return whether the rows of a part have several levels of a factor."""
    return len(set(levels_of(part.every, factor))) > 1


def _title(parts: tuple[Part, ...]) -> str:
    """Return what was compared."""
    if len(parts) == 1:
        return parts[0].title
    return f"{plural(len(parts), 'question')}: {'; '.join(part.title for part in parts)}"


def _facts(path: Path, questions: Questions, asked: Asked) -> dict[str, str]:
    """Return what a reader needs to make the report again."""
    digest = digest_of_data(path) if path.is_dir() else ""
    if path.is_file():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    facts = {
        "file": path.name,
        "digest of the file (SHA-256, first 12 digits)": digest,
        "measure": f"{asked.known_measure.code} ({asked.known_measure.name})",
        "by": ", ".join(asked.by) or "nothing",
        "outcomes": ", ".join(asked.outcomes) or "all",
        "where": asked.where or "all rows",
        "better": asked.better or "as the sheet says",
        "method": asked.method,
        "test": asked.test,
        "level": f"{asked.level:g}",
        "effects": "; ".join(f"{part.title}: {part.every.k}" for part in questions.parts),
    }
    return facts | versions() | {"Python": platform.python_version()}
