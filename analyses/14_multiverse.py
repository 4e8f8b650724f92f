"""
Would another defensible analysis have said otherwise?
======================================================

Four questions of the sheets, each answered by every combination of the choices on which analyses of this
literature differ: measure, assumed correlation, doubtful and derived rows, thresholds such as p < 0.05,
several effects per study, grouping of isolation steps and of sources, estimator and test. A specification
curve per question shows all distinct paths; the tables have the share of paths per conclusion, and how much
of the variance of the result goes with each choice. Shares of paths are no probabilities.
"""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report

CONTROLLED = "contrast == 'exosome_vs_control' and use != 'apart'"
IN_WORDS = "contrast == 'exosome_vs_control'"
SKIN = ["Wrinkles and texture", "Global rating", "Pigmentation", "Scar", "Redness", "Hydration"]
SKIN_INDICATIONS = ["skin_ageing", "pigmentation", "scar", "photodamage"]
WOUNDS = ["Wound closure", "Flap and graft survival", "Re-epithelialisation and granulation", "Vessels"]
ANOTHER = "another question"
# The first option of each choice is that of the other analyses.
BOTH_SIDES = [0.5, 0.25, 0.75]  # correlation of the sides of a face, where a paper does not report it
SAME_ANIMALS = [0.6, 0.3, 0.9]  # of errors of effects on the same animals
TESTS = ["knapp-hartung-adhoc", "knapp-hartung", "z"]
DOUBTFUL = {"all rows": None, "without doubtful rows": "use != 'doubtful'"}
BENEFIT = {"lower": -1, "higher": 1}
DRAWS, SEED = 499, 14  # random patterns of signs
# Steps that separate by size, against precipitation.
BY_SIZE = ["size_exclusion", "ultrafiltration", "tangential_flow"]
COLUMN, PRECIPITATION = "size_exclusion", "precipitation"
TITLES = {
    "skin": "Exosome against control, skin in patients",
    "wounds": "Exosome against control, wounds in animals",
    "brain": "Vesicles of mesenchymal stromal cells against control after brain injury in animals",
    "sizes": "Diameter of vesicles, size exclusion over precipitation",
}

AXES = {"sizes": "Ratio of mean diameters"}


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    found = {
        "skin": skin(sheets),
        "wounds": wounds(sheets),
        "brain": brain(analysis.data),
        "sizes": sizes(sheets.preparations),
    }

    # Every path of each question, and what became of the combinations that are none.
    analysis.write_table("counts", pd.DataFrame([counts(name, paths) for name, paths in found.items()]))
    analysis.write_table("paths", stacked(found, lambda paths: paths.to_frame().reset_index()))
    analysis.write_table("not_possible", stacked(found, lambda paths: paths.impossible()))

    # What paths conclude, and which choice the result depends on.
    analysis.write_table("shares", stacked(found, lambda paths: paths.shares()))
    analysis.write_table("importance", stacked(found, importance))
    analysis.write_table("options", stacked(found, lambda paths: paths.by_option()))

    # Could a whole curve be chance? Signs of studies are permuted in all paths of exact, independent effects.
    tests = {
        name: paths.permutation_test(DRAWS, seed=SEED) for name, paths in found.items() if name != "sizes"
    }
    analysis.write_table("curve_tests", stacked(tests, curve_test))
    for name, paths in found.items():
        title = f"{TITLES[name]}: all defensible analyses"
        ax = mx.plots.specification_curve(paths, axis_label=AXES.get(name), title=title)
        analysis.write_figure(name, ax, title=title)
    summarise(analysis, found, tests)


# -- effects against a control ------------------------------------------------------------------------------


def skin(sheets):
    """Return the paths of effects on the skin of patients."""

    def effects(assumed_correlation, results_in_words):
        numbers = chosen(bounded(sheets, CONTROLLED, assumed_correlation), "clinical", SKIN, SKIN_INDICATIONS)
        if not results_in_words:
            return numbers
        words = bounded(sheets, IN_WORDS, assumed_correlation, "direction_only")
        return mx.effects.join_bounded(numbers, chosen(words, "clinical", None, SKIN_INDICATIONS))

    choices = {
        "assumed_correlation": BOTH_SIDES,
        "censored": ["drop", "keep"],
        "results_in_words": {"left out": False, "used": True},
        "include": DOUBTFUL,
        "design": {
            "any": lambda es: es,
            "randomised": lambda es: where(es, es.column("design").fillna("").str.startswith("rct")),
        },
        "derived": ["keep", "drop assumed"],
        "model": ["one per study", "random effects"],
        "method": ["REML", "DL", "PM"],
        "test": TESTS,
    }
    unless = [
        "censored == 'keep' and method != 'REML'",  # which is fitted by likelihood
        "censored == 'drop' and results_in_words == 'used'",  # which are thresholds
    ]
    return mx.sensitivity.multiverse(effects, choices, unless=unless)


def wounds(sheets):
    """Return the paths of effects on wounds of animals."""

    def effects(measure):
        if measure == "SMD":
            found = bounded(sheets, CONTROLLED, BOTH_SIDES[0])
        else:
            found = sheets.effects(measure, CONTROLLED)
        return chosen(found, "preclinical", WOUNDS)

    choices = {
        "measure": ["SMD", "SMDH", "ROM"],
        "censored": ["drop", "keep"],
        "include": DOUBTFUL,
        "outcomes": {"all": lambda es: es, "wound closure": lambda es: chosen(es, "preclinical", WOUNDS[:1])},
        "model": ["one per study", "random effects"],
        "method": ["REML", "DL", "PM"],
        "test": TESTS,
    }
    unless = ["censored == 'keep' and method != 'REML'", "censored == 'keep' and measure != 'SMD'"]
    return mx.sensitivity.multiverse(effects, choices, unless=unless)


def bounded(sheets, condition, correlation, sheet="outcomes"):
    """Return effects with bounds, positive for benefit; what they rest on is marked, and varied here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        return sheets.effects("SMD", condition, sheet, correlation, bounds=True)


def chosen(es, domain, families=None, indications=None):
    """Return the effects of a domain, of some outcome families and of some indications."""
    rows = es.column("domain") == domain
    if families is not None:
        rows &= es.column("outcome_family").isin(families)
    if indications is not None:
        rows &= es.column("indication").isin(indications)
    return where(es, rows)


def where(es, rows, reason=ANOTHER):
    return es.select(rows.to_numpy(dtype=bool), reason)


# -- brain injury -------------------------------------------------------------------------------------------


def brain(folder):
    """Return the paths of effects after brain injury, from the numbers of studies that a review published."""
    rows = pd.read_csv(folder / "brain_outcomes.csv")
    rows = rows[rows["better"].isin(BENEFIT) & (rows["use"] != "apart")]

    def effects(measure):
        es = mx.effect_sizes(measure, data=rows, study="study_id")
        sign = es.data["better"].map(BENEFIT).to_numpy()
        return mx.EffectSizes(es.y * sign, es.v, measure, data=es.data, study=es.study, oriented=True)

    @cache
    def fitted(es, correlation):
        same = list(es.column("group_of_subjects"))
        blocks = mx.covariance_blocks(es.v, same, correlation=correlation)
        return mx.Multilevel(es, "study/effect", V=blocks).fit(test="t-containment")

    def multilevel(es, test, correlation):  # of one maximum, whatever the test
        return replace(fitted(es, correlation), test=test or "t-containment")

    def cluster_robust(es, correlation):
        return fitted(es, correlation).robust()

    def cells(es):
        return where(es, es.column("outcome").str.contains("Iba1|CD"))

    choices = {
        "measure": ["SMD", "SMDH", "ROM"],
        "include": dict(reversed(DOUBTFUL.items())),
        "markers": {"all": lambda es: es, "of microglia": cells},
        "model": {
            "multilevel": multilevel,
            "cluster-robust": cluster_robust,
            "averages of studies": "aggregate",
            "one per study": "one per study",
        },
        "correlation": SAME_ANIMALS,
        "method": ["REML", "DL", "PM"],
        "test": {"small samples": None, "normal": "z"},
    }
    unless = ["model in ['multilevel', 'cluster-robust'] and method != 'REML'"]
    return mx.sensitivity.multiverse(effects, choices, unless=unless)


# -- sizes --------------------------------------------------------------------------------------------------


def sizes(preparations):
    """Return the paths of the ratio of mean diameters, size exclusion over precipitation."""
    ledger = evidence.choose_means(preparations)
    table = preparations[preparations["line"].isin(ledger.used)].reset_index(drop=True)
    table["steps"] = [" ".join(steps_of(words)) for words in table["isolation_reported"]]
    laboratory = list(evidence.laboratories(table))
    log_size = np.log(table["size_nm"].to_numpy())
    es = mx.EffectSizes(log_size, np.zeros(len(table)), "RATIO", study=laboratory, data=table)
    choices = {
        "include": DOUBTFUL,
        "group": {
            "a step alone": lambda es: compared(es, lambda steps: steps == [COLUMN]),
            "last step": lambda es: compared(es, lambda steps: steps[-1:] == [COLUMN]),
            "any step": lambda es: compared(es, lambda steps: COLUMN in steps),
            "any separation by size": lambda es: compared(es, lambda steps: bool(set(BY_SIZE) & set(steps))),
        },
        "technique": {"any": lambda es: es, "NTA": lambda es: where(es, es.column("technique") == "NTA")},
        "sources": {
            "not adjusted": lambda es: es.with_columns(adjusted=["all"] * es.k),
            "adjusted": lambda es: es.with_columns(adjusted=es.column("source_category").tolist()),
            "adjusted in groups": lambda es: es.with_columns(adjusted=es.column("source_group").tolist()),
        },
        "model": {
            "laboratories as a level": lambda es: mx.Multilevel(
                es, "study/effect", moderators=formula(es)
            ).fit(),
            "cluster-robust": lambda es: alone(es).robust(),
            "preparations as independent": alone,
            "means of laboratories": lambda es: alone(mean_per_laboratory(es)),
        },
    }
    return mx.sensitivity.multiverse(es, choices, term="by_size", least=3)


def steps_of(words):
    """Return the isolation steps that the words of a paper name."""
    return evidence.isolation_steps(words) if isinstance(words, str) else ()


def compared(es, by_size):
    """Return the preparations of two kinds of method; `by_size` says whether steps are of the first."""
    steps = [words.split() for words in es.column("steps")]
    first = pd.Series([by_size(one) for one in steps])
    second = pd.Series([one == [PRECIPITATION] for one in steps])
    return where(es.with_columns(by_size=first.astype(float).tolist()), first | second, "another method")


def formula(es):
    return "by_size + adjusted" if es.column("adjusted").nunique() > 1 else "by_size"


@cache
def alone(es):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DependentEffectsWarning)  # which other paths allow for
        return mx.RandomEffects(es, formula(es)).fit(test="t")


def mean_per_laboratory(es):
    """Return the mean of each laboratory, kind of method and source."""
    table = pd.DataFrame(
        {"y": es.y, "study": es.study, "by_size": es.column("by_size"), "adjusted": es.column("adjusted")}
    )
    means = table.groupby(["study", "by_size", "adjusted"], sort=False, as_index=False)["y"].mean()
    return mx.EffectSizes("y", np.zeros(len(means)), "RATIO", data=means)


# -- tables and words ---------------------------------------------------------------------------------------


def stacked(found, frame_of):
    """Return one table of all questions, with the name of each in front."""
    tables = [frame_of(paths).assign(question=TITLES[name]) for name, paths in found.items()]
    table = pd.concat([one for one in tables if len(one)], ignore_index=True)
    return table[["question", *table.columns.drop("question")]]


def counts(name, paths):
    """Return how many paths were declared, and what became of them."""
    return {
        "question": TITLES[name],
        "declared": paths.declared,
        "ruled_out": int(paths.excluded.sum()),
        "not_possible": sum(map(bool, paths.reasons)),
        "repeated": int(paths.possible.sum()) - paths.distinct,
        "distinct": paths.distinct,
    }


def importance(paths):
    """Return the shares of the variance of what can be compared, and of the conclusion."""
    kinds = dict.fromkeys((paths.default_of, "z", "conclusion"))
    return pd.concat([paths.importance(kind).assign(of=kind) for kind in kinds])


def curve_test(test):
    """Return the statistics of a curve with their p-values, and what they rest on."""
    return test.to_frame().assign(
        studies=test.studies, paths=test.paths, left_out=test.left_out, patterns=test.patterns
    )


def told(test):
    return " ".join([test.sentence, *(f"Caution: {text}." for text in test.cautions())])


def concluded(name, paths):
    """Return what the paths of a question found, and the options that led to none of them."""
    shown, _, values = paths.range_sentence.partition(": ")
    lost = [f'"{option}" ({choice})' for choice, option, _ in paths.without_paths()]
    parts = [
        paths.counts_sentence,
        f"{AXES.get(name, shown)}: {values}",
        paths.conclusion_sentence,
        paths.importance_sentence,
        f"Options that no path could be fitted with: {', '.join(lost)}." if lost else "",
    ]
    return " ".join(filter(None, parts))


def summarise(analysis, found, tests):
    analysis.write_summary(
        "Every combination of the choices that are declared for a question is a path; combinations that are "
        "the same analysis of the same effects count once. Shares of the variance of estimates over paths "
        "are Shapley's; with paths on several scales it is that of z, the normal quantile of the p-value."
    )
    analysis.write_summary(
        "\n".join(f"- {TITLES[name]}: {concluded(name, paths)}" for name, paths in found.items())
    )
    lines = [f"- {TITLES[name]}: {told(test)}" for name, test in tests.items()]
    analysis.write_summary("Could a whole curve be chance?\n\n" + "\n".join(lines))
    analysis.write_summary(
        "What this does not show. Shares of paths are no probabilities: paths share their few studies, and "
        "other options would give other shares. All paths share the biases of those studies and of what is "
        "published."
    )


if __name__ == "__main__":
    report.run_alone(main)
