"""Mean effects at moderator values, and where the true effect of a new study may lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.conversions.scales import back_pooled
from metaexo.errors import InputError, ShapeError, UnknownChoiceError
from metaexo.inputs import LARGEST, check_choice, check_number, in_any_case, read_numbers
from metaexo.models.linear.choices import get_adjustment
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.hypothesis import OwnInference, quantiles
from metaexo.numeric.tails import upper_tail
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    NewRows = ArrayLike | Mapping[str, Any] | pd.Series | pd.DataFrame | None


def new_rows(design: Design, new: NewRows) -> Array:
    """Return rows of the design, shape (r, p), from moderator values without the intercept.

    A table, a dict or a series is read by name. An array has a column for each moderator, in their order; for
    one moderator it may be a list of its values.
    """
    if new is None:
        return np.ones((1, 1)) if design.x is None else design.x
    if not design.needed and design.encoding is None and hasattr(new, "keys"):
        raise ShapeError("new rows were given by name", "no new rows: the fit has no moderators")
    table = _as_table(design, new)
    return _from_array(design, new) if table is None else design.encode(table)


def index_of(new: object) -> pd.Index | None:
    """Return the index of new rows that are a table; None for all else, whose rows have no names."""
    import pandas as pd

    return new.index if isinstance(new, pd.DataFrame) else None


def _as_table(design: Design, new: object) -> pd.DataFrame | None:
    """Return what was handed in as a table if it has names, or is words for a single column."""
    import pandas as pd

    if hasattr(new, "columns"):
        table = cast("pd.DataFrame", new)
        if design.encoding is None:  # the moderators were columns: new rows have these and no others
            for name in map(str, table.columns):
                if name not in design.needed:
                    raise UnknownChoiceError("moderator", name, design.needed)
        return table
    if isinstance(new, Mapping):
        return _table_of_dict(design, new)
    if isinstance(new, pd.Series):
        if set(design.needed) <= set(map(str, new.index)):
            return pd.DataFrame([new.tolist()], columns=[str(name) for name in new.index])
        if len(design.needed) == 1:
            return pd.DataFrame({design.needed[0]: new.tolist()})
        raise ShapeError(
            f"new is a series of {', '.join(map(repr, new.index[:8]))}",
            f"an entry for each of {', '.join(design.needed)}",
        )
    cells = [new] if isinstance(new, str) else new
    listed = isinstance(cells, list | tuple) or (isinstance(cells, np.ndarray) and cells.ndim == 1)
    words = listed and all(isinstance(cell, str) for cell in cast("Sequence[Any]", cells))
    if words and len(design.needed) == 1 and design.encoding is not None:
        return pd.DataFrame({design.needed[0]: list(cast("Sequence[str]", cells))})
    return None


def _table_of_dict(design: Design, new: Mapping[Any, Any]) -> pd.DataFrame:
    """Return a table from a dict of names to values; single values stand in every row."""
    import pandas as pd

    for name in new:
        if name not in design.needed:
            raise UnknownChoiceError("moderator", name, design.needed)
    columns = {
        str(name): [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)
        for name, values in new.items()
    }
    lengths = {len(values) for values in columns.values()} - {1}
    if len(lengths) > 1:
        found = ", ".join(f"{name}: {len(values)}" for name, values in columns.items())
        raise ShapeError(f"the new values differ in number ({found})", "one value per row, or a single one")
    r = lengths.pop() if lengths else 1
    return pd.DataFrame(
        {name: values * r if len(values) == 1 else values for name, values in columns.items()}
    )


def _from_array(design: Design, new: object) -> Array:
    """Return rows of the design from an array of numbers without names."""
    computed = (
        []
        if design.encoding is None
        else [part.text for part in design.encoding.formula.parts if part.function and not part.is_factor]
    )
    values = read_numbers(new, "new")
    flat = values.ndim < 2
    names = design.names[design.added :] if design.full is None else design.names
    q, whole = design.p - design.added, design.p - design.added + len(design.dropped)
    if values.ndim < 2:
        values = values.reshape(-1, 1) if whole == 1 else values.reshape(1, -1)
    if values.ndim != 2 or values.shape[1] not in (q, whole):
        raise ShapeError(
            f"the new rows have shape {np.shape(values)}",
            f"a row per prediction, and one column for each of {', '.join(names) or 'no moderators'}",
            f"give a table with the columns {', '.join(design.needed)}" if design.needed else "",
        )
    if computed and flat:
        raise InputError(
            f"new is an array without names, and the formula computes {', '.join(computed)}",
            f"a table with the columns {', '.join(design.needed)}",
            f"write predict({{{', '.join(f'{name!r}: [...]' for name in design.needed)}}})",
        )
    if values.shape[1] == whole:
        return design.of_numbers(values)
    if not (np.abs(values) <= LARGEST).all():
        raise InputError(
            "new holds missing, infinite or too large values",
            f"a value of every moderator, at most {LARGEST:g} in size",
        )
    return np.column_stack([np.ones(len(values)), values]) if design.added else values


KINDS = ("default", "riley", "t", "simple")
SYNONYMS = {"hts": "riley"}


@dataclass(frozen=True, slots=True)
class Prediction:
    """Means and the distribution of a new study's effect, on the scale of the analysis."""

    mean: Array  # mean effects, shape (r,)
    se: Array  # their standard errors, shape (r,)
    df: Array | None  # of the confidence intervals, shape (r,); None for the normal distribution
    prediction_se: Array  # standard deviation of a new study's effect around the mean, shape (r,)
    prediction_df: Array | None  # of the prediction intervals, shape (r,); None for the normal distribution
    differs: bool = True  # whether new effects differ from the mean; if not they have no distribution
    own: OwnInference | None = None  # intervals of the means that are neither normal nor t

    def intervals(self, level: float) -> tuple[Array, Array, Array, Array]:
        """Return low, high, prediction low and prediction high, each of shape (r,)."""
        quantile = quantiles(level, self.df)
        half = quantile * self.se
        low, high = (self.mean - half, self.mean + half) if self.own is None else self.own.ends(level)
        if not self.differs:
            nothing = np.full_like(half, np.nan)
            return low, high, nothing, nothing
        same = self.prediction_df is self.df
        wide = (quantile if same else quantiles(level, self.prediction_df)) * self.prediction_se
        return low, high, self.mean - wide, self.mean + wide

    def above(self, value: float) -> Array:
        """Return the probability that the effect of a new study exceeds a value, shape (r,).

        NaN where its variance is not known, and for equal effects; 0.5 at a mean that is known exactly and
        that every new study shares.
        """
        if not self.differs:
            return np.full_like(self.mean, np.nan)
        beyond = value - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            away = beyond / self.prediction_se
        away = np.where((beyond == 0) & (self.prediction_se == 0), 0.0, away)
        return np.where(np.isnan(away), np.nan, upper_tail(away, self.prediction_df))


def predict_new(fit: LinearFit, x: Array, kind: str, sampling_variance: float) -> Prediction:
    """Return the prediction of a fit for rows of the design, shape (r, p)."""
    kind = cast("str", in_any_case(kind, (*KINDS, *SYNONYMS)))
    check_choice("kind", kind, (*KINDS, *SYNONYMS))
    kind = SYNONYMS.get(kind, kind)
    sampling_variance = check_number("sampling_variance", sampling_variance)
    if not (np.isfinite(sampling_variance) and sampling_variance >= 0):
        raise InputError(f"the sampling variance is {sampling_variance}", "a finite variance of at least 0")
    variance = np.maximum(np.vecdot(x @ fit.cov, x), 0.0)
    of_mean = np.zeros_like(variance) if kind == "simple" else variance
    df = fit.df_of(x)
    return Prediction(
        mean=x @ fit.beta,
        se=np.sqrt(variance),
        df=df,
        prediction_se=np.sqrt(of_mean + fit.new_effect_variance + sampling_variance),
        prediction_df=_prediction_df(fit, kind, df),
        differs=fit.is_random or sampling_variance > 0,
        own=fit.own_inference(x),
    )


def _prediction_df(fit: LinearFit, kind: str, df: Array | None) -> Array | None:
    """Return the degrees of freedom of a kind of prediction interval."""
    if kind == "default":
        return df
    if kind == "simple":
        return None
    return np.array([max(1.0, float(fit.df_residual - (kind == "riley" and fit.tau2_is_estimated)))])


def prediction_frame(
    fit: LinearFit,
    found: Prediction,
    level: float,
    scale: str | Callable[[Array], Array],
    index: pd.Index | None = None,
) -> pd.DataFrame:
    """Return means and intervals as a table; all but the standard errors go to the scale."""
    import pandas as pd

    low, high, prediction_low, prediction_high = found.intervals(level)
    numbers = {
        "estimate": found.mean,
        "se": found.se,
        "low": low,
        "high": high,
        "prediction_se": found.prediction_se,
        "prediction_low": prediction_low,
        "prediction_high": prediction_high,
    }
    transform = _to_scale(fit, scale)
    if transform is not None:
        for first, second in (("low", "high"), ("prediction_low", "prediction_high")):
            ends = np.sort([transform(numbers[first]), transform(numbers[second])], axis=0)
            numbers[first], numbers[second] = ends
        numbers["estimate"] = np.asarray(transform(found.mean))
    return pd.DataFrame(numbers, index=index)


SCALES = ("analysis", "measure", "exp")
ADJUSTMENTS = ("bonferroni",)


def _to_scale(fit: LinearFit, scale: str | Callable[[Array], Array]) -> Callable[[Array], Array] | None:
    """Return the function that takes effects to a scale; None for that of the analysis."""
    if callable(scale):
        return scale
    check_choice("scale", scale, SCALES)
    return {"analysis": None, "measure": partial(back_pooled, fit.effects), "exp": np.exp}[scale]


def predict(
    fit: LinearFit,
    new: NewRows,
    level: float | None,
    scale: str | Callable[[Array], Array],
    kind: str = "default",
    sampling_variance: float = 0.0,
    adjust: str | None = None,
) -> pd.DataFrame:
    """Return means with intervals at moderator values; see `FitResults.predict`."""
    x = new_rows(fit.design, new)
    found = predict_new(fit, x, kind, sampling_variance)
    return prediction_frame(fit, found, adjusted_level(fit, level, adjust, len(x)), scale, index_of(new))


def adjusted_level(fit: LinearFit, level: float | None, adjust: str | None, rows: int) -> float:
    """Return the level of each of several intervals, which may have to hold together."""
    chosen = fit.at_level(level)
    if adjust is None:
        return chosen
    get_adjustment(adjust, ADJUSTMENTS)
    return 1 - (1 - chosen) / rows


def pooled(fit: LinearFit, level: float | None = None, kind: str = "default") -> Pooled:
    """Return the pooled effect of a fit without moderators; see `FitResults.pooled`."""
    refuse_moderators(fit)
    chosen = fit.at_level(level)
    found = predict_new(fit, np.ones((1, 1)), kind, 0.0)
    low, high, prediction_low, prediction_high = (float(x[0]) for x in found.intervals(chosen))
    known = fit.is_random and not np.isnan(fit.new_effect_variance)
    return Pooled(
        estimate=float(found.mean[0]),
        se=float(found.se[0]),
        low=low,
        high=high,
        prediction_low=prediction_low if known else None,
        prediction_high=prediction_high if known else None,
        level=chosen,
    )


def refuse_moderators(fit: LinearFit) -> None:
    """Raise if a fit has no single pooled effect."""
    if fit.design.x is not None:
        given, remedy = fit.no_single_mean()
        raise InputError(given, "a fit without moderators", remedy)


def probability_above(fit: LinearFit, value: float, new: NewRows, kind: str) -> Array:
    """Return how likely the true effect of a new study exceeds a value; see `FitResults`."""
    return predict_new(fit, new_rows(fit.design, new), kind, 0.0).above(check_number("value", value))
