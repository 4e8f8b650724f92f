"""Leave-one-out and cumulative forests: each row is a refit, marked where it leads to another conclusion."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import forest, forest_plan, overlapping_texts

SCHOOLS = mx.load_dataset("school_calendars")
TRIANGLE = {"shape": "triangle", "color": 1}


def bcg(moderator=None, **choices):
    es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    return mx.RandomEffects(es, moderator).fit(**choices)


def part(fit, keep, moderator=None):
    return mx.RandomEffects(fit.effects.select(keep, "a part"), moderator).fit(fit.method, fit.test)


def refit_rows(plan):
    return [row for page in (plan, *plan.more) for row in page.rows if row.id.startswith("refit:")]


def check_row(row, fit, theme):
    ends = np.exp(fit.conf_int().to_numpy()[0])
    assert (row.mark.estimate, row.mark.low, row.mark.high) == pytest.approx(
        (np.exp(fit.estimate), *ends), rel=1e-6
    )
    said = {key: " ".join(cell).replace(theme.point, ".") for key, cell in row.cells.items()}
    assert said["estimate"].startswith(f"{np.exp(fit.estimate):.2f}")
    assert said["tau2"] == f"{fit.tau2:.2f}"
    assert said["i2"] == f"{100 * fit.i2:.0f}%"
    digits = len(said["p"].partition(".")[2])
    assert float("0." + said["p"].partition(".")[2]) == pytest.approx(
        fit.wald_pvalues[0], abs=0.51 * 10.0**-digits
    )


@pytest.mark.parametrize("theme", ["metaexo", "jama", "lancet"])
def test_each_row_is_the_fit_without_one_study(theme):
    fit = bcg()
    plan = forest_plan(mx.sensitivity.leave_one_out(fit), theme=theme)
    rows = refit_rows(plan)
    assert [row.cells["label"] for row in rows] == [(label,) for label in fit.effects.row_labels]
    for i in (0, 3, 12):
        check_row(rows[i], part(fit, np.arange(13) != i), plan.theme)
    total = plan.row("total")
    assert total.mark.shape == "diamond"
    check_row(total, fit, plan.theme)
    assert plan.pooled == (pytest.approx(np.exp(fit.estimate)),)
    assert plan.axis.scale == "log"
    assert [column.key for column in plan.columns] == ["label", "estimate", "p", "tau2", "i2"]
    assert plan.keys == ()
    assert overlapping_texts(forest(plan)) == []


def test_rows_of_a_cumulative_forest_hold_the_studies_so_far():
    fit = bcg()
    plan = forest_plan(mx.sensitivity.cumulative(fit, "year"))
    year = mx.load_dataset("bcg")["year"].to_numpy()
    rows = refit_rows(plan)
    assert len(rows) == len(np.unique(year)) == 12
    assert not any(row.id == "total" for row in plan.rows)
    for row, last in zip(rows[2:], np.unique(year)[2:], strict=True):
        check_row(row, part(fit, year <= last), plan.theme)
        assert row.cells["k"] == (str(int((year <= last).sum())),)
        label = " ".join(row.cells["label"])
        assert label.startswith("+ ")
        assert all(name in label for name in np.array(fit.effects.row_labels)[year == last])
    assert not " ".join(rows[0].cells["label"]).startswith("+")
    assert plan.pooled == (pytest.approx(np.exp(fit.estimate)),)
    assert overlapping_texts(forest(plan)) == []


def test_many_studies_that_enter_together_are_counted():
    data = pd.DataFrame({"year": [2020] * 4 + [2021] * 2})
    es = mx.EffectSizes([0.1, 0.3, 0.2, 0.5, 0.4, 0.2], [0.02] * 6, labels=list("abcdef"), data=data)
    plan = forest_plan(mx.sensitivity.cumulative(mx.RandomEffects(es).fit(), "year"))
    assert [row.cells["label"][0] for row in refit_rows(plan)] == ["4 studies (2020)", "+ e, f (2021)"]


def test_rows_with_another_conclusion_have_another_colour_and_shape():
    y, names = [0.5, 0.45, 0.6, -0.1], ["Li", "Cho", "Diaz", "Okafor"]
    es = mx.EffectSizes(
        y, [0.04] * 4, "RR", labels=names, data=pd.DataFrame({"year": [2020, 2021, 2022, 2023]})
    )
    fit = mx.RandomEffects(es).fit(method="DL", test="z")
    plan = forest_plan(mx.sensitivity.leave_one_out(fit))
    whole = fit.conf_int().to_numpy()[0]
    assert whole[0] > 0
    for row, i in zip(refit_rows(plan), range(4), strict=True):
        low = part(fit, np.arange(4) != i).conf_int().to_numpy()[0, 0]
        sign = (row.mark.shape, row.mark.color)
        assert sign == (("triangle", 1) if low <= 0 else ("square", None))
    assert {row.mark.shape for row in refit_rows(plan)} == {"triangle", "square"}
    assert [key.shape for key in plan.keys] == ["square", "triangle"]
    assert any("95% CI excludes no effect" in note for note in plan.notes)
    grown = forest_plan(mx.sensitivity.cumulative(fit, "year"))
    assert [row.cells["label"][0] for row in refit_rows(grown)][1] == "+ Cho (2021)"


def test_what_has_no_fit_has_a_row_without_a_mark_and_a_reason():
    data = pd.DataFrame({"source": ["plant", "plant", "plant", "milk"], "year": [2018, 2019, 2020, 2021]})
    es = mx.EffectSizes([0.1, 0.4, 0.3, 0.8], [0.02, 0.03, 0.02, 0.04], "RR", labels=list("abcd"), data=data)
    fit = mx.RandomEffects(es, "source").fit(method="DL", test="z")
    plan = forest_plan(mx.sensitivity.leave_one_out(fit))
    blocks = [row.text[0] for row in plan.rows if row.kind == "head"]
    assert blocks == list(fit.design.names)
    lost = [row for row in refit_rows(plan) if not row.marks]
    assert [row.cells["label"] for row in lost] == [("d",), ("d",)]
    assert all(row.cells["estimate"] == ("–", "", "") for row in lost)
    assert any(note.startswith("No fit, d:") for note in plan.notes)
    slopes = [row for row in refit_rows(plan)[4:] if row.marks]
    without_a = mx.RandomEffects(es.select(np.arange(4) != 0, "a part"), "source").fit(method="DL", test="z")
    assert slopes[0].mark.estimate == pytest.approx(np.exp(without_a.beta[1]))
    assert plan.pooled == ()
    assert sum(row.kind == "total" for row in plan.rows) == 2


def test_slopes_of_proportions_are_shown_as_analysed():
    y, x = [0.1, 0.4, 0.3, 0.8, 0.6], [1.0, 2.0, 3.0, 4.0, 5.0]
    es = mx.EffectSizes(y, [0.02, 0.03, 0.02, 0.04, 0.03], "PLO")
    fit = mx.RandomEffects(es, x, names=["dose"]).fit(method="DL", test="z")
    plan = forest_plan(mx.sensitivity.leave_one_out(fit))
    total = [row for row in plan.rows if row.kind == "total"]
    assert [row.mark.estimate for row in total] == pytest.approx(fit.beta.tolist())
    one = mx.RandomEffects(es).fit(method="DL", test="z")
    whole = forest_plan(mx.sensitivity.leave_one_out(one)).row("total")
    assert whole.mark.estimate == pytest.approx(1 / (1 + np.exp(-one.estimate)))
    assert "p" not in whole.cells  # there is no value of no effect


def test_clusters_of_a_multilevel_fit():
    es = mx.EffectSizes(SCHOOLS["y"], SCHOOLS["v"], data=SCHOOLS)
    fit = mx.Multilevel(es, "district/school").fit()
    plan = forest_plan(mx.sensitivity.leave_one_out(fit, "district"))
    districts = SCHOOLS["district"].astype(str).unique()
    assert [row.cells["label"][0] for row in refit_rows(plan)] == list(districts)
    keep = (SCHOOLS["district"].astype(str) != districts[0]).to_numpy()
    rest = mx.Multilevel(es.select(keep, "a part"), "district/school").fit()
    assert refit_rows(plan)[0].mark.estimate == pytest.approx(rest.estimate, abs=1e-5)
    assert overlapping_texts(forest(plan)) == []


@pytest.mark.parametrize("k", [2, 45])
def test_labels_of_any_length_in_any_order_on_pages(k):
    draws = np.random.default_rng(k)
    labels = [f"Exosomes of umbilical cord stem cells for wounds in diabetes, arm {i}" for i in range(k)]
    es = mx.EffectSizes(draws.normal(0.3, 0.5, k), draws.uniform(0.02, 0.3, k), labels=labels)
    fit = mx.RandomEffects(es).fit(method="DL", test="z")
    found = mx.sensitivity.leave_one_out(fit)
    plan = forest_plan(found, order="estimate", pages=k > 40, theme="dark")
    drawn = [row.mark.estimate for row in refit_rows(plan)]
    assert drawn == sorted(drawn)
    assert len(drawn) == k
    for page in mx.plots.pages_of(forest(plan)):
        assert overlapping_texts(page) == []


def test_another_level_is_refused():
    found = mx.sensitivity.leave_one_out(bcg(), level=0.9)
    assert forest_plan(found).level == 0.9
    with pytest.raises(InputError, match="level"):
        forest_plan(found, level=0.95)


def test_strata_have_their_own_means_and_variances():
    data = pd.DataFrame({"source": ["milk"] * 4 + ["plant"] * 4})
    y = [0.1, 0.5, 0.3, 0.9, -0.4, -0.1, -0.6, 0.2]
    es = mx.EffectSizes(y, [0.02, 0.03, 0.02, 0.04] * 2, "PLO", labels=list("abcdefgh"), data=data)
    fit = mx.stratify(es, "source", method="DL")
    plan = forest_plan(mx.sensitivity.leave_one_out(fit))
    totals = [row for row in plan.rows if row.kind == "total"]
    for total, stratum in zip(totals, fit.strata, strict=True):
        assert total.mark.estimate == pytest.approx(1 / (1 + np.exp(-stratum.pooled.estimate)))
        assert total.cells["tau2"] == (f"{stratum.fit.tau2:.2f}",)
    assert [column.title for column in plan.columns if column.key == "tau2"] == [("τ²",)]
    assert overlapping_texts(forest(plan)) == []


@pytest.mark.parametrize("swapped", [False, True])
def test_an_infinite_estimate_is_the_line_from_its_finite_limit(swapped):
    arms = (([0, 0, 1, 3], [30, 25, 20, 33]), ([2, 1, 0, 4], [31, 24, 20, 17]))
    (te, tn), (ce, cn) = arms[::-1] if swapped else arms
    counts = mx.event_counts(
        treatment_events=te, treatment_n=tn, control_events=ce, control_n=cn, labels=list("abcd")
    )
    fit = mx.ExactConditional(counts.with_columns(year=[1, 2, 3, 4])).fit()
    found = mx.sensitivity.cumulative(fit, "year")
    assert np.isinf(found.estimate[:2]).all()
    plan = forest_plan(found)
    for i, row in enumerate(refit_rows(plan)):
        low, high = np.exp(found.low[i, 0]), np.exp(found.high[i, 0])
        assert (row.mark.low, row.mark.high) == (pytest.approx(low), pytest.approx(high))
        if i < 2:
            assert (row.mark.shape, row.mark.estimate) == ("bar", None)
            assert row.cells["estimate"][0] == ("∞" if swapped else "0")
        else:
            assert row.mark.estimate == pytest.approx(np.exp(found.estimate[i]))
    assert overlapping_texts(forest(plan)) == []
    whole = mx.ExactConditional(counts.select([0, 1], "early")).fit()
    total = forest_plan(mx.sensitivity.leave_one_out(whole)).row("total")
    assert total.mark.shape == "bar"
    assert total.cells["estimate"][0] == ("∞" if swapped else "0")
