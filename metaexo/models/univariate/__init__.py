"""Random-effects models and meta-regression of independent effects."""
