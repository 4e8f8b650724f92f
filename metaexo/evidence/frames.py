"""What is added to the tables of values: categories derived from words, labels, groups, outcome families."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from metaexo.evidence.codebook import Codebook
from metaexo.evidence.vocabulary import (
    NOT_REPORTED,
    isolation_category,
    isolation_methods,
    isolation_steps,
    load_vocabulary,
    source_category,
)

if TYPE_CHECKING:
    import pandas as pd

COMPARISON = "method_comparison"


def finish(name: str, frame: pd.DataFrame, codebook: Codebook, folder: Path | None) -> pd.DataFrame:
    """Return a sheet with empty categories filled and with the columns that analyses group by.

    Parameters
    ----------
    name : str
        Name of the sheet.
    frame : DataFrame
        Its values.
    codebook : Codebook
        Sheets and outcome vocabulary.
    folder : Path or None
        Folder of the sheets, which may bring its own vocabulary.

    Returns
    -------
    DataFrame
        With `use` "main" where it was empty; `source`, `source_group`, `isolation` and `isolation_group`
        (labels) where there are categories; `outcome_label` and `outcome_family` where there are outcomes;
        `isolation_methods` for studies; `method_pair` for outcomes.
    """
    frame = frame.copy()
    if "use" in frame:
        frame["use"] = frame["use"].fillna("main")
    if "source_category" in frame:
        _fill_categories(frame, folder)
        for kind in ("source", "isolation"):
            words = load_vocabulary(kind, folder)
            frame[kind] = frame[f"{kind}_category"].map(words.label)
            frame[f"{kind}_group"] = frame[f"{kind}_category"].map(words.group)
    if "outcome" in frame and name != "direction_only":
        known = codebook.outcomes
        frame["outcome_label"] = [_outcome_label(codebook, word) for word in frame["outcome"]]
        frame["outcome_family"] = [
            known[word].family if word in known else _outcome_label(codebook, word)
            for word in frame["outcome"]
        ]
    if name == "studies":
        frame["isolation_methods"] = [
            _methods(text, category, folder)
            for text, category in zip(frame["isolation_reported"], frame["isolation_category"], strict=True)
        ]
    if name == "outcomes":
        isolation = load_vocabulary("isolation", folder)
        frame["method_pair"] = [
            f"{isolation.label(a)} vs {_small(isolation.label(b))}"
            if isinstance(a, str) and isinstance(b, str)
            else None
            for a, b in zip(frame["treatment_isolation"], frame["control_isolation"], strict=True)
        ]
    return frame


def _fill_categories(frame: pd.DataFrame, folder: Path | None) -> None:
    """Derive empty categories from the words of the paper; without words they are not reported."""

    def isolation(text: str) -> str:
        return isolation_category(isolation_steps(text, folder))

    def source(text: str) -> str:
        return source_category(text, folder)

    for kind, derive in (("source", source), ("isolation", isolation)):
        category, reported = f"{kind}_category", f"{kind}_reported"
        words = frame[reported] if reported in frame else frame[category]
        frame[category] = [
            given if isinstance(given, str) else derive(text) if isinstance(text, str) else NOT_REPORTED
            for given, text in zip(frame[category], words, strict=True)
        ]


def _methods(text: object, category: str, folder: Path | None) -> str:
    """Return the categories of all methods that a study names, joined by "; "."""
    methods = isolation_methods(text, folder) if isinstance(text, str) else ()
    found = dict.fromkeys(isolation_category(steps) for steps in methods)
    if category not in found:
        found = {category: None, **found}
    return "; ".join(word for word in found if word != NOT_REPORTED or len(found) == 1)


def _outcome_label(codebook: Codebook, word: str) -> str:
    known = codebook.outcomes.get(word)
    return known.label if known else word.replace("_", " ").capitalize()


def _small(label: str) -> str:
    """Return a label for the middle of a sentence."""
    return label[0].lower() + label[1:] if label[1:2].islower() else label
