"""Kernels of location-scale models."""
