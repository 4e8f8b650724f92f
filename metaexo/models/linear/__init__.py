"""What every linear model of effects has: design, coefficients, tests, predictions, tables."""
