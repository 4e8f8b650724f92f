"""The evidence sheets of a folder, with a ledger, ready to be turned into effect sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from metaexo.effects import EffectSizes, Measure, get_measure
from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.evidence.codebook import Codebook, SheetPlan
from metaexo.evidence.names import NAME, study_names
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.reading import Reading
from metaexo.evidence.tables.corrected import write_tables
from metaexo.evidence.to_counts import SHEET, counts_asked, make_counts
from metaexo.evidence.to_effects import (
    WORDS_ONLY,
    Request,
    Survey,
    bounds_of_words,
    leave_all_out,
    lines_with_bounds,
    make_bounds,
    make_effects,
    survey,
)
from metaexo.evidence.views import VIEWS
from metaexo.formatting import printed
from metaexo.immutable import ByContents
from metaexo.inputs import check_choice, check_flag, check_number
from metaexo.ledger import Ledger
from metaexo.readable import LONGEST_REPR, cut, table_view

if TYPE_CHECKING:
    import pandas as pd


OUTCOMES_OF = {"studies": "outcomes", "brain_studies": "brain_outcomes"}
"""Sheets of studies, and the sheet that holds their comparisons."""
WITHOUT_EFFECTS = {
    WORDS_ONLY: "given in words only",
    "identified_counts": "a count of molecules without a sampling variance",
    "methods_survey": "a method that was used, without a result",
}
"""Sheets of which no row gives an effect, and why."""
NO_NUMBERS, NO_RESULT = "a result in words", "what describes a study, and no result"


@dataclass(frozen=True, eq=False, repr=False)
class Sheets(ByContents):
    """The evidence sheets of a folder.

    Every table has a first column `line`, the row in its file as a spreadsheet counts (from 1), and every
    column of the codebook, empty where the file does not have it. Beside the key of the study it has
    `study_name`, what figures and tables call it: "Li 2020", "Li 2020a" where two studies would have one
    name, and a short description ("Chemical burn, umbilical cord MSC, 2023") where the authors were not
    seen. The tables are copies: changing one changes nothing here.

    Attributes
    ----------
    folder : str
        Where they were read.
    studies, outcomes, direction_only, preparations, safety_events, published_meta_analyses : DataFrame
        The tables; empty if the folder has no such sheet.
    cargo_groups, method_contrasts, marker_arms, brain_outcomes, brain_studies : DataFrame
        What vesicles carry, methods and sources within one laboratory, and brain injury.
    identified_counts, methods_survey : DataFrame
        Molecules identified, and who used which method; they describe and give no effects.
    cautions : DataFrame
        What a reader must know of single rows: sheet, line, study, use, kind, words.
    codebook : Codebook
        What every column means.
    reading : Reading
        How the file was read: `notes` say what was taken as what, `cell(line, column)` where a value stands.
    """

    folder: str
    codebook: Codebook = field(repr=False)
    _frames: Mapping[str, pd.DataFrame] = field(repr=False)
    _findings: tuple[SheetProblem, ...] = field(repr=False, default=())
    reading: Reading = field(repr=False, default_factory=lambda: Reading(""))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is kept of pickled or copied sheets: the tables, not what follows from them."""
        return {part.name: getattr(self, part.name) for part in fields(self)} | {
            "_frames": dict(self._frames)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        frames = {name: frame.copy() for name, frame in state["_frames"].items()}
        self.__dict__.update(state | {"_frames": MappingProxyType(frames)})

    @property
    def studies(self) -> pd.DataFrame:
        """One row per study."""
        return self._named("studies")

    @property
    def outcomes(self) -> pd.DataFrame:
        """One row per reported comparison of a study at a time point."""
        return self._named("outcomes")

    @property
    def direction_only(self) -> pd.DataFrame:
        """One row per result that is given in words only."""
        return self._named("direction_only")

    @property
    def preparations(self) -> pd.DataFrame:
        """One row per preparation of vesicles."""
        return self._named("preparations")

    @property
    def safety_events(self) -> pd.DataFrame:
        """One row per human study in which exosomes were given."""
        return self._named("safety_events")

    @property
    def published_meta_analyses(self) -> pd.DataFrame:
        """One row per pooled estimate of a published meta-analysis."""
        return self._named("published_meta_analyses")

    @property
    def cargo_groups(self) -> pd.DataFrame:
        """One row per group of samples and outcome of its miRNA profile."""
        return self._named("cargo_groups")

    @property
    def method_contrasts(self) -> pd.DataFrame:
        """One row per outcome of two isolation methods on the same material."""
        return self._named("method_contrasts")

    @property
    def marker_arms(self) -> pd.DataFrame:
        """One row per marker and preparation of one laboratory."""
        return self._named("marker_arms")

    @property
    def brain_outcomes(self) -> pd.DataFrame:
        """One row per comparison with a control after brain injury."""
        return self._named("brain_outcomes")

    @property
    def brain_studies(self) -> pd.DataFrame:
        """One row per study of vesicles after brain injury."""
        return self._named("brain_studies")

    @property
    def identified_counts(self) -> pd.DataFrame:
        """One row per experiment and kind of molecule: how many were identified."""
        return self._named("identified_counts")

    @property
    def methods_survey(self) -> pd.DataFrame:
        """One row per paper, source, isolation and vesicle type: who used which method."""
        return self._named("methods_survey")

    @cached_property
    def _names(self) -> Mapping[tuple[str, str], str]:
        """What every study and review is called, by the column that identifies it and its cell."""
        sheets = self.codebook.sheets
        return study_names((sheets[name].key, frame) for name, frame in self._frames.items())

    def _named(self, name: str) -> pd.DataFrame:
        """Return a copy of a sheet with the names of its studies."""
        frame, key = self._frames[name].copy(), self.codebook.sheets[name].key
        names = [self._names[key, str(study)] for study in frame[key]]
        frame.insert(list(frame.columns).index(key) + 1, NAME, names)
        return frame

    @cached_property
    def ledger(self) -> Ledger:
        """Which rows of outcomes.csv can become an effect in some measure, and why the others cannot."""
        return self._surveyed.ledger

    @cached_property
    def _surveyed(self) -> Survey:
        """Which rows of outcomes.csv can become an effect, in which measure, and why the others cannot."""
        return survey(VIEWS["outcomes"], self.codebook.sheets["outcomes"], self._named("outcomes"))

    @cached_property
    def ledgers(self) -> Mapping[str, Ledger]:
        """The ledger of every sheet, before any selection, by the name of the sheet."""
        return MappingProxyType({name: self._survey(name) for name in self._frames})

    def rows_with_bounds(self) -> int:
        """Return how many rows of outcomes.csv give no effect but a bound of a standardised difference."""
        lines = {entry.line for entry in self.ledger.left_out}
        frame = self._frames["outcomes"]
        return len(lines_with_bounds(frame[frame["line"].isin(lines)]))

    def _survey(self, name: str) -> Ledger:
        """Return which rows of a sheet can become an effect at all."""
        frame, plan = self._named(name), self.codebook.sheets[name]
        if name in VIEWS:
            return survey(VIEWS[name], plan, frame).ledger if name != "outcomes" else self.ledger
        if name in OUTCOMES_OF:
            outcomes = self.codebook.sheets[OUTCOMES_OF[name]]
            gone = ~frame[plan.key].isin(self._frames[outcomes.name][outcomes.key]).to_numpy()
            return leave_all_out(plan, frame, gone, f"no comparison of it stands in {outcomes.file}")
        reason = WITHOUT_EFFECTS.get(name, "the sheet has no effects")
        return leave_all_out(plan, frame, np.ones(len(frame), dtype=bool), reason)

    @property
    def cautions(self) -> pd.DataFrame:
        """What a reader must know of single rows: sheet, line, study, use, kind, words."""
        import pandas as pd

        rows = []
        for name, frame in self._frames.items():
            if "caution" not in frame:
                continue
            key = self.codebook.sheets[name].key
            told = frame[frame["caution"].notna()]
            columns = (told["line"], told[key], told["use"], told["caution"])
            rows += [(name, *cells[:3], "caution", cells[3]) for cells in zip(*columns, strict=True)]
        names = {plan.file: plan.name for plan in self.codebook.sheets.values()}
        for finding in self._findings:
            name = names[finding.file]
            use = self._frames[name].set_index("line")["use"].get(finding.line, "main")
            kind = finding.kind.__name__
            rows.append((name, finding.line, finding.study, use, kind, finding.what))
        return pd.DataFrame(rows, columns=["sheet", "line", "study", "use", "kind", "words"])

    @overload
    def effects(
        self,
        measure: str | Measure,
        where: str | None = ...,
        sheet: str = ...,
        assumed_correlation: float | None = ...,
        orient: bool = ...,
        *,
        assumed_sd: Mapping[str, float] | str | None = ...,
        better: Literal["higher", "lower"] | None = ...,
        bounds: Literal[False] = ...,
    ) -> EffectSizes: ...

    @overload
    def effects(
        self,
        measure: str | Measure,
        where: str | None = ...,
        sheet: str = ...,
        assumed_correlation: float | None = ...,
        orient: bool = ...,
        *,
        assumed_sd: Mapping[str, float] | str | None = ...,
        better: Literal["higher", "lower"] | None = ...,
        bounds: Literal[True],
    ) -> BoundedEffectSizes: ...

    def effects(
        self,
        measure: str | Measure,
        where: str | None = None,
        sheet: str = "outcomes",
        assumed_correlation: float | None = None,
        orient: bool = True,
        *,
        assumed_sd: Mapping[str, float] | str | None = None,
        better: Literal["higher", "lower"] | None = None,
        bounds: bool = False,
    ) -> EffectSizes | BoundedEffectSizes:
        """Return the effects of the rows of a sheet, with a ledger of all its rows.

        Use it to get from the sheets to numbers that can be pooled. Each effect is marked as reported,
        converted or assumed; each row without an effect stands in the ledger with the reason.

        Parameters
        ----------
        measure : str or Measure
            Code of the measure: "SMD", "MD", "ROM", "RR", "PR", ...
        where : str, optional
            Condition on the columns of the sheet and of its study:
            ``"contrast == 'exosome_vs_control' and domain == 'preclinical' and use != 'apart'"``. It holds
            columns (in backticks if the name is not one word), texts in quotes, numbers,
            ``== != < <= > >=``, ``in [...]``, ``and``, ``or``, ``not``, ``+ - * / % **`` and the words
            ``contains(column, 'text')``, ``starts_with``, ``ends_with``, ``lower``, ``upper``,
            ``between(column, 1, 2)``, ``abs``, ``is_blank(column)`` and ``not_blank``. Texts are looked for
            as they stand, and a blank cell is equal to nothing. It is never executed as code.
        sheet : str
            What to read: "outcomes" (reported comparisons), "preparations" (vesicle sizes), "safety_events"
            and "serious_events" (people with adverse events), "published_meta_analyses" (pooled estimates),
            "cargo_groups" and "marker_arms" (means of one group), "method_contrasts" (two methods, never
            turned: neither is the benefit), "brain_outcomes". With `bounds` also "direction_only".
        assumed_correlation : float, optional
            Correlation of the two conditions in paired rows that do not report it.
        orient : bool
            Turn effects so that positive means benefit; rows whose direction of benefit is not known have
            no effect then. Measures of one group are never turned.
        assumed_sd : mapping of str to float or str, optional
            Standard deviation by outcome, in its unit, or the name of a column that holds one per row, for
            rows that have no effect for want of it (percentage changes, means alone, groups of one, an SD of
            0); see :func:`metaexo.effects.effects_with_assumed_sd`, and :func:`metaexo.effects.pooled_sd`
            for an SD from the other groups. These rows are marked as assumed.
        better : {"higher", "lower"}, optional
            Direction of benefit of the rows whose column `better` is blank; "none" in a row stays as it is.
        bounds : bool
            Keep rows that give only "p < 0.05", "p > 0.05" or a direction as intervals; see
            :func:`metaexo.effects.bounds_from_table`.

        Returns
        -------
        EffectSizes or BoundedEffectSizes
            `study` is the name of the study (or review), `data` the columns of the sheet and of its study,
            with labels `source`, `isolation` and, for outcomes, `outcome_family`. With `bounds` the effects
            lie between `lower` and `upper`, and `exact` gives those that are points.

        Raises
        ------
        UnknownChoiceError
            If the measure, the sheet, or a column or word in `where` is not known.
        InputError
            If `where` is no condition, or another argument cannot be used.
        TooFewStudiesError
            If no row gives an effect; it counts the reasons.

        Warns
        -----
        AssumptionWarning
            If a correlation, independence or a standard deviation was assumed.
        MixedContrastsWarning
            If results with and without a control are combined.
        RowsWithoutEffectWarning
            If some of the rows that were selected give no effect, with the commonest reasons.

        Examples
        --------
        >>> import metaexo as mx
        >>> sheets = mx.evidence_sheets()
        >>> es = sheets.effects("SMD", where="domain == 'clinical' and outcome_family == 'Healing time'")
        >>> es.k, es.m, es.ledger.total
        (2, 1, 227)
        >>> wounds = sheets.effects("SMD", where="study_id == 'pbsc_dfu2024'", bounds=True)
        >>> wounds.lower.round(2), wounds.upper.round(2)
        (array([ 0.73,  0.73, -0.73]), array([ inf,  inf, 0.73]))
        """
        orient, bounds = check_flag("orient", orient), check_flag("bounds", bounds)
        _check_sheet(sheet, bounds, self.codebook)
        if assumed_correlation is not None:
            assumed_correlation = check_number("assumed_correlation", assumed_correlation)
        if better is not None:
            check_choice("better", better, ("higher", "lower"))
        words_only = sheet == WORDS_ONLY
        view = None if words_only else VIEWS[sheet]
        plan = self.codebook.sheets[view.sheet if view else WORDS_ONLY]
        if self._frames[plan.name].empty:
            raise TooFewStudiesError(
                f"{self.folder} has no {plan.file}, or one without rows",
                f"rows in {plan.file}",
                "add the sheet to the folder, or choose another",
            )
        if sheet == "outcomes" and better is None and not self._frames[sheet]["better"].notna().any():
            orient = False  # no row says which direction is better, and the reading has said so
        words = _closed_lists([*([self.codebook.sheets[plan.studies]] if plan.studies else []), plan])
        asked = Request(
            get_measure(measure), where, assumed_correlation, assumed_sd, orient, words, bounds, better or ""
        )
        if view is None:
            return bounds_of_words(plan, self._joined(WORDS_ONLY), asked)
        make = make_bounds if bounds else make_effects
        return make(view, plan, self._joined(view.sheet), asked)

    def event_counts(
        self,
        kind: str = "adverse events",
        *,
        arms: int = 1,
        where: str | None = None,
        scope: str | Sequence[str] | None = None,
        person_time: bool = False,
        min_follow_up: float | None = None,
        keep_paired: bool = False,
    ) -> EventCounts:
        """Return how many of how many people had an event, from the sheet of safety.

        Use it to get from the sheet to models of rare events: nothing is added to a zero, an empty cell is no
        zero, and people who were chosen because they were harmed are never counted. Rows set apart are left
        out; doubtful rows are in, and ``where="use == 'main'"`` shows the result without them.

        Parameters
        ----------
        kind : {"adverse events", "serious adverse events", "related serious adverse events", "deaths"}
            What is counted: people with such an event.
        arms : {1, 2}
            The treated people alone, or with their controls.
        where : str, optional
            Condition on the columns of the sheet, as in :meth:`effects`:
            ``"route == 'intravenous' and use == 'main'"``.
        scope : str or sequence of str, optional
            What a count of adverse events may cover: "all" (the default), "related", "significant", "kind",
            "window". Several at once raise a warning, because they are different events.
        person_time : bool
            Take person-years in the place of people: people times weeks of follow-up, over 52.18. The sheet
            has one length per study and nobody is censored, so that this is the most person-time there can
            be, and a rate on it the least. Rows without a length of follow-up are left out.
        min_follow_up : float, optional
            Least follow-up, in weeks; rows whose follow-up is shorter or not known are left out.
        keep_paired : bool
            Keep rows whose two arms are the same people (split face), for tables and drawings. No model of
            two independent arms holds for them, so that they are left out otherwise.

        Returns
        -------
        EventCounts
            `data` holds the columns of the sheet, among them route, source, isolation, allogeneic, design,
            use, follow_up_weeks, and two more: counted (what the count covers, in words) and same_people
            (whether both arms are the same people). The ledger has every row of the sheet.

        Raises
        ------
        UnknownChoiceError
            If the kind, a scope, or a column or word in `where` is not known.
        InputError
            If `where` is no condition, or another argument cannot be used.
        TooFewStudiesError
            If no row has such a count; it counts the reasons.

        Warns
        -----
        MixedDefinitionsWarning
            If counts of several scopes stand in one table.
        RowsLeftOutWarning
            If rows with such a count cannot be used, with the commonest reasons.
        AssumptionWarning
            If nothing says whether both arms are the same people, and they are taken as different people.

        Examples
        --------
        >>> import metaexo as mx
        >>> sheets = mx.evidence_sheets()
        >>> counts = sheets.event_counts("adverse events")
        >>> counts
        EventCounts(one arm, people: k = 11 rows, m = 11 studies, 2 events among 593)
        >>> sheets.event_counts("adverse events", where="use == 'main'")
        EventCounts(one arm, people: k = 9 rows, m = 9 studies, 2 events among 192)
        """
        plan = self.codebook.sheets[SHEET]
        asked = counts_asked(
            kind, arms, where, scope, person_time, min_follow_up, keep_paired, _closed_lists([plan])
        )
        return make_counts(plan, self._joined(SHEET), asked)

    def write_corrected(self, path: str | PathLike[str]) -> Path:
        """Write a table of a file as it was read, under the names of the codebook, as another file.

        Use it to go on with a table that needs no reading any more: headings are the columns of the codebook,
        numbers have a decimal point and stand in columns of their own, and what was left out is not there.
        The file that was read is never changed.

        Parameters
        ----------
        path : str or path
            A new file; it ends in .xlsx or .csv. In its texts no cell begins as a formula.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            If there is such a file already, it cannot be written, or the sheets were read of a folder.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import metaexo as mx
        >>> folder = Path(tempfile.mkdtemp())
        >>> text = "Study;Outcome;EV mean (SD);EV n;Control mean (SD);Control n"
        >>> row = "Li 2020;scar width;5,1 (1,2);10;3,9 (1,1);10"
        >>> _ = Path(folder, "mine.csv").write_text(text + chr(10) + row)
        >>> sheets = mx.read_table(folder / "mine.csv")
        >>> print(sheets.write_corrected(folder / "corrected.csv").read_text("utf-8-sig").splitlines()[1])
        Li 2020,scar_width,5.1,1.2,10,3.9,1.1,10,exosome_vs_control
        """
        return write_tables(path, self.reading, self._frames)

    @cached_property
    def _with_studies(self) -> dict[str, pd.DataFrame]:
        """Sheets with the columns of their studies, by name, as they were asked for."""
        return {}

    def _joined(self, name: str) -> pd.DataFrame:
        """Return a sheet with the columns of its studies, if it refers to them; it is not to be changed."""
        if name not in self._with_studies:
            frame, plan = self._named(name), self.codebook.sheets[name]
            if plan.studies:
                studies = self._frames[plan.studies].drop(columns="line")
                extra = [column for column in studies.columns if column not in frame.columns]
                frame = frame.merge(studies[[plan.key, *extra]], on=plan.key, how="left", validate="m:1")
            self._with_studies[name] = frame
        return self._with_studies[name]

    @printed
    def __str__(self) -> str:
        rows = ", ".join(f"{name} {len(frame)}" for name, frame in self._frames.items() if len(frame))
        return f"sheets of {self.folder}: {rows}"

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {len(frame)}" for name, frame in self._frames.items() if len(frame))
        return f"Sheets({cut(f'{self.folder}: {rows}', LONGEST_REPR)})"

    def _repr_html_(self) -> str:
        """Return the sheets with their rows as a table for a notebook."""
        rows = [[name, str(len(frame))] for name, frame in self._frames.items() if len(frame)]
        return table_view(rows, ["sheet", "rows"], caption=self.folder)


def _check_sheet(sheet: object, bounds: bool, codebook: Codebook) -> None:
    """Refuse a sheet that is not known, and one that holds no mean with an SD, for what it holds."""
    choices = [*VIEWS, *([WORDS_ONLY] if bounds else [])]
    if isinstance(sheet, str) and sheet not in choices and sheet in codebook.sheets:
        held = NO_NUMBERS if sheet == WORDS_ONLY else WITHOUT_EFFECTS.get(sheet, NO_RESULT)
        remedy = f"its rows are the table sheets.{sheet}, to count and to describe"
        if sheet == WORDS_ONLY:
            remedy = "use bounds=True, which takes words as bounds of an effect"
        elif sheet in OUTCOMES_OF:
            remedy = f'write sheet="{OUTCOMES_OF[sheet]}": its rows have the columns of {sheet} as well'
        raise InputError(
            f"the sheet {sheet} gives no effect: a row holds {held}", f"one of {', '.join(choices)}", remedy
        )
    check_choice("sheet", sheet, choices)


def _closed_lists(plans: Sequence[SheetPlan]) -> dict[str, tuple[str, ...]]:
    """Return the words that the columns with a closed list may hold."""
    return {c.name: c.words for plan in plans for c in plan.columns.values() if c.words}
