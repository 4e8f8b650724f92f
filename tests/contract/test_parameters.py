"""One word for one thing: parameters of public functions and methods have the same names everywhere."""

from __future__ import annotations

import inspect

import pytest

import metaexo as mx

INSTEAD = {
    "factors": "by",
    "within": "by",
    "unit": "by",
    "groups": "by",
    "rho": "correlation",
    "freedom": "df",
    "dof": "df",
    "clusters": "cluster",
    "alpha": "level",
    "conf_level": "level",
    "n_draws": "draws",
    "replicates": "draws",
    "simulations": "draws",
    "random_state": "seed",
}
# Functions whose settings are inputs by name, columns by name, or several results.
OPEN = {"effect_sizes", "with_columns", "join_bounded", "compare"}


def public_callables():
    """Return the public functions, and the public methods and constructors of the classes that users call."""
    found = {}
    for room in mx._ROOMS:
        module = getattr(mx, room)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                found[f"{room}.{name}"] = thing
            elif inspect.isclass(thing) and not issubclass(thing, BaseException):
                for key, method in inspect.getmembers(thing, inspect.isfunction):
                    if not key.startswith("_"):
                        found[f"{room}.{name}.{key}"] = method
    return found


CALLABLES = public_callables()
SIGNATURES = {name: inspect.signature(thing).parameters for name, thing in CALLABLES.items()}


def test_the_words_of_the_design_are_used():
    wrong = {
        f"{name}({parameter}=)": INSTEAD[parameter]
        for name, parameters in SIGNATURES.items()
        for parameter in parameters
        if parameter in INSTEAD
    }
    assert not wrong


def test_effects_come_first():
    wrong = []
    for name, parameters in SIGNATURES.items():
        names = [parameter for parameter in parameters if parameter != "self"]
        if "effects" in names[1:]:
            wrong.append(name)
    assert not wrong


@pytest.mark.parametrize(
    ("parameter", "allowed"),
    [
        ("level", (0.95, None)),  # None: that of the fit
        ("cluster", ("study", None)),  # None: the study of the fit
        ("seed", (0,)),
        ("data", (None,)),
        ("missing", ("drop", "raise")),
    ],
)
def test_defaults_are_alike(parameter, allowed):
    defaults = {
        name: parameters[parameter].default
        for name, parameters in SIGNATURES.items()
        if parameter in parameters and parameters[parameter].default is not inspect.Parameter.empty
    }
    assert defaults
    assert not {name: default for name, default in defaults.items() if default not in allowed}


def test_every_setting_has_a_name():
    open_ended = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    found = {
        name
        for name, parameters in SIGNATURES.items()
        if open_ended & {parameter.kind for parameter in parameters.values()}
    }
    assert {name.rsplit(".", 1)[-1] for name in found} <= OPEN


def test_there_are_functions_and_methods():
    assert {"effects.split", "models.RandomEffects.fit", "plots.forest", "sensitivity.influence"} <= set(
        CALLABLES
    )
