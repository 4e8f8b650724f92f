"""What models have in common before they are fitted: how they are shown, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metaexo.formatting import html_table, plain_text, plural
from metaexo.other_names import Answering

if TYPE_CHECKING:
    from metaexo.models.linear.design import Design

MOST_SHOWN = 6


class Model(Answering):
    """Base of the models: data and choices, which `fit` turns into a result.

    It shows itself by its data, its moderators and the choices that are not the usual ones; a name that only
    results have is answered with the call that fits first.
    """

    _answers_as = "models"

    def facts(self) -> list[tuple[str, str]]:
        """Return what the model is made of, in words: what, and what it is."""
        given: dict[str, Any] = self.__dict__
        rows: Any = given["effects"] if "effects" in given else given["counts"]
        studies = plural(rows.m, "study", "studies")
        found = [("data", f"{plural(rows.k, 'effect' if 'effects' in given else 'row')} from {studies}")]
        measure = given.get("measure", given.get("code", getattr(rows, "measure", None)))
        found.append(("measure", str(getattr(measure, "code", measure or type(self).__name__))))
        for name, what in (("design", "moderators"), ("scale_design", "moderators of tau2")):
            if name in given and given[name].x is not None and (moderators := _moderators(given[name])):
                found.append((what, moderators))
        if given.get("terms"):
            found.append(("random terms", ", ".join(term.name for term in given["terms"])))
        choices = ("model", "link", "structure")
        found += [(name, given[name]) for name in choices if isinstance(given.get(name), str)]
        if given.get("weights") is not None:
            found.append(("weights", "user-supplied"))
        return found

    def __repr__(self) -> str:
        (_, data), (_, measure), *choices = self.facts()
        words = "".join(f"; {what}: {value}" for what, value in choices)
        return plain_text(f"{type(self).__name__}({measure}: {data}{words}; not fitted yet, see fit())")

    def _repr_html_(self) -> str:
        rows = [[what, value] for what, value in [*self.facts(), ("fitted", "not yet: call fit()")]]
        return html_table(rows, ["", type(self).__name__], left=2)


def _moderators(design: Design) -> str:
    """Return the names of the columns without the intercept, with the count of those not shown."""
    names = [name for j, name in enumerate(design.names) if j != design.intercept]
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more
