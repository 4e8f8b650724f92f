"""Confounding of factors: association over studies, empty cells, variance inflation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats.contingency import association

import metaexo as mx
from metaexo.heterogeneity import confounding
from metaexo.heterogeneity.attribution.confounding import cramers_v


def effects(source, isolation, **more):
    data = pd.DataFrame({"source": list(source), "isolation": list(isolation)})
    return mx.EffectSizes(np.arange(len(data)), np.ones(len(data)), data=data, **more)


def test_cramers_v_is_that_of_scipy():
    counts = np.array([[8, 2, 1], [1, 6, 3]])
    assert cramers_v(counts.astype(float))[0] == pytest.approx(association(counts), rel=1e-12)


def test_the_correction_is_that_of_the_paper():
    counts = np.array([[8.0, 2, 1], [1, 6, 3]])
    n, (r, c) = counts.sum(), counts.shape
    phi2 = association(counts.astype(int)) ** 2 * min(r - 1, c - 1)
    shrunk = max(0, phi2 - (r - 1) * (c - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    assert cramers_v(counts)[1] == pytest.approx(math.sqrt(shrunk / min(rows - 1, columns - 1)), rel=1e-12)


def test_factors_without_association_have_a_corrected_v_near_zero():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(200):
        table = np.zeros((4, 4))
        np.add.at(table, (rng.integers(0, 4, 25), rng.integers(0, 4, 25)), 1.0)
        table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
        found.append(cramers_v(table))
    plain, corrected = np.mean(found, axis=0)
    assert corrected < 0.15 < 0.25 < plain


def test_a_study_counts_once_in_each_combination():
    once = confounding(effects("aabb", "xyxy"), min_studies=1).associations[0]
    es = effects("aaaaabb", "xxxxyxy", study=list("aaaabcd"))
    again = confounding(es, min_studies=1).associations[0]
    assert (once.v, once.empty, once.cells) == (again.v, again.empty, again.cells) == (0.0, 0, 4)


def test_complete_confounding_is_told_as_such():
    found = confounding(effects("aaabbb", "xxxyyy"))
    assert found.associations[0].v == 1
    assert found.associations[0].empty == 2
    assert all(math.isinf(one.factor_on_variance) for one in found.inflations)
    assert "aliased with the other factors" in found.summary()


def test_variance_inflation_is_that_of_an_unweighted_fit():
    es = effects("aabbccaabb" * 2, "xyxyxxyyxz" * 2)
    fit = mx.RandomEffects(es, "source + isolation").fit(method="HE")
    wanted = fit.vif()
    found = confounding(es)
    assert [one.df for one in found.inflations] == list(wanted.df)
    assert [one.factor_on_variance for one in found.inflations] == pytest.approx(wanted.generalised, rel=1e-8)
    assert [one.factor_on_se for one in found.inflations] == pytest.approx(
        wanted.generalised_se_factor, rel=1e-8
    )


def test_a_balanced_crossing_inflates_nothing():
    found = confounding(effects("aabb" * 3, "xyxy" * 3))
    assert [one.factor_on_variance for one in found.inflations] == pytest.approx([1.0, 1.0])
    assert found.associations[0].v_corrected == 0


def test_a_single_level_has_no_association():
    found = confounding(effects("aaaa", "xyxy"))
    assert found.associations[0].v is None
    assert found.inflations == ()
    assert "single level" in found.words()[0]


def test_frames_and_words():
    found = confounding(effects("aabbab", "xyxyxx"))
    assert found.to_frame()["cells"].tolist() == [4]
    assert found.inflation_frame()["factor"].tolist() == ["source", "isolation"]
    assert "Cramer's V" in repr(found)
    assert "variance inflation" in str(found)
