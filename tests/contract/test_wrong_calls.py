"""Every public function, constructor and method answers a wrong call in words; they are found, not listed."""

from __future__ import annotations

import functools
import inspect
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import metaexo as mx
from metaexo.calls import CONSTRUCTORS, explained
from metaexo.errors import CallError
from tests.contract.test_reprs import CLASSES

BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Call:
    """A public function, constructor or method, which is called without an object."""

    def __init__(self, name: str, run: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
        self.name, self.run = name, run
        kinds = {one.kind for one in parameters}
        self.any_place = inspect.Parameter.VAR_POSITIONAL in kinds
        self.any_word = inspect.Parameter.VAR_KEYWORD in kinds
        named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        self.by_place = [one.name for one in named if one.kind in BY_PLACE]
        self.needed = [one.name for one in named if one.default is one.empty]
        self.words = [one.name for one in named if not one.name.startswith("_")]

    def wrong(self) -> Iterator[tuple[tuple[object, ...], dict[str, object]]]:
        """Yield arguments that do not fit."""
        if not self.any_place:
            yield (None,) * (len(self.by_place) + 1), {}
        if not self.any_word:
            yield (), {"no_such_argument": 1}
        if self.needed and not self.any_word:
            yield (), {}
        if self.by_place and self.by_place[0] in self.words:
            yield (None,), {self.by_place[0]: None}

    def misspelt(self) -> Iterator[tuple[str, str]]:
        """Yield an argument of more than four letters, and what it is without its third."""
        for word in self.words if not self.any_word else ():
            short = word[:2] + word[3:]
            if len(word) > 4 and short not in self.words:
                yield word, short


def public_things() -> dict[int, tuple[str, Any]]:
    """Return what the rooms list, and all kinds of results and models, with their names."""
    found = {id(mx.Ledger): ("Ledger", mx.Ledger)}
    for room in mx._ROOMS:
        for name in getattr(mx, room).__all__:
            thing = getattr(getattr(mx, room), name)
            if callable(thing):
                found[id(thing)] = (f"{room}.{name}", thing)
    return {id(kind): (f"{kind.__module__[8:]}.{kind.__name__}", kind) for kind in CLASSES} | found


def calls_of(name: str, thing: Any) -> Iterator[Call]:
    """Yield a function, or the constructor and the public methods of a class."""
    if not inspect.isclass(thing):
        yield Call(name, thing, list(inspect.signature(thing).parameters.values()))
        return
    for key in {key: None for kind in thing.__mro__ for key in vars(kind)}:
        made = inspect.getattr_static(thing, key)
        plain = made.__func__ if isinstance(made, classmethod | staticmethod) else made
        constructor = key in ("__init__", "__new__")
        if (
            not inspect.isfunction(plain)
            or not plain.__module__.startswith("metaexo")  # of Python itself
            or (key.startswith("_") and key not in CONSTRUCTORS)
            or (constructor and inspect.isabstract(thing))
        ):
            continue
        run = functools.partial(plain, None) if plain is made else getattr(thing, key)
        without_object = isinstance(made, staticmethod) and not constructor
        parameters = list(inspect.signature(plain).parameters.values())[0 if without_object else 1 :]
        yield Call(f"{name}.{key}", thing if constructor else run, parameters)


CALLS = [call for name, thing in public_things().values() for call in calls_of(name, thing)]
ROOMS = sorted({call.name.partition(".")[0] for call in CALLS})


def test_calls_are_found():
    names = {call.name for call in CALLS}
    assert {
        "bias.pet_peese", "models.RandomTerm.__init__", "models.RandomEffects.fit", "plots.forest",
        "models.RandomEffectsResults.to_frame", "Ledger.__init__", "formatting.number", "runs.run",
        "errors.UnknownChoiceError.__init__", "effects.EffectSizes.select",
    } <= names  # fmt: skip
    assert len(names) > 2000


@pytest.mark.parametrize("room", ROOMS)
def test_a_wrong_call_is_answered_in_words(room):
    for call in CALLS:
        for args, kwargs in call.wrong() if call.name.partition(".")[0] == room else ():
            with pytest.raises(CallError) as caught:
                call.run(*args, **kwargs)
            assert caught.value.remedy, call.name


@pytest.mark.parametrize("room", ROOMS)
def test_a_misspelt_argument_is_answered_with_the_one_that_is_meant(room):
    for call in CALLS:
        for word, short in call.misspelt() if call.name.partition(".")[0] == room else ():
            with pytest.raises(CallError) as caught:
                call.run(**{short: 1})
            assert word in caught.value.remedy, call.name


def test_errors_of_what_a_call_does_are_its_own():
    @explained
    def adds(a, b):
        return a + b

    assert adds(1, b=2) == 3
    with pytest.raises(TypeError, match="unsupported operand"):
        adds(1, "b")
    with pytest.raises(CallError, match=r"adds\(\) takes 2 arguments by position, and 3 are given"):
        adds(1, 2, 3)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("mx.RandomTerm()", "RandomTerm() lacks outer; needed: "),
        ("mx.RandomTerm()", "write RandomTerm(outer=...)"),
        ("mx.Ledger(1, 2, 3, 4)", "Ledger() takes 3 arguments by position, and 4 are given"),
        ("fit.to_frame(1)", "to_frame() takes 0 arguments by position, and 1 is given"),
        ("fit.conf_int(0.9, 2)", "conf_int() takes 1 argument by position, and 2 are given"),
        ("fit.to_latex(capton='a')", "write caption=..."),
        ("mx.EffectSizes.select(es)", "select() lacks rows"),
        ("mx.formatting.number(1, digit=2)", "write digits=..."),
        ("mx.compare(fit, leve=0.9)", "leave out leve="),
    ],
)
def test_what_is_said(call, answer):
    es = mx.EffectSizes([0.1, 0.4, 0.2], [0.02, 0.05, 0.03])
    with pytest.raises(CallError) as caught:
        eval(call, {"mx": mx, "es": es, "fit": mx.RandomEffects(es).fit()})
    assert answer in str(caught.value)


def test_the_traceback_ends_with_the_line_of_the_user():
    """One frame of the package follows, in which the error is raised, and no error before this one."""
    with pytest.raises(CallError) as caught:
        mx.RandomTerm()
    user, package = traceback.extract_tb(caught.value.__traceback__)[-2:]
    assert (user.filename, user.line) == (__file__, "mx.RandomTerm()")
    assert package.filename.endswith("calls.py")
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_functions_stay_what_they_were():
    """They are pickled by name, and say their own arguments, words and examples."""
    for name, thing in public_things().values():
        if inspect.isfunction(thing):
            assert pickle.loads(pickle.dumps(thing)) is thing, name
            assert thing.__doc__, name
            assert "args" not in inspect.signature(thing).parameters, name
