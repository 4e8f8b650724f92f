"""The command line: its words, and above all its exit codes."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import metaexo as mx
from metaexo.cli import main
from tests.report.made_up import small

SCRIPT = '''"""
How many rows?
==============
"""
import pandas as pd


def main(analysis):
    sheet = pd.read_csv(analysis.data / "sheet.csv")
    analysis.write_table("rows", sheet)
    analysis.write_summary("Rows: {}".format(len(sheet)))
'''


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "analyses").mkdir()
    (tmp_path / "data").mkdir()
    for number in ("01", "02"):
        (tmp_path / "analyses" / f"{number}_rows.py").write_text(SCRIPT)
    (tmp_path / "data" / "sheet.csv").write_text("source,n\nplasma,4\n")
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_reproduce_lists_what_it_wrote(checkout):
    result = run("reproduce", "--root", checkout)
    assert result.exit_code == 0, result.output
    assert "  analyses/results/01_rows.csv\n" in result.output
    assert "2 files written; analyses run: 2\n" in result.output


def test_reproduce_says_what_differs_from_before_and_which_shared_files_it_wrote(checkout):
    first = run("reproduce", "--root", checkout).output
    assert "written too: analyses/results/summary.md\n" in first
    assert first.endswith("0 of 3 files differ from before, 3 are new\n")
    assert run("reproduce", "--root", checkout).output.endswith("0 of 3 files differ from before\n")
    (checkout / "data" / "sheet.csv").write_text("source,n\nplasma,5\n")
    changed = run("reproduce", "01", "--root", checkout).output
    assert "different  analyses/results/01_rows.csv  line 2, n: 4 before, 5 now\n" in changed
    assert "1 of 4 files differ from before\n" in changed


def test_reproduce_says_where_the_answer_is_and_which_sentence_changed(checkout):
    answer = (
        '    analysis.answer(f"There is a row with {sheet.n[0]} samples.", k=1, m=1, units="rows",\n'
        '                    certainty="low", table="rows")\n'
    )
    (checkout / "analyses" / "01_rows.py").write_text(SCRIPT + answer)
    (checkout / "README.md").write_text("<!-- answer -->\n<!-- end of answer -->\n")
    run("reproduce", "--root", checkout)
    (checkout / "data" / "sheet.csv").write_text("source,n\nplasma,500\n")
    found = run("reproduce", "--root", checkout).output
    assert "analyses/results/answer.md, README.md (its main answer)\n" in found
    assert "4 samples. before, There is a row with 500 samples. now" in found
    assert found.endswith("the answer: analyses/results/answer.md\n")


def test_check_compares_with_the_commit_and_not_with_what_was_written_since(checkout):
    def git(*words):
        subprocess.run(["git", "-C", checkout, *words], check=True, capture_output=True)

    run("reproduce", "--root", checkout)
    git("init")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", "first")
    kept = run("reproduce", "--check", "--root", checkout)
    assert kept.exit_code == 0, kept.output
    assert "compared with commit " in kept.output
    (checkout / "data" / "sheet.csv").write_text("source,n\nplasma,5\n")
    run("reproduce", "--root", checkout)
    for only in ((), ("01",)):
        found = run("reproduce", "--check", "--root", checkout, *only)
        assert found.exit_code == 1
        assert "01_rows.csv  line 2, n: 4 before, 5 now" in found.output
    git("checkout", ".")
    (checkout / "analyses" / "results" / "01_rows.csv").write_text("source,n\nplasma,6\n")
    edited = run("reproduce", "--check", "--root", checkout)
    assert edited.exit_code == 1
    assert ", 0 not as in commit " in edited.output
    assert "line 2, n: 6 before, 4 now" in edited.output


def test_check_passes_right_after_reproduce_and_writes_nothing(checkout):
    run("reproduce", "--root", checkout)
    before = {path: path.stat().st_mtime_ns for path in checkout.rglob("*") if path.suffix in (".csv", ".md")}
    result = run("reproduce", "--check", "--root", checkout)
    assert result.exit_code == 0, result.output
    assert "3 files compared: 3 identical, 0 equal within tolerance, 0 not as on the disk" in result.output
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize("only", [(), ("--only", "01"), ("01",)])
@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("01_rows.csv", lambda path: path.write_text("source,n\nplasma,5\n")),
        ("01_rows.csv", lambda path: path.unlink()),
        ("01_old.csv", lambda path: path.write_text("x\n")),
        ("summary.md", lambda path: path.write_text(path.read_text().replace("Rows: 1", "Rows: 2"))),
        ("summary.md", lambda path: path.unlink()),
    ],
    ids=["changed", "missing", "stale", "changed words", "missing words"],
)
def test_check_fails_on_any_difference(checkout, file, change, only):
    run("reproduce", "--root", checkout)
    change(checkout / "analyses" / "results" / file)
    result = run("reproduce", "--check", "--root", checkout, *only)
    assert result.exit_code == 1
    assert "1 not as on the disk" in result.output


def test_check_of_one_analysis_does_not_look_at_the_others(checkout):
    run("reproduce", "--root", checkout)
    (checkout / "analyses" / "results" / "02_rows.csv").unlink()
    assert run("reproduce", "--check", "--only", "01", "--root", checkout).exit_code == 0
    assert run("reproduce", "--check", "--root", checkout).exit_code == 1


def test_an_error_is_told_in_words_without_a_trace(tmp_path):
    result = run("reproduce", "--root", tmp_path)
    assert result.exit_code == 1
    assert "needed: the folder of a checkout" in result.output
    assert "Traceback" not in result.output


def test_check_says_that_the_sheets_of_the_repository_can_be_read(root):
    result = run("check", root / "data")
    assert result.exit_code == 0, result.output
    assert " 0 errors" in result.output


def test_check_names_the_line_of_a_broken_row_and_fails(root, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(root / "data", folder)
    lines = (folder / "outcomes.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    study = lines[3].split(",")[0]
    lines[3] = lines[3].replace(study, "nobody1900", 1)
    (folder / "outcomes.csv").write_text("".join(lines), encoding="utf-8")
    result = run("check", folder)
    assert result.exit_code == 1
    assert "nobody1900" in result.output
    assert "line 4" in result.output


def test_check_prints_on_a_terminal_of_an_old_code_page(tmp_path: Path, root: Path) -> None:
    """Cells hold any letters; code page 1252 has few of them."""
    (tmp_path / "studies.csv").write_text("study_id\nλ研究−1\n", encoding="utf-8")
    (tmp_path / "outcomes.csv").write_text("study_id,outcome\nλ研究−2,ω面积\n", encoding="utf-8")
    command = [sys.executable, "-m", "metaexo", "check", str(tmp_path)]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"UnknownStudyError" in done.stdout


def test_report_writes_a_folder_and_says_the_answer(tmp_path: Path) -> None:
    rows = [
        f"Li {2010 + i},{src},UC,{12 + i},2,{8 + i},10,2.1,{8 + i}"
        for i, src in enumerate(["AMSC", "BMSC"] * 2)
    ]
    head = "Study,Source,My method,Exosome mean,Exosome SD,Exosome n,Control mean,Control SD,Control n"
    (tmp_path / "my studies.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    out = tmp_path / "report"
    words = [str(tmp_path / "my studies.csv"), "--measure", "SMD", "--map", "My method=isolation_reported"]
    earlier = mx.report.write_files(small(), out)
    found = CliRunner().invoke(main, ["report", *words, "--by", "source", "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert f"replaced: the {len(earlier)} files of the earlier report" in found.output
    assert "Across 4 studies" in found.output
    assert {"report.html", "report.docx", "analysis.py", "tables", "figures"} <= {
        one.name for one in out.iterdir()
    }
    assert "isolation_reported" in (out / "analysis.py").read_text(encoding="utf-8")
    wrong = CliRunner().invoke(main, ["report", *words[:3], "--map", "nonsense"])
    assert wrong.exit_code == 1
    assert "nonsense" in wrong.output
    assert "what to do" in wrong.output.lower()


def test_reproduce_points_to_report_for_sheets_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "studies.csv").touch()
    for words in (["--root", str(tmp_path)], [str(tmp_path)], [str(tmp_path / "studies.csv")]):
        found = CliRunner().invoke(main, ["reproduce", *words])
        assert found.exit_code == 1
        assert "metaexo report" in found.output
        assert not isinstance(found.exception, ValueError)


# -- lines that cannot be understood, and paths that cannot be used ------------------------------------------

HEAD = "Study,Source,Isolation,Exosome mean,Exosome SD,Exosome n,Control mean,Control SD,Control n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a table, a file, folders and what is none of them."""
    rows = [f"Li {2010 + i},AMSC,UC,{12 + i},2,{8 + i},10,2.1,{8 + i}" for i in range(3)]
    (tmp_path / "ok.csv").write_text("\n".join([HEAD, *rows]), encoding="utf-8")
    shutil.copy(tmp_path / "ok.csv", tmp_path / "my studies.csv")
    (tmp_path / "file").write_text("x")
    (tmp_path / "~$my.xlsx").write_bytes(b"x" * 165)
    (tmp_path / "my.xlsx").write_bytes(b"x" * 165)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "noise.xlsx").write_bytes(bytes(range(256)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "gone.csv").symlink_to("nowhere.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code", "remedy"),
    [
        ("chekc ok.csv", 2, "write metaexo check"),
        ("validate ok.csv", 2, "write metaexo check"),
        ("help", 2, "write metaexo --help"),
        ("nonsense", 2, "metaexo --help lists the commands"),
        ("ok.csv", 2, "write metaexo check ok.csv, or metaexo report ok.csv"),
        ("'my studies.csv'", 2, 'write metaexo check "my studies.csv"'),
        ("--verison", 2, "write --version"),
        ("--measure SMD", 2, "write metaexo check, which has --measure"),
        ("check", 2, "write metaexo check my_studies.xlsx; metaexo new my-review writes an empty table"),
        ("report --measure SMD", 2, "write metaexo report my_studies.xlsx"),
        ("new", 2, "write metaexo new my-review"),
        ("new ''", 2, "write metaexo new my-review"),
        ("check ''", 2, "write metaexo check my_studies.xlsx"),
        ("check my studies.csv", 2, 'metaexo check "my studies.csv"'),
        ("report my studies.csv --measure SMD", 2, 'metaexo report "my studies.csv"'),
        ("report ok.csv r2", 2, "write metaexo report ok.csv --out r2"),
        ("report ok.csv --by source isolation", 2, "--by source --by isolation"),
        ("report ok.csv --by --out r", 2, "--by source --by isolation"),
        ("report ok.csv --output r", 2, "write --out"),
        ("report ok.csv --mesure SMD", 2, "write --measure"),
        ("report ok.csv --measure", 2, "write --measure SMD"),
        ("report ok.csv --better up", 2, "write --better higher"),
        ("report ok.csv --level abc", 2, "write --level 0.95"),
        ("report ok.csv --out ''", 2, "write --out report"),
        ("check ok.csv --by source", 2, "write metaexo report, which has --by"),
        ("check ok.csv --map", 2, 'write --map "my heading=treatment_sd"'),
        ("new a b", 2, "metaexo new --help shows how"),
        ("reproduce --root nowhere", 2, "write --root path/to/metaexo"),
        ("report ok.csv --by source,isolation", 1, "write --by source --by isolation"),
        ("report ok.csv --by ''", 1, "write --by source"),
        ("report ok.csv --measure SMD --by sorce", 1, "write 'source'"),
        ("report ok.csv --level 0", 1, "write 0.95"),
        ("report ok.csv --measure SMD --where 'source = 1'", 1, "write 'source == 1'"),
        ("report ok.csv --measure SMD --out file", 1, "choose another name for the folder"),
        ("report ok.csv --measure SMD --out full", 1, "choose another folder, such as full_2"),
        ("report ok.csv --measure SMD --out .", 1, "choose another folder"),
        ("check nowhere.csv", 1, "it begins at the working folder"),
        ("check gone.csv", 1, "name the file itself"),
        ("check empty.csv", 1, "look at the path"),
        ("check noise.xlsx", 1, "save it again as .xlsx"),
        ("check '~$my.xlsx'", 1, "name my.xlsx"),
        ("check ok.csv --sheet data", 1, "leave the worksheet (--sheet) out"),
        ("check ok.csv --copy ok.csv", 1, "name a new file"),
        ("new my.xlsx", 1, "write metaexo new my"),
        ("new file/sub", 1, "name another folder"),
        ("reproduce ok.csv", 1, "metaexo report ok.csv"),
        ("reproduce 01", 1, "metaexo report PATH"),
    ],
)
def test_a_line_that_does_not_work_says_what_to_write(folder, line, code, remedy):
    found = run(*shlex.split(line))
    assert found.exit_code == code, found.output
    assert isinstance(found.exception, SystemExit), found.exception
    said = found.output[found.output.rindex("What to do: ") :]
    assert remedy in said, found.output


def test_numbers_of_analyses_are_no_spelling(checkout):
    assert "write '01'" in run("reproduce", "1", "--root", checkout).output
    for number in ("99", "10", "3"):
        found = run("reproduce", number, "--root", checkout).output
        assert "needed: one of '01', '02'." in found
        assert "What to do" not in found


@pytest.mark.parametrize("command", [None, *main.commands])
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_shows_examples_that_can_be_typed(command, word):
    found = run(*filter(None, (command, word)))
    assert found.exit_code == 0
    examples = re.findall(r"^ +(metaexo .*)$", found.output, re.MULTILINE)
    assert examples
    for example in examples:
        _, name, *words = shlex.split(example)
        whole = main.make_context("metaexo", [name])
        main.commands[name].make_context(name, words, whole)  # it is understood
    if command is None:
        assert "Exit codes:" in found.output


def test_the_version_is_said_under_the_name_of_the_command():
    assert run("-V").output == run("--version").output
    assert run("--version").output.startswith("metaexo, version ")


def test_a_file_that_the_system_refuses_is_told_in_words(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "report/report.html")

    monkeypatch.setattr(mx, "write_report", refuse)
    found = run("report", "ok.csv")
    assert found.exit_code == 1
    assert "report/report.html cannot be read or written (Permission denied)" in found.output
    assert "What to do: close it in other programs" in found.output


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_stopped_from_outside_it_ends_without_a_trace(folder, monkeypatch, error):
    def stop(*args, **kwargs):
        raise error

    monkeypatch.setattr(mx, "check_sheets", stop)
    found = run("check", "ok.csv")
    assert found.exit_code == 1
    assert isinstance(found.exception, SystemExit)
    assert "What to do" not in found.output


def test_no_letter_stops_a_terminal_and_no_reader_that_stops_reading(folder: Path, root: Path) -> None:
    """ASCII alone, thirty columns, and a reader that closes after a line."""
    text = (folder / "ok.csv").read_text(encoding="utf-8").replace("Li 2010", "λ研究 é − 2010")
    (folder / "ok.csv").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "metaexo", "check", "ok.csv"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(root), "COLUMNS": "30"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"3 studies")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
