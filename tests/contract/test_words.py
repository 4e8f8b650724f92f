"""What a person reads is in the field's words, not in words that only the authors of the code use."""

from __future__ import annotations

import ast
import re

import pytest

UNITS = "row|study|kind|line|effect|column|stratum|level|group|cluster|coefficient|fit|cell|start|replicate"
COUNTED = "rows?|entry|entries|lines?|effects?|outcomes?|columns?|numbers?|one"
NOT_SAID = {
    "sealed": "immutable",
    "deals|dealt": "permutations, permuted labels",
    "fates?": "what became of each row",
    "floors": "layers",
    r"(?<!seen\|)(?:told|untold)": "reported, said, distinguished",
    "(?<!degree of )(?<!degrees of )(?<!of )freedom": "degrees of freedom, df",
    "own weights|weights of the user's own": "user-supplied weights",
    "summits?|ascents?|promised rise": "maximum, converged",
    "furniture|vouch": "(say what it is)",
    "for ever": "without bound",
    "no way back|way the data go": "data flow",
    "takes? no part": "is not used to estimate, is left out",
    "(?:heterogeneity|tau2|technique|variance|effects?) go(?:es)? with": "is associated with",
    "search by similarity": "semantic search",
    "import floors|lay out the code": "import layers, format",
    "inner solution": "converged",
    f"(?:{COUNTED}) a (?:{UNITS})(?! of (?:its|their))": "per",
}
PATTERNS = {word: re.compile(rf"\b(?:{word})\b", re.IGNORECASE) for word in NOT_SAID}


def sentences(path):
    """Return the line and text of all that is read: whole pages, and the strings of code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [(1, " ".join(text.split()))]
    return [
        (node.lineno, " ".join(node.value.split()))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def read_by_people(root):
    made = {"_build", "api", "gallery", "reference.rst", "sg_execution_times.rst"}
    folders = ("metaexo", "analyses", "docs")
    files = [root / "README.md", root / "Makefile", root / "benchmarks" / "README.md"]
    for folder in folders:
        files += [p for end in ("*.py", "*.rst", "*.md") for p in sorted((root / folder).rglob(end))]
    return [path for path in files if not made & set(path.parts) and "results" not in path.parts]


@pytest.fixture(scope="module")
def texts(root):
    found = [(path.relative_to(root), *said) for path in read_by_people(root) for said in sentences(path)]
    assert len(found) > 5000
    return found


@pytest.mark.parametrize("word", NOT_SAID)
def test_the_words_of_the_field_are_used(texts, word):
    found = [
        f"{path}:{line}: ...{text[max(0, match.start() - 40) : match.end() + 40]}..."
        for path, line, text in texts
        for match in PATTERNS[word].finditer(text)
    ]
    assert not found, f"say {NOT_SAID[word]!r}:\n" + "\n".join(found)


def test_the_patterns_find_what_they_are_for():
    freedom = next(pattern for word, pattern in PATTERNS.items() if "freedom" in word)
    assert freedom.search("the freedom of the test")
    assert not freedom.search("one degree of freedom")
    assert not freedom.search("3 degrees of freedom")
    per = PATTERNS[list(NOT_SAID)[-1]]
    assert per.search("one entry a row")
    assert not per.search("one entry per row")
