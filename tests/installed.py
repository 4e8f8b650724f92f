"""Run every example of the documentation with the installed package, from an empty folder.

    make test-wheel

Python is started with -I, so that nothing of the checkout can be imported.
"""

from __future__ import annotations

import doctest
import importlib
import io
import os
import pkgutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def examples() -> Iterator[doctest.DocTest]:
    """Yield the examples of the pages and of the docstrings."""
    import metaexo

    parser = doctest.DocTestParser()
    for path in sorted([*ROOT.glob("docs/*.rst"), *ROOT.glob("docs/*/*.rst")]):
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text(encoding="utf-8")
        yield parser.get_doctest(text, {"__name__": "__main__"}, name, str(path), 0)
    finder = doctest.DocTestFinder(exclude_empty=True)
    for found in pkgutil.walk_packages(metaexo.__path__, "metaexo."):
        if not found.name.endswith("__main__"):
            yield from finder.find(importlib.import_module(found.name), found.name)


def run(test: doctest.DocTest) -> str:
    """Return what is wrong with an example; empty if nothing is."""
    from matplotlib import pyplot

    from metaexo.errors import RowsWithoutEffectWarning

    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", RowsWithoutEffectWarning)
        doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=out.write)
    pyplot.close("all")
    return out.getvalue()


def main() -> int:
    """Run all examples; return how many failed."""
    import matplotlib

    import metaexo

    matplotlib.use("agg")
    if Path(metaexo.__file__).is_relative_to(ROOT / "metaexo"):
        raise SystemExit("the package of the checkout is imported: start Python with -I")
    start, count, failed, back = time.perf_counter(), 0, 0, Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for test in examples():
            count += len(test.examples)
            wrong = run(test) if test.examples else ""
            failed += bool(wrong)
            print(wrong, end="")
        left = sorted(os.listdir())
        os.chdir(back)
    python = ".".join(map(str, sys.version_info[:3]))
    seconds = time.perf_counter() - start
    print(f"Python {python}: {count} examples run in {seconds:.0f} s, {failed} pages or docstrings failed")
    if left:
        print("left behind:", ", ".join(left))
    return failed + bool(left)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
