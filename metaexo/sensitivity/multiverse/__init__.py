"""Multiverse: every defensible path through an analysis, and which choice moves the result most."""
