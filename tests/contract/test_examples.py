"""Examples of the documentation run outside a checkout: none of them reads a file of it."""

from __future__ import annotations

import ast
import doctest
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

READERS = {
    *("read_sheets", "check_sheets", "read_table", "write_report", "reproduce", "of"),
    *("read_csv", "read_excel", "read_json", "open", "Path", "load_codebook", "load_vocabulary"),
}
"""Calls whose first argument is a path."""
IN_CHECKOUT = ("data", "analyses", "figures", "docs", "tests", "metaexo", "benchmarks")
BLOCK = re.compile(
    r"^( *)\.\. (?:drawn|code-block|code):: *(\S*)[^\n]*\n((?:\1 +[^\n]*\n|\n)+)", re.MULTILINE
)


def reads_of_the_checkout(code: str) -> list[str]:
    """Return the paths of a checkout that a piece of Python reads."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            first, slash, _ = node.value.partition("/")
            found += [node.value] if slash and first in IN_CHECKOUT else []
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            value = node.args[0].value
            found += [value] if name in READERS and value in (*IN_CHECKOUT, ".", "..") else []
    return found


def examples(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and code of the examples in a text: those of a session, and scripts in blocks."""
    for example in doctest.DocTestParser().get_examples(text):
        yield example.lineno + 1, example.source
    for block in BLOCK.finditer(text):
        if block[0].lstrip().startswith(".. drawn") or block[2] == "python":
            lines = textwrap.dedent(block[3]).strip("\n").splitlines()
            code = "\n".join(line for line in lines if not re.match(r" *:[\w-]+:", line))
            if ">>>" not in code:
                yield text[: block.start()].count("\n") + 1, code


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring of a module."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented) and ast.get_docstring(node):
            yield node.body[0].lineno, ast.get_docstring(node) or ""


def pages(root: Path) -> Iterator[tuple[str, int, str]]:
    """Yield file, line and text of what holds examples: pages, the README, docstrings."""
    for path in sorted([root / "README.md", *root.glob("docs/*.rst"), *root.glob("docs/*/*.rst")]):
        yield path.relative_to(root).as_posix(), 0, path.read_text(encoding="utf-8")
    for path in sorted((root / "metaexo").rglob("*.py")):
        for line, text in docstrings(path):
            yield path.relative_to(root).as_posix(), line, text


def test_no_example_reads_a_file_of_the_checkout(root: Path) -> None:
    seen, found = 0, []
    for file, line, text in pages(root):
        for at, code in examples(text):
            seen += 1
            found += [f"{file} line {line + at}: {path}" for path in reads_of_the_checkout(code)]
    assert seen > 1000
    assert not found


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ('mx.read_sheets("data")', "data"),
        ('pandas.read_csv(f"x", sep=","); open("data/studies.csv")', "data/studies.csv"),
        ('Path(".") / "x"', "."),
        ('mx.report.Folders.of("..")', ".."),
        ('ax.annotate("", xycoords=("data", "axes")); mx.forest(data="data")', None),
    ],
)
def test_the_search_finds_what_it_is_for(code: str, path: str | None) -> None:
    assert reads_of_the_checkout(code) == ([path] if path else [])
