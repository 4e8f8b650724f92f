"""Cluster-robust covariance matrices: the definitions with full matrices, and what they imply."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo import errors
from metaexo.models.linear.cautions import cautions_of_estimates
from metaexo.models.linear.hypothesis import make_test, two_sided_pvalues
from metaexo.numeric.sandwich import KINDS, cluster_sandwich
from metaexo.sensitivity import influence, permutation_test

RNG = np.random.default_rng(2)
SIZES = (3, 1, 4, 2, 5, 1, 3, 2)
LABELS = np.repeat([f"s{g}" for g in range(len(SIZES))], SIZES)
N = LABELS.size
X = np.column_stack([np.ones(N), RNG.normal(size=N), RNG.uniform(size=N)])
Y = X @ [0.3, 0.2, -0.1] + RNG.normal(size=N)
ROWS = [np.flatnonzero(label == LABELS) for label in dict.fromkeys(LABELS)]
SAME = LABELS[:, None] == LABELS


def blocks(seed: int = 0) -> np.ndarray:
    """Return a working covariance with dependence inside clusters."""
    scale = np.random.default_rng(seed).uniform(0.3, 1.0, N)
    return np.where(SAME, 0.4, 0.0) * np.sqrt(np.outer(scale, scale)) + np.diag(0.6 * scale)


def pieces(s: np.ndarray):
    w = np.linalg.inv(s)
    m = np.linalg.inv(X.T @ w @ X)
    return w, m, np.eye(N) - X @ m @ X.T @ w


def adjustment(kind: str, s: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return A_g by its definition."""
    w, m, residual_maker = pieces(s)
    part = np.ix_(rows, rows)
    g, p = len(ROWS), X.shape[1]
    if kind == "CR2":
        d = np.linalg.cholesky(s[part]).T
        b = d @ residual_maker[rows] @ s @ residual_maker[rows].T @ d.T
        values, vectors = np.linalg.eigh(b)
        keep = values > 1e-10
        root = vectors[:, keep] / np.sqrt(values[keep]) @ vectors[:, keep].T
        return d.T @ root @ d
    if kind == "CR3":
        return np.linalg.inv(np.eye(rows.size) - X[rows] @ m @ X[rows].T @ w[part])
    factor = {"CR1": g / (g - 1), "CR1p": g / (g - p), "CR1S": g * (N - 1) / ((g - 1) * (N - p))}
    return np.sqrt(factor.get(kind, 1.0)) * np.eye(rows.size)


def loadings(kind: str, s: np.ndarray) -> list[np.ndarray]:
    """Return the matrices (p, N) that take y to the contribution of each cluster."""
    w, m, residual_maker = pieces(s)
    return [m @ X[r].T @ w[np.ix_(r, r)] @ adjustment(kind, s, r) @ residual_maker[r] for r in ROWS]


@pytest.mark.parametrize("kind", KINDS)
def test_the_covariance_matrix_follows_its_definition(kind: str) -> None:
    s = blocks()
    residuals = pieces(s)[2] @ Y
    made = cluster_sandwich(X, residuals, ROWS, [s[np.ix_(r, r)] for r in ROWS], kind)
    by_hand = sum(np.outer(t @ Y, t @ Y) for t in loadings(kind, s))
    np.testing.assert_allclose(made.cov, by_hand, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_degrees_of_freedom_match_mean_and_variance_of_the_quadratic_form(kind: str) -> None:
    s = blocks()
    made = cluster_sandwich(X, pieces(s)[2] @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS], kind)
    c = np.array([0.3, -1.0, 2.0])
    form = sum(np.outer(t.T @ c, t.T @ c) for t in loadings(kind, s))
    mean, variance = np.trace(form @ s), 2 * np.trace(form @ s @ form @ s)
    assert made.satterthwaite(c[None])[0] == pytest.approx(2 * mean**2 / variance, rel=1e-9)
    # the joint test of one combination has the same degrees of freedom, whatever its length
    assert made.hotelling(7 * c[None]) == pytest.approx(2 * mean**2 / variance, rel=1e-9)


def test_the_joint_test_does_not_depend_on_how_combinations_are_written() -> None:
    s = blocks()
    made = cluster_sandwich(X, pieces(s)[2] @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS])
    rows = np.eye(3)[1:]
    assert made.hotelling(np.array([[2.0, 1.0], [-1.0, 3.0]]) @ rows) == pytest.approx(
        made.hotelling(rows), rel=1e-9
    )


def test_cr2_is_unbiased_under_the_working_model() -> None:
    s = blocks()
    made = cluster_sandwich(X, pieces(s)[2] @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS])
    np.testing.assert_allclose(made.mean(np.eye(3)), pieces(s)[1], rtol=1e-9)


def test_cr3_is_the_jackknife_over_clusters() -> None:
    s = blocks()
    w, m, residual_maker = pieces(s)
    made = cluster_sandwich(X, residual_maker @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS], "CR3")
    b = m @ X.T @ w @ Y
    moved = []
    for rows in ROWS:
        kept = np.setdiff1d(np.arange(N), rows)
        part = w[np.ix_(kept, kept)]
        moved.append(np.linalg.solve(X[kept].T @ part @ X[kept], X[kept].T @ part @ Y[kept]) - b)
    np.testing.assert_allclose(made.cov, np.array(moved).T @ np.array(moved), rtol=1e-9)


def test_a_diagonal_can_be_given_as_such() -> None:
    v = np.linspace(0.5, 2.0, N)
    residuals = pieces(np.diag(v))[2] @ Y
    short = cluster_sandwich(X, residuals, ROWS, [v[r] for r in ROWS])
    full = cluster_sandwich(X, residuals, ROWS, [np.diag(v[r]) for r in ROWS])
    np.testing.assert_allclose(short.cov, full.cov, rtol=1e-12)


LABS = np.repeat([f"lab{g}" for g in range(14)], [3, 1, 4, 2, 2, 1, 3, 2, 2, 1, 1, 3, 2, 2])
K = LABS.size
DATA = pd.DataFrame({"lab": LABS, "dose": np.tile([1.0, 3.0, 2.0, 4.0], K)[:K]})
ES = mx.EffectSizes(RNG.normal(0.5, 0.6, K), RNG.uniform(0.1, 0.4, K), study=LABS, data=DATA)


def fit(text: str | None = "dose"):
    return mx.RandomEffects(ES, text, dependence="accept").fit(test="z")


def test_a_robust_fit_keeps_the_coefficients_and_tells_its_tests() -> None:
    base = fit()
    robust = base.robust()
    np.testing.assert_array_equal(robust.beta, base.beta)
    t = robust.params["dose"] / robust.bse["dose"]
    assert robust.pvalues["dose"] == pytest.approx(
        2 * stats.t.sf(abs(t), robust.df_inference.iloc[1]), rel=1e-10
    )
    half = stats.t.ppf(0.95, robust.df_inference.iloc[1]) * robust.bse["dose"]
    bounds = robust.conf_int(0.9).loc["dose"]
    assert bounds["high"] - bounds["low"] == pytest.approx(2 * half, rel=1e-10)
    found = robust.contrast({"intercept": 1, "dose": 2})
    assert found.df[0] == pytest.approx(robust.df_of(np.array([[1.0, 2.0]]))[0])
    assert robust.moderator_test.statistic == pytest.approx(t**2, rel=1e-9)
    assert "14 clusters" in repr(robust)
    assert type(robust) is type(base)
    assert "robust SE" in str(robust)
    assert "CR2 cluster-robust standard errors" in robust.to_html()
    assert robust.robust_covariance.clusters == tuple(dict.fromkeys(LABS))
    assert base.robust_covariance is None


def test_clusters_can_be_named_in_three_ways() -> None:
    base = fit()
    by_study, by_column, by_label = base.robust(), base.robust("lab"), base.robust(list(LABS))
    np.testing.assert_array_equal(by_study.cov, by_column.cov)
    np.testing.assert_array_equal(by_study.cov, by_label.cov)


def test_order_of_rows_does_not_matter() -> None:
    order = np.random.default_rng(1).permutation(K)
    es = mx.EffectSizes(
        ES.y[order], ES.v[order], study=LABS[order], data=DATA.iloc[order].reset_index(drop=True)
    )
    moved = mx.RandomEffects(es, "dose", dependence="accept").fit(test="z").robust()
    robust = fit().robust()
    np.testing.assert_allclose(moved.cov, robust.cov, rtol=1e-9)
    np.testing.assert_allclose(moved.df_inference, robust.df_inference, rtol=1e-9)


def test_plain_kinds_have_clusters_minus_coefficients() -> None:
    zero, one = fit().robust(kind="CR0"), fit().robust(kind="CR1p")
    np.testing.assert_allclose(one.cov, zero.cov * 14 / 12, rtol=1e-12)
    np.testing.assert_array_equal(zero.df_inference, [12, 12])
    assert zero.moderator_test.df == (1, 12)
    assert fit().robust(kind="CR1S", df="satterthwaite").df_inference.iloc[0] != 12


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"kind": "CR4"}, errors.UnknownChoiceError, "CR2"),
        ({"df": "all"}, errors.UnknownChoiceError, "satterthwaite"),
        ({"cluster": "labb"}, errors.UnknownChoiceError, "lab"),
        ({"cluster": ["a"] * K}, errors.NotIdentifiableError, "1 cluster of"),
        ({"cluster": ["a"]}, errors.ShapeError, "1 entry"),
        ({"cluster": [None, *LABS[1:]]}, errors.InputError, "no cluster"),
        ({"cluster": ["a"] * 9 + ["b"] * 20, "kind": "CR0"}, errors.InputError, "degrees of freedom"),
        ({"cluster": ["a"] * 9 + ["b"] * 20, "kind": "CR1p"}, errors.NotIdentifiableError, "2 clusters"),
    ],
)
def test_what_cannot_be_done_is_said(call: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fit().robust(**call)


def test_cr3_needs_every_coefficient_without_any_one_cluster() -> None:
    data = DATA.assign(first=(LABS == "lab0") * 1.0)
    es = mx.EffectSizes(ES.y, ES.v, study=LABS, data=data)
    base = mx.RandomEffects(es, "first", dependence="accept").fit()
    with pytest.raises(errors.NotIdentifiableError, match="CR3"):
        base.robust(kind="CR3")


def test_few_degrees_of_freedom_warn() -> None:
    cluster = ["a"] * 9 + ["b"] * 10 + ["c"] * 10
    with pytest.warns(errors.FewStudiesWarning, match="fewer than 4"):
        found = fit(None).robust(cluster)
    assert found.df_inference.iloc[0] < 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joint = fit("dose + I(dose^2)").robust(["a"] * 9 + ["b"] * 10 + ["c"] * 10).contrast(np.eye(3)).joint
    assert np.isnan(joint.pvalue)
    assert "too few clusters" in joint.null


# 30 effects of 9 studies; R: metafor 3.8-1 (rma, rma.mv with W, robust), clubSandwich (vcovCR, Wald_test).
WEIGHTED = pd.DataFrame(
    {
        "st": [
            "s0",
            "s0",
            "s0",
            "s0",
            "s1",
            "s1",
            "s1",
            "s1",
            "s1",
            "s2",
            "s2",
            "s2",
            "s3",
            "s3",
            "s3",
            "s3",
            "s4",
            "s4",
            "s4",
            "s5",
            "s5",
            "s5",
            "s5",
            "s6",
            "s6",
            "s6",
            "s7",
            "s7",
            "s7",
            "s7",
        ],
        "x": [
            -0.39080097723465473,
            0.48194538850678587,
            -0.2385536065733667,
            0.9577587029597641,
            -0.19980212906658,
            0.024259565076664623,
            1.545820851212812,
            0.5451055226876446,
            -0.505228735614018,
            -0.1828389745977349,
            0.5405251317548021,
            1.9350880340988528,
            -0.2696203273419135,
            -0.24355867907910456,
            1.0023136012756912,
            -0.8864599431605871,
            -0.291720232439864,
            0.8825389674564839,
            0.5803500161908991,
            0.09151670328235219,
            0.6701043548284794,
            -2.8281623068437627,
            1.02130681750008,
            -0.9596447598081417,
            -1.6686198426559695,
            0.27644575952099965,
            0.7005448853493901,
            -0.4447674556827841,
            -1.0764058401008076,
            0.026124833534033623,
        ],
        "v": [
            0.17812643323992572,
            0.038417585945973394,
            0.1729583007439077,
            0.09090691987382034,
            0.10634310623220951,
            0.04634022255647573,
            0.14571674209047683,
            0.0725561508778132,
            0.17680504696284605,
            0.06956738785065389,
            0.1211257493715602,
            0.0919381198034815,
            0.13032370854243905,
            0.05539506315898228,
            0.05245175735175714,
            0.15443486941697082,
            0.15540021530646994,
            0.12205601740152422,
            0.1857943419109274,
            0.057039508681223386,
            0.17316220242649727,
            0.05041771603887552,
            0.19358438976097034,
            0.13226469105910732,
            0.12923908184180266,
            0.19470057736387228,
            0.1616658884819788,
            0.16218514569593978,
            0.02973687641677375,
            0.0864715350969956,
        ],
        "y": [
            0.15395242215225424,
            0.9468051464624251,
            0.24153036151381962,
            1.4625402080922045,
            -0.14584458687898028,
            -0.2412719820283544,
            -0.47533347909392515,
            0.6845276531207602,
            0.10284202051271046,
            0.6319777136273673,
            0.9303775034612424,
            0.8938282116121519,
            -0.0650127777547482,
            -0.1241982946836587,
            0.12499266045493926,
            0.6153468798455702,
            -0.07081683220106177,
            0.5096396835480574,
            0.5592521302887778,
            0.5204702126207965,
            0.7764798881935079,
            -0.6529520031822813,
            -0.07542475518430444,
            1.3813226731435377,
            1.7267188797371917,
            1.9331296937767626,
            1.2756966696176035,
            0.8335116303242426,
            0.9513396893676698,
            0.957218311477678,
        ],
        "w": [
            0.7332302718785345,
            1.8668685198642865,
            2.803568655084454,
            1.9073051621993418,
            2.3597755183763676,
            2.8678516579141933,
            2.605288467747285,
            2.360015859031203,
            2.532909347986402,
            2.550347604067392,
            1.134387986905083,
            1.7049076179709564,
            1.3567918766462876,
            1.1543332340716355,
            1.9288789578065764,
            1.2947148071023085,
            2.046641364431631,
            1.9560413256793927,
            0.7609974359549283,
            1.6060441288977094,
            1.474637184950549,
            2.2666310277509614,
            0.7203321095259645,
            0.9223954311499931,
            1.781493639888728,
            1.5114843221195389,
            2.1633667004542985,
            1.3321417193896257,
            0.9930469208624899,
            2.8296135581604878,
        ],
    }
)


@pytest.mark.parametrize("model", ["one-level", "diagonal", "matrix"])
def test_weights_of_the_user_as_in_r(model: str) -> None:
    """SE by CR1p (metafor: robust), CR2 and CR3, Satterthwaite df, and the joint test of both."""
    d = WEIGHTED
    es = mx.EffectSizes(d["y"], d["v"], study=d["st"], data=d)
    w = d["w"].to_numpy()
    if model == "one-level":
        base = mx.RandomEffects(es, "x", weights=w, dependence="accept").fit()
    elif model == "diagonal":
        base = mx.Multilevel(es, "st/effect", moderators="x", weights=w).fit()
    else:
        same = d["st"].to_numpy()[:, None] == d["st"].to_numpy()[None, :]
        base = mx.Multilevel(es, "st/effect", moderators="x", weights=0.1 * same + np.diag(w - 0.1)).fit()
    cr1p, cr2, cr3, df, joint = {
        "one-level": (
            [0.2262553, 0.1908297],
            [0.2238880826, 0.2011124600],
            [0.2507059752, 0.2475101978],
            [5.2304737635, 3.5216237000],
            [2.0757262744, 3.5221554256],
        ),
        "diagonal": (
            [0.2262553, 0.1908297],
            [0.2278611392, 0.1906409921],
            [0.2507059752, 0.2475101978],
            [4.0929159567, 3.5387692776],
            [1.8887471233, 2.8028249321],
        ),
        "matrix": (
            [0.2234779, 0.2075372],
            [0.2258977764, 0.2044809185],
            [0.2485632143, 0.2682369832],
            [4.1103040916, 3.5766348864],
            [1.8724606954, 2.7795107172],
        ),
    }[model]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.FewStudiesWarning)
        found = base.robust("st")
        assert base.robust("study", "CR1p").se == pytest.approx(cr1p, abs=1e-7)
        assert base.robust("study", "CR3").se == pytest.approx(cr3, rel=1e-6)
    np.testing.assert_array_equal(found.beta, base.beta)
    assert found.se == pytest.approx(cr2, rel=2e-5)
    assert found.df_inference.to_numpy() == pytest.approx(df, rel=2e-4)
    test = found.contrast(np.eye(2)).joint
    assert [test.statistic, test.df[1]] == pytest.approx(joint, rel=3e-4)


def test_weights_that_are_the_best_ones_change_nothing() -> None:
    """W = S^-1 by the formulas for any weights is W by those for the best ones."""
    total = ES.v + 0.2
    x = np.column_stack([np.ones(K), DATA["dose"]])
    members = [np.flatnonzero(lab == LABS) for lab in np.unique(LABS)]
    for kind in ("CR0", "CR2", "CR3"):
        best = cluster_sandwich(x, ES.y, members, [total[m] for m in members], kind)
        any_w = cluster_sandwich(
            x, ES.y, members, [total[m] for m in members], kind, [1 / total[m] for m in members]
        )
        np.testing.assert_allclose(any_w.cov, best.cov, rtol=1e-9)
        np.testing.assert_allclose(any_w.satterthwaite(np.eye(2)), best.satterthwaite(np.eye(2)), rtol=1e-7)
        assert any_w.hotelling(np.eye(2)) == pytest.approx(best.hotelling(np.eye(2)), rel=1e-7)


def test_robust_results_predict() -> None:
    """x'b with x'V x, its own Satterthwaite df, and tau2 added for a new effect."""
    base = fit()
    robust = base.robust()
    row = robust.predict({"dose": [2.0]}, level=0.9).iloc[0]
    x = np.array([1.0, 2.0])
    se = np.sqrt(x @ robust.cov @ x)
    df = robust.df_of(x[None])[0]
    half = stats.t.ppf(0.95, df) * se
    assert row["estimate"] == pytest.approx(x @ base.beta, rel=1e-12)
    assert row["high"] - row["estimate"] == pytest.approx(half, rel=1e-10)
    assert row["prediction_se"] == pytest.approx(np.sqrt(se**2 + base.tau2), rel=1e-12)
    assert "dose" in str(robust.test_terms())


def test_a_joint_test_that_the_clusters_do_not_carry_is_refused() -> None:
    """Three clusters, three moderators: eta - q + 1 is not above 0, so there is no F."""
    cluster = ["a"] * 9 + ["b"] * 10 + ["c"] * 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fit("dose + I(dose^2) + I(dose^3)").robust(cluster)
    with pytest.raises(errors.TooFewStudiesError, match="3 clusters for a joint test of 3 coefficients"):
        _ = found.moderator_test
    assert "too few clusters" in str(found)
    assert min(found.contrast(np.eye(4)).joint.df) >= 0


def test_studies_and_effects_by_their_words() -> None:
    """The word "study" is the studies, also without a column of that name; "effect" the single effect."""
    es = mx.EffectSizes(ES.y, ES.v, study=LABS)
    base = mx.RandomEffects(es, dependence="accept").fit()
    np.testing.assert_array_equal(base.robust("study").cov, base.robust().cov)
    assert len(base.robust("effect").robust_covariance.clusters) == K
    many = mx.robust_variance(es, cluster="study")
    np.testing.assert_array_equal(many.cov, mx.robust_variance(es).cov)


def test_what_rests_on_the_covariance_of_the_model_refuses_a_robust_fit() -> None:
    base = fit(None)
    robust = base.robust()
    for call in (
        robust.profile,
        lambda: permutation_test(robust, draws=99),
        lambda: robust.residuals("studentized"),
        lambda: influence(robust),
        lambda: mx.likelihood_ratio_test(robust, base),
        lambda: mx.likelihood_ratio_test(base, robust),
    ):
        with pytest.raises(errors.InputError, match="robust"):
            call()
    assert base.profile().maximum == pytest.approx(base.llf)


def test_a_robust_fit_pools_and_compares_with_its_own_standard_error() -> None:
    es = mx.EffectSizes(ES.y, ES.v, study=LABS, data=DATA, measure="RR")
    base = mx.RandomEffects(es, dependence="accept").fit(test="z")
    robust = base.robust()
    pooled, df = robust.pooled(), robust.df_inference["intercept"]
    half = stats.t.ppf(0.975, df) * robust.se[0]
    assert pooled.se == robust.se[0] != base.se[0]
    assert pooled.high == pytest.approx(pooled.estimate + half, rel=1e-12)
    wide = stats.t.ppf(0.975, df) * np.sqrt(robust.se[0] ** 2 + base.tau2)
    assert pooled.prediction_low == pytest.approx(pooled.estimate - wide, rel=1e-12)
    assert robust.predict(scale="measure")["high"].iloc[0] == pytest.approx(np.exp(pooled.high))
    table = mx.compare(base, robust, names=["model", "robust"]).coefficients().set_index("fit")
    assert table.loc["robust", "se"] == robust.se[0]
    assert table.loc["model", "se"] == base.se[0]
    assert robust.heterogeneity().equals(base.heterogeneity())
    assert "Knapp-Hartung" not in str(mx.RandomEffects(es, dependence="accept").fit().robust().summary())


@pytest.mark.parametrize("below", [0.0, 8e-16, 1e-10])
def test_rounding_takes_no_p_value_away(below: float) -> None:
    df, statistic = 1.0 - below, 3.25
    expected = 2 * stats.t.sf(statistic, 1)
    assert two_sided_pvalues(np.array([statistic]), np.array([df]))[0] == pytest.approx(expected, rel=1e-8)
    test = make_test(statistic**2, "F", (1.0, df), "nothing")
    assert test.pvalue == pytest.approx(expected, rel=1e-8)
    assert "a rough guide" in str(test)
    assert "rough guides" in cautions_of_estimates(["b"], np.array([0.1]), np.array([df]))[0]
    assert make_test(statistic, "t", (2.0 - below,), "nothing").cautions() == ()
    assert np.isnan(make_test(statistic, "t", (0.99,), "nothing").pvalue)


@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
@pytest.mark.parametrize("each", range(2, 12))
def test_two_like_clusters_have_a_p_value_which_both_tests_share(each: int) -> None:
    y = [0.1 * (7 * i % 5) + 0.3 * (i < each) for i in range(2 * each)]
    v = [0.03] * (2 * each)
    study = ["a"] * each + ["b"] * each
    fit = mx.RandomEffects(mx.EffectSizes(y, v, study=study), dependence="accept").fit().robust()
    assert fit.df_inference.iloc[0] == pytest.approx(1.0, abs=1e-12)
    expected = 2 * stats.t.sf(abs(fit.tvalues.iloc[0]), 1)
    assert fit.pvalues.iloc[0] == pytest.approx(expected, rel=1e-9)
    assert fit.moderator_test.pvalue == pytest.approx(expected, rel=1e-9)
