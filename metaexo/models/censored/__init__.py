"""Random-effects models of effects of which some are known only as bounds."""
