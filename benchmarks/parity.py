"""The same numbers from R's metafor, run side by side: python -m benchmarks.parity.

The stored reference values of `tests/reference` cover far more; this is the live proof, on the example data
sets, that they are what R says today.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import metaexo as mx
from metaexo.errors import MetaexoWarning

METHODS = ("EE", "DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM")
TESTS = {"z": "z", "t": "t", "knapp-hartung": "knha"}
RTOL = 1e-6  # both sides iterate
EFFECT_RTOL = 1e-10  # a closed form
FEW = 13  # effects of which metafor fits all subsets in seconds
SELECTION_RTOL, SAME_LIKELIHOOD = 1e-2, 1e-3  # metafor's selection models stop early

# How metafor calls the inputs of the measures of the example data sets.
INPUTS = {
    "RR": {"treatment_events": "ai", "treatment_n": "n1i", "control_events": "ci", "control_n": "n2i"},
    "MD": {
        "treatment_mean": "m1i",
        "treatment_sd": "sd1i",
        "treatment_n": "n1i",
        "control_mean": "m2i",
        "control_sd": "sd2i",
        "control_n": "n2i",
    },
    "PLO": {"events": "xi", "n": "ni"},
}


def main() -> int:
    """Print the largest difference of each data set; 1 if one is too large."""
    effects = {name: read(name) for name in mx.datasets.datasets()["name"]}
    choices = [pair for pair in product(METHODS, TESTS) if pair != ("EE", "knapp-hartung")]
    answer = run_metafor(effects, choices)
    print(f"metaexo {mx.__version__} beside metafor {answer['metafor']} ({answer['R']})\n")
    worst = 0.0
    for name, es in effects.items():
        theirs = answer["data"][name]
        if theirs["effects"] is not None:
            gap = max(difference(es.y, theirs["effects"]["y"]), difference(es.v, theirs["effects"]["v"]))
            print(f"{name}, effects ({es.measure.code}, k = {es.k}): largest relative difference {gap:.1e}")
            worst = max(worst, gap / EFFECT_RTOL)
        gap, where = largest_gap(es, choices, theirs["fits"])
        print(f"{name}, {len(choices)} fits: largest relative difference {gap:.1e} ({where})")
        worst = max(worst, gap / RTOL)
        gaps = bias_gaps(es, theirs["bias"])
        method = max(gaps, key=lambda name: gaps[name])
        words = f"{name}, {len(gaps)} methods for small-study effects: largest difference"
        print(f"{words} {gaps[method]:.1e} of its tolerance ({method})")
        worst = max(worst, gaps[method])
        gaps = refit_gaps(es, theirs["refits"])
        way = max(gaps, key=lambda name: gaps[name])
        print(f"{name}, {len(gaps)} ways of refitting: largest relative difference {gaps[way]:.1e} ({way})")
        worst = max(worst, gaps[way] / RTOL)
    print("\nagreed" if worst <= 1 else "\nNOT agreed")
    return 0 if worst <= 1 else 1


def read(name: str) -> mx.EffectSizes:
    """Return the effects of a data set: as they stand in it, or computed by its usual measure."""
    frame = mx.load_dataset(name)
    if "y" in frame:
        return mx.EffectSizes(frame["y"], frame["v"], data=frame)
    return mx.effect_sizes(frame.attrs["measure"], data=frame)


def run_metafor(effects: dict[str, mx.EffectSizes], choices: list[tuple[str, str]]) -> dict[str, Any]:
    """Hand the problems to R and return its answer."""
    data: dict[str, Any] = {}
    for name, es in effects.items():
        data[name] = {"y": es.y.tolist(), "v": es.v.tolist(), "measure": es.measure.code}
        if es.measure.code in INPUTS:
            words = INPUTS[es.measure.code]
            data[name]["inputs"] = {theirs: es.column(ours).tolist() for ours, theirs in words.items()}
    asked = [{"method": method, "metafor_test": TESTS[test]} for method, test in choices]
    script = Path(__file__).with_name("parity_metafor.R")
    with tempfile.TemporaryDirectory() as folder:
        problems = Path(folder) / "problems.json"
        problems.write_text(json.dumps({"data": data, "choices": asked}), encoding="utf-8")
        command = ["Rscript", "--vanilla", str(script), str(problems)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"R stopped:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def largest_gap(
    es: mx.EffectSizes, choices: list[tuple[str, str]], theirs: list[dict[str, float]]
) -> tuple[float, str]:
    """Return the largest difference over all fits and quantities, and where it stands."""
    worst = (0.0, "none")
    for (method, test), answer in zip(choices, theirs, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetaexoWarning)
            fit = mx.RandomEffects(es).fit(method=method, test=test)
        pooled = fit.pooled()
        ours = {
            "estimate": pooled.estimate,
            "se": pooled.se,
            "low": pooled.low,
            "high": pooled.high,
            "tau2": fit.tau2,
            "q": fit.q.statistic,
        }
        for key, value in ours.items():
            gap = difference(value, answer[key])
            if not gap <= worst[0]:
                worst = (gap, f"{method}, {test}, {key}")
    return worst


def bias_gaps(es: mx.EffectSizes, theirs: dict[str, list[float] | float | None]) -> dict[str, float]:
    """Return the largest difference of each method for small-study effects as a share of its tolerance.

    What metafor stops at is left out. Its selection models stop where an iteration gains little, some at a
    bound of its own. There the likelihood decides: ours must not be lower; where both are equal, the
    estimates must agree.
    """
    plain = mx.EffectSizes(es.y, es.v)  # metafor is given effects and variances without what they measure
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        ours = bias_of(plain)
    gaps = {}
    for name, found in ours.items():
        answer = theirs[name]
        if answer is None:
            continue
        numbers = np.atleast_1d(np.asarray(answer, dtype=float))
        if name.startswith("selection"):
            gained = found[-1] - numbers[-1]
            gaps[name] = difference(found[:1], numbers[:1]) / SELECTION_RTOL
            if abs(gained) > SAME_LIKELIHOOD:
                gaps[name] = 0.0 if gained > 0 else np.inf
        else:
            gaps[name] = difference(found, numbers) / RTOL
    return gaps


def bias_of(es: mx.EffectSizes) -> dict[str, list[float]]:
    """Return what metaexo finds by each method, as parity_metafor.R lists it."""
    fit, ml = mx.RandomEffects(es).fit(), mx.RandomEffects(es).fit("ML", "z")
    found: dict[str, list[float]] = {}
    regressions = {"regression test": "mixed", "regression test, weighted least squares": "dispersion"}
    for name, model in regressions.items():
        test = mx.bias.regression_test(fit, "se", model=model)
        found[name] = [test.statistic, test.pvalue, test.limit_estimate]
    rank = mx.bias.rank_test(es)
    found["rank test"] = [rank.tau, rank.pvalue]
    filled = mx.bias.trim_and_fill(mx.RandomEffects(es).fit("DL", "z"))
    found["trim and fill"] = [filled.k0, filled.estimate, filled.se]
    found["fail-safe N (Rosenthal)"] = [mx.bias.fail_safe_n(es).number]
    found["fail-safe N (Rosenberg)"] = [mx.bias.fail_safe_n(es, "rosenberg").number]
    excess = mx.bias.excess_significance(es, model="common")
    found["excess significance"] = [excess.significant.sum(), excess.power.sum()]
    interval = mx.bias.henmi_copas(es)
    found["Henmi-Copas"] = [interval.estimate, interval.low, interval.high]
    step = mx.bias.selection_model(ml, alternative="greater")
    found["selection, step function"] = [step.estimate, step.lrt.statistic]
    smooth = mx.bias.selection_model(ml, "negative-exponential", alternative="greater")
    found["selection, negative exponential"] = [smooth.estimate, smooth.lrt.statistic]
    return found


def refit_gaps(es: mx.EffectSizes, theirs: dict[str, list[float]]) -> dict[str, float]:
    """Return the largest difference of each way of refitting; both sides use DerSimonian-Laird."""
    plain = mx.EffectSizes(es.y, es.v)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        fit = mx.RandomEffects(plain).fit("DL", "knapp-hartung")
    ours = refits_of(fit)
    return {
        name: difference(np.concatenate([np.ravel(part) for part in ours[name]]), answer)
        for name, answer in theirs.items()
    }


def refits_of(fit: mx.models.RandomEffectsResults) -> dict[str, list[Any]]:
    """Return what metaexo finds in each way, as parity_metafor.R lists it."""
    room = mx.sensitivity
    deleted = room.leave_one_out(fit, cluster="effect")
    grown = room.cumulative(fit, -np.arange(fit.k), cluster="effect")
    moved = room.influence(fit)
    square = room.baujat(fit)
    found = {
        "leave-one-out": [deleted.estimate, deleted.low, deleted.tau2, deleted.i2, deleted.q],
        "cumulative": [grown.estimate[1:], grown.high[1:], grown.tau2[1:]],
        "influence": [
            *(moved.rstudent, moved.dffits, moved.cooks_distance, moved.covariance_ratio),
            *(moved.tau2, moved.q, moved.hat),
        ],
        "Baujat": [square.contribution, square.influence],
    }
    if fit.k <= FEW:
        every = room.gosh(fit)
        quantiles = np.quantile(every.estimate, np.linspace(0, 1, 5))
        found["all subsets"] = [quantiles, [every.tau2.mean(), every.i2.mean()]]
        found["permutation test"] = [room.permutation_test(fit).pvalue]
    return found


def difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference, relative to the larger number, or to 0.001 if both are smaller."""
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    return float(np.max(np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-3)))


if __name__ == "__main__":
    sys.exit(main())
