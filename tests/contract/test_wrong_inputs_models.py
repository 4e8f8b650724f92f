"""Every public entry of the one-level models is fed wrong inputs: the answer is one of the package's errors.

The methods of each result are found by looking; a new one is fed from the day it is written.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import models
from metaexo.effects import bounded_effects
from metaexo.errors import MetaexoError, MetaexoWarning
from metaexo.sensitivity import (
    baujat,
    bootstrap,
    cumulative,
    gosh,
    influence,
    leave_one_out,
    multiverse,
    profile,
    refit,
    refits,
    simulate,
)

INF = float("inf")
WRONG: list[Any] = [
    "x", "", "95", b"x", 95, -1, 0, 1, 1.5, float("nan"), INF, True, 1j, None, [], [1.0, "a"],
    [[1.0], [2.0, 3.0]], ["a", "b"], {"x": 1}, {1, 2}, object(), pd.DataFrame({"x": [1, "a"]}),
    pd.Series(["a"]),
    np.zeros((2, 2, 2)),
    pd.Timestamp("2020-01-01"), np.ma.masked, lambda q: q, pd.NA, (), np.array([]), range(3), 10**400,
]  # fmt: skip
# What results ask each other for, with arrays of their own.
INNER = ("df_of", "joint_test", "own_inference", "on", "many")
USUAL = {"weights": "intercept", "definition": "tau2"}
SHOWN = ("to_latex", "to_html", "to_text", "to_markdown", "to_frame", "to_dict", "reader_tables")


@cache
def effects() -> mx.EffectSizes:
    data = pd.DataFrame({"g": list("aabbabab"), "dose": [1.0, 2, 3, 4, 2, 5, 6, 1], "lab": list("ppqqrrss")})
    y = [0.1, 0.5, -0.3, 0.9, 0.2, 0.4, 0.8, 0.6]
    return mx.EffectSizes(y, [0.02, 0.03, 0.02, 0.04, 0.03, 0.05, 0.02, 0.04], data=data)


@cache
def bounded() -> Any:
    return bounded_effects(
        lower=[0.2, 0.9, 0.6, 0.7, -0.6, 0.1],
        upper=[0.2, 0.9, 0.6, INF, 0.6, 0.1],
        v=[0.08, 0.1, 0.09, 0.1, 0.1, 0.1],
    )


@cache
def counts() -> Any:
    return mx.event_counts(
        treatment_events=[1, 3, 0], treatment_n=[20, 30, 9], control_events=[4, 5, 0], control_n=[21, 30, 8]
    )


@cache
def results() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mx.RandomEffects(effects()).fit()
        return {
            "mean": fit,
            "regression": mx.RandomEffects(effects(), "g + dose").fit(),
            "array": mx.RandomEffects(effects(), np.arange(8.0)).fit("ML"),
            "weights": mx.RandomEffects(effects(), weights=np.arange(1.0, 9.0)).fit("GENQ"),
            "equal": mx.RandomEffects(effects()).fit("EE"),
            "two": mx.RandomEffects(mx.EffectSizes([0.1, 0.5], [0.02, 0.04])).fit(),
            "one": mx.RandomEffects(mx.EffectSizes([0.1], [0.02])).fit("EE"),
            "no spread": mx.RandomEffects(mx.EffectSizes([0.1] * 4, [0.02] * 4)).fit(),
            "scale": mx.LocationScale(effects(), "dose", "g").fit(),
            "censored": mx.CensoredRandomEffects(bounded()).fit(),
            "contrast": mx.RandomEffects(effects(), "g + dose").fit().contrast(["gb", "dose"]),
            "terms": mx.RandomEffects(effects(), "g + dose").fit().test_terms(),
            "profile": fit.profile(),
            "interval": fit.conf_int_heterogeneity(),
            "gosh": gosh(fit),
            "resampled": bootstrap(fit, draws=19),
            "curve": profile(fit),
            "test": fit.q,
            "exact test": mx.MantelHaenszel(counts()).fit().exact_test(),
            "mantel-haenszel": mx.MantelHaenszel(counts()).fit(),
            "peto": mx.Peto(counts()).fit(),
            "conditional": mx.ExactConditional(counts()).fit(),
            "mixed": mx.CountGLMM(counts(), model="UM.RS").fit("EE"),
            "beta-binomial": mx.BetaBinomial(counts()).fit(),
            "arm-based": mx.ArmBased(counts(), structure="compound").fit(points=3),
            "vif": mx.RandomEffects(effects(), "g + dose").fit().vif(),
            "robust": mx.RandomEffects(effects()).fit().robust("lab"),
            "compare": models.compare(fit, mx.RandomEffects(effects()).fit("ML")),
        }


def entries() -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Yield each entry with arguments that are right."""
    es, fit = effects(), results()["mean"]
    y, v = np.tile(es.y, (2, 1)), np.tile(es.v, (2, 1))
    yield "RandomEffects", mx.RandomEffects, {"effects": es, "moderators": "dose"}
    yield "LocationScale", mx.LocationScale, {"effects": es, "location": None, "scale": "g"}
    yield "CensoredRandomEffects", mx.CensoredRandomEffects, {"effects": bounded()}
    yield "MantelHaenszel", mx.MantelHaenszel, {"counts": counts()}
    yield "Peto", mx.Peto, {"counts": counts()}
    yield "ExactConditional", mx.ExactConditional, {"counts": counts()}
    yield "CountGLMM", mx.CountGLMM, {"counts": counts()}
    yield "fit_many_counts", models.fit_many_counts, {"events": [[0, 1, 2]], "totals": [[9, 9, 9]]}
    yield "CountGLMM.fit", mx.CountGLMM(counts()).fit, {"method": "EE"}
    yield "BetaBinomial", mx.BetaBinomial, {"counts": counts()}
    yield "BetaBinomial.fit", mx.BetaBinomial(counts()).fit, {}
    yield "ArmBased", mx.ArmBased, {"counts": counts()}
    yield "ArmBased.fit", mx.ArmBased(counts(), structure="compound").fit, {"points": 3}
    yield "MantelHaenszel.fit", mx.MantelHaenszel(counts()).fit, {}
    yield "Peto.fit", mx.Peto(counts()).fit, {}
    yield "ExactConditional.fit", mx.ExactConditional(counts()).fit, {}
    yield "RandomEffects.fit", mx.RandomEffects(es).fit, {}
    yield "LocationScale.fit", mx.LocationScale(es).fit, {}
    yield "CensoredRandomEffects.fit", mx.CensoredRandomEffects(bounded()).fit, {}
    yield "fit_many", mx.fit_many, {"y": y, "v": v}
    yield "fit_many_censored", models.fit_many_censored, {"lower": y, "upper": y, "v_lower": v}
    yield "henmi_copas", models.henmi_copas, {"effects": es}
    yield "adjust_pvalues", models.adjust_pvalues, {"pvalues": [0.1, 0.2], "how": "holm"}
    yield "censored_strata", models.censored_strata, {"effects": es, "by": "g"}
    yield "likelihood_ratio_test", models.likelihood_ratio_test, {"reduced": fit, "full": results()["array"]}
    yield "compare", models.compare, {}
    yield "influence", influence, {"fit": fit}
    yield "leave_one_out", leave_one_out, {"results": fit}
    yield "cumulative", cumulative, {"results": fit, "order": "dose"}
    yield "baujat", baujat, {"results": fit}
    yield "refit", refit, {"fit": fit, "rows": [0, 1, 2, 3]}
    yield "refits", refits, {"fit": fit, "counts": np.ones((2, fit.k))}
    yield "gosh", gosh, {"results": fit}
    yield "profile", profile, {"results": fit, "parameter": "tau2"}
    yield "profile of a mean", profile, {"results": fit, "parameter": "estimate"}
    yield "simulate", simulate, {"results": fit}
    yield "bootstrap", bootstrap, {"results": fit, "draws": 19}
    yield "parametric bootstrap", bootstrap, {"results": fit, "draws": 19, "kind": "parametric"}
    paths = {"method": ["REML", "DL"], "test": ["z"]}
    yield "multiverse", multiverse, {"data": es, "choices": paths}
    found = multiverse(es, paths)
    for method in (found.importance, found.of_scale, found.to_frame, found.effects, found.permutation_test):
        yield f"Multiverse.{method.__name__}", method, {}
    for name, result in results().items():
        for method in dir(type(result)):
            found = None if method.startswith("_") else inspect.getattr_static(type(result), method)
            if inspect.isfunction(found) and method not in (*SHOWN, *INNER):
                yield f"{name}.{method}", getattr(result, method), {}


def bare(call: Callable[[], Any]) -> str:
    """Return what is wrong with how a call ends: nothing if it answers, or refuses in the package's words."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MetaexoWarning)
        try:
            call()
        except MetaexoError as error:
            return "" if str(error).strip() else "an error without words"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:90]}"
    return ""


def battery(call: Callable[..., Any], right: dict[str, Any]) -> list[str]:
    """Feed each parameter each wrong value, the others right."""
    wrong = []
    for name, parameter in inspect.signature(call).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        for i, value in enumerate(WRONG):
            if parameter.kind is parameter.VAR_POSITIONAL:
                said = bare(lambda v=value: call(v, v, **right))
            else:
                said = bare(lambda v=value, n=name: call(**{**right, n: v}))
            if said:
                wrong.append(f"{name} = WRONG[{i}] {str(value)[:20]!r}: {said}")
    return wrong


ENTRIES = {name: (call, right) for name, call, right in entries()}


@pytest.mark.parametrize("name", ENTRIES)
def test_wrong_inputs_meet_the_package_s_own_errors(name: str) -> None:
    call, right = ENTRIES[name]
    parameters = inspect.signature(call).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    right = {p.name: USUAL.get(p.name, 0.5) for p in named if p.default is p.empty} | right
    assert battery(call, right) == []


def test_what_is_often_handed_in_is_answered_with_a_remedy_that_works() -> None:
    es = effects()
    frame = pd.DataFrame({"yi": es.y, "vi": es.v})
    for wrong in (es.y, frame, results()["mean"], "x", None, [0.1, 0.2], (es.y, es.v)):
        for model in (mx.RandomEffects, mx.LocationScale, mx.CensoredRandomEffects):
            with pytest.raises(MetaexoError, match=r"EffectSizes|effects"):
                model(wrong)  # type: ignore[arg-type]
    with pytest.raises(MetaexoError, match=r"mx.EffectSizes\(y, v\)"):
        mx.RandomEffects(es.y, es.v)  # type: ignore[arg-type]
    assert mx.RandomEffects(mx.EffectSizes("yi", "vi", data=frame)).fit().k == 8
    assert mx.RandomEffects(results()["mean"].effects).fit().k == 8


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("DerSimonian-Laird", "DL"),
        ("CE", "EE"),
        ("FE", "EE"),
        ("reml", "REML"),
        ("Paule-Mandel", "PM"),
        ("dl", "DL"),
    ],
)
def test_methods_by_other_names_say_the_one_name(given: str, name: str) -> None:
    assert mx.RandomEffects(effects()).fit(given).method == name


def test_tests_by_other_names_say_the_one_name() -> None:
    for word, name in (
        ("knha", "knapp-hartung"),
        ("HKSJ", "knapp-hartung"),
        ("adhoc", "knapp-hartung-adhoc"),
    ):
        assert mx.RandomEffects(effects()).fit(test=word).test == name


def arrays_of(value: Any, seen: set[int], depth: int = 0) -> Iterator[np.ndarray]:
    """Yield every array inside a result, what it has computed and keeps included."""
    if id(value) in seen or depth > 6:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays_of(part, seen, depth + 1)
    elif isinstance(value, dict):
        for part in value.values():
            yield from arrays_of(part, seen, depth + 1)
    elif type(value).__module__.startswith("metaexo"):
        names = list(getattr(value, "__dict__", {})) + list(getattr(value, "__dataclass_fields__", {}))
        for name in dict.fromkeys(names):
            yield from arrays_of(getattr(value, name), seen, depth + 1)


@pytest.mark.parametrize("name", list(results()))
def test_results_pickle_and_copy_and_their_arrays_cannot_be_written_to(name: str) -> None:
    result = results()[name]
    for made in (result, pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)):
        for attribute in dir(type(made)):
            if not attribute.startswith("_") and not inspect.isfunction(
                inspect.getattr_static(type(made), attribute)
            ):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    value = None
                    try:
                        value = getattr(made, attribute)
                    except MetaexoError:
                        continue
                if isinstance(value, np.ndarray):
                    assert not value.flags.writeable, attribute
        assert [a.shape for a in arrays_of(made, set()) if a.flags.writeable] == []
        assert made.to_text() == result.to_text()


def test_what_was_handed_in_stays_its_owner_s() -> None:
    y, v, x, w = np.array([0.1, 0.5, 0.3, 0.8]), np.full(4, 0.03), np.arange(4.0), np.arange(1.0, 5.0)
    fit = mx.RandomEffects(mx.EffectSizes(y, v), x, weights=w).fit()
    before = fit.to_dict()
    for mine in (y, v, x, w):
        mine[:] = 99.0
    assert fit.to_dict() == before
    for series in (fit.params, fit.bse, fit.tvalues):
        series.iloc[0] = 99.0
    for table in (fit.cov_params(), fit.conf_int()):
        table.iloc[0, 0] = 99.0
    assert fit.to_dict() == before
    many = mx.fit_many([[0.1, 0.5, 0.3]] * 2, [[0.02] * 3] * 2)
    with pytest.raises(ValueError, match="read-only"):
        many.estimate[0] = 9
