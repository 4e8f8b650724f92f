"""What can be had from each study: isolation, group sizes, spreads, a control arm, an exact effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from metaexo.errors import InputError
from metaexo.evidence.names import NAME
from metaexo.evidence.sheets import Sheets
from metaexo.evidence.vocabulary import NOT_REPORTED

if TYPE_CHECKING:
    import pandas as pd

REPORTING_ITEMS: Mapping[str, str] = {
    "source": "Source of the vesicles",
    "isolation": "Isolation method",
    "control": "A control arm, or a second method",
    "sizes": "Sizes of all groups compared",
    "spread": "A mean with SD, SE or interval",
    "exact_effect": "A comparison with an exact effect",
}
"""Items of :func:`reporting` and what they are called."""

CONTROLLED = ("rct_parallel", "rct_split_body", "nonrandomised_controlled", "animal_controlled")
ONE_GROUP = ("post_vs_pre", "single_arm")


def reporting(sheets: Sheets) -> pd.DataFrame:
    """Return which of the things that a synthesis needs can be had from each study.

    Use it to count how many studies report an isolation method, group sizes and so on. What is False was
    not seen in what could be read, so shares of studies are lower bounds: give them by kind of access.

    - source, isolation: named, in studies.csv.
    - control: the design has a control arm, or one has a size or a comparison with exosomes. For studies
      that compare isolation methods: a second method is named, or a comparison of methods is given.
    - sizes: the sizes of both arms, in studies.csv or beside a result; of the one group in designs without
      a control.
    - spread: a mean with an SD, SE or interval in every arm of a comparison, or a difference with one.
    - exact_effect: a comparison in outcomes.csv from which an effect and its variance follow, nothing
      assumed.

    Parameters
    ----------
    sheets : Sheets
        The evidence sheets.

    Returns
    -------
    DataFrame
        One row per study in the order of studies.csv: study_id, study_name, domain, access, and a true or
        false for every item of `REPORTING_ITEMS`.

    Examples
    --------
    >>> import metaexo as mx
    >>> table = reporting(mx.evidence_sheets())
    >>> len(table), int(table["isolation"].sum())
    (252, 91)
    """
    if not isinstance(sheets, Sheets):
        raise InputError(f"the sheets are of type {type(sheets).__name__}", "what read_sheets returns")
    studies, results = sheets.studies, sheets.outcomes
    table = studies[["study_id", NAME, "domain", "access"]].copy()
    table["source"] = studies["source_category"] != NOT_REPORTED
    table["isolation"] = studies["isolation_category"] != NOT_REPORTED
    table["control"] = _control(studies, results, sheets.direction_only)

    def studies_of(rows: pd.Series) -> pd.Series:
        return studies["study_id"].isin(results.loc[rows, "study_id"])

    alone = studies["design"] == "pre_post"
    in_studies = studies["n_treatment"].notna() & (studies["n_control"].notna() | alone)
    table["sizes"] = in_studies | studies_of(_both_arms(results, "n"))
    table["spread"] = studies_of(_spread(results))
    exact = results["line"].isin(sheets.ledger.used) & (results["contrast"] != "single_arm")
    table["exact_effect"] = studies_of(exact)
    return table


def _control(studies: pd.DataFrame, results: pd.DataFrame, words_only: pd.DataFrame) -> pd.Series:
    def compared(contrast: str) -> pd.Series:
        rows = [frame.loc[frame["contrast"] == contrast, "study_id"] for frame in (results, words_only)]
        return studies["study_id"].isin(rows[0]) | studies["study_id"].isin(rows[1])

    controlled = studies["design"].isin(CONTROLLED) | compared("exosome_vs_control")
    controlled |= studies["n_control"].notna() & (studies["domain"] != "isolation")
    methods = studies["isolation_methods"].str.contains("; ") | compared("method_a_vs_method_b")
    return controlled.where(studies["domain"] != "isolation", methods)


def _both_arms(results: pd.DataFrame, kind: str) -> pd.Series:
    """Return where a number stands in both arms, or in the only one."""
    first, second = results[f"treatment_{kind}"].notna(), results[f"control_{kind}"].notna()
    return first & (second | results["contrast"].isin(ONE_GROUP))


def _spread(results: pd.DataFrame) -> pd.Series:
    def arm(name: str) -> pd.Series:
        interval = results[f"{name}_ci_low"].notna() & results[f"{name}_ci_high"].notna()
        spread = results[f"{name}_sd"].notna() | results[f"{name}_se"].notna() | interval
        return results[f"{name}_mean"].notna() & spread

    alone = results["contrast"] == "single_arm"
    whole = results[["difference", "difference_ci_low", "difference_ci_high"]].notna().all(axis=1)
    return (arm("treatment") & (arm("control") | alone)) | whole
