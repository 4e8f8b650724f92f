"""Counts that no row compares: each model refuses them, and what its message says to do can be done."""

from __future__ import annotations

import re

import numpy as np
import pytest

import metaexo as mx
from metaexo.effects import EventCounts
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import NotIdentifiableError

SIZES = np.array([[20, 25], [30, 30], [8, 9]])
SILENT = {
    "no event": (SIZES * 0, False),
    "no event in time": (SIZES * 0, True),
    "everyone": (SIZES, False),
    "some of each": (SIZES * [[0], [1], [0]], False),
}
MODELS = {
    "MH": mx.MantelHaenszel,
    "Peto": mx.Peto,
    "exact": mx.ExactConditional,
    "beta-binomial": mx.BetaBinomial,
    "arm-based": mx.ArmBased,
    "no double zeros": lambda counts: mx.MantelHaenszel(
        counts, zero_cells=ZeroCells(0, drop_double_zero=True)
    ),
}
CALL = re.compile(r"(?:(\w+) = )?(mx(?:\.\w+)+\((?:[^()]|\([^()]*\))*\)(?:\.fit\(\))?)")


def done(message: str, counts: EventCounts) -> list:
    """Return what the code in the remedy of a message comes to."""
    names = {"mx": mx, "counts": counts}
    found = []
    for name, code in CALL.findall(message.split("What to do: ")[1]):
        found.append(eval(code, names))
        names[name] = found[-1]
    return found


@pytest.mark.parametrize(
    ("case", "model"),
    [
        (case, model)
        for case in SILENT
        for model in MODELS
        if (case, model) != ("no event in time", "Peto")
        and not (case == "some of each" and model in ("beta-binomial", "arm-based"))  # arms have both there
    ],
)
def test_the_remedy_can_be_done(case: str, model: str) -> None:
    events, time = SILENT[case]
    counts = EventCounts(events, SIZES, person_time=time)
    with pytest.raises(NotIdentifiableError) as error:
        MODELS[model](counts).fit()
    limit = done(str(error.value), counts)[-1]
    treated = events[:, 0].sum()
    least = treated / SIZES[:, 0].sum() if case == "some of each" else 0.0
    assert least < limit.value < 1
    if case != "some of each":  # one-sided limit of no event: 1 - 0.05^(1 / n), -log(0.05) / t of a rate
        n = SIZES[:, 0].sum()
        assert limit.value == pytest.approx(-np.log(0.05) / n if time else 1 - 0.05 ** (1 / n), rel=1e-9)


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (SIZES * [0, 0] + [[0, 2]], "no event in the treatment arm"),
        (SIZES * [0, 1] + [[3, 0]], "events in everyone in the control arm"),
    ],
)
@pytest.mark.parametrize("measure", ["OR", "RR"])
def test_events_in_one_arm_have_the_one_sided_limit_that_is_said(
    events: np.ndarray, says: str, measure: str
) -> None:
    counts = EventCounts(events, SIZES)
    if measure == "RR" and "everyone" in says:
        assert mx.MantelHaenszel(counts, "RR").fit().estimate < 0
        return
    with pytest.raises(NotIdentifiableError, match=says) as error:
        mx.MantelHaenszel(counts, measure).fit()
    fit = done(str(error.value), counts)[0]
    assert fit.estimate == -np.inf
    assert np.isfinite(fit.limit("upper"))
    assert 0 < fit.cochran_mantel_haenszel().pvalue < 1


def test_an_infinite_ratio_has_no_test_of_homogeneity() -> None:
    fit = mx.ExactConditional(EventCounts([[0, 2], [0, 1]], [[20, 20], [30, 30]])).fit()
    tests = (fit.q, fit.breslow_day_test(), fit.breslow_day_test(tarone=False), fit.zelen_test())
    for test in tests:
        assert np.isnan([test.statistic, test.pvalue]).all()
        assert str(test).startswith("not testable, ")
    assert np.isnan([fit.i2, fit.h2]).all()
    assert fit.summary().parts["Heterogeneity"] == [
        "Q: not testable, no finite ratio (null: the odds ratio is the same in all studies)"
    ]


def test_zelens_test_needs_two_rows_with_information() -> None:
    one = mx.ExactConditional(EventCounts([[2, 3], [0, 0]], [[20, 20], [30, 30]])).fit()
    assert np.isfinite(one.estimate)
    assert np.isnan(one.zelen_test().pvalue)
    two = mx.ExactConditional(EventCounts([[2, 3], [0, 1]], [[20, 20], [30, 30]])).fit()
    assert 0 < two.zelen_test().pvalue <= 1


def test_q_without_degrees_of_freedom_is_no_result() -> None:
    fit = mx.MantelHaenszel(EventCounts(SIZES * 0, SIZES), "RD").fit()
    assert (fit.q.statistic, fit.q.pvalue) == (0.0, 1.0)
    assert not fit.q.is_testable
    (line,) = fit.summary().parts["Heterogeneity"]
    assert line.startswith("Q: not testable, no degrees of freedom")


@pytest.mark.parametrize("everyone", [False, True])
@pytest.mark.parametrize("model", [mx.BetaBinomial, mx.ArmBased])
def test_an_arm_without_event_or_of_events_alone_has_a_one_sided_limit(model, everyone) -> None:
    events = np.column_stack([SIZES[:, 0] * everyone, [2, 4, 1]])
    counts = EventCounts(events, SIZES)
    with pytest.raises(NotIdentifiableError) as error:
        model(counts).fit()
    fit = done(str(error.value), counts)[-1]
    assert np.isfinite(fit.conf_int().to_numpy()).sum() == 1


@pytest.mark.parametrize("everyone", [False, True])
def test_one_arm_has_a_limit_of_a_risk(everyone) -> None:
    n = SIZES[:, :1]
    counts = EventCounts(n * everyone, n)
    with pytest.raises(NotIdentifiableError) as error:
        mx.BetaBinomial(counts).fit()
    assert done(str(error.value), counts)[-1].value == pytest.approx(1 - 0.05 ** (1 / n.sum()))
