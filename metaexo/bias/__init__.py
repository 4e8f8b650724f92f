"""Small-study effects and selection: whether the evidence is one-sided, and estimates that allow for it."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return sorted(__all__)
