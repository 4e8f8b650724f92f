"""Numeric kernels: arrays in, small frozen records out; numpy and scipy only; every kernel is batched."""
