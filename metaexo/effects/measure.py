"""What an effect-size measure is: a small record, kept in one registry.

A measure owns everything that a reader of its numbers has to know: the inputs it needs, the value of no
effect, the scale on which it is analysed and the scale on which it is shown. Plots, tables and models ask
the measure; none of them knows a measure by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from metaexo.effects.formulas import INPUTS, Route, meanings
from metaexo.errors import InputError, UnknownChoiceError, nearest_word
from metaexo.formatting import printed
from metaexo.readable import table_view
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
DOI = re.compile(r"doi:(\S*[^\s.,])")


def identity(values: Array) -> Array:
    """Return the values as they are: the display scale is the scale of the analysis."""
    return np.asarray(values, dtype=float)


@dataclass(frozen=True, slots=True)
class BackBySize:
    """The way back from a scale on which equal values of studies of different size are different results."""

    # from values on the scale of the analysis, and sizes (or person-times), to the display scale
    back: Callable[[Array, Array], Array]
    size: Callable[[Array], Array]  # from the sampling variance of an effect to the size it belongs to


@dataclass(frozen=True, slots=True, repr=False)
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
    use : str
        When to use it.
    routes : tuple of Route
        Sets of inputs with the formulas of effect and variance, in order of trust; the first is the measure's
        own. Empty for effects that were computed elsewhere.
    null : float
        Value of no effect on the scale of the analysis; NaN where there is none (a proportion of one
        group).
    display : str
        Label of the display scale, for example "Risk ratio".
    papers : tuple of str
        Papers and handbooks that give the formulas; the first has a DOI.
    back : callable
        From the scale of the analysis to the display scale; monotone. Where that depends on the size of a
        study it is the limit for large sizes; :func:`metaexo.effects.back_by_rows` and
        :func:`metaexo.effects.back_pooled` take the sizes into account.
    display_log : bool
        Whether the display scale is a ratio scale, to be drawn on a logarithmic axis.
    orientation : {"negate", "none"}
        How an effect is turned round so that positive means benefit: by a change of sign, or not at all
        (a proportion of one group has no opposite effect).
    zero_cells : float or None
        What is added to the cells of a study with a zero cell unless the caller says otherwise;
        None if the inputs are not counts.
    by_size : BackBySize or None
        The way back to the display scale where it depends on the size of the study.
    """

    code: str
    name: str
    family: str
    use: str
    routes: tuple[Route, ...]
    null: float
    display: str
    papers: tuple[str, ...]
    back: Callable[[Array], Array] = identity
    display_log: bool = False
    orientation: Orientation = "negate"
    zero_cells: float | None = None
    by_size: BackBySize | None = None

    def __reduce__(self) -> tuple[Callable[..., Measure], tuple[Any, ...]]:
        """Keep a known measure by its code, so that it can be pickled whatever functions it is made of."""
        if _REGISTRY.get(self.code) is self:
            return get_measure, (self.code,)
        return Measure, tuple(getattr(self, part.name) for part in fields(self))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs from which the effect is computed, in order."""
        return self.routes[0].inputs if self.routes else ()

    @property
    def alternatives(self) -> tuple[Route, ...]:
        """Other sets of inputs from which the effect can be computed, in order of trust."""
        return self.routes[1:]

    @property
    def compute(self) -> Callable[..., tuple[Array, Array]] | None:
        """Function of the inputs, by name, that returns effects and variances; None without a formula."""
        return self.routes[0].compute if self.routes else None

    @property
    def variances(self) -> tuple[str, ...]:
        """Types of sampling variance, the default first; empty if there is only one."""
        return tuple(kind for kind in self.routes[0].kinds if kind) if self.routes else ()

    @property
    def bias_corrected(self) -> bool:
        """Whether the effect has a small-sample correction."""
        return bool(self.routes) and self.routes[0].bias_corrected

    @property
    def reference(self) -> str:
        """DOI of the paper or handbook that gives the formula."""
        found = DOI.search(self.papers[0]) if self.papers else None
        return found[1] if found else ""

    @property
    def possible(self) -> tuple[float, float]:
        """The least and the largest value that is possible on the display scale."""
        return POSSIBLE.get(self.display, (-np.inf, np.inf))

    @property
    def rescaled(self) -> bool:
        """Whether the display scale is another than that of the analysis."""
        return self.back is not identity

    def formula(self, variance: str | None = None) -> str:
        """Return the lines of effect and variance as one line of text, in the signs of :func:`explain`.

        Parameters
        ----------
        variance : str, optional
            Type of sampling variance; the default if not given.

        Returns
        -------
        str
            The formula.

        Examples
        --------
        >>> from metaexo.effects import get_measure
        >>> get_measure("MD").formula()
        'y = m1 - m2; v = s1^2 / n1 + s2^2 / n2'
        """
        if not self.routes:
            return "y and v as given"
        of_y, of_v = self.routes[0].lines(variance or self.routes[0].kinds[0])
        return "; ".join(f"{line.sign} = {line.readable}" for line in (*of_y, *of_v))

    @printed
    def __repr__(self) -> str:
        return f"Measure({self.code}: {self.name})"

    def _repr_html_(self) -> str:
        """Return what the measure is, and its inputs, as a table for a notebook."""
        rows = [["name", self.name], ["use", self.use], ["shown as", self.display]]
        rows += [[name, INPUTS.get(name, (name, ""))[1]] for name in self.inputs]
        rows += [[f"formula {kind}".rstrip(), self.formula(kind)] for kind in self.variances or ("",)]
        return table_view(rows, ["", self.code], left=2)

    @printed
    def __str__(self) -> str:
        """Return what a reader has to know: name, use, inputs with their signs, formulas, papers."""
        lines = [f"{self.code}: {self.name}", self.use]
        for name in self.inputs:
            sign, what = INPUTS.get(name, (name, ""))
            lines.append(f"  {sign} = {name}: {what}")
        formulas = {kind: self.formula(kind) for kind in self.variances or ("",)}
        lines += [f"formula{f' ({kind})' if kind else ''}: {text}" for kind, text in formulas.items()]
        lines += meanings(" ".join(formulas.values()))
        if self.alternatives:
            others = "; ".join(", ".join(route.inputs) for route in self.alternatives)
            lines.append(f"other inputs that will do: {others}")
        return "\n".join([*lines, *self.papers])


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
    "logor": "OR",
    "lnor": "OR",
    "logrr": "RR",
    "logrom": "ROM",
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
    """Add measures to the registry; refuse a code that is taken already."""
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
    if not isinstance(code, str):
        return None
    turned = [name for name in by_name if sorted(name) == sorted(_plain(code))]  # letters in another order
    found = nearest_word(_plain(code), turned or by_name)
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
    use="Effects and variances were computed elsewhere.",
    routes=(),
    null=0.0,
    display="Effect",
    papers=(
        "Deeks, Higgins & Altman (2019), Cochrane Handbook for Systematic Reviews of Interventions, "
        "chapter 10, doi:10.1002/9781119536604.ch10.",
    ),
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
    use="Log hazard ratios and their variances were computed elsewhere, as by a Cox regression.",
    papers=("Tierney, Stewart, Ghersi, Burdett & Sydes (2007), Trials 8, 16, doi:10.1186/1745-6215-8-16.",),
)
register(GENERIC, RATIO, HAZARD_RATIO)
