"""Before any analysis: where each study goes, which rows give nothing, and how many effects result."""

from __future__ import annotations

from pathlib import Path

import pytest

import metaexo as mx
from metaexo.errors import UnknownChoiceError
from metaexo.evidence import SheetCheck
from tests.evidence.folders import OUTCOMES, Row, Write, write_sheet

SAID = {
    "Li 2020": ("hUC-MSC and platelet lysate", "UC"),
    "Cho 2021": ("human umbilical cord MSC", "ExoMagic + SEC"),
    "Kim 2019": ("MSC", "commercial kit"),
    "Roy 2022": ("unicorn horn", "ultracentrifugashun"),
    "Sun 2023": ("Adipose MSC", "UF, then qEV"),
    "Ito 2018": ("", "not reported"),
}
WARNED = pytest.mark.filterwarnings("ignore::metaexo.errors.SheetWarning")
STUDIES: list[Row] = [
    {"study_id": name, "source_reported": source, "isolation_reported": isolation}
    for name, (source, isolation) in SAID.items()
]
ROWS: list[Row] = [
    {**OUTCOMES[0], "study_id": name, "treatment_mean": 75 + i, "control_mean": 70 - 0.3 * i}
    for i, name in enumerate(SAID)
]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> SheetCheck:
    folder = tmp_path_factory.mktemp("sheets")
    write_sheet(folder / "studies.csv", STUDIES)
    write_sheet(folder / "outcomes.csv", [*ROWS[:-1], {**ROWS[-1], "treatment_sd": "", "control_sd": ""}])
    return mx.check_sheets(folder)


@pytest.mark.parametrize(
    ("kind", "study", "label", "how", "decided", "unused"),
    [
        ("source", "Li 2020", "Umbilical cord MSC", "synonym", "hUC-MSC", '"platelet lysate" (Platelet)'),
        ("source", "Cho 2021", "Umbilical cord MSC", "synonym", "umbilical cord MSC", ""),
        ("source", "Kim 2019", "MSC, tissue not named", "broad word", "MSC", ""),
        ("source", "Roy 2022", "Not reported", "not known", "", ""),
        ("source", "Sun 2023", "Adipose MSC", "exact category", "Adipose MSC", ""),
        ("source", "Ito 2018", "Not reported", "not reported", "", ""),
        ("isolation", "Li 2020", "Ultracentrifugation", "synonym", "UC", ""),
        ("isolation", "Cho 2021", "Size exclusion", "synonym", "SEC", '"ExoMagic" (not known)'),
        ("isolation", "Kim 2019", "Commercial or proprietary", "broad word", "commercial kit", ""),
        ("isolation", "Roy 2022", "Not reported", "not known", "", ""),
        ("isolation", "Sun 2023", "Combination of steps", "synonym", "UF + qEV", ""),
        ("isolation", "Ito 2018", "Not reported", "not reported", "", ""),
    ],
)
def test_every_text_has_its_place(
    check: SheetCheck, kind: str, study: str, label: str, how: str, decided: str, unused: str
) -> None:
    (place,) = (p for p in check.places if p.kind == kind and study in p.studies)
    assert (place.label, place.how, place.decided_by) == (label, how, decided)
    assert place.unused.removesuffix(" did not count") == unused
    assert place.needs_a_look == (how in ("broad word", "not known") or bool(unused))
    assert place.lines == (2 + list(SAID).index(study),)
    assert place.words == SAID[study][kind == "isolation"]


@WARNED
def test_places_are_where_the_analysis_puts_the_studies(check: SheetCheck) -> None:
    studies = mx.read_sheets(Path(check.folder)).studies.set_index("study_name")
    for place in check.places:
        for study in place.studies:
            assert studies.loc[study, place.kind] == place.label
    near = check.places_frame().set_index("words")["nearest"]
    assert near["ultracentrifugashun"] == "Ultracentrifugation"


def test_a_category_that_the_words_contradict_is_marked(write: Write) -> None:
    given = {"source_reported": "adipose MSC", "source_category": "bone_marrow_msc"}
    (place,) = (
        p
        for p in mx.check_sheets(
            write(studies=[{"study_id": "li2020", **given}], outcomes=OUTCOMES[:1])
        ).places
        if p.kind == "source"
    )
    assert (place.label, place.how) == ("Bone marrow MSC", "given")
    assert place.unused == "the words alone would go to Adipose MSC"


@WARNED
def test_effects_are_counted_as_the_analysis_has_them(check: SheetCheck) -> None:
    found = check.prospect
    assert found is not None
    es = mx.read_sheets(Path(check.folder)).effects("SMD")
    assert es.data is not None
    assert (found.measure, found.effects, found.studies, found.rows) == ("SMD", es.k, es.m, 6)
    frame = check.strata_frame()
    for by in ("source", "isolation"):
        counts = es.data.groupby(by).size().to_dict()
        assert frame[frame["by"] == by].set_index(by)["effects"].to_dict() == {"Not reported": 1, **counts}
    alone = frame[frame["studies"] == 1]
    assert set(alone["note"]) == {"one study: cannot estimate heterogeneity"}
    assert frame.loc[frame["by"] == "source, isolation", "effects"].sum() == es.k


def test_the_measure_is_the_one_that_most_rows_give(write: Write) -> None:
    events = {"treatment_events": 3, "control_events": 6}
    no_means = dict.fromkeys(("treatment_sd", "control_sd", "treatment_mean", "control_mean"), "")
    counted = [{**row, **no_means, **events} for row in ROWS[:4]]
    folder = write(studies=STUDIES, outcomes=[*counted, *ROWS[4:]])
    found = mx.check_sheets(folder).prospect
    assert found is not None
    assert (found.measure, found.effects) == ("RR", 4)
    assert [entry.reason for entry in found.left_out] == ["no numbers of events"] * 2
    asked = mx.check_sheets(folder, measure="SMD").prospect
    assert asked is not None
    assert (asked.measure, asked.effects, asked.chosen) == ("SMD", 2, "asked for")
    with pytest.raises(UnknownChoiceError, match="SMDD"):
        mx.check_sheets(folder, measure="SMDD")


def test_rows_without_an_effect_say_what_is_missing(check: SheetCheck) -> None:
    (gap,) = check.gaps
    assert (gap.lines, gap.studies, gap.columns) == ((7,), ("Ito 2018",), ("treatment_sd", "control_sd"))
    assert gap.what == "no SD, SE or confidence interval in either arm"
    assert "exact p-value" in gap.remedy


@pytest.mark.parametrize("width", [60, 100])
def test_the_report_fits_the_terminal_and_says_first_and_last_what_results(
    check: SheetCheck, width: int
) -> None:
    lines = check.report(width=width).splitlines()
    assert max(len(line) for line in lines if not line.startswith("Next: ")) <= width
    assert lines[0] == lines[-2] == "6 studies, 6 rows: 5 give an SMD; 0 errors, 6 warnings."
    assert lines[1] == lines[-1]
    assert lines[1].startswith(f"Next: metaexo report {check.folder} --measure SMD")
    text = " ".join(" ".join(lines).split())
    assert (
        '? "hUC-MSC and platelet lysate" (a synonym, "hUC-MSC"; "platelet lysate" (Platelet) did not' in text
    )
