"""Figures about a review itself: risk of bias, flow of rows, what studies report."""
