"""What all results of this room have in common: the counts of one arm, a sentence, a method, assumptions."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from metaexo.effects.counts import EventCounts
from metaexo.errors import InputError
from metaexo.formatting import level_words, number, percent, plural
from metaexo.inputs import check_choice, check_number, describe
from metaexo.models.counts.fit import check_event_counts
from metaexo.numeric.study_risks import KINDS, StudyRisks
from metaexo.readable import Readable, ReaderTable, cells_of

Arm = Literal["treatment", "control"]
Scale = Literal["icc", "tau", "cv"]
SHORT = {"icc": "ICC", "tau": "tau", "cv": "coefficient of variation"}
MEANINGS = {
    "icc": "intra-class correlation, from 0 for a common risk to 1 for events in everyone or in no one",
    "tau": "SD of study risks on the logit scale",
    "cv": "coefficient of variation of study rates",
}
MOST_PER = 1e9
SMALLEST = 1e-6  # risk that is still shown in per cent


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SafetyResult(Readable):
    """Base of the results of this room.

    Attributes
    ----------
    level : float
        Level of the limits.
    said : tuple of str
        What to know before relying on the result; `cautions()` returns it.
    """

    level: float
    said: tuple[str, ...] = ()

    @property
    @abstractmethod
    def sentence(self) -> str:
        """What was found, in one plain sentence."""

    @property
    @abstractmethod
    def method(self) -> str:
        """How it was found, in words."""

    @property
    @abstractmethod
    def assumptions(self) -> tuple[str, ...]:
        """What it rests on, one statement each."""

    def reader_tables(self) -> list[ReaderTable]:
        """Return the table, its numbers of people without decimals."""
        table = self.to_frame()
        for name in PEOPLE:
            if name in table:
                table[name] = [_counted(value) for value in table[name]]
        return [cells_of(table)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, with the sentence, as plain values, but not the table that the counts are of."""
        found = {"sentence": self.sentence, "method": self.method, **super().to_dict()}
        if isinstance(found.get("counts"), dict):
            for name in ("_data", "origin"):
                found["counts"].pop(name, None)
        return found

    def table_notes(self) -> list[str]:
        """Return the sentence, the method and what it rests on, which stand below the table."""
        return [self.sentence, f"Method: {self.method}.", *(f"Assumed: {one}." for one in self.assumptions)]

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the result; empty if there is nothing."""
        return self.said


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OneArmResult(SafetyResult):
    """Base of the results that rest on the counts of one arm.

    Attributes
    ----------
    counts : EventCounts
        The counts of one arm that it rests on.
    """

    counts: EventCounts

    @property
    def events(self) -> int:
        """Number of events in all studies."""
        return int(self.counts.events.sum())

    @property
    def total(self) -> float:
        """Number of people in all studies, or their person-time."""
        return float(self.counts.totals.sum())

    @property
    def person_time(self) -> bool:
        """Whether events were counted in person-time, so that limits are rates."""
        return self.counts.person_time

    @property
    def k(self) -> int:
        """Number of rows of counts."""
        return self.counts.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.counts.m

    @property
    def without_event(self) -> int:
        """Number of rows without any event."""
        return int(self.counts.is_zero.sum())

    @property
    def seen(self) -> str:
        """What was seen: "No event in 214 people (12 studies)"."""
        return events_seen(self.counts)


# Columns of tables that hold numbers of people, of studies or of weeks.
PEOPLE = ("total", "cumulative_total", "more", "in_all", "people", "trials", "per", "weeks")


def _counted(value: float) -> str:
    """Return a number of people, or a person-time, as text; a dash where there is none."""
    return amount(value) if math.isfinite(value) else number(value)


def one_arm(counts: object, arm: object, function: str) -> EventCounts:
    """Return the counts of one arm; of two arms, `arm` chooses one."""
    if not isinstance(counts, EventCounts):
        held = isinstance(getattr(counts, "counts", None), EventCounts)
        raise InputError(
            f"the counts are {describe(counts)}",
            "counts of events of one arm: an EventCounts",
            "hand in the counts of the fit: fit.counts"
            if held
            else f"mx.safety.{function}(mx.event_counts(data, events=..., n=...))",
        )
    found = check_event_counts(counts, f"mx.safety.{function}")
    if arm is not None:
        check_choice("arm", arm, ("treatment", "control"))
        return found.arm(arm)  # type: ignore[arg-type]
    if found.arms == 2:
        raise InputError(
            "the counts are of two arms", "counts of one arm", 'choose one: arm="treatment" or arm="control"'
        )
    return found


def kind_of(scale: object, person_time: bool) -> StudyRisks:
    """Return the distribution of study risks (or rates) on a scale; by default beta or gamma."""
    kinds = {kind.scale: kind for kind in KINDS if kind.of_people is not person_time}
    if scale is None:
        return kinds["cv" if person_time else "icc"]
    if isinstance(scale, str) and scale in SHORT and scale not in kinds:
        what = "rates in person-time" if person_time else "risks of people"
        raise InputError(
            f"scale={scale!r} was given for {what}",
            " or ".join(repr(name) for name in kinds),
            f"use scale={next(iter(kinds))!r}, or leave scale out",
        )
    check_choice("scale", scale, tuple(kinds))
    return kinds[scale]  # type: ignore[index]


def check_heterogeneity(value: object, risks: StudyRisks, name: str = "heterogeneity") -> float:
    """Return a heterogeneity; refuse what the scale does not have."""
    found = check_number(name, value)
    if not 0 <= found <= risks.largest:
        larger = risks.of_people and risks.scale == "tau" and found > risks.largest
        remedy = 'risks are all or nothing with so much: heterogeneity="any" covers that' if larger else ""
        raise InputError(
            f"{name} is {found:g}", f"a value from 0 to {risks.largest:g} ({SHORT[risks.scale]})", remedy
        )
    return found


def first_low(text: str) -> str:
    """Return a text that goes on a sentence: its first letter is small."""
    return text[:1].lower() + text[1:]


def events_seen(counts: EventCounts) -> str:
    """Return what was seen, in words: "3 events in 214 people (12 studies, 10 without event)"."""
    x, total, silent = int(counts.events.sum()), float(counts.totals.sum()), int(counts.is_zero.sum())
    what = "No event" if x == 0 else f"{x:,} {'event' if x == 1 else 'events'}"
    where = plural(counts.m, "study", "studies")
    rows = "" if counts.m == counts.k else f" with {plural(counts.k, 'row')}"
    zeros = f", {silent} without event" if x and 1 < counts.m == counts.k else ""
    size = (
        f"{amount(total)} of person-time"
        if counts.person_time
        else f"{total:,.10g} {'person' if total == 1 else 'people'}"
    )
    return f"{what} in {size} ({where}{rows}{zeros})"


def risk_words(value: float, person_time: bool) -> str:
    """Return a risk as readers take it, "1.39% (1 in 72)", or a rate per unit of person-time."""
    if person_time:
        return f"{number(value, 3 if value < 1 else 2)} per unit of person-time"
    shown = percent(value, 1 if value >= 0.1 else 2)
    if not 0 < value <= 0.5 or 1 / value > MOST_PER:
        return shown
    ratio = f"1 in {round(1 / value):,}"
    return ratio if value < SMALLEST else f"{shown} ({ratio})"


def heterogeneity_words(risks: StudyRisks, h: float) -> str:
    """Return a stated heterogeneity in words."""
    kind = "rates" if not risks.of_people else "risks"
    if h == 0:
        return f"a {kind[:-1]} that is the same in all studies"
    return f"study {kind} with {risks.words}, {SHORT[risks.scale]} {h:.3g}"


def if_they_vary(risks: StudyRisks, h: float, size: float = math.nan) -> str:
    """Return a stated heterogeneity as a condition, "if study risks vary with an ICC of 0.05, "."""
    if h == 0:
        return ""
    article = "an" if risks.scale == "icc" else "a"
    kind = "risks" if risks.of_people else "rates"
    of = "" if math.isnan(size) else f" and new trials have {amount(size)} each"
    return f"if study {kind} vary with {article} {SHORT[risks.scale]} of {h:.3g}{of}, "


def amount(value: float) -> str:
    """Return a person-time, or a number of people, without decimals that nobody reads."""
    if value >= 100 or value == round(value):
        return f"{value:,.0f}" if value >= 1000 or value == round(value) else f"{value:,.1f}"
    return f"{value:.3g}"


def confidence(level: float, sides: int) -> str:
    """Return the level of a limit in words, with its sides."""
    return f"{level_words(level)} confidence, {'one-sided' if sides == 1 else 'two-sided'}"


def same_study_cautions(counts: EventCounts) -> tuple[str, ...]:
    """Return the caution that rows of one study count as independent, where there are such rows."""
    if counts.m == counts.k:
        return ()
    return (
        f"{counts.k} rows come from {counts.m} studies, and are taken as if each were a study: people who "
        "are in several rows count several times",
    )
