"""Every figure says what was compared and in whom; figures, tables and words call studies by their names."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pandas as pd
import pytest

import metaexo as mx

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "analyses" / "results"
NAMED = {"study", "study_name", "label", "laboratory", "level", "measured_on", "choice", "question"}
"""Columns of tables that call studies by their names; keys stand in study_id and review_id."""
SCRIPTS = sorted((ROOT / "analyses").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def keys():
    """Return the keys of the studies and reviews of our sheets, as a figure might print them."""
    sheets = mx.read_sheets(ROOT / "data")
    found = {*sheets.published_meta_analyses["review_id"]}
    for table in (sheets.studies, sheets.preparations, sheets.safety_events):
        found |= {*table["study_id"]}
    return found | {key.replace("_", " ") for key in found}


def texts(figure: Path) -> str:
    """Return all texts of a figure, one after the other."""
    drawn = re.sub(
        r"<(title|desc|style|metadata)\b.*?</\1>", "", figure.read_text(encoding="utf-8"), flags=re.S
    )
    found = re.findall(r"<text\b[^>]*>(.*?)</text>", drawn, flags=re.S)
    return " ".join(html.unescape(" ".join(re.sub(r"<[^>]+>", " ", text) for text in found)).split())


def mentioned(keys: set[str], words: str) -> list[str]:
    return [key for key in keys if key in words and re.search(rf"\b{re.escape(key)}\b", words)]


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_titles_and_names(script, keys):
    """The committed ones, which are what the scripts make: `metaexo reproduce --check` holds them to that."""
    listed = pd.read_csv(ROOT / "figures" / "MANIFEST.tsv", sep="\t")
    shown = listed[(listed["script"] == script.stem) & listed["file"].str.endswith(".svg")]
    for entry in shown.itertuples():
        drawn = texts(ROOT / "figures" / entry.file)
        assert len(drawn) > 100
        assert entry.title in drawn, f"{entry.file} does not show its title"
        assert mentioned(keys, drawn) == []
    assert shown["title"].is_unique
    tables = sorted(RESULTS.glob(f"{script.stem[:2]}_*.csv"))
    assert tables
    for path in tables:
        table = pd.read_csv(path, dtype=str)
        for column in NAMED & set(table.columns):
            assert mentioned(keys, " | ".join(table[column].dropna().unique())) == [], (
                f"{path.name}, {column}"
            )


def test_words_call_studies_by_their_names(keys):
    words = (RESULTS / "summary.md").read_text(encoding="utf-8")
    assert all(f"<!-- {script.stem} -->" in words for script in SCRIPTS)
    assert mentioned(keys, words) == []
