"""Wrong inputs at the doors of multilevel models, robust results and covariances: the package's own errors.

Every argument of every public call is fed words, numbers, arrays and tables that do not belong there. An
answer is fine where the argument can have that value; a bare Python error never is.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import effects as ef
from metaexo.errors import MetaexoError

Y = np.array([0.1, 0.3, 0.5, 0.9, 0.2, 0.4, 0.7, 0.0, 0.6, 0.35])
V = np.array([0.02, 0.03, 0.02, 0.04, 0.03, 0.02, 0.05, 0.03, 0.02, 0.04])
STUDY = list("aabbccddee")
DATA = pd.DataFrame(
    {"out": ["x", "y"] * 5, "t": [1.0, 2.0] * 5, "g": list("uuvvuuvvuu"), "dose": np.arange(10.0)}
)
ES = mx.EffectSizes(Y, V, study=STUDY, data=DATA)
FIT = mx.Multilevel(ES, "study/effect").fit()
REGRESSION = mx.Multilevel(ES, "study", moderators="dose").fit("ML")
OUTCOMES = mx.Multilevel(ES, mx.RandomTerm("study", "out", "UN")).fit()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ROBUST = REGRESSION.robust()

WRONG: tuple[Any, ...] = (
    "word",
    "",
    7,
    -1,
    None,
    [1, 2, 3],
    ["a"],
    {"a": 1},
    {},
    np.array([object()] * 10, dtype=object),
    float("nan"),
    [np.nan] * 10,
    1 + 2j,
    [1j] * 10,
    True,
    95,
    np.eye(3),
    [],
    (),
    pd.Series(range(10), index=list("klmnopqrst")),
    lambda x: x,
    pd.DataFrame({"a": [1]}),
    b"x",
    set(),
    np.datetime64("2020"),
    1e400,
)

CALLS: dict[str, Callable[[Any], Any]] = {
    "Multilevel(ES)": mx.Multilevel,
    "random": lambda w: mx.Multilevel(ES, w),
    "V": lambda w: mx.Multilevel(ES, V=w),
    "Vlist": lambda w: mx.Multilevel(ES, V=[w] * 5),
    "moderators": lambda w: mx.Multilevel(ES, moderators=w),
    "fix": lambda w: mx.Multilevel(ES, fix=w),
    "fixvalue": lambda w: mx.Multilevel(ES, fix={"study": w}),
    "weights": lambda w: mx.Multilevel(ES, weights=w).fit(),
    "intercept": lambda w: mx.Multilevel(ES, intercept=w),
    "names": lambda w: mx.Multilevel(ES, moderators=np.arange(10.0), names=w),
    "redundant": lambda w: mx.Multilevel(ES, redundant=w),
    "method": lambda w: mx.Multilevel(ES).fit(method=w),
    "test": lambda w: mx.Multilevel(ES).fit(test=w),
    "level": lambda w: mx.Multilevel(ES).fit(level=w),
    "outer": lambda w: mx.Multilevel(ES, mx.RandomTerm(w, "out")),
    "outeronly": lambda w: mx.Multilevel(ES, mx.RandomTerm(w)),
    "inner": lambda w: mx.Multilevel(ES, mx.RandomTerm("study", w)),
    "structure": lambda w: mx.Multilevel(ES, mx.RandomTerm("study", "out", w)),
    "relation": lambda w: mx.Multilevel(ES, mx.RandomTerm("study", relation=w)),
    "distance": lambda w: mx.Multilevel(ES, mx.RandomTerm("study", "out", "SPEXP", distance=w)),
    "robust.cluster": FIT.robust,
    "robust.kind": lambda w: FIT.robust(kind=w),
    "robust.df": lambda w: FIT.robust(df=w),
    "confint": FIT.conf_int,
    "cic": FIT.conf_int_components,
    "cicl": lambda w: FIT.conf_int_components(["study"], w),
    "profile": FIT.profile,
    "profile.grid": lambda w: FIT.profile("study", w),
    "profile.level": lambda w: FIT.profile("study", [0.1], w),
    "predict": REGRESSION.predict,
    "predict0": FIT.predict,
    "predict.level": lambda w: FIT.predict(level=w),
    "predict.scale": lambda w: FIT.predict(scale=w),
    "predict.kind": lambda w: FIT.predict(kind=w),
    "predict.v": lambda w: FIT.predict(sampling_variance=w),
    "residuals": FIT.residuals,
    "residuals.cluster": lambda w: FIT.residuals("studentized", cluster=w),
    "residuals.refit": lambda w: FIT.residuals("studentized", refit=w),
    "cluster_residuals": FIT.cluster_residuals,
    "cluster_residuals.kind": lambda w: FIT.cluster_residuals(kind=w),
    "cluster_residuals.refit": lambda w: FIT.cluster_residuals(refit=w),
    "blup": FIT.blup,
    "blup.level": lambda w: FIT.blup(level=w),
    "given": lambda w: FIT.predict(given=w),
    "inner=": lambda w: OUTCOMES.predict(inner=w),
    "innerv": lambda w: OUTCOMES.predict(inner={"out|study": w}),
    "givenv": lambda w: FIT.predict(given={"study": w}),
    "without": lambda w: FIT.predict(without=w),
    "re": FIT.random_effects,
    "het": FIT.heterogeneity,
    "het.method": lambda w: FIT.heterogeneity(method=w),
    "ci2": FIT.conf_int_i2,
    "cis": FIT.conf_int_shares,
    "influence": FIT.influence,
    "infl.refit": lambda w: FIT.influence(refit=w),
    "levels": mx.sensitivity.leave_one_level_out,
    "levels.terms": lambda w: mx.sensitivity.leave_one_level_out(FIT, w),
    "levels.most": lambda w: mx.sensitivity.leave_one_level_out(FIT, most=w),
    "levels.of": mx.sensitivity.leave_one_level_out(FIT).most_influential,
    "test_components": FIT.test_components,
    "test_components.seed": lambda w: FIT.test_components(3, seed=w),
    "power": lambda w: mx.sensitivity.power_of_component(w, "study", draws=20),
    "power.term": lambda w: mx.sensitivity.power_of_component(FIT, w, draws=20),
    "power.shares": lambda w: mx.sensitivity.power_of_component(FIT, "study", w, draws=20),
    "power.tau2": lambda w: mx.sensitivity.power_of_component(FIT, "study", tau2=w, draws=20),
    "power.level": lambda w: mx.sensitivity.power_of_component(FIT, "study", level=w, draws=20),
    "power.draws": lambda w: mx.sensitivity.power_of_component(FIT, "study", draws=w),
    "power.seed": lambda w: mx.sensitivity.power_of_component(FIT, "study", draws=20, seed=w),
    "test_against": FIT.test_against,
    "lrt": lambda w: mx.likelihood_ratio_test(FIT, w),
    "lrt2": lambda w: mx.likelihood_ratio_test(w, FIT),
    "contrast": REGRESSION.contrast,
    "contrast.null": lambda w: REGRESSION.contrast("dose", w),
    "contrast.level": lambda w: REGRESSION.contrast("dose", 0.0, w),
    "adjust": lambda w: REGRESSION.contrast("dose", adjust=w),
    "tt": REGRESSION.test_terms,
    "fitstat": FIT.fit_statistics,
    "matrix": OUTCOMES.matrix,
    "position": FIT.position,
    "rob.predict": ROBUST.predict,
    "rob.level": lambda w: ROBUST.predict(level=w),
    "rob.inner": lambda w: ROBUST.predict(inner=w),
    "rob.without": lambda w: ROBUST.predict(without=w),
    "rob.contrast": ROBUST.contrast,
    "rob.ci": ROBUST.conf_int,
    "ce": mx.correlated_effects,
    "ce.rho": lambda w: mx.correlated_effects(ES, w),
    "ce.w": lambda w: mx.correlated_effects(ES, working=w),
    "ce.by": lambda w: mx.correlated_effects(ES, working="SCE", by=w),
    "ce.cl": lambda w: mx.correlated_effects(ES, cluster=w),
    "ce.mod": lambda w: mx.correlated_effects(ES, moderators=w),
    "ce.missing": lambda w: mx.correlated_effects(ES, missing=w),
    "rs": mx.rho_sweep,
    "rs.rho": lambda w: mx.rho_sweep(ES, w),
    "rs.kind": lambda w: mx.rho_sweep(ES, [0.1], kind=w),
    "rs.level": lambda w: mx.rho_sweep(ES, [0.1], level=w),
    "rs.cl": lambda w: mx.rho_sweep(ES, [0.1], cluster=w),
    "rs.missing": lambda w: mx.rho_sweep(ES, [0.1], missing=w),
    "it": lambda w: mx.identifiable_terms(w, ["study"]),
    "it.c": lambda w: mx.identifiable_terms(ES, w),
    "mov": lambda w: mx.model_of_values(w, "study"),
    "mov.r": lambda w: mx.model_of_values(Y, w, data=DATA),
    "mov.data": lambda w: mx.model_of_values(Y, "out", data=w),
    "mov.study": lambda w: mx.model_of_values(Y, "study", study=w),
    "mov.v": lambda w: mx.model_of_values(Y, "out", data=DATA, v=w),
    "mov.missing": lambda w: mx.model_of_values(Y, "out", data=DATA, missing=w),
    "mov.l": lambda w: mx.model_of_values(Y, "out", data=DATA, labels=w),
    "rv": mx.robust_variance,
    "rv.w": lambda w: mx.robust_variance(ES, w),
    "rv.r": lambda w: mx.robust_variance(ES, correlation=w),
    "rv.mod": lambda w: mx.robust_variance(ES, moderators=w),
    "rv.cl": lambda w: mx.robust_variance(ES, cluster=w),
    "rv.kind": lambda w: mx.robust_variance(ES, kind=w),
    "rv.df": lambda w: mx.robust_variance(ES, df=w),
    "rv.level": lambda w: mx.robust_variance(ES, level=w),
    "cb.v": lambda w: ef.covariance_blocks(w, STUDY, correlation=0.5),
    "cb.c": lambda w: ef.covariance_blocks(V, w, correlation=0.5),
    "cb.r": lambda w: ef.covariance_blocks(V, STUDY, correlation=w),
    "cb.k": lambda w: ef.covariance_blocks(V, STUDY, correlation=0.5, kind=w, between_kinds=0.2),
    "cb.b": lambda w: ef.covariance_blocks(V, STUDY, correlation=0.5, kind=["x", "y"] * 5, between_kinds=w),
    "cb.t": lambda w: ef.covariance_blocks(V, STUDY, time=w, autocorrelation=0.5),
    "cb.a": lambda w: ef.covariance_blocks(V, STUDY, time=[1, 2] * 5, autocorrelation=w),
    "cb.l": lambda w: ef.covariance_blocks(V, STUDY, time=[1, 2] * 5, autocorrelation=0.5, lasting=w),
    "cm": ef.covariance_matrix,
    "ag": lambda w: ef.aggregate(w, correlation=0.5),
    "ag.r": lambda w: ef.aggregate(ES, correlation=w),
    "ag.kind": lambda w: ef.aggregate(ES, correlation=0.5, kind=w, between_kinds=0.2),
    "ag.time": lambda w: ef.aggregate(ES, time=w, autocorrelation=0.5),
    "ag.blocks": lambda w: ef.aggregate(ES, blocks=w),
    "ag.w": lambda w: ef.aggregate(ES, correlation=0.5, weighted=w),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_answer_to_a_wrong_input_is_an_error_of_the_package(name: str) -> None:
    for wrong in WRONG:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mx.errors.MetaexoWarning)
            with contextlib.suppress(MetaexoError):
                CALLS[name](wrong)


@pytest.mark.parametrize("name", [name for name in CALLS if name.endswith("level")])
def test_a_level_in_per_cent_is_refused_at_every_door(name: str) -> None:
    with pytest.raises(MetaexoError, match=r"write 0\.95"):
        CALLS[name](95)
