"""How it was done: in words, with the papers that were really used, and as a script that does it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from metaexo.effects import Measure
from metaexo.effects.measure import DOI
from metaexo.formatting import TEST_NAMES, level_words, plural
from metaexo.ledger import versions
from metaexo.numeric.estimators import get_estimator
from metaexo.report.certainty import FEW
from metaexo.report.content import Block, Listing, ReportTable, Section, Words
from metaexo.report.own.asked import CORRELATION, DRAWS, PERMUTATIONS, SEED
from metaexo.report.own.bias import HIGH, WORDS, bias_column
from metaexo.report.own.counts import ARMS, KINDS, counts_section, rare_events
from metaexo.report.own.fits import assumes, sharing_studies
from metaexo.report.own.other import NOT_HIGH, pairs_of, selections
from metaexo.report.own.part import ENOUGH, Part
from metaexo.report.own.questions import Questions
from metaexo.report.own.strata import is_crossed
from metaexo.report.own.words import factor_words, listed, measure_words

KNAPP_HARTUNG = "Knapp G, Hartung J (2003), Statistics in Medicine 22, 2693-2710, doi:10.1002/sim.1482"
MODIFIED = (
    "Röver C, Knapp G, Friede T (2015), BMC Medical Research Methodology 15, 99, "
    "doi:10.1186/s12874-015-0091-1"
)
HETEROGENEITY = "Higgins JPT, Thompson SG (2002), Statistics in Medicine 21, 1539-1558, doi:10.1002/sim.1186"
Q_PROFILE = "Viechtbauer W (2007), Statistics in Medicine 26, 37-52, doi:10.1002/sim.2514"
OF_ESTIMATORS = (
    "DerSimonian R, Laird N (1986), Controlled Clinical Trials 7, 177-188, doi:10.1016/0197-2456(86)90046-2",
    "Hedges LV (1983), Psychological Bulletin 93, 388-395, doi:10.1037/0033-2909.93.2.388",
    "Schmidt FL, Hunter JE (2015), Methods of Meta-Analysis, third edition, doi:10.4135/9781483398105",
    "Brannick MT, Potter SM, Benitez B, Morris SB (2019), Organizational Research Methods 22, 490-514, "
    "doi:10.1177/1094428117741966",
    "Sidik K, Jonkman JN (2005), Journal of the Royal Statistical Society C 54, 367-384, "
    "doi:10.1111/j.1467-9876.2005.00489.x",
    "DerSimonian R, Kacker R (2007), Contemporary Clinical Trials 28, 105-114, doi:10.1016/j.cct.2006.04.004",
    "Viechtbauer W (2005), Journal of Educational and Behavioral Statistics 30, 261-293, "
    "doi:10.3102/10769986030003261",
    "Morris CN (1983), Journal of the American Statistical Association 78, 47-55, "
    "doi:10.1080/01621459.1983.10477920",
    "Paule RC, Mandel J (1982), Journal of Research of the National Bureau of Standards 87, 377-385, "
    "doi:10.6028/jres.087.022",
)
"""Papers of the estimators of tau2 that a report can be asked for."""
PREDICTION = (
    "Higgins JPT, Thompson SG, Spiegelhalter DJ (2009), Journal of the Royal Statistical Society A 172, "
    "137-159, doi:10.1111/j.1467-985X.2008.00552.x"
)
AVERAGES = (
    "Borenstein M, Hedges LV, Higgins JPT, Rothstein HR (2009), Introduction to Meta-Analysis, chapter 24, "
    "doi:10.1002/9780470743386"
)
ROBUST = (
    "Pustejovsky JE, Tipton E (2018), Journal of Business & Economic Statistics 36, 672-683, "
    "doi:10.1080/07350015.2016.1247004"
)
WELCH = "Welch BL (1951), Biometrika 38, 330-336, doi:10.1093/biomet/38.3-4.330"
SHARES = "Groemping U (2007), The American Statistician 61, 139-147, doi:10.1198/000313007X188252"
EGGER = "Egger M, Davey Smith G, Schneider M, Minder C (1997), BMJ 315, 629-634, doi:10.1136/bmj.315.7109.629"
LEAVE_OUT = "Viechtbauer W, Cheung MW-L (2010), Research Synthesis Methods 1, 112-125, doi:10.1002/jrsm.11"
CENSORED = "Tobin J (1958), Econometrica 26, 24-36, doi:10.2307/1907382"
MANTEL_HAENSZEL = (
    "Mantel N, Haenszel W (1959), Journal of the National Cancer Institute 22, 719-748, "
    "doi:10.1093/jnci/22.4.719"
)
EXACT = "Stijnen T, Hamza TH, Özdemir P (2010), Statistics in Medicine 29, 3046-3067, doi:10.1002/sim.4040"
GRADE = "Guyatt GH et al. (2008), GRADE, BMJ 336, 924-926, doi:10.1136/bmj.39489.470347.AD"
PRISMA = "Page MJ et al. (2021), The PRISMA 2020 statement, BMJ 372, n71, doi:10.1136/bmj.n71"


def methods_section(questions: Questions) -> Section:
    """Return the section on how it was done."""
    paragraphs = _paragraphs(questions)
    blocks: list[Block] = [Words(text) for text, _ in paragraphs]
    papers = dict.fromkeys(paper for _, papers in paragraphs for paper in papers)
    blocks += [Words("Papers behind the methods that were used:"), Listing(tuple(papers), ordered=True)]
    return Section("methods", "Methods", tuple(blocks))


def _paragraphs(questions: Questions) -> list[tuple[str, tuple[str, ...]]]:
    """Return each paragraph with its papers."""
    frequent = tuple(part for part in questions.parts if not rare_events(part))
    found = [_effects(questions), _counts(questions)]
    if frequent:
        of_effects = replace(questions, parts=frequent)
        found += [_pooling(of_effects), _dependence(frequent), _strata(of_effects)]
        found += [_attribution(frequent), _trust(frequent)]
    listed_versions = listed([f"{name} {version}" for name, version in versions().items()])
    judged = any(bias_column(part.every) for part in questions.parts)
    biased = (
        "a high risk of bias in at least half of the studies, as the table says"
        if judged
        else "no risk of bias, which the table does not judge"
    )
    found.append(
        (
            "The certainty was rated by the rules of GRADE: randomised comparisons start at high, others at "
            f"low; it goes down for fewer than {FEW} studies, an interval that includes no effect, results "
            f"that other analyses change, inconsistency, small-study effects, and for {biased}. This report "
            "follows the items on synthesis of PRISMA 2020 (13a "
            f"to 13f, 20b to 20d). It was made with {listed_versions}.",
            (GRADE, PRISMA),
        )
    )
    return [pair for pair in found if pair[0]]


def _effects(questions: Questions) -> tuple[str, tuple[str, ...]]:
    measure: Measure = questions.asked.known_measure
    scale = " and pooled as its logarithm" if measure.display_log else ""
    turned = [part.every.oriented for part in questions.parts]
    words = (
        " Effects were turned so that a positive effect is a benefit."
        if all(turned) and turned
        else " Effects were not turned towards benefit."
        if measure.orientation == "negate"
        else ""
    )
    zero = (
        f" {measure.zero_cells:g} was added to each cell of a study with a zero cell."
        if measure.zero_cells and _has_zero(questions)
        else ""
    )
    return (
        f"The {measure_words(measure)}, {measure.code}, was computed for each row of the sheet{scale}; what "
        "the sheet reports otherwise (standard errors, intervals, quartiles, test statistics) was converted, "
        f"and each conversion is listed with its row.{words}{zero}",
        tuple(paper.rstrip(".") for paper in measure.papers if DOI.search(paper)),
    )


def _counts(questions: Questions) -> tuple[str, tuple[str, ...]]:
    """Return how counts were pooled, where they were."""
    if not any(counts_section(part) for part in questions.parts):
        return "", ()
    rare = any(rare_events(part) for part in questions.parts)
    instead = (
        " Where at least half of the studies have no event in a group, effects of single studies were not "
        "pooled."
        if rare
        else ""
    )
    return (
        "Counts of events were pooled by Mantel-Haenszel, and by an exact conditional model with random "
        f"effects, one row per study and nothing added to zeros.{instead}",
        (MANTEL_HAENSZEL, EXACT),
    )


def _has_zero(questions: Questions) -> bool:
    """Return whether a row has no event in one of its groups."""
    for part in questions.parts:
        data = part.every.data
        for name in ("treatment_events", "control_events"):
            if data is not None and name in data and bool((data[name] == 0).any()):
                return True
    return False


def _pooling(questions: Questions) -> tuple[str, tuple[str, ...]]:
    asked = questions.asked
    if not any(part.fit is not None for part in questions.parts):
        return "", ()
    estimator = get_estimator(asked.method)
    level = level_words(asked.level)
    papers = [HETEROGENEITY, Q_PROFILE]
    if asked.method == "EE":
        model, papers = "an equal-effects model (no variance between studies)", [HETEROGENEITY]
    else:
        model = f"a random-effects model, the variance between studies (τ²) estimated by {estimator.name}"
        first = f"{estimator.name}: doi:{estimator.reference}"
        first = next((one for one in OF_ESTIMATORS if one.endswith(estimator.reference)), first)
        papers = [first, *papers, PREDICTION]
    how = f" by {TEST_NAMES[asked.test]}"
    if asked.test.startswith("knapp-hartung"):
        papers.append(KNAPP_HARTUNG)
    if asked.test == "knapp-hartung-adhoc":
        how += " (so that no interval is narrower than sampling errors and τ² alone make it)"
        papers.append(MODIFIED)
    return (
        f"Effects were pooled with {model}, with {level} intervals{how}. Heterogeneity is described by τ², "
        "I² and Cochran's Q, with Q-profile intervals, and by the prediction interval of the true effect in "
        "a new study.",
        tuple(papers),
    )


def _covariance_words(parts: tuple[Part, ...]) -> str:
    """Return where the covariances of averaged effects come from."""
    assumed = f"a correlation of {CORRELATION:g} between their sampling errors was assumed"
    sharing = [study for part in parts if part.averaged for study in sharing_studies(part.every)]
    if not sharing:
        return f"{assumed[:1].upper()}{assumed[1:]}."
    return (
        f"In {plural(len(set(sharing)), 'study', 'studies')} they share a group, and the covariance that it "
        f"makes was computed (Gleser and Olkin 2009, doi:10.7758/9781610441384)"
        + (f"; elsewhere {assumed}." if any(assumes(part.every) for part in parts if part.averaged) else ".")
    )


def _dependence(parts: tuple[Part, ...]) -> tuple[str, tuple[str, ...]]:
    words, papers = [], []
    if any(part.averaged for part in parts):
        words.append(
            "Effects of one study were averaged before they were pooled, so that no study counts several "
            f"times. {_covariance_words(parts)}"
        )
        papers.append(AVERAGES)
    if any(part.dependent for part in parts):
        words.append(
            "A study with effects in several strata has its average in each of them; the test between strata "
            "is robust to what they have in common (CR2, the study being the cluster, with Satterthwaite's "
            "degrees of freedom)."
        )
        papers.append(ROBUST)
    if not words:
        return "Every study has one effect; the study is the unit of every test.", ()
    return " ".join([*words, "The study is the unit of every test."]), tuple(papers)


def _strata(questions: Questions) -> tuple[str, tuple[str, ...]]:
    by = questions.asked.by
    if not by:
        return "", ()
    names = listed([factor_words(name) for name in by])
    text = (
        f"Studies were stratified by {names}, with a variance between studies of its own in each stratum. A "
        "stratum of one study is shown with its own effect and is in no test; studies that do not report a "
        "factor are a stratum of their own and in no test."
    )
    if not any(part.between for part in questions.parts):
        return text, ()
    robust = {bool(part.in_several(name)) for part in questions.parts for name in part.between}
    test = "Welch's test"
    if True in robust:
        test = "a cluster-robust test"
        test += " where studies are in several, else by Welch's test" if False in robust else ""
    return (
        f"{text} Strata were compared by {test}, and by permuting labels between whole studies ("
        f"{plural(PERMUTATIONS, 'permutation')} at most, seed {SEED}), with and without strata of two "
        "studies.",
        (WELCH,) if False in robust else (),
    )


def _attribution(parts: tuple[Part, ...]) -> tuple[str, tuple[str, ...]]:
    if not any(part.attribution is not None and part.attribution.explained is not None for part in parts):
        return "", ()
    return (
        "The variance between studies was attributed to the factors by their mean contribution over all "
        f"orders; whole studies were permuted ({PERMUTATIONS} permutations), and intervals come from {DRAWS} "
        f"draws of the fitted model (seed {SEED}). Studies that do not report a factor are not in this. "
        "Where the factors are confounded, no shares are given.",
        (SHARES,),
    )


def _trust(parts: tuple[Part, ...]) -> tuple[str, tuple[str, ...]]:
    words, papers = [], []
    if any(part.small_studies is not None for part in parts):
        words.append(f"Small-study effects were tested by regression from {ENOUGH} studies on.")
        papers.append(EGGER)
    if any(part.left_out is not None for part in parts):
        words.append("Each study was left out in turn.")
        papers.append(LEAVE_OUT)
    if any(part.fit is not None for part in parts):
        words.append(
            "Other analyses were chosen by fixed rules, before their results were seen: other estimators of "
            "τ² and intervals, without doubtful rows, without rows that were assumed or converted, and a "
            "multilevel model where studies have several effects."
        )
    if any(part.censored is not None for part in parts):
        words.append("Results with a p-value alone were added as censored observations.")
        papers.append(CENSORED)
    return " ".join(words), tuple(papers)


# -- the script ----------------------------------------------------------------------------------------------


HEAD = '''"""Make the numbers of the report again: python analysis.py writes them to the folder "numbers".

Written by metaexo {version}. It reads the same file and takes the same choices; change what you like.
"""

import warnings
from dataclasses import asdict
from pathlib import Path

import pandas as pd

import metaexo as mx
from metaexo.heterogeneity.levels import factor_levels, is_unreported
from metaexo.report.own.fits import in_order

warnings.simplefilter("ignore", mx.errors.MetaexoWarning)  # the report says what they warn of
{file}
MEASURE, METHOD, TEST, LEVEL = {measure!r}, {method!r}, {test!r}, {level!r}
BY = {by!r}  # column: its name in the names of the tables
QUESTIONS = {{  # name: which rows, and whether effects are turned so that positive means benefit
{questions}
}}


def covariances(es):
    """Effects that share an arm have the covariance that it makes; the correlation of others is assumed."""
    try:
        return mx.effects.shared_control_covariances(es, correlation={correlation!r})
    except mx.errors.MetaexoError:  # rows that compare the same people twice, or repeat each other
        return mx.covariance_blocks(es.v, es.study, correlation={correlation!r})


def one_row_each(es, by=()):
    """Average the effects of each study, or those of it with the same levels of the factors."""
    cells = list(zip(es.study, *(factor_levels(es, name) for name in by)))
    number = {{cell: str(i) for i, cell in enumerate(dict.fromkeys(cells))}}
    if len(number) == len(cells):
        return es
    rows = es.with_columns(study=[number[cell] for cell in cells])
    rows = mx.aggregate(rows, blocks=covariances(rows), weighted=False)
    return rows.with_columns(study=rows.column("study_name").tolist())


def pooled(studies, method=METHOD, test=TEST):
    """Pool with random effects, one effect per study."""
    return mx.RandomEffects(studies).fit(method, test, LEVEL)


sheets = {read}
tables = {{}}
for name, (where, turned) in QUESTIONS.items():
    es = sheets.effects(MEASURE, where, orient=turned{better})
    studies = one_row_each(es)
    tables[name + "characteristics"] = es.to_frame()[["label", "y", "v"]]
'''


def script_of(
    questions: Questions,
    counted: Section | None,
    path: Path,
    folder: Path | None,
    columns: Mapping[str, str] | None,
    sheet: str | None,
) -> str:
    """Return the script that makes the numbers of these questions.

    counted: the section on safety. path: the file or folder that was read. folder: where the script goes,
    if that is known. columns, sheet: how it was read.
    """
    asked = questions.asked
    read = f"mx.read_sheets(FILE{_how(columns, sheet)})"
    rows = [
        f"    {part.called('')!r}: ({where!r}, {part.every.oriented}),"
        for part, where in zip(questions.parts, questions.conditions, strict=True)
    ]
    head = HEAD.format(
        version=versions()["metaexo"], file=_file(path, folder), measure=asked.known_measure.code,
        method=asked.method,
        test=asked.test, level=asked.level, by=questions.parts[0].names, questions="\n".join(rows),
        correlation=CORRELATION,
        read=read, better="" if asked.better is None else f", better={asked.better!r}",
    )  # fmt: skip
    return "\n".join([head.rstrip("\n"), *_numbers(questions), *_end(*_harms(counted)), ""])


def _file(path: Path, folder: Path | None) -> str:
    """Return the lines that say where the table is, seen from the script, so that both can be handed on."""
    where = path.resolve()
    try:
        seen = where if folder is None else Path(os.path.relpath(where, folder.resolve()))
    except ValueError:  # on another drive
        seen = where
    return "\n".join([
        f"FILE = Path(__file__).parent / {seen.as_posix()!r}",
        "FILE = FILE if FILE.exists() else Path(__file__).parent / FILE.name  # handed on with this script",
    ])  # fmt: skip


def _harms(counted: Section | None) -> tuple[list[str], list[str]]:
    """Return what was counted of safety: kinds of the sheet of safety, and labels of outcomes."""
    tables = [] if counted is None else [one for one in counted.blocks if isinstance(one, ReportTable)]
    names = [str(name) for one in tables for name in one.frame["what"]]
    kinds = {kind.capitalize(): kind for kind in KINDS}
    return [kinds[one] for one in names if one in kinds], [one for one in names if one not in kinds]


def _how(columns: Mapping[str, str] | None, sheet: str | None) -> str:
    """Return the further arguments of reading a table."""
    given = f", columns={dict(columns)!r}" if columns else ""
    return given + (f", sheet={sheet!r}" if sheet else "")


def _numbers(questions: Questions) -> list[str]:
    """Return the lines that make the tables, those that some question has."""
    parts, asked = questions.parts, questions.asked
    lines = [
        "    for factor, called in BY.items():",
        "        rows = one_row_each(es, [factor])  # a study has one row in each stratum",
        "        strata = mx.stratify(rows, factor, method=METHOD, test=TEST, level=LEVEL)",
        '        tables[name + "by_" + called] = strata.to_frame()',
    ]
    if any(part.dependent for part in parts):
        lines += [
            "        if rows.m < rows.k:  # the test between is robust by study, which no stratum needs",
            "            each = mx.stratify(rows, factor, 'separate', METHOD, TEST, LEVEL, cluster=None)",
            '            tables[name + "by_" + called] = each.to_frame()[: len(each.strata)]',
        ]
    lines += [
        "        if strata.between is not None:",
        "            tests = mx.stratify(in_order(rows, [factor]), factor, 'separate', METHOD, TEST, LEVEL)",
        '            tables[name + "tests_by_" + called] = '
        f"tests.between_tests({SEED}, {PERMUTATIONS}).to_frame()",
    ]
    lines = lines if asked.by else []
    frequent = [part for part in parts if not rare_events(part)]
    if len(frequent) < len(parts):  # of rare events there are the counts alone
        names = [part.called("") for part in frequent]
        lines = [f"    if name not in {names!r}:", "        continue", *lines] if names else []
    pooled = [part for part in frequent if part.fit is not None]
    if not pooled:
        return lines
    if len(pooled) < len(frequent):
        lines += [f"    if name not in {[part.called('') for part in pooled]!r}:", "        continue"]
    lines += [
        "    fit = pooled(studies)",
        '    tables[name + "pooled"] = fit.predict(scale="measure")',
        '    tables[name + "heterogeneity"] = fit.heterogeneity()',
    ]
    if len(asked.by) > 1:
        lines += [
            "    rows = one_row_each(es, BY)",
            "    levels = {one: factor_levels(rows, one) for one in BY}",
            "    counts = pd.DataFrame(levels).groupby([*BY]).size()",
        ]
    studies = "number of studies" if "studies" in asked.by else "studies"
    for crossed, more in ((True, '.unstack().add_prefix(f"{[*BY][1]}: ")'), (False, f".rename({studies!r})")):
        has = [len(asked.by) > 1 and is_crossed(part) is crossed for part in pooled]
        lines += _where(pooled, has, [f'tables[name + "crossing"] = counts{more}.reset_index()'])
    method = "'REML'" if asked.method == "EE" else "METHOD"
    lines += _where(pooled, [part.attribution is not None for part in pooled], [
        "known = [not any(map(is_unreported, one)) for one in zip(*levels.values())]",
        "found = mx.attribute_heterogeneity(",
        f"    in_order(rows.select(known), BY), [*BY], draws={DRAWS}, permutations={PERMUTATIONS},",
        f"    seed={SEED}, level=LEVEL, method={method})",
        "if found.explained is not None:",
        '    tables[name + "attribution"] = found.to_frame()',
    ])  # fmt: skip
    lines += _where(pooled, [part.small_studies is not None for part in pooled], [
        'tables[name + "small_studies"] = mx.bias.regression_test(fit).to_frame()'
    ])  # fmt: skip
    lines += _where(pooled, [part.left_out is not None for part in pooled], [
        'found = mx.sensitivity.leave_one_out(fit, "study").to_frame()',
        'tables[name + "leave_one_out"] = found.reset_index(names="left_out")',
    ])  # fmt: skip
    better = "" if asked.better is None else f", better={asked.better!r}"
    lines += _others(questions)
    lines += _where(pooled, [part.censored is not None for part in pooled], [
        f"known = sheets.effects(MEASURE, where, orient=turned{better}, bounds=True)  # p < 0.05 is a bound",
        "pairs = zip(known.kind, known.study)",
        "more = known.select([kind == 'interval' and study not in es.study for kind, study in pairs])",
        "more = more.select([more.study.index(study) == i for i, study in enumerate(more.study)])",
        'both = mx.CensoredRandomEffects(mx.effects.join_bounded(studies, more), dependence="accept")',
        'tables[name + "bounds"] = pd.DataFrame([both.fit(level=LEVEL).pooled()])',
    ])  # fmt: skip
    return lines + _where(pooled, [_has_counts(part) for part in pooled], [
        f"arms = mx.event_counts(mx.one_per_study(es).data[{[*ARMS]!r}])",
        "models = [mx.MantelHaenszel(arms, MEASURE).fit(LEVEL), mx.CountGLMM(arms).fit(level=LEVEL)]",
        'tables[name + "counts"] = pd.DataFrame([model.pooled() for model in models])',
    ])  # fmt: skip


def _has_counts(part: Part) -> bool:
    """Return whether both models of the counts of a part have an estimate."""
    section = counts_section(part)
    tables = [] if section is None else [one for one in section.blocks if isinstance(one, ReportTable)]
    return bool(tables) and len(tables[0].frame) == 2


def _where(parts: Sequence[Part], has: Sequence[bool], lines: Sequence[str]) -> list[str]:
    """Return lines for the questions that have their numbers; none if no question has."""
    names = [part.called("") for part, one in zip(parts, has, strict=True) if one]
    if not names:
        return []
    if len(names) == len(parts):
        return [f"    {line}" for line in lines]
    return [f"    if name in {names!r}:", *(f"        {line}" for line in lines)]


def _others(questions: Questions) -> list[str]:
    """Return the lines of other defensible analyses, in the order of their table."""
    asked, parts = questions.asked, questions.parts
    words = dict.fromkeys(word for part in parts for word in selections(part.every))
    lines = [
        "    others = [(studies, method, test) for method, test in (",
        *(f"        ({method!r}, {test!r})," for method, test in pairs_of(asked)),
        "    )]",
    ]
    for word in words:
        if word in SELECTED:
            lines += [
                f"    kept = {_selected(word, parts)}  # {word}",
                "    if any(kept) and not all(kept):",
                "        others.append((one_row_each(es.select(kept)), METHOD, TEST))",
            ]
    lines += [
        "    found = [asdict(pooled(*one).pooled()) if one[0].m > 1 else {} for one in others]",
    ]
    if any(part.averaged for part in parts):
        place = len(pairs_of(asked))
        lines += [
            "    if studies.k < es.k:",
            '        multilevel = mx.Multilevel(es, "study/effect", V=covariances(es)).fit(level=LEVEL)',
            f'        found.insert({place}, asdict(multilevel.robust("study").pooled()))',
        ]
    return [*lines, '    tables[name + "sensitivity"] = pd.DataFrame(found)']


def _selected(word: str, parts: Sequence[Part]) -> str:
    """Return how the script selects the rows of another analysis."""
    if word != NOT_HIGH:
        return SELECTED[word]
    column = next(filter(None, (bias_column(part.every) for part in parts)))
    return SELECTED[word].format(high=WORDS[HIGH], column=column)


SELECTED = {
    NOT_HIGH: "[str(one).strip().lower() not in {high!r} for one in es.column({column!r})]",
    "without doubtful rows": '[use != "doubtful" for use in es.column("use")]',
    "without rows that rest on an assumption": '[one.how != "assumed" for one in es.derived]',
    "without converted rows": '[one.how == "reported" for one in es.derived]',
}
"""Rows of other analyses -> how the script selects them."""


def _end(kinds: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Return the last lines: what was counted of safety, by sheet and by outcome, and the tables as files."""
    lines = [""]
    if kinds or labels:
        lines += [f"counts = [sheets.event_counts(kind) for kind in {[*kinds]!r}]"]
        lines += [
            'harms = sheets.outcomes.dropna(subset=["treatment_events", "treatment_n"])',
            f"for label in {[*labels]!r}:",
            '    part = harms[(harms["outcome_label"] == label) & (harms["use"] != "apart")]',
            '    part = part.drop_duplicates("study_name", keep="last")',
            '    counts.append(mx.event_counts(events=part["treatment_events"], n=part["treatment_n"]))',
        ]  # fmt: skip
        lines += [
            "limits = [mx.safety.upper_limit(one, level=LEVEL) for one in counts]",
            'tables["safety"] = pd.DataFrame([(one.events, one.total, one.value) for one in limits],',
            '                                columns=["events", "total", "upper"])',
        ]
    return [
        *lines,
        'Path("numbers").mkdir(exist_ok=True)',
        "for name, table in tables.items():",
        '    table.to_csv(f"numbers/{name}.csv", index=False)',
        '    print(f"numbers/{name}.csv: {len(table)} rows")',
    ]
