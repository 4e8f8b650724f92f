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
DIVERSITY = "ln_effective_mirnas"
UNKNOWN = "Not reported"
MAIN, ALL = ["main"], ["main", "doubtful"]
WITHOUT, ALL_ROWS = "without doubtful rows", "all"
MAIN_WAY, DOUBTFUL_TOO = "main", "with doubtful rows"
SMALL, LARGE = 0.05, 0.10  # of p-values, divided among outcomes; the lower end of a share that is named
SHARES, DRAWS, PERMUTATIONS, SEED = (0.1, 0.2, 0.4), 100, 199, 22
LEADING = {
    LABORATORY: "Mostly the laboratory and what goes with it (kit, sequencer, donors, disease)",
    SOURCE: "Mostly the source",
    METHOD: "Mostly the isolation method",
    GROUP: "Mostly neither: groups of samples of one laboratory differ",
}


def main(analysis: report.Analysis) -> None:
    cargo = mx.read_sheets(analysis.data).cargo_groups
    names = dict(zip(cargo["outcome"], cargo["outcome_label"], strict=True))
    fits = {outcome: fit for outcome in names if (fit := fitted(cargo, outcome)) is not None}
    if not fits:
        nothing_to_divide(analysis, cargo)
        return
    first = DIVERSITY if DIVERSITY in fits else next(iter(fits))
    constant = [name for outcome, name in names.items() if outcome not in fits]

    # Shares with intervals and tests, and what is left of them without a laboratory, a source or a method.
    shares = pd.concat([share_rows(fit, names[outcome]) for outcome, fit in fits.items()])
    analysis.write_table("shares", shares)
    rests = pd.concat([levels(fit, names[outcome], shares) for outcome, fit in fits.items()])
    analysis.write_table("levels", rests)

    # Labels permuted between laboratories; other rows, variances and models.
    verdicts = pd.DataFrame([attributed(fit, names[outcome], len(fits)) for outcome, fit in fits.items()])
    analysis.write_table("attribution", verdicts)
    checked = pd.concat([other_ways(cargo, outcome, names[outcome], fit) for outcome, fit in fits.items()])
    analysis.write_table("sensitivity", checked)
    analysis.write_table("verdict", pd.DataFrame([ranges(shares) | found_by_tests(shares, rests, verdicts)]))

    # What doubtful rows do where they move most, and what could have been found.
    moved = most_moved(checked, names)
    doubtful = doubts(cargo, moved, fits)
    table = pd.DataFrame([fit.tau2_shares for fit in doubtful.values()], columns=list(WORDS.values()))
    about = {"rows": list(doubtful), "k": [fit.k for fit in doubtful.values()], "outcome": names[moved]}
    analysis.write_table("doubtful", table.assign(**about))
    power = pd.concat([could_find(fits[first], term) for term in (SOURCE, METHOD)])
    analysis.write_table("power", power.assign(outcome=names[first]))
    analysis.write_table("facts", pd.DataFrame([facts(fits[first])]))

    draw(analysis, {names[o]: fit for o, fit in fits.items()})
    say(analysis, shares, checked)
    if constant:
        analysis.write_summary(f"No variance between groups is found in {listed(constant)}.")


def fitted(cargo, outcome):
    """Return the fit of an outcome; None if its terms are not identifiable, or no variance is found."""
    try:
        fit = model(groups(cargo, outcome))
    except (errors.InputError, errors.TooFewStudiesError, errors.NotIdentifiableError):
        return None
    return fit if fit.tau2 > 0 else None


def nothing_to_divide(analysis, cargo):
    """Answer that no shares can be given."""
    known = cargo[(cargo[SOURCE] != UNKNOWN) & (cargo[METHOD] != UNKNOWN) & cargo["use"].isin(MAIN)]
    counts = {"groups": len(known[["study_id", "treatment_label"]].drop_duplicates())}
    counts |= {"laboratories": known[LABORATORY].nunique()}
    analysis.write_table("facts", pd.DataFrame([counts]))
    analysis.answer(
        "Cannot be said: no outcome of miRNA cargo has a variance between groups of samples that source, "
        "isolation method and laboratory could share, or too few groups name both source and method.",
        k=counts["groups"],
        m=counts["laboratories"],
        units="laboratories",
        certainty="very low",
        reasons="observational comparison; nothing to compare",
        table="facts",
    )


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
    """Return which term leads in how many outcomes, in how many clearly, the shares there, and exceptions."""
    table = wide(shares)
    leads = table.idxmax(axis=1)
    leading = leads.value_counts().index[0]
    inside, other = table[leads == leading], leads[leads != leading]
    clear = inside[[beyond_others(shares, outcome, leading) for outcome in inside.index]]
    row = {"leading": leading, "outcomes": len(inside), "of": len(table), "beyond": len(clear)}
    for name, part in (("", inside), (" beyond", clear)):
        for term in WORDS.values():
            row |= {f"{term} low{name}": part[term].min(), f"{term} high{name}": part[term].max()}
    by_term = [f"the {term} in {listed(other.index[other == term])}" for term in other.unique()]
    source = shares[(shares["term"] == WORDS[SOURCE]) & (shares["low"] >= LARGE)]
    source = source[(leading != WORDS[SOURCE]) & ~source["outcome"].isin(clear.index)]
    large = [
        f"{percent(share)} in {small(name)}"
        for name, share in zip(source["outcome"], source["share"], strict=True)
    ]
    return row | {"others": " and ".join(by_term), "source_in": " and ".join(large[:2])}


def beyond_others(shares, outcome, leading):
    """Return whether the interval of a share lies above those of source, method and laboratory besides it."""
    part = shares[shares["outcome"] == outcome].set_index("term")
    others = [WORDS[term] for term in (SOURCE, METHOD, LABORATORY) if WORDS[term] != leading]
    return bool(part.loc[leading, "low"] > part.loc[others, "high"].max())


def small(label):
    """Return the label of an outcome for the middle of a sentence; names such as miR-21-5p stay."""
    return f"the {label[0].lower()}{label[1:]}" if label[0].isupper() else label


def listed(labels):
    return " and ".join(small(label) for label in labels)


def found_by_tests(shares, rests, verdicts):
    """Return in how many outcomes each test finds a variance of the source and of the method."""
    row, tests = {}, len(verdicts)
    for term in (SOURCE, METHOD):
        word = WORDS[term]
        part = rests[(rests["component"] == word) & (rests["left_out"] == WORDS[LABORATORY])]
        p = shares.loc[shares["term"] == word, "pvalue"]
        row |= {f"{word} by likelihood": int((p < SMALL / tests).sum())}
        row |= {f"{word} without one laboratory": int((part["p_without"] < SMALL / tests).sum())}
        named = [word in factors.split("; ") for factors in verdicts["factors"]]
        row |= {f"{word} by permutation": sum(named)}
    return row


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


def levels(fit, name, shares):
    """Return the laboratory, and the source or method, without which least is left of each share, with tests.

    Laboratories are all that used several sources or methods: they tell laboratory, source and method apart.
    """
    most = max(1, int((used_by(fit).max(axis=1) > 1).sum()))
    found = mx.sensitivity.leave_one_level_out(fit, [SOURCE, METHOD, LABORATORY], most=most)
    table = pd.DataFrame(found.shares, columns=list(found.components)).assign(
        term=found.terms, level=found.levels, lost=fit.k - found.k
    )
    of_laboratory = table["term"] == LABORATORY
    whole = dict(zip(found.components, found.whole_shares, strict=True))
    outcomes = shares["outcome"].nunique()
    pvalues = shares[shares["outcome"] == name].set_index("term")["pvalue"]
    rows = []
    for component in (SOURCE, METHOD):
        for part in (table[of_laboratory], table[~of_laboratory]):
            left = part.loc[part[component].fillna(float("inf")).idxmin()]
            p = pvalues[WORDS[component]]
            if left["term"] == LABORATORY and p < SMALL / outcomes:  # what was not found needs no second look
                rest = fit.effects.select(
                    (fit.effects.column(LABORATORY) != left["level"]).to_numpy(), "left out"
                )
                p = model(rest).test_components().to_frame()["pvalue"][component]
            row = {"outcome": name, "component": WORDS[component], "share": whole[component]}
            row |= {"left_out": WORDS[left["term"]], "level": left["level"], "share_without": left[component]}
            row |= {"groups_lost": int(left["lost"]), "k": fit.k}
            made = whole[component] >= LARGE and left[component] < whole[component] / 2
            rows.append(row | {"p_without": p if left["term"] == LABORATORY else None, "rests_on_it": made})
    return pd.DataFrame(rows).assign(
        leads_always=bool((table[list(whole)].idxmax(axis=1) == LABORATORY).all())
    )


def used_by(fit):
    """Return how many sources and methods each laboratory used."""
    return fit.effects.data.groupby(LABORATORY)[[METHOD, SOURCE]].nunique()


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


def attributed(fit, name, outcomes):
    """Return which factors explain more than labels permuted between laboratories, adjusted for outcomes."""
    choices = {"cluster": LABORATORY, "permutations": PERMUTATIONS, "seed": SEED}
    level = 1 - SMALL / outcomes
    found = mx.heterogeneity.attribution_verdict(fit.effects, [SOURCE, METHOD], level=level, **choices)
    words = found.sentence.replace("ource kind", "ource").replace("isolation step", WORDS[METHOD])
    factors = "; ".join(WORDS[factor] for factor in found.factors)
    return {"outcome": name, "verdict": found.kind, "factors": factors, "sentence": words}


def facts(fit):
    """Return how many laboratories, sources and methods there are, and laboratories with several."""
    data = fit.effects.data
    used = used_by(fit)
    levels = {"laboratories": len(used), "sources": data[SOURCE].nunique(), "methods": data[METHOD].nunique()}
    several = (used > 1).sum()
    return {"k": fit.k, **levels, "two_methods": several[METHOD], "two_sources": several[SOURCE]}


def draw(analysis, fits):
    title = "miRNA cargo of vesicles: how the variance between groups of samples is divided"
    notes = [
        "Sampling error aside. Observational: laboratories differ in more than source and isolation method."
    ]
    ax = mx.plots.variance_shares(fits, wording=WORDS, title=title, notes=notes)
    analysis.write_figure("shares", ax, title=title)


def say(analysis, shares, checked):
    tables = analysis.tables
    about, verdict = tables["facts"].iloc[0], tables["verdict"].iloc[0]
    analysis.answer(
        answer_words(verdict),
        k=int(about["k"]),
        m=int(about["laboratories"]),
        units="laboratories",
        certainty=certainty(verdict, checked, int(about["laboratories"])),
        table="verdict",
        figure="shares",
    )
    analysis.state(share_words(verdict), table="verdict")
    analysis.state(tests_words(verdict), table="verdict")
    for paragraph in paragraphs(analysis, tables, shares, checked):
        analysis.write_summary(paragraph)


def answer_words(row):
    """Return the answer: which term leads in how many outcomes, in how many clearly, and where others do."""
    words = next(text for term, text in LEADING.items() if WORDS[term] == row["leading"])
    where = f"in all {row['of']}" if row["outcomes"] == row["of"] else f"in {row['outcomes']} of {row['of']}"
    exceptions = row["others"].replace(" in ", " leads in ", 1)
    first, *others = (span(row[f"{term} low"], row[f"{term} high"]) for term in by_rank(row))
    rest = ", ".join(f"{term} {share}" for term, share in zip(by_rank(row)[1:], others, strict=True))
    return (
        f"{words}: {first} of the variance of miRNA cargo {where} outcomes (observational), {rest}"
        f"{'; ' if exceptions else ''}{exceptions}."
    )


def by_rank(row):
    """Return the leading term and those of source, isolation method and laboratory that do not lead."""
    others = [WORDS[term] for term in (LABORATORY, SOURCE, METHOD)]
    return [row["leading"], *(term for term in others if term != row["leading"])]


def share_words(row):
    """Return the shares where the leading term is clear, or else leads, and where the source is large."""
    name = " beyond" if row["beyond"] else ""
    first, *others = (
        f"{term} {span(row[f'{term} low{name}'], row[f'{term} high{name}'])}" for term in by_rank(row)
    )
    apart = f"Where its interval overlaps no other ({plural(row['beyond'], 'outcome')})"
    where = apart if row["beyond"] else "Where it leads"
    large = f"; the source has {row['source_in']}" if row["source_in"] else ""
    return f"{where}: {first}, {', '.join(others)}{large}."


def tests_words(row):
    """Return what the tests of source and method find, and what is left of it without one laboratory."""
    ways = ("by likelihood", "without one laboratory", "by permutation")
    whole, without, permuted = (
        f"{row[f'{WORDS[SOURCE]} {way}']} and {row[f'{WORDS[METHOD]} {way}']}" for way in ways
    )
    return (
        f"Likelihood-ratio tests find source and method to matter in {whole} of {row['of']} outcomes, "
        f"without one laboratory in {without}; permutation between laboratories, which assumes least, in "
        f"{permuted} (all adjusted)."
    )


def span(low, high):
    """Return a range of shares in words."""
    a, b = percent(low), percent(high)
    return b if a == b else f"{a.removesuffix('%')} to {b}"


def power_words(power):
    """Return which shares the likelihood-ratio test could have found, and how exactly this is known."""
    found = power.set_index(["term", "share"])["power"]
    each = [
        f"{', '.join(percent(found[WORDS[term], share]) for share in SHARES)} for the {WORDS[term]}"
        for term in (SOURCE, METHOD)
    ]
    asked = ", ".join(percent(share) for share in SHARES)
    return (
        f"In {small(power['outcome'].iloc[0])} the power of the likelihood-ratio test (p < {SMALL:g}) for a "
        f"true share of {asked} is {' and '.join(each)} ({DRAWS} simulations each, standard errors up to "
        f"{percent(power['se'].max())})."
    )


def doubtful_words(table):
    """Return what doubtful rows, and one level among them, do to a share; nothing if there are none."""
    without, every, rest = (table.iloc[i] for i in range(3))
    if every["k"] == without["k"]:
        return "No row is doubtful."
    term = max((WORDS[SOURCE], WORDS[METHOD]), key=lambda one: abs(every[one] - rest[one]))
    made = every[term] > 2 * rest[term]
    return (
        f"In {small(every['outcome'])} the share of the {term} is {percent(without[term])} without doubtful "
        f"rows, {percent(every[term])} with them, and {percent(rest[term])} with {rest['rows'][:1].lower()}"
        f"{rest['rows'][1:]}: {'one level makes it' if made else 'no single level makes it'}."
    )


def paragraphs(analysis, tables, shares, checked):
    """Yield the detail: what was modelled, tests, other ways, single levels, doubtful rows, power."""
    about, verdict = tables["facts"].iloc[0], tables["verdict"].iloc[0]
    several = [
        plural(int(about[f"two_{what}"]), "laboratory", "laboratories") for what in ("sources", "methods")
    ]
    yield (
        f"{about['k']} groups of samples of {about['laboratories']} laboratories, {about['sources']} sources "
        f"and {about['methods']} isolation methods, both reported. {several[0]} used several sources, "
        f"{several[1]} several methods; all else is compared between laboratories. Variances are by the "
        "groups' own SDs; groups of one take part where all groups have one SD. Shares are of the variance "
        "between groups, sampling error aside. Detected are miRNAs of 10 counts per million or more; equal "
        f"depth is 10,000 counts. Over all outcomes where the {verdict['leading']} leads, "
        f"{'; '.join(wider(verdict, term) for term in (LABORATORY, SOURCE, METHOD))} "
        f"(`{analysis.file_name('shares')}`)."
    )
    yield tests_apart(analysis, tables)
    main = checked[checked["way"] == MAIN_WAY].set_index("outcome")["leading"]
    other = checked[checked["leading"] != checked["outcome"].map(main)]
    ways = "; ".join(f"{small(row.outcome)}, {row.way}: {row.leading}" for row in other.itertuples())
    rests = tables["levels"]
    always = rests.drop_duplicates("outcome")["leads_always"].sum()
    made = [
        f"in {small(r.outcome)} the share of the {r.component} falls from {percent(r.share)} to "
        f"{percent(r.share_without)} without {r.left_out} {r.level} ({r.groups_lost} of {r.k} groups)"
        for r in rests[rests["rests_on_it"]].itertuples()
    ]
    yield (
        "The largest share is that of the same term with other rows, variances, laboratories and terms"
        f"{f', but for {ways}' if ways else ''} (`{analysis.file_name('sensitivity')}`). Whichever source, "
        f"method, or laboratory of several of them is left out, the laboratory leads in {always} of "
        f"{len(main)} outcomes; {'; '.join(made) or 'no share of source or method is made by one of them'} "
        f"(`{analysis.file_name('levels')}`). {doubtful_words(tables['doubtful'])} "
        f"{power_words(tables['power'])}"
    )


def wider(row, term):
    return f"{WORDS[term]} {span(row[f'{WORDS[term]} low'], row[f'{WORDS[term]} high'])}"


def tests_apart(analysis, tables):
    """Return why the tests of source and method differ, and which is to be believed."""
    found = tables["attribution"]
    named = [
        f"{small(r.outcome)} ({r.factors.replace('; ', ' and ')})" for r in found.itertuples() if r.factors
    ]
    return (
        f"Each test is at {SMALL:g} divided by the number of outcomes. Likelihood-ratio tests take the SDs "
        "of groups, many of two or three samples, as known and effects as normal; permutation of whole "
        "laboratories takes neither for granted, and finds "
        f"{', '.join(named) if named else 'neither in any outcome'}. Where they "
        "disagree, believe the permutation: a share that it does not find may be that of laboratories. It "
        "finds less than there is, with so few laboratories of several methods "
        f"(`{analysis.file_name('attribution')}`)."
    )


def certainty(row, checked, laboratories):
    """Rate the answer: the leading term is clear in most outcomes where it leads, with all rows and SDs."""
    most = checked.groupby("way")["leading"].agg(lambda terms: terms.mode()[0])
    return report.certainty(
        design="observational",
        m=laboratories,
        decides=bool(row["beyond"] > row["outcomes"] / 2),
        holds_without_doubtful=bool((most == row["leading"]).all()),
    )


if __name__ == "__main__":
    report.run_alone(main)
