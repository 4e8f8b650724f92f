"""Kernels of models of counts: sums over 2 x 2 tables, and likelihoods with risks that differ."""
