"""A report with made-up words and real figures, for tests of the page, the document and the files."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.report.content import Cell, Listing, Report, ReportFigure, ReportTable, Section, Trace, Words

# Texts that break what is put together without care.
HOSTILE = (
    "<script>document.title='hit'</script>",
    "]]><img src=x onerror=\"document.title='hit'\">",
    "\"'><a href='javascript:alert(1)'>Li & Cho</a>",
    '=HYPERLINK("http://example.org";"x")',
    "@SUM(A1)+cmd|' /C calc'!A0",
    "-2 \u202eabc\u202c \x07\x1b[31m",
    "{{ 7 * 7 }} {% raw %} ${7*7} `x`",
    "$\\frac{a}{b}$ \\input{x} **bold** [l](javascript:alert(1))",
    "Ωμέγα 外泌体 🧪 שלום",
    "x" * 500,
)


@lru_cache(maxsize=4)
def report(studies: int = 12, hostile: bool = False) -> Report:
    """Return a report on so many studies; with names that try to break the page, if asked."""
    rng = np.random.default_rng(1)
    names = [
        f"{('Li', 'Cho', 'Zhang', 'Okafor')[i % 4]} {2010 + i % 15}, cohort {i + 1}" for i in range(studies)
    ]
    if hostile:
        names[: len(HOSTILE)] = HOSTILE[:studies]
    y, v = rng.normal(0.5, 0.4, studies), rng.uniform(0.02, 0.2, studies)
    effects = mx.EffectSizes(y, v, labels=names)
    fit = mx.RandomEffects(effects).fit()
    title = names[0] if hostile else "Exosomes against control: infarct size in rodents"
    frame = pd.DataFrame(
        {
            "study": names,
            "year": 2010 + np.arange(studies) % 15,
            "source": np.where(np.arange(studies) % 3 == 0, "MSC", "ADSC, passage 3"),
            "isolation": np.where(np.arange(studies) % 2 == 0, "ultracentrifugation", None),
            "y": y,
            "se": np.sqrt(v),
            "p": rng.uniform(0, 0.2, studies) ** 2,
            "weight": fit.weights if hasattr(fit, "weights") else 1 / v / np.sum(1 / v),
        }
    )
    frame.loc[2, "y"] = np.nan
    headings = {
        "study": "Study", "year": "Year", "source": "Source", "isolation": "Isolation",
        "y": "SMD", "se": "Standard error", "p": "P", "weight": "Weight",
    }  # fmt: skip
    formats = {"year": "d", "y": ".2f", "se": ".3f", "p": "p", "weight": ".1%"}
    traces = tuple(
        Trace(
            f"t{i}",
            name,
            (
                Cell(f"Data!F{i + 2}", "Exosome mean", "12.4"),
                Cell(f"Data!G{i + 2}", "Exosome SD", "3.1" if not hostile else HOSTILE[i % len(HOSTILE)]),
                Cell(f"Data!H{i + 2}", "Control mean", "18.0"),
            ),
            (
                "Standard deviation from the standard error: SD = SE × √n = 3.1",
                "Standardized mean difference with Hedges' correction (doi:10.3102/10769986006002107)",
                f"Effect and sampling variance\n  y = {y[i]:.3f}\n    = <b>y</b>\n  v = {v[i]:.4f}",
            ),
        )
        for i, name in enumerate(names)
    )
    table = ReportTable(
        "effects", "Effects of the studies" if not hostile else HOSTILE[1], frame, headings, formats,
        tuple(one.name for one in traces), ("SMD: standardized mean difference.",),
    )  # fmt: skip
    wide = pd.DataFrame({"study": names} | {f"c{j}": rng.normal(size=studies) for j in range(12)})
    many = {"study": "Study"} | {f"c{j}": f"Characteristic {j + 1}" for j in range(12)}
    blocks = (
        Words("The pooled effect over all studies, and how far the studies vary around it."),
        Words("Only two studies used this isolation method.", "caution"),
        table,
        ReportFigure(
            "forest",
            "Effects by study",
            "Forest plot of all effects.",
            mx.plots.forest(fit).figure,
            ("Squares: weights.",),
        ),
        ReportFigure(
            "funnel", "Effects and their precision", "Funnel plot, symmetric.", mx.plots.funnel(fit).figure
        ),
    )
    return Report(
        title,
        "infarct.xlsx, sheet Data" if not hostile else HOSTILE[2],
        (
            "Exosomes reduced infarct size: SMD −1.43 (95% CI −1.90 to −0.96; 12 studies).",
            "Effects varied between studies (τ = 0.61; 95% prediction interval −2.80 to −0.06).",
            "Neither source nor isolation method explained the variation.",
        ),
        (
            Section("effects", "Effects", blocks),
            Section(
                "studies",
                "Study characteristics",
                (
                    ReportTable(
                        "studies", "Characteristics", wide, many, dict.fromkeys(list(many)[1:], ".2f")
                    ),
                ),
            ),
            Section(
                "left_out",
                "What was left out",
                (
                    Listing(
                        ("Row 7: no standard deviation.", HOSTILE[0])
                        if hostile
                        else ("Row 7: no standard deviation.",)
                    ),
                ),
            ),
            Section(
                "methods", "Methods", (Words("y = Σ wᵢyᵢ / Σ wᵢ", "formula"), Words("Random-effects model."))
            ),
            Section(
                "references",
                "References",
                (
                    Listing(
                        (
                            "Hedges LV (1981). doi:10.3102/10769986006002107.",
                            "See https://example.org/a(b) (and more).",
                        ),
                        ordered=True,
                    ),
                ),
            ),
        ),
        traces,
        'import metaexo as mx\n\nsheets = mx.read_table("infarct.xlsx")\nprint("</script>", sheets)\n',
        {"metaexo": "0.1.0", "File": "infarct.xlsx, SHA-256 0a1b2c", "Measure": "SMD"},
    )


def small() -> Report:
    """Return a report that is quick to write: one table, no figure."""
    table = ReportTable(
        "t", "T", pd.DataFrame({"a": ["x"], "b": [0.123456]}), {"a": "A", "b": "B"}, {"b": ".2f"}
    )
    return Report("Title", "f.csv", ("Answer.",), (Section("s", "S", (table,)),), (), "print(1)\n", {})
