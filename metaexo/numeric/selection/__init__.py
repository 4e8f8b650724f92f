"""Likelihoods of selection models and their maxima, batched: weights of p-values, integrals, solver."""
