"""Counts of events by stratum: each stratum as if it were alone, and the tests between strata by hand."""

import numpy as np
import pytest
from scipy.stats import chi2

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError


@pytest.fixture(scope="module")
def counts():
    return mx.event_counts(mx.load_dataset("bcg"), labels="study")


def test_each_stratum_is_the_model_of_its_rows(counts):
    found = mx.stratify_counts(mx.MantelHaenszel(counts, "RR").fit(level=0.9), "allocation")
    assert [(s.name, s.counts.k) for s in found.strata] == [
        ("random", 7),
        ("systematic", 4),
        ("alternate", 2),
    ]
    for stratum in found.strata:
        alone = mx.MantelHaenszel(counts.select(stratum.rows, "another stratum"), "RR").fit(level=0.9)
        assert stratum.fit.estimate == pytest.approx(alone.estimate, rel=1e-14)
        assert stratum.pooled.low == pytest.approx(alone.pooled().low, rel=1e-14)
    frame = found.to_frame()
    assert frame["stratum"].tolist() == ["random", "systematic", "alternate", "all"]
    assert frame["treatment_events"].iloc[:3].sum() == frame["treatment_events"].iloc[3] == 1065
    assert frame["ratio"].iloc[3] == pytest.approx(np.exp(found.overall.estimate))


def test_the_test_between_strata_weighs_by_precision(counts):
    found = mx.stratify_counts(mx.Peto(counts).fit(), "allocation")
    b = np.array([s.fit.estimate for s in found.strata])
    w = np.array([1 / s.fit.se[0] ** 2 for s in found.strata])
    q = float((w * (b - (w @ b) / w.sum()) ** 2).sum())
    assert found.between.statistic == pytest.approx(q, rel=1e-12)
    assert found.between.pvalue == pytest.approx(chi2.sf(q, 2), rel=1e-9)
    assert found.likelihood_ratio is None  # nothing is maximised in one step
    pairs = found.pairwise(None)
    assert pairs.names[0] == "systematic minus random"
    assert pairs.estimate[0] == pytest.approx(b[1] - b[0])
    assert pairs.joint is found.between


def test_likelihoods_of_strata_add_up(counts):
    fit = mx.ExactConditional(counts.select(np.arange(6) + 4, "for the test"), "OR").fit()
    found = mx.stratify_counts(fit, "allocation")
    whole = sum(s.fit.llf for s in found.strata) - fit.llf
    assert found.likelihood_ratio.statistic == pytest.approx(2 * whole)
    assert found.likelihood_ratio.df == (len(found.strata) - 1.0,)


def test_a_stratum_without_estimate_is_shown_with_its_counts_and_the_reason():
    zero = mx.event_counts(
        treatment_events=[3, 2, 0, 0], treatment_n=[20, 30, 15, 12],
        control_events=[1, 4, 0, 0], control_n=[20, 30, 15, 14],
    ).with_columns(source=["plant", "plant", "milk", "milk"])  # fmt: skip
    found = mx.stratify_counts(mx.MantelHaenszel(zero, "OR").fit(), "source")
    milk = found["milk"]
    assert milk.fit is None
    assert milk.note
    assert found.between is None
    assert "no test between strata: 1 stratum" in found.note
    text = found.to_text()
    assert "0 / 27" in text
    assert f"milk: {milk.note}" in text
    assert found.fitted == (found["plant"],)


def test_studies_that_do_not_report_the_factor_are_apart(counts):
    hidden = counts.with_columns(allocation=["random"] * 6 + ["systematic"] * 5 + [None] * 2)
    found = mx.stratify_counts(mx.MantelHaenszel(hidden).fit(), "allocation")
    assert found.strata[-1].name == "not reported"
    assert found.between.df == (1.0,)
    assert "not reported left out" in found.note


def test_what_cannot_be_stratified_is_said(counts):
    with pytest.raises(InputError, match="takes effects"):
        mx.stratify_counts(counts, "allocation")
    with pytest.raises(UnknownChoiceError, match="allocation"):
        mx.stratify_counts(mx.MantelHaenszel(counts).fit(), "alocation")


def test_every_stratum_out_of_the_tests_is_named_and_decimals_are_two():
    counts = mx.event_counts(
        treatment_events=[4, 3, 2, 1, 0], treatment_n=[20, 30, 1500, 1200, 40],
        control_events=[5, 6, 900, 800, 3], control_n=[20, 30, 1500, 1200, 41],
    ).with_columns(source=["plant", "plant", "milk", "milk", "bone"])  # fmt: skip
    found = mx.stratify_counts(mx.MantelHaenszel(counts).fit(), "source")
    assert found.note.startswith("tests over 2 strata; bone left out; without strata of fewer than three")
    assert found.note.endswith("(milk, plant): no test, 0 left")
    (said,) = [note for note in mx.plots.forest_plan(found).notes if note.startswith("Tests over")]
    assert said == f"T{found.note[1:]}."
    rows = {row[0]: row for row in found.reader_tables()[0].rows}
    odds_ratio = (2 * 600 / 3000 + 1 * 400 / 2400) / (1498 * 900 / 3000 + 1199 * 800 / 2400)
    assert found["milk"].pooled.estimate == pytest.approx(np.log(odds_ratio))
    assert rows["milk"][-2:] == ["< 0.005", "< 0.005 to < 0.005"]
    assert rows["bone"][-2:] == ["–", "–"]
    risk = mx.stratify_counts(mx.MantelHaenszel(counts, "RD").fit(), "source").reader_tables()[0].rows
    assert all(len(row[-2].partition(".")[2]) == 3 for row in risk)
