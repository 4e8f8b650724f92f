"""Normal quantile plots: where residuals stand, and how wide the envelope is."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.plots import normal_quantile, normal_quantile_plan, overlapping_texts
from metaexo.plots.canvas.chart import Band, Curve, Points
from tests.combined import combined

# What qqnorm() of metafor 3.8-1 draws (REML, threshold 1e-14): quantiles, standardized residuals of the BCG
# trials, and studentized residuals of their model with the latitude.
QUANTILES = [
    -1.768825038519, -1.198379702307, -0.869423773289, -0.615141104596, -0.395725295814, -0.194028142424, 0.0,
]  # fmt: skip
STANDARDIZED = [
    -1.325291946825, -1.276775427156, -1.262902669443, -1.104008648763, -0.759240850362, -0.224425113513,
    -0.133427467720, 0.422012269959, 0.692709127934, 0.862358630403, 1.174616687158, 1.286664617265,
    1.361108833114,
]  # fmt: skip
STUDENTIZED = [
    -2.668689948352, -1.133808395715, -0.664450333548, -0.544191483087, -0.481929669244, -0.232508455171,
    -0.176364975700, 0.190332140940, 0.225873773193, 0.556027427135, 0.965763383397, 1.495362861787,
    2.072979050374,
]  # fmt: skip
# Of rma.mv(yi, vi, random = ~ 1 | district/school) of the school calendars: the three lowest.
NESTED = [-2.02049855646, -1.51063844145, -1.45063404708]


def bcg():
    names = ("treatment_events", "treatment_n", "control_events", "control_n")
    data = mx.datasets.load_dataset("bcg")
    return mx.effect_sizes("RR", data=data, labels="study", **{name: name for name in names})


def schools():
    data = mx.datasets.load_dataset("school_calendars")
    return mx.EffectSizes(data["y"], data["v"], "SMD", data=data, study=data["district"].astype(str))


def points_of(plan):
    frame = plan.to_frame()
    columns = ["x", "y", "envelope_low", "envelope_high"]
    frame = frame[frame["layer"] == "points"].sort_values("x", kind="stable")
    return frame.set_index("label")[columns].astype(float)


def test_residuals_stand_where_metafor_draws_them():
    es = bcg()
    frame = points_of(normal_quantile_plan(mx.RandomEffects(es).fit(test="z")))
    assert frame["x"].to_numpy() == pytest.approx([*QUANTILES, *(-x for x in QUANTILES[-2::-1])], abs=1e-11)
    assert frame["y"].to_numpy() == pytest.approx(STANDARDIZED, abs=1e-7)
    fit = mx.RandomEffects(es, "latitude").fit(test="z")
    frame = points_of(normal_quantile_plan(fit, kind="studentized"))
    assert frame["y"].to_numpy() == pytest.approx(STUDENTIZED, abs=1e-6)


def test_residuals_of_multilevel_fits_stand_where_metafor_draws_them():
    fit = mx.Multilevel(schools(), "district/school").fit(test="z")
    assert points_of(normal_quantile_plan(fit))["y"].to_numpy()[:3] == pytest.approx(NESTED, abs=1e-5)


def test_up_to_ten_effects_have_the_quantiles_of_blom(make_effects):
    fit = mx.RandomEffects(make_effects(8)).fit()
    wanted = stats.norm.ppf((np.arange(1, 9) - 0.375) / 8.25)
    assert points_of(normal_quantile_plan(fit))["x"].to_numpy() == pytest.approx(wanted)


def test_equal_residuals_stand_in_the_order_of_the_rows():
    y, v = [0.1, 0.7, 0.3, 0.7, 0.2, 0.7], [0.01, 0.03, 0.02, 0.03, 0.05, 0.03]
    fit = mx.RandomEffects(mx.EffectSizes(y, v, labels=list("abcdef"))).fit()
    frame = points_of(normal_quantile_plan(fit))
    assert [label for label in frame.index if label in "bdf"] == ["b", "d", "f"]


def test_each_point_has_the_name_of_its_effect(make_effects):
    fit = mx.RandomEffects(make_effects(15)).fit()
    frame = points_of(normal_quantile_plan(fit))
    z = fit.residuals("standardized")["z"]
    assert frame["y"].to_dict() == pytest.approx(z.to_dict())
    assert (frame["y"].diff().dropna() >= 0).all()


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_exact_envelope_is_that_of_order_statistics(make_effects, level):
    fit = mx.RandomEffects(make_effects(20)).fit()
    plan = normal_quantile_plan(fit, envelope="exact", level=level)
    (band,) = plan.layers(Band)
    draws = np.sort(np.random.default_rng(1).standard_normal((40_000, 20)), axis=1)
    for ends, tail in ((band.low, (1 - level) / 2), (band.high, (1 + level) / 2)):
        # the share of simulated order statistics below the end is the tail, within four Monte Carlo errors
        share = (draws < np.array(ends)).mean(axis=0)
        assert np.abs(share - tail).max() < 4 * np.sqrt(tail * (1 - tail) / 40_000) + 1e-4


def covariance_of_residuals(fit, s):
    """Return the correlation matrix of residuals of a fit with the covariance matrix s of its effects."""
    x = fit.design.matrix(fit.k)
    w = np.linalg.inv(s)
    left = np.eye(fit.k) - x @ np.linalg.solve(x.T @ w @ x, x.T @ w)
    cov = left @ s @ left.T
    sd = np.sqrt(np.diag(cov))
    return cov / np.outer(sd, sd), sd


@pytest.mark.parametrize("moderators", [None, "dose"])
def test_the_simulated_envelope_is_that_of_the_model(make_effects, moderators):
    es = make_effects(12)
    fit = mx.RandomEffects(es, moderators).fit()
    correlation, sd = covariance_of_residuals(fit, np.diag(es.v + fit.tau2))
    assert fit.residuals("standardized")["se"].to_numpy() == pytest.approx(sd)
    _check_envelope(normal_quantile_plan(fit, draws=20_000), correlation)


def test_the_simulated_envelope_of_a_multilevel_fit_allows_for_dependence():
    es = schools().select(range(20), "the first 20")
    fit = mx.Multilevel(es, "district").fit()
    (g,) = fit.g
    same = np.array(es.study)[:, None] == np.array(es.study)
    correlation, _ = covariance_of_residuals(fit, np.diag(es.v) + g[0, 0] * same)
    plan = normal_quantile_plan(fit, draws=20_000)
    _check_envelope(plan, correlation)


def _check_envelope(plan, correlation):
    """Hold an envelope against simulated residuals of a correlation matrix."""
    (band,) = plan.layers(Band)
    k, n = len(correlation), 40_000
    draws = np.random.default_rng(5).multivariate_normal(np.zeros(k), correlation, n, method="eigh")
    draws.sort(axis=1)
    for ends, tail in ((band.low, 0.025), (band.high, 0.975)):
        share = (draws < np.array(ends)).mean(axis=0)
        error = np.sqrt(tail * (1 - tail) * (1 / n + 1 / 20_000))
        assert np.abs(share - tail).max() < 4.5 * error


def test_the_same_seed_gives_the_same_envelope(make_effects):
    fit = mx.RandomEffects(make_effects(10)).fit()
    one, same, other = (normal_quantile_plan(fit, seed=seed).layers(Band)[0] for seed in (3, 3, 4))
    assert one.low == same.low
    assert one.low != other.low


def test_the_line_is_that_of_a_normal_distribution(make_effects):
    plan = normal_quantile_plan(mx.RandomEffects(make_effects(30)).fit())
    (line,) = plan.layers(Curve)
    assert line.x == line.y


def test_points_outside_the_envelope_are_counted_and_named():
    fit = mx.RandomEffects(schools(), dependence="accept").fit()
    plan = normal_quantile_plan(fit, envelope="exact", labels="outside")
    frame = points_of(plan)
    outside = (frame["y"] < frame["envelope_low"]) | (frame["y"] > frame["envelope_high"])
    assert outside.any()
    words = [word for layer in plan.layers(Points) for word in layer.words if word]
    assert sorted(words) == sorted(frame.index[outside])
    assert f"{outside.sum()} outside the 95% envelope" in plan.describe()
    assert any("takes them as independent" in note for note in plan.notes)
    ax = normal_quantile(plan)
    assert overlapping_texts(ax) == []
    bare = normal_quantile_plan(fit, envelope=None)
    assert bare.layers(Band) == []
    assert "envelope" not in bare.summary


def test_an_effect_that_is_alone_in_a_coefficient_has_no_residual():
    data = pd.DataFrame({"source": ["a", "a", "a", "a", "b"]})
    es = mx.EffectSizes([0.1, 0.3, 0.2, 0.6, 0.9], [0.02, 0.03, 0.05, 0.02, 0.04], data=data)
    plan = normal_quantile_plan(mx.RandomEffects(es, "source").fit())
    assert len(points_of(plan)) == 4
    assert plan.notes[0] == "1 effect alone in a coefficient: no residual that varies."
    assert overlapping_texts(normal_quantile(plan)) == []


@combined(k=[2, 3, 13, 150], theme=["metaexo", "dark"])
@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
def test_texts_never_overlap_and_every_effect_has_a_mark(make_effects, k, theme):
    es = make_effects(k, labels=[f"王 Author {i} and many others" for i in range(k)])
    fit = mx.RandomEffects(es).fit(method="DL", test="z")
    plan = normal_quantile_plan(fit, by="source", labels="all", title="A title " * 20, theme=theme)
    assert len(points_of(plan)) == k
    assert overlapping_texts(normal_quantile(plan)) == []
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    assert normal_quantile(fit, ax=axes[0]) is axes[0]
    assert overlapping_texts(figure) == []


def test_robust_fits_have_the_envelope_of_their_model():
    fit = mx.Multilevel(schools(), "district").fit()
    plain, robust = (normal_quantile_plan(one) for one in (fit, fit.robust("district")))
    assert plain.layers(Band)[0].low == robust.layers(Band)[0].low


def test_wrong_choices_are_refused(make_effects):
    fit = mx.RandomEffects(make_effects(6)).fit()
    with pytest.raises(UnknownChoiceError) as error:
        normal_quantile_plan(fit, kind="studentised")
    assert error.value.nearest == "studentized"
    with pytest.raises(InputError, match="draws is 3"):
        normal_quantile_plan(fit, draws=3)
    with pytest.raises(InputError, match="no envelope to be outside of"):
        normal_quantile_plan(fit, envelope=None, labels="outside")
    with pytest.raises(InputError, match="dependent residuals"):
        normal_quantile_plan(mx.Multilevel(schools(), "district").fit(), envelope="exact")
    with pytest.raises(InputError, match="cannot be made of an EffectSizes"):
        normal_quantile_plan(make_effects(6))
    with pytest.raises(TooFewStudiesError, match="at least 2"):
        normal_quantile_plan(mx.RandomEffects(make_effects(1)).fit(method="EE", test="z"))
