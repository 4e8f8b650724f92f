"""Kernels of models of counts: sums over 2 x 2 tables, likelihoods given margins and with random effects."""
