"""The page on the speed of methods for small-study effects, without R."""

from __future__ import annotations

import pytest

from benchmarks import bias_speed


def lines(found_by_r: float | None = 0.3):
    works = (("trim and fill", 20, 1e-3, 2e-2), ("selection, step function", 40, 5e-3, 5e-2))
    return [
        {"work": work, "k": k, "ours": ours, "theirs": theirs, "found": 0.3, "found_by_r": found_by_r}
        for work, k, ours, theirs in works
    ]


def test_ratios_stand_beside_equal_results_and_targets_that_were_missed_are_named() -> None:
    text = bias_speed.page(lines(), {"R": "R 4", "metafor": "3.8.1"})
    assert "| 20.0 | 10 |" in text
    assert "Targets not met: selection, step function, k = 40." in text
    assert "different result" not in text


@pytest.mark.parametrize("theirs", [0.4, None])
def test_another_result_has_no_ratio(theirs) -> None:
    found = lines(theirs)
    assert not any(bias_speed.agrees(line) for line in found)
    text = bias_speed.page(found, {"R": "R 4", "metafor": "3.8.1"})
    assert "different result" in text
    assert "| 20.0 |" not in text
    assert "trim and fill, k = 20" in text.split("|")[0]


def test_every_work_runs_on_a_small_problem() -> None:
    import metaexo as mx

    y, v = bias_speed.problem(20)
    es = mx.EffectSizes(y, v)
    fit = mx.RandomEffects(es).fit("ML", "z")
    for name, (call, _, _) in bias_speed.WORKS.items():
        if name not in ("selection, beta", "selection, negative exponential"):
            assert abs(float(call(es, fit))) < 1e4, name
