"""Studies whose level of a moderator is not reported: bounds and mixtures."""
