"""
What do all outcomes and time points say together?
==================================================

Every exact effect against a control: several outcomes and time points of one study, in one multilevel
model for patients and one for animals, turned so that positive means benefit. Random effects of the study
and of
each effect within it keep a study with many results from counting many times. Sampling errors of effects on
the same people or animals are correlated; the assumed correlation is varied. Sources, isolation methods and
outcome families are crossed random effects where their variance can be estimated.
"""

import warnings

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo import errors, evidence, report
from metaexo.formatting import interval, number, plural

CONTROLLED = "contrast == 'exosome_vs_control' and use != 'apart'"
# Animals are compared in percentage points: a tiny SD between six animals makes a standardised difference of
# nearly 30 out of 12 points. The standardised differences stand in the tables.
MODELS = {
    ("clinical", "SMD"): f"{CONTROLLED} and domain == 'clinical'",
    ("preclinical", "MD"): f"{CONTROLLED} and domain == 'preclinical' and unit == '%'",
    ("preclinical", "SMD"): f"{CONTROLLED} and domain == 'preclinical'",
}
WHO = {"clinical": "Patients", "preclinical": "Animals"}
UNITS = {"SMD": "standardised mean differences (Hedges' g)", "MD": "differences in percentage points"}
AXIS = {"SMD": None, "MD": "Difference in percentage points"}
ASKED_FOR = ["study/effect", "source", "isolation", "outcome_family"]
NOT_NAMED = ("not reported", "other")
MANY = 3
RHO = 0.6
RHOS = (*np.round(np.arange(0.0, 0.95, 0.1), 1), 0.95)
ALONE, ONE, MODEL, ROBUST = (
    "all effects as independent",
    "the latest effect of each study",
    "multilevel",
    "multilevel, cluster-robust (CR2)",
)
COLUMNS = ["line", "label", "study", "outcome_label", "outcome_family", "source", "isolation", "timepoint"]


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    found = {key: effects(sheets, *key, where) for key, where in MODELS.items()}
    chosen = {
        (*key, rows): part
        for key, es in found.items()
        for rows, part in (("with doubtful rows", es), ("without", without_doubtful(es)))
    }
    terms = {key: mx.identifiable_terms(es, ASKED_FOR, not_named=NOT_NAMED) for key, es in chosen.items()}
    fits = {key: model(es, terms[key]) for key, es in chosen.items() if "study" in terms[key].kept}

    # Which effects are used, what can be estimated from them, and the results of the models.
    listed = {key: es.to_frame().assign(measured_on=evidence.same_subjects(es)) for key, es in found.items()}
    analysis.write_table("effects", stack(listed)[["domain", "measure", *COLUMNS, "measured_on", *NUMBERS]])
    analysis.write_table("left_out", stack({key: left_out(es) for key, es in found.items()}))
    analysis.write_table("terms", stack({key: found.to_frame() for key, found in terms.items()}))
    pooled = {key: ways_to_pool(chosen[key], fit) for key, fit in fits.items()}
    analysis.write_table("pooled", stack(pooled))
    analysis.write_table("spread", stack({key: spread(fit) for key, fit in fits.items()}))
    analysis.write_table("studies", stack({key: study_means(fit) for key, fit in fits.items()}))
    sweeps = {key: sweep(chosen[key], terms[key]) for key in fits}
    analysis.write_table("rho", stack(sweeps))

    for domain, measure in [("clinical", "SMD"), ("preclinical", "MD")]:
        fit = fits[domain, measure, "with doubtful rows"]
        title = f"Exosome against control in {WHO[domain].lower()}: {outcomes(fit.effects)}, all time points"
        analysis.write_figure(domain, forest(fit, measure, title), title=title)
    summarise(analysis, chosen, terms, fits, pooled, sweeps)


NUMBERS = ["y", "se", "how", "note", "use", "caution"]


def effects(sheets, domain, measure, where):
    """Return the effects of one domain; each that depends on an assumed correlation is marked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.AssumptionWarning)
        return sheets.effects(measure, where=where, assumed_correlation=0.5)


def without_doubtful(es):
    return es.select((es.column("use") != "doubtful").to_numpy(), "doubtful by the sheet")


def model(es, terms, rho=RHO):
    """Return the fit of the terms that can be estimated."""
    blocks = mx.covariance_blocks(es.v, evidence.same_subjects(es), correlation=float(rho))
    return mx.Multilevel(es, terms.random, V=blocks).fit(test="t-containment")


def stack(tables):
    """Return tables one below the other, with what each is about in front."""
    names = ("domain", "measure", "rows")
    whole = pd.concat([table.assign(**dict(zip(names, key, strict=False))) for key, table in tables.items()])
    first = [name for name in names if name in whole.columns]
    return whole[[*first, *whole.columns.drop(first)]]


def left_out(es):
    """Return how many rows that were selected give no effect, and why."""
    counts = es.ledger.counts()
    return counts[(counts["step"] != "used") & ~counts["reason"].str.startswith("not selected")]


def ways_to_pool(es, fit):
    """Return the pooled effect of the multilevel model and of simpler models."""
    latest = mx.one_per_study(es, latest=[evidence.days_after(words) for words in es.column("timepoint")])
    rows = [multilevel_row(fit), robust_row(fit), simple_row(ALONE, es), simple_row(ONE, latest)]
    return pd.DataFrame(rows)


def multilevel_row(fit):
    row = fit.predict().iloc[0]
    names = ("estimate", "se", "low", "high", "prediction_low", "prediction_high")
    df = float(fit.df_test)
    return {"model": MODEL, "k": fit.k, "m": fit.m, "df": df} | {name: row[name] for name in names}


def robust_row(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.FewStudiesWarning)  # the degrees of freedom stand in the table
        robust = fit.robust()
    low, high = robust.conf_int().to_numpy()[0]
    numbers = {"estimate": robust.beta[0], "se": robust.se[0], "low": low, "high": high}
    return {"model": ROBUST, "k": fit.k, "m": fit.m, "df": float(robust.df_inference.iloc[0])} | numbers


def simple_row(name, es):
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", errors.DependentEffectsWarning
        )  # that they are dependent is the point
        fit = mx.RandomEffects(es).fit(test="knapp-hartung-adhoc")
    pooled = fit.pooled()
    names = ("estimate", "low", "high", "prediction_low", "prediction_high")
    numbers = {name: getattr(pooled, name) for name in names} | {"se": float(fit.bse.iloc[0])}
    return {"model": name, "k": fit.k, "m": fit.m, "df": fit.k - 1} | numbers


def spread(fit):
    """Return each variance with its profile interval, and its share of the variability of effects."""
    variances = fit.conf_int_components().add_prefix("variance_")
    shares = fit.conf_int_i2().drop(index="total")[["i2", "low", "high"]]
    table = variances.join(shares.rename(columns={"low": "i2_low", "high": "i2_high"}))
    return table.rename_axis("term").reset_index()


def study_means(fit):
    """Return the mean effect of every study as the model predicts it."""
    named = next(named for named in fit.terms if named.name == "study")
    counts = np.bincount(named.term.level)
    rows = [fit.predict(given={"study": level}).iloc[0] for level in named.levels]
    table = pd.DataFrame(rows).reset_index(drop=True)[["estimate", "se", "low", "high"]]
    table.insert(0, "study", named.levels)
    table.insert(1, "effects", counts)
    return table


def sweep(es, terms):
    """Return the pooled effect and the variances under each assumed correlation."""
    rows = []
    for rho in RHOS:
        fit = model(es, terms, rho)
        variances = {f"variance_{name}": value for name, value in fit.component_values.items()}
        row = multilevel_row(fit)
        rows.append({"rho": rho} | {name: row[name] for name in ("estimate", "low", "high")} | variances)
    return pd.DataFrame(rows)


def outcomes(es):
    """Return the outcome families of effects as words, or how many there are."""
    families = [name[0].lower() + name[1:] for name in es.column("outcome_family").unique()]
    return " and ".join(families) if len(families) < MANY else "all outcomes"


def studies_that_name(es, factor):
    named = ~es.column(factor).str.casefold().isin(NOT_NAMED)
    return len({study for study, known in zip(es.study, named, strict=True) if known})


def forest(fit, measure, title):
    """Return the effects under their studies; a factor that fewer than two studies name is no column."""
    outcome = mx.plots.Column("outcome_label", "Outcome", letters=22)
    factors = [name for name in ("source", "isolation") if studies_that_name(fit.effects, name) > 1]
    return mx.plots.forest(
        fit,
        columns=[outcome, *factors],
        remark="use",
        wording={"main": ""},
        axis_label=AXIS[measure],
        decimals=1 if measure == "MD" else 2,
        font_size=7.0,
        title=title,
    )


def summarise(analysis, chosen, terms, fits, pooled, sweeps):
    analysis.write_summary(
        "Exact effects against a control, all outcomes and time points of a study in one model; above 0 is "
        f"benefit, brackets are 95% CIs. Sampling errors of effects on the same people or animals: ρ = {RHO} "
        "assumed."
    )
    for key, es in chosen.items():
        if key[-1] != "with doubtful rows":
            continue
        lines = [asked_in_words(es), *model_in_words(fits.get(key), pooled.get(key), sweeps.get(key))]
        lines += [
            f"Refused, {name.replace('_', ' ')}: {reason}." for name, reason in terms[key].refused.items()
        ]
        lines.append(without_in_words((*key[:-1], "without"), chosen, terms, pooled))
        bullets = "\n".join(f"- {line}" for line in lines)
        analysis.write_summary(f"**{WHO[key[0]]}, {UNITS[key[1]]}**\n\n{bullets}")
    analysis.write_summary(
        "What this does not show. A mean over outcomes of different kinds shows that something improved, "
        "not what. Where isolation methods and sources are not named, or each study has one of its own, "
        "their "
        "effects cannot be separated from those of the studies; a variance between few studies has an "
        "interval that excludes very little. Thresholds such as p < 0.05 are not used, so the effects are "
        "those of papers that print numbers."
    )


def asked_in_words(es):
    reasons = left_out(es)
    asked = es.k + reasons["rows"].sum()
    listed = "; ".join(f"{row.reason} ({row.rows})" for row in reasons.itertuples())
    shared = "; ".join(map(str, mx.effects.shared_arms(es))) or "none"
    groups = len(set(evidence.same_subjects(es)))
    return (
        f"{es.k} of {asked} rows are exact effects, of {plural(es.m, 'study', 'studies')} and "
        f"{groups} groups of subjects. The others: {listed}. Control arms shared by two groups: {shared}."
    )


def model_in_words(fit, pooled, sweep):
    """Return the multilevel model and simpler ones."""
    if fit is None:
        return ["No multilevel model."]
    rows = pooled.set_index("model")
    main = rows.loc[MODEL]
    spread = "; ".join(
        f"{name} {number(row['variance_estimate'] ** 0.5)} "
        f"({interval(row['variance_low'] ** 0.5, row['variance_high'] ** 0.5)})"
        for name, row in spread_of(fit).iterrows()
    )
    others = "; ".join(f"{name}: {estimate_in_words(row)}" for name, row in rows.drop(index=MODEL).iterrows())
    low, high = sweep["estimate"].min(), sweep["estimate"].max()
    return [
        f"Multilevel model: {estimate_in_words(main)} on {number(main['df'], 0)} degrees of freedom, "
        f"prediction interval {interval(main['prediction_low'], main['prediction_high'])}; SD of true "
        f"effects: {spread}.",
        f"For comparison, {others[0].lower() + others[1:]}.",
        f"With ρ from 0 to 0.95 the estimate ranges from {interval(low, high)}.",
    ]


def spread_of(fit):
    return spread(fit).set_index("term")


def estimate_in_words(row):
    return f"{number(row['estimate'])} ({interval(row['low'], row['high'])})"


def without_in_words(key, chosen, terms, pooled):
    es = chosen[key]
    counts = f"{plural(es.k, 'effect')} of {plural(es.m, 'study', 'studies')}"
    if key in pooled:
        row = pooled[key].set_index("model").loc[MODEL]
        return f"Without doubtful rows {counts}: {estimate_in_words(row)}."
    reason = terms[key].refused["study"]
    return f"Without doubtful rows {counts} are left and no multilevel model can be had: study, {reason}."


if __name__ == "__main__":
    report.run_alone(main)
