"""The pages about commands: every command and option is there, and what they show is what is printed."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from metaexo.cli import main

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "command_line.rst").read_text(encoding="utf-8")
HEADING = r"^(metaexo(?: \w+)?)\n-+\n"
PARTS = re.split(HEADING, PAGE, flags=re.MULTILINE)
SECTIONS = dict(zip(PARTS[1::2], PARTS[2::2], strict=True))
COMMANDS = {"metaexo": main} | {f"metaexo {name}": command for name, command in main.commands.items()}
# A part of a console block: a command, and what is printed until the next one.
SHOWN = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def consoles(page):
    """Return the commands of a page with what it says that they print."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: console\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    lines = "".join(re.sub(r"^   ", "", block, flags=re.MULTILINE).rstrip() + "\n" for block in blocks)
    return SHOWN.findall(lines)


def test_every_command_has_its_section():
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_section_of_its_command_and_no_other(name):
    known = {
        option for parameter in COMMANDS[name].params for option in parameter.opts if option.startswith("--")
    }
    rows = set(re.findall(r"^   \* - ``(--[a-z0-9-]+)", SECTIONS[name], re.MULTILINE))
    assert rows == known


@pytest.mark.parametrize("page", ["command_line.rst", "tutorial_spreadsheet.rst"])
def test_what_the_pages_show_is_what_is_printed(page, tmp_path, monkeypatch):
    shown = consoles(page)
    assert len(shown) > 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for example in (DOCS / "examples").iterdir():
        shutil.copy(example, tmp_path)
    checker, options, code = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, 0
    for command, wanted in shown:
        words = shlex.split(command)
        if words == ["echo", "$?"]:
            got = f"{code}\n"
        else:
            assert words[0] == "metaexo"
            result = CliRunner().invoke(main, words[1:], prog_name="metaexo")
            got, code = result.output, result.exit_code
        assert checker.check_output(wanted, got, options), f"$ {command}\n{got}"
