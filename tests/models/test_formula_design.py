"""From formulas to columns: coding, names, new rows, and errors that name what is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.ledger import Ledger
from metaexo.models.linear.design import make_design, own_parts

RNG = np.random.default_rng(5)
K = 18
DATA = pd.DataFrame(
    {
        "source": ["milk", "adipose", "plant"] * 6,
        "method": ["uc", "uc", "uc", "kit", "kit", "kit"] * 3,
        "dose": RNG.uniform(1, 9, K).round(2),
        "year": RNG.integers(2010, 2024, K),
        "grade": [1.0, 2.0, 3.0, 4.0, 2.0, 1.0] * 3,
        "blind": [True, False] * 9,
    }
)
Y, V = RNG.normal(0.5, 0.4, K), RNG.uniform(0.02, 0.2, K)


def design(text: str, data: pd.DataFrame = DATA, **options):
    return make_design(text, len(data), data=data, **options)


def effects(data: pd.DataFrame = DATA, **options) -> mx.EffectSizes:
    return mx.EffectSizes(Y[: len(data)], V[: len(data)], data=data, **options)


def test_levels_are_sorted_and_the_first_is_the_base() -> None:
    made = design("source + dose")
    assert made.names == ("intercept", "sourcemilk", "sourceplant", "dose")
    np.testing.assert_array_equal(made.x[:3, 1:3], [[1, 0], [0, 0], [0, 1]])
    assert [(term.name, term.columns) for term in made.terms] == [("source", (1, 2)), ("dose", (3,))]


def test_the_base_can_be_chosen() -> None:
    made = design('C(source, base="milk")')
    assert made.names == ("intercept", "C(source)adipose", "C(source)plant")
    other = mx.RandomEffects(effects(), 'C(source, base="milk")').fit()
    same = mx.RandomEffects(effects(), "source").fit()
    assert other.llf == pytest.approx(same.llf, rel=1e-12)
    np.testing.assert_allclose(other.predict()["estimate"], same.predict()["estimate"], rtol=1e-10)
    with pytest.raises(errors.UnknownChoiceError, match="'adipose', 'milk', 'plant'"):
        design('C(source, base="soy")')


def test_numbers_become_a_factor_only_when_asked_and_truth_values_always() -> None:
    assert design("grade").names == ("intercept", "grade")
    assert design("factor(grade)").names == (
        "intercept",
        "factor(grade)2",
        "factor(grade)3",
        "factor(grade)4",
    )
    assert design("blind").names == ("intercept", "blindTrue")


def test_a_categorical_keeps_its_order_and_a_level_without_rows_is_none() -> None:
    ordered = DATA.assign(source=pd.Categorical(DATA["source"], ["plant", "milk", "adipose"]))
    assert design("source", ordered).names == ("intercept", "sourcemilk", "sourceadipose")
    empty = DATA.assign(source=pd.Categorical(DATA["source"], ["adipose", "milk", "plant", "soy"]))
    made = design("source", empty)
    assert made.names == design("source").names
    assert "'soy' of source" in made.notes[0]
    assert "'soy'" in str(mx.RandomEffects(effects(empty), "source").fit().summary())
    with pytest.raises(errors.UnknownChoiceError, match="'adipose', 'milk', 'plant'"):
        made.encode(pd.DataFrame({"source": ["soy"]}))


def test_capitals_do_not_go_before_all_other_letters() -> None:
    data = pd.DataFrame({"source": ["b", "A", "C", "a"]})
    assert design("source", data).names == ("intercept", "sourcea", "sourceb", "sourceC")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0 + source", ["sourceadipose", "sourcemilk", "sourceplant"]),
        ("0 + method + blind", ["methodkit", "methoduc", "blindTrue"]),
        ("dose:method", ["intercept", "dose:methodkit", "dose:methoduc"]),
        ("dose + dose:method", ["intercept", "dose", "dose:methoduc"]),
        ("method + method:dose", ["intercept", "methoduc", "methodkit:dose", "methoduc:dose"]),
        ("method:blind", ["intercept", "blindTrue", "methoduc:blindFalse", "methoduc:blindTrue"]),
        ("0 + method:blind", [f"method{m}:blind{b}" for b in (False, True) for m in ("kit", "uc")]),
        ("dose*method", ["intercept", "dose", "methoduc", "dose:methoduc"]),
    ],
)
def test_a_factor_keeps_all_levels_where_its_margin_is_missing(text: str, names: list[str]) -> None:
    made = design(text)
    assert list(made.names) == names
    assert np.linalg.matrix_rank(made.x) == made.p


def test_a_product_without_its_margins_is_the_model_of_all_cells() -> None:
    fit = mx.RandomEffects(effects(), "source:method").fit()
    crossed = mx.RandomEffects(effects(), "source*method").fit()
    assert [(term.name, len(term.columns)) for term in fit.design.terms] == [("source:method", 5)]
    assert fit.llf == pytest.approx(crossed.llf, rel=1e-12)
    fitted = crossed.predict()["estimate"]
    np.testing.assert_allclose(fit.predict()["estimate"], fitted, rtol=1e-10)
    np.testing.assert_allclose(fit.predict(DATA.iloc[[3]])["estimate"], fitted[[3]], rtol=1e-10)


def test_products_are_products() -> None:
    made = design("source*dose")
    column = dict(zip(made.names, made.x.T, strict=True))
    np.testing.assert_array_equal(column["sourcemilk:dose"], (DATA["source"] == "milk") * DATA["dose"])
    assert made.terms[-1].name == "source:dose"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(dose)", np.log),
        ("log10(dose/10)", lambda d: np.log10(d / 10)),
        ("I(dose^2 - 2*dose)", lambda d: d**2 - 2 * d),
        ("sqrt(dose)", np.sqrt),
        ("exp(-dose)", lambda d: np.exp(-d)),
        ("center(dose)", lambda d: d - d.mean()),
        ("scale(log2(dose))", lambda d: (np.log2(d) - np.log2(d).mean()) / np.log2(d).std(ddof=1)),
    ],
)
def test_transforms(text: str, expected) -> None:
    dose = DATA["dose"].to_numpy()
    np.testing.assert_allclose(design(text).x[:, 1], expected(dose), rtol=1e-12)


@pytest.mark.parametrize(
    "text",
    ["poly(dose, 2)", "poly(dose, 3, raw=True)", "bs(dose, df=4)", "cr(dose, df=3)", "cr(scale(dose), df=3)"],
)
def test_splines_span_and_are_the_same_at_new_rows(text: str) -> None:
    made = design(text)
    assert made.p == {"poly(dose, 2)": 3, "poly(dose, 3, raw=True)": 4, "bs(dose, df=4)": 5}.get(text, 4)
    np.testing.assert_array_equal(made.encode(DATA), made.x)
    for row in (4, 2):  # one new row does not see the others
        np.testing.assert_allclose(made.encode(DATA.iloc[[row]])[0], made.x[row], rtol=1e-12, atol=1e-14)
    assert len(made.terms) == 1


def test_a_spline_outside_its_range_is_refused_in_words() -> None:
    with pytest.raises(errors.InputError, match="bs"):
        design("bs(dose, df=4)").encode(DATA.assign(dose=99.0))
    with pytest.raises(errors.InputError, match="poly"):
        design("poly(dose, degree='two')")


def test_predictions_code_new_rows_as_the_fit_did() -> None:
    fit = mx.RandomEffects(effects(), "source*scale(dose) + blind").fit()
    np.testing.assert_allclose(fit.predict(DATA)["estimate"], fit.predict()["estimate"], rtol=1e-10)
    row = pd.DataFrame({"source": ["plant"], "dose": [4.0], "blind": [True]})
    z = (4.0 - DATA["dose"].mean()) / DATA["dose"].std()
    b = fit.params
    by_hand = (
        b["intercept"]
        + b["sourceplant"]
        + z * (b["scale(dose)"] + b["sourceplant:scale(dose)"])
        + b["blindTrue"]
    )
    assert fit.predict(row)["estimate"].iloc[0] == pytest.approx(by_hand, rel=1e-12)


def test_new_rows_with_unknown_levels_or_columns_are_answered() -> None:
    fit = mx.RandomEffects(effects(), "source + dose").fit()
    with pytest.raises(
        errors.UnknownChoiceError, match=r"level of source 'soy'.*'adipose', 'milk', 'plant'.*row 2"
    ):
        fit.predict(pd.DataFrame({"source": ["milk", "soy"], "dose": [1.0, 2.0]}))
    with pytest.raises(
        errors.InputError, match=r"no column 'dose'; it has 'source', 'dosis'.*: rename 'dosis'"
    ):
        fit.predict(pd.DataFrame({"source": ["milk"], "dosis": [1.0]}))
    with pytest.raises(errors.InputError, match="row 1: dose"):
        fit.predict(pd.DataFrame({"source": ["milk"], "dose": [np.nan]}))
    assert len(fit.predict([[1.0, 0.0, 3.0]])) == 1
    assert len(mx.RandomEffects(effects(), "1").fit().predict(DATA)) == K


def test_missing_values_name_the_lines_of_the_sheet() -> None:
    data = DATA.copy()
    data.loc[4, "dose"] = np.nan
    data.loc[7, "source"] = None
    es = effects(data, ledger=Ledger("outcomes.csv", tuple(range(2, K + 2))))
    with pytest.raises(errors.InputError) as caught:
        mx.RandomEffects(es, "source + dose")
    assert set(caught.value.rows) == {"outcomes.csv:6: dose", "outcomes.csv:9: source"}


def test_values_that_cannot_be_transformed_are_named() -> None:
    with pytest.raises(errors.InputError, match=r"log\(dose\).*row 3"):
        design("log(dose)", DATA.assign(dose=DATA["dose"].where(DATA.index != 2, -1.0)))


def test_words_do_not_enter_arithmetic() -> None:
    with pytest.raises(errors.InputError, match="'source' holds words"):
        design("log(source)")
    with pytest.raises(errors.InputError, match="formula"):
        mx.RandomEffects(effects(), DATA[["source"]])


def test_a_formula_needs_data_and_names_itself() -> None:
    bare = mx.EffectSizes(Y, V)
    with pytest.raises(errors.UnknownChoiceError, match="source"):
        mx.RandomEffects(bare, "source")
    assert mx.RandomEffects(bare, "1").fit().design.x is None
    with pytest.raises(errors.InputError, match="names"):
        mx.RandomEffects(effects(), "dose", names=["dose"])
    with pytest.raises(errors.InputError, match="no columns"):
        design("0")
    assert design("source", intercept=False).names[0] == "sourceadipose"


def test_columns_that_share_a_name_are_refused() -> None:
    twice = pd.concat([DATA[["dose"]], DATA[["dose"]]], axis=1)
    with pytest.raises(errors.InputError, match="several columns called 'dose'"):
        design("dose", twice)


def test_redundant_columns_are_refused_by_name_or_dropped_in_order() -> None:
    data = DATA.assign(twice=2 * DATA["dose"] + 1, is_milk=(DATA["source"] == "milk") * 1.0)
    with pytest.raises(errors.CollinearError, match="columns twice, is_milk add nothing"):
        design("source + dose + twice + is_milk + year", data)
    with pytest.warns(errors.RedundantColumnsWarning, match="twice, is_milk"):
        made = design("source + dose + twice + is_milk + year", data, redundant="drop")
    assert made.dropped == ("twice", "is_milk")
    assert made.names == ("intercept", "sourcemilk", "sourceplant", "dose", "year")
    assert [term.columns for term in made.terms] == [(1, 2), (3,), (4,)]
    np.testing.assert_allclose(made.encode(data), made.x)


def test_a_design_of_nothing_is_refused_even_if_redundant_columns_may_go() -> None:
    with pytest.raises(errors.CollinearError, match="nothing"):
        design("0 + nothing", DATA.assign(nothing=0.0), redundant="drop")


def test_as_many_columns_as_rows_is_the_most() -> None:
    with pytest.raises(errors.CollinearError, match="at least as many rows"):
        make_design(np.eye(3)[::-1] + 1.0, 3)


def test_a_nearly_redundant_column_warns() -> None:
    near = DATA.assign(near=DATA["dose"] + 1e-6 * np.sin(np.arange(K)))
    with pytest.warns(errors.NearlyCollinearWarning, match="near is almost"):
        design("dose + near", near)
    design("year + I(year^2)")  # a curve in years is far from that


def test_own_parts_are_lengths_off_the_columns_before() -> None:
    x = np.array([[1.0, 1.0, 2.0], [1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 2.0]])
    np.testing.assert_allclose(own_parts(x), [1.0, np.sqrt(0.5), 0.0], atol=1e-12)


def test_a_column_of_fives_is_no_intercept_but_a_column_of_ones_is() -> None:
    fives = make_design(
        np.column_stack([np.full(K, 5.0), DATA["dose"]]), K, ["five", "dose"], intercept=False
    )
    ones = make_design(np.column_stack([np.ones(K), DATA["dose"]]), K, ["one", "dose"], intercept=False)
    assert fives.intercept is None
    assert list(fives.tested) == [0, 1]
    assert ones.intercept == 0
    assert [term.name for term in ones.terms] == ["dose"]


def test_columns_may_be_called_like_words_of_python() -> None:
    data = pd.DataFrame({"class": ["a", "b", "a", "b", "b"], "lambda": [1.0, 2.0, 3.0, 4.0, 6.0]})
    es = mx.EffectSizes([0.1, 0.3, 0.2, 0.5, 0.9], [0.02] * 5, data=data)
    assert mx.RandomEffects(es, "0 + C(class)").design.names == ("C(class)a", "C(class)b")
    model = mx.RandomEffects(es, "class + log(lambda)")
    assert model.design.names == ("intercept", "classb", "log(lambda)")
    assert np.allclose(model.design.matrix(5)[:, 2], np.log(data["lambda"]))
    with pytest.raises(errors.FormulaError, match=r"'class if class else 1'"):
        mx.RandomEffects(es, "I(class if class else 1)")


@pytest.mark.parametrize("spline", ["bs(dose, df = 4)", "cr(dose, df = 3)"])
def test_a_spline_is_not_carried_beyond_the_data(spline: str) -> None:
    fit = mx.RandomEffects(effects(), spline).fit()
    top = DATA["dose"].max()
    assert len(fit.predict(pd.DataFrame({"dose": [top]}))) == 1
    with pytest.raises(errors.InputError, match=r"lies outside .*beyond the data"):
        fit.predict(pd.DataFrame({"dose": [2 * top]}))
