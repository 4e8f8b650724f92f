"""Risk of bias: tools as data, and the judgements of the studies of a review."""
