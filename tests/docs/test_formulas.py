"""Every formula of the documentation and of the docstrings is shown: the converter knows all of it."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from metaexo.effects import all_measures

INLINE = re.compile(r":math:`([^`]+)`")
BLOCK = re.compile(r"^( *)\.\. math::(.*\n(?:\s*\n|\1 +\S.*\n)*)", re.MULTILINE)


@pytest.fixture(scope="module")
def mathml(root):
    return extension(root, "mathml").mathml


def extension(root, name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "docs" / "extensions"))
        return importlib.import_module(name)


def texts(root):
    """Return the pages of the documentation and the docstrings of the package."""
    pages = [path for path in (root / "docs").rglob("*.rst") if not {"_build", "api"} & set(path.parts)]
    found = [path.read_text(encoding="utf-8") for path in pages]
    for path in (root / "metaexo").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "math" in text:
            nodes = ast.walk(ast.parse(text))
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
            found += [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]
    return found


def test_every_formula_becomes_mathml(root, mathml):
    pages = texts(root)
    inline = {" ".join(formula.split()) for text in pages for formula in INLINE.findall(text)}
    blocks = {formula for text in pages for _, formula in BLOCK.findall(text + "\n")}
    assert len(inline) > 150
    assert len(blocks) > 40
    made = [mathml(formula, display=False) for formula in inline]
    made += [mathml(part, display=True) for block in blocks for part in re.split(r"\n\s*\n", block.strip())]
    assert all(one.startswith("<math") for one in made)


def test_every_formula_of_a_measure_becomes_mathml(root, mathml):
    formulas = extension(root, "formulas")
    for measure in filter(lambda one: one.routes, all_measures()):
        lines = [line for line in formulas.formulas_of(measure.routes[0]) if line.strip()]
        assert ".. math::" in lines, measure.code
        for block in re.findall(r"\\begin{aligned}.*?\\end{aligned}", "\n".join(lines), re.DOTALL):
            assert "<mtr>" in mathml(block, display=True)


@pytest.mark.parametrize(
    "wrong", [r"\nosuchcommand{x}", r"\begin{nosuch} x \end{nosuch}", r"a \\ b", r"\left( x", "x^2^2"]
)
def test_a_formula_that_would_be_shown_wrongly_is_refused(wrong, mathml):
    with pytest.raises(ValueError, match=r"x|nosuch|b"):
        mathml(wrong, display=False)


def test_rows_are_aligned_at_their_signs(mathml):
    made = mathml(r"y &= a + b \\ v &= \frac{1}{n}", display=True)
    assert made.count("<mtr>") == 2
    assert made.count('columnalign="right"') == made.count('columnalign="left"') == 2
    assert mathml(r"\begin{aligned} y &= a \\ v &= b \end{aligned}", display=True).count("<mtr>") == 2


def test_signs_have_the_room_that_tex_gives_them(mathml):
    made = mathml(r"\sum_i \log \tau + \max_i x \sim \Phi(a / b)", display=True)
    assert '<mi>log</mi><mspace width="0.167em"/>' in made
    assert re.search(r"<(msub|munder)><m[io]>max</m[io]><mi>i</mi></\1>", made)  # two parts, no more
    assert "&#x0223C;" in made
    assert '<mi mathvariant="normal">&#x003A6;</mi>' in made
    assert '<mo lspace="0" rspace="0" stretchy="false">&#x0002F;</mo>' in made
