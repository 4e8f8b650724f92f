"""Running analyses: what is written where, what is kept, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.report.collected import FigureEntry, digest_of_data, read_manifest, read_summary, update_manifest
from metaexo.report.run import Folders, reproduce, run_analysis

SCRIPT = '''"""
{title}
{line}

Words.
"""

import pandas as pd

from metaexo.report.run import run_alone


def main(analysis):
    sheet = pd.read_csv(analysis.data / "sheet.csv")
    analysis.write_table("{name}", sheet.assign(third=1 / 3))
    analysis.write_summary("Rows: {{}}".format(len(sheet)))


if __name__ == "__main__":
    run_alone(main)
'''


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout with a data sheet and two analyses, in a folder with a space in its name."""
    place = tmp_path / "a checkout"
    (place / "analyses").mkdir(parents=True)
    (place / "data").mkdir()
    (place / "data" / "sheet.csv").write_text("source,n\nplasma,4\nurine,\n")
    write_script(place, "01_first", "How many rows?")
    write_script(place, "02_second", "And again?")
    return place


def write_script(place, stem, title, **changes):
    text = SCRIPT.format(title=title, line="=" * len(title), name="rows")
    for old, new in changes.items():
        text = text.replace(old, new)
    (place / "analyses" / f"{stem}.py").write_text(text)
    return place / "analyses" / f"{stem}.py"


def test_scripts_run_in_order_and_their_files_carry_their_number(checkout):
    runs = reproduce(Folders.of(checkout))
    assert [analysis.script.name for analysis, _ in runs] == ["01_first.py", "02_second.py"]
    written = [path.relative_to(checkout).as_posix() for analysis, _ in runs for path in analysis.written]
    assert written == ["analyses/results/01_rows.csv", "analyses/results/02_rows.csv"]
    assert (checkout / written[0]).read_bytes() == b"source,n,third\nplasma,4,0.33333333\nurine,,0.33333333\n"


def test_output_goes_elsewhere_when_asked_and_leaves_the_checkout_alone(checkout, tmp_path):
    reproduce(Folders.of(checkout, tmp_path / "scratch"))
    assert (tmp_path / "scratch" / "analyses" / "results" / "summary.md").is_file()
    assert not (checkout / "analyses" / "results").exists()


def test_the_summary_keeps_the_parts_of_the_others_and_drops_those_of_scripts_that_are_gone(checkout):
    folders = Folders.of(checkout)
    reproduce(folders)
    summary = checkout / "analyses" / "results" / "summary.md"
    whole = summary.read_text()
    reproduce(folders, only=["02"])
    assert summary.read_text() == whole
    assert read_summary(summary)["01_first"] == "## How many rows?\n\nRows: 2"
    (checkout / "analyses" / "01_first.py").unlink()
    reproduce(folders)
    assert set(read_summary(summary)) == {"02_second"}


def test_the_manifest_keeps_the_lines_of_the_others(tmp_path):
    path = tmp_path / "MANIFEST.tsv"
    first = FigureEntry("01_a.svg", "01_first", "A", "d1")
    second = FigureEntry("02_b.svg", "02_second", "B", "d1")
    names = {"01_first", "02_second"}
    update_manifest(path, "02_second", [second], names)
    update_manifest(path, "01_first", [first], names)
    assert read_manifest(path) == [first, second]
    update_manifest(path, "02_second", [], names)
    assert read_manifest(path) == [first]
    update_manifest(path, "02_second", [second], {"02_second"})
    assert read_manifest(path) == [second]


def test_a_broken_manifest_is_an_error_that_names_the_line(tmp_path):
    path = tmp_path / "MANIFEST.tsv"
    path.write_text("file\tscript\ttitle\tdata\n01_a.svg\t01_first\n")
    with pytest.raises(InputError, match="line 2"):
        read_manifest(path)


def test_figures_are_saved_twice_and_listed(checkout):
    figure = """
    from matplotlib.figure import Figure
    axes = Figure(figsize=(2, 1)).subplots()
    axes.plot([0, 1])
    analysis.write_figure("line", axes, title="A line")
"""
    script = write_script(
        checkout,
        "03_third",
        "A line?",
        **{"    analysis.write_summary": figure + "    analysis.write_summary"},
    )
    folders = Folders.of(checkout)
    run_analysis(script, folders)
    assert {path.name for path in folders.figures.iterdir()} == {"03_line.svg", "03_line.png", "MANIFEST.tsv"}
    digest = digest_of_data(checkout / "data")
    assert read_manifest(folders.figures / "MANIFEST.tsv") == [
        FigureEntry("03_line.png", "03_third", "A line", digest),
        FigureEntry("03_line.svg", "03_third", "A line", digest),
    ]


def test_figures_are_the_same_bytes_every_time(checkout, tmp_path, root):
    figure = """
    from matplotlib.figure import Figure
    axes = Figure(figsize=(2, 1)).subplots()
    axes.plot([0, 1], clip_on=True)
    analysis.write_figure("line", axes, title="A line")
"""
    write_script(
        checkout,
        "03_third",
        "A line?",
        **{"    analysis.write_summary": figure + "    analysis.write_summary"},
    )
    code = "import sys; from pathlib import Path; from metaexo.report.run import Folders, reproduce;"
    code += "reproduce(Folders.of(Path(sys.argv[1]), Path(sys.argv[2])), ['03'])"
    for name in ("one", "two"):
        command = [sys.executable, "-c", code, str(checkout), str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True, cwd=root)
    for name in ("03_line.svg", "03_line.png"):
        one, two = ((tmp_path / folder / "figures" / name).read_bytes() for folder in ("one", "two"))
        assert one == two


def test_the_digest_is_of_names_and_contents_whatever_the_line_ends(tmp_path):
    for name, content in (("a", b"x\n1\n"), ("b", b"x\r\n1\r\n"), ("c", b"x\n2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sheet.csv").write_bytes(content)
    digests = [digest_of_data(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "a" / "sheet.csv").rename(tmp_path / "a" / "other.csv")
    assert digest_of_data(tmp_path / "a") != digests[0]


@pytest.mark.parametrize("redirected", [False, True])
def test_a_script_runs_alone(checkout, tmp_path, monkeypatch, root, redirected):
    monkeypatch.setenv("PYTHONPATH", str(root))
    target = tmp_path / "elsewhere" if redirected else checkout
    if redirected:
        monkeypatch.setenv("METAEXO_OUTPUT", str(target))
    else:
        monkeypatch.delenv("METAEXO_OUTPUT", raising=False)
    command = [sys.executable, str(checkout / "analyses" / "01_first.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Rows: 2" in done.stdout
    assert "01_rows.csv" in done.stdout
    assert (target / "analyses" / "results" / "01_rows.csv").is_file()


def test_a_number_of_no_script_is_answered_with_the_numbers_there_are(checkout):
    with pytest.raises(UnknownChoiceError, match="'01', '02'"):
        reproduce(Folders.of(checkout), only=["07"])


def test_two_scripts_with_one_number_are_refused(checkout):
    write_script(checkout, "02_other", "Twice?")
    with pytest.raises(InputError, match="02_other"):
        reproduce(Folders.of(checkout))


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(InputError, match="no folder 'analyses'"):
        Folders.of(tmp_path)


def test_a_checkout_without_scripts_is_refused(checkout):
    for script in (checkout / "analyses").glob("*.py"):
        script.unlink()
    with pytest.raises(InputError, match=r"0 scripts.*What to do: .*git checkout"):
        reproduce(Folders.of(checkout))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("====", "----", "does not open with a title"),
        ("def main", "def other", "no function main"),
        ("analysis.write_table", "print", "wrote nothing"),
        ('"rows"', '"Rows of 2026"', "lower-case letters"),
        (
            "    analysis.write_summary",
            '    analysis.write_table("rows", sheet)\n    analysis.write_summary',
            "twice",
        ),
    ],
)
def test_a_script_that_breaks_the_contract_is_refused(checkout, old, new, words):
    script = write_script(checkout, "01_first", "How many rows?", **{old: new})
    with pytest.raises(InputError, match=words):
        run_analysis(script, Folders.of(checkout))


def test_a_table_can_keep_its_row_names(checkout):
    script = write_script(
        checkout,
        "01_first",
        "How many rows?",
        **{"sheet.assign(third=1 / 3))": "sheet.set_index('source'), index=True)"},
    )
    (path,) = run_analysis(script, Folders.of(checkout)).written
    assert list(pd.read_csv(path).columns) == ["source", "n"]
