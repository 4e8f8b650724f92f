"""Means and SDs from medians, quartiles and ranges; 2 x 2 tables from what is reported of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from metaexo import effects
from metaexo.effects import effects_from_table, mean_sd_from_quantiles
from metaexo.effects.conversions.medians import MODELS, normal_order_statistics
from metaexo.effects.conversions.quantile_rules import Quantiles, expected_range, luo_mean
from metaexo.effects.tables.why_not import FLAT
from metaexo.errors import IntervalError, MissingInputError, UnknownChoiceError

N = 101.0
P = {"minimum": 0.625 / (N + 0.25), "q1": 0.25, "median": 0.5, "q3": 0.75, "maximum": 1 - 0.625 / (N + 0.25)}
SCENARIOS = {
    "range": ("minimum", "median", "maximum"),
    "quartiles": ("q1", "median", "q3"),
    "five": tuple(P),
}


def normal(scenario: str, mean: float = 50.0, sd: float = 8.0) -> dict[str, float]:
    """Return the quantiles that a normal sample of 101 is expected to have."""
    return {name: mean + sd * float(ndtri(P[name])) for name in SCENARIOS[scenario]}


KNOWS = {
    "luo-wan-shi": ("range", "quartiles", "five"),
    "luo-shi": ("five",),
    "wan": ("range", "quartiles", "five"),
    "hozo": ("range",),
    "bland": ("five",),
    "walter": ("range",),
    "blue": ("range", "quartiles", "five"),
    "quantile-estimation": ("range", "quartiles", "five"),
    "box-cox": ("range", "quartiles", "five"),
    "mln": ("range", "quartiles", "five"),
}


@pytest.mark.parametrize("method", KNOWS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_method_finds_the_normal_sample_where_it_applies(method, scenario):
    done = mean_sd_from_quantiles(N, method=method, **normal(scenario))
    if scenario not in KNOWS[method]:
        missing = done.mean if method in ("hozo", "bland", "walter") else done.sd
        assert np.isnan(missing[0])
        return
    assert done.mean[0] == pytest.approx(50, rel=0.01)
    # Hozo and Bland are rules of thumb; quantile estimation takes the ends for quantiles at 1/n and 1 - 1/n
    near = {"hozo": 0.3, "bland": 0.3, "quantile-estimation": 0.08}.get(method, 0.06)
    assert done.sd[0] == pytest.approx(8, rel=near)
    assert not done.skewed[0]


@pytest.mark.parametrize("method", [name for name in KNOWS if name not in ("box-cox", "mln")])
@given(shift=st.floats(-20, 200), scale=st.floats(0.1, 10))
def test_methods_follow_unit_and_origin(method, shift, scale):
    scenario = KNOWS[method][-1]
    if method == "quantile-estimation":
        shift = 0.0  # gamma, Weibull and log-normal distributions have a natural origin
    base = normal(scenario)
    moved = {name: x * scale + shift for name, x in base.items()}
    one = mean_sd_from_quantiles(N, method=method, **base)
    two = mean_sd_from_quantiles(N, method=method, **moved)
    assert two.mean[0] == pytest.approx(one.mean[0] * scale + shift, rel=1e-5, abs=1e-6)
    assert two.sd[0] == pytest.approx(one.sd[0] * scale, rel=1e-4)


@pytest.mark.parametrize("method", ["box-cox", "mln", "quantile-estimation"])
@pytest.mark.parametrize("scenario", ["quartiles", "five"])
def test_log_normal_samples_are_seen_through(method, scenario):
    logs = normal(scenario, 3.0, 0.5)
    done = mean_sd_from_quantiles(N, method=method, **{name: np.exp(x) for name, x in logs.items()})
    mean = np.exp(3 + 0.125)
    assert done.mean[0] == pytest.approx(mean, rel=0.02)
    assert done.sd[0] == pytest.approx(mean * np.sqrt(np.expm1(0.25)), rel=0.12)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_log_normal_rule_and_its_log_scale(scenario):
    sample = {name: np.exp(x) for name, x in normal(scenario, 3.0, 0.5).items()}
    done = mean_sd_from_quantiles(N, distribution="lognormal", **sample)
    assert done.mean[0] == pytest.approx(np.exp(3.125), rel=0.02)
    logs = mean_sd_from_quantiles(N, distribution="lognormal", back_transform=False, **sample)
    assert logs.mean[0] == pytest.approx(3, rel=0.01)
    assert logs.sd[0] == pytest.approx(0.5, rel=0.05)
    negative = {name: x - 100 for name, x in sample.items()}
    assert np.isnan(mean_sd_from_quantiles(N, distribution="lognormal", **negative).mean[0])


def test_skewed_samples_give_nothing_unless_asked_for():
    skewed = {"q1": 10.0, "median": 11.0, "q3": 20.0}
    done = mean_sd_from_quantiles(100, **skewed)
    assert done.skewed[0]
    assert np.isnan([done.mean[0], done.sd[0]]).all()
    assert np.isfinite(mean_sd_from_quantiles(100, skewness_test=False, **skewed).mean[0])
    assert mean_sd_from_quantiles(100, method="quantile-estimation", **skewed).distribution[0] == "lognormal"


def test_every_row_by_its_own_scenario():
    none = np.nan
    done = mean_sd_from_quantiles(
        [30, 30, 30, 30],
        median=[10.0, 10.0, 10.0, 10.0],
        q1=[8.0, none, 8.0, none],
        q3=[12.5, none, 12.5, 12.0],
        minimum=[none, 4.0, 4.0, none],
        maximum=[none, 16.0, 16.0, 16.0],
    )
    assert np.isfinite(done.mean).tolist() == [True, True, True, False]
    alone = mean_sd_from_quantiles(30, median=10.0, minimum=4.0, maximum=16.0)
    assert done.mean[1] == alone.mean[0]
    assert done.distribution == ("normal", "normal", "normal", "")


def test_refusals():
    with pytest.raises(MissingInputError, match="neither quartiles nor a range"):
        mean_sd_from_quantiles(30, median=10.0, q1=8.0)
    with pytest.raises(IntervalError, match="row 1: 8, 7, 12"):
        mean_sd_from_quantiles(30, median=7.0, q1=8.0, q3=12.0)
    with pytest.raises(UnknownChoiceError, match="'luo-wan-shi'"):
        mean_sd_from_quantiles(30, median=10.0, q1=8.0, q3=12.0, method="luo")
    with pytest.raises(UnknownChoiceError, match="'lognormal'"):
        mean_sd_from_quantiles(30, median=10.0, q1=8.0, q3=12.0, distribution="gamma")


def test_order_statistics_and_ranges_of_normal_samples():
    # E(max of 3) = 3 / (2 sqrt(pi)); the range of 3 is twice that
    assert expected_range(np.array([3.0]))[0] == pytest.approx(3 / np.sqrt(np.pi), rel=1e-12)
    mean, cov = normal_order_statistics(np.array([1.0, 16.0, 31.0]), 31.0)
    assert mean[1] == pytest.approx(0, abs=1e-15)
    assert mean[2] == pytest.approx(expected_range(np.array([31.0]))[0] / 2, rel=0.01)
    assert cov[1, 1] == pytest.approx(np.pi / (2 * 31), rel=0.03)
    assert np.linalg.eigvalsh(cov)[0] > 0


def cells(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 90, (4, 5)).astype(float)


@given(seed=st.integers(0, 10**6))
def test_tables_are_found_again_from_margins(seed):
    a, b, c, d = cells(seed)
    n, row, column = a + b + c + d, a + b, a + c
    spread = np.sqrt(row * (c + d) * column * (b + d))
    phi = (a * d - b * c) / spread
    # Yates' correction takes half the total from the difference of products, and stops at zero
    yates = np.sign(phi) * n * np.maximum(np.abs(a * d - b * c) - n / 2, 0) ** 2 / spread**2
    found = [
        effects.tables_from_odds_ratio(a * d / (b * c), n, row, column),
        effects.tables_from_risk_ratio((a / row) / (c / (c + d)), n, row, column),
        effects.tables_from_phi(phi, n, row, column),
        effects.tables_from_chi_square(np.sign(phi) * n * phi**2, n, row, column, continuity_corrected=False),
    ]
    for table in found:
        assert table.a.tolist() == a.tolist()
        assert table.d.tolist() == d.tolist()
    certain = yates != 0
    corrected = effects.tables_from_chi_square(yates, n, row, column)
    assert corrected.a[certain].tolist() == a[certain].tolist()


@given(seed=st.integers(0, 10**6))
def test_tables_are_found_again_from_diagnostics(seed):
    a, b, c, d = cells(seed)[:, :2]
    stats = {
        "sensitivity": a / (a + c),
        "specificity": d / (b + d),
        "positive_predictive_value": a / (a + b),
        "negative_predictive_value": d / (c + d),
    }
    found = effects.tables_from_diagnostics(a + b + c + d, **stats)
    assert found.a.tolist() == a.tolist()
    for left_out in stats:
        three = {name: x for name, x in stats.items() if name != left_out}
        table = effects.tables_from_diagnostics(a + b + c + d, **three)
        again = (table.a / (table.a + table.c), table.d / (table.b + table.d), table.a / (table.a + table.b))
        for name, x in zip(stats, again, strict=False):
            if name != left_out:
                assert x == pytest.approx(stats[name], abs=1e-9)


def test_numbers_that_contradict_each_other_give_no_table():
    table = effects.tables_from_phi(0.99, 100, 90, 20)
    assert np.isnan(table.a[0])
    with pytest.raises(MissingInputError, match="fewer than three"):
        effects.tables_from_diagnostics(100, sensitivity=0.9, specificity=0.8)


def test_estimates_with_whatever_they_bring():
    y, v = effects.estimates_and_variances(
        [2.0, 2.0, 2.0, 2.0],
        low=[1.0, np.nan, np.nan, np.nan],
        high=[4.0, np.nan, np.nan, np.nan],
        z=[9.0, 2.0, np.nan, np.nan],
        p_value=[0.9, 0.9, 0.0455002638963584, np.nan],
        log=True,
    )
    assert y == pytest.approx(np.log(2))
    assert v[0] == pytest.approx((np.log(4) / (2 * 1.959963984540054)) ** 2)
    assert v[1:3] == pytest.approx((np.log(2) / 2) ** 2)
    assert np.isnan(v[3])


@pytest.mark.parametrize(
    ("scenario", "weights"),
    [
        ("range", lambda n: {"ends": 4 / (4 + n**0.75)}),
        ("quartiles", lambda n: {"middle": 0.7 + 0.39 / n}),
        ("five", lambda n: {"ends": 2.2 / (2.2 + n**0.75), "middle": 0.7 - 0.72 / n**0.55}),
    ],
)
@pytest.mark.parametrize("n", [15.0, 80.0])
def test_the_weights_of_luo_and_colleagues_as_printed(scenario, weights, n):
    # Luo et al. (2018), equations 7, 11 and 15, https://doi.org/10.1177/0962280216669183; skewed on purpose
    given_ = {"minimum": 1.0, "q1": 4.0, "median": 5.0, "q3": 9.0, "maximum": 20.0}
    parts = {"ends": 10.5, "middle": 6.5}
    share = weights(n)
    wanted = sum(share[name] * parts[name] for name in share) + (1 - sum(share.values())) * 5.0
    columns = [np.array([given_[name] if name in SCENARIOS[scenario] else np.nan]) for name in P]
    assert luo_mean(Quantiles(*columns, np.array([n])))[0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("method", ["luo-wan-shi", "luo-shi", "hozo", "wan", "bland", "walter", *MODELS])
def test_quartiles_or_ends_without_distance_and_single_people_tell_no_sd(method):
    flat = {"median": [5.0, 5.0, 5.0], "n": [20, 20, 1]}
    for more in (
        {"q1": [5.0, 5.0, 4.0], "q3": [5.0, 5.0, 6.0]},
        {"minimum": [5.0, 5.0, 4.0], "maximum": [5.0, 5.0, 6.0]},
        {"minimum": [1.0] * 3, "q1": [5.0, 5.0, 4.0], "q3": [5.0, 5.0, 6.0], "maximum": [9.0] * 3},
    ):
        found = mean_sd_from_quantiles(**flat, **more, method=method, skewness_test=False)
        assert np.isnan(found.mean).all()
        assert np.isnan(found.sd).all()


def test_a_table_with_one_flat_arm_gives_no_effect_and_the_reason():
    table = {
        "treatment_n": [20], "treatment_median": [0.0], "treatment_q1": [0.0], "treatment_q3": [0.0],
        "control_n": [21], "control_median": [2.0], "control_q1": [1.0], "control_q3": [3.0],
        "paired": ["no"],
    }  # fmt: skip
    for measure in ("MD", "SMD"):
        done = effects_from_table(measure, table)
        assert np.isnan(done.y).all()
        assert done.reasons == (FLAT,)
    zero = {"treatment_mean": [3.0], "treatment_se": [0.0], "treatment_n": [9], "control_mean": [1.0],
            "control_sd": [1.0], "control_n": [9], "paired": ["no"]}  # fmt: skip
    assert np.isnan(effects_from_table("MD", zero).y).all()
