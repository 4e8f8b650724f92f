"""How far the pooled effect can be trusted: small and single studies, other analyses, bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from metaexo.bias import RegressionTest
from metaexo.formatting import p_value, plural
from metaexo.models.linear.results import FitResults
from metaexo.plots import funnel
from metaexo.report.content import Block, ReportFigure, ReportTable, Section, Words
from metaexo.report.own.part import ENOUGH, Part
from metaexo.report.own.words import (
    ends,
    figure_of,
    listed,
    measure_words,
    null_shown,
    null_words,
    sentence,
    short,
    shown_end,
    side,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

SUGGESTIVE, SIGNIFICANT = 0.10, 0.05
MOST_NAMED = 4


# -- small-study effects -------------------------------------------------------------------------------------


def small_studies_section(part: Part) -> Section | None:
    """Return the section on small-study effects; None without a pooled effect."""
    if part.fit is None:
        return None
    blocks: list[Block] = [Words(small_studies_sentence(part)), funnel_of(part, part.fit)]
    test = part.small_studies
    if test is not None:
        frame = test.to_frame()
        frame.attrs = {}
        headings = {
            "method": "Test", "k": "Rows", "coef": "Slope", "se": "SE", "statistic": "Statistic", "df": "df",
            "pvalue": "p",
        }  # fmt: skip
        headings = {name: words for name, words in headings.items() if name in frame}
        formats = {"coef": ".2f", "se": ".2f", "statistic": ".2f", "df1": ".1f", "df": ".1f", "pvalue": "p"}
        notes = tuple(sentence(plain(text)) for text in (test.reason, *test.cautions()) if plain(text))
        blocks.append(
            ReportTable(
                part.called("small_studies"),
                "Test for small-study effects",
                frame,
                headings,
                formats,
                notes=notes,
            )
        )
    return Section(part.called("small_studies"), "Small-study effects", tuple(blocks))


def plain(text: str) -> str:
    """Return words of a test without what is to be typed in Python, clause by clause."""
    return "; ".join(clause for clause in text.split("; ") if "mx." not in clause and "data=" not in clause)


def small_studies_sentence(part: Part) -> str:
    """Return what is known of small-study effects, or why nothing is."""
    if part.studies.m < ENOUGH:
        return (
            f"With {plural(part.studies.m, 'study', 'studies')} small-study effects and publication bias "
            f"were not tested: at least {ENOUGH} are needed for a test to tell anything. That none was "
            "tested is no evidence that there are none."
        )
    if part.small_studies is None:
        why = plain(part.no_small_studies)
        return f"Small-study effects could not be tested: {why}."
    test = part.small_studies
    words = f"{test.name}, {p_value(test.pvalue)}"
    if sizes_alike(test):
        return (
            "Whether small studies show other effects than large ones cannot be seen: the studies hardly "
            f"differ in size ({words})."
        )
    if math.isnan(test.pvalue):
        return f"Small-study effects could not be tested ({test.name})."
    if test.pvalue < SUGGESTIVE:
        may = "may show" if test.pvalue >= SIGNIFICANT else "show"
        return (
            f"Small studies {may} other effects than large ones ({words}): publication bias is one reason, "
            "poorer methods of small studies and true differences are others."
        )
    return (
        f"No difference between small and large studies was found ({words}), which does not show that there "
        "is none."
    )


def sizes_alike(test: RegressionTest) -> bool:
    """Return whether studies hardly differ in size, so that a test among them has nothing to go by."""
    return any("hardly differ" in text for text in test.cautions())


def funnel_of(part: Part, fit: FitResults) -> ReportFigure:
    """Return the funnel plot of the rows that are pooled."""
    title = f"{part.title}: funnel plot"
    drawn: Any = {"title": title}
    if not part.every.oriented and not math.isnan(part.every.measure.null):
        drawn["axis_label"] = measure_words(part.every.measure).capitalize()
    ax = funnel(fit, **drawn)
    seen = (
        f"Funnel plot of {plural(part.studies.k, 'row')}: {measure_words(part.every.measure)} against its "
        f"standard error. {small_studies_sentence(part)}"
    )
    return ReportFigure(part.called("funnel"), title, seen, figure_of(ax))


# -- single studies ------------------------------------------------------------------------------------------


def left_out_section(part: Part) -> Section | None:
    """Return the section on the pooled effect without each study in turn; None with fewer than three."""
    found = part.left_out
    if found is None:
        return None
    frame = found.to_frame()
    frame.attrs = {}
    frame = frame.reset_index(names="left_out")
    names = ("estimate", "low", "high")
    for name in names:
        frame[f"{name}_shown"] = ends(part.studies, *frame[name])
    level = f"{100 * part.asked.level:.10g}%"
    headings = {
        "left_out": "Study left out", "estimate_shown": short(part.every.measure),
        "low_shown": f"{level} CI, lower", "high_shown": f"{level} CI, upper", "pvalue": "p", "tau2": "τ²",
        "i2": "I²",
    }  # fmt: skip
    formats = {f"{name}_shown": ".2f" for name in names} | {"pvalue": "p", "tau2": ".3f", "i2": "%"}
    headings = {name: words for name, words in headings.items() if name in frame}
    table = ReportTable(
        part.called("leave_one_out"), "Pooled effect without each study in turn", frame, headings, formats,
        null=null_shown(part.every),
    )  # fmt: skip
    return Section(
        part.called("leave_one_out"), "Does it rest on one study?", (Words(left_out_sentence(part)), table)
    )


def resting_on(part: Part) -> list[str]:
    """Return the studies without which the interval says something else of no effect than with all."""
    found, null = part.left_out, part.every.measure.null
    if found is None or part.fit is None or math.isnan(null):
        return []
    pooled = part.fit.pooled()
    whole = side(pooled.low, pooled.high, null)
    sides = [side(float(a), float(b), null) for a, b in zip(found.low[:, 0], found.high[:, 0], strict=True)]
    return [name for name, one in zip(found.labels, sides, strict=True) if one not in (whole, None)]


def left_out_sentence(part: Part) -> str:
    """Return what leaving out one study at a time does."""
    found = part.left_out
    if found is None:
        return "With fewer than three studies none can be left out."
    values = ends(part.studies, *found.beta[:, 0])
    known = [(value, name) for value, name in zip(values, found.labels, strict=True) if not math.isnan(value)]
    (low, least), (high, most) = min(known), max(known)
    first, last = shown_end(part.every, low), shown_end(part.every, high)
    text = (
        f"Leaving out one study at a time, the pooled effect goes from {first} (without {least}) to {last} "
    )
    text += f"(without {most})"
    if first == last:
        text = f"Leaving out one study at a time, the pooled effect stays at {first}"
    names = resting_on(part)
    if math.isnan(part.every.measure.null):
        return f"{text}."
    if not names:
        return f"{text}; the interval {_of_null(part)} each time."
    who = listed(names, "or")
    if len(names) > MOST_NAMED:
        who = f"any one of {len(names)} studies ({', '.join(names[:MOST_NAMED])}, ...)"
    return f"{text}; with all studies the interval {_of_null(part)}, but without {who} it does not."


def _of_null(part: Part) -> str:
    """Return what the interval of the pooled effect says of no effect: "includes 0", "excludes 1"."""
    if part.fit is None:
        return ""
    pooled = part.fit.pooled()
    verb = "excludes" if side(pooled.low, pooled.high, part.every.measure.null) else "includes"
    return f"{verb} {null_words(part.every)}"


# -- other analyses ------------------------------------------------------------------------------------------


def sensitivity_section(part: Part) -> Section | None:
    """Return the section on other defensible analyses; None without a pooled effect."""
    frame = part.analyses
    if frame is None:
        return None
    level = f"{100 * part.asked.level:.10g}%"
    headings = {
        "rows": "Rows used", "model": "Model", "method": "τ² by", "interval": "Interval", "k": "Rows",
        "m": "Studies", "estimate_shown": short(part.every.measure), "low_shown": f"{level} CI, lower",
        "high_shown": f"{level} CI, upper", "tau2": "τ²", "note": "Note",
    }  # fmt: skip
    formats = {"estimate_shown": ".2f", "low_shown": ".2f", "high_shown": ".2f", "tau2": ".3f"}
    if not frame["note"].astype(bool).any():
        del headings["note"]
    table = ReportTable(
        part.called("sensitivity"), "Other defensible analyses of the same sheet", frame, headings, formats,
        notes=("The first row is the analysis of this report.",), null=null_shown(part.every),
    )  # fmt: skip
    return Section(
        part.called("sensitivity"), "Would other analyses say the same?",
        (Words(sensitivity_sentence(part, frame)), table),
    )  # fmt: skip


def sensitivity_sentence(part: Part, frame: pd.DataFrame) -> str:
    """Return how far the other analyses go from that of the report."""
    known = frame[frame["estimate"].notna()]
    low, high = float(known["estimate_shown"].min()), float(known["estimate_shown"].max())
    many = plural(len(known), "analysis", "analyses")
    first, last = shown_end(part.every, low), shown_end(part.every, high)
    text = f"In {many} the pooled effect goes from {first} to {last}"
    if first == last:
        text = f"The pooled effect is {first} in all of {many}"
    null = part.every.measure.null
    if math.isnan(null) or len(known) < 2:
        return f"{text}."
    sides = [side(float(a), float(b), null) for a, b in zip(known["low"], known["high"], strict=True)]
    other = sum(one != sides[0] for one in sides)
    if not other:
        return f"{text}; the interval {_of_null(part)} in all."
    those, do = ("that", "does") if other == 1 else ("those", "do")
    return (
        f"{text}; the interval of this report {_of_null(part)}, {those} of {other} of the {len(known) - 1} "
        f"others {do} not."
    )


def holds(part: Part) -> bool:
    """Return whether no other analysis says something else of no effect."""
    frame, null = part.analyses, part.every.measure.null
    if frame is None or math.isnan(null):
        return True
    known = frame[frame["estimate"].notna()]
    sides = {side(float(a), float(b), null) for a, b in zip(known["low"], known["high"], strict=True)}
    return len(sides) < 2


# -- results with p alone ------------------------------------------------------------------------------------


def bounds_section(part: Part) -> Section | None:
    """Return the section on results with p alone; None where there are none."""
    import pandas as pd

    if part.bounds is None:
        return None
    text = bounds_sentence(part)
    fit = part.censored
    if fit is None:
        return Section(part.called("bounds"), "Results with a p-value alone", (Words(text),))
    pooled = fit.pooled()
    middle, low, high = ends(part.studies, pooled.estimate, pooled.low, pooled.high)
    row = {
        "k": fit.k, "bounds": part.bounds.k, "effective": fit.effective, "estimate": pooled.estimate,
        "low": pooled.low, "high": pooled.high, "tau2": fit.tau2, "estimate_shown": middle, "low_shown": low,
        "high_shown": high,
    }  # fmt: skip
    level = f"{100 * part.asked.level:.10g}%"
    headings = {
        "k": "Rows", "bounds": "Of them bounds", "effective": "Equivalent exact effects",
        "estimate_shown": short(part.every.measure), "low_shown": f"{level} CI, lower",
        "high_shown": f"{level} CI, upper", "tau2": "τ²",
    }  # fmt: skip
    formats = {"effective": ".1f", "tau2": ".3f"} | dict.fromkeys(
        ("estimate_shown", "low_shown", "high_shown"), ".2f"
    )
    table = ReportTable(
        part.called("bounds"), "Pooled effect with p-values alone as bounds", pd.DataFrame([row]), headings,
        formats, notes=('"p < 0.05" is taken as a censored observation (Tobin 1958).',),
        null=null_shown(part.every),
    )  # fmt: skip
    return Section(part.called("bounds"), "Results with a p-value alone", (Words(text), table))


def bounds_sentence(part: Part) -> str:
    """Return how many studies give a p-value alone, and what they do to the pooled effect."""
    bounds = part.bounds
    if bounds is None:
        return ""
    head = (
        f"{plural(bounds.m, 'further study', 'further studies')} "
        f"{'gives' if bounds.m == 1 else 'give'} a p-value and no effect "
        f"({listed(sorted(set(bounds.study)))})"
    )
    fit = part.censored
    if fit is None:
        return f"{head}; with it as a bound there is no pooled effect: {part.no_censored}."
    found = fit.pooled()
    with_them = with_interval(part.studies, part.asked.level, found.estimate, found.low, found.high)
    return f"{head}; taken as bounds, they make the pooled effect {with_them}."
