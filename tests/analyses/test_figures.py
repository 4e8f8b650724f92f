"""Every figure of the analyses says what was compared and in whom, and calls studies by their names."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

import metaexo as mx
from metaexo.report.run import Folders, run_analysis

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_titles_and_names(script, keys, tmp_path):
    analysis = run_analysis(script, Folders(ROOT / "analyses", ROOT / "data", tmp_path))
    titles = {}
    for entry in analysis.figures:
        if not entry.file.endswith(".svg"):
            continue
        drawn = texts(tmp_path / "figures" / entry.file)
        assert len(drawn) > 100
        assert entry.title in drawn, f"{entry.file} does not show its title"
        assert [key for key in keys if re.search(rf"\b{re.escape(key)}\b", drawn)] == []
        titles.setdefault(entry.title, []).append(entry.file)
    assert [files for files in titles.values() if len(files) > 1] == []
