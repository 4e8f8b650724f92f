"""Fits side by side: coefficients, heterogeneity, likelihoods and information criteria."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metaexo.errors import (
    IncomparableFitsWarning,
    InputError,
    ShapeError,
    warn_caller,
)
from metaexo.formatting import MISSING, number, percent
from metaexo.inputs import read_words
from metaexo.models.linear.likelihood_ratio import same_effects
from metaexo.models.linear.results import FitResults
from metaexo.readable import Readable, ReaderTable, plain

if TYPE_CHECKING:
    import pandas as pd

# Label and column of each statistic, with the decimals shown; None: per cent.
STATISTICS: tuple[tuple[str, str, int | None], ...] = (
    ("effects", "k", 0),
    ("parameters", "parameters", 0),
    ("tau2", "tau2", 4),
    ("I2", "i2", None),
    ("R2", "r2", None),
    ("Q", "q", 2),
    ("log-likelihood", "llf", 2),
    ("deviance", "deviance", 2),
    ("AIC", "aic", 2),
    ("BIC", "bic", 2),
    ("AICc", "aicc", 2),
)


@dataclass(frozen=True, eq=False, repr=False)
class FitComparison(Readable):
    """Several fits side by side.

    Attributes
    ----------
    names : tuple of str
        What the fits are called.
    fits : tuple
        The fits.
    notes : tuple of str
        Why some of the numbers cannot be compared.
    """

    names: tuple[str, ...]
    fits: tuple[FitResults, ...]
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per fit: method, k, parameters, tau2, i2, r2, q, llf, deviance, aic, bic, aicc."""
        import pandas as pd

        return pd.DataFrame([_statistics(fit) for fit in self.fits], index=pd.Index(self.names, name="fit"))

    def coefficients(self) -> pd.DataFrame:
        """Return one row per coefficient of a fit: fit, term, estimate, se, statistic, pvalue, low, high."""
        import pandas as pd

        tables = [fit.to_frame().assign(fit=name) for name, fit in zip(self.names, self.fits, strict=True)]
        frame: pd.DataFrame = pd.concat(tables, ignore_index=True)
        frame.insert(0, "fit", frame.pop("fit"))
        return frame

    def _cells(self) -> tuple[list[list[str]], list[str]]:
        """Return the rows of the table that readers see, and its header."""
        terms = dict.fromkeys(name for fit in self.fits for name in fit.design.names)
        rows = []
        for term in terms:
            cells = [MISSING] * len(self.fits)
            for i, fit in enumerate(self.fits):
                if term in fit.design.names:
                    j = fit.design.names.index(term)
                    cells[i] = f"{number(float(fit.beta[j]), 3)} ({number(float(fit.se[j]), 3)})"
            rows.append([term, *cells])
        statistics = [_statistics(fit) for fit in self.fits]
        rows.append(["method", *(str(found["method"]) for found in statistics)])
        for label, column, digits in STATISTICS:
            values = [found[column] for found in statistics]
            if any(value is not None for value in values):
                rows.append([label, *(percent(v) if digits is None else number(v, digits) for v in values)])
        return rows, ["estimate (SE)", *self.names]

    def reader_tables(self) -> list[ReaderTable]:
        """Return the fits as columns, numbers rounded."""
        return [ReaderTable(*self._cells())]

    def table_notes(self) -> list[str]:
        """Return why some of the numbers cannot be compared."""
        return list(self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return statistics and coefficients of each fit as plain values, and the notes."""
        return {
            "fits": [
                {"name": name, **plain(_statistics(fit)), "coefficients": plain(fit.to_frame())}
                for name, fit in zip(self.names, self.fits, strict=True)
            ],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"FitComparison({', '.join(self.names)})"


def compare(*fits: Any, names: Sequence[str] | None = None) -> FitComparison:
    """Set fits side by side.

    Use it to choose among sets of moderators, or to show what an estimator or a moderator changes. Smaller
    information criteria are better; they can be compared only between fits of the same effects, and REML ones
    only between fits with the same moderators.

    Parameters
    ----------
    *fits : RandomEffectsResults, LocationScaleResults, CensoredResults or MultilevelResults
        At least one fit.
    names : sequence of str, optional
        What to call them. Default: "1", "2", ...

    Returns
    -------
    FitComparison
        With `to_frame()`, `coefficients()`, `to_markdown()`, `to_latex()` and `to_html()`.

    Raises
    ------
    InputError
        If there is no fit.
    ShapeError
        If there is not one name for each fit.

    Warns
    -----
    IncomparableFitsWarning
        If the likelihoods of the fits cannot be compared; the comparison says why.

    References
    ----------
    Burnham, K. P., Anderson, D. R. (2004). Multimodel inference: understanding AIC and BIC in model
    selection. Sociological Methods & Research 33, 261-304. https://doi.org/10.1177/0049124104268644

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.7], [0.02, 0.05, 0.03, 0.04, 0.02])
    >>> null = mx.RandomEffects(es).fit(method="ML")
    >>> dose = mx.RandomEffects(es, [1.0, 3.0, 2.0, 5.0, 4.0], names=["dose"]).fit(method="ML")
    >>> mx.compare(null, dose, names=["null", "dose"]).to_frame()[["parameters", "aicc"]].round(2)
          parameters   aicc
    fit
    null           2  12.30
    dose           3  23.65
    """
    if not fits:
        raise InputError("there is nothing to compare", "at least one fit")
    for i, fit in enumerate(fits):
        if not isinstance(fit, FitResults) or not fit.has_likelihood:
            listed = isinstance(fit, list | tuple | dict)
            raise InputError(
                f"fit {i + 1} is of type {type(fit).__name__}, and has no likelihood",
                "fits by likelihood, of RandomEffects, LocationScale, CensoredRandomEffects or Multilevel",
                "hand in the fits one by one: compare(first, second)" if listed else "",
            )
    called = tuple(str(i + 1) for i in range(len(fits)))
    if names is not None:
        called = read_words(names, "names")
        if len(called) != len(fits):
            raise ShapeError(f"there are {len(called)} names for {len(fits)} fits", "one name for each fit")
    notes = _notes(fits)
    for note in notes:
        warn_caller(note, IncomparableFitsWarning)
    return FitComparison(called, fits, notes)


def _statistics(fit: FitResults) -> dict[str, Any]:
    """Return the statistics of one fit; None where it has none."""
    found = fit.fit_statistics()
    return {
        "method": fit.method,
        "k": fit.k,
        "parameters": found.parameters,
        "tau2": fit.tau2,
        "i2": fit.i2,
        "r2": getattr(fit, "r2", None),
        "q": fit.q.statistic,
        "llf": found.llf,
        "deviance": found.deviance,
        "aic": found.aic,
        "bic": found.bic,
        "aicc": found.aicc,
    }


def _notes(fits: Sequence[FitResults]) -> tuple[str, ...]:
    """Return what keeps the likelihoods of the fits from being compared."""
    first, notes = fits[0], []
    if not all(same_effects(fit, first) for fit in fits):
        notes.append("The fits are of different effects: their likelihoods cannot be compared.")
    restricted = {fit.fit_statistics().restricted for fit in fits}
    if len(restricted) > 1:
        notes.append("Some fits are by REML and others not: their likelihoods cannot be compared.")
    elif restricted == {True} and len({tuple(fit.design.names) for fit in fits}) > 1:
        notes.append("REML likelihoods of fits with different moderators cannot be compared; fit them by ML.")
    return tuple(notes)
