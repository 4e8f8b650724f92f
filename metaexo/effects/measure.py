"""What an effect-size measure is: a small record, kept in one registry.

A measure owns everything that a reader of its numbers has to know: the inputs it needs, the value of no
effect, the scale on which it is analysed and the scale on which it is shown. Plots, tables and models ask
the measure; none of them knows a measure by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from metaexo.errors import InputError, UnknownChoiceError, nearest_word
from metaexo.types import Array

# Values that the quantity on the display scale can have, by its label; the others have no end.
POSSIBLE = {
    "Correlation": (-1.0, 1.0),
    "Partial correlation": (-1.0, 1.0),
    "Semi-partial correlation": (-1.0, 1.0),
    "Yule's Q": (-1.0, 1.0),
    "Yule's Y": (-1.0, 1.0),
    "Risk difference": (-1.0, 1.0),
    "Arcsine difference": (-np.pi / 2, np.pi / 2),
    "Proportion": (0.0, 1.0),
    "Probability of superiority": (0.0, 1.0),
    "R2": (0.0, 1.0),
    "Reliability": (-np.inf, 1.0),
    "Rate": (0.0, np.inf),
}
Orientation = Literal["negate", "none"]


def identity(values: Array) -> Array:
    """Return the values as they are: the display scale is the scale of the analysis."""
    return np.asarray(values, dtype=float)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another set of inputs for a measure: a test statistic in place of means, for example.

    Attributes
    ----------
    inputs : tuple of str
        Names of the arguments that `compute` needs.
    compute : callable
        As `Measure.compute`, from these inputs.
    formula : str
        Name of the conversion, as it stands in the derivation of an effect.
    """

    inputs: tuple[str, ...]
    compute: Callable[..., tuple[Array, Array]]
    formula: str


@dataclass(frozen=True, slots=True)
class BackBySize:
    """The way back from a scale on which equal values of studies of different size are different results.

    Attributes
    ----------
    back : callable
        From values on the scale of the analysis, and sizes (or person-times), to the display scale.
    size : callable
        From the sampling variance of an effect to the size it belongs to.
    """

    back: Callable[[Array, Array], Array]
    size: Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Measure:
    """One effect-size measure.

    Attributes
    ----------
    code : str
        The field's short code, for example "SMD".
    name : str
        The measure in words.
    family : str
        Family of inputs, for example "two groups, means".
    inputs : tuple of str
        Names of the arguments that `compute` needs, in order.
    compute : callable or None
        Pure function of the inputs (arrays of one shape) that returns effects and sampling variances;
        None for effects that were computed elsewhere.
    null : float
        Value of no effect on the scale of the analysis; NaN where there is none (a proportion of one
        group).
    display : str
        Label of the display scale, for example "Risk ratio".
    back : callable
        From the scale of the analysis to the display scale; monotone. Where that depends on the size of a
        study it is the limit for large sizes; :func:`metaexo.effects.back_by_rows` and
        :func:`metaexo.effects.back_pooled` take the sizes into account.
    display_log : bool
        Whether the display scale is a ratio scale, to be drawn on a logarithmic axis.
    orientation : {"negate", "none"}
        How an effect is turned round so that positive means benefit: by a change of sign, or not at all
        (a proportion of one group has no opposite effect).
    reference : str
        DOI of the paper or handbook that gives the formula.
    variances : tuple of str
        Types of sampling variance that `compute` takes as its argument `variance`, the default first;
        empty if there is only one.
    bias_corrected : bool
        Whether `compute` takes an argument `bias_correction`.
    zero_cells : float or None
        What is added to the cells of a study with a zero cell unless the caller says otherwise;
        None if the inputs are not counts.
    alternatives : tuple of Alternative
        Other sets of inputs from which the effect can be computed, in order of trust.
    by_size : BackBySize or None
        The way back to the display scale where it depends on the size of the study.
    """

    code: str
    name: str
    family: str
    inputs: tuple[str, ...]
    compute: Callable[..., tuple[Array, Array]] | None
    null: float
    display: str
    back: Callable[[Array], Array] = identity
    display_log: bool = False
    orientation: Orientation = "negate"
    reference: str = ""
    variances: tuple[str, ...] = ()
    bias_corrected: bool = False
    zero_cells: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    by_size: BackBySize | None = None

    def __reduce__(self) -> tuple[Callable[..., Measure], tuple[Any, ...]]:
        """Keep a known measure by its code, so that it can be pickled whatever functions it is made of."""
        if _REGISTRY.get(self.code) is self:
            return get_measure, (self.code,)
        return Measure, tuple(getattr(self, part.name) for part in fields(self))

    @property
    def possible(self) -> tuple[float, float]:
        """The least and the largest value that is possible on the display scale."""
        return POSSIBLE.get(self.display, (-np.inf, np.inf))

    @property
    def rescaled(self) -> bool:
        """Whether the display scale is another than that of the analysis."""
        return self.back is not identity


_REGISTRY: dict[str, Measure] = {}

# What measures are called in papers and in other programs, in small letters without punctuation.
SYNONYMS = {
    "hedgesg": "SMD",
    "hedges": "SMD",
    "g": "SMD",
    "cohensd": "SMD",
    "cohend": "SMD",
    "d": "SMD",
    "standardizedmeandifference": "SMD",
    "standardisedmeandifference": "SMD",
    "glassdelta": "SMD1",
    "glasssdelta": "SMD1",
    "meandifference": "MD",
    "weightedmeandifference": "MD",
    "wmd": "MD",
    "rawmeandifference": "MD",
    "ratioofmeans": "ROM",
    "responseratio": "ROM",
    "logresponseratio": "ROM",
    "lnrr": "ROM",
    "lncvr": "CVR",
    "lnvr": "VR",
    "riskratio": "RR",
    "relativerisk": "RR",
    "logriskratio": "RR",
    "oddsratio": "OR",
    "logoddsratio": "OR",
    "petooddsratio": "PETO",
    "riskdifference": "RD",
    "hazardratio": "HR",
    "loghazardratio": "HR",
    "rateratio": "IRR",
    "incidencerateratio": "IRR",
    "ratedifference": "IRD",
    "incidenceratedifference": "IRD",
    "incidencerate": "IR",
    "proportion": "PR",
    "prevalence": "PR",
    "logitproportion": "PLO",
    "freemantukey": "PFT",
    "doublearcsine": "PFT",
    "correlation": "COR",
    "pearsonr": "COR",
    "pearsonsr": "COR",
    "r": "COR",
    "fisherz": "ZCOR",
    "fishersz": "ZCOR",
    "generic": "GEN",
}


def register(*measures: Measure) -> None:
    """Add measures to the registry.

    Raises
    ------
    InputError
        If a code is taken already.
    """
    for measure in measures:
        if measure.code in _REGISTRY:
            raise InputError(f"the measure code {measure.code!r} is taken", "a code of its own")
        _REGISTRY[measure.code] = measure


def get_measure(code: str | Measure) -> Measure:
    """Return the measure of a code; capitals do not matter.

    Parameters
    ----------
    code : str or Measure
        The code, a usual name of the measure ("Hedges g", "risk ratio"), or the record itself.

    Returns
    -------
    Measure
        The record.

    Raises
    ------
    UnknownChoiceError
        If the code is not known; it names the nearest.

    Examples
    --------
    >>> from metaexo.effects import get_measure
    >>> get_measure("rom").display
    'Ratio of means'
    >>> get_measure("Hedges' g").code
    'SMD'
    """
    if isinstance(code, Measure):
        return code
    found = find_measure(code)
    if found is None:
        near = _near(code)
        raise UnknownChoiceError("measure", code, sorted(_REGISTRY), nearest=near)
    return found


def find_measure(code: object) -> Measure | None:
    """Return the measure of a code or of a usual name; None if there is none."""
    if not isinstance(code, str):
        return None
    if code.strip().upper() in _REGISTRY:
        return _REGISTRY[code.strip().upper()]
    plain = _plain(code)
    by_name = {_plain(measure.name): measure for measure in _REGISTRY.values()}
    return _REGISTRY.get(SYNONYMS.get(plain, "")) or by_name.get(plain)


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _near(code: object) -> str | None:
    """Return the code of the measure whose code or name is spelt most alike."""
    by_name = {
        _plain(name): one.code for one in _REGISTRY.values() for name in (one.code, one.name)
    } | SYNONYMS
    found = nearest_word(_plain(code), by_name) if isinstance(code, str) else None
    return None if found is None else by_name[found]


def all_measures() -> tuple[Measure, ...]:
    """Return every registered measure, in order of registration.

    Returns
    -------
    tuple of Measure
        The records.

    Examples
    --------
    >>> from metaexo.effects import all_measures
    >>> [measure.code for measure in all_measures() if measure.family == "generic"]
    ['GEN', 'RATIO', 'HR']
    """
    return tuple(_REGISTRY.values())


GENERIC = Measure(
    code="GEN",
    name="effect as given",
    family="generic",
    inputs=(),
    compute=None,
    null=0.0,
    display="Effect",
    reference="10.1002/9781119536604.ch10",
)
RATIO = replace(
    GENERIC,
    code="RATIO",
    name="log ratio as given",
    display="Ratio",
    back=np.exp,
    display_log=True,
)
HAZARD_RATIO = replace(
    RATIO,
    code="HR",
    name="log hazard ratio as given",
    display="Hazard ratio",
    reference="10.1186/1745-6215-8-16",
)
register(GENERIC, RATIO, HAZARD_RATIO)
