"""The tests of coefficients: how they differ, and what they rest on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo import errors

Y = np.array([0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1])
V = np.array([0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05])
DOSE = np.array([1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 1.0, 4.0])
AGREE = mx.EffectSizes([0.2, 0.21, 0.19, 0.2, 0.22], [0.02, 0.03, 0.02, 0.04, 0.03])
DIFFER = mx.EffectSizes(Y, V)


def width(es: mx.EffectSizes, **choices: object) -> float:
    pooled = mx.RandomEffects(es).fit(**choices).pooled()
    return pooled.high - pooled.low


def test_the_wider_interval_is_taken_and_the_level_decides() -> None:
    for es in (AGREE, DIFFER):
        for level in (0.5, 0.95):
            hk, z = (width(es, test=test, level=level) for test in ("knapp-hartung", "z"))
            assert width(es, test="knapp-hartung-or-z", level=level) == pytest.approx(max(hk, z))


def test_iqwig_bounds_the_scale_only_where_the_interval_would_be_narrower() -> None:
    assert width(AGREE, test="knapp-hartung") < width(AGREE, test="z", method="DL")
    assert width(AGREE, test="knapp-hartung-iqwig") == width(AGREE, test="knapp-hartung-adhoc")
    assert width(DIFFER, test="knapp-hartung-iqwig") == width(DIFFER, test="knapp-hartung")


def test_given_degrees_of_freedom_make_the_quantile() -> None:
    fit = mx.RandomEffects(DIFFER).fit(test="t", df=4.5)
    assert fit.pooled().high - fit.estimate == pytest.approx(stats.t.ppf(0.975, 4.5) * fit.se[0])
    assert fit.moderator_test.df == (1, 4.5)


@pytest.mark.parametrize("moderators", [None, DOSE, np.column_stack([DOSE, DOSE**2])])
def test_kenward_roger_widens_and_its_joint_test_of_one_is_its_t_test(
    moderators: np.ndarray | None,
) -> None:
    model = mx.RandomEffects(DIFFER, moderators)
    fit, plain = model.fit(test="kenward-roger"), model.fit(test="z")
    assert (fit.se >= plain.se).all()
    frame = fit.to_frame()
    for j in range(fit.design.p):
        row = np.eye(fit.design.p)[[j]]
        one = fit.joint_test(row, np.zeros(1), "nothing")
        assert one.df[1] == pytest.approx(fit.df_of(row)[0])
        assert one.statistic == pytest.approx(frame["statistic"][j] ** 2)
        assert one.pvalue == pytest.approx(frame["pvalue"][j])


def test_kenward_roger_of_balanced_data_is_the_t_test_of_the_mean() -> None:
    # equal variances: the mean of k values with k - 1 degrees of freedom, whatever tau2 is
    es = mx.EffectSizes(Y, np.full(8, 0.01))
    fit = mx.RandomEffects(es).fit(test="kenward-roger")
    assert fit.se[0] == pytest.approx(Y.std(ddof=1) / np.sqrt(8), rel=1e-10)
    assert fit.df_test == pytest.approx(7, rel=1e-10)


@pytest.mark.parametrize(
    ("model", "choices"),
    [
        ({}, {"test": "kenward-roger", "method": "DL"}),
        ({"weights": 1 / V}, {"test": "kenward-roger"}),
        ({}, {"test": "kenward-roger", "tau2": 0.1}),
        ({"moderators": DOSE}, {"test": "knapp-hartung-iqwig"}),
    ],
)
def test_tests_that_do_not_go_with_a_fit_are_refused(model: dict, choices: dict) -> None:
    with pytest.raises(errors.InputError, match="What to do"):
        mx.RandomEffects(DIFFER, **model).fit(**choices).pooled() if "moderators" not in model else (
            mx.RandomEffects(DIFFER, **model).fit(**choices).conf_int()
        )


def test_the_null_of_a_term_is_what_is_tested() -> None:
    rr = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    strata = mx.stratify(rr, "allocation")
    assert strata.test_terms()["allocation"] == strata.moderator_test
    assert "share one mean" in strata.test_terms()["allocation"].null
    means = mx.RandomEffects(rr, "0 + allocation").fit()
    assert means.moderator_test.null == "all means of allocation are zero"
    assert means.test_terms()["allocation"] == means.moderator_test


def test_heterogeneity_of_equal_effects_is_said_once_and_slopes_are_ratios() -> None:
    rr = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    equal = mx.RandomEffects(rr).fit("EE")
    found = equal.conf_int_heterogeneity()
    assert (found.i2.estimate, found.h2.estimate) == (equal.i2, equal.h2)
    assert found.h2.estimate > 12
    text = str(mx.RandomEffects(rr, "latitude").fit().summary())
    assert "ratio (exp)" in text
    assert "risk ratio (exp)" not in text
