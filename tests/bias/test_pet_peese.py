"""PET-PEESE against statsmodels, its rule, and its behaviour at the edges."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import metaexo as mx

Y = [0.10, 0.20, 0.40, 0.30, 0.70, 0.90, 0.35, 0.05]
V = [0.01, 0.02, 0.04, 0.05, 0.08, 0.10, 0.03, 0.015]
STUDY = ["a", "a", "b", "c", "c", "d", "e", "f"]


def effects(y: object = Y, v: object = V, **choices: object) -> mx.EffectSizes:
    return mx.EffectSizes(y, v, **choices)


def test_both_regressions_are_weighted_least_squares_with_a_dispersion() -> None:
    found = mx.bias.pet_peese(effects(), level=0.9)
    for each, column in ((found.pet, np.sqrt(V)), (found.peese, np.array(V))):
        wls = sm.WLS(Y, sm.add_constant(column), 1 / np.array(V)).fit()
        assert [each.estimate, each.slope] == pytest.approx(wls.params, rel=1e-10)
        assert [each.se, each.slope_se] == pytest.approx(wls.bse, rel=1e-10)
        assert [each.pvalue, each.slope_pvalue] == pytest.approx(wls.pvalues, rel=1e-9)
        assert [each.low, each.high] == pytest.approx(wls.conf_int(0.1)[0], rel=1e-9)
        assert each.dispersion == pytest.approx(wls.scale)
        np.testing.assert_allclose(each.cov, wls.cov_params(), rtol=1e-9)
    np.testing.assert_allclose(
        found.curve([0, 0.2], "PET"), found.pet.estimate + found.pet.slope * np.array([0, 0.2])
    )
    np.testing.assert_allclose(
        found.curve([0, 0.2], "PEESE"), found.peese.estimate + found.peese.slope * np.array([0, 0.04])
    )


@pytest.mark.parametrize("test", ["z", "knapp-hartung"])
def test_the_mixed_model_is_that_of_the_fit(test: str) -> None:
    fit = mx.RandomEffects(effects()).fit(method="DL", test=test)
    found = mx.bias.pet_peese(fit, "mixed")
    for each, column in ((found.pet, np.sqrt(V)), (found.peese, np.array(V))):
        wanted = mx.RandomEffects(effects(), column[:, None]).fit(method="DL", test=test)
        assert [each.estimate, each.slope] == pytest.approx(wanted.beta)
        assert [each.se, each.slope_se] == pytest.approx(wanted.se)
        assert [each.low, each.high] == pytest.approx(wanted.conf_int().iloc[0])
        assert each.tau2 == wanted.tau2
    assert found.tau2 == (found.peese if found.chosen == "PEESE" else found.pet).tau2


def test_the_rule_takes_peese_where_pet_finds_an_effect() -> None:
    pvalue = mx.bias.pet_peese(effects()).pet.pvalue
    below, above = (
        mx.bias.pet_peese(effects(), significance=pvalue * factor) for factor in (1 + 1e-9, 1 - 1e-9)
    )
    assert (below.chosen, above.chosen) == ("PEESE", "PET")
    assert [below.estimate, below.low, below.pvalue] == [
        below.peese.estimate,
        below.peese.low,
        below.peese.pvalue,
    ]
    assert [above.estimate, above.low] == [above.pet.estimate, above.pet.low]
    assert "finds an effect" in below.sentence
    assert "finds no effect" in above.sentence
    assert mx.bias.pet_peese(effects()).significance == 0.1


def test_a_one_sided_rule_asks_for_the_favoured_direction() -> None:
    plain = mx.bias.pet_peese(effects())
    toward, away = (
        mx.bias.pet_peese(effects(), one_sided=True, alternative=side) for side in ("greater", "less")
    )
    assert toward.test_pvalue + away.test_pvalue == pytest.approx(1)
    assert min(toward.test_pvalue, away.test_pvalue) == pytest.approx(plain.pet.pvalue / 2)
    assert (plain.pet.estimate > 0) == (toward.test_pvalue < 0.5)
    assert (toward.alternative, away.alternative) == ("greater", "less")
    mirror = mx.bias.pet_peese(effects(-np.array(Y)), one_sided=True)
    assert mirror.alternative == "less"
    assert mirror.test_pvalue == pytest.approx(toward.test_pvalue)


@pytest.mark.parametrize("model", ["dispersion", "mixed"])
def test_effects_of_one_study_get_the_robust_variance(model: str) -> None:
    """Values for "mixed" are those of the fit's own robust(); for "dispersion" dense CR2 matrices."""
    es = effects(study=STUDY)
    found = mx.bias.pet_peese(es, model)
    assert found.clusters == 6
    assert not any("independent" in line for line in found.cautions())
    x = np.column_stack([np.ones(8), np.sqrt(V)])
    tau2 = np.nan_to_num(found.pet.tau2)
    w = 1 / (np.array(V) + tau2)
    bread = np.linalg.inv((x.T * w) @ x)
    beta = bread @ (x.T * w) @ np.array(Y)
    hat = x @ bread @ x.T * w
    meat = np.zeros((2, 2))
    for name in sorted(set(STUDY)):
        rows = [i for i, one in enumerate(STUDY) if one == name]
        root = np.diag(np.sqrt(1 / w[rows]))
        inner = root @ (np.eye(8) - hat)[np.ix_(rows, rows)] @ np.diag(1 / w[rows]) @ root
        values, vectors = np.linalg.eigh(0.5 * (inner + inner.T))
        adjust = root @ vectors @ np.diag(values**-0.5) @ vectors.T @ root
        score = x[rows].T @ np.diag(w[rows]) @ adjust @ (np.array(Y) - x @ beta)[rows]
        meat += np.outer(score, score)
    np.testing.assert_allclose([found.pet.estimate, found.pet.slope], beta, rtol=1e-9)
    np.testing.assert_allclose(found.pet.cov, bread @ meat @ bread, rtol=1e-8)
    alone = mx.bias.pet_peese(es, model, cluster=None)
    assert alone.clusters == 0
    assert alone.pet.se != found.pet.se
    assert any("independent" in line for line in alone.cautions())


@pytest.mark.parametrize("factor", [1e-40, 1e-6, 1e6, 1e40])
def test_units_shifts_and_mirrors(factor: float) -> None:
    plain = mx.bias.pet_peese(effects())
    scaled = mx.bias.pet_peese(effects(np.array(Y) * factor, np.array(V) * factor**2))
    mirror = mx.bias.pet_peese(effects(-np.array(Y)))
    shifted = mx.bias.pet_peese(effects(np.array(Y) + 3))
    for one in ("pet", "peese"):
        a, b, c, d = (getattr(found, one) for found in (plain, scaled, mirror, shifted))
        assert [b.estimate, b.se, b.high] == pytest.approx(
            [a.estimate * factor, a.se * factor, a.high * factor], rel=1e-9, abs=0
        )
        assert [c.estimate, c.low, c.pvalue] == pytest.approx([-a.estimate, -a.high, a.pvalue])
        assert [d.estimate, d.se] == pytest.approx([a.estimate + 3, a.se])
    assert scaled.chosen == mirror.chosen == plain.chosen
    assert shifted.chosen == "PEESE"


def test_edges() -> None:
    three = mx.bias.pet_peese(effects(Y[:3], V[:3]))
    assert three.pet.df == 1
    assert any("1 degrees of freedom" in line for line in three.cautions())
    still = mx.bias.pet_peese(effects([0.5] * 8))  # no residual variance: no test, so PET
    assert still.chosen == "PET"
    assert still.estimate == pytest.approx(0.5)
    with pytest.raises(mx.errors.TooFewStudiesError, match="at least 3"):
        mx.bias.pet_peese(effects(Y[:2], V[:2]))
    with pytest.raises(mx.errors.CollinearError, match="same in all rows"):
        mx.bias.pet_peese(effects(Y, [0.04] * 8))
    for choices, error in (
        ({"model": "ols"}, mx.errors.UnknownChoiceError),
        ({"alternative": "up"}, mx.errors.UnknownChoiceError),
        ({"significance": 5}, mx.errors.InputError),
        ({"one_sided": "yes"}, mx.errors.InputError),
        ({"cluster": "nobody"}, mx.errors.InputError),
    ):
        with pytest.raises(error):
            mx.bias.pet_peese(effects(), **choices)
    with pytest.raises(mx.errors.UnknownChoiceError):
        three.curve(0.1, "FAT")
    with pytest.raises(mx.errors.InputError, match="negative"):
        three.curve(-0.1)


def test_ratios_are_shown_as_ratios() -> None:
    found = mx.bias.pet_peese(effects(measure="OR"))
    assert f"{np.exp(found.estimate):.3f} (95% CI" in found.sentence


def sized(**choices: object) -> mx.EffectSizes:
    treated, controls = [60, 25, 14, 10, 7, 5, 17, 40], [60, 30, 12, 12, 6, 6, 17, 35]
    data = pd.DataFrame({"treatment_n": treated, "control_n": controls})
    return mx.EffectSizes(Y, np.array(V) * 4, data=data, **choices)


def test_standardised_mean_differences_are_regressed_on_their_sizes() -> None:
    """The predictor is sqrt(1/n1 + 1/n2), and in PEESE its square, with weights 1 / v as before."""
    es = sized(measure="SMD")
    found = mx.bias.pet_peese(es)
    x = np.sqrt(1 / es.data["treatment_n"] + 1 / es.data["control_n"]).to_numpy()
    assert found.predictor == "sqrt(1/n1+1/n2)"
    assert "correlated by construction" in found.reason
    assert found.reason in found.to_text()
    np.testing.assert_allclose(found.x, x)
    for each, column in ((found.pet, x), (found.peese, x**2)):
        wls = sm.WLS(es.y, sm.add_constant(column), 1 / es.v).fit()
        assert [each.estimate, each.slope, each.se] == pytest.approx([*wls.params, wls.bse[0]], rel=1e-10)
    asked = mx.bias.pet_peese(es, predictor="se")
    assert asked.predictor == "se"
    assert any("where there is no bias, too" in line for line in asked.cautions())
    unknown = mx.bias.pet_peese(mx.EffectSizes(Y, V, measure="SMD"))
    assert unknown.predictor == "se"
    assert any("sample sizes are not known" in line for line in unknown.cautions())
    assert mx.bias.pet_peese(sized(measure="MD")).predictor == "se"
    assert mx.bias.pet_peese(sized(measure="MD"), predictor="1/sqrt(n)").predictor == "1/sqrt(n)"


def test_predictors_that_are_none_of_pet_are_refused() -> None:
    for word in ("variance", "n", "1/n", "size"):
        with pytest.raises(mx.errors.UnknownChoiceError):
            mx.bias.pet_peese(sized(), predictor=word)
    with pytest.raises(mx.errors.InputError, match="sample sizes are not known"):
        mx.bias.pet_peese(effects(), predictor="1/sqrt(n)")


def test_a_multilevel_fit_keeps_its_random_terms() -> None:
    fit = mx.Multilevel(effects(study=STUDY)).fit()
    found = mx.bias.pet_peese(fit, "mixed")
    wanted = mx.Multilevel(effects(study=STUDY), moderators=np.sqrt(V)[:, None]).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.FewStudiesWarning)
        robust = wanted.robust("study")
    assert [found.pet.estimate, found.pet.slope] == pytest.approx(wanted.beta, rel=1e-6)
    assert found.pet.se == pytest.approx(robust.se[0], rel=1e-6)
    assert found.pet.tau2 == pytest.approx(wanted.tau2, rel=1e-6, abs=1e-12)


def test_a_test_that_is_made_for_means_gives_way_to_one_for_regressions() -> None:
    fit = mx.RandomEffects(effects()).fit(test="knapp-hartung-iqwig")
    adhoc = mx.RandomEffects(effects()).fit(test="knapp-hartung-adhoc")
    assert mx.bias.pet_peese(fit, "mixed").pet.se == mx.bias.pet_peese(adhoc, "mixed").pet.se
