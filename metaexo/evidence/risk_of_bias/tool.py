"""The tools that judge the risk of bias: domains, allowed judgements and citations, as data.

Each tool is a JSON file beside this module; a tool of the user's own has the same form. All tools share one
table of judgements (`judgements.json`), which says how each is written, drawn and ordered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import describe
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd

SHARED = "judgements.json"
NOT_ASSESSED = "not assessed"
OVERALL = "overall"
HEX = re.compile(r"#[0-9A-Fa-f]{6}")
HATCHES = frozenset("/\\|-+xoO.*")
# Of judgements that metaexo does not know, as far as the tool does not say.
COLORS = ("#0072B2", "#56B4E9", "#F0E442", "#D55E00", "#9A9A9A", "#332288", "#88CCEE", "#DDCC77")
LINES = ("---", "|||", "ooo", "\\\\\\", "OOO", "***", "--", "||")
FORM = 'a mapping with "name", "domains" and "judgements"; bias_tool("RoB 2").to_dict() shows one'


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement of the risk of bias: its word, and how it is drawn.

    Attributes
    ----------
    word, label : str
        As tables have it, and as figures show it.
    sign : str
        One or two letters that stand in the cell, so that colour is not the only code.
    color, hatch : str
        Fill of a cell or bar, as "#009E73", and matplotlib's letters for the hatch of a bar.
    ranked : bool
        Whether it is a degree of risk; "unclear" and "no information" are none.
    written : tuple of str
        Other spellings that tables may have.
    """

    word: str
    label: str = ""
    sign: str = ""
    color: str = "#808080"
    hatch: str = ""
    ranked: bool = True
    written: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of a tool: its key in tables, its short and full names, and the type of bias.

    The type is empty where the tool has none; SYRCLE has ten items in six types.
    """

    key: str
    short: str = ""
    name: str = ""
    type: str = ""


@shows_itself
@dataclass(frozen=True, slots=True)
class BiasTool:
    """A tool that judges the risk of bias; :func:`bias_tool` makes one.

    Attributes
    ----------
    name, use : str
        What it is called and what it judges.
    domains : tuple of Domain
        In the order of the tool.
    judgements : tuple of Judgement
        In the order in which they are shown, the least risk first.
    overall_is_worst : bool
        Whether the overall judgement cannot be better than that of the worst domain.
    written : mapping of str to str
        Further words of this tool's tables, and the judgement that each is.
    citation, doi : str
        Where the tool is published.
    """

    name: str
    domains: tuple[Domain, ...]
    judgements: tuple[Judgement, ...]
    use: str = ""
    overall_is_worst: bool = False
    written: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""
    doi: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the domains."""
        return tuple(domain.key for domain in self.domains)

    @property
    def words(self) -> tuple[str, ...]:
        """Words of the judgements."""
        return tuple(judgement.word for judgement in self.judgements)

    def judgement(self, word: str) -> Judgement:
        """Return the judgement that a cell of a table says, in any of the spellings that are known.

        Parameters
        ----------
        word : str
            For example "low" or "Low risk"; "not assessed" is known to every tool.

        Raises
        ------
        UnknownChoiceError
            If this tool has no such judgement; the nearest is named.
        """
        found = self.spellings().get(plain(str(word)))
        if found is None:
            raise UnknownChoiceError(f"judgement of {self.name}", word, (*self.words, NOT_ASSESSED))
        return found

    def spellings(self) -> dict[str, Judgement]:
        """Return the judgements by every spelling that is known, in small letters."""
        by_word = {one.word: one for one in (*self.judgements, judgements()[NOT_ASSESSED])}
        found: dict[str, Judgement] = {}
        for one in by_word.values():
            found |= {plain(text): one for text in (*one.written, one.label, one.word)}
        return found | {plain(text): by_word[word] for text, word in self.written.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return the domains of the tool: key, short, name, type."""
        import pandas as pd

        rows = [(domain.key, domain.short, domain.name, domain.type) for domain in self.domains]
        return pd.DataFrame(rows, columns=["key", "short", "name", "type"])

    def to_dict(self) -> dict[str, Any]:
        """Return the tool in the form of its file, from which :func:`bias_tool` makes it again."""
        return {
            "name": self.name,
            "use": self.use,
            "citation": self.citation,
            "doi": self.doi,
            "overall_is_worst": self.overall_is_worst,
            "written": dict(self.written),
            "judgements": [_as_dict(judgement) for judgement in self.judgements],
            "domains": [_as_dict(domain) for domain in self.domains],
        }


def bias_tool(tool: str | Path | Mapping[str, Any] | BiasTool) -> BiasTool:
    """Return a tool that judges the risk of bias, by its name or made of a mapping or a JSON file.

    Use it to see the domains and judgements of RoB 2, ROBINS-I and SYRCLE, or to define another tool.

    Parameters
    ----------
    tool : str, Path, mapping or BiasTool
        Name of a tool ("RoB 2", "ROBINS-I", "SYRCLE"), the path of a JSON file, or what such a file holds:
        "name"; "domains", a list of texts or of mappings with "key", "short", "name" and "type"; and
        "judgements", a list of words or of mappings with "word", "label", "sign", "color", "hatch" and
        "ranked", the least risk first. A word is enough: those of RoB 2, ROBINS-I and SYRCLE look as they
        do there, others get a letter, a colour and a hatch of their own. Optional:
        "use", "overall_is_worst", "written" (other words of tables and what they mean), "citation", "doi".

    Returns
    -------
    BiasTool
        Domains, judgements and citation.

    Raises
    ------
    UnknownChoiceError
        If there is no tool of this name, or an entry is not known.
    InputError
        If a file cannot be read, or a tool is incomplete or has two judgements with one sign.

    References
    ----------
    RoB 2: Sterne et al. (2019). https://doi.org/10.1136/bmj.l4898
    ROBINS-I: Sterne et al. (2016). https://doi.org/10.1136/bmj.i4919
    SYRCLE: Hooijmans et al. (2014). https://doi.org/10.1186/1471-2288-14-43

    Examples
    --------
    >>> import metaexo as mx
    >>> mx.evidence.bias_tool("RoB 2").words
    ('low', 'some concerns', 'high')
    >>> own = mx.evidence.bias_tool(
    ...     {"name": "Vesicles", "domains": ["Purity", "Dose"], "judgements": ["low", "unclear", "high"]}
    ... )
    >>> own.keys, own.judgement("High risk").sign
    (('purity', 'dose'), '−')
    """
    if isinstance(tool, BiasTool):
        return tool
    if isinstance(tool, Mapping):
        return _made(tool)
    if isinstance(tool, Path) or str(tool).lower().endswith(".json"):
        return _made(_read_json(Path(tool)))
    known = _known_tools()
    found = known.get(_squeezed(str(tool)))
    if found is None:
        raise UnknownChoiceError("tool for risk of bias", tool, [made.name for made in known.values()])
    return found


def bias_tools() -> pd.DataFrame:
    """Return which tools for risk of bias metaexo knows.

    Returns
    -------
    DataFrame
        One row per tool: name, use, number of domains, judgements, citation, DOI.

    Examples
    --------
    >>> import metaexo as mx
    >>> list(mx.evidence.bias_tools()["name"])
    ['RoB 2', 'ROBINS-I', 'SYRCLE']
    """
    import pandas as pd

    rows = [
        (made.name, made.use, len(made.domains), ", ".join(made.words), made.citation, made.doi)
        for made in _known_tools().values()
    ]
    return pd.DataFrame(rows, columns=["name", "use", "domains", "judgements", "citation", "doi"])


@lru_cache(maxsize=1)
def judgements() -> Mapping[str, Judgement]:
    """Return the judgements that all tools share, by word."""
    entries = json.loads(files(__package__).joinpath(SHARED).read_text(encoding="utf-8"))
    return {entry["word"]: Judgement(**{**entry, "written": tuple(entry["written"])}) for entry in entries}


@lru_cache(maxsize=1)
def _known_tools() -> Mapping[str, BiasTool]:
    """Return the tools of metaexo by their squeezed names: one file each."""
    found = [entry for entry in files(__package__).iterdir() if entry.name.endswith(".json")]
    texts = [
        entry.read_text(encoding="utf-8")
        for entry in sorted(found, key=lambda e: e.name)
        if entry.name != SHARED
    ]
    made = [_made(json.loads(text)) for text in texts]
    return {_squeezed(tool.name): tool for tool in made}


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"the file {path} cannot be read ({problem})", f"JSON: {FORM}") from None
    if not isinstance(found, Mapping):
        raise InputError(f"the file {path} holds {describe(found)}", f"JSON: {FORM}")
    return found


def _made(given: Mapping[str, Any]) -> BiasTool:
    """Return a tool made of the entries of a file or a mapping."""
    allowed = [one.name for one in fields(BiasTool)]
    for key in given:
        if key not in allowed:
            raise UnknownChoiceError("entry of a tool for risk of bias", key, allowed)
    plain = {name: _text(given, name) for name in ("name", "use", "citation", "doi")}
    if not plain["name"].strip():
        raise InputError("the tool has no name", FORM)
    tool = BiasTool(
        **plain,
        domains=tuple(_domain(entry) for entry in _entries(given, "domains")),
        judgements=_judgements(_entries(given, "judgements")),
        overall_is_worst=_flag(given, "overall_is_worst"),
        written=_pairs(given),
    )
    _check(tool)
    return tool


def _check(tool: BiasTool) -> None:
    """Refuse a tool in which two things cannot be distinguished."""
    signs = [judgement.sign for judgement in tool.judgements if judgement.sign]
    for what, names in (
        ("domain", [*map(plain, tool.keys), OVERALL]),
        ("judgement", list(map(plain, tool.words))),
        ("sign", signs),
    ):
        twice = sorted({name for name in names if names.count(name) > 1 or not name})
        if twice:
            raise InputError(
                f"{tool.name} has the {what} {twice[0]!r} twice" if twice[0] else f"a {what} is blank",
                f"a name for each {what}, each once; {OVERALL!r} is the name of the judgement of the whole",
            )
    for word in tool.written.values():
        if word not in tool.words:
            raise UnknownChoiceError(f"judgement of {tool.name}", word, tool.words)


def _domain(entry: Any) -> Domain:
    given = {"name": entry} if isinstance(entry, str) else entry
    texts = _texts(given, Domain)
    name = texts.get("name") or texts.get("short") or texts.get("key", "")
    short = texts.get("short") or name
    key = texts.get("key") or re.sub(r"\W+", "_", short.casefold()).strip("_")
    return Domain(key, short, name, texts.get("type", ""))


def _judgements(entries: Iterable[Any]) -> tuple[Judgement, ...]:
    """Return the judgements of a tool; new ones get a colour and a hatch that no other one has."""
    asked = [{"word": entry} if isinstance(entry, str) else entry for entry in entries]
    made = [_judgement(entry) for entry in asked]
    for i, (entry, one) in enumerate(zip(asked, made, strict=True)):
        if plain(one.word) in judgements():
            continue
        look: dict[str, Any] = {}
        for code, spare in (("color", COLORS), ("hatch", LINES)):
            taken = {getattr(other, code) for other in made if other is not one}
            free = [value for value in spare if value not in taken]
            if code not in entry and free:
                look[code] = free[0]
        made[i] = replace(one, **look)
    return tuple(made)


def _judgement(given: Mapping[str, Any]) -> Judgement:
    texts = _texts({k: v for k, v in given.items() if k not in ("ranked", "written")}, Judgement)
    word = texts.get("word", "")
    ready = judgements().get(plain(word)) or Judgement(word, word[:1].upper() + word[1:], word[:1].upper())
    made = {one.name: getattr(ready, one.name) for one in fields(Judgement)} | texts
    made["ranked"] = _flag(given, "ranked", ready.ranked)
    written = given.get("written", ready.written)
    if not isinstance(written, list | tuple) or not all(isinstance(text, str) for text in written):
        raise InputError(f"'written' of the judgement {word!r} is {describe(written)}", "a list of texts")
    made["written"] = tuple(written)
    judged = Judgement(**made)
    if not HEX.fullmatch(judged.color) or set(judged.hatch) - HATCHES or len(judged.sign) > 2:
        raise InputError(
            f"{word!r} has sign {judged.sign!r}, color {judged.color!r}, hatch {judged.hatch!r}",
            'a sign of at most two letters, a color such as "#009E73", and letters of matplotlib for a hatch',
        )
    return judged


def _entries(given: Mapping[str, Any], name: str) -> Iterable[Any]:
    entries = given.get(name)
    good = isinstance(entries, list | tuple) and entries
    if not good or not all(isinstance(entry, str | Mapping) for entry in entries or ()):
        raise InputError(f"{name!r} of the tool is {describe(entries)}", f"a list of them: {FORM}")
    return tuple(entries or ())


def _texts(given: Mapping[str, Any], kind: type[Domain] | type[Judgement]) -> dict[str, str]:
    """Return the texts of an entry by name; unknown names are refused."""
    allowed = [one.name for one in fields(kind)]
    for key in given:
        if key not in allowed:
            raise UnknownChoiceError(f"entry of a {kind.__name__.lower()}", key, allowed)
    return {key: _text(given, key) for key in given}


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{name!r} of the tool is {describe(value)}", "a text")
    return value


def _flag(given: Mapping[str, Any], name: str, default: bool = False) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"{name!r} of the tool is {describe(value)}", "true or false")
    return value


def _pairs(given: Mapping[str, Any]) -> dict[str, str]:
    value = given.get("written", {})
    if not isinstance(value, Mapping) or not all(isinstance(t, str) for pair in value.items() for t in pair):
        raise InputError(f"'written' of the tool is {describe(value)}", "a mapping of words to judgements")
    return dict(value)


def _as_dict(record: Domain | Judgement) -> dict[str, Any]:
    values = {one.name: getattr(record, one.name) for one in fields(record)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def plain(text: str) -> str:
    """Return a word as it is compared: small letters, single blanks for underscores and hyphens."""
    return " ".join(text.replace("_", " ").replace("-", " ").casefold().split())


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())
