"""How much of the heterogeneity goes with the source, the isolation method, or neither."""
