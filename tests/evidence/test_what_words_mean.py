"""Sources and methods: what is denied, what cells lived in, mixtures, and words of other languages."""

from __future__ import annotations

from pathlib import Path

import pytest

import metaexo as mx
from metaexo.evidence.vocabulary import isolation_category, load_vocabulary, source_category
from tests.evidence.tables.making import text

HEAD = ("Study", "Source", "Isolation", "Exosome mean", "Exosome SD", "Exosome n", "Control mean")
HEAD = (*HEAD, "Control SD", "Control n")


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("serum-free cultured BMSC", "bone_marrow_msc"),
        ("human serum albumin-loaded ADSC", "adipose_msc"),
        ("platelet lysate-expanded UC-MSC", "umbilical_cord_msc"),
        ("MSC in 10% platelet lysate", "msc_unspecified"),
        ("MSCs, 10% FBS", "msc_unspecified"),
        ("FBS", "plasma_serum"),
        ("plasma-treated keratinocytes", "keratinocyte"),
        ("BMSC cultured with macrophages", "bone_marrow_msc"),
        ("macrophages treated with ADSC exosomes", "macrophage_immune"),
        ("macrophage membrane-coated BMSC EVs", "bone_marrow_msc"),
        ("neutrophil membrane hybrid ADSC", "adipose_msc"),
        ("fibroblast-derived iPSC", "ipsc"),
        ("urine-derived iPSC", "ipsc"),
        ("iPSC-derived endothelial cells", "ipsc"),
        ("platelet-free plasma", "plasma_serum"),
        ("mouse plasma, not pregnant", "plasma_serum"),
        # cells that are no stromal cells, wherever they come from
        ("bone marrow mononuclear cells", "macrophage_immune"),
        ("bone marrow-derived macrophages", "macrophage_immune"),
        ("cord blood mononuclear cells", "macrophage_immune"),
        ("peripheral blood mononuclear cells", "macrophage_immune"),
        ("Human umbilical cord endothelial cells", "endothelial_epc"),
        ("umbilical artery smooth muscle cells", "primary_cell"),
        ("cancer-associated adipocytes", "primary_cell"),
        ("adipose tissue explants", "tissue"),
        ("peripheral blood MSC", "other"),
        ("synovial fluid MSC", "other"),
        # what is denied
        ("non-adipose MSC", "not_reported"),
        ("MSC (not adipose)", "msc_unspecified"),
        ("serum-free conditioned medium", "not_reported"),
        # other languages
        ("cellules souches de la moelle osseuse", "bone_marrow_msc"),
        ("tejido adiposo", "adipose_msc"),
        ("人脐带间充质干细胞来源外泌体", "umbilical_cord_msc"),
        ("脂肪干细胞", "adipose_msc"),
        ("骨髓间充质干细胞", "bone_marrow_msc"),
    ],
)
def test_a_source_is_what_the_vesicles_come_from(words: str, category: str) -> None:
    assert source_category(words) == category


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("not UC", "not_reported"),
        ("no ultracentrifugation, ExoQuick", "precipitation"),
        ("UC (not SEC)", "ultracentrifugation"),
        ("SEC without ultracentrifugation", "size_exclusion"),
        ("UF + SEC", "combined"),
        ("chromatographie d'exclusion stérique", "size_exclusion"),
        ("cromatografía de exclusión por tamaño", "size_exclusion"),
        ("沉淀法", "precipitation"),
        ("尺寸排阻色谱", "size_exclusion"),
    ],
)
def test_a_method_that_was_not_used_is_none(words: str, category: str) -> None:
    assert isolation_category(words) == category


@pytest.mark.parametrize("words", ["liver MSC", "non-adipose MSC"])
def test_no_category_is_called_near_that_is_not(words: str) -> None:
    assert load_vocabulary("source").nearest(words) != "adipose_msc"
    assert load_vocabulary("source").nearest(words) != "plant"


def test_every_line_of_check_that_needs_a_look_is_a_counted_warning(tmp_path: Path) -> None:
    told = [
        ("ADSC", "UC"),
        ("BMSC and ADSC", "UC"),
        ("serum-free cultured BMSC", "SEC"),
        ("MSC (not adipose)", "UC"),
        ("unicorn horn", "UC"),
        ("BMSC", "UC or SEC"),
        ("BMSC", "UC (not SEC)"),
        ("BMSC", "a kit"),
    ]
    numbers = [(5.1 + i, 1.1, 10, 3.9 + i / 7, 1.2, 9 + i) for i in range(len(told))]
    rows = [(f"Li {2000 + i}", *two, *numbers[i]) for i, two in enumerate(told)]
    found = mx.check_sheets(text(tmp_path / "t.csv", [HEAD, *rows]))
    looked = {line for place in found.places if place.needs_a_look for line in place.lines}
    warned = {p.line for p in found.warnings if "_reported" in p.column}
    assert looked == warned == {3, 5, 6, 7, 8, 9}
    said = {problem.line: problem.what for problem in found.warnings}
    assert '"ADSC" (Adipose MSC) did not count' in said[3]
    assert '"or" names alternatives, and no combination' in said[7]


def test_a_category_that_the_user_gives_settles_the_words(tmp_path: Path) -> None:
    head = (*HEAD, "source_category")
    row = ("Li 2020", "BMSC and ADSC", "UC", 5.1, 1.1, 10, 3.9, 1.2, 9, "other")
    found = mx.check_sheets(text(tmp_path / "t.csv", [head, row]))
    assert not [problem for problem in found.warnings if "_reported" in problem.column]
    assert not any(place.needs_a_look for place in found.places)
