"""The registry of estimators of tau2: code, name, kernel, paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metaexo.errors import UnknownChoiceError
from metaexo.numeric.closed_forms import dersimonian_laird, equal_effects
from metaexo.numeric.generalised_q import paule_mandel
from metaexo.numeric.likelihood_maximum import maximum_likelihood, restricted_maximum_likelihood
from metaexo.numeric.problem import Batch
from metaexo.numeric.tau2 import Tau2


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
    likelihood : bool
        Whether the fit maximises a likelihood: "ML", "REML" or "".
    reference : str
        DOI.
    """

    code: str
    name: str
    kernel: Callable[[Batch], Tau2]
    reference: str


ESTIMATORS: dict[str, Estimator] = {
    e.code: e
    for e in (
        Estimator("EE", "equal effects", equal_effects, "10.1002/jrsm.12"),
        Estimator("DL", "DerSimonian-Laird", dersimonian_laird, "10.1016/0197-2456(86)90046-2"),
        Estimator("PM", "Paule-Mandel", paule_mandel, "10.6028/jres.087.022"),
        Estimator("ML", "maximum likelihood", maximum_likelihood, "10.3102/10769986030003261"),
        Estimator(
            "REML",
            "restricted maximum likelihood",
            restricted_maximum_likelihood,
            "10.3102/10769986030003261",
        ),
    )
}


def get_estimator(code: str) -> Estimator:
    """Return the estimator of a code; capitals do not matter.

    Raises
    ------
    UnknownChoiceError
        If the code is not known; it names the allowed ones and the nearest.
    """
    found = ESTIMATORS.get(str(code).upper())
    if found is None:
        raise UnknownChoiceError("tau2 estimator", code, ESTIMATORS)
    return found
