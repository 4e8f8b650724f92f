"""Sensitivity to publication bias against published output, closed forms and dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import metaexo as mx

# Trials of BCG vaccine: log risk ratios and their variances (metadat, dat.bcg).
# fmt: off
BCG = np.array([
    -0.88931133, -1.58538866, -1.34807315, -1.44155119, -0.21754732, -0.78611559, -1.62089822,
    0.01195233, -0.46941765, -1.37134480, -0.33935883, 0.44591340, -0.01731395,
])
BCG_V = np.array([
    0.325584765, 0.194581121, 0.415367965, 0.020010032, 0.051210172, 0.006905618, 0.223017248,
    0.003961579, 0.056434210, 0.073024794, 0.012412214, 0.532505845, 0.071404660,
])
# fmt: on
AUTHOR = list("abcdefghicklk")  # the third and the tenth, the eleventh and the thirteenth share theirs


def bcg(**choices: object) -> mx.EffectSizes:
    return mx.EffectSizes(BCG, BCG_V, measure="RR", **choices)


def test_means_and_s_values_published_for_the_bcg_trials() -> None:
    """Reference pages of the R package PublicationBias 2.3.0: with a ratio of 5, -0.156 (SE 0.0491) for the
    common-effect model and -0.3686171 for the robust one; S-value 8.261336 for RR 0.90; none for RR 1."""
    common = mx.bias.worst_case(bcg(), model="common")
    assert common.alternative == "less"
    assert common.affirmative.sum() == 8
    five = common.corrected(5)
    assert (round(five.estimate, 3), round(five.se, 4)) == (-0.156, 0.0491)
    assert common.corrected(1).estimate == pytest.approx(-0.4303, abs=5e-5)
    assert common.s_value == np.inf
    assert mx.bias.worst_case(bcg(), np.log(0.9), "common").s_value == pytest.approx(8.261336, rel=1e-6)
    robust = mx.bias.worst_case(bcg(study=[f"{a}{i}" for i, a in enumerate("abcdefghijklm")]))
    assert robust.corrected(5).estimate == pytest.approx(-0.3686171, abs=2e-7)
    assert robust.s_value == np.inf


def closed_form(y: np.ndarray, variance: np.ndarray, a: np.ndarray, q: float, quantile: float) -> float:
    """Return the ratio at which the lower bound is q: a root of a quadratic equation (paper, section 3)."""
    w, u = 1 / variance, y - q
    of_a, of_n = (w * u)[a].sum(), (w * u)[~a].sum()
    va, vn = w[a].sum(), w[~a].sum()  # sums of w^2 times the variance
    roots = np.roots([of_n**2 - quantile**2 * vn, 2 * of_a * of_n, of_a**2 - quantile**2 * va])
    return float(min(r.real for r in roots if abs(r.imag) < 1e-9 and r.real >= 1))


@pytest.mark.parametrize("value", [0.0, np.log(0.9)])
@pytest.mark.parametrize("model", ["common", "random"])
def test_the_s_value_of_the_bound_is_a_root_of_a_quadratic_equation(model: str, value: float) -> None:
    found = mx.bias.worst_case(bcg(), value, model)
    tau2 = 0.0 if model == "common" else mx.RandomEffects(bcg()).fit().tau2
    wanted = closed_form(-BCG, BCG_V + tau2, found.affirmative, -value, stats.norm.ppf(0.975))
    assert found.s_value_bound == pytest.approx(wanted, rel=1e-9)
    assert found.corrected(found.s_value_bound).high == pytest.approx(value, abs=1e-9)


def test_published_s_values_of_bounds_have_t_quantiles() -> None:
    """The package has 7.58431 and 3.406779 with t quantiles on 12 df; the paper, and we, normal ones."""
    a = mx.bias.worst_case(bcg(), model="common").affirmative
    for value, published in ((0.0, 7.58431), (np.log(0.9), 3.406779)):
        assert closed_form(-BCG, BCG_V, a, -value, stats.t.ppf(0.975, 12)) == pytest.approx(
            published, rel=1e-6
        )


def dense_robust(y: np.ndarray, v: np.ndarray, w: np.ndarray, study: list[str]) -> tuple[float, float, float]:
    """Return a weighted mean with its CR2 standard error and Satterthwaite df, by full matrices."""
    k = y.size
    s = np.diag(v)
    hat = np.ones((k, 1)) @ w[None, :] / w.sum()
    spread = (np.eye(k) - hat) @ s @ (np.eye(k) - hat).T
    forms, total = [], 0.0
    residuals = y - w @ y / w.sum()
    for name in sorted(set(study)):
        rows = [i for i, one in enumerate(study) if one == name]
        root = np.diag(np.sqrt(v[rows]))
        values, vectors = np.linalg.eigh(root @ spread[np.ix_(rows, rows)] @ root)
        adjust = root @ vectors @ np.diag(values**-0.5) @ vectors.T @ root
        row = np.zeros(k)
        row[rows] = w[rows] @ adjust
        row = row @ (np.eye(k) - hat) / w.sum()
        forms.append(row)
        total += float(row @ residuals) ** 2
    p = np.array(forms)
    middle = p @ s @ p.T
    return (
        float(w @ y / w.sum()),
        float(np.sqrt(total)),
        float(np.trace(middle) ** 2 / np.sum(middle**2)),
    )


@pytest.mark.parametrize("ratio", [1.0, 5.0, 1e4, np.inf])
def test_robust_means_by_dense_matrices(ratio: float) -> None:
    es = bcg(study=AUTHOR)
    found = mx.bias.worst_case(es)
    total = BCG_V + mx.RandomEffects(es, dependence="accept").fit().tau2
    a = found.affirmative
    keep = ~a | np.isfinite(ratio)
    w = np.where(a, 1.0, ratio if np.isfinite(ratio) else 1.0) / total
    study = [one for one, used in zip(AUTHOR, keep, strict=True) if used]
    estimate, se, df = dense_robust(BCG[keep], total[keep], w[keep], study)
    one = found if np.isinf(ratio) else found.corrected(ratio)
    assert [one.estimate, one.se] == pytest.approx([estimate, se], rel=1e-9)
    half = stats.t.ppf(0.975, df) * se
    assert [one.low, one.high] == pytest.approx([estimate - half, estimate + half], rel=1e-8)
    again = found.corrected(ratio)
    assert [again.estimate, again.df] == pytest.approx([estimate, df], rel=1e-8)


def test_the_robust_s_value_is_where_the_bound_meets_the_value() -> None:
    found = mx.bias.worst_case(bcg(study=AUTHOR))
    assert found.corrected(found.s_value_bound).high == pytest.approx(0, abs=1e-9)
    for ratio in np.linspace(1, found.s_value_bound * 0.999, 20):
        assert found.corrected(ratio).high < 0


@pytest.mark.parametrize("model", ["robust", "random", "common"])
@pytest.mark.parametrize("factor", [1e-40, 1e-6, 1e6, 1e40])
def test_units_mirrors_and_shifts(model: str, factor: float) -> None:
    value = float(np.log(0.9))
    plain = mx.bias.worst_case(mx.EffectSizes(BCG, BCG_V), value, model)
    scaled = mx.bias.worst_case(mx.EffectSizes(BCG * factor, BCG_V * factor**2), value * factor, model)
    mirror = mx.bias.worst_case(mx.EffectSizes(-BCG, BCG_V), -value, model)
    shifted = mx.bias.worst_case(mx.EffectSizes(BCG + 0.5, BCG_V, measure="CLES"), value + 0.5, model)
    for other in (scaled, mirror, shifted):
        assert [other.s_value, other.s_value_bound] == pytest.approx(
            [plain.s_value, plain.s_value_bound], rel=1e-6
        )
    assert [scaled.estimate, scaled.se, scaled.low] == pytest.approx(
        [plain.estimate * factor, plain.se * factor, plain.low * factor], rel=1e-7, abs=0
    )
    assert [mirror.estimate, mirror.low, mirror.alternative] == [
        pytest.approx(-plain.estimate),
        pytest.approx(-plain.high),
        "greater",
    ]
    assert shifted.estimate == pytest.approx(plain.estimate + 0.5)


def test_an_effect_that_selection_cannot_explain_and_one_that_needs_none() -> None:
    y, v = np.array([0.9, 1.1, 0.8, 0.3, 0.4]), np.full(5, 0.05)
    strong = mx.bias.worst_case(mx.EffectSizes(y, v))
    assert strong.s_value == np.inf
    assert "no selection of this kind moves" in strong.sentence
    weak = mx.bias.worst_case(mx.EffectSizes(y - 0.6, v), alternative="less")
    assert weak.s_value == weak.s_value_bound == 1
    assert not weak.affirmative.any()
    assert weak.estimate == pytest.approx(weak.unadjusted.estimate)
    assert any("nothing to act on" in line for line in weak.cautions())
    every = mx.bias.worst_case(mx.EffectSizes(y + 2, v))
    assert np.isnan(every.estimate)
    assert (every.s_value, every.s_value_bound) == (np.inf, np.inf)
    assert any("there is no worst case" in line for line in every.cautions())
    assert "Worst case: none" in every.sentence
    assert "cannot be said" in every.sentence
    one = mx.bias.worst_case(mx.EffectSizes([0.9, 1.1, 0.1], [0.05] * 3))
    assert np.isnan(one.se)
    assert one.estimate == pytest.approx(0.1)
    assert any("no standard error" in line for line in one.cautions())


def test_variances_too_far_apart_for_a_robust_interval_leave_its_s_value_open() -> None:
    """Two studies, one of which has all the weight but for rounding: there are no df."""
    with pytest.warns(mx.errors.VarianceRatioWarning):
        es = mx.EffectSizes([0.5, 1.5], [1e-6, 1e12])
    found = mx.bias.worst_case(es)
    assert np.isnan(found.s_value_bound)
    assert "nan" not in found.sentence


def test_wrong_inputs() -> None:
    es = bcg()
    for choices, error in (
        ({"model": "fixed"}, mx.errors.UnknownChoiceError),
        ({"alternative": "two"}, mx.errors.UnknownChoiceError),
        ({"significance": 0}, mx.errors.InputError),
        ({"value": np.inf}, mx.errors.InputError),
        ({"cluster": "nobody"}, mx.errors.InputError),
    ):
        with pytest.raises(error):
            mx.bias.worst_case(es, **choices)
    with pytest.raises(mx.errors.InputError, match="at least 1"):
        mx.bias.worst_case(es).corrected(0.5)
    with pytest.raises(mx.errors.NotIdentifiableError, match="no value of no effect"):
        mx.bias.worst_case(mx.effect_sizes("PLO", events=[3, 5, 9], n=[10, 12, 30]))
    with pytest.raises(mx.errors.TooFewStudiesError):
        mx.bias.worst_case(mx.EffectSizes([0.5], [0.01]))


def test_ratios_are_shown_as_ratios() -> None:
    found = mx.bias.worst_case(bcg(), np.log(0.9))
    assert f"{np.exp(found.estimate):.3f} (95% CI" in found.sentence
    assert "to 0.900" in found.sentence
