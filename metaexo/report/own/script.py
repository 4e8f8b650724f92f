"""The script that makes the numbers of a report again, ready to be read and changed."""

from __future__ import annotations

from collections.abc import Mapping

from metaexo.ledger import versions
from metaexo.report.own.asked import CORRELATION, DRAWS, PERMUTATIONS, SEED
from metaexo.report.own.other import pairs_of, selections
from metaexo.report.own.questions import Questions

HEAD = '''"""Make the numbers of the report again: python analysis.py writes them to the folder "numbers".

Written by metaexo {version}. It reads the same file and takes the same choices; change what you like.
"""

import warnings
from pathlib import Path

import pandas as pd

import metaexo as mx

warnings.simplefilter("ignore", mx.errors.MetaexoWarning)  # the report says what they warn of
FILE = {path!r}
MEASURE, METHOD, TEST, LEVEL = {measure!r}, {method!r}, {test!r}, {level!r}
BY = {by!r}
QUESTIONS = {{  # name: which rows, and whether effects are turned so that positive means benefit
{questions}
}}


def one_row_each(es):
    """Average the effects of one study that have the same levels of all factors."""
    levels = [es.column(name).fillna("not reported") for name in BY]
    cells = [" | ".join(map(str, row)) for row in zip(es.study, *levels)]
    if len(set(cells)) == len(cells):
        return es
    rows = mx.aggregate(es.with_columns(study=cells), correlation={correlation!r})
    return rows.with_columns(study=rows.column("study_name").tolist())


def pooled(rows, method=METHOD, test=TEST):
    """Pool with random effects; intervals are robust where a study has several rows."""
    fit = mx.RandomEffects(rows, dependence="accept").fit(method, test, LEVEL)
    return fit.robust("study") if rows.m < rows.k else fit


sheets = {read}
tables = {{}}
for name, (where, turned) in QUESTIONS.items():
    es = sheets.effects(MEASURE, where, orient=turned{better})
    rows = one_row_each(es)
    tables[name + "characteristics"] = es.to_frame()[["label", "y", "v"]]
'''


def script_of(
    questions: Questions, path: str, columns: Mapping[str, str] | None, sheet: str | None, folder: bool
) -> str:
    """Return the script that makes the numbers of these questions.

    path: the file or folder that was read. columns, sheet: how it was read. folder: whether it is a folder.
    """
    asked = questions.asked
    read = f"mx.read_sheets({'FILE'})" if folder else f"mx.read_table(FILE{_how(columns, sheet)})"
    rows = [
        f"    {part.called('')!r}: ({where!r}, {part.every.oriented}),"
        for part, where in zip(questions.parts, questions.conditions, strict=True)
    ]
    head = HEAD.format(
        version=versions()["metaexo"], path=path, measure=asked.known_measure.code, method=asked.method,
        test=asked.test, level=asked.level, by=list(asked.by), questions="\n".join(rows),
        correlation=CORRELATION,
        read=read, better="" if asked.better is None else f", better={asked.better!r}",
    )  # fmt: skip
    return "\n".join([head.rstrip("\n"), *_numbers(questions), *_end(), ""])


def _how(columns: Mapping[str, str] | None, sheet: str | None) -> str:
    """Return the further arguments of reading a table."""
    given = f", columns={dict(columns)!r}" if columns else ""
    return given + (f", sheet={sheet!r}" if sheet else "")


def _numbers(questions: Questions) -> list[str]:
    """Return the lines that make the tables, those that some question has."""
    parts, asked = questions.parts, questions.asked
    lines = []
    if asked.by:
        lines += [
            "    for factor in BY:",
            "        strata = mx.stratify(rows, factor, method=METHOD, test=TEST, level=LEVEL)",
            '        tables[name + "by_" + factor] = strata.to_frame()',
            "        if strata.between is not None:",
            f"            tests = strata.between_tests({SEED}, {PERMUTATIONS})",
            '            tables[name + "tests_by_" + factor] = tests.to_frame()',
        ]
    if not any(part.fit is not None for part in parts):
        return lines
    if any(part.fit is None for part in parts):
        lines += ["    if rows.m < 2:", "        continue"]
    lines += [
        "    fit = pooled(rows)",
        '    tables[name + "pooled"] = fit.predict(scale="measure")',
        '    tables[name + "heterogeneity"] = fit.heterogeneity()',
    ]
    if any(part.attribution is not None for part in parts):
        method = "'REML'" if asked.method == "EE" else "METHOD"
        lines += [
            "    found = mx.attribute_heterogeneity(",
            f"        rows, BY, draws={DRAWS}, permutations={PERMUTATIONS}, seed={SEED}, level=LEVEL, "
            f"method={method},",
            "    )",
            '    tables[name + "attribution"] = found.to_frame()',
        ]
    if any(part.small_studies is not None for part in parts):
        lines += ["    if rows.k >= 10:", "        found = mx.bias.regression_test(rows, level=LEVEL)",
                  '        tables[name + "small_studies"] = found.to_frame()']  # fmt: skip
    if any(part.left_out is not None for part in parts):
        lines += [
            "    if rows.m > 2:",
            '        found = mx.sensitivity.leave_one_out(fit, "study")',
            '        tables[name + "leave_one_out"] = found.to_frame().reset_index(names="left_out")',
        ]
    return [*lines, *_others(questions)]


def _others(questions: Questions) -> list[str]:
    """Return the lines of other defensible analyses, in the order of their table."""
    asked, parts = questions.asked, questions.parts
    words = dict.fromkeys(word for part in parts for word in selections(part.every))
    lines = [
        "    others = [(rows, method, test) for method, test in (",
        *(f"        ({method!r}, {test!r})," for method, test in pairs_of(asked)),
        "    )]",
    ]
    for word in words:
        if word in SELECTED:
            lines += [
                f"    kept = {SELECTED[word]}  # {word}",
                "    if any(kept) and not all(kept):",
                "        others.append((one_row_each(es.select(kept)), METHOD, TEST))",
            ]
    lines += [
        "    found = [pooled(one, method, test).pooled() for one, method, test in others]",
    ]
    if any(part.averaged for part in parts):
        lines += [
            "    if rows.k < es.k:",
            '        multilevel = mx.Multilevel(es, "study/effect").fit(level=LEVEL).robust("study")',
            f"        found.insert({len(pairs_of(asked))}, multilevel.pooled())",
        ]
    return [*lines, '    tables[name + "sensitivity"] = pd.DataFrame(found)']


SELECTED = {
    "without doubtful rows": '[use != "doubtful" for use in es.column("use")]',
    "without rows that rest on an assumption": '[one.how != "assumed" for one in es.derived]',
    "without converted rows": '[one.how == "reported" for one in es.derived]',
}
"""Rows of other analyses -> how the script selects them."""


def _end() -> list[str]:
    """Return the last lines: the tables are written."""
    return [
        "",
        'folder = Path("numbers")',
        "folder.mkdir(exist_ok=True)",
        "for name, table in tables.items():",
        '    table.to_csv(folder / f"{name}.csv", index=False)',
        '    print(f"numbers/{name}.csv: {len(table)} rows")',
    ]
