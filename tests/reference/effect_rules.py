"""Effect sizes where the reference is not the better answer.

A rule applies by what the call asks, and is used only where the values differ. It compares whatever can be
compared at the tolerance of the case, and demands proof for the rest from the data of the case, by a
computation that shares nothing with ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from scipy import integrate, stats
from scipy.special import ndtr, ndtri

from metaexo import effects
from metaexo.effects.conversions import delta
from metaexo.effects.corrections import unbiased_correlation
from metaexo.effects.formulas import tetrachoric_correlation
from tests.reference.adapters.effect_conversions import column
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
LARGEST_INTEGER = 2**31 - 1
# Fields that follow from effect and variance.
OF_VARIANCE = ("sei", "z", "p_value", "ci_lower", "ci_upper")
CELLS = ("ai", "bi", "ci", "di")


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case of the topic effect_sizes may fall under."""
    call = case["call"]
    measure, variance = call.get("measure"), call.get("variance_type")
    if case["topic"] != "effect_sizes":
        return []
    if measure in DEGREES_OF_FREEDOM and variance == "UB":
        return [cancelled_digits]
    if measure in ("PHI", "ZPHI"):
        return [overflowed]
    if measure in ("RTET", "ZTET"):
        return [differenced_hessian] if variance is None else [tetrachoric]
    if measure == "UCOR" and "ri" in call["columns"]:
        return [integrated_hypergeometric]
    return [derivative_of_another_scale] if measure == "ZR2F" else []


def differing(case: Case, actual: Fields, name: str) -> list[int]:
    """Return the rows of a field that differ from the reference at the tolerance of the case."""
    rows = zip(actual[name], case["results"][name], strict=True)
    return [i for i, (a, b) in enumerate(rows) if compare(float(a), b, case["rtol"], case["atol"]).different]


def without(case: Case, actual: Fields, rows: Iterable[int], fields: Iterable[str]) -> Comparison:
    """Compare at the tolerance of the case, but for some rows of some fields."""
    skipped, named = set(rows), set(fields)
    expected, ours = dict(case["results"]), dict(actual)
    for name in named & expected.keys() & ours.keys():
        kept = [i for i in range(len(expected[name])) if i not in skipped]
        expected[name] = [expected[name][i] for i in kept]
        ours[name] = [np.asarray(ours[name])[i] for i in kept]
    return compare(ours, expected, case["rtol"], case["atol"])


def cells_of(case: Case) -> np.ndarray:
    """Return the cells of the 2 x 2 tables of a case, one row a cell."""
    return np.array([column(case["data"], case["call"]["columns"][name]) for name in CELLS])


# -- small-sample corrections -------------------------------------------------------------------------------

DEGREES_OF_FREEDOM: dict[str, Callable[[dict[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]] = {
    "SMD": lambda n: (n["n1i"] + n["n2i"] - 2, 1 / n["n1i"] + 1 / n["n2i"]),
    "SMD1": lambda n: (n["n2i"] - 1, 1 / n["n1i"] + 1 / n["n2i"]),
    "SMCC": lambda n: (n["ni"] - 1, 1 / n["ni"]),
    "SMCR": lambda n: (n["ni"] - 1, 2 * (1 - unbiased_correlation(n["ri"], n["ni"])) / n["ni"]),
}


def exact_factor(m: int) -> Decimal:
    """Return the small-sample factor J(m) to 50 digits, by Gamma(x + 1) = x Gamma(x) alone."""
    with localcontext() as context:
        context.prec = 50
        start = 2 if m % 2 == 0 else 3
        ratio = 1 / PI.sqrt() if start == 2 else PI.sqrt() / 2
        for k in range(start, m, 2):
            ratio = ratio * k / (k - 1)
        return ratio / (Decimal(m) / 2).sqrt()


def cancelled_digits(case: Case, actual: Fields) -> Comparison:
    """The unbiased variance of large samples: the reference's J is a difference of large log-gammas."""
    rows = differing(case, actual, "vi")
    found = without(case, actual, rows, ("vi", *OF_VARIANCE))
    columns = case["call"]["columns"]
    given = {
        word: column(case["data"], columns[word]) for word in ("n1i", "n2i", "ni", "ri") if word in columns
    }
    m, base = DEGREES_OF_FREEDOM[case["call"]["measure"]](given)
    for i in rows:
        ours, theirs = float(actual["vi"][i]), case["results"]["vi"][i]
        j = exact_factor(int(m[i]))
        slope = 1 - Decimal(int(m[i]) - 2) / (int(m[i]) * j * j)
        exact = base[i] + float(slope * Decimal(float(actual["yi"][i])) ** 2)
        demand(found, f"vi[{i}] {ours!r}, exactly {exact!r}", math.isclose(ours, exact, rel_tol=1e-11))
        near = theirs is not None and math.isclose(ours, theirs, rel_tol=1e-8)
        demand(found, f"vi[{i}] {ours!r}, reference {theirs!r}", near)
    return found


# -- 2 x 2 tables -------------------------------------------------------------------------------------------


def overflowed(case: Case, actual: Fields) -> Comparison:
    """Phi of large tables: the reference multiplies the margins as 32-bit integers."""
    lost = [i for i, y in enumerate(case["results"]["yi"]) if y is None and np.isfinite(actual["yi"][i])]
    found = without(case, actual, lost, ("yi", "vi", *OF_VARIANCE))
    cells, call = cells_of(case), case["call"]
    with_zero = (cells == 0).any(axis=0)
    added = {"all": True, "only0": with_zero, "if0all": with_zero.any()}.get(call.get("continuity_to"), False)
    cells = cells + np.where(added, call.get("continuity_add") or 0.0, 0.0)
    is_z, fixed = call["measure"] == "ZPHI", call.get("variance_type") == "ST"
    for i in lost:
        table = cells[:, i]
        a, b, c, d = table
        margins = (a + b) * (c + d) * (a + c) * (b + d)
        demand(found, f"row {i} does not overflow", bool(margins > LARGEST_INTEGER))
        phi = float(_phi(table)[0])
        demand(found, f"effect of row {i}", math.isclose(actual["yi"][i], math.atanh(phi) if is_z else phi))
        s = delta.jacobian(_phi, table)[0]
        groups = ((a, b, s[0] - s[1]), (c, d, s[2] - s[3]))
        by_groups = sum(x * y / (x + y) * slope**2 for x, y, slope in groups)
        variance = float(by_groups if fixed else (table * s**2).sum()) / (1 - phi**2) ** (2 * is_z)
        demand(found, f"variance of row {i}", math.isclose(actual["vi"][i], variance, rel_tol=1e-7))
    return found


def _phi(table: np.ndarray) -> np.ndarray:
    a, b, c, d = table
    return np.array([(a * d - b * c) / math.sqrt((a + b) * (c + d) * (a + c) * (b + d))])


def tetrachoric(case: Case, actual: Fields) -> Comparison:
    """A tetrachoric correlation, which the reference finds by a search and an integral of some four digits.

    One of 1 or -1, of a table with an empty cell, has no variance: the reference's Hessian there is noise. z
    is compared within what the error that the case allows in the effect means for it.
    """
    cells, expected = cells_of(case), case["results"]
    of_z = case["call"]["measure"] == "ZTET"
    ends = [] if of_z else np.flatnonzero((cells == 0).any(axis=0)).tolist()
    loose = differing(case, actual, "z") if "z" in expected else []
    found = without(case, actual, ends, ("yi", "vi", *(name for name in OF_VARIANCE if name != "z")))
    found.different = [words for words in found.different if not words.startswith("z[")]
    for i in ends:
        theirs, v = expected["yi"][i], expected["vi"][i]
        if theirs is None:
            demand(found, f"yi[{i}] is {actual['yi'][i]!r}", bool(np.isnan(actual["vi"][i])))
            continue
        demand(found, f"yi[{i}]", math.isclose(actual["yi"][i], theirs, abs_tol=1e-3) and abs(theirs) > 0.99)
        demand(found, f"vi[{i}] of the reference is {v!r}", v is None or v > 1e4)
        demand(found, f"vi[{i}] is {actual['vi'][i]!r}", bool(np.isnan(actual["vi"][i])))
    for i in range(cells.shape[1]):
        ours = float(actual["yi"][i])
        if i not in ends and math.isfinite(ours):
            r = math.tanh(ours) if of_z else ours
            off = share_below(cells[:, i], r) - cells[0, i] / cells[:, i].sum()
            demand(found, f"yi[{i}] misses the first cell by {off!r}", abs(off) < 1e-9)
    for i in set(loose) - set(ends):
        allowed = (case["atol"] + case["rtol"] * abs(expected["yi"][i])) / expected["sei"][i]
        allowed += case["rtol"] * abs(expected["z"][i])
        off = abs(actual["z"][i] - expected["z"][i])
        demand(found, f"z[{i}] differs by {off!r}", bool(off <= allowed))
    return found


def share_below(table: np.ndarray, r: float) -> float:
    """Return the bivariate normal probability below the cuts of a table's margins, by adaptive quadrature."""
    a, b, c, d = table
    h, k = ndtri((a + b) / (a + b + c + d)), ndtri((a + c) / (a + b + c + d))
    root = math.sqrt(1 - r**2)

    def density(x: float) -> float:
        return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * float(ndtr((k - r * x) / root))

    edge = k / r if r else 0.0
    points = [edge] if -12 < edge < h else None
    return float(integrate.quad(density, -12, h, epsabs=1e-13, epsrel=1e-12, limit=400, points=points)[0])


def differenced_hessian(case: Case, actual: Fields) -> Comparison:
    """The variance of a tetrachoric correlation: the reference differences an integral twice."""
    rows = differing(case, actual, "vi")
    found = without(case, actual, rows, ("vi",))
    cells = cells_of(case)
    for i in rows:
        ours, theirs = float(actual["vi"][i]), case["results"]["vi"][i]
        slope = delta.jacobian(_tetrachoric_of_cells, cells[:, i])[0]
        by_hand = float((cells[:, i] * slope**2).sum())
        demand(found, f"vi[{i}] {ours!r}, by hand {by_hand!r}", math.isclose(ours, by_hand, rel_tol=1e-7))
        near = theirs is not None and math.isclose(ours, theirs, rel_tol=1e-3)
        demand(found, f"vi[{i}] {ours!r}, reference {theirs!r}", near)
    return found


def _tetrachoric_of_cells(cells: np.ndarray) -> np.ndarray:
    a, b, c, d = cells
    return tetrachoric_correlation(*(np.array([x]) for x in (a, a + b, c, c + d)))


# -- correlations -------------------------------------------------------------------------------------------


def series(a: float, c: float, z: float) -> float:
    """Return the hypergeometric function F(a, a; c; z) by its defining series, in 40 digits."""
    with localcontext() as context:
        context.prec = 40
        total = term = Decimal(1)
        first, third, x = Decimal(a), Decimal(c), Decimal(z)
        k = 0
        while term > total * Decimal(10) ** -25:
            term = term * (first + k) ** 2 / ((third + k) * (k + 1)) * x
            total += term
            k += 1
        return float(total)


def integrated_hypergeometric(case: Case, actual: Fields) -> Comparison:
    """Unbiased correlations: the reference integrates the hypergeometric function loosely."""
    r, n = (column(case["data"], case["call"]["columns"][name]) for name in ("ri", "ni"))
    kind = case["call"]["variance_type"]
    rows = differing(case, actual, "yi")
    everywhere = kind == "AV" and bool(rows)
    found = without(case, actual, rows, ("yi", *(() if everywhere else ("vi", *OF_VARIANCE))))
    if everywhere:
        found.different = [words for words in found.different if not words.startswith("vi[")]
        mean = (actual["yi"] * n).sum() / n.sum()
        demand(found, "vi", np.allclose(actual["vi"], (1 - mean**2) ** 2 / (n - 1), rtol=1e-12))
        demand(found, "vi near", np.allclose(actual["vi"], case["results"]["vi"], rtol=1e-5))
    for i in rows:
        exact, ours = float(r[i]) * series(0.5, (n[i] - 2) / 2, 1 - r[i] ** 2), float(actual["vi"][i])
        demand(found, f"yi[{i}] by its series", math.isclose(actual["yi"][i], exact, rel_tol=1e-12))
        demand(found, f"yi[{i}] near", math.isclose(exact, case["results"]["yi"][i], rel_tol=1e-2))
        if kind == "UB":
            rest = 1 - r[i] ** 2
            unbiased = exact**2 - 1 + (n[i] - 3) / (n[i] - 2) * rest * series(1.0, n[i] / 2, rest)
            demand(found, f"vi[{i}] by its series", math.isclose(ours, unbiased, rel_tol=1e-11))
        elif not everywhere:
            large = (1 - exact**2) ** 2 / (n[i] - 1)
            demand(found, f"vi[{i}]", math.isclose(ours, large, rel_tol=1e-12))
    return found


def derivative_of_another_scale(case: Case, actual: Fields) -> Comparison:
    """The variance of atanh(R): the reference has that of atanh(R2), which is not its effect."""
    expected = {name: x for name, x in case["results"].items() if name not in ("vi", *OF_VARIANCE)}
    found = compare({name: actual[name] for name in expected}, expected, case["rtol"], case["atol"])
    r2, p, n = (column(case["data"], case["call"]["columns"][name]) for name in ("r2i", "mi", "ni"))
    plain = effects.calculate("R2F", {"r_squared": r2, "n": n, "predictors": p}).v
    share = np.linspace(1e-4, 1 - 1e-4, 20001)
    z = np.arctanh(np.sqrt(share))
    for i, theirs in enumerate(case["results"]["vi"]):
        scaled = plain[i] / (1 - r2[i] ** 2) ** 2
        demand(found, f"vi[{i}] of the reference {theirs!r}", math.isclose(theirs, scaled, rel_tol=1e-3))
        df = n[i] - p[i] - 1
        f = r2[i] / p[i] / ((1 - r2[i]) / df)
        weight = stats.ncf.pdf(f, p[i], df, n[i] * share / (1 - share))
        mean = (weight * z).sum() / weight.sum()
        exact = float((weight * (z - mean) ** 2).sum() / weight.sum())
        demand(found, f"vi[{i}] {actual['vi'][i]!r}", math.isclose(actual["vi"][i], exact, rel_tol=1e-3))
    return found
