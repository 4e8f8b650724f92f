"""What the first page promises is true: its example runs, its commands exist, its pictures are there."""

from __future__ import annotations

import re

import pytest


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(readme, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(example.splitlines()) <= 12
    exec(compile(example, "README.md", "exec"), {})
    assert "Pooled" in capsys.readouterr().out


def test_the_commands_are_targets_of_the_makefile(readme, root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z][a-z-]*)", readme))
    assert {"reproduce", "test"} <= named
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    assert named <= targets


def test_the_pictures_and_files_it_points_at_are_there(readme, root):
    targets = re.findall(r"\]\(([^)]+)\)", readme)
    assert any(target.startswith("figures/") for target in targets)
    assert [target for target in targets if not (root / target).exists()] == []


def test_the_first_two_commands_are_the_two_that_matter(readme):
    first = re.search(r"```sh\n(.*?)```", readme, re.DOTALL).group(1).splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make reproduce", "make test"]
