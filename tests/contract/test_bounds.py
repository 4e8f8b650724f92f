"""Versions agree: pyproject.toml, requirements-lowest.txt and requirements-lock.txt."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def lower_bounds(requirements):
    bounds = {}
    for text in requirements:
        requirement = Requirement(text)
        (specifier,) = requirement.specifier
        assert specifier.operator == ">=", f"{text}: a lower bound and nothing else"
        bounds[canonicalize_name(requirement.name)] = Version(specifier.version)
    return bounds


def pinned(path):
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            pins[canonicalize_name(requirement.name)] = Version(specifier.version)
    return pins


def test_the_oldest_versions_tested_are_the_bounds(project, root):
    extras = project["project"]["optional-dependencies"]
    wanted = lower_bounds(project["project"]["dependencies"] + extras["test"] + extras["docs"])
    assert pinned(root / "requirements-lowest.txt") == wanted


def test_the_lock_holds_everything_at_or_above_its_bound(project, root):
    extras = project["project"]["optional-dependencies"]
    bounds = lower_bounds(project["project"]["dependencies"] + project["build-system"]["requires"])
    for name in ("test", "lint", "docs"):
        bounds |= lower_bounds(extras[name])
    lock = pinned(root / "requirements-lock.txt")
    assert bounds.keys() <= lock.keys()
    assert not {name for name, bound in bounds.items() if lock[name] < bound}
