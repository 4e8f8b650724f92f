"""
Do small studies find more, and what is left when that is allowed for?
=======================================================================

Methods for small-study effects and selection need about ten studies of one question. This analysis counts
which of our sets have them, and applies the methods there and nowhere else: to the studies of a published
review of vesicles in brain injury, whose authors published the numbers of each study, and to the reports of
adverse events of any kind. Effects of animals are standardised mean differences, whose standard error grows
with the effect by construction, so that the usual regression test finds asymmetry where there is none; the
tests use the sizes of the groups instead.
"""

import warnings

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, p_value, plural

LEAST = 10  # studies
SAME_ANIMALS = 0.6  # correlation of errors of effects on the same animals, as in the analysis of all outcomes
BENEFIT = {"lower": -1, "higher": 1}
TITLE = "Vesicles of mesenchymal stromal cells against control after brain injury in animals"
ROBUST = "Standard errors of PET-PEESE{} are robust by study."


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    brain, with_doubtful = brain_effects(analysis.data), brain_effects(analysis.data, doubtful=True)
    events = adverse_events(sheets)

    # Which sets of evidence have enough studies of one question?
    sets = pd.DataFrame(candidates(sheets, brain, events))
    sets["enough"] = np.where(sets["studies"] >= LEAST, "yes", "no")
    analysis.write_table("sets", sets)

    # Brain injury: a multilevel model of several effects per study; the same question with the usual
    # predictor and with the one that is adjusted for standardised mean differences.
    fit = multilevel(brain)
    found = mx.bias.report(fit)
    usual, adjusted = mx.bias.regression_test(fit, "se"), mx.bias.regression_test(fit)
    fits = {"brain injury": fit, "brain injury, with a doubtful row": multilevel(with_doubtful)}
    analysis.write_table("tests", tests_of(fits | {"adverse events": pooled(events)}))
    tables = [mx.bias.report(each).to_frame().assign(evidence=name) for name, each in fits.items()]
    analysis.write_table("estimates", pd.concat(tables))
    analysis.write_table("not_possible", pd.DataFrame(found.refused, columns=["kind", "method", "reason"]))

    title = f"{TITLE}: effect and sizes of the groups"
    ax = mx.plots.funnel(
        fit,
        yaxis="groups",
        overlays=[adjusted, mx.bias.pet_peese(fit)],
        notes=[ROBUST.format("")],
        title=title,
    )
    analysis.write_figure("funnel", ax, title=title)
    title = f"{TITLE}: the mean effect when small-study effects or selection are allowed for"
    analysis.write_figure(
        "estimates",
        mx.plots.adjusted(found, notes=[ROBUST.format(", WAAP-WLS and the worst case")], title=title),
        title=title,
    )
    title = f"{TITLE}: the power of single studies"
    analysis.write_figure("power", mx.plots.sunset(fit, title=title), title=title)

    # What do published reviews of ten studies or more say of it themselves?
    reviews = own_tests(sheets.published_meta_analyses)
    analysis.write_table("reviews", reviews)
    summarise(analysis, sets, fit, found, usual, adjusted, events, reviews)


def brain_effects(folder, doubtful=False):
    """Return the effects after brain injury, positive for benefit; rows that are set apart are left out."""
    rows = pd.read_csv(folder / "brain_outcomes.csv").drop(columns="year")
    studies = pd.read_csv(folder / "brain_studies.csv")[["study_id", "first_author", "year"]]
    rows = rows[
        rows["better"].isin(BENEFIT) & ((rows["use"] == "main") | (doubtful & (rows["use"] == "doubtful")))
    ].merge(studies, on="study_id")
    rows["study"] = evidence.named_studies(rows, "study_id")
    effects = mx.effect_sizes("SMD", data=rows, labels="study")
    sign = effects.data["better"].map(BENEFIT).to_numpy()
    return mx.EffectSizes(
        effects.y * sign, effects.v, "SMD", data=effects.data, labels=effects.labels, oriented=True
    )


def multilevel(es):
    """Return the fit of effects within studies; effects on the same animals have correlated errors."""
    same = list(es.column("group_of_subjects"))
    blocks = mx.covariance_blocks(es.v, same, correlation=SAME_ANIMALS)
    return mx.Multilevel(es, "study/effect", V=blocks).fit(test="t-containment")


def adverse_events(sheets):
    """Return the arcsine shares of people with an adverse event of any kind, a report of a study each."""
    return sheets.event_counts("adverse events").effect_sizes("PAS")


def pooled(es):
    return mx.RandomEffects(es).fit()


def candidates(sheets, brain, events):
    """Yield what could be asked for small-study effects, with the number of effects and of studies."""
    yield counted("published review with its studies", "brain injury, all markers", brain)
    for (outcome,), part in mx.split(brain, "outcome").items():
        yield counted("published review with its studies", f"brain injury, {outcome}", part)
    yield counted("safety", "adverse events of any kind", events)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        exact = sheets.effects(
            "SMD", where="contrast == 'exosome_vs_control' and use != 'apart'", assumed_correlation=0.5
        )
    for (domain, family), part in mx.split(exact, ["domain", "outcome_family"]).items():
        yield counted(f"our sheets, {domain}", family, part)


def counted(where, question, es):
    return {"evidence": where, "question": question, "effects": es.k, "studies": es.m}


def tests_of(fits):
    """Return the tests of asymmetry of each set, with the usual predictor and the one of the measure."""
    parts = []
    for name, fit in fits.items():
        found = [mx.bias.regression_test(fit), mx.bias.regression_test(fit, "se"), mx.bias.rank_test(fit)]
        parts += [
            test.to_frame().assign(evidence=name, cautions="; ".join(test.cautions())) for test in found
        ]
    whole = pd.concat(parts, ignore_index=True)
    return whole[["evidence", *whole.columns.drop("evidence")]]


def own_tests(sheet):
    """Return, of each review of ten studies or more, what it says of small-study effects."""
    large = sheet[(sheet["k_studies"] >= LEAST) & (sheet["use"] != "apart")]
    found = large.groupby("review_id", sort=True).agg(
        study_name=("study_name", "first"),
        most_studies=("k_studies", "max"),
        test=("bias_test", lambda cells: "; ".join(sorted(set(cells.dropna())))),
        p=("bias_p", lambda cells: "; ".join(sorted(set(map(str, cells.dropna()))))),
    )
    return found.reset_index()


def summarise(analysis, sets, fit, found, usual, adjusted, events, reviews):
    enough = sets[sets["enough"] == "yes"]
    row = fit.predict().iloc[0]
    named = "; ".join(f"{q} ({m})" for q, m in zip(enough["question"], enough["studies"], strict=True))
    analysis.write_summary(
        f"{len(enough)} of {len(sets)} sets have {LEAST} studies or more of one question: {named}. In the "
        "others nothing can be said of missing studies, and nothing is."
    )
    analysis.write_summary(
        f"**Brain injury in animals.** {plural(fit.k, 'effect')} of {plural(fit.m, 'study', 'studies')}: "
        f"g = {number(row['estimate'], 3)} ({interval(row['low'], row['high'], 3)}) unadjusted. "
        f"{found.sentence} On the standard error the regression test gives {p_value(usual.pvalue)}, on the "
        f"sizes of the groups {p_value(adjusted.pvalue)}: standard errors of standardised mean differences "
        "grow with the effect by construction, and the second test is free of that."
    )
    none = int((events.y == 0).sum())
    analysis.write_summary(
        f"**Adverse events of any kind.** {mx.bias.regression_test(pooled(events)).sentence} "
        f"{none} of {events.k} reports have no event, so that the test has little to go by."
    )
    tested, told = reviews[reviews["test"] != ""], reviews[reviews["p"] != ""]
    analysis.write_summary(
        f"**Published reviews.** Of {len(reviews)} reviews of {LEAST} studies or more, {len(tested)} name a "
        f"test or a funnel plot in what was open, and {len(told)} give a p-value. Their studies are not in "
        "the sheets, so that nothing can be tested again. The methods are not applied to pooled values of "
        "reviews, which share studies and are no sample of studies."
    )


if __name__ == "__main__":
    report.run_alone(main)
