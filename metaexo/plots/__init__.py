"""Figures: first a plan that can be looked at and tested, then the drawing of it."""

from metaexo.plots.attribution import attribution, attribution_plan
from metaexo.plots.attribution_page import AttributionPlan
from metaexo.plots.canvas import overlapping_texts, save
from metaexo.plots.curves_page import CurvesPlan
from metaexo.plots.estimability import estimability, estimability_plan
from metaexo.plots.estimability_page import EstimabilityPlan
from metaexo.plots.evidence_map import evidence_map, evidence_map_plan
from metaexo.plots.evidence_map_page import EvidenceMapPlan
from metaexo.plots.forest import forest, forest_plan
from metaexo.plots.funnel import funnel, funnel_plan
from metaexo.plots.funnel_page import FunnelPlan
from metaexo.plots.plan import Column, ForestPlan
from metaexo.plots.profile import profile, profile_plan
from metaexo.plots.rho_sweep import rho_sweep, rho_sweep_plan
from metaexo.plots.shares import reported_shares, reported_shares_plan
from metaexo.plots.shares_page import SharesPlan
from metaexo.plots.spread import spread, spread_plan
from metaexo.plots.strip import interval_strip, interval_strip_plan
from metaexo.plots.strip_page import StripPlan

__all__ = [
    "AttributionPlan",
    "Column",
    "CurvesPlan",
    "EstimabilityPlan",
    "EvidenceMapPlan",
    "ForestPlan",
    "FunnelPlan",
    "SharesPlan",
    "StripPlan",
    "attribution",
    "attribution_plan",
    "estimability",
    "estimability_plan",
    "evidence_map",
    "evidence_map_plan",
    "forest",
    "forest_plan",
    "funnel",
    "funnel_plan",
    "interval_strip",
    "interval_strip_plan",
    "overlapping_texts",
    "profile",
    "profile_plan",
    "reported_shares",
    "reported_shares_plan",
    "rho_sweep",
    "rho_sweep_plan",
    "save",
    "spread",
    "spread_plan",
]
