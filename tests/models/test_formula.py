"""Formulas: what they may hold, what they expand to, and what is refused by name."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaexo.errors import FormulaError, MetaexoError, UnknownChoiceError
from metaexo.models.linear.formula import read_formula

COLUMNS = ["source", "dose", "a", "b", "c", "isolation method", "a.b"]


def terms(text: str) -> list[str]:
    formula = read_formula(text, COLUMNS)
    return [":".join(formula.parts[i].text for i in term) for term in formula.terms]


@pytest.mark.parametrize(
    ("text", "expected", "intercept"),
    [
        ("source + dose", ["source", "dose"], True),
        ("~ source * dose", ["source", "dose", "source:dose"], True),
        ("0 + source", ["source"], False),
        ("source - 1", ["source"], False),
        ("-1 + source + 1", ["source"], True),
        ("1", [], True),
        ("~ 1", [], True),
        ("(a + b + c)^2", ["a", "b", "c", "a:b", "a:c", "b:c"], True),
        ("(a + b + c)**2 - a:b", ["a", "b", "c", "a:c", "b:c"], True),
        ("a:b + b:a + a", ["a", "a:b"], True),
        ("b + c:a", ["b", "c:a"], True),
        ("a + a", ["a"], True),
        ("`isolation method` + log(`isolation method`)", ["isolation method", "log(isolation method)"], True),
        ("a.b + log(a.b)", ["a.b", "log(a.b)"], True),
        ("C(source, base='milk'):I(dose^2)", ["C(source):I(dose^2)"], True),
        ("log(dose) + log( dose )", ["log(dose)"], True),
        ("I((a+b)*dose**2/2-1)", ["I((a + b) * dose^2/2 - 1)"], True),
        ("poly(dose, 2) + bs(a, df=4)", ["poly(dose, degree = 2)", "bs(a, df = 4)"], True),
    ],
)
def test_formulas_expand(text: str, expected: list[str], intercept: bool) -> None:
    assert terms(text) == expected
    assert read_formula(text, COLUMNS).intercept is intercept


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("a + __import__('os').system('true')", "__import__"),
        ("a + open('x')", "open"),
        ("log(__import__('os'))", "__import__"),
        ("eval('1')", "eval"),
        ("exec(a)", "exec"),
        ("log(a.__class__)", "a.__class__"),
        ("I(a[0])", "a[0]"),
        ("I((lambda: 1)())", "lambda: 1"),
        ("I([x for x in b])", "[x for x in b]"),
        ("I(a if b else c)", "a if b else c"),
        ("I(a == b)", "a == b"),
        ("I(f'{a}')", "f'{a}'"),
        ("np.log(dose)", "np.log"),
        ("C(source, base=open('x'))", "open('x')"),
        ("{a + 1}", "a + 1"),
        ("[a]", "["),
        ("a / b", "/"),
        ("a %in% b", "in"),
        ("a | b", "|"),
        ("a & b", "&"),
        ("a ~ b", "~"),
        ("a + 2", "2"),
        ("dose^2", "2"),
        ("(a + b)^20", "20"),
        (".", "."),
        ("'a'", "'a'"),
        ("a + log(dose", "a + log(dose"),
        ("a +", "a +"),
        ("a ++ b", "++"),
        ("log(*a)", "log(*a)"),
        ("exp(a, 2)", "2"),
        ("bs(a, foo=2)", "foo="),
        ("log(C(source))", "C(source)"),
        ("log(dose)(a)", "log(dose)"),
        ("log(**a)", "log(**a)"),
        ("log(dose, **a)", "None="),
        ("I((yield a))", "(yield a)"),
        ("I((a := 1))", "(a := 1)"),
        ("I(a and b)", "a and b"),
        ("I(a @ b)", "a @ b"),
        ("I(~a)", "~a"),
        ("I(a + 'x')", "'x'"),
        ("I(a * 1j)", "1j"),
        ("I({a: b})", "{a: b}"),
        ("I(1)", "I(1)"),
        ("I(" + "9" * 400 + " * a)", "9" * 400),
        ("__builtins__", "__builtins__"),
        ("dose.__class__", "dose.__class__"),
        ("I(dose.__class__.__mro__)", "dose.__class__.__mro__"),
        ("C(source, base=__import__('os'))", "__import__('os')"),
        ("C(source, 'milk', base='plant')", "base="),
        ("C(source, levels=['milk'])", "levels="),
        ("cr(dose, df=3, constraints='center')", "constraints="),
        ("bs(dose, df=4, _state={})", "_state="),
        ("poly(dose, 10**9)", "10 ** 9"),
        ("poly(dose, degree=1000000000)", "1000000000"),
        ("poly(dose, degree='two')", "'two'"),
        ("bs(dose, knots={1: 2})", "{1: 2}"),
        ("lag(dose)", "lag"),
        ("hashed(source)", "hashed"),
        ("quoted0_ + log(`a.b`)", "quoted0_"),
    ],
)
def test_anything_else_is_refused_and_named(text: str, token: str) -> None:
    with pytest.raises(MetaexoError) as caught:
        read_formula(text, COLUMNS)
    error = caught.value
    if isinstance(error, FormulaError):
        assert error.token == token
        assert error.formula == text
    else:  # a name that is no column
        assert isinstance(error, UnknownChoiceError)
        assert error.word == token


def test_a_power_of_a_column_is_explained() -> None:
    with pytest.raises(FormulaError, match=r"I\(dose\^2\)"):
        read_formula("dose^2", COLUMNS)


def test_an_unknown_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownChoiceError, match="'source'") as caught:
        read_formula("soruce + dose", COLUMNS)
    assert caught.value.nearest == "source"


@given(
    st.text(
        alphabet=string.ascii_letters + string.digits + " +-:*^()[]{}.,'\"`~|/%=_\\@!#$&<>?;\n", max_size=30
    )
)
def test_no_text_makes_anything_but_a_formula_or_an_error_of_ours(text: str) -> None:
    try:
        formula = read_formula(text, COLUMNS)
    except MetaexoError:
        return
    assert set(formula.columns) <= set(COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        "(((((a + b)^9)^9)^9)^9)^9",
        "(" + " + ".join(string.ascii_lowercase) + ")^9",
        "*".join(string.ascii_lowercase),
    ],
)
def test_formulas_that_expand_to_millions_of_products_are_refused_at_once(text: str) -> None:
    with pytest.raises(FormulaError, match="at most 5000 products"):
        read_formula(text, list(string.ascii_lowercase))


@pytest.mark.parametrize(
    "text",
    [
        "log(" * 50 + "a" + ")" * 50,
        "(" * 3000 + "a" + ")" * 3000,
        " + ".join("a" * 20000),
        f"I({'-' * 9000}a)",
    ],
)
def test_brackets_inside_each_other_without_end_are_refused_in_words(text: str) -> None:
    with pytest.raises(FormulaError, match="fewer brackets"):
        read_formula(text, COLUMNS)


def test_powers_of_numbers_are_not_computed_before_they_are_needed() -> None:
    assert read_formula("I(a * 9**9**9**9)", COLUMNS).parts[0].code == "I(c0 * 9.0 ** 9.0 ** 9.0 ** 9.0)"


def test_nothing_of_a_formula_is_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("I(open('made', 'w').close())", "a + __import__('os').mkdir('made')", "{open('made','w')}"):
        with pytest.raises(MetaexoError):
            read_formula(text, COLUMNS)
    assert not list(tmp_path.iterdir())
