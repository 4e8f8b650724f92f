"""No text of a user or of a sheet runs code, writes a file, hangs, or acts in a table that is written."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import metaexo as mx
from metaexo.conditions import rows_where
from metaexo.errors import CodebookError, MetaexoError
from metaexo.evidence import SheetErrors, Sheets, check_sheets, read_sheets
from metaexo.evidence.patterns import LONGEST_CELL, read_form
from metaexo.formatting import cell_text, html_table, latex_table, markdown_table, safe_cells, text_table
from metaexo.report.run import Analysis, Folders
from tests.evidence.folders import DATA, OUTCOMES, STUDIES, Write, write_sheet

SECONDS = 5.0
PACKAGE = (DATA / "datapackage.json").read_text(encoding="utf-8")

# What each of these would do if any part of it were executed: make the file MARK.
ACTS = (
    "__import__('os').system('touch MARK')",
    "open('MARK','w')",
    'exec(\'open("MARK","w")\')',
    'eval(\'open("MARK","w")\')',
    "study_id.to_csv('MARK')",
    "study_id.to_pickle('MARK')",
    "study_id.to_json('MARK')",
    "study_id.to_frame().to_html('MARK')",
    "study_id.to_frame().to_excel('MARK.xlsx')",
    "study_id.apply('to_csv', args=('MARK',))",
    "study_id.pipe(print)",
    "study_id.agg('to_csv', path_or_buf='MARK')",
    "study_id.values.tofile('MARK')",
    "study_id.to_frame().eval('@np.f2py.os.system(\"touch MARK\")')",
    "study_id.to_frame().eval('\\x40np.f2py.os.system(\"touch MARK\")')",
    "study_id.to_frame().query('index.to_frame().to_csv(\"MARK\")')",
    "study_id.map(''.__class__)",
    "study_id.str.__class__.__mro__[-1].__subclasses__()",
    "study_id.__class__.__init__.__globals__['__builtins__']['open']('MARK','w')",
    "().__class__.__base__.__subclasses__()",
    "@pd.io.common.os.system('touch MARK')",
    "@__builtins__.open('MARK','w')",
    "(lambda: open('MARK','w'))()",
    "[open('MARK','w') for x in [1]]",
    "{open('MARK','w')}",
    'f\'{open("MARK","w")}\'',
    "(x := open('MARK','w'))",
    "os.system('touch MARK')",
    "subprocess.run(['touch','MARK'])",
    "pickle.loads(b'cos\\nsystem\\n(S\\'touch MARK\\'\\ntR.')",
    "getattr(study_id, 'to_csv')('MARK')",
    "study_id.str.cat.__globals__",
    "study_id.str.replace('a', open)",
    "study_id.str.contains(open('MARK','w'))",
    "study_id.isin(open('MARK','w'))",
    "contains(study_id, open('MARK','w'))",
    "`study_id`.to_csv('MARK')",
    "`study_id); import os; os.system('touch MARK')`",
    "study_id; import os",
    "study_id\nimport os",
    "study_id #",
    "yield study_id",
    "await study_id",
    "import os",
    "globals()",
    "locals()['study_id']",
    "vars()",
    "print('MARK')",
    "compile('1','MARK','exec')",
    "breakpoint()",
    "study_id[open('MARK','w')]",
    "study_id if open('MARK','w') else 1",
    "*study_id",
    "**study_id",
    "study_id->x",
    "study_id ?? 1",
    "${study_id}",
    "{{study_id}}",
    "`touch MARK`",
    "$(touch MARK)",
    "; touch MARK",
    "| touch MARK",
    "&& touch MARK",
    "\x00",
    "\u202e",
    "\U0001d560pen('MARK','w')",
    "_\u200b_import_\u200b_('os')",
    "sin(study_id)",
    "study_id.str",
    "study_id.str.contains",
    "treatment_n.values",
)
FRAMES = ("{}", "{} == 1", "use != 'apart' and {} == 1", "({}) > 0 or use == 'main'", "use in [{}]")
CONDITIONS = tuple(frame.format(act) for act in ACTS for frame in FRAMES)
EXHAUSTING = (
    "(" * 20_000 + ")" * 20_000,
    "(" * 5_000 + "treatment_n" + ")" * 5_000 + " > 1",
    "-" * 20_000 + "treatment_n > 1",
    "not " * 4_900 + "use == 'x'",
    "9**9**9**9**9**9**9**9 > treatment_n",
    "treatment_n > " + "9" * 19_000,
    "use == '" + "a" * 1_000_000 + "'",
    "use in [" + "'a'," * 1_000_000 + "]",
    " or ".join(["treatment_n > 1"] * 1_000_000),
    "study_id.str.contains('(a+)+$')",
    "[" * 10_000,
    "~" * 10_000 + "use",
    "2**" * 3_000 + "treatment_n > 0",
    "contains(" * 5_000,
    "a." * 9_000 + "b",
)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder in which nothing may appear; nobody may start another program."""

    def forbidden(*arguments: object, **_: object) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    for name in ("system", "popen", "execv", "posix_spawn", "fork"):
        monkeypatch.setattr(os, name, forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    folder = tmp_path / "watched"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert sorted(path.name for path in folder.iterdir()) == []


def refused(sheets: Sheets, where: str) -> bool:
    """Return whether a condition is answered by an error of the package, in time and in few words."""
    start, said = time.perf_counter(), ""
    try:
        rows_where(sheets.outcomes, where)
    except MetaexoError as error:
        said = str(error)
    assert time.perf_counter() - start < SECONDS, where[:80]
    assert len(said) < 3_000, where[:80]
    return bool(said)


def test_conditions_run_nothing(ours: Sheets, watched: Path) -> None:
    assert len(CONDITIONS) > 100
    assert [where for where in CONDITIONS if not refused(ours, where)] == []


@pytest.mark.parametrize("where", EXHAUSTING, ids=lambda where: where[:20])
def test_conditions_do_not_exhaust_the_machine(ours: Sheets, where: str) -> None:
    """Refused or answered, within seconds."""
    refused(ours, where)


def test_effects_refuse_hostile_conditions(ours: Sheets, watched: Path) -> None:
    for where in CONDITIONS[::7]:
        with pytest.raises(MetaexoError):
            ours.effects("SMD", where=where)
        with pytest.raises(MetaexoError):
            ours.effects("SMD", where=where, sheet="direction_only", bounds=True)


def test_formulas_run_nothing(watched: Path) -> None:
    data = pd.DataFrame({"study_id": list("aabb")})
    es = mx.EffectSizes([0.1, 0.3, 0.2, 0.5], [0.02] * 4, data=data, study="study_id")
    for act in (*ACTS, *(f"study_id + {act}" for act in ACTS)):
        with pytest.raises(MetaexoError):
            mx.RandomEffects(es, moderators=act).fit()


def test_cells_run_nothing(write: Write, watched: Path) -> None:
    """Every hostile text in every column of words and of numbers."""
    texts = [text for act in ACTS if (text := act.replace("\x00", "")) and "\n" not in text]
    outcomes = [
        {
            **OUTCOMES[0],
            "outcome": text,
            "timepoint": text,
            "treatment_label": text,
            "note": text,
            "caution": text,
        }
        for text in texts
    ]
    studies = [{**STUDIES[0], "source_reported": texts[0], "isolation_reported": texts[1], "dose": texts[2]}]
    folder = write(studies=studies, outcomes=outcomes)
    assert check_sheets(folder).rows == {"studies": 1, "outcomes": len(texts)}
    bad = [{**OUTCOMES[0], "treatment_n": t, "p_relation": t, "p_value": t, "better": t} for t in texts]
    found = check_sheets(write(studies=studies, outcomes=bad))
    assert len({problem.line for problem in found.problems}) == len(texts)
    for name in ("datapackage.json", "vocabulary"):
        assert not (folder / name).exists()


PATTERNS = (
    "(a+)+$",
    "(a|a)*b",
    "(a|aa)+$",
    "(.*)*x",
    "(a*)*b",
    "([a-z]+)*1",
    "(.*a){20}",
    "(x+x+)+y",
    "^(\\w+\\s?)*$",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_catastrophic_pattern_of_a_codebook_ends_in_time(write: Write, pattern: str) -> None:
    """Tried one way after another, each of these takes hours over thirty letters."""
    folder = write(timepoint="a" * 200 + "!")
    package = json.loads(PACKAGE)
    fields = next(r for r in package["resources"] if r["name"] == "outcomes")["schema"]["fields"]
    next(f for f in fields if f["name"] == "timepoint")["constraints"] = {"pattern": pattern}
    (folder / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    start = time.perf_counter()
    found = check_sheets(folder)
    assert time.perf_counter() - start < SECONDS
    assert [problem.kind.__name__ for problem in found.problems if problem.line == 2] == ["FormError"]


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("10\\..+/.+", ["10.1/x", "10.1186/s13287"], ["10.", "doi:10.1/x", "10.1/"]),
        ("[0-9]+", ["1", "00123"], ["", "12a", "-1"]),
        (
            "(<=|>=|<|>|=)?[ ]?(0?\\.[0-9]+|0|1|[01]\\.[0-9]+)",
            ["<0.05", "= .3", "1", "0.5"],
            ["2", "<", "p<0.05"],
        ),
        ("^\\d{4}(-\\d{2}){0,2}$", ["2026", "2026-11", "2026-11-29"], ["26", "2026-1", "2026-11-29-01"]),
        ("(ab|a)(bc)?[^x-z]*", ["abc", "a", "ab", "abcq"], ["b", "abcx"]),
    ],
)
def test_patterns_mean_what_regular_expressions_mean(pattern: str, yes: list[str], no: list[str]) -> None:
    form = read_form(pattern)
    assert all(form.matches(text) for text in yes)
    assert not any(form.matches(text) for text in no)
    assert not form.matches("1" * (LONGEST_CELL + 1))


def _with(change: str) -> str:
    """Return our codebook with one thing changed, by a piece of JSON path = value."""
    package = json.loads(PACKAGE)
    outcomes = next(r for r in package["resources"] if r["name"] == "outcomes")
    match change.split("=", 1):
        case ["path", value]:
            outcomes["path"] = json.loads(value)
        case ["schema", value]:
            outcomes["schema"] = json.loads(value)
        case ["field", value]:
            outcomes["schema"]["fields"][3] = json.loads(value)
        case ["link", value]:
            outcomes["schema"]["foreignKeys"] = json.loads(value)
    return json.dumps(package)


CODEBOOKS = [
    "",
    "{",
    "[]",
    "null",
    "5",
    "{}",
    '{"resources": 5}',
    '{"resources": [5]}',
    '{"resources": [{"name": "studies"}]}',
    '{"resources": [{"path": "studies.csv"}]}',
    '{"resources": [{"name": 5, "path": "studies.csv"}]}',
    "[" * 100_000,
    '{"resources": ' + "[" * 100_000,
    _with('path="../../etc/passwd.txt\\\\x"'),
    _with('path="C:\\\\x.csv"'),
    _with("path=5"),
    _with("schema=5"),
    _with("schema={}"),
    _with('schema={"fields": []}'),
    _with('schema={"fields": 5}'),
    _with("field=5"),
    _with("field={}"),
    _with('field={"name": 5}'),
    _with('field={"name": "x", "type": 5}'),
    _with('field={"name": "x", "constraints": 5}'),
    _with('field={"name": "x", "constraints": {"enum": 5}}'),
    _with('field={"name": "x", "constraints": {"enum": [5]}}'),
    _with('field={"name": "x", "constraints": {"minimum": "one"}}'),
    _with('field={"name": "x", "constraints": {"pattern": 5}}'),
    _with('field={"name": "x", "constraints": {"pattern": "("}}'),
    _with('field={"name": "x", "constraints": {"pattern": "(?=a)"}}'),
    _with('field={"name": "x", "constraints": {"pattern": "a{1000}{1000}"}}'),
    _with('field={"name": "x", "constraints": {"required": "yes"}}'),
    _with('field={"name": "treatment_n", "type": "string"}'),
    _with("link=5"),
    _with("link=[5]"),
    _with("link=[{}]"),
    _with('link=[{"fields": ["a", "b"], "reference": {"resource": "source", "fields": "category"}}]'),
    _with('link=[{"fields": "outcome", "reference": {"resource": "source", "fields": "nothing"}}]'),
]


@pytest.mark.parametrize("text", CODEBOOKS, ids=range(len(CODEBOOKS)))
def test_a_broken_codebook_is_one_problem_that_names_the_file(write: Write, text: str) -> None:
    folder = write()
    (folder / "datapackage.json").write_text(text, encoding="utf-8")
    (problem,) = check_sheets(folder).problems
    assert problem.kind is CodebookError
    assert "datapackage.json" in problem.file
    assert problem.remedy
    with pytest.raises(SheetErrors) as caught:
        read_sheets(folder)
    assert "datapackage.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "UTF-8"),
        (b"", "no row"),
        (b"category,label\na,A\n", "group"),
        (b"category,label,group,synonyms\n,A,B,c\n", "line 2"),
        (b"category,label,group,synonyms\na,A,B,c\na,A,B,c\n", "twice"),
        (b'category,label,group,synonyms\n"a,A,B,c\n', "cannot be read"),
        (b"a" * 200_000 + b",label\n", "cannot be read"),
    ],
)
def test_a_broken_vocabulary_is_one_problem_that_names_the_file(
    write: Write, content: bytes, words: str
) -> None:
    folder = write()
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "source.csv").write_bytes(content)
    (problem,) = check_sheets(folder).problems
    assert problem.kind is CodebookError
    assert "vocabulary/source.csv" in problem.file
    assert words in str(problem)


# -- what is written -----------------------------------------------------------------------------------------

MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- 02_x -->",
    "</table><b>",
    "<?php x ?>",
    "[a](javascript:alert(1))",
    "a | b",
    "a \\| b",
    "two\nlines\r\nthree",
    "\x1b[31mred\x07",
    "nul\x00",
    "\u202egnitirw",
    "p < 0.01 & x > 2",
    "\\input{/etc/passwd}",
    "$\\write18{touch MARK}$",
    "% comment",
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")


def tags(text: str) -> set[str]:
    reader = _Tags()
    reader.feed(text)
    return set(reader.found)


@pytest.mark.parametrize("text", MARKUP)
def test_no_text_acts_in_a_table(text: str) -> None:
    rows, header = [[text, "1"]], ["x", text]
    markdown = markdown_table(rows, header)
    assert len(markdown.splitlines()) == 3
    assert tags(markdown) == set()
    assert "](" not in markdown
    assert all(line.replace(r"\\", "").replace(r"\|", "").count("|") == 3 for line in markdown.splitlines())
    assert tags(html_table(rows, header, caption=text)) == {
        "table", "caption", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    latex = latex_table(rows, header)
    assert r"\input" not in latex
    assert r"\write" not in latex
    assert "\n\n" not in latex
    assert len(text_table(rows, header).splitlines()) == 2
    for made in (markdown, latex, text_table(rows, header), html_table(rows, header)):
        assert all(sign == "\n" or sign.isprintable() for sign in made)


def test_results_of_hostile_labels_are_tables_without_tags() -> None:
    for text in MARKUP:
        data = pd.DataFrame({"g": [text, text, "b", "b", "c"]})
        es = mx.EffectSizes([0.1, 0.3, 0.2, 0.5, 0.4], [0.02] * 5, labels=[text] * 5, data=data)
        found = mx.stratify(es, by="g")
        fit = mx.RandomEffects(es, moderators="g").fit()
        for result in (found, found.pairwise(), fit):
            assert not tags(result.to_markdown()) & {"script", "img", "comment", "b"}
            assert not tags(result.to_html()) & {"script", "img", "comment", "b"}
            assert str(result)


FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("x")',
    " =1",
    "\uff0d1",
    "=cmd|' /C calc'!A0",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_written_as_a_formula(tmp_path: Path, text: str) -> None:
    """CSV cells that begin with = + - @, tab or carriage return are formulas to a spreadsheet."""
    for name in ("analyses", "data"):
        (tmp_path / name).mkdir()
    script = tmp_path / "analyses" / "01_x.py"
    analysis = Analysis(script, "x", Folders.of(tmp_path))
    frame = pd.DataFrame(
        {"label": [text, "plain"], text: [-0.5, 0.2]}, index=pd.Index([text, "b"], name=text)
    )
    written = analysis.write_table("x", frame, index=True).read_bytes().decode()
    cells = [cell for row in csv.reader(io.StringIO(written, newline="")) for cell in row]
    texts = [cell for cell in cells if cell not in ("-0.5", "0.2")]
    assert len(cells) - len(texts) == 2, "numbers stay numbers"
    assert not any(cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\uff0d")) for cell in texts)
    assert sum(cell == cell_text(text) for cell in texts) == 4


def test_safe_cells_leaves_numbers_and_plain_texts_alone() -> None:
    frame = pd.DataFrame({"y": [-0.5, None], "n": [1, 2], "t": ["a", None], "x": [-1, "b"]})
    frame["c"] = pd.Categorical(["a", "=1"])
    found = safe_cells(frame)
    assert found["y"].equals(frame["y"])
    assert found["n"].equals(frame["n"])
    assert found["x"].tolist() == [-1, "b"]
    assert found["c"].tolist() == ["a", "'=1"]
    assert frame["c"].tolist() == ["a", "=1"], "the table handed in is as it was"


def test_words_of_an_analysis_hold_no_html(tmp_path: Path) -> None:
    for name in ("analyses", "data"):
        (tmp_path / name).mkdir()
    analysis = Analysis(tmp_path / "analyses" / "01_x.py", "x", Folders.of(tmp_path))
    for text in MARKUP:
        analysis.write_summary(f"Study {text} has p < 0.01.")
    assert tags("\n".join(analysis.paragraphs)) == set()


def test_the_package_evaluates_no_text() -> None:
    """No eval, exec, reading of pickles, YAML or query in the package; pickles may be written."""
    root = Path(mx.__file__).parent
    found = []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="eval" | "exec" | "compile" | "__import__")):
                    found.append((path.name, node.lineno))
                case ast.Call(func=ast.Attribute(attr="eval" | "query" | "read_pickle")):
                    found.append((path.name, node.lineno))
                case ast.ImportFrom(module="pickle", names=[ast.alias(name="dumps")]):
                    pass
                case ast.alias(name="pickle" | "yaml" | "shelve" | "marshal"):
                    found.append((path.name, node.lineno))
                case ast.ImportFrom(module="pickle" | "yaml" | "shelve" | "marshal"):
                    found.append((path.name, node.lineno))
    assert found == []


def test_a_sheet_with_every_markup_is_checked_and_reported(write: Write) -> None:
    rows = [{**OUTCOMES[0], "timepoint": f"{i} {text}", "better": text} for i, text in enumerate(MARKUP)]
    folder = write(outcomes=[{k: str(v).replace("\x00", "") for k, v in row.items()} for row in rows])
    assert "better" in check_sheets(folder).report()
    write_sheet(folder / "studies.csv", [{**STUDIES[0], "title": text} for text in MARKUP[:1]])
