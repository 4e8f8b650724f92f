"""The directives ``formulas`` and ``inputs``: what a measure computes, from its record."""

from __future__ import annotations

import ast
import re
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from measures_table import heading, row
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metaexo.effects import Measure, get_measure
from metaexo.effects.formulas import INPUTS, Line, Route

GREEK = ("alpha", "delta", "pi", "phi")
WORDS = {"sp": "s_p", "vd": "v_d", "zq": "z_q", "rc": "r_c", "rp": "r_p", "inf": r"\infty", "R2": "{R^2}"}
WORDS |= {"lnOR": r"\log\mathrm{OR}", "R2_all": r"\overline{R^2}", "t_all": r"\bar t"}
FUNCTIONS = {"log": r"\log", "exp": r"\exp", "arcsin": r"\arcsin", "tanh": r"\tanh", "hedges": "J"}
FUNCTIONS |= {"atanh": r"\operatorname{atanh}", "Phi": r"\Phi", "z": r"\Phi^{-1}", "smaller": r"\min"}
FUNCTIONS |= {"larger": r"\max", "sign": r"\operatorname{sign}"}
OPERATORS = {ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge", ast.NotEq: r"\ne"}
SUM, PRODUCT, POWER, ATOM = range(4)


class Formulas(SphinxDirective):
    """``.. formulas:: SMD MD`` shows the formulas of these measures."""

    required_arguments = 1
    optional_arguments = 100
    final_argument_whitespace: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for code in " ".join(self.arguments).split():
            lines += told(get_measure(code))
        return self.parse_text_to_nodes(StringList(lines, source="metaexo.effects"))


class Inputs(SphinxDirective):
    """``.. inputs::`` shows the inputs of measures: name, sign in formulas, what it is."""

    def run(self) -> list[nodes.Node]:
        lines = heading("Input", "Sign", "What it is", widths="25 12 63")
        for name, (letter, what) in INPUTS.items():
            lines += row(f"``{name}``", f":math:`{sign(letter)}`", what)
        return self.parse_text_to_nodes(StringList([*lines, ""], source="metaexo.effects.formulas"))


def told(measure: Measure) -> list[str]:
    """Return the lines of one measure: code and name, use, formulas, papers."""
    lines = [f"**{measure.code}**, {measure.name}. {measure.use}", ""]
    lines += formulas_of(measure.routes[0])
    if measure.alternatives:
        lines += [f"Other inputs that will do: {'; '.join(map(named, measure.alternatives))}.", ""]
    lines += [f"{'; '.join(paper.rstrip('.') for paper in measure.papers)}.", ""]
    return [re.sub(r"doi:(\S*[^\s.,;])", doi, line) for line in lines]


def formulas_of(route: Route) -> list[str]:
    """Return the formulas of the effect and its variances, each shown once."""
    lines: list[str] = []
    shown: dict[tuple[Line, ...], str] = {}
    first = route.lines(route.kinds[0])[0]
    for kind in route.kinds:
        effect, variance = route.lines(kind)
        rows = variance if shown and effect == first else (*effect, *variance)
        if variance in shown:
            lines += [f"Variance {kind}: as {shown[variance]}.", ""]
            continue
        lines += [f"Variance {kind}:" if shown else f"Effect, and variance {kind} (the default):", ""] * bool(
            kind
        )
        lines += math(rows)
        shown[variance] = kind
    return lines


def named(route: Route) -> str:
    """Return the inputs of a route, with the name of the conversion."""
    names = ", ".join(f"``{name}``" for name in route.inputs)
    return f"{names} ({route.formula})" if route.formula else names


def doi(found: re.Match[str]) -> str:
    address = found[1].replace("<", "%3C").replace(">", "%3E")
    return f"`doi:{found[1].replace('<', chr(92) + '<')} <https://doi.org/{address}>`__"


def math(lines: tuple[Line, ...]) -> list[str]:
    """Return a block of displayed mathematics, one row per line of the formula."""
    rows = []
    for line in lines:
        tree = ast.parse(line.expression, mode="eval").body
        rows.append(rf"{sign(line.sign)} &= {latex(tree)[0]}")
    rows = [f"{row}{' ' + chr(92) * 2 if i < len(rows) - 1 else ''}" for i, row in enumerate(rows)]
    return [".. math::", "", r"   \begin{aligned}", *(f"   {row}" for row in rows), r"   \end{aligned}", ""]


def sign(name: str) -> str:
    """Return a sign with its index: m1 as m_1, g_all as the average of g."""
    if name in WORDS:
        return WORDS[name]
    if name in GREEK:
        return f"\\{name}"
    if name.endswith("_all"):
        return rf"\bar{{{name.removesuffix('_all')}}}"
    letters, _, index = re.fullmatch(r"([A-Za-z]+)(_?)(\w*)", name).groups()  # type: ignore[union-attr]
    letters = letters if len(letters) == 1 else rf"\mathrm{{{letters}}}"
    index = f"\\{index}" if index in GREEK else index
    return f"{letters}_{{{index}}}" if index else letters


def latex(node: ast.expr) -> tuple[str, int]:
    """Return an expression as LaTeX, and how tightly it holds together."""
    match node:
        case ast.Constant(value=value):
            return f"{value:g}", ATOM
        case ast.Name(id=name):
            return sign(name), ATOM
        case ast.UnaryOp(operand=inner):
            return f"-{held(inner, PRODUCT)}", SUM
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return rf"\frac{{{latex(left)[0]}}}{{{latex(right)[0]}}}", PRODUCT
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"{held(left, ATOM)}^{{{latex(right)[0]}}}", POWER
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            dot = r" \cdot " if isinstance(right, ast.Constant) else r" \, "
            return f"{held(left, PRODUCT)}{dot}{held(right, PRODUCT)}", PRODUCT
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as how, right=right):
            plus = isinstance(how, ast.Add)
            return f"{held(left, SUM)} {'+' if plus else '-'} {held(right, SUM if plus else PRODUCT)}", SUM
        case ast.IfExp(test=test, body=body, orelse=other):
            rest = (
                "" if getattr(other, "id", "") == "nan" else rf"; \quad {latex(other)[0]} \text{{ otherwise}}"
            )
            return rf"{latex(body)[0]} \quad \text{{if }} {latex(test)[0]}{rest}", SUM
        case ast.BoolOp(values=tests):
            return r" \text{ and } ".join(latex(test)[0] for test in tests), SUM
        case ast.Compare(left=left, ops=[how], comparators=[right]):
            return f"{latex(left)[0]} {OPERATORS[type(how)]} {latex(right)[0]}", SUM
        case ast.Call(func=ast.Name(id=name), args=args):
            return called(name, args)
    raise ValueError(ast.unparse(node))


def called(name: str, args: list[ast.expr]) -> tuple[str, int]:
    """Return a function of some arguments."""
    inner = ", ".join(latex(arg)[0] for arg in args)
    if name == "sqrt":
        return rf"\sqrt{{{inner}}}", ATOM
    if name == "cbrt":
        return rf"\sqrt[3]{{{inner}}}", ATOM
    if name == "abs":
        return rf"\left|{inner}\right|", ATOM
    word = r"\operatorname{" + name.replace("_", r"\ ") + "}"
    return rf"{FUNCTIONS.get(name, word)}\left({inner}\right)", ATOM


def held(node: ast.expr, least: int) -> str:
    """Return a part of an expression, in brackets where it would fall apart."""
    text, tight = latex(node)
    return text if tight >= least else rf"\left({text}\right)"


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    app.add_directive("formulas", Formulas)
    app.add_directive("inputs", Inputs)
    return {"parallel_read_safe": True}
