"""
Which isolation method gives the most repeatable preparations?
==============================================================

Log coefficients of variation, corrected for the bias of small samples, separately for each level of
repetition: readings of one preparation, preparations of one material, batches, laboratories, and material of
different donors, where biology differs as well. Variation between readings says nothing about variation
between preparations, so no model mixes levels, and an SD between units that are not reported is not used.
Repositories of one owner are one laboratory. Two methods on the same material are also compared within
a study, by the ratio of their coefficients of variation.
"""

import warnings

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, plural

METHODS = "contrast == 'method_a_vs_method_b' and use != 'apart'"
COLUMNS = [
    "line",
    "study_id",
    "study_name",
    "laboratory",
    "source",
    "isolation",
    "repetition",
    "size_nm",
    "size_sd",
]
SHOWN = [
    "line",
    "study_id",
    "study_name",
    "outcome_family",
    "outcome_label",
    "treatment_label",
    "control_label",
]
APART = "set apart, in no model"
REPEATED = {
    "reading": "readings",
    "preparation": "preparations",
    "batch": "batches",
    "laboratory": "laboratories",
    "donor": "donors",
    "not_reported": "units not reported",
}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)

    # Variation of vesicle size: every preparation with a mean, an SD and the number of replicates.
    every = sizes(sheets)
    used = every.select((every.column("use") != "apart").to_numpy(), "set apart by the sheet")
    analysis.write_table("counts", counts(sheets.preparations, used))
    analysis.write_table(
        "sizes", with_intervals(every)[[*COLUMNS, "n_replicates", "cv", "low", "high", "use"]]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DependentEffectsWarning)
        found = mx.repeatability(used, cluster="laboratory", test="knapp-hartung-adhoc")
    analysis.write_table("methods", found.to_frame())
    title = "Coefficient of variation of vesicle size, by what was repeated and isolation method"
    analysis.write_figure("sizes", draw_sizes(every, title), title=title)

    # Two methods on the same material: the donors are the same, so the ratio is that of the methods.
    pairs = ratios(sheets)
    table = with_intervals(pairs)
    analysis.write_table("ratios", table[[*SHOWN, "repetition", "paired", "cv", "low", "high", "use"]])
    title = "Isolation methods on the same donors: ratio of coefficients of variation, by outcome"
    analysis.write_figure("ratios", draw_ratios(table, title), title=title)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DependentEffectsWarning)
        by_family = {
            family: mx.repeatability(part, by="method_pair", test="knapp-hartung-adhoc")
            for (family,), part in independent(pairs).items()
        }
    for paragraph in statement(sheets.preparations, used, found, pairs, by_family):
        analysis.write_summary(paragraph)


def sizes(sheets):
    """Return log coefficients of variation of vesicle size, with the laboratory of each."""
    found = sheets.effects("CVLN", sheet="preparations")
    return found.with_columns(laboratory=evidence.laboratories(found.data).tolist())


def ratios(sheets):
    """Return log ratios of coefficients of variation of two methods, not turned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        return sheets.effects("CVR", where=METHODS, assumed_correlation=0.5, orient=False)


def independent(es):
    """Return the ratios of each outcome family: one per study and pair of methods, the first in the sheet."""
    return {
        key: mx.one_per_study(part, "method_pair") for key, part in mx.split(es, "outcome_family").items()
    }


def with_intervals(es):
    """Return the table of the effects, back on their scale, with intervals."""
    low, high = np.exp(es.conf_int().to_numpy()).T
    return es.data.assign(cv=np.exp(es.y), low=low, high=high)


def counts(preparations, used):
    """Return how many preparations there are at each level of repetition, and how many have an SD."""
    taken = preparations["line"].isin(used.column("line")) & (preparations["use"] != "apart")
    whose = evidence.laboratories(preparations)
    rows = []
    for level in REPEATED:
        here = preparations["repetition"] == level
        names = whose[here & taken].nunique()
        rows.append(
            (level, mx.heterogeneity.REPETITIONS.get(level, ""), here.sum(), (here & taken).sum(), names)
        )
    columns = ["repetition", "what", "preparations", "with_a_spread", "laboratories"]
    return pd.DataFrame(rows, columns=columns)


def draw_sizes(es, title):
    table = with_intervals(es)
    table["apart"] = table["use"] == "apart"
    order = [name for name in REPEATED if (table["repetition"] == name).any()]
    return mx.plots.interval_strip(
        table,
        "cv",
        ["repetition", "isolation"],
        low="low",
        high="high",
        by="laboratory",
        hollow="apart",
        study="laboratory",
        study_title="Laboratories",
        head_order=order,
        row_title="What was repeated / method",
        wording={"apart": APART, **{name: f"Over {words}" for name, words in REPEATED.items()}},
        axis_label="Coefficient of variation of size",
        notes=[
            "Bars: 95% intervals. Colours: laboratories.",
            "Levels of repetition are never compared with each other.",
        ],
        title=title,
    )


def draw_ratios(table, title):
    table = table.assign(methods=table["treatment_label"] + " / " + table["control_label"])
    table["n"] = table["treatment_n"].astype(int)
    return mx.plots.interval_strip(
        table,
        "cv",
        ["outcome_label", "methods"],
        low="low",
        high="high",
        by="study_name",
        reference=1.0,
        cells={"n": "Donors"},
        row_title="Outcome / methods",
        axis_label="Ratio of coefficients of variation",
        notes=["Bars: 95% intervals. Below 1: the first method is less variable over the same donors."],
        title=title,
    )


def statement(preparations, used, found, pairs, by_family):
    """Return what can be said of repeatability, in words."""
    levels = used.column("repetition").value_counts()
    over = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in levels.items())
    lacking = ", ".join(name for name in ("reading", "preparation", "laboratory") if name not in levels)
    low, high = float(np.exp(pairs.y.min())), float(np.exp(pairs.y.max()))
    ends = pairs.conf_int()
    clear = ((ends["low"] > 0) | (ends["high"] < 0)).sum()
    pooled = [
        f"{family}, {row.method_pair}: {number(row.value)} ({interval(row.low, row.high)})"
        for family, result in by_family.items()
        for row in result.to_frame().dropna(subset="tau").itertuples()
    ]
    verdicts = "\n".join(f"- {found.verdict(level)}." for level in mx.heterogeneity.REPETITIONS)
    return [
        f"{used.k} of {len(preparations)} preparations have a mean size with an SD and the number of "
        f"replicates, and are not set apart. What was repeated: {over}. Repeatability of an isolation is the "
        f"variation between preparations of one material; reported by no study: {lacking or 'nothing'}.",
        f"**Vesicle size, by what was repeated**\n\n{verdicts}",
        f"**Two methods on the same donors.** {plural(pairs.k, 'ratio')} of coefficients of variation, of "
        f"{plural(pairs.m, 'study', 'studies')}, from {number(low)} to {number(high)}; {clear} of these have "
        "an interval that excludes 1, without adjustment for multiplicity. Pairs of methods with two "
        "independent "
        f"studies of one outcome family: {'; '.join(pooled) or 'none'}.",
        "What this does not show: how repeatable an isolation method is where only variation between "
        "donors is known, which combines biology and preparation. In a ratio of two methods on the same "
        "donors "
        "the biology is the same, but each method may enlarge or reduce differences between donors.",
    ]


if __name__ == "__main__":
    report.run_alone(main)
