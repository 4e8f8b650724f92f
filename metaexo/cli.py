"""The command line: run the analyses, check the sheets. The work is done in the packages below."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

import metaexo as mx
from metaexo.errors import InputError, MetaexoError, SheetWarning
from metaexo.formatting import plain_text

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


class _Group(click.Group):
    """Shows an error of metaexo as its four parts, without a trace."""

    def invoke(self, ctx: click.Context) -> object:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # sheets hold letters that terminals may lack
        try:
            return super().invoke(ctx)
        except MetaexoError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
@click.version_option(package_name="metaexo")
def main() -> None:
    """Meta-analysis of exosome evidence."""


@main.command()
@click.argument("analyses", nargs=-1, metavar="[NN]...")
@click.option("--check", is_flag=True, help="Write nothing; compare with the last commit, and the disk.")
@click.option("--only", multiple=True, metavar="NN", help="The same as NN; may be given again.")
@click.option("--root", type=FOLDER, default=".", help="Checkout of metaexo. [default: this folder]")
def reproduce(analyses: Sequence[str], check: bool, only: Sequence[str], root: Path) -> None:
    """Run analyses/NN_*.py in order and list the tables and figures that they write.

    With numbers, as in "metaexo reproduce 06", run only these.
    """
    only = (*analyses, *only)
    for given in only:
        if Path(given).exists() or Path(given).suffix:
            raise InputError(
                f"{given} is a file or folder, and reproduce runs the analyses of metaexo itself",
                "numbers of analyses, such as 06, or none for all",
                f"for studies of your own write: metaexo report {given}",
            )
    there = mx.report.Folders.of(root.resolve())
    with tempfile.TemporaryDirectory(prefix="metaexo-") as scratch:
        if check:
            made = mx.report.Folders.of(root.resolve(), Path(scratch, "made"))
            _run(made, only)
            agrees = _compare(there, made, only, Path(scratch, "committed"))
            sys.exit(0 if agrees else 1)
        before = mx.report.Folders.of(root.resolve(), Path(scratch))
        for folder, copy in ((there.results, before.results), (there.figures, before.figures)):
            if folder.is_dir():
                shutil.copytree(folder, copy)
        readme = _text(root / "README.md")
        written = _run(there, only)
        _say_what_changed(before, there, only, written, readme)


def _run(folders: mx.report.Folders, only: Sequence[str]) -> set[str]:
    from tqdm import tqdm

    def progress(scripts: Sequence[Path]) -> Iterable[Path]:
        with tqdm(scripts, unit="analysis", disable=None) as bar:
            for script in bar:
                bar.set_description(script.stem)
                yield script

    runs = mx.report.reproduce(folders, only, progress)
    click.echo("")
    for analysis, seconds in runs:
        click.echo(f"{analysis.script.name} ({seconds:.1f} s)")
        for path in analysis.written:
            click.echo(f"  {path.relative_to(folders.output).as_posix()}")
    files = {path.relative_to(folders.output).as_posix() for analysis, _ in runs for path in analysis.written}
    click.echo(f"{len(files)} files written; analyses run: {len(runs)}")
    return files


def _say_what_changed(
    before: mx.report.Folders, now: mx.report.Folders, only: Sequence[str], written: set[str], readme: str
) -> None:
    """Say which files that several analyses share were written too, what differs, and where the answer is."""
    root = now.output
    shared = [now.results / "summary.md", now.results / "answers.csv", now.results / "answer.md"]
    shared += [now.figures / "MANIFEST.tsv"]
    names = [path.relative_to(root).as_posix() for path in shared if path.is_file()]
    found = [one for one in mx.report.compare_outputs(before, now, only) if one.verdict != "not made"]
    changed = [one for one in found if one.verdict != "identical"]
    new = sum(one.verdict == "new" for one in changed)
    if _text(root / "README.md") != readme:
        names.append("README.md (its main answer)")
    click.echo(f"written too: {', '.join(names)}")
    for one in changed:
        if one.verdict != "new":
            click.echo(f"{one.verdict:>22}  {one.file}  {one.detail}".rstrip())
    close = sum(one.verdict == "equal within tolerance" for one in changed)
    click.echo(
        f"{len(changed) - new - close} of {len(found)} files differ from before"
        + (f", {close} in rounding only" if close else "")
        + (f", {new} are new" if new else "")
    )
    if (now.results / "answer.md").is_file():
        click.echo(f"the answer: {(now.results / 'answer.md').relative_to(root).as_posix()}")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _compare(there: mx.report.Folders, made: mx.report.Folders, only: Sequence[str], scratch: Path) -> bool:
    """Compare what was made with the last commit and with the disk; without git with the disk alone."""
    from metaexo.report.compare import committed_outputs  # slow to load: --help does without

    on_disk = mx.report.compare_outputs(there, made, only)
    commit = committed_outputs(there.output, scratch)
    if commit is None:
        click.echo("compared with the files on the disk: git knows no commit of them")
        return _tell(on_disk, "on the disk")
    folders, name = commit
    click.echo(f"compared with commit {name}")
    in_commit = mx.report.compare_outputs(folders, made, only)
    agrees = _tell(in_commit, f"in commit {name}")
    edited = [item for item in on_disk if not item.agrees and item not in in_commit]
    if edited:
        click.echo(f"compared with the files on the disk, {len(edited)} are not what is made now")
        _tell(edited, "on the disk")
    return agrees and not edited


def _tell(found: Sequence[Any], where: str) -> bool:
    for item in found:
        click.echo(f"{item.verdict:>22}  {item.file}  {item.detail}".rstrip())
    wrong = [item for item in found if not item.agrees]
    identical = sum(item.verdict == "identical" for item in found)
    click.echo(
        f"{len(found)} files compared: {identical} identical, "
        f"{len(found) - identical - len(wrong)} equal within tolerance, {len(wrong)} not as {where}"
    )
    return not wrong


MAP = click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar='"HEADING=COLUMN"',
    help='What a heading of your file means: --map "my heading=treatment_sd". May be given again.',
)
SHEET = click.option("--sheet", metavar="NAME", help="The worksheet, where several read as data.")


def _columns(mapped: Sequence[str]) -> dict[str, str]:
    """Return what headings mean, by the texts of --map."""
    from metaexo.evidence.tables.headings import read_map  # slow to load: --help does without

    return read_map(mapped)


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@MAP
@SHEET
@click.option("--copy", type=click.Path(path_type=Path), help="Write what was read as a new .xlsx or .csv.")
@click.option("--measure", metavar="CODE", help="Count the effects of this measure, such as SMD or RR.")
@click.option("--all", "noted", is_flag=True, help="List everything, also what the column caution explains.")
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
def check(
    path: Path,
    mapped: Sequence[str],
    sheet: str | None,
    copy: Path | None,
    measure: str | None,
    noted: bool,
    strict: bool,
) -> None:
    """Say before any analysis what is wrong with the table in PATH, and how many effects will result.

    PATH is a workbook, a CSV file, or a folder with one of them or with studies.csv and outcomes.csv.

    It names each cell and what to do: errors, words that are not known and where each study goes, rows that
    give no effect, standard errors in the place of SDs, numbers that cannot be, and the effects and studies
    per stratum. Nothing is changed. The exit code is 1 where there are errors.
    """
    columns = _columns(mapped)
    found = mx.check_sheets(path, measure=measure, columns=columns, sheet=sheet)
    click.echo(found.report(noted, shutil.get_terminal_size((100, 40)).columns))
    if copy is not None and not found.ok:
        click.echo(f"not written: {copy}. A copy is written once the errors are mended.")
    elif copy is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SheetWarning)  # the report above has said all of it
            sheets = mx.read_sheets(found.folder, columns=columns, sheet=sheet)
        click.echo(f"written: {sheets.write_corrected(copy)}")
    sys.exit(0 if found.ok and not (strict and found.warnings) else 1)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def new(folder: Path) -> None:
    """Write an empty table for your studies into FOLDER: a workbook, and the same as CSV.

    Nothing is written over a file.
    """
    workbook, table = mx.new_table(folder)
    shown = f'"{workbook}"' if " " in str(workbook) else str(workbook)
    out = f'"{folder / "report"}"' if " " in str(folder) else str(folder / "report")
    click.echo(f"written: {workbook} and the same as {table.name}")
    click.echo("1. Fill in one of the two, a row per comparison, and delete the three examples.")
    click.echo(f"2. Check it:    metaexo check {shown}")
    click.echo(f"3. Report it:   metaexo report {shown} --measure SMD --by source --by isolation --out {out}")


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--measure", metavar="CODE", help="SMD, RR, MD, ... [default: the one that most rows give]")
@click.option(
    "--by", multiple=True, metavar="COLUMN", help="Compare effects by it. [default: source, isolation]"
)
@click.option(
    "--outcome", "outcomes", multiple=True, metavar="WORD", help="Only this outcome; may be repeated."
)
@click.option("--where", metavar="CONDITION", help="Only these rows, as in \"species == 'mouse'\".")
@click.option(
    "--better", type=click.Choice(["higher", "lower"]), help="The benefit, where the table is silent."
)
@MAP
@SHEET
@click.option("--method", default="REML", show_default=True, help="Estimator of tau2.")
@click.option("--test", default="knapp-hartung-adhoc", show_default=True, help="How intervals are made.")
@click.option("--level", default=0.95, show_default=True, help="Level of the intervals.")
@click.option("--out", type=click.Path(path_type=Path), default="report", show_default=True, help="Folder.")
def report(path: Path, by: Sequence[str], mapped: Sequence[str], out: Path, **choices: Any) -> None:
    """Write a report on the studies in PATH (a workbook, a CSV file, or a folder of sheets) into a folder.

    The page report.html opens with the answer in five sentences; report.docx says the same. Nothing of your
    file is changed.
    """
    import matplotlib

    matplotlib.use("agg")
    start = time.perf_counter()
    by = tuple(by) or ("source", "isolation")
    before = mx.report.earlier_report(out)
    found = mx.write_report(path, by=by, columns=_columns(mapped) or None, out=out, **choices)
    click.echo(plain_text("\n".join(["", *found.answer, ""])))
    click.echo(
        f"written in {time.perf_counter() - start:.0f} s: {out / 'report.html'} (open it in a browser)"
    )
    click.echo("beside it: report.docx, figures, tables, and analysis.py, which makes the same numbers")
    if before:
        click.echo(f"replaced: the {len(before)} files of the earlier report that was there")
