"""The report puts the methods side by side, with numbers that are theirs and words that fit the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.bias import BiasReport, LimitMetaAnalysis
from metaexo.bias.report import METHODS
from metaexo.bias.results import AdjustedEstimate
from metaexo.bias.waap import Waap
from metaexo.errors import TooFewStudiesError
from metaexo.readable import ReaderTable


def effects(k: int = 12, slope: float = 2.0, **choices: object) -> mx.EffectSizes:
    """Return effects that grow with their standard errors by a slope, with a pattern of deviations."""
    se = np.linspace(0.08, 0.5, k)
    noise = np.resize([0.4, -0.7, 0.2, 0.6, -0.5], k)
    return mx.EffectSizes(0.05 + slope * se + noise * se, se=se, **choices)  # type: ignore[arg-type]


def test_every_method_is_there_or_says_why_not() -> None:
    found = mx.bias.report(mx.RandomEffects(effects()).fit())
    shown = len(found.tests) + len(found.estimates) + len(found.counts) + len(found.refused)
    assert shown == sum(len(METHODS[kind]) for kind in ("test", "estimate", "count"))
    assert all(one.reason for one in found.refused)


def test_the_numbers_are_those_of_the_methods() -> None:
    fit = mx.RandomEffects(effects()).fit("DL", test="z")
    found = mx.bias.report(fit)
    frame = found.to_frame().set_index("method")
    assert frame.index.is_unique
    assert frame["estimate"].iloc[0] == fit.estimate
    filled = mx.bias.trim_and_fill(fit)
    assert frame.loc[filled.name, "estimate"] == filled.estimate
    test = mx.bias.regression_test(fit)
    assert frame.loc[test.name, "pvalue"] == test.pvalue
    assert (frame["kind"] == "estimate").sum() == len(found.estimates)


def test_asymmetry_is_told_and_its_absence_is_no_proof() -> None:
    clear = mx.bias.report(effects(slope=3.0))
    assert "Small studies differ from large ones" in clear.sentence
    none = mx.bias.report(effects(slope=0.0))
    assert "does not show that there is none" in none.sentence


def test_few_studies_can_tell_nothing() -> None:
    found = mx.bias.report(effects(9, slope=3.0))
    assert not found.enough
    assert "not possible to tell" in found.sentence
    assert "differ from large ones (" not in found.sentence
    assert mx.bias.report(effects(10)).enough


def stand_in(found: BiasReport, kind: type[AdjustedEstimate], **numbers: object) -> BiasReport:
    """Return a report in which the estimate of a method has other numbers."""
    estimates = [replace(one, **numbers) if isinstance(one, kind) else one for one in found.estimates]  # type: ignore[arg-type]
    assert any(isinstance(one, kind) for one in estimates)
    return replace(found, estimates=tuple(estimates))


def mean_table(found: BiasReport) -> ReaderTable:
    return next(table for table in found.reader_tables() if table.title == "Mean effect")


def test_intervals_that_include_no_effect_are_counted() -> None:
    found = mx.bias.report(effects())
    summed = [one for one in found.estimates if one.usable and one.is_adjusted and one.low < one.high]
    reach = sum(one.low <= 0 <= one.high for one in summed)
    assert 0 < reach < len(summed)
    assert f"{reach} of {len(summed)} of their intervals" in found.sentence
    half = stand_in(found, Waap, low=-np.inf, high=-0.1, estimate=-0.3)
    rows = [one for one in half.estimates if one.usable and one.is_adjusted]
    assert f"{sum(one.low <= 0 <= one.high for one in rows)} of {len(rows)} of their" in half.sentence
    none = stand_in(found, Waap, low=0.3, high=0.3, estimate=0.3)
    assert f"of {len(summed) - 1} of their intervals" in none.sentence


def test_what_is_not_to_be_used_is_marked_and_in_no_sum() -> None:
    found = stand_in(mx.bias.report(effects()), Waap, estimate=-77.0, low=-99.0, high=-55.0, usable=False)
    others = [one for one in found.estimates if one.usable and one.is_adjusted]
    assert f"{len(others)} adjusted estimate" in found.sentence
    assert "77" not in found.sentence
    assert "Not to be used, and left out here: WAAP-WLS (see the cautions)." in found.sentence
    row = next(row for row in mean_table(found).rows if row[0] == "WAAP-WLS")
    assert row[-1] == "not to be used"
    assert found.to_frame().set_index("method").loc["WAAP-WLS", "remark"] == "not to be used"


def test_methods_that_adjusted_nothing_are_counted_apart() -> None:
    plain = mx.bias.report(effects())
    found = stand_in(plain, Waap, estimate=-77.0, low=-99.0, high=-55.0, is_adjusted=False)
    changed = [one for one in found.estimates if one.is_adjusted]
    count = len(found.estimates) - len(changed)
    assert f"{count} of {len(found.estimates)} methods adjusted nothing." in found.sentence
    assert "77" not in found.sentence
    assert next(row for row in mean_table(found).rows if row[0] == "WAAP-WLS")[-1] == "adjusted nothing"
    same = replace(plain, estimates=tuple(replace(one, is_adjusted=False) for one in plain.estimates))
    assert f"unadjusted. {len(plain.estimates)} of" in same.sentence


def test_bare_effects_and_their_fit_have_the_same_report() -> None:
    for es in (effects(slope=3.0), effects(study=[f"s{i // 2}" for i in range(12)])):
        bare = mx.bias.report(es)
        fit = mx.bias.report(mx.RandomEffects(es, dependence="accept").fit())
        pd.testing.assert_frame_equal(bare.to_frame(), fit.to_frame())
        assert [one.sentence for one in bare.counts] == [one.sentence for one in fit.counts]
        assert bare.cautions() == fit.cautions()


def test_the_level_is_that_of_every_interval() -> None:
    fit = mx.RandomEffects(effects()).fit()
    found = mx.bias.report(fit, level=0.8)
    assert {one.level for one in found.estimates} == {0.8}
    row = found.to_frame().iloc[0]
    assert (row["low"], row["high"]) == (fit.pooled(0.8).low, fit.pooled(0.8).high)
    assert mean_table(found).header[2] == "80% CI"
    narrow, wide = (mx.bias.trim_and_fill(fit, level=level) for level in (0.8, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high


SIZES = np.linspace(0.1, 0.5, 12)


@pytest.mark.parametrize(
    ("y", "se", "why"),
    [
        (effects().y, np.full(12, 0.2), "all standard errors are equal"),
        (effects().y, np.linspace(0.2, 0.29, 12), "the standard errors hardly differ"),
        (np.full(12, 0.4), SIZES, "the effects do not vary"),
        (2.1 * SIZES, SIZES, "the effects do not vary about a line in the standard error"),
    ],
)
def test_asymmetry_that_cannot_be_tested_is_said(y: np.ndarray, se: np.ndarray, why: str) -> None:
    es = mx.EffectSizes(y, se=se)
    found = mx.bias.report(es)
    assert found.sentence.startswith(
        f"Whether small studies differ from large ones could not be tested: {why}."
    )
    assert "No difference" not in found.sentence


def test_no_difference_is_not_told_where_another_test_finds_one() -> None:
    se = np.r_[0.001, np.linspace(0.1, 0.5, 14)]
    y = np.r_[0.1, np.resize([0.7, 0.4, -0.2, 0.1, 0.6], 14)]
    found = mx.bias.report(mx.EffectSizes(y, se=se))
    assert found.tests[0].pvalue > 0.1
    limit = next(one for one in found.estimates if isinstance(one, LimitMetaAnalysis))
    assert limit.q_small_study.pvalue < 0.05
    assert found.sentence.startswith("Tests of whether small studies differ from large ones disagree")
    assert "No difference" not in found.sentence


def test_a_study_that_decides_is_named() -> None:
    se = np.r_[np.linspace(0.1, 0.5, 14), 0.001]
    y = np.r_[np.resize([0.2, 0.5, 0.4, 0.1, 0.6], 14), 0.1]
    plain = mx.bias.report(mx.EffectSizes(y, se=se)).cautions()
    assert sum(
        "one study, number 15, has more than 99% of the inverse-variance weight" in one for one in plain
    )
    named = mx.EffectSizes(y, se=se, labels=[f"Author {i}" for i in range(15)])
    assert any("one study, Author 14, has" in one for one in mx.bias.report(named).cautions())
    # no effect of this study has more than half of the weight; the study has
    es = mx.EffectSizes(
        effects().y, se=[0.1, 0.1, *np.linspace(0.2, 0.5, 10)], study=["A", "A", *"bcdefghijk"]
    )
    share = (1 / es.v)[:2].sum() / (1 / es.v).sum()
    assert (1 / es.v).max() / (1 / es.v).sum() < 0.5 < share
    assert any(f"one study, A, has {share:.0%}" in one for one in mx.bias.report(es).cautions())
    assert not any("inverse-variance weight" in one for one in mx.bias.report(effects()).cautions())


def test_every_caution_stands_once_with_the_methods_that_it_is_of() -> None:
    for es in (effects(), effects(measure="RR"), effects(study=[f"s{i // 2}" for i in range(24)], k=24)):
        said = [line.partition(": ")[2] or line for line in mx.bias.report(es).cautions()]
        assert len(set(said)) == len(said)
    ratios = [line for line in mx.bias.report(effects(measure="RR")).cautions() if "by construction" in line]
    (line,) = ratios
    for name in ("regression test", "rank correlation test", "PET-PEESE", "limit meta-analysis"):
        assert name in line


def test_what_is_zero_but_for_rounding_is_zero() -> None:
    found = stand_in(mx.bias.report(effects()), Waap, estimate=4.968e-17, low=-0.2, high=0.2)
    assert next(row for row in mean_table(found).rows if row[0] == "WAAP-WLS")[1] == "0.000"
    small = mx.EffectSizes(effects().y * 1e-9, se=np.sqrt(effects().v) * 1e-9)
    assert mean_table(mx.bias.report(small)).rows[0][1] != "0.000"


def test_ratios_are_shown_as_ratios() -> None:
    found = mx.bias.report(effects(measure="RR"))
    table = mean_table(found)
    assert "isk ratio" in table.header[1]
    assert float(table.rows[0][1]) == pytest.approx(np.exp(found.unadjusted.estimate), rel=1e-3)
    frame = found.to_frame()
    np.testing.assert_allclose(frame["ratio"], np.exp(frame["estimate"]))


def test_with_moderators_the_regression_test_alone_is_possible() -> None:
    es = effects(data=pd.DataFrame({"dose": np.resize([1.0, 3.0, 2.0], 12)}))
    found = mx.bias.report(mx.RandomEffects(es, "dose").fit())
    assert len(found.tests) == 1
    assert found.estimates == ()
    assert "dose" in found.refused[0].reason
    assert "Small studies" in found.sentence
    assert "Mean effect" not in [table.title for table in found.reader_tables()]


def test_tables_of_events_have_their_own_test() -> None:
    es = mx.effect_sizes(
        "OR",
        treatment_events=[4, 6, 3, 62, 33, 18, 8, 50, 29, 17, 18],
        treatment_n=[123, 306, 231, 1359, 506, 154, 253, 883, 747, 171, 506],
        control_events=[11, 29, 11, 248, 47, 37, 10, 49, 45, 65, 14],
        control_n=[139, 303, 220, 1286, 580, 145, 229, 883, 727, 166, 272],
    )
    assert "Harbord" in " ".join(test.name for test in mx.bias.report(es).tests)


def test_dependent_effects_carry_a_caution_and_robust_tests() -> None:
    es = effects(study=[f"s{i // 2}" for i in range(24)], k=24)
    found = mx.bias.report(mx.Multilevel(es).fit())
    (line,) = (line for line in found.cautions() if "taken as independent" in line)
    assert line.startswith("all but ")
    named = line.partition(":")[0]
    assert all(name in named for name in ("regression test", "PET-PEESE", "WAAP-WLS", "worst case"))
    assert "Henmi-Copas" not in named
    assert "robust" in found.tests[0].sentence
    assert str(found).count("taken as independent") == 1


def test_two_effects_are_too_few() -> None:
    with pytest.raises(TooFewStudiesError, match="report"):
        mx.bias.report(effects(2))
