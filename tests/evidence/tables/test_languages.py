"""Headings in other languages, and what is said where no heading is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import metaexo as mx
from metaexo.errors import UnknownChoiceError
from metaexo.evidence.tables.headings import tokens
from tests.evidence.tables.making import COLUMNS, LI, WU, problems, read, text, values, workbook

KOREAN = ("조사", "출처", "치료 평균", "치료 표준", "치료 수", "대조 평균", "대조 표준", "대조 수")


@pytest.mark.parametrize(
    ("study", "form", "arms", "parts"),
    [
        ("Étude", "{arm} {part}", ("Exosomes", "Témoin"), ("moyenne", "écart-type", "effectif")),
        ("Auteur, année", "{part} ({arm})", ("traité", "contrôle"), ("Moyenne", "ET", "N")),
        ("Estudio", "{part} {arm}", ("exosomas", "control"), ("Media", "DE", "n")),
        ("Estudio", "{part} de {arm}", ("exosomas", "controles"), ("Media", "DE", "n")),
        ("研究", "{arm}{part}", ("外泌体组", "对照组"), ("均值", "标准差", "例数")),
        ("作者年份", "{arm} {part}", ("实验组", "对照组"), ("平均值", "标准差", "样本量")),
    ],
)
def test_headings_of_other_languages_are_read(
    tmp_path: Path, study: str, form: str, arms: tuple[str, str], parts: tuple[str, ...]
) -> None:
    head = (study, *(form.format(arm=arm, part=part) for arm in arms for part in parts))
    tables = read(workbook(tmp_path / "t.xlsx", [head, LI, WU]))
    assert problems(tables) == []
    assert values(tables, *COLUMNS) == [tuple(map(str, row)) for row in (LI, WU)]


def test_and_and_of_are_no_standard_deviations() -> None:
    assert tokens("Source et origine de cellules") == ["source", "et", "origine", "de", "cellules"]
    assert tokens("ET (traité)")[0] == tokens("DE control")[0] == "sd"


def test_a_table_of_unknown_headings_gets_the_options_with_its_own(tmp_path: Path) -> None:
    rows = [("Kim 2020", "ADSC", *LI[1:]), ("Lee 2021", "BMSC", *WU[1:])]
    path = text(tmp_path / "t.csv", [KOREAN, *rows])
    (problem,) = mx.check_sheets(path).problems
    assert all(f'--map "{heading}=NAME"' in problem.remedy for heading in KOREAN)
    names = re.findall(r"\w+_\w+", problem.remedy.partition("in the place of each NAME one of")[2])
    names = [name for name in names if name != "isolation_reported"]
    columns = dict(zip(KOREAN, names, strict=True))
    sheets = mx.read_table(path, columns=columns)
    assert sheets.effects("SMD", orient=False).k == 2
    with pytest.raises(UnknownChoiceError, match="NAME"):
        mx.read_table(path, columns=dict.fromkeys(KOREAN, "NAME"))


def test_a_word_that_is_a_part_of_several_names_is_offered_all_of_them(tmp_path: Path) -> None:
    path = text(tmp_path / "t.csv", [("Study", "Exosome mean", "Exosome SD"), ("Li", 5, 1)])
    with pytest.raises(UnknownChoiceError) as caught:
        mx.read_table(path, columns={"Exosome SD": "SE"})
    assert caught.value.nearest is None
    assert "write 'treatment_se' or 'control_se' or 'effect_se'" in str(caught.value)
    assert UnknownChoiceError("column", "n", ["unit", "note", "treatment_n", "control_n"]).nearest is None
    assert UnknownChoiceError("column", "doi", ["unit", "paper_doi"]).nearest == "paper_doi"
