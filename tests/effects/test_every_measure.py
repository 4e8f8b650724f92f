"""What holds for every registered measure, whatever its family."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings

import metaexo as mx
from metaexo.effects import FAMILIES, all_measures, calculate, get_measure, measures

CODES = [one.code for one in all_measures() if one.compute is not None]
# Rows are calculated together, so that a measure takes hundreds of them at the price of one.
ROWS = 5 * settings().max_examples
NEW_SIGN = {"treatment": "control", "control": "treatment", "post": "pre", "pre": "post"}


# last word of an input, or the input itself -> lowest and highest plausible value, and whether it is a count
PLAUSIBLE = {
    "mean": (9, 11, False),
    "sd": (2, 4, False),
    "n": (20, 90, True),
    "events": (3, 18, True),
    "time": (50, 300, False),
    "phi": (0.0, 0.05, False),
    "correlation": (-0.3, 0.5, False),
    "partial": (-0.3, 0.5, False),
    "semipartial": (-0.3, 0.5, False),
    "r_squared": (0.3, 0.8, False),
    "predictors": (2, 6, True),
    "items": (2, 6, True),
    "auc": (0.55, 0.9, False),
    "alpha": (0.55, 0.9, False),
    "ties": (0.0, 0.1, False),
}


def draw(names: tuple[str, ...], seed: int, k: int = 5) -> dict[str, np.ndarray]:
    """Return plausible inputs for any measure, one entry a row; cells of tables are counts from 4 to 29."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in names:
        low, high, count = PLAUSIBLE.get(name, PLAUSIBLE.get(name.rsplit("_", 1)[-1], (4, 30, True)))
        found[name] = rng.integers(low, high, k).astype(float) if count else rng.uniform(low, high, k)
    return found


def test_there_are_as_many_as_the_field_knows():
    assert len(CODES) > 80
    assert len(FAMILIES) > 10


@pytest.mark.parametrize("code", CODES)
def test_the_record_is_complete(code):
    record = get_measure(code)
    assert record.name
    assert record.display
    assert record.family in FAMILIES
    assert record.orientation == (
        "none" if np.isnan(record.null) or record.null == 0.5 else record.orientation
    )
    assert not record.display_log or record.back(np.array([0.0]))[0] == 1.0


@pytest.mark.parametrize("code", CODES)
def test_effects_are_finite_variances_positive_and_rows_independent(code):
    inputs = draw(get_measure(code).inputs, 1, ROWS)
    whole = calculate(code, inputs)
    assert np.isfinite(whole.y).all(), inputs
    if code == "SPCOR":  # the formula of the source may fall below zero when a predictor explains too much
        return
    assert (whole.v > 0).all(), inputs
    for i in range(0, ROWS, 5):
        one = calculate(code, {name: x[i] for name, x in inputs.items()})
        assert one.y[0] == pytest.approx(whole.y[i], rel=1e-13, abs=1e-15), i
        assert one.v[0] == pytest.approx(whole.v[i], rel=1e-13), i


@pytest.mark.parametrize("code", [c for c in CODES if get_measure(c).variances])
def test_every_type_of_variance_is_positive_and_the_first_is_the_default(code):
    record = get_measure(code)
    inputs = draw(record.inputs, 7)
    default = calculate(code, inputs)
    for i, variance in enumerate(record.variances):
        done = calculate(code, inputs, variance=variance)
        assert (done.v > 0).all()
        if i == 0:
            assert done.v.tolist() == default.v.tolist()


@pytest.mark.parametrize(
    "code",
    [c for c in CODES if get_measure(c).orientation == "negate" and "treatment_n" in get_measure(c).inputs],
)
def test_swapping_the_groups_changes_the_sign(code):
    if code in ("SMD1", "SMD1H"):
        return  # standardised by one group
    inputs = draw(get_measure(code).inputs, 2, ROWS)
    other = {
        "_".join([NEW_SIGN.get(name.split("_")[0], name.split("_")[0]), *name.split("_")[1:]]): x
        for name, x in inputs.items()
    }
    one, two = calculate(code, inputs), calculate(code, other)
    assert two.y == pytest.approx(-one.y, rel=1e-8, abs=1e-10)
    assert two.v == pytest.approx(one.v, rel=1e-8)


@pytest.mark.parametrize("code", [c for c in CODES if get_measure(c).bias_corrected])
def test_the_bias_correction_fades_with_the_sample(code):
    inputs = draw(get_measure(code).inputs, 3)
    for name in inputs:
        if name == "n" or name.endswith("_n"):
            inputs[name] = inputs[name] * 10_000
    corrected = calculate(code, inputs).y
    plain = calculate(code, inputs, bias_correction=False).y
    assert corrected == pytest.approx(plain, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("code", CODES)
def test_the_way_back_is_monotone(code):
    record = get_measure(code)
    centre = calculate(code, draw(record.inputs, 11)).y
    grid = np.linspace(centre.min(), centre.max(), 20)
    assert (np.diff(record.back(grid)) >= 0).all()


def test_the_table_of_measures():
    table = mx.measures()
    assert len(table) == len(all_measures())
    assert table.loc[table["code"] == "SMD", "inputs"].item().startswith("treatment_mean, treatment_sd")
    assert "t, treatment_n, control_n" in table.loc[table["code"] == "SMD", "or"].item()
    assert set(measures("correlation")["code"]) == {"COR", "UCOR", "ZCOR"}
    assert table["family"].drop_duplicates().tolist() == list(FAMILIES)


GROWING = ("n", "events", "time", "both", "first_only", "second_only", "neither")
GROWING += ("homozygous_first", "heterozygous", "homozygous_second")
ENDLESS = 1e5


def larger(inputs: dict[str, np.ndarray], times: float) -> dict[str, np.ndarray]:
    """Return inputs of the same study, so many times as large."""
    last = {name: name if name in GROWING else name.rsplit("_", 1)[-1] for name in inputs}
    return {name: x * times if last[name] in GROWING else x for name, x in inputs.items()}


CLOSED = [code for code in CODES if code not in ("R2F", "ZR2F")]  # these integrate a density, slowly


@pytest.mark.parametrize("code", CLOSED)
def test_large_studies_approach_a_value_and_their_variance_falls_with_their_size(code):
    inputs = draw(get_measure(code).inputs, 4, ROWS)
    first, second = (calculate(code, larger(inputs, times)) for times in (ENDLESS, 10 * ENDLESS))
    assert second.y == pytest.approx(first.y, rel=1e-5, abs=1e-6)
    if code not in ("SPCOR", "ZSPCOR"):  # the formula of the source may fall below zero
        assert first.v / second.v == pytest.approx(10, rel=1e-4)


UNIT = {"MD": "follows", "MC": "follows", "MN": "follows", "MNLN": "log", "SDLN": "log"}
SHIFTED = {"MN": "follows"} | dict.fromkeys(("ROM", "CVR", "ROMC", "CVRC", "SMN", "MNLN", "CVLN"), "changes")
OF_MEANS = [
    code
    for code in CODES
    if "means" in get_measure(code).family and any(name.endswith("sd") for name in get_measure(code).inputs)
]


def in_unit(
    inputs: dict[str, np.ndarray], scale: np.ndarray | float, shift: np.ndarray | float
) -> dict[str, np.ndarray]:
    """Return means and SDs in another unit, counted from another zero."""
    kinds = {name: name.rsplit("_", 1)[-1] for name in inputs}
    changed = {"mean": lambda x: scale * x + shift, "sd": lambda x: scale * x}
    return {name: changed.get(kinds[name], lambda x: x)(x) for name, x in inputs.items()}


@pytest.mark.parametrize("code", OF_MEANS)
def test_another_unit_changes_what_the_measure_says(code):
    inputs = draw(get_measure(code).inputs, 5, ROWS)
    scale = np.geomspace(0.1, 30, ROWS)
    one, other = calculate(code, inputs), calculate(code, in_unit(inputs, scale, 0.0))
    kind = UNIT.get(code, "none")
    expected = {"follows": scale * one.y, "log": one.y + np.log(scale), "none": one.y}[kind]
    assert other.y == pytest.approx(expected, rel=1e-9, abs=1e-10)
    assert other.v == pytest.approx(one.v * (scale**2 if kind == "follows" else 1), rel=1e-9)


@pytest.mark.parametrize("code", OF_MEANS)
def test_another_zero_changes_what_the_measure_says(code):
    inputs = draw(get_measure(code).inputs, 6, ROWS)
    shift = np.linspace(2, 50, ROWS)
    one, other = calculate(code, inputs), calculate(code, in_unit(inputs, 1.0, shift))
    kind = SHIFTED.get(code, "none")
    if kind == "changes":  # a ratio has no meaning where zero is arbitrary
        assert (np.abs(other.y - one.y) > 1e-9).all()
        return
    assert other.y == pytest.approx(one.y + (shift if kind == "follows" else 0), rel=1e-9, abs=1e-9)
    assert other.v == pytest.approx(one.v, rel=1e-9)
