"""Sensitivity: how much results depend on single studies and on choices; always by batched refits."""

from metaexo.sensitivity.influence import Influence, influence

__all__ = ["Influence", "influence"]


def __dir__() -> list[str]:
    return sorted(__all__)
