"""Proportions of one group: raw, log, logit, probit, arcsine and double arcsine.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
Zero cells are dealt with before (see :mod:`metaexo.effects.zero_cells`).

Means and standard deviations of one group.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.

Genotype counts of one group: excess of heterozygotes over Hardy-Weinberg equilibrium.

Reliability of a scale (Cronbach's alpha): raw and transformed.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, ndtr, ndtri

from metaexo.effects.conversions.scales import inverse_double_arcsine
from metaexo.effects.corrections import average_over_rows, hedges_factor
from metaexo.effects.measure import BackBySize, Measure, identity, register
from metaexo.effects.measures.mean_ratios import log_of_positive
from metaexo.types import Array

FAMILY = "one group, events"
EVENTS = ("events", "n")


def raw_proportion(events: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the proportion of events as it is.

    Use it when proportions are far from 0 and 1; otherwise take PLO or PFT.

        y = p = x / n,  v = p (1 - p) / n      (variance "LS")

    "UB" divides by n - 1 (unbiased); "AV" puts the proportion over all studies in place of p in v.

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.
    variance : {"LS", "UB", "AV"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Proportions and sampling variances.

    References
    ----------
    Schwarzer & Ruecker (2022), Methods in Molecular Biology 2345, 159-172,
    doi:10.1007/978-1-0716-1566-9_10.

    Examples
    --------
    >>> y, v = raw_proportion(np.array([20.0]), np.array([100.0]))
    >>> float(y[0]), round(float(v[0]), 6)
    (0.2, 0.0016)
    """
    p = _proportion_for_variance(events, n, variance)
    return events / n, p * (1 - p) / (n - 1 if variance == "UB" else n)


def log_proportion(events: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the log of a proportion.

    Use it when risks are to be compared as ratios; the upper end 1 is not respected.

        y = log(p),  v = (1 - p) / (n p)

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.
    variance : {"LS", "AV"}
        "AV" puts the proportion over all studies in place of p in v.

    Returns
    -------
    y, v : ndarray
        Log proportions and sampling variances.

    References
    ----------
    Schwarzer & Ruecker (2022), Methods in Molecular Biology 2345, 159-172,
    doi:10.1007/978-1-0716-1566-9_10.

    Examples
    --------
    >>> y, v = log_proportion(np.array([20.0]), np.array([100.0]))
    >>> y.round(4), v.round(4)
    (array([-1.6094]), array([0.04]))
    """
    p = _proportion_for_variance(events, n, variance)
    return np.log(events / n), (1 - p) / (n * p)


def logit_proportion(events: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the logit (log odds) of a proportion.

    Use it as the usual scale for proportions of any size.

        y = log(p / (1 - p)),  v = 1 / (n p (1 - p))

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.
    variance : {"LS", "AV"}
        "AV" puts the proportion over all studies in place of p in v.

    Returns
    -------
    y, v : ndarray
        Log odds and sampling variances.

    References
    ----------
    Stijnen, Hamza & Ozdemir (2010), Statistics in Medicine 29, 3046-3067, doi:10.1002/sim.4040.

    Examples
    --------
    >>> y, v = logit_proportion(np.array([20.0]), np.array([100.0]))
    >>> y.round(4), v.round(4)
    (array([-1.3863]), array([0.0625]))
    """
    p = _proportion_for_variance(events, n, variance)
    return np.log(events / (n - events)), 1 / (n * p * (1 - p))


def probit_proportion(events: Array, n: Array) -> tuple[Array, Array]:
    """Return the probit of a proportion: the normal quantile z with P(Z < z) = p.

    Use it when the event is a threshold on something that is normally distributed.

        y = z(p),  v = p (1 - p) / (n phi(z)^2),  phi the normal density

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Probits and sampling variances.

    References
    ----------
    Sanchez-Meca, Marin-Martinez & Chacon-Moscoso (2003), Psychological Methods 8, 448-467,
    doi:10.1037/1082-989X.8.4.448 (the variance of a probit).
    Finney (1971), Probit Analysis, 3rd ed., Cambridge University Press.

    Examples
    --------
    >>> y, v = probit_proportion(np.array([50.0]), np.array([100.0]))
    >>> float(y[0]), v.round(4)
    (0.0, array([0.0157]))
    """
    p = events / n
    z = ndtri(p)
    return z, 2 * np.pi * np.exp(z**2) * p * (1 - p) / n


def arcsine_proportion(events: Array, n: Array) -> tuple[Array, Array]:
    """Return the arcsine of the square root of a proportion, whose variance does not depend on p.

        y = arcsin(sqrt(p)),  v = 1 / (4 n)

    Use it for small proportions when zeros occur and no correction is wanted.

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Transformed proportions in radians, and sampling variances.

    References
    ----------
    Ruecker, Schwarzer & Carpenter (2009), Statistics in Medicine 28, 721-738, doi:10.1002/sim.3511.

    Examples
    --------
    >>> y, v = arcsine_proportion(np.array([0.0]), np.array([25.0]))
    >>> float(y[0]), float(v[0])
    (0.0, 0.01)
    """
    return np.arcsin(np.sqrt(events / n)), 1 / (4 * n)


def double_arcsine_proportion(events: Array, n: Array) -> tuple[Array, Array]:
    """Return the Freeman-Tukey double arcsine of a proportion.

    Use it for proportions with zeros. The way back to a proportion needs a sample size
    (:func:`metaexo.effects.inverse_double_arcsine`): each study is shown with its own, a pooled value with
    the harmonic mean of the studies' sizes.

        y = (arcsin sqrt(x / (n + 1)) + arcsin sqrt((x + 1) / (n + 1))) / 2,  v = 1 / (4 n + 2)

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Transformed proportions in radians, and sampling variances.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.

    Examples
    --------
    >>> y, v = double_arcsine_proportion(np.array([0.0]), np.array([24.0]))
    >>> y.round(4), v.round(4)
    (array([0.1007]), array([0.0102]))
    """
    low = np.arcsin(np.sqrt(events / (n + 1)))
    high = np.arcsin(np.sqrt((events + 1) / (n + 1)))
    return (low + high) / 2, 1 / (4 * n + 2)


def _proportion_for_variance(events: Array, n: Array, variance: str) -> Array:
    """Return each study's proportion, or for "AV" the proportion over all studies."""
    if variance != "AV":
        return np.asarray(events / n)
    return np.full(n.shape, average_over_rows(events / n, n))


def squared_sine(angle: Array) -> Array:
    """Return sin^2 of an angle in radians, cut at 0 and pi/2: the way back from an arcsine square root.

    Examples
    --------
    >>> squared_sine(np.array([-0.1, np.pi / 4, 2.0])).round(3)
    array([0. , 0.5, 1. ])
    """
    return np.asarray(np.sin(np.clip(angle, 0, np.pi / 2)) ** 2)


_RECORDS: tuple[tuple[str, str, Callable[..., tuple[Array, Array]], Callable[[Array], Array], str], ...] = (
    ("PR", "proportion", raw_proportion, identity, "10.1007/978-1-0716-1566-9_10"),
    ("PLN", "log proportion", log_proportion, np.exp, "10.1007/978-1-0716-1566-9_10"),
    ("PLO", "logit proportion", logit_proportion, expit, "10.1002/sim.4040"),
    ("PRZ", "probit proportion", probit_proportion, ndtr, "10.1037/1082-989X.8.4.448"),
    ("PAS", "arcsine proportion", arcsine_proportion, squared_sine, "10.1002/sim.3511"),
    ("PFT", "double arcsine proportion", double_arcsine_proportion, squared_sine, "10.1214/aoms/1177729756"),
)


def _size_of(v: Array) -> Array:
    """Return n of v = 1 / (4 n + 2), whatever was added to the counts; NaN where no group has such a v."""
    n = (1 / v - 2) / 4
    return np.where(n > 1 - 1e-9, np.maximum(n, 1.0), np.nan)


_BY_N = BackBySize(inverse_double_arcsine, _size_of)
_VARIANCES = {"PR": ("LS", "UB", "AV"), "PLN": ("LS", "AV"), "PLO": ("LS", "AV")}

register(
    *(
        Measure(
            code=code,
            name=name,
            family=FAMILY,
            inputs=EVENTS,
            compute=compute,
            null=float("nan"),
            display="Proportion",
            back=back,
            orientation="none",
            reference=reference,
            variances=_VARIANCES.get(code, ()),
            zero_cells=0.0 if code in ("PAS", "PFT") else 0.5,
            by_size=_BY_N if code == "PFT" else None,
        )
        for code, name, compute, back, reference in _RECORDS
    )
)


INPUTS = ("mean", "sd", "n")


def raw_mean(mean: Array, sd: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the mean of one group: y = m, v = s^2 / n.

    Use it for particle sizes, yields and the like. With variance "HO" the standard deviations of all
    studies are pooled.

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.
    variance : {"LS", "HO"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Means and sampling variances.

    References
    ----------
    Altman & Bland (2005), BMJ 331, 903, doi:10.1136/bmj.331.7521.903.
    Bland & Altman (1996), BMJ 312, 1654, doi:10.1136/bmj.312.7047.1654 (the pooled standard deviation).

    Examples
    --------
    >>> y, v = raw_mean(np.array([120.0]), np.array([30.0]), np.array([9.0]))
    >>> float(y[0]), float(v[0])
    (120.0, 100.0)
    """
    square = average_over_rows(sd**2, n - 1) if variance == "HO" else sd**2
    return mean, square / n


def standardized_mean(
    mean: Array, sd: Array, n: Array, *, bias_correction: bool = True
) -> tuple[Array, Array]:
    """Return the mean in units of the standard deviation.

    Use it for changes or scores that differ in scale between studies. With g = J(n - 1) m / s,
    v = 1 / n + g^2 / (2 n).

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised means and sampling variances.

    References
    ----------
    Hedges (1981), Journal of Educational Statistics 6, 107-128, doi:10.3102/10769986006002107.

    Examples
    --------
    >>> y, v = standardized_mean(np.array([2.0]), np.array([2.0]), np.array([16.0]))
    >>> y.round(3), v.round(3)
    (array([0.949]), array([0.091]))
    """
    g = mean / sd * (hedges_factor(n - 1) if bias_correction else 1.0)
    return g, 1 / n + g**2 / (2 * n)


def log_mean(mean: Array, sd: Array, n: Array) -> tuple[Array, Array]:
    """Return the log mean of a positive quantity: y = log(m), v = s^2 / (n m^2).

    Use it for skewed positive quantities such as particle concentrations.

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Log means and sampling variances; NaN where the mean is not above zero.

    References
    ----------
    Hedges, Gurevitch & Curtis (1999), Ecology 80, 1150-1156, doi:10.2307/177062.

    Examples
    --------
    >>> y, v = log_mean(np.array([120.0]), np.array([30.0]), np.array([9.0]))
    >>> y.round(4), v.round(4)
    (array([4.7875]), array([0.0069]))
    """
    return log_of_positive(mean), sd**2 / (n * mean**2)


def log_cv(mean: Array, sd: Array, n: Array, *, bias_correction: bool = True) -> tuple[Array, Array]:
    """Return the log coefficient of variation.

    Use it for the repeatability of a method.

        y = log(s / m) + 1 / (2 (n - 1)),  v = 1 / (2 (n - 1)) + s^2 / (n m^2)

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.
    bias_correction : bool
        Whether to add the term after the logarithm.

    Returns
    -------
    y, v : ndarray
        Log coefficients of variation and sampling variances.

    References
    ----------
    Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152, doi:10.1111/2041-210X.12309.

    Examples
    --------
    >>> y, v = log_cv(np.array([120.0]), np.array([30.0]), np.array([9.0]))
    >>> y.round(4), v.round(4)
    (array([-1.3238]), array([0.0694]))
    """
    bias = 1 / (2 * (n - 1))
    y = log_of_positive(sd / mean) + (bias if bias_correction else 0.0)
    return y, bias + sd**2 / (n * mean**2)


def log_sd(sd: Array, n: Array, *, bias_correction: bool = True) -> tuple[Array, Array]:
    """Return the log standard deviation: y = log(s) + 1 / (2 (n - 1)), v = 1 / (2 (n - 1)).

    Parameters
    ----------
    sd, n : ndarray
        Standard deviations and sizes of the groups.
    bias_correction : bool
        Whether to add the term after the logarithm.

    Returns
    -------
    y, v : ndarray
        Log standard deviations and sampling variances.

    References
    ----------
    Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152, doi:10.1111/2041-210X.12309.

    Examples
    --------
    >>> y, v = log_sd(np.array([30.0]), np.array([9.0]))
    >>> y.round(4), v.round(4)
    (array([3.4637]), array([0.0625]))
    """
    v = 1 / (2 * (n - 1))
    return log_of_positive(sd) + (v if bias_correction else 0.0), v


Compute = Callable[..., tuple[Array, Array]]

# code, name, function, display, DOI
_MEAN_RECORDS: tuple[tuple[str, str, Compute, str, str], ...] = (
    ("MN", "mean", raw_mean, "Mean", "10.1136/bmj.331.7521.903"),
    ("SMN", "standardised mean", standardized_mean, "Standardised mean", "10.3102/10769986006002107"),
    ("MNLN", "log mean", log_mean, "Mean", "10.2307/177062"),
    ("CVLN", "log coefficient of variation", log_cv, "Coefficient of variation", "10.1111/2041-210X.12309"),
    ("SDLN", "log standard deviation", log_sd, "Standard deviation", "10.1111/2041-210X.12309"),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="one group, means",
            inputs=INPUTS if code != "SDLN" else ("sd", "n"),
            compute=compute,
            null=0.0 if code == "SMN" else float("nan"),
            display=display,
            back=np.exp if code.endswith("LN") else identity,
            display_log=code.endswith("LN"),
            orientation="negate" if code == "SMN" else "none",
            reference=reference,
            variances=("LS", "HO") if code == "MN" else (),
            bias_corrected=code in ("SMN", "CVLN", "SDLN"),
        )
        for code, name, compute, display, reference in _MEAN_RECORDS
    )
)


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


ALPHA = ("alpha", "items", "n")


def raw_alpha(alpha: Array, items: Array, n: Array) -> tuple[Array, Array]:
    """Return Cronbach's alpha as it is: v = 2 m (1 - alpha)^2 / ((m - 1) (n - 2)), m items.

    Parameters
    ----------
    alpha, items, n : ndarray
        Reliabilities, numbers of items, sample sizes.

    Returns
    -------
    y, v : ndarray
        Reliabilities and sampling variances.

    References
    ----------
    Bonett (2010), Psychological Methods 15, 368-385, doi:10.1037/a0020142.

    Examples
    --------
    >>> y, v = raw_alpha(np.array([0.8]), np.array([11.0]), np.array([102.0]))
    >>> float(y[0]), v.round(6)
    (0.8, array([0.00088]))
    """
    return alpha, (1 - alpha) ** 2 * _log_variance(items, n)


def cube_root_alpha(alpha: Array, items: Array, n: Array) -> tuple[Array, Array]:
    """Return 1 - (1 - alpha)^(1/3), which grows with alpha and is closer to normal.

        v = 18 m (n - 1) (1 - alpha)^(2/3) / ((m - 1) (9 n - 11)^2),  m items

    Parameters
    ----------
    alpha, items, n : ndarray
        Reliabilities, numbers of items, sample sizes.

    Returns
    -------
    y, v : ndarray
        Transformed reliabilities and sampling variances.

    References
    ----------
    Hakstian & Whalen (1976), Psychometrika 41, 219-231, doi:10.1007/BF02291840.

    Examples
    --------
    >>> y, v = cube_root_alpha(np.array([0.875]), np.array([11.0]), np.array([102.0]))
    >>> float(y[0]), v.round(6)
    (0.5, array([0.000608]))
    """
    rest = np.cbrt(1 - alpha)
    return 1 - rest, 18 * items * (n - 1) * rest**2 / ((items - 1) * (9 * n - 11) ** 2)


def log_alpha(alpha: Array, items: Array, n: Array) -> tuple[Array, Array]:
    """Return -log(1 - alpha), whose variance does not depend on alpha: v = 2 m / ((m - 1) (n - 2)).

    Parameters
    ----------
    alpha, items, n : ndarray
        Reliabilities, numbers m of items, sample sizes.

    Returns
    -------
    y, v : ndarray
        Transformed reliabilities and sampling variances.

    References
    ----------
    Bonett (2002), Journal of Educational and Behavioral Statistics 27, 335-340,
    doi:10.3102/10769986027004335.

    Examples
    --------
    >>> y, v = log_alpha(np.array([0.8]), np.array([11.0]), np.array([102.0]))
    >>> y.round(4), v.round(4)
    (array([1.6094]), array([0.022]))
    """
    return -np.log1p(-alpha), _log_variance(items, n)


def _log_variance(items: Array, n: Array) -> Array:
    """Return the sampling variance of -log(1 - alpha)."""
    return np.asarray(2 * items / ((items - 1) * (n - 2)))


def from_cube_root(y: Array) -> Array:
    """Return alpha from 1 - (1 - alpha)^(1/3).

    Examples
    --------
    >>> float(from_cube_root(np.array(0.5)))
    0.875
    """
    return np.asarray(1 - (1 - np.asarray(y, dtype=float)) ** 3)


def from_log(y: Array) -> Array:
    """Return alpha from -log(1 - alpha).

    Examples
    --------
    >>> from_log(np.array(1.6094379)).round(4)
    np.float64(0.8)
    """
    return np.asarray(-np.expm1(-np.asarray(y, dtype=float)))


_ALPHA_RECORDS: tuple[
    tuple[str, str, Callable[..., tuple[Array, Array]], Callable[[Array], Array], str], ...
] = (
    ("ARAW", "reliability (alpha)", raw_alpha, identity, "10.1037/a0020142"),
    ("AHW", "reliability, cube-root transform", cube_root_alpha, from_cube_root, "10.1007/BF02291840"),
    ("ABT", "reliability, log transform", log_alpha, from_log, "10.3102/10769986027004335"),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="one scale, reliability",
            inputs=ALPHA,
            compute=compute,
            null=float("nan"),
            display="Reliability",
            back=back,
            orientation="none",
            reference=reference,
        )
        for code, name, compute, back, reference in _ALPHA_RECORDS
    )
)
