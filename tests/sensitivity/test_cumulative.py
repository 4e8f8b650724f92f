"""Cumulative analyses: every step is the fit of the rows so far by hand."""

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.sensitivity import cumulative
from tests.contract.test_results import EXAMPLES, example
from tests.sensitivity.test_refits import V, Y, agree

YEAR = [2012, 2010, 2015, 2012, 2011, 2015, 2016, 2009]
DATA = pd.DataFrame({"year": YEAR, "dose": [1.0, 2, 4, 3, 6, 5, 2, 3], "study": list("abcdefgh")})
ES = mx.EffectSizes(Y, V, data=DATA)


@pytest.mark.parametrize("moderators", [None, "dose"])
@pytest.mark.parametrize("descending", [False, True])
def test_each_step_is_the_fit_of_the_rows_so_far(moderators, descending):
    found = cumulative(mx.RandomEffects(ES, moderators).fit(), descending=descending)
    years = sorted(set(YEAR), reverse=descending)
    assert found.labels == tuple(map(str, years))
    for i, year in enumerate(years):
        part = ES.select(DATA["year"] >= year if descending else DATA["year"] <= year)
        assert set(found.added[i]) == set(DATA["study"][DATA["year"] == year])
        if moderators and part.k < 3:
            assert i in found.reasons
        elif part.k == 1:
            agree(found, i, mx.RandomEffects(part).fit("EE"))
        else:
            agree(found, i, mx.RandomEffects(part, moderators).fit())


def test_values_of_bcg():
    """The second and the last row of cumul(rma(yi, vi), order=year) of metafor 3.8-1, dat.bcg."""
    es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    found = cumulative(mx.RandomEffects(es).fit(test="z"), ties="rows")
    ends = [1, 12]
    np.testing.assert_allclose(found.estimate[ends], [-1.3250034422, -0.7145323484], rtol=1e-4)
    np.testing.assert_allclose(found.high[ends, 0], [-0.6409980176, -0.3621670210], rtol=1e-4)
    np.testing.assert_allclose(found.tau2[ends], [0.0, 0.313243326], rtol=1e-4)
    np.testing.assert_allclose(found.q[ends], [0.9314790774, 152.2330080824], rtol=1e-8)


def test_studies_of_one_year_enter_together_or_in_the_order_of_the_rows():
    fit = mx.RandomEffects(ES).fit()
    together, single = cumulative(fit), cumulative(fit, ties="rows")
    assert [len(names) for names in together.added] == [1, 1, 1, 2, 2, 1]
    assert [names[0] for names in single.added] == ["h", "b", "e", "a", "d", "c", "f", "g"]
    np.testing.assert_allclose(single.estimate[[0, 1, 2, 4, 6, 7]], together.estimate)
    assert single.estimate[3] == pytest.approx(mx.RandomEffects(ES.select([0, 1, 4, 7])).fit().estimate)


def test_a_study_enters_as_a_whole_with_its_first_value():
    data = DATA.assign(study=list("aabbccdd"))
    fit = mx.Multilevel(mx.EffectSizes(Y, V, data=data)).fit()
    found = cumulative(fit)
    assert (found.labels, found.added) == (("2009", "2010", "2011", "2012"), (("d",), ("a",), ("c",), ("b",)))
    assert found.k.tolist() == [2, 4, 6, 8]
    np.testing.assert_allclose(found.beta[3], fit.beta, rtol=1e-6)
    by_effect = cumulative(fit, cluster="effect")
    assert by_effect.k.tolist() == [1, 2, 3, 5, 7, 8]
    assert 0 in by_effect.reasons


def test_order_can_be_values_dates_or_text():
    fit = mx.RandomEffects(ES).fit()
    by_precision = cumulative(fit, 1 / V, descending=True)
    assert by_precision.rows[0].tolist() == np.flatnonzero(V.min() == V).tolist()
    dates = pd.to_datetime([f"{year}-03-01" for year in YEAR])
    np.testing.assert_allclose(cumulative(fit, dates).estimate, cumulative(fit).estimate)
    words = cumulative(fit, [str(year) for year in YEAR])
    assert words.labels == cumulative(fit).labels
    assert cumulative(fit, "dose").labels == ("1", "2", "3", "4", "5", "6")


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_family_ends_with_the_fit(kind):
    fit = example(kind, next(iter(EXAMPLES[kind])))
    found = cumulative(fit, "dose", level=fit.level)
    np.testing.assert_allclose(found.beta[-1], fit.beta, rtol=1e-5)
    np.testing.assert_allclose(found.low[-1], fit.bounds()[0], rtol=1e-5)


def test_the_sentence_says_since_when_p_is_small():
    y, v = [0.9, 0.8, 0.6, 0.7, 0.75], [0.4, 0.3, 0.2, 0.05, 0.02]
    data = pd.DataFrame({"year": [2001, 2003, 2005, 2007, 2009]})
    found = cumulative(mx.RandomEffects(mx.EffectSizes(y, v, data=data)).fit(test="z"))
    small = found.pvalue[:, 0] < 0.05
    assert small.tolist() == [False, True, True, True, True]
    assert found.sentence == (
        "Cumulative, by year, 5 steps: estimate 0.900 (2001) to 0.735 (2009); p < 0.05 from 2003 on. "
        "1 step is one effect alone: its own estimate with normal quantiles, no tau2."
    )
    assert list(found.to_frame())[:3] == ["added", "k", "m"]
    assert found.to_frame().index.name == "year"


def test_wrong_inputs_are_said():
    fit = mx.RandomEffects(ES).fit()
    gaps = [2010.0, np.nan, *YEAR[2:]]
    for wrong, error in (
        (lambda: cumulative([0.2], "year"), mx.errors.InputError),
        (lambda: cumulative(fit, "years"), mx.errors.UnknownChoiceError),
        (lambda: cumulative(fit, YEAR[:3]), mx.errors.ShapeError),
        (lambda: cumulative(fit, gaps), mx.errors.InputError),
        (lambda: cumulative(fit, ties="both"), mx.errors.UnknownChoiceError),
        (lambda: cumulative(fit, descending="yes"), mx.errors.InputError),
        (lambda: cumulative(fit, cluster="lab"), mx.errors.UnknownChoiceError),
        (lambda: cumulative(fit, 3), mx.errors.InputError),
    ):
        with pytest.raises(error):
            wrong()


def test_an_order_of_text_and_the_measure_are_said():
    data = pd.DataFrame({"lab": list("cab")})
    es = mx.EffectSizes([0.9, -0.8, 0.1], [0.4, 0.3, 0.2], "SMD", data=data)
    said = cumulative(mx.RandomEffects(es).fit(test="z"), "lab").sentence
    assert said.startswith("Cumulative, by lab (text, in alphabetical order), 3 steps: ")
    assert "standardised mean difference −0.800 (a) to" in said
    assert "p ≥ 0.05 at the end" in said
    with pytest.raises(mx.errors.UnknownChoiceError) as error:
        cumulative(
            mx.RandomEffects(mx.EffectSizes([0.1], [0.1], data=pd.DataFrame({"study": ["a"]}))).fit(
                method="EE"
            ),
            "yeer",
        )
    assert str(error.value).count("'study'") == 1


def test_a_result_stands_from_where_it_is_on_the_side_of_the_last() -> None:
    es = mx.EffectSizes([2.0, -3.0, -3.0, -3.0], [0.1] * 4)
    found = mx.sensitivity.cumulative(mx.RandomEffects(es).fit("EE"), [2000, 2001, 2002, 2003])
    assert (found.pvalue[:, 0] < 0.05).tolist() == [True, True, True, True]
    assert found.estimate[1] < 0 < found.estimate[0]
    assert "p < 0.05 from 2001 on" in found.sentence


def test_long_numbers_of_an_order_are_rounded_in_labels() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])).fit()
    found = mx.sensitivity.cumulative(fit, [252.42458242622, 14.0046882714052, 5403454.28373444])
    assert found.labels == ("14.0047", "252.425", "5403454")
