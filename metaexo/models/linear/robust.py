"""Cluster-robust inference: valid whatever the dependence inside a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import FewStudiesWarning, InputError, ShapeError
from metaexo.formatting import plural
from metaexo.inputs import as_word, check_choice, is_blank, read_entries
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.grouping import column_values
from metaexo.models.linear.hypothesis import DfRule, RobustCovariance
from metaexo.numeric.sandwich import KINDS

# Below this the distribution of a robust test is hardly that of t (Tipton 2015, 10.1037/met0000011).
FEW_DF_ROBUST = 4.0


def cluster_robust(
    fit: LinearFit, cluster: str | Sequence[object] | ArrayLike | None, kind: str, df: DfRule | None
) -> RobustCovariance:
    """Return the cluster-robust inference for a fit; see `FitResults.robust`."""
    check_choice("kind of robust covariance", kind, KINDS)
    if df is None:
        df = "satterthwaite" if kind in ("CR2", "CR3") else "clusters"
    check_choice("df", df, ("satterthwaite", "clusters"))
    if not isinstance(fit.effects, EffectSizes):
        raise fit.effects.no_points()
    names, members = split_clusters(fit.effects, cluster)
    made, p = fit._sandwich_of(members, kind, df), fit.design.p
    if df == "clusters" and len(names) <= p:
        raise InputError(
            f"{plural(len(names), 'cluster')} for {plural(p, 'coefficient')} leave no degrees of freedom",
            "more clusters than coefficients",
            'use kind="CR2" with its Satterthwaite degrees of freedom, or a smaller model',
        )
    found = RobustCovariance(
        cov=made.cov, df=float(len(names) - p), kind=kind, df_rule=df, clusters=names, sandwich=made
    )
    each = found.df_of(np.eye(p))
    few = [name for name, one in zip(fit.design.names, each, strict=True) if not one >= FEW_DF_ROBUST]
    if few:
        warnings.warn(
            f"the robust tests of {', '.join(few)} have fewer than {FEW_DF_ROBUST:.0f} degrees of freedom: "
            "their p-values are not to be relied on",
            FewStudiesWarning,
            stacklevel=3,
        )
    return found


def split_clusters(
    es: EffectSizes, cluster: str | Sequence[object] | ArrayLike | None
) -> tuple[tuple[str, ...], list[NDArray[np.intp]]]:
    """Return the names of the clusters in order of appearance, and the rows of each.

    Raises
    ------
    ShapeError
        If there is not one entry for each effect.
    InputError
        If an entry is missing.
    """
    if cluster is None:
        labels: list[Any] = list(es.study or es.row_ids)
    elif isinstance(cluster, str):
        labels = _words_of(es, cluster)
    else:
        if getattr(cluster, "ndim", 1) != 1:
            raise ShapeError("cluster is no list of single entries", "one entry for each effect")
        es.check_index("cluster", cluster)
        labels = read_entries(cluster, "cluster")
    if len(labels) != es.k:
        raise ShapeError(f"cluster has {len(labels)} entries for {es.k} effects", "one for each effect")
    missing = [es.row_ids[i] for i, label in enumerate(labels) if is_blank(label)]
    if missing:
        raise InputError(
            "some effects have no cluster",
            "a cluster for every effect",
            "fill them in; where cells were merged, fill down",
            rows=missing,
        )
    rows: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        rows.setdefault(as_word(label), []).append(i)
    return tuple(rows), [np.array(part, dtype=np.intp) for part in rows.values()]


def _words_of(es: EffectSizes, name: str) -> list[Any]:
    """Return the labels of a grouping: a column, "study", "effect", or combinations as "study/sample"."""
    known = [] if es.data is None else list(map(str, es.data.columns))
    parts = [name] if name in known else name.split("/")
    columns = [column_values(es, part).tolist() for part in parts]
    if len(columns) == 1:
        return columns[0]
    return ["/".join(map(as_word, row)) for row in zip(*columns, strict=True)]
