"""From one statistic of a report to another: standard deviations, d, odds, medians, scales."""
