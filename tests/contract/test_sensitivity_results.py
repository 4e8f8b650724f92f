"""Every way of refitting, on every family of results: a result that holds, or an error that says why not."""

from __future__ import annotations

import inspect
import warnings
from functools import cache

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import MetaexoError, MetaexoWarning
from tests.contract.test_results import CASES, example

room = mx.sensitivity
ORDER = [2001, 2003, 2002, 2004, 2005, 2005, 2007, 2006]
WAYS = {
    "leave_one_out": room.leave_one_out,
    "leave_one_level_out": room.leave_one_level_out,
    "power_of_component": lambda fit: room.power_of_component(fit, "study", draws=20),
    "cumulative": lambda fit: room.cumulative(fit, ORDER),
    "influence": room.influence,
    "baujat": room.baujat,
    "gosh": lambda fit: room.gosh(fit, draws=20),
    "permutation_test": lambda fit: room.permutation_test(fit, draws=19),
    "bootstrap": lambda fit: room.bootstrap(fit, draws=19, interval="percentile"),
    "simulate": lambda fit: room.simulate(fit, 2),
    "profile": room.profile,
    "refit": lambda fit: room.refit(fit, range(fit.k)),
}
# Where fits are drawn or permuted one by one, in seconds, the first fit of a family stands for it.
FIRST = dict(reversed(CASES))
SLOW = {
    (kind, name, way)
    for kind, name in CASES
    for way in ("bootstrap", "permutation_test", "gosh")
    if kind != "RandomEffectsResults" and name != FIRST[kind]
}
# What needs random terms with levels.
OF_LEVELS = ("leave_one_level_out", "power_of_component")
# A fit of a mean: every other way has a meaning.
PLAIN = ("RandomEffectsResults", "mean")


@cache
def result(way, kind, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        try:
            return WAYS[way](example(kind, name))
        except MetaexoError as error:
            return error


def test_every_way_is_tried():
    functions = {name for name in room.__all__ if inspect.isfunction(getattr(room, name))}
    assert functions - set(WAYS) == {"refits", "multiverse", "leave_kind_out", "without_kind"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "name", "way"), [(*case, way) for case in CASES for way in WAYS if (*case, way) not in SLOW]
)
def test_a_result_or_an_error_with_a_remedy(kind, name, way):
    found = result(way, kind, name)
    if isinstance(found, MetaexoError):
        assert (kind, name) != PLAIN or way in OF_LEVELS, str(found)
        assert len(str(found).splitlines()) > 1 or len(str(found)) > 60
    elif not isinstance(found, np.ndarray):
        assert str(found)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_refit_of_all_rows_is_the_fit(kind, name):
    fit, again = example(kind, name), result("refit", kind, name)
    assert type(again) is type(fit)
    assert again.beta == pytest.approx(fit.beta, rel=1e-6, abs=1e-9)
    assert again.cov == pytest.approx(fit.cov, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_leave_one_out_is_the_fit_of_the_rest(kind, name):
    found, fit = result("leave_one_out", kind, name), example(kind, name)
    if isinstance(found, MetaexoError):
        pytest.skip(f"no leave-one-out: {found}")
    i = next(i for i in range(found.size) if i not in found.reasons)
    rest = np.setdiff1d(np.arange(fit.k), found.members[i])
    assert fit.effects.study[found.members[i][0]] not in {fit.effects.study[j] for j in rest}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetaexoWarning)
        alone = room.refit(fit, rest)
    assert (found.k[i], found.m[i], found.tau2[i]) == (
        rest.size,
        alone.m,
        pytest.approx(alone.tau2, abs=1e-8, nan_ok=True),
    )
    for j, term in enumerate(found.names):
        if term in alone.design.names:
            at = alone.design.names.index(term)
            assert found.beta[i, j] == pytest.approx(alone.beta[at], rel=1e-6, nan_ok=True)
            assert found.low[i, j] == pytest.approx(alone.bounds()[0][at], rel=1e-5, nan_ok=True)
