"""Safety: each count has its row or its reason; every limit and number in words by scipy from the file."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from metaexo.report.run import Folders, run_analysis

NAME = "06_safety"
KINDS = {
    "adverse events": "ae_patients_treated",
    "serious adverse events": "sae_patients_treated",
    "related serious adverse events": "sae_related_treated",
    "deaths": "deaths_treated",
}
SCOPES = {
    "any adverse event": "all",
    "only events called related": "related",
    "only events called significant": "significant",
    "only one grade or kind of event": "kind",
    "only a window of time": "window",
}
ANY, SERIOUS = "any adverse event", "serious adverse events"
IMPLIED = "serious adverse events, none where there was none of any kind"
ALL, FIRM = "with doubtful reports", "without doubtful reports"
DEFINITIONS = [*SCOPES, *(kind for kind in KINDS if kind != "adverse events"), IMPLIED]
ICC = 0.05
EXACT = {"rel": 1e-6, "abs": 0}


@pytest.fixture(scope="module")
def sheet(root):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (root / "data" / "safety_events.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def counts(sheet):
    """Return a function that gives the events, people and rows of a definition, read without metaexo."""

    def counts(reports, counted):
        every = pd.DataFrame(sheet).assign(line=range(2, len(sheet) + 2))
        rows = every[
            ~every["design"].str.startswith("ae_") & (every["use"] != "apart") & (every["n_treated"] != "")
        ]
        rows = rows if reports == ALL else rows[rows["use"] != "doubtful"]
        if counted == IMPLIED:
            silent = (rows["ae_scope"] == "all") & (rows["ae_patients_treated"] == "0")
            column = rows["sae_patients_treated"].where((rows["sae_patients_treated"] != "") | ~silent, "0")
        else:
            column = rows[KINDS["adverse events" if counted in SCOPES else counted]]
            column = column.where(rows["ae_scope"] == SCOPES[counted], "") if counted in SCOPES else column
        rows = rows[column != ""].assign(x=column[column != ""].astype(int))
        return rows.assign(n=rows["n_treated"].astype(int))

    return counts


def upper(x, n, tail=0.05):
    return 1.0 if x == n else stats.beta.isf(tail, x + 1, n - x)


def few(sizes, x, mean, icc):
    """Return the probability of at most x events in studies of these sizes, with beta risks."""
    a, b = mean * (1 - icc) / icc, (1 - mean) * (1 - icc) / icc
    total = np.eye(1, x + 1)[0]
    for n, times in Counter(size for size in sizes if size).items():
        part = stats.betabinom.pmf(np.arange(min(n, x) + 1), n, a, b)
        for _ in range(times):
            total = np.convolve(total, part)[: x + 1]
    return total.sum()


def upper_icc(sizes, x, icc=ICC):
    return optimize.brentq(lambda mean: few(sizes, x, mean, icc) - 0.05, 1e-7, 1 - 1e-7, xtol=1e-13)


def upper_any(x, n):
    """Return the limit of the mean risk for any heterogeneity: the entropy bound of a mean of shares."""
    share = (x / n).mean()

    def excess(mean):
        gain = share * math.log(share / mean) if share else 0.0
        return len(x) * (gain + (1 - share) * math.log((1 - share) / (1 - mean))) - math.log(20)

    return optimize.brentq(excess, share + 1e-12, 1 - 1e-12)


def lines_of_harm(sheet):
    return {line for line, row in enumerate(sheet, start=2) if row["design"].startswith("ae_")}


@pytest.fixture(scope="module")
def words(folders):
    return (folders.results / "summary.md").read_text(encoding="utf-8")


# -- single studies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_report_is_counted_or_has_a_reason(table, sheet, kind):
    rates, left_out = table("rates"), table("left_out")
    used = rates.loc[(rates["events"] == kind) & (rates["arm"] == "treated"), "line"]
    gone = left_out.loc[left_out["events"] == kind, "line"]
    assert sorted([*used, *gone]) == list(range(2, len(sheet) + 2))


@pytest.mark.parametrize(("kind", "column"), KINDS.items())
def test_the_counts_are_those_of_the_file_and_an_empty_cell_is_no_zero(table, sheet, kind, column):
    rates = table("rates")
    found = rates[(rates["events"] == kind) & (rates["arm"] == "treated")]
    wanted = {
        line: (int(row[column]), int(row["n_treated"]))
        for line, row in enumerate(sheet, start=2)
        if row[column] and row["n_treated"] and not row["design"].startswith("ae_") and row["use"] != "apart"
    }
    assert {row.line: (row.people, row.n) for row in found.itertuples()} == wanted


def test_people_chosen_for_harm_are_in_no_rate_and_are_told_in_words(table, sheet, words):
    chosen = lines_of_harm(sheet)
    assert len(chosen) == 4
    assert chosen.isdisjoint(table("rates")["line"])
    assert set(table("harmed")["line"]) == chosen
    for line in chosen:
        assert sheet[line - 2]["ae_definition"] in words


def test_the_upper_end_of_no_event_has_a_closed_form(table):
    none = table("rates").query("people == 0")
    assert len(none) > 20
    assert (none["low"] == 0).all()
    for row in none.itertuples():
        assert row.high == pytest.approx(1 - 0.025 ** (1 / row.n), rel=1e-6)


def test_one_event_of_sixty_by_the_binomial_formula(table):
    rates = table("rates")
    row = rates[(rates["study_id"] == "heliumplasma_fibroblast") & (rates["arm"] == "treated")].iloc[0]
    assert (row["people"], row["n"]) == (1, 60)
    assert 1 - (1 - row["low"]) ** 60 == pytest.approx(0.025, rel=1e-5)
    at_most_one = (1 - row["high"]) ** 60 + 60 * row["high"] * (1 - row["high"]) ** 59
    assert at_most_one == pytest.approx(0.025, rel=1e-5)


def test_split_bodies_are_marked(table, sheet):
    rates = table("rates")
    same = {line for line, row in enumerate(sheet, start=2) if row["paired"] == "yes"}
    assert set(rates.loc[rates["same_people"], "line"]) == same & set(rates["line"])
    assert same & set(rates["line"])


# -- limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reports", [ALL, FIRM])
@pytest.mark.parametrize("counted", DEFINITIONS)
def test_the_limits_of_each_definition(table, counts, reports, counted):
    rows, limits = counts(reports, counted), table("limits")
    found = limits[(limits["reports"] == reports) & (limits["counted"] == counted)]
    whole = found[found["by"] == "all"].iloc[0]
    x, n = int(rows["x"].sum()), int(rows["n"].sum())
    sizes = (len(rows), (rows["x"] == 0).sum(), n, x)
    assert tuple(whole[["studies", "without_event", "people", "events"]]) == sizes
    assert whole["limit"] == pytest.approx(upper(x, n), **EXACT)
    assert whole["high"] == pytest.approx(upper(x, n, 0.025), **EXACT)
    assert whole["low"] == pytest.approx(stats.beta.ppf(0.025, x, n - x + 1) if x else 0, **EXACT)
    mean = upper_icc(rows["n"].tolist(), x)
    assert whole["limit_icc"] == pytest.approx(mean, **EXACT)
    shape = (1 - ICC) / ICC
    study = stats.beta.ppf(0.95, mean * shape, (1 - mean) * shape)
    assert whole["study_risk_icc"] == pytest.approx(study, **EXACT)
    assert whole["limit_any"] == pytest.approx(upper_any(rows["x"].to_numpy(), rows["n"].to_numpy()), **EXACT)


@pytest.mark.parametrize("by", ["route", "allogeneic", "design", "source", "isolation"])
def test_groups_have_the_people_of_their_level_and_make_up_the_whole(table, counts, by):
    limits = table("limits")
    for counted in (ANY, SERIOUS):
        rows = counts(ALL, counted)
        found = limits[(limits["reports"] == ALL) & (limits["counted"] == counted) & (limits["by"] == by)]
        assert found[["studies", "people", "events"]].sum().tolist() == [
            len(rows),
            rows["n"].sum(),
            rows["x"].sum(),
        ]
        if by in rows:
            sums = rows.groupby(by)[["n", "x"]].sum()
            assert {row.level: (row.people, row.events) for row in found.itertuples()} == {
                level: tuple(pair) for level, pair in zip(sums.index, sums.to_numpy().tolist(), strict=True)
            }
        for row in found.itertuples():
            assert row.limit == pytest.approx(upper(row.events, row.people), **EXACT)


def test_the_limit_rises_with_the_heterogeneity_that_is_assumed(table, counts):
    curve = table("limits_by_heterogeneity")
    found = curve[(curve["reports"] == FIRM) & (curve["counted"] == SERIOUS)].set_index("heterogeneity")[
        "limit"
    ]
    sizes = counts(FIRM, SERIOUS)["n"].tolist()
    assert found.is_monotonic_increasing
    for icc in (0.01, 0.1, 0.5):
        assert found[icc] == pytest.approx(upper_icc(sizes, 0, icc), **EXACT)
    assert found[0.0] == pytest.approx(upper(0, sum(sizes)), **EXACT)


@pytest.mark.parametrize("counted", [ANY, "only one grade or kind of event", "deaths", SERIOUS])
def test_heterogeneity_by_a_grid_of_likelihoods(table, counts, counted):
    rows, heterogeneity = counts(ALL, counted), table("heterogeneity").set_index(["reports", "counted"])
    found = heterogeneity.loc[(ALL, counted)]
    x, n = (rows[name].to_numpy()[:, None, None] for name in ("x", "n"))
    if not x.any():
        assert not found["determined"]
        assert math.isnan(found["icc"])
        assert math.isinf(found["icc_high"])
        return
    mean = np.geomspace(5e-4, 0.5, 240)[:, None]
    icc = np.r_[1e-9, np.geomspace(1e-4, 0.97, 240)]
    shape = (1 - icc) / icc
    profile = stats.betabinom.logpmf(x, n, mean * shape, (1 - mean) * shape).sum(axis=0).max(axis=0)
    inside = icc[2 * (profile.max() - profile) <= stats.chi2.ppf(0.95, 1)]
    assert found["icc"] == pytest.approx(icc[profile.argmax()], rel=0.05, abs=2e-3)
    assert found["icc_low"] == pytest.approx(inside.min(), rel=0.05, abs=2e-3)
    assert found["icc_high"] == pytest.approx(inside.max(), rel=0.05)


@pytest.mark.parametrize("reports", [ALL, FIRM])
def test_the_models_of_any_event_by_other_optimisers(table, counts, words, reports):
    rows, models = counts(reports, ANY), table("models").set_index(["reports", "counted", "method"])
    x, n = rows["x"].to_numpy(), rows["n"].to_numpy()

    def beta(at):
        mean, icc = special.expit(at)
        return -stats.betabinom.logpmf(x, n, mean * (1 - icc) / icc, (1 - mean) * (1 - icc) / icc).sum()

    node, weight = np.polynomial.hermite_e.hermegauss(121)

    def normal(at):
        risk = special.expit(at[0] + abs(at[1]) * node)
        return -np.log(stats.binom.pmf(x[:, None], n[:, None], risk) @ weight / weight.sum()).sum()

    for name, function, start in (("beta-binomial", beta, [-4, -4]), ("mixed model", normal, [-5, 1])):
        best = optimize.minimize(
            function, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11}
        )
        found = models.loc[(reports, ANY, name)]
        assert found["estimate"] == pytest.approx(special.expit(best.x[0]), rel=2e-3)
        assert f"{100 * found['estimate']:.1f}% (" in words
    assert models.loc[(reports, ANY, "mixed model"), "tau"] == pytest.approx(
        abs(best.x[1]), rel=5e-3, abs=1e-2
    )


def test_without_events_models_have_no_estimate_and_transformed_shares_too_short_an_interval(table, counts):
    models = table("models").set_index(["reports", "counted", "method"])
    for counted in (SERIOUS, "related serious adverse events", IMPLIED):
        rows = counts(ALL, counted)
        assert rows["x"].sum() == 0
        for name in ("beta-binomial", "mixed model"):
            row = models.loc[(ALL, counted, name)]
            assert math.isnan(row["estimate"])
            assert "event" in row["fault"]
        arcsine = math.sin(stats.norm.ppf(0.975) / math.sqrt(4 * rows["n"].sum())) ** 2
        assert models.loc[(ALL, counted, "arcsine"), "high"] == pytest.approx(arcsine, **EXACT)
        assert arcsine < upper(0, rows["n"].sum(), 0.025) / 3


def test_follow_up_by_hand(table, counts):
    follow_up = table("follow_up")
    for reports, counted in ((ALL, SERIOUS), (FIRM, ANY), (ALL, "deaths")):
        rows = counts(reports, counted)
        rows = rows[~rows["follow_up_weeks"].isin(["", "0"])]
        weeks = rows["follow_up_weeks"].astype(float)
        found = follow_up[(follow_up["reports"] == reports) & (follow_up["counted"] == counted)]
        assert found["weeks"].tolist() == sorted(set(weeks))
        for row in found.itertuples():
            long = rows[weeks >= row.weeks]
            x, n = long["x"].sum(), long["n"].sum()
            years = (long["n"] * weeks[weeks >= row.weeks]).sum() * 7 / 365.25
            assert (row.studies, row.people, row.events) == (len(long), n, x)
            assert row.person_years == pytest.approx(years, **EXACT)
            assert row.risk_limit == pytest.approx(upper(x, n), **EXACT)
            assert row.rate_limit == pytest.approx(stats.gamma.ppf(0.95, x + 1) / years, **EXACT)


# -- plans, controls -----------------------------------------------------------------------------------------


def test_the_plans_are_the_smallest_numbers_that_exclude_the_risk(table, counts):
    for row in table("plans").itertuples():
        known = counts(row.reports, row.counted) if row.reports != "none" else None
        there, x = ([], 0) if known is None else (known["n"].tolist(), int(known["x"].sum()))

        def left(more, row=row, there=there, x=x):
            """Return the probability of no further event in so many more people, at the risk."""
            if row.icc == 0:
                return stats.binom.cdf(x, sum(there) + more, row.risk)
            trials, rest = divmod(int(more), int(row.study_size))
            return few([*there, *[int(row.study_size)] * trials, rest], x, row.risk, row.icc)

        assert row.events_allowed == 0
        assert left(row.more) <= 0.05 < left(row.more - 1)
        assert row.in_all == row.more + sum(there)


def test_the_count_of_the_next_study(table, counts, words):
    prediction = table("prediction")
    for row in prediction[prediction["icc"] == 0].itertuples():
        known = counts(row.reports, row.counted)
        x, n = known["x"].sum(), known["n"].sum()
        prior = {"jeffreys": 0.5, "uniform": 1}[row.prior]
        expected = stats.betabinom(row.people, prior + x, prior + n - x)
        assert row.limit == pytest.approx(stats.beta.ppf(0.95, prior + x, prior + n - x), **EXACT)
        assert row.any_event == pytest.approx(expected.sf(0), **EXACT)
        assert row.expected == pytest.approx(expected.mean(), **EXACT)
        assert (row.low, row.high) == (expected.ppf(0.025), expected.ppf(0.975))
        if row.reports == FIRM and row.prior == "jeffreys":
            assert (
                f"| {row.counted} | {row.people} | {row.low} to {row.high} | {100 * row.any_event:.0f}% |"
                in words
            )


def test_the_count_of_the_next_study_where_risks_differ(table, counts):
    """By a grid of the mean risk, with a beta distribution of study risks around it."""
    prediction = table("prediction")
    found = prediction[
        (prediction["icc"] == ICC) & (prediction["reports"] == FIRM) & (prediction["people"] == 50)
    ]
    edge = special.expit(np.linspace(-40, 5, 8001))
    mean = (edge[1:] + edge[:-1]) / 2
    a, b = mean * (1 - ICC) / ICC, (1 - mean) * (1 - ICC) / ICC
    for row in found.itertuples():
        known = counts(row.reports, row.counted)
        prior = {"jeffreys": 0.5, "uniform": 1}[row.prior]
        weight = np.diff(stats.beta.cdf(edge, prior, prior))
        for x, n in zip(known["x"], known["n"], strict=True):
            weight = weight * stats.betabinom.pmf(x, n, a, b)
        weight /= weight.sum()
        assert row.expected == pytest.approx(50 * weight @ mean, rel=1e-4)
        assert row.any_event == pytest.approx(weight @ stats.betabinom.sf(0, 50, a, b), rel=1e-4)


def test_the_comparison_with_controls_by_scipy(table):
    found = table("two_arms").set_index(["tables", "model", "measure"])
    one = found.loc[("one table per study", "exact conditional", "Odds ratio")]
    exact = stats.contingency.odds_ratio([[1, 59], [6, 35]])
    ends = exact.confidence_interval(0.95)
    assert one["estimate"] == pytest.approx(exact.statistic, **EXACT)
    assert (one["low"], one["high"]) == pytest.approx((ends.low, ends.high), **EXACT)
    below = stats.hypergeom.cdf(1, 101, 7, 60)
    assert one["pvalue"] == pytest.approx(2 * below, **EXACT)
    ratio = found.loc[("one table per study", "Mantel-Haenszel", "Odds ratio")]
    assert ratio["estimate"] == pytest.approx(1 * 35 / (59 * 6), **EXACT)


def test_the_comparison_within_procedures_by_hand(table):
    strata = [(0, 27, 3, 18), (1, 33, 3, 23)]
    found = table("two_arms").set_index(["tables", "model", "measure"]).loc["one table per procedure"]
    above = sum(a * (d - c) / (b + d) for a, b, c, d in strata)
    under = sum((b - a) * c / (b + d) for a, b, c, d in strata)
    assert found.loc[("Mantel-Haenszel", "Odds ratio"), "estimate"] == pytest.approx(above / under, **EXACT)
    exact = found.loc[("exact conditional", "Odds ratio")]

    def tail(odds):
        """Return the probability of at most one event of the treated, given the margins."""
        parts = [
            stats.nchypergeom_fisher.pmf(np.arange(a + c + 1), b + d, b, a + c, odds) for a, b, c, d in strata
        ]
        return np.convolve(*parts)[:2].sum()

    assert tail(exact["high"]) == pytest.approx(0.025, rel=1e-4)
    assert 2 * tail(1.0) == pytest.approx(exact["pvalue"], **EXACT)


# -- words ---------------------------------------------------------------------------------------------------


def test_the_table_in_the_summary_has_the_numbers_of_each_definition(words, counts):
    cells = [line.strip("| ").split(" | ") for line in words.splitlines() if line.startswith("| ")]
    cells = [row for row in cells if row[0] in DEFINITIONS and row[1] in (ALL, FIRM)]
    assert {row[0] for row in cells} == set(DEFINITIONS)
    for counted, reports, *numbers in cells:
        rows = counts(reports, counted)
        x, n = rows["x"], rows["n"]
        limits = (
            upper(x.sum(), n.sum()),
            upper_icc(n.tolist(), x.sum()),
            upper_any(x.to_numpy(), n.to_numpy()),
        )
        assert numbers == [
            str(len(rows)),
            str((x == 0).sum()),
            f"{x.sum()} / {n.sum()}",
            *(f"{100 * limit:.1f}%" for limit in limits),
        ]


def test_what_is_said_of_serious_events(words, counts):
    for reports in (ALL, FIRM):
        rows = counts(reports, SERIOUS)
        people, limit = rows["n"].sum(), upper(0, rows["n"].sum())
        said = f"No event in {people} people ({len(rows)} studies): a common risk above {100 * limit:.2f}%"
        assert f"{said} (1 in {1 / limit:.0f}) is excluded" in words
        mean = upper_icc(rows["n"].tolist(), 0)
        study = stats.beta.ppf(0.95, mean * (1 - ICC) / ICC, (1 - mean) * (1 - ICC) / ICC)
        assert f"{reports}, a mean risk above {100 * mean:.1f}% is excluded, and at that mean 5%" in words
        assert f"have a risk above {100 * study:.1f}%" in words
    assert "A risk of 1 in 100 or of 1 in 1,000 is excluded by neither." in words
    implied = counts(FIRM, IMPLIED)
    share = 100 * upper(0, implied["n"].sum())
    assert f"{implied['n'].sum()} people of {len(implied)} studies exclude a common risk" in words
    assert f"of serious events above {share:.1f}%" in words


def test_what_is_said_of_routes(words, counts):
    for counted in (SERIOUS, ANY):
        line = next(one for one in words.splitlines() if one.lower().startswith(f"- {counted}, by route"))
        every, firm = (counts(reports, counted).groupby("route")[["x", "n"]].sum() for reports in (ALL, FIRM))
        for route, row in every.iterrows():
            name = {"injection_local": "local injection", "intra_articular": "intra-articular"}.get(
                route, route
            )
            said = (
                f"{name.replace('_', ' ').replace('after p', 'after a p')} {100 * upper(row.x, row.n):.1f}%"
            )
            said += f" ({row.x} of {row.n})"
            if route not in firm.index:
                said += " [no report is left]"
            elif firm.loc[route, "n"] != row.n:
                said += f" [{100 * upper(firm.loc[route, 'x'], firm.loc[route, 'n']):.1f}%]"
            assert f" {said}{',' if f'{said},' in line else '.'}" in line


def test_what_is_said_of_heterogeneity(words, table, counts):
    rows = table("heterogeneity").set_index(["reports", "counted"])
    for reports, counted in ((ALL, ANY), (FIRM, ANY), (ALL, "deaths")):
        row, known = rows.loc[(reports, counted)], counts(reports, counted)
        said = f"{row.icc:.2f} ({row.icc_low:.2f} to {row.icc_high:.2f}) in {len(known)} studies with "
        said += f"{known['x'].sum()} events"
        assert (said if counted == "deaths" else f"{said}, {reports}") in words
    assert rows.loc[(ALL, "deaths"), "icc_low"] > 0
    assert "that of deaths does not hold 0" in words


@pytest.mark.parametrize("reports", [ALL, FIRM])
@pytest.mark.parametrize("counted", [ANY, SERIOUS])
def test_what_is_said_of_follow_up_and_of_those_without(words, counts, reports, counted):
    rows = counts(reports, counted)
    known = ~rows["follow_up_weeks"].isin(["", "0"])
    line = next(one for one in words.splitlines() if one.lower().startswith(f"- {counted}, {reports}"))
    assert f"in {rows.loc[known, 'n'].sum()} people with a known follow-up" in line
    gone = rows[~known]
    said = f"Not in these numbers are {gone['n'].sum()} of the {rows['n'].sum()} people"
    assert (said in line) is bool(len(gone))
    if len(gone):
        assert f"({gone['x'].sum()} event" in line


def test_what_is_said_of_doubtful_reports(words, sheet, counts):
    every, firm = counts(ALL, ANY), counts(FIRM, ANY)
    for row in every[every["use"] == "doubtful"].itertuples():
        assert row.caution in words
    assert f"They hold {every['n'].sum() - firm['n'].sum()} of the {every['n'].sum()} people" in words
    limits = [f"{100 * upper(rows['x'].sum(), rows['n'].sum()):.1f}%" for rows in (firm, every)]
    assert f"risk is {limits[0]} instead of {limits[1]}" in words


def test_what_is_said_of_the_next_trials(words):
    alone = [math.ceil(math.log(0.05) / math.log1p(-risk)) for risk in (0.01, 0.001)]
    assert f"trials must follow {alone[0]:,} and {alone[1]:,} people without any such event" in words


def test_plans_alone_and_on_top_of_what_is_known_are_told_apart(words, table):
    plans = table("plans")
    sized = plans[(plans["counted"] == SERIOUS) & (plans["study_size"] == 50)].set_index(["reports", "risk"])
    for reports, column, after in (
        ("none", "more", "if nothing were known"),
        (FIRM, "more", "more on top of what is known"),
        (FIRM, "in_all", "in all"),
    ):
        few, many = (sized.loc[(reports, risk), column] for risk in (0.01, 0.001))
        assert f"{few:,.0f} and {many:,.0f} {after}" in words


def test_published_shares_stand_beside_our_limits(words, table, root, counts):
    with (root / "data" / "published_meta_analyses.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["outcome"].endswith("adverse_event_incidence_pct")]
    published = table("published")
    assert len(published) == 2 * len(rows) == 4
    for row in rows:
        counted = SERIOUS if row["outcome"].startswith("serious") else ANY
        for reports in (ALL, FIRM):
            found = published[(published["reports"] == reports) & (published["counted"] == counted)].iloc[0]
            assert 100 * found["estimate"] == pytest.approx(float(row["estimate"]))
            assert 100 * found["high"] == pytest.approx(float(row["ci_high"]))
            ours = counts(reports, counted)
            limit = upper(ours["x"].sum(), ours["n"].sum())
            assert found["limit"] == pytest.approx(limit, **EXACT)
            assert f"{100 * limit:.1f}% {reports}" in words
        agrees = found["estimate"] <= limit  # in the last table, which has the larger limit
        said = "which agrees with" if agrees else "whose interval begins below them"
        assert re.search(rf"{counted} in [^;]*{said}", words)


def test_nothing_is_summed_over_definitions(words, sheet):
    treated = [row for row in sheet if row["ae_patients_treated"] and row["n_treated"]]
    everybody = sum(int(row["n_treated"]) for row in treated)
    assert everybody > 900
    assert str(everybody) not in words


def test_the_figures(folders):
    drawn = {path.stem.removeprefix("06_") for path in folders.figures.glob("06_*.svg")}
    assert drawn == {"adverse_events", "serious_events", "exclusion_serious", "exclusion_any"}
    curve = (folders.figures / "06_exclusion_serious.svg").read_text(encoding="utf-8")
    assert all(re.search(f">\\s*{number}\\s*<", curve) for number in ("299", "2,995"))


def test_a_second_run_writes_the_same_bytes(folders, root, tmp_path):
    again = Folders(root / "analyses", root / "data", tmp_path)
    run_analysis(root / "analyses" / f"{NAME}.py", again)
    for before, after in ((folders.results, again.results), (folders.figures, again.figures)):
        names = sorted(path.name for path in before.iterdir())
        assert names == sorted(path.name for path in after.iterdir())
        assert [n for n in names if (before / n).read_bytes() != (after / n).read_bytes()] == []
