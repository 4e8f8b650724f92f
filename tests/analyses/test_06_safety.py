"""Safety: each count has its row or its reason; every limit and number in words by scipy from the file."""

from __future__ import annotations

import csv
import math
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

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
ALL, FIRM = "all", "without doubtful rows"
DEFINITIONS = [*SCOPES, *(kind for kind in KINDS if kind != "adverse events"), IMPLIED]
ICC = 0.05
EXACT = {"rel": 1e-6, "abs": 0}


def read(folder):
    """Return the rows of the sheet as they stand in the file, read without metaexo."""
    with (folder / "safety_events.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sheet(root):
    return read(root / "data")


@pytest.fixture(scope="module")
def counts(sheet):
    """Return a function that gives the events, people and rows of a definition, read without metaexo."""

    def counts(reports, counted):
        rows = pd.DataFrame(sheet)
        rows = rows[
            ~rows["design"].str.startswith("ae_") & (rows["use"] != "apart") & (rows["n_treated"] != "")
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


def upper(x, n):
    return 1.0 if x == n else stats.beta.isf(0.05, x + 1, n - x)


def few(sizes, x, mean, icc):
    """Return the probability of at most x events in studies of these sizes, with beta risks."""
    a, b = mean * (1 - icc) / icc, (1 - mean) * (1 - icc) / icc
    total = np.eye(1, x + 1)[0]
    for n, times in Counter(size for size in sizes if size).items():
        part = stats.betabinom.pmf(np.arange(min(n, x) + 1), n, a, b)
        for _ in range(times):
            total = np.convolve(total, part)[: x + 1]
    return total.sum()


def upper_icc(sizes, x):
    return optimize.brentq(lambda mean: few(sizes, x, mean, ICC) - 0.05, 1e-7, 1 - 1e-7, xtol=1e-13)


def upper_any(x, n):
    """Return the limit of the mean risk for any heterogeneity: the entropy bound of a mean of shares."""
    share = (x / n).mean()

    def excess(mean):
        gain = share * math.log(share / mean) if share else 0.0
        return len(x) * (gain + (1 - share) * math.log((1 - share) / (1 - mean))) - math.log(20)

    return optimize.brentq(excess, share + 1e-12, 1 - 1e-12)


@pytest.fixture(scope="module")
def words(folders):
    return (folders.results / "summary.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(folders):
    return (folders.results / "answer.md").read_text(encoding="utf-8")


# -- counts and limits ---------------------------------------------------------------------------------------


def test_every_report_is_counted_or_has_a_reason_and_an_empty_cell_is_no_zero(table, sheet):
    rates, left_out = table("rates"), table("left_out")
    for kind, column in KINDS.items():
        wanted = {
            line: (int(row[column]), int(row["n_treated"]))
            for line, row in enumerate(sheet, start=2)
            if row[column]
            and row["n_treated"]
            and not row["design"].startswith("ae_")
            and row["use"] != "apart"
        }
        counted = SCOPES if kind == "adverse events" else [kind]
        found = rates[rates["counted"].isin(list(counted))]
        assert {row.line: (row.people, row.n) for row in found.itertuples()} == wanted
        gone = left_out.loc[left_out["events"] == kind, "reports"].sum()
        assert len(found) + gone == len(sheet)


def test_people_chosen_for_harm_are_in_no_rate_and_are_told_in_words(table, sheet, words):
    chosen = {line for line, row in enumerate(sheet, start=2) if row["design"].startswith("ae_")}
    assert len(chosen) == 4
    assert chosen.isdisjoint(table("rates")["line"])
    assert set(table("harmed")["line"]) == chosen
    assert all(sheet[line - 2]["ae_definition"] in words for line in chosen)


def test_the_exact_intervals_of_studies(table):
    for row in table("rates").itertuples():
        low = stats.beta.ppf(0.025, row.people, row.n - row.people + 1) if row.people else 0
        assert row.low == pytest.approx(low, rel=1e-6)
        assert row.high == pytest.approx(stats.beta.isf(0.025, row.people + 1, row.n - row.people), rel=1e-6)


@pytest.mark.parametrize("reports", [ALL, FIRM])
def test_the_limits_of_each_definition(table, counts, reports):
    limits = table("limits").set_index(["rows", "counted"])
    assert set(limits.index) == {(rows, counted) for rows in (ALL, FIRM) for counted in DEFINITIONS}
    for counted in DEFINITIONS:
        rows, found = counts(reports, counted), limits.loc[(reports, counted)]
        x, n = int(rows["x"].sum()), int(rows["n"].sum())
        sizes = (len(rows), (rows["x"] == 0).sum(), n, x)
        assert tuple(found[["studies", "without_event", "people", "events"]]) == sizes
        assert found["limit"] == pytest.approx(upper(x, n), **EXACT)
        mean = upper_icc(rows["n"].tolist(), x)
        assert found["limit_icc"] == pytest.approx(mean, **EXACT)
        study = stats.beta.ppf(0.95, mean / ICC * (1 - ICC), (1 - mean) / ICC * (1 - ICC))
        assert found["study_risk_icc"] == pytest.approx(study, **EXACT)
        anyhow = upper_any(rows["x"].to_numpy(), rows["n"].to_numpy())
        assert found["limit_any"] == pytest.approx(anyhow, **EXACT)


def test_groups_have_the_people_of_their_level_and_make_up_the_whole(table, counts):
    groups = table("groups")
    for (reports, counted, by), found in groups.groupby(["rows", "counted", "by"]):
        rows = counts(reports, counted)
        assert found[["studies", "people", "events"]].sum().tolist() == [
            len(rows),
            rows["n"].sum(),
            rows["x"].sum(),
        ]
        if by in rows:
            sums = rows.groupby(by)[["n", "x"]].sum()
            assert {row.group: (row.people, row.events) for row in found.itertuples()} == {
                level: tuple(pair) for level, pair in zip(sums.index, sums.to_numpy().tolist(), strict=True)
            }
        for row in found.itertuples():
            assert row.limit == pytest.approx(upper(row.events, row.people), **EXACT)


def test_follow_up_by_hand(table, counts):
    follow_up = table("follow_up")
    for reports, counted in ((ALL, SERIOUS), (FIRM, ANY)):
        rows = counts(reports, counted)
        rows = rows[~rows["follow_up_weeks"].isin(["", "0"])]
        weeks = rows["follow_up_weeks"].astype(float)
        found = follow_up[(follow_up["rows"] == reports) & (follow_up["counted"] == counted)]
        assert found["weeks"].tolist() == sorted(set(weeks))
        for row in found.itertuples():
            long = rows[weeks >= row.weeks]
            x, n = long["x"].sum(), long["n"].sum()
            years = (long["n"] * weeks[weeks >= row.weeks]).sum() * 7 / 365.25
            assert (row.studies, row.people, row.events) == (len(long), n, x)
            assert row.risk_limit == pytest.approx(upper(x, n), **EXACT)
            assert row.rate_limit == pytest.approx(stats.gamma.ppf(0.95, x + 1) / years, **EXACT)


def test_the_plans_are_the_smallest_numbers_that_exclude_the_risk(table, counts):
    for row in table("plans").itertuples():
        known = counts(row.rows, row.counted) if row.rows != "none" else None
        there, x = ([], 0) if known is None else (known["n"].tolist(), int(known["x"].sum()))

        def left(more, row=row, there=there, x=x):
            """Return the probability of no further event in so many more people, at the risk."""
            if row.icc == 0:
                return stats.binom.cdf(x, sum(there) + more, row.risk)
            trials, rest = divmod(int(more), int(row.study_size))
            return few([*there, *[int(row.study_size)] * trials, rest], x, row.risk, row.icc)

        assert left(row.more) <= 0.05 < left(row.more - 1)


def test_the_comparison_with_controls_by_scipy(table):
    found = table("controls").iloc[0]
    exact = stats.contingency.odds_ratio([[1, 59], [6, 35]])
    ends = exact.confidence_interval(0.95)
    assert (found["treated"], found["of"], found["untreated"], found["of_control"]) == (1, 60, 6, 41)
    assert tuple(found[["estimate", "low", "high"]]) == pytest.approx(
        (exact.statistic, ends.low, ends.high), **EXACT
    )
    assert found["p_exact_central"] == pytest.approx(2 * stats.hypergeom.cdf(1, 101, 7, 60), **EXACT)


# -- words ---------------------------------------------------------------------------------------------------


def test_what_is_answered(ours, page, words, counts):
    rows = counts(ALL, SERIOUS)
    people = rows["n"].sum()
    assert f"No serious event in {people} treated people excludes" in page
    assert f"a risk above {100 * upper(0, people):.1f}% if" in page
    assert f"a mean risk above {100 * upper_icc(rows['n'].tolist(), 0):.1f}% if" in page
    for risk in (0.01, 0.001):
        needed = math.ceil(math.log(0.05) / math.log1p(-risk))
        assert f"{needed:,} people would exclude 1 in {1 / risk:,.0f}" in words
    assert (rows["isolation_category"] == "not_reported").all()
    assert f"Isolation is known in none of {len(rows)} studies of serious events" in page
    deaths = counts(ALL, "deaths")
    assert (deaths["sae_patients_treated"] == "").all()
    assert f"Of {len(deaths)} studies that report deaths, none counted serious events" in words
    assert f"Deaths: {deaths['x'].sum()} of {deaths['n'].sum()} with" in page
    most = {"answer": 45, "known": 35, "settle": 35}
    assert [one.part for one in ours[1].sentences] == list(most)
    assert all(len(one.words.split()) <= most[one.part] for one in ours[1].sentences)


def test_the_words_are_few_and_the_files_too(words, folders):
    part = words.partition("<!-- 06_safety -->")[2]
    assert len([word for word in part.split() if word.strip("|-:*")]) < 500
    assert len(list(folders.results.glob("06_*.csv"))) == 8
    assert {path.stem for path in folders.figures.glob("*.svg")} == {
        "06_serious_events",
        "06_exclusion_serious",
    }


@pytest.mark.long
def test_the_sentences_change_with_the_numbers(run, root, tmp_path):
    """Five serious events, three of them beside deaths, and no doubtful report."""
    data = shutil.copytree(root / "data", tmp_path / "data")
    rows = read(data)
    for row in rows:
        row["use"] = "main" if row["use"] == "doubtful" else row["use"]
        if row["study_id"] == "park2023":
            row["sae_patients_treated"] = "2"
        if row["study_id"] == "exocd24_phase2b_2024":
            row["sae_patients_treated"] = "3"
    with (data / "safety_events.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    folders, _ = run(data)
    said = (folders.results / "answer.md").read_text(encoding="utf-8")
    ends = [100 * stats.beta.ppf(0.025, 5, 243), 100 * stats.beta.ppf(0.975, 6, 242)]
    share = f"{100 * 5 / 247:.1f}% (95% CI {ends[0]:.1f}% to {ends[1]:.1f}% if"
    assert f"5 serious events in 247 treated people: {share}" in said
    assert "all in 2 of 10 studies" in said
    assert "without a serious event" not in said
    summary = (folders.results / "summary.md").read_text(encoding="utf-8")
    assert "1 counted serious events of any cause" in summary
    assert "would exclude" not in summary
    assert "without doubtful reports" not in said
