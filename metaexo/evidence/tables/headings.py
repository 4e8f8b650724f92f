"""From the headings of a table to the columns of the codebook; what is not certain is asked for."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from metaexo.errors import (
    DuplicateColumnError,
    InputError,
    MetaexoError,
    MissingColumnError,
    UnclearColumnError,
    UnknownChoiceError,
)
from metaexo.evidence.codebook import Column, Stamp, stamp, vocabulary_rows
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.reading import letters
from metaexo.evidence.tables.cells import Grid
from metaexo.evidence.tables.scales import AMBIGUOUS, AS_IT_STANDS, Scale, scale_of

OURS = Path(__file__).with_name("headings.csv")
OWN = Path("vocabulary", "heading.csv")
"""Where the words of headings stand: those of metaexo, and those of a folder of sheets."""
ARMS = ("treatment", "control")
HEADER_WITHIN = 40
"""Rows at the top of a sheet among which the header is looked for."""
LONGEST_HEADING = 120
LONGEST_PHRASE = 6
MISSPELT = 0.85
"""Likeness from which an unknown heading is taken for a misspelt one."""
TOGETHER: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("mean", "sd"): ("mean", "sd"),
    ("mean", "se"): ("mean", "se"),
    ("mean", "n"): ("mean", "n"),
    ("mean", "sd", "n"): ("mean", "sd", "n"),
    ("mean", "se", "n"): ("mean", "se", "n"),
    ("mean", "ci"): ("mean", "ci_low", "ci_high"),
    ("median", "iqr"): ("median", "q1", "q3"),
    ("median", "q1", "q3"): ("median", "q1", "q3"),
    ("median", "range"): ("median", "min", "max"),
    ("median", "min", "max"): ("median", "min", "max"),
    ("events", "n"): ("events", "n"),
    ("n", "n"): ("events", "n"),
    ("ci",): ("ci_low", "ci_high"),
    ("iqr",): ("q1", "q3"),
    ("ci_low", "ci"): ("ci_low",),
    ("ci_high", "ci"): ("ci_high",),
    ("range",): ("min", "max"),
}
"""Statistics that stand in one cell, as headings name them, and the columns that they are."""
OF_ARMS = frozenset(("mean", "sd", "n", "events", "median"))
"""Statistics of which one at least stands in a table of arms."""
TESTS = ("t", "f")
LETTERS = ("g", "d")
"""Headings of one letter that are a test, and a standardised difference, where the columns beside say so."""
COHEN = ("cohens d", "cohen d", "cohen s d")
NUMBERS_ALONE = frozenset(
    ("effect", "effect_se", "effect_ci_low", "effect_ci_high", "p_value", "difference", "statistic", "df")
)
"""Columns of which a word in brackets may change what the number is."""
BESIDE = frozenset(
    [
        *(
            "%",
            "mm",
            "cm",
            "m",
            "µm",
            "μm",
            "um",
            "nm",
            "g",
            "mg",
            "kg",
            "ng",
            "pg",
            "ml",
            "fold",
            "points",
            "score",
        ),
        *(
            "day",
            "days",
            "d",
            "week",
            "weeks",
            "month",
            "months",
            "hours",
            "h",
            "years",
            "vs",
            "versus",
            "minus",
        ),
        *(
            "test",
            "t",
            "student",
            "students",
            "welch",
            "s",
            "anova",
            "unpaired",
            "exact",
            "iv",
            "mh",
            "random",
            "fixed",
        ),
        *(
            "effects",
            "model",
            "adjusted",
            "adj",
            "unadjusted",
            "crude",
            "hedges",
            "g",
            "reported",
            "as",
            "printed",
        ),
        *("from", "paper", "calculated", "computed", "and", "to", "between"),
    ]
)
"""Words in brackets beside an effect or a p-value that leave its number what it is."""
IN_DOUBT = frozenset(("variance", "var", "pooled", "cv"))
"""Words in brackets beside a statistic of an arm that make it another one."""
OF_EFFECT = {"se": "effect_se", "ci_low": "effect_ci_low", "ci_high": "effect_ci_high"}
OF_GROUP = re.compile(r"\s*[(\[]\s*n\s*=\s*(\d+)\s*[)\]]", re.IGNORECASE)
"""The size of a group in its heading."""
IN_ONE_CELL = ("±", "(", "[", "/", "of")
"""What joins two statistics of one cell in a heading."""
NUMBERED = ("1", "2")
"""Numbers that stand for arms."""
GENERIC = ("treated", "treat", "treatment")
"""Words of the treated arm that a control may have too: "PBS-treated"."""
NOT_BEFORE = frozenset(
    ("without", "no", "non", "not", "minus", "lacking", "ohne", "kein", "keine", "sans", "sin")
)
NOT_BEHIND = frozenset(("minus", "free", "depleted", "negative", "deficient", "frei"))
"""Words before and behind a word of the treated arm by which it is another: "without exosomes", "EV-free"."""
ABBREVIATED = re.compile(r"\b(?:ET|DE)\b")
"""Écart type and desviación estándar, in capitals: "et" and "de" are other words."""
SINGLE = "\u3040-\u30ff\u3400-\u9fff"
"""Letters that are words of their own: Chinese puts no spaces between words."""
MINUS = re.compile(r"(?<=[^\W\d_])[-\u2212\u2013](?=[\s)\]]|$)")
"""A minus behind a word: "exo-" beside "exo+"."""
PACKAGES = (re.compile(r"(?:mean|sd|events|total) [12]"), re.compile(r"(?:m|sd|n)[12]i"))
"""Headings with 1 for the treated and 2 for the control, as RevMan and metafor have them."""
SAYS = {"treatment": "the exosomes", "control": "the control"}
SIZES = ("treatment_n", "control_n")
TOTALS = frozenset(("total", "overall", "both", "combined", "all", "altogether", "gesamt", "insgesamt"))
"""Words by which a size is that of both groups together."""
EACH = re.compile(r"\b(?:per|each|every|je|pro)\b|/\s*(?:group|arm|gruppe)\b", re.IGNORECASE)
"""Words by which a size is that of each group."""
LEGEND = re.compile(r"\b([12])\s*[=:]\s*([^,;.=:]+)")
"""What a number stands for, in a title or a remark."""
COUNTED = {"ai": "treatment_events", "ci": "control_events"}
"""Headings of tables for metafor, where both are there."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of headings."""

    arms: Mapping[str, str]
    statistics: Mapping[str, str]
    columns: Mapping[str, str]
    measures: Mapping[str, str]
    fillers: frozenset[str]
    distractors: frozenset[str]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a heading says."""

    columns: tuple[str, ...] = ()  # columns of the codebook; several where they stand in one cell
    arm: str = ""
    statistics: tuple[str, ...] = ()  # statistics without an arm, or with it
    measure: str = ""  # what the effects of the column are
    left: tuple[str, ...] = ()  # words that are not understood
    unit: str = ""
    scale: Scale = AS_IT_STANDS

    @property
    def sure(self) -> bool:
        """Whether every word is understood, and leads to columns."""
        return bool(self.columns) and not self.left


@dataclass(frozen=True, slots=True)
class Mapped:
    """One column of the table, and what it was read as."""

    at: int
    heading: str
    columns: tuple[str, ...] = ()  # empty: a column of the user's own
    shared: str = ""  # "each": one value holds for both columns; "half": it is the sum of two equal ones
    by_user: bool = False
    decimal: str = ""  # the decimal mark of its numbers, where the user says it
    note: str = ""
    scale: Scale = AS_IT_STANDS  # of its numbers, as the heading says


@dataclass(slots=True)
class Layout:
    """The header of a table, and what its columns are."""

    line: int  # row of the header
    start: int  # position of the first row below it
    headings: list[str]
    groups: list[str]
    mapped: list[Mapped] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)  # columns that a heading gives for every row
    sizes: dict[str, str] = field(default_factory=dict)  # of the arms, that a heading gives for every row
    notes: list[str] = field(default_factory=list)
    problems: list[SheetProblem] = field(default_factory=list)

    def taken(self) -> set[str]:
        """Return the columns of the codebook that the table has."""
        return {name for column in self.mapped for name in column.columns}


def load_headings(folder: Path | None = None) -> Vocabulary:
    """Return the words of headings; a folder may bring its own in `vocabulary/heading.csv`."""
    own = folder / OWN if folder is not None else OURS
    return _load(stamp(own if own.is_file() else OURS))


@lru_cache(maxsize=8)
def _load(file: Stamp) -> Vocabulary:
    kinds: dict[str, dict[str, str]] = {}
    for row in vocabulary_rows(file[0], ("read_as", "kind", "synonyms")):
        words = kinds.setdefault(row["kind"], {})
        words.update({" ".join(tokens(word)): row["read_as"] for word in row["synonyms"].split("|")})
    arms, statistics, columns, measures = (
        MappingProxyType(kinds.get(kind, {})) for kind in ("arm", "statistic", "column", "measure")
    )
    return Vocabulary(
        arms,
        statistics,
        columns,
        measures,
        frozenset(kinds.get("filler", {})),
        frozenset(kinds.get("distractor", {})),
    )


def tokens(heading: str) -> list[str]:
    """Return the words of a heading in small letters, numbers and signs apart.

    Examples
    --------
    >>> tokens("EV mean (SD)"), tokens("n1"), tokens("meanExo +/- S.E.M.")
    (['ev', 'mean', '(', 'sd', ')'], ['n', '1'], ['mean', 'exo', '±', 's', 'e', 'm'])
    """
    text = unicodedata.normalize("NFKC", re.sub("[™®©]", "", heading[:LONGEST_HEADING]))
    text = re.sub(r"\+\s*/?\s*[-\u2212\u2013]", "±", text)
    text = ABBREVIATED.sub("sd", text)
    text = MINUS.sub(" minus ", re.sub(r"\bw/o\b", "without", text))
    text = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", text)
    return re.findall(rf"[{SINGLE}]|[^\W\d_{SINGLE}]+|\d+|[±%/()\[\]]", text.casefold())


def meaning(heading: str, known: Mapping[str, Column], words: Vocabulary) -> Meaning:
    """Return what a heading says: a column, statistics of an arm, or a measure of effect.

    Examples
    --------
    >>> from metaexo.evidence.codebook import load_codebook
    >>> known = load_codebook().sheets["outcomes"].columns
    >>> meaning("EV mean (SD)", known, load_headings()).columns
    ('treatment_mean', 'treatment_sd')
    >>> meaning("N control", known, load_headings()).columns
    ('control_n',)
    """
    if heading in known:
        return Meaning((heading,))
    found = tokens(heading)
    rest, scale = scale_of(found)
    if rest != found:
        said = _meaning(rest, known, words)
        columns = said.columns or (
            () if said.arm else tuple(OF_EFFECT.get(part, part) for part in said.statistics)
        )
        doubtful = scale.log and {*rest} & {*AMBIGUOUS} and "effect" in columns
        if doubtful:  # a risk ratio, or a response ratio
            return Meaning(("effect",), left=("log",))
        if not said.left and columns and scale.fits(columns, said.measure):
            return replace(said, scale=scale.joined(said.scale))
    return _meaning(found, known, words)


def _meaning(found: Sequence[str], known: Mapping[str, Column], words: Vocabulary) -> Meaning:
    """Return what the words of a heading say."""
    plain = [token for token in found if token not in "()[]/"]
    bare, unit = _without_brackets(found)
    by_name = {" ".join(tokens(name)): name for name in known}
    in_brackets = _statistics(unit, known, words)
    within = in_brackets.statistics
    beside = tuple(f"effect_{part}" for part in TOGETHER.get(within, within) if part in OF_EFFECT)
    for phrase, inside in ((" ".join(plain), ()), (" ".join(bare), tuple(unit))):
        measure = words.measures.get(phrase, "")
        scale = Scale(cohen=phrase in COHEN)
        said = " ".join(inside)
        if said in words.measures and (measure or words.columns.get(phrase) == "effect"):
            scale = Scale(cohen=said in COHEN)
            return Meaning(("effect",), measure=measure or words.measures[said], scale=scale)
        if inside and within:  # "mean (SD)": what stands in brackets is no unit
            if beside and (measure or words.columns.get(phrase) == "effect"):
                left = _not_known([*in_brackets.left], words)
                scale = replace(scale, percent=measure == "risk_difference" and _in_percent(inside))
                return Meaning(("effect", *beside), measure=measure, left=left, scale=scale)
            continue
        name = "effect" if measure else by_name.get(phrase) or words.columns.get(phrase, "")
        if name not in known or (inside and name.startswith(ARMS) and known[name].is_number):
            continue
        left = _not_known(inside, words) if name in NUMBERS_ALONE else ()
        percent = measure == "risk_difference" and _in_percent(inside)
        test = phrase.split()[0] if name == "statistic" and phrase.split()[0] in TESTS else ""
        scale = replace(scale, percent=percent, test=test)
        return Meaning((name,), measure=measure, left=left, unit=said, scale=scale)
    return _of_measure(plain, bare, known, words) or _statistics(found, known, words)


def _in_percent(inside: Sequence[str]) -> bool:
    """Return whether a unit is per cent: that of "95 %" is the level of an interval."""
    return any(word == "%" and not (i and inside[i - 1].isdigit()) for i, word in enumerate(inside))


def _not_known(inside: Sequence[str], words: Vocabulary) -> tuple[str, ...]:
    """Return the words in brackets beside an effect or a p-value that may make it another number."""
    arms = [word for word in inside if word in words.arms and len(word) > 1]
    turned = bool(arms) and words.arms[arms[0]] == "control"
    return tuple(
        word
        for i, word in enumerate(inside)
        if (word in arms and turned)
        or (word not in arms and not word.isdigit() and word not in BESIDE | words.fillers)
        or _is_first_day(inside, i)
    )


def _is_first_day(inside: Sequence[str], i: int) -> bool:
    """Return whether a word is the 0 of "day 0", before treatment."""
    return inside[i] == "0" and i > 0 and inside[i - 1] in ("day", "d", "week", "hour", "h", "month")


def _of_measure(
    plain: Sequence[str], bare: Sequence[str], known: Mapping[str, Column], words: Vocabulary
) -> Meaning | None:
    """Return the meaning of "SE of SMD" or "OR CI low", which stand beside an effect, and of "SMD ± SE"."""
    for size in range(min(LONGEST_PHRASE, len(plain) - 1), 0, -1):
        for i in range(len(plain) - size + 1):
            phrase = " ".join(plain[i : i + size])
            if phrase in words.measures or (phrase in LETTERS and phrase in bare):
                said = _statistics([*plain[:i], *plain[i + size :]], {}, words)
                names = tuple(OF_EFFECT.get(part, "") for part in said.statistics)
                if names and not said.left and not said.arm and {*names} <= {*known}:
                    both = "±" in plain and phrase in words.measures
                    scale = Scale(cohen=phrase in COHEN) if both else AS_IT_STANDS
                    whole = Meaning(("effect", *names), measure=words.measures.get(phrase, ""), scale=scale)
                    return whole if both else Meaning(names)
    return None


def _without_brackets(found: Sequence[str]) -> tuple[list[str], list[str]]:
    outside: list[str] = []
    inside: list[str] = []
    depth = 0
    for token in found:
        if token in "([":
            depth += 1
        elif token in ")]":
            depth = max(depth - 1, 0)
        else:
            (inside if depth else outside).append(token)
    return [token for token in outside if token != "/"], inside


def _statistics(found: Sequence[str], known: Mapping[str, Column], words: Vocabulary) -> Meaning:
    """Return the arm and the statistics of a heading, with the words that are not understood."""
    arms: list[str] = []
    absent: list[str] = []  # words that say that a group has no exosomes
    numbered: list[str] = []  # "1" and "2", which are arms where nothing else is
    statistics: list[str] = []
    left: list[str] = []
    unit: list[str] = []
    joined = True  # whether the next statistic stands in the same cell by what is written before it
    depth = i = 0
    while i < len(found):
        token = found[i]
        if token in IN_ONE_CELL or token in ")]" or token == "±":
            depth += (token in "([") - (token in ")]")
            joined = joined or token in IN_ONE_CELL
            i += 1
            continue
        for size in range(min(LONGEST_PHRASE, len(found) - i), 0, -1):
            phrase = " ".join(found[i : i + size])
            if phrase in words.statistics:
                amount = (
                    phrase == "total" and not arms and not numbered and {*found[i + 1 : i + 2]} - {*NUMBERED}
                )
                if amount or (statistics and not joined):
                    left.append(phrase)  # "total exosomes" is an amount, "exosome total" a group
                else:
                    statistics.append(words.statistics[phrase])
                joined = False
                break
            in_unit = depth > 0 and phrase.isdigit() and found[i - 1] not in "(["
            if phrase in words.arms and not in_unit:
                denied = _denied(found, i, size, words)
                kept = numbered if phrase.isdigit() else absent if denied else arms
                kept += denied or [phrase]
                break
        else:
            size = 1
            if token in words.distractors or (depth == 0 and token not in words.fillers):
                left.append(token)
            elif depth > 0:
                unit.append(token)
        i += size
    left, unit = ([word for word in several if word not in absent] for several in (left, unit))
    left += [word for at, word in enumerate(unit) if word in IN_DOUBT or _is_first_day(unit, at)]
    if arms:
        left += numbered  # "exosome 2" may be a second dose
    if not {words.arms[phrase] for phrase in arms} & {"control"}:
        left += absent  # "without exosomes" may be the control, and "PBS (no exosomes)" is
    if set(statistics) <= {"n", "events"} and statistics:
        left += unit  # a count has no unit
    of_arms = {words.arms[phrase] for phrase in arms or numbered}
    return _joined(of_arms, tuple(statistics), tuple(left), " ".join(unit), known) or Meaning(
        (), min(of_arms, default=""), tuple(statistics), left=tuple(left) or tuple(found)
    )


def _denied(found: Sequence[str], at: int, size: int, words: Vocabulary) -> list[str]:
    """Return the words by which the treated arm named at a place is said not to be it; none if it is."""
    phrase = found[at : at + size]
    if words.arms[" ".join(phrase)] != "treatment":
        return []
    before, behind = found[max(at - 1, 0) : at], found[at + size : at + size + 1]
    if {*before} & NOT_BEFORE:
        return [*before, *phrase]
    return [*phrase, *behind] if {*behind} & NOT_BEHIND else []


def arm_named(text: str, words: Vocabulary) -> str:
    """Return the one arm that a text names; "" of none or of both.

    Examples
    --------
    >>> words = load_headings()
    >>> arm_named("PBS-treated (no exosomes)", words), arm_named("size of the EV group", words)
    ('control', 'treatment')
    >>> arm_named("without exosomes", words)
    ''
    """
    found = tokens(text.partition("(")[0])
    named = [at for at, token in enumerate(found) if len(token) > 1 and token in words.arms]
    said = [found[at] for at in named if not _denied(found, at, 1, words)]
    arms = {words.arms[token] for token in said if token not in GENERIC} or {words.arms[t] for t in said}
    return arms.pop() if len(arms) == 1 else ""


def without_statistics(heading: str, words: Vocabulary) -> str:
    """Return the words of a heading that are no statistic: the group that has it.

    Examples
    --------
    >>> without_statistics("Model mean (SD)", load_headings()), without_statistics("N_Model", load_headings())
    ('model', 'model')
    """
    text = " ".join(token for token in tokens(heading) if token not in "±%()[]/")
    for phrase in sorted(words.statistics, key=len, reverse=True):
        text = re.sub(rf"(?<!\S){re.escape(phrase)}(?!\S)", " ", text)
    return " ".join(text.split())


def _joined(
    arms: set[str], statistics: tuple[str, ...], left: tuple[str, ...], unit: str, known: Mapping[str, Column]
) -> Meaning | None:
    """Return the meaning of statistics of one arm or none; None of both arms, or of a mixture not known."""
    parts = TOGETHER.get(statistics, statistics if len(statistics) == 1 else ())
    if len(arms) > 1 or (statistics and not parts):
        return None
    arm = min(arms, default="")
    columns = tuple(f"{arm}_{part}" for part in parts) if arm else ()
    return Meaning(columns if set(columns) <= set(known) else (), arm, parts, left=left, unit=unit)


# ----------------------------------------------------------------------------------------------- Header


def find_header(
    grid: Grid, known: Mapping[str, Column], words: Vocabulary, own: Iterable[str] = (), fewest: int = 2
) -> Layout | None:
    """Return the header of a grid: the row, or the two rows, most of whose cells are known headings.

    None if no row has `fewest` of them.
    """
    mine = {fold(name) for name in own}
    cache: dict[str, Meaning] = {}

    def understood(cell: str, group: str = "") -> bool:
        whole = f"{group} {cell}".strip()
        if not cell or len(cell) > LONGEST_HEADING:
            return False
        if fold(cell) in mine or fold(whole) in mine:
            return True
        if whole not in cache:
            cache[whole] = meaning(whole, known, words)
        said = cache[whole]
        named = said.sure or bool(said.statistics) or (bool(said.arm) and len(cell) > 2)
        return named and not said.left

    best: tuple[int, int, list[str], list[str]] | None = None
    for i, row in enumerate(grid.rows[:HEADER_WITHIN]):
        for two in (False, True):
            if two and (i == 0 or grid.lines[i] != grid.lines[i - 1] + 1):
                continue
            headings, groups = _two_rows(grid, i, words) if two else (list(row), [""] * len(row))
            if best is not None and sum(map(bool, headings)) < best[0] + (best[1] != i):
                continue  # no more than that can be known
            score = sum(
                understood(cell, group) or understood(cell)
                for cell, group in zip(headings, groups, strict=True)
            )
            sure = sum(bool(group) for group in groups) if two else 0
            if two and not sure:
                continue
            if score >= fewest and (
                best is None or score > best[0] or (two and score == best[0] and best[1] == i)
            ):
                best = score, i, headings, groups
    if best is None:
        return None
    _, i, headings, groups = best
    headings = _three_rows(grid, i, headings, known, words)
    return Layout(grid.lines[i], i + 1, [" ".join(name.split()) for name in headings], groups)


def _three_rows(
    grid: Grid, i: int, headings: Sequence[str], known: Mapping[str, Column], words: Vocabulary
) -> list[str]:
    """Return the headings of row `i`; those that are empty may stand two rows above."""
    above = grid.rows[i - 2] if i > 1 and grid.lines[i] == grid.lines[i - 2] + 2 else []
    tops = [*above, *[""] * len(headings)]
    return [
        name or (top if meaning(top, known, words).sure else "")
        for name, top in zip(headings, tops, strict=False)
    ]


def _two_rows(grid: Grid, i: int, words: Vocabulary) -> tuple[list[str], list[str]]:
    """Return the headings of row `i` and the group that the row above gives each of them."""
    above, below = grid.rows[i - 1], grid.rows[i]
    width = max(len(above), len(below))
    top = [*above, *[""] * (width - len(above))]
    sub = [*below, *[""] * (width - len(below))]
    spans = {
        at: top[left]
        for first, last, left, right in grid.merged
        if first <= grid.lines[i - 1] <= last
        for at in range(left, min(right + 1, width))
    }
    headings, groups = [], []
    carried = ""
    for at in range(width):
        own = top[at] or spans.get(at, "")
        if not sub[at]:
            headings.append(top[at])
            groups.append("")
            carried = ""
            continue
        if own:
            carried = own
        elif not (carried and _is_statistic(sub[at], words)):
            carried = ""
        headings.append(sub[at])
        groups.append(" ".join(carried.split()))
    return headings, groups


def _is_statistic(heading: str, words: Vocabulary) -> bool:
    said = _statistics(tokens(heading), {}, words)
    return bool(said.statistics) and not said.arm and not said.left


def fold(name: str) -> str:
    """Return a heading for comparison: small letters, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


# ------------------------------------------------------------------------------------------------ Mapping


def map_columns(
    grid: Grid,
    layout: Layout,
    known: Mapping[str, Column],
    words: Vocabulary,
    columns: Mapping[str, str | None],
    file: str,
) -> None:
    """Say of every column of a table what it is; what is unclear becomes a problem of the layout."""
    mapper = _Mapper(grid, layout, known, words, file)
    mapper.by_user(columns)
    mapper.by_words()
    mapper.of_one_letter()
    mapper.measure_of_nothing()
    mapper.sizes_of_both()
    mapper.without_arm()
    mapper.sizes_in_headings()
    mapper.near()
    mapper.refuse_doubles()


def _of_package(headings: Iterable[str]) -> bool:
    """Return whether headings are those of RevMan or of metafor, whose group 1 is the treated one."""
    names = [*map(fold, headings)]
    return any(all(form.fullmatch(name) for name in names) for form in PACKAGES)


class _Mapper:
    """One pass over the headings of a table."""

    def __init__(
        self, grid: Grid, layout: Layout, known: Mapping[str, Column], words: Vocabulary, file: str
    ) -> None:
        self.grid, self.layout, self.known, self.words, self.file = grid, layout, known, words, file
        width = max([len(layout.headings), *(len(row) for row in grid.rows[layout.start :])])
        self.headings = [*layout.headings, *[""] * (width - len(layout.headings))]
        groups = [*layout.groups, *[""] * (width - len(layout.groups))]
        self.full = [f"{group} {name}".strip() for group, name in zip(groups, self.headings, strict=True)]
        self.groups = groups
        self.found: dict[int, Mapped] = {}
        self.unclear: dict[int, Meaning] = {}
        self.sizes: list[tuple[re.Match[str], str, str]] = []  # in headings: size, heading, and arm
        self.numbers: Mapping[str, str] = {}  # the arms of 1 and 2, where the table says them
        self.filled = [
            any(at < len(row) and row[at] for row in grid.rows[layout.start :]) for at in range(width)
        ]
        layout.headings = [full or f"column {letters(at)}" for at, full in enumerate(self.full)]

    def problem(
        self,
        kind: type[MetaexoError],
        at: int,
        what: str,
        allowed: str,
        remedy: str,
        nearest: str | None = None,
    ) -> None:
        cell = self.grid.address(self.layout.line, at)
        self.layout.problems.append(
            SheetProblem(
                kind,
                what,
                allowed,
                remedy,
                self.file,
                self.layout.line,
                "",
                self.full[at],
                self.full[at],
                nearest,
                cells=(cell,),
                heading=self.full[at],
            )
        )

    def by_user(self, columns: Mapping[str, str | None]) -> None:
        """Take what the user says of headings before anything else."""
        places: dict[str, list[int]] = {}
        for at, (name, full) in enumerate(zip(self.headings, self.full, strict=True)):
            for key in dict.fromkeys((fold(name), fold(full))):
                if key:
                    places.setdefault(key, []).append(at)
        for heading, said in columns.items():
            there = places.get(fold(heading), [])
            if not there:
                shown = [name for name in self.full if name]
                where = f"{self.file}, row {self.layout.line}"
                raise UnknownChoiceError("heading", heading, shown, rows=where)
            if len(there) > 1:
                cells = " and ".join(self.grid.address(self.layout.line, i) for i in there)
                self.problem(
                    DuplicateColumnError,
                    there[0],
                    f"the heading {heading!r} stands in {cells}",
                    "headings that differ",
                    "give the columns different headings",
                )
                continue
            names, shared = targets(said, self.known)
            mark = decimal_mark(said)
            at, scale = there[0], self._scale_of(self.full[there[0]], names)
            self.found[at] = Mapped(at, self.full[at], names, shared, True, mark, scale=scale)
            if shared == "each" and set(names) == {*SIZES} and {*tokens(self.full[there[0]])} & TOTALS:
                self._ask_of_total(there[0], "and --map takes it as the size of each group")

    def _scale_of(self, heading: str, names: tuple[str, ...]) -> Scale:
        """Return the scale of the numbers of a column that the user names, and keep its measure."""
        said = meaning(heading, self.known, self.words)
        if "effect" in names and said.measure:
            self.layout.constants["effect_measure"] = said.measure
        scale = said.scale.joined(scale_of(tokens(heading))[1])
        return scale if scale.fits(names, said.measure) else said.scale

    def by_words(self) -> None:
        """Take every heading of which all words are understood."""
        folded = {fold(name) for name in self.headings}
        metafor = set(COUNTED) <= folded
        self._number_arms()
        given = {name for column in self.found.values() for name in column.columns}
        for at, name in enumerate(self.headings):
            if at in self.found or not name:
                continue
            if metafor and fold(name) in COUNTED:
                self.found[at] = Mapped(at, self.full[at], (COUNTED[fold(name)],))
                continue
            own = OF_GROUP.search(name)
            said = self._meaning(name.replace(own[0], "") if own else name)
            group = self.groups[at]
            size = OF_GROUP.search(group) if group else None
            if size:
                self.sizes.append((size, group, self._meaning(group).arm))
                self.full[at] = self.full[at].replace(size[0], "").strip()
            if group and not (said.sure and (said.arm or not said.statistics)):
                said = self._meaning(self.full[at])
            if said.sure and set(said.columns) <= given and not self.filled[at]:
                continue  # an empty column of what the user says stands elsewhere
            if said.sure:
                self.found[at] = Mapped(at, self.full[at], said.columns, scale=said.scale)
                if own:
                    self.sizes.append((own, name, said.arm))
                if said.measure:
                    self.layout.constants["effect_measure"] = said.measure
            else:
                self.unclear[at] = said

    def _meaning(self, heading: str) -> Meaning:
        """Return what a heading says; a number beside the arm that it stands for says nothing more."""
        said = meaning(heading, self.known, self.words)
        if said.left and all(self.numbers.get(word) == said.arm for word in said.left):
            return replace(said, left=())
        return said

    def _number_arms(self) -> None:
        """Take from the user, from headings such as "n1 (PBS)" or from a legend which arm a number is."""
        said: dict[str, set[str]] = {}
        why = ""
        for number, arm, where in [*self._numbers_by_user(), *self._numbers_in_words()]:
            why = why or where
            said.setdefault(number, set()).add(arm)
        numbers = {number: min(arms) for number, arms in said.items() if len(arms) == 1}
        if len(numbers) == 1 == len(said):
            ((number, arm),) = numbers.items()
            numbers[str(3 - int(number))] = next(other for other in ARMS if other != arm)
        bare = [name for name in self.full if self._is_numbered(name)]
        if len(set(numbers.values())) == len(ARMS):
            self.numbers = numbers
            self.words = replace(self.words, arms=MappingProxyType({**self.words.arms, **numbers}))
        elif said and bare:
            for number in NUMBERED:
                self.words = replace(
                    self.words,
                    arms=MappingProxyType({k: v for k, v in self.words.arms.items() if k != number}),
                )
        parts = {part for name in bare for part in meaning(name, self.known, self.words).statistics}
        if bare and not said and parts != {"n"} and not _of_package(bare):
            self._ask_of_numbers(bare)
        elif bare and not (said and not self.numbers):
            first, second = (SAYS[self.words.arms[number]] for number in NUMBERED)
            because = f"as {why} says" if why else "as nothing says which is which"
            self.layout.notes.append(f"1 was taken as {first} and 2 as {second} in the headings, {because}")

    def _ask_of_numbers(self, bare: Sequence[str]) -> None:
        """Ask which arm 1 is: in many papers group 1 is the control, and every sign would turn."""
        heading = bare[0]
        number = next(token for token in tokens(heading) if token in NUMBERED)
        part = meaning(heading, self.known, self.words).columns[0].partition("_")[2]
        names = ", ".join(map(repr, bare[:LONGEST_PHRASE]))
        self.problem(
            UnclearColumnError,
            self.full.index(heading),
            f"nothing says which of 1 and 2 has the exosomes in {names}",
            "headings that name the arm (Exosome mean, Control mean)",
            "; ".join(f"{option(heading, f'{arm}_{part}')} if {number} is {SAYS[arm]}" for arm in ARMS)
            + ": that settles the other headings, too",
        )

    def _is_numbered(self, heading: str) -> bool:
        """Return whether a number alone says which arm a heading is of."""
        found = tokens(heading)
        said = meaning(heading, self.known, self.words)
        numbered = bool({*found} & {*NUMBERED})
        return numbered and said.sure and bool(said.arm) and not {*found} & ({*self.words.arms} - {*NUMBERED})

    def _numbers_by_user(self) -> Iterable[tuple[str, str, str]]:
        for column in self.found.values():
            numbers = {*tokens(column.heading)} & {*NUMBERED}
            arms = {name.partition("_")[0] for name in column.columns} & {*ARMS}
            if len(numbers) == len(arms) == 1:
                yield min(numbers), min(arms), f"--map {column.heading!r}"

    def _numbers_in_words(self) -> Iterable[tuple[str, str, str]]:
        for name in self.full:
            found = tokens(name)
            said = meaning(name, self.known, self.words)
            if said.arm and len(said.left) == 1 and said.left[0] in NUMBERED:
                before = found[: found.index(said.left[0])]
                if not {*before} & {*self.words.arms}:  # "exosome 2" may be a second dose
                    yield said.left[0], said.arm, f"the heading {name!r}"
        for line, row in zip(self.grid.lines, self.grid.rows, strict=True):
            alone = [cell for cell in row if cell]
            if len(alone) == 1 and line != self.layout.line:
                for match in LEGEND.finditer(alone[0][:LONGEST_HEADING]):
                    if arm := arm_named(match[2], self.words):
                        yield match[1], arm, f"row {line}"
        for sheet, cells in self.grid.legend:
            pairs = [(match[1], match[2]) for match in LEGEND.finditer(" = ".join(cells)[:LONGEST_HEADING])]
            numbers = {*tokens(cells[0])} & {*NUMBERED}
            pairs += [(min(numbers), cells[1])] if len(numbers) == 1 and len(cells) > 1 else []
            for number, text in pairs:
                if arm := arm_named(text, self.words):
                    yield number, arm, f"the worksheet {sheet!r}"

    def of_one_letter(self) -> None:
        """Take g or d beside its SE or interval as the effect, and t or F beside sizes as the test."""
        taken = {name for column in self.found.values() for name in column.columns}
        centres = {f"{arm}_{part}" for arm in ARMS for part in ("mean", "median", "events")} & taken
        spreads = [
            said for said in self.unclear.values() if said.statistics and not said.arm and not said.left
        ]
        beside = any({*said.statistics} <= {*OF_EFFECT} for said in spreads) or {*OF_EFFECT.values()} & taken
        tested = {*SIZES} <= taken and not {"treatment_sd", "treatment_se"} & taken
        for at in list(self.unclear):
            letter = " ".join(tokens(self.full[at]))
            if letter in LETTERS and not centres and "effect" not in taken and beside and self.filled[at]:
                self.found[at] = Mapped(at, self.full[at], ("effect",), scale=Scale(cohen=letter == "d"))
                self.layout.constants["effect_measure"] = "standardised_mean_difference"
                taken.add("effect")
            elif letter in TESTS and tested and len(centres) != 1 and "statistic" not in taken:
                self.found[at] = Mapped(at, self.full[at], ("statistic",), scale=Scale(test=letter))
                taken.add("statistic")
            else:
                continue
            del self.unclear[at]

    def measure_of_nothing(self) -> None:
        """Leave a column "Measure" as it is where no column has effects: it may name what was measured."""
        taken = {name for column in self.found.values() for name in column.columns}
        for at, column in list(self.found.items()):
            exact = column.by_user or self.headings[at] == "effect_measure"
            if column.columns == ("effect_measure",) and "effect" not in taken and not exact:
                del self.found[at]

    def sizes_of_both(self) -> None:
        """Say what a size without an arm is, where both arms have numbers: of each group, or of both."""
        taken = {name for column in self.found.values() for name in column.columns}
        if {name.partition("_")[0] for name in taken if name in self.known} < {*ARMS}:
            return
        for at, said in list(self.unclear.items()):
            if said.statistics != ("n",) or said.arm or not self.filled[at]:
                continue
            heading = self.full[at]
            if {*SIZES} <= taken:
                self.unclear[at] = Meaning()  # the total of two sizes that are there
            elif self._of_each(at) and not {*SIZES} & taken:
                self.found[at] = Mapped(at, heading, SIZES, "each")
                del self.unclear[at]
            elif EACH.search(heading) and not {*said.left} - {*tokens("each every je pro")}:
                if not {*SIZES} & taken:
                    self.found[at] = Mapped(at, heading, SIZES, "each")
                    del self.unclear[at]
            elif said.left and {*said.left} <= TOTALS and not {*SIZES} & taken:
                self._ask_of_total(at, "and no heading names the size of each group")
                self.unclear[at] = Meaning()

    def sizes_in_headings(self) -> None:
        """Take the size that a heading gives for all rows, where no column has that of its arm."""
        taken = {name for column in self.found.values() for name in column.columns}
        for arm in ("", *ARMS):
            here = [(size, heading) for size, heading, of in self.sizes if of == arm]
            one = len({size[1] for size, _ in here}) == 1 and arm and f"{arm}_n" not in taken
            for size, heading in here:
                said = f"{size[0].strip()!r} in the heading {heading!r} was"
                why = (
                    "taken as the size of the group in every row" if one else "not read: sizes stand in rows"
                )
                self.layout.notes.append(f"{said} {why}")
                if one:
                    self.layout.sizes[f"{arm}_n"] = size[1]

    def _of_each(self, at: int) -> bool:
        """Return whether the cells of a column say that they are the sizes of each group: "8 per group"."""
        cells = [row[at] for row in self.grid.rows[self.layout.start :] if at < len(row) and row[at]]
        return all(EACH.search(cell[:LONGEST_HEADING]) for cell in cells)

    def _ask_of_total(self, at: int, but: str) -> None:
        """Ask for the size of each group, where a heading has that of both: it would count twice."""
        heading = self.full[at]
        self.problem(
            UnclearColumnError,
            at,
            f"{heading!r} is the size of both groups together, {but}",
            "the size of each group: treatment_n and control_n",
            f"{option(heading, ' + '.join(SIZES))} if the groups are of one size, which is half of it; else "
            f"write the size of each group in a column of its own; {option(heading, '')} if it is neither",
        )

    def without_arm(self) -> None:
        """Give statistics without an arm to the effect, or to the only arm there is."""
        taken = {name for column in self.found.values() for name in column.columns}
        bare = {
            at: said.statistics
            for at, said in self.unclear.items()
            if said.statistics and not said.arm and not said.left and self._is_of_arms(said.statistics)
            if "effect" in taken or not (said.scale.square or said.scale.log)
        }
        said = {name for column in self.found.values() if column.by_user for name in column.columns}
        controls = {f"control_{part}" for part in OF_ARMS}  # where the user says of all, the rest is treated
        arms = {f"{arm}_{part}" for arm in ARMS for part in OF_ARMS} & taken
        arms = arms if not arms <= said & controls else set()
        effect = "effect" in taken
        parts = [part for statistics in bare.values() for part in statistics]
        single = not arms and not effect and len(parts) == len(set(parts)) and {*parts} & OF_ARMS
        for at, statistics in list(bare.items()):
            if single:
                columns = tuple(f"treatment_{part}" for part in statistics)
                self.found[at] = Mapped(at, self.full[at], columns, note="of one group")
            elif effect and all(part in OF_EFFECT for part in statistics):
                names, scale = tuple(OF_EFFECT[part] for part in statistics), self.unclear[at].scale
                self.found[at] = Mapped(at, self.full[at], names, scale=scale)
            elif not effect or arms:
                continue
            bare.pop(at)
            self.unclear.pop(at)
        doubtful = any(said.columns[:1] == ("effect",) for said in self.unclear.values())
        if doubtful:  # of the effect is asked, and then they are beside it
            bare = {at: parts for at, parts in bare.items() if not {*parts} <= {*OF_EFFECT}}
        self._ask_for_arm(bare, taken)

    def _is_of_arms(self, statistics: Sequence[str]) -> bool:
        """Return whether the sheet has these statistics of arms: that of studies has none."""
        return {f"treatment_{part}" for part in statistics} <= {*self.known}

    def _ask_for_arm(self, bare: Mapping[int, tuple[str, ...]], taken: set[str]) -> None:
        """Ask of which arm the statistics are that name none."""
        places: dict[str, list[int]] = {}
        for at in bare:
            places.setdefault(fold(self.full[at]), []).append(at)
        doubled = [there for there in places.values() if len(there) > 1]
        if doubled:
            cells = "; ".join(
                f"{self.full[there[0]]!r} in "
                + " and ".join(self.grid.address(self.layout.line, at) for at in there)
                for there in doubled
            )
            self.problem(
                DuplicateColumnError,
                doubled[0][0],
                f"headings stand twice, and nothing says which are of the exosomes: {cells}",
                "headings that name the arm (Exosome mean, Control mean)",
                'write "Exosome" or "Control" in front of each, or in a row above them',
            )
        for at, *others in places.values():
            if others or not self.filled[at]:
                continue
            statistics = bare[at]
            heading = self.full[at]
            mark = " to " if statistics[0] in ("ci_low", "q1", "min") else " ± "
            columns = {arm: [f"{arm}_{part}" for part in statistics] for arm in ARMS}
            free = {arm: mark.join(names) for arm, names in columns.items() if not taken & set(names)}
            says = {"treatment": "the exosomes", "control": "the control"}
            remedies = [f"{option(heading, name)} if it is of {says[arm]}" for arm, name in free.items()]
            if statistics == ("n",) and len(free) == len(ARMS):
                remedies = [
                    f"{option(heading, ' and '.join(SIZES))} if it is the size of EACH group; "
                    f"{option(heading, ' + '.join(SIZES))} if it is the total of two groups of one size; of "
                    "groups that differ write the size of each in a column of its own"
                ]
            elif statistics == ("n",):
                remedies.append(f"{option(heading, '')} and a column for the other group if it is the total")
            if {*statistics} <= {*OF_EFFECT} and not {f"{arm}_mean" for arm in ARMS} & taken:
                of = mark.join(OF_EFFECT[part] for part in statistics)
                remedies.insert(0, f"{option(heading, of)} if it is of an effect (SMD, OR) in another column")
            remedies.append(option(heading, "") + (" if it is neither" if free else " keeps it as your own"))
            self.problem(
                UnclearColumnError,
                at,
                f"{heading!r} does not say of which arm it is",
                ", ".join(free.values()) or "a column that the table does not have yet",
                "; ".join(remedies),
            )

    def near(self) -> None:
        """Ask for headings that are only like one that is known, where that is missing."""
        taken = {name for column in self.found.values() for name in column.columns}
        for at, said in self.unclear.items():
            heading = self.full[at]
            asked = any(p.column == heading for p in self.layout.problems)
            if at in self.found or not self.filled[at] or asked:
                continue
            likely = self._likely(said, heading, taken)
            if likely is None or likely in taken:
                continue
            if {"sd", "se"} == {"sd", "se"} & {self.words.statistics.get(word) for word in tokens(heading)}:
                self._sd_or_se(at, likely)
                continue
            left = ""
            if said.left and said.columns:
                verb = "is" if len(said.left) == 1 else "are"
                left = f": {', '.join(map(repr, said.left))} {verb} not understood"
            turned = ""
            if likely == "effect" and "log" in said.left:
                turned = (
                    ' a ratio; of logarithms write "log risk ratio", "log response ratio" or "log OR" as '
                    "its heading"
                )
            elif likely == "effect" and {*said.left} & {*self.words.arms}:
                turned = (
                    " exosomes minus control, or exosomes by control; of the reverse change the sign of each "
                    "number (of a ratio write 1 divided by it) and the heading"
                )
            self.problem(
                UnclearColumnError,
                at,
                f"{heading!r} may be {likely}, and is not certain to be{left}",
                "a heading that says it, or an option that does",
                f"{option(heading, likely)} if it is{turned}; {option(heading, '')} if it is not",
                likely,
            )

    def _sd_or_se(self, at: int, likely: str) -> None:
        """Ask of a column that holds SDs, SEs, or both."""
        arm = likely.partition("_")[0]
        heading = self.full[at]
        self.problem(
            UnclearColumnError,
            at,
            f"{heading!r} says both SD and SE",
            f"{arm}_sd or {arm}_se",
            f"{option(heading, f'{arm}_sd')} if all are SDs, {option(heading, f'{arm}_se')} if all are SEs; "
            "if they differ between rows, write the SDs in one column and the SEs in another",
        )

    def _likely(self, said: Meaning, heading: str, taken: set[str]) -> str | None:
        """Return the column that a heading may be; words such as "size" make that less likely."""
        if said.columns:
            name = said.columns[0]
            other = (
                name.replace("treatment_", "control_")
                if said.arm == "treatment"
                else name.replace("control_", "treatment_")
            )
            doubtful = {*said.left} & self.words.distractors if name not in NUMBERS_ALONE else ()
            others = {one for meant in self.unclear.values() for one in meant.columns} - {name}
            return name if not doubtful or other in taken | others else None
        if said.statistics or (said.arm and not said.left):
            return None
        phrases = {
            **{phrase: name for phrase, name in self.words.columns.items() if name in self.known},
            **{" ".join(tokens(name)): name for name in self.known},
            **{
                f"{word} {part}": f"{arm}_{name}"
                for word, arm in self.words.arms.items()
                for part, name in self.words.statistics.items()
                if len(word) > 1 and f"{arm}_{name}" in self.known
            },
        }
        phrase = " ".join(token for token in tokens(heading) if token not in "()[]/")
        near = difflib.get_close_matches(phrase, phrases, n=1, cutoff=MISSPELT) if len(phrase) > 3 else []
        found = phrases[near[0]] if near else None
        if found is not None and said.arm and said.left:  # "cases" is not "se", whatever arm stands before
            parts = [part for part, name in self.words.statistics.items() if f"{said.arm}_{name}" == found]
            return found if difflib.get_close_matches(" ".join(said.left), parts, 1, 0.6) else None
        return found

    def refuse_doubles(self) -> None:
        """Refuse two headings that mean the same column; keep what is not used as the user's own."""
        owners: dict[str, int] = {}
        for at, column in sorted(self.found.items()):
            for name in column.columns:
                if name in owners:
                    first = owners[name]
                    cells = f"{self.grid.address(self.layout.line, first)} and " + self.grid.address(
                        self.layout.line, at
                    )
                    same = fold(self.full[first]) == fold(column.heading)
                    what = (
                        f"the heading {column.heading!r} stands in {cells}"
                        if same
                        else f"{self.full[first]!r} and {column.heading!r} ({cells}) both mean {name}"
                    )
                    remedy = (
                        "rename or delete one of them"
                        if same
                        else f"{option(column.heading, '')} takes only the first; or rename one of them"
                    )
                    self.problem(DuplicateColumnError, at, what, "one column for each meaning", remedy)
                    break
                owners[name] = at
        own = [
            Mapped(at, self.full[at])
            for at in range(len(self.full))
            if at not in self.found and (self.full[at] or self.filled[at])
        ]
        self.layout.mapped = sorted([*self.found.values(), *own], key=lambda column: column.at)


def option(heading: str, meaning: str) -> str:
    """Return the option of the command line that says what a heading means."""
    shown = heading.replace('"', '\\"')
    return f'--map "{shown}={meaning}"'


def read_map(entries: Iterable[str]) -> dict[str, str]:
    """Return what headings mean, from entries of the form "my heading=treatment_sd".

    The last "=" divides, so that a heading may have one. Nothing after it keeps a column as the user's own.

    Examples
    --------
    >>> read_map(["my heading=treatment_sd", "n=treatment_n and control_n", "Size="])
    {'my heading': 'treatment_sd', 'n': 'treatment_n and control_n', 'Size': ''}
    """
    found: dict[str, str] = {}
    for entry in entries:
        heading, divided, said = entry.rpartition("=")
        if not divided or not heading.strip():
            raise InputError(
                f"--map is {entry!r}"[:200],
                "a heading, =, and a column",
                'write --map "my heading=treatment_sd"',
            )
        if fold(heading) in map(fold, found):
            raise InputError(
                f"--map names {heading.strip()!r} twice", "each heading once", "leave one of the two out"
            )
        found[heading.strip()] = said.strip()
    return found


def targets(said: str | None, known: Mapping[str, Column]) -> tuple[tuple[str, ...], str]:
    """Return the columns that a user names for one heading, and how they share one value, if they do.

    Examples
    --------
    >>> from metaexo.evidence.codebook import load_codebook
    >>> known = load_codebook().sheets["outcomes"].columns
    >>> targets("treatment_mean ± treatment_sd", known)
    (('treatment_mean', 'treatment_sd'), '')
    >>> targets("treatment_n and control_n", known), targets("treatment_n + control_n", known)
    ((('treatment_n', 'control_n'), 'each'), (('treatment_n', 'control_n'), 'half'))
    """
    said = _DECIMAL.sub("", said or "")
    if not said.strip():
        return (), ""
    names = re.findall(r"\w+", said)
    shared = "each" if "and" in names else "half" if re.search(r"\w\s*\+\s*\w", said) else ""
    named = tuple(name for name in names if name not in ("and", "to"))
    for name in named:
        if name not in known:
            raise UnknownChoiceError("column in --map (columns=)", name, known)
    if not named:
        raise UnknownChoiceError("column in --map (columns=)", said, known)
    if shared == "half" and set(named) != {*SIZES}:
        raise InputError(f"--map says {said!r}"[:200], " + ".join(SIZES), "only sizes of groups add up")
    return named, shared


_DECIMAL = re.compile(r",?\s*\bdecimal[ _](comma|point)\s*$", re.IGNORECASE)
DECIMALS = {",": "decimal comma", ".": "decimal point"}
"""How a user says the decimal mark of a column, after its name."""


def decimal_mark(said: str | None) -> str:
    """Return the decimal mark that a user names for a column; "" if none is named.

    Examples
    --------
    >>> decimal_mark("treatment_mean, decimal comma"), decimal_mark("treatment_mean")
    (',', '')
    """
    found = _DECIMAL.search(said or "")
    return next((mark for mark, words in DECIMALS.items() if found and found[1].lower() in words), "")


def missing_study(layout: Layout, file: str, cell: str) -> SheetProblem:
    """Return the problem of a table without a column of studies."""
    shown = ", ".join(repr(name) for name in layout.headings[:12])
    return SheetProblem(
        MissingColumnError,
        f"no heading names the study; the headings are {shown}",
        "a column Study, or columns Author and Year",
        'name a column "Study", or say which it is: --map "my heading=study_id"',
        file,
        layout.line,
        cells=(cell,),
    )
