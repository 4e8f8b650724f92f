"""Variance inflation factors: how much correlation among the coefficients widens their intervals.

With R the correlation matrix of the coefficients (the intercept left out), the generalised factor of a set of
them is |R_set| |R_others| / |R|; for a single coefficient this is the diagonal of the inverse of R.

References
----------
Fox, J., Monette, G. (1992). Generalized collinearity diagnostics. Journal of the American Statistical
Association 87, 178-183. https://doi.org/10.1080/01621459.1992.10475190
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import number, printed
from metaexo.models.readable import Readable, ReaderTable, plain
from metaexo.models.records import lock
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.coefficients import LinearResults


@dataclass(frozen=True, eq=False)
class VarianceInflation(Readable):
    """Variance inflation of the coefficients and of the terms of a fit.

    Attributes
    ----------
    names : tuple of str
        Coefficients, the intercept left out.
    factor : ndarray
        Factors on their variances; 1 means none.
    terms : tuple of str
        Terms.
    df : tuple of int
        Coefficients of each term.
    generalised : ndarray
        Factor of each term, on the square of the volume of its confidence region.
    """

    names: tuple[str, ...]
    factor: Array
    terms: tuple[str, ...]
    df: tuple[int, ...]
    generalised: Array

    @property
    def se_factor(self) -> Array:
        """Factors on the standard errors: the roots of `factor`."""
        return lock(np.asarray(np.sqrt(self.factor)))

    @property
    def generalised_se_factor(self) -> Array:
        """Factor of each term on the scale of standard errors: `generalised` to the power 1 / (2 df)."""
        return lock(np.asarray(self.generalised ** (1 / (2 * np.array(self.df)))))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a coefficient: factor, se_factor."""
        import pandas as pd

        index = pd.Index(self.names, name="coefficient")
        return pd.DataFrame({"factor": self.factor, "se_factor": self.se_factor}, index=index)

    def terms_frame(self) -> pd.DataFrame:
        """Return one row a term: df, factor, se_factor."""
        import pandas as pd

        return pd.DataFrame(
            {"df": self.df, "factor": self.generalised, "se_factor": self.generalised_se_factor},
            index=pd.Index(self.terms, name="term"),
        )

    def reader_tables(self) -> list[ReaderTable]:
        """Return the factors by term, numbers rounded."""
        rows = [
            [name, str(df), number(factor), number(root)]
            for name, df, factor, root in zip(
                self.terms, self.df, self.generalised, self.generalised_se_factor, strict=True
            )
        ]
        return [ReaderTable(rows, ["term", "df", "variance inflation", "on the SE"])]

    def to_dict(self) -> dict[str, Any]:
        """Return the factors as plain values: by coefficient and by term."""
        return {
            "coefficients": plain(self.to_frame().reset_index()),
            "terms": plain(self.terms_frame().reset_index()),
        }

    @printed
    def __str__(self) -> str:
        return self.to_text()


def variance_inflation(fit: LinearResults) -> VarianceInflation:
    """Return the variance inflation of a fit; see `LinearResults.vif`."""
    design = fit.design
    kept = [j for j in range(design.p) if j != design.intercept]
    if not kept:
        raise InputError("the fit has no moderators, so nothing can inflate", "a fit with moderators")
    cov = fit.cov[np.ix_(kept, kept)]
    size = np.sqrt(np.diagonal(cov))
    correlation = cov / np.outer(size, size)
    where = {j: i for i, j in enumerate(kept)}
    sets = [[where[j] for j in term.columns] for term in design.terms]
    return VarianceInflation(
        names=tuple(design.names[j] for j in kept),
        factor=np.array([_generalised(correlation, [i]) for i in range(len(kept))]),
        terms=tuple(term.name for term in design.terms),
        df=tuple(len(one) for one in sets),
        generalised=np.array([_generalised(correlation, one) for one in sets]),
    )


def _generalised(correlation: Array, chosen: list[int]) -> float:
    others = [i for i in range(len(correlation)) if i not in chosen]
    logs = [np.linalg.slogdet(correlation[np.ix_(part, part)])[1] for part in (chosen, others)]
    return float(np.exp(sum(logs) - np.linalg.slogdet(correlation)[1]))
