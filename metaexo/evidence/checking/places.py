"""Where each study goes: from its words for source and isolation to a category, and how that was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metaexo.errors import nearest_word
from metaexo.evidence.vocabulary import (
    ALTERNATIVES,
    COMBINED,
    NOT_REPORTED,
    NOT_TOLD,
    PELLETING_FORCE,
    UMBRELLA,
    VOCABULARIES,
    Kind,
    Vocabulary,
    breadth,
    denied,
    isolation_category,
    isolation_mentions,
    load_vocabulary,
    normal_form,
    source_mentions,
    steps_of,
)
from metaexo.inputs import is_blank

if TYPE_CHECKING:
    import pandas as pd

How = Literal["given", "exact category", "synonym", "broad word", "not known", "not reported"]
HOW: Mapping[How, str] = {
    "given": "the category that you gave",
    "exact category": "the name of the category",
    "synonym": "a synonym",
    "broad word": "only a broad word",
    "not known": "not known: counts as not reported",
    "not reported": "nothing is reported",
}
"""How a category was found, in words."""
JOINED = re.compile(r"\s*(?:[;+&]|\s/\s|\band\b|\bplus\b|\bthen\b|\bfollowed by\b)\s*", re.IGNORECASE)
"""What stands between the parts of a text, each of which may name a source or a step."""
SAYS_NOTHING = frozenset(
    word
    for line in (
        "a an the of from in by with to for on at per or not its using via after before own",
        "x g rpm min h hour hours day days overnight twice times step steps wash washed washing c room",
        "temperature human mouse murine rat bovine porcine canine rabbit equine adult young aged healthy",
        "donor donors patient patients male female cell cells line lines culture cultured medium media",
        "conditioned supernatant serum free derived isolated purified exosome exosomes ev evs sev sevs",
        "vesicle vesicles extracellular small secreted passage passages p primary commercial allogeneic",
        "autologous method methods kit column columns protocol standard modified",
    )
    for word in line.split()
)
"""Words that neither name a source nor a step, so that a part made of them is no part that was not read."""
NO_CATEGORY = "no category of the vocabulary"
SHORTEST = 3
MOST_NEAREST = 100
"""Unknown words for which the nearest category is looked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the studies go that say one thing of their source, or of their isolation.

    Attributes
    ----------
    kind : {"source", "isolation"}
        What the words are about.
    words : str
        The words of the sheet as they stand; empty if there are none.
    category, label : str
        Where they go: the word of the vocabulary, and what tables and figures call it.
    how : {"given", "exact category", "synonym", "broad word", "not known", "not reported"}
        How that was found.
    decided_by : str
        The part of the words that decided; empty where no part did.
    unused : str
        What else the words say, in words of our own: another source, a part that was not read, or words that
        lead elsewhere than the category that was given. Empty if nothing was passed over.
    nearest : str
        The label of the nearest category, for words that are not known; empty if none is near.
    studies : tuple of str
        The studies.
    lines : tuple of int
        Their lines in the file.
    """

    kind: Kind
    words: str
    category: str
    label: str
    how: How
    decided_by: str
    unused: str
    nearest: str
    studies: tuple[str, ...]
    lines: tuple[int, ...]

    @property
    def needs_a_look(self) -> bool:
        """Whether the words were not known, read only broadly, or read only in part."""
        given = self.how == "given" and not self.unused.startswith(NO_CATEGORY)
        return self.how in ("not known", "broad word") or (bool(self.unused) and not given)


Said = tuple[str, str, str, int]
"""Words, the category that was given, the study, and the line of a row; empty texts for what is missing."""


def places_of(frame: pd.DataFrame, names: Iterable[str], folder: Path | None) -> tuple[Place, ...]:
    """Return where the rows of a sheet go, source before isolation, category by category.

    Parameters
    ----------
    frame : DataFrame
        A sheet with columns such as source_reported and source_category, as they stand in the file, and line.
    names : iterable of str
        What the study of each row is called.
    folder : Path or None
        Folder of the sheets, which may bring vocabularies of its own.
    """
    names = list(names)
    lines = [int(line) for line in frame["line"]]
    found: list[Place] = []
    for kind in VOCABULARIES:
        columns = [_texts(frame, f"{kind}_{part}") for part in ("reported", "category")]
        found += _places(kind, zip(*columns, names, lines, strict=True), folder)
    return tuple(found)


def _texts(frame: pd.DataFrame, column: str) -> list[str]:
    if column not in frame:
        return [""] * len(frame)
    return ["" if is_blank(cell) else str(cell).strip() for cell in frame[column]]


def _places(kind: Kind, rows: Iterable[Said], folder: Path | None) -> list[Place]:
    groups: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for words, given, study, line in rows:
        groups.setdefault((words, given), []).append((study, line))
    vocabulary = load_vocabulary(kind, folder)
    found = []
    asked = 0
    for (words, given), who in groups.items():
        category, how, decided, unused = _read(kind, words, given, vocabulary)
        nearest = ""
        if (how in ("not known", "broad word") or category not in vocabulary) and asked < MOST_NEAREST:
            asked += 1
            near = vocabulary.nearest(words)
            if category not in vocabulary:
                labels = {term.label.casefold(): term.category for term in vocabulary.terms.values()}
                near = labels.get(nearest_word(given.casefold(), labels) or "")
            near = None if near == category else near
            nearest = vocabulary.label(near) if near else ""
        studies = tuple(dict.fromkeys(study for study, _ in who))
        lines = tuple(line for _, line in who)
        label = vocabulary.label(category)
        found.append(
            Place(kind, words or given, category, label, how, decided, unused, nearest, studies, lines)
        )
    order = {word: i for i, word in enumerate(vocabulary.terms)}
    return sorted(found, key=lambda place: (order.get(place.category, len(order)), place.lines))


def _read(kind: Kind, words: str, given: str, vocabulary: Vocabulary) -> tuple[str, How, str, str]:
    """Return category, how it was found, the part that decided, and what was passed over."""
    category, broad, decided, unused = (_source if kind == "source" else _isolation)(words, vocabulary)
    if given:
        parts = [] if kind == "source" else [_steps(part, vocabulary) for part in words.split(";")]
        led = {category, *(isolation_category(steps) for steps in parts)}
        other = given not in led and category != NOT_REPORTED and breadth(category) == 0
        said = f"the words alone would go to {vocabulary.label(category)}" if other else ""
        if given not in vocabulary:
            said = f"{NO_CATEGORY}: a stratum of its own"
        return given, "given", "", said
    if category == NOT_REPORTED:
        told = bool(words) and not NOT_TOLD.search(words)
        return category, "not known" if told else "not reported", "", ""
    exact = normal_form(words) in (normal_form(category), normal_form(vocabulary.label(category)))
    return category, "broad word" if broad else "exact category" if exact else "synonym", decided, unused


def _source(words: str, vocabulary: Vocabulary) -> tuple[str, bool, str, str]:
    """Return category, whether it is a broad one, the part that decided, and what was passed over."""
    mentions = source_mentions(words, vocabulary)
    category = min((m.category for m in mentions), key=breadth, default=NOT_REPORTED)
    decided = next((m.words for m in mentions if m.category == category), "")
    rank = breadth(category)
    others = {m.words: m.category for m in mentions if m.category != category and breadth(m.category) == rank}
    passed = [f'"{as_written(words, part)}" ({vocabulary.label(word)})' for part, word in others.items()]
    passed += _denied(words, vocabulary)
    if mentions:
        passed += _not_read(words, lambda part: bool(vocabulary.found(part)))
    return category, category == UMBRELLA, as_written(words, decided), _passed_over(passed)


def _isolation(words: str, vocabulary: Vocabulary) -> tuple[str, bool, str, str]:
    """Return the same of an isolation: of several steps all have decided."""
    mentions, _ = isolation_mentions(words, vocabulary)
    category = isolation_category(steps_of(mentions))
    decided = list(dict.fromkeys(_step_as_written(words, m.words) for m in mentions))
    passed = _denied(words, vocabulary)
    if mentions:
        passed += _not_read(words, lambda part: bool(vocabulary.found(part) or _steps(part, vocabulary)))
    each = (isolation_mentions(part, vocabulary) for part in words.split(";"))
    broad = any(found and only_alone for found, only_alone in each)
    unused = _passed_over(passed)
    if category == COMBINED and (sign := ALTERNATIVES.search(words.casefold())):
        unused = ", ".join(filter(None, (f'"{sign[0]}" names alternatives, and no combination', unused)))
    return category, broad, " + ".join(decided if category == COMBINED else decided[:1]), unused


def _steps(words: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    return steps_of(isolation_mentions(words, vocabulary)[0])


def _step_as_written(words: str, step: str) -> str:
    """Return the words of a step; a spin that pellets vesicles is one by its force alone."""
    written = as_written(words, step)
    return written if written in words else f"a force of {PELLETING_FORCE:,} g or more"


def _not_read(words: str, is_read: Callable[[str], bool]) -> list[str]:
    """Return the parts of a text of which no word was read, those that say nothing left out."""
    parts = [part.strip(" ,.()") for part in JOINED.split(words)]
    if len(parts) < 2:
        return []
    said = [part for part in parts if set(normal_form(part).split()) - SAYS_NOTHING and _has_letters(part)]
    return [f'"{part}" (not known)' for part in said if not is_read(part)]


def _has_letters(part: str) -> bool:
    return sum(letter.isalpha() for letter in part) >= SHORTEST


def _denied(words: str, vocabulary: Vocabulary) -> list[str]:
    return [f'"{as_written(words, found.words)}" (said not to be it)' for found in denied(words, vocabulary)]


def passed_over(kind: Kind, words: str, folder: Path | None) -> str:
    """Return what of the words for a source or an isolation did not count for its category; "" if nothing.

    Examples
    --------
    >>> passed_over("source", "BMSC and ADSC", None), passed_over("source", "serum-free BMSC", None)
    ('"ADSC" (Adipose MSC) did not count', '')
    """
    return _read(kind, words, "", load_vocabulary(kind, folder))[3]


def _passed_over(parts: list[str]) -> str:
    return f"{', '.join(parts)} did not count" if parts else ""


def as_written(text: str, words: str) -> str:
    """Return the part of a text that has this normal form, as it is written there.

    Examples
    --------
    >>> as_written("hUC-MSC and platelet lysate", "huc msc")
    'hUC-MSC'
    """
    signs = [(letter.casefold(), at) for at, letter in enumerate(text) if letter.isalnum()]
    plain = "".join(letter for letter, _ in signs)
    wanted = "".join(words.split())
    start = plain.find(wanted)
    if not wanted or start < 0 or len(plain) != len(signs):
        return words
    return text[signs[start][1] : signs[start + len(wanted) - 1][1] + 1]
