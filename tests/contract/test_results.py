"""Every kind of result answers the same questions, and is complete in every form in which it is shown.

The kinds are found, not listed: a new one without an example here fails.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from html import unescape
from inspect import isabstract
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
import metaexo.heterogeneity
from metaexo.models.linear.results import FitResults

STUDY = ["a", "a", "b", "b", "c", "d", "e", "f"]
DATA = pd.DataFrame({"study": STUDY, "dose": [1.0, 2, 4, 3, 6, 5, 2, 3], "source": ["milk", "plant"] * 4})


def effects() -> mx.EffectSizes:
    y, v = [0.2, 0.6, 0.1, 0.9, 0.4, 0.7, -0.1, 0.5], [0.02, 0.05, 0.03, 0.04, 0.02, 0.03, 0.04, 0.03]
    every = mx.EffectSizes(
        [*y, 9.9], [*v, 1.0], measure="RR", data=pd.concat([DATA, DATA.tail(1)], ignore_index=True)
    )
    return every.select(np.arange(9) < 8, "not a controlled study")


def one_level(moderators: str | None = None) -> mx.RandomEffects:
    return mx.RandomEffects(effects(), moderators, dependence="accept")


def censored(moderators: str | None = None) -> mx.CensoredRandomEffects:
    """Return a model of six exact effects, a significant one and one that is not."""
    y, v, inf = [0.2, 0.6, 0.1, 0.9, 0.4, 0.7], [0.02, 0.05, 0.03, 0.04, 0.02, 0.03, 0.04, 0.03, 1.0], np.inf
    every = mx.effects.bounded_effects(
        [*y, 0.4, -0.3, 9.9], [*y, inf, 0.3, 9.9], v, measure="RR", study=[*STUDY, "f"],
        data=pd.concat([DATA, DATA.tail(1)], ignore_index=True),
    )  # fmt: skip
    part = every.select(np.arange(9) < 8, "not a controlled study")
    return mx.CensoredRandomEffects(part, moderators, dependence="accept")


def strata(**choices: Any) -> FitResults:
    return mx.stratify(effects(), "source", cluster=None, level=0.9, **choices)


def location_scale(*moderators: str | None, **choices: str) -> mx.LocationScale:
    return mx.LocationScale(effects(), *moderators, dependence="accept", **choices)


def counts() -> Any:
    """Return counts of eight comparisons, one of them without any event."""
    every = mx.event_counts(
        treatment_events=[2, 6, 1, 9, 4, 0, 1, 0, 9], treatment_n=[20, 50, 30, 40, 20, 30, 40, 30, 9],
        control_events=[4, 7, 4, 9, 6, 1, 4, 0, 9], control_n=[22, 48, 31, 39, 22, 30, 41, 20, 9],
        data=pd.concat([DATA, DATA.tail(1)], ignore_index=True),
    )  # fmt: skip
    return every.select(np.arange(9) < 8, "not a controlled study")


# Class to fits of it: without moderators and with them, robust ones, and other choices that show otherwise.
EXAMPLES: dict[str, dict[str, Callable[[], FitResults]]] = {
    "RandomEffectsResults": {
        "mean": lambda: one_level().fit(),
        "moderators": lambda: one_level("dose + source").fit(),
        "robust mean": lambda: one_level().fit().robust("study"),
        "robust moderators": lambda: one_level("dose").fit().robust("study"),
        "equal effects": lambda: one_level().fit(method="EE"),
        "given tau2": lambda: one_level().fit(tau2=0.05),
    },
    "MultilevelResults": {
        "mean": lambda: mx.Multilevel(effects()).fit(),
        "moderators": lambda: mx.Multilevel(effects(), "study/effect", moderators="dose").fit("ML"),
        "containment": lambda: mx.Multilevel(effects(), moderators="dose").fit(test="t-containment"),
        "robust moderators": lambda: mx.Multilevel(effects(), moderators="dose").fit(test="z").robust(),
        "held": lambda: mx.Multilevel(effects(), fix={"study": 0.05}).fit(),
        "correlation": lambda: mx.Multilevel(effects(), mx.RandomTerm("study", "source", "CS")).fit(),
        "weights": lambda: mx.Multilevel(effects(), weights="equal").fit(),
    },
    "MomentResults": {
        "correlated": lambda: mx.robust_variance(effects()),
        "hierarchical": lambda: mx.robust_variance(effects(), "hierarchical", moderators="dose"),
    },
    "CensoredResults": {
        "mean": lambda: censored().fit(),
        "moderators": lambda: censored("dose").fit("ML", test="z"),
        "given tau2": lambda: censored().fit(tau2=0.05),
    },
    "ImputedResults": {
        "mean": lambda: censored().fit().impute(10),
        "moderators": lambda: censored("dose").fit(test="z").impute(10, draw_tau2=False),
    },
    "StratifiedResults": {
        "separate": strata,
        "common": lambda: strata(tau2="common"),
        "smoothed": lambda: strata(tau2="smoothed", test="z"),
        "equal effects": lambda: strata(method="EE"),
        "clusters": lambda: mx.stratify(effects(), "source", level=0.9),
    },
    "AttributionResults": {
        "divided": lambda: mx.attribute_heterogeneity(
            effects(), "source", draws=19, permutations=19, level=0.9, min_studies=1
        ),
    },
    "ArmBasedResults": {
        "odds ratio": lambda: mx.ArmBased(counts(), dependence="accept").fit(points=5),
        "risk ratio": lambda: mx.ArmBased(
            counts(), "RR", link="probit", structure="compound", dependence="accept"
        ).fit("t", 0.9, points=5),
    },
    "BetaBinomialResults": {
        "risk ratio": lambda: mx.BetaBinomial(counts(), "RR", dependence="accept").fit(),
        "moderators": lambda: mx.BetaBinomial(counts(), "OR", "dose", dependence="accept").fit(test="t"),
        "equal risks": lambda: mx.BetaBinomial(counts(), "OR", dependence="accept").fit("EE"),
    },
    "MantelHaenszelResults": {
        "odds ratio": lambda: mx.MantelHaenszel(counts(), dependence="accept").fit(),
        "risk ratio": lambda: mx.MantelHaenszel(counts(), "RR", dependence="accept").fit(0.9),
    },
    "PetoResults": {"odds ratio": lambda: mx.Peto(counts(), dependence="accept").fit()},
    "ExactConditionalResults": {
        "exact": lambda: mx.ExactConditional(counts(), dependence="accept").fit(),
        "mid-p": lambda: mx.ExactConditional(counts(), dependence="accept").fit("mid-p", 0.9),
    },
    "CountGLMMResults": {
        "conditional": lambda: mx.CountGLMM(counts(), dependence="accept").fit(),
        "moderators": lambda: mx.CountGLMM(
            counts(), moderators="dose", model="UM.FS", dependence="accept"
        ).fit(test="t", level=0.9),
        "random intercepts": lambda: mx.CountGLMM(counts(), model="UM.RS", dependence="accept").fit(points=1),
        "equal effects": lambda: mx.CountGLMM(counts(), model="CM.AL", dependence="accept").fit("EE"),
    },
    "LocationScaleResults": {
        "mean": lambda: location_scale(None).fit(),
        "both": lambda: location_scale("dose", "source").fit("ML", test="z"),
        "identity": lambda: location_scale(None, "source", link="identity").fit(),
    },
}


def coefficients(fit: FitResults) -> pd.DataFrame:
    """Return the table of coefficients; results of strata and parts have tables of these in its place."""
    return fit.to_frame() if "term" in fit.to_frame() else FitResults.to_frame(fit)


def kinds(base: type = FitResults) -> Iterator[type]:
    """Yield all concrete classes of results."""
    for kind in base.__subclasses__():
        if not isabstract(kind):
            yield kind
        yield from kinds(kind)


CASES = [(kind, name) for kind, fits in EXAMPLES.items() for name in fits]


@cache
def example(kind: str, name: str) -> FitResults:
    with warnings.catch_warnings():
        for kind_of_warning in (
            mx.errors.FewStudiesWarning,
            mx.errors.ScaleBoundaryWarning,
            mx.errors.DependentEffectsWarning,
        ):
            warnings.simplefilter("ignore", kind_of_warning)
        return EXAMPLES[kind][name]()


def test_every_kind_of_result_has_an_example() -> None:
    for module in pkgutil.walk_packages(mx.__path__, "metaexo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {kind.__name__ for kind in kinds()}
    assert found == set(EXAMPLES)
    assert all(type(example(kind, name)).__name__ == kind for kind, name in CASES)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_form_is_complete(kind: str, name: str) -> None:
    """Coefficients, components, k, m, method, measure, scale, df and ledger stand wherever a fit is shown."""
    fit = example(kind, name)
    lines = fit.family_lines()
    wanted = [
        *fit.design.names,
        *(fit.tau2_by_component if fit.is_random else ()),
        fit.rows_in_words,
        f"{fit.m} studies",
        *lines.fitted,
        f"({fit.measure.code})",
        fit.scale,
        str(fit.robust_covariance or lines.tests),
        str(fit.omnibus).split(",")[0],
        str(fit.ledger),
        "not a controlled study",
        fit.measure.display.lower(),
        *(("tau2",) if fit.is_random else ("I2",)),
    ]
    forms = {
        "markdown": fit.to_markdown().replace("\\", ""),
        "latex": fit.to_latex().replace("\\", ""),
        "html": unescape(fit.to_html()),
        "notebook": unescape(fit._repr_html_()),
        "text": fit.to_text(),
        "summary": str(fit.summary()),
    }
    for form, shown in forms.items():
        missing = [words for words in wanted if words not in shown]
        if form == "summary":  # it speaks of the estimate, and of tau2 where there is only one
            alone = fit.design.names if fit.design.x is None else ()
            only = fit.tau2_by_component if len(fit.tau2_by_component) == 1 else ()
            missing = [words for words in missing if words not in (*alone, *only)]
        assert missing == [], form


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_no_row_of_a_table_lacks_its_words(kind: str, name: str) -> None:
    """Numbers may be missing; names of rows, levels of factors and notes are not."""
    fit = example(kind, name)
    for frame in (fit.to_frame(), fit.heterogeneity(), fit.residuals()):
        words = frame.select_dtypes(exclude="number").columns
        assert [column for column in words if frame[column].isna().any()] == []
        assert not frame.index.isna().any()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_plain_values_are_complete_and_survive_json(kind: str, name: str) -> None:
    fit = example(kind, name)
    found = fit.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [row["term"] for row in found["coefficients"]] == list(fit.design.names)
    assert np.array(found["covariance"]) == pytest.approx(fit.cov)
    df = fit.df_inference.to_numpy()
    assert found["df"] == (None if np.isnan(df).all() else pytest.approx(df))
    assert (found["k"], found["m"], found["test"], found["level"]) == (fit.k, fit.m, fit.test, fit.level)
    assert (found["measure"], found["scale"], found["digest"]) == (fit.measure.code, fit.scale, fit.digest)
    assert found["method"]
    assert found["tau2"] == (None if np.isnan(fit.tau2) else pytest.approx(fit.tau2))
    assert [row["component"] for row in found["components"]] == list(fit.tau2_by_component)
    each = [row["tau2"] for row in found["components"]]
    if kind == "StratifiedResults":  # each stratum has its own, or all have the same
        assert each == pytest.approx(list(fit.tau2_by_component.values()))
        assert fit.tau2 == pytest.approx(each[0]) if len(set(each)) == 1 else np.isnan(fit.tau2)
    else:
        assert sum(each) == pytest.approx(fit.tau2)
    assert found["ledger"]["used"] == len(fit.ledger.used)
    assert [row["reason"] for row in found["ledger"]["left_out"]] == ["not a controlled study"]
    assert (found["robust"] is None) == (fit.robust_covariance is None)
    assert set(found["versions"]) >= {"metaexo", "numpy", "scipy"}
    if fit.design.x is None:
        assert found["pooled"]["estimate"] == pytest.approx(fit.pooled().estimate)
        assert found["pooled_as_shown"]["estimate"] == pytest.approx(np.exp(fit.pooled().estimate))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_tables_have_the_same_columns(kind: str, name: str) -> None:
    fit = example(kind, name)
    frame = coefficients(fit)
    columns = ["term", "estimate", "se", "statistic", "df", "pvalue", "low", "high"]
    assert list(frame) == [*columns, "ratio", "ratio_low", "ratio_high"]
    np.testing.assert_allclose(frame["ratio_high"], np.exp(frame["high"]))
    for word in ("k", "m", "method", "test", "measure", "scale", "level", "tau2", "i2", "ledger", "digest"):
        assert word in frame.attrs
    assert frame.attrs["ledger"] == str(fit.ledger)
    assert frame.attrs["tau2"] == pytest.approx(fit.tau2, nan_ok=True)
    assert fit.to_frame().attrs.keys() == frame.attrs.keys()

    components = fit.heterogeneity(level=0.9)
    assert list(components) == ["tau2", "tau", "low", "high", "i2", "share"]
    assert list(components.index) == list(fit.tau2_by_component)
    assert components.attrs["level"] == 0.9
    np.testing.assert_allclose(components["tau"] ** 2, np.maximum(components["tau2"], 0))
    if kind != "StratifiedResults":
        np.testing.assert_allclose(components["i2"].sum(), fit.i2)
    known = components.dropna(subset=["low"])
    assert ((known["low"] <= known["tau2"]) & (known["tau2"] <= known["high"])).all()

    assert list(fit.residuals())[:4] == ["fitted", "residual", "se", "z"]
    assert len(fit.residuals()) == fit.k
    if kind == "MomentResults" or name == "weights":
        with pytest.raises(mx.errors.InputError, match="random effects"):
            fit.random_effects()
        return
    columns = ["component", "level", "estimate", "se", "low", "high"]
    assert list(fit.random_effects())[:6] == columns
    assert set(fit.random_effects()["component"]) <= set(fit.tau2_by_component)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_numbers_by_coefficient_are_those_of_the_table(kind: str, name: str) -> None:
    fit = example(kind, name)
    frame = coefficients(fit).set_index("term")
    for column, series in (
        ("estimate", fit.params),
        ("se", fit.bse),
        ("statistic", fit.tvalues),
        ("pvalue", fit.pvalues),
        ("df", fit.df_inference),
    ):
        assert isinstance(series, pd.Series)
        pd.testing.assert_series_equal(series, frame[column], check_names=False)
    np.testing.assert_allclose(fit.conf_int().to_numpy(), frame[["low", "high"]].to_numpy())
    np.testing.assert_allclose(np.sqrt(np.diagonal(fit.cov_params())), frame["se"])
    rows = fit.contrast(list(fit.design.names))
    np.testing.assert_allclose(rows.high, frame["high"])
    for number in (fit.tau2, fit.tau, fit.i2, fit.h2):
        assert isinstance(number, float)
    if fit.has_likelihood:
        assert all(isinstance(number, float) for number in (fit.llf, fit.aic, fit.bic, fit.aicc))
    else:
        with pytest.raises(mx.errors.InputError, match="no likelihood"):
            _ = fit.llf
    for test in (fit.q, fit.omnibus):
        assert test.null
        assert 0 <= test.pvalue <= 1 or "not testable" in test.null


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_predictions_are_tables_on_either_scale(kind: str, name: str) -> None:
    fit = example(kind, name)
    columns = ["estimate", "se", "low", "high", "prediction_se", "prediction_low", "prediction_high"]
    plain, shown = fit.predict(), fit.predict(scale="measure")
    assert list(plain)[:7] == list(shown)[:7] == columns
    for column in ("estimate", "low", "prediction_high"):
        np.testing.assert_allclose(shown[column], np.exp(plain[column]))
    assert (fit.predict(level=0.5)["high"] <= plain["high"]).all()
    if fit.design.x is None:
        pooled = fit.pooled()
        assert [pooled.estimate, pooled.low, pooled.high] == pytest.approx(
            plain[["estimate", "low", "high"]].iloc[0].tolist()
        )
        assert fit.estimate == pooled.estimate
    else:
        with pytest.raises(mx.errors.InputError, match=r"predict|to_frame"):
            fit.pooled()
        assert list(fit.test_terms().tests) == [term.name for term in fit.design.terms]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_robust_fit_is_a_fit_of_the_same_kind(kind: str, name: str) -> None:
    fit = example(kind, name)
    if "robust_covariance" not in fit.__dataclass_fields__:
        with pytest.raises(mx.errors.InputError, match="no cluster-robust covariance matrix"):
            fit.robust("study")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.FewStudiesWarning)
        robust = fit.robust("study", "CR1")
    assert type(robust) is type(fit)
    assert robust.robust_covariance.clusters == tuple("abcdef")
    np.testing.assert_array_equal(robust.beta, fit.beta)
    assert robust.tau2 == fit.tau2
    np.testing.assert_allclose(robust.cov, robust.robust_covariance.cov)
    assert "CR1" in repr(robust)
    half = (robust.predict()["high"] - robust.predict()["estimate"]).iloc[0]
    x = fit.design.matrix(fit.k)[:1]
    assert half == pytest.approx(robust.contrast(x).high[0] - robust.contrast(x).estimate[0])
