"""Checks for slips in reported values: impossible means, tests, intervals, repeated rows."""
