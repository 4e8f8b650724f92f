"""How much of the heterogeneity is associated with the source, the isolation method, or neither."""
