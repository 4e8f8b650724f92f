"""CountFit and CountResults: what every fitted model of event counts is, and what it can be asked."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import gammaln, xlogy

from metaexo.effects.counts import EventCounts
from metaexo.effects.derivation import Derivation
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import plural
from metaexo.immutable import lock
from metaexo.inputs import check_choice, describe
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import FitStatistics
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.linear.results import FitResults
from metaexo.numeric.weighted import weighted_least_squares
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd


def check_event_counts(counts: object, function: str, *, arms: int | None = None) -> EventCounts:
    """Return the counts; refuse anything else, none at all, and another number of arms than is needed."""
    if not isinstance(counts, EventCounts):
        raise InputError(
            f"the counts are {describe(counts)}",
            "counts of events: an EventCounts",
            f"{function}(mx.event_counts(data, treatment_events=..., treatment_n=..., ...))",
        )
    if not counts.k:
        raise InputError("there are no rows of counts", "at least one row", "look at the ledger")
    if arms is not None and counts.arms != arms:
        have, need = ("one arm", "two arms") if arms == 2 else ("two arms", "one arm")
        remedy = 'choose one: counts.arm("treatment")' if arms == 1 else "use a model of one arm"
        raise InputError(f"the counts are of {have}", f"counts of {need}", remedy)
    return counts


def no_comparison(counts: EventCounts, what: str) -> NotIdentifiableError:
    """Return the error for two arms that no row compares: each has no event, or events in everyone of both.

    `what` says what is not there then: "there is no odds ratio". The remedy is a limit of one arm.
    """
    time, one = counts.person_time, 'counts.arm("treatment")'
    if counts.is_zero.all():
        given = "no event in either arm"
    elif (counts.events == counts.totals).all():
        given, one = "events in everyone of both arms", "others"
    else:
        given = "no event in either arm, or events in everyone of both"
    limit = f"mx.safety.upper_limit({one}) has the largest {'rate' if time else 'risk'} that is not excluded"
    if one == "others":
        n = "counts.totals[:, 0]"
        limit = (
            f"count those without: others = mx.event_counts(events={n} - counts.events[:, 0], n={n}); {limit}"
        )
    return NotIdentifiableError(
        f"{given}, in {'the only row' if counts.k == 1 else f'each of {counts.k} rows'}: {what}",
        "a row with an event" + ("" if time else ", and someone without"),
        limit,
    )


@dataclass(frozen=True, eq=False, repr=False)
class CountFit(LinearFit):
    """Base of the records of fitted models of counts: a family inherits it in a frozen dataclass.

    Beside what ``LinearFit`` asks for, a family gives `on`. Its `effects` are the studies' own estimates
    by the rule for zeros that the model states, for tables, drawings and Q, with NaN where a study has none
    (:meth:`EventCounts.study_estimates`); the coefficients rest on `counts`.
    """

    counts: EventCounts
    effects: EffectSizes
    design: Design
    method: str
    test: str
    level: float

    @abstractmethod
    def on(self, counts: EventCounts, design: Design) -> Self:
        """Return the same model fitted to other counts, with the columns of the design for their rows."""

    @property
    def rows_in_words(self) -> str:
        """How many rows of counts of how many studies were fitted, and which column of the data says so."""
        counts = self.counts
        of = "" if counts.study_column is None else f" (column {counts.study_column!r})"
        studies = plural(counts.m, "study", "studies")
        return f"{studies}{of}" if counts.m == counts.k else f"{plural(counts.k, 'row')} from {studies}{of}"

    @property
    def derivations(self) -> tuple[Derivation, ...]:
        """Counts are fitted as they are: no row is derived, reported or converted."""
        return ()

    @property
    def informative(self) -> Mask:
        """Which rows the coefficients rest on, shape (k,); by default those that are not double zero."""
        return lock(~self.counts.is_double_zero)

    @property
    def has_estimate(self) -> Mask:
        """Which rows have an estimate of their own, shape (k,)."""
        return lock(np.isfinite(self.effects.y) & np.isfinite(self.effects.v))

    def digest_parts(self) -> list[Array]:
        """Return the arrays that the digest is made of: counts, sizes and design."""
        return [self.counts.events, self.counts.totals, self.design.matrix(self.k)]

    def count_lines(self) -> tuple[str, ...]:
        """Return what the counts are, how many rows have no event, and how many say nothing here."""
        counts = self.counts
        whom = f"{counts.totals.sum():,.10g} {'person-time' if counts.person_time else 'people'}"
        lines = [f"{plural(int(counts.events.sum()), 'event')} in {whom}; {counts.zeros_in_words()}"]
        silent = int((~self.informative).sum())
        if silent:
            lines.append(
                f"{plural(silent, 'row')} without information on the estimate (no event in either arm, or "
                "events in everyone): kept in the counts, without weight"
            )
        return tuple(lines)


def cochran_q(fit: CountFit) -> TestResult:
    """Return Cochran's Q test of the studies' own estimates, weights 1/v; rows without one are left out."""
    keep = fit.has_estimate
    x, df = fit.design.matrix(fit.k)[keep], float(keep.sum()) - fit.design.p
    null = fit.homogeneity_words()
    if df < 1 or np.linalg.matrix_rank(x) < fit.design.p:
        return TestResult(math.nan, "chi2", (max(df, 0.0),), math.nan, f"{null}; not testable")
    least = weighted_least_squares(x, fit.effects.y[keep], fit.effects.v[keep])
    return make_test(float(least.residuals @ least.residuals), "chi2", (df,), null)


def statistics_of_arms(counts: EventCounts, llf: float, parameters: int) -> FitStatistics:
    """Return the statistics of a model of arms, each of which is an observation.

    The deviance is relative to the model with a risk or rate for each arm of each row.
    """
    y, n = counts.events, counts.totals
    if counts.person_time:
        saturated = float((xlogy(y, y) - y - gammaln(y + 1)).sum())
    else:
        share = xlogy(y, y / n) + xlogy(n - y, (n - y) / n)
        saturated = float((share + gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)).sum())
    room = max(y.size, parameters + 2)
    return FitStatistics(
        llf=llf,
        deviance=2 * (saturated - llf),
        aic=-2 * llf + 2 * parameters,
        bic=-2 * llf + parameters * math.log(y.size),
        aicc=-2 * llf + 2 * parameters * room / (room - parameters - 1),
        restricted=False,
        parameters=parameters,
    )


class CountResults(CountFit, FitResults):
    """Base of the results of models of counts.

    A family gives `q` and `family_lines`, whose `data` are `count_lines()`.
    """

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the studies' own estimates less the fitted ones.

        Parameters
        ----------
        kind : {"standardized", "pearson"}
            Both are over the root of the sampling variance of each estimate plus the heterogeneity of the
            model: what the fit has taken from each study is not subtracted.

        Returns
        -------
        DataFrame
            Columns fitted, residual, se, z, indexed by the rows' labels; NaN where a study has no estimate of
            its own.

        Raises
        ------
        UnknownChoiceError
            If the kind is not known.
        """
        import pandas as pd

        check_choice("kind of residual", kind, ("standardized", "pearson"))
        fitted = self.fitted_values
        se = np.sqrt(self.effects.v + (self.new_effect_variance if self.is_random else 0.0))
        residual = self.effects.y - fitted
        with np.errstate(divide="ignore", invalid="ignore"):
            z = residual / se
        return pd.DataFrame(
            {"fitted": fitted, "residual": residual, "se": se, "z": z},
            index=pd.Index(self.effects.row_labels, name="label"),
        )

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted random effects; a model of a common effect has none, and an empty table."""
        import pandas as pd

        self.at_level(level)
        columns = ["component", "level", "estimate", "se", "low", "high"]
        return pd.DataFrame({name: [] for name in columns})

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        counts = self.counts
        return super().facts() | {
            "counts": {
                "events": counts.events.sum(axis=0),
                "totals": counts.totals.sum(axis=0),
                "person_time": counts.person_time,
                "rows_without_event": int(counts.is_zero.sum()),
                "rows_without_information": int((~self.informative).sum()),
            }
        }
