"""The step that decides an isolation and the finer source: rule, labels, and the sheets that have them."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, RowsWithoutEffectWarning, UnknownChoiceError, UnknownStudyError
from metaexo.evidence import Sheets, isolation_main_step, load_vocabulary, source_category
from tests.evidence.folders import DATA, OUTCOMES, STUDIES, Write, write_sheet

# Groups whose steps do not say which of two labels their readers gave; explained in data/README.md.
BY_FORCE_ALONE = {"PRJEB33290", "PRJNA535491"}


@pytest.mark.parametrize(
    ("steps", "main"),
    [
        (("ultrafiltration", "size_exclusion"), "size_exclusion"),
        (("size_exclusion", "ultracentrifugation"), "size_exclusion"),
        (("size_exclusion", "density_gradient"), "density_gradient"),
        (("density_cushion", "ultracentrifugation"), "density_gradient"),
        (("precipitation", "immunoaffinity"), "immunoaffinity_or_sorting"),
        (("tangential_flow", "precipitation", "ultracentrifugation"), "precipitation"),
        (("ultrafiltration", "ultracentrifugation"), "ultracentrifugation"),
        (("tangential_flow", "bind_elute"), "other_chromatography"),
        (("ultrafiltration",), "ultrafiltration"),
        ((), "not_reported"),
        ("exoRNeasy", "membrane_affinity_column"),
        ("exoEasy Maxi kit after ultrafiltration", "membrane_affinity_column"),
        ("Exo-spin", "size_exclusion"),
        ("Norgen kit", "commercial_other"),
        ("Vn96 peptide affinity", "immunoaffinity_or_sorting"),
        ("FACS after UC", "immunoaffinity_or_sorting"),
        ("pellet at 10,000 g", "low_speed_pellet"),
        ("pellet at 100,000 g", "ultracentrifugation"),
        ("differential centrifugation", "ultracentrifugation"),
        ("combined", "combined"),
        ("not shown", "not_reported"),
        (None, "not_reported"),
    ],
)
def test_the_step_that_selects_most_decides(steps: object, main: str) -> None:
    assert isolation_main_step(steps) == main  # type: ignore[arg-type]
    if isinstance(steps, tuple):
        assert isolation_main_step(list(reversed(steps))) == main, "the order of steps does not matter"


def test_words_that_are_no_steps_are_refused() -> None:
    with pytest.raises(UnknownChoiceError, match="size_exclusion"):
        isolation_main_step(["size_exclusio"])
    for wrong in (5, {"a": 1}, [3]):
        with pytest.raises(InputError):
            isolation_main_step(wrong)  # type: ignore[arg-type]


def test_every_category_of_isolation_has_a_deciding_step() -> None:
    labels = load_vocabulary("isolation_step")
    for category in load_vocabulary("isolation").terms:
        if category != "preparatory":
            assert isolation_main_step(category) in labels, category


def test_the_rule_gives_the_labels_of_two_readers(ours: Sheets) -> None:
    cargo = ours.cargo_groups
    with_steps = cargo[cargo["isolation_steps"].notna()]
    by_rule = [isolation_main_step(steps.split(";")) for steps in with_steps["isolation_steps"]]
    differ = with_steps[
        [rule != main for rule, main in zip(by_rule, with_steps["isolation_main_step"], strict=True)]
    ]
    assert set(differ["study_id"]) == BY_FORCE_ALONE
    assert set(differ["isolation_steps"]) == {"differential_centrifugation"}
    worded = cargo[cargo["isolation_reported"].notna()]
    assert [isolation_main_step(words) for words in worded["isolation_reported"]] == list(
        worded["isolation_main_step"]
    )
    assert (cargo.loc[cargo["isolation_reported"].isna(), "isolation_main_step"] == "not_reported").all()


def test_size_exclusion_is_found_behind_combined_steps_and_kits(ours: Sheets) -> None:
    cargo = ours.cargo_groups
    projects = {
        column: cargo.loc[cargo[column] == "Size exclusion", "study_id"].nunique()
        for column in ("isolation", "isolation_step")
    }
    assert projects == {"isolation": 4, "isolation_step": 16}
    named = cargo.loc[cargo["isolation_steps"].str.contains("size_exclusion", na=False), "study_id"]
    assert named.nunique() == 16


def test_every_sheet_with_an_isolation_has_its_step(ours: Sheets) -> None:
    labels = {term.label for term in load_vocabulary("isolation_step").terms.values()}
    names = (
        "studies",
        "preparations",
        "safety_events",
        "published_meta_analyses",
        "cargo_groups",
        "marker_arms",
    )
    for name in (*names, "brain_studies", "brain_outcomes", "identified_counts", "methods_survey"):
        assert set(getattr(ours, name)["isolation_step"]) <= labels, name
    for name in ("outcomes", "method_contrasts"):
        frame = getattr(ours, name)
        for arm in ("treatment", "control"):
            known = frame[f"{arm}_isolation"].notna()
            assert set(frame.loc[known, f"{arm}_isolation_step"]) <= labels
            assert frame.loc[~known, f"{arm}_isolation_step"].isna().all()
    contrasts = ours.method_contrasts.drop_duplicates("treatment_label").set_index("treatment_label")
    assert contrasts["treatment_isolation_step"]["Exo-spin columns (size exclusion)"] == "Size exclusion"
    assert ours.studies.set_index("study_id")["isolation_step"]["chen2019"] == "Microfluidic", (
        "the sheet's word holds"
    )
    plain = ours.studies[ours.studies["isolation_category"] == "ultracentrifugation"]
    assert (plain["isolation_step"] == "Ultracentrifugation").all()


def test_plasma_and_serum_are_apart_where_the_words_say_so(ours: Sheets) -> None:
    cargo = ours.cargo_groups
    assert set(cargo.loc[cargo["source"] == "Plasma or serum", "source_kind"]) == {
        "Plasma",
        "Serum",
        "Cord blood",
        "Plasma, selected vesicles",
        "Blood, part not named",
    }
    assert list(cargo["source_group"].unique())[:1] == ["tumour_cell_line"], "the sheet's own words stay"
    studies = ours.studies[ours.studies["source_category"] == "plasma_serum"]
    assert {"Plasma", "Serum", "Plasma or serum", "Cord blood"} == set(studies["source_kind"])
    others = ours.studies[ours.studies["source_category"] != "plasma_serum"]
    assert (others["source_kind"] == others["source"]).all()


def test_other_hides_no_source_that_has_a_name(ours: Sheets) -> None:
    hidden = {"saliva", "semen", "urine", "ascites", "cell line", "tumour", "cancer cell", "explant"}
    for name in ("studies", "preparations", "safety_events"):
        frame = getattr(ours, name)
        other = frame.loc[frame["source_category"] == "other", "source_reported"].dropna()
        assert not [words for words in other if any(word in words.lower() for word in hidden)], name
    assert (ours.cargo_groups["source_category"] != "other").all()


@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("plasma of patients with melanoma", "plasma_serum"),
        ("ascites of ovarian carcinoma", "other_body_fluid"),
        ("saliva and serum", "saliva"),
        ("lung carcinoma cell line A549", "tumour_cell_line"),
        ("cardiomyocytes", "primary_cell"),
        ("HEK293T cells", "other_cell_line"),
    ],
)
def test_a_precise_source_goes_before_a_broad_one(words: str, category: str) -> None:
    assert source_category(words) == category


@pytest.mark.parametrize(
    ("measure", "sheet", "k", "m"),
    [
        ("MD", "method_contrasts", 204, 4),
        ("SMD", "brain_outcomes", 65, 17),
        ("MN", "marker_arms", 262, 2),
    ],
)
def test_the_new_sheets_give_effects(ours: Sheets, measure: str, sheet: str, k: int, m: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = ours.effects(measure, sheet=sheet)
    assert (es.k, es.m) == (k, m)
    assert es.ledger.total == len(getattr(ours, sheet))


def test_two_methods_are_never_turned(ours: Sheets) -> None:
    rows = ours.method_contrasts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = ours.effects("MD", sheet="method_contrasts")
    assert not es.oriented
    assert es.y == pytest.approx((rows["treatment_mean"] - rows["control_mean"]).to_numpy(), rel=1e-12)


def test_groups_of_cargo_are_means_with_their_laboratories(ours: Sheets) -> None:
    where = "outcome == 'ln_effective_mirnas' and use == 'main'"
    with pytest.warns(RowsWithoutEffectWarning, match="n = 1"):
        es = ours.effects("MN", where=where, sheet="cargo_groups")
    chosen = ours.cargo_groups.query(where)
    single = chosen["treatment_n"] == 1
    assert es.k == (~single).sum()
    assert es.v == pytest.approx(
        (chosen["treatment_sd"] ** 2 / chosen["treatment_n"])[~single].to_numpy(), rel=1e-12
    )
    assert es.study == tuple(chosen.loc[~single, "study_id"]), "a project is named by its accession"
    assert {"laboratory", "laboratory_wide", "source_kind", "isolation_step", "ln_total_counts"} <= set(
        es.data
    )
    counts = es.ledger.counts().set_index("step")
    assert counts.loc["effect", "rows"] == single.sum()
    assert counts.loc["effect", "reason"] == "n = 1: a single value has no SD and so no sampling variance"


def test_brain_studies_have_names_and_their_rows_their_source(ours: Sheets) -> None:
    names = dict(zip(ours.brain_studies["study_id"], ours.brain_studies["study_name"], strict=True))
    assert names["bernardi_27_dumbrava"] == "Dumbrava 2021"
    assert names["bernardi_1_chu"] == "Chu", "no year was seen"
    assert names["bernardi_24_ophelders"] == "Ophelders 2016"
    assert len(set(names.values())) == 17
    rows = ours.brain_outcomes
    assert list(rows["study_name"]) == [names[study] for study in rows["study_id"]]
    of_study = ours.brain_studies.set_index("study_id")
    for column in ("source", "isolation_step"):
        assert list(rows[column]) == list(of_study.loc[rows["study_id"], column])
    assert ours.ledgers["brain_studies"].left_out == ()


def test_rows_find_their_studies_in_the_sheet_of_their_key(write: Write) -> None:
    folder = write()
    brain = {
        "domain": "preclinical",
        "source_category": "msc_unspecified",
        "isolation_category": "not_reported",
    }
    study = {"study_id": "chu", "confidence": "low"} | {k: v for k, v in brain.items() if k != "domain"}
    write_sheet(folder / "brain_studies.csv", [study])
    rows = [
        {**OUTCOMES[0], **brain, "study_id": name, "outcome": "iba1_area", "use": "main"}
        for name in ("chu", "li2020")
    ]
    rows = [{k: v for k, v in row.items() if k != "timepoint"} for row in rows]
    write_sheet(folder / "brain_outcomes.csv", rows)
    (problem,) = mx.check_sheets(folder).problems
    assert (problem.kind, problem.file, problem.line) == (UnknownStudyError, "brain_outcomes.csv", 3)
    assert "brain_studies.csv" in problem.what
    write_sheet(folder / "brain_outcomes.csv", rows[:1])
    assert mx.read_sheets(folder).effects("SMD", sheet="brain_outcomes").k == 1


def test_sheets_that_describe_give_no_effects_and_say_why(ours: Sheets) -> None:
    reasons = {
        name: set(ours.ledgers[name].counts()["reason"]) - {""}
        for name in ("identified_counts", "methods_survey")
    }
    assert reasons == {
        "identified_counts": {"a count of molecules without a sampling variance"},
        "methods_survey": {"a method that was used, without a result"},
    }
    for name in reasons:
        with pytest.raises(InputError, match=next(iter(reasons[name]))):
            ours.effects("MN", sheet=name)
    assert set(ours.methods_survey["study_name"].str[:5]) <= {"PMID ", "Autho"}


def test_a_folder_of_ones_own_has_both_columns(write: Write) -> None:
    words = {
        "isolation_reported": "ultrafiltration, then qEV",
        "source_reported": "human serum",
        "source_category": "",
    }
    sheets = mx.read_sheets(write(studies=[STUDIES[0] | words, STUDIES[1]]))
    assert list(sheets.studies["isolation_step"]) == ["Size exclusion", "Not reported"]
    assert list(sheets.studies["source_kind"]) == ["Serum", "Platelet"]
    es = sheets.effects("SMD", where="isolation_step == 'Size exclusion'")
    assert list(pd.unique(es.data["source_kind"])) == ["Serum"]


def test_a_category_of_ones_own_decides_as_itself(write: Write) -> None:
    studies = [STUDIES[0] | {"isolation_reported": "ultrafiltration, then sonication"}, STUDIES[1]]
    studies[1] = studies[1] | {"isolation_reported": "sonication, qEV"}
    studies += [{"study_id": "own", "isolation_category": "sonication"}]
    folder = write(studies=studies)
    (folder / "vocabulary").mkdir()
    ours = (DATA / "vocabulary" / "isolation.csv").read_text(encoding="utf-8")
    own = "sonication,Sonication,Sound,sonication,\n"
    (folder / "vocabulary" / "isolation.csv").write_text(ours + own, encoding="utf-8")
    steps = mx.read_sheets(folder).studies["isolation_step"]
    assert list(steps) == ["Ultrafiltration", "Size exclusion", "Sonication"]
    assert isolation_main_step(["other", "sonication"], folder) == "sonication"
