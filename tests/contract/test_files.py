"""Habits that a linter does not know: modules that are wholes, and nothing that holds on one machine only."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

import pytest

SKIPPED = {".git", "_build", "build", "dist", "node_modules", "__pycache__", "api", "gallery"}
TEXT = {".py", ".md", ".rst", ".toml", ".txt", ".csv", ".json", ".tsv", ".svg", ".R", ".yml", ".cfg", ""}

# In pieces, so that this file does not break its own rule.
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:" + "|".join(["home", "root", "Users", "work", "tmp"]) + r")/\w")
REGISTRY = re.compile("|".join(["py" + r"pi\.org", "python" + "hosted", r"registry\." + "npmjs"]))


def texts(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(part in SKIPPED or part.startswith((".venv", ".hypothesis")) for part in parts):
            continue
        if any(part.endswith("_cache") for part in parts) or path.suffix not in TEXT or not path.is_file():
            continue
        yield path


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine path", "registry"])
def test_no_file_names_a_machine_or_a_registry(root, pattern):
    found = []
    for path in texts(root):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(root)} line {number}: {line.strip()[:80]}")
    assert not found


def test_the_patterns_find_what_they_are_for():
    assert MACHINE_PATH.search("see " + "/".join(["", "home", "ana", "x.csv"]))
    assert not MACHINE_PATH.search("https://example.org/work/x and src/work/y")
    assert REGISTRY.search("https://" + "py" + "pi.org/simple")


# A fragment: a module that one other module imports, and that is too short to be an idea of its own.
LEAST_LINES = 100
DOORS = {"__init__", "__main__"}
# Which share of the modules may be longer ones with a single importer: less than this.
FEW = 0.1


def modules_of(package):
    """Return the files of a package by the names of their modules; a room has the name of its folder."""
    inside = package.parent
    names = {path: path.relative_to(inside).with_suffix("").parts for path in package.rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}


def imported_names(path):
    """Return what a file imports, by full names: at the top, within functions, and for types alone."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def importers_of_modules(package):
    """Return the modules that import each module; doors (`__init__`, `__main__`) count on neither side."""
    modules = {name: path for name, path in modules_of(package).items() if path.stem not in DOORS}
    found = defaultdict(set)
    for name, path in modules.items():
        for other in imported_names(path) & modules.keys() - {name}:
            found[other].add(name)
    return found


def with_one_importer(package):
    """Return the modules that a single module imports: name, importer and number of lines."""
    modules = modules_of(package)
    return [
        (name, *importers, len(modules[name].read_text(encoding="utf-8").splitlines()))
        for name, importers in sorted(importers_of_modules(package).items())
        if len(importers) == 1
    ]


def test_a_short_module_with_one_importer_is_part_of_it(root):
    parts = [one for one in with_one_importer(root / "metaexo") if one[2] < LEAST_LINES]
    assert not parts, "fold each into the module that imports it"


def test_few_modules_have_one_importer(root):
    package = root / "metaexo"
    assert len(with_one_importer(package)) < FEW * len(modules_of(package))


def test_importers_are_counted_as_they_should_be(tmp_path):
    package = tmp_path / "made_up"
    texts_of = {
        "__init__.py": "from made_up.room.public import thing\n",
        "__main__.py": "from made_up.room.public import thing\n",
        "room/__init__.py": "from made_up.room import lonely, public\n",
        "room/public.py": "from made_up.room import lonely\nimport made_up.twice\n",
        "room/lonely.py": "def f():\n    from made_up.late import g\n",
        "late.py": "if TYPE_CHECKING:\n    from made_up.twice import h\n",
        "twice.py": "import os\nfrom made_up.twice import h\n",
    }
    for name, text in texts_of.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert importers_of_modules(package) == {
        "made_up.room.lonely": {"made_up.room.public"},
        "made_up.late": {"made_up.room.lonely"},
        "made_up.twice": {"made_up.room.public", "made_up.late"},
    }
    assert with_one_importer(package) == [
        ("made_up.late", "made_up.room.lonely", 2),
        ("made_up.room.lonely", "made_up.room.public", 2),
    ]
