"""
What do "p < 0.05" and "not significant" add to the numbers?
============================================================

Most studies of exosomes in wounds, skin and hair report no number from which an effect follows, only a
threshold or a direction. Here these are censored observations, in one random-effects model with the exact
effects (REML; Knapp and Hartung on the effective number of effects, with a scale of at least 1). The model of
the exact effects alone is given for comparison. One effect per study is used. Where there is no estimate, the
reason is given instead.
"""

import warnings

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, percent, plural

CONTROLLED = "contrast == 'exosome_vs_control' and use != 'apart'"
BEFORE_AFTER = "contrast == 'post_vs_pre'"
SKIN = ["Wrinkles and texture", "Global rating", "Pigmentation", "Scar", "Redness", "Hydration"]
SKIN_INDICATIONS = ["skin_ageing", "pigmentation", "scar", "photodamage"]
HAIR = ["Hair count and density", "Hair thickness"]
WOUNDS = ["Wound closure", "Flap and graft survival", "Re-epithelialisation and granulation", "Vessels"]
TEST, CORRELATION = "knapp-hartung-adhoc", 0.5
# An effect of zero with 10 per arm has this sampling variance; it is assumed for directions without sizes in
# one of the choices, and nowhere else.
TEN_AN_ARM = 0.2
QUESTIONS = {
    "wound_closure": "Animals: wound closure",
    "wounds": "Animals: wounds, any outcome",
    "skin": "Patients: skin, any outcome",
    "wrinkles": "Patients: wrinkles and texture",
    "wound_patients": "Patients: wounds",
    "hair": "Patients: hair",
}
POOLED = ["estimate", "low", "high", "prediction_low", "prediction_high"]
NUMBERS = [*POOLED, "tau2", "tau2_low", "tau2_high", "i2"]
ENDS = ["lower", "upper", "v_lower", "v_upper"]
ANOTHER = "not selected: another question"
UNSIZED = "a direction alone, without sizes"
OUT_OF_PROPORTION = "Chen 2024"


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    asked = effects_of_questions(sheets, CORRELATION)

    # Each question twice: all that is known, and the exact effects alone.
    fits = {name: (censored(es), exact_only(es)) for name, es in asked.items()}
    analysis.write_table("pooled", pooled(asked, fits))
    analysis.write_table("effects", effects(asked, fits))
    analysis.write_table("contributions", contributions(fits))
    analysis.write_table("without_a_kind", without_a_kind(fits))

    # What depends on choices: correlations, results in words, directions without sizes, doubtful rows, one
    # study whose standardised differences are out of proportion, and the way to the estimate.
    analysis.write_table("choices", choices(sheets, asked))

    # The question with most studies is drawn; the others stand in the tables.
    fit = fits["skin"][0]
    title = "Exosome against control, skin in patients: reported effects and p-value thresholds in one model"
    shown = fit if isinstance(fit, mx.models.CensoredResults) else asked["skin"]
    analysis.write_figure("skin", forest(shown, title), title=title)

    # Hair before and after treatment: no control, so nothing is pooled; the open intervals are shown.
    changes = one_effect_per_study(changes_of_hair(sheets))
    analysis.write_table("hair_changes", changes.to_frame()[["sheet", "line", "study", "kind", *ENDS]])
    title = "Hair in patients, before and after exosome treatment, without a control"
    ax = forest(changes, title, favours=("← less hair", "more hair →"))
    analysis.write_figure("hair_changes", ax, title=title)
    summarise(analysis, asked, fits, changes)


# -- evidence -----------------------------------------------------------------------------------------------


def effects_of_questions(sheets, correlation, words=True, doubtful=True):
    """Return the effects of every question, one per study, bounds included."""
    numbers = bounded(sheets, CONTROLLED, correlation)
    if not doubtful:
        numbers = numbers.select((numbers.column("use") != "doubtful").to_numpy(), "doubtful by the sheet")
    in_text = bounded(sheets, "contrast == 'exosome_vs_control'", correlation, "direction_only")
    family, domain = numbers.column("outcome_family"), numbers.column("domain")
    animals, people = (domain == "preclinical").to_numpy(), (domain == "clinical").to_numpy()
    skin = people & numbers.column("indication").isin(SKIN_INDICATIONS).to_numpy()

    def of(rows, indications=()):
        here = numbers.select(rows, ANOTHER)
        more = in_text.column("indication").isin(indications).to_numpy()
        if words and more.any():
            here = mx.effects.join_bounded(here, in_text.select(more, ANOTHER))
        return one_effect_per_study(here)

    return {
        "wound_closure": of(animals & (family == "Wound closure").to_numpy()),
        "wounds": of(animals & family.isin(WOUNDS).to_numpy()),
        "skin": of(skin & family.isin(SKIN).to_numpy(), SKIN_INDICATIONS),
        "wrinkles": of(people & (family == "Wrinkles and texture").to_numpy()),
        "wound_patients": of(people & family.isin(WOUNDS).to_numpy(), ["wound", "graft"]),
        "hair": of(people & family.isin(HAIR).to_numpy(), ["hair_loss"]),
    }


def bounded(sheets, where, correlation, sheet="outcomes"):
    """Return effects with bounds; each one that depends on an assumption is marked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        return sheets.effects("SMD", where, sheet, correlation, bounds=True)


def one_effect_per_study(es):
    """Return one effect per study: exact if there is one, then the latest, then the first of the sheet."""
    exact = {study for study, point in zip(es.study, es.is_exact, strict=True) if point}
    keep = [point or study not in exact for study, point in zip(es.study, es.is_exact, strict=True)]
    if not all(keep):
        es = es.select(keep, "a bound of a study that gives a number as well")
    times = es.data["timepoint"] if "timepoint" in es.data else pd.Series(np.nan, index=range(es.k))
    latest = [evidence.days_after(words) if isinstance(words, str) else np.nan for words in times]
    one = mx.one_per_study(es, latest=latest)
    what = one.data["outcome"]
    if "outcome_label" in one.data:
        what = one.data["outcome_label"].fillna(what)
    what = what.str.replace("_", " ").str.replace(r"\s*\([^)]*[a-z][^)]*\)", "", regex=True)
    one = one.with_columns(what=what.str[0].str.upper() + what.str[1:])
    return one.with_labels(one.study)


def changes_of_hair(sheets):
    """Return the changes of hair from before to after, of the numbers and of the words."""
    families = " or ".join(f"outcome_family == '{name}'" for name in HAIR)
    numbers = bounded(sheets, f"{BEFORE_AFTER} and use != 'apart' and ({families})", CORRELATION)
    words = bounded(sheets, f"{BEFORE_AFTER} and indication == 'hair_loss'", CORRELATION, "direction_only")
    return mx.effects.join_bounded(numbers, words)


# -- models -------------------------------------------------------------------------------------------------


def censored(es, method="REML", **choices):
    """Return the model of all that is known, or the reason why it has no estimate."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.RowsLeftOutWarning)
            return mx.CensoredRandomEffects(es, **choices).fit(method, TEST)
    except errors.MetaexoError as error:
        return error.given


def exact_only(es):
    """Return the usual model of the exact effects, or the reason why it has no estimate."""
    try:
        return mx.RandomEffects(es.exact).fit(test=TEST)
    except errors.MetaexoError as error:
        return error.given


def record(fit):
    """Return the numbers of a fit, or none and the reason."""
    if isinstance(fit, str):
        return dict.fromkeys(("k", "effective", *NUMBERS), np.nan) | {"words": fit}
    found = fit.pooled()
    own = isinstance(fit, mx.models.CensoredResults)
    bounds = fit.conf_int_heterogeneity() if own else fit.conf_int_heterogeneity("profile-likelihood")
    values = [getattr(found, name) for name in POOLED]
    spread = [bounds.tau2.estimate, bounds.tau2.low, bounds.tau2.high, fit.i2]
    head = {"k": fit.k, "effective": fit.effective if own else fit.k}
    return head | dict(zip(NUMBERS, [*values, *spread], strict=True)) | {"words": ""}


def pooled(asked, fits):
    rows = []
    for name, es in asked.items():
        for model, fit in zip(("exact and censored", "exact only"), fits[name], strict=True):
            row = {
                "question": QUESTIONS[name],
                "studies": es.m,
                "evidence": mx.models.count_in_words(mx.models.kinds_of(es)),
            }
            rows.append(row | {"model": model} | record(fit))
    return pd.DataFrame(rows)


def effects(asked, fits):
    """Return every effect of every question, with what it contributes to the model."""
    tables = []
    for name, es in asked.items():
        table = es.to_frame().assign(question=QUESTIONS[name], sheet=lambda t: t.get("sheet", "outcomes.csv"))
        columns = [
            "question",
            "sheet",
            "line",
            "label",
            "study",
            "outcome",
            "kind",
            *ENDS,
            "how",
            "note",
        ]
        table = table[["row", *columns]]
        fit = fits[name][0]
        if not isinstance(fit, str):
            table = table.merge(fit.rows()[["row", "retained", "share", "expected"]], on="row", how="left")
        tables.append(table.drop(columns="row"))
    return pd.concat(tables, ignore_index=True)


def estimated(fits):
    """Return the models of all that is known that have an estimate."""
    return {name: fit for name, (fit, _) in fits.items() if not isinstance(fit, str)}


def contributions(fits):
    found = {QUESTIONS[name]: fit.contributions() for name, fit in estimated(fits).items()}
    return pd.concat(found, names=["question"]).reset_index()


def without_a_kind(fits):
    found = {QUESTIONS[name]: mx.sensitivity.leave_kind_out(fit) for name, fit in estimated(fits).items()}
    return pd.concat(found, names=["question"]).reset_index()


def choices(sheets, asked):
    """Return the pooled effect of the questions that have one, under each choice."""
    firm = {name: without(es, OUT_OF_PROPORTION) for name, es in asked.items()}
    variants = {
        "as in the main table": (asked, {}),
        "correlation 0.25": (effects_of_questions(sheets, 0.25), {}),
        "correlation 0.75": (effects_of_questions(sheets, 0.75), {}),
        "without results in words": (effects_of_questions(sheets, CORRELATION, words=False), {}),
        "without doubtful rows": (effects_of_questions(sheets, CORRELATION, doubtful=False), {}),
        f"without {OUT_OF_PROPORTION}": (firm, {}),
        "directions without sizes, as of 10 per arm": (asked, {"direction_v": TEN_AN_ARM}),
        "maximum likelihood": (asked, {"method": "ML"}),
    }
    rows = []
    for words, (effects_of, options) in variants.items():
        rows += [
            {"question": QUESTIONS[name], "choice": words, **record(censored(es, **options))}
            for name, es in effects_of.items()
        ]
    table = pd.DataFrame(rows)
    return table.sort_values("question", kind="stable", key=lambda s: s.map(list(QUESTIONS.values()).index))


def without(es, study):
    return es.select([name != study for name in es.study], f"a choice: without {study}")


# -- figures and words --------------------------------------------------------------------------------------


def forest(results, title, **words):
    columns = [mx.plots.Column("what", "Outcome", letters=30), "source"]
    return mx.plots.forest(results, columns=columns, order="estimate", title=title, font_size=7.0, **words)


def summarise(analysis, asked, fits, changes):
    every = mx.effects.join_bounded(*asked.values())
    known = sorted(
        zip(every.study, mx.models.kinds_of(every), strict=True),
        key=lambda pair: -mx.models.KINDS.index(pair[1]),
    )
    counts = mx.models.count_in_words(list(dict(known).values()))
    analysis.write_summary(
        f"{every.m} controlled studies of wounds, skin and hair report something about an effect; the most "
        f"precise of each: {counts}. One effect per study is used for each question. g is above 0 for "
        "benefit; brackets "
        "hold 95% intervals."
    )
    analysis.write_summary("\n".join(line(QUESTIONS[name], asked[name], *fits[name]) for name in asked))
    firm = without(asked["wounds"], OUT_OF_PROPORTION)
    refused = censored(changes)
    also = f" A model of it would have no estimate: {refused}." if isinstance(refused, str) else ""
    analysis.write_summary(
        f"Without {OUT_OF_PROPORTION}, whose SDs make differences out of proportion, wounds in animals: "
        f"{in_words(censored(firm))}. Hair before and after treatment "
        f"({mx.models.count_in_words(mx.models.kinds_of(changes))}) has no control and is not pooled.{also}"
    )
    analysis.write_summary(
        "What this does not show. A threshold is taken as that of a two-sided t test at the printed level; "
        '"significant" in words counts as p < 0.05. Whether a study prints a number or a threshold may '
        "depend on significance, but on nothing else; unpublished studies are in no model. Of several "
        "results in "
        "words per study the first of the sheet is used. Outcomes of one question differ. With two or three "
        "exact effects τ² is hardly estimated, as its interval shows."
    )


def line(question, es, all_known, alone):
    """Return one line of a list: the evidence, the model of all of it, and that of the exact effects."""
    unsized = int(np.isnan(np.where(np.isfinite(es.lower), es.v_lower, es.v_upper)).sum())
    gone = f"; left out: {plural(unsized, 'study', 'studies')} with {UNSIZED}" if unsized else ""
    same = es.is_exact.all() and not isinstance(all_known, str)
    beside = "" if same else f" Exact effects alone: {in_words(alone)}."
    kinds = mx.models.count_in_words(mx.models.kinds_of(es))
    return f"- {question} ({kinds}{gone}): {in_words(all_known)}.{beside}"


def in_words(fit):
    """Return a fit as words, or the reason why there is none."""
    if isinstance(fit, str):
        return f"no estimate; {fit}"
    found = record(fit)
    worth = (
        f", equivalent to {number(found['effective'], 1)} exact effects"
        if fit.k != found["effective"]
        else ""
    )
    pooled, spread = (interval(found[f"{name}low"], found[f"{name}high"]) for name in ("", "tau2_"))
    return (
        f"g {number(found['estimate'])} [{pooled}], k = {fit.k}{worth}, "
        f"τ² {number(found['tau2'])} [{spread}], I² {percent(found['i2'])}"
    )


if __name__ == "__main__":
    report.run_alone(main)
