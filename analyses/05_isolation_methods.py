"""
How do isolation methods compare on the same material?
======================================================

Log ratios of means of one isolation method over another, within papers: particle yield, purity, protein, size
and what else was measured. A ratio above 1 means more with the first method, whether that is good or not. A
pooled value is given only where two or more independent studies compare the same two methods on the same
family of outcomes with an interval each; elsewhere the table says in words what there is.
"""

import warnings

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, plural

METHODS = "contrast == 'method_a_vs_method_b' and use != 'apart'"
PAIR = ["outcome_family", "method_pair"]
CORRELATIONS = (0.25, 0.5, 0.75)
FEW_SES = 3.0
NOT_POOLED = "fewer than two studies with an interval: not pooled"
NOT_ASKED = {
    "method_a_vs_method_b": "set apart by the sheet: repeat readings, or a review's table",
    "source_a_vs_source_b": "compares sources",
    "donor_pool_a_vs_donor_pool_b": "compares donor pools",
    "variant_a_vs_variant_b": "compares variants of one method",
    "single_arm": "one arm only",
    "exosome_vs_control": "exosomes against a control",
    "post_vs_pre": "before and after treatment",
    "other": "another comparison",
}
SHORT = {"UC": "ultracentrifugation (UC)"}
LABELS = ["outcome_label", "unit", "treatment_label", "control_label"]
COLUMNS = ["line", "study_id", "study_name", *PAIR, *LABELS, "use", "caution"]


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    sheet = sheets.outcomes

    # Contrasts with an interval: means, SDs and n in both arms. The three pools of one study are paired and
    # their correlation is not printed; the pairing of the other study is not known. Both are marked.
    es = contrasts(sheets)
    ledger = evidence.ledger_table(
        es.ledger, sheet, dict(zip(sheet["line"], sheet["contrast"].map(NOT_ASKED), strict=True))
    )
    analysis.write_table("ledger", evidence.count_reasons(ledger, ["contrast"]))

    # Every contrast of two methods with what it gives: a ratio with an interval, a ratio alone, or words.
    asked = ledger[(ledger["contrast"] == "method_a_vs_method_b") & (ledger["use"] != "apart")]
    ratios = asked[COLUMNS].join(printed_ratios(asked)).merge(intervals(es), on="line", how="left")
    ratios["reason_without_interval"] = asked["reason"].to_numpy()
    analysis.write_table("contrasts", ratios)

    # Pairs of methods: pooled where two or more independent studies have an interval, in words elsewhere.
    parts = mx.split(es, PAIR)
    rows = [pair_row(names, group, parts.get(names)) for names, group in ratios.groupby(PAIR)]
    pairs = pd.DataFrame(rows)
    analysis.write_table("pairs", pairs)

    # The assumed correlation of paired pools changes the intervals, not the ratios.
    tables = [intervals(contrasts(sheets, r)).assign(assumed_correlation=r) for r in CORRELATIONS]
    choices = pd.concat(tables).sort_values("line", kind="stable")
    paired = es.column("line")[es.column("paired") == "yes"]
    analysis.write_table("correlations", choices[choices["line"].isin(paired)])

    # Single contrasts, under their studies.
    against = es.column("control_label").unique()
    one = SHORT.get(against[0], against[0]) if len(against) == 1 else ""
    title = f"Isolation methods against {one or 'each other'} on the same material: ratios of means"
    analysis.write_figure("contrasts", forest(es, title, one), title=title)
    summarise(analysis, es, pairs, ratios)


def forest(es, title, one):
    """Return the contrasts drawn; what all of them are compared with is said once, in the title."""
    columns = [mx.plots.Column("treatment_label", "Method", letters=32)]
    if not one:
        columns.append(mx.plots.Column("control_label", "Against"))
    return mx.plots.forest(
        es.with_labels(es.column("outcome_label").tolist()),
        by="study_name",
        columns=columns,
        label_title="Outcome",
        remark="use",
        wording={"main": ""},
        favours=("← less", "more →"),
        notes=["Contrasts of one study share the arm that they are compared with."],
        title=title,
    )


def contrasts(sheets, correlation=0.5):
    """Return log ratios of means, not turned: a larger vesicle is no benefit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        return sheets.effects("ROM", where=METHODS, assumed_correlation=correlation, orient=False)


def intervals(es):
    """Return log ratios with their intervals as ratios, and how far the weaker mean is from zero."""
    ratios = np.exp(es.conf_int().to_numpy())
    arms = [
        es.column(f"{arm}_mean") / es.column(f"{arm}_sd") * np.sqrt(es.column(f"{arm}_n"))
        for arm in ("treatment", "control")
    ]
    return pd.DataFrame(
        {
            "line": es.column("line"),
            "log_ratio": es.y,
            "se": np.sqrt(es.v),
            "ci_low": ratios[:, 0],
            "ci_high": ratios[:, 1],
            "how": [mark.how for mark in es.derived],
            "assumption": [mark.note for mark in es.derived],
            "smallest_mean_over_se": np.minimum(*arms),
        }
    )


def printed_ratios(rows):
    """Return the ratio of the printed means, or the range of ratios that is printed instead."""
    base = rows["control_mean"].where(rows["control_mean"] > 0)
    found = pd.DataFrame({"ratio": rows["treatment_mean"] / base}, index=rows.index)
    for end, bound in (("lowest", "treatment_min"), ("highest", "treatment_max")):
        printed = np.where(rows["effect_measure"] == "log10_ratio", 10.0 ** rows[bound], rows[bound] / base)
        found[f"{end}_ratio"] = found["ratio"].fillna(pd.Series(printed, index=rows.index))
    return found


def pair_row(names, group, part):
    """Return what is known of one pair of methods and one family of outcomes."""
    ratios = group.dropna(subset=["lowest_ratio", "highest_ratio"], how="all")
    row = {
        **dict(zip(PAIR, names, strict=True)),
        "contrasts": len(group),
        "studies": group["study_id"].nunique(),
        "studies_with_a_ratio": ratios["study_id"].nunique(),
        "studies_with_an_interval": 0 if part is None else part.m,
        "lowest_ratio": ratios["lowest_ratio"].min(),
        "highest_ratio": ratios["highest_ratio"].max(),
    }
    if part is None or part.m < 2:
        return row | {
            "pooled_ratio": np.nan,
            "low": np.nan,
            "high": np.nan,
            "tau": np.nan,
            "words": NOT_POOLED,
        }
    fit = mx.RandomEffects(mx.one_per_study(part)).fit()
    pooled = np.exp([fit.estimate, fit.pooled().low, fit.pooled().high])
    numbers = dict(zip(("pooled_ratio", "low", "high"), pooled, strict=True))
    return row | numbers | {"tau": fit.tau, "words": report.pooled_in_words(mx.one_per_study(part), "ratio")}


def summarise(analysis, es, pairs, ratios):
    pooled = pairs[pairs["studies_with_an_interval"] > 1]
    analysis.write_summary(
        f"{len(ratios)} rows compare two isolation methods on the same material; {es.k} of them, of "
        f"{plural(es.m, 'study', 'studies')}, give a log ratio with an interval. Of {len(pairs)} pairs of "
        f"methods and families of outcomes, {len(pooled)} have an interval from two or more independent "
        f"studies. Pooled: {'; '.join(map(pair_in_words, pooled.to_dict('records'))) or 'nothing'}."
    )
    lines = [family_in_words(names[0], part) for names, part in mx.split(es, "outcome_family").items()]
    analysis.write_summary("**Single contrasts**, ratios of means:\n\n" + "\n".join(lines))
    alone = pairs[(pairs["studies_with_a_ratio"] > 1) & (pairs["studies_with_an_interval"] < 2)]
    rough = (ratios["smallest_mean_over_se"] < FEW_SES).sum()
    few = (es.column("treatment_n") <= 3).sum()
    analysis.write_summary(
        "What this does not show. Pairs with a ratio from two or more studies, but an interval from one at "
        f"most: {'; '.join(map(pair_in_words, alone.to_dict('records'))) or 'none'}. A ratio without an SD "
        f"has no weight. {rough} of {es.k} intervals are rough, because a mean lies less than {FEW_SES:g} "
        f"SE from zero, and {few} rest on three samples per arm or fewer. Material, laboratory and method "
        "change together between studies, so methods are compared within a study only."
    )


def pair_in_words(row):
    name = f"{row['outcome_family']}, {row['method_pair'][0].lower() + row['method_pair'][1:]}"
    if row["studies_with_an_interval"] > 1:
        return f"{name}: {row['words']}"
    ends = interval(row["lowest_ratio"], row["highest_ratio"], 1)
    return f"{name}: {row['studies_with_a_ratio']} studies, {ends}"


def family_in_words(family, part):
    ends = interval(float(np.exp(part.y.min())), float(np.exp(part.y.max())))
    doubtful = " (doubtful by the sheet)" if (part.column("use") == "doubtful").all() else ""
    counts = f"{plural(part.k, 'contrast')} of {plural(part.m, 'study', 'studies')}"
    return f"- {family}: {counts}, {ends}{doubtful}."


if __name__ == "__main__":
    report.run_alone(main)
