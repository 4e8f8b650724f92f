"""
Do exosome sources differ?
==========================

What vesicles carry, compared between their sources: seven outcomes of miRNA profiles from public sequencing
projects, and proteins from one laboratory that crossed cell lines with isolation methods. Between
laboratories the comparison is observational: within ultracentrifugation, and with source and method in one
model; there the unit is the mean of a laboratory for a source and a method. Within a project all but the
source is the same; each test is made again without each laboratory. Groups of one sample, or with an SD of 0,
have the SD pooled within the groups of their outcome. All p-values are by Holm over the outcomes.
"""

import math
import re
import warnings

import numpy as np
import pandas as pd
from scipy.stats import f, nct, norm, t

import metaexo as mx
from metaexo import errors, report
from metaexo.formatting import markdown_table, number, p_value, percent, plural

SHARE, DIVERSITY = "log10_redcell_share", "ln_effective_mirnas"
BASES = {"ln": math.e, "log10": 10.0, "log2": 2.0}
FIRM, EVERY = "without doubtful rows", "all"
USES = {FIRM: ["main"], EVERY: ["main", "doubtful"]}
METHOD, NOT_REPORTED = "Ultracentrifugation", "Not reported"
SOURCE, STEP, LAB = "source_kind", "isolation_step", "laboratory"
PLACE = [LAB, SOURCE, STEP]
BLOOD = ("Plasma", "Serum")
CELLS = ("Tumour cell line", "Primary cell", "Mesenchymal stromal cell", "Other cell line",
         "Pluripotent or derived cell")  # fmt: skip
LABS, OWN, WIDE = "means of laboratories", "groups of samples with an SD", "laboratories joined more widely"
BOTH, ALL_IN = "blood against cells in one laboratory", "none"
LEAST, ALPHA, SEED, PERMUTATIONS, RATIO, POWER = 3, 0.05, 24, 199, 1.5, 0.8
DIFFERS, SOME, NOT_SHOWN = "differs", "tests disagree", "no difference shown"
MODELS = {"source and method": f"{SOURCE} + {STEP}", "with depth": f"{SOURCE} + {STEP} + depth"}
TESTS = {
    "within projects": "projects", "without one laboratory": "without_one", METHOD.lower(): "sources",
    "by permutation": "permutation", "all methods": "all_methods",
}  # fmt: skip


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    with warnings.catch_warnings():
        # pooled SDs, shared laboratories and tests of few df stand above, in the tables and in the notes
        warnings.simplefilter("ignore", errors.MetaexoWarning)
        groups = cargo(sheets.cargo_groups)
        chosen = {rows: groups[groups["use"].isin(uses)] for rows, uses in USES.items()}
        sets = {
            (rows, o): part
            for rows, every in chosen.items()
            for o, part in every.groupby("outcome", sort=False)
        }
        strata = {key: by_source(means_of(part)) for key, part in sets.items()}
        tests = {key: found.between_tests(SEED, PERMUTATIONS) for key, found in strata.items()}
        crossed = pd.DataFrame([row for key, part in sets.items() for row in crossed_rows(*key, part)])
        projects = pd.concat([within_projects(part).assign(rows=rows) for rows, part in chosen.items()])
        rows = [outcome_row(key, strata[key], tests[key], crossed, projects) for key in sets]
        analysis.write_table("outcomes", with_findings(pd.DataFrame(rows)))
        analysis.write_table("projects", projects)
        analysis.write_table("between", between_table(sets, tests))
        analysis.write_table("crossed", crossed)
        sources = [found.to_frame().assign(rows=rows, outcome=o) for (rows, o), found in strata.items()]
        columns = ["rows", "outcome", SOURCE, "m", "estimate", "df", "low", "high", "tau", "note"]
        analysis.write_table("sources", pd.concat(sources).query("stratum != 'all'")[columns])
        analysis.write_table("within", within_table(groups))
        analysis.write_table("proteins", protein_table(protein_fits(sheets)))
        draw(analysis, strata)
    say(analysis)


# -- the effects -----------------------------------------------------------------------------------------


def cargo(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the groups of samples of a reported source: mean, sampling variance, what they are called."""
    n, own = rows["treatment_n"], (rows["treatment_n"] > 1) & (rows["treatment_sd"] > 0)
    sure = rows[rows["use"] == "main"]
    pooled = mx.effects.pooled_sd(sure["treatment_sd"], sure["treatment_n"], sure["outcome"].tolist())
    sd = rows["treatment_sd"].where(own, rows["outcome"].map(pooled))
    name = rows["outcome_label"].str.replace(r", (ln|log2 CPM|log10 share)$", "", regex=True)
    name = name.map(
        lambda words: words if words[:3] in ("miR", "let") else f"the {words[0].lower()}{words[1:]}"
    )
    found = rows.assign(y=rows["treatment_mean"], v=sd**2 / n, own_sd=own, name=name)
    return found[rows[SOURCE] != NOT_REPORTED]


def effects(groups: pd.DataFrame, study: str = LAB) -> mx.EffectSizes:
    data = groups.reset_index(drop=True)
    return mx.EffectSizes(data["y"], data["v"], "MN", study=data[study].tolist(), data=data)


def means_of(groups: pd.DataFrame, place: list[str] = PLACE) -> pd.DataFrame:
    """Return one mean per place (laboratory, source and method): of its groups, with equal weights."""
    parts = groups.groupby(place, sort=False)
    first = parts[[name for name in ("laboratory_wide", "outcome", "name", LAB) if name not in place]].first()
    y, v, depth = (parts[name].mean() for name in ("y", "v", "ln_total_counts"))
    return first.assign(y=y, v=v / parts.size(), depth=depth).reset_index()


def by_source(groups: pd.DataFrame, cluster: str = LAB) -> mx.heterogeneity.StratifiedResults:
    """Return strata by source within ultracentrifugation, robust to laboratories with several sources."""
    return mx.stratify(effects(groups[groups[STEP] == METHOD], cluster), by=SOURCE, cluster=cluster)


def base_of(outcome: str) -> float:
    return BASES[outcome[: re.match(r"ln|log10|log2", outcome).end()]]


# -- between laboratories ----------------------------------------------------------------------------------


def between_table(sets: dict, tests: dict) -> pd.DataFrame:
    """Return the tests between sources within ultracentrifugation: of laboratories' means, and of groups."""
    table = []
    for (rows, outcome), groups in sets.items():
        bases = {LABS: list(tests[rows, outcome])}
        if rows == FIRM and outcome in (DIVERSITY, SHARE):
            bases[OWN] = list(by_source(groups[groups["own_sd"]]).between_tests(SEED, 19))[:2]
            bases[WIDE] = list(by_source(means_of(groups), "laboratory_wide").between_tests(SEED, 19))[:2]
        for basis, several in bases.items():
            for test in several:
                row = {"rows": rows, "outcome": outcome, "basis": basis, "test": test.name}
                left = {"left_out": ", ".join(test.left_out), "sources": len(test.strata)}
                used = groups[(groups[STEP] == METHOD) & groups[SOURCE].isin(test.strata)]
                used = used[used["own_sd"]] if basis == OWN else used
                table.append(
                    row | left | {"m": used[LAB].nunique(), "statistic": test.statistic, "p": test.pvalue}
                )
    return pd.DataFrame(table)


def crossed_rows(rows: str, outcome: str, groups: pd.DataFrame) -> list[dict]:
    """Return tests of source and method in one model, and with sequencing depth beside them.

    Cells of source and method have three laboratories or more.
    """
    means, found = means_of(groups[groups[STEP] != NOT_REPORTED]), []
    es = effects(means[means.groupby([SOURCE, STEP])[LAB].transform("nunique") >= LEAST])
    about = {"rows": rows, "outcome": outcome, "k": es.k, "m": es.data[LAB].nunique()}
    for model, formula in MODELS.items() if rows == FIRM else [next(iter(MODELS.items()))]:
        fit = mx.RandomEffects(es, formula, redundant="drop").fit().robust(LAB)
        for test in fit.test_terms().to_frame().to_dict("records"):
            of_test = {name: test[name] for name in ("term", "statistic", "df1", "df2")}
            found.append(about | {"model": model} | of_test | {"p": test["pvalue"]})
    return found


def outcome_row(key: tuple[str, str], found, tests, crossed: pd.DataFrame, projects: pd.DataFrame) -> dict:
    """Return the tests of one outcome side by side, blood against cells, and laboratories needed."""
    rows, outcome = key
    parts = [s.effects for s in found.compared if s not in found.small]
    here = crossed[(crossed["rows"] == rows) & (crossed["outcome"] == outcome)]
    terms = here[here["model"] == "source and method"].set_index("term")
    base, data = base_of(outcome), found.effects.data
    two = data.assign(y=found.effects.y, v=found.effects.v, material="")
    for name, kinds in (("blood", BLOOD), ("cells", CELLS)):
        two.loc[two[SOURCE].isin(kinds), "material"] = name
    two = two[two["material"] != ""]
    ratio = base ** np.array(blood_to_cells(two))
    low = without_one(two) if key == (FIRM, SHARE) else math.nan
    df = np.array([part.k - 1 for part in parts])
    sd = math.sqrt(df @ [part.y.var(ddof=1) for part in parts] / df.sum())
    return {
        "rows": rows,
        "outcome": outcome,
        "name": data["name"].iloc[0],
        **one_laboratory(projects[(projects["rows"] == rows) & (projects["outcome"] == outcome)]),
        "k": sum(part.k for part in parts),
        "m": len({name for part in parts for name in part.column(LAB)}),
        "p_sources": tests.formula_without.pvalue,
        "p_permutation": tests.permutation_without.pvalue,
        "m_all_methods": here["m"].iloc[0],
        "p_all_methods": terms.loc[SOURCE, "p"],
        "p_isolation": terms.loc[STEP, "p"],
        **dict(zip(("blood_to_cells", "blood_low", "blood_high"), ratio, strict=True)),
        "blood_without_one": base**low,
        "sd_between_laboratories": sd,
        "ratio_looked_for": RATIO,
        "laboratories_needed": laboratories_needed(math.log(RATIO, base) / sd),
    }


def laboratories_needed(difference):
    """Return how many laboratories per side find a difference, in SDs, by a t test with the stated power."""
    z = norm.ppf(1 - ALPHA / 2) + norm.ppf(POWER)
    n = max(2, math.floor(2 * (z / difference) ** 2))
    while nct.sf(t.ppf(1 - ALPHA / 2, 2 * n - 2), 2 * n - 2, difference * math.sqrt(n / 2)) < POWER:
        n += 1
    return n


def blood_to_cells(two: pd.DataFrame) -> list[float]:
    """Return the difference of blood from cells on the scale of logarithms, with its 95% interval."""
    found = mx.stratify(effects(two), by="material", cluster=LAB).contrast({"blood": 1.0, "cells": -1.0})
    return [float(x) for x in found.to_frame()[["estimate", "low", "high"]].iloc[0]]


def without_one(two: pd.DataFrame) -> float:
    """Return the difference of blood from cells without the laboratory that makes most of it."""
    two = two.assign(is_blood=(two["material"] == "blood").astype(float))
    rest = (effects(two[two[LAB] != lab]) for lab in two[LAB].unique())
    return min(mx.RandomEffects(es, "is_blood").fit().to_frame()["estimate"].iloc[1] for es in rest)


def with_findings(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Add p-values by Holm over the outcomes, and what the tests between laboratories say together."""
    for name in ("sources", "permutation", "all_methods", "isolation"):
        p = outcomes.groupby("rows", sort=False)[f"p_{name}"]
        outcomes[f"holm_{name}"] = p.transform(lambda p: mx.models.adjust_pvalues(p, "holm"))
    seen = (outcomes[["holm_sources", "holm_permutation", "holm_all_methods"]] < ALPHA).sum(axis=1)
    outcomes["finding"] = np.select([seen == 3, seen > 0], [DIFFERS, SOME], NOT_SHOWN)
    outcomes["differ_in_projects"] = outcomes["holm_projects"] < ALPHA
    outcomes["whichever_laboratory"] = (outcomes[["holm_projects", "holm_without_one"]] < ALPHA).all(axis=1)
    return outcomes


# -- within projects and laboratories --------------------------------------------------------------------


def within_projects(groups: pd.DataFrame) -> pd.DataFrame:
    """Return the tests of sources within projects that have two or more by one method.

    With all laboratories, and without each: one can have most of the groups that say how far a source
    differs from itself. Each time p is by Holm over the outcomes.
    """
    project = groups["study_id"] + " / " + groups[STEP]
    groups = groups.assign(project=project, source=project + " / " + groups[SOURCE])
    groups = groups[groups.groupby(["outcome", "project"])[SOURCE].transform("nunique") > 1]
    found = []
    for out in [ALL_IN, *groups[LAB].unique()]:
        parts = groups[groups[LAB] != out].groupby("outcome", sort=False)
        tests = pd.DataFrame([{"outcome": o, "without": out} | test_of_sources(part) for o, part in parts])
        found.append(tests.assign(holm=mx.models.adjust_pvalues(tests["p"], "holm")))
    return pd.concat(found, ignore_index=True)


def test_of_sources(groups: pd.DataFrame) -> dict:
    """Return the F test of sources within projects; p = 1 where no source has two groups."""
    y, squares, counts = groups["y"].to_numpy(), [], []
    for name in ("project", "source"):
        at, names = pd.factorize(groups[name])
        squares.append(((y - (np.bincount(at, y) / np.bincount(at))[at]) ** 2).sum())
        counts.append(len(names))
    df1, df2 = counts[1] - counts[0], len(y) - counts[1]
    about = {
        "k": len(y),
        "projects": counts[0],
        "laboratories": groups[LAB].nunique(),
        "df1": df1,
        "df2": df2,
    }
    statistic = (squares[0] - squares[1]) / df1 / (squares[1] / df2) if df1 and df2 else math.nan
    return about | {"f": statistic, "p": float(f.sf(statistic, df1, df2)) if df1 and df2 else 1.0}


def one_laboratory(tests: pd.DataFrame) -> dict:
    """Return the test of sources within projects with all laboratories, and without the one that decides."""
    whole, rest = tests[tests["without"] == ALL_IN].iloc[0], tests[tests["without"] != ALL_IN]
    least = rest.sort_values(["holm", "p"], kind="stable").iloc[-1]
    row = {"k_projects": whole["k"], "projects": whole["projects"], "m_projects": whole["laboratories"]}
    row |= {"df_error": whole["df2"], "p_projects": whole["p"], "holm_projects": whole["holm"]}
    row |= {"without": least["without"], "df_error_without": least["df2"]}
    return row | {"p_without_one": least["p"], "holm_without_one": least["holm"]}


def within_table(groups: pd.DataFrame) -> pd.DataFrame:
    """Return ratios between two kinds of groups of one laboratory or project, pooled over laboratories."""
    found, project = [], ["study_id", *PLACE]
    main, fluid = groups["use"] == "main", groups[SOURCE].isin(BLOOD) & (groups["use"] == "main")
    healthy, known = groups["disease"] == "healthy donor", groups["disease"] != "not_reported"
    asked = {
        BOTH: (fluid, groups[SOURCE].isin(CELLS) & main, [LAB]),
        "patients and healthy donors": (fluid & ~healthy & known, fluid & healthy, project),
        "large and small vesicles": (
            groups["ev_type"] == "lEV",
            (groups["ev_type"] == "sEV") & main,
            project,
        ),
    }
    for contrast, (first, second, place) in asked.items():
        keys = ["outcome", *place]
        a, b = (means_of(groups[side], keys).set_index(keys) for side in (first, second))
        both = a[["y", "v"]].join(b[["y", "v"]], how="inner", suffixes=("", "_b")).reset_index()
        both = both.assign(y=both["y"] - both["y_b"], v=both["v"] + both["v_b"])
        for outcome, pairs in both.groupby("outcome", sort=False):
            labs = pairs.groupby(LAB).agg(y=("y", "mean"), v=("v", "mean"), pairs=("v", "size")).reset_index()
            row = {"contrast": contrast, "outcome": outcome, "k": len(pairs), "m": len(labs)}
            row["m_above_1"] = int((labs["y"] > 0).sum())
            if len(labs) > 1:
                fit = mx.RandomEffects(mx.EffectSizes(labs["y"], labs["v"] / labs["pairs"])).fit()
                ends = [base_of(outcome) ** getattr(fit.pooled(), x) for x in ("estimate", "low", "high")]
                row |= dict(zip(("ratio", "low", "high"), ends, strict=True)) | {"p": fit.pvalues.iloc[0]}
            found.append(row)
    return pd.DataFrame(found)


def protein_fits(sheets: mx.evidence.Sheets) -> dict:
    """Return models of vesicle proteins: between lines, and between lines and methods that are crossed.

    Replicates have one variance per protein: SDs of three replicates are too unsure to weight by.
    """
    frame = sheets.marker_arms
    sds = mx.effects.pooled_sd(frame["treatment_sd"], frame["treatment_n"], frame["outcome"].tolist())
    v, protein = frame["outcome"].map(sds) ** 2 / frame["treatment_n"], frame["outcome"] + " / "
    frame = frame.assign(y=frame["treatment_mean"], v=v, line_of=protein + frame["source_reported"],
                         method_of=protein + frame[STEP])  # fmt: skip
    crossed = frame.groupby("study_id")[STEP].transform("nunique") > 1
    one, both = frame[~crossed], frame[crossed]
    many, few = (plural(part["source_reported"].nunique(), "cell line") for part in (one, both))
    asked = {
        f"{many}, one method": (one, "outcome"),
        f"{few}, one method": (both, "method_of"),
        f"{plural(both[STEP].nunique(), 'method')}, one cell line": (both, "line_of"),
    }
    return {
        name: mx.Multilevel(effects(part, "study_id"), "effect", moderators=f"0 + {means}").fit()
        for name, (part, means) in asked.items()
    }


def protein_table(fits: dict) -> pd.DataFrame:
    """Return the SD between lines or methods with its interval, and that of single replicates."""
    table = []
    for name, fit in fits.items():
        data, part = fit.effects.data, fit.heterogeneity().iloc[0]
        study = f"{data['first_author'].iloc[0]} {data['year'].iloc[0]:.0f}"
        row = {"study": study, "compared": name, "proteins": data["outcome"].nunique(), "k": fit.k}
        row |= {"sd": part["tau"], "low": math.sqrt(part["low"]), "high": math.sqrt(part["high"])}
        table.append(row | {"replicate_sd": math.sqrt(np.mean(fit.effects.v * data["treatment_n"]))})
    return pd.DataFrame(table)


# -- figure and words ---------------------------------------------------------------------------------------


def draw(analysis: report.Analysis, strata: dict) -> None:
    import matplotlib.pyplot as plt

    large = [s for s in strata[FIRM, SHARE].compared if s not in strata[FIRM, SHARE].small]
    order = [s.name for s in sorted(large, key=lambda s: -s.pooled.estimate)]
    figure = plt.figure(figsize=(7.0, 5.2))
    head, body = figure.subfigures(2, 1, height_ratios=[1, 16])
    title = "Exosome sources by ultracentrifugation: red-cell miRNAs and effective number of miRNAs"
    head.text(0.008, 0.5, title, size=9, weight="bold", va="center")
    panels = {
        SHARE: ("Share of red-cell miRNAs", "log10 of their share of all miRNA reads"),
        DIVERSITY: ("Effective number of miRNAs", "natural logarithm (ln)"),
    }
    for part, (outcome, (of, axis)) in zip(body.subfigures(1, 2), panels.items(), strict=True):
        es = strata[FIRM, outcome].effects
        es = es.select(es.column(SOURCE).isin(order).to_numpy(), "a source of fewer than three laboratories")
        found = mx.stratify(es, by=SOURCE, cluster=LAB, order=order)
        notes = [f"A circle is the mean of one laboratory; {METHOD.lower()}."]
        mx.plots.orchard(found, ax=part, title=of, axis_label=axis, overall=False, interval="confidence",
                         sizes="equal", marker_size=5.5, reference=None, notes=notes)  # fmt: skip
    analysis.write_figure("by_source", figure, title=title)


def names(table: pd.DataFrame) -> str:
    """Return the outcomes of some rows in words."""
    words = [*table["name"]] or ["no outcome"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def times(*ratios: float) -> str:
    ratio, low, high = (number(x, 0 if x >= 10 else 2) for x in ratios)
    return f"{ratio} times, 95% CI {low} to {high}"


def answer_words(outcomes: pd.DataFrame) -> str:
    """Return the answer: between laboratories, and within projects with and without one laboratory."""
    apart = outcomes[outcomes["finding"] == DIFFERS]
    first = "Not shown" if not len(apart) else "Yes" if len(apart) == len(outcomes) else "In part"
    only = "only " if 0 < len(apart) < len(outcomes) else ""
    which = names(apart) if len(apart) < 3 else f"{len(apart)} of {len(outcomes)} outcomes"
    words = f"{first}: between laboratories (observational) {only}{which} "
    words += f"{'differs' if len(apart) < 2 else 'differ'} between sources by every test"
    for ratio in apart.loc[apart["outcome"] == SHARE, "blood_to_cells"]:
        words += f" (blood {number(ratio, 0 if ratio >= 10 else 2)} times cells)"
    inside, hold = int(outcomes["differ_in_projects"].sum()), int(outcomes["whichever_laboratory"].sum())
    words += f"; within projects sources differ in {inside} of {len(outcomes)} outcomes"
    if hold < inside:
        lost = inside - hold
        which = "each rests" if not hold else f"{lost} of them {'rests' if lost == 1 else 'rest'}"
        return f"{words}, but {which} on one laboratory."
    return f"{words}{', whichever laboratory is left out' if hold else ''}."


def blood_words(row: dict) -> str:
    """Return in how many laboratories blood has more red-cell miRNAs, and the other explanation."""
    words = (
        f"In {row['m_above_1']} of {row['m']} laboratories with both, blood has a larger share of red-cell "
    )
    words += "miRNAs than cells"
    words += f" ({times(row['ratio'], row['low'], row['high'])})" if row["m"] > 1 else ""
    more = row["m"] > 1 and row["low"] > 1
    return f"{words}{'; haemolysis of the sample would do the same' if more else ''}."


def protein_words(proteins: pd.DataFrame) -> str:
    """Return how far lines and methods differ where they are crossed, and which of the two matters more."""
    lines, methods = (row for _, row in proteins.iloc[1:3].iterrows())
    verdict = "it is not shown that one matters more than the other"
    if lines["low"] > methods["high"] or methods["low"] > lines["high"]:
        verdict = f"{'the cell line' if lines['sd'] > methods['sd'] else 'the method'} matters more"
    parts = [f"{number(row['sd'])} between {row['compared']}" for row in (lines, methods)]
    return (
        f"In one laboratory ({lines['study']}) that crossed lines with methods, {lines['proteins']} vesicle "
        f"proteins have SDs of {' and '.join(parts)} (log2 units; {number(lines['replicate_sd'])} between "
        f"single replicates): {verdict}."
    )


def say(analysis: report.Analysis) -> None:
    outcomes, within, proteins = (analysis.tables[name] for name in ("outcomes", "within", "proteins"))
    firm, every = (outcomes[outcomes["rows"] == rows] for rows in (FIRM, EVERY))
    one = firm.iloc[0]
    found = [[*(part["finding"] == DIFFERS)] for part in (firm, every)]
    inside = [[*part["whichever_laboratory"]] for part in (firm, every)]
    rated = report.certainty(
        design="observational",
        m=int(one["m"]),
        decides=any(found[0]),
        holds_without_doubtful=found[0] == found[1],
    )
    within_rated = report.certainty(
        design="observational", m=int(one["m_projects"]), decides=any(inside[0]),
        holds_without_doubtful=inside[0] == inside[1] == [*firm["differ_in_projects"]],
    )  # fmt: skip
    reasons = f"{'; '.join(rated.reasons)}; within projects {within_rated}: {one['df_error']} "
    reasons += f"degrees of freedom of error, {one['df_error_without']} without the laboratory that decides"
    analysis.answer(
        answer_words(firm), k=int(one["k"]), m=int(one["m"]), units="laboratories", certainty=rated,
        table="outcomes", row=[{"rows": FIRM, "outcome": o} for o in firm["outcome"]], reasons=reasons,
    )  # fmt: skip
    both = within[(within["contrast"] == BOTH) & (within["outcome"] == SHARE)]
    for row in both[both["m"] > 0].to_dict("records"):
        analysis.state(blood_words(row), table="within", row={"contrast": BOTH, "outcome": SHARE})
    needed = firm.set_index("outcome").loc[DIVERSITY]
    words = f"To show that one source has {RATIO} times {needed['name']} of another, by one method, takes "
    count = int(needed["laboratories_needed"])
    words += f"{count} laboratories per source (power {percent(POWER)})."
    row = {"rows": FIRM, "outcome": DIVERSITY}
    analysis.state(words, table="outcomes", row=row, part="settle", defined=[POWER])
    for words in details(firm, every, *(analysis.tables[name] for name in ("between", "crossed", "within"))):
        analysis.write_summary(words)
    analysis.write_summary(protein_words(proteins))


def details(firm, every, between, crossed, within) -> list[str]:
    """Return what stands behind the answer, in a table and a few sentences."""
    one, share = firm.iloc[0], firm[firm["outcome"] == SHARE].iloc[0]
    rows = [
        [row["name"].removeprefix("the ")]
        + [p_value(row[f"holm_{name}"]).removeprefix("p = ").removeprefix("p ") for name in TESTS.values()]
        for row in firm.to_dict("records")
    ]
    said = ["finding", "differ_in_projects", "whichever_laboratory"]
    changed = firm[(firm[said].to_numpy() != every[said].to_numpy()).any(axis=1)]
    lost = firm[firm["differ_in_projects"] & ~firm["whichever_laboratory"]]
    rests = [
        f"{names(part)} without {lab.removeprefix('L_')} ({part['df_error_without'].iloc[0]} left)"
        for lab, part in lost.groupby("without", sort=False)
    ]
    p = between[between["rows"] == FIRM].groupby(["basis", "outcome"])["p"].agg(list)
    bases = ((OWN, 0, ", with sources of two laboratories"), (OWN, 1, ""), (WIDE, 1, ""))
    other = [
        f"{basis} {' and '.join(p_value(p[basis, o][at]) for o in (DIVERSITY, SHARE))}{words}"
        for basis, at, words in bases
    ]
    by_name = firm.set_index("outcome")["name"]
    depth = crossed[
        (crossed["rows"] == FIRM) & (crossed["model"] == "with depth") & (crossed["term"] == SOURCE)
    ]
    return [
        "p by Holm over the outcomes; doubtful rows change "
        + (f"the finding on {names(changed)}. " if len(changed) else "no finding. ")
        + f"Within projects: {one['projects']} projects of {one['m_projects']} laboratories, mostly kinds of "
        f"cell; {one['df_error']} degrees of freedom of error; no longer shown: "
        f"{'; '.join(rests) or 'none'}. {METHOD}: {one['m']} laboratories in sources of three or more; all "
        f"methods: source and isolation in one model, {one['m_all_methods']} laboratories. Blood against "
        f"cells without any one laboratory: a ratio of {number(share['blood_without_one'], 0)} or more.",
        markdown_table(rows, ["outcome", *(f"p, {name}" for name in TESTS)]),
        f"With sequencing depth in the model, source differs in {shown(depth, by_name)}. {METHOD} on another "
        f"basis, for {by_name[DIVERSITY]} and {by_name[SHARE]}, unadjusted: {'; '.join(other)}.",
        *within_words(within, by_name),
    ]  # fmt: skip


def shown(table: pd.DataFrame, by_name: pd.Series) -> str:
    """Return the outcomes of some tests whose p-value, by Holm, is below 5 per cent."""
    found = table[mx.models.adjust_pvalues(table["p"], "holm") < ALPHA]
    return names(found.assign(name=found["outcome"].map(by_name)))


def within_words(within: pd.DataFrame, by_name: pd.Series) -> list[str]:
    """Return what patients and healthy donors, large and small vesicles of one project are shown to be."""
    lines = []
    for contrast, found in within[(within["contrast"] != BOTH) & (within["m"] > 1)].groupby(
        "contrast", sort=False
    ):
        differ = shown(found, by_name)
        verb = "are not shown to differ in any outcome" if differ == "no outcome" else f"differ in {differ}"
        lines.append(f"{contrast} {verb} ({found['m'].max()} laboratories; 95% intervals of ratios reach "
                     f"from {number(found['low'].min())} to {number(found['high'].max())})")  # fmt: skip
    return [f"Within one project, {'; '.join(lines)}."] if lines else []


if __name__ == "__main__":
    report.run_alone(main)
