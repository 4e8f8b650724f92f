"""The names that a user meets first: they are there, and getting at them is quick."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import metaexo as mx


@pytest.mark.parametrize("name", mx.__all__)
def test_every_public_name_resolves_and_is_listed(name):
    assert getattr(mx, name) is not None
    assert name in dir(mx)


def test_type_checkers_are_told_the_same_names(root):
    stub = ast.parse((root / "metaexo" / "__init__.pyi").read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(homes) == sorted(mx.__all__) == sorted(set(mx.__all__))
    wanted = {name: home for home, names in mx._HOMES.items() for name in names}
    assert homes == wanted | dict.fromkeys(mx._ROOMS, "metaexo")


ROOMS = mx._ROOMS


def test_only_public_names_are_listed(root):
    """In a fresh process, and after everything has been used."""
    code = f"""
import metaexo as mx
def strangers():
    found = set(dir(mx)) - set(mx.__all__) - {{"__version__"}}
    for room in {ROOMS!r}:
        found |= set(dir(getattr(mx, room))) ^ set(getattr(mx, room).__all__)
    return sorted(found)
before = strangers()
for name in mx.__all__:
    getattr(mx, name)
mx.RandomEffects(mx.EffectSizes([0.1, 0.4, 0.2], [0.02, 0.05, 0.03])).fit().summary()
print(before, strangers())
"""
    assert _run(code, root) == "[] []"


# What is told to import: from metaexo itself, or from a room of it.
DEEP = re.compile(r"^\s*(?:>>> )?(?:from|import) (metaexo\.\w+\.[\w.]+)", re.MULTILINE)


def test_analyses_and_documentation_import_public_names_only(root):
    paths = [root / "README.md", *(root / "analyses").glob("*.py"), *(root / "docs").rglob("*.rst")]
    assert len(paths) > 20
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths if "_build" not in path.parts}
    assert not {name: DEEP.findall(text) for name, text in texts.items() if DEEP.findall(text)}
    rooms = re.compile(r"^\s*(?:>>> )?from metaexo\.(\w+) import (.*)$", re.MULTILINE)
    for name, text in texts.items():
        for room, names in rooms.findall(text):
            for one in names.split(", "):
                assert hasattr(getattr(mx, room), one), (name, room, one)
    assert DEEP.findall(">>> from metaexo.effects.tables import x")


def test_a_function_is_not_hidden_by_the_module_of_the_same_name():

    assert callable(mx.effect_sizes)
    assert mx.effect_sizes is sys.modules["metaexo.effects"].effect_sizes
    assert isinstance(mx.EffectSizes, type)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'forrest'"):
        mx.forrest  # noqa: B018


def test_the_version_is_the_one_of_the_project_file(root):
    wanted = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d\S*)", changelog, re.MULTILINE)[0] == wanted
    try:
        installed = importlib.metadata.version("metaexo")
    except importlib.metadata.PackageNotFoundError:
        assert mx.__version__ == "0+unknown"
    else:
        assert mx.__version__ == installed == wanted


def test_importing_is_quick_and_loads_nothing_heavy(root):
    code = """
import sys, time
import numpy
start = time.perf_counter()
import metaexo
seconds = time.perf_counter() - start
heavy = ["pandas", "matplotlib", "scipy", "statsmodels", "pandera", "formulaic"]
print(seconds, [name for name in heavy if name in sys.modules])
"""
    runs = [_run(code, root) for _ in range(3)]
    assert min(float(out.split(" ", 1)[0]) for out in runs) < 0.15
    assert {out.split(" ", 1)[1] for out in runs} == {"[]"}


def _run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout.strip()


NAMES = re.compile(r"(?<!from )\b(?:mx|metaexo)((?:\.[A-Za-z_]\w*)+)")
# What ends so is the name of a file.
NO_NAMES = {".py", ".csv", ".svg", ".html"}


def documented_names(root):
    """Return each dotted name below mx or metaexo in the documentation and the README, with its file."""
    found = {}
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.rst"))]:
        if {"_build", "api", "gallery", "reference.rst", "sg_execution_times.rst"} & set(path.parts):
            continue  # made by a build of the documentation
        for match in NAMES.finditer(path.read_text(encoding="utf-8")):
            if not any(match.group(1).endswith(end) for end in NO_NAMES):
                found.setdefault(match.group(1)[1:], path.name)
    return found


def test_every_name_in_the_documentation_exists_in_a_fresh_process(root):
    """A room is reached through mx alone; what follows is public there, not a module that was imported."""
    names = documented_names(root)
    assert len(names) > 30
    code = f"""
import metaexo as mx, sys
lost = []
for name in {sorted(names)!r}:
    first, *rest = name.split(".")
    try:
        found = getattr(mx, first)
        for part in rest:
            listed = getattr(found, "__all__", None)
            if listed is not None and part not in listed:
                lost.append(name)
            found = getattr(found, part)
    except AttributeError:
        lost.append(name)
print(lost)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    lost = eval(told.stdout)
    assert not lost, {name: names[name] for name in lost}


@pytest.mark.parametrize(
    "room", ["effects", "evidence", "heterogeneity", "models", "sensitivity", "bias", "safety", "plots"]
)
def test_every_room_is_reached_in_a_fresh_process(root, room):
    code = f"import metaexo as mx; assert {room!r} in dir(mx); print(len(mx.{room}.__all__))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert int(told.stdout) > 0


def test_errors_are_named_as_users_import_them():
    for name in mx.errors.__all__:
        assert getattr(mx.errors, name).__module__ == "metaexo.errors", name
