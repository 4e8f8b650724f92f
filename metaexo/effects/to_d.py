"""Other inputs of the measures that follow from Cohen's d and the sizes of two groups."""

from __future__ import annotations

from collections.abc import Callable

from metaexo.effects.d_of_statistics import d_of_f, d_of_p, d_of_t
from metaexo.effects.group_correlations import d_of_point_biserial
from metaexo.effects.measure import Alternative
from metaexo.types import Array


def through_d(from_d: Callable[..., tuple[Array, Array]]) -> tuple[Alternative, ...]:
    """Return the alternatives of a measure that is a function of d and the two group sizes.

    Parameters
    ----------
    from_d : callable
        Function of d, treatment_n, control_n (and options) that returns effects and sampling variances.

    Returns
    -------
    tuple of Alternative
        From d, from t, from F or a p-value with a direction, from a point-biserial correlation.
    """

    def of_d(d: Array, treatment_n: Array, control_n: Array, **options: str | bool) -> tuple[Array, Array]:
        return from_d(d, treatment_n, control_n, **options)

    def of_t(t: Array, treatment_n: Array, control_n: Array, **options: str | bool) -> tuple[Array, Array]:
        return from_d(d_of_t(t, treatment_n, control_n), treatment_n, control_n, **options)

    def of_f(
        f: Array, direction: Array, treatment_n: Array, control_n: Array, **options: str | bool
    ) -> tuple[Array, Array]:
        return from_d(d_of_f(f, direction, treatment_n, control_n), treatment_n, control_n, **options)

    def of_p(
        p_value: Array, direction: Array, treatment_n: Array, control_n: Array, **options: str | bool
    ) -> tuple[Array, Array]:
        return from_d(d_of_p(p_value, direction, treatment_n, control_n), treatment_n, control_n, **options)

    def of_r(
        point_biserial: Array, treatment_n: Array, control_n: Array, **options: str | bool
    ) -> tuple[Array, Array]:
        d = d_of_point_biserial(point_biserial, treatment_n, control_n)
        return from_d(d, treatment_n, control_n, **options)

    return (
        Alternative(("d", "treatment_n", "control_n"), of_d, "from d"),
        Alternative(("t", "treatment_n", "control_n"), of_t, "d from t"),
        Alternative(("f", "direction", "treatment_n", "control_n"), of_f, "d from F"),
        Alternative(("p_value", "direction", "treatment_n", "control_n"), of_p, "d from exact p"),
        Alternative(("point_biserial", "treatment_n", "control_n"), of_r, "d from point-biserial r"),
    )
