"""The adapter of multilevel fits by groups, on cases with values of metafor 3.8-1 (konstantopoulos2011)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reference.cases import Case, read_cases
from tests.reference.runner import run_case

DATA = Path(__file__).parent / "data" / "konstantopoulos2011__multilevel.json.gz"
DISTRICTS = ["11", "12", "18", "27", "56", "58", "71", "86", "91", "108", "644"]


def case(call: dict[str, Any], r_call: str, results: dict[str, Any]) -> Case:
    """Return a case that refers to the fit of schools in districts, which is made first."""
    base = next(one for one in read_cases(DATA) if one["id"].endswith("/nested_REML"))
    assert run_case(base).verdict == "agreed"
    name = {"topic": "multilevel_groups", "id": "konstantopoulos2011/multilevel_groups/own"}
    numbers = {"rtol": 1e-5, "atol": 1e-9, "precision": "optimizer"}
    return base | name | numbers | {"call": call, "r_call": r_call, "results": results}


def first(values: list[float], of: int) -> list[float | None]:
    return values + [None] * (of - len(values))


def agrees(asked: Case) -> bool:
    """Say whether the answer agrees in the entries that are given."""
    outcome = run_case(asked)
    return all("reference None" in words for words in outcome.reasons)


def test_deleted_residuals_and_the_chi_square_of_each_cluster() -> None:
    asked = case(
        {"model": "deleted_residuals", "base_case": "nested_REML", "cluster": "district"},
        "rstudent(fit, cluster=district)",
        {
            "deleted_residual": first([-0.386985009563117, -0.426985009563117, 0.0230149904368828], 56),
            "deleted_se": first([0.473911708608163, 0.473911708608163, 0.500591957142649], 56),
            "cluster": DISTRICTS,
            "X2": first([1.923431666081, 4.02747987156072, 0.657330805460732, 4.64934761952744], 11),
            "k": [4, 4, 3, 4, 4, 11, 3, 8, 6, 5, 4],
        },
    )
    assert agrees(asked)
    asked["results"]["X2"][1] = 4.0
    assert not agrees(asked)


def test_components_as_they_are() -> None:
    asked = case(
        {"model": "deleted_residuals", "base_case": "nested_REML", "cluster": "district"},
        "rstudent(fit, cluster=district, reestimate=FALSE)",
        {"X2": first([1.93326497522731, 3.93863842816934, 0.686705728397535, 4.59088847070083], 11)},
    )
    assert agrees(asked)


def test_influence_by_cluster_and_by_row() -> None:
    call = {"model": "case_deletion", "base_case": "nested_REML"}
    by_cluster = case(
        call,
        "cooks.distance(fit, cluster=dat$district)",
        {
            "cluster": DISTRICTS,
            "cooks_distance": first([0.0693784148633777, 0.0161880764704177, 0.0419849755161527], 11),
            "dfbetas_intercept": first([-0.262501555953374, -0.121232395315139, 0.199411627430053], 11),
        },
    )
    assert agrees(by_cluster)
    by_row = case(
        call, "cooks.distance(fit)", {"cooks_distance": first([0.00196520737882, 0.00298976205987], 56)}
    )
    assert agrees(by_row)


def test_subgroups_with_fits_of_their_own() -> None:
    """rma.mv(yi, vi, random = ~ 1 | district/school, subset = district < 60, and the others)."""
    asked = case(
        {"model": "subgroup_fits", "subgroup_variable": "early", "method": "REML", "test": "z",
         "random": ["district", "district/school"]},
        "",
        {
            "groups": ["0", "1"],
            "k": [26, 30],
            "estimate": [0.237791526820, 0.142902988017],
            "se": [0.1519013539256, 0.0960030777764],
            "sigma2": [[0.0962799021087, 0.0636091229477], [0.0460294170019, 0.0122394771179]],
            "Q": [356.154686678, 188.525502049],
            "Q_between": 0.2788375371079,
            "Q_between_p": 0.5974641501629,
            "pooled": 0.1699866753766,
            "pooled_se": 0.0811537628063,
        },
    )  # fmt: skip
    frame = asked["inputs"]["data"]
    asked["inputs"] = asked["inputs"] | {"data": frame | {"early": [int(d < 60) for d in frame["district"]]}}
    assert agrees(asked)


@pytest.mark.parametrize("model", ["no_such_model"])
def test_a_model_that_is_not_known_is_not_covered(model: str) -> None:
    assert run_case(case({"model": model}, "", {"estimate": [1.0]})).verdict == "not covered"
