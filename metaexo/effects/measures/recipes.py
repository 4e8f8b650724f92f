"""Formulas as lines of text that can be read, filled with numbers, and computed.

A recipe is what `explain` prints. It is written apart from the functions that compute effects, from the
same papers, so that the two check each other.
"""

from __future__ import annotations

import ast
import importlib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from metaexo.effects.corrections import average_over_rows, hedges_factor, hypergeometric, unbiased_correlation
from metaexo.effects.measures.partial_correlations import fixed_r_squared, fixed_r_squared_z
from metaexo.effects.measures.tetrachoric import tetrachoric_correlation
from metaexo.errors import InputError
from metaexo.numeric.tails import t_of_tail
from metaexo.types import Array

Values = Mapping[str, Array]

SYMBOLS: Mapping[str, str] = {
    **{f"treatment_{name}": f"{sign}1" for name, sign in (("mean", "m"), ("sd", "s"), ("n", "n"))},
    **{f"control_{name}": f"{sign}2" for name, sign in (("mean", "m"), ("sd", "s"), ("n", "n"))},
    "treatment_events": "x1",
    "control_events": "x2",
    "treatment_time": "T1",
    "control_time": "T2",
    "treatment_se": "se1",
    "control_se": "se2",
    "treatment_ci_low": "low1",
    "treatment_ci_high": "high1",
    "control_ci_low": "low2",
    "control_ci_high": "high2",
    **{
        f"{arm}_{name}": f"{sign}{i}"
        for i, arm in enumerate(("treatment", "control"), start=1)
        for name, sign in (("min", "min"), ("q1", "lowq"), ("median", "med"), ("q3", "upq"), ("max", "max"))
    },
    "post_mean": "m1",
    "post_sd": "s1",
    "pre_mean": "m2",
    "pre_sd": "s2",
    "mean": "m",
    "sd": "s",
    "events": "x",
    "time": "T",
    "correlation": "r",
    "partial": "r",
    "semipartial": "r",
    "point_biserial": "r_pb",
    "p_value": "p",
    "r_squared": "R2",
    "predictors": "k",
    "f": "F",
    "auc": "A",
    "both": "a",
    "first_only": "b",
    "second_only": "c",
    "neither": "d",
    "first_events": "x1",
    "second_events": "x2",
    "homozygous_first": "h1",
    "heterozygous": "h12",
    "homozygous_second": "h2",
    "difference": "D",
    "difference_ci_low": "low",
    "difference_ci_high": "high",
    "effect": "E",
    "effect_se": "se",
    "effect_ci_low": "low",
    "effect_ci_high": "high",
    "statistic": "t",
}
"""Name of an input -> the sign that stands for it in formulas; other inputs stand under their own name."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": np.exp,
    "arcsin": np.arcsin,
    "tanh": np.tanh,
    "atanh": np.arctanh,
    "cbrt": np.cbrt,
    "abs": np.abs,
    "smaller": np.minimum,
    "hedges": hedges_factor,
    "unbiased": unbiased_correlation,
    "hypergeometric": lambda c, z: hypergeometric(1.0, c, z),
    "Phi": ndtr,
    "z": ndtri,
    "t_of_p": lambda p, df: t_of_tail(p / 2, df),
    "R2_of_p": lambda p, n, k: 1 - betaincinv((n - k - 1) / 2, k / 2, p),
    "t_quantile": lambda level, df: t_of_tail((1 - level) / 2, df),
    "z_quantile": lambda level: -ndtri((1 - level) / 2),
    "average": average_over_rows,
    "average_of_both": lambda a, n, b, m: average_over_rows(np.concatenate([a, b]), np.concatenate([n, m])),
    "tetrachoric": lambda *table: tetrachoric_correlation(*(np.asarray(x, dtype=float) for x in table))[0],
    "variance_given_predictors": lambda *x: fixed_r_squared(*x)[1],
    "variance_of_z_given_predictors": lambda *x: fixed_r_squared_z(*x)[1],
}
"""Functions that stand in formulas."""

MEANINGS: Mapping[str, str] = {
    "hedges": "hedges(m) = Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2)), the small-sample factor",
    "unbiased": "unbiased(r, n): the unbiased estimate of a correlation",
    "hypergeometric": "hypergeometric(c, x): the hypergeometric function F(1, 1; c; x)",
    "Phi": "Phi: the standard normal distribution function",
    "z": "z: the quantile of the standard normal distribution",
    "t_of_p": "t_of_p(p, df): the t of a two-sided p",
    "R2_of_p": "R2_of_p(p, n, k): the R2 of the p of its F test",
    "t_quantile": "t_quantile(level, df): the t that an interval of this level reaches to",
    "z_quantile": "z_quantile(level): the z that an interval of this level reaches to",
    "average": "average(x, n): the average of x over all rows, weighted by n",
    "average_of_both": "average_of_both: the average over the rows and over both groups, weighted by size",
    "smaller": "smaller: the smaller of two numbers",
    "tetrachoric": "tetrachoric(x1, n1, x2, n2): the r at which the first cell has its probability",
    "variance_given_predictors": "variance_given_predictors: by numerical integration over the density of R2",
    "variance_of_z_given_predictors": "variance_of_z_given_predictors: by numerical integration",
}
"""What a function is that a reader may not know."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(?![A-Za-z_0-9]*\s*\()")


_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def _value(node: ast.expr, known: Values) -> Any:
    """Return the value of a part of a formula: signs, numbers, the four operations, powers and functions."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return known[name] if name in known else {"pi": np.pi}[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, known)
        case ast.BinOp(left=left, op=sign, right=right):
            return _OPERATIONS[type(sign)](_value(left, known), _value(right, known))
        case ast.Call(func=ast.Name(id=name), args=inner, keywords=[]):
            return FUNCTIONS[name](*(_value(part, known) for part in inner))
    raise InputError(f"{ast.unparse(node)!r} in a formula", "signs, numbers, + - * / ** and known functions")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a recipe: a sign and what it is."""

    sign: str
    expression: str

    def compute(self, known: Values) -> Array:
        """Return its value, from the values of the signs in it."""
        return np.asarray(_value(ast.parse(self.expression, mode="eval").body, known), dtype=float)

    def filled(self, known: Mapping[str, float]) -> str:
        """Return the expression with numbers in the place of signs; an average over rows stays in signs."""
        if "average" in self.expression:
            return self.expression

        def number(found: re.Match[str]) -> str:
            name = found[0]
            if name not in known:
                return name
            text = shown(known[name])
            return f"({text})" if text.startswith("-") else text

        return _NAME.sub(number, self.expression)

    @property
    def readable(self) -> str:
        """The expression as it is printed."""
        return readable(self.expression)

    @property
    def needs(self) -> frozenset[str]:
        """The signs in it."""
        return frozenset(_NAME.findall(self.expression)) - {"pi"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an effect and its variance follow from one set of inputs.

    Attributes
    ----------
    steps : tuple of str
        Lines "sign = expression"; the last is that of y. What stands after " | " is taken without the
        small-sample correction.
    v : mapping of str to tuple of str
        Lines of the variance by its type ("" if there is only one); the last is that of v.
    """

    steps: tuple[str, ...]
    v: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def lines(self, variance: str, corrected: bool) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
        """Return the lines of the effect and of its variance.

        Raises
        ------
        InputError
            If the recipe has no variance of this type.
        """
        if variance not in self.v:
            raise InputError(
                f"no formula is written down for the variance {variance!r}", "one of " + ", ".join(self.v)
            )
        return _lines(self.steps, corrected), _lines(self.v[variance], corrected)


RECIPES: dict[str, dict[str, Recipe]] = {}
"""Code of a measure -> name of the route ("" for the measure's own inputs) -> recipe."""


def write(
    code: str, steps: str, v: str | Mapping[str, str], routes: Mapping[str, Recipe] | None = None
) -> None:
    """Enter the recipe of a measure.

    Parameters
    ----------
    code : str
        Code of the measure.
    steps : str
        Lines from the inputs to y.
    v : str or mapping of str to str
        Lines of the variance, by type where there are several.
    routes : mapping of str to Recipe, optional
        Recipes from other inputs, by the name of the route.
    """
    RECIPES[code] = {"": recipe(steps, v), **(routes or {})}


def recipe(steps: str, v: str | Mapping[str, str]) -> Recipe:
    """Return a recipe from its text.

    Examples
    --------
    >>> found = recipe("y = m1 - m2", "v = s1**2 / n1 + s2**2 / n2")
    >>> found.v[""]
    ('v = s1**2 / n1 + s2**2 / n2',)
    """
    kinds = {"": v} if isinstance(v, str) else v
    return Recipe(_split(steps), {kind: _split(text) for kind, text in kinds.items()})


def _split(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _lines(texts: Sequence[str], corrected: bool) -> tuple[Line, ...]:
    lines = []
    for text in texts:
        sign, expression = (part.strip() for part in text.split("=", 1))
        with_it, _, without = expression.partition(" | ")
        lines.append(Line(sign, with_it if corrected or not without else without))
    return tuple(lines)


def readable(expression: str) -> str:
    """Return an expression with a power sign that readers know.

    Examples
    --------
    >>> readable("s1**2 / n1")
    's1^2 / n1'
    """
    return expression.replace("**", "^")


def shown(value: float) -> str:
    """Return a number as it stands in a formula: eight digits, enough to compute with.

    Examples
    --------
    >>> shown(5.0), shown(1 / 3)
    ('5', '0.33333333')
    """
    return f"{value:.8g}"


def computed(lines: Sequence[Line], known: Values) -> dict[str, Array]:
    """Return the known values with those of the lines, one after the other."""
    values = dict(known)
    with np.errstate(all="ignore"):
        for line in lines:
            values[line.sign] = line.compute(values)
    return values


def needed(lines: Sequence[Line], sign: str) -> tuple[Line, ...]:
    """Return the lines that one sign rests on, in their order."""
    wanted, kept = {sign}, []
    for line in reversed(lines):
        if line.sign in wanted:
            wanted |= line.needs
            kept.append(line)
    return tuple(reversed(kept))


def load_recipes() -> None:
    """Register the recipes; nobody who does not ask for a formula loads them."""
    for part in ("", "_paired", "_counts", "_associations"):
        importlib.import_module(f"metaexo.effects.measures.formulas{part}")


def formula_of(code: str) -> str:
    """Return the formula of a measure by its own inputs and its default variance, as one line of text.

    Examples
    --------
    >>> formula_of("MD")
    'y = m1 - m2; v = s1^2 / n1 + s2^2 / n2'
    """
    load_recipes()
    found = recipe_of(code, "", "")
    if found is None:
        return "y and v as given"
    of_y, of_v = found.lines(next(iter(found.v)), corrected=True)
    return "; ".join(f"{line.sign} = {line.readable}" for line in (*of_y, *of_v))


def recipe_of(code: str, route: str, variance: str) -> Recipe | None:
    """Return the recipe of a measure for one route and variance; None if none is written down."""
    routes = RECIPES.get(code, {})
    return routes.get(f"{route}:{variance}", routes.get(route))


def signs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs under the signs that stand for them in formulas."""
    return {SYMBOLS.get(name, name): value for name, value in inputs.items()}
