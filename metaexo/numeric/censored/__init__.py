"""Kernels of censored effects."""
