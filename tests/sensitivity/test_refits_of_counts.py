"""Refits of models of counts: the same model on other rows, whatever has no estimate of its own."""

from functools import partial

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError

TREATED, CONTROL = [0, 3, 1, 6, 2, 0], [0, 5, 4, 9, 2, 3]


@pytest.fixture(scope="module")
def counts():
    made = mx.event_counts(
        treatment_events=TREATED, treatment_n=[20, 40, 25, 60, 30, 22],
        control_events=CONTROL, control_n=[21, 38, 25, 61, 29, 20], labels=list("abcdef"),
    )  # fmt: skip
    return made.with_columns(year=[2019, 2015, 2016, 2017, 2018, 2020])


@pytest.mark.parametrize("model", [mx.MantelHaenszel, mx.Peto, mx.ExactConditional])
def test_leave_one_out_is_the_model_of_the_other_rows(counts, model):
    found = mx.sensitivity.leave_one_out(model(counts).fit())
    for i in range(counts.k):
        alone = model(counts.select(np.arange(6) != i, "left out")).fit()
        assert found.estimate[i] == pytest.approx(alone.estimate, rel=1e-12)
        assert found.low[i, 0] == pytest.approx(alone.bounds()[0][0], rel=1e-12)
    assert found.estimate[0] == pytest.approx(model(counts).fit().estimate, rel=1e-12)  # no event, no weight
    assert "tau2" not in found.reader_tables()[0].header


def test_cumulative_series_say_which_steps_have_no_estimate(counts):
    found = mx.sensitivity.cumulative(mx.MantelHaenszel(counts).fit(), "year", descending=True)
    assert sorted(found.reasons) == [0, 1]  # 2020 and 2019: no event in the treated arms
    assert found.estimate[-1] == pytest.approx(mx.MantelHaenszel(counts).fit().estimate)


def test_studies_that_are_drawn_twice_count_twice(counts):
    fit = mx.MantelHaenszel(counts).fit()
    again = mx.sensitivity.refit(fit, [1, 1, 3, 4], copies=[0, 1, 0, 0])
    twice = mx.event_counts(
        treatment_events=[3, 3, 6, 2], treatment_n=[40, 40, 60, 30],
        control_events=[5, 5, 9, 2], control_n=[38, 38, 61, 29],
    )  # fmt: skip
    assert again.estimate == pytest.approx(mx.MantelHaenszel(twice).fit().estimate)
    draws = mx.sensitivity.bootstrap(fit, draws=99, seed=3)
    assert str(draws) == str(mx.sensitivity.bootstrap(fit, draws=99, seed=3))


def test_baujat_contributions_add_up_to_q(counts):
    fit = mx.MantelHaenszel(counts).fit()
    found = mx.sensitivity.baujat(fit)
    assert np.nansum(found.contribution) == pytest.approx(fit.q.statistic, rel=1e-12)
    assert np.isnan(found.contribution[0])  # the study without event


def test_effects_cannot_be_exchanged_in_a_fit_of_counts(counts):
    fit = mx.Peto(counts).fit()
    with pytest.raises(InputError, match="counts of events"):
        mx.sensitivity.refit(fit, y=np.zeros(6))
    with pytest.raises(InputError, match="counts of events"):
        mx.sensitivity.refits(fit, y=np.zeros((2, 6)))


def test_methods_for_small_studies_take_the_estimates_that_exist_and_say_so(counts):
    fit = mx.MantelHaenszel(counts).fit()
    known = counts.select(np.arange(6) > 0, "no event").effect_sizes("OR")
    found = mx.bias.rank_test(fit)
    assert found.tau == mx.bias.rank_test(known).tau
    assert any("1 effect without an estimate of its own took no part" in text for text in found.cautions())
    assert mx.bias.fail_safe_n(fit).number == mx.bias.fail_safe_n(known).number


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "PETO"])
def test_sums_over_many_sets_are_the_fits_of_each(counts, measure):
    model = mx.Peto if measure == "PETO" else partial(mx.MantelHaenszel, measure=measure)
    fit, n = model(counts).fit(), np.random.default_rng(2).integers(0, 3, (30, 6))
    found = mx.sensitivity.refits(fit, n)
    for i in range(30):
        rows = np.repeat(np.arange(6), n[i])
        copies = (np.arange(rows.size) - np.searchsorted(rows, rows)).tolist()
        try:
            alone = mx.sensitivity.refit(fit, rows, copies=copies)
        except mx.errors.MetaexoError:
            assert i in found.reasons
            continue
        for ours, theirs in (
            (found.estimate[i], alone.estimate),
            (found.se[i, 0], alone.se[0]),
            (found.high[i, 0], alone.bounds()[1][0]),
            (found.pvalue[i, 0], alone.pvalues.iloc[0]),
            (found.q[i], alone.q.statistic),
            (found.q_df[i], alone.q.df[0]),
            (found.q_pvalue[i], alone.q.pvalue),
            (found.i2[i], alone.i2),
            (found.h2[i], alone.h2),
        ):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_rule_that_looks_at_all_rows_is_kept_in_refits_one_by_one(counts):
    rule = mx.effects.ZeroCells(0.5, "all_if_any_zero")
    fit = mx.MantelHaenszel(counts, "RR", zero_cells=rule).fit()
    found = mx.sensitivity.refits(fit, [[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0]])
    plain = mx.MantelHaenszel(counts.select([1, 2, 3, 4]), "RR").fit()
    assert found.estimate[0] == pytest.approx(plain.estimate, rel=1e-12)  # no zero is left
    assert found.estimate[1] != pytest.approx(plain.estimate, rel=1e-3)


# one arm: 7 events in 7 studies
ONE = {"events": [0, 3, 1, 0, 2, 1, 0], "n": [20, 40, 25, 60, 30, 22, 15]}


def test_a_proportion_is_not_tested_against_one_half():
    counts = mx.event_counts(**ONE).with_columns(year=[2019, 2015, 2016, 2017, 2018, 2020, 2014])
    es = counts.effect_sizes("PLO")
    for fit in (mx.CountGLMM(counts).fit(), mx.RandomEffects(es).fit(), mx.BetaBinomial(counts).fit()):
        assert not np.isfinite(fit.measure.null)
        for found in (mx.sensitivity.leave_one_out(fit), mx.sensitivity.cumulative(fit, "year")):
            assert found.tested.tolist() == [False]
            assert "p <" not in str(found)
            assert "p ≥" not in str(found)
            assert "p" not in found.reader_tables()[0].header
            assert found.to_frame()[["statistic", "pvalue"]].isna().all(axis=None)
            assert np.isfinite(found.to_frame()["se"].iloc[-1])
    slope = mx.sensitivity.leave_one_out(mx.RandomEffects(es, "year").fit())
    assert slope.tested.tolist() == [False, True]  # a slope has a value of no effect
    assert slope.sentence.count("p < 0.05 in") == 1
    assert slope.reader_tables()[0].header.count("p") == 1


def test_a_ratio_is_tested(counts):
    found = mx.sensitivity.leave_one_out(mx.Peto(counts).fit())
    assert found.tested.all()
    assert "p < 0.05 in" in found.sentence
    assert found.to_frame()["pvalue"].notna().all()


def test_infinite_estimates_are_fits_and_are_counted():
    counts = mx.event_counts(
        treatment_events=[0, 1, 0], treatment_n=[30, 20, 33], control_events=[2, 0, 1], control_n=[31, 20, 17]
    ).with_columns(year=[1, 2, 3])  # fmt: skip
    fit = mx.ExactConditional(counts).fit()
    found = mx.sensitivity.leave_one_out(fit)
    assert np.isneginf(found.estimate).sum() == 1
    assert np.isfinite(found.pvalue).all()
    assert "0.000 (without 2)" in found.sentence
    assert "p < 0.05 in 0 of 3 fits" in found.sentence
    growing = mx.sensitivity.cumulative(fit, "year")
    assert np.isneginf(growing.estimate[0])
    assert not growing.reasons
    assert "odds ratio 0.000 (1) to" in growing.sentence


def test_what_is_to_be_done_with_counts_is_possible(counts):
    fit = mx.MantelHaenszel(counts).fit()
    assert 'kind="parametric"' not in " ".join(mx.sensitivity.bootstrap(fit, draws=99).cautions())
    random = mx.sensitivity.bootstrap(mx.BetaBinomial(counts).fit(), draws=19).cautions()
    assert any("heterogeneity() of the fit comes closer" in text for text in random)
    with pytest.raises(InputError, match="counts are not drawn from a fit") as caught:
        mx.sensitivity.simulate(fit)
    assert "bootstrap(fit)" in caught.value.remedy
    few = mx.MantelHaenszel(counts.select([1, 3], "few")).fit()
    with pytest.raises(mx.errors.TooFewStudiesError) as caught:
        mx.sensitivity.bootstrap(few)
    assert "parametric" not in caught.value.remedy
    with pytest.raises(InputError) as caught:
        mx.sensitivity.leave_one_out(counts)
    assert "mx.CountGLMM(counts).fit()" in caught.value.remedy
    with pytest.raises(InputError) as caught:
        mx.sensitivity.permutation_test(fit)
    assert "ExactConditional" in caught.value.remedy
    assert mx.sensitivity.permutation_test(mx.RandomEffects(counts.effect_sizes("OR")).fit())
    with pytest.raises(InputError, match="no value of no effect"):
        mx.sensitivity.permutation_test(mx.CountGLMM(counts.arm("treatment")).fit())


def test_subsets_of_counts_have_few_reasons(counts):
    found = mx.sensitivity.gosh(mx.MantelHaenszel(counts).fit())
    assert all("row" not in why for why in found.why)
    assert sum(found.reasons.values()) == (~found.fitted).sum()
    assert "from which I2 cannot be estimated" in found.sentence
    assert "tau2" not in found.alone


def test_a_series_without_an_order_says_that_none_was_given():
    fit = mx.Peto(mx.event_counts(**{f"treatment_{k}": v for k, v in ONE.items()},
                                  **{f"control_{k}": v[::-1] for k, v in ONE.items()})).fit()  # fmt: skip
    with pytest.raises(InputError, match="no column 'year', which is the order where no other is given"):
        mx.sensitivity.cumulative(fit)
    with pytest.raises(mx.errors.UnknownChoiceError, match="'month'"):
        mx.sensitivity.cumulative(fit, "month")
