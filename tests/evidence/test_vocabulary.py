"""From the words of a paper to a category."""

from __future__ import annotations

import pytest

from metaexo.evidence import (
    Sheets,
    isolation_category,
    isolation_methods,
    isolation_steps,
    load_vocabulary,
    source_category,
)
from tests.evidence.folders import DATA

# Rows whose category does not follow from the words; each is explained in data/README.md.
SETTLED_BY_THE_SHEET = {
    "werle2026",
    "antichrossello2020",
    "reseco2024",
    "chen2019",
    "uscexo_pmc4744390",
    "morse_dexosome",
}


@pytest.mark.parametrize(
    "words",
    [
        "differential ultracentrifugation",
        "UC",
        "ultra-centrifugation at 100,000 g",
        "Ultracentrifugation",
        "300 g, 2,000 g, 0.22 µm filter, 10,000 g, 100,000 g twice",
        "120.000 x g",
        "110 000×g pellet",
        "differential centrifugation",
        "超速离心法",
    ],
)
def test_many_words_mean_ultracentrifugation(words: str) -> None:
    assert isolation_steps(words) == ("ultracentrifugation",)


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ("UC + SEC", ("ultracentrifugation", "size_exclusion")),
        ("SEC + UC", ("size_exclusion", "ultracentrifugation")),
        (
            "TFF, then SEC (qEV), then ultrafiltration",
            ("tangential_flow", "size_exclusion", "ultrafiltration"),
        ),
        ("density gradient ultracentrifugation", ("density_gradient",)),
        ("differential centrifugation and sucrose/D2O gradient ultracentrifugation", ("density_gradient",)),
        ("PEG-6000 12% precipitation", ("precipitation",)),
        ("PEG-dextran aqueous two-phase system", ("aqueous_two_phase",)),
        ("filtration, 8% PEG8000, 10,000 g", ("precipitation",)),
        ("anion exchange chromatography", ("ion_exchange",)),
        ("hydrophobic interaction chromatography", ("hydrophobic_interaction",)),
        ("TFF + bind-elute SEC", ("tangential_flow", "bind_elute")),
        ("asymmetric flow field-flow fractionation", ("field_flow",)),
        ("membrane affinity", ("affinity",)),
        ("immuno-capture", ("immunoaffinity",)),
        ("Total Exosome Isolation kit", ("precipitation",)),
        ("three commercial kits", ("commercial_proprietary",)),
        ("centrifugation of culture medium", ()),
        ("300 g and a 0.22 µm filter", ()),
        ("not shown", ()),
        ("", ()),
    ],
)
def test_steps_come_in_their_order_and_preparation_is_no_step(words: str, steps: tuple[str, ...]) -> None:
    assert isolation_steps(words) == steps


def test_the_category_is_derived_from_the_steps() -> None:
    assert isolation_category(()) == "not_reported"
    assert isolation_category(("size_exclusion",)) == "size_exclusion"
    assert isolation_category(("ultracentrifugation", "size_exclusion")) == "combined"


def test_a_comparison_names_methods_and_each_has_steps() -> None:
    assert isolation_methods("UC; SEC; UC + SEC; 0.22 µm filter") == (
        ("ultracentrifugation",),
        ("size_exclusion",),
        ("ultracentrifugation", "size_exclusion"),
    )


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("human adipose tissue stem cell-derived exosomes", "adipose_msc"),
        ("ADSC", "adipose_msc"),
        ("Wharton's jelly mesenchymal stem cell-derived exosomes", "umbilical_cord_msc"),
        ("human umbilical cord blood endothelial progenitor cell exosomes", "endothelial_epc"),
        ("human umbilical vein endothelial cell (HUVEC) exosomes", "endothelial_epc"),
        ("iPSC-derived MSC extracellular vesicles", "ipsc"),
        ("rose stem-cell-derived exosomes (RSCE)", "plant"),
        ("hMSC exosomes (tissue not shown)", "msc_unspecified"),
        ("exosomes (source not stated)", "not_reported"),
    ],
)
def test_sources(words: str, category: str) -> None:
    assert source_category(words) == category


@pytest.mark.parametrize("name", ["source", "isolation"])
def test_a_vocabulary_is_consistent(name: str) -> None:
    terms = load_vocabulary(name).terms
    words = [word.casefold() for term in terms.values() for word in (*term.synonyms, *term.synonyms_if_alone)]
    assert len(words) == len(set(words)), "one synonym, one category"
    labels = [term.label for term in terms.values()]
    assert len(labels) == len(set(labels))
    assert all(len(label) <= 30 for label in labels), "labels are short enough for an axis"
    for term in terms.values():
        assert term.group
        for word in term.synonyms:
            found = [category for _, category, _ in load_vocabulary(name).mentions(word)]
            assert found == [term.category], word


def test_the_isolation_of_our_sheets_follows_from_the_words(ours: Sheets) -> None:
    rows = read = 0
    different = set()
    for name in ("studies", "preparations", "safety_events"):
        frame = getattr(ours, name)
        for row in frame[frame["isolation_reported"].notna()].to_dict("records"):
            rows += 1
            words, category = row["isolation_reported"], row["isolation_category"]
            if row.get("design") == "method_comparison":
                derived = {isolation_category(steps) for steps in isolation_methods(words)} or {
                    "not_reported"
                }
            else:
                derived = {isolation_category(isolation_steps(words))}
            read += category in derived
            if category not in derived:
                different.add(row["study_id"])
    assert different == SETTLED_BY_THE_SHEET
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert all(f"`{study}`" in readme for study in different)
    assert f"Of {rows} rows with words for the isolation the category follows from them in {read}." in readme


def test_the_sources_of_our_sheets_follow_from_the_words(ours: Sheets) -> None:
    pairs = [
        (row["source_reported"], row["source_category"])
        for name in ("studies", "preparations", "safety_events")
        for row in getattr(ours, name).to_dict("records")
    ]
    agree = sum(source_category(words) == category for words, category in pairs)
    readme = " ".join((DATA / "README.md").read_text(encoding="utf-8").split())
    assert f"it agrees with the sheet in {agree} of {len(pairs)} rows" in readme
