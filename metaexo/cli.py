"""The command line: run the analyses, check the sheets. The work is done in the packages below."""

from __future__ import annotations

import errno
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
from metaexo.errors import InputError, MetaexoError, SheetWarning, nearest_word
from metaexo.formatting import plain_text


class _Path(click.Path):
    """A path; an empty one, which would be the working folder, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return (
            super().convert(value, param, ctx) if str(value).strip() else self.fail("it is empty", param, ctx)
        )


PATH = _Path(path_type=Path)
FOLDER = _Path(exists=True, file_okay=False, path_type=Path)

# What is written for an argument or an option; it is said where it is missing or wrong.
WRITTEN = {
    "path": "my_studies.xlsx",
    "folder": "my-review",
    "--measure": "SMD",
    "--by": "source",
    "--outcome": '"wound area"',
    "--where": "\"species == 'mouse'\"",
    "--better": "higher",
    "--map": '"my heading=treatment_sd"',
    "--sheet": "data",
    "--copy": "corrected.xlsx",
    "--method": "REML",
    "--test": "knapp-hartung",
    "--level": "0.95",
    "--out": "report",
    "--only": "06",
    "--root": "path/to/metaexo",
}
# What commands are called elsewhere.
COMMANDS = {
    "check": "validate lint verify test read",
    "new": "init create start template",
    "report": "analyse analyze run pool meta forest plot fit",
    "reproduce": "rerun replicate",
    "--help": "help commands",
    "--version": "version",
}


class _Command(click.Command):
    """Says, where a line cannot be understood, what to write."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            known = isinstance(error, click.NoSuchOption)
            what = error.message if known else error.format_message()
            remedy = _what_to_write(self, error, given)
            raise click.UsageError(f"{what.rstrip()}\nWhat to do: {remedy}", error.ctx or ctx) from None


def _what_to_write(command: click.Command, error: click.UsageError, given: list[str]) -> str:
    """Return what to do about a line that cannot be understood."""
    line = "metaexo" if command is main else f"metaexo {command.name}"
    if isinstance(error, click.NoSuchOption):
        return _option_meant(command, error.option_name, line)
    if isinstance(error, click.BadOptionUsage):
        return f"write {error.option_name} {WRITTEN.get(error.option_name, 'with what it needs')}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        if isinstance(error.param, click.Option):
            return f"write {error.param.opts[0]} {WRITTEN[error.param.opts[0]]}"
        empty = "" if command.name == "new" else "; metaexo new my-review writes an empty table to fill in"
        return f"write {line} {WRITTEN[str(error.param.name)]}{empty}"
    for i in range(len(given)):
        for j in range(i + 2, len(given) + 1):
            if Path(path := " ".join(given[i:j])).exists():
                return f'put a path with blanks in quotes: {line} "{path}"'
    if "--by" in given:
        return "write --by before each column: --by source --by isolation"
    if command.name == "report":
        return f"write {line} {given[0]} --out {given[-1]}, if that is the folder for the report"
    return f"name one at a time; {line} --help shows how"


def _option_meant(command: click.Command, option: str, line: str) -> str:
    """Return which option is meant by one that the command does not have."""
    for other in main.commands.values():
        if any(option in one.opts for one in other.params):
            return f"leave it out, or write metaexo {other.name}, which has {option}"
    named = {name.lstrip("-"): name for one in command.params for name in one.opts}
    near = nearest_word(option.lstrip("-"), named)
    return f"write {named[near]}" if near else f"leave it out; {line} --help lists the options"


class _Group(_Command, click.Group):
    """Shows an error of metaexo as its four parts, without a trace."""

    command_class = _Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            word = args[0]
            elsewhere = (name for name, words in COMMANDS.items() if word.casefold() in words.split())
            meant = next(elsewhere, None) or nearest_word(word, self.commands)
            remedy = f"write metaexo {meant}" if meant else "metaexo --help lists the commands"
            if Path(word).exists():
                remedy = f"write metaexo check {_quoted(word)}, or metaexo report {_quoted(word)}"
            raise click.UsageError(f"No such command {word!r}.\nWhat to do: {remedy}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # sheets hold letters that terminals may lack
        try:
            return super().invoke(ctx)
        except MetaexoError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # who reads, as in "| head", has seen enough
            what = (
                f"{error.filename} cannot be read or written" if error.filename else "a file cannot be used"
            )
            why = f"{what} ({error.strerror or error})"
            remedy = "close it in other programs, and look at its permissions and at the room on the disk"
            raise click.ClickException(f"{why}. What to do: {remedy}.") from error


def _quoted(path: Path | str) -> str:
    """Return a path as it is typed."""
    return f'"{path}"' if " " in str(path) else str(path)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  metaexo new my-review
  metaexo check my-review/my_studies.xlsx
  metaexo report my-review/my_studies.xlsx --measure SMD --by source --out report

\b
Exit codes:
  0  all is well
  1  something in the data, a file or a choice has to be mended; check: there are errors
  2  the line could not be understood""",
)
@click.version_option(None, "-V", "--version", package_name="metaexo", prog_name="metaexo")
def main() -> None:
    """Meta-analysis of exosome evidence: from a spreadsheet to a report."""


@main.command(
    short_help="Run the analyses of metaexo itself again.",
    epilog="""\b
Examples:
  metaexo reproduce
  metaexo reproduce 06
  metaexo reproduce --check""",
)
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
        if given and (Path(given).exists() or Path(given).suffix):
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


@main.command(
    short_help="Say what is wrong with a table, and how many effects will result.",
    epilog="""\b
Examples:
  metaexo check my_studies.xlsx
  metaexo check my_studies.csv --measure SMD --map "my heading=treatment_sd"
  metaexo check my_studies.csv --copy corrected.xlsx""",
)
@click.argument("path", type=PATH)
@MAP
@SHEET
@click.option("--copy", type=PATH, help="Write what was read as a new .xlsx or .csv.")
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


@main.command(
    short_help="Write an empty table to fill in.",
    epilog="""\b
Examples:
  metaexo new my-review""",
)
@click.argument("folder", type=PATH)
def new(folder: Path) -> None:
    """Write an empty table for your studies into FOLDER: a workbook, and the same as CSV.

    Nothing is written over a file.
    """
    if folder.suffix.lower() in (".xlsx", ".csv", ".xls", ".ods"):
        remedy = f"write metaexo new {_quoted(folder.with_suffix(''))}"
        raise InputError(f"{folder} is the name of a file", "the name of a folder", remedy)
    workbook, table = mx.new_table(folder)
    shown, out = _quoted(workbook), _quoted(folder / "report")
    click.echo(f"written: {workbook} and the same as {table.name}")
    click.echo("1. Fill in one of the two, a row per comparison, and delete the three examples.")
    click.echo(f"2. Check it:    metaexo check {shown}")
    click.echo(f"3. Report it:   metaexo report {shown} --measure SMD --by source --by isolation --out {out}")


@main.command(
    short_help="Write a report on a table of studies.",
    epilog="""\b
Examples:
  metaexo report my_studies.xlsx
  metaexo report my_studies.xlsx --measure SMD --by source --by isolation --out report
  metaexo report my_studies.xlsx --where "species == 'mouse'" --out mice""",
)
@click.argument("path", type=PATH)
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
@click.option("--out", type=PATH, default="report", show_default=True, help="Folder.")
def report(path: Path, by: Sequence[str], mapped: Sequence[str], out: Path, **choices: Any) -> None:
    """Write a report on the studies in PATH (a workbook, a CSV file, or a folder of sheets) into a folder.

    The page report.html opens with the answer in five sentences; report.docx says the same. Nothing of your
    file is changed.
    """
    import matplotlib

    matplotlib.use("agg")
    start = time.perf_counter()
    for columns in by:
        names = [name.strip() for name in columns.split(",") if name.strip()] or ["source"]
        if len(names) > 1 or not columns.strip():
            remedy = f"write {' '.join(f'--by {_quoted(name)}' for name in names)}"
            raise InputError(f"--by is {columns!r}", "one column for each --by", remedy)
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
