"""Numbers on another scale than their columns have are turned into theirs, which is said, or asked about."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from metaexo import read_table
from metaexo.errors import PValueMismatchWarning, TooFewStudiesError
from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.tables.headings import load_headings, meaning, read_map
from metaexo.evidence.tables.table import flat_plan
from tests.evidence.tables.making import problems, read, said, text, values

KNOWN = flat_plan(load_codebook(), "t.csv").columns
WORDS = load_headings()
EFFECT = ("effect", "effect_se", "effect_ci_low", "effect_ci_high")
Z = 1.959963984540054


def table(path: Path, headings: tuple[str, ...], *rows: tuple[object, ...]) -> Path:
    names = ("Li 2020", "Wu 2021", "Xu 2022")
    return text(
        path / "t.csv",
        [("Study", *headings), *((name, *row) for name, row in zip(names, rows, strict=False))],
        ";",
    )


def numbers(path: Path, *columns: str) -> list[float]:
    tables = read(path)
    assert problems(tables) == []
    return [float(cell) for cell in values(tables, *columns)[0] if cell]


@pytest.mark.parametrize(
    "heading",
    [
        "SMD (control - exosome)",
        "OR (control vs exosome)",
        "p (interaction)",
        "p (baseline)",
        "p value (trend)",
        "RR (log)",
        "lnRR",
        "OR (healing)",
        "Exosome SD (variance)",
        "Exosome SD (pooled)",
        "Exosome mean (day 0)",
        "Control mean (log10)",
    ],
)
def test_words_in_brackets_that_change_a_number_are_asked_about(tmp_path: Path, heading: str) -> None:
    assert not meaning(heading, KNOWN, WORDS).sure
    tables = read(table(tmp_path, (heading, "Exosome n", "Control n"), (1.2, 10, 10), (1.4, 9, 9)))
    asked = [problem for problem in tables.raws["outcomes"].problems if problem.heading == heading]
    assert asked or heading.startswith(("Exosome", "Control"))


@pytest.mark.parametrize(
    "heading",
    [
        "SMD (exosome - control)",
        "MD (mm2)",
        "HR (adjusted)",
        "p (two-sided)",
        "P value (t-test)",
        "SMD (Hedges' g)",
        "Exosome mean (day 14)",
        "RR (95% CI)",
    ],
)
def test_words_in_brackets_that_change_nothing_are_taken(heading: str) -> None:
    found = meaning(heading, KNOWN, WORDS)
    assert found.sure
    assert not found.scale


@pytest.mark.parametrize(
    ("headings", "cells"),
    [
        (("log OR", "SE"), (0.9, 0.42)),
        (("ln(OR)", "SE(ln OR)"), (0.9, 0.42)),
        (("logOR", "seLogOR"), (0.9, 0.42)),
        (("OR (log)", "variance"), (0.9, 0.42**2)),
        (("OR", "SE (log OR)"), (math.exp(0.9), 0.42)),
        (("log10 OR", "SE"), (0.9 / math.log(10), 0.42 / math.log(10))),
        (("log OR", "CI low", "CI high"), (0.9, 0.9 - Z * 0.42, 0.9 + Z * 0.42)),
        (("log OR", "CI low", "CI high"), (0.9, math.exp(0.9 - Z * 0.42), math.exp(0.9 + Z * 0.42))),
        (("log OR (95% CI)",), (f"0.9 ({0.9 - Z * 0.42:.9f} to {0.9 + Z * 0.42:.9f})",)),
        (("Effect size (log OR)", "SE"), (0.9, 0.42)),
    ],
)
def test_logarithms_of_a_ratio_become_the_ratio_and_its_interval(
    tmp_path: Path, headings: tuple[str, ...], cells: tuple[object, ...]
) -> None:
    path = table(tmp_path, headings, cells)
    found = numbers(path, "effect", "effect_ci_low", "effect_ci_high")
    assert found == pytest.approx(
        [math.exp(0.9), math.exp(0.9 - Z * 0.42), math.exp(0.9 + Z * 0.42)], rel=1e-7
    )
    effects = read_table(path).effects("OR", orient=False)
    assert [effects.y[0], effects.v[0]] == pytest.approx([0.9, 0.42**2], rel=1e-7)
    assert said(read(path), "on the scale of logarithms")


def test_a_measure_that_is_a_logarithm_in_its_own_column(tmp_path: Path) -> None:
    path = table(tmp_path, ("Effect", "SE", "Measure"), (0.9, 0.42, "lnOR"), (2.0, 0.3, "SMD"))
    tables = read(path)
    assert [float(row[0]) for row in values(tables, "effect")] == pytest.approx([math.exp(0.9), 2.0])
    assert values(tables, "effect_measure") == [("odds_ratio",), ("standardised_mean_difference",)]


def test_the_se_of_a_ratio_is_asked_about(tmp_path: Path) -> None:
    (problem,) = read(table(tmp_path, ("OR", "SE"), (2.46, 0.42))).raws["outcomes"].problems
    assert 'name the heading "SE (log)"' in problem.remedy
    assert problems(read(table(tmp_path, ("OR", "SE (log)"), (2.46, 0.42)))) == []


@pytest.mark.parametrize(
    ("headings", "cells"),
    [
        (("SMD (99% CI)",), ("1.56 (0.09 to 3.03)",)),
        (("SMD", "CI low (99%)", "CI high (99%)"), (1.56, 0.09, 3.03)),
        (("Hedges g", "99% CI"), (1.56, "0.09 to 3.03")),
        (("SMD", "Lower limit (99% CI)", "Upper limit (99% CI)"), (1.56, 0.09, 3.03)),
    ],
)
def test_an_interval_of_another_level_keeps_its_standard_error(
    tmp_path: Path, headings: tuple[str, ...], cells: tuple[object, ...]
) -> None:
    path = table(tmp_path, headings, cells)
    effects = read_table(path).effects("SMD", orient=False)
    assert math.sqrt(effects.v[0]) == pytest.approx(2.94 / (2 * 2.5758293), rel=1e-6)
    assert said(read(path), "turned into those of 95 %")


def test_an_interval_of_90_per_cent_of_a_ratio_and_of_a_mean(tmp_path: Path) -> None:
    effects = read_table(table(tmp_path, ("OR (90% CI)",), ("1.5 (0.8-2.8)",))).effects("OR", orient=False)
    assert effects.v[0] == pytest.approx((math.log(2.8 / 0.8) / (2 * 1.6448536)) ** 2, rel=1e-6)
    arms = ("Exosome mean (90% CI)", "Exosome n", "Control mean", "Control SD", "Control n")
    effects = read_table(table(tmp_path, arms, ("5.0 (4.1 to 5.9)", 10, 4.0, 1.5, 10))).effects(
        "MD", orient=False
    )
    sd = 0.9 / 1.8331129 * math.sqrt(10)
    assert effects.v[0] == pytest.approx((sd**2 + 1.5**2) / 10, rel=1e-6)


def test_a_one_sided_p_is_doubled_and_one_above_half_is_asked_about(tmp_path: Path) -> None:
    heads = ("Exosome mean", "Exosome n", "Control mean", "Control n")
    one = table(tmp_path, (*heads, "p (one-sided)"), (78.2, 8, 61.5, 8, 0.003))
    assert values(read(one), "p_value", "p_relation") == [("0.006", "=")]
    assert said(read(one), "1 cell of 'p (one-sided)' was doubled")
    y = read_table(one).effects("SMD", orient=False).y[0]
    assert y == pytest.approx(1.53, abs=0.005)
    bound = table(tmp_path, (*heads, "one-tailed p"), (78.2, 8, 61.5, 8, "<0.03"))
    assert values(read(bound), "p_value", "p_relation") == [("0.06", "<")]
    above = table(tmp_path, (*heads, "p (one-sided)"), (78.2, 8, 61.5, 8, 0.9))
    assert problems(read(above)) == [("UnclearCellError", "F2")]


@pytest.mark.parametrize(
    ("headings", "cells"),
    [
        (("RD (%)", "CI low", "CI high"), (12, 2, 22)),
        (("RD (%) (95% CI)",), ("12 (2 to 22)",)),
        (("RD", "CI low", "CI high"), ("12%", "2%", "22%")),
    ],
)
def test_a_risk_difference_in_per_cent_is_a_fraction(
    tmp_path: Path, headings: tuple[str, ...], cells: tuple[object, ...]
) -> None:
    path = table(tmp_path, headings, cells)
    assert numbers(path, "effect", "effect_ci_low", "effect_ci_high") == pytest.approx([0.12, 0.02, 0.22])
    assert said(read(path), "divided by 100")


def test_a_risk_difference_above_one_is_refused(tmp_path: Path) -> None:
    (problem,) = read(table(tmp_path, ("RD", "SE"), (12, 5))).raws["outcomes"].problems
    assert problem.what == "the risk difference is 12: it lies between -1 and 1"


def test_cohens_d_becomes_hedges_g_where_n_is_there(tmp_path: Path) -> None:
    path = table(tmp_path, ("Cohen's d", "SE", "Exosome n", "Control n"), (1.56, 0.57, 8, 8))
    factor = math.gamma(7) / (math.sqrt(7) * math.gamma(6.5))
    assert numbers(path, "effect", "effect_se") == pytest.approx([1.56 * factor, 0.57 * factor], rel=1e-9)
    without = table(tmp_path, ("Cohen's d", "SE"), (1.56, 0.57))
    assert numbers(without, "effect") == [1.56]
    assert said(read(without), "taken as Hedges' g")


@pytest.mark.parametrize(
    ("headings", "cells", "expected"),
    [
        (("g", "LL", "UL"), (1.56, 0.44, 2.68), ("1.56", "", "0.44", "2.68")),
        (("d", "variance"), (1.56, 0.25), ("1.56", "0.5", "", "")),
        (("SMD", "SE of SMD"), (1.56, 0.5), ("1.56", "0.5", "", "")),
        (("OR", "OR CI low", "OR CI high"), (1.5, 0.8, 2.8), ("1.5", "", "0.8", "2.8")),
    ],
)
def test_columns_beside_an_effect_are_its_own(
    tmp_path: Path, headings: tuple[str, ...], cells: tuple[object, ...], expected: tuple[str, ...]
) -> None:
    tables = read(table(tmp_path, headings, cells))
    assert problems(tables) == []
    assert values(tables, *EFFECT) == [expected]


def test_t_and_f_give_an_effect(tmp_path: Path) -> None:
    t = table(tmp_path, ("Exo n", "Control n", "t"), (8, 8, 3.3))
    factor = math.gamma(7) / (math.sqrt(7) * math.gamma(6.5))
    assert read_table(t).effects("SMD", orient=False).y[0] == pytest.approx(3.3 * math.sqrt(2 / 8) * factor)
    heads = ("Exo mean", "Exo n", "Control mean", "Control n")
    for heading in ("F", "F value"):
        f = table(tmp_path, (*heads, heading), (78.2, 8, 61.5, 8, 10.9))
        with pytest.warns(UserWarning, match="an F of the two arms alone"):
            y = read_table(f).effects("SMD", orient=False).y[0]
        assert y == pytest.approx(math.sqrt(10.9) * math.sqrt(2 / 8) * factor)
    beside = table(tmp_path, (*heads, "t value", "p"), (78.2, 10, 61.5, 10, 2.5, 0.5))
    with pytest.warns(PValueMismatchWarning, match="the printed t gives a p of"):
        sheets = read_table(beside)
    assert sheets.effects("SMD", orient=False).y[0] > 1


def test_a_size_in_a_heading_is_that_of_every_row(tmp_path: Path) -> None:
    heads = ("Exosome mean ± SD (n = 8)", "Control mean ± SD (n = 9)")
    tables = read(table(tmp_path, heads, ("78.2 ± 9.1", "61.5 ± 11.0"), ("81 ± 10", "66 ± 9")))
    assert problems(tables) == []
    assert values(tables, "treatment_n", "control_n") == [("8", "9")] * 2
    assert said(tables, "'(n = 8)' in the heading 'Exosome mean ± SD (n = 8)' was taken as the size")


def test_cells_that_say_per_group_settle_a_size_without_an_arm(tmp_path: Path) -> None:
    heads = ("Sample size", "Exosome mean", "Exosome SD", "Control mean", "Control SD")
    tables = read(table(tmp_path, heads, ("8 per group", 78.2, 9.1, 61.5, 11)))
    assert problems(tables) == []
    assert values(tables, "treatment_n", "control_n") == [("8", "8")]


@pytest.mark.parametrize(
    ("words", "unit"),
    [("(log10)", "log10"), ("(ln)", "ln"), ("change from baseline", "change from baseline")],
)
def test_logarithms_and_changes_give_no_ratio_of_means(tmp_path: Path, words: str, unit: str) -> None:
    heads = [f"{arm} {part} {words}" for arm in ("Exosome", "Control") for part in ("mean", "SD")]
    path = table(tmp_path, (*heads, "Exosome n", "Control n"), (5.2, 0.3, 4.1, 0.4, 8, 8))
    asked = read(path).raws["outcomes"].problems
    assert [problem.heading for problem in asked] == heads
    columns = read_map(problem.remedy.split('"')[1] for problem in asked)
    sheets = read_table(path, columns=columns)
    assert list(sheets.outcomes["unit"]) == [unit]
    assert sheets.effects("MD", orient=False).y[0] == pytest.approx(1.1)
    with pytest.raises(TooFewStudiesError, match="divides by a mean, and these have no true zero"):
        sheets.effects("ROM", orient=False)


def test_a_logarithm_of_what_has_none_is_asked_about(tmp_path: Path) -> None:
    (problem,) = read(table(tmp_path, ("SMD", "SE (log)"), (1.2, 0.3))).raws["outcomes"].problems
    assert "a heading says logarithm" in problem.what


def test_what_stands_beside_an_effect_that_is_asked_about_is_not_asked_about_too(tmp_path: Path) -> None:
    (problem,) = read(table(tmp_path, ("lnRR", "SE"), (0.4, 0.1))).raws["outcomes"].problems
    assert '"log response ratio"' in problem.remedy
    tables = read(table(tmp_path, ("SMD ± SE",), ("1.5 ± 0.3",)))
    assert values(tables, "effect", "effect_se") == [("1.5", "0.3")]
