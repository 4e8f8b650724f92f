"""Leave-one-out: every entry is the fit of the other rows by hand."""

import json

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.sensitivity import leave_one_out
from tests.contract.test_results import EXAMPLES, example
from tests.sensitivity.test_refits import DATA, ES, V, Y, agree, by_hand, model


def bcg():
    data = mx.load_dataset("bcg")
    return mx.RandomEffects(mx.effect_sizes("RR", data=data, labels="study")).fit(test="z")


@pytest.mark.parametrize("moderators", [None, "dose"])
def test_each_entry_is_the_fit_of_the_other_studies(moderators):
    found = leave_one_out(model(moderators).fit(), level=0.8)
    assert found.labels == tuple("abcdef")
    for i, (name, rows) in enumerate(zip(found.labels, found.members, strict=True)):
        assert set(DATA["study"].iloc[rows]) == {name}
        agree(found, i, by_hand(np.setdiff1d(np.arange(8), rows), moderators).fit(), 0.8)
    agree(found.whole, 0, model(moderators).fit(), 0.8)
    np.testing.assert_allclose(found.change[:, 0], found.beta[:, 0] - found.whole.beta[0, 0])


def test_values_of_bcg():
    """The first and the last row of leave1out(rma(yi, vi)) of metafor 3.8-1, log risk ratios of dat.bcg."""
    found = leave_one_out(bcg())
    ends = [0, 12]
    np.testing.assert_allclose(found.estimate[ends], [-0.7070837880, -0.7775361808], rtol=1e-4)
    np.testing.assert_allclose(found.se[ends, 0], [0.1899610247, 0.1855359676], rtol=1e-4)
    np.testing.assert_allclose(found.tau2[ends], [0.3361567453, 0.3037333266], rtol=1e-4)
    np.testing.assert_allclose(100 * found.i2[ends], [93.22593491, 92.34439962], rtol=1e-4)
    np.testing.assert_allclose(found.q[ends], [151.5825727, 149.7884238], rtol=1e-8)
    assert "Without each of 13 studies in turn: risk ratio" in found.sentence


def test_what_is_left_out_can_be_single_effects_columns_or_labels():
    fit = mx.Multilevel(ES).fit()
    assert leave_one_out(fit, "effect").size == 8
    by_lab = leave_one_out(fit, "lab")
    assert by_lab.labels == ("x", "y", "z")
    np.testing.assert_allclose(leave_one_out(fit, list("xxyyxxzz")).beta, by_lab.beta)
    part = ES.select(DATA["lab"] != "y")
    np.testing.assert_allclose(by_lab.beta[1], mx.Multilevel(part).fit().beta, rtol=1e-5)
    assert "3 levels of lab" in by_lab.sentence
    labelled = mx.RandomEffects(mx.EffectSizes(Y[:3], V[:3], labels=["A", "B", "B"])).fit()
    assert leave_one_out(labelled).labels == ("A", "B", "B")


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_family(kind):
    fit = example(kind, next(iter(EXAMPLES[kind])))
    found = leave_one_out(fit)
    assert (found.size, found.fitted) == (6, 6)
    rows = np.setdiff1d(np.arange(8), found.members[3])
    again = mx.sensitivity.refit(fit, rows)
    np.testing.assert_allclose(found.beta[3], again.beta, rtol=1e-6)
    assert json.loads(json.dumps(found.to_dict()))["refits"][3]["left_out"] == "d"


def test_two_studies_leave_one_which_is_shown_as_it_is():
    fit = mx.RandomEffects(mx.EffectSizes([0.2, 0.6], [0.04, 0.09])).fit()
    found = leave_one_out(fit)
    np.testing.assert_allclose(found.estimate, [0.6, 0.2])
    np.testing.assert_allclose(found.se[:, 0], [0.3, 0.2])
    np.testing.assert_allclose(found.high[:, 0], [0.6 + 0.3 * 1.959963985, 0.2 + 0.2 * 1.959963985])
    assert "one effect" in found.to_text()
    with pytest.raises(mx.errors.TooFewStudiesError, match="at least two clusters"):
        leave_one_out(mx.RandomEffects(mx.EffectSizes([0.2], [0.04])).fit("EE"))


def test_scale_and_order_of_the_rows_do_not_matter():
    found = leave_one_out(mx.RandomEffects(mx.EffectSizes(Y, V)).fit())
    turned = leave_one_out(mx.RandomEffects(mx.EffectSizes(-7 * Y[::-1], 49 * V[::-1])).fit())
    np.testing.assert_allclose(turned.estimate[::-1], -7 * found.estimate, rtol=1e-7)
    np.testing.assert_allclose(turned.tau2[::-1], 49 * found.tau2, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(turned.pvalue[::-1], found.pvalue, rtol=1e-6)


def test_the_sentence_says_how_far_the_result_moves():
    y, v = [0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02]
    es = mx.EffectSizes(y, v, "RR", study=list("abcde"))
    found = leave_one_out(mx.RandomEffects(es).fit())
    assert found.sentence == (
        "Without each of 5 studies in turn: risk ratio 1.218 (without e) to 1.722 (without c), 1.574 with "
        "all; p < 0.05 in 1 of 5 fits."
    )
    assert np.exp(found.estimate[4]) == pytest.approx(1.218, abs=5e-4)
    assert found.sentence in found.to_text()


def test_a_study_that_alone_determines_a_moderator_is_named_with_the_reason():
    data = pd.DataFrame({"g": ["a"] * 7 + ["b"], "study": list("stuvwxyz")})
    found = leave_one_out(mx.RandomEffects(mx.EffectSizes(Y, V, data=data), "g").fit())
    assert np.flatnonzero(np.isnan(found.tau2)).tolist() == [7]
    assert "1 fit of 8 cannot be made" in found.sentence
    assert "z: no fit, 7 rows cannot determine gb" in found.to_text()
    assert found.to_frame().loc["z", "note"] == "7 rows cannot determine gb"


def test_wrong_inputs_are_said():
    for wrong, error in (
        (lambda: leave_one_out(3), mx.errors.InputError),
        (lambda: leave_one_out(model().fit(), "laboratory"), mx.errors.UnknownChoiceError),
        (lambda: leave_one_out(model().fit(), ["a"]), mx.errors.ShapeError),
        (lambda: leave_one_out(model().fit(), [None, *"abcdefg"]), mx.errors.InputError),
        (lambda: leave_one_out(model().fit(), level=95), mx.errors.InputError),
        (lambda: leave_one_out(model().fit(), ["a"] * 8), mx.errors.TooFewStudiesError),
    ):
        with pytest.raises(error):
            wrong()


def test_a_fit_that_is_one_effect_alone_is_said():
    found = leave_one_out(mx.RandomEffects(mx.EffectSizes([0.2, 0.9], [0.02, 0.05])).fit())
    assert found.sentence.endswith(
        "2 fits are one effect alone: their own estimates with normal quantiles, no tau2."
    )
    assert found.to_frame()["note"].str.startswith("one effect").all()
    assert "no tau2 to estimate" in found.to_text()
    notes = mx.plots.forest_plan(found).notes
    assert any("one effect" in note for note in notes)
    assert notes[0].startswith("Each row: the fit without the study named.")


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_clusters_may_be_an_array(kind) -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])).fit()
    found = mx.sensitivity.leave_one_out(fit, kind(["a", "a", "b", "c"]))
    assert found.labels == ("a", "b", "c")
    assert found.estimate[0] == pytest.approx(mx.sensitivity.refit(fit, [2, 3]).estimate)
    assert mx.sensitivity.influence(fit, kind(["a", "a", "b", "c"])).labels == found.labels
    assert mx.sensitivity.baujat(fit, kind(["a", "a", "b", "c"])).labels == found.labels
