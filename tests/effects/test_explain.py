"""explain: the numbers in the text are those of the effect, and computing them by hand gives y and v."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

import metaexo as mx
from metaexo.effects import all_measures, explain
from metaexo.effects.explain.explain import NOT_KEPT, NOT_WRITTEN
from metaexo.effects.formulas import FUNCTIONS, Line, Route
from metaexo.errors import (
    AssumptionWarning,
    InputError,
    MixedContrastsWarning,
    UnknownChoiceError,
    VarianceRatioWarning,
)

K = 4
MEASURES = [measure for measure in all_measures() if measure.compute is not None]

RANGES = {
    "mean": (8, 20), "sd": (1, 4), "time": (50, 90), "t": (-2, 2), "d": (-0.9, 0.9), "f": (1, 5),
    "correlation": (-0.6, 0.8), "partial": (-0.3, 0.5), "semipartial": (-0.3, 0.5), "phi": (-0.2, 0.5),
    "point_biserial": (-0.5, 0.5), "p_value": (0.001, 0.6), "r_squared": (0.3, 0.6), "auc": (0.3, 0.9),
    "alpha": (0.5, 0.9), "both_share": (0.2, 0.25), "ties": (0, 0.02),
}  # fmt: skip
COUNTS = {
    "n": (40, 60), "events": (5, 20), "both": (10, 20), "neither": (10, 20), "predictors": (2, 4),
    "items": (3, 9), "first_events": (18, 25), "second_events": (18, 25), "first_only": (4, 9),
    "second_only": (4, 9), "heterozygous": (10, 20),
    "homozygous_first": (10, 20), "homozygous_second": (10, 20),
}  # fmt: skip


def made_up(name: str, rng: np.random.Generator) -> np.ndarray:
    if name == "direction":
        return np.array([1.0, -1.0, 1.0, -1.0])
    last = name.rsplit("_", 1)[-1]
    key = name if name in RANGES or name in COUNTS else last
    return rng.uniform(*RANGES[key], K) if key in RANGES else rng.integers(*COUNTS[key], K).astype(float)


def ways():
    for measure in MEASURES:
        for route, inputs in [
            ("", measure.inputs),
            *((way.formula, way.inputs) for way in measure.alternatives),
        ]:
            for variance in measure.variances or (None,):
                for corrected in (True, False) if measure.bias_corrected else (True,):
                    yield pytest.param(
                        measure, inputs, variance, corrected,
                        id=f"{measure.code}-{route or 'inputs'}-{variance}-{corrected}",
                    )  # fmt: skip


def by_hand(text: str) -> float:
    """Compute a line as a reader would: from the printed numbers alone."""
    return float(eval(text.replace("^", "**"), {"__builtins__": {}, "pi": np.pi, **FUNCTIONS}))


def check_by_hand(told, y, v, sign=1):
    """Compute every line of an explanation from the numbers printed in it."""
    assert told.remark == "", str(told)
    for step in told.steps:
        if "average" not in step.formula:
            assert by_hand(step.filled) == pytest.approx(step.value, rel=2e-5, abs=1e-7), str(step)
    first_y = next(step.value for step in told.steps if step.sign == "y")
    assert first_y == pytest.approx(sign * y, rel=1e-8, abs=1e-12)
    assert told.steps[-1].sign == "v"
    assert told.steps[-1].value == pytest.approx(v, rel=1e-8)
    assert (told.y, told.v) == (y, v)
    text = str(told)
    assert all(f"{step.value:.8g}" in text for step in told.steps)
    assert all(f"{entry.value:.8g}" in text for entry in told.inputs)


@pytest.mark.parametrize(("measure", "inputs", "variance", "corrected"), list(ways()))
def test_every_measure_by_every_way_can_be_computed_by_hand(measure, inputs, variance, corrected):
    rng = np.random.default_rng(len(inputs) + len(measure.code))
    numbers = {name: made_up(name, rng) for name in inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VarianceRatioWarning)
        es = mx.effect_sizes(measure.code, variance=variance, bias_correction=corrected, **numbers)
    assert es.k == K
    for i in range(K):
        told = explain(es, i)
        check_by_hand(told, es.y[i], es.v[i])
        assert {entry.name for entry in told.inputs} == set(inputs)
        assert all(entry.value == numbers[entry.name][i] for entry in told.inputs)


def test_steps_that_do_not_arrive_at_the_effect_are_not_shown():
    es = mx.effect_sizes("MD", **MD)
    assert mx.explain(es, 0).steps
    told = mx.explain(mx.EffectSizes(es.y + 1, es.v, "MD", derived=es.derived, origin=es.origin), 0)
    assert told.steps == ()
    assert NOT_WRITTEN in str(told)
    assert "v = s1^2 / n1 + s2^2 / n2" in str(told), "the formula of the measure stands in"


def test_a_variance_that_is_not_written_down_is_refused():
    with pytest.raises(InputError, match="'XX'"):
        Route((), "y = 1", {"LS": "v = 1"}).lines("XX")


ATTACKS = (
    "__import__('os')",
    "(1).__class__",
    "m1.T",
    "[m1]",
    "lambda: 1",
    "open('x')",
    "'text'",
    "True",
)


@pytest.mark.parametrize("text", ATTACKS)
def test_only_arithmetic_and_known_functions_have_a_meaning(text):
    with pytest.raises(InputError, match="in a formula"):
        Line("y", text).compute({"m1": np.array([1.0])})


def test_the_branch_that_holds_is_shown():
    line = Line("y", "sqrt(x) if x > 0 and x < 9 else 2 * x")
    values = np.array([4.0, 9.0, -1.0, np.nan])
    assert line.compute({"x": values})[:3].tolist() == [2.0, 18.0, -2.0]
    assert line.chosen({"x": 4.0}) == "sqrt(x)"
    assert line.chosen({"x": 9.0}) == "2 * x"
    assert Line("y", "log(x) if x > 0 else nan").readable == "log(x)"


MD = {
    "treatment_mean": [24.0, 30.0, 28.0], "treatment_sd": 5.0, "treatment_n": [10, 12, 9],
    "control_mean": 18.0, "control_sd": 4.0, "control_n": [10, 12, 9],
}  # fmt: skip


def test_effects_without_a_source_say_so():
    told = mx.explain(mx.EffectSizes([0.1, 0.4], [0.02, 0.05], labels=["Li 2020", "Cho 2021"]), "Cho 2021")
    assert NOT_KEPT in str(told)
    assert "y = 0.4, v = 0.05" in str(told)
    assert told.row == "input:2"


def test_a_row_is_found_by_place_id_and_label():
    es = mx.effect_sizes("MD", labels=["a", "b", "b"], **MD)
    assert str(mx.explain(es, 1)) == str(mx.explain(es, "input:2")) == str(mx.explain(es, -2))
    assert mx.explain(es, "a").row == "input:1"
    with pytest.raises(UnknownChoiceError, match="row 'b'"):
        mx.explain(es, "b")
    with pytest.raises(InputError, match="row 3 of 3"):
        mx.explain(es, 3)


def test_selecting_and_labelling_keep_the_source():
    es = mx.effect_sizes("SMD", variance="AV", **MD)
    before = mx.explain(es, 2)
    after = es.select([False, True, True], "small").with_labels(["x", "y"]).with_columns(source=["p", "q"])
    check_by_hand(mx.explain(after, 1), es.y[2], es.v[2])
    assert mx.explain(after, 1).steps == before.steps, "the average is over all rows that were handed in"


def test_rows_without_an_effect_do_not_shift_the_others():
    with pytest.warns(mx.errors.RowsLeftOutWarning):
        es = mx.effect_sizes("MD", **{**MD, "treatment_mean": [24.0, np.nan, 28.0]})
    assert mx.explain(es, 1).inputs[0].value == 28.0
    check_by_hand(mx.explain(es, 1), es.y[1], es.v[1])


WITH_ZEROS = [(code, "both") for code in ("OR", "RR", "RD", "IRR", "MPOR", "PLO")]
WITH_ZEROS += [(code, share) for code in ("RD", "MPRD", "IRD") for share in ("estimate", "variance")]


@pytest.mark.parametrize("which", ["all", "events"])
@pytest.mark.parametrize(("code", "share"), WITH_ZEROS)
def test_what_is_added_to_zeros_is_shown(code, share, which):
    measure = next(m for m in MEASURES if m.code == code)
    numbers = {name: np.array([30.0, 33.0]) for name in measure.inputs}
    numbers |= {name: np.array([60.0, 70.0]) for name in measure.inputs if name.endswith("n")}
    zero = next(name for name in measure.inputs if "events" in name or name == "second_only")
    numbers[zero] = np.array([0.0, 4.0])
    es = mx.effect_sizes(code, continuity=0.5, continuity_cells=which, continuity_in=share, **numbers)
    told = mx.explain(es, 0)
    check_by_hand(told, es.y[0], es.v[0])
    assert told.blocks[0].title.startswith("continuity correction: 0.5 added to ")
    titles = {"both": ["effect and sampling variance"]}.get(share, ["effect", "sampling variance"])
    assert [block.title for block in told.blocks[1:]] == titles
    assert not any(block.title.startswith("continuity") for block in mx.explain(es, 1).blocks)


# ---------------------------------------------------------------- from the sheets

FROM_SHEETS = [("outcomes", code) for code in ("SMD", "MD", "ROM", "SMCC", "RR", "PLO", "MN", "CVR", "D2OR")]
FROM_SHEETS += [("published_meta_analyses", code) for code in ("SMD", "MD", "RR")]
FROM_SHEETS += [("preparations", "MN"), ("safety_events", "RR"), ("safety_events", "PLO")]


@pytest.fixture(scope="module")
def sheets(root):
    return mx.read_sheets(root / "data")


@pytest.mark.parametrize(("sheet", "code"), FROM_SHEETS)
def test_every_effect_of_our_sheets_can_be_computed_by_hand(sheets, sheet, code):
    options = {"assumed_sd": {"roughness": 12.0, "collagen_density": 9.0}} if sheet == "outcomes" else {}
    with warnings.catch_warnings():
        for kind in (AssumptionWarning, MixedContrastsWarning, VarianceRatioWarning):
            warnings.simplefilter("ignore", kind)
        es = sheets.effects(code, sheet=sheet, assumed_correlation=0.5, **options)
    for i in range(es.k):
        told = mx.explain(es, i)
        check_by_hand(told, es.y[i], es.v[i], sign=-1 if told.turned else 1)
        assert told.mark == es.derived[i]


def test_a_supplied_sd_in_place_of_one_of_0_is_explained(tmp_path):
    row = {"treatment_n": 4, "treatment_mean": 3.5, "treatment_sd": 0, "caution": "as printed"}
    with pytest.warns(AssumptionWarning):
        es = read_row(tmp_path, contrast="single_arm", **row).effects("MN", assumed_sd={"days": 2.0})
    assert es.v[0] == 1.0
    check_by_hand(mx.explain(es, 0), 3.5, 1.0)


def test_turning_round_is_told(sheets):
    es = sheets.effects("SMD", where="study_id == 'heliumplasma_fibroblast'")
    told = mx.explain(es, "outcomes.csv:43")
    assert told.turned
    assert "lower is better: the sign is changed, y = 1.7527347" in str(told)
    assert "turned so that higher is better" in str(told)
    plain = sheets.effects("SMD", where="study_id == 'heliumplasma_fibroblast'", orient=False)
    assert not mx.explain(plain, 0).turned


TABLE = [
    (
        {"treatment_se": 1.0, "control_ci_low": 16.0, "control_ci_high": 20.0},
        "SD from SE",
        "SD from CI of a mean",
    ),
    ({"difference": 6.0, "difference_ci_low": 2.0, "difference_ci_high": 10.0}, "SE from CI (t)", ""),
    ({"reported_as": "t", "statistic": 3.1}, "SE from t", ""),
    ({"reported_as": "f", "statistic": 9.61, "df": 20}, "t from F", "SE from t"),
    ({"p_relation": "=", "p_value": 0.004}, "SE from exact p", ""),
]


def read_row(folder, **row):
    """Write a sheet with one row and read it."""
    whole = {
        "study_id": "li2020",
        "outcome": "days",
        "better": "lower",
        "contrast": "exosome_vs_control",
        **row,
    }
    (folder / "studies.csv").write_text("study_id\nli2020\n")
    names, values = ",".join(whole), ",".join(map(str, whole.values()))
    (folder / "outcomes.csv").write_text(f"{names}\n{values}\n")
    return mx.read_sheets(folder)


@pytest.mark.parametrize(("cells", "first", "second"), TABLE)
def test_conversions_are_told_with_their_names(tmp_path, cells, first, second):
    means = {"treatment_n": 10, "treatment_mean": 24, "control_n": 12, "control_mean": 18, "paired": "no"}
    es = read_row(tmp_path, **means, **cells).effects("MD")
    told = mx.explain(es)
    check_by_hand(told, es.y[0], es.v[0], sign=-1)
    titles = [block.title for block in told.blocks]
    if first == "t from F":
        assert titles == [first, "effect and sampling variance"]
        assert "t = direction * sqrt(F) = 1 * sqrt(9.61) = 3.1" in str(told)
        assert ("statistic", 9.61) in {(entry.name, entry.value) for entry in told.inputs}
    elif second:
        assert titles[:2] == [first, second]
        assert re.search(r"s1 = se1 \* sqrt\(n1\) = 1 \* sqrt\(10\) = 3\.16", str(told))
    assert es.derived[0].formula == ", ".join(filter(None, (first, second)))
    assert "control_sd" not in {entry.name for entry in told.inputs}


PAIRED_F = [
    ("SMD", {"treatment_sd": 5, "control_sd": 4}, "t from F, correlation from paired t"),
    ("MD", {}, "t from F, SE from paired t"),
    ("SMCC", {}, "t from F, d from paired t"),
]


@pytest.mark.parametrize(("code", "cells", "formula"), PAIRED_F)
def test_the_f_of_the_same_people_twice_is_told(tmp_path, code, cells, formula):
    means = {"treatment_n": 10, "treatment_mean": 24, "control_n": 10, "control_mean": 18, "paired": "yes"}
    es = read_row(tmp_path, **means, **cells, reported_as="f", statistic=9.61, df=9).effects(code)
    told = mx.explain(es)
    check_by_hand(told, es.y[0], es.v[0], sign=-1)
    assert es.derived[0].formula == formula
    assert "t from F" in [block.title for block in told.blocks]


OF_MEDIANS = [
    {"treatment_min": 6, "treatment_median": 10, "treatment_max": 16},
    {"treatment_q1": 8.5, "treatment_median": 10, "treatment_q3": 12},
    {
        "treatment_min": 6, "treatment_q1": 8.5, "treatment_median": 10,
        "treatment_q3": 12, "treatment_max": 16,
    },
]  # fmt: skip


@pytest.mark.parametrize("cells", OF_MEDIANS)
@pytest.mark.parametrize(("code", "paired"), [("SMD", "no"), ("MD", "no"), ("MN", "no"), ("MD", "yes")])
def test_a_median_is_told_step_by_step(tmp_path, cells, code, paired):
    others = {"treatment_n": 12, "control_n": 12, "control_mean": 14, "control_sd": 3, "paired": paired}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        es = read_row(tmp_path, **others, **cells).effects(code, assumed_correlation=0.5, orient=False)
    told = mx.explain(es)
    check_by_hand(told, es.y[0], es.v[0])
    assert {entry.name for entry in told.inputs} >= set(cells)
    assert [block.title.split(": ")[-1] for block in told.blocks[:2]] == ["mean", "SD"]
    assert told.blocks[0].reference == "10.1177/0962280216669183"


def test_an_assumed_number_is_marked(sheets):
    with pytest.warns(AssumptionWarning):
        es = sheets.effects("SMD", where="study_id == 'park2023'", assumed_correlation=0.6)
    told = mx.explain(es)
    assert [(entry.name, entry.value) for entry in told.inputs if entry.assumed] == [("correlation", 0.6)]
    assert "correlation  r = 0.6  (assumed)" in str(told)
    assert "by SMCRP" in str(told)


def test_long_lines_are_broken_and_short_ones_are_not(sheets):
    es = sheets.effects("SMD", where="study_id == 'hu2019b'")
    lines = str(mx.explain(es)).splitlines()
    steps = [line for line in lines if line.startswith("  ")]
    assert max(map(len, steps)) <= 100
    assert any(line.startswith("     = ") for line in steps)
    assert "where hedges(m) = " in str(mx.explain(es))
