"""Columns of a whole sheet that are exchanged: mean and SD, a number and n, the treated arm and the control.

No row stands out then, and nothing is impossible. What is usual in animals and people decides:

* mean and SD: of a quantity that is never negative the SD is above the mean in 95% of the rows, by 1.5 times
  in the median study; or it is so in one arm, and in the other in 5% at most;
* mean and n, SD and n: the other column holds whole numbers alone, as n does, and is the same in both arms
  in half of the rows or more, while the sizes are not whole, or differ between the arms in every row;
* treatment and control: where rows say which direction is better, four of five studies find exosomes worse,
  by four standard errors together, and no row finds them better by two.

Four studies at least are needed. How often a question was asked, in 1,000 simulated sheets without an
exchange (n of 4 to 12, equal in seven of ten rows; log-normal CV, different by sheet and by study, about
0.25, and about 0.8 as in counts and gene expression; effects of 1.2 SDs, or of none), and how often the right
one was, in 500 with one:

=======  ========  =======  ===========  ==============  =======  =========  ====
studies  CV 0.25   CV 0.8   mean and SD  of one arm      SD, n    mean, n    arms
=======  ========  =======  ===========  ==============  =======  =========  ====
4        0.002     0.02     0.83         0.85            0.74     0.80       0.64
6        0.000     0.008    0.80         0.84            0.78     0.81       0.84
30       0.000     0.000    0.80         0.78            0.77     0.81       0.85
=======  ========  =======  ===========  ==============  =======  =========  ====

(Monte Carlo errors of at most 0.02.) Where exosomes do harm, the question of the arms is asked as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import ExchangedNumbersWarning
from metaexo.evidence.slips.rows import ARMS, Checks, Rows, Slip, Slips
from metaexo.types import Array, Mask

CHECKS = Checks()
FEWEST_STUDIES = 4
ABOVE = 1.5
"""Median SD over mean from which mean and SD are taken for exchanged."""
NEARLY_ALL = 0.95
"""Share of rows in which the SD is above the mean where they are exchanged."""
SAME = 0.5
"""Share of rows in which a column has one number in both arms, as sizes have."""
AGAINST = 0.8
"""Share of studies that find exosomes worse where the arms are exchanged."""
CLEAR, CLEAR_TOGETHER = 2.0, 4.0
"""Standard errors from which the effect of one study is clear, and that of all together."""
PARTS = {"mean": "mean", "sd": "SD", "n": "n"}
FIRST = "look at two or three of the papers"


def _numbers(rows: Rows) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the numbers of both arms, a row each, of comparisons that have them all, and their studies."""
    usable = np.isin(rows.words("contrast"), ("exosome_vs_control", ""))
    usable &= np.array([not said for said in rows.words("caution")], dtype=bool)
    usable &= ~np.isin(rows.words("use"), ("apart",))
    found = {part: np.stack([rows.numbers(f"{arm}_{part}") for arm in ARMS], axis=1) for part in PARTS}
    usable &= np.all([np.isfinite(values).all(axis=1) for values in found.values()], axis=0)
    at = np.flatnonzero(usable)
    kept = {part: values[at] for part, values in found.items()} | {"at": at}
    return kept, [rows.sheet.study(int(i)) for i in at]


@CHECKS.add(
    "exchanged columns",
    "columns of the whole sheet that are exchanged: mean and SD, a number and n, treatment and control",
    ExchangedNumbersWarning,
    raw=True,
)
def _exchanged_columns(rows: Rows) -> Slips:
    of, studies = _numbers(rows)
    if len({*studies}) < FEWEST_STUDIES:
        return
    found = list(_exchanged(of, studies))
    for arms, first, second in found:
        columns = ", ".join(f"{arm}_{first} and {arm}_{second}" for arm in arms)
        one, other = PARTS[first], PARTS[second]
        yield Slip(
            int(of["at"][0]),
            f"{arms[0]}_{first}",
            f"are the columns of {one} and {other} exchanged in the whole sheet ({columns})? "
            f"{_why(first, second)}",
            f"the {one} in {arms[0]}_{first}, the {other} in {arms[0]}_{second}",
            f"{FIRST}; if they are exchanged, exchange the two headings; if not, write why in the column "
            "caution",
            reading=f"{one} and {other} exchanged",
            rows=tuple(map(int, of["at"])),
        )
    better = np.array(rows.words("better"), dtype=object)[of["at"]]
    if not found and arms_turned(
        of, studies, np.select([better == "higher", better == "lower"], [1.0, -1.0])
    ):
        yield Slip(
            int(of["at"][0]),
            "treatment_mean",
            f"are the arms exchanged in the whole sheet? Of {len({*studies})} studies four in five and more "
            "find exosomes worse, and none clearly better, by the direction in the column better",
            "the arm with exosomes in the columns of treatment",
            f"{FIRST}; if the arms are exchanged, exchange the headings of treatment and control; if the "
            "direction of benefit is wrong, correct the column better; if exosomes do harm here, write so in "
            "the column caution",
            reading="treatment and control exchanged",
            rows=tuple(map(int, of["at"])),
        )


def _why(first: str, second: str) -> str:
    if second == "n":
        return (
            f"The column of {PARTS[first]} holds whole numbers, mostly the same in both arms, as sizes are, "
            "and the column of n does not"
        )
    return "The SD is above the mean in nearly every row"


def _exchanged(of: dict[str, Array], studies: list[str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield the columns that are exchanged: the arms, and the two numbers."""
    for part in ("sd", "mean"):
        if sizes_elsewhere(of[part], of["n"]):
            yield ARMS, part, "n"
            return
    above = spread_above(of["mean"], of["sd"], studies)
    if above.any():
        yield tuple(arm for arm, is_above in zip(ARMS, above, strict=True) if is_above), "mean", "sd"


def sizes_elsewhere(other: Array, n: Array) -> bool:
    """Return whether a column looks like sizes of groups, and the sizes do not.

    Examples
    --------
    >>> sizes = np.array([[8.0, 8], [10, 10], [6, 6], [7, 9]])
    >>> sds = np.array([[1.2, 0.9], [2.5, 2.1], [3, 1.8], [0.7, 1.1]])
    >>> sizes_elsewhere(sizes, sds), sizes_elsewhere(sds, sizes)
    (True, False)
    """
    whole = bool(np.all((other == np.round(other)) & (other >= 1)))
    same = float((other[:, 0] == other[:, 1]).mean())
    apart = bool(np.any(n != np.round(n))) or bool(np.all(n[:, 0] != n[:, 1]))
    return whole and same >= SAME and apart


def spread_above(mean: Array, sd: Array, studies: list[str]) -> Mask:
    """Return of which arms mean and SD are exchanged, by the SD over the mean."""
    if np.any(mean <= 0) or np.any(sd <= 0):
        return np.zeros(2, dtype=bool)
    ratio = np.log(sd / mean)
    names = np.array(studies, dtype=object)
    of_study = np.array([np.median(ratio[names == name], axis=0) for name in dict.fromkeys(studies)])
    middle = np.median(of_study, axis=0) > np.log(ABOVE)
    share = (ratio > 0).mean(axis=0)
    above = middle & (share >= NEARLY_ALL)
    one = above & (share <= 1 - NEARLY_ALL)[::-1]
    return np.asarray(np.where(one.any(), one, above.all()), dtype=bool)


def arms_turned(of: dict[str, Array], studies: list[str], better: Array) -> bool:
    """Return whether nearly all studies find a clear harm, and none a clear benefit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (of["mean"][:, 0] - of["mean"][:, 1]) * better
        z = apart / np.sqrt((of["sd"] ** 2 / of["n"]).sum(axis=1))
    known = np.isfinite(z) & (better != 0)
    names = np.array(studies, dtype=object)
    of_study = np.array([np.median(z[known & (names == name)]) for name in dict.fromkeys(names[known])])
    if of_study.size < FEWEST_STUDIES:
        return False
    together = of_study.sum() / np.sqrt(of_study.size)
    worse = (of_study < 0).mean() >= AGAINST
    return bool(worse and together < -CLEAR_TOGETHER and not np.any(z[known] > CLEAR))
