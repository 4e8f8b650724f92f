"""Small-study effects and selection: whether the evidence is one-sided, and estimates that allow for it."""

from metaexo.bias.power import Power, power

__all__ = [
    "Power",
    "power",
]


def __dir__() -> list[str]:
    return sorted(__all__)
