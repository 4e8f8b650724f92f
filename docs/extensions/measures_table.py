"""The directives ``measures`` and ``estimators``: tables made from the package's own registries."""

from __future__ import annotations

import math
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metaexo.effects import Measure, all_measures, get_measure
from metaexo.numeric.estimators import ESTIMATORS


class Measures(SphinxDirective):
    """``.. measures:: SMD MD`` shows these records; without codes, all of them, family by family."""

    optional_arguments = 100
    final_argument_whitespace: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        codes = " ".join(self.arguments).split()
        lines = table([get_measure(code) for code in codes]) if codes else all_families()
        return self.parse_text_to_nodes(StringList(lines, source="metaexo.effects"))


class Estimators(SphinxDirective):
    """``.. estimators::`` shows the estimators of the between-study variance."""

    def run(self) -> list[nodes.Node]:
        lines = heading("Code", "Estimator", "Needs", "Reference", widths="10 40 25 25")
        for found in ESTIMATORS.values():
            needs = "sampling variances above 0" if found.divides_by_v else ""
            needs = "user-supplied weights" if found.needs_weights else needs
            lines += row(f"``{found.code}``", found.name, needs, link(found.reference))
        return self.parse_text_to_nodes(StringList([*lines, ""], source="metaexo.numeric.estimators"))


def all_families() -> list[str]:
    """Return one table a family, each under its name."""
    families: dict[str, list[Measure]] = {}
    for measure in all_measures():
        families.setdefault(measure.family, []).append(measure)
    lines: list[str] = []
    for family, measures in families.items():
        lines += [f".. rubric:: {family.capitalize()}", "", *table(measures)]
    return lines


def table(measures: list[Measure]) -> list[str]:
    """Return the lines of a list-table, one row per measure."""
    lines = heading("Code", "Name", "Inputs", "No effect", "Shown as", "Reference", widths="9 25 32 8 14 12")
    for measure in measures:
        null = "none" if math.isnan(measure.null) else f"{measure.null:g}"
        inputs = ", ".join(f"``{name}``" for name in measure.inputs) or "``y``, ``v``"
        doi = link(measure.reference)
        lines += row(f"``{measure.code}``", measure.name, inputs, null, measure.display, doi)
    return [*lines, ""]


def heading(*cells: str, widths: str) -> list[str]:
    head = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    return head + row(*cells)


def row(*cells: str) -> list[str]:
    first, *others = cells
    return [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def link(doi: str) -> str:
    return f"`doi <https://doi.org/{doi.replace('<', '%3C').replace('>', '%3E')}>`__" if doi else ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    app.add_directive("measures", Measures)
    app.add_directive("estimators", Estimators)
    return {"parallel_read_safe": True}
