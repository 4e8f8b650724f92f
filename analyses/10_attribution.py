"""
How much of the variability is source, and how much is isolation?
=================================================================

The between-study variance of every suitable set of results, attributed to exosome source and to isolation
method: controlled effects in animals and in patients, sizes of vesicles, and published
meta-analyses. Where the two are confounded, or the data are too few, the answer is a sentence and no
number. Levels that are not reported form a separate level; a level of one study is set aside.
"""

import warnings

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import markdown_table, plural

CONTROLLED = "contrast == 'exosome_vs_control' and use != 'apart'"
DOMAINS = {"preclinical": "Animals", "clinical": "Patients"}
FACTORS = ["source", "isolation"]
THREE = [*FACTORS, "technique"]
NOT_REPORTED = "Not reported"
SEED = 10
NO_VARIANCES = (
    "Vesicle sizes: one mean of log diameters per laboratory, source and method. Few have a sampling "
    "variance, "
    "so the whole variance between them is attributed."
)


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)

    # Every suitable set of results, and its factors.
    effects = controlled(sheets)
    sizes = mean_sizes(sheets.preparations)
    reported = sizes[(sizes[FACTORS] != NOT_REPORTED).all(axis=1)]
    domains = mx.split(effects, "domain")
    questions = {f"{words}, effects": (domains[domain,], FACTORS) for domain, words in DOMAINS.items()}
    questions |= {
        "Vesicle sizes": (one_a_laboratory(sizes, FACTORS), FACTORS),
        "Vesicle sizes, both reported": (one_a_laboratory(reported, FACTORS), FACTORS),
        "Vesicle sizes, with technique": (one_a_laboratory(sizes, THREE), THREE),
        "Published meta-analyses": (reviews(sheets), FACTORS),
    }
    found = {
        name: mx.attribute_heterogeneity(es, factors, seed=SEED) for name, (es, factors) in questions.items()
    }

    analysis.write_table("verdicts", pd.DataFrame([verdict_row(name, r) for name, r in found.items()]))
    analysis.write_table("shares", stacked(found, lambda r: r.to_frame()))
    analysis.write_table("cells", stacked(found, lambda r: r.estimability.to_frame().query("k > 0")))
    analysis.write_table("confounding", stacked(found, lambda r: r.confounding.to_frame()))
    analysis.write_table("contrasts", found["Vesicle sizes"].estimability.contrasts_frame())

    title = (
        "Heterogeneity explained by exosome source and by isolation method, in effects and in vesicle sizes"
    )
    ax = mx.plots.attribution(found, notes=[NO_VARIANCES], title=title)
    analysis.write_figure("attribution", ax, title=title)
    title = "Vesicle size: laboratories per exosome source and isolation method"
    ax = mx.plots.estimability(found["Vesicle sizes"], title=title)
    analysis.write_figure("sizes_grid", ax, title=title)
    title = "Exosome against control in patients and animals: studies per exosome source and isolation method"
    ax = mx.plots.estimability(effects, FACTORS, title=title)
    analysis.write_figure("effects_grid", ax, title=title)
    summarise(analysis, found)


def controlled(sheets):
    """Return one standardised mean difference per study and outcome family, as in the pooled analysis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        es = sheets.effects("SMD", where=CONTROLLED, assumed_correlation=0.5)
    latest = [evidence.days_after(words) for words in es.column("timepoint")]
    return mx.one_per_study(es, by="outcome_family", latest=latest)


def mean_sizes(preparations):
    """Return the preparations with a mean size; their source is that of broad groups."""
    ledger = evidence.choose_means(preparations)
    sizes = preparations[preparations["line"].isin(ledger.used)].drop(columns="source")
    sizes = sizes.rename(columns={"source_group": "source"})
    return sizes.assign(laboratory=evidence.laboratories(sizes), log_size=np.log(sizes["size_nm"]))


def one_a_laboratory(sizes, factors):
    """Return the mean log size of each laboratory and combination of levels, without sampling variances."""
    table = sizes.groupby(["laboratory", *factors], sort=False)["log_size"].mean().reset_index()
    return mx.EffectSizes(table["log_size"], np.zeros(len(table)), study=table["laboratory"], data=table)


def reviews(sheets):
    """Return one pooled estimate per review and outcome family, over all of its studies."""
    es = sheets.effects("SMD", where="use != 'apart'", sheet="published_meta_analyses")
    es = es.select((es.column("subgroup_variable") == "overall").to_numpy(), "a subgroup of a review")
    return mx.one_per_study(es, by=["indication", "outcome_family"])


def verdict_row(name, result):
    used, explained = result.estimability.used, result.explained
    return {
        "data": name,
        "factors": " + ".join(result.by),
        "effects": result.effects.k,
        "studies": result.effects.m,
        "effects_used": used.k,
        "studies_used": used.m,
        **{f"{factor}_not_reported": result.not_reported.get(factor) for factor in THREE},
        "verdict": result.verdict.kind,
        "sentence": result.verdict.sentence,
        "tau2": explained.tau2 if explained else None,
        "r2": explained.r2 if explained else None,
        "r2_chance": explained.r2_chance if explained else None,
        "r2_corrected": explained.r2_corrected if explained else None,
        "disagreement": result.disagreement,
    }


def stacked(found, frame_of):
    """Return one table of all results, with the name of each before it."""
    tables = [frame_of(result).assign(data=name) for name, result in found.items()]
    table = pd.concat([t.dropna(axis=1, how="all") for t in tables if len(t)])
    return table[["data", *(column for column in table if column != "data")]]


def summarise(analysis, found):
    rows = [
        (
            name,
            plural(r.effects.k, "effect"),
            plural(r.effects.m, "study", "studies"),
            r.verdict.kind.replace("_", " "),
            r.verdict.sentence,
        )
        for name, r in found.items()
    ]
    analysis.write_summary(
        markdown_table(rows, ["data", "effects", "studies", "verdict", "in words"], left=5)
    )
    named = [name for name, r in found.items() if any(share is not None for share in r.shares.values())]
    analysis.write_summary(
        f"Shares could be estimated in {len(named)} of {len(found)} sets ({'; '.join(named) or 'none'}), and "
        f"they are rough: 95% CIs are in `10_shares.csv`. {NO_VARIANCES}"
    )
    analysis.write_summary(
        'What this does not show. "Neither" means that the factors explain no more than permuted labels, '
        "not that they do not matter: with twenty studies a factor that explains more than half of the "
        "variance is found in four data sets of ten. Outcome families are combined here, and pooled "
        "estimates of reviews share primary studies."
    )


if __name__ == "__main__":
    report.run_alone(main)
