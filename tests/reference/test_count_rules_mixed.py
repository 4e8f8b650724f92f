"""The rules of mixed models of counts speak only where their proof holds."""

import copy

import numpy as np
from scipy.stats import chi2

from tests.reference.adapters.counts import glmm
from tests.reference.cases import Case
from tests.reference.count_rules_mixed import mixed_model

DATA = {
    "ai": [3, 0, 9, 5, 2],
    "n1i": [40, 31, 60, 52, 45],
    "ci": [7, 3, 8, 15, 4],
    "n2i": [41, 30, 58, 50, 44],
}


def answered(formulation: str, method: str, data: dict = DATA) -> tuple[Case, dict]:
    """Return a case whose reference is our own answer, to be changed, and that answer."""
    call = {"model": "generalized_linear_mixed", "measure": "OR", "formulation": formulation, "test": "z"}
    call |= {"tau2_method": method, "drop_double_zero": True}
    warned = ["nAGQ automatically set to 1"] if (formulation, method) == ("UM.RS", "ML") else []
    case = {"topic": "count_models", "call": call, "data": data, "r_call": "", "rtol": 1e-6, "atol": 1e-9,
            "r_warnings": warned}  # fmt: skip
    actual = glmm.answer(case, data)
    theirs = {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in actual.items()
    }
    return case | {"results": theirs}, actual


def changed(case: Case, **fields: object) -> Case:
    return case | {"results": copy.deepcopy(case["results"]) | fields}


def test_a_statistic_without_df_has_no_other_p_than_1():
    two = {name: values[:2] for name, values in DATA.items()}
    case, actual = answered("UM.FS", "none (equal effects)", two)
    assert actual["QE_wald_p"] == 1.0
    theirs = float(chi2.sf(actual["QE_wald"], 1))
    assert mixed_model(changed(case, QE_wald=actual["QE_wald"], QE_wald_p=theirs), actual).different == []
    assert mixed_model(changed(case, QE_wald_p=0.4), actual).different


def test_an_early_stop_is_explained_by_a_lower_likelihood_only():
    case, actual = answered("UM.FS", "ML")
    beta = actual["estimate"] + 0.03 * actual["se"]
    early = {"estimate": beta.tolist(), "tau2": 1.05 * actual["tau2"] + 0.01}
    early["QM"] = float((beta / actual["se"])[0] ** 2)
    assert mixed_model(changed(case, **early), actual).different == []
    swapped = actual | early | {"estimate": beta}  # the early stop were ours
    assert mixed_model(case, swapped).different


def test_an_infinite_effect_adds_nothing_to_the_wald_test():
    case, actual = answered("UM.RS", "none (equal effects)")
    for more, right in ((1.0, True), (-1.0, False)):
        q = actual["QE_wald"] + more
        theirs = changed(case, QE_wald=q, QE_wald_p=float(chi2.sf(q, 4)))
        assert (mixed_model(theirs, actual).different == []) is right


def test_a_study_without_event_is_no_parameter_beside_fixed_study_effects():
    more = {"ai": 0, "n1i": 20, "ci": 0, "n2i": 30}
    data = {name: [*values, more[name]] for name, values in DATA.items()}
    case, actual = answered("UM.FS", "none (equal effects)", data)
    case["call"]["drop_double_zero"] = False
    kept = {"k": 6, "QE_df": 5, "QE_lrt_p": float(chi2.sf(actual["QE_lrt"], 5))}
    kept["QE_wald_p"] = float(chi2.sf(actual["QE_wald"], 5))
    lack = actual["AIC"] - 12  # of 5 levels and an effect
    kept |= {"AIC": lack + 14, "BIC": lack + 7 * np.log(12), "AICc": lack + 14 * 12 / 4}
    assert mixed_model(changed(case, **kept), actual).different == []
    for name in kept:
        assert mixed_model(changed(case, **kept | {name: kept[name] * 1.01}), actual).different, name
