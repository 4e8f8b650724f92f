"""Figures that are grids of cells: two things crossed, and what is known of each combination."""
