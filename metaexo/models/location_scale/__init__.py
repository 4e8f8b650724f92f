"""Models in which heterogeneity depends on moderators."""
