"""What a check of sheets found, and how it is said to a reader who does not write Python."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from metaexo.effects.dependence.arms import IN_WORDS
from metaexo.effects.tables.why_not import NO_CORRELATION
from metaexo.errors import (
    ConstantMultipleWarning,
    CopiedStudyWarning,
    LargeDifferenceWarning,
    MetaexoError,
    MisnamedColumnWarning,
    RepeatedNumbersWarning,
    ShrinkingSDWarning,
    StandardErrorsAsSDsWarning,
    TwoPapersWarning,
    UnknownCategoryWarning,
    UnknownOutcomeWarning,
    UnspecificCategoryWarning,
    UnusualCVWarning,
)
from metaexo.evidence.checking.gaps import Gap
from metaexo.evidence.checking.places import HOW, Place
from metaexo.evidence.checking.prospects import Prospect, Stratum
from metaexo.evidence.problems import MOST_LINES, SheetProblem, problems_frame
from metaexo.evidence.vocabulary import NOT_REPORTED, PREPARATORY, VOCABULARIES, Kind, load_vocabulary
from metaexo.formatting import one_line, plain_text, plural, printed, with_article
from metaexo.ledger import Ledger
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd

NARROWEST = 40
"""Fewest characters per line that a report is written for."""
MOST_STUDIES = 6
"""Studies that are named of a text, or of a group of rows."""
MOST_TEXTS = 30
"""Texts per kind that are listed, those to look at first."""
MOST_STRATA = 20
MOST_GAPS = 12
"""Groups of rows without an effect that are listed."""
LONGEST_TEXT = 160
WORDS = (UnknownCategoryWarning, UnspecificCategoryWarning, UnknownOutcomeWarning, MisnamedColumnWarning)
SPREADS = (StandardErrorsAsSDsWarning, ShrinkingSDWarning, UnusualCVWarning, LargeDifferenceWarning)
TWICE = (CopiedStudyWarning, RepeatedNumbersWarning, ConstantMultipleWarning)
MOST_QUESTIONS = 4
"""Outcomes, contrasts and domains that one report answers for."""
ALL = "all"
SAFE = re.compile(r"[\w./\\:~+-]+")
"""A path that needs no quotes."""
ABSENT = "there is no column"
NO_STUDY = "(study not named)"


@shows_itself
@dataclass(frozen=True, slots=True)
class SheetCheck:
    """What is wrong with a folder of sheets, and what looks wrong.

    Attributes
    ----------
    folder : str
        The folder.
    problems : tuple of SheetProblem
        Errors: the sheets cannot be used before they are mended.
    warnings : tuple of SheetProblem
        Possible, but they look wrong, and the row says nothing of it in `caution`.
    cautions : tuple of SheetProblem
        The same in rows that explain it in `caution`. Words that name kinds of findings
        ("LargeDifferenceWarning: the paper says SD") settle these alone; others settle whatever is found.
    rows : mapping of str to int
        Rows of each sheet.
    ledger : Ledger or None
        Which rows of outcomes.csv can become an effect in some measure, and why the others cannot; None
        before all problems are mended.
    bounded : int
        How many of the others give a bound: `sheets.effects("SMD", bounds=True)` keeps these.
    places : tuple of Place
        Where each study goes by its words for source and isolation, and how that was found.
    gaps : tuple of Gap
        Rows that give no effect: what is missing in each, and what would be needed.
    prospect : Prospect or None
        How many effects will result: the measure that fits, effects and studies per stratum; None before all
        problems are mended.
    notes : tuple of str
        Of a file: what was read as what; empty for a folder.
    options : tuple of str
        What was said of the file on reading, as options of the command line.
    """

    folder: str
    problems: tuple[SheetProblem, ...]
    warnings: tuple[SheetProblem, ...]
    cautions: tuple[SheetProblem, ...]
    rows: Mapping[str, int]
    ledger: Ledger | None = None
    bounded: int = 0
    places: tuple[Place, ...] = ()
    gaps: tuple[Gap, ...] = ()
    prospect: Prospect | None = None
    notes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the sheets can be read."""
        return not self.problems

    def to_frame(self, noted: bool = False) -> pd.DataFrame:
        """Return one row per problem and warning, with the place, the value, and the remedy.

        Parameters
        ----------
        noted : bool
            Whether to list what rows explain in `caution` as well.
        """
        return problems_frame([finding for _, finding in self.findings(noted)])

    def findings(self, noted: bool = False) -> tuple[tuple[str, SheetProblem], ...]:
        """Return everything that was found with its level: "error", "warning" or "noted".

        Parameters
        ----------
        noted : bool
            Whether to list what rows explain in `caution` as well.
        """
        levels = (("error", self.problems), ("warning", self.warnings), ("noted", self.cautions))
        return tuple((level, f) for level, found in levels[: 3 if noted else 2] for f in found)

    def report(self, noted: bool = False, width: int = 120) -> str:
        """Return what was found in plain English, for a terminal: what was read, what to mend, what results.

        Parameters
        ----------
        noted : bool
            Whether to list what rows explain in `caution` as well.
        width : int
            Characters per line.
        """
        return plain_text(_report(self, noted, max(width, NARROWEST)))

    def places_frame(self) -> pd.DataFrame:
        """Return one row per text for source or isolation and the studies that say it, with where they go."""
        import pandas as pd

        names = [part.name for part in fields(Place)]
        rows = [[getattr(place, name) for name in names] for place in self.places]
        return pd.DataFrame(rows, columns=names)

    def strata_frame(self) -> pd.DataFrame:
        """Return one row per stratum: source, isolation or outcome, effects, studies, rows, and a note."""
        import pandas as pd

        names = ["by", "source", "isolation", "outcome", "effects", "studies", "rows", "note"]
        rows = []
        for one in self.prospect.strata if self.prospect else ():
            levels = dict(zip(one.by, one.levels, strict=True))
            words = [levels.get(name, "") for name in ("source", "isolation", "outcome_label")]
            rows.append([", ".join(one.by), *words, one.effects, one.studies, one.rows, one.note])
        return pd.DataFrame(rows, columns=names)

    def gaps_frame(self) -> pd.DataFrame:
        """Return one row per row of the sheet that gives no effect, with what is missing and needed."""
        import pandas as pd

        names = ["line", "study", "missing", "needed", "empty", "reason", "bound"]
        rows = [
            [line, study, gap.what, gap.remedy, gap.columns, gap.reason, gap.bound]
            for gap in self.gaps
            for line, study in zip(gap.lines, gap.studies, strict=True)
        ]
        return pd.DataFrame(rows, columns=names).sort_values("line", kind="stable", ignore_index=True)

    def settled(self) -> list[str]:
        """Return in words what is settled by words in `caution`, kind by kind, with the lines."""
        if not self.cautions:
            return []
        places: dict[str, dict[str, dict[int, None]]] = {}
        for f in self.cautions:
            lines = places.setdefault(f.kind.__name__, {}).setdefault(f.file, {})
            lines.update(dict.fromkeys(f.lines or (f.line,) if f.line is not None else ()))
        count = plural(len(self.cautions), "finding is", "findings are")
        told = [f"{count} settled by words in `caution` of the row; metaexo check --all lists them:"]
        for kind, files in places.items():
            number = sum(f.kind.__name__ == kind for f in self.cautions)
            where = "; ".join(f"{file} line {_listed(sorted(lines))}" for file, lines in files.items())
            told.append(f"  {_in_words(kind)} ({number}): {where}")
        return told

    def rows_without_effect(self) -> list[str]:
        """Return in words how many rows of outcomes.csv can give no effect in any measure, and why."""
        if self.ledger is None or not self.ledger.left_out:
            return []
        lines: dict[str, list[int]] = {}
        for entry in self.ledger.left_out:
            lines.setdefault(entry.reason, []).append(entry.line)
        total = len(self.ledger.left_out)
        told = [f"{total} of {plural(self.ledger.total, 'row')} of {self.ledger.source} can give no effect:"]
        for reason, at in sorted(lines.items(), key=lambda pair: -len(pair[1])):
            told.append(f"  {plural(len(at), 'row')}: {reason} (line {_listed(at)})")
        paired = len(lines.get(NO_CORRELATION, ()))
        if paired:
            told.append(
                f"  {paired} of them need a correlation: assumed_correlation=0.5 assumes one, and says so"
            )
        if self.bounded:
            told.append(
                f'  {self.bounded} of them give a bound: sheets.effects("SMD", bounds=True) keeps these'
            )
        return told

    def _counts(self) -> str:
        read = ", ".join(f"{name} {n}" for name, n in self.rows.items())
        return (
            f"{self.folder}: {len(self.problems)} problems, {len(self.warnings)} warnings, "
            f"{len(self.cautions)} noted; rows: {read}"
        )

    @printed
    def __str__(self) -> str:
        found = [f"{level:<8} {finding}" for level, finding in self.findings()]
        return "\n".join([self._counts(), *found, *self.settled(), *self.rows_without_effect()])


# ------------------------------------------------------------------------------------------- the report


def _report(check: SheetCheck, noted: bool, width: int) -> str:
    """Return the report of a check, in lines of a width."""
    parts: list[tuple[str, list[str]]] = [
        ("What was read", _what_was_read(check)),
        ("Errors: mend these first", _findings(check.problems)),
        ("Words that were not understood", _findings(_of_kinds(check.warnings, WORDS))),
        *((f"Where each study goes: {kind}", _where(check.places, kind, noted)) for kind in VOCABULARIES),
        ("Rows that give no effect", _rows_without(check, noted)),
        ("Standard errors in the place of SDs?", _findings(_of_kinds(check.warnings, SPREADS))),
        ("Numbers that cannot be, or hardly", _as_they_stand(_others(check.warnings))),
        ("Several effects of one study", _dependent(check.prospect)),
        ("Two papers under one name?", _findings(_of_kinds(check.warnings, (TwoPapersWarning,)))),
        ("The same numbers twice", _as_they_stand(_of_kinds(check.warnings, TWICE))),
        ("How many effects will result", _expected(check.prospect, noted)),
    ]
    if noted:
        parts.append(("Explained in the column caution", _findings(check.cautions)))
    else:
        parts.append(("Explained in the column caution", check.settled()))
    if not check.rows and len(check.problems) == 1:
        (problem,) = check.problems
        near = f" (there is {problem.nearest})" if problem.nearest else ""
        return "\n".join(_wrapped([f"{problem.what}{near}", f"What to do: {problem.remedy}"], width))
    summary = _wrapped(_summary(check), width)
    lines = [*summary, ""]
    for title, said in parts:
        if said:
            lines += [title, "-" * min(len(title), width), *_wrapped(said, width), ""]
    return "\n".join([*lines, *summary])


def _wrapped(lines: Iterable[str], width: int) -> list[str]:
    """Return lines broken at a width; what follows the first keeps its indent and two more."""
    found = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        if line.lstrip().startswith("Next: "):
            found.append(line)  # a command is copied as it stands
            continue
        found += textwrap.wrap(
            one_line(line.strip()),
            width,
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_on_hyphens=False,
        ) or [""]
    return found


def _summary(check: SheetCheck) -> list[str]:
    """Return one line of counts, and what to do next."""
    counts = f"{plural(len(check.problems), 'error')}, {plural(len(check.warnings), 'warning')}"
    read = _size(check)
    found = check.prospect
    path = check.folder if SAFE.fullmatch(check.folder) else _quoted(check.folder)
    path = " ".join([path, *check.options])
    if check.problems or found is None:
        return [f"{read}: {counts}.", f"Next: mend the errors, then run: metaexo check {path}"]
    verb = "gives" if found.effects == 1 else "give"
    give = f"{found.effects} {verb} {with_article(found.measure)}"
    line = f"{read}: {give}; {counts}."
    if not found.effects:
        return [line, "Next: fill what is missing (see the rows that give no effect), then check again"]
    return [line, f"Next: metaexo report {path}{_choices(found)}"]


def _quoted(text: str) -> str:
    """Return a text as a command line takes it: in double quotes, unless signs in it mean something."""
    text = one_line(text)
    return f'"{text}"' if not re.search(r'["$`!]', text) else shlex.quote(text)


def _choices(found: Prospect) -> str:
    """Return the options of a report on these effects: one outcome, where they are many."""
    said = f" --measure {found.measure} --by source --by isolation"
    most = next((one.levels[0] for one in found.strata if one.by == ("outcome_label",)), "")
    if found.questions > MOST_QUESTIONS and most:
        said += f" --outcome {_quoted(most)}"
    return f"{said} --out report"


def _what_was_read(check: SheetCheck) -> list[str]:
    sheets = [f"{name} ({plural(n, 'row')})" for name, n in check.rows.items()]
    if set(check.rows) <= {"studies", "outcomes"}:
        return [f"{check.folder}: {_size(check)}", *check.notes]
    return [f"{check.folder}: {', '.join(sheets)}", *check.notes]


def _size(check: SheetCheck) -> str:
    rows = plural(check.rows.get("outcomes", 0), "row")
    return f"{plural(check.rows.get('studies', 0), 'study', 'studies')}, {rows}"


def _of_kinds(found: Iterable[SheetProblem], kinds: tuple[type, ...]) -> list[SheetProblem]:
    """Return the findings of some kinds, in the order of the kinds."""
    return sorted((f for f in found if f.kind in kinds), key=lambda f: kinds.index(f.kind))


def _others(found: Iterable[SheetProblem]) -> list[SheetProblem]:
    return [f for f in found if f.kind not in (*WORDS, *SPREADS, *TWICE, TwoPapersWarning)]


def _findings(found: Sequence[SheetProblem]) -> list[str]:
    """Return findings with the cell, what was found, and what to do: once for all that have one remedy."""
    groups: dict[tuple[type, str], list[SheetProblem]] = {}
    for finding in found:
        groups.setdefault((finding.kind, finding.remedy), []).append(finding)
    lines = []
    for (kind, remedy), group in groups.items():
        lines += [f"* {_at(finding)}: {_said(finding)}" for finding in group]
        lines.append(f"  What to do: {remedy}. [{kind.__name__}]")
    return lines


def _as_they_stand(found: Sequence[SheetProblem]) -> list[str]:
    """Return findings, and that an analysis takes the numbers as they are."""
    happens = "  What happens until then: metaexo report takes the numbers, and all rows, as they stand."
    return [*_findings(found), *([happens] if found else [])]


def _at(finding: SheetProblem) -> str:
    """Return the place of a finding and what stands there."""
    value = textwrap.shorten(one_line(finding.value), 40, placeholder=" ...")
    return f'{finding.where} = "{value}"' if value and value != finding.column else finding.where


def _said(finding: SheetProblem) -> str:
    parts = [finding.what]
    if issubclass(finding.kind, MetaexoError):
        parts.append(f"allowed: {textwrap.shorten(finding.allowed, 600, placeholder=' ...')}")
    parts += [f"nearest: {finding.nearest}"] if finding.nearest else []
    parts += [f"it may be: {finding.reading}"] if finding.reading else []
    return "; ".join(parts)


def _where(places: Sequence[Place], kind: Kind, noted: bool) -> list[str]:
    """Return where the studies go by their source or isolation: category, words, how found, studies."""
    here = [place for place in places if place.kind == kind]
    shown = here
    if not noted and len(here) > MOST_TEXTS:
        kept = sorted(here, key=lambda place: (not place.needs_a_look, -len(place.studies)))[:MOST_TEXTS]
        shown = [place for place in here if place.how == "given" or place in kept]
    labels: dict[str, list[Place]] = {}
    for place in shown:
        labels.setdefault(place.label, []).append(place)
    lines = []
    for label, group in labels.items():
        studies = {study for place in here if place.label == label for study in place.studies}
        lines.append(f"{label}: {plural(len(studies), 'study', 'studies')}")
        given = [place for place in group if place.how == "given" and not place.unused]
        if given:
            names = tuple(dict.fromkeys(study for place in given for study in place.studies))
            lines.append(f"    {HOW['given']}: {_named(names)}")
        others = [place for place in group if place not in given]
        lines += [f"  {'?' if place.needs_a_look else ' '} {_place(place)}" for place in others]
    if any(place.needs_a_look for place in shown):
        lines.append(
            f"To settle a line with ?: write one of these words in a column {kind}_category of the row, or "
            f"say it otherwise: {', '.join(_categories(kind))}"
        )
    if len(shown) < len(here):
        lines.append(f"{len(here) - len(shown)} more texts: --all lists them")
    return lines


def _categories(kind: Kind) -> list[str]:
    """Return the words that can stand in the column of a category."""
    words = load_vocabulary(kind).terms
    return [word for word in words if word not in (ALL, NOT_REPORTED, PREPARATORY)]


def _place(place: Place) -> str:
    text = textwrap.shorten(one_line(place.words), LONGEST_TEXT, placeholder=" ...")
    words = f'"{text}"' if text else "(empty)"
    how = HOW[place.how]
    if place.decided_by and (place.unused or place.how == "broad word"):
        how += f', "{place.decided_by}"'
    how += f"; nearest: {place.nearest}" if place.nearest else ""
    how += f"; {place.unused}" if place.unused else ""
    return f"{words} ({how}): {_named(place.studies)}"


def _named(studies: Sequence[str]) -> str:
    studies = [study or NO_STUDY for study in studies]
    more = len(studies) - MOST_STUDIES
    mark = "; " if any("," in study for study in studies[:MOST_STUDIES]) else ", "
    return mark.join(studies[:MOST_STUDIES]) + (f" and {more} more" if more > 0 else "")


def _rows_without(check: SheetCheck, noted: bool) -> list[str]:
    """Return the rows that give no effect, with what is missing and what would be needed."""
    lines = []
    shown = check.gaps if noted else check.gaps[:MOST_GAPS]
    for gap in shown:
        rows = "row" if len(gap.lines) == 1 else "rows"
        studies = tuple(dict.fromkeys(gap.studies))
        lines.append(f"* {rows} {_listed(gap.lines)} ({_named(studies)}): {gap.what}{_cells(gap)}")
        lines.append(f"  What to do: {gap.remedy}.")
    more = sum(len(gap.lines) for gap in check.gaps[len(shown) :])
    if more:
        lines.append(f"{plural(more, 'row')} more give no effect: --all lists them")
    bound = sum(len(gap.lines) for gap in check.gaps if gap.bound)
    if bound:
        many, them = (
            ("1 of these rows gives", "it") if bound == 1 else (f"{bound} of these rows give", "them")
        )
        lines.append(
            f"{many} a bound of an effect: metaexo report leaves {them} out of the pooled effect, and shows "
            "beside it the pooled effect with such bounds taken along; in Python, "
            f'sheets.effects("SMD", bounds=True) keeps {them}'
        )
    return lines


def _cells(gap: Gap) -> str:
    """Return the empty cells of rows, those of the first of several."""
    first = f"; in row {gap.lines[0]}" if len(gap.lines) > 1 and any("!" in c for c in gap.cells) else ""
    absent = [cell for cell in gap.cells if cell.startswith(ABSENT)]
    empty = [cell for cell in gap.cells if cell not in absent]
    said = [f"empty{first}: {', '.join(empty)}"] if empty else []
    return f" ({'; '.join([*said, *absent])})" if said or absent else ""


def _dependent(found: Prospect | None) -> list[str]:
    """Return the effects of one study that share an arm, or are several, and what the analysis does."""
    if found is None or not (found.several or found.shared):
        return []
    lines = [f"* rows {_listed(one.lines)} ({one.study}) {IN_WORDS[one.arm]}" for one in found.shared]
    if any(one.arm == "both" for one in found.shared):
        lines.append("  What to do: rows that repeat each other are one result: delete all but one.")
    if found.several:
        named = [f"{study} {n}" for study, n in found.several]
        lines.append(f"* several effects of one outcome: {_named(named)}")
    lines.append(
        "  What happens: effects of one study are not independent. metaexo report averages those of one "
        "stratum, and its tests take the rows of one study together (cluster-robust): no study counts twice. "
        "Delete the arms that you do not mean to average. In Python, "
        "mx.effects.shared_control_covariances has the covariance that a shared arm makes."
    )
    return lines


def _expected(found: Prospect | None, noted: bool) -> list[str]:
    """Return how many effects will result, in all and by stratum."""
    if found is None:
        return []
    of = f"{found.effects} of {plural(found.rows, 'row')}, {plural(found.studies, 'study', 'studies')}"
    lines = [f"Measure {found.measure} ({found.chosen}): {of}."]
    if found.apart:
        lines.append(f"{plural(found.apart, 'row')} kept apart (use is apart): not counted.")
    if not found.turned:
        lines.append("No row says which direction is the benefit (better): effects are not turned.")
    if found.contrasts:
        lines.append(
            f"Several contrasts ({', '.join(found.contrasts)}): they should not be pooled with each other."
        )
    outcomes = [one for one in found.strata if one.by == ("outcome_label",) and one.effects]
    if found.questions > 1:
        names = " or ".join(found.differ)
        lines.append(f"Effects that differ in {names} are reported apart; here they stand together.")
    if found.mixed:
        lines.append(
            f"Results in {' and '.join(found.mixed)} will be pooled: write clinical (people) or preclinical "
            "(animals, cells) in a column domain to keep them apart."
        )
    if len(outcomes) > 1:
        named = ", ".join(f"{one.levels[0]} {one.effects}" for one in outcomes[:MOST_STRATA])
        lines.append(f"Effects by outcome: {named}.")
    for by, title in (
        (("source",), "By source"),
        (("isolation",), "By isolation"),
        (("source", "isolation"), "By source and isolation"),
    ):
        lines += _strata([one for one in found.strata if one.by == by], title, noted)
    return lines


def _strata(strata: Sequence[Stratum], title: str, noted: bool) -> Iterator[str]:
    if not strata:
        return
    yield f"{title}:"
    shown = strata if noted else [one for one in strata if one.effects][:MOST_STRATA]
    for one in shown:
        counts = f"{plural(one.effects, 'effect')}, {plural(one.studies, 'study', 'studies')}"
        yield f"  {' x '.join(one.levels)}: {counts}{f' ({one.note})' if one.note and one.effects else ''}"
    empty = [one for one in strata if not one.effects]
    if empty and not noted:
        yield f"  no effect: {'; '.join(' x '.join(one.levels) for one in empty[:MOST_STRATA])}"
    more = len(strata) - len(shown) - len(empty)
    if more > 0 and not noted:
        yield f"  and {more} more: --all lists them"


def _in_words(kind: str) -> str:
    """Return the name of a kind of finding in words: "large difference", "unusual CV"."""
    parts = re.findall(r"[A-Z]{2,}s?(?![a-z])|[A-Z][a-z]*", kind.removesuffix("Warning"))
    return " ".join(part if part[1:2].isupper() else part.lower() for part in parts)


def _listed(lines: Sequence[int]) -> str:
    """Return the first lines of several."""
    return ", ".join(map(str, lines[:MOST_LINES])) + (" ..." if len(lines) > MOST_LINES else "")
