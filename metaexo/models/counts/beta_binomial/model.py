"""BetaBinomial: the model of counts of events whose true risks or rates differ between studies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from numpy.typing import ArrayLike

from metaexo.effects.counts import EventCounts
from metaexo.effects.measure import find_measure
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import check_choice, check_level
from metaexo.models.counts.beta_binomial.fit import estimates, highest, require_df
from metaexo.models.counts.beta_binomial.results import BetaBinomialResults
from metaexo.models.counts.common_effect import check_dependence
from metaexo.models.counts.fit import check_event_counts
from metaexo.models.linear.choices import get_test
from metaexo.models.linear.design import MISSING, Redundant, make_design, without_missing
from metaexo.models.linear.model import Model
from metaexo.numeric.counts.mean_links import LINKS

if TYPE_CHECKING:
    import pandas as pd


# Measures by arms and kind of size, the first the default, with the links that they can have.
MEASURES: dict[tuple[int, bool], dict[str, tuple[str, ...]]] = {
    (1, False): {"PLO": ("logit", "probit", "cloglog"), "PLN": ("log",), "PR": ("identity",)},
    (2, False): {"OR": ("logit",), "RR": ("log",), "RD": ("identity",)},
    (1, True): {"IRLN": ("log",)},
    (2, True): {"IRR": ("log",)},
}
METHODS = ("ML", "EE")
TESTS = ("z", "t")


class BetaBinomial(Model):
    r"""Beta-binomial model of counts of events; negative binomial for person-time.

    Use it for rare events, where many studies have none: every study counts in full, also one without an
    event in either arm, and nothing is added to zeros. The number of people with an event in arm i is
    binomial, :math:`y_i \sim B(n_i, \pi_i)`, and its true risk :math:`\pi_i` has a beta distribution with
    mean :math:`\mu_i` and variance :math:`\rho \mu_i (1 - \mu_i)`, so that

    .. math:: P(y_i) = \binom{n_i}{y_i} \frac{B(a_i + y_i, b_i + n_i - y_i)}{B(a_i, b_i)}, \qquad
        a_i = \mu_i \frac{1 - \rho}{\rho}, \quad b_i = (1 - \mu_i) \frac{1 - \rho}{\rho},
        \quad \rho = \frac{1}{1 + a_i + b_i}.

    The link :math:`g(\mu_i) = x_i'\beta` depends on the measure: the log odds for OR and PLO, the logarithm
    for RR and PLN, the risk itself for RD and PR. For person-time :math:`t_i` the rate has a gamma
    distribution with mean :math:`\lambda_i` and coefficient of variation :math:`\sqrt\theta`, and the events
    are negative binomial with mean :math:`\lambda_i t_i` and variance
    :math:`\lambda_i t_i + \theta (\lambda_i t_i)^2`.

    With two arms all arms count as separate, with one :math:`\rho`: which arms belong to one study is
    ignored. That lets studies without any event inform a ratio, and it costs the protection that the
    comparison within studies gives: if the baseline risk differs much between studies whose arms are of
    unequal size, prefer :class:`metaexo.ArmBased` or :class:`metaexo.CountGLMM`.

    Parameters
    ----------
    counts : EventCounts
        Counts of one or two arms; see :func:`metaexo.event_counts`.
    measure : {"OR", "RR", "RD", "IRR", "PLO", "PLN", "PR", "IRLN"}, optional
        What the coefficients are: of two arms log odds ratio, log risk ratio, risk difference, or, for
        person-time, log rate ratio; of one arm log odds, log risk or risk, or the log rate. Default: OR, PLO,
        IRR or IRLN.
    moderators : str, array_like or DataFrame, shape (k, q), optional
        A formula on the columns of the counts' data, or numeric columns. With two arms the risk of the
        control arm has the same moderators, with coefficients that are not shown.
    link : {"logit", "probit", "cloglog"}, optional
        For PLO: the scale on which risks are linear in the moderators. Default: "logit".
    redundant : {"raise", "drop"}
        What to do with columns that add nothing to those before them.
    dependence : {"warn", "accept"}
        What to do if several rows belong to one study: they are taken as independent.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing.

    Raises
    ------
    InputError
        If `counts` are no counts.
    UnknownChoiceError
        If there is no such measure of these counts, or no such link.

    Warns
    -----
    DependentEffectsWarning
        If several rows belong to one study.
    RowsLeftOutWarning
        If rows were left out because `missing` is "drop".

    References
    ----------
    Kuss, O. (2015). Statistical methods for meta-analyses including information from studies without any
    events - add nothing to nothing and succeed nevertheless. Statistics in Medicine 34, 1097-1116.
    https://doi.org/10.1002/sim.6383
    Mathes, T., Kuss, O. (2018). A comparison of methods for meta-analysis of a small number of studies with
    binary outcomes. Research Synthesis Methods 9, 366-381. https://doi.org/10.1002/jrsm.1296

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[0, 3, 0, 2, 1], treatment_n=[12, 40, 25, 30, 22],
    ...     control_events=[0, 5, 1, 6, 3], control_n=[11, 42, 25, 31, 20],
    ... )
    >>> fit = mx.BetaBinomial(counts, "OR").fit()
    >>> print(f"{fit.estimate:.2f} (SE {fit.se[0]:.2f}), rho {fit.rho:.3f}")
    -0.99 (SE 0.50), rho 0.000
    """

    def __init__(
        self,
        counts: EventCounts,
        measure: str | None = None,
        moderators: str | ArrayLike | pd.DataFrame | None = None,
        *,
        link: Literal["logit", "probit", "cloglog"] | None = None,
        redundant: Redundant = "raise",
        dependence: Literal["warn", "accept"] = "warn",
        missing: Literal["raise", "drop"] = "raise",
    ) -> None:
        counts = check_event_counts(counts, "BetaBinomial")
        check_dependence(counts, dependence)
        check_choice("missing", missing, MISSING)
        known = MEASURES[counts.arms, counts.person_time]
        self.code = _measure(measure, known)
        self.link = known[self.code][0]
        if link is not None:
            check_choice("link", link, tuple(LINKS))
            if len(known[self.code]) == 1 and link != self.link:
                raise InputError(
                    f"link {link!r} was given for the measure {self.code}",
                    f"the link of {self.code}: {self.link}",
                    'probit and cloglog are for one arm of people, with the measure "PLO"',
                )
            check_choice("link", link, known[self.code])
            self.link = link
        counts.check_index("moderators", moderators)
        if missing == "drop":
            counts, (moderators,), _ = without_missing(counts, moderators)
        self.counts = counts
        self.design = make_design(
            moderators,
            counts.k,
            data=counts.data,
            rows=None if counts.ledger is None else counts.row_ids,
            redundant=redundant,
            can_drop=True,
        )

    def fit(
        self, method: Literal["ML", "EE"] = "ML", test: Literal["z", "t"] = "z", level: float = 0.95
    ) -> BetaBinomialResults:
        """Fit the model by maximum likelihood.

        The likelihood is climbed in the coefficients for a grid of correlations, and from each that is as
        high as its neighbours in all parameters, by Newton's method with exact derivatives. Correlations of 0
        and 1 are possible.

        Parameters
        ----------
        method : {"ML", "EE"}
            "ML": rho is estimated. "EE": equal risks, rho is 0; with two arms that is the table of all
            studies taken together.
        test : {"z", "t"}
            "z": normal; "t": k - p degrees of freedom for k rows and p coefficients of the effect.
        level : float
            Confidence level of the intervals.

        Returns
        -------
        BetaBinomialResults
            The fit, immutable.

        Raises
        ------
        UnknownChoiceError
            If `method` or `test` is not known.
        TooFewStudiesError
            If there are no more rows than coefficients, and t tests are asked for.
        NotIdentifiableError
            If no arm has an event, or all people of an arm have one: the error names what gives an answer.
        ConvergenceError
            If the likelihood has no maximum at possible risks.
        """
        check_choice("method", method, METHODS)
        kind = get_test(test, TESTS)
        require_df(kind, self.counts, self.design)
        return BetaBinomialResults(
            counts=self.counts,
            effects=estimates(self.counts, self.code, self.link),
            design=self.design,
            code=self.code,
            maximum=highest(self.counts, self.design, self.link, method),
            link=self.link,
            method=method,
            test=kind,
            level=check_level(level),
        )


def _measure(measure: object, known: dict[str, tuple[str, ...]]) -> str:
    """Return the code of a measure that these counts have; the first if none is asked for."""
    if measure is None:
        return next(iter(known))
    found = find_measure(measure if isinstance(measure, str) else getattr(measure, "code", measure))
    if found is None or found.code not in known:
        raise UnknownChoiceError("measure of these counts", measure, tuple(known))
    return found.code
