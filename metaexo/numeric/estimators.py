"""The registry of estimators of tau2: code, name, kernel, paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metaexo.errors import UnknownChoiceError
from metaexo.numeric import likelihood_maximum, moment_estimators
from metaexo.numeric.problem import Batch
from metaexo.numeric.tau2 import Tau2

VIECHTBAUER_2005 = "10.3102/10769986030003261"


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator of tau2.

    Attributes
    ----------
    code : str
        The field's short code.
    name : str
        Its name in words.
    kernel : callable
        From a batch to the estimates.
    reference : str
        DOI.
    needs_weights : bool
        Whether it works with weights of the user's own.
    divides_by_v : bool
        Whether a sampling variance of zero rules it out.
    """

    code: str
    name: str
    kernel: Callable[[Batch], Tau2]
    reference: str
    needs_weights: bool = False
    divides_by_v: bool = False


ESTIMATORS: dict[str, Estimator] = {
    e.code: e
    for e in (
        Estimator(
            "EE", "equal effects", moment_estimators.equal_effects, "10.1002/jrsm.12", divides_by_v=True
        ),
        Estimator(
            "DL",
            "DerSimonian-Laird",
            moment_estimators.dersimonian_laird,
            "10.1016/0197-2456(86)90046-2",
            divides_by_v=True,
        ),
        Estimator("HE", "Hedges", moment_estimators.hedges, "10.1037/0033-2909.93.2.388"),
        Estimator(
            "HS",
            "Hunter-Schmidt",
            moment_estimators.hunter_schmidt,
            "10.4135/9781483398105",
            divides_by_v=True,
        ),
        Estimator(
            "HSK",
            "Hunter-Schmidt with k / (k - p)",
            moment_estimators.hunter_schmidt_corrected,
            "10.1177/1094428117741966",
            divides_by_v=True,
        ),
        Estimator("SJ", "Sidik-Jonkman", moment_estimators.sidik_jonkman, "10.1111/j.1467-9876.2005.00489.x"),
        Estimator(
            "SJIT",
            "iterated Sidik-Jonkman",
            moment_estimators.paule_mandel,
            "10.1111/j.1467-9876.2005.00489.x",
            divides_by_v=True,
        ),
        Estimator(
            "DLIT",
            "iterated DerSimonian-Laird",
            moment_estimators.paule_mandel,
            "10.1016/j.cct.2006.04.004",
            divides_by_v=True,
        ),
        Estimator("ML", "maximum likelihood", likelihood_maximum.maximum_likelihood, VIECHTBAUER_2005),
        Estimator(
            "REML",
            "restricted maximum likelihood",
            likelihood_maximum.restricted_maximum_likelihood,
            VIECHTBAUER_2005,
        ),
        Estimator(
            "EB",
            "empirical Bayes",
            moment_estimators.paule_mandel,
            "10.1080/01621459.1983.10477920",
            divides_by_v=True,
        ),
        Estimator(
            "PM", "Paule-Mandel", moment_estimators.paule_mandel, "10.6028/jres.087.022", divides_by_v=True
        ),
        Estimator(
            "PMM",
            "median-unbiased Paule-Mandel",
            moment_estimators.paule_mandel_median,
            "10.6028/jres.087.022",
            divides_by_v=True,
        ),
        Estimator(
            "GENQ",
            "generalised Q with given weights",
            moment_estimators.generalised_moment,
            "10.1016/j.cct.2006.04.004",
            needs_weights=True,
        ),
        Estimator(
            "GENQM",
            "median-unbiased generalised Q with given weights",
            moment_estimators.generalised_median,
            "10.1002/jrsm.1081",
            needs_weights=True,
        ),
    )
}
# Other names, in capitals and without signs.
SYNONYMS = {
    **dict.fromkeys(("FE", "CE", "FIXED", "COMMON", "EQUAL"), "EE"),
    **dict.fromkeys(("FIXEDEFFECT", "COMMONEFFECT", "EQUALEFFECT"), "EE"),
    **dict.fromkeys(("FIXEDEFFECTS", "COMMONEFFECTS", "EQUALEFFECTS"), "EE"),
    **dict.fromkeys(("DERSIMONIANLAIRD", "DSL"), "DL"),
    **dict.fromkeys(("HEDGES", "HEDGESOLKIN", "CA", "VC"), "HE"),
    **dict.fromkeys(("PAULEMANDEL", "MANDELPAULE", "MP"), "PM"),
    **dict.fromkeys(("RESTRICTEDMAXIMUMLIKELIHOOD", "RML"), "REML"),
    "MAXIMUMLIKELIHOOD": "ML",
    "HUNTERSCHMIDT": "HS",
    "SIDIKJONKMAN": "SJ",
    "EMPIRICALBAYES": "EB",
}


def get_estimator(code: object) -> Estimator:
    """Return the estimator of a code or of another name of the field; capitals and hyphens do not matter.

    Raises
    ------
    UnknownChoiceError
        If it is not known; the error names the codes and the nearest.
    """
    found = find_estimator(code)
    if found is None:
        raise UnknownChoiceError("tau2 estimator", code, ESTIMATORS)
    return found


def find_estimator(code: object) -> Estimator | None:
    """Return the estimator of a code or of another name of the field, or None."""
    word = code.upper() if isinstance(code, str) else ""
    plain = "".join(letter for letter in word if letter.isalnum())
    return ESTIMATORS.get(word) or ESTIMATORS.get(SYNONYMS.get(plain, plain))
