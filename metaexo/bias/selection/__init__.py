"""Publication selection models: effects are seen with a probability that depends on their p-value."""
