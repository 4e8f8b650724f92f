"""What a wrong call is answered with: the argument that is meant, or the call as it has to be written.

Python's own TypeError says that an argument is unexpected; :func:`explained` says which one to write.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, ParamSpec, TypeVar

from metaexo.errors import MOST_SHOWN, CallError, nearest_word
from metaexo.other_names import PLOT_ARGUMENTS, PLOT_WORDS, SAME_VALUES

P = ParamSpec("P")
R = TypeVar("R")
Thing = TypeVar("Thing", bound=Callable[..., Any])

# What arguments are called elsewhere, by what they are called here.
ARGUMENTS = {
    "y": "yi te es effect effectsizes estimate",
    "v": "vi variance variances var",
    "se": "sei sete stderr standarderror",
    "effects": "es data dataset x",
    "moderators": "mods mod formula covariates x exog",
    "new": "newmods newdata exog x data",
    "scale": "transf trans atransf backtransf",
    "level": "alpha conflevel ci confidence",
    "labels": "slab label names author authors",
    "study": "studlab cluster studies",
    "by": "subgroup group groups byvar groupby factor strata",
    "data": "df table frame",
    "method": "estimator taumethod methodtau tau2method model",
    "test": "hakn knha ci",
    "continuity": "add cc incr",
    "measure": "sm es",
    "random": "re groups struct",
    "rows": "mask condition query where expr",
    "cuts": "steps",
    "weights": "type wtype",
    "kind": "type clubsandwich",
    "draws": "nsim iter reps iterations nboot r niter subsets",
    "cluster": "clusters id",
    "correlation": "rho r ri",
    "predictor": "ni",
    "interval": "type",
    "side": "direction",
    "axis_label": "xlab xlabel ylab",
    "limits": "xlim alim ylim",
    "ticks": "at",
    "reference": "refline ref",
    "prediction": "addpred",
    "columns": "ilab leftcols rightcols",
    "heads": "header ilablab leftlabs",
    "points": "nagq",
}
LONGEST_VALUE = 40
VALUES = {"scale": '"measure"'}
EFFECT_NAMES = ("yi", "te", "es", "effect", "y", "effects")
ERROR_NAMES = ("sei", "sete", "se", "stderr")
CONSTRUCTORS = ("__init__", "__new__", "__call__")


def explain_room(room: str) -> None:
    """Make the functions and classes that a room lists answer wrong calls in words.

    It stands at the end of the room, and so comes before any call from outside. Every module of the room is
    given the answering function in the place of the plain one.
    """
    modules = [module for name, module in sys.modules.items() if f"{name}.".startswith(f"{room}.")]
    listed = [vars(sys.modules[room])[name] for name in sys.modules[room].__all__]
    made = {id(thing): explained(thing) for thing in listed if inspect.isfunction(thing)}
    for kind in listed:
        if inspect.isclass(kind):
            explained(kind)
    for module in modules:
        for name, thing in list(vars(module).items()):
            if id(thing) in made:
                setattr(module, name, made[id(thing)])
            elif hasattr(thing, "_answers_as") and inspect.isclass(thing):  # results that no room lists
                explained(thing)


def explained(thing: Thing) -> Thing:
    """Make a function, or the constructor and the public methods of a class, answer a wrong call in words.

    The answer says what to write. Errors of what a function does are left as they are.

    Examples
    --------
    >>> @explained
    ... def pool(effects, *, method="REML"): ...
    >>> pool([0.1], methd="DL")
    Traceback (most recent call last):
        ...
    metaexo.errors.CallError: pool() has no argument 'methd'; needed: effects, method. What to do: write
    method=....
    """
    if not inspect.isclass(thing):
        return _answering(thing)  # type: ignore[return-value]
    for kind in thing.__mro__:
        if kind.__module__.partition(".")[0] != "metaexo" or "_explained" in vars(kind):
            continue
        setattr(kind, "_explained", True)  # noqa: B010
        for name, made in list(vars(kind).items()):
            if name.startswith("_") and name not in CONSTRUCTORS:
                continue
            if inspect.isfunction(made):
                setattr(kind, name, _answering(made, of_class=True))
            elif isinstance(made, classmethod | staticmethod):
                of_class = isinstance(made, classmethod) or name == "__new__"
                setattr(kind, name, type(made)(_answering(made.__func__, of_class)))
    return thing


def _answering(function: Callable[P, R], of_class: bool = False) -> Callable[P, R]:
    """Return a function that answers a wrong call; `of_class` says that its first argument is not written."""

    @functools.wraps(function)
    def calling(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True  # pytest and IPython show the line of the user
        try:
            return function(*args, **kwargs)
        except TypeError:
            wrong = _wrong_call(function, inspect.signature(function), args, kwargs, of_class)
            if wrong is None:
                raise  # of what the function does
        raise wrong

    return calling


def bound(
    function: Callable[..., Any],
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> inspect.BoundArguments:
    """Return the arguments of a call by name, or say what to write where it does not fit."""
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        raise _wrong_call(function, signature, args, kwargs) or error from None


def _wrong_call(
    function: Callable[..., Any],
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    of_class: bool = False,
) -> CallError | None:
    """Return the error for a call that does not fit the signature; None if it fits."""
    parameters = list(signature.parameters.values())
    name = function.__name__
    if of_class:
        kind = args[0] if isinstance(args[0], type) else type(args[0])
        name = kind.__name__ if name in CONSTRUCTORS else name
        parameters, args = parameters[1:], args[1:]
    kinds = {parameter.kind for parameter in parameters}
    shown = [one for one in parameters if not one.name.startswith("_")]
    plain = [p.name for p in shown if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    named = [p.name for p in shown if p.kind is Parameter.KEYWORD_ONLY]
    every = [*plain, *named]
    needed = ", ".join(every[:MOST_SHOWN]) or "no argument"
    needed += f" and {len(every) - MOST_SHOWN} others" if len(every) > MOST_SHOWN else ""
    unknown = [word for word in kwargs if word not in (one.name for one in parameters)]
    if unknown and Parameter.VAR_KEYWORD not in kinds:
        words = ", ".join(map(repr, unknown))
        remedy = _meant(function, name, unknown, kwargs, every)
        return CallError(f"{name}() has no argument {words}", needed, remedy)
    if len(args) > len(plain) and Parameter.VAR_POSITIONAL not in kinds:
        extra = len(args) - len(plain)
        first = ", ".join([*plain, *(f"{word}=..." for word in named[:extra])])
        rest = f" (by name: {', '.join(named)})" if named else ""
        return CallError(
            f"{name}() takes {len(plain)} argument{'' if len(plain) == 1 else 's'} by position, "
            f"and {len(args)} {'is' if len(args) == 1 else 'are'} given",
            needed,
            f"give the others by name: {name}({first}){rest}" if named else f"write {name}({first})",
        )
    twice = [word for word in plain[: len(args)] if word in kwargs]
    if twice:
        return CallError(
            f"{name}() is given {twice[0]} by position and by name", needed, f"leave out {twice[0]}="
        )
    without = [one.name for one in shown if one.default is Parameter.empty]
    missing = [word for word in [*plain[len(args) :], *named] if word in without and word not in kwargs]
    if missing:
        written = ", ".join([*plain[: len(args)], *(f"{word}=..." for word in missing)])
        return CallError(f"{name}() lacks {', '.join(missing)}", needed, f"write {name}({written})")
    return None


def _meant(
    function: Callable[..., Any],
    name: str,
    unknown: list[str],
    kwargs: Mapping[str, Any],
    parameters: list[str],
) -> str:
    """Return what to write in the place of arguments that are not there."""
    if name == "predict" and argument_meant(unknown[0], parameters) is None:
        return f"write predict({ {word: kwargs[word] for word in unknown}!r})"
    if name == "select" and argument_meant(unknown[0], parameters) is None:
        return f'write select("{unknown[0]} == {kwargs[unknown[0]]!r}")'
    plain = {_letters(word): word for word in unknown}
    effect = next((plain[word] for word in EFFECT_NAMES if word in plain), None)
    if {"effects", "results"} & {*parameters} and effect is not None and len(plain) > 1:
        error = next((plain[word] for word in plain if plain[word] != effect), "v")
        argument = "se" if _letters(error) in ERROR_NAMES else "v"
        return f"write {_public(function, name)}(mx.EffectSizes(y={effect}, {argument}={error}))"
    owner = inspect.getmodule(function)
    fit = getattr(getattr(owner, name, None), "fit", None)
    if fit is not None and all(word in inspect.signature(fit).parameters for word in unknown):
        given = ", ".join(f"{word}={kwargs[word]!r}" for word in unknown)
        return f"write {name}(...).fit({given})"
    plot = function.__module__.startswith("metaexo.plots.")
    written: dict[str, str] = {}
    said, without = [], []
    for word in unknown:
        found = argument_of_plot(word, parameters) if plot else argument_meant(word, parameters)
        if found:
            same = plot and _letters(word) in SAME_VALUES and len(repr(kwargs[word])) <= LONGEST_VALUE
            written[found] = repr(kwargs[word]) if same else _value(found, word, kwargs[word])
        elif plot and _letters(word) in PLOT_WORDS:
            said.append(PLOT_WORDS[_letters(word)])
        else:
            without.append(f"{word}=")
    given = ", ".join(f"{ours}={value}" for ours, value in written.items())
    left = ", ".join(without)
    return "; ".join([f"write {given}"] * bool(given) + said + [f"leave out {left}"] * bool(left))


def level_of_alpha(alpha: float) -> str:
    """Return the confidence level of an interval with this alpha, as it is written.

    Examples
    --------
    >>> level_of_alpha(0.1), level_of_alpha(0.05)
    ('0.9', '0.95')
    """
    return f"{1 - alpha:.12g}"


def argument_of_plot(word: str, parameters: list[str]) -> str | None:
    """Return the argument of a plot that is meant by one of elsewhere; None if it has none.

    Examples
    --------
    >>> argument_of_plot("showweights", ["weights", "weight_column"]), argument_of_plot("pch", ["pages"])
    ('weight_column', None)
    """
    known = PLOT_ARGUMENTS.get(_letters(word))
    if known is None:
        return argument_meant(word, parameters)
    return next((one for one in known.split() if one in parameters), None)


def _value(ours: str, word: str, value: object) -> str:
    """Return what to write after an argument in the place of a value of elsewhere."""
    if ours == "level" and isinstance(value, int | float) and not isinstance(value, bool):
        if 0 < value < 1:
            return level_of_alpha(value) if value < 0.5 or _letters(word) == "alpha" else f"{value:g}"
        if 50 <= value < 100:
            return f"{value / 100:g}"
    return VALUES.get(ours, "...")


def _public(function: Callable[..., Any], name: str) -> str:
    """Return a function or a class as it is called: mx.RandomEffects, mx.bias.pet_peese."""
    room = function.__module__.split(".")[1]
    return f"mx.{name}" if name in sys.modules["metaexo"].__all__ else f"mx.{room}.{name}"


def argument_meant(word: str, parameters: list[str]) -> str | None:
    """Return the argument that is meant by a word of elsewhere, or by a misspelt one.

    Examples
    --------
    >>> argument_meant("nsim", ["results", "draws"]), argument_meant("levl", ["level"])
    ('draws', 'level')
    """
    for ours, names in ARGUMENTS.items():
        if ours in parameters and _letters(word) in names.split():
            return ours
    return nearest_word(word, parameters, cutoff=0.7)


def _letters(word: str) -> str:
    return word.replace("_", "").replace(".", "").casefold()


explain_room("metaexo.errors")
