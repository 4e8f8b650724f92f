"""Pooled effects and heterogeneity by level of a moderator, and their comparison."""
