"""Generalised linear mixed models of event counts."""
