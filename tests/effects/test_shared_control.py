"""Covariances of effects with one control arm: against identities, a simulation, and averages."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import (
    aggregate,
    all_measures,
    calculate,
    covariance_matrix,
    get_measure,
    shared_arms,
    shared_control_covariances,
)
from metaexo.effects.dependence.shared_control import SUMS
from metaexo.errors import DependentEffectsWarning, InputError, MissingInputError, ShapeError

ARMS = {
    "mean": ([7.0, 9.0, 8.0], 6.0),
    "sd": ([1.5, 2.0, 1.0], 1.2),
    "n": ([10, 14, 9], 12),
    "events": ([4, 6, 3], 5),
    "time": ([40.0, 60.0, 30.0], 50.0),
}


def effects(code: str, **changes: list) -> mx.EffectSizes:
    """Return three arms of one study against one control, and an arm of another study."""
    columns = {f"treatment_{kind}": [*values, values[0]] for kind, (values, _) in ARMS.items()}
    columns |= {f"control_{kind}": [value] * 4 for kind, (_, value) in ARMS.items()}
    data = pd.DataFrame(columns | changes)
    wanted = {name: data[name] for name in get_measure(code).inputs}
    return mx.effect_sizes(code, study=["a", "a", "a", "b"], data=data, **wanted)


def of_two_arms(code: str, first: int, second: int) -> float:
    """Return the variance of the effect of one treated arm against another."""
    numbers = {}
    for name in get_measure(code).inputs:
        kind = name.split("_", 1)[1]
        numbers[name] = ARMS[kind][0][first if name.startswith("treatment") else second]
    return float(mx.effect_sizes(code, **numbers).v[0])


@pytest.mark.parametrize("code", SUMS)
def test_the_control_arm_drops_out_of_the_difference_of_two_effects(code):
    cov = covariance_matrix(shared_control_covariances(effects(code)))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        difference = cov[i, i] + cov[j, j] - 2 * cov[i, j]
        assert difference == pytest.approx(of_two_arms(code, i, j), rel=1e-12)
    assert cov[3, :3].tolist() == [0, 0, 0]
    assert np.linalg.eigvalsh(cov)[0] > 0


@pytest.mark.parametrize("code", ["SMD", "SMD1"])
def test_standardised_differences_by_simulation(code):
    rng = np.random.default_rng(3)
    draws, n = 20_000, (20, 25, 30)
    shifts = (0.9, 0.5, 0.0)
    samples = [rng.normal(shift, 1, (draws, size)) for shift, size in zip(shifts, n, strict=True)]
    mean, sd = ([x.mean(axis=1) for x in samples], [x.std(axis=1, ddof=1) for x in samples])
    pooled = np.sqrt(sum((size - 1) * s**2 for size, s in zip(n, sd, strict=True)) / (sum(n) - 3))
    unit = pooled if code == "SMD" else sd[2]
    d = np.stack([(mean[i] - mean[2]) / unit for i in (0, 1)])
    simulated = np.cov(d)[0, 1]
    error = np.sqrt((np.cov(d)[0, 0] * np.cov(d)[1, 1] + simulated**2) / draws)
    es = mx.EffectSizes(
        [0.9, 0.5],
        [0.1, 0.1],
        code,
        study=["a", "a"],
        data=pd.DataFrame({"treatment_n": n[:2], "control_n": [n[2]] * 2}),
    )
    cov = shared_control_covariances(es, ["saline", "saline"])[0].cov[0, 1]
    # the formula is that of large samples: of the order of 1 / n beside the covariance
    assert cov == pytest.approx(simulated, abs=4 * error + 0.08 * simulated)


def test_log_odds_ratios_of_standardised_differences_are_multiples():
    g, log_odds = effects("SMD"), effects("D2ORN")
    of_d = 1 / 12 + (log_odds.y[0] / 1.65) * (log_odds.y[1] / 1.65) / (2 * (12 + 10 + 14 + 9))
    assert shared_control_covariances(log_odds)[0].cov[0, 1] == pytest.approx(1.65**2 * of_d)
    expected = 1 / 12 + g.y[0] * g.y[1] / (2 * (12 + 10 + 14 + 9))
    assert shared_control_covariances(g)[0].cov[0, 1] == pytest.approx(expected)


def test_functions_of_means_and_sds_by_the_delta_method():
    # d over s, s^2 = (s1^2 + s2^2) / 2: the slope by the control's mean is -1 / s, by its SD -d s2 / (2 s^2)
    es = effects("SMDH")
    (means, control), (sds, sd), (sizes, n) = ARMS["mean"], ARMS["sd"], ARMS["n"]
    d, square, own = [], [], []
    for mean, treated_sd, size in zip(means[:2], sds, sizes, strict=False):
        square.append((treated_sd**2 + sd**2) / 2)
        d.append((mean - control) / np.sqrt(square[-1]))
        by_sds = treated_sd**4 / (size - 1) + sd**4 / (n - 1)
        own.append(
            (treated_sd**2 / size + sd**2 / n) / square[-1] + d[-1] ** 2 / 8 * by_sds / square[-1] ** 2
        )
    of_mean = sd**2 / n / np.sqrt(square[0] * square[1])
    cov = of_mean + d[0] * d[1] * sd**4 / (8 * (n - 1) * square[0] * square[1])
    expected = cov / np.sqrt(own[0] * own[1]) * np.sqrt(es.v[0] * es.v[1])
    assert shared_control_covariances(es)[0].cov[0, 1] == pytest.approx(expected, rel=1e-7)


def test_without_numbers_of_the_arms_the_share_of_the_control_in_the_sizes_counts():
    data = pd.DataFrame({"treatment_n": [10, 14, 12], "control_n": [12, 12, 14]})
    es = mx.EffectSizes([0.1, 0.4, 0.2], [0.2, 0.3, 0.25], "CLES", study=["a"] * 3, data=data)
    cov = shared_control_covariances(es, ["x", "x", "w"], treated=["y", "z", "x"])[0].cov
    share = (1 / 12) / np.sqrt((1 / 10 + 1 / 12) * (1 / 14 + 1 / 12))
    assert cov[0, 1] == pytest.approx(share * np.sqrt(0.2 * 0.3))
    share = (1 / 12) / np.sqrt((1 / 10 + 1 / 12) * (1 / 12 + 1 / 14))
    assert cov[0, 2] == pytest.approx(-share * np.sqrt(0.2 * 0.25))


MEANS, EVENTS, TIMES = ("two groups, means", "two groups, events", "two groups, person-time")
TWO_ARMS = [
    one.code for one in all_measures() if one.family in (MEANS, EVENTS, TIMES) and "auc" not in one.inputs
]
# rows A-C, B-C and B-A of one study: C is shared as control, B as treated arm, A in both roles
ROWS = (("A", "C"), ("B", "C"), ("B", "A"))
POPULATIONS = {
    "A": {"mean": 10.8, "sd": 1.5, "n": 400, "events": 168, "time": 3000.0},
    "B": {"mean": 10.4, "sd": 1.5, "n": 300, "events": 144, "time": 2400.0},
    "C": {"mean": 10.0, "sd": 1.5, "n": 350, "events": 105, "time": 2800.0},
}


def sampled(arm: str, family: str, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the numbers of an arm in many samples of a population."""
    of_arm = POPULATIONS[arm]
    n, time, events = (float(of_arm[name]) for name in ("n", "time", "events"))
    found = {"n": np.full(draws, n), "time": np.full(draws, time)}
    if family == MEANS:
        found["mean"] = rng.normal(of_arm["mean"], of_arm["sd"] / np.sqrt(n), draws)
        found["sd"] = of_arm["sd"] * np.sqrt(rng.chisquare(n - 1, draws) / (n - 1))
    elif family == EVENTS:
        found["events"] = rng.binomial(int(n), events / n, draws).astype(float)
    else:
        found["events"] = rng.poisson(events, draws).astype(float)
    return found


def compared(code: str, numbers: dict[str, dict]) -> list[dict]:
    """Return the inputs of the three rows."""
    names = get_measure(code).inputs
    return [
        {name: numbers[pair[name.startswith("control")]][name.split("_", 1)[1]] for name in names}
        for pair in ROWS
    ]


@pytest.mark.parametrize("code", TWO_ARMS)
def test_arms_in_any_role_by_simulation(code):
    rng = np.random.default_rng(11)
    draws = 20_000
    numbers = {arm: sampled(arm, get_measure(code).family, draws, rng) for arm in POPULATIONS}
    y = np.stack([calculate(code, row).y for row in compared(code, numbers)])
    simulated = np.cov(y)
    spread = np.diag(simulated)
    error = np.sqrt((np.outer(spread, spread) + simulated**2) / draws)
    data = pd.DataFrame(compared(code, POPULATIONS))
    es = mx.effect_sizes(code, data=data, study=["s"] * 3)
    cov = shared_control_covariances(es)[0].cov
    # the formulas are those of large samples: they leave out terms of the order of 1 / n
    assert (np.abs(cov - simulated) < 4 * error + 0.01 * np.abs(simulated)).all()
    assert np.linalg.eigvalsh(cov)[0] > -1e-12 * cov.max()


@pytest.mark.parametrize("code", [code for code in TWO_ARMS if code not in ("SMD1", "SMD1H")])
def test_exchanging_the_arms_everywhere_changes_no_covariance(code):
    data = pd.DataFrame(compared(code, POPULATIONS))
    turned = data.rename(
        columns=lambda name: name.replace("treatment_", "x_").replace("control_", "treatment_")
    )
    turned = turned.rename(columns=lambda name: name.replace("x_", "control_"))
    one, two = (
        shared_control_covariances(mx.effect_sizes(code, data=frame, study=["s"] * 3))[0].cov
        for frame in (data, turned)
    )
    assert two == pytest.approx(one, rel=1e-6, abs=1e-12)


def test_a_treated_arm_of_two_rows_and_an_arm_of_both_roles_share_s2_over_n():
    a, b, c = (7.9, 2.0, 25), (4.4, 2.2, 22), (-1.4, 1.8, 25)
    es = of_arms("MD", [(a, c), (b, c), (b, a)])
    cov = shared_control_covariances(es)[0].cov
    assert cov[0, 1] == pytest.approx(1.8**2 / 25)
    assert cov[0, 2] == pytest.approx(-(2.0**2) / 25)
    assert cov[1, 2] == pytest.approx(2.2**2 / 22)
    # y3 = y2 - y1, so that its variance follows from the others
    assert cov[2, 2] == pytest.approx(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])


def of_arms(code: str, rows: list, **options) -> mx.EffectSizes:
    """Return effects of pairs of arms (mean, SD, n), under column names of one's own."""
    table = [[*treated, *control] for treated, control in rows]
    data = pd.DataFrame(table, columns=["m1", "s1", "n1", "m2", "s2", "n2"])
    names = ("treatment_mean", "treatment_sd", "treatment_n", "control_mean", "control_sd", "control_n")
    columns = dict(zip(names, data.columns, strict=True))
    return mx.effect_sizes(code, data=data, study=["s"] * len(rows), **columns, **options)


def test_standardised_differences_of_gleser_and_olkin():
    # Gleser & Olkin (2009), as in the metafor documentation (gleser2009): one SD for all arms of a study
    sd = 4.2593
    es = of_arms("SMD", [((7.87, sd, 25), (-1.36, sd, 25)), ((4.35, sd, 22), (-1.36, sd, 25))])
    d = np.array([7.87 + 1.36, 4.35 + 1.36]) / sd
    given = mx.EffectSizes(
        d,
        1 / np.array([25, 22]) + 1 / 25 + d**2 / (2 * 72),
        "SMD",
        study=["s", "s"],
        data=pd.DataFrame({"treatment_n": [25, 22], "control_n": [25, 25]}),
    )
    cov = shared_control_covariances(given, ["saline", "saline"])[0].cov
    assert cov[0, 1] == pytest.approx(1 / 25 + d[0] * d[1] / (2 * 72))
    cov = shared_control_covariances(es)[0].cov
    assert cov[0, 1] == pytest.approx(1 / 25 + es.y[0] * es.y[1] / (2 * 72))


def test_a_role_changes_the_sign_of_the_mean_but_not_of_the_common_sd():
    a, b, c = (1.0, 1.0, 25), (0.4, 1.0, 22), (0.0, 1.0, 20)
    es = of_arms("SMD", [(a, c), (c, b)])
    expected = -1 / 20 + es.y[0] * es.y[1] / (2 * 67)
    assert shared_control_covariances(es)[0].cov[0, 1] == pytest.approx(expected)


def test_columns_of_any_name_count_and_the_gleser_risk_differences():
    data = pd.DataFrame({"s": ["1", "1"], "ai": [100, 150], "n1i": 4000, "ci": [40, 40], "n2i": 1000})
    inputs = {
        "treatment_events": "ai", "treatment_n": "n1i", "control_events": "ci", "control_n": "n2i",
    }  # fmt: skip
    es = mx.effect_sizes("RD", data=data, **inputs, study="s")
    assert shared_control_covariances(es)[0].cov[0, 1] == pytest.approx(0.04 * 0.96 / 1000)
    (found,) = shared_arms(es)
    assert (found.arm, found.rows) == ("control", (0, 1))
    # a misleading column of our own name does not count: the effects were computed from others
    misled = mx.effect_sizes(
        "RD", data=data.assign(control_events=[1, 2], control_n=[9, 8]), **inputs, study="s"
    )
    assert shared_control_covariances(misled)[0].cov[0, 1] == pytest.approx(0.04 * 0.96 / 1000)


def test_other_types_of_variance_keep_the_correlation():
    a, b, c = (7.9, 2.0, 25), (4.4, 2.2, 22), (-1.4, 1.8, 25)
    usual, pooled = (of_arms("MD", [(a, c), (b, c)], variance=kind) for kind in ("LS", "HO"))
    one, two = (shared_control_covariances(es)[0].cov for es in (usual, pooled))
    assert two[0, 1] / np.sqrt(two[0, 0] * two[1, 1]) == pytest.approx(
        one[0, 1] / np.sqrt(one[0, 0] * one[1, 1])
    )


def test_blank_names_are_no_arm_and_equal_numbers_in_one_row_are_two_arms():
    a, b, c = (7.9, 2.0, 25), (4.4, 2.2, 22), (-1.4, 1.8, 25)
    es = of_arms("MD", [(a, c), (b, c)])
    for blank in (None, np.nan, "", " ", pd.NA):
        cov = shared_control_covariances(es, [blank, blank])[0].cov
        assert cov[0, 1] == 0
    # 5 of 20 treated and 5 of 20 controls in one row: which of them the other row shares, numbers do not tell
    counts = {"treatment_events": [5, 5], "treatment_n": 20, "control_events": [5, 3], "control_n": [20, 30]}
    cov = shared_control_covariances(mx.effect_sizes("RD", **counts, study=["s", "s"]))[0].cov
    assert cov[0, 1] == pytest.approx(0.25 * 0.75 / 20)


def test_rows_that_are_turned_round_repeat_each_other():
    a, c = (7.9, 2.0, 25), (-1.4, 1.8, 25)
    es = of_arms("MD", [(a, c), (c, a)])
    with pytest.raises(InputError, match="repeat each other"):
        shared_control_covariances(es)
    with pytest.raises(InputError, match="compared with itself"):
        shared_control_covariances(es, ["x", "y"], treated=["x", "z"])


def test_a_treated_and_a_changing_arm_are_named_when_a_model_ignores_them():
    a, b, c = (7.9, 2.0, 25), (4.4, 2.2, 22), (-1.4, 1.8, 25)
    es = of_arms("MD", [(a, c), (b, c), (b, a)])
    assert [(one.arm, one.rows) for one in shared_arms(es)] == [
        ("control", (0, 1)), ("either", (0, 2)), ("treatment", (1, 2)),
    ]  # fmt: skip
    with pytest.warns(
        DependentEffectsWarning, match="rows 1 and 3 share an arm that is treated in some and control in"
    ):
        mx.RandomEffects(es)


def test_arms_may_be_named_and_other_controls_share_nothing():
    cov = shared_control_covariances(effects("MD"), ["x", "x", "y", "x"])[0].cov
    assert cov[0, 1] == pytest.approx(1.2**2 / 12)
    assert cov[0, 2] == 0
    others = effects("MD", control_mean=[6.0, 6.0, 5.0, 6.0])
    assert shared_control_covariances(others)[0].cov[0, 2] == 0
    with pytest.raises(ShapeError, match="arm has 2"):
        shared_control_covariances(effects("MD"), ["x", "x"])


def test_zeros_in_the_control_arm_are_counted_as_in_the_effect():
    es = effects("OR", control_events=[0, 0, 0, 0])
    assert shared_control_covariances(es)[0].cov[0, 1] == pytest.approx(1 / 0.5 + 1 / 12.5)


def test_an_average_with_known_covariances_assumes_nothing():
    es = effects("MD")
    blocks = shared_control_covariances(es)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = aggregate(es, blocks=blocks)
    assert one.derived[0].note == "average of 3 effects, their correlation known"
    weights = np.linalg.solve(blocks[0].cov, np.ones(3))
    assert one.v[0] == pytest.approx(1 / weights.sum())
    assert one.y[0] == pytest.approx(weights @ es.y[:3] / weights.sum())
    with pytest.raises(ShapeError, match="every effect once"):
        aggregate(es, blocks=blocks[:1])


def test_what_is_missing_or_stands_twice_is_told():
    arms = {f"treatment_{kind}": [values[0]] * 4 for kind, (values, _) in ARMS.items()}
    twice = effects("MD", **arms).select([True, True, False, True], "two are enough")
    with pytest.raises(InputError, match="repeat each other"):
        shared_control_covariances(twice)
    bare = mx.EffectSizes([0.1, 0.2], [0.1, 0.1], "SMD", study=["a", "a"])
    with pytest.raises(MissingInputError, match="sizes of arms"):
        shared_control_covariances(bare, ["x", "x"])
    assert shared_control_covariances(bare)[0].cov.tolist() == [[0.1, 0.0], [0.0, 0.1]]


BEFORE_AND_AFTER = {
    "post_mean": [5.0, 6.0],
    "post_sd": [1.0, 1.2],
    "pre_mean": [4.0, 4.0],
    "pre_sd": [1.1, 1.1],
    "n": [8, 8],
    "correlation": [0.5, 0.5],
}


@pytest.mark.parametrize("code", ["MC", "SMCC", "SMCRP", "ROMC"])
@pytest.mark.parametrize("by_name", [False, True])
def test_rows_of_the_same_people_that_share_an_arm_are_refused(code, by_name):
    """The errors of post and pre are correlated: the part of one arm is not what such rows share."""
    inputs = {name: BEFORE_AND_AFTER[name] for name in mx.effects.get_measure(code).inputs}
    es = mx.effect_sizes(code, **inputs, study=["Lee", "Lee"], labels=["day 7", "day 14"])
    if not by_name and {"pre_mean", "pre_sd"} <= set(inputs):
        assert str(mx.effects.shared_arms(es)[0]).startswith("day 7 and day 14 share a control arm")
    with pytest.raises(InputError, match="same people twice") as caught:
        shared_control_covariances(es, ["before", "before"] if by_name else None)
    assert caught.value.rows == ("day 7", "day 14")
    assert len(mx.effects.covariance_blocks(es.v, es.study, correlation=0.5)) == 1


def test_rows_that_say_they_are_paired_are_refused_only_where_they_share_an_arm():
    arms = pd.DataFrame(
        {
            "treatment_mean": [5.0, 6.0],
            "treatment_sd": 1.0,
            "treatment_n": 8,
            "control_mean": [4.0, 4.0],
            "control_sd": 1.1,
            "control_n": 8,
            "paired": "yes",
        }
    )
    with pytest.raises(InputError, match="same people twice"):
        shared_control_covariances(mx.EffectSizes([1.0, 2.0], [0.3, 0.3], "MD", study=["a", "a"], data=arms))
    arms["control_mean"] = [4.0, 4.5]
    apart = mx.EffectSizes([1.0, 2.0], [0.3, 0.3], "MD", study=["a", "a"], data=arms)
    assert shared_control_covariances(apart)[0].cov.tolist() == [[0.3, 0.0], [0.0, 0.3]]


def test_a_correlation_is_assumed_where_no_arm_is_shared():
    arms = pd.DataFrame(
        {
            "treatment_mean": [5.0, 6.0, 7.0], "treatment_sd": [1.0, 2.0, 2.0], "treatment_n": [10, 10, 10],
            "control_mean": [4.0, 4.0, 5.5], "control_sd": [2.0, 2.0, 1.0], "control_n": [8, 8, 10],
        }
    )  # fmt: skip
    effects = mx.effect_sizes("MD", data=arms, study=["Lee"] * 3)
    (known,) = shared_control_covariances(effects)
    (block,) = shared_control_covariances(effects, correlation=0.3)
    assert block.cov[0, 1] == known.cov[0, 1] == pytest.approx(4 / 8)
    assert block.cov[0, 2] == pytest.approx(0.3 * np.sqrt(effects.v[0] * effects.v[2]))
    assert np.diag(block.cov) == pytest.approx(effects.v)
    for wrong in (1.0, -1.5, float("nan"), "x"):
        with pytest.raises(InputError, match="correlation"):
            shared_control_covariances(effects, correlation=wrong)
    with pytest.raises(InputError, match="contradicts"):
        shared_control_covariances(effects, correlation=-0.95)
