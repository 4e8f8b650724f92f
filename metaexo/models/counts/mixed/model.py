"""The generalised linear mixed model of event counts, with or without moderators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.counts import EventCounts
from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import (
    DependentEffectsWarning,
    InputError,
    UnknownChoiceError,
    nearest_word,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import check_choice, check_flag, check_level, describe
from metaexo.models.counts.fit import check_event_counts
from metaexo.models.counts.mixed.fitting import fitted
from metaexo.models.counts.mixed.results import CountGLMMResults
from metaexo.models.linear.choices import get_test
from metaexo.models.linear.design import DEPENDENCE, MISSING, Design, make_design, without_missing
from metaexo.models.linear.model import Model
from metaexo.numeric.counts.formulations import APPROXIMATE, EXACT, FIXED, ONE_ARM, RANDOM
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

MODELS = (FIXED, RANDOM, EXACT, APPROXIMATE)
SYNONYMS = {"um.fs": FIXED, "um.rs": RANDOM, "cm.el": EXACT, "cm.al": APPROXIMATE}
CODINGS = {"1/2": (0.5, -0.5), "1/0": (1.0, 0.0), "0/1": (0.0, 1.0)}
LINKS = ("logit", "cloglog", "probit")
METHODS = ("ML", "EE")
METHOD_SYNONYMS = {"FE": "EE", "CE": "EE"}
TESTS = ("z", "t")
# Measures by arms and person-time.
MEASURES = {(2, False): "OR", (2, True): "IRR", (1, False): "PLO", (1, True): "IRLN"}
# Points of the quadrature by the number of random effects.
POINTS = {1: 15, 2: 9}
MOST_POINTS = 100


def one_minus_exp(values: Array) -> Array:
    """Return the proportions with these complementary log-logs, 1 - exp(-exp(y))."""
    with np.errstate(over="ignore"):
        return np.asarray(-np.expm1(-np.exp(values)))


# The scale of one arm with a complementary log-log link; it is not a measure of effect sizes elsewhere.
CLOGLOG = Measure(
    code="PCLL",
    name="complementary log-log proportion",
    family="one group, events",
    use="Proportions that come from a rate over a time that is the same for all.",
    routes=(
        Route(
            ("events", "n"),
            "P = x / n\nh = -log(1 - P)\ny = log(h)",
            "v = P / ((1 - P) * n * h**2)",
        ),
    ),
    null=float("nan"),
    display="Proportion",
    papers=("Allison (1982), Sociological Methodology 13, 61-98, doi:10.2307/270718.",),
    back=one_minus_exp,
    orientation="none",
    zero_cells=0.5,
)


class CountGLMM(Model):
    r"""Generalised linear mixed model of event counts: logistic or Poisson regression of several studies.

    Use it to pool counts of rare events, or few people per study, without adding anything to zeros and
    without normal approximations within studies, with heterogeneity of the true effects and with moderators.

    For two arms the log odds ratio (of person-time: the log rate ratio) of study i is
    :math:`\theta_i = x_i'\beta + u_i` with :math:`u_i \sim N(0, \tau^2)`. The models differ in what they do
    with the risk of the control arm:

    =========================  ==========================================================================
    "conditional-exact"        condition on the events of each study: the events of the treated arm have a
                               non-central hypergeometric distribution (of person-time: binomial), which
                               knows no other parameter than :math:`\theta_i`
    "conditional-approximate"  the same with the binomial distribution, which is near it where events are
                               rare
    "unconditional-fixed"      an intercept per study is estimated
    "unconditional-random"     the intercepts of the studies are normal, :math:`N(\alpha, \sigma^2)`
    =========================  ==========================================================================

    For one arm the logit (or another link) of the risk, or the log of the rate, is
    :math:`x_i'\beta + u_i`.

    Parameters
    ----------
    counts : EventCounts
        Counts of one or two arms, of people or person-time; see :func:`metaexo.event_counts`.
    measure : {"OR", "IRR", "PLO", "IRLN"}, optional
        Odds ratio, rate ratio, logit of a risk, log of a rate. Default: the one of the counts.
    moderators : str, array_like or DataFrame, shape (k, q), optional
        A formula on the columns of the counts' data, or numeric moderators, one column each. Default: none.
    model : str, optional
        One of the models above, for two arms only; "UM.FS", "UM.RS", "CM.EL" and "CM.AL" are understood.
        Default: "conditional-exact". Of person-time both conditional models are the same.
    coding : {"1/2", "1/0", "0/1"}
        For the unconditional models: which arms the random effect moves, by how much: half of it each, in
        opposite directions; the treated arm alone; the control arm alone.
    correlated : bool
        For "unconditional-random": whether study intercepts and effects are correlated.
    link : {"logit", "cloglog", "probit"}
        Link of the risk of one arm.
    intercept : bool
        Whether the model has an intercept.
    names : sequence of str, optional
        Names of the moderators, where they are an array.
    redundant : {"raise", "drop"}
        What to do with columns that are aliased with those before them.
    dependence : {"warn", "accept"}
        What to do if several rows belong to one study.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing.

    Raises
    ------
    InputError
        If something cannot be used; it names the rows, and what to do.
    UnknownChoiceError
        If a word is not known.

    Warns
    -----
    DependentEffectsWarning
        If several rows belong to one study: this model takes them as independent.
    RowsLeftOutWarning
        If rows were left out because `missing` is "drop".

    Notes
    -----
    Studies without an event in either arm, or with events in everyone, have no information on a ratio within
    studies: they stay in the counts without weight, except with random study intercepts, where they count.

    References
    ----------
    Stijnen, T., Hamza, T. H., Özdemir, P. (2010). Random effects meta-analysis of event outcome in the
    framework of the generalized linear mixed model with applications in sparse data. Statistics in Medicine
    29, 3046-3067. https://doi.org/10.1002/sim.4040
    Jackson, D., Law, M., Stijnen, T., Viechtbauer, W., White, I. R. (2018). A comparison of seven
    random-effects models for meta-analyses that estimate the summary odds ratio. Statistics in Medicine 37,
    1059-1085. https://doi.org/10.1002/sim.7588
    Turner, R. M., Omar, R. Z., Yang, M., Goldstein, H., Thompson, S. G. (2000). A multilevel model framework
    for meta-analysis of clinical trials with binary outcomes. Statistics in Medicine 19, 3417-3432.
    https://doi.org/10.1002/1097-0258(20001230)19:24<3417::AID-SIM614>3.0.CO;2-L

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[0, 1, 2, 0, 3], treatment_n=[12, 30, 41, 25, 60],
    ...     control_events=[2, 3, 5, 1, 4], control_n=[12, 31, 40, 24, 61],
    ... )
    >>> fit = mx.CountGLMM(counts).fit()
    >>> print(f"{fit.estimate:.3f} (SE {fit.se[0]:.3f}), tau2 {fit.tau2:.3f}")
    -0.965 (SE 0.495), tau2 0.000
    """

    def __init__(
        self,
        counts: EventCounts,
        measure: str | Measure | None = None,
        moderators: str | ArrayLike | pd.DataFrame | None = None,
        *,
        model: str | None = None,
        coding: Literal["1/2", "1/0", "0/1"] = "1/2",
        correlated: bool = False,
        link: Literal["logit", "cloglog", "probit"] = "logit",
        intercept: bool = True,
        names: Sequence[str] | None = None,
        redundant: Literal["raise", "drop"] = "raise",
        dependence: Literal["warn", "accept"] = "warn",
        missing: Literal["raise", "drop"] = "raise",
    ) -> None:
        check_event_counts(counts, "CountGLMM")
        check_choice("coding", coding, tuple(CODINGS))
        check_choice("link", link, LINKS)
        check_choice("dependence", dependence, DEPENDENCE)
        check_choice("missing", missing, MISSING)
        check_flag("correlated", correlated)
        self.model: str = read_model(model, counts)
        self.measure: Measure = _read_measure(measure, counts, link)
        self.coding, self.correlated = CODINGS[coding], correlated
        self.link: str = "log" if counts.person_time else link
        if correlated and self.model != RANDOM:
            raise InputError(
                f'correlated=True with model="{self.model}"',
                "random study intercepts, which the effects can be correlated with",
                f'use model="{RANDOM}"',
            )
        counts.check_index("moderators", moderators)
        if missing == "drop":
            counts, (moderators,), _ = without_missing(counts, moderators)
        self.counts: EventCounts = counts
        self.design: Design = make_design(
            moderators,
            counts.k,
            names,
            intercept,
            data=None if moderators is None else counts.data,
            rows=None if counts.ledger is None else counts.row_ids,
            redundant=redundant,
            can_drop=True,
        )
        if dependence == "warn" and counts.m < counts.k:
            warn_caller(
                f"{counts.k} rows of counts come from {plural(counts.m, 'study', 'studies')}; this model "
                "takes them as independent, so its intervals are too narrow",
                DependentEffectsWarning,
            )

    def fit(
        self,
        method: str = "ML",
        test: str = "z",
        level: float = 0.95,
        *,
        points: int | None = None,
    ) -> CountGLMMResults:
        """Fit the model by maximum likelihood.

        Parameters
        ----------
        method : {"ML", "EE"}
            "ML": maximum likelihood with a between-study variance; "EE", also "FE" or "CE": equal effects.
        test : {"z", "t"}
            "z": normal; "t": t with k - p degrees of freedom, k rows with information and p coefficients.
        level : float
            Confidence level of the intervals.
        points : int, optional
            Points of the adaptive Gauss-Hermite quadrature in each dimension; 1 is Laplace's approximation.
            Default: 15 for one random effect and 9 for two, which leave an error in the log-likelihood far
            below its statistical meaning for sparse counts as well; lme4 has 1, and metafor 7 for one.

        Returns
        -------
        CountGLMMResults
            The fit, immutable.

        Raises
        ------
        UnknownChoiceError
            If `method` or `test` is not known.
        TooFewStudiesError
            If there are too few rows with information.
        NotIdentifiableError
            If an estimate is infinite: no event in one arm of all studies, for example. It names the model
            that has an answer.
        ConvergenceError
            If the search ends without a maximum.
        """
        code = get_method(method)
        test = get_test(test, TESTS)
        level = check_level(level)
        effects = 2 if self.model == RANDOM and code == "ML" else 1
        choices = {
            "model": self.model,
            "link": self.link,
            "coding": self.coding,
            "correlated": self.correlated,
            "points": POINTS[effects] if points is None else read_points(points),
            "method": code,
            "test": test,
        }
        found = fitted(self.counts, self.design, self.measure, **choices)  # type: ignore[arg-type]
        return CountGLMMResults(**found, **choices, level=level)  # type: ignore[arg-type]


def get_method(method: object) -> str:
    """Return "ML" or "EE"; capitals do not matter."""
    code = str(method).strip().upper()
    code = METHOD_SYNONYMS.get(code, code)
    if code not in METHODS:
        raise UnknownChoiceError("method", method, METHODS)
    return code


def read_model(model: object, counts: EventCounts) -> str:
    """Return the model of the counts."""
    if counts.arms == 1:
        if model is not None and not (isinstance(model, str) and model == ONE_ARM):
            given = repr(model) if isinstance(model, str) else describe(model)
            raise InputError(f"model is {given}, and the counts are of one arm", "no model: one arm has one")
        return ONE_ARM
    if model is None:
        return EXACT
    word = str(model).strip().casefold()
    found = SYNONYMS.get(word, word)
    if found not in MODELS:
        near = nearest_word(word, (*MODELS, *SYNONYMS))
        raise UnknownChoiceError("model", model, MODELS, nearest=SYNONYMS.get(near or "", near))
    return EXACT if found == APPROXIMATE and counts.person_time else found


def _read_measure(measure: str | Measure | None, counts: EventCounts, link: str) -> Measure:
    """Return the measure, which follows from the counts and the link; refuse another one."""
    own = MEASURES[counts.arms, counts.person_time]
    if measure is not None and get_measure(measure).code != own:
        given = get_measure(measure).code
        arms = "one arm" if counts.arms == 1 else "two arms"
        size = "person-time" if counts.person_time else "people"
        other = (
            f'mx.MantelHaenszel(counts, "{given}")' if counts.arms == 2 else "effect sizes and RandomEffects"
        )
        raise InputError(
            f"the measure is {given}, and the counts are of {arms} and {size}",
            f"the measure {own}",
            f"leave it out; for {given} use {other}",
        )
    if link != "logit" and own != "PLO":
        raise InputError(f'link="{link}" of {own}', "counts of people in one arm", "leave the link out")
    if link == "logit":
        return get_measure(own)
    return CLOGLOG if link == "cloglog" else get_measure("PRZ")


def read_points(points: object) -> int:
    """Return a number of points of the quadrature."""
    whole = isinstance(points, int | np.integer) and not isinstance(points, bool)
    if not whole or not 1 <= points <= MOST_POINTS:  # type: ignore[operator]
        raise InputError(f"points is {points!r}", f"a whole number from 1 to {MOST_POINTS}")
    return int(points)  # type: ignore[call-overload, no-any-return]
