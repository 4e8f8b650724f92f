"""Columns that are exchanged in a whole sheet are asked about, and those of plausible sheets are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import ExchangedNumbersWarning
from metaexo.evidence.slips.whole_columns import _exchanged, arms_turned
from tests.evidence.tables.making import text

HEADINGS = ("Study", "EV mean", "EV SD", "EV n", "PBS mean", "PBS SD", "PBS n", "Better", "Caution")
ROWS = (
    ("Li 2020", 12.5, 2.25, 10, 18.7, 3.5, 10),
    ("Wu 2021", 10.2, 2.8, 8, 14.6, 3.1, 8),
    ("Ma 2022", 11.9, 2.1, 8, 15.2, 3.3, 8),
    ("Xu 2021", 14.1, 3.2, 6, 17.5, 2.9, 6),
    ("Ito 2019", 9.8, 1.7, 12, 13.1, 2.6, 12),
)


def asked(path: Path, order: tuple[int, ...], caution: str = "") -> list[str]:
    rows = [(row[0], *(row[at] for at in order), "lower", caution) for row in ROWS]
    found = mx.check_sheets(text(path / "t.csv", [HEADINGS, *rows])).warnings
    return [one.reading for one in found if one.kind is ExchangedNumbersWarning and len(one.lines) == 5]


@pytest.mark.parametrize(
    ("order", "reading"),
    [
        ((1, 2, 3, 4, 5, 6), []),
        ((2, 1, 3, 5, 4, 6), ["mean and SD exchanged"]),
        ((2, 1, 3, 4, 5, 6), ["mean and SD exchanged"]),
        ((1, 3, 2, 4, 6, 5), ["SD and n exchanged"]),
        ((3, 2, 1, 6, 5, 4), ["mean and n exchanged"]),
        ((4, 5, 6, 1, 2, 3), ["treatment and control exchanged"]),
    ],
)
def test_exchanged_columns_are_asked_about(
    tmp_path: Path, order: tuple[int, ...], reading: list[str]
) -> None:
    assert asked(tmp_path, order) == reading
    if not reading or "n" not in reading[0].split():
        assert asked(tmp_path, order, "as in the papers") == []


def sheet(rng: np.random.Generator, k: int, typical_cv: float, effect: float) -> dict[str, np.ndarray]:
    """Draw a sheet of k studies, numbers of three digits or whole ones, as papers print them."""
    cv = np.exp(np.log(typical_cv) + 0.45 * rng.standard_normal() + 0.35 * rng.standard_normal(k))
    scale = np.exp(rng.normal(1, 2)) * np.exp(0.5 * rng.standard_normal(k))
    n = rng.integers(4, 13, (k, 1)) * np.ones((1, 2))
    unequal = rng.random(k) > 0.7
    n[unequal, 1] = rng.integers(4, 13, unequal.sum())
    g = effect * np.exp(0.4 * rng.standard_normal(k)) if effect else 0.3 * rng.standard_normal(k)
    spread = np.stack([scale * cv] * 2, 1) * np.exp(0.15 * rng.standard_normal((k, 2)))
    mean = np.stack([scale * (1 + g * cv), scale], 1) + spread / np.sqrt(n) * rng.standard_normal((k, 2))
    sd = spread * np.sqrt(rng.chisquare(n - 1) / (n - 1))
    if rng.random() < 0.2:
        return {"mean": np.round(mean), "sd": np.maximum(np.round(sd), 1), "n": n}
    mean, sd = (np.array([[float(f"{x:.3g}") for x in row] for row in values]) for values in (mean, sd))
    return {"mean": mean, "sd": sd, "n": n}


def question(of: dict[str, np.ndarray]) -> str:
    """Return what is asked of a sheet of which a higher value is better."""
    studies = [f"study {i}" for i in range(len(of["n"]))]
    found = [f"{first}, {second}" for _, first, second in _exchanged(of, studies)]
    return found[0] if found else "arms" * arms_turned(of, studies, np.ones(len(studies)))


@pytest.mark.parametrize(
    ("k", "cv", "most"), [(4, 0.25, 0.002), (6, 0.25, 0.0), (6, 0.8, 0.008), (30, 0.8, 0.0)]
)
def test_a_question_is_asked_of_plausible_sheets_as_rarely_as_is_said(k: int, cv: float, most: float) -> None:
    rng, draws = np.random.default_rng(11), 400
    rate = np.mean(
        [question(sheet(rng, k, cv, effect)) != "" for effect in (1.2, 0) for _ in range(draws // 2)]
    )
    assert rate <= most + 4 * np.sqrt(max(most, 1 / draws) / draws)


@pytest.mark.parametrize(
    ("first", "second", "rate"), [("mean", "sd", 0.8), ("sd", "n", 0.78), ("mean", "n", 0.81)]
)
def test_exchanges_are_found_as_often_as_is_said(first: str, second: str, rate: float) -> None:
    rng, draws, found = np.random.default_rng(12), 200, 0
    for _ in range(draws):
        of = sheet(rng, 6, 0.25, 1.2)
        of[first], of[second] = of[second], of[first]
        found += question(of) == f"{first}, {second}"
    assert abs(found / draws - rate) < 4 * np.sqrt(rate * (1 - rate) / draws)


def test_exchanged_arms_are_found_as_often_as_is_said() -> None:
    rng, draws, rate = np.random.default_rng(13), 200, 0.84
    turned = ({name: of[:, ::-1] for name, of in sheet(rng, 6, 0.25, 1.2).items()} for _ in range(draws))
    found = np.mean([question(of) == "arms" for of in turned])
    assert abs(found - rate) < 4 * np.sqrt(rate * (1 - rate) / draws)
