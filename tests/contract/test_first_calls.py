"""The calls that a newcomer tries first: they work, or the answer says what to write, and that works.

Names are those of metafor, meta, statsmodels, PyMARE and pandas; every remedy in the list is tried.
"""

from __future__ import annotations

import inspect
import pathlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import (
    CallError,
    InputError,
    MetaexoError,
    MissingInputError,
    UnknownChoiceError,
    UnknownNameError,
)
from metaexo.other_names import KINDS, PLOT_ARGUMENTS, SAME_VALUES, letters, unknown_name

ARMS = {
    "exo_mean": [5.0, 6.0, 5.5, 7.0, 6.2, 5.1], "exo_sd": 1.0, "exo_n": [10, 12, 8, 9, 11, 14],
    "veh_mean": [4.0, 4.5, 5.0, 4.8, 4.4, 4.9], "veh_sd": 1.1, "veh_n": [10, 12, 8, 9, 10, 14],
}  # fmt: skip
OWN = pd.DataFrame(
    {"paper": list("abcdef"), **ARMS, "year": range(2012, 2018), "source": ["milk", "plant"] * 3}
)
COLUMNS = {
    "treatment_mean": "exo_mean", "treatment_sd": "exo_sd", "treatment_n": "exo_n",
    "control_mean": "veh_mean", "control_sd": "veh_sd", "control_n": "veh_n",
}  # fmt: skip
EVENTS = pd.DataFrame({
    "ai": [4, 6, 3, 9, 5, 2], "bi": [9, 30, 28, 20, 18, 21],
    "ci": [6, 9, 8, 9, 7, 5], "di": [8, 27, 29, 21, 17, 20],
})  # fmt: skip


def named(*names: str) -> pd.DataFrame:
    """Return the table with other names of the statistics."""
    return OWN.rename(columns=dict(zip(ARMS, names, strict=True)))


@pytest.fixture(scope="module")
def es() -> mx.EffectSizes:
    return mx.effect_sizes("SMD", OWN, labels="paper", **COLUMNS)


@pytest.fixture(scope="module")
def fit(es):
    return mx.RandomEffects(es).fit()


@pytest.fixture(scope="module")
def names(es, fit, tmp_path_factory):
    """Return what the remedies speak of."""
    counts = mx.event_counts(
        treatment_events=EVENTS.ai, treatment_n=EVENTS.ai + EVENTS.bi, control_events=EVENTS.ci,
        control_n=EVENTS.ci + EVENTS.di, data=EVENTS.assign(year=range(2011, 2017), source=list("ababab")),
    )  # fmt: skip
    return {
        "mx": mx, "es": es, "fit": fit, "counts": counts, "values": range(6), "result": fit.moderator_test,
        "model": mx.RandomEffects(es), "data": OWN, "other": mx.RandomEffects(es).fit(),
    }  # fmt: skip


# -- names of elsewhere -------------------------------------------------------------------------------------

# Calls that need data of their own kind; the functions that they name are tried elsewhere in the suite.
OWN_DATA = (
    "data=data",
    "read_sheets",
    "read_table",
    "write_report",
    "bubble",
    "help(",
    "fail_safe_n",
    "selection_model",
    "Multilevel",
    "mx.effects.",
    "conf_int_components",
    "fit.r2",
)
CALLS = [
    (kind, call)
    for kind, calls in KINDS.items()
    for call in calls
    if not any(word in call for word in OWN_DATA)
]


@pytest.mark.parametrize(("kind", "call"), CALLS)
def test_what_is_written_instead_works(kind, call, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    slow = re.sub(r"(permutation_test|bootstrap|gosh)\(fit\)", r"\1", call)
    files = ("to_csv", "to_excel")
    assert (eval(slow, {**names, "pathlib": pathlib}) is None) == any(word in call for word in files)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_of_elsewhere_means_one_thing(kind):
    every = [letters(name) for names in KINDS[kind].values() for name in names.split()]
    assert sorted(every) == sorted(set(every))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("rma", "mx.RandomEffects(es).fit(), where es = "),
        ("metagen", "mx.RandomEffects(es).fit()"),
        ("escalc", 'mx.effect_sizes("SMD", data=data)'),
        ("forest", "mx.plots.forest(fit), where fit = "),
        ("stratifi", "mx.stratify"),
        ("Effect_Sizes", "mx.effect_sizes"),
        ("plots.forestplot", "mx.plots.forest(fit)"),
        ("bias.egger", "mx.bias.regression_test(fit)"),
        ("sensitivity.leave1out", "mx.sensitivity.leave_one_out(fit)"),
        ("models.RandomEffects_", "mx.models.RandomEffects"),
    ],
)
def test_names_of_modules(name, written):
    *rooms, last = name.split(".")
    room = getattr(mx, rooms[0]) if rooms else mx
    with pytest.raises(AttributeError, match=re.escape(f"write {written}")) as caught:
        getattr(room, last)
    assert isinstance(caught.value, UnknownNameError)
    assert not hasattr(room, last)


def test_names_of_objects(es, fit, names):
    for what, name, written in (
        (fit, "plot", "mx.plots.forest(fit)"),
        (fit, "ci_lb", "fit.conf_int()"),
        (fit, "I2", "fit.i2"),
        (fit, "yi", "fit.effects.y"),
        (fit, "vi", "fit.effects.v"),
        (fit, "rsquared", "fit.r2"),
        (fit, "pvaluess", ".pvalues"),
        (es, "yi", "es.y"),
        (es, "year", 'es.column("year")'),
        (es, "query", "es.select(\"source == 'milk'\")"),
        (names["counts"], "yi", 'counts.effect_sizes("RR")'),
        (names["model"], "summary", "model.fit().summary()"),
        (mx.stratify(es, "source"), "forest", "mx.plots.forest(fit)"),
    ):
        with pytest.raises(UnknownNameError, match=re.escape(f"write {written}")):
            getattr(what, name)
    with pytest.raises(AttributeError, match="no attribute '_repr_png_'"):
        fit._repr_png_  # noqa: B018


def test_a_call_is_given_only_where_it_is_there():
    assert "conf_int" not in str(unknown_name("'X' object", "ci", "results", ["to_frame"]))


# -- effects ------------------------------------------------------------------------------------------------


def typed(error: MetaexoError, data: pd.DataFrame) -> mx.EffectSizes:
    """Return what the call in a remedy gives."""
    call = re.search(r"mx\.\w+\(.*\)", error.remedy)
    assert call, error
    return eval(call[0], {"mx": mx, "data": data})


@pytest.mark.parametrize(
    ("measure", "data"),
    [
        ("SMD", OWN),
        ("SMD", named("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")),
        ("SMD", named("mean.e", "sd.e", "n.e", "mean.c", "sd.c", "n.c")),
        ("MD", OWN.rename(columns={old: f"{old[:-5]} Mean" for old in ("exo_mean", "veh_mean")})),
        ("OR", EVENTS),
        ("SMD", OWN.rename(columns={ours: name for name, ours in COLUMNS.items()} | {"exo_n": "tretment_n"})),
    ],
)  # fmt: skip
def test_columns_of_ones_own_are_asked_for_in_a_call_that_works(measure, data):
    with pytest.raises(MissingInputError, match="data has no column") as caught:
        mx.effect_sizes(measure, data)
    found = typed(caught.value, data)
    assert found.k == len(data)
    assert found.measure.code == measure
    if measure == "SMD":
        assert np.array_equal(found.y, mx.effect_sizes("SMD", data=OWN, **COLUMNS).y)


def test_what_is_missing_is_named_and_no_other_input_is_offered_for_it():
    data = OWN.rename(columns={ours: name for name, ours in COLUMNS.items()}).drop(
        columns=["treatment_sd", "control_sd"]
    )
    with pytest.raises(
        MissingInputError, match="data has no column treatment_sd, control_sd for SMD"
    ) as caught:
        mx.effect_sizes("SMD", data)
    assert 'treatment_sd="my treatment sd"' in str(caught.value)
    assert "'treatment_n': 'treatment_sd'" not in str(caught.value)


def test_inputs_as_other_packages_call_them():
    a, b, c, d = (list(EVENTS[name]) for name in EVENTS)
    with pytest.raises(InputError, match=re.escape("treatment_events=ai, treatment_n=ai + bi, ")):
        mx.effect_sizes("RR", ai=a, bi=b, ci=c, di=d)
    with pytest.raises(UnknownChoiceError, match="write 'labels'"):
        mx.effect_sizes("SMD", OWN, slab="paper", **COLUMNS)
    with pytest.raises(InputError, match=re.escape("mx.EffectSizes(y=yi, v=vi, measure='SMD')")):
        mx.effect_sizes("SMD", yi=[0.1], vi=[0.2])
    with pytest.raises(InputError, match=re.escape('write mx.effect_sizes("SMD", data)')):
        mx.effect_sizes(OWN, "SMD")


@pytest.mark.parametrize(("effect", "error"), [("yi", "vi"), ("TE", "seTE"), ("y", "v"), ("g", "SE")])
def test_tables_of_effects(effect, error):
    data = pd.DataFrame({effect: [0.1, 0.4, 0.2], error: [0.2, 0.1, 0.3], "year": [2010, 2011, 2012]})
    for call in (mx.EffectSizes, lambda table: mx.effect_sizes("SMD", table), mx.RandomEffects):
        with pytest.raises(InputError) as caught:
            call(data)
        found = typed(caught.value, data)
        es = found.effects if isinstance(found, mx.RandomEffects) else found
        assert es.y.tolist() == [0.1, 0.4, 0.2]
        assert es.v[0] == pytest.approx(0.04 if "s" in error.casefold() else 0.2)


def test_names_of_files_are_known_as_such():
    for call in (lambda f: mx.effect_sizes("SMD", f), mx.EffectSizes, mx.RandomEffects):
        for file, read in (
            ("my.xlsx", "pandas.read_excel('my.xlsx')"),
            ("my.csv", "pandas.read_csv('my.csv')"),
        ):
            with pytest.raises(InputError, match=re.escape(f"data = {read}")):
                call(file)


def test_a_unit_in_the_cells_is_taken_out_as_the_answer_says():
    data = OWN.assign(exo_mean=[f"{x} mm" for x in OWN.exo_mean])
    with pytest.raises(InputError, match="take the unit out") as caught:
        mx.effect_sizes("MD", data, **COLUMNS)
    written = re.search(r"column\.str.*", caught.value.remedy)
    assert written
    assert eval(written[0], {"column": data.exo_mean}).tolist() == ARMS["exo_mean"]
    with pytest.raises(InputError, match="correct these cells"):
        mx.EffectSizes(["0.1 mm", "0.2 cm"], [0.1, 0.1])
    with pytest.raises(InputError, match="correct these cells"):
        mx.EffectSizes(["0.1 (0.2)", "5.0 ± 1.0"], [0.1, 0.1])


def test_rules_for_zeros_in_the_words_of_metafor():
    cells = {"treatment_events": [0, 3], "treatment_n": [9, 8], "control_events": [2, 4], "control_n": [9, 9]}
    for word, ours in (("if0all", "all_if_any_zero"), ("only0", "studies_with_zero")):
        with pytest.raises(UnknownChoiceError, match=f"write '{ours}'"):
            mx.effect_sizes("OR", **cells, continuity_to=word)
    by_rule = [
        mx.effect_sizes("OR", **cells, continuity_to=rule).y
        for rule in ("all_if_any_zero", "studies_with_zero")
    ]
    # log((0.5 * 7.5) / (9.5 * 2.5)) and log((3.5 * 5.5) / (5.5 * 4.5)) if all cells get 1/2
    assert by_rule[0] == pytest.approx(np.log([3.75 / 23.75, 19.25 / 24.75]))
    assert by_rule[1] == pytest.approx(np.log([3.75 / 23.75, 15 / 20]))


def test_an_input_of_other_measures_is_left_out_as_the_answer_says():
    for measure, unused in (
        ("SMD1", ["treatment_sd"]),
        ("VR", ["treatment_mean", "control_mean"]),
        ("CVR", []),
    ):
        given = dict(COLUMNS)
        if unused:
            words = f"{measure} does not use {', '.join(unused)}; .* leave out {'=, '.join(unused)}="
            with pytest.raises(InputError, match=words):
                mx.effect_sizes(measure, OWN, **given)
        for name in unused:
            del given[name]
        assert mx.effect_sizes(measure, OWN, **given).k == 6
    with pytest.raises(
        InputError, match=r"OR does not use mean, sd, n; .*write mx\.effect_sizes\('MN', \.\.\.\)"
    ):
        mx.effect_sizes("OR", mean=[1.0], sd=[1.0], n=[9])
    with pytest.raises(UnknownChoiceError, match="'tretment_mean' is not known"):
        mx.effect_sizes("SMD1", OWN, **COLUMNS, tretment_mean="exo_mean")


class OfPolars:
    """A table of polars, as far as it is asked: columns, and how it is made one of pandas."""

    columns = ("y", "v")

    def __getitem__(self, name):
        raise TypeError(name)

    def to_pandas(self):
        return pd.DataFrame({"y": [0.1, 0.4, 0.2], "v": [0.2, 0.1, 0.3]})


def test_tables_of_other_packages():
    data = OfPolars()
    for call in (
        lambda table: mx.EffectSizes("y", "v", data=table),
        mx.EffectSizes,
        mx.RandomEffects,
        lambda table: mx.effect_sizes("SMD", table),
        mx.event_counts,
    ):
        with pytest.raises(InputError, match=r"make one: data\.to_pandas\(\)"):
            call(data)
    assert mx.EffectSizes("y", "v", data=eval("data.to_pandas()", {"data": data})).k == 3
    matrix = OWN[list(ARMS)].to_numpy()
    with pytest.raises(InputError, match=re.escape('pandas.DataFrame(data, columns=["column 1", ')):
        mx.effect_sizes("SMD", matrix)


def test_a_mapping_of_columns_is_a_table():
    table = {name: list(OWN[ours]) for name, ours in COLUMNS.items()} | {"paper": list("abcdef")}
    es = mx.effect_sizes("SMD", table, labels="paper")
    assert es.y.tolist() == mx.effect_sizes("SMD", OWN, **COLUMNS).y.tolist()
    assert es.labels == tuple("abcdef")
    assert es.column("paper").tolist() == list("abcdef")
    assert mx.EffectSizes("y", "v", data={"y": [0.1, 0.3], "v": [0.1, 0.2]}).k == 2
    assert mx.event_counts({"events": [1, 2], "n": (9, 8)}).k == 2
    with pytest.raises(mx.errors.ShapeError, match="y has 2, v has 1"):
        mx.EffectSizes("y", "v", data={"y": [0.1, 0.3], "v": [0.1]})
    for call in (mx.EffectSizes, mx.RandomEffects):
        with pytest.raises(InputError, match=re.escape('mx.EffectSizes("y", "v", data=data)')):
            call({"y": [0.1, 0.3], "v": [0.1, 0.2]})


def test_counts_from_the_four_cells_of_a_table():
    with pytest.raises(MissingInputError) as caught:
        mx.event_counts(EVENTS)
    assert typed(caught.value, EVENTS).totals[0].tolist() == [13.0, 14.0]


# -- rows ---------------------------------------------------------------------------------------------------


CHOSEN = "year > 2014 and source == 'milk'"


def test_rows_are_chosen_by_a_condition(es):
    new = es.select(CHOSEN)
    assert new.labels == ("e",)
    assert {one.reason for one in new.ledger.left_out} == {f"not selected: {CHOSEN}"}
    assert es.select("y > 0.9", "small effects").ledger.left_out[0].reason == "small effects"
    for wrong, words in (
        ("yaer > 2014", "write 'year'"),
        ("year = 2014", "write 'year == 2014'"),
        ("source == 'mlik'", "source holds 'milk', 'plant'"),
        ("source == 'milks'", "write 'milk'"),
        ("year > 2050", "selects none of 6 rows"),
        ("__import__('os')", "is not known|outside"),
    ):
        with pytest.raises(InputError, match=words):
            es.select(wrong)


def test_rows_by_mask_number_slice_and_columns_by_name(es):
    assert es[es.data.year > 2014].labels == ("d", "e", "f")
    assert es[0].labels == ("a",)
    assert es[-1].labels == es[5:].labels == ("f",)
    assert es["year"].tolist() == list(OWN.year)
    assert es["y"].tolist() == es.y.tolist()
    assert es.se.tolist() == np.sqrt(es.v).tolist()
    with pytest.raises(IndexError, match="row 6 of 6 rows"):
        es[6]
    for wrong in (list, np.asarray, pd.DataFrame, np.mean):
        with pytest.raises(InputError, match=re.escape("es.to_frame()")):
            wrong(es)
    assert len(es) == 6


def test_moderators_given_by_their_names(es):
    with pytest.raises(InputError, match=re.escape('write moderators="year + source"')):
        mx.RandomEffects(es, ["year", "source"])
    by_year = mx.RandomEffects(es, "~ year").fit()
    assert by_year.predict({"year": [2012, 2016]}).shape[0] == 2
    assert by_year.predict([2012, 2016]).equals(by_year.predict({"year": [2012, 2016]}))


def test_without_a_name_the_data_sets_are_listed():
    assert "bcg" in set(mx.load_dataset()["name"])


# -- wrong calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("mx.RandomEffects(es, mods='year')", "write moderators=..."),
        ("mx.RandomEffects(es, method='DL')", "write RandomEffects(...).fit(method='DL')"),
        ("mx.RandomEffects(yi=[0.1], vi=[0.2])", "write mx.RandomEffects(mx.EffectSizes(y=yi, v=vi))"),
        ("mx.RandomEffects()", "write RandomEffects(effects=...)"),
        ("mx.EffectSizes(TE=[0.1], seTE=[0.2])", "write y=..., se=..."),
        ("mx.effect_sizes(data=data)", "write effect_sizes(measure=...)"),
        ("mx.effect_sizes('SMD', data, measure='MD')", "leave out measure="),
        ("fit.predict(dose=[1, 2])", "write predict({'dose': [1, 2]})"),
        ("fit.predict(transf='exp')", 'write scale="measure"'),
        ("es.select(year=2015)", 'write select("year == 2015")'),
        ("mx.stratify(es, subgroup='source')", "write by=..."),
        ("mx.event_counts(data, 'ai', 'ci')", "event_counts(data, treatment_events=..., treatment_n=...)"),
        ("mx.load_dataset(nmae='bcg')", "write name=..."),
        ("mx.MantelHaenszel(counts, sm='RR')", "write measure=..."),
        ("mx.MantelHaenszel(counts).fit(conf_level=0.9)", "write level=0.9"),
        ("mx.MantelHaenszel(counts).fit(conf_level=95)", "write level=0.95"),
    ],
)
def test_a_wrong_call_says_what_to_write(call, written, names):
    with pytest.raises(CallError, match=re.escape(written)) as caught:
        eval(call, names)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, InputError)


def test_words_of_metafor_are_known_where_they_are_chosen(es, fit):
    for call, written in (
        (lambda: mx.plots.forest(fit, order="obs"), "estimate"),
        (lambda: mx.bias.regression_test(fit, model="lm"), "dispersion"),
        (lambda: mx.effect_sizes("SMCR", m1i=[1.0]), "post_mean"),
    ):
        with pytest.raises(UnknownChoiceError, match=f"write '{written}'"):
            call()


def test_words_may_have_the_capitals_of_metafor(es, fit):
    assert fit.predict(kind="Riley").equals(fit.predict(kind="riley"))
    assert fit.predict(kind="HTS").equals(fit.predict(kind="riley"))
    for word in ("Rosenthal", "Orwin", "Rosenberg"):
        assert mx.bias.fail_safe_n(es, word).number == mx.bias.fail_safe_n(es, word.lower()).number
    assert mx.RandomEffects(es).fit(method="reml", test="KNHA").tau2 == fit.tau2


def test_warnings_are_those_of_the_line_of_the_user(es):
    """However many frames of the package lie between."""
    twice = mx.EffectSizes(es.y, es.v, study=list("aabbcc"))
    with pytest.warns(mx.errors.DependentEffectsWarning) as caught:
        mx.RandomEffects(twice)
    assert caught[0].filename == __file__
    with pytest.warns(mx.errors.RowsLeftOutWarning) as caught:
        mx.effect_sizes("MD", OWN.assign(exo_sd=[None, *[1.0] * 5]), **COLUMNS)
    assert caught[0].filename == __file__


# -- arguments of elsewhere ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("mx.bias.selection_model(fit, type='stepfun', steps=[0.025])", "write weights=..., cuts=..."),
        ("mx.bias.pet_peese(yi=1, vi=1)", "write mx.bias.pet_peese(mx.EffectSizes(y=yi, v=vi))"),
        ("mx.sensitivity.permutation_test(fit, iter=99)", "write draws=..."),
        ("mx.aggregate(es, rho=0.5)", "write correlation=..."),
        ("fit.conf_int(alpha=0.1)", "write level=0.9"),
        ("mx.RandomEffects(es).fit(alpha=0.05)", "write level=0.95"),
        ("mx.plots.forest(fit, alpha=0.05)", "write level=0.95"),
        ("fit.summary(digits=3)", "needed: no argument"),
        ("fit.test_terms(btt=2)", "needed: adjust"),
        ("mx.plots.forest(fit, transf='exp')", "leave out transf="),
        ("mx.plots.forest(fit, ilab=1)", "write columns=1"),
        ("mx.RandomEffects(es).fit(alpha=0.1, digits=3)", "write level=0.9; leave out digits="),
        ("mx.load_dataset('dat.konstantopoulos2011')", "write 'school_calendars'"),
        ("mx.effect_sizes(es.y, es.v)", "the measure is"),
        ("mx.effect_sizes('SDM')", "write 'SMD'"),
        (
            "mx.RandomEffects(es, 'year').fit().test_terms('year')",
            ".to_frame().loc['year']",
        ),
        ("fit.test_terms()", 'fit mx.RandomEffects(es, "year")'),
    ],
)
def test_arguments_and_words_of_elsewhere(call, written, names):
    with pytest.raises(InputError, match=re.escape(written)):
        eval(call, dict(names))


@pytest.mark.parametrize(
    ("call", "written"),
    [
        (
            "forest(fit, header=True, showweights=True, cex=0.8, digits=3)",
            "label_title=..., weight_column=True, font_size=..., decimals=3",
        ),
        ("forest(fit, plim=1, psize=1)", "marker_size=..."),
        (
            "forest(fit, xlim=(-4, 4), alim=(0.1, 5), at=[0.5, 1])",
            "width=..., limits=(0.1, 5), ticks=[0.5, 1]",
        ),
        ("forest(fit, addfit=False, mlab='All')", "overall=False, overall_label='All'"),
        ("forest(fit, sortvar='estimate', hetstat=False)", "order='estimate', heterogeneity=False"),
        ("forest(fit, border='red', layout='JAMA')", "theme=..."),
        ("forest(fit, addpred=False, refline=0.5)", "prediction=False, reference=0.5"),
        ("funnel(fit, shade='white', label='out', col='red')", "contours=..., labels=..., by=..."),
        ("bubble(fit, 'year', psize=1, ci=True)", "sizes=..., interval=..."),
        ("normal_quantile(fit, reps=500)", "draws=..."),
        ("gosh(fit, out=8)", "highlight=..."),
    ],
)
def test_arguments_of_plots_of_metafor(call, written, names):
    """As the pages "Coming from R: plots" say, for all names of a call at once."""
    with pytest.raises(CallError) as caught:
        eval(f"mx.plots.{call}", dict(names))
    assert caught.value.remedy == f"write {written}"


def test_arguments_of_plots_that_are_nothing_to_give(names):
    for call, remedy in (
        ("forest(fit, slab=['a'])", "give labels= to mx.effect_sizes, or write es.with_labels(...)"),
        ("forest(fit, subset=[1])", 'choose rows before: es.select("year > 1960")'),
        ("forest(fit, olim=1, rows=3, digits=2)", "write decimals=2; leave out olim=, rows="),
        ("funnel(fit, ylim=(0, 1))", "set it on the Axes that are returned: ax.set_ylim"),
        (
            "forest(fit, annotate=False)",
            "leave out annotate=; mx.plots.caterpillar(fit) has no columns of text",
        ),
        ("funnel(fit, addtau2=True)", "leave out addtau2="),
    ):
        with pytest.raises(CallError) as caught:
            eval(f"mx.plots.{call}", dict(names))
        assert caught.value.remedy == remedy


def test_arguments_of_plots_are_there():
    """Every name that is written in the place of one of metafor is an argument of a plot."""
    parameters = {
        name for plot in mx.plots.__all__ if callable(make := getattr(mx.plots, plot)) and plot.islower()
        for name in inspect.signature(make).parameters
    }  # fmt: skip
    assert {ours for words in PLOT_ARGUMENTS.values() for ours in words.split()} <= parameters
    assert PLOT_ARGUMENTS.keys() >= SAME_VALUES


@pytest.mark.parametrize(
    "call",
    [
        "fit.conf_int(LEVEL)",
        "fit.predict(level=LEVEL)",
        "fit.pooled(level=LEVEL)",
        "fit.blup(level=LEVEL)",
        "fit.heterogeneity(level=LEVEL)",
        "es.conf_int(LEVEL)",
        "mx.RandomEffects(es).fit(level=LEVEL)",
        "mx.MantelHaenszel(counts).fit(level=LEVEL)",
        "mx.plots.forest(fit, level=LEVEL)",
        "mx.plots.funnel(fit, level=LEVEL)",
        "mx.bias.limit_meta_analysis(fit, level=LEVEL)",
        "mx.bias.trim_and_fill(fit, level=LEVEL)",
        "mx.bias.pet_peese(fit, level=LEVEL)",
        "mx.sensitivity.leave_one_out(fit, level=LEVEL)",
        "mx.sensitivity.bootstrap(fit, draws=99, level=LEVEL)",
        "mx.stratify(es, by='source', level=LEVEL)",
        "mx.safety.upper_limit(counts.arm('treatment'), level=LEVEL)",
        "fit.profile(level=LEVEL)",
    ],
)  # fmt: skip
def test_an_alpha_is_never_taken_as_a_level(call, names):
    """statistics packages of Python ask for alpha: conf_int(0.1) is their 90% interval."""
    with pytest.raises(InputError, match=r"write level=0\.9: the interval with alpha = 0\.1 is that"):
        eval(call.replace("LEVEL", "0.1"), dict(names))
    eval(call.replace("LEVEL", "0.9"), dict(names))


def test_no_far_word_is_suggested(es):
    with pytest.raises(UnknownChoiceError) as caught:
        mx.RandomEffects(es.with_columns(latitude=range(6), allocation=list("ababab")), "ablat")
    assert caught.value.remedy == ""


def test_a_forest_fits_the_axes_of_a_notebook_or_the_answer_makes_room():
    """The default of plt.subplots() holds the 13 trials; what an error names as remedy draws."""
    trials = mx.RandomEffects(mx.effect_sizes("RR", mx.load_dataset("bcg"), labels="study")).fit()
    axes = mx.plots.forest(trials, ax=plt.subplots()[1])
    assert mx.plots.overlapping_texts(axes) == []
    for call, tries in (
        ("mx.plots.forest(fit, ax=plt.subplots(figsize=(6.4, 4.2))[1])", 2),
        ("mx.plots.forest(fit, ax=plt.subplots(2, 1, figsize=(7, 6))[1][0])", 1),
        ("mx.plots.forest(fit, ax=plt.figure(figsize=(6.4, 3)))", 1),
        ("mx.plots.forest(fit, height=3.2)", 3),
    ):
        names = {"mx": mx, "plt": plt, "fit": trials}
        with pytest.raises(InputError, match="a height that holds all rows") as caught:
            eval(call, names)
        assert ("height=" in caught.value.remedy) is ("ax=" not in call)
        written = re.findall(r"figsize=\([^)]*\)|(?:pages|height|font_size)=[\d.]*\d", caught.value.remedy)
        assert len(written) == tries
        for words in written:
            name = words.partition("=")[0]
            if name in ("figsize", "height"):
                mended = re.sub(rf"{name}=(\([^)]*\)|[\d.]+)", words, call)
            else:
                mended = f"{call[:-1]}, {words})"
            eval(mended, names)
    plt.close("all")


def test_small_results_are_tables_too(fit):
    pooled, statistics = fit.pooled(), fit.fit_statistics()
    assert pooled.to_frame().iloc[0].to_dict() == pytest.approx(vars(pooled))
    assert pooled.to_frame()["prediction_low"].tolist() == [pooled.prediction_low]
    equal = mx.RandomEffects(fit.effects).fit(method="EE").pooled()
    assert equal.to_frame()[["prediction_low", "prediction_high"]].isna().all(axis=None)
    assert equal.to_dict()["prediction_low"] is None
    assert statistics.to_frame()["aic"].tolist() == [fit.aic]
    assert statistics.to_dict()["parameters"] == 2
    for small in (pooled, statistics):
        assert not re.search(r"\d\.\d{7}", f"{small!r}{small}{small.summary()}{small._repr_html_()}")
    many = mx.fit_many([[0.1, 0.5, 0.3], [0.2, 0.9, 0.4]], [[0.1] * 3, [0.2] * 3])
    assert many.to_frame()["estimate"].tolist() == many.estimate.tolist()
    assert len(many.to_frame()) == 2


def test_completion_lists_what_is_asked_of_a_fit(fit):
    listed = dir(fit)
    asked = {
        "summary",
        "predict",
        "conf_int",
        "contrast",
        "heterogeneity",
        "to_frame",
        "pooled",
        "tau2",
        "i2",
    }
    assert asked <= {*listed}
    assert not {"joint_test", "digest_parts", "rows_in_words", "wls", "own_inference"} & {*listed}
    assert fit.rows_in_words  # it is there, for those who look for it


@pytest.mark.parametrize(
    "formula",
    [
        "C(source, Treatment('plant'))",
        "C(source, Treatment(reference='plant'))",
        "relevel(source, 'plant')",
        "relevel(source, ref='plant')",
    ],
)
def test_the_level_of_reference_as_other_packages_write_it(formula, es):
    with pytest.raises(mx.errors.FormulaError) as caught:
        mx.RandomEffects(es, formula)
    written = caught.value.remedy.removeprefix("write ")
    mended = written if written.startswith("C(") else f"C(source, {written})"
    assert mended == "C(source, base='plant')"
    assert [name for name in mx.RandomEffects(es, mended).fit().params.index if "milk" in name]
