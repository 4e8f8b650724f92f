"""Figures that are tables: rows and typed columns with marks on an axis beside them."""
