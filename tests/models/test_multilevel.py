"""Multilevel models: against brute force, against the one-level model, and refusals in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import metaexo as mx
from metaexo.effects import covariance_blocks
from metaexo.errors import (
    ConvergenceError,
    FewStudiesWarning,
    InputError,
    NotIdentifiableError,
    NotNestedError,
    RowsLeftOutWarning,
    ShapeError,
    UnknownChoiceError,
)


@pytest.fixture(scope="module")
def es() -> mx.EffectSizes:
    rng = np.random.default_rng(4)
    k = 60
    study = np.sort(rng.integers(0, 15, k))
    data = pd.DataFrame(
        {
            "study": [f"s{i:02d}" for i in study],
            "source": rng.choice(["adipose", "milk", "plant", "tumour"], k),
            "isolation": rng.choice(["ultra", "kit", "sec"], k),
            "outcome": rng.choice(["size", "dose"], k),
            "time": rng.choice([1, 2, 4], k),
            "x": rng.normal(size=k),
        }
    )
    v = rng.uniform(0.02, 0.1, k)
    y = 0.4 + 0.5 * rng.normal(size=15)[study] + 0.2 * rng.normal(size=k) + np.sqrt(v) * rng.normal(size=k)
    return mx.EffectSizes(y, v, data=data, study=data["study"].tolist())


def test_one_effect_a_study_is_the_random_effects_model() -> None:
    rng = np.random.default_rng(8)
    one = mx.EffectSizes(rng.normal(size=12), rng.uniform(0.05, 0.2, 12))
    for method in ("REML", "ML"):
        multi = mx.Multilevel(one, "study").fit(method, "z")
        plain = mx.RandomEffects(one).fit(method, "z")
        assert multi.component_values["study"] == pytest.approx(plain.tau2, rel=1e-8)
        assert multi.llf == pytest.approx(plain.llf, rel=1e-10)
        assert multi.se[0] == pytest.approx(plain.se[0], rel=1e-8)
        assert multi.q.statistic == pytest.approx(plain.q.statistic, rel=1e-10)
        assert multi.i2 == pytest.approx(plain.i2, rel=1e-8)
        assert multi.h2 == pytest.approx(plain.h2, rel=1e-8)


def test_coefficients_are_those_of_dense_least_squares(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, ["study/effect", "source"], moderators="x").fit()
    m = np.diag(es.v)
    for name in ("study", "effect", "source"):
        column = np.arange(es.k) if name == "effect" else es.data[name].to_numpy()
        component = "study/effect" if name == "effect" else name
        m += fit.component_values[component] * (column[:, None] == column)
    inverse = np.linalg.inv(m)
    x = np.column_stack([np.ones(es.k), es.data["x"]])
    cov = np.linalg.inv(x.T @ inverse @ x)
    np.testing.assert_allclose(fit.beta, cov @ x.T @ inverse @ es.y, rtol=1e-10)
    np.testing.assert_allclose(fit.cov, cov, rtol=1e-10)


def test_every_form_of_v_is_one(es: mx.EffectSizes) -> None:
    blocks = covariance_blocks(es.v, es.study, correlation=0.6)
    dense = np.zeros((es.k, es.k))
    for block in blocks:
        dense[np.ix_(block.rows, block.rows)] = block.cov
    forms = [blocks, dense, sparse.coo_array(dense), [b.cov for b in blocks]]
    fits = [mx.Multilevel(es, "study/effect", V=form).fit() for form in forms]
    for fit in fits[1:]:
        assert fit.llf == pytest.approx(fits[0].llf, rel=1e-11)
        np.testing.assert_allclose(fit.beta, fits[0].beta, rtol=1e-8)
    assert fits[0].llf != pytest.approx(mx.Multilevel(es, "study/effect").fit().llf)


def test_the_order_of_rows_does_not_matter(es: mx.EffectSizes) -> None:
    order = np.random.default_rng(1).permutation(es.k)
    data = es.data.iloc[order].reset_index(drop=True)
    other = mx.EffectSizes(es.y[order], es.v[order], data=data, study=data["study"].tolist())
    terms = ["study/effect", mx.RandomTerm("source", "outcome", "HCS")]
    a, b = mx.Multilevel(es, terms).fit(), mx.Multilevel(other, terms).fit()
    assert a.llf == pytest.approx(b.llf, rel=1e-10)
    np.testing.assert_allclose(a.beta, b.beta, rtol=1e-6)


def test_shift_and_scale(es: mx.EffectSizes) -> None:
    moved = mx.EffectSizes(3 + 10 * es.y, 100 * es.v, data=es.data, study=es.study)
    a, b = mx.Multilevel(es).fit(), mx.Multilevel(moved).fit()
    assert b.beta[0] == pytest.approx(3 + 10 * a.beta[0], rel=1e-8)
    for name, value in a.component_values.items():
        assert b.component_values[name] == pytest.approx(100 * value, rel=1e-6)


def test_compound_symmetry_is_nesting(es: mx.EffectSizes) -> None:
    nested = mx.Multilevel(es, "study/effect").fit()
    data = es.with_columns(unit=list(range(es.k)))
    compound = mx.Multilevel(data, mx.RandomTerm("study", "unit", "CS")).fit()
    assert compound.llf == pytest.approx(nested.llf, rel=1e-9)
    total = sum(nested.component_values.values())
    assert compound.component_values["unit|study:tau2"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("code", ["ID", "DIAG", "CS", "HCS", "UN", "AR", "HAR", "CAR"])
def test_structures_fit_with_a_certificate(es: mx.EffectSizes, code: str) -> None:
    fit = mx.Multilevel(es, ["effect", mx.RandomTerm("study", "time", code)]).fit()
    assert fit.certificate.certified
    g = fit.matrix("time|study").to_numpy()
    assert g.shape == (3, 3)
    assert np.linalg.eigvalsh(g).min() > -1e-10
    assert fit.components["estimate"].notna().any()


def test_a_larger_structure_is_never_worse(es: mx.EffectSizes) -> None:
    llf = [
        mx.Multilevel(es, mx.RandomTerm("study", "time", code)).fit("ML").llf
        for code in ("ID", "CS", "HCS", "UN")
    ]
    assert (np.diff(llf) > -1e-7).all()


def test_fixed_components(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect", fix={"study": 0.3}).fit()
    assert fit.component_values["study"] == 0.3
    assert fit.components.loc["study", "fixed"]
    free = mx.Multilevel(es, "study/effect").fit()
    assert free.parameters == fit.parameters + 1
    assert free.llf > fit.llf
    with pytest.raises(UnknownChoiceError):
        mx.Multilevel(es, "study", fix={"nothing": 1.0})
    with pytest.raises(InputError):
        mx.Multilevel(es, "study", fix={"study": -1.0})


def test_slopes_and_relations(es: mx.EffectSizes) -> None:
    slopes = mx.Multilevel(es, ["effect", "x + 1|study".replace("x + 1", "1 + x")]).fit()
    assert list(slopes.matrix("1+x|study").columns) == ["intercept", "x"]
    names = sorted(set(es.study))
    eye = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    related = mx.Multilevel(es, [mx.RandomTerm("study", relation=eye), "effect"]).fit()
    plain = mx.Multilevel(es, ["study", "effect"]).fit()
    assert related.llf == pytest.approx(plain.llf, rel=1e-10)
    assert related.random_effects()["se"].to_numpy() == pytest.approx(
        plain.random_effects()["se"].to_numpy(), rel=1e-8
    )
    with pytest.raises(InputError, match="no row for some levels"):
        mx.Multilevel(es, mx.RandomTerm("study", relation=eye.iloc[1:, 1:]))


def test_what_cannot_be_told_apart_is_refused_in_words(es: mx.EffectSizes) -> None:
    with pytest.raises(NotIdentifiableError, match="one level"):
        mx.Multilevel(es.with_columns(kind=["a"] * es.k), ["study", "kind"])
    with pytest.raises(NotIdentifiableError, match="group the effects alike"):
        mx.Multilevel(es.with_columns(paper=[s.upper() for s in es.study]), ["study", "paper"])
    with pytest.raises(NotIdentifiableError, match="occurs twice"):
        mx.Multilevel(es, ["study", "study"])
    with pytest.raises(NotIdentifiableError, match="aliased with the moderators"):
        mx.Multilevel(es, ["study", "source"], moderators="source")
    with pytest.raises(UnknownChoiceError, match="sorce"):
        mx.Multilevel(es, "sorce")
    with pytest.raises(ShapeError):
        mx.Multilevel(es, "study", V=np.eye(3))


def test_profile_limits_have_the_deviance_of_the_quantile(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect").fit()
    table = fit.conf_int_components(level=0.9)
    for name, row in table.iterrows():
        for side in ("low", "high"):
            if row[f"{side}_open"]:
                continue
            held = mx.Multilevel(es, "study/effect", fix={str(name): float(row[side])}).fit()
            assert 2 * (fit.llf - held.llf) == pytest.approx(2.705543454095404, rel=1e-5)
    profile = fit.profile("study")
    assert profile.llf.max() <= fit.llf + 1e-9
    assert len(profile.to_frame()) == profile.value.size


def test_predictions_add_the_variance_of_what_is_new(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, ["study/effect", "source"]).fit(test="z")
    row = fit.predict().iloc[0]
    total = sum(fit.component_values.values())
    assert row["prediction_se"] ** 2 == pytest.approx(row["se"] ** 2 + total, rel=1e-12)
    assert fit.component_values["study"] > 0.1  # leaving it out makes a difference
    between = fit.predict(without=["study"]).iloc[0]
    assert between["prediction_se"] ** 2 == pytest.approx(
        row["se"] ** 2 + total - fit.component_values["study"], rel=1e-12
    )
    assert between["estimate"] == row["estimate"]
    fewer = fit.predict(without=["source"]).iloc[0]
    assert fewer["prediction_se"] ** 2 == pytest.approx(
        row["se"] ** 2 + total - fit.component_values["source"], rel=1e-12
    )
    known = fit.predict(given={"study": "s03"}).iloc[0]
    effects = fit.random_effects().set_index(["component", "level"]).loc["study"]
    assert known["estimate"] == pytest.approx(fit.beta[0] + effects.loc["s03", "estimate"], rel=1e-10)


def test_blups_have_no_part_of_the_mean_left(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect").fit()
    for name, table in fit.random_effects().groupby("component"):
        assert (table["se"] ** 2 <= fit.component_values[name] + 1e-12).all()
        assert table["estimate"].sum() == pytest.approx(0, abs=1e-8)


def test_robust_standard_errors(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect", moderators="x").fit()
    robust = fit.robust()
    assert robust.robust_covariance.kind == "CR2"
    assert (robust.df_inference < 15).all()
    crossed = mx.Multilevel(es, ["study/effect", "source"], fix={"source": 0.05}).fit()
    with pytest.raises(InputError, match="different clusters share"):
        crossed.robust()
    assert crossed.robust(kind="CR1p").se[0] > 0
    with pytest.warns(FewStudiesWarning):
        mx.Multilevel(es, "source/effect").fit().robust("source")


def test_residuals_and_influence(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect").fit()
    assert fit.hat_values.sum() == pytest.approx(1.0, rel=1e-10)
    assert fit.weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert fit.weights @ es.y == pytest.approx(fit.beta[0], rel=1e-10)
    found = fit.influence(refit=True)
    rows = np.flatnonzero(np.array(es.study) != "s03")
    without = mx.Multilevel(es.select(rows, "left out"), "study/effect").fit()
    assert found.beta[found.labels.index("s03"), 0] == pytest.approx(without.beta[0], rel=1e-7)


def test_structures_are_tested_by_their_likelihoods(es: mx.EffectSizes) -> None:
    full, small = mx.Multilevel(es, "study/effect").fit(), mx.Multilevel(es, "study").fit()
    test = full.test_against(small)
    assert test.boundary
    assert test.statistic == pytest.approx(2 * (full.llf - small.llf), rel=1e-10)
    with pytest.raises(NotNestedError):
        small.test_against(full)


@pytest.mark.parametrize(
    "y",
    [
        [2.04, -2.56, 0.42, -0.57, -0.45, -0.22, -2.02, -0.23, -0.87, 3.32, 0.23, -0.35],
        [-0.65, -0.17, 1.66, 0.66, -1.64, -0.01, -0.62, 0.15, -1.61, 0.24, 0.24, 1.58],
        [-0.8, 0.24, -1.66, 0.66, 1.14, -0.45, 0.43, 0.25, -0.39, -0.86, -2.03, 1.41],
    ],
)
def test_a_variance_of_zero_has_a_p_value_of_one_whatever_the_last_bits_say(y: list[float]) -> None:
    # the two likelihoods are equal, and may differ by 1e-14 in their computation
    level = pd.DataFrame({"level": list("abcabcabcabc")})
    es = mx.EffectSizes(y, [0.04] * 12, study=[f"s{i // 3}" for i in range(12)], data=level)
    full = mx.Multilevel(es, ["study/effect", "level"]).fit()
    assert full.component_values["level"] == 0
    test = full.test_against(mx.Multilevel(es, "study/effect").fit())
    assert (test.statistic, test.pvalue) == (0.0, 1.0)


def test_shares_add_up(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, ["study/effect", "source"]).fit()
    table = fit.conf_int_i2()
    assert table["i2"].iloc[:-1].sum() == pytest.approx(table.loc["total", "i2"], rel=1e-12)
    inside = table.iloc[:-1].dropna()
    assert ((inside["low"] <= inside["i2"] + 1e-9) & (inside["i2"] <= inside["high"] + 1e-9)).all()


def test_the_interval_of_the_total_share(es: mx.EffectSizes) -> None:
    one = mx.Multilevel(es, "study").fit().conf_int_i2()
    assert one.loc["total", ["low", "high"]].tolist() == pytest.approx(
        one.loc["study", ["low", "high"]].tolist(), rel=1e-6
    )
    nested = mx.Multilevel(es, "study/effect").fit().conf_int_i2()
    data = es.with_columns(unit=list(range(es.k)))
    compound = mx.Multilevel(data, mx.RandomTerm("study", "unit", "CS")).fit().conf_int_i2()
    assert nested.loc["total", ["low", "high"]].tolist() == pytest.approx(
        compound.loc["unit|study", ["low", "high"]].tolist(), rel=1e-5
    )
    several = mx.Multilevel(es, mx.RandomTerm("study", "time", "HCS")).fit().conf_int_i2()
    assert several["low"].isna().all()


def test_the_summary_has_five_parts(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, ["study/effect", "source"]).fit()
    summary = fit.summary()
    assert list(summary.parts) == ["What was fitted", "Pooled", "Heterogeneity", "Data", "Fit"]
    text = str(summary)
    assert "study/effect" in text
    assert "converged; highest of" in text
    assert fit.digest in text


def test_containment_counts_levels(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect", moderators="x").fit(test="t-containment")
    df = fit.df_of(np.eye(2))
    assert df[0] == fit.terms[0].term.levels - 1
    assert df[1] == es.k - 2


def test_the_working_models_are_what_they_say(es: mx.EffectSizes) -> None:
    blocks = covariance_blocks(es.v, es.study, correlation=0.4)
    by_hand = mx.Multilevel(es, "study/effect", V=blocks).fit()
    assert mx.correlated_effects(es, 0.4).fit().llf == pytest.approx(by_hand.llf, rel=1e-12)
    sce = mx.correlated_effects(es, 0.4, "SCE", by="outcome", moderators="0 + outcome").fit()
    v = sce.problem.v.toarray()
    outcome, study = es.data["outcome"].to_numpy(), np.array(es.study)
    assert (v[(outcome[:, None] != outcome) | (study[:, None] != study)] == 0).all()
    assert list(sce.component_values) == ["outcome|study:tau2[dose]", "outcome|study:tau2[size]"]
    assert (sce.robust().df_inference > 1).all()
    with pytest.raises(InputError):
        mx.correlated_effects(es, 0.4, "SCE")
    with pytest.raises(InputError):
        mx.correlated_effects(es, 1.4)


def test_the_sweep_repeats_the_fits(es: mx.EffectSizes) -> None:
    sweep = mx.rho_sweep(es, [0.0, 0.5])
    half = mx.correlated_effects(es, 0.5).fit()
    assert sweep.estimate[1, 0] == half.beta[0]
    assert sweep.se[1, 0] == half.robust().se[0]
    assert len(sweep.to_frame()) == 2
    assert sweep.largest_change >= 0


def test_robust_inference_ignores_terms_that_do_not_vary(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, ["study/effect", "source"], fix={"source": 0.0}).fit()
    same = mx.Multilevel(es, "study/effect").fit()
    assert fit.robust().se[0] == pytest.approx(same.robust().se[0], rel=1e-6)


def test_no_silent_failure(es: mx.EffectSizes) -> None:
    """Effects without sampling variance in one study: a covariance matrix that is always singular."""
    v = np.where(np.array(es.study) == max(es.study, key=es.study.count), 0.0, es.v)
    with pytest.raises(ConvergenceError) as caught:
        mx.Multilevel(mx.EffectSizes(es.y, v, study=es.study), "study").fit()
    assert len(caught.value.rows) == (v == 0).sum() >= 2


def test_fits_stand_side_by_side(es: mx.EffectSizes) -> None:
    fits = [mx.Multilevel(es, random).fit() for random in ("study", "study/effect")]
    table = mx.compare(*fits).to_frame()
    assert table["llf"].tolist() == [fit.llf for fit in fits]
    assert "log-likelihood" in str(mx.compare(*fits))


def test_heterogeneity_is_the_variances_with_their_profiles_and_shares(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, ["study/effect", "source"]).fit()
    table = fit.heterogeneity()
    assert table.columns.tolist() == ["tau2", "tau", "low", "high", "i2", "share"]
    assert table["tau2"].to_dict() == fit.component_values
    ends = fit.conf_int_components()
    assert table[["low", "high"]].to_numpy() == pytest.approx(ends[["low", "high"]].to_numpy())
    assert table["share"].sum() == pytest.approx(1.0)
    assert table["i2"].sum() == pytest.approx(fit.i2)
    assert fit.tau2 == pytest.approx(sum(fit.component_values.values()))
    assert fit.heterogeneity(method=None)["low"].isna().all()
    held = mx.Multilevel(es, "study/effect", fix={"study": 0.3}).fit().heterogeneity()
    assert held.loc["study", ["low", "high"]].isna().all()
    assert held.loc["study/effect", ["low", "high"]].notna().all()


def test_the_total_is_the_mean_over_the_effects(es: mx.EffectSizes) -> None:
    """Two variances, of which each effect has one; slopes correlate, so that they have no share."""
    fit = mx.Multilevel(es, mx.RandomTerm("study", "outcome", "DIAG")).fit()
    sizes = es.data["outcome"].value_counts() / es.k
    parts = [fit.component_values[f"outcome|study:tau2[{name}]"] * n for name, n in sizes.items()]
    assert fit.tau2 == pytest.approx(sum(parts))
    share = fit.heterogeneity(method=None)["share"]
    assert [share[f"outcome|study:tau2[{name}]"] for name in sizes.index] == pytest.approx(
        np.array(parts) / fit.tau2
    )
    assert fit.pooled().prediction_low is None  # it depends on the outcome
    slopes = mx.Multilevel(es, ["effect", "1 + x|study"]).fit()
    found = slopes.heterogeneity(method=None)
    assert found["share"].isna().tolist() == [False, True, True]
    g, x = slopes.matrix("1+x|study").to_numpy(), np.column_stack([np.ones(es.k), es.data["x"]])
    total = slopes.component_values["effect"] + np.einsum("ki,ij,kj->k", x, g, x).mean()
    assert slopes.tau2 == pytest.approx(total)


def test_residuals_are_those_of_dense_matrices(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect", moderators="x").fit()
    study = np.array(es.study)
    m = np.diag(es.v + fit.component_values["study/effect"])
    m += fit.component_values["study"] * (study[:, None] == study)
    x, w = np.column_stack([np.ones(es.k), es.data["x"]]), np.linalg.inv(m)
    hat = x @ np.linalg.solve(x.T @ w @ x, x.T @ w)
    left = np.eye(es.k) - hat
    table = fit.residuals()
    np.testing.assert_allclose(table["residual"], left @ es.y, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(left @ m @ left.T)), rtol=1e-9)
    np.testing.assert_allclose(fit.hat_values, np.diag(hat), rtol=1e-9)
    np.testing.assert_allclose(fit.residuals("pearson")["se"], np.sqrt(np.diag(m)), rtol=1e-12)
    others = np.arange(es.k) != 7
    inner, across = np.linalg.inv(m[np.ix_(others, others)]), m[7, others]
    cov = np.linalg.inv(x[others].T @ inner @ x[others])
    beta = cov @ x[others].T @ inner @ es.y[others]
    predicted = x[7] @ beta + across @ inner @ (es.y[others] - x[others] @ beta)
    gap = x[7] - across @ inner @ x[others]
    variance = m[7, 7] - across @ inner @ across + gap @ cov @ gap
    row = fit.residuals("conditional").iloc[7]
    assert row["residual"] == pytest.approx(es.y[7] - predicted, rel=1e-8)
    assert row["se"] == pytest.approx(np.sqrt(variance), rel=1e-8)
    assert row["fitted"] == pytest.approx(predicted, rel=1e-8)


def test_a_robust_fit_predicts_and_contrasts_with_the_robust_covariance(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect", moderators="x").fit()
    robust = fit.robust()
    assert type(robust) is type(fit)
    row = robust.predict([[0.5]]).iloc[0]
    x = np.array([1.0, 0.5])
    assert row["se"] == pytest.approx(np.sqrt(x @ robust.robust_covariance.cov @ x), rel=1e-12)
    assert row["prediction_se"] == pytest.approx(np.sqrt(row["se"] ** 2 + fit.tau2), rel=1e-12)
    without = robust.predict([[0.5]], without=["study/effect"]).iloc[0]
    assert without["prediction_se"] ** 2 - row["se"] ** 2 == pytest.approx(fit.component_values["study"])
    assert robust.contrast("x").se[0] == robust.se[1]
    assert robust.random_effects().equals(fit.random_effects())
    np.testing.assert_array_equal(robust.residuals(), fit.residuals())
    assert "CR2" in str(robust.summary())
    with pytest.raises(InputError, match="rests on that of the model"):
        robust.predict([[0.5]], given={"study": "s03"})


def test_predictions_on_other_scales_and_of_observed_effects(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(mx.EffectSizes(es.y, es.v, "RR", data=es.data, study=es.study)).fit()
    log, ratio = fit.predict().iloc[0], fit.predict(scale="measure").iloc[0]
    assert ratio["prediction_high"] == pytest.approx(np.exp(log["prediction_high"]))
    observed = fit.predict(sampling_variance=0.1).iloc[0]
    assert observed["prediction_se"] ** 2 - log["prediction_se"] ** 2 == pytest.approx(0.1)
    assert fit.component_values["study/effect"] > 0
    of_study = fit.predict(sampling_variance=0.1, without="study/effect").iloc[0]
    expected = log["se"] ** 2 + fit.component_values["study"] + 0.1
    assert of_study["prediction_se"] ** 2 == pytest.approx(expected)
    assert fit.pooled().prediction_low == log["prediction_low"]


def test_plain_values_hold_variances_and_correlations(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, ["effect", mx.RandomTerm("study", "time", "CS")]).fit()
    found = fit.to_dict()
    assert [row["component"] for row in found["components"]] == ["effect", "time|study:tau2"]
    assert found["tau2"] == pytest.approx(sum(row["tau2"] for row in found["components"]))
    parameters = {row["component"]: row["estimate"] for row in found["parameters"]}
    assert parameters == pytest.approx(fit.component_values)
    assert f"time|study:rho {fit.component_values['time|study:rho']:.3f}" in str(fit.summary())
    assert found["random"][1] == {
        "term": "time|study",
        "structure": "CS",
        "levels": fit.terms[1].term.levels,
        "inner": ["1", "2", "4"],
    }


def test_comparisons_show_the_heterogeneity(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect").fit()
    row = mx.compare(fit).to_frame().iloc[0]
    assert row["tau2"] == fit.tau2
    assert row["i2"] == fit.i2


def test_rows_without_a_moderator_are_left_out_where_it_is_asked(es: mx.EffectSizes) -> None:
    gaps = es.with_columns(x=[np.nan, *es.data["x"][1:]])
    rest = es.select(np.arange(es.k) > 0, "no x")
    with pytest.warns(RowsLeftOutWarning, match="1 of 60 rows"):
        model = mx.correlated_effects(gaps, 0.4, moderators="x", missing="drop")
    expected = mx.correlated_effects(rest, 0.4, moderators="x").fit()
    assert model.fit().llf == pytest.approx(expected.llf, rel=1e-12)
    with pytest.warns(RowsLeftOutWarning) as caught:
        sweep = mx.rho_sweep(gaps, [0.2, 0.4], moderators="x", missing="drop")
    assert len(caught) == 1
    assert sweep.se[1] == pytest.approx(expected.robust().se, rel=1e-10)
    with pytest.raises(InputError, match="missing"):
        mx.correlated_effects(gaps, moderators="x")


def test_a_model_without_random_terms_answers_too(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, []).fit()
    equal = mx.RandomEffects(es, dependence="accept").fit("EE", test="t")
    assert fit.beta[0] == pytest.approx(equal.estimate, rel=1e-12)
    assert (fit.tau2, fit.i2, len(fit.random_effects()), len(fit.heterogeneity())) == (0.0, 0.0, 0, 0)
    assert fit.to_dict()["components"] == []


def test_a_profile_without_a_name_is_that_of_the_only_component(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study").fit()
    assert fit.profile(grid=[0.1]).llf.tolist() == fit.profile("study", [0.1]).llf.tolist()
    with pytest.raises(InputError, match="one of study, study/effect"):
        mx.Multilevel(es, "study/effect").fit().profile()
    with pytest.raises(InputError, match="the fit estimated none"):
        mx.Multilevel(es, "study", fix={"study": 0.1}).fit().profile()
