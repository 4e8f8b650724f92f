"""Likelihoods of event counts, with random effects integrated out; batched."""
