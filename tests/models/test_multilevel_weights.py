"""Weights of the user's own in a multilevel model: values from R's metafor, and what the definition implies.

The values were computed with metafor 3.8.1 in R 4.2.2:

    library(metafor)
    dat <- dat.konstantopoulos2011
    ctl <- list(optimizer = "nlminb", rel.tol = 1e-10, iter.max = 1000)
    W <- bldiag(lapply(split(dat$vi, dat$district), function(v) {
      S <- sqrt(outer(v, v)) * 0.5; diag(S) <- v; solve(S) }))
    show <- function(f) {
      print(list(f$beta, f$vb, f$sigma2, f$fit.stats["ll", ], f$QE, f$QM, head(rstandard(f)$se, 3),
                 head(hatvalues(f), 3), head(weights(f), 3)), digits = 12) }
    show(rma.mv(yi, vi, W = 1 / vi, random = ~ 1 | district / school, data = dat, control = ctl))
    show(rma.mv(yi, vi, W = W, mods = ~ I(year - 1990), random = ~ 1 | district / school, data = dat,
                control = ctl))
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import metaexo as mx
from metaexo.effects import covariance_blocks
from metaexo.errors import InputError, ShapeError, UnknownChoiceError

TABLE = mx.load_dataset("school_calendars")
ES = mx.EffectSizes(TABLE["y"], TABLE["v"], data=TABLE)
TERMS = "district/school"
BLOCKS = [np.linalg.inv(b.cov) for b in covariance_blocks(TABLE["v"], TABLE["district"], correlation=0.5)]

# what the optimiser of the reference leaves open in the variances
NEAR = 1e-7


def weighted(weights: object, moderators: str | None = None) -> mx.models.MultilevelResults:
    return mx.Multilevel(ES, TERMS, moderators=moderators, weights=weights).fit(test="z")


def test_a_weight_for_each_effect_as_in_r() -> None:
    fit = weighted(1 / TABLE["v"])
    assert fit.beta[0] == pytest.approx(0.0464071863216, rel=1e-11)
    assert fit.cov[0, 0] == pytest.approx(0.0329125124396, rel=NEAR)
    assert list(fit.component_values.values()) == pytest.approx([0.0650619442753, 0.0327365170279], rel=NEAR)
    assert fit.fit_statistics(False).llf == pytest.approx(-9.75771207755, rel=NEAR)
    assert fit.llf == pytest.approx(-9.2964399022, rel=NEAR)
    assert fit.q.statistic == pytest.approx(578.864017958, rel=1e-11)
    assert fit.moderator_test.statistic == pytest.approx(0.0654348994548, rel=NEAR)
    table = fit.residuals().iloc[:3]
    assert table["se"].tolist() == pytest.approx([0.498152924961, 0.498152924961, 0.52360748378], rel=NEAR)
    share = [0.000715679785856, 0.000715679785856, 0.000586459824521]
    for values in (fit.hat_values, fit.diagonal_weights, fit.weights):
        assert values[:3].tolist() == pytest.approx(share, rel=1e-10)


def test_a_matrix_of_weights_with_a_moderator_as_in_r() -> None:
    fit = weighted(BLOCKS, "I(year - 1990)")
    assert fit.beta.tolist() == pytest.approx([0.143980905418, -0.0116624862801], rel=1e-10)
    cov = [0.0209584277201, 0.000507256048074, 0.000507256048074, 0.000179643676877]
    assert fit.cov.ravel().tolist() == pytest.approx(cov, rel=NEAR)
    assert fit.fit_statistics(False).llf == pytest.approx(-10.1025586851, rel=NEAR)
    assert fit.llf == pytest.approx(-9.01887747212, rel=NEAR)
    assert fit.q.statistic == pytest.approx(550.259675495, rel=1e-11)
    assert fit.moderator_test.statistic == pytest.approx(0.757129828322, rel=NEAR)
    table = fit.residuals().iloc[:3]
    assert table["se"].tolist() == pytest.approx([0.510447779898, 0.510447779898, 0.535897887239], rel=NEAR)
    hat = [0.00578267196901, 0.00578267196901, 0.00314947792529]
    assert fit.hat_values[:3].tolist() == pytest.approx(hat, rel=1e-10)
    share = [0.000656799317941, 0.000656799317941, 0.000538210552201]
    assert fit.diagonal_weights[:3].tolist() == pytest.approx(share, rel=1e-10)


def test_the_best_weights_change_nothing() -> None:
    plain = mx.Multilevel(ES, TERMS, moderators="year").fit()
    inverse = plain.gls.factor.solve(np.eye(ES.k))
    own = mx.Multilevel(ES, TERMS, moderators="year", weights=inverse).fit()
    np.testing.assert_allclose(own.beta, plain.beta, rtol=1e-9)
    np.testing.assert_allclose(own.cov, plain.cov, rtol=1e-8)
    assert own.llf == pytest.approx(plain.llf, rel=1e-12)
    np.testing.assert_allclose(own.residuals(), plain.residuals(), rtol=1e-6, atol=1e-12)


def test_every_form_of_weights_is_one() -> None:
    v = np.asarray(TABLE["v"])
    forms = [1 / v, np.diag(1 / v), sparse.diags_array(1 / v), [np.diag(1 / v[:20]), np.diag(1 / v[20:])]]
    for form in forms[1:]:
        np.testing.assert_allclose(weighted(form).cov, weighted(forms[0]).cov, rtol=1e-12)
    assert weighted("equal").beta[0] == pytest.approx(np.mean(TABLE["y"]), rel=1e-12)


def test_other_weights_cost_precision_and_likelihood() -> None:
    plain, own = mx.Multilevel(ES, TERMS).fit(), weighted("equal")
    assert own.se[0] > plain.se[0]
    assert own.llf < plain.llf
    assert own.component_values == plain.component_values
    assert own.digest != plain.digest
    assert "user-supplied weights" in str(own.summary())


def test_what_is_made_for_the_best_weights_is_refused() -> None:
    fit = weighted("equal")
    for call in (
        fit.random_effects,
        fit.blup,
        lambda: fit.predict(given={"district": "71"}),
        lambda: fit.test_against(weighted("equal")),
    ):
        with pytest.raises(InputError, match="weights of its own"):
            call()


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (np.ones(3), ShapeError),
        (np.zeros(56), InputError),
        (np.append(np.ones(55), np.nan), InputError),
        (np.eye(56) + np.eye(56, k=1), InputError),
        ("size", UnknownChoiceError),
    ],
)
def test_weights_that_are_none_are_refused(weights: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        mx.Multilevel(ES, TERMS, weights=weights)
