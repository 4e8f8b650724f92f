"""
How much of the variability is source, isolation method or laboratory?
======================================================================

Groups of samples of public projects differ in the miRNAs that their vesicles carry. Each of seven outcomes of
the profile is modelled with random effects of the exosome source, of the step that decides the isolation, of
the laboratory, and of the group of samples; their shares of the variance between groups, sampling error
aside, are the answer. Leave-one-level-out says what rests on one level, other rows and variances say what
depends on choices, and simulation says which share this design could have found.
"""

import warnings

import pandas as pd

import metaexo as mx
from metaexo import errors, report
from metaexo.formatting import percent, plural

SOURCE, METHOD, LABORATORY, GROUP = "source_kind", "isolation_step", "laboratory", "effect"
TERMS = [SOURCE, METHOD, LABORATORY, GROUP]
WORDS = {SOURCE: "source", METHOD: "isolation method", LABORATORY: "laboratory", GROUP: "rest between groups"}
DIVERSITY, RED_CELL = "ln_effective_mirnas", "log10_redcell_share"
UNKNOWN = "Not reported"
MAIN, ALL = ["main"], ["main", "doubtful"]
WITHOUT, ALL_ROWS = "without doubtful rows", "all"
MAIN_WAY, DOUBTFUL_TOO = "main", "with doubtful rows"
SMALL, LARGE = 0.05, 0.10  # a p-value, and the least lower end of the share of a source that is named
SHARES, DRAWS, PERMUTATIONS, SEED = (0.1, 0.2, 0.4), 100, 99, 22
LABORATORIES_LEFT_OUT = 15  # those with the largest predicted effects
LEADING = {
    LABORATORY: "Mostly the laboratory", SOURCE: "Mostly the source", METHOD: "Mostly the isolation method",
    GROUP: "Mostly neither: groups of one laboratory differ",
}  # fmt: skip


def main(analysis: report.Analysis) -> None:
    cargo = mx.read_sheets(analysis.data).cargo_groups
    labels = cargo["outcome_label"].str.replace(r", (ln|log2 CPM|log10 share)$", "", regex=True)
    names = dict(zip(cargo["outcome"], labels, strict=True))

    # Shares with intervals and tests, and what other rows, variances and models make of them.
    fits = {outcome: model(groups(cargo, outcome)) for outcome in names}
    shares = pd.concat([share_rows(fit, names[outcome]) for outcome, fit in fits.items()])
    analysis.write_table("shares", shares)
    analysis.write_table("ranges", pd.DataFrame([ranges(shares)]))
    checked = pd.concat([other_ways(cargo, outcome, names[outcome], fit) for outcome, fit in fits.items()])
    analysis.write_table("sensitivity", checked)

    # What rests on one level, what doubtful rows do, and what could have been found.
    rests = pd.concat([levels(fit, names[outcome]) for outcome, fit in fits.items()])
    analysis.write_table("levels", rests)
    moved = most_moved(checked, names)
    doubtful = doubts(cargo, moved, fits)
    table = pd.DataFrame([fit.tau2_shares for fit in doubtful.values()], columns=list(WORDS.values()))
    about = {"rows": list(doubtful), "k": [fit.k for fit in doubtful.values()], "outcome": names[moved]}
    analysis.write_table("doubtful", table.assign(**about))
    power = pd.concat([could_find(fits[DIVERSITY], term) for term in (SOURCE, METHOD)])
    analysis.write_table("power", power)
    verdicts = [attributed(fits[outcome], names[outcome]) for outcome in (DIVERSITY, RED_CELL)]
    analysis.write_table("attribution", pd.DataFrame(verdicts))
    analysis.write_table("facts", pd.DataFrame([facts(fits[DIVERSITY])]))

    draw(analysis, {names[o]: fit for o, fit in fits.items()}, names[moved], doubtful)
    say(analysis, shares, checked)


def groups(cargo, outcome, use=MAIN, own_sd=True):
    """Return the means of groups of known source and method, with variances by their own SDs or by one SD."""
    rows = cargo[(cargo["outcome"] == outcome) & cargo["use"].isin(use)]
    rows = rows[(rows[SOURCE] != UNKNOWN) & (rows[METHOD] != UNKNOWN)].reset_index(drop=True)
    n, sd = rows["treatment_n"], rows["treatment_sd"]
    if own_sd:  # groups of one, or with an SD of 0, have none
        v = (sd**2 / n).where(n > 1)
    else:
        v = mx.effects.pooled_sd(sd, n, rows["outcome"].tolist())[outcome] ** 2 / n
    kept = (v > 0).to_numpy()
    data = rows[kept].reset_index(drop=True)
    with warnings.catch_warnings():  # SDs of two or three samples are as different as that
        warnings.simplefilter("ignore", errors.VarianceRatioWarning)
        return mx.EffectSizes(
            data["treatment_mean"], v[kept].to_numpy(), "MN", study=data["study_id"].tolist(), data=data
        )


def model(es, terms=TERMS, moderators=None):
    """Return the fit with crossed random effects."""
    return mx.Multilevel(es, list(terms), moderators=moderators).fit()


def share_rows(fit, outcome):
    """Return a row per term: share with interval, variance, likelihood-ratio test."""
    table = fit.conf_int_shares().join(fit.test_components().to_frame()[["statistic", "pvalue"]])
    table.insert(0, "term", [WORDS[name] for name in table.index])
    table.insert(0, "outcome", outcome)
    about = {"k": fit.k, "laboratories": fit.effects.data[LABORATORY].nunique()}
    return table.assign(tau2=list(fit.tau2_by_component.values()), **about).reset_index(drop=True)


def wide(shares):
    """Return the shares by outcome and term."""
    return shares.pivot(index="outcome", columns="term", values="share").loc[shares["outcome"].unique()]


def ranges(shares):
    """Return which term leads in how many outcomes, the shares there, and where another one leads."""
    table = wide(shares)
    leads = table.idxmax(axis=1)
    leading = leads.value_counts().index[0]
    inside, other = table[leads == leading], table[leads != leading]
    row = {"leading": leading, "outcomes": len(inside), "of": len(table)}
    for term in WORDS.values():
        row |= {f"{term} low": inside[term].min(), f"{term} high": inside[term].max()}
    exceptions = [f"{name} ({leads[name]} {percent(table.loc[name, leads[name]])})" for name in other.index]
    return row | {"others": "; ".join(exceptions)}


def other_ways(cargo, outcome, name, fit):
    """Return the shares with other rows, variances, laboratories and terms, a row per way."""
    main = fit.effects
    wide_laboratories = main.with_columns(laboratory=main.column("laboratory_wide").tolist())
    ways = {
        MAIN_WAY: (WITHOUT, fit),
        DOUBTFUL_TOO: (ALL_ROWS, model(groups(cargo, outcome, ALL))),
        "one SD for all groups": (WITHOUT, model(groups(cargo, outcome, own_sd=False))),
        "laboratories joined more widely": (WITHOUT, model(wide_laboratories)),
        "given sequencing depth": (WITHOUT, model(main, moderators="ln_total_counts")),
        "study within laboratory": (WITHOUT, model(main, [SOURCE, METHOD, "laboratory/study", GROUP])),
    }
    rows = []
    for way, (kept, one) in ways.items():
        share = dict(zip(one.tau2_by_component, one.tau2_shares.tolist(), strict=True))
        share[LABORATORY] += share.pop("laboratory/study", 0.0)  # a project of a laboratory is of it
        about = {"outcome": name, "way": way, "rows": kept, "k": one.k}
        leads = {"leading": WORDS[max(share, key=share.get)]}
        rows.append(about | leads | {WORDS[term]: share[term] for term in TERMS})
    return pd.DataFrame(rows)


def levels(fit, name):
    """Return what changes the shares of source and method most: a source, a method or a laboratory."""
    found = mx.sensitivity.leave_one_level_out(fit, most=LABORATORIES_LEFT_OUT)
    makes = {(one.component, one.level) for one in found.rests_on()}
    rows = []
    for left in (found.most_influential(term) for term in (SOURCE, METHOD)):
        row = {"outcome": name, "component": WORDS[left.component], "share": left.share}
        row |= {"left_out": WORDS[left.term], "level": left.level, "share_without": left.share_without}
        rows.append(row | {"rests_on_it": (left.component, left.level) in makes})
    return pd.DataFrame(rows)


def most_moved(checked, names):
    """Return the outcome in which doubtful rows move the share of the source or of the method most."""
    terms = [WORDS[SOURCE], WORDS[METHOD]]
    by_way = checked.set_index(["way", "outcome"])[terms]
    moved = (by_way.loc[DOUBTFUL_TOO] - by_way.loc[MAIN_WAY]).abs().max(axis=1)
    return {name: outcome for outcome, name in names.items()}[moved.idxmax()]


def doubts(cargo, outcome, fits):
    """Return the fits without doubtful rows, with them, and with all but the level that moves shares most."""
    every = model(groups(cargo, outcome, ALL))
    found = mx.sensitivity.leave_one_level_out(every, [SOURCE, METHOD])
    left = max(
        (found.most_influential(term) for term in (SOURCE, METHOD)),
        key=lambda one: one.share - one.share_without,
    )
    rest = model(every.effects.select((every.effects.column(left.term) != left.level).to_numpy(), "left out"))
    lost = plural(every.k - rest.k, "group")
    return {
        "Without doubtful rows": fits[outcome],
        "With doubtful rows": every,
        f"All but {WORDS[left.term]} {left.level} ({lost})": rest,
    }


def could_find(fit, term):
    """Return the power of the likelihood-ratio test in the layout of a fit."""
    found = mx.sensitivity.power_of_component(fit, term, SHARES, draws=DRAWS, seed=SEED)
    return found.to_frame().assign(term=WORDS[term])


def attributed(fit, name):
    """Return the verdict of the attribution with laboratories in the place of studies."""
    choices = {"cluster": LABORATORY, "permutations": PERMUTATIONS, "seed": SEED}
    found = mx.heterogeneity.attribution_verdict(fit.effects, [SOURCE, METHOD], **choices)
    words = found.sentence.replace("ource kind", "ource").replace("isolation step", WORDS[METHOD])
    return {"outcome": name, "verdict": found.kind, "sentence": words}


def facts(fit):
    """Return how many laboratories, sources and methods there are, and laboratories with several."""
    data = fit.effects.data
    used = data.groupby(LABORATORY)[[METHOD, SOURCE]].nunique()
    levels = {"laboratories": len(used), "sources": data[SOURCE].nunique(), "methods": data[METHOD].nunique()}
    several = (used > 1).sum()
    return {"k": fit.k, **levels, "two_methods": several[METHOD], "two_sources": several[SOURCE]}


def draw(analysis, fits, name, doubtful):
    title = "miRNA cargo of vesicles: how the variance between groups of samples is divided"
    notes = [
        "Sampling error aside. Observational: laboratories differ in more than source and isolation method."
    ]
    ax = mx.plots.variance_shares(fits, wording=WORDS, title=title, notes=notes)
    analysis.write_figure("shares", ax, title=title)
    title = f"{name}: what doubtful rows do to the shares of the variance"
    analysis.write_figure(
        "doubtful", mx.plots.variance_shares(doubtful, wording=WORDS, title=title), title=title
    )


def say(analysis, shares, checked):
    tables = analysis.tables
    about = tables["facts"].iloc[0]
    analysis.answer(
        answer_words(tables["ranges"].iloc[0]),
        k=int(about["k"]),
        m=int(about["laboratories"]),
        units="laboratories",
        certainty=certainty(shares, checked),
        table="ranges",
        figure="shares",
    )
    by_source = shares[(shares["term"] == WORDS[SOURCE]) & (shares["low"] >= LARGE)]
    if len(by_source):
        row = by_source[["outcome", "term"]].to_dict("records")
        analysis.state(source_words(by_source), table="shares", row=row)
    rows = tables["power"][["term", "share"]].to_dict("records")
    analysis.state(power_words(tables["power"]), table="power", row=rows)
    three = tables["doubtful"]
    analysis.state(doubtful_words(three), table="doubtful", row=[{"rows": name} for name in three["rows"]])
    analysis.state(settle_words(about), table="facts", part="settle")
    for paragraph in paragraphs(analysis, tables, shares, checked):
        analysis.write_summary(paragraph)


def answer_words(row):
    """Return the answer from the ranges of shares."""
    terms = [WORDS[LABORATORY], WORDS[SOURCE], WORDS[METHOD]]
    lab, source, method = (f"{span(row[f'{term} low'], row[f'{term} high'])}" for term in terms)
    where = "all" if row["outcomes"] == row["of"] else f"{row['outcomes']} of"
    words = next(text for term, text in LEADING.items() if WORDS[term] == row["leading"])
    exceptions = f"; another term leads in {row['others']}" if row["others"] else ""
    return (
        f"{words}: of the variance of miRNA cargo between groups of samples, {lab} goes with the laboratory, "
        f"{source} with the source and {method} with the isolation method in {where} {row['of']} outcomes"
        f"{exceptions}."
    )


def span(low, high):
    """Return a range of shares in words."""
    a, b = percent(low), percent(high)
    return b if a == b else f"{a.removesuffix('%')} to {b}"


def source_words(rows):
    """Return in which outcomes the share of the source is not small, with intervals."""
    each = [
        f"{name} (share {percent(share)}, 95% interval {span(low, high)})"
        for name, share, low, high in rows[["outcome", "share", "low", "high"]].itertuples(index=False)
    ]
    return (
        f"Sources differ in {' and '.join(each)}; elsewhere the interval of their share includes small ones."
    )


def power_words(power):
    """Return which shares this layout could have found."""
    found = power.set_index(["term", "share"])["power"]
    each = [
        f"{', '.join(percent(found[WORDS[term], share]) for share in SHARES)} for the {WORDS[term]}"
        for term in (SOURCE, METHOD)
    ]
    asked = ", ".join(percent(share) for share in SHARES)
    return f"Simulated, the probability to find a true share of {asked} is {' and '.join(each)}."


def doubtful_words(table):
    """Return what doubtful rows, and one level among them, do to a share."""
    without, every, rest = (table.iloc[i] for i in range(3))
    term = max((WORDS[SOURCE], WORDS[METHOD]), key=lambda one: abs(every[one] - rest[one]))
    made = every[term] > 2 * rest[term]
    return (
        f"{every['outcome']}: the share of the {term} is {percent(without[term])} without doubtful rows, "
        f"{percent(every[term])} with them, and {percent(rest[term])} with {rest['rows'][:1].lower()}"
        f"{rest['rows'][1:]}: {'one level makes it' if made else 'no single level makes it'}."
    )


def settle_words(about):
    return (
        f"Only {about['two_methods']} of {about['laboratories']} laboratories used two isolation methods, so "
        "that method and laboratory are separated by assumption; one material, divided among methods in "
        "several laboratories, would settle it."
    )


def paragraphs(analysis, tables, shares, checked):
    """Yield the detail: what was modelled, tests, other ways, single levels, attribution."""
    about = tables["facts"].iloc[0]
    yield (
        f"{about['k']} groups of samples of {about['laboratories']} laboratories, {about['sources']} sources "
        f"and {about['methods']} isolation methods, both reported. Variances are by the groups' own SDs; "
        "groups of one take part where all groups have one SD. Shares are of the variance between groups, "
        "sampling error aside. The comparisons are observational: laboratories differ in donors too. "
        f"Intervals and tests: `{analysis.file_name('shares')}`."
    )
    small = shares[shares["pvalue"] < SMALL].groupby("term").size()
    tests = " and ".join(f"the {WORDS[t]} in {small.get(WORDS[t], 0)}" for t in (SOURCE, METHOD))
    main = checked[checked["way"] == MAIN_WAY].set_index("outcome")["leading"]
    other = checked[checked["leading"] != checked["outcome"].map(main)]
    ways = "; ".join(f"{row.outcome}, {row.way}: {row.leading}" for row in other.itertuples())
    yield (
        f"Likelihood-ratio tests find a variance (p < {SMALL:g}) of {tests} of {len(main)} outcomes. The "
        "largest share is that of the same term with other rows, variances, laboratories and terms"
        f"{f', but for {ways}' if ways else ''} (`{analysis.file_name('sensitivity')}`)."
    )
    made = [
        f"{r.outcome}: the share of the {r.component} falls from {percent(r.share)} to "
        f"{percent(r.share_without)} without {r.left_out} {r.level}"
        for r in tables["levels"].itertuples()
        if r.rests_on_it
    ]
    verdicts = " ".join(f"{r.outcome}: {r.sentence}" for r in tables["attribution"].itertuples())
    yield (
        f"Leave-one-level-out: {'; '.join(made) or 'no share of source or method is made by one level'} "
        f"(`{analysis.file_name('levels')}`). Attribution, laboratories permuted. {verdicts}"
    )


def certainty(shares, checked):
    """Rate the answer: the leading share exceeds the others, and leads whatever the rows and variances."""
    row = ranges(shares)
    leads = wide(shares).idxmax(axis=1)
    inside = shares[shares["outcome"].isin(leads.index[leads == row["leading"]])].set_index("outcome")
    others = inside[inside["term"].isin({WORDS[SOURCE], WORDS[METHOD]} - {row["leading"]})]
    high, low = others.groupby("outcome")["high"].max(), inside.loc[inside["term"] == row["leading"], "low"]
    decides = bool((low > high.reindex(low.index)).mean() > 0.5)
    most = checked.groupby("way")["leading"].agg(lambda terms: terms.mode()[0])
    holds = bool((most == row["leading"]).all())
    laboratories = int(shares["laboratories"].max())
    return report.certainty(
        design="observational", m=laboratories, decides=decides, holds_without_doubtful=holds
    )


if __name__ == "__main__":
    report.run_alone(main)
