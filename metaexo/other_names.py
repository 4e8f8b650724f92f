"""What other packages call things, and what to write here instead.

Who comes from metafor, meta, statsmodels, PyMARE or pandas tries the names of those first. A name that is not
here is answered with the call that does the same, or with the nearest name; nothing of another package is
imitated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from metaexo.errors import UnknownNameError, nearest_word

if TYPE_CHECKING:
    from typing import Any

# What to write here -> the names of it elsewhere. `es` are effects, `fit` is a fit, `result` another result,
# `counts` are counts of events, `data` is a table, `model` a model before the fit; NAMES says where they come
# from.
FUNCTIONS = {
    "mx.RandomEffects(es).fit()": "rma rma_uni metagen meta meta_analysis analyze random_effects "
    "random_effect REML DerSimonianLaird combine_effects WeightedLeastSquares "
    "VarianceBasedLikelihoodEstimator rma_mean pool pooled",
    'mx.RandomEffects(es).fit(method="EE")': "EqualEffects fixed_effect fixed_effects common_effect "
    "common_effects",
    "mx.Multilevel(es).fit()": "rma_mv multilevel three_level",
    'mx.RandomEffects(es, "year").fit()': "metareg meta_regression mods regression",
    "mx.MantelHaenszel(counts).fit()": "rma_mh mantel_haenszel MH metabin",
    "mx.Peto(counts).fit()": "rma_peto",
    'mx.RandomEffects(es).fit(method="HE")': "Hedges",
    "mx.bias.combine_pvalues(es)": "FisherCombinationTest StoufferCombinationTest combine_pvalues "
    "sumz sumlog",
    "mx.CountGLMM(counts).fit()": "rma_glmm metainc metarate glmm",
    'mx.effect_sizes("SMD", data=data)': "escalc metacont meta_continuous smd hedges_g cohens_d cohen_d "
    "effectsize compute_effect effectsize_smd calculate_effect_size EffectSizesFromTable",
    'mx.effect_sizes("RR", data=data)': "meta_binary effectsize_2proportions odds_ratio risk_ratio",
    'mx.CountGLMM(mx.event_counts(events="events", n="n", data=data)).fit()': "metaprop",
    'mx.covariance_blocks("v", "study", data=data, correlation=0.6)': "vcalc impute_covariance_matrix",
    "mx.effects.covariance_of_correlations(matrix, n)": "rcalc",
    "mx.effects.regression_from_matrix(matrix, outcome, moderators, names, n=n)": "matreg",
    "mx.effects.estimates_and_variances(low=low, high=high)": "conv_wald",
    "mx.effects.mean_sd_from_quantiles(n, median=median, q1=q1, q3=q3)": "conv_fivenum",
    "mx.effects.delta_method(estimates, cov, function)": "deltamethod",
    "mx.bias.excess_significance(fit)": "tes",
    "mx.bias.p_curve(es)": "pcurve",
    "mx.bias.p_uniform(es)": "puniform",
    'mx.effect_sizes("ZCOR", data=data)': "metacor meta_correlation",
    'mx.EffectSizes("yi", "vi", data=data)': "effectsizes Dataset meta_dataset DataConfig MethodConfig",
    "mx.event_counts(data=data)": "to_long counts",
    'mx.stratify(es, by="source")': "subgroup subgroups subgroup_analysis strata by",
    "mx.plots.forest(fit)": "forest forest_plot plot_forest plot blobbogram",
    "mx.plots.funnel(fit)": "funnel funnel_plot plot_funnel",
    "mx.plots.bubble(fit)": "bubble regplot bubble_plot",
    "mx.plots.baujat(fit)": "baujat baujat_plot",
    "mx.plots.radial(fit)": "radial galbraith",
    "mx.plots.labbe(counts)": "labbe",
    "mx.plots.normal_quantile(fit)": "qqnorm",
    "mx.plots.orchard(fit)": "orchard orchard_plot",
    "mx.bias.regression_test(fit)": "regtest egger eggers_test egger_test egger_regression metabias pet",
    "mx.bias.rank_test(fit)": "ranktest begg beggs_test begg_test",
    "mx.bias.trim_and_fill(fit)": "trimfill trimandfill",
    "mx.bias.fail_safe_n(es)": "fsn failsafe rosenthal",
    "mx.bias.selection_model(es)": "selmodel selection",
    "mx.bias.pet_peese(es)": "petpeese",
    "mx.bias.report(fit)": "publication_bias",
    "mx.sensitivity.leave_one_out(fit)": "leave1out loo metainf leave_one_out",
    "mx.sensitivity.cumulative(fit)": "cumul metacum cumulative",
    "mx.sensitivity.influence(fit)": "influence",
    "mx.sensitivity.gosh(fit)": "gosh",
    "mx.sensitivity.permutation_test(fit)": "permutest permutation_test",
    "fit.conf_int()": "confint",
    "fit.predict()": "predict",
    "fit.summary()": "summary",
    "fit.residuals()": "residuals rstandard rstudent",
    "fit.blup()": "blup ranef",
    'fit.robust("study")': "robust",
    "mx.compare(fit, other)": "anova lrtest",
    "mx.load_dataset()": "load data get_data datasets_list list_datasets example dat examples",
    'mx.read_table("my.xlsx")': "read_csv read_excel load_table from_csv open",
    'mx.write_report("my.xlsx", "SMD")': "report_html save_report make_report",
    'mx.read_sheets("folder")': "read load_sheets",
    "mx.measures()": "list_measures measure",
    "mx.__version__": "version",
    "help(mx)": "help info docs",
}
RESULTS = {
    "fit.effects.y": "yi",
    "fit.effects.v": "vi",
    "fit.effects.se": "sei",
    "fit.r2": "rsquared R2",
    "mx.plots.forest(fit)": "plot forest forest_plot plot_forest",
    "mx.plots.funnel(fit)": "funnel funnel_plot plot_funnel",
    "mx.plots.baujat(fit)": "baujat",
    "mx.plots.bubble(fit)": "regplot bubble",
    "mx.plots.radial(fit)": "radial galbraith",
    "fit.conf_int()": "ci ci_lb ci_ub ci_low ci_high ci_lower ci_upper confint lower upper lower_ci "
    "upper_ci low high confidence_interval lb ub",
    "fit.conf_int_components()": "conf_int_heterogeneity",
    "fit.params": "b coef coefs coefficients fe_params intercept",
    "fit.pvalues": "pval pvals p pvalue p_values",
    "fit.tvalues": "zval tval zvals z t statistic tvalue zvalues",
    "fit.bse": "fe_se stderr standard_error ses se_beta",
    "fit.i2": "I2 isq I_squared i2_percent",
    "fit.h2": "H2 h_squared",
    "fit.tau2": "tau_squared tau_2 tausq between_study_variance",
    "fit.q": "QE Q cochran Q_statistic QEp q_pvalue",
    "fit.moderator_test": "QM QMp omnibus_test",
    "fit.heterogeneity()": "i2_ci h2_ci tau2_ci sigma2 get_heterogeneity_stats get_re_stats "
    "heterogeneity_stats",
    "fit.to_frame()": "to_df to_dataframe df table frame get_fe_stats tidy as_dataframe to_pandas "
    "summary_frame",
    'fit.to_frame().to_csv("fit.csv", index=False)': "to_csv",
    'fit.to_frame().to_excel("fit.xlsx", index=False)': "to_excel",
    'pathlib.Path("fit.html").write_text(fit.to_html(), encoding="utf-8")': "save write export to_file",
    "fit.to_dict()": "to_json asdict json",
    "fit.to_latex()": "as_latex",
    "fit.to_text()": "as_text as_string",
    "mx.sensitivity.leave_one_out(fit)": "loo leave1out leave_one_out",
    "mx.sensitivity.cumulative(fit)": "cumul cumulative",
    "mx.sensitivity.influence(fit)": "influence get_influence outliers",
    "mx.sensitivity.gosh(fit)": "gosh",
    "mx.sensitivity.permutation_test(fit)": "permutest permutation_test",
    "mx.sensitivity.bootstrap(fit)": "bootstrap",
    "mx.bias.trim_and_fill(fit)": "trimfill trim_and_fill",
    "mx.bias.regression_test(fit)": "regtest egger egger_test eggers_test metabias",
    "mx.bias.rank_test(fit)": "ranktest begg",
    "mx.bias.fail_safe_n(fit.effects)": "fsn failsafe",
    "mx.bias.report(fit)": "publication_bias bias",
    "fit.random_effects()": "ranef u get_random_effects",
    'fit.residuals()["fitted"]': "fittedvalues fitted",
    "fit.residuals()": "resid rstandard rstudent",
    'fit.predict()[["prediction_low", "prediction_high"]]': "prediction_interval pi pi_lb pi_ub pred_int",
    "fit.estimate": "effect effect_size pooled_effect mean combined_effect overall te TE_random",
    "fit.cov_params()": "vcov vb",
    "fit.llf": "loglik log_likelihood",
    "fit.aic": "AIC",
    "fit.bic": "BIC",
    'fit.predict(scale="measure")': "display_estimate display_ci display_prediction_interval",
    "fit.summary().to_html()": "report",
    "fit.effects.to_frame()": "studies included_studies source_data",
    "fit.k": "nobs n_studies",
    "mx.compare(fit, other)": "anova compare",
    'mx.stratify(fit.effects, by="source")': "subgroup stratify",
}
EFFECTS = {
    "es.y": "yi effect effects TE values estimate",
    "es.v": "vi variance variances var",
    "es.se": "sei seTE stderr standard_error",
    'es.select("year > 2015")': "query filter loc iloc drop subset where mask",
    "es.to_frame()": "to_df to_dataframe df frame table to_pandas as_dataframe iterrows itertuples",
    "es.to_frame().head()": "head",
    "es.to_frame().tail()": "tail",
    "es.to_frame().describe()": "describe info",
    "es.to_frame().columns": "columns names",
    "es.to_frame().shape": "shape",
    'es.to_frame().to_csv("effects.csv", index=False)': "to_csv save write export",
    'es.to_frame().to_excel("effects.xlsx", index=False)': "to_excel",
    "mx.plots.forest(es)": "plot forest forest_plot",
    "mx.plots.funnel(es)": "funnel funnel_plot",
    "mx.RandomEffects(es).fit()": "fit rma pool pooled meta summary",
    'mx.stratify(es, by="source")': "stratify groupby subgroup by",
    "es.with_columns(year=values)": "assign insert",
    "es.k": "nobs n size",
    "es.conf_int()": "ci confint",
    "mx.explain(es)": "explain",
}
COUNTS = {
    'counts.effect_sizes("RR")': "y v yi vi se sei effects escalc odds_ratio risk_ratio RR OR",
    'counts.select("year > 2015")': "query filter loc iloc drop subset where mask",
    "counts.to_frame()": "to_df to_dataframe df frame table to_pandas as_dataframe iterrows itertuples",
    "counts.to_frame().head()": "head",
    "counts.to_frame().describe()": "describe info",
    "counts.to_frame().columns": "columns names",
    "counts.to_frame().shape": "shape",
    'counts.to_frame().to_csv("counts.csv", index=False)': "to_csv save write export",
    "mx.plots.forest(mx.MantelHaenszel(counts).fit())": "plot forest forest_plot",
    "mx.MantelHaenszel(counts).fit()": "fit pool pooled summary",
    'mx.stratify_counts(mx.MantelHaenszel(counts).fit(), by="source")': "stratify groupby subgroup by",
    "counts.with_columns(year=values)": "assign insert",
    "counts.k": "nobs size",
}
TABLES = {
    "result.to_frame()": "to_df to_dataframe df table frame tidy as_dataframe to_pandas summary_frame",
    'result.to_frame().to_csv("result.csv", index=False)': "to_csv",
    'result.to_frame().to_excel("result.xlsx", index=False)': "to_excel",
    'pathlib.Path("result.html").write_text(result.to_html(), encoding="utf-8")': "save write export to_file",
    "result.to_dict()": "to_json asdict json",
    "result.to_latex()": "as_latex",
    "result.to_text()": "as_text as_string",
    "result.pvalue": "pval p p_value",
}
MODELS = {
    "model.fit().summary()": "summary print",
    "model.fit().predict()": "predict",
    "model.fit().params": "params coef coefficients beta b",
    "model.fit().conf_int()": "conf_int ci",
    "model.fit().pvalues": "pvalues pval pvalue",
    "model.fit().tau2": "tau2 tau",
    "model.fit().i2": "I2",
    "model.fit().estimate": "estimate pooled effect",
    "model.fit().to_frame()": "to_frame table results result",
    "mx.plots.forest(model.fit())": "plot forest forest_plot",
    "model.fit": "run analyze estimate_model fit_dataset compute",
}
# Arguments of plots of metafor and meta, and those of the same meaning here: the first that a plot has.
PLOT_ARGUMENTS = {
    "header": "label_title", "leftlabs": "label_title", "showweights": "weight_column", "cex": "font_size",
    "fontsize": "font_size", "digits": "decimals", "psize": "sizes marker_size", "plim": "marker_size",
    "alim": "limits", "at": "ticks", "refline": "reference", "ref": "reference", "xlab": "axis_label",
    "ylab": "axis_label", "order": "order", "sortvar": "order", "addpred": "prediction",
    "pi": "interval prediction", "ci": "interval", "predlim": "interval", "addfit": "overall",
    "mlab": "overall_label", "hetstat": "heterogeneity", "ilab": "columns", "leftcols": "columns",
    "rightcols": "columns", "ilablab": "titles", "col": "by color theme", "bg": "by color theme",
    "colour": "by color theme", "colout": "theme", "border": "theme", "lty": "theme", "lwd": "theme",
    "fonts": "theme", "fontfamily": "theme", "layout": "theme", "back": "theme", "shade": "contours theme",
    "hlines": "theme", "grid": "theme", "label": "labels", "ylim": "", "zlim": "", "xlim": "width",
    "slab": "labels", "out": "highlight", "reps": "draws", "main": "title", "pred": "at",
    "mod": "moderator", "studlab": "labels", "annotate": "", "pch": "", "efac": "", "olim": "", "rows": "",
    "xvals": "", "ilabxpos": "", "ilabpos": "", "transf": "", "atransf": "", "addtau2": "", "targs": "",
    "legend": "", "offset": "", "pos": "", "smooth": "", "top": "", "steps": "", "subset": "",
    "labsize": "theme", "cexlab": "theme", "cexaxis": "theme", "lcol": "theme",
}  # fmt: skip
# What is done otherwise than by an argument of the plot, where it has none.
PLOT_WORDS = {
    "slab": "give labels= to mx.effect_sizes, or write es.with_labels(...)",
    "studlab": "give labels= to mx.effect_sizes, or write es.with_labels(...)",
    "subset": 'choose rows before: es.select("year > 1960")',
    "annotate": "leave out annotate=; mx.plots.caterpillar(fit) has no columns of text",
    "xlim": "set it on the Axes that are returned: ax.set_xlim",
    "ylim": "set it on the Axes that are returned: ax.set_ylim",
    "transf": "leave out transf=; effects are shown as readers know them already",
    "atransf": "leave out atransf=; effects are shown as readers know them already",
}
SAME_VALUES = frozenset(
    ("showweights", "digits", "alim", "at", "refline", "xlab", "addpred", "mlab", "hetstat", "addfit", "main")
) | {"ilab", "order", "sortvar"}
"""Arguments whose value is written here as it is there."""
NAMES = {
    "es": 'es = mx.effect_sizes(...) or mx.EffectSizes("yi", "vi", data=data)',
    "fit": "fit = mx.RandomEffects(es).fit()",
    "counts": "counts = mx.event_counts(data, treatment_events=..., ...)",
    "other": "other = another fit",
}
KINDS: Mapping[str, Mapping[str, str]] = {
    "functions": FUNCTIONS,
    "results": RESULTS,
    "tables": TABLES,
    "effects": EFFECTS,
    "counts": COUNTS,
    "models": MODELS,
}


@cache
def _known(kind: str) -> dict[str, str]:
    """Return what to write here for each name of elsewhere, by its letters."""
    return {letters(name): call for call, names in KINDS[kind].items() for name in names.split()}


def letters(name: str) -> str:
    """Return a name without capitals and underlines, in which packages differ."""
    return name.replace("_", "").casefold()


def unknown_name(
    where: str, name: str, kind: str, here: Iterable[str], before: str = "."
) -> UnknownNameError:
    """Return the error for an attribute that is not there, with what to write instead.

    `where`: what was asked, in words ("module 'metaexo'").
    `before`: what stands before a name of it ("mx.").
    `kind`: a key of `KINDS`, or "" for something that has none of the names of elsewhere.
    `here`: the names that there are.
    """
    listed = [found for found in here if not found.startswith("_")]
    call = _known(kind).get(letters(name), "") if kind else ""
    own = re.match(r"(?:fit|es|counts|result)\.(\w+)", call) if kind != "functions" else None
    if own and own[1] not in listed:
        call = ""
    near = nearest_word(name, listed, cutoff=0.75)
    if kind == "functions" and near and letters(near) == letters(name):
        call = ""
    if call:
        used = [
            words
            for word, words in NAMES.items()
            if kind == "functions" and re.search(rf"(?<![.\w]){word}\b", call)
        ]
        remedy = f"write {call}" + (f", where {' and '.join(used)}" if used else "")
    else:
        remedy = f"write {before}{near}" if near else ""
    return UnknownNameError(f"{where} has no attribute {name!r}", "a name that dir() lists", remedy)


def unknown_in_module(module: str, name: str, here: Iterable[str]) -> AttributeError:
    """Return the error for a name that a module does not have.

    Examples
    --------
    >>> print(unknown_in_module("metaexo.bias", "trimfill", ["trim_and_fill"]))
    module 'metaexo.bias' has no attribute 'trimfill'; needed: a name that dir() lists. What to do: write
    mx.bias.trim_and_fill(fit), where fit = mx.RandomEffects(es).fit().
    """
    if name.startswith("_"):
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    before = module.replace("metaexo", "mx", 1) + "."
    return unknown_name(f"module {module!r}", name, "functions", here, before)


class Answering:
    """Base of what answers an attribute that it does not have with the one that is meant."""

    __slots__ = ()
    _answers_as = ""

    if not TYPE_CHECKING:  # for a type checker, what is not there is not there

        def __getattr__(self, name: str) -> Any:
            kind = type(self)
            if name.startswith("_"):
                raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
            raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownNameError:
        """Return the error for an attribute that is not there."""
        kind = type(self)
        return unknown_name(f"{kind.__name__!r} object", name, self._answers_as, dir(self))
