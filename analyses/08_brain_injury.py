"""
What do vesicles of MSC do after brain injury, the one field with open data?
============================================================================

A review published the numbers of each of its studies: vesicles of mesenchymal stromal cells (MSC) against
control after hypoxic-ischaemic brain injury, markers of microglia in animals and in culture. So the question
can be asked in full: pooled effect, heterogeneity, small-study effects and selection, other defensible
analyses. The review's variances of studies with several regions are wrong; what that changes is shown.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestIndPower

import metaexo as mx
from metaexo import report
from metaexo.formatting import interval, number, p_value, percent, plural

SAME_ANIMALS = 0.6  # correlation of errors of effects on the same animals: no study reports it
LABORATORY = dict.fromkeys(["bernardi_16_xin", "bernardi_18_xin"], "Xin (two studies)")  # by their texts
DIRECTED = "use != 'apart' and better in ('lower', 'higher')"
ANIMALS, CELLS = "animals", "cells in culture"
WITHOUT, ALL = "without doubtful rows", "all"
KINDS = {"ratio": "", "CD206|anti": "anti-inflammatory", "CD16|pro_": "pro-inflammatory", "Iba1": "all Iba1"}
REVIEW = "bernardi2024"
PRINTED, REPEATED = "as printed", "computed as the review did"
CORRECTED, REML, KNAPP_HARTUNG = "variances corrected", "corrected, REML", "corrected, REML, Knapp-Hartung"
ANALYSES = {  # variances, estimator of tau2, test
    REPEATED: ("v_review", "DL", "z"), CORRECTED: ("v", "DL", "z"), REML: ("v", "REML", "z"),
    KNAPP_HARTUNG: ("v", "REML", "knapp-hartung-adhoc"),
}  # fmt: skip
SIZES, ERRORS = ("regression test (root of 1/n1 + 1/n2)", "regression test (standard error)")
RANKS = "rank correlation test"
LESS, MORE, NEITHER = "less inflammation", "more inflammation", "neither"
POWER, SIGNIFICANT = 0.8, 0.10  # the level at which tests of asymmetry are read
FITS = {}  # paths of the multiverse make the same effects anew
SUBJECT = "Vesicles of MSC against control after brain injury in animals"


def main(analysis: report.Analysis) -> None:
    sheets = mx.read_sheets(analysis.data)
    every = effects(sheets)
    fit = pooled(part_of(every, ANIMALS, WITHOUT))

    # What do the vesicles do, and does it hold in other rows and with other assumptions?
    analysis.write_table("pooled", pd.DataFrame(variants(every)))
    analysis.write_table("markers", pd.DataFrame(by_kind(fit.effects)))

    # Do small studies find more, what is left, and would other defensible analyses have said otherwise?
    found, paths = mx.bias.report(fit), multiverse(sheets)
    methods = found.to_frame()
    usual = mx.bias.regression_test(fit, "se").to_frame().assign(kind="test")
    methods = pd.concat([methods, usual])[methods.columns]
    analysis.write_table("small_studies", methods)
    analysis.write_table("facts", pd.DataFrame([facts(sheets, fit, found, methods)]))
    analysis.write_table("paths", paths.shares())

    # What do the wrong variances of the review change?
    studies = as_reviewed(sheets)
    values = pooled_values(sheets, studies)
    analysis.write_table("variances", studies[studies["regions"] > 1])
    analysis.write_table("review", values)
    draw(analysis, fit, studies, values)
    say(analysis, fit, paths)


def effects(sheets, measure="SMD"):
    """Return the effects, positive for benefit; their study is the laboratory."""
    es = sheets.effects(measure, DIRECTED, "brain_outcomes")
    study = es.column("study_id").map(LABORATORY).fillna(es.column("study_name")).tolist()
    regions = [name.lower() if "_" not in name else "" for name in es.column("region").fillna("")]
    arms = es.column("treatment_label").str.extract(r"(arm .*)")[0].fillna("")
    words = zip(study, es.column("outcome_label"), regions, arms, strict=True)
    # the sheet calls animals and cultures of one study alike
    subjects = (es.column("group_of_subjects") + ", " + es.column("domain")).tolist()
    labels = [", ".join(filter(None, parts)) for parts in words]
    return es.with_columns(study=study, subjects=subjects).with_labels(labels)


@cache
def part_of(es, evidence, rows=ALL):
    """Return the effects in animals or in culture, with or without doubtful rows."""
    kept = (es.column("domain") == "preclinical") == (evidence == ANIMALS)
    return es.select((kept & ((es.column("use") != "doubtful") | (rows == ALL))).to_numpy(), "not asked for")


def by_model(es, correlation=SAME_ANIMALS, level="study"):
    """Return the multilevel fit; errors correlate on the same animals, and by controls that are shared."""
    key = (es.y.tobytes(), es.v.tobytes(), correlation, level)
    if key not in FITS:
        same = mx.covariance_blocks(es.v, list(es.column("subjects")), correlation=correlation)
        shared = mx.effects.covariance_matrix(mx.effects.shared_control_covariances(es)) - np.diag(es.v)
        errors = mx.effects.covariance_matrix(same) + shared
        FITS[key] = mx.Multilevel(es, f"{level}/effect", V=errors).fit(test="t-containment")
    return FITS[key]


def pooled(es, correlation=SAME_ANIMALS, level="study"):
    """Return the multilevel fit with intervals that are robust (CR2) by laboratory."""
    return by_model(es, correlation, level).robust(level)


def record(fit):
    names = ("estimate", "low", "high", "prediction_low", "prediction_high")
    values = {name: getattr(fit.pooled(), name) for name in names}
    shows = LESS if values["low"] > 0 else MORE if values["high"] < 0 else NEITHER
    about = {"k": fit.k, "laboratories": fit.effects.m, "tau2": fit.tau2, "i2": fit.i2}
    return {"shows": shows, **values, **about}


def variants(every):
    """Yield the pooled effect in animals, and what other rows and assumptions make of it."""
    es, whole, cells = part_of(every, ANIMALS, WITHOUT), part_of(every, ANIMALS), part_of(every, CELLS)
    fits = {
        (ANIMALS, WITHOUT): pooled(es),
        (ANIMALS, ALL): pooled(whole),
        (f"{ANIMALS}, correlation 0.3", WITHOUT): pooled(es, 0.3),
        (f"{ANIMALS}, correlation 0.9", WITHOUT): pooled(es, 0.9),
        (f"{ANIMALS}, by study", WITHOUT): pooled(es, SAME_ANIMALS, "study_name"),
        (f"{ANIMALS}, interval not robust", WITHOUT): by_model(es),
        (CELLS, ALL): pooled(cells),
    }
    for (evidence, rows), fit in fits.items():
        yield {"evidence": evidence, "rows": rows, **record(fit)}


def by_kind(es):
    """Yield the pooled effect of each kind of marker that at least three laboratories measured."""
    marker = es.column("outcome")
    kinds = np.select([marker.str.contains(pattern) for pattern in KINDS], list(KINDS.values()), "")
    for kind in filter(None, KINDS.values()):
        rows = kinds == kind
        if len({es.study[i] for i in np.flatnonzero(rows)}) >= 3:
            yield {"markers": kind, **record(pooled(es.select(rows, "another marker")))}


def facts(sheets, fit, found, methods):
    """Return what adjusted estimates and single laboratories change, what a study takes, what is reported."""
    usable = [one for one in found.estimates if one.usable and one.is_adjusted and np.isfinite(one.estimate)]
    values = np.array([one.estimate for one in usable] or [np.nan])
    middle = float(np.median(values))
    needed = TTestIndPower().solve_power(middle, power=POWER, alpha=0.05) if middle > 0 else np.nan
    studies = sheets.brain_studies
    unknown = studies["source_category"].isin(["msc_unspecified", "not_reported"])
    tests = methods[methods["kind"] == "test"].set_index("method")["pvalue"]
    without = mx.sensitivity.leave_one_out(fit, "study").to_frame()
    same = without["low"] > 0 if fit.estimate > 0 else without["high"] < 0
    main = record(fit)
    sizes = np.r_[fit.effects.column("treatment_n"), fit.effects.column("control_n")]
    return {
        **main, "methods": len(usable),
        "lowest": values.min(), "median": middle, "highest": values.max(),
        "p_sizes": tests[SIZES], "p_errors": tests[ERRORS], "p_ranks": tests[RANKS],
        "lowest_without_one": without["estimate"].min(), "highest_without_one": without["estimate"].max(),
        "rests_on": ", ".join(without.index[~same]) if main["shows"] != NEITHER else "",
        "include_no_effect": sum(one.low <= 0 <= one.high for one in usable),
        "median_per_group": np.median(sizes), "needed_per_group": np.ceil(needed), "studies": len(studies),
        "tissue_known": int((~unknown).sum()),
        "isolation_known": int((studies["isolation_category"] != "not_reported").sum()),
    }  # fmt: skip


def multiverse(sheets):
    """Return all paths of the choices on which analyses of these effects may differ."""

    def multilevel(es, test, correlation):  # of one maximum, whatever the test
        return replace(by_model(es, correlation), test=test or "t-containment")

    def cluster_robust(es, correlation):
        return pooled(es, correlation)

    choices = {
        "measure": ["SMD", "SMDH", "ROM"],
        "include": {WITHOUT: "use != 'doubtful'", ALL: None},
        "model": {
            "multilevel": multilevel, "cluster-robust": cluster_robust,
            "averages of laboratories": "aggregate", "one per laboratory": "one per study",
        },
        "correlation": [SAME_ANIMALS, 0.3, 0.9],
        "method": ["REML", "DL", "PM"],
        "test": {"small samples": None, "normal": "z"},
    }  # fmt: skip
    unless = ["model in ['multilevel', 'cluster-robust'] and method != 'REML'"]
    return mx.sensitivity.multiverse(
        lambda measure: part_of(effects(sheets, measure), ANIMALS), choices, unless=unless
    )


def as_reviewed(sheets):
    """Return one effect per marker and arm as the review made it, with its variance and the right one.

    Of several regions it takes the average with common-effect weights, as of one measurement. The variance is
    1/n1 + 1/n2 + y^2 / (2 N) then, N = n1 + n2; the review divides the whole sum by 2 N.
    """
    rows = sheets.brain_outcomes
    rows = rows.assign(table=rows["locator"].str.extract(r"(table\d+)$"))
    es = mx.effect_sizes("SMD", data=rows, study="study_name", variance="UB")
    made = []
    for (table, _), part in mx.split(es, ["table", "group_of_subjects"]).items():
        first, w = part.data.iloc[0], 1 / part.v
        n1, n2, y = first["treatment_n"], first["control_n"], float(w @ part.y / w.sum())
        v = v_review = float(part.v[0])
        if part.k > 1:
            v = 1 / n1 + 1 / n2 + y**2 / (2 * (n1 + n2))
            v_review = (1 / n1 + 1 / n2 + y**2) / (2 * (n1 + n2))
        arm = first["treatment_label"].partition(" arm ")[2]
        names = {"marker": first["outcome_label"], "study": part.study[0] + (f", arm {arm}" if arm else "")}
        numbers = {"regions": part.k, "y": y, "v_review": v_review, "v": v, "times_too_small": v / v_review}
        made.append({"table": table, **names, **numbers})
    return pd.DataFrame(made)


def pooled_values(sheets, studies):
    """Return the pooled values that the review printed, computed again, and with its variances corrected."""
    review = sheets.published_meta_analyses
    review = review[review["review_id"] == REVIEW]
    printed = review.set_index(review["locator"].str.extract(r"(table\d+)$")[0])
    table = []
    for name, part in studies.groupby("table", sort=False):
        if name not in printed.index or len(part) < 2:
            continue
        row = printed.loc[name]
        values = {PRINTED: (row["estimate"], row["ci_low"], row["ci_high"])}
        for analysis, (v, method, test) in ANALYSES.items():
            es = mx.EffectSizes(part["y"], part[v], "SMD")
            found = mx.RandomEffects(es).fit(method=method, test=test).pooled()
            values[analysis] = found.estimate, found.low, found.high
        about = {
            "marker": part["marker"].iloc[0],
            "k": len(part),
            "times_too_small": part["times_too_small"].max(),
        }
        for analysis, (estimate, low, high) in values.items():
            ends = {"estimate": estimate, "low": low, "high": high, "excludes_no_effect": low > 0 or high < 0}
            table.append({**about, "analysis": analysis, **ends})
    return pd.DataFrame(table)


def draw(analysis, fit, studies, values):
    title = f"{SUBJECT}: markers of microglia"
    ax = mx.plots.forest(
        fit, columns=["species"], label_title="Laboratory", row_height=10.5, title=title,
        favours=("more inflammation", "less inflammation"),
        notes=[f"Correlation of sampling errors on the same animals: {SAME_ANIMALS:g}, assumed."],
    )  # fmt: skip
    analysis.write_figure("forest", ax, title=title)
    title = f"{SUBJECT}: effect and sizes of the groups"
    line = mx.bias.regression_test(fit)
    ax = mx.plots.funnel(fit, yaxis="groups", overlays=[line], title=title)
    analysis.write_figure("funnel", ax, title=title)
    if (values["times_too_small"] > 1).any():
        title = f"{SUBJECT.replace(' in animals', '')}: variances of a review, and the right ones"
        rows, favours = affected(studies, values), ("less of the marker", "more of it")
        notes = [
            "Pooled as the review does it (DerSimonian-Laird, normal intervals) where nothing else is said."
        ]
        ax = mx.plots.forest(rows, by="head", label_title="", favours=favours, notes=notes, title=title)
        analysis.write_figure("variances", ax, title=title)


def affected(studies, values):
    """Return the studies with both variances and the pooled values, of markers with wrong variances."""
    rows = []
    for marker in values.loc[values["times_too_small"] > 1, "marker"].unique():
        for one in studies[studies["marker"] == marker].itertuples():
            both = {", variance of the review": one.v_review, ", corrected": one.v}
            shown = both if one.regions > 1 else {"": one.v}
            rows += [(f"{marker}: studies", one.study + words, one.y, v) for words, v in shown.items()]
        for one in values[(values["marker"] == marker) & (values["analysis"] != PRINTED)].itertuples():
            se = (one.high - one.low) / 2 / stats.norm.ppf(0.975)
            rows.append(
                (f"{marker}: pooled", one.analysis[0].upper() + one.analysis[1:], one.estimate, se**2)
            )
    table = pd.DataFrame(rows, columns=["head", "label", "y", "v"])
    return mx.EffectSizes("y", "v", "SMD", data=table, labels="label")


def say(analysis, fit, paths):
    tables = analysis.tables
    at = tables["pooled"].set_index(["evidence", "rows"]).sort_index()
    fact = tables["facts"].iloc[0]
    sure = report.certainty(
        design="within laboratory", m=fit.effects.m, decides=fact["shows"] != NEITHER,
        holds_without_doubtful=fact["shows"] == at.loc[(ANIMALS, ALL), "shows"],
        prediction=(fact["prediction_low"], fact["prediction_high"]), i2=fit.i2,
        indirect="markers of microglia in animals, no function", small_study_effects=bool(signs(fact)),
    )  # fmt: skip
    behind = {"k": fit.k, "m": fit.effects.m, "units": "laboratories", "table": "facts"}
    analysis.answer(answer(fact), **behind, certainty=sure)
    if fact["methods"]:
        analysis.state(of_adjusted(fact), table="facts")
    if np.isfinite(fact["needed_per_group"]):
        analysis.state(to_settle(fact), table="facts", part="settle", defined=[POWER])
    kinds = [f"{kind['markers']} {of_g(kind)}" for _, kind in tables["markers"].iterrows()]
    other = tables["pooled"][lambda t: t["evidence"].str.startswith(f"{ANIMALS},")]["estimate"]
    whole = at.loc[(ANIMALS, ALL)]
    doubtful = (
        "There are no doubtful rows"
        if whole["k"] == fit.k
        else f"With doubtful rows the mean is {of_g(whole)}"
    )
    neither = paths.shares().set_index("conclusion")["share"]["95% CI: neither"]
    analysis.write_summary(
        f"g is above 0 where inflammation is less. By kind of marker: {'; '.join(kinds)}. {doubtful}; "
        f"with other assumptions from {number(other.min())} "
        f"to {number(other.max())}, without one laboratory from {number(fact['lowest_without_one'])} to "
        f"{number(fact['highest_without_one'])}; in cultured cells, apart from these, "
        f"{of_g(at.loc[(CELLS, ALL)])}. Of {paths.distinct} distinct defensible analyses {percent(neither)} "
        "have an interval that includes no effect."
    )
    analysis.write_summary(of_small_studies(fact))
    analysis.write_summary(in_review(tables["review"], tables["variances"]))
    analysis.write_summary(
        f"The tissue of origin is known of {fact['tissue_known']:.0f} of {fact['studies']:.0f} studies, the "
        f"isolation of {fact['isolation_known']:.0f}: neither can be compared. All numbers are as the review "
        "read them, partly from figures."
    )


def signs(fact):
    """Return the signs of small-study effects, in words: what lowers the certainty is what is said.

    An adjusted interval that includes no effect is a sign only where the unadjusted one does not.
    """
    count, found = int(fact["include_no_effect"]), []
    if fact["p_sizes"] < SIGNIFICANT:
        found.append(
            f"the regression test on the sizes of the groups finds them ({p_value(fact['p_sizes'])})"
        )
    if count and fact["shows"] != NEITHER:
        verb = "include" if count > 1 else "includes"
        found.append(f"{count} of {fact['methods']} intervals that allow for them {verb} no effect")
    return found


def of_small_studies(fact):
    """Return whether there are signs of small-study effects, and which tests cannot say."""
    found, test = signs(fact), ""
    if not fact["p_sizes"] < SIGNIFICANT:
        test = f"the regression test on the sizes of the groups finds none ({p_value(fact['p_sizes'])})"
        test = f"{', although ' if found else ': '}{test}, which does not show that there is none"
    said = f"Signs of small-study effects: {'; '.join(found)}" if found else "No sign of small-study effects"
    return (
        f"{said}{test}. Two other tests hold the effect against its standard error, which grows with a "
        "standardised mean difference by construction, so that they cannot say: regression "
        f"({p_value(fact['p_errors'])}) and rank correlation ({p_value(fact['p_ranks'])})."
    )


def of_g(row):
    return f"g = {number(row['estimate'])} (95% CI {interval(row['low'], row['high'])})"


def answer(fact):
    """Return the answer, by what intervals, single laboratories and adjusted estimates say."""
    shift = {NEITHER: "do not clearly shift markers of microglia"}
    shift = shift.get(fact["shows"], f"shift markers of microglia towards {fact['shows']}")
    same = fact["prediction_low"] > 0 or fact["prediction_high"] < 0
    more = []
    if fact["shows"] != NEITHER:
        more = [f"a further laboratory {'should find the same' if same else 'may find none'}"]
        more += [f"without {fact['rests_on']} it is not shown"] if fact["rests_on"] else []
    if fact["shows"] == LESS and fact["methods"] and fact["highest"] < fact["estimate"]:
        more.append("less is left when small-study effects or selection are allowed for")
    but = (
        f", {'and' if same else 'but'} {', '.join(more[:-1])}{', and ' if more[1:] else ''}{more[-1]}"
        if more
        else ""
    )
    return (
        f"In animals with brain injury, MSC vesicles {shift}: {of_g(fact)[:-1]}; {fact['laboratories']} "
        f"laboratories){but}."
    )


def of_adjusted(fact):
    count = int(fact["include_no_effect"])
    return (
        f"After brain injury {plural(int(fact['methods']), 'method')} that allow for small-study effects or "
        f"selection leave {number(fact['lowest'])} to {number(fact['highest'])} of g = "
        f"{number(fact['estimate'])}; {count or 'none'} of their intervals "
        f"{'include' if count > 1 else 'includes'} no effect."
    )


def to_settle(fact):
    return (
        f"After brain injury: {fact['needed_per_group']:.0f} animals per group (median so far "
        f"{number(fact['median_per_group'], 0)}) to find the median adjusted effect (g = "
        f"{number(fact['median'])}) with a power of {percent(POWER)}; "
        "an outcome of function; isolation reported."
    )


def in_review(values, variances):
    """Return what the wrong variances of the review change, over all markers and in the worst."""
    close = values.pivot(index=["marker", "k"], columns="analysis", values="estimate")
    again = int((abs(close[PRINTED] - close[REPEATED]) < 0.0051).sum())
    count = values.groupby("analysis")["excludes_no_effect"].sum()
    told = [f"{row.study}, {row.marker}: {number(row.times_too_small, 1)}" for row in variances.itertuples()]
    worst = values.loc[values["times_too_small"].idxmax()]
    one = (
        values[values["marker"] == worst["marker"]]
        .set_index("analysis")
        .loc[[PRINTED, CORRECTED, KNAPP_HARTUNG]]
    )
    three = [f"{number(row['estimate'])} ({interval(row['low'], row['high'])})" for _, row in one.iterrows()]
    most = (
        f"; for {worst['marker']} it prints {three[0]}, the right ones give {three[1]}, and {three[2]} with "
        "REML and Knapp-Hartung"
    )
    return (
        f"{again} of {len(close)} pooled values of the review are found again to 0.01 from means, SDs and n. "
        f"Variances of studies with several regions are too small (times: {'; '.join(told) or 'none'}): "
        "1/n1 + 1/n2 + y^2 is divided by 2N, where only y^2 should be"
        f"{most if worst['times_too_small'] > 1 else ''}. Intervals exclude no effect in "
        f"{count[PRINTED]} values as printed and in {count[CORRECTED]} with the right variances; with REML "
        f"and Knapp-Hartung, which so few studies call for, in {count[KNAPP_HARTUNG]}."
    )


if __name__ == "__main__":
    report.run_alone(main)
