"""Vocabularies of source and isolation: from the words of a paper to a category, and what each is called.

The words themselves are data (`vocabulary/*.csv` beside the codebook): a category, its label for tables and
plots, the group it belongs to, and the synonyms that papers use, separated by "|".
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from metaexo.errors import InputError
from metaexo.evidence.codebook import Stamp, find_vocabulary, stamp, vocabulary_rows
from metaexo.inputs import check_choice, is_blank

Kind = Literal["source", "isolation"]
VOCABULARIES: tuple[Kind, ...] = ("source", "isolation")
FILES = (*VOCABULARIES, "source_kind", "isolation_step")
"""Vocabularies of a folder: the categories of the sheets, and the finer words for both."""
NOT_REPORTED = "not_reported"
COMBINED = "combined"
PREPARATORY = "preparatory"
UMBRELLA = "msc_unspecified"
CELL_LINES = ("tumour_cell_line", "other_cell_line")
BROAD = ((UMBRELLA, *CELL_LINES), ("primary_cell",), ("tissue", "other"))
"""Sources that count where nothing more precise is named, the more precise first: "plasma of patients with
melanoma" is plasma, and "lung carcinoma cells" are no tissue."""
BLOOD, PLATELET = "plasma_serum", "platelet"
PELLETING_FORCE = 70_000
"""Centrifugal force, in g, from which a spin pellets small vesicles and counts as ultracentrifugation."""
CLEARING_FORCE = 1_000
"""Force, in g, below which a spin takes out cells only; as small a number of g may be a weight."""
LOW_SPEED, ULTRA = "low_speed_pellet", "ultracentrifugation"
OF_CELLS = re.compile(
    r"mesenchym|\b(?:stem|stromal|progenitor|epithelial|fluid|fluid derived) cells?\b|\bmscs?\b"
    r"|\bcells? (?:(?:isolated|derived|obtained|cultured) )?(?:of|from)\b"
)
"""Words that say that the vesicles are those of cells of a body fluid, not of the fluid."""

_HANDLED = (
    "cultured|expanded|grown|treated|pretreated|primed|preconditioned|stimulated|loaded|coated|supplemented"
)
DENIED_BEFORE = re.compile(
    r"(?<!and )(?<!or )\b(?:no|non|not|without|excluding|except|instead of|rather than) "
    r"(?:(?:from|of|the) )*$"
)
DENIED_BEHIND = re.compile(r" (?:free|depleted|negative)\b")
"""What stands before or behind a word that is named because it is not there: "non-adipose", "serum-free"."""
CULTURE_BEFORE = re.compile(rf"\b(?:{_HANDLED}|incubated) (?:in|with|by|on) (?:\w+ ){{0,2}}$")
CULTURE_BEHIND = re.compile(
    rf" (?:albumin|medium|media)\b| membrane (?:coated|hybrid|camouflaged|fused|cloaked)\b"
    rf"| (?:{_HANDLED})\b(?! (?:in|with|by|on|for|under|at|using|and|then)\b)(?= \w)"
)
MEDIUM = re.compile(r"\b(?:in|with) (?:\d+ )?(?:(?:human|pooled|autologous) )*$")
"""What stands around a word that says what cells lived in or were coated with: no source beside another."""
SERUM_OF_MEDIUM = frozenset(("fbs", "fetal bovine serum"))
FARTHEST = 80
"""Letters before a mention in which such words are looked for."""
INDUCED = "ipsc"
FROM = ("derived", "cell derived", "cells derived")
ALTERNATIVES = re.compile(r"\b(?:or|vs|versus)\b")

SPECIES = "(?:hu|[hmrbpc])"
"""What stands before the short name of cells: hADSC, mBMSC, rMSC, bMSC, pMSC, cMSC."""
FIRST_WITHOUT_SPACES = "\u2e80"
"""First letter of the writing systems that put no spaces between words, such as Chinese."""
LIKE = 0.8
MOST_READ = 20_000
MOST_PATTERNS = 8192
SHORT, LIKE_SHORT = 7, 0.86
"""Words of fewer letters than this must be more alike: "liver" is no "olive"."""
NEAREST_IN = 200
"""Letters of a text in which a near word is looked for."""
_AMERICAN = (("tumour", "tumor"), ("foet", "fet"), ("haem", "hem"), ("leukaem", "leukem"), ("oedem", "edem"))
NOT_TOLD = re.compile(
    r"\bnot (?:been )?(?:shown|stated|reported|named|given|specified|described|mentioned|available)\b"
    r"|\bnot (?:clear|known|seen|told|applicable|in (?:the )?excerpt)\b"
    r"|\bun(?:known|specified|clear|reported|disclosed|named)\b"
    r"|^\W*(?:nr|ns|n/?a|nan|none|no)?\W*$",
    re.IGNORECASE,
)
"""Words that say that something was not reported."""
_FORCE = re.compile(r"(?<![\w.,])(\d{1,3}(?:[ ,.]\d{3})+|\d+)\s*(?:[x×]\s*)?g\b")


@dataclass(frozen=True, slots=True)
class Term:
    """One category of a vocabulary."""

    category: str  # the word that stands in the sheets
    label: str  # what a reader of a table or a plot sees
    group: str  # the larger group that the category belongs to
    synonyms: tuple[str, ...] = ()  # words of papers that mean this category
    # words that mean it only where nothing more precise is named, such as "kit"
    synonyms_if_alone: tuple[str, ...] = ()
    # words that mean it where the text is about cells: cells of amniotic fluid, and not the fluid
    synonyms_of_cells: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()  # steps of an isolation that count as this one, beside the word itself


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A synonym that a text names: where it begins in the normal form of the text, and what it means."""

    at: int
    category: str
    alone: bool  # whether it counts only where nothing more precise is named
    words: str  # as they stand in the normal form

    @property
    def end(self) -> int:
        """Where it ends in the normal form of the text."""
        return self.at + len(self.words)

    @property
    def broad(self) -> tuple[bool, int]:
        """How little it says; the name of a cell line ("HEK293T") says what it is."""
        return self.alone, 0 if self.category in CELL_LINES else breadth(self.category)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The categories of one kind (sources, isolation methods) and the synonyms of each."""

    terms: Mapping[str, Term]
    # a piece of a synonym, the synonym, its category, whether it counts only alone, whether it is an acronym
    _synonyms: tuple[tuple[str, str, str, bool, bool], ...] = field(init=False, repr=False)
    _words: Mapping[str, str] = field(init=False, repr=False)
    _read: dict[str, list[Mention]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = []
        for term in self.terms.values():
            for alone, words in ((False, term.synonyms), (True, term.synonyms_if_alone)):
                found += [(normal_form(word), term.category, alone, _is_acronym(word)) for word in words]
        found.sort(key=lambda entry: -len(entry[0]))
        synonyms = tuple((max(entry[0].split(), key=len), *entry) for entry in found if entry[0])
        object.__setattr__(self, "_synonyms", synonyms)
        by_word = {word: category for word, category, _, _ in reversed(found) if category != PREPARATORY}
        object.__setattr__(self, "_words", MappingProxyType(by_word))

    def __contains__(self, category: object) -> bool:
        return category in self.terms

    def label(self, category: str) -> str:
        """Return the label of a category; a category that it does not have is its own label."""
        return self.terms[category].label if category in self.terms else category

    def group(self, category: str) -> str:
        """Return the group of a category; a category that it does not have is its own group."""
        return self.terms[category].group if category in self.terms else category

    def mentions(self, text: str) -> list[tuple[int, str, bool]]:
        """Return position, category and whether the synonym counts only alone.

        No letter of the text is used twice: of synonyms that overlap the longest counts ("density gradient
        ultracentrifugation" is one mention), but a broad word never before a precise one it only touches:
        "UC-MSC exosomes" names the umbilical cord, not "MSC exosomes".
        """
        return [(found.at, found.category, found.alone) for found in self.found(text)]

    def found(self, text: str) -> list[Mention]:
        """Return the mentions of a text with the words that make them, in the order of the text."""
        if text not in self._read:
            if len(self._read) >= MOST_READ:
                self._read.clear()
            self._read[text] = self._mentions(text)
        return list(self._read[text])

    def _mentions(self, text: str) -> list[Mention]:
        whole = normal_form(text)
        named = [
            Mention(match.start(), category, alone, match.group())
            for piece, word, category, alone, acronym in self._synonyms
            if piece in whole
            for match in _pattern(word, acronym).finditer(whole)
        ]
        across: dict[int, tuple[bool, int]] = {}  # by letter: how little the narrowest says that goes across
        for one in named:
            for at in range(one.at + 1, one.end):
                across[at] = min(across.get(at, one.broad), one.broad)
        taken = bytearray(len(whole))
        found = []
        for one in named:
            touched = min(across.get(one.at, one.broad), across.get(one.end, one.broad)) < one.broad
            if not touched and not any(taken[one.at : one.end]):
                taken[one.at : one.end] = b"x" * len(one.words)
                found.append(one)
        return sorted(found)

    def of_cells(self, text: str) -> dict[int, str]:
        """Return where a text about cells names what they come from, such as a body fluid, with a category.

        Examples
        --------
        >>> sources = load_vocabulary("source")
        >>> sources.of_cells("stem cells of amniotic fluid"), sources.of_cells("amniotic fluid")
        ({14: 'placenta_amnion_msc'}, {})
        """
        words = normal_form(text)
        if not OF_CELLS.search(words):
            return {}
        return {
            match.start(): term.category
            for term in self.terms.values()
            for word in term.synonyms_of_cells
            for match in _pattern(normal_form(word), False).finditer(words)
        }

    def nearest(self, text: str) -> str | None:
        """Return the category whose synonym is most like a word, or a few words, of a text; None if none is.

        Of a text that says what something is not ("non-adipose MSC") there is none.

        Examples
        --------
        >>> load_vocabulary("isolation").nearest("ultracentrifugashun at 100k")
        'ultracentrifugation'
        """
        if denied(text, self):
            return None
        words = normal_form(text[:NEAREST_IN]).split()
        parts = {
            " ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, min(i + 4, len(words) + 1))
        }
        found = (
            (difflib.SequenceMatcher(None, part, word).ratio(), word)
            for part in parts
            if len(part) > 3
            for word in difflib.get_close_matches(
                part, self._words, n=1, cutoff=LIKE if len(part) >= SHORT else LIKE_SHORT
            )
        )
        best = max(found, default=None)
        return self._words[best[1]] if best else None


def _is_acronym(word: str) -> bool:
    """Return whether a synonym is a short name of cells, which papers write with a species before it."""
    return sum(letter.isupper() for letter in word) >= 2 and " " not in word


@lru_cache(maxsize=MOST_PATTERNS)
def _pattern(word: str, acronym: bool) -> re.Pattern[str]:
    """Return what finds a synonym: joined or apart, one or several, with the species before it."""
    before = f"(?:{SPECIES} ?)?" if acronym else ""
    body = re.escape(word).replace("\\ ", " ?")
    if word >= FIRST_WITHOUT_SPACES:
        return re.compile(body)
    after = "" if word.endswith("s") or not word[-1:].isascii() else "(?: ?s)?" if acronym else "s?"
    return re.compile(rf"(?<!\w){before}{body}{after}(?!\w)")


def load_vocabulary(name: str, folder: Path | None = None) -> Vocabulary:
    """Return the vocabulary of sources or of isolation methods.

    Use it for labels and groups of categories.

    Parameters
    ----------
    name : {"source", "isolation", "source_kind", "isolation_step"}
        Which vocabulary: the categories of the sheets, finer sources (plasma and serum apart), or the steps
        that decide an isolation, those that decide first before the others.
    folder : Path, optional
        Folder of sheets with a vocabulary of its own.

    Returns
    -------
    Vocabulary
        `terms` by category, `label()`, `group()`, and `mentions()` of its synonyms in a text.

    Examples
    --------
    >>> load_vocabulary("source").label("adipose_msc")
    'Adipose MSC'
    """
    check_choice("vocabulary", name, FILES)
    return _load(stamp(find_vocabulary(name, folder)))


@lru_cache(maxsize=8)
def _load(vocabulary: Stamp) -> Vocabulary:
    terms = [_term(row) for row in vocabulary_rows(vocabulary[0], ("category", "label", "group"))]
    return Vocabulary({term.category: term for term in terms})


def _term(row: Mapping[str, str | None]) -> Term:
    def words(column: str) -> tuple[str, ...]:
        return tuple(word for word in (row.get(column) or "").split("|") if word.strip())

    return Term(
        (row["category"] or "").strip(),
        (row["label"] or "").strip(),
        (row["group"] or "").strip(),
        words("synonyms"),
        words("synonyms_if_alone"),
        words("synonyms_of_cells"),
        words("steps"),
    )


def normal_form(text: str) -> str:
    """Return text in small letters, words and numbers apart, everything else a single space."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for british, american in _AMERICAN:
        text = text.replace(british, american)
    text = re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", text)
    return re.sub(r"[\W_]+", " ", text).strip()


def isolation_steps(text: str, folder: Path | None = None) -> tuple[str, ...]:
    """Return the isolation steps that a text names, in order, as categories.

    Use it to derive `isolation_category` from the words of a paper. Low-speed spins and filters of 0.2 to
    0.8 µm prepare the sample and are not steps; a spin of at least 70,000 g is ultracentrifugation.
    "Differential centrifugation" and "kit" count only where nothing more precise is named; of differential
    centrifugation the largest force decides, and below 70,000 g it is a low-speed pellet. The same step
    twice in a row is one step. A word that is not known names no step: ``unclear`` says so.

    Parameters
    ----------
    text : str
        One protocol in the words of the paper.
    folder : Path, optional
        Folder of sheets with a vocabulary of its own.

    Returns
    -------
    tuple of str
        Categories; empty if no isolation step is named.

    Examples
    --------
    >>> isolation_steps("ultra-centrifugation at 100,000 g")
    ('ultracentrifugation',)
    >>> isolation_steps("300 g, 2,000 g, 0.22 µm filter, 100,000 g twice, then SEC")
    ('ultracentrifugation', 'size_exclusion')
    >>> isolation_steps("filtration, 8% PEG8000, 10,000 g")
    ('precipitation',)
    >>> isolation_steps("differential centrifugation (300 g, 2,000 g, 10,000 g)")
    ('low_speed_pellet',)
    """
    return _named(_text(text, "an isolation"), load_vocabulary("isolation", folder))[0]


def _text(text: object, what: str) -> str:
    """Return a text of a paper; a blank cell is an empty text."""
    if is_blank(text):
        return ""
    if not isinstance(text, str):
        raise InputError(
            f"{what} is {text!r}"[:200] + f", of type {type(text).__name__}",
            "one text, the words of a paper",
            "for a column of texts ask for each: [source_category(text) for text in column]",
        )
    return text


def _named(text: str, vocabulary: Vocabulary) -> tuple[tuple[str, ...], bool]:
    """Return the steps that a text names, and whether only words that count alone name them."""
    found, only_alone = isolation_mentions(text, vocabulary)
    return steps_of(found), bool(found) and only_alone


def steps_of(found: Iterable[Mention]) -> tuple[str, ...]:
    """Return the steps of an isolation that are mentioned, the same step twice in a row once."""
    steps: list[str] = []
    for mention in found:
        if not steps or mention.category != steps[-1] or mention.category == "other":
            steps.append(mention.category)
    return tuple(steps)


def isolation_mentions(text: str, vocabulary: Vocabulary) -> tuple[list[Mention], bool]:
    """Return what a text names of isolation steps, and whether only words that count alone name them.

    A centrifugal force that pellets vesicles is a mention of ultracentrifugation; a step that was not done
    ("UC, not SEC") is none.
    """
    normal = unicodedata.normalize("NFKC", text).casefold()
    plain = _FORCE.sub(
        lambda match: " ultracentrifugation " if _force(match) >= PELLETING_FORCE else " ", normal
    )
    whole = normal_form(plain)
    found = [
        mention
        for mention in vocabulary.found(plain)
        if mention.category != PREPARATORY and not _is_denied(whole, mention)
    ]
    only_alone = all(mention.alone for mention in found)
    if not only_alone:
        found = [mention for mention in found if not mention.alone]
    elif LOW_SPEED in vocabulary and max(map(_force, _FORCE.finditer(normal)), default=0) >= CLEARING_FORCE:
        # differential centrifugation whose largest force is given, and is not that of an ultracentrifuge
        low = [replace(m, category=LOW_SPEED) if m.category == ULTRA else m for m in found]
        found, only_alone = low, low == found
    return found, only_alone


def _force(match: re.Match[str]) -> int:
    """Return the centrifugal force that a text names, in g."""
    return int(re.sub(r"\D", "", match.group(1)))


def isolation_methods(text: str, folder: Path | None = None) -> tuple[tuple[str, ...], ...]:
    """Return the steps of every method that a comparison names; methods are separated by ";".

    Parameters
    ----------
    text : str
        The methods in the words of the paper.
    folder : Path, optional
        Folder of sheets with a vocabulary of its own.

    Returns
    -------
    tuple of tuple of str
        Steps of each method, in order; a part that names no step is skipped.

    Examples
    --------
    >>> isolation_methods("UC; TFF + SEC")
    (('ultracentrifugation',), ('tangential_flow', 'size_exclusion'))
    """
    parts = (isolation_steps(part, folder) for part in _text(text, "an isolation").split(";"))
    return tuple(steps for steps in parts if steps)


def isolation_category(steps: str | Iterable[str]) -> str:
    """Return the category of a list of steps: the step, "combined" for several, "not_reported" for none.

    Parameters
    ----------
    steps : iterable of str, or str
        Categories of the steps, in order. One text is read as the words of a paper, or is a category.

    Returns
    -------
    str
        The category.

    Examples
    --------
    >>> isolation_category(("ultracentrifugation",))
    'ultracentrifugation'
    >>> isolation_category(("ultrafiltration", "size_exclusion"))
    'combined'
    >>> isolation_category(()), isolation_category("UC")
    ('not_reported', 'ultracentrifugation')
    """
    if is_blank(steps):
        return NOT_REPORTED
    if isinstance(steps, str):
        if steps in load_vocabulary("isolation"):
            return steps
        steps = isolation_steps(steps)
    given: Any = steps
    if not isinstance(given, Iterable) or isinstance(given, Mapping) or getattr(given, "ndim", 1) != 1:
        raise InputError(f"the steps are of type {type(given).__name__}", "a list of categories, or one text")
    listed = tuple(given)
    if not all(isinstance(step, str) for step in listed):
        raise InputError(
            f"the steps are {listed!r}"[:200], "categories of isolation, as isolation_steps gives them"
        )
    if not listed:
        return NOT_REPORTED
    return listed[0] if len(listed) == 1 else COMBINED


def isolation_main_step(steps: str | Iterable[str], folder: Path | None = None) -> str:
    """Return the step that decides what a list of isolation steps separates vesicles by.

    Use it to group preparations whose protocols have several steps: "combined" hides that most of them are
    size exclusion with a concentration before or after it. The step that selects most decides, whatever its
    place: capture of a surface (antibody, ligand, sorting); density; field flow; a chip; a membrane-affinity
    column; other chromatography; size exclusion; two phases; precipitation; ultracentrifugation; a kit of
    unknown principle; tangential flow; ultrafiltration, which mostly only concentrates; a
    pellet of a low-speed spin. The order is that of the rows of `vocabulary/isolation_step.csv`.
    "Differential centrifugation" without a force is taken as ultracentrifugation.

    Parameters
    ----------
    steps : iterable of str, or str
        Words of the steps, as :func:`isolation_steps` gives them or as in that vocabulary. One text is read
        as the words of a paper, of one protocol, or is such a word.
    folder : Path, optional
        Folder of sheets with a vocabulary of its own.

    Returns
    -------
    str
        A word of the vocabulary; "not_reported" if there is no step.

    Raises
    ------
    UnknownChoiceError
        If a list holds a word that is no step.

    Examples
    --------
    >>> isolation_main_step(("ultrafiltration", "size_exclusion")), isolation_main_step("UC, then SEC")
    ('size_exclusion', 'size_exclusion')
    >>> isolation_main_step("exoRNeasy kit"), isolation_main_step("")
    ('membrane_affinity_column', 'not_reported')
    """
    if is_blank(steps):
        return NOT_REPORTED
    order = _deciding(*_both(folder))
    if isinstance(steps, str):
        if steps in order:
            return order[steps][1]
        steps = _named(steps, _finer(folder))[0]
    given: Any = steps
    if not isinstance(given, Iterable) or isinstance(given, Mapping) or getattr(given, "ndim", 1) != 1:
        raise InputError(f"the steps are of type {type(given).__name__}", "a list of steps, or one text")
    listed = list(given)
    for step in listed:
        check_choice("step of an isolation", step, tuple(order))
    return min((order[step] for step in listed), default=(0, NOT_REPORTED))[1]


def _both(folder: Path | None) -> tuple[Stamp, Stamp]:
    """Return the files of the categories of isolation and of the steps that decide."""
    broad, fine = (stamp(find_vocabulary(name, folder)) for name in ("isolation", "isolation_step"))
    return broad, fine


@lru_cache(maxsize=8)
def _deciding(broad: Stamp, fine: Stamp) -> Mapping[str, tuple[float, str]]:
    """Return for each word of a step its place in the order of deciding, and the word it decides as.

    A category of a folder's own that no row of the steps takes in decides as itself, just before "other".
    """
    found: dict[str, tuple[float, str]] = {}
    for rank, term in enumerate(_load(fine).terms.values()):
        found |= {step: (rank, term.category) for step in (*term.steps, term.category) if step not in found}
    last = found.get("other", (len(found), ""))[0] - 0.5
    own = [word for word in _load(broad).terms if word not in found and word != PREPARATORY]
    return MappingProxyType(found | {word: (last, word) for word in own})


def isolation_step_label(word: str, folder: Path | None = None) -> str:
    """Return the label of a step that decides, or of the category that decides as itself.

    Examples
    --------
    >>> isolation_step_label("size_exclusion")
    'Size exclusion'
    """
    steps = load_vocabulary("isolation_step", folder)
    return steps.label(word) if word in steps else load_vocabulary("isolation", folder).label(word)


def _finer(folder: Path | None) -> Vocabulary:
    """Return the vocabulary of isolation with the finer words of its steps in the place of the broad ones."""
    return _with_finer(*_both(folder))


@lru_cache(maxsize=8)
def _with_finer(broad: Stamp, fine: Stamp) -> Vocabulary:
    own = {normal_form(word): term for term in _load(fine).terms.values() for word in term.synonyms}
    terms = {
        term.category: replace(term, synonyms=tuple(w for w in term.synonyms if normal_form(w) not in own))
        for term in _load(broad).terms.values()
    }
    for term in _load(fine).terms.values():
        known = terms.get(term.category)
        terms[term.category] = replace(known, synonyms=(*known.synonyms, *term.synonyms)) if known else term
    return Vocabulary(terms)


def source_kind(text: str, category: str, folder: Path | None = None) -> str:
    """Return the label of the source of a row, plasma, serum and cord blood apart where the words say so.

    Examples
    --------
    >>> source_kind("human serum", "plasma_serum"), source_kind("plasma and serum", "plasma_serum")
    ('Serum', 'Plasma or serum')
    """
    label = load_vocabulary("source", folder).label(category)
    if category != BLOOD or is_blank(text):
        return label
    kinds = load_vocabulary("source_kind", folder)
    words = normal_form(text)
    if "cord blood" in words:
        return kinds.label("cord_blood")
    named = [word for word in ("plasma", "serum") if re.search(rf"\b{word}\b", words)]
    return kinds.label(named[0]) if len(named) == 1 else label


def source_category(text: str, folder: Path | None = None) -> str:
    """Return the category of the source that a text names.

    The source named first counts, but a precise one goes before a broad one ("MSC, tissue not named", a cell
    line, a tissue): "plasma of patients with melanoma" is plasma. A text that names no known source is
    "not_reported".

    Parameters
    ----------
    text : str
        The source in the words of the paper.
    folder : Path, optional
        Folder of sheets with a vocabulary of its own.

    Returns
    -------
    str
        The category.

    Examples
    --------
    >>> source_category("human adipose tissue-derived MSC exosomes")
    'adipose_msc'
    >>> source_category("mesenchymal stem cell-derived exosomes")
    'msc_unspecified'
    >>> source_category("exosome product (source not shown)")
    'not_reported'
    """
    found = source_mentions(_text(text, "a source"), load_vocabulary("source", folder))
    return min((mention.category for mention in found), key=breadth, default=NOT_REPORTED)


def source_mentions(text: str, vocabulary: Vocabulary) -> list[Mention]:
    """Return the sources that a text names, in its order.

    What is named because it is not there ("serum-free", "non-adipose") is none; what cells were grown in,
    treated or coated with is none beside another source; iPSC are no longer the cells they were made of.
    """
    cells = vocabulary.of_cells(text)
    whole = normal_form(text)
    named = [replace(found, category=cells.get(found.at, found.category)) for found in vocabulary.found(text)]
    named = [mention for mention in named if not _is_denied(whole, mention)]
    named = [one for i, one in enumerate(named) if not _made_into(whole, one, named[i + 1 : i + 2])]
    return [mention for mention in named if not _is_of_culture(whole, mention, named)] or named


def denied(text: str, vocabulary: Vocabulary) -> list[Mention]:
    """Return what a text names because it is not there, but for a medium without it ("serum-free").

    Examples
    --------
    >>> [mention.words for mention in denied("UC (not SEC)", load_vocabulary("isolation"))]
    ['sec']
    """
    whole = normal_form(text)
    found = [mention for mention in vocabulary.found(text) if mention.category != PREPARATORY]
    return [mention for mention in found if DENIED_BEFORE.search(_before(whole, mention))]


def _is_denied(whole: str, mention: Mention) -> bool:
    """Return whether the normal form of a text says that what it mentions is not there."""
    before = DENIED_BEFORE.search(_before(whole, mention))
    return bool(before or DENIED_BEHIND.match(whole, mention.end))


def _before(whole: str, mention: Mention) -> str:
    """Return the words that stand just before a mention."""
    return whole[max(mention.at - FARTHEST, 0) : mention.at]


def _is_of_culture(whole: str, mention: Mention, named: Sequence[Mention]) -> bool:
    """Return whether a mention says what the cells of a text lived in or were handled with."""
    before = _before(whole, mention)
    cells = named[0].at < mention.at and named[0].category not in (BLOOD, PLATELET)
    medium = cells and mention.category in (BLOOD, PLATELET) and MEDIUM.search(before)
    around = CULTURE_BEFORE.search(before) or CULTURE_BEHIND.match(whole, mention.end)
    return bool(medium or around or mention.words in SERUM_OF_MEDIUM)


def _made_into(whole: str, one: Mention, then: Sequence[Mention]) -> bool:
    """Return whether the next cells, if any, were made of these: "fibroblast-derived iPSC"."""
    between = [whole[one.end : other.at].strip() for other in then if other.category == INDUCED]
    return any(words in FROM or (not words and one.words.endswith("derived")) for words in between)


def breadth(category: str) -> int:
    """Return how little a source says: 0 for one that is precise."""
    return next((i for i, broad in enumerate(BROAD, 1) if category in broad), 0)


def unclear(kind: Kind, text: str, folder: Path | None = None) -> str:
    """Return what is unclear of the category that a text of a paper leads to; "" if nothing is.

    Use it before a table is grouped by source or by isolation: a word that the vocabulary does not know
    would count as not reported, and "mesenchymal stem cell" or "commercial kit" says little.

    Examples
    --------
    >>> unclear("source", "unicorn horn"), unclear("source", "MSC"), unclear("source", "not reported")
    ('no category', 'unspecific', '')
    >>> unclear("isolation", "a commercial kit"), unclear("isolation", "SEC")
    ('unspecific', '')
    """
    if NOT_TOLD.search(text):
        return ""
    if kind == "source":
        category = source_category(text, folder)
        broad = category == UMBRELLA
    else:
        vocabulary = load_vocabulary("isolation", folder)
        methods = [_named(part, vocabulary) for part in text.split(";")]
        category = NOT_REPORTED if not any(steps for steps, _ in methods) else ""
        broad = any(only_alone for _, only_alone in methods)
    return "no category" if category == NOT_REPORTED else "unspecific" if broad else ""
