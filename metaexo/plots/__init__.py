"""Figures: first a plan that can be looked at and tested, then the drawing of it."""

from metaexo.calls import explain_room
from metaexo.other_names import unknown_in_module
from metaexo.plots.canvas.arguments import Column
from metaexo.plots.canvas.chart import Chart, ChartAxis, Intervals, Panel, Points, Rule
from metaexo.plots.canvas.plan import Plan, pages_of, plans_of
from metaexo.plots.canvas.saving import overlapping_texts, save
from metaexo.plots.canvas.theme import THEMES, Theme
from metaexo.plots.charts.baujat import baujat, baujat_plan
from metaexo.plots.charts.bubble import bubble, bubble_plan
from metaexo.plots.charts.caterpillar import caterpillar, caterpillar_plan
from metaexo.plots.charts.copas import copas, copas_plan
from metaexo.plots.charts.doi import doi, doi_plan
from metaexo.plots.charts.drapery import drapery, drapery_plan
from metaexo.plots.charts.exclusion_curve import exclusion_curve, exclusion_curve_plan
from metaexo.plots.charts.funnel import funnel, funnel_plan
from metaexo.plots.charts.gosh import gosh, gosh_plan
from metaexo.plots.charts.influence import influence, influence_plan
from metaexo.plots.charts.labbe import labbe, labbe_plan
from metaexo.plots.charts.normal_quantile import normal_quantile, normal_quantile_plan
from metaexo.plots.charts.orchard import orchard, orchard_plan
from metaexo.plots.charts.p_curve import p_curve, p_curve_plan
from metaexo.plots.charts.profile import profile, profile_plan
from metaexo.plots.charts.radial import radial, radial_plan
from metaexo.plots.charts.resampled import bootstrap, bootstrap_plan, permutation, permutation_plan
from metaexo.plots.charts.selection_weights import selection_weights, selection_weights_plan
from metaexo.plots.charts.specification_curve import specification_curve, specification_curve_plan
from metaexo.plots.charts.sunset import sunset, sunset_plan
from metaexo.plots.charts.variance_components import variance_components, variance_components_plan
from metaexo.plots.charts.variance_shares import variance_shares, variance_shares_plan
from metaexo.plots.forest.adjusted import adjusted, adjusted_plan
from metaexo.plots.forest.forest import (
    forest,
    forest_plan,
    heterogeneity,
    heterogeneity_plan,
    rho_sweep,
    rho_sweep_plan,
)
from metaexo.plots.grids.estimability import estimability, estimability_plan
from metaexo.plots.grids.evidence_map import EvidenceMap, evidence_map, evidence_map_plan
from metaexo.plots.grids.grid import Grid
from metaexo.plots.review.flow import FlowPlan, flow, flow_plan
from metaexo.plots.review.reporting_map import ReportingMap, reporting_map, reporting_map_plan
from metaexo.plots.review.risk_of_bias import (
    RiskSummary,
    risk_columns,
    risk_of_bias,
    risk_of_bias_plan,
    risk_of_bias_summary,
    risk_of_bias_summary_plan,
)
from metaexo.plots.table.attribution import attribution, attribution_plan
from metaexo.plots.table.plan import TablePlan
from metaexo.plots.table.shares import reported_shares, reported_shares_plan
from metaexo.plots.table.strip import interval_strip, interval_strip_plan

__all__ = [
    "THEMES",
    "Chart",
    "ChartAxis",
    "Column",
    "EvidenceMap",
    "FlowPlan",
    "Grid",
    "Intervals",
    "Panel",
    "Plan",
    "Points",
    "ReportingMap",
    "RiskSummary",
    "Rule",
    "TablePlan",
    "Theme",
    "adjusted",
    "adjusted_plan",
    "attribution",
    "attribution_plan",
    "baujat",
    "baujat_plan",
    "bootstrap",
    "bootstrap_plan",
    "bubble",
    "bubble_plan",
    "caterpillar",
    "caterpillar_plan",
    "copas",
    "copas_plan",
    "doi",
    "doi_plan",
    "drapery",
    "drapery_plan",
    "estimability",
    "estimability_plan",
    "evidence_map",
    "evidence_map_plan",
    "exclusion_curve",
    "exclusion_curve_plan",
    "flow",
    "flow_plan",
    "forest",
    "forest_plan",
    "funnel",
    "funnel_plan",
    "gosh",
    "gosh_plan",
    "heterogeneity",
    "heterogeneity_plan",
    "influence",
    "influence_plan",
    "interval_strip",
    "interval_strip_plan",
    "labbe",
    "labbe_plan",
    "normal_quantile",
    "normal_quantile_plan",
    "orchard",
    "orchard_plan",
    "overlapping_texts",
    "p_curve",
    "p_curve_plan",
    "pages_of",
    "permutation",
    "permutation_plan",
    "plans_of",
    "profile",
    "profile_plan",
    "radial",
    "radial_plan",
    "reported_shares",
    "reported_shares_plan",
    "reporting_map",
    "reporting_map_plan",
    "rho_sweep",
    "rho_sweep_plan",
    "risk_columns",
    "risk_of_bias",
    "risk_of_bias_plan",
    "risk_of_bias_summary",
    "risk_of_bias_summary_plan",
    "save",
    "selection_weights",
    "selection_weights_plan",
    "specification_curve",
    "specification_curve_plan",
    "sunset",
    "sunset_plan",
    "variance_components",
    "variance_components_plan",
    "variance_shares",
    "variance_shares_plan",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
