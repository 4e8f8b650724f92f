"""Strata and attributions as fits: what they are made of, and their forms where nothing can be fitted."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, MetaexoError, NotIdentifiableError


def effects(source: list[str], **more: list[str]) -> mx.EffectSizes:
    k = len(source)
    return mx.EffectSizes(
        np.linspace(0.1, 0.9, k),
        np.full(k, 0.04),
        measure="RR",
        data=pd.DataFrame({"source": source, **more}),
    )


NOTHING = {
    "strata of one study each": lambda: mx.stratify(effects(["milk", "plant"]), "source"),
    "levels in one study each": lambda: mx.attribute_heterogeneity(effects(["milk", "plant"]), "source"),
    "one level": lambda: mx.attribute_heterogeneity(effects(["milk"] * 5), "source", draws=0),
}


@pytest.mark.parametrize("name", NOTHING)
def test_all_forms_are_shown_without_coefficients(name: str) -> None:
    found = NOTHING[name]()
    assert found.beta.shape == (0,)
    assert found.cov.shape == (0, 0)
    shown = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (shown["coefficients"], shown["components"], shown["tau2"]) == ([], [], None)
    assert shown["likelihood"] is None
    assert found.heterogeneity().empty
    assert found.params.empty
    assert found.conf_int().empty
    for text in (
        found.to_markdown(),
        found.to_latex(),
        found.to_html(),
        found.to_text(),
        str(found),
        repr(found),
    ):
        assert text
    assert f"{found.k} effects" in found.to_markdown()
    assert np.isnan(found.q.pvalue)
    assert np.isnan(found.omnibus.pvalue)
    assert isinstance(found.digest, str)


@pytest.mark.parametrize("name", NOTHING)
def test_what_cannot_be_had_is_refused_in_words(name: str) -> None:
    found = NOTHING[name]()
    asked = (
        found.pooled,
        found.vif,
        found.test_terms,
        found.robust,
        lambda: found.llf,
        lambda: found.contrast("milk"),
        lambda: found.predict("milk"),
    )
    for ask in asked:
        with pytest.raises(MetaexoError):
            ask()


def test_an_attribution_without_a_model_says_so() -> None:
    found = NOTHING["one level"]()
    assert found.model is None
    for ask in (found.predict, found.residuals, found.random_effects):
        with pytest.raises(NotIdentifiableError, match="has no fit"):
            ask()


def test_the_model_of_an_attribution_is_the_additive_model_of_all_factors() -> None:
    source, isolation = ["milk", "plant"] * 6, ["UC", "UC", "SEC", "SEC"] * 3
    es = effects(source, isolation=isolation)
    found = mx.attribute_heterogeneity(es, draws=0, permutations=19)
    wanted = mx.RandomEffects(es, "source + isolation").fit()
    assert found.tau2 == pytest.approx(mx.RandomEffects(es).fit().tau2)
    assert found.model.tau2 == pytest.approx(wanted.tau2)
    assert found.model.llf == pytest.approx(wanted.llf)
    assert np.sort(np.abs(found.beta[1:])) == pytest.approx(np.sort(np.abs(wanted.beta[1:])))
    table = found.heterogeneity()
    assert table.loc["source", "tau2"] == pytest.approx(found.part("source").tau2)
    assert table["tau2"].sum() == pytest.approx(found.tau2)
    with pytest.raises(InputError, match="attribute again"):
        found.heterogeneity(level=0.5)


def test_strata_are_the_coefficients_of_one_model() -> None:
    y = [0.1, 0.9, 0.4, 1.6, 0.2, 0.3, 0.7, -0.4]
    source = pd.DataFrame({"source": ["milk"] * 4 + ["plant"] * 4})
    es = mx.EffectSizes(y, [0.04, 0.05] * 4, measure="RR", data=source)
    common = mx.stratify(es, "source", tau2="common")
    joint = mx.RandomEffects(es, "0 + source").fit()
    assert common.beta == pytest.approx(joint.beta)
    assert common.cov == pytest.approx(joint.cov)
    assert common.tau2 == pytest.approx(joint.tau2)
    assert common.llf == pytest.approx(joint.llf)
    assert common.aic == pytest.approx(joint.aic)
    assert common.typical_variance == pytest.approx(joint.typical_variance)
    separate = mx.stratify(es, "source")
    assert np.isnan(separate.tau2)
    assert separate.llf == pytest.approx(sum(s.fit.llf for s in separate.strata))
    assert separate.q.statistic == pytest.approx(sum(s.fit.q.statistic for s in separate.strata))
    assert separate.q.df == (6.0,)
    table = separate.predict(["plant", "milk"], level=0.9, scale="measure")
    assert table.index.tolist() == ["plant", "milk"]
    pooled = separate["plant"].fit.pooled(0.9)
    assert table.loc["plant", ["estimate", "low", "prediction_high"]].tolist() == pytest.approx(
        np.exp([pooled.estimate, pooled.low, pooled.prediction_high]).tolist()
    )
    chances = separate.probability_above(0.5, ["plant", "milk"])
    assert chances == pytest.approx(
        [float(separate[name].fit.probability_above(0.5)[0]) for name in ("plant", "milk")]
    )
    assert separate.heterogeneity(level=0.9).loc["milk", "high"] == pytest.approx(
        separate["milk"].fit.conf_int_heterogeneity(level=0.9).tau2.high
    )
    with pytest.raises(InputError, match="stratify again"):
        common.heterogeneity(level=0.9)


SOURCE, ISOLATION = ["milk", "plant", "adipose"] * 6, ["UC", "UC", "SEC", "SEC", "SEC", "UC"] * 3


def test_strata_are_predicted_by_level() -> None:
    one = mx.stratify(effects(SOURCE), "source")
    wanted = one.predict(["plant", "milk"])
    for new in ({"source": ["plant", "milk"]}, pd.DataFrame({"source": ["plant", "milk"]})):
        pd.testing.assert_frame_equal(one.predict(new), wanted)
    assert one.probability_above(0.0, {"source": "plant"}) == pytest.approx(
        one.probability_above(0.0, "plant")
    )
    crossed = mx.stratify(effects(SOURCE, isolation=ISOLATION), ["source", "isolation"])
    name = ("milk", "SEC")
    cell = dict(zip(crossed.by, name, strict=True))
    for rows in (name, [name], cell, pd.DataFrame([cell])):
        pd.testing.assert_frame_equal(crossed.predict(rows), crossed.predict(" / ".join(name)))
    with pytest.raises(InputError, match=r"level of source 'mlik'.*write 'milk'"):
        one.predict({"source": ["mlik"]})
    with pytest.raises(InputError, match="no isolation"):
        crossed.predict({"source": "milk"})
    with pytest.raises(InputError, match="differ in number"):
        crossed.predict({"source": ["milk"] * 2, "isolation": ["UC"] * 3})


def test_attributions_are_predicted_and_tested_by_factor() -> None:
    es = effects(SOURCE, isolation=ISOLATION)
    found = mx.attribute_heterogeneity(es, draws=40, permutations=19)
    wanted = mx.RandomEffects(es, "source + isolation").fit()
    new = {"source": ["milk", "adipose"], "isolation": "SEC"}
    pd.testing.assert_frame_equal(found.predict(new), wanted.predict(new))
    pd.testing.assert_frame_equal(
        found.predict(pd.DataFrame({**new, "isolation": ["SEC"] * 2})), wanted.predict(new)
    )
    assert found.probability_above(0.1, new) == pytest.approx(wanted.probability_above(0.1, new))
    pd.testing.assert_frame_equal(
        found.test_terms().to_frame()[["statistic", "df1", "df2", "pvalue"]],
        wanted.test_terms().to_frame()[["statistic", "df1", "df2", "pvalue"]],
    )
    table = found.heterogeneity()
    negative = table["tau2"] < 0
    assert negative.any()
    assert table.loc[negative, "tau"].isna().all()
    assert table.loc[~negative, "tau"].to_numpy() == pytest.approx(np.sqrt(table.loc[~negative, "tau2"]))
    assert "may lie outside" in table.attrs["note"]
    assert "may lie outside" in found.to_markdown()
    assert "0% to " in str(found.summary())


def test_refusals_of_strata_and_attributions_name_what_there_is() -> None:
    es = effects(SOURCE, isolation=ISOLATION)
    strata = mx.stratify(es, "source")
    found = mx.attribute_heterogeneity(es, draws=0, permutations=19)
    for ask in (strata.pooled, lambda: strata.estimate):
        with pytest.raises(InputError, match=r"each stratum.*\.overall.*to_frame"):
            ask()
    with pytest.raises(InputError, match=r"no single pooled effect.*RandomEffects"):
        found.pooled()
    with pytest.raises(InputError, match=r"call \.model\.robust"):
        found.robust()
