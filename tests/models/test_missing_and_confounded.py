"""Moderators that are missing, empty, constant or confounded; new rows by name; cells without data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors

Y13 = [0.35, 0.82, 0.33, -1.3, 0.91, 0.45, -0.54, 0.58, 0.36, 0.29, 0.03, 0.55, -0.74]
CELLS = pd.DataFrame({"lat": list("hhhhhhlllllll"), "era": list("eeemmlmmlllll")})


def with_column(values: object, **options: object) -> mx.EffectSizes:
    data = pd.DataFrame({"g": values})
    k = len(data)
    return mx.EffectSizes(np.linspace(0.1, 0.9, k) ** 2, [0.02] * k, data=data, **options)


def confounded(formula: str) -> mx.models.RandomEffectsResults:
    es = mx.EffectSizes(Y13, [0.05] * 13, data=CELLS)
    with pytest.warns(errors.RedundantColumnsWarning):
        model = mx.RandomEffects(es, formula, redundant="drop")
    return model.fit()


@pytest.mark.parametrize("formula", ["lat*era", 'lat*C(era, base="l")', "0 + lat:era", "era*lat"])
def test_a_cell_without_data_is_not_estimable_and_all_others_are(formula: str) -> None:
    fit = confounded(formula)
    for lat in "hl":
        for era in "eml":
            cell = pd.DataFrame({"lat": [lat], "era": [era]})
            if lat + era == "le":
                with pytest.raises(errors.NotIdentifiableError, match=r"not estimable.*row 1"):
                    fit.predict(cell)
            else:  # a cell mean is the weighted mean of its effects, whatever was left out
                rows = ((CELLS.lat == lat) & (CELLS.era == era)).to_numpy()
                mean = np.mean(np.array(Y13)[rows])
                assert fit.predict(cell)["estimate"].iloc[0] == pytest.approx(mean, rel=1e-9)


def test_contrasts_and_terms_that_depend_on_what_was_left_out_are_not_tested() -> None:
    fit = confounded("lat*era")
    with pytest.raises(errors.NotIdentifiableError, match="latl"):
        fit.contrast("latl")
    tests = fit.test_terms()
    assert np.isnan(tests["lat"].pvalue)
    assert "not estimable" in tests["lat"].null
    # The interaction is the step from the additive model to that of the five cells: one df.
    assert tests["lat:era"].df[0] == 1.0
    assert np.isfinite(tests["lat:era"].pvalue)
    assert any("left out as redundant" in note for note in fit.design.notes)
    assert "left out as redundant" in str(fit.summary())


def test_a_model_in_which_no_moderator_is_left_is_refused() -> None:
    with pytest.raises(errors.CollinearError, match="has one value"):
        mx.RandomEffects(mx.EffectSizes([0.1, 0.5, 0.3], [0.02] * 3), [1.0, 1.0, 1.0], redundant="drop")
    for formula in ("g", "g + h", "h*g", "C(h)"):
        data = pd.DataFrame({"g": ["a"] * 5, "h": [1, 1, 1, 1, 1]})
        es = mx.EffectSizes([0.1, 0.3, 0.5, 0.4, 0.2], [0.02] * 5, data=data)
        with pytest.raises(errors.InputError, match=r"one (level|value)"):
            mx.RandomEffects(es, formula)


def test_predictions_go_by_name() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"dose": rng.uniform(1, 10, 12), "year": rng.integers(2000, 2020, 12).astype(float)})
    es = mx.EffectSizes(rng.normal(size=12), rng.uniform(0.05, 0.2, 12), data=frame)
    for moderators in (frame, "dose + year"):
        fit = mx.RandomEffects(es, moderators).fit()
        expected = float(fit.beta @ [1, 2.0, 2010.0])
        for new in (
            pd.DataFrame({"dose": [2.0], "year": [2010.0]}),
            pd.DataFrame({"year": [2010.0], "dose": [2.0]}),
            {"year": 2010, "dose": 2},
            {"year": [2010], "dose": [2]},
            pd.Series({"year": 2010.0, "dose": 2.0}),
            [2.0, 2010.0],
            [[2.0, 2010.0]],
        ):
            assert float(fit.predict(new)["estimate"].iloc[0]) == pytest.approx(expected, rel=1e-12)
        with pytest.raises(errors.InputError, match="'dose'"):
            fit.predict(pd.DataFrame({"dosis": [2.0], "year": [2010.0]}))
        with pytest.raises(errors.UnknownChoiceError, match="'dose'"):
            fit.predict({"dosis": 2.0, "year": 2010.0})
        with pytest.raises(errors.InputError, match="row 1"):
            fit.predict({"dose": np.nan, "year": 2010.0})
        with pytest.raises(errors.ShapeError):
            fit.predict([1.0, 2.0, 3.0])
        with pytest.raises(errors.ShapeError):
            fit.predict({"dose": [1, 2], "year": [1, 2, 3]})


def test_a_list_of_values_of_one_moderator_is_a_row_each() -> None:
    x = np.arange(8.0)
    es = mx.EffectSizes(
        0.1 * x + 0.05 * (-1) ** np.arange(8), [0.02] * 8, data=pd.DataFrame({"x": x, "g": list("aabbaabb")})
    )
    for moderators in (x, "x"):
        fit = mx.RandomEffects(es, moderators).fit()
        np.testing.assert_allclose(
            fit.predict([10, 30])["estimate"], fit.beta[0] + fit.beta[1] * np.array([10, 30])
        )
    factor = mx.RandomEffects(es, "g").fit()
    assert factor.predict(["b", "a"]).shape[0] == 2
    assert factor.predict("b")["estimate"].iloc[0] == pytest.approx(factor.beta.sum())
    computed = mx.RandomEffects(es, "sqrt(x)").fit()
    with pytest.raises(errors.InputError, match=r"predict\(\{'x'"):
        computed.predict([4.0])
    assert computed.predict({"x": [4.0]})["estimate"].iloc[0] == pytest.approx(computed.beta @ [1, 2])


@pytest.mark.parametrize(
    "values",
    [
        ["", "", " ", "plant", "plant", "milk", "milk"],
        [None, "a", "a", "b", "b", "b", "a"],
        [np.nan, 1.0, 2.0, 3.0, 5.0, 2.0, 1.0],
        [np.nan, "a", "a", "b", "b", "b", "a"],
        pd.Categorical([None, "a", "a", "b", "b", "b", "a"]),
        pd.array([None, 1, 2, 3, 5, 2, 1], dtype="Int64"),
        pd.array([None, True, False, True, True, False, True], dtype="boolean"),
        pd.array([None, 1.5, 2, 3, 5, 2, 1], dtype="Float64"),
        pd.array([None, "a", "a", "b", "b", "b", "a"], dtype="string"),
        [1, " ", 2, 3, 4, 5, 6],
    ],
)
def test_a_missing_moderator_is_refused_with_its_rows_or_dropped_with_a_ledger_line(values: object) -> None:
    es = with_column(values, labels=list("ABCDEFG"))
    gone = es.data["g"].map(
        lambda cell: cell is None or cell is pd.NA or cell != cell or str(cell).strip() == ""
    )  # type: ignore[index]
    count = int(gone.isna().sum() + (gone == True).sum())  # noqa: E712
    with pytest.raises(errors.InputError, match="missing moderator") as caught:
        mx.RandomEffects(es, "g")
    assert len(caught.value.rows) == count
    with pytest.warns(errors.RowsLeftOutWarning, match=f"{count} of 7"):
        fit = mx.RandomEffects(es, "g", missing="drop").fit(test="z")
    assert fit.k == 7 - count
    assert fit.ledger.counts().iloc[1]["rows"] == count
    assert "g" in str(fit.summary())


def test_missing_numeric_moderators_and_weights_go_together() -> None:
    es = mx.EffectSizes([0.1, 0.5, 0.2, 0.9, 0.4], [0.02, 0.03, 0.02, 0.05, 0.04])
    x = np.array([1.0, np.nan, 2.0, 4.0, 5.0])
    with pytest.raises(errors.InputError, match="missing"):
        mx.RandomEffects(es, x)
    with pytest.warns(errors.RowsLeftOutWarning):
        fit = mx.RandomEffects(es, x, missing="drop", weights=[1.0, 9.0, 2.0, 3.0, 4.0]).fit(test="z")
    kept = [0, 2, 3, 4]
    other = mx.RandomEffects(
        mx.EffectSizes(es.y[kept], es.v[kept]), x[kept], weights=[1.0, 2.0, 3.0, 4.0]
    ).fit(test="z")
    np.testing.assert_allclose(fit.beta, other.beta, rtol=1e-12)
    with pytest.raises(errors.UnknownChoiceError, match="missing"):
        mx.RandomEffects(es, x, missing="x")  # type: ignore[arg-type]


def test_words_that_read_like_a_missing_value_are_warned_of() -> None:
    for word in ("NA", "n/a", "-"):
        with pytest.warns(errors.UnclearLevelWarning, match=word):
            mx.RandomEffects(with_column([word, "a", "a", "b", "b", "b"]), "g")


@pytest.mark.parametrize("bad", ["6*", "5,1", "n.d.", "12 mg"])
@pytest.mark.parametrize("as_text", [True, False])
def test_one_cell_of_text_among_numbers_is_named(bad: str, as_text: bool) -> None:
    cells: list[object] = [1, 2, 3, 4, 5, bad]
    es = with_column(pd.Series([str(c) if as_text else c for c in cells], dtype=object))
    with pytest.raises(errors.InputError) as caught:
        mx.RandomEffects(es, "g")
    assert caught.value.rows == (f"row 6: {bad!r}",)
    assert mx.RandomEffects(with_column([*cells, *cells]), "C(g)").fit().design.p == 6


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(["2020-01-01"] * 3 + ["2021-01-01"] * 3),
        [1j, 2, 3, 4, 5, 6],
        [[1], [2], [3], [4], [5], [6]],
    ],
)
def test_cells_that_are_neither_numbers_nor_words_are_refused(values: object) -> None:
    with pytest.raises(errors.InputError, match=r"neither|dates|complex"):
        mx.RandomEffects(with_column(pd.Series(values)), "g")


def test_a_text_that_is_the_name_of_a_column_is_that_column() -> None:
    for name in ("Measure (1 = Device)", "a + b", "log(dose)", "year of study", "1", "x:y", "~z"):
        data = pd.DataFrame({name: [0, 1, 2] * 2, "other": range(6)})
        es = mx.EffectSizes([0.1, 0.3, 0.2, 0.5, 0.4, 0.7], [0.02] * 6, data=data)
        fit = mx.RandomEffects(es, name).fit()
        assert fit.design.names == ("intercept", name)
        assert mx.RandomEffects(es, name, intercept=False).fit().design.names == (name,)
        assert fit.predict({name: [1.0]})["estimate"].iloc[0] == pytest.approx(fit.beta.sum())
        if not name.isidentifier() and name != "1":
            assert mx.RandomEffects(es, f"`{name}` + other").fit().design.names == (
                "intercept",
                name,
                "other",
            )
    data = pd.DataFrame({"year of study": range(6), "x": [1, 2, 1, 2, 1, 3]})
    es = mx.EffectSizes(es.y, es.v, data=data)
    with pytest.raises(errors.FormulaError, match="`year of study`"):
        mx.RandomEffects(es, "year of study + x")


def test_text_that_reads_as_numbers_is_ordered_as_numbers() -> None:
    es = with_column(["10", "2", "9", "10", "2", "9"])
    assert mx.RandomEffects(es, "g").design.names == ("intercept", "g9", "g10")


def test_names_fit_the_moderators() -> None:
    es = mx.EffectSizes([0.1, 0.5, 0.2, 0.9], [0.02] * 4)
    x = [[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [4.0, 1.0]]
    for names in (["a"], ["a", "b", "c"], ["a", "a"], ["a", ""], "ab", ["a", "intercept"], 3):
        with pytest.raises(errors.InputError):
            mx.RandomEffects(es, x, names=names)  # type: ignore[arg-type]


def test_moderators_of_another_index_are_refused() -> None:
    table = pd.DataFrame(
        {"y": [0.1, 0.5, 0.2, 0.9], "v": [0.02] * 4, "x": [1.0, 2.0, 4.0, 3.0]}, index=list("abcd")
    )
    es = mx.EffectSizes(table.y, table.v, data=table)
    turned = table["x"].iloc[::-1]
    for moderators in (turned, turned.to_frame()):
        with pytest.raises(errors.InputError, match="index"):
            mx.RandomEffects(es, moderators)
    with pytest.raises(errors.InputError, match="index"):
        mx.RandomEffects(es, weights=turned)
    assert mx.RandomEffects(es, table["x"]).design.names == ("intercept", "x")


def test_new_rows_of_moderators_in_columns_have_these_columns_and_no_others() -> None:
    table = pd.DataFrame({"dose": [1.0, 2, 4, 3, 5], "year": [2001.0, 2004, 2002, 2003, 2009]})
    es = mx.EffectSizes([0.1, 0.3, 0.2, 0.5, 0.4], [0.02] * 5)
    new = pd.DataFrame({"dose": [2.0], "year": [2003.0], "yaer": [2001.0]})
    for fit in (mx.RandomEffects(es, table).fit(), mx.Multilevel(es, "effect", moderators=table).fit()):
        with pytest.raises(errors.UnknownChoiceError, match=r"'yaer' is not known.*'year'"):
            fit.predict(new)
    by_formula = mx.RandomEffects(es.with_columns(dose=table["dose"].tolist()), "dose").fit()
    assert len(by_formula.predict(new)) == 1  # a formula takes what it names from a larger table


STUDIES = ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]
DOSES = [1.0, 2.0, None, 1.0, 3.0, 2.0, 4.0, 1.0, 2.0, 5.0]
SOURCES = ["m", "p", "m", "p", " ", "p", "m", "m", "p", "m"]
TEN_Y = np.array([0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.8])
TEN_V = np.array([0.02, 0.03, 0.02, 0.04, 0.03, 0.02, 0.05, 0.03, 0.02, 0.04])


def ten_effects(rows: list[int] | None = None) -> mx.EffectSizes:
    at = list(range(10)) if rows is None else rows
    data = pd.DataFrame({"dose": DOSES, "source": SOURCES}).iloc[at].reset_index(drop=True)
    return mx.EffectSizes(TEN_Y[at], TEN_V[at], study=[STUDIES[i] for i in at], data=data)


def covariance_of(rows: list[int]) -> np.ndarray:
    same = np.equal.outer(np.array(STUDIES), np.array(STUDIES))
    v = 0.5 * np.sqrt(np.outer(TEN_V, TEN_V)) * same
    np.fill_diagonal(v, TEN_V)
    return v[np.ix_(rows, rows)]


ALL, WITH_DOSE = list(range(10)), [0, 1, 3, 4, 5, 6, 7, 8, 9]
WITH_BOTH = [0, 1, 3, 5, 6, 7, 8, 9]


def as_matrix(rows: list[int]) -> object:
    return covariance_of(rows)


def as_list_of_arrays(rows: list[int]) -> object:
    names = [STUDIES[i] for i in rows]
    return [covariance_of([i for i in rows if STUDIES[i] == s]) for s in dict.fromkeys(names)]


def as_blocks(rows: list[int]) -> object:
    return mx.effects.covariance_blocks(TEN_V[rows], [STUDIES[i] for i in rows], correlation=0.5)


@pytest.mark.parametrize("v_of", [as_matrix, as_list_of_arrays, as_blocks, lambda rows: None])
@pytest.mark.parametrize("weights", [None, "equal", np.arange(1.0, 11.0)])
@pytest.mark.parametrize("moderators", ["dose", np.array(DOSES, dtype=float)])
def test_a_multilevel_model_without_missing_rows_is_that_of_the_other_rows(
    v_of: object, weights: object, moderators: object
) -> None:
    es, v = ten_effects(), v_of(ALL)  # type: ignore[operator]
    with pytest.raises(errors.InputError, match=r"missing=.drop. in the call that makes the model") as caught:
        mx.Multilevel(es, "study", V=v, moderators=moderators, weights=weights)
    assert len(caught.value.rows) == 1
    with pytest.warns(errors.RowsLeftOutWarning, match="1 of 10"):
        fit = mx.Multilevel(es, "study", V=v, moderators=moderators, weights=weights, missing="drop").fit()
    kept = weights[WITH_DOSE] if isinstance(weights, np.ndarray) else weights
    part = moderators[WITH_DOSE] if isinstance(moderators, np.ndarray) else moderators
    other = mx.Multilevel(
        ten_effects(WITH_DOSE),
        "study",
        V=v_of(WITH_DOSE),
        moderators=part,
        weights=kept,  # type: ignore[operator]
    ).fit()
    np.testing.assert_allclose(fit.beta, other.beta, rtol=1e-9)
    np.testing.assert_allclose(fit.se, other.se, rtol=1e-9)
    np.testing.assert_allclose(fit.llf, other.llf, rtol=1e-9)
    assert fit.effects.ledger.counts().iloc[1]["rows"] == 1


@pytest.mark.filterwarnings("ignore::metaexo.errors.ScaleBoundaryWarning")
def test_a_location_scale_model_leaves_out_rows_without_a_moderator_of_either_part() -> None:
    es = ten_effects()
    options = {"dependence": "accept"}
    for parts in ({"location": "dose"}, {"scale": "source"}, {"location": np.array(DOSES, dtype=float)}):
        with pytest.raises(errors.InputError, match=r"missing=.drop. in the call that makes the model"):
            mx.LocationScale(es, **parts, **options)  # type: ignore[arg-type]
    with pytest.warns(errors.RowsLeftOutWarning, match="2 of 10 rows have no value of dose, source"):
        model = mx.LocationScale(es, "dose", "source", missing="drop", **options)  # type: ignore[arg-type]
    other = mx.LocationScale(ten_effects(WITH_BOTH), "dose", "source", **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(model.effects.y, other.effects.y)
    np.testing.assert_allclose(model.design.matrix(8), other.design.matrix(8))
    np.testing.assert_allclose(model.scale_design.matrix(8), other.scale_design.matrix(8))
    np.testing.assert_allclose(model.fit(method="ML").beta, other.fit(method="ML").beta, rtol=1e-6)
    assert model.effects.ledger.counts().iloc[1]["rows"] == 2


def test_a_censored_model_leaves_out_rows_without_a_moderator() -> None:
    inf = float("inf")
    lower = np.array([0.2, 0.9, 0.6, 0.7, -0.6, -0.7, 0.4])
    upper = np.array([0.2, 0.9, 0.6, inf, 0.6, 0.7, 0.4])
    v, x = np.array([0.08, 0.10, 0.09, 0.13, 0.09, 0.12, 0.1]), [1.0, 2.0, 3.0, np.nan, 1.0, 2.0, 4.0]
    kept = [0, 1, 2, 4, 5, 6]

    def bounded(rows: list[int]) -> mx.effects.BoundedEffectSizes:
        data = pd.DataFrame({"dose": [x[i] for i in rows]})
        return mx.effects.bounded_effects(lower[rows], upper[rows], v[rows], data=data)

    right = mx.CensoredRandomEffects(bounded(kept), "dose").fit(test="z")
    for moderators in ("dose", x, np.ma.masked_invalid(x), pd.DataFrame({"dose": x})):
        with pytest.raises(errors.InputError, match=r"missing=.drop. in the call that makes the model"):
            mx.CensoredRandomEffects(bounded(list(range(7))), moderators)
        with pytest.warns(errors.RowsLeftOutWarning, match="1 of 7"):
            model = mx.CensoredRandomEffects(bounded(list(range(7))), moderators, missing="drop")
        fit = model.fit(test="z")
        np.testing.assert_allclose(fit.beta, right.beta, rtol=1e-9)
        assert model.effects.ledger.counts().iloc[1]["rows"] == 1


def test_directions_and_missing_moderators_are_left_out_side_by_side() -> None:
    inf = float("inf")
    lower, upper = [0.2, 0.9, 0.0, 0.6, 0.1, 0.4], [0.2, 0.9, inf, 0.6, 0.1, 0.4]
    v, x = [0.08, 0.1, np.nan, 0.09, 0.1, 0.1], [1.0, 2.0, 3.0, np.nan, 1.5, 4.0]
    kept = [0, 1, 4, 5]
    es = mx.effects.bounded_effects(lower, upper, v)
    with pytest.warns(errors.RowsLeftOutWarning) as said:
        model = mx.CensoredRandomEffects(es, x, missing="drop")
    assert len(said) == 2
    np.testing.assert_array_equal(model.effects.lower, np.array(lower)[kept])
    np.testing.assert_array_equal(model.design.matrix(4)[:, 1], np.array(x)[kept])
    with pytest.warns(errors.RowsLeftOutWarning, match="direction"), pytest.raises(errors.ShapeError):
        mx.CensoredRandomEffects(es, [1.0, 2.0, 3.0])
    with pytest.warns(errors.RowsLeftOutWarning, match="direction"), pytest.raises(errors.InputError):
        mx.CensoredRandomEffects(es, np.ma.masked_equal([1.0, 2.0, 3.0, 99.0, 1.5, 4.0], 99.0))


def test_an_infinite_moderator_is_not_said_to_be_left_out_as_missing() -> None:
    es = mx.EffectSizes([0.1, 0.5, 0.2, 0.9], [0.02, 0.03, 0.02, 0.05])
    with pytest.raises(errors.InputError, match="infinite") as caught:
        mx.RandomEffects(es, [1.0, np.inf, 2.0, 4.0])
    assert "missing=" not in str(caught.value)


def test_leaving_out_every_row_is_refused() -> None:
    es, lost = mx.EffectSizes([0.1, 0.5, 0.2], [0.02, 0.03, 0.02]), [np.nan] * 3
    for make in (
        lambda: mx.RandomEffects(es, lost, missing="drop"),
        lambda: mx.Multilevel(es, "study", moderators=lost, missing="drop"),
        lambda: mx.LocationScale(es, scale=lost, missing="drop"),
        lambda: mx.CensoredRandomEffects(es, lost, missing="drop"),
    ):
        with pytest.raises(errors.TooFewStudiesError, match="none of 3 rows"):
            make()


@pytest.mark.parametrize(
    "ask",
    [
        lambda es: mx.RandomEffects(es, "g"),
        lambda es: mx.Multilevel(es, "g", moderators="g"),
        lambda es: mx.LocationScale(es, "g"),
        lambda es: mx.identifiable_terms(es, ["g", "effect"]),
        lambda es: mx.RandomEffects(es).fit(),
    ],
)
def test_no_effects_and_a_factor_are_refused_as_no_effects(ask):
    data = pd.DataFrame({"g": list("abc") * 2})
    none = mx.EffectSizes(np.arange(6.0), np.full(6, 0.1), data=data).select(np.zeros(6, bool), "none")
    with pytest.raises(mx.errors.TooFewStudiesError):
        ask(none)
