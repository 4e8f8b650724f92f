"""Tests between strata side by side: robust and by permutation, with and without strata of two clusters."""

from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from tests.heterogeneity.helpers import effects

pytestmark = pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")

# Four methods; laboratory d used two of them, and gradients come from two laboratories alone.
Y = [0.31, 0.55, 0.12, 0.48, 0.90, 0.76, 1.10, 0.95, 0.05, -0.10, 0.22, 0.15, 0.60, 0.70, 0.35, 1.45, 1.30]
V = [0.04, 0.05, 0.03, 0.06, 0.02, 0.05, 0.04, 0.03, 0.05, 0.04, 0.06, 0.03, 0.05, 0.02, 0.04, 0.03, 0.05]
DATA = pd.DataFrame(
    {
        "method": ["UC"] * 6 + ["SEC"] * 5 + ["kit"] * 4 + ["gradient"] * 2,
        "laboratory": list("aabccddefgghhijkl"),
    }
)
ES = mx.EffectSizes(Y, V, data=DATA)
FIRM = ES.select((DATA["method"] != "gradient").to_numpy(), "two laboratories")


def strata(es=ES, **choices):
    return mx.stratify(es, by="method", cluster="laboratory", **choices)


@pytest.mark.parametrize(
    ("mode", "whole", "without"),
    [
        (
            "separate",
            (12.7495354880761, 3, 2.7119810904015, 0.0405871444065),
            (0.073298959033, 2, 4.036968033781, 0.930531415364),
        ),
        (
            "common",
            (11.6959405197299, 3, 2.1217195563880, 0.0719816523623),
            (0.0812171743955, 2, 3.9260110908875, 0.9235022992160),
        ),
    ],
)
def test_robust_tests_have_the_values_of_clubsandwich(mode, whole, without):
    # R: metafor 3.8-1 (REML), clubSandwich: Wald_test(constrain_equal, vcovCR(type = "CR2"), test = "HTZ")
    found = strata(tau2=mode).between_tests(permutations=19)
    for test, wanted in ((found.formula, whole), (found.formula_without, without)):
        assert (test.statistic, *test.df, test.pvalue) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    "choices", [{}, {"tau2": "common"}, {"tau2": "smoothed"}, {"method": "EE"}, {"test": "z"}]
)
def test_without_small_strata_is_the_analysis_of_the_other_rows(choices):
    result, alone = strata(**choices), strata(FIRM, **choices)
    found = result.between_tests(permutations=49)
    assert result.between_without.statistic == pytest.approx(alone.between.statistic, rel=1e-9)
    assert result.between_without.df == pytest.approx(alone.between.df, rel=1e-8)
    assert found.formula_without.pvalue == pytest.approx(alone.between.pvalue, rel=1e-8)
    permuted = alone.permutation_test(limit=49, draws=49)
    assert found.permutation_without.pvalue == permuted.pvalue
    assert found.permutation_without.statistic == pytest.approx(permuted.statistic, rel=1e-9)
    assert found.formula.pvalue == result.between.pvalue
    assert found.permutation.pvalue == result.permutation_test(limit=49, draws=49).pvalue


def test_independent_effects_are_compared_by_welch_and_studies_permuted():
    es = effects({"plant": 4, "milk": 3, "bone": 2}, {"plant": 0.0, "milk": 0.2, "bone": 3.0})
    result = mx.stratify(es, by="source", method="EE")
    found = result.between_tests(permutations=200)
    # inverse-variance means of the two larger strata, and all 35 ways to deal four of seven studies to one
    y, v = es.y[:7], es.v[:7]

    def distance(label):
        parts = [(y[label == j], 1 / v[label == j]) for j in (0, 1)]
        (a, wa), (b, wb) = [(np.average(part, weights=w), w.sum()) for part, w in parts]
        return (a - b) ** 2 / (1 / wa + 1 / wb)

    labels = set(permutations([0] * 4 + [1] * 3))
    values = np.array([distance(np.array(label)) for label in labels])
    observed = distance(np.array([0] * 4 + [1] * 3))
    assert found.formula_without.statistic == pytest.approx(observed, rel=1e-10)
    assert found.permutation_without.pvalue == pytest.approx((values >= observed - 1e-9).mean())
    assert "all 35 arrangements of the labels of 7 studies" in found.permutation_without.note
    assert found.formula_without.left_out == ("bone",)
    assert [test.name.partition(",")[0] for test in found][1:3] == [
        "chi-square test",
        "permutation of whole studies",
    ]


def test_one_row_per_test_with_its_strata_and_degrees_of_freedom():
    found = strata().between_tests(permutations=99)
    frame = found.to_frame()
    assert list(frame) == [
        "test",
        "strata",
        "number",
        "left_out",
        "statistic",
        "df1",
        "df2",
        "pvalue",
        "note",
    ]
    assert frame["test"].is_unique
    assert frame["number"].tolist() == [4, 3, 4, 3]
    assert frame["left_out"].tolist() == ["none", "gradient"] * 2
    every = [set(names.split(", ")) for names in frame["strata"]]
    assert every == [{"UC", "SEC", "kit", "gradient"}, {"UC", "SEC", "kit"}] * 2
    assert frame.loc[[0, 1], ["df1", "df2"]].notna().all(axis=None)
    assert frame.loc[[2, 3], ["df1", "df2"]].isna().all(axis=None)
    assert frame.select_dtypes(exclude="number").notna().all(axis=None)
    for text in (str(found), found.to_markdown(), found.to_html(), found.to_latex()):
        assert "gradient" in text
        assert "permutation of whole clusters" in text
    assert found.to_dict()["tests"][1]["pvalue"] == found.formula_without.pvalue


def test_a_disagreement_at_the_level_is_a_caution_and_follows_the_level():
    found = strata().between_tests(permutations=999)
    assert found.formula.pvalue < 0.05 < found.formula_without.pvalue
    (said,) = [text for text in found.cautions() if "without" in text and "CR2), all strata" in text]
    assert "disagree at the 5% level" in said
    assert "p = 0.041" in said
    assert said in str(found)
    strict = strata(level=0.99).between_tests(permutations=19)
    assert not any("cluster-robust test (CR2), all" in text for text in strict.cautions())


@pytest.mark.parametrize("mode", ["separate", "common", "smoothed"])
def test_note_repr_and_summary_say_in_one_line_what_the_test_is_without_them(mode):
    result = strata(tau2=mode)
    without = result.between_without
    said = f"without strata of two clusters (gradient): F({without.df[0]:.4g}, {without.df[1]:.4g})"
    assert said in result.between_note
    assert any(said in line for line in str(result.summary()).splitlines())
    assert said in result.to_markdown().replace("\\", "")
    assert "without strata of two clusters p = 0.9" in repr(result)
    assert result.to_dict()["between_without"]["pvalue"] == without.pvalue
    other = strata(FIRM, tau2=mode)
    assert other.between_without is None
    assert "without" not in other.between_note + repr(other)


def test_without_small_strata_the_rows_are_the_same_and_say_so():
    found = strata(FIRM).between_tests(permutations=49)
    assert found.formula_without.pvalue == found.formula.pvalue
    assert found.permutation_without.pvalue == found.permutation.pvalue
    assert found.formula_without.note.startswith("no stratum has fewer than three clusters: the same test")
    assert len(found.cautions()) <= 1


def test_a_test_that_cannot_be_made_has_a_row_with_the_reason_and_the_remedy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.MetaexoWarning)
        few = mx.stratify(effects({"plant": 4, "milk": 2, "bone": 1}), by="source")
        alone = mx.stratify(effects({"plant": 4, "bone": 1}), by="source")
        data = pd.DataFrame({"isolation": ["UC", "SEC", "kit"] * 2})
        shared = mx.stratify(
            mx.EffectSizes(
                [0.1, 0.4, 0.3, 0.6, 0.2, 0.9], [0.05] * 6, study=["a"] * 3 + ["b"] * 3, data=data
            ),
            by="isolation",
        )
    frame = few.between_tests(permutations=19).to_frame()
    assert frame["pvalue"].notna().tolist() == [True, False, True, False]
    assert frame.loc[1, "note"].startswith("no test: 1 stratum with three or more studies; what to do: join")
    assert "no test: 1 stratum with three" in few.between_note
    assert few.between_without is None
    frame = alone.between_tests(permutations=19).to_frame()
    assert frame["pvalue"].isna().all()
    assert frame["note"].str.contains("what to do: ").all()
    assert "without" not in alone.between_note
    frame = shared.between_tests(permutations=19).to_frame()
    assert frame["pvalue"].isna().all()
    assert "too few clusters" in frame.loc[0, "note"]
    assert "several strata" in frame.loc[2, "note"]
    assert "what to do: compare the strata within studies" in frame.loc[2, "note"]


def test_unreported_studies_stay_out_of_the_tests_whatever_their_number():
    es = effects({"plant": 5, "milk": 4, "not reported": 2})
    result = mx.stratify(es, by="source")
    assert result.small == ()
    asked = mx.stratify(es, by="source", compare_unreported=True)
    assert [s.name for s in asked.small] == ["not reported"]
    assert "without strata of two studies (not reported)" in asked.between_note


def test_the_seed_is_followed():
    result = strata()
    one, two, other = (result.between_tests(seed=seed, permutations=99) for seed in (3, 3, 4))
    assert one.permutation.pvalue == two.permutation.pvalue
    assert one.permutation.note == other.permutation.note
    assert one.permutation.pvalue != other.permutation.pvalue


@pytest.mark.parametrize("by", ["method", ["method", "room"]])
def test_no_row_of_a_frame_of_strata_lacks_its_key(by):
    es = ES.with_columns(room=(["wet", "dry", None] * 6)[:17])
    table = mx.stratify(es, by=by, cluster="laboratory").to_frame()
    factors = [by] if isinstance(by, str) else by
    assert table[[*factors, "stratum", "note"]].notna().all(axis=None)
    assert table.iloc[-1][[*factors, "stratum"]].tolist() == ["all"] * (len(factors) + 1)
    assert table.set_index(factors).index.is_unique


def test_counts_have_no_missing_key_either_and_say_what_the_test_is_without_small_strata():
    trials = mx.load_dataset("bcg")
    trials["half"] = np.where(trials["year"] < 1950, "early", "late")
    fit = mx.MantelHaenszel(mx.event_counts(trials)).fit()
    for by in ("allocation", ["allocation", "half"]):
        found = mx.stratify_counts(fit, by)
        table = found.to_frame()
        words = table.select_dtypes(exclude="number")
        assert words.notna().all(axis=None)
        assert table.iloc[-1][list(found.by)].tolist() == ["all"] * len(found.by)
    found = mx.stratify_counts(fit, "allocation")
    parts = [found[name].fit for name in ("random", "systematic")]
    gap = (parts[0].beta[0] - parts[1].beta[0]) ** 2 / (parts[0].se[0] ** 2 + parts[1].se[0] ** 2)
    assert f"without strata of fewer than three studies (alternate): chi2(1) = {gap:.2f}" in found.note


def test_a_level_called_all_keeps_the_rows_apart():
    es = effects({"plant": 4, "all": 3})
    table = mx.stratify(es, by="source").to_frame()
    assert table["source"].tolist() == ["plant", "all", "all strata"]
    assert "all strata" in mx.stratify(es, by="source").to_text()


def test_the_note_on_the_same_test_holds_of_every_stratum():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.MetaexoWarning)
        singles = mx.stratify(effects({"plant": 1, "milk": 1, "bone": 1}), by="source")
        one_single = mx.stratify(effects({"plant": 4, "milk": 3, "bone": 1}), by="source")
    frame = singles.between_tests(permutations=19).to_frame()
    assert frame["pvalue"].isna().all()
    assert not frame["note"].str.contains("the same test").any()
    found = one_single.between_tests(permutations=19)
    assert found.formula_without.pvalue == found.formula.pvalue
    said = "no stratum that is compared has fewer than three studies: the same test"
    assert found.formula_without.note.startswith(said)


def test_laboratories_are_not_called_studies():
    data = pd.DataFrame({"method": ["UC", "SEC"] * 4, "laboratory": list("aabbccdd")})
    es = mx.EffectSizes([0.1, 0.4, 0.3, 0.6, 0.2, 0.9, 0.5, 0.4], [0.05] * 8, data=data)
    note = strata(es).between_tests(permutations=19).permutation.note
    assert "of 4 clusters 4 have effects in several strata" in note
    assert "stud" not in note
