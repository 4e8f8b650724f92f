"""Formulas as lines of text: the one statement of a measure that is computed, printed and documented.

A line is ``sign = expression``, for example ``g = J * d``. :func:`metaexo.effects.calculate` runs the lines,
:func:`metaexo.explain` prints them with the numbers of a row, and :func:`metaexo.measures` and the
documentation show them. Two additions to an expression:

- ``a | b`` is a with the small-sample correction and b without it;
- ``a if test else b`` is a where the test holds and b elsewhere; "else nan" means that there is no value.

Only our own texts stand here, and only signs, numbers and the functions and operations below have a meaning.
What is found numerically (the tetrachoric correlation, variances given the predictors) is a function that a
line calls; all of them take arrays of one shape, one entry per study.
"""

from __future__ import annotations

import ast
import functools
import inspect
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri, owens_t

from metaexo.effects.check import possible, reads
from metaexo.effects.corrections import average_over_rows, hedges_factor, hypergeometric, unbiased_correlation
from metaexo.effects.papers import KIRK, PEARSON, rests_on
from metaexo.errors import InputError
from metaexo.numeric.quadrature import gauss_legendre
from metaexo.numeric.tails import t_of_tail
from metaexo.types import Array

BISECTIONS = 60
POINTS = 400
REACH = 12.0
LARGEST_N = 1e12


@rests_on(PEARSON, KIRK)
def tetrachoric_correlation(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> Array:
    """Return the maximum-likelihood tetrachoric correlation.

    With the cuts h and k at the normal quantiles of the margins, it is the r at which the bivariate normal
    probability below both cuts is the share of the first cell, Phi2(h, k; r) = x1 / N. This is the maximum of
    the likelihood, because the table has as many free cells as there are parameters. It is -1 or 1 where one
    cell is zero, NaN where a whole row or column is.

    Examples
    --------
    >>> tetrachoric_correlation(*np.array([[30.0], [50.0], [20.0], [50.0]])).round(4)
    array([0.309])
    """
    x1, n1, x2, n2 = (
        np.asarray(x, dtype=float) for x in (treatment_events, treatment_n, control_events, control_n)
    )
    total = n1 + n2
    share, h, k = x1 / total, ndtri(n1 / total), ndtri((x1 + x2) / total)
    low, high = np.full(share.shape, -1.0), np.full(share.shape, 1.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = bivariate_normal_cdf(h, k, middle) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    negative, positive = (x1 == 0) | (x2 == n2), (x2 == 0) | (x1 == n1)
    r = np.where(negative, -1.0, np.where(positive, 1.0, (low + high) / 2))
    return np.where((negative & positive) | ~np.isfinite(h + k) | ~np.isfinite(share), np.nan, r)


def bivariate_normal_cdf(h: Array, k: Array, r: Array) -> Array:
    """Return the probability that two standard normal variables with correlation r lie below h and k.

    By Owen's T function.

    References
    ----------
    Owen (1956), Annals of Mathematical Statistics 27, 1075-1090, doi:10.1214/aoms/1177728074.

    Examples
    --------
    >>> bivariate_normal_cdf(np.array([0.0]), np.array([0.0]), np.array([0.5])).round(6)
    array([0.333333])
    """
    # Owen's formula divides by h and k; the nudge is far below the accuracy of the result
    h, k = (np.where(np.abs(x) < 1e-300, 1e-300, x) for x in (h, k))
    root = np.sqrt(1 - r**2)
    t_h, t_k = owens_t(h, (k - r * h) / (h * root)), owens_t(k, (h - r * k) / (k * root))
    opposite = np.where((h * k < 0) | ((h * k == 0) & (h + k < 0)), 0.5, 0.0)
    return np.asarray((ndtr(h) + ndtr(k)) / 2 - t_h - t_k - opposite)


def variance_given_predictors(
    r_squared: Array, n: Array, predictors: Array, *, fisher_z: bool = False
) -> Array:
    """Return the variance of the true share of variance q of a regression with fixed predictors, given R2.

    Every q is taken as equally likely beforehand; F is noncentral with noncentrality n q / (1 - q). With
    `fisher_z` it is the variance of atanh(sqrt(q)).

    References
    ----------
    Olkin & Finn (1995), Psychological Bulletin 118, 155-164, doi:10.1037/0033-2909.118.1.155 (the case of
    random predictors, to which this is the counterpart).

    Examples
    --------
    >>> given = np.array([[0.5], [100.0], [3.0]])
    >>> variance_given_predictors(*given).round(4), variance_given_predictors(*given, fisher_z=True).round(4)
    (array([0.004]), array([0.0078]))
    """
    from scipy.stats import ncf

    r2, size, p = (np.asarray(x, dtype=float)[..., None] for x in (r_squared, n, predictors))
    possible = (r2 >= 0) & (r2 < 1) & (p >= 1) & (size - p - 1 >= 1) & (size < LARGEST_N)
    r2, size, p = (np.where(possible, x, np.nan) for x in (r2, size, p))
    centre, reach = np.arctanh(np.sqrt(r2)), REACH / np.sqrt(size)
    low, high = np.maximum(centre - reach, 0.0), centre + reach
    nodes, weights = gauss_legendre(POINTS)
    z = (low + high) / 2 + (high - low) / 2 * nodes
    share = np.tanh(z) ** 2
    df = size - p - 1
    density = ncf.pdf(r2 / p / ((1 - r2) / df), p, df, size * np.sinh(z) ** 2)
    # d share / d z = 2 tanh(z) / cosh(z)^2
    weight = weights * density * np.tanh(z) / np.cosh(z) ** 2
    weight = weight / weight.sum(axis=-1, keepdims=True)
    values = np.arctanh(np.sqrt(share)) if fisher_z else share
    mean = (weight * values).sum(axis=-1, keepdims=True)
    return np.asarray((weight * (values - mean) ** 2).sum(axis=-1))


P = ParamSpec("P")
Values = Mapping[str, Any]

INPUTS: Mapping[str, tuple[str, str]] = {
    "treatment_mean": ("m1", "mean of the treated group, in the unit of the outcome"),
    "treatment_sd": ("s1", "standard deviation of the treated group, in the unit of the outcome"),
    "treatment_n": ("n1", "size of the treated group"),
    "control_mean": ("m2", "mean of the control group, in the unit of the outcome"),
    "control_sd": ("s2", "standard deviation of the control group, in the unit of the outcome"),
    "control_n": ("n2", "size of the control group"),
    "post_mean": ("m1", "mean of the treated condition, in the unit of the outcome"),
    "post_sd": ("s1", "standard deviation of the treated condition, in the unit of the outcome"),
    "pre_mean": ("m2", "mean of the other condition, in the unit of the outcome"),
    "pre_sd": ("s2", "standard deviation of the other condition, in the unit of the outcome"),
    "mean": ("m", "mean of the group, in the unit of the outcome"),
    "sd": ("s", "standard deviation of the group, in the unit of the outcome"),
    "n": ("n", "number of people (of pairs, where the same people are measured twice)"),
    "correlation": ("r", "correlation of the two variables, or of the two conditions over people"),
    "treatment_events": ("x1", "number with the event in the treated group"),
    "control_events": ("x2", "number with the event in the control group"),
    "first_events": ("x1", "number with the event on the first side"),
    "second_events": ("x2", "number with the event on the second side"),
    "events": ("x", "number with the event"),
    "treatment_time": ("T1", "person-time of the treated group"),
    "control_time": ("T2", "person-time of the control group, in the same unit"),
    "time": ("T", "person-time"),
    "both": ("a", "number of pairs with the event on both sides"),
    "first_only": ("b", "number of pairs with the event on the first side only"),
    "second_only": ("c", "number of pairs with the event on the second side only"),
    "neither": ("d", "number of pairs with the event on neither side"),
    "both_share": ("both_share", "share of all pairs with the event on both sides"),
    "phi": ("phi", "correlation (phi) of the two sides over pairs"),
    "auc": ("A", "probability of superiority, or area under the ROC curve, 0 to 1"),
    "ties": ("ties", "share of tied pairs, 0 to 1; used by the variance LS2 only"),
    "partial": ("r", "partial correlation"),
    "semipartial": ("r", "semi-partial correlation"),
    "predictors": ("k", "number of predictors of the regression"),
    "r_squared": ("R2", "R2 of the whole regression, 0 to 1"),
    "alpha": ("alpha", "reliability (Cronbach's alpha), at most 1"),
    "items": ("items", "number of items of the scale"),
    "homozygous_first": ("h1", "number of homozygotes of the first allele"),
    "heterozygous": ("h12", "number of heterozygotes"),
    "homozygous_second": ("h2", "number of homozygotes of the second allele"),
    "d": ("d", "mean difference over the standard deviation, without small-sample correction"),
    "t": ("t", "t statistic, positive where the treatment mean is the higher"),
    "f": ("F", "F statistic"),
    "p_value": ("p", "exact two-sided p-value, 0 to 1"),
    "direction": ("direction", "sign of the effect: 1 or -1 (of any other number the sign counts)"),
    "point_biserial": ("r_pb", "point-biserial correlation"),
}
"""Name of an input -> the sign that stands for it in formulas, and what it is."""

SYMBOLS: Mapping[str, str] = {
    **{name: sign for name, (sign, _) in INPUTS.items()},
    **{f"{arm}_se": f"se{i}" for i, arm in enumerate(("treatment", "control"), start=1)},
    **{
        f"{arm}_{name}": f"{sign}{i}"
        for i, arm in enumerate(("treatment", "control"), start=1)
        for name, sign in (
            *(("ci_low", "low"), ("ci_high", "high"), ("min", "min"), ("q1", "lowq")),
            *(("median", "med"), ("q3", "upq"), ("max", "max")),
        )
    },
    "difference": "D",
    "difference_ci_low": "low",
    "difference_ci_high": "high",
    "effect": "E",
    "effect_se": "se",
    "effect_ci_low": "low",
    "effect_ci_high": "high",
    "statistic": "t",
}
"""Name of an input or of a column of a table -> its sign in formulas."""


def _t_of_p(p: Array, df: Array) -> Array:
    return t_of_tail(possible("p_value", np.asarray(p, dtype=float)) / 2, df)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sqrt": np.sqrt,
    "log": np.log,
    "log1p": np.log1p,
    "exp": np.exp,
    "arcsin": np.arcsin,
    "tanh": np.tanh,
    "atanh": np.arctanh,
    "cbrt": np.cbrt,
    "abs": np.abs,
    "smaller": np.minimum,
    "larger": np.maximum,
    "hedges": hedges_factor,
    "unbiased": unbiased_correlation,
    "hypergeometric": lambda c, z: hypergeometric(1.0, c, z),
    "Phi": ndtr,
    "z": ndtri,
    "t_of_p": _t_of_p,
    "R2_of_p": lambda p, n, k: 1 - betaincinv((n - k - 1) / 2, k / 2, p),
    "t_quantile": lambda level, df: t_of_tail((1 - level) / 2, df),
    "z_quantile": lambda level: -ndtri((1 - level) / 2),
    "average": average_over_rows,
    "average_of_both": lambda a, n, b, m: average_over_rows(np.concatenate([a, b]), np.concatenate([n, m])),
    "tetrachoric": tetrachoric_correlation,
    "variance_given_predictors": variance_given_predictors,
    "variance_of_z_given_predictors": lambda *x: variance_given_predictors(*x, fisher_z=True),
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
    "larger": "larger: the larger of two numbers",
    "log1p": "log1p(x) = log(1 + x)",
    "tetrachoric": "tetrachoric(x1, n1, x2, n2): the r at which the first cell has its probability",
    "variance_given_predictors": "variance_given_predictors: by numerical integration over the density of R2",
    "variance_of_z_given_predictors": "variance_of_z_given_predictors: by numerical integration",
}
"""What a function is that a reader may not know."""

_CONSTANTS: Mapping[str, float] = {"pi": np.pi, "inf": np.inf, "nan": np.nan}
_ARITHMETIC: Mapping[type[ast.operator], tuple[Callable[[Any, Any], Any], Callable[..., Any]]] = {
    ast.Add: (operator.add, np.add),
    ast.Sub: (operator.sub, np.subtract),
    ast.Mult: (operator.mul, np.multiply),
    ast.Div: (operator.truediv, np.divide),
    ast.Pow: (operator.pow, np.power),
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.NotEq: operator.ne,
}
LARGE = 10_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(?![A-Za-z_0-9]*\s*\()")
_CHOICE = re.compile(r"^(?P<value>.+) if (?P<test>.+) else (?P<other>.+)$")


@functools.cache
def _computing(expression: str) -> Callable[[Values], Any]:
    """Return the function of known values that an expression is; nothing of it is handed to Python."""
    return _function(ast.parse(expression, mode="eval").body)


def _function(node: ast.expr) -> Callable[[Values], Any]:
    """Return a part of an expression as a function; refuse what is no sign, number, operation or function."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return lambda known: number
        case ast.Name(id=name):
            return (lambda known: _CONSTANTS[name]) if name in _CONSTANTS else operator.itemgetter(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _function(operand)
            return lambda known: -inner(known)
        case ast.BinOp(left=one, op=sign, right=two) if type(sign) in _ARITHMETIC:
            return _arithmetic(one, sign, two)
        case ast.Compare(left=one, ops=[how], comparators=[two]) if type(how) in _COMPARISONS:
            compare, left, right = _COMPARISONS[type(how)], _function(one), _function(two)
            return lambda known: compare(left(known), right(known))
        case ast.BoolOp(op=ast.And(), values=tests):
            parts = [_function(test) for test in tests]
            return lambda known: functools.reduce(np.logical_and, [part(known) for part in parts])
        case ast.IfExp(test=when, body=this, orelse=that):
            test, value, other = _function(when), _function(this), _function(that)
            return lambda known: np.where(test(known), value(known), other(known))
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in FUNCTIONS:
            function, inputs = FUNCTIONS[name], [_function(part) for part in given]
            return lambda known: function(*[part(known) for part in inputs])
    raise InputError(
        f"{ast.unparse(node)!r} in a formula", "signs, numbers, + - * / **, comparisons and known functions"
    )


def _arithmetic(one: ast.expr, sign: ast.operator, two: ast.expr) -> Callable[[Values], Any]:
    """Return an operation as a function; of large arrays an intermediate result makes room for the next."""
    (plain, into), left, right = _ARITHMETIC[type(sign)], _function(one), _function(two)
    own_left = not isinstance(one, ast.Name | ast.Constant)
    own_right = not isinstance(two, ast.Name | ast.Constant) and not isinstance(sign, ast.Pow)
    if not own_left and not own_right:
        return lambda known: plain(left(known), right(known))

    def apply(known: Values) -> Any:
        a, b = left(known), right(known)
        if own_left and _makes_room(a, b) and not isinstance(sign, ast.Pow):
            return into(a, b, out=a)
        if own_right and _makes_room(b, a):
            return into(a, b, out=b)
        return plain(a, b)

    return apply


def _makes_room(own: Any, other: Any) -> bool:
    """Say whether an intermediate result can hold the outcome of an operation with another value."""
    if type(own) is not np.ndarray or own.size < LARGE or own.dtype != float:
        return False
    return not isinstance(other, np.ndarray) or other.shape in ((), own.shape)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a formula: a sign and what it is."""

    sign: str
    expression: str

    def compute(self, known: Values) -> Any:
        """Return its value, from the values of the signs in it."""
        return computed((self,), known)[self.sign]

    def chosen(self, known: Mapping[str, float]) -> str:
        """Return the part of the expression that holds for one row."""
        found = _CHOICE.match(self.expression)
        if found is None:
            return self.expression
        return found["value"] if _computing(found["test"])(known) else found["other"]

    @property
    def readable(self) -> str:
        """The expression as it is printed; where it has no value is not said."""
        return readable(self.expression.removesuffix(" else nan").rsplit(" if ", 1)[0]
                        if self.expression.endswith(" else nan") else self.expression)  # fmt: skip

    @property
    def needs(self) -> frozenset[str]:
        """The signs in it."""
        return frozenset(_NAME.findall(self.expression)) - {*_CONSTANTS, "if", "else", "and"}


@dataclass(frozen=True, eq=False)
class Route:
    """How an effect and its variance follow from one set of inputs."""

    inputs: tuple[str, ...]  # names of the inputs that are needed
    # lines from the inputs to y, for all types of variance ("") or for one type by its name. A text stands
    # for {"": text}.
    effect: Mapping[str, str] | str
    # lines from there to v by type of variance, the default first. A text stands for {"": text}.
    variance: Mapping[str, str] | str
    # name of the conversion, as it stands in the derivation of an effect; "" for the measure's own inputs
    formula: str = ""
    kinds: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        kinds = ("",) if isinstance(self.variance, str) else tuple(self.variance)
        object.__setattr__(self, "kinds", kinds)

    def lines(self, kind: str, corrected: bool = True) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
        """Return the lines of the effect and of its variance."""
        return _lines_of_route(self, kind, corrected)

    @property
    def bias_corrected(self) -> bool:
        """Whether the effect has a small-sample correction."""
        return " | " in str(self.effect)

    def compute(
        self, *, variance: str | None = None, bias_correction: bool = True, **inputs: Array
    ) -> tuple[Array, Array]:
        """Return effects and sampling variances of arrays of one shape, one entry per row.

        What does not exist comes back infinite or NaN, without a warning.
        """
        of_y, of_v = self.lines(variance or self.kinds[0], bias_correction)
        known = computed((*of_y, *of_v), signs(inputs))
        like = next(iter(inputs.values()))
        y, v = (_one_per_row(known[sign], like) for sign in "yv")
        own = [id(x) for x in inputs.values()]
        return y.copy() if id(y) in own else y, v.copy() if id(v) in own else v


def _one_per_row(value: Any, like: Array) -> Array:
    """Return an array of the shape of the inputs."""
    return value if np.shape(value) == like.shape else np.full(like.shape, value, float)


@functools.cache
def _lines_of_route(route: Route, kind: str, corrected: bool) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    if kind not in route.kinds:
        raise InputError(
            f"no formula is written down for the variance {kind!r}", "one of " + ", ".join(route.kinds)
        )
    effect = {"": route.effect} if isinstance(route.effect, str) else route.effect
    variance = {"": route.variance} if isinstance(route.variance, str) else route.variance
    return lines_of(effect.get(kind, effect.get("", "")), corrected), lines_of(variance[kind], corrected)


def lines_of(text: str, corrected: bool = True) -> tuple[Line, ...]:
    """Return the lines of a text, with the small-sample correction or without it.

    Examples
    --------
    >>> lines_of("J = hedges(n - 1) | 1", corrected=False)
    (Line(sign='J', expression='1'),)
    """
    lines = []
    for row in filter(str.strip, text.splitlines()):
        sign, expression = (part.strip() for part in row.split("=", 1))
        with_it, _, without = expression.partition(" | ")
        lines.append(Line(sign, with_it if corrected or not without else without))
    return tuple(lines)


def computed(lines: Iterable[Line], known: Values) -> dict[str, Any]:
    """Return the known values with those of the lines, one after the other."""
    values = dict(known)
    with np.errstate(all="ignore"):
        for line in lines:
            values[line.sign] = _computing(line.expression)(values)
    return values


def conversion(text: str, **meant: str) -> Callable[[Callable[P, Array]], Callable[P, Array]]:
    """Make a function compute these lines of its arguments; its docstring gets them.

    The function has a signature and a docstring; its body is the formula: lines from the arguments, under
    their signs in formulas, to the result. `meant` gives the signs of arguments that stand under another one
    than elsewhere. The arguments are read and checked as :func:`metaexo.effects.check.reads` does.
    """
    lines = lines_of(text)
    last = lines[-1].sign

    def of(function: Callable[P, Array]) -> Callable[P, Array]:
        signature = inspect.signature(function)
        known = {name: meant.get(name, SYMBOLS.get(name, name)) for name in signature.parameters}

        @functools.wraps(function)
        def compute(*args: P.args, **kwargs: P.kwargs) -> Array:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            values = signs({known[name]: value for name, value in given.arguments.items()})
            return np.asarray(computed(lines, values)[last], dtype=float)

        words = {sign: name for name, sign in known.items()}
        shown = [f"    {line.sign} = {renamed(line.readable, words)}" for line in lines]
        head, _, rest = (function.__doc__ or "").partition("\n\n    Parameters\n")
        compute.__doc__ = "\n\n".join(
            [head, "\n".join(f"    {row}" for row in shown), f"    Parameters\n{rest}"]
        )
        return reads(compute)

    return of


def renamed(text: str, signs: Mapping[str, str]) -> str:
    """Return lines with other signs.

    Examples
    --------
    >>> renamed("s = se * sqrt(n)", {"s": "s1", "se": "se1"})
    's1 = se1 * sqrt(n)'
    """
    return _NAME.sub(lambda found: signs.get(found[0], found[0]), text)


def needed(lines: Sequence[Line], sign: str) -> tuple[Line, ...]:
    """Return the lines that one sign rests on, in their order."""
    wanted, kept = {sign}, []
    for line in reversed(lines):
        if line.sign in wanted:
            wanted |= line.needs
            kept.append(line)
    return tuple(reversed(kept))


def filled(expression: str, known: Mapping[str, float]) -> str:
    """Return an expression with numbers in the place of signs; an average over rows stays in signs."""
    if "average" in expression:
        return expression

    def number(found: re.Match[str]) -> str:
        name = found[0]
        if name not in known:
            return name
        text = shown(known[name])
        return f"({text})" if text.startswith("-") else text

    return _NAME.sub(number, expression)


def meanings(text: str) -> list[str]:
    """Return what the functions in a formula are that a reader may not know."""
    named = set(re.findall(r"[A-Za-z_]\w*(?=\s*\()", text))
    return [f"where {what}" for name, what in MEANINGS.items() if name in named]


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


def signs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs under the signs that stand for them in formulas."""
    known = {SYMBOLS.get(name, name): value for name, value in inputs.items()}
    return known | ({"direction": np.sign(known["direction"])} if "direction" in known else {})
