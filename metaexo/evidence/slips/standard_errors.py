"""Whether the SDs of a whole sheet, or of some of its studies, are standard errors.

Papers on animals draw bars of "mean ± SEM", and such a bar is easily typed as an SD. The effect is then too
large by the root of n and its variance takes part as if it were right, which no single row shows for certain.
What all rows show together is weighed here by one likelihood ratio.

For each study let z = log(|g| / CV): the standardised difference is divided by, and the CV multiplied by, the
SD that was typed, so that z + log n stands in a sheet where z stood, if standard errors are read as SDs; how
far the means are apart in per cent drops out. Under the reading as SDs z is normal about a centre of the
sheet, which is normal itself::

    z_i | mu ~ N(mu, s^2),  mu ~ N(m, S^2),  m = 2.0, s = 0.9, S = 0.7,

and under the reading as standard errors z_i - log n_i is. A sheet may be mixed, so that each study holds
standard errors with probability 0 or, on the other side, 1/4, 1/2, 3/4 or 1. The likelihood of the latter,
the mean of the four, over that of 0 is the ratio that is reported. Where a mean is not positive or the unit
is a logarithm, log|g| takes the place of z and half of log n that of log n. A printed t or p-value of the row
counts as well: it follows from the numbers under one reading and not under the other.

That m, s and S are usual was seen in the evidence sheets of metaexo (median CV of 0.19; median z of 2.7,
where some SDs are suspect themselves) and left below them, so that large effects alone raise no alarm.

How often the question is asked, in 3,000 simulated sheets per cell without any p-value (n of 4 to 12 per arm;
log-normal CV about 0.25 and difference about 30%, both different by sheet and by study; median |g| of 1.2):

=======  ============  ==================  =================  =================
studies  all are SDs   a quarter are SEs   half are SEs       all are SEs
=======  ============  ==================  =================  =================
6        0.04          0.40                0.53               0.59
12       0.04          0.49                0.72               0.67
30       0.03          0.82                0.94               0.76
=======  ============  ==================  =================  =================

(Monte Carlo errors of at most 0.01.) A question names eight or nine in ten of the studies with standard
errors, and in a mixed sheet one in five of the others. Outcomes with small CVs (0.08) and large effects
(median |g| of 3.4) are asked about in every second sheet: hence a question, and no error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.errors import StandardErrorsAsSDsWarning
from metaexo.evidence.slips.odd_rows import rows_exchanged
from metaexo.evidence.slips.patterns import sd_against_n
from metaexo.evidence.slips.rows import ARMS, Checks, Positions, Rows, Slip, Slips
from metaexo.formatting import plural
from metaexo.numeric.tails import t_of_tail, upper_tail
from metaexo.types import Array, Mask

CHECKS = Checks()
USUAL_CV = 0.19
"""Median CV in the evidence sheets of metaexo."""
USUAL_G = "about 1 to 2"
CENTRE, WITHIN, BETWEEN = 2.0, 0.9, 0.7
"""log(|g| / CV) of an SD: centre of sheets, and its spread within a sheet and between sheets."""
CENTRE_G, WITHIN_G, BETWEEN_G = 0.3, 0.75, 0.55
"""The same of log|g| alone."""
SMALLEST_G = 0.3
"""Effects below count as this one: the logarithm of an effect near zero says nothing."""
SHARES = (0.25, 0.5, 0.75, 1.0)
ASKED_FROM = 5.0
"""Likelihood ratio from which the question is asked."""
FEWEST_ROWS = 3
POINTS = 41
WIDEST = 3.2
"""Points, and standard deviations to either side, over which the centre of a sheet is integrated."""
NOISE_OF_T = 0.25
"""How far the logarithm of a t is from that of the printed test, which may be another test."""
MOST_OF_P = 3.0
"""Most that one p-value can add, on the scale of logarithms."""
SHARE_OF_ALL = 0.75
NAMES = ("StandardErrorsAsSDsWarning", "LargeDifferenceWarning", "UnusualCVWarning")


@dataclass(frozen=True, slots=True)
class Spreads:
    """The rows whose SDs are weighed, one entry per study.

    Attributes
    ----------
    z, n : ndarray
        log(|g| / CV), or log|g| where there is no CV, and the size of an arm; medians of the study's rows.
    has_cv : ndarray of bool
        Whether z is the first of the two.
    of_p : ndarray
        Logarithm of the likelihood ratio of the printed tests: above 0 for standard errors.
    """

    z: Array
    n: Array
    has_cv: Mask
    of_p: Array


def likelihood_ratio(spreads: Spreads) -> tuple[float, Array]:
    """Return how many times likelier standard errors are in some or all studies, and the probability of each.

    Examples
    --------
    >>> n = np.array([6.0, 8.0, 5.0, 10.0])
    >>> z = np.array([2.1, 1.7, 2.6, 2.0])
    >>> cv, no_p = np.ones(4, dtype=bool), np.zeros(4)
    >>> sds, _ = likelihood_ratio(Spreads(z, n, cv, no_p))
    >>> ses, each = likelihood_ratio(Spreads(z + np.log(n), n, cv, no_p))
    >>> sds < 1, ses > 5, each.round(2)
    (True, True, array([0.94, 0.92, 0.96, 0.95]))
    """
    centre, within, between = (
        np.where(spreads.has_cv, one, other)[:, None]
        for one, other in ((CENTRE, CENTRE_G), (WITHIN, WITHIN_G), (BETWEEN, BETWEEN_G))
    )
    u = np.linspace(-WIDEST, WIDEST, POINTS)
    log_prior = -0.5 * u**2 - np.log(np.exp(-0.5 * u**2).sum())
    shift = np.where(spreads.has_cv, 1.0, 0.5) * np.log(spreads.n)
    as_sd, as_se = (
        -0.5 * ((value[:, None] - centre - between * u) / within) ** 2
        for value in (spreads.z, spreads.z - shift)
    )
    as_se = as_se + spreads.of_p[:, None]
    none = float(_log_sum(as_sd.sum(axis=0) + log_prior))
    some, each = [], []
    for share in SHARES:
        of_se = math.log(share) + as_se
        both = of_se if share == 1 else np.logaddexp(math.log1p(-share) + as_sd, of_se)
        joint = both.sum(axis=0) + log_prior
        some.append(float(_log_sum(joint)))
        weight = np.exp(joint - some[-1])
        each.append((np.exp(of_se - both) * weight).sum(axis=1))
    weights = np.exp(np.array(some) - max(some))
    ratio = math.exp(min(float(_log_sum(np.array(some))) - math.log(len(SHARES)) - none, 700.0))
    return ratio, np.asarray(np.average(each, axis=0, weights=weights))


def _log_sum(values: Array) -> float:
    return float(np.logaddexp.reduce(values))


@CHECKS.add(
    "standard errors as SDs",
    "SDs of the whole sheet, or of some studies, that look like standard errors",
    StandardErrorsAsSDsWarning,
    "10.1002/9781119536604.ch6",
)
def _standard_errors_as_sds(rows: Rows) -> Slips:
    at, studies = _rows_with_sds(rows)
    if len(at) < FEWEST_ROWS:
        return
    g, cv, n, of_p = _of_rows(rows, at)
    groups: dict[str, list[int]] = {}
    for i, study in enumerate(studies):
        groups.setdefault(study, []).append(i)
    members = [np.array(group, dtype=np.intp) for group in groups.values()]
    log_g = np.log(np.maximum(g, SMALLEST_G))
    z = np.where(np.isfinite(cv), log_g - np.log(cv), np.nan)
    has_cv = np.array([bool(np.isfinite(z[group]).any()) for group in members])
    spreads = Spreads(
        np.array([np.nanmedian(z[m] if has else log_g[m]) for m, has in zip(members, has_cv, strict=True)]),
        np.array([np.median(n[m]) for m in members]),
        has_cv,
        np.array([of_p[m][np.argmax(np.abs(of_p[m]))] for m in members]),
    )
    ratio, each = likelihood_ratio(spreads)
    suspected = [m for m, probability in zip(members, each, strict=True) if probability > 0.5]
    if ratio < ASKED_FROM or not suspected:
        return
    here = sorted(at[int(i)] for m in suspected for i in m)
    evidence = _evidence(g, cv, n, of_p, suspected, members)
    yield _finding(here, len(suspected), len(members), ratio, evidence)


def _rows_with_sds(rows: Rows) -> tuple[list[int], list[str]]:
    """Return the rows with two SDs that no word settles, and the study of each."""
    m1, s1, n1, m2, s2, n2 = (rows.numbers(f"{arm}_{name}") for arm in ARMS for name in ("mean", "sd", "n"))
    with_se = np.any([np.isfinite(rows.numbers(f"{arm}_se")) for arm in ARMS], axis=0)
    usable = np.all(np.isfinite([m1, s1, n1, m2, s2, n2]), axis=0) & ~with_se
    usable &= (s1 > 0) & (s2 > 0) & (n1 > 1) & (n2 > 1)
    usable &= ~np.isin(rows.words("paired"), ("yes",)) & ~np.isin(rows.words("use"), ("apart",))
    usable &= np.isin(rows.words("contrast"), ("exosome_vs_control", ""))
    said, passed = rows.words("caution"), rows_exchanged(rows)
    settled = [bool(text) and ("Warning" not in text or any(name in text for name in NAMES)) for text in said]
    at = [int(i) for i in np.flatnonzero(usable) if not settled[int(i)] and int(i) not in passed]
    return at, [rows.sheet.study(i) for i in at]


@np.errstate(all="ignore")
def _of_rows(rows: Rows, at: Sequence[int]) -> tuple[Array, Array, Array, Array]:
    """Return |g|, the CV (NaN where there is none), the size of an arm, and what the printed test says."""
    m1, s1, n1, m2, s2, n2 = (
        rows.numbers(f"{arm}_{name}")[at] for arm in ARMS for name in ("mean", "sd", "n")
    )
    df = n1 + n2 - 2
    pooled = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    apart = np.abs(m1 - m2)
    g = apart / pooled * (1 - 3 / (4 * df - 1))
    units = [unit.lower() for unit in rows.words("unit")]
    log_unit = np.array(["log" in unit or unit.startswith("ln") for unit in units], dtype=bool)[at]
    usable = (m1 > 0) & (m2 > 0) & ~log_unit
    cv = np.where(usable, np.sqrt(s1 / np.where(usable, m1, 1) * s2 / np.where(usable, m2, 1)), np.nan)
    as_sd, as_se = apart / np.sqrt(s1**2 / n1 + s2**2 / n2), apart / np.sqrt(s1**2 + s2**2)
    g, cv = np.where(np.isfinite(g), g, SMALLEST_G), np.where((cv > 0) & np.isfinite(cv), cv, np.nan)
    return g, cv, np.sqrt(n1 * n2), _of_tests(rows, at, as_sd, as_se, df)


def _of_tests(rows: Rows, at: Sequence[int], as_sd: Array, as_se: Array, df: Array) -> Array:
    """Return the log likelihood ratio of the printed t or p of each row: above 0 for standard errors."""
    t = np.abs(rows.numbers("statistic")[at])
    printed_t = np.array([word == "t" for word in rows.words("reported_as")])[at] & (t > 0)
    p, relation = rows.numbers("p_value")[at], np.array(rows.words("p_relation"), dtype=object)[at]
    has_p = (p > 0) & (p < 1)
    critical = np.where(has_p, t_of_tail(np.where(has_p, p, 0.5) / 2, df), np.nan)
    exact = printed_t | (has_p & (relation == "="))
    told = np.where(printed_t, t, critical)
    with np.errstate(divide="ignore", invalid="ignore"):
        off_sd, off_se = (np.log(x / told) / NOISE_OF_T for x in (as_sd, as_se))
        above = np.log(np.maximum(_normal(off_se), 1e-9)) - np.log(np.maximum(_normal(off_sd), 1e-9))
        below = np.log(np.maximum(_normal(-off_se), 1e-9)) - np.log(np.maximum(_normal(-off_sd), 1e-9))
        ratio = np.select(
            [exact, has_p & np.isin(relation, ("<", "<=")), has_p & np.isin(relation, (">", ">="))],
            [0.5 * (off_sd**2 - off_se**2), above, below],
            0.0,
        )
    usable = np.isfinite(ratio) & (as_se > 0)
    return np.asarray(np.clip(np.where(usable, ratio, 0.0), -MOST_OF_P, MOST_OF_P))


def _normal(x: Array) -> Array:
    """Return the standard normal distribution function."""
    return upper_tail(-x, None)


def _evidence(
    g: Array, cv: Array, n: Array, of_p: Array, suspected: Sequence[Positions], members: Sequence[Positions]
) -> str:
    """Return in words what speaks for standard errors."""
    here = np.concatenate(suspected).astype(int)
    said = [f"the median standardised difference is {np.median(g[here]):.1f} ({USUAL_G} is usual in animals)"]
    if np.isfinite(cv[here]).any():
        share = 100 * float(np.nanmedian(cv[here]))
        said.append(f"they are {share:.2g}% of the means (SDs of other studies: {100 * USUAL_CV:.0f}%)")
    known = [m for m in members if np.isfinite(cv[m]).any()]
    of_study = [float(np.exp(np.nanmean(np.log(cv[m])))) for m in known]
    slope, low, high = sd_against_n(of_study, [float(np.median(n[m])) for m in known])
    if slope < 0 and low <= -0.5 <= high:
        said.append(
            f"they fall with n (slope {slope:.2f} on log scales, {low:.2f} to {high:.2f}; that of standard "
            "errors is -0.5, that of SDs 0)"
        )
    tests = int((of_p[here] > 1).sum())
    if tests:
        said.append(f"the printed t or p of {plural(tests, 'row')} fits standard errors better")
    return "; ".join(said)


def _finding(here: Sequence[int], suspected: int, studies: int, ratio: float, evidence: str) -> Slip:
    whole = suspected >= SHARE_OF_ALL * studies
    times = f"{ratio:.0f}" if ratio < 1000 else "over 1,000"
    settle = (
        "rename the headings of the SDs to say SE (treatment_se, control_se)"
        if whole
        else "move the values of these rows to columns of their own that say SE (treatment_se, control_se)"
    )
    return Slip(
        here[0],
        "treatment_sd",
        f"are these standard errors (SEM) and not SDs? The numbers of {suspected} of "
        f"{plural(studies, 'study', 'studies')} ({plural(len(here), 'row')}) are {times} times as likely if "
        f"they are: {evidence}",
        "standard deviations in treatment_sd and control_sd",
        'look at the legends of two or three of these studies: "mean ± SEM" means standard errors. If so, '
        f"{settle}; if not, write in the column caution of these rows: "
        "StandardErrorsAsSDsWarning: the papers say SD",
        reading=f"standard errors in {'the whole sheet' if whole else plural(len(here), 'row')}",
        rows=tuple(here),
    )
