"""Kinds of figures that are plain Axes of matplotlib, one file each: they write layers, the engine draws."""
