"""Cases of effect sizes and conversions where the reference is not the better answer.

As in `rules`: a rule compares whatever can be compared at the tolerance of the case, and demands proof for
the rest, by a computation that shares nothing with ours.
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
from metaexo.effects import delta
from metaexo.effects.corrections import unbiased_correlation
from metaexo.effects.tetrachoric import tetrachoric_correlation
from tests.reference.adapters.effect_conversions import column
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare

Rule = Callable[[Case, dict[str, Any]], Comparison]
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
LARGEST_INTEGER = 2**31 - 1


def _demand(found: Comparison, words: str, holds: bool) -> None:
    if holds:
        found.agreed += 1
    else:
        found.different.append(words)


def _without(
    case: Case, actual: dict[str, Any], fields: Iterable[str] = (), rows: Iterable[int] = ()
) -> Comparison:
    """Compare at the tolerance of the case, without some fields and without some rows of each column."""
    gone, skipped = set(fields), set(rows)
    expected = {name: value for name, value in case["results"].items() if name not in gone}
    ours = {name: actual[name] for name in expected if name in actual}
    for name, value in expected.items():
        if isinstance(value, list) and name in ours:
            kept = [i for i in range(len(value)) if i not in skipped]
            expected[name] = [value[i] for i in kept]
            ours[name] = [np.asarray(ours[name])[i] for i in kept]
    return compare(ours, expected, case["rtol"], case["atol"])


def exact_factor(m: int) -> Decimal:
    """Return the small-sample factor J(m) to 50 digits, by Gamma(x + 1) = x Gamma(x) alone."""
    with localcontext() as context:
        context.prec = 50
        start = 2 if m % 2 == 0 else 3
        ratio = 1 / PI.sqrt() if start == 2 else PI.sqrt() / 2
        for k in range(start, m, 2):
            ratio = ratio * k / (k - 1)
        return ratio / (Decimal(m) / 2).sqrt()


def cancelled_digits(case: Case, actual: dict[str, Any]) -> Comparison:
    """The unbiased variance of large samples: the reference's J is a difference of large log-gammas."""
    found = _without(case, actual, fields=("vi",))
    n = {name: column(case["data"], name) for name in ("n1i", "n2i", "ni") if name in case["data"]}
    measure = case["call"]["measure"]
    m, base = {
        "SMD": lambda: (n["n1i"] + n["n2i"] - 2, 1 / n["n1i"] + 1 / n["n2i"]),
        "SMD1": lambda: (n["n2i"] - 1, 1 / n["n1i"] + 1 / n["n2i"]),
        "SMCC": lambda: (n["ni"] - 1, 1 / n["ni"]),
        "SMCR": lambda: (
            n["ni"] - 1,
            2 * (1 - unbiased_correlation(column(case["data"], "ri"), n["ni"])) / n["ni"],
        ),
    }[measure]()
    for i, theirs in enumerate(case["results"]["vi"]):
        ours = float(actual["vi"][i])
        if theirs is None:
            _demand(found, f"vi[{i}] is {ours!r}", math.isnan(ours))
            continue
        j = exact_factor(int(m[i]))
        slope = 1 - Decimal(int(m[i]) - 2) / (int(m[i]) * j * j)
        exact = base[i] + float(slope * Decimal(float(actual["yi"][i])) ** 2)
        _demand(found, f"vi[{i}] {ours!r}, exactly {exact!r}", math.isclose(ours, exact, rel_tol=1e-11))
        _demand(found, f"vi[{i}] {ours!r}, reference {theirs!r}", math.isclose(ours, theirs, rel_tol=1e-8))
    return found


def overflowed(case: Case, actual: dict[str, Any]) -> Comparison:
    """Phi of large tables: the reference multiplies the margins as 32-bit integers."""
    cells = [column(case["data"], name) for name in ("ai", "bi", "ci", "di")]
    lost = [i for i, y in enumerate(case["results"]["yi"]) if y is None and np.isfinite(actual["yi"][i])]
    found = _without(case, actual, rows=lost)
    _demand(found, "no row was lost", bool(lost))
    added = case["call"]["continuity_add"] if case["call"]["continuity_to"] in ("all",) else 0
    for i in lost:
        table = np.array([x[i] + added for x in cells])
        a, b, c, d = table
        margins = (a + b) * (c + d) * (a + c) * (b + d)
        _demand(found, f"row {i} does not overflow", margins > LARGEST_INTEGER)
        _demand(found, f"phi of row {i}", math.isclose(actual["yi"][i], _phi(table)[0]))
        slope = delta.jacobian(_phi, table)[0]
        variance = float((table * slope**2).sum())
        _demand(found, f"variance of row {i}", math.isclose(actual["vi"][i], variance, rel_tol=1e-7))
    return found


def _phi(table: np.ndarray) -> np.ndarray:
    a, b, c, d = table
    return np.array([(a * d - b * c) / math.sqrt((a + b) * (c + d) * (a + c) * (b + d))])


def correlation_at_the_end(case: Case, actual: dict[str, Any]) -> Comparison:
    """A tetrachoric correlation of 1 or -1 has no variance: the reference's Hessian there is noise."""
    cells = [column(case["data"], name) for name in ("ai", "bi", "ci", "di")]
    empty = np.flatnonzero(np.any([x == 0 for x in cells], axis=0)).tolist()
    found = _without(case, actual, rows=empty)
    for i in empty:
        theirs, v = case["results"]["yi"][i], case["results"]["vi"][i]
        if theirs is None:
            continue
        _demand(found, f"yi[{i}]", math.isclose(actual["yi"][i], theirs, abs_tol=1e-3) and abs(theirs) > 0.99)
        _demand(found, f"vi[{i}] of the reference is {v!r}", v is None or v > 1e4)
        _demand(found, f"vi[{i}] is {actual['vi'][i]!r}", bool(np.isnan(actual["vi"][i])))
    return found


def error_of_the_numerator(case: Case, actual: dict[str, Any]) -> Comparison:
    """z of an effect near 0: the allowed error of the effect, over its standard error, is allowed in z."""
    found = _without(case, actual, fields=("z",))
    expected = case["results"]
    for i, z in enumerate(expected["z"]):
        if z is not None:
            allowed = (case["atol"] + case["rtol"] * abs(expected["yi"][i])) / expected["sei"][i]
            allowed += case["rtol"] * abs(z)
            _demand(found, f"z[{i}] {actual['z'][i]!r}, reference {z!r}", abs(actual["z"][i] - z) <= allowed)
    return found


def differenced_hessian(case: Case, actual: dict[str, Any]) -> Comparison:
    """The variance of a tetrachoric correlation: the reference differences an integral twice."""
    found = _without(case, actual, fields=("vi",))
    cells = np.array([column(case["data"], name) for name in ("ai", "bi", "ci", "di")])
    for i, theirs in enumerate(case["results"]["vi"]):
        ours = float(actual["vi"][i])
        if theirs is None:
            continue
        slope = delta.jacobian(_tetrachoric_of_cells, cells[:, i])[0]
        delta_method = float((cells[:, i] * slope**2).sum())
        _demand(
            found,
            f"vi[{i}] {ours!r} by hand {delta_method!r}",
            math.isclose(ours, delta_method, rel_tol=1e-7),
        )
        _demand(found, f"vi[{i}] {ours!r}, reference {theirs!r}", math.isclose(ours, theirs, rel_tol=1e-3))
    return found


def _tetrachoric_of_cells(cells: np.ndarray) -> np.ndarray:
    a, b, c, d = cells
    return tetrachoric_correlation(*(np.array([x]) for x in (a, a + b, c, c + d)))[0]


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


def integrated_hypergeometric(case: Case, actual: dict[str, Any]) -> Comparison:
    """One unbiased correlation: the reference integrates the hypergeometric function loosely."""
    r, n = (column(case["data"], name) for name in ("ri", "ni"))
    yi = case["results"]["yi"]
    off = [i for i, y in enumerate(yi) if not math.isclose(actual["yi"][i], y, rel_tol=1e-9, abs_tol=1e-12)]
    averaged = case["call"]["variance_type"] == "AV"
    found = _without(case, actual, rows=off, fields=("vi",) if averaged else ())
    _demand(found, f"rows {off}", len(off) == 1)
    for i in off:
        exact = float(r[i]) * series(0.5, (n[i] - 2) / 2, 1 - r[i] ** 2)
        _demand(found, f"yi[{i}] by its series", math.isclose(actual["yi"][i], exact, rel_tol=1e-12))
        if case["call"]["variance_type"] == "LS":
            large = (1 - exact**2) ** 2 / (n[i] - 1)
            _demand(found, f"vi[{i}]", math.isclose(actual["vi"][i], large, rel_tol=1e-12))
        if case["call"]["variance_type"] == "UB":
            rest = 1 - r[i] ** 2
            exact = exact**2 - 1 + (n[i] - 3) / (n[i] - 2) * rest * series(1.0, n[i] / 2, rest)
            _demand(found, f"vi[{i}] by its series", math.isclose(actual["vi"][i], exact, rel_tol=1e-11))
    if averaged:
        mean = (actual["yi"] * n).sum() / n.sum()
        _demand(found, "vi", np.allclose(actual["vi"], (1 - mean**2) ** 2 / (n - 1), rtol=1e-12))
        _demand(found, "vi near", np.allclose(actual["vi"], case["results"]["vi"], rtol=1e-5))
    return found


def derivative_of_another_scale(case: Case, actual: dict[str, Any]) -> Comparison:
    """The variance of atanh(R): the reference has that of atanh(R2), which is not its effect."""
    found = _without(case, actual, fields=("vi", "sei", "z", "p_value", "ci_lower", "ci_upper"))
    r2, p, n = (column(case["data"], name) for name in ("r2i", "mi", "ni"))
    plain = effects.calculate("R2F", {"r_squared": r2, "n": n, "predictors": p}).v
    share = np.linspace(1e-4, 1 - 1e-4, 20001)
    z = np.arctanh(np.sqrt(share))
    for i, theirs in enumerate(case["results"]["vi"]):
        scaled = plain[i] / (1 - r2[i] ** 2) ** 2
        _demand(found, f"vi[{i}] of the reference {theirs!r}", math.isclose(theirs, scaled, rel_tol=1e-3))
        df = n[i] - p[i] - 1
        f = r2[i] / p[i] / ((1 - r2[i]) / df)
        weight = stats.ncf.pdf(f, p[i], df, n[i] * share / (1 - share))
        mean = (weight * z).sum() / weight.sum()
        exact = float((weight * (z - mean) ** 2).sum() / weight.sum())
        _demand(found, f"vi[{i}] {actual['vi'][i]!r}", math.isclose(actual["vi"][i], exact, rel_tol=1e-3))
    return found


def loose_expected_range(case: Case, actual: dict[str, Any]) -> Comparison:
    """The SD from the expected range of n normal values, an integral of which the reference has 7 digits."""
    found = _without(case, actual, fields=("sd",))
    n, low, high = (column(case["data"], name) for name in ("n", "min", "max"))
    for i, theirs in enumerate(case["results"]["sd"]):
        half = integrate.quad(
            lambda z, k=n[i]: -math.expm1(k * math.log(ndtr(z))) - ndtr(-z) ** k,
            0,
            9,
            epsabs=1e-12,
            limit=300,
        )[0]
        exact = (high[i] - low[i]) / (2 * half)
        _demand(found, f"sd[{i}]", math.isclose(actual["sd"][i], exact, rel_tol=1e-10))
        _demand(found, f"sd[{i}] near", math.isclose(actual["sd"][i], theirs, rel_tol=1e-7))
    return found


def lower_sum_of_squares(case: Case, actual: dict[str, Any]) -> Comparison:
    """Least squares: where the two differ, ours has the lower sum."""
    expected, data = case["results"], case["data"]
    off = [i for i, m in enumerate(expected["mean"]) if not math.isclose(actual["mean"][i], m, rel_tol=1e-3)]
    found = _without(case, actual, rows=off)
    _demand(found, f"rows {off}", len(off) <= 2)
    for i in off:
        n = data["n"][i]
        z = ndtri(np.array([1 / n, 0.25, 0.5, 0.75, 1 - 1 / n]))
        x = np.array([data[name][i] for name in ("min", "q1", "median", "q3", "max")])
        sums = []
        for mean, sd in ((actual["mean"][i], actual["sd"][i]), (expected["mean"][i], expected["sd"][i])):
            square = math.log1p((sd / mean) ** 2)
            fitted = np.exp(math.log(mean) - square / 2 + math.sqrt(square) * z)
            sums.append(float(((fitted - x) ** 2).sum()))
        _demand(found, f"sums of squares {sums}", sums[0] < sums[1])
        _demand(found, "another distribution", actual["selected_distribution"][i] == "lnorm")
    return found


def nearer_table(case: Case, actual: dict[str, Any]) -> Comparison:
    """Tables from rounded statistics: where the two differ, ours is nearer to what was reported."""
    expected, data = case["results"], case["data"]
    names = ("ai", "bi", "ci", "di")
    off = [i for i in range(len(expected["ai"])) if any(actual[x][i] != expected[x][i] for x in names)]
    found = _without(case, actual, rows=off)
    for i in off:
        sums = []
        for table in (actual, expected):
            a, b, c, d = (float(table[x][i]) for x in names)
            stats = (a / (a + c), d / (b + d), a / (a + b), d / (c + d))
            reported = (data[x][i] for x in ("sens_r", "spec_r", "ppv_r", "npv_r"))
            sums.append(sum((x - y) ** 2 for x, y in zip(stats, reported, strict=True)))
        _demand(found, f"sums of squares {sums}", sums[0] < sums[1])
    return found


def symmetric_mode(case: Case, actual: dict[str, Any]) -> Comparison:
    """A mode that is 0 by symmetry, which the reference's search misses by 1.2e-4."""
    found = compare(actual, case["results"], case["rtol"], 1.3e-4)
    mu = column(case["data"], "mu")
    _demand(found, "0", bool(np.all(np.abs(actual["value"][:, : mu.size][:, mu == 0]) < 1e-5)))
    return found


def failed_integral(case: Case, actual: dict[str, Any]) -> Comparison:
    """Means over a confined normal distribution: some integrals of the reference came out as 0 or not at all.

    Without spread it takes the inverse of Fisher's z for two other scales.
    """
    mu, tau2 = column(case["data"], "mu"), column(case["data"], "tau2")
    names = {"iarcsin": "arcsine", "iahw": "cube_root_reliability", "iabt": "log_reliability"}
    scale = effects.get_transformation(names[case["call"]["name"].split(".")[0]])
    found, failures = Comparison(), 0
    for i, row in enumerate(case["results"]["value"]):
        for j, theirs in enumerate(row):
            ours, where = float(actual["value"][i][j]), f"value[{i}][{j}]"
            if theirs is not None and math.isclose(ours, theirs, rel_tol=case["rtol"], abs_tol=case["atol"]):
                found.agreed += 1
                continue
            failures += 1
            spread = math.sqrt(tau2[i])
            failed = theirs is None or theirs == 0
            if spread == 0:
                failed = math.isclose(theirs, math.tanh(mu[j]), rel_tol=1e-12)
            exact = _confined_mean(scale, float(mu[j]), spread) if spread else float(scale.inverse(mu[j]))
            _demand(found, f"{where} of the reference is {theirs!r}", failed)
            _demand(found, f"{where} {ours!r}, {exact!r}", math.isclose(ours, exact, rel_tol=1e-8))
    _demand(found, f"{failures} failures", 0 < failures <= 10)
    return found


def _confined_mean(scale: effects.Transformation, mu: float, tau: float) -> float:
    """Return the mean of the inverse over the confined normal distribution, by adaptive quadrature."""
    low, high = max(scale.low, mu - 12 * tau), min(scale.high, mu + 12 * tau)
    if mu < scale.low:
        low, high = scale.low, min(scale.high, scale.low + 60 * tau**2 / (scale.low - mu))
    peak = min(max(mu, low), high)

    def weight(z: float) -> float:
        return math.exp(((peak - mu) ** 2 - (z - mu) ** 2) / (2 * tau**2))

    points = [peak] if low < peak < high else None
    options: dict[str, Any] = {"epsabs": 0, "epsrel": 1e-11, "limit": 500, "points": points}
    top = integrate.quad(lambda z: weight(z) * float(scale.inverse(np.asarray(z))), low, high, **options)[0]
    return top / integrate.quad(weight, low, high, **options)[0]


def wrong_end(case: Case, actual: dict[str, Any]) -> Comparison:
    """Modes of densities with a pole at an end: for a mean at or beyond the other end, it is that.

    Without spread the mode is the inverse itself; the reference takes the arcsine scale's for two others.
    """
    mu = np.tile(column(case["data"], "mu"), 5)
    names = {"iarcsin": "arcsine", "iahw": "cube_root_reliability", "iabt": "log_reliability"}
    scale = effects.get_transformation(names[case["call"]["name"].split(".")[0]])
    theirs, ours = np.array(case["results"]["value"]), np.array(actual["value"])
    found = Comparison()
    _demand(found, "without spread", np.allclose(ours[0], scale.inverse(mu), rtol=1e-14))
    arcsine = effects.get_transformation("arcsine").inverse(mu)
    _demand(found, "theirs without spread", np.allclose(theirs[0], arcsine))
    wrong = (mu[None, :] <= 0) & (theirs[1:] > 0.999)
    _demand(found, "the other end", bool((ours[1:][wrong] == 0).all()))
    rest = compare(ours[1:][~wrong], theirs[1:][~wrong].tolist(), case["rtol"], case["atol"])
    found.different += rest.different
    found.agreed += rest.agreed
    return found


def squares_for_a_trace(case: Case, actual: dict[str, Any]) -> Comparison:
    """The variance of second order is trace(HVHV)/2; the reference sums the squares of the entries of HV."""
    found = _without(case, actual, fields=("se", "z", "p_value", "ci_lower", "ci_upper"))
    b, v = np.array(case["data"]["estimate"]), np.array(case["data"]["vcov"])
    function = {
        "exp(b1)": lambda x: np.array([math.exp(x[0])]),
        "b1/b3": lambda x: np.array([x[0] / x[2]]),
        "b1*b2+b3^2": lambda x: np.array([x[0] * x[1] + x[2] ** 2]),
    }[case["call"]["functions"][0]]
    g, h = delta.jacobian(function, b)[0], delta.hessians(function, b)[0]
    first, hv = float(g @ v @ g), h @ v
    theirs = math.sqrt(first + (hv**2).sum() / 2)
    _demand(found, "their formula", math.isclose(case["results"]["se"][0], theirs, rel_tol=1e-5))
    # a quadratic function of normal variables: its variance by the sum over the roots of HV
    roots = np.linalg.eigvals(hv)
    exact = math.sqrt(first + float((roots**2).sum().real) / 2)
    _demand(found, "ours", math.isclose(actual["se"][0], exact, rel_tol=1e-7))
    return found


EFFECT_RULES: dict[str, Rule] = {
    name: rule
    for rule, names in (
        (
            cancelled_digits,
            "syn_pub_twogroup/effect_sizes/raw_SMD_vtype=UB syn_pub_twogroup/effect_sizes/raw_SMD1_vtype=UB "
            "syn_pub_prepost/effect_sizes/raw_SMCC_vtype=UB syn_pub_prepost/effect_sizes/raw_SMCR_vtype=UB",
        ),
        (
            overflowed,
            "bcg/effect_sizes/raw_PHI_add=0.5_to=if0all bcg/effect_sizes/raw_PHI_add=0.5_to=none "
            "egger2001/effect_sizes/raw_PHI_add=0.5_to=none",
        ),
        (
            correlation_at_the_end,
            "bourassa1996/effect_sizes/raw_RTET gibson2002/effect_sizes/tables_RTET "
            "nielweise2007/effect_sizes/raw_RTET nissen2007/effect_sizes/raw_RTET "
            "syn_pub_tables/effect_sizes/raw_RTET",
        ),
        (error_of_the_numerator, "bcg/effect_sizes/raw_RTET bcg/effect_sizes/raw_ZTET"),
        (
            differenced_hessian,
            "bcg/effect_sizes/raw_tetrachoric_exact hine1989/effect_sizes/raw_tetrachoric_exact "
            "lee2004/effect_sizes/raw_tetrachoric_exact",
        ),
        (
            integrated_hypergeometric,
            "cohen1981/effect_sizes/raw_UCOR_vtype=LS cohen1981/effect_sizes/raw_UCOR_vtype=UB "
            "cohen1981/effect_sizes/raw_UCOR_vtype=AV",
        ),
        (
            derivative_of_another_scale,
            "aloe2013/effect_sizes/raw_ZR2F syn_pub_regression/effect_sizes/raw_ZR2F",
        ),
        (loose_expected_range, "syn_pub_five_number/conversions/range_only_walter2007"),
        (lower_sum_of_squares, "syn_pub_five_number/conversions/skewed_qe"),
        (nearer_table, "syn_pub_reconstruct_tables/conversions/from_diagnostic_rounded"),
        (symmetric_mode, "syn_pub_transformations/conversions/transf_ztor_mode"),
        (
            failed_integral,
            "syn_pub_transformations/conversions/transf_iarcsin_int "
            "syn_pub_transformations/conversions/transf_iahw_int "
            "syn_pub_transformations/conversions/transf_iabt_int",
        ),
        (
            wrong_end,
            "syn_pub_transformations/conversions/transf_iahw_mode "
            "syn_pub_transformations/conversions/transf_iabt_mode "
            "syn_pub_transformations/conversions/transf_iarcsin_mode",
        ),
        (
            squares_for_a_trace,
            "syn_pub_wald_delta/conversions/deltamethod_order2_exp_b1 "
            "syn_pub_wald_delta/conversions/deltamethod_order2_ratio_b1_b3 "
            "syn_pub_wald_delta/conversions/deltamethod_order2_product",
        ),
    )
    for name in names.split()
}
