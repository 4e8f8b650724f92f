"""Every stored reference value agrees, and the runner cannot agree by mistake."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.reference.__main__ import main
from tests.reference.cases import read_cases, reference_files
from tests.reference.compare import compare
from tests.reference.runner import report, run_case

DATA = Path(__file__).parent / "data"
FILES = reference_files(DATA)
# Each fit is a search in several dimensions; the trials of BCG stand for the rest where time is short.
LONG = ("count_models", "location_scale", "multilevel", "selection_models")


def _case(path: Path) -> object:
    name = path.name.split(".")[0]
    data, _, topic = name.rpartition("__")
    return pytest.param(path, id=name, marks=[pytest.mark.long] if topic in LONG and data != "bcg" else [])


def test_there_are_reference_files() -> None:
    assert len(FILES) > 100


@pytest.mark.parametrize("path", [_case(path) for path in FILES])
def test_every_case_agrees(path: Path) -> None:
    outcomes = [run_case(case) for case in read_cases(path)]
    assert outcomes
    wrong = [outcome for outcome in outcomes if outcome.verdict != "agreed"]
    assert not wrong, report(wrong)


def test_a_changed_reference_value_is_noticed() -> None:
    case = next(read_cases(DATA / "bcg__random_effects.json.gz"))
    assert run_case(case).verdict == "agreed"
    spoiled = copy.deepcopy(case)
    spoiled["results"]["estimate"][0] *= 1 + 1e-5
    assert run_case(spoiled).verdict == "disagreed"


def test_a_field_without_an_answer_is_counted_as_not_covered() -> None:
    case = next(read_cases(DATA / "bcg__random_effects.json.gz"))
    case["results"]["something_new"] = 1.0
    outcome = run_case(case)
    assert outcome.verdict == "not covered"
    assert "something_new" in report([outcome])


def test_a_case_that_breaks_disagrees_and_the_run_goes_on() -> None:
    case = next(read_cases(DATA / "bcg__random_effects.json.gz"))
    broken = case | {"call": case["call"] | {"test": "no such test"}}
    outcome = run_case(broken)
    assert outcome.verdict == "disagreed"
    assert "KeyError" in outcome.reasons[0]


@pytest.mark.parametrize(
    ("actual", "expected", "differences"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0]}, 0),
        ({"a": [1.0, 2.1]}, {"a": [1.0, 2.0]}, 1),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, 1),
        ({"a": float("nan")}, {"a": 1.0}, 1),
        ({"a": None}, {"a": None}, 0),
        ({"a": 0.0}, {"a": None}, 1),
        ({"a": float("inf")}, {"a": "Inf"}, 0),
        ({"a": 1e300}, {"a": "Inf"}, 1),
        ({"a": "F"}, {"a": "chi2"}, 1),
        ({"tau2": 0.0, "tau": 0.0}, {"tau2": 1e-16, "tau": 1e-8}, 1),
        ({"tau2": 0.0, "tau": 0.0}, {"tau2": 1e-10, "tau": 1e-5}, 1),
    ],
)
def test_comparison(actual: dict, expected: dict, differences: int) -> None:
    assert len(compare(actual, expected, 1e-9, 1e-9).different) == differences


def test_the_command_tells_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    content = (DATA / "bcg__random_effects.json.gz").read_bytes()
    (tmp_path / "bcg__random_effects.json.gz").write_bytes(content)
    assert main([str(tmp_path)]) == 0
    assert "random_effects:" in capsys.readouterr().out
