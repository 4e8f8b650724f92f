"""Which random terms can be told from the effects: counts by hand, and every refusal in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError, UnknownChoiceError


def effects(study, **columns):
    k = len(study)
    y = np.random.default_rng(3).normal(0.5, 0.3, k)
    return mx.EffectSizes(y, np.full(k, 0.04), study=list(study), data=pd.DataFrame(columns, index=range(k)))


def comparisons(found):
    return {check.name: check.comparisons for check in found.terms}


@pytest.fixture
def crossed():
    """Return 24 effects of 12 studies, 4 sources and 3 methods, every method used in several sources."""
    study = [f"s{i // 2:02d}" for i in range(24)]
    source = [f"source {(i // 2) % 4}" for i in range(24)]
    method = [f"method {(i // 2 + i) % 3}" for i in range(24)]
    return effects(study, source=source, method=method)


def test_nested_counts_are_those_of_an_analysis_of_variance(crossed):
    found = mx.identifiable_terms(crossed, ["study/effect", "source"])
    assert found.kept == ("study", "study/effect", "source")
    # 4 sources, 12 studies within sources, 24 effects within studies: 4 - 1, 12 - 4, 24 - 12
    assert comparisons(found) == {"study": 8, "study/effect": 12, "source": 3}
    assert found.refused == {}


def test_crossed_counts_are_ranks(crossed):
    found = mx.identifiable_terms(crossed, ["study", "source", "method"])

    def columns(*names):
        tables = [np.ones((crossed.k, 1))]
        for name in names:
            level = crossed.study if name == "study" else crossed.column(name)
            tables.append(pd.get_dummies(pd.Series(list(level)), dtype=float).to_numpy())
        return np.linalg.matrix_rank(np.hstack(tables))

    assert comparisons(found) == {
        "method": columns("method") - 1,
        "source": columns("method", "source") - columns("method"),
        "study": columns("method", "source", "study") - columns("method", "source"),
    }


def test_what_is_kept_can_be_fitted(crossed):
    found = mx.identifiable_terms(crossed, ["study/effect", "source", "method"])
    fit = mx.Multilevel(crossed, found.random).fit()
    assert list(fit.components.index) == list(found.kept)


def test_a_level_that_is_not_named_is_no_level():
    es = effects(
        list("abcdef"),
        source=["milk", "milk", "plant", None, "Not_reported", "other"],
        method=[None, float("nan"), "", "not reported", "NOT REPORTED", pd.NA],
        place=["Rome", "Rome", "Rome", "Rome", "Rome", None],
    )
    terms = ["study", "source", "method", "place"]
    found = mx.identifiable_terms(es, terms, not_named=("not reported", "other"))
    assert found.kept == ("study",)
    assert found.refused == {
        "source": "3 of 6 effects do not name it; "
        "the other 3 are of 2 levels, 1 of them of more than one study",
        "method": "none of 6 effects names it",
        "place": "1 of 6 effects does not name it; the other 5 are of one level, Rome",
    }
    without = mx.identifiable_terms(es, "source").refused["source"]
    assert without.startswith("2 of 6 effects do not name it; the other 4 are of 3 levels")


def test_a_gap_in_a_nested_term_refuses_it():
    es = effects(list("aabbcc"), sample=["x", "y", None, "y", "x", "y"])
    found = mx.identifiable_terms(es, ["study/sample"])
    assert found.kept == ("study",)
    assert found.refused["study/sample"].startswith("1 of 6 effects does not name it")


def test_one_level_cannot_be_told_from_the_mean():
    es = effects(list("abcd"), method=["SEC"] * 4)
    found = mx.identifiable_terms(es, ["study", "method"])
    assert found.refused == {"method": "all effects are of one level, SEC, which is confounded with the mean"}
    with pytest.raises(NotIdentifiableError):
        mx.Multilevel(es, ["study", "method"])


def test_a_source_to_a_study_cannot_be_told_from_the_studies():
    es = effects(list("aabbccdd"), source=list("wwxxyyzz"))
    found = mx.identifiable_terms(es, ["study", "source"])
    assert found.refused["source"].startswith("it groups the effects as study does")
    # asked for the other way round, the source comes first and the study is refused
    assert mx.identifiable_terms(es, ["source", "study"]).kept == ("source",)


def test_one_effect_a_study_leaves_no_term_within_studies():
    found = mx.identifiable_terms(effects(list("abcdef")), "study/effect")
    assert found.kept == ("study",)
    assert "groups the effects as study does" in found.refused["study/effect"]


def test_two_levels_are_one_comparison():
    es = effects(list("aabbccdd"), source=["milk"] * 6 + ["plant"] * 2)
    found = mx.identifiable_terms(es, ["study", "source"])
    assert found.refused["source"] == (
        "its variance would rest on 1 comparison between its 2 levels, 1 of them of more than one study, "
        "and at least 2 are asked for"
    )
    kept = mx.identifiable_terms(es, ["study", "source"], least=1)
    assert kept.kept == ("study", "source")
    assert comparisons(kept) == {"study": 2, "source": 1}


def test_a_term_that_starves_another_is_refused():
    # five studies of four families: within families there is one pair of studies left
    es = effects(list("aabbccddee"), family=list("pp") + list("qq") + list("rr") + list("ssss"))
    found = mx.identifiable_terms(es, ["study", "family"])
    assert found.refused["family"] == (
        "with it the variance of study would rest on 1 comparison between levels, "
        "and at least 2 are asked for"
    )
    assert mx.identifiable_terms(es, ["study", "family"], least=1).refused == {}


def test_moderators_take_comparisons_away():
    source = [f"source {i // 4}" for i in range(16)]
    es = effects([f"s{i // 2}" for i in range(16)], source=source)
    assert mx.identifiable_terms(es, ["study", "source"]).kept == ("study", "source")
    found = mx.identifiable_terms(es, ["study", "source"], moderators="source")
    assert found.refused == {"source": "it is aliased with the coefficients and study"}
    assert comparisons(found)["study"] == 4


def test_a_term_that_the_others_determine_is_refused():
    # the third factor is told by the first two
    a, b = np.repeat([0, 1, 2], 6), np.tile([0, 0, 1, 1, 2, 2], 3)
    es = effects([f"s{i}" for i in range(18)], a=a, b=b, again=a)
    found = mx.identifiable_terms(es, ["a", "b", "again"])
    assert found.refused["again"] == "it groups the effects as a does, so the two are confounded"


def test_counts_of_levels_and_repeats(crossed):
    table = mx.identifiable_terms(crossed, ["study", "source"]).to_frame().set_index("name")
    assert table.loc["source", ["named", "levels", "repeated"]].tolist() == [24, 4, 4]
    assert table.loc["study", "repeated"] == 0
    assert table["kept"].all()


def test_order_of_the_rows_does_not_matter(crossed):
    order = np.random.default_rng(1).permutation(crossed.k)
    terms = ["study/effect", "source", "method"]
    before, after = (mx.identifiable_terms(es, terms) for es in (crossed, crossed.select(order, "mixed")))
    assert before == after


def test_words_of_the_whole(crossed):
    text = str(mx.identifiable_terms(crossed, ["study", "source"]))
    assert text.splitlines() == ["study: 12 levels, 8 comparisons", "source: 4 levels, 3 comparisons"]


def test_many_effects_cost_little():
    k = 20_000
    es = effects([f"s{i // 4}" for i in range(k)], source=[f"source {i % 20}" for i in range(k)])
    found = mx.identifiable_terms(es, ["study/effect"])
    assert comparisons(found) == {"study": 4_999, "study/effect": 15_000}


def test_wrong_words_are_answered(crossed):
    with pytest.raises(UnknownChoiceError, match="source"):
        mx.identifiable_terms(crossed, ["sourse"])
    with pytest.raises(InputError, match="plain word"):
        mx.identifiable_terms(crossed, [mx.RandomTerm("study", "source", "UN")])
    with pytest.raises(InputError, match="plain word"):
        mx.identifiable_terms(crossed, "1 + source|study")
    with pytest.raises(InputError, match="at least 1"):
        mx.identifiable_terms(crossed, "study", least=0)
