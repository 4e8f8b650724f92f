"""From sheets to the record of a report."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metaexo.evidence import Sheets, read_sheets
from metaexo.formatting import plural
from metaexo.heterogeneity.levels import factor_levels
from metaexo.ledger import versions
from metaexo.report.content import Report, Section
from metaexo.report.own.answer import answer_section, answer_to_all
from metaexo.report.own.asked import Asked, read_asked
from metaexo.report.own.characteristics import characteristics_section
from metaexo.report.own.fits import quiet
from metaexo.report.own.left_out import assumed_section, left_out_section, traces_of
from metaexo.report.own.methods import methods_section
from metaexo.report.own.part import Part
from metaexo.report.own.pooled import pooled_section
from metaexo.report.own.questions import Questions, questions_of
from metaexo.report.own.safety import safety_section
from metaexo.report.own.script import script_of
from metaexo.report.own.strata import attribution_section, forest_by, strata_section
from metaexo.report.own.trust import (
    bounds_section,
    sensitivity_section,
    small_studies_section,
)
from metaexo.report.own.trust import (
    left_out_section as single_studies_section,
)
from metaexo.report.run import digest_of_data


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
    test: str = "knapp-hartung",
    level: float = 0.95,
) -> Report:
    """Return the report on a table of studies; see :func:`metaexo.report.write_report`."""
    asked = read_asked(measure, by, outcomes, where, better, method, test, level)
    said: list[str] = []
    with quiet(said):
        sheets = source if isinstance(source, Sheets) else read_sheets(source)
    path = Path(sheets.folder if isinstance(source, Sheets) else source)
    questions = questions_of(sheets, asked)
    sections = [section for part in questions.parts for section in _sections(part, len(questions.parts) > 1)]
    sections += [one for one in (safety_section(sheets, questions.asked, said),) if one is not None]
    sections += [
        methods_section(questions),
        left_out_section(sheets, questions),
        assumed_section(sheets, questions),
    ]
    return Report(
        title=_title(questions.parts),
        source=f"{path.name}, worksheet {sheet}" if sheet else path.name,
        answer=answer_to_all(questions.parts),
        sections=tuple(sections),
        traces=tuple(trace for part in questions.parts for trace in traces_of(sheets, part)),
        script=script_of(questions, str(path.resolve()), columns, sheet, path.is_dir()),
        facts=_facts(path, questions, questions.asked),
    )


def _sections(part: Part, several: bool) -> list[Section]:
    """Return the sections of one question, in the order of reading."""
    found: list[Section | None] = [answer_section(part)] if several else []
    found.append(characteristics_section(part))
    pooled = pooled_section(part)
    if not any(_varies(part, factor) for factor in part.asked.by):
        pooled = Section(pooled.name, pooled.title, (*pooled.blocks, forest_by(part, None)))
    found.append(pooled)
    found += [strata_section(part, factor) for factor in part.asked.by if _varies(part, factor)]
    found += [attribution_section(part), small_studies_section(part), single_studies_section(part)]
    found += [sensitivity_section(part), bounds_section(part)]
    return [section for section in found if section is not None]


def _varies(part: Part, factor: str) -> bool:
    """Return whether the rows of a part have several levels of a factor."""
    return len(set(factor_levels(part.rows, factor))) > 1


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
