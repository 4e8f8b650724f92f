"""Effects by source and by isolation method: forests, strata, tests between them, and what explains what."""

from __future__ import annotations

import math
import re
from typing import Any

from metaexo.effects import back_pooled
from metaexo.evidence.vocabulary import VOCABULARIES, Kind, unclear
from metaexo.formatting import MISSING, level_words, number, p_value, percent, plural
from metaexo.heterogeneity import AttributionResults, StratifiedResults
from metaexo.heterogeneity.attribution.estimability import Estimability
from metaexo.heterogeneity.attribution.verdicts import PRECISE
from metaexo.heterogeneity.levels import is_unreported, readable
from metaexo.heterogeneity.strata.fit import Stratum
from metaexo.plots import estimability, forest
from metaexo.report.content import Block, Listing, ReportFigure, ReportTable, Section, Words
from metaexo.report.own.counts import rare_events
from metaexo.report.own.fits import levels_of
from metaexo.report.own.part import Part
from metaexo.report.own.pooled import FEWEST_TO_PREDICT, heterogeneity_is_shown
from metaexo.report.own.words import (
    factor_words,
    figure_of,
    groups_of,
    listed,
    measure_words,
    null_shown,
    sentence,
    short,
    small,
    typeset,
    with_interval,
)

ALL = "All studies"
MOST_NAMED = 4
MOST_ROWS = 60  # of a forest on one page
MOST_LEVELS = 10  # of a factor on a map of combinations
MOST_DRAWN = 2000  # rows that a forest plot can have
COSTLY = 1.5  # times by which standard errors grow where factors come together, from which it is said
MEETING = (
    (0.3, "are spread over each other"),
    (0.7, "partly come together"),
    (0.999, "mostly come together"),
    (1.0, "always come together"),
)
"""Cramer's V up to which two factors meet so, in words."""
COUNTS = re.compile(
    r"\d+ (effects?|of \d+ comparisons?)\b|used: |interaction: |one level only: |together they explain",
    re.IGNORECASE,
)
"""Reasons of a verdict that count rows and degrees of freedom, which the tables show."""
HINT = " The tests of each alone show no difference, so this is a hint at most."


def strata_section(part: Part, factor: str) -> Section:
    """Return the section on one factor: what is found, the forest, the strata, the tests between them."""
    blocks: list[Block] = [Words(strata_sentence(part, factor))]
    if words := _several_words(part, factor):
        blocks.append(Words(words))
    blocks += [forest_by(part, factor), strata_table(part, factor)]
    tests = part.between.get(factor)
    if tests is not None:
        blocks.append(_tests_table(part, factor))
        blocks += [Words(sentence(typeset(text)), "caution") for text in tests.cautions()]
    return Section(part.called(f"by_{part.names[factor]}"), f"By {factor_words(factor)}", tuple(blocks))


def _several_words(part: Part, factor: str) -> str:
    """Return that studies are in several strata, and how the test between strata allows for that."""
    several = part.in_several(factor)
    if not several:
        return ""
    who = f"{plural(len(several), 'study is', 'studies are')} in several strata"
    named = f" ({listed(several)})" if len(several) <= MOST_NAMED else ""
    what = f"{who}{named}, with one row in each"
    if part.strata[factor].between is None:
        return f"{what}."
    return (
        f"{what}. The test between strata takes studies, not rows, as independent: it is robust to what rows "
        "of one study have in common, such as a control group (CR2 with Satterthwaite's degrees of freedom). "
        "Within a stratum every study counts once."
    )


# -- the forest ----------------------------------------------------------------------------------------------


def forest_by(part: Part, factor: str | None) -> ReportFigure | Words:
    """Return the forest plot by a factor, or of all rows without strata; words where there are too many."""
    rows = part.studies if factor is None else part.rows_by[factor]
    if rows.k > MOST_DRAWN:
        return Words(f"{rows.k} rows are too many for a forest plot; the table of strata has the numbers.")
    title = part.title if factor is None else f"{part.title}, by {factor_words(factor)}"
    shown: Any = rows if factor is None else part.strata[factor]
    if factor is None and part.fit is not None and not rare_events(part):
        shown = part.fit
    # the pooled effect of all is that of the studies, each once, and stands in a figure of its own
    once = factor is None or not part.in_several(factor)
    others = [one for one in part.asked.by if one != factor and rows.data is not None and one in rows.data]
    first, second = groups_of(part)
    turned = part.every.oriented
    favours = None if turned else (f"lower with {first}", f"higher with {first}")
    of_groups = part.every.measure.orientation == "negate"
    favours = (f"favours {second}", f"favours {first}") if turned else favours
    ax = forest(
        shown, columns=others, titles={one: factor_words(one).capitalize() for one in others},
        favours=favours if of_groups else None, level=part.asked.level, title=title,
        pages=rows.k > MOST_ROWS, overall=once, weights="overall" if once else "stratum",
    )  # fmt: skip
    name = part.called("forest" if factor is None else f"forest_by_{part.names[factor]}")
    return ReportFigure(name, title, _seen(part, factor), figure_of(ax))


def _seen(part: Part, factor: str | None) -> str:
    """Return in words what a forest shows, and what comes out."""
    rows = part.studies if factor is None else part.rows_by[factor]
    what = f"Forest plot of {plural(rows.k, 'row')} from {plural(rows.m, 'study', 'studies')}"
    parts = [f"{what}, {measure_words(part.every.measure)} with {level_words(part.asked.level)} intervals"]
    if part.fit is not None and not rare_events(part):
        found = part.fit.pooled()
        pooled = with_interval(part.studies, part.asked.level, found.estimate, found.low, found.high)
        parts.append(f"pooled {pooled}")
    if factor is not None:
        parts += [_stratum_words(part, s) for s in part.strata[factor].strata]
    return f"{'; '.join(parts)}."


# -- the strata ----------------------------------------------------------------------------------------------


def strata_table(part: Part, factor: str) -> ReportTable:
    """Return the table of the strata."""
    frame, level = part.strata[factor].to_frame(), level_words(part.asked.level)
    notes = [
        "A stratum of one study has the effect of that study; it is in no test. Prediction intervals are "
        f"shown from {FEWEST_TO_PREDICT} studies."
    ]
    if part.in_several(factor):
        frame = frame.iloc[: len(part.strata[factor].strata)].copy()
        notes.append("The pooled effect of all studies, each counted once, is in the table above.")
    names = ("estimate", "low", "high", "prediction_low", "prediction_high")
    by_name = {s.name: s.effects for s in part.strata[factor].strata}
    for name in names:
        frame[f"{name}_shown"] = [
            float(back_pooled(by_name.get(stratum, part.studies), [value])[0])
            for stratum, value in zip(frame["stratum"], frame[name], strict=True)
        ]
    few = frame["m"] < FEWEST_TO_PREDICT
    ends = ["prediction_low_shown", "prediction_high_shown"]
    frame.loc[few, ends] = math.nan
    same = any(name.strip().casefold() == ALL.casefold() for name in by_name)
    frame.loc[len(by_name) :, "stratum"] = f"{ALL} together" if same else ALL
    frame["note"] = frame["note"].map(typeset).map(_capital)
    headings = {
        "stratum": factor_words(factor).capitalize(), "m": "Studies", "k": "Rows",
        "estimate_shown": short(part.every.measure), "low_shown": f"{level} CI, lower",
        "high_shown": f"{level} CI, upper", "prediction_low_shown": "Prediction, lower",
        "prediction_high_shown": "Prediction, upper", "tau2": "τ²", "i2": "I²", "note": "Note",
    }  # fmt: skip
    if frame[ends].isna().all(axis=None):  # an empty column leaves no room for the notes
        headings = {name: heading for name, heading in headings.items() if name not in ends}
    formats = {f"{name}_shown": ".2f" for name in names} | {"tau2": ".3f", "i2": "%"}
    frame.attrs = {}
    return ReportTable(
        part.called(f"by_{part.names[factor]}"), f"Pooled effect by {factor_words(factor)}", frame,
        headings, formats, notes=tuple(notes), null=null_shown(part.every),
    )  # fmt: skip


def _tests_table(part: Part, factor: str) -> ReportTable:
    """Return the table of the tests between strata."""
    frame = part.between[factor].to_frame()
    frame["test"] = frame["test"].map(_capital)
    frame["note"] = frame["note"].map(typeset).map(_capital)
    headings = {
        "test": "Test", "number": "Strata compared", "left_out": "Left out", "statistic": "Statistic",
        "df1": "df", "df2": "df of the denominator", "pvalue": "p", "note": "Note",
    }  # fmt: skip
    formats = {"statistic": ".2f", "df1": ".0f", "df2": ".1f", "pvalue": "p"}
    return ReportTable(
        part.called(f"tests_by_{part.names[factor]}"), f"Do effects differ by {factor_words(factor)}?",
        frame, headings, formats,
    )  # fmt: skip


def _capital(text: str) -> str:
    """Return words of a cell with a capital."""
    return f"{text[:1].upper()}{text[1:]}"


def _stratum_words(part: Part, stratum: Stratum) -> str:
    """Return a stratum with its effect: "Adipose MSC 0.80 (95% CI 0.40 to 1.20; 5 studies)"."""
    pooled = stratum.pooled if stratum.pooled is not None else stratum.single
    studies = plural(stratum.m, "study", "studies")
    if pooled is None:
        return f"{stratum.name} ({studies})"
    values = (pooled.estimate, pooled.low, pooled.high)
    text = with_interval(stratum.effects, part.asked.level, *values)
    return f"{stratum.name} {text.removesuffix(')')}; {studies})"


def strata_sentence(part: Part, factor: str) -> str:
    """Return the sentence of the answer on one factor: whether effects differ by it, or why it is open."""
    found, one, many = part.strata[factor], factor_words(factor), factor_words(factor, many=True)
    reported = [s for s in found.strata if s.reported]
    lacking = sum(s.m for s in found.strata if not s.reported)
    unknown = unknown_words(part, factor)
    silent = max(lacking - len(unknown), 0)
    if not reported and not unknown:
        return f"No study reports its {one}, so whether effects differ by it cannot be said."
    missing = f"; {plural(silent, 'study does', 'studies do')} not report it" if silent else ""
    if unknown:
        words = listed(sorted({f"“{word}”" for word in unknown.values()})[:MOST_NAMED])
        who = plural(len(unknown), "study names", "studies name")
        missing += f"; {who} the {one} in words that the vocabulary does not know ({words}), "
        missing += "which counts as not reported"
    if not reported:
        return f"No {one} is known, so whether effects differ by it cannot be said{missing}."
    if len(reported) == 1:
        alone = reported[0].m == 1
        who = "The only study" if alone else "All studies"
        verb = "has" if alone else "have"
        who = f"{who} that report{'s' if alone else ''} it" if lacking or silent else who
        why = f"so whether effects differ by it cannot be said{missing}"
        return f"{who} {verb} one {one} ({reported[0].name}), {why}."
    if rare_events(part):
        return f"With so few events {many} cannot be compared{missing}."
    tests = part.between.get(factor)
    if tests is None:
        return f"{_untested(found, reported, one, many)}{missing}."
    return f"{_tested(part, factor, found)}{missing}."


def unknown_words(part: Part, factor: str) -> dict[str, str]:
    """Return the studies whose source or isolation is named in words that lead to no category, with these."""
    data = part.every.data
    column = f"{factor}_reported"
    if factor not in VOCABULARIES or data is None or column not in data:
        return {}
    kind: Kind = "source" if factor == "source" else "isolation"
    levels = levels_of(part.every, factor)
    rows = zip(part.every.study, data[column], levels, strict=True)
    return {
        study: text
        for study, text, level in rows
        if is_unreported(level) and isinstance(text, str) and unclear(kind, text) == "no category"
    }


def _untested(found: StratifiedResults, reported: list[Stratum], one: str, many: str) -> str:
    """Return why strata that there are cannot be compared."""
    single = [s for s in reported if s.m < 2]
    start = f"Whether effects differ by {one} cannot be tested"
    if len(single) == len(reported):
        return f"{start}: each of {len(reported)} {many} has one study only"
    large = [s.name for s in reported if s not in single]
    if len(large) > 1:
        return f"{start}: {typeset(found.between_note.removeprefix('no test: ').partition('; ')[0])}"
    return (
        f"{start}: only {listed(large)} has two studies or more, {listed([s.name for s in single])} one each"
    )


def _tested(part: Part, factor: str, found: StratifiedResults) -> str:
    """Return what the tests between strata find, with the strata, the largest effect first."""
    tests, alpha = part.between[factor], 1 - part.asked.level
    compared = sorted(found.compared, key=lambda s: -(s.pooled.estimate if s.pooled else 0.0))
    named = compared if len(compared) <= MOST_NAMED else [compared[0], compared[-1]]
    strata = listed([_stratum_words(part, s) for s in named])
    if len(named) < len(compared):
        strata = f"from {strata} among {len(compared)} strata"
    named_tests = {"": tests.formula, " by permutation": tests.permutation}
    known = {how: one.pvalue for how, one in named_tests.items() if one.decides(part.asked.level)}
    words = ", ".join(f"{p_value(value)}{how}" for how, value in known.items())
    if " by permutation" not in known:
        words += "; too few studies for a permutation test"
    if all(value < alpha for value in known.values()):
        few = _small_strata(found, tests.formula_without.pvalue, alpha)
        return (
            f"Effects differ by {factor_words(factor)} ({words}): {strata}{few}{_given_others(part, factor)}"
        )
    if any(value < alpha for value in known.values()):
        return f"The tests disagree on whether effects differ by {factor_words(factor)} ({words}): {strata}"
    compared_studies = {study for s in compared for study in s.effects.study}
    return (
        f"A difference between {factor_words(factor, many=True)} was not shown ({words}), and with "
        f"{plural(len(compared_studies), 'study', 'studies')} that does not show there is none: {strata}"
    )


def _given_others(part: Part, factor: str) -> str:
    """Return what is left of a difference once the other factors are allowed for, where it is in doubt."""
    found = part.attribution
    if found is None:
        return ""
    others = listed([factor_words(name) for name in part.asked.by if name != factor])
    if confounded(part):
        return f"; it may as well be one by {others}, which is confounded with it"
    row = next((one for one in found.parts if one.name == factor), None)
    if row is None or row.pvalue is None or row.pvalue < 1 - part.asked.level:
        return ""
    return f"; allowing for {others} it is not shown ({p_value(row.pvalue)})"


def confounded(part: Part) -> bool:
    """Return whether factors come together in these studies, so that they cannot be separated."""
    found = part.attribution
    if found is None or found.verdict.kind != "not_separable":
        return False
    together = [pair.v for pair in found.confounding.associations if pair.v is not None]
    return not found.estimability.separable or any(v > MEETING[1][0] for v in together)


def _small_strata(found: StratifiedResults, without: float, alpha: float) -> str:
    """Return that a difference rests on strata of two studies, where it does."""
    if not found.small or without < alpha:
        return ""
    names = listed([s.name for s in found.small])
    also = f" ({p_value(without)} without)" if without == without else ""
    return f"; this rests on strata of two studies, {names}{also}"


# -- what explains the heterogeneity -------------------------------------------------------------------------


def attribution_section(part: Part) -> Section | None:
    """Return the section on what the factors explain; None with fewer than two factors or studies."""
    found = part.attribution
    names = listed([factor_words(name) for name in part.asked.by], "or")
    title = f"Is it {names}?"
    if len(part.asked.by) < 2 or part.fit is None:
        return None
    if found is None:
        known = "No study reports" if part.reporting is None else "Only one study reports"
        every = listed([factor_words(name) for name in part.asked.by])
        text = f"{known} {every}, so which of them explains differences between studies cannot be asked."
        return Section(part.called("attribution"), title, (Words(text), crossing_table(part)))
    blocks: list[Block] = [Words(verdict_sentence(part, found))]
    lacking = part.studies.m - found.effects.m
    if lacking:
        who = plural(lacking, "study that does", "studies that do")
        blocks.append(Words(f"{who} not report {names} {'is' if lacking == 1 else 'are'} not in this."))
    if items := _reasons(found):
        blocks.append(Listing(tuple(map(sentence, items))))
    blocks += _crossing_map(part, found.estimability)
    blocks.append(crossing_table(part))
    if any(one.share is not None for one in found.parts):
        blocks.append(attribution_table(part, found))
    return Section(part.called("attribution"), title, tuple(blocks))


def verdict_sentence(part: Part, found: AttributionResults) -> str:
    """Return which of the factors goes with the differences between studies, the others allowed for."""
    rows = {one.name: one for one in found.parts if one.kind == "factor"}
    together = next((one.pvalue for one in found.parts if one.kind == "together"), None)
    known = {name: one.pvalue for name, one in rows.items() if one.pvalue is not None}
    if len(known) < len(part.asked.by) or together is None:
        return typeset(found.verdict.sentence)
    named = [name for name in part.asked.by if name in found.verdict.factors]
    others = [name for name in part.asked.by if name not in named]
    each = [f"{factor_words(name)} ({p_value(known[name])})" for name in part.asked.by]
    if found.verdict.kind == "not_separable":
        return (
            f"Together, {listed([factor_words(name) for name in part.asked.by])} go with the differences "
            f"between studies ({p_value(together)}), but none of them does once the others are allowed for: "
            f"{listed(each)}. These studies cannot say which of them it is."
            + ("" if any(differs(part, name) for name in part.between) else HINT)
        )
    if not named:
        alone = [name for name in part.between if differs(part, name)]
        still = listed([f"{factor_words(name)} ({p_value(known[name])})" for name in alone])
        doubt = f" The difference by {still} above takes it alone; the others allowed for, it is not shown."
        return (
            f"Neither {' nor '.join(map(factor_words, part.asked.by))} explains the differences between "
            f"studies better than labels permuted at random do (together {p_value(together)}); with "
            f"{plural(found.estimability.used.m, 'study', 'studies')} that does not show that neither "
            f"matters.{doubt if alone else ''}"
        )
    first = listed([f"{factor_words(name)} ({p_value(known[name])})" for name in named])
    rest = listed([f"{factor_words(name)} ({p_value(known[name])})" for name in others])
    also = f"; for {rest}, {first_alone(named)} allowed for, that is not shown" if others else ""
    return f"Differences between studies go with {first}, also when the others are allowed for{also}."


def first_alone(named: list[str]) -> str:
    """Return factors in the middle of a sentence."""
    return listed([factor_words(name) for name in named])


def differs(part: Part, factor: str) -> bool:
    """Return whether both tests say that effects differ by a factor."""
    tests = (part.between[factor].formula, part.between[factor].permutation)
    known = [one.pvalue for one in tests if one.decides(part.asked.level)]
    return bool(known) and all(p < 1 - part.asked.level for p in known)


def _reasons(found: AttributionResults) -> list[str]:
    """Return what stands behind the verdict in plain words: how the factors meet, and what it costs."""
    ours = set(found.confounding.words())
    numbers = "factor" in {one.kind for one in found.parts if one.pvalue is not None}
    kept = [why for why in found.verdict.reasons if why not in ours]
    kept = [
        why for why in kept if (why.startswith("what one factor does") if numbers else not COUNTS.match(why))
    ]
    for pair in found.confounding.associations:
        if pair.v is None:
            continue
        names = listed([factor_words(name, many=True) for name in pair.factors])
        how = next((words for limit, words in MEETING if pair.v <= limit), MEETING[-1][1])
        kept.append(
            f"{names} {how}: Cramér's V {number(pair.v)}, from 0 (each with each alike) to 1 (each with one "
            f"of the other); combinations without a study: {pair.empty} of {pair.cells}"
        )
    for one in found.confounding.inflations:
        if COSTLY <= one.factor_on_se < math.inf:
            kept.append(
                f"because they come together, what goes with {factor_words(one.factor)} is known "
                f"{number(one.factor_on_se, 1)} times less precisely"
            )
    return kept


def attribution_table(part: Part, found: AttributionResults) -> ReportTable:
    """Return the table of the factors with their shares and tests; the file has every part and all digits."""
    frame = found.to_frame()
    frame.attrs = {}
    m = found.estimability.used.m
    frame.insert(0, "part", [factor_words(one.name).capitalize() for one in found.parts])
    frame.insert(1, "m", m)
    known = m >= PRECISE and part.fit is not None and heterogeneity_is_shown(part.fit)
    lacking = f"not estimable with {plural(m, 'study', 'studies')}"
    shares = frame[["share", "low", "high"]].clip(0, 1)
    frame["share_shown"] = [
        f"{percent(share)} ({percent(low)} to {percent(high)})" if known and share == share else lacking
        for share, low, high in shares.itertuples(index=False)
    ]
    level = level_words(part.asked.level)
    headings = {
        "part": "Factor", "m": "Studies", "share_shown": f"Share of τ² ({level} interval)",
        "pvalue": "p, the others allowed for", "pvalue_alone": "p, alone",
    }  # fmt: skip
    few = (
        f"A share of the variance between studies can be estimated from about {PRECISE} studies, and where "
        "there clearly is such a variance. "
        if not known
        else ""
    )
    note = (
        f"{few}p: how often permuted labels explain as much. It is of the share of the variance, so it can "
        "differ somewhat from the tests between means above. The file of this table has every part, not cut "
        "off."
    )
    rows = tuple(i for i, one in enumerate(found.parts) if one.kind == "factor")
    return ReportTable(
        part.called("attribution"), "What goes with the differences between studies", frame, headings,
        {"pvalue": "p", "pvalue_alone": "p"}, notes=(note,), rows=rows,
    )  # fmt: skip


def _crossing_map(part: Part, found: Estimability) -> list[Block]:
    """Return the map of how two factors meet in the studies; nothing for others, or for many levels."""
    sizes = [len(levels) for levels in found.table.levels]
    if len(sizes) != 2 or min(sizes) < 2 or max(sizes) > MOST_LEVELS:
        return []
    names = listed([factor_words(name, many=True) for name in found.by])
    title = f"{part.title}: {names} of the studies"
    seen = f"Map of {names}, with studies (m) and rows (k) in each combination. {'. '.join(found.words())}."
    figure = figure_of(estimability(found, title=title))
    return [ReportFigure(part.called("crossing"), title, seen, figure)]


def crossing_table(part: Part) -> ReportTable:
    """Return how many studies have each combination of levels; two factors are crossed, others listed."""
    import pandas as pd

    by = list(part.asked.by)
    studies = "number of studies" if "studies" in by else "studies"
    counts = pd.DataFrame({name: levels_of(part.rows, name) for name in by}).groupby(by).size()
    headings = {name: factor_words(name).capitalize() for name in by}
    if is_crossed(part):
        frame = counts.unstack().add_prefix(f"{by[1]}: ").reset_index()
        headings = {by[0]: headings[by[0]]} | {name: name.partition(": ")[2] for name in frame.columns[1:]}
        what = f"studies of each {factor_words(by[0])} (rows) by {factor_words(by[1])} (columns)"
        dash = f" {MISSING}: no study has this combination." if frame.isna().any(axis=None) else ""
    else:
        frame, dash = counts.rename(studies).reset_index(), ""
        headings |= {studies: "Studies"}
        what = "studies of each combination; those that no study has are not listed"
    note = (
        f"Numbers of {what}.{dash} Where one of them comes with one of the other only, they are confounded."
    )
    return ReportTable(
        part.called("crossing"),
        f"How {listed([factor_words(name, many=True) for name in by])} meet in the studies",
        frame, headings, dict.fromkeys(map(str, frame), ".0f"), notes=(note,),
    )  # fmt: skip


def is_crossed(part: Part) -> bool:
    """Return whether the combinations are shown with a column per level of the second of two factors."""
    by = part.asked.by
    return len(by) == 2 and len(set(levels_of(part.rows, by[1]))) <= MOST_LEVELS


def settling_pair(found: Estimability) -> str:
    """Return a combination of levels that would link what no study links: "Plant by size exclusion"."""
    if len(found.groups) < 2 or found.used.p != 2:
        return ""
    first, second = found.groups[0].levels, found.groups[1].levels
    return f"{small(readable(first[0][0]))} with {small(readable(second[1][0]))}"
