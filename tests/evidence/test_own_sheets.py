"""The sheets of metaexo are found in a checkout and in the installed package, which brings all of them."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.evidence import codebook
from tests.evidence.folders import DATA

ROOT = DATA.parent
INCLUDED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
    "targets"
]["wheel"]["force-include"]


def test_the_wheel_brings_every_sheet_to_where_it_is_looked_for() -> None:
    places = {ROOT / source: Path(target) for source, target in INCLUDED.items()}
    package = Path(mx.__file__).parents[1]
    first, second = codebook._OURS
    for path in (*DATA.glob("*.csv"), DATA / "datapackage.json", *DATA.glob("vocabulary/*.csv")):
        (target,) = [
            to / path.relative_to(source) for source, to in places.items() if path.is_relative_to(source)
        ]
        assert package / target == first / path.relative_to(DATA)
    assert second == DATA


def test_in_a_checkout_they_are_those_in_data() -> None:
    found = mx.evidence_sheets()
    assert Path(found.folder) == DATA
    assert len(found.cargo_groups) == 3248
    assert found.studies.equals(mx.read_sheets(DATA).studies)


def test_an_installed_package_needs_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DATA, tmp_path / "codebook_data")
    monkeypatch.setattr(codebook, "_OURS", (tmp_path / "codebook_data", tmp_path / "nowhere"))
    found = mx.evidence_sheets()
    assert Path(found.folder) == tmp_path / "codebook_data"
    assert found.effects("MN", sheet="marker_arms").k == 262
    monkeypatch.setattr(codebook, "_OURS", (tmp_path / "nowhere",))
    with pytest.raises(InputError, match=r"studies.csv is not installed with metaexo"):
        mx.evidence_sheets()
