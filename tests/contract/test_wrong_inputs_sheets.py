"""Whatever the functions for sheets are handed, they give a result or one of the package's own errors."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import evidence
from metaexo.errors import InputError, MetaexoError, MetaexoWarning
from metaexo.evidence.descriptions.reporting import reporting
from metaexo.evidence.descriptions.rows import count_reasons, ledger_table
from tests.evidence.folders import DATA

WRONG: tuple[Any, ...] = (
    None,
    5,
    -1,
    0.5,
    float("nan"),
    float("inf"),
    True,
    1j,
    "x",
    "",
    "SMDD",
    "\0",
    "x" * 300,
    b"x",
    [],
    [1],
    ["x"],
    [[1, 2], [3]],
    ("a",),
    {},
    {"a": 1},
    {"a": "x"},
    {1, 2},
    object(),
    len,
    np.array([1.0, 2.0]),
    np.array(1.0),
    np.zeros((2, 2, 2)),
    np.array([1j]),
    np.ma.array([1, 2], mask=[0, 1]),
    np.datetime64("2020-01-01"),
    pd.DataFrame(),
    pd.DataFrame({"a": [1]}),
    pd.Series([1, 2]),
    pd.Series(["a", None]),
    pd.NA,
    pd.NaT,
)
N = [20.0, 22.0, 19.0, 21.0]
SHEETS = mx.read_sheets(DATA)
DIVERSITY = SHEETS.method_contrasts.query("study_id == 'PRJEB24913' and outcome == 'ln_effective_mirnas'")
ARMS = pd.DataFrame({"treatment_label": ["gel", "gel"], "control_label": ["no gel", "saline"]})
JUDGED = pd.DataFrame({"study": ["a", "b"], **{f"D{i}": ["low", "high"] for i in range(1, 6)}})
FUNCTIONS: Mapping[str, Mapping[str, Any]] = {
    "read_sheets": {"path": DATA},
    "read_table": {"path": DATA / "outcomes.csv"},
    "check_sheets": {"path": DATA},
    "evidence_sheets": {},
    "new_table": {"folder": "new"},
    "bias_tool": {"tool": "RoB 2"},
    "bias_tools": {},
    "constant_multiples": {"table": [[1.0, 2], [2, 4.1], [3, 6.2]]},
    "copied_studies": {
        "table": pd.DataFrame({"study_id": ["a", "b"], "treatment_mean": [1.5, 2.5]}),
        "study": "study_id",
    },
    "extreme_variances": {"v": [1.0, 2, 3], "ratio": 10.0},
    "grim": {"mean": ["1.5", "2.5"], "n": [10, 12], "items": 1, "decimals": None},
    "grim_median": {"median": ["1.5"], "n": [10], "items": 1},
    "grimmer": {"mean": ["1.5"], "sd": ["1.2"], "n": [10], "items": 1, "decimals": None, "sd_decimals": None},
    "implied_p": {"t_low": [1.0], "t_high": [2.0], "treatment_n": [9], "control_n": [9], "paired": False},
    "implied_t": {
        **dict.fromkeys(("treatment_mean", "treatment_sd", "treatment_n"), N),
        **dict.fromkeys(("control_mean", "control_sd", "control_n"), N),
        "paired": False,
    },
    "interval_and_p_agree": {
        "low": ["1.0"],
        "high": ["2.0"],
        "p_value": ["0.03"],
        "relation": ["="],
        "null": 0.0,
        "level": 0.95,
    },
    "interval_is_centred": {"estimate": ["1.5"], "low": ["1.0"], "high": ["2.0"], "log": False},
    "isolation_category": {"steps": "UC"},
    "isolation_main_step": {"steps": ("ultrafiltration", "size_exclusion"), "folder": None},
    "isolation_methods": {"text": "UC", "folder": None},
    "isolation_steps": {"text": "UC", "folder": None},
    "load_codebook": {"folder": None},
    "load_vocabulary": {"name": "source", "folder": None},
    "mean_near_zero": {"mean": N, "sd": N, "n": N},
    "p_agrees": {"p_value": ["0.03"], "relation": ["="], "p_low": [0.01], "p_high": [0.05]},
    "read_risk_of_bias": {
        "table": JUDGED,
        "tool": "RoB 2",
        "study": "study",
        "domain": "domain",
        "judgement": "judgement",
        "columns": None,
    },
    "repeated_numbers": {"numbers": [("12.31", "4.52")] * 2, "belongs_to": ["a", "b"]},
    "sd_against_n": {"sd": N, "n": N, "level": 0.95},
    "slip_checks": {},
    "choose_means": {"preparations": SHEETS.preparations},
    "chosen_for_harm": {"reports": SHEETS.safety_events},
    "count_reasons": {"table": SHEETS.outcomes.assign(step="used", reason=""), "by": ["outcome"]},
    "days_after": {"timepoint": "12 weeks"},
    "laboratories": {"preparations": SHEETS.preparations},
    "ledger_table": {"ledger": SHEETS.ledger, "sheet": SHEETS.outcomes, "not_selected": None},
    "compare_preparations": {"contrasts": DIVERSITY},
    "ratio_of_methods": {"contrasts": DIVERSITY.head(2), "method": "Size exclusion", "level": 0.95},
    "ratios_on_one_material": {"contrasts": DIVERSITY, "level": 0.95},
    "method_ratios": {"sizes": SHEETS.preparations, "level": 0.95},
    "reporting": {"sheets": SHEETS},
    "row_labels": {"frame": SHEETS.outcomes, "key": "study_id", "parts": ("outcome_label", "timepoint")},
    "named_studies": {"frame": SHEETS.outcomes, "key": "study_id"},
    "same_subjects": {"effects": mx.EffectSizes([0.1, 0.2], [0.1, 0.1], data=ARMS)},
    "source_category": {"text": "UC", "folder": None},
    "statistic_agrees": {"statistic": ["2.5"], "t_low": [1.0], "t_high": [3.0], "squared": True},
    "unusual_cv": {"mean": N, "sd": N, "n": N, "study": list("abcd")},
}
EFFECTS = {
    "measure": "SMD",
    "where": "study_id == 'hu2019b'",
    "sheet": "outcomes",
    "assumed_correlation": 0.5,
    "orient": True,
    "assumed_sd": {"wound_area": 5.0},
    "bounds": False,
}
COUNTS = {
    "kind": "adverse events",
    "arms": 2,
    "where": "use == 'main'",
    "scope": "all",
    "person_time": False,
    "min_follow_up": None,
    "keep_paired": False,
}


def answers(call: Callable[..., object], right: Mapping[str, Any], **wrong: object) -> None:
    """Call with one argument changed: a result or an error of the package, and no leaked warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MetaexoWarning)
        with contextlib.suppress(MetaexoError):
            call(**{**right, **wrong})


@pytest.fixture
def sheets() -> evidence.Sheets:
    return SHEETS


def test_every_public_function_is_here() -> None:
    public = {
        name
        for name in evidence.__all__
        if callable(getattr(evidence, name)) and not isinstance(getattr(evidence, name), type)
    }
    assert public == set(FUNCTIONS)


READERS = ("read_sheets", "read_table", "check_sheets")
WRITER = "new_table"


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in (*READERS, WRITER)])
def test_wrong_arguments_of_functions(name: str) -> None:
    function, right = getattr(evidence, name), FUNCTIONS[name]
    function(**right)
    for argument in right:
        for wrong in WRONG:
            answers(function, right, **{argument: wrong})


def test_wrong_folders_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in WRONG:
        answers(evidence.new_table, {}, folder=wrong)


@pytest.mark.parametrize("name", READERS)
def test_wrong_meanings_of_headings_and_worksheets(name: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        "Study,Exosome mean,Exosome SD,Exosome n,Control mean,Control SD,Control n\nA,5,1,9,4,1,9\n"
    )
    getattr(evidence, name)(path)
    for wrong in WRONG:
        answers(getattr(evidence, name), {"path": path}, columns=wrong)
        answers(getattr(evidence, name), {"path": path}, sheet=wrong)
        answers(getattr(evidence, name), {"path": path}, columns={"Exosome SD": wrong})
    answers(getattr(evidence, name), {"path": path}, columns={"no such heading": "treatment_sd"})


@pytest.mark.parametrize("name", READERS)
def test_wrong_folders(name: str) -> None:
    for wrong in WRONG:
        answers(getattr(evidence, name), {}, path=wrong)


@pytest.mark.parametrize("argument", COUNTS)
def test_wrong_arguments_of_event_counts(sheets: evidence.Sheets, argument: str) -> None:
    assert sheets.event_counts(**COUNTS).k == 1
    for wrong in WRONG:
        answers(sheets.event_counts, COUNTS, **{argument: wrong})


@pytest.mark.parametrize("argument", EFFECTS)
@pytest.mark.parametrize("bounds", [False, True])
def test_wrong_arguments_of_effects(sheets: evidence.Sheets, argument: str, bounds: bool) -> None:
    for wrong in WRONG:
        answers(sheets.effects, {**EFFECTS, "bounds": bounds}, **{argument: wrong})
        answers(
            sheets.effects,
            {"measure": "SMD", "sheet": "direction_only", "bounds": True},
            **{argument: wrong},
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"assumed_correlation": 1.0},
        {"assumed_correlation": "0.5"},
        {"assumed_correlation": [0.5]},
        {"assumed_correlation": True},
        {"orient": "yes"},
        {"bounds": "yes"},
        {"sheet": ["outcomes"]},
        {"assumed_sd": 5.0},
        {"assumed_sd": {"wound_area": "x"}},
        {"where": 5},
        {"where": ""},
        {"measure": 5},
    ],
)
def test_what_must_be_refused(sheets: evidence.Sheets, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        sheets.effects(**{**EFFECTS, **wrong})


def test_cells_with_the_words_of_our_own_columns_are_cells(sheets: evidence.Sheets) -> None:
    """A study, an outcome or a label may be called "study", "line", "None" or "nan"."""
    frame = sheets.outcomes
    assert frame["study_id"].notna().all()
    for word in ("study", "line", "None", "nan", "True", "effect"):
        renamed = {name: table.copy() for name, table in sheets._frames.items()}
        for table in renamed.values():
            if "study_id" in table:
                table["study_id"] = table["study_id"].replace("hu2019b", word)
        renamed["outcomes"].loc[renamed["outcomes"]["study_id"] == word, "outcome_label"] = word
        found = evidence.Sheets("x", sheets.codebook, renamed)
        es = found.effects("SMD", where=f"study_id == '{word}'")
        assert set(es.column("study_id")) == {word}
        assert es.m == 1


def test_tables_of_sheets_refuse_what_they_cannot_read(sheets: evidence.Sheets) -> None:
    es = sheets.effects("SMD", where=EFFECTS["where"])
    for wrong in WRONG:
        answers(ledger_table, {"ledger": es.ledger, "sheet": sheets.outcomes}, sheet=wrong)
        answers(ledger_table, {"ledger": es.ledger, "sheet": sheets.outcomes}, ledger=wrong)
        answers(
            count_reasons, {"table": ledger_table(es.ledger, sheets.outcomes), "by": ["outcome"]}, by=wrong
        )
        answers(
            count_reasons, {"table": ledger_table(es.ledger, sheets.outcomes), "by": ["outcome"]}, table=wrong
        )
        answers(reporting, {}, sheets=wrong)


@pytest.mark.parametrize(
    "again",
    [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deep"],
)
@pytest.mark.filterwarnings("ignore::metaexo.errors.MetaexoWarning")
def test_sheets_pickle_and_copy(sheets: evidence.Sheets, again: Callable[[Any], Any]) -> None:
    assert sheets.ledger.total == len(sheets.outcomes)
    found = again(sheets)
    assert str(found) == str(sheets)
    assert found.studies.equals(sheets.studies)
    assert found.ledger == sheets.ledger
    assert found.codebook == sheets.codebook
    for bounds in (False, True):
        one, two = (s.effects("SMD", assumed_correlation=0.5, bounds=bounds) for s in (sheets, found))
        assert again(one).labels == two.labels
        assert again(one).measure == two.measure
    with pytest.raises(TypeError):
        found._frames["studies"] = None
    check = evidence.check_sheets(DATA)
    assert again(check) == check
    with pytest.raises(evidence.SheetErrors) as caught:
        mx.read_sheets("no such folder")
    assert str(again(caught.value)) == str(caught.value)
    assert found == sheets
    assert hash(found) == hash(sheets)


@pytest.mark.filterwarnings("ignore::metaexo.errors.MetaexoWarning")
def test_plain_text_can_be_printed_on_an_old_terminal(sheets: evidence.Sheets) -> None:
    """Code page 1252 has no true minus sign, no infinity and no Greek letters."""
    es = mx.EffectSizes([-0.5, -0.1, 0.3, -0.9, -0.2], [0.02] * 5, data=pd.DataFrame({"g": list("aabbb")}))
    fit = mx.RandomEffects(es).fit()
    strata = mx.stratify(es, by="g")
    bounds = sheets.effects("SMD", where=EFFECTS["where"], bounds=True)
    shown = [
        fit.summary(),
        fit.pooled(),
        strata,
        strata.summary(),
        strata.pairwise(),
        mx.Multilevel(mx.EffectSizes([-0.5, 0.1, 0.3, -0.9], [0.02] * 4, study=list("aabb"))).fit().summary(),
        mx.explain(sheets.effects("SMD", where=EFFECTS["where"]), 0),
        mx.explain(bounds, 0),
        evidence.check_sheets(DATA).report(noted=False),
        sheets.ledger,
    ]
    for result in shown:
        stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        print(result, file=stream)
        stream.flush()
    assert "-" in str(fit.summary())
