"""Genotype counts of one group: excess of heterozygotes over Hardy-Weinberg equilibrium."""

from __future__ import annotations

import numpy as np

from metaexo.effects.measure import Measure, register
from metaexo.types import Array


def relative_excess_heterozygosity(
    homozygous_first: Array, heterozygous: Array, homozygous_second: Array
) -> tuple[Array, Array]:
    """Return the log relative excess heterozygosity.

    Use it to test genotype counts against Hardy-Weinberg equilibrium, at which it is 0.

        y = log(b / (2 sqrt(a c))),  v = 1 / (4 a) + 1 / b + 1 / (4 c)

    Parameters
    ----------
    homozygous_first, heterozygous, homozygous_second : ndarray
        Numbers a, b, c of the three genotypes.

    Returns
    -------
    y, v : ndarray
        Log excesses and sampling variances.

    References
    ----------
    Ziegler, Van Steen & Wellek (2011), Breast Cancer Research and Treatment 127, 89-94,
    doi:10.1007/s10549-010-1224-3.

    Examples
    --------
    >>> y, v = relative_excess_heterozygosity(np.array([25.0]), np.array([50.0]), np.array([25.0]))
    >>> float(y[0]), float(v[0])
    (0.0, 0.04)
    """
    y = np.log(heterozygous / (2 * np.sqrt(homozygous_first * homozygous_second)))
    return y, 1 / (4 * homozygous_first) + 1 / heterozygous + 1 / (4 * homozygous_second)


register(
    Measure(
        code="REH",
        name="log relative excess heterozygosity",
        family="one group, genotypes",
        inputs=("homozygous_first", "heterozygous", "homozygous_second"),
        compute=relative_excess_heterozygosity,
        null=0.0,
        display="Relative excess heterozygosity",
        back=np.exp,
        display_log=True,
        reference="10.1007/s10549-010-1224-3",
    )
)
