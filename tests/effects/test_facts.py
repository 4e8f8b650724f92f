"""The facts of a table: found once, each by hand, and never changed by who reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metaexo.effects import get_measure
from metaexo.effects.tables import bounds, facts
from metaexo.effects.tables.bounds import bounds_from_table, range_of_t
from metaexo.effects.tables.facts import read_facts

TABLE = {
    "treatment_mean": [12.0, None, None, 8.0],
    "treatment_se": [2.0, None, None, None],
    "treatment_n": [25, 10, 10, 9],
    "control_mean": [15.0, None, None, None],
    "control_ci_low": [14.0, None, None, None],
    "control_ci_high": [16.0, None, None, None],
    "control_n": [16, 10, 12, None],
    "difference": [None, -2.0, None, 8.0],
    "reported_as": ["mean_se", "F", "f", "t"],
    "statistic": [None, 4.0, 9.0, 3.0],
    "df": [None, 18, 40, None],
    "p_relation": [None, "=", "=", "<"],
    "p_value": [None, 0.06, 0.01, 0.05],
    "direction": [None, None, "Higher ", None],
    "paired": ["no", "unknown", "", "yes"],
}


def test_each_fact_by_hand() -> None:
    found = read_facts(TABLE)
    treatment, control = found.arms["treatment"], found.arms["control"]
    assert treatment.sd[0] == 10.0
    assert control.sd[0] == pytest.approx(4 * 1 / 2.131449546, rel=1e-8)  # t of 15 degrees of freedom
    assert [str(word) for word in (treatment.formulas[0], control.formulas[0])] == [
        "SD from SE",
        "SD from CI of a mean",
    ]
    np.testing.assert_array_equal(found.direction, [-1.0, -1.0, 1.0, 1.0])
    # 18 is n1 + n2 - 2; 40 is that of more groups, so neither its F nor its p is of the two arms
    assert found.f_of_arms.tolist() == [False, True, False, False]
    np.testing.assert_array_equal(found.exact_p, [np.nan, 0.06, np.nan, np.nan])
    np.testing.assert_allclose(found.t, [np.nan, -2.0, np.nan, 3.0])
    assert found.df_known.tolist() == [False, True, True, False]


def test_pairing_depends_on_the_measure_and_pairs_have_one_size() -> None:
    found = read_facts(TABLE)
    assert found.paired(get_measure("SMD")).tolist() == [False, False, False, True]
    assert found.paired(get_measure("MC")).tolist() == [False, True, True, True]
    np.testing.assert_array_equal(found.n_of_pairs(), [np.nan, 10.0, np.nan, 9.0])


def test_facts_are_read_only() -> None:
    found = read_facts(TABLE)
    for values in (found.numbers["treatment_mean"], found.direction, found.arms["control"].sd):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0


def test_the_same_facts_from_a_mapping_and_a_frame() -> None:
    one, two = read_facts(TABLE), read_facts(pd.DataFrame(TABLE))
    for name in facts.NUMBERS:
        np.testing.assert_array_equal(one.numbers[name], two.numbers[name])
    for name in facts.WORDS:
        assert one.words[name].tolist() == two.words[name].tolist()


def test_bounds_find_the_facts_of_a_table_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: object) -> facts.Facts:
        calls.append(arguments)
        return read_facts(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bounds, "read_facts", counted)
    bounds_from_table("SMD", {**TABLE, "paired": ["no"] * 4})
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("direction", "at_least", "ends"),
    [
        (1.0, True, (2.0, np.inf)),
        (-1.0, True, (-np.inf, -2.0)),
        (1.0, False, (0.0, 2.0)),
        (-1.0, False, (-2.0, 0.0)),
        (np.nan, False, (-2.0, 2.0)),
    ],
)
def test_a_threshold_allows_a_range_of_t(direction: float, at_least: bool, ends: tuple[float, float]) -> None:
    assert tuple(map(float, range_of_t(2.0, direction, at_least))) == ends
