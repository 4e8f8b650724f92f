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
    fewer = fit.predict(without=["source"]).iloc[0]
    assert fewer["prediction_se"] ** 2 == pytest.approx(
        row["se"] ** 2 + total - fit.component_values["source"], rel=1e-12
    )
    known = fit.predict(given={"study": "s03"}).iloc[0]
    effects = fit.random_effects().set_index(["term", "level"]).loc["study"]
    assert known["estimate"] == pytest.approx(fit.beta[0] + effects.loc["s03", "estimate"], rel=1e-10)


def test_blups_have_no_part_of_the_mean_left(es: mx.EffectSizes) -> None:
    fit = mx.Multilevel(es, "study/effect").fit()
    for name, table in fit.random_effects().groupby("term"):
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
    assert found.beta[found.clusters.index("s03"), 0] == pytest.approx(without.beta[0], rel=1e-7)


def test_structures_are_tested_by_their_likelihoods(es: mx.EffectSizes) -> None:
    full, small = mx.Multilevel(es, "study/effect").fit(), mx.Multilevel(es, "study").fit()
    test = full.test_against(small)
    assert test.boundary
    assert test.statistic == pytest.approx(2 * (full.llf - small.llf), rel=1e-10)
    with pytest.raises(NotNestedError):
        small.test_against(full)


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
