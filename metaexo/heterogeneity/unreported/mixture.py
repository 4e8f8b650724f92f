"""Studies that do not report a moderator, as a mixture of its known levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.check import refuse_zero_variances
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    ConvergenceError,
    DependentEffectsWarning,
    InputError,
    NotIdentifiableError,
    TooFewStudiesError,
    warn_caller,
)
from metaexo.formatting import interval, number, percent, plural, text_table
from metaexo.heterogeneity.levels import (
    factor_levels,
    is_unreported,
    natural_key,
    read_factor_named,
    studies_of,
)
from metaexo.inputs import check_choice, check_level, whole_number
from metaexo.models.linear.hypothesis import make_test
from metaexo.numeric.likelihood_maximum import restricted_maximum_likelihood
from metaexo.numeric.mixture import Mixture, MixtureMaximum, maximise
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tails import normal_quantile
from metaexo.readable import ReadableLines
from metaexo.types import Array, Words

if TYPE_CHECKING:
    import pandas as pd

# A study says nothing if its probabilities, all levels as likely beforehand, stay this near to each other.
SAYS_NOTHING = 0.05
LARGEST_SLOPE = 1e-5
SHARES = ("pooled", "own", "equal")


@dataclass(frozen=True, eq=False, repr=False)
class LatentModerator(ReadableLines):
    """Unreported studies as a mixture of known levels.

    Attributes
    ----------
    by : str
        The moderator.
    shares : {"pooled", "own", "equal"}
        What was taken of the shares of the levels.
    levels : tuple of str
        Its known levels.
    labelled : tuple of int
        Studies that report each.
    alone : ndarray, shape (J,)
        Means of the levels from the studies that report them.
    studies : tuple of str
        The studies that do not.
    maximum : MixtureMaximum
        Means, shares, probabilities, and how the maximum was verified.
    evidence : ndarray, shape (U, J)
        Probabilities from each study's effects alone, all levels being as likely beforehand.
    level : float
        Level of the intervals, which are normal.
    notes : tuple of str
        What to beware of.
    """

    by: str
    shares: str
    levels: tuple[str, ...]
    labelled: tuple[int, ...]
    alone: Array
    studies: tuple[str, ...]
    maximum: MixtureMaximum
    evidence: Array
    level: float
    notes: tuple[str, ...]

    @property
    def tau2(self) -> float:
        """Between-study variance within levels, by maximum likelihood."""
        return self.maximum.tau2

    def to_frame(self) -> pd.DataFrame:
        """Return one row per level: labelled, alone, estimate, se, low, high, share, share_se, expected.

        `expected` is the number of unreported studies that are of the level in expectation.
        """
        import pandas as pd

        best = self.maximum
        se = np.sqrt(np.diagonal(best.cov))
        half = normal_quantile(self.level) * se
        return pd.DataFrame(
            {
                "labelled": self.labelled,
                "alone": self.alone,
                "estimate": best.mu,
                "se": se,
                "low": best.mu - half,
                "high": best.mu + half,
                "share": best.share,
                "share_se": best.share_se,
                "expected": best.posterior.sum(axis=0),
            },
            index=pd.Index(self.levels, name=self.by),
        )

    def posterior(self) -> pd.DataFrame:
        """Return the probability of each level, one row per unreported study, and the likeliest level."""
        import pandas as pd

        table = pd.DataFrame(
            self.maximum.posterior, index=pd.Index(self.studies, name="study"), columns=list(self.levels)
        )
        table["likeliest"] = [self.levels[j] for j in self.maximum.posterior.argmax(axis=1)]
        return table

    def lines(self) -> list[str]:
        """Return the mixture in lines of text: levels, studies, notes."""
        rows = [
            [
                str(name),
                str(row["labelled"]),
                number(row["alone"]),
                number(row["estimate"]),
                interval(row["low"], row["high"]),
                percent(row["share"]),
            ]
            for name, row in zip(self.levels, self.to_frame().to_dict("records"), strict=True)
        ]
        header = [
            "level",
            "reported by",
            "mean of these",
            "mean in mixture",
            "interval",
            "share of unreported",
        ]
        studies = [
            [study, *(percent(p) for p in row)]
            for study, row in zip(self.studies, self.maximum.posterior, strict=True)
        ]
        return [
            f"mixture of {plural(len(self.levels), 'known level')}, tau {number(np.sqrt(self.tau2))}",
            text_table(rows, header),
            "probability of each level:",
            text_table(studies, ["study", *self.levels]),
            *self.notes,
        ]


def latent_moderator(
    effects: EffectSizes,
    by: str,
    shares: Literal["pooled", "own", "equal"] = "pooled",
    level: float = 0.95,
    seed: int = 0,
) -> LatentModerator:
    r"""Fit studies that do not report a moderator as a mixture of its known levels.

    Use it to see what the effects of unreported studies say about their level, and what they add to the
    means. With :math:`g` the level of a study,

    .. math:: y_i \mid g = j \sim N(\mu_j, \tau^2 + v_i), \qquad P(g = j) = \pi_j \text{ if not reported},

    fitted by maximum likelihood (EM from several starts, refined by Newton's method); labels that are
    reported stay as they are. It is assumed that unreported studies are of a known level, and that within a
    level reporting has nothing to do with the effect. Several effects of a study are of one level, and
    independent given it. The probabilities of single studies take all estimates as known.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the moderator among the columns of `data`; missing, empty and "not reported" values are
        those to fill.
    by : str
        The column.
    shares : {"pooled", "own", "equal"}
        What is taken of the shares :math:`\pi`. "pooled": unreported studies are of a level as often as the
        others, so both count. "own": those of the unreported studies alone; with few of them a share
        easily comes out as 0 or 1, and their probabilities with it. "equal": every level is as likely.
    level : float
        Level of the intervals. They are normal, from the observed information, and narrow with few studies.
    seed : int
        Seed of the random starts.

    Returns
    -------
    LatentModerator
        Means and shares of the levels, and the probabilities of each unreported study.

    Raises
    ------
    InputError
        If every study reports the moderator, a sampling variance is zero, or the level is no fraction.
    TooFewStudiesError
        If fewer than two levels are known, or a level is reported by one study only.
    NotIdentifiableError
        If the means of the levels are so close that no study's effects indicate its level.
    ConvergenceError
        If no start ended at a maximum with a certificate.

    Warns
    -----
    DependentEffectsWarning
        If several effects belong to one study.

    References
    ----------
    Dempster, A. P., Laird, N. M., Rubin, D. B. (1977). Maximum likelihood from incomplete data via the EM
    algorithm. Journal of the Royal Statistical Society B 39, 1-38.
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
    Louis, T. A. (1982). https://doi.org/10.1111/j.2517-6161.1982.tb01203.x

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import latent_moderator
    >>> method = pd.DataFrame({"isolation": ["UC"] * 3 + ["SEC"] * 3 + [None] * 2})
    >>> y = [0.1, 0.3, 0.2, 1.6, 1.4, 1.5, 1.3, 0.9]
    >>> found = latent_moderator(mx.EffectSizes(y, [0.05] * 8, data=method), "isolation")
    >>> found.posterior()["SEC"].round(2).tolist()
    [1.0, 0.96]
    """
    effects, by, level = (
        check_effects(effects, "mx.latent_moderator"),
        read_factor_named(by),
        check_level(level),
    )
    check_choice("shares", shares, SHARES)
    seed = whole_number(seed, "seed", 0)
    words = factor_levels(effects, by)
    hidden = np.array([is_unreported(word) for word in words], dtype=bool)
    levels = tuple(sorted(set(words[~hidden]), key=natural_key))
    _check(effects, by, words, hidden, levels)
    studies = studies_of(effects)
    if effects.m < effects.k:
        warn_caller(
            f"{effects.k} effects come from {effects.m} studies; given their level they are taken as "
            "independent, so the intervals are too narrow",
            DependentEffectsWarning,
        )
    unreported = tuple(dict.fromkeys(s for s, open_ in zip(studies, hidden, strict=True) if open_))
    place = {study: u for u, study in enumerate(unreported)}
    unit = np.array([place[s] if open_ else -1 for s, open_ in zip(studies, hidden, strict=True)])
    known = np.array([[float(word == name) for name in levels] for word in words])
    count = tuple(len({s for s, word in zip(studies, words, strict=True) if word == name}) for name in levels)
    counted = np.array(count, dtype=float) if shares == "pooled" else np.zeros(len(levels))
    mixture = Mixture(effects.y, effects.v, known, unit, len(unreported), counted, shares == "equal")
    best = maximise(mixture, seed)
    if not best.slope <= LARGEST_SLOPE or not best.curvature > 0 or not best.monotone:
        raise ConvergenceError(
            f"the search for the mixture ended on a slope of {best.slope:.1e} and a curvature of "
            f"{best.curvature:.1e}",
            "a point where the likelihood is flat and curves down",
            "the data do not determine the shares of the levels: treat the studies as a separate stratum",
        )
    alike = np.full((1, len(levels)), 1.0 / len(levels))
    evidence = mixture.expect(best.mu[None], np.array([best.tau2]), alike)[1][0]
    if (np.ptp(evidence, axis=1) < SAYS_NOTHING).all():
        means = ", ".join(f"{name} {number(mu)}" for name, mu in zip(levels, best.mu, strict=True))
        raise NotIdentifiableError(
            f"the means of the known levels are so close ({means}; tau {number(np.sqrt(best.tau2))}) that no "
            "unreported study's effects indicate its level: every level is as likely after as before",
            "levels whose effects differ",
            "leave these studies a separate stratum, or ask for assignment_bounds",
        )
    alone, notes = _beware(effects, known, levels, best)
    return LatentModerator(by, shares, levels, count, alone, unreported, best, evidence, level, notes)


def _check(
    effects: EffectSizes, by: str, words: Words, hidden: NDArray[np.bool_], levels: tuple[str, ...]
) -> None:
    """Raise where the mixture cannot be fitted, with the reason in words."""
    if not hidden.any():
        raise InputError(f"every study reports {by}", "studies that do not", "use mx.stratify")
    if len(levels) < 2:
        raise TooFewStudiesError(
            f"{plural(len(levels), 'level')} of {by} known",
            "two known levels or more, of which the others may be",
            "leave the unreported studies a separate stratum",
        )
    studies = np.array(studies_of(effects), dtype=object)
    lone = [name for name in levels if len(set(studies[words == name])) < 2]
    if lone:
        raise TooFewStudiesError(
            f"one study alone reports {', '.join(lone)}: its effect is all there is to recognise others by",
            "two studies or more for each known level",
            "join these levels with others, or leave their studies out with EffectSizes.select",
        )
    refuse_zero_variances(effects.row_ids, effects.v)


def _beware(
    effects: EffectSizes, known: Array, levels: tuple[str, ...], best: MixtureMaximum
) -> tuple[Array, tuple[str, ...]]:
    """Return the means of the labelled studies, and notes on what the mixture rests on."""
    rows = np.flatnonzero(known.any(axis=1))
    batch = make_batch(effects.y[rows], effects.v[rows], known[rows])
    fit = weighted_fit(batch, 1.0 / (batch.v + restricted_maximum_likelihood(batch).tau2[:, None]))
    alone, cov = fit.beta[0], fit.cov[0]
    notes = []
    apart = np.column_stack([np.ones(len(levels) - 1), -np.eye(len(levels) - 1)])
    gap = apart @ alone
    distance = float(gap @ np.linalg.solve(apart @ cov @ apart.T, gap))
    test = make_test(distance, "chi2", (len(levels) - 1,), "the reported levels share one mean effect")
    if test.pvalue > 0.05:
        notes.append(f"the studies that report it do not separate the levels themselves: {test}")
    se = np.sqrt(np.diagonal(cov))
    moved = [name for name, a, b, s in zip(levels, alone, best.mu, se, strict=True) if abs(a - b) > s]
    if moved:
        notes.append(
            f"the unreported studies move the mean of {', '.join(moved)} by more than its standard error: "
            "they may be of no known level"
        )
    if best.tau2 == 0:
        notes.append("tau2 is 0, as no positive value fits better; the intervals take it as known")
    gone = [name for name, share in zip(levels, best.share, strict=True) if share == 0]
    if gone:
        notes.append(f"no unreported study is taken to be of {', '.join(gone)}; that share has no interval")
    if best.maxima > 1:
        notes.append(
            f"the likelihood has {best.maxima} maxima; {best.agree} of {best.starts} starts ended at the "
            "highest, which is shown"
        )
    return alone, tuple(notes)
