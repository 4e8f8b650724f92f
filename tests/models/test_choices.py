"""Words of the field are understood at every door, and the result says the one name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.models.linear.choices import TEST_SYNONYMS
from metaexo.models.univariate.inference import TESTS
from metaexo.models.univariate.intervals import INTERVALS
from metaexo.numeric.estimators import ESTIMATORS, SYNONYMS

Y, V = np.array([0.1, 0.4, 0.2, 0.6, 0.3, 0.5]), np.array([0.02, 0.05, 0.03, 0.04, 0.02, 0.03])
STUDY = ["a", "a", "b", "c", "d", "e"]

METHODS = {
    **dict.fromkeys(("CE", "FE", "EE", "fixed", "common", "equal", "fixed-effect", "common effect"), "EE"),
    **dict.fromkeys(("DL", "dl", "DerSimonian-Laird", "dersimonian laird"), "DL"),
    **dict.fromkeys(("Paule-Mandel", "PM", "paule mandel"), "PM"),
    **dict.fromkeys(("Sidik-Jonkman", "SJ"), "SJ"),
    **dict.fromkeys(("Hedges", "HE", "Hedges-Olkin"), "HE"),
    **dict.fromkeys(("Hunter-Schmidt", "HS"), "HS"),
    **dict.fromkeys(("empirical Bayes", "EB"), "EB"),
    **dict.fromkeys(("reml", "restricted maximum likelihood"), "REML"),
    **dict.fromkeys(("ml", "maximum likelihood"), "ML"),
}
WORDS = {
    **dict.fromkeys(
        ("knha", "hksj", "HK", "hartung-knapp", "Hartung Knapp", "Knapp-Hartung"), "knapp-hartung"
    ),
    **dict.fromkeys(("adhoc", "ad hoc", "knapp_hartung_adhoc"), "knapp-hartung-adhoc"),
    **dict.fromkeys(("Z", "normal"), "z"),
    "T": "t",
}


def effects():
    return mx.EffectSizes(Y, V)


@pytest.mark.parametrize(("word", "code"), METHODS.items())
def test_methods(word, code):
    fit = mx.RandomEffects(effects()).fit(method=word, test="z")
    assert fit.method == code
    assert fit.tau2 == mx.RandomEffects(effects()).fit(method=code, test="z").tau2
    many = mx.fit_many(Y[None], V[None], method=word, test="z")
    np.testing.assert_allclose(many.tau2[0], fit.tau2, rtol=1e-12)


@pytest.mark.parametrize(("word", "name"), WORDS.items())
def test_tests(word, name):
    fit = mx.RandomEffects(effects()).fit(test=word)
    assert fit.test == name
    np.testing.assert_allclose(mx.fit_many(Y[None], V[None], test=word).low[0], fit.conf_int()["low"].iloc[0])
    strata = mx.stratify(mx.EffectSizes(Y, V, data=pd.DataFrame({"g": list("aaabbb")})), by="g", test=word)
    assert strata.test == name
    assert mx.CensoredRandomEffects(mx.bounded_effects(Y, Y, V)).fit(test=word).test == name


@pytest.mark.parametrize(("word", "name"), [("Normal", "z"), ("T", "t"), ("containment", "t-containment")])
def test_tests_of_multilevel_models(word, name):
    model = mx.Multilevel(mx.EffectSizes(Y, V, study=STUDY), "study")
    assert model.fit(test=word).test == name
    assert model.fit(method="maximum likelihood").method == "ML"


@pytest.mark.parametrize("word", ["knapp", "hksjj", "", 3, None, "wald"])
def test_what_is_no_test_is_refused_with_the_words_there_are(word):
    model = mx.Multilevel(mx.EffectSizes(Y, V, study=STUDY), "study")
    for call in (lambda: model.fit(test=word), lambda: mx.LocationScale(effects()).fit(test=word)):
        with pytest.raises(UnknownChoiceError, match=r"'t', .*'z'"):
            call()


@pytest.mark.parametrize("word", ["DL", "remel", "", 3, None])
def test_what_is_no_likelihood_is_refused(word):
    models = [mx.Multilevel(mx.EffectSizes(Y, V, study=STUDY), "study"), mx.LocationScale(effects())]
    for model in models:
        with pytest.raises(UnknownChoiceError, match="'REML', 'ML'"):
            model.fit(method=word)


def test_synonyms_stand_for_what_there_is():
    assert set(TEST_SYNONYMS.values()) <= {*TESTS, "t-containment"}
    assert not set(TEST_SYNONYMS) & set(TESTS)
    assert set(SYNONYMS.values()) <= set(ESTIMATORS)
    assert not set(SYNONYMS) & set(ESTIMATORS)


@pytest.mark.parametrize(("word", "near"), [("DerSimonion", "DL"), ("Pauls-Mandel", "PM"), ("REMEL", "REML")])
def test_the_nearest_of_other_names_is_said_by_its_own(word, near):
    model = mx.RandomEffects(effects())
    with pytest.raises(UnknownChoiceError, match=f"write '{near}'"):
        model.fit(method=word)
    with pytest.raises(UnknownChoiceError, match="write 'knapp-hartung'"):
        model.fit(test="hksjj")


CLUSTERED = mx.EffectSizes(Y, V, study=STUDY)
BOUNDED = mx.bounded_effects([-np.inf, *Y[1:]], Y, V)
FAMILIES = {
    "RandomEffects": (lambda: mx.RandomEffects(effects()).fit(), INTERVALS),
    "Multilevel": (lambda: mx.Multilevel(CLUSTERED, "study").fit(), ("profile-likelihood",)),
    "CensoredRandomEffects": (lambda: mx.CensoredRandomEffects(BOUNDED).fit(), ("profile-likelihood",)),
    "LocationScale": (lambda: mx.LocationScale(effects()).fit(), ("wald-log",)),
    "LocationScale, identity": (lambda: mx.LocationScale(effects(), link="identity").fit(), ("wald",)),
    "robust_variance": (lambda: mx.robust_variance(mx.EffectSizes(Y, V)), ()),
    "ImputedResults": (lambda: mx.CensoredRandomEffects(BOUNDED).fit().impute(5), ()),
}
SPELLINGS = {
    "q-profile": ("Q-profile", "Q profile", "QP"),
    "profile-likelihood": ("profile", "PL", "Profile likelihood", "profile_likelihood"),
    "wald": ("Wald",),
    "wald-log": ("Wald log",),
    "higgins-thompson": ("Higgins Thompson",),
}


@pytest.mark.filterwarnings("ignore::metaexo.errors.MetaexoWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_of_tau2_have_one_name_in_every_family_and_what_is_not_there_is_refused(family):
    make, has = FAMILIES[family]
    fit = make()
    for name, words in SPELLINGS.items():
        for word in (name, *words):
            if name in has:
                table = fit.heterogeneity(method=word)
                assert table.attrs["method"] == name
                pd.testing.assert_frame_equal(table, fit.heterogeneity(method=name))
            else:
                with pytest.raises(UnknownChoiceError, match="interval method") as caught:
                    fit.heterogeneity(method=word)
                assert caught.value.allowed == tuple(has)
    with pytest.raises(UnknownChoiceError, match="interval method 'zz'"):
        fit.heterogeneity(method="zz")
    own = fit.heterogeneity().attrs["method"]
    assert own in has or (own == "" and not has)


def test_words_of_the_field_are_understood_or_lead_to_the_right_one() -> None:
    data = pd.DataFrame({"source": ["milk", "plant"] * 3})
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.7, 0.3], [0.02, 0.05, 0.03, 0.04, 0.02, 0.03], data=data)
    fit = mx.RandomEffects(es, "source").fit()
    for word, name in (
        ("BH", "benjamini-hochberg"),
        ("fdr_bh", "benjamini-hochberg"),
        ("bonf", "bonferroni"),
    ):
        assert fit.contrast(list(fit.design.names), adjust=word).adjustment == name
    with pytest.raises(InputError, match="write 'z'"):
        mx.RandomEffects(es).fit(test="wald")
    with pytest.raises(InputError, match="write 'common'"):
        mx.stratify(es, "source", tau2="pooled")
    with pytest.raises(InputError, match=r"write 0\.95"):
        fit.conf_int(95)
    with pytest.raises(InputError) as refused:
        fit.conf_int(2)
    assert refused.value.remedy == "write 0.95"
