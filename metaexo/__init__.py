"""Meta-analysis of exosome evidence: from a cell of a spreadsheet to a pooled effect and its heterogeneity.

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

# Module -> its names that are public here, in the order in which a reader meets them. The file __init__.pyi
# tells type checkers the same, and a test holds the two together.
_HOMES = {
    "metaexo.evidence": ("new_table", "read_table", "read_sheets", "check_sheets", "evidence_sheets"),
    "metaexo.datasets": ("load_dataset",),
    "metaexo.effects": (
        "EffectSizes",
        "effect_sizes",
        "BoundedEffectSizes",
        "bounded_effects",
        "event_counts",
        "measures",
        "explain",
        "one_per_study",
        "split",
        "aggregate",
        "covariance_blocks",
        "covariance_matrix",
    ),
    "metaexo.ledger": ("Ledger",),
    "metaexo.models": (
        "RandomEffects",
        "LocationScale",
        "CensoredRandomEffects",
        "Multilevel",
        "BetaBinomial",
        "ArmBased",
        "RandomTerm",
        "MantelHaenszel",
        "Peto",
        "ExactConditional",
        "CountGLMM",
        "identifiable_terms",
        "model_of_values",
        "correlated_effects",
        "rho_sweep",
        "robust_variance",
        "fit_many",
        "compare",
        "likelihood_ratio_test",
    ),
    "metaexo.heterogeneity": (
        "stratify",
        "stratify_counts",
        "attribute_heterogeneity",
        "confounding",
        "estimability",
        "latent_moderator",
        "repeatability",
    ),
    "metaexo.report": ("write_report",),
}
_ROOMS = (
    "evidence",
    "datasets",
    "effects",
    "models",
    "heterogeneity",
    "sensitivity",
    "bias",
    "safety",
    "plots",
    "report",
    "runs",
    "formatting",
    "errors",
)

__all__ = [*sum(_HOMES.values(), ()), *_ROOMS]  # noqa: PLE0604 (names from the table above)


def __getattr__(name: str) -> object:
    import importlib

    value: object
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is not None:
        value = getattr(importlib.import_module(home), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"{__name__}.{name}")
    elif name == "__version__":
        value = importlib.import_module("metaexo.ledger").installed_version(__name__)
    else:
        raise importlib.import_module("metaexo.other_names").unknown_in_module(__name__, name, __all__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
