"""
Do exosome sources differ?
==========================

What vesicles carry, compared between their sources: seven outcomes of miRNA profiles from public sequencing
projects, and proteins from one laboratory that crossed cell lines with isolation methods. Between
laboratories the comparison is observational: within ultracentrifugation, and with source and method in one
model; there the unit is the mean of a laboratory for a source and a method. Within a project or a laboratory
all but the source is the same. Groups of one sample, or with an SD of 0, have the SD pooled within the groups
of their outcome.
"""

import math
import warnings

import numpy as np
import pandas as pd
from scipy.stats import f, norm

import metaexo as mx
from metaexo import errors, report
from metaexo.formatting import markdown_table, number, p_value, percent, plural

# Outcome -> what it is called, and the base of its logarithm.
OUTCOMES = {
    "log10_redcell_share": ("the share of red-cell miRNAs", 10.0),
    "ln_effective_mirnas": ("the effective number of miRNAs", math.e),
    "ln_mirnas_10cpm": ("miRNAs of 10 counts per million", math.e),
    "ln_mirnas_rarefied_10k": ("miRNAs in 10,000 counts", math.e),
    "log2cpm_let7a": ("let-7a-5p", 2.0),
    "log2cpm_mir21": ("miR-21-5p", 2.0),
    "log2cpm_mir223": ("miR-223-3p", 2.0),
}
SHARE, DIVERSITY = "log10_redcell_share", "ln_effective_mirnas"
FIRM = "without doubtful rows"
ROWS = {FIRM: ["main"], "all": ["main", "doubtful"]}
METHOD, NOT_REPORTED = "Ultracentrifugation", "Not reported"
FACTORS, PLACE = ["source_kind", "isolation_step"], ["laboratory", "source_kind", "isolation_step"]
COLUMNS = [*PLACE, "laboratory_wide", "study_id", "use", "disease", "ev_type", "ln_total_counts", "pooled_v"]
BLOOD = ("Plasma", "Serum")
CELLS = ("Tumour cell line", "Primary cell", "Mesenchymal stromal cell", "Other cell line",
         "Pluripotent or derived cell")  # fmt: skip
LABS, OWN = "means of laboratories", "groups of samples with an SD"
POOLED, WIDE = "means of laboratories, pooled SDs throughout", "laboratories joined more widely"
BOTH = "blood against cells in one laboratory"
LEAST, ALPHA, SEED, PERMUTATIONS, RATIO, POWER = 3, 0.05, 24, 299, 1.5, 0.8
DIFFERS, SOME, NOT_SHOWN = "differs", "tests disagree", "no difference shown"
MODELS = {
    "additive": "source_kind + isolation_step",
    "with depth": "source_kind + isolation_step + depth",
    "interaction": "source_kind * isolation_step",
}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    with warnings.catch_warnings():
        # pooled SDs, shared laboratories and tests of few df stand above, in the tables and in the notes
        warnings.simplefilter("ignore", errors.MetaexoWarning)
        groups = {(rows, o): cargo(sheets, o, uses) for rows, uses in ROWS.items() for o in OUTCOMES}
        strata = {key: by_source(means_of(es, PLACE)) for key, es in groups.items()}
        tests = {key: found.between_tests(SEED, PERMUTATIONS) for key, found in strata.items()}
        crossed = pd.DataFrame([row for key, es in groups.items() for row in crossed_rows(*key, es)])
        outcomes = pd.DataFrame(
            [outcome_row(key, es, strata[key], tests[key], crossed) for key, es in groups.items()]
        )
        analysis.write_table("outcomes", with_findings(outcomes))
        analysis.write_table("between", between_table(groups, strata, tests))
        analysis.write_table("crossed", crossed)
        sources = [found.to_frame().assign(rows=rows, outcome=o) for (rows, o), found in strata.items()]
        columns = ["rows", "outcome", "source_kind", "m", "estimate", "df", "low", "high", "tau", "note"]
        analysis.write_table("sources", pd.concat(sources).query("stratum != 'all'")[columns])
        analysis.write_table("within", within_table(sheets))
        proteins = protein_fits(sheets)
        analysis.write_table("proteins", protein_table(proteins))
        draw(analysis, strata, groups, proteins)
    say(analysis)


# -- the effects -----------------------------------------------------------------------------------------


def cargo(sheets: mx.evidence.Sheets, outcome: str, uses: list[str]) -> mx.EffectSizes:
    """Return the mean of each group of samples for one outcome; the source is reported."""
    frame = sheets.cargo_groups
    frame = frame[(frame["outcome"] == outcome) & frame["use"].isin(uses)]
    sds = mx.effects.pooled_sd(frame["treatment_sd"], frame["treatment_n"], frame["outcome"])
    where = f"outcome == '{outcome}' and use in {uses} and source_kind != '{NOT_REPORTED}'"
    es = sheets.effects("MN", sheet="cargo_groups", where=where, assumed_sd=sds)
    data = es.data.assign(pooled_v=sds[outcome] ** 2 / es.data["treatment_n"])
    return mx.EffectSizes(es.y, es.v, "MN", study=es.study, data=data[COLUMNS], derived=es.derived)


def means_of(es: mx.EffectSizes, place: list[str]) -> mx.EffectSizes:
    """Return one mean per place (laboratory, source and method): of its groups, with equal weights."""
    name = es.data[place].agg(" / ".join, axis=1)
    data = es.data.assign(place=name, depth=es.data.groupby(name)["ln_total_counts"].transform("mean"))
    es = mx.EffectSizes(es.y, es.v, "MN", study=name, data=data)
    es = mx.effects.aggregate(es, correlation=0.0, weighted=False)
    return mx.EffectSizes(es.y, es.v, "MN", study=es.column("laboratory"), data=es.data)


def some(es: mx.EffectSizes, chosen: pd.Series, reason: str) -> mx.EffectSizes:
    return es.select(np.asarray(chosen, dtype=bool), reason)


def by_source(es: mx.EffectSizes, cluster: str = "laboratory") -> mx.heterogeneity.StratifiedResults:
    """Return strata by source within ultracentrifugation, robust to laboratories with several sources."""
    es = some(es, es.column("isolation_step") == METHOD, f"not by {METHOD.lower()}")
    return mx.stratify(es, by="source_kind", cluster=cluster)


def laboratories(es: mx.EffectSizes) -> int:
    return int(es.column("laboratory").nunique())


def in_cells(es: mx.EffectSizes) -> mx.EffectSizes:
    """Return means of laboratories in cells of source and method that have three laboratories or more."""
    es = means_of(some(es, es.column("isolation_step") != NOT_REPORTED, "method not reported"), PLACE)
    labs = es.data.groupby(FACTORS)["laboratory"].transform("nunique")
    return some(es, labs >= LEAST, "a cell of fewer than three laboratories")


# -- between laboratories ----------------------------------------------------------------------------------


def between_table(groups: dict, strata: dict, tests: dict) -> pd.DataFrame:
    """Return the tests between sources within ultracentrifugation: of laboratories' means, and of groups."""
    table = []
    for key, es in groups.items():
        bases = {LABS: (strata[key], tests[key])}
        if key[0] == FIRM and key[1] in (DIVERSITY, SHARE):
            own = [mark.how != "assumed" for mark in es.derived]
            pooled = mx.EffectSizes(es.y, es.column("pooled_v"), "MN", study=es.study, data=es.data)
            for basis, found in {
                OWN: by_source(some(es, own, "no SD of its own")),
                POOLED: by_source(means_of(pooled, PLACE)),
                WIDE: by_source(means_of(es, PLACE), "laboratory_wide"),
            }.items():
                bases[basis] = found, found.between_tests(SEED, 19)
        for basis, (found, several) in bases.items():
            for test in list(several)[: 4 if basis == LABS else 2]:
                parts = [found[name].effects for name in test.strata]
                row = {"rows": key[0], "outcome": key[1], "basis": basis, "test": test.name}
                row |= {"left_out": ", ".join(test.left_out), "sources": len(parts)}
                row |= {"k": sum(part.k for part in parts)}
                row |= {"m": len({name for part in parts for name in part.column("laboratory")})}
                table.append(row | {"statistic": test.statistic, "p": test.pvalue})
    return pd.DataFrame(table)


def crossed_rows(rows: str, outcome: str, es: mx.EffectSizes) -> list[dict]:
    """Return tests of source and method in one model, with sequencing depth, and of their interaction."""
    es, found = in_cells(es), []
    about = {"rows": rows, "outcome": outcome, "k": es.k, "m": laboratories(es)}
    about["cells"] = len(es.data.groupby(FACTORS))
    for model, formula in MODELS.items() if rows == FIRM else [("additive", MODELS["additive"])]:
        fit = mx.RandomEffects(es, formula, redundant="drop").fit().robust(es.column("laboratory").tolist())
        for test in fit.test_terms().to_frame().to_dict("records"):
            if model != "interaction" or ":" in test["term"]:  # main effects beside it hang on the base level
                of_test = {name: test[name] for name in ("term", "statistic", "df1", "df2")}
                found.append(about | {"model": model} | of_test | {"p": test["pvalue"]})
    return found


def outcome_row(key: tuple[str, str], es: mx.EffectSizes, found, tests, crossed: pd.DataFrame) -> dict:
    """Return the tests of one outcome side by side, blood against cells, and laboratories needed."""
    rows, outcome = key
    parts = [s.effects for s in found.compared if s not in found.small]
    here = crossed[(crossed["rows"] == rows) & (crossed["outcome"] == outcome)]
    terms = here[here["model"] == "additive"].set_index("term")
    base = OUTCOMES[outcome][1]
    kind = found.effects.column("source_kind")
    material = np.select([kind.isin(BLOOD), kind.isin(CELLS)], ["blood", "cells"], "")
    two = some(found.effects.with_columns(material=material), material != "", "neither blood nor cells")
    two = mx.stratify(two, by="material", cluster="laboratory").contrast({"blood": 1.0, "cells": -1.0})
    ratio = base ** two.to_frame()[["estimate", "low", "high"]].iloc[0]
    df = np.array([part.k - 1 for part in parts])
    sd = math.sqrt(df @ [part.y.var(ddof=1) for part in parts] / df.sum())
    z = norm.ppf(1 - ALPHA / 2) + norm.ppf(POWER)
    return {
        "rows": rows,
        "outcome": outcome,
        **within_projects(es),
        "m": len({name for part in parts for name in part.column("laboratory")}),
        "p_sources": tests.formula_without.pvalue,
        "p_permutation": tests.permutation_without.pvalue,
        "m_all_methods": here["m"].iloc[0],
        "p_all_methods": terms.loc["source_kind", "p"],
        "p_isolation": terms.loc["isolation_step", "p"],
        "blood_to_cells": ratio["estimate"],
        "blood_low": ratio["low"],
        "blood_high": ratio["high"],
        "sd_between_laboratories": sd,
        "ratio_looked_for": RATIO,
        "laboratories_needed": math.ceil(2 * (z * sd / math.log(RATIO, base)) ** 2),
    }


def with_findings(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Add p-values by Holm over the outcomes, and what the tests between laboratories say together."""
    for name in ("projects", "sources", "permutation", "all_methods", "isolation"):
        p = outcomes.groupby("rows", sort=False)[f"p_{name}"]
        outcomes[f"holm_{name}"] = p.transform(lambda p: mx.models.adjust_pvalues(p, "holm"))
    seen = (outcomes[["holm_sources", "holm_permutation", "holm_all_methods"]] < ALPHA).sum(axis=1)
    outcomes["finding"] = np.select([seen == 3, seen > 0], [DIFFERS, SOME], NOT_SHOWN)
    outcomes["differ_in_projects"] = (outcomes[["holm_projects", "p_without_one"]] < ALPHA).all(axis=1)
    return outcomes


# -- within laboratories -----------------------------------------------------------------------------------


def within_projects(es: mx.EffectSizes) -> dict:
    """Return how much sources differ within projects that have two or more by one method.

    The test is an analysis of variance: of sources within projects against groups of one source and project;
    and once without each project, because one can make it.
    """
    project = es.data[["study_id", "isolation_step"]].agg(" / ".join, axis=1)
    several = es.data.groupby(project)["source_kind"].transform("nunique") >= 2
    es = es.with_columns(project=project, source_in_project=project + " / " + es.column("source_kind"))
    es = some(es, several, "one source in the project")
    fit = mx.Multilevel(es, ["project", "source_in_project", "effect"]).fit()
    share = fit.heterogeneity(method=None)["share"]
    data = es.data.assign(y=es.y)
    without = {name: p_of_sources(data[data["project"] != name]) for name in data["project"].unique()}
    return {
        "k_projects": es.k,
        "projects": len(without),
        "m_projects": laboratories(es),
        "same_source": es.k - data["source_in_project"].nunique(),
        "share_of_project": share["project"],
        "share_of_source": share["source_in_project"],
        "p_projects": p_of_sources(data),
        "p_without_one": max(without.values()),
        "without": max(without, key=lambda name: without[name]),
    }


def p_of_sources(data: pd.DataFrame) -> float:
    """Return the p-value of the F test of sources within projects; 1 where no source has two groups."""
    parts = [data.groupby(name)["y"] for name in ("project", "source_in_project")]
    of_project, of_source = (float(((data["y"] - part.transform("mean")) ** 2).sum()) for part in parts)
    df1, df2 = parts[1].ngroups - parts[0].ngroups, len(data) - parts[1].ngroups
    return float(f.sf((of_project - of_source) / df1 / (of_source / df2), df1, df2)) if df1 and df2 else 1.0


def within_table(sheets: mx.evidence.Sheets) -> pd.DataFrame:
    """Return ratios between two kinds of groups of one laboratory or project, pooled over laboratories."""
    found, project = [], ["study_id", *PLACE]
    for outcome, (_, base) in OUTCOMES.items():
        es = cargo(sheets, outcome, [*ROWS["all"], "apart"])
        kind, disease, size = (es.column(name) for name in ("source_kind", "disease", "ev_type"))
        main, healthy, known = (
            es.column("use") == "main",
            disease == "healthy donor",
            disease != "not_reported",
        )
        fluid = kind.isin(BLOOD) & main
        asked = {
            BOTH: (fluid, kind.isin(CELLS) & main, ["laboratory"]),
            "patients against healthy donors": (fluid & ~healthy & known, fluid & healthy, project),
            "large against small vesicles": (size == "lEV", (size == "sEV") & main, project),
        }  # fmt: skip
        for contrast, (first, second, place) in asked.items():
            sides = [means_of(some(es, side, "another side"), place) for side in (first, second)]
            a, b = (side.data.assign(y=side.y, v=side.v).set_index("place") for side in sides)
            a, b = (side.loc[a.index.intersection(b.index).sort_values()] for side in (a, b))
            pairs = mx.EffectSizes(a["y"] - b["y"], a["v"] + b["v"], study=a["laboratory"])
            labs = mx.effects.aggregate(pairs, correlation=0.0, weighted=False)
            row = {"contrast": contrast, "outcome": outcome, "k": pairs.k, "m": labs.k}
            row["m_above_1"] = int((labs.y > 0).sum())
            if labs.k > 1:
                fit = mx.RandomEffects(labs).fit()
                pooled = fit.pooled()
                row |= {"ratio": base**pooled.estimate, "low": base**pooled.low, "high": base**pooled.high}
                row["p"] = fit.pvalues.iloc[0]
            found.append(row)
    return pd.DataFrame(found)


def protein_fits(sheets: mx.evidence.Sheets) -> dict:
    """Return models of vesicle proteins: between lines, between methods, and both crossed.

    Replicates have one variance per protein: SDs of three replicates are too unsure to weight by.
    """
    frame = sheets.marker_arms
    sds = mx.effects.pooled_sd(frame["treatment_sd"], frame["treatment_n"], frame["outcome"])
    es = sheets.effects("MN", sheet="marker_arms", assumed_sd=sds)
    protein, step = es.column("outcome"), es.column("isolation_step")
    v = protein.map(sds) ** 2 / es.column("treatment_n")
    line, method = protein + " / " + es.column("source_reported"), protein + " / " + step
    es = mx.EffectSizes(
        es.y, v, "MN", study=es.column("study_id"), data=es.data.assign(line=line, method=method)
    )
    crossed = step.groupby(es.column("study_id")).transform("nunique") > 1
    one, both = some(es, ~crossed, "several methods"), some(es, crossed, "one method")
    many, few = (plural(part.column("source_reported").nunique(), "cell line") for part in (one, both))
    methods = plural(both.column("isolation_step").nunique(), "method")
    asked = {
        f"{many}, one method": (one, "effect", "outcome"),
        f"{few}, one method": (both, "effect", "method"),
        f"{methods}, one cell line": (both, "effect", "line"),
        f"{few} by {methods}": (both, ["line", "method", "effect"], "outcome"),
    }
    return {
        name: mx.Multilevel(part, terms, moderators=f"0 + {means}").fit()
        for name, (part, terms, means) in asked.items()
    }


def protein_table(fits: dict) -> pd.DataFrame:
    """Return the variance components, and their shares of the variance of a single replicate."""
    table = []
    for name, fit in fits.items():
        data, found = fit.effects.data, fit.heterogeneity()
        replicate = float(np.mean(fit.effects.v * data["treatment_n"]))
        study = f"{data['first_author'].iloc[0]} {data['year'].iloc[0]:.0f}"
        about = {"study": study, "compared": name, "proteins": data["outcome"].nunique(), "k": fit.k}
        for component, part in found.iterrows():
            row = {"component": component, "sd": part["tau"], "low": math.sqrt(part["low"])}
            row |= {"high": math.sqrt(part["high"]), "replicate_sd": math.sqrt(replicate)}
            table.append(about | row | {"share": part["tau2"] / (found["tau2"].sum() + replicate)})
    return pd.DataFrame(table)


# -- figures and words --------------------------------------------------------------------------------------


def draw(analysis: report.Analysis, strata: dict, groups: dict, proteins: dict) -> None:
    import matplotlib.pyplot as plt

    large = [s for s in strata[FIRM, SHARE].compared if s not in strata[FIRM, SHARE].small]
    order = [s.name for s in sorted(large, key=lambda s: -s.pooled.estimate)]
    figure = plt.figure(figsize=(7.0, 5.2))
    head, body = figure.subfigures(2, 1, height_ratios=[1, 16])
    title = "Exosome sources by ultracentrifugation: red-cell miRNAs and effective number of miRNAs"
    head.text(0.008, 0.5, title, size=9, weight="bold", va="center")
    panels = {
        SHARE: ("Red-cell miRNAs", "log10 of their share of all miRNA reads"),
        DIVERSITY: ("Effective number of miRNAs", "natural logarithm (ln)"),
    }
    for part, (outcome, (of, axis)) in zip(body.subfigures(1, 2), panels.items(), strict=True):
        es = strata[FIRM, outcome].effects
        es = some(es, es.column("source_kind").isin(order), "a source of fewer than three laboratories")
        found = mx.stratify(es, by="source_kind", cluster="laboratory", order=order)
        notes = [f"A circle is the mean of one laboratory; {METHOD.lower()}."]
        mx.plots.orchard(found, ax=part, title=of, axis_label=axis, overall=False, interval="confidence",
                         sizes="equal", marker_size=5.5, reference=None, notes=notes)  # fmt: skip
    analysis.write_figure("by_source", figure, title=title)

    title = "miRNA cargo of vesicles: laboratories per exosome source and isolation method"
    shown, es = in_cells(groups[FIRM, DIVERSITY]).data, means_of(groups[FIRM, DIVERSITY], PLACE)
    kept = np.all([es.column(name).isin(shown[name]) for name in FACTORS], axis=0)
    notes = ["Studies are laboratories; only sources and methods with three or more in some cell."]
    es = some(es, kept, "a source or method of few laboratories")
    analysis.write_figure("grid", mx.plots.estimability(es, FACTORS, title=title, notes=notes), title=title)

    title = "Vesicle proteins in one laboratory: how far cell lines and isolation methods differ"
    notes = ["log2 units; means of three replicates; one variance for all proteins."]
    fits, words = dict(list(proteins.items())[:3]), {"effect": "between preparations"}
    ax = mx.plots.variance_components(fits, wording=words, title=title, notes=notes)
    analysis.write_figure("one_laboratory", ax, title=title)


def names(table: pd.DataFrame) -> str:
    """Return the outcomes of some rows in words."""
    words = [OUTCOMES[outcome][0] for outcome in table["outcome"]] or ["no outcome"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def times(*ratios: float) -> str:
    ratio, low, high = (number(x, 0 if x >= 10 else 2) for x in ratios)
    return f"{ratio} times, 95% CI {low} to {high}"


def answer_words(outcomes: pd.DataFrame) -> str:
    """Return the answer: within projects, and between laboratories."""
    one, sure = outcomes.iloc[0], outcomes["differ_in_projects"]
    inside, others = outcomes[sure], outcomes[~sure]
    first, which = ("In part" if len(inside) else "Not shown"), names(inside)
    if len(others) < len(inside):
        first, which = "Mostly" if len(others) else "Yes", "every outcome of the miRNA cargo"
        which += f" but {names(others)}" if len(others) else ""
    words = f"{first}: in {one['m_projects']} laboratories with two or more sources in one project, "
    words += f"sources differ in {which}; between {one['m']} laboratories, which differ in much else, "
    apart = outcomes[outcomes["finding"] == DIFFERS]
    if not len(apart):
        return f"{words}no outcome is shown to differ by every test."
    words += f"{'' if len(apart) == len(outcomes) else 'only '}{names(apart)} "
    words += f"{'differs' if len(apart) == 1 else 'differ'} by every test"
    for row in apart[apart["outcome"] == SHARE].to_dict("records"):
        words += (
            f" (blood against cells: {times(row['blood_to_cells'], row['blood_low'], row['blood_high'])})"
        )
    return f"{words}."


def blood_words(row: dict) -> str:
    """Return in how many laboratories blood has more red-cell miRNAs, and the other explanation."""
    words = (
        f"In {row['m_above_1']} of {row['m']} laboratories that measured both, blood has a higher share of "
    )
    words += "red-cell miRNAs than cells"
    words += f" ({times(row['ratio'], row['low'], row['high'])})" if row["m"] > 1 else ""
    return f"{words}; red cells that break in the sample (haemolysis) would have the same effect as vesicles."


def protein_words(proteins: pd.DataFrame) -> str:
    """Return how far lines and methods differ, and which of the two matters more where they are crossed."""
    wide, lines, methods = (row for _, row in proteins.head(3).iterrows())
    verdict = "it is not shown that one matters more than the other"
    if lines["low"] > methods["high"] or methods["low"] > lines["high"]:
        verdict = f"{'the cell line' if lines['sd'] > methods['sd'] else 'the method'} matters more"
    parts = [f"{number(row['sd'])} between {row['compared']}" for row in (wide, lines, methods)]
    return (
        f"In one laboratory ({wide['study']}) vesicle proteins have SDs of {'; '.join(parts)} (log2 units), "
        f"and {number(wide['replicate_sd'])} between replicates; where lines and methods are crossed, "
        f"{verdict}."
    )


def say(analysis: report.Analysis) -> None:
    outcomes, within, proteins = (analysis.tables[name] for name in ("outcomes", "within", "proteins"))
    firm, every = (outcomes[outcomes["rows"] == rows] for rows in (FIRM, "all"))
    found = [[*(part["finding"] == DIFFERS), *part["differ_in_projects"]] for part in (firm, every)]
    k, m = int(firm["k_projects"].iloc[0]), int(firm["m_projects"].iloc[0])
    certainty = report.certainty(
        design="observational", m=m, decides=any(found[0]), holds_without_doubtful=found[0] == found[1]
    )
    rows = [{"rows": FIRM, "outcome": outcome} for outcome in OUTCOMES]
    analysis.answer(answer_words(firm), k=k, m=m, units="laboratories", certainty=certainty, table="outcomes",
                    row=rows)  # fmt: skip
    both = within[(within["contrast"] == BOTH) & (within["outcome"] == SHARE)].iloc[0]
    if both["m"]:
        row = {"contrast": BOTH, "outcome": SHARE}
        analysis.state(blood_words(both.to_dict()), table="within", row=row)
    compared = [{"compared": name} for name in proteins["compared"].head(3)]
    analysis.state(protein_words(proteins), table="proteins", row=compared)
    needed = firm.set_index("outcome").loc[DIVERSITY, "laboratories_needed"]
    words = f"To show that one source has {RATIO} times the effective number of miRNAs of another, {needed} "
    words += f"laboratories per source would be needed with one method (power {percent(POWER)})."
    row = {"rows": FIRM, "outcome": DIVERSITY}
    analysis.state(words, table="outcomes", row=row, part="settle", defined=[POWER])
    for paragraph in details(
        firm, every, *(analysis.tables[name] for name in ("between", "crossed", "within"))
    ):
        analysis.write_summary(paragraph)


def shown(table: pd.DataFrame) -> str:
    """Return the outcomes of some tests whose p-value, by Holm, is below 5 per cent."""
    return names(table[mx.models.adjust_pvalues(table["p"], "holm") < ALPHA])


def details(firm, every, between, crossed, within) -> list[str]:
    """Return what stands behind the answer, in a table and a few sentences."""
    one = firm.iloc[0]
    columns = {"p, one project": "projects", f"p, {METHOD.lower()}": "sources", "permutation": "permutation",
               "p, all methods": "all_methods", "p, isolation": "isolation"}  # fmt: skip
    rows = [
        [OUTCOMES[row["outcome"]][0], percent(row["share_of_source"])]
        + [p_value(row[f"holm_{name}"]).removeprefix("p = ").removeprefix("p ") for name in columns.values()]
        for row in firm.to_dict("records")
    ]
    said = ["finding", "differ_in_projects"]
    changed = firm[(firm[said].to_numpy() != every[said].to_numpy()).any(axis=1)]
    one_makes = firm[(firm["holm_projects"] < ALPHA) & ~firm["differ_in_projects"]]
    resting = (
        f"{names(one_makes)} rests on one project" if len(one_makes) else "no project alone makes a result"
    )
    p = between[between["rows"] == FIRM].groupby(["basis", "outcome"])["p"].agg(list)
    small = ", with sources of two laboratories"
    bases = ((OWN, 0, small), (OWN, 1, ""), (POOLED, 1, ""), (WIDE, 1, ""))
    pairs = [
        f"{basis} {' and '.join(p_value(p[basis, o][at]) for o in (DIVERSITY, SHARE))}{words}"
        for basis, at, words in bases
    ]
    models = crossed[crossed["rows"] == FIRM].set_index(["model", "term"])
    depth, mixed = (models.loc[at] for at in (("with depth", FACTORS[0]), ("interaction", ":".join(FACTORS))))
    lines = [
        f"{contrast.replace('against', 'and')} differ in {shown(found)} ({found['m'].iloc[0]} laboratories)"
        for contrast, found in within[within["contrast"] != BOTH].groupby("contrast", sort=False)
        if found["m"].min() > 1
    ]
    return [
        "Observational comparisons; p by Holm over the outcomes; doubtful rows change "
        + (f"the finding on {names(changed)}. " if len(changed) else "no finding. ")
        + f"One project: {one['projects']} projects, mostly with kinds of cell; only {one['same_source']} "
        f"groups say how far one source differs from itself; {resting}. {METHOD}: {one['m']} laboratories in "
        "sources of three or more. All methods: source and isolation in one model, "
        f"{one['m_all_methods']} laboratories.",
        markdown_table(rows, ["outcome", "share of source in projects", *columns]),
        f"With sequencing depth in the model, source differs in {shown(depth)}; source and method interact "
        f"in {shown(mixed)}. {METHOD} on another basis, for {OUTCOMES[DIVERSITY][0]} and "
        f"{OUTCOMES[SHARE][0]}: {'; '.join(pairs)}.",
        *([f"Within one project, {'; '.join(lines)}."] if lines else []),
    ]


if __name__ == "__main__":
    report.run_alone(main)
