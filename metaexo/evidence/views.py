"""How the rows of each sheet are laid out as the table of statistics that effects are derived from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metaexo.effects.measure import Measure
from metaexo.effects.tables.facts import NUMBERS, WORDS

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = frozenset((*NUMBERS, *WORDS))


@dataclass(frozen=True, slots=True)
class View:
    """One way to read effects from a sheet."""

    name: str  # what the reader asks for
    sheet: str
    # name in the table of statistics -> column of the sheet; empty if the names are the same
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()  # columns that distinguish the rows of one study, the most informative first
    measures: tuple[str, ...] = ()  # measures tried to see whether a row can become an effect at all
    better: str = ""  # direction of benefit of all rows, where the sheet has no such column
    # column -> the value that a row must have for its numbers to count
    only: Mapping[str, str] = field(default_factory=dict)
    # whether effects can be turned so that positive means benefit; two methods have no such direction
    turns: bool = True


def _people(kind: str) -> Mapping[str, str]:
    return {
        "treatment_events": f"{kind}_patients_treated",
        "treatment_n": "n_treated",
        "control_events": f"{kind}_patients_control",
        "control_n": "n_control",
        "paired": "paired",
    }


VIEWS: Mapping[str, View] = {
    view.name: view
    for view in (
        View(
            "outcomes",
            "outcomes",
            labels=("outcome_label", "timepoint", "treatment_label", "control_label", "unit"),
            measures=("SMD", "MD", "ROM", "RR", "OR", "RD", "PFT"),
        ),
        View(
            "preparations",
            "preparations",
            {
                "treatment_mean": "size_nm",
                "treatment_sd": "size_sd",
                "treatment_se": "size_se",
                "treatment_n": "n_replicates",
            },
            labels=("source_reported", "isolation_reported", "technique"),
            measures=("MN",),
            only={"size_statistic": "mean"},
        ),
        View(
            "safety_events",
            "safety_events",
            _people("ae"),
            labels=("ae_definition",),
            measures=("PFT",),
            better="lower",
        ),
        View(
            "serious_events",
            "safety_events",
            _people("sae"),
            labels=("ae_definition",),
            measures=("PFT",),
            better="lower",
        ),
        View(
            "published_meta_analyses",
            "published_meta_analyses",
            {
                "effect": "estimate",
                "effect_ci_low": "ci_low",
                "effect_ci_high": "ci_high",
                "effect_measure": "measure",
            },
            labels=("outcome_label", "subgroup_level", "source"),
            measures=("SMD", "MD", "OR", "RR"),
        ),
        View(
            "cargo_groups",
            "cargo_groups",
            labels=(
                "outcome_label",
                "source_kind",
                "isolation_step",
                "disease",
                "ev_type",
                "source_reported",
            ),
            measures=("MN",),
        ),
        View(
            "method_contrasts",
            "method_contrasts",
            labels=("outcome_label", "source_reported", "treatment_label", "control_label"),
            measures=("MD", "SMD", "ROM"),
            turns=False,
        ),
        View(
            "marker_arms",
            "marker_arms",
            labels=("outcome_label", "source_reported", "isolation_step"),
            measures=("MN",),
        ),
        View(
            "brain_outcomes",
            "brain_outcomes",
            labels=("outcome_label", "region", "treatment_label", "domain"),
            measures=("SMD", "MD", "ROM"),
        ),
    )
}


def statistics(view: View, frame: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the table of reported statistics of a view, one row per row of the sheet.

    A measure of one group takes the first arm as it stands, whether or not the arms are the same people.
    """
    if view.columns:
        table = frame[list(view.columns.values())].set_axis(list(view.columns), axis=1)
    else:
        table = frame[[name for name in frame.columns if name in STATISTICS]]
    for column, value in view.only.items():
        table = table.where(frame[column] == value)
    if "paired" in table and of_one_group(measure):
        table = table.drop(columns="paired")
    return table


def of_one_group(measure: Measure) -> bool:
    """Return whether a measure has no second arm."""
    return bool(measure.inputs) and not any(name.startswith(("control", "pre_")) for name in measure.inputs)
