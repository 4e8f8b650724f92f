"""Standard errors in the place of SDs: rates of the question, what it names, and how it is settled."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import StandardErrorsAsSDsWarning
from metaexo.evidence import Sheets
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.slips.standard_errors import (
    ASKED_FROM,
    CENTRE,
    SMALLEST_G,
    USUAL_CV,
    Spreads,
    likelihood_ratio,
)
from tests.evidence.folders import OUTCOMES, Row, Write

NAMES = ("treatment_mean", "treatment_sd", "control_mean", "control_sd")


def simulated(rng: np.random.Generator, k: int, share: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw a sheet of k studies of animals of which a share gives standard errors."""
    cv = np.exp(np.log(0.25) + 0.45 * rng.standard_normal() + 0.35 * rng.standard_normal(k))
    gain = 1 + np.exp(np.log(0.3) + 0.5 * rng.standard_normal() + 0.4 * rng.standard_normal(k))
    n = rng.integers(4, 13, k)
    divisor = np.where(rng.permutation(k) < round(share * k), np.sqrt(n), 1.0)
    columns = {"treatment_n": n, "control_n": n}
    for arm, mean, sd in (("treatment", gain, cv * np.sqrt(gain)), ("control", np.ones(k), cv)):
        columns[f"{arm}_mean"] = mean + sd / np.sqrt(n) * rng.standard_normal(k)
        columns[f"{arm}_sd"] = sd * np.sqrt(rng.chisquare(n - 1) / (n - 1)) / divisor
    return columns, divisor > 1


def spreads(columns: dict[str, np.ndarray]) -> Spreads:
    m1, s1, m2, s2 = (columns[name] for name in NAMES)
    n = columns["control_n"].astype(float)
    g = np.abs(m1 - m2) / np.sqrt((s1**2 + s2**2) / 2) * (1 - 3 / (8 * n - 9))
    z = np.log(np.maximum(g, SMALLEST_G)) - 0.5 * np.log(s1 * s2 / np.abs(m1 * m2))
    return Spreads(z, n, np.ones(n.size, dtype=bool), np.zeros(n.size))


@pytest.mark.parametrize(
    ("k", "share", "rate"), [(6, 0, 0.04), (12, 0, 0.04), (12, 0.5, 0.72), (12, 1, 0.67), (30, 0.25, 0.82)]
)
def test_the_question_is_asked_as_often_as_is_said(k: int, share: float, rate: float) -> None:
    rng, draws = np.random.default_rng(5), 400
    asked = np.mean(
        [likelihood_ratio(spreads(simulated(rng, k, share)[0]))[0] >= ASKED_FROM for _ in range(draws)]
    )
    assert abs(asked - rate) < 4 * np.sqrt(rate * (1 - rate) / draws) + 0.005


def test_the_likelihood_is_that_of_the_model() -> None:
    """Against a brute-force integral over the centre of the sheet, and enumeration of mixed sheets."""
    from itertools import product

    from scipy import stats

    n, z = np.array([5.0, 9.0, 7.0]), np.array([2.4, 4.1, 3.0])

    def likelihood(share: float) -> float:
        total = 0.0
        for flags in product([0, 1], repeat=3):
            on = np.array(flags, dtype=bool)
            cov = 0.9**2 * np.eye(3) + 0.7**2
            density = stats.multivariate_normal(np.full(3, 2.0), cov).pdf(z - on * np.log(n))
            total += share ** on.sum() * (1 - share) ** (~on).sum() * density
        return total

    ratio, each = likelihood_ratio(Spreads(z, n, np.ones(3, dtype=bool), np.zeros(3)))
    expected = np.mean([likelihood(share) for share in (0.25, 0.5, 0.75, 1)]) / likelihood(0)
    assert ratio == pytest.approx(expected, rel=2e-3)
    assert np.argmax(each) == 1


def test_what_is_called_usual_is_that_of_our_evidence(ours: Sheets) -> None:
    outcomes, brain = ours.outcomes, ours.brain_outcomes
    rows = [outcomes[outcomes["contrast"] == "exosome_vs_control"], brain]
    cvs, zs = [], []
    for frame in rows:
        usable = (frame["use"] != "apart") & (frame[list(NAMES)] > 0).all(axis=1)
        usable &= frame[["treatment_n", "control_n"]].min(axis=1) > 1
        columns = {name: frame.loc[usable, name].to_numpy(dtype=float) for name in (*NAMES, "control_n")}
        m1, s1, m2, s2 = (columns[name] for name in NAMES)
        zs.append(spreads(columns).z)
        cvs.append(np.sqrt(s1 * s2 / (m1 * m2)))
    assert np.median(np.concatenate(cvs)) == pytest.approx(USUAL_CV, abs=0.02)
    assert CENTRE < np.median(np.concatenate(zs)) < CENTRE + 0.9


def sheet(seed: int, share: float, **changes: object) -> tuple[list[Row], list[Row], list[int]]:
    columns, wrong = simulated(np.random.default_rng(seed), 12, share)
    names = [f"Study {i}" for i in range(12)]
    rows = [
        {**OUTCOMES[0], "study_id": name, **{x: f"{v[i]:.4g}" for x, v in columns.items()}, **changes}
        for i, name in enumerate(names)
    ]
    return [{"study_id": name} for name in names], rows, [i + 2 for i in np.flatnonzero(wrong)]


def question(write: Write, studies: list[Row], rows: list[Row]) -> SheetProblem | None:
    found = mx.check_sheets(write(studies=studies, outcomes=rows)).warnings
    return next((f for f in found if f.kind is StandardErrorsAsSDsWarning), None)


def test_a_sheet_of_standard_errors_is_asked_about_with_its_evidence(write: Write) -> None:
    studies, rows, wrong = sheet(10, 1)
    found = question(write, studies, rows)
    assert found is not None
    assert set(found.lines) <= set(wrong)
    assert len(found.lines) >= 9
    assert "are these standard errors (SEM) and not SDs?" in found.what
    assert "the median standardised difference is" in found.what
    assert "% of the means (SDs of other studies: 19%)" in found.what
    assert "rename the headings of the SDs to say SE" in found.remedy
    settled = [{**row, "caution": "StandardErrorsAsSDsWarning: the papers say SD"} for row in rows]
    assert question(write, studies, settled) is None
    as_se = [
        {
            **row,
            **{f"{arm}_se": row[f"{arm}_sd"] for arm in ("treatment", "control")},
            "treatment_sd": "",
            "control_sd": "",
        }
        for row in rows
    ]
    assert question(write, studies, as_se) is None


def test_sds_are_not_asked_about_and_a_printed_p_can_decide(write: Write) -> None:
    studies, rows, _ = sheet(3, 0)
    assert question(write, studies, rows) is None
    truth: list[Row] = []
    for row in rows:
        m1, s1, m2, s2, n = (float(str(row[name])) for name in (*NAMES, "control_n"))
        t = abs(m1 - m2) / np.sqrt((s1**2 + s2**2) / n)
        as_se = {f"{arm}_sd": f"{s / np.sqrt(n):.4g}" for arm, s in (("treatment", s1), ("control", s2))}
        truth.append({**row, **as_se, "reported_as": "t", "statistic": f"{t:.4g}"})
    found = question(write, studies, truth)
    assert found is not None
    assert "printed t or p of" in found.what
    right = [
        {**row, "reported_as": "t", "statistic": t["statistic"]} for row, t in zip(rows, truth, strict=True)
    ]
    assert question(write, studies, right) is None


def test_a_mixed_sheet_names_rows_and_not_the_whole_sheet(write: Write) -> None:
    studies, rows, wrong = sheet(10, 0.34)
    found = question(write, studies, rows)
    assert found is not None
    assert len(set(found.lines) & set(wrong)) > len(found.lines) / 2
    assert "move the values of these rows" in found.remedy
