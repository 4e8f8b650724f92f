"""Values without sampling variances: balanced layouts give the analysis of variance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError, ShapeError


@pytest.fixture
def one_way():
    """Return values of 6 groups of 5, with their groups."""
    draws = np.random.default_rng(11)
    group = np.repeat([f"g{i}" for i in range(6)], 5)
    y = 4.8 + np.repeat(draws.normal(0, 0.4, 6), 5) + draws.normal(0, 0.25, 30)
    return y, pd.DataFrame({"group": group})


def test_a_balanced_layout_gives_the_analysis_of_variance(one_way):
    y, data = one_way
    fit = mx.model_of_values(y, "group", data=data).fit()
    table = y.reshape(6, 5)
    within = table.var(axis=1, ddof=1).mean()
    between = 5 * table.mean(axis=1).var(ddof=1)
    assert fit.component_values["effect"] == pytest.approx(within, rel=1e-6)
    assert fit.component_values["group"] == pytest.approx((between - within) / 5, rel=1e-6)
    assert fit.beta[0] == pytest.approx(y.mean(), rel=1e-9)
    assert fit.se[0] == pytest.approx(np.sqrt(between / 30), rel=1e-6)


def test_a_balanced_crossed_layout_gives_the_analysis_of_variance():
    draws = np.random.default_rng(4)
    a, b = np.repeat(np.arange(5), 8), np.tile(np.repeat(np.arange(4), 2), 5)
    y = draws.normal(0, 0.5, 5)[a] + draws.normal(0, 0.4, 4)[b] + draws.normal(0, 0.3, 40)
    data = pd.DataFrame({"a": a, "b": b})
    fit = mx.model_of_values(y, ["a", "b"], data=data).fit()
    rows, columns = (data.assign(y=y).groupby(name)["y"].mean() for name in ("a", "b"))
    mean_a, mean_b = 8 * rows.var(ddof=1), 10 * columns.var(ddof=1)
    left = y - rows[a].to_numpy() - columns[b].to_numpy() + y.mean()
    residual = (left**2).sum() / (40 - 5 - 4 + 1)
    expected = {"a": (mean_a - residual) / 8, "b": (mean_b - residual) / 10, "effect": residual}
    assert fit.component_values == pytest.approx(expected, rel=1e-5)


def test_shares_are_shares_of_the_variance_of_a_value(one_way):
    y, data = one_way
    fit = mx.model_of_values(y, "group", data=data).fit()
    shares = fit.conf_int_i2()
    total = sum(fit.component_values.values())
    assert shares.loc["group", "i2"] == pytest.approx(fit.component_values["group"] / total)
    assert shares.loc["total", "i2"] == pytest.approx(1.0)
    inside = shares.drop(index="total")
    assert ((inside["low"] <= inside["i2"]) & (inside["i2"] <= inside["high"])).all()


def test_the_interval_of_the_residual_is_the_profile_and_never_reaches_zero(one_way):
    y, data = one_way
    fit = mx.model_of_values(y, "group", data=data).fit()
    found = fit.conf_int_components().loc["effect"]
    assert 0 < found["low"] < found["estimate"] < found["high"]
    assert not found["low_open"]
    for end in (found["low"], found["high"]):
        held = mx.Multilevel(fit.effects, ["group", "effect"], fix={"effect": float(end)}).fit()
        assert 2 * (fit.llf - held.llf) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-4)


def test_the_unit_of_the_values_does_not_matter(one_way):
    y, data = one_way
    fit = mx.model_of_values(y, "group", data=data).fit()
    larger = mx.model_of_values(1000 * y, "group", data=data).fit()
    assert larger.component_values["effect"] == pytest.approx(1e6 * fit.component_values["effect"], rel=1e-5)
    assert larger.heterogeneity()["i2"].to_numpy() == pytest.approx(
        fit.heterogeneity()["i2"].to_numpy(), rel=1e-5
    )


def test_known_sampling_variances_leave_the_residual(one_way):
    y, data = one_way
    without = mx.model_of_values(y, "group", data=data).fit()
    # the same variance everywhere: what is known leaves the residual, and nothing else changes
    fit = mx.model_of_values(y, "group", data=data, v=np.full(30, 0.01)).fit()
    assert fit.component_values["effect"] == pytest.approx(
        without.component_values["effect"] - 0.01, rel=1e-5
    )
    assert fit.component_values["group"] == pytest.approx(without.component_values["group"], rel=1e-5)
    some = np.where(np.arange(30) < 15, 0.01, np.nan)
    part = mx.model_of_values(y, "group", data=data, v=some).fit()
    ends = sorted([fit.component_values["effect"], without.component_values["effect"]])
    assert ends[0] < part.component_values["effect"] < ends[1]
    assert part.conf_int_components().loc["effect", "low"] > 0


def test_the_residual_is_added_once(one_way):
    y, data = one_way
    plain = mx.model_of_values(y, "group", data=data).fit()
    named = mx.model_of_values(y, ["group", "effect"], data=data).fit()
    assert list(plain.components.index) == list(named.components.index) == ["group", "effect"]
    assert plain.llf == pytest.approx(named.llf)


def test_a_level_a_value_cannot_be_told_from_the_residual():
    with pytest.raises(NotIdentifiableError, match="group the effects alike"):
        mx.model_of_values([1.0, 2.0, 1.5], "source", data=pd.DataFrame({"source": list("abc")}))


def test_gaps_and_lengths_are_refused(one_way):
    y, data = one_way
    with pytest.raises(InputError, match="row 2"):
        mx.model_of_values(np.where(np.arange(30) == 1, np.nan, y), "group", data=data)
    with pytest.raises(ShapeError, match="v has shape"):
        mx.model_of_values(y, "group", data=data, v=[0.1])


def test_a_forest_plot_of_values_has_no_intervals_of_rows(one_way):
    y, data = one_way
    plan = mx.plots.forest_plan(mx.model_of_values(y, "group", data=data).fit(), columns=[])
    rows = [row for row in plan.rows if row.kind == "study"]
    assert len(rows) == 30
    assert all(row.mark.low is None and row.mark.high is None for row in rows)


def test_names_of_columns_stand_for_the_columns():
    data = pd.DataFrame(
        {
            "nm": [4.6, 5.4, 4.5, 4.8, 6.1, 5.2],
            "source": list("aabbcc"),
            "v": [0.1, np.nan, 0.2, 0.1, 0.3, 0.1],
        }
    )
    by_name = mx.model_of_values("nm", "source", data=data, v="v", study="source").fit()
    by_column = mx.model_of_values(data["nm"], "source", data=data, v=data["v"], study=data["source"]).fit()
    assert by_name.component_values == by_column.component_values
    with pytest.raises(mx.errors.UnknownChoiceError, match="write 'nm'"):
        mx.model_of_values("nn", "source", data=data)
    with pytest.raises(mx.errors.InputError, match="data="):
        mx.model_of_values("nm", "source")
