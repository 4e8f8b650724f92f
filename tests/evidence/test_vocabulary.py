"""From the words of a paper to a category."""

from __future__ import annotations

import pytest

from metaexo.errors import (
    InputError,
    UnknownCategoryWarning,
    UnknownOutcomeWarning,
    UnspecificCategoryWarning,
)
from metaexo.evidence import (
    Sheets,
    check_sheets,
    isolation_category,
    isolation_main_step,
    isolation_methods,
    isolation_steps,
    load_vocabulary,
    read_sheets,
    source_category,
)
from metaexo.evidence.vocabulary import unclear
from tests.evidence.folders import DATA, OUTCOMES, STUDIES, Write

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


@pytest.mark.parametrize(
    ("category", "texts"),
    [
        (
            "ultracentrifugation",
            ["Ultracentrifuge", "ultra centrifuged", "ultracentrifugations", "dUC", "UCF"],
        ),
        (
            "precipitation",
            ["Exo-Quick", "ExoQuick", "exoquick tc", "ExoQuick-TC", "PEG-6000", "precipitated"],
        ),
        (
            "size_exclusion",
            ["Sephadex G-50", "Sepharose CL-2B columns", "qEV columns", "gel-filtration", "SE-HPLC"],
        ),
        ("immunoaffinity", ["CD63 beads", "anti-CD9", "CD9/CD63/CD81 beads", "CD81-coated magnetic beads"]),
        ("immunoaffinity", ["beads coated with a CD63 antibody", "immuno-magnetic separation", "MACS"]),
        ("affinity", ["Vn96", "EVtrap", "Tim-4", "MagCapture"]),
        ("commercial_proprietary", ["exoRNeasy", "Exo-spin", "ExoSpin", "exoEasy Maxi kit"]),
        ("ultrafiltration", ["EXODUS", "Amicon", "ultrafiltrated"]),
        ("tangential_flow", ["hollow fibre", "hollow-fiber filtration", "tangential-flow"]),
        ("field_flow", ["AF4"]),
        ("other", ["FACS", "HPLC"]),
    ],
)
def test_spellings_of_papers_have_the_category_of_their_method(category: str, texts: list[str]) -> None:
    """Joined and hyphenated, singular and plural, British and American."""
    found = {text: isolation_category(isolation_steps(text)) for text in texts}
    assert found == dict.fromkeys(texts, category)


@pytest.mark.parametrize(
    ("category", "texts"),
    [
        (
            "umbilical_cord_msc",
            ["hUC-MSC", "hUCMSCs", "HucMSC-exo", "WJ-MSC", "hWJ-MSCs", "UCB-MSC", "hUCB-MSCs"],
        ),
        ("bone_marrow_msc", ["rBMSC", "mBMSCs", "hBMSC", "rBM-MSC", "bone-marrow MSC", "BMMSCs"]),
        ("adipose_msc", ["mADSC", "hASCs", "canine ADSC", "rADSCs", "adipose-derived stromal cells"]),
        ("placenta_amnion_msc", ["hAMSC", "placenta", "amnion", "chorion", "chorionic villi", "hAECs"]),
        ("gingival_dental_msc", ["dental pulp", "hDPSC", "SHED", "PDLSCs", "gingiva"]),
        ("menstrual_endometrial", ["menstrual blood", "MenSCs", "endometrium"]),
        ("ipsc", ["iPSC", "hiPSC-MSC", "iPS cells"]),
        ("keratinocyte", ["keratinocytes", "HaCaT"]),
        ("fibroblast", ["dermal fibroblasts", "HDFs", "NIH/3T3"]),
        ("macrophage_immune", ["M2 macrophages", "RAW264.7", "THP-1", "NK cells"]),
        ("plasma_serum", ["plasma", "serum", "peripheral blood"]),
        ("platelet", ["platelets", "PRP", "platelet lysate"]),
        ("urine", ["urine", "urinary"]),
        ("milk_colostrum", ["milk", "cow's milk", "bovine colostrum"]),
        (
            "plant",
            ["ginger", "grapefruits", "lemon", "Aloe vera", "ginseng", "PELNs", "carrots", "green tea"],
        ),
        ("tumour_cell_line", ["A549", "MCF7", "B16-F10", "tumour cells", "tumor cells", "HepG2"]),
        ("other_cell_line", ["HEK 293T", "T-REx-293", "MCF-10A"]),
        ("saliva", ["saliva", "salivary exosomes"]),
        ("cerebrospinal_fluid", ["cerebrospinal fluid", "CSF"]),
        ("semen", ["semen", "seminal plasma"]),
        ("other_body_fluid", ["ascites", "synovial fluid", "tears", "pleural effusion"]),
        ("red_cell", ["red blood cells", "erythrocytes", "RBC"]),
        ("primary_cell", ["cytotrophoblast", "hepatocytes", "neurons", "Schwann cells"]),
        ("tissue", ["placental explants", "tumour tissue"]),
        ("other", ["liposomes", "synovial MSC", "archaea"]),
        ("msc_unspecified", ["MSC", "hMSCs", "mouse mesenchymal stem cells"]),
        ("not_reported", ["AMSC", "unicorn horn", "", "not stated"]),
    ],
)
def test_spellings_of_papers_have_the_category_of_their_source(category: str, texts: list[str]) -> None:
    """Species letters before the short names of cells (h, m, r, b, p, c) change nothing."""
    assert {text: source_category(text) for text in texts} == dict.fromkeys(texts, category)


def test_one_text_is_one_text_and_never_letters() -> None:
    assert isolation_category("UC") == "ultracentrifugation"
    assert isolation_category("SEC") == "size_exclusion"
    assert isolation_category("size_exclusion") == "size_exclusion"
    assert isolation_category("UC, then SEC") == "combined"
    assert isolation_category(float("nan")) == source_category(None) == "not_reported"  # type: ignore[arg-type]
    assert isolation_steps(None) == isolation_methods(None) == ()  # type: ignore[arg-type]
    for call in (isolation_category, isolation_steps, isolation_methods, source_category):
        for wrong in (5, 5.0, {"a": 1}, b"UC", object()):
            with pytest.raises(InputError):
                call(wrong)  # type: ignore[operator]
    for call in (isolation_steps, isolation_methods, source_category):
        with pytest.raises(InputError):
            call(["UC"])  # type: ignore[operator]
    with pytest.raises(InputError):
        isolation_category([5])  # type: ignore[list-item]


def test_words_without_a_category_are_said_once_with_their_rows(write: Write) -> None:
    words = ["unicorn horn", "unicorn horn", "MSC", "not reported", "adipoze tisue", ""]
    studies = [
        {"study_id": f"s{i}", "source_reported": text, "isolation_reported": "UC"}
        for i, text in enumerate(words)
    ]
    studies += [{"study_id": "s9", "source_reported": "unicorn horn", "source_category": "other"}]
    outcomes = [dict(OUTCOMES[0], study_id="s0"), dict(OUTCOMES[1], study_id="s1")]
    found = {
        (w.kind.__name__, w.value): w
        for w in check_sheets(write(studies=studies, outcomes=outcomes)).warnings
    }
    assert set(found) == {
        ("UnknownCategoryWarning", "unicorn horn"),
        ("UnknownCategoryWarning", "adipoze tisue"),
        ("UnspecificCategoryWarning", "MSC"),
    }
    horn = found["UnknownCategoryWarning", "unicorn horn"]
    assert (horn.line, horn.lines, horn.nearest) == (2, (2, 3), None)
    assert "lines 2, 3" in horn.where
    assert found["UnknownCategoryWarning", "adipoze tisue"].nearest == "adipose_msc"
    with (
        pytest.warns(UnknownCategoryWarning, match="adipoze tisue"),
        pytest.warns(UnspecificCategoryWarning),
    ):
        read_sheets(write(studies=studies, outcomes=outcomes))


def test_unspecific_and_unknown_isolations_are_said(write: Write) -> None:
    words = {
        "a commercial kit": "unspecific",
        "magic": "no category",
        "low speed spin": "no category",
        "SEC": "",
    }
    assert {text: unclear("isolation", text) for text in words} == words
    studies = [dict(STUDIES[0], isolation_reported="magic"), dict(STUDIES[1], isolation_reported="SEC")]
    (warning,) = check_sheets(write(studies=studies)).warnings
    assert (warning.kind, warning.column, warning.line) == (UnknownCategoryWarning, "isolation_reported", 2)
    spoken = [dict(studies[0], caution="no such method is known"), studies[1]]
    assert not check_sheets(write(studies=spoken)).warnings


def test_outcomes_outside_the_vocabulary_are_said_with_the_nearest(write: Write) -> None:
    outcomes = [dict(OUTCOMES[0], outcome="wound_closur"), dict(OUTCOMES[1], outcome="unicorns_seen")]
    near, far = check_sheets(write(outcomes=outcomes)).warnings
    assert (near.nearest, far.nearest) == ("wound_closure", None)
    assert {near.kind, far.kind} == {UnknownOutcomeWarning}


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
        ("hUC-MSC exosomes", "umbilical_cord_msc"),  # "MSC exosomes" is longer than "UC-MSC", and says less
        ("BM-MSC-EVs", "bone_marrow_msc"),
        ("placental explant", "tissue"),
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


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("differential centrifugation (300 g, 2,000 g, 10,000 g)", "low_speed_pellet"),
        ("differential centrifugation up to 16,500×g", "low_speed_pellet"),
        ("differential centrifugation (300 g, 2,000 g, 100,000 g)", "ultracentrifugation"),
        ("500 g of ginger, differential centrifugation", "ultracentrifugation"),  # a weight, no force
        ("differential centrifugation at 20,000 g, then SEC", "size_exclusion"),
        ("differential ultracentrifugation (300 g, 10,000 g)", "ultracentrifugation"),
        ("acoustic nanofiltration", "microfluidic"),
        ("nanofiltration", "ultrafiltration"),
        ("Exodisc", "microfluidic"),
        ("30% sucrose/D2O cushion", "density_gradient"),
        ("SmartSEC", "size_exclusion"),
        ("polyethylenglycol", "precipitation"),
    ],
)
def test_the_largest_force_and_the_whole_phrase_decide(words: str, category: str) -> None:
    assert isolation_category(words) == isolation_main_step(words) == category


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("platelet-poor plasma", "plasma_serum"),
        ("platelet-depleted plasma (PPP)", "plasma_serum"),
        ("platelet-rich plasma", "platelet"),
        ("human amniotic fluid", "other_body_fluid"),
        ("cell-free amniotic fluid", "other_body_fluid"),
        ("human amniotic fluid-derived MSC", "placenta_amnion_msc"),
        ("stem cells isolated from amniotic fluid", "placenta_amnion_msc"),
        ("amniotic fluid stem cells", "placenta_amnion_msc"),
        ("bone marrow MSC; amniotic fluid MSC", "bone_marrow_msc"),  # what is named first counts
    ],
)
def test_a_body_fluid_is_no_cell_and_its_cells_are_no_fluid(words: str, category: str) -> None:
    assert source_category(words) == category
