"""Meta-analysis of exosome evidence: from a cell of a spreadsheet to a pooled effect, and how much it varies.

The names below are loaded when they are first used, so that importing metaexo is quick and needs no
drawing library. The usual abbreviation is ``import metaexo as mx``.

Examples
--------
>>> import metaexo as mx
>>> es = mx.EffectSizes([0.1, 0.4, 0.2], [0.02, 0.05, 0.03])
>>> es.k
3
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaexo import (
        datasets,
        effects,
        errors,
        evidence,
        heterogeneity,
        models,
        plots,
        report,
        sensitivity,
    )
    from metaexo.datasets import load_dataset
    from metaexo.effects import EffectSizes, effect_sizes, explain, measures
    from metaexo.evidence import check_sheets, read_sheets
    from metaexo.heterogeneity import attribute_heterogeneity, stratify
    from metaexo.models import (
        CensoredRandomEffects,
        LocationScale,
        Multilevel,
        RandomEffects,
        RandomTerm,
        compare,
        correlated_effects,
        fit_many,
        identifiable_terms,
        likelihood_ratio_test,
        model_of_values,
        rho_sweep,
        robust_variance,
    )

# Public name -> module that defines it; a room's own name stands for the room.
_HOMES = {
    "CensoredRandomEffects": "metaexo.models",
    "EffectSizes": "metaexo.effects",
    "LocationScale": "metaexo.models",
    "Multilevel": "metaexo.models",
    "RandomEffects": "metaexo.models",
    "RandomTerm": "metaexo.models",
    "attribute_heterogeneity": "metaexo.heterogeneity",
    "check_sheets": "metaexo.evidence",
    "compare": "metaexo.models",
    "correlated_effects": "metaexo.models",
    "datasets": "metaexo.datasets",
    "effect_sizes": "metaexo.effects",
    "effects": "metaexo.effects",
    "errors": "metaexo.errors",
    "evidence": "metaexo.evidence",
    "explain": "metaexo.effects",
    "fit_many": "metaexo.models",
    "heterogeneity": "metaexo.heterogeneity",
    "identifiable_terms": "metaexo.models",
    "likelihood_ratio_test": "metaexo.models",
    "load_dataset": "metaexo.datasets",
    "measures": "metaexo.effects",
    "model_of_values": "metaexo.models",
    "models": "metaexo.models",
    "plots": "metaexo.plots",
    "read_sheets": "metaexo.evidence",
    "report": "metaexo.report",
    "rho_sweep": "metaexo.models",
    "robust_variance": "metaexo.models",
    "sensitivity": "metaexo.sensitivity",
    "stratify": "metaexo.heterogeneity",
}

__all__ = [  # noqa: RUF022 (in the order in which a reader meets them)
    "read_sheets",
    "check_sheets",
    "load_dataset",
    "EffectSizes",
    "effect_sizes",
    "measures",
    "explain",
    "RandomEffects",
    "LocationScale",
    "CensoredRandomEffects",
    "Multilevel",
    "RandomTerm",
    "identifiable_terms",
    "model_of_values",
    "correlated_effects",
    "rho_sweep",
    "robust_variance",
    "fit_many",
    "compare",
    "likelihood_ratio_test",
    "stratify",
    "attribute_heterogeneity",
    "effects",
    "evidence",
    "datasets",
    "models",
    "heterogeneity",
    "sensitivity",
    "plots",
    "report",
    "errors",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from metaexo.versions import installed_version

        value: Any = installed_version(__name__)
    elif name in _HOMES:
        home = import_module(_HOMES[name])
        value = home if home.__name__ == f"{__name__}.{name}" else getattr(home, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
