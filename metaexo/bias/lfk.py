"""The LFK index: how unequal the two limbs of a Doi plot are; no test of small-study effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtri

from metaexo.bias.estimates import Estimates, estimates_of
from metaexo.bias.results import BiasResult
from metaexo.errors import NotIdentifiableError
from metaexo.formatting import number
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

LEAST_PRECISE = 100.0  # ranks that the least precise effect takes; the others take more, in proportion
NO_TEST = (
    "the LFK index is no test and has no p-value; how often symmetric evidence passes its bounds of 1 and 2 "
    "depends on the number of studies, their sizes and the heterogeneity, so it should not be used to judge "
    "asymmetry (Schwarzer, Rücker and Semaca 2024, 10.1002/jrsm.1714)"
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LfkIndex(BiasResult):
    r"""The LFK index with what a Doi plot shows; see :func:`lfk_index`.

    Attributes
    ----------
    index : float
        The index: 0 for equal limbs, above 0 if the limb of large effects is the longer or fuller one.
    scores : ndarray
        z of the rank of each effect, shape (k,), in the order of the effects; a Doi plot has \|z\|.
    tip : float
        The effect with the smallest \|z\|, on the scale of the analysis.
    """

    name: ClassVar[str] = "LFK index"
    index: float
    scores: Array
    tip: float

    @property
    def sentence(self) -> str:
        """What was found, in one plain sentence."""
        size = abs(self.index)
        words = "no" if size <= 1 else "minor" if size <= 2 else "major"
        return (
            f"The LFK index is {number(self.index)}, which its authors call {words} asymmetry; it is no test "
            "and has no p-value."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, index, tip (on the scale of the analysis)."""
        import pandas as pd

        return pd.DataFrame([{"method": self.name, "k": self.k, "index": self.index, "tip": self.tip}])


def lfk_index(results: object) -> LfkIndex:
    r"""Return the LFK index of Furuya-Kanamori, Barendregt and Doi, which says how unequal two limbs are.

    Use it to read a Doi plot (:func:`metaexo.plots.doi`), and not as a test: it has no p-value. The effects
    are put in order. Each takes :math:`n_i = 100 \max_j v_j / v_i` ranks, and its middle one,
    :math:`r_i = \sum_{j < i} n_j + n_i / 2`, has the score
    :math:`z_i = \Phi^{-1}((r_i - 0.5) / \sum_j n_j)`; effects that are equal share the ranks of all of them.
    With :math:`y_c` the effect of the smallest :math:`|z|` the index is

    .. math:: \frac{5}{2k} \sum_i \left( z_i + \frac{\max z - \min z}{\max y - \min y} (y_i - y_c) \right).

    Its authors call up to 1 no asymmetry, up to 2 a minor and more a major one. How often symmetric evidence
    passes these bounds depends on the number of studies, their sizes and the heterogeneity: with few studies
    it does so often, with hundreds never. Schwarzer, Rücker and Semaca therefore advise against its use as a
    test.

    Parameters
    ----------
    results : fit or EffectSizes
        A fit of any model without moderators, or the effects themselves.

    Returns
    -------
    LfkIndex
        The index, the scores of the effects, and the effect at the tip.

    Raises
    ------
    InputError
        If `results` is neither, has moderators, or some sampling variance is zero.
    TooFewStudiesError
        If there are fewer than two effects.
    NotIdentifiableError
        If all effects are equal, so that there are no limbs.

    References
    ----------
    Furuya-Kanamori, L., Barendregt, J. J., Doi, S. A. R. (2018). A new improved graphical and quantitative
    method for detecting bias in meta-analysis. International Journal of Evidence-Based Healthcare 16,
    195-203. https://doi.org/10.1097/XEB.0000000000000141
    Schwarzer, G., Rücker, G., Semaca, C. (2024). LFK index does not reliably detect small-study effects in
    meta-analysis: A simulation study. Research Synthesis Methods 15, 603-615.
    https://doi.org/10.1002/jrsm.1714

    Examples
    --------
    >>> import metaexo as mx
    >>> pain = mx.EffectSizes(
    ...     [-4.27, -1.71, -0.58, -0.19, 0.0], [0.158, 0.076, 0.018, 0.022, 0.04], "SMD"
    ... )
    >>> found = mx.bias.lfk_index(pain)
    >>> print(found.sentence)
    The LFK index is −3.31, which its authors call major asymmetry; it is no test and has no p-value.
    """
    est = estimates_of(results, "lfk_index")
    width = float(np.ptp(est.y))
    if width == 0:
        raise NotIdentifiableError(
            f"all {est.k} effects are equal",
            "effects that differ, so that a Doi plot has two limbs",
            "draw mx.plots.forest instead",
        )
    z = _scores(est)
    tip = float(est.y[np.argmin(np.abs(z))])
    return LfkIndex(
        effects=est.effects,
        said=(NO_TEST, *est.cautions()),
        index=float(2.5 * np.mean(z + np.ptp(z) / width * (est.y - tip))),
        scores=z,
        tip=tip,
    )


def _scores(est: Estimates) -> Array:
    """Return z of the rank of each effect, shape (k,), from the nearer end of the ranks."""
    _, place = np.unique(est.y, return_inverse=True)
    counts = np.bincount(place, weights=LEAST_PRECISE * est.v.max() / est.v)
    below = np.cumsum(counts) - counts / 2
    above = np.cumsum(counts[::-1])[::-1] - counts / 2
    every = counts.sum()
    with np.errstate(divide="ignore"):
        z = np.where(below <= above, ndtri((below - 0.5) / every), -ndtri((above + 0.5) / every))
    return np.asarray(z[place])
