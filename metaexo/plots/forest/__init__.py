"""Forest plots: rows, layout and drawing."""
