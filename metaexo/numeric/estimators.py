"""The registry of estimators of tau2: code, name, kernel, paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metaexo.errors import UnknownChoiceError, nearest_word
from metaexo.numeric import likelihood_maximum as ml
from metaexo.numeric import moment_estimators as moment
from metaexo.numeric.problem import Batch
from metaexo.numeric.tau2 import Tau2
from metaexo.types import Array

REML = "restricted maximum likelihood"
HSK = "Hunter-Schmidt with k / (k - p)"
PMM = "median-unbiased Paule-Mandel"
GENQ, GENQM = "generalised Q with given weights", "median-unbiased generalised Q with given weights"
LAIRD_1986 = "10.1016/0197-2456(86)90046-2"
KACKER_2007 = "10.1016/j.cct.2006.04.004"
SCHMIDT_2015 = "10.4135/9781483398105"
BRANNICK_2019 = "10.1177/1094428117741966"
SIDIK_2005 = "10.1111/j.1467-9876.2005.00489.x"
MORRIS_1983 = "10.1080/01621459.1983.10477920"
PAULE_1982 = "10.6028/jres.087.022"
VIECHTBAUER_2005 = "10.3102/10769986030003261"


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator of tau2."""

    code: str  # the field's short code
    name: str  # its name in words
    kernel: Callable[[Batch], Tau2]  # from a batch to the estimates
    reference: str  # DOI
    needs_weights: bool = False  # whether it works with user-supplied weights
    divides_by_v: bool = False  # whether a sampling variance of zero rules it out
    alone: Callable[[Batch], Tau2] | None = None  # a kernel of the same estimates without their certificates

    def tau2(self, batch: Batch) -> Array:
        """Return the estimates alone, shape (B,): what large batches need."""
        return (self.alone or self.kernel)(batch).tau2


ESTIMATORS: dict[str, Estimator] = {
    estimator.code: estimator
    for estimator in (
        Estimator("EE", "equal effects", moment.equal_effects, "10.1002/jrsm.12", divides_by_v=True),
        Estimator("DL", "DerSimonian-Laird", moment.dersimonian_laird, LAIRD_1986, divides_by_v=True),
        Estimator("HE", "Hedges", moment.hedges, "10.1037/0033-2909.93.2.388"),
        Estimator("HS", "Hunter-Schmidt", moment.hunter_schmidt, SCHMIDT_2015, divides_by_v=True),
        Estimator("HSK", HSK, moment.hunter_schmidt_corrected, BRANNICK_2019, divides_by_v=True),
        Estimator("SJ", "Sidik-Jonkman", moment.sidik_jonkman, SIDIK_2005),
        Estimator("SJIT", "iterated Sidik-Jonkman", moment.paule_mandel, SIDIK_2005, divides_by_v=True),
        Estimator("DLIT", "iterated DerSimonian-Laird", moment.paule_mandel, KACKER_2007, divides_by_v=True),
        Estimator(
            "ML",
            "maximum likelihood",
            ml.maximum_likelihood,
            VIECHTBAUER_2005,
            alone=ml.maximum_likelihood_alone,
        ),
        Estimator(
            "REML",
            REML,
            ml.restricted_maximum_likelihood,
            VIECHTBAUER_2005,
            alone=ml.restricted_maximum_likelihood_alone,
        ),
        Estimator("EB", "empirical Bayes", moment.paule_mandel, MORRIS_1983, divides_by_v=True),
        Estimator("PM", "Paule-Mandel", moment.paule_mandel, PAULE_1982, divides_by_v=True),
        Estimator("PMM", PMM, moment.paule_mandel_median, PAULE_1982, divides_by_v=True),
        Estimator("GENQ", GENQ, moment.generalised_moment, KACKER_2007, needs_weights=True),
        Estimator("GENQM", GENQM, moment.generalised_median, "10.1002/jrsm.1081", needs_weights=True),
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

    Raises UnknownChoiceError if it is not known; the error names the codes and the nearest.
    """
    found = find_estimator(code)
    if found is None:
        near = nearest_word(str(code), (*ESTIMATORS, *SYNONYMS))
        raise UnknownChoiceError("tau2 estimator", code, ESTIMATORS, nearest=SYNONYMS.get(near or "", near))
    return found


def find_estimator(code: object) -> Estimator | None:
    """Return the estimator of a code or of another name of the field, or None."""
    word = code.upper() if isinstance(code, str) else ""
    plain = "".join(letter for letter in word if letter.isalnum())
    return ESTIMATORS.get(word) or ESTIMATORS.get(SYNONYMS.get(plain, plain))
