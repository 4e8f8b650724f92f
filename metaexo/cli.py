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
@click.option("--check", is_flag=True, help="Write nothing; compare with what is committed.")
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
    if not check:
        _run(mx.report.Folders.of(root.resolve()), only)
        return
    with tempfile.TemporaryDirectory(prefix="metaexo-") as scratch:
        made = mx.report.Folders.of(root.resolve(), Path(scratch))
        _run(made, only)
        agrees = _compare(mx.report.Folders.of(root.resolve()), made, only)
    sys.exit(0 if agrees else 1)


def _run(folders: mx.report.Folders, only: Sequence[str]) -> None:
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
    files = sum(len(analysis.written) for analysis, _ in runs)
    click.echo(f"{files} files written; analyses run: {len(runs)}")


def _compare(committed: mx.report.Folders, made: mx.report.Folders, only: Sequence[str]) -> bool:
    found = mx.report.compare_outputs(committed, made, only)
    for item in found:
        click.echo(f"{item.verdict:>22}  {item.file}  {item.detail}".rstrip())
    wrong = [item for item in found if not item.agrees]
    identical = sum(item.verdict == "identical" for item in found)
    click.echo(
        f"{len(found)} files compared: {identical} identical, "
        f"{len(found) - identical - len(wrong)} equal within tolerance, {len(wrong)} not as committed"
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
