"""Residuals, deletions and influence of multilevel fits against dense matrices, single refits, and R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.effects import covariance_blocks
from metaexo.errors import InputError, UnknownChoiceError

TABLE = mx.load_dataset("school_calendars")
ES = mx.EffectSizes(TABLE["y"], TABLE["v"], data=TABLE)
DISTRICT = TABLE["district"].to_numpy()
# R's optimizer leaves the variances open to 1e-7 of themselves
NEAR = 2e-6


def calendars(moderators: str | None = "year", **more: object) -> mx.models.MultilevelResults:
    return mx.Multilevel(ES, "district/school", moderators=moderators, **more).fit(test="z")


def dense(fit: mx.models.MultilevelResults) -> tuple[np.ndarray, np.ndarray]:
    """Return X and M of the schools in their districts."""
    within, between = fit.component_values["district/school"], fit.component_values["district"]
    m = np.diag(ES.v + within) + between * (DISTRICT[:, None] == DISTRICT)
    return fit.design.matrix(fit.k), m


def gls(x: np.ndarray, m: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w = np.linalg.inv(m)
    cov = np.linalg.inv(x.T @ w @ x)
    return cov @ x.T @ w @ y, cov


def left_out(x: np.ndarray, m: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return deleted residuals, their standard errors and chi-square at a known covariance matrix."""
    beta, cov = gls(x[~out], m[np.ix_(~out, ~out)], ES.y[~out])
    residual = ES.y[out] - x[out] @ beta
    total = m[np.ix_(out, out)] + x[out] @ cov @ x[out].T
    return residual, np.sqrt(np.diag(total)), float(residual @ np.linalg.solve(total, residual))


def test_deletions_at_the_components_of_the_fit_are_those_of_dense_matrices() -> None:
    fit = calendars()
    x, m = dense(fit)
    table = fit.residuals("studentized", cluster="district", refit=False)
    tests = fit.cluster_residuals("district", refit=False)
    for name in ("11", "108"):
        out = int(name) == DISTRICT
        residual, se, statistic = left_out(x, m, out)
        np.testing.assert_allclose(table["residual"][out], residual, rtol=1e-9)
        np.testing.assert_allclose(table["se"][out], se, rtol=1e-9)
        np.testing.assert_allclose(table["fitted"][out], ES.y[out] - residual, rtol=1e-9)
        row = tests.loc[name]
        assert row["statistic"] == pytest.approx(statistic, rel=1e-9)
        assert row["effects"] == row["df"] == out.sum()
        assert row["pvalue"] == pytest.approx(stats.chi2.sf(statistic, out.sum()), rel=1e-9)
    rows = fit.residuals("studentized", refit=False)
    residual, se, _ = left_out(x, m, np.arange(fit.k) == 20)
    assert rows["residual"].iloc[20] == pytest.approx(residual[0], rel=1e-9)
    assert rows["z"].iloc[20] == pytest.approx(residual[0] / se[0], rel=1e-9)


def test_deletions_with_refits_are_the_fits_of_the_other_rows() -> None:
    fit = calendars()
    out = DISTRICT == 71
    other = mx.Multilevel(ES.select(~out, "left out"), "district/school", moderators="year").fit(test="z")
    x, _ = dense(fit)
    _, m = dense(other)
    residual = ES.y[out] - x[out] @ other.beta
    total = m[np.ix_(out, out)] + x[out] @ other.cov @ x[out].T
    table = fit.residuals("studentized", cluster="district")
    np.testing.assert_allclose(table["residual"][out], residual, rtol=1e-6)
    np.testing.assert_allclose(table["se"][out], np.sqrt(np.diag(total)), rtol=1e-6)
    row = fit.cluster_residuals("district").loc["71"]
    assert row["statistic"] == pytest.approx(residual @ np.linalg.solve(total, residual), rel=1e-6)
    found = fit.influence("district")
    at = found.labels.index("71")
    change = fit.beta - other.beta
    assert found.cooks_distance[at] == pytest.approx(change @ np.linalg.solve(fit.cov, change), rel=1e-5)
    spread = np.sqrt(np.diag(gls(x, m, ES.y)[1]))
    np.testing.assert_allclose(found.dfbetas[at], change / spread, rtol=1e-5)


def test_residuals_by_cluster_of_the_whole_fit_are_those_of_dense_matrices() -> None:
    fit = calendars()
    x, m = dense(fit)
    beta, cov = gls(x, m, ES.y)
    hat = x @ cov @ x.T @ np.linalg.inv(m)
    left = np.eye(fit.k) - hat
    spread = left @ m @ left.T
    np.testing.assert_allclose(fit.hat_matrix, hat, rtol=1e-8)
    np.testing.assert_allclose(np.diagonal(fit.hat_matrix), fit.hat_values, rtol=1e-12)
    np.testing.assert_allclose(fit.fitted_values, x @ beta, rtol=1e-9)
    np.testing.assert_allclose(fit.cov_effects(), m, rtol=1e-12)
    np.testing.assert_allclose(fit.cov_fitted(), x @ cov @ x.T, rtol=1e-7)
    np.testing.assert_allclose(fit.cov_residuals(), spread, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(fit.weight_matrix, np.linalg.inv(m), rtol=1e-9, atol=1e-10)
    tests = fit.cluster_residuals("district", "standardized")
    out = DISTRICT == 27
    residual = (ES.y - x @ beta)[out]
    expected = residual @ np.linalg.solve(spread[np.ix_(out, out)], residual)
    assert tests.loc["27", "statistic"] == pytest.approx(expected, rel=1e-8)


def test_cholesky_residuals_are_uncorrelated_and_given_the_rows_after_them() -> None:
    fit = calendars(None)
    _, m = dense(fit)
    table, raw = fit.residuals("cholesky"), fit.residuals()["residual"].to_numpy()
    upper = np.linalg.cholesky(np.linalg.inv(m)).T  # R with R'R = M^-1
    np.testing.assert_allclose(table["z"], upper @ raw, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table["fitted"] + table["residual"], ES.y, rtol=1e-12)
    last = np.flatnonzero(DISTRICT == 11)[-1]
    assert table["residual"].iloc[last] == pytest.approx(raw[last], rel=1e-12)


def test_predicted_true_effects_are_fitted_values_plus_random_effects() -> None:
    fit = calendars()
    x, m = dense(fit)
    v = np.diag(ES.v)
    w = np.linalg.inv(m)
    p = w - w @ x @ fit.cov @ x.T @ w
    table = fit.blup(0.9)
    effects = fit.random_effects()
    own = effects[effects["component"] == "district/school"]["estimate"].to_numpy()
    shared = effects[effects["component"] == "district"].set_index("level")["estimate"]
    total = fit.fitted_values + shared[[f"{d}" for d in DISTRICT]].to_numpy() + own
    np.testing.assert_allclose(table["estimate"], total, rtol=1e-8)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(v - v @ p @ v)), rtol=1e-8)
    half = stats.norm.ppf(0.95) * table["se"]
    np.testing.assert_allclose(table["high"] - table["estimate"], half, rtol=1e-12)


def test_values_of_r() -> None:
    """metafor 3.8-1: rstudent, rstandard, cooks.distance, dfbetas, residuals of dat.konstantopoulos2011."""
    fit = calendars(None)
    table = fit.residuals("studentized", cluster="district")
    assert table["residual"].iloc[:2].tolist() == pytest.approx([-0.386985009563, -0.426985009563], rel=NEAR)
    assert table["se"].iloc[[0, 2]].tolist() == pytest.approx([0.473911708608, 0.500591957143], rel=NEAR)
    rows = fit.residuals("studentized")
    assert rows["residual"].iloc[:2].tolist() == pytest.approx([-0.368461583744, -0.409336573234], rel=NEAR)
    assert rows["se"].iloc[:2].tolist() == pytest.approx([0.471253898548, 0.470829394381], rel=NEAR)
    tests = fit.cluster_residuals("district")
    statistic = [1.923431666081, 4.02747987156, 0.65733080546, 4.64934761953]
    assert tests["statistic"].iloc[:4].tolist() == pytest.approx(statistic, rel=NEAR)
    statistic = [1.93326497523, 3.93863842817, 0.686705728398, 4.59088847070]
    for kind in ("studentized", "standardized"):  # with the components as they are both are the same
        same = fit.cluster_residuals("district", kind, refit=False)["statistic"].iloc[:4]
        assert same.tolist() == pytest.approx(statistic, rel=NEAR)
    found = fit.influence("district")
    cooks = [0.0693784148634, 0.0161880764704, 0.0419849755162]
    assert found.cooks_distance[:3].tolist() == pytest.approx(cooks, rel=NEAR)
    dfbetas = [-0.262501555953, -0.121232395315, 0.199411627430]
    assert found.dfbetas[:3, 0].tolist() == pytest.approx(dfbetas, rel=NEAR)
    cholesky = [-0.492809491536, -0.718123563792, 0.371015749554, -0.985730165305]
    assert fit.residuals("cholesky")["z"].iloc[:4].tolist() == pytest.approx(cholesky, rel=NEAR)


def test_user_weights_are_kept_when_a_cluster_is_left_out() -> None:
    """metafor 3.8-1, rma.mv(..., W = 1/vi)."""
    fit = calendars(None, weights=1 / TABLE["v"])
    table = fit.residuals("studentized", cluster="district")
    assert table["residual"].iloc[:2].tolist() == pytest.approx([-0.226856537932, -0.266856537932], rel=1e-10)
    assert table["se"].iloc[[0, 2]].tolist() == pytest.approx([0.500177299832, 0.525525766511], rel=NEAR)
    tests = fit.cluster_residuals("district")
    assert tests["statistic"].iloc[:2].tolist() == pytest.approx([1.17160336558, 3.90617924267], rel=NEAR)
    found = fit.influence("district")
    assert found.cooks_distance[2] == pytest.approx(0.00046231864318, rel=NEAR)
    assert found.dfbetas[2, 0] == pytest.approx(0.0208860983481, rel=NEAR)
    same = fit.cluster_residuals("district", refit=False)["statistic"]
    assert same.iloc[:2].tolist() == pytest.approx([1.1766732587615, 3.80727619214332], rel=NEAR)
    same = fit.cluster_residuals("district", "standardized")["statistic"]
    assert same.iloc[:2].tolist() == pytest.approx([1.1766732587615, 3.80727619214332], rel=NEAR)


def test_sampling_errors_that_correlate() -> None:
    blocks = covariance_blocks(ES.v, DISTRICT, correlation=0.4)
    fit = mx.Multilevel(ES, "district", blocks).fit(test="z")
    v = np.sqrt(np.outer(ES.v, ES.v)) * np.where(DISTRICT[:, None] == DISTRICT, 0.4, 0.0)
    np.fill_diagonal(v, ES.v)
    m = v + fit.component_values["district"] * (DISTRICT[:, None] == DISTRICT)
    np.testing.assert_allclose(fit.cov_effects(), m, rtol=1e-10)
    out = DISTRICT == 644
    residual, se, statistic = left_out(np.ones((fit.k, 1)), m, out)
    table = fit.residuals("studentized", cluster="district", refit=False)
    np.testing.assert_allclose(table["residual"][out], residual, rtol=1e-9)
    np.testing.assert_allclose(table["se"][out], se, rtol=1e-9)
    tests = fit.cluster_residuals("district", refit=False)
    assert tests.loc["644", "statistic"] == pytest.approx(statistic, rel=1e-9)


def test_a_cluster_that_alone_determines_a_coefficient_has_no_deletion() -> None:
    alone = (DISTRICT == 12).astype(float)
    fit = mx.Multilevel(ES, "district/school", moderators=pd.DataFrame({"twelve": alone})).fit(test="z")
    for refit in (False, True):
        table = fit.residuals("studentized", cluster="district", refit=refit)
        tests = fit.cluster_residuals("district", refit=refit)
        assert np.isnan(table["z"][alone == 1]).all()
        assert np.isfinite(table["z"][alone == 0]).all()
        assert list(tests.index[tests["statistic"].isna()]) == ["12"]
        found = fit.influence("district", refit)
        assert np.isnan(found.cooks_distance).sum() == np.isnan(found.dfbetas[:, 0]).sum() == 1
    assert np.isfinite(fit.residuals("studentized", refit=False)["z"]).all()


def test_the_unit_of_the_effects_changes_no_ratio() -> None:
    fit, c = calendars(), 1e-4
    small = mx.EffectSizes(c * TABLE["y"], c**2 * TABLE["v"], data=TABLE)
    other = mx.Multilevel(small, "district/school", moderators="year").fit(test="z")
    for refit in (False, True):
        one, two = (f.cluster_residuals("district", refit=refit)["statistic"] for f in (fit, other))
        np.testing.assert_allclose(one, two, rtol=1e-6)
    one, two = (f.residuals("cholesky")["z"] for f in (fit, other))
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_what_has_no_answer_is_refused() -> None:
    fit = calendars(None)
    with pytest.raises(InputError, match="robust"):
        fit.robust("district").residuals("studentized")
    with pytest.raises(InputError, match="all effects are in one cluster"):
        fit.cluster_residuals(["a"] * fit.k)
    with pytest.raises(InputError, match="cluster was given for pearson"):
        fit.residuals("pearson", cluster="district")
    with pytest.raises(UnknownChoiceError) as error:
        fit.cluster_residuals("district", "studentised")
    assert error.value.nearest == "studentized"
    with pytest.raises(UnknownChoiceError):
        fit.residuals("deleted")


def test_a_cluster_without_which_the_components_are_confounded_has_no_refit() -> None:
    """Without district 58 the others have one school each; the components as they are can be kept."""
    first = np.array([np.flatnonzero(d == DISTRICT)[0] for d in np.unique(DISTRICT) if d != 58])
    rows = np.sort(np.concatenate([first, np.flatnonzero(DISTRICT == 58)]))
    part = mx.EffectSizes(ES.y[rows], ES.v[rows], data=TABLE.iloc[rows].reset_index(drop=True))
    fit = mx.Multilevel(part, "district/school").fit(test="z")
    found = fit.cluster_residuals("district")["statistic"]
    assert list(found.index[found.isna()]) == ["58"]
    assert fit.cluster_residuals("district", refit=False)["statistic"].notna().all()
    reasons = fit.influence("district").reasons
    assert list(reasons.values()) == ["the other effects do not tell all variance components apart"]
