"""Mixed models of counts beside metafor and lme4 in one run: python -m benchmarks.count_models [--small].

Ten thousand random sparse data sets are fitted by each model in one call, and one by one the first of them
and a published one; metafor's rma.glmm fits the same ones, as many as take it some seconds. What both find is
compared. Writes benchmarks/count_models.md.

R needs lme4, for the exact conditional model BiasedUrn as well; on Debian

    apt-get install r-base-core r-cran-metafor r-cran-metadat r-cran-jsonlite r-cran-lme4 r-cran-biasedurn
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

import metaexo as mx
from benchmarks.cases import SEED, Array
from metaexo.errors import MetaexoError, NotIdentifiableError, TooFewStudiesError
from metaexo.formatting import markdown_table, number
from metaexo.models import ManyCountFits

HERE = Path(__file__).parent
PAGE = HERE / "count_models.md"
SETS = 10_000
TIMES = 20
STUDIES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
# Nielweise et al. (2007): infections and patients with an anti-infective-treated catheter, and with another.
PUBLISHED = (
    [0, 1, 2, 0, 5, 1, 1, 1, 1, 1, 0, 0, 3, 6, 0, 0, 1, 4],
    [116, 44, 208, 130, 151, 98, 174, 74, 97, 113, 66, 70, 188, 187, 118, 252, 345, 64],
    [3, 3, 9, 7, 6, 4, 3, 2, 19, 2, 7, 1, 5, 11, 0, 1, 3, 1],
    [117, 35, 195, 136, 157, 139, 177, 39, 103, 122, 64, 58, 175, 180, 105, 262, 362, 69],
)


@dataclass(frozen=True)
class Work:
    """A model, and how many of the data sets R fits."""

    name: str
    model: str  # as in metafor
    points: int  # of the quadrature, the same on both sides
    by_r: int

    @property
    def one_arm(self) -> bool:
        """Whether only the treated arm is used."""
        return self.model == "PLO"


WORKS = (
    Work("one arm, logit", "PLO", 7, 40),
    Work("conditional, approximate", "CM.AL", 7, 40),
    Work("conditional, exact", "CM.EL", 7, 3),
    Work("unconditional, study intercepts estimated", "UM.FS", 7, 20),
    Work("unconditional, random study intercepts", "UM.RS", 1, 20),
)


def sparse_sets(size: int) -> list[tuple[Array, Array]]:
    """Return `size` meta-analyses of two arms, those with the same number of studies together.

    5 to 200 people in an arm, mean risks from 0.2% to 10%, which vary between studies with a standard
    deviation of up to 1 on the logit scale, and log odds ratios with a mean of about 0 +- 0.7 and a tau of up
    to 1.2.
    """
    rng = np.random.default_rng([SEED, 15])
    k = rng.choice(STUDIES, size)
    found = []
    for studies in STUDIES:
        m = int((k == studies).sum())
        n = rng.integers(5, 201, (m, studies, 2)).astype(float)
        risk = np.log(rng.uniform(0.002, 0.1, (m, 1, 1)))
        level = risk + rng.normal(size=(m, studies, 1)) * rng.uniform(0, 1, (m, 1, 1))
        effect = 0.7 * rng.normal(size=(m, 1, 1)) + rng.normal(size=(m, studies, 1)) * rng.uniform(
            0, 1.2, (m, 1, 1)
        )
        x = rng.binomial(n.astype(int), expit(level + effect * np.array([0.5, -0.5])))
        found.append((x.astype(float), n))
    return found


def arms_of(work: Work, x: Array, n: Array) -> tuple[Array, Array]:
    """Return the arms that a model uses."""
    return (x[..., :1], n[..., :1]) if work.one_arm else (x, n)


def together(work: Work, sets: list[tuple[Array, Array]]) -> tuple[float, list[ManyCountFits]]:
    """Fit all data sets in calls of many; return the processor time and the fits."""
    model = None if work.one_arm else work.model
    before = time.process_time()
    found = [
        mx.models.fit_many_counts(*arms_of(work, x, n), model=model, points=work.points)
        for x, n in sets
        if len(x)
    ]
    return time.process_time() - before, found


def alone(work: Work, x: Array, n: Array) -> tuple[float, str]:
    """Fit one data set; return the processor time, and "" or how it ended."""
    counts = mx.effects.EventCounts(*arms_of(work, x, n))
    before = time.process_time()
    said = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit = mx.CountGLMM(counts, model=None if work.one_arm else work.model).fit(points=work.points)
            said = "" if fit.certificate.certified else "not certified"
    except (NotIdentifiableError, TooFewStudiesError):
        said = "refused"
    except (MetaexoError, Warning) as error:
        said = f"{type(error).__name__}: {error}"
    return time.process_time() - before, said


def chosen(sets: list[tuple[Array, Array]], size: int) -> list[tuple[int, int]]:
    """Return places of data sets, spread over the numbers of studies: positions of part and set."""
    some = [(part, i) for i in range(size) for part in range(len(sets)) if i < len(sets[part][0])]
    return some[:size]


def time_r(works: tuple[Work, ...], sets: list[tuple[Array, Array]]) -> dict[str, Any]:
    """Return what metafor took and found: first the published data set, then some of the sparse ones."""
    names = ("x1", "n1", "x2", "n2")
    content = []
    for work in works:
        problems = [dict(zip(names, PUBLISHED, strict=True))]
        for part, i in chosen(sets, work.by_r):
            x, n = sets[part][0][i], sets[part][1][i]
            columns = (x[:, 0], n[:, 0], x[:, 1], n[:, 1])
            problems.append(dict(zip(names, (c.tolist() for c in columns), strict=True)))
        content.append({"name": work.name, "model": work.model, "points": work.points, "sets": problems})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problems.json"
        path.write_text(json.dumps(content))
        command = ["Rscript", str(HERE / "time_counts.R"), str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def compared(
    work: Work, sets: list[tuple[Array, Array]], fits: list[ManyCountFits], theirs: Any
) -> tuple[int, int]:
    """Return how many estimates agree within 1% of a standard error, and how many R has without a doubt."""
    whole = [fit for fit, (x, _) in zip(fits, [s for s in sets if len(s[0])], strict=True)]
    same = of = 0
    for (part, i), one in zip(chosen(sets, work.by_r), theirs["sets"][1:], strict=True):
        ours = whole[part]
        if one["stopped"] or one["doubtful"] or not ours.certified[i]:
            continue
        of += 1
        same += abs(one["estimate"] - ours.estimate[i]) <= 0.01 * ours.se[i]
    return same, of


def run(works: tuple[Work, ...], size: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return one line per model with what both sides took and found."""
    sets = sparse_sets(size)
    versions = time_r(works, sets)
    theirs = {work["name"]: work for work in versions.pop("works")}
    lines = []
    for work in works:
        taken, fits = together(work, sets)
        infinite = sum(int(f.infinite.sum()) for f in fits)
        few = sum(int((~np.isfinite(f.estimate) & ~f.infinite).sum()) for f in fits)
        good = sum(int(f.certified.sum()) for f in fits)
        singles = [alone(work, sets[p][0][i], sets[p][1][i]) for p, i in chosen(sets, min(size, 400))]
        x, n = np.array(PUBLISHED[::2], dtype=float).T, np.array(PUBLISHED[1::2], dtype=float).T
        published = min(alone(work, x, n)[0] for _ in range(5))
        line: dict[str, Any] = {
            "work": work,
            "each": taken / size,
            "alone": float(np.median([seconds for seconds, _ in singles])),
            "published": published,
            "fits": good,
            "refused": infinite + few,
            "failed": size - good - infinite - few + sum(said not in ("", "refused") for _, said in singles),
        }
        by_r = theirs.get(work.name)
        if by_r is not None:
            some = by_r["sets"][1:]
            same, of = compared(work, sets, fits, by_r)
            line |= {
                "r": float(np.mean([one["seconds"] for one in some])),
                "r_published": by_r["sets"][0]["seconds"],
                "r_stopped": sum(one["stopped"] for one in some),
                "r_doubtful": sum(one["doubtful"] and not one["stopped"] for one in some),
                "r_of": len(some),
                "same": f"{same} of {of}",
            }
        lines.append(line)
    return lines, versions


def milliseconds(value: float) -> str:
    """Return a time in milliseconds."""
    return number(1000 * value, 1 if value < 0.1 else 0)


def table(lines: list[dict[str, Any]]) -> str:
    """Return times and ratios in Markdown."""
    rows = []
    for line in lines:
        work = line["work"]
        mine = [milliseconds(line[name]) for name in ("each", "alone", "published")]
        head = [f"{work.name} ({work.model})", str(work.points), *mine]
        if "r" not in line:
            rows.append([*head, "not there", "", "", "", ""])
            continue
        ratios = (
            line["r"] / line["each"],
            line["r"] / line["alone"],
            line["r_published"] / line["published"],
        )
        theirs = [milliseconds(line[name]) for name in ("r", "r_published")]
        rows.append([*head, *theirs, *(f"{ratio:,.0f}" for ratio in ratios)])
    columns = ["model", "points", "in one call, ms each", "one by one, ms", "published, ms", "metafor, ms"]
    columns += ["metafor, published, ms", "times, in one call", "times, one by one", "times, published"]
    return markdown_table(rows, columns, left=1)


def endings(lines: list[dict[str, Any]]) -> str:
    """Return how the fits ended, in Markdown."""
    rows = []
    for line in lines:
        mine = [f"{line[name]:,}" for name in ("fits", "refused", "failed")]
        theirs = [""] * 3
        if "r" in line:
            of = line["r_of"]
            theirs = [f"{line['r_stopped']} of {of}", f"{line['r_doubtful']} of {of}", line["same"]]
        rows.append([f"{line['work'].name} ({line['work'].model})", *mine, *theirs])
    columns = ["model", "fits", "refused, infinite estimates", "failures", "metafor stopped"]
    return markdown_table(rows, [*columns, "metafor in doubt", "same estimate"], left=1)


def page(lines: list[dict[str, Any]], versions: dict[str, Any], size: int) -> str:
    """Return the page."""
    slow = [line["work"].model for line in lines if "r" in line and line["r"] < TIMES * line["each"]]
    failed = sum(line["failed"] for line in lines)
    verdict = (
        f"In one call every model is at least {TIMES} times as fast as metafor"
        if not slow
        else f"In one call less than {TIMES} times as fast as metafor: {', '.join(slow)}"
    )
    failures = "there is no failure" if not failed else f"{failed} failures"
    return (
        "# Mixed models of counts: speed, and whether they end\n\n"
        "Made by `python -m benchmarks.count_models` in one run on one machine, both sides in\n"
        f"processor time. {size:,} random sparse data sets of {STUDIES[0]} to {STUDIES[-1]} studies; "
        "metafor fits the first of them.\n"
        f"{verdict}; {failures}: each data set has a\n"
        "certified maximum, or the refusal that an estimate is infinite. One by one a fit is a Python\n"
        "object with all its tables, made by some hundreds of calls of numpy, which sets the least time.\n"
        "Published: Nielweise et al. (2007), 18 trials. R needs the Debian packages r-cran-metafor,\n"
        "r-cran-lme4 and, for the exact conditional model, r-cran-biasedurn.\n\n"
        f"{table(lines)}\n\n"
        "How they end. metafor stops with an error, or warns that it did not converge; where it does\n"
        "neither, its estimate is the same as ours if it is within 1% of a standard error. With random\n"
        "study intercepts metafor leaves double-zero studies out, and here they count.\n\n"
        f"{endings(lines)}\n\n"
        f"Python {platform.python_version()}, numpy {np.__version__}, {versions['R']}, metafor "
        f"{versions['metafor']}, lme4 {versions['lme4']}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}.\n"
    )


def main(arguments: list[str]) -> None:
    """Time everything and write the page; --small is a trial that writes nothing."""
    small = "--small" in arguments
    size = 200 if small else SETS
    lines, versions = run(WORKS, size)
    text = page(lines, versions, size)
    print(text)
    if not small:
        PAGE.write_text(text, encoding="utf8")


if __name__ == "__main__":
    main(sys.argv[1:])
