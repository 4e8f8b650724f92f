"""Every estimator and test that a model knows goes through strata, or is refused in words."""

from __future__ import annotations

import pytest

import metaexo as mx
from metaexo.errors import InputError
from tests.heterogeneity.helpers import effects, several_a_study

# Tests whose covariance the permutation does not rebuild: there the statistic is another one.
OWN = ("kenward-roger", "knapp-hartung-or-z", "knapp-hartung-iqwig")


@pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning")
@pytest.mark.filterwarnings("ignore::metaexo.errors.EqualEffectsTestWarning")
@pytest.mark.parametrize("dependent", [False, True], ids=["independent", "dependent"])
@pytest.mark.parametrize("mode", ["separate", "common"])
@pytest.mark.parametrize("method", ["REML", "DL", "EE"])
@pytest.mark.parametrize(
    "test", ["knapp-hartung", "knapp-hartung-adhoc", "t", "z", "kenward-roger", "knapp-hartung-or-z"]
)
def test_strata_can_be_asked_for_everything(test: str, method: str, mode: str, dependent: bool) -> None:
    es = several_a_study({"a": 5, "b": 4, "c": 3}) if dependent else effects({"a": 5, "b": 4, "c": 3})
    if test == "kenward-roger" and method != "REML" and not dependent:
        with pytest.raises(InputError, match="REML"):
            mx.stratify(es, "source", mode, method, test)
        return
    result = mx.stratify(es, "source", mode, method, test)
    assert len(result.pairwise().names) == 3
    assert result.between is not None
    assert "Pooled" in str(result)
    found = result.permutation_test(limit=40, draws=19)
    assert 0 < found.pvalue <= 1
    if not dependent and test not in OWN:
        assert found.statistic == pytest.approx(result.between.statistic, rel=1e-6)
