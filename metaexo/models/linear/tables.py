"""Coefficients of a fit as cells of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaexo.formatting import interval, number, p_value, percent, text_table
from metaexo.models.linear.hypothesis import term_test

if TYPE_CHECKING:
    from metaexo.models.linear.fit import LinearResults

DIGITS = 4


def coefficient_rows(fit: LinearResults) -> tuple[list[list[str]], list[str]]:
    """Return the rows and the header of the table of coefficients."""
    bounds = fit.conf_int().to_numpy()
    rows = [
        [name, number(b, DIGITS), number(se, DIGITS), interval(low, high, DIGITS), p_value(p)]
        for name, b, se, (low, high), p in zip(
            fit.design.names, fit.beta, fit.se, bounds, fit.pvalues, strict=True
        )
    ]
    return rows, ["term", "estimate", "SE", f"{percent(fit.level)} interval", "p"]


def coefficient_table(fit: LinearResults) -> str:
    """Return the coefficients as a plain table."""
    return text_table(*coefficient_rows(fit))


def term_lines(fit: LinearResults) -> list[str]:
    """Return a line for each term of several coefficients: its test."""
    several = [term for term in fit.design.terms if len(term.columns) > 1]
    if not several or len(fit.design.terms) < 2:
        return []
    return [f"{term.name}: {term_test(fit, term)}" for term in several]
