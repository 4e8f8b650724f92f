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

from metaexo.errors import CallError, nearest_word

P = ParamSpec("P")
R = TypeVar("R")

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
VALUES = {"scale": '"measure"'}
EFFECT_NAMES = ("yi", "te", "es", "effect", "y", "effects")
ERROR_NAMES = ("sei", "sete", "se", "stderr")


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function answer a wrong call with an error that says what to write.

    The errors of what it does are left as they are. Use it on what newcomers call first.

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

    @functools.wraps(function)
    def calling(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # of what the function does
            wrong = _wrong_call(function, args, kwargs)
            if wrong is None:
                raise
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
        raise _wrong_call(function, args, kwargs) or error from None


def _wrong_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> CallError | None:
    """Return the error for a call that does not fit the signature; None if it fits."""
    parameters = dict(inspect.signature(function).parameters)
    method = next(iter(parameters), "") == "self"
    if method:
        parameters.pop("self")
        args = args[1:]
    name = _name(function)
    plain = [p.name for p in parameters.values() if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    named = [p.name for p in parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    needed = ", ".join([*plain, *named]) or "no argument"
    unknown = [word for word in kwargs if word not in parameters]
    open_to_all = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    if unknown and not open_to_all:
        words = ", ".join(map(repr, unknown))
        remedy = _meant(function, name, unknown, kwargs, [*plain, *named])
        return CallError(f"{name}() has no argument {words}", needed, remedy)
    if len(args) > len(plain):
        extra = len(args) - len(plain)
        first = ", ".join([*plain, *(f"{word}=..." for word in named[:extra])])
        rest = f" (by name: {', '.join(named)})" if named else ""
        return CallError(
            f"{name}() takes {len(plain)} argument{'' if len(plain) == 1 else 's'} by position, and "
            f"{len(args)} are given",
            needed,
            f"give the others by name: {name}({first}){rest}" if named else f"write {name}({first})",
        )
    twice = [word for word in plain[: len(args)] if word in kwargs]
    if twice:
        return CallError(
            f"{name}() is given {twice[0]} by position and by name", needed, f"leave out {twice[0]}="
        )
    missing = [
        p.name
        for i, p in enumerate(parameters.values())
        if p.default is Parameter.empty
        and p.name in (*plain, *named)
        and i >= len(args)
        and p.name not in kwargs
    ]
    if missing:
        written = ", ".join([*plain[: len(args)], *(f"{word}=..." for word in missing)])
        return CallError(f"{name}() lacks {', '.join(missing)}", needed, f"write {name}({written})")
    return None


def _name(function: Callable[..., Any]) -> str:
    """Return what is called: a class by its name, a method by its own."""
    owner, _, name = function.__qualname__.rpartition(".")
    return owner.rpartition(".")[2] if name == "__init__" else name


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
    written = [found for word in unknown if (found := argument_meant(word, parameters)) is not None]
    return "write " + ", ".join(f"{word}={VALUES.get(word, '...')}" for word in written) if written else ""


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
