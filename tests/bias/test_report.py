"""The report puts the methods side by side, with numbers that are theirs and words that fit the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.bias.report import METHODS
from metaexo.errors import TooFewStudiesError


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


def test_intervals_that_include_no_effect_are_counted() -> None:
    found = mx.bias.report(effects())
    bounded = [one for one in found.estimates if np.isfinite([one.low, one.high]).all()]
    reach = sum(one.low <= 0 <= one.high for one in bounded)
    assert f"{reach} of {len(bounded)} of their intervals" in found.sentence


def test_ratios_are_shown_as_ratios() -> None:
    found = mx.bias.report(effects(measure="RR"))
    table = next(table for table in found.reader_tables() if table.title == "Mean effect")
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
    assert any("taken as independent" in line for line in found.cautions())
    assert "robust" in found.tests[0].sentence
    assert str(found).count("taken as independent") == 1


def test_two_effects_are_too_few() -> None:
    with pytest.raises(TooFewStudiesError, match="report"):
        mx.bias.report(effects(2))
