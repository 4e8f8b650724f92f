"""From reported statistics to effects and sampling variances: measures, conversions, dependence."""

from __future__ import annotations

from metaexo.calls import explain_room
from metaexo.effects.bounded_effect_sizes import (
    BoundedEffects,
    BoundedEffectSizes,
    bounded_effects,
    join_bounded,
)
from metaexo.effects.conversions.d import (
    chi_square_of_d,
    d_of_chi_square,
    d_of_f,
    d_of_p,
    d_of_t,
    f_from_t,
    f_of_d,
    p_from_t,
    p_of_d,
    t_from_f,
    t_from_p,
    t_of_d,
)
from metaexo.effects.conversions.delta import DeltaResult, delta_method
from metaexo.effects.conversions.group_correlations import (
    biserial_of_d,
    biserial_of_point_biserial,
    d_of_biserial,
    d_of_point_biserial,
    point_biserial_of_biserial,
    point_biserial_of_d,
)
from metaexo.effects.conversions.medians import QuantileEstimates, mean_sd_from_quantiles
from metaexo.effects.conversions.odds import (
    Tables,
    chi_square_of_log_odds_ratio,
    d_of_log_odds_ratio,
    d_of_risks,
    log_odds_ratio_of_chi_square,
    log_odds_ratio_of_d,
    risk_of_d,
    tables_from_chi_square,
    tables_from_diagnostics,
    tables_from_odds_ratio,
    tables_from_phi,
    tables_from_risk_ratio,
)
from metaexo.effects.conversions.scales import (
    Transformation,
    back_by_rows,
    back_pooled,
    back_transformed_mean,
    back_transformed_mode,
    double_arcsine,
    freeman_tukey_of_rate,
    get_transformation,
    harmonic_mean,
    inverse_double_arcsine,
    inverse_freeman_tukey_rate,
    transform,
)
from metaexo.effects.conversions.sd_and_se import (
    change_sd,
    change_sd_from_p,
    change_sd_from_t,
    correlation_from_change_sd,
    correlation_from_difference_se,
    estimates_and_variances,
    sd_from_ci,
    sd_from_se,
    se_from_ci,
    t_from_change_sd,
)
from metaexo.effects.conversions.sd_from_tests import (
    anova_f_from_sd,
    sd_from_anova,
    sd_from_f,
    sd_from_p,
    sd_from_t,
    t_from_sd,
)
from metaexo.effects.conversions.translations import (
    cliffs_delta,
    clopper_pearson,
    cohens_u1,
    cohens_u2,
    cohens_u3,
    d_of_superiority,
    overlap,
    risk_of_log_odds_ratio,
    success_rate,
    superiority_of_d,
    tetrachoric_of_log_odds_ratio,
)
from metaexo.effects.counts import EventCounts, event_counts
from metaexo.effects.dependence.arms import SharedArm, shared_arms
from metaexo.effects.dependence.choose import one_per_study, split
from metaexo.effects.dependence.correlation_matrices import (
    MatrixRegression,
    covariance_of_correlations,
    regression_from_matrix,
)
from metaexo.effects.dependence.covariances import Block, aggregate, covariance_blocks, covariance_matrix
from metaexo.effects.dependence.shared_control import shared_control_covariances
from metaexo.effects.derivation import REPORTED, Derivation
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.explain.explain import BoundExplanation, Explanation, explain
from metaexo.effects.measure import Measure, all_measures, get_measure
from metaexo.effects.measures.calculate import Calculated, calculate
from metaexo.effects.measures.families import FAMILIES, measures
from metaexo.effects.measures.from_statistics import effect_sizes
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.effects.tables.assumed_sd import effects_with_assumed_sd, pooled_sd
from metaexo.effects.tables.bounds import bounds_from_table
from metaexo.effects.tables.derive import DerivedEffects, effects_from_table, orient
from metaexo.other_names import unknown_in_module

__all__ = [
    "FAMILIES",
    "REPORTED",
    "Block",
    "BoundExplanation",
    "BoundedEffectSizes",
    "BoundedEffects",
    "Calculated",
    "DeltaResult",
    "Derivation",
    "DerivedEffects",
    "EffectSizes",
    "EventCounts",
    "Explanation",
    "MatrixRegression",
    "Measure",
    "QuantileEstimates",
    "SharedArm",
    "Tables",
    "Transformation",
    "ZeroCells",
    "aggregate",
    "all_measures",
    "anova_f_from_sd",
    "back_by_rows",
    "back_pooled",
    "back_transformed_mean",
    "back_transformed_mode",
    "biserial_of_d",
    "biserial_of_point_biserial",
    "bounded_effects",
    "bounds_from_table",
    "calculate",
    "change_sd",
    "change_sd_from_p",
    "change_sd_from_t",
    "chi_square_of_d",
    "chi_square_of_log_odds_ratio",
    "cliffs_delta",
    "clopper_pearson",
    "cohens_u1",
    "cohens_u2",
    "cohens_u3",
    "correlation_from_change_sd",
    "correlation_from_difference_se",
    "covariance_blocks",
    "covariance_matrix",
    "covariance_of_correlations",
    "d_of_biserial",
    "d_of_chi_square",
    "d_of_f",
    "d_of_log_odds_ratio",
    "d_of_p",
    "d_of_point_biserial",
    "d_of_risks",
    "d_of_superiority",
    "d_of_t",
    "delta_method",
    "double_arcsine",
    "effect_sizes",
    "effects_from_table",
    "effects_with_assumed_sd",
    "estimates_and_variances",
    "event_counts",
    "explain",
    "f_from_t",
    "f_of_d",
    "freeman_tukey_of_rate",
    "get_measure",
    "get_transformation",
    "harmonic_mean",
    "inverse_double_arcsine",
    "inverse_freeman_tukey_rate",
    "join_bounded",
    "log_odds_ratio_of_chi_square",
    "log_odds_ratio_of_d",
    "mean_sd_from_quantiles",
    "measures",
    "one_per_study",
    "orient",
    "overlap",
    "p_from_t",
    "p_of_d",
    "point_biserial_of_biserial",
    "point_biserial_of_d",
    "pooled_sd",
    "regression_from_matrix",
    "risk_of_d",
    "risk_of_log_odds_ratio",
    "sd_from_anova",
    "sd_from_ci",
    "sd_from_f",
    "sd_from_p",
    "sd_from_se",
    "sd_from_t",
    "se_from_ci",
    "shared_arms",
    "shared_control_covariances",
    "split",
    "success_rate",
    "superiority_of_d",
    "t_from_change_sd",
    "t_from_f",
    "t_from_p",
    "t_from_sd",
    "t_of_d",
    "tables_from_chi_square",
    "tables_from_diagnostics",
    "tables_from_odds_ratio",
    "tables_from_phi",
    "tables_from_risk_ratio",
    "tetrachoric_of_log_odds_ratio",
    "transform",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
